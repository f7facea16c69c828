//! Several processes on one file, and processes that die.
//!
//! The other process is this program, started anew to run the test `other_process`, which does what the
//! environment says and talks with the test by lines.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ash_memory::admin::Admin;
use ash_memory::{
    ChatKind, Clock, Memory, MemoryError, MessageId, NewMessage, NewSession, OpenOptions, Record,
    Role, Session, ToolExecutionId,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

/// What a line from the other process begins with; the test harness writes lines as well.
const MARK: &str = "~ ";

struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(role: &str, path: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::spawn(Command::new(program), role, path)
    }

    /// Lets it write files up to a size only.
    fn start_limited(role: &str, path: &Path, kibibytes: u32) -> Self {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!(
                "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
                kibibytes * 2
            ))
            .arg(std::env::current_exe().unwrap());
        Self::spawn(shell, role, path)
    }

    fn spawn(mut command: Command, role: &str, path: &Path) -> Self {
        let mut child = command
            .args(["other_process", "--exact", "--nocapture"])
            .env("ASH_MEMORY_TEST_ROLE", role)
            .env("ASH_MEMORY_TEST_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            input,
            output,
        }
    }

    fn hear(&mut self) -> Option<String> {
        loop {
            let line = self.output.next()?.unwrap();
            // The harness begins the line.
            if let Some((_, said)) = line.split_once(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::print_stdout,
    reason = "this is how processes of this test talk"
)]
fn tell(line: impl std::fmt::Display) {
    println!("{MARK}{line}");
}

fn wait_for_a_line() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[tokio::test]
async fn other_process() {
    let Ok(role) = std::env::var("ASH_MEMORY_TEST_ROLE") else {
        return;
    };
    let path = std::env::var_os("ASH_MEMORY_TEST_PATH").unwrap();
    let memory = match open(Path::new(&path)) {
        Ok(memory) => memory,
        Err(error) => return tell(error),
    };
    match role.as_str() {
        "speaker" => {
            let session = session(&memory, "main").await;
            let lease = memory.lease(&session.id, "the other").await.unwrap();
            tell("ready");
            wait_for_a_line();
            let message = NewMessage::new(session.id.clone(), Role::User, "late");
            match lease.record(vec![Record::Message(message)]).await {
                Ok(()) => tell("kept"),
                Err(error) => tell(error),
            }
        }
        "writer" => {
            let session = session(&memory, "main").await;
            loop {
                match record_turn(&memory, &session).await {
                    Ok(id) => tell(id),
                    Err(error) => {
                        tell(error);
                        break;
                    }
                }
            }
        }
        "counter" => {
            let chat = format!("chat {}", std::process::id());
            let session = session(&memory, &chat).await;
            tell("ready");
            wait_for_a_line();
            for _ in 0..100 {
                record_turn(&memory, &session).await.unwrap();
            }
            tell("done");
        }
        "opener" => tell("open"),
        other => panic!("there is no role {other}"),
    }
}

/// Keeps a message, what a tool did for it and the answer, at once.
async fn record_turn(memory: &Memory, session: &Session) -> Result<MessageId, MemoryError> {
    let question = NewMessage::new(session.id.clone(), Role::User, "what is there? ".repeat(40));
    let answer = NewMessage::new(session.id.clone(), Role::Assistant, "this: ".repeat(40));
    let id = question.id.clone();
    let records = vec![
        Record::Message(question),
        Record::ToolStarted {
            id: ToolExecutionId::generate(),
            session: session.id.clone(),
            turn: None,
            call_id: None,
            tool: "shell".into(),
            input: json!({}),
        },
        Record::Message(answer),
    ];
    memory.record(records).await.map(|()| id)
}

fn open(path: &Path) -> Result<Memory, MemoryError> {
    Memory::open(path, OpenOptions::default())
}

async fn session(memory: &Memory, chat: &str) -> Session {
    let new = NewSession {
        provider: "terminal".into(),
        chat_id: chat.into(),
        user_id: "owner".into(),
        kind: ChatKind::Private,
    };
    memory.open_session(new).await.unwrap()
}

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("memory.db");
    (dir, path)
}

/// Checks that turns are whole, and that all of those are there that were said to be kept.
async fn assert_whole(path: &Path, kept: &[String]) {
    let memory = open(path).unwrap();
    let session = session(&memory, "main").await;
    let history = memory.history(&session.id, None).await.unwrap();
    let runs = memory.tool_executions(&session.id, None).await.unwrap();
    assert_eq!(history.len(), 2 * runs.len());
    for pair in history.chunks(2) {
        assert_eq!([pair[0].role, pair[1].role], [Role::User, Role::Assistant]);
    }
    for id in kept {
        let id = MessageId::parse(id).unwrap();
        assert!(history.iter().any(|message| message.id == id));
    }
    drop(memory);
    let check = Admin::new(path, path.with_extension("backups"))
        .check()
        .unwrap();
    assert!(check.is_sound(), "{check:?}");
}

#[tokio::test]
async fn a_writer_that_is_killed_leaves_whole_turns_and_all_that_it_said_it_kept() {
    let (_dir, path) = home();
    let mut kept = Vec::new();
    for turns in [0, 1, 2, 3, 5, 8, 13, 21] {
        let mut other = Other::start("writer", &path);
        kept.extend((0..turns).map(|_| other.hear().unwrap()));
        other.kill();
        assert_whole(&path, &kept).await;
    }
}

