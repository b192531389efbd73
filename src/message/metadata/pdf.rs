//! PDF (ISO 32000-1): the document information dictionary and the XMP metadata streams are overwritten where they stand, so that no offset moves.
//!
//! Not a PDF reader: it looks for `/Info N G R`, for that object, and for streams of type Metadata. What hides in compressed object streams is not found,
//! and then the file is reported.

use super::{Outcome, Why, empty_xmp};
use memchr::memmem;

/// Document information dictionaries and metadata streams that are looked at.
const MOST: usize = 64;
/// Entries of the information dictionary that stay: the title is the author's words, the other is technical.
const KEPT: &[&[u8]] = &[b"Title", b"Trapped"];

pub(super) fn clean(bytes: &[u8]) -> Outcome {
    if memmem::find(bytes, b"/Encrypt").is_some() {
        return Err(Why::Encrypted);
    }
    if memmem::find(bytes, b"/ByteRange").is_some() {
        return Err(Why::Signed);
    }
    let mut out = bytes.to_vec();
    for object in info_objects(bytes)? {
        let mut found = false;
        for (n, at) in memmem::find_iter(bytes, object.as_bytes()).enumerate() {
            if n > MOST {
                return Err(Why::Damaged);
            }
            let whole = at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|b| !b.is_ascii_digit());
            if whole {
                found = true;
                // A dictionary of names and moments is small.
                let end = bytes.len().min(at + (16 << 10));
                blank_info(bytes.get(..end).unwrap_or(bytes), at + object.len(), &mut out);
            }
        }
        if !found {
            // In a compressed object stream.
            return Err(Why::Unsupported);
        }
    }
    metadata_streams(bytes, &mut out)?;
    Ok(Some(out))
}

/// `12 0 obj` for each `/Info 12 0 R`.
fn info_objects(bytes: &[u8]) -> Result<Vec<String>, Why> {
    let mut out = Vec::new();
    for at in memmem::find_iter(bytes, b"/Info") {
        let rest = bytes.get(at + 5..(at + 45).min(bytes.len())).unwrap_or(&[]);
        let text = String::from_utf8_lossy(rest);
        let mut words = text.split_ascii_whitespace();
        let (Some(number), Some(generation), Some(reference)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let digits = |word: &str| (1..=10).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
        if !digits(number) || !digits(generation) || !reference.starts_with('R') {
            continue;
        }
        let object = format!("{number} {generation} obj");
        if !out.contains(&object) {
            out.push(object);
        }
        if out.len() > MOST {
            return Err(Why::Damaged);
        }
    }
    Ok(out)
}

/// Overwrites the strings of the dictionary at `at`.
fn blank_info(bytes: &[u8], mut at: usize, out: &mut [u8]) {
    let (mut name, mut depth): (&[u8], usize) = (&[], 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'<' if bytes.get(at + 1) == Some(&b'<') => {
                depth += 1;
                at += 2;
            }
            b'>' if bytes.get(at + 1) == Some(&b'>') => {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return;
                }
            }
            b'(' | b'<' => {
                let end = if byte == b'(' { literal_end(bytes, at) } else { memchr_from(bytes, b'>', at) };
                let filler = if byte == b'(' { b' ' } else { b'0' };
                let goes = !KEPT.contains(&name) || memchr::memchr(b'@', bytes.get(at..end).unwrap_or(&[])).is_some();
                if let Some(inside) = out.get_mut(at + 1..end).filter(|_| goes) {
                    inside.fill(filler);
                }
                at = end + 1;
            }
            b'/' => {
                let rest = bytes.get(at + 1..).unwrap_or(&[]);
                let length =
                    rest.iter().take(128).take_while(|b| b.is_ascii_alphanumeric() || b".:_-".contains(b)).count();
                name = rest.get(..length).unwrap_or(&[]);
                at += 1 + length;
            }
            b'e' if bytes.get(at..at + 6) == Some(b"endobj") => return,
            _ => at += 1,
        }
    }
}

