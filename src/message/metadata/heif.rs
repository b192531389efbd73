//! HEIC and AVIF (ISO 23008-12): the EXIF and XMP items are overwritten where they stand, so that no offset moves. How the picture is turned is told by
//! properties of its own (`irot`, `imir`), which stay. Videos are built of the same boxes (`video`).

use super::{Order, Outcome, Why, empty_xmp, number, place, video, work};

/// Boxes and items that are read at most.
const MOST: usize = 20_000;

/// Boxes at the top that a picture needs. Others hold a video that was made along with it, or what a maker put there.
const TOP: &[&[u8; 4]] = &[b"ftyp", b"meta", b"mdat", b"idat", b"moov"];

pub(super) fn clean(bytes: &[u8]) -> Outcome {
    let top = boxes(bytes, 0, bytes.len());
    let brands = top.first().map(|b| b.body(bytes)).ok_or(Why::Damaged)?;
    let picture = brands.chunks(4).any(|brand| {
        matches!(brand, b"mif1" | b"msf1" | b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"avif" | b"avis")
    });
    if !picture {
        return video::clean(bytes, &top);
    }
    let mut out = covered(bytes, &top)?.to_vec();
    for part in &top {
        match &part.kind {
            b"meta" => clean_meta(bytes, part, &mut out)?,
            b"moov" => video::clean_movie(bytes, part, &mut out)?,
            kind if !TOP.contains(&kind) => part.empty(&mut out)?,
            _ => {}
        }
    }
    Ok(Some(out))
}

#[derive(Clone, Copy)]
pub(super) struct Box4 {
    pub(super) kind: [u8; 4],
    /// Where its kind is written, and what it holds.
    at: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Box4 {
    /// Makes free space of it.
    pub(super) fn empty(&self, out: &mut [u8]) -> Result<(), Why> {
        out.get_mut(self.at..self.at + 4).ok_or(Why::Damaged)?.copy_from_slice(b"free");
        out.get_mut(self.start..self.end).ok_or(Why::Damaged)?.fill(0);
        Ok(())
    }

    pub(super) fn body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..self.end).unwrap_or(&[])
    }
}

/// The boxes between `at` and `end`.
pub(super) fn boxes(bytes: &[u8], mut at: usize, end: usize) -> Vec<Box4> {
    let mut out = Vec::new();
    while out.len() < MOST && at + 8 <= end {
        let (Some(size), Some(kind)) = (place(bytes, at, 4, Order::Big), bytes.get(at + 4..at + 8)) else { break };
        let (header, size) = match size {
            0 => (8, end - at),
            1 => (16, place(bytes, at + 8, 8, Order::Big).unwrap_or(0)),
            size => (8, size),
        };
        work::pack(8);
        let Some(stop) = at.checked_add(size).filter(|stop| size >= header && *stop <= end) else { break };
        out.push(Box4 { kind: kind.try_into().unwrap_or_default(), at: at + 4, start: at + header, end: stop });
        at = stop;
    }
    out
}

/// The file without what follows its last box: no box, and nobody shows it.
pub(super) fn covered<'a>(bytes: &'a [u8], top: &[Box4]) -> Result<&'a [u8], Why> {
    let end = top.last().map_or(0, |last| last.end);
    let cut_off = matches!(bytes.get(end + 4..end + 8), Some(b"mdat" | b"moov" | b"meta"));
    bytes.get(..end).filter(|_| !cut_off).ok_or(Why::Damaged)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exif,
    Xmp,
}

