//! What comes in is stored before it is answered, and what goes out is stored before it is sent.

use ash_llm::Content;
use ash_memory::{Accepted, InboxId, InboxItem, Memory, MemoryError, OutboxId, OutboxItem};
use serde::{Deserialize, Serialize};

/// Where channels put what people say. A message that is accepted survives any crash.
#[derive(Clone, Debug)]
pub struct Intake {
    memory: Memory,
}

impl Intake {
    /// Stores what came in, and how far the channel has read, in one transaction. The same
    /// `external_id` a second time is a duplicate.
    pub async fn accept(
        &self,
        channel: &str,
        chat_id: &str,
        external_id: &str,
        raw: &str,
        cursor: Option<&str>,
    ) -> Result<Accepted, MemoryError> {
        self.memory
            .accept(channel, external_id, chat_id, raw, cursor)
            .await
    }

    /// Returns how far the channel has read.
    pub async fn cursor(&self, channel: &str) -> Result<Option<String>, MemoryError> {
        self.memory.cursor(channel).await
    }

    /// Returns what was accepted from a chat and is not answered, oldest first. Saying it again to
    /// the session finishes it, wherever it was cut short.
    pub async fn unfinished(
        &self,
        channel: &str,
        chat_id: &str,
    ) -> Result<Vec<InboxItem>, MemoryError> {
        self.memory.pending(channel, Some(chat_id)).await
    }

    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory }
    }
}

/// Where the delivery of each reply is kept.
#[derive(Clone, Debug)]
pub struct Outbox {
    memory: Memory,
}

impl Outbox {
    /// Returns the replies to a chat whose delivery is not settled, oldest first.
    pub async fn unfinished(
        &self,
        channel: &str,
        chat_id: &str,
    ) -> Result<Vec<OutboxItem>, MemoryError> {
        self.memory.outbox_unfinished(channel, Some(chat_id)).await
    }

    /// Notes that the first byte may leave from now on.
    pub async fn sending(&self, id: &OutboxId) -> Result<(), MemoryError> {
        self.memory.sending(id).await
    }

    /// Notes that it arrived, and under which id.
    pub async fn delivered(&self, id: &OutboxId, external_id: &str) -> Result<(), MemoryError> {
        self.memory.delivered(id, external_id).await
    }

    /// Notes that nobody knows whether it arrived.
    pub async fn uncertain(&self, id: &OutboxId, reason: &str) -> Result<(), MemoryError> {
        self.memory.uncertain(id, reason).await
    }

    /// Notes that it will never arrive.
    pub async fn failed(&self, id: &OutboxId, reason: &str) -> Result<(), MemoryError> {
        self.memory.failed(id, reason).await
    }

    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory }
    }
}

/// What a person said, accepted and ready for a session.
#[derive(Clone, Debug)]
pub struct Words {
    /// The row that it was accepted as.
    pub inbox: InboxId,
    /// Who said it, where that is not the one whom the chat belongs to.
    pub author: Option<String>,
    /// What was said.
    pub content: Vec<Content>,
}

/// What a channel without a protocol of its own, such as the terminal, stores as raw message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// The words.
    pub text: String,
}
