//! Opening the database.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction};

use crate::admin::migrate_alone;
use crate::engine::{
    Access, Background, Effect, Engine, PAUSE, Presence, apply_pending, check_known, connect,
    connect_in_memory, create_private_file, known_version, schema_version,
};
use crate::store::{Heartbeat, instance};
use crate::{Clock, MemoryError};

/// How long to wait for others to leave before a migration.
const PATIENCE: Duration = Duration::from_secs(1);

/// All that Ash keeps. Clones share one database.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    // First, so that all is written before others are told that this one has left.
    engine: Engine,
    clock: Clock,
    heartbeat: OnceLock<Heartbeat>,
    presence: Option<Presence>,
}

/// How a database is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Where the time comes from.
    pub clock: Clock,
    /// Where the copy made before a migration goes; `backups` beside the database if not set.
    pub backups: Option<PathBuf>,
}

impl Memory {
    /// Opens a database, and makes or migrates it if need be.
    ///
    /// This blocks for a few milliseconds, longer where a migration copies the database first.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, MemoryError> {
        let path = path.as_ref();
        create_private_file(path)?;
        // Locks stand beside the file itself, whichever link it was reached by.
        let path = fs::canonicalize(path).map_err(|error| MemoryError::io(path, error))?;
        let (connection, presence) =
            open_current(&path, &options).map_err(|error| error.of_file(&path))?;
        Ok(Self::start(
            connection,
            options.clock,
            Some((path, presence)),
        ))
    }

    /// Makes a database that is gone with its last clone.
    pub fn open_in_memory(options: OpenOptions) -> Result<Self, MemoryError> {
        let mut connection = connect_in_memory()?;
        apply_pending(&mut connection)?;
        Ok(Self::start(connection, options.clock, None))
    }

    fn start(connection: Connection, clock: Clock, file: Option<(PathBuf, Presence)>) -> Self {
        let (path, presence) = file.unzip();
        Self {
            inner: Arc::new(Inner {
                engine: Engine::start(connection, path),
                clock,
                heartbeat: OnceLock::new(),
                presence,
            }),
        }
    }

    /// Returns a number that grows with every write of any process: what was read before may be old.
    pub async fn changes(&self) -> Result<u64, MemoryError> {
        self.read(|connection| {
            let value = connection
                .prepare_cached("SELECT value FROM change_counter WHERE id = 1")?
                .query_row([], |row| row.get(0))?;
            Ok(value)
        })
        .await
    }

    /// Runs `work` in one transaction, with the time of its start.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let clock = self.inner.clock.clone();
        self.inner
            .engine
            .write(Effect::Change, move |transaction| {
                work(transaction, clock.now())
            })
            .await
    }

    /// Runs `work` in one transaction that changes nothing that anyone caches.
    pub(crate) async fn write_quietly<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let clock = self.inner.clock.clone();
        self.inner
            .engine
            .write(Effect::Quiet, move |transaction| {
                work(transaction, clock.now())
            })
            .await
    }

    /// Returns a way to write without waiting.
    pub(crate) fn background(&self) -> Background {
        self.inner.engine.background()
    }

    /// Returns how others see this instance; nobody sees a database in memory.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.inner.presence.as_ref()
    }

    /// Renews leases from now on.
    pub(crate) fn keep_heartbeat(&self) {
        self.inner.heartbeat.get_or_init(|| {
            let (clock, instance) = (self.inner.clock.clone(), instance(self.presence()));
            Heartbeat::start(self.background(), clock, instance)
        });
    }

    /// Runs `work`, which only reads and is short.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        self.inner.engine.read(work).await
    }

    /// Runs `work`, which only reads and takes its time.
    pub(crate) async fn read_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        self.inner.engine.read_beside(work).await
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

// A database that is behind is migrated alone, and then opened anew: between being alone and being with
// others somebody else may have replaced it.
fn open_current(path: &Path, options: &OpenOptions) -> Result<(Connection, Presence), MemoryError> {
    let began = Instant::now();
    loop {
        let presence = Presence::shared(path)?;
        let connection = connect(path, Access::Write)?;
        let version = schema_version(&connection)?;
        check_known(version)?;
        if version == known_version() {
            // Merging the log would be most of what a short-lived program waits for at its end. It is
            // bounded, on the disk, and merged by whoever writes enough.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            return Ok((connection, presence));
        }
        drop(connection);
        drop(presence);
        let backups = match &options.backups {
            Some(directory) => directory.clone(),
            None => path.with_file_name("backups"),
        };
        match migrate_alone(path, &backups, &options.clock) {
            // Others may be about to do the same, as when two open a new database at once.
            Err(MemoryError::Locked { .. }) if began.elapsed() < PATIENCE => thread::sleep(PAUSE),
            done => done.map(drop)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChatKind, NewMessage, NewSession, Record, Role, SessionId};

    async fn open() -> (Memory, SessionId) {
        let memory = Memory::open_in_memory(OpenOptions::default()).unwrap();
        let new = NewSession {
            provider: "terminal".into(),
            chat_id: "main".into(),
            user_id: "owner".into(),
            kind: ChatKind::Private,
        };
        let session = memory.open_session(new).await.unwrap().id;
        (memory, session)
    }

    fn said(session: &SessionId, text: &str) -> Record {
        Record::Message(NewMessage::new(session.clone(), Role::User, text))
    }

    #[tokio::test]
    async fn work_that_panics_is_taken_back_and_the_next_is_done() {
        let (memory, session) = open().await;
        let lost = memory
            .write(|db, _| -> Result<(), MemoryError> {
                db.execute("DELETE FROM sessions", [])?;
                panic!("as tests do");
            })
            .await;
        assert!(matches!(lost, Err(MemoryError::Closed)));
        memory.record(vec![said(&session, "hello")]).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_nothing_is_half_kept() {
        let (memory, session) = open().await;
        memory
            .write(|db, _| {
                let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                let limit = format!("PRAGMA max_page_count = {}", pages + 4);
                db.query_row(&limit, [], |row| row.get::<_, i64>(0))?;
                Ok(())
            })
            .await
            .unwrap();
        let records = vec![
            said(&session, "small"),
            said(&session, &"large ".repeat(9000)),
        ];
        let error = memory.record(records).await.unwrap_err();
        assert!(matches!(error, MemoryError::Full), "{error}");
        assert!(memory.history(&session, None).await.unwrap().is_empty());
        memory.record(vec![said(&session, "small")]).await.unwrap();
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_the_answer_and_not_the_work() {
        let (memory, session) = open().await;
        tokio::select! {
            biased;
            _ = memory.record(vec![said(&session, "hello")]) => {}
            () = std::future::ready(()) => {}
        }
        assert_eq!(memory.history(&session, None).await.unwrap().len(), 1);
    }
}
