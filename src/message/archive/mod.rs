//! What files hold: the names and kinds of what is inside archives and compound files, so that policy can judge it. Nothing is written to disk, and nothing is
//! unpacked beyond one budget for the whole message.
//!
//! Readers differ in how they read a broken archive, and a forger chooses the reader. So every header counts that any reader could find, not only what the
//! directory lists. Not here: which names and kinds are forbidden (`policy::content`).

mod compound;
mod rar;
pub(super) mod tar;
mod zip;

use super::metadata::{Order, place};
use super::work;
use crate::policy::content::{ENCRYPTED, UNLISTED};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::io::Read;

/// Macros of an Office document.
pub const MACROS: &str = "application/vnd.ms-office.vbaproject";
/// First octets that tell what a file is.
pub const HEAD: usize = 512;

/// Steps that an entry costs besides its octets.
const ENTRY: usize = 1000;
/// Steps for an octet that is unpacked: before, and behind.
pub(super) const UNPACKING: (usize, usize) = (2, 3);
/// Archives in archives that are opened.
const DEPTH: usize = 4;
/// Names told of one message.
const MOST_NAMES: usize = 20_000;
/// Entries looked at.
const MOST_ENTRIES: usize = 100_000;
/// Octets of a name that are kept: its end, where the extension is.
const LONGEST_NAME: usize = 120;
/// Octets unpacked in all, and of one archive inside another, which is held in memory.
const MOST_UNPACKED: usize = 64 << 20;
const LARGEST_INNER: usize = 8 << 20;

/// What is inside the files of one message, one file after the other, within one budget.
#[derive(Debug)]
pub struct Search {
    entries: usize,
    names: usize,
    unpacked: usize,
    found: Found,
    /// Endings of the names that are already told; a thousand pictures are one to policy.
    endings: BTreeSet<Vec<u8>>,
}

/// What one file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Names, one for each different extension, as far as they can be read. Only their ends, if long.
    pub names: Vec<String>,
    /// Content types by what is inside, and [`ENCRYPTED`], [`UNLISTED`], [`MACROS`].
    pub kinds: BTreeSet<&'static str>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            entries: MOST_ENTRIES,
            names: MOST_NAMES,
            unpacked: MOST_UNPACKED,
            found: Found::default(),
            endings: BTreeSet::new(),
        }
    }
}

impl Search {
    /// Looks into `file`, whose name ends in `extension`, if it has one.
    pub fn look(&mut self, file: &[u8], extension: &str) -> Found {
        self.endings.clear();
        if holds_files(file) || !is_zip_name(extension) {
            self.file(file, 0);
        } else {
            // Something before the archive: readers that begin at its end open it all the same.
            zip::list(file, self, 0);
        }
        std::mem::take(&mut self.found)
    }

    fn file(&mut self, bytes: &[u8], depth: usize) {
        work::skip(bytes.len());
        match bytes {
            [b'P', b'K', 3 | 5, 4 | 6, ..] | [b'P', b'K', b'0', b'0', b'P', b'K', ..] => zip::list(bytes, self, depth),
            [0xd0, 0xcf, 0x11, 0xe0, ..] => compound::list(bytes, self),
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => rar::list(bytes, self),
            [0x1f, 0x8b, 8, ..] => self.gzip(bytes, depth),
            _ if tar::is_header(bytes) => tar::list(bytes, self, depth),
            _ => self.kind(UNLISTED),
        }
    }

    /// One file, or a tar archive, packed (RFC 1952).
    fn gzip(&mut self, bytes: &[u8], depth: usize) {
        if bytes.get(3).is_some_and(|flags| flags & 8 != 0) {
            let at = match bytes.get(3).is_some_and(|flags| flags & 4 != 0) {
                true => 12 + place(bytes, 10, 2, Order::Little).unwrap_or(0),
                false => 10,
            };
            let name = bytes.get(at..).unwrap_or(&[]).split(|octet| *octet == 0).next().unwrap_or(&[]);
            self.name(name);
        }
        work::pack(ENTRY);
        let mut inside = MultiGzDecoder::new(Counted(bytes));
        let head = head_of(&mut inside);
        self.head(&head);
        if tar::is_header(&head) {
            tar::list(head.as_slice().chain(inside), self, depth);
        } else if holds_files(&head) {
            self.inner(head.as_slice().chain(inside), depth);
        }
    }

    /// A file inside: an archive itself. It is held in memory, as far as that goes.
    fn inner(&mut self, inside: impl Read, depth: usize) {
        let most = LARGEST_INNER.min(self.unpacked);
        if depth >= DEPTH || most == 0 {
            return self.kind(UNLISTED);
        }
        let mut bytes = Vec::new();
        let read = inside.take(most as u64 + 1).read_to_end(&mut bytes);
        work::pack(ENTRY + bytes.len() * UNPACKING.1);
        self.unpacked = self.unpacked.saturating_sub(bytes.len());
        if read.is_err() || bytes.len() > most {
            self.kind(UNLISTED);
        }
        self.file(&bytes, depth + 1);
    }

