//! How the file is opened, who owns the connection, and how the schema gets there.

mod threads;

mod connection;
mod presence;
mod schema;

pub(crate) use connection::{
    Access, connect, connect_in_memory, create_private_dir, create_private_file,
};
pub(crate) use presence::{PAUSE, Presence, beside};
#[cfg(test)]
pub(crate) use schema::apply_up_to;
pub(crate) use schema::{STEPS, apply_pending, check_known, known_version, schema_version};
pub(crate) use threads::{Background, Effect, Engine};
