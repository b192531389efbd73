//! What the operator asks of the queue, and does to it: list, retry, cancel. Beside a running daemon, which sees it within seconds.

use super::{ITEM, Item, ItemId, item_of};
use crate::store::queue::Kind;
use crate::store::{Change, Result, View};
use crate::types::{MessageId, Time};
use rusqlite::{OptionalExtension as _, params};

/// Which items are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Of this destination.
    pub domain: Option<String>,
    /// Being delivered (`true`), or waiting.
    pub leased: Option<bool>,
}

impl View<'_> {
    /// Items by their number, after `after`. Ask again with the last one's number for more.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue(&self, which: &Which, after: ItemId, limit: usize) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!(
            "{ITEM} WHERE id > ?1 AND (?2 IS NULL OR domain = ?2) AND (?3 IS NULL OR leased = ?3) ORDER BY id LIMIT ?4"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after.0, which.domain, which.leased, limit], item_of)?;
        self.with_destinations(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// One item.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_item(&self, id: ItemId) -> Result<Option<Item>> {
        let mut statement = self.0.prepare_cached(&format!("{ITEM} WHERE id = ?1"))?;
        let found = self.with_destinations(statement.query_row([id.0], item_of).optional()?.into_iter().collect())?;
        Ok(found.into_iter().next())
    }

    /// The items of a message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_of(&self, message: MessageId) -> Result<Vec<Item>> {
        let mut statement = self.0.prepare_cached(&format!("{ITEM} WHERE message = ?1 ORDER BY id"))?;
        let rows = statement.query_map([message.0], item_of)?;
        self.with_destinations(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// An item whose destination is down waits for that, whatever its own time is: that is what people want to read.
    fn with_destinations(&self, mut items: Vec<Item>) -> Result<Vec<Item>> {
        let mut statement =
            self.0.prepare_cached("SELECT due, failures FROM destination WHERE domain = ?1 AND failures > 0")?;
        for item in items.iter_mut().filter(|item| !item.leased) {
            let down = statement.query_row([&item.domain], |row| Ok((Time(row.get(0)?), row.get::<_, u32>(1)?)));
            let Some((due, failures)) = down.optional()? else { continue };
            item.due = item.due.max(due);
            if item.waits_for.is_empty() {
                item.waits_for = format!("the destination did not answer {failures} time(s)");
            }
        }
        Ok(items)
    }

    /// Items in the queue.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_length(&self) -> Result<i64> {
        Ok(self.0.prepare_cached("SELECT count(*) FROM queue")?.query_row([], |row| row.get(0))?)
    }
}

impl Change<'_> {
    /// Makes an item due now, and its destination worth a try. Returns whether it waits.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry(&self, id: ItemId, now: Time) -> Result<bool> {
        let row = "UPDATE queue SET due = min(due, ?2) WHERE id = ?1 AND leased = 0 RETURNING domain";
        let domain: Option<String> =
            self.0.0.prepare_cached(row)?.query_row(params![id.0, now.0], |row| row.get(0)).optional()?;
        let Some(domain) = domain else { return Ok(false) };
        let destination = "INSERT INTO destination (domain, due, failures, forced) VALUES (?1, ?2, 0, 1) \
                           ON CONFLICT (domain) DO UPDATE SET due = min(due, excluded.due), forced = 1";
        self.0.0.prepare_cached(destination)?.execute(params![domain, now.0])?;
        Ok(true)
    }

    /// Makes what waits for a destination, or for all, due now. At most `limit` items in this transaction, so that the daemon is not
    /// held up: ask again until it returns 0.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry_all(&self, domain: Option<&str>, now: Time, limit: usize) -> Result<usize> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Two statements, so that each has its index.
        let (rows, destinations) = match domain {
            Some(_) => (
                "UPDATE queue SET due = ?1 WHERE id IN \
                 (SELECT id FROM queue WHERE leased = 0 AND domain = ?2 AND due > ?1 LIMIT ?3)",
                "UPDATE destination SET due = min(due, ?1), forced = 1 WHERE domain = ?2",
            ),
            None => (
                "UPDATE queue SET due = ?1 WHERE id IN \
                 (SELECT id FROM queue WHERE leased = 0 AND ?2 IS NULL AND due > ?1 LIMIT ?3)",
                "UPDATE destination SET due = min(due, ?1), forced = 1 WHERE ?2 IS NULL",
            ),
        };
        self.0.0.prepare_cached(destinations)?.execute(params![now.0, domain])?;
        Ok(self.0.0.prepare_cached(rows)?.execute(params![now.0, domain, limit])?)
    }

    /// Takes an item out of the queue; the history says so. Returns whether it was there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn cancel(&self, id: ItemId, now: Time) -> Result<bool> {
        let Some(item) = self.queue_item(id)? else { return Ok(false) };
        self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([id.0])?;
        self.record(item.message, now, "cancelled", "by the operator")?;
        if item.kind == Kind::Relay {
            self.set_fate(item.message, "failed")?;
        }
        Ok(true)
    }
}
