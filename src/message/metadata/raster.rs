//! PNG, WebP and GIF: chunks by allow-list.

use super::{Order, Outcome, Why, orientation_only, place, tiff};

/// Chunks that a decoder may need (PNG third edition 11, APNG). Critical ones are always kept.
const PNG_KEPT: &[&[u8; 4]] = &[
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"cICP", b"mDCV",
    b"cLLI", b"acTL", b"fcTL", b"fdAT",
];

pub(super) fn clean_png(bytes: &[u8]) -> Outcome {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..8).unwrap_or(&[]));
    let mut at = 8;
    while at < bytes.len() {
        let length = place(bytes, at, 4, Order::Big).ok_or(Why::Damaged)?;
        let chunk = at.checked_add(length + 12).and_then(|end| bytes.get(at..end)).ok_or(Why::Damaged)?;
        let kind = chunk.get(4..8).ok_or(Why::Damaged)?;
        at += chunk.len();
        if kind == b"eXIf" {
            if let Some(orientation) =
                chunk.get(8..8 + length).and_then(tiff::orientation).filter(|o| (2..=8).contains(o))
            {
                png_chunk(*b"eXIf", &orientation_only(orientation), &mut out);
            }
        } else if kind.first().is_some_and(u8::is_ascii_uppercase)
            || PNG_KEPT.iter().any(|kept| kept.as_slice() == kind)
        {
            out.extend_from_slice(chunk);
        }
        if kind == b"IEND" {
            return Ok(Some(out));
        }
    }
    Err(Why::Damaged)
}

fn png_chunk(kind: [u8; 4], data: &[u8], out: &mut Vec<u8>) {
    let mut crc = flate2::Crc::new();
    crc.update(&kind);
    crc.update(data);
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    out.extend_from_slice(&crc.sum().to_be_bytes());
}

/// Chunks of the WebP container (RFC 9649 2.7) that show something.
const WEBP_KEPT: &[&[u8; 4]] = &[b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP"];

pub(super) fn clean_webp(bytes: &[u8]) -> Outcome {
    let size = place(bytes, 4, 4, Order::Little).ok_or(Why::Damaged)?;
    let end = size.checked_add(8).filter(|end| *end <= bytes.len() + 1).ok_or(Why::Damaged)?.min(bytes.len());
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..12).ok_or(Why::Damaged)?);
    let (mut at, mut flags_at, mut has_exif) = (12, None, false);
    while at < end {
        let length = place(bytes, at + 4, 4, Order::Little).ok_or(Why::Damaged)?;
        let padded = length.checked_add(8 + length % 2).ok_or(Why::Damaged)?;
        // The pad of the last chunk is often forgotten.
        let stop = at.checked_add(padded).filter(|stop| *stop <= end + length % 2).ok_or(Why::Damaged)?.min(end);
        let chunk = bytes.get(at..stop).ok_or(Why::Damaged)?;
        let kind = chunk.get(..4).ok_or(Why::Damaged)?;
        at = stop;
        if kind == b"EXIF" {
            let content = chunk.get(8..8 + length).ok_or(Why::Damaged)?;
            let content = content.strip_prefix(b"Exif\0\0").unwrap_or(content);
            if let Some(orientation) = tiff::orientation(content).filter(|o| (2..=8).contains(o)) {
                let exif = orientation_only(orientation);
                out.extend_from_slice(b"EXIF");
                out.extend_from_slice(&u32::try_from(exif.len()).unwrap_or(0).to_le_bytes());
                out.extend_from_slice(&exif);
                has_exif = true;
            }
        } else if WEBP_KEPT.iter().any(|kept| kept.as_slice() == kind) {
            if kind == b"VP8X" {
                flags_at = Some(out.len() + 8);
            }
            out.extend_from_slice(chunk);
        }
    }
    if let Some(flags) = flags_at.and_then(|at| out.get_mut(at)) {
        // RFC 9649 2.7.1: EXIF is 8, XMP is 4.
        *flags = *flags & !0x0c | u8::from(has_exif) << 3;
    }
    let size = u32::try_from(out.len() - 8).map_err(|_| Why::Damaged)?.to_le_bytes();
    if let Some(field) = out.get_mut(4..8) {
        field.copy_from_slice(&size);
    }
    Ok(Some(out))
}

pub(super) fn clean_gif(bytes: &[u8]) -> Outcome {
    let flags = *bytes.get(10).ok_or(Why::Damaged)?;
    let mut at = 13 + colour_table(flags);
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..at).ok_or(Why::Damaged)?);
    loop {
        let start = at;
        let keep = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(0x3b), _) => {
                out.push(0x3b);
                return Ok(Some(out));
            }
            (Some(0x21), Some(label)) => {
                let name = bytes.get(at + 3..at + 14).unwrap_or(&[]);
                at = sub_blocks(bytes, at + 2)?;
                match label {
                    0xfe => false,
                    0xff => matches!(name, b"NETSCAPE2.0" | b"ANIMEXTS1.0" | b"ICCRGBG1012"),
                    _ => true,
                }
            }
            (Some(0x2c), _) => {
                let flags = *bytes.get(at + 9).ok_or(Why::Damaged)?;
                at = sub_blocks(bytes, at + 10 + colour_table(flags) + 1)?;
                true
            }
            // Cut off behind a picture.
            (None, _) => return Ok(Some(out)),
            _ => return Err(Why::Damaged),
        };
        if keep {
            out.extend_from_slice(bytes.get(start..at).ok_or(Why::Damaged)?);
        }
    }
}

fn colour_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Behind the data sub-blocks at `at`.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Result<usize, Why> {
    loop {
        let length = usize::from(*bytes.get(at).ok_or(Why::Damaged)?);
        at += 1 + length;
        if length == 0 {
            return Ok(at);
        }
    }
}
