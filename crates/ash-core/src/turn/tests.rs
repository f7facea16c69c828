use ash_llm::Usage;
use ash_testkit::check_history;
use proptest::prelude::*;
use serde_json::Map;

use super::*;

fn call(id: &str) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "look".to_owned(),
        arguments: Map::new(),
    }
}

fn completion(text: &str, calls: &[&str], stop: StopReason) -> Completion {
    let mut content = Vec::new();
    if !text.is_empty() {
        content.push(Content::Text { text: text.into() });
    }
    content.extend(calls.iter().map(|id| Content::ToolCall(call(id))));
    Completion {
        message: Message {
            role: Role::Assistant,
            content,
            origin: Some("test/model".to_owned()),
        },
        stop,
        usage: Usage::default(),
    }
}

fn begin() -> Turn {
    Turn::begin(Vec::new(), Message::user("hello"), STEP_LIMIT)
}

fn words(text: &str) -> Vec<Content> {
    vec![Content::Text { text: text.into() }]
}

fn never(_: &ToolCall) -> bool {
    false
}

#[test]
fn an_answer_without_calls_finishes_the_turn() {
    let mut turn = begin();
    assert_eq!(turn.next_step(), Step::CallModel);
    turn.on_completion(completion("hi", &[], StopReason::End), never);
    assert_eq!(turn.next_step(), Step::Finished(Outcome::Answered));
    assert_eq!(turn.answer(), "hi");
}

#[test]
fn a_cut_off_reply_runs_no_tools() {
    for stop in [StopReason::Length, StopReason::ContextFull] {
        let mut turn = begin();
        turn.on_completion(completion("", &["a", "b"], stop), never);
        assert_eq!(turn.next_step(), Step::CallModel);
        let last = turn.messages().last().unwrap();
        assert!(last.results().all(|result| result.is_error));
        assert_eq!(last.results().count(), 2);
    }
}

#[test]
fn results_come_back_in_call_order_and_steering_follows_them() {
    let mut turn = begin();
    turn.on_completion(completion("", &["a", "b"], StopReason::ToolUse), never);
    assert_eq!(turn.next_step(), Step::RunTools(vec![call("a"), call("b")]));
    turn.steer(words("wait"));
    turn.on_results(vec![
        ToolResult::text("b", "2", false),
        ToolResult::text("a", "1", false),
    ]);
    let last = turn.messages().last().unwrap();
    let ids: Vec<&str> = last
        .results()
        .map(|result| result.call_id.as_str())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(matches!(last.content.last(), Some(Content::Text { text }) if text == "wait"));
}

#[test]
fn words_said_while_the_last_answer_comes_in_are_answered_too() {
    let mut turn = begin();
    turn.steer(words("and tomorrow?"));
    turn.on_completion(completion("sunny", &[], StopReason::End), never);
    assert_eq!(turn.next_step(), Step::CallModel);
    assert_eq!(turn.messages().last().unwrap().text(), "and tomorrow?");
    turn.on_completion(completion("rain", &[], StopReason::End), never);
    assert_eq!(turn.answer(), "sunny\n\nrain");
}

#[test]
fn a_stopped_turn_answers_every_open_call_and_ends_with_a_word() {
    let mut turn = begin();
    turn.on_completion(completion("", &["a"], StopReason::ToolUse), never);
    turn.stop("");
    assert_eq!(turn.next_step(), Step::Finished(Outcome::Interrupted));
    assert_eq!(check_history(turn.messages()), Ok(()));
    assert_eq!(turn.answer(), "(Interrupted.)");
}

#[test]
fn what_the_person_saw_of_an_interrupted_answer_is_kept() {
    let mut turn = begin();
    turn.stop("Once upon");
    assert_eq!(turn.answer(), "Once upon\n\n(Interrupted.)");
}

#[test]
fn only_calls_that_ask_are_asked_about_and_a_denied_one_does_not_run() {
    let mut turn = begin();
    turn.on_completion(completion("", &["a", "b"], StopReason::ToolUse), |call| {
        call.id == "b"
    });
    assert_eq!(turn.next_step(), Step::AskApproval(vec![call("b")]));
    turn.on_decisions(HashMap::from([("b".to_owned(), "no".to_owned())]));
    assert_eq!(turn.next_step(), Step::RunTools(vec![call("a")]));
    turn.on_results(vec![ToolResult::text("a", "1", false)]);
    let results: Vec<String> = turn
        .messages()
        .last()
        .unwrap()
        .results()
        .map(ToolResult::joined_text)
        .collect();
    assert_eq!(results, ["1", "no"]);
}

#[test]
fn the_step_limit_ends_a_turn_that_never_would() {
    let mut turn = Turn::begin(Vec::new(), Message::user("loop"), 3);
    let mut calls = 0;
    while turn.next_step() == Step::CallModel {
        calls += 1;
        turn.on_completion(completion("", &["x"], StopReason::ToolUse), never);
        if let Step::RunTools(open) = turn.next_step() {
            let results = open
                .iter()
                .map(|call| ToolResult::text(&call.id, "ok", false))
                .collect();
            turn.on_results(results);
        }
    }
    assert_eq!(calls, 3);
    assert_eq!(turn.next_step(), Step::Finished(Outcome::StepLimit));
    assert_eq!(check_history(turn.messages()), Ok(()));
}

