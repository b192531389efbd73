//! Whether a secret stands in some octets, however it is written there. What of a message is looked at, and how it is decoded before, is the guard's own.

use crate::message::anchors::Anchors;
use crate::message::endings::is_ending;
use crate::message::work;
use crate::types::{AddressKey, is_invisible};

/// An address that must not be seen.
pub(super) struct Secret {
    local: Vec<u8>,
    /// `@` and the domain.
    domain: Vec<u8>,
    unicode: Option<Vec<u8>>,
    /// Characters of the shorter form of the domain, with the `@`.
    shortest: usize,
}

impl Secret {
    pub(super) fn new(key: &AddressKey) -> Self {
        let (local, domain) = key.expose().rsplit_once('@').unwrap_or((key.expose(), ""));
        let anchored = |domain: &str| format!("@{domain}").into_bytes();
        let unicode = key.unicode_domain();
        let shortest = 1 + unicode.as_ref().map_or(domain.len(), |unicode| domain.len().min(unicode.chars().count()));
        let unicode = unicode.map(|unicode| anchored(&unicode.to_lowercase()));
        Self { local: local.to_lowercase().into_bytes(), domain: anchored(domain), unicode, shortest }
    }
}

/// Whether a secret stands in `bytes`, read as text in each of the ways a receiver's program might.
pub(super) fn found(bytes: &[u8], secrets: &[Secret]) -> bool {
    found_in(bytes, secrets, false)
}

/// `loose`: as in a file's name, see [`stands`].
pub(super) fn found_in(bytes: &[u8], secrets: &[Secret], loose: bool) -> bool {
    Pieces::new(bytes, secrets, false).any(|piece| stands_in(piece, secrets, loose))
}

/// The same in UTF-16 text that is ASCII, read as ASCII: addresses in Office and database files.
pub(super) fn found_wide(bytes: &[u8], secrets: &[Secret]) -> bool {
    let wide = memchr::memmem::find(bytes, b"@\0").is_some() || memchr::memmem::find(bytes, b"\0@").is_some();
    wide && Pieces::new(bytes, secrets, true).filter(|piece| piece.contains(&0)).any(|piece| {
        let narrow: Vec<u8> = piece.iter().copied().filter(|byte| *byte != 0).collect();
        stands_in(&narrow, secrets, false)
    })
}

/// The pieces of a text between control characters in which an address may be written. No form of an address holds a control character, nor a space unless its local part does:
/// nothing else has to be decoded, which is most of a text and almost all of a file.
struct Pieces<'a> {
    bytes: &'a [u8],
    anchors: Anchors<'a>,
    /// Where the last piece ended.
    done: usize,
    at: usize,
    /// Spaces may stand in an address.
    spaces: bool,
    /// NULs are not there.
    wide: bool,
    /// Characters of the shortest domain, with the `@`: each is written in an octet at least.
    shortest: usize,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], secrets: &[Secret], wide: bool) -> Self {
        let spaces = secrets.iter().any(|secret| secret.local.contains(&b' '));
        let shortest = secrets.iter().map(|secret| secret.shortest).min().unwrap_or(0);
        Self { bytes, anchors: Anchors::of_at(bytes), done: 0, at: 0, spaces, wide, shortest }
    }

    fn parts(&self, byte: u8) -> bool {
        byte.is_ascii_control() && !(self.wide && byte == 0) || byte == b' ' && !self.spaces
    }

    /// Whether an `@` and a domain have room at the start of `text`: what a file holds by chance ends here. They stand in one run of valid UTF-8, however they are written.
    fn has_room(&self, text: &[u8]) -> bool {
        let Some(run) = text.get(..self.shortest) else { return false };
        // A character that the end of the run cuts in two is no mistake.
        let valid = || std::str::from_utf8(run).err().is_none_or(|error| error.error_len().is_none());
        !run.iter().any(|byte| self.parts(*byte)) && (self.wide || valid())
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let found = self.anchors.next(self.at)?;
            self.at = found + 1;
            work::count(self.shortest);
            let after = self.bytes.get(found..)?;
            if self.has_room(after) {
                let before = self.bytes.get(self.done..found)?;
                let start = before.iter().rposition(|byte| self.parts(*byte)).map_or(self.done, |n| self.done + n + 1);
                self.done = found + after.iter().position(|byte| self.parts(*byte)).unwrap_or(after.len());
                self.at = self.done;
                work::count(self.done - start);
                return self.bytes.get(start..self.done);
            }
        }
    }
}

/// Where an `@` may be written: as it is, percent-encoded, as an entity, or full-width in UTF-8.
pub(super) fn next_anchor(bytes: &[u8]) -> Option<usize> {
    Anchors::of_at(bytes).next(0)
}

fn stands_in(bytes: &[u8], secrets: &[Secret], loose: bool) -> bool {
    let plain = lower(bytes);
    let unescaped = unescape(&plain);
    // Each decoding is a pass of its own.
    work::count(bytes.len() * if unescaped.is_some() { 8 } else { 1 });
    secrets.iter().any(|secret| {
        let domains = std::iter::once(&secret.domain).chain(&secret.unicode);
        domains.into_iter().any(|domain| {
            stands(&plain, &secret.local, domain, loose)
                || unescaped.as_ref().is_some_and(|text| stands(text, &secret.local, domain, loose))
        })
    })
}

