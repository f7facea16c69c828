//! The program as a whole, called as a person calls it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;

mod chat;
mod cli;
mod config;
mod sessions;
mod setup;
