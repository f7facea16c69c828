//! Judges the body of a Responses request, in the vendor's words.

use serde_json::Value;

use super::OpenAi;
use super::chat::check_image;
use super::fields::{
    Fields, array, at_most, boolean, integer, invalid, join, object, only, optional, refused,
    required, string, unsupported, word,
};
use super::model::Model;
use super::tools::{self, Nesting};
use crate::proof::sign;
use crate::server::{Issued, Refusal};

const FIELDS: [&str; 31] = [
    "background",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_breakpoint",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

const INCLUDES: [&str; 4] = [
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
];

pub(super) fn check(server: &OpenAi, body: &Fields, issued: &Issued) -> Result<(), Refusal> {
    only(body, "", &FIELDS)?;
    let name = string(body, "", "model")?;
    let model = server.model(name)?;
    integer(body, "max_output_tokens", 16)?;
    check_by_model(body, model)?;
    check_small_fields(body)?;
    tools::check(body, Nesting::Flat)?;
    let Some(input) = optional(body, "input") else {
        return Err(refused(
            "input",
            "missing_required_parameter",
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be \
             provided.",
        ));
    };
    if input.is_string() {
        return Ok(());
    }
    let items = array(input, "input")?;
    let conversation = Conversation {
        model: name,
        stores: boolean(body, "", "store")? != Some(false),
        issued,
    };
    for (at, item) in items.iter().enumerate() {
        conversation.check_item(item, &format!("input[{at}]"))?;
    }
    check_pairs(items)?;
    conversation.check_reasoning(items)
}

fn check_by_model(body: &Fields, model: Model) -> Result<(), Refusal> {
    let unfit = |key: &str| {
        unsupported(
            key,
            format!("Unsupported parameter: '{key}' is not supported with this model."),
        )
    };
    for (key, most) in [("temperature", 2.0), ("top_p", 1.0)] {
        let Some(value) = optional(body, key) else {
            continue;
        };
        if model.reasons() {
            return Err(unfit(key));
        }
        if value.as_f64().is_none_or(|v| !(0.0..=most).contains(&v)) {
            return Err(refused(
                key,
                "decimal_above_max_value",
                format!("Invalid '{key}': expected a number from 0 to {most}."),
            ));
        }
    }
    if let Some(reasoning) = optional(body, "reasoning") {
        let path = "reasoning";
        let reasoning = object(reasoning, path)?;
        only(reasoning, path, &["effort", "summary", "generate_summary"])?;
        let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
        let summaries = ["auto", "concise", "detailed"];
        for (key, words) in [("effort", &efforts[..]), ("summary", &summaries[..])] {
            if optional(reasoning, key).is_some() {
                word(reasoning, path, key, words)?;
                if !model.reasons() {
                    return Err(unfit(&join(path, key)));
                }
            }
        }
    }
    if let Some(includes) = optional(body, "include") {
        for (at, include) in includes.as_array().into_iter().flatten().enumerate() {
            let include = include.as_str().unwrap_or_default();
            if !INCLUDES.contains(&include) {
                let param = format!("include[{at}]");
                return Err(super::fields::invalid_value(&param, include, &INCLUDES));
            }
            if include == "reasoning.encrypted_content" && !model.reasons() {
                return Err(Refusal {
                    param: Some("include".into()),
                    ..invalid("Encrypted content is not supported with this model.")
                });
            }
        }
    }
    for key in ["prompt_cache_breakpoint", "prompt_cache_options"] {
        if optional(body, key).is_some() && !model.takes_cache_breakpoints() {
            return Err(unfit(key));
        }
    }
    Ok(())
}

fn check_small_fields(body: &Fields) -> Result<(), Refusal> {
    boolean(body, "", "stream")?;
    boolean(body, "", "store")?;
    if optional(body, "instructions").is_some() {
        string(body, "", "instructions")?;
    }
    if optional(body, "prompt_cache_key").is_some() {
        at_most(
            string(body, "", "prompt_cache_key")?,
            "prompt_cache_key",
            64,
        )?;
    }
    if optional(body, "truncation").is_some() {
        word(body, "", "truncation", &["auto", "disabled"])?;
    }
    if let Some(options) = optional(body, "stream_options") {
        let path = "stream_options";
        let options = object(options, path)?;
        only(options, path, &["include_obfuscation"])?;
        boolean(options, path, "include_obfuscation")?;
    }
    if let Some(text) = optional(body, "text") {
        only(object(text, "text")?, "text", &["format", "verbosity"])?;
    }
    if optional(body, "previous_response_id").is_some() {
        return Err(refused(
            "previous_response_id",
            "previous_response_not_found",
            "Previous response not found.",
        ));
    }
    Ok(())
}

/// What the items of a conversation are judged by.
struct Conversation<'a> {
    model: &'a str,
    stores: bool,
    issued: &'a Issued,
}

