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
//! A lease is the process's, not a time: `leased = 1` is reset at start. The attempt is counted when it is claimed, before dialling.

use super::parties::role_of;
use super::{Change, Result, View};
use crate::types::{Address, MessageId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, Row, params};

/// Row id of a queue item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub i64);

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A relayed message: its bytes are made again from the message as received.
    Relay,
    /// A notice of ours: it carries its bytes.
    Notice,
    /// Mail to postmaster or abuse, for the operator: as received.
    Forward,
}

impl Kind {
    /// The word used in the CLI and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Notice => "notice",
            Self::Forward => "forward",
        }
    }
}

/// To whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A party; its address is looked up when it is delivered.
    Party(PartyId),
    /// An address: the operator's.
    Address(Address),
}

/// An item to be queued.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// The message it belongs to.
    pub message: MessageId,
    /// What it is.
    pub kind: Kind,
    /// To whom.
    pub recipient: Recipient,
    /// Destination: the recipient's domain, for scheduling. The address is looked up again at delivery.
    pub domain: String,
    /// A notice's finished bytes.
    pub content: Option<Vec<u8>>,
}

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Row id.
    pub id: ItemId,
    /// The message it belongs to.
    pub message: MessageId,
    /// What it is.
    pub kind: Kind,
    /// To whom.
    pub recipient: Recipient,
    /// Destination domain.
    pub domain: String,
    /// When it was queued.
    pub queued: Time,
    /// When it is due.
    pub due: Time,
    /// Attempts begun.
    pub attempts: u32,
    /// Being delivered.
    pub leased: bool,
    /// The author has been told of the delay.
    pub delay_told: bool,
    /// Why it waits: our own word and at most a status code.
    pub waits_for: String,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Settle {
    /// Delivered.
    Done,
    /// Try again at this time.
    Again {
        /// When.
        due: Time,
        /// Why: our own word.
        why: String,
    },
    /// Given up: the row goes; the caller queues the notice in the same transaction.
    Failed {
        /// Why: our own word.
        why: String,
    },
}

const ITEM: &str =
    "SELECT id, message, kind, party, address, domain, queued, due, attempts, leased, delay_told, waits_for FROM queue";

fn item_of(row: &Row<'_>) -> rusqlite::Result<Item> {
    let party: Option<i64> = row.get(3)?;
    let address: Option<String> = row.get(4)?;
    let recipient = match (party, address.as_deref().map(Address::parse)) {
        (_, Some(Ok(address))) => Recipient::Address(address),
        (party, _) => Recipient::Party(PartyId(party.unwrap_or(0))),
    };
    Ok(Item {
        id: ItemId(row.get(0)?),
        message: MessageId(row.get(1)?),
        kind: match row.get(2)? {
            0 => Kind::Relay,
            1 => Kind::Notice,
            _ => Kind::Forward,
        },
        recipient,
        domain: row.get(5)?,
        queued: Time(row.get(6)?),
        due: Time(row.get(7)?),
        attempts: row.get(8)?,
        leased: row.get(9)?,
        delay_told: row.get(10)?,
        waits_for: row.get(11)?,
    })
}

