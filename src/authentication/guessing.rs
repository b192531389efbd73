//! How often somebody may try to log in: so many wrong tries of one client network, and of one login, in a while. Memory is bounded; the time is an argument.
//!
//! A try counts before it is checked, so that many at once are not more than many in a row, and is given back when it was right. Who is at a client network from
//! which the login was right before is not held up by strangers who try the same login elsewhere.

use crate::types::Time;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Wrong tries count for so long from the first.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Wrong tries of one client network.
const OF_CLIENT: u32 = 10;
/// Wrong tries of one login, from networks where it was never right.
const OF_LOGIN: u32 = 30;
/// Networks that a login was right from are remembered for so long.
const MEMORY: Duration = Duration::from_secs(30 * 86_400);
/// Entries of each kind. When they are used up, the oldest go.
const ENTRIES: usize = 16_384;

/// Which limit a try met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The client network's.
    Client,
    /// The login's.
    Login,
}

impl Limit {
    /// The word used in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "too-many-of-client",
            Self::Login => "too-many-of-login",
        }
    }
}

/// A login as it is counted: a keyed hash, so that its length does not matter and no table of logins lies in memory.
pub type LoginKey = u64;

/// The tries of a while.
#[derive(Debug)]
pub struct Guesses {
    clients: Counts<u128>,
    logins: Counts<LoginKey>,
    /// Login and client network, where it was right.
    homes: Counts<(LoginKey, u128)>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { clients: Counts::new(WINDOW), logins: Counts::new(WINDOW), homes: Counts::new(MEMORY) }
    }
}

impl Guesses {
    /// Counts a try, if it is one of those that are allowed. `client` is the network's key ([`client_key`](crate::types::network::client_key)).
    ///
    /// # Errors
    /// The limit that it would break; nothing is counted then.
    pub fn begin(&mut self, client: u128, login: LoginKey, now: Time) -> Result<(), Limit> {
        if self.clients.get(&client, now) >= OF_CLIENT {
            return Err(Limit::Client);
        }
        let at_home = self.homes.get(&(login, client), now) > 0;
        if !at_home && self.logins.get(&login, now) >= OF_LOGIN {
            return Err(Limit::Login);
        }
        self.clients.add(client, now);
        if !at_home {
            self.logins.add(login, now);
        }
        Ok(())
    }

    /// The try was right, or was no try: it is given back. `right`: the network is one of the login's from now on.
    pub fn give_back(&mut self, client: u128, login: LoginKey, right: bool, now: Time) {
        self.clients.take_back(&client);
        if self.homes.get(&(login, client), now) == 0 {
            self.logins.take_back(&login);
        }
        if right {
            self.homes.renew((login, client), now);
        }
    }
}

/// How many, since when.
#[derive(Debug)]
struct Counts<K> {
    entries: HashMap<K, (u32, Time)>,
    window: Duration,
}

impl<K: Hash + Eq + Clone> Counts<K> {
    fn new(window: Duration) -> Self {
        Self { entries: HashMap::new(), window }
    }

    /// How many count now.
    fn get(&self, key: &K, now: Time) -> u32 {
        self.entries.get(key).filter(|(_, since)| self.is_fresh(*since, now)).map_or(0, |(count, _)| *count)
    }

    /// A clock that jumped back does not keep an entry for ever.
    fn is_fresh(&self, since: Time, now: Time) -> bool {
        since <= now.plus(self.window) && now.since(since) < self.window
    }

    fn add(&mut self, key: K, now: Time) {
        let count = self.get(&key, now);
        let since = self.entries.get(&key).filter(|_| count > 0).map_or(now, |(_, since)| *since);
        self.put(key, (count.saturating_add(1), since), now);
    }

    fn renew(&mut self, key: K, now: Time) {
        self.put(key, (1, now), now);
    }

    fn take_back(&mut self, key: &K) {
        if let Some((count, _)) = self.entries.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }

