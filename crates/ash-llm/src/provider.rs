//! The two traits that providers implement, and what goes in and comes out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{ErrorKind, LlmError, Message, Usage};

/// A source of completions.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// Returns the name before the slash of `PROVIDER/MODEL`.
    fn name(&self) -> &str;

    /// Starts a completion. Cancelling `cancel` ends it at any await with [`ErrorKind::Cancelled`].
    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError>;

    /// Returns the whole completion: the stream, collected.
    async fn complete(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<Completion, LlmError> {
        collect(self.stream(request, cancel).await?).await
    }
}

/// A source of vectors.
#[async_trait]
pub trait EmbeddingProvider: Send + Sync {
    /// Returns one vector a text, in order, each of [`Self::dimensions`] numbers.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, LlmError>;

    /// Returns the length of each vector.
    fn dimensions(&self) -> usize;

    /// Returns what the vectors depend on; vectors of another identity do not compare.
    fn model_id(&self) -> &str;
}

/// A model ready to be asked: a provider, and the name after the slash.
#[derive(Clone)]
pub struct Model {
    /// Who is asked.
    pub provider: Arc<dyn LlmProvider>,
    /// Which model.
    pub name: String,
}

impl Model {
    /// Pairs a provider with a model's name.
    pub fn new(provider: Arc<dyn LlmProvider>, name: impl Into<String>) -> Self {
        Self {
            provider,
            name: name.into(),
        }
    }

    /// Returns `PROVIDER/MODEL`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider.name(), self.name)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Model").field(&self.id()).finish()
    }
}

/// What a model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model's name, without its provider.
    pub model: String,
    /// The system prompt, most stable part first. Cache breakpoints go after the parts.
    pub system: Vec<String>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call, sorted by name.
    pub tools: Vec<ToolSpec>,
    /// The most tokens to answer with.
    pub max_tokens: u32,
    /// Sent only where set and where the model accepts it.
    pub temperature: Option<f32>,
    /// How much the model thinks before it answers; `None` leaves it to the provider.
    pub thinking: Option<Thinking>,
    /// Names the conversation for prompt caches.
    pub conversation: Option<String>,
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// Not at all, where the model allows that.
    Off,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// A tool as models are told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

impl ToolSpec {
    /// Describes a tool.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters,
        }
    }
}

/// A stream that ends with exactly one terminal item: [`LlmEvent::Done`] or an error.
pub type LlmStream = Pin<Box<dyn Stream<Item = Result<LlmEvent, LlmError>> + Send>>;

/// What happens while a model answers.
#[derive(Clone, Debug, PartialEq)]
pub enum LlmEvent {
    /// More of the answer.
    TextDelta(String),
    /// More of the reasoning, for display.
    ThinkingDelta(String),
    /// The call failed before anything was shown and is made again after a pause.
    Retrying {
        /// What failed.
        error: String,
        /// The pause.
        delay: Duration,
    },
    /// The call failed before anything was shown; another model is asked.
    FellBack {
        /// What failed.
        error: String,
        /// The `PROVIDER/MODEL` that is asked now.
        to: String,
    },
    /// The answer is complete. Always the last event.
    Done(Completion),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The answer; its [`Message::origin`] is set.
    pub message: Message,
    /// Why the model stopped.
    pub stop: StopReason,
    /// What it used.
    pub usage: Usage,
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said everything.
    End,
    /// It waits for tools.
    ToolUse,
    /// It ran out of output tokens; its tool calls may be cut off.
    Length,
    /// The conversation outgrew the model in the middle of the answer.
    ContextFull,
    /// It paused a long turn; sending the conversation again continues it.
    Pause,
    /// It, or a filter, declined.
    Refused {
        /// The provider's reason, where it gave one.
        reason: Option<String>,
    },
}

impl StopReason {
    /// Tells whether the answer was cut off, so that none of its tools may run.
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::Length | Self::ContextFull)
    }
}

/// Reads a stream to its end.
pub async fn collect(mut stream: LlmStream) -> Result<Completion, LlmError> {
    while let Some(event) = stream.next().await {
        if let LlmEvent::Done(completion) = event? {
            return Ok(completion);
        }
    }
    Err(LlmError::new(
        "unknown",
        ErrorKind::CutOff,
        "the stream ended without its last event",
    ))
}
