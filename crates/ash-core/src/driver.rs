//! The small loop that does what a [`Turn`] decides, and the waiting.
//!
//! Whatever the turn adds to the conversation is stored before the next step is taken and before
//! anybody is told.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ash_llm::{Completion, ErrorKind, LlmError, LlmEvent, Model, Request, ToolCall, ToolResult};
use ash_memory::{
    Answer, ApprovalId, InboxState, Lease, MemoryError, NewApproval, NewOutbox, OutboxId, Record,
    TokenUsage, ToolExecutionId, Viewer,
};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::approval::{Approvals, Decision};
use crate::event::Finished;
use crate::session::{Key, Speaker};
use crate::tool::{Tool, ToolContext, ToolError, ToolOutput};
use crate::turn::{Step, Turn};
use crate::{Agent, Event, Outcome, Words, history, untrusted};

/// How many tools run at the same time.
const PARALLEL_TOOLS: usize = 8;

/// How long a tool may tidy up after it was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What one run of a turn needs besides the turn.
pub(crate) struct Run<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) model: &'a Model,
    pub(crate) key: &'a Key,
    pub(crate) speaker: &'a Speaker<'a>,
    /// All is written through it, so that a process that lost the session writes nothing.
    pub(crate) lease: &'a Lease,
    pub(crate) viewer: Viewer,
    pub(crate) author: Option<String>,
    pub(crate) steering: &'a mut mpsc::Receiver<Words>,
    pub(crate) approvals: &'a mut Approvals,
    pub(crate) cancel: CancellationToken,
    /// Facts that go into the next transaction with the messages.
    pub(crate) facts: Vec<Record>,
    /// What is told once the facts are stored.
    pub(crate) news: Vec<Event>,
    /// The system prompt and the tools, which stay the same during a turn.
    pub(crate) request: Request,
}

