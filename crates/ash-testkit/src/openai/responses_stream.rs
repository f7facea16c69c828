//! Puts a scripted reply into the events of Responses, or into one body.

use serde_json::{Value, json};

use super::{CREATED, OpenAi, padding};
use crate::http::{Recorded, Response};
use crate::proof::sign;
use crate::reply::{Part, Reply};
use crate::server::{Issued, Thought};

pub(super) fn render(
    server: &OpenAi,
    request: &Recorded,
    reply: &Reply,
    issued: &mut Issued,
) -> Response {
    let answer = Answer::new(request, reply, issued.replies);
    answer.remember(issued);
    if request.wants_stream() {
        let mut stream = Stream {
            obfuscates: request.body.pointer("/stream_options/include_obfuscation")
                != Some(&json!(false)),
            ..Stream::default()
        };
        answer.write(&mut stream);
        return Response::events(stream.events);
    }
    match &reply.failure {
        Some(failure) => server.error(500, failure),
        None => Response::json(200, &answer.response(answer.ending(), &answer.items)),
    }
}

struct Answer<'a> {
    request: &'a Recorded,
    reply: &'a Reply,
    model: &'a str,
    id: String,
    /// The items of the output as they are when done, one a part.
    items: Vec<Value>,
}

/// How a response ends.
#[derive(Clone, Copy)]
enum Ending<'a> {
    InProgress,
    Completed,
    Incomplete(&'a str),
    Failed(&'a str, &'a str),
}

impl Ending<'_> {
    fn status(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(..) => "failed",
        }
    }
}

#[derive(Default)]
struct Stream {
    obfuscates: bool,
    events: Vec<Vec<u8>>,
}

impl Stream {
    fn push(&mut self, kind: &str, mut data: Value) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.events.len());
        if self.obfuscates
            && let Some(delta) = data["delta"].as_str()
        {
            data["obfuscation"] = json!(padding(delta));
        }
        self.events
            .push(format!("event: {kind}\ndata: {data}\n\n").into_bytes());
    }
}

