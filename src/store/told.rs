//! What authors were told of their mail, so that they are told once a day.

use super::parties::role_number;
use super::{Change, Result};
use crate::types::{PairId, Role, Time};
use rusqlite::params;

impl Change<'_> {
    /// Whether the author of one side has yet to be told of this since `since`; then he is told `now`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn tells(&self, pair: PairId, author: Role, reason: &str, since: Time, now: Time) -> Result<bool> {
        // A clock that was ahead keeps nobody from being told.
        let sql = "INSERT INTO told (pair, author, reason, at) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (pair, author, reason) DO UPDATE SET at = ?4 WHERE at < ?5 OR at > ?4";
        let values = params![pair.0, role_number(author), reason, now.0, since.0];
        Ok(self.0.0.prepare_cached(sql)?.execute(values)? > 0)
    }
}
