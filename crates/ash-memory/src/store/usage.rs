//! Usage: what model calls took and cost.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError, SessionId, TurnId};

/// The tokens that calls used. The figures do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
}

/// Which calls are added up, and into which sums.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// One sum for each of these.
    pub by: UsageBy,
}

/// What a sum is for.
#[derive(Clone, Debug)]
pub enum UsageBy {
    /// A day, where the person lives; named `2026-11-22`.
    Day(TimeZone),
    /// A model, named `PROVIDER/MODEL`.
    Model,
    /// A session, named by its id; empty for those that are deleted.
    Session,
}

/// A sum of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsageTotal {
    /// The day, model or session.
    pub key: String,
    /// How many calls.
    pub calls: u64,
    /// Their tokens.
    pub tokens: TokenUsage,
    /// What those cost that have a price, in millionths of a dollar.
    pub cost_micros: u64,
    /// How many calls have no known price.
    pub unpriced: u64,
}

/// One call of a model.
pub(crate) struct Call {
    pub(crate) session: SessionId,
    pub(crate) turn: Option<TurnId>,
    pub(crate) model: String,
    pub(crate) tokens: TokenUsage,
    pub(crate) cost_micros: Option<u64>,
}

impl Memory {
    /// Returns sums of calls, in the order of their keys.
    pub async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageTotal>, MemoryError> {
        self.read(move |db| totals(db, &query)).await
    }
}

fn totals(db: &Connection, query: &UsageQuery) -> Result<Vec<UsageTotal>, MemoryError> {
    let mut statement = db.prepare(
        "SELECT created_at, model, session_id, input, output, cache_read, cache_write, cost_micros
         FROM usage WHERE created_at >= ?1 AND created_at < ?2",
    )?;
    let since = query.since.map_or_else(String::new, stamp);
    let until = query.until.map_or_else(|| "~".into(), stamp);
    let mut rows = statement.query([since, until])?;
    let mut totals: BTreeMap<String, UsageTotal> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key = match &query.by {
            UsageBy::Day(zone) => {
                let time = row.get::<_, Stamp>(0)?.0;
                time.to_zoned(zone.clone()).date().to_string()
            }
            UsageBy::Model => row.get(1)?,
            UsageBy::Session => row.get::<_, Option<String>>(2)?.unwrap_or_default(),
        };
        let total = totals.entry(key).or_default();
        total.calls += 1;
        total.tokens.input += row.get::<_, u64>(3)?;
        total.tokens.output += row.get::<_, u64>(4)?;
        total.tokens.cache_read += row.get::<_, u64>(5)?;
        total.tokens.cache_write += row.get::<_, u64>(6)?;
        match row.get::<_, Option<u64>>(7)? {
            Some(cost) => total.cost_micros += cost,
            None => total.unpriced += 1,
        }
    }
    Ok(totals
        .into_iter()
        .map(|(key, total)| UsageTotal { key, ..total })
        .collect())
}

pub(crate) fn insert(db: &Transaction<'_>, now: Timestamp, call: &Call) -> Result<(), MemoryError> {
    db.prepare_cached(
        "INSERT INTO usage (id, session_id, turn_id, model, input, output, cache_read, cache_write,
                            cost_micros, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        Uuid::now_v7().to_string(),
        call.session,
        call.turn,
        call.model,
        call.tokens.input,
        call.tokens.output,
        call.tokens.cache_read,
        call.tokens.cache_write,
        call.cost_micros,
        stamp(now)
    ])?;
    Ok(())
}
