//! What a session tells whoever listens.

use std::time::Duration;

use ash_llm::{ToolCall, Usage};
use ash_memory::{ApprovalId, OutboxId, SessionId, TurnId};

use crate::Outcome;

/// An [`Event`], and where and when in order it happened.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// Counts the events of a session.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// What happens during a turn. Each turn ends with exactly one [`Event::TurnFinished`].
#[derive(Clone, Debug)]
pub enum Event {
    /// A turn begins.
    TurnStarted {
        /// The words that it answers.
        words: String,
        /// Whether it continues a turn that a crash cut short.
        resumed: bool,
    },
    /// More of the answer.
    TextDelta(String),
    /// More of the model's reasoning, for display.
    ThinkingDelta(String),
    /// Something that a person who waits wants to know, in one line.
    Notice(String),
    /// The owner must say whether a tool may run; answered by [`Session::decide`](crate::Session::decide).
    ApprovalNeeded {
        /// Names the question.
        id: ApprovalId,
        /// What would run.
        call: ToolCall,
    },
    /// A tool starts.
    ToolStarted {
        /// What runs.
        call: ToolCall,
    },
    /// A tool ended.
    ToolFinished {
        /// The call.
        call_id: String,
        /// The tool.
        name: String,
        /// Whether it did what it was asked.
        success: bool,
        /// How long it took.
        duration: Duration,
    },
    /// The model finished one message, and it is stored.
    Message {
        /// Its text.
        text: String,
    },
    /// One call of a model is paid for.
    Usage {
        /// The `PROVIDER/MODEL` that answered.
        model: String,
        /// Its tokens.
        usage: Usage,
        /// Its cost in millionths of a dollar, where the price is known.
        cost_micros: Option<u64>,
    },
    /// Words said during the turn reached the model.
    Steered,
    /// The turn is over, and its end is stored.
    TurnFinished(Finished),
}

/// The end of a turn.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// The final words.
    pub reply: String,
    /// What the delivery of the final words is kept under; none where it could not be stored.
    pub delivery: Option<OutboxId>,
}
