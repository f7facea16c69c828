//! What Responses refuses.

use super::*;

fn base() -> Value {
    json!({"model": "gpt-5", "input": "hello", "store": false})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "seen"})
}

fn said(items: Vec<Value>) -> Value {
    let mut all = vec![user(json!("hello"))];
    all.extend(items);
    json!({"input": all})
}

fn with_id(mut item: Value, id: &str) -> Value {
    item["id"] = json!(id);
    item
}

#[tokio::test]
async fn the_frame_is_judged() {
    let old = "gpt-4o";
    let encrypted = || json!(["reasoning.encrypted_content"]);
    let long = "k".repeat(65);
    let rules = vec![
        rule(
            json!({"colour": 1}),
            "Unknown parameter: 'colour'",
            json!({"user": "u"}),
        ),
        rule(
            json!({"messages": []}),
            "Unknown parameter: 'messages'",
            json!({}),
        ),
        rule(json!({"model": null}), "'model'", json!({})),
        rule(json!({"input": null}), "must be provided", json!({})),
        rule(json!({"input": []}), "empty array", json!({})),
        rule(
            json!({"max_output_tokens": 15}),
            "Expected a value >= 16",
            json!({"max_output_tokens": 16}),
        ),
        rule(
            json!({"store": "no"}),
            "expected a boolean",
            json!({"store": true}),
        ),
        rule(
            json!({"temperature": 1}),
            "'temperature' is not supported",
            json!({"temperature": 1, "model": old}),
        ),
        rule(
            json!({"reasoning": {"effort": "low"}, "model": old}),
            "'reasoning.effort' is not supported",
            json!({"reasoning": {"effort": "low", "summary": "auto"}}),
        ),
        rule(
            json!({"reasoning": {"effort": "huge"}}),
            "Invalid value: 'huge'",
            json!({}),
        ),
        rule(
            json!({"include": encrypted(), "model": old}),
            "Encrypted content is not supported",
            json!({"include": encrypted()}),
        ),
        rule(
            json!({"include": ["x"]}),
            "Invalid value: 'x'",
            json!({"include": []}),
        ),
        rule(
            json!({"prompt_cache_options": {"mode": "explicit"}}),
            "'prompt_cache_options' is not supported",
            json!({"prompt_cache_options": {"mode": "explicit"}, "model": "gpt-5.6-sol"}),
        ),
        rule(
            json!({"prompt_cache_key": long}),
            "maximum length 64",
            json!({"prompt_cache_key": "k"}),
        ),
        rule(
            json!({"previous_response_id": "resp_1"}),
            "Previous response not found",
            json!({"stream_options": {"include_obfuscation": false}, "stream": true}),
        ),
    ];
    check(Dialect::OpenAi, "responses", base(), rules).await;
}

#[tokio::test]
async fn tools_are_flat() {
    let flat = || json!({"type": "function", "name": "look", "parameters": schema()});
    let nested = json!({"type": "function", "function": {"name": "look"}});
    let mut extra = flat();
    extra["colour"] = json!(1);
    let mut bare = flat();
    bare.as_object_mut().unwrap().remove("parameters");
    let good = || json!({"tools": [flat()], "tool_choice": {"type": "function", "name": "look"}});
    let rules = vec![
        rule(
            json!({"tools": [nested]}),
            "parameter: 'tools[0].name'",
            good(),
        ),
        rule(json!({"tools": [extra]}), "'tools[0].colour'", good()),
        rule(json!({"tools": [bare]}), "'tools[0].parameters'", good()),
        rule(
            json!({"tools": [{"type": "magic"}]}),
            "Invalid value: 'magic'",
            good(),
        ),
    ];
    check(Dialect::OpenAi, "responses", base(), rules).await;
}

#[tokio::test]
async fn items_are_judged() {
    let good = || said(vec![call("a"), call("b"), output("b"), output("a")]);
    let parts = |role: &str, kind: &str| {
        let message = json!({"role": role, "content": [{"type": kind, "text": "x"}]});
        said(vec![message])
    };
    let mut named = user(json!("x"));
    named["name"] = json!("y");
    let rules = vec![
        rule(
            said(vec![call("a")]),
            "No tool output found for function call a",
            good(),
        ),
        rule(said(vec![output("a")]), "No tool call found", good()),
        rule(
            said(vec![output("a"), call("a")]),
            "No tool call found",
            good(),
        ),
        rule(
            said(vec![call("a"), call("a"), output("a")]),
            "Duplicate",
            good(),
        ),
        rule(
            said(vec![call("a"), output("a"), output("a")]),
            "Duplicate",
            good(),
        ),
        rule(said(vec![call(""), output("")]), "empty string", good()),
        rule(
            said(vec![with_id(call("a"), "call_a"), output("a")]),
            "begins with 'fc'",
            said(vec![with_id(call("a"), "fc_a"), output("a")]),
        ),
        rule(
            said(vec![named]),
            "'input[1].name'",
            said(vec![user(json!("x"))]),
        ),
        rule(
            parts("user", "output_text"),
            "'input_text'",
            parts("user", "input_text"),
        ),
        rule(
            parts("assistant", "input_text"),
            "'output_text'",
            parts("assistant", "output_text"),
        ),
        rule(
            said(vec![json!({"type": "magic"})]),
            "Invalid value: 'magic'",
            good(),
        ),
    ];
    check(Dialect::OpenAi, "responses", base(), rules).await;
}

#[tokio::test]
async fn reasoning_comes_back_before_its_call_or_is_refused() {
    let server = FakeOpenAi::start().await;
    server.enqueue(Reply::thinking("hm").and_tool_call("c1", "look", json!({})));
    let include = json!({"include": ["reasoning.encrypted_content"]});
    let base = patched(base(), &include);
    let got = ask(&server, "responses", &base).await.json();
    let [thought, call] = &got["output"].as_array().unwrap()[..] else {
        panic!("{got}");
    };
    server.respond_with(|_| Reply::text("fine"));
    let with = |key: &str, value: Value| {
        let mut thought = thought.clone();
        thought[key] = value;
        thought
    };
    let end = || output("c1");
    let (thought, call) = (|| thought.clone(), || call.clone());
    let mut anonymous = call();
    anonymous.as_object_mut().unwrap().remove("id");
    let verified = "could not be verified";
    for (says, items, model) in [
        ("", vec![thought(), call(), end()], "gpt-5"),
        ("", vec![anonymous.clone(), end()], "gpt-5"),
        ("", vec![call(), end()], "gpt-5.4"),
        (
            "its required 'reasoning' item",
            vec![call(), end()],
            "gpt-5",
        ),
        ("its required", vec![anonymous, thought(), end()], "gpt-5"),
        ("its required", vec![call(), end(), thought()], "gpt-5"),
        (verified, vec![thought(), call(), end()], "gpt-5.4"),
        (
            verified,
            vec![with("encrypted_content", json!("x")), call(), end()],
            "gpt-5",
        ),
        (
            verified,
            vec![with("id", json!("rs_x")), call(), end()],
            "gpt-5",
        ),
        (
            "begins with 'rs'",
            vec![with("id", json!("x")), call(), end()],
            "gpt-5",
        ),
        (
            "not persisted",
            vec![with("encrypted_content", json!(null)), call(), end()],
            "gpt-5",
        ),
    ] {
        let mut body = patched(base.clone(), &said(items));
        body["model"] = json!(model);
        let got = ask(&server, "responses", &body).await;
        assert_eq!(got.status == 200, says.is_empty(), "{says}: {}", got.text());
        if got.status != 200 {
            assert!(got.error_message().contains(says), "{says}: {}", got.text());
        }
    }
}
