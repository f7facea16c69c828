//! What a scripted model answers with.

use ash_llm::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, Message, Role, StopReason, ToolCall, Usage,
};
use serde_json::Value;

/// What a [`crate::ScriptedModel`] answers.
#[derive(Clone, Debug)]
pub struct Answer {
    content: Vec<Content>,
    delta: usize,
    pub(crate) refusal: Option<LlmError>,
    pub(crate) held: bool,
    pub(crate) end: End,
    pub(crate) stop: Option<StopReason>,
    usage: Usage,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Done,
    Error(LlmError),
    Hang,
    Silence,
}

impl Answer {
    /// Answers with these parts.
    pub fn content(content: impl IntoIterator<Item = Content>) -> Self {
        Self {
            content: content.into_iter().collect(),
            delta: 4,
            refusal: None,
            held: false,
            end: End::Done,
            stop: None,
            usage: Usage {
                input: 10,
                output: 5,
                ..Usage::default()
            },
        }
    }

    /// Answers with words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::content([]).and_text(text)
    }

    /// Answers with a tool call.
    pub fn tool_call(id: &str, name: &str, arguments: Value) -> Self {
        Self::content([]).and_tool_call(id, name, arguments)
    }

    /// Fails before any event, as a status code does.
    pub fn error(kind: ErrorKind) -> Self {
        Self::failure(LlmError::new("", kind, format!("scripted: {kind:?}")))
    }

    /// Fails before any event with this error, whose provider is filled in.
    pub fn failure(error: LlmError) -> Self {
        Self {
            refusal: Some(error),
            ..Self::content([])
        }
    }

    /// Says nothing until it is cancelled.
    pub fn hang() -> Self {
        Self::content([]).then_hang()
    }

    /// Adds words.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.and(Content::Text { text: text.into() })
    }

    /// Adds a tool call. `arguments` must be an object.
    #[must_use]
    pub fn and_tool_call(self, id: &str, name: &str, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else {
            panic!("the arguments of {name} must be an object: {arguments}");
        };
        self.and(Content::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments,
        }))
    }

    /// Adds signed thinking.
    #[must_use]
    pub fn and_thinking(self, text: &str) -> Self {
        self.and(Content::Thinking {
            text: text.into(),
            signature: Some(format!("scripted-{}", text.len())),
        })
    }

    /// Adds any part.
    #[must_use]
    pub fn and(mut self, part: Content) -> Self {
        self.content.push(part);
        self
    }

    /// Sends words in deltas of `size` characters (4 unless told).
    #[must_use]
    pub fn chunked(mut self, size: usize) -> Self {
        self.delta = size.max(1);
        self
    }

    /// Waits, after the deltas and before the end, for [`crate::ScriptedModel::release`] or cancellation.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Stops for this reason; with [`StopReason::Length`] the reply is cut off, calls and all.
    #[must_use]
    pub fn stop(mut self, reason: StopReason) -> Self {
        self.stop = Some(reason);
        self
    }

    /// Reports this usage.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Fails after the deltas, instead of the last event.
    #[must_use]
    pub fn then_error(mut self, kind: ErrorKind) -> Self {
        self.end = End::Error(LlmError::new("", kind, format!("scripted: {kind:?}")));
        self
    }

    /// Says no more after the deltas, until it is cancelled.
    #[must_use]
    pub fn then_hang(mut self) -> Self {
        self.end = End::Hang;
        self
    }

    /// Ends the stream after the deltas without a last event, which no provider should do.
    #[must_use]
    pub fn then_silence(mut self) -> Self {
        self.end = End::Silence;
        self
    }

    pub(crate) fn deltas(&self) -> Vec<LlmEvent> {
        let mut events = Vec::new();
        for part in &self.content {
            let (text, event): (&str, fn(String) -> LlmEvent) = match part {
                Content::Text { text } => (text, LlmEvent::TextDelta),
                Content::Thinking { text, .. } => (text, LlmEvent::ThinkingDelta),
                Content::Context { .. }
                | Content::Image { .. }
                | Content::ToolCall(_)
                | Content::ToolResult(_)
                | Content::Opaque { .. } => continue,
            };
            let letters: Vec<char> = text.chars().collect();
            events.extend(
                letters
                    .chunks(self.delta)
                    .map(|piece| event(piece.iter().collect())),
            );
        }
        events
    }

    pub(crate) fn completion(&self, origin: String) -> Completion {
        let message = Message {
            role: Role::Assistant,
            content: self.content.clone(),
            origin: Some(origin),
        };
        let stop = self.stop.clone().unwrap_or_else(|| {
            if message.tool_calls().next().is_some() {
                StopReason::ToolUse
            } else {
                StopReason::End
            }
        });
        Completion {
            message,
            stop,
            usage: self.usage,
        }
    }
}
