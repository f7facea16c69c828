//! `ash chat` is killed at every instant that can matter, and the next start has to go on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use ash_memory::admin::Admin;
use ash_memory::{InboxState, Memory, OpenOptions, Role, StoredMessage};
use ash_testkit::{FakeAnthropic, KEY, Recorded, Reply};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A home of its own, and a model that is shared.
struct Ground {
    home: TempDir,
    url: String,
}

impl Ground {
    fn new(server: &FakeAnthropic) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            url: server.url(),
        }
    }

    fn ash(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ash"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("ANTHROPIC_API_KEY", KEY)
            .env("ANTHROPIC_BASE_URL", &self.url)
            .stdin(Stdio::null());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.ash(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs to the end, which must be a good one.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.ash(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    fn database(&self) -> PathBuf {
        self.home.path().join(".ash/memory.db")
    }

    /// Returns what is stored, and checks what must hold whenever no process runs.
    async fn record(&self) -> Vec<StoredMessage> {
        check_file(&self.database());
        let memory = Memory::open(self.database(), OpenOptions::default()).unwrap();
        let session = memory
            .find_session("terminal", "main")
            .await
            .unwrap()
            .unwrap();
        let executions = memory.tool_executions(&session.id, None).await.unwrap();
        let mut runs: HashMap<_, usize> = HashMap::new();
        for execution in executions {
            *runs.entry(execution.call_id).or_default() += 1;
        }
        assert!(
            runs.values().all(|count| *count == 1),
            "a tool ran again: {runs:?}"
        );
        let left = memory.pending("terminal", None).await.unwrap();
        assert!(left.is_empty(), "accepted and not answered: {left:?}");
        assert!(left.iter().all(|item| item.state != InboxState::Failed));
        memory.history(&session.id, None).await.unwrap()
    }
}

fn check_file(database: &Path) {
    let backups = database.with_file_name("backups");
    let found = Admin::new(database, backups).check().unwrap();
    assert!(found.is_sound(), "{found:?}");
}

/// Asks for a tool when told to look, and otherwise says what it was told.
fn answer(request: &Recorded) -> Reply {
    let last = request.body["messages"].as_array().unwrap().last().unwrap();
    let parts = last["content"].as_array().unwrap();
    let of_kind = |kind: &str| parts.iter().rfind(|part| part["type"] == kind);
    let words = of_kind("text").map_or("", |part| part["text"].as_str().unwrap());
    if of_kind("tool_result").is_some() {
        Reply::text("I looked.")
    } else if words.contains("look") {
        let turn = request.body["messages"].as_array().unwrap().len();
        Reply::text("Let me see.").and_tool_call(
            &format!("toolu_{turn}"),
            "search_history",
            serde_json::json!({ "query": "Anna" }),
        )
    } else {
        Reply::text(format!("You said: {words}"))
    }
}

fn said<'a>(messages: &'a [StoredMessage], words: &str) -> Vec<&'a StoredMessage> {
    messages
        .iter()
        .filter(|message| message.role == Role::User && message.content == words)
        .collect()
}

/// Every message of a person has been followed by words of the assistant in its turn.
fn assert_all_answered(messages: &[StoredMessage]) {
    for message in messages.iter().filter(|message| message.role == Role::User) {
        let answered = messages.iter().any(|other| {
            other.role == Role::Assistant
                && other.turn == message.turn
                && other.id > message.id
                && !other.content.is_empty()
        });
        assert!(answered, "not answered: {:?}", message.content);
    }
    let last = messages.last().unwrap();
    assert_eq!(last.role, Role::Assistant, "{last:?}");
}

