use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{MODEL_ID, assert_cuts_are_harmless, streamed, transcript};
use crate::http::Accumulator;
use crate::openai::responses::Answer;
use crate::{Message, Request};

/// Reasoning, words and a call. Identifiers and the encrypted part are made up.
const WHOLE: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"incomplete_details":null,"output":[],"store":false,"usage":null}}

event: response.in_progress
data: {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","status":"in_progress"}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"rs_1","type":"reasoning","encrypted_content":"gAAAA-first","summary":[]}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","sequence_number":3,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Weather needs a look.","obfuscation":"x"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":4,"output_index":0,"item":{"id":"rs_1","type":"reasoning","encrypted_content":"gAAAA-final","summary":[{"type":"summary_text","text":"Weather needs a look."}]}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":5,"output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[],"role":"assistant"}}

event: response.content_part.added
data: {"type":"response.content_part.added","sequence_number":6,"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_1","output_index":1,"content_index":0,"delta":"I look ","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":8,"item_id":"msg_1","output_index":1,"content_index":0,"delta":"it up 🌦","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":9,"item_id":"msg_1","output_index":1,"content_index":0,"text":"I look it up 🌦"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":10,"output_index":1,"item":{"id":"msg_1","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"text":"I look it up 🌦"}],"role":"assistant"}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":11,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"weather"}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":12,"item_id":"fc_1","output_index":2,"delta":"{\"city\":\"Zürich\"}"}

event: response.function_call_arguments.done
data: {"type":"response.function_call_arguments.done","sequence_number":13,"item_id":"fc_1","output_index":2,"arguments":"{\"city\":\"Zürich\"}"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":14,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","arguments":"{\"city\":\"Zürich\"}","call_id":"call_1","name":"weather"}}

event: response.completed
data: {"type":"response.completed","sequence_number":15,"response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":600,"cache_write_tokens":300},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":1050}}}

"#;

fn answer() -> Box<dyn Accumulator> {
    let request = Request {
        messages: vec![Message::user("How is the weather?")],
        ..Request::default()
    };
    Box::new(Answer::new("openai", MODEL_ID.to_owned(), &request))
}

fn told(events: &[Value]) -> String {
    transcript(answer(), streamed(events).as_bytes())
}

fn item(place: u64, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": place, "item": item})
}

fn delta(text: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "delta": text})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "content": [{"type": "output_text", "text": text}]})
}

fn call() -> Value {
    json!({"type": "function_call", "call_id": "call_1", "name": "read", "arguments": ""})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}})
}

fn incomplete(reason: &str) -> Value {
    json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}})
}