/// What is UTF-8 in lower case, other octets as they are: what stands far behind a word must not
/// change how it is read.
fn lower(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_ascii() {
        return bytes.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().to_lowercase().as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Percent and entity escapes read, what does not show and what wraps taken out; `None` if there is nothing of that kind.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    // Almost all mail ends here.
    if text.is_ascii() && memchr::memchr2(b'%', b'&', text).is_none() {
        return None;
    }
    let percent = crate::message::mime::percent_decode(&String::from_utf8_lossy(text));
    let text = String::from_utf8_lossy(&percent).into_owned();
    let text = mail_parser::decoders::html::html_to_text(&text.replace(['<', '>'], " "));
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{ff20}' | '\u{fe6b}' => out.push(b'@'),
            '\u{3002}' | '\u{ff61}' => out.push(b'.'),
            '\u{ff01}'..='\u{ff5e}' => out.extend(u8::try_from(u32::from(c) - 0xfee0)),
            c if is_invisible(c) => {}
            c => {
                let mut buffer = [0; 4];
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    Some(lower(&out))
}

/// `loose`: in a file's name, other signs than spaces part words.
fn stands(text: &[u8], local: &[u8], domain: &[u8], loose: bool) -> bool {
    work::skip(text.len());
    memchr::memchr_iter(b'@', text).any(|at| {
        work::count(1);
        let before = text.get(at.saturating_sub(160)..at).unwrap_or(&[]);
        let after = text.get(at..).and_then(|text| text.strip_prefix(domain));
        after.is_some_and(|after| !goes_on(after) && ends_with_local(before, local, loose))
    })
}

/// Whether what comes after a domain makes it another domain.
fn goes_on(after: &[u8]) -> bool {
    let run = after.iter().take(64).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')).count();
    let run = std::str::from_utf8(after.get(..run).unwrap_or(&[])).unwrap_or("").trim_end_matches(['-', '.']);
    let last = run.rsplit_once('.').map(|(_, last)| last);
    run.starts_with(|c: char| c.is_ascii_alphanumeric()) || last.is_some_and(is_ending)
}

fn ends_with_local(before: &[u8], local: &[u8], loose: bool) -> bool {
    let joins = |b: u8| b.is_ascii_alphanumeric() || !loose && b"._-+".contains(&b);
    let name = |b: u8| joins(b) || b"._-+".contains(&b) || b >= 0x80;
    // A tag is made of characters that a name is made of, so it begins within the last run of them.
    let run = before.iter().rev().take_while(|byte| name(**byte)).count();
    work::count(run);
    let tagged = before.get(before.len() - run..).unwrap_or(&[]);
    let untagged = memchr::memchr_iter(b'+', tagged).map(|at| before.len() - run + at);
    std::iter::once(before.len()).chain(untagged).any(|end| {
        let rest = before.get(..end).and_then(|text| text.strip_suffix(local));
        rest.is_some_and(|rest| !rest.last().copied().is_some_and(joins))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::types::Address;

    /// Pieces of addresses in all forms, and what stands between.
    pub const PIECES: &[&[u8]] = &[
        b"b-real",
        b"\"b real\"",
        b"B-REAL",
        b"@",
        b"%40",
        b"&#64;",
        b"&commat;",
        "\u{ff20}".as_bytes(),
        b"home.example",
        b"HOME",
        b".",
        b"&period;",
        b"%2e",
        b"example",
        b"+t\xffag",
        b"+tag",
        "\u{200b}".as_bytes(),
        "\u{ff42}".as_bytes(),
        "\u{212a}".as_bytes(),
        b"b\xc3\xbccher.example",
        b"%C3%BCcher",
        b"\xff",
        b"\xef",
        b"\0",
        b"\r\n",
        b" ",
        b"<",
        b">",
        b"&",
        b"%",
        b";",
        b"b&#x2d;real",
        b"xn--bcher-kva.example",
        b"s",
        b"\x01",
        b"\x7f",
        b"\t",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 4000, ..Default::default() })]
        #[test]
        fn nothing_is_missed_between_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12), loose: bool, quoted: bool) {
            let quoted = if quoted { "\"b real\"@home.example" } else { "b-real@home.example" };
            let secrets = [quoted, "s@bücher.example"].map(|a| Secret::new(&Address::parse(a).unwrap().key()));
            let text = pieces.concat();
            let whole = stands_in(&text, &secrets, loose);
            proptest::prop_assert!(found_in(&text, &secrets, loose) || !whole, "{}", String::from_utf8_lossy(&text));
            // As UTF-16 of either order.
            let wide: Vec<u8> = text.iter().flat_map(|byte| if loose { [0, *byte] } else { [*byte, 0] }).collect();
            let narrow: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
            let mixed = [b"@\0\n", wide.as_slice()].concat();
            let whole = stands_in(&narrow, &secrets, false);
            proptest::prop_assert!(found_wide(&mixed, &secrets) || !whole, "wide {}", String::from_utf8_lossy(&text));
        }
    }
}
