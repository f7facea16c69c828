//! The server that all protocols share: it listens, records, finds the answer and delivers it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::delivery::{Step, plan};
use crate::http::{Body, Connection, Recorded, Response};
use crate::reply::{Before, Delivery, Reply};

/// The only key that the servers take.
pub const KEY: &str = "test-key";

/// What a vendor's servers do.
pub trait Protocol: Send + Sync + 'static {
    /// What follows the address in the base URL that clients are given.
    const BASE: &'static str;

    /// Judges a request.
    fn judge(&self, request: &Recorded, issued: &Issued) -> Result<Route, Refusal>;

    /// Puts a scripted reply into the vendor's words.
    fn render(&self, request: &Recorded, reply: &Reply, issued: &mut Issued) -> Response;

    /// Puts a refusal into the vendor's words.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

/// Where a request that was accepted goes.
#[derive(Debug)]
pub enum Route {
    /// It takes the next scripted reply.
    Script,
    /// It takes the next reply for embeddings, or the usual one.
    Embeddings,
    /// It is answered at once.
    Ready(Response),
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

/// What a server remembers having said, to judge whether it comes back unchanged.
#[derive(Debug, Default)]
pub struct Issued {
    /// Counts replies, to make ids of.
    pub(crate) replies: usize,
    /// The calls that came after thinking.
    pub(crate) thought: Vec<Thought>,
    /// Whether the newest reply was a pause, to be continued.
    pub(crate) paused: bool,
}

/// A call that came after thinking: they belong together.
#[derive(Debug)]
pub(crate) struct Thought {
    pub(crate) call: String,
    pub(crate) proof: String,
    pub(crate) model: String,
}

/// A fake server on a thread of its own, so that a test may block. It ends when dropped.
pub struct Fake<P> {
    address: SocketAddr,
    inner: Arc<Inner<P>>,
    _running: DropGuard,
}

struct Inner<P> {
    protocol: P,
    // A lock and no task: tests look in from the outside, synchronously.
    state: Mutex<State>,
    responder: Mutex<Option<Responder>>,
    progress: watch::Sender<Progress>,
    gate: Semaphore,
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    embeddings: VecDeque<Reply>,
    issued: Issued,
    requests: Vec<Recorded>,
    sent: Vec<Vec<u8>>,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    requests: usize,
    stalls: usize,
    hang_ups: usize,
}

type Responder = Box<dyn FnMut(&Recorded) -> Reply + Send>;

impl<P: Protocol + Default> Fake<P> {
    /// Starts a server with the usual options.
    pub async fn start() -> Self {
        Self::start_as(P::default()).await
    }

