//! What the fakes of Chat Completions, Responses and Embeddings refuse, each beside what they take.

#![expect(clippy::needless_pass_by_value, reason = "the tables read better")]

mod chat;
mod embeddings;
mod responses;

use ash_testkit::{Dialect, FakeOpenAi, KEY, OpenAi, Reply};
use serde_json::{Value, json};

use crate::client::{Got, Rule, patched, post, rule};

async fn ask(server: &FakeOpenAi, path: &str, body: &Value) -> Got {
    let bearer = format!("Bearer {KEY}");
    let url = format!("{}/{path}", server.url());
    post(&url, &[("authorization", &bearer)], body).await
}

async fn check(dialect: Dialect, path: &str, base: Value, rules: Vec<Rule>) {
    let server = FakeOpenAi::start_as(OpenAi::from(dialect)).await;
    server.respond_with(|_| Reply::text("fine"));
    for row in rules {
        let got = ask(&server, path, &patched(base.clone(), &row.bad)).await;
        assert!(got.status >= 400, "taken: {} ({})", row.bad, row.says);
        let message = got.error_message();
        assert!(message.contains(row.says), "{}: {message}", row.says);
        let got = ask(&server, path, &patched(base.clone(), &row.good)).await;
        assert_eq!(got.status, 200, "{}: {}", row.good, got.text());
    }
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"q": {"type": "string"}}})
}
