//! One chat: a task that owns it, takes words in, and runs one turn at a time.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;

use ash_llm::{Content, Message, Model, Role};
use ash_memory::{
    Answer, ApprovalId, ChatKind, InboxId, InboxState, Lease, MemoryError, NewOutbox, OutboxId,
    Record, SessionId, Viewer,
};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Command, INBOX, Key, Queued, Speaker};
use crate::approval::{Approvals, Decision};
use crate::driver::{Ended, Run};
use crate::event::Finished;
use crate::history::{self, History, Known};
use crate::turn::Turn;
use crate::{Agent, Event, Outcome, Stamped, Words, prompt};

/// How often a turn is begun. One that takes the process down each time must not do so for ever.
const ATTEMPTS: u32 = 25;

pub(super) struct Task {
    agent: Agent,
    key: Key,
    id: SessionId,
    model: Model,
    approvals: Approvals,
    events: mpsc::Sender<Stamped>,
    seq: AtomicU64,
    waiting: VecDeque<Queued>,
    lease: Lease,
}

impl Task {
    pub(super) fn new(
        agent: Agent,
        key: Key,
        id: SessionId,
        decisions: mpsc::Receiver<(ApprovalId, Decision)>,
        events: mpsc::Sender<Stamped>,
        lease: Lease,
    ) -> Self {
        Self {
            model: agent.model().clone(),
            agent,
            key,
            id,
            approvals: Approvals::new(decisions),
            events,
            seq: AtomicU64::new(0),
            waiting: VecDeque::new(),
            lease,
        }
    }

    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        cancel: CancellationToken,
    ) {
        loop {
            // What came before the next turn is not about it, an interrupt for instance.
            while let Ok(command) = inbox.try_recv() {
                self.between_turns(command).await;
            }
            if cancel.is_cancelled() {
                return;
            }
            if let Some(queued) = self.waiting.pop_front() {
                if self.turn(queued, &mut inbox, &cancel).await.is_break() {
                    return;
                }
                continue;
            }
            // Dropping `recv` is safe: a command stays in the queue until it is taken.
            let command = tokio::select! {
                command = inbox.recv() => command,
                () = cancel.cancelled() => None,
            };
            match command {
                Some(command) => self.between_turns(command).await,
                None => return,
            }
        }
    }

    async fn between_turns(&mut self, command: Command) {
        match command {
            Command::Say(queued) => self.queue(queued),
            Command::UseModel(model) => self.model = model,
            Command::StartAfresh => self.start_afresh().await,
            // There is no turn to interrupt.
            Command::Interrupt => {}
        }
    }

    /// Puts words behind those that wait, unless they wait already.
    fn queue(&mut self, queued: Queued) {
        let known = |other: &Queued| other.words.inbox == queued.words.inbox;
        if !self.waiting.iter().any(known) {
            self.waiting.push_back(queued);
        }
    }

    async fn start_afresh(&self) {
        if let Err(error) = self.agent.memory().start_context(&self.id, None).await {
            tracing::warn!(%error, "context not started afresh");
        }
    }

    /// Runs one turn to its end, taking commands meanwhile. Breaks where the session is over.
    async fn turn(
        &mut self,
        queued: Queued,
        inbox: &mut mpsc::Receiver<Command>,
        cancel: &CancellationToken,
    ) -> ControlFlow<()> {
        let Queued { words, _room } = queued;
        let turn_id = words.inbox.clone();
        let author = words.author.clone();
        let span = tracing::info_span!("turn", session = %self.id, turn = %turn_id);
        let turn_cancel = cancel.child_token();
        let interrupt = CancellationToken::new();
        let (steering, mut steered) = mpsc::channel(INBOX);
        let mut taken = Vec::new();
        // What was said or wished during the turn and is for after it, in order.
        let mut later = Vec::new();
        let model = self.model.clone();
        let speaker = Speaker {
            session: self.id.clone(),
            turn: turn_id.clone(),
            seq: &self.seq,
            events: &self.events,
            cancel: turn_cancel.clone(),
        };
        let work = Work {
            agent: &self.agent,
            key: &self.key,
            model: &model,
            speaker: &speaker,
            lease: &self.lease,
        };
        let ended = {
            let streams = Streams {
                steering: &mut steered,
                taken: &mut taken,
                approvals: &mut self.approvals,
                cancel: turn_cancel.clone(),
                interrupt: interrupt.clone(),
            };
            let run = AssertUnwindSafe(work.run(words, streams)).catch_unwind();
            let run = run.instrument(span.clone());
            tokio::pin!(run);
            let mut open = true;
            loop {
                // Dropping `recv` is safe: a command stays in the queue until it is taken.
                let command = tokio::select! {
                    ended = &mut run => break ended,
                    command = inbox.recv(), if open => command,
                };
                match command {
                    // Steering is what the same person says while the turn is wanted.
                    Some(Command::Say(queued))
                        if later.is_empty()
                            && self.waiting.is_empty()
                            && !turn_cancel.is_cancelled()
                            && queued.words.author == author =>
                    {
                        if queued.words.inbox != turn_id
                            && let Err(error) = steering.try_send(queued)
                        {
                            later.push(Command::Say(error.into_inner()));
                        }
                    }
                    Some(Command::Interrupt) => {
                        interrupt.cancel();
                        turn_cancel.cancel();
                    }
                    Some(command) => later.push(command),
                    None => open = false,
                }
            }
        };
        let flow = async {
            let finished = match ended {
                Ok(Ok(Some(Ended::Finished(finished)))) => finished,
                Ok(Ok(Some(Ended::Left))) => {
                    tracing::info!("turn left for the next process");
                    return ControlFlow::Break(());
                }
                // It was answered before, and that was told then.
                Ok(Ok(None)) => return ControlFlow::Continue(()),
                Ok(Err(error)) => {
                    let lost = matches!(error, MemoryError::LeaseLost);
                    let finished = work.failed(error.to_string(), error_hint(&error)).await;
                    if lost {
                        speaker
                            .tell_until(Event::TurnFinished(finished), cancel)
                            .await;
                        return ControlFlow::Break(());
                    }
                    finished
                }
                Err(_) => {
                    let hint = "this is a fault of Ash; try again";
                    work.failed("Ash broke down".to_owned(), hint).await
                }
            };
            tracing::info!(outcome = finished.outcome.as_str(), "turn finished");
            speaker
                .tell_until(Event::TurnFinished(finished), cancel)
                .await;
            ControlFlow::Continue(())
        }
        .instrument(span)
        .await;
        // Words that came too late for this turn, or that it could not store, begin the next.
        while let Ok(queued) = steered.try_recv() {
            taken.push(queued);
        }
        for queued in taken {
            self.queue(queued);
        }
        for command in later {
            self.between_turns(command).await;
        }
        flow
    }
}

