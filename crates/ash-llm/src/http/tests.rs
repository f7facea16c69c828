use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::sse::Event;
use crate::{Completion, LlmEvent, Message, StopReason, Usage};

/// Shows every event as text; `done` and `fail` end the answer.
struct Echo;

impl Accumulator for Echo {
    fn on_event(&mut self, event: &Event) -> Result<Vec<LlmEvent>, LlmError> {
        match event.data.as_str() {
            "done" => Ok(vec![done()]),
            "fail" => Err(LlmError::new("local", ErrorKind::Overloaded, "told so")),
            "garbled" => Err(LlmError::new("local", ErrorKind::Protocol, "garbled")),
            text => Ok(vec![LlmEvent::TextDelta(text.to_owned())]),
        }
    }
}

fn done() -> LlmEvent {
    LlmEvent::Done(Completion {
        message: Message::assistant("all"),
        stop: StopReason::End,
        usage: Usage::default(),
    })
}

fn text(text: &str) -> LlmEvent {
    LlmEvent::TextDelta(text.to_owned())
}

/// Reads an error object of the form `{"error": "…"}`.
fn parse_error(provider: &str, _: u16, body: &Value) -> Option<LlmError> {
    let message = body["error"].as_str()?;
    Some(LlmError::new(provider, ErrorKind::Quota, message))
}

/// Answers one connection with these bytes, closes it, and returns what was asked.
async fn serve(response: impl Into<Vec<u8>>) -> (Endpoint, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let response = response.into();
    let endpoint = endpoint(&listener);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read_request(&mut socket).await;
        socket.write_all(&response).await.unwrap();
        request
    });
    (endpoint, server)
}

fn endpoint(listener: &TcpListener) -> Endpoint {
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    Endpoint::new("local", &url, Timeouts::default())
        .unwrap()
        .header(
            HeaderName::from_static("x-version"),
            HeaderValue::from_static("1"),
        )
        .secret_header(
            HeaderName::from_static("authorization"),
            "Bearer ",
            &SecretString::from(" sk-secret\n"),
        )
        .unwrap()
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"{\"ask\":1}") {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
    }
    String::from_utf8(request).unwrap()
}

fn ok(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n{body}")
}

async fn open(endpoint: &Endpoint, cancel: CancellationToken) -> Result<LlmStream, LlmError> {
    let body = br#"{"ask":1}"#.to_vec();
    open_stream(
        endpoint,
        "v1/ask",
        body,
        Box::new(Echo),
        parse_error,
        cancel,
    )
    .await
}

