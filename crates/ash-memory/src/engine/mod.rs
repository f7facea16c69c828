//! How the file is opened, who owns the connection, and how the schema gets there.

mod threads;

mod connection;
mod presence;
mod schema;

pub(crate) use connection::{Access, connect, connect_in_memory, create_private_file};
pub(crate) use presence::Presence;
pub(crate) use schema::{apply_pending, check_known, known_version, schema_version};
pub(crate) use threads::{Background, Effect, Engine};
