//! The parts and fields of a message that loses what is an erased person's. What holds nothing of
//! it keeps its octets.

use super::{Conversation, DEPTH, PARTS};
use crate::message::headers::Field;
use crate::message::mime::{Encoding, Parametrised, Part, parametrised};
use crate::message::sealed::{self, Wrapping};
use crate::message::text::{decode_words, encode_unstructured, fold, parameter};
use crate::message::transfer::{encode_base64, encode_qp};
use crate::message::{body, charset};
use std::ops::Range;

/// A part with what was wrapped in it for its body.
fn opened(part: &Part<'_>, inner: &[u8]) -> Vec<u8> {
    let of_wrapping = |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
    let mut out = Vec::with_capacity(inner.len() + 1024);
    for field in part.fields.iter().filter(|field| !of_wrapping(field.name)) {
        out.extend_from_slice(&[field.name.as_bytes(), b":", field.value, b"\r\n"].concat());
    }
    out.extend_from_slice(inner);
    out
}

impl Conversation<'_> {
    /// A part of a message. `None`: nothing in it is the person's.
    pub(super) fn part(&self, raw: &[u8], in_digest: bool, depth: usize, parts: &mut usize) -> Option<Vec<u8>> {
        *parts += 1;
        if depth > DEPTH || *parts > PARTS {
            return None;
        }
        let part = Part::read(raw, in_digest);
        if let Wrapping::Opened(inner) = sealed::look(&part) {
            // Signed in one piece: open where it holds something of the person, else as it was.
            return self.part(&opened(&part, &inner), in_digest, depth + 1, parts);
        }
        let fields: Vec<Option<String>> = part.fields.iter().map(|field| self.field(field)).collect();
        let body = self.body(&part, depth, parts);
        if body.is_none() && fields.iter().all(Option::is_none) {
            return None;
        }
        let mut out = Vec::with_capacity(raw.len() + 256);
        for (field, changed) in part.fields.iter().zip(fields) {
            let typed = matches!(&body, Some(Body { kind: Some(_), .. }))
                && ["Content-Type", "Content-Transfer-Encoding"].iter().any(|name| field.is(name));
            if typed {
                continue;
            }
            out.extend_from_slice(field.name.as_bytes());
            out.push(b':');
            match changed {
                Some(value) => {
                    out.push(b' ');
                    out.extend_from_slice(value.as_bytes());
                }
                None => out.extend_from_slice(field.value),
            }
            out.extend_from_slice(b"\r\n");
        }
        match body {
            Some(Body { kind: Some(kind), octets }) => {
                out.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
                out.extend_from_slice(&octets);
            }
            Some(Body { kind: None, octets }) => {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&octets);
            }
            None => {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(part.body);
            }
        }
        Some(out)
    }

    fn body(&self, part: &Part<'_>, depth: usize, parts: &mut usize) -> Option<Body> {
        if let Some(children) = part.children() {
            let digest = part.kind.value == "multipart/digest";
            let (mut octets, mut done, mut changed) = (Vec::new(), 0, false);
            for child in children {
                let Some(new) = self.part(child, digest, depth + 1, parts) else { continue };
                // A child is a piece of the body.
                let start = (child.as_ptr() as usize).checked_sub(part.body.as_ptr() as usize)?;
                octets.extend_from_slice(part.body.get(done..start)?);
                octets.extend_from_slice(&new);
                (done, changed) = (start + child.len(), true);
            }
            octets.extend_from_slice(part.body.get(done..)?);
            return changed.then_some(Body { kind: None, octets });
        }
        let decoded = part.decoded();
        if part.kind.value == "message/rfc822" {
            let new = self.part(&decoded, false, depth + 1, parts)?;
            return Some(Body { kind: None, octets: encoded(&new, part.encoding) });
        }
        let is_html = part.kind.value == "text/html";
        if !part.is("text") {
            let is_text = charset::is_text(&decoded);
            let new = is_text.then(|| charset::change_untold(&decoded, |text| self.text(text, is_html))).flatten()?;
            return Some(Body { kind: None, octets: encoded(&new, part.encoding) });
        }
        let reading = charset::read(&decoded, part.kind.get("charset").unwrap_or(""), is_html);
        let new = self.text(&reading.text, is_html)?;
        let told = part.kind.get("charset").is_some() && !reading.is_kept();
        if let Some(octets) = reading.encoded(&new).filter(|_| !told) {
            return Some(Body { kind: None, octets: encoded(&octets, part.encoding) });
        }
        let form = charset::Form { file: false, markup: is_html, plain: false, author: &[] };
        let (charset, written) = reading.written(&decoded, Some(new), String::new(), form);
        let mut octets = Vec::with_capacity(written.body.len() + 64);
        body::write(&mut octets, &written, charset.as_deref().unwrap_or(""));
        Some(Body { kind: Some(self.kind(&part.kind, charset.as_deref())), octets })
    }

    /// A Content-Type or Content-Disposition with its parameters, names of files without what is
    /// the person's.
    fn kind(&self, kind: &Parametrised, charset: Option<&str>) -> String {
        let mut value = kind.value.clone();
        for (name, text) in &kind.parameters {
            let text = match (name.as_str(), charset) {
                ("charset", Some(charset)) => charset.to_owned(),
                ("name" | "filename", _) => self.person.without_in_name(text).unwrap_or_else(|| text.clone()),
                _ => text.clone(),
            };
            parameter(&mut value, name, &text);
        }
        if let Some(charset) = charset.filter(|_| kind.get("charset").is_none()) {
            parameter(&mut value, "charset", charset);
        }
        value
    }

    /// The new value of a field. `None`: nothing in it is the person's.
    fn field(&self, field: &Field<'_>) -> Option<String> {
        let value = field.text();
        if field.is("Content-Type") || field.is("Content-Disposition") {
            let kind = parametrised(&value);
            let named = |(name, text): &(String, String)| {
                matches!(name.as_str(), "name" | "filename") && self.person.without_in_name(text).is_some()
            };
            return kind.parameters.iter().any(named).then(|| self.kind(&kind, None));
        }
        let decoded = decode_words(&value);
        if field.is("Subject") || field.is("Thread-Topic") {
            return self.subject(&decoded).map(|subject| encode_unstructured(&subject, field.name.len() + 2));
        }
        self.person.without(&decoded)?;
        if !value.contains("=?") {
            return self.person.without(&value).map(|value| fold(&value, field.name.len() + 2));
        }
        // Encoded words one by one, so that what stands between them stays what it is.
        let pieces: String = encoded_words(&value)
            .into_iter()
            .map(|piece| match self.person.without(&decode_words(piece)) {
                // White space at the end parts it from what follows.
                Some(changed) => encode_unstructured(&changed, 40) + piece.get(piece.trim_end().len()..).unwrap_or(""),
                None => piece.to_owned(),
            })
            .collect();
        if self.person.without(&decode_words(&pieces)).is_none() {
            return Some(pieces);
        }
        let whole = self.person.without(&decoded)?;
        Some(encode_unstructured(&whole, field.name.len() + 2))
    }
}

/// A body that changed: with `kind`, its own Content-Type and the rest of the header stand before
/// it.
struct Body {
    kind: Option<String>,
    octets: Vec<u8>,
}

fn encoded(octets: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Base64 => encode_base64(octets, &mut out),
        Encoding::QuotedPrintable => encode_qp(octets, &mut out),
        Encoding::Identity | Encoding::Uuencode => out.extend_from_slice(octets),
    }
    out
}

/// A value cut before and behind each run of encoded words.
fn encoded_words(value: &str) -> Vec<&str> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for (n, word) in value.split_inclusive([' ', '\t', '(', ')', '"', ',', '<', '>']).enumerate() {
        let end = at + word.len();
        let is_word = word.starts_with("=?") || word.contains("?=");
        let last = pieces.last_mut().filter(|last| {
            n > 0 && is_word == value.get(last.start..last.end).is_some_and(|piece| piece.starts_with("=?"))
        });
        match last {
            Some(last) => last.end = end,
            None => pieces.push(at..end),
        }
        at = end;
    }
    pieces.into_iter().filter_map(|range| value.get(range)).collect()
}
