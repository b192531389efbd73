//! Charsets of seven-bit octets that change what they mean on the way: ISO 2022 as mail has it
//! (RFC 1468, 1554, 1557, 1922, JIS X 0201 and 0212), HZ (RFC 1843), and CNS 11643 in EUC.
//!
//! Read generously: programs wrap lines inside of a run, forget to return to ASCII, and mix in
//! octets above 127. What does not decode is [`GETA`], the mark that printers put for a type that
//! they lack; it counts as a fault.

use super::names::Shifted;
use crate::message::work;
use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GBK};

/// Stands for a character that is not known.
pub(super) const GETA: char = '\u{3013}';

/// A text, and how many of its characters did not decode.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) faults: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Ascii,
    Roman,
    Katakana,
    Jis,
    JisMore,
    Gb,
    Korean,
    Cns(u8),
    Latin,
    Greek,
}

impl Set {
    fn is_double(self) -> bool {
        matches!(self, Self::Jis | Self::JisMore | Self::Gb | Self::Korean | Self::Cns(_))
    }
}

/// Where a set is put: G0 to G2.
const DESIGNATIONS: &[(&[u8], usize, Set)] = &[
    (b"(B", 0, Set::Ascii),
    (b"(J", 0, Set::Roman),
    (b"(H", 0, Set::Roman),
    (b"(I", 0, Set::Katakana),
    (b"$@", 0, Set::Jis),
    (b"$B", 0, Set::Jis),
    (b"$(@", 0, Set::Jis),
    (b"$(B", 0, Set::Jis),
    (b"$(D", 0, Set::JisMore),
    (b"$(O", 0, Set::Jis),
    (b"$(Q", 0, Set::Jis),
    (b"$A", 0, Set::Gb),
    (b"$(A", 0, Set::Gb),
    (b"$(C", 0, Set::Korean),
    (b"$(G", 0, Set::Cns(1)),
    (b"$(H", 0, Set::Cns(2)),
    (b")I", 1, Set::Katakana),
    (b"$)A", 1, Set::Gb),
    (b"$)E", 1, Set::Gb),
    (b"$)C", 1, Set::Korean),
    (b"$)G", 1, Set::Cns(1)),
    (b"$)H", 1, Set::Cns(2)),
    (b"$*H", 2, Set::Cns(2)),
    (b".A", 2, Set::Latin),
    (b".F", 2, Set::Greek),
];

const ESCAPE: u8 = 0x1b;

/// The designation behind an escape character, and its length.
fn designation(after: &[u8]) -> Option<(usize, Set, usize)> {
    work::count(DESIGNATIONS.len());
    DESIGNATIONS.iter().find(|(sign, ..)| after.starts_with(sign)).map(|(sign, to, set)| (*to, *set, sign.len()))
}

/// Whether a text designates characters beyond ASCII and its kin.
pub(super) fn is_designated(bytes: &[u8]) -> bool {
    work::skip(bytes.len());
    memchr::memchr_iter(ESCAPE, bytes).any(|at| {
        let found = bytes.get(at + 1..).and_then(designation);
        found.is_some_and(|(_, set, _)| !matches!(set, Set::Ascii))
    })
}

/// The same, or whether it returns to ASCII, which shows nothing.
pub(super) fn is_escaped(bytes: &[u8]) -> bool {
    work::skip(bytes.len());
    memchr::memmem::find(bytes, b"\x1b(B").is_some() || is_designated(bytes)
}

/// What a text is called that designates such characters, and does not say.
pub(super) fn name_of(bytes: &[u8]) -> &'static str {
    let designates = |sign: &[u8]| memchr::memmem::find(bytes, sign).is_some();
    work::skip(bytes.len() * 3);
    match () {
        () if designates(b"\x1b$)C") => "iso-2022-kr",
        () if designates(b"\x1b$)A") || designates(b"\x1b$)G") => "iso-2022-cn",
        () => "iso-2022-jp",
    }
}

/// Characters that are waiting, of one set.
struct Writer {
    out: Decoded,
    /// Octets of two-octet characters.
    pairs: Vec<u8>,
    set: Set,
}

impl Writer {
    fn push(&mut self, c: char) {
        self.flush();
        self.out.text.push(c);
    }

    fn fault(&mut self) {
        self.push(GETA);
        self.out.faults += 1;
    }

    fn pair(&mut self, set: Set, first: u8, second: u8) {
        if self.set != set {
            self.flush();
            self.set = set;
        }
        if set == Set::JisMore {
            self.pairs.push(0x8f);
        }
        self.pairs.extend([first | 0x80, second | 0x80]);
    }

