//! Errors, as a person reads them: a sentence, a hint, an exit code.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use ash_memory::MemoryError;

use crate::terminal::harmless;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// The person can fix it.
    Fixable = 1,
    /// It was called wrongly.
    Usage = 2,
    /// A fault of ours, or of a service.
    Fault = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// Something that a person can be told, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

impl Problem {
    /// Makes a problem that the person can fix.
    pub(crate) fn fixable(message: impl Into<String>) -> Self {
        Self::new(Exit::Fixable, message.into())
    }

    /// Makes a problem of how the program was called.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message.into())
    }

    /// Makes a problem that is a fault of ours or of a service.
    pub(crate) fn fault(message: impl Into<String>) -> Self {
        Self::new(Exit::Fault, message.into())
    }

    /// Returns how the program ends by it.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Adds what the person can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn new(exit: Exit, message: String) -> Self {
        Self {
            message,
            hint: None,
            exit,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Tells the person what went wrong, and returns how the program ends.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if is_broken_pipe(error) {
        return Exit::Done;
    }
    let verdict = judge(error);
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let bold = Style::new().bold();
    let mut err = anstream::stderr().lock();
    let message = sentence(error);
    // Standard error may be gone as well; there is nobody left to tell.
    let _ = writeln!(err, "{red}error:{red:#} {}", harmless(&message));
    if let Some(hint) = verdict.hint {
        let _ = writeln!(err, "{bold}hint:{bold:#} {}", harmless(&hint));
    }
    verdict.exit
}

/// Returns the whole chain as one sentence.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if sentence.ends_with(&text) {
            continue;
        }
        if !sentence.is_empty() {
            sentence.push_str(": ");
        }
        sentence.push_str(&text);
    }
    sentence
}

/// What an error means for the person.
pub(crate) struct Verdict {
    pub(crate) exit: Exit,
    pub(crate) hint: Option<String>,
}

/// Judges an error by the first cause that knows what to do.
pub(crate) fn judge(error: &anyhow::Error) -> Verdict {
    for cause in error.chain() {
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return Verdict {
                exit: problem.exit,
                hint: problem.hint.clone(),
            };
        }
        if let Some(error) = cause.downcast_ref::<ash_llm::LlmError>() {
            return Verdict {
                exit: if error.is_retryable() || error.is_cancelled() {
                    Exit::Fault
                } else {
                    Exit::Fixable
                },
                hint: Some(error.hint().to_owned()),
            };
        }
        if let Some(ash_core::Error::Memory(error)) = cause.downcast_ref::<ash_core::Error>() {
            return judge_memory(error);
        }
        if let Some(error) = cause.downcast_ref::<MemoryError>() {
            return judge_memory(error);
        }
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && let Some(hint) = io_hint(error.kind())
        {
            return Verdict {
                exit: Exit::Fixable,
                hint: Some(hint.to_owned()),
            };
        }
    }
    Verdict {
        exit: Exit::Fault,
        hint: None,
    }
}

fn judge_memory(error: &MemoryError) -> Verdict {
    let (exit, hint) = match error {
        MemoryError::Busy { .. } => (
            Exit::Fixable,
            Some("wait until it is done, or speak in another session (`--session NAME`, `--new`)"),
        ),
        MemoryError::LeaseLost => (Exit::Fixable, Some("say it again")),
        MemoryError::Locked { .. } => (Exit::Fixable, Some("end them first, then try again")),
        MemoryError::NewerSchema { .. } => (
            Exit::Fixable,
            Some("update Ash; or take the change back with `ash db rollback` of the newer one"),
        ),
        MemoryError::Corrupt(_) => (
            Exit::Fixable,
            Some("`ash db check` says more, `ash db restore` puts the newest backup in its place"),
        ),
        MemoryError::Full => (Exit::Fixable, Some("make room on the disk")),
        MemoryError::NotFound { .. } => (
            Exit::Fixable,
            Some("`ash sessions list` shows what is there"),
        ),
        MemoryError::Invalid(_) | MemoryError::Import { .. } => (Exit::Fixable, None),
        MemoryError::Io { source, .. } | MemoryError::Write(source) => match io_hint(source.kind())
        {
            Some(hint) => (Exit::Fixable, Some(hint)),
            None => (Exit::Fault, None),
        },
        MemoryError::Closed | MemoryError::Migration(_) | MemoryError::Sqlite(_) => {
            (Exit::Fault, None)
        }
    };
    Verdict {
        exit,
        hint: hint.map(str::to_owned),
    }
}

fn io_hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::PermissionDenied => Some("check who owns the file and who may write it"),
        io::ErrorKind::NotFound => Some("check that the path is right"),
        io::ErrorKind::StorageFull => Some("make room on the disk"),
        io::ErrorKind::ReadOnlyFilesystem => Some("choose another place with `--home`"),
        _ => None,
    }
}

/// Tells whether whoever read our output went away, which is theirs to decide.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let written = match cause.downcast_ref() {
            Some(MemoryError::Write(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        written.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use ash_llm::{ErrorKind, LlmError};

    use super::*;

    #[test]
    fn the_first_cause_that_knows_decides() {
        let error = anyhow::Error::new(Problem::fixable("no such session").hint("list them"))
            .context("cannot show it");
        let verdict = judge(&error);
        assert_eq!(verdict.exit, Exit::Fixable);
        assert_eq!(verdict.hint.as_deref(), Some("list them"));
        assert_eq!(sentence(&error), "cannot show it: no such session");
    }

    #[test]
    fn a_model_that_is_down_is_a_fault_and_a_wrong_key_is_not() {
        for (kind, exit) in [
            (ErrorKind::Server, Exit::Fault),
            (ErrorKind::Connect, Exit::Fault),
            (ErrorKind::Auth, Exit::Fixable),
            (ErrorKind::NotFound, Exit::Fixable),
        ] {
            let error = anyhow::Error::new(LlmError::new("anthropic", kind, "it said so"));
            assert_eq!(judge(&error).exit, exit, "{kind:?}");
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe))
            .context("cannot write")
            .unwrap_err();
        assert_eq!(report(&error), Exit::Done);
    }

    #[test]
    fn a_cause_that_was_already_said_is_not_said_again() {
        let error = anyhow::anyhow!("disk full").context("cannot write: disk full");
        assert_eq!(sentence(&error), "cannot write: disk full");
    }
}
