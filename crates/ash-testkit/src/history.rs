//! Checks that hold for every provider: what is sent is acceptable, and caches can hit.

use std::collections::HashSet;

use ash_llm::{Content, Message, Request, ResultContent, Role, ToolCall};
use serde::Serialize;

/// Checks that every provider accepts these messages; `Err` says which one is wrong and why.
///
/// A history may end with the assistant, as a stored one does; [`check_request`] also refuses that.
pub fn check_history(messages: &[Message]) -> Result<(), String> {
    let first = messages.first().ok_or("there are no messages")?;
    if first.role != Role::User {
        return Err("message 0: the first message must be the user's".into());
    }
    let mut ids = HashSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let fault = |what: String| format!("message {at}: {what}");
        if at > 0 && messages[at - 1].role == message.role {
            return Err(fault(format!("two {:?} messages in a row", message.role)));
        }
        if message.content.is_empty() {
            return Err(fault("has no content".into()));
        }
        match message.role {
            Role::User => check_user(message, &open).map_err(fault)?,
            Role::Assistant => check_assistant(message, &mut ids).map_err(fault)?,
        }
        open = message.tool_calls().map(|call| call.id.as_str()).collect();
    }
    if open.is_empty() {
        Ok(())
    } else {
        let last = messages.len() - 1;
        Err(format!("message {last}: calls without results: {open:?}"))
    }
}

/// Checks that every provider accepts this request: its messages, its tools, its end.
pub fn check_request(request: &Request) -> Result<(), String> {
    check_history(&request.messages)?;
    if request.messages.last().map(|message| message.role) != Some(Role::User) {
        return Err("the last message must be the user's".into());
    }
    check_frame(request)
}

/// Checks what stands around the messages.
pub(crate) fn check_frame(request: &Request) -> Result<(), String> {
    if request.model.is_empty() {
        return Err("the model has no name".into());
    }
    if request.max_tokens == 0 {
        return Err("max_tokens must be at least 1".into());
    }
    if request.system.iter().any(|part| part.trim().is_empty()) {
        return Err("a part of the system prompt is empty".into());
    }
    for pair in request.tools.windows(2) {
        if pair[0].name >= pair[1].name {
            return Err(format!(
                "tools must be sorted and unique: {} stands before {}",
                pair[0].name, pair[1].name
            ));
        }
    }
    for tool in &request.tools {
        if !is_tool_name(&tool.name) {
            return Err(format!("{:?} is no tool name", tool.name));
        }
        if tool.parameters.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return Err(format!(
                "the parameters of {} must be a schema of type object",
                tool.name
            ));
        }
    }
    Ok(())
}

/// Checks that a prompt cache filled by `a` serves `b`: same tools, same system prompt, and the
/// messages of `a` begin those of `b`, byte for byte.
pub fn check_prefix(a: &Request, b: &Request) -> Result<(), String> {
    if a.model != b.model {
        return Err(format!("the model changed: {} became {}", a.model, b.model));
    }
    same("tools", &a.tools, &b.tools)?;
    same("system", &a.system, &b.system)?;
    if a.messages.len() > b.messages.len() {
        return Err(format!(
            "{} messages became {}",
            a.messages.len(),
            b.messages.len()
        ));
    }
    for (at, (before, after)) in a.messages.iter().zip(&b.messages).enumerate() {
        same(&format!("message {at}"), before, after)?;
    }
    Ok(())
}

fn check_user(message: &Message, open: &[&str]) -> Result<(), String> {
    let mut answered = HashSet::new();
    let mut results_are_over = false;
    for part in &message.content {
        match part {
            Content::ToolResult(result) => {
                if results_are_over {
                    return Err(format!(
                        "the result of {:?} stands after other content",
                        result.call_id
                    ));
                }
                if !open.contains(&result.call_id.as_str()) {
                    return Err(format!(
                        "the result of {:?} answers no call of the message before",
                        result.call_id
                    ));
                }
                if !answered.insert(result.call_id.as_str()) {
                    return Err(format!("{:?} is answered twice", result.call_id));
                }
                for content in &result.content {
                    match content {
                        ResultContent::Text { text } => check_text(text)?,
                        ResultContent::Image { media_type, data } => check_image(media_type, data)?,
                    }
                }
            }
            Content::Text { text } | Content::Context { text } => {
                results_are_over = true;
                check_text(text)?;
            }
            Content::Image { media_type, data } => {
                results_are_over = true;
                check_image(media_type, data)?;
            }
            Content::ToolCall(_) | Content::Thinking { .. } | Content::Opaque { .. } => {
                return Err("holds what only a model can say".into());
            }
        }
    }
    let missing: Vec<_> = open.iter().filter(|id| !answered.contains(*id)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("lacks the results of {missing:?}"))
    }
}

fn check_assistant<'a>(message: &'a Message, ids: &mut HashSet<&'a str>) -> Result<(), String> {
    for part in &message.content {
        match part {
            Content::Text { text } => check_text(text)?,
            Content::ToolCall(ToolCall { id, name, .. }) => {
                if id.is_empty() {
                    return Err("a call has an empty id".into());
                }
                if !ids.insert(id) {
                    return Err(format!("the call id {id:?} is used twice"));
                }
                if !is_tool_name(name) {
                    return Err(format!("{name:?} is no tool name"));
                }
            }
            Content::Thinking { .. } | Content::Opaque { .. } => {}
            Content::Context { .. } | Content::Image { .. } | Content::ToolResult(_) => {
                return Err("holds what a model cannot say".into());
            }
        }
    }
    if let Some(Content::Thinking { .. }) = message.content.last() {
        return Err("ends with thinking".into());
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("holds a text without words".into());
    }
    Ok(())
}

fn check_image(media_type: &str, data: &str) -> Result<(), String> {
    use base64::{Engine, prelude::BASE64_STANDARD};

    if !is_image_type(media_type) {
        return Err(format!("{media_type:?} is no picture that models read"));
    }
    match BASE64_STANDARD.decode(data) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        _ => Err("holds a picture that is not base64".into()),
    }
}

fn same<T: Serialize>(what: &str, a: &T, b: &T) -> Result<(), String> {
    let json = |value| serde_json::to_string(value).expect("plain data has string keys");
    let (a, b) = (json(a), json(b));
    if a == b {
        Ok(())
    } else {
        Err(format!("{what} changed: {a} became {b}"))
    }
}

pub(crate) fn is_image_type(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp"
    )
}

pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
