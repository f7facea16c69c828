//! What Chat Completions refuses.

use super::*;

fn base() -> Value {
    json!({"model": "gpt-4o", "messages": [user(json!("hello"))]})
}

fn tool(name: &str, parameters: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

fn called(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}});
    json!({
        "role": "assistant",
        "content": null,
        "tool_calls": ids.iter().map(call).collect::<Vec<_>>(),
    })
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "seen"})
}

fn said(messages: Vec<Value>) -> Value {
    let mut all = vec![user(json!("hello"))];
    all.extend(messages);
    json!({"messages": all})
}

fn raw_call(arguments: Value) -> Value {
    let mut message = called(&["c1"]);
    message["tool_calls"][0]["function"]["arguments"] = arguments;
    said(vec![message, result("c1")])
}

#[tokio::test]
async fn the_frame_is_judged() {
    let tools = || json!([tool("look", schema())]);
    let newest = "gpt-5.4";
    let rules = vec![
        rule(
            json!({"colour": 1}),
            "Unrecognized request argument",
            json!({"user": "u"}),
        ),
        rule(
            json!({"model": null}),
            "Missing required parameter: 'model'",
            json!({}),
        ),
        rule(
            json!({"model": "llama3"}),
            "does not exist",
            json!({"model": "gpt-4.1"}),
        ),
        rule(json!({"messages": []}), "empty array", json!({})),
        rule(
            json!({"max_tokens": 0}),
            "Expected a value >= 1",
            json!({"max_tokens": 1}),
        ),
        rule(
            json!({"max_tokens": 9, "model": "o3"}),
            "Use 'max_completion_tokens' instead",
            json!({"max_completion_tokens": 9, "model": "o3"}),
        ),
        rule(
            json!({"max_tokens": 9, "max_completion_tokens": 9}),
            "at the same time",
            json!({"max_tokens": 9}),
        ),
        rule(
            json!({"temperature": 0.5, "model": "gpt-5"}),
            "'temperature' does not support 0.5",
            json!({"temperature": 0.5}),
        ),
        rule(
            json!({"temperature": 3}),
            "Invalid 'temperature'",
            json!({"top_p": 1}),
        ),
        rule(
            json!({"stream_options": {"include_usage": true}}),
            "only allowed when 'stream' is enabled",
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ),
        rule(
            json!({"stream": true, "stream_options": {"usage": true}}),
            "Unknown parameter: 'stream_options.usage'",
            json!({"stream": true, "stream_options": {"include_obfuscation": false}}),
        ),
        rule(
            json!({"tools": []}),
            "empty array",
            json!({"tools": tools()}),
        ),
        rule(
            json!({"tool_choice": "auto"}),
            "only allowed when 'tools'",
            json!({"tool_choice": "auto", "tools": tools()}),
        ),
        rule(
            json!({"parallel_tool_calls": true}),
            "only allowed when 'tools'",
            json!({"parallel_tool_calls": true, "tools": tools()}),
        ),
        rule(
            json!({"reasoning_effort": "low"}),
            "'reasoning_effort' is not supported",
            json!({"reasoning_effort": "low", "model": newest}),
        ),
        rule(
            json!({"reasoning_effort": "low", "tools": tools(), "model": newest}),
            "use /v1/responses",
            json!({"reasoning_effort": "none", "tools": tools(), "model": newest}),
        ),
    ];
    check(Dialect::OpenAi, "chat/completions", base(), rules).await;
}

#[tokio::test]
async fn tools_are_judged() {
    let one = |name: &str, parameters: Value| json!({"tools": [tool(name, parameters)]});
    let strict = |parameters: Value| {
        let mut tool = tool("look", parameters);
        tool["function"]["strict"] = json!(true);
        json!({"tools": [tool]})
    };
    let closed = |required: Value| {
        let mut schema = schema();
        schema["additionalProperties"] = json!(false);
        schema["required"] = required;
        schema
    };
    let list = |items: Value| json!({"type": "object", "properties": {"q": items}});
    let choose = |name: &str| {
        json!({
            "tools": [tool("look", schema())],
            "tool_choice": {"type": "function", "function": {"name": name}},
        })
    };
    let rules = vec![
        rule(
            one("a b", schema()),
            "does not match pattern",
            one("a-b", schema()),
        ),
        rule(
            one("a", json!({})),
            "got 'type: \"None\"'",
            one("a", json!({"type": "object"})),
        ),
        rule(
            one("a", list(json!({"type": "array"}))),
            "array schema missing items",
            one(
                "a",
                list(json!({"type": "array", "items": {"type": "string"}})),
            ),
        ),
        rule(
            strict(schema()),
            "'additionalProperties' is required",
            strict(closed(json!(["q"]))),
        ),
        rule(
            strict(closed(json!([]))),
            "Missing 'q'",
            strict(closed(json!(["q"]))),
        ),
        rule(
            json!({"tools": [{"type": "function", "name": "a", "parameters": schema()}]}),
            "Unknown parameter: 'tools[0].name'",
            one("a", schema()),
        ),
        rule(choose("see"), "'see' not found", choose("look")),
        rule(
            json!({"tools": [tool("look", schema())], "tool_choice": "any"}),
            "Invalid value: 'any'",
            json!({"tools": [tool("look", schema())], "tool_choice": "required"}),
        ),
    ];
    check(Dialect::OpenAi, "chat/completions", base(), rules).await;
}

