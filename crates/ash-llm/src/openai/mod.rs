//! `OpenAI`, and whatever speaks its protocols.
//!
//! Two protocols, because neither does for both: Responses is the only one in which the newer models
//! of `OpenAI` use tools while they reason, and Chat Completions is what every other server speaks.

mod responses;

mod chat;

mod ability;
mod embeddings;
mod error;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use self::embeddings::OpenAiEmbeddings;
use crate::http::{Accumulator, Endpoint, open_stream};
use crate::{Api, Auth, LlmError, LlmProvider, LlmStream, ProviderSettings, Request};

/// The longest name of a tool that is accepted.
const MAX_NAME: usize = 64;

const BASE_URL: &str = "https://api.openai.com/v1";

/// A server that speaks Responses or Chat Completions.
#[derive(Debug)]
pub struct OpenAi {
    endpoint: Endpoint,
    protocol: Protocol,
    /// Whether this is `OpenAI` itself, where requests may hold what others refuse as unknown.
    is_official: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Responses,
    Chat,
}

impl OpenAi {
    /// Points at a server; without a `base_url`, at `OpenAI` itself.
    pub fn new(
        name: impl Into<String>,
        settings: &ProviderSettings,
        key: Option<&SecretString>,
    ) -> Result<Self, LlmError> {
        let base_url = with_version(settings.base_url.as_deref().unwrap_or(BASE_URL));
        let mut endpoint = Endpoint::new(name, &base_url, settings.timeouts())?;
        if let Some(key) = key {
            endpoint = match settings.auth.unwrap_or(Auth::Bearer) {
                Auth::Bearer => endpoint.secret_header(AUTHORIZATION, "Bearer ", key)?,
                Auth::XApiKey => {
                    endpoint.secret_header(HeaderName::from_static("x-api-key"), "", key)?
                }
            };
        }
        let host = endpoint.host();
        let is_official = host == "api.openai.com" || host.ends_with(".api.openai.com");
        let protocol = match settings.api {
            Api::Responses => Protocol::Responses,
            Api::Auto if is_official => Protocol::Responses,
            Api::Auto | Api::Chat => Protocol::Chat,
        };
        Ok(Self {
            endpoint,
            protocol,
            is_official,
        })
    }

    /// Returns the path, the body and who will understand the answer.
    fn prepare(&self, request: &Request) -> (&'static str, Vec<u8>, Box<dyn Accumulator>) {
        let model_id = format!("{}/{}", self.endpoint.provider(), request.model);
        match self.protocol {
            Protocol::Responses => {
                let body = responses::body(request, &model_id);
                (
                    "responses",
                    body,
                    Box::new(responses::Answer::new(
                        self.endpoint.provider(),
                        model_id,
                        request,
                    )),
                )
            }
            Protocol::Chat => {
                let body = chat::body(request, &model_id, self.is_official);
                (
                    "chat/completions",
                    body,
                    Box::new(chat::Answer::new(
                        self.endpoint.provider(),
                        model_id,
                        request,
                    )),
                )
            }
        }
    }
}

#[async_trait]
impl LlmProvider for OpenAi {
    fn name(&self) -> &str {
        self.endpoint.provider()
    }

    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        let (path, body, answer) = self.prepare(&request);
        open_stream(&self.endpoint, path, body, answer, error::parse, cancel).await
    }
}

/// Adds the usual version to an address that has no path, as people write it.
fn with_version(base_url: &str) -> String {
    match Url::parse(base_url.trim()) {
        Ok(mut url) if url.path() == "/" => {
            url.set_path("/v1");
            url.into()
        }
        // An address that is none is refused by whoever uses it.
        Ok(_) | Err(_) => base_url.to_owned(),
    }
}

/// Joins the parts of a system prompt.
fn system_prompt(request: &Request) -> Option<String> {
    let parts: Vec<&str> = request
        .system
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// Shows a picture as an address that holds it.
fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// Puts a tool's words so that a failure can be seen; neither protocol has a mark for it.
fn tool_output(text: &str, is_error: bool) -> String {
    match (text.is_empty(), is_error) {
        (false, false) => text.to_owned(),
        (false, true) => format!("The tool failed: {text}"),
        (true, false) => "(no output)".to_owned(),
        (true, true) => "The tool failed.".to_owned(),
    }
}

/// Reads the arguments of a call. Some servers wrap the object in a string once more.
fn parse_arguments(text: &str) -> Option<Map<String, Value>> {
    if text.trim().is_empty() {
        return Some(Map::new());
    }
    match serde_json::from_str(text).ok()? {
        Value::Object(arguments) => Some(arguments),
        Value::String(inner) => serde_json::from_str(&inner).ok(),
        Value::Null => Some(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// The longest `prompt_cache_key` that is accepted.
const MAX_CACHE_KEY_CHARS: usize = 64;

fn cache_key(request: &Request) -> Option<String> {
    let name = request.conversation.as_deref()?;
    Some(name.chars().take(MAX_CACHE_KEY_CHARS).collect())
}
