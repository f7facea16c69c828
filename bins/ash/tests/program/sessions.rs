//! Looking through what was said, and after the database.

use insta::assert_snapshot;

use crate::machine::Machine;

/// Makes a machine on which something was said.
fn talked() -> Machine {
    let machine = Machine::new();
    for (session, text) in [
        ("main", "remember that Anna is allergic to nuts"),
        ("work", "remember that the printer is called Gutenberg"),
        ("work", "how is the printer called?"),
    ] {
        let seen = machine.seen(&["chat", "--session", session, text]);
        assert!(seen.starts_with("exit 0"), "{seen}");
    }
    machine
}

/// Replaces dates, times and durations.
fn timeless(text: &str) -> String {
    let mut timeless = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let bare = word.trim_end();
        let is_date = bare.len() == 10 && bare.as_bytes()[4] == b'-' && bare.starts_with("20");
        let is_time = bare.len() == 5 && bare.as_bytes()[2] == b':';
        if is_date {
            timeless.push_str(&word.replace(bare, "[date]"));
        } else if is_time {
            timeless.push_str(&word.replace(bare, "[time]"));
        } else {
            timeless.push_str(word);
        }
    }
    timeless
}

#[test]
fn before_anything_was_said_there_is_nothing_to_see() {
    let machine = Machine::new();
    assert_snapshot!(machine.seen(&["sessions", "list"]), @r#"
exit 0
--- stderr
there is no conversation yet
"#);
    assert_eq!(
        machine.seen(&["sessions", "list", "--json"]),
        "exit 0\n--- stdout\n[]\n"
    );
    assert_snapshot!(machine.seen(&["sessions", "show", "main"]), @r#"
exit 1
--- stderr
error: there is no session `main`
hint: `ash sessions list` names them
"#);
    assert_eq!(machine.seen(&["sessions", "export"]), "exit 0\n");
    assert_snapshot!(machine.seen(&["usage"]), @r#"
exit 0
--- stderr
no model was asked yet
"#);
    assert!(!machine.home().exists(), "looking must not make anything");
}

#[test]
fn sessions_are_listed_and_shown() {
    let machine = talked();
    assert_snapshot!(timeless(&machine.seen(&["sessions", "list"])), @r#"
exit 0
--- stdout
SESSION  MESSAGES  LAST              BEGINS WITH
work     5         [date] [time]  remember that the printer is called Gutenberg
main     2         [date] [time]  remember that Anna is allergic to nuts
"#);
    let shown = timeless(&machine.seen(&["sessions", "show", "work", "-n", "1"]));
    assert!(shown.contains("Gutenberg"), "{shown}");
    let shown = machine.seen(&["sessions", "show", "work"]);
    assert!(shown.contains("✓ search_history"), "{shown}");
    assert!(!shown.contains("told the model"));
    let traced = machine.seen(&["sessions", "show", "work", "--trace"]);
    assert!(
        traced.contains("told the model") && traced.contains("given: {"),
        "{traced}"
    );
    assert_snapshot!(machine.seen(&["sessions", "show", "wrok"]), @r#"
exit 1
--- stderr
error: there is no session `wrok`
hint: did you mean `work`?
"#);
}

#[test]
fn sessions_as_json_are_one_document() {
    let machine = talked();
    let list = machine.json(&["sessions", "list", "--json"]);
    assert_eq!(list[0]["chat_id"], "work");
    let id = list[0]["id"].as_str().unwrap();
    let shown = machine.json(&["sessions", "show", id, "--json"]);
    assert_eq!(shown["session"]["chat_id"], "work");
    assert_eq!(shown["messages"][0]["role"], "user");
    let found = machine.json(&["sessions", "search", "printer", "--json"]);
    assert!(
        found[0]["message"]["content"]
            .as_str()
            .unwrap()
            .contains("printer")
    );
}

#[test]
fn messages_are_found() {
    let machine = talked();
    let seen = machine.seen(&["sessions", "search", "allergic"]);
    assert!(seen.contains("main") && seen.contains("nuts"), "{seen}");
    assert_eq!(
        machine.seen(&["sessions", "search", "zebra"]),
        "exit 0\n--- stderr\nnothing was found\n"
    );
}

#[test]
fn a_session_is_deleted_only_by_somebody_who_means_it() {
    let machine = talked();
    assert_snapshot!(machine.seen(&["sessions", "delete", "work"]), @r#"
exit 1
--- stderr
error: Delete session `work` with its 6 messages for good? Nobody is here to answer
hint: give --yes to do it without asking
"#);
    assert_eq!(
        machine.seen(&["sessions", "delete", "work", "--yes"]),
        "exit 0\n--- stderr\ndeleted `work`\n"
    );
    let seen = machine.seen(&["sessions", "search", "printer"]);
    assert!(seen.contains("nothing was found"), "{seen}");
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() {
    let machine = talked();
    let exported = machine
        .ash(&["sessions", "export"])
        .output()
        .unwrap()
        .stdout;
    let other = Machine::new();
    let seen = other.transcript(
        other
            .ash(&["sessions", "import", "-"])
            .write_stdin(exported.clone()),
    );
    assert!(seen.starts_with("exit 0"), "{seen}");
    let again = other.ash(&["sessions", "export"]).output().unwrap().stdout;
    assert_eq!(
        String::from_utf8(again).unwrap(),
        String::from_utf8(exported).unwrap()
    );
    let seen = other.transcript(
        other
            .ash(&["sessions", "import", "-"])
            .write_stdin("no json\n"),
    );
    assert!(seen.starts_with("exit 1"), "{seen}");
}

#[test]
fn usage_is_summed() {
    let machine = talked();
    let usage = machine.json(&["usage", "--json"]);
    assert_eq!(usage["models"][0]["model"], "offline/offline");
    assert!(usage["models"][0]["calls"].as_u64().unwrap() >= 3);
    let seen = machine.seen(&["usage", "--days", "1"]);
    assert!(seen.contains("offline/offline"), "{seen}");
}

#[test]
fn the_database_is_looked_after() {
    let machine = talked();
    assert_eq!(
        machine.seen(&["db", "check"]),
        "exit 0\n--- stdout\nthe database is sound\n"
    );
    let status = machine.json(&["db", "status", "--json"]);
    assert_eq!(status["version"], status["known"]);
    assert!(machine.seen(&["db", "migrate"]).contains("up to date"));
    let backup = machine.json(&["db", "backup", "--json"]);
    assert!(backup["path"].as_str().unwrap().contains("backups"));

    machine.seen(&["sessions", "delete", "work", "--yes"]);
    let name = std::path::Path::new(backup["path"].as_str().unwrap())
        .file_name()
        .unwrap();
    let asked = machine
        .seen(&["db", "restore"])
        .replace(name.to_str().unwrap(), "[backup]");
    assert_snapshot!(asked, @r#"
exit 1
--- stderr
error: Put ~/.ash/backups/[backup] in the place of the database, of which a copy is kept? Nobody is here to answer
hint: give --yes to do it without asking
"#);
    let restored = machine.seen(&["db", "restore", "--yes"]);
    assert!(restored.starts_with("exit 0"), "{restored}");
    assert!(
        machine
            .seen(&["sessions", "search", "printer"])
            .contains("Gutenberg")
    );
}

#[test]
fn a_rollback_says_what_it_drops_and_can_be_undone() {
    let machine = talked();
    let before = machine.json(&["db", "status", "--json"]);
    let seen = machine.seen(&["db", "rollback"]);
    assert!(
        seen.starts_with("exit 1") && seen.contains("--yes"),
        "{seen}"
    );
    let seen = machine.seen(&["db", "rollback", "--yes"]);
    assert!(
        seen.starts_with("exit 0") && seen.contains("kept a copy"),
        "{seen}"
    );
    let after = machine.json(&["db", "status", "--json"]);
    assert_eq!(
        after["version"].as_u64(),
        before["version"].as_u64().map(|v| v - 1)
    );
    assert!(machine.seen(&["db", "migrate"]).starts_with("exit 0"));
    assert_eq!(
        machine.json(&["db", "status", "--json"])["version"],
        before["version"]
    );
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let machine = Machine::new();
    machine.configure("");
    std::fs::write(
        machine.home().join("memory.db"),
        "this is no database at all, only text",
    )
    .unwrap();
    for arguments in [
        vec!["db", "status"],
        vec!["chat", "hi"],
        vec!["sessions", "list"],
    ] {
        let seen = machine.seen(&arguments);
        assert!(seen.starts_with("exit 1"), "{seen}");
        assert!(
            seen.contains("memory.db") && seen.contains("ash db restore"),
            "{seen}"
        );
    }
}
