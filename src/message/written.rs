//! How a character of an address may be written: as it is, in another width, as an entity, or
//! escaped as links and programs escape it, once or many times. And what may stand between two
//! characters without showing: line breaks with quote marks, ends of cells, characters that show
//! nothing.
//!
//! Each question costs a bounded number of steps.

use super::entities::numeric;
use super::{html, work};
use crate::types::is_invisible;

/// How a text is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Entities are read: in HTML, and where text may have been copied from it.
    pub(super) entities: bool,
    /// So are escapes of programs, and escapes of escapes: `%2540`, `=40`, `\u0040`, `&amp;#64;`.
    /// And a NUL, which stands for the end of a block of HTML, is a line's end.
    pub(super) escapes: bool,
    /// So are those of links that Proofpoint writes, and of Exchange: `-40`, `*40`, `+40`.
    pub(super) defended: bool,
}

/// Octets of one written character at most, with what is skipped before it.
const GAP: usize = 256;
/// Octets of the longest escape that is looked for backwards.
const ESCAPE: usize = 28;
/// Times that an escape may be escaped again.
const NESTED: usize = 8;

/// Whether a sign that parts name and domain, or one that stands for it, may be written at `byte`,
/// by the octet behind it, `next` in lower case. Most of what HTML has of them is neither:
/// `&nbsp;`,
/// `a=b`. `begins`: a domain that is looked for may begin with `next`.
pub(super) fn may_be_sign(byte: u8, next: u8, begins: bool) -> bool {
    match byte {
        b'&' => matches!(next, b'#' | b'c' | b'a'),
        b'=' => begins || matches!(next, b'3' | b'4'),
        _ => true,
    }
}

impl Reading {
    /// HTML or text, without the escapes that only the author's own addresses are looked for in.
    pub(super) fn of(html: bool) -> Self {
        Self { entities: html, ..Self::default() }
    }

    /// The character that is written at `at`, and where it ends.
    pub(super) fn read(self, text: &str, at: usize) -> Option<(char, usize)> {
        self.escaped(text, at).or_else(|| text.get(at..)?.chars().next().map(|c| (c, at + c.len_utf8())))
    }

    /// The character that is written before `at`, and where it begins. Nothing before `floor` is
    /// read.
    pub(super) fn read_back(self, text: &str, at: usize, floor: usize) -> Option<(char, usize)> {
        self.escaped_back(text, at, floor, |_| true).or_else(|| literal_back(text, at, floor))
    }

    /// The end of `want` if it is written at `at`.
    pub(super) fn one(self, text: &str, at: usize, want: char) -> Option<usize> {
        let is = |(c, end): (char, usize)| (plain(c) == want).then_some(end);
        let literal = || text.get(at..)?.chars().next().map(|c| (c, at + c.len_utf8()));
        self.escaped(text, at).and_then(is).or_else(|| literal().and_then(is))
    }

    /// The same, after whatever does not show.
    pub(super) fn one_over_gap(self, text: &str, at: usize, want: char) -> Option<usize> {
        work::count(1);
        self.one(text, at, want).or_else(|| {
            let end = self.over_gap(text, at);
            if end > at { self.one(text, end, want) } else { None }
        })
    }

    /// The start of `want` if it is written before `at`. What may be an escape or not is what is
    /// wanted: in `?e=42@` both `B` and `2` can be meant.
    pub(super) fn one_back(self, text: &str, at: usize, floor: usize, want: char) -> Option<usize> {
        let escaped = self.escaped_back(text, at, floor, |c| plain(c) == want);
        escaped.or_else(|| literal_back(text, at, floor).filter(|(c, _)| plain(*c) == want)).map(|(_, start)| start)
    }

    /// The same, before whatever does not show.
    pub(super) fn one_back_over_gap(self, text: &str, at: usize, floor: usize, want: char) -> Option<usize> {
        work::count(1);
        self.one_back(text, at, floor, want).or_else(|| {
            let start = self.back_over_gap(text, at, floor);
            if start < at { self.one_back(text, start, floor, want) } else { None }
        })
    }