#[tokio::test]
async fn a_disk_that_takes_no_more_is_told_and_nothing_is_half_kept() {
    let (_dir, path) = home();
    drop(open(&path).unwrap());
    let mut other = Other::start_limited("writer", &path, 600);
    let mut kept = Vec::new();
    let last = loop {
        let said = other.hear().unwrap();
        match MessageId::parse(&said) {
            Ok(_) => kept.push(said),
            Err(_) => break said,
        }
    };
    assert_eq!(last, "the disk has no room for the database");
    assert!(!kept.is_empty());
    other.kill();
    assert_whole(&path, &kept).await;
}

#[tokio::test]
async fn readers_see_what_others_wrote() {
    let (_dir, path) = home();
    let (one, two) = (open(&path).unwrap(), open(&path).unwrap());
    let session = session(&one, "main").await;
    // More than the writer reads by itself.
    for turns in 1..40 {
        let before = two.changes().await.unwrap();
        record_turn(&one, &session).await.unwrap();
        assert_eq!(two.changes().await.unwrap(), before + 1);
        let history = two.history(&session.id, None).await.unwrap();
        assert_eq!(history.len(), 2 * turns);
        assert_eq!(one.history(&session.id, None).await.unwrap(), history);
    }
}

#[tokio::test]
async fn two_processes_write_at_once_and_nothing_is_lost() {
    let (_dir, path) = home();
    let memory = open(&path).unwrap();
    let mut others = [
        Other::start("counter", &path),
        Other::start("counter", &path),
    ];
    for other in &mut others {
        assert_eq!(other.hear().unwrap(), "ready");
    }
    let before = memory.changes().await.unwrap();
    for other in &mut others {
        other.say("go");
    }
    let mine = session(&memory, "main").await;
    for _ in 0..100 {
        record_turn(&memory, &mine).await.unwrap();
    }
    for other in &mut others {
        assert_eq!(other.hear().unwrap(), "done");
    }
    let summaries = memory.sessions().await.unwrap();
    let counts: Vec<u64> = summaries.iter().map(|summary| summary.messages).collect();
    assert_eq!(counts, [200, 200, 200]);
    // Mine was opened in between.
    assert_eq!(memory.changes().await.unwrap(), before + 301);
}

#[test]
fn many_may_make_a_new_database_at_once() {
    let (_dir, path) = home();
    let mut others: Vec<_> = (0..4).map(|_| Other::start("opener", &path)).collect();
    for other in &mut others {
        assert_eq!(other.hear().unwrap(), "open");
    }
}

#[tokio::test]
async fn a_session_has_one_speaker_and_a_killed_one_is_followed_at_once() {
    let (_dir, path) = home();
    let memory = open(&path).unwrap();
    let session = session(&memory, "main").await;
    let mut other = Other::start("speaker", &path);
    assert_eq!(other.hear().unwrap(), "ready");

    let error = memory.lease(&session.id, "this").await.unwrap_err();
    let MemoryError::Busy { who, pid, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((who.as_str(), *pid), ("the other", other.child.id()));
    let text = error.to_string();
    let begin = format!("the session is in use by the other (process {pid}) since 2");
    assert!(text.starts_with(&begin), "{text}");

    other.kill();
    let lease = memory.lease(&session.id, "this").await.unwrap();
    let twice = memory.lease(&session.id, "this again").await.unwrap_err();
    assert!(matches!(twice, MemoryError::Busy { .. }), "{twice}");
    lease.check().await.unwrap();
    drop(lease);
    memory.lease(&session.id, "this").await.unwrap();
}

#[tokio::test]
async fn a_speaker_that_ends_leaves_its_session_free() {
    let (_dir, path) = home();
    let memory = open(&path).unwrap();
    let session = session(&memory, "main").await;
    let mut other = Other::start("speaker", &path);
    assert_eq!(other.hear().unwrap(), "ready");
    other.say("go");
    assert_eq!(other.hear().unwrap(), "kept");
    other.child.wait().unwrap();
    memory.lease(&session.id, "this").await.unwrap();
}

#[tokio::test]
async fn a_suspended_speaker_loses_its_session_and_finds_out() {
    let (_dir, path) = home();
    let mut other = Other::start("speaker", &path);
    assert_eq!(other.hear().unwrap(), "ready");
    other.signal("STOP");

    let soon = open(&path).unwrap();
    let main = session(&soon, "main").await;
    let early = soon.lease(&main.id, "this").await.unwrap_err();
    assert!(matches!(early, MemoryError::Busy { .. }), "{early}");
    let clock = Clock::new(|| Timestamp::now() + SignedDuration::from_secs(90));
    let options = OpenOptions {
        clock,
        ..OpenOptions::default()
    };
    let later = Memory::open(&path, options).unwrap();
    let lease = later.lease(&main.id, "this").await.unwrap();

    other.signal("CONT");
    other.say("go");
    assert_eq!(
        other.hear().unwrap(),
        "the session was taken over by another process"
    );
    other.child.wait().unwrap();
    // Its end does not end what is not its own any more.
    lease.check().await.unwrap();
    assert!(later.history(&main.id, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_dead_leave_no_files_behind_that_stay() {
    let (_dir, path) = home();
    let instances = path.with_extension("db.instances");
    let count = || std::fs::read_dir(&instances).unwrap().count();
    let mut other = Other::start("speaker", &path);
    assert_eq!(other.hear().unwrap(), "ready");
    other.kill();
    assert_eq!(count(), 1);
    let memory = open(&path).unwrap();
    assert_eq!(count(), 1);
    drop(memory);
    assert_eq!(count(), 0);
}

#[test]
fn a_process_that_has_the_database_open_is_named() {
    let (_dir, path) = home();
    let mut other = Other::start("speaker", &path);
    assert_eq!(other.hear().unwrap(), "ready");
    let admin = Admin::new(&path, path.with_extension("backups"));
    let error = admin.migrate().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the database is in use by process {}", other.child.id())
    );
    other.kill();
    admin.migrate().unwrap();
}
