//! Where an address may be written next: octets that every form of it begins with, found in one
//! pass over a text.
//!
//! Two vector searches, as each looks for three octets at most. Each remembers what it has found:
//! searched anew from every place, a text of full-width digits (whose first octet is the one of a
//! full-width `@`) would be searched to its end at each of them.

use super::work;

/// The first octet in UTF-8 of the full-width and small forms of ASCII.
const WIDE: u8 = 0xef;

/// Goes over a text from front to back.
pub(super) struct Anchors<'a> {
    text: &'a [u8],
    ascii: [u8; 3],
    /// What the second search looks for, beside a wide form.
    others: Option<[u8; 2]>,
    /// The next of the ASCII ones at or behind the last place asked for; the end of the text if
    /// there is none. `None`: not looked for yet.
    next: Option<usize>,
    /// Before this place there is none of the others that has not been told.
    searched: usize,
    /// One that is found and not passed yet.
    wide: Option<usize>,
}

impl<'a> Anchors<'a> {
    pub(super) fn new(text: &'a [u8], ascii: [u8; 3]) -> Self {
        Self { text, ascii, others: None, next: None, searched: 0, wide: None }
    }

    /// `@`, `%40`, `&#64;`, or a wide form.
    pub(super) fn of_at(text: &'a [u8]) -> Self {
        Self::new(text, *b"@%&")
    }

    /// The same, and `=40`, `\u0040`, and a `=` that stands for an `@`.
    pub(super) fn of_signs(text: &'a [u8]) -> Self {
        Self { others: Some(*b"=\\"), ..Self::of_at(text) }
    }

    /// The first at or behind `from`, which never goes back. `None`: there is none, or the message
    /// has cost enough.
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        if work::is_over() {
            return None;
        }
        // Two vector searches are begun, and what is found is looked at.
        work::count(4);
        let next = match self.next {
            Some(next) if next >= from => next,
            _ => {
                let rest = self.text.get(from..)?;
                let [a, b, c] = self.ascii;
                let length = memchr::memchr3(a, b, c, rest).unwrap_or(rest.len());
                work::skip(length);
                *self.next.insert(from + length)
            }
        };
        if self.wide.is_none_or(|wide| wide < from) {
            let start = self.searched.max(from);
            let found = self.text.get(start..next).and_then(|rest| match self.others {
                Some([a, b]) => memchr::memchr3(WIDE, a, b, rest),
                None => memchr::memchr(WIDE, rest),
            });
            let found = found.map(|n| start + n);
            let end = found.map_or(next.max(start), |found| found + 1);
            work::skip(end - start);
            (self.wide, self.searched) = (found, end);
        }
        self.wide.filter(|wide| *wide < next).or((next < self.text.len()).then_some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn finds_what_is_there(text in proptest::collection::vec(proptest::sample::select(&b"@%&\xefaaa"[..]), 0..40), steps in proptest::collection::vec(1_usize..6, 0..40)) {
            let mut anchors = Anchors::of_at(&text);
            let mut from = 0;
            for step in steps {
                let want = text.iter().skip(from).position(|byte| b"@%&\xef".contains(byte)).map(|n| from + n);
                proptest::prop_assert_eq!(anchors.next(from), want, "from {}", from);
                from += step;
            }
        }
    }

    #[test]
    fn one_pass() {
        for piece in [&b"\xef"[..], b"@", b"\xef@", b"\xef\xef\xef%", b"=", b"=\\@"] {
            let steps = |size: usize| {
                let text = piece.repeat(size / piece.len());
                let mut anchors = Anchors::of_signs(&text);
                let all = || (0..).try_fold(0, |from, _| anchors.next(from).map(|at| at + 1));
                work::within(&work::Allowance::endless(), all).1.reading
            };
            assert!(steps(1 << 18) < steps(1 << 17) * 21 / 10, "{piece:?}");
        }
    }
}
