use std::sync::Arc;

use ash_testkit::{Dialect, FakeOpenAi, Reply};
use serde_json::Value;

use super::settings;
use crate::openai::{OpenAi, OpenAiEmbeddings};
use crate::{Api, EmbeddingProvider, ErrorKind};

async fn connect(fake: &FakeOpenAi) -> OpenAiEmbeddings {
    let server = OpenAi::new("home", &settings(Some(&fake.url()), Api::Auto), None).unwrap();
    OpenAiEmbeddings::connect(Arc::new(server), "small", Some(384))
        .await
        .unwrap()
}

fn at_home() -> ash_testkit::OpenAi {
    ash_testkit::OpenAi {
        dialect: Dialect::LlamaCpp,
        ..ash_testkit::OpenAi::default()
    }
}

/// What a llama.cpp server says when a text is longer than its batch.
fn too_large() -> Reply {
    let message = "input (3000 tokens) is too large to process. \
                   increase the physical batch size (current batch size: 512)";
    Reply::error(500, "server_error", message)
}

fn lengths(fake: &FakeOpenAi) -> Vec<Vec<usize>> {
    let length = |text: &Value| text.as_str().unwrap().len();
    let requests = fake.requests();
    let inputs = requests
        .iter()
        .map(|request| request.body["input"].as_array().unwrap());
    inputs
        .map(|texts| texts.iter().map(length).collect())
        .collect()
}

#[tokio::test]
async fn the_beginning_stands_for_a_text_that_the_server_finds_too_long() {
    let fake = FakeOpenAi::start_as(at_home()).await;
    for _ in 0..3 {
        fake.enqueue_embeddings(too_large());
    }
    let texts = ["ж".repeat(1001), "short".to_owned()];
    let vectors = connect(&fake).await.embed(&texts).await.unwrap();
    assert_eq!(vectors.len(), 2);
    assert_eq!(
        lengths(&fake),
        [vec![2002, 5], vec![2002], vec![1000], vec![500], vec![5]]
    );
    assert_eq!(fake.violations(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_finds_everything_too_long_is_not_asked_forever() {
    let fake = FakeOpenAi::start_as(at_home()).await;
    for _ in 0..20 {
        fake.enqueue_embeddings(too_large());
    }
    let texts = ["x".repeat(1000)];
    let error = connect(&fake).await.embed(&texts).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ContextOverflow);
    assert_eq!(
        lengths(&fake),
        [[1000], [1000], [500], [250], [125]].map(Vec::from)
    );
}