    /// The end of what does not show at `at`: characters without width, and breaks of lines and
    /// blocks with the white space around them and the quote marks behind them.
    pub(super) fn over_gap(self, text: &str, at: usize) -> usize {
        let (mut end, mut position) = (at, at);
        let (mut broken, mut pending) = (false, false);
        while position - at < GAP
            && let Some((c, next)) = self.read(text, position)
        {
            work::count(1);
            match c {
                '\n' => broken = true,
                '\0' if self.escapes => broken = true,
                ' ' | '\t' | '\r' | '\u{a0}' => pending = true,
                '>' | '|' if broken => {}
                c if is_invisible(c) => {}
                _ => break,
            }
            position = next;
            if broken || !pending {
                end = position;
            }
        }
        end
    }

    /// The start of what does not show before `at`. Quote marks are a gap only behind a break.
    pub(super) fn back_over_gap(self, text: &str, at: usize, floor: usize) -> usize {
        let (mut start, mut position) = (at, at);
        let (mut broken, mut pending) = (false, false);
        while at - position < GAP
            && let Some((c, before)) = self.read_back(text, position, floor)
        {
            work::count(1);
            match c {
                '\n' => (broken, pending) = (true, false),
                '\0' if self.escapes => (broken, pending) = (true, false),
                ' ' | '\t' | '\r' | '\u{a0}' => pending |= !broken,
                '>' | '|' => pending = true,
                c if is_invisible(c) => {}
                _ => break,
            }
            position = before;
            if !pending {
                start = position;
            }
        }
        start
    }

    /// The character that is escaped at `at`, and where the escape ends.
    fn escaped(self, text: &str, at: usize) -> Option<(char, usize)> {
        let bytes = text.as_bytes().get(at..)?;
        let (c, length) = match bytes.first()? {
            b'%' if self.escapes => percent(bytes)?,
            b'%' => (char::from(hex(bytes, 1).filter(u8::is_ascii)?), 3),
            b'&' if self.entities => self.entity(text.get(at..)?)?,
            b'=' if self.escapes => {
                let (octet, length) = nested(bytes.get(1..)?, *b"3d")?;
                (char::from(Some(octet).filter(u8::is_ascii_graphic)?), 1 + length)
            }
            b'\\' if self.escapes => slashed(bytes)?,
            b'-' | b'*' | b'+' if self.defended => {
                let (octet, length) = nested(bytes.get(1..)?, *b"25")?;
                (char::from(Some(octet).filter(u8::is_ascii)?), 1 + length)
            }
            _ => return None,
        };
        Some((c, at + length))
    }

    /// The character that is escaped before `at`, if it is one of those, and where the escape
    /// begins.
    fn escaped_back(self, text: &str, at: usize, floor: usize, wanted: impl Fn(char) -> bool) -> Option<(char, usize)> {
        let bytes = text.as_bytes();
        let last = bytes.get(at.checked_sub(1)?)?;
        if !(last.is_ascii_hexdigit() || matches!(last, b';' | b'}')) {
            return None;
        }
        let least = floor.max(at.saturating_sub(ESCAPE));
        let before = bytes.get(least..at)?;
        work::count(2);
        let is_sign = |byte: &u8| matches!(byte, b'%' | b'&' | b'=' | b'\\' | b'-' | b'*' | b'+');
        let signs = before.iter().enumerate().rev().filter(|(_, byte)| is_sign(byte));
        for (n, sign) in signs {
            work::count(2);
            let Some((c, end)) = self.escaped(text, least + n) else { continue };
            if end == at && wanted(c) {
                let slashes = before.get(..n)?.iter().rev().take_while(|byte| **byte == b'\\').count();
                let more = if *sign == b'\\' { slashes } else { 0 };
                return Some((c, least + n - more));
            }
        }
        None
    }

    /// An entity at the start of `text`: the character, and the entity's length.
    fn entity(self, text: &str) -> Option<(char, usize)> {
        if let Some(found) = entity(text.strip_prefix('&')?) {
            let (c, length) = found;
            if c == '&' && self.escapes {
                // `&amp;#64;`: HTML that was escaped again.
                let mut at = 1 + length;
                while at < ESCAPE && text.get(at..)?.starts_with("amp;") {
                    at += 4;
                }
                if let Some((c, length)) = text.get(at..).and_then(entity) {
                    return Some((c, at + length));
                }
            }
            return Some((c, 1 + length));
        }
        // All the other names.
        if self.escapes { html::entity(text) } else { None }
    }
}