    fn flush(&mut self) {
        if self.pairs.is_empty() {
            return;
        }
        let pairs = std::mem::take(&mut self.pairs);
        let encoding = match self.set {
            Set::Gb => GBK,
            Set::Korean => EUC_KR,
            Set::Cns(plane) => {
                // Looked up in two lists.
                work::count(pairs.len() * 60);
                for pair in pairs.chunks_exact(2) {
                    match cns(plane, pair) {
                        Some(c) => self.out.text.push(c),
                        None => {
                            self.out.text.push(GETA);
                            self.out.faults += 1;
                        }
                    }
                }
                return;
            }
            _ => EUC_JP,
        };
        if let Some(text) = whole(encoding, &pairs) {
            self.out.text.push_str(&text);
            return;
        }
        let width = if self.set == Set::JisMore { 3 } else { 2 };
        work::count(pairs.len() * 20);
        for pair in pairs.chunks(width) {
            match whole(encoding, pair) {
                Some(text) => self.out.text.push_str(&text),
                None => {
                    self.out.text.push(GETA);
                    self.out.faults += 1;
                }
            }
        }
    }
}

fn whole(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(std::borrow::Cow::into_owned)
}

/// A character of CNS 11643: the planes 1 and 2 are in the order of Big5, in rows of another
/// length, but for some dozens that stand beside their place.
fn cns(plane: u8, pair: &[u8]) -> Option<char> {
    let &[row, column] = pair else { return None };
    let place =
        |from: u8| Some(usize::from(row.checked_sub(from | 0x80)?) * 94 + usize::from(column.checked_sub(0xa1)?));
    // Where the ideographs begin, and those that are out of order: from, to, how far.
    let (place, start, moved): (usize, u8, &[(usize, usize, isize)]) = match plane {
        1 if row < 0xc4 => return symbol(row, column),
        1 => (place(0x44)?, 0xa4, super::cns::FIRST),
        2 => (place(0x21)?, 0xc9, super::cns::SECOND),
        _ => return None,
    };
    let (_, _, by) = moved.iter().find(|(from, to, _)| (*from..*to).contains(&place))?;
    let place = place.checked_add_signed(*by)?;
    let lead = u8::try_from(usize::from(start) + place / 157).ok()?;
    let trail = place % 157;
    let trail = u8::try_from(if trail < 63 { trail + 0x40 } else { trail - 63 + 0xa1 }).ok()?;
    whole(BIG5, &[lead, trail])?.chars().next()
}

/// Punctuation, full-width digits and letters of plane 1, which are what people write of it.
fn symbol(row: u8, column: u8) -> Option<char> {
    let at = usize::from(column.checked_sub(0xa1)?);
    let row = usize::from(row.checked_sub(0xa1)?);
    super::cns::SYMBOLS.lines().nth(row)?.chars().nth(at).filter(|c| *c != GETA)
}

/// Reads a text; `shifted`: what SO calls up where nothing says so.
pub(super) fn decode(bytes: &[u8], shifted: Shifted) -> Decoded {
    work::count(bytes.len() * 6);
    let called = match shifted {
        Shifted::Katakana => Set::Katakana,
        Shifted::Korean => Set::Korean,
        Shifted::Chinese => Set::Gb,
    };
    let mut sets = [Set::Ascii, called, Set::Ascii];
    let mut is_shifted = false;
    let mut writer = Writer { out: Decoded::default(), pairs: Vec::new(), set: Set::Ascii };
    writer.out.text.reserve(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let [g0, g1, g2] = sets;
        let set = if is_shifted { g1 } else { g0 };
        let after = bytes.get(at + 1..).unwrap_or(&[]);
        at += 1;
        match byte {
            ESCAPE => {
                if let Some((to, set, length)) = designation(after) {
                    if let Some(place) = sets.get_mut(to) {
                        *place = set;
                    }
                    at += length;
                } else if after.first() == Some(&b'N') {
                    at += 1 + two(&mut writer, g2, after.get(1..).unwrap_or(&[]));
                } else {
                    writer.push(char::from(ESCAPE));
                }
            }
            0x0e => is_shifted = true,
            0x0f => is_shifted = false,
            b'\n' | b'\r' => {
                writer.push(char::from(byte));
                if byte == b'\n' && set.is_double() && !goes_on(after) {
                    is_shifted = false;
                    sets = [Set::Ascii, g1, g2];
                }
            }
            0x21..=0x7e if set.is_double() => match after.first() {
                Some(second @ 0x21..=0x7e) => {
                    writer.pair(set, byte, *second);
                    at += 1;
                }
                _ => writer.fault(),
            },
            0x21..=0x5f if set == Set::Katakana => writer.push(half_width(byte | 0x80)),
            b'\\' if set == Set::Roman => writer.push('\u{a5}'),
            b'~' if set == Set::Roman => writer.push('\u{203e}'),
            0..=0x7f => writer.push(char::from(byte)),
            _ => {
                // What was put in by who knew of no escapes.
                let next = bytes.get(at - 1..).unwrap_or(&[]);
                let next = next.get(..4).unwrap_or(next).utf8_chunks().next();
                let next = next.and_then(|chunk| chunk.valid().chars().next());
                // Half-width katakana may look like UTF-8 of two octets.
                let next = next.filter(|c| *c >= '\u{800}' || shifted != Shifted::Katakana);
                match next {
                    Some(c) => {
                        writer.push(c);
                        at += c.len_utf8() - 1;
                    }
                    None if matches!(byte, 0xa1..=0xdf) && shifted == Shifted::Katakana => {
                        writer.push(half_width(byte));
                    }
                    None => writer.fault(),
                }
            }
        }
    }
    writer.flush();
    writer.out
}

