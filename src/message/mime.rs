//! The parts of a message, RFC 2045 and 2046: one part's fields, and where its children are. Depth and number are bounded by whoever walks.
//!
//! mail-parser's tree is not used for mail from outside: dropping a deep one overflows the stack.

use super::headers::{self, Field};
use std::borrow::Cow;

use super::text::{decode_charset, decode_words};
use super::transfer::{decode_base64, decode_q, is_base64};
use super::{charset, uuencode, work};

/// How a body is encoded for transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary, or something unknown: as it is.
    Identity,
    /// Base 64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
    /// What mail had before MIME; some programs still name it.
    Uuencode,
}

/// A value with parameters: Content-Type, Content-Disposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parametrised {
    /// Before the first semicolon, lower case.
    pub value: String,
    /// Names in lower case, values decoded (RFC 2231, RFC 2047).
    pub parameters: Vec<(String, String)>,
}

impl Parametrised {
    /// The first parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A message or a part of one.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Its fields.
    pub fields: Vec<Field<'a>>,
    /// Its body, still encoded.
    pub body: &'a [u8],
    /// Content-Type; `text/plain` if there is none.
    pub kind: Parametrised,
    /// Content-Disposition.
    pub disposition: Parametrised,
    /// Content-Transfer-Encoding.
    pub encoding: Encoding,
}

/// RFC 2046 5.1.1 allows 70 octets.
const LONGEST_BOUNDARY: usize = 16 << 10;
/// Steps that a part costs besides its octets.
const PART: usize = 500;
/// Octets of a multipart in which the charset of its text is looked for.
const HEAD: usize = 4096;
/// Parameters of one field that are looked at.
const PARAMETERS: usize = 64;

impl<'a> Part<'a> {
    /// Reads fields and body. `in_digest`: without a Content-Type it is a message (RFC 2046 5.1.5).
    #[must_use]
    pub fn read(raw: &'a [u8], in_digest: bool) -> Self {
        let (fields, body) = headers::split(raw);
        // The fields are gone through for each that is wanted.
        work::count(PART + (raw.len() - body.len()) + fields.len() * 20);
        let first = |name: &str| fields.iter().find(|f| f.is(name)).map(Field::text);
        let mut kind = first("Content-Type").map(|text| parametrised(&text)).unwrap_or_default();
        if !kind.value.contains('/') {
            kind.value = if in_digest { "message/rfc822" } else { "text/plain" }.to_owned();
        }
        let disposition = first("Content-Disposition").map(|text| parametrised(&text)).unwrap_or_default();
        let encoding = first("Content-Transfer-Encoding").unwrap_or_default().to_ascii_lowercase();
        let encoding = match encoding.trim_start_matches('"').split([';', ' ', '(', '"']).next().unwrap_or("") {
            "base64" if is_base64(body, |text| is_words(&kind, text)) => Encoding::Base64,
            "quoted-printable" => Encoding::QuotedPrintable,
            "x-uuencode" | "uuencode" | "x-uue" | "uue" => Encoding::Uuencode,
            _ => Encoding::Identity,
        };
        Self { fields, body, kind, disposition, encoding }
    }

    /// Whether it is of this main type.
    #[must_use]
    pub fn is(&self, main: &str) -> bool {
        self.kind.value.split('/').next() == Some(main)
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|f| f.is(name))
    }

    /// The body, its transfer encoding taken off.
    #[must_use]
    pub fn decoded(&self) -> Cow<'a, [u8]> {
        match self.encoding {
            Encoding::Identity => Cow::Borrowed(self.body),
            Encoding::Base64 => Cow::Owned(decode_base64(self.body)),
            Encoding::QuotedPrintable => Cow::Owned(decode_q(self.body, false)),
            Encoding::Uuencode => uuencode::decode(self.body).map_or(Cow::Borrowed(self.body), Cow::Owned),
        }
    }

    /// The name of the file that it is, from any of the places where programs write it.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        let name = self.disposition.get("filename").or_else(|| self.kind.get("name"));
        name.filter(|name| !name.is_empty())
    }

    /// The subject, decoded.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        let field = self.field("Subject")?;
        if std::str::from_utf8(field.value).is_ok() {
            return Some(decode_words(&field.text()));
        }
        // Raw octets are in the charset of the text more often than in any other.
        let inside = || {
            let head = self.body.get(..HEAD.min(self.body.len()))?;
            let at = memchr::memmem::find(head, b"charset=")? + b"charset=".len();
            let value = head.get(at..)?.split(|byte| matches!(byte, b'\r' | b'\n' | b';')).next()?;
            Some(String::from_utf8_lossy(value).trim_matches('"').to_owned())
        };
        let charset = self.kind.get("charset").map(str::to_owned);
        let charset = charset.or_else(|| inside().filter(|_| self.is("multipart"))).unwrap_or_default();
        Some(decode_words(&field.text_in(&charset)))
    }

    /// The raw children of a multipart; `None` if it is not one or has no boundary.
    #[must_use]
    pub fn children(&self) -> Option<Vec<&'a [u8]>> {
        if !self.is("multipart") {
            return None;
        }
        let boundary = self.kind.get("boundary").filter(|b| !b.is_empty() && b.len() <= LONGEST_BOUNDARY)?;
        Some(split_multipart(self.body, boundary.trim_end()))
    }
}

