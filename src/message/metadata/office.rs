//! Office files (ECMA-376, ODF 1.3) are ZIP archives (APPNOTE 6.3): their property parts are emptied of names, the other parts are copied as they are packed.

use super::{Order, Outcome, Why, place};
use flate2::read::DeflateDecoder;
use std::io::Read as _;

/// Parts that hold properties.
const PROPERTIES: &[&[u8]] = &[b"docProps/core.xml", b"docProps/app.xml", b"docProps/custom.xml", b"meta.xml"];
/// Elements in them whose text goes.
const NAMES: &[&str] = &[
    "creator",
    "lastModifiedBy",
    "Company",
    "Manager",
    "HyperlinkBase",
    "Template",
    "initial-creator",
    "printed-by",
    "generator",
    "user-defined",
    "Application",
    "AppVersion",
    "lpwstr",
    "lpstr",
    "keywords",
    "category",
    "contentStatus",
    "description",
];
const MOST_ENTRIES: usize = 20_000;
/// Property parts are small; a larger one is a bomb.
const LARGEST: u64 = 1 << 20;

struct Entry<'a> {
    central: &'a [u8],
    name: &'a [u8],
    /// Packed.
    data: &'a [u8],
}

pub(super) fn clean(bytes: &[u8]) -> Outcome {
    let entries = entries(bytes)?;
    let has = |name: &[u8]| entries.iter().any(|entry| entry.name == name);
    let open_document =
        entries.iter().any(|e| e.name == b"mimetype" && e.data.starts_with(b"application/vnd.oasis.opendocument"));
    if !has(b"[Content_Types].xml") && !open_document {
        // An archive of anything.
        return Err(Why::Unsupported);
    }
    if has(b"_xmlsignatures/origin.sigs") || has(b"META-INF/documentsignatures.xml") {
        return Err(Why::Signed);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut directory = Vec::new();
    let mut changed = false;
    for entry in &entries {
        let field = |at: usize, width: usize| entry.central.get(at..at + width).ok_or(Why::Damaged);
        let method = place(entry.central, 10, 2, Order::Little).ok_or(Why::Damaged)?;
        let flags = place(entry.central, 8, 2, Order::Little).ok_or(Why::Damaged)?;
        if flags & 1 != 0 {
            return Err(Why::Encrypted);
        }
        let mut packed = None;
        if PROPERTIES.contains(&entry.name) {
            let text = unpack(entry.data, method)?;
            packed = without_names(&text);
        }
        changed |= packed.is_some();
        // Method, sizes and checksum; what was cleaned is stored.
        let mut fixed = Vec::with_capacity(26);
        fixed.extend_from_slice(field(6, 2)?);
        // Sizes stand here, not behind the data.
        fixed.extend_from_slice(&u16::try_from(flags & !8).unwrap_or(0).to_le_bytes());
        match &packed {
            None => fixed.extend_from_slice(field(10, 18)?),
            Some(data) => {
                let size = u32::try_from(data.len()).map_err(|_| Why::Unsupported)?.to_le_bytes();
                let mut crc = flate2::Crc::new();
                crc.update(data);
                fixed.extend_from_slice(&[0, 0]);
                fixed.extend_from_slice(field(12, 4)?);
                fixed.extend_from_slice(&crc.sum().to_le_bytes());
                fixed.extend_from_slice(&size);
                fixed.extend_from_slice(&size);
            }
        }
        fixed.extend_from_slice(&u16::try_from(entry.name.len()).map_err(|_| Why::Damaged)?.to_le_bytes());
        let offset = u32::try_from(out.len()).map_err(|_| Why::Unsupported)?;
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fixed);
        // No extra field: owners and times of the author's system stand in them.
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(entry.name);
        out.extend_from_slice(packed.as_deref().unwrap_or(entry.data));
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

fn unpack(data: &[u8], method: usize) -> Result<String, Why> {
    let mut text = String::new();
    let read = match method {
        0 => data.take(LARGEST + 1).read_to_string(&mut text),
        8 => DeflateDecoder::new(data).take(LARGEST + 1).read_to_string(&mut text),
        _ => return Err(Why::Unsupported),
    };
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= LARGEST) => Ok(text),
        // UTF-16, too large, or broken.
        _ => Err(Why::Unsupported),
    }
}

/// The XML without the text of elements that name somebody. `None`: it names nobody.
fn without_names(xml: &str) -> Option<Vec<u8>> {
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml;
    let mut changed = false;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        out.push('<');
        rest = tag;
        let Some((head, body)) = tag.split_once('>') else { break };
        let name = head.split(|c: char| c.is_ascii_whitespace() || c == '/').next().unwrap_or("");
        let local = name.rsplit(':').next().unwrap_or(name);
        if head.starts_with(['/', '?', '!']) || head.ends_with('/') || !NAMES.contains(&local) {
            continue;
        }
        let Some(end) = body.find('<') else { break };
        let (text, after) = body.split_at(end);
        changed |= !text.trim().is_empty();
        out.push_str(head);
        out.push('>');
        rest = after;
    }
    out.push_str(rest);
    changed.then(|| out.into_bytes())
}
