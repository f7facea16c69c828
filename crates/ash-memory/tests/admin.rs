//! Looking after the file.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ash_memory::admin::{Admin, Rollback};
use ash_memory::{
    ChatKind, Clock, Memory, MemoryError, MessageQuery, NewMessage, NewSession, OpenOptions,
    Record, Role, Session, Viewer,
};
use rusqlite::Connection;
use tempfile::TempDir;

struct Home {
    dir: TempDir,
    path: PathBuf,
    admin: Admin,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ash/memory.db");
    let admin = Admin::new(&path, dir.path().join("backups"));
    Home { dir, path, admin }
}

impl Home {
    fn open(&self) -> Result<Memory, MemoryError> {
        let options = OpenOptions {
            backups: Some(self.dir.path().join("backups")),
            ..OpenOptions::default()
        };
        Memory::open(&self.path, options)
    }
}

async fn session(memory: &Memory) -> Session {
    let new = NewSession {
        provider: "terminal".into(),
        chat_id: "main".into(),
        user_id: "owner".into(),
        kind: ChatKind::Private,
    };
    memory.open_session(new).await.unwrap()
}

async fn say(memory: &Memory, text: &str) {
    let session = session(memory).await;
    let message = NewMessage::new(session.id, Role::User, text);
    memory.record(vec![Record::Message(message)]).await.unwrap();
}

async fn said(memory: &Memory) -> Vec<String> {
    let session = session(memory).await;
    let history = memory.history(&session.id, None).await.unwrap();
    history.into_iter().map(|message| message.content).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_made_is_for_its_owner_alone() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "hello").await;
    let copy = home.admin.backup(1).unwrap();
    for file in [&home.path, &home.path.with_extension("db-wal"), &copy.path] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    for directory in [home.path.parent().unwrap(), copy.path.parent().unwrap()] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
}

#[tokio::test]
async fn what_was_kept_is_there_when_it_is_opened_again() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "hello").await;
    let changes = memory.changes().await.unwrap();
    drop(memory);
    let memory = home.open().unwrap();
    assert_eq!(said(&memory).await, ["hello"]);
    assert_eq!(memory.changes().await.unwrap(), changes);
}

#[tokio::test]
async fn status_tells_what_is_there() {
    let home = home();
    let none = home.admin.status().unwrap();
    assert_eq!((none.version, none.bytes), (0, 0));
    assert_eq!(none.pending.len(), usize::try_from(none.known).unwrap());
    let memory = home.open().unwrap();
    say(&memory, "hello").await;
    let status = home.admin.status().unwrap();
    assert_eq!(status.version, status.known);
    assert!(status.pending.is_empty() && status.problems.is_empty());
    assert_eq!(status.applied[0].name, "conversations");
    assert!(status.bytes > 0);
    let messages = status.counts.iter().find(|count| count.table == "messages");
    assert_eq!(messages.unwrap().rows, 1);
}

#[tokio::test]
async fn a_rollback_says_what_it_drops_and_what_is_left_is_sound() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "a zebra").await;
    memory
        .accept("telegram", "1", "chat", "{}", None)
        .await
        .unwrap();
    drop(memory);

    let plan = home.admin.plan_rollback(Rollback::To(1)).unwrap();
    assert_eq!(plan.undone, ["message_search", "guarantees"]);
    let inbox = plan
        .losses
        .iter()
        .find(|loss| loss.table == "inbox")
        .unwrap();
    assert_eq!((inbox.rows, inbox.column.as_deref()), (1, None));
    assert!(plan.losses.iter().all(|loss| loss.table != "messages"));
    assert_eq!(home.admin.status().unwrap().version, 3);

    let done = home.admin.rollback(Rollback::To(1)).unwrap();
    assert_eq!(done.plan, plan);
    assert!(done.backup.ends_with(done.backup.file_name().unwrap()));
    assert_eq!(home.admin.status().unwrap().version, 1);

    // Opening migrates, after a copy, and finds again what was indexed.
    let before = home.admin.backups().unwrap().len();
    let memory = home.open().unwrap();
    assert_eq!(home.admin.backups().unwrap().len(), before + 1);
    let query = MessageQuery::new("zebra", Viewer::Operator);
    assert_eq!(memory.search_messages(query).await.unwrap().len(), 1);
    assert!(home.admin.check().unwrap().is_sound());
    drop(memory);

    let none = home.admin.rollback(Rollback::To(0)).unwrap();
    assert!(none.plan.losses.iter().any(|loss| loss.table == "messages"));
    let migrated = home.admin.migrate().unwrap();
    assert_eq!(
        (migrated.from, migrated.applied.len(), migrated.backup),
        (0, 3, None)
    );
    let nothing = home.admin.migrate().unwrap();
    assert!(nothing.applied.is_empty());
}

