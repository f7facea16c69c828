//! Who has the database open, told by files that the kernel unlocks when their process dies.
//!
//! `DB.lock` is locked by everyone who has the database open: shared to use it, exclusively to change
//! its schema or to replace it. `DB.instances/ID.lock` is locked by the one instance that made it and
//! holds its process id: a lease on a session is as good as the lock on its holder's file.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::connection::create_private_dir;
use crate::MemoryError;

/// How long to wait for somebody who needs everyone else out.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before looking again.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Being there: others see it until it is dropped or its process ends.
pub(crate) struct Presence {
    id: String,
    database: PathBuf,
    // Held for their locks.
    _gate: File,
    _instance: File,
}

impl Presence {
    /// Enters beside others; waits a little for one who is alone.
    pub(crate) fn shared(database: &Path) -> Result<Self, MemoryError> {
        let began = Instant::now();
        loop {
            match Self::enter(database, File::try_lock_shared) {
                Err(MemoryError::Locked { .. }) if began.elapsed() < PATIENCE => {
                    thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    /// Enters alone, or says who is there.
    pub(crate) fn exclusive(database: &Path) -> Result<Self, MemoryError> {
        Self::enter(database, File::try_lock)
    }

    fn enter(
        database: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, MemoryError> {
        let gate_path = beside(database, ".lock");
        let gate = open(&gate_path)?;
        match lock(&gate) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pids = others(database, None);
                return Err(MemoryError::Locked { pids });
            }
            Err(TryLockError::Error(error)) => return Err(MemoryError::io(&gate_path, error)),
        }
        let id = Uuid::now_v7().to_string();
        let instance = announce(database, &id)?;
        Ok(Self {
            id,
            database: database.to_owned(),
            _gate: gate,
            _instance: instance,
        })
    }

    /// Returns the name of this instance.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Tells whether another instance still runs.
    pub(crate) fn is_alive(&self, id: &str) -> bool {
        id == self.id || is_locked(&instances(&self.database).join(format!("{id}.lock")))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // If this fails, the next one to look removes the file.
        let _ = fs::remove_file(instances(&self.database).join(format!("{}.lock", self.id)));
    }
}

/// Returns the path of a file that belongs to the database and has its name.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn instances(database: &Path) -> PathBuf {
    beside(database, ".instances")
}

fn open(path: &Path) -> Result<File, MemoryError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| MemoryError::io(path, error))
}

// Made under another name and locked before it is renamed: nobody can take it for a dead one between.
fn announce(database: &Path, id: &str) -> Result<File, MemoryError> {
    let directory = instances(database);
    create_private_dir(&directory)?;
    // Also removes what dead instances left.
    others(database, Some(id));
    let draft = directory.join(format!("{id}.new"));
    let mut file = open(&draft)?;
    let done = file
        .lock()
        .and_then(|()| write!(file, "{}", std::process::id()))
        .and_then(|()| fs::rename(&draft, directory.join(format!("{id}.lock"))));
    match done {
        Ok(()) => Ok(file),
        Err(error) => Err(MemoryError::io(&draft, error)),
    }
}

fn others(database: &Path, but: Option<&str>) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(instances(database)) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "lock")
        })
        .filter(|path| path.file_stem().and_then(|stem| stem.to_str()) != but)
        .filter_map(|path| {
            if is_locked(&path) {
                read_pid(&path)
            } else {
                let _ = fs::remove_file(&path);
                None
            }
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    text.parse().ok()
}
