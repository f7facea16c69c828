//! Checks values against the JSON Schema of the settings, and names what is wrong in a sentence.
//!
//! The schema is made from the same types that the settings are read into, so what is allowed is
//! written down once: as their attributes.

use serde_json::Value;

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Where it is, from the root.
    pub(super) path: Vec<String>,
    /// What is wrong, without the place.
    pub(super) message: String,
    /// What would be right.
    pub(super) hint: Option<String>,
}

/// The schema of all settings.
pub(super) struct Schema {
    root: Value,
}

impl Schema {
    /// Takes the root of a JSON Schema.
    pub(super) fn new(root: Value) -> Self {
        Self { root }
    }

    /// Returns everything that is wrong with a tree of settings, of which parts may be missing.
    pub(super) fn check(&self, value: &Value) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_value(&self.root, value, &mut Vec::new(), &mut findings);
        findings
    }

    /// Reads what was typed for a key as the type that the key has.
    pub(super) fn read(&self, path: &[String], text: &str) -> Value {
        let types = self.find(path).map(|s| self.types(s)).unwrap_or_default();
        let typed = |name: &str| types.iter().any(|t| t == name);
        if typed("string") {
            return Value::String(text.to_owned());
        }
        let parsed = format!("value = {text}")
            .parse::<toml_edit::DocumentMut>()
            .ok()
            .and_then(|document| toml_edit::de::from_document::<Value>(document).ok())
            .and_then(|mut table| table.get_mut("value").map(Value::take));
        match parsed {
            Some(Value::Array(items)) if typed("array") => Value::Array(items),
            // A list may be written without brackets and quotes.
            _ if typed("array") => {
                let mut item_path = path.to_vec();
                item_path.push("0".to_owned());
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| self.read(&item_path, item))
                    .collect()
            }
            Some(value) => value,
            None => Value::String(text.to_owned()),
        }
    }

    /// Tells whether there is such a key.
    pub(super) fn knows(&self, path: &[String]) -> bool {
        self.find(path).is_some()
    }

    /// Returns the known key that an unknown one most likely means.
    pub(super) fn nearest(&self, path: &[String]) -> Option<String> {
        let (wrong, parent) = path.split_last()?;
        let parent_path = parent.join(".");
        let wanted = path.join(".").to_lowercase();
        let mut known = Vec::new();
        self.keys(&self.root, &mut Vec::new(), &mut known);
        if let Some(parent) = self.find(parent)
            && !parent_path.is_empty()
        {
            self.keys(parent, &mut path[..path.len() - 1].to_vec(), &mut known);
        }
        known
            .into_iter()
            .map(|key| {
                let (place, last) = key.rsplit_once('.').unwrap_or(("", &key));
                // The same name elsewhere, or a like name in the same place, or like as a whole.
                let score = if last == wrong.to_lowercase() {
                    0.9
                } else {
                    let whole = strsim::normalized_damerau_levenshtein(&key, &wanted);
                    let name = strsim::normalized_damerau_levenshtein(last, &wrong.to_lowercase());
                    let name = if place == parent_path {
                        name.max(strsim::jaro_winkler(last, &wrong.to_lowercase()) - 0.2)
                    } else {
                        name * 0.8
                    };
                    whole.max(name)
                };
                (score, key)
            })
            .filter(|(score, _)| *score >= 0.6)
            // Of equals the first, as the default model comes before the fallback.
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map(|(_, key)| key)
    }

    fn check_value(
        &self,
        schema: &Value,
        value: &Value,
        path: &mut Vec<String>,
        findings: &mut Vec<Finding>,
    ) {
        let schema = self.resolve(schema);
        let mut complain = |message: String, hint: Option<String>| {
            findings.push(Finding {
                path: path.clone(),
                message,
                hint,
            });
        };
        let types = self.types(schema);
        if !types.is_empty() && !types.iter().any(|t| has_type(value, t)) {
            let wanted = types
                .iter()
                .filter(|t| *t != "null")
                .map(|t| type_name(t))
                .collect::<Vec<_>>()
                .join(" or ");
            return complain(format!("must be {wanted}, not {}", kind(value)), None);
        }
        if let Some(allowed) = choices(schema)
            && !allowed.contains(value)
        {
            let names: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
            let nearest = value.as_str().and_then(|wrong| {
                names
                    .iter()
                    .find(|name| strsim::damerau_levenshtein(name, wrong) <= 2)
            });
            return complain(
                format!("must be one of {}", list(&names)),
                nearest.map(|name| format!("did you mean \"{name}\"?")),
            );
        }
        if let Some(number) = value.as_f64()
            && let Some(sentence) = out_of_range(schema, number)
        {
            return complain(format!("is {value}, {sentence}"), None);
        }
        match value {
            Value::Object(table) => {
                let empty = serde_json::Map::new();
                let properties = schema["properties"].as_object().unwrap_or(&empty);
                for (key, value) in table {
                    path.push(key.clone());
                    match (properties.get(key), &schema["additionalProperties"]) {
                        (Some(schema), _) => self.check_value(schema, value, path, findings),
                        (None, schema @ Value::Object(_)) => {
                            self.check_value(schema, value, path, findings);
                        }
                        (None, _) => findings.push(Finding {
                            path: path.clone(),
                            message: "is not a setting".to_owned(),
                            hint: self.hint_for_unknown(path),
                        }),
                    }
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    path.push(i.to_string());
                    self.check_value(&schema["items"], item, path, findings);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn hint_for_unknown(&self, path: &[String]) -> Option<String> {
        let last = path.last()?.to_lowercase();
        if ["api_key", "key", "bot_token", "token", "secret", "password"].contains(&last.as_str()) {
            let variable = match path[0].as_str() {
                "telegram" => "TELEGRAM_BOT_TOKEN",
                "brave_search" => "BRAVE_SEARCH_API_KEY",
                "providers" => "the variable that `api_key_env` names",
                _ => "ANTHROPIC_API_KEY or OPENAI_API_KEY",
            };
            return Some(format!(
                "secrets are not kept in the file: set {variable} in the environment"
            ));
        }
        Some(match self.nearest(path) {
            Some(key) => format!("did you mean `{key}`?"),
            None => "`ash config schema` lists every setting".to_owned(),
        })
    }

    /// Follows references, and chooses the part of an optional value that is not null.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|r| r.strip_prefix("#/$defs/"))
        {
            return self.resolve(&self.root["$defs"][name]);
        }
        let present = schema["anyOf"]
            .as_array()
            .and_then(|any| any.iter().find(|s| s["type"] != "null"));
        match present {
            Some(present) => self.resolve(present),
            None => schema,
        }
    }

    fn types(&self, schema: &Value) -> Vec<String> {
        let schema = self.resolve(schema);
        match &schema["type"] {
            Value::String(name) => vec![name.clone()],
            Value::Array(names) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            _ if choices(schema).is_some() => vec!["string".to_owned()],
            _ => Vec::new(),
        }
    }

    fn find(&self, path: &[String]) -> Option<&Value> {
        let mut schema = self.resolve(&self.root);
        for key in path {
            let next = [
                &schema["properties"][key.as_str()],
                &schema["additionalProperties"],
                &schema["items"],
            ]
            .into_iter()
            .find(|schema| schema.is_object())?;
            schema = self.resolve(next);
        }
        Some(schema)
    }

    fn keys(&self, schema: &Value, path: &mut Vec<String>, keys: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for (key, schema) in properties {
            path.push(key.clone());
            keys.push(path.join("."));
            self.keys(schema, path, keys);
            path.pop();
        }
    }
}

/// Returns the values that an enumeration allows.
fn choices(schema: &Value) -> Option<Vec<Value>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.clone());
    }
    schema["oneOf"]
        .as_array()?
        .iter()
        .map(|one| match (&one["const"], one["enum"].as_array()) {
            (Value::Null, Some(values)) => Some(values.clone()),
            (Value::Null, None) => None,
            (value, _) => Some(vec![value.clone()]),
        })
        .collect::<Option<Vec<_>>>()
        .map(|values| values.concat())
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn type_name(name: &str) -> &'static str {
    match name {
        "object" => "a table",
        "array" => "a list",
        "string" => "text in quotes",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "something else",
    }
}

/// Names what a value is; never the value, which may be a misplaced secret.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(n) if n.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        // The form that a date takes on its way out of TOML.
        Value::Object(table) if table.contains_key("$__toml_private_datetime") => "a date",
        Value::Object(_) => "a table",
    }
}

fn out_of_range(schema: &Value, number: f64) -> Option<String> {
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let right = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
    if right {
        return None;
    }
    let (least, most) = (&schema["minimum"], &schema["maximum"]);
    Some(match (least.is_null(), most.is_null()) {
        (false, false) => format!("but must be from {least} to {most}"),
        (false, true) => format!("but must be at least {least}"),
        (true, _) => format!("but must be at most {most}"),
    })
}

/// Joins names as a person would.
fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
