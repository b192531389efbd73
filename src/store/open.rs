//! Opening the database file: the checks before it is believed, and the settings of a connection.
//!
//! Never an empty store by mistake: a new one is made only by who means it ([`Open`]), where there
//! is none, and a directory that has held one says so by its mark.
//!
//! A schema is only changed by who holds the daemon's lock: a daemon takes it before it opens the store, and a command that meets an older schema takes it for as long as the change
//! lasts, or refuses. So no daemon ever finds its tables changed under it.

use super::{DaemonLock, schema};
use crate::types::Random;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database's name in the data directory.
pub const FILE: &str = "marketrelay.sqlite3";
/// What of the store lies in the data directory: the database, its log and the index of that, which
/// SQLite gives the database's own rights.
pub const FILES: [&str; 3] = [FILE, "marketrelay.sqlite3-wal", "marketrelay.sqlite3-shm"];
/// Written beside it when it is made: a directory with the mark and without the database has lost it.
const MARK: &str = "store.made";
/// SQLite before this can damage a WAL database that two connections write to.
const OLDEST_SQLITE: i32 = 3_051_003;
/// The log at the length at which it is moved into the database: pages of 4 KiB, each with 24 octets before it.
const LOG_OCTETS: u64 = (super::writer::LOG as u64) * (4096 + 24) + 32;
/// How long a connection waits for another process's lock.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Whether a store may be made.
///
/// The daemon makes none: where the disk of `data_dir` is not mounted, an empty store would answer
/// 550 to the world. A command that registers makes one only where that cannot be. Honest people
/// whom that hits have an empty `data_dir`, or one below an empty folder: they are told of
/// `store init`, which is run once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Make it if the directory has never held one: `store init`, and `demo`.
    Create,
    /// Make it where the directory is not there, beside something else: to register the first
    /// parties on a machine without a daemon. What stays of a disk that is not mounted is an empty
    /// folder: the directory itself, or the one above.
    Beside,
    /// It has to be there.
    Existing,
}

/// Why the store does not open. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No database.
    #[error(
        "there is no store in {0}. If one was there, mount its disk, or correct data_dir; where there was none yet, make it once with `marketrelay store init`"
    )]
    Missing(PathBuf),
    /// There was a database once.
    #[error(
        "{0} has held a store, but {FILE} is gone. Restore it from a backup; to begin with an empty store, remove what is left in the directory"
    )]
    Lost(PathBuf),
    /// Not ours.
    #[error("{0} is not a marketrelay store. Point data_dir at the right directory, or move the file away")]
    Foreign(PathBuf),
    /// Damaged.
    #[error("{path} is damaged ({what}). Stop the daemon, keep a copy of the directory, and restore the last backup")]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },
    /// A backup that was put where another store was, whose log is still there: SQLite would play that log into it.
    #[error(
        "{0} is a backup, and the log beside it belongs to the store that was there before. Move {FILE}-wal and {FILE}-shm away, and start again"
    )]
    Strangers(PathBuf),
    /// Written by a newer program.
    #[error(
        "{path} was written by a newer marketrelay (schema {found}, this one knows {known}). Install that version again"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Written by an older program, and in use.
    #[error(
        "{path} was written by an older marketrelay (schema {found}, this one knows {known}), whose daemon may run on it: only one that runs alone brings it up to date. \
         Restart the daemon with this version, or use the version that it is of"
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Another daemon.
    #[error("another marketrelay daemon runs on {0}. Stop it first, or give this one a data_dir of its own")]
    InUse(PathBuf),
    /// The library is too old to be trusted.
    #[error("SQLite {0} can damage databases; build with the bundled one")]
    Library(String),
    /// The operating system refuses.
    #[error("cannot open {path}: {error}. The daemon's user needs to read and write it")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// No room for the log.
    #[error("the disk of {0} is full. Make some room there, and start again")]
    Full(PathBuf),
    /// SQLite refuses.
    #[error("cannot open {path}: {error}")]
    Sql {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
}

/// Makes a store where there has never been one; says whether it did.
pub(super) fn init(directory: &Path, random: &mut dyn Random) -> Result<bool, OpenError> {
    library()?;
    if exists(directory)? { Ok(false) } else { make(directory, schema::MIGRATIONS, random) }
}

fn library() -> Result<(), OpenError> {
    let old = rusqlite::version_number() < OLDEST_SQLITE;
    if old { Err(OpenError::Library(rusqlite::version().to_owned())) } else { Ok(()) }
}