    fn put(&mut self, key: K, entry: (u32, Time), now: Time) {
        if self.entries.len() >= ENTRIES && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, entry);
    }

    /// Throws away what does not count any more, or else the older half: a pass over the table each time that half of it is new.
    fn make_room(&mut self, now: Time) {
        let window = self.window;
        self.entries.retain(|_, (count, since)| *count > 0 && *since <= now.plus(window) && now.since(*since) < window);
        if self.entries.len() <= ENTRIES / 2 {
            return;
        }
        let mut moments: Vec<Time> = self.entries.values().map(|(_, since)| *since).collect();
        let middle = moments.len() / 2;
        let (_, middle, _) = moments.select_nth_unstable(middle);
        let middle = *middle;
        let mut kept = 0;
        self.entries.retain(|_, (_, since)| {
            kept += usize::from(*since >= middle);
            *since >= middle && kept <= ENTRIES / 2
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);

    fn after(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_client_and_a_login_have_so_many_tries() {
        let mut guesses = Guesses::default();
        for n in 0..OF_CLIENT {
            assert_eq!(guesses.begin(1, u64::from(n), START), Ok(()), "{n}");
        }
        assert_eq!(guesses.begin(1, 99, after(899)), Err(Limit::Client));
        assert_eq!(guesses.begin(2, 99, after(899)), Ok(()), "another network");
        assert_eq!(guesses.begin(1, 99, after(900)), Ok(()), "the while is over");

        let mut guesses = Guesses::default();
        for n in 0..OF_LOGIN {
            assert_eq!(guesses.begin(u128::from(n), 7, START), Ok(()), "{n}");
        }
        assert_eq!(guesses.begin(999, 7, after(1)), Err(Limit::Login));
        assert_eq!(guesses.begin(999, 8, after(1)), Ok(()), "another login");
        assert_eq!(guesses.begin(999, 7, after(900)), Ok(()));
    }

    #[test]
    fn right_tries_are_given_back_and_their_network_is_known() {
        let mut guesses = Guesses::default();
        for _ in 0..1000 {
            assert_eq!(guesses.begin(1, 7, START), Ok(()));
            guesses.give_back(1, 7, true, START);
        }
        for n in 0..OF_LOGIN {
            assert_eq!(guesses.begin(u128::from(n) + 10, 7, START), Ok(()));
        }
        assert_eq!(guesses.begin(999, 7, START), Err(Limit::Login));
        assert_eq!(guesses.begin(1, 7, START), Ok(()), "the seller at home is not locked out");
        for _ in 1..OF_CLIENT {
            assert_eq!(guesses.begin(1, 7, START), Ok(()));
        }
        assert_eq!(guesses.begin(1, 7, START), Err(Limit::Client), "but has no more wrong tries than others");
    }

    /// Tries that are under way count like wrong ones.
    #[test]
    fn many_at_once_are_not_more() {
        let mut guesses = Guesses::default();
        let begun = (0..100).filter(|_| guesses.begin(1, 7, START).is_ok()).count();
        assert_eq!(begun, OF_CLIENT as usize);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut guesses = Guesses::default();
        for n in 0..ENTRIES as u64 * 5 {
            assert_eq!(guesses.begin(u128::from(n), n, START.plus(Duration::from_millis(n))), Ok(()));
            guesses.give_back(u128::from(n), n, true, START.plus(Duration::from_millis(n)));
            let _ = guesses.begin(u128::from(n), n, START.plus(Duration::from_millis(n)));
        }
        let sizes = [guesses.clients.entries.len(), guesses.logins.entries.len(), guesses.homes.entries.len()];
        assert!(sizes.iter().all(|size| *size <= ENTRIES), "{sizes:?}");
        let last = u64::from(ENTRIES as u32) * 5 - 1;
        assert_eq!(guesses.clients.get(&u128::from(last), START.plus(Duration::from_millis(last))), 1);
        // All at one moment: still bounded.
        let mut counts = Counts::new(WINDOW);
        for n in 0..ENTRIES * 3 {
            counts.add(n, START);
        }
        assert!(counts.entries.len() <= ENTRIES);
    }

    #[test]
    fn a_clock_that_jumps_back_locks_nobody_out_for_long() {
        let mut guesses = Guesses::default();
        for _ in 0..OF_CLIENT {
            assert_eq!(guesses.begin(1, 7, after(1_000_000)), Ok(()));
        }
        assert_eq!(guesses.begin(1, 7, START), Ok(()));
    }
}
