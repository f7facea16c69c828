//! What standard output and standard error are connected to.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

use super::Surface;
use crate::report::Problem;

/// Returns standard output; styles written to it vanish where nobody wants them.
pub(crate) fn stdout() -> AutoStream<io::StdoutLock<'static>> {
    anstream::stdout().lock()
}

/// Returns standard error; styles written to it vanish where nobody wants them.
pub(crate) fn stderr() -> AutoStream<io::StderrLock<'static>> {
    anstream::stderr().lock()
}

/// Tells whether the log on standard error may be coloured.
pub(crate) fn stderr_has_color() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Tells whether somebody sits there and can be asked.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Tells whether standard output is a terminal.
pub(crate) fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// Returns what an answer on standard output is shown on.
pub(crate) fn surface() -> Surface {
    surface_of(&io::stdout())
}

/// Returns what an answer on standard error is shown on.
pub(crate) fn surface_of_talk() -> Surface {
    surface_of(&io::stderr())
}

fn surface_of(stream: &(impl RawStream + AsFd)) -> Surface {
    if !stream.is_terminal() {
        return Surface::Pipe;
    }
    let moves = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if moves && size.ws_col >= 10 && size.ws_row >= 4 => Surface::Screen {
            width: size.ws_col.into(),
            height: size.ws_row.into(),
            color: AutoStream::choice(stream) != ColorChoice::Never,
        },
        _ => Surface::Dumb,
    }
}

/// Asks before something that cannot be undone. Without somebody to ask, only `yes` allows it.
pub(crate) fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !is_interactive() {
        return Err(
            Problem::fixable(format!("{question} Nobody is here to answer"))
                .hint("give --yes to do it without asking")
                .into(),
        );
    }
    let mut err = stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Problem::fixable("nothing was done").into()),
    }
}
