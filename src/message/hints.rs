//! What a text may hold of the things that few texts hold, each known by a word that it cannot be
//! without: all of them are looked for in one pass, and what is not there is not looked for again.

use super::work;
use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// Something that may be in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// A link to a server.
    Link = 1,
    /// A file in a link: `data:…;base64,`.
    DataUri = 2,
    /// A word that escapes by other signs than others: see [`DEFENDED`].
    Defended = 4,
    /// Armour of OpenPGP.
    Pgp = 8,
    /// A uuencoded or yEnc file.
    File = 16,
}

/// The host of links that Proofpoint writes (versions 2 and 3 escape as `-40` and `*40`), and what
/// Exchange puts before an address inside another one (`IMCEASMTP-ann+40home+2Eexample@…`).
pub(super) const DEFENDED: [&str; 2] = ["urldefense.", "IMCEA"];
const WORDS: [(&str, Hint); 6] = [
    ("://", Hint::Link),
    ("64,", Hint::DataUri),
    (DEFENDED[0], Hint::Defended),
    (DEFENDED[1], Hint::Defended),
    ("-----BEGIN PGP ", Hint::Pgp),
    // `=ybegin` as well.
    ("begin ", Hint::File),
];
const ALL: u8 = 31;

/// With the kind of match that lets the search use vectors.
static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(WORDS.map(|(word, _)| word)).ok()
});

/// What one text may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints(u8);

impl Hints {
    /// Of a text that holds none of these.
    pub(super) const NONE: Self = Self(0);

    /// Whether it holds none of these.
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Of a text, or of octets.
    pub(super) fn of(text: &[u8]) -> Self {
        work::skip(text.len());
        let Some(search) = &*SEARCH else { return Self(ALL) };
        let mut found = 0;
        for hit in search.find_iter(text) {
            work::count(1);
            found |= WORDS.get(hit.pattern().as_usize()).map_or(ALL, |(_, hint)| *hint as u8);
            if found == ALL {
                break;
            }
        }
        Self(found)
    }

    pub(super) fn may_hold(self, hint: Hint) -> bool {
        self.0 & hint as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn each_word_is_found(
            pieces in proptest::collection::vec(proptest::sample::select(&["://", "64,", "urldefense.", "IMCEA", "-----BEGIN PGP ", "begin ", "-----BEGIN", "=y", "\n", "x", "6", "url", "I", "é"][..]), 0..40)
        ) {
            let text = pieces.concat();
            let hints = Hints::of(text.as_bytes());
            for (word, hint) in WORDS {
                proptest::prop_assert!(hints.may_hold(hint) || !text.contains(word), "{:?} in {:?}", word, text);
            }
            for hint in [Hint::Link, Hint::DataUri, Hint::Defended, Hint::Pgp, Hint::File] {
                let stands = WORDS.iter().any(|(word, of)| *of == hint && text.contains(word));
                proptest::prop_assert_eq!(hints.may_hold(hint), stands);
            }
        }
    }
}
