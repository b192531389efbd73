//! The durable queue: what has to go out, and when to try next.
//!
//! The legal states of an item, and what a crash leaves at each arrow:
//!
//! ```text
//! absent ──commit──▶ waiting ──claim──▶ leased ──settle──▶ done (row gone, fate and event written)
//!    │                  ▲                  │ ├──────────▶ waiting (attempt counted, next time set)
//!    │                  └──────────────────┘ └──────────▶ failed (row gone, notice queued in the same transaction)
//!    └──commit with hand-over in memory──▶ leased
//!
//! crash before commit   absent: the client got no 250 and sends again
//! crash after commit    waiting, or leased: found again at start, when every lease of the dead process is let go
//! crash while leased    the receiver may have it: one more copy goes out, with the same Message-ID
//! crash after settle    done, waiting or failed with its notice: one transaction, so never between
//! ```
//!
//! Mail to the operator has neither fate nor event: it is nowhere but in its row (`forward`).
//!
//! A lease is the process's, not a time: `leased = 1` is reset at start. The attempt is counted when it is claimed, before dialling.
//!
//! Beside the items stands one row for each *destination* that any of them waits for: when it is next worth a try. It is due no later
//! than its first item, unless no server was reached lately: then its items wait untouched, however many they are, and one of them is
//! tried when the destination is due. So a dead destination costs the same with one message and with a million.
//!
//! Clocks jump. What is due later than any wait can be ([`Horizon`]) was written under another clock, and is due now.

mod forward;
mod item;
mod operator;
#[cfg(test)]
mod tests;

pub use forward::NewForward;
pub use item::{Horizon, Item, ItemId, Kind, NewItem, Recipient, Settle, Waiting};
pub use operator::Which;

use super::parties::role_of;
use super::{Change, Result, View};
use crate::types::{Address, MessageId, Role, Time};
use item::{ITEM, item_of};
use rusqlite::{OptionalExtension as _, params};

/// What stands before the mark of the server in the event of a delivery.
const SERVER: &str = "server ";

impl View<'_> {
    /// The mark of the server that took a message: see [`Settle::Done`].
    ///
    /// # Errors
    /// The database's trouble.
    pub fn taken_by(&self, message: MessageId) -> Result<Option<String>> {
        let sql = "SELECT detail FROM event WHERE message = ?1 AND what = 'delivered' ORDER BY id DESC LIMIT 1";
        let found: Option<String> = self.0.prepare_cached(sql)?.query_row([message.0], |row| row.get(0)).optional()?;
        Ok(found.and_then(|detail| detail.rsplit_once(SERVER).map(|(_, mark)| mark.to_owned())))
    }

    /// When the next destination is due, as far as the clock can be believed.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn next_due(&self, when: Horizon) -> Result<Option<Time>> {
        let far = "SELECT 1 FROM destination WHERE due > ?1 LIMIT 1";
        if self.0.prepare_cached(far)?.exists([when.far.0])? {
            return Ok(Some(when.now));
        }
        let sql = "SELECT due FROM destination ORDER BY due LIMIT 1";
        Ok(self.0.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.map(Time))
    }

    /// Destinations that are due, the longest waiting first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn destinations_due(&self, when: Horizon, limit: usize) -> Result<Vec<Waiting>> {
        let sql = "SELECT domain, failures, forced FROM destination WHERE due <= ?1 ORDER BY due LIMIT ?2";
        let far = "SELECT domain, failures, forced FROM destination WHERE due > ?1 ORDER BY due LIMIT ?2";
        let mut found = Vec::new();
        for (sql, time) in [(sql, when.now), (far, when.far)] {
            let room = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
            let mut statement = self.0.prepare_cached(sql)?;
            let rows = statement.query_map(params![time.0, room], |row| {
                Ok(Waiting { domain: row.get(0)?, failures: row.get(1)?, forced: row.get(2)? })
            })?;
            for row in rows {
                found.push(row?);
            }
        }
        Ok(found)
    }

    /// Items queued before `before` that wait, oldest first; `told`: those whose author knows of the delay, or the others.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn old_items(&self, before: Time, told: bool, limit: usize) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!("{ITEM} WHERE leased = 0 AND delay_told = ?1 AND queued < ?2 ORDER BY queued LIMIT ?3");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![told, before.0, limit], item_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Attempts in a row that reached no server of a destination.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn failures_of(&self, domain: &str) -> Result<u32> {
        let sql = "SELECT failures FROM destination WHERE domain = ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.query_row([domain], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Octets that an item takes in memory, about: as received, or as its notice is. `None`: it was cancelled meanwhile.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn item_size(&self, id: ItemId) -> Result<Option<usize>> {
        let sql = "SELECT ifnull(length(content), (SELECT size FROM message WHERE message.id = queue.message)) \
                   FROM queue WHERE id = ?1";
        let size: Option<Option<i64>> = self.0.prepare_cached(sql)?.query_row([id.0.0], |row| row.get(0)).optional()?;
        Ok(size.map(|size| size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0)))
    }

    /// The finished bytes that a notice carries.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn item_content(&self, id: ItemId) -> Result<Option<Vec<u8>>> {
        let mut statement = self.0.prepare_cached("SELECT content FROM queue WHERE id = ?1")?;
        Ok(statement.query_row([id.0.0], |row| row.get(0)).optional()?.flatten())
    }

    /// Address of an item's recipient now; `None` if the party is gone.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn item_address(&self, item: &Item) -> Result<Option<Address>> {
        match &item.recipient {
            Recipient::Address(address) => Ok(Some(address.clone())),
            Recipient::Party(party) => {
                let sql = "SELECT address FROM party_address WHERE party = ?1 AND kind = 0";
                let text: Option<String> =
                    self.0.prepare_cached(sql)?.query_row([party.0], |row| row.get(0)).optional()?;
                Ok(text.and_then(|text| Address::parse(&text).ok()))
            }
        }
    }

    /// Which side wrote the message an item belongs to.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn author_of(&self, message: MessageId) -> Result<Option<Role>> {
        let mut statement = self.0.prepare_cached("SELECT author FROM message WHERE id = ?1")?;
        Ok(statement.query_row([message.0], |row| row.get(0)).optional()?.map(role_of))
    }
}

