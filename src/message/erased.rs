//! What an erased person leaves in the messages of the other party: its name, its addresses, and lines of its own that are quoted there. Each is replaced by
//! [`ERASED`]; every other word is the other party's and stays, and so do the parts that hold nothing of it, octet for octet.
//!
//! - *Addresses* in every form that [`super::scrub`] knows, in fields, texts, HTML and files that are text.
//! - *The registered name*, in any letter case, as whole words. Of a buyer's name of several words each of three letters or more (two where words are not parted
//!   by spaces) also alone, if it begins as it is registered: `Will` goes from "Dear Will" and stays in "I will". A company's name is made of words of the language
//!   and goes only as a whole.
//! - *Quoted lines*: behind `>` or in a blockquote each line that stands in what the person wrote before, however it was wrapped; elsewhere such a line of twenty
//!   octets or more, as below a reply's header. What the other party had written before itself is not the person's, though it quoted it.
//! - *A subject* that the person used first, behind any `Re:`, and where a quoted header names it.
//!
//! What stays: pictures, PDF and office files; a name in other writing than it is registered in, or shortened; words that were changed after they were quoted;
//! quotes of what was written more than a quarter of a megabyte of text before. A signature over a message that changed does not hold any more.

use super::headers::Field;
use super::mime::{Encoding, Parametrised, Part};
use super::scrub::{self, Replacement, backward, forward, forward_over_gap, scrub, scrub_name};
use super::search::is_dense;
use super::text::{decode_charset, decode_words, encode_unstructured, parameter};
use super::transfer::{encode_base64, encode_qp};
use super::{body, charset, html};
use crate::types::{AddressKey, Alias};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

/// Stands where something was.
pub const ERASED: &str = "[erased]";
/// Depth and number of parts that are looked at: more than any setting lets in.
const DEPTH: usize = 100;
const PARTS: usize = 10_000;
/// Octets of folded text of each side that quotes are looked for in, and lines of one message that are looked at.
const KEPT: usize = 256 << 10;
const LINES: usize = 20_000;
/// Octets of a folded line that is taken for a copy though nothing marks it as a quote.
const LONG: usize = 20;
/// Words before a colon that a subject may stand behind: `Re`, `件名`, `Betreff`.
const LABEL: usize = 12;

/// Who is erased: what the person is known by.
#[derive(Clone, Debug)]
pub struct Person {
    addresses: Vec<Replacement>,
    names: Vec<Name>,
}

/// A name, or a word of one.
#[derive(Clone, Debug)]
struct Name {
    /// Lower case; one space for white space.
    letters: Vec<char>,
    /// Only where it begins with a capital.
    capital: bool,
}

impl Person {
    /// `name` as it was registered; `company`: it is no person's.
    #[must_use]
    pub fn new(name: &str, company: bool, known: &[AddressKey]) -> Self {
        let mark = Alias::from_text(ERASED);
        let addresses = known.iter().map(|key| Replacement::new(key, Some(&mark))).collect();
        let words: Vec<&str> = name.split_whitespace().collect();
        let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
        let mut names = Vec::new();
        if !words.is_empty() {
            names.push(Name { letters: lower(&words.join(" ")), capital: false });
        }
        if !company && words.len() > 1 {
            for word in &words {
                let capital = word.chars().next().is_some_and(char::is_uppercase);
                let least = if word.chars().all(is_dense) { 2 } else { 3 };
                // A particle of a name, as in `van der Meer`, is a word of the language.
                let unlike = capital || word.chars().any(is_dense);
                if unlike && word.chars().filter(|c| c.is_alphanumeric()).count() >= least {
                    names.push(Name { letters: lower(word.trim_matches(|c: char| !c.is_alphanumeric())), capital });
                }
            }
        }
        Self { addresses, names }
    }

    /// A text without the person's addresses and name. `None`: there was nothing.
    #[must_use]
    pub fn without(&self, text: &str) -> Option<String> {
        self.without_in(text, false)
    }

    fn without_in(&self, text: &str, html: bool) -> Option<String> {
        let scrubbed = scrub(text, html, &self.addresses);
        let named = self.find_names(scrubbed.as_deref().unwrap_or(text), html);
        if named.is_empty() {
            return scrubbed;
        }
        Some(cut(scrubbed.as_deref().unwrap_or(text), &named))
    }

    /// Where the names stand.
    fn find_names(&self, text: &str, html: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((c, next)) = forward(text, at, html).filter(|_| !self.names.is_empty()) {
            let mut names = self.names.iter().filter(|name| name.letters.first() == Some(&c));
            match names.find_map(|name| name.at(text, at, html)) {
                Some(end) if end > at => {
                    found.push(at..end);
                    at = end;
                }
                _ => at = next.max(at + 1),
            }
        }
        found
    }
}

