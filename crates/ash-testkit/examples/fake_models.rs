//! Serves the fake models to real processes, for trying by hand and for tests that kill.
//!
//! ```text
//! cargo run -p ash-testkit --example fake_models -- [OPTIONS]
//!
//!   --anthropic PORT    Messages (a free port unless given, as for the others)
//!   --openai PORT       Responses, Chat Completions and Embeddings
//!   --chat PORT         Chat Completions as Ollama speaks it
//!   --delay-ms N        wait between chunks
//!   --chunk N           characters in a delta
//!   --stall-after N     fall silent after N bytes of the body ..
//!   --stalls N          .. in the first N replies of each server (all unless given)
//!   --tool NAME         call this tool, where it is offered, before answering
//!   --arguments JSON    with these arguments
//!   --record FILE       append each request, and what was wrong with it, as a JSON line
//! ```
//!
//! Prints one JSON object with the base URLs and the key, then answers by echo until it is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ash_testkit::{Anthropic, Dialect, Fake, KEY, OpenAi, Protocol, Recorded, Reply};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Options {
    anthropic: u16,
    openai: u16,
    chat: u16,
    delay: Option<Duration>,
    chunk: Option<usize>,
    stall_after: Option<usize>,
    stalls: Option<usize>,
    tool: Option<String>,
    arguments: Option<Value>,
    record: Option<String>,
}

type Record = Arc<Mutex<Option<File>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options(std::env::args().skip(1))?;
    let file = match &options.record {
        Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
        None => None,
    };
    let record: Record = Arc::new(Mutex::new(file));
    let anthropic = serve(Anthropic::default(), options.anthropic, &options).await?;
    let openai = serve(OpenAi::default(), options.openai, &options).await?;
    let chat = serve(OpenAi::from(Dialect::Ollama), options.chat, &options).await?;
    let urls = json!({
        "anthropic": anthropic.url(),
        "openai": openai.url(),
        "chat": chat.url(),
        "key": KEY,
    });
    writeln!(io::stdout(), "{urls}")?;
    tokio::try_join!(
        keep("anthropic", &anthropic, &record),
        keep("openai", &openai, &record),
        keep("chat", &chat, &record),
    )?;
    Ok(())
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(format!("{flag} needs a value"))?;
        let bad = |error: &dyn std::fmt::Display| format!("{flag} {value}: {error}");
        let number = || value.parse::<usize>().map_err(|error| bad(&error));
        let port = || value.parse::<u16>().map_err(|error| bad(&error));
        match flag.as_str() {
            "--anthropic" => options.anthropic = port()?,
            "--openai" => options.openai = port()?,
            "--chat" => options.chat = port()?,
            "--delay-ms" => {
                let pause = value.parse().map_err(|error| bad(&error))?;
                options.delay = Some(Duration::from_millis(pause));
            }
            "--chunk" => options.chunk = Some(number()?),
            "--stall-after" => options.stall_after = Some(number()?),
            "--stalls" => options.stalls = Some(number()?),
            "--tool" => options.tool = Some(value),
            "--arguments" => {
                options.arguments = Some(serde_json::from_str(&value).map_err(|e| bad(&e))?);
            }
            "--record" => options.record = Some(value),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    Ok(options)
}

async fn serve<P: Protocol>(protocol: P, port: u16, options: &Options) -> io::Result<Fake<P>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Fake::start_at(protocol, address).await?;
    let options = options.clone();
    let mut count = 0;
    server.respond_with(move |request| {
        count += 1;
        let mut reply = answer(request, &options, count);
        if let Some(size) = options.chunk {
            reply = reply.chunked(size);
        }
        if let Some(pause) = options.delay {
            reply = reply.delay_between_chunks(pause);
        }
        match options.stall_after {
            Some(bytes) if options.stalls.is_none_or(|most| count <= most) => {
                reply.stall_after_bytes(bytes)
            }
            Some(_) | None => reply,
        }
    });
    Ok(server)
}

/// Calls the tool, or says what was said.
fn answer(request: &Recorded, options: &Options, count: usize) -> Reply {
    let body = &request.body;
    let Some(newest) = body["messages"].as_array().or(body["input"].as_array()) else {
        return Reply::text(format!("You said: {}", words(&body["input"])));
    };
    let newest = newest.last().unwrap_or(&Value::Null);
    let content = newest.get("content").unwrap_or(&newest["output"]);
    let is_result = newest["role"] == "tool"
        || newest["type"] == "function_call_output"
        || content[0]["type"] == "tool_result";
    if is_result {
        return Reply::text(format!("The tool said: {}", words(content)));
    }
    let offered = |name: &str| {
        let tools = body["tools"].as_array();
        tools
            .into_iter()
            .flatten()
            .any(|tool| tool["name"] == name || tool["function"]["name"] == name)
    };
    match &options.tool {
        Some(name) if offered(name) => {
            let arguments = options.arguments.clone().unwrap_or(json!({}));
            Reply::tool_call(&format!("call_{count}"), name, arguments)
        }
        Some(_) | None => Reply::text(format!("You said: {}", words(content))),
    }
}

/// Joins all text in a content, however deep it stands.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(words).collect();
            parts.join(" ")
        }
        Value::Object(part) => {
            let text = part.get("text").or(part.get("content"));
            text.map(words).unwrap_or_default()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// Writes down every request and violation of a server, for as long as it runs.
async fn keep<P: Protocol>(name: &str, server: &Fake<P>, record: &Record) -> io::Result<()> {
    let (mut seen, mut wrong) = (0, 0);
    loop {
        let requests = server.wait_for_requests(seen + 1).await;
        let violations = server.violations();
        let mut lines = Vec::new();
        for request in &requests[seen..] {
            let line = json!({
                "server": name,
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "body": request.body,
            });
            writeln!(lines, "{line}")?;
        }
        for violation in &violations[wrong..] {
            writeln!(io::stderr(), "{name}: {violation}")?;
            let line = json!({"server": name, "violation": violation});
            writeln!(lines, "{line}")?;
        }
        (seen, wrong) = (requests.len(), violations.len());
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = record.as_mut() {
            file.write_all(&lines)?;
        }
    }
}
