//! `ash completions`

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::report::Exit;
use crate::terminal;

/// Prints the completion script of a shell.
pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ash", &mut script);
    terminal::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
