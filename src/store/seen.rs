//! Messages that have been here before, and what sellers declare critical: what the relay asks before it counts a message as a new one.
//!
//! A message is known by its author's Message-ID and by the values of the signatures that proved its author. Both stand in `mid`, by pair: an ordinary message is looked up in
//! one place, and writes to one.

use super::parties::role_number;
use super::{Change, Result, View};
use crate::types::{MessageId, PairId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, params};

/// SHA-256 of a signature's value.
type Signature = [u8; 32];

/// Messages with one Message-ID that are looked at, the newest ones: their bodies are read.
const NAMESAKES: usize = 4;

/// Earlier messages of the same author in the same pair that may be the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The newest that had its Message-ID.
    pub named: Option<MessageId>,
    /// The newest that went out with one of its signatures.
    pub signed: Option<MessageId>,
}

/// What a seller sent to opted-out buyers in a day by declaring it critical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Critical {
    /// Let through.
    pub used: u64,
    /// Blocked, being over the limit.
    pub over: u64,
    /// The operator was warned of the share.
    pub told: bool,
}

/// A seller's critical messages in some days.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CriticalOf {
    /// By the platform's id.
    pub seller: String,
    /// Let through to opted-out buyers by a tag.
    pub critical: u64,
    /// Blocked, being over the limit of a day.
    pub over_limit: u64,
    /// Everything that counted against the quota, these included.
    pub messages: u64,
}

