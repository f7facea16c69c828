//! Export and import: one JSON document a line.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::clock::stamp;
use crate::store::{self, Profile, Session, StoredMessage, ToolExecution};
use crate::{Memory, MemoryError, SessionId};

const FORMAT: &str = "ash-memory";
const VERSION: u32 = 1;
/// No line that was exported is longer; a file without line ends is not read into memory whole.
const LONGEST_LINE: u64 = 256 * 1024 * 1024;

/// How many of each an export wrote or an import added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transferred {
    /// Sessions.
    pub sessions: u64,
    /// Messages.
    pub messages: u64,
    /// Tool executions.
    pub tool_executions: u64,
    /// User profiles.
    pub profiles: u64,
    /// What was there already, and stayed as it was.
    pub known: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Header { format: String, version: u32 },
    Profile(Profile),
    Session(Session),
    Message(StoredMessage),
    ToolExecution(ToolExecution),
}

impl Memory {
    /// Writes sessions with their messages and tool executions, and user profiles, as of one moment.
    pub async fn export(
        &self,
        to: impl Write + Send + 'static,
    ) -> Result<Transferred, MemoryError> {
        self.read_beside(move |db| export(db, to)).await
    }

    /// Adds what was exported, all or nothing. What is known by its id stays as it is; a session that is
    /// known by its chat takes the messages in.
    pub async fn import(
        &self,
        from: impl BufRead + Send + 'static,
    ) -> Result<Transferred, MemoryError> {
        // Read before the database is touched: whoever writes the file may be slow.
        let lines = tokio::task::spawn_blocking(move || read(from))
            .await
            .map_err(|_| MemoryError::Closed)??;
        self.write(move |db, _| import(db, lines)).await
    }
}

fn export(db: &Connection, mut to: impl Write) -> Result<Transferred, MemoryError> {
    // All that is read here is of one moment.
    let db = db.unchecked_transaction()?;
    let mut done = Transferred::default();
    let header = Line::Header {
        format: FORMAT.into(),
        version: VERSION,
    };
    write(&mut to, &header)?;
    done.profiles = each(
        &db,
        &all(store::PROFILE_COLUMNS, "user_profiles", "user_id"),
        store::profile_from_row,
        |row| write(&mut to, &Line::Profile(row)),
    )?;
    done.sessions = each(
        &db,
        &all(store::SESSION_COLUMNS, "sessions", "created_at, id"),
        store::session_from_row,
        |row| write(&mut to, &Line::Session(row)),
    )?;
    done.messages = each(
        &db,
        &all(store::MESSAGE_COLUMNS, "messages m", "created_at, id"),
        store::message_from_row,
        |row| write(&mut to, &Line::Message(row)),
    )?;
    done.tool_executions = each(
        &db,
        &all(
            store::EXECUTION_COLUMNS,
            "tool_executions",
            "created_at, id",
        ),
        store::execution_from_row,
        |row| write(&mut to, &Line::ToolExecution(row)),
    )?;
    to.flush().map_err(MemoryError::Write)?;
    Ok(done)
}

fn all(columns: &str, table: &str, order: &str) -> String {
    format!("SELECT {columns} FROM {table} ORDER BY {order}")
}

fn each<T>(
    db: &Connection,
    sql: &str,
    from_row: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    mut take: impl FnMut(T) -> Result<(), MemoryError>,
) -> Result<u64, MemoryError> {
    let mut statement = db.prepare(sql)?;
    let mut count = 0;
    for row in statement.query_map([], from_row)? {
        take(row?)?;
        count += 1;
    }
    Ok(count)
}

fn write(to: &mut impl Write, line: &Line) -> Result<(), MemoryError> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text).map_err(MemoryError::Write)
}

fn read(mut from: impl BufRead) -> Result<Vec<(u64, Line)>, MemoryError> {
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let wrong = |reason: String| MemoryError::Import {
            line: number,
            reason,
        };
        let length = from
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| wrong(error.to_string()))?;
        if length == 0 {
            break;
        }
        if bytes.len() as u64 == LONGEST_LINE {
            return Err(wrong("it is too long".into()));
        }
        let text = bytes.trim_ascii();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        let line = serde_json::from_slice(text).map_err(|error| wrong(reason(&error)))?;
        if let Line::Header { format, version } = &line
            && (format != FORMAT || *version > VERSION)
        {
            return Err(wrong(format!(
                "it is `{format}` version {version}; `{FORMAT}` up to version {VERSION} can be read"
            )));
        }
        lines.push((number, line));
    }
    Ok(lines)
}

// Each line is a document of its own, in which everything is on line 1.
fn reason(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

fn import(db: &Transaction<'_>, lines: Vec<(u64, Line)>) -> Result<Transferred, MemoryError> {
    let mut done = Transferred::default();
    let mut sessions = HashMap::new();
    for (number, line) in lines {
        let (count, added) = match line {
            Line::Header { .. } => continue,
            Line::Profile(profile) => (&mut done.profiles, store::insert_profile(db, &profile)),
            Line::Session(session) => (
                &mut done.sessions,
                import_session(db, session, &mut sessions),
            ),
            Line::Message(mut message) => {
                message.session = known(&sessions, message.session);
                let added = import_message(db, message);
                (&mut done.messages, added)
            }
            Line::ToolExecution(mut execution) => {
                execution.session = known(&sessions, execution.session);
                let added = import_execution(db, &execution);
                (&mut done.tool_executions, added)
            }
        };
        match added {
            Ok(true) => *count += 1,
            Ok(false) => done.known += 1,
            // Not the fault of the line.
            Err(error @ (MemoryError::Full | MemoryError::Corrupt(_) | MemoryError::Sqlite(_))) => {
                return Err(error);
            }
            Err(error) => {
                return Err(MemoryError::Import {
                    line: number,
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(done)
}

fn known(sessions: &HashMap<SessionId, SessionId>, id: SessionId) -> SessionId {
    sessions.get(&id).cloned().unwrap_or(id)
}

fn import_session(
    db: &Transaction<'_>,
    session: Session,
    sessions: &mut HashMap<SessionId, SessionId>,
) -> Result<bool, MemoryError> {
    let present: Option<SessionId> = db
        .prepare_cached(
            "SELECT id FROM sessions WHERE id = ?1 OR (provider = ?2 AND chat_id = ?3)
             ORDER BY id <> ?1",
        )?
        .query_row(
            params![session.id, session.provider, session.chat_id],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(present) = present {
        sessions.insert(session.id, present);
        return Ok(false);
    }
    store::insert_session(db, &session)?;
    Ok(true)
}

fn import_message(db: &Transaction<'_>, message: StoredMessage) -> Result<bool, MemoryError> {
    if exists(
        db,
        "SELECT 1 FROM messages WHERE id = ?1",
        message.id.as_str(),
    )? {
        return Ok(false);
    }
    let at = stamp(message.created_at);
    store::insert_message_at(db, &at, &message.into())?;
    Ok(true)
}

fn import_execution(db: &Transaction<'_>, execution: &ToolExecution) -> Result<bool, MemoryError> {
    let sql = "SELECT 1 FROM tool_executions WHERE id = ?1";
    if exists(db, sql, execution.id.as_str())? {
        return Ok(false);
    }
    store::insert_execution(db, execution)?;
    Ok(true)
}

fn exists(db: &Transaction<'_>, sql: &str, id: &str) -> Result<bool, MemoryError> {
    Ok(db.prepare_cached(sql)?.exists([id])?)
}
