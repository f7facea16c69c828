//! The one way in which providers speak HTTP: send, refuse with a clear error, stream with limits.

mod answer;
mod client;
mod patience;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::TryStreamExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use self::answer::Accumulator;
use self::patience::Patience;
pub(crate) use self::refusal::{ErrorParser, kind_of_status, one_line};
use crate::{ErrorKind, LlmError, LlmStream};

/// A refusal is an explanation for people; more than this is not one.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// The largest batch of embeddings as JSON numbers fits.
const MAX_JSON_BYTES: usize = 128 * 1024 * 1024;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest silence; any byte ends it.
    pub idle: Duration,
    /// The longest call, from its start to its last byte.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(90),
            total: Duration::from_mins(10),
        }
    }
}

/// A server that is spoken to: where it is and what it wants to see in each request.
#[derive(Debug)]
pub(crate) struct Endpoint {
    provider: String,
    base_url: Url,
    headers: HeaderMap,
    timeouts: Timeouts,
    /// Made by the first request: a program that asks nothing does not pay for it.
    client: OnceLock<Client>,
}

impl Endpoint {
    /// Points at a server. `base_url` may have a path and a query; both are kept.
    pub(crate) fn new(
        provider: impl Into<String>,
        base_url: &str,
        timeouts: Timeouts,
    ) -> Result<Self, LlmError> {
        let provider = provider.into();
        let wrong = |why: &str| {
            let message = format!("`base_url` is not usable: {why}");
            LlmError::new(provider.clone(), ErrorKind::Config, message)
        };
        let base_url = Url::parse(base_url.trim()).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http:// or https://"));
        }
        Ok(Self {
            provider,
            base_url,
            headers: HeaderMap::new(),
            timeouts,
            client: OnceLock::new(),
        })
    }

    /// Sends a header with each request.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends a secret with each request, after `prefix`; it shows up in no log and no error.
    pub(crate) fn secret_header(
        self,
        name: HeaderName,
        prefix: &str,
        secret: &SecretString,
    ) -> Result<Self, LlmError> {
        let value = format!("{prefix}{}", secret.expose_secret().trim());
        let Ok(mut value) = HeaderValue::from_str(&value) else {
            let message = "the API key holds a character that no key has";
            return Err(LlmError::new(self.provider, ErrorKind::Auth, message));
        };
        value.set_sensitive(true);
        Ok(self.header(name, value))
    }

    /// Returns the provider's name, as in `PROVIDER/MODEL`.
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the server's name, without port.
    pub(crate) fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let base = url.path().trim_end_matches('/');
        let path = format!("{base}/{}", path.trim_start_matches('/'));
        url.set_path(&path);
        url
    }

    fn client(&self) -> Result<&Client, LlmError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client::build(self.base_url.scheme())
            .map_err(|why| LlmError::new(self.provider.clone(), ErrorKind::Connect, why))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn patience(&self, cancel: CancellationToken) -> Patience {
        Patience::new(self.provider.clone(), self.timeouts, cancel)
    }

    /// Sends a request and waits for the head of a response that is not a refusal.
    async fn send(
        &self,
        path: &str,
        body: Vec<u8>,
        parse_error: ErrorParser,
        patience: &Patience,
    ) -> Result<Response, LlmError> {
        let url = self.url(path);
        let request = self
            .client()?
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let response = patience
            .wait(request.send())
            .await?
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refuse(response, parse_error, patience).await)
    }

    /// Reads a response that holds an error instead of an answer.
    async fn refuse(
        &self,
        response: Response,
        parse_error: ErrorParser,
        patience: &Patience,
    ) -> LlmError {
        let status = response.status();
        let headers = response.headers().clone();
        // Half an explanation is better than none, so a broken body is as good as a whole one.
        let body = match patience.wait(read_body(response, MAX_REFUSAL_BYTES)).await {
            Ok((body, _)) => body,
            Err(error) if error.is_cancelled() => return error,
            Err(_) => Vec::new(),
        };
        let error = refusal::explain(&self.provider, status, &headers, &body, parse_error);
        refusal::without_secrets(error, &self.headers)
    }

    /// Explains why there is no response at all.
    fn unreachable(&self, error: &reqwest::Error) -> LlmError {
        let cause = refusal::innermost(error);
        let authority = match self.base_url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        };
        let message = if error.is_connect() {
            format!("cannot connect to {authority}: {cause}")
        } else {
            format!("{authority} did not answer: {cause}")
        };
        LlmError::new(self.provider.clone(), ErrorKind::Connect, message)
    }
}

/// Takes out NUL: small models write it, databases and terminals trip over it.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

/// Sends a request and streams its answer through the accumulator.
pub(crate) async fn open_stream(
    endpoint: &Endpoint,
    path: &str,
    body: Vec<u8>,
    accumulator: Box<dyn Accumulator>,
    parse_error: ErrorParser,
    cancel: CancellationToken,
) -> Result<LlmStream, LlmError> {
    let patience = endpoint.patience(cancel);
    let response = endpoint.send(path, body, parse_error, &patience).await?;
    // Some servers say 200 and then send an error, or do not know streaming. A content type that is
    // merely wrong is tolerated.
    if refusal::is_document(response.headers()) {
        return Err(endpoint.refuse(response, parse_error, &patience).await);
    }
    let chunks = response
        .bytes_stream()
        .map_err(|error| refusal::innermost(&error));
    Ok(answer::events(chunks, accumulator, patience))
}

/// Sends a request and returns its whole answer.
pub(crate) async fn post_json(
    endpoint: &Endpoint,
    path: &str,
    body: Vec<u8>,
    parse_error: ErrorParser,
    cancel: CancellationToken,
) -> Result<Value, LlmError> {
    let patience = endpoint.patience(cancel);
    let response = endpoint.send(path, body, parse_error, &patience).await?;
    let failed = |kind, message: String| LlmError::new(endpoint.provider.clone(), kind, message);
    let (body, end) = patience.wait(read_body(response, MAX_JSON_BYTES)).await?;
    match end {
        BodyEnd::Whole => {}
        BodyEnd::Broken(cause) => {
            let message = format!("the connection broke in the middle of the answer: {cause}");
            return Err(failed(ErrorKind::CutOff, message));
        }
        BodyEnd::TooLarge => {
            let message = format!("an answer of more than {MAX_JSON_BYTES} bytes");
            return Err(failed(ErrorKind::Protocol, message));
        }
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        failed(
            ErrorKind::Protocol,
            format!("the answer is no JSON: {error}"),
        )
    })?;
    match parse_error(&endpoint.provider, 200, &value) {
        Some(error) => Err(refusal::without_secrets(error, &endpoint.headers)),
        None => Ok(value),
    }
}

enum BodyEnd {
    Whole,
    TooLarge,
    Broken(String),
}

/// Reads up to `max` bytes of a body, and says why it stopped.
async fn read_body(mut response: Response, max: usize) -> (Vec<u8>, BodyEnd) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = max - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return (body, BodyEnd::TooLarge);
                }
            }
            Ok(None) => return (body, BodyEnd::Whole),
            Err(error) => return (body, BodyEnd::Broken(refusal::innermost(&error))),
        }
    }
}
