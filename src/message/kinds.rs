//! Content types as they go out.

use super::mime::Part;

/// Whether the part of this number signs the message, or tells by which key: it names its owner.
/// What signs a file that is attached beside it is a file. `signed`: the parts are a
/// `multipart/signed`, of which all but the signature stays.
pub(super) fn is_signature(parts: &[(usize, Part<'_>)], at: usize, signed: bool) -> bool {
    let Some((_, part)) = parts.get(at) else { return false };
    let name = part.file_name().unwrap_or("").to_ascii_lowercase();
    match part.kind.value.as_str() {
        "application/pgp-keys" => true,
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => {
            signed || name.is_empty() || name == "smime.p7s"
        }
        "application/pgp-signature" => {
            let of_file = |file: &str| name.starts_with(&file.to_ascii_lowercase()) && name.len() > file.len();
            signed || !parts.iter().any(|(_, other)| other.file_name().is_some_and(of_file))
        }
        // As gateways write it that know no signatures.
        "application/octet-stream" => {
            signed && at > 0 && (name == "smime.p7s" || name == "signature.asc" || at + 1 == parts.len())
        }
        _ => false,
    }
}

/// Whether a part is a message that says it is a file of some other kind: mail programs attach what
/// was saved as `.eml` as octets, as text, or as a header.
pub(super) fn is_message(part: &Part<'_>) -> bool {
    const SAID: &[&str] = &["application/octet-stream", "text/plain", "text/rfc822-headers", "application/x-email"];
    let Some(name) = part.file_name() else { return false };
    SAID.contains(&part.kind.value.as_str()) && is_message_name(name) && is_message_file(name, &part.decoded())
}

/// Endings of saved messages.
fn is_message_name(name: &str) -> bool {
    let ending = name.trim_end().rsplit_once('.').map_or("", |(_, ending)| ending);
    ["eml", "mht", "mhtml"].iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// Whether a file of this name is a message by what it begins with: a field of mail.
pub(super) fn is_message_file(name: &str, bytes: &[u8]) -> bool {
    const FIELDS: &[&str] = &[
        "received",
        "return-path",
        "delivered-to",
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "x-mozilla-status",
        "dkim-signature",
        "reply-to",
        "sender",
    ];
    if !is_message_name(name) {
        return false;
    }
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or(&[]);
    let field = first.split(|b| *b == b':').next().filter(|field| field.len() < first.len());
    let field = field.map(|field| String::from_utf8_lossy(field).trim().to_ascii_lowercase());
    field.is_some_and(|field| FIELDS.contains(&field.as_str()) || field.starts_with("x-") || field.starts_with("arc-"))
}

/// A content type as the part gave it, if it is one; its parameters are not taken over.
pub(super) fn safe_kind(kind: &str, otherwise: &str) -> String {
    let token =
        |t: &str| !t.is_empty() && t.len() < 64 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+_".contains(&b));
    match kind.split_once('/') {
        Some((main, sub)) if token(main) && token(sub) && main != "message" => kind.to_owned(),
        Some(("message", _)) => "text/plain".to_owned(),
        _ => otherwise.to_owned(),
    }
}