impl Conversation<'_> {
    fn check_item(&self, item: &Value, path: &str) -> Result<(), Refusal> {
        let item = object(item, path)?;
        let kind = match optional(item, "type") {
            None => "message",
            Some(_) => word(
                item,
                path,
                "type",
                &[
                    "message",
                    "function_call",
                    "function_call_output",
                    "reasoning",
                ],
            )?,
        };
        match kind {
            "message" => check_message(item, path),
            "function_call" => check_call(item, path),
            "function_call_output" => {
                let known = ["type", "id", "call_id", "output", "status"];
                only(item, path, &known)?;
                check_call_id(item, path)?;
                let output = required(item, path, "output")?;
                let kinds = ["input_text", "input_image", "input_file"];
                check_parts(output, &join(path, "output"), &kinds)
            }
            _ => self.check_thought(item, path),
        }
    }

    fn check_thought(&self, item: &Fields, path: &str) -> Result<(), Refusal> {
        let known = [
            "type",
            "id",
            "summary",
            "encrypted_content",
            "content",
            "status",
        ];
        only(item, path, &known)?;
        let id = string(item, path, "id")?;
        check_prefix(id, path, "rs")?;
        let summary = required(item, path, "summary")?;
        if !summary.is_array() {
            array(summary, &join(path, "summary"))?;
        }
        match optional(item, "encrypted_content") {
            None if self.stores => Ok(()),
            None => Err(Refusal {
                status: 404,
                param: Some("input".into()),
                ..invalid(format!(
                    "Item with id '{id}' not found. Items are not persisted when `store` is set \
                     to false. Try again with `store` set to true, or remove this item from your \
                     input."
                ))
            }),
            Some(content) if *content == sign(self.model, id) => Ok(()),
            Some(_) => Err(Refusal {
                code: Some("invalid_encrypted_content"),
                ..invalid(format!(
                    "The encrypted content for item {id} could not be verified."
                ))
            }),
        }
    }

    /// Checks that reasoning stands before what came of it.
    fn check_reasoning(&self, items: &[Value]) -> Result<(), Refusal> {
        for (at, item) in items.iter().enumerate() {
            let id = item["id"].as_str().unwrap_or_default();
            if item["type"] == "reasoning" {
                let next = items.get(at + 1);
                let follows = next.is_some_and(|next| {
                    matches!(next["type"].as_str(), Some("reasoning" | "function_call"))
                        || next["role"] == "assistant"
                });
                if !follows {
                    return Err(Refusal {
                        param: Some("input".into()),
                        ..invalid(format!(
                            "Item '{id}' of type 'reasoning' was provided without its required \
                             following item."
                        ))
                    });
                }
            }
            let Some(thought) = self.issued.thought.iter().find(|thought| {
                item["type"] == "function_call"
                    && item["call_id"] == thought.call
                    && thought.model == self.model
            }) else {
                continue;
            };
            let is_its = |other: &Value| {
                other["type"] == "reasoning"
                    && other["id"]
                        .as_str()
                        .is_some_and(|id| sign(self.model, id) == thought.proof)
            };
            let stands_before = items[..at].iter().any(is_its);
            let stands_after = items[at..].iter().any(is_its);
            // Without ids, the vendor cannot tell that a call once had reasoning.
            if stands_after || !stands_before && !id.is_empty() {
                return Err(Refusal {
                    param: Some("input".into()),
                    ..invalid(format!(
                        "Item '{id}' of type 'function_call' was provided without its required \
                         'reasoning' item before it."
                    ))
                });
            }
        }
        Ok(())
    }
}

