//! What was said: on the command line, through a pipe, or both.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli;
use crate::report::Problem;
use crate::terminal;

/// How long a pipe may be silent before the person is told what is waited for.
const PATIENCE: Timespec = Timespec {
    tv_sec: 3,
    tv_nsec: 0,
};

/// Returns what was said, or `None` where a person sits at the terminal and has said nothing yet.
pub(super) fn read(arguments: &cli::Chat) -> anyhow::Result<Option<String>> {
    let typed = match &arguments.prompt {
        Some(prompt) => prompt.clone(),
        None => arguments.text.join(" "),
    };
    let stdin = io::stdin();
    let piped = match stdin.is_terminal() {
        true if typed.trim().is_empty() => return Ok(None),
        true => String::new(),
        false => read_pipe()?,
    };
    let said = join(&typed, &piped);
    if said.is_empty() {
        return Err(Problem::usage("there is nothing to say")
            .hint("give a text, or pipe one in: ash chat \"hello\"")
            .into());
    }
    Ok(Some(said))
}

fn read_pipe() -> anyhow::Result<String> {
    let mut stdin = io::stdin().lock();
    let mut wait = [PollFd::new(&stdin, PollFlags::IN)];
    // Where a pipe stays open and silent, nothing else would tell why nothing happens.
    if matches!(poll(&mut wait, Some(&PATIENCE)), Ok(0)) {
        writeln!(
            terminal::stderr(),
            "waiting for the piped input to end (`< /dev/null` says that there is none)"
        )?;
    }
    let mut bytes = Vec::new();
    stdin
        .read_to_end(&mut bytes)
        .context("cannot read the piped input")?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::fixable(format!("the piped input is not UTF-8 text (byte {at})"))
            .hint("pipe text in")
            .into()
    })
}

/// Puts what was typed before what was piped in.
fn join(typed: &str, piped: &str) -> String {
    match (typed.trim(), piped.trim()) {
        ("", piped) => piped.to_owned(),
        (typed, "") => typed.to_owned(),
        (typed, piped) => format!("{typed}\n\n{piped}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_piped_follows_what_is_typed() {
        assert_eq!(join("sum up", "a\nb\n"), "sum up\n\na\nb");
        assert_eq!(join("", " a\n"), "a");
        assert_eq!(join("a", "\n"), "a");
        assert_eq!(join(" ", "\n"), "");
    }
}
