//! A text's body on its way out: line ends, and the plainest transfer encoding that is safe. Everything is 7-bit, no line is longer than 998 octets.

use super::transfer::{encode_base64, encode_qp};
use super::{charset, work};
use crate::types::lines;
use std::borrow::Cow;

/// Longest line that is sent as it is, RFC 5322 2.1.1.
const LINE: usize = 998;

/// A body, and what goes under it: apart, as the body may be large and most are copied only once.
pub(super) struct Written<'a> {
    pub(super) body: Cow<'a, [u8]>,
    /// Empty, or whole lines in the body's charset, the end of the body's last line before them.
    pub(super) under: Vec<u8>,
    /// It is a file: its line ends stay what they are.
    pub(super) exact: bool,
}

impl<'a> Written<'a> {
    pub(super) fn new(text: Cow<'a, str>, under: String) -> Self {
        let body = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self { body, under: under.into_bytes(), exact: false }
    }
}

/// Writes Content-Transfer-Encoding, the empty line and the body.
pub(super) fn write(out: &mut Vec<u8>, written: &Written<'_>, charset: &str) {
    let multibyte = charset::is_wide(charset);
    work::count(written.body.len() / 4);
    let exact = multibyte || written.exact && !(written.body.ends_with(b"\n") && lines::are_whole(&written.body));
    let body = if exact { Cow::Borrowed(&*written.body) } else { crlf(&written.body) };
    let pieces = [&*body, written.under.as_slice()];
    // Not by lines: what says that it is UTF-16 and is not would have other line ends than mail
    // may.
    if !exact && pieces.iter().all(|piece| is_plain(piece) && lines::are_shorter(piece, LINE)) {
        out.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    } else if exact || pieces.concat().iter().filter(|b| !b.is_ascii()).count() > body.len() / 4 {
        out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
        encode_base64(&pieces.concat(), out);
    } else {
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        encode_qp(&pieces.concat(), out);
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
}

/// Only what every mail server since 1982 passes. In blocks without early ends, so that the compiler looks at many octets at once.
fn is_plain(body: &[u8]) -> bool {
    let plain = |b: u8| matches!(b, b'\t' | b'\r' | b'\n' | 0x1b) | matches!(b, b' '..=b'~');
    body.chunks(1024).all(|block| block.iter().fold(true, |all, b| all & plain(*b)))
}

/// Every line end is CRLF; text that is base 64 or quoted-printable on the way may hold bare ones.
fn crlf(body: &[u8]) -> Cow<'_, [u8]> {
    if lines::are_whole(body) {
        return Cow::Borrowed(body);
    }
    let bare = |at: usize| match body.get(at) {
        Some(b'\n') => at == 0 || body.get(at - 1) != Some(&b'\r'),
        Some(b'\r') => body.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    work::count(body.len() * 2);
    let mut out = Vec::with_capacity(body.len() + body.len() / 32);
    for (at, byte) in body.iter().enumerate() {
        if bare(at) {
            out.extend_from_slice(b"\r\n");
        } else {
            out.push(*byte);
        }
    }
    Cow::Owned(out)
}
