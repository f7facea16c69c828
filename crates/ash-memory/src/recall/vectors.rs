//! Vectors, in tables of sqlite-vec.

use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};
use serde::Serialize;

use crate::search::{VISIBLE, Viewer, Visibility};
use crate::{Memory, MemoryError, MessageId, SessionId};

/// What sqlite-vec takes at most.
const LONGEST: usize = 8192;

/// A message that is near to a vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nearest {
    /// The message.
    pub message: MessageId,
    /// How far it is: 0 for the same direction, 2 for the opposite one.
    pub distance: f64,
}

impl Memory {
    /// Makes the tables for vectors of a length. Vectors of another length must go first, since they
    /// come from another model and do not compare.
    pub async fn initialize_vector_tables(&self, dimension: usize) -> Result<(), MemoryError> {
        if dimension == 0 || dimension > LONGEST {
            return Err(MemoryError::invalid(format!(
                "vectors have between 1 and {LONGEST} numbers, not {dimension}"
            )));
        }
        self.write(move |db, _| match self::dimension(db)? {
            None => create(db, dimension),
            Some(kept) if kept == dimension => Ok(()),
            Some(kept) => Err(MemoryError::invalid(format!(
                "the vectors that are kept have {kept} numbers, not {dimension}"
            ))),
        })
        .await
    }

    /// Keeps vectors of messages, in place of those that they had.
    pub async fn store_message_vectors(
        &self,
        vectors: Vec<(MessageId, Vec<f32>)>,
    ) -> Result<(), MemoryError> {
        self.write(move |db, _| {
            for (id, vector) in &vectors {
                let vector = encode(db, vector)?;
                let known = "SELECT 1 FROM messages WHERE id = ?1";
                if !db.prepare_cached(known)?.exists([id])? {
                    return Err(MemoryError::not_found("message", id.as_str()));
                }
                delete(db, id)?;
                db.prepare_cached(
                    "INSERT INTO message_embeddings (message_id, embedding) VALUES (?1, ?2)",
                )?
                .execute(params![id, vector])?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the messages nearest to a vector among those that a viewer may see, nearest first.
    pub async fn nearest_messages(
        &self,
        vector: Vec<f32>,
        viewer: Viewer,
        limit: usize,
    ) -> Result<Vec<Nearest>, MemoryError> {
        self.read(move |db| nearest(db, &vector, &viewer, limit))
            .await
    }

    /// Removes the vectors of messages.
    pub async fn delete_message_vectors(&self, ids: Vec<MessageId>) -> Result<(), MemoryError> {
        self.write(move |db, _| {
            if dimension(db)?.is_some() {
                ids.iter().try_for_each(|id| delete(db, id))?;
            }
            Ok(())
        })
        .await
    }
}

fn create(db: &Transaction<'_>, dimension: usize) -> Result<(), MemoryError> {
    db.execute_batch(&format!(
        "CREATE VIRTUAL TABLE message_embeddings USING vec0 (
             message_id TEXT PRIMARY KEY,
             embedding FLOAT[{dimension}] distance_metric=cosine
         );
         CREATE VIRTUAL TABLE memory_embeddings USING vec0 (
             memory_id TEXT PRIMARY KEY,
             embedding FLOAT[{dimension}] distance_metric=cosine
         );"
    ))?;
    Ok(())
}

/// Removes the vectors of a session that is about to go. A trigger may not touch a table that is not
/// part of SQLite.
pub(crate) fn delete_of_session(
    db: &Transaction<'_>,
    session: &SessionId,
) -> Result<(), MemoryError> {
    if dimension(db)?.is_some() {
        db.execute(
            "DELETE FROM message_embeddings
             WHERE message_id IN (SELECT id FROM messages WHERE session_id = ?1)",
            [session],
        )?;
    }
    Ok(())
}

fn dimension(db: &Connection) -> Result<Option<usize>, MemoryError> {
    let sql: Option<String> = db
        .prepare_cached("SELECT sql FROM sqlite_schema WHERE name = 'message_embeddings'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(sql.and_then(|sql| {
        let (_, rest) = sql.split_once("FLOAT[")?;
        rest.split_once(']')?.0.parse().ok()
    }))
}

// A number that is none, or a vector of zeros, has no distance to anything.
fn encode(db: &Connection, vector: &[f32]) -> Result<Vec<u8>, MemoryError> {
    let kept = dimension(db)?
        .ok_or_else(|| MemoryError::invalid("there are no tables for vectors yet"))?;
    if vector.len() != kept {
        return Err(MemoryError::invalid(format!(
            "the vectors that are kept have {kept} numbers, not {}",
            vector.len()
        )));
    }
    if !vector.iter().all(|number| number.is_finite()) || vector.iter().all(|&number| number == 0.0)
    {
        return Err(MemoryError::invalid("the vector has no direction"));
    }
    Ok(vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect())
}

fn delete(db: &Connection, id: &MessageId) -> Result<(), MemoryError> {
    db.prepare_cached("DELETE FROM message_embeddings WHERE message_id = ?1")?
        .execute([id])?;
    Ok(())
}

// Every visible vector is compared. The index of sqlite-vec would be asked for the nearest of all, and
// what a viewer may not see would push out what it may.
fn nearest(
    db: &Connection,
    vector: &[f32],
    viewer: &Viewer,
    limit: usize,
) -> Result<Vec<Nearest>, MemoryError> {
    let vector = encode(db, vector)?;
    let visibility = Visibility::of(viewer);
    let sql = format!(
        "SELECT m.id, vec_distance_cosine(e.embedding, :vector) AS distance
         FROM message_embeddings e
             JOIN messages m ON m.id = e.message_id
             JOIN sessions s ON s.id = m.session_id
         WHERE {VISIBLE}
         ORDER BY distance, m.created_at DESC, m.id DESC
         LIMIT :limit"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":vector": vector,
            ":everything": visibility.everything,
            ":session": visibility.session,
            ":user": visibility.user,
            ":private": visibility.private,
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        |row| {
            Ok(Nearest {
                message: row.get(0)?,
                distance: row.get(1)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
