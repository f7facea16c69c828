//! How does Ash talk to a language model?
//!
//! An [`LlmProvider`] turns a [`Request`] into a stream of [`LlmEvent`]s that ends with exactly one
//! terminal item: [`LlmEvent::Done`] or an [`LlmError`]. The providers are `anthropic`, `openai` (and
//! whatever speaks their protocols) and `offline`, which needs no network and no key. A [`Registry`]
//! finds a model by its `PROVIDER/MODEL` name; [`Retrying`] and [`Fallback`] wrap any provider.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use ash_llm::{LlmError, Message, Registry, Request, StopReason};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), LlmError> {
//! // Keys come from wherever the program keeps them; here are none, so the offline model answers.
//! let registry = Registry::new(&BTreeMap::new(), &|_| None)?;
//! let model = registry.choose(None)?;
//! assert_eq!(model.id(), "offline/offline");
//!
//! let request = Request {
//!     model: model.name.clone(),
//!     messages: vec![Message::user("hello")],
//!     max_tokens: 1000,
//!     ..Request::default()
//! };
//! let completion = model.provider.complete(request, CancellationToken::new()).await?;
//! assert_eq!(completion.stop, StopReason::End);
//! assert!(completion.message.text().starts_with("Hello!"));
//! # Ok(())
//! # }
//! ```

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
mod registry;
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
pub use registry::Registry;
pub use retry::{RetrySettings, Retrying};
pub use settings::{Api, Auth, ModelSettings, ProviderKind, ProviderSettings};
pub use usage::Usage;
