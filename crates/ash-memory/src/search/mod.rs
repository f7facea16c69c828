//! Finding messages by their words, in any language.

mod index;
mod terms;

pub(crate) use index::index_new;
