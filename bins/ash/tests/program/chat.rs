//! Talking: one answer, programs, interruptions, crashes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};

use ash_testkit::{FakeAnthropic, KEY, Reply};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::machine::Machine;

/// Makes a machine whose model is a fake server.
async fn connected() -> (Machine, FakeAnthropic) {
    let server = FakeAnthropic::start().await;
    let machine = Machine::new();
    machine.configure("[default_llm]\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-4-6\"\n");
    (machine, server)
}

fn ask(machine: &Machine, server: &FakeAnthropic, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = machine.ash(&["chat"]);
    command
        .args(arguments)
        .env("ANTHROPIC_API_KEY", KEY)
        .env("ANTHROPIC_BASE_URL", server.url());
    command
}

/// Starts a process to be killed, interrupted or waited for.
fn start(machine: &Machine, server: &FakeAnthropic, arguments: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("ash"))
        .env_clear()
        .env("HOME", machine.person())
        .env("ANTHROPIC_API_KEY", KEY)
        .env("ANTHROPIC_BASE_URL", server.url())
        .current_dir(machine.person())
        .arg("chat")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn read_line(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    line
}

/// Replaces what differs from run to run.
fn redacted(mut value: Value) -> Value {
    for key in ["turn", "duration_ms", "approval"] {
        if value.get(key).is_some_and(|value| !value.is_null()) {
            value[key] = json!(format!("[{key}]"));
        }
    }
    for key in ["tools", "finished_before"] {
        if let Some(Value::Array(items)) = value.get_mut(key) {
            for item in items {
                *item = redacted(item.take());
            }
        }
    }
    value
}

#[test]
fn without_a_model_what_was_said_is_remembered() {
    let machine = Machine::new();
    let told = machine.seen(&["chat", "remember that my sister Anna is allergic to nuts"]);
    assert!(told.starts_with("exit 0"), "{told}");
    for arguments in [
        ["chat", "what is Anna allergic to?", "--session=main"],
        ["chat", "what is Anna allergic to?", "--new"],
        ["chat", "what is Anna allergic to?", "--session=another"],
    ] {
        let seen = machine.seen(&arguments);
        assert!(seen.contains("nuts") && seen.contains("offline"), "{seen}");
    }
}

