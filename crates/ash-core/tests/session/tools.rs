use ash_core::{Decision, Event, Settings};
use ash_llm::{StopReason, ToolResult};
use ash_testkit::{Answer, check_prefix};
use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Chat, Gated};

fn results(chat: &Chat, request: usize) -> Vec<String> {
    chat.model.requests()[request]
        .messages
        .last()
        .unwrap()
        .results()
        .map(ToolResult::joined_text)
        .collect()
}

#[tokio::test]
async fn a_tool_runs_and_its_output_is_marked_as_data() {
    let look = Gated::new("look", 9);
    let mut chat = Chat::built(
        [
            Answer::text("Let me see.").and_tool_call("1", "look", json!({"say": "42"})),
            Answer::text("It is 42."),
        ],
        |agent| agent.tool(look),
    )
    .await;
    assert_snapshot!(chat.say("what is it?").await, @r"
    turn: what is it?
    shown: Let me see.
    message: Let me see.
    tool 1 starts
    tool 1 ends, success true
    shown: It is 42.
    message: It is 42.
    finished: answered
    ");
    assert_eq!(
        results(&chat, 1),
        ["<tool_output tool=\"look\">\n42\n</tool_output>"]
    );
}

#[tokio::test]
async fn calls_of_one_reply_run_at_the_same_time_and_answer_in_order() {
    let look = Gated::new("look", 0);
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({"say": "a"})).and_tool_call(
                "2",
                "look",
                json!({"say": "b"}),
            ),
            Answer::text("both"),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.session.say("go").await.unwrap();
    for _ in 0..2 {
        chat.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()))
            .await;
    }
    look.gate.add_permits(2);
    chat.finished().await;
    let answers = results(&chat, 1);
    assert!(
        answers[0].contains("\na\n") && answers[1].contains("\nb\n"),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_tool_that_wants_to_be_alone_is() {
    let look = Gated::new("look", 0).alone();
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})).and_tool_call("2", "look", json!({})),
            Answer::text("done"),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.session.say("go").await.unwrap();
    chat.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()))
        .await;
    look.gate.add_permits(1);
    // The second may start only when the first has ended.
    let next = chat
        .until(|event| match event {
            Event::ToolStarted { .. } => Some("started"),
            Event::ToolFinished { .. } => Some("finished"),
            _ => None,
        })
        .await;
    assert_eq!(next, "finished");
    look.gate.add_permits(1);
    chat.finished().await;
}

#[tokio::test]
async fn a_tool_that_breaks_or_is_unknown_costs_an_error_and_nothing_else() {
    let look = Gated::new("look", 9);
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({"say": "panic"}))
                .and_tool_call("2", "look", json!({"say": "fail"}))
                .and_tool_call("3", "jump", json!({})),
            Answer::text("sorry"),
        ],
        |agent| agent.tool(look),
    )
    .await;
    chat.say("go").await;
    let answers = results(&chat, 1);
    assert!(answers[0].contains("broke down"), "{answers:?}");
    assert!(
        answers[1].contains("\nit is not there; try another\n"),
        "{answers:?}"
    );
    assert!(answers[2].contains("the tools are: look"), "{answers:?}");
}

#[tokio::test]
async fn the_calls_of_a_cut_off_reply_do_not_run() {
    let look = Gated::new("look", 9);
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})).stop(StopReason::Length),
            Answer::text("too long"),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.say("go").await;
    assert_eq!(look.calls(), 0);
    assert!(results(&chat, 1)[0].contains("cut off"));
}

#[tokio::test]
async fn steering_reaches_the_model_with_the_results() {
    let look = Gated::new("look", 0);
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})),
            Answer::text("as you say"),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.session.say("go").await.unwrap();
    chat.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()))
        .await;
    chat.session.say("stop after this").await.unwrap();
    // A second message that was accepted later tells that the first is with the turn.
    look.gate.add_permits(1);
    chat.finished().await;
    let all: Vec<String> = chat
        .model
        .requests()
        .iter()
        .filter_map(|request| request.messages.last().map(ash_llm::Message::text))
        .collect();
    assert!(all.iter().any(|text| text == "stop after this"), "{all:?}");
}

