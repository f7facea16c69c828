//! From the names that people write to models that can be asked.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use secrecy::SecretString;

use crate::{
    Anthropic, AnthropicSettings, EmbeddingProvider, ErrorKind, LlmError, LlmProvider, Model,
    ModelSettings, Offline, OpenAi, OpenAiEmbeddings, ProviderKind, ProviderSettings,
    RetrySettings, Retrying,
};

const ANTHROPIC: &str = "anthropic";
const OPENAI: &str = "openai";

/// Who errs when no provider is to blame.
const SETTINGS: &str = "settings";

/// Knows the providers, and makes each when it is first asked for.
///
/// ```
/// use std::collections::BTreeMap;
/// use ash_llm::Registry;
///
/// let key = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-example".to_owned());
/// let registry = Registry::new(&BTreeMap::new(), &key).expect("nothing is set that could be wrong");
/// assert_eq!(registry.model("openai/gpt-4o").expect("there is a key").id(), "openai/gpt-4o");
/// let error = registry.model("anthropic/claude-sonnet-4-6").expect_err("there is no key");
/// assert!(error.to_string().contains("ANTHROPIC_API_KEY"));
/// ```
pub struct Registry {
    providers: BTreeMap<String, Entry>,
    retry: RetrySettings,
}

/// One provider: how it is reached and, once it was asked for, the provider itself.
struct Entry {
    source: Source,
    made: OnceLock<Arc<dyn LlmProvider>>,
}

enum Source {
    Offline,
    Server {
        settings: ProviderSettings,
        key: Key,
    },
}

/// What is known of a provider's key.
enum Key {
    Known(SecretString),
    /// It should be in this variable and is not.
    Missing(String),
    /// None was asked for: servers at home have no keys.
    Unneeded,
}

impl Registry {
    /// Takes the providers of the settings (`[providers]`) beside those that are built in, and looks
    /// for keys and addresses in the environment. Nothing is connected.
    pub fn new(
        settings: &BTreeMap<String, ProviderSettings>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LlmError> {
        // An empty variable is how people unset one.
        let environment = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let mut providers = BTreeMap::new();
        providers.insert(Offline::NAME.to_owned(), Entry::new(Source::Offline));
        for (name, kind) in [
            (ANTHROPIC, ProviderKind::Anthropic),
            (OPENAI, ProviderKind::Openai),
        ] {
            let source = built_in(
                name,
                settings
                    .get(name)
                    .cloned()
                    .unwrap_or(ProviderSettings::new(kind)),
                &environment,
            );
            providers.insert(name.to_owned(), Entry::new(source));
        }
        for (name, settings) in settings {
            check_name(name)?;
            if !providers.contains_key(name) {
                let key = key(settings.api_key_env.as_deref(), &environment);
                let settings = settings.clone();
                providers.insert(name.clone(), Entry::new(Source::Server { settings, key }));
            }
        }
        Ok(Self {
            providers,
            retry: RetrySettings::default(),
        })
    }

    /// Sets how stubbornly failed calls are made again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetrySettings) -> Self {
        self.retry = retry;
        self
    }

    /// Iterates over the names of all providers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Tells whether a provider is there and has the key that it needs.
    pub fn is_ready(&self, provider: &str) -> bool {
        self.providers
            .get(provider)
            .is_some_and(|entry| match &entry.source {
                Source::Offline => true,
                Source::Server { key, .. } => !matches!(key, Key::Missing(_)),
            })
    }

    /// Returns the model of a `PROVIDER/MODEL` name. The model's part may have slashes of its own.
    pub fn model(&self, id: &str) -> Result<Model, LlmError> {
        let Some((provider, name)) = id.split_once('/') else {
            return Err(self.no_provider_in(id));
        };
        if name.is_empty() {
            return Err(config(
                provider,
                format!("`{id}` names no model: it looks like {provider}/MODEL"),
            ));
        }
        Ok(Model::new(self.provider(provider)?, name))
    }

