//! What errors say: `OpenAI`'s own, and those of servers that imitate it more or less.

use std::time::Duration;

use serde_json::Value;

use crate::http::{kind_of_status, one_line};
use crate::{ErrorKind, LlmError};

/// Reads an error body or an error in the middle of a stream (status 200).
pub(super) fn parse(provider: &str, status: u16, body: &Value) -> Option<LlmError> {
    // Some gateways wrap the object in an array.
    let body = body.get(0).unwrap_or(body);
    let inner = body.get("error").filter(|error| !error.is_null());
    let said = match inner {
        Some(Value::String(message)) => Said {
            message,
            ..Said::default()
        },
        Some(error) => Said::read(error),
        None if status == 200 => return None,
        None => Said::read(body),
    };
    said.into_error(provider, status)
}

/// Reads an error that stands by itself: of a failed response, or of an `error` event.
pub(super) fn from_object(provider: &str, error: &Value) -> LlmError {
    let said = match error.get("error").filter(|error| error.is_object()) {
        Some(inner) => Said::read(inner),
        None => Said::read(error),
    };
    said.into_error(provider, 200).unwrap_or_else(|| {
        LlmError::new(
            provider,
            ErrorKind::Server,
            "the provider failed and did not say why",
        )
    })
}

/// The fields that matter, whichever of them a server fills in.
#[derive(Default)]
struct Said<'a> {
    message: &'a str,
    /// A word such as `rate_limit_exceeded`.
    code: &'a str,
    /// A word such as `invalid_request_error`.
    class: &'a str,
    /// Gateways give the status of whom they asked.
    status: Option<u16>,
}

impl<'a> Said<'a> {
    fn read(error: &'a Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        let message = match text("message") {
            "" => text("detail"),
            message => message,
        };
        let status = error
            .get("code")
            .and_then(Value::as_u64)
            .and_then(|code| u16::try_from(code).ok());
        Self {
            message,
            code: text("code"),
            class: text("type"),
            status,
        }
    }

    fn into_error(self, provider: &str, status: u16) -> Option<LlmError> {
        if self.message.is_empty() && self.code.is_empty() {
            return None;
        }
        let message = if self.message.is_empty() {
            self.code
        } else {
            self.message
        };
        let mut error = LlmError::new(provider, self.kind(status), one_line(message));
        error.retry_after =
            retry_after(self.message).filter(|_| error.kind == ErrorKind::RateLimited);
        error.status = (status != 200).then_some(status);
        Some(error)
    }

    fn kind(&self, status: u16) -> ErrorKind {
        let message = self.message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let is = |names: &[&str]| names.contains(&self.code) || names.contains(&self.class);

        if is(&["context_length_exceeded", "exceed_context_size_error"])
            || says(&[
                "context length",
                "context window",
                "context size",
                "maximum context",
                "prompt is too long",
                "too large to process",
            ])
        {
            return ErrorKind::ContextOverflow;
        }
        if is(&[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
        ]) || says(&[
            "exceeded your current quota",
            "insufficient credits",
            "insufficient balance",
        ]) {
            return ErrorKind::Quota;
        }
        // More than fits in a minute will not fit in the next one either.
        if says(&["request too large"]) {
            return ErrorKind::ContextOverflow;
        }
        if is(&["rate_limit_exceeded", "rate_limit_error"]) {
            return ErrorKind::RateLimited;
        }
        if is(&["model_not_found"]) {
            return ErrorKind::NotFound;
        }
        if is(&[
            "invalid_api_key",
            "authentication_error",
            "permission_error",
        ]) {
            return ErrorKind::Auth;
        }
        if is(&["server_is_overloaded", "slow_down", "overloaded_error"]) || says(&["overloaded"]) {
            return ErrorKind::Overloaded;
        }
        if is(&["server_error", "internal_error", "internal_server_error"]) {
            return ErrorKind::Server;
        }
        let status = if status == 200 {
            self.status.unwrap_or(200)
        } else {
            status
        };
        match status {
            200 if is(&["invalid_request_error", "invalid_prompt", "invalid_image"]) => {
                ErrorKind::InvalidRequest
            }
            // What fails after it has begun is no fault of the request.
            0..=299 => ErrorKind::Server,
            // A model that is not installed is a bad request to some servers.
            400 if says(&["model"]) && says(&["not found", "does not exist"]) => {
                ErrorKind::NotFound
            }
            _ => kind_of_status(status),
        }
    }
}

/// Finds the waiting time in words: "Please try again in 1.2s", "in 350ms", "in 1m12s".
fn retry_after(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    let mut rest = rest;
    let mut total = None;
    while let Some((number, unit, after)) = quantity(rest) {
        let seconds = match unit {
            "ms" => number / 1000.0,
            "s" | "seconds" | "second" => number,
            "m" | "minutes" | "minute" => number * 60.0,
            "h" | "hours" | "hour" => number * 3600.0,
            _ => break,
        };
        total = Some(total.unwrap_or(0.0) + seconds);
        rest = after;
    }
    Duration::try_from_secs_f64(total?).ok()
}

