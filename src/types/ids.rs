//! Ids: the platform's own, the store's row ids, and the id of a message as people see it.

use std::fmt;

/// The platform's id of a seller, buyer, order or marketplace: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalId(String);

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 visible ASCII characters")]
pub struct IdError;

impl std::str::FromStr for ExternalId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if ok { Ok(Self(text.to_owned())) } else { Err(IdError) }
    }
}

impl ExternalId {
    /// The id as the platform wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Row id of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartyId(pub i64);

/// Row id of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairId(pub i64);

/// A kept message. The number grows with time (41 bits of milliseconds since 2020, 22 random), so rows are appended,
/// and tells a stranger nothing of how many messages there are. Written as 13 characters of Crockford's base 32, lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub i64);

/// 2020-01-01T00:00:00Z in milliseconds.
const EPOCH: i64 = 1_577_836_800_000;
const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl MessageId {
    /// A fresh id for a message received at `now`, above `last` whatever the clock does.
    #[must_use]
    pub fn after(last: Self, now: super::Time, random: u64) -> Self {
        let random = i64::try_from(random & 0x3f_ffff).unwrap_or(0);
        // A clock before 2020 or after 2089 is not believed: it could use up all ids that there are.
        let millis = Some(now.0.saturating_sub(EPOCH)).filter(|millis| (0..1 << 41).contains(millis));
        Self(millis.map_or(0, |millis| (millis << 22) | random).max(last.0.saturating_add(1)))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: [u8; 13] = std::array::from_fn(|i| {
            let digit = usize::try_from((self.0 >> (5 * (12 - i))) & 31).unwrap_or(0);
            CROCKFORD.get(digit).copied().unwrap_or(b'0')
        });
        f.write_str(std::str::from_utf8(&letters).unwrap_or_default())
    }
}

/// A text that is not a message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message's id is 13 letters and digits, as the SMTP reply, the log, `message list` and `queue list` give it")]
pub struct MessageIdError;

impl std::str::FromStr for MessageId {
    type Err = MessageIdError;
    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        if text.len() != 13 {
            return Err(MessageIdError);
        }
        let mut value: i64 = 0;
        for byte in text.bytes() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_lowercase()).ok_or(MessageIdError)?;
            let next = value.checked_mul(32).and_then(|v| v.checked_add(i64::try_from(digit).ok()?));
            value = next.ok_or(MessageIdError)?;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Time;

    #[test]
    fn message_ids_grow_and_read_back() {
        let mut last = MessageId(0);
        // the clock may stand still or jump back
        for now in [1_800_000_000_000, 1_800_000_000_000, 0, i64::MAX, -5] {
            let id = MessageId::after(last, Time(now), 77);
            assert!(id > last && id.to_string().parse() == Ok(id));
            last = id;
        }
        assert_eq!(MessageId::after(MessageId(7), Time(i64::MAX), 77), MessageId(8));
        assert_eq!("zzzzzzzzzzzzz".parse::<MessageId>(), Err(MessageIdError));
        assert_eq!("u".parse::<MessageId>(), Err(MessageIdError));
    }

    #[test]
    fn external_ids() {
        assert!("S-1".parse::<ExternalId>().is_ok());
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<ExternalId>().is_err());
        }
    }
}
