//! A fake of Anthropic's Messages API.

mod check;
mod messages;
mod tools;

mod cache;
mod fields;
mod model;
mod stream;

use serde_json::{Value, json};

use crate::http::{Recorded, Response};
use crate::reply::Reply;
use crate::server::{Fake, Issued, KEY, Protocol, Refusal, Route};

/// A fake of `api.anthropic.com`.
pub type FakeAnthropic = Fake<Anthropic>;

/// How a [`FakeAnthropic`] is set up.
#[derive(Clone, Debug)]
pub struct Anthropic {
    /// The key it takes.
    pub key: String,
}

impl Default for Anthropic {
    fn default() -> Self {
        Self { key: KEY.into() }
    }
}

/// The value of `anthropic-version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V2023,
    V2026,
}

impl Protocol for Anthropic {
    const BASE: &'static str = "";

    fn judge(&self, request: &Recorded, issued: &Issued) -> Result<Route, Refusal> {
        let version = match request.header("anthropic-version") {
            Some("2023-06-01") => Version::V2023,
            Some("2026-10-21") => Version::V2026,
            Some(other) => {
                return Err(invalid(format!(
                    "anthropic-version: \"{other}\" is not a valid version"
                )));
            }
            None => return Err(invalid("anthropic-version: header is required")),
        };
        self.check_key(request, version)?;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/models") => Ok(Route::Ready(Response::json(200, &model_list()))),
            ("GET", path) if path.starts_with("/v1/models/") => {
                let name = &path["/v1/models/".len()..];
                match model::Model::parse(name) {
                    Some(_) => Ok(Route::Ready(Response::json(200, &model_entry(name)))),
                    None => Err(not_found(format!("model: {name}"))),
                }
            }
            ("POST", "/v1/messages") => {
                check::check(json_body(request)?, version, issued)?;
                Ok(Route::Script)
            }
            ("POST", "/v1/messages/count_tokens") => {
                json_body(request)?;
                let count = request.raw.len().div_ceil(4);
                Ok(Route::Ready(Response::json(
                    200,
                    &json!({"input_tokens": count}),
                )))
            }
            (_, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models") => Err(Refusal {
                status: 405,
                ..invalid("Method Not Allowed")
            }),
            _ => Err(not_found("Not found")),
        }
    }

    fn render(&self, request: &Recorded, reply: &Reply, issued: &mut Issued) -> Response {
        let mut response = stream::render(request, reply, issued);
        response.set_header("request-id", &format!("req_{:024}", issued.replies));
        response
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        error(refusal.status, refusal.kind, &refusal.message)
    }
}

impl Anthropic {
    /// The newer version is called with a bearer token, the older one with a header of its own; the
    /// newer one still takes the latter.
    fn check_key(&self, request: &Recorded, version: Version) -> Result<(), Refusal> {
        let own = request.header("x-api-key");
        let bearer = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let given = match version {
            Version::V2023 => own,
            Version::V2026 => own.or(bearer),
        };
        let message = match given {
            Some(key) if key == self.key => return Ok(()),
            Some(_) if own.is_some() => "invalid x-api-key",
            Some(_) => "invalid bearer token",
            None => "x-api-key header is required",
        };
        Err(Refusal {
            status: 401,
            kind: "authentication_error",
            ..invalid(message)
        })
    }
}

/// The longest body that the vendor reads.
const LONGEST_BODY: usize = 32 * 1024 * 1024;

fn json_body(request: &Recorded) -> Result<&Value, Refusal> {
    if request.raw.len() > LONGEST_BODY {
        return Err(Refusal {
            status: 413,
            kind: "request_too_large",
            ..invalid("Request exceeds the maximum size")
        });
    }
    let kind = request.header("content-type").unwrap_or_default();
    if kind.split(';').next() != Some("application/json") {
        return Err(invalid("content-type: must be application/json"));
    }
    if request.body.is_object() {
        Ok(&request.body)
    } else {
        Err(invalid(
            "The request body is not valid JSON: expected an object",
        ))
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal {
        status: 400,
        kind: "invalid_request_error",
        message: message.into(),
        param: None,
        code: None,
    }
}

fn not_found(message: impl Into<String>) -> Refusal {
    Refusal {
        status: 404,
        kind: "not_found_error",
        ..invalid(message)
    }
}

fn error(status: u16, kind: &str, message: &str) -> Response {
    let request_id = "req_00000000000000000refused";
    let mut response = Response::json(
        status,
        &json!({
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": request_id,
        }),
    );
    response.set_header("request-id", request_id);
    response
}

/// What the vendor says along with a bare status.
fn usual_error(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("invalid_request_error", "Invalid request"),
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "Your credit balance is too low"),
        403 => ("permission_error", "Your key may not use this resource"),
        404 => ("not_found_error", "Not found"),
        409 => ("conflict_error", "Conflict"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => (
            "rate_limit_error",
            "This request would exceed your rate limit",
        ),
        504 => ("timeout_error", "The request timed out"),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    }
}

fn model_list() -> Value {
    let data = ["claude-opus-5-5", "claude-sonnet-4-6", "claude-haiku-4-5"].map(model_entry);
    json!({
        "data": data,
        "has_more": false,
        "first_id": "claude-opus-5-5",
        "last_id": "claude-haiku-4-5",
    })
}

fn model_entry(name: &str) -> Value {
    json!({
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2026-01-01T00:00:00Z",
    })
}