    /// Starts a server that asks `responder` whenever nothing is enqueued.
    pub async fn with(responder: impl FnMut(&Recorded) -> Reply + Send + 'static) -> Self {
        let server = Self::start().await;
        server.respond_with(responder);
        server
    }
}

impl<P: Protocol> Fake<P> {
    /// Starts a server with options.
    pub async fn start_as(protocol: P) -> Self {
        Self::start_at(protocol, SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("loopback has a free port")
    }

    /// Starts a server at an address.
    pub async fn start_at(protocol: P, address: SocketAddr) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            protocol,
            state: Mutex::default(),
            responder: Mutex::new(None),
            progress: watch::Sender::default(),
            gate: Semaphore::new(0),
        });
        let cancel = CancellationToken::new();
        let (bound, binding) = oneshot::channel();
        let (server, stopped) = (inner.clone(), cancel.clone());
        std::thread::Builder::new()
            .name("fake-server".into())
            .spawn(move || run(&server, address, &stopped, bound))?;
        let address = binding
            .await
            .map_err(|_| io::Error::other("the server's thread ended"))??;
        Ok(Self {
            address,
            inner,
            _running: cancel.drop_guard(),
        })
    }

    /// Returns the base URL to configure, as the vendor's own variable holds it.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, P::BASE)
    }

    /// Adds a reply to the end of the script.
    pub fn enqueue(&self, reply: Reply) {
        self.inner.state().script.push_back(reply);
    }

    /// Adds a reply for the next request for embeddings; without one it is answered properly.
    pub fn enqueue_embeddings(&self, reply: Reply) {
        self.inner.state().embeddings.push_back(reply);
    }

    /// Asks `responder` from now on whenever nothing is enqueued.
    pub fn respond_with(&self, responder: impl FnMut(&Recorded) -> Reply + Send + 'static) {
        *lock(&self.inner.responder) = Some(Box::new(responder));
    }

    /// Returns every request so far, the refused ones too.
    pub fn requests(&self) -> Vec<Recorded> {
        self.inner.state().requests.clone()
    }

    /// Returns the body bytes written so far, one entry a request.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.inner.state().sent.clone()
    }

    /// Returns what clients did wrong, and requests that nothing was scripted for.
    pub fn violations(&self) -> Vec<String> {
        self.inner.state().violations.clone()
    }

    /// Returns the number of enqueued replies that nobody has asked for yet.
    pub fn replies_left(&self) -> usize {
        self.inner.state().script.len()
    }

    /// Waits until `count` requests have come since the start, and returns them all.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        self.wait(|progress| progress.requests >= count).await;
        self.requests()
    }

    /// Waits until `count` replies have stalled since the start.
    pub async fn wait_for_stalls(&self, count: usize) {
        self.wait(|progress| progress.stalls >= count).await;
    }

    /// Waits until clients have left `count` replies unfinished since the start.
    pub async fn wait_for_hang_ups(&self, count: usize) {
        self.wait(|progress| progress.hang_ups >= count).await;
    }

    /// Returns how many replies clients have left unfinished.
    pub fn hang_ups(&self) -> usize {
        self.inner.progress.borrow().hang_ups
    }

    /// Lets one stalled reply go on, now or when it gets there.
    pub fn release(&self) {
        self.inner.gate.add_permits(1);
    }

    async fn wait(&self, reached: impl FnMut(&Progress) -> bool) {
        // Losing the sender is impossible: `self` holds it.
        let _ = self.inner.progress.subscribe().wait_for(reached).await;
    }
}

fn run<P: Protocol>(
    inner: &Arc<Inner<P>>,
    address: SocketAddr,
    stopped: &CancellationToken,
    bound: oneshot::Sender<io::Result<SocketAddr>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = bound.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let opened = match TcpListener::bind(address).await {
            Ok(listener) => listener.local_addr().map(|address| (listener, address)),
            Err(error) => Err(error),
        };
        let listener = match opened {
            Ok((listener, address)) => {
                // Nobody waits for the address any more: the first accept will notice.
                let _ = bound.send(Ok(address));
                listener
            }
            Err(error) => {
                let _ = bound.send(Err(error));
                return;
            }
        };
        let mut connections = JoinSet::new();
        loop {
            // Dropping a losing branch is safe: each only waits.
            let accepted = tokio::select! {
                () = stopped.cancelled() => return,
                accepted = listener.accept() => Some(accepted),
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        inner.violation(format!("the server itself broke: {error}"));
                    }
                    None
                }
            };
            if let Some(Ok((stream, _))) = accepted {
                connections.spawn(serve(inner.clone(), Connection::new(stream)));
            }
        }
    });
}

