//! Judges the body of a Messages request, in the vendor's words.

use serde_json::{Map, Value};

use super::cache::{check_breakpoints, check_cache_control};
use super::fields::{array, object, only, required, string, unknown_tag};
use super::model::Model;
use super::tools::{check_tool_choice, check_tools};
use super::{Version, invalid, messages, not_found};
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
pub(super) enum Thinking {
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
