//! The last look before a message goes out: does a real address still stand in it? Another reader (mail-parser) and another search than the
//! rewriter's, so that one mistake is not made twice.

use super::scrub::is_ending;
use crate::types::AddressKey;
use mail_parser::{Message, MessageParser, PartType};
use std::borrow::Cow;

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
    let parsed = std::panic::catch_unwind(|| MessageParser::new().parse(message));
    let parsed = parsed.ok().flatten().ok_or(Place::Unreadable)?;
    walk(&parsed, &secrets)
}

fn walk(message: &Message<'_>, secrets: &[Secret]) -> Result<(), Place> {
    for part in &message.parts {
        for header in &part.headers {
            let raw = message.raw_message.get(header.offset_start as usize..header.offset_end as usize).unwrap_or(&[]);
            let decoded = super::text::decode_words(&String::from_utf8_lossy(raw).replace(['\r', '\n'], ""));
            let parameters = super::mime::parametrised(&decoded);
            // The ending of a file's name would hide an address before it.
            let stem =
                |value: &str| value.rsplit_once('.').is_some_and(|(stem, _)| found_in(stem.as_bytes(), secrets, true));
            let mut values = parameters.parameters.iter().map(|(_, value)| value.as_str());
            if found(decoded.as_bytes(), secrets) || values.any(|v| found_in(v.as_bytes(), secrets, true) || stem(v)) {
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
                if found(bytes, secrets) || found(&every_second(bytes), secrets) {
                    return Err(Place::File);
                }
            }
            PartType::Message(inner) => walk(inner, secrets)?,
            PartType::Multipart(_) => {}
        }
    }
    Ok(())
}

struct Secret {
    local: Vec<u8>,
    /// `@` and the domain.
    domain: Vec<u8>,
    unicode: Option<Vec<u8>>,
}

impl Secret {
    fn new(key: &AddressKey) -> Self {
        let (local, domain) = key.expose().rsplit_once('@').unwrap_or((key.expose(), ""));
        let unicode = idna::domain_to_unicode(domain).0;
        let unicode = (unicode != domain).then(|| format!("@{}", unicode.to_lowercase()).into_bytes());
        Self { local: local.to_lowercase().into_bytes(), domain: format!("@{domain}").into_bytes(), unicode }
    }
}

/// Whether a secret stands in `bytes`, read as text in each of the ways a receiver's program might.
fn found(bytes: &[u8], secrets: &[Secret]) -> bool {
    found_in(bytes, secrets, false)
}

fn found_in(bytes: &[u8], secrets: &[Secret], loose: bool) -> bool {
    if bytes.is_ascii() && memchr::memchr3(b'@', b'%', b'&', bytes).is_none() {
        return false;
    }
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

fn lower(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        return Cow::Owned(bytes.to_ascii_lowercase());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Owned(text.to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(bytes.to_ascii_lowercase()),
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
    Some(lower(&out).into_owned())
}

/// UTF-16 text that is ASCII, read as ASCII: addresses in Office and database files.
fn every_second(bytes: &[u8]) -> Vec<u8> {
    if memchr::memmem::find(bytes, b"@\0").is_none() && memchr::memmem::find(bytes, b"\0@").is_none() {
        return Vec::new();
    }
    bytes.iter().copied().filter(|byte| *byte != 0).collect()
}

/// `loose`: in a file's name, other signs than spaces part words.
fn stands(text: &[u8], local: &[u8], domain: &[u8], loose: bool) -> bool {
    memchr::memmem::find_iter(text, domain).any(|at| {
        let before = text.get(at.saturating_sub(160)..at).unwrap_or(&[]);
        !goes_on(text.get(at + domain.len()..).unwrap_or(&[])) && ends_with_local(before, local, loose)
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

    proptest::proptest! {
        #[test]
        fn any_octets(message in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = check(&message, &[Address::parse("a@b.test").unwrap().key()]);
        }
    }
}
