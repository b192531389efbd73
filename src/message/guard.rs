//! The last look before a message goes out: does a real address still stand in it? Another reader (mail-parser) and another search than the
//! rewriter's, so that one mistake is not made twice.

use super::scrub::is_ending;
use crate::types::AddressKey;
use mail_parser::{ContentType, HeaderName, Message, MessageParser, MimeHeaders as _, PartType};
use std::sync::LazyLock;

/// Reads only the fields that tell how a body is read: of the others the search wants the octets.
static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
        .header_text(HeaderName::ContentTransferEncoding)
        .default_header_ignore()
});

/// Where an address was found. No text: this goes into the history and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The message as it is on the wire.
    Wire,
    /// A header field, decoded.
    Header,
    /// A text, decoded.
    Text,
    /// A file.
    File,
    /// mail-parser does not read what we wrote.
    Unreadable,
}

impl Place {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Header => "header",
            Self::Text => "text",
            Self::File => "file",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Looks for each of `secrets` in every decoded form of `message`, which the rewriter wrote: its depth is bounded.
///
/// # Errors
/// The [`Place`] of the first that is found.
pub fn check(message: &[u8], secrets: &[AddressKey]) -> Result<(), Place> {
    let secrets: Vec<Secret> = secrets.iter().map(Secret::new).collect();
    if found(message, &secrets) {
        return Err(Place::Wire);
    }
    // A parser that panics has read nothing: what cannot be checked does not go out.
    let read = |whole: bool| {
        let read = || if whole { PARSER.parse(message) } else { PARSER.parse_headers(message) };
        std::panic::catch_unwind(read).ok().flatten().ok_or(Place::Unreadable)
    };
    let header = read(false)?;
    if is_seen_on_the_wire(&header) { walk(&header, &secrets) } else { walk(&read(true)?, &secrets) }
}

/// Whether the message is one text that decodes to what it is on the wire, which has been looked at: its body need not be read again.
fn is_seen_on_the_wire(header: &Message<'_>) -> bool {
    let [part] = header.parts.as_slice() else { return false };
    let told = |kind: &ContentType<'_>| {
        let charset = kind.attribute("charset").unwrap_or("us-ascii");
        kind.ctype() == "text" && ["us-ascii", "utf-8"].iter().any(|known| charset.eq_ignore_ascii_case(known))
    };
    part.content_type().is_some_and(told)
        && part.content_transfer_encoding() == Some("7bit")
        && header.raw_message.is_ascii()
}

fn walk(message: &Message<'_>, secrets: &[Secret]) -> Result<(), Place> {
    for part in &message.parts {
        for header in &part.headers {
            let raw = message.raw_message.get(header.offset_start as usize..header.offset_end as usize).unwrap_or(&[]);
            if may_hold_one(raw) && found_in_value(raw, secrets) {
                return Err(Place::Header);
            }
        }
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => {
                if found(text.as_bytes(), secrets) {
                    return Err(Place::Text);
                }
            }
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                if found(bytes, secrets) || found_wide(bytes, secrets) {
                    return Err(Place::File);
                }
            }
            PartType::Message(inner) => walk(inner, secrets)?,
            PartType::Multipart(_) => {}
        }
    }
    Ok(())
}

/// Whether a secret stands in a field's value: unfolded and decoded, or in a parameter.
fn found_in_value(raw: &[u8], secrets: &[Secret]) -> bool {
    let decoded = super::text::decode_words(&String::from_utf8_lossy(raw).replace(['\r', '\n'], ""));
    let parameters = super::mime::parametrised(&decoded);
    // The ending of a file's name would hide an address before it.
    let stem = |value: &str| value.rsplit_once('.').is_some_and(|(stem, _)| found_in(stem.as_bytes(), secrets, true));
    let mut values = parameters.parameters.iter().map(|(_, value)| value.as_str());
    found(decoded.as_bytes(), secrets) || values.any(|v| found_in(v.as_bytes(), secrets, true) || stem(v))
}

/// Whether an address may stand in a field's value in any form: an `@`, however it is written, or what may decode to one. Most fields hold neither.
fn may_hold_one(value: &[u8]) -> bool {
    next_anchor(value).is_some() || memchr::memchr2(b'?', b'*', value).is_some()
}

struct Secret {
    local: Vec<u8>,
    /// `@` and the domain.
    domain: Vec<u8>,
    unicode: Option<Vec<u8>>,
    /// Characters of the shorter form of the domain, with the `@`.
    shortest: usize,
}

impl Secret {
    fn new(key: &AddressKey) -> Self {
        let (local, domain) = key.expose().rsplit_once('@').unwrap_or((key.expose(), ""));
        let anchored = |domain: &str| format!("@{domain}").into_bytes();
        let international = domain.split('.').any(|label| label.starts_with("xn--"));
        let unicode = international.then(|| idna::domain_to_unicode(domain).0);
        let shortest = 1 + unicode.as_ref().map_or(domain.len(), |unicode| domain.len().min(unicode.chars().count()));
        let unicode = unicode.map(|unicode| anchored(&unicode.to_lowercase()));
        Self { local: local.to_lowercase().into_bytes(), domain: anchored(domain), unicode, shortest }
    }
}

