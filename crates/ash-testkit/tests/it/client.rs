//! A client that sees exactly what came, and whether it came whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the message ended as HTTP says.
    pub(crate) whole: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The events of the stream: name and data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let text = self.text();
        text.split_terminator("\n\n")
            .map(|event| {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .to_owned()
                };
                (field("event: "), field("data: "))
            })
            .collect()
    }

    /// The data of the events, parsed; what is not JSON is left out.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.events()
            .iter()
            .filter_map(|(_, data)| serde_json::from_str(data).ok())
            .collect()
    }

    pub(crate) fn error_message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Opens a connection and sends a request.
pub(crate) async fn send(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> TcpStream {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// Reads one response to its end, or to where the connection ends.
pub(crate) async fn receive(stream: &mut TcpStream) -> Got {
    let mut bytes = Vec::new();
    loop {
        if let Some(got) = parse(&bytes, false) {
            return got;
        }
        let read = stream.read_buf(&mut bytes).await.unwrap_or(0);
        if read == 0 {
            return parse(&bytes, true).expect("at least a head");
        }
    }
}

/// Posts JSON and reads the response.
pub(crate) async fn post(url: &str, headers: &[(&str, &str)], body: &Value) -> Got {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    let mut stream = send(url, "POST", &all, body.to_string().as_bytes()).await;
    receive(&mut stream).await
}

fn parse(bytes: &[u8], ended: bool) -> Option<Got> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split_once("\r\n\r\n")?.0.to_owned();
    let mut rest = &bytes[head.len() + 4..];
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let (body, whole) = if let Some(length) = length {
        let length: usize = length.parse().unwrap();
        (
            rest[..rest.len().min(length)].to_vec(),
            rest.len() >= length,
        )
    } else {
        let mut body = Vec::new();
        let whole = loop {
            let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") else {
                break false;
            };
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[line + 2..];
            if size == 0 {
                break rest.starts_with(b"\r\n");
            }
            if rest.len() < size + 2 {
                body.extend_from_slice(rest);
                break false;
            }
            body.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        };
        (body, whole)
    };
    (whole || ended).then_some(Got {
        status,
        head,
        body,
        whole,
    })
}

/// A request that a rule refuses, what is said to it, and its like that passes.
pub(crate) struct Rule {
    pub(crate) bad: Value,
    pub(crate) says: &'static str,
    pub(crate) good: Value,
}

/// Makes a row of a table of rules; the requests are patches of a common one.
pub(crate) fn rule(bad: Value, says: &'static str, good: Value) -> Rule {
    Rule { bad, says, good }
}

/// Applies a patch: fields replace their like, null removes, and `@` begins what is no field.
pub(crate) fn patched(mut base: Value, patch: &Value) -> Value {
    for (key, value) in patch.as_object().unwrap() {
        let fields = base.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(key);
        } else if !key.starts_with('@') {
            fields.insert(key.clone(), value.clone());
        }
    }
    base
}
