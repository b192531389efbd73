//! Quantities as people write them: `25 MiB`, `5 min`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// A number of octets, written `25 MiB`, `64 KiB`, `500` (octets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }
    /// So many MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }
    /// As a length in memory.
    #[must_use]
    pub fn octets(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A length of time, written `90 s`, `5 min`, `4 h`, `5 d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

/// Units of a written quantity, smallest first.
type Units = &'static [(&'static str, u64)];
const SIZES: Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const SPANS: Units = &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn quantity<'de, D: Deserializer<'de>>(deserializer: D, units: Units, bare: u64) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let read = |text: &str| {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end)?;
        let unit = unit.trim();
        let factor = if unit.is_empty() { bare } else { units.iter().find(|(name, _)| *name == unit)?.1 };
        digits.parse::<u64>().ok()?.checked_mul(factor)
    };
    let value = match Written::deserialize(deserializer) {
        Ok(Written::Number(number)) => number.checked_mul(bare),
        Ok(Written::Text(text)) => read(&text),
        Err(_) => None,
    };
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let (kind, example) = if units == SIZES { ("size", "25 MiB") } else { ("time", "5 min") };
    value.ok_or_else(|| {
        serde::de::Error::custom(format!(
            "is not a {kind}. Write a whole number and a unit of {}: \"{example}\"",
            names.join(", ")
        ))
    })
}

fn written(value: u64, units: Units) -> String {
    let unit = units.iter().rev().find(|(_, factor)| value.is_multiple_of(*factor) && value >= *factor);
    let (name, factor) = unit.or(units.first()).copied().unwrap_or(("", 1));
    format!("{} {name}", value / factor)
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer, SIZES, 1).map(Self)
    }
}
impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&written(self.0, SIZES))
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer, SPANS, 1000).map(|ms| Self(Duration::from_millis(ms)))
    }
}
impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&written(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), SPANS))
    }
}
