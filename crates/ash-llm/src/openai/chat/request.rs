//! From a [`Request`] to the body that is sent.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::ability::Ability;
use super::super::{MAX_NAME, cache_key, data_url, system_prompt, tool_output};
use super::REASONING_FIELDS;
use crate::identifiers::identifier;
use crate::{Content, Message, Request, ResultContent, Role, ToolCall, ToolResult, ToolSpec};

/// The longest id of a call that is accepted.
const MAX_ID: usize = 40;

/// The body, with what grows at the end: that of the next request begins with the same bytes.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    stream_options: Value,
    /// The name that most servers know.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    /// The name that `OpenAI` wants, and the only one that its reasoning models accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    messages: Vec<Value>,
}

/// Writes a request. `model_id` says whose reasoning may be replayed.
pub(in super::super) fn body(request: &Request, model_id: &str, is_official: bool) -> Vec<u8> {
    let ability = Ability::of(&request.model);
    let max_tokens = ability.output_tokens(request.max_tokens, request.thinking);
    let new_name = is_official || ability.reasons;
    let system = system_prompt(request).map(|text| json!({"role": "system", "content": text}));
    let messages = request
        .messages
        .iter()
        .flat_map(|message| entries(message, model_id));
    let messages = if is_official {
        messages.collect()
    } else {
        in_turns(messages)
    };
    let body = Body {
        model: &request.model,
        stream: true,
        stream_options: json!({"include_usage": true}),
        max_tokens: (!new_name).then_some(max_tokens),
        max_completion_tokens: new_name.then_some(max_tokens),
        temperature: request.temperature.filter(|_| !ability.reasons),
        reasoning_effort: effort(request, ability, is_official),
        // Strict servers refuse a field that they do not know.
        prompt_cache_key: cache_key(request).filter(|_| is_official),
        tools: request.tools.iter().map(tool).collect(),
        messages: system.into_iter().chain(messages).collect(),
    };
    serde_json::to_vec(&body).expect("strings and JSON values can be written")
}

/// Elsewhere a model of any name may reason; there the effort is sent because it was set.
fn effort(request: &Request, ability: Ability, is_official: bool) -> Option<&'static str> {
    let effort = ability.effort(request.thinking?);
    let is_kept_from_tools =
        ability.keeps_effort_from_tools && !request.tools.is_empty() && effort != "none";
    ((ability.reasons || ability.may_reason && !is_official) && !is_kept_from_tools)
        .then_some(effort)
}

/// Lets user and assistant take turns, as the templates of many small models demand. Two answers in a
/// row are no two requests apart, so joining them breaks no prefix; two questions in a row may be, so
/// what is missing between them is said.
fn in_turns(entries: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut turns: Vec<Value> = Vec::new();
    for mut entry in entries {
        let before = turns
            .last()
            .map_or("", |last| last["role"].as_str().unwrap_or_default());
        match (before, entry["role"].as_str().unwrap_or_default()) {
            ("user", "user") => turns.push(json!({"role": "assistant", "content": "(no answer)"})),
            ("", "assistant") => turns.push(json!({"role": "user", "content": "(no question)"})),
            ("assistant", "assistant") => {
                let earlier = turns.pop().unwrap_or_default();
                let texts = [&earlier["content"], &entry["content"]];
                let texts: Vec<&str> = texts.into_iter().filter_map(Value::as_str).collect();
                entry["content"] = texts.join("\n\n").into();
            }
            _ => {}
        }
        turns.push(entry);
    }
    turns
}

fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    })
}

fn entries(message: &Message, model_id: &str) -> Vec<Value> {
    match message.role {
        Role::User => user_entries(message),
        Role::Assistant => assistant_entry(message, model_id).into_iter().collect(),
    }
}

/// Results come first, each an entry of its own. They cannot hold pictures, so pictures follow with
/// the person's words, after all of them.
fn user_entries(message: &Message) -> Vec<Value> {
    let mut entries: Vec<Value> = message.results().map(result).collect();
    let mut parts: Vec<Value> = message.results().flat_map(result_images).collect();
    parts.extend(message.content.iter().filter_map(|part| match part {
        Content::Text { text } | Content::Context { text } => text_part(text),
        Content::Image { media_type, data } => Some(image_part(media_type, data)),
        Content::ToolCall(_)
        | Content::ToolResult(_)
        | Content::Thinking { .. }
        | Content::Opaque { .. } => None,
    }));
    if !parts.is_empty() {
        entries.push(json!({"role": "user", "content": plain(parts)}));
    }
    entries
}

fn assistant_entry(message: &Message, model_id: &str) -> Option<Value> {
    let text = message.text();
    let calls: Vec<Value> = message.tool_calls().map(call).collect();
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let mut entry = Map::new();
    entry.insert("role".to_owned(), "assistant".into());
    entry.insert(
        "content".to_owned(),
        if text.is_empty() {
            Value::Null
        } else {
            text.into()
        },
    );
    if !calls.is_empty() {
        // Models that think between calls lose the thread without their thoughts.
        if message.origin.as_deref() == Some(model_id) {
            entry.extend(reasoning(message));
        }
        entry.insert("tool_calls".to_owned(), calls.into());
    }
    Some(entry.into())
}

fn reasoning(message: &Message) -> Option<(String, Value)> {
    message.content.iter().find_map(|part| match part {
        Content::Thinking {
            text,
            signature: Some(field),
        } if REASONING_FIELDS.contains(&field.as_str()) => {
            Some((field.clone(), text.as_str().into()))
        }
        _ => None,
    })
}

fn call(call: &ToolCall) -> Value {
    let arguments = Value::Object(call.arguments.clone()).to_string();
    json!({
        "id": identifier(&call.id, MAX_ID),
        "type": "function",
        "function": {"name": identifier(&call.name, MAX_NAME), "arguments": arguments},
    })
}

fn result(result: &ToolResult) -> Value {
    let text = result.joined_text();
    let content = if text.is_empty() && result_images(result).next().is_some() && !result.is_error {
        "(see the picture below)".to_owned()
    } else {
        tool_output(&text, result.is_error)
    };
    json!({"role": "tool", "tool_call_id": identifier(&result.call_id, MAX_ID), "content": content})
}

fn result_images(result: &ToolResult) -> impl Iterator<Item = Value> {
    result.content.iter().filter_map(|part| match part {
        ResultContent::Text { .. } => None,
        ResultContent::Image { media_type, data } => Some(image_part(media_type, data)),
    })
}

/// Turns words alone into a string: servers that know no pictures know no parts either.
fn plain(parts: Vec<Value>) -> Value {
    let texts: Option<Vec<&str>> = parts.iter().map(|part| part["text"].as_str()).collect();
    match texts {
        Some(texts) => texts.join("\n\n").into(),
        None => parts.into(),
    }
}

fn text_part(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn image_part(media_type: &str, data: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": data_url(media_type, data)}})
}
