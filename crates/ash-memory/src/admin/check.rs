//! What is there, and whether it is sound.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use super::Admin;
use crate::MemoryError;
use crate::clock::Stamp;
use crate::engine::{
    Access, Presence, STEPS, beside, check_known, connect, known_version, schema_version,
};

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it is.
    pub path: PathBuf,
    /// Its schema version, 0 if it does not exist or is empty.
    pub version: u32,
    /// The newest version that this program knows.
    pub known: u32,
    /// The steps that made it.
    pub applied: Vec<Applied>,
    /// The names of the steps that are missing.
    pub pending: Vec<String>,
    /// How large it is, with what is not yet merged.
    pub bytes: u64,
    /// How many rows its main tables have.
    pub counts: Vec<TableCount>,
    /// What a quick look found to be wrong.
    pub problems: Vec<String>,
}

/// A step that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Its version.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When.
    pub applied_on: Timestamp,
}

/// How many rows a table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableCount {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// What a thorough look found to be wrong; nothing, if the database is sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Damage to the file. A backup repairs it.
    pub file: Vec<String>,
    /// Rows that refer to rows that are not there.
    pub references: Vec<String>,
    /// Damage to the full-text index, which can be rebuilt.
    pub search: Vec<String>,
}

impl Check {
    /// Tells whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.file.is_empty() && self.references.is_empty() && self.search.is_empty()
    }
}

const COUNTED: &[&str] = &[
    "sessions",
    "messages",
    "tool_executions",
    "memories",
    "user_profiles",
    "inbox",
    "outbox",
    "usage",
];

impl Admin {
    /// Tells what the database holds. A newer schema is shown, not refused.
    pub fn status(&self) -> Result<Status, MemoryError> {
        if !self.database.exists() {
            return Ok(Status {
                path: self.database.clone(),
                version: 0,
                known: known_version(),
                applied: Vec::new(),
                pending: pending(0),
                bytes: 0,
                counts: Vec::new(),
                problems: Vec::new(),
            });
        }
        let path = self.existing()?;
        let _present = Presence::shared(&path)?;
        status(&path).map_err(|error| error.of_file(&path))
    }

    /// Looks at every page, every reference and the full-text index.
    pub fn check(&self) -> Result<Check, MemoryError> {
        let path = self.existing()?;
        let _present = Presence::shared(&path)?;
        check(&path).map_err(|error| error.of_file(&path))
    }
}

fn status(path: &Path) -> Result<Status, MemoryError> {
    let connection = connect(path, Access::Read)?;
    let version = schema_version(&connection)?;
    let counts = COUNTED
        .iter()
        .filter_map(|table| match connection.table_exists(None, *table) {
            Ok(true) => Some(count(&connection, table)),
            Ok(false) => None,
            Err(error) => Some(Err(error.into())),
        })
        .collect::<Result<_, MemoryError>>()?;
    Ok(Status {
        path: path.to_owned(),
        version,
        known: known_version(),
        applied: if version == 0 {
            Vec::new()
        } else {
            applied(&connection)?
        },
        pending: pending(version),
        bytes: size(path) + size(&beside(path, "-wal")),
        counts,
        problems: problems(&connection, "PRAGMA quick_check(10)")?,
    })
}

fn check(path: &Path) -> Result<Check, MemoryError> {
    let connection = connect(path, Access::Write)?;
    let version = schema_version(&connection)?;
    check_known(version)?;
    Ok(Check {
        file: problems(&connection, "PRAGMA integrity_check(100)")?,
        references: references(&connection)?,
        search: search(&connection)?,
    })
}

fn pending(version: u32) -> Vec<String> {
    STEPS
        .iter()
        .filter(|step| step.version > version)
        .map(|step| step.name.to_owned())
        .collect()
}

fn applied(connection: &Connection) -> Result<Vec<Applied>, MemoryError> {
    let mut statement = connection.prepare(
        "SELECT version, name, applied_on FROM refinery_schema_history ORDER BY version",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Applied {
            version: row.get(0)?,
            name: row.get(1)?,
            applied_on: row.get::<_, Stamp>(2)?.0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn count(connection: &Connection, table: &'static str) -> Result<TableCount, MemoryError> {
    let rows = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get(0)
    })?;
    Ok(TableCount { table, rows })
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

fn problems(connection: &Connection, pragma: &str) -> Result<Vec<String>, MemoryError> {
    let mut statement = connection.prepare(pragma)?;
    let rows: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter(|row| row != "ok").collect())
}

fn references(connection: &Connection) -> Result<Vec<String>, MemoryError> {
    let mut statement = connection.prepare(
        "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2",
    )?;
    let rows = statement.query_map([], |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(1)?);
        let rows: u64 = row.get(2)?;
        Ok(format!(
            "{rows} rows of {table} refer to {parent} that are not there"
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn search(connection: &Connection) -> Result<Vec<String>, MemoryError> {
    if !connection.table_exists(None, "messages_fts")? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let verdict = connection.execute(
        "INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')",
        [],
    );
    match verdict.map_err(MemoryError::from) {
        Ok(_) => {}
        Err(MemoryError::Corrupt(_)) => found.push("the index does not agree with itself".into()),
        Err(error) => return Err(error),
    }
    let missing: u64 = connection.query_row(
        "SELECT count(*) FROM messages
         WHERE role <> 'tool' AND content <> ''
             AND seq NOT IN (SELECT id FROM messages_fts_docsize)",
        [],
        |row| row.get(0),
    )?;
    if missing > 0 {
        found.push(format!("{missing} messages are not in the index"));
    }
    Ok(found)
}
