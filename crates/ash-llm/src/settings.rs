//! What a person may set about models and providers.
//!
//! Plain data that the program makes a part of its own settings. Ranges are checked while reading,
//! so that whoever reads can say in which file and line a wrong value stands.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::{Thinking, Timeouts};

/// Which model answers, and how: `[default_llm]` and `[fallback_llm]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// `anthropic`, `openai`, `offline` or a name under `[providers]`. Without it, the first of them
    /// that has a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's name at its provider. Without it, the provider's usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// From 0 (sober) to 2 (wild). Sent only where set, and not to models that refuse it.
    #[serde(
        deserialize_with = "temperature",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f32>,
    /// The most tokens of one answer.
    #[serde(deserialize_with = "max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// How much the model thinks before it answers. Without it, the provider decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            provider: None,
            model: None,
            temperature: None,
            max_tokens: 4096,
            thinking: None,
        }
    }
}

/// A provider of one's own, or other ways to reach a built-in one: `[providers.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// The protocol that it speaks.
    pub kind: ProviderKind,
    /// Its address, with the version in the path where it has one: `http://localhost:11434/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds its key. Without it, no key is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The `anthropic-version` to ask for.
    #[serde(
        default,
        deserialize_with = "version",
        skip_serializing_if = "Option::is_none"
    )]
    pub version: Option<String>,
    /// How the key is sent. Without it, as the provider's protocol has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Which of the `openai` protocols is spoken.
    #[serde(default)]
    pub api: Api,
    /// The longest silence in seconds, for instance while a long prompt is read.
    #[serde(default = "idle_seconds", deserialize_with = "idle_timeout")]
    #[schemars(range(min = 1))]
    pub idle_timeout: u64,
    /// The longest call in seconds.
    #[serde(default = "total_seconds", deserialize_with = "timeout")]
    #[schemars(range(min = 1))]
    pub timeout: u64,
}

impl ProviderSettings {
    /// Makes the settings of a provider with nothing but its protocol set.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            base_url: None,
            api_key_env: None,
            version: None,
            auth: None,
            api: Api::Auto,
            idle_timeout: idle_seconds(),
            timeout: total_seconds(),
        }
    }

    /// Returns how long calls may wait.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(self.idle_timeout),
            total: Duration::from_secs(self.timeout),
        }
    }
}

/// The protocols that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Anthropic Messages.
    Anthropic,
    /// `OpenAI` Responses and Chat Completions.
    Openai,
}

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `x-api-key: KEY`.
    XApiKey,
    /// `Authorization: Bearer KEY`.
    Bearer,
}

/// The two protocols of `OpenAI`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Responses at `api.openai.com`, Chat Completions elsewhere.
    #[default]
    Auto,
    /// Responses.
    Responses,
    /// Chat Completions.
    Chat,
}

fn idle_seconds() -> u64 {
    Timeouts::default().idle.as_secs()
}

fn total_seconds() -> u64 {
    Timeouts::default().total.as_secs()
}

fn temperature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    let value = Option::<f32>::deserialize(deserializer)?;
    match value {
        Some(number) if !(0.0..=2.0).contains(&number) => Err(D::Error::custom(format!(
            "`temperature` must be between 0 and 2, not {number}"
        ))),
        Some(_) | None => Ok(value),
    }
}

fn max_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let tokens = u32::deserialize(deserializer)?;
    at_least_one(tokens, "max_tokens").map_err(D::Error::custom)
}

fn idle_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    at_least_one(seconds, "idle_timeout").map_err(D::Error::custom)
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    at_least_one(seconds, "timeout").map_err(D::Error::custom)
}

fn at_least_one<T: Default + PartialEq>(value: T, key: &str) -> Result<T, String> {
    if value == T::default() {
        return Err(format!("`{key}` must be 1 or more, not 0"));
    }
    Ok(value)
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Option::<String>::deserialize(deserializer)?;
    match value {
        Some(text) if text.parse::<jiff::civil::Date>().is_err() || text.len() != 10 => {
            Err(D::Error::custom(format!(
                "`version` must be a date such as 2023-06-01, not {text:?}"
            )))
        }
        Some(_) | None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nothing_set_means_the_defaults() {
        let settings: ModelSettings = serde_json::from_value(json!({})).unwrap();
        assert_eq!(settings, ModelSettings::default());
        assert_eq!(settings.max_tokens, 4096);
        let provider: ProviderSettings = serde_json::from_value(json!({"kind": "openai"})).unwrap();
        assert_eq!(provider, ProviderSettings::new(ProviderKind::Openai));
        assert_eq!(provider.timeouts(), Timeouts::default());
    }

    #[test]
    fn what_is_set_is_read_and_written_again() {
        let model = json!({"provider": "anthropic", "model": "claude-sonnet-4-6", "temperature": 0.5, "max_tokens": 100, "thinking": "low"});
        let settings: ModelSettings = serde_json::from_value(model.clone()).unwrap();
        assert_eq!(serde_json::to_value(settings).unwrap(), model);
        let provider = json!({
            "kind": "anthropic", "base_url": "http://localhost:1", "api_key_env": "KEY", "version": "2023-06-01",
            "auth": "x-api-key", "api": "chat", "idle_timeout": 5, "timeout": 60,
        });
        let settings: ProviderSettings = serde_json::from_value(provider.clone()).unwrap();
        assert_eq!(serde_json::to_value(settings).unwrap(), provider);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_and_range() {
        let refusal = |value: Value| {
            serde_json::from_value::<ModelSettings>(value)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(json!({"temperature": 2.5})),
            "`temperature` must be between 0 and 2, not 2.5"
        );
        assert_eq!(
            refusal(json!({"temperature": -1})),
            "`temperature` must be between 0 and 2, not -1"
        );
        assert_eq!(
            refusal(json!({"max_tokens": 0})),
            "`max_tokens` must be 1 or more, not 0"
        );
        assert!(
            refusal(json!({"modle": "x"}))
                .starts_with("unknown field `modle`, expected one of `provider`, `model`")
        );

        let refusal = |key: &str, value: Value| {
            let settings = json!({"kind": "openai", key: value});
            serde_json::from_value::<ProviderSettings>(settings)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal("idle_timeout", json!(0)),
            "`idle_timeout` must be 1 or more, not 0"
        );
        assert_eq!(
            refusal("timeout", json!(0)),
            "`timeout` must be 1 or more, not 0"
        );
        assert_eq!(
            refusal("version", json!("latest")),
            "`version` must be a date such as 2023-06-01, not \"latest\""
        );
        assert!(refusal("auth", json!("basic")).contains("expected `x-api-key` or `bearer`"));
        assert!(refusal("url", json!("x")).starts_with("unknown field `url`"));
    }

    #[test]
    fn the_schema_knows_the_ranges() {
        let schema = serde_json::to_value(schemars::schema_for!(ModelSettings)).unwrap();
        assert_eq!(schema["properties"]["temperature"]["maximum"], json!(2.0));
        assert_eq!(schema["properties"]["max_tokens"]["minimum"], json!(1));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
