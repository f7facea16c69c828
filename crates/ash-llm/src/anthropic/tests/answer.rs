use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ORIGIN, WHOLE, assistant, call, text, whole};
use crate::anthropic::answer::Answer;
use crate::http::Accumulator;
use crate::sse::Decoder;
use crate::{Completion, Content, ErrorKind, LlmError, LlmEvent, StopReason, Usage};

/// Feeds bytes, cut into chunks, up to the last event or the first error.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<LlmEvent>, Option<LlmError>) {
    let mut decoder = Decoder::new(100_000);
    let earlier = assistant(vec![call("earlier", "look", json!({}))], ORIGIN);
    let mut answer = Answer::new("anthropic", ORIGIN.to_owned(), &[earlier]);
    let mut told = Vec::new();
    for chunk in chunks {
        for event in decoder.push(chunk).unwrap() {
            match answer.on_event(&event) {
                Ok(more) => told.extend(more),
                Err(error) => return (told, Some(error)),
            }
            if matches!(told.last(), Some(LlmEvent::Done(_))) {
                return (told, None);
            }
        }
    }
    (told, None)
}

fn streamed(events: &[Value]) -> String {
    let mut bytes = String::new();
    for event in events {
        bytes.extend(["data: ", &event.to_string(), "\n\n"]);
    }
    bytes
}

/// Feeds events, each the JSON of one, and returns the completion.
fn finish(events: &[Value]) -> Result<Completion, LlmError> {
    let (mut told, error) = read([streamed(events).as_bytes()]);
    match (error, told.pop()) {
        (Some(error), _) => Err(error),
        (None, Some(LlmEvent::Done(completion))) => Ok(completion),
        (None, last) => panic!("no last event, but {last:?}"),
    }
}

fn start(index: u64, block: impl Into<Value>) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block.into()})
}

fn delta(index: u64, delta: impl Into<Value>) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta.into()})
}

fn stop(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason}}),
        json!({"type": "message_stop"}),
    ]
}

#[test]
fn an_answer_is_put_together_however_its_bytes_are_cut() {
    let bytes = WHOLE.as_bytes();
    let (told, error) = read([bytes]);
    assert!(error.is_none());
    let expected = [
        LlmEvent::ThinkingDelta("Two cities".to_owned()),
        LlmEvent::ThinkingDelta(", two calls.".to_owned()),
        LlmEvent::TextDelta("I look at ".to_owned()),
        LlmEvent::TextDelta("both 🌦".to_owned()),
        LlmEvent::Done(whole()),
    ];
    assert_eq!(told, expected);
    for cut in 0..bytes.len() {
        let (left, right) = bytes.split_at(cut);
        assert_eq!(read([left, right]).0, expected, "cut at {cut}");
        // An answer that ends anywhere before its end is never taken for complete.
        let (told, error) = read([left]);
        assert!(error.is_none());
        assert!(!matches!(told.last(), Some(LlmEvent::Done(_))) || left.ends_with(b"stop\"}\n"));
    }
}

#[test]
fn every_reason_to_stop_is_understood() {
    let explained = json!({"type": "message_delta", "delta": {
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": "no attacks"},
    }});
    let categorised = json!({"type": "message_delta", "delta": {
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "bio", "explanation": null},
    }});
    let refused = |reason: Option<&str>| StopReason::Refused {
        reason: reason.map(str::to_owned),
    };
    for (event, expected) in [
        (stop("end_turn")[0].clone(), StopReason::End),
        (stop("stop_sequence")[0].clone(), StopReason::End),
        (stop("max_tokens")[0].clone(), StopReason::Length),
        (
            stop("model_context_window_exceeded")[0].clone(),
            StopReason::ContextFull,
        ),
        (stop("pause_turn")[0].clone(), StopReason::Pause),
        (stop("refusal")[0].clone(), refused(None)),
        (explained, refused(Some("no attacks"))),
        (categorised, refused(Some("bio"))),
        (stop("something_new")[0].clone(), StopReason::End),
        // Imitators say that they wait for tools that they never named.
        (stop("tool_use")[0].clone(), StopReason::End),
        (json!({"type": "ping"}), StopReason::End),
    ] {
        let completion = finish(&[event.clone(), json!({"type": "message_stop"})]).unwrap();
        assert_eq!(completion.stop, expected, "{event}");
    }
}

