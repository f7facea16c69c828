//! The fakes of Chat Completions and Responses stream as the real ones do.

use ash_testkit::{Dialect, FakeOpenAi, KEY, OpenAi, Reply};
use serde_json::{Value, json};

use crate::client::{Got, post, receive, send};

async fn ask(server: &FakeOpenAi, path: &str, body: &Value) -> Got {
    let bearer = format!("Bearer {KEY}");
    let url = format!("{}/{path}", server.url());
    post(&url, &[("authorization", &bearer)], body).await
}

fn chat() -> Value {
    json!({
        "model": "gpt-4o",
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}],
    })
}

fn responses() -> Value {
    json!({
        "model": "gpt-5",
        "input": "hello",
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
    })
}

fn rich() -> Reply {
    Reply::thinking("I should look.")
        .and_text("Looking…")
        .and_tool_call("c1", "look", json!({"where": "here"}))
        .and_tool_call("c2", "rest", json!({}))
        .chunked(5)
        .cached(7, 8)
        .usage(20, 30)
}

async fn in_dialect(dialect: Dialect, reply: Reply) -> Got {
    let server = FakeOpenAi::start_as(OpenAi::from(dialect)).await;
    server.enqueue(reply);
    let got = ask(&server, "chat/completions", &chat()).await;
    assert_eq!(got.status, 200, "{}", got.text());
    got
}

fn deltas(got: &Got) -> Vec<Value> {
    let delta = |chunk: Value| chunk.pointer("/choices/0/delta").cloned();
    got.data().into_iter().filter_map(delta).collect()
}

fn calls(got: &Got) -> Vec<Value> {
    let call = |delta: Value| delta.pointer("/tool_calls/0").cloned();
    deltas(got).into_iter().filter_map(call).collect()
}

fn joined(got: &Got, key: &str) -> String {
    let piece = |delta: &Value| delta[key].as_str().map(str::to_owned);
    deltas(got).iter().filter_map(piece).collect()
}

#[tokio::test]
async fn chat_streams_words_calls_usage_and_done() {
    let got = in_dialect(Dialect::OpenAi, rich()).await;
    assert_eq!(joined(&got, "content"), "Looking…");
    let calls = calls(&got);
    assert_eq!(
        calls[0],
        json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}})
    );
    assert_eq!(
        calls[1],
        json!({"index": 0, "function": {"arguments": "{\"whe"}})
    );
    assert_eq!(calls.last().unwrap()["index"], 1);
    let data = got.data();
    let [.., finish, usage] = &data[..] else {
        panic!("{data:?}");
    };
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["prompt_tokens"], 35);
    assert_eq!(usage["usage"]["prompt_tokens_details"]["cached_tokens"], 7);
    assert!(got.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn dialects_have_their_habits() {
    let got = in_dialect(Dialect::Ollama, rich()).await;
    assert_eq!(joined(&got, "reasoning"), "I should look.");
    let indexes: Vec<Value> = calls(&got)
        .iter()
        .map(|call| call["index"].clone())
        .collect();
    assert_eq!(indexes, [json!(0), json!(0)]);
    assert_eq!(
        calls(&got)[0]["function"]["arguments"],
        r#"{"where":"here"}"#
    );

    let got = in_dialect(Dialect::VllmNoIds, rich()).await;
    assert!(calls(&got).iter().all(|call| call.get("id").is_none()));

    let got = in_dialect(Dialect::OpenRouter, rich()).await;
    assert!(got.text().starts_with(": OPENROUTER PROCESSING\n\n"));
    let finishes = got
        .text()
        .matches("\"finish_reason\":\"tool_calls\"")
        .count();
    assert_eq!(finishes, 2);

    let got = in_dialect(
        Dialect::OpenRouter,
        Reply::text("Hel").then_error("x", "lost"),
    )
    .await;
    let last = got.data().pop().unwrap();
    assert_eq!(last["error"], json!({"code": 502, "message": "lost"}));
    assert_eq!(last["choices"][0]["finish_reason"], "error");

    let got = in_dialect(Dialect::LlamaCpp, rich()).await;
    assert_eq!(joined(&got, "content"), "Looki\u{0}\u{fffd}ng…");
    assert!(got.text().contains("\"timings\""));

    let got = in_dialect(Dialect::NoUsage, rich()).await;
    assert!(!got.text().contains("usage"));

    let got = in_dialect(Dialect::NoDone, rich()).await;
    assert!(!got.text().contains("[DONE]"));

    let got = in_dialect(Dialect::RepeatedNames, rich()).await;
    let named = |call: &Value| call["function"]["name"].is_string() && call["id"].is_string();
    assert!(calls(&got).iter().all(named));

    let got = in_dialect(Dialect::NoIndex, rich()).await;
    assert!(calls(&got).iter().all(|call| call.get("index").is_none()));

    let got = in_dialect(Dialect::ObjectArguments, rich()).await;
    assert_eq!(
        calls(&got)[0]["function"]["arguments"],
        json!({"where": "here"})
    );
}

#[tokio::test]
async fn chat_errors_inside_a_200_are_data() {
    let got = in_dialect(Dialect::OpenAi, Reply::error_event("server_error", "lost")).await;
    assert_eq!(got.data().pop().unwrap()["error"]["message"], "lost");
}

#[tokio::test]
async fn a_chat_body_says_what_its_stream_says() {
    let server = FakeOpenAi::start().await;
    server.enqueue(rich());
    let mut body = chat();
    body["stream"] = json!(false);
    body.as_object_mut().unwrap().remove("stream_options");
    let whole = ask(&server, "chat/completions", &body).await.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], "Looking…");
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"],
        r#"{"where":"here"}"#
    );
    assert_eq!(whole["usage"]["completion_tokens"], 30);
}