impl<'a> Answer<'a> {
    fn new(request: &'a Recorded, reply: &'a Reply, number: usize) -> Self {
        let model = request.body["model"].as_str().unwrap_or_default();
        let id = format!("resp_{number:04}");
        let mut answer = Self {
            request,
            reply,
            model,
            id,
            items: Vec::new(),
        };
        answer.items = reply
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| answer.item(part, &format!("{number:04}_{index}")))
            .collect();
        if let (Ending::Incomplete(_), Some(last)) = (answer.ending(), answer.items.last_mut()) {
            last["status"] = json!("incomplete");
        }
        answer
    }

    fn item(&self, part: &Part, id: &str) -> Value {
        match part {
            Part::Text(text) => json!({
                "id": format!("msg_{id}"),
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
            }),
            Part::Refusal(text) => json!({
                "id": format!("msg_{id}"),
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": text}],
            }),
            Part::Thinking(text) => {
                let id = format!("rs_{id}");
                let asked = &self.request.body;
                let summary = if asked["reasoning"]["summary"].is_string() {
                    json!([{"type": "summary_text", "text": text}])
                } else {
                    json!([])
                };
                let includes = asked["include"].as_array().is_some_and(|includes| {
                    includes
                        .iter()
                        .any(|one| one == "reasoning.encrypted_content")
                });
                let proof = sign(self.model, &id);
                let mut item = json!({"id": id, "type": "reasoning", "summary": summary});
                if includes {
                    item["encrypted_content"] = json!(proof);
                }
                item
            }
            Part::Call {
                id: call,
                name,
                arguments,
            } => json!({
                "id": format!("fc_{id}"),
                "type": "function_call",
                "status": "completed",
                "call_id": call,
                "name": name,
                "arguments": arguments,
            }),
            Part::Block(item) => item.clone(),
        }
    }

    fn remember(&self, issued: &mut Issued) {
        let mut proof = None;
        for item in &self.items {
            match (item["type"].as_str(), item["call_id"].as_str()) {
                (Some("reasoning"), _) => {
                    proof = item["id"].as_str().map(|id| sign(self.model, id));
                }
                (Some("function_call"), Some(call)) => {
                    if let Some(proof) = &proof {
                        issued.thought.push(Thought {
                            call: call.into(),
                            proof: proof.clone(),
                            model: self.model.into(),
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn ending(&self) -> Ending<'a> {
        match (self.reply.stop.as_deref(), &self.reply.failure) {
            (_, Some(failure)) => Ending::Failed(&failure.kind, &failure.message),
            (None | Some("completed"), None) => Ending::Completed,
            (Some(reason), None) => Ending::Incomplete(reason),
        }
    }

    fn response(&self, ending: Ending, output: &[Value]) -> Value {
        let asked = &self.request.body;
        let mut response = json!({
            "id": self.id,
            "object": "response",
            "created_at": CREATED,
            "status": ending.status(),
            "error": null,
            "incomplete_details": null,
            "instructions": asked["instructions"],
            "max_output_tokens": asked["max_output_tokens"],
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": asked["reasoning"],
            "store": asked.get("store").unwrap_or(&json!(true)),
            "tool_choice": "auto",
            "tools": asked.get("tools").unwrap_or(&json!([])),
            "truncation": "disabled",
            "usage": null,
            "metadata": {},
        });
        match ending {
            Ending::InProgress => return response,
            Ending::Completed => {}
            Ending::Incomplete(reason) => {
                response["incomplete_details"] = json!({"reason": reason});
            }
            Ending::Failed(code, message) => {
                response["error"] = json!({"code": code, "message": message});
                return response;
            }
        }
        let usage = &self.reply.usage;
        let input = usage.input + usage.cache_read + usage.cache_write;
        response["usage"] = json!({
            "input_tokens": input,
            "input_tokens_details": {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
            },
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + usage.output,
        });
        response
    }

    fn write(&self, stream: &mut Stream) {
        let begun = self.response(Ending::InProgress, &[]);
        stream.push("response.created", json!({"response": begun}));
        stream.push("response.in_progress", json!({"response": begun}));
        for (index, (part, item)) in self.reply.parts.iter().zip(&self.items).enumerate() {
            self.write_item(stream, index, part, item);
        }
        let ending = self.ending();
        let response = self.response(ending, &self.items);
        match (ending, &self.reply.failure) {
            (Ending::Failed(code, message), Some(failure)) if !failure.as_result => {
                let data = json!({"code": code, "message": message, "param": null});
                stream.push("error", data);
            }
            _ => {
                let kind = format!("response.{}", ending.status());
                stream.push(&kind, json!({"response": response}));
            }
        }
    }

    fn write_item(&self, stream: &mut Stream, index: usize, part: &Part, item: &Value) {
        let place = json!({"item_id": item["id"], "output_index": index});
        let mut begun = item.clone();
        begun["status"] = json!("in_progress");
        match part {
            Part::Text(_) | Part::Refusal(_) => begun["content"] = json!([]),
            Part::Call { .. } => begun["arguments"] = json!(""),
            Part::Thinking(_) => begun["summary"] = json!([]),
            Part::Block(_) => begun = item.clone(),
        }
        stream.push(
            "response.output_item.added",
            json!({"output_index": index, "item": begun}),
        );
        match part {
            Part::Text(text) => {
                self.write_content(stream, &place, text, ["output_text", "text"], item);
            }
            Part::Refusal(text) => {
                self.write_content(stream, &place, text, ["refusal", "refusal"], item);
            }
            Part::Thinking(text) => {
                if item["summary"].get(0).is_some() {
                    self.write_summary(stream, &place, text);
                }
            }
            Part::Call {
                name, arguments, ..
            } => {
                let kind = "response.function_call_arguments";
                for delta in self.reply.deltas(arguments) {
                    stream.push(&format!("{kind}.delta"), with(&place, "delta", &delta));
                }
                let done = with(&place, "arguments", arguments);
                stream.push(&format!("{kind}.done"), with(&done, "name", name));
            }
            Part::Block(_) => {}
        }
        stream.push(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        );
    }

    fn write_content(
        &self,
        stream: &mut Stream,
        place: &Value,
        text: &str,
        [kind, field]: [&str; 2],
        item: &Value,
    ) {
        let mut place = place.clone();
        place["content_index"] = json!(0);
        let done = &item["content"][0];
        let mut added = place.clone();
        added["part"] = with(done, field, "");
        stream.push("response.content_part.added", added);
        for delta in self.reply.deltas(text) {
            let kind = format!("response.{kind}.delta");
            stream.push(&kind, with(&place, "delta", &delta));
        }
        stream.push(&format!("response.{kind}.done"), with(&place, field, text));
        place["part"] = done.clone();
        stream.push("response.content_part.done", place);
    }

    fn write_summary(&self, stream: &mut Stream, place: &Value, text: &str) {
        let mut place = place.clone();
        place["summary_index"] = json!(0);
        let mut part = place.clone();
        part["part"] = json!({"type": "summary_text", "text": ""});
        stream.push("response.reasoning_summary_part.added", part.clone());
        for delta in self.reply.deltas(text) {
            stream.push(
                "response.reasoning_summary_text.delta",
                with(&place, "delta", &delta),
            );
        }
        stream.push(
            "response.reasoning_summary_text.done",
            with(&place, "text", text),
        );
        part["part"]["text"] = json!(text);
        stream.push("response.reasoning_summary_part.done", part);
    }
}

fn with(value: &Value, key: &str, text: &str) -> Value {
    let mut value = value.clone();
    value[key] = json!(text);
    value
}