#[test]
fn a_call_counts_even_if_the_reason_to_stop_does_not_say_so() {
    let begun = start(
        0,
        json!({"type": "tool_use", "id": "a", "name": "now", "input": {}}),
    );
    let [delta, end] = stop("end_turn");
    assert_eq!(
        finish(&[begun, delta, end]).unwrap().stop,
        StopReason::ToolUse
    );
}

#[test]
fn half_a_call_is_no_call() {
    for (pieces, whole) in [
        (vec![], Some(json!({}))),
        (vec!["", ""], Some(json!({}))),
        (vec![" {\"a\":", "1} "], Some(json!({"a": 1}))),
        (vec!["{\"a\":"], None),
        (vec!["[1]"], None),
        (vec!["\"rm -rf\""], None),
        (vec!["null"], None),
        (vec!["{} {}"], None),
    ] {
        let mut events = vec![
            start(0, json!({"type": "text", "text": "ok"})),
            start(
                1,
                json!({"type": "tool_use", "id": "a", "name": "run", "input": {}}),
            ),
        ];
        for piece in &pieces {
            events.push(delta(
                1,
                json!({"type": "input_json_delta", "partial_json": piece}),
            ));
        }
        for reason in ["max_tokens", "model_context_window_exceeded", "refusal"] {
            let completion = finish(&[&events[..], &stop(reason)].concat()).unwrap();
            assert!(completion.stop.is_cut_off() || reason == "refusal");
            let calls: Vec<_> = completion
                .message
                .tool_calls()
                .map(|call| &call.arguments)
                .collect();
            assert_eq!(
                calls,
                whole
                    .iter()
                    .map(|call| call.as_object().unwrap())
                    .collect::<Vec<_>>()
            );
            assert_eq!(completion.message.text(), "ok");
        }
        let completion = finish(&[&events[..], &stop("tool_use")].concat());
        if whole.is_some() {
            assert_eq!(completion.unwrap().stop, StopReason::ToolUse);
        } else {
            let error = completion.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Protocol, "{pieces:?}");
            assert!(error.message.contains("`run`"), "{error}");
        }
    }
}

#[test]
fn arguments_that_come_with_the_announcement_are_taken() {
    let begun = start(
        0,
        json!({"type": "tool_use", "name": "run", "input": {"a": 1}}),
    );
    let completion = finish(&[&[begun][..], &stop("tool_use")].concat()).unwrap();
    let call = completion.message.tool_calls().next().unwrap();
    assert_eq!(Value::Object(call.arguments.clone()), json!({"a": 1}));
}

#[test]
fn calls_of_sloppy_servers_can_be_told_apart() {
    let call = |id: Value| start(0, json!({"type": "tool_use", "id": id, "name": "run"}));
    let events = ["same", "same", "", "call_2", "earlier"].map(|id| call(json!(id)));
    let completion = finish(&[&events[..], &[call(Value::Null)], &stop("tool_use")].concat());
    let message = completion.unwrap().message;
    let ids: Vec<_> = message.tool_calls().map(|call| call.id.as_str()).collect();
    assert_eq!(
        ids,
        ["same", "call_2", "call_3", "call_4", "call_5", "call_6"]
    );
}

