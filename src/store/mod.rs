//! Floor 4, the store: everything that is SQL.
//!
//! SQLite in WAL mode with `synchronous=FULL`. One [writer](writer) commits what waits together; readers stand beside it. Each file adds
//! its own methods to [`View`] (reads) and [`Change`] (writes inside the writer's transaction).
//!
//! Not here: what the rows mean for a verdict (`policy`), or what a message looks like (`message`).

mod body;
mod chain;
pub mod erasure;
mod error;
#[cfg(test)]
mod history_tests;
mod mailboxes;
mod messages;
mod open;
mod orders;
mod pairs;
mod parties;
mod passwords;
mod policies;
pub mod queue;
mod refusals;
mod reports;
mod responses;
mod retention;
mod schema;
mod search;
mod seen;
#[cfg(test)]
pub(crate) mod tests;
mod told;
mod turns;
mod verify;
mod writer;

pub use body::Body;
pub use chain::{Block, Position};
pub use erasure::{Belongings, ErasedMessage, ErasedParty, Erasure, Remains, Tombstone};
pub use error::{Result, StoreError};
pub use mailboxes::OwnDomain;
pub use messages::{Filter, MessageRow, NewMessage, ThreadEntry};
pub use open::{FILE, FILES, Open, OpenError};
pub use orders::{NewOrder, Order, Orders};
pub use pairs::{Pair, Resolved};
pub use parties::{Flaw, Flawed, NewParty, Party, Switch};
pub use policies::{StsMode, StsPolicy};
pub use refusals::{Progress, Refused, Summed, SummedRow, Told};
pub use reports::{Report, Reported};
pub use responses::{Response, Statistics};
pub use retention::{Old, Purged};
pub use seen::{Before, Critical, CriticalOf, Earlier};
pub use verify::{Erased, Fault, Verified};

use crate::metrics::Metrics;
use crate::types::token::Secret;
use crate::types::{Random, locked};
use rusqlite::Connection;
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Reading connections kept open.
const READERS: usize = 8;
/// How long a write that can wait does so. Short, so that an idle relay is idle again when the next message comes.
const PATIENCE: Duration = Duration::from_millis(5);

/// The store. Clones share it; the last one to go waits for the writer to finish.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    secret: Secret,
    readers: Mutex<Vec<Connection>>,
    writer: writer::Writer,
}

/// What can be read.
pub struct View<'a>(&'a Connection);

impl View<'_> {
    /// Reads from one snapshot; a panic ends it, too.
    fn of<T>(connection: &Connection, f: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        let _snapshot = Snapshot(connection);
        f(&View(connection))
    }
}

/// An open snapshot.
struct Snapshot<'a>(&'a Connection);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written, so nothing can fail but the connection, which is then not in autocommit mode.
        let _ = self.0.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
    }
}

/// What can be written, inside the writer's transaction. Everything that can be read, too.
pub struct Change<'a>(View<'a>);

impl<'a> Change<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self(View(connection))
    }
}

impl<'a> Deref for Change<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.0
    }
}

/// Held by the one daemon of a store; the command line works beside it.
#[derive(Debug)]
pub struct DaemonLock {
    directory: PathBuf,
    _lock: nix::fcntl::Flock<File>,
}

impl Store {
    /// Opens the store in `directory` for a command beside the daemon and starts the writer. An older schema is brought up to date if no daemon runs.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do about it.
    pub fn open(
        directory: &Path,
        how: Open,
        random: &mut dyn Random,
        metrics: Metrics,
    ) -> std::result::Result<Self, OpenError> {
        Self::opened(directory, how, None, schema::MIGRATIONS, random, metrics)
    }

