//! Sessions: one for each chat.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::columns::{Json, words};
use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError, MessageId, SessionId, recall};

/// How many words of the first message name a session.
const TITLE_WORDS: usize = 8;
const TITLE_CHARS: usize = 60;

words! {
    /// Who hears what is said in a chat.
    ChatKind {
        /// One person.
        Private = "private",
        /// Several.
        Group = "group",
    }
}

/// A chat as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The channel: `terminal`, `telegram`.
    pub provider: String,
    /// The chat at the provider, its topic included.
    pub chat_id: String,
    /// Who opened it, as `provider:id`.
    pub user_id: String,
    /// Who hears it.
    pub kind: ChatKind,
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The channel: `terminal`, `telegram`.
    pub provider: String,
    /// The chat at the provider, its topic included.
    pub chat_id: String,
    /// Who opened it, as `provider:id`.
    pub user_id: String,
    /// Who hears it.
    pub kind: ChatKind,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When something was last said in it.
    pub updated_at: Timestamp,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionSummary {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// The first words that were said.
    pub title: Option<String>,
    /// How many messages people and the assistant wrote.
    pub messages: u64,
    /// When the first of all messages was kept.
    pub first_at: Option<Timestamp>,
    /// When the last of all messages was kept.
    pub last_at: Option<Timestamp>,
}

/// Where in a session the context of the model begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContextStart {
    created_at: String,
    id: String,
    inclusive: bool,
}

impl Memory {
    /// Returns the session of a chat, and opens it if it is new.
    pub async fn open_session(&self, new: NewSession) -> Result<Session, MemoryError> {
        let found = self.find_session(&new.provider, &new.chat_id).await?;
        match found {
            Some(session) => Ok(session),
            None => self.write(move |db, now| open(db, now, &new)).await,
        }
    }

    /// Returns the session of a chat.
    pub async fn find_session(
        &self,
        provider: &str,
        chat_id: &str,
    ) -> Result<Option<Session>, MemoryError> {
        let (provider, chat_id) = (provider.to_owned(), chat_id.to_owned());
        self.read(move |db| find(db, &provider, &chat_id)).await
    }

    /// Returns a session by its id.
    pub async fn session(&self, id: &SessionId) -> Result<Session, MemoryError> {
        let id = id.clone();
        self.read(move |db| by_id(db, &id)).await
    }

    /// Returns all sessions, the one that was spoken in last first.
    pub async fn sessions(&self) -> Result<Vec<SessionSummary>, MemoryError> {
        self.read(summaries).await
    }

    /// Begins the model's context with a message, or, with `None`, after all that was said so far.
    pub async fn start_context(
        &self,
        session: &SessionId,
        first: Option<&MessageId>,
    ) -> Result<(), MemoryError> {
        let (session, first) = (session.clone(), first.cloned());
        self.write(move |db, _| start_context(db, &session, first.as_ref()))
            .await
    }

    /// Deletes a session with its messages; what it cost stays known.
    pub async fn delete_session(&self, session: &SessionId) -> Result<(), MemoryError> {
        let session = session.clone();
        self.write(move |db, _| {
            recall::delete_of_session(db, &session)?;
            match db.execute("DELETE FROM sessions WHERE id = ?1", [&session])? {
                0 => Err(MemoryError::not_found("session", session.as_str())),
                _ => Ok(()),
            }
        })
        .await
    }
}

pub(crate) const COLUMNS: &str =
    "id, provider, chat_id, user_id, kind, created_at, updated_at, metadata";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        provider: row.get(1)?,
        chat_id: row.get(2)?,
        user_id: row.get(3)?,
        kind: row.get(4)?,
        created_at: row.get::<_, Stamp>(5)?.0,
        updated_at: row.get::<_, Stamp>(6)?.0,
        metadata: row.get::<_, Json<_>>(7)?.0,
    })
}

fn open(db: &Transaction<'_>, now: Timestamp, new: &NewSession) -> Result<Session, MemoryError> {
    // Another process may have opened it since.
    if let Some(session) = find(db, &new.provider, &new.chat_id)? {
        return Ok(session);
    }
    let session = Session {
        id: SessionId::generate(),
        provider: new.provider.clone(),
        chat_id: new.chat_id.clone(),
        user_id: new.user_id.clone(),
        kind: new.kind,
        created_at: now,
        updated_at: now,
        metadata: Map::new(),
    };
    insert(db, &session)?;
    // Read back, since times are kept less exactly than they are told.
    by_id(db, &session.id)
}