impl View<'_> {
    /// What may be the same message as one that has this Message-ID and these signatures. What has neither costs nothing.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn before(
        &self,
        (pair, author): (PairId, Role),
        original: Option<&str>,
        signatures: &[Signature],
        since: Time,
    ) -> Result<Before> {
        let named = original.map(|id| self.message_by_original(pair, author, id)).transpose()?.flatten();
        let mut signed = None;
        for signature in signatures {
            let sql = "SELECT message FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3";
            let key = [pair.0, signer_number(author), short(signature)];
            let found = self.0.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?.map(MessageId);
            if let Some(found) = found
                && self.went_out(found, since)?
            {
                signed = signed.max(Some(found));
            }
        }
        Ok(Before { named, signed })
    }

    /// Whether a message received at `since` or later was relayed, and nobody has learnt that it did not
    /// arrive. A report of that counts if it is proved: everybody who got the message can write one.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn went_out(&self, id: MessageId, since: Time) -> Result<bool> {
        let sql = "SELECT 1 FROM message x WHERE id = ?1 AND received >= ?2 AND verdict = 'relay' AND fate <> 'failed' \
                   AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message = x.id AND e.what IN ('bounced', 'bounced-later') \
                   AND e.detail LIKE 'proved by %')";
        Ok(self.0.prepare_cached(sql)?.exists([id.0, since.0])?)
    }

    /// Messages that went out since `since` with this Message-ID and subject and no more octets than `most`, newest first, the newest of all with this id being `named`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn namesakes(
        &self,
        (pair, author): (PairId, Role),
        named: MessageId,
        (original, subject): (&str, &str),
        most: usize,
        since: Time,
    ) -> Result<Vec<MessageId>> {
        let first = MessageId::after(MessageId(0), since, 0);
        // Almost always: the id was used once.
        if named < first {
            return Ok(Vec::new());
        }
        let sql = "SELECT id FROM message WHERE pair = ?1 AND id >= ?2 AND author = ?3 AND original = ?4 AND subject = ?5 \
                   AND received >= ?6 AND size <= ?7 AND verdict = 'relay' ORDER BY id DESC LIMIT ?8";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql)?;
        let values = params![pair.0, first.0, role_number(author), original, subject, since.0, most, NAMESAKES as i64];
        let rows = statement.query_map(values, |row| row.get(0).map(MessageId))?;
        let mut found = Vec::new();
        for id in rows {
            let id = id?;
            if self.went_out(id, since)? {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// What a seller has declared critical in the day that began at `day`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn critical(&self, seller: PartyId, day: Time) -> Result<Critical> {
        let sql = "SELECT used, over, told FROM critical WHERE seller = ?1 AND day = ?2";
        let found = self.0.prepare_cached(sql)?.query_row([seller.0, day.0], |row| {
            Ok(Critical { used: number(row.get(0)?), over: number(row.get(1)?), told: row.get(2)? })
        });
        Ok(found.optional()?.unwrap_or_default())
    }

    /// The sellers of a marketplace that sent critical messages in days that began at `since` or later, those with the greatest share first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn critical_senders(&self, marketplace: &str, since: Time) -> Result<Vec<CriticalOf>> {
        let sql = "SELECT p.external, sum(c.used) AS used, sum(c.over), \
                   (SELECT ifnull(sum(q.used), 0) FROM quota q WHERE q.seller = c.seller AND q.day >= ?2) AS messages \
                   FROM critical c JOIN party p ON p.id = c.seller JOIN marketplace m ON m.id = p.marketplace \
                   WHERE m.name = ?1 AND c.day >= ?2 \
                   GROUP BY c.seller ORDER BY CAST(used AS REAL) / max(messages, 1) DESC, used DESC, p.external";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![marketplace, since.0], |row| {
            Ok(CriticalOf {
                seller: row.get(0)?,
                critical: number(row.get(1)?),
                over_limit: number(row.get(2)?),
                messages: number(row.get(3)?),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Change<'_> {
    /// Keeps the values of the signatures that proved a message's author. One used before goes to the newer message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn keep_signatures(
        &self,
        id: MessageId,
        (pair, author): (PairId, Role),
        signatures: &[Signature],
    ) -> Result<()> {
        if signatures.is_empty() {
            return Ok(());
        }
        for signature in signatures {
            let sql = "INSERT OR REPLACE INTO mid (pair, author, hash, message) VALUES (?1, ?2, ?3, ?4)";
            let row = [pair.0, signer_number(author), short(signature), id.0];
            self.0.0.prepare_cached(sql)?.execute(row)?;
        }
        let kept: Vec<u8> = signatures.iter().flat_map(|signature| short(signature).to_be_bytes()).collect();
        let sql = "UPDATE message SET signatures = ?2 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute(params![id.0, kept])?;
        Ok(())
    }

    /// Takes away what [`keep_signatures`](Self::keep_signatures) wrote for a message into the map.
    pub(super) fn drop_signatures(&self, id: i64, pair: i64, author: i64, kept: &[u8]) -> Result<()> {
        for value in kept.chunks_exact(8).filter_map(<[u8]>::first_chunk::<8>) {
            let sql = "DELETE FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3 AND message = ?4";
            let row = [pair, author + SIGNERS, i64::from_be_bytes(*value), id];
            self.0.0.prepare_cached(sql)?.execute(row)?;
        }
        Ok(())
    }

    /// A message came again. A number, not a row: nobody fills the store by sending the same message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn came_again(&self, id: MessageId, at: Time) -> Result<()> {
        let sql = "UPDATE message SET repeats = repeats + 1, repeated_at = ?2 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute([id.0, at.0])?;
        Ok(())
    }

    /// Counts a message that a seller declared critical in the day that began at `day`, and says what the day has come to. `over`: it was blocked for that.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn count_critical(&self, seller: PartyId, day: Time, over: bool) -> Result<Critical> {
        let sql = "INSERT INTO critical (seller, day, used, over) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (seller, day) DO UPDATE SET used = used + ?3, over = over + ?4";
        self.0.0.prepare_cached(sql)?.execute(params![seller.0, day.0, !over, over])?;
        self.critical(seller, day)
    }

    /// The operator is warned of a seller's share of critical messages: once a day.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn told_of_critical(&self, seller: PartyId, day: Time) -> Result<()> {
        let sql = "UPDATE critical SET told = 1 WHERE seller = ?1 AND day = ?2";
        self.0.0.prepare_cached(sql)?.execute([seller.0, day.0])?;
        Ok(())
    }
}

/// The author's number in `mid` where the hash is of a signature: see the schema.
const SIGNERS: i64 = 2;

fn signer_number(author: Role) -> i64 {
    role_number(author) + SIGNERS
}

/// As much of it as the map keeps: 64 bits, as of a Message-ID.
fn short(signature: &Signature) -> i64 {
    signature.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
