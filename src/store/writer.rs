//! The one writing connection: all jobs that wait are done in one transaction, so that a disk flush
//! is paid per batch, not per message. A job that fails, or panics, undoes only itself.
//!
//! A savepoint around each job would do for that, and has every page that the job changes copied.
//! So jobs that can be run anew go without, and if one of them fails, which is seldom, all are
//! undone and run again, each in a savepoint.
//!
//! Whoever brings a job while nobody writes does it himself, at once, with all that waits: handing it to a thread and hearing from it would take as
//! long as the flush. What comes meanwhile is done by the writer's thread. On a disk that flushes slowly everything is, so that no session of
//! others is held up.

use super::open::BUSY;
use super::{Change, Result, StoreError, View};
use crate::metrics::Metrics;
use crate::types::locked;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Jobs in one commit at most.
const BATCH: usize = 512;
/// Pages in the log at which they are moved into the database.
pub(super) const LOG: usize = 2000;
/// Commits that take longer than this, lately, are the thread's.
const QUICK: Duration = Duration::from_millis(2);

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
    /// Whether it can be run once more after what it did was undone.
    fn is_repeatable(&self) -> bool;
    fn end(self: Box<Self>, commit: std::result::Result<(), StoreError>);
}

type Jobs = Vec<Box<dyn Job>>;

/// What waits, and for whom.
#[derive(Default)]
struct Queue {
    jobs: Jobs,
    /// The thread has something to do.
    pressed: bool,
    /// Nothing more comes.
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    called: Condvar,
    /// None when it is closed.
    core: Mutex<Option<Core>>,
    /// How long commits have taken lately, in microseconds.
    lately: AtomicU64,
    poisoned: watch::Receiver<bool>,
}

