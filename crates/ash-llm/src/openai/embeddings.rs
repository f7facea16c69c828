//! Vectors for texts, from `OpenAI` or whoever speaks its protocol.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{OpenAi, error};
use crate::http::post_json;
use crate::{EmbeddingProvider, ErrorKind, LlmError};

/// The most texts in one request, as documented.
const MOST_TEXTS: usize = 2048;
/// Servers at home are slow; a smaller batch answers before patience ends.
const MOST_TEXTS_ELSEWHERE: usize = 64;
/// 8,192 tokens are read of a text, and a token has hardly ever less than two bytes. Of a longer text
/// the beginning stands for the whole: a vector of that is better than none.
const MOST_BYTES_OF_A_TEXT: usize = 2 * 8_192;
/// A text that is too long even so is halved, but not below this: then something else is wrong.
const LEAST_BYTES_OF_A_TEXT: usize = 128;
/// 300,000 tokens are read of one request.
const MOST_BYTES: usize = 2 * 300_000;

/// A model that turns texts into vectors.
#[derive(Clone, Debug)]
pub struct OpenAiEmbeddings {
    server: Arc<OpenAi>,
    model: String,
    model_id: String,
    dimensions: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    encoding_format: &'static str,
    input: &'a [&'a str],
}

impl OpenAiEmbeddings {
    /// Picks a model. The length of its vectors is known, or given, or found out by asking once.
    pub async fn connect(
        server: Arc<OpenAi>,
        model: impl Into<String>,
        dimensions: Option<usize>,
    ) -> Result<Self, LlmError> {
        let model = model.into();
        let model_id = format!("{}/{model}", server.endpoint.provider());
        let mut embeddings = Self {
            server,
            model,
            model_id,
            dimensions: 0,
        };
        embeddings.dimensions = match dimensions.or_else(|| known_dimensions(&embeddings.model)) {
            Some(dimensions) => dimensions,
            None => embeddings
                .ask(&["length"])
                .await?
                .first()
                .map_or(0, Vec::len),
        };
        if embeddings.dimensions == 0 {
            return Err(embeddings.garbled("a vector is empty"));
        }
        Ok(embeddings)
    }

    /// Asks for the vectors of texts that fit into one request.
    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LlmError> {
        let body = Body {
            model: &self.model,
            encoding_format: "base64",
            input: texts,
        };
        let body = serde_json::to_vec(&body).expect("strings can be written");
        let cancel = CancellationToken::new();
        let answer = post_json(
            &self.server.endpoint,
            "embeddings",
            body,
            error::parse,
            cancel,
        )
        .await?;
        self.read(&answer, texts.len())
    }

    /// Asks for the vector of as much of a text as the server reads. Servers at home often read only a
    /// page, and do not say how much that is.
    async fn ask_for_beginning(&self, mut text: &str) -> Result<Vec<f32>, LlmError> {
        loop {
            match self.ask(&[text]).await {
                Err(error) if error.is_context_overflow() && text.len() > LEAST_BYTES_OF_A_TEXT => {
                    text = &text[..text.floor_char_boundary(text.len() / 2)];
                }
                asked => return Ok(asked?.pop().expect("one vector for one text")),
            }
        }
    }

    fn read(&self, answer: &Value, expected: usize) -> Result<Vec<Vec<f32>>, LlmError> {
        let rows = answer
            .get("data")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if rows.len() != expected {
            return Err(self.garbled(&format!("{} vectors came for {expected} texts", rows.len())));
        }
        let mut vectors = vec![Vec::new(); expected];
        for (position, row) in rows.iter().enumerate() {
            let index = match row.get("index").and_then(Value::as_u64) {
                Some(index) => usize::try_from(index).unwrap_or(usize::MAX),
                None => position,
            };
            let vector = numbers(&row["embedding"])
                .ok_or_else(|| self.garbled("a vector cannot be read"))?;
            self.check(&vector)?;
            match vectors.get_mut(index) {
                Some(slot) if slot.is_empty() => *slot = vector,
                Some(_) | None => {
                    return Err(
                        self.garbled(&format!("the vectors are numbered wrongly ({index})"))
                    );
                }
            }
        }
        Ok(vectors)
    }

    fn check(&self, vector: &[f32]) -> Result<(), LlmError> {
        // While the length is being found out, any will do.
        let is_expected = self.dimensions == 0 || vector.len() == self.dimensions;
        if !is_expected || vector.is_empty() {
            let message = format!(
                "a vector has {} numbers instead of {}",
                vector.len(),
                self.dimensions
            );
            return Err(self.garbled(&message));
        }
        if vector.iter().any(|number| !number.is_finite()) {
            return Err(self.garbled("a vector holds something that is no number"));
        }
        if vector.iter().all(|number| *number == 0.0) {
            return Err(self.garbled("a vector holds nothing but zeros"));
        }
        Ok(())
    }

    fn garbled(&self, message: &str) -> LlmError {
        LlmError::new(
            self.server.endpoint.provider(),
            ErrorKind::Protocol,
            message,
        )
    }
}

#[async_trait]
impl EmbeddingProvider for OpenAiEmbeddings {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, LlmError> {
        if let Some(place) = texts.iter().position(|text| text.trim().is_empty()) {
            let message = format!(
                "text {} of {} is empty, and nothing has no vector",
                place + 1,
                texts.len()
            );
            return Err(LlmError::new(
                self.server.endpoint.provider(),
                ErrorKind::InvalidRequest,
                message,
            ));
        }
        let texts: Vec<&str> = texts.iter().map(|text| beginning(text)).collect();
        let most = if self.server.is_official {
            MOST_TEXTS
        } else {
            MOST_TEXTS_ELSEWHERE
        };
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in batches(&texts, most) {
            match self.ask(batch).await {
                Err(error) if error.is_context_overflow() => {
                    for text in batch {
                        vectors.push(self.ask_for_beginning(text).await?);
                    }
                }
                asked => vectors.extend(asked?),
            }
        }
        Ok(vectors)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn model_id(&self) -> &str {
        &self.model_id
    }
}

fn known_dimensions(model: &str) -> Option<usize> {
    match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
        "text-embedding-3-large" => Some(3072),
        _ => None,
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_BYTES_OF_A_TEXT)]
}

/// Cuts texts into runs that fit into one request each.
fn batches<'a>(mut texts: &'a [&'a str], most: usize) -> impl Iterator<Item = &'a [&'a str]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = texts.iter().take(most).take_while(|text| {
            bytes += text.len();
            bytes <= MOST_BYTES
        });
        let (batch, rest) = texts.split_at(fits.count());
        texts = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Reads a vector: little-endian floats in base64, or numbers where a server does not know that.
fn numbers(value: &Value) -> Option<Vec<f32>> {
    match value {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            let (floats, rest) = bytes.as_chunks::<4>();
            rest.is_empty().then(|| {
                floats
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .collect()
            })
        }
        Value::Array(numbers) => numbers.iter().map(number).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "vectors are kept in single precision"
)]
fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32)
}
