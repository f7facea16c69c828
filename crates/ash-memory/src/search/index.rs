//! Keeping the full-text index in step with the messages.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::terms::terms;
use crate::{Memory, MemoryError, SessionId};

/// How much of a neighbouring message helps to find one.
const NEIGHBOUR_TERMS: usize = 60;

impl Memory {
    /// Builds the full-text index anew from the messages.
    pub async fn reindex_messages(&self) -> Result<(), MemoryError> {
        self.write(|db, _| index_all(db)).await
    }
}

struct Found {
    seq: i64,
    id: String,
    content: String,
}

/// Indexes a message, and its neighbours anew.
pub(crate) fn index_around(
    db: &Transaction<'_>,
    session: &SessionId,
    created_at: &str,
    id: &str,
) -> Result<(), MemoryError> {
    // Neighbours see one further: two to each side.
    let mut window = side(db, session, created_at, id, "<=", "DESC", 3)?;
    window.reverse();
    window.extend(side(db, session, created_at, id, ">", "ASC", 2)?);
    // A message without words is nobody's neighbour.
    let Some(middle) = window.iter().position(|found| found.id == id) else {
        return Ok(());
    };
    let last = window.len() - 1;
    for position in middle.saturating_sub(1)..=(middle + 1).min(last) {
        put(db, &window, position)?;
    }
    Ok(())
}

/// Indexes all messages where none is: the table is new.
pub(crate) fn index_all_if_empty(connection: &mut Connection) -> Result<(), MemoryError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let empty: bool = transaction.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM messages_fts_docsize)",
        [],
        |row| row.get(0),
    )?;
    if empty {
        index_all(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}

fn index_all(db: &Transaction<'_>) -> Result<(), MemoryError> {
    db.execute(
        "INSERT INTO messages_fts (messages_fts) VALUES ('delete-all')",
        [],
    )?;
    let mut sessions = db.prepare("SELECT id FROM sessions")?;
    let mut messages = db.prepare(&format!(
        "SELECT {COLUMNS} FROM messages
         WHERE session_id = ?1 AND role <> 'tool' AND content <> ''
         ORDER BY created_at, id"
    ))?;
    let ids: Vec<SessionId> = sessions
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let mut window: Vec<Found> = Vec::new();
        for found in messages.query_map([&id], from_row)? {
            window.push(found?);
            if window.len() > 3 {
                window.remove(0);
            }
            if window.len() > 1 {
                put(db, &window, window.len() - 2)?;
            }
        }
        if !window.is_empty() {
            put(db, &window, window.len() - 1)?;
        }
    }
    Ok(())
}

const COLUMNS: &str = "seq, id, content";

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        seq: row.get(0)?,
        id: row.get(1)?,
        content: row.get(2)?,
    })
}

fn side(
    db: &Connection,
    session: &SessionId,
    created_at: &str,
    id: &str,
    operator: &str,
    direction: &str,
    limit: u32,
) -> Result<Vec<Found>, MemoryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM messages
         WHERE session_id = ?1 AND (created_at, id) {operator} (?2, ?3)
             AND role <> 'tool' AND content <> ''
         ORDER BY created_at {direction}, id {direction} LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![session, created_at, id, limit], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn put(db: &Transaction<'_>, window: &[Found], position: usize) -> Result<(), MemoryError> {
    let text = |found: Option<&Found>, most| {
        found.map_or_else(String::new, |found| index_text(&found.content, most))
    };
    let before = position
        .checked_sub(1)
        .and_then(|before| window.get(before));
    let after = window.get(position + 1);
    db.prepare_cached(
        "INSERT OR REPLACE INTO messages_fts (rowid, body, before, after) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        window[position].seq,
        text(window.get(position), usize::MAX),
        text(before, NEIGHBOUR_TERMS),
        text(after, NEIGHBOUR_TERMS),
    ])?;
    Ok(())
}

fn index_text(content: &str, most: usize) -> String {
    let mut text = String::new();
    for term in terms(content).iter().take(most) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(term.text());
    }
    text
}