/// Handle to it.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, metrics: Metrics) -> std::io::Result<Self> {
        let (poison, poisoned) = watch::channel(false);
        let log = Arc::new(AtomicUsize::new(0));
        let pages = Arc::clone(&log);
        // In place of SQLite's own checkpoints, whose failed flushes nobody hears of.
        let counts = connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, now: std::ffi::c_int| {
            pages.store(usize::try_from(now).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }));
        counts.map_err(std::io::Error::other)?;
        let core = Mutex::new(Some(Core { connection, metrics, poison, log }));
        let (queue, called, lately) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        let shared = Arc::new(Shared { queue, called, core, lately, poisoned });
        let body = {
            let shared = Arc::clone(&shared);
            move || shared.serve()
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(body)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Leaves a job for the next commit, whosever that is.
    pub(super) fn leave(&self, job: Box<dyn Job>) {
        let mut queue = locked(&self.shared.queue);
        if queue.closed {
            drop(queue);
            return job.end(Err(StoreError::Closed));
        }
        queue.jobs.push(job);
    }

    /// Commits what waits: here, or on the thread.
    pub(super) fn press(&self) {
        let quick = Duration::from_micros(self.shared.lately.load(Ordering::Relaxed)) <= QUICK;
        if !(quick && self.shared.commit_here()) {
            self.shared.call();
        }
    }

    /// A few lookups on the writer's connection, while nobody writes: nothing has to be read again there, where a commit empties the caches of
    /// all other connections. Gives `f` back where it cannot be had at once.
    pub(super) fn glance<T, F: FnOnce(&View<'_>) -> Result<T>>(&self, f: F) -> std::result::Result<Result<T>, F> {
        match self.shared.idle().as_deref() {
            Some(Some(core)) if core.connection.is_autocommit() && core.connection.busy_timeout(BUSY).is_ok() => {
                Ok(View::of(&core.connection, f))
            }
            _ => Err(f),
        }
    }

    /// Counts each step of SQLite's machine on the writer's connection.
    #[cfg(test)]
    pub(super) fn count_steps(&self, steps: &Arc<AtomicU64>) {
        if let Some(core) = locked(&self.shared.core).as_mut() {
            super::count_steps(&mut core.connection, steps);
        }
    }

    pub(super) fn healthy(&self) -> bool {
        !*self.shared.poisoned.borrow()
    }

    /// Turns true, or ends with the writer, when no more can be written.
    pub(super) fn poisoned(&self) -> watch::Receiver<bool> {
        self.shared.poisoned.clone()
    }

    /// Does what waits, takes nothing more, and closes the connection.
    pub(super) fn close(&self) {
        locked(&self.shared.queue).closed = true;
        self.shared.called.notify_one();
        if let Some(thread) = locked(&self.thread).take() {
            // It ends when the last job is done; a panic there has been reported by the hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn call(&self) {
        locked(&self.queue).pressed = true;
        self.called.notify_one();
    }

    fn take(&self) -> Jobs {
        let mut queue = locked(&self.queue);
        let number = queue.jobs.len().min(BATCH);
        queue.jobs.drain(..number).collect()
    }

    /// The connection, if nobody uses it.
    fn idle(&self) -> Option<MutexGuard<'_, Option<Core>>> {
        match self.core.try_lock() {
            Ok(core) => Some(core),
            Err(TryLockError::Poisoned(core)) => Some(core.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Commits what waits, if nobody else writes, in this process or another. What comes during the commit has called the thread.
    fn commit_here(&self) -> bool {
        let Some(mut guard) = self.idle() else { return false };
        let Some(core) = guard.as_mut() else { return false };
        if locked(&self.queue).jobs.is_empty() {
            // Somebody else has done it.
            return true;
        }
        if core.begin(Duration::ZERO).is_err() {
            return false;
        }
        let jobs = self.take();
        self.batch(core, jobs);
        if core.log_is_long() {
            self.call();
        }
        true
    }

    fn batch(&self, core: &mut Core, jobs: Jobs) {
        let took = u64::try_from(core.batch(jobs).as_micros()).unwrap_or(u64::MAX);
        let before = self.lately.load(Ordering::Relaxed);
        self.lately.store((before.saturating_mul(3).saturating_add(took)) / 4, Ordering::Relaxed);
    }

    /// The thread.
    fn serve(&self) {
        loop {
            let queue = locked(&self.queue);
            let mut queue = self
                .called
                .wait_while(queue, |queue| !queue.pressed && !queue.closed)
                .unwrap_or_else(PoisonError::into_inner);
            let closed = queue.closed;
            queue.pressed = false;
            drop(queue);
            let mut guard = locked(&self.core);
            let Some(core) = guard.as_mut() else { return };
            loop {
                let jobs = self.take();
                if jobs.is_empty() {
                    break;
                }
                self.batch(core, jobs);
            }
            if closed || core.log_is_long() {
                core.checkpoint();
            }
            if closed {
                *guard = None;
                return;
            }
        }
    }
}

/// The connection, and whoever has it writes.
struct Core {
    connection: Connection,
    metrics: Metrics,
    poison: watch::Sender<bool>,
    /// Pages in the log after the last commit.
    log: Arc<AtomicUsize>,
}

impl Core {
    fn log_is_long(&self) -> bool {
        self.log.load(Ordering::Relaxed) >= LOG
    }

    /// Moves the log's pages into the database. One that other processes' readers hold up, or a full disk, comes again with a later commit.
    fn checkpoint(&self) {
        if *self.poison.borrow() {
            return;
        }
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
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

    /// Begins a transaction; waits so long for another process to end its own.
    fn begin(&self, wait: Duration) -> Result<()> {
        self.connection.busy_timeout(wait)?;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Does the jobs in one transaction, and returns how long it took.
    fn batch(&mut self, mut jobs: Jobs) -> Duration {
        let started = Instant::now();
        let count = jobs.len();
        let outcome = self.attempt(&mut jobs);
        let took = started.elapsed();
        self.metrics.commit_jobs.observe(count as f64);
        self.metrics.commit_seconds.observe(took.as_secs_f64());
        match outcome {
            Ok(()) => jobs.into_iter().for_each(|job| job.end(Ok(()))),
            Err(error) => {
                tracing::error!(%error, jobs = count, "commit failed");
                self.heed(&error);
                let _ = self.connection.execute_batch("ROLLBACK");
                if matches!(error, StoreError::Full) {
                    // The log need not grow where its pages can be moved into the database.
                    self.checkpoint();
                }
                jobs.into_iter().for_each(|job| job.end(Err(error.clone())));
            }
        }
        took
    }

    fn attempt(&self, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        if *self.poison.borrow() {
            return Err(StoreError::Poisoned);
        }
        if self.connection.is_autocommit() {
            self.begin(BUSY)?;
        }
        let run = |sql| self.connection.prepare_cached(sql)?.execute([]);
        // One alone needs nobody to be kept from its failure.
        let apart = jobs.len() > 1;
        if apart && jobs.iter().all(|job| job.is_repeatable()) {
            if self.all_go_well(jobs)? {
                run("COMMIT")?;
                return Ok(());
            }
            // Some troubles end a transaction by themselves.
            if !self.connection.is_autocommit() {
                run("ROLLBACK")?;
            }
            self.begin(BUSY)?;
        }
        for job in jobs {
            if apart {
                run("SAVEPOINT job")?;
            }
            match self.run(job) {
                Ran::Well => {}
                Ran::Badly if apart => drop(run("ROLLBACK TO job")?),
                Ran::Badly => {
                    run("ROLLBACK")?;
                    return Ok(());
                }
                Ran::FlushFailed => return Err(flush_failed()),
            }
            if apart {
                run("RELEASE job")?;
            }
        }
        run("COMMIT")?;
        Ok(())
    }

    /// Runs jobs, until one fails.
    fn all_go_well(&self, jobs: &mut [Box<dyn Job>]) -> Result<bool> {
        for job in jobs {
            match self.run(job) {
                // One that took no notice of a trouble that ended the transaction would have the
                // next ones commit by themselves.
                Ran::Well if self.connection.is_autocommit() => return Ok(false),
                Ran::Well => {}
                Ran::Badly => return Ok(false),
                Ran::FlushFailed => return Err(flush_failed()),
            }
        }
        Ok(true)
    }

    fn run(&self, job: &mut Box<dyn Job>) -> Ran {
        let change = Change::new(&self.connection);
        catch_unwind(AssertUnwindSafe(|| job.run(&change))).unwrap_or(Ran::Badly)
    }
}

fn flush_failed() -> StoreError {
    StoreError::Flush("within a transaction".to_owned())
}

/// The last of a store's connections moves the log into the database and takes it away.
impl Drop for Core {
    fn drop(&mut self) {
        if *self.poison.borrow() {
            // It would flush once more, and seem to succeed.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}