/// One character of a set for which a single shift asked, and its octets.
fn two(writer: &mut Writer, set: Set, after: &[u8]) -> usize {
    match (set, after) {
        (Set::Cns(_), [first @ 0x21..=0x7e, second @ 0x21..=0x7e, ..]) => {
            writer.pair(set, *first, *second);
            2
        }
        (Set::Latin | Set::Greek, [first @ 0x20..=0x7f, ..]) => {
            let encoding = if set == Set::Latin { encoding_rs::WINDOWS_1252 } else { encoding_rs::ISO_8859_7 };
            match whole(encoding, &[first | 0x80]) {
                Some(text) => text.chars().for_each(|c| writer.push(c)),
                None => writer.fault(),
            }
            1
        }
        _ => {
            writer.fault();
            0
        }
    }
}

fn half_width(byte: u8) -> char {
    char::from_u32(0xff61 + u32::from(byte) - 0xa1).unwrap_or(GETA)
}

/// Octets of a line that are looked at.
const LINE: usize = 1000;

/// Whether a run of two-octet characters goes on behind a line end, where it should have ended: up
/// to the next escape or shift there are pairs, or up to the line's end pairs with kana in them.
fn goes_on(after: &[u8]) -> bool {
    let reach = after.get(..LINE.min(after.len())).unwrap_or(after);
    let end = reach.iter().position(|byte| matches!(*byte, ESCAPE | 0x0f | b'\r' | b'\n')).unwrap_or(reach.len());
    work::count(end);
    let run = reach.get(..end).unwrap_or(&[]);
    let pairs = !run.is_empty() && run.len().is_multiple_of(2) && run.iter().all(|b| matches!(b, 0x21..=0x7e));
    let returns = matches!(reach.get(end..), Some([0x0f, ..] | [ESCAPE, b'(', b'B' | b'J' | b'I', ..]));
    let kana = || run.chunks(2).any(|pair| matches!(pair, [0x24 | 0x25, _]));
    pairs && (returns || kana())
}

/// Reads HZ.
pub(super) fn decode_hz(bytes: &[u8]) -> Decoded {
    work::count(bytes.len() * 4);
    let mut writer = Writer { out: Decoded::default(), pairs: Vec::new(), set: Set::Gb };
    writer.out.text.reserve(bytes.len());
    let (mut at, mut chinese) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        at += 1;
        match (byte, next) {
            (b'~', Some(sign @ (b'{' | b'}'))) => {
                chinese = sign == b'{';
                at += 1;
            }
            (b'~', Some(b'~')) if !chinese => {
                writer.push('~');
                at += 1;
            }
            // A line that goes on.
            (b'~', Some(b'\n')) => at += 1,
            (b'~', Some(b'\r')) if bytes.get(at + 1) == Some(&b'\n') => at += 2,
            (b'\n', _) => {
                chinese = false;
                writer.push('\n');
            }
            (0x21..=0x7d, Some(second @ 0x21..=0x7e)) if chinese => {
                writer.pair(Set::Gb, byte, second);
                at += 1;
            }
            (0x81..=0xfe, Some(second @ 0xa1..=0xfe)) => {
                writer.pair(Set::Gb, byte, second);
                at += 1;
            }
            (0..=0x7f, _) => writer.push(char::from(byte)),
            _ => writer.fault(),
        }
    }
    writer.flush();
    writer.out
}

/// Reads EUC-TW: plane 1 in two octets, others in four.
pub(super) fn decode_euc_tw(bytes: &[u8]) -> Decoded {
    work::count(bytes.len() * 20);
    let mut writer = Writer { out: Decoded::default(), pairs: Vec::new(), set: Set::Ascii };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match bytes.get(at..).unwrap_or(&[]) {
            [0..=0x7f, ..] => {
                writer.push(char::from(byte));
                at += 1;
            }
            [0x8e, plane @ 0xa1..=0xb0, first @ 0xa1..=0xfe, second @ 0xa1..=0xfe, ..] => {
                writer.pair(Set::Cns(plane - 0xa0), *first, *second);
                at += 4;
            }
            [first @ 0xa1..=0xfe, second @ 0xa1..=0xfe, ..] => {
                writer.pair(Set::Cns(1), *first, *second);
                at += 2;
            }
            _ => {
                writer.fault();
                at += 1;
            }
        }
    }
    writer.flush();
    writer.out
}
