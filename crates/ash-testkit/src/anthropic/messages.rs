//! Judges the messages of a request: their blocks, and that calls and results belong together.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::cache::check_cache_control;
use super::check::Frame;
use super::fields::{array, object, only, required, string, unknown_tag};
use super::{Version, invalid};
use crate::history::is_image_type;
use crate::proof::sign;
use crate::server::Refusal;

pub(super) fn check(messages: &Value, frame: &Frame) -> Result<(), Refusal> {
    let messages = array(messages, "messages")?;
    let first = messages
        .first()
        .ok_or_else(|| invalid("messages: at least one message is required"))?;
    if first["role"] != "user" {
        return Err(invalid(
            "messages: first message must use the \"user\" role",
        ));
    }
    let mut seen = HashSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let path = format!("messages.{at}");
        let message = object(message, &path)?;
        only(message, &path, &["role", "content"])?;
        let role = string(message, &path, "role")?;
        if !matches!(role, "user" | "assistant" | "system") {
            return Err(invalid(format!(
                "messages: Unexpected role \"{role}\". Allowed roles are \"user\", \"assistant\" \
                 and \"system\"."
            )));
        }
        let blocks = blocks(required(message, &path, "content")?, &path)?;
        let is_last = at + 1 == messages.len();
        if blocks.is_empty() && !(is_last && role == "assistant") {
            return Err(invalid(format!(
                "{path}: all messages must have non-empty content except for the optional final \
                 assistant message"
            )));
        }
        check_answered(&open, role, &blocks, at)?;
        for (index, block) in blocks.iter().enumerate() {
            let path = format!("{path}.content.{index}");
            check_block(block, role, &path, frame)?;
        }
        open.clear();
        if role == "assistant" {
            for (index, block) in blocks.iter().enumerate() {
                if let Block::Object(fields) = block
                    && fields.get("type").is_some_and(|kind| kind == "tool_use")
                {
                    let id = string(fields, &path, "id")?;
                    if !seen.insert(id) {
                        return Err(invalid(format!(
                            "{path}.content.{index}: `tool_use` ids must be unique"
                        )));
                    }
                    open.push(id);
                }
            }
            check_assistant(&blocks, &path, frame)?;
        }
        if !frame.has_tools && !open.is_empty() {
            return Err(invalid(
                "Requests which include `tool_use` or `tool_result` blocks must define tools",
            ));
        }
        if is_last {
            check_end(role, &blocks, &open, at, frame)?;
        }
    }
    check_thinking_of_loop(messages, frame)
}

/// One block of a message's content; a string stands for one text block.
enum Block<'a> {
    Text(&'a str),
    Object(&'a Map<String, Value>),
}

impl<'a> Block<'a> {
    fn kind(&self) -> &'a str {
        match self {
            Block::Text(_) => "text",
            Block::Object(fields) => fields.get("type").and_then(Value::as_str).unwrap_or(""),
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Block::Text(text) => text,
            Block::Object(fields) => fields.get("text").and_then(Value::as_str).unwrap_or(""),
        }
    }
}

fn blocks<'a>(content: &'a Value, path: &str) -> Result<Vec<Block<'a>>, Refusal> {
    match content {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Block::Text(text)]),
        other => {
            let path = format!("{path}.content");
            array(other, &path)?
                .iter()
                .enumerate()
                .map(|(at, block)| object(block, &format!("{path}.{at}")).map(Block::Object))
                .collect()
        }
    }
}

/// Checks that the results at the head of a message answer exactly the calls of the one before.
fn check_answered(open: &[&str], role: &str, blocks: &[Block], at: usize) -> Result<(), Refusal> {
    let mut answered = HashSet::new();
    let mut results_are_over = false;
    for (index, block) in blocks.iter().enumerate() {
        let Block::Object(fields) = block else {
            continue;
        };
        if block.kind() != "tool_result" {
            results_are_over = true;
            continue;
        }
        let path = format!("messages.{at}.content.{index}");
        let id = string(fields, &path, "tool_use_id")?;
        if role != "user" || !open.contains(&id) {
            return Err(invalid(format!(
                "{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                 `tool_result` block must have a corresponding `tool_use` block in the previous \
                 message."
            )));
        }
        if results_are_over {
            continue;
        }
        if !answered.insert(id) {
            return Err(invalid(format!(
                "messages.{at}.content: each tool_use must have a single result. Found multiple \
                 `tool_result` blocks with id: {id}"
            )));
        }
    }
    let missing: Vec<&str> = open
        .iter()
        .filter(|id| !answered.contains(*id))
        .copied()
        .collect();
    unanswered(&missing, at.saturating_sub(1))
}

