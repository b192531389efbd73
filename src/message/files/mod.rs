//! The author's own addresses in files: what people read in an attached document is treated as
//! what they read in the mail.
//!
//! One rule for every file, whatever it is packed in: addresses are replaced where that does the
//! file no harm (text, tables, presentations, RTF, web pages, messages, cards, what is in archives,
//! links and plain text of PDF). Where it does (signed and locked documents, old formats, text that
//! is drawn with a font of its own), or cannot be done within the time that there is, the file goes
//! as it is, and [`Left`] says so: `[policy.attachments] addresses_in_files` decides.
//!
//! Each kind is known by its octets, never by its name or by what the part says. Whether an address
//! is left is asked of the guard's search, which is stricter than the one that replaces.
//!
//! Whom it hits: an author whose file shows his own address, which the receiver is not to see. What
//! it tells a liar: nothing; the receiver's addresses are not looked for.
//!
//! Not here: what files tell of their makers beside what people read (`metadata`), which files may
//! be sent at all (`policy::content`), and what the author is told (`relay`).

pub(in crate::message) mod markup;
mod office;
pub(in crate::message) mod package;
pub(in crate::message) mod pdf;
mod rtf;
mod shown;
mod tar;

use super::archive::UNPACKING;
use super::contents::Told;
use super::guard::Secrets;
use super::metadata::Why;
use super::rewrite::Order;
use super::{Shared, charset, guard, html, work};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::{Read as _, Write as _};

/// Octets unpacked of all files of one message; more is a bomb.
pub(super) const MOST_UNPACKED: usize = 64 << 20;
/// Files in each other that are opened.
pub(super) const DEPTH: usize = 4;
/// Steps that a file costs besides its octets.
const FILE: usize = 1000;
/// Octets at which text says that it is markup.
const START: usize = 512;

/// A file of the message in which the author's address stands, or in which it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is by its first octets.
    pub kind: &'static str,
    /// Why it could not be replaced.
    pub why: Cannot,
}

/// Why an address could not be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cannot {
    /// A change would break a signature.
    Signed,
    /// The document is protected against changes.
    Locked,
    /// Of a kind, or in a place, in which nothing can be replaced.
    Unsupported,
    /// It would take too long. Whether there is an address is not known.
    Unread,
}

impl Cannot {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Locked => "locked",
            Self::Unsupported => "unsupported",
            Self::Unread => "unread",
        }
    }
}

/// What became of a file, and whether an address is left in it.
#[derive(Debug, Default)]
struct Look {
    changed: Option<Vec<u8>>,
    left: Option<Cannot>,
}

impl Look {
    fn changed(changed: Option<Vec<u8>>) -> Self {
        Self { changed, left: None }
    }
}

/// Looks through a file that stands in no other, within a time of its own: what that does not allow
/// is no reason to refuse the message.
pub(super) fn look<'a>(bytes: Cow<'a, [u8]>, order: &Order<'_>, told: &mut Told<'_>) -> Cow<'a, [u8]> {
    let Some(secrets) = order.documents else { return bytes };
    if told.depth > 0 {
        let look = inside(&bytes, order, secrets, told);
        return settle(bytes, look, told);
    }
    let before = told.left.len();
    let (look, spent) = work::aside(told.steps, || inside(&bytes, order, secrets, told));
    told.looked(spent.reading.max(spent.packing));
    if spent.end.is_none() {
        return settle(bytes, look, told);
    }
    // What was read in part is worth nothing. What stands there plainly is seen all the same.
    told.left.truncate(before);
    told.depth = 0;
    let (stands, spent) = work::aside(order.limits.steps() / 4, || guard::in_file(&bytes, secrets));
    let left = if stands && spent.end.is_none() { Cannot::Unsupported } else { Cannot::Unread };
    settle(bytes, Look { changed: None, left: Some(left) }, told)
}

/// One file by itself, and where an address is left in it; as costly as the thread's allowance lets
/// it be.
#[must_use]
pub fn looked(file: &[u8], order: &Order<'_>) -> (Vec<u8>, Vec<Left>) {
    let mut shared = Shared::default();
    let mut told = Told::new(&mut shared, u64::MAX);
    let Some(secrets) = order.documents else { return (file.to_vec(), Vec::new()) };
    let look = inside(file, order, secrets, &mut told);
    let out = settle(Cow::Borrowed(file), look, &mut told).into_owned();
    (out, told.left)
}

