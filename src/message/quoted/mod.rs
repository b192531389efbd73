//! What an answer quotes of its reader's own message goes back to the reader as he wrote it.
//!
//! The reader of an answer wrote a message; its copy went to the answer's author with aliases in
//! place of addresses; the author's program quotes the copy. If the aliases came back, the reader
//! would see which of the addresses that he wrote is the author's: the right guess among many comes
//! back as the alias, the others as written.
//!
//! So the copy is made again by the same rewriter, and in the quoted part of the answer each line
//! that is word for word a line of the copy gets the words of the original, with the lines as they
//! were. Nothing else does: outside the quoted part, and where as much as a word is different, the
//! author's address is replaced or refused as ever.
//!
//! Whom it hits: nobody; quotes read better. What it tells a liar: an answer's author can fake a
//! quote, which lets through only what its reader wrote himself. The reader learns nothing: right
//! or wrong, what he guessed comes back.
//!
//! While a text is cleaned, [`Marks`] stand for the words that are given back, so that no cleaner
//! touches them; and the guard looks at the message with the marks in it.
//!
//! Not here: which messages of the reader are looked at (`relay`).

mod align;
pub(super) mod begin;
pub(super) mod stream;

use super::html::entity;
use super::replacements::{Marks, Place, Replacements};
use super::rewrite::{Order, rewrite};
use crate::types::html_escaped;
use align::{Match, align};
use sha2::{Digest as _, Sha256};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use stream::{Attribute, Copy, Stream, holds_address, shows};

/// What a message's rewriter does about quotes.
#[derive(Clone, Copy, Debug)]
pub enum Quoting<'a> {
    /// Nothing: there is nothing to answer.
    Ignored,
    /// Says whether an address stands in a quote, so that it matters what the reader wrote.
    Asked(&'a Question<'a>),
    /// Gives back what the reader wrote.
    Restored {
        /// What the reader wrote, in the order in which it is looked at.
        originals: &'a [Original],
        /// Else marks stand for it, for the guard.
        shown: bool,
    },
    /// The message is not sent: it is the one that is quoted.
    Recorded(&'a Record),
}

/// Whether it matters what the reader wrote.
pub struct Question<'a> {
    /// Whether the reader wrote anything: asked only where a text holds an address at all, as
    /// almost none does.
    may: &'a dyn Fn() -> bool,
    answer: Cell<bool>,
}

impl<'a> Question<'a> {
    /// `may`: whether the reader wrote anything.
    #[must_use]
    pub fn new(may: &'a dyn Fn() -> bool) -> Self {
        Self { may, answer: Cell::new(false) }
    }

    /// What was found.
    #[must_use]
    pub fn answer(&self) -> bool {
        self.answer.get()
    }

    fn ask(&self, quoted: impl FnOnce() -> bool) {
        let answer = self.answer.get() || (self.may)() && quoted();
        self.answer.set(answer);
    }
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Html,
    Calendar,
}

/// Octets of a text in which quotes are looked for, and of one message's texts that may be quoted.
/// Nobody reads more.
const LONGEST: usize = 4 << 20;
/// Octets of all texts of an answer and of what they may quote that are compared: each of an
/// answer's texts may quote each of the others.
pub(super) const MOST_COMPARED: usize = 64 << 20;
/// Subjects and names of files of one message that may come back.
const MOST_TITLES: usize = 64;
/// Attributes that are looked at in one text, and that are compared with each of them.
const MOST_ATTRIBUTES: usize = 4096;
const NEAR_ATTRIBUTES: usize = 256;

/// The texts of a copy while it is made, with marks.
#[derive(Debug, Default)]
pub struct Record(RefCell<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    texts: Vec<(String, Kind)>,
    /// Octets of them.
    size: usize,
    /// Subjects, and names of files.
    titles: Vec<String>,
}

impl Record {
    pub(super) fn text(&self, text: &str, kind: Kind) {
        let mut recorded = self.0.borrow_mut();
        recorded.size = recorded.size.saturating_add(text.len());
        if recorded.size <= LONGEST {
            // Marks are folded like words.
            let text = if kind == Kind::Calendar { text.replace("\r\n ", "") } else { text.to_owned() };
            recorded.texts.push((text, kind));
        }
    }

    pub(super) fn title(&self, title: &str) {
        self.0.borrow_mut().titles.push(title.to_owned());
    }
}

/// A message of the reader's: the copy that was made of it, and what it said.
#[derive(Debug)]
pub struct Original {
    copies: Vec<Copy>,
    /// As they went out, and as they were written.
    titles: Vec<(String, String)>,
}

