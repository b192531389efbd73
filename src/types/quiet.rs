//! Log lines that strangers can cause: so many a minute of each client network, and of all. What is
//! left out is counted.

use super::Time;
use super::shares::{Amount, Bounds, Shares};
use std::time::Duration;

/// Lines a minute of one client network.
const EACH: u64 = 30;
/// Lines a minute of all.
const ALL: u64 = 600;
const MINUTE: Duration = Duration::from_secs(60);

/// Who may still write lines into the log.
#[derive(Debug)]
pub struct Quiet {
    shares: Shares,
    left_out: u64,
    told: Time,
}

impl Default for Quiet {
    fn default() -> Self {
        let bounds = Bounds { all: Amount::new(ALL, 0), each: Amount::new(EACH, 0), small: 0 };
        Self { shares: Shares::new(bounds, MINUTE), left_out: 0, told: Time(i64::MIN) }
    }
}

impl Quiet {
    /// Whether a line that this client caused is written. `Some(n)`: it is, and before it that `n`
    /// lines were left out since that was last said, if any; said once a minute at most.
    pub fn admits(&mut self, client: Option<u128>, now: Time) -> Option<u64> {
        if !self.shares.take(client, 0, now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        if self.left_out == 0 || self.told <= now && now.since(self.told) < MINUTE {
            return Some(0);
        }
        self.told = now;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_are_told_in_one_line() {
        let mut quiet = Quiet::default();
        let start = Time(1_800_000_000_000);
        let lines = (0..3000).filter(|_| quiet.admits(Some(1), start).is_some()).count();
        assert_eq!((lines as u64, quiet.admits(Some(2), start)), (EACH, Some(3000 - EACH)), "another is heard");
        assert_eq!(quiet.admits(Some(1), start), None);
        assert_eq!(quiet.admits(Some(3), start), Some(0), "told within the minute");
        assert_eq!(quiet.admits(Some(3), start.plus(MINUTE)), Some(1));
        let all = (10..100_000_u128).filter(|client| quiet.admits(Some(*client), start.plus(MINUTE)).is_some()).count();
        assert!(all as u64 <= ALL, "{all}");
    }
}
