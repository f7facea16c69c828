//! What is kept beside the conversation: questions, accounts, costs, vectors.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use std::sync::atomic::{AtomicI64, Ordering};

use ash_memory::{
    Answer, ApprovalId, ChatKind, Clock, Memory, MemoryError, MessageId, NewApproval, NewMessage,
    NewProfile, NewSession, OpenOptions, Record, Role, Session, TokenUsage, UsageBy, UsageQuery,
    Viewer,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

fn memory() -> Memory {
    Memory::open_in_memory(OpenOptions::default()).unwrap()
}

async fn chat(memory: &Memory, chat: &str, user: &str) -> Session {
    let new = NewSession {
        provider: "terminal".into(),
        chat_id: chat.into(),
        user_id: user.into(),
        kind: ChatKind::Private,
    };
    memory.open_session(new).await.unwrap()
}

#[tokio::test]
async fn a_question_is_open_until_its_first_answer() {
    let memory = memory();
    let session = chat(&memory, "main", "owner").await;
    let new = NewApproval {
        id: ApprovalId::generate(),
        session: session.id.clone(),
        turn: None,
        call_id: Some("call_1".into()),
        question: json!({"tool": "shell", "input": {"command": "rm x"}}),
    };
    let id = new.id.clone();
    memory.ask(new.clone()).await.unwrap();
    let open = memory.open_approvals(Some(&session.id)).await.unwrap();
    assert_eq!(open[0].question, new.question);

    let answered = memory
        .answer(&id, Answer::Denied, Some("owner"))
        .await
        .unwrap();
    assert_eq!(answered.answer, Some(Answer::Denied));
    assert!(memory.open_approvals(None).await.unwrap().is_empty());
    let late = memory
        .answer(&id, Answer::Approved, None)
        .await
        .unwrap_err();
    assert_eq!(
        late.to_string(),
        format!("question `{id}` is denied already")
    );
    assert_eq!(memory.approval(&id).await.unwrap(), answered);
}

#[tokio::test]
async fn what_is_newly_known_of_an_account_adds_to_what_was() {
    let memory = memory();
    let first = NewProfile {
        user_id: "telegram:1".into(),
        provider: "telegram".into(),
        username: Some("ann".into()),
        display_name: Some("Ann".into()),
        data: json!({"language": "de", "bot": false})
            .as_object()
            .unwrap()
            .clone(),
        notes: Some("likes tea".into()),
    };
    memory.upsert_profile(first).await.unwrap();
    let second = NewProfile {
        user_id: "telegram:1".into(),
        provider: "telegram".into(),
        display_name: Some("Anna".into()),
        data: json!({"language": "en", "bot": null})
            .as_object()
            .unwrap()
            .clone(),
        ..NewProfile::default()
    };
    let profile = memory.upsert_profile(second).await.unwrap();
    assert_eq!(profile.username.as_deref(), Some("ann"));
    assert_eq!(profile.display_name.as_deref(), Some("Anna"));
    assert_eq!(profile.notes.as_deref(), Some("likes tea"));
    assert_eq!(json!(profile.data), json!({"language": "en"}));
    assert_eq!(memory.profiles().await.unwrap(), [profile]);
    assert!(memory.profile("telegram:2").await.is_err());
}

#[tokio::test]
async fn costs_are_added_up_by_day_model_and_session() {
    // Half a day goes by with every look at the clock.
    let start: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
    let seconds = AtomicI64::new(start.as_second());
    let clock = Clock::new(move || {
        Timestamp::from_second(seconds.fetch_add(12 * 3600, Ordering::Relaxed)).unwrap()
    });
    let memory = Memory::open_in_memory(OpenOptions {
        clock,
        ..OpenOptions::default()
    })
    .unwrap();
    let session = chat(&memory, "main", "owner").await;
    for (model, cost_micros) in [("a/x", Some(5)), ("b/y", None), ("a/x", Some(7))] {
        let call = Record::Usage {
            session: session.id.clone(),
            turn: None,
            model: model.into(),
            tokens: TokenUsage {
                input: 10,
                output: 1,
                cache_read: 2,
                cache_write: 3,
            },
            cost_micros,
        };
        memory.record(vec![call]).await.unwrap();
    }
    let sums = async |by: UsageBy| {
        let query = UsageQuery {
            since: None,
            until: None,
            by,
        };
        let totals = memory.usage(query).await.unwrap();
        totals
            .iter()
            .map(|total| {
                format!(
                    "{}: {} calls, {} in, {} micros, {} unpriced",
                    total.key, total.calls, total.tokens.input, total.cost_micros, total.unpriced
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(sums(UsageBy::Model).await, @"
    a/x: 2 calls, 20 in, 12 micros, 0 unpriced
    b/y: 1 calls, 10 in, 0 micros, 1 unpriced
    ");
    insta::assert_snapshot!(sums(UsageBy::Day(TimeZone::UTC)).await, @"
    2026-11-22: 1 calls, 10 in, 5 micros, 0 unpriced
    2026-11-23: 2 calls, 20 in, 7 micros, 1 unpriced
    ");
    let west = TimeZone::fixed(jiff::tz::offset(-8));
    insta::assert_snapshot!(sums(UsageBy::Day(west)).await, @"
    2026-11-22: 2 calls, 20 in, 5 micros, 1 unpriced
    2026-11-23: 1 calls, 10 in, 7 micros, 0 unpriced
    ");
    assert_eq!(
        sums(UsageBy::Session).await,
        format!("{}: 3 calls, 30 in, 12 micros, 1 unpriced", session.id)
    );
    let late = UsageQuery {
        since: Some("2026-11-23T12:00:00Z".parse().unwrap()),
        until: None,
        by: UsageBy::Model,
    };
    assert_eq!(memory.usage(late).await.unwrap().len(), 1);
}

async fn say(memory: &Memory, session: &Session, text: &str) -> MessageId {
    let message = NewMessage::new(session.id.clone(), Role::User, text);
    let id = message.id.clone();
    memory.record(vec![Record::Message(message)]).await.unwrap();
    id
}

#[tokio::test]
async fn vectors_are_kept_replaced_compared_and_go_with_their_messages() {
    let memory = memory();
    let mine = chat(&memory, "mine", "me").await;
    let yours = chat(&memory, "yours", "you").await;
    let (a, b) = (
        say(&memory, &mine, "a").await,
        say(&memory, &mine, "b").await,
    );
    let hidden = say(&memory, &yours, "hidden").await;

    let early = vec![(a.clone(), vec![1.0, 0.0])];
    assert!(memory.store_message_vectors(early).await.is_err());
    memory.initialize_vector_tables(2).await.unwrap();
    memory.initialize_vector_tables(2).await.unwrap();
    let other = memory.initialize_vector_tables(3).await.unwrap_err();
    insta::assert_snapshot!(other, @"the vectors that are kept have 2 numbers, not 3");

    let vectors = vec![
        (a.clone(), vec![0.0, 1.0]),
        (a.clone(), vec![1.0, 0.0]),
        (b.clone(), vec![1.0, 1.0]),
        (hidden.clone(), vec![1.0, 0.1]),
    ];
    memory.store_message_vectors(vectors).await.unwrap();
    let viewer = Viewer::Chat {
        session: mine.id.clone(),
        user_id: "me".into(),
        private: true,
    };
    let nearest = async |viewer: &Viewer| {
        let found = memory
            .nearest_messages(vec![2.0, 0.0], viewer.clone(), 10)
            .await
            .unwrap();
        found
            .into_iter()
            .map(|near| near.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(nearest(&viewer).await, [a.clone(), b.clone()]);
    assert_eq!(
        nearest(&Viewer::Operator).await,
        [a.clone(), hidden, b.clone()]
    );

    for wrong in [vec![1.0], vec![0.0, 0.0], vec![f32::NAN, 1.0]] {
        let error = memory
            .store_message_vectors(vec![(a.clone(), wrong)])
            .await
            .unwrap_err();
        assert!(matches!(error, MemoryError::Invalid(_)), "{error}");
    }
    let unknown = vec![(MessageId::generate(), vec![1.0, 0.0])];
    assert!(memory.store_message_vectors(unknown).await.is_err());

    memory.delete_message_vectors(vec![a]).await.unwrap();
    assert_eq!(nearest(&viewer).await, [b]);
    memory.delete_session(&mine.id).await.unwrap();
    assert_eq!(nearest(&Viewer::Operator).await.len(), 1);
}