impl Original {
    /// Makes the copy of `raw` by this order again. `None`: no address stands in it.
    #[must_use]
    pub fn read(raw: &[u8], order: &Order<'_>, replacements: Replacements) -> Option<Self> {
        let (marks, record) = (marks(&order.message_id), Record::default());
        let replacements = replacements.recording(marks.clone());
        let order =
            Order { replacements: &replacements, quotes: Quoting::Recorded(&record), footer: None, ..order.clone() };
        rewrite(raw, &order).ok()?;
        let Recorded { texts, titles, .. } = record.0.into_inner();
        let places = replacements.recorded();
        let copies: Vec<Copy> = texts.iter().map(|(text, kind)| Copy::read(text, *kind, &marks, &places)).collect();
        let words = |of: fn(&Place) -> &str| places.iter().map(|place| of(place).to_owned()).collect::<Vec<_>>();
        let (sent, written) = (words(|place| &place.alias), words(|place| &place.written));
        let titles: Vec<_> =
            titles.iter().map(|title| (marks.read(title, &sent), marks.read(title, &written))).collect();
        let titles: Vec<_> = titles.into_iter().filter(|(sent, _)| holds_address(sent)).take(MOST_TITLES).collect();
        let matters = |copy: &Copy| holds_address(&copy.stream.text) || !copy.stream.attributes.is_empty();
        (!titles.is_empty() || copies.iter().any(matters)).then_some(Self { copies, titles })
    }

    /// Adds what headers over quotes tell of its subject.
    fn subjects(&self, quote: &Stream, kind: Kind, edits: &mut Vec<Edit>) {
        let squeezed = |(sent, written): &(String, String)| {
            (sent.chars().filter(|c| shows(*c)).collect::<String>(), written.clone())
        };
        let titles: Vec<_> = self.titles.iter().map(squeezed).collect();
        for n in (0..quote.lines.len()).filter(|_| !titles.is_empty()) {
            let Some(start) = begin::subject(quote, n) else { continue };
            let found = titles.iter().find_map(|(sent, written)| {
                let end = start + sent.len();
                let same = quote.text.get(start..end) == Some(sent) && quote.is_line_end(end);
                same.then_some((start..end, written))
            });
            if let Some((range, written)) = found {
                for (first, piece) in quote.cut(&range).into_iter().enumerate() {
                    // The first stretch gets all of it.
                    let words = if first == 0 { written.as_str() } else { "" };
                    let words = if kind == Kind::Html { html_escaped(words) } else { words.to_owned() };
                    edits.push(Edit { source: quote.source(&piece), weight: 1, lead: String::new(), words });
                }
            }
        }
    }

    /// A title as it came back, as its author wrote it: `Re: ` and what else stands before it, and
    /// the title.
    fn title<'t>(&self, title: &'t str) -> Option<(&'t str, &str)> {
        self.titles.iter().find_map(|(sent, written)| {
            let before = title.trim_end().strip_suffix(sent.trim()).filter(|before| !holds_address(before))?;
            Some((before, written.as_str()))
        })
    }
}

fn marks(id: &str) -> Marks {
    Marks::new(&Sha256::digest(id.as_bytes()))
}

impl Quoting<'_> {
    /// Whether what is given back is shown.
    pub(super) fn shows(&self) -> bool {
        matches!(self, Self::Restored { shown: true, .. })
    }

    /// Sees a subject or the name of a file. What stands before the words that are given back, and
    /// those.
    pub(super) fn title<'t>(&'t self, title: &'t str) -> Option<(&'t str, &'t str)> {
        match self {
            Self::Asked(question) if holds_address(title) => question.ask(|| true),
            Self::Restored { originals, shown } if holds_address(title) => {
                let (before, words) = originals.iter().find_map(|original| original.title(title))?;
                return Some((before, if *shown { words } else { "" }));
            }
            _ => {}
        }
        None
    }

    /// Looks at a text before it is cleaned. `whole`: it stands in a message that is quoted as a
    /// whole.
    pub(super) fn mask(
        &self,
        text: &str,
        kind: Kind,
        whole: bool,
        order: &Order<'_>,
        room: &mut usize,
    ) -> Option<Masked> {
        let alias = order.to.as_str().to_ascii_lowercase();
        if matches!(self, Self::Ignored | Self::Recorded(_))
            || text.len() > LONGEST
            || !names_another(text, kind, &alias)
        {
            return None;
        }
        let quoted_part = || {
            let stream = Stream::read(text, kind);
            let quoted = if whole { vec![true; stream.lines.len()] } else { begin::quoted(&stream, &alias) };
            stream.only(&quoted)
        };
        match self {
            Self::Asked(question) => {
                question.ask(|| {
                    let quoted = quoted_part();
                    holds_address(&quoted.text) || !quoted.attributes.is_empty()
                });
                None
            }
            Self::Restored { originals, .. } => {
                let (stream, mut edits) = (quoted_part(), Vec::new());
                for original in originals.iter() {
                    original.subjects(&stream, kind, &mut edits);
                }
                for copy in originals.iter().flat_map(|original| &original.copies) {
                    let Some(left) = room.checked_sub(copy.stream.text.len() + stream.text.len()) else { continue };
                    *room = left;
                    restore(text, &stream, kind, copy, &mut edits);
                }
                (!edits.is_empty()).then(|| Masked::new(text, edits, marks(&order.message_id)))
            }
            _ => None,
        }
    }
}

