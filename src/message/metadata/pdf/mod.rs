//! PDF (ISO 32000-1): the document information dictionary and the XMP metadata streams are overwritten where they stand, so that no offset moves.
//!
//! Not a PDF reader: it looks for `/Info N G R`, for that object (in object streams, too: packed anew to the same length), and for streams of type Metadata.
//! Comments lose their authors (`annotations`), pictures their EXIF blocks. What is not understood is reported.
//!
//! Not here: files that are attached to a document.

mod annotations;
mod streams;

use super::super::archive::{Counted, UNPACKING};
use super::super::files::pdf;
use super::{Budget, Outcome, Why, empty_xmp, jpeg, work};
use flate2::read::ZlibDecoder;
use memchr::memmem;
use std::io::Read as _;

/// Document information dictionaries and metadata streams that are looked at.
const MOST: usize = 64;
/// Entries of the information dictionary that stay: the title is the author's words, the other is technical.
const KEPT: &[&[u8]] = &[b"Title", b"Trapped"];
/// Information dictionaries, and strings that stand elsewhere.
const MOST_OBJECTS: usize = 32;
/// Segments of all JPEG pictures; each has some twenty.
const MOST_SEGMENTS: usize = 200_000;

pub(super) fn clean(bytes: &[u8], budget: &mut Budget<'_>) -> Outcome {
    if memmem::find(bytes, b"/Encrypt").is_some() {
        return Err(Why::Encrypted);
    }
    if memmem::find(bytes, b"/ByteRange").is_some() {
        return Err(Why::Signed);
    }
    work::pack(bytes.len());
    let mut out = bytes.to_vec();
    let mut packed = object_streams(bytes, budget.unpacked)?;
    // What they refer to joins them.
    let mut objects = info_objects(bytes)?;
    let dictionaries = objects.len();
    let mut authors = annotations::blank(bytes, &mut out);
    for stream in &mut packed {
        let before = stream.content.clone();
        authors.append(&mut annotations::blank(&before, &mut stream.content));
        stream.blanked |= before != stream.content;
    }
    for author in authors {
        if objects.len() <= MOST_OBJECTS && !objects.contains(&author) {
            objects.push(author);
        }
    }
    let mut at = 0;
    while let Some((number, generation)) = objects.get(at).cloned() {
        let mut walk = Walk { referred: Vec::new(), strings_only: at >= dictionaries };
        at += 1;
        if work::is_over() {
            return Err(Why::Unsupported);
        }
        let mut found = blank_plain(bytes, &format!("{number} {generation} obj"), &mut out, &mut walk)?;
        if generation == "0" {
            for stream in &mut packed {
                found |= stream.blank(number.as_bytes(), &mut walk);
            }
        }
        if !found {
            return Err(Why::Unsupported);
        }
        walk.referred.retain(|object| !objects.contains(object));
        objects.append(&mut walk.referred);
        if objects.len() > MOST_OBJECTS {
            return Err(Why::Damaged);
        }
    }
    for stream in packed.into_iter().filter(|stream| stream.blanked) {
        let content = streams::packed(&stream.content, stream.place.len()).ok_or(Why::Unsupported)?;
        out.get_mut(stream.place).ok_or(Why::Damaged)?.copy_from_slice(&content);
    }
    metadata_streams(bytes, &mut out)?;
    let mut segments = MOST_SEGMENTS;
    for at in memmem::find_iter(bytes, b"\xff\xd8\xff") {
        jpeg::blank(bytes, at, &mut out, &mut segments);
        if segments == 0 {
            return Err(Why::Unsupported);
        }
    }
    Ok(Some(out))
}

/// Overwrites every object of this name that stands in the file unpacked. Says whether there is one.
fn blank_plain(bytes: &[u8], object: &str, out: &mut [u8], walk: &mut Walk) -> Result<bool, Why> {
    let mut found = false;
    work::pack(bytes.len() / 16);
    for (n, at) in memmem::find_iter(bytes, object.as_bytes()).enumerate() {
        if n > MOST {
            return Err(Why::Damaged);
        }
        let whole = at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|b| !b.is_ascii_digit());
        if whole {
            found = true;
            // A dictionary of names and moments is small.
            let end = bytes.len().min(at + (16 << 10));
            blank_info(bytes.get(..end).unwrap_or(bytes), at + object.len(), out, walk);
        }
    }
    Ok(found)
}

/// Number and generation of an object, as they are written.
type Object = (String, String);

/// Looking at one object.
struct Walk {
    /// Objects in which it keeps values.
    referred: Vec<Object>,
    /// It is such a value: if it is no string, it stays.
    strings_only: bool,
}