#[tokio::test]
async fn an_answer_is_the_standard_output() {
    let (machine, server) = connected().await;
    server.enqueue(Reply::text("Hello **you**.\n\n| a |\n|---|\n").chunked(3));
    let seen = machine.transcript(&mut ask(&machine, &server, &["hi"]));
    assert_eq!(seen, "exit 0\n--- stdout\nHello **you**.\n\n| a |\n|---|\n");
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_piped_is_added_to_what_is_typed() {
    let (machine, server) = connected().await;
    server.enqueue(Reply::text("short"));
    let seen = machine
        .transcript(ask(&machine, &server, &["-p", "sum this up"]).write_stdin("long\nstory\n"));
    assert_eq!(seen, "exit 0\n--- stdout\nshort\n");
    let body = server.requests()[0].body.to_string();
    assert!(body.contains(r"sum this up\n\nlong\nstory"), "{body}");
}

#[test]
fn there_must_be_something_to_say() {
    let machine = Machine::new();
    assert_snapshot!(machine.transcript(machine.ash(&["chat"]).write_stdin(" \n")), @r#"
exit 2
--- stderr
error: there is nothing to say
hint: give a text, or pipe one in: ash chat "hello"
"#);
    assert_snapshot!(machine.transcript(machine.ash(&["chat", "hi"]).write_stdin([0xff])), @r#"
exit 1
--- stderr
error: the piped input is not UTF-8 text (byte 0)
hint: pipe text in
"#);
    assert!(!machine.home().exists());
}

#[tokio::test]
async fn json_is_one_object() {
    let (machine, server) = connected().await;
    server.enqueue(
        Reply::text("Let me look.")
            .and_tool_call("toolu_1", "search_history", json!({"query": "Anna"}))
            .usage(10, 5),
    );
    server.enqueue(Reply::text("Nothing yet.").usage(20, 3).cached(15, 2));
    let output = ask(
        &machine,
        &server,
        &["--output", "json", "-p", "who is Anna?"],
    )
    .output()
    .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    insta::assert_json_snapshot!("json", redacted(object));
}

#[tokio::test]
async fn stream_json_is_one_event_a_line() {
    let (machine, server) = connected().await;
    server.enqueue(Reply::text("Let me look.").and_tool_call(
        "toolu_1",
        "search_history",
        json!({"query": "Anna"}),
    ));
    server.enqueue(Reply::text("Nothing yet."));
    let output = ask(
        &machine,
        &server,
        &["--output", "stream-json", "who is Anna?"],
    )
    .output()
    .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| redacted(serde_json::from_str(line).unwrap()).to_string())
        .collect();
    assert!(text.lines().all(|line| line.starts_with("{\"type\":\"")));
    insta::assert_snapshot!("stream_json", lines.join("\n"));
}

#[tokio::test]
async fn a_refused_key_is_the_persons_to_fix() {
    let (machine, server) = connected().await;
    let mut command = ask(&machine, &server, &["hi"]);
    command.env("ANTHROPIC_API_KEY", "sk-wrong-secret");
    let seen = machine.transcript(&mut command);
    assert!(!seen.contains("sk-wrong-secret"), "{seen}");
    assert_snapshot!(seen, @r#"
exit 3
--- stderr
error: anthropic (HTTP 401): invalid x-api-key
hint: check the provider's API key (`ash doctor` shows where it comes from)
"#);
    let output = ask(&machine, &server, &["hi", "--output", "json"])
        .env("ANTHROPIC_API_KEY", "sk-wrong-secret")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["stop"], "failed");
    assert!(object["error"]["message"].is_string());
}

#[test]
fn a_model_that_cannot_be_asked_is_explained() {
    let machine = Machine::new();
    machine.configure("[default_llm]\nprovider = \"anthropic\"\n");
    assert_snapshot!(machine.seen(&["chat", "hi"]), @r#"
exit 1
--- stderr
error: `default_llm` ([PERSON]/.ash/config.toml:1): anthropic: no API key: set the environment variable ANTHROPIC_API_KEY
hint: check the provider's API key (`ash doctor` shows where it comes from)
"#);
    assert_snapshot!(machine.seen(&["chat", "hi", "--model", "gpt-4o"]), @r#"
exit 1
--- stderr
error: settings: `gpt-4o` names no provider: did you mean openai/gpt-4o?
hint: run `ash init`, or see `ash config schema`
"#);
    assert_snapshot!(machine.seen(&["chat", "hi", "--model", "opneai/gpt-4o"]), @r#"
exit 1
--- stderr
error: settings: there is no provider `opneai`: did you mean `openai`? the providers are anthropic, offline, openai
hint: run `ash init`, or see `ash config schema`
"#);
}

#[tokio::test]
async fn what_was_said_survives_kill_9_during_the_answer() {
    let (machine, server) = connected().await;
    server.enqueue(
        Reply::text("half an answer that nobody sees")
            .chunked(4)
            .stall_after_bytes(900),
    );
    let mut killed = start(&machine, &server, &["what is the answer?"]);
    server.wait_for_stalls(1).await;
    killed.kill().unwrap();
    killed.wait().unwrap();

    server.enqueue(Reply::text("The answer is 42."));
    server.enqueue(Reply::text("You are welcome."));
    let seen = machine.transcript(&mut ask(&machine, &server, &["thanks"]));
    assert_snapshot!(seen, @r#"
exit 0
--- stdout
You are welcome.
--- stderr
· finishing what was begun before: "what is the answer?"
The answer is 42.
"#);
    assert_eq!(server.violations(), Vec::<String>::new());

    server.enqueue(Reply::text("Yes?"));
    let seen = machine.transcript(&mut ask(&machine, &server, &["hey"]));
    assert_eq!(
        seen, "exit 0\n--- stdout\nYes?\n",
        "nothing is finished twice"
    );
}

#[tokio::test]
async fn ctrl_c_ends_the_answer_and_keeps_it() {
    let (machine, server) = connected().await;
    server.enqueue(
        Reply::text("one two three four five six seven eight nine ten")
            .chunked(4)
            .stall_after_bytes(900),
    );
    let child = start(&machine, &server, &["count"]);
    server.wait_for_stalls(1).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("one"), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));

    let kept = machine.seen(&["sessions", "show", "main"]);
    assert!(kept.contains(said.trim()), "{kept}");
}

#[tokio::test]
async fn two_processes_do_not_speak_in_one_session_at_once() {
    let (machine, server) = connected().await;
    server.enqueue(Reply::text("first").stall_after_bytes(50));
    let first = start(&machine, &server, &["one"]);
    server.wait_for_stalls(1).await;

    let mut second = start(&machine, &server, &["two"]);
    let mut stderr = BufReader::new(second.stderr.take().unwrap());
    let line = read_line(&mut stderr);
    assert!(line.contains("waiting: the session is in use"), "{line}");
    server.enqueue(Reply::text("second"));
    server.release();
    assert_eq!(first.wait_with_output().unwrap().stdout, b"first\n");
    let mut said = String::new();
    second
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "second\n");
    assert!(second.wait().unwrap().success());
}

#[tokio::test]
async fn the_fallback_answers_when_the_model_cannot() {
    let (machine, server) = connected().await;
    machine.configure(
        "[default_llm]\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-4-6\"\n\n\
         [fallback_llm]\nprovider = \"offline\"\n",
    );
    server.enqueue(Reply::status(403));
    let output = ask(&machine, &server, &["hello", "--output", "json"])
        .output()
        .unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["model"], "offline/offline", "{object}");
    assert_eq!(object["stop"], "answered");
    assert!(
        object["notices"][0]
            .as_str()
            .unwrap()
            .contains("offline/offline")
    );
}
