//! ZIP (APPNOTE 6.3): every local and central header in the file, wherever it stands, whatever the end record says.

use super::{
    Counted, ENCRYPTED, HEAD, LARGEST_INNER, MACROS, Order, Search, UNLISTED, UNPACKING, holds_files, place, work,
};
use flate2::{Decompress, FlushDecompress, read::DeflateDecoder};

/// Packed octets that are read for the first [`HEAD`] ones at most: no packer needs a tenth of it.
/// Blocks of nothing would stretch it over the whole archive.
const LONGEST_START: usize = 64 << 10;
/// Octets of entries that are read, for each octet of the archive: where many headers claim the
/// same ones, no list is made of them.
const OVERLAPS: usize = 16;

/// A header, local or central. Positions are those of APPNOTE 4.3.7 and 4.3.12.
struct Header<'a> {
    flags: usize,
    method: usize,
    name: &'a [u8],
    /// What follows a local header.
    data: Option<&'a [u8]>,
}

pub(super) fn list(bytes: &[u8], search: &mut Search, depth: usize) {
    work::skip(bytes.len());
    let mut inflater = Decompress::new(false);
    // Entries of an honest archive stand beside one another.
    let mut overlaps = bytes.len().saturating_mul(OVERLAPS);
    for at in memchr::memmem::find_iter(bytes, b"PK") {
        let Some(header) = header(bytes, at) else { continue };
        if !search.entry() {
            return;
        }
        search.name(header.name);
        // Bit 13: even the names in the directory are hidden.
        if header.flags & 0x2001 != 0 || header.method == 99 {
            search.kind(ENCRYPTED);
            continue;
        }
        // The second are macros of Excel 4, without any project.
        if header.name.ends_with(b"vbaProject.bin") || header.name.starts_with(b"xl/macrosheets/") {
            search.kind(MACROS);
        }
        let Some(data) = header.data.filter(|_| !header.name.ends_with(b"/")) else { continue };
        match header.method {
            0 => {
                let head = data.get(..HEAD.min(data.len())).unwrap_or(&[]);
                search.head(head);
                // A ZIP that is stored in this one is found by the loop.
                if holds_files(head) && !head.starts_with(b"PK") {
                    match overlaps.checked_sub(data.len().min(LARGEST_INNER)) {
                        Some(left) => {
                            overlaps = left;
                            search.inner(data, depth);
                        }
                        None => search.kind(UNLISTED),
                    }
                }
            }
            8 => {
                let mut head = [0; HEAD];
                inflater.reset(false);
                let start = data.get(..data.len().min(LONGEST_START)).unwrap_or(data);
                let _ = inflater.decompress(start, &mut head, FlushDecompress::None);
                let taken = usize::try_from(inflater.total_in()).unwrap_or(0);
                work::pack(taken * UNPACKING.0);
                overlaps = overlaps.saturating_sub(taken);
                if overlaps == 0 {
                    return search.kind(UNLISTED);
                }
                let length = usize::try_from(inflater.total_out()).unwrap_or(0).min(HEAD);
                if length < HEAD && taken == start.len() && taken < data.len() {
                    search.kind(UNLISTED);
                }
                let head = head.get(..length).unwrap_or(&[]);
                if !search.spend(length.max(taken)) {
                    return;
                }
                search.head(head);
                if holds_files(head) {
                    let before = search.unpacked;
                    let mut inside = DeflateDecoder::new(Counted(data));
                    search.inner(&mut inside, depth);
                    // Much that unpacks to little costs as well; what one entry has passed over,
                    // the next ones may pass over, too.
                    let taken = usize::try_from(inside.total_in()).unwrap_or(usize::MAX);
                    search.unpacked = search.unpacked.min(before.saturating_sub(taken));
                    overlaps = overlaps.saturating_sub(taken);
                }
            }
            // Packed in a way that is not read here: its name is all that is known.
            _ => search.kind(UNLISTED),
        }
    }
}

fn header(bytes: &[u8], at: usize) -> Option<Header<'_>> {
    let read = |offset: usize| place(bytes, at + offset, 2, Order::Little);
    let (fields, local) = match bytes.get(at + 2..at + 4)? {
        [3, 4] => (4, true),
        [1, 2] => (6, false),
        _ => return None,
    };
    let (version, flags, method) = (read(fields)?, read(fields + 2)?, read(fields + 4)?);
    let name_length = read(if local { 26 } else { 28 })?;
    let start = at + if local { 30 } else { 46 };
    // The four octets may stand in packed data by chance.
    let plausible = version & 0xff <= 63 && (method <= 20 || (93..=99).contains(&method)) && name_length <= 2048;
    if !plausible || name_length == 0 {
        return None;
    }
    let name = bytes.get(start..start + name_length)?;
    let data = local.then(|| bytes.get(start + name_length + read(28)?..)).flatten();
    let data = data.map(|data| {
        let packed = place(bytes, at + 18, 4, Order::Little).filter(|_| flags & 8 == 0 && method == 0);
        packed.and_then(|length| data.get(..length)).unwrap_or(data)
    });
    Some(Header { flags, method, name, data })
}
