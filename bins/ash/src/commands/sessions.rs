//! `ash sessions`: look through conversations.

use std::fs::File;
use std::io::{self, BufRead, Write as _};
use std::path::Path;

use anstyle::Style;
use anyhow::Context as _;
use ash_memory::{
    Memory, MessageQuery, Role, Session, SessionId, StoredMessage, ToolExecution, Viewer,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, json};

use super::{Context, block_on, print_json};
use crate::app;
use crate::cli::{Json, SessionsCommand};
use crate::config::Config;
use crate::report::{Exit, Problem};
use crate::terminal::{self, StreamRenderer, Surface, one_line, tool_line};

/// How many messages are read at once.
const PAGE: usize = 500;

/// Runs `ash sessions`.
pub(crate) fn run(context: &Context, command: SessionsCommand) -> anyhow::Result<Exit> {
    let config = Config::load(&context.home, &context.environment)?;
    let zone = config.settings.timezone.resolve();
    let memory = app::open_kept(&context.home, &config.settings)?;
    block_on(async {
        match (command, memory) {
            (SessionsCommand::List(json), memory) => list(memory.as_ref(), &zone, json).await,
            (SessionsCommand::Search { query, limit, json }, memory) => {
                search(memory.as_ref(), &zone, &query.join(" "), limit, json).await
            }
            (
                SessionsCommand::Show {
                    session,
                    limit,
                    trace,
                    json,
                },
                memory,
            ) => {
                let (memory, session) = find(memory, &session).await?;
                show(&memory, &zone, &session, limit, trace, json).await
            }
            (SessionsCommand::Export, memory) => export(memory.as_ref()).await,
            (SessionsCommand::Import { file, json }, _) => {
                context.home.create()?;
                let memory = app::open_memory(&context.home, &config.settings)?;
                import(&memory, &file, json).await
            }
            (SessionsCommand::Delete { session, yes }, memory) => {
                let (memory, session) = find(memory, &session).await?;
                delete(&memory, &session, yes.yes).await
            }
        }
    })
}

async fn list(memory: Option<&Memory>, zone: &TimeZone, json: Json) -> anyhow::Result<Exit> {
    let sessions = match memory {
        Some(memory) => memory.sessions().await?,
        None => Vec::new(),
    };
    if json.json {
        print_json(&json!(sessions))?;
        return Ok(Exit::Done);
    }
    if sessions.is_empty() {
        writeln!(terminal::stderr(), "there is no conversation yet")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 4]> = sessions
        .into_iter()
        .map(|summary| {
            [
                name(&summary.session),
                summary.messages.to_string(),
                time(summary.session.updated_at, zone),
                summary.title.unwrap_or_default(),
            ]
        })
        .collect();
    let heading = ["SESSION", "MESSAGES", "LAST", "BEGINS WITH"];
    terminal::columns(&mut terminal::stdout(), Some(heading), &rows)?;
    Ok(Exit::Done)
}

async fn search(
    memory: Option<&Memory>,
    zone: &TimeZone,
    text: &str,
    limit: usize,
    json: Json,
) -> anyhow::Result<Exit> {
    let query = MessageQuery {
        limit,
        ..MessageQuery::new(text, Viewer::Operator)
    };
    let hits = match memory {
        Some(memory) => memory.search_messages(query).await?,
        None => Vec::new(),
    };
    if json.json {
        print_json(&json!(hits))?;
        return Ok(Exit::Done);
    }
    if hits.is_empty() {
        writeln!(terminal::stderr(), "nothing was found")?;
    }
    let rows: Vec<[String; 4]> = hits
        .into_iter()
        .map(|hit| {
            [
                time(hit.message.created_at, zone),
                short_name(&hit.provider, &hit.chat_id),
                speaker(&hit.message).to_owned(),
                hit.message.content,
            ]
        })
        .collect();
    terminal::columns(&mut terminal::stdout(), None, &rows)?;
    Ok(Exit::Done)
}

async fn show(
    memory: &Memory,
    zone: &TimeZone,
    session: &Session,
    limit: Option<usize>,
    trace: bool,
    json: Json,
) -> anyhow::Result<Exit> {
    let messages = messages(memory, &session.id, limit).await?;
    let mut tools = memory.tool_executions(&session.id, None).await?;
    if let (Some(_), Some(first)) = (limit, messages.first()) {
        tools.retain(|tool| tool.created_at >= first.created_at);
    }
    if json.json {
        print_json(&json!({ "session": session, "messages": messages, "tools": tools }))?;
        return Ok(Exit::Done);
    }
    let surface = terminal::surface();
    let mut tools = tools.iter().peekable();
    for message in &messages {
        // A tool was noted before the message with its result, and after the one that asked for it.
        while let Some(tool) = tools.next_if(|tool| tool.created_at < message.created_at) {
            print_tool(tool, trace)?;
        }
        if message.role != Role::Tool {
            print_message(message, zone, surface, trace)?;
        }
    }
    for tool in tools {
        print_tool(tool, trace)?;
    }
    Ok(Exit::Done)
}

async fn export(memory: Option<&Memory>) -> anyhow::Result<Exit> {
    if let Some(memory) = memory {
        memory.export(io::BufWriter::new(io::stdout())).await?;
    }
    Ok(Exit::Done)
}

