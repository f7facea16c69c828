//! The addresses that the daemon answers.

use std::time::Duration;

use ash_memory::Memory;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tracing::warn;

/// How long the database may take to answer. Who asks for readiness waits a few seconds at most, and
/// a database this slow is of no use to a conversation either.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// Returns what the daemon answers over HTTP.
///
/// Neither answer says why something is wrong, since anybody may ask; the log does.
pub fn router(memory: Memory) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            error(
                StatusCode::METHOD_NOT_ALLOWED,
                "this address does not take that method",
            )
        })
        .with_state(memory)
}

/// Tells that the process lives, which it does if it can answer.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readiness(State(memory): State<Memory>) -> Response {
    let database = match tokio::time::timeout(DATABASE_PATIENCE, memory.changes()).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            warn!(%error, "the database cannot be read");
            false
        }
        Err(_) => {
            warn!("the database does not answer in time");
            false
        }
    };
    let (code, status, database) = if database {
        (StatusCode::OK, "ready", "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready", "failed")
    };
    let body = json!({ "status": status, "checks": { "database": database } });
    (code, Json(body)).into_response()
}

fn error(code: StatusCode, message: &str) -> Response {
    (code, Json(json!({ "error": message }))).into_response()
}