    /// Takes an entry off the budget. `false`: there is nothing left of it.
    fn entry(&mut self) -> bool {
        work::count(ENTRY);
        let left = self.entries > 0 && !work::is_over();
        if !left {
            self.kind(UNLISTED);
        }
        self.entries = self.entries.saturating_sub(1);
        left
    }

    /// Takes octets that were unpacked, or passed over while unpacking, off the budget.
    fn spend(&mut self, octets: usize) -> bool {
        let left = self.unpacked >= octets;
        self.unpacked = self.unpacked.saturating_sub(octets);
        if !left {
            self.kind(UNLISTED);
        }
        left
    }

    fn name(&mut self, name: &[u8]) {
        let name = name.get(name.len().saturating_sub(LONGEST_NAME)..).unwrap_or(name);
        let ending = name.iter().rposition(|octet| *octet == b'.').and_then(|dot| name.get(dot..)).unwrap_or(&[]);
        // What follows a colon is another stream of the file before it.
        let plain = !name.contains(&b':') && ending.iter().skip(1).all(u8::is_ascii_alphanumeric);
        if name.is_empty() || plain && !self.endings.insert(ending.to_ascii_lowercase()) {
            return;
        }
        if self.names == 0 {
            return self.kind(UNLISTED);
        }
        self.names -= 1;
        self.found.names.push(String::from_utf8_lossy(name).into_owned());
    }

    fn kind(&mut self, kind: &'static str) {
        self.found.kinds.insert(kind);
    }

    /// What the first octets of a file inside say.
    fn head(&mut self, head: &[u8]) {
        if let Some(kind) = kind_of(head) {
            self.kind(kind);
        }
    }
}

/// Reads up to [`HEAD`] octets.
/// Octets of a file, counted as they are unpacked: much that is packed may unpack to nothing. Ends
/// when the message has cost enough.
pub(super) struct Counted<'a>(pub(super) &'a [u8]);

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if work::is_over() {
            return Err(std::io::ErrorKind::QuotaExceeded.into());
        }
        let read = self.0.read(out)?;
        work::pack(read * UNPACKING.0);
        Ok(read)
    }
}

fn head_of(from: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD);
    // What is damaged says what it can.
    let _ = from.take(HEAD as u64).read_to_end(&mut head);
    head
}

/// What a file is, by its first octets: content type, lower case.
#[must_use]
pub fn kind_of(head: &[u8]) -> Option<&'static str> {
    const SHORTCUT: &[u8] = &[0x4c, 0, 0, 0, 1, 0x14, 2, 0];
    const PE: &str = "application/vnd.microsoft.portable-executable";
    match head {
        // Text may begin with these two letters, too; it has no NUL.
        [b'M', b'Z', rest @ ..] => return rest.get(..62).is_some_and(|start| start.contains(&0)).then_some(PE),
        [b'#', b'!', rest @ ..] => {
            let interpreter = rest.trim_ascii_start().starts_with(b"/");
            return interpreter.then_some("application/x-shellscript");
        }
        [0x7f, b'E', b'L', b'F', ..] => return Some("application/x-executable"),
        [b'I', b'T', b'S', b'F', ..] => return Some("application/vnd.ms-htmlhelp"),
        _ if head.starts_with(SHORTCUT) => return Some("application/x-ms-shortcut"),
        _ => {}
    }
    infer::get(head).map(|kind| kind.mime_type())
}

/// Whether a file that begins so has files in it.
#[must_use]
pub fn holds_files(head: &[u8]) -> bool {
    matches!(
        head,
        [b'P', b'K', 3 | 5, 4 | 6, ..]
            | [b'P', b'K', b'0', b'0', b'P', b'K', ..]
            | [0xd0, 0xcf, 0x11, 0xe0, ..]
            | [b'R', b'a', b'r', b'!', 0x1a, 7, ..]
            | [0x1f, 0x8b, 8, ..]
            | [b'7', b'z', 0xbc, 0xaf, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [0x1f, 0x9d, ..]
            | [0x60, 0xea, ..]
            | [_, _, b'-', b'l', b'h' | b'z', _, b'-', ..]
    ) || tar::is_header(head)
}

/// Whether a file begins with a header of a tar archive.
pub(super) fn is_tar(head: &[u8]) -> bool {
    tar::is_header(head)
}

/// Extensions of files that are ZIP archives, whatever stands before.
#[must_use]
pub fn is_zip_name(extension: &str) -> bool {
    const ZIPS: &[&str] = &["zip", "zipx", "docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "apk", "xps"];
    ZIPS.iter().any(|zip| zip.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests;