/// Whether a secret stands in `bytes`, read as text in each of the ways a receiver's program might.
fn found(bytes: &[u8], secrets: &[Secret]) -> bool {
    found_in(bytes, secrets, false)
}

fn found_in(bytes: &[u8], secrets: &[Secret], loose: bool) -> bool {
    Pieces::new(bytes, secrets, false).any(|piece| stands_in(piece, secrets, loose))
}

/// The same in UTF-16 text that is ASCII, read as ASCII: addresses in Office and database files.
fn found_wide(bytes: &[u8], secrets: &[Secret]) -> bool {
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
        Self { bytes, done: 0, at: 0, spaces, wide, shortest }
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
            let found = self.at + next_anchor(self.bytes.get(self.at..)?)?;
            self.at = found + 1;
            let after = self.bytes.get(found..)?;
            if self.has_room(after) {
                let before = self.bytes.get(self.done..found)?;
                let start = before.iter().rposition(|byte| self.parts(*byte)).map_or(self.done, |n| self.done + n + 1);
                self.done = found + after.iter().position(|byte| self.parts(*byte)).unwrap_or(after.len());
                self.at = self.done;
                return self.bytes.get(start..self.done);
            }
        }
    }
}

/// Where an `@` may be written: as it is, percent-encoded, as an entity, or full-width in UTF-8.
fn next_anchor(bytes: &[u8]) -> Option<usize> {
    let ascii = memchr::memchr3(b'@', b'%', b'&', bytes);
    let wide = memchr::memchr(0xef, bytes.get(..ascii.unwrap_or(bytes.len()))?);
    wide.or(ascii)
}

fn stands_in(bytes: &[u8], secrets: &[Secret], loose: bool) -> bool {
    let plain = lower(bytes);
    let unescaped = unescape(&plain);
    secrets.iter().any(|secret| {
        let domains = std::iter::once(&secret.domain).chain(&secret.unicode);
        domains.into_iter().any(|domain| {
            stands(&plain, &secret.local, domain, loose)
                || unescaped.as_ref().is_some_and(|text| stands(text, &secret.local, domain, loose))
        })
    })
}

fn lower(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_ascii() => text.to_lowercase().into_bytes(),
        _ => bytes.to_ascii_lowercase(),
    }
}

