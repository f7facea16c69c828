//! The handle of a chat, and what it hands to the task that owns the chat.

mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ash_llm::{Content, Model};
use ash_memory::{Accepted, ApprovalId, ChatKind, InboxId, Lease, SessionId, TurnId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::task::Task;
use crate::approval::Decision;
use crate::{Agent, Error, Event, Said, Stamped, Words};

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
    room: Arc<Semaphore>,
    agent: Agent,
}

/// What a session tells, in order.
pub type Events = mpsc::Receiver<Stamped>;

/// Words on their way to a turn. How many there may be is bounded by their permits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) words: Words,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Command {
    Say(Queued),
    Interrupt,
    UseModel(Model),
    StartAfresh,
}

impl Session {
    /// Accepts `text` into the inbox and says it. During a turn, the model reads it at its next call.
    pub async fn say(&self, text: &str) -> Result<InboxId, Error> {
        // Room first: what is accepted has to be answered.
        let room = self.room()?;
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
        let words = Words {
            inbox: inbox.clone(),
            author: None,
            content: vec![Content::Text {
                text: text.to_owned(),
            }],
        };
        self.send(Command::Say(Queued { words, _room: room }))?;
        Ok(inbox)
    }

    /// Says what the intake accepted before. Words whose turn a crash cut short continue that turn.
    /// Where there is no room they stay in the inbox, and are to be said again later.
    pub fn say_accepted(&self, words: Words) -> Result<(), Error> {
        let room = self.room()?;
        self.send(Command::Say(Queued { words, _room: room }))
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

    fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        let room = self.room.clone().try_acquire_owned();
        room.map_err(|_| Error::SessionBusy)
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => Error::SessionBusy,
                TrySendError::Closed(_) => Error::SessionEnded,
            })
    }

    pub(crate) fn start(
        agent: Agent,
        key: Key,
        id: SessionId,
        lease: Lease,
        cancel: CancellationToken,
    ) -> (Self, Events) {
        // Room for all words and as many other commands.
        let (commands, inbox) = mpsc::channel(2 * INBOX);
        let (decisions, decided) = mpsc::channel(INBOX);
        let (events, listener) = mpsc::channel(EVENTS);
        let task = Task::new(
            agent.clone(),
            key.clone(),
            id.clone(),
            decided,
            events,
            lease,
        );
        agent.track(task.run(inbox, cancel));
        let session = Self {
            id,
            key,
            commands,
            decisions,
            room: Arc::new(Semaphore::new(INBOX)),
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
    /// From then on nobody who does not listen is waited for.
    cancel: CancellationToken,
}

impl Speaker<'_> {
    /// Tells an event to whoever listens. The turn waits for a slow listener until it is cancelled;
    /// what is not heard then is still in the record.
    pub(crate) async fn tell(&self, event: Event) {
        self.tell_until(event, &self.cancel).await;
    }

    /// Tells an event that is waited for even by those who cancelled the turn.
    async fn tell_until(&self, event: Event, cancel: &CancellationToken) {
        let stamped = Stamped {
            session: self.session.clone(),
            turn: self.turn.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            event,
        };
        let Err(TrySendError::Full(stamped)) = self.events.try_send(stamped) else {
            // Told, or nobody is there to be told.
            return;
        };
        tokio::select! {
            // Both are safe to drop: the turn goes on either way, because its record is what counts.
            _ = self.events.send(stamped) => {}
            () = cancel.cancelled() => {}
        }
    }
}
