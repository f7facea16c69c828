//! The scripted model follows its script and refuses what providers refuse.

use ash_llm::{
    Content, ErrorKind, LlmEvent, LlmProvider, Message, Request, Role, StopReason, ToolCall,
    ToolResult, ToolSpec, collect,
};
use ash_testkit::{Answer, ScriptedModel, check_history, check_prefix, check_request};
use futures_util::StreamExt;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

fn asking(messages: Vec<Message>) -> Request {
    Request {
        model: "m".into(),
        system: vec!["Be kind.".into()],
        messages,
        max_tokens: 10,
        ..Request::default()
    }
}

fn hello() -> Request {
    asking(vec![Message::user("hello")])
}

fn calling(ids: &[&str]) -> Message {
    let calls = ids.iter().map(|id| {
        Content::ToolCall(ToolCall {
            id: (*id).into(),
            name: "look".into(),
            arguments: Map::new(),
        })
    });
    Message {
        content: calls.collect(),
        ..Message::assistant("")
    }
}

fn answering(ids: &[&str]) -> Message {
    let results = ids.iter().map(|id| ToolResult::text(*id, "seen", false));
    Message::tool_results(results.collect())
}

fn user(content: Vec<Content>) -> Message {
    Message {
        content,
        ..Message::user("")
    }
}

fn text(text: &str) -> Content {
    Content::Text { text: text.into() }
}

