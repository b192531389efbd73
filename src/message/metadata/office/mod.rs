//! Office files (ECMA-376, ODF 1.3) are ZIP archives (APPNOTE 6.3): their property parts are emptied of names, files in them cleaned like files, the other parts
//! copied as they are packed. In an archive of anything, the files are cleaned; that it was one is told, since nobody knows what else is in it.

mod names;

use super::super::archive::{Counted, UNPACKING};
use super::{Budget, Cleaned, Order, Outcome, Why, place, work};
use crate::config::Metadata;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use std::io::{Read as _, Write as _};

const MOST_ENTRIES: usize = 20_000;
/// Octets unpacked of one part; more is a bomb.
const LARGEST: usize = 16 << 20;
/// Archives and documents in each other.
const DEPTH: usize = 3;
/// Steps that an entry costs besides its octets, and an octet that is packed.
const ENTRY: usize = 1000;
const PACKING: usize = 20;

/// Parts that name people, by where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Title, author, company, program.
    Properties,
    /// Text with tracked changes, comments, the list of people.
    Word,
    /// Comments, people, paths, shared workbooks.
    Sheets,
    /// Authors of comments.
    Slides,
    /// Everything of the OpenDocument formats but `meta.xml`.
    OpenDocument,
    /// The template that a text is based on.
    Links,
}

impl Part {
    fn of(name: &[u8], open_document: bool) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let starts = |with: &[&str]| with.iter().any(|start| file.starts_with(start)) && file.ends_with(".xml");
        let word = ["document", "comments", "people", "footnotes", "endnotes", "header", "footer"];
        match folder {
            "docProps" if starts(&["core", "app", "custom"]) => Some(Self::Properties),
            _ if file == "meta.xml" && (open_document || folder.is_empty()) => Some(Self::Properties),
            _ if open_document => starts(&["content", "styles", "settings"]).then_some(Self::OpenDocument),
            "word" | "word/glossary" if starts(&word) => Some(Self::Word),
            "word/_rels" if file == "settings.xml.rels" => Some(Self::Links),
            "xl" if starts(&["comments", "workbook"]) => Some(Self::Sheets),
            "xl/comments" | "xl/persons" | "xl/revisions" if file.ends_with(".xml") => Some(Self::Sheets),
            "ppt" if starts(&["commentAuthors", "authors"]) => Some(Self::Slides),
            _ => None,
        }
    }
}

/// Whether a part may be a picture or a document of its own: all but the XML of this one.
fn is_file(name: &[u8]) -> bool {
    let ends = |ending: &[u8]| name.get(name.len().saturating_sub(ending.len())..) == Some(ending);
    ![&b".xml"[..], b".rels", b"/", b"mimetype"].iter().any(|ending| ends(ending))
}

struct Entry<'a> {
    central: &'a [u8],
    name: &'a [u8],
    /// Packed.
    data: &'a [u8],
}

pub(super) fn clean(bytes: &[u8], options: &Metadata, budget: &mut Budget<'_>) -> Outcome {
    let entries = entries(bytes)?;
    let has = |name: &[u8]| entries.iter().any(|entry| entry.name == name);
    let open_document =
        entries.iter().any(|e| e.name == b"mimetype" && e.data.starts_with(b"application/vnd.oasis.opendocument"));
    let archive = !has(b"[Content_Types].xml") && !open_document;
    if archive {
        budget.passed = Some(Why::Unsupported);
    }
    if has(b"_xmlsignatures/origin.sigs") || has(b"META-INF/documentsignatures.xml") {
        return Err(Why::Signed);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut directory = Vec::new();
    let mut changed = false;
    let mut people = names::People::default();
    for entry in &entries {
        if work::is_over() {
            return Err(Why::Unsupported);
        }
        work::pack(ENTRY);
        let field = |at: usize, width: usize| entry.central.get(at..at + width).ok_or(Why::Damaged);
        let method = place(entry.central, 10, 2, Order::Little).ok_or(Why::Damaged)?;
        let flags = place(entry.central, 8, 2, Order::Little).ok_or(Why::Damaged)?;
        if flags & 1 != 0 {
            return Err(Why::Encrypted);
        }
        let mut clean = None;
        if let Some(part) = Part::of(entry.name, open_document).filter(|_| !archive) {
            let xml = unpack(entry.data, method, budget.unpacked)?;
            // UTF-16 is not read.
            let xml = std::str::from_utf8(&xml).map_err(|_| Why::Unsupported)?;
            clean = names::clean(xml, part, &mut people).map(String::into_bytes);
        } else if is_file(entry.name) && budget.depth == DEPTH {
            budget.passed = Some(Why::Unsupported);
        } else if is_file(entry.name) {
            budget.depth += 1;
            match unpack(entry.data, method, budget.unpacked).map(|f| super::clean_inside(&f, options, budget)) {
                Ok(Cleaned::Changed(cleaned)) => clean = Some(cleaned),
                Ok(Cleaned::CannotClean(why)) | Err(why) => budget.passed = Some(why),
                Ok(_) => {}
            }
            budget.depth -= 1;
        }
        let packed = clean.map(Packed::new).transpose()?;
        changed |= packed.is_some();
        // Method, sizes and checksum; what was cleaned is stored.
        let mut fixed = Vec::with_capacity(26);
        fixed.extend_from_slice(field(6, 2)?);
        // Sizes stand here, not behind the data.
        fixed.extend_from_slice(&u16::try_from(flags & !8).unwrap_or(0).to_le_bytes());
        match &packed {
            None => fixed.extend_from_slice(field(10, 18)?),
            Some(packed) => {
                fixed.extend_from_slice(&[8, 0]);
                fixed.extend_from_slice(field(12, 4)?);
                fixed.extend_from_slice(&packed.fields);
            }
        }
        fixed.extend_from_slice(&u16::try_from(entry.name.len()).map_err(|_| Why::Damaged)?.to_le_bytes());
        let offset = u32::try_from(out.len()).map_err(|_| Why::Unsupported)?;
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fixed);
        // No extra field: owners and times of the author's system stand in them.
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(entry.name);
        out.extend_from_slice(packed.as_ref().map_or(entry.data, |packed| &packed.data));
        // Parts that overlap would make much of little.
        if out.len() > bytes.len().saturating_mul(2) + (1 << 16) {
            return Err(Why::Damaged);
        }
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&fixed);
        // Extra, comment, disk, attributes: none.
        directory.extend_from_slice(&[0; 12]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name);
    }
    if !changed {
        return Ok(None);
    }
    let count = u16::try_from(entries.len()).map_err(|_| Why::Unsupported)?.to_le_bytes();
    let size = u32::try_from(directory.len()).map_err(|_| Why::Unsupported)?.to_le_bytes();
    let offset = u32::try_from(out.len()).map_err(|_| Why::Unsupported)?.to_le_bytes();
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    for field in [&count[..], &count, &size, &offset, &[0, 0]] {
        out.extend_from_slice(field);
    }
    Ok(Some(out))
}

