//! What an error object of the Messages protocol means.

use serde_json::Value;

use crate::http::kind_of_status;
use crate::{ErrorKind, LlmError};

/// Reads `{"type": "error", "error": {"type": …, "message": …}}` and the forms that imitators send.
pub(super) fn parse(provider: &str, status: u16, body: &Value) -> Option<LlmError> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let name = error["type"].as_str().unwrap_or_default();
    let message = error["message"]
        .as_str()
        .or(error.as_str())
        .filter(|message| !message.trim().is_empty())
        .unwrap_or(if name.is_empty() {
            "no reason given"
        } else {
            name
        });
    let detail = error["details"]["type"].as_str().unwrap_or_default();
    let kind = kind(status, name, detail, message);
    let mut parsed = LlmError::new(provider, kind, crate::http::one_line(message));
    parsed.request_id = body["request_id"].as_str().map(str::to_owned);
    Some(parsed)
}

/// The name counts more than the status: an error in the middle of an answer has the status 200.
fn kind(status: u16, name: &str, detail: &str, message: &str) -> ErrorKind {
    let by_name = match name {
        "invalid_request_error" => ErrorKind::InvalidRequest,
        "authentication_error" | "permission_error" => ErrorKind::Auth,
        "billing_error" => ErrorKind::Quota,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" | "exceed_context_size_error" => ErrorKind::ContextOverflow,
        "rate_limit_error" => ErrorKind::RateLimited,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" | "unavailable_error" => ErrorKind::Overloaded,
        "api_error" | "conflict_error" => ErrorKind::Server,
        _ if status >= 300 => kind_of_status(status),
        _ => ErrorKind::Server,
    };
    if !matches!(by_name, ErrorKind::InvalidRequest | ErrorKind::RateLimited) {
        return by_name;
    }
    // Two conditions that a person meets often come under names that say something else.
    let says = |words: &[&str]| {
        let message = message.to_ascii_lowercase();
        words.iter().any(|words| message.contains(words))
    };
    if detail.contains("spend_limit")
        || says(&[
            "credit balance",
            "spend limit",
            "spending limit",
            "usage limits",
        ])
    {
        ErrorKind::Quota
    } else if by_name == ErrorKind::InvalidRequest
        && says(&[
            "prompt is too long",
            "input is too long",
            "exceed context limit",
            "context window",
        ])
    {
        ErrorKind::ContextOverflow
    } else {
        by_name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_known_by_its_name_and_where_that_misleads_by_its_words() {
        use ErrorKind as K;
        for (status, name, message, expected) in [
            (
                400,
                "invalid_request_error",
                "temperature: not supported",
                K::InvalidRequest,
            ),
            (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API.",
                K::Quota,
            ),
            (
                400,
                "invalid_request_error",
                "You have reached your specified API usage limits.",
                K::Quota,
            ),
            (
                400,
                "invalid_request_error",
                "prompt is too long: 207791 tokens > 200000 maximum",
                K::ContextOverflow,
            ),
            (
                400,
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000",
                K::ContextOverflow,
            ),
            (
                400,
                "exceed_context_size_error",
                "too many tokens",
                K::ContextOverflow,
            ),
            (401, "authentication_error", "invalid x-api-key", K::Auth),
            (402, "billing_error", "pay", K::Quota),
            (403, "permission_error", "not yours", K::Auth),
            (404, "not_found_error", "model: claude-none", K::NotFound),
            (
                413,
                "request_too_large",
                "larger than 32 MB",
                K::ContextOverflow,
            ),
            (429, "rate_limit_error", "slow down", K::RateLimited),
            (
                429,
                "rate_limit_error",
                "the spend limit is reached",
                K::Quota,
            ),
            (500, "api_error", "oops", K::Server),
            (504, "timeout_error", "too slow", K::Timeout),
            (529, "overloaded_error", "Overloaded", K::Overloaded),
            (200, "overloaded_error", "Overloaded", K::Overloaded),
            (200, "something_new", "?", K::Server),
            (418, "something_new", "?", K::InvalidRequest),
            (503, "", "loading the model", K::Overloaded),
        ] {
            let body = json!({"type": "error", "error": {"type": name, "message": message}});
            let error = parse("p", status, &body).unwrap();
            assert_eq!(error.kind, expected, "{status} {name} {message}");
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn imitations_of_an_error_are_read_too() {
        let error = parse("p", 400, &json!({"error": "no\nsuch model"})).unwrap();
        assert_eq!(error.message, "no such model");
        let body = json!({"error": {"type": "api_error"}, "request_id": "req_1"});
        let error = parse("p", 500, &body).unwrap();
        assert_eq!(error.message, "api_error");
        assert_eq!(error.request_id.as_deref(), Some("req_1"));
        let body = json!({"error": {
            "type": "rate_limit_error",
            "message": "stop",
            "details": {"type": "enforced_spend_limit_reached_error"},
        }});
        assert_eq!(parse("p", 429, &body).unwrap().kind, ErrorKind::Quota);
        assert_eq!(
            parse("p", 500, &json!({"error": {}})).unwrap().message,
            "no reason given"
        );
        for body in [
            json!({"type": "message"}),
            json!({"error": null}),
            json!([]),
            json!(1),
        ] {
            assert!(parse("p", 200, &body).is_none());
        }
    }
}
