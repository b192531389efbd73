//! Comments and marks in a PDF file (ISO 32000-1, 12.5.6): who made them, and when by whose clock. What they say stays.

use super::{MOST_OBJECTS, Object, literal_end, memchr_from, work};
use memchr::memmem;
use std::ops::Range;

/// Annotations whose `T` names a person; that of a form's field is the field's name.
const MARKUP: &[&[u8]] = &[
    b"Text",
    b"FreeText",
    b"Line",
    b"Square",
    b"Circle",
    b"Polygon",
    b"PolyLine",
    b"Highlight",
    b"Underline",
    b"Squiggly",
    b"StrikeOut",
    b"Stamp",
    b"Caret",
    b"Ink",
    b"Popup",
    b"FileAttachment",
    b"Sound",
    b"Redact",
    b"Projection",
];
/// Its author, and moments with their zone.
const TOLD: &[&[u8]] = &[b"T", b"M", b"CreationDate"];
/// Dictionaries and arrays in each other; deeper, the outer ones are forgotten.
const DEPTH: usize = 64;

/// A dictionary that is being read.
#[derive(Default)]
struct Dictionary {
    key: Vec<u8>,
    markup: bool,
    told: Vec<Range<usize>>,
    referred: Vec<Object>,
}

/// Overwrites them in `out`, which is as long as `bytes`. Gives the objects in which authors stand that do not stand in the annotation itself.
pub(super) fn blank(bytes: &[u8], out: &mut [u8]) -> Vec<Object> {
    let mut referred = Vec::new();
    work::pack(bytes.len() * 2);
    let mut open: Vec<Dictionary> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'<' if bytes.get(at + 1) == Some(&b'<') => {
                if open.len() == DEPTH {
                    open.clear();
                }
                open.push(Dictionary::default());
                at += 2;
            }
            b'>' if bytes.get(at + 1) == Some(&b'>') => {
                let done = open.pop().filter(|dictionary| dictionary.markup).unwrap_or_default();
                for range in done.told {
                    let filler = if bytes.get(range.start) == Some(&b'(') { b' ' } else { b'0' };
                    if let Some(inside) = out.get_mut(range.start + 1..range.end) {
                        inside.fill(filler);
                    }
                }
                referred.extend(done.referred);
                at += 2;
            }
            b'(' | b'<' if !open.is_empty() => {
                let end = if byte == b'(' { literal_end(bytes, at) } else { memchr_from(bytes, b'>', at) };
                if let Some(dictionary) = open.last_mut().filter(|open| TOLD.contains(&open.key.as_slice())) {
                    dictionary.told.push(at..end);
                }
                at = end + 1;
            }
            b'/' => {
                let rest = bytes.get(at + 1..).unwrap_or(&[]);
                let length = rest.iter().take(128).take_while(|octet| octet.is_ascii_alphanumeric()).count();
                let name = rest.get(..length).unwrap_or(&[]);
                if let Some(dictionary) = open.last_mut() {
                    dictionary.markup |= dictionary.key == b"Subtype" && MARKUP.contains(&name);
                    dictionary.key = name.to_vec();
                }
                at += 1 + length;
            }
            b'R' if open.last().is_some_and(|open| TOLD.contains(&open.key.as_slice())) => {
                let before = bytes.get(at.saturating_sub(24)..at).unwrap_or(&[]);
                let mut words = before.rsplit(|octet| !octet.is_ascii_digit()).filter(|word| !word.is_empty());
                let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
                if let (Some(generation), Some(number), Some(dictionary)) =
                    (words.next(), words.next(), open.last_mut())
                {
                    // More are not looked for.
                    if dictionary.referred.len() <= MOST_OBJECTS {
                        dictionary.referred.push((text(number), text(generation)));
                    }
                }
                at += 1;
            }
            // Not what is in streams: octets of any kind.
            b's' if bytes.get(at..at + 6) == Some(b"stream") => {
                open.clear();
                let rest = bytes.get(at..).unwrap_or(&[]);
                let Some(end) = memmem::find(rest, b"endstream") else { break };
                at += end + 9;
            }
            b'e' if bytes.get(at..at + 6) == Some(b"endobj") => {
                open.clear();
                at += 6;
            }
            _ => at += 1,
        }
    }
    referred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_of_comments() {
        // file, what becomes of it
        let cases = [
            (
                "<</Type/Annot/Subtype/Text/T(Ann \\) B)/Contents(by Ann)/M(D:2026+09'00')/NM(x)>>",
                "<</Type/Annot/Subtype/Text/T(        )/Contents(by Ann)/M(             )/NM(x)>>",
            ),
            ("<</T <416e6e> /Subtype /Highlight>>", "<</T <000000> /Subtype /Highlight>>"),
            ("<</Subtype/Widget/FT/Tx/T(field)>>", "<</Subtype/Widget/FT/Tx/T(field)>>"),
            ("<</T(field)/Kids[<</Subtype/Ink/T(Ann)>>]>>", "<</T(field)/Kids[<</Subtype/Ink/T(   )>>]>>"),
            ("<</Subtype/Text/A<</T(x)>>/T(Ann)>>", "<</Subtype/Text/A<</T(x)>>/T(   )>>"),
            ("(x<</Subtype/Text/T(Ann)>>", "(x<</Subtype/Text/T(   )>>"),
            ("<<>>stream <</Subtype/Text/T(Ann)>> endstream", "<<>>stream <</Subtype/Text/T(Ann)>> endstream"),
            ("<</Subtype/Text/T(Ann", "<</Subtype/Text/T(Ann"),
            (">>", ">>"),
        ];
        for (file, want) in cases {
            let mut out = file.as_bytes().to_vec();
            assert_eq!(blank(file.as_bytes(), &mut out), Vec::new(), "{file}");
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let elsewhere = b"<</Subtype/Text/T 12 0 R/Popup 13 0 R>><</Subtype/Link/T 14 0 R>>";
        assert_eq!(blank(elsewhere, &mut elsewhere.to_vec()), [("12".to_owned(), "0".to_owned())]);
    }

    #[test]
    fn storms_are_linear() {
        for storm in ["<<", "(", "<</T(", "/", "stream", "<</T<", ">>", "<</Subtype/Text"] {
            let file = storm.repeat(1_000_000 / storm.len()).into_bytes();
            let _ = blank(&file, &mut file.clone());
        }
    }
}
