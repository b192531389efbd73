//! The seller's response clock: which of the buyers' messages wait for an answer, how the others came to rest, and how quick a seller was.
//!
//! A message's clock starts when it is relayed to the seller, and stops once: at the first relayed
//! message of the seller in its thread that is no machine's answer, or when it is taken out. What
//! never reached the seller does not count, and an answer that never reached the buyer answers
//! nothing: then the clock runs again.

use super::seen::reported_lost;
use super::{Change, Result, View};
use crate::types::{MessageId, PairId, PartyId, Time};
use rusqlite::{OptionalExtension as _, params};
use std::time::Duration;

/// What the history calls it that a clock runs again.
const AGAIN: &str = "waits-again";

/// Messages of a pair before an undelivered answer that are looked at for what it answered.
const BEFORE: u32 = 1000;

/// Since when the clock of the message `x` runs.
macro_rules! since {
    () => {
        "ifnull((SELECT max(e.at) FROM event e WHERE e.message = x.id AND e.what = 'waits-again'), x.received)"
    };
}
pub(super) use since;

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
    /// Taken out: a report that is proved says that it never reached the seller.
    Undelivered,
}

impl Response {
    const ALL: [Self; 5] = [Self::Waiting, Self::Answered, Self::NotNeeded, Self::Reported, Self::Undelivered];

    /// The word used in the CLI and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::NotNeeded => "not-needed",
            Self::Reported => "reported",
            Self::Undelivered => "undelivered",
        }
    }

    /// As it stands in the column `needs_response`, where 0 is a message that never started a clock.
    fn number(self) -> i64 {
        match self {
            Self::Waiting => 1,
            Self::Answered => 2,
            Self::NotNeeded => 3,
            Self::Reported => 4,
            Self::Undelivered => 5,
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
        let sql = concat!(
            "SELECT x.needs_response, ",
            since!(),
            ", x.response_at FROM pair p JOIN message x ON x.pair = p.id AND x.id >= ?2 \
             WHERE p.seller = ?1 AND x.author = 0 AND x.needs_response > 0 AND x.received >= ?3 AND x.fate <> 'failed'"
        );
        let first = MessageId::after(MessageId(0), since, 0);
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![seller.0, first.0, since.0])?;
        let mut found = Statistics::default();
        let mut times: Vec<Duration> = Vec::new();
        while let Some(row) = rows.next()? {
            let (state, since) = (Response::of(row.get(0)?), Time(row.get(1)?));
            let ended: Option<i64> = row.get(2)?;
            let took = Time(ended.unwrap_or(now.0)).since(since);
            let place = match state {
                Some(Response::Waiting) if took <= deadline => &mut found.waiting,
                Some(Response::Waiting) => &mut found.unanswered,
                Some(Response::Answered) => {
                    times.push(took);
                    if took <= deadline { &mut found.in_time } else { &mut found.late }
                }
                Some(Response::NotNeeded) => &mut found.not_needed,
                Some(Response::Reported) => &mut found.reported,
                Some(Response::Undelivered) | None => continue,
            };
            *place += 1;
        }
        times.sort_unstable();
        found.median_seconds = times.get(times.len().saturating_sub(1) / 2).map(Duration::as_secs);
        Ok(found)
    }
}