/// The character that is written at `at`, as it is compared, and where it ends.
pub(super) fn forward(text: &str, at: usize, html: bool) -> Option<(char, usize)> {
    Reading::of(html).read(text, at).map(|(c, end)| (plain(c), end))
}

/// The same, after whatever does not show.
pub(super) fn forward_over_gap(text: &str, at: usize, html: bool) -> Option<(char, usize)> {
    work::count(1);
    forward(text, Reading::of(html).over_gap(text, at), html)
}

/// The character that is written before `at`, as it is compared, and where it begins. Nothing
/// before `floor` is read.
pub(super) fn backward(text: &str, at: usize, floor: usize, html: bool) -> Option<(char, usize)> {
    Reading::of(html).read_back(text, at, floor).map(|(c, start)| (plain(c), start))
}

fn literal_back(text: &str, at: usize, floor: usize) -> Option<(char, usize)> {
    let c = text.get(floor..at)?.chars().next_back()?;
    Some((c, at - c.len_utf8()))
}

/// Lower case, and forms of other widths as what they stand for.
pub(super) fn plain(c: char) -> char {
    let c = match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3002}' | '\u{ff61}' | '\u{2024}' | '\u{fe52}' => '.',
        '\u{fe6b}' => '@',
        '\u{fe62}' => '+',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        c => c,
    };
    c.to_lowercase().next().unwrap_or(c)
}

/// Two hexadecimal digits at `at`.
fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

/// Two digits behind a sign, and their length: the sign may be escaped itself, as `sign` says
/// (`40`, `2540`, `252540`).
fn nested(digits: &[u8], sign: [u8; 2]) -> Option<(u8, usize)> {
    let is_sign = |at: usize| digits.get(at..at + 2).is_some_and(|two| two.eq_ignore_ascii_case(&sign));
    let mut at = 0;
    while at < 2 * NESTED && is_sign(at) && hex(digits, at + 2).is_some() {
        at += 2;
    }
    Some((hex(digits, at)?, at + 2))
}

