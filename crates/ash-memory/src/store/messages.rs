//! Messages: what was said.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::columns::{Json, words};
use super::sessions::{self, ContextStart};
use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError, MessageId, SessionId, TurnId, search};

words! {
    /// Who says something.
    Role {
        /// A person.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// A tool, with its result. Not searched.
        Tool = "tool",
    }
}

/// A message to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it was said.
    pub session: SessionId,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// Who said it.
    pub role: Role,
    /// What was said, as plain text. This is what search finds.
    pub content: String,
    /// The message as the caller needs it again, which this crate does not look into.
    pub blocks: Value,
    /// What was told to the model beside it. Not searched.
    pub context: Option<String>,
    /// Which person, as `provider:id`.
    pub author: Option<String>,
    /// How many tokens it has.
    pub token_count: Option<u32>,
    /// What else is known of it. `blocks` and `context` are taken.
    pub metadata: Map<String, Value>,
}

impl NewMessage {
    /// Makes a message of plain text with a new id.
    pub fn new(session: SessionId, role: Role, content: impl Into<String>) -> Self {
        Self {
            id: MessageId::generate(),
            session,
            turn: None,
            role,
            content: content.into(),
            blocks: Value::Null,
            context: None,
            author: None,
            token_count: None,
            metadata: Map::new(),
        }
    }
}

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it was said.
    pub session: SessionId,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// Who said it.
    pub role: Role,
    /// What was said, as plain text.
    pub content: String,
    /// The message as it was given, or null.
    pub blocks: Value,
    /// What was told to the model beside it.
    pub context: Option<String>,
    /// Which person, as `provider:id`.
    pub author: Option<String>,
    /// How many tokens it has.
    pub token_count: Option<u32>,
    /// When it was kept. Within a session no two are the same time and id, and later is larger.
    pub created_at: Timestamp,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
}

impl From<StoredMessage> for NewMessage {
    fn from(stored: StoredMessage) -> Self {
        Self {
            id: stored.id,
            session: stored.session,
            turn: stored.turn,
            role: stored.role,
            content: stored.content,
            blocks: stored.blocks,
            context: stored.context,
            author: stored.author,
            token_count: stored.token_count,
            metadata: stored.metadata,
        }
    }
}

impl Memory {
    /// Returns the messages of a session, oldest first: from the one given, or from where its context
    /// starts.
    pub async fn history(
        &self,
        session: &SessionId,
        from: Option<&MessageId>,
    ) -> Result<Vec<StoredMessage>, MemoryError> {
        let (session, from) = (session.clone(), from.cloned());
        self.read(move |db| {
            let start = match from {
                Some(id) => sessions::at_message(db, &session, &id)?,
                None => ContextStart::of(&sessions::by_id(db, &session)?),
            };
            since(db, &session, &start)
        })
        .await
    }

    /// Returns up to `limit` messages of a session before the one given, or its last ones; oldest first.
    pub async fn messages_before(
        &self,
        session: &SessionId,
        before: Option<&MessageId>,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, MemoryError> {
        let (session, before) = (session.clone(), before.cloned());
        self.read(move |db| {
            let end = match before {
                Some(id) => Some(sessions::at_message(db, &session, &id)?),
                None => None,
            };
            self::before(db, &session, end.as_ref(), limit)
        })
        .await
    }

    /// Returns a message by its id.
    pub async fn message(&self, id: &MessageId) -> Result<StoredMessage, MemoryError> {
        let id = id.clone();
        self.read(move |db| {
            let sql = format!("SELECT {COLUMNS} FROM messages m WHERE id = ?1");
            db.prepare_cached(&sql)?
                .query_row([&id], from_row)
                .optional()?
                .ok_or_else(|| MemoryError::not_found("message", id.as_str()))
        })
        .await
    }
}

/// The columns of a message, in the order of [`from_row`], from a table named `m`.
pub(crate) const COLUMNS: &str = "m.id, m.session_id, m.turn_id, m.role, m.content, m.author, \
                                  m.token_count, m.created_at, m.metadata";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let mut metadata = row.get::<_, Json<Map<String, Value>>>(8)?.0;
    let blocks = metadata.remove("blocks").unwrap_or(Value::Null);
    let context = match metadata.remove("context") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Ok(StoredMessage {
        id: row.get(0)?,
        session: row.get(1)?,
        turn: row.get(2)?,
        role: row.get(3)?,
        content: row.get(4)?,
        blocks,
        context,
        author: row.get(5)?,
        token_count: row.get(6)?,
        created_at: row.get::<_, Stamp>(7)?.0,
        metadata,
    })
}

