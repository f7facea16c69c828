//! The versions of the schema, and what is between them.

use std::sync::OnceLock;

use refinery::{Migration, Runner, Target};
use rusqlite::{Connection, OptionalExtension};

use crate::MemoryError;

/// A step of the schema, and the way back.
pub(crate) struct Step {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
}

macro_rules! steps {
    ($($version:literal $name:literal)*) => {
        &[$(Step {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../migrations/V", $version, "__", $name, ".sql")),
            down: include_str!(concat!("../../migrations/down/V", $version, "__", $name, ".sql")),
        }),*]
    };
}

/// All steps, oldest first. A file in `migrations/` that is not named here fails a test.
pub(crate) const STEPS: &[Step] = steps! {
    1 "conversations"
    2 "guarantees"
    3 "message_search"
};

/// Returns the newest version that this program knows.
pub(crate) fn known_version() -> u32 {
    STEPS.last().map_or(0, |step| step.version)
}

/// Returns the version of a database, 0 for one without any table.
pub(crate) fn schema_version(connection: &Connection) -> Result<u32, MemoryError> {
    let has_history: Option<bool> = connection
        .query_row(
            "SELECT max(name = 'refinery_schema_history') FROM sqlite_schema WHERE type = 'table'",
            [],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    match has_history {
        None => Ok(0),
        Some(false) => Err(MemoryError::Corrupt(
            "the file is a database, but not one of Ash".into(),
        )),
        Some(true) => Ok(connection.query_row(
            "SELECT coalesce(max(version), 0) FROM refinery_schema_history",
            [],
            |row| row.get(0),
        )?),
    }
}

/// Refuses what a newer program has written.
pub(crate) fn check_known(found: u32) -> Result<(), MemoryError> {
    let known = known_version();
    if found > known {
        return Err(MemoryError::NewerSchema { found, known });
    }
    Ok(())
}

/// Applies all steps that are missing, in one transaction.
pub(crate) fn apply_pending(connection: &mut Connection) -> Result<(), MemoryError> {
    apply_up_to(connection, known_version())
}

/// Applies the steps that lead to a version.
pub(crate) fn apply_up_to(connection: &mut Connection, version: u32) -> Result<(), MemoryError> {
    let version = i32::try_from(version).expect("there are few steps");
    // A table that is made anew would take along what refers to it.
    connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    Runner::new(migrations())
        .set_grouped(true)
        .set_target(Target::Version(version))
        .run(connection)
        .map_err(|error| MemoryError::Migration(error.to_string()))?;
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(())
}

fn migrations() -> &'static [Migration] {
    static PARSED: OnceLock<Vec<Migration>> = OnceLock::new();
    PARSED.get_or_init(|| {
        STEPS
            .iter()
            .map(|step| {
                Migration::unapplied(&format!("V{}__{}", step.version, step.name), step.up)
                    .expect("the names of the steps are written in this file")
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::STEPS;

    fn files(directory: &str) -> BTreeSet<String> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        fs::read_dir(format!("{root}/{directory}"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "down")
            .collect()
    }

    #[test]
    fn every_migration_is_listed_and_has_a_way_down() {
        let listed: BTreeSet<String> = STEPS
            .iter()
            .map(|step| format!("V{}__{}.sql", step.version, step.name))
            .collect();
        assert_eq!(files(""), listed);
        assert_eq!(files("down"), listed);
        let versions: Vec<u32> = STEPS.iter().map(|step| step.version).collect();
        let expected: Vec<u32> = (1..).take(STEPS.len()).collect();
        assert_eq!(versions, expected);
    }
}
