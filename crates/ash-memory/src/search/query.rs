//! Asking for messages.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;

use super::stop_words::is_stop_word;
use super::terms::{Term, terms};
use super::visibility::{VISIBLE, Viewer, Visibility};
use crate::clock::stamp;
use crate::store::{MESSAGE_COLUMNS, message_from_row};
use crate::{ChatKind, Memory, MemoryError, MessageId, StoredMessage};

/// Longer questions are cut: each term costs a look-up, and the first ones say enough.
const MOST_TERMS: usize = 64;
/// How much of a word must be left when its ending is cut.
const SHORTEST_STEM: usize = 3;

/// What is looked for, and by whom.
#[derive(Clone, Debug)]
pub struct MessageQuery {
    /// Words, a question, or any text.
    pub text: String,
    /// Who looks.
    pub viewer: Viewer,
    /// How many messages at most.
    pub limit: usize,
    /// Messages that are not looked for, such as the question itself.
    pub exclude: Vec<MessageId>,
    /// Only messages of this time or later.
    pub since: Option<Timestamp>,
    /// Only messages before this time.
    pub until: Option<Timestamp>,
}

impl MessageQuery {
    /// Looks for the ten best messages of all times.
    pub fn new(text: impl Into<String>, viewer: Viewer) -> Self {
        Self {
            text: text.into(),
            viewer,
            limit: 10,
            exclude: Vec::new(),
            since: None,
            until: None,
        }
    }
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageHit {
    /// The message.
    pub message: StoredMessage,
    /// The channel of its chat.
    pub provider: String,
    /// Its chat at the channel.
    pub chat_id: String,
    /// Who hears that chat.
    pub kind: ChatKind,
    /// How well it fits; larger is better. Only comparable within one search.
    pub score: f64,
    /// What a person or the assistant said just before.
    pub before: Option<StoredMessage>,
    /// What a person or the assistant said just after.
    pub after: Option<StoredMessage>,
}

impl Memory {
    /// Returns the messages that fit a text best, best first.
    pub async fn search_messages(
        &self,
        query: MessageQuery,
    ) -> Result<Vec<MessageHit>, MemoryError> {
        let Some(expression) = match_expression(&query.text) else {
            return Ok(Vec::new());
        };
        self.read(move |db| search(db, &expression, &query)).await
    }
}

fn search(
    db: &Connection,
    expression: &str,
    query: &MessageQuery,
) -> Result<Vec<MessageHit>, MemoryError> {
    let visibility = Visibility::of(&query.viewer);
    let exclude = serde_json::to_string(&query.exclude)?;
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS}, s.provider, s.chat_id, s.kind,
                -bm25(messages_fts, 1.0, 0.4, 0.2) AS score
         FROM messages_fts
             JOIN messages m ON m.seq = messages_fts.rowid
             JOIN sessions s ON s.id = m.session_id
         WHERE messages_fts MATCH :expression
             AND {VISIBLE}
             AND m.id NOT IN (SELECT value FROM json_each(:exclude))
             AND m.created_at >= :since AND m.created_at < :until
         ORDER BY score DESC, m.created_at DESC, m.id DESC
         LIMIT :limit"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":expression": expression,
            ":everything": visibility.everything,
            ":session": visibility.session,
            ":user": visibility.user,
            ":private": visibility.private,
            ":exclude": exclude,
            ":since": query.since.map_or_else(String::new, stamp),
            ":until": query.until.map_or_else(|| "~".into(), stamp),
            ":limit": i64::try_from(query.limit).unwrap_or(i64::MAX),
        },
        |row| {
            Ok(MessageHit {
                message: message_from_row(row)?,
                provider: row.get(9)?,
                chat_id: row.get(10)?,
                kind: row.get(11)?,
                score: row.get(12)?,
                before: None,
                after: None,
            })
        },
    )?;
    let mut hits: Vec<MessageHit> = rows.collect::<Result<_, _>>()?;
    for hit in &mut hits {
        hit.before = neighbour(db, &hit.message, &exclude, "<", "DESC")?;
        hit.after = neighbour(db, &hit.message, &exclude, ">", "ASC")?;
    }
    Ok(hits)
}

fn neighbour(
    db: &Connection,
    message: &StoredMessage,
    exclude: &str,
    operator: &str,
    direction: &str,
) -> Result<Option<StoredMessage>, MemoryError> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM messages m
         WHERE m.session_id = ?1 AND (m.created_at, m.id) {operator} (?2, ?3)
             AND m.role <> 'tool' AND m.content <> ''
             AND m.id NOT IN (SELECT value FROM json_each(?4))
         ORDER BY m.created_at {direction}, m.id {direction} LIMIT 1"
    );
    let at = stamp(message.created_at);
    let parameters: [&dyn ToSql; 4] = [&message.session, &at, &message.id, &exclude];
    let found = db
        .prepare_cached(&sql)?
        .query_row(&parameters[..], message_from_row)
        .optional()?;
    Ok(found)
}

/// Returns what to hand to MATCH: terms only, each quoted, so that nothing in a text is syntax.
fn match_expression(text: &str) -> Option<String> {
    let all = terms(text);
    let telling: Vec<&Term> = all
        .iter()
        .filter(|term| !is_stop_word(term.text()))
        .collect();
    let chosen = if telling.is_empty() {
        all.iter().collect()
    } else {
        telling
    };
    let mut used = HashSet::new();
    let parts: Vec<String> = chosen
        .into_iter()
        .filter(|term| used.insert(term.text()))
        .filter_map(|term| match term {
            Term::Word(text) => Some(word_expression(text)),
            Term::Pair(text) => Some(format!("\"{text}\"")),
            // Stored text has it as the first of a pair, or as the last of a run.
            Term::Alone(text) => Some(format!("\"{text}\" *")),
            // It is in a pair as well.
            Term::Last(_) => None,
        })
        .take(MOST_TERMS)
        .collect();
    (!parts.is_empty()).then(|| parts.join(" OR "))
}

// SQLite stems English only. In other alphabets the end of a word is mostly its inflection, so that a
// word without it is looked for as well; a word that is met exactly then counts twice.
fn word_expression(word: &str) -> String {
    let letters = word.chars().count();
    if word.is_ascii() || letters < SHORTEST_STEM + 2 {
        return format!("\"{word}\"");
    }
    let stem: String = word.chars().take(SHORTEST_STEM.max(letters - 2)).collect();
    format!("\"{word}\" OR \"{stem}\" *")
}
