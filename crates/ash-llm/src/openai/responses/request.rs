//! From a [`Request`] to the body that is sent.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::ability::Ability;
use super::super::{MAX_NAME, cache_key, data_url, system_prompt, tool_output};
use crate::identifiers::identifier;
use crate::{Content, Message, Request, ResultContent, Role, ToolCall, ToolResult, ToolSpec};

/// Fewer are refused.
const LEAST_OUTPUT_TOKENS: u32 = 16;

/// The longest id of a call that is accepted.
const MAX_ID: usize = 64;

/// The body, with what grows at the end: that of the next request begins with the same bytes.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    store: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Value>,
}

/// Writes a request. `model_id` says whose reasoning may be replayed.
pub(in super::super) fn body(request: &Request, model_id: &str) -> Vec<u8> {
    let ability = Ability::of(&request.model);
    let body = Body {
        model: &request.model,
        stream: true,
        store: false,
        // Nothing is kept at the server, so the reasoning has to come along to be replayed. Models
        // without reasoning refuse to be asked for it.
        include: if ability.reasons {
            vec!["reasoning.encrypted_content"]
        } else {
            Vec::new()
        },
        reasoning: request
            .thinking
            .filter(|_| ability.reasons)
            .map(|thinking| json!({"effort": ability.effort(thinking)})),
        max_output_tokens: max_output_tokens(request),
        temperature: request.temperature.filter(|_| !ability.reasons),
        prompt_cache_key: cache_key(request),
        tools: request.tools.iter().map(tool).collect(),
        instructions: system_prompt(request),
        input: request
            .messages
            .iter()
            .flat_map(|message| items(message, model_id))
            .collect(),
    };
    serde_json::to_vec(&body).expect("strings and JSON values can be written")
}

/// Returns the most tokens that are asked for.
pub(super) fn max_output_tokens(request: &Request) -> u32 {
    Ability::of(&request.model)
        .output_tokens(request.max_tokens, request.thinking)
        .max(LEAST_OUTPUT_TOKENS)
}

/// Without `strict: false` the server demands schemas in which every argument is required.
fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn items(message: &Message, model_id: &str) -> Vec<Value> {
    match message.role {
        Role::User => user_items(message),
        Role::Assistant => assistant_items(message, model_id),
    }
}

/// Results come first: nothing may stand between a call and its result.
fn user_items(message: &Message) -> Vec<Value> {
    let mut items: Vec<Value> = message.results().map(result).collect();
    let parts: Vec<Value> = message
        .content
        .iter()
        .filter_map(|part| match part {
            Content::Text { text } | Content::Context { text } => input_text(text),
            Content::Image { media_type, data } => Some(input_image(media_type, data)),
            Content::ToolCall(_)
            | Content::ToolResult(_)
            | Content::Thinking { .. }
            | Content::Opaque { .. } => None,
        })
        .collect();
    if !parts.is_empty() {
        items.push(json!({"type": "message", "role": "user", "content": parts}));
    }
    items
}

fn assistant_items(message: &Message, model_id: &str) -> Vec<Value> {
    let is_own = message.origin.as_deref() == Some(model_id);
    let mut items = Vec::new();
    for part in &message.content {
        match part {
            Content::Text { text } | Content::Context { text } if !text.is_empty() => {
                let content = json!([{"type": "output_text", "text": text}]);
                items.push(json!({"type": "message", "role": "assistant", "content": content}));
            }
            Content::ToolCall(ToolCall {
                id,
                name,
                arguments,
            }) => {
                let arguments = Value::Object(arguments.clone()).to_string();
                items.push(json!({"type": "function_call", "call_id": identifier(id, MAX_ID), "name": identifier(name, MAX_NAME), "arguments": arguments}));
            }
            Content::Opaque { block } if is_own && is_reasoning(block) => items.push(block.clone()),
            Content::Text { .. }
            | Content::Context { .. }
            | Content::Image { .. }
            | Content::ToolResult(_)
            | Content::Thinking { .. }
            | Content::Opaque { .. } => {}
        }
    }
    // Reasoning without what it led to is refused.
    let led_somewhere = items
        .iter()
        .rposition(|item| !is_reasoning(item))
        .map_or(0, |last| last + 1);
    items.truncate(led_somewhere);
    items
}

fn is_reasoning(item: &Value) -> bool {
    item["type"] == "reasoning"
}

fn result(result: &ToolResult) -> Value {
    let has_image = result
        .content
        .iter()
        .any(|part| matches!(part, ResultContent::Image { .. }));
    let text = result.joined_text();
    let output = if has_image {
        let words =
            (!text.is_empty() || result.is_error).then(|| tool_output(&text, result.is_error));
        let images = result.content.iter().filter_map(|part| match part {
            ResultContent::Text { .. } => None,
            ResultContent::Image { media_type, data } => Some(input_image(media_type, data)),
        });
        Value::Array(
            words
                .as_deref()
                .and_then(input_text)
                .into_iter()
                .chain(images)
                .collect(),
        )
    } else {
        tool_output(&text, result.is_error).into()
    };
    json!({"type": "function_call_output", "call_id": identifier(&result.call_id, MAX_ID), "output": output})
}

fn input_text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "input_text", "text": text}))
}

fn input_image(media_type: &str, data: &str) -> Value {
    json!({"type": "input_image", "image_url": data_url(media_type, data), "detail": "auto"})
}
