//! What the operator asks of the queue, and does to it: list, retry, cancel. Beside a running daemon, which sees it within a second.

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
    /// Of this marketplace. Mail to the operator is of none.
    pub marketplace: Option<String>,
}

/// The marketplace of an item: its receiver's, or, where a notice goes to an address, its
/// message's.
macro_rules! marketplace {
    () => {
        "ifnull((SELECT p.marketplace FROM party p WHERE p.id = queue.party), \
         (SELECT b.marketplace FROM message x JOIN pair q ON q.id = x.pair JOIN party b ON b.id = q.buyer \
          WHERE x.id = queue.message))"
    };
}
pub(super) const OF_MARKETPLACE: &str =
    concat!("(?3 IS NULL OR (SELECT m.id FROM marketplace m WHERE m.name = ?3) = ", marketplace!(), ")");

pub(super) const ALL: &str = "?1 IS NULL ORDER BY id";
pub(super) const WAITING: &str = "leased = 0 AND ?1 IS NULL ORDER BY id";
pub(super) const WAITING_FOR: &str = "leased = 0 AND domain = ?1 ORDER BY due";
pub(super) const OF_MESSAGE: &str = "id = ?1 OR (kind = 1 AND message = ?1)";
const DELIVERING: &str = "leased = 1 AND ?1 IS NULL ORDER BY id";
const DELIVERING_TO: &str = "leased = 1 AND domain = ?1 ORDER BY id";