impl Name {
    /// The end of the name, if it stands at `at` as a whole.
    fn at(&self, text: &str, at: usize, html: bool) -> Option<usize> {
        let before = backward(text, at, 0, html).map(|(c, _)| c);
        let starts = self.letters.first().copied()?;
        if joins(before, starts) || html && (before == Some('<') || text.get(..at)?.ends_with("</")) {
            return None;
        }
        if self.capital && text.get(at..)?.chars().next().is_some_and(char::is_lowercase) {
            return None;
        }
        let mut end = at;
        for letter in &self.letters {
            if *letter == ' ' {
                end = over_space(text, end, html)?;
                continue;
            }
            let (c, next) = forward_over_gap(text, end, html)?;
            if c != *letter {
                return None;
            }
            end = next;
        }
        let last = self.letters.last().copied()?;
        let after = forward(text, end, html).map(|(c, _)| c);
        (!joins(after, last)).then_some(end)
    }
}

/// Whether a letter beside the end of a name makes it another word. Where words are not parted by spaces, nothing does.
fn joins(beside: Option<char>, end: char) -> bool {
    !is_dense(end) && beside.is_some_and(|c| c.is_alphanumeric() && !is_dense(c))
}

/// The end of the white space at `at`, a line's end with quote marks included; where it is left out, as in Japanese, `at`.
fn over_space(text: &str, at: usize, html: bool) -> Option<usize> {
    let (mut end, from) = (at, at);
    while end - from < 80 {
        let Some((c, next)) = forward(text, end, html) else { break };
        // `&nbsp;` is none that the scrubber reads.
        let named = text.get(end..).filter(|rest| html && rest.starts_with("&nbsp;")).map(|_| end + 6);
        if !(c.is_whitespace() || matches!(c, '>' | '|' | '\u{30fb}' | '_' | '.') || named.is_some()) {
            break;
        }
        end = named.unwrap_or(next);
    }
    let dense = text.get(..at)?.chars().next_back().is_some_and(is_dense);
    (end > at || dense).then_some(end)
}

/// A text with the mark in place of ranges that stand in order.
fn cut(text: &str, ranges: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        out.push_str(text.get(done..range.start).unwrap_or(""));
        out.push_str(ERASED);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    out
}

/// The messages of a pair, told in their order: who wrote what first.
pub struct Conversation<'a> {
    person: &'a Person,
    /// What stood in the copies that the other party quotes from.
    copied: Vec<Replacement>,
    erased: Said,
    other: Said,
}

/// What one side has said so far: folded texts, each on a line, and hashes of subjects.
#[derive(Default)]
struct Said {
    text: String,
    subjects: HashSet<u64>,
}

impl Said {
    fn has(&self, folded: &str) -> bool {
        memchr::memmem::find(self.text.as_bytes(), folded.as_bytes()).is_some()
    }

    fn add(&mut self, folded: &str) {
        self.text.push_str(folded);
        self.text.push('\n');
        if self.text.len() > KEPT * 2 {
            let mut from = self.text.len() - KEPT;
            while !self.text.is_char_boundary(from) {
                from += 1;
            }
            self.text.drain(..from);
        }
    }
}

impl<'a> Conversation<'a> {
    /// `copied`: the pair's addresses and the aliases that stood for them in the copies.
    #[must_use]
    pub fn new(person: &'a Person, copied: Vec<Replacement>) -> Self {
        Self { person, copied, erased: Said::default(), other: Said::default() }
    }

    /// The next message of the pair is the erased person's.
    pub fn erased_wrote(&mut self, raw: &[u8], subject: &str) {
        let hash = base_of(subject);
        if !fold(base(subject)).is_empty() && !self.other.subjects.contains(&hash) {
            self.erased.subjects.insert(hash);
        }
        // What it quotes of the other's is the other's.
        let own: Vec<String> = self.lines(raw).into_iter().filter(|line| !self.other.has(line)).collect();
        self.erased.add(&own.concat());
    }

    /// The next message of the pair is the other party's: what is left of it, and of its subject, where something in it was the person's.
    pub fn other_wrote(&mut self, raw: &[u8], subject: &str) -> Option<(Vec<u8>, String)> {
        let new_subject = self.subject(subject);
        let mut parts = 0;
        let new = self.part(raw, false, 0, &mut parts);
        if new_subject.is_none() {
            self.other.subjects.insert(base_of(subject));
        }
        let own = self.lines(new.as_deref().unwrap_or(raw));
        self.other.add(&own.into_iter().filter(|line| !self.erased.has(line)).collect::<String>());
        if new.is_none() && new_subject.is_none() {
            return None;
        }
        Some((new.unwrap_or_else(|| raw.to_vec()), new_subject.unwrap_or_else(|| subject.to_owned())))
    }

