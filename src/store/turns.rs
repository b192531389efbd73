//! What went from one side of a pair to the other lately: answers of machines, counted, and who
//! wrote when.

use super::parties::{role_number, role_of};
use super::{Result, View};
use crate::policy::automatic::{A_DAY, Answers};
use crate::policy::turns::{MOST, Turn, WITHIN};
use crate::types::{MessageId, PairId, Role, Time};
use rusqlite::params;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl View<'_> {
    /// Answers of machines of `author` in `pair` that were relayed in the last hour and the last 24
    /// hours, ten at most.
    ///
    /// What the clock says is yet to come does not count, or a clock that was set back would hold
    /// up a pair for as long as it was wrong; an hour of that does, for sessions in parallel.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn answers(&self, pair: PairId, author: Role, now: Time) -> Result<Answers> {
        // With the words of the index, which is small.
        let sql = "SELECT received FROM message WHERE pair = ?1 AND author = ?2 AND automatic = 1 AND verdict = 'relay' \
                   AND received > ?3 AND received < ?4 ORDER BY received DESC LIMIT ?5";
        let mut statement = self.0.prepare_cached(sql)?;
        let most = i64::try_from(A_DAY).unwrap_or(i64::MAX);
        let values = params![pair.0, role_number(author), now.minus(DAY).0, now.plus(HOUR).0, most];
        let times = statement.query_map(values, |row| row.get(0).map(Time))?;
        let times = times.collect::<rusqlite::Result<Vec<Time>>>()?;
        let hour = times.iter().filter(|time| **time > now.minus(HOUR)).count();
        Ok(Answers { hour: hour as u64, day: times.len() as u64 })
    }

    /// What was relayed in `pair` within the hour, the newest first, where the newest is the other
    /// side's: whoever wrote last himself takes no turn. Almost all mail ends at that one row.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn turns(&self, pair: PairId, author: Role, now: Time) -> Result<Vec<Turn>> {
        let since = now.minus(WITHIN);
        let sql = "SELECT id, author, thread, size FROM message WHERE pair = ?1 AND id >= ?2 AND received > ?3 \
                   AND verdict = 'relay' ORDER BY id DESC LIMIT ?4";
        let first = MessageId::after(MessageId(0), since, 0);
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![pair.0, first.0, since.0, MOST as i64])?;
        let mut turns: Vec<Turn> = Vec::new();
        while let Some(row) = rows.next()? {
            let size = usize::try_from(row.get::<_, i64>(3)?).unwrap_or(usize::MAX);
            let (id, thread) = (MessageId(row.get(0)?), MessageId(row.get(2)?));
            let turn = Turn { id, author: role_of(row.get(1)?), thread, size };
            if turns.is_empty() && turn.author == author {
                break;
            }
            turns.push(turn);
        }
        Ok(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{NOW, message, open, pair};
    use crate::store::{Change, NewMessage, Open};

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn answers_are_counted_by_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        // minutes ago, author, an answer, verdict
        let table = [
            (25 * 60, Role::Buyer, true, "relay"),
            (24 * 60, Role::Buyer, true, "relay"),
            (23 * 60, Role::Buyer, true, "relay"),
            (61, Role::Buyer, true, "relay"),
            (60, Role::Buyer, true, "relay"),
            (59, Role::Buyer, true, "relay"),
            (30, Role::Buyer, false, "relay"),
            (20, Role::Buyer, true, "block"),
            (10, Role::Seller, true, "relay"),
            (1, Role::Buyer, true, "relay"),
        ];
        let of = pair.clone();
        let write = move |c: &Change<'_>| {
            for (n, (ago, author, automatic, verdict)) in table.iter().enumerate() {
                let received = NOW.minus(MINUTE * *ago);
                let id = MessageId::after(MessageId(0), received, 0).0;
                let new = message(id, &of, *author, &format!("{n}@x"), None);
                c.insert_message(&NewMessage { received, automatic: *automatic, verdict, ..new })?;
            }
            // As a clock that was years ahead left them.
            for n in 0..20 {
                let received = NOW.plus(DAY * (300 + n));
                let id = MessageId::after(MessageId(0), received, 0).0;
                let new = message(id, &of, Role::Buyer, &format!("later{n}@x"), None);
                c.insert_message(&NewMessage { received, automatic: true, ..new })?;
            }
            Ok(())
        };
        store.write_blocking(write).unwrap();
        let count = |author, now| store.read(|v| v.answers(pair.id, author, now)).unwrap();
        assert_eq!(count(Role::Buyer, NOW), Answers { hour: 2, day: 5 });
        assert_eq!(count(Role::Seller, NOW), Answers { hour: 1, day: 1 });
        assert_eq!(count(Role::Buyer, NOW.plus(DAY * 2)), Answers::default());
        let plan = store.read(|v| {
            let sql = "EXPLAIN QUERY PLAN SELECT received FROM message WHERE pair = 1 AND author = 0 AND automatic = 1 \
                       AND verdict = 'relay' AND received > 0 AND received < 9 ORDER BY received DESC LIMIT 10";
            Ok(v.0.query_row(sql, [], |row| row.get::<_, String>(3))?)
        });
        assert!(plan.unwrap().contains("message_answers"));
    }

    #[test]
    fn turns_within_the_hour() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        let of = pair.clone();
        let write = move |c: &Change<'_>| {
            for ago in (0..80_u32).rev() {
                let received = NOW.minus(MINUTE * ago);
                let id = MessageId::after(MessageId(0), received, 0).0;
                let author = if ago % 2 == 0 { Role::Buyer } else { Role::Seller };
                let verdict = if ago == 3 { "block" } else { "relay" };
                let new = message(id, &of, author, &format!("{ago}@x"), None);
                c.insert_message(&NewMessage { received, verdict, ..new })?;
            }
            Ok(())
        };
        store.write_blocking(write).unwrap();
        let turns = |author, now| store.read(|v| v.turns(pair.id, author, now)).unwrap();
        assert!(turns(Role::Buyer, NOW).is_empty(), "he wrote last himself");
        let found = turns(Role::Seller, NOW);
        assert_eq!((found.len(), found[0].author, found[3].author), (MOST, Role::Buyer, Role::Buyer));
        assert_eq!(turns(Role::Seller, NOW.plus(MINUTE * 50)).len(), 9, "an hour old, and blocked");
        assert!(turns(Role::Seller, NOW.plus(MINUTE * 60)).is_empty());
    }
}
