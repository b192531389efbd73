//! A text's body on its way out: line ends, and the plainest transfer encoding that is safe. Everything is 7-bit, no line is longer than 998 octets.

use super::text::{encode_base64, encode_qp};

/// Longest line that is sent as it is, RFC 5322 2.1.1.
const LINE: usize = 998;

/// Writes Content-Transfer-Encoding, the empty line and the body.
pub(super) fn write(out: &mut Vec<u8>, body: Vec<u8>, charset: &str) {
    let multibyte = is_multibyte(charset);
    let body = if multibyte { body } else { crlf(body) };
    let longest = body.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    let plain = body.iter().all(|b| matches!(b, b'\t' | b'\r' | b'\n' | 0x1b | b' '..=b'~'));
    if plain && longest < LINE {
        out.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
        out.extend_from_slice(&body);
    } else if multibyte || body.iter().filter(|b| !b.is_ascii()).count() > body.len() / 4 {
        out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
        out.extend_from_slice(&encode_base64(&body));
    } else {
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        out.extend_from_slice(&encode_qp(&body));
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
}

/// Charsets in which an octet 13 or 10 is no line end: their bodies are not touched line by line.
pub(super) fn is_multibyte(charset: &str) -> bool {
    charset.starts_with("utf-16") || charset.starts_with("utf-32") || charset.starts_with("ucs")
}

/// Every line end is CRLF; text that is base 64 or quoted-printable on the way may hold bare ones.
fn crlf(body: Vec<u8>) -> Vec<u8> {
    let bare = |at: usize| match body.get(at) {
        Some(b'\n') => at == 0 || body.get(at - 1) != Some(&b'\r'),
        Some(b'\r') => body.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    if !memchr::memchr2_iter(b'\r', b'\n', &body).any(bare) {
        return body;
    }
    let mut out = Vec::with_capacity(body.len() + body.len() / 32);
    for (at, byte) in body.iter().enumerate() {
        if bare(at) {
            out.extend_from_slice(b"\r\n");
        } else {
            out.push(*byte);
        }
    }
    out
}
