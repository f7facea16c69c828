use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ORIGIN, assistant, call, text, whole};
use crate::anthropic::request::Dialect;
use crate::anthropic::{capability, request};
use crate::{Content, Message, Request, ResultContent, Thinking, ToolCall, ToolResult, ToolSpec};

const OLD: Dialect = Dialect {
    accepts_sampling: true,
};
const NEW: Dialect = Dialect {
    accepts_sampling: false,
};

fn sent(request: &Request, dialect: Dialect) -> Value {
    let origin = format!("anthropic/{}", request.model);
    serde_json::to_value(request::body(request, &origin, dialect)).unwrap()
}

fn conversation() -> Request {
    let results = vec![
        ToolResult::text("toolu_01", "rain", false),
        ToolResult {
            call_id: "toolu_02".to_owned(),
            content: vec![
                ResultContent::Text {
                    text: " ".to_owned(),
                },
                ResultContent::Image {
                    media_type: "image/png".to_owned(),
                    data: "iVBORw0K".to_owned(),
                },
            ],
            is_error: false,
        },
    ];
    let mut answered = Message::tool_results(results);
    answered.content.insert(0, text("and hurry"));
    answered.content.push(Content::Context {
        text: "It is noon.".to_owned(),
    });
    Request {
        model: "claude-sonnet-4-6".to_owned(),
        system: vec![
            "You are Ash.".to_owned(),
            String::new(),
            "About Anna.".to_owned(),
        ],
        messages: vec![
            Message::user("How is the weather?"),
            whole().message,
            answered,
        ],
        tools: vec![ToolSpec {
            name: "now".to_owned(),
            description: "Tells the time.".to_owned(),
            parameters: json!({"type": "object", "properties": {}}),
        }],
        max_tokens: 4096,
        temperature: Some(0.7),
        thinking: None,
        conversation: None,
    }
}

