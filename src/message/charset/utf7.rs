//! Unicode in other units than octets: UTF-7 (RFC 2152), and UTF-16 and UTF-32 of either order
//! (RFC 2781).

use super::iso2022::{Decoded, GETA};
use crate::message::work;

/// Reads UTF-7; `imap`: as RFC 3501 5.1.3 writes it. A `+` that begins nothing stands for itself.
pub(super) fn decode(bytes: &[u8], imap: bool) -> Decoded {
    work::count(bytes.len() * 4);
    let (shift, last) = if imap { (b'&', b',') } else { (b'+', b'/') };
    let mut out = Decoded { text: String::with_capacity(bytes.len()), faults: 0 };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != shift {
            // Octets above 127 are nobody's.
            out.faults += usize::from(!byte.is_ascii());
            out.text.push(if byte.is_ascii() { char::from(byte) } else { GETA });
            continue;
        }
        let start = at;
        let (mut bits, mut held, mut units) = (0_u32, 0, Vec::new());
        while let Some(value) = bytes.get(at).and_then(|byte| six(*byte, last)) {
            at += 1;
            bits = bits << 6 | value;
            held += 6;
            if held >= 16 {
                held -= 16;
                units.push((bits >> held & 0xffff) as u16);
            }
            bits &= (1 << held) - 1;
        }
        let ends = bytes.get(at) == Some(&b'-');
        if units.is_empty() {
            out.text.push(char::from(shift));
            // `+-` is a plus sign.
            if at == start && ends {
                at += 1;
            } else {
                out.faults += 1;
                at = start;
            }
            continue;
        }
        at += usize::from(ends);
        // What is left over fills up the last character of base 64.
        out.faults += usize::from(held >= 6 || bits != 0);
        push(units, &mut out);
    }
    out
}

/// The value of a character of base 64.
fn six(byte: u8, last: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ if byte == last => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn push(units: impl IntoIterator<Item = u16>, out: &mut Decoded) {
    for c in char::decode_utf16(units) {
        out.faults += usize::from(c.is_err());
        out.text.push(c.unwrap_or(GETA));
    }
}

/// Reads units of two or four octets, a byte order mark left out. `big`: the highest comes first.
pub(super) fn decode_wide(bytes: &[u8], width: usize, big: bool) -> Decoded {
    work::count(bytes.len() * 2);
    let mut out = Decoded { text: String::with_capacity(bytes.len()), faults: 0 };
    if width == 2 {
        let (units, rest) = bytes.as_chunks::<2>();
        push(
            units.iter().map(|unit| if big { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) }),
            &mut out,
        );
        out.faults += usize::from(!rest.is_empty());
    } else {
        let (units, rest) = bytes.as_chunks::<4>();
        for unit in units {
            let unit = if big { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) };
            let c = char::from_u32(unit);
            out.faults += usize::from(c.is_none());
            out.text.push(c.unwrap_or(GETA));
        }
        out.faults += usize::from(!rest.is_empty());
    }
    if out.text.starts_with('\u{feff}') {
        out.text.drain(..'\u{feff}'.len_utf8());
    }
    out
}

/// Which octet of a unit comes first, by where the zeros are: letters of Europe, digits, spaces and
/// line ends have one. `None`: there are none, or on both sides.
pub(super) fn order(bytes: &[u8], width: usize) -> Option<bool> {
    work::count(bytes.len());
    let zeros = |place: usize| bytes.iter().skip(place).step_by(width).filter(|byte| **byte == 0).count();
    let (first, last) = (zeros(0), zeros(width - 1));
    match (first, last) {
        _ if first > last * 4 => Some(true),
        _ if last > first * 4 => Some(false),
        _ => None,
    }
}
