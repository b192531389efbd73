//! What policy and relay have to know of a message, found in one bounded pass over it.

use super::archive::{self, HEAD, Search};
use super::author::{self, Author, AuthorFault};
use super::headers::{Field, message_ids};
use super::hints::{Hint, Hints};
use super::kinds::is_message;
use super::mime::{Encoding, Part, shown_path};
use super::sealed::{self, Wrapping};
use super::shared::Place;
use super::text::harmless;
use super::{charset, footer, once, tnef, uuencode, work};
use crate::config::Limits;
use crate::policy::automatic::{self, Automatic};
use crate::policy::content::{Closed, ENCRYPTED};
use crate::policy::{LOOP_MARK, Reason};
use crate::types::Address;
use std::borrow::Cow;

/// Ids of a References field that are looked at.
pub const REFERENCES: usize = 30;

/// A message that no honest program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The header is too long.
    HeaderTooLong,
    /// NUL, or a control character that no header holds.
    HeaderOctets,
    /// Parts nested too deep.
    TooDeep,
    /// Too many parts.
    TooManyParts,
    /// It has used up what it may cost: see [`work`].
    TooCostly,
    /// A field of this name stands twice with different values: see [`once`].
    Repeated(&'static str),
}

impl Malformed {
    /// The word under which it is refused.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Repeated(field) => Reason::RepeatedField(field),
            Self::TooCostly => Reason::TooCostly,
            Self::HeaderTooLong | Self::HeaderOctets | Self::TooDeep | Self::TooManyParts => Reason::Malformed,
        }
    }
}

/// A leaf part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it is: `1`, `2.1`.
    pub path: String,
    /// Content type as the part says.
    pub kind: String,
    /// File name, decoded.
    pub name: Option<String>,
    /// What its octets say that it is and holds: content types.
    pub sniffed: Vec<&'static str>,
    /// Octets, decoded.
    pub size: u64,
    /// Names of files in it, if it is an archive.
    pub listed: Vec<String>,
}

/// What a message is.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Who wrote it.
    pub author: Result<Author, AuthorFault>,
    /// Whom `Sender` names: see [`author::sender`].
    pub sender: Option<Option<Address>>,
    /// Decoded, harmless, at most 500 characters.
    pub subject: String,
    /// Its own id, without brackets.
    pub message_id: Option<String>,
    /// What it answers.
    pub in_reply_to: Vec<String>,
    /// The thread before it, oldest first.
    pub references: Vec<String>,
    /// `Received` fields.
    pub received: usize,
    /// It carries our own mark.
    pub own_mark: bool,
    /// Why a machine wrote it, if one did.
    pub automatic: Option<Automatic>,
    /// A delivery report or receipt.
    pub report: bool,
    /// Leaf parts, in order.
    pub leaves: Vec<Leaf>,
    /// The first part that nobody here can read, and its path.
    pub closed: Option<(Closed, String)>,
    /// What looks like thread marks in its texts, the first ones, in order: see [`footer::marks`].
    pub marks: Vec<footer::Mark>,
    /// Texts that stand in the message as they are read, and hold nothing of a footer's and nothing
    /// that only few texts hold ([`super::hints`]): the writer need not look for that again.
    pub plain: Vec<Place>,
}

/// Looks at a raw message. `null_sender`: its envelope sender is `<>`.
///
/// # Errors
/// [`Malformed`] for what is over a limit.
pub fn inspect(raw: &[u8], null_sender: bool, limits: &Limits) -> Result<Inspection, Malformed> {
    let top = Part::read(raw, false);
    let header = raw.len() - top.body.len();
    if header > limits.header_size.octets() {
        return Err(Malformed::HeaderTooLong);
    }
    if raw.get(..header).is_some_and(|h| h.contains(&0)) {
        return Err(Malformed::HeaderOctets);
    }
    let first = |name: &str| top.field(name).map(Field::text);
    let subject = top.subject().unwrap_or_default();
    let subject: String = harmless(&subject).chars().take(500).collect();
    let headers = top.fields.iter().map(|field| (field.name.as_bytes(), field.value));
    let automatic = automatic::classify(headers, &subject, null_sender);
    let mut found = Inspection {
        author: author::read(&top.fields),
        sender: author::sender(&top.fields),
        subject,
        message_id: first("Message-ID").and_then(|text| message_ids(&text, 1).pop()),
        in_reply_to: first("In-Reply-To").map(|text| message_ids(&text, 5)).unwrap_or_default(),
        references: first("References").map(|text| message_ids(&text, REFERENCES)).unwrap_or_default(),
        received: top.fields.iter().filter(|field| field.is("Received")).count(),
        own_mark: top.field(LOOP_MARK).is_some(),
        automatic,
        report: top.kind.value == "multipart/report",
        leaves: Vec::new(),
        closed: None,
        marks: Vec::new(),
        plain: Vec::new(),
    };
    let mut walk = Walk { parts: 0, limits, search: Search::default() };
    walk.part(&top, &mut vec![1], &mut found)?;
    if work::is_over() { Err(Malformed::TooCostly) } else { Ok(found) }
}

