//! Reads fields of a request and complains in the vendor's words.

use serde_json::{Map, Value};

use crate::server::Refusal;

pub(super) type Fields = Map<String, Value>;

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error",
        message: message.into(),
        param: None,
        code: None,
    }
}

/// Makes a refusal that names a parameter and has a code.
pub(super) fn refused(param: &str, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal {
        param: Some(param.into()),
        code: Some(code),
        ..invalid(message)
    }
}

pub(super) fn unsupported(param: &str, message: impl Into<String>) -> Refusal {
    refused(param, "unsupported_parameter", message)
}

pub(super) fn invalid_value(param: &str, given: &str, supported: &[&str]) -> Refusal {
    let supported: Vec<String> = supported.iter().map(|value| format!("'{value}'")).collect();
    let message = format!(
        "Invalid value: '{given}'. Supported values are: {}.",
        supported.join(", ")
    );
    refused(param, "invalid_value", message)
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Returns a field that is there and not null.
pub(super) fn optional<'a>(fields: &'a Fields, key: &str) -> Option<&'a Value> {
    fields.get(key).filter(|value| !value.is_null())
}

pub(super) fn required<'a>(
    fields: &'a Fields,
    path: &str,
    key: &str,
) -> Result<&'a Value, Refusal> {
    optional(fields, key).ok_or_else(|| {
        let param = join(path, key);
        let message = format!("Missing required parameter: '{param}'.");
        refused(&param, "missing_required_parameter", message)
    })
}

pub(super) fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Fields, Refusal> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(path, "an object", value))
}

pub(super) fn array<'a>(value: &'a Value, path: &str) -> Result<&'a [Value], Refusal> {
    match value.as_array() {
        None => Err(wrong_type(path, "an array", value)),
        Some(items) if items.is_empty() => Err(refused(
            path,
            "empty_array",
            format!(
                "Invalid '{path}': empty array. Expected an array with minimum length 1, but got \
                 an empty array instead."
            ),
        )),
        Some(items) => Ok(items),
    }
}

pub(super) fn string<'a>(fields: &'a Fields, path: &str, key: &str) -> Result<&'a str, Refusal> {
    let value = required(fields, path, key)?;
    value
        .as_str()
        .ok_or_else(|| wrong_type(&join(path, key), "a string", value))
}

/// Reads a field that must be one of a few words.
pub(super) fn word<'a>(
    fields: &'a Fields,
    path: &str,
    key: &str,
    supported: &[&str],
) -> Result<&'a str, Refusal> {
    let given = string(fields, path, key)?;
    if supported.contains(&given) {
        Ok(given)
    } else {
        Err(invalid_value(&join(path, key), given, supported))
    }
}

pub(super) fn boolean(fields: &Fields, path: &str, key: &str) -> Result<Option<bool>, Refusal> {
    match optional(fields, key) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(wrong_type(&join(path, key), "a boolean", other)),
    }
}

/// Reads a whole number that must not be below `least`.
pub(super) fn integer(fields: &Fields, key: &str, least: i64) -> Result<Option<i64>, Refusal> {
    let Some(value) = optional(fields, key) else {
        return Ok(None);
    };
    match value.as_i64() {
        None => Err(wrong_type(key, "an integer", value)),
        Some(given) if given < least => Err(refused(
            key,
            "integer_below_min_value",
            format!(
                "Invalid '{key}': integer below minimum value. Expected a value >= {least}, but \
                 got {given} instead."
            ),
        )),
        Some(given) => Ok(Some(given)),
    }
}

pub(super) fn only(fields: &Fields, path: &str, known: &[&str]) -> Result<(), Refusal> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let param = join(path, key);
            let message = format!("Unknown parameter: '{param}'.");
            Err(refused(&param, "unknown_parameter", message))
        }
    }
}

pub(super) fn at_most(text: &str, path: &str, longest: usize) -> Result<(), Refusal> {
    let length = text.chars().count();
    if length <= longest {
        return Ok(());
    }
    Err(refused(
        path,
        "string_above_max_length",
        format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {longest}, \
             but got a string with length {length} instead."
        ),
    ))
}

fn wrong_type(path: &str, expected: &str, given: &Value) -> Refusal {
    let given = match given {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    refused(
        path,
        "invalid_type",
        format!("Invalid type for '{path}': expected {expected}, but got {given} instead."),
    )
}
