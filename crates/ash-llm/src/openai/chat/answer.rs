//! From the chunks of a chat completion to a [`Completion`].

use std::collections::HashSet;

use serde_json::Value;

use super::super::error;
use super::REASONING_FIELDS;
use super::calls::Calls;
use crate::http::{Accumulator, without_nul};
use crate::identifiers::{fresh_call_ids, taken_call_ids};
use crate::sse::Event;
use crate::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, Message, Request, Role, StopReason, Usage,
    estimate,
};

/// Understands one completion.
pub(in super::super) struct Answer {
    provider: String,
    model_id: String,
    /// What the prompt counts as if the server does not say.
    prompt_estimate: u64,
    taken_ids: HashSet<String>,
    fresh_ids: Box<dyn Iterator<Item = String> + Send>,
    text: String,
    thinking: String,
    /// The field in which reasoning came first; servers that send both send the same twice.
    thinking_field: Option<&'static str>,
    is_refusal: bool,
    calls: Calls,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// Why the model stopped, the gravest last: servers send a second, milder reason after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finish {
    Done,
    Filtered,
    Length,
}

impl Answer {
    /// Begins an answer to a request.
    pub(in super::super) fn new(provider: &str, model_id: String, request: &Request) -> Self {
        Self {
            provider: provider.to_owned(),
            model_id,
            prompt_estimate: estimate::request_tokens(request),
            taken_ids: taken_call_ids(&request.messages),
            fresh_ids: Box::new(fresh_call_ids(&request.messages, "call")),
            text: String::new(),
            thinking: String::new(),
            thinking_field: None,
            is_refusal: false,
            calls: Calls::default(),
            finish: None,
            usage: None,
        }
    }

