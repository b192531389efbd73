//! ZIP archives (APPNOTE 6.3) as they are read and written anew: by their directory, which is what
//! programs that open documents go by. What does not change is copied as it is packed.
//!
//! Not here: which files are in an archive for policy (`archive`), which looks at every header.

use crate::message::archive::{Counted, UNPACKING};
use crate::message::metadata::{Order, Why, place};
use crate::message::work;
use flate2::read::DeflateDecoder;
use std::io::{Cursor, Read as _, Write as _};
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const MOST_ENTRIES: usize = 20_000;
/// Octets unpacked of one part; more is a bomb.
const LARGEST: usize = 16 << 20;
/// Steps that an entry costs besides its octets, and an octet that is packed.
const ENTRY: usize = 1000;
const PACKING: usize = 20;
/// How hard it is packed: document programs take no more trouble.
const LEVEL: i64 = 3;

/// An archive.
pub(in crate::message) struct Package<'a> {
    bytes: &'a [u8],
    pub(in crate::message) entries: Vec<Entry<'a>>,
    /// Octets of the directory and what stands behind it: names, comments, extra fields.
    pub(in crate::message) directory: &'a [u8],
    comment: &'a [u8],
}

/// A file or folder in it.
pub(in crate::message) struct Entry<'a> {
    pub(in crate::message) name: &'a [u8],
    method: usize,
    /// Packed.
    data: &'a [u8],
    locked: bool,
    /// Where its headers stand, of which each has its name: in the directory, and before its data.
    headers: [usize; 2],
}

/// What becomes of an entry.
#[derive(Clone, Debug, Default)]
pub(in crate::message) struct Edit {
    pub(in crate::message) name: Option<Vec<u8>>,
    pub(in crate::message) content: Option<Vec<u8>>,
}

