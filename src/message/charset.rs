//! The charset that a text part is in, and texts of which nobody tells it: they are changed without being converted, so that the receiver's program reads
//! (or guesses) them as it would have read the original.
//!
//! Decoding itself is in `text`.

use super::body::{Written, is_multibyte};
use super::scrub::{Replacement, find, scrub};
use super::text::decode_charset;
use super::work;
use encoding_rs::{Encoding, GB18030, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::borrow::Cow;

/// Octets in which an HTML document names its charset (WHATWG HTML 13.2.3.2).
const META: usize = 1024;

/// The charset of a text: what it says, what it shows by escape sequences, or what its HTML says. Empty: nobody knows.
pub(super) fn told<'a>(bytes: &'a [u8], said: &'a str, html: bool) -> Cow<'a, str> {
    let said = said.trim();
    if is_known(said) && !said.eq_ignore_ascii_case("us-ascii") {
        return Cow::Borrowed(said);
    }
    let escapes = memchr::memchr_iter(0x1b, bytes)
        .take(8)
        .any(|at| matches!(bytes.get(at + 1..at + 3), Some(b"$B" | b"$@" | b"(J")));
    if escapes && bytes.is_ascii() {
        return Cow::Borrowed("iso-2022-jp");
    }
    if html && !bytes.is_ascii() {
        let head = String::from_utf8_lossy(bytes.get(..META).unwrap_or(bytes)).to_ascii_lowercase();
        let named = head.split("charset=").nth(1).map(|rest| rest.trim_start_matches(['"', '\'']));
        let named: String =
            named.unwrap_or("").chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:".contains(*c)).collect();
        if is_known(&named) {
            return Cow::Owned(named);
        }
    }
    Cow::Borrowed(if bytes.is_ascii() && is_known(said) { said } else { "" })
}

fn is_known(label: &str) -> bool {
    !label.is_empty()
        && label.len() < 40
        && (Encoding::for_label(label.as_bytes()).is_some()
            || mail_parser::decoders::charsets::map::charset_decoder(label.to_ascii_lowercase().as_bytes()).is_some())
}

/// Reads a text in `charset`. UTF-16 that lost its step on the way, as on lines that somebody changed, is read by its ASCII where that shows an address that
/// would not be seen otherwise.
pub(super) fn read<'a>(bytes: &'a [u8], charset: &str, replacements: &[Replacement]) -> Cow<'a, str> {
    let text = decode_charset(bytes, charset);
    if is_multibyte(&charset.to_ascii_lowercase()) {
        work::count(bytes.len() * 2);
        let bare: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        let bare = String::from_utf8_lossy(&bare);
        if find(&bare, false, replacements).len() > find(&text, false, replacements).len() {
            return Cow::Owned(bare.into_owned());
        }
    }
    text
}

/// A text as it goes out: its charset (`None`: it does not say one) and its octets. `changed`: what became of it, if it had to change, and what goes under it.
pub(super) fn written<'a>(
    changed: Option<(Cow<'a, str>, String)>,
    bytes: &'a [u8],
    charset: &str,
) -> (Option<String>, Written<'a>) {
    // Without a charset only UTF-8 is read as it is.
    let is_utf8 = matches!(changed, Some((Cow::Borrowed(_), _)));
    let untold = charset.is_empty() && !is_utf8 && std::str::from_utf8(bytes).is_err();
    let as_it_is = || Written { body: Cow::Borrowed(bytes), under: Vec::new() };
    match changed {
        Some((text, under)) if untold => {
            // Read as Windows' Latin-1, in which every octet is a character.
            let (body, _, unmappable) = WINDOWS_1252.encode(&text);
            let (below, _, unmappable_below) = WINDOWS_1252.encode(&under);
            if unmappable || unmappable_below {
                return (Some("utf-8".to_owned()), Written::new(text, under));
            }
            (None, Written { body: Cow::Owned(body.into_owned()), under: below.into_owned() })
        }
        Some((text, under)) => (Some("utf-8".to_owned()), Written::new(text, under)),
        None if !charset.is_empty() => (Some(charset.to_ascii_lowercase()), as_it_is()),
        None if bytes.is_ascii() => (Some("us-ascii".to_owned()), as_it_is()),
        None => ((!untold).then(|| "utf-8".to_owned()), as_it_is()),
    }
}

/// `changed` in the charset of the text that it was made of, if the rest of it stays octet for
/// octet.
pub(super) fn back(changed: &str, text: &str, bytes: &[u8], charset: &str) -> Option<Vec<u8>> {
    let encoding = match charset {
        "" if text.as_bytes() == bytes => encoding_rs::UTF_8,
        "" => WINDOWS_1252,
        _ => Encoding::for_label(charset.as_bytes())?,
    };
    (encode(text, encoding)? == bytes).then(|| encode(changed, encoding)).flatten()
}

