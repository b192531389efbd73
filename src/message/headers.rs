//! Header fields as they stand on the wire, RFC 5322 2.2, read strictly: a name has no spaces in it, so `Fr om:` is not `From`.

use super::text::decode_charset;
use crate::types::Time;

/// One field: its name and its raw value, folds included, final CRLF not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As written.
    pub name: &'a str,
    /// After the colon.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value unfolded and trimmed. Octets above 127 and escape sequences that stand there raw
    /// are read as what they are.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_in("")
    }

    /// The same; where nothing shows what the octets are, they are in `charset`, which the message
    /// says of its text.
    #[must_use]
    pub fn text_in(&self, charset: &str) -> String {
        let is_plain = !self.value.contains(&0x1b);
        let text = match std::str::from_utf8(self.value) {
            Ok(text) if is_plain => text.to_owned(),
            _ => {
                let unfolded: Vec<u8> = self.value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
                decode_charset(&unfolded, charset).into_owned()
            }
        };
        let unfolded: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        unfolded.trim().to_owned()
    }
}

/// Splits a message or part into its fields and its body. What cannot be a field ends the header.
#[must_use]
pub fn split(raw: &[u8]) -> (Vec<Field<'_>>, &[u8]) {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = raw.get(at..).unwrap_or(&[]);
        if rest.is_empty() {
            return (fields, rest);
        }
        let length = field_length(rest);
        let (line, after) = rest.split_at(length);
        let line = trim_newline(line);
        if line.is_empty() {
            return (fields, after);
        }
        let Some(field) = field(line) else { return (fields, rest) };
        fields.push(field);
        at += length;
    }
}

/// The message without the fields that `drop` names. What cannot be a field ended the header: an
/// empty line stands before it then, so that no other reader goes on there.
#[must_use]
pub fn without(raw: &[u8], drop: impl Fn(&Field<'_>) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 2);
    let mut rest = raw;
    while !rest.is_empty() {
        let (lines, after) = rest.split_at(field_length(rest));
        let line = trim_newline(lines);
        let Some(field) = field(line).filter(|_| !line.is_empty()) else {
            if !line.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
            break;
        };
        if !drop(&field) {
            out.extend_from_slice(lines);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// Octets of the field at the start of `rest`, continuation lines and final newline included.
fn field_length(rest: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let line = rest.get(end..).unwrap_or(&[]);
        let Some(newline) = memchr::memchr(b'\n', line) else { return rest.len() };
        end += newline + 1;
        let blank = trim_newline(line.get(..=newline).unwrap_or(&[])).is_empty();
        if blank || !matches!(rest.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

fn trim_newline(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn field(line: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let name = std::str::from_utf8(name).ok()?;
    let name_ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    name_ok.then(|| Field { name, value: value.get(1..).unwrap_or(&[]) })
}

/// Message-IDs in a field, without their brackets, at most `limit`, the last ones if there are more.
#[must_use]
pub fn message_ids(text: &str, limit: usize) -> Vec<String> {
    let mut ids: Vec<String> = text
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>').map(|(id, _)| id))
        .map(|id| id.chars().filter(|c| !c.is_whitespace()).collect::<String>())
        .filter(|id| !id.is_empty() && id.len() <= 900 && id.contains('@') && !id.chars().any(char::is_control))
        .collect();
    ids.drain(..ids.len().saturating_sub(limit));
    ids
}

/// The moment that a Date field names, if it is a sensible one.
#[must_use]
pub fn date(text: &str) -> Option<Time> {
    // A comment at the end names the zone.
    let text = text.split('(').next().unwrap_or("").trim();
    let moment = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    let time = Time(moment.as_millisecond());
    (time.0 > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_body() {
        let raw = b"A: 1\r\nB:\r\n 2\r\n\t3\r\n\r\nbody\r\n";
        let (fields, body) = split(raw);
        let texts: Vec<_> = fields.iter().map(|f| (f.name, f.text())).collect();
        assert_eq!(texts, [("A", "1".to_owned()), ("B", "2\t3".to_owned())]);
        assert_eq!(body, b"body\r\n");
        // what is not a field ends the header
        for (raw, count, body) in [
            (&b"A: 1\r\nFr om: x\r\n\r\nb"[..], 1, &b"Fr om: x\r\n\r\nb"[..]),
            (b"A: 1\r\nnothing\r\n", 1, b"nothing\r\n"),
            (b" A: 1\r\n\r\n", 0, b" A: 1\r\n\r\n"),
            (b"\r\nbody", 0, b"body"),
            (b"", 0, b""),
            (b"A: 1", 1, b""),
            (b"A: 1\r\n \r\n\r\nb", 1, b"b"),
        ] {
            let (fields, rest) = split(raw);
            assert_eq!((fields.len(), rest), (count, body), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn fields_are_taken_out() {
        let drop = |field: &Field<'_>| field.is("b");
        let cases = [
            ("A: 1\r\nB: 2\r\n 3\r\nC: 4\r\nb: 5\r\n\r\nB: 6\r\n", "A: 1\r\nC: 4\r\n\r\nB: 6\r\n"),
            ("A: 1\r\nnothing\r\nB: 2\r\n", "A: 1\r\n\r\nnothing\r\nB: 2\r\n"),
            ("B: 2\r\n", ""),
            ("", ""),
            ("\r\nB: 2", "\r\nB: 2"),
        ];
        for (raw, want) in cases {
            assert_eq!(String::from_utf8_lossy(&without(raw.as_bytes(), drop)), want, "{raw:?}");
        }
    }

    #[test]
    fn ids() {
        assert_eq!(message_ids("<a@b> <c@d>\t<no> <e@f", 9), ["a@b", "c@d"]);
        assert_eq!(message_ids("<a@b><c@d><e@f>", 2), ["c@d", "e@f"]);
    }
}
