//! The Messages protocol against a server that refuses what the real one refuses.

use std::sync::Arc;
use std::time::Duration;

use ash_llm::{
    Anthropic, AnthropicSettings, Auth, Completion, ErrorKind, LlmError, LlmProvider, Message,
    Request, ResultContent, RetrySettings, Retrying, StopReason, Thinking, ToolResult, ToolSpec,
    collect,
};
use ash_testkit::{FakeAnthropic, KEY, Reply};
use futures_util::StreamExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const VERSIONS: [Option<&str>; 3] = [None, Some("2023-06-01"), Some("2026-10-21")];

const MODELS: [&str; 18] = [
    "claude-sonnet-4-20250514",
    "claude-opus-4-1-20250805",
    "claude-sonnet-4-5",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-5",
    "claude-sonnet-4-6",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5-5",
    "claude-fable-5-1",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-mythos-5-2",
];

fn provider(server: &FakeAnthropic, version: Option<&str>) -> Anthropic {
    Anthropic::new(AnthropicSettings {
        base_url: server.url(),
        api_key: Some(SecretString::from(KEY)),
        version: version.map(str::to_owned),
        ..AnthropicSettings::default()
    })
    .unwrap()
}

fn request(model: &str) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: format!("Does {name}."),
        parameters: json!({"type": "object", "properties": {"where": {"type": "string"}}}),
    };
    Request {
        model: model.to_owned(),
        system: vec!["You are Ash.".to_owned(), "Anna likes tea.".to_owned()],
        messages: vec![Message::user("hello")],
        tools: vec![tool("look"), tool("rest")],
        max_tokens: 4096,
        temperature: Some(0.7),
        thinking: None,
        conversation: Some("main".to_owned()),
    }
}

async fn ask(provider: &Anthropic, request: &Request) -> Result<Completion, LlmError> {
    provider
        .complete(request.clone(), CancellationToken::new())
        .await
}

#[tokio::test]
async fn every_model_is_asked_only_what_it_accepts() {
    let server = FakeAnthropic::with(|_| Reply::text("hi")).await;
    let levels = [
        Thinking::Off,
        Thinking::Low,
        Thinking::Medium,
        Thinking::High,
    ];
    for version in VERSIONS {
        let provider = provider(&server, version);
        for model in MODELS {
            for thinking in [None].into_iter().chain(levels.map(Some)) {
                let request = Request {
                    thinking,
                    ..request(model)
                };
                let completion = ask(&provider, &request).await;
                let completion = completion
                    .unwrap_or_else(|error| panic!("{model} {version:?} {thinking:?}: {error}"));
                assert_eq!(completion.message.text(), "hi");
            }
        }
    }
    assert_eq!(server.violations(), Vec::<String>::new());
}

/// Takes a conversation through two rounds of tools, a question and a change of model.
async fn converse(server: &FakeAnthropic, provider: &Anthropic, mut request: Request, other: &str) {
    let calls = Reply::thinking("I should look.")
        .and_text("Looking…")
        .and_tool_call(
            "toolu_1",
            "look",
            json!({"where": "here", "again": [1.5, null]}),
        )
        .and_tool_call("toolu_2", "rest", json!({}))
        .chunked(3)
        .cached(70, 8)
        .usage(20, 30);
    server.enqueue(calls);
    server.enqueue(Reply::thinking("Once more.").and_tool_call("toolu_3", "look", json!({})));
    server.enqueue(Reply::thinking("Enough.").and_text("All is well."));
    server.enqueue(Reply::text("You are welcome."));
    server.enqueue(Reply::text("I am another."));

    let first = ask(provider, &request).await.unwrap();
    assert_eq!(first.stop, StopReason::ToolUse);
    assert_eq!(first.usage.prompt(), 98);
    assert_eq!(first.message.tool_calls().count(), 2);
    request.messages.push(first.message);
    let picture = ResultContent::Image {
        media_type: "image/png".to_owned(),
        data: "iVBORw0KGgo=".to_owned(),
    };
    let mut results = Message::tool_results(vec![
        ToolResult {
            call_id: "toolu_1".to_owned(),
            content: vec![picture],
            is_error: false,
        },
        ToolResult::text("toolu_2", "", true),
    ]);
    results.content.extend(Message::user("Hurry up.").content);
    request.messages.push(results);

    let second = ask(provider, &request).await.unwrap();
    request.messages.push(second.message);
    let results = vec![ToolResult::text("toolu_3", "nothing there", false)];
    request.messages.push(Message::tool_results(results));
    let third = ask(provider, &request).await.unwrap();
    assert_eq!(third.message.text(), "All is well.");
    request.messages.push(third.message);
    request.messages.push(Message::user("Thanks."));
    let fourth = ask(provider, &request).await.unwrap();
    request.messages.push(fourth.message);
    request.messages.push(Message::user("And you?"));
    request.model = other.to_owned();
    let fifth = ask(provider, &request).await.unwrap();
    assert_eq!(fifth.message.origin, Some(format!("anthropic/{other}")));
}

