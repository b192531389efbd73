//! The lines of iCalendar (RFC 5545 3.1) and vCard (RFC 6350 3.2): unfolded, taken apart, folded again.

use super::work;
use std::borrow::Cow;

/// Steps that a line costs besides its octets.
const LINE: usize = 100;

/// One line: `NAME;PARAMETERS:VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentLine<'a> {
    /// Upper case, without a group (`item1.EMAIL`).
    pub name: String,
    /// As written, each `NAME=VALUE`.
    pub parameters: Vec<&'a str>,
    /// As written.
    pub value: &'a str,
}

impl<'a> ContentLine<'a> {
    /// Takes an unfolded line apart; `None` if it is none.
    #[must_use]
    pub fn read(line: &'a str) -> Option<Self> {
        let mut quoted = false;
        let mut cuts = Vec::new();
        let mut colon = None;
        for (at, byte) in line.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b';' if !quoted => cuts.push(at),
                b':' if !quoted => {
                    colon = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let colon = colon?;
        let mut pieces = Vec::with_capacity(cuts.len() + 1);
        let mut from = 0;
        for cut in cuts.into_iter().chain([colon]) {
            pieces.push(line.get(from..cut)?);
            from = cut + 1;
        }
        let mut pieces = pieces.into_iter();
        let name = pieces.next()?.trim();
        let name = name.rsplit('.').next().unwrap_or(name);
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_name.then(|| Self {
            name: name.to_ascii_uppercase(),
            parameters: pieces.collect(),
            value: line.get(colon + 1..).unwrap_or(""),
        })
    }
}

/// The lines of `text`, folds undone. One at a time: a text of nothing but line ends has very many.
pub fn unfold(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let mut line = Cow::Borrowed(lines.next().filter(|_| !work::is_over())?);
        work::count(LINE + line.len());
        while let Some(more) = lines.peek().and_then(|next| next.strip_prefix([' ', '\t'])) {
            work::count(1 + more.len());
            line.to_mut().push_str(more);
            lines.next();
        }
        Some(line)
    })
}

/// Writes a line in pieces of at most 75 octets.
pub fn fold(line: &str, out: &mut String) {
    let mut column = 0;
    for c in line.chars().filter(|c| !matches!(c, '\r' | '\n')) {
        if column + c.len_utf8() > 75 {
            out.push_str("\r\n ");
            column = 1;
        }
        out.push(c);
        column += c.len_utf8();
    }
    out.push_str("\r\n");
}
