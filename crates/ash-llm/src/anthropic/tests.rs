//! What crosses the wire: here the connection, in the modules what is asked and what is answered.

mod answer;
mod laws;
mod request;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::{Completion, Content, LlmEvent, Message, Role, StopReason, ToolCall, Usage};

const ORIGIN: &str = "anthropic/claude-sonnet-4-6";

/// Thinking, words and two calls, with a ping at every odd place. The numbers and signatures are made up.
const WHOLE: &str = r#"event: ping
data: {"type": "ping"}

event: message_start
data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":4000,"cache_creation":{"ephemeral_5m_input_tokens":300,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Two cities"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":", two calls."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCg=="}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: ping
data: {"type": "ping"}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I look at "}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"both 🌦"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_01","name":"weather","input":{},"caller":{"type":"direct"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Zü"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"rich\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_02","name":"now","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}

event: message_stop
data: {"type":"message_stop"}

"#;

fn whole() -> Completion {
    let message = Message {
        role: Role::Assistant,
        content: vec![
            Content::Thinking {
                text: "Two cities, two calls.".to_owned(),
                signature: Some("EqQBCg==".to_owned()),
            },
            text("I look at both 🌦"),
            call("toolu_01", "weather", json!({"city": "Zürich"})),
            call("toolu_02", "now", json!({})),
        ],
        origin: Some(ORIGIN.to_owned()),
    };
    Completion {
        message,
        stop: StopReason::ToolUse,
        usage: Usage {
            input: 12,
            output: 89,
            cache_read: 4000,
            cache_write: 300,
        },
    }
}

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
    }
}

fn call(id: &str, name: &str, arguments: Value) -> Content {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    Content::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments,
    })
}

fn assistant(content: Vec<Content>, origin: &str) -> Message {
    Message {
        role: Role::Assistant,
        content,
        origin: Some(origin.to_owned()),
    }
}

/// Serves one request and returns its head in lower case.
async fn ask(settings: impl FnOnce(String) -> AnthropicSettings) -> (Vec<LlmEvent>, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let asked = br#""messages":["#;
        while !request.windows(asked.len()).any(|window| window == asked) {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        socket
            .write_all(format!("{head}{WHOLE}").as_bytes())
            .await
            .unwrap();
        String::from_utf8(request).unwrap()
    });
    let provider = Anthropic::new(settings(url)).unwrap();
    let request = Request {
        model: "claude-sonnet-4-6".to_owned(),
        messages: vec![Message::user("hello")],
        max_tokens: 10,
        ..Request::default()
    };
    let stream = provider
        .stream(request, CancellationToken::new())
        .await
        .unwrap();
    let events = stream.map(Result::unwrap).collect().await;
    (events, server.await.unwrap().to_lowercase())
}

#[tokio::test]
async fn a_server_at_home_is_spoken_to_in_the_common_version() {
    let (events, head) = ask(|base_url| AnthropicSettings {
        base_url,
        api_key: Some(SecretString::from("sk-1")),
        ..AnthropicSettings::default()
    })
    .await;
    assert_eq!(events.last(), Some(&LlmEvent::Done(whole())));
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nanthropic-version: 2023-06-01\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nx-api-key: sk-1\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn the_newest_version_carries_the_key_as_a_bearer() {
    let (_, head) = ask(|base_url| AnthropicSettings {
        base_url: format!("{base_url}/v1/"),
        api_key: Some(SecretString::from("sk-1")),
        version: Some("2026-10-21".to_owned()),
        ..AnthropicSettings::default()
    })
    .await;
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nanthropic-version: 2026-10-21\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\nauthorization: bearer sk-1\r\n"),
        "{head}"
    );
    assert!(!head.contains("x-api-key"), "{head}");
    let (_, head) = ask(|base_url| AnthropicSettings {
        base_url,
        version: Some("2026-10-21".to_owned()),
        auth: Some(Auth::XApiKey),
        ..AnthropicSettings::default()
    })
    .await;
    assert!(
        !head.contains("x-api-key"),
        "there is no key to send: {head}"
    );
}

#[test]
fn anthropic_itself_is_spoken_to_in_the_newest_version() {
    let provider = Anthropic::new(AnthropicSettings::default()).unwrap();
    assert_eq!(provider.name(), "anthropic");
    assert!(!provider.dialect.accepts_sampling);
    assert!(format!("{provider:?}").contains(NEWEST_VERSION));
}

#[test]
fn settings_that_cannot_be_sent_are_refused() {
    for settings in [
        AnthropicSettings {
            base_url: "nowhere".to_owned(),
            ..AnthropicSettings::default()
        },
        AnthropicSettings {
            version: Some("2023\n".to_owned()),
            ..AnthropicSettings::default()
        },
    ] {
        assert_eq!(
            Anthropic::new(settings).unwrap_err().kind,
            ErrorKind::Config
        );
    }
}

#[tokio::test]
async fn a_request_without_words_is_not_sent() {
    let provider = Anthropic::new(AnthropicSettings::default()).unwrap();
    let asked = provider
        .stream(Request::default(), CancellationToken::new())
        .await;
    let Err(error) = asked else {
        panic!("nothing was there to send")
    };
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
}
