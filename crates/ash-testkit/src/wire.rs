//! Checks that hold between the requests of one conversation, whatever the vendor.

use serde_json::Value;

use crate::http::Recorded;

/// Checks that the vendor's prompt cache, filled by `a`, serves `b`: once cache markers are removed,
/// tools and system prompt are the same, and the messages of `a` begin those of `b`.
pub fn check_wire_prefix(a: &Recorded, b: &Recorded) -> Result<(), String> {
    if a.path != b.path {
        return Err(format!("{} and {} share no cache", a.path, b.path));
    }
    for key in ["model", "tools", "system", "instructions"] {
        same(key, &a.body[key], &b.body[key])?;
    }
    let key = if a.body["messages"].is_array() {
        "messages"
    } else {
        "input"
    };
    let items = |request: &Recorded| request.body[key].as_array().cloned().unwrap_or_default();
    let (before, after) = (items(a), items(b));
    if before.is_empty() || before.len() > after.len() {
        return Err(format!("{} {key} became {}", before.len(), after.len()));
    }
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        same(&format!("{key}[{at}]"), before, after)?;
    }
    Ok(())
}

fn same(what: &str, a: &Value, b: &Value) -> Result<(), String> {
    let (a, b) = (unmarked(a), unmarked(b));
    if a == b {
        Ok(())
    } else {
        Err(format!("{what} changed: {a} became {b}"))
    }
}

/// Removes cache markers.
fn unmarked(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(unmarked).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "cache_control" | "prompt_cache_breakpoint"))
            .map(|(key, value)| (key.clone(), unmarked(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
