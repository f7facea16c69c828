//! Names of rows: UUIDs of version 7, one type for each kind of row.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::MemoryError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an id that sorts after all that this process has made.
            pub fn generate() -> Self {
                Self(Uuid::now_v7().to_string())
            }

            /// Reads an id, in any spelling of a UUID.
            pub fn parse(text: &str) -> Result<Self, MemoryError> {
                match Uuid::parse_str(text) {
                    Ok(id) => Ok(Self(id.to_string())),
                    Err(_) => Err(MemoryError::invalid(format!("`{text}` is not the id of {}", $what))),
                }
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = MemoryError;

            fn try_from(text: String) -> Result<Self, MemoryError> {
                Self::parse(&text)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        // What the database holds was checked on its way in.
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                String::column_result(value).map(Self)
            }
        }
    )*};
}

ids! {
    /// The id of a session.
    SessionId, "a session";
    /// The id of a message.
    MessageId, "a message";
    /// The id of a turn, which is that of the inbox row it answers.
    TurnId, "a turn";
    /// The id of one run of a tool.
    ToolExecutionId, "a tool execution";
    /// The id of a message to be sent.
    OutboxId, "an outgoing message";
    /// The id of a question to the owner.
    ApprovalId, "an approval";
}

/// The id of a message that came in: the turn that answers it has the same.
pub type InboxId = TurnId;