/// Returns what came and the error at the end, if any.
async fn drain(stream: Result<LlmStream, LlmError>) -> (Vec<LlmEvent>, Option<LlmError>) {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the last item");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

#[tokio::test]
async fn a_request_is_sent_and_its_events_are_streamed() {
    let body = "data: a\n\ndata: done\n\ndata: too late\n\n";
    let (endpoint, server) = serve(ok("text/event-stream; charset=utf-8", body)).await;
    let (events, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
    assert!(error.is_none());
    assert_eq!(events, [text("a"), done()]);
    let request = server.await.unwrap().to_ascii_lowercase();
    assert!(
        request.starts_with("post /base/v1/ask http/1.1\r\n"),
        "{request}"
    );
    for header in [
        "\r\nx-version: 1\r\n",
        "\r\nauthorization: bearer sk-secret\r\n",
        "\r\ncontent-type: application/json\r\n",
    ] {
        assert!(request.contains(header), "{header:?} in {request}");
    }
    assert!(!format!("{endpoint:?}").contains("sk-secret"));
}

#[tokio::test]
async fn an_answer_that_ends_early_is_cut_off() {
    for (body, shown, kind) in [
        ("data: a\n\n", vec![text("a")], ErrorKind::CutOff),
        ("", vec![], ErrorKind::CutOff),
        // The last event lacks its blank line.
        (
            "data: a\n\ndata: done",
            vec![text("a"), done()],
            ErrorKind::Config,
        ),
        // The last event is cut in its middle.
        (
            "data: a\n\ndata: garbled",
            vec![text("a")],
            ErrorKind::CutOff,
        ),
        ("data: garbled\n\n", vec![], ErrorKind::Protocol),
        (
            "data: a\n\ndata: fail\n\n",
            vec![text("a")],
            ErrorKind::Overloaded,
        ),
    ] {
        let (endpoint, _server) = serve(ok("text/event-stream", body)).await;
        let (events, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
        assert_eq!(events, shown, "{body:?}");
        match error {
            Some(error) => assert_eq!(error.kind, kind, "{body:?}"),
            None => assert_eq!(events.last(), Some(&done())),
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_as_such() {
    let response = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n";
    let (endpoint, _server) = serve(response).await;
    let (events, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
    assert_eq!(events, [text("a")]);
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::CutOff);
    assert!(error.message.starts_with("the connection broke"), "{error}");
}

#[tokio::test]
async fn an_event_without_end_is_refused() {
    let body = format!("data: {}", "x".repeat(17 * 1024 * 1024));
    let (endpoint, _server) = serve(ok("text/event-stream", &body)).await;
    let (_, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
    assert_eq!(error.unwrap().kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_refusal_says_what_the_server_said() {
    let body = r#"{"error": "no\ncredit for sk-secret"}"#;
    for (response, expected) in [
        (
            format!(
                "HTTP/1.1 429 Slow\r\ncontent-length: {}\r\nrequest-id: req_1\r\n\
                 retry-after: 1.5\r\nx-should-retry: false\r\n\r\n{body}",
                body.len()
            ),
            "local (HTTP 429): no credit for [key]",
        ),
        (
            ok("application/json", body),
            "local (HTTP 200): no credit for [key]",
        ),
        (
            ok("application/json", "{}"),
            "local (HTTP 200): the server sent something else than a stream of events: {}",
        ),
        (
            ok("text/html", "<html><title>Log in</title>"),
            "local (HTTP 200): the server sent an HTML page, \"Log in\"",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
            "local (HTTP 502): half",
        ),
    ] {
        let (endpoint, _server) = serve(response).await;
        let (events, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
        assert_eq!(events, []);
        let error = error.unwrap();
        assert_eq!(error.to_string(), expected);
        if error.status == Some(429) {
            assert_eq!(error.kind, ErrorKind::Quota);
            assert_eq!(error.retry_after, Some(Duration::from_millis(1500)));
            assert_eq!(error.request_id.as_deref(), Some("req_1"));
            assert_eq!(error.retryable, Some(false));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = endpoint(&listener);
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Connect);
    let expected = format!("local: cannot connect to {address}: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_without_a_word_can_be_asked_again() {
    let (endpoint, _server) = serve("").await;
    let (_, error) = drain(open(&endpoint, CancellationToken::new()).await).await;
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Connect);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_call_is_cancelled_before_its_response_and_in_the_middle_of_it() {
    let head = ok("text/event-stream", "data: a\n\n");
    for (response, shown) in [("", vec![]), (&head[..], vec![text("a")])] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = endpoint(&listener);
        let cancel = CancellationToken::new();
        let (asked, was_asked) = oneshot::channel();
        let response = response.to_owned();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_request(&mut socket).await;
            socket.write_all(response.as_bytes()).await.unwrap();
            asked.send(()).unwrap();
            // The client hangs up when it is cancelled.
            socket.read_to_end(&mut Vec::new()).await.ok();
        });
        let call = async {
            let mut stream = match open(&endpoint, cancel.clone()).await {
                Ok(stream) => stream,
                Err(error) => return drain(Err(error)).await,
            };
            let first = stream.next().await.unwrap().unwrap();
            cancel.cancel();
            let (mut events, error) = drain(Ok(stream)).await;
            events.insert(0, first);
            (events, error)
        };
        let cancel_before = async {
            was_asked.await.unwrap();
            if shown.is_empty() {
                cancel.cancel();
            }
        };
        let ((events, error), ()) = tokio::join!(call, cancel_before);
        assert_eq!(events, shown);
        assert!(error.unwrap().is_cancelled());
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_whole_answer_is_read_as_json() {
    async fn post(response: String) -> Result<Value, LlmError> {
        let (endpoint, _server) = serve(response).await;
        let body = br#"{"ask":1}"#.to_vec();
        post_json(
            &endpoint,
            "v1/ask",
            body,
            parse_error,
            CancellationToken::new(),
        )
        .await
    }
    assert_eq!(
        post(ok("text/plain", "[1]")).await.unwrap(),
        serde_json::json!([1])
    );
    for (response, kind) in [
        (ok("application/json", "[1"), ErrorKind::Protocol),
        (ok("application/json", r#"{"error":"x"}"#), ErrorKind::Quota),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1]".to_owned(),
            ErrorKind::CutOff,
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            ErrorKind::NotFound,
        ),
    ] {
        assert_eq!(post(response).await.unwrap_err().kind, kind);
    }
}

#[test]
fn an_address_keeps_its_path_and_query() {
    for (base, expected) in [
        ("https://api.example.com", "https://api.example.com/v1/ask"),
        ("https://api.example.com/", "https://api.example.com/v1/ask"),
        (" http://h:8080/sub/dir ", "http://h:8080/sub/dir/v1/ask"),
        (
            "https://h/sub/?api-version=2",
            "https://h/sub/v1/ask?api-version=2",
        ),
    ] {
        let endpoint = Endpoint::new("p", base, Timeouts::default()).unwrap();
        assert_eq!(endpoint.url("/v1/ask").as_str(), expected);
    }
    for base in ["", "api.example.com", "ftp://h/", "http://"] {
        let error = Endpoint::new("p", base, Timeouts::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{base:?}");
        assert!(
            error.message.starts_with("`base_url` is not usable: "),
            "{error}"
        );
    }
}

#[test]
fn a_key_that_no_header_can_hold_is_refused() {
    let endpoint = Endpoint::new("p", "http://h", Timeouts::default()).unwrap();
    let name = HeaderName::from_static("x-api-key");
    let error = endpoint
        .secret_header(name, "", &SecretString::from("a\nb"))
        .unwrap_err();
    assert!(error.is_auth());
    assert!(!error.to_string().contains('\n'));
}

fn patience(timeouts: Timeouts) -> Patience {
    Patience::new("local".to_owned(), timeouts, CancellationToken::new())
}

/// Sends `count` chunks, one every `pause`, and then nothing for ever.
fn stalling(
    count: usize,
    pause: Duration,
    chunk: &'static str,
) -> impl futures_core::Stream<Item = Result<Bytes, String>> + Send {
    stream::iter(0..count)
        .then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from_static(chunk.as_bytes()))
        })
        .chain(stream::pending())
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_call_and_any_byte_prolongs_it() {
    let start = tokio::time::Instant::now();
    let timeouts = Timeouts::default();
    let chunks = stalling(5, Duration::from_secs(80), ":\n");
    let stream = answer::events(chunks, Box::new(Echo), patience(timeouts));
    let (events, error) = drain(Ok(stream)).await;
    assert_eq!(events, []);
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.to_string(), "local: nothing came for 90 seconds");
    assert_eq!(start.elapsed().as_secs(), 5 * 80 + 90);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_ended() {
    let start = tokio::time::Instant::now();
    let chunks = stalling(1000, Duration::from_secs(7), "data: a\n\n");
    let stream = answer::events(chunks, Box::new(Echo), patience(Timeouts::default()));
    let (events, error) = drain(Ok(stream)).await;
    assert_eq!(events.len(), 600 / 7);
    let error = error.unwrap();
    assert_eq!(
        error.to_string(),
        "local: the call took longer than 600 seconds"
    );
    assert_eq!(start.elapsed().as_secs(), 600);
}

#[tokio::test]
async fn a_timeout_of_any_length_is_accepted() {
    let timeouts = Timeouts {
        idle: Duration::MAX,
        total: Duration::MAX,
    };
    let ready: Result<(), Infallible> = patience(timeouts).wait(async { Ok(()) }).await.unwrap();
    assert_eq!(ready, Ok(()));
}