/// What is left to see of a message.
struct Walk<'a> {
    parts: usize,
    limits: &'a Limits,
    search: Search,
}

impl Walk<'_> {
    /// Depth is bounded by the limit, so that recursion is, too.
    fn part(&mut self, part: &Part<'_>, path: &mut Vec<usize>, found: &mut Inspection) -> Result<(), Malformed> {
        self.parts += 1;
        if self.parts > self.limits.mime_parts {
            return Err(Malformed::TooManyParts);
        }
        if path.len() > self.limits.mime_depth {
            return Err(Malformed::TooDeep);
        }
        if work::is_over() {
            return Err(Malformed::TooCostly);
        }
        work::skip(part.body.len());
        match once::repeated(&part.fields) {
            // Two authors of the message itself are a fault of their own, which the rule about the
            // author tells.
            Some("From") if self.parts == 1 => {}
            Some(field) => return Err(Malformed::Repeated(field)),
            None => {}
        }
        let name = || shown_path(path);
        let kind = part.kind.value.as_str();
        let wrapping = sealed::look(part);
        if let Wrapping::Closed(why) = wrapping {
            found.closed.get_or_insert_with(|| (why, name()));
        }
        if let Some(children) = part.children() {
            for (number, child) in children.into_iter().enumerate() {
                path.push(number + 1);
                self.part(&Part::read(child, kind == "multipart/digest"), path, found)?;
                path.pop();
            }
            return Ok(());
        }
        let inner = match (kind, wrapping) {
            (_, Wrapping::Opened(inner)) => Some(Cow::Owned(inner)),
            ("message/rfc822" | "message/global", _) => Some(part.decoded()),
            _ if is_message(part) => Some(part.decoded()),
            // What it cannot be opened as is taken out of the message.
            ("application/ms-tnef" | "application/vnd.ms-tnef", _) => tnef::open(&part.decoded()).map(Cow::Owned),
            _ => None,
        };
        if let Some(inner) = inner {
            path.push(1);
            self.part(&Part::read(&inner, false), path, found)?;
            path.pop();
            return Ok(());
        }
        if matches!(kind, "text/plain" | "text/html") && part.disposition.value != "attachment" {
            let (bytes, is_html) = (part.decoded(), kind == "text/html");
            let reading = charset::read(&bytes, part.kind.get("charset").unwrap_or(""), is_html);
            let special = reading.special;
            let text = reading.shown();
            let marked = footer::marks(&text, is_html, &mut found.marks);
            let hints = Hints::of(text.as_bytes());
            if hints.may_hold(Hint::Pgp)
                && let Some(why) = sealed::text(&text, is_html)
            {
                found.closed.get_or_insert_with(|| (why, name()));
            }
            let place = Place::of(part.body);
            if !is_html && !special && !marked && hints.is_none() && Place::of(text.as_bytes()) == place {
                found.plain.push(place);
            }
        }
        let leaf = self.leaf(part, name(), found);
        found.leaves.push(leaf);
        Ok(())
    }

    fn leaf(&mut self, part: &Part<'_>, path: String, found: &Inspection) -> Leaf {
        let (size, head) = size_and_head(part);
        let name: Option<String> = part.file_name().map(|name| {
            let name = harmless(name);
            // The end of a long name is what tells.
            let skip = name.chars().count().saturating_sub(200);
            name.chars().skip(skip).collect()
        });
        // A text without a name is no file, whatever it begins with.
        let is_file = name.is_some() || !part.is("text");
        let mut sniffed: Vec<_> = is_file.then(|| archive::kind_of(&head)).flatten().into_iter().collect();
        if is_file && sealed::is_encrypted_file(&head, name.as_deref()) {
            sniffed.push(ENCRYPTED);
        }
        // Whoever opens a signed file gets to what is in it.
        let signed = sealed::content_of_file(part);
        sniffed.extend(signed.as_ref().and_then(|content| archive::kind_of(content.get(..HEAD).unwrap_or(content))));
        let mut listed = Vec::new();
        let extension = name.as_deref().and_then(|name| name.rsplit_once('.')).map_or("", |(_, extension)| extension);
        if archive::holds_files(&head) || archive::is_zip_name(extension) {
            let files = self.search.look(&part.decoded(), extension);
            sniffed.extend(files.kinds);
            listed = files.names;
        } else if part.is("text") {
            let plain = found.plain.last() == Some(&Place::of(part.body));
            listed = if plain { Vec::new() } else { uuencode::names(&part.decoded()) };
        }
        Leaf { path, kind: part.kind.value.clone(), name, sniffed, size, listed }
    }
}

