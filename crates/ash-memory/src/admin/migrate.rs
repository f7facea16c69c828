//! From one version of the schema to another, and back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::{Admin, backup, canonical};
use crate::engine::{
    Access, Presence, STEPS, apply_pending, check_known, connect, create_private_file,
    known_version, schema_version,
};
use crate::{Clock, MemoryError, search};

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version before, 0 for a database that was empty.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The names of the steps that were applied.
    pub applied: Vec<String>,
    /// The copy made before, where there was anything to copy.
    pub backup: Option<PathBuf>,
}

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// So many steps.
    Steps(u32),
    /// To a version; 0 removes all.
    To(u32),
}

/// What a rollback would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackPlan {
    /// The version now.
    pub from: u32,
    /// The version it leads to.
    pub to: u32,
    /// The names of the steps that are undone, newest first.
    pub undone: Vec<String>,
    /// What is lost, apart from what can be rebuilt.
    pub losses: Vec<Loss>,
}

/// What a rollback drops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The table.
    pub table: String,
    /// The column, if the table stays.
    pub column: Option<String>,
    /// How many rows have it.
    pub rows: u64,
}

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// What was undone and lost.
    #[serde(flatten)]
    pub plan: RollbackPlan,
    /// The copy made before.
    pub backup: PathBuf,
}

impl Admin {
    /// Brings the schema to the newest version, after a copy. Nobody else may have the database open.
    pub fn migrate(&self) -> Result<Migrated, MemoryError> {
        create_private_file(&self.database)?;
        let path = canonical(&self.database)?;
        migrate_alone(&path, &self.backups, &self.clock).map_err(|error| error.of_file(&path))
    }

    /// Tells what [`Self::rollback`] would do, and does nothing.
    pub fn plan_rollback(&self, rollback: Rollback) -> Result<RollbackPlan, MemoryError> {
        let path = self.existing()?;
        let _alone = Presence::exclusive(&path)?;
        let mut connection = connect(&path, Access::Write)?;
        // Dropping the transaction takes all of it back.
        let (_undone, plan) = walk_down(&mut connection, rollback)?;
        Ok(plan)
    }

    /// Brings the schema to an older version, after a copy, in one transaction. Nobody else may have
    /// the database open.
    pub fn rollback(&self, rollback: Rollback) -> Result<RolledBack, MemoryError> {
        let path = self.existing()?;
        let _alone = Presence::exclusive(&path)?;
        let mut connection = connect(&path, Access::Write)?;
        let from = schema_version(&connection)?;
        check_known(from)?;
        let to = target(from, rollback)?;
        let label = format!("before-rollback-to-v{to}");
        let backup = backup::copy(&connection, &path, &self.backups, &self.clock, Some(&label))?;
        let (transaction, plan) = walk_down(&mut connection, rollback)?;
        transaction.commit()?;
        Ok(RolledBack { plan, backup })
    }
}

/// Migrates a file that exists while nobody else has it open.
pub(crate) fn migrate_alone(
    path: &Path,
    backups: &Path,
    clock: &Clock,
) -> Result<Migrated, MemoryError> {
    let _alone = Presence::exclusive(path)?;
    let mut connection = connect(path, Access::Write)?;
    // Another process may have been quicker.
    let from = schema_version(&connection)?;
    check_known(from)?;
    let to = known_version();
    let applied: Vec<String> = STEPS
        .iter()
        .filter(|step| step.version > from)
        .map(|step| step.name.to_owned())
        .collect();
    let backup = if from == 0 || applied.is_empty() {
        None
    } else {
        let label = format!("before-v{to}");
        Some(backup::copy(
            &connection,
            path,
            backups,
            clock,
            Some(&label),
        )?)
    };
    if !applied.is_empty() {
        apply_pending(&mut connection)?;
        search::index_all_if_empty(&mut connection)?;
    }
    Ok(Migrated {
        from,
        to,
        applied,
        backup,
    })
}

