//! The walk over what a party has here. For each pair twice: what the other party wrote loses what
//! is the erased one's in it, for which the erased one's messages have to be there still; then
//! those go.

use super::{Belongings, Changed, Erasure, sides};
use crate::message::erased::{Conversation, Person};
use crate::message::scrub::Replacement;
use crate::message::search::words;
use crate::store::queue::ItemId;
use crate::store::{Body, Change, Pair, Party, Result, Store, StoreError, View};
use crate::types::{Address, MessageId, PairId, PartyId, Random, Role, Time};
use rusqlite::params;
use sha2::{Digest as _, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows that are read at once, and messages, items or reports of one transaction.
const STEP: usize = 50;
/// Octets of changed messages that wait for their transaction.
const OCTETS: usize = 1 << 20;

/// What the erasure of a party came to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ErasedParty {
    /// Which it was.
    pub erasure: Erasure,
    /// What the party had here before: nothing of its own, where it was erased already.
    pub before: Belongings,
    /// Messages that are erased now and were not before.
    pub messages: u64,
    /// Messages of others in which something of the party was replaced.
    pub changed: u64,
    /// Messages of others that could not be read: what was the party's in them may be there still.
    pub unreadable: u64,
    /// Items that were taken out of the queue.
    pub cancelled: u64,
    /// It had been erased before: nothing more was there.
    pub before_already: bool,
}

/// A message of a pair, as the walk needs it.
struct Row {
    id: MessageId,
    author: Role,
    body: Option<i64>,
    subject: String,
    /// It is known who sent it: see [`View::sender_of`].
    sent_by: bool,
}