/// Percent and entity escapes read, what does not show and what wraps taken out; `None` if there is nothing of that kind.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    // Almost all mail ends here.
    if text.is_ascii() && memchr::memchr2(b'%', b'&', text).is_none() {
        return None;
    }
    let percent = super::mime::percent_decode(&String::from_utf8_lossy(text));
    let text = String::from_utf8_lossy(&percent).into_owned();
    let text = mail_parser::decoders::html::html_to_text(&text.replace(['<', '>'], " "));
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{ff20}' | '\u{fe6b}' => out.push(b'@'),
            '\u{3002}' | '\u{ff61}' => out.push(b'.'),
            '\u{ff01}'..='\u{ff5e}' => out.extend(u8::try_from(u32::from(c) - 0xfee0)),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
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
    memchr::memchr_iter(b'@', text).any(|at| {
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
    let untagged = std::iter::once(before.len()).chain(memchr::memchr_iter(b'+', before));
    untagged.into_iter().any(|end| {
        // A tag is made of characters that a name is made of.
        let tag_ok = before.get(end..).is_some_and(|tag| tag.iter().copied().all(name));
        let rest = before.get(..end).and_then(|text| text.strip_suffix(local));
        tag_ok && rest.is_some_and(|rest| !rest.last().copied().is_some_and(joins))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;
    use data_encoding::BASE64;

    #[test]
    fn finds_addresses_in_every_form() {
        let secrets = ["b-real-9c1@home.example", "s@bücher.example"].map(|a| Address::parse(a).unwrap().key());
        let b64 = |text: &str| BASE64.encode(text.as_bytes());
        let utf16: Vec<u8> = "to: b-real-9c1@home.example".encode_utf16().flat_map(u16::to_le_bytes).collect();
        // message, where
        let cases = [
            ("Subject: x\r\n\r\nhello\r\n".to_owned(), Ok(())),
            ("X: b-real-9c1@home.example\r\n\r\n".into(), Err(Place::Wire)),
            ("X: B-Real-9c1+tag@HOME.example\r\n\r\n".into(), Err(Place::Wire)),
            (format!("Subject: =?utf-8?B?{}?=\r\n\r\n", b64("b-real-9c1@home.example")), Err(Place::Header)),
            (format!("Subject: =?utf-8?B?{}?=\r\n\r\n", b64("s@bücher.example")), Err(Place::Header)),
            (
                "Content-Disposition: attachment; filename*0*=utf-8''b-real-9c1; filename*1*=%40home.example\r\n\r\n"
                    .into(),
                Err(Place::Header),
            ),
            (
                format!("Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", b64("hi b-real-9c1@home.example")),
                Err(Place::Text),
            ),
            (
                "Date: Sat, 21 Nov 2026 00:00:00 Z\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nb-real-9c1=40home.example\r\n".into(),
                Err(Place::Text),
            ),
            (
                "Content-Transfer-Encoding: quoted-printable\r\n\r\nb-real-=\r\n9c1@home.example\r\n".into(),
                Err(Place::Text),
            ),
            (
                "Content-Type: text/html\r\n\r\n<a href=\"mailto:b-real-9c1%40home.example\">x</a>\r\n".into(),
                Err(Place::Wire),
            ),
            ("Content-Type: text/html\r\n\r\nb-real-9c1&#64;home.example\r\n".into(), Err(Place::Wire)),
            (
                format!(
                    "Content-Type: application/x\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                    BASE64.encode(&utf16)
                ),
                Err(Place::File),
            ),
            (
                format!(
                    "Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?B?{}?=\r\n\r\nx\r\n",
                    b64("b-real-9c1@home.example")
                ),
                Err(Place::Header),
            ),
            ("X: メールはb-real-9c1@home.exampleまで\r\n\r\n".into(), Err(Place::Wire)),
            ("X: b-real-9c1@home.example.Please\r\n\r\n".into(), Err(Place::Wire)),
            ("Content-Disposition: x; filename=\"for_b-real-9c1@home.example.pdf\"\r\n\r\n".into(), Err(Place::Header)),
            // other people
            ("X: jimb-real-9c1@home.example\r\n\r\n".into(), Ok(())),
            ("X: b-real-9c1@home.example.org\r\n\r\n".into(), Ok(())),
            ("X: home.example b-real-9c1\r\n\r\n".into(), Ok(())),
        ];
        for (message, want) in cases {
            assert_eq!(check(message.as_bytes(), &secrets), want, "{message}");
        }
    }

    #[test]
    fn a_text_that_the_wire_shows_is_read_once() {
        let secrets = [Address::parse("b-real-9c1@home.example").unwrap().key()];
        // fields, body, where: what decodes to something else is read
        let utf16 = "+AGIALQByAGUAYQBsAC0AOQBjADEAQABoAG8AbQBlAC4AZQB4AGEAbQBwAGwAZQ-";
        let base64 = BASE64.encode(b"b-real-9c1@home.example");
        let cases = [
            ("text/plain; charset=utf-8", "7bit", "hello", true, Ok(())),
            ("text/html; charset=us-ascii", "7bit", "hello", true, Ok(())),
            ("text/plain; charset=utf-8", "7bit", "b-real-9c1@home.example", true, Err(Place::Wire)),
            ("text/plain; charset=utf-8", "7bit", "é", false, Ok(())),
            ("text/plain; charset=utf-7", "7bit", utf16, false, Err(Place::Text)),
            ("text/plain", "base64", base64.as_str(), false, Err(Place::Text)),
            ("text/plain", "quoted-printable", "b-real-9c1=40home.example", false, Err(Place::Text)),
            ("multipart/mixed; boundary=b", "7bit", "--b\r\n\r\nhello\r\n--b--", false, Ok(())),
            (
                "message/rfc822",
                "7bit",
                "Subject: =?utf-8?q?b-real-9c1=40home.example?=\r\n\r\nx",
                false,
                Err(Place::Header),
            ),
        ];
        for (kind, encoding, body, seen, want) in cases {
            let raw = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n");
            let header = PARSER.parse_headers(&raw).unwrap();
            assert_eq!((is_seen_on_the_wire(&header), check(raw.as_bytes(), &secrets)), (seen, want), "{kind} {body}");
        }
    }

    /// Pieces of addresses in all forms, and what stands between.
    const PIECES: &[&[u8]] = &[
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

    /// What makes of pieces the values of fields.
    const VALUES: &[&[u8]] = &[
        b"=?utf-8?q?b-real=40home.example?=",
        b"=?utf-16be?b?AGIALQByAGUAYQBsAEAAaABvAG0AZQAuAGUAeABhAG0AcABsAGU=?=",
        b"=?utf-7?q?b-real+AEA-home.example?=",
        b"=?utf-8?q?",
        b"?=",
        b"=40",
        b"a/b; name=",
        b"; name=",
        b"; name*=utf-16be''",
        b"; name*=utf-7''b-real+AEA-home.example",
        b"%00b%00-%00r%00e%00a%00l%00@%00h%00o%00m%00e%00.%00e%00x%00a%00m%00p%00l%00e",
        b"; name*0=",
        b"; name*1*=",
        b"\"",
        b"\\",
        b"(x)",
        b".pdf",
        b"\r\n ",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 4000, ..Default::default() })]
        #[test]
        fn no_field_is_passed_by(pieces in proptest::collection::vec(proptest::sample::select([PIECES, VALUES].concat()), 0..8)) {
            let secrets = ["b-real@home.example", "s@bücher.example"].map(|a| Secret::new(&Address::parse(a).unwrap().key()));
            let value = pieces.concat();
            proptest::prop_assert!(may_hold_one(&value) || !found_in_value(&value, &secrets), "{}", String::from_utf8_lossy(&value));
        }

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

    proptest::proptest! {
        #[test]
        fn any_octets(message in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = check(&message, &[Address::parse("a@b.test").unwrap().key()]);
        }
    }
}
