//! What is left in the files of what was erased: words in the index that no row leads to, pages
//! that are free, unused parts of pages, and the log.
//!
//! The index is written anew in steps (a row that is deleted there is only marked), and free pages
//! go back to the file system. Unused parts of pages may still hold what stood there when rows
//! moved: only a database that is written anew as a whole (`VACUUM`) has none. That holds up
//! everybody who writes for as long as it takes, so it is done where nobody is held up, or not for
//! long: no daemon runs, or the store is small. Otherwise it is done by whoever asks for the
//! erasure again while the daemon is stopped.

use crate::store::{Change, FILE, Result, Store, StoreError, open};

/// Pages of the index that one step writes, and free pages that one step gives back.
const MERGED: i64 = 200;
const FREED: u32 = 500;
/// Octets of a store that is written anew beside a daemon: two seconds on a slow disk, where a
/// daemon waits for five.
const SMALL: i64 = 64 << 20;

/// What may be left in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remains {
    /// Nothing.
    None,
    /// Unused parts of pages may hold pieces of what was there: a daemon runs on a large store.
    UnusedSpace,
    /// The log could not be emptied, as others were reading all the time: pages of it may hold
    /// pieces.
    Log,
}

impl Change<'_> {
    /// One step of writing the index anew; `first`: all of it. Says whether there may be more.
    fn merge_index(&self, first: bool) -> Result<bool> {
        let before = self.0.0.total_changes();
        let pages = if first { -MERGED } else { MERGED };
        self.0.0.prepare_cached("INSERT INTO search (search, rank) VALUES ('merge', ?1)")?.execute([pages])?;
        // SQLite: a difference of less than two is no work.
        Ok(self.0.0.total_changes().saturating_sub(before) >= 2)
    }

    /// Gives up to `pages` free pages back. Says whether there may be more.
    fn give_back(&self, pages: u32) -> Result<bool> {
        self.overwrite()?;
        let mut statement = self.0.0.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(self.0.0.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))? > 0)
    }
}

impl Store {
    /// Takes what is left of erased words out of the files, as far as that can be done now. Blocks
    /// until then.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn clear_remains(&self) -> Result<Remains> {
        let mut first = true;
        while self.write_blocking(move |change| change.merge_index(first))? {
            first = false;
        }
        while self.write_blocking(|change| change.give_back(FREED))? {}
        let path = self.0.directory.join(FILE);
        let mut connection = open::connect(&path)?;
        open::settings(&connection)?;
        // A copy of the whole store has no place in memory.
        connection.pragma_update(None, "temp_store", "FILE")?;
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let small = number("page_count")?.saturating_mul(number("page_size")?) <= SMALL;
        // Nobody starts a daemon meanwhile.
        let alone = open::lock(&self.0.directory).ok();
        let mut remains = Remains::None;
        if alone.is_some() || small {
            match connection.execute_batch("VACUUM").map_err(StoreError::from) {
                Err(StoreError::Busy | StoreError::Full) => remains = Remains::UnusedSpace,
                other => other?,
            }
        } else {
            remains = Remains::UnusedSpace;
        }
        let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy {
            return Ok(Remains::Log);
        }
        if alone.is_none() {
            open::take_room(&mut connection, &open::log_of(&path))?;
        }
        Ok(remains)
    }
}
