//! The line that a person types.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};
use tokio::sync::{mpsc, oneshot};

/// What came of asking for a line.
#[derive(Debug)]
pub(crate) enum Line {
    /// Words.
    Said(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// Reads lines in a thread of its own, because the terminal cannot be waited for otherwise.
pub(crate) struct LineEditor {
    asks: mpsc::Sender<Ask>,
    /// How the terminal was before.
    before: Option<Termios>,
}

impl Drop for LineEditor {
    /// Leaves the terminal as it was, also where a line is still being typed.
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

struct Ask {
    prompt: String,
    keep: bool,
    answer: oneshot::Sender<Line>,
}

impl LineEditor {
    /// Starts with the history in a file, and with words that begin with a slash to complete.
    pub(crate) fn start(
        history: PathBuf,
        commands: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let config = Config::builder()
            .max_history_size(1000)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .bracketed_paste(true)
            .build();
        let mut editor: Editor<Commands, FileHistory> =
            Editor::with_config(config).context("the terminal cannot be read")?;
        editor.set_helper(Some(Commands(commands)));
        // There is none at the first time; one that cannot be read is not worth a failure.
        let _ = editor.load_history(&history);
        let (asks, mut asked) = mpsc::channel::<Ask>(1);
        thread::Builder::new()
            .name("line-editor".to_owned())
            .spawn(move || {
                while let Some(ask) = asked.blocking_recv() {
                    let line = read(&mut editor, &ask);
                    if let (Line::Said(text), true) = (&line, ask.keep) {
                        keep(&mut editor, &history, text);
                    }
                    // Whoever asked may have left meanwhile.
                    let _ = ask.answer.send(line);
                }
            })
            .context("cannot start a thread")?;
        let before = tcgetattr(io::stdin()).ok();
        Ok(Self { asks, before })
    }

    /// Asks for words; they become part of the history.
    pub(crate) async fn read(&self, prompt: &str) -> Line {
        self.ask(prompt, true).await
    }

    /// Asks a question; the answer is no part of the history.
    pub(crate) async fn question(&self, prompt: &str) -> Line {
        self.ask(prompt, false).await
    }

    async fn ask(&self, prompt: &str, keep: bool) -> Line {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            prompt: prompt.to_owned(),
            keep,
            answer,
        };
        if self.asks.send(ask).await.is_err() {
            return Line::End;
        }
        answered.await.unwrap_or(Line::End)
    }
}

fn read(editor: &mut Editor<Commands, FileHistory>, ask: &Ask) -> Line {
    match editor.readline(&ask.prompt) {
        Ok(text) => Line::Said(text),
        Err(ReadlineError::Interrupted) => Line::Interrupt,
        Err(_) => Line::End,
    }
}

fn keep(editor: &mut Editor<Commands, FileHistory>, history: &PathBuf, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    let added = editor.add_history_entry(text);
    // Appending lets two terminals share a history; the first time there is no file to append to.
    if added.is_ok() && editor.append_history(history).is_err() {
        let _ = editor.save_history(history);
    }
}

/// Completes commands, and lets a line go on after a backslash.
struct Commands(&'static [&'static str]);

impl Helper for Commands {}

impl Highlighter for Commands {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Hinter for Commands {
    type Hint = String;
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _ctx: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..position];
        let fitting = self
            .0
            .iter()
            .filter(|command| !typed.is_empty() && command.starts_with(typed))
            .map(|command| (*command).to_owned())
            .collect();
        Ok((0, fitting))
    }
}

impl Validator for Commands {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if ctx.input().ends_with('\\') {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}
