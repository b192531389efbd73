//! Streams of a PDF file (ISO 32000-1, 7.3.8): where they are, and how another content is put into their place without moving anything behind.

use super::super::{Why, empty_xmp, work};
use flate2::{Compress, Compression, FlushCompress};
use memchr::memmem;
use std::ops::Range;

/// Steps that a stream costs besides its octets: what is around it is searched. And steps for an
/// octet that is packed as small as it gets.
const STREAM: usize = 2000;
const PACKING: usize = 60;

/// A stream of a certain type.
pub(super) struct Stream<'a> {
    pub(super) dictionary: &'a [u8],
    /// Where its data are.
    pub(super) place: Range<usize>,
    /// Where `endstream` stands; what the dictionary says of its length may be less.
    ends: usize,
    /// With zlib, and nothing else.
    pub(super) packed: bool,
}

/// Streams whose dictionary says `/Type` and `kind`, at most `most` of them.
///
/// # Errors
/// One that is built in a way that is not understood.
pub(super) fn of_type<'a>(bytes: &'a [u8], kind: &[u8], most: usize) -> Result<Vec<Stream<'a>>, Why> {
    let mut found: Vec<Stream<'a>> = Vec::new();
    work::pack(bytes.len() / 16);
    // Where the last one ends. No stream stands in another of its kind; unpacked once for each that
    // claims it, one would cost as if it were many.
    let mut done = 0;
    for at in memmem::find_iter(bytes, kind) {
        // `/Metadata 5 0 R` is a reference; the stream's own dictionary names its type.
        let before = bytes.get(at.saturating_sub(16)..at).unwrap_or(&[]).trim_ascii_end();
        if !before.ends_with(b"/Type") {
            continue;
        }
        if found.len() == most {
            return Err(Why::Unsupported);
        }
        work::pack(STREAM);
        let Some(stream) = stream_around(bytes, at, done)? else { continue };
        work::pack((stream.ends - stream.place.start) / 16);
        done = stream.ends;
        found.push(stream);
    }
    Ok(found)
}

/// The stream in whose dictionary `at` is; none if it begins before `done`: it stands in one that
/// is known.
fn stream_around(bytes: &[u8], at: usize, done: usize) -> Result<Option<Stream<'_>>, Why> {
    // The dictionary: from the last object's start, up to the stream.
    let window = bytes.get(at.saturating_sub(1024)..at).unwrap_or(&[]);
    let from = at - window.len() + memmem::rfind(window, b" obj").ok_or(Why::Unsupported)?;
    let ahead = bytes.get(at..(at + 2048).min(bytes.len())).unwrap_or(&[]);
    let stream = at + memmem::find(ahead, b"stream").ok_or(Why::Unsupported)?;
    let dictionary = bytes.get(from..stream).unwrap_or(&[]);
    let mut start = stream + 6;
    start += usize::from(bytes.get(start) == Some(&b'\r'));
    start += usize::from(bytes.get(start) == Some(&b'\n'));
    if start < done {
        return Ok(None);
    }
    let rest = bytes.get(start..).unwrap_or(&[]);
    let ends = start + memmem::find(rest, b"endstream").ok_or(Why::Damaged)?;
    let mut end = ends;
    end -= usize::from(end > start && bytes.get(end - 1) == Some(&b'\n'));
    end -= usize::from(end > start && bytes.get(end - 1) == Some(&b'\r'));
    let packed = memmem::find(dictionary, b"/FlateDecode").is_some() || memmem::find(dictionary, b"/Fl ").is_some();
    let other = memmem::find(dictionary, b"/Filter").is_some() && !packed;
    if other || memmem::find(dictionary, b"/DecodeParms").is_some() || memmem::find(dictionary, b"/Crypt").is_some() {
        return Err(Why::Unsupported);
    }
    if let Some(length) = number(dictionary, b"/Length").filter(|length| *length <= end - start && packed) {
        end = start + length;
    }
    Ok(Some(Stream { dictionary, place: start..end, ends, packed }))
}

