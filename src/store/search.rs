//! Full-text search over the history. The index follows the history with the chain, some minutes behind; what it does not hold yet is read by the one who searches.

use super::{Result, View};
use crate::message::search::words;
use crate::types::MessageId;
use rusqlite::Connection;

/// Messages that are read at once.
const STEP: usize = 500;

impl View<'_> {
    /// Messages that are not in the index yet and say what `query` asks for, by a small index of their own, so that the answer is the same.
    pub(super) fn said_lately(&self, query: &str) -> Result<Vec<i64>> {
        let table: String =
            self.0.query_row("SELECT sql FROM sqlite_schema WHERE name = 'search'", [], |row| row.get(0))?;
        let mut found = Vec::new();
        let mut after = self.chained_to()?;
        loop {
            let sql = "SELECT id FROM message WHERE id > ?1 AND body IS NOT NULL ORDER BY id LIMIT ?2";
            let ids: Vec<i64> = {
                let mut statement = self.0.prepare_cached(sql)?;
                let rows = statement.query_map([after.0, STEP as i64], |row| row.get(0))?;
                rows.collect::<rusqlite::Result<_>>()?
            };
            let Some(last) = ids.last() else { return Ok(found) };
            after = MessageId(*last);
            let index = Connection::open_in_memory()?;
            index.execute_batch(&table)?;
            index.execute_batch("BEGIN")?;
            for id in ids {
                if let Some(raw) = self.raw(MessageId(id))? {
                    index
                        .prepare_cached("INSERT INTO search (rowid, words) VALUES (?1, ?2)")?
                        .execute((id, words(&raw)))?;
                }
            }
            let mut statement = index.prepare("SELECT rowid FROM search WHERE search MATCH ?1")?;
            for id in statement.query_map([query], |row| row.get(0))? {
                found.push(id?);
            }
        }
    }
}
