//! What a response that is not an answer says.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::{ErrorKind, LlmError};

/// Reads the error object of one protocol: the provider's name, the HTTP status (200 for an error in
/// the middle of a stream), the body. `None` when the body is not such an object.
///
/// What the headers say (status, request id, waiting time) is filled in afterwards, where it is not
/// set already.
pub(crate) type ErrorParser = fn(provider: &str, status: u16, body: &Value) -> Option<LlmError>;

/// The longest piece of a provider's words that is shown.
const MAX_MESSAGE_CHARS: usize = 600;

/// Makes the error of a response.
pub(super) fn explain(
    provider: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    parse_error: ErrorParser,
) -> LlmError {
    let parsed = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| parse_error(provider, status.as_u16(), &body));
    let mut error = parsed.unwrap_or_else(|| {
        let kind = if status.is_success() {
            ErrorKind::Protocol
        } else {
            kind_of_status(status.as_u16())
        };
        LlmError::new(provider, kind, describe(status, headers, body))
    });
    error.message = one_line(&error.message);
    error.status = error.status.or(Some(status.as_u16()));
    error.retry_after = error
        .retry_after
        .or_else(|| retry_after(headers, SystemTime::now()));
    error.retryable = error.retryable.or_else(|| should_retry(headers));
    error.request_id = error.request_id.or_else(|| request_id(headers));
    error
}

/// Returns what a status means where nothing else says more.
pub(crate) fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        // A redirect is not followed: the address that was set is the wrong one.
        300..=399 | 404 | 405 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::ContextOverflow,
        429 => ErrorKind::RateLimited,
        503 | 529 => ErrorKind::Overloaded,
        // A conflict and "too early" pass by themselves.
        409 | 425 | 500..=599 => ErrorKind::Server,
        _ => ErrorKind::InvalidRequest,
    }
}

/// Tells whether a successful response is a document where a stream of events was expected.
pub(super) fn is_document(headers: &HeaderMap) -> bool {
    let content_type = content_type(headers);
    content_type == "application/json" || content_type == "text/html"
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn describe(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    if let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes());
        return format!("the server redirects to {location}, which is not followed");
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if content_type(headers) == "text/html" || text.starts_with('<') {
        return match html_title(text) {
            Some(title) => format!("the server sent an HTML page, \"{title}\""),
            None => "the server sent an HTML page".to_owned(),
        };
    }
    let reason = status.canonical_reason().unwrap_or("no reason given");
    match (status.is_success(), text.is_empty()) {
        (true, true) => "the server sent nothing where a stream of events was expected".to_owned(),
        (true, false) => {
            format!("the server sent something else than a stream of events: {text}")
        }
        (false, true) => reason.to_owned(),
        (false, false) => text.to_owned(),
    }
}

fn html_title(page: &str) -> Option<String> {
    // ASCII lower case keeps the length, so positions in one are positions in the other.
    let lower = page.to_ascii_lowercase();
    let opening = lower.find("<title")?;
    let start = opening + lower[opening..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = one_line(&page[start..end]);
    (!title.is_empty()).then_some(title)
}

/// Puts a provider's words in one line of bearable length.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((end, _)) = line.char_indices().nth(MAX_MESSAGE_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Takes out what must not be shown: some servers repeat the key that they refuse.
pub(super) fn without_secrets(mut error: LlmError, sent: &HeaderMap) -> LlmError {
    for value in sent.values().filter(|value| value.is_sensitive()) {
        let Ok(value) = value.to_str() else { continue };
        let secret = value.rsplit(' ').next().unwrap_or(value);
        // Shorter ones are no keys; taking them out would only garble the message.
        if secret.len() >= 6 {
            error.message = error.message.replace(secret, "[key]");
        }
    }
    error
}

/// Returns how long the provider asks to wait, as `retry-after-ms`, seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let millis = text("retry-after-ms").and_then(number);
    if let Some(millis) = millis {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    // A date that has passed means: now.
    Some(date.duration_since(now).unwrap_or_default())
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers
        .get("request-id")
        .or_else(|| headers.get("x-request-id"))?;
    Some(one_line(value.to_str().ok()?))
}

/// Returns the cause at the bottom of a chain; what is above it only says that there is one.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    // The error on top would name the whole address.
    if cause.is::<reqwest::Error>() {
        return "no reason given".to_owned();
    }
    one_line(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn the_waiting_time_is_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases: [(&[_], _); 11] = [
            (&[], None),
            (&[("retry-after", "7")], Some(7.0)),
            (&[("retry-after", " 1.5 ")], Some(1.5)),
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")],
                Some(3.0),
            ),
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
                Some(0.0),
            ),
            (
                &[("retry-after", "3"), ("retry-after-ms", "250")],
                Some(0.25),
            ),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "soon")], None),
        ];
        for (pairs, expected) in cases {
            let expected = expected.map(Duration::from_secs_f64);
            assert_eq!(retry_after(&headers(pairs), now), expected, "{pairs:?}");
        }
    }

    fn explained(status: u16, pairs: &[(&'static str, &str)], body: &str) -> LlmError {
        let status = StatusCode::from_u16(status).unwrap();
        explain("p", status, &headers(pairs), body.as_bytes(), |_, _, _| {
            None
        })
    }

    #[test]
    fn a_page_of_html_is_told_by_its_title() {
        let page = "<!DOCTYPE html><html><head>\n<TITLE>413 Request\n Entity Too Large</TITLE>…";
        let error = explained(413, &[("content-type", "text/html; charset=UTF-8")], page);
        assert_eq!(error.kind, ErrorKind::ContextOverflow);
        assert_eq!(
            error.to_string(),
            "p (HTTP 413): the server sent an HTML page, \"413 Request Entity Too Large\""
        );
    }

    #[test]
    fn any_other_body_is_told_in_one_line() {
        let body = format!("first\r\n\tsecond \u{0}{}", "x".repeat(2000));
        let error = explained(500, &[("x-request-id", "req_1")], &body);
        assert!(error.message.starts_with("first second xxx"));
        assert_eq!(error.message.chars().count(), MAX_MESSAGE_CHARS + 1);
        assert_eq!(error.request_id.as_deref(), Some("req_1"));
        assert_eq!(
            explained(503, &[], "").to_string(),
            "p (HTTP 503): Service Unavailable"
        );
        let error = explained(302, &[("location", "https://elsewhere/")], "<html>");
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.message.contains("https://elsewhere/"));
    }

    #[test]
    fn the_server_may_overrule_whether_to_try_again() {
        assert!(explained(500, &[], "").is_retryable());
        assert!(!explained(500, &[("x-should-retry", "false")], "").is_retryable());
        assert!(explained(400, &[("x-should-retry", "true")], "").is_retryable());
        assert!(!explained(400, &[("x-should-retry", "perhaps")], "").is_retryable());
    }

    #[test]
    fn a_key_that_the_server_repeats_is_taken_out() {
        let mut sent = headers(&[("authorization", "Bearer sk-secret"), ("x-other", "wrong")]);
        sent.get_mut("authorization").unwrap().set_sensitive(true);
        let error = LlmError::new("p", ErrorKind::Auth, "wrong key sk-secret");
        assert_eq!(without_secrets(error, &sent).message, "wrong key [key]");
    }
}