#[test]
fn an_answer_is_put_together() {
    assert_snapshot!(transcript(answer(), WHOLE.as_bytes()), @r#"
    ThinkingDelta("Weather needs a look.")
    TextDelta("I look ")
    TextDelta("it up 🌦")
    ToolUse in 100 out 50 read 600 write 300
      {"block":{"encrypted_content":"gAAAA-final","id":"rs_1","summary":[{"text":"Weather needs a look.","type":"summary_text"}],"type":"reasoning"},"type":"opaque"}
      {"text":"I look it up 🌦","type":"text"}
      {"arguments":{"city":"Zürich"},"id":"call_1","name":"weather","type":"tool_call"}
    "#);
}

#[test]
fn an_answer_is_the_same_however_its_bytes_are_cut() {
    assert_cuts_are_harmless(WHOLE.as_bytes(), WHOLE.len() - 2, answer);
}

#[test]
fn a_response_that_is_told_at_once_is_shown_too() {
    assert_snapshot!(told(&[item(0, &message("hi there")), completed()]), @r#"
    TextDelta("hi there")
    End in 3 out 2 read 0 write 0
      {"text":"hi there","type":"text"}
    "#);
    assert_snapshot!(told(&[delta("hi"), item(0, &message("hi there")), completed()]), @r#"
    TextDelta("hi")
    TextDelta(" there")
    End in 3 out 2 read 0 write 0
      {"text":"hi there","type":"text"}
    "#);
    let whole =
        json!({"type": "response.completed", "response": {"output": [message("hi"), call()]}});
    assert_snapshot!(told(&[whole]), @r#"
    TextDelta("hi")
    ToolUse in 5 out 1 read 0 write 0
      {"text":"hi","type":"text"}
      {"arguments":{},"id":"call_1","name":"read","type":"tool_call"}
    "#);
}

#[test]
fn an_answer_that_was_cut_off_calls_nothing() {
    assert_snapshot!(told(&[item(0, &message("half")), item(1, &call()), incomplete("max_output_tokens")]), @r#"
    TextDelta("half")
    Length in 5 out 1 read 0 write 0
      {"text":"half","type":"text"}
    "#);
    assert_snapshot!(told(&[item(0, &call()), incomplete("content_filter")]), @r#"Refused { reason: Some("the provider's content filter stepped in") } in 5 out 0 read 0 write 0"#);
}

#[test]
fn a_response_without_its_last_event_is_cut_off() {
    assert_snapshot!(told(&[delta("hi"), item(0, &message("hi"))]), @r#"
    TextDelta("hi")
    cut off
    "#);
    let done = streamed(&[delta("hi"), item(0, &message("hi"))]) + "data: [DONE]\n\n";
    assert_snapshot!(transcript(answer(), done.as_bytes()), @r#"
    TextDelta("hi")
    cut off
    "#);
}

#[test]
fn failures_are_told_by_their_code() {
    let failed = |code: &str, message: &str| json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": message}}});
    assert_snapshot!(told(&[failed("server_error", "Oops.")]), @"Server: openai: Oops.");
    assert_snapshot!(told(&[failed("rate_limit_exceeded", "Please try again in 2s.")]), @"RateLimited: openai: Please try again in 2s.");
    assert_snapshot!(told(&[failed("context_length_exceeded", "Too long.")]), @"ContextOverflow: openai: Too long.");
    assert_snapshot!(told(&[json!({"type": "error", "code": "insufficient_quota", "message": "No money.", "param": null})]), @"Quota: openai: No money.");
    assert_snapshot!(told(&[json!({"type": "error", "error": {"type": "invalid_request_error", "code": "invalid_prompt", "message": "No."}})]), @"InvalidRequest: openai: No.");
    assert_snapshot!(told(&[json!({"type": "response.failed", "response": {"error": null}})]), @"Server: openai: the provider failed and did not say why");
    assert_snapshot!(told(&[json!({"error": {"message": "bare"}})]), @"Server: openai: bare");
    assert_snapshot!(transcript(answer(), b"data: {\n\n"), @"Protocol: openai: an event is no JSON: EOF while parsing an object at line 1 column 1");
}

#[test]
fn reasoning_is_kept_in_the_form_that_can_be_replayed() {
    let sealed =
        json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []});
    let open = json!({"type": "reasoning", "id": "rs_2", "encrypted_content": null, "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]});
    let empty = json!({"type": "reasoning", "id": "rs_3", "summary": []});
    let events = [
        item(0, &sealed),
        item(1, &open),
        item(2, &empty),
        item(3, &message("hi")),
        completed(),
    ];
    assert_snapshot!(told(&events), @r#"
    TextDelta("hi")
    End in 3 out 2 read 0 write 0
      {"block":{"encrypted_content":"x","id":"rs_1","summary":[],"type":"reasoning"},"type":"opaque"}
      {"text":"hm","type":"thinking"}
      {"text":"hi","type":"text"}
    "#);
}

#[test]
fn a_refusal_is_said_and_known() {
    let refusal = json!({"type": "message", "content": [{"type": "refusal", "refusal": "I would rather not."}]});
    let event =
        json!({"type": "response.refusal.delta", "output_index": 0, "delta": "I would rather"});
    assert_snapshot!(told(&[event, item(0, &refusal), completed()]), @r#"
    TextDelta("I would rather")
    TextDelta(" not.")
    Refused { reason: None } in 3 out 2 read 0 write 0
      {"text":"I would rather not.","type":"text"}
    "#);
}

#[test]
fn calls_that_make_no_sense_are_an_error() {
    let nameless =
        json!({"type": "function_call", "call_id": "", "name": "read", "arguments": "{}"});
    assert_snapshot!(told(&[item(0, &nameless), completed()]), @"Protocol: openai: a tool call has no id or no name");
    let broken =
        json!({"type": "function_call", "call_id": "a", "name": "read", "arguments": "{\"n\""});
    assert_snapshot!(told(&[item(0, &broken), completed()]), @"Protocol: openai: the arguments of the call to read are no JSON object");
}

#[test]
fn items_stand_in_their_order_and_unknown_ones_are_left_out() {
    let unknown = json!({"type": "web_search_call", "status": "completed"});
    let events = [
        item(2, &call()),
        item(0, &message("first")),
        item(1, &unknown),
        json!({"type": "response.new_kind"}),
        completed(),
    ];
    assert_snapshot!(told(&events), @r#"
    TextDelta("first")
    ToolUse in 3 out 2 read 0 write 0
      {"text":"first","type":"text"}
      {"arguments":{},"id":"call_1","name":"read","type":"tool_call"}
    "#);
}
