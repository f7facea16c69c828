use ash_llm::ToolCall;
use ash_testkit::check_history;
use proptest::prelude::*;

use super::*;

fn content() -> impl Strategy<Value = Content> {
    let id = prop_oneof!["[abc]", Just(String::new())];
    prop_oneof![
        "[a-z ]{0,3}".prop_map(|text| Content::Text { text }),
        "[a-z ]{0,3}".prop_map(|text| Content::Context { text }),
        "[a-z]{0,2}".prop_map(|text| Content::Thinking {
            text,
            signature: None
        }),
        id.clone().prop_map(|id| Content::ToolCall(ToolCall {
            id,
            name: "look".to_owned(),
            arguments: Map::new(),
        })),
        id.prop_map(|id| Content::ToolResult(ToolResult::text(id, "x", false))),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (any::<bool>(), prop::collection::vec(content(), 0..5)).prop_map(|(user, content)| Message {
        role: if user { Role::User } else { Role::Assistant },
        content,
        origin: None,
    })
}

proptest! {
    /// Law 2, against anything that an import or a crash may have left.
    #[test]
    fn any_sequence_is_mended_into_an_acceptable_history(
        messages in prop::collection::vec(message(), 0..12)
    ) {
        let mended = mend(messages);
        if !mended.is_empty() {
            prop_assert_eq!(check_history(&mended), Ok(()));
        }
        prop_assert_eq!(mend(mended.clone()), mended);
    }
}

#[test]
fn an_acceptable_history_comes_out_as_it_went_in() {
    let messages = vec![
        Message::user("hello"),
        Message {
            role: Role::Assistant,
            content: vec![Content::ToolCall(ToolCall {
                id: "a".to_owned(),
                name: "look".to_owned(),
                arguments: Map::new(),
            })],
            origin: None,
        },
        Message::tool_results(vec![ToolResult::text("a", "x", false)]),
        Message::assistant("done"),
    ];
    assert_eq!(mend(messages.clone()), messages);
}

#[test]
fn a_long_context_is_cut_between_turns_and_in_jumps() {
    let mut history = History::default();
    for n in 0..21 {
        let turn: TurnId = TurnId::generate();
        for message in [Message::user(format!("q{n}")), Message::assistant("a")] {
            history.push(message, MessageId::generate(), Some(turn.clone()));
        }
        let cut = history.shorten(20);
        assert_eq!(cut.is_some(), n == 20, "turn {n}");
    }
    assert_eq!(history.messages.len(), 20);
    assert_eq!(history.messages[0].text(), "q11");
}

#[test]
fn what_a_crash_left_open_is_answered_from_the_record() {
    let mut history = History::default();
    let calls = ["a", "b", "c"].map(|id| {
        Content::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: Map::new(),
        })
    });
    let asks = Message {
        role: Role::Assistant,
        content: calls.to_vec(),
        origin: None,
    };
    for message in [Message::user("go"), asks] {
        history.push(message, MessageId::generate(), None);
    }
    let known = HashMap::from([
        (
            "a".to_owned(),
            Known::Finished {
                content: vec![ResultContent::Text {
                    text: "42".to_owned(),
                }],
                success: true,
            },
        ),
        ("b".to_owned(), Known::Started),
    ]);
    let closing = history.closing(&known, true);
    let texts: Vec<String> = closing[0].results().map(ToolResult::joined_text).collect();
    assert_eq!(texts, ["42", OUTCOME_UNKNOWN, NOT_RUN]);
    assert_eq!(closing.len(), 1);
    assert_eq!(history.closing(&known, false).len(), 2);
}

#[test]
fn imported_messages_without_turns_are_cut_once_and_stay_cut() {
    let mut history = History::default();
    for n in 0..30 {
        history.push(Message::user(format!("q{n}")), MessageId::generate(), None);
        history.push(Message::assistant("a"), MessageId::generate(), None);
    }
    assert!(history.shorten(20).is_some());
    assert_eq!(history.shorten(20), None);
}