    /// The same for the daemon, which makes no store, and brings an older schema up to date.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn serve(lock: &DaemonLock, random: &mut dyn Random, metrics: Metrics) -> std::result::Result<Self, OpenError> {
        Self::opened(&lock.directory, Open::Existing, Some(lock), schema::MIGRATIONS, random, metrics)
    }

    /// Makes a store where there has never been one; one that is there stays as it is. Says whether
    /// it was made.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn init(directory: &Path, random: &mut dyn Random) -> std::result::Result<bool, OpenError> {
        open::init(directory, random)
    }

    fn opened(
        directory: &Path,
        how: Open,
        daemon: Option<&DaemonLock>,
        migrations: &[&str],
        random: &mut dyn Random,
        metrics: Metrics,
    ) -> std::result::Result<Self, OpenError> {
        let path = directory.join(FILE);
        let sql = |error| OpenError::Sql { path: path.clone(), error };
        let connection = open::writer(directory, how, daemon, migrations, random)?;
        let bytes: Vec<u8> =
            connection.query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0)).map_err(sql)?;
        let secret = Secret::from_bytes(&bytes)
            .ok_or_else(|| OpenError::Corrupt { path: path.clone(), what: "its secret is gone".to_owned() })?;
        let first = open::reader(directory).map_err(sql)?;
        let writer =
            writer::Writer::start(connection, metrics).map_err(|error| OpenError::Io { path: path.clone(), error })?;
        let directory = directory.to_owned();
        Ok(Self(Arc::new(Inner { directory, secret, readers: Mutex::new(vec![first]), writer })))
    }

    /// Takes the daemon's lock.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another daemon has it, [`OpenError::Missing`] or
    /// [`OpenError::Lost`] if there is no store.
    pub fn lock(directory: &Path) -> std::result::Result<DaemonLock, OpenError> {
        open::lock(directory)
    }

    /// Ends it: what was asked for before is written, and one tidy file is left behind if no other process uses it. Blocks until then.
    pub fn close(&self) {
        self.readers().clear();
        self.0.writer.close();
    }

    /// The secret that signs tokens.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// Whether writes can still succeed: false after a failed flush.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.writer.healthy()
    }

    /// Waits until no more can be written, for ever in a healthy process.
    pub async fn broken(&self) {
        let mut poisoned = self.0.writer.poisoned();
        // An error means that the writer has gone, which is as bad.
        let _ = poisoned.wait_for(|poisoned| *poisoned).await;
    }

    /// Reads from one consistent snapshot. Point lookups take microseconds; long reads belong on a blocking thread. What `f` calls is given the view:
    /// a read in there would open a snapshot of its own, which costs about as much as ten lookups, as another's commit empties the page cache.
    ///
    /// # Errors
    /// What `f` returns, or the trouble of opening a connection.
    pub fn read<T>(&self, f: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let kept = self.readers().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open::reader(&self.0.directory)?,
        };
        let result = View::of(&connection, f);
        let mut readers = self.readers();
        if readers.len() < READERS && connection.is_autocommit() {
            readers.push(connection);
        }
        result
    }

    /// The same for a few point lookups, done on the writer's connection while nobody writes, whose cache no commit empties.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn glance<T>(&self, f: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        self.0.writer.glance(f).unwrap_or_else(|f| self.read(f))
    }

    /// Reads from the store in `directory` without making or changing anything: `check` is run on
    /// machines where the daemon has never run, and beside an older one. `None` where there is no
    /// store, or one of another schema.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn peek<T>(directory: &Path, f: impl FnOnce(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        if !directory.join(FILE).try_exists().map_err(|error| StoreError::Io(error.to_string()))? {
            return Ok(None);
        }
        let connection = open::onlooker(directory)?;
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        let ours = number("application_id")? == schema::APPLICATION_ID;
        let known = number("user_version")? == schema::version(schema::MIGRATIONS);
        (ours && known).then(|| View::of(&connection, f)).transpose()
    }

    /// Counts from now on what the database does, in steps of SQLite's machine: for tests that say
    /// that two things cost the same.
    #[cfg(test)]
    pub(crate) fn count_steps(&self) -> Arc<std::sync::atomic::AtomicU64> {
        let steps = Arc::default();
        self.0.writer.count_steps(&steps);
        self.readers().iter_mut().for_each(|reader| count_steps(reader, &steps));
        steps
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        locked(&self.0.readers)
    }

    /// Runs `f` on the writer. When it returns `Ok`, the change is committed and flushed.
    ///
    /// # Errors
    /// What `f` returns (nothing is kept then), or the trouble of the commit.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Change<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.leave(once(f), false);
        self.0.writer.press();
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same for what comes with each message. `f` may run twice: what its first run did is
    /// undone before, as another change that shared the transaction has failed. So it does nothing
    /// beside that has to be done once: it takes of no share, and logs nothing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_often<T: Send + 'static>(
        &self,
        f: impl FnMut(&Change<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.leave(f, true);
        self.0.writer.press();
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same where nobody waits for the outcome: it shares the commit of the next [`write`](Self::write), or has its own a few
    /// milliseconds later, so that it costs no flush of its own under load.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_with_others<T: Send + 'static>(
        &self,
        f: impl FnMut(&Change<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut outcome = self.leave(f, true);
        if let Ok(outcome) = timeout(PATIENCE, &mut outcome).await {
            return outcome.unwrap_or(Err(StoreError::Closed));
        }
        self.0.writer.press();
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    fn leave<T: Send + 'static>(
        &self,
        f: impl FnMut(&Change<'_>) -> Result<T> + Send + 'static,
        repeatable: bool,
    ) -> oneshot::Receiver<Result<T>> {
        let (sender, receiver) = oneshot::channel();
        self.0.writer.leave(Box::new(Task { f, repeatable, result: None, sender }));
        receiver
    }

    /// The same for threads that are not async: the command line.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Change<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.leave(once(f), false);
        self.0.writer.press();
        outcome.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Copies the store to `file`, which must not exist, while it is in use. The copy is the store at one moment, and readable by its owner only.
    ///
    /// # Errors
    /// The trouble of either database; nothing is left of the copy then.
    pub fn backup(&self, file: &Path) -> Result<()> {
        let made = File::options().write(true).create_new(true).mode(0o600).open(file);
        made.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                StoreError::Refused(format!("{} exists; name a new file", file.display()))
            }
            _ => StoreError::Refused(format!("cannot make {}: {error}", file.display())),
        })?;
        let copy = || {
            let connection = open::reader(&self.0.directory)?;
            // One snapshot, begun by a read: a copy without it begins anew whenever the daemon commits, and ends never.
            connection.execute_batch("BEGIN; SELECT count(*) FROM meta")?;
            connection.backup(rusqlite::MAIN_DB, file, None::<fn(rusqlite::backup::Progress)>)?;
            open::seal(file)
        };
        copy().map_err(|error| {
            // Half a copy is worse than none; that it stays is told by its size.
            let _ = std::fs::remove_file(file);
            error.into()
        })
    }
}

