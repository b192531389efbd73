//! Shares of what many strangers use together: so much in a while of all of them, so much of each,
//! and always something left for who comes for the first time. Memory is bounded; the time is an
//! argument.
//!
//! What was taken comes back bit by bit, over the while, so that there is no moment at which
//! everybody has to come.

use super::Time;
use std::collections::HashMap;
use std::time::Duration;

/// Clients that are remembered. When they are used up, those that took least are forgotten: all
/// together are bounded whatever is forgotten.
const CLIENTS: usize = 16_384;
/// The part of all that is open to everybody. The rest is for small things of those who took
/// nothing for a while: a flood from ever so many networks that come again leaves it alone.
const OPEN: f64 = 0.75;

/// So many things, of so many octets together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// How many.
    pub count: f64,
    /// Their octets.
    pub octets: f64,
}

impl Amount {
    /// So many things of so many octets.
    #[must_use]
    pub fn new(count: u64, octets: u64) -> Self {
        // Exact up to 2^53, which is more than any disk holds.
        Self { count: count as f64, octets: octets as f64 }
    }

    /// One thing of so many octets.
    #[must_use]
    pub fn one(octets: u64) -> Self {
        Self::new(1, octets)
    }

    fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, octets: self.octets + other.octets }
    }

    /// What is left of it without the other.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        let part = |a: f64, b: f64| (a - b).max(0.0);
        Self { count: part(self.count, other.count), octets: part(self.octets, other.octets) }
    }

    fn times(self, factor: f64) -> Self {
        Self { count: self.count * factor, octets: self.octets * factor }
    }

    /// Neither is more, but for what is lost by rounding.
    fn fits(self, limit: Self) -> bool {
        self.count <= limit.count + 0.001 && self.octets <= limit.octets + 0.001
    }

    /// How much of a limit it is; the larger part of the two.
    fn part_of(self, limit: Self) -> f64 {
        let part = |own: f64, limit: f64| if limit > 0.0 { own / limit } else { 0.0 };
        part(self.count, limit.count).max(part(self.octets, limit.octets))
    }
}

/// How much may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of all together.
    pub all: Amount,
    /// Of one client.
    pub each: Amount,
    /// Of such size is a small thing, in octets.
    pub small: u64,
}

impl Bounds {
    /// Whether a client that has `own`, where others have `others`, may take one thing more.
    /// `client`: it is one, and not a front behind which all of them come. `first`: it took nothing
    /// for a while.
    ///
    /// The more a client has, the emptier the whole must be for more: a few floods end at a low
    /// level each, many at a lower one, and who comes seldom always finds room that they cannot
    /// take.
    #[must_use]
    pub fn admit(&self, own: Amount, others: Amount, octets: u64, client: bool, first: bool) -> bool {
        let new = Amount::one(octets);
        if !own.plus(others).plus(new).fits(self.all) {
            return false;
        }
        if !client {
            return true;
        }
        let open = self.all.times(OPEN * (1.0 - own.part_of(self.each)));
        own.plus(new).fits(self.each) && (first && octets <= self.small || others.plus(new).fits(open))
    }
}

/// What was taken, at a moment.
#[derive(Clone, Copy, Debug)]
struct Level {
    taken: Amount,
    at: Time,
}

/// Who took how much lately.
#[derive(Debug)]
pub struct Shares {
    bounds: Bounds,
    window: Duration,
    all: Level,
    clients: HashMap<u128, Level>,
}

impl Shares {
    /// `bounds` hold for each span of `window`.
    #[must_use]
    pub fn new(bounds: Bounds, window: Duration) -> Self {
        let all = Level { taken: Amount::default(), at: Time(i64::MIN) };
        Self { bounds, window, all, clients: HashMap::new() }
    }

    /// What is left of a level that empties from `limit` in the window. A clock that jumped back
    /// empties it.
    fn now(&self, level: Level, limit: Amount, now: Time) -> Amount {
        let passed = if level.at > now { self.window } else { now.since(level.at) };
        level.taken.less(limit.times(passed.as_secs_f64() / self.window.as_secs_f64().max(0.001)))
    }

    /// Whether `client` may take one thing of so many octets now. `None`: nobody knows who it is,
    /// as behind a front.
    #[must_use]
    pub fn has_room(&self, client: Option<u128>, octets: u64, now: Time) -> bool {
        let known = client.and_then(|client| self.clients.get(&client)).copied();
        let own = known.map_or(Amount::default(), |level| self.now(level, self.bounds.each, now));
        let others = self.now(self.all, self.bounds.all, now).less(own);
        let first = known.is_none_or(|level| level.at > now || now.since(level.at) >= self.window);
        self.bounds.admit(own, others, octets, client.is_some(), first)
    }

