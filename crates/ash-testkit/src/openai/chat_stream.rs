//! Puts a scripted reply into chunks of Chat Completions, or into one body.

use serde_json::{Value, json};

use super::{CREATED, Dialect, OpenAi, padding};
use crate::http::{Recorded, Response};
use crate::reply::{Part, Reply};
use crate::server::Issued;

pub(super) fn render(
    server: &OpenAi,
    request: &Recorded,
    reply: &Reply,
    issued: &Issued,
) -> Response {
    let answer = Answer {
        dialect: server.dialect,
        request,
        reply,
        id: format!("chatcmpl-{:04}", issued.replies),
    };
    if request.wants_stream() {
        return Response::events(answer.events(server));
    }
    match &reply.failure {
        Some(failure) => server.error(500, failure),
        None => Response::json(200, &answer.whole()),
    }
}

struct Answer<'a> {
    dialect: Dialect,
    request: &'a Recorded,
    reply: &'a Reply,
    id: String,
}

impl Answer<'_> {
    fn events(&self, server: &OpenAi) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        if self.dialect == Dialect::OpenRouter {
            events.push(comment());
        }
        events.push(self.chunk(&json!({"role": "assistant", "content": ""}), None));
        let mut calls = 0;
        for part in &self.reply.parts {
            for delta in self.deltas(part, calls) {
                events.push(self.chunk(&delta, None));
            }
            if let Part::Call { .. } = part {
                calls += 1;
            }
            if self.dialect == Dialect::OpenRouter {
                events.push(comment());
            }
        }
        if let Some(failure) = &self.reply.failure {
            let error = server.error_body(
                502,
                &failure.kind,
                Some(&failure.kind),
                None,
                &failure.message,
            );
            let event = if self.dialect == Dialect::OpenRouter {
                let mut chunk = self.body(&json!({"content": ""}), Some("error"));
                chunk["error"] = error["error"].clone();
                chunk
            } else {
                error
            };
            events.push(data(&event));
            return events;
        }
        let finish = self.finish();
        events.push(self.last_chunk(&finish));
        events.extend(self.usage_chunk(&finish));
        if self.dialect != Dialect::NoDone {
            events.push(b"data: [DONE]\n\n".to_vec());
        }
        events
    }

    /// The deltas of one part; `index` counts the calls before it.
    fn deltas(&self, part: &Part, index: usize) -> Vec<Value> {
        let pieces = |text: &str, key: &str| -> Vec<Value> {
            let one = |piece: String| {
                Value::Object([(key.to_owned(), json!(piece))].into_iter().collect())
            };
            self.reply.deltas(text).into_iter().map(one).collect()
        };
        match part {
            Part::Text(text) => {
                let mut deltas = pieces(text, "content");
                if self.dialect == Dialect::LlamaCpp {
                    deltas.insert(1, json!({"content": "\u{0}\u{fffd}"}));
                }
                deltas
            }
            Part::Refusal(text) => pieces(text, "refusal"),
            Part::Thinking(text) => match self.dialect {
                // The vendor keeps its reasoning to itself.
                Dialect::OpenAi => Vec::new(),
                Dialect::Ollama | Dialect::OpenRouter => pieces(text, "reasoning"),
                Dialect::VllmNoIds
                | Dialect::LlamaCpp
                | Dialect::NoUsage
                | Dialect::NoDone
                | Dialect::RepeatedNames
                | Dialect::NoIndex
                | Dialect::ObjectArguments => pieces(text, "reasoning_content"),
            },
            Part::Call {
                id,
                name,
                arguments,
            } => self
                .call_deltas(id, name, arguments, index)
                .into_iter()
                .map(|call| json!({"tool_calls": [call]}))
                .collect(),
            Part::Block(_) => Vec::new(),
        }
    }

    fn call_deltas(&self, id: &str, name: &str, arguments: &str, index: usize) -> Vec<Value> {
        let whole = |arguments: Value| {
            json!({
                "index": index,
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            })
        };
        let mut calls = match self.dialect {
            Dialect::Ollama => return vec![with(whole(json!(arguments)), "index", json!(0))],
            Dialect::ObjectArguments => {
                let object = serde_json::from_str(arguments).unwrap_or(json!(arguments));
                return vec![whole(object)];
            }
            Dialect::OpenAi
            | Dialect::VllmNoIds
            | Dialect::OpenRouter
            | Dialect::LlamaCpp
            | Dialect::NoUsage
            | Dialect::NoDone
            | Dialect::RepeatedNames
            | Dialect::NoIndex => vec![whole(json!(""))],
        };
        for piece in self.reply.deltas(arguments) {
            calls.push(match self.dialect {
                Dialect::RepeatedNames | Dialect::NoIndex => whole(json!(piece)),
                _ => json!({"index": index, "function": {"arguments": piece}}),
            });
        }
        for call in &mut calls {
            let fields = call.as_object_mut().expect("made as an object above");
            match self.dialect {
                Dialect::VllmNoIds => fields.remove("id"),
                Dialect::NoIndex => fields.remove("index"),
                _ => None,
            };
        }
        calls
    }

    fn last_chunk(&self, finish: &str) -> Vec<u8> {
        let mut chunk = self.body(&json!({}), Some(finish));
        if self.dialect == Dialect::LlamaCpp {
            chunk["timings"] = json!({"prompt_n": self.reply.usage.input, "predicted_ms": 1.5});
        }
        data(&chunk)
    }

    fn usage_chunk(&self, finish: &str) -> Option<Vec<u8>> {
        if !self.wants_usage() {
            return None;
        }
        let mut chunk = if self.dialect == Dialect::OpenRouter {
            self.body(&json!({"role": "assistant", "content": ""}), Some(finish))
        } else {
            with(self.body(&json!({}), None), "choices", json!([]))
        };
        chunk["usage"] = self.usage();
        Some(data(&chunk))
    }

    fn wants_usage(&self) -> bool {
        let wanted = self.request.body.pointer("/stream_options/include_usage");
        wanted == Some(&json!(true)) && self.dialect != Dialect::NoUsage
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Vec<u8> {
        data(&self.body(delta, finish))
    }

    fn body(&self, delta: &Value, finish: Option<&str>) -> Value {
        let mut body = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.request.body["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        if self.dialect.is_original() {
            body["service_tier"] = json!("default");
            if self.wants_usage() {
                body["usage"] = Value::Null;
            }
            let wanted = self
                .request
                .body
                .pointer("/stream_options/include_obfuscation");
            if wanted != Some(&json!(false)) {
                body["obfuscation"] = json!(padding(&delta.to_string()));
            }
        }
        body
    }

    fn whole(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null});
        let mut calls = Vec::new();
        for part in &self.reply.parts {
            match part {
                Part::Text(text) => {
                    let so_far = message["content"].as_str().unwrap_or_default();
                    message["content"] = json!(format!("{so_far}{text}"));
                }
                Part::Refusal(text) => message["refusal"] = json!(text),
                Part::Call {
                    id,
                    name,
                    arguments,
                } => calls.push(json!({
                    "id": id,
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                })),
                Part::Thinking(_) | Part::Block(_) => {}
            }
        }
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        let mut whole = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": self.request.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish()}],
        });
        if self.dialect != Dialect::NoUsage {
            whole["usage"] = self.usage();
        }
        whole
    }

    fn finish(&self) -> String {
        if let Some(stop) = &self.reply.stop {
            return stop.clone();
        }
        // Some say `stop` although they want a tool to run.
        if self.reply.has_calls() && self.dialect != Dialect::Ollama {
            "tool_calls".into()
        } else {
            "stop".into()
        }
    }

    fn usage(&self) -> Value {
        let usage = &self.reply.usage;
        let prompt = usage.input + usage.cache_read + usage.cache_write;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": usage.output,
            "total_tokens": prompt + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
            "completion_tokens_details": {"reasoning_tokens": 0},
        })
    }
}

fn with(mut value: Value, key: &str, field: Value) -> Value {
    value[key] = field;
    value
}

fn data(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

fn comment() -> Vec<u8> {
    b": OPENROUTER PROCESSING\n\n".to_vec()
}
