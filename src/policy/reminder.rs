//! When a party is told that mail in its name was refused: at most once a day, and after a week of
//! that once a week.
//!
//! The honest owner of an address that somebody forges for months is not to be worn out by it. Who
//! forges decides neither when the notice goes out nor, beyond these numbers, how often.

use crate::types::Time;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Notices that may follow each other from day to day.
const DAILY: u32 = 7;
/// After so long without one it begins anew.
const OVER: Duration = Duration::from_secs(28 * 86_400);
/// A day, or the last of a week's, may be so much shorter: clocks are put forward, and a look comes
/// late.
const SLACK: Duration = Duration::from_secs(4 * 3600);

/// Which notice in a run the one of `now` is, if there may be one: the last was at `at`, the
/// `run`th.
#[must_use]
pub fn next(at: Option<Time>, run: u32, now: Time) -> Option<u32> {
    let Some(at) = at else { return Some(1) };
    let since = now.since(at);
    // A notice of the days to come is a clock's that was set back: it does not count.
    if since >= OVER || at > now.plus(DAY) {
        return Some(1);
    }
    let wait = if run < DAILY { DAY } else { DAY * 7 };
    (since >= wait.saturating_sub(SLACK)).then(|| run.saturating_add(1))
}

/// The hour of the marketplace's day at which notices go out. Fixed, so that their time tells
/// nothing of the mail.
pub const AT: Duration = HOUR.saturating_mul(9);

#[cfg(test)]
mod tests {
    use super::*;

    /// Mail is forged every day: who is told, and when?
    #[test]
    fn daily_for_a_week_and_then_weekly() {
        let day = |n: u32| Time(1_800_000_000_000).plus(DAY * n);
        let (mut at, mut run, mut told) = (None, 0, Vec::new());
        for n in 0..40 {
            if let Some(next) = next(at, run, day(n)) {
                (at, run) = (Some(day(n)), next);
                told.push(n);
            }
        }
        assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 13, 20, 27, 34]);
        let last = at.unwrap();
        // since the last, run, which
        let table = [
            (HOUR * 12, 1, None),
            (HOUR * 23, 1, Some(2)),
            (DAY, 6, Some(7)),
            (DAY, 7, None),
            (DAY * 6, 7, None),
            (DAY * 7 - HOUR, 7, Some(8)),
            (DAY * 27, 9, Some(10)),
            (DAY * 28, 9, Some(1)),
        ];
        for (since, run, want) in table {
            assert_eq!(next(Some(last), run, last.plus(since)), want, "{since:?} {run}");
        }
        assert_eq!(next(None, 0, last), Some(1));
        assert_eq!(next(Some(last), 3, last.minus(DAY)), None, "the clock was set back");
        assert_eq!(next(Some(last), 3, last.minus(DAY * 2)), Some(1), "by years, perhaps");
    }
}
