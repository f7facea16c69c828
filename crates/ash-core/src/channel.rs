//! How people reach the agent: the trait that the terminal, Telegram and HTTP implement.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{Events, Intake, Outbox};

/// A way in and out. Channels keep no state: what came in is in the [`Intake`], what goes out in the
/// [`Outbox`].
#[async_trait]
pub trait Channel: Send + Sync {
    /// Returns the name that its messages are stored under.
    fn name(&self) -> &str;

    /// Takes messages in until `cancel` or the end of its input.
    async fn start(
        &self,
        intake: Intake,
        outbox: Outbox,
        cancel: CancellationToken,
    ) -> Result<(), ChannelError>;

    /// Ends what [`Channel::start`] began, and waits for it.
    async fn stop(&self);

    /// Sends one message to a chat and returns the id that the channel gave it.
    async fn send(&self, chat_id: &str, text: &str) -> Result<String, ChannelError>;

    /// Shows a turn while it happens, its final words always, and returns the id of the first
    /// message that it sent.
    async fn send_streaming(
        &self,
        chat_id: &str,
        events: &mut Events,
        reply_to: Option<&str>,
    ) -> Result<String, ChannelError>;
}

/// Why a channel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Nothing was sent, and it may be tried again.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been sent; it must not be sent again blindly.
    #[error("it is not known whether it was sent: {0}")]
    Uncertain(String),
    /// It will never work: blocked, deleted, forbidden.
    #[error("refused: {0}")]
    Refused(String),
    /// What is kept could not be read or written.
    #[error(transparent)]
    Memory(#[from] ash_memory::MemoryError),
}