/// Size and first octets of a part without decoding all of it.
fn size_and_head(part: &Part<'_>) -> (u64, Vec<u8>) {
    let start = part.body.get(..part.body.len().min(HEAD * 4)).unwrap_or(&[]);
    let mut head = Part { body: start, ..part.clone() }.decoded().into_owned();
    head.truncate(HEAD);
    let size = match part.encoding {
        Encoding::Identity => part.body.len(),
        Encoding::Base64 => {
            // In blocks that a u8 counts, so that the compiler looks at many octets at once.
            let is_data = |b: &u8| u8::from(b.is_ascii_alphanumeric() | matches!(b, b'+' | b'/'));
            let data: usize =
                part.body.chunks(128).map(|block| usize::from(block.iter().map(is_data).sum::<u8>())).sum();
            data / 4 * 3 + (data % 4).saturating_sub(1)
        }
        Encoding::QuotedPrintable | Encoding::Uuencode => part.decoded().len(),
    };
    (size as u64, head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(raw: &str) -> Result<Inspection, Malformed> {
        inspect(raw.as_bytes(), false, &Limits::default())
    }

    #[test]
    fn facts_of_a_reply() {
        let raw = "Received: by x\r\nReceived: by y\r\nFrom: A <a@b.test>\r\nSubject: =?utf-8?Q?R=C3=A9?=\r\n x\r\n\
                   Message-ID: <1@b.test>\r\nIn-Reply-To: <0@m.test>\r\nReferences: <a@m.test> <0@m.test>\r\n\
                   Auto-Submitted: auto-replied\r\nX-Marketrelay-Loop: m.test\r\n\
                   Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf\r\n\
                   Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\r\nJVBERi0xLjQK\r\n--b--\r\n";
        let found = look(raw).unwrap();
        assert_eq!(found.author.unwrap().address.expose(), "a@b.test");
        assert_eq!((found.subject.as_str(), found.received, found.own_mark), ("Ré x", 2, true));
        assert_eq!(
            (found.message_id.as_deref(), found.in_reply_to.len(), found.references.len()),
            (Some("1@b.test"), 1, 2)
        );
        assert_eq!(found.automatic, Some(Automatic::Replied));
        let [text, pdf] = found.leaves.as_slice() else { panic!() };
        assert_eq!((text.kind.as_str(), text.path.as_str(), text.name.as_deref()), ("text/plain", "1.1", None));
        let pdf = (pdf.path.as_str(), pdf.name.as_deref(), pdf.size, pdf.sniffed.as_slice());
        assert_eq!(pdf, ("1.2", Some("a.pdf"), 9, &["application/pdf"][..]));
    }

    #[test]
    fn hostile_shapes_are_refused_quickly() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(40_000);
        assert_eq!(look(&nested).unwrap_err(), Malformed::TooDeep);
        let mut multiparts = String::new();
        for n in 0..40_000 {
            multiparts.push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"));
        }
        assert_eq!(look(&multiparts).unwrap_err(), Malformed::TooDeep);
        let same = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(40_000);
        assert!(matches!(look(&same), Err(Malformed::TooDeep | Malformed::TooManyParts)));
        let flat = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(100_000));
        assert_eq!(look(&flat).unwrap_err(), Malformed::TooManyParts);
        assert_eq!(look(&"X: y\r\n".repeat(100_000)).unwrap_err(), Malformed::HeaderTooLong);
        assert_eq!(look("X: \0\r\n\r\n").unwrap_err(), Malformed::HeaderOctets);
    }

    /// The first counts for us and the last for a signature: in the header of every part that is
    /// read there is one.
    #[test]
    fn one_of_each_field_in_every_part() {
        let base64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        let mixed = |part: &str| {
            format!("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b--\r\n")
        };
        let inner = "Subject: a\r\nSubject: b\r\n\r\nx";
        let twice = "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx";
        // message, field
        let cases = [
            ("Subject: a\r\nSubject: b\r\n\r\nx".to_owned(), Some("Subject")),
            (twice.to_owned(), Some("Content-*")),
            (mixed(twice), Some("Content-*")),
            (mixed(&mixed(twice).replace("=b", "=c").replace("--b", "--c")), Some("Content-*")),
            (mixed(&format!("Content-Type: message/rfc822\r\n\r\n{inner}")), Some("Subject")),
            (mixed("Content-Type: message/rfc822\r\n\r\nFrom: a@b.test\r\nFrom: c@d.test\r\n\r\nx"), Some("From")),
            (
                mixed(&format!(
                    "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
                    base64(inner)
                )),
                Some("Subject"),
            ),
            (mixed(inner), Some("Subject")),
            (
                format!("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n{inner}\r\n--b--\r\n"),
                Some("Subject"),
            ),
            // Two authors are told by the rule about the author.
            ("From: a@b.test\r\nFrom: c@d.test\r\n\r\nx".to_owned(), None),
            // What nobody reads as a header is text.
            (mixed("Content-Type: text/rfc822-headers\r\n\r\nSubject: a\r\nSubject: b\r\n"), None),
            (mixed(&format!("\r\n{inner}")), None),
            ("To: a@b.test\r\nSubject: x\r\nTo: a@b.test\r\nSubject: x\r\n\r\nx".to_owned(), None),
        ];
        for (raw, want) in cases {
            assert_eq!(look(&raw).err(), want.map(Malformed::Repeated), "{raw}");
        }
    }

    #[test]
    fn marks_in_every_encoding() {
        let mark = "bbqxerik4m2fdq7opkxa2zzt";
        let text = format!("はい\r\n> [ref:{mark}]\r\n");
        let (jis, _, _) = encoding_rs::ISO_2022_JP.encode(&text);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes).into_bytes();
        // content type, transfer encoding, body
        let cases = [
            ("text/plain; charset=utf-8", "8bit", text.clone().into_bytes()),
            ("text/plain; charset=iso-2022-jp", "7bit", jis.to_vec()),
            ("text/plain; charset=utf-16le", "base64", base64(&wide)),
            ("text/html; charset=utf-8", "base64", base64(text.replace('[', "&#91;").as_bytes())),
            (
                "text/plain; format=flowed",
                "7bit",
                format!("> [ref:{} \r\n> {}]\r\n", &mark[..8], &mark[8..]).into_bytes(),
            ),
            ("text/plain", "quoted-printable", format!("=5Bref:{}=\r\n{}=5D\r\n", &mark[..8], &mark[8..]).into_bytes()),
        ];
        for (kind, encoding, body) in cases {
            let mut raw = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n").into_bytes();
            raw.extend(body);
            assert_eq!(
                inspect(&raw, false, &Limits::default()).unwrap().marks,
                [footer::Mark::Thread(mark.into())],
                "{kind} {encoding}"
            );
            let file = [b"Content-Disposition: attachment\r\n".as_slice(), &raw].concat();
            assert!(inspect(&file, false, &Limits::default()).unwrap().marks.is_empty(), "{kind} {encoding}");
        }
    }

    #[test]
    fn what_nobody_could_judge() {
        for kind in ["multipart/encrypted; boundary=b", "application/pkcs7-mime; smime-type=enveloped-data"] {
            let found = look(&format!("Content-Type: {kind}\r\n\r\n")).unwrap().closed;
            assert_eq!(found, Some((Closed::Encrypted, "1".to_owned())), "{kind}");
        }
        let closed = |raw: &str| look(raw).unwrap().closed.map(|(why, _)| why);
        let armour = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n";
        let base64 = data_encoding::BASE64.encode(armour.as_bytes());
        let html = format!("<div>Hi</div><pre>{}</pre>", armour.replace("\r\n", "<br>"));
        let quoted = html.replace("pre>", "blockquote>");
        // message, why nobody here can read it
        let cases = [
            (format!("\r\n{armour}"), Some(Closed::Encrypted)),
            (format!("Content-Transfer-Encoding: base64\r\n\r\n{base64}"), Some(Closed::Encrypted)),
            (format!("Content-Type: text/html\r\n\r\n{html}"), Some(Closed::Encrypted)),
            (format!("Content-Type: text/html\r\n\r\n{quoted}"), None),
            ("\r\nWhat is\r\n-----BEGIN PGP MESSAGE-----\r\nfor?\r\n".to_owned(), None),
            ("Content-Type: message/partial; id=x\r\n\r\n".to_owned(), Some(Closed::Partial)),
            ("Content-Type: message/external-body; access-type=URL\r\n\r\n".to_owned(), Some(Closed::Elsewhere)),
        ];
        for (raw, want) in cases {
            assert_eq!(closed(&raw), want, "{raw}");
        }
        let file = |name: &str, body: &str| {
            look(&format!("Content-Type: application/octet-stream; name={name}\r\n\r\n{body}")).unwrap().leaves[0]
                .sniffed
                .contains(&ENCRYPTED)
        };
        let files = [("a.asc", armour, true), ("a.pdf.gpg", "\u{85}", false), ("a.asc", "-----BEGIN PGP", false)];
        for (name, body, want) in files {
            assert_eq!(file(name, body), want, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = inspect(&raw, false, &Limits::default());
        }
    }
}
