//! What is kept, and how is it found again?
//!
//! A [`Memory`] is one SQLite file: sessions and their messages, what tools did, what came in and what
//! must go out, who speaks where, what it cost. It knows no prompt and calls no model. Every write is
//! one transaction that is on the disk when the call returns; cloning a [`Memory`] is cheap.
//!
//! ```
//! use ash_memory::{ChatKind, Memory, NewMessage, NewSession, OpenOptions, Record, Role};
//!
//! # async fn example() -> Result<(), ash_memory::MemoryError> {
//! let memory = Memory::open_in_memory(OpenOptions::default())?;
//! let session = memory
//!     .open_session(NewSession {
//!         provider: "terminal".into(),
//!         chat_id: "main".into(),
//!         user_id: "terminal:owner".into(),
//!         kind: ChatKind::Private,
//!     })
//!     .await?;
//! let message = NewMessage::new(session.id.clone(), Role::User, "Anna is allergic to nuts");
//! memory.record(vec![Record::Message(message)]).await?;
//!
//! let history = memory.history(&session.id, None).await?;
//! assert_eq!(history[0].content, "Anna is allergic to nuts");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```

mod memory;

mod clock;
mod error;
mod ids;

mod store;

mod search;

mod recall;

mod transfer;

pub mod admin;

mod engine;

pub use clock::Clock;
pub use error::MemoryError;
pub use ids::{ApprovalId, InboxId, MessageId, OutboxId, SessionId, ToolExecutionId, TurnId};
pub use memory::{Memory, OpenOptions};
pub use recall::Nearest;
pub use search::{MessageHit, MessageQuery, Viewer};
pub use store::{
    Accepted, Answer, Approval, ChatKind, InboxItem, InboxState, Lease, NewApproval, NewMessage,
    NewOutbox, NewProfile, NewSession, OutboxItem, OutboxState, Profile, Record, Role, Session,
    SessionSummary, StoredMessage, TokenUsage, ToolExecution, ToolOutcome, UsageBy, UsageQuery,
    UsageTotal,
};
pub use transfer::Transferred;
