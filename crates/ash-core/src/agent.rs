//! The agent: everything that a session needs, built whole and never changed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ash_llm::{Model, Request};
use ash_memory::{Clock, Memory, NewSession, SessionId};
use futures_util::FutureExt;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::{Events, Key, Session};
use crate::{Error, Intake, Outbox, Settings, Tool, ToolRegistry, Workspace, prompt};

/// A model, a memory, tools and a personality. Cheap to clone; all clones are the same agent.
#[derive(Clone, Debug)]
pub struct Agent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    model: Model,
    memory: Memory,
    tools: ToolRegistry,
    workspace: Workspace,
    clock: Clock,
    timezone: TimeZone,
    settings: Settings,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Puts an [`Agent`] together.
#[derive(Debug)]
pub struct AgentBuilder {
    inner: Inner,
}

impl Agent {
    /// Begins an agent with the two things that it cannot do without.
    pub fn builder(model: Model, memory: Memory) -> AgentBuilder {
        AgentBuilder {
            inner: Inner {
                model,
                memory,
                tools: ToolRegistry::default(),
                workspace: Workspace::built_in(),
                clock: Clock::system(),
                timezone: TimeZone::UTC,
                settings: Settings::default(),
                cancel: CancellationToken::new(),
                tasks: TaskTracker::new(),
            },
        }
    }

    /// Opens a chat. No other process may speak in it until the session ends.
    pub async fn open(&self, key: Key) -> Result<(Session, Events), Error> {
        let stored = self
            .memory()
            .open_session(NewSession {
                provider: key.provider.clone(),
                chat_id: key.chat_id.clone(),
                user_id: key.user_id.clone(),
                kind: key.kind,
            })
            .await?;
        let lease = self.memory().lease(&stored.id, &key.provider).await?;
        Ok(Session::start(
            self.clone(),
            key,
            stored.id,
            lease,
            self.0.cancel.child_token(),
        ))
    }

    /// Returns where channels put what comes in.
    pub fn intake(&self) -> Intake {
        Intake::new(self.0.memory.clone())
    }

    /// Returns where the delivery of replies is kept.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.0.memory.clone())
    }

    /// Returns what is kept.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Returns the model that is asked unless a session says otherwise.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Returns the tools.
    pub fn tools(&self) -> &ToolRegistry {
        &self.0.tools
    }

    /// Interrupts every turn, ends every session, and waits for them.
    pub async fn shutdown(&self) {
        self.0.cancel.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn timezone(&self) -> &TimeZone {
        &self.0.timezone
    }

    /// Returns a request without its messages; the same for every call of a turn.
    pub(crate) fn request(&self, model: &Model, session: &SessionId) -> Request {
        let tools = self.0.tools.specs();
        Request {
            model: model.name.clone(),
            system: prompt::system(&self.0.workspace.identity(), !tools.is_empty()),
            messages: Vec::new(),
            tools,
            max_tokens: self.0.settings.max_tokens,
            temperature: self.0.settings.temperature,
            thinking: self.0.settings.thinking,
            conversation: Some(session.to_string()),
        }
    }

    pub(crate) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(async move {
            // A turn contains its own panics; this one would be a fault of the session itself.
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!("session broke down");
            }
        });
    }
}

impl AgentBuilder {
    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> Self {
        self.inner.tools.register(Arc::new(tool));
        self
    }

    /// Takes the personality from a directory.
    #[must_use]
    pub fn workspace(mut self, workspace: Workspace) -> Self {
        self.inner.workspace = workspace;
        self
    }

    /// Sets where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.inner.clock = clock;
        self
    }

    /// Sets the time zone of the person.
    #[must_use]
    pub fn timezone(mut self, timezone: TimeZone) -> Self {
        self.inner.timezone = timezone;
        self
    }

    /// Replaces the settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.inner.settings = settings;
        self
    }

    /// Finishes the agent.
    pub fn build(self) -> Agent {
        Agent(Arc::new(self.inner))
    }
}