fn compile_shim(dir: &Path) -> PathBuf {
    let shim = dir.join("shim.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/shim.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&shim, Path::new(source)])
        .arg("-ldl")
        .output()
        .expect("a C compiler, which building Ash needs anyway");
    assert!(built.status.success(), "{built:?}");
    shim
}

/// What a kill at one write led to.
enum Strike {
    /// The process was done before it wrote that often.
    Missed,
    /// It was killed; whether it had accepted what was said.
    Hit { kept: bool },
}

async fn strike(server: Arc<FakeAnthropic>, shim: PathBuf, at: usize) -> Strike {
    let ground = Ground::new(&server);
    let first = ground
        .ash(&["chat", "look for Anna"])
        .env("LD_PRELOAD", &shim)
        .env("KILL_AT_WRITE", at.to_string())
        .output()
        .unwrap();
    if first.status.success() {
        return Strike::Missed;
    }
    assert_eq!(first.status.code(), None, "write {at}: {first:?}");
    let second = ground.run(&["chat", "--output", "json", "and now?"]);
    let reply: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(reply["reply"], "You said: and now?", "write {at}");
    let messages = ground.record().await;
    assert_all_answered(&messages);
    assert_eq!(said(&messages, "and now?").len(), 1, "write {at}");
    let first_words = said(&messages, "look for Anna").len();
    assert!(first_words <= 1, "write {at}: stored twice");
    Strike::Hit {
        kept: first_words == 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn killed_before_any_write_nothing_said_is_lost_and_nothing_runs_twice() {
    let server = Arc::new(FakeAnthropic::with(answer).await);
    let tools = tempfile::tempdir().unwrap();
    let shim = compile_shim(tools.path());
    let (mut killed, mut kept, mut missed) = (0, 0, false);
    // The disk is what is waited for, so several homes are struck at the same time.
    for batch in (1..).step_by(8) {
        let mut strikes = JoinSet::new();
        for at in batch..batch + 8 {
            strikes.spawn(strike(server.clone(), shim.clone(), at));
        }
        for strike in strikes.join_all().await {
            match strike {
                Strike::Missed => missed = true,
                Strike::Hit { kept: was_kept } => {
                    killed += 1;
                    kept += usize::from(was_kept);
                }
            }
        }
        assert_eq!(server.violations(), Vec::<String>::new(), "from {batch}");
        if missed {
            break;
        }
    }
    println!("killed {killed} times, what was said was accepted {kept} times");
    // Fewer would mean that the shim does not see the writes.
    assert!(killed > 40 && kept > killed / 3);
}

#[tokio::test]
async fn killed_while_an_answer_streams_the_answer_is_asked_for_again() {
    let server = FakeAnthropic::start().await;
    let story = Reply::text("Once upon a time there was a lighthouse.").chunked(3);
    server.enqueue(story.clone());
    Ground::new(&server).run(&["chat", "a story"]);
    let length = server.sent()[0].len();
    let points: Vec<usize> = (0..length).step_by(length / 25).collect();
    for (index, at) in points.iter().enumerate() {
        let ground = Ground::new(&server);
        server.enqueue(story.clone().stall_after_bytes(*at));
        let mut first = ground.start(&["chat", "a story"]);
        server.wait_for_stalls(index + 1).await;
        first.kill().unwrap();
        first.wait().unwrap();
        server.enqueue(story.clone());
        server.enqueue(Reply::text("Good night."));
        let second = ground.run(&["chat", "thanks"]);
        assert_eq!(
            String::from_utf8_lossy(&second.stdout).trim(),
            "Good night."
        );
        let talk = String::from_utf8_lossy(&second.stderr);
        assert!(talk.contains("lighthouse"), "byte {at}: {talk}");
        let messages = ground.record().await;
        assert_all_answered(&messages);
        assert_eq!(messages.len(), 4, "byte {at}");
    }
    assert_eq!(server.violations(), Vec::<String>::new());
    assert_eq!(server.replies_left(), 0);
}

#[tokio::test]
async fn two_processes_in_one_session_take_turns() {
    let server = FakeAnthropic::start().await;
    let ground = Ground::new(&server);
    server.enqueue(Reply::text("First answer.").stall_before_head());
    let first = ground.start(&["chat", "first"]);
    server.wait_for_requests(1).await;
    server.enqueue(Reply::text("Second answer."));
    let mut second = ground.start(&["chat", "second"]);
    // The second says that it waits before it does.
    let waits = {
        use std::io::Read;
        let mut talk = [0; 8];
        second
            .stderr
            .as_mut()
            .unwrap()
            .read_exact(&mut talk)
            .unwrap();
        String::from_utf8_lossy(&talk).into_owned()
    };
    assert!(!waits.is_empty());
    server.release();
    let (first, second) = (
        first.wait_with_output().unwrap(),
        second.wait_with_output().unwrap(),
    );
    assert_eq!(
        String::from_utf8_lossy(&first.stdout).trim(),
        "First answer."
    );
    assert_eq!(
        String::from_utf8_lossy(&second.stdout).trim(),
        "Second answer."
    );
    let texts: Vec<String> = ground
        .record()
        .await
        .into_iter()
        .map(|message| message.content)
        .collect();
    assert_eq!(
        texts,
        ["first", "First answer.", "second", "Second answer."]
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}
