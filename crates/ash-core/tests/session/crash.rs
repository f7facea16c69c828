//! What a kill leaves in the database, and how the next process goes on from there.

use ash_core::{Said, Words};
use ash_llm::{Content, Message, ToolCall, ToolResult};
use ash_memory::{
    Accepted, ChatKind, InboxId, InboxState, Memory, NewMessage, NewSession, OpenOptions, Record,
    Role, SessionId, ToolExecutionId,
};
use ash_testkit::Answer;
use insta::assert_snapshot;
use serde_json::{Map, json};

use crate::support::{Chat, Gated, key};

/// A conversation that a kill cut short, written down as far as it had got.
struct Cut {
    memory: Memory,
    session: SessionId,
    turn: InboxId,
}

impl Cut {
    /// The person's words are accepted, and nothing else.
    async fn after_accept(text: &str) -> Self {
        let memory = Memory::open_in_memory(OpenOptions::default()).unwrap();
        let key = key();
        let session = memory
            .open_session(NewSession {
                provider: key.provider,
                chat_id: key.chat_id,
                user_id: key.user_id,
                kind: ChatKind::Private,
            })
            .await
            .unwrap();
        let raw = serde_json::to_string(&Said { text: text.into() }).unwrap();
        let accepted = memory
            .accept("terminal", "1", "main", &raw, None)
            .await
            .unwrap();
        let Accepted::New(turn) = accepted else {
            panic!("nothing was accepted before");
        };
        Self {
            memory,
            session: session.id,
            turn,
        }
    }

    async fn record(self, records: Vec<Record>) -> Self {
        self.memory.record(records).await.unwrap();
        self
    }

    fn message(&self, role: Role, message: &Message) -> Record {
        Record::Message(NewMessage {
            turn: Some(self.turn.clone()),
            blocks: json!(message.content),
            ..NewMessage::new(self.session.clone(), role, message.text())
        })
    }

    /// The turn has begun: its words are stored.
    async fn after_begin(self) -> Self {
        let words = self.message(Role::User, &Message::user("go"));
        let working = Record::Inbox(self.turn.clone(), InboxState::Working);
        self.record(vec![words, working]).await
    }

    /// The model has asked for a tool, and the intent to run it is stored.
    async fn after_intent(self, id: &ToolExecutionId) -> Self {
        let call = Message {
            content: vec![Content::ToolCall(ToolCall {
                id: "1".into(),
                name: "look".into(),
                arguments: Map::new(),
            })],
            ..Message::assistant("")
        };
        let records = vec![
            self.message(Role::Assistant, &call),
            Record::ToolStarted {
                id: id.clone(),
                session: self.session.clone(),
                turn: Some(self.turn.clone()),
                call_id: Some("1".into()),
                tool: "look".into(),
                input: json!({}),
            },
        ];
        self.record(records).await
    }

    /// The next process starts, and finishes what is unfinished.
    async fn restart(self, answers: Vec<Answer>, look: &Gated) -> (Chat, String) {
        let mut chat = Chat::over(self.memory, answers, |agent| agent.tool(look.clone())).await;
        let left = chat
            .agent
            .intake()
            .unfinished("terminal", "main")
            .await
            .unwrap();
        assert_eq!(left.len(), 1);
        let said: Said = serde_json::from_str(&left[0].raw).unwrap();
        chat.session
            .say_accepted(Words {
                inbox: left[0].id.clone(),
                author: None,
                content: vec![Content::Text { text: said.text }],
            })
            .unwrap();
        let transcript = chat.transcript().await;
        let left = chat
            .agent
            .intake()
            .unfinished("terminal", "main")
            .await
            .unwrap();
        assert!(left.is_empty(), "{left:?}");
        (chat, transcript)
    }
}

