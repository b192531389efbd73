//! What has grown old goes: messages with their bodies, words, events, reports and ids, the blocks of the chain that held them, and counts of the quota. In small steps from
//! the oldest on, so that nobody waits for it; the space goes back to the file system in small steps, too.

use super::chain::{Position, entries};
use super::messages::hash;
use super::{Change, Result, View};
use crate::types::{MessageId, Time};
use rusqlite::{OptionalExtension as _, params};

/// Where in `meta` it stands what retention has taken away.
const ANCHOR: &str = "chain-anchor";
const PURGED: &str = "purged-to";
/// Blocks, and rows of the quota, for each message of a step's limit.
const QUOTA: usize = 10;
/// Free pages that are kept for what comes next: so many of a hundred.
const SPARE: i64 = 20;

/// Id, pair, author, body and own Message-ID of a message that goes.
type Old = (i64, Option<i64>, i64, Option<i64>, Option<String>);

/// What one step of retention came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages that are gone.
    pub messages: usize,
    /// Blocks of the chain of which nothing was left.
    pub blocks: usize,
    /// Days of sellers whose quota is not asked for any more.
    pub quota: usize,
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

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut statement = self.0.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }
}

impl Change<'_> {
    fn set_meta(&self, key: &str, value: &[u8]) -> Result<()> {
        self.0
            .0
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])?;
        Ok(())
    }

    /// One step: up to `limit` messages received before `before` go with all that belongs to them, but for those that still have to go out and those that are not in the chain
    /// yet. Its cost depends on `limit` and on their size, not on how much there is.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn purge(&self, before: Time, limit: usize) -> Result<Purged> {
        let last = MessageId::after(MessageId(0), before, 0).0;
        let to = last.min(self.chained_to()?.0.saturating_add(1));
        let rows: Vec<Old> = {
            let sql = "SELECT id, pair, author, body, original FROM message WHERE id < ?1 AND fate <> 'queued' ORDER BY id LIMIT ?2";
            let mut statement = self.0.0.prepare_cached(sql)?;
            let rows = statement.query_map([to, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (id, pair, author, body, original) in &rows {
            // The newest event stays, so that its number is not given twice.
            let events = "DELETE FROM event WHERE message = ?1 AND id < (SELECT max(id) FROM event)";
            self.0.0.prepare_cached(events)?.execute([id])?;
            if let (Some(pair), Some(original)) = (pair, original) {
                let sql = "DELETE FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3 AND message = ?4";
                self.0.0.prepare_cached(sql)?.execute([*pair, *author, hash(original), *id])?;
            }
            self.0.0.prepare_cached("DELETE FROM report WHERE message = ?1")?.execute([id])?;
            self.0.0.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id])?;
            if let Some(body) = body {
                self.0.0.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id])?;
                let sql = "DELETE FROM body WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE body = ?1)";
                self.0.0.prepare_cached(sql)?.execute([body])?;
            }
        }
        if let Some((newest, ..)) = rows.last() {
            let purged = self.purged_to()?.0.max(newest.saturating_add(1));
            self.set_meta(PURGED, &purged.to_be_bytes())?;
        }
        let sql = "DELETE FROM quota WHERE (seller, day) IN (SELECT seller, day FROM quota WHERE day < ?1 ORDER BY day LIMIT ?2)";
        let many = i64::try_from(limit.saturating_mul(QUOTA)).unwrap_or(i64::MAX);
        let quota = self.0.0.prepare_cached(sql)?.execute([before.0, many])?;
        Ok(Purged { messages: rows.len(), blocks: self.purge_blocks(limit)?, quota })
    }

    /// Blocks of which no message is left go; the end of the last one becomes the anchor. The newest stays.
    fn purge_blocks(&self, limit: usize) -> Result<usize> {
        let oldest: Option<i64> = self.0.0.query_row("SELECT min(id) FROM message", [], |row| row.get(0))?;
        let bound = oldest.unwrap_or(i64::MAX).min(self.purged_to()?.0);
        // Read until the first that stays: a condition on it would have the whole chain looked through, in each step.
        let sql = "SELECT seq, last_message, last_event, entries FROM chain \
                   WHERE seq < (SELECT max(seq) FROM chain) ORDER BY seq LIMIT ?1";
        let mut blocks: Vec<Position> = Vec::new();
        let mut statement = self.0.0.prepare_cached(sql)?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let message: i64 = row.get(1)?;
            if message >= bound {
                break;
            }
            let list = entries(&row.get::<_, Vec<u8>>(3)?).unwrap_or_default();
            let hash = list.last().map_or([0; 32], |entry| entry.hash);
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
