//! What is found, in which order, and what is not found.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap too")]

use ash_memory::{
    ChatKind, Memory, MessageHit, MessageId, MessageQuery, NewMessage, NewSession, OpenOptions,
    Record, Role, Session, Viewer,
};
use proptest::prelude::*;

fn memory() -> Memory {
    Memory::open_in_memory(OpenOptions::default()).unwrap()
}

async fn chat(memory: &Memory, name: &str, user: &str, kind: ChatKind) -> Session {
    let new = NewSession {
        provider: "terminal".into(),
        chat_id: name.into(),
        user_id: user.into(),
        kind,
    };
    memory.open_session(new).await.unwrap()
}

async fn say(memory: &Memory, session: &Session, role: Role, text: &str) -> MessageId {
    let message = NewMessage::new(session.id.clone(), role, text);
    let id = message.id.clone();
    memory.record(vec![Record::Message(message)]).await.unwrap();
    id
}

fn viewer(session: &Session) -> Viewer {
    Viewer::Chat {
        session: session.id.clone(),
        user_id: session.user_id.clone(),
        private: session.kind == ChatKind::Private,
    }
}

async fn find(memory: &Memory, viewer: Viewer, text: &str) -> Vec<MessageHit> {
    let query = MessageQuery::new(text, viewer);
    memory.search_messages(query).await.unwrap()
}

async fn first(memory: &Memory, session: &Session, text: &str) -> String {
    let hits = find(memory, viewer(session), text).await;
    match hits.first() {
        Some(hit) => hit.message.content.clone(),
        None => "nothing".into(),
    }
}

#[tokio::test]
async fn a_question_finds_what_was_said_in_other_words() {
    let memory = memory();
    let old = chat(&memory, "main", "owner", ChatKind::Private).await;
    for (role, text) in [
        (Role::User, "what can you do?"),
        (Role::Assistant, "I remember what you tell me."),
        (
            Role::User,
            "remember that my sister Anna is allergic to nuts",
        ),
        (Role::Assistant, "I will remember that."),
        (Role::User, "who is the president of France?"),
        (Role::Assistant, "I am not connected to a model."),
    ] {
        say(&memory, &old, role, text).await;
    }
    let new = chat(&memory, "second", "owner", ChatKind::Private).await;
    let question = say(&memory, &new, Role::User, "what is Anna allergic to?").await;

    let query = MessageQuery {
        exclude: vec![question],
        ..MessageQuery::new("what is Anna allergic to?", viewer(&new))
    };
    let hits = memory.search_messages(query).await.unwrap();
    let best = &hits[0];
    assert_eq!(
        best.message.content,
        "remember that my sister Anna is allergic to nuts"
    );
    assert_eq!(best.chat_id, "main");
    let neighbours =
        [&best.before, &best.after].map(|neighbour| neighbour.as_ref().unwrap().content.as_str());
    assert_eq!(
        neighbours,
        ["I remember what you tell me.", "I will remember that."]
    );
}

#[tokio::test]
async fn words_are_found_in_any_language_and_form() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    let said = [
        "My daughter has two cats and plays the cello",
        "我的妹妹对花生过敏",
        "猫",
        "娘は毎週ピアノを習っている",
        "여동생은 땅콩 알레르기가 있어요",
        "น้องสาวของฉันแพ้ถั่วลิสง",
        "У моей сестры аллергия на орехи",
        "मेरी बहन को मूंगफली से एलर्जी है",
        "Meine Schwester verträgt keine Haselnüsse",
        "Ma sœur préfère l'été à l'hiver",
        "أختي لديها حساسية من الفول السوداني",
        "η αδελφή μου μένει στη Θεσσαλονίκη",
        "ticket AB-1234 is for C++ and node.js",
        "ｗｉｄｅ　ｌｅｔｔｅｒｓ",
    ];
    for text in said {
        say(&memory, &session, Role::User, text).await;
        // Keeps the others from being found as neighbours.
        say(&memory, &session, Role::Assistant, "…").await;
    }
    for (question, answer) in [
        ("which instruments does she play?", 0),
        ("CAT", 0),
        ("花生", 1),
        ("谁过敏？", 1),
        ("妹", 1),
        ("猫", 2),
        ("ピアノ", 3),
        ("알레르기", 4),
        ("ถั่วลิสง", 5),
        ("аллергию", 6),
        ("сестра", 6),
        ("बहन", 7),
        ("मूंगफली", 7),
        ("haselnusse", 8),
        ("Haselnuss", 8),
        ("ete", 9),
        ("e\u{301}te\u{301}", 9),
        ("حَسَاسِيَة", 10),
        ("Θεσσαλονικη", 11),
        ("1234", 12),
        ("node", 12),
        ("wide", 13),
    ] {
        let found = first(&memory, &session, question).await;
        assert_eq!(found, said[answer], "for {question}");
    }
    assert_eq!(first(&memory, &session, "zebra").await, "nothing");
    assert_eq!(first(&memory, &session, "🦀 !?").await, "nothing");
    assert_eq!(first(&memory, &session, "").await, "nothing");
}

