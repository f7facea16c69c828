//! What holds for every conversation.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::request::{NEW, OLD, conversation, sent};
use super::{ORIGIN, assistant};
use crate::anthropic::{capability, request};
use crate::{Content, Message, Request, Thinking, ToolCall, ToolResult};

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
        proptest::num::f64::NORMAL,
        a_text(),
    )
        .prop_map(|(origin, thought, said, calls, seed, number, steering)| {
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
            arguments.insert("z".to_owned(), json!({"b": number, "a": said}));
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
            let body = serde_json::to_string(&request::body(&request, ORIGIN, OLD)).unwrap();
            let again = serde_json::to_string(&request::body(&loaded, ORIGIN, OLD)).unwrap();
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
