//! The Messages protocol against a server that refuses what the real one refuses.

use ash_llm::{
    Anthropic, AnthropicSettings, Completion, LlmError, LlmProvider, Message, Request,
    ResultContent, StopReason, Thinking, ToolResult, ToolSpec,
};
use ash_testkit::{FakeAnthropic, KEY, Reply};
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

pub(super) fn provider(server: &FakeAnthropic, version: Option<&str>) -> Anthropic {
    Anthropic::new(AnthropicSettings {
        base_url: server.url(),
        api_key: Some(SecretString::from(KEY)),
        version: version.map(str::to_owned),
        ..AnthropicSettings::default()
    })
    .unwrap()
}

pub(super) fn request(model: &str) -> Request {
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

pub(super) async fn ask(provider: &Anthropic, request: &Request) -> Result<Completion, LlmError> {
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
