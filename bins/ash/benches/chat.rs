//! What a person waits for, and what Ash costs: real processes against a bare server on loopback.
//!
//! `cargo bench -p ash --bench chat --profile dist` prints a table; `docs/benchmarks.md` keeps one.
//! Every figure stands beside a bare comparison from the same run, because absolute times wander.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, reason = "a broken measurement has to stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ash_memory::{ChatKind, Memory, NewMessage, NewSession, OpenOptions, Record, Role};

const RUNS: usize = 40;
const CHUNKS: usize = 200;
const STORED: usize = 10_000;

fn main() {
    // `cargo test --benches` runs this too, and only wants to know that it works.
    let runs = if std::env::args().any(|argument| argument == "--bench") {
        RUNS
    } else {
        2
    };
    let ash = Path::new(env!("CARGO_BIN_EXE_ash"));
    println!("{runs} runs each; median (minimum)\n");
    row("/bin/true", spawn(runs, || Command::new("/bin/true")), "ms");
    row(
        "ash --version",
        spawn(runs, || {
            let mut command = Command::new(ash);
            command.arg("--version");
            command
        }),
        "ms",
    );

    let empty = tempfile::tempdir().unwrap();
    chat(ash, empty.path(), runs, "empty home");
    let full = tempfile::tempdir().unwrap();
    fill(full.path());
    chat(ash, full.path(), runs, "10,000 messages stored");
    println!("{:<52} {:>9.1} MB", "size of the program", megabytes(ash));
}

/// Measures one-shot chats in a home.
fn chat(ash: &Path, home: &Path, runs: usize, what: &str) {
    let server = Server::start(5, Duration::ZERO);
    // The first run makes the home.
    let _ = one_shot(ash, home, &server);
    let mut first_byte = Vec::new();
    let mut exit = Vec::new();
    let mut peak = 0;
    let mut size = 0;
    for _ in 0..runs {
        let shot = one_shot(ash, home, &server);
        first_byte.push(shot.started.duration_since_start());
        exit.push(shot.ended);
        peak = peak.max(shot.peak_kib);
        size = shot.request;
    }
    println!("\n{what}:");
    row(
        "  start of the process to first byte of the request",
        first_byte,
        "ms",
    );
    row("  last byte received to exit", exit, "ms");
    println!(
        "{:<52} {:>9.1} MiB",
        "  peak memory",
        f64::from(peak) / 1024.0
    );
    println!(
        "{:<52} {:>9.1} KB",
        "  request for \"hello\"",
        kilobytes(size)
    );

    let server = Server::start(CHUNKS, Duration::from_millis(2));
    let mut added = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..(runs / 10).max(1) {
        added.extend(delays(ash, home, &server));
        bare.extend(bare_delays(&server));
    }
    row("  a chunk, server to standard output", added, "ms");
    row("  a chunk, server to a bare socket", bare, "ms");
}

struct Shot {
    started: FirstByte,
    ended: Duration,
    peak_kib: u32,
    request: usize,
}

struct FirstByte {
    spawned: Instant,
    received: Instant,
}

impl FirstByte {
    fn duration_since_start(&self) -> Duration {
        self.received - self.spawned
    }
}

fn one_shot(ash: &Path, home: &Path, server: &Server) -> Shot {
    let spawned = Instant::now();
    let mut child = command(ash, home, server).spawn().unwrap();
    let seen = server.seen.recv().unwrap();
    let peak_kib = peak(&child);
    let status = child.wait().unwrap();
    let exited = Instant::now();
    assert!(status.success());
    Shot {
        started: FirstByte {
            spawned,
            received: seen.first_byte,
        },
        ended: exited - *seen.sent.last().unwrap(),
        peak_kib,
        request: seen.body,
    }
}