    /// The lines of all texts of a message, as they stood in its copy, folded.
    fn lines(&self, raw: &[u8]) -> Vec<String> {
        let (mut lines, mut parts) = (Vec::new(), 0);
        self.collect(&Part::read(raw, false), 0, &mut parts, &mut lines);
        lines
    }

    fn collect(&self, part: &Part<'_>, depth: usize, parts: &mut usize, lines: &mut Vec<String>) {
        *parts += 1;
        if depth > DEPTH || *parts > PARTS {
            return;
        }
        if let Some(children) = part.children() {
            children.into_iter().for_each(|child| self.collect(&Part::read(child, false), depth + 1, parts, lines));
            return;
        }
        if part.kind.value == "message/rfc822" {
            return self.collect(&Part::read(&part.decoded(), false), depth + 1, parts, lines);
        }
        if !part.is("text") {
            return;
        }
        let octets = part.decoded();
        let is_html = part.kind.value == "text/html";
        let told = charset::told(&octets, part.kind.get("charset").unwrap_or(""), is_html);
        let text = decode_charset(&octets, &told);
        let text = if is_html { readable(&html::visible(&text).0.replace('\0', " ")) } else { text.into_owned() };
        let text = scrub::scrubbed(&text, &self.copied);
        let room = LINES.saturating_sub(lines.len());
        lines.extend(text.lines().take(room).map(fold).filter(|line| !line.is_empty()));
    }

    /// Whether a line is the person's. `quoted`: something marks it as a quote.
    fn is_erased(&self, line: &str, quoted: bool) -> bool {
        let folded = fold(line);
        if folded.is_empty() {
            return false;
        }
        if (quoted || folded.len() >= LONG) && self.erased.has(&folded) {
            return true;
        }
        // `Subject: what the person wrote there`, in a quoted header.
        let rest = line.split_once([':', '：']).filter(|(label, _)| label.chars().count() <= LABEL);
        rest.is_some_and(|(_, rest)| self.is_subject(rest))
    }

    fn is_subject(&self, text: &str) -> bool {
        self.erased.subjects.contains(&base_of(text))
    }

    /// A subject without what is the person's.
    fn subject(&self, subject: &str) -> Option<String> {
        if self.is_subject(subject) {
            let base = base(subject);
            return Some(format!("{}{ERASED}", subject.get(..subject.len() - base.len()).unwrap_or("")));
        }
        self.person.without(subject)
    }

    /// A text without what is the person's.
    fn text(&self, text: &str, is_html: bool) -> Option<String> {
        let unquoted = if is_html { self.unquoted_html(text) } else { self.unquoted(text) };
        let cleaned = self.person.without_in(unquoted.as_deref().unwrap_or(text), is_html);
        cleaned.or(unquoted)
    }

    fn unquoted(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let (mut changed, mut run) = (false, false);
        for (n, line) in text.split_inclusive('\n').enumerate() {
            let bare = line.trim_end_matches(['\r', '\n']);
            let words = bare.trim_start_matches(['>', '|', ' ', '\t']);
            let marks = bare.get(..bare.len() - words.len()).unwrap_or("");
            if n < LINES && self.is_erased(words, marks.contains(['>', '|'])) {
                changed = true;
                if !run {
                    out.push_str(marks);
                    out.push_str(ERASED);
                    out.push_str(line.get(bare.len()..).unwrap_or(""));
                }
                run = true;
            } else {
                run = false;
                out.push_str(line);
            }
        }
        changed.then_some(out)
    }

    fn unquoted_html(&self, text: &str) -> Option<String> {
        let mut quoted = 0_usize;
        let mut found: Vec<Range<usize>> = Vec::new();
        for token in html::tokens::Tokens::new(text).take(LINES) {
            match token {
                html::tokens::Token::Open(name) if name.eq_ignore_ascii_case("blockquote") => quoted += 1,
                html::tokens::Token::Close(name) if name.eq_ignore_ascii_case("blockquote") => {
                    quoted = quoted.saturating_sub(1);
                }
                html::tokens::Token::Text(range) => {
                    let mut at = range.start;
                    for line in text.get(range).unwrap_or("").split_inclusive('\n') {
                        let words = readable(line);
                        let words = words.trim_start_matches(['>', '|', ' ', '\t', '\u{a0}']);
                        let marked = line.trim_start().starts_with("&gt;");
                        if self.is_erased(words, quoted > 0 || marked) {
                            let white = line.len() - line.trim_start().len();
                            found.push(at + white..at + line.trim_end().len());
                        }
                        at += line.len();
                    }
                }
                _ => {}
            }
        }
        (!found.is_empty()).then(|| cut(text, &found))
    }

