//! Asks a second model when the first cannot answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::retry::{is_visible, silent_end};
use crate::{ErrorKind, LlmError, LlmEvent, LlmProvider, LlmStream, Model, Request};

/// How long the first model is left alone after its retries were in vain. Without it, each step of a
/// turn would wait for all of them again.
const REST: Duration = Duration::from_mins(1);

/// A provider that asks one model, and another one if that fails before anything was shown.
///
/// The change is announced by [`LlmEvent::FellBack`], and the answer's origin says who gave it. The other
/// model is asked when the first is out of reach, overloaded, broken, unknown, not paid or refuses the
/// key. It is not asked when the request itself is at fault, which another model would only hide; nor
/// when the conversation is too long, which is answered by shortening it.
pub struct Fallback {
    primary: Model,
    secondary: Model,
    rest: Arc<Mutex<Option<(Instant, LlmError)>>>,
}

impl Fallback {
    /// Pairs two models. A request names a model of the first one's provider.
    pub fn new(primary: Model, secondary: Model) -> Self {
        Self {
            primary,
            secondary,
            rest: Arc::default(),
        }
    }

    /// Returns why the first model is not asked just now.
    fn resting(&self) -> Option<LlmError> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, error) = rest.as_ref()?;
        (Instant::now() < *until).then(|| error.clone())
    }
}

#[async_trait]
impl LlmProvider for Fallback {
    fn name(&self) -> &str {
        self.primary.provider.name()
    }

    async fn stream(
        &self,
        mut request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        let rest = Arc::clone(&self.rest);
        let (primary, secondary) = (self.primary.clone(), self.secondary.clone());
        // Why the first model is not asked, or not any more.
        let mut failed = self.resting();
        if request.model.is_empty() {
            request.model.clone_from(&primary.name);
        }
        Ok(Box::pin(async_stream::stream! {
            loop {
                let model = if let Some(error) = &failed {
                    yield Ok(LlmEvent::FellBack {
                        error: error.to_string(),
                        to: secondary.id(),
                    });
                    request.model.clone_from(&secondary.name);
                    &secondary
                } else {
                    &primary
                };
                let mut was_shown = false;
                let error = match model.provider.stream(request.clone(), cancel.clone()).await {
                    Err(error) => error,
                    Ok(mut events) => loop {
                        match events.next().await {
                            None => break silent_end(model.provider.name()),
                            Some(Err(error)) => break error,
                            Some(Ok(event)) => {
                                was_shown |= is_visible(&event);
                                let is_last = matches!(event, LlmEvent::Done(_));
                                yield Ok(event);
                                if is_last {
                                    return;
                                }
                            }
                        }
                    },
                };
                match failed.take() {
                    _ if was_shown || error.is_cancelled() => {
                        yield Err(error);
                        return;
                    }
                    Some(first) => {
                        yield Err(both(first, &error, &secondary.id()));
                        return;
                    }
                    None if another_may_answer(error.kind) => {
                        // What does not pass by itself fails at once, and soon someone mends it.
                        if error.is_retryable() {
                            let until = Instant::now() + REST;
                            *rest.lock().unwrap_or_else(PoisonError::into_inner) =
                                Some((until, error.clone()));
                        }
                        failed = Some(error);
                    }
                    None => {
                        yield Err(error);
                        return;
                    }
                }
            }
        }))
    }
}

fn another_may_answer(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::RateLimited
        | ErrorKind::Overloaded
        | ErrorKind::Server
        | ErrorKind::Connect
        | ErrorKind::Timeout
        | ErrorKind::CutOff
        | ErrorKind::Protocol
        | ErrorKind::Auth
        | ErrorKind::Quota
        | ErrorKind::NotFound => true,
        ErrorKind::InvalidRequest
        | ErrorKind::ContextOverflow
        | ErrorKind::Cancelled
        | ErrorKind::Config => false,
    }
}

/// Tells of both failures. The first is the one to mend; trying again helps if it helps with either.
fn both(mut first: LlmError, second: &LlmError, name: &str) -> LlmError {
    first.retryable = Some(first.is_retryable() || second.is_retryable());
    first.message = format!(
        "{}; instead of it, {name} failed too: {second}",
        first.message
    );
    first
}