#[tokio::test]
async fn stop_words_are_used_where_there_is_nothing_else() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    say(&memory, &session, Role::User, "to be or not to be").await;
    let found = first(&memory, &session, "to be").await;
    assert_eq!(found, "to be or not to be");
}

#[tokio::test]
async fn an_answer_is_found_by_its_question() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    say(
        &memory,
        &session,
        Role::Assistant,
        "Where do you keep the passport?",
    )
    .await;
    say(&memory, &session, Role::User, "In the blue drawer").await;
    let hits = find(&memory, viewer(&session), "passport").await;
    let texts: Vec<_> = hits
        .iter()
        .map(|hit| hit.message.content.as_str())
        .collect();
    assert_eq!(
        texts,
        ["Where do you keep the passport?", "In the blue drawer"]
    );
}

#[tokio::test]
async fn what_tools_said_and_what_was_told_beside_a_message_is_not_found() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    say(&memory, &session, Role::Tool, "zebra").await;
    let mut message = NewMessage::new(session.id.clone(), Role::User, "hello");
    message.context = Some("zebra".into());
    message.blocks = serde_json::json!(["zebra"]);
    memory.record(vec![Record::Message(message)]).await.unwrap();
    assert_eq!(first(&memory, &session, "zebra").await, "nothing");
}

#[tokio::test]
async fn a_chat_finds_only_what_it_may_know() {
    let memory = memory();
    let mine = chat(&memory, "mine", "me", ChatKind::Private).await;
    let also_mine = chat(&memory, "also mine", "me", ChatKind::Private).await;
    let group = chat(&memory, "group", "me", ChatKind::Group).await;
    let other_group = chat(&memory, "other group", "me", ChatKind::Group).await;
    let yours = chat(&memory, "yours", "you", ChatKind::Private).await;
    let all = [&mine, &also_mine, &group, &other_group, &yours];
    for session in all {
        say(&memory, session, Role::User, "zebra").await;
    }
    let seen = async |viewer: Viewer| {
        let mut chats: Vec<_> = find(&memory, viewer, "zebra")
            .await
            .into_iter()
            .map(|hit| hit.chat_id)
            .collect();
        chats.sort();
        chats.join(", ")
    };
    let claims = |session: &Session, user: &str, private: bool| Viewer::Chat {
        session: session.id.clone(),
        user_id: user.into(),
        private,
    };
    assert_eq!(seen(viewer(&mine)).await, "also mine, mine");
    assert_eq!(seen(viewer(&yours)).await, "yours");
    assert_eq!(seen(viewer(&group)).await, "group");
    assert_eq!(
        seen(Viewer::Operator).await,
        "also mine, group, mine, other group, yours"
    );
    // A wrong claim shows nothing of others.
    assert_eq!(seen(claims(&group, "me", true)).await, "group");
    assert_eq!(seen(claims(&yours, "me", true)).await, "yours");
    assert_eq!(seen(claims(&mine, "me", false)).await, "mine");
    let unknown = Session {
        id: ash_memory::SessionId::generate(),
        ..mine.clone()
    };
    assert_eq!(seen(viewer(&unknown)).await, "");
}

#[tokio::test]
async fn a_search_may_be_limited_in_time_and_number() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    for number in 0..5 {
        say(&memory, &session, Role::User, &format!("zebra {number}")).await;
    }
    let all = memory.history(&session.id, None).await.unwrap();
    let query = MessageQuery {
        since: Some(all[1].created_at),
        until: Some(all[4].created_at),
        ..MessageQuery::new("zebra", viewer(&session))
    };
    let hits = memory.search_messages(query.clone()).await.unwrap();
    assert!(
        hits.iter()
            .all(|hit| hit.message.id != all[4].id || all[4].created_at == all[3].created_at)
    );
    let two = MessageQuery { limit: 2, ..query };
    assert_eq!(memory.search_messages(two).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_deleted_session_is_no_longer_found() {
    let memory = memory();
    let session = chat(&memory, "main", "owner", ChatKind::Private).await;
    say(&memory, &session, Role::User, "zebra").await;
    memory.delete_session(&session.id).await.unwrap();
    assert!(find(&memory, Viewer::Operator, "zebra").await.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_text_can_be_kept_and_looked_for(texts in prop::collection::vec(".{0,60}|\\PC{0,40}|[\"*():^{}+\\-a-zA-Z ORNEATD]{0,40}", 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let memory = memory();
            let session = chat(&memory, "main", "owner", ChatKind::Private).await;
            for text in &texts {
                say(&memory, &session, Role::User, text).await;
            }
            for text in &texts {
                let hits = find(&memory, viewer(&session), text).await;
                let worded = text.chars().any(|letter| letter.is_ascii_alphanumeric());
                if worded && hits.is_empty() {
                    // Letters that an apostrophe cuts off are not words.
                    assert!(text.contains(['\'', '\u{2019}', '\u{2bc}']), "{text:?} does not find itself");
                }
            }
        });
    }
}
