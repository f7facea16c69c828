//! Judges the body of a Chat Completions request, in the vendor's words.

use std::collections::HashSet;

use serde_json::Value;

use super::fields::{
    Fields, array, at_most, boolean, integer, invalid, invalid_value, join, object, only, optional,
    refused, required, string, unsupported, word,
};
use super::model::Model;
use super::tools::{self, Nesting};
use super::{Dialect, OpenAi};
use crate::history::is_image_type;
use crate::server::Refusal;

const FIELDS: [&str; 35] = [
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_breakpoint",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

pub(super) fn check(server: &OpenAi, body: &Fields) -> Result<(), Refusal> {
    let unknown = |key: &&String| !FIELDS.contains(&key.as_str());
    if let Some(key) = body.keys().find(unknown) {
        return Err(invalid(format!(
            "Unrecognized request argument supplied: {key}"
        )));
    }
    let model = server.model(string(body, "", "model")?)?;
    check_limits(body, model, server.dialect)?;
    check_sampling(body, model)?;
    check_stream_options(body)?;
    tools::check(body, Nesting::Nested)?;
    check_effort(body, model)?;
    let messages = array(required(body, "", "messages")?, "messages")?;
    for (at, message) in messages.iter().enumerate() {
        check_message(message, &format!("messages[{at}]"), server.dialect)?;
    }
    check_pairs(messages)?;
    if !server.dialect.is_original() {
        check_order(messages, server.dialect)?;
    }
    Ok(())
}

fn check_limits(body: &Fields, model: Model, dialect: Dialect) -> Result<(), Refusal> {
    let old = integer(body, "max_tokens", 1)?;
    let new = integer(body, "max_completion_tokens", 1)?;
    if old.is_some() && new.is_some() {
        return Err(invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        ));
    }
    if old.is_some() && model.reasons() {
        return Err(unsupported(
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
             'max_completion_tokens' instead.",
        ));
    }
    if new.is_some() && !dialect.is_original() {
        return Err(unsupported(
            "max_completion_tokens",
            "Extra inputs are not permitted: 'max_completion_tokens'. Use 'max_tokens' instead.",
        ));
    }
    Ok(())
}

fn check_sampling(body: &Fields, model: Model) -> Result<(), Refusal> {
    for (key, most) in [
        ("temperature", 2.0),
        ("top_p", 1.0),
        ("presence_penalty", 2.0),
        ("frequency_penalty", 2.0),
    ] {
        let Some(value) = optional(body, key) else {
            continue;
        };
        if model.reasons() {
            return Err(refused(
                key,
                "unsupported_value",
                format!(
                    "Unsupported value: '{key}' does not support {value} with this model. Only \
                     the default value is supported."
                ),
            ));
        }
        if value.as_f64().is_none_or(|value| value.abs() > most) {
            return Err(refused(
                key,
                "decimal_above_max_value",
                format!("Invalid '{key}': expected a number of at most {most}."),
            ));
        }
    }
    Ok(())
}

