//! What is kept, table by table.

mod record;

mod approvals;
mod executions;
mod inbox;
mod leases;
mod messages;
mod outbox;
mod profiles;
mod sessions;
mod usage;

mod columns;

pub use approvals::{Answer, Approval, NewApproval};
pub use executions::{ToolExecution, ToolOutcome};
pub use inbox::{Accepted, InboxItem, InboxState};
pub use leases::Lease;
pub use messages::{NewMessage, Role, StoredMessage};
pub use outbox::{NewOutbox, OutboxItem, OutboxState};
pub use profiles::{NewProfile, Profile};
pub use record::Record;
pub use sessions::{ChatKind, NewSession, Session, SessionSummary};
pub use usage::{TokenUsage, UsageBy, UsageQuery, UsageTotal};

pub(crate) use executions::{
    COLUMNS as EXECUTION_COLUMNS, from_row as execution_from_row, insert as insert_execution,
};
pub(crate) use leases::{Heartbeat, instance};
pub(crate) use messages::{
    COLUMNS as MESSAGE_COLUMNS, from_row as message_from_row, insert_at as insert_message_at,
};
pub(crate) use profiles::{
    COLUMNS as PROFILE_COLUMNS, from_row as profile_from_row, insert_new as insert_profile,
};
pub(crate) use sessions::{
    COLUMNS as SESSION_COLUMNS, from_row as session_from_row, insert as insert_session,
};
