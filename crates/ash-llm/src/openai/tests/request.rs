use std::borrow::Cow;

use insta::{assert_json_snapshot, assert_snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MODEL_ID, assistant, call, result, text, user};
use crate::openai::{chat, responses};
use crate::{Content, Message, Request, ResultContent, Role, Thinking, ToolResult, ToolSpec};

fn picture() -> (String, String) {
    ("image/png".to_owned(), "QUJD".to_owned())
}

/// Everything that a conversation can hold.
fn conversation() -> Request {
    let (media_type, data) = picture();
    let screenshot = ToolResult {
        call_id: "call_2".to_owned(),
        content: vec![ResultContent::Image {
            media_type: media_type.clone(),
            data: data.clone(),
        }],
        is_error: false,
    };
    let reasoning =
        json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []});
    Request {
        model: "gpt-6.1-terra".to_owned(),
        system: vec![
            "You are Ash.".to_owned(),
            String::new(),
            "Be kind.".to_owned(),
        ],
        messages: vec![
            user(vec![
                text("look at this"),
                Content::Image { media_type, data },
            ]),
            assistant(
                MODEL_ID,
                vec![
                    Content::Opaque { block: reasoning },
                    Content::Thinking {
                        text: "hm".to_owned(),
                        signature: Some("reasoning".to_owned()),
                    },
                    text("I look."),
                    call("call_1", "read", &json!({"path": "b", "all": true})),
                    call("call_2", "see", &json!({})),
                    call("call_3", "read", &json!({})),
                ],
            ),
            user(vec![
                text("and hurry"),
                result("call_1", "contents"),
                Content::ToolResult(screenshot),
                Content::ToolResult(ToolResult::text("call_3", "no such file", true)),
                Content::Context {
                    text: "It is noon.".to_owned(),
                },
            ]),
            assistant(MODEL_ID, vec![text("Done.")]),
            Message::user("thanks"),
        ],
        tools: vec![ToolSpec {
            name: "read".to_owned(),
            description: "Reads a file".to_owned(),
            parameters: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        max_tokens: 1000,
        temperature: Some(0.7),
        thinking: Some(Thinking::Low),
        conversation: Some("terminal/main".to_owned()),
    }
}

fn sent_in_responses(request: &Request) -> Value {
    serde_json::from_slice(&responses::body(
        request,
        &format!("openai/{}", request.model),
    ))
    .unwrap()
}

fn sent_in_chat(request: &Request, is_official: bool) -> Value {
    serde_json::from_slice(&chat::body(
        request,
        &format!("openai/{}", request.model),
        is_official,
    ))
    .unwrap()
}

#[test]
fn a_conversation_is_sent_in_the_words_of_responses() {
    assert_json_snapshot!(sent_in_responses(&conversation()), @r#"
    {
      "include": [
        "reasoning.encrypted_content"
      ],
      "input": [
        {
          "content": [
            {
              "text": "look at this",
              "type": "input_text"
            },
            {
              "detail": "auto",
              "image_url": "data:image/png;base64,QUJD",
              "type": "input_image"
            }
          ],
          "role": "user",
          "type": "message"
        },
        {
          "encrypted_content": "x",
          "id": "rs_1",
          "summary": [],
          "type": "reasoning"
        },
        {
          "content": [
            {
              "text": "I look.",
              "type": "output_text"
            }
          ],
          "role": "assistant",
          "type": "message"
        },
        {
          "arguments": "{\"all\":true,\"path\":\"b\"}",
          "call_id": "call_1",
          "name": "read",
          "type": "function_call"
        },
        {
          "arguments": "{}",
          "call_id": "call_2",
          "name": "see",
          "type": "function_call"
        },
        {
          "arguments": "{}",
          "call_id": "call_3",
          "name": "read",
          "type": "function_call"
        },
        {
          "call_id": "call_1",
          "output": "contents",
          "type": "function_call_output"
        },
        {
          "call_id": "call_2",
          "output": [
            {
              "detail": "auto",
              "image_url": "data:image/png;base64,QUJD",
              "type": "input_image"
            }
          ],
          "type": "function_call_output"
        },
        {
          "call_id": "call_3",
          "output": "The tool failed: no such file",
          "type": "function_call_output"
        },
        {
          "content": [
            {
              "text": "and hurry",
              "type": "input_text"
            },
            {
              "text": "It is noon.",
              "type": "input_text"
            }
          ],
          "role": "user",
          "type": "message"
        },
        {
          "content": [
            {
              "text": "Done.",
              "type": "output_text"
            }
          ],
          "role": "assistant",
          "type": "message"
        },
        {
          "content": [
            {
              "text": "thanks",
              "type": "input_text"
            }
          ],
          "role": "user",
          "type": "message"
        }
      ],
      "instructions": "You are Ash.\n\nBe kind.",
      "max_output_tokens": 5096,
      "model": "gpt-6.1-terra",
      "prompt_cache_key": "terminal/main",
      "reasoning": {
        "effort": "low"
      },
      "store": false,
      "stream": true,
      "tools": [
        {
          "description": "Reads a file",
          "name": "read",
          "parameters": {
            "properties": {
              "path": {
                "type": "string"
              }
            },
            "type": "object"
          },
          "strict": false,
          "type": "function"
        }
      ]
    }
    "#);
}

#[test]
fn a_conversation_is_sent_in_the_words_of_chat() {
    assert_json_snapshot!(sent_in_chat(&conversation(), false), @r#"
    {
      "max_completion_tokens": 5096,
      "messages": [
        {
          "content": "You are Ash.\n\nBe kind.",
          "role": "system"
        },
        {
          "content": [
            {
              "text": "look at this",
              "type": "text"
            },
            {
              "image_url": {
                "url": "data:image/png;base64,QUJD"
              },
              "type": "image_url"
            }
          ],
          "role": "user"
        },
        {
          "content": "I look.",
          "reasoning": "hm",
          "role": "assistant",
          "tool_calls": [
            {
              "function": {
                "arguments": "{\"all\":true,\"path\":\"b\"}",
                "name": "read"
              },
              "id": "call_1",
              "type": "function"
            },
            {
              "function": {
                "arguments": "{}",
                "name": "see"
              },
              "id": "call_2",
              "type": "function"
            },
            {
              "function": {
                "arguments": "{}",
                "name": "read"
              },
              "id": "call_3",
              "type": "function"
            }
          ]
        },
        {
          "content": "contents",
          "role": "tool",
          "tool_call_id": "call_1"
        },
        {
          "content": "(see the picture below)",
          "role": "tool",
          "tool_call_id": "call_2"
        },
        {
          "content": "The tool failed: no such file",
          "role": "tool",
          "tool_call_id": "call_3"
        },
        {
          "content": [
            {
              "image_url": {
                "url": "data:image/png;base64,QUJD"
              },
              "type": "image_url"
            },
            {
              "text": "and hurry",
              "type": "text"
            },
            {
              "text": "It is noon.",
              "type": "text"
            }
          ],
          "role": "user"
        },
        {
          "content": "Done.",
          "role": "assistant"
        },
        {
          "content": "thanks",
          "role": "user"
        }
      ],
      "model": "gpt-6.1-terra",
      "stream": true,
      "stream_options": {
        "include_usage": true
      },
      "tools": [
        {
          "function": {
            "description": "Reads a file",
            "name": "read",
            "parameters": {
              "properties": {
                "path": {
                  "type": "string"
                }
              },
              "type": "object"
            }
          },
          "type": "function"
        }
      ]
    }
    "#);
}

#[test]
fn what_a_model_refuses_is_not_sent() {
    let keys = |body: &Value| {
        let wanted = [
            "temperature",
            "reasoning",
            "reasoning_effort",
            "include",
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "prompt_cache_key",
            "tools",
        ];
        let present = wanted.iter().filter(|key| body.get(**key).is_some());
        present
            .map(|key| format!("{key}={}", body[*key]))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines = Vec::new();
    for model in ["gpt-4o", "gpt-6.2-sol", "gpt-6.1-terra", "llama3"] {
        for thinking in [None, Some(Thinking::Off)] {
            let request = Request {
                model: model.to_owned(),
                tools: Vec::new(),
                max_tokens: 8,
                thinking,
                ..conversation()
            };
            lines.push(format!("{model} {thinking:?}"));
            lines.push(format!(
                "  responses: {}",
                keys(&sent_in_responses(&request))
            ));
            lines.push(format!(
                "  chat at openai: {}",
                keys(&sent_in_chat(&request, true))
            ));
            lines.push(format!(
                "  chat elsewhere: {}",
                keys(&sent_in_chat(&request, false))
            ));
        }
    }
    assert_snapshot!(lines.join("\n"), @r#"
    gpt-4o None
      responses: temperature=0.7 max_output_tokens=16 prompt_cache_key="terminal/main"
      chat at openai: temperature=0.7 max_completion_tokens=8 prompt_cache_key="terminal/main"
      chat elsewhere: temperature=0.7 max_tokens=8
    gpt-4o Some(Off)
      responses: temperature=0.7 max_output_tokens=16 prompt_cache_key="terminal/main"
      chat at openai: temperature=0.7 max_completion_tokens=8 prompt_cache_key="terminal/main"
      chat elsewhere: temperature=0.7 max_tokens=8
    gpt-6.2-sol None
      responses: include=["reasoning.encrypted_content"] max_output_tokens=16392 prompt_cache_key="terminal/main"
      chat at openai: max_completion_tokens=16392 prompt_cache_key="terminal/main"
      chat elsewhere: max_completion_tokens=16392
    gpt-6.2-sol Some(Off)
      responses: reasoning={"effort":"low"} include=["reasoning.encrypted_content"] max_output_tokens=4104 prompt_cache_key="terminal/main"
      chat at openai: reasoning_effort="low" max_completion_tokens=4104 prompt_cache_key="terminal/main"
      chat elsewhere: reasoning_effort="low" max_completion_tokens=4104
    gpt-6.1-terra None
      responses: include=["reasoning.encrypted_content"] max_output_tokens=16392 prompt_cache_key="terminal/main"
      chat at openai: max_completion_tokens=16392 prompt_cache_key="terminal/main"
      chat elsewhere: max_completion_tokens=16392
    gpt-6.1-terra Some(Off)
      responses: reasoning={"effort":"none"} include=["reasoning.encrypted_content"] max_output_tokens=16 prompt_cache_key="terminal/main"
      chat at openai: reasoning_effort="none" max_completion_tokens=8 prompt_cache_key="terminal/main"
      chat elsewhere: reasoning_effort="none" max_completion_tokens=8
    llama3 None
      responses: temperature=0.7 max_output_tokens=16 prompt_cache_key="terminal/main"
      chat at openai: temperature=0.7 max_completion_tokens=8 prompt_cache_key="terminal/main"
      chat elsewhere: temperature=0.7 max_tokens=8
    llama3 Some(Off)
      responses: temperature=0.7 max_output_tokens=16 prompt_cache_key="terminal/main"
      chat at openai: temperature=0.7 max_completion_tokens=8 prompt_cache_key="terminal/main"
      chat elsewhere: temperature=0.7 reasoning_effort="none" max_tokens=8
    "#);
}

#[test]
fn an_effort_beside_tools_is_kept_for_responses() {
    let request = Request {
        thinking: Some(Thinking::High),
        ..conversation()
    };
    assert_eq!(
        sent_in_chat(&request, true)["reasoning_effort"],
        Value::Null
    );
    assert_eq!(sent_in_responses(&request)["reasoning"]["effort"], "high");
    let without_tools = Request {
        tools: Vec::new(),
        ..request.clone()
    };
    assert_eq!(
        sent_in_chat(&without_tools, true)["reasoning_effort"],
        "high"
    );
    let older = Request {
        model: "gpt-5.2".to_owned(),
        ..request
    };
    assert_eq!(sent_in_chat(&older, true)["reasoning_effort"], "high");
}

#[test]
fn thoughts_are_shown_only_to_the_model_that_had_them() {
    let mut request = conversation();
    request.messages[1].origin = Some("openai/gpt-5".to_owned());
    assert!(!sent_in_responses(&request).to_string().contains("rs_1"));
    assert!(!sent_in_chat(&request, false).to_string().contains("hm"));
    request.messages[1].origin = None;
    assert!(!sent_in_responses(&request).to_string().contains("rs_1"));
}

#[test]
fn reasoning_that_led_nowhere_is_not_replayed() {
    let reasoning = Content::Opaque {
        block: json!({"type": "reasoning", "id": "rs_9", "encrypted_content": "x"}),
    };
    let foreign = Content::Opaque {
        block: json!({"type": "redacted_thinking", "data": "x"}),
    };
    let content = vec![text("half an"), foreign, reasoning];
    let request = Request {
        messages: vec![assistant(MODEL_ID, content)],
        model: "gpt-6.1-terra".to_owned(),
        ..Request::default()
    };
    assert_json_snapshot!(sent_in_responses(&request)["input"], @r#"
    [
      {
        "content": [
          {
            "text": "half an",
            "type": "output_text"
          }
        ],
        "role": "assistant",
        "type": "message"
      }
    ]
    "#);
}

#[test]
fn nothing_empty_is_sent() {
    let request = Request {
        messages: vec![
            user(vec![text("")]),
            assistant(MODEL_ID, vec![text("")]),
            assistant(
                MODEL_ID,
                vec![Content::Thinking {
                    text: "hm".to_owned(),
                    signature: None,
                }],
            ),
            assistant(MODEL_ID, vec![text(""), call("a", "read", &json!({}))]),
            user(vec![result("a", ""), text("")]),
        ],
        ..Request::default()
    };
    assert_json_snapshot!(sent_in_responses(&request)["input"], @r#"
    [
      {
        "arguments": "{}",
        "call_id": "a",
        "name": "read",
        "type": "function_call"
      },
      {
        "call_id": "a",
        "output": "(no output)",
        "type": "function_call_output"
      }
    ]
    "#);
    assert_json_snapshot!(sent_in_chat(&request, false)["messages"], @r#"
    [
      {
        "content": "(no question)",
        "role": "user"
      },
      {
        "content": null,
        "role": "assistant",
        "tool_calls": [
          {
            "function": {
              "arguments": "{}",
              "name": "read"
            },
            "id": "a",
            "type": "function"
          }
        ]
      },
      {
        "content": "(no output)",
        "role": "tool",
        "tool_call_id": "a"
      }
    ]
    "#);
}

#[test]
fn user_and_assistant_take_turns_where_templates_demand_it() {
    let request = Request {
        system: vec!["You are Ash.".to_owned()],
        messages: vec![
            assistant(MODEL_ID, vec![text("Good morning!")]),
            assistant(MODEL_ID, vec![text("It is Monday.")]),
            Message::user("hello?"),
            Message::user("are you there?"),
            assistant(MODEL_ID, vec![text("Yes.")]),
            assistant(MODEL_ID, vec![call("a", "read", &json!({}))]),
            user(vec![result("a", "ok"), text("and?")]),
        ],
        ..Request::default()
    };
    let roles = |is_official| {
        let body = sent_in_chat(&request, is_official);
        let entries = body["messages"].as_array().unwrap().iter();
        let entries = entries
            .map(|entry| format!("{}: {}", entry["role"].as_str().unwrap(), entry["content"]));
        entries.collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(roles(false), @r#"
    system: "You are Ash."
    user: "(no question)"
    assistant: "Good morning!\n\nIt is Monday."
    user: "hello?"
    assistant: "(no answer)"
    user: "are you there?"
    assistant: "Yes."
    tool: "ok"
    user: "and?"
    "#);
    assert_snapshot!(roles(true), @r#"
    system: "You are Ash."
    assistant: "Good morning!"
    assistant: "It is Monday."
    user: "hello?"
    user: "are you there?"
    assistant: "Yes."
    assistant: null
    tool: "ok"
    user: "and?"
    "#);
}

#[test]
fn identifiers_of_other_providers_are_made_acceptable_and_still_match() {
    let id =
        "a/very long: identifier, such as nobody else would ever think of making up for a call";
    let request = Request {
        messages: vec![
            assistant("x/y", vec![call(id, "functions.read", &json!({}))]),
            user(vec![result(id, "ok")]),
        ],
        ..Request::default()
    };
    let body = sent_in_chat(&request, true);
    let sent = body["messages"][0]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(sent.len() <= 40, "{sent}");
    assert_eq!(body["messages"][1]["tool_call_id"], sent);
    assert!(
        body["messages"][0]["tool_calls"][0]["function"]["name"]
            .as_str()
            .unwrap()
            .starts_with("functionsread_")
    );
    let body = sent_in_responses(&request);
    assert_eq!(body["input"][0]["call_id"], body["input"][1]["call_id"]);
    assert!(body["input"][0]["call_id"].as_str().unwrap().len() <= 64);
}

#[test]
fn a_long_name_of_a_conversation_is_cut_to_what_is_accepted() {
    let request = Request {
        conversation: Some("ä".repeat(100)),
        ..Request::default()
    };
    assert_eq!(
        sent_in_responses(&request)["prompt_cache_key"],
        "ä".repeat(64)
    );
}

/// Returns a body without what closes it.
fn open(body: &[u8]) -> Cow<'_, str> {
    let body = body
        .strip_suffix(b"]}")
        .expect("what grows stands at the end");
    String::from_utf8_lossy(body)
}

fn a_turn() -> impl Strategy<Value = Vec<Message>> {
    let words = prop_oneof![Just(String::new()), ".{0,12}"];
    let said = (
        ".{1,12}",
        proptest::option::of(words.clone()),
        any::<bool>(),
    )
        .prop_map(|(said, context, shows)| {
            let (media_type, data) = picture();
            let mut content = vec![Content::Text { text: said }];
            content.extend(context.map(|text| Content::Context { text }));
            content.extend(shows.then_some(Content::Image { media_type, data }));
            user(content)
        });
    let called = (
        words.clone(),
        proptest::collection::vec((words.clone(), any::<bool>()), 0..3),
    )
        .prop_map(|(said, calls)| {
            let mut content = vec![
                Content::Opaque {
                    block: json!({"type": "reasoning", "encrypted_content": "x"}),
                },
                Content::Thinking {
                    text: "hm".to_owned(),
                    signature: Some("reasoning_content".to_owned()),
                },
                Content::Text { text: said },
            ];
            let ids = (0..calls.len()).map(|n| format!("call_{n}"));
            content.extend(
                ids.clone()
                    .map(|id| call(&id, "read", &json!({"z": 1, "a": 2}))),
            );
            let results = ids.zip(calls).map(|(id, (text, is_error))| {
                Content::ToolResult(ToolResult::text(id, text, is_error))
            });
            let mut messages = vec![assistant(MODEL_ID, content)];
            let results: Vec<Content> = results.collect();
            if !results.is_empty() {
                messages.push(user(results));
            }
            messages
        });
    (said, called).prop_map(|(said, called)| std::iter::once(said).chain(called).collect())
}

proptest! {
    #[test]
    fn a_request_begins_with_the_request_before_it(turns in proptest::collection::vec(a_turn(), 1..6), official in any::<bool>()) {
        let messages: Vec<Message> = turns.concat();
        let whole = Request { messages, ..conversation() };
        let last = (responses::body(&whole, MODEL_ID), chat::body(&whole, MODEL_ID, official));
        // A request ends with what is to be answered.
        let ends = (1..whole.messages.len()).filter(|end| whole.messages[end - 1].role == Role::User);
        for end in ends {
            let before = Request { messages: whole.messages[..end].to_vec(), ..whole.clone() };
            let body = responses::body(&before, MODEL_ID);
            prop_assert!(open(&last.0).starts_with(&*open(&body)));
            let body = chat::body(&before, MODEL_ID, official);
            prop_assert!(open(&last.1).starts_with(&*open(&body)));
        }
    }
}