fn check_stream_options(body: &Fields) -> Result<(), Refusal> {
    let streams = boolean(body, "", "stream")? == Some(true);
    let Some(options) = optional(body, "stream_options") else {
        return Ok(());
    };
    if !streams {
        return Err(invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    let path = "stream_options";
    let options = object(options, path)?;
    only(options, path, &["include_usage", "include_obfuscation"])?;
    boolean(options, path, "include_usage")?;
    boolean(options, path, "include_obfuscation").map(|_| ())
}

fn check_effort(body: &Fields, model: Model) -> Result<(), Refusal> {
    if optional(body, "reasoning_effort").is_none() {
        return Ok(());
    }
    let words = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let effort = word(body, "", "reasoning_effort", &words)?;
    if model != Model::Foreign && !model.reasons() {
        return Err(unsupported(
            "reasoning_effort",
            "Unsupported parameter: 'reasoning_effort' is not supported with this model.",
        ));
    }
    if effort != "none" && optional(body, "tools").is_some() && model.keeps_tools_to_responses() {
        return Err(unsupported(
            "reasoning_effort",
            "Function tools with reasoning_effort are not supported for this model in \
             /v1/chat/completions. Please use /v1/responses or set reasoning_effort to 'none'.",
        ));
    }
    Ok(())
}

fn check_message(message: &Value, path: &str, dialect: Dialect) -> Result<(), Refusal> {
    let message = object(message, path)?;
    let role = string(message, path, "role")?;
    match role {
        "developer" if !dialect.is_original() => Err(invalid(format!(
            "Unexpected message role: '{role}' in '{path}'."
        ))),
        "system" | "developer" => {
            only(message, path, &["role", "content", "name"])?;
            check_content(required(message, path, "content")?, path, &["text"])
        }
        "user" => {
            only(message, path, &["role", "content", "name"])?;
            let kinds = ["text", "image_url", "input_audio", "file"];
            check_content(required(message, path, "content")?, path, &kinds)
        }
        "assistant" => check_assistant(message, path, dialect),
        "tool" => {
            only(message, path, &["role", "content", "tool_call_id"])?;
            string(message, path, "tool_call_id")?;
            check_content(required(message, path, "content")?, path, &["text"])
        }
        other => {
            let roles = ["system", "assistant", "user", "tool", "developer"];
            Err(invalid_value(&join(path, "role"), other, &roles))
        }
    }
}

fn check_content(content: &Value, path: &str, kinds: &[&str]) -> Result<(), Refusal> {
    if content.is_string() {
        return Ok(());
    }
    let path = join(path, "content");
    for (at, part) in array(content, &path)?.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let part = object(part, &path)?;
        match word(part, &path, "type", kinds)? {
            "text" => {
                only(part, &path, &["type", "text"])?;
                string(part, &path, "text")?;
            }
            "refusal" => {
                only(part, &path, &["type", "refusal"])?;
                string(part, &path, "refusal")?;
            }
            "image_url" => {
                only(part, &path, &["type", "image_url"])?;
                let path = join(&path, "image_url");
                let image = object(required(part, &path, "image_url")?, &path)?;
                only(image, &path, &["url", "detail"])?;
                check_image(string(image, &path, "url")?, &path)?;
            }
            // Ash sends none of the rest.
            _ => {}
        }
    }
    Ok(())
}

/// Checks an address or a `data:` URL of a picture.
pub(super) fn check_image(url: &str, path: &str) -> Result<(), Refusal> {
    use base64::{Engine, prelude::BASE64_STANDARD};

    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    let data = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"));
    let fits = data.is_some_and(|(kind, data)| {
        is_image_type(kind)
            && BASE64_STANDARD
                .decode(data)
                .is_ok_and(|bytes| !bytes.is_empty())
    });
    if fits {
        Ok(())
    } else {
        Err(refused(
            path,
            "invalid_image_url",
            "Invalid image: expected an address or a base64 data URL of a PNG, JPEG, GIF or WEBP.",
        ))
    }
}

fn check_assistant(message: &Fields, path: &str, dialect: Dialect) -> Result<(), Refusal> {
    let mut known = vec!["role", "content", "refusal", "name", "tool_calls"];
    if !dialect.is_original() {
        known.extend(["reasoning", "reasoning_content"]);
    }
    only(message, path, &known)?;
    match optional(message, "content") {
        Some(content) => check_content(content, path, &["text", "refusal"])?,
        None if optional(message, "tool_calls").is_some() => {}
        None => {
            return Err(refused(
                &join(path, "content"),
                "invalid_type",
                "Invalid value for 'content': expected a string, got null.",
            ));
        }
    }
    let Some(calls) = optional(message, "tool_calls") else {
        return Ok(());
    };
    let path = join(path, "tool_calls");
    for (at, call) in array(calls, &path)?.iter().enumerate() {
        check_call(call, &format!("{path}[{at}]"), dialect)?;
    }
    Ok(())
}

fn check_call(call: &Value, path: &str, dialect: Dialect) -> Result<(), Refusal> {
    let call = object(call, path)?;
    only(call, path, &["id", "type", "function"])?;
    word(call, path, "type", &["function"])?;
    let id = string(call, path, "id")?;
    if id.is_empty() {
        return Err(invalid(format!("Invalid '{path}.id': empty string.")));
    }
    if dialect.is_original() {
        at_most(id, &join(path, "id"), 40)?;
    }
    let path = join(path, "function");
    let function = object(required(call, &path, "function")?, &path)?;
    only(function, &path, &["name", "arguments"])?;
    if string(function, &path, "name")?.is_empty() {
        return Err(invalid(format!("Invalid '{path}.name': empty string.")));
    }
    let arguments = string(function, &path, "arguments")?;
    // The vendor takes any string; servers whose templates parse it do not.
    match serde_json::from_str::<Fields>(arguments) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(
            &join(&path, "arguments"),
            "invalid_value",
            format!("Invalid '{path}.arguments': not a JSON object: {error}."),
        )),
    }
}

/// Checks that tool messages follow their calls at once, and answer each of them once.
fn check_pairs(messages: &[Value]) -> Result<(), Refusal> {
    let mut open: HashSet<&str> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            if !open.remove(id) {
                return Err(Refusal {
                    param: Some(format!("messages.[{at}].role")),
                    ..invalid(
                        "Invalid parameter: messages with role 'tool' must be a response to a \
                         preceding message with 'tool_calls'.",
                    )
                });
            }
            continue;
        }
        check_all_answered(&open, at)?;
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let id = call["id"].as_str().unwrap_or_default();
            if !open.insert(id) {
                return Err(invalid(format!(
                    "Duplicate value for 'tool_call_id' of '{id}' in 'messages[{at}].tool_calls'."
                )));
            }
        }
    }
    check_all_answered(&open, messages.len())
}

fn check_all_answered(open: &HashSet<&str>, at: usize) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&str> = open.iter().copied().collect();
    ids.sort_unstable();
    Err(Refusal {
        param: Some(format!("messages.[{at}].role")),
        ..invalid(format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding \
             to each 'tool_call_id'. The following tool_call_ids did not have response messages: \
             {}",
            ids.join(", ")
        ))
    })
}

/// Checks the order of roles that templates of compatible servers insist on.
fn check_order(messages: &[Value], dialect: Dialect) -> Result<(), Refusal> {
    if messages[1..]
        .iter()
        .any(|message| message["role"] == "system")
    {
        return Err(invalid("System message must be at the beginning."));
    }
    let takes_turns = messages.windows(2).all(|pair| {
        pair[0]["role"] != pair[1]["role"]
            || !matches!(pair[0]["role"].as_str(), Some("user" | "assistant"))
    });
    if dialect == Dialect::LlamaCpp && !takes_turns {
        return Err(invalid(
            "After the optional system message, conversation roles must alternate \
             user/assistant/user/assistant/...",
        ));
    }
    Ok(())
}
