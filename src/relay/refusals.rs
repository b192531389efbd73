//! What is refused of strangers: counted, so that guessing costs a connection a guess; and summed,
//! so that it does not fill disk and log.
//!
//! A stranger is everybody who is not proved to be the party whose turn it is, the party itself
//! included: all of this is the same for the right guess and the wrong one. It comes behind the
//! proof, and to mail that is refused anyway; a proved author never meets it, whatever his network
//! did.
//!
//! Not here: the reply (`policy::reason`), what the party hears of it (`owners`).

use super::judged::{Judged, Letter};
use super::{Arrived, Relay};
use crate::authentication::Outcome;
use crate::config::Limits;
use crate::metrics::count;
use crate::policy::Verdict;
use crate::store::{Result, Summed};
use crate::types::counts::Counts;
use crate::types::network::client_key;
use crate::types::{Address, PairId, Role, Time, locked};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// The settings are for this long.
const HOUR: Duration = Duration::from_secs(3600);
/// Rows of single messages, and sums, are for this long.
const MINUTE: Duration = Duration::from_secs(60);
/// All clients together have the rows of so many: more clients do not fill the disk more quickly.
const CLIENTS: u32 = 20;
/// Sums that are told apart by client, until they are written; then as many again by pair.
const SUMS: usize = 512;

/// Where a message comes from, as its refusal is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The client network.
    network: u128,
    /// It is one client's, and counted. The servers of a big provider are everybody's, and a front
    /// that hands on no address stands for all its clients.
    own: bool,
    /// The connection is a front's: it does not end for what its clients do.
    front: bool,
}

/// What a stranger wanted, and why he did not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refusal {
    pair: PairId,
    /// The side that he says he is.
    author: Role,
    reason: &'static str,
}

impl Refusal {
    pub(super) fn of(letter: &Letter, reason: &'static str) -> Self {
        Self { pair: letter.pair.id, author: letter.author, reason }
    }
}