/// Opens the store's one writing connection, having made or brought up to date the schema. `daemon`: the caller is one.
pub(super) fn writer(
    directory: &Path,
    how: Open,
    daemon: Option<&DaemonLock>,
    migrations: &[&str],
    random: &mut dyn Random,
) -> Result<Connection, OpenError> {
    library()?;
    let path = directory.join(FILE);
    if !exists(directory)? {
        let may = match how {
            Open::Create => true,
            Open::Beside => is_new_beside_something(directory),
            Open::Existing => false,
        };
        if !may {
            return Err(OpenError::Missing(directory.to_owned()));
        }
        make(directory, migrations, random)?;
    }
    check_header(&path)?;
    let sql = |error| sql_error(&path, error);
    let mut connection = connect(&path).map_err(sql)?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sql)?;
    let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql)?;
    if id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign(path));
    }
    let known = schema::version(migrations);
    if found > known {
        return Err(OpenError::Newer { path, found, known });
    }
    settings(&connection).map_err(sql)?;
    if found < known {
        let alone = if daemon.is_some() { None } else { Some(lock(directory)) };
        if let Some(Err(OpenError::InUse(_))) = alone {
            return Err(OpenError::Older { path, found, known });
        }
        let _alone = alone.transpose()?;
        schema::migrate(&mut connection, migrations).map_err(sql)?;
    }
    if daemon.is_some() {
        // What lies in the log is first of all moved into the database. A process that died of a failed flush may have left pages there that are in memory only, and that no
        // later flush would write.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sql)?;
        check_length(&connection, &path)?;
        take_room(&mut connection, &log_of(&path)).map_err(sql)?;
    }
    Ok(connection)
}

/// Whether there is a store. What is left of one that has gone is an error.
pub(super) fn exists(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(FILE);
    match fs::metadata(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let traces = [MARK.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")];
            if traces.iter().any(|trace| directory.join(trace).exists()) {
                return Err(OpenError::Lost(directory.to_owned()));
            }
            Ok(false)
        }
        Err(error) => Err(OpenError::Io { path, error }),
    }
}

/// See [`Open::Beside`].
fn is_new_beside_something(directory: &Path) -> bool {
    let holds = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut items| items.next().is_some());
    // A link to a disk that is not mounted is there, and leads nowhere.
    fs::symlink_metadata(directory).is_err() && directory.parent().is_some_and(holds)
}

/// Takes the daemon's lock. Leaves no trace where there is no store: a lock file in the folder of a
/// disk that is not mounted would lie there for ever.
pub(super) fn lock(directory: &Path) -> Result<DaemonLock, OpenError> {
    if !exists(directory)? {
        return Err(OpenError::Missing(directory.to_owned()));
    }
    let path = directory.join("daemon.lock");
    let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| OpenError::Io { path, error })?;
    hand_over(&file, directory);
    match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(DaemonLock { directory: directory.to_owned(), _lock: lock }),
        Err(_) => Err(OpenError::InUse(directory.to_owned())),
    }
}