impl Change<'_> {
    /// Queues an item. `leased`: the caller delivers it at once, from memory; the first attempt counts as begun.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn enqueue(&self, new: &NewItem, now: Time, leased: bool) -> Result<Item> {
        let (party, address) = match &new.recipient {
            Recipient::Party(party) => (Some(party.0), None),
            Recipient::Address(address) => (None, Some(address.expose())),
        };
        let kind = match new.kind {
            Kind::Relay => 0,
            Kind::Notice => 1,
            Kind::Forward => 2,
        };
        let (id, content) = match &new.notice {
            Some((id, content)) => (*id, Some(content)),
            None => (new.message, None),
        };
        let sql = "INSERT INTO queue (id, message, kind, party, address, domain, queued, due, attempts, leased, content) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10)";
        let attempts = u32::from(leased);
        self.0.0.prepare_cached(sql)?.execute(params![
            id.0,
            new.message.0,
            kind,
            party,
            address,
            new.domain,
            now.0,
            attempts,
            leased,
            content
        ])?;
        if !leased {
            self.waits(&new.domain, now)?;
        }
        Ok(Item {
            id: ItemId(id),
            message: new.message,
            kind: new.kind,
            recipient: new.recipient.clone(),
            domain: new.domain.clone(),
            queued: now,
            due: now,
            attempts,
            leased,
            delay_told: false,
            waits_for: String::new(),
        })
    }

    /// A destination has an item that is due at `due`; one that was not reached lately keeps its own time.
    fn waits(&self, domain: &str, due: Time) -> Result<()> {
        let sql = "INSERT INTO destination (domain, due, failures) VALUES (?1, ?2, 0) \
                   ON CONFLICT (domain) DO UPDATE SET due = excluded.due WHERE failures = 0 AND excluded.due < due";
        self.0.0.prepare_cached(sql)?.execute(params![domain, due.0])?;
        Ok(())
    }

    /// Leases up to `limit` items of a destination that are due, the longest waiting first, and counts their attempt.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn claim(&self, domain: &str, when: Horizon, limit: usize) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        for (condition, time) in [("due <= ?2", when.now), ("due > ?2", when.far)] {
            let room = i64::try_from(limit.saturating_sub(items.len())).unwrap_or(i64::MAX);
            let sql = format!("{ITEM} WHERE leased = 0 AND domain = ?1 AND {condition} ORDER BY due LIMIT ?3");
            let mut statement = self.0.0.prepare_cached(&sql)?;
            for item in statement.query_map(params![domain, time.0, room], item_of)? {
                items.push(item?);
            }
        }
        let mut lease =
            self.0.0.prepare_cached("UPDATE queue SET leased = 1, attempts = attempts + 1 WHERE id = ?1")?;
        for item in &mut items {
            lease.execute([item.id.0.0])?;
            item.leased = true;
            item.attempts = item.attempts.saturating_add(1);
        }
        self.next_of(domain, None, None)?;
        Ok(items)
    }

    /// A destination is due when its first item is, or not before `not_before`. Without items its row goes. `why`: what is newly known of it.
    fn next_of(&self, domain: &str, not_before: Option<(Time, u32)>, why: Option<&str>) -> Result<()> {
        let first = "SELECT due FROM queue WHERE leased = 0 AND domain = ?1 ORDER BY due LIMIT 1";
        let due: Option<i64> = self.0.0.prepare_cached(first)?.query_row([domain], |row| row.get(0)).optional()?;
        let Some(due) = due else {
            self.0.0.prepare_cached("DELETE FROM destination WHERE domain = ?1")?.execute([domain])?;
            return Ok(());
        };
        let (due, failures) = not_before.map_or((due, None), |(time, failures)| (due.max(time.0), Some(failures)));
        let sql = "INSERT INTO destination (domain, due, failures, why) VALUES (?1, ?2, ifnull(?3, 0), ifnull(?4, '')) \
                   ON CONFLICT (domain) DO UPDATE \
                   SET due = excluded.due, failures = ifnull(?3, failures), why = ifnull(?4, why), forced = 0";
        self.0.0.prepare_cached(sql)?.execute(params![domain, due, failures, why])?;
        Ok(())
    }

    /// No server of the destination was reached, for the `failures`th time: what waits for it waits until `until`. `why`: our own word for
    /// it, if it is newly known.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn unreachable(&self, domain: &str, failures: u32, until: Time, why: Option<&str>) -> Result<()> {
        self.next_of(domain, Some((until, failures)), why)
    }

    /// A server of the destination was reached again.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn reached(&self, domain: &str) -> Result<()> {
        self.next_of(domain, Some((Time(i64::MIN), 0)), Some(""))
    }

    /// Writes how an attempt ended. An item that was cancelled meanwhile is left alone; returns whether it was there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn settle(&self, item: &Item, settle: &Settle, now: Time) -> Result<bool> {
        let there = match settle {
            Settle::Again { due, why } => {
                let sql = "UPDATE queue SET leased = 0, due = ?2, waits_for = ?3, domain = ?4 WHERE id = ?1";
                self.0.0.prepare_cached(sql)?.execute(params![item.id.0.0, due.0, why, item.domain])? > 0
            }
            Settle::Back => {
                let sql = "UPDATE queue SET leased = 0, due = ?2, attempts = max(attempts - 1, 0), domain = ?3 \
                           WHERE id = ?1";
                self.0.0.prepare_cached(sql)?.execute(params![item.id.0.0, now.0, item.domain])? > 0
            }
            Settle::Done { .. } | Settle::Failed { .. } => {
                self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([item.id.0.0])? > 0
            }
        };
        if !there {
            return Ok(false);
        }
        // A notice is a step in the walk of the message that it is about. Mail to the operator has
        // none: only what an older version kept as a message has a fate.
        let whole = item.kind != Kind::Notice;
        let record = |what, detail: &str| match item.kind {
            Kind::Forward => Ok(()),
            Kind::Relay | Kind::Notice => self.record(item.message, now, what, detail),
        };
        match settle {
            Settle::Done { server } => {
                let attempt = (item.attempts > 1).then(|| format!("attempt {}", item.attempts));
                let server = (!server.is_empty()).then(|| format!("{SERVER}{server}"));
                let detail = attempt.into_iter().chain(server).collect::<Vec<_>>().join(", ");
                record(if whole { "delivered" } else { "notice-delivered" }, &detail)?;
                if whole {
                    self.set_fate(item.message, "delivered")?;
                }
            }
            Settle::Again { due, why } => {
                self.waits(&item.domain, *due)?;
                record("deferred", why)?;
            }
            Settle::Back => self.waits(&item.domain, now)?,
            Settle::Failed { why } => {
                record(if whole { "failed" } else { "notice-failed" }, why)?;
                if whole {
                    self.set_fate(item.message, "failed")?;
                    self.undelivered(item.message, now)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes an item out without a word in the history.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn drop_item(&self, id: ItemId) -> Result<()> {
        self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([id.0.0])?;
        Ok(())
    }

    /// The author has been told of the delay.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn delay_told(&self, id: ItemId) -> Result<()> {
        self.0.0.prepare_cached("UPDATE queue SET delay_told = 1 WHERE id = ?1")?.execute([id.0.0])?;
        Ok(())
    }

    /// Lets go of the leases of a process that has died: they are due at once. Called once, at start.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn release_leases(&self, now: Time) -> Result<usize> {
        let domains = "INSERT INTO destination (domain, due, failures) \
                       SELECT DISTINCT domain, ?1, 0 FROM queue WHERE leased = 1 \
                       ON CONFLICT (domain) DO UPDATE SET due = min(due, excluded.due) WHERE failures = 0";
        self.0.0.execute(domains, [now.0])?;
        Ok(self.0.0.execute("UPDATE queue SET leased = 0, due = ?1 WHERE leased = 1", [now.0])?)
    }
}