/// What becomes of a refusal beside its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// A row in the history.
    Row,
    /// Part of a sum.
    Summed,
    /// The same, and over a limit: the session ends.
    Over,
}

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Refusals {
    counted: Mutex<Counted>,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Counted {
    clients: Counts<u128>,
    /// An alias by its pair and the side that writes to it. Addresses that act for that side count
    /// with it.
    aliases: Counts<(PairId, Role)>,
    rows: Counts<u128>,
    all_rows: Counts<()>,
}

impl Default for Refusals {
    fn default() -> Self {
        let (clients, aliases) = (Counts::new(HOUR), Counts::new(HOUR));
        let counted = Counted { clients, aliases, rows: Counts::new(MINUTE), all_rows: Counts::new(MINUTE) };
        Self { counted: Mutex::new(counted), sums: Mutex::default() }
    }
}

impl Counted {
    /// Counts one against the limits. Says whether it is over one.
    fn is_over(&mut self, limits: &Limits, place: Place, refusal: &Refusal, now: Time) -> bool {
        let alias = (refusal.pair, refusal.author);
        let over = place.own && self.clients.get(&place.network, now) >= limits.refusals_per_client
            || self.aliases.get(&alias, now) >= limits.refusals_per_alias;
        if place.own {
            self.clients.add(place.network, now);
        }
        self.aliases.add(alias, now);
        over
    }

    /// Whether there is room for a row of its own, which is taken.
    fn takes_row(&mut self, limits: &Limits, place: Place, now: Time) -> bool {
        let most = limits.refusal_rows;
        if self.rows.get(&place.network, now) >= most || self.all_rows.get(&(), now) >= most.saturating_mul(CLIENTS) {
            return false;
        }
        self.rows.add(place.network, now);
        self.all_rows.add((), now);
        true
    }

    /// Counts one, and says what becomes of it. `row`: it would have one today. `guess`: it may be
    /// one, and counts against the limits.
    fn note(
        &mut self,
        limits: &Limits,
        place: Place,
        refusal: &Refusal,
        (row, guess): (bool, bool),
        now: Time,
    ) -> Noted {
        if guess && self.is_over(limits, place, refusal, now) {
            return Noted::Over;
        }
        if row && self.takes_row(limits, place, now) { Noted::Row } else { Noted::Summed }
    }
}

/// What is summed: the client by a keyed hash, 0 where it is not told.
type Key = (Time, u32, Refusal);

/// Sums of the last minute, or of the time since the store last took any.
#[derive(Debug, Default)]
struct Sums(HashMap<Key, u64>);

impl Sums {
    /// Adds to a sum. Says whether it was told apart as finely as it should be: what there is no
    /// room for goes to the sum of all clients of the pair, then to that of all pairs, then to any
    /// that is there.
    fn add(&mut self, (minute, client, refusal): Key, number: u64) -> bool {
        let nowhere = Refusal { pair: PairId(0), ..refusal };
        for (room, key) in [(SUMS, (minute, client, refusal)), (2 * SUMS, (minute, 0, refusal))] {
            if self.0.len() < room || self.0.contains_key(&key) {
                *self.0.entry(key).or_default() += number;
                return room == SUMS;
            }
        }
        // A few reasons and two sides; the minute is that of the first.
        let of = |key: &&Key| key.1 == 0 && key.2 == nowhere;
        let key = self.0.keys().find(of).copied().unwrap_or((minute, 0, nowhere));
        *self.0.entry(key).or_default() += number;
        false
    }
}

impl Relay {
    /// Where a message comes from.
    pub(super) fn place(&self, arrived: &Arrived) -> Place {
        let client = &arrived.client;
        let unnamed = client.trusted && self.fronts.iter().any(|front| front.contains(client.ip));
        let passed = arrived.authentication.spf == Outcome::Pass;
        let shared = passed
            && arrived
                .envelope
                .sender
                .as_ref()
                .map(Address::domain)
                .is_some_and(|domain| self.providers.gives_mailboxes(domain));
        Place { network: client_key(client.ip), own: !unnamed && !shared, front: client.trusted }
    }

    /// Counts what was refused of a stranger in this message, and takes from its letters the rows
    /// that there is no room for. Says whether the session ends.
    pub(super) fn note_refusals(&self, judged: &mut Judged) -> bool {
        // The author is proved, if not to all: an answer to all has a copy for his own alias. He
        // guesses at nobody, and meets no limit. But rows are bounded for him, too: whoever holds
        // a message that he signed can send it again and again, to others as well.
        let guess = !judged.letters.iter().any(|letter| letter.known) && judged.acts.is_empty();
        if !guess {
            judged.refused.clear();
        }
        let (place, at) = (judged.place, judged.at);
        let is_strangers =
            |letter: &&mut Letter| !letter.known && matches!(letter.decision.verdict, Verdict::Reject | Verdict::Defer);
        let letters = judged.letters.iter_mut().filter(is_strangers);
        let letters = letters.map(|letter| (Refusal::of(letter, letter.decision.reason.as_str()), Some(letter)));
        let mut over = false;
        // One after the other: nobody waits long, and the store is not touched.
        for (refusal, letter) in letters.chain(judged.refused.drain(..).map(|refusal| (refusal, None))) {
            let row = letter.is_some();
            let noted = locked(&self.refusals.counted).note(&self.config.limits, place, &refusal, (row, guess), at);
            over |= noted == Noted::Over;
            if noted == Noted::Row {
                count(&self.metrics.refusals, "row");
                continue;
            }
            if let Some(letter) = letter {
                letter.kept = false;
            }
            let minute = Time(at.0 - at.0.rem_euclid(60_000));
            let whole = locked(&self.refusals.sums).add((minute, self.client_word(place.network), refusal), 1);
            let over = if noted == Noted::Over { "over-limit" } else { "summed" };
            count(&self.metrics.refusals, if whole { over } else { "folded" });
        }
        over && !place.front
    }

    /// What a client network is called in sums and log: by the store's secret, so that it can be
    /// told from others and not be read.
    fn client_word(&self, network: u128) -> u32 {
        let [high, low] = [network >> 64, network].map(|half| (half & u128::from(u64::MAX)) as u64);
        let key = self.store.secret().key(&format!("client {high:x}"), low.cast_signed());
        // 0 is for those that are not told apart.
        key.first_chunk::<4>().map_or(1, |bytes| u32::from_be_bytes(*bytes).max(1))
    }

    /// Writes the sums, all of them at once, with a line in the log for each client. For the
    /// chores.
    ///
    /// # Errors
    /// The store's trouble: they are kept then, and written the next time.
    pub async fn write_refusals(&self) -> Result<()> {
        let sums = std::mem::take(&mut locked(&self.refusals.sums).0);
        if sums.is_empty() {
            return Ok(());
        }
        let mut clients: HashMap<u32, u64> = HashMap::new();
        let mut rows: Vec<Summed> = Vec::with_capacity(sums.len());
        for ((minute, client, Refusal { pair, author, reason }), number) in &sums {
            *clients.entry(*client).or_default() += number;
            let (minute, client, pair, author, number) = (*minute, *client, *pair, *author, *number);
            rows.push(Summed { minute, client, pair, author, reason, number });
        }
        rows.sort_by_key(|row| (row.minute, row.client, row.pair, row.author, row.reason));
        let written = self.store.write_with_others(move |change| change.add_refusals(&rows)).await;
        if written.is_err() {
            let mut kept = locked(&self.refusals.sums);
            for (key, number) in sums {
                kept.add(key, number);
            }
            return written;
        }
        for (client, refused) in clients {
            tracing::info!(client = %format_args!("{client:08x}"), refused, "refused mail of strangers, summed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);

    fn limits() -> Limits {
        Limits { refusals_per_client: 6, refusals_per_alias: 9, refusal_rows: 3, ..Limits::default() }
    }

    fn place(network: u128) -> Place {
        Place { network, own: true, front: false }
    }

    fn refusal(pair: i64) -> Refusal {
        Refusal { pair: PairId(pair), author: Role::Seller, reason: "stranger" }
    }

    fn counted() -> Counted {
        Refusals::default().counted.into_inner().unwrap()
    }

    #[test]
    fn rows_then_sums_then_the_end_of_the_session() {
        let mut counted = counted();
        let mut note = |place, pair, at| counted.note(&limits(), place, &refusal(pair), (true, true), at);
        let of_client: Vec<Noted> = (0..8).map(|n| note(place(1), n, START)).collect();
        let want = [[Noted::Row; 3], [Noted::Summed; 3]].concat();
        assert_eq!(of_client[..6], want[..]);
        assert_eq!(of_client[6..], [Noted::Over; 2], "over every alias");
        assert_eq!(note(place(2), 0, START), Noted::Row, "another network");
        // An alias, over all networks.
        let of_alias: Vec<Noted> = (0..11).map(|n| note(place(100 + n), 77, START)).collect();
        assert!(of_alias[..9].iter().all(|noted| *noted == Noted::Row), "{of_alias:?}");
        assert_eq!(of_alias[9..], [Noted::Over; 2]);
        assert_eq!(note(place(1), 5, START.plus(MINUTE)), Noted::Over, "rows are for a minute, limits for an hour");
        assert_eq!(note(place(1), 5, START.plus(HOUR)), Noted::Row);
    }

    #[test]
    fn who_is_not_one_client_is_counted_by_alias_alone() {
        let mut counted = counted();
        let shared = Place { own: false, ..place(1) };
        let mut note = |pair| counted.note(&limits(), shared, &refusal(pair), (true, true), START);
        let many: Vec<Noted> = (0..40).map(&mut note).collect();
        assert!(!many.contains(&Noted::Over), "{many:?}");
        let one: Vec<Noted> = (0..10).map(|_| note(99)).collect();
        assert_eq!(one.iter().position(|noted| *noted == Noted::Over), Some(9));
    }

    /// Clients have their share, and all of them together no more than some: addresses are cheap.
    #[test]
    fn many_clients_do_not_fill_the_disk() {
        let mut counted = counted();
        let notes = (0..5000).map(|n| counted.note(&limits(), place(n), &refusal(n as i64), (true, true), START));
        assert_eq!(notes.filter(|noted| *noted == Noted::Row).count(), 3 * CLIENTS as usize);
    }

    #[test]
    fn sums_take_bounded_memory_and_lose_nothing() {
        let mut sums = Sums::default();
        let mut whole = 0_u64;
        for n in 0..100_000_u32 {
            let minute = START.plus(MINUTE * (n % 1000));
            whole += u64::from(sums.add((minute, n + 1, refusal(i64::from(n % 7000) + 1)), 1));
        }
        assert!(sums.0.len() <= 2 * SUMS + 1, "{}", sums.0.len());
        assert_eq!((sums.0.values().sum::<u64>(), whole), (100_000, SUMS as u64));
    }
}
