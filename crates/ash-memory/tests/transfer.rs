//! Export and import.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use ash_memory::{
    ChatKind, Memory, MemoryError, MessageQuery, NewMessage, NewProfile, NewSession, OpenOptions,
    Record, Role, Session, ToolExecutionId, Transferred, Viewer,
};
use serde_json::json;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn memory() -> Memory {
    Memory::open_in_memory(OpenOptions::default()).unwrap()
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

async fn exported(memory: &Memory) -> String {
    let sink = Sink::default();
    memory.export(sink.clone()).await.unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

async fn import(memory: &Memory, text: &str) -> Result<Transferred, MemoryError> {
    memory.import(Cursor::new(text.as_bytes().to_vec())).await
}

async fn full() -> Memory {
    let memory = memory();
    let main = session(&memory, "main").await;
    let other = session(&memory, "other").await;
    for (session, role, text) in [
        (&main, Role::User, "remember that Anna is allergic to nuts"),
        (&other, Role::User, "line\nbreak, \u{0} and 世界"),
        (&main, Role::Assistant, "I will."),
        (&main, Role::Tool, "{}"),
    ] {
        let mut message = NewMessage::new(session.id.clone(), role, text);
        message.blocks = json!([{"text": text}]);
        message.context = Some("It is Monday.".into());
        message.metadata.insert("n".into(), json!(1));
        memory.record(vec![Record::Message(message)]).await.unwrap();
    }
    memory.start_context(&other.id, None).await.unwrap();
    let id = ToolExecutionId::generate();
    let records = vec![
        Record::ToolStarted {
            id: id.clone(),
            session: main.id.clone(),
            turn: None,
            call_id: None,
            tool: "shell".into(),
            input: json!({"command": "ls"}),
        },
        Record::ToolFinished {
            id,
            output: "a".into(),
            success: true,
            duration_ms: 3,
        },
    ];
    memory.record(records).await.unwrap();
    let profile = NewProfile {
        user_id: "telegram:1".into(),
        provider: "telegram".into(),
        username: Some("ann".into()),
        ..NewProfile::default()
    };
    memory.upsert_profile(profile).await.unwrap();
    memory
}

#[tokio::test]
async fn what_is_exported_comes_back_the_same() {
    let text = exported(&full().await).await;
    let copy = memory();
    let added = import(&copy, &text).await.unwrap();
    let all = Transferred {
        sessions: 2,
        messages: 4,
        tool_executions: 1,
        profiles: 1,
        known: 0,
    };
    assert_eq!(added, all);
    assert_eq!(exported(&copy).await, text);
    let query = MessageQuery::new("what is Anna allergic to?", Viewer::Operator);
    let hits = copy.search_messages(query).await.unwrap();
    assert_eq!(
        hits[0].message.content,
        "remember that Anna is allergic to nuts"
    );
    // The reply is found by what it replies to, as in the original.
    assert_eq!(hits[1].message.content, "I will.");

    let again = import(&copy, &text).await.unwrap();
    assert_eq!(
        again,
        Transferred {
            known: 8,
            ..Transferred::default()
        }
    );
    assert_eq!(exported(&copy).await, text);
}

#[tokio::test]
async fn a_chat_that_is_known_takes_imported_messages_in() {
    let text = exported(&full().await).await;
    let here = memory();
    let main = session(&here, "main").await;
    let message = NewMessage::new(main.id.clone(), Role::User, "said here");
    here.record(vec![Record::Message(message)]).await.unwrap();
    let added = import(&here, &text).await.unwrap();
    assert_eq!((added.sessions, added.messages, added.known), (1, 4, 1));
    let history = here.history(&main.id, None).await.unwrap();
    assert_eq!(history.len(), 4);
}

#[tokio::test]
async fn a_wrong_line_is_named_and_nothing_is_imported() {
    let text = exported(&full().await).await;
    let good: Vec<&str> = text.lines().collect();
    let last = good.len() + 1;
    for (line, reason) in [
        ("garbage", "expected value"),
        ("{\"type\":\"message\"}", "missing field"),
        ("{\"type\":\"spell\"}", "unknown variant `spell`"),
        ("[]", ""),
        (
            "{\"type\":\"header\",\"format\":\"ash-memory\",\"version\":2}",
            "up to version 1",
        ),
        (
            "{\"type\":\"header\",\"format\":\"mbox\",\"version\":1}",
            "`mbox`",
        ),
        (
            &good[4].replace("\"id\":\"0", "\"id\":\"x"),
            "is not the id of a message",
        ),
        (
            &good[4].replace("\"user\"", "\"wizard\""),
            "unknown variant `wizard`",
        ),
    ] {
        let memory = memory();
        let error = import(&memory, &format!("{text}{line}\n"))
            .await
            .unwrap_err();
        let MemoryError::Import {
            line: number,
            reason: said,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*number, u64::try_from(last).unwrap(), "{error}");
        assert!(said.contains(reason), "{error}");
        assert!(memory.sessions().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_message_without_its_session_is_a_wrong_line() {
    let text = exported(&full().await).await;
    let orphans: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("\"type\":\"session\""))
        .collect();
    let memory = memory();
    let error = import(&memory, &orphans.join("\n")).await.unwrap_err();
    insta::assert_snapshot!(error, @"line 3: it belongs to something that is not kept");
    assert!(memory.profiles().await.unwrap().is_empty());
}

#[tokio::test]
async fn empty_lines_and_a_byte_order_mark_do_no_harm() {
    let text = exported(&full().await).await.replace('\n', "\r\n\r\n");
    let memory = memory();
    let added = import(&memory, &format!("\u{feff}{text}")).await.unwrap();
    assert_eq!(added.messages, 4);
    assert_eq!(import(&memory, "").await.unwrap(), Transferred::default());
}

#[tokio::test]
async fn an_export_that_cannot_be_written_says_so() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = full().await.export(Full).await.unwrap_err();
    assert!(matches!(error, MemoryError::Write(_)), "{error}");
}
