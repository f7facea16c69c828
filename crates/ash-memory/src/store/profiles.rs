//! User profiles: accounts at a provider.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::columns::Json;
use crate::clock::{Stamp, stamp};
use crate::{Memory, MemoryError};

/// What is newly known of an account. What is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewProfile {
    /// The account, as `provider:id`.
    pub user_id: String,
    /// The provider.
    pub provider: String,
    /// The account's name at the provider, which it may change.
    pub username: Option<String>,
    /// How its owner is called there.
    pub display_name: Option<String>,
    /// What else is known; merged into what was known, and null removes.
    pub data: Map<String, Value>,
    /// What a person noted about it.
    pub notes: Option<String>,
}

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The account, as `provider:id`.
    pub user_id: String,
    /// The provider.
    pub provider: String,
    /// The account's name at the provider.
    pub username: Option<String>,
    /// How its owner is called there.
    pub display_name: Option<String>,
    /// What else is known.
    pub data: Map<String, Value>,
    /// What a person noted about it.
    pub notes: Option<String>,
    /// When something of it last changed.
    pub updated_at: Timestamp,
}

impl Memory {
    /// Keeps what is newly known of an account.
    pub async fn upsert_profile(&self, new: NewProfile) -> Result<Profile, MemoryError> {
        self.write(move |db, now| {
            db.execute(
                "INSERT INTO user_profiles
                     (user_id, provider, username, display_name, profile_data, notes, updated_at)
                 VALUES (?1, ?2, ?3, ?4, json_patch('{}', ?5), ?6, ?7)
                 ON CONFLICT (user_id) DO UPDATE SET
                     username = coalesce(?3, username),
                     display_name = coalesce(?4, display_name),
                     profile_data = json_patch(profile_data, ?5),
                     notes = coalesce(?6, notes),
                     updated_at = ?7",
                params![
                    new.user_id,
                    new.provider,
                    new.username,
                    new.display_name,
                    serde_json::to_string(&new.data)?,
                    new.notes,
                    stamp(now)
                ],
            )?;
            by_id(db, &new.user_id)
        })
        .await
    }

    /// Returns an account.
    pub async fn profile(&self, user_id: &str) -> Result<Profile, MemoryError> {
        let user_id = user_id.to_owned();
        self.read(move |db| by_id(db, &user_id)).await
    }

    /// Returns all accounts.
    pub async fn profiles(&self) -> Result<Vec<Profile>, MemoryError> {
        self.read(|db| {
            let sql = format!("SELECT {COLUMNS} FROM user_profiles ORDER BY user_id");
            let mut statement = db.prepare(&sql)?;
            let rows = statement.query_map([], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

pub(crate) const COLUMNS: &str =
    "user_id, provider, username, display_name, profile_data, notes, updated_at";

pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Profile> {
    Ok(Profile {
        user_id: row.get(0)?,
        provider: row.get(1)?,
        username: row.get(2)?,
        display_name: row.get(3)?,
        data: row.get::<_, Json<_>>(4)?.0,
        notes: row.get(5)?,
        updated_at: row.get::<_, Stamp>(6)?.0,
    })
}

fn by_id(db: &Connection, user_id: &str) -> Result<Profile, MemoryError> {
    let sql = format!("SELECT {COLUMNS} FROM user_profiles WHERE user_id = ?1");
    db.prepare_cached(&sql)?
        .query_row([user_id], from_row)
        .optional()?
        .ok_or_else(|| MemoryError::not_found("account", user_id))
}

/// Keeps an account unless it is known; tells whether it was new.
pub(crate) fn insert_new(db: &Transaction<'_>, profile: &Profile) -> Result<bool, MemoryError> {
    let rows = db
        .prepare_cached(
            "INSERT INTO user_profiles
                 (user_id, provider, username, display_name, profile_data, notes, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (user_id) DO NOTHING",
        )?
        .execute(params![
            profile.user_id,
            profile.provider,
            profile.username,
            profile.display_name,
            serde_json::to_string(&profile.data)?,
            profile.notes,
            stamp(profile.updated_at)
        ])?;
    Ok(rows == 1)
}
