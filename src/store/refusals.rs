//! Refused mail of strangers: its sums, whom it named, and what those were told of it.

use super::parties::{role_number, role_of};
use super::{Change, Result, View};
use crate::types::{Address, MessageId, PairId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, params};

/// Where in `meta` it stands up to which message, and which sum, the refused mail was gone through.
const READ: &str = "refusals-read";

/// Refused messages of a minute that have no rows of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summed {
    /// The minute's first moment.
    pub minute: Time,
    /// The client network by a keyed hash; 0: several.
    pub client: u32,
    /// The pair whose alias they were sent to; 0: several.
    pub pair: PairId,
    /// The side that they say has written them.
    pub author: Role,
    /// Why, by the history's word.
    pub reason: &'static str,
    /// How many.
    pub number: u64,
}

/// The same as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SummedRow {
    /// The minute's first moment, RFC 3339.
    pub minute: String,
    /// A word that stands for the client network; none: several.
    pub client: Option<String>,
    /// Marketplace.
    pub marketplace: Option<String>,
    /// Buyer, by the platform's id; none: several.
    pub buyer: Option<String>,
    /// Seller, by the platform's id; none: several.
    pub seller: Option<String>,
    /// The side that they say has written them.
    pub author: &'static str,
    /// Why.
    pub reason: String,
    /// How many.
    pub number: i64,
}

/// Refused messages that name one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The pair.
    pub pair: PairId,
    /// The side that they say has written them.
    pub author: Role,
    /// Why, by the history's word.
    pub reason: String,
    /// How many.
    pub number: u64,
    /// When the first and the last of them came.
    pub first: Time,
    /// The last.
    pub last: Time,
    /// The newest that has a row.
    pub message: Option<MessageId>,
}

/// How far refused mail was gone through: messages, and sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last message.
    pub message: MessageId,
    /// Row id of the last sum.
    pub sum: i64,
}

/// What a party was told of mail in its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When last; none: never.
    pub at: Option<Time>,
    /// Notices since there was a month without.
    pub run: u32,
    /// It wants none.
    pub quiet: bool,
}