#[test]
fn a_conversation_is_sent_in_the_words_of_the_protocol() {
    let mark = json!({"type": "ephemeral"});
    let expected = json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 4096,
        "stream": true,
        "temperature": 0.7_f32,
        "tools": [{
            "name": "now",
            "description": "Tells the time.",
            "input_schema": {"type": "object", "properties": {}},
        }],
        "system": [
            {"type": "text", "text": "You are Ash.", "cache_control": mark},
            {"type": "text", "text": "About Anna.", "cache_control": mark},
        ],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "How is the weather?", "cache_control": mark},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Two cities, two calls.", "signature": "EqQBCg=="},
                {"type": "text", "text": "I look at both 🌦"},
                {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Zürich"}},
                {"type": "tool_use", "id": "toolu_02", "name": "now", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01", "content": [
                    {"type": "text", "text": "rain"},
                ]},
                {"type": "tool_result", "tool_use_id": "toolu_02", "content": [
                    {"type": "image", "source": {
                        "type": "base64", "media_type": "image/png", "data": "iVBORw0K",
                    }},
                ]},
                {"type": "text", "text": "and hurry"},
                {"type": "text", "text": "It is noon.", "cache_control": mark},
            ]},
        ],
    });
    assert_eq!(sent(&conversation(), OLD), expected);
    let bytes = serde_json::to_string(&request::body(&conversation(), ORIGIN, OLD)).unwrap();
    assert!(bytes.contains(r#""temperature":0.7,"#), "{bytes}");
}

#[test]
fn a_temperature_is_sent_only_where_it_is_accepted() {
    let with = |model: &str, temperature, thinking, dialect| {
        let request = Request {
            model: model.to_owned(),
            temperature,
            thinking,
            ..conversation()
        };
        sent(&request, dialect)
            .get("temperature")
            .and_then(Value::as_f64)
    };
    assert_eq!(with("claude-sonnet-4-6", Some(0.5), None, OLD), Some(0.5));
    assert_eq!(with("claude-sonnet-4-6", None, None, OLD), None);
    assert_eq!(with("claude-sonnet-4-6", Some(0.5), None, NEW), None);
    assert_eq!(
        with("claude-sonnet-4-6", Some(0.5), Some(Thinking::Low), OLD),
        None
    );
    assert_eq!(with("claude-opus-4-7", Some(0.5), None, OLD), None);
    assert_eq!(with("claude-opus-4-6", Some(1.5), None, OLD), Some(1.0));
    assert_eq!(with("qwen3", Some(1.5), None, OLD), Some(1.5));
}

#[test]
fn thinking_is_asked_for_in_the_words_of_the_model() {
    for (model, thinking, expected) in [
        ("claude-sonnet-4-6", None, json!([null, null, 4096])),
        (
            "claude-sonnet-4-6",
            Some(Thinking::Medium),
            json!([{"type": "adaptive", "display": "summarized"}, {"effort": "medium"}, 12288]),
        ),
        (
            "claude-opus-5-5",
            None,
            json!([{"type": "adaptive", "display": "summarized"}, null, 20480]),
        ),
        (
            "claude-sonnet-5",
            Some(Thinking::Off),
            json!([{"type": "disabled"}, null, 4096]),
        ),
        (
            "claude-haiku-4-5",
            Some(Thinking::Low),
            json!([{"type": "enabled", "budget_tokens": 4096}, null, 8192]),
        ),
    ] {
        let request = Request {
            model: model.to_owned(),
            thinking,
            messages: vec![Message::user("hello")],
            ..conversation()
        };
        let body = sent(&request, NEW);
        let actual = json!([body["thinking"], body["output_config"], body["max_tokens"]]);
        assert_eq!(actual, expected, "{model} {thinking:?}");
    }
}

#[test]
fn a_chain_of_calls_that_began_without_a_thought_goes_on_without() {
    let thought = Content::Thinking {
        text: String::new(),
        signature: Some("proof".to_owned()),
    };
    let calls = call("a", "now", json!({}));
    let own = "anthropic/claude-haiku-4-5";
    for (content, origin, thinks) in [
        (vec![thought.clone(), calls.clone()], own, true),
        (vec![calls.clone()], own, false),
        (vec![thought, calls], "openai/gpt-4o", false),
    ] {
        let mut request = Request {
            model: "claude-haiku-4-5".to_owned(),
            thinking: Some(Thinking::High),
            messages: vec![
                Message::user("hello"),
                assistant(content, origin),
                Message::tool_results(vec![ToolResult::text("a", "noon", false)]),
            ],
            ..conversation()
        };
        assert_eq!(sent(&request, NEW).get("thinking").is_some(), thinks);
        // The next question begins a new chain.
        request.messages.push(Message::assistant("It is noon."));
        request.messages.push(Message::user("thanks"));
        assert!(sent(&request, NEW).get("thinking").is_some());
    }
}

#[test]
fn thoughts_are_shown_only_to_the_model_that_had_them() {
    let thoughts = || {
        vec![
            Content::Thinking {
                text: String::new(),
                signature: Some("proof".to_owned()),
            },
            Content::Thinking {
                text: "unproven".to_owned(),
                signature: None,
            },
            Content::Opaque {
                block: json!({"type": "redacted_thinking", "data": "x"}),
            },
            text("said"),
        ]
    };
    let blocks = |origin: &str| {
        let request = Request {
            messages: vec![Message::user("hello"), assistant(thoughts(), origin)],
            ..conversation()
        };
        sent(&request, NEW)["messages"][1]["content"].clone()
    };
    assert_eq!(
        blocks(ORIGIN),
        json!([
            {"type": "thinking", "thinking": "", "signature": "proof"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "said"},
        ])
    );
    for origin in [
        "anthropic/claude-opus-4-6",
        "openai/gpt-4o",
        "claude-sonnet-4-6",
        "",
    ] {
        assert_eq!(blocks(origin), json!([{"type": "text", "text": "said"}]));
    }
}

#[test]
fn nothing_empty_is_sent() {
    let failed = ToolResult {
        call_id: "a".to_owned(),
        content: vec![],
        is_error: true,
    };
    let silent = ToolResult {
        call_id: "b".to_owned(),
        content: vec![],
        is_error: false,
    };
    let mut request = Request {
        model: "claude-sonnet-4-6".to_owned(),
        messages: vec![
            Message::user(""),
            Message::user("one"),
            assistant(vec![], ORIGIN),
            assistant(vec![text(" \n")], ORIGIN),
            Message::user("two"),
            assistant(
                vec![call("a", "x", json!({})), call("b", "x", json!({}))],
                ORIGIN,
            ),
            Message::tool_results(vec![failed, silent]),
        ],
        ..Request::default()
    };
    let body = sent(&request, NEW);
    assert_eq!(body.get("tools"), None);
    assert_eq!(body.get("system"), None);
    assert_eq!(body["max_tokens"], 1);
    let mark = json!({"type": "ephemeral"});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [
                {"type": "text", "text": "one"},
                {"type": "text", "text": "two", "cache_control": mark},
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "x", "input": {}},
                {"type": "tool_use", "id": "b", "name": "x", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [
                    {"type": "text", "text": "(no message)"},
                ]},
                {"type": "tool_result", "tool_use_id": "b", "cache_control": mark},
            ]},
        ])
    );
    request.messages.truncate(1);
    assert!(request::body(&request, ORIGIN, NEW).is_empty());
}