#[cfg(test)]
fn count_steps(connection: &mut Connection, steps: &Arc<std::sync::atomic::AtomicU64>) {
    let steps = Arc::clone(steps);
    let count = move || {
        steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).unwrap();
}

struct Task<F, T> {
    f: F,
    repeatable: bool,
    /// Of the last run.
    result: Option<Result<T>>,
    sender: oneshot::Sender<Result<T>>,
}

impl<T, F> writer::Job for Task<F, T>
where
    T: Send,
    F: FnMut(&Change<'_>) -> Result<T> + Send,
{
    fn run(&mut self, change: &Change<'_>) -> writer::Ran {
        self.result = None;
        match self.result.insert((self.f)(change)) {
            Ok(_) => writer::Ran::Well,
            Err(StoreError::Flush(_)) => writer::Ran::FlushFailed,
            Err(_) => writer::Ran::Badly,
        }
    }

    fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    fn end(self: Box<Self>, commit: Result<()>) {
        let result = match commit {
            Ok(()) => self.result.unwrap_or_else(|| Err(panicked())),
            Err(error) => Err(error),
        };
        // A session that has gone does not hear it.
        let _ = self.sender.send(result);
    }
}

/// A change that runs once, as one that could be called again.
fn once<T>(f: impl FnOnce(&Change<'_>) -> Result<T>) -> impl FnMut(&Change<'_>) -> Result<T> {
    let mut f = Some(f);
    move |change| f.take().map_or_else(|| Err(panicked()), |f| f(change))
}

fn panicked() -> StoreError {
    StoreError::Refused("a job of the store failed".to_owned())
}
