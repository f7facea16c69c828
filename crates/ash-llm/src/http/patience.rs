//! How long a call waits, and who may end it.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Timeouts;
use crate::{ErrorKind, LlmError};

/// The limits of one call. Every wait of the call goes through it.
pub(super) struct Patience {
    provider: String,
    timeouts: Timeouts,
    deadline: Instant,
    cancel: CancellationToken,
}

enum Ended<T> {
    Ready(T),
    Cancelled,
    TimedOut,
}

impl Patience {
    /// Starts the clock.
    pub(super) fn new(provider: String, timeouts: Timeouts, cancel: CancellationToken) -> Self {
        let now = Instant::now();
        Self {
            provider,
            timeouts,
            deadline: later(now, timeouts.total),
            cancel,
        }
    }

    /// Waits for one thing, and not longer than allowed.
    pub(super) async fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, LlmError> {
        let idle = later(Instant::now(), self.timeouts.idle);
        // The future is dropped when it loses; then the call is over and nothing is read any more.
        let ended = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Ended::Cancelled,
            value = future => Ended::Ready(value),
            () = sleep_until(idle.min(self.deadline)) => Ended::TimedOut,
        };
        match ended {
            Ended::Ready(value) => Ok(value),
            Ended::Cancelled => Err(self.fail(ErrorKind::Cancelled, "cancelled")),
            Ended::TimedOut if idle < self.deadline => {
                let idle = self.timeouts.idle.as_secs_f32();
                Err(self.fail(
                    ErrorKind::Timeout,
                    &format!("nothing came for {idle} seconds"),
                ))
            }
            Ended::TimedOut => {
                let total = self.timeouts.total.as_secs_f32();
                let message = format!("the call took longer than {total} seconds");
                Err(self.fail(ErrorKind::Timeout, &message))
            }
        }
    }

    /// Makes an error of the call's provider.
    pub(super) fn fail(&self, kind: ErrorKind, message: &str) -> LlmError {
        LlmError::new(self.provider.clone(), kind, message)
    }
}

/// Adds without overflow: a person may set a timeout of any length.
fn later(now: Instant, duration: Duration) -> Instant {
    const A_YEAR: Duration = Duration::from_hours(365 * 24);
    now + duration.min(A_YEAR)
}
