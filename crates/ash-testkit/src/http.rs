//! As much HTTP/1.1 as a fake server needs, by hand: it must be able to end anywhere.

use std::io;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const LONGEST_HEAD: usize = 64 * 1024;
const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// For instance `POST`.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What follows the question mark, or nothing.
    pub query: String,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; null where it is none.
    pub body: Value,
    /// The body as it came.
    pub raw: Vec<u8>,
    /// When its last byte had come.
    pub received_at: Instant,
}

impl Recorded {
    /// Returns the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn wants_stream(&self) -> bool {
        self.body.get("stream") == Some(&Value::Bool(true))
    }
}

/// A response before it is scripted to misbehave.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// Sent with its length.
    Whole(Vec<u8>),
    /// Sent in chunks, one an event.
    Events(Vec<Vec<u8>>),
}

impl Response {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Whole(body.to_string().into_bytes()),
        }
    }

    pub(crate) fn events(events: Vec<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![
                (
                    "content-type".into(),
                    "text/event-stream; charset=utf-8".into(),
                ),
                ("cache-control".into(), "no-cache".into()),
            ],
            body: Body::Events(events),
        }
    }

    /// Sets a header, whatever it was before.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
    }
}

/// A connection of a client, read and written by one task.
pub(crate) struct Connection {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    /// Read but not yet used.
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // What is written apart should arrive apart; without it only timing would differ.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Self {
            read,
            write,
            buffer: Vec::new(),
        }
    }

    /// Reads the next request, or `None` once the client has left.
    pub(crate) async fn next_request(&mut self) -> io::Result<Option<Recorded>> {
        let Some(end) = self.find(b"\r\n\r\n", LONGEST_HEAD).await? else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1")) =
            (first.next(), first.next(), first.next())
        else {
            return Err(bad(format!("not an HTTP/1.1 request: {head:?}")));
        };
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| bad(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Recorded {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers,
            body: Value::Null,
            raw: Vec::new(),
            received_at: Instant::now(),
        };
        if request.header("expect").is_some() {
            self.write
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        request.raw = self.body_of(&request).await?;
        request.body = serde_json::from_slice(&request.raw).unwrap_or_default();
        request.received_at = Instant::now();
        Ok(Some(request))
    }

    async fn body_of(&mut self, request: &Recorded) -> io::Result<Vec<u8>> {
        if request
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            let mut body = Vec::new();
            loop {
                let line = self.line().await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16)
                    .map_err(|_| bad(format!("not a chunk size: {line:?}")))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Ok(body);
                }
                body.extend(self.exactly(size).await?);
                if !self.line().await?.is_empty() {
                    return Err(bad("a chunk is longer than it said".into()));
                }
            }
        }
        match request.header("content-length") {
            None => Ok(Vec::new()),
            Some(length) => {
                let length = length
                    .parse()
                    .map_err(|_| bad(format!("not a length: {length:?}")))?;
                self.exactly(length).await
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = self
            .find(b"\r\n", LONGEST_HEAD)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Ok(line)
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > LONGEST_BODY {
            return Err(bad(format!("a body of {count} bytes")));
        }
        while self.buffer.len() < count {
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads until `needle` is in the buffer; `None` when the client leaves between requests.
    async fn find(&mut self, needle: &[u8], limit: usize) -> io::Result<Option<usize>> {
        loop {
            let found = self
                .buffer
                .windows(needle.len())
                .position(|window| window == needle);
            if found.is_some() {
                return Ok(found);
            }
            if self.buffer.len() > limit {
                return Err(bad(format!("more than {limit} bytes without an end")));
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Ends when the client leaves; what it sends meanwhile waits in the buffer.
    pub(crate) async fn left(&mut self) {
        while let Ok(1..) = self.read.read_buf(&mut self.buffer).await {}
    }

    pub(crate) async fn write_head(
        &mut self,
        response: &Response,
        announced: usize,
    ) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            response.status,
            reason(response.status)
        );
        for (name, value) in &response.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let framing = match response.body {
            Body::Whole(_) => format!("content-length: {announced}"),
            Body::Events(_) => "transfer-encoding: chunked".into(),
        };
        head.extend([framing.as_str(), "\r\n\r\n"]);
        self.write.write_all(head.as_bytes()).await
    }

    pub(crate) async fn write_piece(&mut self, bytes: &[u8], chunked: bool) -> io::Result<()> {
        if !chunked {
            return self.write.write_all(bytes).await;
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write.write_all(&chunk).await
    }

    pub(crate) async fn write_end(&mut self, chunked: bool) -> io::Result<()> {
        if chunked {
            self.write.write_all(b"0\r\n\r\n").await?;
        }
        self.write.flush().await
    }
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}