fn settle<'a>(bytes: Cow<'a, [u8]>, look: Look, told: &mut Told<'_>) -> Cow<'a, [u8]> {
    if let Some(why) = look.left {
        let left = Left { kind: super::archive::kind_of(&bytes).unwrap_or("file"), why };
        // An archive may hold thousands.
        if !told.left.contains(&left) {
            told.left.push(left);
        }
    }
    look.changed.map_or(bytes, Cow::Owned)
}

fn inside(bytes: &[u8], order: &Order<'_>, secrets: Secrets<'_>, told: &mut Told<'_>) -> Look {
    work::pack(FILE + bytes.len() / 16);
    let mut look = match bytes {
        [b'P', b'K', 3, 4, ..] => office::look(bytes, order, secrets, told),
        [b'%', b'P', b'D', b'F', b'-', ..] => pdf::look(bytes, order, told),
        [b'{', b'\\', b'r', b't', b'f', ..] => Look::changed(rtf::clean(bytes, order.replacements.of_author())),
        [0x1f, 0x8b, 8, ..] => gzip(bytes, order, told),
        _ if super::archive::is_tar(bytes) => tar::look(bytes, order, told),
        _ if charset::is_text(bytes) => Look::changed(text(bytes, order)),
        _ => Look::default(),
    };
    if look.left.is_none() && guard::in_file(look.changed.as_deref().unwrap_or(bytes), secrets) {
        look.left = Some(Cannot::Unsupported);
    }
    look
}

/// A text file: web pages and other markup by what they show, all else as it is written.
fn text(bytes: &[u8], order: &Order<'_>) -> Option<Vec<u8>> {
    let start = String::from_utf8_lossy(bytes.get(..START).unwrap_or(bytes)).to_ascii_lowercase();
    let start: String = start.chars().filter(|c| *c != '\0').collect();
    let start = start.trim_start_matches(['\u{feff}', '\u{fffd}', ' ', '\r', '\n', '\t']);
    work::pack(bytes.len() / 4);
    let replacements = order.replacements;
    if start.starts_with('<')
        && (start.contains("<html") || start.contains("<!doctype html") || start.contains("<body"))
    {
        return charset::change_untold(bytes, |text| html::addresses(text, &replacements.strict()));
    }
    if start.starts_with("<?xml") || start.starts_with("<svg") {
        return charset::change_untold(bytes, |text| markup::clean(text, replacements.of_author()));
    }
    charset::scrub_untold(bytes, false, replacements.of_author())
}

/// One file, packed (RFC 1952). A name and a comment before it go where it changes.
fn gzip(bytes: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Look {
    if told.depth >= DEPTH {
        return Look { changed: None, left: Some(Cannot::Unread) };
    }
    let mut unpacked = Vec::new();
    let most = told.opened as u64;
    let mut inside = GzDecoder::new(bytes);
    let read = inside.by_ref().take(most + 1).read_to_end(&mut unpacked);
    work::pack(bytes.len() * UNPACKING.0 + unpacked.len() * UNPACKING.1);
    // Several members, or what stands behind them, is left alone.
    let whole = inside.into_inner().is_empty();
    told.opened = told.opened.saturating_sub(unpacked.len());
    if read.is_err() || unpacked.len() as u64 > most {
        return Look { changed: None, left: Some(Cannot::Unread) };
    }
    let before = told.left.len();
    let cleaned = member("", &unpacked, order, told);
    let packed = cleaned.map(|cleaned| {
        work::pack(cleaned.len() * 20);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to a Vec does not fail.
        encoder.write_all(&cleaned).and_then(|()| encoder.finish()).ok()
    });
    let left = told.left.split_off(before).first().map(|left| left.why);
    match packed {
        Some(Some(packed)) if whole => Look { changed: Some(packed), left },
        Some(_) => Look { changed: None, left: Some(Cannot::Unsupported) },
        None => Look { changed: None, left },
    }
}

/// Looks through a file that stands in another. `None`: it stays as it is.
fn member(name: &str, bytes: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Option<Vec<u8>> {
    told.depth += 1;
    let message = super::kinds::is_message_file(name, bytes)
        .then(|| super::rewrite::message_in_file(bytes, order, told))
        .flatten();
    let cleaned = message.or_else(|| super::contents::changed_file(bytes, order, told));
    told.depth -= 1;
    cleaned
}

impl From<Why> for Cannot {
    fn from(why: Why) -> Self {
        match why {
            Why::Signed => Self::Signed,
            Why::Damaged | Why::Encrypted | Why::Unsupported => Self::Unread,
        }
    }
}

#[cfg(test)]
mod tests;