/// The archive's parts in the order of its directory.
fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Why> {
    // The end record is behind everything but a comment of at most 65,535 octets.
    let tail = bytes.len().saturating_sub(65_557);
    let end = memchr::memmem::rfind(bytes.get(tail..).unwrap_or(&[]), b"PK\x05\x06").ok_or(Why::Damaged)? + tail;
    let read = |at: usize, width: usize| place(bytes, at, width, Order::Little).ok_or(Why::Damaged);
    let (count, mut at) = (read(end + 10, 2)?, read(end + 16, 4)?);
    if count == 0xffff || at == 0xffff_ffff || count > MOST_ENTRIES {
        return Err(Why::Unsupported);
    }
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
            return Err(Why::Damaged);
        }
        let (packed, name) = (read(at + 20, 4)?, read(at + 28, 2)?);
        let length = 46 + name + read(at + 30, 2)? + read(at + 32, 2)?;
        let local = read(at + 42, 4)?;
        let central = bytes.get(at..at + length).ok_or(Why::Damaged)?;
        if bytes.get(local..local.saturating_add(4)) != Some(b"PK\x03\x04") {
            return Err(Why::Damaged);
        }
        let start = local + 30 + read(local + 26, 2)? + read(local + 28, 2)?;
        let data = bytes.get(start..start.saturating_add(packed)).ok_or(Why::Damaged)?;
        out.push(Entry { central, name: central.get(46..46 + name).ok_or(Why::Damaged)?, data });
        at += length;
    }
    Ok(out)
}

/// A part that was cleaned.
struct Packed {
    data: Vec<u8>,
    /// Checksum and both sizes, as headers have them.
    fields: Vec<u8>,
}

impl Packed {
    fn new(clean: Vec<u8>) -> Result<Self, Why> {
        work::pack(clean.len() * PACKING);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Writing to a Vec does not fail.
        let data = encoder.write_all(&clean).and_then(|()| encoder.finish()).map_err(|_| Why::Unsupported)?;
        let mut crc = flate2::Crc::new();
        crc.update(&clean);
        let mut fields = crc.sum().to_le_bytes().to_vec();
        for size in [data.len(), clean.len()] {
            fields.extend_from_slice(&u32::try_from(size).map_err(|_| Why::Unsupported)?.to_le_bytes());
        }
        Ok(Self { data, fields })
    }
}

/// Unpacks a part, and takes what it holds off `left`.
fn unpack(data: &[u8], method: usize, left: &mut usize) -> Result<Vec<u8>, Why> {
    let most = LARGEST.min(*left);
    let mut out = Vec::new();
    let mut inside = DeflateDecoder::new(Counted(data));
    let read = match method {
        0 => data.take(most as u64 + 1).read_to_end(&mut out),
        8 => inside.by_ref().take(most as u64 + 1).read_to_end(&mut out),
        _ => return Err(Why::Unsupported),
    };
    work::pack(out.len() * UNPACKING.1);
    // What was in vain costs, too, and so does much that unpacks to little: several entries may
    // name the same octets.
    *left = left.saturating_sub(out.len().max(usize::try_from(inside.total_in()).unwrap_or(usize::MAX)));
    read.map_err(|_| Why::Damaged)?;
    if out.len() > most { Err(Why::Unsupported) } else { Ok(out) }
}