#[test]
fn the_last_tool_is_where_the_cache_ends_when_there_is_no_system_prompt() {
    let request = Request {
        system: vec![],
        ..conversation()
    };
    assert_eq!(
        sent(&request, NEW)["tools"][0]["cache_control"],
        json!({"type": "ephemeral"})
    );
}

#[test]
fn identifiers_of_other_providers_are_made_acceptable_and_still_match() {
    let fine = "call_A-9";
    let long = "x".repeat(65);
    let ids = [
        fine,
        "functions.now:0",
        "functions.now_0",
        "",
        long.as_str(),
        "名前",
    ];
    let request = Request {
        messages: vec![
            assistant(
                ids.iter().map(|id| call(id, id, json!({}))).collect(),
                "o/m",
            ),
            Message::tool_results(ids.map(|id| ToolResult::text(id, "ok", false)).into()),
        ],
        ..conversation()
    };
    let body = sent(&request, NEW);
    let mut seen = Vec::new();
    for (at, original) in ids.iter().enumerate() {
        let called = &body["messages"][0]["content"][at];
        let id = called["id"].as_str().unwrap();
        assert_eq!(id, called["name"]);
        assert_eq!(id, body["messages"][1]["content"][at]["tool_use_id"]);
        assert!((1..=64).contains(&id.len()), "{original} became {id}");
        assert!(
            id.chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
            "{id}"
        );
        assert!(!seen.contains(&id.to_owned()), "{original} became {id} too");
        seen.push(id.to_owned());
    }
    assert_eq!(seen[0], fine);
}

/// Serialises tools, system and messages block by block, without cache markers.
fn prefix(request: &Request) -> Vec<String> {
    let mut body = sent(request, OLD);
    let mut parts = Vec::new();
    let mut add = |kind: &str, mut block: Value| {
        block.as_object_mut().unwrap().remove("cache_control");
        parts.push(format!("{kind} {block}"));
    };
    for kind in ["tools", "system"] {
        for block in body[kind].as_array_mut().into_iter().flatten() {
            add(kind, block.take());
        }
    }
    for turn in body["messages"].as_array_mut().into_iter().flatten() {
        let role = turn["role"].to_string();
        for block in turn["content"].as_array_mut().into_iter().flatten() {
            add(&role, block.take());
        }
    }
    parts
}

fn a_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z äß🦀\"\\\\\n]{0,12}", Just(" ".to_owned())]
}