async fn import(memory: &Memory, file: &Path, json: Json) -> anyhow::Result<Exit> {
    let from: Box<dyn BufRead + Send> = if file == Path::new("-") {
        Box::new(io::BufReader::new(io::stdin()))
    } else {
        let file = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(io::BufReader::new(file))
    };
    let done = memory.import(from).await?;
    if json.json {
        print_json(&json!(done))?;
    } else {
        writeln!(
            terminal::stdout(),
            "{} sessions, {} messages and {} runs of tools were added; {} things were known",
            done.sessions,
            done.messages,
            done.tool_executions,
            done.known
        )?;
    }
    Ok(Exit::Done)
}

async fn delete(memory: &Memory, session: &Session, yes: bool) -> anyhow::Result<Exit> {
    let name = name(session);
    let count = messages(memory, &session.id, None).await?.len();
    terminal::confirm(
        &format!("Delete session `{name}` with its {count} messages for good?"),
        yes,
    )?;
    // Whoever speaks in it just now would lose the ground under their feet.
    let lease = memory.lease(&session.id, "ash sessions delete").await?;
    memory.delete_session(&session.id).await?;
    drop(lease);
    writeln!(terminal::stderr(), "deleted `{name}`")?;
    Ok(Exit::Done)
}

/// Finds a session by the name that people know it by, or by its id or the beginning of that.
async fn find(memory: Option<Memory>, wanted: &str) -> anyhow::Result<(Memory, Session)> {
    let sessions = match &memory {
        Some(memory) => memory.sessions().await?,
        None => Vec::new(),
    };
    let exact = sessions
        .iter()
        .find(|found| name(&found.session) == wanted || found.session.id.as_str() == wanted);
    let found = match exact {
        Some(found) => Some(found),
        None if wanted.len() >= 4 => {
            let mut begun = sessions
                .iter()
                .filter(|found| found.session.id.as_str().starts_with(wanted));
            begun.next().filter(|_| begun.next().is_none())
        }
        None => None,
    };
    if let (Some(found), Some(memory)) = (found, &memory) {
        return Ok((memory.clone(), found.session.clone()));
    }
    let nearest = sessions
        .iter()
        .map(|found| name(&found.session))
        .map(|name| (strsim::jaro_winkler(&name, wanted), name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let problem = Problem::fixable(format!("there is no session `{}`", one_line(wanted, 60)));
    Err(match nearest {
        Some((_, name)) => problem.hint(format!("did you mean `{name}`?")),
        None => problem.hint("`ash sessions list` names them"),
    }
    .into())
}

/// Reads the newest messages, all of them without a limit; oldest first.
async fn messages(
    memory: &Memory,
    session: &SessionId,
    limit: Option<usize>,
) -> anyhow::Result<Vec<StoredMessage>> {
    let mut pages: Vec<Vec<StoredMessage>> = Vec::new();
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let before = pages
            .last()
            .and_then(|page| page.first())
            .map(|first| &first.id);
        let size = left.min(PAGE);
        let page = memory.messages_before(session, before, size).await?;
        left -= page.len();
        let was_last = page.len() < size;
        pages.push(page);
        if was_last {
            break;
        }
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

fn print_message(
    message: &StoredMessage,
    zone: &TimeZone,
    surface: Surface,
    trace: bool,
) -> anyhow::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut out = terminal::stdout();
    if message.content.is_empty() && !trace {
        return Ok(());
    }
    writeln!(
        out,
        "{bold}{}{bold:#}  {dim}{}{dim:#}",
        speaker(message),
        time(message.created_at, zone)
    )?;
    if let (true, Some(context)) = (trace, &message.context) {
        for line in context.lines() {
            writeln!(out, "{dim}  told the model: {}{dim:#}", one_line(line, 200))?;
        }
    }
    drop(out);
    let mut renderer = StreamRenderer::new(io::stdout(), surface);
    renderer.push(&message.content)?;
    renderer.push("\n\n")?;
    renderer.finish()?;
    if let Surface::Screen { .. } = surface {
        writeln!(terminal::stdout())?;
    }
    Ok(())
}

fn print_tool(tool: &ToolExecution, trace: bool) -> anyhow::Result<()> {
    let empty = Map::new();
    let line = tool_line(&tool.tool, tool.input.as_object().unwrap_or(&empty));
    let (mark, rest) = match &tool.outcome {
        Some(outcome) => {
            let mark = if outcome.success { '✓' } else { '✗' };
            (mark, format!("{} ms", outcome.duration_ms))
        }
        None => ('?', "outcome unknown".to_owned()),
    };
    let mut out = terminal::stdout();
    let dim = Style::new().dimmed();
    writeln!(out, "{mark} {line}  {dim}{rest}{dim:#}")?;
    if trace {
        writeln!(
            out,
            "{dim}  given: {}{dim:#}",
            terminal::harmless(&tool.input.to_string())
        )?;
        for line in tool
            .outcome
            .iter()
            .flat_map(|outcome| outcome.output.lines())
        {
            writeln!(out, "{dim}  said: {}{dim:#}", terminal::harmless(line))?;
        }
    }
    writeln!(out)?;
    Ok(())
}

/// Returns the name that people know a session by: in the terminal the one they gave it.
pub(super) fn name(session: &Session) -> String {
    short_name(&session.provider, &session.chat_id)
}

fn short_name(provider: &str, chat_id: &str) -> String {
    match provider {
        "terminal" => chat_id.to_owned(),
        _ => format!("{provider}:{chat_id}"),
    }
}

fn speaker(message: &StoredMessage) -> &str {
    match (&message.role, &message.author) {
        (Role::Assistant, _) => "Ash",
        (Role::Tool, _) => "tool",
        (Role::User, Some(author)) if author != "terminal:owner" => author,
        (Role::User, _) => "you",
    }
}

fn time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}
