//! Copies: whole, compact, and verified before they count.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;

use super::Admin;
use crate::clock::stamp;
use crate::engine::{
    Access, Presence, connect, create_private_dir, create_private_file, schema_version,
};
use crate::{Clock, MemoryError};

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// Older copies that were removed for it.
    pub removed: Vec<PathBuf>,
}

impl Admin {
    /// Copies the database, also while others use it, and keeps the newest `keep` of such copies.
    /// Copies made before a migration, a rollback or a restore are not counted and stay.
    pub fn backup(&self, keep: usize) -> Result<Backup, MemoryError> {
        let database = self.existing()?;
        let _present = Presence::shared(&database)?;
        let connection = connect(&database, Access::Read)?;
        let path = copy(&connection, &database, &self.backups, &self.clock, None)?;
        let bytes = fs::metadata(&path)
            .map_err(|error| MemoryError::io(&path, error))?
            .len();
        let removed = prune(&database, &self.backups, keep.max(1))?;
        Ok(Backup {
            path,
            bytes,
            removed,
        })
    }

    /// Returns the copies that there are, oldest first, whatever they were made for.
    pub fn backups(&self) -> Result<Vec<PathBuf>, MemoryError> {
        copies(&self.database, &self.backups)
    }
}

/// Writes a copy under a name that says when and, if not by a person's wish, why.
pub(super) fn copy(
    connection: &Connection,
    database: &Path,
    directory: &Path,
    clock: &Clock,
    label: Option<&str>,
) -> Result<PathBuf, MemoryError> {
    let path = free_name(database, directory, clock, label);
    let draft = path.with_extension("tmp");
    create_private_dir(directory)?;
    let done = write(connection, &draft).and_then(|()| put(&draft, &path));
    if done.is_err() {
        // Half a copy is worth nothing; what went wrong is already known.
        let _ = fs::remove_file(&draft);
    }
    done.map(|()| path)
}

/// Writes a copy to a new file and verifies it. It is on the disk when this returns.
pub(super) fn write(connection: &Connection, draft: &Path) -> Result<(), MemoryError> {
    let name = draft.to_str().ok_or_else(|| {
        MemoryError::invalid(format!("{} is not a name in UTF-8", draft.display()))
    })?;
    let _ = fs::remove_file(draft);
    // SQLite fills an empty file, and so leaves its permissions alone.
    create_private_file(draft)?;
    connection.execute("VACUUM INTO ?1", [name])?;
    verify(draft)?;
    sync(draft)
}

/// Gives a file its name for good.
pub(super) fn put(draft: &Path, path: &Path) -> Result<(), MemoryError> {
    fs::rename(draft, path).map_err(|error| MemoryError::io(path, error))?;
    path.parent().map_or(Ok(()), sync)
}

fn verify(path: &Path) -> Result<(), MemoryError> {
    let connection = connect(path, Access::Read)?;
    schema_version(&connection)?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(MemoryError::Corrupt(format!(
            "a copy of the database is damaged: {verdict}"
        )));
    }
    Ok(())
}

fn sync(path: &Path) -> Result<(), MemoryError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| MemoryError::io(path, error))
}

pub(super) fn free_name(
    database: &Path,
    directory: &Path,
    clock: &Clock,
    label: Option<&str>,
) -> PathBuf {
    let time = stamp(clock.now()).replace(['-', ':', '.'], "");
    let label = label.map_or_else(String::new, |label| format!("-{label}"));
    let stem = stem(database);
    (1..=u32::MAX)
        .map(|number| match number {
            1 => format!("{stem}-{time}{label}.db"),
            _ => format!("{stem}-{time}.{number}{label}.db"),
        })
        .map(|name| directory.join(name))
        .find(|path| !path.exists())
        .expect("no directory holds so many files")
}

fn stem(database: &Path) -> String {
    let stem = database.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Returns the copies of a database, oldest first: their names begin with the time.
pub(super) fn copies(database: &Path, directory: &Path) -> Result<Vec<PathBuf>, MemoryError> {
    let start = format!("{}-", stem(database));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MemoryError::io(directory, error)),
    };
    let mut copies: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rest = name.strip_prefix(&start).unwrap_or_default();
            rest.starts_with(|first: char| first.is_ascii_digit())
                && path.extension().is_some_and(|extension| extension == "db")
        })
        .collect();
    copies.sort();
    Ok(copies)
}

/// Tells what a copy was made for, if not by a person's wish.
pub(super) fn label(database: &Path, copy: &Path) -> Option<String> {
    let name = copy.file_stem()?.to_string_lossy().into_owned();
    let rest = name.strip_prefix(&format!("{}-", stem(database)))?;
    rest.split_once('-').map(|(_, label)| label.to_owned())
}

fn prune(database: &Path, directory: &Path, keep: usize) -> Result<Vec<PathBuf>, MemoryError> {
    let plain: Vec<PathBuf> = copies(database, directory)?
        .into_iter()
        .filter(|path| label(database, path).is_none())
        .collect();
    let surplus = plain.len().saturating_sub(keep);
    let removed = plain[..surplus].to_vec();
    for path in &removed {
        fs::remove_file(path).map_err(|error| MemoryError::io(path, error))?;
    }
    Ok(removed)
}
