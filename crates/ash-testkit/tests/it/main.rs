//! The testkit does what it says: one binary, for one link.

mod client;

mod anthropic;
mod delivery;
mod scripted;