/// Whether octets could be what somebody wrote; of what is no text that is not known.
fn is_words(kind: &Parametrised, bytes: &[u8]) -> bool {
    !kind.value.starts_with("text/") || charset::could_be(bytes, kind.get("charset").unwrap_or(""))
}

/// Cuts a multipart's body at its delimiter lines. What stands before the first and after the last is nobody's.
fn split_multipart<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut parts = Vec::new();
    let mut start = None;
    let mut end_of_body = body.len();
    work::skip(body.len());
    for at in memchr::memmem::find_iter(body, &delimiter) {
        if work::is_over() {
            break;
        }
        work::count(1 + delimiter.len());
        let before = body.get(..at).unwrap_or(&[]);
        let at_line_start = at == 0 || before.ends_with(b"\n");
        let after = body.get(at + delimiter.len()..).unwrap_or(&[]);
        let (closing, rest) = after.strip_prefix(b"--").map_or((false, after), |rest| (true, rest));
        let white = rest.iter().take_while(|b| b.is_ascii_whitespace() && **b != b'\n').count();
        work::count(white);
        // `--a` must not be taken for the delimiter of `--ab`.
        if !at_line_start || !matches!(rest.get(white), None | Some(b'\n')) {
            continue;
        }
        let line_end = after.len() - rest.len() + (white + 1).min(rest.len());
        if let Some(start) = start.take() {
            parts.push(part_between(body, start, at));
        }
        if closing {
            end_of_body = at;
            break;
        }
        start = Some(at + delimiter.len() + line_end);
    }
    // The closing delimiter is missing: what was begun goes to the end.
    if let Some(start) = start {
        parts.push(body.get(start..end_of_body).unwrap_or(&[]));
    }
    parts
}

