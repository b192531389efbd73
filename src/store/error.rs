//! What can go wrong with the store: a dull word for the stranger (`reply`), the cause for the operator.

use crate::types::Reply;

/// A read or a write that failed. Nothing of it was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or the database has reached its limit.
    #[error("the disk is full")]
    Full,
    /// Another process held the store for longer than we wait.
    #[error("another process holds the store; try again")]
    Busy,
    /// Reading, writing or flushing failed.
    #[error("input/output error on the store: {0}")]
    Io(String),
    /// A flush failed: what is on disk is not known any more.
    #[error("a flush of the store failed: {0}")]
    Flush(String),
    /// A flush failed earlier: nothing is written until the process has started anew.
    #[error("a flush failed; the daemon has to start again")]
    Poisoned,
    /// The database is damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// What a command asked for does not exist.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The change breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
    /// Anything else that SQLite says: a bug of ours.
    #[error("database error: {0}")]
    Sql(String),
}

impl StoreError {
    /// What the SMTP client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Full => Reply::new(452, 3, 1, "Insufficient system storage, try again later"),
            _ => Reply::new(451, 3, 0, "Temporary trouble here, try again later"),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{self, ErrorCode as Code};
        let extended = error.sqlite_error().map(|e| e.extended_code);
        if matches!(extended, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)) {
            return Self::Flush(error.to_string());
        }
        match error.sqlite_error_code() {
            Some(Code::DiskFull) => Self::Full,
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy,
            Some(Code::SystemIoFailure | Code::CannotOpen | Code::ReadOnly) => Self::Io(error.to_string()),
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt(error.to_string()),
            _ => Self::Sql(error.to_string()),
        }
    }
}

/// Short for results of this floor.
pub type Result<T> = std::result::Result<T, StoreError>;
