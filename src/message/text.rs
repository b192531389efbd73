//! Text in mail: charsets, encoded words (RFC 2047), and making text harmless for a header. Transfer encodings are in `transfer`.

use super::transfer::{decode_base64, decode_q};
use super::{charset, work};
use data_encoding::BASE64;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Octets of an encoded word: RFC 2047 2 allows 75, and programs write whole subjects in one.
const WORD: usize = 16 << 10;
/// The same of one in which question marks stand.
const MARKED: usize = 1000;

/// Decodes `bytes` that are said to be in `charset`, or read as what they are if that cannot be.
/// Never fails: a question mark stands for what does not decode.
#[must_use]
pub fn decode_charset<'a>(bytes: &'a [u8], charset: &str) -> Cow<'a, str> {
    charset::read(bytes, charset, false).shown()
}

/// Decodes the encoded words of an unfolded value. Those that follow each other are decoded as one
/// text: many programs cut where a character goes on, or where no escape sequence ends a run.
#[must_use]
pub fn decode_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut words: Vec<Word<'_>> = Vec::new();
    work::skip(text.len());
    while let Some(start) = rest.find("=?") {
        if work::is_over() {
            break;
        }
        let (before, candidate) = rest.split_at(start);
        let found = word(candidate);
        // White space between two encoded words is not text.
        if found.is_none() || words.is_empty() || !before.chars().all(char::is_whitespace) {
            decode_run(&words, &mut out);
            words.clear();
            out.push_str(before);
        }
        match found {
            Some((word, length)) => {
                words.push(word);
                rest = candidate.get(length..).unwrap_or("");
            }
            None => {
                out.push_str("=?");
                rest = candidate.get(2..).unwrap_or("");
            }
        }
    }
    decode_run(&words, &mut out);
    out.push_str(rest);
    out
}

/// An encoded word, taken apart.
struct Word<'a> {
    charset: &'a str,
    /// In base 64.
    base64: bool,
    data: &'a str,
}

impl Word<'_> {
    fn octets(&self) -> Vec<u8> {
        if self.base64 { decode_base64(self.data.as_bytes()) } else { decode_q(self.data.as_bytes(), true) }
    }
}

/// The encoded word at the start of `text`, and its length.
fn word(text: &str) -> Option<(Word<'_>, usize)> {
    let mut parts = text.get(2..)?.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    work::count(charset.len() + encoding.len());
    let base64 = match encoding {
        "B" | "b" => true,
        "Q" | "q" => false,
        _ => return None,
    };
    let mut end = rest.find('?')?;
    if !base64 && rest.as_bytes().get(end + 1) != Some(&b'=') {
        end = question(rest)?;
    }
    let (data, tail) = rest.split_at_checked(end)?;
    work::count(data.len());
    // Some programs read a word that names no charset.
    if !tail.starts_with("?=") || charset.len() > 60 || data.len() > WORD {
        return None;
    }
    let strange = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/=-_ ".contains(byte);
    // Words that only look like it would become noise.
    if base64 && data.bytes().filter(strange).count() * 8 > data.len() {
        return None;
    }
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + data.len() + 2;
    Some((Word { charset, base64, data }, length))
}

/// The end of a word in which question marks stand that should have been encoded.
fn question(rest: &str) -> Option<usize> {
    let reach = rest.as_bytes().get(..MARKED.min(rest.len()))?;
    work::skip(reach.len());
    let end = memchr::memmem::find(reach, b"?=")?;
    let data = reach.get(..end)?;
    (!data.contains(&b' ') && memchr::memmem::find(data, b"=?").is_none()).then_some(end)
}