#[tokio::test]
async fn responses_events_are_numbered_named_and_complete() {
    let server = FakeOpenAi::start().await;
    let mut body = responses();
    server.enqueue(rich());
    let whole = ask(&server, "responses", &body).await.json();
    body["stream"] = json!(true);
    server.enqueue(rich());
    let got = ask(&server, "responses", &body).await;
    let data = got.data();
    for (number, ((name, _), event)) in got.events().iter().zip(&data).enumerate() {
        assert_eq!(event["type"], *name);
        assert_eq!(event["sequence_number"], number);
    }
    assert!(!got.text().contains("[DONE]"));
    let of = |kind: &'static str| data.iter().filter(move |event| event["type"] == kind);
    let text =
        |kind: &'static str| -> String { of(kind).filter_map(|e| e["delta"].as_str()).collect() };
    assert_eq!(text("response.output_text.delta"), "Looking…");
    assert_eq!(
        text("response.reasoning_summary_text.delta"),
        "I should look."
    );
    assert_eq!(
        text("response.function_call_arguments.delta"),
        r#"{"where":"here"}{}"#
    );
    let done: Vec<&Value> = of("response.output_item.done")
        .map(|e| &e["item"])
        .collect();
    let last = data.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(json!(done), last["response"]["output"]);
    assert_eq!(last["response"]["usage"]["input_tokens"], 35);
    assert_eq!(whole["output"].as_array().unwrap().len(), done.len());
    assert_eq!(done[2]["call_id"], "c1");
    assert!(done[0]["encrypted_content"].is_string());
}

#[tokio::test]
async fn responses_end_incomplete_failed_or_by_an_error() {
    let server = FakeOpenAi::start().await;
    let mut body = responses();
    body["stream"] = json!(true);
    server.enqueue(Reply::tool_call("c1", "look", json!({})).stop("max_output_tokens"));
    server.enqueue(Reply::text("Hel").then_failed("server_error", "lost"));
    server.enqueue(Reply::text("Hel").then_error("server_error", "lost"));
    let last = async || ask(&server, "responses", &body).await.data().pop().unwrap();
    let event = last().await;
    assert_eq!(event["type"], "response.incomplete");
    assert_eq!(
        event["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(event["response"]["output"][0]["status"], "incomplete");
    let event = last().await;
    assert_eq!(event["type"], "response.failed");
    assert_eq!(event["response"]["error"]["code"], "server_error");
    let event = last().await;
    assert_eq!(event["type"], "error");
    assert_eq!(event["message"], "lost");
}

#[tokio::test]
async fn keys_addresses_and_models_are_checked() {
    let server = FakeOpenAi::start().await;
    let url = format!("{}/chat/completions", server.url());
    let got = post(&url, &[("authorization", "Bearer other")], &chat()).await;
    assert_eq!(
        (got.status, got.json()["error"]["code"].clone()),
        (401, json!("invalid_api_key"))
    );
    assert_eq!(post(&url, &[], &chat()).await.status, 401);
    assert_eq!(ask(&server, "completions", &chat()).await.status, 404);
    let bearer = format!("Bearer {KEY}");
    let mut stream = send(
        &format!("{}/models", server.url()),
        "GET",
        &[("authorization", &bearer)],
        b"",
    )
    .await;
    let listed = receive(&mut stream).await.json();
    assert_eq!(listed["data"][0]["object"], "model");

    let local = FakeOpenAi::start_as(OpenAi::from(Dialect::Ollama)).await;
    local.enqueue(Reply::text("fine"));
    let url = format!("{}/chat/completions", local.url());
    assert_eq!(post(&url, &[], &chat()).await.status, 200);
    assert_eq!(ask(&local, "responses", &responses()).await.status, 404);
}
