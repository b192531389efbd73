//! Content types as they go out.

use super::mime::Part;

/// Whether a part signs others, or tells by which key: it names its owner.
pub(super) fn is_signature(part: &Part<'_>) -> bool {
    matches!(
        part.kind.value.as_str(),
        "application/pgp-signature"
            | "application/pgp-keys"
            | "application/pkcs7-signature"
            | "application/x-pkcs7-signature"
    )
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
