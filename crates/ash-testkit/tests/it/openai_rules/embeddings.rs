//! What Embeddings refuses, and what its vectors are like.

use super::*;

fn base() -> Value {
    json!({"model": "text-embedding-3-small", "input": ["hello", "world"]})
}

#[tokio::test]
async fn requests_are_judged() {
    let many = |count: usize| json!({"input": vec!["x"; count]});
    let long = |length: usize| "x".repeat(length);
    let together = |count: usize| json!({"input": vec![long(4 * 8000); count]});
    let rules = vec![
        rule(json!({"colour": 1}), "'colour'", json!({"user": "u"})),
        rule(json!({"model": "tiny"}), "does not exist", json!({})),
        rule(json!({"input": []}), "empty array", json!({"input": "x"})),
        rule(
            json!({"input": ["x", ""]}),
            "'input[1]'",
            json!({"input": ["x", " "]}),
        ),
        rule(
            json!({"input": [1]}),
            "expected a string",
            json!({"input": ["1"]}),
        ),
        rule(many(2049), "maximum length 2048", many(2)),
        rule(
            json!({"input": long(4 * 8193)}),
            "8193 tokens",
            json!({"input": long(4 * 8192)}),
        ),
        rule(together(38), "max 300000 tokens", together(2)),
        rule(
            json!({"encoding_format": "hex"}),
            "Invalid value: 'hex'",
            json!({"encoding_format": "base64"}),
        ),
        rule(
            json!({"dimensions": 1537}),
            "at most 1536",
            json!({"dimensions": 8}),
        ),
        rule(
            json!({"dimensions": 8, "model": "text-embedding-ada-002"}),
            "does not support specifying dimensions",
            json!({"model": "text-embedding-ada-002"}),
        ),
    ];
    check(Dialect::OpenAi, "embeddings", base(), rules).await;
}

fn floats(got: &Got, at: usize) -> Vec<f64> {
    let data = got.json();
    let vector = data["data"][at]["embedding"].as_array();
    vector
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

#[tokio::test]
async fn vectors_are_of_one_length_and_near_where_words_are_shared() {
    use base64::{Engine, prelude::BASE64_STANDARD};

    let server = FakeOpenAi::start().await;
    let input = json!({"input": ["the red house", "a red house", "wet dogs bark"]});
    let mut body = patched(base(), &input);
    let plain = ask(&server, "embeddings", &body).await;
    let [a, b, c] = [0, 1, 2].map(|at| floats(&plain, at));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    assert_eq!(a.len(), 1536);
    assert!((dot(&a, &a) - 1.0).abs() < 1e-3);
    assert!(dot(&a, &b) > 0.3 && dot(&a, &c) < 0.3);
    body["encoding_format"] = json!("base64");
    let packed = ask(&server, "embeddings", &body).await.json();
    let bytes = BASE64_STANDARD
        .decode(packed["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let first = f32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert!((f64::from(first) - a[0]).abs() < 1e-6);
}

#[tokio::test]
async fn answers_can_be_shuffled_short_or_refused() {
    let server = FakeOpenAi::start().await;
    server.enqueue_embeddings(Reply::embeddings().shuffled());
    server.enqueue_embeddings(Reply::embeddings().short_by(1));
    server.enqueue_embeddings(Reply::status(429).header("retry-after", "1"));
    let shuffled = ask(&server, "embeddings", &base()).await.json();
    assert_eq!(shuffled["data"][0]["index"], 1);
    let short = ask(&server, "embeddings", &base()).await.json();
    assert_eq!(short["data"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&server, "embeddings", &base()).await.status, 429);
    assert_eq!(ask(&server, "embeddings", &base()).await.status, 200);
    assert_eq!(server.violations(), Vec::<String>::new());
}