/// Splits `1.5s and so on` into 1.5, `s` and the rest.
fn quantity(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = text[..digits].parse().ok()?;
    let rest = text[digits..].strip_prefix(' ').unwrap_or(&text[digits..]);
    let end = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    Some((number, &rest[..end], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_can_be_done() {
        use ErrorKind::*;
        let openai = |code: &str, message: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
        let cases = [
            (
                429,
                openai("rate_limit_exceeded", "Rate limit reached for gpt-4o"),
                RateLimited,
            ),
            (
                429,
                openai("insufficient_quota", "You exceeded your current quota"),
                Quota,
            ),
            (
                429,
                openai(
                    "rate_limit_exceeded",
                    "Request too large for gpt-4o: Limit 30000, Requested 40000",
                ),
                ContextOverflow,
            ),
            (
                400,
                openai(
                    "context_length_exceeded",
                    "Your input exceeds the context window of this model.",
                ),
                ContextOverflow,
            ),
            (
                400,
                json!({"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}),
                ContextOverflow,
            ),
            (
                400,
                json!({"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400}),
                ContextOverflow,
            ),
            (
                500,
                json!({"error": {"code": 500, "message": "input (3000 tokens) is too large to process. increase the physical batch size (current batch size: 512)", "type": "server_error"}}),
                ContextOverflow,
            ),
            (
                404,
                openai("model_not_found", "The model `x` does not exist"),
                NotFound,
            ),
            (
                404,
                json!({"error": {"message": "model \"x\" not found, try pulling it first"}}),
                NotFound,
            ),
            (400, json!({"error": "model 'x' not found"}), NotFound),
            (
                401,
                openai("invalid_api_key", "Incorrect API key provided: sk-***"),
                Auth,
            ),
            (403, json!({"error": {"message": "no access"}}), Auth),
            (
                402,
                json!({"error": {"code": 402, "message": "Insufficient credits"}}),
                Quota,
            ),
            (
                400,
                openai("unsupported_value", "Unsupported value: 'temperature'"),
                InvalidRequest,
            ),
            (422, json!({"detail": "field required"}), InvalidRequest),
            (
                500,
                json!({"error": {"message": "The server had an error", "type": "server_error"}}),
                Server,
            ),
            (
                503,
                json!({"error": {"message": "Loading model", "code": 503}}),
                Overloaded,
            ),
            (
                400,
                json!([{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}]),
                InvalidRequest,
            ),
            (
                200,
                json!({"error": {"code": 429, "message": "slow"}}),
                RateLimited,
            ),
            (
                200,
                json!({"error": {"code": 502, "message": "upstream"}}),
                Server,
            ),
            (
                200,
                json!({"error": {"code": "server_error", "message": "x"}}),
                Server,
            ),
            (200, json!({"error": {"message": "something"}}), Server),
            (
                200,
                json!({"error": {"type": "invalid_request_error", "message": "bad"}}),
                InvalidRequest,
            ),
        ];
        for (status, body, kind) in cases {
            let error = parse("p", status, &body).unwrap();
            assert_eq!(error.kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn what_is_no_error_is_left_alone() {
        for (status, body) in [
            (200, json!({"choices": []})),
            (200, json!({"error": null})),
            (500, json!({})),
            (500, json!(null)),
            (500, json!([])),
            (500, json!({"error": {}})),
            (200, json!({"message": "hi"})),
        ] {
            assert!(parse("p", status, &body).is_none(), "{body}");
        }
    }

    #[test]
    fn the_waiting_time_is_found_in_the_words() {
        let cases = [
            ("Please try again in 1.2s. Visit", Some(1.2)),
            ("Please try again in 350ms.", Some(0.35)),
            ("try again in 1m12s", Some(72.0)),
            ("try again in 6 seconds", Some(6.0)),
            ("try again in a while", None),
            ("try again in 5", None),
            ("try again in .s", None),
            ("try again in 1e9s", None),
            ("later", None),
        ];
        for (message, seconds) in cases {
            assert_eq!(
                retry_after(message),
                seconds.map(Duration::from_secs_f64),
                "{message}"
            );
        }
        let body = json!({"error": {"code": "rate_limit_exceeded", "message": "Please try again in 20ms."}});
        assert_eq!(
            parse("p", 429, &body).unwrap().retry_after,
            Some(Duration::from_millis(20))
        );
    }

    #[test]
    fn an_error_that_stands_by_itself_always_has_words() {
        for (error, message) in [
            (json!({"code": "server_error", "message": "oops"}), "oops"),
            (
                json!({"type": "error", "error": {"code": "x", "message": ""}}),
                "x",
            ),
            (json!(null), "the provider failed and did not say why"),
        ] {
            assert_eq!(from_object("p", &error).message, message);
        }
    }
}
