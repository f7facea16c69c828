//! The fake Messages API streams as the real one does.

use ash_testkit::{FakeAnthropic, KEY, Reply, check_wire_prefix};
use serde_json::{Value, json};

use crate::client::{Got, post};

fn hello() -> Value {
    json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hello"}],
    })
}

async fn ask(server: &FakeAnthropic, body: &Value) -> Got {
    let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", KEY)];
    post(&format!("{}/v1/messages", server.url()), &headers, body).await
}

fn rich() -> Reply {
    Reply::thinking("I should look.")
        .and_text("Looking…")
        .and_tool_call("toolu_1", "look", json!({"where": "here"}))
        .and_tool_call("toolu_2", "rest", json!({}))
        .chunked(5)
        .cached(7, 8)
        .usage(20, 30)
}

#[tokio::test]
async fn a_stream_fills_the_same_message_as_a_body() {
    let server = FakeAnthropic::start().await;
    server.enqueue(rich());
    server.enqueue(rich());
    let mut body = hello();
    let whole = ask(&server, &body).await.json();
    body["stream"] = json!(true);
    let got = ask(&server, &body).await;
    let mut blocks: Vec<Value> = Vec::new();
    let mut inputs = [const { String::new() }; 4];
    for ((name, _), data) in got.events().iter().zip(got.data()) {
        assert_eq!(*name, data["type"]);
        let index = usize::try_from(data["index"].as_u64().unwrap_or(0)).unwrap();
        match name.as_str() {
            "content_block_start" => blocks.push(data["content_block"].clone()),
            "content_block_delta" => {
                for (key, value) in data["delta"].as_object().unwrap() {
                    let value = value.as_str().unwrap();
                    match key.as_str() {
                        "type" => {}
                        "partial_json" => inputs[index] += value,
                        key => {
                            let so_far = blocks[index][key].as_str().unwrap();
                            blocks[index][key] = json!(so_far.to_owned() + value);
                        }
                    }
                }
            }
            "message_delta" => {
                assert_eq!(data["delta"]["stop_reason"], whole["stop_reason"]);
                assert_eq!(data["usage"]["output_tokens"], 30);
            }
            _ => {}
        }
    }
    blocks[2]["input"] = serde_json::from_str(&inputs[2]).unwrap();
    assert_eq!(inputs[3], "");
    assert_eq!(json!(blocks), whole["content"]);
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["usage"]["input_tokens"], 20);
    assert_eq!(whole["usage"]["cache_read_input_tokens"], 7);
    let names: Vec<String> = got.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.first().unwrap(), "message_start");
    assert_eq!(names.last().unwrap(), "message_stop");
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_error_can_come_inside_a_200() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hel").then_error("overloaded_error", "Overloaded"));
    let mut body = hello();
    body["stream"] = json!(true);
    let got = ask(&server, &body).await;
    assert_eq!((got.status, got.whole), (200, true));
    let last = got.data().pop().unwrap();
    let error = json!({"type": "overloaded_error", "message": "Overloaded"});
    assert_eq!(last, json!({"type": "error", "error": error}));
}

#[tokio::test]
async fn requests_of_one_conversation_share_a_prefix() {
    let server = FakeAnthropic::with(|_| Reply::text("fine")).await;
    let mut messages = vec![
        json!({"role": "user", "content": [
            {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}},
        ]}),
        json!({"role": "assistant", "content": [{"type": "text", "text": "hi"}]}),
        json!({"role": "user", "content": [{"type": "text", "text": "more"}]}),
    ];
    let mut body = hello();
    body["messages"] = json!(messages[..1]);
    ask(&server, &body).await;
    messages[0]["content"][0] = json!({"type": "text", "text": "hello"});
    body["messages"] = json!(messages);
    ask(&server, &body).await;
    body["system"] = json!("It is noon.");
    ask(&server, &body).await;
    let [a, b, c] = &server.requests()[..] else {
        panic!("three were sent");
    };
    assert_eq!(check_wire_prefix(a, b), Ok(()));
    assert!(
        check_wire_prefix(b, a)
            .unwrap_err()
            .contains("3 messages became 1")
    );
    assert!(
        check_wire_prefix(b, c)
            .unwrap_err()
            .contains("system changed")
    );
}
