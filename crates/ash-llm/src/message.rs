//! Messages in the form that every provider is translated from and to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who a message is from, as models see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person, or Ash on a person's behalf (tool results).
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who it is from.
    pub role: Role,
    /// Its parts, in order.
    pub content: Vec<Content>,
    /// The `PROVIDER/MODEL` that wrote it. Thinking and opaque blocks are replayed to that model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Message {
    /// Makes a message of a person's words.
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: vec![Content::Text { text: text.into() }],
            origin: None,
        }
    }

    /// Makes a message of a model's words.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            content: vec![Content::Text { text: text.into() }],
            origin: None,
        }
    }

    /// Makes the message that answers tool calls.
    pub fn tool_results(results: Vec<ToolResult>) -> Self {
        Self {
            role: Role::User,
            content: results.into_iter().map(Content::ToolResult).collect(),
            origin: None,
        }
    }

    /// Returns all its text, joined; context, thinking and tool traffic are left out.
    pub fn text(&self) -> String {
        self.content
            .iter()
            .filter_map(|part| match part {
                Content::Text { text } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Iterates over the tool calls in it.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|part| match part {
            Content::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Iterates over the tool results in it.
    pub fn results(&self) -> impl Iterator<Item = &ToolResult> {
        self.content.iter().filter_map(|part| match part {
            Content::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// What Ash tells the model along with a message (the time, recalled memories). Sent as text;
    /// nobody said it, so it is never searched, quoted or learned from.
    Context {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// For instance `image/png`.
        media_type: String,
        /// The bytes in base64.
        data: String,
    },
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// The answer to a [`Content::ToolCall`].
    ToolResult(ToolResult),
    /// The model's reasoning.
    Thinking {
        /// Its text, possibly only a summary, possibly empty.
        text: String,
        /// Proof of origin, needed to replay it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// A block that only its provider understands, replayed verbatim.
    Opaque {
        /// The raw block.
        block: Value,
    },
}

/// A model's wish to run a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call; unique within a conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments. A provider that received something else than an object says so by an error.
    pub arguments: Map<String, Value>,
}

/// What came of a [`ToolCall`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The [`ToolCall::id`] that this answers.
    pub call_id: String,
    /// What the tool said.
    pub content: Vec<ResultContent>,
    /// Whether it went wrong.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolResult {
    /// Makes a result of text.
    pub fn text(call_id: impl Into<String>, text: impl Into<String>, is_error: bool) -> Self {
        Self {
            call_id: call_id.into(),
            content: vec![ResultContent::Text { text: text.into() }],
            is_error,
        }
    }

    /// Returns all its text, joined.
    pub fn joined_text(&self) -> String {
        self.content
            .iter()
            .filter_map(|part| match part {
                ResultContent::Text { text } => Some(text.as_str()),
                ResultContent::Image { .. } => None,
            })
            .collect()
    }
}

/// One part of a tool's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResultContent {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A picture.
    Image {
        /// For instance `image/png`.
        media_type: String,
        /// The bytes in base64.
        data: String,
    },
}
