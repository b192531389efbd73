//! Floor 3, messages: bytes in, bytes out. Pure: no store, no clock, no network.
//!
//! `headers`, `text`, `charset`, `transfer` and `mime` read what is on the wire; `author`, `once`
//! and `inspect` find the facts that policy needs; `scrub` finds real addresses, however they are
//! `written`, and `encoded` those in base 64; `replacements` says whose are replaced and where,
//! `quoted` gives back what a reader wrote himself, `footer` writes footers and takes them out
//! again; `rewrite` writes the message that goes out; `guard` looks at it once more, with another
//! reader.
//!
//! Not here: what is decided about a message (`policy`), or mail that the relay itself writes (`notice`).

pub mod addressed;
mod anchors;
pub mod archive;
pub mod author;
mod body;
pub mod bounce;
pub mod calendar;
mod charset;
pub mod cms;
mod content_id;
pub mod content_lines;
mod contents;
mod data_uri;
mod encoded;
mod endings;
mod entities;
pub mod erased;
pub mod files;
pub mod footer;
pub mod guard;
pub mod headers;
mod hints;
pub mod html;
pub mod inspect;
mod kinds;
mod located;
pub mod metadata;
pub mod mime;
pub mod once;
pub mod pgp;
pub mod quoted;
pub mod replacements;
pub mod rewrite;
pub mod said;
pub mod same;
pub mod scrub;
pub mod sealed;
pub mod search;
mod shared;
pub mod sign;
mod splice;
pub mod text;
pub mod tnef;
pub mod transfer;
pub mod uuencode;
pub mod vcard;
pub mod words;
pub mod work;
mod written;
mod yenc;

pub use footer::Footer;
pub use inspect::{Inspection, Malformed, inspect};
pub use replacements::Replacements;
pub use rewrite::{Order, Passed, Rewritten, Unclean, rewrite, rewrite_copy};
pub use shared::{Place, Shared};