#[tokio::test]
async fn a_conversation_with_tools_and_thoughts_is_accepted_by_every_model() {
    let others = MODELS.iter().skip(1).chain(MODELS.first());
    for ((model, other), version) in MODELS.iter().zip(others).zip(VERSIONS.iter().cycle()) {
        for thinking in [None, Some(Thinking::Off), Some(Thinking::High)] {
            let server = FakeAnthropic::start().await;
            let request = Request {
                thinking,
                ..request(model)
            };
            converse(&server, &provider(&server, *version), request, other).await;
            assert_eq!(
                server.violations(),
                Vec::<String>::new(),
                "{model} {version:?}"
            );
        }
    }
}

#[tokio::test]
async fn each_request_of_a_turn_continues_the_bytes_of_the_one_before() {
    let server = FakeAnthropic::start().await;
    let model = "claude-sonnet-4-6";
    converse(&server, &provider(&server, None), request(model), model).await;
    let mut before: Vec<String> = Vec::new();
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    for request in requests {
        // What a cache sees: all blocks in order, without the marks.
        let mut now = Vec::new();
        for part in ["tools", "system"] {
            now.extend(request.body[part].as_array().unwrap().iter().map(unmarked));
        }
        for turn in request.body["messages"].as_array().unwrap() {
            now.extend(turn["content"].as_array().unwrap().iter().map(unmarked));
        }
        assert!(
            now.starts_with(&before),
            "{before:#?}\nis no prefix of\n{now:#?}"
        );
        assert!(now.len() > before.len());
        before = now;
        let marks = request.body.to_string().matches("cache_control").count();
        assert!((3..=4).contains(&marks), "{marks} marks");
    }
}

fn unmarked(block: &Value) -> String {
    let mut block = block.clone();
    block.as_object_mut().unwrap().remove("cache_control");
    block.to_string()
}

#[tokio::test]
async fn an_answer_that_stops_anywhere_before_its_end_is_never_complete() {
    let reply = || {
        Reply::thinking("Hm 🤔.")
            .and_text("Größe")
            .and_tool_call("toolu_1", "look", json!({"where": "ünter"}))
            .chunked(2)
    };
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    let request = request("claude-sonnet-4-6");
    server.enqueue(reply());
    let whole = ask(&provider, &request).await.unwrap();
    let length = server.sent()[0].len();
    let mut complete = 0;
    for count in (0..length).step_by(7).chain(length - 3..length) {
        server.enqueue(match count % 2 {
            0 => reply().end_after_bytes(count),
            _ => reply().cut_after_bytes(count),
        });
        match ask(&provider, &request).await {
            Err(error) => {
                assert!(error.is_retryable(), "{count}: {error}");
                assert_eq!(error.kind, ErrorKind::CutOff, "{count}: {error}");
            }
            // Only the blank line after the last event may be missing.
            Ok(completion) => {
                complete += 1;
                assert!(
                    count + 2 >= length,
                    "complete after {count} of {length} bytes"
                );
                assert_eq!(completion.message.content, whole.message.content);
            }
        }
    }
    assert!(complete <= 2);
    for size in [1, 2, 3, 5, 7, 1000] {
        server.enqueue(reply().in_packets_of(size));
        let completion = ask(&provider, &request).await.unwrap();
        assert_eq!(completion.message.content, whole.message.content);
    }
}

