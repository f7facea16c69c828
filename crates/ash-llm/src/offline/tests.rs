use futures_util::StreamExt;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ToolSpec;

const EVERY_TOOL: &[&str] = &[
    "bash",
    "forget",
    "recall",
    "remember",
    "schedule",
    "search_history",
    "web_search",
];

fn request(tools: &[&str], messages: Vec<Message>) -> Request {
    let tools = tools.iter().map(|name| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        parameters: json!({"type": "object"}),
    });
    Request {
        model: "offline".to_owned(),
        messages,
        tools: tools.collect(),
        ..Request::default()
    }
}

fn answer(tools: &[&str], messages: Vec<Message>) -> Completion {
    let request = request(tools, messages);
    Answer::to(&request).into_completion(&request)
}

/// Shows what is said and called.
fn shown(completion: &Completion) -> String {
    let calls = completion.message.tool_calls().map(|call| {
        format!(
            "{} {} {}",
            call.id,
            call.name,
            serde_json::to_string(&call.arguments).unwrap()
        )
    });
    std::iter::once(completion.message.text())
        .filter(|text| !text.is_empty())
        .chain(calls)
        .collect::<Vec<_>>()
        .join("\n")
}

fn says(tools: &[&str], words: &str) -> String {
    shown(&answer(tools, vec![Message::user(words)]))
}

/// Asks, lets every call be answered by `result`, and returns what is said then.
fn after_tools(tools: &[&str], words: &str, result: impl Fn(&ToolCall) -> ToolResult) -> String {
    let mut messages = vec![Message::user(words)];
    let first = answer(tools, messages.clone());
    assert_eq!(first.stop, StopReason::ToolUse, "{words} calls no tool");
    let results = first.message.tool_calls().map(result).collect();
    messages.push(first.message);
    messages.push(Message::tool_results(results));
    let second = answer(tools, messages);
    assert_eq!(second.stop, StopReason::End);
    shown(&second)
}

/// Asks about a history.
fn from_history(words: &str, hits: &str) -> String {
    after_tools(&["search_history"], words, |call| {
        ToolResult::text(&call.id, hits, false)
    })
}

