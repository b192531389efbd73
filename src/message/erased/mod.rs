//! What an erased person leaves in the messages of the other party: its name, its addresses, and
//! lines of its own that are quoted there. Each is replaced by [`ERASED`]; every other word is the
//! other party's and stays, and so do the parts that hold nothing of it, octet for octet.
//!
//! - *Addresses* in every form that [`super::scrub`] knows, in fields, texts, HTML and files that
//!   are text.
//! - *The registered name*, in any letter case, as whole words. Of a buyer's name of several words
//!   each of three letters or more (two where words are not parted by spaces) also alone, if it
//!   begins as it is registered: `Will` goes from "Dear Will" and stays in "I will". A company's
//!   name is made of words of the language and goes only as a whole.
//! - *Quoted lines*: behind `>` or in a blockquote each line that stands in what the person wrote
//!   before, however it was wrapped; elsewhere such a line of twenty octets or more, as below a
//!   reply's header. What the other party had written before itself is not the person's, though it
//!   quoted it.
//! - *A subject* that the person used first, behind any `Re:`, and where a quoted header names it.
//!
//! What stays: pictures, PDF and office files; a name in other writing than it is registered in, or
//! shortened; words that were changed after they were quoted; quotes of what was written more than
//! a quarter of a megabyte of text before. A signature over a message that changed does not hold
//! any more.

mod names;
mod parts;
#[cfg(test)]
mod tests;

pub use names::Person;

use super::mime::Part;
use super::scrub::{self, Replacement};
use super::sealed::{self, Wrapping};
use super::{charset, html};
use crate::types::is_invisible;
use names::cut;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

/// Stands where something was.
pub const ERASED: &str = "[erased]";
/// Depth and number of parts that are looked at: more than any setting lets in.
const DEPTH: usize = 100;
const PARTS: usize = 10_000;
/// Octets of folded text of each side that quotes are looked for in, and lines of one message that
/// are looked at.
const KEPT: usize = 256 << 10;
const LINES: usize = 20_000;
/// Octets of a folded line that is taken for a copy though nothing marks it as a quote.
const LONG: usize = 20;
/// Words before a colon that a subject may stand behind: `Re`, `件名`, `Betreff`.
const LABEL: usize = 12;

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

    /// The next message of the pair is the other party's: what is left of it, and of its subject,
    /// where something in it was the person's.
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
        if let Wrapping::Opened(inner) = sealed::look(part) {
            return self.collect(&Part::read(&inner, false), depth + 1, parts, lines);
        }
        if part.kind.value == "message/rfc822" {
            return self.collect(&Part::read(&part.decoded(), false), depth + 1, parts, lines);
        }
        if !part.is("text") {
            return;
        }
        let octets = part.decoded();
        let is_html = part.kind.value == "text/html";
        let text = charset::read(&octets, part.kind.get("charset").unwrap_or(""), is_html).shown();
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
}

/// A piece of HTML without tags as text.
fn readable(text: &str) -> String {
    mail_parser::decoders::html::html_to_text(&text.replace(['<'], " "))
}

/// A line as it is compared: without white space, quote marks, what does not show, and letter case.
fn fold(line: &str) -> String {
    let shows = |c: &char| !c.is_whitespace() && !matches!(c, '>' | '|' | '*') && !is_invisible(*c);
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
