//! What a viewer may see: a WHERE clause, so that nothing else is even a candidate.

use crate::SessionId;

/// Who looks, and so what may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A chat. It sees what was said in it; a private one also sees the other private chats of its
    /// person. What is not known to be so is hidden.
    Chat {
        /// Its session.
        session: SessionId,
        /// The person who opened it, as `provider:id`.
        user_id: String,
        /// Whether nobody else hears it.
        private: bool,
    },
    /// The person at the machine, who may read the file anyway. Never a chat.
    Operator,
}

/// Tells which rows of messages `m` in sessions `s` may be seen, by the parameters of [`Visibility`].
///
/// The rows of the chat that looks decide, not its word alone: a private viewer must be known as
/// private, and as that person's.
pub(crate) const VISIBLE: &str = "(
    :everything
    OR m.session_id = :session
    OR (:private AND s.kind = 'private' AND s.user_id = :user AND EXISTS (
        SELECT 1 FROM sessions v
        WHERE v.id = :session AND v.kind = 'private' AND v.user_id = :user)))";

/// The parameters of [`VISIBLE`].
pub(crate) struct Visibility<'a> {
    pub(crate) everything: bool,
    pub(crate) session: &'a str,
    pub(crate) user: &'a str,
    pub(crate) private: bool,
}

impl<'a> Visibility<'a> {
    pub(crate) fn of(viewer: &'a Viewer) -> Self {
        match viewer {
            Viewer::Operator => Self {
                everything: true,
                session: "",
                user: "",
                private: false,
            },
            Viewer::Chat {
                session,
                user_id,
                private,
            } => Self {
                everything: false,
                session: session.as_str(),
                user: user_id,
                private: *private,
            },
        }
    }
}
