//! From the events of a response to a [`Completion`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{error, parse_arguments};
use super::request::max_output_tokens;
use crate::http::{Accumulator, without_nul};
use crate::sse::Event;
use crate::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, Message, Request, Role, StopReason,
    ToolCall, Usage, estimate,
};

/// Understands one response.
pub(in super::super) struct Answer {
    provider: String,
    model_id: String,
    /// What the prompt counts as if the server does not say.
    prompt_estimate: u64,
    /// The items that are finished, by their place. The server says each as a whole in the end, and
    /// that is what counts; the pieces before it are for display.
    items: BTreeMap<u64, Value>,
    /// What was shown of the text of each item.
    shown: BTreeMap<u64, String>,
    /// The ids of items that have no place, in the order in which they began.
    placeless: Vec<String>,
    /// The most tokens that were asked for.
    max_output_tokens: u64,
}

impl Answer {
    /// Begins an answer to a request.
    pub(in super::super) fn new(provider: &str, model_id: String, request: &Request) -> Self {
        Self {
            provider: provider.to_owned(),
            model_id,
            prompt_estimate: estimate::request_tokens(request),
            items: BTreeMap::new(),
            shown: BTreeMap::new(),
            placeless: Vec::new(),
            max_output_tokens: u64::from(max_output_tokens(request)),
        }
    }

    fn show(&mut self, data: &Value) -> Vec<LlmEvent> {
        let delta = without_nul(text_at(data, "delta"));
        if delta.is_empty() {
            return Vec::new();
        }
        let place = self.place(data);
        self.shown.entry(place).or_default().push_str(&delta);
        vec![LlmEvent::TextDelta(delta)]
    }