#[test]
fn a_rollback_goes_back_only() {
    let home = home();
    home.admin.migrate().unwrap();
    let far = home.admin.rollback(Rollback::Steps(9)).unwrap_err();
    insta::assert_snapshot!(far, @"the database has schema version 3, which is less than 9 steps");
    let forward = home.admin.rollback(Rollback::To(4)).unwrap_err();
    insta::assert_snapshot!(forward, @"the database has schema version 3; a rollback does not lead to version 4");
    assert!(home.admin.backups().unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_backup_is_restored_and_what_it_replaces_is_kept() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "first").await;
    let copy = home.admin.backup(7).unwrap();
    say(&memory, "second").await;
    drop(memory);

    let restored = home.admin.restore(None).unwrap();
    assert_eq!(restored.from, fs::canonicalize(&copy.path).unwrap());
    let memory = home.open().unwrap();
    assert_eq!(said(&memory).await, ["first"]);
    drop(memory);

    // The copy of what was replaced is not the newest backup, but can be named.
    assert_eq!(home.admin.restore(None).unwrap().from, restored.from);
    home.admin.restore(restored.replaced.as_deref()).unwrap();
    let memory = home.open().unwrap();
    assert_eq!(said(&memory).await, ["first", "second"]);
    assert!(home.admin.check().unwrap().is_sound());
}

#[test]
fn only_so_many_backups_are_kept() {
    let home = home();
    home.admin.migrate().unwrap();
    let copies: Vec<_> = (0..4).map(|_| home.admin.backup(2).unwrap()).collect();
    assert_eq!(copies[3].removed, [copies[1].path.clone()]);
    assert_eq!(
        home.admin.backups().unwrap(),
        [copies[2].path.clone(), copies[3].path.clone()]
    );
}

#[test]
fn copies_of_one_moment_have_names_of_their_own() {
    let home = home();
    let noon = Clock::new(|| "2026-11-22T12:00:00Z".parse().unwrap());
    let admin = home.admin.clone().with_clock(noon);
    admin.migrate().unwrap();
    let names: Vec<_> = (0..3)
        .map(|_| admin.backup(7).unwrap().path)
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "memory-20261122T120000000Z.db",
            "memory-20261122T120000000Z.2.db",
            "memory-20261122T120000000Z.3.db"
        ]
    );
}