#[test]
fn ids_that_a_server_uses_twice_become_unique() {
    let mut turn = begin();
    turn.on_completion(completion("", &["0", "0", ""], StopReason::ToolUse), never);
    let ids: Vec<String> = turn
        .messages()
        .last()
        .unwrap()
        .tool_calls()
        .map(|call| call.id.clone())
        .collect();
    assert_eq!(ids, ["0", "0_2", "call"]);
}

#[test]
fn an_empty_answer_still_gives_the_person_a_word() {
    let mut turn = begin();
    turn.on_completion(completion("", &[], StopReason::End), never);
    assert_eq!(turn.answer(), "(The model gave no answer.)");
}

/// Whatever can happen to a turn.
#[derive(Clone, Debug)]
enum Happening {
    Completion(String, Vec<String>, StopReason),
    Results(Vec<bool>),
    Decisions(Vec<bool>),
    Steer(String),
    Stop(String),
    Fail(String),
}

fn happening() -> impl Strategy<Value = Happening> {
    let stop = prop_oneof![
        Just(StopReason::End),
        Just(StopReason::ToolUse),
        Just(StopReason::Length),
        Just(StopReason::ContextFull),
        Just(StopReason::Pause),
        Just(StopReason::Refused { reason: None }),
    ];
    let ids = prop::collection::vec(prop_oneof!["[ab]", Just(String::new())], 0..4);
    prop_oneof![
        4 => ("[a-z]{0,3}", ids, stop).prop_map(|(t, i, s)| Happening::Completion(t, i, s)),
        3 => prop::collection::vec(any::<bool>(), 0..4).prop_map(Happening::Results),
        2 => prop::collection::vec(any::<bool>(), 0..4).prop_map(Happening::Decisions),
        2 => "[a-z]{1,3}".prop_map(Happening::Steer),
        1 => "[a-z]{0,3}".prop_map(Happening::Stop),
        1 => "[a-z]{0,3}".prop_map(Happening::Fail),
    ]
}

proptest! {
    /// Laws 2 and 3: whatever happens, whenever a model would be asked or the turn is over, the
    /// history is one that every provider accepts, and no call of a cut-off reply ever runs.
    #[test]
    fn every_history_is_acceptable(happenings in prop::collection::vec(happening(), 0..30)) {
        let mut turn = Turn::begin(Vec::new(), Message::user("go"), 5);
        let mut sent: Vec<Message> = Vec::new();
        let mut steered = 0;
        for happening in happenings {
            let step = turn.next_step();
            if matches!(step, Step::CallModel | Step::Finished(_)) {
                prop_assert_eq!(check_history(turn.messages()), Ok(()));
                // Law 7: what was sent stays as it was.
                prop_assert!(turn.messages().starts_with(&sent));
                if step == Step::CallModel {
                    sent = turn.messages().to_vec();
                }
            }
            match (happening, step) {
                (Happening::Completion(text, ids, stop), Step::CallModel) => {
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    let cut_off = stop.is_cut_off();
                    turn.on_completion(completion(&text, &ids, stop), |call| call.id.starts_with('b'));
                    if cut_off {
                        prop_assert!(!matches!(turn.next_step(), Step::RunTools(_) | Step::AskApproval(_)));
                    }
                }
                (Happening::Results(which), Step::RunTools(calls)) => {
                    let results = calls
                        .iter()
                        .zip(which)
                        .filter(|(_, answered)| *answered)
                        .map(|(call, _)| ToolResult::text(&call.id, "ok", false))
                        .collect();
                    turn.on_results(results);
                }
                (Happening::Decisions(which), Step::AskApproval(calls)) => {
                    let denied = calls
                        .into_iter()
                        .zip(which)
                        .filter(|(_, denied)| *denied)
                        .map(|(call, _)| (call.id, "no".to_owned()))
                        .collect();
                    turn.on_decisions(denied);
                }
                (Happening::Steer(text), Step::CallModel | Step::RunTools(_)) => {
                    steered += 1;
                    turn.steer(words(&format!("steered {steered} {text}")));
                }
                (Happening::Stop(partial), _) => turn.stop(&partial),
                (Happening::Fail(partial), _) => turn.fail(&partial, "e".into(), "h".into()),
                _ => {}
            }
        }
        turn.stop("");
        prop_assert!(matches!(turn.next_step(), Step::Finished(_)));
        prop_assert_eq!(check_history(turn.messages()), Ok(()));
        // Nothing that a person said is dropped.
        let all: String = turn.messages().iter().map(Message::text).collect();
        for n in 1..=steered {
            let words = format!("steered {n} ");
            prop_assert!(all.contains(&words), "{words}is missing: {}", all);
        }
    }
}
