use serde_json::{Value, json};

use super::{ORIGIN, assistant, call, text, whole};
use crate::anthropic::request;
use crate::anthropic::request::Dialect;
use crate::{Content, Message, Request, ResultContent, Thinking, ToolResult, ToolSpec};

pub(super) const OLD: Dialect = Dialect {
    accepts_sampling: true,
};
pub(super) const NEW: Dialect = Dialect {
    accepts_sampling: false,
};

pub(super) fn sent(request: &Request, dialect: Dialect) -> Value {
    let origin = format!("anthropic/{}", request.model);
    serde_json::to_value(request::body(request, &origin, dialect)).unwrap()
}

pub(super) fn conversation() -> Request {
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
    request.messages.truncate(5);
    assert_eq!(sent(&request, NEW).get("tools"), None);
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
fn a_reply_that_was_cut_off_in_a_thought_ends_before_it() {
    let thought = || Content::Thinking {
        text: "hm".to_owned(),
        signature: Some("proof".to_owned()),
    };
    let redacted = || Content::Opaque {
        block: json!({"type": "redacted_thinking", "data": "x"}),
    };
    let turns = |messages: Vec<Message>| {
        let request = Request {
            messages,
            ..conversation()
        };
        let body = sent(&request, NEW);
        let turns = body["messages"].as_array().unwrap().clone();
        let kinds = |turn: &Value| {
            let blocks = turn["content"].as_array().unwrap().iter();
            let kinds: Vec<_> = blocks
                .map(|block| block["type"].as_str().unwrap())
                .collect();
            format!("{}: {}", turn["role"].as_str().unwrap(), kinds.join(" "))
        };
        turns.iter().map(kinds).collect::<Vec<_>>()
    };
    let cut_off = || assistant(vec![thought(), text("so"), redacted(), thought()], ORIGIN);
    let only_thoughts = || assistant(vec![thought()], ORIGIN);
    let hello = || Message::user("hello");
    assert_eq!(
        turns(vec![hello(), cut_off(), hello()]),
        ["user: text", "assistant: thinking text", "user: text"]
    );
    assert_eq!(
        turns(vec![hello(), only_thoughts(), hello()]),
        ["user: text text"]
    );
    // That does not depend on what follows, so a cache finds it again.
    assert_eq!(
        turns(vec![
            hello(),
            cut_off(),
            assistant(vec![text("good")], ORIGIN)
        ]),
        ["user: text", "assistant: thinking text text"]
    );
}

#[test]
fn a_conversation_with_calls_names_their_tools_even_if_none_is_offered() {
    let request = Request {
        tools: vec![],
        ..conversation()
    };
    let body = sent(&request, NEW);
    let names: Vec<_> = body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names, ["now", "weather"]);
}

#[test]
fn the_schema_of_a_tool_becomes_a_plain_object() {
    for (parameters, expected) in [
        (
            json!({"type": "object", "properties": {}}),
            json!({"type": "object", "properties": {}}),
        ),
        (
            json!({"properties": {"a": {"anyOf": []}}}),
            json!({"type": "object", "properties": {"a": {"anyOf": []}}}),
        ),
        (
            json!({"anyOf": [], "type": ["object", "null"]}),
            json!({"type": "object"}),
        ),
        (json!(true), json!({"type": "object"})),
    ] {
        let mut request = conversation();
        request.tools[0].parameters = parameters;
        assert_eq!(sent(&request, NEW)["tools"][0]["input_schema"], expected);
    }
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
