//! What is done once for all copies of a message: a file is cleaned of its traces, and a page of
//! what acts in it, whoever receives it.
//!
//! Found again by a hash of what was given, so that a copy in which something else was put before
//! (an id, say) does not get what is not its own.
//!
//! Not here: what differs with the receiver: addresses, ids, footers, and the guard's look.

use super::metadata::Cleaned;
use super::work;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// Octets that are kept at most.
const MOST: usize = 32 << 20;
/// What is shorter is done again as quickly.
const SHORTEST: usize = 4096;

type Key = ([u8; 32], usize);

/// Where octets lie: those that lie in the same place are the same, as long as they are not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    at: usize,
    length: usize,
}

impl Place {
    /// The place of these.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self { at: octets.as_ptr().addr(), length: octets.len() }
    }
}

/// Outcomes of one message.
#[derive(Debug, Default)]
pub struct Shared {
    /// See [`Inspection::plain`](super::Inspection::plain).
    plain: Vec<Place>,
    several: bool,
    held: usize,
    files: HashMap<Key, (Cleaned, usize)>,
    pages: HashMap<Key, Option<String>>,
    /// Steps that looking through files for addresses has cost in all copies.
    looked: u64,
}

impl Shared {
    /// For so many copies. One alone keeps nothing.
    #[must_use]
    pub fn between(copies: usize) -> Self {
        Self { several: copies > 1, ..Self::default() }
    }

    /// Texts that were looked through, of a message that outlives this.
    #[must_use]
    pub fn with_plain(self, plain: &[Place]) -> Self {
        Self { plain: plain.to_vec(), ..self }
    }

    /// Whether this is one of those texts.
    pub(super) fn is_plain(&self, text: &[u8]) -> bool {
        self.plain.contains(&Place::of(text))
    }

    /// A copy is written more than once: what is done from now on is kept.
    pub fn keep(&mut self) {
        self.several = true;
    }

    /// Of so many steps for a copy: what is left of three times as many for all of them.
    pub(super) fn left_to_look(&self, steps: u64) -> u64 {
        steps.min(steps.saturating_mul(3).saturating_sub(self.looked))
    }

    pub(super) fn looked(&mut self, steps: u64) {
        self.looked = self.looked.saturating_add(steps);
    }

    /// A file's cleaner does its work if it has not done it before; it starts with `unpacked`, and
    /// leaves less of it.
    pub(super) fn file(
        &mut self,
        bytes: &[u8],
        unpacked: &mut usize,
        clean: impl FnOnce(&[u8], &mut usize) -> Cleaned,
    ) -> Cleaned {
        let Some(key) = self.key(bytes, *unpacked) else { return clean(bytes, unpacked) };
        if let Some((cleaned, left)) = self.files.get(&key) {
            *unpacked = *left;
            return cleaned.clone();
        }
        let cleaned = clean(bytes, unpacked);
        let size = match &cleaned {
            Cleaned::Changed(bytes) | Cleaned::Partly(bytes, _) => bytes.len(),
            Cleaned::Unchanged | Cleaned::CannotClean(_) => 0,
        };
        if self.has_room(size) {
            self.files.insert(key, (cleaned.clone(), *unpacked));
        }
        cleaned
    }

    /// The same for a page.
    pub(super) fn page(&mut self, html: &str, clean: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        let Some(key) = self.key(html.as_bytes(), 0) else { return clean(html) };
        if let Some(cleaned) = self.pages.get(&key) {
            return cleaned.clone();
        }
        let cleaned = clean(html);
        if self.has_room(cleaned.as_ref().map_or(0, String::len)) {
            self.pages.insert(key, cleaned.clone());
        }
        cleaned
    }

    fn key(&self, bytes: &[u8], with: usize) -> Option<Key> {
        if !self.several || bytes.len() < SHORTEST {
            return None;
        }
        work::count(bytes.len());
        Some((Sha256::digest(bytes).into(), with))
    }

    /// What was done in part is not kept.
    fn has_room(&mut self, size: usize) -> bool {
        let room = !work::is_over() && self.held.saturating_add(size) <= MOST;
        self.held += if room { size } else { 0 };
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_done_once() {
        // copies, octets, what is left to unpack at each time, times that it is done
        let cases: [(usize, usize, &[usize], usize); 5] = [
            (1, 9000, &[50, 50, 50], 3),
            (2, 9000, &[50, 50, 50], 1),
            (2, 9000, &[50, 40, 50], 2),
            (2, 100, &[50, 50], 2),
            (2, MOST + 1, &[50, 50], 2),
        ];
        for (copies, size, unpacked, want) in cases {
            let (mut shared, mut done) = (Shared::between(copies), 0);
            for left in unpacked {
                let mut after = *left;
                let cleaned = shared.file(&vec![b'x'; size], &mut after, |bytes, unpacked| {
                    done += 1;
                    *unpacked -= 7;
                    Cleaned::Changed(bytes.to_ascii_uppercase())
                });
                assert_eq!((cleaned, after), (Cleaned::Changed(vec![b'X'; size]), left - 7));
            }
            assert_eq!(done, want, "{copies} {size} {unpacked:?}");
        }
        let (mut shared, mut done) = (Shared::between(2), 0);
        for text in ["a", "a", "b"] {
            let page = text.repeat(9000);
            let cleaned = shared.page(&page, |page| {
                done += 1;
                Some(page.to_uppercase())
            });
            assert_eq!(cleaned, Some(page.to_uppercase()));
        }
        assert_eq!(done, 2);
    }
}
