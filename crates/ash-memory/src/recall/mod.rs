//! Finding by meaning: vectors beside messages and memories.
//!
//! So far vectors of messages are kept, compared and removed.

mod vectors;

pub use vectors::Nearest;

pub(crate) use vectors::delete_of_session;
