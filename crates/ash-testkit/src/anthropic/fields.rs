//! Reads fields of a request and complains in the vendor's words.

use serde_json::{Map, Value};

use super::invalid;
use crate::server::Refusal;

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