#[test]
fn what_is_not_a_sound_copy_is_not_restored() {
    let home = home();
    home.admin.migrate().unwrap();
    let copy = home.admin.backup(7).unwrap().path;
    let bytes = fs::read(&copy).unwrap();
    let file = home.dir.path().join("copy.db");
    let before = fs::read(&home.path).unwrap();

    let mut damaged = bytes.clone();
    damaged[4096 * 3..4096 * 9].fill(7);
    for (content, what) in [
        (&b"not a database"[..], "not a database"),
        (&bytes[..bytes.len() / 2], "half of one"),
        (&damaged[..], "a damaged one"),
        (&[][..], "an empty file"),
    ] {
        fs::write(&file, content).unwrap();
        let error = home.admin.restore(Some(&file)).unwrap_err();
        assert!(matches!(error, MemoryError::Corrupt(_)), "{what}: {error}");
        assert!(error.to_string().contains("copy.db"), "{what}: {error}");
    }
    let error = home.admin.restore(Some(&home.path)).unwrap_err();
    assert!(
        error.to_string().ends_with("is the database itself"),
        "{error}"
    );
    let missing = home.dir.path().join("missing.db");
    assert!(home.admin.restore(Some(&missing)).is_err());
    assert_eq!(fs::read(&home.path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_database_is_replaced_and_kept_aside() {
    let home = home();
    say(&home.open().unwrap(), "hello").await;
    let copy = home.admin.backup(7).unwrap();
    fs::write(&home.path, "garbage".repeat(1000)).unwrap();
    let restored = home.admin.restore(None).unwrap();
    assert_eq!(restored.from, fs::canonicalize(copy.path).unwrap());
    let kept = fs::read_to_string(restored.replaced.unwrap()).unwrap();
    assert!(kept.starts_with("garbage"));
    assert_eq!(said(&home.open().unwrap()).await, ["hello"]);
}

#[test]
fn a_restore_without_a_backup_makes_no_database() {
    let home = home();
    let error = home.admin.restore(None).unwrap_err();
    assert!(matches!(error, MemoryError::NotFound { .. }), "{error}");
    assert!(!home.path.exists());
    assert!(matches!(
        home.admin.backup(1).unwrap_err(),
        MemoryError::NotFound { .. }
    ));
}

#[test]
fn what_is_not_a_database_of_ash_is_refused_in_a_sentence() {
    let home = home();
    fs::create_dir_all(home.path.parent().unwrap()).unwrap();
    let refusal = || {
        let error = home.open().unwrap_err();
        assert!(matches!(error, MemoryError::Corrupt(_)), "{error}");
        error.to_string().replace(
            home.dir.path().canonicalize().unwrap().to_str().unwrap(),
            "",
        )
    };
    fs::write(&home.path, "garbage".repeat(1000)).unwrap();
    insta::assert_snapshot!(refusal(), @"/ash/memory.db: the file is not a database of Ash");
    fs::write(&home.path, "x").unwrap();
    insta::assert_snapshot!(refusal(), @"/ash/memory.db: the file is not a database of Ash");

    fs::remove_file(&home.path).unwrap();
    Connection::open(&home.path)
        .unwrap()
        .execute_batch("CREATE TABLE recipes (name TEXT)")
        .unwrap();
    insta::assert_snapshot!(refusal(), @"/ash/memory.db: the file is a database, but not one of Ash");

    fs::remove_file(&home.path).unwrap();
    drop(home.open().unwrap());
    let whole = fs::read(&home.path).unwrap();
    for length in [50, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&home.path, &whole[..length]).unwrap();
        refusal();
        // What can be rescued must not be made worse.
        assert_eq!(fs::read(&home.path).unwrap().len(), length);
    }
    assert!(home.admin.check().is_err());
}

#[test]
fn a_directory_is_no_database_and_nothing_is_put_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("memory.db");
    fs::create_dir(&path).unwrap();
    let error = Memory::open(&path, OpenOptions::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("memory.db: is a directory"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_newer_schema_is_refused_by_both_numbers() {
    let home = home();
    home.admin.migrate().unwrap();
    Connection::open(&home.path)
        .unwrap()
        .execute_batch(
            "INSERT INTO refinery_schema_history VALUES (99, 'future', '2026-11-22T12:00:00Z', '1')",
        )
        .unwrap();
    let error = home.open().unwrap_err();
    insta::assert_snapshot!(error, @"the database has schema version 99, and this program knows versions up to 3");
    assert!(home.admin.migrate().is_err());
    assert!(home.admin.rollback(Rollback::Steps(1)).is_err());
    assert_eq!(home.admin.status().unwrap().version, 99);
}

#[test]
fn what_needs_everyone_else_out_says_who_is_in() {
    let home = home();
    let memory = home.open().unwrap();
    let pid = std::process::id();
    for refused in [
        home.admin.migrate().map(drop),
        home.admin.rollback(Rollback::Steps(1)).map(drop),
        home.admin.plan_rollback(Rollback::Steps(1)).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the database is in use by process {pid}")
        );
    }
    home.admin.backup(1).unwrap();
    assert!(matches!(
        home.admin.restore(None),
        Err(MemoryError::Locked { .. })
    ));
    drop(memory);
    home.admin.restore(None).unwrap();
}

#[tokio::test]
async fn a_check_tells_what_is_wrong_with_the_index_and_it_can_be_built_anew() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "a zebra").await;
    say(&memory, "a giraffe").await;
    let connection = Connection::open(&home.path).unwrap();
    connection
        .execute_batch("DELETE FROM messages_fts WHERE rowid = 1")
        .unwrap();
    let check = home.admin.check().unwrap();
    assert_eq!(check.search, ["1 messages are not in the index"]);
    memory.reindex_messages().await.unwrap();
    assert!(home.admin.check().unwrap().is_sound());

    connection
        .execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM sessions;")
        .unwrap();
    let check = home.admin.check().unwrap();
    assert_eq!(
        check.references,
        ["2 rows of messages refer to sessions that are not there"]
    );
}

#[tokio::test]
async fn the_file_may_be_reached_by_a_link() {
    let home = home();
    let memory = home.open().unwrap();
    say(&memory, "hello").await;
    let link = home.dir.path().join("link.db");
    std::os::unix::fs::symlink(&home.path, &link).unwrap();
    let other = Memory::open(&link, OpenOptions::default()).unwrap();
    assert_eq!(said(&other).await, ["hello"]);
    let admin = Admin::new(&link, home.dir.path().join("backups"));
    drop(memory);
    assert!(matches!(admin.migrate(), Err(MemoryError::Locked { .. })));
}
