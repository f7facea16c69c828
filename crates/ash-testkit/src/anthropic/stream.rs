//! Puts a scripted reply into the vendor's events, or into one body.

use serde_json::{Value, json};

use super::model::Model;
use super::{error, usual_error};
use crate::http::{Recorded, Response};
use crate::proof::sign;
use crate::reply::{Part, Reply, Usage};
use crate::server::{Issued, Thought};

pub(super) fn render(request: &Recorded, reply: &Reply, issued: &mut Issued) -> Response {
    if let Some(status) = reply.status.filter(|status| *status >= 400) {
        let (kind, message) = usual_error(status);
        return match &reply.failure {
            Some(failure) => error(status, &failure.kind, &failure.message),
            None => error(status, kind, message),
        };
    }
    let model = request.body["model"].as_str().unwrap_or_default();
    let id = format!("msg_{:04}", issued.replies);
    let blocks = blocks(request, reply, model);
    let stop = stop_reason(reply);
    issued.paused = stop == "pause_turn";
    remember(issued, model, &blocks);
    if request.wants_stream() {
        return Response::events(events(reply, &id, model, &blocks, &stop));
    }
    if let Some(failure) = &reply.failure {
        let status = match failure.kind.as_str() {
            "overloaded_error" => 529,
            "rate_limit_error" => 429,
            "invalid_request_error" => 400,
            _ => 500,
        };
        return error(status, &failure.kind, &failure.message);
    }
    let mut message = message(&id, model, &reply.usage, reply.usage.output);
    message["content"] = Value::Array(blocks);
    message["stop_reason"] = json!(stop);
    if stop == "refusal" {
        message["stop_details"] = stop_details();
    }
    Response::json(200, &message)
}

/// The blocks as a whole body has them.
fn blocks(request: &Recorded, reply: &Reply, model: &str) -> Vec<Value> {
    let display = request.body.pointer("/thinking/display");
    let hidden = match display.and_then(Value::as_str) {
        Some(display) => display == "omitted",
        None => Model::parse(model).is_some_and(Model::hides_thinking),
    };
    reply
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) | Part::Refusal(text) => json!({"type": "text", "text": text}),
            Part::Thinking(text) => {
                let shown = if hidden { "" } else { text };
                json!({"type": "thinking", "thinking": shown, "signature": sign(model, shown)})
            }
            Part::Call {
                id,
                name,
                arguments,
            } => {
                let input = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
            Part::Block(block) => block.clone(),
        })
        .collect()
}

fn remember(issued: &mut Issued, model: &str, blocks: &[Value]) {
    let mut proof = None;
    for block in blocks {
        match block["type"].as_str() {
            Some("thinking") => proof = block["signature"].as_str(),
            Some("tool_use") => {
                if let (Some(proof), Some(call)) = (proof, block["id"].as_str()) {
                    issued.thought.push(Thought {
                        call: call.into(),
                        proof: proof.into(),
                        model: model.into(),
                    });
                }
            }
            _ => {}
        }
    }
}

fn stop_reason(reply: &Reply) -> String {
    if let Some(stop) = &reply.stop {
        return stop.clone();
    }
    let refuses = |part: &Part| matches!(part, Part::Refusal(_));
    if reply.parts.iter().any(refuses) {
        "refusal".into()
    } else if reply.has_calls() {
        "tool_use".into()
    } else {
        "end_turn".into()
    }
}

fn stop_details() -> Value {
    json!({"type": "refusal", "category": "general_harms", "explanation": "declined by policy"})
}

fn events(reply: &Reply, id: &str, model: &str, blocks: &[Value], stop: &str) -> Vec<Vec<u8>> {
    let start = message(id, model, &reply.usage, 1);
    let mut events = vec![
        event("message_start", json!({"message": start})),
        event("ping", json!({})),
    ];
    for (index, (part, block)) in reply.parts.iter().zip(blocks).enumerate() {
        let (head, deltas) = opened(reply, part, block);
        events.push(event(
            "content_block_start",
            json!({"index": index, "content_block": head}),
        ));
        for delta in deltas {
            events.push(event(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            ));
        }
        events.push(event("content_block_stop", json!({"index": index})));
    }
    if let Some(failure) = &reply.failure {
        let error = json!({"type": failure.kind, "message": failure.message});
        events.push(event("error", json!({"error": error})));
        return events;
    }
    let mut delta = json!({"stop_reason": stop, "stop_sequence": null});
    if stop == "refusal" {
        delta["stop_details"] = stop_details();
    }
    events.push(event(
        "message_delta",
        json!({"delta": delta, "usage": {"output_tokens": reply.usage.output}}),
    ));
    events.push(event("message_stop", json!({})));
    events
}

/// A block as it starts, and the deltas that fill it.
fn opened(reply: &Reply, part: &Part, block: &Value) -> (Value, Vec<Value>) {
    match part {
        Part::Text(text) | Part::Refusal(text) => (
            json!({"type": "text", "text": ""}),
            deltas(reply, text, "text_delta", "text"),
        ),
        Part::Thinking(_) => {
            let shown = block["thinking"].as_str().unwrap_or_default();
            let mut all = if shown.is_empty() {
                Vec::new()
            } else {
                deltas(reply, shown, "thinking_delta", "thinking")
            };
            all.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            let head = json!({"type": "thinking", "thinking": "", "signature": ""});
            (head, all)
        }
        Part::Call {
            id,
            name,
            arguments,
        } => {
            // The vendor begins with an empty delta and sends nothing more for no arguments.
            let mut all = vec![json!({"type": "input_json_delta", "partial_json": ""})];
            if arguments != "{}" {
                all.extend(deltas(reply, arguments, "input_json_delta", "partial_json"));
            }
            let head = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            (head, all)
        }
        Part::Block(block) => (block.clone(), Vec::new()),
    }
}

fn deltas(reply: &Reply, text: &str, kind: &str, field: &str) -> Vec<Value> {
    reply
        .deltas(text)
        .into_iter()
        .map(|piece| {
            let mut delta = json!({"type": kind});
            delta[field] = json!(piece);
            delta
        })
        .collect()
}

fn message(id: &str, model: &str, usage: &Usage, output: u64) -> Value {
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_write,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "service_tier": "standard",
        },
    })
}

fn event(kind: &str, mut data: Value) -> Vec<u8> {
    data["type"] = json!(kind);
    format!("event: {kind}\ndata: {data}\n\n").into_bytes()
}
