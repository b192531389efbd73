//! TIFF 6.0, and the same structure inside EXIF. A TIFF is cleaned in place, so that no offset moves: entries go from the directory, their data becomes zeros.

use super::{Order, Outcome, Why, number, place, work};

/// Steps that an entry costs.
const ENTRY: usize = 40;

/// Tags that tell something: names, descriptions, camera, program, moment, host, XMP, IPTC, Photoshop, EXIF, GPS, Windows' own.
const REMOVED: &[u64] = &[
    0x010d, 0x010e, 0x010f, 0x0110, 0x0131, 0x0132, 0x013b, 0x013c, 0x02bc, 0x4746, 0x4749, 0x8298, 0x83bb, 0x8649,
    0x8769, 0x8825, 0x9c9b, 0x9c9c, 0x9c9d, 0x9c9e, 0x9c9f, 0xa005, 0xc4a5, 0x927c,
];
const EXIF: u64 = 0x8769;
const GPS: u64 = 0x8825;
const ORIENTATION: u64 = 0x0112;
/// Other directories (camera raw files), and the version of DNG: such files are not read without camera and notes.
const RAW: &[u64] = &[0x014a, 0xc612];
/// Pages of a fax or scan.
const MOST_DIRECTORIES: usize = 2000;

struct Entry {
    at: usize,
    tag: u64,
    /// Where the data is, if it is not in the entry itself, and its length.
    data: Option<(usize, usize)>,
    value: usize,
}

fn order_of(bytes: &[u8]) -> Option<Order> {
    match bytes.get(..4)? {
        b"II*\0" => Some(Order::Little),
        b"MM\0*" => Some(Order::Big),
        _ => None,
    }
}

fn entries(bytes: &[u8], directory: usize, order: Order) -> Option<Vec<Entry>> {
    let count = place(bytes, directory, 2, order)?;
    bytes.get(directory..directory.checked_add(count * 12 + 6)?)?;
    (0..count)
        .map(|n| {
            let at = directory + 2 + n * 12;
            let width = match number(bytes, at + 2, 2, order)? {
                3 | 8 => 2,
                4 | 9 | 11 | 13 => 4,
                5 | 10 | 12 => 8,
                _ => 1,
            };
            let length = place(bytes, at + 4, 4, order)?.checked_mul(width)?;
            let value = place(bytes, at + 8, 4, order)?;
            let data = (length > 4).then_some((value, length));
            Some(Entry { at, tag: number(bytes, at, 2, order)?, data, value })
        })
        .collect()
}

/// How the picture is to be turned, 1 to 8, if the first directory says so.
pub(super) fn orientation(tiff: &[u8]) -> Option<u16> {
    let order = order_of(tiff)?;
    let entries = entries(tiff, place(tiff, 4, 4, order)?, order)?;
    let entry = entries.iter().find(|entry| entry.tag == ORIENTATION)?;
    u16::try_from(number(tiff, entry.at + 8, 2, order)?).ok()
}

pub(super) fn clean(bytes: &[u8]) -> Outcome {
    // BigTIFF has other widths; Canon's raw files say so at once.
    let order = order_of(bytes).ok_or(Why::Unsupported)?;
    if bytes.get(8..10) == Some(b"CR") {
        return Err(Why::Unsupported);
    }
    let mut out = bytes.to_vec();
    let mut next = place(bytes, 4, 4, order).ok_or(Why::Damaged)?;
    // Directories may overlap in a file that wants to cost time.
    let mut budget = bytes.len().saturating_mul(2);
    for _ in 0..MOST_DIRECTORIES {
        if next == 0 {
            return Ok(Some(out));
        }
        let all = entries(bytes, next, order).ok_or(Why::Damaged)?;
        work::pack(all.len() * ENTRY);
        budget = budget.checked_sub(all.len() * 12).ok_or(Why::Damaged)?;
        if all.iter().any(|entry| RAW.contains(&entry.tag)) {
            return Err(Why::Unsupported);
        }
        let following = place(bytes, next + 2 + all.len() * 12, 4, order).ok_or(Why::Damaged)?;
        let (removed, kept): (Vec<&Entry>, Vec<&Entry>) = all.iter().partition(|entry| REMOVED.contains(&entry.tag));
        for entry in &removed {
            wipe(bytes, &mut out, entry, order, &mut budget)?;
        }
        if !removed.is_empty() {
            // The directory closes up; its end becomes zeros.
            let mut directory = Vec::with_capacity(all.len() * 12 + 6);
            let count = u16::try_from(kept.len()).map_err(|_| Why::Damaged)?;
            let following = u32::try_from(following).map_err(|_| Why::Damaged)?;
            let (count, following) = match order {
                Order::Little => (count.to_le_bytes(), following.to_le_bytes()),
                Order::Big => (count.to_be_bytes(), following.to_be_bytes()),
            };
            directory.extend_from_slice(&count);
            for entry in &kept {
                directory.extend_from_slice(bytes.get(entry.at..entry.at + 12).ok_or(Why::Damaged)?);
            }
            directory.extend_from_slice(&following);
            directory.resize(all.len() * 12 + 6, 0);
            out.get_mut(next..next + directory.len()).ok_or(Why::Damaged)?.copy_from_slice(&directory);
        }
        next = following;
    }
    Err(Why::Damaged)
}

/// Puts zeros where an entry's data is; for EXIF and GPS, where their directory and its data are.
fn wipe(bytes: &[u8], out: &mut [u8], entry: &Entry, order: Order, budget: &mut usize) -> Result<(), Why> {
    let mut zero = |at: usize, length: usize| {
        *budget = budget.checked_sub(length).ok_or(Why::Damaged)?;
        let end = at.checked_add(length).ok_or(Why::Damaged)?;
        out.get_mut(at..end).ok_or(Why::Damaged)?.fill(0);
        Ok(())
    };
    if matches!(entry.tag, EXIF | GPS) {
        let inner = entries(bytes, entry.value, order).ok_or(Why::Damaged)?;
        work::pack(inner.len() * ENTRY);
        for entry in &inner {
            if let Some((at, length)) = entry.data {
                zero(at, length)?;
            }
        }
        return zero(entry.value, inner.len() * 12 + 6);
    }
    entry.data.map_or(Ok(()), |(at, length)| zero(at, length))
}
