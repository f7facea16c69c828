//! What the agent can do: the trait of a tool, and the set that an agent has.

use std::collections::BTreeMap;
use std::sync::Arc;

use ash_llm::{ResultContent, ToolSpec};
use ash_memory::{TurnId, Viewer};
use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

/// What a model calls a tool with.
pub type Arguments = Map<String, Value>;

/// Something that the model may ask for.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Tells the model what it is and what it takes. The same at every call.
    fn spec(&self) -> ToolSpec;

    /// Does it. `arguments` is an object, not yet checked against the schema.
    async fn call(&self, ctx: &ToolContext, arguments: Arguments) -> Result<ToolOutput, ToolError>;

    /// Tells whether it may run beside the other calls of the same reply.
    fn runs_beside_others(&self) -> bool {
        true
    }

    /// Tells whether the owner is asked before each call.
    fn asks_owner(&self) -> bool {
        false
    }
}

/// Where a call comes from, and when it has to end.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// Whose eyes the result is for.
    pub viewer: Viewer,
    /// The turn that calls.
    pub turn: TurnId,
    /// Ends the call.
    pub cancel: CancellationToken,
}

/// What a tool has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolOutput {
    /// For the model.
    pub content: Vec<ResultContent>,
}

impl ToolOutput {
    /// Makes an output of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: vec![ResultContent::Text { text: text.into() }],
        }
    }
}

/// Why a tool did not do it, written for the model: what was wrong, what to try.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(pub String);

impl ToolError {
    /// Makes an error of a sentence for the model.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// The tools that an agent has, by name.
#[derive(Clone, Default)]
pub struct ToolRegistry {
    tools: BTreeMap<String, Arc<dyn Tool>>,
}

impl ToolRegistry {
    /// Adds a tool. A later tool of the same name replaces the earlier one.
    pub fn register(&mut self, tool: Arc<dyn Tool>) {
        self.tools.insert(tool.spec().name, tool);
    }

    /// Finds a tool.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// Returns what models are told, sorted by name.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|tool| tool.spec()).collect()
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for ToolRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.tools.keys()).finish()
    }
}