fn unanswered(ids: &[&str], at: usize) -> Result<(), Refusal> {
    if ids.is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: \
         {}. Each `tool_use` block must have a corresponding `tool_result` block in the next \
         message.",
        ids.join(", ")
    )))
}

fn check_block(block: &Block, role: &str, path: &str, frame: &Frame) -> Result<(), Refusal> {
    let fields = match block {
        Block::Text(text) => return check_text(text),
        Block::Object(fields) => fields,
    };
    let kind = string(fields, path, "type")?;
    let path = &format!("{path}.{kind}");
    check_cache_control(fields, path)?;
    match (role, kind) {
        (_, "text") => {
            only(
                fields,
                path,
                &["type", "text", "cache_control", "citations"],
            )?;
            let cited = fields
                .get("citations")
                .and_then(Value::as_array)
                .is_some_and(|citations| !citations.is_empty());
            if cited && role == "user" && frame.version == Version::V2026 {
                return Err(invalid(format!(
                    "{path}.citations: not permitted in user messages"
                )));
            }
            check_text(string(fields, path, "text")?)
        }
        ("user", "image") => {
            only(fields, path, &["type", "source", "cache_control"])?;
            check_source(required(fields, path, "source")?, path, is_image_type)
        }
        ("user" | "assistant", "document") if role == "user" || frame.version == Version::V2023 => {
            let known = [
                "type",
                "source",
                "title",
                "context",
                "citations",
                "cache_control",
            ];
            only(fields, path, &known)?;
            check_source(required(fields, path, "source")?, path, |kind| {
                matches!(kind, "application/pdf" | "text/plain")
            })
        }
        ("user", "tool_result") => check_result(fields, path, frame),
        ("assistant", "tool_use") => check_call(fields, path),
        ("assistant", "thinking") => check_thinking(fields, path, frame),
        ("assistant", "redacted_thinking") => {
            only(fields, path, &["type", "data"])?;
            string(fields, path, "data").map(|_| ())
        }
        // The vendor's own tools and helpers come back as they were; only their own server knows more.
        ("assistant", "server_tool_use" | "compaction" | "fallback" | "container_upload") => Ok(()),
        ("assistant", kind) if kind.ends_with("_tool_result") => {
            string(fields, path, "tool_use_id").map(|_| ())
        }
        (_, other) => Err(unknown_tag(path, other, "those of its role")),
    }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        Err(invalid("messages: text content blocks must be non-empty"))
    } else if text.trim().is_empty() {
        Err(invalid(
            "messages: text content blocks must contain non-whitespace text",
        ))
    } else {
        Ok(())
    }
}

fn check_source(
    source: &Value,
    path: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    use base64::{Engine, prelude::BASE64_STANDARD};

    let path = format!("{path}.source");
    let source = object(source, &path)?;
    match string(source, &path, "type")? {
        "base64" => {
            only(source, &path, &["type", "media_type", "data"])?;
            let kind = string(source, &path, "media_type")?;
            if !is_known(kind) {
                return Err(invalid(format!(
                    "{path}.base64.media_type: {kind} is not supported"
                )));
            }
            let data = string(source, &path, "data")?;
            match BASE64_STANDARD.decode(data) {
                Ok(bytes) if !bytes.is_empty() => Ok(()),
                _ => Err(invalid(format!("{path}.base64.data: invalid base64 data"))),
            }
        }
        "url" => string(source, &path, "url").map(|_| ()),
        "file" => string(source, &path, "file_id").map(|_| ()),
        "text" | "content" => Ok(()),
        other => Err(unknown_tag(&path, other, "base64, file, url")),
    }
}

