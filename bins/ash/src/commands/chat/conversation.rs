//! A conversation in the terminal: one session, one turn at a time.

use std::time::Duration;

use anyhow::Context as _;
use ash_core::{Agent, Decision, Error, Event, Events, Finished, Key, Said, Session, Words};
use ash_llm::{Content, ToolCall};
use ash_memory::{MemoryError, OutboxState};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::View;
use crate::terminal::{Line, LineEditor, one_line, tool_line};

/// The channel that the terminal's messages are stored under.
const CHANNEL: &str = "terminal";
/// Whoever can start the program owns it.
const OWNER: &str = "terminal:owner";

/// How long another process that speaks in the session is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// How long leaving may take before the process just ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// A session that is open, and what comes out of it.
pub(super) struct Conversation {
    agent: Agent,
    name: String,
    session: Session,
    events: Events,
    interrupts: Interrupts,
}

/// How a turn ended for the person at the terminal.
pub(super) enum Ended {
    /// The turn came to its end.
    Finished(Finished),
    /// The person left in the middle.
    Left,
}

impl Conversation {
    /// Opens a session; one in which another process speaks is waited for.
    pub(super) async fn open(
        agent: Agent,
        name: &str,
        view: &mut dyn View,
    ) -> anyhow::Result<Self> {
        let key = Key::private(CHANNEL, name, OWNER);
        let started = Instant::now();
        let mut told = false;
        let (session, events) = loop {
            match agent.open(key.clone()).await {
                Ok(open) => break open,
                Err(Error::Memory(error @ MemoryError::Busy { .. }))
                    if started.elapsed() < PATIENCE =>
                {
                    if !std::mem::replace(&mut told, true) {
                        view.note(&format!("waiting: {error}"))?;
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot speak in session `{name}`"));
                }
            }
        };
        Ok(Self {
            agent,
            name: name.to_owned(),
            session,
            events,
            interrupts: Interrupts::new()?,
        })
    }

    /// Finishes what an earlier process was killed over: answers that were not shown are shown, and
    /// words that were not answered are answered.
    pub(super) async fn catch_up(
        &mut self,
        view: &mut dyn View,
        editor: Option<&LineEditor>,
    ) -> anyhow::Result<()> {
        let outbox = self.agent.outbox();
        for item in outbox.unfinished(CHANNEL, &self.name).await? {
            match item.state {
                OutboxState::Pending => {
                    view.note("answered before, but not shown:")?;
                    outbox.sending(&item.id).await?;
                    view.late(&item.content)?;
                    outbox.delivered(&item.id, item.id.as_str()).await?;
                }
                OutboxState::Sending => {
                    let name = &self.name;
                    view.note(&format!(
                        "an earlier answer may not have been shown in full: see `ash sessions show {name}`"
                    ))?;
                    outbox
                        .uncertain(&item.id, "the process ended while it was shown")
                        .await?;
                }
                // Whoever is uncertain was told once.
                OutboxState::Uncertain | OutboxState::Delivered | OutboxState::Failed => {}
            }
        }
        let unfinished = self.agent.intake().unfinished(CHANNEL, &self.name).await?;
        for item in unfinished {
            let said: Said = serde_json::from_str(&item.raw)
                .with_context(|| format!("the stored message {} cannot be read", item.id))?;
            let words = one_line(&said.text, 60);
            view.note(&format!("finishing what was begun before: \"{words}\""))?;
            self.session.say_accepted(Words {
                inbox: item.id,
                author: None,
                content: vec![Content::Text { text: said.text }],
            })?;
            if let Ended::Left = self.turn(view, editor).await? {
                break;
            }
        }
        Ok(())
    }

    /// Says something, and shows what comes of it.
    pub(super) async fn say(
        &mut self,
        text: &str,
        view: &mut dyn View,
        editor: Option<&LineEditor>,
    ) -> anyhow::Result<Ended> {
        self.session.say(text).await?;
        self.turn(view, editor).await
    }

    /// Returns the session.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Returns when the process is told to end.
    pub(super) async fn told_to_end(&mut self) {
        self.interrupts.process.recv().await;
    }

    /// Lets go of the session. What hangs is left behind: it is stored, and the next start goes on.
    pub(super) async fn leave(self) {
        drop(self.session);
        if tokio::time::timeout(FAREWELL, self.agent.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("left before everything had ended");
        }
    }

    async fn turn(
        &mut self,
        view: &mut dyn View,
        editor: Option<&LineEditor>,
    ) -> anyhow::Result<Ended> {
        let mut interrupted = false;
        loop {
            // Both are safe to drop: an event stays in its queue, a signal is noted until it is read.
            let happening = tokio::select! {
                event = self.events.recv() => Happening::Event(event),
                interrupt = self.interrupts.next() => Happening::Interrupt(interrupt),
            };
            let stamped = match happening {
                Happening::Event(Some(stamped)) => stamped,
                Happening::Event(None) => {
                    anyhow::bail!("the session ended in the middle of a turn")
                }
                Happening::Interrupt(Interrupt::Person) if !interrupted => {
                    interrupted = true;
                    self.session.interrupt()?;
                    continue;
                }
                Happening::Interrupt(Interrupt::Person | Interrupt::Process) => {
                    view.interrupted()?;
                    return Ok(Ended::Left);
                }
            };
            view.event(&stamped)?;
            match stamped.event {
                Event::ApprovalNeeded { id, call } => {
                    let decision = decide(&call, view, editor).await?;
                    self.session.decide(id, decision)?;
                }
                Event::TurnFinished(finished) => {
                    self.deliver(&finished, view).await?;
                    return Ok(Ended::Finished(finished));
                }
                _ => {}
            }
        }
    }

    /// Shows the end of a turn, and keeps that it was shown.
    async fn deliver(&self, finished: &Finished, view: &mut dyn View) -> anyhow::Result<()> {
        let outbox = self.agent.outbox();
        if let Some(id) = &finished.delivery {
            outbox.sending(id).await?;
        }
        view.finished(finished)?;
        if let Some(id) = &finished.delivery {
            outbox.delivered(id, id.as_str()).await?;
        }
        Ok(())
    }
}

/// Asks the person whether a tool may run. Where nobody can answer, it may not.
async fn decide(
    call: &ToolCall,
    view: &mut dyn View,
    editor: Option<&LineEditor>,
) -> anyhow::Result<Decision> {
    let line = tool_line(&call.name, &call.arguments);
    let Some(editor) = editor else {
        view.note(&format!(
            "not allowed, because nobody is here to ask: {line}"
        ))?;
        return Ok(Decision::Deny);
    };
    view.note(&format!("may this run? {line}"))?;
    loop {
        match editor
            .question("[y]es, [a]lways in this session, [n]o › ")
            .await
        {
            Line::Said(answer) => match answer.trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(Decision::Once),
                "a" | "always" => return Ok(Decision::Session),
                "n" | "no" => return Ok(Decision::Deny),
                _ => {}
            },
            Line::Interrupt | Line::End => return Ok(Decision::Deny),
        }
    }
}

enum Happening {
    Event(Option<ash_core::Stamped>),
    Interrupt(Interrupt),
}

/// Who wants the program to stop what it does.
enum Interrupt {
    /// The person, by Ctrl-C.
    Person,
    /// The system, which wants the process to end.
    Process,
}

struct Interrupts {
    person: Signal,
    process: Signal,
}

impl Interrupts {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            person: signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?,
            process: signal(SignalKind::terminate()).context("cannot listen for signals")?,
        })
    }

    async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.person.recv() => Interrupt::Person,
            _ = self.process.recv() => Interrupt::Process,
        }
    }
}
