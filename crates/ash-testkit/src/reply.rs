//! What a fake server answers with, in no vendor's words, and how the bytes leave it.

use std::time::Duration;

use serde_json::Value;

/// One scripted answer: parts, an end, and what happens to its bytes on the way.
///
/// `Reply::text(..)` and its like begin a reply, `and_..` adds to it, `then_..` ends it badly.
/// Offsets in bytes count the body alone: not the head, not the framing of chunks.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) parts: Vec<Part>,
    pub(crate) failure: Option<Failure>,
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) stop: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) delta: Option<usize>,
    pub(crate) vectors_shuffled: bool,
    pub(crate) vectors_missing: usize,
    pub(crate) delivery: Delivery,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Thinking(String),
    Refusal(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    Block(Value),
}

/// An error that the vendor's protocol puts into words: a body after a status, an event in a 200.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
    /// Ends a Responses stream by `response.failed` instead of `error`.
    pub(crate) as_result: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            input: 10,
            output: 5,
            cache_read: 0,
            cache_write: 0,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// Bytes in one write; without it, one event is one write.
    pub(crate) packet: Option<usize>,
    pub(crate) pause: Option<Duration>,
    pub(crate) stall: Option<usize>,
    pub(crate) end: Option<(usize, Ending)>,
    pub(crate) junk: Option<(usize, Vec<u8>)>,
    pub(crate) before: Before,
}

/// What becomes of the connection when a body ends too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The connection breaks in the middle of a message.
    Cut,
    /// The HTTP message ends properly, short as it is.
    Short,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Before {
    #[default]
    Answer,
    Stall,
    Disconnect,
}

