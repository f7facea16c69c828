//! Streams are cut, stalled, slowed and garbled where the script says.

use std::time::{Duration, Instant};

use crate::client::{Got, post, receive, send};
use ash_testkit::{FakeAnthropic, KEY, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

const HEADERS: [(&str, &str); 2] = [("anthropic-version", "2023-06-01"), ("x-api-key", KEY)];

fn hello() -> Value {
    json!({
        "model": "claude-sonnet-4-6",
        "max_tokens": 100,
        "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
    })
}

async fn ask(server: &FakeAnthropic) -> Got {
    post(&format!("{}/v1/messages", server.url()), &HEADERS, &hello()).await
}

async fn begin(server: &FakeAnthropic) -> tokio::net::TcpStream {
    let url = format!("{}/v1/messages", server.url());
    let mut headers = HEADERS.to_vec();
    headers.push(("content-type", "application/json"));
    send(&url, "POST", &headers, hello().to_string().as_bytes()).await
}

#[tokio::test]
async fn a_stream_is_cut_at_every_byte() {
    let server = FakeAnthropic::start().await;
    let reply = Reply::text("Grüße").chunked(2);
    server.enqueue(reply.clone());
    let whole = ask(&server).await;
    assert!(whole.whole);
    // The ids count replies, so that only their width must stay the same.
    for at in 0..=whole.body.len() {
        server.enqueue(reply.clone().cut_after_bytes(at));
        let got = ask(&server).await;
        assert!(!got.whole, "cut after {at}");
        assert_eq!(got.body.len(), at);
        assert_eq!(server.sent().last().unwrap(), &got.body);
    }
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_stream_that_ends_early_looks_whole_to_http() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello").end_after_bytes(300));
    let got = ask(&server).await;
    assert!(got.whole);
    assert_eq!(got.body.len(), 300);
}

#[tokio::test]
async fn packets_have_the_scripted_size_and_change_nothing() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello"));
    server.enqueue(Reply::text("Hello").in_packets_of(1));
    let (plain, slow) = (ask(&server).await, ask(&server).await);
    assert_eq!(plain.text().replace("msg_0001", "msg_0002"), slow.text());
}

#[tokio::test]
async fn a_stalled_stream_goes_on_when_released() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello").stall_after_bytes(100));
    let mut stream = begin(&server).await;
    server.wait_for_stalls(1).await;
    assert_eq!(server.sent()[0].len(), 100);
    server.release();
    assert!(receive(&mut stream).await.whole);
    assert_eq!(server.hang_ups(), 0);
}

#[tokio::test]
async fn a_release_before_the_stall_is_kept_for_it() {
    let server = FakeAnthropic::start().await;
    server.release();
    server.enqueue(Reply::text("Hello").stall_after_bytes(0));
    assert!(ask(&server).await.whole);
}

#[tokio::test]
async fn a_client_that_leaves_a_stalled_stream_is_noticed() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello").stall_after_bytes(100));
    server.enqueue(Reply::silence());
    let stream = begin(&server).await;
    server.wait_for_stalls(1).await;
    drop(stream);
    server.wait_for_hang_ups(1).await;
    let silent = begin(&server).await;
    server.wait_for_stalls(2).await;
    drop(silent);
    server.wait_for_hang_ups(2).await;
}

#[tokio::test]
async fn a_pause_separates_the_writes() {
    let server = FakeAnthropic::start().await;
    let pause = Duration::from_millis(2);
    server.enqueue(Reply::text("Hello").delay_between_chunks(pause));
    let start = Instant::now();
    let got = ask(&server).await;
    let events = u32::try_from(got.events().len()).unwrap();
    assert!(start.elapsed() >= pause * (events - 1));
}

#[tokio::test]
async fn junk_stands_where_it_was_put() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello").garble_after_bytes(7, *b"\xff\x00"));
    let got = ask(&server).await;
    assert!(got.whole);
    assert_eq!(&got.body[..9], b"event: \xff\x00");
}

#[tokio::test]
async fn a_connection_can_end_without_an_answer() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::disconnect());
    let mut stream = begin(&server).await;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"");
}

#[tokio::test]
async fn a_status_is_told_in_the_words_of_the_vendor() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::status(529).header("retry-after", "1"));
    server.enqueue(Reply::raw_body(
        502,
        "text/html",
        "<html>Bad gateway</html>",
    ));
    let got = ask(&server).await;
    assert_eq!(got.status, 529);
    assert!(got.head.contains("retry-after: 1"));
    assert_eq!(got.json()["error"]["type"], "overloaded_error");
    let got = ask(&server).await;
    assert_eq!(
        (got.status, got.text()),
        (502, "<html>Bad gateway</html>".into())
    );
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::raw_sse(*b"data: \xff\n\n"));
    let got = ask(&server).await;
    assert_eq!(got.body, b"data: \xff\n\n");
    assert!(got.head.contains("content-type: text/event-stream"));
}

#[tokio::test]
async fn an_unscripted_request_is_a_violation() {
    let server = FakeAnthropic::start().await;
    let got = ask(&server).await;
    assert_eq!(got.status, 500);
    assert_eq!(got.error_message(), "nothing is scripted for this request");
    assert_eq!(server.violations().len(), 1);
}

#[tokio::test]
async fn a_responder_answers_what_is_not_enqueued() {
    let server = FakeAnthropic::with(|request| {
        let said = request.body["messages"][0]["content"].as_str().unwrap();
        Reply::text(said)
    })
    .await;
    server.enqueue(Reply::text("First"));
    assert!(ask(&server).await.text().contains("First"));
    assert!(ask(&server).await.text().contains("hello"));
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.requests()[1].body, hello());
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("One"));
    server.enqueue(Reply::text("Two"));
    let mut stream = begin(&server).await;
    assert!(receive(&mut stream).await.text().contains("One"));
    let body = hello().to_string();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nanthropic-version: 2023-06-01\r\nx-api-key: {KEY}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .unwrap();
    assert!(receive(&mut stream).await.text().contains("Two"));
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_test_that_blocks_its_runtime_is_answered_too() {
    use std::io::{Read, Write};

    let server = FakeAnthropic::start().await;
    let address = server.url().replace("http://", "");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nanthropic-version: 2023-06-01\r\nx-api-key: test-key\r\n\r\n")
        .unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_responder_that_panics_is_a_violation() {
    let server = FakeAnthropic::with(|_| panic!("on purpose")).await;
    let mut stream = begin(&server).await;
    let mut bytes = Vec::new();
    // Whether the end is orderly or not is up to the system.
    let _ = stream.read_to_end(&mut bytes).await;
    assert_eq!(bytes, b"");
    server.enqueue(Reply::text("Still here"));
    assert_eq!(ask(&server).await.status, 200);
    let [violation] = &server.violations()[..] else {
        panic!("one was expected");
    };
    assert!(violation.contains("the server itself broke"));
}

#[tokio::test]
async fn a_server_that_is_dropped_breaks_its_connections() {
    let server = FakeAnthropic::start().await;
    server.enqueue(Reply::text("Hello").stall_after_bytes(9));
    let mut stream = begin(&server).await;
    server.wait_for_stalls(1).await;
    drop(server);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.ends_with(b"event: me\r\n"));
}
