//! What can go wrong around a conversation. What goes wrong in a turn ends the turn with
//! [`Outcome::Failed`](crate::Outcome::Failed) instead.

use ash_memory::MemoryError;

/// Why a session could not be opened or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is kept could not be read or written, or the session is leased to another process.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Too many messages wait already. An accepted message stays in the inbox.
    #[error("the session has too many messages waiting")]
    SessionBusy,
    /// The session has ended.
    #[error("the session has ended")]
    SessionEnded,
}
