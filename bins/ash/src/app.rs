//! The wiring: how the parts of Ash are put together.

use anyhow::Context as _;
use ash_core::{Agent, Workspace};
use ash_memory::{Memory, OpenOptions};
use ash_tools::SearchHistory;

use crate::commands::Context;
use crate::config::{Config, Settings};
use crate::home::Home;
use crate::models::Models;

/// The program, put together.
pub(crate) struct App {
    /// Where everything is kept.
    pub(crate) home: Home,
    /// Whom to ask.
    pub(crate) models: Models,
    /// Who answers.
    pub(crate) agent: Agent,
}

impl App {
    /// Puts everything together; `model` is what the person typed as `PROVIDER/MODEL`.
    pub(crate) fn assemble(context: Context, model: Option<&str>) -> anyhow::Result<Self> {
        let Context { home, environment } = context;
        let config = Config::load(&home, &environment)?;
        let models = Models::new(&config, &environment)?;
        let model = models.answering(model)?;
        let settings = config.settings;
        home.create()?;
        let memory = open_memory(&home, &settings)?;
        let timezone = settings.timezone.resolve();
        let agent = Agent::builder(model, memory.clone())
            .workspace(Workspace::at(&settings.workspace))
            .timezone(timezone.clone())
            .settings(agent_settings(&settings))
            .tool(SearchHistory::new(memory, timezone))
            .build();
        Ok(Self {
            home,
            models,
            agent,
        })
    }
}

/// Opens the database that the settings name.
pub(crate) fn open_memory(home: &Home, settings: &Settings) -> anyhow::Result<Memory> {
    let options = OpenOptions {
        backups: Some(home.backups()),
        ..OpenOptions::default()
    };
    let path = &settings.memory.database_path;
    Memory::open(path, options)
        .with_context(|| format!("cannot open the database {}", path.display()))
}

/// Opens the database that the settings name if there is one; looking makes none.
pub(crate) fn open_kept(home: &Home, settings: &Settings) -> anyhow::Result<Option<Memory>> {
    match settings.memory.database_path.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) | Err(_) => open_memory(home, settings).map(Some),
    }
}

fn agent_settings(settings: &Settings) -> ash_core::Settings {
    let model = settings.default_llm.clone().unwrap_or_default();
    ash_core::Settings {
        max_tokens: model.max_tokens,
        temperature: model.temperature,
        thinking: model.thinking,
        max_context_messages: settings.memory.max_context_messages,
        step_limit: settings.limits.steps,
        ..ash_core::Settings::default()
    }
}