impl Reply {
    /// Answers with words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().and_text(text)
    }

    /// Answers with a tool call.
    pub fn tool_call(id: &str, name: &str, arguments: impl Into<Value>) -> Self {
        Self::default().and_tool_call(id, name, arguments)
    }

    /// Answers with thinking, which the server signs; a model rarely stops there, so add to it.
    pub fn thinking(text: impl Into<String>) -> Self {
        Self::default().and_thinking(text)
    }

    /// Declines to answer, in these words.
    pub fn refusal(text: impl Into<String>) -> Self {
        let mut reply = Self::default();
        reply.parts.push(Part::Refusal(text.into()));
        reply
    }

    /// Answers with no content at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Answers a request for embeddings, for [`crate::Fake::enqueue_embeddings`].
    pub fn embeddings() -> Self {
        Self::default()
    }

    /// Fails with a status and what the vendor says along with it.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Fails with a status, a type (or code) of error and a message.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::status(status).then_error(kind, message)
    }

    /// Fails by an event inside a 200, before anything else.
    pub fn error_event(kind: &str, message: &str) -> Self {
        Self::default().then_error(kind, message)
    }

    /// Answers a streaming request with these bytes, whatever they are.
    pub fn raw_sse(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(bytes.into()),
            ..Self::default()
        }
        .header("content-type", "text/event-stream")
    }

    /// Answers with a status, a content type and a body as they are, as proxies do.
    pub fn raw_body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(body.into()),
            ..Self::status(status)
        }
        .header("content-type", content_type)
    }

    /// Reads the request and says nothing, until [`crate::Fake::release`]; then an empty answer.
    pub fn silence() -> Self {
        Self::default().stall_before_head()
    }

    /// Reads the request and closes the connection.
    pub fn disconnect() -> Self {
        let mut reply = Self::default();
        reply.delivery.before = Before::Disconnect;
        reply
    }

    /// Adds words.
    #[must_use]
    pub fn and_text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Adds thinking, which the server signs.
    #[must_use]
    pub fn and_thinking(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Thinking(text.into()));
        self
    }

    /// Adds a tool call; several are parallel calls.
    #[must_use]
    pub fn and_tool_call(self, id: &str, name: &str, arguments: impl Into<Value>) -> Self {
        self.and_raw_tool_call(id, name, &arguments.into().to_string())
    }

    /// Adds a tool call whose arguments are this text, JSON or not.
    #[must_use]
    pub fn and_raw_tool_call(mut self, id: &str, name: &str, arguments: &str) -> Self {
        self.parts.push(Part::Call {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        });
        self
    }

    /// Adds a block (Anthropic) or output item (Responses) as it is; Chat Completions has none.
    #[must_use]
    pub fn and_block(mut self, block: Value) -> Self {
        self.parts.push(Part::Block(block));
        self
    }

    /// Breaks off after the parts with an error event inside the 200.
    #[must_use]
    pub fn then_error(mut self, kind: &str, message: &str) -> Self {
        self.failure = Some(Failure {
            kind: kind.into(),
            message: message.into(),
            as_result: false,
        });
        self
    }

    /// Like [`Reply::then_error`], but a Responses stream says `response.failed`.
    #[must_use]
    pub fn then_failed(mut self, code: &str, message: &str) -> Self {
        self.failure = Some(Failure {
            kind: code.into(),
            message: message.into(),
            as_result: true,
        });
        self
    }

    /// Stops for this reason, in the vendor's word, instead of what the parts suggest.
    #[must_use]
    pub fn stop(mut self, reason: &str) -> Self {
        self.stop = Some(reason.into());
        self
    }

    /// Reports this many input tokens (not counting cached ones) and output tokens.
    #[must_use]
    pub fn usage(mut self, input: u64, output: u64) -> Self {
        self.usage.input = input;
        self.usage.output = output;
        self
    }

    /// Reports this many input tokens read from, and written to, the prompt cache.
    #[must_use]
    pub fn cached(mut self, read: u64, written: u64) -> Self {
        self.usage.cache_read = read;
        self.usage.cache_write = written;
        self
    }

    /// Sends embeddings out of order; their `index` is right.
    #[must_use]
    pub fn shuffled(mut self) -> Self {
        self.vectors_shuffled = true;
        self
    }

    /// Leaves out the last `count` embeddings.
    #[must_use]
    pub fn short_by(mut self, count: usize) -> Self {
        self.vectors_missing = count;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends words, thinking and arguments in deltas of `size` characters.
    #[must_use]
    pub fn chunked(mut self, size: usize) -> Self {
        self.delta = Some(size.max(1));
        self
    }

    /// Writes `size` bytes at a time, wherever events begin and end.
    #[must_use]
    pub fn in_packets_of(mut self, size: usize) -> Self {
        self.delivery.packet = Some(size.max(1));
        self
    }

    /// Waits this long between writes.
    #[must_use]
    pub fn delay_between_chunks(mut self, pause: Duration) -> Self {
        self.delivery.pause = Some(pause);
        self
    }

    /// Breaks the connection after `count` bytes of the body.
    #[must_use]
    pub fn cut_after_bytes(mut self, count: usize) -> Self {
        self.delivery.end = Some((count, Ending::Cut));
        self
    }

    /// Ends the body after `count` bytes as if nothing were missing.
    #[must_use]
    pub fn end_after_bytes(mut self, count: usize) -> Self {
        self.delivery.end = Some((count, Ending::Short));
        self
    }

    /// Falls silent after `count` bytes, until [`crate::Fake::release`] or until the client leaves.
    #[must_use]
    pub fn stall_after_bytes(mut self, count: usize) -> Self {
        self.delivery.stall = Some(count);
        self
    }

    /// Falls silent before the first byte of the head, until [`crate::Fake::release`].
    #[must_use]
    pub fn stall_before_head(mut self) -> Self {
        self.delivery.before = Before::Stall;
        self
    }

    /// Puts junk into the body after `count` bytes.
    #[must_use]
    pub fn garble_after_bytes(mut self, count: usize, junk: impl Into<Vec<u8>>) -> Self {
        self.delivery.junk = Some((count, junk.into()));
        self
    }

    /// Cuts a text into its deltas; an empty one has a single empty delta.
    pub(crate) fn deltas(&self, text: &str) -> Vec<String> {
        let letters: Vec<char> = text.chars().collect();
        if letters.is_empty() {
            return vec![String::new()];
        }
        letters
            .chunks(self.delta.unwrap_or(12))
            .map(|piece| piece.iter().collect())
            .collect()
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Call { .. }))
    }
}
