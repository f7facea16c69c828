//! One thread writes, two read; the rest of the program waits for them without blocking.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::connection::{Access, connect};
use crate::MemoryError;

/// How many jobs may wait for a thread; whoever brings one more waits until there is room.
const QUEUE: usize = 256;
const READERS: usize = 2;
/// How many short reads the writer does before readers are started.
const EARLY_READS: usize = 16;

type Job = Box<dyn FnOnce(Result<&mut Connection, MemoryError>) + Send>;

/// Whether other processes must look again after a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Something that may be cached has changed.
    Change,
    /// Only leases have changed. They need not outlive a power cut, which their holders do not either.
    Quiet,
}

/// The threads that own the connections. They end when it is dropped, after what they were given.
pub(crate) struct Engine {
    // None for a database in memory, which has a single connection. Ends first: the last connection to
    // close merges the log into the file, and a reader could not.
    readers: Option<Readers>,
    writer: Queue,
}

struct Queue {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

struct Readers {
    path: PathBuf,
    early: AtomicUsize,
    queue: OnceLock<Queue>,
}

impl Engine {
    /// Hands a connection to a thread of its own. `path` is where readers find the file.
    pub(crate) fn start(writer: Connection, path: Option<PathBuf>) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(QUEUE);
        let mut connection = writer;
        let thread = spawn("ash-memory-writer", move || {
            while let Some(job) = waiting.blocking_recv() {
                run(job, Ok(&mut connection));
            }
        });
        Self {
            writer: Queue {
                jobs: Some(jobs),
                threads: vec![thread],
            },
            readers: path.map(|path| Readers {
                path,
                early: AtomicUsize::new(0),
                queue: OnceLock::new(),
            }),
        }
    }

    /// Runs `work` in one transaction. It is on the disk when this returns. Dropping the future drops
    /// the result, not the work.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        effect: Effect,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        self.writer
            .ask(move |connection| in_transaction(connection, effect, work))
            .await
    }

    /// Returns a way to write without waiting.
    pub(crate) fn background(&self) -> Background {
        let jobs = self.writer.jobs.as_ref();
        Background(jobs.expect("open until it is dropped").downgrade())
    }

    /// Runs `work`, which only reads and is short.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        // A program that asks a few things and ends needs neither threads nor connections for it.
        let early = self.readers.as_ref().is_none_or(|readers| {
            readers.queue.get().is_none()
                && readers.early.fetch_add(1, Ordering::Relaxed) < EARLY_READS
        });
        if early {
            return self.writer.ask(move |connection| work(connection)).await;
        }
        self.read_beside(work).await
    }

    /// Runs `work`, which only reads and takes its time, while others write.
    pub(crate) async fn read_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let queue = match &self.readers {
            None => &self.writer,
            Some(readers) => readers.queue.get_or_init(|| readers.start()),
        };
        queue.ask(move |connection| work(connection)).await
    }
}

/// Gives work to the writer without waiting, and without keeping it from ending.
#[derive(Clone)]
pub(crate) struct Background(mpsc::WeakSender<Job>);

impl Background {
    /// Runs `work` in one transaction, some time before the writer ends.
    pub(crate) fn run(
        &self,
        effect: Effect,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), MemoryError> + Send + 'static,
    ) {
        let Some(jobs) = self.0.upgrade() else { return };
        let job: Job = Box::new(move |connection| {
            let done = connection.and_then(|connection| in_transaction(connection, effect, work));
            if let Err(error) = done {
                tracing::warn!(%error, "something in the background was not kept");
            }
        });
        if let Err(TrySendError::Full(job)) = jobs.try_send(job) {
            // Whoever drops a lease cannot wait; a thread can.
            spawn("ash-memory-late", move || {
                let _ = jobs.blocking_send(job);
            });
        }
    }
}

impl Readers {
    // The threads share one queue: whoever is free takes the next job. A connection is opened with the
    // first job, so that a program that reads once opens one.
    fn start(&self) -> Queue {
        let (jobs, waiting) = mpsc::channel::<Job>(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..READERS)
            .map(|_| {
                let waiting = Arc::clone(&waiting);
                let path = self.path.clone();
                spawn("ash-memory-reader", move || read_jobs(&waiting, &path))
            })
            .collect();
        Queue {
            jobs: Some(jobs),
            threads,
        }
    }
}

fn read_jobs(waiting: &Mutex<mpsc::Receiver<Job>>, path: &std::path::Path) {
    let mut connection = None;
    loop {
        let job = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(job) = job else { return };
        let opened = match &mut connection {
            Some(connection) => Ok(connection),
            None => connect(path, Access::Read).map(|opened| connection.insert(opened)),
        };
        run(job, opened);
    }
}

impl Queue {
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody may be waiting any more, which is theirs to decide.
            let _ = reply.send(connection.and_then(work));
        });
        let jobs = self.jobs.as_ref().ok_or(MemoryError::Closed)?;
        jobs.send(job).await.map_err(|_| MemoryError::Closed)?;
        answer.await.map_err(|_| MemoryError::Closed)?
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // The last handle may be dropped by a job; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the database ended in a panic");
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .expect("the system has room for a thread")
}

// A job that panics must not take the connection with it: its transaction is rolled back while the
// stack unwinds, and whoever waits for it sees its answer dropped.
fn run(job: Job, connection: Result<&mut Connection, MemoryError>) {
    if catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
        tracing::error!("a job of the database ended in a panic");
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    effect: Effect,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, MemoryError>,
) -> Result<T, MemoryError> {
    match effect {
        Effect::Change => commit(connection, |transaction| {
            let value = work(transaction)?;
            transaction
                .prepare_cached("UPDATE change_counter SET value = value + 1 WHERE id = 1")?
                .execute([])?;
            Ok(value)
        }),
        Effect::Quiet => {
            connection.execute_batch("PRAGMA synchronous = NORMAL")?;
            let done = commit(connection, work);
            connection.execute_batch("PRAGMA synchronous = FULL")?;
            done
        }
    }
}

fn commit<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, MemoryError>,
) -> Result<T, MemoryError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
