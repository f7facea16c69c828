//! Judges requests for embeddings, and makes vectors: the same for the same text, nearer for texts
//! that share words.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::OpenAi;
use super::fields::{
    Fields, array, integer, invalid, only, optional, refused, required, string, unsupported, word,
};
use crate::http::{Recorded, Response};
use crate::proof::hash;
use crate::reply::Reply;
use crate::server::Refusal;

const MOST_INPUTS: usize = 2048;
const MOST_TOKENS: usize = 8192;
const MOST_TOKENS_TOGETHER: usize = 300_000;

pub(super) fn check(server: &OpenAi, body: &Fields) -> Result<(), Refusal> {
    let known = ["model", "input", "dimensions", "encoding_format", "user"];
    only(body, "", &known)?;
    let model = string(body, "", "model")?;
    if server.dialect.is_original() {
        check_model(body, model)?;
    }
    if optional(body, "encoding_format").is_some() {
        word(body, "", "encoding_format", &["float", "base64"])?;
    }
    let inputs = inputs(body)?;
    if inputs.len() > MOST_INPUTS {
        return Err(refused(
            "input",
            "array_above_max_length",
            format!(
                "Invalid 'input': array too long. Expected an array with maximum length \
                 {MOST_INPUTS}, but got an array with length {} instead.",
                inputs.len()
            ),
        ));
    }
    let mut together = 0;
    for (at, text) in inputs.iter().enumerate() {
        if text.is_empty() {
            return Err(Refusal {
                param: Some("input".into()),
                ..invalid(format!(
                    "Invalid 'input[{at}]': input cannot be an empty string."
                ))
            });
        }
        let tokens = tokens(text);
        if tokens > MOST_TOKENS {
            return Err(invalid(format!(
                "This model's maximum context length is {MOST_TOKENS} tokens, however you \
                 requested {tokens} tokens ({tokens} in your prompt; 0 for the completion). \
                 Please reduce your prompt."
            )));
        }
        together += tokens;
    }
    if together > MOST_TOKENS_TOGETHER {
        return Err(Refusal {
            kind: "max_tokens_per_request",
            code: Some("max_tokens_per_request"),
            ..invalid(format!(
                "Requested {together} tokens, max {MOST_TOKENS_TOGETHER} tokens per request"
            ))
        });
    }
    Ok(())
}

fn check_model(body: &Fields, model: &str) -> Result<(), Refusal> {
    let Some(longest) = dimensions_of(model) else {
        return Err(Refusal {
            status: 404,
            ..refused(
                "model",
                "model_not_found",
                format!("The model '{model}' does not exist or you do not have access to it."),
            )
        });
    };
    let Some(dimensions) = integer(body, "dimensions", 1)? else {
        return Ok(());
    };
    if model == "text-embedding-ada-002" {
        return Err(unsupported(
            "dimensions",
            "This model does not support specifying dimensions.",
        ));
    }
    if dimensions.unsigned_abs() > longest as u64 {
        return Err(refused(
            "dimensions",
            "integer_above_max_value",
            format!("Invalid value for 'dimensions' = {dimensions}. Must be at most {longest}."),
        ));
    }
    Ok(())
}

fn dimensions_of(model: &str) -> Option<usize> {
    match model {
        "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
        "text-embedding-3-large" => Some(3072),
        _ => None,
    }
}

fn inputs(body: &Fields) -> Result<Vec<&str>, Refusal> {
    match required(body, "", "input")? {
        Value::String(text) => Ok(vec![text]),
        list => array(list, "input")?
            .iter()
            .enumerate()
            .map(|(at, text)| {
                text.as_str().ok_or_else(|| {
                    let path = format!("input[{at}]");
                    let message = format!("Invalid type for '{path}': expected a string.");
                    refused(&path, "invalid_type", message)
                })
            })
            .collect(),
    }
}

/// Guesses the number of tokens, as generously as the vendor's tokenizer is for English.
fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

pub(super) fn render(request: &Recorded, reply: &Reply) -> Response {
    let body = request.body.as_object().cloned().unwrap_or_default();
    let inputs = inputs(&body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    let length = body
        .get("dimensions")
        .and_then(Value::as_u64)
        .and_then(|length| usize::try_from(length).ok())
        .or_else(|| dimensions_of(model))
        .unwrap_or(384);
    let as_base64 = body.get("encoding_format").is_some_and(|f| f == "base64");
    let mut data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, length);
            let embedding = if as_base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                json!(BASE64_STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    data.truncate(data.len().saturating_sub(reply.vectors_missing));
    if reply.vectors_shuffled {
        data.reverse();
    }
    let used: usize = inputs.iter().map(|text| tokens(text)).sum();
    Response::json(
        200,
        &json!({
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }),
    )
}

/// Adds up one direction for each word.
fn vector(text: &str, length: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; length];
    let lower = text.to_lowercase();
    let words = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in words.chain([text]) {
        let mut seed = hash(word) | 1;
        for x in &mut vector {
            // xorshift: noise enough, and the same everywhere.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *x += if seed & (1 << 40) == 0 { 1.0 } else { -1.0 };
        }
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        for x in &mut vector {
            *x /= norm;
        }
    }
    vector
}
