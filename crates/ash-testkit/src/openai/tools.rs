//! Judges functions and the choice among them, which both APIs describe alike.

use serde_json::Value;

use super::fields::{
    Fields, array, boolean, invalid, invalid_value, join, object, only, optional, refused,
    required, string, word,
};
use crate::history::is_tool_name;
use crate::server::Refusal;

/// Where a function's description stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nesting {
    /// In the tool itself, as Responses has it.
    Flat,
    /// Under `function`, as Chat Completions has it.
    Nested,
}

pub(super) fn check(body: &Fields, nesting: Nesting) -> Result<(), Refusal> {
    let mut names = Vec::new();
    if let Some(tools) = optional(body, "tools") {
        for (at, tool) in array(tools, "tools")?.iter().enumerate() {
            let path = format!("tools[{at}]");
            let tool = object(tool, &path)?;
            word(tool, &path, "type", &["function"])?;
            names.push(match nesting {
                Nesting::Flat => {
                    let known = ["type", "name", "description", "parameters", "strict"];
                    required(tool, &path, "name")?;
                    only(tool, &path, &known)?;
                    check_function(tool, &path, true)?
                }
                Nesting::Nested => {
                    only(tool, &path, &["type", "function"])?;
                    let inner = join(&path, "function");
                    let function = object(required(tool, &path, "function")?, &inner)?;
                    let known = ["name", "description", "parameters", "strict"];
                    only(function, &inner, &known)?;
                    check_function(function, &inner, false)?
                }
            });
        }
    }
    boolean(body, "", "parallel_tool_calls")?;
    for key in ["tool_choice", "parallel_tool_calls"] {
        // Responses takes both without tools.
        if nesting == Nesting::Nested && names.is_empty() && optional(body, key).is_some() {
            return Err(invalid(format!(
                "Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified."
            )));
        }
    }
    check_choice(body, nesting, &names)
}

fn check_function<'a>(
    function: &'a Fields,
    path: &str,
    needs_parameters: bool,
) -> Result<&'a str, Refusal> {
    let name = string(function, path, "name")?;
    if !is_tool_name(name) {
        let param = join(path, "name");
        let message = format!(
            "Invalid '{param}': string does not match pattern. Expected a string that matches the \
             pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(refused(&param, "invalid_value", message));
    }
    if optional(function, "description").is_some() {
        string(function, path, "description")?;
    }
    let strict = boolean(function, path, "strict")? == Some(true);
    let param = join(path, "parameters");
    match optional(function, "parameters") {
        None if needs_parameters => {
            required(function, path, "parameters")?;
        }
        None => {}
        Some(schema) => {
            let problem = if schema["type"] == "object" {
                schema_problem(schema, "()", strict)
            } else {
                Some(format!(
                    "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{}\"'",
                    schema["type"].as_str().unwrap_or("None")
                ))
            };
            if let Some(problem) = problem {
                let message = format!("Invalid schema for function '{name}': {problem}.");
                return Err(refused(&param, "invalid_function_parameters", message));
            }
        }
    }
    Ok(name)
}

/// Finds what is wrong with a schema: arrays need items, and a strict object is closed.
fn schema_problem(schema: &Value, context: &str, strict: bool) -> Option<String> {
    let is = |kind: &str| match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        one => one == kind,
    };
    if is("array") {
        let Some(items) = schema.get("items") else {
            return Some(format!("In context={context}, array schema missing items"));
        };
        return schema_problem(items, &format!("{context}.items"), strict);
    }
    let empty = Fields::new();
    let properties = match schema.get("properties") {
        None => &empty,
        Some(Value::Object(properties)) => properties,
        Some(_) => return Some(format!("In context={context}, properties is not an object")),
    };
    if strict && is("object") {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some(format!(
                "In context={context}, 'additionalProperties' is required to be supplied and to \
                 be false"
            ));
        }
        let listed = |key: &String| {
            let required = schema["required"].as_array();
            required.is_some_and(|required| required.iter().any(|one| one == key.as_str()))
        };
        if let Some(missing) = properties.keys().find(|key| !listed(key)) {
            return Some(format!(
                "In context={context}, 'required' is required to be supplied and to be an array \
                 including every key in properties. Missing '{missing}'"
            ));
        }
    }
    properties.iter().find_map(|(key, inner)| {
        schema_problem(inner, &format!("{context}.properties.{key}"), strict)
    })
}

fn check_choice(body: &Fields, nesting: Nesting, names: &[&str]) -> Result<(), Refusal> {
    let words = ["none", "auto", "required"];
    let choice = match optional(body, "tool_choice") {
        None => return Ok(()),
        Some(Value::String(choice)) if words.contains(&choice.as_str()) => return Ok(()),
        Some(Value::String(choice)) => return Err(invalid_value("tool_choice", choice, &words)),
        Some(choice) => object(choice, "tool_choice")?,
    };
    word(choice, "tool_choice", "type", &["function"])?;
    let name = match nesting {
        Nesting::Flat => string(choice, "tool_choice", "name")?,
        Nesting::Nested => {
            let path = "tool_choice.function";
            let function = object(required(choice, "tool_choice", "function")?, path)?;
            string(function, path, "name")?
        }
    };
    if names.contains(&name) {
        Ok(())
    } else {
        Err(invalid(format!(
            "Tool choice '{name}' not found in 'tools' parameter."
        )))
    }
}