/// Scrubs a text of which nobody tells the charset: in each that it could be, if it comes back from it octet by octet. `None`: there was nothing.
pub(super) fn scrub_untold(bytes: &[u8], html: bool, replacements: &[Replacement]) -> Option<Vec<u8>> {
    change_untold(bytes, |text| scrub(text, html, replacements))
}

/// The same for any other change of a text. `None`: it changes nothing.
pub(super) fn change_untold(bytes: &[u8], change: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return change(text).map(String::into_bytes);
    }
    let encodings: &[&'static Encoding] = match bytes {
        [0xff, 0xfe, ..] => &[UTF_16LE],
        [0xfe, 0xff, ..] => &[UTF_16BE],
        _ => &[WINDOWS_1252, SHIFT_JIS, GB18030],
    };
    let mut out: Option<Vec<u8>> = None;
    for encoding in encodings {
        let now = out.as_deref().unwrap_or(bytes);
        work::count(now.len() * 10);
        let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(now) else { continue };
        if encode(&text, encoding).is_some_and(|back| back == now)
            && let Some(clean) = change(&text)
        {
            out = encode(&clean, encoding).or(out);
        }
    }
    out
}

fn encode(text: &str, encoding: &'static Encoding) -> Option<Vec<u8>> {
    if encoding == UTF_16LE {
        return Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    if encoding == UTF_16BE {
        return Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    let (back, _, unmappable) = encoding.encode(text);
    (!unmappable).then(|| back.into_owned())
}

/// Whether a file is text: it holds no control characters but those of text. UTF-16 is known by its mark.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || bytes.iter().all(|b| *b >= b' ' || matches!(b, b'\t' | b'\r' | b'\n' | 0x0c | 0x1b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Address, Alias};

    fn scrubbed(bytes: &[u8]) -> Option<Vec<u8>> {
        let key = Address::parse("b-real@home.example").unwrap().key();
        let alias = Alias::from_text("alias@m.test");
        scrub_untold(bytes, false, &[Replacement::new(&key, Some(&alias))])
    }

    #[test]
    fn octets_that_are_no_address_come_back() {
        // 0x83 0x41 is one character in Shift_JIS; 0xe9 is one in Latin-1.
        for (encoding, text) in [
            (SHIFT_JIS, "アドレスはアb-real@home.exampleです。ソ表能"),
            (encoding_rs::EUC_JP, "メールはb-real@home.exampleまで"),
            (GB18030, "我的邮箱是b-real@home.example。"),
            (WINDOWS_1252, "Né le 3\u{a0}mai, éb-real@home.example"),
            (encoding_rs::UTF_8, "メールはb-real@home.exampleまで"),
            (UTF_16LE, "\u{feff}メールはb-real@home.exampleまで"),
            (UTF_16BE, "\u{feff}b-real@home.example"),
        ] {
            let bytes = encode(text, encoding).unwrap();
            let want = encode(&text.replace("b-real@home.example", "alias@m.test"), encoding).unwrap();
            assert_eq!(scrubbed(&bytes), Some(want), "{}", encoding.name());
        }
        assert_eq!(scrubbed(b"nothing \xff"), None);
    }

    #[test]
    fn charsets() {
        // octets, what they say, HTML, charset
        let cases: &[(&[u8], &str, bool, &str)] = &[
            (b"a", "ISO-8859-1", false, "ISO-8859-1"),
            (b"a", "us-ascii", false, "us-ascii"),
            (b"\xe9", "us-ascii", false, ""),
            (b"\xe9", "x-unknown", false, ""),
            (b"\x1b$BF|K\\\x1b(B", "us-ascii", false, "iso-2022-jp"),
            (b"\x1b[1m", "", false, ""),
            (b"<meta charset=\"Shift_JIS\">\x83\x41", "", true, "shift_jis"),
            (b"<meta charset=\"Shift_JIS\">\x83\x41", "", false, ""),
        ];
        for (bytes, said, html, want) in cases {
            assert_eq!(told(bytes, said, *html), *want, "{said}");
        }
        let body = |changed: Option<&str>, bytes: &'static [u8], charset: &str| {
            let changed = changed.map(|text| text.split_at(text.chars().next().map_or(0, char::len_utf8)));
            let changed = changed.map(|(body, under)| (body.to_owned().into(), under.to_owned()));
            let (charset, written) = written(changed, bytes, charset);
            (charset, [&written.body, written.under.as_slice()].concat())
        };
        assert_eq!(body(None, b"\xe9", ""), (None, b"\xe9".to_vec()));
        assert_eq!(body(Some("é!"), b"\xe9", ""), (None, b"\xe9!".to_vec()));
        assert_eq!(body(Some("é日"), b"\xe9", ""), (Some("utf-8".into()), "é日".as_bytes().to_vec()));
        assert_eq!(body(None, "é".as_bytes(), ""), (Some("utf-8".into()), "é".as_bytes().to_vec()));
        assert_eq!(body(None, b"a", ""), (Some("us-ascii".into()), b"a".to_vec()));
    }
}
