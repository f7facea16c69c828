//! Tool executions: the intent before a tool starts, the outcome after.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::columns::Json;
use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError, SessionId, ToolExecutionId, TurnId};

/// One run of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolExecution {
    /// Its id.
    pub id: ToolExecutionId,
    /// Where it was asked for.
    pub session: SessionId,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// The model's name for the call.
    pub call_id: Option<String>,
    /// Which tool.
    pub tool: String,
    /// What it was given.
    pub input: Value,
    /// When it was about to start.
    pub created_at: Timestamp,
    /// How it ended; unknown as long as it runs, and for good if the process died meanwhile.
    pub outcome: Option<ToolOutcome>,
}

/// How a run of a tool ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// What it said.
    pub output: String,
    /// Whether it did what it was asked.
    pub success: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Memory {
    /// Returns what tools did in a session, oldest first; in one turn of it, if that is given.
    pub async fn tool_executions(
        &self,
        session: &SessionId,
        turn: Option<&TurnId>,
    ) -> Result<Vec<ToolExecution>, MemoryError> {
        let (session, turn) = (session.clone(), turn.cloned());
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM tool_executions
                 WHERE session_id = ?1 AND (?2 IS NULL OR turn_id = ?2) ORDER BY created_at, id"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![session, turn], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

pub(crate) const COLUMNS: &str = "id, session_id, turn_id, call_id, tool_name, input, created_at, \
                                  output, success, duration_ms, finished_at";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<ToolExecution> {
    let outcome = match row.get::<_, Option<bool>>(8)? {
        None => None,
        Some(success) => Some(ToolOutcome {
            output: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            success,
            duration_ms: row.get::<_, Option<u64>>(9)?.unwrap_or_default(),
            finished_at: row.get::<_, Stamp>(10)?.0,
        }),
    };
    Ok(ToolExecution {
        id: row.get(0)?,
        session: row.get(1)?,
        turn: row.get(2)?,
        call_id: row.get(3)?,
        tool: row.get(4)?,
        input: row.get::<_, Json<_>>(5)?.0,
        created_at: row.get::<_, Stamp>(6)?.0,
        outcome,
    })
}

pub(crate) fn insert(db: &Transaction<'_>, execution: &ToolExecution) -> Result<(), MemoryError> {
    let outcome = execution.outcome.as_ref();
    db.prepare_cached(
        "INSERT INTO tool_executions (id, session_id, turn_id, call_id, tool_name, input, created_at,
                                      output, success, duration_ms, finished_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        execution.id,
        execution.session,
        execution.turn,
        execution.call_id,
        execution.tool,
        serde_json::to_string(&execution.input)?,
        stamp(execution.created_at),
        outcome.map(|outcome| &outcome.output),
        outcome.map(|outcome| outcome.success),
        outcome.map(|outcome| outcome.duration_ms),
        outcome.map(|outcome| stamp(outcome.finished_at)),
    ])?;
    Ok(())
}

pub(crate) fn finish(
    db: &Transaction<'_>,
    id: &ToolExecutionId,
    outcome: &ToolOutcome,
) -> Result<(), MemoryError> {
    let unfinished: Option<bool> = db
        .query_row(
            "SELECT success IS NULL FROM tool_executions WHERE id = ?1",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    match unfinished {
        None => return Err(MemoryError::not_found("tool execution", id.as_str())),
        Some(false) => {
            return Err(MemoryError::invalid(format!(
                "tool execution `{id}` has ended before"
            )));
        }
        Some(true) => {}
    }
    db.prepare_cached(
        "UPDATE tool_executions SET output = ?2, success = ?3, duration_ms = ?4, finished_at = ?5
         WHERE id = ?1",
    )?
    .execute(params![
        id,
        outcome.output,
        outcome.success,
        outcome.duration_ms,
        stamp(outcome.finished_at)
    ])?;
    Ok(())
}
