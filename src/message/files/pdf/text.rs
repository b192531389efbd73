//! Strings of a PDF file: each by itself in dictionaries, and together where they are drawn
//! (ISO 32000-1, 9.4.3), as an address is often drawn in pieces.

use super::super::shown::{Edit, Shown};
use super::fonts::{Font, Fonts};
use super::objects::{Kind, hex, token};
use crate::message::scrub::{Replacement, scrub};
use crate::message::work;
use std::borrow::Cow;
use std::ops::Range;

/// What a string or a stream comes to.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) edits: Vec<Edit>,
    /// An address stands there that cannot be replaced.
    pub(super) left: bool,
}

/// Edits of the strings of a value that hold addresses.
pub(super) fn in_value(value: &[u8], replacements: &[Replacement]) -> Vec<Edit> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((kind, range)) = token(value, at).filter(|_| !work::is_over()) {
        at = range.end;
        work::pack(4 + range.len());
        if !matches!(kind, Kind::Literal | Kind::Hex) {
            continue;
        }
        let octets: Vec<u8> = characters(value, kind, &range).into_iter().map(|(octet, _)| octet).collect();
        let text = decoded(&octets);
        if let Some(clean) = scrub(&text, false, replacements) {
            found.push(Edit { source: range, instead: written(&clean) });
        }
    }
    found
}

/// A text string (7.9.2.2).
fn decoded(octets: &[u8]) -> Cow<'_, str> {
    match octets {
        [0xfe, 0xff, rest @ ..] => encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0,
        [0xff, 0xfe, rest @ ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(rest).0,
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => encoding_rs::mem::decode_latin1(octets),
    }
}

fn written(text: &str) -> String {
    if text.is_ascii() {
        return format!("({})", text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)"));
    }
    let digits: String = text.encode_utf16().map(|unit| format!("{unit:04X}")).collect();
    format!("<FEFF{digits}>")
}

/// The octets of a string, and where each is written.
fn characters(text: &[u8], kind: Kind, range: &Range<usize>) -> Vec<(u8, Range<usize>)> {
    let inside = range.start + 1..range.end.saturating_sub(1).max(range.start + 1);
    let written = text.get(inside.clone()).unwrap_or(&[]);
    work::pack(written.len());
    if kind == Kind::Hex {
        let digits: Vec<usize> =
            written.iter().enumerate().filter(|(_, b)| b.is_ascii_hexdigit()).map(|(n, _)| inside.start + n).collect();
        let octets = hex(written);
        let place =
            |pair: &[usize]| pair.first().map_or(0..0, |first| *first..pair.last().map_or(*first, |last| last + 1));
        return octets.into_iter().zip(digits.chunks(2).map(place)).collect();
    }
    let mut out = Vec::with_capacity(written.len());
    let mut at = 0;
    while let Some(&byte) = written.get(at) {
        let rest = written.get(at + 1..).unwrap_or(&[]);
        let (octet, length) = match (byte, rest) {
            (b'\\', [b'0'..=b'7', ..]) => {
                let digits = rest.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let value = rest.iter().take(digits).fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
                (u8::try_from(value & 0xff).ok(), 1 + digits)
            }
            (b'\\', [b'\r', b'\n', ..]) => (None, 3),
            (b'\\', [b'\r' | b'\n', ..]) => (None, 2),
            (b'\\', [escaped, ..]) => {
                let octet = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    other => *other,
                };
                (Some(octet), 2)
            }
            _ => (Some(byte), 1),
        };
        let end = (at + length).min(written.len());
        out.extend(octet.map(|octet| (octet, inside.start + at..inside.start + end)));
        at += length;
    }
    out
}

