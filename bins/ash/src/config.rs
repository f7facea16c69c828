//! Where settings come from: the environment, else the file, else defaults. Flags stand above all of
//! them; each is applied by the command that has it.
//!
//! This is the only file that knows figment. Each layer is checked on its own against the schema
//! before it is merged, so that a mistake is told with its place: the file and line, or the variable.

mod file;
mod schema;
mod settings;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider, Source as FigmentSource};
use serde_json::{Value, json};

pub(crate) use file::{File, write_private};
use schema::{Finding, Schema};
pub(crate) use settings::Settings;

use crate::home::{Environment, Home};
use crate::report::Problem;

const PREFIX: &str = "ASH_";

/// Variables that other programs know, and the keys that they set.
const REDIRECTS: [(&str, &[&str]); 4] = [
    (
        "ANTHROPIC_BASE_URL",
        &["providers", "anthropic", "base_url"],
    ),
    ("OPENAI_BASE_URL", &["providers", "openai", "base_url"]),
    ("TELEGRAM_API_URL", &["telegram", "api_url"]),
    ("BRAVE_SEARCH_BASE_URL", &["brave_search", "base_url"]),
];

/// Settings of what later versions have. Tables stand for all keys in them.
const IDLE: [&str; 5] = [
    "telegram",
    "sandbox",
    "server",
    "memory.embedding_model",
    "brave_search",
];

/// The providers that are there without being named.
const BUILT_IN: [&str; 2] = ["anthropic", "openai"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody set it.
    Default,
    /// The file, and the line where it is known.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Variable(String),
}

/// A secret that comes from the environment. It holds no secret itself.
pub(crate) struct Secret {
    /// The environment variable.
    pub(crate) variable: String,
    /// What it is for.
    pub(crate) purpose: String,
    /// Whether it is there.
    pub(crate) is_set: bool,
    /// Whether a model that is chosen cannot be asked without it.
    pub(crate) is_needed: bool,
}

/// The settings, and where each comes from.
pub(crate) struct Config {
    /// The values.
    pub(crate) settings: Settings,
    figment: Figment,
    file: Option<File>,
}

impl Config {
    /// Loads the settings of a home.
    pub(crate) fn load(home: &Home, environment: &Environment) -> anyhow::Result<Self> {
        let file = File::read(&home.config())?;
        Self::assemble(home, environment, file)
    }

    /// Merges the layers, the file's text being given.
    pub(crate) fn assemble(
        home: &Home,
        environment: &Environment,
        file: Option<File>,
    ) -> anyhow::Result<Self> {
        let schema = schema();
        let mut layers = Vec::new();
        if let Some(file) = &file {
            layers.push(Layer::new(
                Source::File(file.path().to_owned(), None),
                file.values()?,
            ));
        }
        layers.extend(variables(environment, &schema));
        let mut wrong: Vec<Wrong> = layers
            .iter()
            .flat_map(|layer| {
                schema
                    .check(&layer.values)
                    .into_iter()
                    .map(|finding| Wrong::new(&layer.source, file.as_ref(), finding))
            })
            .collect();
        if !wrong.is_empty() {
            wrong.sort_by_key(|wrong| wrong.line);
            return Err(explain(&wrong).into());
        }
        let mut figment = Figment::new().merge(Serialized::defaults(Settings::defaults(home)));
        for name in BUILT_IN {
            // Whoever redirects a built-in provider need not say what it speaks.
            if layers
                .iter()
                .any(|layer| layer.values["providers"][name].is_object())
            {
                let key = format!("providers.{name}.kind");
                figment = figment.merge(Serialized::default(&key, name));
            }
        }
        for layer in layers {
            figment = figment.merge(layer);
        }
        let mut settings = extract(&figment, file.as_ref())?;
        settings.workspace = home.resolve(&settings.workspace)?;
        settings.memory.database_path = home.resolve(&settings.memory.database_path)?;
        Ok(Self {
            settings,
            figment,
            file,
        })
    }

    /// Returns where the value of a key comes from.
    pub(crate) fn source(&self, path: &[String]) -> Source {
        let source = self
            .figment
            .find_metadata(&path.join("."))
            .map_or(Source::Default, read_source);
        match (source, &self.file) {
            (Source::File(name, _), Some(file)) => Source::File(name, file.line(path)),
            (source, _) => source,
        }
    }