impl View<'_> {
    /// Items for people, oldest first, of a destination if given.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue(&self, domain: Option<&str>, after: ItemId, limit: usize) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = format!("{ITEM} WHERE id > ?1 AND (?2 IS NULL OR domain = ?2) ORDER BY id LIMIT ?3");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![after.0, domain, limit], item_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The items of a message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_of(&self, message: MessageId) -> Result<Vec<Item>> {
        let mut statement = self.0.prepare_cached(&format!("{ITEM} WHERE message = ?1 ORDER BY id"))?;
        let rows = statement.query_map([message.0], item_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Items in the queue.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn queue_length(&self) -> Result<i64> {
        Ok(self.0.prepare_cached("SELECT count(*) FROM queue")?.query_row([], |row| row.get(0))?)
    }

    /// When the next item that nobody delivers is due.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn next_due(&self) -> Result<Option<Time>> {
        let sql = "SELECT due FROM queue WHERE leased = 0 ORDER BY due LIMIT 1";
        Ok(self.0.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.map(Time))
    }

    /// The finished bytes that a notice carries.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn item_content(&self, id: ItemId) -> Result<Option<Vec<u8>>> {
        let mut statement = self.0.prepare_cached("SELECT content FROM queue WHERE id = ?1")?;
        Ok(statement.query_row([id.0], |row| row.get(0)).optional()?.flatten())
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
        let sql = "INSERT INTO queue (message, kind, party, address, domain, queued, due, attempts, leased, content) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9)";
        let attempts = u32::from(leased);
        self.0.0.prepare_cached(sql)?.execute(params![
            new.message.0,
            kind,
            party,
            address,
            new.domain,
            now.0,
            attempts,
            leased,
            new.content
        ])?;
        Ok(Item {
            id: ItemId(self.0.0.last_insert_rowid()),
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

    /// Leases up to `limit` items that are due, none of `busy` destinations, and counts their attempt.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn claim(&self, now: Time, limit: usize, busy: &[String]) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let busy = serde_json::Value::from(busy.to_vec()).to_string();
        let sql = format!(
            "{ITEM} WHERE leased = 0 AND due <= ?1 AND domain NOT IN (SELECT value FROM json_each(?2)) ORDER BY due LIMIT ?3"
        );
        let items: Vec<Item> = {
            let mut statement = self.0.0.prepare_cached(&sql)?;
            let rows = statement.query_map(params![now.0, busy, limit], item_of)?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut lease =
            self.0.0.prepare_cached("UPDATE queue SET leased = 1, attempts = attempts + 1 WHERE id = ?1")?;
        for item in &items {
            lease.execute([item.id.0])?;
        }
        Ok(items.into_iter().map(|item| Item { leased: true, attempts: item.attempts + 1, ..item }).collect())
    }

    /// Writes how an attempt ended. An item that was cancelled meanwhile is left alone; returns whether it was there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn settle(&self, item: &Item, settle: &Settle, now: Time) -> Result<bool> {
        let there = match settle {
            Settle::Again { due, why } => {
                let sql = "UPDATE queue SET leased = 0, due = ?2, waits_for = ?3 WHERE id = ?1";
                self.0.0.prepare_cached(sql)?.execute(params![item.id.0, due.0, why])? > 0
            }
            Settle::Done | Settle::Failed { .. } => {
                self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([item.id.0])? > 0
            }
        };
        if !there {
            return Ok(false);
        }
        let relayed = item.kind == Kind::Relay;
        match settle {
            Settle::Done => {
                self.record(item.message, now, if relayed { "delivered" } else { "notice-delivered" }, "")?;
                if relayed {
                    self.set_fate(item.message, "delivered")?;
                }
            }
            Settle::Again { why, .. } => self.record(item.message, now, "deferred", why)?,
            Settle::Failed { why } => {
                self.record(item.message, now, if relayed { "failed" } else { "notice-failed" }, why)?;
                if relayed {
                    self.set_fate(item.message, "failed")?;
                }
            }
        }
        Ok(true)
    }

    /// The author has been told of the delay.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn delay_told(&self, id: ItemId) -> Result<()> {
        self.0.0.prepare_cached("UPDATE queue SET delay_told = 1 WHERE id = ?1")?.execute([id.0])?;
        Ok(())
    }

    /// Lets go of the leases of a process that has died. Called once, at start.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn release_leases(&self) -> Result<usize> {
        Ok(self.0.0.execute("UPDATE queue SET leased = 0 WHERE leased = 1", [])?)
    }

    /// Makes items due now: one, or all (of a destination). Returns how many.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn retry(&self, id: Option<ItemId>, domain: Option<&str>, now: Time) -> Result<usize> {
        let sql = "UPDATE queue SET due = ?1 WHERE leased = 0 AND due > ?1 AND (?2 IS NULL OR id = ?2) \
                   AND (?3 IS NULL OR domain = ?3)";
        Ok(self.0.0.prepare_cached(sql)?.execute(params![now.0, id.map(|id| id.0), domain])?)
    }

    /// Takes an item out of the queue; the history says so. Returns whether it was there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn cancel(&self, id: ItemId, now: Time) -> Result<bool> {
        let sql = format!("{ITEM} WHERE id = ?1");
        let item = self.0.0.prepare_cached(&sql)?.query_row([id.0], item_of).optional()?;
        let Some(item) = item else { return Ok(false) };
        self.0.0.prepare_cached("DELETE FROM queue WHERE id = ?1")?.execute([id.0])?;
        self.record(item.message, now, "cancelled", "by the operator")?;
        if item.kind == Kind::Relay {
            self.set_fate(item.message, "failed")?;
        }
        Ok(true)
    }
}
