//! One chat: a task that owns it, takes words in, and runs one turn at a time.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use ash_llm::{Content, Message, Model, Role};
use ash_memory::{
    Accepted, ApprovalId, ChatKind, InboxId, InboxState, Lease, MemoryError, Record, SessionId,
    TurnId, Viewer,
};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::approval::{Approvals, Decision};
use crate::driver::Run;
use crate::event::Finished;
use crate::history::{self, History, Known};
use crate::turn::Turn;
use crate::{Agent, Error, Event, Outcome, Said, Stamped, Words, prompt};

/// How many messages may wait for a session. One more is refused, not lost: it stays in the inbox.
const INBOX: usize = 32;
/// How many events may wait for whoever listens; the turn waits for them.
const EVENTS: usize = 256;

/// Which chat a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The channel, for instance `terminal`.
    pub provider: String,
    /// The chat within it.
    pub chat_id: String,
    /// Who opened it.
    pub user_id: String,
    /// Who can read it.
    pub kind: ChatKind,
}

impl Key {
    /// Names a chat between one person and Ash.
    pub fn private(
        provider: impl Into<String>,
        chat_id: impl Into<String>,
        user_id: impl Into<String>,
    ) -> Self {
        Self {
            provider: provider.into(),
            chat_id: chat_id.into(),
            user_id: user_id.into(),
            kind: ChatKind::Private,
        }
    }
}

/// The handle of a running session. When the last one is dropped, the session ends after the turn
/// that it is in.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    key: Key,
    commands: mpsc::Sender<Command>,
    decisions: mpsc::Sender<(ApprovalId, Decision)>,
    agent: Agent,
}

/// What a session tells, in order.
pub type Events = mpsc::Receiver<Stamped>;

#[derive(Debug)]
enum Command {
    Say(Words),
    Interrupt,
    UseModel(Model),
    StartAfresh,
}

impl Session {
    /// Accepts `text` into the inbox and says it. During a turn, the model reads it at its next call.
    pub async fn say(&self, text: &str) -> Result<InboxId, Error> {
        let external = uuid::Uuid::now_v7().to_string();
        let raw = serde_json::to_string(&Said {
            text: text.to_owned(),
        })
        .expect("a string becomes JSON");
        let accepted = self
            .agent
            .intake()
            .accept(&self.key.provider, &self.key.chat_id, &external, &raw, None)
            .await?;
        let (Accepted::New(inbox) | Accepted::Duplicate(inbox)) = accepted;
        self.say_accepted(Words {
            inbox: inbox.clone(),
            author: None,
            content: vec![Content::Text {
                text: text.to_owned(),
            }],
        })?;
        Ok(inbox)
    }

    /// Says what the intake accepted before. Words whose turn a crash cut short continue that turn.
    pub fn say_accepted(&self, words: Words) -> Result<(), Error> {
        self.send(Command::Say(words))
    }

    /// Ends the turn that runs; what was said so far is kept.
    pub fn interrupt(&self) -> Result<(), Error> {
        self.send(Command::Interrupt)
    }

    /// Asks another model from the next turn on.
    pub fn use_model(&self, model: Model) -> Result<(), Error> {
        self.send(Command::UseModel(model))
    }

    /// Starts the context afresh; what was said before stays searchable.
    pub fn start_afresh(&self) -> Result<(), Error> {
        self.send(Command::StartAfresh)
    }

    /// Answers [`Event::ApprovalNeeded`].
    pub fn decide(&self, id: ApprovalId, decision: Decision) -> Result<(), Error> {
        self.decisions
            .try_send((id, decision))
            .map_err(|_| Error::SessionBusy)
    }

    /// Returns the name that the session is stored under.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::SessionBusy,
                mpsc::error::TrySendError::Closed(_) => Error::SessionEnded,
            })
    }

    pub(crate) fn start(
        agent: Agent,
        key: Key,
        id: SessionId,
        lease: Lease,
        cancel: CancellationToken,
    ) -> (Self, Events) {
        let (commands, inbox) = mpsc::channel(INBOX);
        let (decisions, decided) = mpsc::channel(INBOX);
        let (events, listener) = mpsc::channel(EVENTS);
        let task = Task {
            viewer: Viewer::Chat {
                session: id.clone(),
                user_id: key.user_id.clone(),
                private: key.kind == ChatKind::Private,
            },
            model: agent.model().clone(),
            agent: agent.clone(),
            key: key.clone(),
            id: id.clone(),
            approvals: Approvals::new(decided),
            events,
            seq: AtomicU64::new(0),
            waiting: VecDeque::new(),
            lease,
        };
        agent.track(task.run(inbox, cancel));
        let session = Self {
            id,
            key,
            commands,
            decisions,
            agent,
        };
        (session, listener)
    }
}

