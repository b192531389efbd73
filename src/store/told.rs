//! What authors were told of their mail, so that they are told once a day.

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
    use crate::store::Open;
    use crate::store::tests::{NOW, open, pair};

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
}
