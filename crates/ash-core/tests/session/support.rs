//! A chat with a scripted model, and its transcript.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ash_core::{
    Agent, AgentBuilder, Arguments, Event, Events, Finished, Key, Session, Stamped, Tool,
    ToolContext, ToolError, ToolOutput,
};
use ash_llm::{Model, ToolSpec};
use ash_memory::{Memory, OpenOptions};
use ash_testkit::{Answer, ScriptedModel};
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;

pub(crate) struct Chat {
    pub(crate) model: ScriptedModel,
    pub(crate) agent: Agent,
    pub(crate) session: Session,
    pub(crate) events: Events,
}

impl Chat {
    pub(crate) async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::built(answers, |builder| builder).await
    }

    pub(crate) async fn built(
        answers: impl IntoIterator<Item = Answer>,
        build: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let memory = Memory::open_in_memory(OpenOptions::default()).expect("memory opens");
        Self::over(memory, answers, build).await
    }

    pub(crate) async fn over(
        memory: Memory,
        answers: impl IntoIterator<Item = Answer>,
        build: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let model = ScriptedModel::new(answers);
        let handle = Model::new(Arc::new(model.clone()), "test");
        let agent = build(Agent::builder(handle, memory)).build();
        let (session, events) = agent.open(key()).await.expect("the session is free");
        Self {
            model,
            agent,
            session,
            events,
        }
    }

    /// Says something and returns the transcript of the turn.
    pub(crate) async fn say(&mut self, text: &str) -> String {
        self.session.say(text).await.expect("there is room");
        self.transcript().await
    }

    /// Returns what happens until the end of the turn, a line each; deltas are joined.
    pub(crate) async fn transcript(&mut self) -> String {
        let mut lines = String::new();
        let mut shown = String::new();
        loop {
            let event = self.next().await;
            if !shown.is_empty() && !matches!(event, Event::TextDelta(_)) {
                writeln!(lines, "shown: {shown}").expect("a string takes all");
                shown.clear();
            }
            match event {
                Event::TurnStarted { words, resumed } => {
                    let again = if resumed { " (again)" } else { "" };
                    writeln!(lines, "turn{again}: {words}")
                }
                Event::TextDelta(text) => {
                    shown.push_str(&text);
                    Ok(())
                }
                Event::ThinkingDelta(_) | Event::Usage { .. } => Ok(()),
                Event::Notice(text) => writeln!(lines, "notice: {text}"),
                Event::ApprovalNeeded { call, .. } => writeln!(lines, "may {} run?", call.name),
                Event::ToolStarted { call } => writeln!(lines, "tool {} starts", call.id),
                Event::ToolFinished {
                    call_id, success, ..
                } => writeln!(lines, "tool {call_id} ends, success {success}"),
                Event::Message { text } => writeln!(lines, "message: {text}"),
                Event::Steered => writeln!(lines, "steered"),
                Event::TurnFinished(finished) => {
                    writeln!(lines, "finished: {}", finished.outcome.as_str())
                        .expect("a string takes all");
                    assert_eq!(self.model.violations(), Vec::<String>::new());
                    return lines;
                }
            }
            .expect("a string takes all");
        }
    }

    pub(crate) async fn finished(&mut self) -> Finished {
        loop {
            if let Event::TurnFinished(finished) = self.next().await {
                return finished;
            }
        }
    }

    /// Waits for an event that `wanted` picks.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.next().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let Stamped { event, .. } = self.events.recv().await.expect("the session runs");
        event
    }
}

pub(crate) fn key() -> Key {
    Key::private("terminal", "main", "terminal:owner")
}

/// A tool that waits for a permit before it answers, and counts how often it was called.
#[derive(Clone)]
pub(crate) struct Gated {
    name: &'static str,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) calls: Arc<AtomicUsize>,
    alone: bool,
}

impl Gated {
    pub(crate) fn new(name: &'static str, permits: usize) -> Self {
        Self {
            name,
            gate: Arc::new(Semaphore::new(permits)),
            calls: Arc::default(),
            alone: false,
        }
    }

    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Tool for Gated {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new(self.name, "Waits.", json!({"type": "object"}))
    }

    async fn call(&self, _: &ToolContext, args: Arguments) -> Result<ToolOutput, ToolError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("never closed").forget();
        match args.get("say").and_then(|say| say.as_str()) {
            Some("panic") => panic!("as asked"),
            Some("fail") => Err(ToolError::new("it is not there; try another")),
            Some(say) => Ok(ToolOutput::text(say)),
            None => Ok(ToolOutput::text("done")),
        }
    }

    fn runs_beside_others(&self) -> bool {
        !self.alone
    }
}