impl<'a> Package<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// It is not built as it should be, or has too many entries.
    pub(in crate::message) fn read(bytes: &'a [u8]) -> Result<Self, Why> {
        // The end record is behind everything but a comment of at most 65,535 octets.
        let tail = bytes.len().saturating_sub(65_557);
        let end = memchr::memmem::rfind(bytes.get(tail..).unwrap_or(&[]), b"PK\x05\x06").ok_or(Why::Damaged)? + tail;
        let read = |at: usize, width: usize| place(bytes, at, width, Order::Little).ok_or(Why::Damaged);
        let (count, start) = (read(end + 10, 2)?, read(end + 16, 4)?);
        if count == 0xffff || start == 0xffff_ffff || count > MOST_ENTRIES {
            return Err(Why::Unsupported);
        }
        let mut entries = Vec::with_capacity(count);
        let (mut at, mut together) = (start, 0_usize);
        for _ in 0..count {
            if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
                return Err(Why::Damaged);
            }
            work::pack(ENTRY);
            let (packed, name) = (read(at + 20, 4)?, read(at + 28, 2)?);
            let length = 46 + name + read(at + 30, 2)? + read(at + 32, 2)?;
            let local = read(at + 42, 4)?;
            let central = bytes.get(at..at + length).ok_or(Why::Damaged)?;
            if bytes.get(local..local.saturating_add(4)) != Some(b"PK\x03\x04") {
                return Err(Why::Damaged);
            }
            let begins = local + 30 + read(local + 26, 2)? + read(local + 28, 2)?;
            let data = bytes.get(begins..begins.saturating_add(packed)).ok_or(Why::Damaged)?;
            together = together.saturating_add(packed);
            let (flags, method) = (read(at + 8, 2)?, read(at + 10, 2)?);
            let name = central.get(46..46 + name).ok_or(Why::Damaged)?;
            entries.push(Entry { name, method, data, locked: flags & 1 != 0, headers: [at, local] });
            at += length;
        }
        // Entries that overlap would make much of little.
        if together > bytes.len().saturating_mul(2) {
            return Err(Why::Damaged);
        }
        let comment = bytes.get(end + 22..).unwrap_or(&[]);
        Ok(Self { bytes, entries, directory: bytes.get(start..).unwrap_or(&[]), comment })
    }

    /// Whether there is an entry of this name.
    pub(in crate::message) fn has(&self, name: &[u8]) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// What kind of package it is.
    pub(in crate::message) fn kind(&self) -> Kind {
        let is_open = |entry: &Entry<'_>| {
            entry.name == b"mimetype" && entry.data.starts_with(b"application/vnd.oasis.opendocument")
        };
        match self.entries.iter().any(is_open) {
            true => Kind::OpenDocument,
            false if self.has(b"[Content_Types].xml") => Kind::Office,
            false => Kind::Archive,
        }
    }

    /// Whether somebody signed it (ECMA-376 part 2, ODF 1.3 part 2): a change would break that.
    pub(in crate::message) fn is_signed(&self) -> bool {
        let signs = |entry: &Entry<'_>| {
            entry.name.starts_with(b"_xmlsignatures/")
                || entry.name.starts_with(b"META-INF/") && memchr::memmem::find(entry.name, b"signatures").is_some()
        };
        self.kind() != Kind::Archive && self.entries.iter().any(signs)
    }

    /// Unpacks an entry, and takes what it holds off `left`.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(in crate::message) fn unpack(&self, entry: &Entry<'_>, left: &mut usize) -> Result<Vec<u8>, Why> {
        if entry.locked {
            return Err(Why::Encrypted);
        }
        let most = LARGEST.min(*left);
        let mut out = Vec::new();
        let mut inside = DeflateDecoder::new(Counted(entry.data));
        let read = match entry.method {
            0 => entry.data.take(most as u64 + 1).read_to_end(&mut out),
            8 => inside.by_ref().take(most as u64 + 1).read_to_end(&mut out),
            _ => return Err(Why::Unsupported),
        };
        work::pack(out.len() * UNPACKING.1);
        // What was in vain costs, too, and so does much that unpacks to little: several entries may
        // name the same octets.
        *left = left.saturating_sub(out.len().max(usize::try_from(inside.total_in()).unwrap_or(usize::MAX)));
        read.map_err(|_| Why::Damaged)?;
        if out.len() > most { Err(Why::Unsupported) } else { Ok(out) }
    }

    /// The archive with these edits, one for each entry. Extra fields and comments of entries go.
    /// `comment`: that of the archive.
    ///
    /// # Errors
    /// It cannot be written as it was, as with two entries of one name.
    pub(in crate::message) fn rewritten(&self, mut edits: Vec<Edit>, comment: Option<&str>) -> Result<Vec<u8>, Why> {
        // The crate writes names in UTF-8. What is not, as names by Windows in Japan, gets another
        // of its length, and is put in its place afterwards.
        let mut raw = Vec::new();
        for (n, (entry, edit)) in self.entries.iter().zip(&mut edits).enumerate() {
            let name = edit.name.clone().unwrap_or_else(|| entry.name.to_vec());
            if std::str::from_utf8(&name).is_err() {
                let folder = usize::from(name.ends_with(b"/"));
                let slash = if folder == 1 { "/" } else { "" };
                let stand_in = format!("{n:~>width$}{slash}", width = name.len() - folder);
                if stand_in.len() != name.len() {
                    return Err(Why::Unsupported);
                }
                raw.push((n, name));
                edit.name = Some(stand_in.into_bytes());
            }
        }
        work::pack(self.bytes.len() / 4);
        let bare = self.bare().ok_or(Why::Unsupported)?;
        let mut source = ZipArchive::new(Cursor::new(bare)).map_err(|_| Why::Unsupported)?;
        if source.len() != self.entries.len() || edits.len() != self.entries.len() {
            return Err(Why::Unsupported);
        }
        let mut out = ZipWriter::new(Cursor::new(Vec::with_capacity(self.bytes.len())));
        let write = || -> ZipResult<()> {
            for (n, (entry, edit)) in self.entries.iter().zip(edits).enumerate() {
                work::pack(ENTRY);
                let file = source.by_index_raw(n)?;
                let name = edit.name.as_deref().unwrap_or(entry.name);
                let name = String::from_utf8_lossy(name).into_owned();
                let time = file.last_modified().unwrap_or_default();
                let options = SimpleFileOptions::default().last_modified_time(time);
                match edit.content {
                    _ if name.ends_with('/') => out.add_directory(name, options)?,
                    None => out.raw_copy_file_rename(file, name)?,
                    Some(content) => {
                        work::pack(content.len() * PACKING);
                        let stored = entry.method == 0;
                        let options = match stored {
                            true => options.compression_method(CompressionMethod::Stored),
                            false => {
                                options.compression_method(CompressionMethod::Deflated).compression_level(Some(LEVEL))
                            }
                        };
                        out.start_file(name, options)?;
                        out.write_all(&content)?;
                    }
                }
            }
            Ok(())
        };
        let written = write();
        let written = written.and_then(|()| comment.map_or(Ok(()), |comment| out.set_comment(comment)));
        let finished = out.finish();
        let mut out = written.and(finished).map(Cursor::into_inner).map_err(|_| Why::Unsupported)?;
        if raw.is_empty() {
            return Ok(out);
        }
        let headers: Vec<[usize; 2]> = Package::read(&out)?.entries.iter().map(|entry| entry.headers).collect();
        for (n, name) in raw {
            let [central, local] = headers.get(n).ok_or(Why::Damaged)?;
            for (at, flags) in [(central + 46, central + 8), (local + 30, local + 6)] {
                out.get_mut(at..at + name.len()).ok_or(Why::Damaged)?.copy_from_slice(&name);
                // Bit 11: the name is UTF-8.
                *out.get_mut(flags + 1).ok_or(Why::Damaged)? &= !8;
            }
        }
        Ok(out)
    }

    /// The archive with a directory that has neither comments nor extra fields, which would be
    /// copied: owners and times of the author's system stand in them.
    fn bare(&self) -> Option<Vec<u8>> {
        let start = self.bytes.len().checked_sub(self.directory.len())?;
        let mut out = self.bytes.get(..start)?.to_vec();
        for entry in &self.entries {
            let [at, _] = entry.headers;
            let header = self.bytes.get(at..at + 46)?;
            out.extend_from_slice(header.get(..30)?);
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(header.get(34..)?);
            out.extend_from_slice(entry.name);
        }
        let size = u32::try_from(out.len() - start).ok()?.to_le_bytes();
        let count = u16::try_from(self.entries.len()).ok()?.to_le_bytes();
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for field in [&count[..], &count, &size, &u32::try_from(start).ok()?.to_le_bytes(), &[0, 0]] {
            out.extend_from_slice(field);
        }
        Some(out)
    }

    /// The archive's comment.
    pub(in crate::message) fn comment(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.comment)
    }
}

/// What a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::message) enum Kind {
    /// docx, xlsx, pptx and their kin.
    Office,
    /// odt, ods, odp and their kin.
    OpenDocument,
    /// Files of any kind.
    Archive,
}
