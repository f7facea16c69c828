//! What the fake Messages API refuses, each beside what it takes.

#![expect(clippy::needless_pass_by_value, reason = "the tables read better")]

use ash_testkit::{FakeAnthropic, KEY, Reply};
use serde_json::{Value, json};

use crate::client::{Rule, patched, post, rule};

fn hello() -> Value {
    json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "hello"}],
    })
}

/// Sends what a row says; `@version` in it is a header.
async fn check(rules: Vec<Rule>) {
    let server = FakeAnthropic::with(|_| Reply::text("fine")).await;
    for row in rules {
        let (status, message) = ask(&server, &row.bad).await;
        assert!(status >= 400, "taken: {} ({})", row.bad, row.says);
        assert!(message.contains(row.says), "{}: {message}", row.says);
        let (status, message) = ask(&server, &row.good).await;
        assert_eq!(status, 200, "{} refused: {message}", row.good);
    }
}

async fn ask(server: &FakeAnthropic, patch: &Value) -> (u16, String) {
    let version = patch["@version"].as_str();
    let headers = [
        ("anthropic-version", version.unwrap_or("2023-06-01")),
        ("x-api-key", KEY),
    ];
    let url = format!("{}/v1/messages", server.url());
    let got = post(&url, &headers, &patched(hello(), patch)).await;
    let refused = got.status >= 400;
    if refused {
        assert_eq!(got.json()["type"], "error");
    }
    (
        got.status,
        if refused {
            got.error_message()
        } else {
            String::new()
        },
    )
}

fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| tool(name)).collect()
}

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object", "properties": {}}})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "look", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "seen"})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

/// A conversation with tools.
fn said(messages: Value) -> Value {
    json!({"messages": messages, "tools": [tool("look")]})
}

fn cached(ttl: Option<&str>) -> Value {
    let mut block = text("x");
    block["cache_control"] = json!({"type": "ephemeral"});
    if let Some(ttl) = ttl {
        block["cache_control"]["ttl"] = json!(ttl);
    }
    block
}

