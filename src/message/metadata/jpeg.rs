//! JPEG (ISO 10918-1 B.1): segments by allow-list. The coded picture is copied octet by octet; what follows its end goes.

use super::{Order, Outcome, Why, orientation_only, place, tiff, work};

pub(super) fn clean(bytes: &[u8]) -> Outcome {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&[0xff, 0xd8]);
    let mut at = 2;
    let mut orientation = None;
    // Where the orientation goes: behind JFIF's segment, which wants to be first.
    let mut insert_at = 2;
    loop {
        // Fill octets may stand before a marker.
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let (Some(0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
            // Cut off, as pictures are when an upload breaks. What is there is shown.
            if at >= bytes.len() && out.len() > 4 {
                break;
            }
            return Err(Why::Damaged);
        };
        match marker {
            0xd9 => {
                out.extend_from_slice(&[0xff, 0xd9]);
                break;
            }
            0x01 | 0xd0..=0xd7 => {
                out.extend_from_slice(&[0xff, marker]);
                at += 2;
            }
            0x00 | 0xd8 => return Err(Why::Damaged),
            _ => {
                let length = place(bytes, at + 2, 2, Order::Big).filter(|l| *l >= 2).ok_or(Why::Damaged)?;
                let segment = bytes.get(at..at + 2 + length).ok_or(Why::Damaged)?;
                let content = segment.get(4..).unwrap_or(&[]);
                at += segment.len();
                if let Some(tiff) = content.strip_prefix(b"Exif\0\0").filter(|_| marker == 0xe1) {
                    orientation = orientation.or_else(|| tiff::orientation(tiff));
                } else if is_kept(marker, content) {
                    out.extend_from_slice(segment);
                    if marker == 0xe0 && out.len() == 2 + segment.len() {
                        insert_at = out.len();
                    }
                }
                if marker == 0xda {
                    let end = scan_end(bytes, at);
                    out.extend_from_slice(bytes.get(at..end).unwrap_or(&[]));
                    at = end;
                }
            }
        }
    }
    if let Some(orientation) = orientation.filter(|o| (2..=8).contains(o)) {
        let exif = orientation_only(orientation);
        let length = u16::try_from(exif.len() + 8).map_err(|_| Why::Damaged)?;
        let mut segment = vec![0xff, 0xe1];
        segment.extend_from_slice(&length.to_be_bytes());
        segment.extend_from_slice(b"Exif\0\0");
        segment.extend_from_slice(&exif);
        let tail = out.split_off(insert_at);
        out.extend_from_slice(&segment);
        out.extend_from_slice(&tail);
    }
    Ok(Some(out))
}

/// Overwrites what tells something in the JPEG at `at` of another file, in which nothing may move: it becomes zeros.
/// What only looks like a JPEG stays: all up to the coded picture has to be as it should be. `segments`: how many may still be looked at in the whole file.
pub(super) fn blank(bytes: &[u8], at: usize, out: &mut [u8], segments: &mut usize) {
    let mut told = Vec::new();
    let mut next = at + 2;
    let (mut tables, mut frames) = (0, 0);
    while let (Some(0xff), Some(&marker @ 0xc0..=0xfe)) = (bytes.get(next), bytes.get(next + 1)) {
        work::pack(32);
        *segments = segments.saturating_sub(1);
        if *segments == 0 {
            return;
        }
        let Some(length) = place(bytes, next + 2, 2, Order::Big).filter(|length| *length >= 2) else { return };
        let Some(content) = bytes.get(next + 4..next + 2 + length) else { return };
        match marker {
            0xda if tables > 0 && frames == 1 => {
                for (start, end) in told {
                    // Behind the block's own name, so that it is still a block of this kind.
                    if let Some(block) = out.get_mut(start..end) {
                        block.fill(0);
                    }
                }
                return;
            }
            0xd8..=0xda => return,
            0xc4 | 0xdb => tables += 1,
            0xc0..=0xcf => frames += 1,
            _ if !is_kept(marker, content) => {
                let name = content.iter().take(32).position(|octet| *octet == 0).map_or(0, |end| end + 1);
                // EXIF has two NULs.
                let name = name + usize::from(content.starts_with(b"Exif\0\0"));
                let name = if marker == 0xfe { 0 } else { name };
                told.push((next + 4 + name, next + 2 + length));
            }
            _ => {}
        }
        next += 2 + length;
    }
}

/// Comments go, and of the applications' segments all but what a decoder needs for the colours.
fn is_kept(marker: u8, content: &[u8]) -> bool {
    match marker {
        0xe0 => content.starts_with(b"JFIF\0"),
        0xe2 => content.starts_with(b"ICC_PROFILE\0"),
        0xee => content.starts_with(b"Adobe"),
        0xe1..=0xef | 0xfe => false,
        _ => true,
    }
}

/// The next marker behind coded data at `at`.
fn scan_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += found;
        match bytes.get(at + 1) {
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return at,
            None => break,
        }
    }
    bytes.len()
}
