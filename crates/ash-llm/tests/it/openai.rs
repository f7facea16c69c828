#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ash_llm::{
    Api, Completion, Content, EmbeddingProvider, ErrorKind, LlmError, LlmProvider, Message, OpenAi,
    OpenAiEmbeddings, ProviderKind, ProviderSettings, Registry, Request, ResultContent, StopReason,
    Thinking, ToolResult, ToolSpec,
};
use ash_testkit::{Dialect, Fake, FakeOpenAi, KEY, Protocol, Reply, check_wire_prefix};
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn provider<P: Protocol>(server: &Fake<P>, api: Api) -> OpenAi {
    let settings = ProviderSettings {
        base_url: Some(server.url()),
        api,
        ..ProviderSettings::new(ProviderKind::Openai)
    };
    OpenAi::new("openai", &settings, Some(&SecretString::from(KEY))).unwrap()
}

fn request(model: &str) -> Request {
    let mut parameters = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    parameters["additionalProperties"] = false.into();
    Request {
        model: model.to_owned(),
        system: vec!["You are Ash.".to_owned()],
        messages: vec![Message::user("What is in my notes?")],
        tools: vec![ToolSpec::new("read", "Reads a file", parameters)],
        max_tokens: 500,
        temperature: Some(0.5),
        thinking: Some(Thinking::Low),
        conversation: Some("terminal/main".to_owned()),
    }
}

/// A picture that is one, of a single pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Answers every call by words, and one of them by a picture too.
fn results(completion: &Completion) -> Message {
    let mut results: Vec<ToolResult> = completion
        .message
        .tool_calls()
        .map(|call| ToolResult::text(&call.id, "milk, tea", false))
        .collect();
    let (media_type, data) = ("image/png".to_owned(), PIXEL.to_owned());
    results[0]
        .content
        .push(ResultContent::Image { media_type, data });
    let mut message = Message::tool_results(results);
    message.content.push(Content::Context {
        text: "It is noon.".to_owned(),
    });
    message
}

/// Has a conversation of three requests: words with two calls, an answer, another question.
async fn converse<P: Protocol>(server: &Fake<P>, api: Api, model: &str) -> Vec<Completion> {
    let provider = provider(server, api);
    let mut request = request(model);
    let mut completions = Vec::new();
    for reply in [
        Reply::thinking("Two files, then.")
            .and_text("I look.")
            .and_tool_call("call_a", "read", json!({"path": "a"}))
            .and_tool_call("call_b", "read", json!({"path": "b"}))
            .chunked(3),
        Reply::text("Milk and tea.").chunked(4).in_packets_of(7),
        Reply::text("You are welcome."),
    ] {
        server.enqueue(reply);
        let completion = provider
            .complete(request.clone(), CancellationToken::new())
            .await
            .unwrap();
        request.messages.push(completion.message.clone());
        request.messages.push(match completion.stop {
            StopReason::ToolUse => results(&completion),
            _ => Message::user("thanks"),
        });
        completions.push(completion);
    }
    assert_eq!(server.violations(), Vec::<String>::new());
    let requests = server.requests();
    for pair in requests.windows(2) {
        check_wire_prefix(&pair[0], &pair[1]).unwrap();
    }
    completions
}

fn assert_conversed(completions: &[Completion]) {
    let [first, second, third] = completions else {
        panic!("{completions:?}")
    };
    assert_eq!(first.stop, StopReason::ToolUse);
    assert_eq!(said(first), "I look.");
    let calls: Vec<_> = first.message.tool_calls().collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_ne!(calls[0].id, calls[1].id);
    for (call, path) in calls.iter().zip(["a", "b"]) {
        assert_eq!(
            (call.name.as_str(), &call.arguments["path"]),
            ("read", &json!(path))
        );
    }
    assert_eq!(
        (second.stop.clone(), said(second)),
        (StopReason::End, "Milk and tea.".to_owned())
    );
    assert_eq!(said(third), "You are welcome.");
    assert!(
        completions
            .iter()
            .all(|completion| completion.usage.prompt() > 0 && completion.usage.output > 0)
    );
}

/// Small models say what is no character, which is kept.
fn said(completion: &Completion) -> String {
    completion.message.text().replace('\u{FFFD}', "")
}

#[tokio::test]
async fn responses_hold_a_conversation_with_reasoning() {
    let server = FakeOpenAi::start().await;
    let completions = converse(&server, Api::Responses, "gpt-6.1-terra").await;
    assert_conversed(&completions);
    assert!(matches!(
        completions[0].message.content[0],
        Content::Opaque { .. }
    ));
    let replayed = &server.requests()[2].body["input"];
    assert_eq!(replayed[1]["type"], "reasoning");
}