fn check_message(item: &Fields, path: &str) -> Result<(), Refusal> {
    let roles = ["user", "assistant", "system", "developer"];
    let role = word(item, path, "role", &roles)?;
    let own = ["type", "role", "content", "id", "status", "phase"];
    let known = if role == "assistant" {
        &own[..]
    } else {
        &own[..5]
    };
    only(item, path, known)?;
    if let Some(id) = optional(item, "id").and_then(Value::as_str) {
        check_prefix(id, path, "msg")?;
    }
    let kinds = if role == "assistant" {
        &["output_text", "refusal"][..]
    } else {
        &["input_text", "input_image", "input_file"][..]
    };
    let content = required(item, path, "content")?;
    check_parts(content, &join(path, "content"), kinds)
}

fn check_call(item: &Fields, path: &str) -> Result<(), Refusal> {
    let known = ["type", "id", "call_id", "name", "arguments", "status"];
    only(item, path, &known)?;
    if let Some(id) = optional(item, "id").and_then(Value::as_str) {
        check_prefix(id, path, "fc")?;
    }
    check_call_id(item, path)?;
    if !crate::history::is_tool_name(string(item, path, "name")?) {
        return Err(refused(
            &join(path, "name"),
            "invalid_value",
            format!("Invalid '{path}.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."),
        ));
    }
    string(item, path, "arguments").map(|_| ())
}

fn check_call_id(item: &Fields, path: &str) -> Result<(), Refusal> {
    let id = string(item, path, "call_id")?;
    let path = join(path, "call_id");
    if id.is_empty() {
        return Err(refused(
            &path,
            "empty_string",
            format!("Invalid '{path}': empty string."),
        ));
    }
    at_most(id, &path, 64)
}

fn check_prefix(id: &str, path: &str, prefix: &str) -> Result<(), Refusal> {
    if id.starts_with(prefix) {
        return Ok(());
    }
    Err(refused(
        &join(path, "id"),
        "invalid_value",
        format!("Invalid '{path}.id': '{id}'. Expected an ID that begins with '{prefix}'."),
    ))
}

fn check_parts(content: &Value, path: &str, kinds: &[&str]) -> Result<(), Refusal> {
    if content.is_string() {
        return Ok(());
    }
    for (at, part) in array(content, path)?.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let part = object(part, &path)?;
        match word(part, &path, "type", kinds)? {
            "input_text" => {
                only(part, &path, &["type", "text"])?;
                string(part, &path, "text")?;
            }
            "output_text" => {
                only(part, &path, &["type", "text", "annotations", "logprobs"])?;
                string(part, &path, "text")?;
            }
            "refusal" => {
                only(part, &path, &["type", "refusal"])?;
                string(part, &path, "refusal")?;
            }
            "input_image" => {
                only(part, &path, &["type", "image_url", "file_id", "detail"])?;
                if optional(part, "file_id").is_none() {
                    check_image(string(part, &path, "image_url")?, &path)?;
                }
            }
            // Ash sends no files.
            _ => {}
        }
    }
    Ok(())
}

/// Checks that each call has one output after it, and each output a call before it.
fn check_pairs(items: &[Value]) -> Result<(), Refusal> {
    let mut calls: Vec<(&str, bool)> = Vec::new();
    for item in items {
        let id = item["call_id"].as_str().unwrap_or_default();
        let known = calls.iter_mut().find(|(call, _)| *call == id);
        match (item["type"].as_str(), known) {
            (Some("function_call"), None) => calls.push((id, false)),
            (Some("function_call_output"), Some((_, answered @ false))) => *answered = true,
            (Some("function_call" | "function_call_output"), Some(_)) => {
                return Err(Refusal {
                    param: Some("input".into()),
                    ..invalid(format!("Duplicate item found with call_id {id}."))
                });
            }
            (Some("function_call_output"), None) => {
                return Err(Refusal {
                    param: Some("input".into()),
                    ..invalid(format!(
                        "No tool call found for function call output with call_id {id}."
                    ))
                });
            }
            _ => {}
        }
    }
    match calls.iter().find(|(_, answered)| !answered) {
        None => Ok(()),
        Some((id, _)) => Err(Refusal {
            param: Some("input".into()),
            ..invalid(format!("No tool output found for function call {id}."))
        }),
    }
}
