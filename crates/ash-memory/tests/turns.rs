//! What a turn keeps, and what is read of it later.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use ash_memory::{
    Accepted, ChatKind, Clock, InboxState, Memory, MemoryError, MessageId, NewMessage, NewOutbox,
    NewSession, OpenOptions, OutboxId, OutboxState, Record, Role, Session, SessionId, TokenUsage,
    ToolExecutionId,
};
use serde_json::json;

fn memory() -> Memory {
    Memory::open_in_memory(OpenOptions::default()).unwrap()
}

async fn session(memory: &Memory, chat: &str) -> Session {
    let new = NewSession {
        provider: "terminal".into(),
        chat_id: chat.into(),
        user_id: "terminal:owner".into(),
        kind: ChatKind::Private,
    };
    memory.open_session(new).await.unwrap()
}

fn said(session: &Session, role: Role, text: &str) -> NewMessage {
    NewMessage::new(session.id.clone(), role, text)
}

async fn texts(memory: &Memory, session: &Session) -> Vec<String> {
    let history = memory.history(&session.id, None).await.unwrap();
    history.into_iter().map(|message| message.content).collect()
}

#[tokio::test]
async fn a_chat_has_one_session() {
    let memory = memory();
    let first = session(&memory, "main").await;
    assert_eq!(session(&memory, "main").await, first);
    assert_ne!(session(&memory, "other").await.id, first.id);
    let found = memory.find_session("terminal", "main").await.unwrap();
    assert_eq!(found, Some(first));
    assert_eq!(memory.find_session("telegram", "main").await.unwrap(), None);
}

#[tokio::test]
async fn a_message_comes_back_as_it_was_kept() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let mut message = said(&session, Role::User, "Grüße, 世界 \u{0} 🦀");
    message.blocks = json!([{"type": "text", "text": "…"}]);
    message.context = Some("It is Monday.".into());
    message.author = Some("terminal:owner".into());
    message.token_count = Some(7);
    message.metadata.insert("reply_to".into(), json!("42"));
    memory
        .record(vec![Record::Message(message.clone())])
        .await
        .unwrap();

    let stored = memory.message(&message.id).await.unwrap();
    assert_eq!(stored.content, message.content);
    assert_eq!(stored.blocks, message.blocks);
    assert_eq!(stored.context, message.context);
    assert_eq!(stored.author, message.author);
    assert_eq!(stored.token_count, message.token_count);
    assert_eq!(stored.metadata, message.metadata);
    assert_eq!(memory.history(&session.id, None).await.unwrap(), [stored]);
}

#[tokio::test]
async fn facts_of_a_turn_are_kept_together_or_not_at_all() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let before = memory.changes().await.unwrap();
    let unknown = Record::ToolFinished {
        id: ToolExecutionId::generate(),
        output: String::new(),
        success: true,
        duration_ms: 1,
    };
    let message = Record::Message(said(&session, Role::User, "lost?"));
    let error = memory.record(vec![message, unknown]).await.unwrap_err();
    assert!(matches!(error, MemoryError::NotFound { .. }), "{error}");
    assert!(texts(&memory, &session).await.is_empty());
    assert_eq!(memory.changes().await.unwrap(), before);
}