fn command(ash: &Path, home: &Path, server: &Server) -> Command {
    let mut command = Command::new(ash);
    command
        .args(["chat", "hello"])
        .env_clear()
        .env("HOME", home)
        .env("ANTHROPIC_API_KEY", "bench")
        .env("ANTHROPIC_BASE_URL", &server.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The most memory that a process that just received its answer has used.
fn peak(child: &Child) -> u32 {
    std::fs::read_to_string(format!("/proc/{}/status", child.id()))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_default()
}

/// Returns, for each chunk, the time from its sending to its arrival on standard output.
fn delays(ash: &Path, home: &Path, server: &Server) -> Vec<Duration> {
    let mut child = command(ash, home, server).spawn().unwrap();
    let arrived = arrivals(child.stdout.take().unwrap());
    child.wait().unwrap();
    matched(&server.seen.recv().unwrap().sent, &arrived)
}

fn bare_delays(server: &Server) -> Vec<Duration> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        .unwrap();
    let arrived = arrivals(stream);
    matched(&server.seen.recv().unwrap().sent, &arrived)
}

/// Notes when each chunk's number appears.
fn arrivals(mut source: impl Read) -> Vec<Instant> {
    let mut arrived = Vec::new();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = source.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return arrived;
        }
        let now = Instant::now();
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        while text.contains(&format!("w{} ", arrived.len())) {
            arrived.push(now);
        }
    }
}

fn matched(sent: &[Instant], arrived: &[Instant]) -> Vec<Duration> {
    assert_eq!(arrived.len(), CHUNKS, "every chunk arrives");
    sent.iter()
        .zip(arrived)
        .map(|(sent, arrived)| arrived.saturating_duration_since(*sent))
        .collect()
}

fn spawn(runs: usize, command: impl Fn() -> Command) -> Vec<Duration> {
    (0..runs)
        .map(|_| {
            let mut command = command();
            command.stdout(Stdio::null());
            let start = Instant::now();
            command.status().unwrap();
            start.elapsed()
        })
        .collect()
}

fn fill(home: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let path = home.join(".ash/memory.db");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let memory = Memory::open(path, OpenOptions::default()).unwrap();
        for chat in 0..10 {
            let session = memory
                .open_session(NewSession {
                    provider: "terminal".to_owned(),
                    chat_id: if chat == 0 {
                        "main".to_owned()
                    } else {
                        format!("chat{chat}")
                    },
                    user_id: "terminal:owner".to_owned(),
                    kind: ChatKind::Private,
                })
                .await
                .unwrap();
            let records = (0..STORED / 10)
                .map(|n| {
                    let role = if n % 2 == 0 {
                        Role::User
                    } else {
                        Role::Assistant
                    };
                    let text = format!("message {n} of {chat} about boats, bread and the weather");
                    Record::Message(NewMessage::new(session.id.clone(), role, text))
                })
                .collect();
            memory.record(records).await.unwrap();
        }
    });
}

/// What the server saw and did in one exchange.
struct Seen {
    first_byte: Instant,
    body: usize,
    /// When each chunk was sent, and at last when everything was.
    sent: Vec<Instant>,
}

/// The least that can pass for Anthropic's server.
struct Server {
    url: String,
    seen: Receiver<Seen>,
}

impl Server {
    fn start(chunks: usize, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if tell.send(exchange(stream.unwrap(), chunks, pause)).is_err() {
                    return;
                }
            }
        });
        Self { url, seen }
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

fn exchange(mut stream: TcpStream, chunks: usize, pause: Duration) -> Seen {
    stream.set_nodelay(true).unwrap();
    let mut first = [0];
    stream.peek(&mut first).unwrap();
    let first_byte = Instant::now();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut body = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body = length.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; body]).unwrap();
    let mut send = |text: &str| {
        let bytes = format!("{:x}\r\n{text}\r\n", text.len());
        let now = Instant::now();
        stream.write_all(bytes.as_bytes()).unwrap();
        now
    };
    send_head(&mut reader.get_ref().try_clone().unwrap());
    send(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    );
    let mut sent: Vec<Instant> = (0..chunks)
        .map(|n| {
            std::thread::sleep(pause);
            send(&format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"w{n} \"}}}}\n\n"))
        })
        .collect();
    send(
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    stream.write_all(b"0\r\n\r\n").unwrap();
    sent.push(Instant::now());
    Seen {
        first_byte,
        body,
        sent,
    }
}

fn send_head(stream: &mut TcpStream) {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
}

fn row(name: &str, mut times: Vec<Duration>, unit: &str) {
    times.sort();
    let in_ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{name:<52} {:>9.2} {unit} ({:.2})",
        in_ms(times[times.len() / 2]),
        in_ms(times[0])
    );
}

#[expect(clippy::cast_precision_loss, reason = "a size in a table")]
fn megabytes(path: &Path) -> f64 {
    std::fs::metadata(path).unwrap().len() as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a size in a table")]
fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1e3
}
