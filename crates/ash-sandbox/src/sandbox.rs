//! The contract that every backend keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Backend, Captured, SandboxError};

/// A place where commands run apart from the host and from each other.
///
/// Whatever happens to a command (its end, the time limit, a cancellation, a flood of output), when
/// [`exec`](Self::exec) returns its whole process tree is gone.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Returns which isolation this is.
    fn backend(&self) -> Backend;

    /// Runs a real command and says what is truly enforced.
    async fn probe(&self) -> Result<Enforced, SandboxError>;

    /// Runs a command in the files of `scope` and waits for its end.
    ///
    /// Commands of one scope run one after the other, those of different scopes side by side. What
    /// the command writes is also offered to `sink` while it runs: a preview, from which chunks are
    /// missing when its reader is slow. `cancel` ends the command as the time limit does, and what it
    /// wrote until then is kept.
    async fn exec(
        &self,
        scope: &Scope,
        exec: Exec,
        sink: Option<mpsc::Sender<Chunk>>,
        cancel: &CancellationToken,
    ) -> Result<Output, SandboxError>;

    /// Removes everything of a scope that is not its files: processes, containers, `/tmp`.
    async fn reset(&self, scope: &Scope) -> Result<(), SandboxError>;

    /// Removes everything of every scope that is not its files.
    async fn shutdown(&self);
}

/// Whose files a command sees: one conversation's.
///
/// It names a directory, a container and a control group, hence the short alphabet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = SandboxError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        // Lower case only: some file systems would make one directory of "A" and "a".
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || name.len() > 64 || !name.bytes().all(fits) {
            return Err(SandboxError::Scope(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command to run.
///
/// It reads nothing: its standard input is at its end from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// What a shell is given to run.
    pub command: String,
    /// How long it may run.
    pub timeout: Duration,
    /// The whole environment beyond what the sandbox itself sets; nothing is inherited.
    pub env: BTreeMap<String, String>,
}

impl Exec {
    /// Makes a command without further environment.
    pub fn new(command: impl Into<String>, timeout: Duration) -> Self {
        Self {
            command: command.into(),
            timeout,
            env: BTreeMap::new(),
        }
    }
}

/// A part of what a running command writes, raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written to.
    pub stream: Stream,
    /// What was written, cut anywhere.
    pub bytes: Vec<u8>,
}

/// One of the two streams of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What became of a command that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// What was kept of its standard output.
    pub stdout: Captured,
    /// What was kept of its standard error.
    pub stderr: Captured,
    /// How long it ran.
    pub duration: Duration,
}

impl Output {
    /// Returns how many bytes of both streams were left out.
    pub fn omitted_bytes(&self) -> u64 {
        self.stdout.omitted_bytes + self.stderr.omitted_bytes
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that the sandbox did not send.
    Signaled(i32),
    /// By the sandbox, at its time limit.
    TimedOut,
    /// By the sandbox, because the caller no longer wanted it.
    Cancelled,
    /// By the kernel, at its memory limit.
    OutOfMemory,
    /// Unknown: the sandbox went away under it.
    Lost,
}

/// What a sandbox holds a command to, as its probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// It sees its scope's files, and no others but the system's.
    pub files: Strength,
    /// It reaches no network that it was not given.
    pub network: Strength,
    /// It sees and signals its own processes only, and none outlives it.
    pub processes: Strength,
    /// It gains no privileges and reaches no dangerous part of the kernel.
    pub kernel: Strength,
    /// Its memory limit holds for the whole tree.
    pub memory: Strength,
    /// Its processor limit holds for the whole tree.
    pub cpu: Strength,
    /// The number of its processes is limited.
    pub process_count: Strength,
}

/// How far a protection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strength {
    /// It holds.
    Full,
    /// It holds in part; the sentence says where it ends.
    Partial(String),
    /// It does not hold; the sentence says why.
    Missing(String),
}

impl Enforced {
    /// Returns the protections that do not hold fully, each with its sentence.
    pub fn gaps(&self) -> Vec<(&'static str, &str)> {
        let Self {
            files,
            network,
            processes,
            kernel,
            memory,
            cpu,
            process_count,
        } = self;
        [
            ("files", files),
            ("network", network),
            ("processes", processes),
            ("kernel", kernel),
            ("memory", memory),
            ("cpu", cpu),
            ("process count", process_count),
        ]
        .into_iter()
        .filter_map(|(name, strength)| match strength {
            Strength::Full => None,
            Strength::Partial(sentence) | Strength::Missing(sentence) => {
                Some((name, sentence.as_str()))
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_name_that_is_safe_anywhere() {
        for name in ["main", "0192f0c1-7e2a-7000-8000-000000000001", "a", "9_z"] {
            assert_eq!(name.parse::<Scope>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_scope_cannot_leave_its_directory() {
        let long = "a".repeat(65);
        for name in [
            "", ".", "..", "../x", "a/b", "-rf", "_a", "Main", "a b", "a\0", "\u{e9}", &long,
        ] {
            assert_eq!(
                name.parse::<Scope>().unwrap_err(),
                SandboxError::Scope(name.to_owned())
            );
        }
    }

    #[test]
    fn gaps_are_what_does_not_hold_fully() {
        let all = Enforced {
            files: Strength::Full,
            network: Strength::Full,
            processes: Strength::Full,
            kernel: Strength::Full,
            memory: Strength::Full,
            cpu: Strength::Full,
            process_count: Strength::Full,
        };
        assert_eq!(all.gaps(), []);
        let some = Enforced {
            memory: Strength::Partial("per process only".to_owned()),
            cpu: Strength::Missing("no control group".to_owned()),
            ..all
        };
        assert_eq!(
            some.gaps(),
            [("memory", "per process only"), ("cpu", "no control group")]
        );
    }

    #[test]
    fn the_trait_can_be_an_object() {
        fn takes(_: Option<&dyn Sandbox>) {}
        takes(None);
    }
}
