//! Turns, shown to programs: one object at the end, or one for each event. See docs/output.md.

use std::io::Write as _;
use std::time::Duration;

use ash_core::{Event, Finished, Outcome, Stamped};
use ash_llm::Usage;
use ash_memory::{ApprovalId, TurnId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::View;
use crate::terminal;

/// Collects turns, and prints the last as one object.
pub(super) struct JsonView {
    session: String,
    model: String,
    turn: Turn,
    done: Vec<Turn>,
    notices: Vec<String>,
}

/// One turn, as programs get it. The names are documented, and stay.
#[derive(Default, Serialize)]
struct Turn {
    session: String,
    #[serde(rename = "turn")]
    id: String,
    reply: String,
    stop: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    model: String,
    usage: Sum,
    tools: Vec<ToolRun>,
}

/// What the calls of a turn used together.
#[derive(Default, Serialize)]
struct Sum {
    calls: u64,
    #[serde(flatten)]
    tokens: Usage,
    /// Null as soon as one call has no known price.
    cost_usd: Option<f64>,
    #[serde(skip)]
    cost_micros: Option<u64>,
}

#[derive(Serialize)]
struct ToolRun {
    id: String,
    name: String,
    arguments: Map<String, Value>,
    /// Null where it was not seen to end.
    success: Option<bool>,
    duration_ms: Option<u64>,
}

/// The last turn, and what happened before it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    turn: Turn,
    notices: &'a [String],
    finished_before: &'a [Turn],
}