async fn serve<P: Protocol>(inner: Arc<Inner<P>>, mut connection: Connection) {
    loop {
        match connection.next_request().await {
            Ok(Some(request)) => {
                if !inner.answer(&mut connection, request).await {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                inner.violation(error.to_string());
                return;
            }
            // The client was killed, or thought better of it.
            Ok(None) | Err(_) => return,
        }
    }
}

impl<P: Protocol> Inner<P> {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn violation(&self, what: String) {
        self.state().violations.push(what);
    }

    fn count(&self, one: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(one);
    }

    /// Answers one request and tells whether the connection may serve another.
    async fn answer(&self, connection: &mut Connection, request: Recorded) -> bool {
        let number = {
            let mut state = self.state();
            state.requests.push(request.clone());
            state.sent.push(Vec::new());
            state.requests.len() - 1
        };
        let (response, delivery) = self.response(&request, number);
        self.count(|progress| progress.requests += 1);
        let delivered = self
            .deliver(connection, response, &delivery, number)
            .await
            .unwrap_or(Delivered::ClientLeft);
        if delivered == Delivered::ClientLeft {
            self.count(|progress| progress.hang_ups += 1);
        }
        delivered == Delivered::Whole
    }

    fn response(&self, request: &Recorded, number: usize) -> (Response, Delivery) {
        let judged = {
            let state = self.state();
            self.protocol.judge(request, &state.issued)
        };
        let refusal = match judged {
            Ok(Route::Ready(response)) => return (response, Delivery::default()),
            Ok(Route::Embeddings) => {
                let reply = self.state().embeddings.pop_front();
                return self.rendered(request, reply.unwrap_or_default());
            }
            Ok(Route::Script) => match self.scripted(request) {
                Some(reply) => return self.rendered(request, reply),
                None => Refusal {
                    status: 500,
                    kind: "api_error",
                    message: "nothing is scripted for this request".into(),
                    param: None,
                    code: None,
                },
            },
            Err(refusal) => refusal,
        };
        self.violation(format!(
            "request {number}, {} {}: {} {}: {}",
            request.method, request.path, refusal.status, refusal.kind, refusal.message
        ));
        (self.protocol.refuse(&refusal), Delivery::default())
    }

    fn scripted(&self, request: &Recorded) -> Option<Reply> {
        let enqueued = self.state().script.pop_front();
        enqueued.or_else(|| {
            let mut responder = lock(&self.responder);
            responder.as_mut().map(|responder| responder(request))
        })
    }

    fn rendered(&self, request: &Recorded, mut reply: Reply) -> (Response, Delivery) {
        let mut response = if let Some(bytes) = reply.raw.take() {
            let is_stream = |(_, value): &(String, String)| value == "text/event-stream";
            let streams = reply.headers.iter().any(is_stream);
            Response {
                status: reply.status.unwrap_or(200),
                headers: Vec::new(),
                body: if streams {
                    Body::Events(vec![bytes])
                } else {
                    Body::Whole(bytes)
                },
            }
        } else {
            let mut state = self.state();
            state.issued.replies += 1;
            self.protocol.render(request, &reply, &mut state.issued)
        };
        for (name, value) in &reply.headers {
            response.set_header(name, value);
        }
        (response, reply.delivery)
    }

    async fn deliver(
        &self,
        connection: &mut Connection,
        response: Response,
        delivery: &Delivery,
        number: usize,
    ) -> io::Result<Delivered> {
        let stays = match delivery.before {
            Before::Answer => true,
            Before::Stall => self.stall(connection).await,
            Before::Disconnect => return Ok(Delivered::Cut),
        };
        if !stays {
            return Ok(Delivered::ClientLeft);
        }
        let (writes, chunked) = match &response.body {
            Body::Whole(bytes) => (std::slice::from_ref(bytes), false),
            Body::Events(events) => (events.as_slice(), true),
        };
        let (steps, announced) = plan(writes, delivery);
        connection.write_head(&response, announced).await?;
        for step in steps {
            let stays = match step {
                Step::Write(bytes) => {
                    connection.write_piece(&bytes, chunked).await?;
                    self.state().sent[number].extend_from_slice(&bytes);
                    true
                }
                // Dropping a losing branch is safe: what `left` has read stays in the connection.
                Step::Pause(pause) => tokio::select! {
                    () = connection.left() => false,
                    () = tokio::time::sleep(pause) => true,
                },
                Step::Stall => self.stall(connection).await,
                Step::Cut => return Ok(Delivered::Cut),
            };
            if !stays {
                return Ok(Delivered::ClientLeft);
            }
        }
        connection.write_end(chunked).await?;
        Ok(Delivered::Whole)
    }

    /// Waits for a release; `false` if the client leaves first.
    async fn stall(&self, connection: &mut Connection) -> bool {
        self.count(|progress| progress.stalls += 1);
        // Dropping a losing branch is safe: an unused permit stays for the next stall.
        tokio::select! {
            () = connection.left() => false,
            permit = self.gate.acquire() => {
                permit.expect("the gate is never closed").forget();
                true
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Whole,
    Cut,
    ClientLeft,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