/// Addresses in what a content stream draws; `round`: which of the fonts of one name is taken.
pub(super) fn in_content(content: &[u8], fonts: &Fonts, round: usize, replacements: &[Replacement]) -> Edits {
    let mut shown = Shown::default();
    // Strings whose font may not have the letters of an alias, and those in hexadecimal.
    let (mut fixed, mut hexes): (Vec<Range<usize>>, Vec<Range<usize>>) = (Vec::new(), Vec::new());
    let mut font: Option<&Font> = None;
    let (mut name, mut at) = (0..0, 0);
    while let Some((kind, range)) = token(content, at).filter(|_| !work::is_over()) {
        at = range.end;
        work::pack(4 + range.len());
        match kind {
            Kind::Name => name = range,
            Kind::Literal | Kind::Hex => {
                shown.gap();
                let octets = characters(content, kind, &range);
                match font.filter(|font| !font.plain) {
                    Some(font) => {
                        for c in font.read(octets.iter().map(|(octet, _)| *octet)) {
                            shown.character(c, range.clone());
                        }
                        fixed.push(range);
                    }
                    None => {
                        for (octet, place) in octets {
                            shown.character(char::from(octet), place);
                        }
                        if kind == Kind::Hex {
                            hexes.push(range);
                        }
                    }
                }
            }
            Kind::Word => match content.get(range) {
                Some(b"Tf") => font = fonts.named(content.get(name.clone()).unwrap_or(&[]), round),
                // The data of a picture, of any octets.
                Some(b"ID") => {
                    let rest = content.get(at..).unwrap_or(&[]);
                    at += memchr::memmem::find(rest, b"EI").map_or(rest.len(), |n| n + 2);
                    work::pack((rest.len().saturating_sub(content.len() - at)) / 8);
                }
                _ => {}
            },
            Kind::Open | Kind::Close => {}
        }
    }
    let mut edits = shown.edits(false, replacements);
    let inside = |ranges: &[Range<usize>], at: usize| {
        let n = ranges.partition_point(|range| range.start <= at);
        n.checked_sub(1).and_then(|n| ranges.get(n)).is_some_and(|range| at < range.end)
    };
    if edits.iter().any(|edit| inside(&fixed, edit.source.start)) {
        return Edits { edits: Vec::new(), left: true };
    }
    for edit in edits.iter_mut().filter(|edit| inside(&hexes, edit.source.start)) {
        edit.instead = edit.instead.bytes().map(|byte| format!("{byte:02X}")).collect();
    }
    Edits { edits, left: false }
}

#[cfg(test)]
mod tests {
    use super::super::super::shown::edited;
    use super::*;
    use crate::message::files::tests::replacements;

    #[test]
    fn strings_that_are_drawn_and_told() {
        // in a content stream: before, after
        let drawn = [
            ("BT /F1 12 Tf (write a.real@home.example now) Tj ET", Some("BT /F1 12 Tf (write alias@m.test now) Tj ET")),
            ("[(a.re)-20(al@home)3(.example)] TJ", Some("[(alias@m.test)-20()3()] TJ")),
            ("(a.real) Tj 3 0 Td (@home.example) Tj", Some("(alias@m.test) Tj 3 0 Td () Tj")),
            ("(a.real\\100home\\056example) Tj", Some("(alias@m.test) Tj")),
            ("(\\(a.real@home.example\\)) Tj", Some("(\\(alias@m.test\\)) Tj")),
            ("<612E7265616C40686F6D652E6578616D706C65> Tj", Some("<616C696173406D2E74657374> Tj")),
            ("BI /W 1 ID ((((\x01 EI (a.real@home.example) Tj", Some("BI /W 1 ID ((((\x01 EI (alias@m.test) Tj")),
            ("(other@home.example) Tj", None),
            ("(", None),
        ];
        for (before, after) in drawn {
            let found = in_content(before.as_bytes(), &Fonts::default(), 0, &replacements());
            let got = edited(before.as_bytes(), found.edits).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(got.as_deref(), after, "{before}");
        }
        // in a dictionary
        let told = [
            ("<</URI(mailto:a.real@home.example?subject=x)>>", Some("<</URI(mailto:alias@m.test?subject=x)>>")),
            ("<</URI(mailto:a.real%40home.example)/S/URI>>", Some("<</URI(mailto:alias@m.test)/S/URI>>")),
            (
                "<</Contents<FEFF30420061002E007200650061006C00400068006F006D0065002E006500780061006D0070006C0065>>>",
                Some("<</Contents<FEFF304200610006C00690061007300400 06D002E0074006500730074>>>"),
            ),
            ("<</A(a.real)/B(@home.example)>>", None),
        ];
        for (before, after) in told {
            let got = edited(before.as_bytes(), in_value(before.as_bytes(), &replacements()));
            let got = got.map(|bytes| String::from_utf8(bytes).unwrap());
            let want = after.map(|after| after.replace("00610006C", "0061006C").replace("400 06D", "40006D"));
            assert_eq!(got, want, "{before}");
        }
    }
}
