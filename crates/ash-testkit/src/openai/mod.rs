//! A fake of the Responses, Chat Completions and Embeddings APIs, and of servers that copy them.

mod chat;
mod chat_stream;
mod embeddings;
mod fields;
mod model;
mod responses;
mod responses_stream;
mod tools;

use serde_json::{Value, json};

use crate::http::{Recorded, Response};
use crate::reply::{Failure, Reply};
use crate::server::{Fake, Issued, KEY, Protocol, Refusal, Route};

use fields::{invalid, refused};
use model::Model;

/// A fake of `api.openai.com`, or of a server that speaks its Chat Completions.
pub type FakeOpenAi = Fake<OpenAi>;

/// How a [`FakeOpenAi`] is set up.
#[derive(Clone, Debug)]
pub struct OpenAi {
    /// The key it takes. Servers that a person runs at home also take none.
    pub key: String,
    /// Whose habits it has.
    pub dialect: Dialect,
}

/// Whose habits a [`FakeOpenAi`] has.
///
/// All but [`Dialect::OpenAi`] have any model, no Responses, `system` instead of `developer`,
/// `max_tokens` instead of `max_completion_tokens`, and a system message only at the start:
/// each of these is refused by some such server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The vendor's own.
    #[default]
    OpenAi,
    /// Every call whole, with index 0; stops by `stop` after calls; thinks in `reasoning`.
    Ollama,
    /// Calls without ids.
    VllmNoIds,
    /// Comments between events, errors in mid-stream, the finish told twice.
    OpenRouter,
    /// Adds timings, says NUL and U+FFFD, insists that user and assistant take turns.
    LlamaCpp,
    /// Never tells usage.
    NoUsage,
    /// Ends without `[DONE]`.
    NoDone,
    /// Repeats id, type and name of a call in each of its chunks.
    RepeatedNames,
    /// Leaves out the index of calls; the id tells them apart.
    NoIndex,
    /// Sends arguments as an object instead of a string.
    ObjectArguments,
}

impl Default for OpenAi {
    fn default() -> Self {
        Self {
            key: KEY.into(),
            dialect: Dialect::OpenAi,
        }
    }
}

impl From<Dialect> for OpenAi {
    fn from(dialect: Dialect) -> Self {
        Self {
            dialect,
            ..Self::default()
        }
    }
}

impl Dialect {
    /// Tells whether this is the vendor itself.
    fn is_original(self) -> bool {
        self == Self::OpenAi
    }

    fn needs_key(self) -> bool {
        matches!(self, Self::OpenAi | Self::OpenRouter)
    }
}

impl Protocol for OpenAi {
    const BASE: &'static str = "/v1";

    fn judge(&self, request: &Recorded, issued: &Issued) -> Result<Route, Refusal> {
        self.check_key(request)?;
        let path = request.path.strip_prefix("/v1").unwrap_or_default();
        match (request.method.as_str(), path) {
            ("GET", "/models") => Ok(Route::Ready(Response::json(200, &model_list()))),
            ("GET", path) if path.starts_with("/models/") => {
                let name = &path["/models/".len()..];
                self.model(name)?;
                Ok(Route::Ready(Response::json(200, &model_entry(name))))
            }
            ("POST", "/chat/completions") => {
                chat::check(self, json_body(request)?)?;
                Ok(Route::Script)
            }
            ("POST", "/responses") if self.dialect.is_original() => {
                responses::check(self, json_body(request)?, issued)?;
                Ok(Route::Script)
            }
            ("POST", "/embeddings") => {
                embeddings::check(self, json_body(request)?)?;
                Ok(Route::Embeddings)
            }
            (_, "/models" | "/chat/completions" | "/responses" | "/embeddings")
                if self.dialect.is_original() =>
            {
                Err(Refusal {
                    status: 405,
                    ..invalid(format!(
                        "Not allowed to {} on {path}.",
                        request.method.as_str()
                    ))
                })
            }
            (method, _) => Err(Refusal {
                status: 404,
                ..invalid(format!("Invalid URL ({method} {})", request.path))
            }),
        }
    }