impl Run<'_> {
    pub(crate) async fn drive(mut self, turn: &mut Turn) -> Result<Finished, MemoryError> {
        loop {
            let step = turn.next_step();
            if let Step::Finished(outcome) = step {
                return self.finish(turn, outcome).await;
            }
            if self.cancel.is_cancelled() {
                turn.stop("");
                continue;
            }
            match step {
                Step::CallModel => {
                    self.save(turn).await?;
                    self.call_model(turn).await;
                }
                Step::AskApproval(calls) => {
                    self.save(turn).await?;
                    let denied = self.ask_owner(turn, calls).await?;
                    turn.on_decisions(denied);
                }
                Step::RunTools(calls) => {
                    let results = self.run_tools(turn, calls).await?;
                    self.take_steering(turn);
                    turn.on_results(results);
                }
                Step::Finished(_) => {}
            }
        }
    }

    async fn call_model(&mut self, turn: &mut Turn) {
        let mut partial = String::new();
        match self.ask(turn, &mut partial).await {
            Ok(completion) => {
                let model = completion
                    .message
                    .origin
                    .clone()
                    .unwrap_or_else(|| self.model.id());
                self.note_usage(model, &completion);
                self.take_steering(turn);
                let agent = self.agent;
                let approvals = &*self.approvals;
                turn.on_completion(completion, |call| approvals.asks(agent, call));
            }
            Err(error) if error.is_cancelled() || self.cancel.is_cancelled() => turn.stop(&partial),
            Err(error) => {
                tracing::warn!(%error, "model call failed");
                turn.fail(&partial, error.to_string(), error.hint().to_owned());
            }
        }
    }

    async fn ask(&self, turn: &Turn, partial: &mut String) -> Result<Completion, LlmError> {
        let mut request = self.request.clone();
        request.messages = turn.messages().to_vec();
        let mut events = self
            .model
            .provider
            .stream(request, self.cancel.clone())
            .await?;
        loop {
            // The stream ends by itself when the token is cancelled; this covers one that does not.
            let event = tokio::select! {
                event = events.next() => event,
                () = grace_after(&self.cancel) => None,
            };
            match event {
                Some(Ok(LlmEvent::TextDelta(text))) => {
                    partial.push_str(&text);
                    self.tell(Event::TextDelta(text)).await;
                }
                Some(Ok(LlmEvent::ThinkingDelta(text))) => {
                    self.tell(Event::ThinkingDelta(text)).await;
                }
                Some(Ok(LlmEvent::Retrying { error, delay })) => {
                    let seconds = delay.as_secs_f32();
                    self.tell(Event::Notice(format!(
                        "{error}; trying again in {seconds:.1} s"
                    )))
                    .await;
                }
                Some(Ok(LlmEvent::FellBack { error, to })) => {
                    self.tell(Event::Notice(format!("{error}; asking {to} instead")))
                        .await;
                }
                Some(Ok(LlmEvent::Done(completion))) => return Ok(completion),
                Some(Err(error)) => return Err(error),
                None => {
                    return Err(LlmError::new(
                        self.model.provider.name(),
                        ErrorKind::CutOff,
                        "the stream ended before the answer was complete",
                    ));
                }
            }
        }
    }

    fn note_usage(&mut self, model: String, completion: &Completion) {
        let usage = completion.usage;
        let cost_micros = ash_llm::cost(&model, &usage).map(ash_llm::Cost::micro_dollars);
        self.facts.push(Record::Usage {
            session: self.speaker.session.clone(),
            turn: Some(self.speaker.turn.clone()),
            model: model.clone(),
            tokens: TokenUsage {
                input: usage.input,
                output: usage.output,
                cache_read: usage.cache_read,
                cache_write: usage.cache_write,
            },
            cost_micros,
        });
        self.news.push(Event::Usage {
            model,
            usage,
            cost_micros,
        });
    }

    /// Gives the words that came in meanwhile to the turn. Their rows are done with the transaction
    /// that stores them, because from then on they are answered with this turn.
    fn take_steering(&mut self, turn: &mut Turn) {
        while let Ok(words) = self.steering.try_recv() {
            turn.steer(words.content);
            self.facts
                .push(Record::Inbox(words.inbox, InboxState::Done));
            self.news.push(Event::Steered);
        }
    }

    async fn ask_owner(
        &mut self,
        turn: &Turn,
        calls: Vec<ToolCall>,
    ) -> Result<HashMap<String, String>, MemoryError> {
        debug_assert!(turn.unsaved().is_empty());
        let mut denied = HashMap::new();
        for call in calls {
            let id = ApprovalId::generate();
            let question = NewApproval {
                id: id.clone(),
                session: self.speaker.session.clone(),
                turn: Some(self.speaker.turn.clone()),
                call_id: Some(call.id.clone()),
                question: serde_json::json!({ "tool": call.name, "arguments": call.arguments }),
            };
            self.agent.memory().ask(question).await?;
            self.tell(Event::ApprovalNeeded {
                id: id.clone(),
                call: call.clone(),
            })
            .await;
            let decision = self.approvals.wait(&id, &self.cancel).await;
            let answer = match decision {
                Decision::Once | Decision::Session => Answer::Approved,
                Decision::Deny => Answer::Denied,
            };
            self.agent.memory().answer(&id, answer, None).await?;
            match decision {
                Decision::Once => {}
                Decision::Session => self.approvals.allow(&call.name),
                Decision::Deny => {
                    denied.insert(
                        call.id,
                        "not run: the owner said no; do not try again unless asked".to_owned(),
                    );
                }
            }
        }
        Ok(denied)
    }

    /// Stores the intent of each call, then runs them, then returns the results in call order.
    async fn run_tools(
        &mut self,
        turn: &mut Turn,
        calls: Vec<ToolCall>,
    ) -> Result<Vec<ToolResult>, MemoryError> {
        let mut jobs = Vec::with_capacity(calls.len());
        for call in calls {
            let id = ToolExecutionId::generate();
            self.facts.push(Record::ToolStarted {
                id: id.clone(),
                session: self.speaker.session.clone(),
                turn: Some(self.speaker.turn.clone()),
                call_id: Some(call.id.clone()),
                tool: call.name.clone(),
                input: serde_json::Value::Object(call.arguments.clone()),
            });
            jobs.push((id, call));
        }
        self.save(turn).await?;
        let mut results = Vec::with_capacity(jobs.len());
        for batch in batches(self.agent, jobs) {
            let done: Vec<Result<ToolResult, MemoryError>> = stream::iter(batch)
                .map(|(id, call)| self.run_tool(id, call))
                .buffered(PARALLEL_TOOLS)
                .collect()
                .await;
            for result in done {
                results.push(result?);
            }
        }
        Ok(results)
    }

    async fn run_tool(
        &self,
        id: ToolExecutionId,
        call: ToolCall,
    ) -> Result<ToolResult, MemoryError> {
        self.tell(Event::ToolStarted { call: call.clone() }).await;
        let started = tokio::time::Instant::now();
        let outcome = match self.agent.tools().get(&call.name) {
            Some(tool) => self.call(tool, &call).await,
            None => Err(ToolError::new(format!(
                "there is no tool named {:?}; the tools are: {}",
                call.name,
                self.agent.tools().names().collect::<Vec<_>>().join(", ")
            ))),
        };
        let duration = started.elapsed();
        let success = outcome.is_ok();
        let content = match outcome {
            Ok(output) => untrusted::wrap(&call.name, output.content),
            Err(error) => ToolOutput::text(error.to_string()).content,
        };
        self.lease
            .record(vec![Record::ToolFinished {
                id,
                output: serde_json::to_string(&content).unwrap_or_default(),
                success,
                duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            }])
            .await?;
        self.tell(Event::ToolFinished {
            call_id: call.id.clone(),
            name: call.name,
            success,
            duration,
        })
        .await;
        Ok(ToolResult {
            call_id: call.id,
            content,
            is_error: !success,
        })
    }

    async fn call(&self, tool: &Arc<dyn Tool>, call: &ToolCall) -> Result<ToolOutput, ToolError> {
        let ctx = ToolContext {
            viewer: self.viewer.clone(),
            turn: self.speaker.turn.clone(),
            cancel: self.cancel.child_token(),
        };
        let work = AssertUnwindSafe(tool.call(&ctx, call.arguments.clone())).catch_unwind();
        tokio::select! {
            result = work => result.unwrap_or_else(|_| {
                tracing::error!(tool = call.name, "tool panicked");
                Err(ToolError::new("the tool broke down; this is a fault of Ash, try another way"))
            }),
            // Dropping the call is safe: it has had the token and the time to tidy up.
            () = grace_after(&self.cancel) => {
                Err(ToolError::new(history::OUTCOME_UNKNOWN))
            }
        }
    }

    /// Stores what the turn added, with the facts that belong to it, in one transaction, and then
    /// tells of it.
    async fn save(&mut self, turn: &mut Turn) -> Result<(), MemoryError> {
        let mut records: Vec<Record> = Vec::new();
        let mut news = Vec::new();
        for message in turn.unsaved() {
            let author = (message.role == ash_llm::Role::User)
                .then_some(self.author.as_deref())
                .flatten();
            records.push(Record::Message(history::to_stored(
                message,
                &self.speaker.session,
                &self.speaker.turn,
                author,
            )));
            if message.role == ash_llm::Role::Assistant {
                let text = message.text();
                if !text.is_empty() {
                    news.push(Event::Message { text });
                }
            }
        }
        records.append(&mut self.facts);
        if !records.is_empty() {
            self.lease.record(records).await?;
        }
        turn.saved();
        news.append(&mut self.news);
        for event in news {
            self.tell(event).await;
        }
        Ok(())
    }

    async fn finish(&mut self, turn: &mut Turn, outcome: Outcome) -> Result<Finished, MemoryError> {
        let delivery = OutboxId::generate();
        let reply = turn.answer();
        self.facts.push(Record::Outbox(NewOutbox {
            id: delivery.clone(),
            session: Some(self.speaker.session.clone()),
            turn: Some(self.speaker.turn.clone()),
            channel: self.key.provider.clone(),
            chat_id: self.key.chat_id.clone(),
            content: reply.clone(),
            reply_to: None,
            metadata: serde_json::Map::new(),
        }));
        self.facts.push(Record::Inbox(
            self.speaker.turn.clone(),
            match outcome {
                Outcome::Failed { .. } => InboxState::Failed,
                _ => InboxState::Done,
            },
        ));
        self.save(turn).await?;
        Ok(Finished {
            outcome,
            reply,
            delivery: Some(delivery),
        })
    }

    async fn tell(&self, event: Event) {
        self.speaker.tell(event).await;
    }
}

/// Splits calls into groups that may run at the same time, in order.
fn batches(
    agent: &Agent,
    jobs: Vec<(ToolExecutionId, ToolCall)>,
) -> Vec<Vec<(ToolExecutionId, ToolCall)>> {
    let mut batches: Vec<Vec<(ToolExecutionId, ToolCall)>> = Vec::new();
    let mut last_was_open = false;
    for job in jobs {
        let open = agent
            .tools()
            .get(&job.1.name)
            .is_none_or(|tool| tool.runs_beside_others());
        match batches.last_mut() {
            Some(batch) if open && last_was_open => batch.push(job),
            _ => batches.push(vec![job]),
        }
        last_was_open = open;
    }
    batches
}

async fn grace_after(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
