//! Judges the body of a Messages request, in the vendor's words.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::model::Model;
use super::{Version, invalid, messages, not_found};
use crate::history::is_tool_name;
use crate::server::{Issued, Refusal};

/// What the whole of a request says about how its parts are read.
pub(super) struct Frame<'a> {
    pub(super) model: Model<'a>,
    pub(super) model_name: &'a str,
    pub(super) version: Version,
    pub(super) issued: &'a Issued,
    /// Thinking with a budget: then a loop of tools must begin with its thinking.
    pub(super) thinks_by_budget: bool,
    pub(super) thinks: bool,
    pub(super) has_tools: bool,
}

const FIELDS: [&str; 20] = [
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

pub(super) fn check(body: &Value, version: Version, issued: &Issued) -> Result<(), Refusal> {
    let body = object(body, "body")?;
    only(body, "", &FIELDS)?;
    let model_name = string(body, "", "model")?;
    let model =
        Model::parse(model_name).ok_or_else(|| not_found(format!("model: {model_name}")))?;
    let max_tokens = check_max_tokens(body, model, model_name)?;
    let thinking = check_thinking(body, model, max_tokens)?;
    check_sampling(body, model, version, thinking)?;
    check_output(body, model)?;
    check_small_fields(body)?;
    let names = check_tools(body)?;
    check_tool_choice(body, model, thinking, names.as_ref())?;
    check_system(body)?;
    let frame = Frame {
        model,
        model_name,
        version,
        issued,
        thinks_by_budget: thinking == Thinking::Budget,
        thinks: thinking != Thinking::Off,
        has_tools: names.is_some(),
    };
    messages::check(required(body, "", "messages")?, &frame)?;
    check_breakpoints(body)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Off,
    Adaptive,
    Budget,
}

fn check_max_tokens(body: &Map<String, Value>, model: Model, name: &str) -> Result<u64, Refusal> {
    let most = model.longest_answer();
    match required(body, "", "max_tokens")?.as_i64() {
        None => Err(invalid("max_tokens: Input should be a valid integer")),
        Some(..1) => Err(invalid(
            "max_tokens: Input should be greater than or equal to 1",
        )),
        Some(count) if count.unsigned_abs() > most => Err(invalid(format!(
            "max_tokens: {count} > {most}, which is the maximum allowed number of output tokens \
             for {name}"
        ))),
        Some(count) => Ok(count.unsigned_abs()),
    }
}

fn check_thinking(
    body: &Map<String, Value>,
    model: Model,
    max_tokens: u64,
) -> Result<Thinking, Refusal> {
    let usual = if model.always_thinks() {
        Thinking::Adaptive
    } else {
        Thinking::Off
    };
    let Some(thinking) = body.get("thinking") else {
        return Ok(usual);
    };
    let thinking = object(thinking, "thinking")?;
    let kind = string(thinking, "thinking", "type")?;
    let inner = format!("thinking.{kind}");
    if let Some(display) = thinking.get("display")
        && !matches!(display.as_str(), Some("summarized" | "omitted"))
    {
        return Err(invalid(format!(
            "{inner}.display: Input should be 'summarized' or 'omitted'"
        )));
    }
    match kind {
        "adaptive" if model.thinks_adaptively() => {
            only(thinking, &inner, &["type", "display"])?;
            Ok(Thinking::Adaptive)
        }
        "between_tools" if model.thinks_between_tools() => {
            only(thinking, &inner, &["type", "display"])?;
            Ok(Thinking::Adaptive)
        }
        "adaptive" | "between_tools" => Err(invalid(format!(
            "{kind} thinking is not supported on this model"
        ))),
        "enabled" if model.refuses_thinking_budget() => Err(invalid(
            "\"thinking.type.enabled\" is not supported for this model. Use \
             \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
        )),
        "enabled" if !model.thinks() => {
            Err(invalid("thinking: this model does not support thinking"))
        }
        "enabled" => {
            only(thinking, &inner, &["type", "budget_tokens", "display"])?;
            let budget = required(thinking, &inner, "budget_tokens")?.as_u64();
            match budget {
                None => Err(invalid(format!(
                    "{inner}.budget_tokens: Input should be a valid integer"
                ))),
                Some(..1024) => Err(invalid(format!(
                    "{inner}.budget_tokens: Input should be greater than or equal to 1024"
                ))),
                Some(budget) if budget >= max_tokens => Err(invalid(
                    "`max_tokens` must be greater than `thinking.budget_tokens`",
                )),
                Some(_) => Ok(Thinking::Budget),
            }
        }
        "disabled" if model.always_thinks() => {
            Err(invalid("thinking: cannot be disabled for this model"))
        }
        "disabled" => {
            only(thinking, &inner, &["type"])?;
            Ok(Thinking::Off)
        }
        other => Err(unknown_tag(
            "thinking",
            other,
            "adaptive, disabled, enabled",
        )),
    }
}

fn check_sampling(
    body: &Map<String, Value>,
    model: Model,
    version: Version,
    thinking: Thinking,
) -> Result<(), Refusal> {
    for field in ["temperature", "top_p", "top_k"] {
        let Some(value) = body.get(field) else {
            continue;
        };
        if version == Version::V2026 || model.refuses_sampling() {
            return Err(invalid(format!("`{field}` is deprecated for this model.")));
        }
        let fits = match field {
            "top_k" => value.is_u64(),
            _ => value
                .as_f64()
                .is_some_and(|value| (0.0..=1.0).contains(&value)),
        };
        if !fits {
            return Err(invalid(format!("{field}: range: 0..1")));
        }
        if thinking != Thinking::Off && !(field == "temperature" && value.as_f64() == Some(1.0)) {
            return Err(invalid(format!(
                "`{field}` may only be set to 1 when thinking is enabled"
            )));
        }
    }
    if body.contains_key("temperature")
        && body.contains_key("top_p")
        && model.refuses_both_sampling()
    {
        return Err(invalid(
            "`temperature` and `top_p` cannot both be specified for this model",
        ));
    }
    Ok(())
}

fn check_output(body: &Map<String, Value>, model: Model) -> Result<(), Refusal> {
    let Some(output) = body.get("output_config") else {
        return Ok(());
    };
    let output = object(output, "output_config")?;
    only(output, "output_config", &["effort", "format"])?;
    if output.contains_key("effort") {
        let effort = string(output, "output_config", "effort")?;
        if !matches!(effort, "low" | "medium" | "high" | "xhigh" | "max") {
            return Err(invalid(
                "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
            ));
        }
        if !model.takes_effort(effort) {
            return Err(invalid(format!(
                "This model does not support effort level '{effort}'."
            )));
        }
    }
    Ok(())
}

fn check_small_fields(body: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(stream) = body.get("stream")
        && !stream.is_boolean()
    {
        return Err(invalid("stream: Input should be a valid boolean"));
    }
    if let Some(metadata) = body.get("metadata") {
        only(object(metadata, "metadata")?, "metadata", &["user_id"])?;
    }
    if let Some(diagnostics) = body.get("diagnostics") {
        let path = "diagnostics";
        only(object(diagnostics, path)?, path, &["previous_message_id"])?;
    }
    if let Some(sequences) = body.get("stop_sequences") {
        for (at, sequence) in array(sequences, "stop_sequences")?.iter().enumerate() {
            if sequence.as_str().is_none_or(|text| text.trim().is_empty()) {
                return Err(invalid(format!(
                    "stop_sequences.{at}: each stop sequence must contain non-whitespace"
                )));
            }
        }
    }
    Ok(())
}

const CUSTOM_TOOL: [&str; 10] = [
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "input_schema",
    "name",
    "strict",
    "type",
];

/// Checks the tools and returns their names, or `None` where there are none.
fn check_tools(body: &Map<String, Value>) -> Result<Option<HashSet<&str>>, Refusal> {
    let Some(tools) = body.get("tools") else {
        return Ok(None);
    };
    let mut names = HashSet::new();
    for (at, tool) in array(tools, "tools")?.iter().enumerate() {
        let path = format!("tools.{at}.custom");
        let tool = object(tool, &path)?;
        let name = string(tool, &path, "name")?;
        if !names.insert(name) {
            return Err(invalid("tools: Tool names must be unique."));
        }
        if tool.get("type").is_some_and(|kind| kind != "custom") {
            // One of the vendor's own tools; Ash uses none, so nothing more is known of them.
            continue;
        }
        only(tool, &path, &CUSTOM_TOOL)?;
        if !is_tool_name(name) {
            return Err(invalid(format!(
                "{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
            )));
        }
        if tool
            .get("description")
            .is_some_and(|text| !text.is_string())
        {
            return Err(invalid(format!(
                "{path}.description: Input should be a valid string"
            )));
        }
        check_schema(required(tool, &path, "input_schema")?, &path)?;
        check_cache_control(tool, &path)?;
    }
    Ok(Some(names).filter(|names| !names.is_empty()))
}

fn check_schema(schema: &Value, path: &str) -> Result<(), Refusal> {
    let path = format!("{path}.input_schema");
    let schema = object(schema, &path)?;
    match schema.get("type") {
        None => return Err(invalid(format!("{path}.type: Field required"))),
        Some(kind) if kind == "object" => {}
        Some(_) => return Err(invalid(format!("{path}.type: Input should be 'object'"))),
    }
    if ["oneOf", "allOf", "anyOf"]
        .iter()
        .any(|key| schema.contains_key(*key))
    {
        return Err(invalid(format!(
            "{path}: input_schema does not support oneOf, allOf, or anyOf at the top level"
        )));
    }
    if let Some(properties) = schema.get("properties") {
        let path = format!("{path}.properties");
        for key in object(properties, &path)?.keys() {
            let fits = (1..=64).contains(&key.len())
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
            if !fits {
                return Err(invalid(format!(
                    "{path}: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"
                )));
            }
        }
    }
    Ok(())
}

fn check_tool_choice(
    body: &Map<String, Value>,
    model: Model,
    thinking: Thinking,
    names: Option<&HashSet<&str>>,
) -> Result<(), Refusal> {
    let Some(choice) = body.get("tool_choice") else {
        return Ok(());
    };
    let path = "tool_choice";
    let choice = object(choice, path)?;
    let kind = string(choice, path, "type")?;
    only(choice, path, &["type", "name", "disable_parallel_tool_use"])?;
    if !matches!(kind, "auto" | "any" | "tool" | "none") {
        return Err(unknown_tag(path, kind, "any, auto, none, tool"));
    }
    let Some(names) = names else {
        return Err(invalid(
            "tool_choice may only be specified while providing tools.",
        ));
    };
    if kind == "tool" {
        let name = string(choice, "tool_choice.tool", "name")?;
        if !names.contains(name) {
            return Err(invalid(format!(
                "Tool '{name}' not found in provided tools"
            )));
        }
    }
    if matches!(kind, "any" | "tool") {
        if model.refuses_forced_tools() {
            return Err(invalid(
                "tool_choice: forced tool use is not supported for this model",
            ));
        }
        if thinking != Thinking::Off {
            return Err(invalid(
                "Thinking may not be enabled when tool_choice forces tool use.",
            ));
        }
    }
    Ok(())
}

fn check_system(body: &Map<String, Value>) -> Result<(), Refusal> {
    match body.get("system") {
        None | Some(Value::String(_)) => Ok(()),
        Some(system) => {
            for (at, block) in array(system, "system")?.iter().enumerate() {
                let path = format!("system.{at}");
                let block = object(block, &path)?;
                only(block, &path, &["type", "text", "cache_control"])?;
                match string(block, &path, "type")? {
                    "text" => {}
                    other => return Err(unknown_tag(&path, other, "text")),
                }
                if string(block, &path, "text")?.is_empty() {
                    return Err(invalid("system: text content blocks must be non-empty"));
                }
                check_cache_control(block, &path)?;
            }
            Ok(())
        }
    }
}

pub(super) fn check_cache_control(block: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let Some(control) = block.get("cache_control") else {
        return Ok(());
    };
    let path = format!("{path}.cache_control");
    if control.is_null() {
        return Ok(());
    }
    let control = object(control, &path)?;
    only(control, &path, &["type", "ttl"])?;
    if string(control, &path, "type")? != "ephemeral" {
        return Err(invalid(format!("{path}.type: Input should be 'ephemeral'")));
    }
    match control.get("ttl").map(Value::as_str) {
        None | Some(Some("5m" | "1h")) => Ok(()),
        Some(_) => Err(invalid(format!("{path}.ttl: Input should be '5m' or '1h'"))),
    }
}

/// Checks the number of cache breakpoints, and that the longer-lived ones come first.
fn check_breakpoints(body: &Map<String, Value>) -> Result<(), Refusal> {
    let mut found = Vec::new();
    for part in ["tools", "system", "messages"] {
        if let Some(part) = body.get(part) {
            collect_breakpoints(part, &mut found);
        }
    }
    check_cache_control(body, "body")?;
    let own = usize::from(body.get("cache_control").is_some_and(Value::is_object));
    if found.len() + own > 4 {
        return Err(invalid(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {}.",
            found.len() + own
        )));
    }
    let is_long = |control: &&Value| control["ttl"] == "1h";
    let longs = found.iter().filter(|control| is_long(control)).count();
    if found.iter().take(longs).all(is_long) {
        Ok(())
    } else {
        Err(invalid(
            "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' \
             cache_control block. Note that blocks are processed in the following order: `tools`, \
             `system`, `messages`.",
        ))
    }
}