fn check_result(fields: &Map<String, Value>, path: &str, frame: &Frame) -> Result<(), Refusal> {
    only(
        fields,
        path,
        &[
            "type",
            "tool_use_id",
            "content",
            "is_error",
            "cache_control",
        ],
    )?;
    if fields
        .get("is_error")
        .is_some_and(|flag| !flag.is_boolean())
    {
        return Err(invalid(format!(
            "{path}.is_error: Input should be a valid boolean"
        )));
    }
    match fields.get("content") {
        // Unlike a message, a result may be empty.
        None | Some(Value::String(_)) => Ok(()),
        Some(content) => {
            let path = format!("{path}.content");
            for (at, part) in array(content, &path)?.iter().enumerate() {
                let path = format!("{path}.{at}");
                let part = object(part, &path)?;
                match string(part, &path, "type")? {
                    "text" | "image" | "document" => {
                        check_block(&Block::Object(part), "user", &path, frame)?;
                    }
                    "search_result" | "tool_reference" => {}
                    other => {
                        let expected = "document, image, search_result, text, tool_reference";
                        return Err(unknown_tag(&path, other, expected));
                    }
                }
            }
            Ok(())
        }
    }
}

fn check_call(fields: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    only(
        fields,
        path,
        &["type", "id", "name", "input", "cache_control", "caller"],
    )?;
    let id = string(fields, path, "id")?;
    let fits = !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !fits {
        return Err(invalid(format!(
            "{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        )));
    }
    if !crate::history::is_tool_name(string(fields, path, "name")?) {
        return Err(invalid(format!(
            "{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
        )));
    }
    object(required(fields, path, "input")?, &format!("{path}.input")).map(|_| ())
}

fn check_thinking(fields: &Map<String, Value>, path: &str, frame: &Frame) -> Result<(), Refusal> {
    only(fields, path, &["type", "thinking", "signature"])?;
    let thought = string(fields, path, "thinking")?;
    let signature = string(fields, path, "signature")?;
    if signature == sign(frame.model_name, thought) {
        Ok(())
    } else {
        Err(invalid(format!(
            "{path}: Invalid `signature` in `thinking` block"
        )))
    }
}

fn check_assistant(blocks: &[Block], path: &str, frame: &Frame) -> Result<(), Refusal> {
    let last = blocks.last().map(Block::kind);
    if matches!(last, Some("thinking" | "redacted_thinking")) && !frame.issued.paused {
        return Err(invalid(format!(
            "{path}: The final block in an assistant message cannot be `thinking`."
        )));
    }
    Ok(())
}

fn check_end(
    role: &str,
    blocks: &[Block],
    open: &[&str],
    at: usize,
    frame: &Frame,
) -> Result<(), Refusal> {
    unanswered(open, at)?;
    if role != "assistant" || frame.issued.paused {
        return Ok(());
    }
    if frame.model.refuses_prefill() || frame.thinks {
        return Err(invalid(
            "This model does not support assistant message prefill. The conversation must end \
             with a user message.",
        ));
    }
    match blocks.last() {
        Some(block) if block.text().ends_with(char::is_whitespace) => Err(invalid(
            "messages: final assistant content cannot end with trailing whitespace",
        )),
        _ => Ok(()),
    }
}

/// With a thinking budget, the newest calls must come after the thinking that led to them.
fn check_thinking_of_loop(messages: &[Value], frame: &Frame) -> Result<(), Refusal> {
    let Some(at) = messages
        .iter()
        .rposition(|message| message["role"] == "assistant")
    else {
        return Ok(());
    };
    let Some(blocks) = messages[at]["content"]
        .as_array()
        .filter(|_| frame.thinks_by_budget)
    else {
        return Ok(());
    };
    let called = |id: &str| blocks.iter().any(|block| block["id"] == id);
    let thought = |proof: &str| blocks.iter().any(|block| block["signature"] == proof);
    for origin in &frame.issued.thought {
        if origin.model == frame.model_name && called(&origin.call) && !thought(&origin.proof) {
            return Err(invalid(format!(
                "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but \
                 found `tool_use`. When `thinking` is enabled, a final `assistant` message must \
                 start with a thinking block."
            )));
        }
    }
    Ok(())
}
