//! Objects of a PDF file (ISO 32000-1, 7.3): found by their headers wherever they stand, whatever
//! the cross-reference table says, so that no version of one is passed by.

use crate::message::archive::{Counted, UNPACKING};
use crate::message::work;
use flate2::read::ZlibDecoder;
use memchr::memmem;
use std::io::Read as _;
use std::ops::Range;

/// Objects of one file that are looked at.
const MOST: usize = 200_000;
/// Filters of one stream: programs write one or two.
const MOST_FILTERS: usize = 4;
/// Values with `endobj` in a string, or without an end: nobody writes many, and each is looked for
/// to the end of the file.
const MOST_STRANGE: usize = 16;
/// Steps that an object costs besides its octets.
const OBJECT: usize = 50;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) number: u32,
    pub(super) generation: u32,
    /// Its value: for a stream, the dictionary.
    pub(super) value: Range<usize>,
    /// The data of a stream, still encoded.
    pub(super) stream: Option<Range<usize>>,
    /// Where `endobj` stands.
    pub(super) end: usize,
}

/// The objects of a file in their order. `None`: there are too many, or too many that never end.
pub(super) fn all(bytes: &[u8]) -> Option<Vec<Object>> {
    let mut found = Vec::new();
    let (mut done, mut strange) = (0, 0);
    for at in memmem::find_iter(bytes, b"obj") {
        if at < done {
            continue;
        }
        work::pack(OBJECT);
        if found.len() == MOST || work::is_over() {
            return None;
        }
        let Some((number, generation)) = header(bytes, at) else { continue };
        let start = skip_space(bytes, at + 3);
        let rest = bytes.get(start..).unwrap_or(&[]);
        let bound = memmem::find(rest, b"endobj").map_or(bytes.len(), |n| start + n);
        work::pack(bound - start);
        let mut value_ends = value_end(bytes.get(..bound).unwrap_or(&[]), start);
        if value_ends.is_none() && bound < bytes.len() {
            strange += 1;
            if strange > MOST_STRANGE {
                return None;
            }
            work::pack(rest.len());
            value_ends = value_end(bytes, start);
        }
        let value = start..value_ends.unwrap_or(start);
        let next = skip_space(bytes, value.end);
        let stream =
            bytes.get(next..).is_some_and(|rest| rest.starts_with(b"stream")).then(|| data(bytes, &value, next + 6));
        let behind = stream.as_ref().map_or(value.end, |stream| stream.end);
        let rest = bytes.get(behind..).unwrap_or(&[]);
        let end = memmem::find(rest, b"endobj").map_or(bytes.len(), |n| behind + n);
        work::pack((end - behind) / 8);
        done = end;
        found.push(Object { number, generation, value, stream, end });
    }
    Some(found)
}

/// `12 0 ` before `obj`.
fn header(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let before = bytes.get(at.saturating_sub(24)..at)?;
    if before.last().is_none_or(|b| !b.is_ascii_whitespace()) {
        return None;
    }
    let mut words = before.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let generation = number(words.next()?)?;
    let word = words.next()?;
    let digits = word.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    Some((number(word.get(word.len() - digits..)?)?, generation))
}

pub(super) fn number(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Where the data of a stream are, whose keyword ends at `at`.
fn data(bytes: &[u8], dictionary: &Range<usize>, at: usize) -> Range<usize> {
    let start = match bytes.get(at..).unwrap_or(&[]) {
        [b'\r', b'\n', ..] => at + 2,
        [b'\r' | b'\n', ..] => at + 1,
        _ => at,
    };
    let told = integer(bytes.get(dictionary.clone()).unwrap_or(&[]), b"/Length");
    if let Some(end) = told.and_then(|length| start.checked_add(length)) {
        let next = skip_space(bytes, end);
        if bytes.get(next..).is_some_and(|rest| rest.starts_with(b"endstream")) {
            return start..end;
        }
    }
    let rest = bytes.get(start..).unwrap_or(&[]);
    let length = memmem::find(rest, b"endstream").unwrap_or(rest.len());
    work::pack(length / 8);
    let data = rest.get(..length).unwrap_or(&[]);
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    let data = data.strip_suffix(b"\r").unwrap_or(data);
    start..start + data.len()
}

pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let rest = bytes.get(at..).unwrap_or(&[]);
                at += memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            }
            b'\0' | b'\t' | b'\n' | 0x0c | b'\r' | b' ' => at += 1,
            _ => break,
        }
    }
    at
}