fn clean_meta(bytes: &[u8], meta: &Box4, out: &mut [u8]) -> Result<(), Why> {
    // Version and flags come first.
    let inner = boxes(bytes, meta.start + 4, meta.end);
    let find = |kind: &[u8; 4]| inner.iter().find(|b| b.kind == *kind);
    let Some(info) = find(b"iinf") else { return Ok(()) };
    let items = items(bytes, info)?;
    if items.is_empty() {
        return Ok(());
    }
    let locations = find(b"iloc").ok_or(Why::Damaged)?;
    let data = find(b"idat").map_or(0, |b| b.start);
    let mut budget = bytes.len();
    for (id, kind) in items {
        let mut first = true;
        for (at, length) in extents(bytes, locations, id, data)? {
            budget = budget.checked_sub(length).ok_or(Why::Damaged)?;
            let end = at.checked_add(length).ok_or(Why::Damaged)?;
            let place = out.get_mut(at..end).ok_or(Why::Damaged)?;
            match kind {
                Kind::Exif => place.fill(0),
                Kind::Xmp => place.copy_from_slice(&empty_xmp(length)),
            }
            // An EXIF block without entries: offset of its header, header, no entry, no next directory.
            const EMPTY: &[u8] = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0";
            if kind == Kind::Exif
                && std::mem::take(&mut first)
                && let Some(start) = place.get_mut(..EMPTY.len())
            {
                start.copy_from_slice(EMPTY);
            }
        }
    }
    Ok(())
}

/// Items that tell something.
fn items(bytes: &[u8], info: &Box4) -> Result<Vec<(u64, Kind)>, Why> {
    let version = *bytes.get(info.start).ok_or(Why::Damaged)?;
    let mut out = Vec::new();
    for entry in boxes(bytes, info.start + if version == 0 { 6 } else { 8 }, info.end) {
        let width = match bytes.get(entry.start) {
            Some(2) => 2,
            Some(3) => 4,
            _ => continue,
        };
        let id = number(bytes, entry.start + 4, width, Order::Big).ok_or(Why::Damaged)?;
        let kind_at = entry.start + 4 + width + 2;
        match bytes.get(kind_at..kind_at + 4) {
            Some(b"Exif") => out.push((id, Kind::Exif)),
            Some(b"mime") if memchr::memmem::find(entry.body(bytes), b"application/rdf+xml").is_some() => {
                out.push((id, Kind::Xmp))
            }
            _ => {}
        }
        if out.len() > 64 {
            return Err(Why::Damaged);
        }
    }
    Ok(out)
}

/// Where the item's octets are, ISO 14496-12 8.11.3.
fn extents(bytes: &[u8], iloc: &Box4, wanted: u64, idat: usize) -> Result<Vec<(usize, usize)>, Why> {
    let read = |at: &mut usize, width: usize| {
        let value = place(bytes, *at, width, Order::Big).filter(|_| *at + width <= iloc.end).ok_or(Why::Damaged)?;
        *at += width;
        Ok::<usize, Why>(value)
    };
    let version = *bytes.get(iloc.start).ok_or(Why::Damaged)?;
    let mut at = iloc.start + 4;
    let sizes = read(&mut at, 2)?;
    let (offset_size, length_size, base_size) = (sizes >> 12 & 15, sizes >> 8 & 15, sizes >> 4 & 15);
    let index_size = if version == 0 { 0 } else { sizes & 15 };
    if [offset_size, length_size, base_size, index_size].iter().any(|size| *size > 8) {
        return Err(Why::Damaged);
    }
    let count = read(&mut at, if version < 2 { 2 } else { 4 })?;
    let mut out = Vec::new();
    // Fields of no width cost no octets.
    let mut left = MOST;
    for _ in 0..count {
        work::pack(8);
        let id = read(&mut at, if version < 2 { 2 } else { 4 })?;
        let method = if version == 0 { 0 } else { read(&mut at, 2)? & 15 };
        read(&mut at, 2)?;
        let base = read(&mut at, base_size)?;
        let extents = read(&mut at, 2)?;
        left = left.checked_sub(extents + 1).ok_or(Why::Damaged)?;
        for _ in 0..extents {
            read(&mut at, index_size)?;
            let offset = read(&mut at, offset_size)?;
            let length = read(&mut at, length_size)?;
            if u64::try_from(id).ok() != Some(wanted) {
                continue;
            }
            let from = match method {
                0 => 0,
                1 => idat,
                _ => return Err(Why::Unsupported),
            };
            let start = from.checked_add(base).and_then(|n| n.checked_add(offset)).ok_or(Why::Damaged)?;
            out.push((start, length));
        }
    }
    Ok(out)
}
