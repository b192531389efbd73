//! Cryptographic messages (CMS, RFC 5652, before that PKCS #7) as S/MIME (RFC 8551) and signed
//! files carry them: which kind one is, and the octets that a signed or a packed one holds.
//!
//! `asn1-rs`, which the reader of certificates brings along, reads the heads of elements. The way
//! through them is here: one pass from front to back without recursion, as lengths may be
//! indefinite and strings cut into pieces (X.690 8.1.3.6, 8.7.3), which programs do that sign while
//! they send. What stands behind the content is not read: certificates and signatures are neither
//! checked nor kept.
//!
//! Not here: which parts are looked at, and what becomes of them (`sealed`).

use super::transfer::decode_base64;
use super::work;
use flate2::read::ZlibDecoder;
use std::io::Read as _;
use x509_parser::asn1_rs::{Class, FromBer as _, Header, Length, Tag};

/// A cryptographic message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cms {
    /// Enveloped, with or without authentication, or encrypted with a password.
    Encrypted,
    /// Signed, digested or packed: what is in it.
    Holds(Vec<u8>),
    /// Something else that hides nothing from us: certificates, a signature over what stands
    /// elsewhere, a time stamp.
    Other,
}

/// `1.2.840.113549.1.7`, behind which a number names a kind.
const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
/// `1.2.840.113549.1.9.16.1`, the same.
const SMIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01];
/// Octets at the start of a file in which the kind stands.
const START: usize = 32;
/// Strings in strings.
const NESTED: usize = 8;
/// Octets that are unpacked at most, and at once.
const MOST_UNPACKED: usize = 32 << 20;
const PIECE: usize = 16 << 10;
/// Steps that the head of an element costs.
const HEAD: usize = 20;

/// Whether `bytes`, which may be the first ones of a file, begin like one in binary form.
#[must_use]
pub fn begins(bytes: &[u8]) -> bool {
    let start = bytes.get(..START).unwrap_or(bytes);
    let names = |kind: &[u8]| start.windows(kind.len()).take(10).any(|window| window == kind);
    start.first() == Some(&0x30) && (names(PKCS7) || names(SMIME))
}

/// Reads one, in binary form or as base 64, between lines of dashes or without. `None`: it is none,
/// or broken.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Cms> {
    if bytes.first() == Some(&0x30) {
        return Reader { rest: bytes }.message();
    }
    // `-----BEGIN PKCS7-----`, or base 64 within base 64.
    let text = bytes.trim_ascii_start();
    let armoured = text.strip_prefix(b"-----BEGIN ").and_then(|rest| {
        let line = memchr::memchr(b'\n', rest)?;
        let end = memchr::memmem::find(rest, b"-----END").unwrap_or(rest.len());
        rest.get(line..end)
    });
    let text = armoured.unwrap_or(text);
    if armoured.is_none() && !text.starts_with(b"MI") {
        return None;
    }
    Reader { rest: &decode_base64(text) }.message()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn head(&mut self) -> Option<(Class, Tag, bool, Option<usize>)> {
        work::count(HEAD);
        let (rest, head) = Header::from_ber(self.rest).ok()?;
        let length = match head.length() {
            Length::Definite(length) => Some(length),
            Length::Indefinite => None,
        };
        let head = (head.class(), head.tag(), head.constructed(), length);
        self.rest = rest;
        Some(head)
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Goes into an element that holds others. Gives how much is left at its end, if it says so.
    fn enter(&mut self, class: Class, tag: Tag) -> Option<Option<usize>> {
        match self.head()? {
            (its, number, true, length) if its == class && number == tag => match length {
                // What is cut off behind the content is not missed.
                Some(length) => Some(Some(self.rest.len().saturating_sub(length))),
                None => Some(None),
            },
            _ => None,
        }
    }

    /// Goes over an element.
    fn skip(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            if work::is_over() {
                return None;
            }
            match self.head()? {
                (.., None) => open += 1,
                (Class::Universal, Tag::EndOfContent, false, Some(0)) => open = open.checked_sub(1)?,
                (.., Some(length)) => drop(self.take(length)?),
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    /// The kind that an object identifier names: its arc, and its last number.
    fn kind(&mut self) -> Option<(bool, u8)> {
        let (Class::Universal, Tag::Oid, false, Some(length)) = self.head()? else { return None };
        let oid = self.take(length)?;
        Some(match oid.split_last() {
            Some((number, PKCS7)) => (true, *number),
            Some((number, SMIME)) => (false, *number),
            _ => (false, 0),
        })
    }

    fn message(&mut self) -> Option<Cms> {
        self.enter(Class::Universal, Tag::Sequence)?;
        let kind = self.kind()?;
        match kind {
            (true, 3 | 4 | 6) | (false, 23) => return Some(Cms::Encrypted),
            // What is signed or digested, and what is packed.
            (true, 2 | 5) | (false, 9) => {}
            _ => return Some(Cms::Other),
        }
        self.enter(Class::ContextSpecific, Tag(0))?;
        self.enter(Class::Universal, Tag::Sequence)?;
        // The version, and how it is digested or packed.
        self.skip()?;
        self.skip()?;
        let Some(content) = self.content()? else { return Some(Cms::Other) };
        if kind == (false, 9) { unpacked(&content).map(Cms::Holds) } else { Some(Cms::Holds(content)) }
    }

    /// The content; nothing if it stands elsewhere, or is no plain data.
    fn content(&mut self) -> Option<Option<Vec<u8>>> {
        let end = self.enter(Class::Universal, Tag::Sequence)?;
        if self.kind()? != (true, 1) || end == Some(self.rest.len()) {
            return Some(None);
        }
        let before = self.rest;
        match self.head()? {
            (Class::Universal, Tag::EndOfContent, ..) => Some(None),
            (Class::ContextSpecific, Tag(0), true, _) => self.string().map(Some),
            // Without a frame around it.
            (Class::ContextSpecific, Tag(0), false, Some(length)) => self.take(length).map(|all| Some(all.to_vec())),
            (Class::Universal, Tag::OctetString, ..) => {
                self.rest = before;
                self.string().map(Some)
            }
            _ => None,
        }
    }

    /// An octet string, of one piece or of many.
    fn string(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        // Of each string that is open, how much is left at its end, if it says so.
        let mut open: Vec<Option<usize>> = Vec::new();
        loop {
            if work::is_over() || open.len() > NESTED {
                return None;
            }
            match (self.head()?, open.last()) {
                ((Class::Universal, Tag::OctetString, true, length), _) => {
                    open.push(match length {
                        Some(length) => Some(self.rest.len().checked_sub(length)?),
                        None => None,
                    });
                }
                ((Class::Universal, Tag::OctetString, false, Some(length)), _) => {
                    work::skip(length);
                    out.extend_from_slice(self.take(length)?);
                }
                ((Class::Universal, Tag::EndOfContent, false, Some(0)), Some(None)) => drop(open.pop()),
                _ => return None,
            }
            while open.last().is_some_and(|end| end.is_some_and(|end| self.rest.len() <= end)) {
                open.pop();
            }
            if open.is_empty() {
                return Some(out);
            }
        }
    }
}

/// RFC 3274: zlib.
fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let (mut decoder, mut out, mut piece) = (ZlibDecoder::new(packed), Vec::new(), vec![0; PIECE]);
    loop {
        let length = decoder.read(&mut piece).ok()?;
        work::pack(length);
        out.extend_from_slice(piece.get(..length)?);
        if work::is_over() || out.len() > MOST_UNPACKED {
            return None;
        }
        if length == 0 {
            return Some(out);
        }
    }
}
