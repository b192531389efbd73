//! When the next attempt is made: arithmetic, nothing else.

use std::time::Duration;

/// The wait after attempt number `attempt` (1 is the first): `first`, doubled each time, at most `longest`, less up to a
/// quarter of it by `jitter` (any number), so that what failed together does not come back together.
#[must_use]
pub fn wait(attempt: u32, first: Duration, longest: Duration, jitter: u64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(31)));
    let whole = doubled.min(longest);
    let quarter = u64::try_from(whole.as_millis() / 4).unwrap_or(u64::MAX - 1);
    whole - Duration::from_millis(jitter % (quarter + 1))
}

/// Attempts that an item must have seen before it is old at `age`: half of those that fit into that time, so that a clock that
/// jumps ahead ages nothing by itself.
#[must_use]
pub fn least_attempts(age: Duration, first: Duration, longest: Duration) -> u32 {
    let (mut passed, mut attempts) = (Duration::ZERO, 1_u32);
    while passed < age && attempts < 1000 {
        passed = passed.saturating_add(wait(attempts, first, longest, 0).max(Duration::from_secs(1)));
        attempts += 1;
    }
    (attempts / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        // attempt, longest wait, shortest wait, in seconds
        let table = "
             1    300    225
             2    600    450
             3   1200    900
             4   2400   1800
             5   4800   3600
             6   9600   7200
             7  14400  10800
            40  14400  10800";
        for line in table.trim().lines() {
            let numbers: Vec<u64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let attempt = u32::try_from(numbers[0]).unwrap();
            let wait = |jitter| wait(attempt, minutes(5), minutes(240), jitter).as_secs();
            assert_eq!((wait(0), wait(numbers[1] * 1000 / 4)), (numbers[1], numbers[2]), "attempt {attempt}");
        }
        assert!(wait(u32::MAX, Duration::MAX, Duration::MAX, u64::MAX / 2).as_secs() > 0);
        assert_eq!(wait(1, Duration::ZERO, Duration::ZERO, 7), Duration::ZERO);
    }

    #[test]
    fn attempts_that_make_old() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        // age, first wait and longest wait in minutes, attempts
        let table = [(5 * 24 * 60, 5, 240, 18), (240, 5, 240, 3), (60, 5, 240, 2), (0, 5, 240, 1), (10, 60, 240, 1)];
        for (age, first, longest, attempts) in table {
            assert_eq!(least_attempts(minutes(age), minutes(first), minutes(longest)), attempts, "{age} {first}");
        }
        assert_eq!(
            least_attempts(Duration::MAX, Duration::ZERO, Duration::ZERO),
            500,
            "no setting makes it run for ever"
        );
    }
}
