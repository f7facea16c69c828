//! The talk beside the answer: what is being waited for, what the tools do, notices.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use super::sanitize::{harmless, one_line};
use super::screen;

/// The longest that the arguments of a tool are shown.
const ARGUMENTS: usize = 60;

/// What is said on standard error during a turn.
pub(crate) struct Status {
    /// Whether somebody watches.
    watched: bool,
    spinner: Option<ProgressBar>,
    running: Vec<Running>,
}

struct Running {
    id: String,
    line: String,
}

impl Status {
    /// Begins in silence.
    pub(crate) fn new() -> Self {
        Self {
            watched: io::stderr().is_terminal(),
            spinner: None,
            running: Vec::new(),
        }
    }

    /// Shows that something is waited for. The cursor must stand on a fresh row.
    pub(crate) fn wait(&mut self) {
        if !self.watched {
            return;
        }
        let message = match self.running.as_slice() {
            [] => String::new(),
            running => {
                let lines: Vec<_> = running.iter().map(|tool| tool.line.as_str()).collect();
                format!("⚙ {}", lines.join(", "))
            }
        };
        if let Some(spinner) = &self.spinner {
            spinner.set_message(message);
            return;
        }
        let style = ProgressStyle::with_template("{spinner} {wide_msg}")
            .expect("the template is right")
            .tick_strings(&["·  ", "·· ", "···", " ··", "  ·", "   ", "   "]);
        let spinner = ProgressBar::new_spinner().with_style(style);
        spinner.set_message(message);
        spinner.enable_steady_tick(Duration::from_millis(120));
        self.spinner = Some(spinner);
    }

    /// Takes the sign of waiting away, so that others may write.
    pub(crate) fn clear(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    /// Notes that a tool runs.
    pub(crate) fn tool_started(&mut self, id: &str, name: &str, arguments: &Map<String, Value>) {
        self.running.push(Running {
            id: id.to_owned(),
            line: tool_line(name, arguments),
        });
        self.wait();
    }

    /// Says what became of a tool.
    pub(crate) fn tool_finished(
        &mut self,
        id: &str,
        name: &str,
        success: bool,
        took: Duration,
    ) -> io::Result<()> {
        let known = self.running.iter().position(|tool| tool.id == id);
        let line = known.map_or_else(
            || one_line(name, ARGUMENTS),
            |at| self.running.remove(at).line,
        );
        if !self.watched {
            return Ok(());
        }
        self.clear();
        let (mark, color) = if success {
            ('✓', AnsiColor::Green)
        } else {
            ('✗', AnsiColor::Red)
        };
        let style = Style::new().fg_color(Some(color.into()));
        let dim = Style::new().dimmed();
        writeln!(
            screen::stderr(),
            "{style}{mark}{style:#} {line}  {dim}{}{dim:#}",
            duration(took)
        )
    }

    /// Says something that a person who waits wants to know.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.clear();
        let dim = Style::new().dimmed();
        writeln!(screen::stderr(), "{dim}· {}{dim:#}", harmless(text))
    }
}

/// Shows a call in one line: its name, and the argument that says most.
pub(crate) fn tool_line(name: &str, arguments: &Map<String, Value>) -> String {
    let argument = match arguments.values().find_map(Value::as_str) {
        Some(text) => format!("\"{}\"", one_line(text, ARGUMENTS)),
        None if arguments.is_empty() => String::new(),
        None => one_line(&Value::Object(arguments.clone()).to_string(), ARGUMENTS),
    };
    format!("{} {argument}", one_line(name, ARGUMENTS))
        .trim_end()
        .to_owned()
}

fn duration(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", took.as_secs_f64()),
        _ => format!("{} min {} s", took.as_secs() / 60, took.as_secs() % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_one_harmless_line() {
        for (arguments, expected) in [
            (json!({}), "shell"),
            (json!({"command": "ls\n-l\x1b[2J"}), r#"shell "ls -l[2J""#),
            (json!({"n": 3, "q": "x"}), r#"shell "x""#),
            (json!({"n": 3}), r#"shell {"n":3}"#),
        ] {
            let Value::Object(arguments) = arguments else {
                panic!("arguments are an object");
            };
            assert_eq!(tool_line("shell", &arguments), expected);
        }
    }

    #[test]
    fn durations_are_short() {
        for (millis, expected) in [
            (3, "3 ms"),
            (999, "999 ms"),
            (1500, "1.5 s"),
            (61_000, "1 min 1 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }
}
