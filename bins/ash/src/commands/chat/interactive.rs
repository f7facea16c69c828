//! A conversation with a person at the terminal.

use std::io::Write as _;

use ash_memory::{UsageBy, UsageQuery};

use super::View;
use super::conversation::{Conversation, Ended};
use super::text::{TextView, failure};
use crate::app::App;
use crate::commands::usage;
use crate::report::{self, Exit};
use crate::terminal::{self, Line, LineEditor};

const PROMPT: &str = "› ";

/// The commands, and what they do.
const COMMANDS: [(&str, &str); 5] = [
    (
        "/new",
        "start afresh; what was said before stays searchable",
    ),
    (
        "/model",
        "show the model, or change it: /model PROVIDER/MODEL",
    ),
    ("/usage", "show tokens and cost of this conversation"),
    ("/help", "show this"),
    ("/quit", "leave (or Ctrl-D, or Ctrl-C twice)"),
];
const NAMES: [&str; COMMANDS.len()] = ["/new", "/model", "/usage", "/help", "/quit"];

/// Talks until the person leaves.
pub(super) async fn run(app: &App, name: &str) -> anyhow::Result<Exit> {
    let mut view = TextView::new();
    let mut talk = Conversation::open(app.agent.clone(), name, &mut view).await?;
    let editor = LineEditor::start(app.home.data().join("history"), &NAMES)?;
    let model = app.agent.model().id();
    view.note(&format!(
        "{model}, session {name}; /help shows what else you can say"
    ))?;
    talk.catch_up(&mut view, Some(&editor)).await?;
    let mut warned = false;
    loop {
        // A line that is dropped half typed is lost, but so is the process.
        let line = tokio::select! {
            line = editor.read(PROMPT) => line,
            () = talk.told_to_end() => Line::End,
        };
        let text = match line {
            Line::Said(text) => text.replace("\\\n", "\n"),
            Line::Interrupt if !warned => {
                warned = true;
                view.note("Ctrl-C again leaves")?;
                continue;
            }
            Line::Interrupt | Line::End => break,
        };
        warned = false;
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if let Some(command) = command(text) {
            if command == "/quit" || command == "/exit" {
                break;
            }
            if let Err(error) = obey(text, app, &talk, &mut view).await {
                report::report(&error);
            }
            continue;
        }
        match talk.say(text, &mut view, Some(&editor)).await? {
            Ended::Left => break,
            Ended::Finished(finished) => {
                if let Some(problem) = failure(&finished.outcome) {
                    report::report(&problem.into());
                }
            }
        }
    }
    talk.leave().await;
    Ok(Exit::Done)
}

/// Tells whether a line is a command: a slash and letters. A path has more slashes.
fn command(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    let name = word.strip_prefix('/')?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(word)
}

async fn obey(
    text: &str,
    app: &App,
    talk: &Conversation,
    view: &mut TextView,
) -> anyhow::Result<()> {
    let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match command {
        "/new" => {
            talk.session().start_afresh()?;
            view.note("a fresh start; what was said before stays searchable")?;
        }
        "/model" if rest.trim().is_empty() => {
            view.note(&app.agent.model().id())?;
        }
        "/model" => {
            let model = app.models.answering(Some(rest.trim()))?;
            let id = model.id();
            talk.session().use_model(model)?;
            view.note(&format!("{id} answers from now on"))?;
        }
        "/usage" => {
            let query = UsageQuery {
                since: None,
                until: None,
                by: UsageBy::Session,
            };
            let totals = app.agent.memory().usage(query).await?;
            let id = talk.session().id().as_str();
            let total = totals.iter().find(|total| total.key == id);
            view.note(&total.map_or_else(|| "no model was asked yet".to_owned(), usage::line))?;
        }
        "/help" => {
            let rows = COMMANDS.map(|(name, what)| [name.to_owned(), what.to_owned()]);
            terminal::columns(&mut terminal::stderr(), None, &rows)?;
            writeln!(
                terminal::stderr(),
                "A backslash at its end lets a line go on. Ctrl-C interrupts an answer."
            )?;
        }
        _ => {
            let nearest = NAMES
                .iter()
                .max_by(|a, b| {
                    strsim::jaro_winkler(a, command).total_cmp(&strsim::jaro_winkler(b, command))
                })
                .expect("there are commands");
            view.note(&format!("there is no {command}; did you mean {nearest}?"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_command() {
        assert_eq!(command("/new"), Some("/new"));
        assert_eq!(command("/model a/b"), Some("/model"));
        assert_eq!(command("/etc/hosts is what?"), None);
        assert_eq!(command("/"), None);
        assert_eq!(command("a /new"), None);
    }

    #[test]
    fn every_command_is_completed() {
        assert_eq!(COMMANDS.map(|(name, _)| name), NAMES);
    }
}
