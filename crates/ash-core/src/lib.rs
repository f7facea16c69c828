//! What happens when someone says something?
//!
//! An [`Agent`] has a model, a memory, tools and a personality. [`Agent::open`] starts a [`Session`],
//! one task that owns one chat: words go in by [`Session::say`], and out come [`Event`]s that end
//! with [`Event::TurnFinished`]. Everything said or done is stored before it is acted on or told,
//! so that a process may be killed at any instant and the next one goes on.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ash_core::{Agent, Event, Key};
//! use ash_llm::{Model, Offline};
//! use ash_memory::{Memory, OpenOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::open_in_memory(OpenOptions::default())?;
//! let model = Model::new(Arc::new(Offline), "offline");
//! let agent = Agent::builder(model, memory).build();
//! let (session, mut events) = agent.open(Key::private("embedded", "main", "me")).await?;
//! session.say("hello").await?;
//! while let Some(stamped) = events.recv().await {
//!     if let Event::TurnFinished(finished) = stamped.event {
//!         assert!(!finished.reply.is_empty());
//!         break;
//!     }
//! }
//! agent.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod agent;
mod approval;
mod channel;
mod driver;
mod error;
mod event;
mod history;
mod intake;
mod outcome;
mod prompt;
mod session;
mod settings;
mod tool;
mod turn;
mod untrusted;
mod workspace;

pub use agent::{Agent, AgentBuilder};
pub use approval::Decision;
pub use channel::{Channel, ChannelError};
pub use error::Error;
pub use event::{Event, Finished, Stamped};
pub use intake::{Intake, Outbox, Said, Words};
pub use outcome::Outcome;
pub use session::{Events, Key, Session};
pub use settings::Settings;
pub use tool::{Arguments, Tool, ToolContext, ToolError, ToolOutput, ToolRegistry};
pub use workspace::Workspace;
