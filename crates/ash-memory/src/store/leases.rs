//! Leases: one speaker at a time in a session, across processes.
//!
//! A lease is as good as its holder is alive. The kernel tells that at once, by the lock on the holder's
//! file; a holder that is alive but suspended loses its leases when its heartbeat is old, and finds out
//! when it next writes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::record::{self, Record};
use super::sessions;
use crate::clock::{Stamp, stamp};
use crate::engine::{Background, Effect, Presence};
use crate::{Clock, Memory, MemoryError, SessionId};

const HEARTBEAT: Duration = Duration::from_secs(15);
const EXPIRY: SignedDuration = SignedDuration::from_secs(60);

/// The right to speak in a session, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    memory: Memory,
    session: SessionId,
    token: String,
}

impl Memory {
    /// Takes the right to speak in a session; [`MemoryError::Busy`] says who has it. `who` is how the
    /// holder is called in that sentence, such as `ash chat`.
    pub async fn lease(&self, session: &SessionId, who: &str) -> Result<Lease, MemoryError> {
        let (memory, who) = (self.clone(), who.to_owned());
        let lease = Lease {
            memory: self.clone(),
            session: session.clone(),
            token: Uuid::now_v7().to_string(),
        };
        let (session, token) = (lease.session.clone(), lease.token.clone());
        self.write_quietly(move |db, now| {
            sessions::by_id(db, &session)?;
            let presence = memory.presence();
            if let Some(holder) = holder(db, &session)?
                && holder.is_valid(presence, now)
            {
                return Err(holder.busy());
            }
            db.execute(
                "INSERT OR REPLACE INTO session_leases
                     (session_id, token, instance, who, pid, acquired_at, heartbeat_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
                params![
                    session,
                    token,
                    instance(presence),
                    who,
                    std::process::id(),
                    stamp(now)
                ],
            )?;
            Ok(())
        })
        .await?;
        self.keep_heartbeat();
        Ok(lease)
    }
}

impl Lease {
    /// Returns the session it is for.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Keeps facts like [`Memory::record`], unless the session was taken over meanwhile.
    pub async fn record(&self, records: Vec<Record>) -> Result<(), MemoryError> {
        let (session, token) = (self.session.clone(), self.token.clone());
        self.memory
            .write(move |db, now| {
                check(db, &session, &token)?;
                record::keep(db, now, records)
            })
            .await
    }

    /// Tells, by an error, whether the session was taken over.
    pub async fn check(&self) -> Result<(), MemoryError> {
        let (session, token) = (self.session.clone(), self.token.clone());
        self.memory
            .read(move |db| check(db, &session, &token))
            .await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (session, token) = (self.session.clone(), self.token.clone());
        self.memory.background().run(Effect::Quiet, move |db| {
            db.execute(
                "DELETE FROM session_leases WHERE session_id = ?1 AND token = ?2",
                params![session, token],
            )?;
            Ok(())
        });
    }
}

struct Holder {
    token: String,
    instance: String,
    who: String,
    pid: u32,
    since: Timestamp,
    heartbeat: Timestamp,
}

impl Holder {
    fn is_valid(&self, presence: Option<&Presence>, now: Timestamp) -> bool {
        let alive = presence.is_none_or(|presence| presence.is_alive(&self.instance));
        alive && now.duration_since(self.heartbeat) <= EXPIRY
    }

    fn busy(self) -> MemoryError {
        MemoryError::Busy {
            who: self.who,
            pid: self.pid,
            since: self.since,
        }
    }
}

fn holder(db: &Connection, session: &SessionId) -> Result<Option<Holder>, MemoryError> {
    let holder = db
        .query_row(
            "SELECT token, instance, who, pid, acquired_at, heartbeat_at
             FROM session_leases WHERE session_id = ?1",
            [session],
            |row| {
                Ok(Holder {
                    token: row.get(0)?,
                    instance: row.get(1)?,
                    who: row.get(2)?,
                    pid: row.get(3)?,
                    since: row.get::<_, Stamp>(4)?.0,
                    heartbeat: row.get::<_, Stamp>(5)?.0,
                })
            },
        )
        .optional()?;
    Ok(holder)
}

fn check(db: &Connection, session: &SessionId, token: &str) -> Result<(), MemoryError> {
    match holder(db, session)? {
        Some(holder) if holder.token == token => Ok(()),
        _ => Err(MemoryError::LeaseLost),
    }
}

// A database in memory has one instance.
pub(crate) fn instance(presence: Option<&Presence>) -> String {
    presence.map_or_else(String::new, |presence| presence.id().to_owned())
}

/// Renews all leases of an instance, until it is dropped.
pub(crate) struct Heartbeat {
    // Its end is what the thread waits for.
    _stop: mpsc::Sender<()>,
}

impl Heartbeat {
    pub(crate) fn start(background: Background, clock: Clock, instance: String) -> Self {
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new()
            .name("ash-memory-heartbeat".into())
            .spawn(move || {
                while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                    let (clock, instance) = (clock.clone(), instance.clone());
                    background.run(Effect::Quiet, move |db| beat(db, clock.now(), &instance));
                }
            })
            .expect("the system has room for a thread");
        Self { _stop: stop }
    }
}

fn beat(db: &Transaction<'_>, now: Timestamp, instance: &str) -> Result<(), MemoryError> {
    db.prepare_cached("UPDATE session_leases SET heartbeat_at = ?2 WHERE instance = ?1")?
        .execute(params![instance, stamp(now)])?;
    Ok(())
}
