//! Counts of a while in bounded memory: how often each of many keys was met since its first time.
//! The time is an argument.

use super::Time;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Keys. When they are used up, those that count no more go, or else the older half.
const ENTRIES: usize = 16_384;

/// How many of each key, since when.
#[derive(Debug)]
pub struct Counts<K> {
    entries: HashMap<K, (u32, Time)>,
    window: Duration,
}

impl<K: Hash + Eq + Clone> Counts<K> {
    /// Counts for so long from the first.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { entries: HashMap::new(), window }
    }

    /// How many count now.
    #[must_use]
    pub fn get(&self, key: &K, now: Time) -> u32 {
        self.entries.get(key).filter(|(_, since)| self.is_fresh(*since, now)).map_or(0, |(count, _)| *count)
    }

    /// A clock that jumped back does not keep an entry for ever.
    fn is_fresh(&self, since: Time, now: Time) -> bool {
        since <= now.plus(self.window) && now.since(since) < self.window
    }

    /// One more.
    pub fn add(&mut self, key: K, now: Time) {
        let count = self.get(&key, now);
        let since = self.entries.get(&key).filter(|_| count > 0).map_or(now, |(_, since)| *since);
        self.put(key, (count.saturating_add(1), since), now);
    }

    /// One, from now on.
    pub fn renew(&mut self, key: K, now: Time) {
        self.put(key, (1, now), now);
    }

    /// One less.
    pub fn take_back(&mut self, key: &K) {
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

    /// Throws away what does not count any more, or else the older half: a pass over the table each
    /// time that half of it is new.
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
    const WINDOW: Duration = Duration::from_secs(900);

    #[test]
    fn a_while_begins_with_the_first() {
        let after = |seconds| START.plus(Duration::from_secs(seconds));
        let mut counts = Counts::new(WINDOW);
        counts.add(1, START);
        counts.add(1, after(899));
        assert_eq!((counts.get(&1, after(899)), counts.get(&2, after(899))), (2, 0));
        assert_eq!(counts.get(&1, after(900)), 0);
        counts.add(1, after(900));
        assert_eq!(counts.get(&1, after(901)), 1);
        counts.take_back(&1);
        assert_eq!(counts.get(&1, after(901)), 0);
        // A clock that jumps back keeps nothing for ever.
        counts.add(3, after(1_000_000));
        assert_eq!(counts.get(&3, START), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut counts = Counts::new(WINDOW);
        let moment = |n: usize| START.plus(Duration::from_millis(n as u64));
        for n in 0..ENTRIES * 5 {
            counts.add(n, moment(n));
        }
        let last = ENTRIES * 5 - 1;
        assert!(counts.entries.len() <= ENTRIES && counts.get(&last, moment(last)) == 1);
        // All at one moment: still bounded.
        let mut counts = Counts::new(WINDOW);
        for n in 0..ENTRIES * 3 {
            counts.add(n, START);
        }
        assert!(counts.entries.len() <= ENTRIES);
    }
}
