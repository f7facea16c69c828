//! The daemon is asked over a real socket whether it is well.

use std::fs::File;
use std::io;

use ash_memory::{Memory, OpenOptions};
use ash_server::router;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Asks one question of a server of its own and returns the status line and the body.
async fn ask(memory: &Memory, question: &str) -> (String, Value) {
    let response = exchange(memory, question).await.expect("loopback works");
    let (head, body) = response
        .split_once("\r\n\r\n")
        .expect("a response has a head");
    assert!(head.contains("content-type: application/json"), "{head}");
    let status = head.lines().next().unwrap_or_default().to_owned();
    (
        status,
        serde_json::from_str(body).expect("every body is JSON"),
    )
}

async fn exchange(memory: &Memory, question: &str) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = router(memory.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{question} HTTP/1.1\r\nhost: ash\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    server.abort();
    Ok(response)
}

fn in_memory() -> Memory {
    Memory::open_in_memory(OpenOptions::default()).expect("it needs nothing but memory")
}

#[tokio::test]
async fn a_daemon_that_lives_says_so() {
    let (status, body) = ask(&in_memory(), "GET /healthz").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(body, json!({ "status": "ok" }));
}

#[tokio::test]
async fn a_daemon_with_a_database_is_ready() {
    let (status, body) = ask(&in_memory(), "GET /readyz").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(
        body,
        json!({ "status": "ready", "checks": { "database": "ok" } })
    );
}

#[tokio::test]
async fn a_daemon_whose_database_is_ruined_lives_and_is_not_ready() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("memory.db");
    let memory = Memory::open(&path, OpenOptions::default()).unwrap();
    for file in ["memory.db", "memory.db-wal"] {
        File::create(home.path().join(file)).unwrap();
    }

    let (status, body) = ask(&memory, "GET /readyz").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(
        body,
        json!({ "status": "not ready", "checks": { "database": "failed" } })
    );
    let (status, _) = ask(&memory, "GET /healthz").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json_too() {
    let (status, body) = ask(&in_memory(), "GET /nothing").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert_eq!(body, json!({ "error": "there is nothing at this address" }));
    let (status, body) = ask(&in_memory(), "POST /healthz").await;
    assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(
        body,
        json!({ "error": "this address does not take that method" })
    );
}
