//! What has grown old goes: messages with their bodies, words, events, reports and ids, what their
//! authors were told, the blocks of the chain that held them, and counts of days. In small steps
//! from the oldest on, so that nobody waits for it; the space goes back to the file system in small
//! steps, too.
//!
//! # When a message is old
//! A clock can be wrong by decades, and history that is gone does not come back. So two have to agree:
//!
//! - **The relay has been there for `keep_days` since the message came.** It looks at the clock every hour and adds up what passed between two looks. Less than nothing, or
//!   more than a week, is a clock that was set, or a long stop, and adds nothing. Once in a day of that sum it notes which message is the newest.
//! - **The message looks as old by the clock**, or was received after now, which only a wrong clock says.
//!
//! So a clock that jumps years ahead makes nothing old, a clock in 1970 neither, and under either one messages still go when their days are over. A market without mail is purged
//! like any other. What it costs: a message goes up to a day late, and later by each stop of more than a week. A store that has never been looked at keeps all that it has for
//! `keep_days` from then on.

use super::chain::Position;
use super::messages::hash;
use super::{Change, Result, View};
use crate::types::{MessageId, Time};
use rusqlite::{OptionalExtension as _, params};
use std::time::Duration;

/// Where in `meta` it stands what retention has taken away.
const ANCHOR: &str = "chain-anchor";
const PURGED: &str = "purged-to";
/// Where in `meta` it stands how long the relay has been there, and what the clock said at the last look.
const WITNESSED: &str = "witnessed";
/// More than this between two looks at the clock is not believed.
const BELIEVED: Duration = Duration::from_secs(7 * 86_400);
/// A note of the newest message is made this far from the one before.
const NOTED: Duration = Duration::from_secs(86_400);
/// Blocks, and rows of the quota, for each message of a step's limit.
const QUOTA: usize = 10;
/// Free pages that are kept for what comes next: so many of a hundred.
const SPARE: i64 = 20;

/// What may go: see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    /// The newest message that has been there for long enough.
    pub(super) to: MessageId,
    /// What was received before this moment, and what the clock says is yet to come.
    pub(super) before: Time,
    pub(super) now: Time,
    /// Days of the quota before this moment.
    pub(super) days: Time,
}

/// A message that goes.
struct Going {
    id: i64,
    pair: Option<i64>,
    author: i64,
    body: Option<i64>,
    original: Option<String>,
    received: Time,
    signatures: Option<Vec<u8>>,
}

/// What one step of retention came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages that are gone.
    pub messages: usize,
    /// Blocks of the chain of which nothing was left.
    pub blocks: usize,
    /// Days of sellers whose quota and critical messages are not asked for any more.
    pub quota: usize,
    /// Sums of refused mail.
    pub refusals: usize,
    /// Events of no message.
    pub events: usize,
}

impl Purged {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl View<'_> {
    /// The end of the last block that retention has taken away.
    pub(super) fn anchor(&self) -> Result<Position> {
        let value = self.meta(ANCHOR)?;
        let number = |bytes: &[u8]| bytes.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
        let anchor = value.as_deref().and_then(|value| {
            let (numbers, hash) = (value.get(..24)?, value.get(24..)?.first_chunk::<32>()?);
            let mut numbers = numbers.chunks(8).filter_map(number);
            Some(Position { seq: numbers.next()?, message: numbers.next()?, event: numbers.next()?, hash: *hash })
        });
        Ok(anchor.unwrap_or(Position::START))
    }

    /// Retention has taken messages below this one.
    pub(super) fn purged_to(&self) -> Result<MessageId> {
        let value = self.meta(PURGED)?;
        let number = value.as_deref().and_then(<[u8]>::first_chunk::<8>).map(|bytes| i64::from_be_bytes(*bytes));
        Ok(MessageId(number.unwrap_or(0)))
    }

    /// For how long the relay has been there, in milliseconds, and what the clock said at the last look.
    fn witnessed(&self) -> Result<Option<(i64, Time)>> {
        let value = self.meta(WITNESSED)?;
        let halves = value.as_deref().and_then(|value| Some((value.first_chunk::<8>()?, value.last_chunk::<8>()?)));
        Ok(halves.map(|(span, clock)| (i64::from_be_bytes(*span), Time(i64::from_be_bytes(*clock)))))
    }

