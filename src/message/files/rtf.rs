//! RTF 1.9: addresses in the text, however it is written: over groups and control words, in hex and
//! Unicode escapes, and in the instructions of fields (`HYPERLINK "mailto:…"`).

use super::shown::{Shown, edited};
use crate::message::scrub::Replacement;
use crate::message::work;

/// Digits of a control word's parameter that are read.
const DIGITS: usize = 10;

/// Replaces the addresses in `bytes`. `None`: there was none.
pub(super) fn clean(bytes: &[u8], replacements: &[Replacement]) -> Option<Vec<u8>> {
    work::pack(bytes.len());
    edited(bytes, shown(bytes).edits(false, replacements))
}

fn shown(bytes: &[u8]) -> Shown {
    let mut shown = Shown::default();
    // How many characters stand behind `\u` for readers that do not know it, for each group.
    let mut instead = vec![1_usize];
    // Whether the last was an escaped octet that is not ASCII.
    let (mut at, mut half) = (0, false);
    while let Some(&byte) = bytes.get(at).filter(|_| !work::is_over()) {
        let rest = bytes.get(at + 1..).unwrap_or(&[]);
        match byte {
            b'{' => {
                // Deeper than anybody writes: all are one.
                if instead.len() < 1000 {
                    instead.push(instead.last().copied().unwrap_or(1));
                }
                shown.gap();
                at += 1;
            }
            b'}' => {
                if instead.len() > 1 {
                    instead.pop();
                }
                shown.gap();
                at += 1;
            }
            b'\r' | b'\n' => at += 1,
            b'\\' => match rest.first() {
                Some(b'\'') => {
                    let octet = rest.get(1..3).and_then(hex);
                    // The octet behind one of another alphabet may be the second half of a sign.
                    let letter = octet.filter(|octet| octet.is_ascii() && !half);
                    half = octet.is_some_and(|octet| !octet.is_ascii() && !half);
                    shown.character(letter.map_or('\u{fffd}', char::from), at..at + 4);
                    at += 4;
                    continue;
                }
                Some(b'a'..=b'z' | b'A'..=b'Z') => {
                    let word = Word::read(rest);
                    let end = at + 1 + word.length;
                    match (word.name, word.value) {
                        (b"u", Some(value)) => {
                            let skip = instead.last().copied().unwrap_or(1);
                            let end = end + fallback(bytes.get(end..).unwrap_or(&[]), skip);
                            // Negative numbers stand for the upper half.
                            let code = u32::try_from(value & 0xffff).ok().and_then(char::from_u32);
                            shown.character(code.unwrap_or('\u{fffd}'), at..end);
                            at = end;
                        }
                        (b"uc", Some(value)) => {
                            if let Some(last) = instead.last_mut() {
                                *last = usize::try_from(value).unwrap_or(1).min(16);
                            }
                            at = end;
                        }
                        (b"bin", Some(value)) => {
                            shown.gap();
                            at = end.saturating_add(usize::try_from(value).unwrap_or(0));
                        }
                        _ => {
                            shown.gap();
                            at = end;
                        }
                    }
                }
                // Optional and hard hyphens and spaces, and signs that would else be RTF's own.
                Some(b'-') => at += 2,
                Some(b'_') => {
                    shown.character('-', at..at + 2);
                    at += 2;
                }
                Some(sign @ (b'\\' | b'{' | b'}')) => {
                    shown.character(char::from(*sign), at..at + 2);
                    at += 2;
                }
                _ => {
                    shown.gap();
                    at += 2;
                }
            },
            _ => {
                let run = bytes.get(at..).unwrap_or(&[]);
                let run =
                    run.iter().position(|b| matches!(b, b'{' | b'}' | b'\\' | b'\r' | b'\n')).unwrap_or(run.len());
                let words = bytes.get(at..at + run).unwrap_or(&[]);
                half = false;
                for chunk in words.utf8_chunks() {
                    shown.words(chunk.valid(), at);
                    at += chunk.valid().len();
                    if !chunk.invalid().is_empty() {
                        shown.character('\u{fffd}', at..at + chunk.invalid().len());
                        at += chunk.invalid().len();
                    }
                }
            }
        }
    }
    shown
}

/// A control word behind its backslash.
struct Word<'a> {
    name: &'a [u8],
    value: Option<i64>,
    /// With the space that ends it.
    length: usize,
}

impl<'a> Word<'a> {
    fn read(text: &'a [u8]) -> Self {
        let letters = text.iter().take(32).take_while(|b| b.is_ascii_alphabetic()).count();
        let behind = text.get(letters..).unwrap_or(&[]);
        let sign = usize::from(behind.first() == Some(&b'-'));
        let digits = behind.iter().skip(sign).take(DIGITS).take_while(|b| b.is_ascii_digit()).count();
        let number = behind.get(..sign + digits).filter(|_| digits > 0);
        let value = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        let end = letters + number.map_or(0, <[u8]>::len);
        let space = usize::from(text.get(end) == Some(&b' '));
        Self { name: text.get(..letters).unwrap_or(&[]), value, length: end + space }
    }
}

/// Octets of so many characters that stand behind `\u` for old readers.
fn fallback(text: &[u8], count: usize) -> usize {
    let mut at = 0;
    for _ in 0..count {
        at += match text.get(at..).unwrap_or(&[]) {
            [b'\\', b'\'', ..] => 4,
            [b'\\' | b'{' | b'}' | b'\r' | b'\n', ..] | [] => break,
            _ => 1,
        };
    }
    at.min(text.len())
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::files::tests::replacements;

    #[test]
    fn addresses_however_they_are_written() {
        // before, after (`None`: nothing to replace)
        let cases = [
            ("{\\rtf1\\ansi mail a.real@home.example\\par}", Some("{\\rtf1\\ansi mail alias@m.test\\par}")),
            ("{\\rtf1 a.real\\'40home.example}", Some("{\\rtf1 alias@m.test}")),
            ("{\\rtf1 a.real\\u64?home.example}", Some("{\\rtf1 alias@m.test}")),
            ("{\\rtf1\\uc2 a.real\\u64 ??home.example}", Some("{\\rtf1\\uc2 alias@m.test}")),
            ("{\\rtf1 a.re{\\b al}@ho\r\nme.example\\line x}", Some("{\\rtf1 alias@m.test{\\b }\r\n\\line x}")),
            (
                "{\\field{\\*\\fldinst{HYPERLINK \"mailto:a.real@home.example\"}}{\\fldrslt{\\ul a.real@home.example}}}",
                Some("{\\field{\\*\\fldinst{HYPERLINK \"mailto:alias@m.test\"}}{\\fldrslt{\\ul alias@m.test}}}"),
            ),
            ("{\\rtf1 \\'83\\'41a.real@home.example}", Some("{\\rtf1 \\'83\\'41alias@m.test}")),
            ("{\\rtf1 \\bin3 a\\{ b@home.example}", None),
            ("{\\rtf1 b.real@home.example}", None),
            ("{\\rtf1 \\u", None),
            ("\\", None),
            ("\\'", None),
        ];
        for (before, after) in cases {
            let got = clean(before.as_bytes(), &replacements()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(got.as_deref(), after, "{before}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(pieces in proptest::collection::vec(proptest::sample::select(&["{", "}", "\\", "\\u64?", "\\'40", "\\bin9 ", "\\uc3", "a.real", "@home.example", "\r\n", "\\b ", "\u{e9}", "x"][..]), 0..30)) {
            let _ = clean(pieces.concat().as_bytes(), &replacements());
        }
    }
}