/// An object stream (7.5.7), unpacked.
struct ObjectStream {
    place: std::ops::Range<usize>,
    content: Vec<u8>,
    /// Length of the table before the objects, and how many there are.
    first: usize,
    count: usize,
    blanked: bool,
}

impl ObjectStream {
    /// Overwrites the object of this number, if it is in here.
    fn blank(&mut self, number: &[u8], walk: &mut Walk) -> bool {
        if work::is_over() {
            return false;
        }
        let table = self.content.get(..self.first).unwrap_or(&[]);
        work::pack(table.len() * 2);
        let mut words = table.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mut start = None;
        let mut end = None;
        for _ in 0..self.count {
            let (Some(name), Some(offset)) = (words.next(), words.next()) else { break };
            let offset = std::str::from_utf8(offset).ok().and_then(|offset| offset.parse::<usize>().ok());
            let offset = offset.and_then(|offset| offset.checked_add(self.first));
            if start.is_some() {
                end = offset;
                break;
            }
            // Each number stands once; more is a forger's work, and costs nobody but him.
            start = offset.filter(|_| name == number);
        }
        let Some(start) = start else { return false };
        let end = end.filter(|end| *end > start).unwrap_or(self.content.len());
        let Some(place) = self.content.get_mut(start..end) else { return false };
        work::pack(place.len() / 4);
        let before = place.to_vec();
        blank_info(&before, 0, place, walk);
        self.blanked |= before != place;
        true
    }
}

fn object_streams(bytes: &[u8], left: &mut usize) -> Result<Vec<ObjectStream>, Why> {
    let mut found = Vec::new();
    for stream in streams::of_type(bytes, b"/ObjStm", MOST * 64)? {
        let data = bytes.get(stream.place.clone()).unwrap_or(&[]);
        let mut content = Vec::new();
        if stream.packed {
            let read = ZlibDecoder::new(Counted(data)).take(*left as u64 + 1).read_to_end(&mut content);
            work::pack(content.len() * UNPACKING.1);
            read.map_err(|_| Why::Damaged)?;
        } else {
            return Err(Why::Unsupported);
        }
        *left = left.checked_sub(content.len()).ok_or(Why::Unsupported)?;
        let entry = |name: &[u8]| streams::number(stream.dictionary, name).ok_or(Why::Unsupported);
        let (first, count) = (entry(b"/First")?, entry(b"/N")?);
        found.push(ObjectStream { place: stream.place, content, first, count, blanked: false });
    }
    Ok(found)
}

/// 12 and 0 for each `/Info 12 0 R`.
fn info_objects(bytes: &[u8]) -> Result<Vec<Object>, Why> {
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
        let object = (number.to_owned(), generation.to_owned());
        if !out.contains(&object) {
            out.push(object);
        }
        if out.len() > MOST {
            return Err(Why::Damaged);
        }
    }
    Ok(out)
}

/// Overwrites the strings of the dictionary at `at`, or the one string that stands there. Values that stand elsewhere join the walk.
fn blank_info(bytes: &[u8], mut at: usize, out: &mut [u8], walk: &mut Walk) {
    let begins = bytes.get(at..).unwrap_or(&[]).trim_ascii_start();
    if walk.strings_only && (begins.starts_with(b"<<") || !begins.starts_with(b"(") && !begins.starts_with(b"<")) {
        return;
    }
    let (mut name, mut depth): (&[u8], usize) = (&[], 0);
    while let Some(&byte) = bytes.get(at) {
        work::pack(1);
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
            b'R' if !KEPT.contains(&name) => {
                let before = bytes.get(at.saturating_sub(24)..at).unwrap_or(&[]);
                let mut words = before.rsplit(|b| !b.is_ascii_digit()).filter(|word| !word.is_empty());
                let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
                if let (Some(generation), Some(number)) = (words.next(), words.next()) {
                    walk.referred.push((text(number), text(generation)));
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The closing bracket of the literal string that opens at `at`.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let end = pdf::literal_end(bytes, at);
    work::pack(end - at);
    end
}

fn memchr_from(bytes: &[u8], byte: u8, at: usize) -> usize {
    bytes.get(at..).and_then(|rest| memchr::memchr(byte, rest)).map_or(bytes.len(), |n| at + n)
}

/// Overwrites streams whose dictionary says `/Type /Metadata`.
fn metadata_streams(bytes: &[u8], out: &mut [u8]) -> Result<(), Why> {
    for stream in streams::of_type(bytes, b"/Metadata", MOST * 4)? {
        let length = stream.place.len();
        let content = if stream.packed { streams::packed_xmp(length) } else { Some(empty_xmp(length)) };
        let place = out.get_mut(stream.place).ok_or(Why::Damaged)?;
        place.copy_from_slice(&content.ok_or(Why::Unsupported)?);
    }
    Ok(())
}