/// Tells events of one turn.
#[derive(Debug)]
pub(crate) struct Speaker<'a> {
    pub(crate) session: SessionId,
    pub(crate) turn: TurnId,
    seq: &'a AtomicU64,
    events: &'a mpsc::Sender<Stamped>,
}

impl Speaker<'_> {
    pub(crate) async fn tell(&self, event: Event) {
        let stamped = Stamped {
            session: self.session.clone(),
            turn: self.turn.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            event,
        };
        // Nobody listens any more: the turn goes on, because its record is what counts.
        let _ = self.events.send(stamped).await;
    }
}

struct Task {
    agent: Agent,
    key: Key,
    id: SessionId,
    viewer: Viewer,
    model: Model,
    approvals: Approvals,
    events: mpsc::Sender<Stamped>,
    seq: AtomicU64,
    waiting: VecDeque<Words>,
    lease: Lease,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, cancel: CancellationToken) {
        loop {
            while let Some(words) = self.waiting.pop_front() {
                if cancel.is_cancelled() {
                    return;
                }
                self.turn(words, &mut inbox, &cancel).await;
            }
            let command = tokio::select! {
                command = inbox.recv() => command,
                () = cancel.cancelled() => None,
            };
            match command {
                Some(Command::Say(words)) => self.waiting.push_back(words),
                Some(Command::UseModel(model)) => self.model = model,
                Some(Command::StartAfresh) => self.start_afresh().await,
                // There is no turn to interrupt.
                Some(Command::Interrupt) => {}
                None => return,
            }
        }
    }

    async fn start_afresh(&self) {
        if let Err(error) = self.agent.memory().start_context(&self.id, None).await {
            tracing::warn!(%error, "context not started afresh");
        }
    }

    /// Runs one turn to its end, taking commands meanwhile.
    async fn turn(
        &mut self,
        words: Words,
        inbox: &mut mpsc::Receiver<Command>,
        cancel: &CancellationToken,
    ) {
        let turn_id = words.inbox.clone();
        let span = tracing::info_span!("turn", session = %self.id, turn = %turn_id);
        let turn_cancel = cancel.child_token();
        let (steering, mut steered) = mpsc::channel(INBOX);
        let mut later = Vec::new();
        let (model, id) = (self.model.clone(), self.id.clone());
        let mut next_model = None;
        let mut afresh = false;
        let speaker = Speaker {
            session: id,
            turn: turn_id.clone(),
            seq: &self.seq,
            events: &self.events,
        };
        let work = Work {
            agent: &self.agent,
            key: &self.key,
            viewer: &self.viewer,
            model: &model,
            speaker: &speaker,
            lease: &self.lease,
        };
        let ended = {
            let run = work.run(
                words,
                &mut steered,
                &mut self.approvals,
                turn_cancel.clone(),
            );
            let run = tracing::Instrument::instrument(AssertUnwindSafe(run).catch_unwind(), span);
            tokio::pin!(run);
            let mut open = true;
            loop {
                // Dropping `recv` is safe: a command stays in the queue until it is taken.
                let command = tokio::select! {
                    ended = &mut run => break ended,
                    command = inbox.recv(), if open => command,
                };
                match command {
                    Some(Command::Say(words)) => {
                        if let Err(error) = steering.try_send(words) {
                            later.push(error.into_inner());
                        }
                    }
                    Some(Command::Interrupt) => turn_cancel.cancel(),
                    Some(Command::UseModel(model)) => next_model = Some(model),
                    Some(Command::StartAfresh) => afresh = true,
                    None => open = false,
                }
            }
        };
        let finished = match ended {
            Ok(Ok(finished)) => finished,
            Ok(Err(error)) => work.failed(error.to_string(), error_hint(&error)).await,
            Err(_) => {
                work.failed(
                    "Ash broke down".to_owned(),
                    "this is a fault of Ash; try again",
                )
                .await
            }
        };
        tracing::info!(parent: None, outcome = finished.outcome.as_str(), "turn finished");
        speaker.tell(Event::TurnFinished(finished)).await;
        // Words that came too late for this turn begin the next.
        while let Ok(words) = steered.try_recv() {
            self.waiting.push_back(words);
        }
        self.waiting.extend(later);
        if let Some(model) = next_model {
            self.model = model;
        }
        if afresh {
            self.start_afresh().await;
        }
    }
}

