//! Erasure (GDPR article 17): what a person wrote and is known by goes, and the history still
//! proves the rest.
//!
//! # What goes, and what stays
//! - Messages: octets as received, subject, Message-ID, envelope sender and words in the index go.
//!   Verdict, reason, times, size, thread and fate stay: they are the relay's, and the other
//!   party's proof that it was written to.
//! - Name, language, addresses (former ones, too) and password go.
//! - What the person wrote into reports goes; that it reported stays.
//! - What waits to go out to it and from it, and notices to it, go out of the queue; nobody is
//!   told.
//! - Its name, addresses and quoted lines in what the other parties of its pairs wrote are replaced
//!   by `[erased]`, see [`crate::message::erased`]; the rest is theirs and stays.
//! - An opt-out stays as an HMAC of each address under the store's secret, so that it counts when
//!   the address comes back.
//! - Pairs and aliases stay without a person, so that no alias is ever given to somebody else.
//! - Orders and quota stay: the platform's ids and words, and numbers. So do events: they are our
//!   own words.
//!
//! Not found: what third parties wrote to others about the person, pictures, and files that are no
//! text. Backups are copies: what is in them goes with them, or is erased again after one was
//! restored (`history erasures` says what).
//!
//! # Steps
//! A party's erasure begins with a row in `erasure`: from then on nobody can write to the party or
//! as it, whoever judged a message before. It ends with the party's name and addresses, which every
//! step before needs. Each step is a transaction of bounded size and finds nothing to do where it
//! was done before, so that whoever asks again after a crash goes on where it was. `party` walks
//! over a party's pairs; `remains` takes what is left in the files.
//!
//! # The chain
//! The leaf of an erased message stays in the chain, its salt goes (see [`super::chain`]). Its
//! *tombstone* has the leaf of what stays of the message, and an event `erased` with the same leaf
//! is chained like every other event. So `history verify` tells an erasure from a change, and sees
//! a change after it. Who can write to the store can also erase: but not so that it looks like
//! nothing, or like other words.

mod belongings;
mod party;
mod remains;
#[cfg(test)]
mod tests;

pub use belongings::Belongings;
pub use party::ErasedParty;
pub use remains::Remains;

use super::chain::Record;
use super::messages::hash;
use super::parties::role_of;
use super::responses::Response;
use super::{Body, Change, Party, Result, View};
use crate::types::token::Secret;
use crate::types::{MessageId, PartyId, Random, Role, Time};
use data_encoding::HEXLOWER;
use rusqlite::{OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

/// Where in `meta` it stands how many messages were touched by erasures.
const ERASURES: &str = "erasures";

/// Who was erased, or which message; when, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Erasure {
    #[serde(skip)]
    pub(super) number: i64,
    /// When it began, RFC 3339.
    pub at: String,
    /// The operator who asked for it.
    pub by: String,
    /// Marketplace; none if it was a message that has none, or is gone.
    pub marketplace: Option<String>,
    /// The party's side, `buyer` or `seller`; none if it was one message.
    pub role: Option<&'static str>,
    /// The platform's id.
    pub id: Option<String>,
    /// The message, if it was one.
    pub message: Option<String>,
    /// False: it has begun, and something stopped it. Asked for again, it goes on.
    pub done: bool,
}

/// What is kept of a message of which something was erased.
#[derive(Clone, Debug)]
pub struct Tombstone {
    message: MessageId,
    /// By which erasure: the last, if there were several.
    pub erasure: Erasure,
    /// All that its author wrote is gone; otherwise only what was another's in it.
    pub whole: bool,
    salt: Vec<u8>,
    leaf: Vec<u8>,
}

impl Tombstone {
    /// Whether this is what stayed.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        record.leaf(&self.salt)[..] == self.leaf
    }
}

/// A message of another party that loses what was the erased one's in it.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) id: MessageId,
    /// The row of the body that was read, and the SHA-256 of what it held.
    pub(super) body: i64,
    pub(super) read: [u8; 32],
    pub(super) new: Body,
    pub(super) subject: String,
    pub(super) words: String,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedMessage {
    /// There was something to erase.
    pub erased: bool,
    /// Items that were taken out of the queue.
    pub cancelled: usize,
    /// Its octets stay, as so many other messages have the same: it went to several receivers.
    pub same: usize,
}

const ERASURE: &str = "SELECT e.id, e.at, e.operator, m.name, p.role, p.external, e.message, e.done IS NOT NULL FROM erasure e \
                       LEFT JOIN party p ON p.id = e.party LEFT JOIN message x ON x.id = e.message LEFT JOIN pair q ON q.id = x.pair \
                       LEFT JOIN party b ON b.id = q.buyer LEFT JOIN marketplace m ON m.id = ifnull(p.marketplace, b.marketplace)";

