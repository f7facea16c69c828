//! How does Ash talk to a language model?
//!
//! An [`LlmProvider`] turns a [`Request`] into a stream of [`LlmEvent`]s that ends with exactly one
//! terminal item: [`LlmEvent::Done`] or an [`LlmError`]. The providers are `anthropic`, `openai` (and
//! whatever speaks their protocols) and `offline`, which needs no network and no key. A [`Registry`]
//! finds a model by its `PROVIDER/MODEL` name; [`Retrying`] and [`Fallback`] wrap any provider.

mod anthropic;
mod error;
mod estimate;
mod fallback;
mod http;
mod identifiers;
mod message;
mod offline;
mod openai;
mod prices;
mod provider;
mod retry;
mod settings;
mod sse;
mod usage;

pub use anthropic::{Anthropic, AnthropicSettings};
pub use error::{ErrorKind, LlmError};
pub use fallback::Fallback;
pub use http::Timeouts;
pub use message::{Content, Message, ResultContent, Role, ToolCall, ToolResult};
pub use offline::{Offline, OfflineTool};
pub use openai::{OpenAi, OpenAiEmbeddings};
pub use prices::{Cost, PRICES_AS_OF, cost};
pub use provider::{
    Completion, EmbeddingProvider, LlmEvent, LlmProvider, LlmStream, Model, Request, StopReason,
    Thinking, ToolSpec, collect,
};
pub use retry::{RetrySettings, Retrying};
pub use settings::{Api, Auth, ModelSettings, ProviderKind, ProviderSettings};
pub use usage::Usage;
