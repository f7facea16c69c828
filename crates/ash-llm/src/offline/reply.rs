//! What the offline model says, made from what its tools found.

use super::history::{self, Findings, Hit, Kind, Speaker};
use super::rules::Instruction;
use crate::{ToolCall, ToolResult};

/// Says what is answering.
pub(super) const OFFLINE: &str = "I am running offline: no model is connected";

/// Says what that means.
pub(super) const ABLE: &str = "I follow plain instructions and quote what was said";

/// Says how to get a better answer.
pub(super) const CONNECT: &str =
    "To connect a model, run `ash init`, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.";

/// Stands in everything that is said here about being offline, so that it is never quoted later.
const MARK: &str = "no model is connected";

/// How a quoting answer of this model begins, in case a search shortened it.
const TOLD: &str = "You told me on ";

/// Answers a question or an instruction from what the tools said.
pub(super) fn to_outcomes(words: &str, outcomes: &[(&ToolCall, &ToolResult)]) -> String {
    let is_question = outcomes
        .iter()
        .any(|(call, _)| call.name == "search_history");
    if is_question {
        return to_question(words, outcomes);
    }
    let parts: Vec<String> = outcomes
        .iter()
        .map(|(call, result)| to_outcome(call, said(result).trim(), result.is_error))
        .collect();
    parts.join("\n\n")
}

fn to_question(words: &str, outcomes: &[(&ToolCall, &ToolResult)]) -> String {
    let said_by = |tool: &str| -> Option<String> {
        let (_, result) = outcomes
            .iter()
            .find(|(call, result)| call.name == tool && !result.is_error)?;
        Some(said(result))
    };
    let found = said_by("search_history").unwrap_or_default();
    let answer = match Findings::for_question(words, &found) {
        Findings::Quotes(hits) => hits.iter().map(quote).collect::<Vec<_>>().join("\n"),
        Findings::Nearest(hit) => {
            format!(
                "Our history does not answer this for certain. The nearest is:\n{}",
                quote(&hit)
            )
        }
        Findings::Nothing => match said_by("recall").as_deref().map(str::trim) {
            Some(memories) if !memories.is_empty() => {
                format!("This is what I remember:\n\n{memories}")
            }
            Some(_) | None => return nothing_found(words),
        },
    };
    format!("{answer}\n\n({OFFLINE}.)")
}

/// Returns what a tool said, without the lines by which an agent marks it as data.
fn said(result: &ToolResult) -> String {
    result
        .joined_text()
        .lines()
        .filter(|line| !line.starts_with("<tool_output") && *line != "</tool_output>")
        .collect::<Vec<_>>()
        .join("\n")
}

fn to_outcome(call: &ToolCall, text: &str, is_error: bool) -> String {
    if is_error {
        return format!("That did not work. `{}` says: {text}", call.name);
    }
    let argument = call
        .arguments
        .values()
        .find_map(|value| value.as_str())
        .unwrap_or_default();
    match call.name.as_str() {
        "remember" => joined(&format!("Noted: {}", quoted(argument)), text),
        "recall" if text.is_empty() => nothing_found("?"),
        "recall" => format!("This is what I know about {argument}:\n\n{text}\n\n({OFFLINE}.)"),
        "bash" if text.is_empty() => format!("`{argument}` ran and printed nothing."),
        "bash" => {
            let fence = fence_for(text);
            format!("{fence}\n{text}\n{fence}")
        }
        "web_search" => joined(
            &format!("This is what the web says about {argument}:"),
            text,
        ),
        "forget" | "schedule" if !text.is_empty() => text.to_owned(),
        name => joined(&format!("`{name}` is done."), text),
    }
}

/// Says what follows when the tool for an instruction is not offered.
pub(super) fn without_tool(instruction: &Instruction) -> String {
    let argument = instruction.argument.as_str();
    match instruction.tool.tool {
        "remember" => format!(
            "Noted: {} It is kept in our history; ask me and I will find it.\n\n({OFFLINE}.)",
            quoted(argument)
        ),
        "forget" => format!(
            "I cannot forget that here: the tool for it is switched off. `ash memory forget` and \
             `ash sessions delete` remove what is stored.\n\n({OFFLINE}.)"
        ),
        "bash" => format!(
            "I cannot run commands here: there is no shell tool. `ash doctor` says why.\n\n({OFFLINE}.)"
        ),
        "web_search" => format!(
            "I cannot search the web here: the tool for it is switched off. It needs \
             BRAVE_SEARCH_API_KEY.\n\n({OFFLINE}.)"
        ),
        "schedule" => format!(
            "I cannot set reminders here: the tool for it is switched off. What you said is kept in \
             our history.\n\n({OFFLINE}.)"
        ),
        name => format!("I cannot do that here: the tool `{name}` is not offered.\n\n({OFFLINE}.)"),
    }
}

/// Asks what is meant where following the words blindly could do harm.
pub(super) fn asking_back(instruction: &Instruction) -> Option<String> {
    let is_vague = matches!(
        instruction.argument.to_lowercase().as_str(),
        "it" | "that" | "this" | "them" | "all" | "everything" | "everything about me"
    );
    match instruction.tool.tool {
        "forget" if is_vague => Some(
            "What shall I forget? Please name it, for instance \"forget Anna's birthday\"."
                .to_owned(),
        ),
        "remember" if is_vague => {
            Some("What shall I remember? Please put it in one sentence.".to_owned())
        }
        _ => None,
    }
}

pub(super) fn to_picture() -> String {
    format!("I cannot look at pictures. {OFFLINE}, so {ABLE}. {CONNECT}")
}

/// Says that there is nobody to answer, and what to do.
pub(super) fn no_model() -> String {
    format!("I cannot answer this. {OFFLINE}, so {ABLE}. {CONNECT}")
}

fn nothing_found(words: &str) -> String {
    // Who tells something does not ask for an answer, but wants to know that it was heard.
    let kept = if history::is_asking(words) {
        ""
    } else {
        " What you say is kept there, so that I can find it later."
    };
    format!("I found nothing about this in our history.{kept} {OFFLINE}, so {ABLE}. {CONNECT}")
}

/// Tells whether words were said by this model: quoting quotes helps nobody.
pub(super) fn is_by_offline(speaker: &Speaker, text: &str) -> bool {
    *speaker == Speaker::Ash
        && (text.contains(MARK) || text.starts_with(TOLD) || text.starts_with("Noted: "))
}

fn quote(hit: &Hit) -> String {
    let date = hit.date.strftime("%-d %B %Y");
    let verb = if hit.kind == Kind::Asked {
        "asked"
    } else {
        "told"
    };
    let words = quoted(&hit.text);
    match &hit.speaker {
        Speaker::Owner => format!("You {verb} me on {date}: {words}"),
        Speaker::Ash => format!("I told you on {date}: {words}"),
        Speaker::Other(name) => format!("{name} {verb} me on {date}: {words}"),
    }
}

/// Puts words between quotation marks, as a sentence.
fn quoted(words: &str) -> String {
    let words = words.trim();
    let needs_stop = |c: char| c.is_alphanumeric() && !history::is_unspaced(c);
    let stop = if words.ends_with(needs_stop) { "." } else { "" };
    format!("\"{words}{stop}\"")
}

fn joined(lead: &str, text: &str) -> String {
    if text.is_empty() {
        lead.to_owned()
    } else {
        format!("{lead}\n\n{text}")
    }
}

/// Returns a fence longer than any in the text, so that output cannot end its own block.
fn fence_for(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}
