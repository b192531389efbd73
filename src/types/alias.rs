//! Anonymous addresses: how one is drawn. Who stands behind one is the store's business.

use super::random::Random;
use std::fmt;

/// No vowels, so no words; no look-alikes (`l`, `1`, `o`, `0`).
const ALPHABET: &[u8; 28] = b"bcdfghjkmnpqrstvwxyz23456789";
/// The first of them are letters; an alias starts with one.
const LETTERS: usize = 20;
/// A local part shorter than this could be guessed.
pub const MIN_LOCAL: usize = 10;
/// Characters in all, `@` and domain included, unless `alias_length` says otherwise.
pub const DEFAULT_LENGTH: usize = 35;

/// An address in an alias domain, lower case. Not a person's address, but still nothing for a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);

/// The characters that `domain` leaves for the local part of an alias of `length` characters in all; `None` if fewer
/// than [`MIN_LOCAL`].
#[must_use]
pub fn local_length(domain: &str, length: usize) -> Option<usize> {
    length.checked_sub(domain.len() + 1).filter(|n| (MIN_LOCAL..=super::address::MAX_LOCAL).contains(n))
}

impl Alias {
    /// Draws an alias of `length` characters in all. `None` where [`local_length`] is.
    pub fn draw(domain: &str, length: usize, random: &mut dyn Random) -> Option<Self> {
        let local = local_length(domain, length)?;
        let mut text = String::with_capacity(length);
        for i in 0..local {
            let range = if i == 0 { LETTERS } else { ALPHABET.len() };
            let letter = ALPHABET.get(random.below(range)).copied()?;
            text.push(char::from(letter));
        }
        text.push('@');
        text.push_str(&domain.to_ascii_lowercase());
        Some(Self(text))
    }

    /// An alias read back, or one that a stranger wrote: any text is one, the store knows which exist.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The alias domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alias(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::random::{Seeded, SystemRandom};

    #[test]
    fn aliases_have_35_characters_of_the_alphabet() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let alias = Alias::draw("Market.example.jp", DEFAULT_LENGTH, &mut SystemRandom).unwrap();
            let (local, domain) = alias.as_str().split_once('@').unwrap();
            assert_eq!((alias.as_str().len(), local.len(), domain), (35, 34 - 17, "market.example.jp"));
            assert!(local.bytes().all(|b| ALPHABET.contains(&b)) && local.as_bytes()[0].is_ascii_lowercase());
            assert!(seen.insert(alias));
        }
        assert_eq!(
            Alias::draw("x.test", 35, &mut Seeded::new(7)),
            Alias::draw("x.test", 35, &mut Seeded::new(7)),
            "randomness is an argument"
        );
    }

    #[test]
    fn a_long_domain_leaves_too_little() {
        assert_eq!(local_length("a-rather-long-alias.example", 35), None);
        assert_eq!(local_length(&"d".repeat(24), 35), Some(10));
        assert_eq!(local_length(&"d".repeat(25), 35), None);
    }
}