    /// A part of a message. `None`: nothing in it is the person's.
    fn part(&self, raw: &[u8], in_digest: bool, depth: usize, parts: &mut usize) -> Option<Vec<u8>> {
        *parts += 1;
        if depth > DEPTH || *parts > PARTS {
            return None;
        }
        let part = Part::read(raw, in_digest);
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
        let told = charset::told(&decoded, part.kind.get("charset").unwrap_or(""), is_html);
        if !part.is("text") || told.is_empty() {
            let is_text = part.is("text") || charset::is_text(&decoded);
            let new = is_text.then(|| charset::change_untold(&decoded, |text| self.text(text, is_html))).flatten()?;
            return Some(Body { kind: None, octets: encoded(&new, part.encoding) });
        }
        let new = self.text(&decode_charset(&decoded, &told), is_html)?;
        let mut octets = Vec::with_capacity(new.len() + 64);
        body::write(&mut octets, &body::Written::new(new.into(), String::new()), "utf-8");
        Some(Body { kind: Some(self.kind(&part.kind, Some("utf-8"))), octets })
    }

    /// A Content-Type or Content-Disposition with its parameters, names of files without what is the person's.
    fn kind(&self, kind: &Parametrised, charset: Option<&str>) -> String {
        let mut value = kind.value.clone();
        for (name, text) in &kind.parameters {
            let text = match (name.as_str(), charset) {
                ("charset", Some(charset)) => charset.to_owned(),
                ("name" | "filename", _) => self.file_name(text).unwrap_or_else(|| text.clone()),
                _ => text.clone(),
            };
            parameter(&mut value, name, &text);
        }
        if let Some(charset) = charset.filter(|_| kind.get("charset").is_none()) {
            parameter(&mut value, "charset", charset);
        }
        value
    }

    fn file_name(&self, name: &str) -> Option<String> {
        let scrubbed = scrub_name(name, &self.person.addresses);
        // Signs part words there.
        let words = scrubbed.as_deref().unwrap_or(name);
        self.person.without(words).or(scrubbed)
    }

    /// The new value of a field. `None`: nothing in it is the person's.
    fn field(&self, field: &Field<'_>) -> Option<String> {
        let value = field.text();
        if field.is("Content-Type") || field.is("Content-Disposition") {
            let kind = super::mime::parametrised(&value);
            let named = |(name, text): &(String, String)| {
                matches!(name.as_str(), "name" | "filename") && self.file_name(text).is_some()
            };
            return kind.parameters.iter().any(named).then(|| self.kind(&kind, None));
        }
        let decoded = decode_words(&value);
        if field.is("Subject") || field.is("Thread-Topic") {
            return self.subject(&decoded).map(|subject| encode_unstructured(&subject, field.name.len() + 2));
        }
        self.person.without(&decoded)?;
        if !value.contains("=?") {
            return self.person.without(&value).map(|value| folded(&value, field.name.len() + 2));
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

/// A body that changed: with `kind`, its own Content-Type and the rest of the header stand before it.
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

/// An unfolded value folded again, octets outside ASCII as they were.
fn folded(value: &str, column: usize) -> String {
    super::text::fold(value, column)
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

/// A piece of HTML without tags as text.
fn readable(text: &str) -> String {
    mail_parser::decoders::html::html_to_text(&text.replace(['<'], " "))
}

/// A line as it is compared: without white space, quote marks, what does not show, and letter case.
fn fold(line: &str) -> String {
    let shows = |c: &char| !c.is_whitespace() && !matches!(c, '>' | '|' | '*') && !scrub::is_invisible(*c);
    let folded: String = line.chars().filter(shows).flat_map(char::to_lowercase).collect();
    // Rules and bullets are nobody's.
    if folded.chars().any(char::is_alphanumeric) { folded } else { String::new() }
}

/// A subject without `Re:` and the like.
fn base(subject: &str) -> &str {
    let mut rest = subject.trim();
    for _ in 0..10 {
        let Some((label, after)) = rest.split_once([':', '：']) else { break };
        let word =
            label.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | ' ' | '^'));
        let short = (1..=4).contains(&word.chars().count()) && word.chars().all(char::is_alphabetic);
        if !short {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

fn base_of(subject: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    fold(base(subject)).hash(&mut hasher);
    hasher.finish()
}