#[tokio::test]
async fn responses_hold_a_conversation_without_reasoning() {
    let server = FakeOpenAi::start().await;
    server.enqueue(Reply::text("hello").cached(64, 0).usage(100, 7));
    let completion = provider(&server, Api::Responses)
        .complete(request("gpt-4o"), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(server.violations(), Vec::<String>::new());
    assert_eq!(
        (
            completion.usage.input,
            completion.usage.cache_read,
            completion.usage.output
        ),
        (100, 64, 7)
    );
    assert_eq!(completion.message.origin.as_deref(), Some("openai/gpt-4o"));
}

#[tokio::test]
async fn chat_holds_a_conversation_with_every_kind_of_server() {
    for dialect in [
        Dialect::OpenAi,
        Dialect::Ollama,
        Dialect::VllmNoIds,
        Dialect::OpenRouter,
        Dialect::LlamaCpp,
        Dialect::NoUsage,
        Dialect::NoDone,
        Dialect::RepeatedNames,
        Dialect::NoIndex,
        Dialect::ObjectArguments,
    ] {
        let server = FakeOpenAi::start_as(dialect.into()).await;
        let model = if dialect == Dialect::OpenAi {
            "gpt-4o"
        } else {
            "qwen3"
        };
        let completions = converse(&server, Api::Chat, model).await;
        assert_conversed(&completions);
    }
}

async fn failure(server: &FakeOpenAi, api: Api, reply: Reply) -> LlmError {
    server.enqueue(reply);
    provider(server, api)
        .complete(request("gpt-4o"), CancellationToken::new())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn failures_are_told_apart_in_both_protocols() {
    let server = FakeOpenAi::start().await;
    for api in [Api::Responses, Api::Chat] {
        for (reply, kind) in [
            (Reply::status(401), ErrorKind::Auth),
            (Reply::status(404), ErrorKind::NotFound),
            (Reply::status(429), ErrorKind::RateLimited),
            (
                Reply::error(429, "insufficient_quota", "You exceeded your current quota"),
                ErrorKind::Quota,
            ),
            (
                Reply::error(400, "context_length_exceeded", "Too long"),
                ErrorKind::ContextOverflow,
            ),
            (Reply::status(500), ErrorKind::Server),
            (Reply::status(503), ErrorKind::Overloaded),
            (
                Reply::raw_body(502, "text/html", "<html><title>Bad Gateway</title>"),
                ErrorKind::Server,
            ),
            (
                Reply::raw_body(
                    200,
                    "application/json",
                    "{\"error\":{\"message\":\"no\",\"code\":\"insufficient_quota\"}}",
                ),
                ErrorKind::Quota,
            ),
            (
                Reply::text("half an").then_error("server_error", "Oops"),
                ErrorKind::Server,
            ),
            (
                Reply::text("half an").cut_after_bytes(300),
                ErrorKind::CutOff,
            ),
            (
                Reply::text("half an").end_after_bytes(300),
                ErrorKind::CutOff,
            ),
            (Reply::disconnect(), ErrorKind::Connect),
        ] {
            let shown = format!("{api:?} {reply:?}");
            let error = failure(&server, api, reply).await;
            assert_eq!(error.kind, kind, "{shown}: {error}");
        }
    }
    let error = failure(&server, Api::Chat, Reply::status(429)).await;
    assert_eq!(error.retry_after.map(|wait| wait.as_millis()), Some(1200));
    assert!(error.request_id.is_some());
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_at_once() {
    let server = FakeOpenAi::start().await;
    server.enqueue(Reply::silence());
    let cancel = CancellationToken::new();
    let provider = provider(&server, Api::Responses);
    let (completion, ()) = tokio::join!(
        provider.complete(request("gpt-4o"), cancel.clone()),
        async {
            server.wait_for_stalls(1).await;
            cancel.cancel();
        }
    );
    assert!(completion.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn an_answer_that_ran_out_of_tokens_calls_nothing() {
    for api in [Api::Responses, Api::Chat] {
        let server = FakeOpenAi::start().await;
        let stop = if api == Api::Chat {
            "length"
        } else {
            "max_output_tokens"
        };
        server.enqueue(
            Reply::text("I look.")
                .and_raw_tool_call("a", "read", "{\"path\":\"no")
                .stop(stop),
        );
        let completion = provider(&server, api)
            .complete(request("gpt-4o"), CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(completion.stop, StopReason::Length);
        assert_eq!(completion.message.tool_calls().count(), 0);
    }
}

#[tokio::test]
async fn the_registry_leads_to_the_server_that_the_environment_names() {
    let server = FakeOpenAi::start().await;
    server.enqueue(Reply::status(503));
    server.enqueue(Reply::text("hello"));
    let url = server.url();
    let base = url.strip_suffix("/v1").unwrap().to_owned();
    for base_url in [url, base] {
        let environment = |name: &str| match name {
            "OPENAI_API_KEY" => Some(KEY.to_owned()),
            "OPENAI_BASE_URL" => Some(base_url.clone()),
            _ => None,
        };
        let registry = Registry::new(&BTreeMap::new(), &environment).unwrap();
        let model = registry.model("openai/gpt-4o").unwrap();
        if server.replies_left() == 0 {
            server.enqueue(Reply::text("hello"));
        }
        let completion = model
            .provider
            .complete(request(&model.name), CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(completion.message.text(), "hello");
    }
    assert_eq!(server.requests().len(), 3, "the first one is made again");
}

async fn embeddings(server: &FakeOpenAi, model: &str) -> Result<OpenAiEmbeddings, LlmError> {
    OpenAiEmbeddings::connect(Arc::new(provider(server, Api::Auto)), model, None).await
}

#[tokio::test]
async fn texts_become_vectors_in_their_order_and_in_batches() {
    let server = FakeOpenAi::start().await;
    let source = embeddings(&server, "text-embedding-3-small").await.unwrap();
    assert_eq!(server.requests().len(), 0, "what is known is not asked");
    assert_eq!(
        (source.model_id(), source.dimensions()),
        ("openai/text-embedding-3-small", 1536)
    );

    let texts: Vec<String> = (0..150).map(|n| format!("text {n}")).collect();
    server.enqueue_embeddings(Reply::default().shuffled());
    let vectors = source.embed(&texts).await.unwrap();
    assert_eq!(vectors.len(), 150);
    assert!(vectors.iter().all(|vector| vector.len() == 1536));
    assert_eq!(server.requests().len(), 3);
    let alone = source.embed(&texts[70..71]).await.unwrap();
    assert_eq!(alone[0], vectors[70]);
    assert!(source.embed(&[]).await.unwrap().is_empty());

    let long = vec!["word ".repeat(20_000), "äöü".repeat(10_000)];
    assert_eq!(source.embed(&long).await.unwrap().len(), 2);
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_length_of_unknown_vectors_is_asked_for() {
    let server = FakeOpenAi::start_as(Dialect::LlamaCpp.into()).await;
    let source = embeddings(&server, "nomic").await.unwrap();
    assert_eq!(source.dimensions(), 384);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn vectors_that_are_not_what_was_asked_for_are_refused() {
    let server = FakeOpenAi::start().await;
    let source = embeddings(&server, "text-embedding-3-small").await.unwrap();
    let rows = |rows: serde_json::Value| {
        Reply::raw_body(200, "application/json", json!({"data": rows}).to_string())
    };
    let right = vec![0.5; 1536];
    let nothing = vec![0.0; 1536];
    let endless = vec![1e300; 1536];
    let mut refusals = Vec::new();
    for reply in [
        Reply::default().short_by(1),
        rows(json!([])),
        rows(json!([{"index": 0, "embedding": right}, {"index": 0, "embedding": right}])),
        rows(json!([{"index": 0, "embedding": right}, {"index": 7, "embedding": right}])),
        rows(json!([{"embedding": right}, {"embedding": [0.5, 0.5]}])),
        rows(json!([{"embedding": right}, {"embedding": nothing}])),
        rows(json!([{"embedding": right}, {"embedding": endless}])),
        rows(json!([{"embedding": right}, {"embedding": "not base64!"}])),
        rows(json!([{"embedding": right}, {"embedding": ["x"]}])),
        rows(json!([{"embedding": right}, {}])),
        Reply::status(429),
    ] {
        server.enqueue_embeddings(reply);
        let error = source
            .embed(&["a".to_owned(), "b".to_owned()])
            .await
            .unwrap_err();
        refusals.push(format!("{:?}: {error}", error.kind));
    }
    let error = source
        .embed(&["a".to_owned(), " ".to_owned()])
        .await
        .unwrap_err();
    refusals.push(format!("{:?}: {error}", error.kind));
    insta::assert_snapshot!(refusals.join("\n"), @"
    Protocol: openai: 1 vectors came for 2 texts
    Protocol: openai: 0 vectors came for 2 texts
    Protocol: openai: the vectors are numbered wrongly (0)
    Protocol: openai: the vectors are numbered wrongly (7)
    Protocol: openai: a vector has 2 numbers instead of 1536
    Protocol: openai: a vector holds nothing but zeros
    Protocol: openai: a vector holds something that is no number
    Protocol: openai: a vector cannot be read
    Protocol: openai: a vector cannot be read
    Protocol: openai: a vector cannot be read
    RateLimited: openai (HTTP 429): Rate limit reached. Please try again in 1.2s.
    InvalidRequest: openai: text 2 of 2 is empty, and nothing has no vector
    ");
    // Numbers without an index, in their order, are fine.
    server.enqueue_embeddings(rows(json!([{"embedding": right}, {"embedding": right}])));
    assert_eq!(
        source
            .embed(&["a".to_owned(), "b".to_owned()])
            .await
            .unwrap(),
        [vec![0.5; 1536], vec![0.5; 1536]]
    );
}