/// A token of a value or of a content stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Literal,
    Hex,
    Name,
    Open,
    Close,
    Word,
}

/// The next token at or behind `at`: what it is, and where. Its end is behind its start.
pub(super) fn token(bytes: &[u8], at: usize) -> Option<(Kind, Range<usize>)> {
    let start = skip_space(bytes, at);
    let rest = bytes.get(start..)?;
    let delimiter = |b: &u8| {
        b.is_ascii_whitespace()
            || matches!(b, b'\0' | b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
    };
    let run = |rest: &[u8]| rest.iter().position(delimiter).unwrap_or(rest.len());
    let (kind, length) = match rest {
        [] => return None,
        [b'<', b'<', ..] => (Kind::Open, 2),
        [b'>', b'>', ..] => (Kind::Close, 2),
        [b'[', ..] => (Kind::Open, 1),
        [b']', ..] => (Kind::Close, 1),
        [b'(', ..] => (Kind::Literal, (literal_end(rest, 0) + 1).min(rest.len())),
        [b'<', ..] => (Kind::Hex, memchr::memchr(b'>', rest).map_or(rest.len(), |n| n + 1)),
        [b'/', name @ ..] => (Kind::Name, 1 + run(name)),
        [b')' | b'>' | b'{' | b'}', ..] => (Kind::Word, 1),
        _ => (Kind::Word, run(rest).max(1)),
    };
    Some((kind, start..start + length))
}

/// The closing bracket of the literal string that opens at `at` (7.3.4.2), or the end of the file.
/// Whoever asks counts the steps.
pub(in crate::message) fn literal_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Where the value at `at` ends.
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        let (kind, range) = token(bytes, at)?;
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            // A value that never ends is none.
            Kind::Word if bytes.get(range.clone()) == Some(b"endobj") => return None,
            _ => {}
        }
        at = range.end;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The value of an entry of a dictionary, references whole.
pub(super) fn entry<'a>(dictionary: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    dictionary.get(place(dictionary, name)?.1)
}

/// Where an entry of a dictionary stands: all of it, and its value.
pub(super) fn place(dictionary: &[u8], name: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let mut at = dictionary.starts_with(b"<<").then_some(2)?;
    loop {
        let (kind, key) = token(dictionary, at)?;
        if kind != Kind::Name {
            return None;
        }
        let start = skip_space(dictionary, key.end);
        let mut end = value_end(dictionary, start)?;
        // `5 0 R`
        if dictionary.get(start..end)?.iter().all(u8::is_ascii_digit)
            && let Some((Kind::Word, second)) = token(dictionary, end)
            && dictionary.get(second.clone())?.iter().all(u8::is_ascii_digit)
            && let Some((Kind::Word, third)) = token(dictionary, second.end)
            && dictionary.get(third.clone()) == Some(b"R")
        {
            end = third.end;
        }
        work::pack(4 + end - at);
        if dictionary.get(key.clone()) == Some(name) {
            return Some((key.start..end, start..end));
        }
        at = end;
    }
}

/// A direct number.
pub(super) fn integer(dictionary: &[u8], name: &[u8]) -> Option<usize> {
    std::str::from_utf8(entry(dictionary, name)?).ok()?.parse().ok()
}

/// The number of the object to which an entry refers.
pub(super) fn reference(value: &[u8]) -> Option<u32> {
    value.ends_with(b"R").then(|| number(value.split(u8::is_ascii_whitespace).next()?)).flatten()
}

/// Names in an entry: one, or an array of them.
pub(super) fn names<'a>(dictionary: &'a [u8], name: &[u8]) -> Vec<&'a [u8]> {
    let Some(value) = entry(dictionary, name) else { return Vec::new() };
    let (mut at, mut found) = (0, Vec::new());
    while let Some((kind, range)) = token(value, at) {
        if kind == Kind::Name {
            found.extend(value.get(range.clone()));
        }
        at = range.end;
    }
    found
}