#[tokio::test]
async fn the_frame_is_judged() {
    let opus = "claude-opus-4-7";
    check(vec![
        rule(
            json!({"colour": 1}),
            "colour: Extra inputs",
            json!({"metadata": {"user_id": "u"}}),
        ),
        rule(
            json!({"metadata": {"x": 1}}),
            "metadata.x: Extra",
            json!({"stream": false}),
        ),
        rule(json!({"model": null}), "model: Field required", json!({})),
        rule(
            json!({"model": "gpt-5"}),
            "model: gpt-5",
            json!({"model": "claude-haiku-4-5"}),
        ),
        rule(
            json!({"max_tokens": null}),
            "max_tokens: Field required",
            json!({}),
        ),
        rule(
            json!({"max_tokens": 0}),
            "greater than or equal to 1",
            json!({"max_tokens": 1}),
        ),
        rule(
            json!({"max_tokens": 128_001}),
            "maximum allowed",
            json!({"max_tokens": 128_000}),
        ),
        rule(
            json!({"max_tokens": 1.5}),
            "valid integer",
            json!({"max_tokens": 2}),
        ),
        rule(
            json!({"stream": "yes"}),
            "valid boolean",
            json!({"stream": true}),
        ),
        rule(
            json!({"system": [text("")]}),
            "non-empty",
            json!({"system": [text("x")]}),
        ),
        rule(
            json!({"stop_sequences": [" "]}),
            "non-whitespace",
            json!({"stop_sequences": ["END"]}),
        ),
        rule(
            json!({"temperature": 1, "model": opus}),
            "`temperature` is deprecated",
            json!({"temperature": 0.5}),
        ),
        rule(
            json!({"top_p": 1, "model": "claude-sonnet-5"}),
            "`top_p`",
            json!({"top_p": 1}),
        ),
        rule(
            json!({"top_k": 1, "@version": "2026-10-21"}),
            "`top_k`",
            json!({"top_k": 1}),
        ),
        rule(
            json!({"temperature": 1.5}),
            "range",
            json!({"temperature": 1}),
        ),
        rule(
            json!({"temperature": 0.5, "top_p": 0.5}),
            "cannot both",
            json!({"temperature": 0.5, "top_p": 0.5, "model": "claude-sonnet-4-0"}),
        ),
        rule(
            json!({"output_config": {"effort": "max"}, "model": "claude-opus-4-5"}),
            "effort level 'max'",
            json!({"output_config": {"effort": "max"}}),
        ),
        rule(
            json!({"output_config": {"effort": "huge"}}),
            "output_config.effort",
            json!({"output_config": {"effort": "low"}}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn thinking_is_judged_by_model() {
    let budget = |tokens: u32| json!({"type": "enabled", "budget_tokens": tokens});
    let newest = "claude-opus-5-5";
    check(vec![
        rule(
            json!({"thinking": budget(1023)}),
            "greater than or equal to 1024",
            json!({"thinking": budget(1024)}),
        ),
        rule(
            json!({"thinking": budget(4000)}),
            "must be greater than `thinking.budget_tokens`",
            json!({"thinking": budget(3999)}),
        ),
        rule(
            json!({"thinking": {"type": "enabled"}}),
            "budget_tokens: Field required",
            json!({"thinking": {"type": "disabled"}}),
        ),
        rule(
            json!({"thinking": budget(2000), "model": "claude-opus-4-7"}),
            "is not supported for this model",
            json!({"thinking": budget(2000), "model": "claude-haiku-4-5"}),
        ),
        rule(
            json!({"thinking": {"type": "adaptive"}, "model": "claude-haiku-4-5"}),
            "adaptive thinking is not supported",
            json!({"thinking": {"type": "adaptive", "display": "summarized"}}),
        ),
        rule(
            json!({"thinking": {"type": "disabled"}, "model": newest}),
            "cannot be disabled",
            json!({"thinking": {"type": "adaptive"}, "model": newest}),
        ),
        rule(
            json!({"thinking": {"type": "deep"}}),
            "Input tag 'deep'",
            json!({"thinking": {"type": "adaptive"}}),
        ),
        rule(
            json!({"thinking": budget(1024), "temperature": 0.5}),
            "may only be set to 1",
            json!({"thinking": budget(1024), "temperature": 1}),
        ),
        rule(
            json!({"tools": tools(&["a"]), "tool_choice": {"type": "any"}, "model": newest}),
            "forced tool use is not supported",
            json!({"tools": tools(&["a"]), "tool_choice": {"type": "auto"}, "model": newest}),
        ),
        rule(
            json!({
                "tools": tools(&["a"]),
                "tool_choice": {"type": "any"},
                "thinking": {"type": "adaptive"},
            }),
            "forces tool use",
            json!({"tools": tools(&["a"]), "tool_choice": {"type": "any"}}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn tools_are_judged() {
    let with = |key: &str, value: Value| {
        let mut tool = tool("a");
        tool[key] = value;
        json!({"tools": [tool]})
    };
    let choice =
        |name: &str| json!({"tools": tools(&["a"]), "tool_choice": {"type": "tool", "name": name}});
    check(vec![
        rule(
            json!({"tools": tools(&["a b"])}),
            "'^[a-zA-Z0-9_-]{1,64}$'",
            json!({"tools": tools(&["a-B_9"])}),
        ),
        rule(
            json!({"tools": tools(&["a", "a"])}),
            "must be unique",
            json!({"tools": tools(&["a", "b"])}),
        ),
        rule(
            with("colour", json!(1)),
            "colour: Extra",
            with("description", json!("d")),
        ),
        rule(
            with("input_schema", json!({})),
            "input_schema.type: Field required",
            with("input_schema", json!({"type": "object"})),
        ),
        rule(
            with("input_schema", json!({"type": "string"})),
            "Input should be 'object'",
            with("type", json!("custom")),
        ),
        rule(
            with("input_schema", json!({"type": "object", "anyOf": []})),
            "does not support oneOf",
            with("strict", json!(true)),
        ),
        rule(
            with(
                "input_schema",
                json!({"type": "object", "properties": {"ü": {}}}),
            ),
            "Property keys",
            with(
                "input_schema",
                json!({"type": "object", "properties": {"u.v": {}}}),
            ),
        ),
        rule(choice("b"), "Tool 'b' not found", choice("a")),
        rule(
            json!({"tool_choice": {"type": "auto"}}),
            "while providing tools",
            json!({"tools": tools(&["a"]), "tool_choice": {"type": "none"}}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn messages_and_blocks_are_judged() {
    let hello = || user(json!("hello"));
    let one = |content: Value| json!({"messages": [user(content)]});
    let picture = |kind: &str, data: &str| json!([{"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}]);
    let cited = json!([{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]);
    let document = json!([{"type": "document", "source": {"type": "url", "url": "https://x"}}]);
    let answered = |document: &Value| json!([hello(), assistant(document.clone()), hello()]);
    let new = "2026-10-21";
    check(vec![
        rule(json!({"messages": []}), "at least one message", json!({})),
        rule(
            json!({"messages": [assistant(json!("hi"))]}),
            "first message must use the \"user\" role",
            json!({"messages": [hello(), assistant(json!("hi")), hello()]}),
        ),
        rule(
            json!({"messages": [hello(), {"role": "tool", "content": "x"}]}),
            "Unexpected role",
            json!({"messages": [hello(), hello(), {"role": "system", "content": "x"}, hello()]}),
        ),
        rule(one(json!("")), "non-empty content", one(json!("x"))),
        rule(one(json!([])), "non-empty content", one(json!([text("x")]))),
        rule(
            one(json!([text("")])),
            "must be non-empty",
            one(json!([text("x")])),
        ),
        rule(one(json!(" \n")), "non-whitespace", one(json!(" x\n"))),
        rule(
            one(json!([{"type": "video"}])),
            "Input tag 'video'",
            one(json!("x")),
        ),
        rule(
            one(json!([{"type": "text", "text": "x", "id": 1}])),
            "id: Extra",
            one(json!("x")),
        ),
        rule(
            json!({"messages": [{"role": "user", "content": "x", "name": "y"}]}),
            "messages.0.name: Extra",
            json!({}),
        ),
        rule(
            one(json!([call("t1")])),
            "Input tag 'tool_use'",
            one(json!("x")),
        ),
        rule(
            one(picture("image/tiff", "AA==")),
            "not supported",
            one(picture("image/png", "AA==")),
        ),
        rule(
            one(picture("image/png", "?")),
            "invalid base64",
            one(picture("image/webp", "AAAA")),
        ),
        rule(
            json!({"messages": [user(cited.clone())], "@version": new}),
            "citations: not permitted",
            json!({"messages": [user(cited)]}),
        ),
        rule(
            json!({"messages": answered(&document), "@version": new}),
            "Input tag 'document'",
            json!({"messages": answered(&document)}),
        ),
        rule(
            json!({"messages": [hello(), assistant(json!("Well"))]}),
            "does not support assistant message prefill",
            json!({"messages": [hello(), assistant(json!("Well"))], "model": "claude-haiku-4-5"}),
        ),
        rule(
            json!({"messages": [hello(), assistant(json!("Well "))], "model": "claude-haiku-4-5"}),
            "cannot end with trailing whitespace",
            json!({"messages": [hello(), assistant(json!("Well ")), hello()]}),
        ),
        rule(
            json!({
                "messages": [hello(), assistant(json!([{
                    "type": "thinking", "thinking": "hm", "signature": "made up",
                }, text("x")])), hello()],
            }),
            "Invalid `signature` in `thinking` block",
            json!({"messages": [hello(), assistant(json!([text("x")])), hello()]}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn calls_and_results_belong_together() {
    let hello = || user(json!("hello"));
    let called = || assistant(json!([call("t1"), call("t2")]));
    let good = || {
        said(json!([
            hello(),
            called(),
            user(json!([result("t2"), result("t1")]))
        ]))
    };
    let after = |content: Value| said(json!([hello(), called(), user(content)]));
    let second = user(json!([result("t2")]));
    check(vec![
        rule(said(json!([hello(), called()])), "found without `tool_result`", good()),
        rule(after(json!("hurry")), "t1, t2", good()),
        rule(after(json!([result("t1")])), "immediately after: t2", good()),
        rule(
            said(json!([hello(), called(), user(json!([result("t1")])), second])),
            "immediately after: t2",
            good(),
        ),
        rule(
            after(json!([text("see"), result("t1"), result("t2")])),
            "found without `tool_result`",
            after(json!([result("t1"), result("t2"), text("hurry")])),
        ),
        rule(
            after(json!([result("t1"), result("t2"), result("t3")])),
            "unexpected `tool_use_id`",
            good(),
        ),
        rule(said(json!([user(json!([result("t1")]))])), "unexpected `tool_use_id`", good()),
        rule(
            after(json!([result("t1"), result("t2"), result("t2")])),
            "single result",
            good(),
        ),
        rule(
            said(json!([hello(), assistant(json!([call("t1"), call("t1")])), hello()])),
            "ids must be unique",
            good(),
        ),
        rule(
            said(json!([hello(), assistant(json!([call("a:b")])), hello()])),
            "id: String should match",
            good(),
        ),
        rule(
            json!({"messages": [hello(), called(), user(json!([result("t1"), result("t2")]))]}),
            "must define tools",
            good(),
        ),
        rule(
            after(json!([{"type": "tool_result", "tool_use_id": "t1", "error": true}, result("t2")])),
            "error: Extra",
            after(json!([{"type": "tool_result", "tool_use_id": "t1", "is_error": true}, result("t2")])),
        ),
    ])
    .await;
}

#[tokio::test]
async fn cache_breakpoints_are_counted_and_ordered() {
    let system = |blocks: Vec<Value>| json!({"system": blocks});
    check(vec![
        rule(
            system(vec![cached(None); 5]),
            "Found 5",
            system(vec![cached(None); 4]),
        ),
        rule(
            system(vec![cached(None), cached(Some("1h"))]),
            "must not come after",
            system(vec![cached(Some("1h")), cached(Some("5m"))]),
        ),
        rule(
            system(vec![cached(Some("2h"))]),
            "'5m' or '1h'",
            system(vec![cached(Some("1h"))]),
        ),
        rule(
            json!({"cache_control": {"type": "ephemeral"}, "system": vec![cached(None); 4]}),
            "Found 5",
            json!({"cache_control": {"type": "ephemeral"}}),
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_version_decides_how_a_key_is_sent() {
    let server = FakeAnthropic::with(|_| Reply::text("fine")).await;
    let bearer = format!("Bearer {KEY}");
    let (old, new) = ("2023-06-01", "2026-10-21");
    let url = format!("{}/v1/messages", server.url());
    for (status, kind, version, key) in [
        (200, "", old, ("x-api-key", KEY)),
        (200, "", new, ("x-api-key", KEY)),
        (200, "", new, ("authorization", &bearer)),
        (401, "authentication_error", old, ("authorization", &bearer)),
        (401, "authentication_error", old, ("x-api-key", "other")),
        (
            401,
            "authentication_error",
            new,
            ("authorization", "Bearer other"),
        ),
        (401, "authentication_error", new, ("x-other", KEY)),
        (
            400,
            "invalid_request_error",
            "2024-01-01",
            ("x-api-key", KEY),
        ),
    ] {
        let got = post(&url, &[("anthropic-version", version), key], &hello()).await;
        assert_eq!(got.status, status, "{version} {key:?}");
        if status >= 400 {
            assert_eq!(got.json()["error"]["type"], kind);
            assert!(got.json()["request_id"].is_string());
        }
    }
    let got = post(&url, &[("x-api-key", KEY)], &hello()).await;
    assert_eq!(got.error_message(), "anthropic-version: header is required");
    assert_eq!(server.violations().len(), 6);
}

#[tokio::test]
async fn thinking_comes_back_as_it_was_or_is_refused() {
    let server = FakeAnthropic::start().await;
    let url = format!("{}/v1/messages", server.url());
    let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", KEY)];
    let mut body = patched(
        hello(),
        &json!({"tools": [tool("look")], "thinking": {"type": "enabled", "budget_tokens": 2000}}),
    );
    server.enqueue(Reply::thinking("hm").and_tool_call("t1", "look", json!({})));
    let content = post(&url, &headers, &body).await.json()["content"].clone();
    server.respond_with(|_| Reply::text("fine"));
    let mut status = async |content: &Value, model: &str| {
        body["messages"] = json!([
            user(json!("hello")),
            assistant(content.clone()),
            user(json!([result("t1")])),
        ]);
        body["model"] = json!(model);
        post(&url, &headers, &body).await.status
    };
    assert_eq!(status(&content, "claude-sonnet-4-6").await, 200);
    let mut changed = content.clone();
    changed[0]["thinking"] = json!("hm!");
    assert_eq!(status(&changed, "claude-sonnet-4-6").await, 400);
    assert_eq!(status(&content, "claude-haiku-4-5").await, 400);
    let bare = json!([content[1]]);
    assert_eq!(status(&bare, "claude-sonnet-4-6").await, 400);
    assert_eq!(status(&bare, "claude-haiku-4-5").await, 200);
}

#[tokio::test]
async fn a_pause_is_continued_with_the_assistant_last() {
    let server = FakeAnthropic::start().await;
    let url = format!("{}/v1/messages", server.url());
    let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", KEY)];
    server.enqueue(Reply::text("Wait").stop("pause_turn"));
    server.enqueue(Reply::text("Done"));
    let content = post(&url, &headers, &hello()).await.json()["content"].clone();
    let messages = json!([user(json!("hello")), assistant(content)]);
    let more = patched(hello(), &json!({"messages": messages}));
    assert_eq!(post(&url, &headers, &more).await.status, 200);
    assert_eq!(post(&url, &headers, &more).await.status, 400);
}
