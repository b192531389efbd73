//! Moments. The only file that reads the clock; everywhere else the time is an argument.

use std::time::Duration;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Reads the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// The moment `after` later.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `before` earlier.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(before.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this moment, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, `2026-11-21T09:00:00+09:00`.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// RFC 3339 in UTC with seconds: `2026-11-21T00:00:00Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.strftime("%Y-%m-%dT%H:%M:%SZ")
    }

    /// RFC 5322 in UTC, for `Date` and `Received`: `Sat, 21 Nov 2026 00:00:00 +0000`.
    #[must_use]
    pub fn rfc5322(self) -> String {
        let at = jiff::tz::Offset::UTC.to_datetime(self.timestamp());
        // jiff counts days from Monday as 0, and months from 1.
        let name = |names: &[&'static str], n: i8| usize::try_from(n).ok().and_then(|n| names.get(n).copied());
        let day = name(&DAYS, at.weekday().to_monday_zero_offset()).unwrap_or("");
        let month = name(&MONTHS, at.month() - 1).unwrap_or("");
        // By hand: each copy has two, and the formatter takes as long as everything else of a date.
        let mut out = String::with_capacity(31);
        let two = |out: &mut String, n: i8| {
            let n = u8::try_from(n).unwrap_or(0);
            out.extend([char::from(b'0' + n / 10 % 10), char::from(b'0' + n % 10)]);
        };
        out.extend([day, ", "]);
        two(&mut out, at.day());
        out.extend([" ", month, " "]);
        let year = at.year();
        match (i8::try_from(year / 100), i8::try_from(year % 100)) {
            (Ok(century), Ok(rest)) if year >= 0 => {
                two(&mut out, century);
                two(&mut out, rest);
            }
            // Before our era.
            _ => out.push_str(&format!("{year:04}")),
        }
        for (sign, n) in [(' ', at.hour()), (':', at.minute()), (':', at.second())] {
            out.push(sign);
            two(&mut out, n);
        }
        out.push_str(" +0000");
        out
    }

    /// As C's `asctime` writes it, in UTC, for the lines between the messages of an mbox (RFC 4155 A): `Sat Nov 21 00:00:00 2026`.
    #[must_use]
    pub fn asctime(self) -> String {
        self.strftime("%a %b %e %H:%M:%S %Y")
    }

    /// The moment as jiff knows it; out of jiff's range, its end.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        let end = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(end)
    }

    fn strftime(self, format: &str) -> String {
        jiff::fmt::strtime::format(format, &self.timestamp().to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let time = Time::from_rfc3339("2026-11-21T09:00:00+09:00").unwrap();
        assert_eq!(time.rfc3339(), "2026-11-21T00:00:00Z");
        assert_eq!(time.rfc5322(), "Sat, 21 Nov 2026 00:00:00 +0000");
        assert_eq!(time.asctime(), "Sat Nov 21 00:00:00 2026");
        assert_eq!(Time(0).asctime(), "Thu Jan  1 00:00:00 1970");
        assert!(!Time(i64::MAX).rfc3339().is_empty());
        // Written by hand, as it stands in every message twice: the same as jiff's slower way, to the ends of time.
        let months = (0..800).map(|n| n * 3_333_333_333 - 1_234_567_890_123);
        for time in months.chain([i64::MIN, -62_167_219_200_001, -1, 0, i64::MAX]).map(Time) {
            assert_eq!(time.rfc5322(), time.strftime("%a, %d %b %Y %H:%M:%S +0000"));
        }
    }
}
