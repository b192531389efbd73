//! Messages that have been here before, what sellers have sent in a day, and declared critical:
//! what the relay asks before it counts a message as a new one.
//!
//! A message is known by its author's Message-ID and by the values of the signatures that proved
//! its author. Both stand in `mid`, by pair: an ordinary message is looked up in one place, and
//! writes to one.

use super::parties::role_number;
use super::{Change, Result, View};
use crate::types::{MessageId, PairId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, params};

/// Whether a report that is proved says of the message `x` that it did not arrive. One that is not
/// proved says nothing: everybody who got the message can write it.
macro_rules! reported_lost {
    () => {
        "EXISTS (SELECT 1 FROM event e WHERE e.message = x.id AND e.what IN ('bounced', 'bounced-later') \
         AND e.detail LIKE 'proved by %')"
    };
}
pub(super) use reported_lost;

/// SHA-256 of a signature's value.
type Signature = [u8; 32];

/// Messages with one Message-ID that are looked at, the newest ones: their bodies are read.
const NAMESAKES: usize = 4;

/// Which earlier messages of the same author in the same pair may be the same one. Two looks that
/// find the same find equal values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The newest that had its Message-ID.
    pub named: Option<MessageId>,
    /// The newest that had one of its signatures.
    pub signed: Option<MessageId>,
}

/// An earlier message, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub id: MessageId,
    /// `relay`, `block`, `reject`, `defer`.
    pub verdict: String,
    /// Why.
    pub reason: String,
}

impl Earlier {
    /// Whether it went to the other party.
    #[must_use]
    pub fn relayed(&self) -> bool {
        self.verdict == "relay"
    }
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
    /// What may be the same message as one that has this Message-ID and these signatures. What has
    /// neither costs nothing.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn before(
        &self,
        (pair, author): (PairId, Role),
        original: Option<&str>,
        signatures: &[Signature],
    ) -> Result<Before> {
        let named = original.map(|id| self.message_by_original(pair, author, id)).transpose()?.flatten();
        let mut signed = None;
        for signature in signatures {
            let sql = "SELECT message FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3";
            let key = [pair.0, signer_number(author), short(signature)];
            let found = self.0.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?.map(MessageId);
            if let Some(found) = found
                && self.earlier(found)?.is_some()
            {
                signed = signed.max(Some(found));
            }
        }
        Ok(Before { named, signed })
    }

    /// A message, unless it was relayed and somebody has learnt that it did not arrive.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn earlier(&self, id: MessageId) -> Result<Option<Earlier>> {
        let sql = concat!(
            "SELECT verdict, reason FROM message x WHERE id = ?1 AND fate <> 'failed' AND NOT ",
            reported_lost!()
        );
        let found = self
            .0
            .prepare_cached(sql)?
            .query_row([id.0], |row| Ok(Earlier { id, verdict: row.get(0)?, reason: row.get(1)? }));
        Ok(found.optional()?)
    }

    /// Messages since `since` with this Message-ID and subject and no more octets than `most`,
    /// newest first, the newest of all with this id being `named`.
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
    ) -> Result<Vec<Earlier>> {
        let first = MessageId::after(MessageId(0), since, 0);
        // Almost always: the id was used once.
        if named < first {
            return Ok(Vec::new());
        }
        let sql = "SELECT id FROM message WHERE pair = ?1 AND id >= ?2 AND author = ?3 AND original = ?4 AND subject = ?5 \
                   AND received >= ?6 AND size <= ?7 AND fate <> 'failed' ORDER BY id DESC LIMIT ?8";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(sql)?;
        let values = params![pair.0, first.0, role_number(author), original, subject, since.0, most, NAMESAKES as i64];
        let rows = statement.query_map(values, |row| row.get(0).map(MessageId))?;
        let mut found = Vec::new();
        for id in rows {
            found.extend(self.earlier(id?)?);
        }
        Ok(found)
    }

    /// Messages that a seller has sent in the day that began at `day`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn quota_used(&self, seller: PartyId, day: Time) -> Result<u64> {
        let mut statement = self.0.prepare_cached("SELECT used FROM quota WHERE seller = ?1 AND day = ?2")?;
        let used: Option<i64> = statement.query_row([seller.0, day.0], |row| row.get(0)).optional()?;
        Ok(used.and_then(|used| u64::try_from(used).ok()).unwrap_or(0))
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

    /// The sellers of a marketplace that sent critical messages in days that began at `since` or
    /// later, those with the greatest share first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn critical_senders(&self, marketplace: &str, since: Time) -> Result<Vec<CriticalOf>> {
        let sql = "SELECT p.external, sum(c.used) AS used, sum(c.over), \
                   (SELECT sum(q.used) FROM quota q WHERE q.seller = c.seller AND q.day >= ?2) AS messages \
                   FROM critical c JOIN party p ON p.id = c.seller JOIN marketplace m ON m.id = p.marketplace \
                   WHERE m.name = ?1 AND c.day >= ?2 \
                   GROUP BY c.seller, p.external ORDER BY p.external";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![marketplace, since.0], |row| {
            Ok(CriticalOf {
                seller: row.get(0)?,
                critical: number(row.get(1)?),
                over_limit: number(row.get(2)?),
                messages: number(row.get::<_, Option<i64>>(3)?.unwrap_or(0)),
            })
        })?;
        let mut found = rows.collect::<rusqlite::Result<Vec<CriticalOf>>>()?;
        let cross = |one: &CriticalOf, other: &CriticalOf| u128::from(one.critical) * u128::from(other.messages.max(1));
        found.sort_by(|a, b| cross(b, a).cmp(&cross(a, b)).then(b.critical.cmp(&a.critical)));
        Ok(found)
    }
}

