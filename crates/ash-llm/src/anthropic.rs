//! Anthropic's Messages protocol, spoken to Anthropic and to servers that imitate it.

mod answer;
mod capability;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use self::answer::Answer;
use self::request::Dialect;
use crate::http::{self, Endpoint, Timeouts};
use crate::{Auth, ErrorKind, LlmError, LlmProvider, LlmStream, Request};

/// Where Anthropic itself is.
const HOST: &str = "api.anthropic.com";
const NEWEST_VERSION: &str = "2026-10-21";
/// What everyone who imitates the protocol imitates.
const COMMON_VERSION: &str = "2023-06-01";

/// How a provider of the Messages protocol is reached.
#[derive(Clone, Debug)]
pub struct AnthropicSettings {
    /// The name before the slash of `PROVIDER/MODEL`.
    pub name: String,
    /// Where the server is, with or without a final `/v1`.
    pub base_url: String,
    /// The key; servers at home often need none.
    pub api_key: Option<SecretString>,
    /// The protocol's version; by default the newest for Anthropic, the common one for others.
    pub version: Option<String>,
    /// How the key is sent; by default as the version wants it.
    pub auth: Option<Auth>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl Default for AnthropicSettings {
    fn default() -> Self {
        Self {
            name: "anthropic".to_owned(),
            base_url: format!("https://{HOST}"),
            api_key: None,
            version: None,
            auth: None,
            timeouts: Timeouts::default(),
        }
    }
}

/// A provider that speaks Anthropic's Messages protocol.
#[derive(Debug)]
pub struct Anthropic {
    endpoint: Endpoint,
    dialect: Dialect,
}

impl Anthropic {
    /// Makes a provider; nothing is connected before the first request.
    pub fn new(settings: AnthropicSettings) -> Result<Self, LlmError> {
        let base_url = settings.base_url.trim().trim_end_matches('/');
        let base_url = base_url.strip_suffix("/v1").unwrap_or(base_url);
        let endpoint = Endpoint::new(settings.name, base_url, settings.timeouts)?;
        let version = settings.version.unwrap_or_else(|| {
            let is_original = endpoint.host() == HOST;
            let version = if is_original {
                NEWEST_VERSION
            } else {
                COMMON_VERSION
            };
            version.to_owned()
        });
        let Ok(version_header) = HeaderValue::from_str(&version) else {
            let message = "`version` is no version: it looks like 2023-06-01";
            return Err(LlmError::new(
                endpoint.provider(),
                ErrorKind::Config,
                message,
            ));
        };
        // Versions are dates, which sort as text does.
        let is_new = version.as_str() >= NEWEST_VERSION;
        let auth = settings
            .auth
            .unwrap_or(if is_new { Auth::Bearer } else { Auth::XApiKey });
        let mut endpoint =
            endpoint.header(HeaderName::from_static("anthropic-version"), version_header);
        if let Some(key) = &settings.api_key {
            endpoint = match auth {
                Auth::XApiKey => {
                    endpoint.secret_header(HeaderName::from_static("x-api-key"), "", key)?
                }
                Auth::Bearer => endpoint.secret_header(AUTHORIZATION, "Bearer ", key)?,
            };
        }
        let dialect = Dialect {
            accepts_sampling: !is_new,
        };
        Ok(Self { endpoint, dialect })
    }
}

#[async_trait]
impl LlmProvider for Anthropic {
    fn name(&self) -> &str {
        self.endpoint.provider()
    }

    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        let provider = self.endpoint.provider();
        let origin = format!("{provider}/{}", request.model);
        let body = request::body(&request, &origin, self.dialect);
        if body.is_empty() {
            let message = "there is nothing to send: every message is empty";
            return Err(LlmError::new(provider, ErrorKind::InvalidRequest, message));
        }
        let body = serde_json::to_vec(&body).expect("keys are strings and blocks are objects");
        let answer = Box::new(Answer::new(provider, origin, &request.messages));
        http::open_stream(
            &self.endpoint,
            "v1/messages",
            body,
            answer,
            refusal::parse,
            cancel,
        )
        .await
    }
}
