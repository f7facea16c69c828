//! Facts of a turn, kept together or not at all.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde_json::Value;

use super::executions::{self, ToolExecution, ToolOutcome};
use super::messages::{self, NewMessage};
use super::usage::{self, Call};
use super::{InboxState, NewApproval, NewOutbox, TokenUsage, approvals, inbox, outbox};
use crate::{InboxId, Memory, MemoryError, OutboxId, SessionId, ToolExecutionId, TurnId};

/// One fact of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Something was said.
    Message(NewMessage),
    /// A tool is about to start.
    ToolStarted {
        /// The run.
        id: ToolExecutionId,
        /// Where it was asked for.
        session: SessionId,
        /// The turn it belongs to.
        turn: Option<TurnId>,
        /// The model's name for the call.
        call_id: Option<String>,
        /// Which tool.
        tool: String,
        /// What it is given.
        input: Value,
    },
    /// A tool has ended.
    ToolFinished {
        /// The run.
        id: ToolExecutionId,
        /// What it said.
        output: String,
        /// Whether it did what it was asked.
        success: bool,
        /// How long it took.
        duration_ms: u64,
    },
    /// Something must be sent.
    Outbox(NewOutbox),
    /// What must be sent reads differently now.
    OutboxContent {
        /// Which.
        id: OutboxId,
        /// How it reads.
        content: String,
    },
    /// What came in has got further.
    Inbox(InboxId, InboxState),
    /// A model was called.
    Usage {
        /// Where.
        session: SessionId,
        /// In which turn.
        turn: Option<TurnId>,
        /// Which model, as `PROVIDER/MODEL`.
        model: String,
        /// The tokens.
        tokens: TokenUsage,
        /// What it cost, in millionths of a dollar, where the price is known.
        cost_micros: Option<u64>,
    },
    /// The owner must be asked.
    Approval(NewApproval),
}

impl Memory {
    /// Keeps all of these facts, in this order, or none of them. They are on the disk when this returns.
    pub async fn record(&self, records: Vec<Record>) -> Result<(), MemoryError> {
        self.write(move |db, now| keep(db, now, records)).await
    }
}

pub(crate) fn keep(
    db: &Transaction<'_>,
    now: Timestamp,
    records: Vec<Record>,
) -> Result<(), MemoryError> {
    records
        .into_iter()
        .try_for_each(|record| keep_one(db, now, record))
}

fn keep_one(db: &Transaction<'_>, now: Timestamp, record: Record) -> Result<(), MemoryError> {
    match record {
        Record::Message(message) => messages::insert(db, now, &message),
        Record::ToolStarted {
            id,
            session,
            turn,
            call_id,
            tool,
            input,
        } => {
            let execution = ToolExecution {
                id,
                session,
                turn,
                call_id,
                tool,
                input,
                created_at: now,
                outcome: None,
            };
            executions::insert(db, &execution)
        }
        Record::ToolFinished {
            id,
            output,
            success,
            duration_ms,
        } => {
            let outcome = ToolOutcome {
                output,
                success,
                duration_ms,
                finished_at: now,
            };
            executions::finish(db, &id, &outcome)
        }
        Record::Outbox(new) => outbox::insert(db, now, &new),
        Record::OutboxContent { id, content } => outbox::rewrite(db, now, &id, &content),
        Record::Inbox(id, state) => inbox::set(db, now, &id, state),
        Record::Usage {
            session,
            turn,
            model,
            tokens,
            cost_micros,
        } => {
            let call = Call {
                session,
                turn,
                model,
                tokens,
                cost_micros,
            };
            usage::insert(db, now, &call)
        }
        Record::Approval(new) => approvals::insert(db, now, &new),
    }
}
