//! A text's body on its way out: line ends, and the plainest transfer encoding that is safe. Everything is 7-bit, no line is longer than 998 octets.

use super::text::{encode_base64, encode_qp};

/// Longest line that is sent as it is, RFC 5322 2.1.1.
const LINE: usize = 998;

/// Writes Content-Transfer-Encoding, the empty line and the body.
pub(super) fn write(out: &mut Vec<u8>, body: Vec<u8>, charset: &str) {
    let multibyte = is_multibyte(charset);
    let body = if multibyte { body } else { crlf(body) };
    if is_plain(&body) && longest_line(&body) < LINE {
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

/// Only what every mail server since 1982 passes. In blocks without early ends, so that the compiler looks at many octets at once.
fn is_plain(body: &[u8]) -> bool {
    let plain = |b: u8| matches!(b, b'\t' | b'\r' | b'\n' | 0x1b) | matches!(b, b' '..=b'~');
    body.chunks(1024).all(|block| block.iter().fold(true, |all, b| all & plain(*b)))
}

fn longest_line(body: &[u8]) -> usize {
    let (mut longest, mut start) = (0, 0);
    for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        longest = longest.max(end - start);
        start = end + 1;
    }
    longest
}

/// Every line end is CRLF; text that is base 64 or quoted-printable on the way may hold bare ones.
fn crlf(body: Vec<u8>) -> Vec<u8> {
    let mut pairs = 0_usize;
    let all_pairs = memchr::memchr_iter(b'\n', &body).all(|at| {
        pairs += 1;
        at > 0 && body.get(at - 1) == Some(&b'\r')
    });
    if all_pairs && memchr::memchr_iter(b'\r', &body).count() == pairs {
        return body;
    }
    let bare = |at: usize| match body.get(at) {
        Some(b'\n') => at == 0 || body.get(at - 1) != Some(&b'\r'),
        Some(b'\r') => body.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
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
