//! RAR, both forms of it: names stand unpacked before each file. What is packed is not opened.

use super::{ENCRYPTED, Order, Search, UNLISTED, place};

pub(super) fn list(bytes: &[u8], search: &mut Search) {
    let whole = match bytes.get(6) {
        Some(0) => old(bytes, search),
        Some(1) => new(bytes, search),
        _ => None,
    };
    if whole.is_none() {
        search.kind(UNLISTED);
    }
}

/// Version 1.5 to 4: blocks of checksum, kind, flags and length, then what the kind has. `None`: it ends too early.
fn old(bytes: &[u8], search: &mut Search) -> Option<()> {
    let mut at = 7;
    while bytes.len() > at {
        let (kind, flags) = (place(bytes, at + 2, 1, Order::Little)?, place(bytes, at + 3, 2, Order::Little)?);
        let length = place(bytes, at + 5, 2, Order::Little)?;
        let mut data = 0;
        match kind {
            // The archive's own header; the headers behind it are encrypted.
            0x73 if flags & 0x80 != 0 => {
                search.kind(ENCRYPTED);
                return Some(());
            }
            0x74 | 0x7a => {
                data = place(bytes, at + 7, 4, Order::Little)?;
                let large = if flags & 0x100 == 0 { 0 } else { 8 };
                if large > 0 {
                    data = data.checked_add(place(bytes, at + 32, 4, Order::Little)?.checked_mul(1 << 32)?)?;
                }
                if !search.entry() {
                    return Some(());
                }
                let name = at + 32 + large;
                let name = bytes.get(name..name + place(bytes, at + 26, 2, Order::Little)?)?;
                // A second form of the name may follow the first.
                search.name(name.split(|octet| *octet == 0).next()?);
                if flags & 4 != 0 {
                    search.kind(ENCRYPTED);
                }
            }
            // The end.
            0x7b => return Some(()),
            _ if flags & 0x8000 != 0 => data = place(bytes, at + 7, 4, Order::Little)?,
            _ => {}
        }
        if length < 7 {
            return None;
        }
        at = at.checked_add(length)?.checked_add(data)?;
    }
    Some(())
}

/// Version 5: numbers of seven bits an octet.
fn new(bytes: &[u8], search: &mut Search) -> Option<()> {
    let mut at = 8;
    while bytes.len() > at {
        let mut rest = bytes.get(at + 4..)?;
        let length = number(&mut rest)?;
        let header_at = bytes.len() - rest.len();
        let mut header = rest.get(..length)?;
        let (kind, flags) = (number(&mut header)?, number(&mut header)?);
        let extra = if flags & 1 == 0 { 0 } else { number(&mut header)? };
        let data = if flags & 2 == 0 { 0 } else { number(&mut header)? };
        match kind {
            2 => {
                if !search.entry() {
                    return Some(());
                }
                let extra = header.get(header.len().checked_sub(extra)?..)?;
                search.name(file_name(header)?);
                if is_encrypted(extra) {
                    search.kind(ENCRYPTED);
                }
            }
            4 => {
                search.kind(ENCRYPTED);
                return Some(());
            }
            5 => return Some(()),
            _ => {}
        }
        at = header_at.checked_add(length)?.checked_add(data)?;
    }
    Some(())
}

fn file_name(mut header: &[u8]) -> Option<&[u8]> {
    let flags = number(&mut header)?;
    // Size and attributes.
    number(&mut header)?;
    number(&mut header)?;
    // Time and checksum.
    let fixed = if flags & 2 == 0 { 0 } else { 4 } + if flags & 4 == 0 { 0 } else { 4 };
    header = header.get(fixed..)?;
    // Method and system.
    number(&mut header)?;
    number(&mut header)?;
    let length = number(&mut header)?;
    header.get(..length)
}

/// Whether a file's extra records have one of encryption.
fn is_encrypted(mut extra: &[u8]) -> bool {
    while let Some(length) = number(&mut extra) {
        let Some(mut record) = extra.get(..length) else { return false };
        if number(&mut record) == Some(1) {
            return true;
        }
        extra = extra.get(length..).unwrap_or(&[]);
    }
    false
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for shift in 0..10 {
        let (octet, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(octet & 0x7f).checked_shl(shift * 7)?;
        if octet & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}
