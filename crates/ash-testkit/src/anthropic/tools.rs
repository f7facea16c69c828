//! Judges tools and the choice among them.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::cache::check_cache_control;
use super::check::Thinking;
use super::fields::{array, object, only, required, string, unknown_tag};
use super::invalid;
use super::model::Model;
use crate::history::is_tool_name;
use crate::server::Refusal;

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
pub(super) fn check_tools(body: &Map<String, Value>) -> Result<Option<HashSet<&str>>, Refusal> {
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

pub(super) fn check_tool_choice(
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
