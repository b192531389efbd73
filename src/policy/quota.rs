//! Rule 5: how many messages a seller may send in a day of the marketplace, and when a day begins.
//!
//! Not here: counting. The store counts in the same transaction as the message, so that parallel sessions cannot overrun it.

use super::{Decision, Facts, Reason, Verdict};
use crate::config::{OverQuota, Quota};
use crate::types::Time;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use std::fmt;

/// What a seller has sent in the present day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Messages that counted today.
    pub used: u64,
    /// Messages that the day allows: see [`limit`].
    pub limit: u64,
    /// When the next day begins.
    pub opens: Opens,
}

/// Messages a day for a seller with so many orders in the window: `orders_factor × average + base`, rounded down.
#[must_use]
pub fn limit(orders: u64, rules: &Quota) -> u64 {
    let days = u64::from(rules.window_days.max(1));
    let earned = u128::from(orders) * u128::from(rules.orders_factor) / u128::from(days);
    u64::try_from(earned).unwrap_or(u64::MAX).saturating_add(u64::from(rules.base))
}

/// Orders a day, on average over the window.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn average(orders: u64, rules: &Quota) -> f64 {
    orders as f64 / f64::from(rules.window_days.max(1))
}

/// A day of a marketplace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The civil date, by which use is counted: `2026-11-21`.
    pub date: Date,
    /// Its first moment.
    pub starts: Time,
    /// The first moment of the next: 23, 24 or 25 hours later.
    pub ends: Time,
    /// The same moment, to be told.
    pub opens: Opens,
}

/// When a limit opens again: RFC 3339 in the marketplace's zone, `2026-11-22T00:00:00+09:00`. It is
/// written when it is told, which for almost all mail is never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opens(Zoned);

impl fmt::Display for Opens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S%:z"))
    }
}

impl Day {
    /// The day that `now` is in. A zone can leave out a day (Samoa, 2011) or begin one at 01:00; both are seen to.
    #[must_use]
    pub fn at(now: Time, zone: &TimeZone) -> Self {
        let zoned = now.timestamp().to_zoned(zone.clone());
        // Out of jiff's years (-9999 to 9999) there is no next day; then the moment itself does.
        let starts = zoned.start_of_day().unwrap_or_else(|_| zoned.clone());
        let ends = zoned.tomorrow().and_then(|next| next.start_of_day()).unwrap_or_else(|_| zoned.clone());
        Self {
            date: zoned.date(),
            starts: Time(starts.timestamp().as_millisecond()),
            ends: Time(ends.timestamp().as_millisecond()),
            opens: Opens(ends),
        }
    }
}

/// The first moment of the window over which orders are averaged: so many civil days before `now`.
#[must_use]
pub fn window_start(now: Time, zone: &TimeZone, rules: &Quota) -> Time {
    let zoned = now.timestamp().to_zoned(zone.clone());
    let days = i64::from(rules.window_days).days();
    zoned.checked_sub(days).map_or(Time(i64::MIN), |start| Time(start.timestamp().as_millisecond()))
}

pub(super) fn rule(facts: &Facts<'_>) -> Option<Decision> {
    one_more(facts.quota.as_ref()?, &facts.rules.quota)
}

/// What one more message of a seller who has sent so many comes to.
#[must_use]
pub fn one_more(quota: &Use, rules: &Quota) -> Option<Decision> {
    if quota.used < quota.limit {
        return None;
    }
    let verdict = match rules.over {
        OverQuota::Reject => Verdict::Reject,
        OverQuota::Defer => Verdict::Defer,
    };
    Some(Decision::new(verdict, Reason::OverQuota { limit: quota.limit, opens: quota.opens.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_orders() {
        let rules = Quota::default();
        // orders in 30 days, messages a day
        let table = [(0, 600), (5, 600), (6, 601), (29, 604), (30, 605), (300, 650), (3_000_000, 500_600)];
        for (orders, want) in table {
            assert_eq!(limit(orders, &rules), want, "{orders}");
        }
        assert_eq!(limit(10, &Quota { window_days: 0, ..rules.clone() }), 650);
        let most = Quota { orders_factor: u32::MAX, base: u32::MAX, ..rules.clone() };
        assert_eq!(limit(u64::MAX, &most), u64::MAX);
        assert!((average(45, &rules) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        // zone, now, date, start, end, hours, opens
        let table = [
            (
                "Asia/Tokyo",
                "2026-11-21T14:59:59Z",
                "2026-11-21",
                "2026-11-20T15:00:00Z",
                24,
                "2026-11-22T00:00:00+09:00",
            ),
            (
                "Asia/Tokyo",
                "2026-11-21T15:00:00Z",
                "2026-11-22",
                "2026-11-21T15:00:00Z",
                24,
                "2026-11-23T00:00:00+09:00",
            ),
            ("UTC", "2026-12-31T23:59:59Z", "2026-12-31", "2026-12-31T00:00:00Z", 24, "2027-01-01T00:00:00+00:00"),
            (
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-29",
                "2026-03-28T23:00:00Z",
                23,
                "2026-03-30T00:00:00+02:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-25",
                "2026-10-24T22:00:00Z",
                25,
                "2026-10-26T00:00:00+01:00",
            ),
            (
                "America/Sao_Paulo",
                "2018-11-04T12:00:00Z",
                "2018-11-04",
                "2018-11-04T03:00:00Z",
                23,
                "2018-11-05T00:00:00-02:00",
            ),
            (
                "America/New_York",
                "2026-11-01T05:30:00Z",
                "2026-11-01",
                "2026-11-01T04:00:00Z",
                25,
                "2026-11-02T00:00:00-05:00",
            ),
            (
                "Pacific/Apia",
                "2011-12-30T09:00:00Z",
                "2011-12-29",
                "2011-12-29T10:00:00Z",
                24,
                "2011-12-31T00:00:00+14:00",
            ),
        ];
        for (zone, now, date, start, hours, opens) in table {
            let zone_info = TimeZone::get(zone).unwrap();
            let now = Time::from_rfc3339(now).unwrap();
            let day = Day::at(now, &zone_info);
            assert_eq!(
                (day.date.to_string().as_str(), day.starts.rfc3339().as_str(), day.opens.to_string().as_str()),
                (date, start, opens),
                "{zone}"
            );
            assert_eq!(day.ends.since(day.starts).as_secs(), hours * 3600, "{zone}");
            assert!(day.starts <= now && now < day.ends, "{zone}");
        }
        let end = Day::at(Time(i64::MAX), &TimeZone::UTC);
        assert!(end.starts <= end.ends);
    }

    #[test]
    fn every_moment_is_in_one_day_and_days_join() {
        for zone in ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Apia", "Asia/Beirut", "Africa/Cairo"] {
            let zone = TimeZone::get(zone).unwrap();
            let mut day = Day::at(Time::from_rfc3339("2011-11-01T00:00:00Z").unwrap(), &zone);
            for _ in 0..1500 {
                let last = Day::at(Time(day.ends.0 - 1), &zone);
                assert_eq!(last, day, "the last millisecond is still the same day");
                let next = Day::at(day.ends, &zone);
                assert!(next.starts == day.ends && next.date > day.date, "{day:?} {next:?}");
                day = next;
            }
        }
    }

    #[test]
    fn the_window_is_in_civil_days() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now = Time::from_rfc3339("2026-04-10T10:00:00Z").unwrap();
        assert_eq!(window_start(now, &zone, &Quota::default()).rfc3339(), "2026-03-11T11:00:00Z");
        assert_eq!(window_start(Time(i64::MIN), &zone, &Quota::default()), Time(i64::MIN));
    }
}
