//! Putting a copy in the place of the database.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Admin, backup, canonical};
use crate::engine::{
    Access, Presence, beside, check_known, connect, create_private_dir, create_private_file,
    schema_version,
};
use crate::{Clock, MemoryError};

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The copy that is the database now.
    pub from: PathBuf,
    /// Its schema version.
    pub version: u32,
    /// What the database was before.
    pub replaced: Option<PathBuf>,
}

impl Admin {
    /// Puts a copy, or the newest one, in the place of the database, of which a copy is kept. Nobody
    /// else may have the database open.
    pub fn restore(&self, from: Option<&Path>) -> Result<Restored, MemoryError> {
        let existed = self.database.exists();
        create_private_file(&self.database)?;
        let database = canonical(&self.database)?;
        let done = self.replace(&database, from);
        if !existed && done.is_err() {
            // An empty file would pass for a new database.
            let _ = fs::remove_file(&database);
        }
        done
    }

    fn replace(&self, database: &Path, from: Option<&Path>) -> Result<Restored, MemoryError> {
        let _alone = Presence::exclusive(database)?;
        let from = match from {
            Some(path) => canonical(path)?,
            None => self.newest(database)?,
        };
        if from == database {
            return Err(MemoryError::invalid(format!(
                "{} is the database itself",
                from.display()
            )));
        }
        let draft = beside(database, ".restoring");
        let version = take(&from, &draft).map_err(|error| error.of_file(&from))?;
        let replaced = keep_old(database, &self.backups, &self.clock)?;
        // What the old file's log holds is not for the new one.
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(database, suffix));
        }
        backup::put(&draft, database)?;
        Ok(Restored {
            from,
            version,
            replaced,
        })
    }

    fn newest(&self, database: &Path) -> Result<PathBuf, MemoryError> {
        backup::copies(database, &self.backups)?
            .into_iter()
            .rfind(|path| backup::label(database, path).as_deref() != Some("replaced"))
            .ok_or_else(|| MemoryError::not_found("backup in", self.backups.display().to_string()))
    }
}

// A copy of the copy, which is verified, and which may be renamed.
fn take(from: &Path, draft: &Path) -> Result<u32, MemoryError> {
    let connection = connect(from, Access::Read)?;
    let version = schema_version(&connection)?;
    if version == 0 {
        return Err(MemoryError::Corrupt("the database is empty".into()));
    }
    check_known(version)?;
    backup::write(&connection, draft)?;
    Ok(version)
}

fn keep_old(
    database: &Path,
    backups: &Path,
    clock: &Clock,
) -> Result<Option<PathBuf>, MemoryError> {
    let length = fs::metadata(database)
        .map_err(|error| MemoryError::io(database, error))?
        .len();
    if length == 0 {
        return Ok(None);
    }
    let whole = connect(database, Access::Write).and_then(|connection| {
        backup::copy(&connection, database, backups, clock, Some("replaced"))
    });
    match whole {
        Ok(path) => Ok(Some(path)),
        // What is damaged is kept as it is: there may be something to rescue.
        Err(MemoryError::Corrupt(_) | MemoryError::Sqlite(_)) => {
            keep_damaged(database, backups, clock).map(Some)
        }
        Err(error) => Err(error),
    }
}

fn keep_damaged(database: &Path, backups: &Path, clock: &Clock) -> Result<PathBuf, MemoryError> {
    create_private_dir(backups)?;
    let path = backup::free_name(database, backups, clock, Some("replaced"));
    fs::copy(database, &path).map_err(|error| MemoryError::io(&path, error))?;
    let log = beside(database, "-wal");
    if log.exists() {
        let copy = beside(&path, "-wal");
        fs::copy(&log, &copy).map_err(|error| MemoryError::io(&copy, error))?;
    }
    Ok(path)
}
