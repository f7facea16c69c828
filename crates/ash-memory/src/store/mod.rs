//! What is kept, table by table.

mod record;

mod executions;
mod inbox;
mod messages;
mod outbox;
mod sessions;

mod columns;

pub use executions::{ToolExecution, ToolOutcome};
pub use inbox::{Accepted, InboxItem, InboxState};
pub use messages::{NewMessage, Role, StoredMessage};
pub use outbox::{NewOutbox, OutboxItem, OutboxState};
pub use record::{Record, TokenUsage};
pub use sessions::{ChatKind, NewSession, Session, SessionSummary};
