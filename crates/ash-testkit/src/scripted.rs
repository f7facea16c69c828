//! A model in the same process that answers by a script and refuses what providers refuse.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ash_llm::{ErrorKind, LlmError, LlmEvent, LlmProvider, LlmStream, Request, StopReason};
use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, End};
use crate::history::{check_frame, check_history, check_request};

/// A provider named `scripted` that gives its [`Answer`]s in order. Clones share one script.
///
/// A request that some provider would refuse fails with [`ErrorKind::InvalidRequest`], uses up no
/// answer, and is told by [`ScriptedModel::violations`]; so is a request that nothing was scripted for.
#[derive(Clone)]
pub struct ScriptedModel {
    name: Arc<str>,
    shared: Arc<Shared>,
}

struct Shared {
    // A lock and no task: tests look in from the outside, synchronously.
    state: Mutex<State>,
    responder: Mutex<Option<Responder>>,
    requests: watch::Sender<usize>,
    gate: Semaphore,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
    violations: Vec<String>,
    paused: bool,
}

type Responder = Box<dyn FnMut(&Request) -> Answer + Send>;

impl ScriptedModel {
    /// Makes a model that gives these answers, one a request.
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let state = State {
            answers: answers.into_iter().collect(),
            ..State::default()
        };
        Self {
            name: "scripted".into(),
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                responder: Mutex::new(None),
                requests: watch::Sender::new(0),
                gate: Semaphore::new(0),
            }),
        }
    }

    /// Makes a model that asks `responder` whenever no pushed answer is left.
    pub fn with(responder: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let model = Self::new([]);
        *lock(&model.shared.responder) = Some(Box::new(responder));
        model
    }

    /// Gives it another provider name, to tell two of them apart.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Adds an answer to the end of the script.
    pub fn push(&self, answer: Answer) {
        lock(&self.shared.state).answers.push_back(answer);
    }

    /// Returns every request so far, the refused ones too.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.state).requests.clone()
    }

    /// Returns what was wrong with requests so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.state).violations.clone()
    }

    /// Returns the number of answers that nobody has asked for yet.
    pub fn answers_left(&self) -> usize {
        lock(&self.shared.state).answers.len()
    }

    /// Waits until `count` requests have come since the start.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        // Losing the sender is impossible: `self` holds it.
        let _ = requests.wait_for(|&seen| seen >= count).await;
    }

    /// Lets one [`Answer::held`] go on, now or when it gets there.
    pub fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> LlmError {
        LlmError::new(&*self.name, kind, message)
    }

    /// Finds the answer, or says what was wrong.
    fn answer(&self, request: &Request) -> Result<Answer, String> {
        let number = {
            let mut state = lock(&self.shared.state);
            state.requests.push(request.clone());
            let checked = if state.paused {
                // A paused turn is continued by sending the assistant's message back as the last one.
                check_history(&request.messages).and_then(|()| check_frame(request))
            } else {
                check_request(request)
            };
            checked?;
            if let Some(answer) = state.answers.pop_front() {
                state.paused = answer.stop == Some(StopReason::Pause);
                return Ok(answer);
            }
            state.requests.len()
        };
        let mut responder = lock(&self.shared.responder);
        let answer = responder.as_mut().map(|responder| responder(request));
        let answer = answer.ok_or_else(|| format!("request {number} has no scripted answer"))?;
        lock(&self.shared.state).paused = answer.stop == Some(StopReason::Pause);
        Ok(answer)
    }
}

#[async_trait]
impl LlmProvider for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(
        &self,
        request: Request,
        cancel: CancellationToken,
    ) -> Result<LlmStream, LlmError> {
        if cancel.is_cancelled() {
            return Err(self.error(ErrorKind::Cancelled, "cancelled"));
        }
        let answer = self.answer(&request).map_err(|violation| {
            let error = self.error(ErrorKind::InvalidRequest, violation.clone());
            lock(&self.shared.state).violations.push(violation);
            error
        });
        self.shared.requests.send_modify(|count| *count += 1);
        let answer = answer?;
        if let Some(error) = answer.refusal {
            return Err(LlmError {
                provider: self.name.to_string(),
                ..error
            });
        }
        Ok(play(self.clone(), request.model, answer, cancel))
    }
}

fn play(
    model: ScriptedModel,
    asked: String,
    answer: Answer,
    cancel: CancellationToken,
) -> LlmStream {
    let cancelled = model.error(ErrorKind::Cancelled, "cancelled");
    Box::pin(async_stream::stream! {
        for event in answer.deltas() {
            if cancel.is_cancelled() {
                yield Err(cancelled);
                return;
            }
            yield Ok(event);
            // The reader gets a turn between any two events, as with a socket.
            tokio::task::yield_now().await;
        }
        if answer.held {
            tokio::select! {
                // Nothing is lost with the losing branch: an unused permit stays.
                () = cancel.cancelled() => {}
                permit = model.shared.gate.acquire() => {
                    permit.expect("the gate is never closed").forget();
                }
            }
        }
        if cancel.is_cancelled() {
            yield Err(cancelled);
            return;
        }
        match &answer.end {
            End::Done => {
                let origin = format!("{}/{asked}", model.name);
                yield Ok(LlmEvent::Done(answer.completion(origin)));
            }
            End::Error(error) => yield Err(LlmError { provider: model.name.to_string(), ..error.clone() }),
            End::Hang => {
                cancel.cancelled().await;
                yield Err(cancelled);
            }
            End::Silence => {}
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