/// The data of a stream, decoded. `None`: by a filter that is not read, or damaged, or over what is
/// left.
pub(super) fn decoded(data: &[u8], dictionary: &[u8], left: &mut usize) -> Option<Vec<u8>> {
    let parameters = entry(dictionary, b"/DecodeParms").filter(|value| *value != b"null");
    if parameters.is_some_and(|value| memmem::find(value, b"/Predictor").is_some()) {
        return None;
    }
    let filters = names(dictionary, b"/Filter");
    if filters.len() > MOST_FILTERS {
        return None;
    }
    let mut data = data.to_vec();
    for filter in filters {
        data = match filter {
            b"/FlateDecode" | b"/Fl" => {
                let mut out = Vec::new();
                let read = ZlibDecoder::new(Counted(&data)).take(*left as u64 + 1).read_to_end(&mut out);
                work::pack(out.len() * UNPACKING.1);
                // What is cut off at its end is read as far as it goes, as programs do.
                if out.is_empty() && read.is_err() || out.len() > *left {
                    *left = left.saturating_sub(out.len());
                    return None;
                }
                out
            }
            b"/ASCII85Decode" | b"/A85" => ascii85(&data),
            b"/ASCIIHexDecode" | b"/AHx" => hex(&data),
            _ => return None,
        };
        *left = left.checked_sub(data.len())?;
    }
    Some(data)
}

/// 7.4.3.
fn ascii85(data: &[u8]) -> Vec<u8> {
    work::pack(data.len());
    let mut out = Vec::with_capacity(data.len() / 5 * 4);
    let mut group: Vec<u32> = Vec::with_capacity(5);
    for byte in data {
        match byte {
            b'z' if group.is_empty() => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => group.push(u32::from(byte - b'!')),
            b'~' => break,
            _ => {}
        }
        if group.len() == 5 {
            let value = group.iter().fold(0_u32, |value, digit| value.wrapping_mul(85).wrapping_add(*digit));
            out.extend_from_slice(&value.to_be_bytes());
            group.clear();
        }
    }
    if group.len() > 1 {
        let count = group.len() - 1;
        group.resize(5, 84);
        let value = group.iter().fold(0_u32, |value, digit| value.wrapping_mul(85).wrapping_add(*digit));
        out.extend(value.to_be_bytes().iter().take(count));
    }
    out
}

/// What hexadecimal digits say (7.3.4.3); others are passed over, and a last one stands before a 0.
pub(super) fn hex(digits: &[u8]) -> Vec<u8> {
    work::pack(digits.len());
    let mut values = digits.iter().filter_map(|digit| char::from(*digit).to_digit(16));
    let mut out = Vec::with_capacity(digits.len() / 2);
    while let Some(high) = values.next() {
        out.push(u8::try_from(high * 16 + values.next().unwrap_or(0)).unwrap_or(0));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_their_entries() {
        let file = b"%PDF-1.4\n1 0 obj<</A(x\\)endobj)/B[1 2 R]/Length 5 0 R>>endobj 12 3 obj\n<</Length 4/Filter[/A85 /Fl]>>stream\r\nobj endstream\nendobj\n7 0 obj 42 endobj xobj 1 0 objx";
        let found = all(file).unwrap();
        let numbers: Vec<_> = found.iter().map(|o| (o.number, o.generation)).collect();
        assert_eq!(numbers, [(1, 0), (12, 3), (7, 0), (1, 0)]);
        let value = |n: usize| &file[found[n].value.clone()];
        assert_eq!(entry(value(0), b"/Length"), Some(&b"5 0 R"[..]));
        assert_eq!(reference(b"5 0 R"), Some(5));
        assert_eq!(integer(value(0), b"/Length"), None);
        assert_eq!(names(value(1), b"/Filter"), [&b"/A85"[..], b"/Fl"]);
        assert_eq!(&file[found[1].stream.clone().unwrap()], b"obj ");
        assert_eq!(ascii85(b"87cURD]i,\"Ebo80~>"), b"Hello World!");
        assert_eq!(hex(b"48 65 6"), b"He\x60");
    }

    proptest::proptest! {
        #[test]
        fn any_octets(pieces in proptest::collection::vec(proptest::sample::select(&["1 0 obj", "<<", ">>", "[", "(", ")", "<", "/A", " 5 0 R", "stream\n", "endstream", "endobj", "%", "\\", "x", "/Length 3"][..]), 0..30)) {
            let file = pieces.concat();
            if let Some(objects) = all(file.as_bytes()) {
                for object in objects {
                    proptest::prop_assert!(object.value.end <= file.len() && object.end <= file.len());
                }
            }
        }
    }
}
