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
    Answer, ApprovalId, ChatKind, InboxState, Lease, MemoryError, NewApproval, NewOutbox, OutboxId,
    Record, TokenUsage, ToolExecutionId, Viewer,
};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::approval::{Approvals, Decision};
use crate::event::Finished;
use crate::session::{Key, Queued, Speaker};
use crate::tool::{Tool, ToolContext, ToolError, ToolOutput};
use crate::turn::{Step, Turn};
use crate::{Agent, Event, Outcome, history, untrusted};

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
    pub(crate) steering: &'a mut mpsc::Receiver<Queued>,
    /// Words that the turn has and the database has not. They outlive the run, in case it fails.
    pub(crate) taken: &'a mut Vec<Queued>,
    pub(crate) approvals: &'a mut Approvals,
    /// Ends whatever is waited for.
    pub(crate) cancel: CancellationToken,
    /// Tells that the person wants the turn to end. Without it, a cancelled turn is left as it is,
    /// for the next process to go on with.
    pub(crate) interrupt: CancellationToken,
    /// Facts that go into the next transaction with the messages.
    pub(crate) facts: Vec<Record>,
    /// What is told once the facts are stored.
    pub(crate) news: Vec<Event>,
    /// The system prompt and the tools, which stay the same during a turn.
    pub(crate) request: Request,
}

/// How a run came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    Finished(Finished),
    /// The process leaves in the middle; what was done is stored, and the rest is still to do.
    Left,
}

impl Run<'_> {
    pub(crate) async fn drive(mut self, turn: &mut Turn) -> Result<Ended, MemoryError> {
        loop {
            let step = turn.next_step();
            match step {
                Step::Finished(outcome) => {
                    return self.finish(turn, outcome).await.map(Ended::Finished);
                }
                _ if self.interrupt.is_cancelled() => turn.stop(""),
                _ if self.cancel.is_cancelled() => return Ok(Ended::Left),
                Step::CallModel => {
                    self.save(turn).await?;
                    self.call_model(turn).await;
                }
                Step::AskApproval(calls) => {
                    self.save(turn).await?;
                    if let Some(denied) = self.ask_owner(calls).await? {
                        turn.on_decisions(denied);
                    }
                }
                Step::RunTools(calls) => {
                    let results = self.run_tools(turn, calls).await?;
                    self.take_steering(turn);
                    turn.on_results(results);
                }
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
            Err(_) if self.interrupt.is_cancelled() => turn.stop(&partial),
            // The process leaves, which the loop sees next.
            Err(_) if self.cancel.is_cancelled() => {}
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
    /// that stores them, because from then on they are answered with this turn. Words that come
    /// after an interrupt are not for this turn.
    fn take_steering(&mut self, turn: &mut Turn) {
        if self.cancel.is_cancelled() {
            return;
        }
        while let Ok(queued) = self.steering.try_recv() {
            turn.steer(queued.words.content.clone());
            let done = Record::Inbox(queued.words.inbox.clone(), InboxState::Done);
            self.facts.push(done);
            self.news.push(Event::Steered);
            self.taken.push(queued);
        }
    }

    /// Asks about each call and returns those that must not run, or nothing where the turn ends
    /// before all is answered: that is nobody's no.
    async fn ask_owner(
        &mut self,
        calls: Vec<ToolCall>,
    ) -> Result<Option<HashMap<String, String>>, MemoryError> {
        let memory = self.agent.memory();
        let mut denied = HashMap::new();
        for call in calls {
            // An earlier answer may have been for the whole session.
            if !self.approvals.asks(self.agent, &call) {
                continue;
            }
            let id = ApprovalId::generate();
            let question = NewApproval {
                id: id.clone(),
                session: self.speaker.session.clone(),
                turn: Some(self.speaker.turn.clone()),
                call_id: Some(call.id.clone()),
                question: serde_json::json!({ "tool": call.name, "arguments": call.arguments }),
            };
            self.lease.record(vec![Record::Approval(question)]).await?;
            let asked = Event::ApprovalNeeded {
                id: id.clone(),
                call: call.clone(),
            };
            self.tell(asked).await;
            let Some(decision) = self.approvals.wait(&id, &self.cancel).await else {
                memory.answer(&id, Answer::Expired, None).await?;
                return Ok(None);
            };
            let answer = match decision {
                Decision::Once | Decision::Session => Answer::Approved,
                Decision::Deny => Answer::Denied,
            };
            memory.answer(&id, answer, None).await?;
            match (decision, self.key.kind) {
                (Decision::Session, ChatKind::Private) => self.approvals.allow(&call.name),
                // In a group others speak too, so a yes is for this call.
                (Decision::Session, ChatKind::Group) | (Decision::Once, _) => {}
                (Decision::Deny, _) => {
                    denied.insert(
                        call.id,
                        "not run: the owner said no; do not try again unless asked".to_owned(),
                    );
                }
            }
        }
        Ok(Some(denied))
    }

    /// Stores the intent of the calls that start next, runs them, and so on; returns the results in
    /// call order. Once the turn is cancelled nothing starts any more.
    async fn run_tools(
        &mut self,
        turn: &mut Turn,
        calls: Vec<ToolCall>,
    ) -> Result<Vec<ToolResult>, MemoryError> {
        let mut results = Vec::with_capacity(calls.len());
        for batch in batches(self.agent, calls) {
            if self.cancel.is_cancelled() {
                results.extend(batch.into_iter().map(|call| not_started(call.id)));
                continue;
            }
            let jobs: Vec<(ToolExecutionId, ToolCall)> = batch
                .into_iter()
                .map(|call| (ToolExecutionId::generate(), call))
                .collect();
            for (id, call) in &jobs {
                self.facts.push(Record::ToolStarted {
                    id: id.clone(),
                    session: self.speaker.session.clone(),
                    turn: Some(self.speaker.turn.clone()),
                    call_id: Some(call.id.clone()),
                    tool: call.name.clone(),
                    input: serde_json::Value::Object(call.arguments.clone()),
                });
            }
            self.save(turn).await?;
            let done: Vec<Result<ToolResult, MemoryError>> = stream::iter(jobs)
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
        // What a tool says of its failure may come from outside as well.
        let content = untrusted::wrap(
            &call.name,
            match outcome {
                Ok(output) => output.content,
                Err(error) => ToolOutput::text(error.to_string()).content,
            },
        );
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
                Some(&self.speaker.turn),
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
        self.taken.clear();
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
                Outcome::Answered
                | Outcome::CutOff
                | Outcome::Refused { .. }
                | Outcome::StepLimit
                | Outcome::Interrupted => InboxState::Done,
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

fn not_started(call_id: String) -> ToolResult {
    ToolResult::text(call_id, "not run: the turn was interrupted before it", true)
}

/// Splits calls into groups that may run at the same time, in order.
fn batches(agent: &Agent, calls: Vec<ToolCall>) -> Vec<Vec<ToolCall>> {
    let mut batches: Vec<Vec<ToolCall>> = Vec::new();
    let mut last_was_open = false;
    for call in calls {
        let open = agent
            .tools()
            .get(&call.name)
            .is_none_or(|tool| tool.runs_beside_others());
        match batches.last_mut() {
            Some(batch) if open && last_was_open && batch.len() < PARALLEL_TOOLS => {
                batch.push(call);
            }
            _ => batches.push(vec![call]),
        }
        last_was_open = open;
    }
    batches
}

async fn grace_after(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