    /// Tells whether there is a settings file.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns the keys that somebody set but that do nothing yet, because what they are for is not
    /// part of this version. They are checked like all others.
    pub(crate) fn idle(&self) -> Vec<&'static str> {
        IDLE.into_iter()
            .filter(|key| {
                let path: Vec<String> = key.split('.').map(str::to_owned).collect();
                self.is_set(&path)
            })
            .collect()
    }

    /// Returns the secrets that the settings may need, and whether they are there.
    pub(crate) fn secrets(&self, environment: &Environment) -> Vec<Secret> {
        let settings = &self.settings;
        let asked: Vec<&str> = [&settings.default_llm, &settings.fallback_llm]
            .into_iter()
            .filter_map(|model| model.as_ref()?.provider.as_deref())
            .collect();
        let built_in = BUILT_IN
            .into_iter()
            .filter(|name| !settings.providers.contains_key(*name))
            .map(|name| (name, format!("{}_API_KEY", name.to_uppercase())));
        let configured = settings.providers.iter().filter_map(|(name, provider)| {
            let usual = || {
                BUILT_IN
                    .contains(&name.as_str())
                    .then(|| format!("{}_API_KEY", name.to_uppercase()))
            };
            Some((name.as_str(), provider.api_key_env.clone().or_else(usual)?))
        });
        let others = [
            ("telegram", "TELEGRAM_BOT_TOKEN".to_owned()),
            ("brave_search", "BRAVE_SEARCH_API_KEY".to_owned()),
        ];
        built_in
            .chain(configured)
            .chain(others)
            .map(|(purpose, variable)| Secret {
                is_set: environment.get(&variable).is_some(),
                is_needed: asked.contains(&purpose),
                purpose: purpose.to_owned(),
                variable,
            })
            .collect()
    }

    /// Tells whether somebody set a key, or one in the table that it names.
    fn is_set(&self, path: &[String]) -> bool {
        let Ok(mut value) = self.values() else {
            return false;
        };
        for key in path {
            value = value.get_mut(key).map(Value::take).unwrap_or_default();
        }
        let mut set = false;
        leaves(&value, &mut path.to_vec(), &mut |path, _| {
            set |= self.source(path) != Source::Default;
        });
        set
    }

    /// Returns all values as one tree, as they were written; only paths are made absolute.
    pub(crate) fn values(&self) -> anyhow::Result<Value> {
        let mut values: Value = self
            .figment
            .extract()
            .context("the settings cannot be shown")?;
        values["workspace"] = json!(self.settings.workspace);
        values["memory"]["database_path"] = json!(self.settings.memory.database_path);
        Ok(values)
    }
}

/// Returns the JSON Schema of the settings.
pub(crate) fn json_schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// Reads a key such as `default_llm.model`, in which names may be quoted.
pub(crate) fn parse_key(key: &str) -> anyhow::Result<Vec<String>> {
    let path: Vec<String> = toml_edit::Key::parse(key)
        .map_err(|_| Problem::usage(format!("`{key}` is not the name of a setting")))?
        .into_iter()
        .map(|part| part.get().to_owned())
        .collect();
    let schema = schema();
    if schema.knows(&path) {
        return Ok(path);
    }
    let problem = Problem::fixable(format!("`{key}` is not a setting"));
    Err(match schema.nearest(&path) {
        Some(nearest) => problem.hint(format!("did you mean `{nearest}`?")),
        None => problem.hint("`ash config show` lists every setting"),
    }
    .into())
}

/// Reads what was typed for a key as the type that the key has.
pub(crate) fn parse_value(path: &[String], text: &str) -> Value {
    schema().read(path, text)
}

/// Visits every value that is no table.
pub(crate) fn leaves(
    value: &Value,
    path: &mut Vec<String>,
    visit: &mut impl FnMut(&[String], &Value),
) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                path.push(key.clone());
                leaves(value, path, visit);
                path.pop();
            }
        }
        _ => visit(path, value),
    }
}

fn schema() -> Schema {
    Schema::new(json_schema())
}

