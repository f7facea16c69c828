//! The inbox: what channels have accepted, until it is answered.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::columns::words;
use crate::clock::{Stamp, stamp};
use crate::{InboxId, Memory, MemoryError};

words! {
    /// How far a message that came in has got.
    InboxState {
        /// Nobody has begun with it.
        Pending = "pending",
        /// A turn works on it, or did when the process died. Each time counts as an attempt.
        Working = "working",
        /// It is answered.
        Done = "done",
        /// It could not be answered, and that was shown.
        Failed = "failed",
    }
}

/// What became of a message that a channel handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is kept and may be confirmed to its sender.
    New(InboxId),
    /// It was kept before and may be confirmed again.
    Duplicate(InboxId),
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboxItem {
    /// Its id, which is that of the turn that answers it.
    pub id: InboxId,
    /// The channel.
    pub channel: String,
    /// The channel's name for the message.
    pub external_id: String,
    /// The chat at the channel.
    pub chat_id: String,
    /// The message as it came, JSON.
    pub raw: String,
    /// How far it has got.
    pub state: InboxState,
    /// How often a turn has begun with it.
    pub attempts: u32,
    /// When it came.
    pub created_at: Timestamp,
}

impl InboxState {
    // What is done stays done; what failed may be asked for again.
    fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending | Self::Working => true,
            Self::Failed => next == Self::Failed || next == Self::Pending,
            Self::Done => next == Self::Done,
        }
    }
}

impl Memory {
    /// Keeps a message that came in, together with how far its channel has read.
    pub async fn accept(
        &self,
        channel: &str,
        external_id: &str,
        chat_id: &str,
        raw: &str,
        cursor: Option<&str>,
    ) -> Result<Accepted, MemoryError> {
        let (channel, external_id) = (channel.to_owned(), external_id.to_owned());
        let (chat_id, raw) = (chat_id.to_owned(), raw.to_owned());
        let cursor = cursor.map(str::to_owned);
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&raw) {
            return Err(MemoryError::invalid(format!(
                "message `{external_id}` of {channel} is not JSON: {error}"
            )));
        }
        self.write(move |db, now| {
            if let Some(cursor) = &cursor {
                set_cursor(db, now, &channel, cursor)?;
            }
            let known: Option<InboxId> = db
                .query_row(
                    "SELECT id FROM inbox WHERE channel = ?1 AND external_id = ?2",
                    [&channel, &external_id],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(id) = known {
                return Ok(Accepted::Duplicate(id));
            }
            let id = InboxId::generate();
            db.execute(
                "INSERT INTO inbox (id, channel, external_id, chat_id, raw, state, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6)",
                params![id, channel, external_id, chat_id, raw, stamp(now)],
            )?;
            Ok(Accepted::New(id))
        })
        .await
    }

    /// Returns how far a channel has read.
    pub async fn cursor(&self, channel: &str) -> Result<Option<String>, MemoryError> {
        let channel = channel.to_owned();
        self.read(move |db| {
            let cursor = db
                .query_row(
                    "SELECT cursor FROM channel_cursors WHERE channel = ?1",
                    [channel],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(cursor)
        })
        .await
    }

    /// Keeps how far a channel has read, where nothing of it was to be accepted.
    pub async fn set_cursor(&self, channel: &str, cursor: &str) -> Result<(), MemoryError> {
        let (channel, cursor) = (channel.to_owned(), cursor.to_owned());
        self.write(move |db, now| set_cursor(db, now, &channel, &cursor))
            .await
    }

    /// Returns what a channel accepted, from one chat if that is given, and is neither done nor failed;
    /// oldest first.
    pub async fn pending(
        &self,
        channel: &str,
        chat_id: Option<&str>,
    ) -> Result<Vec<InboxItem>, MemoryError> {
        let (channel, chat_id) = (channel.to_owned(), chat_id.map(str::to_owned));
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM inbox
                 WHERE channel = ?1 AND (?2 IS NULL OR chat_id = ?2)
                   AND state IN ('pending', 'working')
                 ORDER BY created_at, id"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![channel, chat_id], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a message that came in.
    pub async fn inbox_item(&self, id: &InboxId) -> Result<InboxItem, MemoryError> {
        let id = id.clone();
        self.read(move |db| by_id(db, &id)).await
    }

    /// Counts one more attempt at a message and returns it.
    pub async fn begin(&self, id: &InboxId) -> Result<InboxItem, MemoryError> {
        let id = id.clone();
        self.write(move |db, now| {
            set(db, now, &id, InboxState::Working)?;
            by_id(db, &id)
        })
        .await
    }
}

const COLUMNS: &str = "id, channel, external_id, chat_id, raw, state, attempts, created_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<InboxItem> {
    Ok(InboxItem {
        id: row.get(0)?,
        channel: row.get(1)?,
        external_id: row.get(2)?,
        chat_id: row.get(3)?,
        raw: row.get(4)?,
        state: row.get(5)?,
        attempts: row.get(6)?,
        created_at: row.get::<_, Stamp>(7)?.0,
    })
}

fn by_id(db: &Connection, id: &InboxId) -> Result<InboxItem, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE id = ?1");
    db.prepare_cached(&sql)?
        .query_row([id], from_row)
        .optional()?
        .ok_or_else(|| MemoryError::not_found("message in the inbox", id.as_str()))
}

/// Moves a message on, if it may go there. Each beginning counts as an attempt.
pub(crate) fn set(
    db: &Transaction<'_>,
    now: Timestamp,
    id: &InboxId,
    next: InboxState,
) -> Result<(), MemoryError> {
    let present = by_id(db, id)?.state;
    if !present.may_become(next) {
        return Err(MemoryError::invalid(format!(
            "message `{id}` in the inbox is {present} and cannot become {next}"
        )));
    }
    db.prepare_cached(
        "UPDATE inbox SET state = ?2, attempts = attempts + (?2 = 'working'), updated_at = ?3
         WHERE id = ?1",
    )?
    .execute(params![id, next, stamp(now)])?;
    Ok(())
}

fn set_cursor(
    db: &Transaction<'_>,
    now: Timestamp,
    channel: &str,
    cursor: &str,
) -> Result<(), MemoryError> {
    db.execute(
        "INSERT INTO channel_cursors (channel, cursor, updated_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (channel) DO UPDATE SET cursor = ?2, updated_at = ?3",
        params![channel, cursor, stamp(now)],
    )?;
    Ok(())
}
