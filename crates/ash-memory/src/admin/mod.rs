//! Looking after the file: migrations and their way back, copies, checks.
//!
//! These block, and are for a person at the machine rather than for a running turn.

mod migrate;

mod backup;
mod check;
mod restore;

use std::fs;
use std::path::{Path, PathBuf};

pub use backup::Backup;
pub use check::{Applied, Check, Status, TableCount};
pub use migrate::{Loss, Migrated, Rollback, RollbackPlan, RolledBack};
pub use restore::Restored;

pub(crate) use migrate::migrate_alone;

use crate::{Clock, MemoryError};

/// A database file that is looked after.
///
/// ```
/// use ash_memory::admin::{Admin, Rollback};
/// use ash_memory::{Memory, OpenOptions};
///
/// # fn example(home: &std::path::Path) -> Result<(), ash_memory::MemoryError> {
/// let path = home.join("memory.db");
/// drop(Memory::open(&path, OpenOptions::default())?);
///
/// let admin = Admin::new(&path, home.join("backups"));
/// assert!(admin.check()?.is_sound());
/// let copy = admin.backup(7)?;
/// admin.rollback(Rollback::Steps(1))?;
/// admin.restore(Some(&copy.path))?;
/// assert!(admin.status()?.pending.is_empty());
/// # Ok(())
/// # }
/// # example(tempfile::tempdir().unwrap().path()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    database: PathBuf,
    backups: PathBuf,
    clock: Clock,
}

impl Admin {
    /// Names a database, which need not exist, and where its copies are kept.
    pub fn new(database: impl Into<PathBuf>, backups: impl Into<PathBuf>) -> Self {
        Self {
            database: database.into(),
            backups: backups.into(),
            clock: Clock::system(),
        }
    }

    /// Tells the time by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    // Locks stand beside the file itself, whichever link it was reached by.
    fn existing(&self) -> Result<PathBuf, MemoryError> {
        if !self.database.exists() {
            return Err(MemoryError::not_found(
                "database",
                self.database.display().to_string(),
            ));
        }
        canonical(&self.database)
    }
}

fn canonical(path: &Path) -> Result<PathBuf, MemoryError> {
    fs::canonicalize(path).map_err(|error| MemoryError::io(path, error))
}
