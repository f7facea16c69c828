//! The outbox: what must be sent, until it certainly was.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::columns::{Json, words};
use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError, OutboxId, SessionId, TurnId};

words! {
    /// How far a message to be sent has got.
    OutboxState {
        /// Nobody has tried to send it.
        Pending = "pending",
        /// It is being sent, or was when the process died.
        Sending = "sending",
        /// It has arrived, for good.
        Delivered = "delivered",
        /// It may have arrived. It is not sent again unless a person asks.
        Uncertain = "uncertain",
        /// It certainly has not arrived.
        Failed = "failed",
    }
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOutbox {
    /// Its id.
    pub id: OutboxId,
    /// Whose session it belongs to.
    pub session: Option<SessionId>,
    /// The turn it answers.
    pub turn: Option<TurnId>,
    /// The channel that sends it.
    pub channel: String,
    /// The chat at the channel.
    pub chat_id: String,
    /// What is sent.
    pub content: String,
    /// The channel's name of the message it replies to.
    pub reply_to: Option<String>,
    /// What else the channel must know.
    pub metadata: Map<String, Value>,
}

/// A message that must be sent, or was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutboxItem {
    /// Its id.
    pub id: OutboxId,
    /// Whose session it belongs to.
    pub session: Option<SessionId>,
    /// The turn it answers.
    pub turn: Option<TurnId>,
    /// The channel that sends it.
    pub channel: String,
    /// The chat at the channel.
    pub chat_id: String,
    /// What is sent.
    pub content: String,
    /// The channel's name of the message it replies to.
    pub reply_to: Option<String>,
    /// How far it has got.
    pub state: OutboxState,
    /// The channel's name of the first send. With it, sending again is an edit.
    pub external_id: Option<String>,
    /// Why it failed or is uncertain.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was kept.
    pub created_at: Timestamp,
    /// What else the channel must know.
    pub metadata: Map<String, Value>,
}

impl OutboxItem {
    // What is delivered stays so. What may have arrived is sent again only by way of `pending`, which
    // takes a person; what has an external id may be sent again at any time, since that is an edit, and
    // for the same reason is never uncertain.
    fn may_become(&self, next: OutboxState) -> bool {
        use OutboxState::{Delivered, Failed, Pending, Sending, Uncertain};
        match self.state {
            Pending => matches!(next, Sending | Failed),
            Sending => match next {
                Pending | Delivered | Failed => true,
                Uncertain => self.external_id.is_none(),
                Sending => self.external_id.is_some(),
            },
            Uncertain => matches!(next, Pending | Delivered | Failed),
            Failed => next == Pending,
            Delivered => false,
        }
    }
}

