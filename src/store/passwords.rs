//! What is kept of the passwords of sellers who log in.

use super::{Change, Result, StoreError, View};
use crate::types::credential::{Credential, ScramKeys};
use crate::types::{PartyId, Time};
use rusqlite::{OptionalExtension as _, params};

impl View<'_> {
    /// Who logs in as this seller, and by what; nothing if it has no password, is suspended or removed.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn login(&self, marketplace: &str, external: &str) -> Result<Option<(PartyId, Credential)>> {
        let sql = "SELECT w.party, w.phc, w.salt, w.iterations, w.stored_key, w.server_key FROM party p \
                   JOIN marketplace m ON m.id = p.marketplace JOIN password w ON w.party = p.id \
                   WHERE m.name = ?1 AND p.role = 1 AND p.external = ?2 AND p.removed = 0 AND p.suspended = 0";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row(params![marketplace, external], |row| {
            let scram = ScramKeys {
                salt: row.get(2)?,
                iterations: row.get(3)?,
                stored_key: row.get(4)?,
                server_key: row.get(5)?,
            };
            Ok((PartyId(row.get(0)?), Credential { phc: row.get(1)?, scram }))
        });
        Ok(found.optional()?)
    }

    /// Whether a party has a password.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn has_password(&self, party: PartyId) -> Result<bool> {
        let mut statement = self.0.prepare_cached("SELECT 1 FROM password WHERE party = ?1")?;
        Ok(statement.exists([party.0])?)
    }
}

impl Change<'_> {
    /// Sets a seller's password, or takes it away. Says whether it had one.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a party that was removed; the database's trouble.
    pub fn set_password(&self, party: PartyId, credential: Option<&Credential>, now: Time) -> Result<bool> {
        let sql = "DELETE FROM password WHERE party = ?1";
        let had = self.0.0.prepare_cached(sql)?.execute([party.0])? > 0;
        let Some(Credential { phc, scram }) = credential else { return Ok(had) };
        if self.party(party)?.removed {
            return Err(StoreError::Refused("this seller was removed; it cannot log in".to_owned()));
        }
        let sql = "INSERT INTO password (party, phc, salt, iterations, stored_key, server_key, made) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![party.0, phc, scram.salt, scram.iterations, scram.stored_key, scram.server_key, now.0];
        self.0.0.prepare_cached(sql)?.execute(values)?;
        Ok(had)
    }
}
