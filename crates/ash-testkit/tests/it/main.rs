//! The testkit does what it says: one binary, for one link.

mod client;

mod anthropic;
mod anthropic_rules;
mod delivery;
mod openai;
mod openai_rules;
mod scripted;
