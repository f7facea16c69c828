//! Finding messages by their words, in any language.

mod query;

mod index;
mod stop_words;
mod terms;
mod visibility;

pub use query::{MessageHit, MessageQuery};
pub use visibility::Viewer;

pub(crate) use index::{index_all_if_empty, index_around};
pub(crate) use visibility::{VISIBLE, Visibility};