/// Whether another address than `alias` may stand in a text: almost all mail ends here.
fn names_another(text: &str, kind: Kind, alias: &str) -> bool {
    let (bytes, name) = (text.as_bytes(), alias.find('@').unwrap_or(0));
    let is_other = |at: usize| {
        let start = at.saturating_sub(name);
        let written = bytes.get(start..bytes.len().min(start + alias.len())).unwrap_or(&[]);
        !written.eq_ignore_ascii_case(alias.as_bytes())
    };
    let is_sign = |at: usize| match text.get(at..) {
        Some(rest) if rest.starts_with('@') => is_other(at),
        Some(rest) if rest.starts_with("&#") => entity(rest).is_some_and(|(c, _)| c == '@'),
        Some(rest) => ["&commat;", "%40", "\u{ff20}", "\u{fe6b}"].iter().any(|sign| rest.starts_with(sign)),
        None => false,
    };
    memchr::memchr3_iter(b'@', b'%', 0xef, bytes).any(is_sign)
        || kind == Kind::Html && memchr::memchr_iter(b'&', bytes).any(is_sign)
}

/// Words that are given back.
#[derive(Debug)]
struct Edit {
    source: Range<usize>,
    /// Of several, the one of which more is quoted counts.
    weight: usize,
    /// Goes before them, and is cleaned like any other.
    lead: String,
    words: String,
}

/// A text with marks for the words that are given back.
#[derive(Debug)]
pub(super) struct Masked {
    pub(super) text: String,
    words: Vec<String>,
    marks: Marks,
}

impl Masked {
    fn new(text: &str, mut edits: Vec<Edit>, marks: Marks) -> Self {
        // Several of the reader's messages may say the same.
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.weight));
        let mut taken: BTreeMap<usize, Edit> = BTreeMap::new();
        for edit in edits.into_iter().filter(|edit| !edit.source.is_empty()) {
            let before = taken
                .range(..=edit.source.start)
                .next_back()
                .is_none_or(|(_, other)| other.source.end <= edit.source.start);
            let after = taken.range(edit.source.start..).next().is_none_or(|(start, _)| *start >= edit.source.end);
            if before && after {
                taken.insert(edit.source.start, edit);
            }
        }
        let mut out = Self { text: String::with_capacity(text.len()), words: Vec::new(), marks };
        let mut done = 0;
        for edit in taken.into_values() {
            let Some(before) = text.get(done..edit.source.start) else { continue };
            out.text.push_str(before);
            out.text.push_str(&edit.lead);
            out.marks.write(out.words.len(), &mut out.text);
            out.words.push(edit.words);
            done = edit.source.end;
        }
        out.text.push_str(text.get(done..).unwrap_or(""));
        out
    }

    /// `text`, which was made of the masked one, with the words in it.
    pub(super) fn shown(&self, text: &str) -> String {
        self.marks.read(text, &self.words)
    }
}

/// Adds what is given back of the lines of `copy` in a quote.
fn restore(text: &str, quote: &Stream, kind: Kind, copy: &Copy, edits: &mut Vec<Edit>) {
    let found = align(quote, copy);
    let escaped = |words: &str| if kind == Kind::Html { html_escaped(words) } else { words.to_owned() };
    let written = |range: &Range<usize>| escaped(copy.written.get(copy.stream.source(range)).unwrap_or(""));
    for line in &found {
        let mut at = line.quote.start;
        let mut place = copy.stream.line_at(line.line).start;
        let end = line.quote.end..line.quote.end;
        let ends = line.notes.iter().map(|note| note.quote.clone()).chain(std::iter::once(end));
        for note in ends {
            let words = at..note.start;
            let pieces = if kind == Kind::Html { quote.cut(&words) } else { vec![words.clone()] };
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                let copied = place + (piece.start - at)..place + (piece.end - at);
                let (source, words) = (quote.source(&piece), written(&copied));
                edits.push(Edit { source, weight: line.weight, lead: String::new(), words });
            }
            place += words.len();
            edits.extend(in_note(quote, &note, copy, line.line, place).map(|(range, words)| Edit {
                source: quote.source(&range),
                weight: line.weight,
                lead: String::new(),
                words: escaped(&words),
            }));
            at = note.end;
        }
    }
    if kind == Kind::Html {
        attributes(text, quote, copy, &found, edits);
    }
}