#[tokio::test]
async fn killed_before_the_turn_began_it_begins() {
    let look = Gated::new("look", 9);
    let cut = Cut::after_accept("go").await;
    let (_, transcript) = cut.restart(vec![Answer::text("here")], &look).await;
    assert_snapshot!(transcript, @r"
    turn: go
    shown: here
    message: here
    finished: answered
    ");
}

#[tokio::test]
async fn killed_while_the_model_spoke_it_is_asked_anew() {
    let look = Gated::new("look", 9);
    let cut = Cut::after_accept("go").await.after_begin().await;
    let (chat, transcript) = cut.restart(vec![Answer::text("here")], &look).await;
    assert_snapshot!(transcript, @r"
    turn (again): go
    shown: here
    message: here
    finished: answered
    ");
    assert_eq!(chat.model.requests()[0].messages.len(), 1);
}

#[tokio::test]
async fn killed_while_a_tool_ran_it_is_not_run_again() {
    let look = Gated::new("look", 9);
    let id = ToolExecutionId::generate();
    let cut = Cut::after_accept("go").await.after_begin().await;
    let cut = cut.after_intent(&id).await;
    let (chat, transcript) = cut.restart(vec![Answer::text("unsure")], &look).await;
    assert!(transcript.ends_with("finished: answered\n"), "{transcript}");
    assert_eq!(look.calls(), 0);
    let last = &chat.model.requests()[0].messages[2];
    let result = last.results().next().unwrap();
    assert!(result.is_error && result.joined_text().contains("outcome unknown"));
}

#[tokio::test]
async fn killed_after_a_tool_ended_its_result_is_used() {
    let look = Gated::new("look", 9);
    let id = ToolExecutionId::generate();
    let cut = Cut::after_accept("go").await.after_begin().await;
    let cut = cut.after_intent(&id).await;
    let finished = Record::ToolFinished {
        id,
        output: r#"[{"type":"text","text":"42"}]"#.into(),
        success: true,
        duration_ms: 1,
    };
    let cut = cut.record(vec![finished]).await;
    let (chat, _) = cut.restart(vec![Answer::text("42")], &look).await;
    assert_eq!(look.calls(), 0);
    let last = &chat.model.requests()[0].messages[2];
    let texts: Vec<String> = last.results().map(ToolResult::joined_text).collect();
    assert_eq!(texts, ["42"]);
}

#[tokio::test]
async fn what_nobody_finishes_is_closed_before_the_next_words() {
    let look = Gated::new("look", 9);
    let id = ToolExecutionId::generate();
    let cut = Cut::after_accept("go").await.after_begin().await;
    let cut = cut.after_intent(&id).await;
    let given_up = Record::Inbox(cut.turn.clone(), InboxState::Failed);
    let cut = cut.record(vec![given_up]).await;
    let mut chat = Chat::over(
        cut.memory,
        [Answer::text("ok"), Answer::text("ok")],
        |agent| agent.tool(look),
    )
    .await;
    chat.say("something else").await;
    chat.say("more").await;
    assert_eq!(chat.model.requests()[0].messages.len(), 5);
}

#[tokio::test]
async fn a_turn_that_others_followed_is_begun_anew() {
    let look = Gated::new("look", 9);
    let cut = Cut::after_accept("go").await.after_begin().await;
    let later = InboxId::generate();
    let said = |role, text: &str| {
        Record::Message(NewMessage {
            turn: Some(later.clone()),
            ..NewMessage::new(cut.session.clone(), role, text)
        })
    };
    let records = vec![said(Role::User, "other"), said(Role::Assistant, "done")];
    let cut = cut.record(records).await;
    let (chat, transcript) = cut.restart(vec![Answer::text("here")], &look).await;
    assert!(transcript.starts_with("turn: go\n"), "{transcript}");
    let last = chat.model.requests()[0].messages.last().cloned().unwrap();
    assert_eq!(last.text(), "go");
}

#[tokio::test]
async fn leaving_in_the_middle_keeps_the_turn_for_the_next_process() {
    let memory = Memory::open_in_memory(OpenOptions::default()).unwrap();
    let mut chat = Chat::over(memory.clone(), [Answer::text("One").then_hang()], |agent| {
        agent
    })
    .await;
    chat.session.say("count").await.unwrap();
    chat.model.wait_for_requests(1).await;
    chat.agent.shutdown().await;
    while let Some(stamped) = chat.events.recv().await {
        assert!(!matches!(stamped.event, ash_core::Event::TurnFinished(_)));
    }
    let left = memory.pending("terminal", None).await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn what_was_answered_is_not_answered_again() {
    let mut chat = Chat::with([Answer::text("one"), Answer::text("two")]).await;
    let inbox = chat.session.say("first").await.unwrap();
    chat.finished().await;
    chat.session
        .say_accepted(Words {
            inbox,
            author: None,
            content: vec![Content::Text {
                text: "first".into(),
            }],
        })
        .unwrap();
    chat.say("second").await;
    assert_eq!(chat.model.requests().len(), 2);
}
