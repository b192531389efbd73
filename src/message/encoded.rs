//! Addresses in base 64 in texts with links: links that count who follows them carry their
//! reader's address so (`?e=YW5uQGhvbWUuZXhhbXBsZQ`), alone or in something longer.
//!
//! The search looks for the domain as base 64 would have it, which is different at each of three
//! places: vector searches, and nothing is decoded where they find nothing. A domain in capitals is
//! not found: programs that write such links take the address from where it is kept.

use super::hints::{Hint, Hints};
use super::scrub::{self, Replacement};
use super::work;
use data_encoding::BASE64_NOPAD;
use memchr::memmem::Finder;
use std::ops::Range;

/// Octets of a run that are decoded at most.
const LONGEST: usize = 16 << 10;

/// What to look for: a domain in base 64, and at which of four letters it begins.
pub(super) struct Needles(Vec<(Finder<'static>, usize)>);

/// Where a run stands, and what it says.
type Run = (Range<usize>, Vec<u8>);

impl Needles {
    /// For these domains, in A-labels, in a text with these hints: none, where it holds no link.
    pub(super) fn new<'d>(hints: Hints, domains: impl Iterator<Item = &'d str>) -> Self {
        if !hints.may_hold(Hint::Link) {
            return Self(Vec::new());
        }
        let mut ascii: Vec<&str> = domains.filter(|domain| domain.is_ascii()).collect();
        ascii.sort_unstable();
        ascii.dedup();
        Self(ascii.into_iter().flat_map(|domain| (0..3).map(move |place| needle(domain, place))).collect())
    }

    /// Where one of them stands in a run of base 64, with what the run says from a place on at
    /// which it can be read. In order, each run once.
    pub(super) fn runs(&self, text: &str) -> Vec<Run> {
        let (bytes, mut hits) = (text.as_bytes(), Vec::new());
        for (finder, place) in &self.0 {
            work::skip(bytes.len());
            hits.extend(finder.find_iter(bytes).map(|at| (at, *place)));
        }
        hits.sort_unstable();
        let (mut out, mut done) = (Vec::<Run>::new(), 0);
        for (at, place) in hits {
            if at < done || work::is_over() {
                continue;
            }
            let before = bytes.get(done.max(at.saturating_sub(LONGEST))..at).unwrap_or(&[]);
            let before = before.iter().rev().take_while(|byte| is_digit(**byte)).count();
            let after = bytes.get(at..bytes.len().min(at + LONGEST)).unwrap_or(&[]);
            done = at + after.iter().take_while(|byte| is_digit(**byte)).count();
            work::count(before + (done - at) * 2);
            // The run begins where a group of four does.
            let Some(before) = before.checked_sub(place) else { continue };
            let start = at - place - before / 4 * 4;
            let end = done - usize::from((done - start) % 4 == 1);
            if let Some(decoded) = text.get(start..end).and_then(decode) {
                out.push((start..end, decoded));
            }
        }
        out
    }
}

/// A domain as it stands in base 64 when that many octets of a group are before it.
fn needle(domain: &str, place: usize) -> (Finder<'static>, usize) {
    let mut octets = vec![0; place];
    octets.extend_from_slice(domain.as_bytes());
    let written = BASE64_NOPAD.encode(&octets);
    // Digits that hold bits of other octets as well.
    let first = (place * 8).div_ceil(6);
    let whole = octets.len() * 8 / 6;
    (Finder::new(written.get(first..whole).unwrap_or(&written)).into_owned(), first)
}

/// Of both alphabets (RFC 4648 4 and 5).
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.replace('-', "+").replace('_', "/");
    let mut encoding = BASE64_NOPAD.specification();
    encoding.check_trailing_bits = false;
    encoding.encoding().ok()?.decode(text.as_bytes()).ok()
}