fn target(from: u32, rollback: Rollback) -> Result<u32, MemoryError> {
    match rollback {
        Rollback::Steps(steps) if steps <= from => Ok(from - steps),
        Rollback::Steps(steps) => Err(MemoryError::invalid(format!(
            "the database has schema version {from}, which is less than {steps} steps"
        ))),
        Rollback::To(version) if version <= from => Ok(version),
        Rollback::To(version) => Err(MemoryError::invalid(format!(
            "the database has schema version {from}; a rollback does not lead to version {version}"
        ))),
    }
}

fn walk_down(
    connection: &mut Connection,
    rollback: Rollback,
) -> Result<(Transaction<'_>, RollbackPlan), MemoryError> {
    let from = schema_version(connection)?;
    check_known(from)?;
    let to = target(from, rollback)?;
    // A table that is dropped would take along what refers to it; what must stay consistent is
    // checked below.
    connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = shape(&transaction)?;
    let mut undone = Vec::new();
    for step in STEPS.iter().rev() {
        if step.version <= to || step.version > from {
            continue;
        }
        transaction.execute_batch(step.down)?;
        transaction.execute(
            "DELETE FROM refinery_schema_history WHERE version = ?1",
            params![step.version],
        )?;
        undone.push(step.name.to_owned());
    }
    if transaction
        .prepare("PRAGMA foreign_key_check")?
        .exists([])?
    {
        return Err(MemoryError::Migration(format!(
            "the way back to version {to} leaves rows that refer to nothing"
        )));
    }
    let losses = losses(&before, &shape(&transaction)?);
    let plan = RollbackPlan {
        from,
        to,
        undone,
        losses,
    };
    Ok((transaction, plan))
}

struct Table {
    columns: Vec<String>,
    rows: u64,
}

// Virtual tables and what is behind them are derived, and no loss.
fn shape(connection: &Connection) -> Result<BTreeMap<String, Table>, MemoryError> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table'
             AND name NOT LIKE 'sqlite_%' AND name <> 'refinery_schema_history'",
    )?;
    let names: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    names
        .into_iter()
        .map(|name| {
            let columns = connection
                .prepare("SELECT name FROM pragma_table_info(?1)")?
                .query_map([&name], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let rows =
                connection.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| {
                    row.get(0)
                })?;
            Ok((name, Table { columns, rows }))
        })
        .collect()
}

fn losses(before: &BTreeMap<String, Table>, after: &BTreeMap<String, Table>) -> Vec<Loss> {
    before
        .iter()
        .flat_map(|(name, table)| {
            let loss = |column: Option<&String>| Loss {
                table: name.clone(),
                column: column.cloned(),
                rows: table.rows,
            };
            match after.get(name) {
                None => vec![loss(None)],
                Some(left) => table
                    .columns
                    .iter()
                    .filter(|column| !left.columns.contains(column))
                    .map(|column| loss(Some(column)))
                    .collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{apply_up_to, connect_in_memory};

    fn schema(connection: &Connection) -> Vec<(String, Option<String>)> {
        connection
            .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn every_migration_goes_up_and_down_and_up_again() {
        for step in STEPS {
            let mut connection = connect_in_memory().unwrap();
            // Refinery makes its history with the first step.
            apply_up_to(&mut connection, 1).unwrap();
            if step.version == 1 {
                walk_down(&mut connection, Rollback::To(0))
                    .unwrap()
                    .0
                    .commit()
                    .unwrap();
            } else {
                apply_up_to(&mut connection, step.version - 1).unwrap();
            }
            let below = schema(&connection);
            apply_up_to(&mut connection, step.version).unwrap();
            let above = schema(&connection);
            assert_ne!(below, above, "{}", step.name);

            let (transaction, plan) = walk_down(&mut connection, Rollback::Steps(1)).unwrap();
            transaction.commit().unwrap();
            assert_eq!(plan.undone, [step.name]);
            assert_eq!(schema(&connection), below, "down from {}", step.name);
            apply_up_to(&mut connection, step.version).unwrap();
            assert_eq!(schema(&connection), above, "up again to {}", step.name);
        }
    }
}