    /// Returns the model that the settings choose. With nothing set: Anthropic's if its key is there,
    /// else `OpenAI`'s if its key is there, else the offline model.
    pub fn choose(&self, settings: Option<&ModelSettings>) -> Result<Model, LlmError> {
        let provider = settings.and_then(|settings| settings.provider.as_deref());
        let model = settings.and_then(|settings| settings.model.as_deref());
        match (provider, model) {
            (Some(provider), Some(model)) => Ok(Model::new(self.provider(provider)?, model)),
            (Some(provider), None) => {
                let made = self.provider(provider)?;
                let Some(model) = usual_model(provider) else {
                    return Err(config(
                        provider,
                        format!("set `model` beside `provider = \"{provider}\"`"),
                    ));
                };
                Ok(Model::new(made, model))
            }
            (None, Some(model)) => self.model_of_unnamed_provider(model),
            (None, None) => {
                let ready = [ANTHROPIC, OPENAI]
                    .into_iter()
                    .find(|name| self.is_ready(name));
                let name = ready.unwrap_or(Offline::NAME);
                let model = usual_model(name).expect("built-in providers have a usual model");
                Ok(Model::new(self.provider(name)?, model))
            }
        }
    }

    /// Returns a source of vectors: `MODEL` of `OpenAI`, or `PROVIDER/MODEL`. A length of vectors that
    /// is neither given nor known is asked for.
    pub async fn embeddings(
        &self,
        id: &str,
        dimensions: Option<usize>,
    ) -> Result<Arc<dyn EmbeddingProvider>, LlmError> {
        let (name, model) = match id.split_once('/') {
            Some((provider, model)) if self.providers.contains_key(provider) => (provider, model),
            Some(_) | None => (OPENAI, id),
        };
        match &self.entry(name)?.source {
            Source::Server { settings, key } if settings.kind == ProviderKind::Openai => {
                let server = Arc::new(OpenAi::new(name, settings, key.get(name)?)?);
                Ok(Arc::new(
                    OpenAiEmbeddings::connect(server, model, dimensions).await?,
                ))
            }
            Source::Server { .. } | Source::Offline => {
                let message = "this provider makes no vectors; those of kind `openai` do";
                Err(config(name, message))
            }
        }
    }

    fn provider(&self, name: &str) -> Result<Arc<dyn LlmProvider>, LlmError> {
        let entry = self.entry(name)?;
        if let Some(made) = entry.made.get() {
            return Ok(Arc::clone(made));
        }
        let made = entry.source.make(name, self.retry)?;
        Ok(Arc::clone(entry.made.get_or_init(|| made)))
    }

