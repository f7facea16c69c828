//! Words go in, a transcript comes out: sessions against a strict scripted model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conversation;
mod crash;
mod support;
mod tools;