impl View<'_> {
    /// Sums of refused mail, newest first; of this marketplace and these parties, if they are
    /// given. A sum over several pairs is of no marketplace.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn refusals(
        &self,
        marketplace: Option<&str>,
        (buyer, seller): (Option<PartyId>, Option<PartyId>),
        limit: usize,
    ) -> Result<Vec<SummedRow>> {
        let sql = "SELECT r.minute, r.client, m.name, b.external, s.external, r.author, r.reason, r.number \
                   FROM refusal r LEFT JOIN pair p ON p.id = r.pair LEFT JOIN party b ON b.id = p.buyer \
                   LEFT JOIN party s ON s.id = p.seller LEFT JOIN marketplace m ON m.id = b.marketplace \
                   WHERE (?1 IS NULL OR p.buyer = ?1) AND (?2 IS NULL OR p.seller = ?2) AND (?3 IS NULL OR m.name = ?3) \
                   ORDER BY r.id DESC LIMIT ?4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql)?;
        let values = params![buyer.map(|b| b.0), seller.map(|s| s.0), marketplace, limit];
        let rows = statement.query_map(values, |row| {
            let client: u32 = row.get(1)?;
            Ok(SummedRow {
                minute: Time(row.get(0)?).rfc3339(),
                client: (client > 0).then(|| format!("{client:08x}")),
                marketplace: row.get(2)?,
                buyer: row.get(3)?,
                seller: row.get(4)?,
                author: role_of(row.get(5)?).as_str(),
                reason: row.get(6)?,
                number: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How far refused mail was gone through; none: nobody has begun.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn refusals_read(&self) -> Result<Option<Progress>> {
        let value = self.meta(READ)?;
        let halves = value.as_deref().and_then(|value| Some((value.first_chunk::<8>()?, value.last_chunk::<8>()?)));
        let number = |bytes: &[u8; 8]| i64::from_be_bytes(*bytes);
        Ok(halves.map(|(message, sum)| Progress { message: MessageId(number(message)), sum: number(sum) }))
    }

    /// The next step of going through refused mail: up to `limit` messages, the last of them not
    /// above `to`, and as many sums; those of `reasons` come back, with where it ends. Its cost
    /// depends on `limit`, not on how much there is.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn refused_after(
        &self,
        after: Progress,
        to: MessageId,
        reasons: &[&str],
        limit: usize,
    ) -> Result<(Vec<Refused>, Progress)> {
        let (mut found, mut end) = (Vec::new(), after);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql =
            "SELECT id, pair, author, reason, received FROM message WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([after.message.0, to.0, limit])?;
        while let Some(row) = rows.next()? {
            end.message = MessageId(row.get(0)?);
            let (pair, reason): (Option<i64>, String) = (row.get(1)?, row.get(3)?);
            if let Some(pair) = pair.filter(|_| reasons.contains(&reason.as_str())) {
                let (author, at) = (role_of(row.get(2)?), Time(row.get(4)?));
                let (first, last, message) = (at, at, Some(end.message));
                found.push(Refused { pair: PairId(pair), author, reason, number: 1, first, last, message });
            }
        }
        let sql = "SELECT id, pair, author, reason, minute, number FROM refusal WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([after.sum, limit])?;
        while let Some(row) = rows.next()? {
            end.sum = row.get(0)?;
            let (pair, reason): (i64, String) = (row.get(1)?, row.get(3)?);
            if pair != 0 && reasons.contains(&reason.as_str()) {
                let (author, at) = (role_of(row.get(2)?), Time(row.get(4)?));
                let number = u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
                let (first, last, message) = (at, at, None);
                found.push(Refused { pair: PairId(pair), author, reason, number, first, last, message });
            }
        }
        Ok((found, end))
    }

    /// What a party was told, and whether it wants to be.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn told_of_refusals(&self, party: PartyId) -> Result<Told> {
        let sql = "SELECT told, run, quiet FROM refusal_notice WHERE party = ?1";
        let told = self.0.prepare_cached(sql)?.query_row([party.0], |row| {
            Ok(Told { at: row.get::<_, Option<i64>>(0)?.map(Time), run: row.get(1)?, quiet: row.get(2)? })
        });
        Ok(told.optional()?.unwrap_or_default())
    }

    /// Parties of a marketplace that have something to be told, from after `after`, in the order of
    /// their ids.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn named_in_refused(&self, marketplace: &str, after: PartyId, limit: usize) -> Result<Vec<PartyId>> {
        let sql = "SELECT DISTINCT r.party FROM refused r WHERE r.party > ?1 AND EXISTS (SELECT 1 FROM party p \
                   JOIN marketplace m ON m.id = p.marketplace WHERE p.id = r.party AND m.name = ?2) ORDER BY r.party LIMIT ?3";
        // From the few that are named on: a join may begin with all parties of the marketplace.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![after.0, marketplace, limit], |row| Ok(PartyId(row.get(0)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What there is to tell a party, the most of it first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn refused_in_name_of(&self, party: PartyId) -> Result<Vec<Refused>> {
        let sql = "SELECT r.pair, p.role, r.reason, r.number, r.first, r.last, r.message FROM refused r \
                   JOIN party p ON p.id = r.party WHERE r.party = ?1 ORDER BY r.number DESC, r.pair, r.reason";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([party.0], |row| {
            Ok(Refused {
                pair: PairId(row.get(0)?),
                author: role_of(row.get(1)?),
                reason: row.get(2)?,
                number: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                first: Time(row.get(4)?),
                last: Time(row.get(5)?),
                message: row.get::<_, Option<i64>>(6)?.map(MessageId),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Up to which moment the parties of a marketplace were told.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn refusals_told(&self, marketplace: &str) -> Result<Option<Time>> {
        let value = self.meta(&told_key(marketplace))?;
        Ok(value.as_deref().and_then(<[u8]>::first_chunk::<8>).map(|bytes| Time(i64::from_be_bytes(*bytes))))
    }

    /// Who sent a message that was refused, as nothing proves that its author did.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn sender_of(&self, id: MessageId) -> Result<Option<Address>> {
        let mut statement = self.0.prepare_cached("SELECT sent_by FROM message WHERE id = ?1")?;
        let found: Option<Option<String>> = statement.query_row([id.0], |row| row.get(0)).optional()?;
        Ok(found.flatten().and_then(|text| Address::parse(&text).ok()))
    }
}

fn told_key(marketplace: &str) -> String {
    format!("refusals-told {marketplace}")
}

impl Change<'_> {
    /// Writes sums of refused mail.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn add_refusals(&self, sums: &[Summed]) -> Result<()> {
        let sql = "INSERT INTO refusal (minute, client, pair, author, reason, number) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = self.0.0.prepare_cached(sql)?;
        for Summed { minute, client, pair, author, reason, number } in sums {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            insert.execute(params![minute.0, client, pair.0, role_number(*author), reason, number])?;
        }
        Ok(())
    }

    /// Adds what was found to what the parties that it names are to be told, and remembers where it
    /// ends. Nothing is gathered for who wants to hear nothing, or is gone.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn add_refused(&self, found: &[Refused], end: Progress) -> Result<()> {
        let sql = "INSERT INTO refused (party, pair, reason, number, first, last, message) \
                   SELECT a.id, p.id, ?3, ?4, ?5, ?6, ?7 FROM pair p JOIN party a ON a.id = iif(?2 = 0, p.buyer, p.seller) \
                   WHERE p.id = ?1 AND a.removed = 0 \
                   AND NOT EXISTS (SELECT 1 FROM refusal_notice n WHERE n.party = a.id AND n.quiet = 1) \
                   ON CONFLICT (party, pair, reason) DO UPDATE SET number = number + excluded.number, \
                   first = min(first, excluded.first), last = max(last, excluded.last), \
                   message = coalesce(excluded.message, message)";
        let mut insert = self.0.0.prepare_cached(sql)?;
        for Refused { pair, author, reason, number, first, last, message } in found {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            let message = message.map(|message| message.0);
            insert.execute(params![pair.0, role_number(*author), reason, number, first.0, last.0, message])?;
        }
        self.set_meta(READ, &[end.message.0, end.sum].map(i64::to_be_bytes).concat())
    }

    /// Remembers that a party was told at `at`, for the `run`th time, and forgets what it was told.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_told_of_refusals(&self, party: PartyId, at: Time, run: u32) -> Result<()> {
        let sql = "INSERT INTO refusal_notice (party, told, run) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (party) DO UPDATE SET told = excluded.told, run = excluded.run";
        self.0.0.prepare_cached(sql)?.execute(params![party.0, at.0, run])?;
        self.forget_refused(party)
    }

    /// Remembers up to which moment the parties of a marketplace were told.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_refusals_told(&self, marketplace: &str, to: Time) -> Result<()> {
        self.set_meta(&told_key(marketplace), &to.0.to_be_bytes())
    }

    /// Whether a party wants to hear nothing of mail in its name. Says whether that changed
    /// anything.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_quiet(&self, party: PartyId, quiet: bool) -> Result<bool> {
        let sql = "INSERT INTO refusal_notice (party, quiet) SELECT id, ?2 FROM party WHERE id = ?1 AND removed = 0 \
                   ON CONFLICT (party) DO UPDATE SET quiet = excluded.quiet WHERE quiet <> excluded.quiet";
        let changed = self.0.0.prepare_cached(sql)?.execute(params![party.0, quiet])? > 0;
        if quiet {
            self.forget_refused(party)?;
        }
        Ok(changed)
    }

    /// Forgets what there was to tell a party.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn forget_refused(&self, party: PartyId) -> Result<()> {
        self.0.0.prepare_cached("DELETE FROM refused WHERE party = ?1")?.execute([party.0])?;
        Ok(())
    }

    /// Up to `limit` sums of minutes before `before` go, the oldest first. The newest stays, so
    /// that its number is not given twice.
    pub(super) fn purge_refusals(&self, before: Time, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM refusal WHERE id IN (SELECT id FROM refusal ORDER BY id LIMIT ?2) AND minute < ?1 \
                   AND id < (SELECT max(id) FROM refusal)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.0.0.prepare_cached(sql)?.execute(params![before.0, limit])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Open;
    use crate::store::tests::{NOW, open, pair};
    use std::sync::atomic::Ordering;

    /// Who is named is found among those who are named, however many parties there are.
    #[test]
    fn the_named_are_found_among_the_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, seller, pair) = pair(&store);
        let write = move |c: &Change<'_>| {
            let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000) \
                       INSERT INTO party (marketplace, role, external, created) \
                       SELECT (SELECT id FROM marketplace), 0, 'many' || n, 0 FROM n";
            c.0.0.execute(sql, [])?;
            let message = Some(MessageId(1));
            let reason = "spf-failed".to_owned();
            let one =
                Refused { pair: pair.id, author: Role::Seller, reason, number: 1, first: NOW, last: NOW, message };
            c.add_refused(&[one], Progress { message: MessageId(1), sum: 0 })
        };
        store.write_blocking(write).unwrap();
        let look = |shop: &'static str| store.read(|v| v.named_in_refused(shop, PartyId(0), 500)).unwrap();
        let steps = store.count_steps();
        assert_eq!((look("jp"), look("other")), (vec![seller], vec![]));
        let steps = steps.load(Ordering::Relaxed);
        assert!(steps < 500, "{steps}");
    }
}