pub(crate) fn insert(db: &Transaction<'_>, session: &Session) -> Result<(), MemoryError> {
    db.prepare_cached(
        "INSERT INTO sessions (id, provider, chat_id, user_id, kind, created_at, updated_at, metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        session.id,
        session.provider,
        session.chat_id,
        session.user_id,
        session.kind,
        stamp(session.created_at),
        stamp(session.updated_at),
        serde_json::to_string(&session.metadata)?
    ])?;
    Ok(())
}

fn find(db: &Connection, provider: &str, chat_id: &str) -> Result<Option<Session>, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE provider = ?1 AND chat_id = ?2");
    let session = db
        .prepare_cached(&sql)?
        .query_row([provider, chat_id], from_row)
        .optional()?;
    Ok(session)
}

pub(crate) fn by_id(db: &Connection, id: &SessionId) -> Result<Session, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
    db.prepare_cached(&sql)?
        .query_row([id], from_row)
        .optional()?
        .ok_or_else(|| MemoryError::not_found("session", id.as_str()))
}

fn summaries(db: &Connection) -> Result<Vec<SessionSummary>, MemoryError> {
    let sql = format!(
        "SELECT {COLUMNS},
             (SELECT count(*) FROM messages m WHERE m.session_id = s.id AND m.role <> 'tool'),
             (SELECT min(created_at) FROM messages m WHERE m.session_id = s.id),
             (SELECT max(created_at) FROM messages m WHERE m.session_id = s.id),
             (SELECT substr(content, 1, 1000) FROM messages m
              WHERE m.session_id = s.id AND m.role = 'user' AND trim(content) <> ''
              ORDER BY created_at, id LIMIT 1)
         FROM sessions s ORDER BY updated_at DESC, id DESC"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(SessionSummary {
            session: from_row(row)?,
            messages: row.get(8)?,
            first_at: row.get::<_, Option<Stamp>>(9)?.map(|time| time.0),
            last_at: row.get::<_, Option<Stamp>>(10)?.map(|time| time.0),
            title: row.get::<_, Option<String>>(11)?.map(|text| title(&text)),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn title(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut title = words
        .by_ref()
        .take(TITLE_WORDS)
        .collect::<Vec<_>>()
        .join(" ");
    let cut = title
        .char_indices()
        .nth(TITLE_CHARS)
        .map(|(position, _)| position);
    if let Some(position) = cut {
        title.truncate(position);
    }
    if cut.is_some() || words.next().is_some() {
        title.push('…');
    }
    title
}

fn start_context(
    db: &Transaction<'_>,
    session: &SessionId,
    first: Option<&MessageId>,
) -> Result<(), MemoryError> {
    by_id(db, session)?;
    let start = match first {
        Some(id) => Some(at_message(db, session, id)?),
        None => db
            .query_row(
                "SELECT created_at, id FROM messages WHERE session_id = ?1
                 ORDER BY created_at DESC, id DESC LIMIT 1",
                [session],
                |row| {
                    Ok(ContextStart {
                        created_at: row.get(0)?,
                        id: row.get(1)?,
                        inclusive: false,
                    })
                },
            )
            .optional()?,
    };
    db.execute(
        "UPDATE sessions SET metadata = json_set(metadata, '$.context_start', json(?2)) WHERE id = ?1",
        params![session, json!(start).to_string()],
    )?;
    Ok(())
}

pub(crate) fn at_message(
    db: &Connection,
    session: &SessionId,
    id: &MessageId,
) -> Result<ContextStart, MemoryError> {
    let created_at = db
        .query_row(
            "SELECT created_at FROM messages WHERE session_id = ?1 AND id = ?2",
            params![session, id],
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(|| MemoryError::not_found("message", id.as_str()))?;
    Ok(ContextStart {
        created_at,
        id: id.to_string(),
        inclusive: true,
    })
}

impl ContextStart {
    /// Returns the start that `/new` or a compaction has set, or that of all messages.
    pub(crate) fn of(session: &Session) -> Self {
        session
            .metadata
            .get("context_start")
            .and_then(|value| Self::deserialize(value).ok())
            .unwrap_or(Self {
                created_at: String::new(),
                id: String::new(),
                inclusive: true,
            })
    }

    /// Returns how `(created_at, id)` of a message compares to this start, and its two sides.
    pub(crate) fn condition(&self) -> (&'static str, &str, &str) {
        let operator = if self.inclusive { ">=" } else { ">" };
        (operator, &self.created_at, &self.id)
    }
}
