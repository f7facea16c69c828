//! Judges cache breakpoints.

use serde_json::{Map, Value};

use super::fields::{object, only, string};
use super::invalid;
use crate::server::Refusal;

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
pub(super) fn check_breakpoints(body: &Map<String, Value>) -> Result<(), Refusal> {
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
