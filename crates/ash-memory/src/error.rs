//! What can go wrong, by what a caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::ErrorCode;

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Somebody else speaks in the session.
    #[error("the session is in use by {who} (process {pid}) since {since:.0}")]
    Busy {
        /// How the holder calls itself.
        who: String,
        /// Its process.
        pid: u32,
        /// When it began.
        since: Timestamp,
    },
    /// The session was taken over while this process was suspended; nothing was written.
    #[error("the session was taken over by another process")]
    LeaseLost,
    /// Other processes have the database open, or hold it for too long.
    #[error("the database is in use by {}", processes(.pids))]
    Locked {
        /// The processes in the way, where they are known.
        pids: Vec<u32>,
    },
    /// A newer Ash has written the database.
    #[error(
        "the database has schema version {found}, and this program knows versions up to {known}"
    )]
    NewerSchema {
        /// What the database has.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// The file is damaged, or is not a database of Ash.
    #[error("{0}")]
    Corrupt(String),
    /// The disk is full, or refuses to take more; nothing of the write was kept.
    #[error("the disk has no room for the database")]
    Full,
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which name.
        id: String,
    },
    /// What was given cannot be kept.
    #[error("{0}")]
    Invalid(String),
    /// A line of an import is wrong; nothing of the import was kept.
    #[error("line {line}: {reason}")]
    Import {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or a directory could not be used.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was exported could not be written.
    #[error("writing the export: {0}")]
    Write(io::Error),
    /// The thread that owns the database is gone.
    #[error("the database is closed")]
    Closed,
    /// A migration does not fit the database.
    #[error("migration of the database: {0}")]
    Migration(String),
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
}

impl MemoryError {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }

    pub(crate) fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound {
            what,
            id: id.into(),
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Names the file in what SQLite says of a damaged one.
    pub(crate) fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Corrupt(reason) => Self::Corrupt(format!("{}: {reason}", path.display())),
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                Self::io(path, io::Error::other(error))
            }
            other => other,
        }
    }
}

impl From<rusqlite::Error> for MemoryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Locked { pids: Vec::new() }
            }
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure) if is_refused_write(&error) => Self::Full,
            Some(ErrorCode::NotADatabase) => not_ours(),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(format!(
                "the database is damaged ({error}); restore a backup"
            )),
            Some(ErrorCode::ConstraintViolation) => Self::Invalid(constraint(&error)),
            _ => Self::Sqlite(error),
        }
    }
}

pub(crate) fn not_ours() -> MemoryError {
    MemoryError::Corrupt("the file is not a database of Ash".into())
}

fn constraint(error: &rusqlite::Error) -> String {
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE,
    };
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(SQLITE_CONSTRAINT_FOREIGNKEY) => "it belongs to something that is not kept".into(),
        Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) => {
            format!("it is kept already ({error})")
        }
        _ => format!("it cannot be kept ({error})"),
    }
}

impl From<serde_json::Error> for MemoryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(format!("not JSON that can be kept: {error}"))
    }
}

/// A limit on the size of files is met as a failed write, not as a full disk.
fn is_refused_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE};
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE | SQLITE_IOERR_SHMSIZE
        )
    })
}

fn processes(pids: &[u32]) -> String {
    match pids {
        [] => "another process".into(),
        [pid] => format!("process {pid}"),
        [first, rest @ ..] => rest.iter().fold(format!("processes {first}"), |text, pid| {
            format!("{text}, {pid}")
        }),
    }
}
