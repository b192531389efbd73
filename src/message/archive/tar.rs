//! tar (POSIX pax, ustar, GNU, the old format): headers of 512 octets, each before its file.

use super::{HEAD, Search, UNLISTED, UNPACKING, holds_files, work};
use std::io::{self, Read};

const BLOCK: usize = 512;
/// Octets of a name that stands in an entry of its own.
const LONGEST: usize = 4096;

/// Whether a file begins with a header of a tar archive: its checksum holds.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK) else { return false };
    let sum = |(at, octet): (usize, &u8)| u64::from(if (148..156).contains(&at) { b' ' } else { *octet });
    let sum: u64 = block.iter().enumerate().map(sum).sum();
    block.first() != Some(&0) && block.get(148..156).and_then(octal) == Some(sum)
}

pub(super) fn list(mut from: impl Read, search: &mut Search, depth: usize) {
    // The name that an entry before this one told.
    let mut told: Option<Vec<u8>> = None;
    loop {
        let header = read(&mut from, BLOCK);
        if header.len() < BLOCK || header.iter().all(|octet| *octet == 0) {
            return;
        }
        if !is_header(&header) {
            return search.kind(UNLISTED);
        }
        let field = |from: usize, to: usize| header.get(from..to).unwrap_or(&[]);
        let size = size(field(124, 136));
        let padded = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
        let spent = usize::try_from(padded).unwrap_or(usize::MAX).saturating_add(BLOCK);
        if !search.entry() || !search.spend(spent) {
            return;
        }
        work::pack(spent.saturating_mul(UNPACKING.1));
        let kind = field(156, 157);
        let part = usize::try_from(size).unwrap_or(usize::MAX);
        let taken = match kind {
            b"L" | b"x" => {
                let text = read(&mut from, part.min(LONGEST));
                let taken = text.len();
                told = if kind == b"L" { Some(text) } else { path(&text).or(told) };
                taken
            }
            _ => {
                match told.take() {
                    Some(name) => search.name(until_nul(&name)),
                    None => search.name(until_nul(field(0, 100))),
                }
                let head = read(&mut from, part.min(HEAD));
                search.head(&head);
                if holds_files(&head) {
                    let rest = size.saturating_sub(head.len() as u64);
                    let mut rest = from.by_ref().take(rest);
                    search.inner(head.as_slice().chain(&mut rest), depth);
                    let left = usize::try_from(rest.limit()).unwrap_or(usize::MAX);
                    part.saturating_sub(left)
                } else {
                    head.len()
                }
            }
        };
        let rest = padded.saturating_sub(taken as u64);
        if !matches!(io::copy(&mut from.by_ref().take(rest), &mut io::sink()), Ok(passed) if passed == rest) {
            return;
        }
    }
}

fn read(from: &mut impl Read, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = from.by_ref().take(most as u64).read_to_end(&mut out);
    out
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|octet| *octet == 0).next().unwrap_or(&[])
}

pub(in crate::message) fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_nul(field)).ok()?;
    u64::from_str_radix(text.trim(), 8).ok()
}

/// A size: octal, or, with the first bit set, in base 256.
fn size(field: &[u8]) -> u64 {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            rest.iter().fold(0_u64, |size, octet| size.saturating_mul(256).saturating_add(u64::from(*octet)))
        }
        _ => octal(field).unwrap_or(0),
    }
}

/// The path of a pax header: lines of `length key=value`.
fn path(text: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::find(text, b" path=")? + 6;
    text.get(at..)?.split(|octet| *octet == b'\n').next().map(<[u8]>::to_vec)
}