/// The newline before a delimiter belongs to the delimiter.
fn part_between(body: &[u8], start: usize, end: usize) -> &[u8] {
    let part = body.get(start..end).unwrap_or(&[]);
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Reads `value; name=value; …` with comments, quoted strings, and the forms of RFC 2231.
#[must_use]
pub fn parametrised(text: &str) -> Parametrised {
    let mut pieces = split_quoted(text).into_iter();
    let value = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let value: String = value.chars().filter(|c| c.is_ascii_graphic()).collect();
    let mut plain: Vec<(String, String)> = Vec::new();
    // name, number of the piece, percent-encoded, value
    let mut pieced: Vec<(String, u32, bool, String)> = Vec::new();
    for piece in pieces.take(PARAMETERS) {
        let Some((name, value)) = piece.split_once('=') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let value = unquote(value.trim());
        let (base, encoded) = name.strip_suffix('*').map_or((name.as_str(), false), |base| (base, true));
        match base.split_once('*').map(|(base, n)| (base, n.parse::<u32>())) {
            Some((base, Ok(n))) => pieced.push((base.to_owned(), n, encoded, value)),
            Some(_) => {}
            None if encoded => pieced.push((base.to_owned(), 0, true, value)),
            None => plain.push((name, decode_words(&value))),
        }
    }
    pieced.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut parameters = join_pieces(pieced);
    for (name, value) in plain {
        // The extended form is the better one where both stand (RFC 6266 4.3).
        if !parameters.iter().any(|(known, _)| *known == name) {
            parameters.push((name, value));
        }
    }
    Parametrised { value, parameters }
}

fn join_pieces(pieced: Vec<(String, u32, bool, String)>) -> Vec<(String, String)> {
    // name, charset, octets, whether no piece is percent-encoded
    let mut joined: Vec<(String, String, Vec<u8>, bool)> = Vec::new();
    for (name, number, encoded, value) in pieced {
        let (charset, data) = match (encoded && number == 0, value.splitn(3, '\'').collect::<Vec<_>>().as_slice()) {
            (true, [charset, _, data]) => ((*charset).to_owned(), (*data).to_owned()),
            _ => ("utf-8".to_owned(), value.clone()),
        };
        let bytes = if encoded { percent_decode(&data) } else { data.into_bytes() };
        match joined.last_mut().filter(|(last, ..)| *last == name) {
            Some((_, _, all, plain)) => {
                all.extend(bytes);
                *plain &= !encoded;
            }
            None => joined.push((name, charset, bytes, !encoded)),
        }
    }
    let read = |(name, charset, bytes, plain): (String, String, Vec<u8>, bool)| {
        let value = decode_charset(&bytes, &charset);
        // An encoded word in pieces.
        (name, if plain { decode_words(&value) } else { value.into_owned() })
    };
    joined.into_iter().map(read).collect()
}

/// `%XX` decoded; what is not one stays.
#[must_use]
pub fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    work::count(bytes.len());
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Splits at semicolons outside quoted strings; comments are dropped. What is behind the last
/// parameter that is looked at is left out.
fn split_quoted(text: &str) -> Vec<String> {
    work::count(text.len() * 2);
    let mut pieces = vec![String::new()];
    let (mut quoted, mut escaped, mut comment) = (false, false, 0_usize);
    for c in text.chars() {
        let keep = match c {
            _ if escaped => {
                escaped = false;
                comment == 0
            }
            '\\' if quoted || comment > 0 => {
                escaped = true;
                comment == 0
            }
            '"' if comment == 0 => {
                quoted = !quoted;
                true
            }
            '(' if !quoted => {
                comment += 1;
                false
            }
            ')' if !quoted && comment > 0 => {
                comment -= 1;
                false
            }
            ';' if !quoted && comment == 0 => {
                if pieces.len() > PARAMETERS {
                    break;
                }
                pieces.push(String::new());
                false
            }
            _ => comment == 0,
        };
        if keep && let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        // A backslash before a letter is one that Windows wrote into a path.
        match c {
            '\\' => match chars.next() {
                Some(next @ ('"' | '\\')) => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// A path of parts as people see it: `2.1`.
pub(super) fn shown_path(path: &[usize]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_every_form() {
        // as written, value, parameter, its value
        let cases = [
            ("Text/HTML; Charset=\"UTF-8\"", "text/html", "charset", "UTF-8"),
            ("text/plain (a comment; x=y) ; charset=a", "text/plain", "charset", "a"),
            ("a/b; name=\"a;b\\\"c\"", "a/b", "name", "a;b\"c"),
            ("attachment; filename*=UTF-8''b-real%40home.pdf", "attachment", "filename", "b-real@home.pdf"),
            ("attachment; filename*0*=utf-8''a%20; filename*1=b; filename*2*=%C3%A4", "attachment", "filename", "a bä"),
            ("attachment; filename=x; filename*=utf-8''y", "attachment", "filename", "y"),
            ("a/b; name==?utf-8?B?w6Q=?=", "a/b", "name", "ä"),
            ("a/b; name=\"=?utf-8?B?w6Q=?=\"", "a/b", "name", "ä"),
            (
                "a; filename*0=\"=?UTF-8?B?5paw44GX44GE\"; filename*1=\"5paH5pu4LnR4dA==?=\"",
                "a",
                "filename",
                "新しい文書.txt",
            ),
            (
                "a; name*=utf-8''y; filename*0=\"=?UTF-8?B?5paw44GX44GE\"; filename*1=\"5paH5pu4LnR4dA==?=\"",
                "a",
                "filename",
                "新しい文書.txt",
            ),
            ("a; filename*=iso-2022-jp'ja'%1B%24BNN%3C%7D%3Dq%1B%28B.pdf", "a", "filename", "領収書.pdf"),
            ("a; filename*=''%90%BF%8B%81%8F%91.pdf", "a", "filename", "請求書.pdf"),
            ("a/b; name=\"C:\\dir\\file\"", "a/b", "name", "C:\\dir\\file"),
        ];
        for (text, value, name, want) in cases {
            let got = parametrised(text);
            assert_eq!((got.value.as_str(), got.get(name)), (value, Some(want)), "{text}");
        }
    }

    #[test]
    fn children() {
        let part = |body: &str| {
            let raw = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}");
            let part = Part::read(raw.as_bytes(), false);
            let children = part.children().unwrap();
            children.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>()
        };
        // body, children
        let cases: &[(&str, &[&str])] = &[
            ("pre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\npost", &["\r\none", "\r\ntwo"]),
            ("--b\r\n\r\none", &["\r\none"]),
            ("--b  \n\none\n--b--", &["\none"]),
            ("--bx\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", &["\r\ntwo"]),
            ("x--b\r\nnot one\r\n", &[]),
            ("--b--\r\n", &[]),
        ];
        for (body, want) in cases {
            assert_eq!(part(body), *want, "{body}");
        }
        assert!(Part::read(b"Content-Type: multipart/mixed\r\n\r\n--\r\n", false).children().is_none());
    }
}