    fn render(&self, request: &Recorded, reply: &Reply, issued: &mut Issued) -> Response {
        let mut response = match reply.status.filter(|status| *status >= 400) {
            Some(status) => {
                let usual = usual_failure(status);
                self.error(status, reply.failure.as_ref().unwrap_or(&usual))
            }
            None => match request.path.as_str() {
                "/v1/embeddings" => embeddings::render(request, reply),
                "/v1/responses" => responses_stream::render(self, request, reply, issued),
                _ => chat_stream::render(self, request, reply, issued),
            },
        };
        response.set_header("x-request-id", &format!("req_{:028}", issued.replies));
        response
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let body = self.error_body(
            refusal.status,
            refusal.kind,
            refusal.code,
            refusal.param.as_deref(),
            &refusal.message,
        );
        let mut response = Response::json(refusal.status, &body);
        response.set_header("x-request-id", "req_refused");
        response
    }
}

impl OpenAi {
    fn check_key(&self, request: &Recorded) -> Result<(), Refusal> {
        let given = request.header("authorization");
        let key = given.and_then(|value| value.strip_prefix("Bearer "));
        let message = match (given, key) {
            (None, _) if !self.dialect.needs_key() => return Ok(()),
            (_, Some(key)) if key == self.key => return Ok(()),
            (None, _) => "You didn't provide an API key.",
            (Some(_), _) => "Incorrect API key provided.",
        };
        Err(Refusal {
            status: 401,
            code: Some("invalid_api_key"),
            ..invalid(message)
        })
    }

    /// Finds the model; compatible servers take any name.
    fn model(&self, name: &str) -> Result<Model, Refusal> {
        if !self.dialect.is_original() {
            return Ok(Model::Foreign);
        }
        Model::parse(name).ok_or_else(|| Refusal {
            status: 404,
            ..refused(
                "model",
                "model_not_found",
                format!("The model '{name}' does not exist or you do not have access to it."),
            )
        })
    }

    fn error(&self, status: u16, failure: &Failure) -> Response {
        let body = self.error_body(
            status,
            &failure.kind,
            Some(&failure.kind),
            None,
            &failure.message,
        );
        Response::json(status, &body)
    }

    fn error_body(
        &self,
        status: u16,
        kind: &str,
        code: Option<&str>,
        param: Option<&str>,
        message: &str,
    ) -> Value {
        match self.dialect {
            Dialect::OpenRouter => json!({"error": {"message": message, "code": status}}),
            Dialect::LlamaCpp => {
                json!({"error": {"code": status, "message": message, "type": kind}})
            }
            Dialect::VllmNoIds => json!({
                "object": "error",
                "message": message,
                "type": kind,
                "param": param,
                "code": status,
            }),
            Dialect::OpenAi
            | Dialect::Ollama
            | Dialect::NoUsage
            | Dialect::NoDone
            | Dialect::RepeatedNames
            | Dialect::NoIndex
            | Dialect::ObjectArguments => json!({
                "error": {"message": message, "type": kind, "param": param, "code": code},
            }),
        }
    }
}

fn json_body(request: &Recorded) -> Result<&fields::Fields, Refusal> {
    let kind = request.header("content-type").unwrap_or_default();
    if kind.split(';').next() != Some("application/json") {
        return Err(Refusal {
            status: 415,
            code: Some("unsupported_content_type"),
            ..invalid("Unsupported content type. This API method only accepts 'application/json'.")
        });
    }
    request
        .body
        .as_object()
        .ok_or_else(|| invalid("We could not parse the JSON body of your request."))
}

/// What the vendor says along with a bare status.
fn usual_failure(status: u16) -> Failure {
    let (kind, message) = match status {
        400 => ("invalid_request_error", "Invalid request."),
        401 => ("invalid_api_key", "Incorrect API key provided."),
        403 => ("permission_denied", "You may not use this resource."),
        404 => ("model_not_found", "The model does not exist."),
        429 => (
            "rate_limit_exceeded",
            "Rate limit reached. Please try again in 1.2s.",
        ),
        503 => (
            "server_is_overloaded",
            "The server is currently overloaded. Please try again later.",
        ),
        _ => (
            "server_error",
            "The server had an error while processing your request.",
        ),
    };
    Failure {
        kind: kind.into(),
        message: message.into(),
        as_result: false,
    }
}

fn model_list() -> Value {
    let names = ["gpt-6.1-sol", "gpt-4o", "text-embedding-3-small"];
    json!({"object": "list", "data": names.map(model_entry)})
}

fn model_entry(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "ash-testkit"})
}

/// When everything was made: a fixed time, so that bytes repeat.
const CREATED: u64 = 1_790_000_000;

/// Padding that hides the length of a delta from who listens in; clients must ignore it.
fn padding(delta: &str) -> String {
    "x".repeat(16_usize.saturating_sub(delta.len()))
}