/// Collects what the environment sets; a variable that nobody knows is found by the check.
fn variables(environment: &Environment, schema: &Schema) -> Vec<Layer> {
    let redirects = REDIRECTS.iter().filter_map(|(name, path)| {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        Some((*name, path, environment.get(name)?))
    });
    let ours = environment.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix(PREFIX)?;
        // The home is no key of the file that lies in it; tests have switches of their own.
        if key == "HOME" || key.starts_with("TEST_") {
            return None;
        }
        let path = key.to_lowercase().split("__").map(str::to_owned).collect();
        Some((name, path, value))
    });
    redirects
        .chain(ours)
        .map(|(name, path, value)| {
            let value = schema.read(&path, value);
            Layer::new(Source::Variable(name.to_owned()), nest(&path, value))
        })
        .collect()
}

fn nest(path: &[String], value: Value) -> Value {
    path.iter()
        .rev()
        .fold(value, |inner, key| json!({ key: inner }))
}

fn extract(figment: &Figment, file: Option<&File>) -> anyhow::Result<Settings> {
    figment.extract().map_err(|error| {
        // What the types themselves refuse: the sentence is theirs, the place is ours.
        let wrong: Vec<Wrong> = error
            .into_iter()
            .map(|error| {
                let source = error.metadata.as_ref().map_or(Source::Default, read_source);
                let mut path = error.path.clone();
                let message = match error.kind {
                    figment::error::Kind::Message(message) => format!("is wrong: {message}"),
                    figment::error::Kind::MissingField(field) => {
                        path.push(field.into_owned());
                        "is missing".to_owned()
                    }
                    other => format!("is wrong: {other}"),
                };
                let finding = Finding {
                    path,
                    message,
                    hint: None,
                };
                Wrong::new(&source, file, finding)
            })
            .collect();
        explain(&wrong).into()
    })
}

/// One source of settings, as figment takes it.
struct Layer {
    source: Source,
    values: Value,
}

impl Layer {
    fn new(source: Source, values: Value) -> Self {
        Self { source, values }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.source {
            Source::Default => Metadata::named("default"),
            Source::File(path, _) => Metadata::from("file", path.as_path()),
            Source::Variable(name) => {
                Metadata::from("variable", FigmentSource::Custom(name.clone()))
            }
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::defaults(&self.values).data()
    }
}

fn read_source(metadata: &Metadata) -> Source {
    match (metadata.name.as_ref(), &metadata.source) {
        ("file", Some(FigmentSource::File(path))) => Source::File(path.clone(), None),
        ("variable", Some(FigmentSource::Custom(name))) => Source::Variable(name.clone()),
        _ => Source::Default,
    }
}

/// A finding with its place.
struct Wrong {
    place: Option<String>,
    line: Option<usize>,
    key: String,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    fn new(source: &Source, file: Option<&File>, finding: Finding) -> Self {
        let mut line = None;
        let place = match source {
            Source::Default => None,
            Source::File(path, _) => {
                line = file.and_then(|file| file.line(&finding.path));
                Some(place_in_file(path, line))
            }
            Source::Variable(name) => Some(format!("environment variable {name}")),
        };
        Self {
            place,
            line,
            key: key_text(&finding.path),
            message: finding.message,
            hint: finding.hint,
        }
    }

    fn sentence(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{place}: "));
        format!(
            "{}`{}` {}",
            place.unwrap_or_default(),
            self.key,
            self.message
        )
    }
}

/// Writes a key the way people do: `allowed_users[0]`, not `allowed_users.0`.
fn key_text(path: &[String]) -> String {
    path.iter().fold(String::new(), |key, part| {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("{key}[{part}]")
        } else if key.is_empty() {
            part.clone()
        } else {
            format!("{key}.{part}")
        }
    })
}

/// Writes a place the way editors and people find it.
pub(crate) fn place_in_file(path: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

fn explain(wrong: &[Wrong]) -> Problem {
    if let [one] = wrong {
        let problem = Problem::fixable(one.sentence());
        return match &one.hint {
            Some(hint) => problem.hint(hint),
            None => problem.hint("`ash config schema` says what each setting may be"),
        };
    }
    let mut message = format!("{} settings are wrong", wrong.len());
    for wrong in wrong {
        message.push_str("\n  ");
        message.push_str(&wrong.sentence());
        if let Some(hint) = &wrong.hint {
            message.push_str("; ");
            message.push_str(hint);
        }
    }
    Problem::fixable(message).hint("`ash config schema` says what each setting may be")
}
