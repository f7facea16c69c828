//! Questions to the owner, which outlive the process that asks.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::Value;

use super::columns::{Json, words};
use crate::clock::{Stamp, stamp};
use crate::{ApprovalId, Memory, MemoryError, SessionId, TurnId};

words! {
    /// What became of a question.
    Answer {
        /// Yes.
        Approved = "approved",
        /// No.
        Denied = "denied",
        /// Nobody answered in time, or it no longer matters.
        Expired = "expired",
    }
}

/// A question to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct NewApproval {
    /// Its id.
    pub id: ApprovalId,
    /// Where it is asked.
    pub session: SessionId,
    /// The turn that waits for it.
    pub turn: Option<TurnId>,
    /// The model's name for the call that waits for it.
    pub call_id: Option<String>,
    /// What is asked, as the caller needs it to ask again.
    pub question: Value,
}

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Where it is asked.
    pub session: SessionId,
    /// The turn that waits for it.
    pub turn: Option<TurnId>,
    /// The model's name for the call that waits for it.
    pub call_id: Option<String>,
    /// What is asked.
    pub question: Value,
    /// What became of it.
    pub answer: Option<Answer>,
    /// Who answered, as `provider:id`.
    pub answered_by: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

impl Memory {
    /// Keeps a question, before it is shown.
    pub async fn ask(&self, new: NewApproval) -> Result<(), MemoryError> {
        self.write(move |db, now| insert(db, now, &new)).await
    }

    /// Keeps the answer to a question. The first answer stands.
    pub async fn answer(
        &self,
        id: &ApprovalId,
        answer: Answer,
        by: Option<&str>,
    ) -> Result<Approval, MemoryError> {
        let (id, by) = (id.clone(), by.map(str::to_owned));
        self.write(move |db, now| {
            if let Some(given) = by_id(db, &id)?.answer {
                return Err(MemoryError::invalid(format!(
                    "question `{id}` is {given} already"
                )));
            }
            db.execute(
                "UPDATE approvals SET answer = ?2, answered_by = ?3, answered_at = ?4 WHERE id = ?1",
                params![id, answer, by, stamp(now)],
            )?;
            by_id(db, &id)
        })
        .await
    }

    /// Returns a question.
    pub async fn approval(&self, id: &ApprovalId) -> Result<Approval, MemoryError> {
        let id = id.clone();
        self.read(move |db| by_id(db, &id)).await
    }

    /// Returns the questions without an answer, of one session if that is given, oldest first.
    pub async fn open_approvals(
        &self,
        session: Option<&SessionId>,
    ) -> Result<Vec<Approval>, MemoryError> {
        let session = session.cloned();
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM approvals
                 WHERE answer IS NULL AND (?1 IS NULL OR session_id = ?1) ORDER BY created_at, id"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([session], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

const COLUMNS: &str = "id, session_id, turn_id, call_id, question, answer, answered_by, created_at, \
                       answered_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Approval> {
    Ok(Approval {
        id: row.get(0)?,
        session: row.get(1)?,
        turn: row.get(2)?,
        call_id: row.get(3)?,
        question: row.get::<_, Json<_>>(4)?.0,
        answer: row.get(5)?,
        answered_by: row.get(6)?,
        created_at: row.get::<_, Stamp>(7)?.0,
        answered_at: row.get::<_, Option<Stamp>>(8)?.map(|time| time.0),
    })
}

fn by_id(db: &Connection, id: &ApprovalId) -> Result<Approval, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1");
    db.prepare_cached(&sql)?
        .query_row([id], from_row)
        .optional()?
        .ok_or_else(|| MemoryError::not_found("question", id.as_str()))
}

pub(crate) fn insert(
    db: &Transaction<'_>,
    now: Timestamp,
    new: &NewApproval,
) -> Result<(), MemoryError> {
    db.prepare_cached(
        "INSERT INTO approvals (id, session_id, turn_id, call_id, question, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        new.id,
        new.session,
        new.turn,
        new.call_id,
        serde_json::to_string(&new.question)?,
        stamp(now)
    ])?;
    Ok(())
}
