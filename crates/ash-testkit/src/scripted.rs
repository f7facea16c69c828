//! A model in the same process that answers by a script and refuses what providers refuse.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ash_llm::{
    Completion, Content, ErrorKind, LlmError, LlmEvent, LlmProvider, LlmStream, Message, Request,
    Role, StopReason, ToolCall, Usage,
};
use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

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

/// What a [`ScriptedModel`] answers.
#[derive(Clone, Debug)]
pub struct Answer {
    content: Vec<Content>,
    delta: usize,
    refusal: Option<LlmError>,
    held: bool,
    end: End,
    stop: Option<StopReason>,
    usage: Usage,
}

#[derive(Clone, Debug)]
enum End {
    Done,
    Error(LlmError),
    Hang,
    Silence,
}

impl Answer {
    /// Answers with these parts.
    pub fn content(content: impl IntoIterator<Item = Content>) -> Self {
        Self {
            content: content.into_iter().collect(),
            delta: 4,
            refusal: None,
            held: false,
            end: End::Done,
            stop: None,
            usage: Usage {
                input: 10,
                output: 5,
                ..Usage::default()
            },
        }
    }

    /// Answers with words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::content([]).and_text(text)
    }

    /// Answers with a tool call.
    pub fn tool_call(id: &str, name: &str, arguments: Value) -> Self {
        Self::content([]).and_tool_call(id, name, arguments)
    }

    /// Fails before any event, as a status code does.
    pub fn error(kind: ErrorKind) -> Self {
        Self::failure(LlmError::new("", kind, format!("scripted: {kind:?}")))
    }

    /// Fails before any event with this error, whose provider is filled in.
    pub fn failure(error: LlmError) -> Self {
        Self {
            refusal: Some(error),
            ..Self::content([])
        }
    }

    /// Says nothing until it is cancelled.
    pub fn hang() -> Self {
        Self::content([]).then_hang()
    }

    /// Adds words.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.and(Content::Text { text: text.into() })
    }

    /// Adds a tool call. `arguments` must be an object.
    #[must_use]
    pub fn and_tool_call(self, id: &str, name: &str, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else {
            panic!("the arguments of {name} must be an object: {arguments}");
        };
        self.and(Content::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments,
        }))
    }

    /// Adds signed thinking.
    #[must_use]
    pub fn and_thinking(self, text: &str) -> Self {
        self.and(Content::Thinking {
            text: text.into(),
            signature: Some(format!("scripted-{}", text.len())),
        })
    }

    /// Adds any part.
    #[must_use]
    pub fn and(mut self, part: Content) -> Self {
        self.content.push(part);
        self
    }

    /// Sends words in deltas of `size` characters (4 unless told).
    #[must_use]
    pub fn chunked(mut self, size: usize) -> Self {
        self.delta = size.max(1);
        self
    }

    /// Waits, after the deltas and before the end, for [`ScriptedModel::release`] or cancellation.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Stops for this reason; with [`StopReason::Length`] the reply is cut off, calls and all.
    #[must_use]
    pub fn stop(mut self, reason: StopReason) -> Self {
        self.stop = Some(reason);
        self
    }

    /// Reports this usage.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Fails after the deltas, instead of the last event.
    #[must_use]
    pub fn then_error(mut self, kind: ErrorKind) -> Self {
        self.end = End::Error(LlmError::new("", kind, format!("scripted: {kind:?}")));
        self
    }

    /// Says no more after the deltas, until it is cancelled.
    #[must_use]
    pub fn then_hang(mut self) -> Self {
        self.end = End::Hang;
        self
    }

    /// Ends the stream after the deltas without a last event, which no provider should do.
    #[must_use]
    pub fn then_silence(mut self) -> Self {
        self.end = End::Silence;
        self
    }

    fn deltas(&self) -> Vec<LlmEvent> {
        let mut events = Vec::new();
        for part in &self.content {
            let (text, event): (&str, fn(String) -> LlmEvent) = match part {
                Content::Text { text } => (text, LlmEvent::TextDelta),
                Content::Thinking { text, .. } => (text, LlmEvent::ThinkingDelta),
                Content::Context { .. }
                | Content::Image { .. }
                | Content::ToolCall(_)
                | Content::ToolResult(_)
                | Content::Opaque { .. } => continue,
            };
            let letters: Vec<char> = text.chars().collect();
            events.extend(
                letters
                    .chunks(self.delta)
                    .map(|piece| event(piece.iter().collect())),
            );
        }
        events
    }

    fn completion(&self, origin: String) -> Completion {
        let message = Message {
            role: Role::Assistant,
            content: self.content.clone(),
            origin: Some(origin),
        };
        let stop = self.stop.clone().unwrap_or_else(|| {
            if message.tool_calls().next().is_some() {
                StopReason::ToolUse
            } else {
                StopReason::End
            }
        });
        Completion {
            message,
            stop,
            usage: self.usage,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
