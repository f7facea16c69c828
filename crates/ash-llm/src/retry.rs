//! Asks again when a call fails before anybody has seen a part of its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{ErrorKind, LlmError, LlmEvent, LlmProvider, LlmStream, Request};

/// How stubbornly a failed call is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// The most attempts of one call, the first included.
    pub max_attempts: u32,
    /// How many seconds after its start a call may still be made again. A provider that asks for a
    /// longer pause is not waited for.
    pub deadline: u64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            deadline: 600,
        }
    }
}

/// A provider that asks another one, and again if that fails before anything was shown.
///
/// Each pause is announced by [`LlmEvent::Retrying`]. Calls share what they learn: while a provider
/// asks for a pause, no call of the same `Retrying` bothers it.
pub struct Retrying {
    provider: Arc<dyn LlmProvider>,
    settings: RetrySettings,
    seed: Option<u64>,
    cooldown: Arc<Cooldown>,
}

impl Retrying {
    /// Wraps a provider.
    pub fn new(provider: Arc<dyn LlmProvider>, settings: RetrySettings) -> Self {
        Self {
            provider,
            settings,
            seed: None,
            cooldown: Arc::default(),
        }
    }

    /// Makes the pauses reproducible, which otherwise are spread at random.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

#[async_trait]
impl LlmProvider for Retrying {
    fn name(&self) -> &str {
        self.provider.name()
    }

    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        let provider = Arc::clone(&self.provider);
        let mut policy = Policy::new(self.settings, self.seed, Arc::clone(&self.cooldown));
        Ok(Box::pin(async_stream::stream! {
            let mut pause = match policy.before_first() {
                Ok(pause) => pause,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            loop {
                if let Some(Pause { error, delay }) = pause {
                    yield Ok(LlmEvent::Retrying { error, delay });
                    if cancel.run_until_cancelled(sleep(delay)).await.is_none() {
                        yield Err(cancelled(provider.name()));
                        return;
                    }
                }
                let mut was_shown = false;
                let asked = provider.stream(request.clone(), cancel.clone());
                let error = match cancel.run_until_cancelled(asked).await {
                    None => cancelled(provider.name()),
                    Some(Err(error)) => error,
                    Some(Ok(mut events)) => loop {
                        match cancel.run_until_cancelled(events.next()).await {
                            None => break cancelled(provider.name()),
                            Some(None) => break silent_end(provider.name()),
                            Some(Some(Err(error))) => break error,
                            Some(Some(Ok(event))) => {
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
                if was_shown {
                    yield Err(error);
                    return;
                }
                pause = match policy.after(error) {
                    Ok(pause) => Some(pause),
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
            }
        }))
    }
}

/// Tells whether a person sees it, so that nothing before it can be taken back.
pub(crate) fn is_visible(event: &LlmEvent) -> bool {
    match event {
        LlmEvent::TextDelta(_) | LlmEvent::ThinkingDelta(_) => true,
        LlmEvent::Retrying { .. } | LlmEvent::FellBack { .. } | LlmEvent::Done(_) => false,
    }
}

pub(crate) fn cancelled(provider: &str) -> LlmError {
    LlmError::new(provider, ErrorKind::Cancelled, "cancelled")
}

/// A stream must not end so; nevertheless nobody waits for ever because one did.
pub(crate) fn silent_end(provider: &str) -> LlmError {
    let message = "the answer ended before it was complete";
    LlmError::new(provider, ErrorKind::CutOff, message)
}

struct Pause {
    /// Why.
    error: String,
    delay: Duration,
}

/// Decides for one call whether and when it is made again.
struct Policy {
    settings: RetrySettings,
    started: Instant,
    attempts: u32,
    delays: ExponentialBackoff,
    cooldown: Arc<Cooldown>,
}

impl Policy {
    fn new(settings: RetrySettings, seed: Option<u64>, cooldown: Arc<Cooldown>) -> Self {
        // Half a second, doubled up to eight; each shortened by up to a half, at random.
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(4))
            .without_max_times()
            .with_jitter();
        if let Some(seed) = seed {
            delays = delays.with_jitter_seed(seed);
        }
        Self {
            settings,
            started: Instant::now(),
            attempts: 0,
            delays: delays.build(),
            cooldown,
        }
    }

    /// Decides about the first attempt: another call may have been asked to wait just now.
    fn before_first(&mut self) -> Result<Option<Pause>, LlmError> {
        let Some((left, error)) = self.cooldown.left() else {
            return Ok(None);
        };
        let delay = left + self.spread();
        self.pause(error, delay).map(Some)
    }

    /// Decides after a failed attempt that showed nothing.
    fn after(&mut self, mut error: LlmError) -> Result<Pause, LlmError> {
        self.attempts += 1;
        let backoff = self.spread();
        let wanted = error.retry_after.unwrap_or(backoff);
        let concerns_all = error.retry_after.is_some()
            || matches!(error.kind, ErrorKind::RateLimited | ErrorKind::Overloaded);
        if !error.is_retryable() {
            return Err(error);
        }
        let others = self.cooldown.left().map(|(left, _)| left + backoff);
        if concerns_all {
            let longest = Duration::from_secs(self.settings.deadline);
            self.cooldown.begin(wanted.min(longest), &error);
        }
        if self.attempts >= self.settings.max_attempts {
            if self.attempts > 1 {
                error.message = format!("{} (tried {} times)", error.message, self.attempts);
            }
            return Err(error);
        }
        self.pause(error, others.map_or(wanted, |others| others.max(wanted)))
    }

    fn pause(&self, mut error: LlmError, delay: Duration) -> Result<Pause, LlmError> {
        let deadline = Duration::from_secs(self.settings.deadline);
        let left = deadline.saturating_sub(self.started.elapsed());
        if delay > left {
            let (delay, left) = (delay.as_secs_f32().ceil(), left.as_secs());
            error.message = format!(
                "{}; it would have to wait {delay} seconds, and only {left} are left",
                error.message
            );
            return Err(error);
        }
        Ok(Pause {
            error: error.to_string(),
            delay,
        })
    }

    /// Returns the next pause of the series, which also keeps calls from waking all at once.
    fn spread(&mut self) -> Duration {
        self.delays.next().expect("the series has no end")
    }
}

/// The pause that a provider asked for, known to all its calls.
#[derive(Default)]
struct Cooldown(Mutex<Option<(Instant, LlmError)>>);

impl Cooldown {
    /// Returns what is left of it and the error that began it.
    fn left(&self) -> Option<(Duration, LlmError)> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, error) = state.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (left, error.clone()))
    }

    /// Begins it, or prolongs the one that runs.
    fn begin(&self, delay: Duration, error: &LlmError) {
        // No clock can count to a date that far, and no provider means it.
        let Some(until) = Instant::now().checked_add(delay) else {
            return;
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.as_ref().is_none_or(|(running, _)| *running < until) {
            *state = Some((until, error.clone()));
        }
    }
}
