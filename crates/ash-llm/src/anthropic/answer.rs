//! An answer of the Messages protocol, put together event by event.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::refusal;
use crate::http::{Accumulator, without_nul};
use crate::identifiers::{fresh_call_ids, taken_call_ids};
use crate::sse::Event;
use crate::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, Message, Role, StopReason, ToolCall, Usage,
};

/// What has come of an answer so far.
pub(super) struct Answer {
    provider: String,
    /// The `PROVIDER/MODEL` that was asked.
    origin: String,
    /// The ids of earlier calls, so that one that comes again gets another.
    taken_ids: HashSet<String>,
    /// Ids for calls that come without.
    fresh_ids: Box<dyn Iterator<Item = String> + Send>,
    /// In the order in which they began, each with the index by which the server means it.
    blocks: Vec<(u64, Block)>,
    stop: Option<String>,
    stop_details: Value,
    usage: Usage,
}

enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    ToolUse {
        id: String,
        name: String,
        /// What the block began with; used when nothing follows.
        input: Value,
        json: String,
    },
    /// Something for the provider only, with the JSON of its `input` if that comes in pieces.
    Opaque {
        block: Map<String, Value>,
        json: String,
    },
}

impl Accumulator for Answer {
    fn on_event(&mut self, event: &Event) -> Result<Vec<LlmEvent>, LlmError> {
        let data = event.data.trim();
        // Some servers end with a word of another protocol.
        if data.is_empty() || data == "[DONE]" {
            return Ok(Vec::new());
        }
        // Read leniently: what is missing is empty, what is unknown is left out.
        let mut wire: Value = serde_json::from_str(&without_nul(data))
            .map_err(|error| self.protocol(&format!("an event that is no JSON: {error}")))?;
        if !wire.is_object() {
            return Err(self.protocol("an event that is no JSON object"));
        }
        let kind = match event.name.as_deref() {
            // Some servers send the error itself, whose `type` is then that of the error.
            Some("error") => "error",
            name => wire["type"].as_str().or(name).unwrap_or_default(),
        };
        let index = wire["index"].as_u64().unwrap_or_default();
        match kind {
            "message_start" => {
                self.count(&wire["message"]["usage"]);
                Ok(Vec::new())
            }
            "content_block_start" => Ok(self.begin(index, wire["content_block"].take())),
            "content_block_delta" => self.extend(index, &wire["delta"]),
            "message_delta" => {
                let delta = &wire["delta"];
                if let Some(stop) = delta["stop_reason"].as_str() {
                    self.stop = Some(stop.to_owned());
                    self.stop_details = delta["stop_details"].clone();
                }
                self.count(&wire["usage"]);
                Ok(Vec::new())
            }
            "message_stop" => Ok(vec![LlmEvent::Done(self.finish()?)]),
            "error" => {
                if wire["error"].is_null() && !wire["message"].is_null() {
                    wire = json!({ "error": wire });
                }
                let error = refusal::parse(&self.provider, 200, &wire);
                Err(error.unwrap_or_else(|| self.protocol("an error without a reason")))
            }
            // `ping`, the end of a block, and what later versions may add.
            _ => Ok(Vec::new()),
        }
    }
}

impl Answer {
    pub(super) fn new(provider: &str, origin: String, messages: &[Message]) -> Self {
        Self {
            provider: provider.to_owned(),
            origin,
            taken_ids: taken_call_ids(messages),
            fresh_ids: Box::new(fresh_call_ids(messages, "call")),
            blocks: Vec::new(),
            stop: None,
            stop_details: Value::Null,
            usage: Usage::default(),
        }
    }

    fn protocol(&self, message: &str) -> LlmError {
        LlmError::new(self.provider.clone(), ErrorKind::Protocol, message)
    }

