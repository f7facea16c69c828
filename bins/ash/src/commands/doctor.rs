//! `ash doctor`: check everything, and say what to do.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use ash_llm::{Message, Model, Offline, Request};
use ash_memory::admin::Admin;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Context, block_on, print_json};
use crate::cli;
use crate::config::Config;
use crate::home::Home;
use crate::models::Models;
use crate::report::{self, Exit};
use crate::terminal;

/// What was looked at, and what was seen.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    about: &'static str,
    /// How it is.
    state: State,
    /// What was seen.
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Good,
    /// Good to know.
    Note,
    /// To be put right.
    Bad,
}

/// Runs `ash doctor`.
pub(crate) fn run(context: &Context, arguments: &cli::Doctor) -> anyhow::Result<Exit> {
    let mut findings = Vec::new();
    check_home(&context.home, &mut findings);
    match Config::load(&context.home, &context.environment) {
        Ok(config) => {
            check_config(&context.home, &config, &mut findings);
            check_workspace(&context.home, &config, &mut findings);
            check_database(&context.home, &config, &mut findings);
            check_models(context, &config, arguments.online, &mut findings);
        }
        Err(error) => findings.push(failed("settings", &error)),
    }
    findings.push(note(
        "sandbox",
        "this version has none, and so no tool that runs commands",
    ));
    findings.push(note(
        "telegram",
        "this version does not speak to Telegram yet",
    ));
    show(&findings, arguments.json.json)?;
    if findings.iter().any(|finding| finding.state == State::Bad) {
        Ok(Exit::Fixable)
    } else {
        Ok(Exit::Done)
    }
}

fn check_home(home: &Home, findings: &mut Vec<Finding>) {
    let root = home.root();
    if !root.exists() {
        findings.push(
            note("home", format!("{} is not there yet", home.shown(root)))
                .hint("`ash init` or the first `ash chat` makes it"),
        );
        return;
    }
    if open_to_others(root) {
        findings.push(
            bad("home", format!("others can look into {}", home.shown(root)))
                .hint(format!("chmod 700 {}", home.shown(root))),
        );
    } else {
        findings.push(good("home", format!("{}, yours alone", home.shown(root))));
    }
}

fn check_config(home: &Home, config: &Config, findings: &mut Vec<Finding>) {
    let path = home.config();
    let shown = home.shown(&path);
    if !config.has_file() {
        findings.push(note(
            "settings",
            format!("there is no {shown}: the defaults hold"),
        ));
    } else if open_to_others(&path) {
        findings.push(
            bad("settings", format!("others can read {shown}")).hint(format!("chmod 600 {shown}")),
        );
    } else {
        findings.push(good("settings", format!("{shown} is valid")));
    }
    for key in config.idle() {
        findings.push(note(
            "settings",
            format!("`{key}` has no effect in this version"),
        ));
    }
}

fn check_workspace(home: &Home, config: &Config, findings: &mut Vec<Finding>) {
    let path = &config.settings.workspace;
    let shown = home.shown(path);
    findings.push(match path.join("SOUL.md").metadata() {
        Ok(_) => good("workspace", shown),
        Err(_) => note(
            "workspace",
            format!("{shown} has no SOUL.md: the personality that Ash comes with is used"),
        )
        .hint("`ash init` writes the files, to be edited"),
    });
}

fn check_database(home: &Home, config: &Config, findings: &mut Vec<Finding>) {
    let path = &config.settings.memory.database_path;
    let shown = home.shown(path);
    if !path.exists() {
        findings.push(note("database", format!("{shown} is not there yet")));
        return;
    }
    if open_to_others(path) {
        findings.push(
            bad("database", format!("others can read {shown}")).hint(format!("chmod 600 {shown}")),
        );
    }
    let admin = Admin::new(path, home.backups());
    let looked = admin
        .status()
        .and_then(|status| Ok((status, admin.check()?, admin.backups()?)));
    let (status, check, backups) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            findings.push(failed("database", &error.into()));
            return;
        }
    };
    let damage = [check.file, check.references, check.search].concat();
    if let Some(first) = damage.first() {
        findings.push(
            bad("database", format!("{shown} is damaged: {first}"))
                .hint("`ash db check` says more, `ash db restore` takes the newest backup"),
        );
    } else if status.pending.is_empty() {
        findings.push(good(
            "database",
            format!("{shown} is sound, at schema version {}", status.version),
        ));
    } else {
        findings.push(
            note(
                "database",
                format!("{shown} is behind: {}", status.pending.join(", ")),
            )
            .hint("`ash db migrate` brings it up to date, as does the next start"),
        );
    }
    findings.push(match backups.last() {
        Some(newest) => good("backups", format!("the newest is {}", home.shown(newest))),
        None => note("backups", "there is none yet").hint("`ash db backup` makes one"),
    });
}

/// Looks at the models that would be asked, and asks them if that is wished.
fn check_models(context: &Context, config: &Config, online: bool, findings: &mut Vec<Finding>) {
    let models = match Models::new(config, &context.environment) {
        Ok(models) => models,
        Err(error) => {
            findings.push(failed("models", &error));
            return;
        }
    };
    for (about, model) in [
        ("model", models.default().map(Some)),
        ("fallback", models.fallback()),
    ] {
        let model = match model {
            Ok(Some(model)) => model,
            Ok(None) => continue,
            Err(error) => {
                findings.push(failed(about, &error));
                continue;
            }
        };
        let id = model.id();
        if model.provider.name() == Offline::NAME {
            findings.push(
                note(
                    about,
                    format!("{id}, the built-in one that answers from what you told it"),
                )
                .hint("set ANTHROPIC_API_KEY or OPENAI_API_KEY, or run `ash init`"),
            );
        } else if online {
            findings.push(match block_on(greet(&model)) {
                Ok(()) => good(about, format!("{id} answers")),
                Err(error) => failed(about, &error),
            });
        } else {
            findings.push(good(
                about,
                format!("{id}, not asked (`ash doctor --online` asks)"),
            ));
        }
    }
}

/// Asks a model for next to nothing.
async fn greet(model: &Model) -> anyhow::Result<()> {
    let request = Request {
        model: model.name.clone(),
        messages: vec![Message::user("Say ok.")],
        max_tokens: 16,
        ..Request::default()
    };
    let cancel = CancellationToken::new();
    model.provider.complete(request, cancel).await?;
    Ok(())
}

fn open_to_others(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn show(findings: &[Finding], json: bool) -> anyhow::Result<()> {
    if json {
        let sound = findings.iter().all(|finding| finding.state != State::Bad);
        return print_json(&json!({ "sound": sound, "findings": findings }));
    }
    let mut out = terminal::stdout();
    for finding in findings {
        let (mark, color) = match finding.state {
            State::Good => ('✓', AnsiColor::Green),
            State::Note => ('·', AnsiColor::Yellow),
            State::Bad => ('✗', AnsiColor::Red),
        };
        let style = Style::new().fg_color(Some(color.into()));
        let message = terminal::harmless(&finding.message);
        writeln!(
            out,
            "{style}{mark}{style:#} {:<10} {message}",
            finding.about
        )?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "             → {}", terminal::harmless(hint))?;
        }
    }
    Ok(())
}

impl Finding {
    fn new(about: &'static str, state: State, message: impl Into<String>) -> Self {
        Self {
            about,
            state,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn good(about: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(about, State::Good, message)
}

fn note(about: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(about, State::Note, message)
}

fn bad(about: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(about, State::Bad, message)
}

fn failed(about: &'static str, error: &anyhow::Error) -> Finding {
    let finding = bad(about, report::sentence(error));
    match report::judge(error).hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}