/// `%40`, `%2540`, `%u0040`, and UTF-8 (`%C3%BC`).
fn percent(bytes: &[u8]) -> Option<(char, usize)> {
    if bytes.get(1).is_some_and(|u| u.eq_ignore_ascii_case(&b'u')) {
        let value = u32::from(hex(bytes, 2)?) * 256 + u32::from(hex(bytes, 4)?);
        return Some((char::from_u32(value)?, 6));
    }
    let (first, length) = nested(bytes.get(1..)?, *b"25")?;
    let unit = 1 + length;
    let width = match first {
        0..=0x7f => return Some((char::from(first), unit)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut octets = vec![first];
    for n in 1..width {
        let next = bytes.get(n * unit..).filter(|next| next.first() == Some(&b'%'))?;
        octets.push(nested(next.get(1..)?, *b"25").filter(|(_, same)| *same == length)?.0);
    }
    std::str::from_utf8(&octets).ok()?.chars().next().map(|c| (c, width * unit))
}

/// `\u0040`, `\u{40}`, `\x40`, and the same with more backslashes.
fn slashed(bytes: &[u8]) -> Option<(char, usize)> {
    let slashes = bytes.iter().take(NESTED).take_while(|byte| **byte == b'\\').count();
    let rest = bytes.get(slashes..)?;
    let (value, length) = match (rest.first()?, rest.get(1)?) {
        (b'u', b'{') => {
            let digits = rest.get(2..)?.iter().take(7).take_while(|byte| byte.is_ascii_hexdigit()).count();
            rest.get(2 + digits).filter(|end| **end == b'}')?;
            let digits = std::str::from_utf8(rest.get(2..2 + digits)?).ok()?;
            (u32::from_str_radix(digits, 16).ok()?, 3 + digits.len())
        }
        (b'u', _) => (u32::from(hex(rest, 1)?) * 256 + u32::from(hex(rest, 3)?), 5),
        (b'x', _) => (u32::from(hex(rest, 1)?), 3),
        _ => return None,
    };
    Some((char::from_u32(value)?, slashes + length))
}

/// An HTML entity, without its `&`: the character and the length.
fn entity(body: &str) -> Option<(char, usize)> {
    if body.starts_with('#') {
        return numeric(body);
    }
    let end = body.bytes().take(24).position(|b| b == b';')?;
    let c = match body.get(..end)? {
        "commat" => '@',
        "period" => '.',
        "lowbar" | "UnderBar" => '_',
        "plus" => '+',
        "hyphen" | "dash" => '-',
        "amp" | "AMP" => '&',
        "shy" => '\u{ad}',
        "zwj" => '\u{200d}',
        "zwnj" => '\u{200c}',
        "ZeroWidthSpace" | "NegativeThinSpace" => '\u{200b}',
        "NoBreak" => '\u{2060}',
        "lrm" => '\u{200e}',
        "rlm" => '\u{200f}',
        "num" => '#',
        "percnt" => '%',
        _ => return None,
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Reading = Reading { entities: true, escapes: true, defended: false };

    #[test]
    fn an_at_in_every_dress() {
        // as written, in Proofpoint's links alone
        let cases = [
            ("@", false),
            ("\u{ff20}", false),
            ("\u{fe6b}", false),
            ("%40", false),
            ("%2540", false),
            ("%25252540", false),
            ("%u0040", false),
            ("%EF%BC%A0", false),
            ("%25EF%25BC%25A0", false),
            ("&#64;", false),
            ("&#x40;", false),
            ("&#0000000064;", false),
            ("&#x0000000000000040;", false),
            ("&amp;#0000000064;", false),
            ("&commat;", false),
            ("&amp;#64;", false),
            ("&amp;amp;commat;", false),
            ("=40", false),
            ("=3D40", false),
            ("=3d3D40", false),
            ("\\u0040", false),
            ("\\\\u0040", false),
            ("\\u{40}", false),
            ("\\x40", false),
            ("-40", true),
            ("-2540", true),
            ("*40", true),
            ("+40", true),
        ];
        for (text, defended) in cases {
            let reading = Reading { defended, ..WIDE };
            assert_eq!(reading.one(text, 0, '@'), Some(text.len()), "{text}");
            let padded = format!("xx{text}");
            assert_eq!(reading.one_back(&padded, padded.len(), 0, '@'), Some(2), "{text}");
            assert_eq!(Reading { defended: false, ..reading }.one(text, 0, '@').is_some(), !defended, "{text}");
        }
    }

    #[test]
    fn both_readings_are_found() {
        for want in ['B', '2'].map(|c| c.to_ascii_lowercase()) {
            assert!(WIDE.one_back("?e=42", 5, 0, want).is_some(), "{want}");
        }
        assert_eq!(WIDE.one("%zz", 0, '%'), Some(1));
        assert_eq!(WIDE.one_back("&x;", 3, 0, ';'), Some(2));
    }

    #[test]
    fn what_stands_between() {
        // what is a gap, and what is none
        for gap in
            ["\u{200b}", "\r\n", " \r\n> > ", "\n\n|", "\0", "\0\r\n  \0", "&shy;", "\u{3164}\u{fe0f}", "\r\n\u{ad}> "]
        {
            let text = format!("a{gap}b");
            assert_eq!(WIDE.over_gap(&text, 1), text.len() - 1, "{gap:?}");
            assert_eq!(WIDE.back_over_gap(&text, text.len() - 1, 0), 1, "{gap:?} backwards");
        }
        for none in [" ", ">", "|", "> ", "-", "\u{301}"] {
            let text = format!("a{none}b");
            assert_eq!(
                (WIDE.over_gap(&text, 1), WIDE.back_over_gap(&text, text.len() - 1, 0)),
                (1, text.len() - 1),
                "{none:?}"
            );
        }
        assert_eq!(WIDE.back_over_gap("<a>\nb", 4, 0), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "([%&=\\\\*u{}x;#@25340d-]|amp;|[\u{ff20}ü\n> ]){0,24}", at in 0_usize..40, defended: bool) {
            let reading = Reading { defended, ..WIDE };
            let _ = (reading.read(&text, at), reading.over_gap(&text, at));
            if text.is_char_boundary(at) && at <= text.len() {
                let _ = (reading.read_back(&text, at, 0), reading.back_over_gap(&text, at, 0));
            }
        }
    }
}