    /// Takes over the counts that are there: later ones include earlier ones.
    fn count(&mut self, usage: &Value) {
        for (name, total) in [
            ("input_tokens", &mut self.usage.input),
            ("output_tokens", &mut self.usage.output),
            ("cache_read_input_tokens", &mut self.usage.cache_read),
            ("cache_creation_input_tokens", &mut self.usage.cache_write),
        ] {
            if let Some(count) = usage[name].as_u64() {
                *total = count;
            }
        }
    }

    /// Begins a block. It may hold something already.
    fn begin(&mut self, index: u64, block: Value) -> Vec<LlmEvent> {
        let mut told = Vec::new();
        let block = match block["type"].as_str() {
            Some("text") => {
                let text = without_nul(str(&block["text"]));
                told.extend(shown(LlmEvent::TextDelta, &text));
                Block::Text(text)
            }
            Some("thinking") => {
                let text = string(&block["thinking"]);
                told.extend(shown(LlmEvent::ThinkingDelta, &text));
                Block::Thinking {
                    text,
                    signature: string(&block["signature"]),
                }
            }
            Some("tool_use") => Block::ToolUse {
                id: string(&block["id"]),
                name: string(&block["name"]),
                input: block["input"].clone(),
                json: String::new(),
            },
            _ => match block {
                Value::Object(block) => Block::Opaque {
                    block,
                    json: String::new(),
                },
                _ => return told,
            },
        };
        self.blocks.push((index, block));
        told
    }

    /// Adds a piece to the newest block of that index; a block that was not announced begins with it.
    fn extend(&mut self, index: u64, delta: &Value) -> Result<Vec<LlmEvent>, LlmError> {
        let kind = delta["type"].as_str().unwrap_or_default();
        let at = self.blocks.iter().rposition(|(known, _)| *known == index);
        let block = at.map(|at| &mut self.blocks[at].1);
        match (kind, block) {
            ("text_delta", Some(Block::Text(text))) => {
                let more = without_nul(str(&delta["text"]));
                text.push_str(&more);
                Ok(shown(LlmEvent::TextDelta, &more))
            }
            ("thinking_delta", Some(Block::Thinking { text, .. })) => {
                let more = str(&delta["thinking"]);
                text.push_str(more);
                Ok(shown(LlmEvent::ThinkingDelta, more))
            }
            ("signature_delta", Some(Block::Thinking { signature, .. })) => {
                signature.push_str(str(&delta["signature"]));
                Ok(Vec::new())
            }
            (
                "input_json_delta",
                Some(Block::ToolUse { json, .. } | Block::Opaque { json, .. }),
            ) => {
                json.push_str(str(&delta["partial_json"]));
                Ok(Vec::new())
            }
            (_, Some(Block::Opaque { block, .. })) => {
                merge(block, delta);
                Ok(Vec::new())
            }
            ("text_delta", _) => Ok(self.begin(index, unannounced("text", delta))),
            ("thinking_delta", _) => Ok(self.begin(index, unannounced("thinking", delta))),
            // A call that nobody announced has no name, so it cannot be run; to go on would mean to
            // take an answer for complete that is not.
            ("input_json_delta", _) => Err(self.protocol("arguments that belong to no tool call")),
            // Sources of a text, and what later versions may add.
            _ => Ok(Vec::new()),
        }
    }