/// What a note says again, in its author's words: the words before it, or where its link leads.
fn in_note(
    quote: &Stream,
    note: &Range<usize>,
    copy: &Copy,
    line: usize,
    place: usize,
) -> Option<(Range<usize>, String)> {
    let inside = note.start + 1..note.end.checked_sub(1)?;
    let inner = quote.text.get(inside.clone())?;
    let rest = ["mailto:", "image:"].iter().find_map(|scheme| inner.strip_prefix(scheme)).unwrap_or(inner);
    if !holds_address(rest) {
        return None;
    }
    let range = inside.end - rest.len()..inside.end;
    if copy.stream.text.get(..place)?.ends_with(rest) {
        let words = copy.written.get(copy.stream.source(&(place - rest.len()..place)))?;
        return Some((range, words.to_owned()));
    }
    let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let words = copy.stream.attributes_of(line).take(NEAR_ATTRIBUTES).find_map(|(_, attribute)| {
        let value = squeezed(&attribute.value);
        let scheme = value.strip_suffix(rest).filter(|scheme| matches!(*scheme, "" | "mailto:"))?;
        Some(attribute.written.strip_prefix(scheme).unwrap_or(&attribute.written).to_owned())
    });
    Some((range, words?))
}

/// Attributes that are word for word the copy's, in a line that is; and links that a program made
/// of an address in such a line. Where there are no such lines, as around a picture, the last ones
/// are the copy's: those of the header over the quote come first.
fn attributes(text: &str, quote: &Stream, copy: &Copy, found: &[Match], edits: &mut Vec<Edit>) {
    let mut used = vec![false; copy.stream.attributes.len()];
    for attribute in quote.attributes.iter().rev().take(MOST_ATTRIBUTES) {
        let next = found.partition_point(|line| line.quote.start <= attribute.at);
        let line = next.checked_sub(1).and_then(|n| found.get(n)).filter(|line| attribute.at <= line.quote.end);
        let same = |(n, other): &(usize, &Attribute)| {
            let free = !used.get(*n).copied().unwrap_or(true);
            free && other.name == attribute.name && other.value == attribute.value
        };
        let all = copy.stream.attributes.iter().enumerate().rev().filter(|_| found.is_empty());
        let first = match line {
            Some(line) => copy.stream.attributes_of(line.line).take(NEAR_ATTRIBUTES).find(same),
            None => all.take(NEAR_ATTRIBUTES).find(same),
        };
        if let Some((n, other)) = first {
            if let Some(used) = used.get_mut(n) {
                *used = true;
            }
            edits.push(value_edit(text, attribute, &other.written));
            continue;
        }
        // `<a href="mailto:x">x</a>`, made by a program.
        let Some(line) = line else { continue };
        let copied = copy.stream.line_at(line.line).start + (attribute.at - line.quote.start);
        let rest = attribute.value.strip_prefix("mailto:").unwrap_or(&attribute.value);
        if line.notes.is_empty() && copy.stream.text.get(copied..).is_some_and(|text| text.starts_with(rest)) {
            let words = copy.written.get(copy.stream.source(&(copied..copied + rest.len()))).unwrap_or("");
            let scheme = attribute.value.len() - rest.len();
            edits.push(value_edit(text, attribute, &format!("{}{words}", attribute.value.get(..scheme).unwrap_or(""))));
        }
    }
}

/// The value in its author's words. What tells where a link leads is not masked, and judged.
fn value_edit(text: &str, attribute: &Attribute, written: &str) -> Edit {
    let (value, source) = (&attribute.value, &attribute.source);
    let sign = value.find(['@', '\u{ff20}', '\u{fe6b}', '%']).unwrap_or(value.len());
    let same = value
        .char_indices()
        .zip(written.char_indices())
        .take_while(|(a, b)| a == b)
        .map(|((at, c), _)| at + c.len_utf8())
        .last();
    let common = value.get(..same.unwrap_or(0).min(sign)).unwrap_or("");
    let keep = common.rfind([':', '/', '?', '=', '&', ';', ',', ' ']).map_or(0, |at| at + 1);
    let (lead, words) = (value.get(..keep).unwrap_or(""), written.get(keep..).unwrap_or(""));
    let is_plain = text.get(source.clone()) == Some(value.as_str());
    let (start, lead) =
        if is_plain { (source.start + keep, String::new()) } else { (source.start, html_escaped(lead)) };
    Edit { source: start..source.end, weight: 0, lead, words: html_escaped(words) }
}

#[cfg(test)]
mod tests;