impl View<'_> {
    /// The questions of a pair that wait for an answer since `since` or later: thread and subject
    /// of each, the newest first, so many at most.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn waiting(&self, pair: PairId, since: Time, most: u32) -> Result<Vec<(MessageId, String)>> {
        let sql = concat!(
            "SELECT thread, subject FROM message x WHERE pair = ?1 AND needs_response = 1 AND ",
            since!(),
            " >= ?2 ORDER BY id DESC LIMIT ?3"
        );
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

    /// Somebody has learnt, by a proof, that a relayed message did not reach its receiver.
    ///
    /// The clock of a buyer's question stops, if it still runs: nobody is held for what he never
    /// got, and who has answered did get it. What a seller's answer has answered waits again from
    /// `now` on, when he hears of it, unless another answer of his came behind it.
    ///
    /// Whom it hits: a seller whose customer's mailbox takes nothing more, and who answered in
    /// time. He has the whole deadline once more, and can say that no answer is needed. What it
    /// tells a liar: each side can stop or restart a clock by refusing what its own server has
    /// taken, and the other side is told, as by a refusal at once.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn undelivered(&self, message: MessageId, now: Time) -> Result<()> {
        let sql = "UPDATE message SET needs_response = ?2, response_at = ?3 WHERE id = ?1 AND needs_response = 1";
        self.0.0.prepare_cached(sql)?.execute(params![message.0, Response::Undelivered.number(), now.0])?;
        // A letter stops clocks at the moment at which it came.
        let sql = "SELECT q.id FROM message a JOIN \
                   (SELECT id, pair FROM message WHERE id < ?1 AND pair = (SELECT pair FROM message WHERE id = ?1) \
                    ORDER BY id DESC LIMIT ?2) near ON near.pair = a.pair JOIN message q ON q.id = near.id \
                   WHERE a.id = ?1 AND a.author = 1 AND a.automatic = 0 \
                   AND q.author = 0 AND q.needs_response = 2 AND q.response_at = a.received";
        let mut statement = self.0.0.prepare_cached(sql)?;
        let questions = statement.query_map(params![message.0, BEFORE], |row| row.get(0).map(MessageId))?;
        for question in questions.collect::<rusqlite::Result<Vec<_>>>()? {
            self.wait_again(question, message, now)?;
        }
        Ok(())
    }

    /// A question's answer did not arrive.
    fn wait_again(&self, question: MessageId, answer: MessageId, now: Time) -> Result<()> {
        let sql = concat!(
            "SELECT x.received FROM message q JOIN message a ON a.id = ?2 \
             JOIN message x ON x.pair = q.pair AND x.id > q.id AND x.thread = q.thread \
             WHERE q.id = ?1 AND x.author = 1 AND x.verdict = 'relay' AND x.automatic = 0 AND x.id <> a.id \
             AND x.received >= a.received AND x.fate <> 'failed' AND NOT ",
            reported_lost!(),
            " ORDER BY x.received LIMIT 1"
        );
        let other: Option<i64> =
            self.0.0.prepare_cached(sql)?.query_row([question.0, answer.0], |row| row.get(0)).optional()?;
        let state = if other.is_some() { Response::Answered } else { Response::Waiting };
        let sql = "UPDATE message SET needs_response = ?2, response_at = ?3 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute(params![question.0, state.number(), other])?;
        if other.is_none() {
            self.record(question, now, AGAIN, &format!("answer {answer} did not arrive"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history_tests::{T0, asked};
    use crate::store::tests::{open, pair};
    use crate::store::{Filter, NewMessage, Open};
    use crate::types::Role;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What happened in one pair, each an hour after the one before: `q` a question in a thread of
    /// its own, `a` an answer in the thread of the question with this number, `s` one in no thread
    /// (it stops all clocks), `m` a machine's, `x` what has this number is proved not to have
    /// arrived, `f` it failed. Then how each question stands, and for how many hours (by now, if it
    /// waits).
    #[test]
    fn what_did_not_arrive_neither_asks_nor_answers() {
        let table = [
            ("q0 a0", "answered 1"),
            ("q0 a0 x1", "waiting 0"),
            ("q0 a0 f1", "waiting 0"),
            ("q0 a0 x1 a0", "answered 1"),
            ("q0 a0 x1 a0 x3", "waiting 0"),
            ("q0 x0", "undelivered"),
            ("q0 f0", "undelivered"),
            // He answered it, so he had it.
            ("q0 a0 x0", "answered 1"),
            // Another answer stands behind it, or came before it.
            ("q0 a0 a0 x1", "answered 2"),
            ("q0 a0 a0 x2", "answered 1"),
            ("q0 a0 a0 x1 x2", "waiting 0"),
            ("q0 a0 m0 x1", "waiting 0"),
            // Its own thread's alone.
            ("q0 q1 a0 a1 x2", "waiting 0, answered 2"),
            ("q0 q1 a0 x2", "waiting 0, waiting 2"),
            // By its subject, or by the setting.
            ("q0 q1 s x2", "waiting 0, waiting 0"),
            ("q0 s q1 x1", "waiting 0, waiting 1"),
            // A machine's answer stops nothing, and starts nothing.
            ("q0 a0 m0 x2", "answered 1"),
        ];
        for (steps, want) in table {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path(), Open::Create).unwrap();
            let (_, seller, pair) = pair(&store);
            let mut written: Vec<(MessageId, Role)> = Vec::new();
            for (n, step) in (0..).zip(steps.split(' ')) {
                let at = T0.plus(HOUR * n);
                let number = step.get(1..).and_then(|number| number.parse::<usize>().ok());
                let new = asked(u64::from(n), &pair, at);
                let (id, of) = (new.id, pair.id);
                let thread = number.and_then(|number| written.get(number)).map_or(id, |(id, _)| *id);
                let letter = NewMessage { author: Role::Seller, needs_response: false, thread, ..new.clone() };
                let what = step.as_bytes()[0];
                let write = move |c: &Change<'_>| match what {
                    b'q' => c.insert_message(&new),
                    b'a' => c.insert_message(&letter).and_then(|()| c.answered(of, Some(thread), at)),
                    b's' => {
                        c.insert_message(&NewMessage { thread: id, ..letter }).and_then(|()| c.answered(of, None, at))
                    }
                    b'm' => c.insert_message(&NewMessage { automatic: true, ..letter }),
                    b'f' => c.set_fate(thread, "failed").and_then(|()| c.undelivered(thread, at)),
                    _ => c
                        .record(thread, at, "bounced-later", "proved by its server")
                        .and_then(|()| c.undelivered(thread, at)),
                };
                store.write_blocking(write).unwrap();
                written.push((id, if what == b'q' { Role::Buyer } else { Role::Seller }));
            }
            let now = T0.plus(HOUR * u32::try_from(written.len() - 1).unwrap());
            let questions = written.iter().filter(|(_, author)| *author == Role::Buyer).map(|(id, _)| *id);
            let stands = questions.map(|id| {
                let row = store.read(|v| v.message(id)).unwrap().unwrap();
                assert_eq!(row.needs_response, row.response == Some(Response::Waiting), "{steps}");
                assert_eq!(row.undelivered, row.response == Some(Response::Undelivered) || steps.contains("x0"));
                let response = row.response.unwrap();
                let end = row.response_at.and_then(|at| Time::from_rfc3339(&at)).unwrap_or(now);
                match response {
                    Response::Undelivered => response.as_str().to_owned(),
                    _ => format!("{} {}", response.as_str(), end.since(row.since).as_secs() / 3600),
                }
            });
            let stands: Vec<String> = stands.collect();
            assert_eq!(stands.join(", "), want, "{steps}");

            // The other views agree.
            let filter = Filter { needs_response: true, limit: 9, ..Filter::default() };
            let count = |what: &str| want.split(", ").filter(|one| one.starts_with(what)).count();
            assert_eq!(store.read(|v| v.messages(&filter)).unwrap().len(), count("waiting"), "{steps}");
            let found = store.read(|v| v.response_statistics(seller, T0, now, HOUR * 24)).unwrap();
            let counted = [found.waiting, found.in_time, found.late + found.unanswered + found.not_needed];
            let want = [count("waiting"), count("answered"), 0].map(|count| u64::try_from(count).unwrap());
            assert_eq!(counted, want, "{steps}");
            let waits = store.read(|v| v.waiting(pair.id, now, 9)).unwrap();
            assert_eq!(waits.len(), stands.iter().filter(|one| *one == "waiting 0").count(), "{steps}");
        }
    }
}