    fn finish(&mut self) -> Result<Completion, LlmError> {
        let mut stop = self.stop_reason();
        let may_be_incomplete = match stop {
            StopReason::Length | StopReason::ContextFull | StopReason::Refused { .. } => true,
            StopReason::End | StopReason::ToolUse | StopReason::Pause => false,
        };
        let mut content = Vec::new();
        let mut calls = 0;
        for (_, block) in std::mem::take(&mut self.blocks) {
            match block {
                Block::Text(text) if text.is_empty() => {}
                Block::Text(text) => content.push(Content::Text { text }),
                Block::Thinking { text, signature } => {
                    let signature = Some(signature).filter(|signature| !signature.is_empty());
                    if signature.is_some() || !text.is_empty() {
                        content.push(Content::Thinking { text, signature });
                    }
                }
                Block::ToolUse {
                    id,
                    name,
                    input,
                    json,
                } => {
                    let arguments = match arguments(input, &json) {
                        Some(arguments) if !name.is_empty() => arguments,
                        // Half a call: what it would have done is unknown, so it is none.
                        _ if may_be_incomplete => continue,
                        Some(_) => return Err(self.protocol("a tool call without a name")),
                        None => {
                            let message = format!(
                                "arguments of the tool call `{name}` that are no JSON object"
                            );
                            return Err(self.protocol(&message));
                        }
                    };
                    calls += 1;
                    let id = self.own_id(id);
                    content.push(Content::ToolCall(ToolCall {
                        id,
                        name,
                        arguments,
                    }));
                }
                Block::Opaque { mut block, json } => {
                    if let Ok(input) = serde_json::from_str(&json) {
                        block.insert("input".to_owned(), input);
                    }
                    content.push(Content::Opaque {
                        block: Value::Object(block),
                    });
                }
            }
        }
        // Imitators are not to be trusted with the reason, only with the calls.
        stop = match stop {
            StopReason::End if calls > 0 => StopReason::ToolUse,
            StopReason::ToolUse if calls == 0 => StopReason::End,
            stop => stop,
        };
        let message = Message {
            role: Role::Assistant,
            content,
            origin: Some(self.origin.clone()),
        };
        Ok(Completion {
            message,
            stop,
            usage: self.usage,
        })
    }

    /// Returns the id of a call, or another if there is none or it was there before: results find their
    /// calls by it.
    fn own_id(&mut self, id: String) -> String {
        if !id.is_empty() && self.taken_ids.insert(id.clone()) {
            return id;
        }
        let taken = &mut self.taken_ids;
        let fresh = self.fresh_ids.by_ref();
        fresh
            .find(|id| taken.insert(id.clone()))
            .expect("fresh ids have no end")
    }

    fn stop_reason(&self) -> StopReason {
        match self.stop.as_deref() {
            None | Some("end_turn" | "stop_sequence") => StopReason::End,
            Some("tool_use") => StopReason::ToolUse,
            Some("max_tokens") => StopReason::Length,
            Some("model_context_window_exceeded") => StopReason::ContextFull,
            Some("pause_turn") => StopReason::Pause,
            Some("refusal") => {
                let detail = |name: &str| self.stop_details[name].as_str().map(str::to_owned);
                StopReason::Refused {
                    reason: detail("explanation").or_else(|| detail("category")),
                }
            }
            Some(reason) => {
                tracing::warn!(provider = self.provider, reason, "unknown stop reason");
                StopReason::End
            }
        }
    }
}

/// Returns the arguments of a call: those that came in pieces, or those that it began with.
fn arguments(input: Value, json: &str) -> Option<Map<String, Value>> {
    if json.trim().is_empty() {
        return match input {
            Value::Object(input) => Some(input),
            Value::Null => Some(Map::new()),
            _ => None,
        };
    }
    serde_json::from_str(json).ok()
}

/// Adds what a delta brings to a block that only its provider understands.
fn merge(block: &mut Map<String, Value>, delta: &Value) {
    for (name, more) in delta.as_object().into_iter().flatten() {
        if name == "type" {
            continue;
        }
        match (block.get_mut(name), more) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            _ => {
                block.insert(name.clone(), more.clone());
            }
        }
    }
}

/// Makes the block that a delta should have been announced by.
fn unannounced(kind: &str, delta: &Value) -> Value {
    json!({ "type": kind, kind: delta[kind] })
}

fn shown(event: fn(String) -> LlmEvent, text: &str) -> Vec<LlmEvent> {
    if text.is_empty() {
        return Vec::new();
    }
    vec![event(text.to_owned())]
}

fn str(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn string(value: &Value) -> String {
    str(value).to_owned()
}