impl View<'_> {
    /// Pairs of a party behind `after`, in their order: some of them.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn pairs_of_party(&self, party: &Party, after: PairId) -> Result<Vec<PairId>> {
        let place = sides(party.role).1;
        let sql = format!("SELECT id FROM pair WHERE {place} = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        let mut statement = self.0.prepare_cached(&sql)?;
        let ids = statement.query_map([party.id.0, after.0, STEP as i64], |row| row.get(0).map(PairId))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    fn messages_of_pair(&self, pair: PairId, after: MessageId) -> Result<Vec<Row>> {
        let sql = "SELECT id, author, body, subject, sent_by IS NOT NULL FROM message \
                   WHERE pair = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([pair.0, after.0, STEP as i64], |row| {
            let author = super::role_of(row.get(1)?);
            let (id, sent_by) = (MessageId(row.get(0)?), row.get(4)?);
            Ok(Row { id, author, body: row.get(2)?, subject: row.get(3)?, sent_by })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Items of the queue that are a party's: to it, under any address that it had, and messages
    /// that it wrote. Looks at every row.
    pub(super) fn items_of(&self, party: &Party) -> Result<Vec<(ItemId, String)>> {
        let (own, place) = sides(party.role);
        let sql = format!(
            "SELECT q.id, q.domain, q.address, q.party = ?1 OR (q.kind = 0 AND p.{place} = ?1 AND m.author = {own}) FROM queue q \
             LEFT JOIN message m ON m.id = q.message LEFT JOIN pair p ON p.id = m.pair ORDER BY q.id"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query([party.id.0])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let address: Option<String> = row.get(2)?;
            let address = address.and_then(|text| Address::parse(&text).ok());
            let to = address.is_some_and(|address| party.known.contains(&address.key()));
            if to || row.get::<_, Option<bool>>(3)?.unwrap_or(false) {
                found.push((ItemId(MessageId(row.get(0)?)), row.get(1)?));
            }
        }
        Ok(found)
    }

    /// Reports of a pair that have words: the message, who reported it, what he wrote.
    fn reasons_of_pair(&self, pair: PairId) -> Result<Vec<(MessageId, Role, String)>> {
        let sql = "SELECT r.message, r.reporter, r.reason FROM message x JOIN report r ON r.message = x.id \
                   WHERE x.pair = ?1 AND r.reason <> '' ORDER BY r.message";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement
            .query_map([pair.0], |row| Ok((MessageId(row.get(0)?), super::role_of(row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Change<'_> {
    fn set_reason(&self, message: MessageId, reporter: Role, reason: &str) -> Result<()> {
        let sql = "UPDATE report SET reason = ?3 WHERE message = ?1 AND reporter = ?2";
        self.0.0.prepare_cached(sql)?.execute(params![message.0, sides(reporter).0, reason])?;
        Ok(())
    }
}

/// What one walk works with.
struct Walk<'a, R> {
    store: &'a Store,
    party: Party,
    person: Person,
    erasure: Erasure,
    now: fn() -> Time,
    random: R,
}

impl Store {
    /// Erases a party in bounded steps beside whoever else uses the store. Asked again after
    /// something stopped it, it goes on. Blocks until all of it is done; what is left in the files
    /// then is for [`clear_remains`](Self::clear_remains).
    ///
    /// # Errors
    /// [`StoreError::Refused`] if something holds it back ([`View::holds`]); the database's
    /// trouble.
    pub fn erase_party<R>(&self, party: PartyId, by: &str, now: fn() -> Time, random: R) -> Result<ErasedParty>
    where
        R: Random + Clone + Send + 'static,
    {
        let (party, before, hold) = self.read(|view| {
            let party = view.party(party)?;
            let before = view.belongings(&party)?;
            let hold = view.holds(party.id)?;
            Ok((party, before, hold))
        })?;
        if let Some(why) = hold {
            return Err(StoreError::Refused(format!("it cannot be erased now: {why}")));
        }
        let (begins, by) = (party.clone(), by.to_owned());
        let erasure = self.write_blocking(move |change| change.begin_erasure(&begins, &by, now()))?;
        let mut done = ErasedParty {
            before_already: erasure.done,
            erasure,
            before,
            messages: 0,
            changed: 0,
            unreadable: 0,
            cancelled: 0,
        };
        if done.before_already {
            return Ok(done);
        }
        let person = Person::new(&party.name, party.role == Role::Seller, &party.known);
        let walk = Walk { store: self, party, person, erasure: done.erasure.clone(), now, random };
        done.cancelled = walk.cancel()?;
        let mut after = PairId(0);
        loop {
            let pairs = self.read(|view| view.pairs_of_party(&walk.party, after))?;
            let Some(last) = pairs.last() else { break };
            after = *last;
            for pair in pairs {
                let (changed, unreadable) = walk.change_others(pair)?;
                done.changed += changed;
                done.unreadable += unreadable;
                done.messages += walk.erase_own(pair)?;
                walk.change_reasons(pair)?;
            }
        }
        // What was written by who had looked before the erasure began.
        done.cancelled += walk.cancel()?;
        let (erasure, party) = (done.erasure.clone(), walk.party.id);
        self.write_blocking(move |change| change.end_erasure(&erasure, party, now()))?;
        done.erasure.done = true;
        Ok(done)
    }
}

impl<R: Random + Clone + Send + 'static> Walk<'_, R> {
    /// Takes what is the erased party's out of what the other party of a pair wrote. Says in how
    /// many messages there was something, and how many cannot be read.
    fn change_others(&self, pair: PairId) -> Result<(u64, u64)> {
        let pair = self.store.read(|view| view.pair(pair))?;
        let (mut talk, mut after) = (Conversation::new(&self.person, copied(&pair)), MessageId(0));
        let (mut count, mut unreadable, mut octets, mut waiting) = (0, 0, 0, Vec::new());
        loop {
            let rows = self.store.read(|view| view.messages_of_pair(pair.id, after))?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in rows {
                let Some(body) = row.body else { continue };
                let raw = match self.store.read(|view| view.raw(row.id)) {
                    Ok(Some(raw)) => raw,
                    Ok(None) => continue,
                    Err(StoreError::Corrupt(_)) => {
                        unreadable += u64::from(row.author != self.party.role);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let own = row.author == self.party.role;
                // Whatever a message does to its reader, the others are looked at.
                let look = catch_unwind(AssertUnwindSafe(|| {
                    if own {
                        talk.erased_wrote(&raw, &row.subject);
                        return None;
                    }
                    let (new, subject) = talk.other_wrote(&raw, &row.subject)?;
                    let words = words(&new);
                    Some((new, subject, words))
                }));
                let (new, subject, words) = match look {
                    Ok(Some(new)) => new,
                    Ok(None) => continue,
                    Err(_) => {
                        unreadable += u64::from(!own);
                        continue;
                    }
                };
                octets += new.len();
                let read = Sha256::digest(&raw).into();
                waiting.push(Changed { id: row.id, body, read, new: Body::pack(&new), subject, words });
                if octets > OCTETS || waiting.len() >= STEP {
                    octets = 0;
                    count += self.write_changed(std::mem::take(&mut waiting))?;
                }
            }
        }
        Ok((count + self.write_changed(waiting)?, unreadable))
    }

    fn write_changed(&self, changed: Vec<Changed>) -> Result<u64> {
        if changed.is_empty() {
            return Ok(0);
        }
        let (erasure, now, mut random) = (self.erasure.clone(), self.now, self.random.clone());
        self.store.write_blocking(move |change| {
            let mut count = 0;
            for message in &changed {
                count += u64::from(change.change_message(&erasure, message, now(), &mut random)?);
            }
            Ok(count)
        })
    }

    /// Erases what the party wrote in a pair, and who sent what was refused in the other's name.
    /// Says how many messages that were.
    fn erase_own(&self, pair: PairId) -> Result<u64> {
        let (mut count, mut after) = (0, MessageId(0));
        loop {
            let rows = self.store.read(|view| view.messages_of_pair(pair, after))?;
            let Some(last) = rows.last() else { return Ok(count) };
            after = last.id;
            let (own, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.author == self.party.role);
            let (erasure, now, mut random) = (self.erasure.clone(), self.now, self.random.clone());
            count += self.store.write_blocking(move |change| {
                let mut count = 0;
                for row in own {
                    count += u64::from(change.erase_message(&erasure, row.id, now(), &mut random)?.erased);
                }
                for row in others.iter().filter(|row| row.sent_by) {
                    change.forget_sender(row.id)?;
                }
                Ok(count)
            })?;
        }
    }

    /// The party's own words in reports go, and what is its own in the other's.
    fn change_reasons(&self, pair: PairId) -> Result<()> {
        let reasons = self.store.read(|view| view.reasons_of_pair(pair))?;
        let own = self.party.role;
        let changed = reasons.into_iter().filter_map(|(message, reporter, reason)| {
            let reason = if reporter == own { String::new() } else { self.person.without(&reason)? };
            Some((message, reporter, reason))
        });
        let changed: Vec<_> = changed.collect();
        for step in changed.chunks(STEP) {
            let step = step.to_vec();
            self.store.write_blocking(move |change| {
                step.iter().try_for_each(|(message, reporter, reason)| change.set_reason(*message, *reporter, reason))
            })?;
        }
        Ok(())
    }

    /// Takes what waits for the party, and from it, out of the queue.
    fn cancel(&self) -> Result<u64> {
        let items = self.store.read(|view| view.items_of(&self.party))?;
        let now = self.now;
        let mut count = 0;
        for step in items.chunks(STEP) {
            let step = step.to_vec();
            count += self.store.write_blocking(move |change| {
                let mut count = 0;
                for (id, domain) in step {
                    count += u64::from(change.cancel(id, now())?);
                    change.forget_destination(&domain)?;
                }
                Ok(count)
            })?;
        }
        Ok(count)
    }
}

/// What stands in the copies of a pair in the place of addresses.
fn copied(pair: &Pair) -> Vec<Replacement> {
    let sides = [Role::Buyer, Role::Seller].into_iter();
    let known = sides.flat_map(|role| pair.party(role).known.iter().map(move |key| (key, pair.alias(role))));
    known.map(|(key, alias)| Replacement::new(key, Some(alias))).collect()
}