#[test]
fn an_error_in_the_middle_is_known_by_its_name() {
    let overloaded = json!({
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
        "request_id": "req_9",
    });
    let error = finish(&[start(0, json!({"type": "text", "text": "a"})), overloaded]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert_eq!(error.to_string(), "anthropic: Overloaded");
    assert_eq!(error.request_id.as_deref(), Some("req_9"));
    let error = finish(&[json!({"type": "error"})]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
}

/// What a llama.cpp server sends when it cannot read what its model says.
#[test]
fn an_error_that_comes_without_its_wrapping_is_an_error() {
    let bytes = "event: content_block_delta\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"{\"}}\n\n\
        event: error\n\
        data: {\"code\":500,\"message\":\"The model produced output that does not match the expected peg-native format\",\"type\":\"server_error\"}\n\n";
    let (told, error) = read([bytes.as_bytes()]);
    assert_eq!(told, [LlmEvent::TextDelta("{".to_owned())]);
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Server);
    assert_eq!(
        error.to_string(),
        "anthropic: The model produced output that does not match the expected peg-native format"
    );
    let (_, error) = read([&b"event: error\ndata: {}\n\n"[..]]);
    assert_eq!(error.unwrap().kind, ErrorKind::Protocol);
}

#[test]
fn what_only_the_provider_understands_is_kept_as_it_came() {
    let redacted = json!({"type": "redacted_thinking", "data": "EmwK"});
    let result =
        json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"a": 1}]});
    let events = [
        start(0, redacted.clone()),
        start(
            1,
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        ),
        delta(
            1,
            json!({"type": "input_json_delta", "partial_json": "{\"query\":"}),
        ),
        delta(
            1,
            json!({"type": "input_json_delta", "partial_json": "\"ash\"}"}),
        ),
        start(2, result.clone()),
        start(3, json!({"type": "compaction", "content": null})),
        delta(3, json!({"type": "compaction_delta", "content": "so "})),
        delta(3, json!({"type": "compaction_delta", "content": "far"})),
        start(4, json!({"type": "text", "text": ""})),
        delta(
            4,
            json!({"type": "citations_delta", "citation": {"url": "https://a"}}),
        ),
        delta(4, json!({"type": "tomorrow_delta", "news": 1})),
        delta(4, json!({"type": "text_delta", "text": "found"})),
        json!({"type": "tomorrow", "index": -1}),
    ];
    let completion = finish(&[&events[..], &stop("end_turn")].concat()).unwrap();
    let opaque = |block: Value| Content::Opaque { block };
    assert_eq!(
        completion.message.content,
        [
            opaque(redacted),
            opaque(json!({
                "type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "ash"},
            })),
            opaque(result),
            opaque(json!({"type": "compaction", "content": "so far"})),
            text("found"),
        ]
    );
}

#[test]
fn a_block_that_was_not_announced_begins_with_its_first_piece() {
    let events = [
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(1, json!({"type": "text_delta", "text": "a"})),
        delta(1, json!({"type": "text_delta", "text": "b"})),
        delta(0, json!({"type": "text_delta", "text": "c"})),
    ];
    let completion = finish(&[&events[..], &stop("end_turn")].concat()).unwrap();
    let thought = Content::Thinking {
        text: "hm".to_owned(),
        signature: None,
    };
    assert_eq!(completion.message.content, [thought, text("ab"), text("c")]);
    let stray = delta(0, json!({"type": "input_json_delta", "partial_json": "{}"}));
    assert_eq!(finish(&[stray]).unwrap_err().kind, ErrorKind::Protocol);
}

#[test]
fn nul_is_left_out_of_words_and_harms_nothing_elsewhere() {
    let events = [
        start(0, json!({"type": "text", "text": "\0a"})),
        delta(0, json!({"type": "text_delta", "text": "\0"})),
        delta(0, json!({"type": "text_delta", "text": "b\0c"})),
        start(1, json!({"type": "tool_use", "id": "t", "name": "n"})),
        delta(
            1,
            json!({"type": "input_json_delta", "partial_json": "{\"q\":\"\\u0000\"}"}),
        ),
    ];
    let bytes = streamed(&[&events[..], &stop("tool_use")].concat());
    // Some servers do not escape it.
    for bytes in [bytes.clone(), bytes.replace("b\\u0000c", "b\0c")] {
        let (told, error) = read([bytes.as_bytes()]);
        assert!(error.is_none());
        let said = |text: &str| LlmEvent::TextDelta(text.to_owned());
        assert_eq!(told[..2], [said("a"), said("bc")]);
        let Some(LlmEvent::Done(completion)) = told.last() else {
            panic!("no last event");
        };
        let asked = call("t", "n", json!({"q": "\0"}));
        assert_eq!(completion.message.content, [text("abc"), asked]);
    }
}