/// Replaces addresses in base 64. `None`: there was none.
pub(super) fn scrub(text: &str, hints: Hints, replacements: &[Replacement]) -> Option<String> {
    let needles = Needles::new(hints, replacements.iter().flat_map(Replacement::domains));
    let (mut out, mut done) = (String::new(), 0);
    for (range, decoded) in needles.runs(text) {
        let Some(clean) = scrub_octets(&decoded, replacements) else { continue };
        // What stands before the address stays as it is written.
        let same = decoded.iter().zip(&clean).take_while(|(one, other)| one == other).count() / 3;
        let start = range.start + same * 4;
        let mut clean = BASE64_NOPAD.encode(clean.get(same * 3..).unwrap_or(&[]));
        if text.get(start..range.end).is_some_and(|written| written.contains(['-', '_'])) {
            clean = clean.replace('+', "-").replace('/', "_");
        }
        out.push_str(text.get(done..start).unwrap_or(""));
        out.push_str(&clean);
        let padding = |sign: &str| text.get(range.end..).is_some_and(|rest| rest.starts_with(sign));
        done = range.end;
        for sign in ["=", "%3D", "%3d"].into_iter().filter(|sign| padding(sign)) {
            out.push_str(&sign.repeat((4 - clean.len() % 4) % 4));
            let rest = text.get(done..).unwrap_or("");
            done += rest.len() - rest.trim_start_matches(sign).len();
        }
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    Some(out)
}

/// What is no text stays: what stands before a run in a path (`/c/YW5u…`) is decoded with it.
fn scrub_octets(octets: &[u8], replacements: &[Replacement]) -> Option<Vec<u8>> {
    let (mut out, mut changed) = (Vec::with_capacity(octets.len()), false);
    for chunk in octets.utf8_chunks() {
        let clean = scrub::scrub(chunk.valid(), false, replacements);
        changed |= clean.is_some();
        out.extend_from_slice(clean.as_deref().unwrap_or(chunk.valid()).as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::types::{Address, Alias};
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    fn scrub(text: &str) -> Option<String> {
        super::scrub(text, Hints::of(text.as_bytes()), &replacements())
    }

    fn replacements() -> [Replacement; 1] {
        let key = Address::parse("b-real-9c1@home.example").unwrap().key();
        [Replacement::wide(&key, &Alias::from_text("alias@m.test"))]
    }

    #[test]
    fn found_at_every_place() {
        for before in ["", "a", "ab", "abc", "{\"e\":\"", "ä~?"] {
            for after in ["", "x", "xy", "\"}", "&a=b"] {
                let sep = if after.starts_with('x') { " " } else { "" };
                let of = |address: &str| format!("{before} {address}{sep}{after}");
                let (real, want) = (of("B-real-9c1@home.example"), of("alias@m.test"));
                let padded = BASE64.encode(real.as_bytes());
                let cases = [
                    (padded.clone(), BASE64.encode(want.as_bytes())),
                    (padded.replace('=', "%3D"), BASE64.encode(want.as_bytes()).replace('=', "%3D")),
                    (BASE64URL_NOPAD.encode(real.as_bytes()), BASE64URL_NOPAD.encode(want.as_bytes())),
                ];
                for (written, want) in cases {
                    let clean = scrub(&format!("https://x.test/c?e={written}&z")).unwrap();
                    let run = clean.strip_prefix("https://x.test/c?e=").unwrap().strip_suffix("&z").unwrap();
                    let (run, want) = (run.replace("%3D", "="), want.replace("%3D", "="));
                    let read = |run: &str| decode(run.trim_end_matches('=')).unwrap();
                    assert_eq!(read(&run), read(&want), "{before:?} {after:?}");
                }
            }
        }
        // In a path, with what stands before it.
        for path in ["c/", "cd/", "cde/", "/", "click/x-y_z/"] {
            let written = format!("https://x.test/{path}{}", BASE64.encode(b"b-real-9c1@home.example"));
            let want = format!("https://x.test/{path}{}", BASE64.encode(b"alias@m.test"));
            assert_eq!(scrub(&written).map(|got| got.replace('=', "")), Some(want.replace('=', "")));
        }
        // other people, and no base 64
        for text in [BASE64.encode(b"taro@home.example, hello"), "b-real-9c1@home.example".to_owned(), String::new()] {
            assert_eq!(scrub(&format!("https://x.test/?{text}")), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "(aG9tZS5leGFtcGxl|hvbWUuZXhhbXBsZ|b21lLmV4YW1wbG|[A-Za-z0-9+/=_%-]|ü){0,30}") {
            let _ = scrub(&format!("://{text}"));
        }
    }
}