/// What comes into a turn while it runs.
struct Streams<'a> {
    steering: &'a mut mpsc::Receiver<Queued>,
    taken: &'a mut Vec<Queued>,
    approvals: &'a mut Approvals,
    cancel: CancellationToken,
    interrupt: CancellationToken,
}

/// What one turn borrows from its session.
struct Work<'a> {
    agent: &'a Agent,
    key: &'a Key,
    model: &'a Model,
    speaker: &'a Speaker<'a>,
    lease: &'a Lease,
}

impl Work<'_> {
    /// Runs the turn; there is nothing to run where its words are answered already.
    async fn run(&self, words: Words, streams: Streams<'_>) -> Result<Option<Ended>, MemoryError> {
        let row = self.agent.memory().inbox_item(&words.inbox).await?;
        if row.state == InboxState::Done {
            return Ok(None);
        }
        if row.attempts >= ATTEMPTS {
            let error = format!("Ash went down {ATTEMPTS} times over it");
            let finished = self.failed(error, "say it in another way").await;
            return Ok(Some(Ended::Finished(finished)));
        }
        let author = words.author.clone();
        let (mut turn, facts) = self.prepare(words).await?;
        let run = Run {
            agent: self.agent,
            model: self.model,
            key: self.key,
            speaker: self.speaker,
            lease: self.lease,
            viewer: Viewer::Chat {
                session: self.speaker.session.clone(),
                user_id: self.key.user_id.clone(),
                private: self.key.kind == ChatKind::Private,
            },
            author,
            steering: streams.steering,
            taken: streams.taken,
            approvals: streams.approvals,
            cancel: streams.cancel,
            interrupt: streams.interrupt,
            facts,
            news: Vec::new(),
            request: self.agent.request(self.model, &self.speaker.session),
        };
        run.drive(&mut turn).await.map(Some)
    }

    /// Reads the history, closes what a crash left open in it, and begins or continues the turn.
    async fn prepare(&self, words: Words) -> Result<(Turn, Vec<Record>), MemoryError> {
        let memory = self.agent.memory();
        let (session, turn_id) = (&self.speaker.session, &self.speaker.turn);
        let limit = self.agent.settings().step_limit;
        let mut history = History::load(&memory.history(session, None).await?);
        // A turn that others followed, or that was ended with a word, is begun anew.
        let mut resumes = history.last_turn() == Some(turn_id);
        self.close(&mut history, resumes).await?;
        let is_open = |history: &History| {
            let last = history.messages.last();
            last.is_some_and(|message| message.role == Role::User)
        };
        resumes = resumes && is_open(&history);
        let started = Event::TurnStarted {
            words: text_of(&words.content),
            resumed: resumes,
        };
        self.speaker.tell(started).await;
        let facts = vec![Record::Inbox(turn_id.clone(), InboxState::Working)];
        if resumes {
            let start = history.start_of(turn_id).unwrap_or_default();
            let mended = history::mend(history.messages);
            let start = start.min(mended.len());
            return Ok((Turn::resume(mended, start, limit), facts));
        }
        if let Some(first) = history.shorten(self.agent.settings().max_context_messages) {
            memory.start_context(session, Some(&first)).await?;
        }
        let mut content = vec![Content::Context {
            text: prompt::context(self.agent.clock().now(), self.agent.timezone()),
        }];
        content.extend(words.content);
        let message = Message {
            role: Role::User,
            content,
            origin: None,
        };
        let mended = history::mend(history.messages);
        Ok((Turn::begin(mended, message, limit), facts))
    }

    /// Answers what a crash left open at the end of the history, under the turn that it belongs to,
    /// and takes back questions that nobody can answer any more.
    async fn close(&self, history: &mut History, goes_on: bool) -> Result<(), MemoryError> {
        let memory = self.agent.memory();
        let session = &self.speaker.session;
        for question in memory.open_approvals(Some(session)).await? {
            memory.answer(&question.id, Answer::Expired, None).await?;
        }
        let known = self.known_calls(history).await?;
        let last_turn = history.last_turn().cloned();
        let mut records = Vec::new();
        for message in history.closing(&known, goes_on) {
            let stored = history::to_stored(&message, session, last_turn.as_ref(), None);
            history.push(message, stored.id.clone(), last_turn.clone());
            records.push(Record::Message(stored));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.lease.record(records).await
    }

    /// Returns what is stored of the tool calls of the newest turn.
    async fn known_calls(&self, history: &History) -> Result<HashMap<String, Known>, MemoryError> {
        let Some(turn) = history.last_turn() else {
            return Ok(HashMap::new());
        };
        let memory = self.agent.memory();
        let executions = memory
            .tool_executions(&self.speaker.session, Some(turn))
            .await?;
        Ok(executions
            .into_iter()
            .filter_map(|execution| {
                let known = match execution.outcome {
                    Some(outcome) => Known::Finished {
                        content: serde_json::from_str(&outcome.output).unwrap_or_default(),
                        success: outcome.success,
                    },
                    None => Known::Started,
                };
                Some((execution.call_id?, known))
            })
            .collect())
    }

    /// Ends a turn that could not be driven to its end. What can be stored of that is stored, the
    /// delivery of the bad news with it.
    async fn failed(&self, error: String, hint: &str) -> Finished {
        tracing::error!(error, "turn failed");
        let turn: &InboxId = &self.speaker.turn;
        let reply = format!("(No answer: {error}.)");
        let delivery = OutboxId::generate();
        let records = vec![
            Record::Outbox(NewOutbox {
                id: delivery.clone(),
                session: Some(self.speaker.session.clone()),
                turn: Some(turn.clone()),
                channel: self.key.provider.clone(),
                chat_id: self.key.chat_id.clone(),
                content: reply.clone(),
                reply_to: None,
                metadata: serde_json::Map::new(),
            }),
            Record::Inbox(turn.clone(), InboxState::Failed),
        ];
        let stored = self.lease.record(records).await;
        if let Err(error) = &stored {
            tracing::error!(%error, "the end of the turn is not stored");
        }
        Finished {
            outcome: Outcome::Failed {
                error,
                hint: hint.to_owned(),
            },
            reply,
            delivery: stored.is_ok().then_some(delivery),
        }
    }
}

fn text_of(content: &[Content]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|part| match part {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

fn error_hint(error: &MemoryError) -> &'static str {
    match error {
        MemoryError::Full => "make room on the disk, then say it again",
        MemoryError::LeaseLost | MemoryError::Busy { .. } => {
            "another process speaks in this session now; start again"
        }
        MemoryError::Locked { .. } => "another process has the database; try again in a moment",
        _ => "check the disk, and run `ash db check`",
    }
}
