//! Finding messages by their words, in any language.

mod query;

mod index;
mod stop_words;
mod terms;

pub use query::{MessageHit, MessageQuery, Viewer};

pub(crate) use index::index_new;
