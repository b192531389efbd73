//! The last look before a message goes out: does a real address still stand in it? Another reader (mail-parser) and another search than the
//! rewriter's, so that one mistake is not made twice.

mod letters;
mod secret;

use super::encoded::Needles;
use super::hints::{Hint, Hints};
use super::work;
use crate::types::AddressKey;
use letters::Letters;
use mail_parser::{ContentType, HeaderName, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use secret::{Secret, found, found_in, found_wide, next_anchor};
use std::sync::LazyLock;

/// Reads only the fields that tell how a body is read: of the others the search wants the octets.
static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
        .header_text(HeaderName::ContentTransferEncoding)
        .default_header_ignore()
});

/// The addresses that a receiver must not see: the author's, of whatever age. The receiver's own
/// are none of them. Were they, the author would learn from a refusal whether an address that he
/// wrote is the receiver's; the receiver learns nothing from his own.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a>(&'a [AddressKey]);

impl<'a> Secrets<'a> {
    /// Every address that the author has or had.
    #[must_use]
    pub fn of_author(keys: &'a [AddressKey]) -> Self {
        Self(keys)
    }
}

/// Where an address was found. No text: this goes into the history and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The message as it is on the wire.
    Wire,
    /// A header field, decoded.
    Header,
    /// A text, decoded.
    Text,
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
            Self::Unreadable => "unreadable",
        }
    }
}

/// Looks for each of the author's addresses in every decoded form of `message`, which the rewriter
/// wrote: its depth is bounded.
///
/// # Errors
/// The [`Place`] of the first that is found.
pub fn check(message: &[u8], secrets: Secrets<'_>) -> Result<(), Place> {
    let secrets = Looked::new(secrets.0);
    // mail-parser's own pass.
    work::count(message.len() * 2);
    if found(message, &secrets.whole) {
        return Err(Place::Wire);
    }
    // A parser that panics has read nothing: what cannot be checked does not go out.
    let read = |whole: bool| {
        let read = || if whole { PARSER.parse(message) } else { PARSER.parse_headers(message) };
        std::panic::catch_unwind(read).ok().flatten().ok_or(Place::Unreadable)
    };
    let header = read(false)?;
    if is_seen_on_the_wire(&header) {
        walk(&header, &secrets)?;
        if std::str::from_utf8(message).is_ok_and(|text| secrets.stand_in_text(text)) {
            return Err(Place::Text);
        }
    } else {
        walk(&read(true)?, &secrets)?;
    }
    // What was looked at in part may hold anything.
    if work::is_over() { Err(Place::Unreadable) } else { Ok(()) }
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

/// Whether an address stands in a file, as it is or in wide characters.
#[must_use]
pub(super) fn in_file(bytes: &[u8], secrets: Secrets<'_>) -> bool {
    let secrets: Vec<Secret> = secrets.0.iter().map(Secret::new).collect();
    found(bytes, &secrets) || found_wide(bytes, &secrets)
}

/// What is looked for.
struct Looked {
    whole: Vec<Secret>,
    letters: Vec<Letters>,
}

impl Looked {
    fn new(keys: &[AddressKey]) -> Self {
        Self { whole: keys.iter().map(Secret::new).collect(), letters: keys.iter().map(Letters::new).collect() }
    }

    /// Whether one of them stands in a text that people read, or in a link of it.
    fn stand_in_text(&self, text: &str) -> bool {
        let hints = Hints::of(text.as_bytes());
        letters::found(text, &self.letters)
            || Needles::new(hints, self.letters.iter().flat_map(Letters::domains))
                .runs(text)
                .iter()
                .any(|(_, decoded)| found(decoded, &self.whole))
            || hints.may_hold(Hint::Defended) && letters::found_in_defended(text, &self.letters)
    }
}

fn walk(message: &Message<'_>, secrets: &Looked) -> Result<(), Place> {
    for part in &message.parts {
        for header in &part.headers {
            let raw = message.raw_message.get(header.offset_start as usize..header.offset_end as usize).unwrap_or(&[]);
            if may_hold_one(raw) && found_in_value(raw, secrets) {
                return Err(Place::Header);
            }
        }
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => {
                if found(text.as_bytes(), &secrets.whole) || secrets.stand_in_text(text) {
                    return Err(Place::Text);
                }
                if is_read_otherwise(part) && in_other_readings(message.raw_message.get(whole(part)), secrets) {
                    return Err(Place::Text);
                }
            }
            // Files are looked through where they are written, and their rule is another: `files`.
            PartType::Binary(_) | PartType::InlineBinary(_) => {}
            PartType::Message(inner) => walk(inner, secrets)?,
            PartType::Multipart(_) => {}
        }
    }
    Ok(())
}

/// Where a part stands in its message, with its header.
fn whole(part: &MessagePart<'_>) -> std::ops::Range<usize> {
    part.offset_header as usize..part.offset_end as usize
}