    /// Keeps a finished item, and shows what a server that does not stream pieces left out.
    fn finish_item(&mut self, data: &Value) -> Vec<LlmEvent> {
        let place = self.place(data);
        let item = data.get("item").cloned().unwrap_or_default();
        let text = message_text(&item);
        self.items.insert(place, item);
        let shown = self.shown.entry(place).or_default();
        match text.strip_prefix(shown.as_str()) {
            Some(rest) if !rest.is_empty() => {
                let rest = rest.to_owned();
                shown.push_str(&rest);
                vec![LlmEvent::TextDelta(rest)]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Ends the answer, with the reason that cut it off if one did.
    fn finish(&mut self, data: &Value, cut: Option<StopReason>) -> Result<Vec<LlmEvent>, LlmError> {
        let response = data.get("response").unwrap_or(&Value::Null);
        let mut events = Vec::new();
        let is_told_at_once = self.items.is_empty();
        if let Some(output) = response
            .get("output")
            .and_then(Value::as_array)
            .filter(|_| is_told_at_once)
        {
            for (place, item) in output.iter().enumerate() {
                let data = serde_json::json!({"output_index": place, "item": item});
                events.extend(self.finish_item(&data));
            }
        }
        let usage = usage(response);
        // Some servers call complete what they cut off.
        let is_full = usage.is_some_and(|usage| usage.output >= self.max_output_tokens);
        let cut = cut.or_else(|| is_full.then_some(StopReason::Length));
        let mut content = Vec::new();
        let mut is_refusal = false;
        for item in self.items.values() {
            is_refusal |= has_refusal(item);
            content.extend(self.content(item, cut.is_some())?);
        }
        let calls_tools = content
            .iter()
            .any(|part| matches!(part, Content::ToolCall(_)));
        let stop = match cut {
            Some(cut) => cut,
            None if calls_tools => StopReason::ToolUse,
            None if is_refusal => StopReason::Refused { reason: None },
            None => StopReason::End,
        };
        let message = Message {
            role: Role::Assistant,
            content,
            origin: Some(self.model_id.clone()),
        };
        let usage = usage.unwrap_or_else(|| Usage {
            input: self.prompt_estimate,
            output: estimate::answer_tokens(&message.text(), &[]),
            ..Usage::default()
        });
        events.push(LlmEvent::Done(Completion {
            message,
            stop,
            usage,
        }));
        Ok(events)
    }

    /// Tells items apart. Some servers do not count them, and announce all before they end the first.
    fn place(&mut self, data: &Value) -> u64 {
        if let Some(place) = data["output_index"].as_u64() {
            return place;
        }
        let id = match text_at(data, "item_id") {
            "" => text_at(&data["item"], "id"),
            id => id,
        };
        // Those without an id come one after the other.
        let is_over = |place: &u64| id.is_empty() && self.items.contains_key(place);
        let known = (0..)
            .zip(&self.placeless)
            .find(|(place, known)| *known == id && !is_over(place));
        if let Some((place, _)) = known {
            return place;
        }
        self.placeless.push(id.to_owned());
        self.placeless.len() as u64 - 1
    }

    fn content(&self, item: &Value, is_cut: bool) -> Result<Option<Content>, LlmError> {
        Ok(match text_at(item, "type") {
            "message" => {
                let text = message_text(item);
                (!text.is_empty()).then_some(Content::Text { text })
            }
            "reasoning" => reasoning(item),
            // A call in an answer that was cut off may be cut off itself, and must not run.
            "function_call" if !is_cut => Some(Content::ToolCall(self.call(item)?)),
            // Tools that run at the server are never asked for.
            _ => None,
        })
    }

    fn call(&self, item: &Value) -> Result<ToolCall, LlmError> {
        let (id, name) = (text_at(item, "call_id"), text_at(item, "name"));
        if id.is_empty() || name.is_empty() {
            return Err(self.garbled("a tool call has no id or no name"));
        }
        let arguments = parse_arguments(text_at(item, "arguments")).ok_or_else(|| {
            self.garbled(&format!(
                "the arguments of the call to {name} are no JSON object"
            ))
        })?;
        Ok(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        })
    }

    fn garbled(&self, message: &str) -> LlmError {
        LlmError::new(self.provider.clone(), ErrorKind::Protocol, message)
    }
}

impl Accumulator for Answer {
    fn on_event(&mut self, event: &Event) -> Result<Vec<LlmEvent>, LlmError> {
        let data = event.data.trim();
        if data.is_empty() || data == "[DONE]" {
            return Ok(Vec::new());
        }
        let data: Value = serde_json::from_str(&without_nul(data))
            .map_err(|error| self.garbled(&format!("an event is no JSON: {error}")))?;
        let kind = match text_at(&data, "type") {
            "" => event.name.as_deref().unwrap_or_default(),
            kind => kind,
        };
        match kind {
            "response.output_text.delta" | "response.refusal.delta" => Ok(self.show(&data)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let delta = text_at(&data, "delta");
                Ok(if delta.is_empty() {
                    Vec::new()
                } else {
                    vec![LlmEvent::ThinkingDelta(delta.to_owned())]
                })
            }
            "response.output_item.added" => {
                self.place(&data);
                Ok(Vec::new())
            }
            "response.output_item.done" => Ok(self.finish_item(&data)),
            "response.completed" => self.finish(&data, None),
            "response.incomplete" => {
                let cut = cut_reason(&data);
                self.finish(&data, Some(cut))
            }
            "response.failed" => Err(error::from_object(
                &self.provider,
                &data["response"]["error"],
            )),
            "error" => Err(error::from_object(&self.provider, &data)),
            // Some servers put a bare error object in the stream. Other events tell of progress.
            _ => match error::parse(&self.provider, 200, &data) {
                Some(error) => Err(error),
                None => Ok(Vec::new()),
            },
        }
    }
}

fn cut_reason(data: &Value) -> StopReason {
    match data["response"]["incomplete_details"]["reason"].as_str() {
        Some("content_filter") => StopReason::Refused {
            reason: Some("the provider's content filter stepped in".to_owned()),
        },
        Some(_) | None => StopReason::Length,
    }
}

/// Keeps reasoning in the form in which it can be replayed, if there is one.
fn reasoning(item: &Value) -> Option<Content> {
    if item["encrypted_content"].is_string() {
        return Some(Content::Opaque {
            block: item.clone(),
        });
    }
    let texts = |key: &str| -> String {
        let parts = item[key].as_array().map(Vec::as_slice).unwrap_or_default();
        parts
            .iter()
            .map(|part| text_at(part, "text"))
            .collect::<Vec<_>>()
            .join("\n\n")
    };
    let text = [texts("summary"), texts("content")]
        .into_iter()
        .find(|text| !text.is_empty())?;
    Some(Content::Thinking {
        text,
        signature: None,
    })
}

fn message_text(item: &Value) -> String {
    if text_at(item, "type") != "message" {
        return String::new();
    }
    let parts = item["content"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let texts = parts.iter().map(|part| match text_at(part, "type") {
        "refusal" => text_at(part, "refusal"),
        _ => text_at(part, "text"),
    });
    without_nul(&texts.collect::<String>())
}

fn has_refusal(item: &Value) -> bool {
    let parts = item["content"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    parts.iter().any(|part| text_at(part, "type") == "refusal")
}

/// What the server counts as input holds what came from the cache and what went there.
fn usage(response: &Value) -> Option<Usage> {
    let usage = response.get("usage").filter(|usage| usage.is_object())?;
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let cache_read = count(&usage["input_tokens_details"]["cached_tokens"]);
    let cache_write = count(&usage["input_tokens_details"]["cache_write_tokens"]);
    Some(Usage {
        input: count(&usage["input_tokens"])
            .saturating_sub(cache_read)
            .saturating_sub(cache_write),
        output: count(&usage["output_tokens"]),
        cache_read,
        cache_write,
    })
}

fn text_at<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