    fn entry(&self, name: &str) -> Result<&Entry, LlmError> {
        self.providers.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Finds the provider of a model that is set without one.
    fn model_of_unnamed_provider(&self, model: &str) -> Result<Model, LlmError> {
        let named = model
            .split_once('/')
            .filter(|(provider, _)| self.providers.contains_key(*provider));
        if named.is_some() {
            return self.model(model);
        }
        match family(model) {
            Some(provider) => Ok(Model::new(self.provider(provider)?, model)),
            None => Err(config(
                SETTINGS,
                format!(
                    "set `provider` beside `model = \"{model}\"`: {}",
                    self.list()
                ),
            )),
        }
    }

    fn no_provider_in(&self, id: &str) -> LlmError {
        let hint = match family(id) {
            Some(provider) => format!("did you mean {provider}/{id}?"),
            None if self.providers.contains_key(id) => format!("a model follows: {id}/MODEL"),
            None => format!("it looks like PROVIDER/MODEL, and {}", self.list()),
        };
        config(SETTINGS, format!("`{id}` names no provider: {hint}"))
    }

    fn unknown(&self, name: &str) -> LlmError {
        let near = self
            .names()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        let meant = near
            .map(|(_, known)| format!("did you mean `{known}`? "))
            .unwrap_or_default();
        config(
            SETTINGS,
            format!("there is no provider `{name}`: {meant}{}", self.list()),
        )
    }

    fn list(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        format!("the providers are {}", names.join(", "))
    }
}

impl Entry {
    fn new(source: Source) -> Self {
        Self {
            source,
            made: OnceLock::new(),
        }
    }
}

impl Source {
    fn make(&self, name: &str, retry: RetrySettings) -> Result<Arc<dyn LlmProvider>, LlmError> {
        let provider: Arc<dyn LlmProvider> = match self {
            // It never fails, so it is never asked again.
            Self::Offline => return Ok(Arc::new(Offline)),
            Self::Server { settings, key } => {
                let key = key.get(name)?;
                match settings.kind {
                    ProviderKind::Anthropic => {
                        Arc::new(Anthropic::new(anthropic(name, settings, key))?)
                    }
                    ProviderKind::Openai => Arc::new(OpenAi::new(name, settings, key)?),
                }
            }
        };
        Ok(Arc::new(Retrying::new(provider, retry)))
    }
}

impl Key {
    fn get(&self, provider: &str) -> Result<Option<&SecretString>, LlmError> {
        match self {
            Self::Known(key) => Ok(Some(key)),
            Self::Unneeded => Ok(None),
            Self::Missing(variable) => {
                let message = format!("no API key: set the environment variable {variable}");
                Err(LlmError::new(provider, ErrorKind::Auth, message))
            }
        }
    }
}

fn anthropic(
    name: &str,
    settings: &ProviderSettings,
    key: Option<&SecretString>,
) -> AnthropicSettings {
    let defaults = AnthropicSettings::default();
    AnthropicSettings {
        name: name.to_owned(),
        base_url: settings.base_url.clone().unwrap_or(defaults.base_url),
        api_key: key.cloned(),
        version: settings.version.clone(),
        auth: settings.auth,
        timeouts: settings.timeouts(),
    }
}

/// A built-in provider has its key and its address in well-known variables. An address in the
/// environment stands above one in a file, as everywhere.
fn built_in(
    name: &str,
    mut settings: ProviderSettings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Source {
    let prefix = name.to_ascii_uppercase();
    let key_variable = settings
        .api_key_env
        .clone()
        .unwrap_or(format!("{prefix}_API_KEY"));
    settings.base_url = environment(&format!("{prefix}_BASE_URL")).or(settings.base_url);
    let key = key(Some(&key_variable), environment);
    Source::Server { settings, key }
}

fn key(variable: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> Key {
    match variable {
        None => Key::Unneeded,
        Some(variable) => match environment(variable) {
            Some(key) => Key::Known(SecretString::from(key)),
            None => Key::Missing(variable.to_owned()),
        },
    }
}

fn check_name(name: &str) -> Result<(), LlmError> {
    if name == Offline::NAME {
        return Err(config(
            SETTINGS,
            "`[providers.offline]` cannot be set: the offline model is built in",
        ));
    }
    if name.is_empty() || name.contains('/') || name.contains(char::is_whitespace) {
        return Err(config(
            SETTINGS,
            format!("`[providers.\"{name}\"]`: a name has no slash and no space"),
        ));
    }
    Ok(())
}

/// Returns the model of a provider that is asked where none is set.
fn usual_model(provider: &str) -> Option<&'static str> {
    match provider {
        ANTHROPIC => Some("claude-sonnet-4-6"),
        OPENAI => Some("gpt-6.1-terra"),
        Offline::NAME => Some(Offline::NAME),
        _ => None,
    }
}

/// Returns the built-in provider whose models are named like this.
fn family(model: &str) -> Option<&'static str> {
    let is_series_o = || {
        model
            .strip_prefix('o')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    match model {
        Offline::NAME => Some(Offline::NAME),
        _ if model.starts_with("claude-") => Some(ANTHROPIC),
        _ if model.starts_with("gpt-") || is_series_o() => Some(OPENAI),
        _ => None,
    }
}

fn config(provider: &str, message: impl Into<String>) -> LlmError {
    LlmError::new(provider, ErrorKind::Config, message)
}