#[tokio::test]
async fn messages_are_judged() {
    let one = |content: Value| json!({"messages": [user(content)]});
    let picture = |url: &str| one(json!([{"type": "image_url", "image_url": {"url": url}}]));
    let good = || said(vec![called(&["a", "b"]), result("b"), result("a")]);
    let long = "c".repeat(41);
    let mut extra = called(&["a"]);
    extra["tool_calls"][0]["index"] = json!(0);
    let rules = vec![
        rule(one(json!([])), "empty array", one(json!("x"))),
        rule(one(json!(null)), "'messages[0].content'", one(json!(""))),
        rule(
            one(json!([{"type": "input_text", "text": "x"}])),
            "'image_url'",
            one(json!([{"type": "text", "text": "x"}])),
        ),
        rule(
            picture("data:image/tiff;base64,AA=="),
            "Invalid image",
            picture("data:image/png;base64,AA=="),
        ),
        rule(
            json!({"messages": [{"role": "bot", "content": "x"}]}),
            "Invalid value: 'bot'",
            json!({"messages": [{"role": "developer", "content": "x"}]}),
        ),
        rule(
            said(vec![json!({"role": "assistant", "content": null})]),
            "got null",
            said(vec![json!({"role": "assistant", "content": "x"})]),
        ),
        rule(
            said(vec![
                json!({"role": "assistant", "content": "x", "reasoning_content": "y"}),
            ]),
            "Unknown parameter: 'messages[1].reasoning_content'",
            said(vec![
                json!({"role": "assistant", "content": "x", "refusal": null}),
            ]),
        ),
        rule(
            said(vec![called(&["a"])]),
            "did not have response messages: a",
            good(),
        ),
        rule(
            said(vec![called(&["a", "b"]), result("b")]),
            "messages: a",
            good(),
        ),
        rule(
            said(vec![called(&["a"]), user(json!("hurry")), result("a")]),
            "must be followed by tool messages",
            good(),
        ),
        rule(
            said(vec![result("a")]),
            "must be a response to a preceding",
            good(),
        ),
        rule(
            said(vec![called(&["a"]), result("a"), result("a")]),
            "must be a response to a preceding",
            good(),
        ),
        rule(
            said(vec![called(&["a", "a"]), result("a")]),
            "Duplicate",
            good(),
        ),
        rule(said(vec![called(&[]), result("a")]), "empty array", good()),
        rule(
            said(vec![called(&[&long]), result(&long)]),
            "maximum length 40",
            good(),
        ),
        rule(
            said(vec![extra, result("a")]),
            "tool_calls[0].index",
            good(),
        ),
        rule(
            raw_call(json!({})),
            "expected a string",
            raw_call(json!("{}")),
        ),
        rule(
            raw_call(json!("{\"q\"")),
            "not a JSON object",
            raw_call(json!("{\"q\":1}")),
        ),
    ];
    check(Dialect::OpenAi, "chat/completions", base(), rules).await;
}

#[tokio::test]
async fn compatible_servers_have_rules_of_their_own() {
    let system = || json!({"role": "system", "content": "Be kind."});
    let hello = || user(json!("hello"));
    let reply = || json!({"role": "assistant", "content": "hi", "reasoning_content": "hm"});
    let only = |messages: Vec<Value>| json!({"messages": messages});
    let base = patched(base(), &json!({"model": "tiny"}));
    let rules = vec![
        rule(
            json!({"max_completion_tokens": 9}),
            "Use 'max_tokens' instead",
            json!({"max_tokens": 9}),
        ),
        rule(
            only(vec![json!({"role": "developer", "content": "x"}), hello()]),
            "Unexpected message role: 'developer'",
            only(vec![system(), hello()]),
        ),
        rule(
            only(vec![hello(), system()]),
            "must be at the beginning",
            only(vec![system(), hello(), reply(), hello()]),
        ),
        rule(
            only(vec![hello(), hello()]),
            "must alternate",
            said(vec![called(&["a"]), result("a"), hello()]),
        ),
    ];
    check(Dialect::LlamaCpp, "chat/completions", base, rules).await;
}