    /// What may go where messages are kept for `keep`; `None`: nothing has been there for so long.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn old(&self, keep: Duration, now: Time) -> Result<Option<Old>> {
        let Some((span, _)) = self.witnessed()? else { return Ok(None) };
        let sql = "SELECT message, clock FROM witness WHERE span <= ?1 ORDER BY span DESC LIMIT 1";
        let before = now.minus(keep);
        let old = self.0.prepare_cached(sql)?.query_row([Time(span).minus(keep).0], |row| {
            Ok(Old { to: MessageId(row.get(0)?), before, now, days: before.min(Time(row.get(1)?)) })
        });
        Ok(old.optional()?)
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut statement = self.0.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }
}

impl Change<'_> {
    pub(super) fn set_meta(&self, key: &str, value: &[u8]) -> Result<()> {
        self.0
            .0
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])?;
        Ok(())
    }

    /// A look at the clock, and a note of the newest message if the last one is a day old.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn witness(&self, now: Time) -> Result<()> {
        let span = self.witnessed()?.map_or(0, |(span, clock)| {
            let passed = now.0.saturating_sub(clock.0);
            let believed = (0..=Time(0).plus(BELIEVED).0).contains(&passed);
            if believed { span.saturating_add(passed) } else { span }
        });
        self.set_meta(WITNESSED, &[span, now.0].map(i64::to_be_bytes).concat())?;
        let noted: Option<i64> = self.0.0.query_row("SELECT max(span) FROM witness", [], |row| row.get(0))?;
        if noted.is_none_or(|noted| Time(span) >= Time(noted).plus(NOTED)) {
            let sql = "INSERT OR REPLACE INTO witness (span, clock, message) VALUES (?1, ?2, ?3)";
            self.0.0.prepare_cached(sql)?.execute([span, now.0, self.last_message()?.0])?;
        }
        Ok(())
    }

    /// One step: up to `limit` messages that are old go with all that belongs to them, but for those that still have to go out and those that are not in the chain
    /// yet. Its cost depends on `limit` and on their size, not on how much there is.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn purge(&self, old: Old, limit: usize) -> Result<Purged> {
        let to = old.to.min(self.chained_to()?).0;
        let mut rows: Vec<Going> = {
            let sql = "SELECT id, pair, author, body, original, received, signatures FROM message \
                       WHERE id <= ?1 AND fate <> 'queued' ORDER BY id LIMIT ?2";
            let mut statement = self.0.0.prepare_cached(sql)?;
            let rows = statement.query_map([to, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                let (id, pair, author) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let (body, original, received) = (row.get(3)?, row.get(4)?, Time(row.get(5)?));
                Ok(Going { id, pair, author, body, original, received, signatures: row.get(6)? })
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let young = rows.iter().position(|row| row.received >= old.before && row.received <= old.now);
        // The first that is too young by the clock holds up those behind it: to look past it would take longer with each step.
        rows.truncate(young.unwrap_or(rows.len()));
        for Going { id, pair, author, body, original, received, signatures } in &rows {
            // The newest event stays, so that its number is not given twice.
            let events = "DELETE FROM event WHERE message = ?1 AND id < (SELECT max(id) FROM event)";
            self.0.0.prepare_cached(events)?.execute([id])?;
            if let (Some(pair), Some(original)) = (pair, original) {
                let sql = "DELETE FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3 AND message = ?4";
                self.0.0.prepare_cached(sql)?.execute([*pair, *author, hash(original), *id])?;
            }
            if let (Some(pair), Some(signatures)) = (pair, signatures) {
                self.drop_signatures(*id, *pair, *author, signatures)?;
            }
            self.0.0.prepare_cached("DELETE FROM report WHERE message = ?1")?.execute([id])?;
            // What its author was told of it, or of older ones; a younger message renews the row.
            let told = "DELETE FROM told WHERE pair = ?1 AND at <= ?2";
            self.0.0.prepare_cached(told)?.execute(params![pair, received.0])?;
            self.0.0.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id])?;
            self.forget_erasure(MessageId(*id))?;
            if let Some(body) = body {
                self.0.0.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id])?;
                let sql = "DELETE FROM body WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE body = ?1 AND shared = 1)";
                self.0.0.prepare_cached(sql)?.execute([body])?;
            }
        }
        if let Some(newest) = rows.last() {
            let purged = self.purged_to()?.0.max(newest.id.saturating_add(1));
            self.set_meta(PURGED, &purged.to_be_bytes())?;
        }
        let many = i64::try_from(limit.saturating_mul(QUOTA)).unwrap_or(i64::MAX);
        let mut quota = 0;
        for sql in [
            "DELETE FROM quota WHERE (seller, day) IN (SELECT seller, day FROM quota WHERE day < ?1 ORDER BY day LIMIT ?2)",
            "DELETE FROM critical WHERE (seller, day) IN (SELECT seller, day FROM critical WHERE day < ?1 ORDER BY day LIMIT ?2)",
        ] {
            quota += self.0.0.prepare_cached(sql)?.execute([old.days.0, many])?;
        }
        let refusals = self.purge_refusals(old.days, limit.saturating_mul(QUOTA))?;
        let events = self.purge_events(old.before, limit.saturating_mul(QUOTA))?;
        Ok(Purged { messages: rows.len(), blocks: self.purge_blocks(limit)?, quota, refusals, events })
    }

    /// Of the `limit` oldest events those go that are in the chain, from before `before`, and of no
    /// message: a notice to an owner whose refused mail is all in sums, or one that went out after
    /// its message was gone. The newest stays, so that its number is not given twice.
    fn purge_events(&self, before: Time, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id <= ?1 ORDER BY id LIMIT ?2) \
                   AND at < ?3 AND message < ?4 AND id < (SELECT max(id) FROM event) \
                   AND NOT EXISTS (SELECT 1 FROM message x WHERE x.id = event.message)";
        let (chained, purged) = (self.chain_position()?.event, self.purged_to()?);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.0.0.prepare_cached(sql)?.execute([chained, limit, before.0, purged.0])?)
    }

    /// Blocks of which no message is left go; the end of the last one becomes the anchor. The newest stays.
    fn purge_blocks(&self, limit: usize) -> Result<usize> {
        let oldest: Option<i64> = self.0.0.query_row("SELECT min(id) FROM message", [], |row| row.get(0))?;
        let bound = oldest.unwrap_or(i64::MAX).min(self.purged_to()?.0);
        // Read until the first that stays: a condition on it would have the whole chain looked through, in each step.
        let sql = "SELECT seq, last_message, last_event, coalesce(head, entries) FROM chain \
                   WHERE seq < (SELECT max(seq) FROM chain) ORDER BY seq LIMIT ?1";
        let mut blocks: Vec<Position> = Vec::new();
        let mut statement = self.0.0.prepare_cached(sql)?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let message: i64 = row.get(1)?;
            if message >= bound {
                break;
            }
            let hash = row.get::<_, Vec<u8>>(3)?.last_chunk::<32>().copied().unwrap_or([0; 32]);
            blocks.push(Position { seq: row.get(0)?, message, event: row.get(2)?, hash });
        }
        drop(rows);
        let Some(last) = blocks.last() else { return Ok(0) };
        let numbers = [last.seq, last.message, last.event].map(i64::to_be_bytes).concat();
        self.set_meta(ANCHOR, &[numbers.as_slice(), &last.hash].concat())?;
        self.0.0.prepare_cached("DELETE FROM chain WHERE seq <= ?1")?.execute([last.seq])?;
        Ok(blocks.len())
    }

    /// Gives up to `pages` free pages of the database back to the file system, as long as more are free than the next messages need. Says whether there may be more.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn shrink(&self, pages: u32) -> Result<bool> {
        let pragma = |name: &str| self.0.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (free, all) = (pragma("freelist_count")?, pragma("page_count")?);
        if free.saturating_mul(100) <= all.saturating_mul(SPARE) {
            return Ok(false);
        }
        // A step of the statement frees a page.
        let mut statement = self.0.0.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}