#[tokio::test]
async fn words_come_in_deltas_and_then_whole() {
    let model = ScriptedModel::new([Answer::text("Grüße!").chunked(4)]);
    let stream = model
        .stream(hello(), CancellationToken::new())
        .await
        .unwrap();
    let events: Vec<LlmEvent> = stream.map(Result::unwrap).collect().await;
    let [
        LlmEvent::TextDelta(a),
        LlmEvent::TextDelta(b),
        LlmEvent::Done(done),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((a.as_str(), b.as_str()), ("Grüß", "e!"));
    assert_eq!(done.message.text(), "Grüße!");
    assert_eq!(done.message.origin.as_deref(), Some("scripted/m"));
    assert_eq!(done.stop, StopReason::End);
}

#[tokio::test]
async fn a_cut_off_reply_keeps_its_calls() {
    let answer = Answer::tool_call("1", "look", json!({})).stop(StopReason::Length);
    let model = ScriptedModel::new([answer]);
    let done = model
        .complete(hello(), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(done.stop, StopReason::Length);
    assert_eq!(done.message.tool_calls().count(), 1);
}

#[tokio::test]
async fn errors_come_before_or_after_words() {
    let model = ScriptedModel::new([
        Answer::error(ErrorKind::Overloaded),
        Answer::text("Hel").then_error(ErrorKind::CutOff),
        Answer::text("Hel").then_silence(),
    ]);
    let cancel = CancellationToken::new;
    let error = model.stream(hello(), cancel()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert_eq!(error.provider, "scripted");
    let mut stream = model.stream(hello(), cancel()).await.unwrap();
    assert!(matches!(
        stream.next().await,
        Some(Ok(LlmEvent::TextDelta(_)))
    ));
    assert_eq!(
        stream.next().await.unwrap().unwrap_err().kind,
        ErrorKind::CutOff
    );
    assert!(stream.next().await.is_none());
    let stream = model.stream(hello(), cancel()).await.unwrap();
    assert_eq!(collect(stream).await.unwrap_err().kind, ErrorKind::CutOff);
    assert_eq!(model.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_or_held_answer_ends_by_cancellation() {
    let model = ScriptedModel::new([Answer::hang(), Answer::text("Hi").held()]);
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let stream = model.stream(hello(), cancel.clone()).await.unwrap();
        let (ended, ()) = tokio::join!(collect(stream), async { cancel.cancel() });
        assert!(ended.unwrap_err().is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_goes_on_when_released() {
    let model = ScriptedModel::new([Answer::text("Hi").held()]);
    let mut stream = model
        .stream(hello(), CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(
        stream.next().await,
        Some(Ok(LlmEvent::TextDelta(_)))
    ));
    model.wait_for_requests(1).await;
    model.release();
    assert!(matches!(stream.next().await, Some(Ok(LlmEvent::Done(_)))));
}

#[tokio::test]
async fn a_bad_or_unscripted_request_is_a_violation() {
    let model = ScriptedModel::new([Answer::text("Hi")]);
    let bad = asking(vec![Message::assistant("hello")]);
    let cancel = CancellationToken::new;
    let error = model.complete(bad, cancel()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(model.complete(hello(), cancel()).await.is_ok());
    assert!(model.complete(hello(), cancel()).await.is_err());
    assert_eq!(
        model.violations(),
        [
            "message 0: the first message must be the user's",
            "request 3 has no scripted answer"
        ]
    );
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn a_responder_sees_the_request() {
    let model = ScriptedModel::with(|request| Answer::text(request.messages[0].text()));
    let done = model
        .complete(hello(), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(done.message.text(), "hello");
}

#[tokio::test]
async fn a_paused_turn_is_continued_with_its_own_message_last() {
    let model = ScriptedModel::new([
        Answer::text("Wait").stop(StopReason::Pause),
        Answer::text("Done"),
    ]);
    let paused = model
        .complete(hello(), CancellationToken::new())
        .await
        .unwrap();
    let more = asking(vec![Message::user("hello"), paused.message]);
    assert!(check_request(&more).is_err());
    assert!(model.complete(more, CancellationToken::new()).await.is_ok());
}

#[test]
fn histories_that_every_provider_takes_pass() {
    for history in [
        vec![Message::user("a")],
        vec![Message::user("a"), Message::assistant("b")],
        vec![
            Message::user("a"),
            calling(&["1", "2"]),
            answering(&["2", "1"]),
            Message::assistant("b"),
        ],
        vec![
            Message::user("a"),
            calling(&["1"]),
            user(vec![
                answering(&["1"]).content[0].clone(),
                text("and hurry"),
            ]),
        ],
        vec![user(vec![
            Content::Context {
                text: "It is noon.".into(),
            },
            Content::Image {
                media_type: "image/png".into(),
                data: "iVBORw==".into(),
            },
        ])],
    ] {
        assert_eq!(check_history(&history), Ok(()), "{history:?}");
    }
}

#[test]
fn histories_that_some_provider_refuses_fail() {
    let a = || Message::user("a");
    let thinking = Content::Thinking {
        text: "hm".into(),
        signature: None,
    };
    let picture = |kind: &str, data: &str| {
        user(vec![Content::Image {
            media_type: kind.into(),
            data: data.into(),
        }])
    };
    for (why, history) in [
        ("no messages", vec![]),
        ("first message", vec![Message::assistant("b")]),
        ("in a row", vec![a(), a()]),
        ("no content", vec![user(vec![])]),
        ("without words", vec![Message::user(" \n")]),
        ("without words", vec![a(), Message::assistant("")]),
        ("calls without results", vec![a(), calling(&["1"])]),
        ("lacks the results", vec![a(), calling(&["1"]), a()]),
        (
            "lacks the results",
            vec![a(), calling(&["1", "2"]), answering(&["1"])],
        ),
        ("answers no call", vec![answering(&["1"])]),
        (
            "answers no call",
            vec![a(), calling(&["1"]), answering(&["1", "2"])],
        ),
        (
            "answered twice",
            vec![a(), calling(&["1"]), answering(&["1", "1"])],
        ),
        (
            "used twice",
            vec![
                a(),
                calling(&["1"]),
                answering(&["1"]),
                calling(&["1"]),
                answering(&["1"]),
            ],
        ),
        (
            "after other content",
            vec![
                a(),
                calling(&["1"]),
                user(vec![text("b"), answering(&["1"]).content[0].clone()]),
            ],
        ),
        ("empty id", vec![a(), calling(&[""])]),
        ("only a model", vec![user(vec![thinking.clone()])]),
        (
            "a model cannot",
            vec![
                a(),
                Message {
                    role: Role::Assistant,
                    ..picture("image/png", "AA==")
                },
            ],
        ),
        (
            "ends with thinking",
            vec![
                a(),
                Message {
                    content: vec![thinking],
                    ..Message::assistant("")
                },
            ],
        ),
        ("no picture that", vec![picture("image/tiff", "AA==")]),
        ("not base64", vec![picture("image/png", "?")]),
    ] {
        let error = check_history(&history).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn the_frame_of_a_request_is_checked_too() {
    let tool = |name: &str| ToolSpec {
        name: name.into(),
        description: "Looks.".into(),
        parameters: json!({"type": "object"}),
    };
    let with_tools = |tools: Vec<ToolSpec>| Request { tools, ..hello() };
    assert_eq!(
        check_request(&with_tools(vec![tool("a"), tool("b")])),
        Ok(())
    );
    for (why, request) in [
        ("sorted", with_tools(vec![tool("b"), tool("a")])),
        ("sorted", with_tools(vec![tool("a"), tool("a")])),
        ("no tool name", with_tools(vec![tool("a b")])),
        (
            "type object",
            with_tools(vec![ToolSpec {
                parameters: json!({}),
                ..tool("a")
            }]),
        ),
        (
            "max_tokens",
            Request {
                max_tokens: 0,
                ..hello()
            },
        ),
        (
            "system",
            Request {
                system: vec![String::new()],
                ..hello()
            },
        ),
        (
            "last message",
            asking(vec![Message::user("a"), Message::assistant("b")]),
        ),
    ] {
        let error = check_request(&request).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_prefix_keeps_tools_system_and_messages() {
    let longer = asking(vec![
        Message::user("hello"),
        Message::assistant("hi"),
        Message::user("more"),
    ]);
    assert_eq!(check_prefix(&hello(), &longer), Ok(()));
    assert_eq!(check_prefix(&hello(), &hello()), Ok(()));
    assert!(check_prefix(&longer, &hello()).is_err());
    let changed = asking(vec![Message::user("hello!"), Message::assistant("hi")]);
    assert!(
        check_prefix(&hello(), &changed)
            .unwrap_err()
            .contains("message 0")
    );
    let mut other = longer.clone();
    other.system[0].push('!');
    assert!(
        check_prefix(&hello(), &other)
            .unwrap_err()
            .contains("system")
    );
}