/// Decodes encoded words that follow each other.
fn decode_run(words: &[Word<'_>], out: &mut String) {
    for group in words.chunk_by(|a, b| charset::are_same(a.charset, b.charset)) {
        let Some(Word { charset, .. }) = group.first() else { continue };
        let pieces: Vec<Vec<u8>> = group.iter().map(Word::octets).collect();
        let whole = pieces.concat();
        let joined = charset::read(&whole, charset, false);
        let doubts = joined.doubts(charset);
        // No octets end in one character of base 64.
        let is_base64 = group.iter().all(|word| word.base64);
        let is_cut = is_base64 && group.iter().rev().skip(1).any(|word| word.data.len() % 4 == 1);
        if doubts == 0 && !is_cut || group.len() == 1 {
            out.push_str(&joined.shown());
            continue;
        }
        // Cut in the middle of four characters of base 64; or each is a text of its own after all.
        let base64: String = group.iter().filter(|word| word.base64).map(|word| word.data).collect();
        let base64 = decode_base64(base64.as_bytes());
        let glued = charset::read(&base64, charset, false);
        let alone: Vec<_> = pieces.iter().map(|piece| charset::read(piece, charset, false)).collect();
        if is_base64 && glued.doubts(charset) < doubts + usize::from(is_cut) {
            out.push_str(&glued.shown());
        } else if alone.iter().map(|reading| reading.doubts(charset)).sum::<usize>() < doubts {
            alone.into_iter().for_each(|reading| out.push_str(&reading.shown()));
        } else {
            out.push_str(&joined.shown());
        }
    }
}

/// Takes out what must never stand in a header or a name: control characters, line and paragraph separators, and the characters that turn the
/// direction of writing. White space becomes a single space.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    work::count(text.len());
    for c in text.chars() {
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
        if c.is_whitespace() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}') {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !c.is_control() && !bidi && c != '\u{feff}' {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

/// An unstructured value for a field that begins at column `column`: plain where ASCII allows, else encoded words of at most 75
/// characters, folded. `text` is made [`harmless`] first.
#[must_use]
pub fn encode_unstructured(text: &str, column: usize) -> String {
    let text = harmless(text);
    let plain = text.is_ascii() && !text.contains("=?");
    if plain && text.split(' ').all(|word| word.len() < 900) {
        return fold(&text, column);
    }
    encode_words(&text, column)
}

/// A name as the other side sees it: one line, and nothing in it that looks like an address.
#[must_use]
pub fn shown_name(name: &str) -> String {
    let name: String = harmless(name).chars().take(200).collect();
    let name = name.replace(['@', '\u{ff20}', '\u{fe6b}'], " at ").replace(['<', '>'], " ");
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A display name: a quoted string or encoded words, RFC 5322 3.4, of what [`shown_name`] leaves.
#[must_use]
pub fn encode_name(name: &str, column: usize) -> String {
    let name = shown_name(name);
    if name.is_ascii() && !name.contains("=?") && name.len() < 60 {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{quoted}\"");
    }
    encode_words(&name, column)
}

fn encode_words(text: &str, mut column: usize) -> String {
    const OPEN: &str = "=?utf-8?B?";
    let mut out = String::new();
    let mut chunk = String::new();
    let mut flush = |chunk: &mut String, column: &mut usize| {
        if chunk.is_empty() {
            return;
        }
        let word = format!("{OPEN}{}?=", BASE64.encode(chunk.as_bytes()));
        if !out.is_empty() {
            out.push_str("\r\n ");
            *column = 1;
        }
        *column += word.len();
        out.push_str(&word);
        chunk.clear();
    };
    for c in text.chars() {
        // 75 characters a word, 76 a line (RFC 2047 2).
        let room = 75_usize.min(76_usize.saturating_sub(column)).max(40) - OPEN.len() - 2;
        if chunk.len() + c.len_utf8() > room / 4 * 3 {
            flush(&mut chunk, &mut column);
            column = 1;
        }
        chunk.push(c);
    }
    flush(&mut chunk, &mut column);
    out
}

/// Folds at spaces, lines of 76 characters where the words allow it.
#[must_use]
pub fn fold(text: &str, mut column: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (n, word) in text.split(' ').enumerate() {
        if n > 0 {
            if column + 1 + word.len() > 76 && !word.is_empty() {
                out.push_str("\r\n");
                column = 0;
            }
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

/// A parameter, `; name="value"`, or in the form of RFC 2231 if it is not plain ASCII. Folded
/// before.
pub fn parameter(out: &mut String, name: &str, value: &str) {
    let value = harmless(value);
    // What looks like an encoded word would be decoded.
    if value.is_ascii() && value.len() < 60 && !value.contains("=?") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(out, ";\r\n {name}=\"{quoted}\"");
        return;
    }
    let mut encoded = String::new();
    let mut pieces = Vec::new();
    for c in value.chars() {
        let mut buffer = [0; 4];
        let mut piece = String::new();
        for byte in c.encode_utf8(&mut buffer).bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                piece.push(char::from(byte));
            } else {
                let _ = write!(piece, "%{byte:02X}");
            }
        }
        if encoded.len() + piece.len() > 50 {
            pieces.push(std::mem::take(&mut encoded));
        }
        encoded.push_str(&piece);
    }
    pieces.push(encoded);
    if let [only] = pieces.as_slice() {
        let _ = write!(out, ";\r\n {name}*=utf-8''{only}");
        return;
    }
    for (n, piece) in pieces.iter().enumerate() {
        let charset = if n == 0 { "utf-8''" } else { "" };
        let _ = write!(out, ";\r\n {name}*{n}*={charset}{piece}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        // as written, decoded
        let cases = [
            ("=?utf-8?Q?a_=C3=A4?=", "a ä"),
            ("=?utf-8?B?w6Q=?= =?utf-8?B?w6Q=?= x", "ää x"),
            ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
            ("=?gb18030?B?xOO6ww==?=", "你好"),
            ("a =?x b?=", "a =?x b?="),
            ("=?utf-8*en?q?a?=", "a"),
            ("=?utf-7?q?+AOQ-?=", "ä"),
            // cut within a character, a run, four characters of base 64
            ("=?utf-8?B?5rOo5paH4w==?= =?UTF-8?B?ga7ku7bjgac=?=", "注文の件で"),
            ("=?utf-8?Q?caf=C3?= =?utf-8?Q?=A9?=", "café"),
            ("=?iso-2022-jp?B?GyRCQ21KOCRO?=\t=?iso-2022-jp?B?N28kRxsoQg==?=", "注文の件で"),
            ("=?UTF-8?B?5paw44GX44GE5pa?= =?UTF-8?B?H5pu4LnR4dA==?=", "新しい文書.txt"),
            ("=?euc-kr?B?vsiz?= =?euc-kr?Q?=E7?=", "안녕"),
            ("=?utf8?B?5rOo5paH4w==?= =?UTF-8*ja?B?ga7ku7bjgac=?=", "注文の件で"),
            ("=?Shift_JIS?B?j6SVa?= =?Shift_JIS?B?YLJgs?= =?Shift_JIS?B?KCooL?= =?Shift_JIS?B?E?=", "商品について"),
            ("=?ms949?B?vsiz?= =?ks_c_5601-1987?Q?=E7?=", "안녕"),
            ("=?utf-8?B?w6Q=?= =?iso-8859-1?Q?=E4?=", "ää"),
            // each ends in half a character that is lost
            ("=?utf-8?B?w6TD?= =?utf-8?B?w6Q=?=", "ä?ä"),
            // names and lies
            ("=?cp932?B?j6SVaYdA?=", "商品①"),
            ("=?utf-8?Q?caf=E9 au lait?=", "café au lait"),
            ("=?iso-2022-jp?B?k82Cq4LcgrmC8Q==?=", "届きません"),
            ("=?utf-8?B?Hello, world!?=", "=?utf-8?B?Hello, world!?="),
            // question marks as they are, and no charset
            ("=?utf-8?Q?Wo_ist_Gr=C3=BC=C3=9Fe??=", "Wo ist Grüße?"),
            ("=?utf-8?Q?=C3=A4?_ja?_?= =?utf-8?Q?=C3=A4?=", "ä? ja? ä"),
            ("=?utf-8?Q?a? =?utf-8?Q?b?=", "=?utf-8?Q?a? b"),
            ("=??B?w6Q=?= =??Q?=C3=A4?=", "ää"),
        ];
        for (text, want) in cases {
            assert_eq!(decode_words(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn headers_come_back_and_never_break(text in "\\PC{0,120}") {
            let encoded = encode_unstructured(&text, 9);
            for line in encoded.split("\r\n") {
                proptest::prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']));
                if encoded.contains("=?utf-8?B?") {
                    proptest::prop_assert!(line.len() <= 76, "{}", line);
                }
            }
            let unfolded = encoded.replace("\r\n", "");
            proptest::prop_assert_eq!(decode_words(&unfolded), harmless(&text));
        }

        #[test]
        fn anything_decodes(data in proptest::collection::vec(proptest::num::u8::ANY, 0..100), charset in "[a-zA-Z0-9-]{0,12}") {
            let _ = decode_base64(&data);
            let _ = decode_q(&data, false);
            let _ = decode_charset(&data, &charset);
            let _ = decode_words(&format!("=?{charset}?Q?{}?=", String::from_utf8_lossy(&data)));
        }
    }

    #[test]
    fn names_are_harmless() {
        // name, encoded
        let cases = [
            ("Sato Shop", "\"Sato Shop\""),
            ("a\r\nBcc: x@y.test", "\"a Bcc: x at y.test\""),
            ("a \"b\" \\c", "\"a \\\"b\\\" \\\\c\""),
            ("\u{202e}evil\u{85}x\u{2028}y", "\"evil x y\""),
            ("x <a@b.test>", "\"x a at b.test\""),
        ];
        for (name, want) in cases {
            assert_eq!(encode_name(name, 6), want);
        }
    }
}