#[tokio::test]
async fn every_reason_to_stop_arrives() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for (word, expected) in [
        ("end_turn", StopReason::End),
        ("stop_sequence", StopReason::End),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::ContextFull),
        ("pause_turn", StopReason::Pause),
    ] {
        server.enqueue(Reply::text("so far").stop(word));
        let completion = ask(&provider, &request("claude-sonnet-4-6")).await.unwrap();
        assert_eq!(completion.stop, expected);
        assert_eq!(completion.message.text(), "so far");
    }
    server.enqueue(Reply::refusal("I would rather not."));
    let completion = ask(&provider, &request("claude-sonnet-4-6")).await.unwrap();
    assert!(matches!(completion.stop, StopReason::Refused { .. }));
}

#[tokio::test]
async fn a_paused_answer_is_continued() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    let mut request = request("claude-sonnet-4-6");
    server.enqueue(Reply::text("One, ").stop("pause_turn"));
    server.enqueue(Reply::text("two."));
    server.enqueue(Reply::text("three."));
    for said in ["One, ", "two."] {
        let completion = ask(&provider, &request).await.unwrap();
        assert_eq!(completion.message.text(), said);
        request.messages.push(completion.message);
    }
    request.messages.push(Message::user("go on"));
    ask(&provider, &request).await.unwrap();
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn half_a_call_never_arrives() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    let half = || Reply::text("I").and_raw_tool_call("toolu_1", "look", "{\"where\": \"/et");
    server.enqueue(half().stop("max_tokens"));
    let completion = ask(&provider, &request("claude-sonnet-4-6")).await.unwrap();
    assert_eq!(completion.stop, StopReason::Length);
    assert_eq!(completion.message.tool_calls().count(), 0);
    server.enqueue(half());
    let error = ask(&provider, &request("claude-sonnet-4-6"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_its_reason() {
    use ErrorKind as K;
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for (reply, kind, status) in [
        (Reply::status(400), K::InvalidRequest, Some(400)),
        (Reply::status(401), K::Auth, Some(401)),
        (Reply::status(402), K::Quota, Some(402)),
        (Reply::status(403), K::Auth, Some(403)),
        (Reply::status(404), K::NotFound, Some(404)),
        (Reply::status(409), K::Server, Some(409)),
        (Reply::status(413), K::ContextOverflow, Some(413)),
        (Reply::status(429), K::RateLimited, Some(429)),
        (Reply::status(500), K::Server, Some(500)),
        (Reply::status(504), K::Timeout, Some(504)),
        (Reply::status(529), K::Overloaded, Some(529)),
        (
            Reply::error_event("overloaded_error", "Overloaded"),
            K::Overloaded,
            None,
        ),
        (Reply::error_event("api_error", "Oops"), K::Server, None),
        (
            Reply::raw_body(502, "text/html", "<title>Bad</title>"),
            K::Server,
            Some(502),
        ),
        (
            Reply::raw_body(200, "text/html", "<title>Log in</title>"),
            K::Protocol,
            Some(200),
        ),
        (
            Reply::raw_body(200, "application/json", "{}"),
            K::Protocol,
            Some(200),
        ),
        (
            Reply::raw_sse("data: {\"type\": \"message_start\"\n\n"),
            K::Protocol,
            None,
        ),
        (Reply::raw_sse(""), K::CutOff, None),
        (Reply::disconnect(), K::Connect, None),
    ] {
        server.enqueue(reply);
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.status), (kind, status), "{error}");
        assert_eq!(error.provider, "anthropic");
        assert!(
            !error.message.is_empty() && !error.message.contains('\n'),
            "{error}"
        );
    }
    let wrong_model = ask(&provider, &request("gpt-4o")).await.unwrap_err();
    assert_eq!(
        wrong_model.to_string(),
        "anthropic (HTTP 404): model: gpt-4o"
    );
    assert!(wrong_model.request_id.is_some());
}