#[test]
fn each_instruction_becomes_one_call_of_its_tool() {
    let said = [
        "remember that my sister Anna is allergic to nuts",
        "Please remember: the spare key is under the mat.",
        "What do you know about Anna?",
        "tell me what you know about the garden",
        "forget that Anna likes tea.",
        "Ash, forget Anna's birthday",
        "run `ls -la | head`",
        "run `cargo test` and tell me",
        "run ```\nmake all\n```",
        "$ uname -a",
        "$ cd /tmp\n$ ls\nwhat is in there?",
        "search the web for rust 1.95",
        "Could you search the web for good tea?",
        "remind me to call Anna tomorrow at 9",
        "what is Anna allergic to?",
        "what do you remember when I say tea?",
        "do you remember the milk?",
        "$5 is what I owe Anna",
        "アンナは何のアレルギーですか",
    ];
    let calls: Vec<String> = said
        .iter()
        .map(|words| {
            format!(
                "{words:?}\n    {}",
                says(EVERY_TOOL, words).replace('\n', "\n    ")
            )
        })
        .collect();
    assert_snapshot!(calls.join("\n"), @r#"
    "remember that my sister Anna is allergic to nuts"
        offline_1 remember {"content":"my sister Anna is allergic to nuts"}
    "Please remember: the spare key is under the mat."
        offline_1 remember {"content":"the spare key is under the mat."}
    "What do you know about Anna?"
        offline_1 recall {"query":"Anna"}
    "tell me what you know about the garden"
        offline_1 recall {"query":"the garden"}
    "forget that Anna likes tea."
        offline_1 forget {"query":"Anna likes tea"}
    "Ash, forget Anna's birthday"
        offline_1 forget {"query":"Anna's birthday"}
    "run `ls -la | head`"
        offline_1 bash {"command":"ls -la | head"}
    "run `cargo test` and tell me"
        offline_1 bash {"command":"cargo test"}
    "run ```\nmake all\n```"
        offline_1 bash {"command":"make all"}
    "$ uname -a"
        offline_1 bash {"command":"uname -a"}
    "$ cd /tmp\n$ ls\nwhat is in there?"
        offline_1 bash {"command":"cd /tmp\nls"}
    "search the web for rust 1.95"
        offline_1 web_search {"query":"rust 1.95"}
    "Could you search the web for good tea?"
        offline_1 web_search {"query":"good tea"}
    "remind me to call Anna tomorrow at 9"
        offline_1 schedule {"text":"to call Anna tomorrow at 9"}
    "what is Anna allergic to?"
        offline_1 search_history {"query":"what is Anna allergic to?"}
        offline_2 recall {"query":"what is Anna allergic to?"}
    "what do you remember when I say tea?"
        offline_1 search_history {"query":"what do you remember when I say tea?"}
        offline_2 recall {"query":"what do you remember when I say tea?"}
    "do you remember the milk?"
        offline_1 search_history {"query":"do you remember the milk?"}
        offline_2 recall {"query":"do you remember the milk?"}
    "$5 is what I owe Anna"
        offline_1 search_history {"query":"$5 is what I owe Anna"}
        offline_2 recall {"query":"$5 is what I owe Anna"}
    "アンナは何のアレルギーですか"
        offline_1 search_history {"query":"アンナは何のアレルギーですか"}
        offline_2 recall {"query":"アンナは何のアレルギーですか"}
    "#);
}

#[test]
fn an_instruction_whose_tool_is_not_offered_is_answered_honestly() {
    let said = [
        "remember that my sister Anna is allergic to nuts",
        "forget Anna's birthday",
        "$ ls",
        "search the web for tea",
        "remind me to call Anna",
        "what do you know about Anna?",
        "what is Anna allergic to?",
    ];
    let answers: Vec<String> = said
        .iter()
        .map(|words| format!("> {words}\n{}", says(&[], words)))
        .collect();
    assert_snapshot!(answers.join("\n\n"), @r#"
    > remember that my sister Anna is allergic to nuts
    Noted: "my sister Anna is allergic to nuts." It is kept in our history; ask me and I will find it.

    (I am running offline: no model is connected.)

    > forget Anna's birthday
    I cannot forget that here: the tool for it is switched off. `ash memory forget` and `ash sessions delete` remove what is stored.

    (I am running offline: no model is connected.)

    > $ ls
    I cannot run commands here: there is no shell tool. `ash doctor` says why.

    (I am running offline: no model is connected.)

    > search the web for tea
    I cannot search the web here: the tool for it is switched off. It needs BRAVE_SEARCH_API_KEY.

    (I am running offline: no model is connected.)

    > remind me to call Anna
    I cannot set reminders here: the tool for it is switched off. What you said is kept in our history.

    (I am running offline: no model is connected.)

    > what do you know about Anna?
    I cannot answer this. I am running offline: no model is connected, so I follow plain instructions and quote what was said. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.

    > what is Anna allergic to?
    I cannot answer this. I am running offline: no model is connected, so I follow plain instructions and quote what was said. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.
    "#);
}

#[test]
fn small_talk_needs_no_tool() {
    let answers: Vec<String> = ["hello", "Hi Ash!", "thanks!", "help", "Good night.", "..."]
        .iter()
        .map(|words| format!("> {words}\n{}", says(EVERY_TOOL, words)))
        .collect();
    assert_snapshot!(answers.join("\n\n"), @r#"
    > hello
    Hello! I am running offline: no model is connected, but I keep what you tell me and find it again when you ask. Say "help" to see what else I understand.

    To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.

    > Hi Ash!
    Hello! I am running offline: no model is connected, but I keep what you tell me and find it again when you ask. Say "help" to see what else I understand.

    To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.

    > thanks!
    You are welcome!

    > help
    I am running offline: no model is connected, so I follow plain instructions and quote what was said. This is what I understand:

    - "remember that …" keeps something
    - "what do you know about …" and any other question looks it up in our history
    - "forget …" removes something that I remember
    - "run `…`", or a line that begins with `$`, runs a command
    - "search the web for …"
    - "remind me …"

    What needs a tool works where that tool is switched on. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.

    > Good night.
    Goodbye!

    > ...
    Hello! I am running offline: no model is connected, but I keep what you tell me and find it again when you ask. Say "help" to see what else I understand.

    To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.
    "#);
}

#[test]
fn forgetting_needs_something_to_forget() {
    assert_snapshot!(says(EVERY_TOOL, "forget it"), @r#"What shall I forget? Please name it, for instance "forget Anna's birthday"."#);
    assert_snapshot!(says(EVERY_TOOL, "Forget everything!"), @r#"What shall I forget? Please name it, for instance "forget Anna's birthday"."#);
}

#[test]
fn a_question_is_answered_with_a_dated_quote() {
    let answer = from_history(
        "what is Anna allergic to?",
        "2 messages found\n\
         [2026-11-23 09:12] you in \"main\": what is Anna allergic to?\n\
         \x20 [2026-11-22 20:39] you in \"main\": what I say of Anna is all true\n\
         [2026-11-22 20:40] you in \"main\": remember that my sister Anna is allergic to nuts\n\
         [2026-11-22 20:41] Ash in \"main\": Noted: \"my sister Anna is allergic to nuts.\"",
    );
    assert_snapshot!(answer, @r#"
    You told me on 22 November 2026: "my sister Anna is allergic to nuts."

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn statements_come_before_questions_and_before_the_words_of_ash() {
    let answer = from_history(
        "when is the party?",
        "[2026-11-20 08:00] you in \"main\": is the party on Friday?\n\
         [2026-11-20 08:01] Ash in \"main\": The party is on Friday, I think.\n\
         [2026-11-21 10:00] Ben in \"family\": The party is on Saturday at eight\n\
         [2026-11-21 10:05] you in \"family\": the party is at Ben's house!",
    );
    assert_snapshot!(answer, @r#"
    Ben told me on 21 November 2026: "The party is on Saturday at eight."
    You told me on 21 November 2026: "the party is at Ben's house!"

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn the_words_of_ash_are_quoted_when_nobody_else_said_anything() {
    let answer = from_history(
        "what is the capital of Peru",
        "[2026-11-20 08:00] you in \"main\": what is the capital of Peru?\n\
         [2026-11-20 08:01] Ash in \"main\": The capital of Peru is Lima.",
    );
    assert_snapshot!(answer, @r#"
    I told you on 20 November 2026: "The capital of Peru is Lima."

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn at_most_three_quotes_are_given_and_none_twice() {
    let hits = [
        ("2026-11-01", "the cat is black"),
        ("2026-11-02", "The cat is black."),
        ("2026-11-03", "the cat is old"),
        ("2026-11-04", "my cat sleeps"),
        ("2026-11-05", "a cat!"),
    ]
    .map(|(date, text)| format!("[{date} 10:00] you in \"main\": {text}"));
    let hits = hits.join("\n");
    assert_snapshot!(from_history("tell me of the cat", &hits), @r#"
    You told me on 1 November 2026: "the cat is black."
    You told me on 3 November 2026: "the cat is old."
    You told me on 4 November 2026: "my cat sleeps."

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn words_that_hardly_fit_are_called_the_nearest() {
    let answer = from_history(
        "what is the capital of France?",
        "[2026-11-22 20:40] you in \"main\": remember that my sister Anna is allergic to nuts",
    );
    assert_snapshot!(answer, @r#"
    Our history does not answer this for certain. The nearest is:
    You told me on 22 November 2026: "my sister Anna is allergic to nuts."

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn a_question_in_a_language_without_spaces_is_answered() {
    let answer = from_history(
        "アンナは何のアレルギーですか",
        "[2026-11-21 10:00] you in \"main\": 明日は雨です\n\
         [2026-11-22 20:40] you in \"main\": 妹のアンナはナッツアレルギーです\n\
         [2026-11-22 20:41] you in \"main\": アンナは何のアレルギーですか",
    );
    assert_snapshot!(answer, @r#"
    You told me on 22 November 2026: "妹のアンナはナッツアレルギーです"

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn a_history_without_an_answer_is_admitted() {
    let nothing = [
        "",
        "nothing found",
        "[yesterday] you in \"main\": x",
        "[2026-11-22 20:40] you: x",
        "[2026-13-45 20:40] you in \"main\": what is Anna",
    ];
    let answers: HashSet<String> = nothing
        .iter()
        .map(|hits| from_history("who is Anna?", hits))
        .collect();
    assert_snapshot!(Vec::from_iter(answers).join("
---
"), @"I found nothing about this in our history. I am running offline: no model is connected, so I follow plain instructions and quote what was said. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.");
}

#[test]
fn who_tells_something_hears_that_it_is_kept() {
    assert_snapshot!(from_history("My boss is called Bob.", "nothing"), @"I found nothing about this in our history. What you say is kept there, so that I can find it later. I am running offline: no model is connected, so I follow plain instructions and quote what was said. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.");
}

#[test]
fn another_question_is_no_answer() {
    let hit = "[2026-11-22 20:40] you in \"main\": what time is it?";
    assert!(from_history("what is my name?", hit).starts_with("I found nothing"));
}

#[test]
fn what_stands_beside_a_finding_counts_if_it_fits() {
    let answer = from_history(
        "what is Anna allergic to?",
        "  [2026-11-22 20:40] you in \"main\": remember that my sister Anna is allergic to nuts\n\
         [2026-11-22 20:40] Ash in \"main\": Noted: \"my sister Anna is allergic to nuts.\"\n\
         \x20 [2026-11-22 20:41] you in \"main\": Bob is tall",
    );
    assert_snapshot!(answer, @r#"
    You told me on 22 November 2026: "my sister Anna is allergic to nuts."

    (I am running offline: no model is connected.)
    "#);
    let answer = from_history(
        "what is Anna allergic to?",
        "[2026-11-22 20:40] you in \"main\": is Anna allergic?\n\
         \x20 [2026-11-22 20:41] you in \"main\": Bob is tall",
    );
    assert_snapshot!(answer, @r#"
    You asked me on 22 November 2026: "is Anna allergic?"

    (I am running offline: no model is connected.)
    "#);
}

#[test]
fn an_answer_of_its_own_is_never_quoted() {
    let earlier = from_history(
        "who is Bob?",
        "[2026-11-20 08:00] you in \"main\": Bob is my boss",
    );
    let line = earlier.replace('\n', " ");
    let again = from_history(
        "where is Bob?",
        &format!("[2026-11-21 08:00] Ash in \"main\": {line}"),
    );
    assert!(again.starts_with("I found nothing"), "{again}");
}

#[test]
fn memories_answer_where_the_history_does_not() {
    let result = |call: &ToolCall| {
        let text = if call.name == "recall" {
            "- Anna is allergic to nuts (you, 22 November)"
        } else {
            ""
        };
        ToolResult::text(&call.id, text, false)
    };
    assert_snapshot!(after_tools(EVERY_TOOL, "what is Anna allergic to?", result), @"
    This is what I remember:

    - Anna is allergic to nuts (you, 22 November)

    (I am running offline: no model is connected.)
    ");
    assert_snapshot!(after_tools(EVERY_TOOL, "what do you know about Anna?", result), @"
    This is what I know about Anna:

    - Anna is allergic to nuts (you, 22 November)

    (I am running offline: no model is connected.)
    ");
}

#[test]
fn results_are_told_in_words() {
    let outcomes = [
        ("remember that I like tea", "Kept.", false),
        (
            "remember that my key is sk-123",
            "refused: this looks like a secret",
            true,
        ),
        ("forget tea", "Forgotten: \"you like tea\".", false),
        ("$ echo hi", "hi\n", false),
        ("$ true", "", false),
        ("$ cat notes.md", "```\ncode\n```", false),
        ("search the web for tea", "1. Tea - a drink", false),
        ("remind me to sleep", "Set for 23:00.", false),
    ];
    let told: Vec<String> = outcomes
        .iter()
        .map(|(words, text, is_error)| {
            format!(
                "> {words}\n{}",
                after_tools(EVERY_TOOL, words, |call| ToolResult::text(
                    &call.id, *text, *is_error
                ))
            )
        })
        .collect();
    assert_snapshot!(told.join("\n\n"), @r#"
    > remember that I like tea
    Noted: "I like tea."

    Kept.

    > remember that my key is sk-123
    That did not work. `remember` says: refused: this looks like a secret

    > forget tea
    Forgotten: "you like tea".

    > $ echo hi
    ```
    hi
    ```

    > $ true
    `true` ran and printed nothing.

    > $ cat notes.md
    ````
    ```
    code
    ```
    ````

    > search the web for tea
    This is what the web says about tea:

    1. Tea - a drink

    > remind me to sleep
    Set for 23:00.
    "#);
}

#[test]
fn words_said_while_tools_ran_get_their_answer_too() {
    let mut messages = vec![Message::user("$ date")];
    let first = answer(EVERY_TOOL, messages.clone());
    let mut results = Message::tool_results(vec![ToolResult::text("offline_1", "Sunday", false)]);
    results.content.push(Content::Text {
        text: "and remember that I asked".to_owned(),
    });
    messages.extend([first.message, results]);
    assert_snapshot!(shown(&answer(EVERY_TOOL, messages)), @r#"
    ```
    Sunday
    ```
    offline_2 remember {"content":"I asked"}
    "#);
}

#[test]
fn context_is_said_by_nobody() {
    let mut message = Message::user("who is Anna?");
    message.content.insert(
        0,
        Content::Context {
            text: "$ rm -rf /".to_owned(),
        },
    );
    assert_snapshot!(shown(&answer(EVERY_TOOL, vec![message])), @r#"
    offline_1 search_history {"query":"who is Anna?"}
    offline_2 recall {"query":"who is Anna?"}
    "#);
    let context = Message {
        content: vec![Content::Context {
            text: "forget Anna".to_owned(),
        }],
        ..Message::user("")
    };
    assert_snapshot!(shown(&answer(EVERY_TOOL, vec![Message::user("$ ls"), context])), @r#"offline_1 bash {"command":"ls"}"#);
}

#[test]
fn a_picture_without_words_is_declined() {
    let picture = Content::Image {
        media_type: "image/png".to_owned(),
        data: String::new(),
    };
    let message = Message {
        content: vec![picture],
        ..Message::user("")
    };
    assert_snapshot!(shown(&answer(EVERY_TOOL, vec![Message::user("$ ls"), message])), @"I cannot look at pictures. I am running offline: no model is connected, so I follow plain instructions and quote what was said. To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.");
}

#[test]
fn the_names_of_calls_are_unique_in_a_shortened_conversation() {
    let call = |id: &str| Message {
        content: vec![Content::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "bash".to_owned(),
            arguments: Map::new(),
        })],
        ..Message::assistant("")
    };
    let conversation = |id: &str| {
        vec![
            Message::user("$ ls"),
            call(id),
            Message::tool_results(vec![ToolResult::text(id, "a", false)]),
            Message::user("$ pwd"),
        ]
    };
    assert_snapshot!(shown(&answer(EVERY_TOOL, conversation("offline_1"))), @r#"offline_2 bash {"command":"pwd"}"#);
    assert_snapshot!(shown(&answer(EVERY_TOOL, conversation("offline_2"))), @r#"offline_3 bash {"command":"pwd"}"#);
}

#[test]
fn usage_is_an_estimate() {
    let completion = answer(&[], vec![Message::user("hello, are you there?")]);
    assert_eq!(completion.usage.input, 6);
    assert!(completion.usage.output > 10);
    assert_eq!(
        completion.message.origin.as_deref(),
        Some("offline/offline")
    );
}

#[tokio::test]
async fn the_answer_is_streamed_in_words_and_ends_once() {
    let stream = Offline
        .stream(
            request(&[], vec![Message::user("hello")]),
            CancellationToken::new(),
        )
        .await
        .unwrap();
    let events: Vec<_> = stream.map(|event| event.unwrap()).collect().await;
    let (last, deltas) = events.split_last().unwrap();
    let streamed: String = deltas
        .iter()
        .map(|event| match event {
            LlmEvent::TextDelta(text) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let LlmEvent::Done(completion) = last else {
        panic!("{last:?}")
    };
    assert_eq!(streamed, completion.message.text());
    assert!(deltas.len() > 20);
}

#[tokio::test]
async fn a_cancelled_answer_stops_at_the_next_word() {
    let cancel = CancellationToken::new();
    let mut stream = Offline
        .stream(request(&[], vec![Message::user("hello")]), cancel.clone())
        .await
        .unwrap();
    assert!(matches!(
        stream.next().await,
        Some(Ok(LlmEvent::TextDelta(_)))
    ));
    cancel.cancel();
    assert!(stream.next().await.unwrap().unwrap_err().is_cancelled());
    assert!(stream.next().await.is_none());
}

#[test]
fn long_runs_without_spaces_are_cut() {
    let text = "short 長い長い長い長い長い長い長い長い長い長い end\n";
    let pieces: Vec<_> = pieces(text).collect();
    assert_eq!(pieces.concat(), text);
    assert_eq!(pieces.len(), 4);
}

proptest! {
    #[test]
    fn any_words_and_any_result_get_an_answer(words in ".{0,80}", result in "(\\[2026-11-2[0-9] 10:00\\] [a-zA-Z]{1,5} in \"[a-z]*\": .{0,30}\n){0,4}.{0,40}") {
        let mut messages = vec![Message::user(words)];
        let first = answer(EVERY_TOOL, messages.clone());
        prop_assert!(!first.message.content.is_empty());
        if first.stop == StopReason::ToolUse {
            let results = first.message.tool_calls().map(|call| ToolResult::text(&call.id, result.clone(), false)).collect();
            messages.extend([first.message, Message::tool_results(results)]);
            let second = answer(EVERY_TOOL, messages);
            prop_assert_eq!(second.stop, StopReason::End);
            prop_assert!(!second.message.text().is_empty());
        }
    }
}
