//! Multiparts as they go out: which of their parts stay, and in which of them the last words of the
//! person stand, under which the footer goes.
//!
//! People and programs put pictures between texts (Apple Mail), texts behind what others wrote
//! (lists, gateways), names on texts, and empty texts at the end. In a `multipart/alternative` each
//! form has last words of its own.

use super::{Unclean, Writer};
use crate::message::kinds::is_signature;
use crate::message::located::Places;
use crate::message::mime::{Parametrised, Part};
use crate::message::sealed::{self, Wrapping};
use crate::message::text::{decode_charset, parameter};
use crate::message::{content_id, html, work};

/// Multiparts in multiparts that are looked into for the last words.
const LEVELS: usize = 6;
/// Octets of a text that may be without words.
const SHORT: usize = 4096;

/// Words that are sure to be the person's, and a text that has none.
const SURE: u8 = 3;
const BLANK: u8 = 2;

impl Writer<'_> {
    /// `last`: the last words of the person are in it.
    pub(super) fn multipart(&mut self, part: &Part<'_>, depth: usize, last: bool) -> Result<(), Unclean> {
        let subtype = part.kind.value.strip_prefix("multipart/").unwrap_or("mixed");
        let digest = subtype == "digest";
        let children = part.children().unwrap_or_default();
        if children.is_empty() {
            // No part to be found: programs show it as it is.
            let plain = Parametrised { value: "text/plain".to_owned(), parameters: Vec::new() };
            return self.text(&Part { kind: plain, ..part.clone() }, last);
        }
        let read = |(at, raw)| (at + 1, Part::read(raw, digest));
        let mut children: Vec<(usize, Part<'_>)> = children.into_iter().enumerate().map(read).collect();
        let signs: Vec<bool> = (0..children.len()).map(|at| is_signature(&children, at, subtype == "signed")).collect();
        if signs.contains(&true) {
            // It names its owner and would not hold; what it signed stays, and what somebody put
            // behind it.
            let is_key = |child: &Part<'_>| child.kind.value == "application/pgp-keys";
            if children.iter().zip(&signs).any(|((_, child), signs)| *signs && !is_key(child)) {
                self.unsigned();
            }
            let mut signs = signs.into_iter();
            children.retain(|_| signs.next() == Some(false));
        }
        let last = if last { last_words(part, subtype, &children) } else { Last::None };
        match children.as_slice() {
            [] => {
                let empty = Part::read(b"", false);
                return self.part(&empty, depth + 1, !matches!(last, Last::None));
            }
            [(number, only)] if subtype != "related" => return self.child(*number, only, depth + 1, last.is(0)),
            _ => {}
        }
        let subtype = if matches!(subtype, "alternative" | "related") { subtype } else { "mixed" };
        // The id of this message is nobody's to guess beforehand, so no text can hold the boundary.
        let boundary = format!("=_{}_{}", content_id::digest_hex(&self.order.message_id), self.parts);
        let mut kind = format!("multipart/{subtype}");
        if let Some(root) =
            part.kind.get("type").filter(|t| subtype == "related" && !t.contains('@') && t.is_ascii() && t.len() < 60)
        {
            parameter(&mut kind, "type", root);
        }
        if let Some(start) = part.kind.get("start").filter(|_| subtype == "related") {
            parameter(&mut kind, "start", &format!("<{}>", self.content_id(start)));
        }
        parameter(&mut kind, "boundary", &boundary);
        self.line("Content-Type", &kind);
        let around = Places::of(part, &children).map(|places| self.places.replace(places));
        for (at, (number, child)) in children.iter().enumerate() {
            self.out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            self.child(*number, child, depth + 1, last.is(at))?;
        }
        if let Some(around) = around {
            self.places = around;
        }
        self.out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Ok(())
    }
}

/// In which parts of a multipart the last words of the person stand.
enum Last {
    None,
    /// In each, in a form of its own.
    Each,
    In(usize),
}

impl Last {
    fn is(&self, at: usize) -> bool {
        match self {
            Self::None => false,
            Self::Each => true,
            Self::In(this) => *this == at,
        }
    }
}

fn last_words(part: &Part<'_>, subtype: &str, children: &[(usize, Part<'_>)]) -> Last {
    match subtype {
        "digest" => Last::None,
        "alternative" => Last::Each,
        // The first shows the others, or the one that is named.
        "related" => {
            let named = |child: &Part<'_>| {
                let id = child.field("Content-ID").map(|field| content_id::bare(&field.text()).to_owned());
                id.is_some() && id.as_deref() == part.kind.get("start").map(content_id::bare)
            };
            let shows = |child: &Part<'_>| child.is("multipart") || words(child) > 0;
            let root = children.iter().position(|(_, child)| named(child) && shows(child));
            root.or_else(|| children.iter().position(|(_, child)| shows(child))).map_or(Last::None, Last::In)
        }
        _ => {
            let mut best = (0, None);
            for (at, (_, child)) in children.iter().enumerate().rev() {
                // Nothing else is left: it need not be looked into.
                let words = if at == 0 && best.1.is_none() { SURE } else { most_words(child, LEVELS) };
                if words > best.0 {
                    best = (words, Some(at));
                }
                if words == SURE {
                    break;
                }
            }
            best.1.map_or(Last::None, Last::In)
        }
    }
}

/// [`words`] of a part, or of the one in it that has the most.
fn most_words(part: &Part<'_>, levels: usize) -> u8 {
    if work::is_over() || levels == 0 {
        return 0;
    }
    match part.kind.value.as_str() {
        "multipart/digest" => 0,
        "application/ms-tnef" | "application/vnd.ms-tnef" => 1,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => match sealed::look(part) {
            Wrapping::Opened(opened) => most_words(&Part::read(&opened, false), levels - 1),
            _ => 0,
        },
        _ => match part.children() {
            Some(children) => {
                let mut most = 0;
                for child in children.into_iter().rev() {
                    most = most.max(most_words(&Part::read(child, false), levels - 1));
                    if most == SURE {
                        break;
                    }
                }
                most
            }
            None => match words(part) {
                SURE if is_blank(part) => BLANK,
                words => words,
            },
        },
    }
}

/// How surely the words of a part are the person's: 0 for what is no text that is read with the
/// message.
pub(super) fn words(part: &Part<'_>) -> u8 {
    if !matches!(part.kind.value.as_str(), "text/plain" | "text/html") {
        return 0;
    }
    match (part.disposition.value.as_str(), part.file_name().is_some()) {
        ("" | "inline", false) => SURE,
        // Some programs put a name on what is no file; more often it is one.
        ("", true) => 2,
        ("inline", true) => 1,
        _ => 0,
    }
}

/// Whether a text has no words, as programs put them behind pictures.
fn is_blank(part: &Part<'_>) -> bool {
    if part.body.len() > SHORT {
        return false;
    }
    let octets = part.decoded();
    let text = decode_charset(&octets, part.kind.get("charset").unwrap_or(""));
    if part.kind.value != "text/html" {
        return text.trim().is_empty();
    }
    let shows = |c: char| !c.is_whitespace() && c != '\0';
    !html::read_entities(&html::visible(&text).0).contains(shows) && !text.to_ascii_lowercase().contains("<img")
}
