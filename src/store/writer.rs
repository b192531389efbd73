//! The one writer: a thread that takes all jobs that wait, does each in its own savepoint, and commits them together, so
//! that a disk flush is paid per batch, not per message. A job that fails, or panics, undoes only itself.

use super::{Change, Result, StoreError};
use crate::metrics::Metrics;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Jobs that wait at most; more block their sessions.
const WAITING: usize = 4096;
/// Jobs in one commit at most.
const BATCH: usize = 512;
/// How long a job that can wait does so.
const PATIENCE: Duration = Duration::from_millis(20);

/// Work for the writer: `run` does it inside the open transaction and returns whether its changes stand; `end` hears of the commit.
pub(super) trait Job: Send {
    fn run(&mut self, change: &Change<'_>) -> bool;
    fn end(self: Box<Self>, commit: std::result::Result<(), StoreError>);
    /// Whether it can wait a little for others to share its commit with.
    fn is_patient(&self) -> bool;
}

/// Handle to the thread.
pub(super) struct Writer {
    sender: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    poisoned: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(connection: Connection, metrics: Metrics) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let poisoned = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&poisoned);
        let body = move || Loop { connection, metrics, poisoned: flag }.run(&receiver);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(body)?;
        Ok(Self { sender: Some(sender), thread: Some(thread), poisoned })
    }

    pub(super) fn submit(&self, job: Box<dyn Job>) {
        let refused = match &self.sender {
            Some(sender) => sender.send(job).err().map(|e| e.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            job.end(Err(StoreError::Closed));
        }
    }

    pub(super) fn healthy(&self) -> bool {
        !self.poisoned.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // It ends when the last job is done; a panic there has been reported by the hook.
            let _ = thread.join();
        }
    }
}

/// Adds jobs to those that can wait, until one comes that cannot, or the time is over.
fn wait_for_others(receiver: &Receiver<Box<dyn Job>>, batch: &mut Vec<Box<dyn Job>>) {
    let until = Instant::now() + PATIENCE;
    while batch.len() < BATCH {
        let Ok(job) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) else { return };
        let patient = job.is_patient();
        batch.push(job);
        if !patient {
            return;
        }
    }
}

struct Loop {
    connection: Connection,
    metrics: Metrics,
    poisoned: Arc<AtomicBool>,
}

impl Loop {
    fn run(&mut self, receiver: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = receiver.recv() {
            let patient = first.is_patient();
            let mut batch = vec![first];
            if patient {
                wait_for_others(receiver, &mut batch);
            }
            let room = BATCH.saturating_sub(batch.len());
            batch.extend(receiver.try_iter().take(room));
            self.batch(batch);
        }
        // Leave one tidy file behind.
        let _ = self.connection.pragma_query(None, "wal_checkpoint(TRUNCATE)", |_| Ok(()));
    }

    fn batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let started = Instant::now();
        let count = jobs.len();
        let outcome = self.attempt(&mut jobs);
        self.metrics.commit_jobs.observe(count as f64);
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => jobs.into_iter().for_each(|job| job.end(Ok(()))),
            Err(error) => {
                tracing::error!(%error, jobs = count, "commit failed");
                let _ = self.connection.execute_batch("ROLLBACK");
                jobs.into_iter().for_each(|job| job.end(Err(error.clone())));
            }
        }
    }

    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(StoreError::Poisoned);
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
            let change = Change::new(&self.connection);
            let stands = catch_unwind(AssertUnwindSafe(|| job.run(&change))).unwrap_or(false);
            if !stands {
                self.connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
            }
            self.connection.prepare_cached("RELEASE job")?.execute([])?;
        }
        match self.connection.execute_batch("COMMIT").map_err(StoreError::from) {
            Err(error @ StoreError::Io(_)) => {
                // After a failed flush the kernel may have dropped the pages: a second try would only seem to succeed.
                self.poisoned.store(true, Ordering::Relaxed);
                Err(error)
            }
            other => other,
        }
    }
}
