//! Whether the history is still what the chain says: see `chain`. In steps of some blocks, each from one snapshot, so that a daemon beside it is not held up.

use super::chain::{Entry, Hash, Position, Read, Record, entries};
use super::erasure::{Erasure, Tombstone};
use super::{Result, View};
use crate::types::MessageId;
use data_encoding::HEXLOWER;
use rusqlite::{OptionalExtension as _, params};
use std::collections::HashSet;

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Blocks looked at.
    pub blocks: u64,
    /// Messages that are as they were.
    pub messages: u64,
    /// Events that are as they were.
    pub events: u64,
    /// Records that retention has taken away; their hashes hold the chain together.
    pub gone: u64,
    /// Messages of which all or something was erased; what stays of them is as it was then.
    pub erased: u64,
    /// By which erasures: the first of them.
    pub erasures: Vec<Erased>,
    /// Messages that are not in the chain yet.
    pub waiting: u64,
    /// The hash that the chain ends with.
    pub head: String,
    /// The first record that is not as it was.
    pub fault: Option<Fault>,
    /// The chain goes through the hash that was asked for.
    pub holds: bool,
}

/// Erasures that are told one by one.
const ERASURES: usize = 1000;

/// What one erasure took from the history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Erased {
    /// Which.
    #[serde(flatten)]
    pub erasure: Erasure,
    /// Messages that it touched.
    pub messages: u64,
}

impl Verified {
    fn add(&mut self, erasure: Erasure) {
        self.erased += 1;
        if let Some(known) = self.erasures.iter_mut().find(|known| known.erasure == erasure) {
            known.messages += 1;
        } else if self.erasures.len() < ERASURES {
            self.erasures.push(Erased { erasure, messages: 1 });
        }
    }
}

/// A record that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The message, or the one whose event it is.
    pub message: String,
    /// The event's number, if it is one.
    pub event: Option<i64>,
    /// `changed`, `missing`, `added`, `chain-broken`.
    pub what: &'static str,
}

impl Fault {
    fn new(entry: &Entry, what: &'static str) -> Self {
        Self { message: MessageId(entry.message).to_string(), event: entry.event.then_some(entry.id), what }
    }
}

/// A block as it is kept.
struct Kept {
    at: Position,
    entries: Option<Vec<Entry>>,
}

impl View<'_> {
    /// Goes on from `from` (from the beginning: `None`) over up to `limit` blocks, and adds to `found`. `holds`: a hash to look for, in lower-case hexadecimal. Returns where to go
    /// on; `None` at the end, or where the first fault was found.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn verify(
        &self,
        from: Option<Position>,
        limit: usize,
        holds: Option<&str>,
        found: &mut Verified,
    ) -> Result<Option<Position>> {
        let anchor = self.anchor()?;
        // Retention may have gone past the place where the last step ended.
        let mut at = from.filter(|from| from.seq >= anchor.seq).unwrap_or(anchor);
        let holds = holds.and_then(|text| HEXLOWER.decode(text.as_bytes()).ok());
        let is_it = |hash: &Hash| holds.as_deref() == Some(&hash[..]);
        found.holds |= is_it(&at.hash);
        let purged = self.purged_to()?;
        for _ in 0..limit {
            let Some(block) = self.block_after(at.seq)? else {
                let sql = "SELECT count(*) FROM message WHERE id > ?1";
                let waiting: i64 = self.0.prepare_cached(sql)?.query_row([at.message], |row| row.get(0))?;
                found.waiting = u64::try_from(waiting).unwrap_or(0);
                found.head = at.head();
                return Ok(None);
            };
            let first = |what| Fault { message: MessageId(block.at.message).to_string(), event: None, what };
            let Some(list) = block.entries.as_deref().filter(|_| block.at.seq == at.seq + 1) else {
                found.fault = Some(first("chain-broken"));
                return Ok(None);
            };
            if let Some(fault) = self.verify_block(&at, &block.at, list, purged, found)? {
                found.fault = Some(fault);
                return Ok(None);
            }
            let mut hash = at.hash;
            for entry in list {
                hash = entry.link(&hash);
                found.holds |= is_it(&hash);
            }
            if hash != block.at.hash {
                found.fault = Some(first("chain-broken"));
                return Ok(None);
            }
            found.blocks += 1;
            at = block.at;
        }
        Ok(Some(at))
    }

    fn block_after(&self, seq: i64) -> Result<Option<Kept>> {
        let sql = "SELECT seq, last_message, last_event, entries, salts, coalesce(head, entries) FROM chain \
                   WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let found = self.0.prepare_cached(sql)?.query_row([seq], |row| {
            let entries = entries(&row.get::<_, Vec<u8>>(3)?, row.get::<_, Option<Vec<u8>>>(4)?.as_deref());
            let hash = row.get::<_, Vec<u8>>(5)?.last_chunk::<32>().copied().unwrap_or([0; 32]);
            Ok(Kept { at: Position { seq: row.get(0)?, message: row.get(1)?, event: row.get(2)?, hash }, entries })
        });
        Ok(found.optional()?)
    }

    /// Whether a message of which something was erased is as the erasure left it: its tombstone has
    /// the leaf of what stays, and the erasure's event, which is chained like any other, has it,
    /// too.
    fn is_as_erased(&self, record: &Record, tombstone: &Tombstone) -> Result<bool> {
        Ok(tombstone.is_of(record) && self.tells_of(tombstone)?)
    }

    fn verify_block(
        &self,
        before: &Position,
        end: &Position,
        list: &[Entry],
        purged: MessageId,
        found: &mut Verified,
    ) -> Result<Option<Fault>> {
        let mut hash = before.hash;
        for entry in list {
            let record = if entry.event {
                self.event_record(entry.id)?
            } else {
                self.message_record(entry.id)?.map(|Read { record, .. }| record)
            };
            let tombstone = if entry.event { None } else { self.tombstone(MessageId(entry.id))? };
            match (record, tombstone) {
                (Some(record), Some(tombstone)) if self.is_as_erased(&record, &tombstone)? => {
                    found.add(tombstone.erasure)
                }
                (Some(record), None) if entry.is_of(&record, &hash) => {
                    if entry.event {
                        found.events += 1
                    } else {
                        found.messages += 1
                    }
                }
                (Some(_), _) => return Ok(Some(Fault::new(entry, "changed"))),
                (None, _) if entry.message < purged.0 => found.gone += 1,
                (None, _) => return Ok(Some(Fault::new(entry, "missing"))),
            }
            hash = entry.link(&hash);
        }
        // What lies in the block's range and is not in it was put there later.
        for (event, sql, range) in [
            (false, "SELECT id, id FROM message WHERE id > ?1 AND id <= ?2 ORDER BY id", [before.message, end.message]),
            (true, "SELECT id, message FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id", [before.event, end.event]),
        ] {
            let known: HashSet<i64> = list.iter().filter(|e| e.event == event).map(|entry| entry.id).collect();
            let mut statement = self.0.prepare_cached(sql)?;
            let mut rows = statement.query(params![range[0], range[1]])?;
            while let Some(row) = rows.next()? {
                let entry = Entry { event, id: row.get(0)?, message: row.get(1)?, hash, salt: None };
                if !known.contains(&entry.id) {
                    return Ok(Some(Fault::new(&entry, "added")));
                }
            }
        }
        Ok(None)
    }
}