/// A direct number in a dictionary.
pub(super) fn number(dictionary: &[u8], name: &[u8]) -> Option<usize> {
    let is_name = |at: &usize| !dictionary.get(at + name.len()).is_some_and(u8::is_ascii_alphanumeric);
    let at = memmem::find_iter(dictionary, name).find(is_name)? + name.len();
    let text = String::from_utf8_lossy(dictionary.get(at..(at + 25).min(dictionary.len()))?).into_owned();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let value = words.next()?.parse().ok()?;
    // `/Length 7 0 R` stands elsewhere.
    let reference = words.next().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit()));
    (!reference).then_some(value)
}

/// `content` and spaces after it as a zlib stream (RFC 1950) of exactly `length` octets. `None`: it does not become that small.
pub(super) fn packed(content: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = vec![0x78, 0xda];
    out.reserve(length);
    work::pack(content.len() * PACKING);
    let mut deflate = Compress::new(Compression::best(), false);
    loop {
        let taken = usize::try_from(deflate.total_in()).ok()?;
        let before = out.len();
        deflate.compress_vec(content.get(taken..)?, &mut out, FlushCompress::Sync).ok()?;
        let all_in = usize::try_from(deflate.total_in()).ok()? == content.len();
        if all_in && out.len() < out.capacity() {
            break;
        }
        if out.len() > length || (out.len() == before && out.len() < out.capacity()) {
            return None;
        }
        out.reserve(1024);
    }
    // The rest is one stored block of spaces, header 5 and checksum 4 (RFC 1951 3.2.4); or more, where one is too short.
    let mut room = length.checked_sub(out.len() + 4)?;
    let mut sum = Adler::default();
    sum.add(content);
    loop {
        // What is left must be enough for a block of its own, or nothing.
        let spaces = match room.checked_sub(5)? {
            spaces if spaces <= 65_535 => spaces,
            _ => 65_000,
        };
        room -= spaces + 5;
        let size = u16::try_from(spaces).ok()?;
        out.push(u8::from(room == 0));
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&(!size).to_le_bytes());
        let blank = vec![b' '; spaces];
        sum.add(&blank);
        out.extend_from_slice(&blank);
        if room == 0 {
            break;
        }
    }
    out.extend_from_slice(&sum.value());
    (out.len() == length).then_some(out)
}

/// An XMP packet that says nothing, packed to exactly `length` octets.
pub(super) fn packed_xmp(length: usize) -> Option<Vec<u8>> {
    // Short ones have room for nothing but spaces.
    packed(empty_xmp(200).trim_ascii_end(), length).or_else(|| packed(b"", length))
}

/// The checksum of RFC 1950.
struct Adler(u32, u32);

impl Default for Adler {
    fn default() -> Self {
        Self(1, 0)
    }
}

impl Adler {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 + u32::from(*byte)) % 65_521;
            self.1 = (self.1 + self.0) % 65_521;
        }
    }

    fn value(&self) -> [u8; 4] {
        (self.1 << 16 | self.0).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn any_length_that_is_long_enough() {
        let content = b"a text that is packed, and packed, and packed".repeat(20);
        let least = (0..).find(|length| packed(&content, *length).is_some()).unwrap();
        assert!(least < 100, "{least}");
        for length in (least..least + 40).chain([66_000, 70_530, 131_000, 200_000]) {
            let out = packed(&content, length).unwrap();
            assert_eq!(out.len(), length);
            let mut back = Vec::new();
            flate2::read::ZlibDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
            assert!(back.starts_with(&content) && back[content.len()..].iter().all(|b| *b == b' '), "{length}");
        }
    }

    #[test]
    fn numbers() {
        let cases: &[(&[u8], Option<usize>)] = &[
            (b"<</Length 12/Filter/FlateDecode>>", Some(12)),
            (b"<</Length1 3/Length 12 >>", Some(12)),
            (b"<</Length 7 0 R>>", None),
            (b"<<>>", None),
        ];
        for (dictionary, want) in cases {
            assert_eq!(number(dictionary, b"/Length"), *want);
        }
    }
}
