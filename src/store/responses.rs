//! The seller's response clock: which of the buyers' messages wait for an answer, how the others came to rest, and how quick a seller was.
//!
//! A message's clock starts when it is relayed to the seller, and stops once: at the first relayed
//! message of the seller in its thread that is no machine's answer, or when it is taken out. What
//! never reached the seller does not count.

use super::{Change, Result, View};
use crate::types::{MessageId, PairId, PartyId, Time};
use rusqlite::params;
use std::time::Duration;

/// How a message stands to the response clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The clock runs.
    Waiting,
    /// The seller has answered.
    Answered,
    /// Taken out: it needs none.
    NotNeeded,
    /// Taken out: it was reported.
    Reported,
}

impl Response {
    const ALL: [Self; 4] = [Self::Waiting, Self::Answered, Self::NotNeeded, Self::Reported];

    /// The word used in the CLI and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::NotNeeded => "not-needed",
            Self::Reported => "reported",
        }
    }

    /// As it stands in the column `needs_response`, where 0 is a message that never started a clock.
    fn number(self) -> i64 {
        match self {
            Self::Waiting => 1,
            Self::Answered => 2,
            Self::NotNeeded => 3,
            Self::Reported => 4,
        }
    }

    pub(super) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|response| response.number() == number)
    }
}

/// How quick a seller was with the messages received in some days.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    /// Answered within the deadline.
    pub in_time: u64,
    /// Answered after it.
    pub late: u64,
    /// Not answered, and the deadline is over.
    pub unanswered: u64,
    /// Not answered, and there is still time.
    pub waiting: u64,
    /// Taken out as needing no response.
    pub not_needed: u64,
    /// Taken out by a report.
    pub reported: u64,
    /// Half of the answers took no longer, in seconds. `None` without answers.
    pub median_seconds: Option<u64>,
}

impl View<'_> {
    /// How quick a seller was with what came from `since` to `now`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn response_statistics(
        &self,
        seller: PartyId,
        since: Time,
        now: Time,
        deadline: Duration,
    ) -> Result<Statistics> {
        let sql = "SELECT x.needs_response, x.received, x.response_at FROM pair p \
                   JOIN message x ON x.pair = p.id AND x.id >= ?2 \
                   WHERE p.seller = ?1 AND x.author = 0 AND x.needs_response > 0 AND x.received >= ?3 AND x.fate <> 'failed'";
        let first = MessageId::after(MessageId(0), since, 0);
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![seller.0, first.0, since.0])?;
        let mut found = Statistics::default();
        let mut times: Vec<Duration> = Vec::new();
        while let Some(row) = rows.next()? {
            let (state, received) = (Response::of(row.get(0)?), Time(row.get(1)?));
            let ended: Option<i64> = row.get(2)?;
            let took = Time(ended.unwrap_or(now.0)).since(received);
            let place = match state {
                Some(Response::Waiting) if took <= deadline => &mut found.waiting,
                Some(Response::Waiting) => &mut found.unanswered,
                Some(Response::Answered) => {
                    times.push(took);
                    if took <= deadline { &mut found.in_time } else { &mut found.late }
                }
                Some(Response::NotNeeded) => &mut found.not_needed,
                Some(Response::Reported) => &mut found.reported,
                None => continue,
            };
            *place += 1;
        }
        times.sort_unstable();
        found.median_seconds = times.get(times.len().saturating_sub(1) / 2).map(Duration::as_secs);
        Ok(found)
    }
}

impl View<'_> {
    /// The questions of a pair that wait for an answer and came since `since`: thread and subject
    /// of each, the newest first, so many at most.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn waiting(&self, pair: PairId, since: Time, most: u32) -> Result<Vec<(MessageId, String)>> {
        let sql = "SELECT thread, subject FROM message WHERE pair = ?1 AND needs_response = 1 AND received >= ?2 \
                   ORDER BY id DESC LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows =
            statement.query_map(params![pair.0, since.0, most], |row| Ok((MessageId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Change<'_> {
    /// The seller has answered at `now`: the clocks of his pair's messages stop, those of one
    /// thread if it is given.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn answered(&self, pair: PairId, thread: Option<MessageId>, now: Time) -> Result<()> {
        // Most answers are not the first, and the update makes a table of its own before it looks.
        let which = "pair = ?1 AND needs_response = 1 AND (?2 IS NULL OR thread = ?2)";
        let waits = format!("SELECT 1 FROM message WHERE {which}");
        let thread = thread.map(|thread| thread.0);
        if self.0.0.prepare_cached(&waits)?.exists(params![pair.0, thread])? {
            let sql = format!("UPDATE message SET needs_response = 2, response_at = ?3 WHERE {which}");
            self.0.0.prepare_cached(&sql)?.execute(params![pair.0, thread, now.0])?;
        }
        Ok(())
    }

    /// Takes one message out of the response clock: `how` is [`Response::NotNeeded`] or [`Response::Reported`]. A report also takes out what was answered
    /// already; otherwise only a running clock stops. Says whether anything changed.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn close_response(&self, message: MessageId, how: Response, now: Time) -> Result<bool> {
        let sql = "UPDATE message SET needs_response = ?2, response_at = ?3 \
                   WHERE id = ?1 AND (needs_response = 1 OR needs_response > 0 AND needs_response <> 4 AND ?2 = 4)";
        Ok(self.0.0.prepare_cached(sql)?.execute(params![message.0, how.number(), now.0])? > 0)
    }
}