fn collect_breakpoints<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => {
            for item in items {
                collect_breakpoints(item, found);
            }
        }
        Value::Object(fields) => {
            if let Some(control) = fields.get("cache_control").filter(|c| c.is_object()) {
                found.push(control);
            }
            // Neither a tool's schema nor a call's input can hold a breakpoint.
            if let Some(content) = fields.get("content") {
                collect_breakpoints(content, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(super) fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| invalid(format!("{path}: Input should be an object")))
}

pub(super) fn array<'a>(value: &'a Value, path: &str) -> Result<&'a Vec<Value>, Refusal> {
    value
        .as_array()
        .ok_or_else(|| invalid(format!("{path}: Input should be a valid array")))
}

pub(super) fn required<'a>(
    fields: &'a Map<String, Value>,
    path: &str,
    key: &str,
) -> Result<&'a Value, Refusal> {
    fields
        .get(key)
        .ok_or_else(|| invalid(format!("{}: Field required", join(path, key))))
}

pub(super) fn string<'a>(
    fields: &'a Map<String, Value>,
    path: &str,
    key: &str,
) -> Result<&'a str, Refusal> {
    required(fields, path, key)?.as_str().ok_or_else(|| {
        invalid(format!(
            "{}: Input should be a valid string",
            join(path, key)
        ))
    })
}

pub(super) fn only(fields: &Map<String, Value>, path: &str, known: &[&str]) -> Result<(), Refusal> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(invalid(format!(
            "{}: Extra inputs are not permitted",
            join(path, key)
        ))),
    }
}

pub(super) fn unknown_tag(path: &str, tag: &str, expected: &str) -> Refusal {
    invalid(format!(
        "{path}: Input tag '{tag}' found using 'type' does not match any of the expected tags: \
         {expected}"
    ))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
