//! Keeping the full-text index in step with the messages.

use rusqlite::{Transaction, params};

use super::terms::{Term, terms};
use crate::{MemoryError, SessionId};

/// How much of a neighbouring message helps to find one.
const NEIGHBOUR_TERMS: usize = 60;

/// Indexes the last message of a session, and indexes the one before it anew, now with what follows.
pub(crate) fn index_new(
    db: &Transaction<'_>,
    session: &SessionId,
    seq: i64,
) -> Result<(), MemoryError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, content FROM messages
         WHERE session_id = ?1 AND role <> 'tool' AND content <> ''
         ORDER BY created_at DESC, id DESC LIMIT 3",
    )?;
    let last: Vec<(i64, String)> = statement
        .query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let cut: Vec<Vec<Term>> = last.iter().map(|(_, content)| terms(content)).collect();
    // A message without words is nobody's neighbour.
    let Some((newest, _)) = last.first().filter(|(found, _)| *found == seq) else {
        return Ok(());
    };
    let before = |position: usize| cut.get(position + 1).map_or(&[][..], Vec::as_slice);
    put(db, *newest, &cut[0], before(0), &[])?;
    if let Some((previous, _)) = last.get(1) {
        put(db, *previous, &cut[1], before(1), &cut[0])?;
    }
    Ok(())
}

fn put(
    db: &Transaction<'_>,
    seq: i64,
    body: &[Term],
    before: &[Term],
    after: &[Term],
) -> Result<(), MemoryError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO messages_fts (rowid, body, before, after) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        seq,
        join(body),
        join(&before[..before.len().min(NEIGHBOUR_TERMS)]),
        join(&after[..after.len().min(NEIGHBOUR_TERMS)]),
    ])?;
    Ok(())
}

fn join(terms: &[Term]) -> String {
    let mut text = String::new();
    for term in terms {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(term.text());
    }
    text
}
