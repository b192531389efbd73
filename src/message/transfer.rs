//! Transfer encodings, RFC 2045 6: base 64 and quoted-printable, there and back.
//!
//! Not here: what the octets say (`text`).

use super::work;
use data_encoding::{BASE64, BASE64_MIME};

/// Base 64 as mail programs write it: everything outside the alphabet is skipped, a missing end is forgiven.
#[must_use]
pub fn decode_base64(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 4 * 3 + 3);
    let mut open = Open::default();
    let mut rest = data;
    work::count(data.len() / 2);
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        // Almost every line is whole groups and nothing else.
        if open.count > 0 || !decode_line(line.trim_ascii_end(), &mut out) {
            open.decode(line, &mut out);
        }
        rest = after;
    }
    out
}

/// Octets of a body that are looked at to see whether it is base 64, and of a line that settles it.
const LOOKED_AT: usize = 16 << 10;
const LINE: usize = 60;

/// Whether a body that is said to be base 64 is that: most of it stands in lines of its alphabet,
/// and where each line may as well be a word, what it decodes to `is_text`.
///
/// Whom it hits: who writes a word under that name gets what he wrote. What it tells a liar:
/// nothing; it goes out in an encoding of ours.
#[must_use]
pub fn is_base64(body: &[u8], is_text: impl Fn(&[u8]) -> bool) -> bool {
    let looked_at = body.get(..LOOKED_AT.min(body.len())).unwrap_or(body);
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let (mut good, mut bad, mut lines, mut words) = (0, 0, 0, 0);
    for line in looked_at.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        work::count(line.len());
        if !line.iter().all(in_alphabet) {
            bad += line.len();
            continue;
        }
        if lines == 0 && line.len() >= LINE {
            return true;
        }
        lines += 1;
        words += usize::from(is_word(line));
        good += line.len();
    }
    // No number of octets has one character left over; and who writes `OK` means that.
    if good < bad || lines == 1 && good % 4 == 1 || words == lines && lines > 0 && good < 4 {
        return false;
    }
    words < lines || lines == 0 || is_text(&decode_base64(looked_at))
}

/// Small letters, the first perhaps a capital; or capitals, or digits alone.
fn is_word(line: &[u8]) -> bool {
    let rest = line.get(1..).unwrap_or(&[]);
    let letters = line.iter().all(u8::is_ascii_alphabetic);
    letters && (rest.iter().all(u8::is_ascii_lowercase) || line.iter().all(u8::is_ascii_uppercase))
        || line.iter().all(u8::is_ascii_digit)
}

/// Decodes a line of whole groups; `false`: it is none, and nothing was decoded.
fn decode_line(line: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let Ok(length) = BASE64.decode_len(line.len()) else { return false };
    out.resize(start + length, 0);
    let decoded = out.get_mut(start..).and_then(|room| BASE64.decode_mut(line, room).ok());
    out.truncate(start + decoded.unwrap_or(0));
    decoded.is_some()
}

/// A group of base 64 that is not whole yet.
#[derive(Default)]
struct Open {
    bits: u32,
    count: u32,
}

impl Open {
    fn decode(&mut self, data: &[u8], out: &mut Vec<u8>) {
        for byte in data {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                // Padding ends a group; some programs glue two encodings together.
                b'=' => {
                    self.count = 0;
                    continue;
                }
                _ => continue,
            };
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 1;
            match self.count {
                2 => out.push((self.bits >> 4 & 0xff) as u8),
                3 => out.push((self.bits >> 2 & 0xff) as u8),
                4 => {
                    out.push((self.bits & 0xff) as u8);
                    self.count = 0;
                }
                _ => {}
            }
        }
    }
}