#[tokio::test]
async fn messages_keep_their_order_when_the_clock_goes_back() {
    let seconds = std::sync::atomic::AtomicI64::new(1_000_000);
    let backwards = Clock::new(move || {
        let second = seconds.fetch_sub(100, std::sync::atomic::Ordering::Relaxed);
        jiff::Timestamp::from_second(second).unwrap()
    });
    let options = OpenOptions {
        clock: backwards,
        ..OpenOptions::default()
    };
    let memory = Memory::open_in_memory(options).unwrap();
    let session = session(&memory, "main").await;
    // Ids out of order, too.
    let mut messages: Vec<_> = ["a", "b", "c", "d"]
        .map(|text| said(&session, Role::User, text))
        .into();
    let id = messages[0].id.clone();
    messages[0].id = std::mem::replace(&mut messages[3].id, id);
    for message in messages {
        memory.record(vec![Record::Message(message)]).await.unwrap();
    }
    assert_eq!(texts(&memory, &session).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_new_context_hides_what_was_said_before_and_keeps_it() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let message = said(&session, Role::User, text);
        ids.push(message.id.clone());
        memory.record(vec![Record::Message(message)]).await.unwrap();
    }
    memory
        .start_context(&session.id, Some(&ids[1]))
        .await
        .unwrap();
    assert_eq!(texts(&memory, &session).await, ["two", "three"]);
    memory.start_context(&session.id, None).await.unwrap();
    assert!(texts(&memory, &session).await.is_empty());

    let next = said(&session, Role::User, "four");
    memory.record(vec![Record::Message(next)]).await.unwrap();
    assert_eq!(texts(&memory, &session).await, ["four"]);

    let all = memory.history(&session.id, Some(&ids[0])).await.unwrap();
    assert_eq!(all.len(), 4);
    let page = memory
        .messages_before(&session.id, Some(&ids[2]), 1)
        .await
        .unwrap();
    assert_eq!(page[0].content, "two");
    let tail = memory.messages_before(&session.id, None, 2).await.unwrap();
    assert_eq!(tail[0].content, "three");
    assert_eq!(tail[1].content, "four");
}

#[tokio::test]
async fn a_session_is_listed_by_its_first_words() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let question = "Could you please tell me what the weather will be like tomorrow?";
    let records = vec![
        Record::Message(said(&session, Role::User, question)),
        Record::Message(said(&session, Role::Tool, "rain")),
        Record::Message(said(&session, Role::Assistant, "Rain.")),
    ];
    memory.record(records).await.unwrap();
    let summary = memory.sessions().await.unwrap().remove(0);
    assert_eq!(
        summary.title.as_deref(),
        Some("Could you please tell me what the weather…")
    );
    assert_eq!(summary.messages, 2);
    assert!(summary.first_at <= summary.last_at);
}

#[tokio::test]
async fn a_tool_that_started_has_no_outcome_until_it_ends_once() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let id = ToolExecutionId::generate();
    let started = Record::ToolStarted {
        id: id.clone(),
        session: session.id.clone(),
        turn: None,
        call_id: Some("call_1".into()),
        tool: "shell".into(),
        input: json!({"command": "ls"}),
    };
    memory.record(vec![started]).await.unwrap();
    let run = memory
        .tool_executions(&session.id, None)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((run.tool.as_str(), run.outcome), ("shell", None));

    let finished = Record::ToolFinished {
        id,
        output: "a b".into(),
        success: true,
        duration_ms: 12,
    };
    memory.record(vec![finished.clone()]).await.unwrap();
    let run = memory
        .tool_executions(&session.id, None)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(run.outcome.unwrap().output, "a b");
    let twice = memory.record(vec![finished]).await.unwrap_err();
    assert!(matches!(twice, MemoryError::Invalid(_)), "{twice}");
}

