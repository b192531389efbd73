//! What files tell of those who made them: place and camera in pictures and videos, author and company in documents. Taken out; the content stays as it was.
//!
//! Each kind of file is recognised by its octets, never by its name. Nothing is decoded that need not be, work is linear, memory at most some times the file.
//! What cannot be cleaned is passed as it is, and the caller records it: nothing is ever destroyed.

mod heif;
mod jpeg;
mod office;
mod pdf;
mod raster;
mod tiff;
mod video;

use super::{archive, work};
use crate::config::Metadata;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing to take out, or nothing known.
    Unchanged,
    /// The file without its traces.
    Changed(Vec<u8>),
    /// The same, but for files in it that passed as they are.
    Partly(Vec<u8>, Why),
    /// Passed as it is: it may tell something.
    CannotClean(Why),
}

/// Why a file cannot be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not built as its kind should be.
    Damaged,
    /// Encrypted.
    Encrypted,
    /// Signed: a change would break it.
    Signed,
    /// Of a kind, or with a part, that is not understood.
    Unsupported,
}

impl Why {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Encrypted => "encrypted",
            Self::Signed => "signed",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Octets unpacked of all files of one message; more is a bomb.
pub const MOST_UNPACKED: usize = 64 << 20;
/// Boxes by which a QuickTime video may begin.
const OLD_VIDEOS: &[&[u8]] = &[b"moov", b"mdat", b"wide"];

/// Steps that a file costs besides its octets.
const FILE: usize = 1000;

type Outcome = Result<Option<Vec<u8>>, Why>;

/// Takes the traces out of `bytes`, as far as `options` wants it. `unpacked`: octets that may still be unpacked of this file and of its neighbours, at first
/// [`MOST_UNPACKED`].
#[must_use]
pub fn clean(bytes: &[u8], options: &Metadata, unpacked: &mut usize) -> Cleaned {
    let mut budget = Budget { depth: 0, unpacked, passed: None };
    let cleaned = clean_inside(bytes, options, &mut budget);
    match (cleaned, budget.passed) {
        (Cleaned::Changed(cleaned), Some(why)) => Cleaned::Partly(cleaned, why),
        (Cleaned::Unchanged, Some(why)) => Cleaned::CannotClean(why),
        (cleaned, _) => cleaned,
    }
}

/// What files inside one file may cost together, and whether one of them passed as it was.
struct Budget<'a> {
    /// Files around the one that is looked at.
    depth: usize,
    /// Octets that may still be unpacked.
    unpacked: &'a mut usize,
    passed: Option<Why>,
}

fn clean_inside(bytes: &[u8], options: &Metadata, budget: &mut Budget<'_>) -> Cleaned {
    let pictures = options.pictures;
    work::pack(FILE + bytes.len() / 4);
    let outcome = match bytes {
        [0xff, 0xd8, 0xff, ..] if pictures => jpeg::clean(bytes),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] if pictures => raster::clean_png(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] if pictures => raster::clean_webp(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] if pictures => raster::clean_gif(bytes),
        [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] if pictures => tiff::clean(bytes),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if pictures => heif::clean(bytes),
        // QuickTime of before there were brands.
        [_, _, _, _, kind @ ..] if pictures && OLD_VIDEOS.iter().any(|old| kind.starts_with(old)) => {
            video::clean_old(bytes)
        }
        [b'%', b'P', b'D', b'F', b'-', ..] if options.pdf => pdf::clean(bytes, budget),
        [b'P', b'K', 3, 4, ..] if options.office => office::clean(bytes, options, budget),
        // Old Office files, and RTF.
        [0xd0, 0xcf, 0x11, 0xe0, ..] | [b'{', b'\\', b'r', b't', b'f', ..] if options.office => Err(Why::Unsupported),
        _ if options.office && archive::holds_files(bytes) => Err(Why::Unsupported),
        _ if pictures && is_media(bytes) => Err(Why::Unsupported),
        _ => Ok(None),
    };
    match outcome {
        Ok(Some(cleaned)) if cleaned != bytes => Cleaned::Changed(cleaned),
        Ok(_) => Cleaned::Unchanged,
        Err(why) => Cleaned::CannotClean(why),
    }
}

/// Whether it is a picture, sound or video that may tell something: all but what has no room for it.
fn is_media(bytes: &[u8]) -> bool {
    use infer::MatcherType::{Audio, Image, Video};
    let kind = infer::get(bytes.get(..archive::HEAD).unwrap_or(bytes));
    kind.is_some_and(|kind| {
        matches!(kind.matcher_type(), Audio | Image | Video) && !matches!(kind.extension(), "bmp" | "ico")
    })
}

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// The number of `width` octets (at most 8) at `at`.
fn number(bytes: &[u8], at: usize, width: usize, order: Order) -> Option<u64> {
    let octets = bytes.get(at..at.checked_add(width)?)?;
    let fold = |value: u64, octet: &u8| value << 8 | u64::from(*octet);
    Some(match order {
        Order::Big => octets.iter().fold(0, fold),
        Order::Little => octets.iter().rev().fold(0, fold),
    })
}

/// [`number`] as a place in the file.
pub(super) fn place(bytes: &[u8], at: usize, width: usize, order: Order) -> Option<usize> {
    usize::try_from(number(bytes, at, width, order)?).ok()
}

/// An EXIF block that says nothing but how to turn the picture.
fn orientation_only(orientation: u16) -> Vec<u8> {
    let mut out = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    out.extend_from_slice(&orientation.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    out
}

/// An XMP packet that says nothing, of exactly `length` octets.
fn empty_xmp(length: usize) -> Vec<u8> {
    const EMPTY: &[u8] =
        b"<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"/></x:xmpmeta>";
    let mut out = if EMPTY.len() <= length { EMPTY.to_vec() } else { Vec::new() };
    out.resize(length, b' ');
    out
}

#[cfg(test)]
mod tests;
