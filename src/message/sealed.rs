//! Parts that hold another part in a wrapping of cryptography, and parts that nobody here can read.
//! One reader for `inspect`, `rewrite` and `search`, so that they see the same.
//!
//! What is only signed is opened, and its content goes on like any other; the signature tells its
//! owner and would not hold over what changes. Files that are signed (a contract, an invoice for
//! an office: `.p7m`), certificates, and signatures over files are files.

use super::cms::{self, Cms};
use super::mime::{Encoding, Part};
use super::{charset, headers, html, pgp, work};
use crate::policy::content::Closed;

/// How a part is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// Not at all, or as a file.
    None,
    /// Signed or packed: the part inside.
    Opened(Vec<u8>),
    /// Nobody here can read it.
    Closed(Closed),
}

/// Looks at a part. `text` looks at texts.
#[must_use]
pub fn look(part: &Part<'_>) -> Wrapping {
    let kind = part.kind.value.as_str();
    match kind {
        // The last is what Microsoft's rights management sends.
        "multipart/encrypted" | "application/pgp-encrypted" | "application/x-microsoft-rpmsg-message" => {
            Wrapping::Closed(Closed::Encrypted)
        }
        "message/partial" => Wrapping::Closed(Closed::Partial),
        "message/external-body" => Wrapping::Closed(Closed::Elsewhere),
        _ if kind.starts_with("application/") => application(part),
        _ => Wrapping::None,
    }
}

fn application(part: &Part<'_>) -> Wrapping {
    let says_mail = matches!(part.kind.value.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime");
    if !says_mail && !may_be_one(part) {
        return Wrapping::None;
    }
    // What programs call the wrapping of a message; a file has a name of its own.
    let is_mail = part.file_name().map_or(says_mail, |name| name.to_ascii_lowercase().starts_with("smime"));
    let told = part.kind.get("smime-type").unwrap_or("").to_ascii_lowercase();
    match cms::read(&part.decoded()) {
        Some(Cms::Encrypted) => Wrapping::Closed(Closed::Encrypted),
        Some(Cms::Holds(content)) => entity(content, is_mail).map_or(Wrapping::None, Wrapping::Opened),
        Some(Cms::Other) => Wrapping::None,
        None if says_mail && (told.contains("enveloped") || told.contains("encrypted")) => {
            Wrapping::Closed(Closed::Encrypted)
        }
        None if says_mail && is_mail && told != "certs-only" => Wrapping::Closed(Closed::Signed),
        None => Wrapping::None,
    }
}

/// Whether a part that says something else may be a cryptographic message: by its name, as
/// gateways take the type away, or by how it begins.
fn may_be_one(part: &Part<'_>) -> bool {
    let kind = part.kind.value.as_str();
    if matches!(kind, "application/pkcs7-signature" | "application/x-pkcs7-signature") || is_named(part) {
        return true;
    }
    // The first octets are enough; most files are something else.
    let start = part.body.get(..START).unwrap_or(part.body);
    kind == "application/octet-stream"
        && (part.encoding != Encoding::Base64 || start.trim_ascii_start().starts_with(b"M"))
        && cms::begins(&Part { body: start, ..part.clone() }.decoded())
}

/// Octets of a part's body that tell how it begins.
const START: usize = 96;

fn is_named(part: &Part<'_>) -> bool {
    let ending = part.file_name().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ending)| ending.trim());
    ["p7m", "p7z"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// What was signed, if it is a part of a message. `is_mail`: it stands where one is expected.
fn entity(content: Vec<u8>, is_mail: bool) -> Option<Vec<u8>> {
    let (fields, _) = headers::split(&content);
    let typed = fields.iter().any(|field| field.is("Content-Type") && field.text().contains('/'));
    let is_field = |field: &headers::Field<'_>| {
        field.is("MIME-Version") || field.name.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("Content-"))
    };
    if typed || is_mail && (fields.iter().any(is_field) || content.starts_with(b"\r\n") || content.starts_with(b"\n")) {
        return Some(content);
    }
    // Signed by a tool, as it was typed.
    (is_mail && charset::is_text(&content)).then(|| [b"\r\n", content.as_slice()].concat())
}

/// What is signed in a file that stays one: whoever opens it gets to that.
#[must_use]
pub fn content_of_file(part: &Part<'_>) -> Option<Vec<u8>> {
    if !part.is("application") || !is_named(part) {
        return None;
    }
    match cms::read(&part.decoded()) {
        Some(Cms::Holds(content)) => Some(content),
        _ => None,
    }
}

/// Why nobody here can read a text, decoded: an OpenPGP message stands in it, not quoted.
#[must_use]
pub fn text(text: &str, is_html: bool) -> Option<Closed> {
    work::skip(text.len());
    memchr::memmem::find(text.as_bytes(), pgp::MESSAGE.as_bytes())?;
    if is_html { pgp::sealed(&html::unquoted_lines(text)) } else { pgp::sealed(text) }
}

/// Whether a file is an OpenPGP message, by its first octets and its name.
#[must_use]
pub fn is_encrypted_file(head: &[u8], name: Option<&str>) -> bool {
    if let Ok(text) = std::str::from_utf8(head)
        && text.trim_start().starts_with(pgp::MESSAGE)
    {
        return pgp::sealed(text) == Some(Closed::Encrypted);
    }
    let ending = name.and_then(|name| name.rsplit_once('.')).map_or("", |(_, ending)| ending.trim());
    ["gpg", "pgp"].iter().any(|known| ending.eq_ignore_ascii_case(known))
        && head.first().is_some_and(|octet| pgp::is_encrypted_packet(*octet))
}

#[cfg(test)]
pub(crate) mod tests;
