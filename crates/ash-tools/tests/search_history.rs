//! `search_history` over a real database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ash_core::{Tool, ToolContext};
use ash_memory::{
    ChatKind, Clock, Memory, NewMessage, NewSession, OpenOptions, Record, Role, Session, TurnId,
    Viewer,
};
use ash_tools::SearchHistory;
use insta::assert_snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct Ground {
    memory: Memory,
    tool: SearchHistory,
}

impl Ground {
    fn new() -> Self {
        let clock = Clock::new(|| "2026-11-22T19:40:00Z".parse::<Timestamp>().unwrap());
        let memory = Memory::open_in_memory(OpenOptions {
            clock,
            ..OpenOptions::default()
        })
        .unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let tool = SearchHistory::new(memory.clone(), zone);
        Self { memory, tool }
    }

    async fn chat(&self, chat_id: &str, user_id: &str, kind: ChatKind) -> Session {
        self.memory
            .open_session(NewSession {
                provider: "terminal".into(),
                chat_id: chat_id.into(),
                user_id: user_id.into(),
                kind,
            })
            .await
            .unwrap()
    }

    async fn say(&self, session: &Session, turn: &TurnId, role: Role, text: &str) {
        let message = NewMessage {
            turn: Some(turn.clone()),
            ..NewMessage::new(session.id.clone(), role, text)
        };
        self.memory
            .record(vec![Record::Message(message)])
            .await
            .unwrap();
    }

    async fn search(&self, from: &Session, turn: &TurnId, arguments: Value) -> String {
        let ctx = ToolContext {
            viewer: Viewer::Chat {
                session: from.id.clone(),
                user_id: from.user_id.clone(),
                private: from.kind == ChatKind::Private,
            },
            turn: turn.clone(),
            cancel: CancellationToken::new(),
        };
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object");
        };
        match self.tool.call(&ctx, arguments).await {
            Ok(output) => match output.content.as_slice() {
                [ash_llm::ResultContent::Text { text }] => text.clone(),
                other => panic!("{other:?}"),
            },
            Err(error) => format!("error: {error}"),
        }
    }
}

#[tokio::test]
async fn what_was_said_is_found_with_its_date_and_surroundings() {
    let ground = Ground::new();
    let chat = ground.chat("main", "owner", ChatKind::Private).await;
    let (told, asked) = (TurnId::generate(), TurnId::generate());
    let fact = "remember that my sister Anna\nis allergic to nuts";
    ground.say(&chat, &told, Role::User, fact).await;
    ground.say(&chat, &told, Role::Assistant, "Noted.").await;
    let question = "what is Anna allergic to?";
    ground.say(&chat, &asked, Role::User, question).await;
    let other = ground.chat("other", "owner", ChatKind::Private).await;
    let found = ground
        .search(&other, &asked, json!({ "query": question }))
        .await;
    assert_snapshot!(found, @r#"
    Found, best first ("you" is the person you talk with; indented: what was said just before and after):
    [2026-11-22 20:40] you in "main": remember that my sister Anna is allergic to nuts
    [2026-11-22 20:40] Ash in "main": Noted.
    "#);
}

#[tokio::test]
async fn a_group_finds_nothing_that_was_said_in_private() {
    let ground = Ground::new();
    let private = ground.chat("main", "owner", ChatKind::Private).await;
    let stranger = ground.chat("s", "stranger", ChatKind::Private).await;
    let group = ground.chat("group", "owner", ChatKind::Group).await;
    let turn = TurnId::generate();
    ground
        .say(&private, &turn, Role::User, "my salary is 4000")
        .await;
    for chat in [&group, &stranger] {
        let found = ground
            .search(chat, &TurnId::generate(), json!({ "query": "salary" }))
            .await;
        assert!(found.starts_with("No message has words"), "{found}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_explained_to_the_model() {
    let ground = Ground::new();
    let chat = ground.chat("main", "owner", ChatKind::Private).await;
    let turn = TurnId::generate();
    for (arguments, said) in [
        (json!({}), "missing field `query`"),
        (json!({ "query": "  " }), "`query` is empty"),
        (
            json!({ "query": "x", "since": "May" }),
            "give a day as YYYY-MM-DD",
        ),
        (json!({ "query": "x", "color": 1 }), "unknown field `color`"),
    ] {
        let told = ground.search(&chat, &turn, arguments.clone()).await;
        assert!(told.contains(said), "{arguments}: {told}");
    }
}

#[test]
fn the_schema_is_small_and_closed() {
    let memory = Memory::open_in_memory(OpenOptions::default()).unwrap();
    let spec = SearchHistory::new(memory, TimeZone::UTC).spec();
    assert_eq!(spec.parameters["type"], "object");
    assert_eq!(spec.parameters["required"], json!(["query"]));
    assert_eq!(spec.parameters["additionalProperties"], json!(false));
    assert!(spec.parameters.to_string().len() < 900);
}