/// Whether mail programs may read a text otherwise than mail-parser does, which knows fewer
/// charsets.
fn is_read_otherwise(part: &MessagePart<'_>) -> bool {
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    charset.is_none_or(|charset| !["utf-8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)))
}

/// Whether a secret stands in a text as it is called, or in its octets, which a program shows that
/// does not know the name.
fn in_other_readings(raw: Option<&[u8]>, secrets: &Looked) -> bool {
    let part = super::mime::Part::read(raw.unwrap_or(&[]), false);
    let octets = part.decoded();
    let text = super::text::decode_charset(&octets, part.kind.get("charset").unwrap_or(""));
    let raw = String::from_utf8_lossy(&octets);
    [raw, text].iter().any(|text| found(text.as_bytes(), &secrets.whole) || secrets.stand_in_text(text))
}

/// Whether a secret stands in a field's value: unfolded and decoded, or in a parameter.
fn found_in_value(raw: &[u8], secrets: &Looked) -> bool {
    let text = String::from_utf8_lossy(raw.trim_ascii_end());
    let unfolded = if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], "").into() } else { text };
    let decoded = super::text::decode_words(&unfolded);
    let (whole, letters) = (&secrets.whole, &secrets.letters);
    found(decoded.as_bytes(), whole)
        || letters::found(&decoded, letters)
        || decoded.contains(';') && found_in_parameters(&decoded, secrets)
}

fn found_in_parameters(value: &str, secrets: &Looked) -> bool {
    let (whole, letters) = (&secrets.whole, &secrets.letters);
    // The ending of a file's name would hide an address before it.
    let stem = |value: &str| value.rsplit_once('.').is_some_and(|(stem, _)| found_in(stem.as_bytes(), whole, true));
    let parameters = super::mime::parametrised(value).parameters;
    parameters.iter().any(|(_, v)| found_in(v.as_bytes(), whole, true) || letters::found(v, letters) || stem(v))
}

/// Whether an address may stand in a field's value in any form: an `@`, however it is written, or what may decode to one. Most fields hold neither.
fn may_hold_one(value: &[u8]) -> bool {
    let escaped = || memchr::memmem::find(value, b"=40").is_some();
    next_anchor(value).is_some() || memchr::memchr3(b'?', b'*', b'\\', value).is_some() || escaped()
}

#[cfg(test)]
mod tests {
    use super::secret::tests::PIECES;
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
                // Not the guard's.
                Ok(()),
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
            // charsets that mail-parser does not read, and octets that some programs show
            (
                "Content-Type: text/plain; charset=hz-gb-2312\r\n\r\n~{#b#-#r#e#a#l#-#9#c#1#@#h#o#m#e~}.example".into(),
                Err(Place::Text),
            ),
            (
                format!(
                    "Content-Type: text/plain; charset=iso-2022-kr\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
                    b64("b-real-9c1@home.example")
                ),
                Err(Place::Text),
            ),
            (
                format!(
                    "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
                    b64("b-real-9c1@home.example")
                ),
                Err(Place::Text),
            ),
            (
                // EUC-JP, which is not said
                format!(
                    "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
                    BASE64.encode(b"\xcf\xa2\xcd\xed\xc0\xe8\xa4\xcf\xa3\xe2\xa1\xdd\xa3\xf2\xa3\xe5\xa3\xe1\xa3\xec\xa1\xdd\xa3\xb9\xa3\xe3\xa3\xb1\xa1\xf7\xa3\xe8\xa3\xef\xa3\xed\xa3\xe5\xa1\xa5\xa3\xe5\xa3\xf8\xa3\xe1\xa3\xed\xa3\xf0\xa3\xec\xa3\xe5\xa4\xde\xa4\xc7\xa4\xaa\xb4\xea\xa4\xa4\xa4\xb7\xa4\xde\xa4\xb9")
                ),
                Err(Place::Text),
            ),
            // letters of an escape before it
            ("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$Bb-real-9c1@home.example!".into(), Err(Place::Text)),
            // stricter than the rewriter
            ("X: jimb-real-9c1@home.example\r\n\r\n".into(), Err(Place::Header)),
            ("Content-Type: text/html\r\n\r\n<td>b-real-9c1</td>\r\n<td>@home.example</td>".into(), Err(Place::Text)),
            ("X: y\r\n\r\nb-real-9c1@\r\n> home.example".into(), Err(Place::Text)),
            (format!("X: y\r\n\r\nhttps://x.test/?e={}", b64("b-real-9c1@home.example")), Err(Place::Text)),
            ("X: y\r\n\r\nhttps://urldefense.com/v3/__https://s.test/?m=b-real-9c1*40home.example__;JQ!!x$".into(), Err(Place::Text)),
            // other people
            ("X: b-real-9c1@home.example-shop.de\r\n\r\n".into(), Ok(())),
            ("X: b-real-9c1@work.example\r\n\r\n".into(), Ok(())),
            ("X: home.example b-real-9c1\r\n\r\n".into(), Ok(())),
        ];
        for (message, want) in cases {
            assert_eq!(check(message.as_bytes(), Secrets::of_author(&secrets)), want, "{message}");
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
            let found = check(raw.as_bytes(), Secrets::of_author(&secrets));
            assert_eq!((is_seen_on_the_wire(&header), found), (seen, want), "{kind} {body}");
        }
    }

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
            let secrets = Looked::new(&["b-real@home.example", "s@bücher.example"].map(|a| Address::parse(a).unwrap().key()));
            let value = pieces.concat();
            proptest::prop_assert!(may_hold_one(&value) || !found_in_value(&value, &secrets), "{}", String::from_utf8_lossy(&value));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(message in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = check(&message, Secrets::of_author(&[Address::parse("a@b.test").unwrap().key()]));
        }
    }
}
