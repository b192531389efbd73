//! Texts of which nobody tells the charset: they are changed without being converted, so that the
//! receiver's program reads (or guesses) them as it would have read the original.

use super::{iso2022, octets};
use crate::message::scrub::{Replacement, scrub};
use crate::message::work;
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252,
};

/// Scrubs a text of which nobody tells the charset: in each that it could be, if it comes back from
/// it octet by octet. `None`: there was nothing.
pub(in crate::message) fn scrub_untold(bytes: &[u8], html: bool, replacements: &[Replacement]) -> Option<Vec<u8>> {
    change_untold(bytes, |text| scrub(text, html, replacements))
}

/// The same for any other change of a text. `None`: it changes nothing.
pub(in crate::message) fn change_untold(bytes: &[u8], change: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let utf8 = std::str::from_utf8(bytes);
    let is_japanese = utf8.is_ok() && iso2022::is_designated(bytes);
    if let Ok(text) = utf8
        && !is_japanese
    {
        return change(text).map(String::into_bytes);
    }
    let encodings: &[&'static Encoding] = match bytes {
        // An escape sequence ends in a letter, which would belong to an address behind it.
        _ if is_japanese => &[ISO_2022_JP, UTF_8],
        [0xff, 0xfe, ..] => &[UTF_16LE],
        [0xfe, 0xff, ..] => &[UTF_16BE],
        _ => &[WINDOWS_1252, SHIFT_JIS, EUC_JP, GB18030, BIG5, EUC_KR],
    };
    let mut out: Option<Vec<u8>> = None;
    for encoding in encodings {
        let now = out.as_deref().unwrap_or(bytes);
        work::count(now.len());
        let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(now) else { continue };
        work::count(now.len() * 9);
        if octets::encode(&text, encoding).is_some_and(|back| back == now)
            && let Some(clean) = change(&text)
        {
            out = octets::encode(&clean, encoding).or(out);
        }
    }
    out
}

/// Whether a file is text: it holds no control characters but those of text. UTF-16 is known by its
/// mark.
pub(in crate::message) fn is_text(bytes: &[u8]) -> bool {
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
            (encoding_rs::ISO_2022_JP, "メールはb-real@home.exampleまで"),
            (WINDOWS_1252, "Né le 3\u{a0}mai, éb-real@home.example"),
            (encoding_rs::UTF_8, "メールはb-real@home.exampleまで"),
            (UTF_16LE, "\u{feff}メールはb-real@home.exampleまで"),
            (UTF_16BE, "\u{feff}b-real@home.example"),
        ] {
            let bytes = octets::encode(text, encoding).unwrap();
            let want = octets::encode(&text.replace("b-real@home.example", "alias@m.test"), encoding).unwrap();
            assert_eq!(scrubbed(&bytes), Some(want), "{}", encoding.name());
        }
        assert_eq!(scrubbed(b"nothing \xff"), None);
    }
}
