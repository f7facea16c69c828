//! What a person sees: the answer on standard output, the talk on standard error.

mod blocks;
mod columns;
mod editor;
mod inline;
mod sanitize;
mod screen;
mod status;
mod stream;
mod styled;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use columns::columns;
pub(crate) use editor::{Line, LineEditor};
pub(crate) use sanitize::{harmless, one_line};
pub(crate) use screen::{
    confirm, is_interactive, is_shown, stderr, stderr_has_color, stdout, surface, surface_of_talk,
};
pub(crate) use status::{Status, tool_line};
pub(crate) use stream::{StreamRenderer, Surface};