    /// Takes it, if there is room.
    pub fn take(&mut self, client: Option<u128>, octets: u64, now: Time) -> bool {
        if !self.has_room(client, octets, now) {
            return false;
        }
        let new = Amount::one(octets);
        self.all = Level { taken: self.now(self.all, self.bounds.all, now).plus(new), at: now };
        let Some(client) = client else { return true };
        let known = self.clients.get(&client).copied();
        if known.is_none() && self.clients.len() >= CLIENTS {
            self.make_room(now);
        }
        let own = known.map_or(Amount::default(), |level| self.now(level, self.bounds.each, now));
        self.clients.insert(client, Level { taken: own.plus(new), at: now });
        true
    }

    /// Forgets who took nothing for a while, or else the half that took least.
    fn make_room(&mut self, now: Time) {
        let window = self.window;
        self.clients.retain(|_, level| level.at <= now && now.since(level.at) < window);
        if self.clients.len() <= CLIENTS / 2 {
            return;
        }
        let mut parts: Vec<f64> = self
            .clients
            .values()
            .map(|level| self.now(*level, self.bounds.each, now).part_of(self.bounds.each))
            .collect();
        let middle = parts.len() / 2;
        let (_, middle, _) = parts.select_nth_unstable_by(middle, f64::total_cmp);
        let middle = *middle;
        let least: Vec<u128> = self
            .clients
            .iter()
            .filter(|(_, level)| self.now(**level, self.bounds.each, now).part_of(self.bounds.each) <= middle)
            .map(|(client, _)| *client)
            .take(CLIENTS / 2)
            .collect();
        for client in least {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const MIB: u64 = 1 << 20;

    fn shares() -> Shares {
        let bounds = Bounds { all: Amount::new(600, 64 * MIB), each: Amount::new(30, 8 * MIB), small: 64 << 10 };
        Shares::new(bounds, HOUR)
    }

    fn after(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    /// How many of `tries` get in.
    fn tries(shares: &mut Shares, client: u128, octets: u64, tries: usize, now: Time) -> usize {
        (0..tries).filter(|_| shares.take(Some(client), octets, now)).count()
    }

    #[test]
    fn one_client_has_its_share_and_gets_it_back_bit_by_bit() {
        let mut shares = shares();
        assert_eq!(tries(&mut shares, 1, 1000, 2000, START), 30);
        assert!(shares.has_room(Some(2), 1000, START) && !shares.has_room(Some(1), 1000, START));
        assert_eq!(tries(&mut shares, 1, 1000, 2000, after(120)), 1, "a thirtieth of the hour later");
        assert_eq!(tries(&mut shares, 1, 1000, 2000, after(7320)), 30);
        // By octets.
        assert_eq!((tries(&mut shares, 3, 4 * MIB, 9, START), tries(&mut shares, 4, 9 * MIB, 1, START)), (2, 0));
        // A clock that jumps back locks nobody out.
        assert_eq!(tries(&mut shares, 1, 1000, 2000, Time(0)), 30);
    }

    /// Ever so many networks flood; who comes for the first time gets in all the same.
    #[test]
    fn floods_leave_room_for_newcomers() {
        for floods in [1_u128, 8, 100, 300] {
            for octets in [1000, 64 << 10, MIB] {
                let mut shares = shares();
                let mut taken = 0;
                for _ in 0..50 {
                    taken += (0..floods).filter(|client| shares.take(Some(*client), octets, START)).count();
                }
                assert!(taken <= 600 && taken as u64 * octets <= 64 * MIB, "{floods} {octets}: {taken}");
                assert!(shares.take(Some(1000), 64 << 10, START), "{floods} floods of {octets}");
            }
        }
        // Floods that share leave every one of them a part.
        let mut shares = shares();
        let mut counts = [0; 40];
        for _ in 0..50 {
            for (client, count) in counts.iter_mut().enumerate() {
                *count += tries(&mut shares, client as u128, 1000, 1, START);
            }
        }
        assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
    }

    /// More networks than anybody remembers, all for the first time: the whole is bounded.
    #[test]
    fn the_whole_holds_against_everybody() {
        let mut shares = shares();
        let taken = (0..100_000_u128).filter(|client| shares.take(Some(*client), 1000, START)).count();
        assert_eq!(taken, 600);
        // One place comes back every six seconds, and is anybody's.
        let later = (0..100_000_u128).filter(|client| shares.take(Some(client + 200_000), 1000, after(60))).count();
        assert_eq!(later, 10);
        // Nobody knows who: the whole alone counts.
        let mut shares = self::shares();
        assert_eq!((0..2000).filter(|_| shares.take(None, 1000, START)).count(), 600);
    }

    #[test]
    fn memory_is_bounded_and_floods_are_remembered() {
        let bounds = Bounds { all: Amount::new(1 << 40, 0), each: Amount::new(10, 0), small: 0 };
        let mut shares = Shares::new(bounds, HOUR);
        assert_eq!(tries(&mut shares, u128::MAX, 0, 100, START), 10);
        for client in 0..CLIENTS as u128 * 3 {
            assert!(shares.take(Some(client), 0, START));
        }
        assert!(shares.clients.len() <= CLIENTS);
        assert!(!shares.has_room(Some(u128::MAX), 0, START), "a flood is not forgotten for those who came once");
    }
}