impl Memory {
    /// Returns what a channel must still send, to one chat if that is given; oldest first.
    pub async fn outbox_unfinished(
        &self,
        channel: &str,
        chat_id: Option<&str>,
    ) -> Result<Vec<OutboxItem>, MemoryError> {
        let (channel, chat_id) = (channel.to_owned(), chat_id.map(str::to_owned));
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM outbox
                 WHERE channel = ?1 AND (?2 IS NULL OR chat_id = ?2)
                   AND state IN ('pending', 'sending', 'uncertain')
                 ORDER BY created_at, id"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![channel, chat_id], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns what was or must be sent for a turn, oldest first.
    pub async fn outbox_of_turn(&self, turn: &TurnId) -> Result<Vec<OutboxItem>, MemoryError> {
        let turn = turn.clone();
        self.read(move |db| {
            let sql =
                format!("SELECT {COLUMNS} FROM outbox WHERE turn_id = ?1 ORDER BY created_at, id");
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([turn], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a message that must be sent, or was.
    pub async fn outbox_item(&self, id: &OutboxId) -> Result<OutboxItem, MemoryError> {
        let id = id.clone();
        self.read(move |db| by_id(db, &id)).await
    }

    /// Marks a message as being sent, before it is.
    pub async fn sending(&self, id: &OutboxId) -> Result<(), MemoryError> {
        self.advance(id, OutboxState::Sending, None, None).await
    }

    /// Keeps the channel's name of the first send, while more of the message is to come as edits.
    pub async fn first_sent(&self, id: &OutboxId, external_id: &str) -> Result<(), MemoryError> {
        let (id, external_id) = (id.clone(), external_id.to_owned());
        self.write(move |db, now| {
            let item = by_id(db, &id)?;
            if item.state != OutboxState::Sending || item.external_id.is_some() {
                return Err(MemoryError::invalid(format!(
                    "outgoing message `{id}` is {} and has no first send to come",
                    item.state
                )));
            }
            db.execute(
                "UPDATE outbox SET external_id = ?2, updated_at = ?3 WHERE id = ?1",
                params![id, external_id, stamp(now)],
            )?;
            Ok(())
        })
        .await
    }

    /// Marks a message as delivered, for good.
    pub async fn delivered(&self, id: &OutboxId, external_id: &str) -> Result<(), MemoryError> {
        self.advance(id, OutboxState::Delivered, Some(external_id), None)
            .await
    }

    /// Marks a message as one that may have arrived.
    pub async fn uncertain(&self, id: &OutboxId, reason: &str) -> Result<(), MemoryError> {
        self.advance(id, OutboxState::Uncertain, None, Some(reason))
            .await
    }

    /// Marks a message as one that has certainly not arrived.
    pub async fn failed(&self, id: &OutboxId, reason: &str) -> Result<(), MemoryError> {
        self.advance(id, OutboxState::Failed, None, Some(reason))
            .await
    }

    /// Puts a message back to be sent: it certainly has not arrived, or a person asks for it again.
    pub async fn send_again(&self, id: &OutboxId) -> Result<(), MemoryError> {
        self.advance(id, OutboxState::Pending, None, None).await
    }

    async fn advance(
        &self,
        id: &OutboxId,
        next: OutboxState,
        external_id: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), MemoryError> {
        let (id, external_id) = (id.clone(), external_id.map(str::to_owned));
        let reason = reason.map(str::to_owned);
        self.write(move |db, now| {
            advance(
                db,
                now,
                &id,
                next,
                external_id.as_deref(),
                reason.as_deref(),
            )
        })
        .await
    }
}

const COLUMNS: &str = "id, session_id, turn_id, channel, chat_id, content, reply_to, state, \
                       external_id, reason, attempts, created_at, metadata";

fn from_row(row: &Row<'_>) -> rusqlite::Result<OutboxItem> {
    Ok(OutboxItem {
        id: row.get(0)?,
        session: row.get(1)?,
        turn: row.get(2)?,
        channel: row.get(3)?,
        chat_id: row.get(4)?,
        content: row.get(5)?,
        reply_to: row.get(6)?,
        state: row.get(7)?,
        external_id: row.get(8)?,
        reason: row.get(9)?,
        attempts: row.get(10)?,
        created_at: row.get::<_, Stamp>(11)?.0,
        metadata: row.get::<_, Json<_>>(12)?.0,
    })
}

fn by_id(db: &Connection, id: &OutboxId) -> Result<OutboxItem, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
    db.prepare_cached(&sql)?
        .query_row([id], from_row)
        .optional()?
        .ok_or_else(|| MemoryError::not_found("outgoing message", id.as_str()))
}

pub(crate) fn insert(
    db: &Transaction<'_>,
    now: Timestamp,
    new: &NewOutbox,
) -> Result<(), MemoryError> {
    db.prepare_cached(
        "INSERT INTO outbox (id, session_id, turn_id, channel, chat_id, content, reply_to, state,
                             created_at, updated_at, metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?8, ?9)",
    )?
    .execute(params![
        new.id,
        new.session,
        new.turn,
        new.channel,
        new.chat_id,
        new.content,
        new.reply_to,
        stamp(now),
        serde_json::to_string(&new.metadata)?
    ])?;
    Ok(())
}

/// Changes what an undelivered message says.
pub(crate) fn rewrite(
    db: &Transaction<'_>,
    now: Timestamp,
    id: &OutboxId,
    content: &str,
) -> Result<(), MemoryError> {
    if by_id(db, id)?.state == OutboxState::Delivered {
        return Err(MemoryError::invalid(format!(
            "outgoing message `{id}` is delivered and stays as it is"
        )));
    }
    db.prepare_cached("UPDATE outbox SET content = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute(params![id, content, stamp(now)])?;
    Ok(())
}

fn advance(
    db: &Transaction<'_>,
    now: Timestamp,
    id: &OutboxId,
    next: OutboxState,
    external_id: Option<&str>,
    reason: Option<&str>,
) -> Result<(), MemoryError> {
    let item = by_id(db, id)?;
    // Saying the same twice is no harm: the first answer may have been lost.
    if item.state == OutboxState::Delivered
        && next == OutboxState::Delivered
        && item.external_id.as_deref() == external_id
    {
        return Ok(());
    }
    if !item.may_become(next) {
        return Err(MemoryError::invalid(format!(
            "outgoing message `{id}` is {} and cannot become {next}",
            item.state
        )));
    }
    db.prepare_cached(
        "UPDATE outbox SET state = ?2, external_id = coalesce(external_id, ?3), reason = ?4,
                           attempts = attempts + (?2 = 'sending'), updated_at = ?5
         WHERE id = ?1",
    )?
    .execute(params![id, next, external_id, reason, stamp(now)])?;
    Ok(())
}
