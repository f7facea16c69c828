//! `ash config`: show, get, set, validate.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{Context, print_json};
use crate::cli::{ConfigCommand, Json};
use crate::config::{self, Config, File, Source};
use crate::report::{Exit, Problem};
use crate::terminal;

/// Runs `ash config`.
pub(crate) fn run(context: &Context, command: ConfigCommand) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Show(Json { json }) => show(context, json),
        ConfigCommand::Path => {
            writeln!(terminal::stdout(), "{}", context.home.config().display())?;
            Ok(Exit::Done)
        }
        ConfigCommand::Get { key, json } => get(context, &key, json.json),
        ConfigCommand::Set { key, value } => set(context, &key, &value),
        ConfigCommand::Validate(Json { json }) => validate(context, json),
        ConfigCommand::Schema => {
            print_json(&config::json_schema())?;
            Ok(Exit::Done)
        }
    }
}

fn show(context: &Context, json: bool) -> anyhow::Result<Exit> {
    let config = Config::load(&context.home, &context.environment)?;
    let mut rows = Vec::new();
    config::leaves(&config.values()?, &mut Vec::new(), &mut |path, value| {
        rows.push((path.to_vec(), hide_password(value), config.source(path)));
    });
    let secrets = config.secrets(&context.environment);
    if json {
        let settings: serde_json::Map<String, Value> = rows
            .into_iter()
            .map(|(path, value, source)| {
                (
                    path.join("."),
                    json!({ "value": value, "source": source_json(&source) }),
                )
            })
            .collect();
        let secrets: serde_json::Map<String, Value> = secrets
            .into_iter()
            .map(|secret| {
                let value = json!({ "set": secret.is_set, "for": secret.purpose });
                (secret.variable, value)
            })
            .collect();
        print_json(&json!({
            "home": context.home.root(),
            "file": context.home.config(),
            "settings": settings,
            "secrets": secrets,
        }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 3]> = rows
        .into_iter()
        .map(|(path, value, source)| [path.join("."), plain(&value), source_text(&source)])
        .chain(secrets.into_iter().map(|secret| {
            let state = if secret.is_set { "set" } else { "not set" };
            [
                secret.variable,
                format!("({state})"),
                format!("environment, for {}", secret.purpose),
            ]
        }))
        .collect();
    terminal::columns(
        &mut terminal::stdout(),
        Some(["SETTING", "VALUE", "SOURCE"]),
        &rows,
    )?;
    Ok(Exit::Done)
}

fn get(context: &Context, key: &str, json: bool) -> anyhow::Result<Exit> {
    let path = config::parse_key(key)?;
    let config = Config::load(&context.home, &context.environment)?;
    let mut value = &config.values()?;
    for part in &path {
        value = value.get(part).unwrap_or(&Value::Null);
    }
    let value = hide_password(value);
    if json || value.is_object() {
        print_json(&value)?;
    } else if !value.is_null() {
        writeln!(terminal::stdout(), "{}", plain(&value))?;
    }
    Ok(Exit::Done)
}

fn set(context: &Context, key: &str, value: &str) -> anyhow::Result<Exit> {
    let path = config::parse_key(key)?;
    let value = config::parse_value(&path, value);
    if value.is_object() {
        return Err(Problem::usage(format!("`{key}` is a table"))
            .hint("set one of the keys in it")
            .into());
    }
    let target = context.home.config();
    let file = match File::read(&target)? {
        Some(file) => file,
        None => File::parse(&target, String::new())?,
    };
    let text = file.with(&path, &value)?;
    let changed = File::parse(&target, text.clone())?;
    let config = Config::assemble(&context.home, &context.environment, Some(changed))?;
    context.home.create()?;
    config::write_private(&target, &text)?;
    match config.source(&path) {
        Source::Default | Source::File(..) => {}
        source @ Source::Variable(_) => writeln!(
            terminal::stderr(),
            "note: {} overrides `{key}` just now",
            source_text(&source)
        )?,
    }
    Ok(Exit::Done)
}

fn validate(context: &Context, json: bool) -> anyhow::Result<Exit> {
    let config = Config::load(&context.home, &context.environment)?;
    let idle = config.idle();
    let path = context.home.config();
    if json {
        print_json(&json!({ "valid": true, "file": path, "without_effect_yet": idle }))?;
        return Ok(Exit::Done);
    }
    let mut out = terminal::stdout();
    if config.has_file() {
        writeln!(out, "{} is valid", path.display())?;
    } else {
        writeln!(out, "there is no {}: the defaults hold", path.display())?;
    }
    for key in idle {
        writeln!(
            out,
            "`{key}` has no effect yet: this version does not have what it is for"
        )?;
    }
    Ok(Exit::Done)
}

/// Hides the password that an address may carry.
fn hide_password(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_password(text)),
        Value::Array(items) => items.iter().map(hide_password).collect(),
        Value::Object(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.clone(), hide_password(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// Shows a value the way it is typed.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn source_text(source: &Source) -> String {
    match source {
        Source::Default => "default".to_owned(),
        Source::File(path, line) => {
            let name = path.file_name().unwrap_or_default();
            config::place_in_file(name.as_ref(), *line)
        }
        Source::Variable(name) => format!("environment variable {name}"),
    }
}

fn source_json(source: &Source) -> Value {
    match source {
        Source::Default => json!({ "kind": "default" }),
        Source::File(path, line) => json!({ "kind": "file", "file": path, "line": line }),
        Source::Variable(name) => json!({ "kind": "variable", "name": name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_password_to_itself() {
        for (address, shown) in [
            ("https://me:pw@host/v1", "https://***@host/v1"),
            ("https://host/a@b", "https://host/a@b"),
            ("https://tok@en@host?q=@", "https://***@host?q=@"),
            ("@friend", "@friend"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
