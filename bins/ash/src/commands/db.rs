//! `ash db`: look after the database.

use std::io::Write as _;
use std::path::Path;

use ash_memory::admin::{Admin, Loss, Rollback};
use serde_json::json;

use super::{Context, print_json};
use crate::cli::{DbCommand, Json};
use crate::config::Config;
use crate::home::Home;
use crate::report::{Exit, Problem};
use crate::terminal;

/// How many backups that a person made are kept.
const KEPT: usize = 7;

/// Runs `ash db`.
pub(crate) fn run(context: &Context, command: DbCommand) -> anyhow::Result<Exit> {
    let config = Config::load(&context.home, &context.environment)?;
    let path = &config.settings.memory.database_path;
    let admin = Admin::new(path, context.home.backups());
    match command {
        DbCommand::Migrate(json) => migrate(&context.home, &admin, json),
        DbCommand::Rollback { steps, yes, json } => {
            rollback(&context.home, &admin, steps, yes.yes, json)
        }
        DbCommand::Status(json) => status(&context.home, &admin, json),
        DbCommand::Backup(json) => backup(&context.home, &admin, json),
        DbCommand::Restore { file, yes, json } => {
            restore(&context.home, &admin, file.as_deref(), yes.yes, json)
        }
        DbCommand::Check(json) => check(&admin, json),
    }
}

fn migrate(home: &Home, admin: &Admin, json: Json) -> anyhow::Result<Exit> {
    home.create()?;
    let done = admin.migrate()?;
    if json.json {
        print_json(&json!(done))?;
        return Ok(Exit::Done);
    }
    let mut out = terminal::stdout();
    if done.applied.is_empty() {
        writeln!(out, "up to date, at schema version {}", done.to)?;
        return Ok(Exit::Done);
    }
    if let Some(backup) = &done.backup {
        writeln!(out, "kept a copy: {}", home.shown(backup))?;
    }
    for name in &done.applied {
        writeln!(out, "applied {name}")?;
    }
    writeln!(out, "now at schema version {}", done.to)?;
    Ok(Exit::Done)
}

fn rollback(home: &Home, admin: &Admin, steps: u32, yes: bool, json: Json) -> anyhow::Result<Exit> {
    let far = Rollback::Steps(steps);
    let plan = admin.plan_rollback(far)?;
    let mut err = terminal::stderr();
    writeln!(err, "This takes back {}.", plan.undone.join(", "))?;
    match plan.losses.as_slice() {
        [] => writeln!(err, "Nothing that was kept is lost by it.")?,
        losses => {
            let losses: Vec<_> = losses.iter().map(loss).collect();
            writeln!(err, "It drops {}.", losses.join(", "))?;
        }
    }
    drop(err);
    terminal::confirm("A backup is made first. Take it back?", yes)?;
    let done = admin.rollback(far)?;
    if json.json {
        print_json(&json!(done))?;
        return Ok(Exit::Done);
    }
    let mut out = terminal::stdout();
    writeln!(out, "kept a copy: {}", home.shown(&done.backup))?;
    writeln!(out, "now at schema version {}", done.plan.to)?;
    Ok(Exit::Done)
}

fn loss(loss: &Loss) -> String {
    let rows = match loss.rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    match &loss.column {
        Some(column) => format!("`{}.{column}` ({rows})", loss.table),
        None => format!("`{}` ({rows})", loss.table),
    }
}

fn status(home: &Home, admin: &Admin, json: Json) -> anyhow::Result<Exit> {
    let status = admin.status()?;
    let backups = admin.backups()?;
    if json.json {
        let mut object = json!(status);
        object["backups"] = json!(backups);
        print_json(&object)?;
        return Ok(Exit::Done);
    }
    let mut rows = vec![
        ["file".to_owned(), home.shown(&status.path)],
        ["size".to_owned(), size(status.bytes)],
        [
            "schema".to_owned(),
            format!("version {} of {}", status.version, status.known),
        ],
    ];
    rows.extend(
        status
            .pending
            .iter()
            .map(|name| ["to apply".to_owned(), name.clone()]),
    );
    rows.extend(
        status
            .counts
            .iter()
            .map(|count| [count.table.replace('_', " "), count.rows.to_string()]),
    );
    let newest = backups.last().map_or_else(
        || "none yet; `ash db backup` makes one".to_owned(),
        |newest| format!("{}, the newest {}", backups.len(), home.shown(newest)),
    );
    rows.push(["backups".to_owned(), newest]);
    rows.extend(
        status
            .problems
            .iter()
            .map(|problem| ["problem".to_owned(), problem.clone()]),
    );
    terminal::columns(&mut terminal::stdout(), None, &rows)?;
    if status.problems.is_empty() {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Fixable)
    }
}

fn backup(home: &Home, admin: &Admin, json: Json) -> anyhow::Result<Exit> {
    let done = admin.backup(KEPT)?;
    if json.json {
        print_json(&json!(done))?;
        return Ok(Exit::Done);
    }
    let mut out = terminal::stdout();
    writeln!(out, "{}  {}", home.shown(&done.path), size(done.bytes))?;
    for path in &done.removed {
        writeln!(
            terminal::stderr(),
            "removed the old backup {}",
            home.shown(path)
        )?;
    }
    Ok(Exit::Done)
}

fn restore(
    home: &Home,
    admin: &Admin,
    file: Option<&Path>,
    yes: bool,
    json: Json,
) -> anyhow::Result<Exit> {
    let backups = admin.backups()?;
    let from = match (file, backups.last()) {
        (Some(file), _) => file,
        (None, Some(newest)) => newest,
        (None, None) => {
            return Err(Problem::fixable("there is no backup")
                .hint("name a file: ash db restore FILE")
                .into());
        }
    };
    let question = format!(
        "Put {} in the place of the database, of which a copy is kept?",
        home.shown(from)
    );
    terminal::confirm(&question, yes)?;
    let done = admin.restore(Some(from))?;
    if json.json {
        print_json(&json!(done))?;
        return Ok(Exit::Done);
    }
    let mut out = terminal::stdout();
    if let Some(replaced) = &done.replaced {
        writeln!(out, "kept a copy: {}", home.shown(replaced))?;
    }
    writeln!(out, "restored {}", home.shown(&done.from))?;
    Ok(Exit::Done)
}

fn check(admin: &Admin, json: Json) -> anyhow::Result<Exit> {
    let check = admin.check()?;
    if json.json {
        let mut object = json!(check);
        object["sound"] = json!(check.is_sound());
        print_json(&object)?;
    } else if check.is_sound() {
        writeln!(terminal::stdout(), "the database is sound")?;
    } else {
        let mut out = terminal::stdout();
        for (what, findings) in [
            ("file", &check.file),
            ("reference", &check.references),
            ("search", &check.search),
        ] {
            for finding in findings {
                writeln!(out, "{what}: {}", terminal::harmless(finding))?;
            }
        }
        writeln!(
            terminal::stderr(),
            "`ash db restore` puts the newest backup in its place"
        )?;
    }
    if check.is_sound() {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Fixable)
    }
}

/// Writes a size for people.
fn size(bytes: u64) -> String {
    let mut left = bytes;
    for unit in ["B", "KiB", "MiB"] {
        if left < 10_240 {
            return format!("{left} {unit}");
        }
        left /= 1024;
    }
    format!("{left} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (20_480, "20 KiB"),
            (50 << 20, "50 MiB"),
            (50 << 30, "50 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
