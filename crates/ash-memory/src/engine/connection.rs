//! How a connection is opened.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use rusqlite::auto_extension::{RawAutoExtension, register_auto_extension};
use rusqlite::{Connection, OpenFlags};

use super::schema::schema_version;
use crate::MemoryError;
use crate::error::not_ours;

/// How long SQLite waits for another process to finish a transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The smallest page of SQLite.
const SHORTEST: u64 = 512;

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

/// Opens a connection to a file that exists.
pub(crate) fn connect(path: &Path, access: Access) -> Result<Connection, MemoryError> {
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    register_vectors();
    // SQLite would take what is shorter than any database for a new one. Its length is asked for
    // without opening it: closing a file takes along the locks that SQLite has on it.
    let length = fs::metadata(path)
        .map_err(|error| MemoryError::io(path, error))?
        .len();
    if (1..SHORTEST).contains(&length) {
        return Err(not_ours());
    }
    // Each connection stays on one thread at a time, so SQLite needs no locks of its own.
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before anything is changed in a database that is not one of Ash.
    schema_version(&connection)?;
    prepare(&connection, access)?;
    Ok(connection)
}

/// Opens a database that lives as long as its connection.
pub(crate) fn connect_in_memory() -> Result<Connection, MemoryError> {
    register_vectors();
    let connection = Connection::open_in_memory()?;
    prepare(&connection, Access::Write)?;
    Ok(connection)
}

/// Creates a file, and the directories above it, that only their owner may read; what exists stays.
pub(crate) fn create_private_file(path: &Path) -> Result<(), MemoryError> {
    if let Some(directory) = path.parent() {
        create_private_dir(directory)?;
    }
    let created = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            Err(MemoryError::io(path, io::ErrorKind::IsADirectory.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(MemoryError::io(path, error)),
    }
}

/// Creates a directory, and those above it, that only its owner may enter.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), MemoryError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| MemoryError::io(path, error))
}

fn prepare(connection: &Connection, access: Access) -> Result<(), MemoryError> {
    connection.set_prepared_statement_cache_capacity(64);
    // FULL: a record of something sent that is lost in a power cut is something sent twice. The log is
    // merged at 1 MiB, since the next to open after a crash reads all of it.
    let pragmas = match access {
        Access::Write => {
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 250;
             PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;"
        }
        Access::Read => "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
    };
    connection.execute_batch(pragmas)?;
    Ok(())
}

// SQLite keeps a list, for the whole process, of what to add to each new connection.
fn register_vectors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[expect(unsafe_code, reason = "sqlite-vec is a C library without a safe entry")]
        // SAFETY: sqlite-vec declares its entry without arguments, but defines it as an extension's
        // entry point, which is what the type says. It neither opens nor closes connections.
        let registered = unsafe {
            let entry = std::mem::transmute::<*const (), RawAutoExtension>(
                sqlite_vec::sqlite3_vec_init as *const (),
            );
            register_auto_extension(entry)
        };
        if let Err(error) = registered {
            tracing::error!(%error, "vectors are not available");
        }
    });
}
