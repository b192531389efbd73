//! What authors were told of their mail, so that they are told once a day. A row goes with the
//! message that it tells of: see [`super::retention`].

use super::parties::role_number;
use super::{Change, Result};
use crate::types::{PairId, Role, Time};
use rusqlite::params;
use std::time::Duration;

/// Times may be so far ahead.
const HOUR: Duration = Duration::from_secs(3600);

impl Change<'_> {
    /// Whether the author of one side has yet to be told of this since `since`; then he is told
    /// `now`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn tells(&self, pair: PairId, author: Role, reason: &str, since: Time, now: Time) -> Result<bool> {
        // A clock that was ahead keeps nobody from being told. An hour of that does: sessions in
        // parallel come here in another order than their mail came in.
        let sql = "INSERT INTO told (pair, author, reason, at) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (pair, author, reason) DO UPDATE SET at = ?4 WHERE at < ?5 OR at > ?6";
        let values = params![pair.0, role_number(author), reason, now.0, since.0, now.plus(HOUR).0];
        Ok(self.0.0.prepare_cached(sql)?.execute(values)? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history_tests::{T0, asked, chain};
    use crate::store::tests::{NOW, open, pair};
    use crate::store::{Old, Open};
    use crate::types::MessageId;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn authors_are_told_once_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        let tells = |author, now: Time| {
            let day = Time(now.0 - now.0 % 86_400_000);
            store.write_blocking(move |c| c.tells(pair.id, author, "a reason", day, now)).unwrap()
        };
        assert!(tells(Role::Buyer, NOW) && tells(Role::Seller, NOW));
        assert!(!tells(Role::Buyer, NOW.plus(MINUTE)));
        assert!(!tells(Role::Buyer, NOW.minus(MINUTE)), "mail that came before is judged later");
        assert!(tells(Role::Buyer, NOW.plus(DAY)) && !tells(Role::Buyer, NOW.plus(DAY + MINUTE)));
        assert!(tells(Role::Buyer, NOW.minus(DAY * 300)), "the clock was ahead");
    }

    #[test]
    fn what_was_told_goes_with_its_message() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        let day = |n: u32| T0.plus(DAY * n);
        // Each message is told of, by its own reason; the last two by one.
        let reasons = ["a", "b", "c", "c"];
        for (n, reason) in (0..).zip(reasons) {
            let new = asked(n, &pair, day(u32::try_from(n).unwrap()));
            let told = move |c: &Change<'_>| {
                c.insert_message(&new)?;
                c.tells(new.pair.unwrap(), Role::Seller, reason, new.received, new.received)
            };
            assert!(store.write_blocking(told).unwrap());
        }
        chain(&store);
        let left = |store: &crate::store::Store| {
            store.read(|v| {
                Ok(v.0.query_row("SELECT group_concat(reason) FROM told", [], |row| row.get::<_, Option<String>>(0))?)
            })
        };
        for (days, want) in [(1, "b,c"), (2, "c"), (3, "c"), (4, "")] {
            let old = Old { to: MessageId(i64::MAX), before: day(days), now: Time(i64::MAX), days: T0 };
            store.write_blocking(move |c| c.purge(old, 100)).unwrap();
            assert_eq!(left(&store).unwrap().unwrap_or_default(), want, "{days}");
        }
    }
}