fn said_by_a_person() -> impl Strategy<Value = Vec<Message>> {
    (a_text(), proptest::option::of(a_text()), any::<bool>()).prop_map(|(said, told, picture)| {
        let mut message = Message::user(said);
        message
            .content
            .extend(told.map(|text| Content::Context { text }));
        if picture {
            message.content.push(Content::Image {
                media_type: "image/png".to_owned(),
                data: "iVBO".to_owned(),
            });
        }
        vec![message]
    })
}

fn said_by_a_model() -> impl Strategy<Value = Vec<Message>> {
    let origin = prop_oneof![Just(ORIGIN), Just("openai/gpt-4o")];
    (
        origin,
        a_text(),
        a_text(),
        0..4usize,
        any::<u32>(),
        a_text(),
    )
        .prop_map(|(origin, thought, said, calls, seed, steering)| {
            let mut content = vec![
                Content::Thinking {
                    signature: (!thought.is_empty()).then(|| "proof".to_owned()),
                    text: thought,
                },
                Content::Opaque {
                    block: json!({"type": "redacted_thinking", "data": seed}),
                },
                Content::Text { text: said.clone() },
            ];
            let ids: Vec<_> = (0..calls).map(|n| format!("call.{seed}:{n}")).collect();
            let mut arguments = Map::new();
            arguments.insert(
                "z".to_owned(),
                json!({"b": 0.1 + f64::from(seed), "a": said}),
            );
            for id in &ids {
                let call = ToolCall {
                    id: id.clone(),
                    name: "now".to_owned(),
                    arguments: arguments.clone(),
                };
                content.push(Content::ToolCall(call));
            }
            let mut messages = vec![assistant(content, origin)];
            if calls > 0 {
                let results = ids
                    .into_iter()
                    .map(|id| ToolResult::text(id, &steering, calls > 2));
                let mut answer = Message::tool_results(results.collect());
                answer.content.push(Content::Text { text: steering });
                messages.push(answer);
            }
            messages
        })
}

proptest! {
    #[test]
    fn a_request_begins_with_the_request_before_it(
        steps in proptest::collection::vec(prop_oneof![said_by_a_person(), said_by_a_model()], 1..12),
    ) {
        let mut request = Request { messages: vec![], ..conversation() };
        let mut before = prefix(&request);
        for messages in steps {
            request.messages.extend(messages);
            let now = prefix(&request);
            prop_assert!(now.starts_with(&before), "{before:#?}\nis no prefix of\n{now:#?}");
            before = now;
            // What was stored and loaded again is the same.
            let stored = serde_json::to_string(&request.messages).unwrap();
            let loaded = Request {
                messages: serde_json::from_str(&stored).unwrap(),
                ..request.clone()
            };
            let body = serde_json::to_vec(&request::body(&request, ORIGIN, OLD)).unwrap();
            let again = serde_json::to_vec(&request::body(&loaded, ORIGIN, OLD)).unwrap();
            prop_assert_eq!(body, again);
        }
    }

    #[test]
    fn at_most_four_places_are_marked_for_the_cache(
        steps in proptest::collection::vec(prop_oneof![said_by_a_person(), said_by_a_model()], 0..8),
        system in proptest::collection::vec(a_text(), 0..5),
    ) {
        let request = Request { messages: steps.concat(), system, ..conversation() };
        let body = sent(&request, NEW).to_string();
        prop_assert!(body.matches("\"cache_control\"").count() <= 4);
    }

    #[test]
    fn no_name_of_a_model_panics(name in "(claude)?[-a-z0-9.:@/é]{0,30}", level in 0..5) {
        let wanted = [None, Some(Thinking::Off), Some(Thinking::Low), Some(Thinking::Medium), Some(Thinking::High)];
        let plan = capability::Capability::of(&name).plan(wanted[usize::try_from(level).unwrap()]);
        prop_assert!(plan.tokens() <= 16384);
    }
}