/// Keeps a message at a time later than all others of its session, whatever the clock says.
pub(crate) fn insert(
    db: &Transaction<'_>,
    now: Timestamp,
    message: &NewMessage,
) -> Result<(), MemoryError> {
    let last: Option<(Stamp, String)> = db
        .prepare_cached(
            "SELECT created_at, id FROM messages WHERE session_id = ?1
             ORDER BY created_at DESC, id DESC LIMIT 1",
        )?
        .query_row([&message.session], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let at = match last {
        Some((Stamp(time), id)) if (stamp(now), message.id.as_str()) <= (stamp(time), &id) => {
            if message.id.as_str() > id.as_str() {
                time
            } else {
                time + SignedDuration::from_millis(1)
            }
        }
        _ => now,
    };
    insert_at(db, &stamp(at), message)?;
    db.prepare_cached("UPDATE sessions SET updated_at = max(updated_at, ?2) WHERE id = ?1")?
        .execute(params![message.session, stamp(at)])?;
    Ok(())
}

/// Keeps a message at a time.
pub(crate) fn insert_at(
    db: &Transaction<'_>,
    at: &str,
    message: &NewMessage,
) -> Result<(), MemoryError> {
    let seq: i64 = db
        .prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM messages")?
        .query_row([], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO messages (id, session_id, role, content, created_at, token_count, metadata,
                               turn_id, author, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        message.id,
        message.session,
        message.role,
        message.content,
        at,
        message.token_count,
        metadata(message)?,
        message.turn,
        message.author,
        seq,
    ])?;
    if message.role != Role::Tool {
        search::index_around(db, &message.session, at, message.id.as_str())?;
    }
    Ok(())
}

fn metadata(message: &NewMessage) -> Result<String, MemoryError> {
    let mut metadata = message.metadata.clone();
    if metadata.contains_key("blocks") || metadata.contains_key("context") {
        return Err(MemoryError::invalid(
            "`blocks` and `context` of a message are fields of their own",
        ));
    }
    if !message.blocks.is_null() {
        metadata.insert("blocks".into(), message.blocks.clone());
    }
    if let Some(context) = &message.context {
        metadata.insert("context".into(), Value::String(context.clone()));
    }
    Ok(serde_json::to_string(&metadata)?)
}

fn since(
    db: &Connection,
    session: &SessionId,
    start: &ContextStart,
) -> Result<Vec<StoredMessage>, MemoryError> {
    let (operator, created_at, id) = start.condition();
    let sql = format!(
        "SELECT {COLUMNS} FROM messages m
         WHERE session_id = ?1 AND (created_at, id) {operator} (?2, ?3) ORDER BY created_at, id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![session, created_at, id], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn before(
    db: &Connection,
    session: &SessionId,
    end: Option<&ContextStart>,
    limit: usize,
) -> Result<Vec<StoredMessage>, MemoryError> {
    // Times begin with a digit, so that a tilde is after all of them.
    let (_, created_at, id) = end.map_or(("", "~", "~"), ContextStart::condition);
    let sql = format!(
        "SELECT {COLUMNS} FROM messages m
         WHERE session_id = ?1 AND (created_at, id) < (?2, ?3)
         ORDER BY created_at DESC, id DESC LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![session, created_at, id, limit], from_row)?;
    let mut messages: Vec<_> = rows.collect::<Result<_, _>>()?;
    messages.reverse();
    Ok(messages)
}