/// Quoted-printable; `word`: as in encoded words, where `_` is a space.
#[must_use]
pub fn decode_q(data: &[u8], word: bool) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(data.len());
    work::count(data.len() * 2);
    let mut at = 0;
    while let Some(&byte) = data.get(at) {
        match (byte, hex(data.get(at + 1)), hex(data.get(at + 2))) {
            (b'=', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            (b'=', _, _) if !word => {
                // A soft break: white space up to the end of the line.
                let rest = data.get(at + 1..).unwrap_or(&[]);
                let white = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
                work::count(white);
                if matches!(rest.get(white), None | Some(b'\n')) {
                    at += (white + 2).min(rest.len() + 1);
                } else {
                    out.push(b'=');
                    at += 1;
                }
            }
            (b'_', _, _) if word => {
                out.push(b' ');
                at += 1;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Appends base 64 in lines of 76 characters.
pub fn encode_base64(data: &[u8], out: &mut Vec<u8>) {
    work::count(data.len() / 2);
    out.reserve(BASE64_MIME.encode_len(data.len()));
    // Many lines, and few enough that what was made room for is still in the processor's cache when it is written.
    for lines in data.chunks(57 * 64) {
        let start = out.len();
        out.resize(start + BASE64_MIME.encode_len(lines.len()), 0);
        if let Some(room) = out.get_mut(start..) {
            BASE64_MIME.encode_mut(lines, room);
        }
    }
}

/// Appends quoted-printable of text whose lines end in CRLF, in lines of at most 76 characters.
pub fn encode_qp(data: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    work::count(data.len() * 4);
    out.reserve(data.len() + data.len() / 8 + 16);
    let mut column = 0;
    let mut at = 0;
    while let Some(&byte) = data.get(at) {
        if data.get(at..at + 2) == Some(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            at += 2;
            continue;
        }
        let line_ends = matches!(data.get(at + 1..at + 3), Some(b"\r\n")) || at + 1 == data.len();
        let plain = match byte {
            b' ' | b'\t' => !line_ends,
            b'=' => false,
            // "From " and a lone dot have been mangled on the way often enough.
            b'F' | b'.' if column == 0 => false,
            33..=126 => true,
            _ => false,
        };
        let width = if plain { 1 } else { 3 };
        if column + width > if line_ends { 76 } else { 75 } {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            out.push(byte);
        } else {
            let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
        }
        column += width;
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_base64() {
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control));
        let long = "Rm9vYmFy".repeat(9);
        // body, whether it is base 64
        let cases = [
            ("Hello, the parcel arrived damaged today.\r\nPlease help.\r\n", false),
            ("Hello", false),
            ("Help", false),
            ("OK", false),
            ("Hi\r\n", false),
            ("Hello\r\nThanks\r\n", false),
            ("Thanks for all\r\nHello\r\n", false),
            ("caf\u{e9}\r\n", false),
            ("aGVsbG8=\r\n", true),
            ("aGVsbG8", true),
            ("IL/g2NLV4iA=", true),
            ("4pyT", true),
            ("12345678\r\n", false),
            (&format!("{long}\r\n"), true),
            (&format!("{long}\r\n-- \r\nmailing list"), true),
            (&format!("preamble\r\n{long}\r\n"), true),
            ("", true),
        ];
        for (body, want) in cases {
            assert_eq!(is_base64(body.as_bytes(), is_text), want, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn qp_comes_back(text in proptest::collection::vec("[ -~\u{e9}=\t.F]{0,90}", 0..6)) {
            let text = text.join("\r\n");
            let mut encoded = Vec::new();
            encode_qp(text.as_bytes(), &mut encoded);
            for line in encoded.split(|b| *b == b'\n') {
                proptest::prop_assert!(line.len() <= 77);
                proptest::prop_assert!(line.is_ascii());
            }
            proptest::prop_assert_eq!(decode_q(&encoded, false), text.into_bytes());
        }

        #[test]
        fn base64_comes_back(data in proptest::collection::vec(proptest::num::u8::ANY, 0..300), times in 1_usize..40) {
            let data = data.repeat(times);
            let mut encoded = Vec::new();
            encode_base64(&data, &mut encoded);
            proptest::prop_assert!(encoded.is_empty() || encoded.ends_with(b"\r\n"));
            proptest::prop_assert_eq!(decode_base64(&encoded), data);
        }

        #[test]
        fn what_is_base64_is_seen_to_be(data in proptest::collection::vec(proptest::num::u8::ANY, 0..300), cut in 0_usize..3) {
            let mut encoded = Vec::new();
            encode_base64(&data, &mut encoded);
            let end = encoded.trim_ascii_end().len();
            encoded.truncate(end.saturating_sub(cut));
            // What is cut to a word may as well be one.
            proptest::prop_assert!(is_word(&encoded) || is_base64(&encoded, |_| true));
        }

        #[test]
        fn base64_by_lines_is_base64(text in "[AZaz09+/]{0,9}(=|\r\n|\n| |[AZaz09+/]{4}|[Q=]|-){0,20}") {
            let mut want = Vec::new();
            Open::default().decode(text.as_bytes(), &mut want);
            proptest::prop_assert_eq!(decode_base64(text.as_bytes()), want);
        }
    }
}
