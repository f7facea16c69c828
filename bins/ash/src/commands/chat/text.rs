//! Turns, shown to a person: the answer where it belongs, the talk on standard error.

use std::io::{self, Write};

use ash_core::{Event, Finished, Outcome, Stamped};

use super::View;
use crate::report::Problem;
use crate::terminal::{self, Status, StreamRenderer, Surface};

/// Shows turns on a terminal or in a pipe.
pub(super) struct TextView {
    answer: StreamRenderer<Box<dyn Write>>,
    surface: Surface,
    status: Status,
    /// What of the message being written was shown.
    message: Message,
    /// Whether an answer was shown since the last turn began.
    spoke: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Closed,
    Open { ends_line: bool },
}

impl TextView {
    /// Shows answers on standard output.
    pub(super) fn new() -> Self {
        Self::on(Box::new(io::stdout()), terminal::surface())
    }

    /// Shows answers on standard error, because standard output belongs to another.
    pub(super) fn aside() -> Self {
        Self::on(Box::new(io::stderr()), terminal::surface_of_talk())
    }

    fn on(out: Box<dyn Write>, surface: Surface) -> Self {
        Self {
            answer: StreamRenderer::new(out, surface),
            surface,
            status: Status::new(),
            message: Message::Closed,
            spoke: false,
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.status.clear();
        if self.message == Message::Closed && self.spoke {
            // A blank line between what was said before a tool ran and after it.
            self.answer.push("\n")?;
        }
        self.spoke = true;
        self.message = Message::Open {
            ends_line: text.ends_with('\n'),
        };
        self.answer.push(text)
    }

    /// Ends the message being written, so that others may write.
    fn close(&mut self) -> io::Result<()> {
        self.status.clear();
        if let Message::Open { ends_line } = self.message {
            self.message = Message::Closed;
            // Programs that read lines expect the last to be one.
            if self.surface == Surface::Pipe && !ends_line {
                self.answer.push("\n")?;
            }
            self.answer.finish()?;
        }
        Ok(())
    }
}

impl View for TextView {
    fn event(&mut self, stamped: &Stamped) -> anyhow::Result<()> {
        match &stamped.event {
            Event::TurnStarted { .. } => {
                self.spoke = false;
                self.status.wait();
            }
            Event::TextDelta(text) => self.say(text)?,
            // Reasoning is for programs; a person reads the answer.
            Event::ThinkingDelta(_) | Event::Steered | Event::Usage { .. } => {}
            Event::Notice(text) => {
                self.close()?;
                self.status.note(text)?;
                self.status.wait();
            }
            Event::Message { .. } => {
                self.close()?;
                self.status.wait();
            }
            Event::ApprovalNeeded { .. } | Event::TurnFinished(_) => self.close()?,
            Event::ToolStarted { call } => {
                self.close()?;
                self.status
                    .tool_started(&call.id, &call.name, &call.arguments);
            }
            Event::ToolFinished {
                call_id,
                name,
                success,
                duration,
            } => {
                self.close()?;
                self.status
                    .tool_finished(call_id, name, *success, *duration)?;
                self.status.wait();
            }
        }
        Ok(())
    }

    fn finished(&mut self, finished: &Finished) -> anyhow::Result<()> {
        match &finished.outcome {
            // What is told as an error is not told as an answer too.
            Outcome::Failed { .. } => {}
            _ if !self.spoke => {
                self.say(&finished.reply)?;
                self.close()?;
            }
            _ => {}
        }
        if let Some(note) = note(&finished.outcome) {
            self.status.note(note)?;
        }
        Ok(())
    }

    fn late(&mut self, text: &str) -> anyhow::Result<()> {
        self.spoke = false;
        self.say(text)?;
        Ok(self.close()?)
    }

    fn interrupted(&mut self) -> anyhow::Result<()> {
        Ok(self.close()?)
    }

    fn note(&mut self, text: &str) -> anyhow::Result<()> {
        self.close()?;
        Ok(self.status.note(text)?)
    }
}

/// Says what a person should know about an answer that is there but not whole.
fn note(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::CutOff => Some("the answer was cut off by `max_tokens`; ask it to go on"),
        Outcome::StepLimit => Some("stopped at the limit of steps (`limits.steps`)"),
        Outcome::Refused { .. } => Some("the model declined to answer"),
        Outcome::Interrupted => Some("interrupted"),
        Outcome::Answered | Outcome::Failed { .. } => None,
    }
}

/// Returns what a failed turn is told as.
pub(super) fn failure(outcome: &Outcome) -> Option<Problem> {
    match outcome {
        Outcome::Failed { error, hint } => Some(Problem::fault(error).hint(hint)),
        Outcome::Answered
        | Outcome::CutOff
        | Outcome::Refused { .. }
        | Outcome::StepLimit
        | Outcome::Interrupted => None,
    }
}
