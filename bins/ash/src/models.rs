//! Which models are asked: what the settings choose, what the person typed, what stands in.

use std::sync::Arc;

use anyhow::Context as _;
use ash_llm::{
    Fallback, LlmError, LlmProvider, LlmStream, Model, ModelSettings, Registry, Request,
};
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Source, place_in_file};
use crate::home::Environment;

/// The models that can be asked.
pub(crate) struct Models {
    registry: Registry,
    default: Option<ModelSettings>,
    fallback: Option<ModelSettings>,
    places: [String; 2],
}

impl Models {
    /// Takes the settings, and the keys from the environment. Nothing is connected.
    pub(crate) fn new(config: &Config, environment: &Environment) -> anyhow::Result<Self> {
        let settings = &config.settings;
        let registry = Registry::new(&settings.providers, &|name| {
            environment.get(name).map(str::to_owned)
        })?;
        Ok(Self {
            registry,
            default: settings.default_llm.clone(),
            fallback: settings.fallback_llm.clone(),
            places: ["default_llm", "fallback_llm"].map(|section| place(config, section)),
        })
    }

    /// Returns the model that answers: the one that was typed as `PROVIDER/MODEL`, else the default.
    /// The fallback stands behind it.
    pub(crate) fn answering(&self, typed: Option<&str>) -> anyhow::Result<Model> {
        let primary = match typed {
            Some(id) => self.registry.model(id)?,
            None => self.default()?,
        };
        let Some(secondary) = self.fallback()? else {
            return Ok(primary);
        };
        if secondary.id() == primary.id() {
            return Ok(primary);
        }
        let name = primary.name.clone();
        Ok(Model::new(
            Arc::new(Fallback::new(primary, secondary)),
            name,
        ))
    }

    /// Returns the default model.
    pub(crate) fn default(&self) -> anyhow::Result<Model> {
        self.registry
            .choose(self.default.as_ref())
            .with_context(|| self.places[0].clone())
    }

    /// Returns the model that is asked when another one fails, with its own settings.
    pub(crate) fn fallback(&self) -> anyhow::Result<Option<Model>> {
        let Some(settings) = &self.fallback else {
            return Ok(None);
        };
        let model = self
            .registry
            .choose(Some(settings))
            .with_context(|| self.places[1].clone())?;
        let tuned = Tuned {
            provider: model.provider,
            settings: settings.clone(),
        };
        Ok(Some(Model::new(Arc::new(tuned), model.name)))
    }
}

fn place(config: &Config, section: &str) -> String {
    let place = match config.source(&[section.to_owned()]) {
        Source::File(path, line) => format!(" ({})", place_in_file(&path, line)),
        Source::Default | Source::Variable(_) => String::new(),
    };
    format!("`{section}`{place}")
}

/// A provider that is asked with settings of its own instead of those of the turn.
struct Tuned {
    provider: Arc<dyn LlmProvider>,
    settings: ModelSettings,
}

#[async_trait]
impl LlmProvider for Tuned {
    fn name(&self) -> &str {
        self.provider.name()
    }

    async fn stream(
        &self,
        mut request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        request.max_tokens = self.settings.max_tokens;
        request.temperature = self.settings.temperature;
        request.thinking = self.settings.thinking;
        self.provider.stream(request, cancel).await
    }
}
