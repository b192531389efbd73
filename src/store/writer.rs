//! The one writer: a thread that takes all jobs that wait, does each in its own savepoint, and commits them together, so
//! that a disk flush is paid per batch, not per message. A job that fails, or panics, undoes only itself.

use super::{Change, Result, StoreError};
use crate::metrics::Metrics;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Jobs that wait at most; more block their sessions.
const WAITING: usize = 4096;
/// Jobs in one commit at most.
const BATCH: usize = 512;
/// How long a job that can wait does so. Short, so that an idle relay is idle again when the next message comes.
const PATIENCE: Duration = Duration::from_millis(5);
/// Pages in the log at which they are moved into the database.
const LOG: usize = 2000;

/// What a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// Its changes stand.
    Well,
    /// It undoes what it did.
    Badly,
    /// A flush failed in it: nothing of the transaction can be trusted.
    FlushFailed,
}

/// Work for the writer: `run` does it inside the open transaction; `end` hears of the commit.
pub(super) trait Job: Send {
    fn run(&mut self, change: &Change<'_>) -> Ran;
    fn end(self: Box<Self>, commit: std::result::Result<(), StoreError>);
    /// Whether it can wait a little for others to share its commit with.
    fn is_patient(&self) -> bool;
}

/// Handle to the thread.
pub(super) struct Writer {
    sender: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    poisoned: watch::Receiver<bool>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, metrics: Metrics) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let (poison, poisoned) = watch::channel(false);
        let log = Arc::new(AtomicUsize::new(0));
        let pages = Arc::clone(&log);
        // In place of SQLite's own checkpoints, whose failed flushes nobody hears of.
        let counts = connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now: std::ffi::c_int| {
            pages.store(usize::try_from(now).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }));
        counts.map_err(std::io::Error::other)?;
        let body = move || Loop { connection, metrics, poison, log }.run(&receiver);
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
        !*self.poisoned.borrow()
    }

    /// Turns true, or ends with the writer, when no more can be written.
    pub(super) fn poisoned(&self) -> watch::Receiver<bool> {
        self.poisoned.clone()
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
    poison: watch::Sender<bool>,
    /// Pages in the log after the last commit.
    log: Arc<AtomicUsize>,
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
            if self.log.load(Ordering::Relaxed) >= LOG {
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            }
        }
        // Leave one tidy file behind.
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        if *self.poison.borrow() {
            // Closing would flush once more, and seem to succeed.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }

    /// Moves the log's pages into the database. One that other processes' readers hold up, or a full disk, comes again with a later commit.
    fn checkpoint(&mut self, pragma: &str) {
        if *self.poison.borrow() {
            return;
        }
        if let Err(error) = self.connection.query_row(pragma, [], |_| Ok(())) {
            let error = StoreError::from(error);
            tracing::warn!(%error, "checkpoint failed");
            self.heed(&error);
        }
    }

    /// After a failed flush the kernel may have dropped the pages: a second try would only seem to succeed. So there is none.
    fn heed(&self, error: &StoreError) {
        if matches!(error, StoreError::Flush(_)) {
            self.poison.send_replace(true);
        }
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
                self.heed(&error);
                let _ = self.connection.execute_batch("ROLLBACK");
                if matches!(error, StoreError::Full) {
                    // The log need not grow where its pages can be moved into the database.
                    self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
                }
                jobs.into_iter().for_each(|job| job.end(Err(error.clone())));
            }
        }
    }

    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        if *self.poison.borrow() {
            return Err(StoreError::Poisoned);
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for job in jobs {
            self.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
            let change = Change::new(&self.connection);
            match catch_unwind(AssertUnwindSafe(|| job.run(&change))).unwrap_or(Ran::Badly) {
                Ran::Well => {}
                Ran::Badly => drop(self.connection.prepare_cached("ROLLBACK TO job")?.execute([])?),
                Ran::FlushFailed => return Err(StoreError::Flush("within a transaction".to_owned())),
            }
            self.connection.prepare_cached("RELEASE job")?.execute([])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}