#[tokio::test]
async fn a_wrong_key_is_named_and_not_shown() {
    let server = FakeAnthropic::start().await;
    for auth in [Auth::XApiKey, Auth::Bearer] {
        let provider = Anthropic::new(AnthropicSettings {
            base_url: server.url(),
            api_key: Some(SecretString::from("sk-not-this-one")),
            version: Some("2026-10-21".to_owned()),
            auth: Some(auth),
            ..AnthropicSettings::default()
        })
        .unwrap();
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert!(error.is_auth());
        assert!(!format!("{error} {error:?} {provider:?}").contains("sk-not-this-one"));
    }
}

#[tokio::test]
async fn a_call_that_fails_unseen_is_made_again() {
    let server = FakeAnthropic::start().await;
    let settings = RetrySettings::default();
    let retrying = Retrying::new(Arc::new(provider(&server, None)), settings);
    server.enqueue(Reply::status(429).header("retry-after", "0"));
    server.enqueue(Reply::status(529).header("retry-after-ms", "0"));
    server.enqueue(Reply::text("hi"));
    let completion = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(completion.unwrap().message.text(), "hi");
    assert_eq!(server.requests().len(), 3);

    server.enqueue(Reply::status(500).header("x-should-retry", "false"));
    let refused = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Server);
    let words = || Reply::text("half an answer").chunked(4);
    let length = server.sent()[2].len();
    server.enqueue(words().cut_after_bytes(length));
    let cut_off = retrying
        .complete(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    assert_eq!(cut_off.unwrap_err().kind, ErrorKind::CutOff);
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_cancelled_call_leaves_the_server_at_once() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for (round, reply) in [Reply::silence(), Reply::text("hi").stall_after_bytes(300)]
        .into_iter()
        .enumerate()
    {
        server.enqueue(reply);
        let cancel = CancellationToken::new();
        let call = async {
            let stream = provider
                .stream(request("claude-sonnet-4-6"), cancel.clone())
                .await?;
            collect(stream).await
        };
        let stop = async {
            server.wait_for_stalls(round + 1).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(call, stop);
        assert!(outcome.unwrap_err().is_cancelled());
        server.wait_for_hang_ups(round + 1).await;
    }
    // So does one that nobody listens to any more.
    server.enqueue(Reply::text("hi").stall_after_bytes(300));
    let stream = provider
        .stream(request("claude-sonnet-4-6"), CancellationToken::new())
        .await;
    server.wait_for_stalls(3).await;
    drop(stream);
    server.wait_for_hang_ups(3).await;
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = FakeAnthropic::start().await;
    let timeouts = ash_llm::Timeouts {
        idle: Duration::from_millis(50),
        ..ash_llm::Timeouts::default()
    };
    let provider = Anthropic::new(AnthropicSettings {
        base_url: server.url(),
        api_key: Some(SecretString::from(KEY)),
        timeouts,
        ..AnthropicSettings::default()
    })
    .unwrap();
    for reply in [Reply::silence(), Reply::text("hi").stall_after_bytes(300)] {
        server.enqueue(reply);
        let error = ask(&provider, &request("claude-sonnet-4-6"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            "anthropic: nothing came for 0.05 seconds"
        );
    }
}

#[tokio::test]
async fn junk_in_an_answer_ends_it_or_does_no_harm() {
    let server = FakeAnthropic::start().await;
    let provider = provider(&server, None);
    for junk in [
        &b"\0"[..],
        b"\xFF\xFE",
        b"\n\n",
        b": comment\n",
        b"data: {\n\n",
        b"\r",
    ] {
        for at in (0..900).step_by(7) {
            server.enqueue(
                Reply::text("hello there")
                    .chunked(3)
                    .garble_after_bytes(at, junk),
            );
            let mut stream = provider
                .stream(request("claude-sonnet-4-6"), CancellationToken::new())
                .await
                .unwrap();
            let mut ends = 0;
            while let Some(event) = stream.next().await {
                ends += usize::from(!matches!(event, Ok(ash_llm::LlmEvent::TextDelta(_))));
            }
            assert_eq!(ends, 1, "{junk:?} at {at}");
        }
    }
}