#[tokio::test]
async fn an_interrupted_tool_is_answered_as_unknown() {
    let look = Gated::new("look", 0);
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})),
            Answer::text("ok"),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.session.say("go").await.unwrap();
    chat.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()))
        .await;
    chat.session.interrupt().unwrap();
    assert_eq!(chat.finished().await.outcome.as_str(), "interrupted");
    chat.say("next").await;
    let history = &chat.model.requests()[1].messages;
    assert!(
        history[2]
            .results()
            .next()
            .unwrap()
            .joined_text()
            .contains("outcome unknown")
    );
}

#[tokio::test]
async fn the_owner_is_asked_and_a_no_is_a_no() {
    let look = Gated::new("look", 9);
    let settings = Settings {
        approve: vec!["look".to_owned()],
        ..Settings::default()
    };
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})),
            Answer::tool_call("2", "look", json!({})),
            Answer::tool_call("3", "look", json!({})),
            Answer::text("ok"),
        ],
        |agent| agent.tool(look.clone()).settings(settings),
    )
    .await;
    chat.session.say("go").await.unwrap();
    for decision in [Decision::Deny, Decision::Session] {
        let id = chat
            .until(|event| match event {
                Event::ApprovalNeeded { id, .. } => Some(id.clone()),
                _ => None,
            })
            .await;
        chat.session.decide(id, decision).unwrap();
    }
    chat.finished().await;
    assert_eq!(look.calls(), 2);
    assert!(results(&chat, 1)[0].contains("the owner said no"));
}

#[tokio::test]
async fn a_turn_with_tools_is_replayed_word_for_word() {
    let look = Gated::new("look", 9);
    let mut chat = Chat::built(
        [
            Answer::content([])
                .and_thinking("hm")
                .and_text("Looking.")
                .and_tool_call("1", "look", json!({"say": "4<2 \u{0} \"x\""}))
                .and_tool_call("2", "look", json!({"say": "fail"})),
            Answer::content([]).and_thinking("aha").and_text("Found."),
            Answer::text("Again."),
        ],
        |agent| agent.tool(look),
    )
    .await;
    chat.say("go").await;
    chat.say("and now?").await;
    let requests = chat.model.requests();
    for pair in requests.windows(2) {
        assert_eq!(check_prefix(&pair[0], &pair[1]), Ok(()));
    }
}

#[tokio::test]
async fn nothing_starts_after_an_interrupt_and_later_words_are_a_turn_of_their_own() {
    let look = Gated::new("look", 0).alone();
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})).and_tool_call("2", "look", json!({})),
            Answer::text("Something else."),
        ],
        |agent| agent.tool(look.clone()),
    )
    .await;
    chat.session.say("go").await.unwrap();
    chat.until(|event| matches!(event, Event::ToolStarted { .. }).then_some(()))
        .await;
    chat.session.interrupt().unwrap();
    chat.session.say("do something else").await.unwrap();
    assert_eq!(chat.finished().await.outcome.as_str(), "interrupted");
    assert_eq!(look.calls(), 1);
    assert_eq!(chat.finished().await.reply, "Something else.");
    let last = chat.model.requests().pop().unwrap();
    assert_eq!(last.messages.last().unwrap().text(), "do something else");
}

#[tokio::test]
async fn an_interrupt_at_a_question_is_nobodys_no() {
    let look = Gated::new("look", 9);
    let settings = Settings {
        approve: vec!["look".to_owned()],
        ..Settings::default()
    };
    let mut chat = Chat::built(
        [
            Answer::tool_call("1", "look", json!({})),
            Answer::text("ok"),
        ],
        |agent| agent.tool(look.clone()).settings(settings),
    )
    .await;
    chat.session.say("go").await.unwrap();
    chat.until(|event| matches!(event, Event::ApprovalNeeded { .. }).then_some(()))
        .await;
    chat.session.interrupt().unwrap();
    chat.finished().await;
    chat.say("next").await;
    let history = &chat.model.requests()[1].messages;
    let told = history[2].results().next().unwrap().joined_text();
    assert!(!told.contains("said no"), "{told}");
    let open = chat.agent.memory().open_approvals(None).await.unwrap();
    assert!(open.is_empty(), "{open:?}");
}