impl Change<'_> {
    /// Keeps the values of the signatures that proved a message's author. One used before goes to
    /// the newer message.
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

    /// A message came again. A number, not a row: nobody fills the store by sending the same
    /// message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn came_again(&self, id: MessageId, at: Time) -> Result<()> {
        let sql = "UPDATE message SET repeats = repeats + 1, repeated_at = ?2 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute([id.0, at.0])?;
        Ok(())
    }

    /// Counts one message of a seller in the day that began at `day`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn count_quota(&self, seller: PartyId, day: Time) -> Result<()> {
        let sql = "INSERT INTO quota (seller, day, used) VALUES (?1, ?2, 1) \
                   ON CONFLICT (seller, day) DO UPDATE SET used = used + 1";
        self.0.0.prepare_cached(sql)?.execute([seller.0, day.0])?;
        Ok(())
    }

    /// Counts a message that a seller declared critical in the day that began at `day`, and says
    /// what the day has come to. `over`: it was blocked for that.
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

#[cfg(test)]
mod tests {
    use crate::store::tests::{NOW, message, open, pair};
    use crate::store::{Change, NewMessage, Old, Open};
    use crate::types::{MessageId, Role, Time};
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_message_is_found_by_what_it_is_known_by() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, _, pair) = pair(&store);
        let of = pair.clone();
        let id = |n: u64| MessageId::after(MessageId(0), NOW.plus(DAY * u32::try_from(n).unwrap()), 0);
        let write = move |c: &Change<'_>| {
            for n in 0..8_u64 {
                let raw = format!("Subject: s\r\n\r\n{n}\r\n");
                let body = Some(c.insert_body(&crate::store::Body::pack(raw.as_bytes()))?);
                let new = message(id(n).0, &of, Role::Seller, "same@x", body);
                let received = NOW.plus(DAY * u32::try_from(n).unwrap());
                let verdict = if n == 6 { "block" } else { "relay" };
                let fate = if n == 5 { "failed" } else { "delivered" };
                c.insert_message(&NewMessage { received, verdict, fate, ..new })?;
                if verdict == "relay" {
                    c.keep_signatures(id(n), (of.id, Role::Seller), &[[u8::try_from(n).unwrap(); 32], [9; 32]])?;
                }
            }
            c.record(id(7), NOW, "bounced-later", "not proved, 5.1.1")?;
            c.record(id(4), NOW, "bounced-later", "proved by its server, 5.1.1")
        };
        store.write_blocking(write).unwrap();
        let seller = (pair.id, Role::Seller);
        let before = |side, original: &str, signatures: &[u8]| {
            let signatures: Vec<[u8; 32]> = signatures.iter().map(|n| [*n; 32]).collect();
            let found = store.read(|v| v.before(side, Some(original).filter(|o| !o.is_empty()), &signatures));
            let found = found.unwrap();
            (found.named, found.signed)
        };
        assert_eq!(before(seller, "same@x", &[1, 2]), (Some(id(7)), Some(id(2))), "the newest");
        assert_eq!(before(seller, "", &[0]), (None, Some(id(0))), "however long ago");
        assert_eq!(before(seller, "", &[5, 4, 3]), (None, Some(id(3))), "what did not arrive does not count");
        assert_eq!(before(seller, "other@x", &[9, 8]), (None, Some(id(7))), "nobody proved that it did not arrive");
        assert_eq!(before((pair.id, Role::Buyer), "same@x", &[1]), (None, None), "the other side's");

        let named = |original: &str, subject: &str, most: usize, since: Time| {
            let found = store.read(|v| v.namesakes(seller, id(7), (original, subject), most, since));
            found.unwrap()
        };
        let found = named("same@x", "s", 100, NOW);
        assert_eq!(
            found.iter().map(|e| e.id).collect::<Vec<_>>(),
            [7, 6, 3].map(id),
            "the newest four, but for those undelivered"
        );
        assert_eq!(found.iter().map(super::Earlier::relayed).collect::<Vec<_>>(), [true, false, true]);
        assert!(named("same@x", "t", 100, NOW).is_empty() && named("same@x", "s", 9, NOW).is_empty());
        assert!(named("same@x", "s", 100, NOW.plus(DAY * 8)).is_empty());

        // Retention takes the signatures with their messages.
        let rows =
            || store.read(|v| Ok(v.0.query_row("SELECT count(*) FROM mid", [], |row| row.get::<_, i64>(0))?)).unwrap();
        assert_eq!(rows(), 9, "one id, a signature each, and one of all");
        while let Some(block) =
            store.read(|v| v.next_block(v.last_message()?, &mut crate::types::SystemRandom)).unwrap()
        {
            assert!(store.write_blocking(move |c| c.append_block(&block)).unwrap());
        }
        let old = Old { to: MessageId(i64::MAX), before: NOW.plus(DAY * 7), now: Time(i64::MAX), days: NOW };
        store.write_blocking(move |c| c.purge(old, 100)).unwrap();
        assert_eq!(rows(), 3, "those of the newest message");
        assert_eq!(before(seller, "same@x", &[7]), (Some(id(7)), Some(id(7))));
    }

    #[test]
    fn critical_messages_are_counted_by_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, seller, _) = pair(&store);
        let count = |day: Time, over: bool| {
            let counted = store.write_blocking(move |c| {
                c.count_quota(seller, day)?;
                c.count_critical(seller, day, over)
            });
            let counted = counted.unwrap();
            (counted.used, counted.over, counted.told)
        };
        assert_eq!(
            [count(NOW, false), count(NOW, false), count(NOW, true)],
            [(1, 0, false), (2, 0, false), (2, 1, false)]
        );
        assert_eq!(count(NOW.plus(DAY), true), (0, 1, false));
        store
            .write_blocking(move |c| c.told_of_critical(seller, NOW).and_then(|()| c.count_quota(seller, NOW)))
            .unwrap();
        assert_eq!(count(NOW, false), (3, 1, true));
        let listed = |since: Time| {
            let rows = store.read(|v| v.critical_senders("jp", since)).unwrap();
            rows.iter().map(|row| (row.seller.clone(), row.critical, row.over_limit, row.messages)).collect::<Vec<_>>()
        };
        assert_eq!(listed(NOW), [("s1".to_owned(), 3, 2, 6)]);
        assert_eq!(listed(NOW.plus(DAY)), [("s1".to_owned(), 0, 1, 1)]);
        assert!(listed(NOW.plus(DAY * 2)).is_empty());
        let old = Old { to: MessageId(0), before: NOW, now: NOW, days: NOW.plus(DAY) };
        let gone = store.write_blocking(move |c| c.purge(old, 100)).unwrap();
        assert_eq!((gone.quota, listed(NOW)), (2, vec![("s1".to_owned(), 0, 1, 1)]));
    }
}
