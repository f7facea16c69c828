use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{assert_cuts_are_harmless, streamed, transcript};
use crate::http::Accumulator;
use crate::openai::chat::Answer;
use crate::{Message, Request};

/// Words and a call, in the form that `OpenAI` uses.
const WHOLE: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"aX"}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"I look "},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"it up 🌦"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"weather","arguments":""}}]},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Zürich\"}"}}]},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}

data: [DONE]

"#;

fn answer() -> Box<dyn Accumulator> {
    let request = Request {
        messages: vec![Message::user("How is the weather?")],
        ..Request::default()
    };
    Box::new(Answer::new("local", "local/m".to_owned(), &request))
}

fn told(bytes: &str) -> String {
    transcript(answer(), bytes.as_bytes())
}

/// Tells of a stream of one choice in each chunk, with nothing after them.
fn of(choices: &[Value]) -> String {
    let chunks: Vec<Value> = choices
        .iter()
        .map(|choice| json!({"choices": [choice]}))
        .collect();
    told(&streamed(&chunks))
}

fn says(text: &str) -> Value {
    json!({"index": 0, "delta": {"content": text}, "finish_reason": null})
}

fn ends(reason: &str) -> Value {
    json!({"index": 0, "delta": {}, "finish_reason": reason})
}

fn calls() -> Value {
    let function = json!({"name": "read", "arguments": "{}"});
    json!({"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "a", "function": function}]}})
}

#[test]
fn an_answer_is_put_together() {
    assert_snapshot!(told(WHOLE), @r#"
    TextDelta("I look ")
    TextDelta("it up 🌦")
    ToolUse in 36 out 20 read 64 write 0
      {"text":"I look it up 🌦","type":"text"}
      {"arguments":{"city":"Zürich"},"id":"call_a","name":"weather","type":"tool_call"}
    "#);
}

#[test]
fn an_answer_is_the_same_however_its_bytes_are_cut() {
    // From the reason to stop on nothing but the usage is missing.
    let finished = WHOLE.find(r#""finish_reason":"tool_calls""#).unwrap();
    let whole_from = finished + WHOLE[finished..].find("}\n\n").unwrap() + 1;
    assert_cuts_are_harmless(WHOLE.as_bytes(), whole_from, answer);
}

#[test]
fn a_missing_last_line_is_forgiven_and_a_missing_reason_is_not() {
    assert_snapshot!(of(&[says("hi"), ends("stop")]), @r#"
    TextDelta("hi")
    End in 5 out 1 read 0 write 0
      {"text":"hi","type":"text"}
    "#);
    assert_snapshot!(of(&[says("hi")]), @r#"
    TextDelta("hi")
    cut off
    "#);
    let done = streamed(&[json!({"choices": [says("hi")]})]) + "data: [DONE]\n\n";
    assert_snapshot!(told(&done), @r#"
    TextDelta("hi")
    End in 5 out 1 read 0 write 0
      {"text":"hi","type":"text"}
    "#);
}

#[test]
fn calls_count_whatever_the_reason_to_stop_says() {
    assert_snapshot!(of(&[calls(), ends("stop")]), @r#"
    ToolUse in 5 out 1 read 0 write 0
      {"arguments":{},"id":"a","name":"read","type":"tool_call"}
    "#);
    assert_snapshot!(of(&[says("no calls"), ends("tool_calls")]), @r#"
    TextDelta("no calls")
    End in 5 out 2 read 0 write 0
      {"text":"no calls","type":"text"}
    "#);
}

#[test]
fn an_answer_that_was_cut_off_calls_nothing() {
    assert_snapshot!(of(&[says("half"), calls(), ends("length")]), @r#"
    TextDelta("half")
    Length in 5 out 1 read 0 write 0
      {"text":"half","type":"text"}
    "#);
    assert_snapshot!(of(&[calls(), ends("content_filter")]), @r#"Refused { reason: Some("the provider's content filter stepped in") } in 5 out 0 read 0 write 0"#);
    assert_snapshot!(of(&[calls(), ends("length"), ends("stop")]), @"Length in 5 out 0 read 0 write 0");
}

#[test]
fn the_reason_to_stop_may_come_twice() {
    let usage =
        json!({"choices": [ends("stop")], "usage": {"prompt_tokens": 7, "completion_tokens": 2}});
    let bytes = streamed(&[
        json!({"choices": [says("hi")]}),
        json!({"choices": [ends("stop")]}),
        usage,
    ]);
    assert_snapshot!(told(&(bytes + "data: [DONE]\n\n")), @r#"
    TextDelta("hi")
    End in 7 out 2 read 0 write 0
      {"text":"hi","type":"text"}
    "#);
}

#[test]
fn reasoning_comes_in_either_field_and_counts_once() {
    let think = |field: &str, text: &str| json!({"index": 0, "delta": {field: text}});
    assert_snapshot!(of(&[think("reasoning_content", "hm, "), think("reasoning_content", "so"), says("hi"), ends("stop")]), @r#"
    ThinkingDelta("hm, ")
    ThinkingDelta("so")
    TextDelta("hi")
    End in 5 out 3 read 0 write 0
      {"signature":"reasoning_content","text":"hm, so","type":"thinking"}
      {"text":"hi","type":"text"}
    "#);
    assert_snapshot!(of(&[think("reasoning", "hm"), says("hi"), ends("stop")]), @r#"
    ThinkingDelta("hm")
    TextDelta("hi")
    End in 5 out 2 read 0 write 0
      {"signature":"reasoning","text":"hm","type":"thinking"}
      {"text":"hi","type":"text"}
    "#);
    let both =
        json!({"index": 0, "delta": {"content": "", "reasoning": "hm", "reasoning_content": "hm"}});
    assert_snapshot!(of(&[both, ends("stop")]), @r#"
    ThinkingDelta("hm")
    End in 5 out 1 read 0 write 0
      {"signature":"reasoning_content","text":"hm","type":"thinking"}
    "#);
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    let hi = json!({"choices": [says("hi")]});
    assert_snapshot!(told(&streamed(&[hi.clone(), json!({"error": {"code": 429, "message": "Rate limited"}, "choices": [ends("error")]})])), @r#"
    TextDelta("hi")
    RateLimited: local: Rate limited
    "#);
    assert_snapshot!(told(&streamed(&[hi.clone(), json!({"choices": [{"index": 0, "error": {"code": 502, "message": "upstream"}, "finish_reason": "error"}]})])), @r#"
    TextDelta("hi")
    Server: local: upstream
    "#);
    assert_snapshot!(of(&[says("hi"), ends("error")]), @r#"
    TextDelta("hi")
    Server: local: the provider failed in the middle of the answer
    "#);
    assert_snapshot!(of(&[says("hi"), ends("abort")]), @r#"
    TextDelta("hi")
    CutOff: local: the server aborted the answer
    "#);
    assert_snapshot!(told(&format!("{}event: error\ndata: {{\"error\":\"out of memory\"}}\n\n", streamed(&[hi]))), @r#"
    TextDelta("hi")
    Server: local: out of memory
    "#);
    assert_snapshot!(told("data: <html>\n\n"), @"Protocol: local: a chunk is no JSON: expected value at line 1 column 1");
}

#[test]
fn comments_blank_data_and_foreign_fields_are_skipped() {
    let bytes = format!(
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: \n\n{}: x\n\ndata: [DONE]\n\n",
        streamed(&[
            json!({"object": "ping"}),
            json!({"choices": [{"index": 1, "delta": {"content": "another choice"}}]}),
            json!({"choices": [says("hi")], "timings": {"predicted_ms": 1.5}}),
            json!({"choices": [ends("stop")], "usage": null, "system_fingerprint": "b1"}),
        ])
    );
    assert_snapshot!(told(&bytes), @r#"
    TextDelta("hi")
    End in 5 out 1 read 0 write 0
      {"text":"hi","type":"text"}
    "#);
}

#[test]
fn nul_is_taken_out_and_what_was_no_character_is_kept() {
    let mut bytes = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\\u0000b\0c\xFFd\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec();
    bytes.extend(b"data: [DONE]\n\n");
    assert_snapshot!(transcript(answer(), &bytes), @r#"
    TextDelta("abc�d")
    End in 5 out 2 read 0 write 0
      {"text":"abc�d","type":"text"}
    "#);
}

#[test]
fn content_may_be_a_list_of_parts() {
    let parts = json!({"index": 0, "delta": {"content": [{"type": "text", "text": "hi "}, {"type": "other"}, {"type": "text", "text": "there"}]}});
    assert_snapshot!(of(&[parts, ends("stop")]), @r#"
    TextDelta("hi there")
    End in 5 out 2 read 0 write 0
      {"text":"hi there","type":"text"}
    "#);
}

#[test]
fn a_refusal_is_said_and_known() {
    let refusal = json!({"index": 0, "delta": {"refusal": "I would rather not."}});
    assert_snapshot!(of(&[refusal, ends("stop")]), @r#"
    TextDelta("I would rather not.")
    Refused { reason: None } in 5 out 5 read 0 write 0
      {"text":"I would rather not.","type":"text"}
    "#);
}

#[test]
fn the_old_form_of_calls_is_understood() {
    let begin =
        json!({"index": 0, "delta": {"function_call": {"name": "read", "arguments": "{\"n\""}}});
    let more = json!({"index": 0, "delta": {"function_call": {"arguments": ":1}"}}});
    assert_snapshot!(of(&[begin, more, ends("function_call")]), @r#"
    ToolUse in 5 out 2 read 0 write 0
      {"arguments":{"n":1},"id":"call_1","name":"read","type":"tool_call"}
    "#);
}

#[test]
fn calls_that_make_no_sense_are_an_error() {
    let broken = json!({"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "read", "arguments": "{\"n\""}}]}});
    assert_snapshot!(of(&[broken, ends("tool_calls")]), @"Protocol: local: the arguments of the call to read are no JSON object");
}

#[test]
fn usage_is_estimated_where_it_is_missing_and_never_negative() {
    let strange = json!({"choices": [ends("stop")], "usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}});
    assert_snapshot!(told(&streamed(&[strange])), @"End in 0 out 0 read 9 write 0");
    let hit = json!({"choices": [ends("stop")], "usage": {"prompt_tokens": 50, "completion_tokens": 1, "prompt_cache_hit_tokens": 40}});
    assert_snapshot!(told(&streamed(&[hit])), @"End in 10 out 1 read 40 write 0");
}