#[tokio::test]
async fn what_comes_in_twice_is_kept_once() {
    let memory = memory();
    let first = memory
        .accept("telegram", "17", "chat", r#"{"text":"hi"}"#, Some("18"))
        .await
        .unwrap();
    let Accepted::New(id) = first else {
        panic!("{first:?}")
    };
    let second = memory
        .accept("telegram", "17", "chat", r#"{"text":"hi"}"#, Some("18"))
        .await
        .unwrap();
    assert_eq!(second, Accepted::Duplicate(id.clone()));
    assert_eq!(
        memory.cursor("telegram").await.unwrap().as_deref(),
        Some("18")
    );

    assert_eq!(memory.begin(&id).await.unwrap().attempts, 1);
    let item = memory.begin(&id).await.unwrap();
    assert_eq!((item.attempts, item.state), (2, InboxState::Working));
    assert_eq!(
        memory.pending("telegram", Some("chat")).await.unwrap(),
        [item]
    );
    memory
        .record(vec![Record::Inbox(id.clone(), InboxState::Done)])
        .await
        .unwrap();
    assert!(memory.pending("telegram", None).await.unwrap().is_empty());
    let again = memory.begin(&id).await.unwrap_err();
    assert!(matches!(again, MemoryError::Invalid(_)), "{again}");
}

#[tokio::test]
async fn what_is_not_json_is_not_accepted() {
    let error = memory()
        .accept("telegram", "17", "chat", "{", Some("18"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("message `17` of telegram"),
        "{error}"
    );
}

async fn outgoing(memory: &Memory) -> OutboxId {
    let new = NewOutbox {
        id: OutboxId::generate(),
        session: None,
        turn: None,
        channel: "telegram".into(),
        chat_id: "chat".into(),
        content: "hello".into(),
        reply_to: None,
        metadata: serde_json::Map::new(),
    };
    let id = new.id.clone();
    memory.record(vec![Record::Outbox(new)]).await.unwrap();
    id
}

#[tokio::test]
async fn what_is_delivered_never_goes_back() {
    let memory = memory();
    let id = outgoing(&memory).await;
    let early = memory.delivered(&id, "99").await.unwrap_err();
    assert!(matches!(early, MemoryError::Invalid(_)), "{early}");
    memory.sending(&id).await.unwrap();
    memory.delivered(&id, "99").await.unwrap();
    memory.delivered(&id, "99").await.unwrap();
    for refused in [
        memory.sending(&id).await,
        memory.uncertain(&id, "?").await,
        memory.failed(&id, "?").await,
        memory.send_again(&id).await,
        memory.delivered(&id, "100").await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, MemoryError::Invalid(_)), "{error}");
    }
    let item = memory.outbox_item(&id).await.unwrap();
    assert_eq!(item.state, OutboxState::Delivered);
    assert_eq!(item.external_id.as_deref(), Some("99"));
    let open = memory.outbox_unfinished("telegram", None).await.unwrap();
    assert!(open.is_empty());
}

#[tokio::test]
async fn only_a_first_send_can_be_uncertain_and_is_not_repeated_blindly() {
    let memory = memory();
    let blind = outgoing(&memory).await;
    memory.sending(&blind).await.unwrap();
    assert!(memory.sending(&blind).await.is_err());
    memory.uncertain(&blind, "no answer").await.unwrap();
    assert!(memory.sending(&blind).await.is_err());
    memory.send_again(&blind).await.unwrap();
    memory.sending(&blind).await.unwrap();

    let preview = outgoing(&memory).await;
    memory.sending(&preview).await.unwrap();
    memory.first_sent(&preview, "7").await.unwrap();
    assert!(memory.uncertain(&preview, "no answer").await.is_err());
    // An edit may be repeated.
    memory.sending(&preview).await.unwrap();
    let content = Record::OutboxContent {
        id: preview.clone(),
        content: "hello, all of it".into(),
    };
    memory.record(vec![content]).await.unwrap();
    let open = memory
        .outbox_unfinished("telegram", Some("chat"))
        .await
        .unwrap();
    assert_eq!(open.len(), 2);
    assert_eq!(open[1].external_id.as_deref(), Some("7"));
    assert_eq!(open[1].content, "hello, all of it");
}

#[tokio::test]
async fn a_deleted_session_takes_its_messages_along_and_leaves_its_costs() {
    let memory = memory();
    let session = session(&memory, "main").await;
    let message = said(&session, Role::User, "hello");
    let id = message.id.clone();
    let usage = Record::Usage {
        session: session.id.clone(),
        turn: None,
        model: "offline/offline".into(),
        tokens: TokenUsage::default(),
        cost_micros: Some(3),
    };
    memory
        .record(vec![Record::Message(message), usage])
        .await
        .unwrap();
    memory.delete_session(&session.id).await.unwrap();
    let gone = memory.message(&id).await.unwrap_err();
    assert!(matches!(gone, MemoryError::NotFound { .. }), "{gone}");
    let again = memory.delete_session(&session.id).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        format!("there is no session `{}`", session.id)
    );
}

#[tokio::test]
async fn a_message_to_an_unknown_session_is_refused_in_a_sentence() {
    let stray = NewMessage::new(SessionId::generate(), Role::User, "hello");
    let error = memory()
        .record(vec![Record::Message(stray)])
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"it belongs to something that is not kept");
}

#[test]
fn ids_sort_as_they_are_made() {
    let ids: Vec<_> = (0..1000).map(|_| MessageId::generate()).collect();
    assert!(ids.is_sorted());
    assert!(MessageId::parse("not an id").is_err());
    assert_eq!(MessageId::parse(ids[0].as_str()).unwrap(), ids[0]);
}