#[test]
fn an_event_that_is_no_object_is_an_error() {
    for data in ["{", "[]", "1", "null", "nonsense"] {
        let (told, error) = read([format!("data: {data}\n\n").as_bytes()]);
        assert!(told.is_empty());
        assert_eq!(error.unwrap().kind, ErrorKind::Protocol, "{data}");
    }
    let (told, error) = read([&b"data: [DONE]\n\ndata:\n\nevent: ping\ndata: {}\n\n"[..]]);
    assert!(told.is_empty() && error.is_none());
}

#[test]
fn later_counts_replace_earlier_ones() {
    let events = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
        json!({"type": "message_delta", "usage": {"output_tokens": 7, "cache_read_input_tokens": 2}}),
        json!({"type": "message_delta", "usage": {"output_tokens": 9, "input_tokens": null}}),
    ];
    let usage = finish(&[&events[..], &stop("end_turn")].concat())
        .unwrap()
        .usage;
    assert_eq!(
        usage,
        Usage {
            input: 5,
            output: 9,
            cache_read: 2,
            cache_write: 0
        }
    );
}

proptest! {
    #[test]
    fn no_answer_panics_and_none_is_complete_without_its_end(
        events in proptest::collection::vec(an_event(), 0..30),
    ) {
        let (told, error) = read([streamed(&events).as_bytes()]);
        let ends = events.iter().any(|event| event["type"] == "message_stop");
        let done = told.iter().filter(|event| matches!(event, LlmEvent::Done(_))).count();
        prop_assert!(done == usize::from(ends && error.is_none()));
        if let Some(LlmEvent::Done(completion)) = told.last() {
            let mut ids: Vec<_> = completion.message.tool_calls().map(|call| &call.id).collect();
            let calls = ids.len();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), calls);
            prop_assert_eq!(completion.stop == StopReason::ToolUse && calls == 0, false);
            let shown: String = told.iter().filter_map(|event| match event {
                LlmEvent::TextDelta(text) => Some(text.as_str()),
                _ => None,
            }).collect();
            prop_assert_eq!(shown, completion.message.text());
        }
    }

    #[test]
    fn no_garbled_answer_panics(
        changes in proptest::collection::vec((0..WHOLE.len(), any::<u8>()), 0..8),
        cut in 0..WHOLE.len(),
    ) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let (left, right) = bytes.split_at(cut);
        let (told, error) = read([left, right]);
        prop_assert_eq!(told, read([&bytes[..]]).0);
        drop(error);
    }
}

/// An event as a confused server might send it: known words at any place.
fn an_event() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just(json!("text")),
        Just(json!("thinking")),
        Just(json!("tool_use")),
        Just(json!("redacted_thinking")),
        Just(json!("text_delta")),
        Just(json!("thinking_delta")),
        Just(json!("signature_delta")),
        Just(json!("input_json_delta")),
        Just(json!("max_tokens")),
        Just(json!("refusal")),
        Just(json!({})),
        Just(json!([])),
        Just(json!("{\"a\": 1}")),
        Just(json!("{")),
        Just(json!("")),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let name = proptest::sample::select(vec![
        "type",
        "text",
        "thinking",
        "signature",
        "partial_json",
        "id",
        "name",
        "input",
        "stop_reason",
        "stop_details",
        "explanation",
        "usage",
        "output_tokens",
        "error",
        "message",
    ]);
    let inner = proptest::collection::vec((name, word), 0..5).prop_map(|fields| {
        fields
            .into_iter()
            .map(|(name, value): (&str, Value)| (name.to_owned(), value))
            .collect::<Map<String, Value>>()
    });
    let inner = (inner, 0..9usize).prop_map(|(mut fields, kind)| {
        let kinds = [
            "text",
            "thinking",
            "tool_use",
            "text_delta",
            "thinking_delta",
            "input_json_delta",
            "signature_delta",
        ];
        if let Some(kind) = kinds.get(kind) {
            fields.insert("type".to_owned(), json!(kind));
        }
        Value::Object(fields)
    });
    let kind = proptest::sample::select(vec![
        "message_start",
        "content_block_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
        "tomorrow",
    ]);
    (kind, 0..3u64, inner.clone(), inner).prop_map(|(kind, index, one, two)| {
        json!({"type": kind, "index": index, "content_block": one, "delta": one, "message": two,
               "usage": two, "error": two})
    })
}