/// Makes an empty store under another name and renames it when it is whole, so that a crash leaves
/// either none or one. Says whether it did: of two at once the second finds the first one's, and
/// what that has written there by then.
fn make(directory: &Path, migrations: &[&str], random: &mut dyn Random) -> Result<bool, OpenError> {
    let unfinished = directory.join(format!("{FILE}.new"));
    let io = |error| OpenError::Io { path: directory.to_owned(), error };
    let sql = |error| sql_error(&unfinished, error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    let folder = fs::File::open(directory).map_err(io)?;
    let folder =
        nix::fcntl::Flock::lock(folder, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, no)| io(no.into()))?;
    if exists(directory)? {
        return Ok(false);
    }
    for leftover in ["", "-wal", "-shm"] {
        match fs::remove_file(directory.join(format!("{FILE}.new{leftover}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(io)?;
    hand_over(&file, directory);
    drop(file);
    let mut connection = connect(&unfinished).map_err(sql)?;
    connection.pragma_update(None, "page_size", 4096).map_err(sql)?;
    // What retention frees can go back to the file system in steps.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sql)?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID).map_err(sql)?;
    settings(&connection).map_err(sql)?;
    schema::migrate(&mut connection, migrations).map_err(sql)?;
    let mut secret = [0_u8; 32];
    random.fill(&mut secret);
    connection.execute("INSERT INTO meta VALUES ('secret', ?1)", [secret]).map_err(sql)?;
    connection.close().map_err(|(_, error)| sql(error))?;
    fs::rename(&unfinished, directory.join(FILE)).map_err(io)?;
    let mut mark = fs::File::create(directory.join(MARK)).map_err(io)?;
    mark.write_all(b"This directory holds a marketrelay store.\n").map_err(io)?;
    hand_over(&mark, directory);
    folder.sync_all().map_err(io)?;
    Ok(true)
}

/// Gives a file to whom the directory belongs, as SQLite does with its log: root may make what the
/// daemon's user has to write. Nobody but root can.
fn hand_over(file: &fs::File, directory: &Path) {
    if let (Ok(made), Ok(owner)) = (file.metadata(), fs::metadata(directory))
        && made.uid() != owner.uid()
    {
        // Whom it does not belong to then is told when he opens it.
        let _ = fchown(file, Some(owner.uid()), Some(owner.gid()));
    }
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn reader(directory: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
    connection.busy_timeout(BUSY)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens a connection that reads and leaves no trace: where no log is in use, SQLite is told that
/// nobody writes, or it would make an empty one.
pub(super) fn onlooker(directory: &Path) -> rusqlite::Result<Connection> {
    let path = directory.join(FILE);
    if fs::metadata(log_of(&path)).is_ok_and(|log| log.len() > 0) {
        return reader(directory);
    }
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        uri.push_str(&format!("%{byte:02x}"));
    }
    Connection::open_with_flags(
        uri + "?immutable=1",
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI,
    )
}

/// A statement is planned once. SQLite would else plan many anew for each value that is bound to them, which took a fifth of all our time.
fn keep_plans(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
}

pub(super) fn settings(connection: &Connection) -> rusqlite::Result<()> {
    keep_plans(connection)?;
    // WAL answers with the mode it is in; anything else means that the directory cannot have it.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", synchronous())?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is deleted is overwritten where the page is written anyway, so that an erasure finds
    // little left.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |row| row.get::<_, i64>(0))?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Every commit is flushed before it counts as one.
#[cfg(not(debug_assertions))]
fn synchronous() -> String {
    "FULL".to_owned()
}

/// The lab shows with a weaker one that its power cuts find what is lost; a release build knows no such thing.
#[cfg(debug_assertions)]
fn synchronous() -> String {
    std::env::var("MARKETRELAY_LAB_SYNCHRONOUS").unwrap_or_else(|_| "FULL".to_owned())
}

/// Marks a copy as one that has no log: a store in use is never so. [`check_header`] then knows a log that is found beside it for another's.
pub(super) fn seal(copy: &Path) -> rusqlite::Result<()> {
    let connection = connect(copy)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0)).map(drop)
}

/// Whether the file has all of its pages, now that the log is empty. It must not be opened for that: closing it again would let go of SQLite's locks (fcntl(2)),
/// and another process would take away the log of a store that it believes to be its own.
fn check_length(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |pragma| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(|error| sql_error(path, error))
    };
    let whole = number("page_count")?.saturating_mul(number("page_size")?);
    let length = fs::metadata(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?.len();
    if i64::try_from(length).is_ok_and(|length| length < whole) {
        return Err(OpenError::Corrupt { path: path.to_owned(), what: "cut short".to_owned() });
    }
    Ok(())
}

pub(super) fn log_of(path: &Path) -> PathBuf {
    path.with_file_name(format!("{FILE}-wal"))
}

/// Gives the empty log the room that it will need: as long as it grows, each flush has to write the file's new length, too. What SQLite finds
/// there is no log of its own, and begins at the front. A disk without that room has the log grow.
pub(super) fn take_room(connection: &mut Connection, log: &Path) -> rusqlite::Result<()> {
    // Nobody else begins to write meanwhile.
    let alone = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let fill = || {
        let mut file = fs::File::options().write(true).open(log)?;
        if file.metadata()?.len() > 0 {
            return Ok(());
        }
        let filled = std::io::copy(&mut std::io::repeat(0).take(LOG_OCTETS), &mut file).and_then(|_| file.sync_all());
        filled.or_else(|_| file.set_len(0))
    };
    if let Err(error) = fill() {
        tracing::warn!(%error, "no room for the log was taken beforehand");
    }
    alone.rollback()
}

/// SQLite would take an empty file for a new database: it is refused before SQLite sees it.
fn check_header(path: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { path: path.to_owned(), error };
    let mut head = Vec::new();
    fs::File::open(path).map_err(io)?.take(100).read_to_end(&mut head).map_err(io)?;
    if head.len() < 100 {
        let what = format!("{} octets long", head.len());
        return Err(OpenError::Corrupt { path: path.to_owned(), what });
    }
    if !head.starts_with(b"SQLite format 3\0") {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let be = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let page = match head.get(16..18) {
        Some([0, 1]) => 65_536,
        Some([high, low]) => u64::from(*high) << 8 | u64::from(*low),
        _ => 0,
    };
    let length = fs::metadata(path).map_err(io)?.len();
    let counted = be(24) == be(92);
    let log = fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    // Pages in the log are moved in order: the first, which counts them all, long before the last. Only without a log does the length tell.
    if counted && length < page * u64::from(be(28)) && !log {
        return Err(OpenError::Corrupt { path: path.to_owned(), what: "cut short".to_owned() });
    }
    let sealed = head.get(18..20) == Some(&[1, 1]);
    if sealed && log {
        return Err(OpenError::Strangers(path.to_owned()));
    }
    Ok(())
}

fn sql_error(path: &Path, error: rusqlite::Error) -> OpenError {
    use rusqlite::ffi::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DiskFull) => OpenError::Full(path.to_owned()),
        // The index of the log cannot be made as long as it has to be.
        _ if error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
            OpenError::Full(path.to_owned())
        }
        Some(Code::NotADatabase) => OpenError::Foreign(path.to_owned()),
        Some(Code::DatabaseCorrupt) => OpenError::Corrupt { path: path.to_owned(), what: error.to_string() },
        _ => OpenError::Sql { path: path.to_owned(), error },
    }
}
