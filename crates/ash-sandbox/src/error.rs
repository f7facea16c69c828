//! Why a command could not be run.

/// A command that did not run, or a value that no sandbox can be made from.
///
/// A command that ran has an [`Output`](crate::Output), however badly it ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// There is no isolation to run anything in.
    #[error("no sandbox to run in: {0}")]
    Unavailable(String),
    /// The sandbox is there, and the command did not start in it; it may be tried again.
    #[error("the command was not started: {0}")]
    NotStarted(String),
    /// The name cannot be a scope.
    #[error(
        "{0:?} cannot name a scope: use 1 to 64 of a-z, 0-9, \"-\" and \"_\", beginning with a letter or a digit"
    )]
    Scope(String),
    /// The text is not a size.
    #[error(
        "{0:?} is not a size: write a whole number above 0 and its unit b, k, m or g, as in \"512m\""
    )]
    Size(String),
}