    fn on_chunk(&mut self, chunk: &Value) -> Result<Vec<LlmEvent>, LlmError> {
        if let Some(error) = error::parse(&self.provider, 200, chunk) {
            return Err(error);
        }
        if let Some(usage) = usage(chunk) {
            self.usage = Some(usage);
        }
        // The chunk with the usage has no choice; more than one is never asked for.
        let choices = chunk
            .get("choices")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let Some(choice) = choices
            .iter()
            .find(|choice| choice["index"].as_u64().unwrap_or(0) == 0)
        else {
            return Ok(Vec::new());
        };
        if let Some(error) = error::parse(&self.provider, 200, choice) {
            return Err(error);
        }
        let delta = choice
            .get("delta")
            .or_else(|| choice.get("message"))
            .unwrap_or(&Value::Null);
        let events = self.on_delta(delta)?;
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            let finish = self.finish_of(reason)?;
            self.finish = self.finish.max(Some(finish));
        }
        Ok(events)
    }

    fn on_delta(&mut self, delta: &Value) -> Result<Vec<LlmEvent>, LlmError> {
        let mut events = Vec::new();
        let field = self.thinking_field.or_else(|| {
            REASONING_FIELDS
                .into_iter()
                .find(|field| delta[*field].as_str().is_some_and(|text| !text.is_empty()))
        });
        if let Some(field) = field {
            self.thinking_field = Some(field);
            let thought = without_nul(delta[field].as_str().unwrap_or_default());
            if !thought.is_empty() {
                self.thinking.push_str(&thought);
                events.push(LlmEvent::ThinkingDelta(thought));
            }
        }
        let refusal = delta["refusal"].as_str().unwrap_or_default();
        self.is_refusal |= !refusal.is_empty();
        let text = without_nul(&(words(&delta["content"]) + refusal));
        if !text.is_empty() {
            self.text.push_str(&text);
            events.push(LlmEvent::TextDelta(text));
        }
        if let Some(pieces) = delta["tool_calls"].as_array() {
            self.calls
                .add_all(pieces)
                .map_err(|why| self.fail(ErrorKind::Protocol, &why))?;
        }
        if delta["function_call"].is_object() {
            self.calls
                .add_single(&delta["function_call"])
                .map_err(|why| self.fail(ErrorKind::Protocol, &why))?;
        }
        Ok(events)
    }

    /// Whether tools are called is decided by the calls, not by this word: servers say `stop` too.
    fn finish_of(&self, reason: &str) -> Result<Finish, LlmError> {
        match reason {
            "length" | "max_tokens" | "model_length" => Ok(Finish::Length),
            "content_filter" => Ok(Finish::Filtered),
            "error" => Err(self.fail(
                ErrorKind::Server,
                "the provider failed in the middle of the answer",
            )),
            "abort" => Err(self.fail(ErrorKind::CutOff, "the server aborted the answer")),
            "insufficient_system_resource" => {
                Err(self.fail(ErrorKind::Overloaded, "the provider is overloaded"))
            }
            _ => Ok(Finish::Done),
        }
    }

    fn complete(&mut self) -> Result<Vec<LlmEvent>, LlmError> {
        let finish = self.finish.unwrap_or(Finish::Done);
        let calls = std::mem::take(&mut self.calls);
        let calls = match finish {
            Finish::Done => calls
                .finish(&mut self.taken_ids, &mut self.fresh_ids)
                .map_err(|why| self.fail(ErrorKind::Protocol, &why))?,
            // A call in an answer that was cut off may be cut off itself, and must not run.
            Finish::Filtered | Finish::Length => Vec::new(),
        };
        let stop = match finish {
            Finish::Length => StopReason::Length,
            Finish::Filtered => StopReason::Refused {
                reason: Some("the provider's content filter stepped in".to_owned()),
            },
            Finish::Done if !calls.is_empty() => StopReason::ToolUse,
            Finish::Done if self.is_refusal => StopReason::Refused { reason: None },
            Finish::Done => StopReason::End,
        };
        let usage = self.usage.unwrap_or_else(|| Usage {
            input: self.prompt_estimate,
            output: estimate::answer_tokens(&self.text, &calls)
                + estimate::answer_tokens(&self.thinking, &[]),
            ..Usage::default()
        });
        let mut content = Vec::new();
        if !self.thinking.is_empty() {
            let text = std::mem::take(&mut self.thinking);
            content.push(Content::Thinking {
                text,
                signature: self.thinking_field.map(str::to_owned),
            });
        }
        if !self.text.is_empty() {
            content.push(Content::Text {
                text: std::mem::take(&mut self.text),
            });
        }
        content.extend(calls.into_iter().map(Content::ToolCall));
        let message = Message {
            role: Role::Assistant,
            content,
            origin: Some(self.model_id.clone()),
        };
        Ok(vec![LlmEvent::Done(Completion {
            message,
            stop,
            usage,
        })])
    }

    fn fail(&self, kind: ErrorKind, message: &str) -> LlmError {
        LlmError::new(self.provider.clone(), kind, message)
    }
}

impl Accumulator for Answer {
    fn on_event(&mut self, event: &Event) -> Result<Vec<LlmEvent>, LlmError> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(Vec::new());
        }
        if data == "[DONE]" {
            return self.complete();
        }
        let chunk: Value = serde_json::from_str(&without_nul(data)).map_err(|error| {
            self.fail(ErrorKind::Protocol, &format!("a chunk is no JSON: {error}"))
        })?;
        self.on_chunk(&chunk)
    }

    /// Not every server sends `[DONE]`. The reason for stopping shows that nothing is missing; the
    /// usage may be.
    fn at_end(&mut self) -> Result<Vec<LlmEvent>, LlmError> {
        if self.finish.is_none() {
            return Ok(Vec::new());
        }
        self.complete()
    }
}

/// Reads content, a string or a list of parts.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// What the server counts as prompt holds what came from the cache and what went there.
fn usage(chunk: &Value) -> Option<Usage> {
    let usage = chunk.get("usage").filter(|usage| usage.is_object())?;
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let details = &usage["prompt_tokens_details"];
    let cache_read = count(&details["cached_tokens"]).max(count(&usage["prompt_cache_hit_tokens"]));
    let cache_write = count(&details["cache_write_tokens"]);
    Some(Usage {
        input: count(&usage["prompt_tokens"])
            .saturating_sub(cache_read)
            .saturating_sub(cache_write),
        output: count(&usage["completion_tokens"]),
        cache_read,
        cache_write,
    })
}
