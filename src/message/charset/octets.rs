//! Texts that can be written back: each octet that does not decode stands as a private-use
//! character of its own and comes back as that octet. So a text that is damaged, or of which nobody
//! is sure, can be searched and changed without a loss.

use crate::message::work;
use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Octet 0 as a private-use character (Unicode 23.5); no other module uses those behind it.
const RAW: u32 = 0xf700;

/// An octet above 127: ASCII always decodes.
fn raw(octet: u8) -> char {
    if octet.is_ascii() { char::from(octet) } else { char::from_u32(RAW + u32::from(octet)).unwrap_or('?') }
}

fn octet(c: char) -> Option<u8> {
    u32::from(c).checked_sub(RAW).and_then(|octet| u8::try_from(octet).ok()).filter(|octet| !octet.is_ascii())
}

/// Decodes octets; those that do not decode are private-use characters, and counted. Such
/// characters that somebody wrote are the octets that they were, else they would come back as
/// others.
pub(super) fn decode(bytes: &[u8], encoding: &'static Encoding) -> (String, usize) {
    work::count(bytes.len() * 4);
    let mut out = String::with_capacity(bytes.len() * 2);
    let mut faults = 0;
    if encoding == UTF_8 {
        for chunk in bytes.utf8_chunks() {
            for piece in chunk.valid().split_inclusive(|c| octet(c).is_some()) {
                let own = piece.chars().next_back().filter(|c| octet(*c).is_some()).map_or(0, char::len_utf8);
                let (words, own) = piece.split_at(piece.len() - own);
                out.push_str(words);
                out.extend(own.bytes().map(raw));
            }
            out.extend(chunk.invalid().iter().map(|byte| raw(*byte)));
            faults += usize::from(!chunk.invalid().is_empty());
        }
        return (out, faults);
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut done = 0;
    loop {
        let rest = bytes.get(done..).unwrap_or(&[]);
        out.reserve(decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(rest.len() * 3));
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut out, true);
        done += read;
        match result {
            DecoderResult::InputEmpty => return (out, faults),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(length, behind) => {
                faults += 1;
                let end = done.saturating_sub(usize::from(behind));
                let wrong = bytes.get(end.saturating_sub(usize::from(length))..end).unwrap_or(&[]);
                out.extend(wrong.iter().map(|byte| raw(*byte)));
            }
        }
    }
}

/// Encodes a text. `None`: it has characters that the charset lacks.
pub(super) fn encode(text: &str, encoding: &'static Encoding) -> Option<Vec<u8>> {
    work::count(text.len() * 2);
    if encoding == UTF_16LE {
        return Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    if encoding == UTF_16BE {
        return Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    let (encoded, _, unmappable) = encoding.encode(text);
    (!unmappable).then(|| encoded.into_owned())
}

/// The same for what [`decode`] gave, or a text that was made of it.
pub(super) fn restore(text: &str, encoding: &'static Encoding) -> Option<Vec<u8>> {
    work::count(text.len());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| octet(c).is_some()).unwrap_or(rest.len());
        let (words, wrong) = rest.split_at(end);
        out.extend_from_slice(&encode(words, encoding)?);
        let behind = wrong.trim_start_matches(|c| octet(c).is_some());
        out.extend(wrong.get(..wrong.len() - behind.len()).unwrap_or("").chars().filter_map(octet));
        rest = behind;
    }
    Some(out)
}

/// `text` for people: a question mark for each run of octets that did not decode. Not U+FFFD, which
/// programs take for a fault of their own.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut wrong = false;
    for c in text.chars() {
        let is_raw = octet(c).is_some();
        match (is_raw, wrong) {
            (true, false) => out.push('?'),
            (true, true) => {}
            (false, _) => out.push(c),
        }
        wrong = is_raw;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{BIG5, EUC_JP, EUC_KR, GB18030, SHIFT_JIS, WINDOWS_1252};

    proptest::proptest! {
        #[test]
        fn all_octets_come_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for encoding in [SHIFT_JIS, EUC_JP, EUC_KR, WINDOWS_1252] {
                let (text, faults) = decode(&bytes, encoding);
                // Characters that have two codes come back as the other one.
                let (again, _) = decode(&restore(&text, encoding).unwrap_or_else(|| bytes.clone()), encoding);
                proptest::prop_assert_eq!(&again, &text, "{}", encoding.name());
                proptest::prop_assert_eq!(faults > 0, encoding.decode_without_bom_handling_and_without_replacement(&bytes).is_none());
            }
            for encoding in [BIG5, GB18030] {
                let _ = restore(&decode(&bytes, encoding).0, encoding);
            }
            let (text, _) = decode(&bytes, UTF_8);
            proptest::prop_assert_eq!(restore(&text, UTF_8), Some(bytes));
        }
    }

    #[test]
    fn damage_is_shown_as_a_question_mark() {
        // A private-use character that somebody wrote is none.
        let own = "a\u{f7e9}b\u{f7e9}".as_bytes();
        assert_eq!(restore(&decode(own, UTF_8).0, UTF_8).as_deref(), Some(own));
        assert_eq!(encode("\u{f7e9}", UTF_8).as_deref(), Some("\u{f7e9}".as_bytes()));
        assert_eq!(shown(&decode(b"caf\xff\xfe au lait", UTF_8).0), "caf? au lait");
        assert_eq!(decode(b"\x82\xb2\xff\x92\x8d", SHIFT_JIS), (format!("ご{}注", raw(0xff)), 1));
    }
}