fn erasure_of(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        number: row.get(0)?,
        at: Time(row.get(1)?).rfc3339(),
        by: row.get(2)?,
        marketplace: row.get(3)?,
        role: row.get::<_, Option<i64>>(4)?.map(|role| role_of(role).as_str()),
        id: row.get(5)?,
        message: row.get::<_, Option<i64>>(6)?.map(|id| MessageId(id).to_string()),
        done: row.get(7)?,
    })
}

impl View<'_> {
    /// Why a party may not be erased now; none if it may. The one place where an open claim holds
    /// an erasure back (GDPR article 17 (3) (e)): there are no claims in this store yet, so nothing
    /// does.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn holds(&self, _party: PartyId) -> Result<Option<String>> {
        Ok(None)
    }

    /// The erasure of a party, if it has begun.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn erasure_of_party(&self, party: PartyId) -> Result<Option<Erasure>> {
        let mut statement = self.0.prepare_cached(&format!("{ERASURE} WHERE e.party = ?1"))?;
        Ok(statement.query_row([party.0], erasure_of).optional()?)
    }

    /// Erasures behind the one of this number, oldest first, with the number to go on from.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn erasures_after(&self, after: i64, limit: usize) -> Result<Vec<(i64, Erasure)>> {
        let mut statement = self.0.prepare_cached(&format!("{ERASURE} WHERE e.id > ?1 ORDER BY e.id LIMIT ?2"))?;
        let rows = statement.query_map([after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let erasure = erasure_of(row)?;
            Ok((erasure.number, erasure))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What is kept of a message of which something was erased.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn tombstone(&self, message: MessageId) -> Result<Option<Tombstone>> {
        let sql = "SELECT erasure, whole, salt, leaf FROM tombstone WHERE message = ?1";
        let found = self
            .0
            .prepare_cached(sql)?
            .query_row([message.0], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        let Some((number, whole, salt, leaf)) = found.optional()? else { return Ok(None) };
        let mut statement = self.0.prepare_cached(&format!("{ERASURE} WHERE e.id = ?1"))?;
        let erasure = statement.query_row([number], erasure_of).optional()?;
        Ok(erasure.map(|erasure| Tombstone { message, erasure, whole, salt, leaf }))
    }

    /// Whether the history of its message tells of a tombstone.
    pub(super) fn tells_of(&self, tombstone: &Tombstone) -> Result<bool> {
        let leaf = leaf_word(&tombstone.leaf);
        let events = self.events(tombstone.message)?;
        Ok(events.iter().any(|event| event.what == "erased" && event.detail.ends_with(&leaf)))
    }

    /// A number that grows with every message that an erasure touches.
    pub(super) fn erasures(&self) -> Result<i64> {
        let value = self.meta(ERASURES)?;
        Ok(value.as_deref().and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| i64::from_be_bytes(*bytes)))
    }
}

/// A side's number in the store, and the column of a pair that has it.
fn sides(role: Role) -> (i64, &'static str) {
    match role {
        Role::Buyer => (0, "buyer"),
        Role::Seller => (1, "seller"),
    }
}

fn leaf_word(leaf: &[u8]) -> String {
    format!("leaf={}", HEXLOWER.encode(leaf))
}

impl Change<'_> {
    /// Begins the erasure of a party, or finds the one that has begun. From here on its aliases
    /// answer as those of a removed party do; the opt-out of a buyer is kept as a hash of each of
    /// his addresses.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn begin_erasure(&self, party: &Party, by: &str, now: Time) -> Result<Erasure> {
        self.overwrite()?;
        let sql = "INSERT INTO erasure (party, at, operator) VALUES (?1, ?2, ?3) ON CONFLICT (party) DO NOTHING";
        self.0.0.prepare_cached(sql)?.execute(params![party.id.0, now.0, by])?;
        for key in party.known.iter().filter(|_| party.role == Role::Buyer) {
            let sum = self.opt_out_sum(&party.marketplace, key.expose())?;
            // Who has opted in since wants what he said last to count.
            let sql = if party.opted_out {
                "INSERT INTO opt_out (sum, at) VALUES (?1, ?2) ON CONFLICT (sum) DO NOTHING"
            } else {
                "DELETE FROM opt_out WHERE sum = ?1 AND ?2 = ?2"
            };
            self.0.0.prepare_cached(sql)?.execute(params![sum, now.0])?;
        }
        self.remove_party(party.id)?;
        self.erasure_of_party(party.id)?.ok_or(super::StoreError::NotFound("erasure"))
    }

    /// The last step of a party's erasure: what it was known by.
    pub(super) fn end_erasure(&self, erasure: &Erasure, party: PartyId, now: Time) -> Result<()> {
        self.overwrite()?;
        self.0.0.prepare_cached("DELETE FROM party_address WHERE party = ?1")?.execute([party.0])?;
        for sql in [
            "DELETE FROM refused WHERE party = ?1",
            "DELETE FROM refusal_notice WHERE party = ?1",
            "DELETE FROM told WHERE pair IN (SELECT id FROM pair WHERE buyer = ?1 OR seller = ?1)",
        ] {
            self.0.0.prepare_cached(sql)?.execute([party.0])?;
        }
        let sql = "UPDATE party SET name = '', language = '' WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute([party.0])?;
        let sql = "UPDATE erasure SET done = ?2 WHERE id = ?1 AND done IS NULL";
        self.0.0.prepare_cached(sql)?.execute([erasure.number, now.0])?;
        Ok(())
    }

    /// Erases one message, whoever wrote it, with what waits of it. What was erased before is left
    /// as it is.
    ///
    /// # Errors
    /// [`super::StoreError::NotFound`] and the database's trouble.
    pub fn erase_one(&self, id: MessageId, by: &str, now: Time, random: &mut dyn Random) -> Result<ErasedMessage> {
        self.overwrite()?;
        if self.tombstone(id)?.is_some_and(|tombstone| tombstone.whole) {
            return Ok(ErasedMessage::default());
        }
        let sql = "INSERT INTO erasure (message, at, operator, done) VALUES (?1, ?2, ?3, ?2) ON CONFLICT (message) DO NOTHING";
        self.0.0.prepare_cached(sql)?.execute(params![id.0, now.0, by])?;
        let mut statement = self.0.0.prepare_cached(&format!("{ERASURE} WHERE e.message = ?1"))?;
        let erasure = statement.query_row([id.0], erasure_of)?;
        self.erase_message(&erasure, id, now, random)
    }

    /// Takes from a message what its author wrote.
    pub(super) fn erase_message(
        &self,
        erasure: &Erasure,
        id: MessageId,
        now: Time,
        random: &mut dyn Random,
    ) -> Result<ErasedMessage> {
        if self.tombstone(id)?.is_some_and(|tombstone| tombstone.whole) {
            return Ok(ErasedMessage::default());
        }
        let mut cancelled = 0;
        for item in self.queue_of(id)? {
            cancelled += usize::from(self.cancel(item.id, now)?);
            self.forget_destination(&item.domain)?;
        }
        self.close_response(id, Response::NotNeeded, now)?;
        let sql = "SELECT pair, author, original, signatures, body, shared FROM message WHERE id = ?1";
        let read = |row: &Row<'_>| {
            let (pair, author, original): (Option<i64>, i64, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let signatures: Option<Vec<u8>> = row.get(3)?;
            Ok(((pair, author, original, signatures), row.get::<_, Option<i64>>(4)?, row.get::<_, bool>(5)?))
        };
        let found = self.0.0.prepare_cached(sql)?.query_row([id.0], read).optional()?;
        let Some(((pair, author, original, signatures), body, shared)) = found else {
            return Err(super::StoreError::NotFound("message"));
        };
        if let (Some(pair), Some(signatures)) = (pair, signatures) {
            self.drop_signatures(id.0, pair, author, &signatures)?;
        }
        if let (Some(pair), Some(original)) = (pair, original) {
            let sql = "DELETE FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3 AND message = ?4";
            self.0.0.prepare_cached(sql)?.execute([pair, author, hash(&original), id.0])?;
        }
        let sql = "UPDATE message SET body = NULL, subject = '', original = NULL, signatures = NULL, sent_by = NULL \
                   WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute([id.0])?;
        let mut same = 0;
        if let Some(body) = body {
            self.0.0.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id.0])?;
            same = if shared { self.with_body(body)?.len() } else { 0 };
            if same == 0 {
                self.0.0.prepare_cached("DELETE FROM body WHERE id = ?1")?.execute([body])?;
            }
        }
        self.bury(erasure, id, true, now, random)?;
        Ok(ErasedMessage { erased: true, cancelled, same })
    }

    /// Forgets who sent a refused message: it may be the erased one himself, in the other's name.
    pub(super) fn forget_sender(&self, id: MessageId) -> Result<()> {
        self.0.0.prepare_cached("UPDATE message SET sent_by = NULL WHERE id = ?1")?.execute([id.0])?;
        Ok(())
    }

    /// Puts what is left of another party's message in its place, and in that of each message with
    /// the same octets. `false`: it is gone meanwhile.
    pub(super) fn change_message(
        &self,
        erasure: &Erasure,
        changed: &Changed,
        now: Time,
        random: &mut dyn Random,
    ) -> Result<bool> {
        let sql = "SELECT shared FROM message WHERE id = ?1 AND body = ?2";
        let values = [changed.id.0, changed.body];
        let shared = self.0.0.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
        let (Some(shared), Some(raw)) = (shared, self.raw(changed.id)?) else { return Ok(false) };
        if Sha256::digest(&raw)[..] != changed.read {
            // The erasure of its author, or of another receiver, runs at the same time.
            return Err(super::StoreError::Busy);
        }
        self.replace_body(changed.body, &changed.new)?;
        let ids = if shared { self.with_body(changed.body)? } else { vec![changed.id] };
        let chained = self.chained_to()?;
        for id in ids {
            let sql = "UPDATE message SET subject = ?2 WHERE id = ?1";
            self.0.0.prepare_cached(sql)?.execute(params![id.0, changed.subject])?;
            if id <= chained {
                self.0.0.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([id.0])?;
                let sql = "INSERT INTO search (rowid, words) VALUES (?1, ?2)";
                self.0.0.prepare_cached(sql)?.execute(params![id.0, changed.words])?;
            }
            self.bury(erasure, id, false, now, random)?;
        }
        Ok(true)
    }

    /// Writes the tombstone of a message that has just lost something, and tells its history.
    fn bury(&self, erasure: &Erasure, id: MessageId, whole: bool, now: Time, random: &mut dyn Random) -> Result<()> {
        self.forget_salt(id)?;
        let Some(read) = self.message_record(id.0)? else { return Err(super::StoreError::NotFound("message")) };
        let mut salt = [0_u8; super::chain::SALT];
        random.fill(&mut salt);
        let leaf = read.record.leaf(&salt);
        let sql = "INSERT INTO tombstone (message, erasure, whole, salt, leaf) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (message) \
                   DO UPDATE SET erasure = excluded.erasure, whole = excluded.whole, salt = excluded.salt, leaf = excluded.leaf";
        self.0.0.prepare_cached(sql)?.execute(params![id.0, erasure.number, whole, salt, leaf])?;
        let what = if whole { "all" } else { "in part" };
        self.record(id, now, "erased", &format!("{what}, by {} {}", erasure.by, leaf_word(&leaf)))?;
        let number = self.erasures()?.saturating_add(1);
        self.set_meta(ERASURES, &number.to_be_bytes())
    }

    /// Retention has taken a message: nothing has to be proved of it any more.
    pub(super) fn forget_erasure(&self, message: MessageId) -> Result<()> {
        self.0.0.prepare_cached("DELETE FROM tombstone WHERE message = ?1")?.execute([message.0])?;
        self.0.0.prepare_cached("DELETE FROM erasure WHERE message = ?1")?.execute([message.0])?;
        Ok(())
    }

    /// Whether this buyer, who is new, has opted out under one of these addresses and was erased
    /// since.
    pub(super) fn opted_out_before(&self, marketplace: &str, keys: impl Iterator<Item = String>) -> Result<bool> {
        let mut statement = self.0.0.prepare_cached("SELECT 1 FROM opt_out WHERE sum = ?1")?;
        for key in keys {
            if statement.exists([self.opt_out_sum(marketplace, &key)?])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn opt_out_sum(&self, marketplace: &str, key: &str) -> Result<[u8; 32]> {
        let secret = self.meta("secret")?.as_deref().and_then(Secret::from_bytes);
        let secret = secret.ok_or_else(|| super::StoreError::Corrupt("its secret is gone".to_owned()))?;
        Ok(secret.sum("opt-out", &[marketplace, key]))
    }

    /// From here on this connection overwrites what it deletes.
    fn overwrite(&self) -> Result<()> {
        self.0.0.pragma_update_and_check(None, "secure_delete", true, |row| row.get::<_, i64>(0))?;
        Ok(())
    }

    /// A destination that nothing waits for is forgotten: it may be a person's own domain.
    fn forget_destination(&self, domain: &str) -> Result<()> {
        let sql = "DELETE FROM destination WHERE domain = ?1 \
                   AND NOT EXISTS (SELECT 1 FROM queue WHERE leased = 0 AND domain = ?1)";
        self.0.0.prepare_cached(sql)?.execute([domain])?;
        Ok(())
    }

    fn with_body(&self, body: i64) -> Result<Vec<MessageId>> {
        let mut statement =
            self.0.0.prepare_cached("SELECT id FROM message WHERE body = ?1 AND shared = 1 ORDER BY id")?;
        let ids = statement.query_map([body], |row| row.get(0).map(MessageId))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }
}
