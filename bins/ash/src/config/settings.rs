//! What `config.toml` may hold: one section for each crate, and what is the program's own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ash_llm::{ModelSettings, ProviderSettings};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::home::Home;

/// All settings. The sections that crates own are their `Settings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Settings of Ash")]
pub(crate) struct Settings {
    /// Directory of SOUL.md, USER.md, TOOLS.md and the chats' files.
    #[schemars(with = "String")]
    pub(crate) workspace: PathBuf,
    /// The time zone to speak of times in, for instance Europe/Berlin; "auto" is the system's.
    #[schemars(with = "String")]
    pub(crate) timezone: Zone,
    /// The model that is asked. Without it: Anthropic if its key is there, else `OpenAI` if its key
    /// is there, else the offline model.
    pub(crate) default_llm: Option<ModelSettings>,
    /// The model that is asked when the default one fails before it said anything.
    pub(crate) fallback_llm: Option<ModelSettings>,
    /// Servers that speak a known protocol, by name.
    pub(crate) providers: BTreeMap<String, ProviderSettings>,
    /// Reaching Ash from Telegram. The token comes from `TELEGRAM_BOT_TOKEN`.
    pub(crate) telegram: ash_telegram::Settings,
    /// Where commands run, and what they can reach.
    pub(crate) sandbox: ash_sandbox::Settings,
    /// What the daemon shows over HTTP.
    pub(crate) server: ash_server::Settings,
    /// What is kept, and how much of it a model sees.
    pub(crate) memory: MemorySettings,
    /// Searching the web. The key comes from `BRAVE_SEARCH_API_KEY`.
    pub(crate) brave_search: BraveSearchSettings,
    /// Bounds on what one turn may do.
    pub(crate) limits: LimitSettings,
}

impl Settings {
    /// Returns what holds where nothing is set, for a home.
    pub(crate) fn defaults(home: &Home) -> Self {
        Self {
            workspace: home.root().join("workspace"),
            timezone: Zone("auto".to_owned()),
            default_llm: None,
            fallback_llm: None,
            providers: BTreeMap::new(),
            telegram: ash_telegram::Settings::default(),
            sandbox: ash_sandbox::Settings::default(),
            server: ash_server::Settings::default(),
            memory: MemorySettings {
                database_path: home.root().join("memory.db"),
                embedding_model: "text-embedding-3-small".to_owned(),
                max_context_messages: 20,
            },
            brave_search: BraveSearchSettings::default(),
            limits: LimitSettings::default(),
        }
    }
}

/// A time zone by name; "auto" is the one of the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Zone(String);

impl Zone {
    /// Returns the zone itself.
    pub(crate) fn resolve(&self) -> TimeZone {
        match self.0.as_str() {
            "auto" => TimeZone::system(),
            name => TimeZone::get(name).expect("checked when it was read"),
        }
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name == "auto" || TimeZone::get(&name).is_ok() {
            Ok(Self(name))
        } else {
            Err(format!(
                "\"{name}\" is not a time zone that this system knows; write one such as \
                 \"Europe/Berlin\", or \"auto\""
            ))
        }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

/// What is kept, and how much of it a model sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemorySettings {
    /// The database.
    #[schemars(with = "String")]
    pub(crate) database_path: PathBuf,
    /// The model that turns text into vectors.
    pub(crate) embedding_model: String,
    /// How many messages of people, and final answers, a model sees; cut at twice as many.
    #[schemars(range(min = 2, max = 10_000))]
    pub(crate) max_context_messages: usize,
}

/// Searching the web.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BraveSearchSettings {
    /// Where the search engine answers, if not at its own address.
    pub(crate) base_url: Option<String>,
}

/// Bounds on what one turn may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitSettings {
    /// How often one turn may call the model.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) steps: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { steps: 25 }
    }
}