/// What one turn borrows from its session.
struct Work<'a> {
    agent: &'a Agent,
    key: &'a Key,
    viewer: &'a Viewer,
    model: &'a Model,
    speaker: &'a Speaker<'a>,
    lease: &'a Lease,
}

impl Work<'_> {
    async fn run(
        &self,
        words: Words,
        steering: &mut mpsc::Receiver<Words>,
        approvals: &mut Approvals,
        cancel: CancellationToken,
    ) -> Result<Finished, MemoryError> {
        let author = words.author.clone();
        let (mut turn, facts) = self.prepare(words).await?;
        let run = Run {
            agent: self.agent,
            model: self.model,
            key: self.key,
            speaker: self.speaker,
            lease: self.lease,
            viewer: self.viewer.clone(),
            author,
            steering,
            approvals,
            cancel,
            facts,
            news: Vec::new(),
            request: self.agent.request(self.model, &self.speaker.session),
        };
        run.drive(&mut turn).await
    }

    /// Reads the history, closes what a crash left open in it, and begins or continues the turn.
    async fn prepare(&self, words: Words) -> Result<(Turn, Vec<Record>), MemoryError> {
        let memory = self.agent.memory();
        let (session, turn_id) = (&self.speaker.session, &self.speaker.turn);
        let limit = self.agent.settings().step_limit;
        let mut history = History::load(&memory.history(session, None).await?);
        let resumes = history.start_of(turn_id).is_some();
        self.speaker
            .tell(Event::TurnStarted {
                words: text_of(&words.content),
                resumed: resumes,
            })
            .await;
        let known = self.known_calls(&history).await?;
        let closing = history.closing(&known, resumes);
        if !closing.is_empty() {
            let records = closing
                .iter()
                .map(|message| Record::Message(history::to_stored(message, session, turn_id, None)))
                .collect();
            self.lease.record(records).await?;
            history.extend(closing);
        }
        if let (false, Some(first)) = (
            resumes,
            history.shorten(self.agent.settings().max_context_messages),
        ) {
            memory.start_context(session, Some(&first)).await?;
        }
        let facts = vec![Record::Inbox(turn_id.clone(), InboxState::Working)];
        if resumes {
            let start = history.start_of(turn_id).unwrap_or_default();
            let mended = history::mend(history.messages);
            let start = start.min(mended.len());
            return Ok((Turn::resume(mended, start, limit), facts));
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
        Ok((
            Turn::begin(history::mend(history.messages), message, limit),
            facts,
        ))
    }

    /// Returns what is stored of the tool calls of the newest turn.
    async fn known_calls(&self, history: &History) -> Result<HashMap<String, Known>, MemoryError> {
        let Some(turn) = history.last_turn() else {
            return Ok(HashMap::new());
        };
        let executions = self
            .agent
            .memory()
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

    /// Ends a turn that could not be driven to its end. What can be stored of that is stored.
    async fn failed(&self, error: String, hint: &str) -> Finished {
        tracing::error!(error, "turn failed");
        let reply = format!("(No answer: {error}.)");
        let records = vec![Record::Inbox(self.speaker.turn.clone(), InboxState::Failed)];
        if let Err(error) = self.lease.record(records).await {
            tracing::error!(%error, "the end of the turn is not stored");
        }
        Finished {
            outcome: Outcome::Failed {
                error,
                hint: hint.to_owned(),
            },
            reply,
            delivery: None,
        }
    }
}

fn text_of(content: &[Content]) -> String {
    content
        .iter()
        .filter_map(|part| match part {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn error_hint(error: &MemoryError) -> &'static str {
    let _ = error;
    "check the disk, and run `ash db check`"
}
