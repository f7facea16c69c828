//! What fits into one message.

use serde::Serialize;

/// The text of one message and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text, as Telegram will show it.
    pub text: String,
    /// Its formatting, outer before inner.
    pub entities: Vec<Entity>,
}

/// A part of a text that looks different.
///
/// Serialises as the Bot API's `MessageEntity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entity {
    /// What it looks like.
    #[serde(flatten)]
    pub kind: EntityKind,
    /// Where it begins, in UTF-16 code units.
    pub offset: usize,
    /// How long it is, in UTF-16 code units.
    pub length: usize,
}

/// The kinds of formatting that Markdown can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EntityKind {
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Struck through.
    Strikethrough,
    /// Monospaced, in a line.
    Code,
    /// Monospaced, a block of its own.
    Pre {
        /// The programming language, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// A text that leads somewhere.
    TextLink {
        /// Where to.
        url: String,
    },
    /// Somebody else's words.
    Blockquote,
}
