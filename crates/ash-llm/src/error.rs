//! What can go wrong between Ash and a model.

use std::time::Duration;

/// A failed call, told so that a person knows which provider, what happened and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{provider}{}: {message}", status.map(|s| format!(" (HTTP {s})")).unwrap_or_default())]
pub struct LlmError {
    /// The provider's name, as in `PROVIDER/MODEL`.
    pub provider: String,
    /// What went wrong, for the caller.
    pub kind: ErrorKind,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// What was said, in one line, without secrets.
    pub message: String,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// The provider's name for the request, for its support.
    pub request_id: Option<String>,
    /// What the provider says about trying again, where it says so; overrules the kind.
    pub retryable: Option<bool>,
}

/// What went wrong, by what a caller does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The key is missing, wrong or not allowed to do this.
    Auth,
    /// No credit, or a spending limit is reached.
    Quota,
    /// Too many requests just now.
    RateLimited,
    /// The provider is overloaded.
    Overloaded,
    /// The provider failed.
    Server,
    /// The provider could not be reached.
    Connect,
    /// Nothing came for too long.
    Timeout,
    /// The stream ended before its terminal event.
    CutOff,
    /// What came is not what the protocol says.
    Protocol,
    /// The provider refuses the request as malformed.
    InvalidRequest,
    /// There is no such model, or no such address.
    NotFound,
    /// The conversation is longer than the model can read.
    ContextOverflow,
    /// The caller cancelled.
    Cancelled,
    /// The settings do not name a usable model.
    Config,
}

impl LlmError {
    /// Makes an error with neither status nor waiting time.
    pub fn new(provider: impl Into<String>, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            kind,
            status: None,
            message: message.into(),
            retry_after: None,
            request_id: None,
            retryable: None,
        }
    }

    /// Tells whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        if let Some(retryable) = self.retryable {
            return retryable;
        }
        match self.kind {
            ErrorKind::RateLimited
            | ErrorKind::Overloaded
            | ErrorKind::Server
            | ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::CutOff
            | ErrorKind::Protocol => true,
            ErrorKind::Auth
            | ErrorKind::Quota
            | ErrorKind::InvalidRequest
            | ErrorKind::NotFound
            | ErrorKind::ContextOverflow
            | ErrorKind::Cancelled
            | ErrorKind::Config => false,
        }
    }

    /// Tells whether the key is the trouble.
    pub fn is_auth(&self) -> bool {
        self.kind == ErrorKind::Auth
    }

    /// Tells whether the conversation must be shortened.
    pub fn is_context_overflow(&self) -> bool {
        self.kind == ErrorKind::ContextOverflow
    }

    /// Tells whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.kind == ErrorKind::Cancelled
    }

    /// Returns what the person can do about it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            ErrorKind::Auth => {
                "check the provider's API key (`ash doctor` shows where it comes from)"
            }
            ErrorKind::Quota => {
                "check the billing page of the provider, or switch models with `--model`"
            }
            ErrorKind::RateLimited | ErrorKind::Overloaded => {
                "wait a little and try again, or set `[fallback_llm]`"
            }
            ErrorKind::Server => "try again later, or set `[fallback_llm]`",
            ErrorKind::Connect => "check the network and the provider's `base_url`",
            ErrorKind::Timeout | ErrorKind::CutOff => {
                "try again; if it persists, check the network"
            }
            ErrorKind::Protocol => {
                "check that `base_url` names a server of the configured protocol (`api`, `version`)"
            }
            ErrorKind::InvalidRequest => {
                "check `model` and the settings sent with it (`temperature`, `max_tokens`)"
            }
            ErrorKind::NotFound => "check the model's name and the provider's `base_url`",
            ErrorKind::ContextOverflow => "start afresh with `/new`",
            ErrorKind::Cancelled => "ask again",
            ErrorKind::Config => "run `ash init`, or see `ash config schema`",
        }
    }
}