impl View<'_> {
    /// Items: those of all destinations by their id, those of one by when they are due, and what is being delivered last.
    ///
    /// Only what waits is in an index, so that mail that goes out at once pays for none: to find what is being delivered, every row is looked
    /// at, but not kept.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue(&self, which: &Which, limit: usize) -> Result<Vec<Item>> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = |condition: &str, domain: &dyn rusqlite::ToSql, most: i64| {
            let sql = format!("{ITEM} WHERE {OF_MARKETPLACE} AND {condition} LIMIT ?2");
            let mut statement = self.0.prepare_cached(&sql)?;
            let rows = statement.query_map(params![domain, most, which.marketplace], item_of)?;
            rows.collect::<rusqlite::Result<Vec<Item>>>()
        };
        let mut found = match (&which.domain, which.leased) {
            (None, None) => find(ALL, &None::<&str>, most)?,
            (None, Some(false)) => find(WAITING, &None::<&str>, most)?,
            (Some(domain), None | Some(false)) => find(WAITING_FOR, domain, most)?,
            (_, Some(true)) => Vec::new(),
        };
        let room = most.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        match (&which.domain, which.leased) {
            (None, Some(true)) => found = find(DELIVERING, &None::<&str>, most)?,
            (Some(domain), None | Some(true)) if room > 0 => found.extend(find(DELIVERING_TO, domain, room)?),
            _ => {}
        }
        self.with_destinations(found)
    }

    /// Ids of items behind `after`, in their order, which is that of their messages: many are changed faster so than by when they are due. Looks at
    /// every row, and so may not be asked within a transaction that writes.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_ids(&self, which: &Which, after: ItemId, limit: usize) -> Result<Vec<ItemId>> {
        let sql = format!(
            "SELECT id FROM queue WHERE id > ?1 AND (?2 IS NULL OR domain = ?2) AND {OF_MARKETPLACE} \
             AND (?4 IS NULL OR leased = ?4) ORDER BY id LIMIT ?5"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(&sql)?;
        let values = params![after.0.0, which.domain, which.marketplace, which.leased, limit];
        let ids = statement.query_map(values, |row| row.get(0).map(|id| ItemId(MessageId(id))))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// The marketplace whose mail an item is; none for mail to the operator.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn marketplace_of_item(&self, item: &Item) -> Result<Option<String>> {
        let sql =
            concat!("SELECT m.name FROM queue JOIN marketplace m ON m.id = ", marketplace!(), " WHERE queue.id = ?1");
        Ok(self.0.prepare_cached(sql)?.query_row([item.id.0.0], |row| row.get(0)).optional()?)
    }

    /// One item.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_item(&self, id: ItemId) -> Result<Option<Item>> {
        let mut statement = self.0.prepare_cached(&format!("{ITEM} WHERE id = ?1"))?;
        let found = self.with_destinations(statement.query_row([id.0.0], item_of).optional()?.into_iter().collect())?;
        Ok(found.into_iter().next())
    }

    /// The items of a message: itself, then the notices about it, the oldest first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_of(&self, message: MessageId) -> Result<Vec<Item>> {
        let mut statement = self.0.prepare_cached(&format!("{ITEM} WHERE {OF_MESSAGE}"))?;
        let rows = statement.query_map([message.0], item_of)?;
        let mut items = rows.collect::<rusqlite::Result<Vec<Item>>>()?;
        items.sort_by_key(|item| item.id);
        self.with_destinations(items)
    }

    /// An item whose destination is down waits for that, whatever its own time is: that is what people want to read.
    fn with_destinations(&self, mut items: Vec<Item>) -> Result<Vec<Item>> {
        let mut statement =
            self.0.prepare_cached("SELECT due, failures, why FROM destination WHERE domain = ?1 AND failures > 0")?;
        for item in items.iter_mut().filter(|item| !item.leased) {
            let down = statement.query_row([&item.domain], |row| {
                Ok((Time(row.get(0)?), row.get::<_, u32>(1)?, row.get::<_, String>(2)?))
            });
            let Some((due, failures, why)) = down.optional()? else { continue };
            item.due = item.due.max(due);
            if item.waits_for.is_empty() {
                let why = if why.is_empty() { why } else { format!(", last: {why}") };
                item.waits_for = format!("the destination could not be used {failures} time(s){why}");
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
            self.0.0.prepare_cached(row)?.query_row(params![id.0.0, now.0], |row| row.get(0)).optional()?;
        let Some(domain) = domain else { return Ok(false) };
        let destination = "INSERT INTO destination (domain, due, failures, forced) VALUES (?1, ?2, 0, 1) \
                           ON CONFLICT (domain) DO UPDATE SET due = min(due, excluded.due), forced = 1";
        self.0.0.prepare_cached(destination)?.execute(params![domain, now.0])?;
        Ok(true)
    }

    /// Makes what waits for a destination due now. At most `limit` items in this transaction, so that the daemon is not held up: ask again
    /// until it returns less.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry_destination(&self, domain: &str, now: Time, limit: usize) -> Result<usize> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let destination = "UPDATE destination SET due = min(due, ?1), forced = 1 WHERE domain = ?2";
        self.0.0.prepare_cached(destination)?.execute(params![now.0, domain])?;
        let items = "UPDATE queue SET due = ?1 WHERE id IN \
                     (SELECT id FROM queue WHERE leased = 0 AND domain = ?2 AND due > ?1 LIMIT ?3)";
        Ok(self.0.0.prepare_cached(items)?.execute(params![now.0, domain, limit])?)
    }

    /// Makes what waits for the destinations behind `after`, in the order of their names, due now, as far as `limit` (items and destinations)
    /// goes. Returns how many items, and what to ask with next; `None` at the end.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry_all(&self, after: &str, now: Time, limit: usize) -> Result<(usize, Option<String>)> {
        let (mut after, mut count) = (after.to_owned(), 0);
        let sql = "SELECT domain FROM destination WHERE domain > ?1 ORDER BY domain LIMIT 1";
        for _ in 0..limit {
            let next: Option<String> =
                self.0.0.prepare_cached(sql)?.query_row([&after], |row| row.get(0)).optional()?;
            let Some(domain) = next else { return Ok((count, None)) };
            let room = limit - count;
            let more = self.retry_destination(&domain, now, room)?;
            count += more;
            if more == room {
                // It may have more.
                return Ok((count, Some(after)));
            }
            after = domain;
        }
        Ok((count, Some(after)))
    }

    /// Makes items due now, and their destinations worth a try; returns how many of them wait.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry_each(&self, ids: &[ItemId], now: Time) -> Result<usize> {
        ids.iter().try_fold(0, |count, id| Ok(count + usize::from(self.retry(*id, now)?)))
    }

    /// Takes items out of the queue; returns how many of them were there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn cancel_each(&self, ids: &[ItemId], now: Time) -> Result<usize> {
        ids.iter().try_fold(0, |count, id| Ok(count + usize::from(self.cancel(*id, now)?)))
    }

    /// Takes an item out of the queue; the history says so. Returns whether it was there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn cancel(&self, id: ItemId, now: Time) -> Result<bool> {
        let Some(item) = self.queue_item(id)? else { return Ok(false) };
        self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([id.0.0])?;
        if item.kind != Kind::Forward {
            self.record(item.message, now, "cancelled", "by the operator")?;
        }
        if item.kind != Kind::Notice {
            self.set_fate(item.message, "failed")?;
        }
        Ok(true)
    }
}