impl JsonView {
    /// Collects turns of the session that people know by this name; `model` is asked.
    pub(super) fn new(session: &str, model: &str) -> Self {
        Self {
            session: session.to_owned(),
            model: model.to_owned(),
            turn: Turn::default(),
            done: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn empty(&self) -> Turn {
        Turn {
            session: self.session.clone(),
            model: self.model.clone(),
            usage: Sum {
                cost_micros: Some(0),
                ..Sum::default()
            },
            ..Turn::default()
        }
    }
}

impl View for JsonView {
    fn event(&mut self, stamped: &Stamped) -> anyhow::Result<()> {
        match &stamped.event {
            Event::TurnStarted { .. } => {
                self.turn = Turn {
                    id: stamped.turn.to_string(),
                    ..self.empty()
                };
            }
            Event::Notice(text) => self.notices.push(text.clone()),
            Event::ToolStarted { call } => self.turn.tools.push(ToolRun {
                id: call.id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                success: None,
                duration_ms: None,
            }),
            Event::ToolFinished {
                call_id,
                success,
                duration,
                ..
            } => {
                if let Some(run) = self.turn.tools.iter_mut().find(|run| run.id == *call_id) {
                    run.success = Some(*success);
                    run.duration_ms = Some(millis(*duration));
                }
            }
            Event::Usage {
                model,
                usage,
                cost_micros,
            } => {
                let sum = &mut self.turn.usage;
                sum.calls += 1;
                sum.tokens += *usage;
                sum.cost_micros = sum.cost_micros.zip(*cost_micros).map(|(a, b)| a + b);
                self.turn.model.clone_from(model);
            }
            Event::TextDelta(_)
            | Event::ThinkingDelta(_)
            | Event::ApprovalNeeded { .. }
            | Event::Message { .. }
            | Event::Steered
            | Event::TurnFinished(_) => {}
        }
        Ok(())
    }

    fn finished(&mut self, finished: &Finished) -> anyhow::Result<()> {
        let mut turn = std::mem::take(&mut self.turn);
        turn.usage.cost_usd = dollars(turn.usage.cost_micros);
        turn.reply.clone_from(&finished.reply);
        turn.stop = finished.outcome.as_str();
        turn.error = error_json(&finished.outcome);
        self.done.push(turn);
        Ok(())
    }

    fn late(&mut self, text: &str) -> anyhow::Result<()> {
        let turn = Turn {
            reply: text.to_owned(),
            stop: Outcome::Answered.as_str(),
            ..self.empty()
        };
        self.done.push(turn);
        Ok(())
    }

    fn note(&mut self, text: &str) -> anyhow::Result<()> {
        self.notices.push(text.to_owned());
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some(turn) = self.done.pop() else {
            return Ok(());
        };
        let whole = Whole {
            turn,
            notices: &self.notices,
            finished_before: &self.done,
        };
        let text = serde_json::to_string(&whole)?;
        Ok(writeln!(terminal::stdout(), "{text}")?)
    }
}

/// Prints each event as one line.
pub(super) struct StreamView {
    session: String,
}

impl StreamView {
    /// Prints events of the session that people know by this name.
    pub(super) fn new(session: &str) -> Self {
        Self {
            session: session.to_owned(),
        }
    }
}

impl View for StreamView {
    fn event(&mut self, stamped: &Stamped) -> anyhow::Result<()> {
        print(&Line {
            what: What::of(&stamped.event),
            session: &self.session,
            turn: Some(&stamped.turn),
            seq: Some(stamped.seq),
        })
    }

    fn late(&mut self, text: &str) -> anyhow::Result<()> {
        self.print_apart(What::LateReply { reply: text })
    }

    fn note(&mut self, text: &str) -> anyhow::Result<()> {
        self.print_apart(What::Notice { text })
    }
}

impl StreamView {
    /// Prints what belongs to no turn.
    fn print_apart(&self, what: What<'_>) -> anyhow::Result<()> {
        print(&Line {
            what,
            session: &self.session,
            turn: None,
            seq: None,
        })
    }
}

fn print(line: &Line<'_>) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = terminal::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// One line of a stream of events.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    what: What<'a>,
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<&'a TurnId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// What a line says. The names are documented, and stay.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What<'a> {
    TurnStarted {
        words: &'a str,
        resumed: bool,
    },
    Text {
        text: &'a str,
    },
    Thinking {
        text: &'a str,
    },
    Notice {
        text: &'a str,
    },
    ApprovalNeeded {
        approval: &'a ApprovalId,
        id: &'a str,
        name: &'a str,
        arguments: &'a Map<String, Value>,
    },
    ToolStarted {
        id: &'a str,
        name: &'a str,
        arguments: &'a Map<String, Value>,
    },
    ToolFinished {
        id: &'a str,
        name: &'a str,
        success: bool,
        duration_ms: u64,
    },
    Message {
        text: &'a str,
    },
    Usage {
        model: &'a str,
        #[serde(flatten)]
        tokens: Usage,
        cost_usd: Option<f64>,
    },
    Steered,
    TurnFinished {
        stop: &'static str,
        reply: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
    },
    LateReply {
        reply: &'a str,
    },
}

impl<'a> What<'a> {
    fn of(event: &'a Event) -> Self {
        match event {
            Event::TurnStarted { words, resumed } => Self::TurnStarted {
                words,
                resumed: *resumed,
            },
            Event::TextDelta(text) => Self::Text { text },
            Event::ThinkingDelta(text) => Self::Thinking { text },
            Event::Notice(text) => Self::Notice { text },
            Event::ApprovalNeeded { id, call } => Self::ApprovalNeeded {
                approval: id,
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments,
            },
            Event::ToolStarted { call } => Self::ToolStarted {
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments,
            },
            Event::ToolFinished {
                call_id,
                name,
                success,
                duration,
            } => Self::ToolFinished {
                id: call_id,
                name,
                success: *success,
                duration_ms: millis(*duration),
            },
            Event::Message { text } => Self::Message { text },
            Event::Usage {
                model,
                usage,
                cost_micros,
            } => Self::Usage {
                model,
                tokens: *usage,
                cost_usd: dollars(*cost_micros),
            },
            Event::Steered => Self::Steered,
            Event::TurnFinished(finished) => Self::TurnFinished {
                stop: finished.outcome.as_str(),
                reply: &finished.reply,
                error: error_json(&finished.outcome),
            },
        }
    }
}

fn error_json(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Failed { error, hint } => Some(json!({ "message": error, "hint": hint })),
        Outcome::Refused { reason } => Some(json!({ "message": reason, "hint": null })),
        Outcome::Answered | Outcome::CutOff | Outcome::StepLimit | Outcome::Interrupted => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "nobody spends that much")]
fn dollars(micros: Option<u64>) -> Option<f64> {
    micros.map(|micros| micros as f64 / 1e6)
}