/// The closing bracket of the literal string that opens at `at` (7.3.4.2).
fn literal_end(bytes: &[u8], mut at: usize) -> usize {
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

fn memchr_from(bytes: &[u8], byte: u8, at: usize) -> usize {
    bytes.get(at..).and_then(|rest| memchr::memchr(byte, rest)).map_or(bytes.len(), |n| at + n)
}

/// Overwrites streams whose dictionary says `/Type /Metadata`.
fn metadata_streams(bytes: &[u8], out: &mut [u8]) -> Result<(), Why> {
    let mut left = MOST * 4;
    for at in memmem::find_iter(bytes, b"/Metadata") {
        // `/Metadata 5 0 R` is a reference; the stream's own dictionary names its type.
        let before = bytes.get(at.saturating_sub(16)..at).unwrap_or(&[]).trim_ascii_end();
        if !before.ends_with(b"/Type") {
            continue;
        }
        left = left.checked_sub(1).ok_or(Why::Unsupported)?;
        // The dictionary: from the last object's start, up to the stream.
        let window = bytes.get(at.saturating_sub(1024)..at).unwrap_or(&[]);
        let from = at - window.len() + memmem::rfind(window, b" obj").ok_or(Why::Unsupported)?;
        let ahead = bytes.get(at..(at + 2048).min(bytes.len())).unwrap_or(&[]);
        let stream = at + memmem::find(ahead, b"stream").ok_or(Why::Unsupported)?;
        let dictionary = bytes.get(from..stream).unwrap_or(&[]);
        let mut start = stream + 6;
        start += usize::from(bytes.get(start) == Some(&b'\r'));
        start += usize::from(bytes.get(start) == Some(&b'\n'));
        let rest = bytes.get(start..).unwrap_or(&[]);
        let mut end = start + memmem::find(rest, b"endstream").ok_or(Why::Damaged)?;
        end -= usize::from(end > start && bytes.get(end - 1) == Some(&b'\n'));
        end -= usize::from(end > start && bytes.get(end - 1) == Some(&b'\r'));
        let packed = memmem::find(dictionary, b"/FlateDecode").is_some() || memmem::find(dictionary, b"/Fl ").is_some();
        let other = memmem::find(dictionary, b"/Filter").is_some() && !packed;
        if other || memmem::find(dictionary, b"/DecodeParms").is_some() || memmem::find(dictionary, b"/Crypt").is_some()
        {
            return Err(Why::Unsupported);
        }
        let length = end - start;
        let content = if packed {
            stored(declared(dictionary).filter(|l| *l <= length).unwrap_or(length))?
        } else {
            empty_xmp(length)
        };
        let place = out.get_mut(start..start + content.len()).ok_or(Why::Damaged)?;
        place.copy_from_slice(&content);
    }
    Ok(())
}

/// A direct `/Length` of a stream.
fn declared(dictionary: &[u8]) -> Option<usize> {
    let at = memmem::find(dictionary, b"/Length")?;
    let text = String::from_utf8_lossy(dictionary.get(at + 7..(at + 32).min(dictionary.len()))?).into_owned();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let length = words.next()?.parse().ok()?;
    // `/Length 7 0 R` stands elsewhere.
    let reference = words.next().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit()));
    (!reference).then_some(length)
}

/// An empty XMP packet as a zlib stream of stored blocks, of exactly `length` octets (RFC 1950, RFC 1951 3.2.4).
fn stored(length: usize) -> Result<Vec<u8>, Why> {
    // Header 2, checksum 4, and 5 for each block of at most 65,535.
    let room = length.checked_sub(6).ok_or(Why::Unsupported)?;
    let blocks = room.div_ceil(65_540).max(1);
    let content = empty_xmp(room.checked_sub(5 * blocks).ok_or(Why::Unsupported)?);
    let mut out = vec![0x78, 0x01];
    let mut pieces: Vec<&[u8]> = content.chunks(65_535).collect();
    pieces.resize(blocks, &[]);
    for (n, piece) in pieces.iter().enumerate() {
        let size = u16::try_from(piece.len()).map_err(|_| Why::Unsupported)?;
        out.push(u8::from(n + 1 == blocks));
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&(!size).to_le_bytes());
        out.extend_from_slice(piece);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &content {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    Ok(out)
}
