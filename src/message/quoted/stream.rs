//! A text as a run of characters without the white space, marks and tags that programs put between
//! them when they quote; and where each of them stands.

use super::Kind;
use crate::message::html::{self, Tag};
use crate::message::replacements::{Marks, Piece, Place, SIGN};
use crate::message::work;
use crate::types::is_invisible;
use std::borrow::Cow;
use std::ops::Range;

/// Characters in a row, and where each stands in the source.
#[derive(Debug, Default)]
pub(in crate::message) struct Stream {
    /// What is compared.
    pub(super) text: String,
    runs: Vec<Run>,
    /// Where lines begin in `text`. None is empty.
    pub(super) lines: Vec<usize>,
    /// Whether each line has a quote mark, or stands in an element that quotes.
    pub(super) marked: Vec<bool>,
    /// Where stretches between tags begin in `text`.
    stretches: Vec<usize>,
    /// Values of attributes in which an address may stand.
    pub(super) attributes: Vec<Attribute>,
    /// A line begins with what comes next.
    fresh: bool,
    /// A quote mark stands before it.
    quoted: bool,
}

/// Characters that stand in the source as they are, or one unit that does not.
#[derive(Debug)]
struct Run {
    at: usize,
    source: Range<usize>,
    /// Written otherwise in the source: an entity, or an address in whose place an alias stands.
    opaque: bool,
}

/// An attribute's value.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    /// Its tag stands before this place of the text.
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) source: Range<usize>,
    /// Decoded, as the receiver of the copy got it.
    pub(super) value: String,
    /// Decoded, as its author wrote it.
    pub(super) written: String,
    pub(super) marked: bool,
}

/// Steps that an octet of a text costs.
const READING: usize = 8;
/// Quote marks at the beginning of a line.
const MARKS: [char; 4] = ['>', '|', '\u{ff1e}', '\u{ff5c}'];

/// Whether it is more than white space.
pub(super) fn shows(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c) && !c.is_control()
}

impl Stream {
    pub(super) fn read(text: &str, kind: Kind) -> Self {
        work::count(text.len() * READING);
        match kind {
            Kind::Text => Self::of_text(text),
            Kind::Html => Self::of_html(text),
            Kind::Calendar => Self::of_calendar(text),
        }
    }

    /// The lines of a plain text.
    pub(in crate::message) fn of_text(text: &str) -> Self {
        let mut out = Self::default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let body = line.trim_start_matches(|c: char| c.is_whitespace() || MARKS.contains(&c));
            let marks = line.get(..line.len() - body.len()).unwrap_or("");
            out.line();
            out.words(body, at + marks.len(), marks.contains(MARKS));
            at += line.len();
        }
        out
    }

    /// The values of a calendar, one a line: programs write other parameters.
    pub(super) fn of_calendar(text: &str) -> Self {
        let mut out = Self::default();
        let (mut at, mut value) = (0, false);
        for line in text.split_inclusive('\n') {
            let mut body = line;
            if !line.starts_with([' ', '\t']) {
                let mut quoted = false;
                let colon = line.find(|c: char| {
                    quoted ^= c == '"';
                    c == ':' && !quoted
                });
                value = colon.is_some();
                body = colon.and_then(|colon| line.get(colon + 1..)).unwrap_or("");
                out.line();
            }
            if value {
                out.words(body, at + line.len() - body.len(), true);
            }
            at += line.len();
        }
        out
    }

    /// What a document shows, and its attributes.
    pub(super) fn of_html(document: &str) -> Self {
        let mut out = Self::default();
        let (mut quotes, mut pre) = (html::Quotes::default(), 0_usize);
        let is_pre = |name: &str| usize::from(name.eq_ignore_ascii_case("pre"));
        html::walk(document, |tag| match tag {
            Tag::Text(range) => {
                out.stretches.push(out.text.len());
                out.entities(document, range, pre > 0, quotes.is_inside());
            }
            Tag::Open { name, attributes, breaks } => {
                pre += is_pre(name);
                quotes.open(name, document.get(attributes.clone()).unwrap_or(""));
                if breaks {
                    out.line();
                }
                if document.get(attributes.clone()).is_some_and(may_hold_address) {
                    html::attributes(document, attributes, |name, value| {
                        let written = html::read_entities(document.get(value.clone()).unwrap_or(""));
                        if holds_address(&written) {
                            let (at, marked) = (out.text.len(), quotes.is_inside());
                            let (name, written) = (name.to_ascii_lowercase(), written.into_owned());
                            let value_read = written.clone();
                            out.attributes.push(Attribute {
                                at,
                                name,
                                source: value,
                                value: value_read,
                                written,
                                marked,
                            });
                        }
                    });
                }
            }
            Tag::Close { name, breaks } => {
                pre = pre.saturating_sub(is_pre(name));
                quotes.close(name);
                if breaks {
                    out.line();
                }
            }
        });
        out
    }

    fn line(&mut self) {
        self.fresh = true;
        self.quoted = false;
    }

    fn begin(&mut self, marked: bool) {
        if std::mem::take(&mut self.fresh) || self.lines.is_empty() {
            self.lines.push(self.text.len());
            self.marked.push(marked);
        }
    }

    fn words(&mut self, words: &str, at: usize, marked: bool) {
        for (offset, c) in words.char_indices().filter(|(_, c)| shows(*c)) {
            self.put(c, at + offset..at + offset + c.len_utf8(), marked);
        }
    }

    /// `pre`: lines are lines.
    fn entities(&mut self, document: &str, range: Range<usize>, pre: bool, marked: bool) {
        let mut at = range.start;
        while let Some(c) = document.get(at..range.end).and_then(|rest| rest.chars().next()) {
            let read = if c == '&' { document.get(at..range.end).and_then(html::entity) } else { None };
            let (c, length) = read.unwrap_or((c, c.len_utf8()));
            if pre && c == '\n' {
                self.line();
            }
            if (self.fresh || self.lines.is_empty()) && MARKS.contains(&c) {
                self.quoted = true;
            } else if shows(c) {
                self.put(c, at..at + length, marked || self.quoted);
            }
            at += length;
        }
    }

    fn put(&mut self, c: char, source: Range<usize>, marked: bool) {
        self.begin(marked);
        let at = self.text.len();
        let opaque = source.len() != c.len_utf8();
        self.text.push(c);
        match self.runs.last_mut() {
            Some(last) if !last.opaque && !opaque && last.source.end == source.start => last.source.end = source.end,
            _ => self.runs.push(Run { at, source, opaque }),
        }
    }

    /// Something that stands in the source in other words.
    fn put_opaque(&mut self, words: &str, source: Range<usize>) {
        self.begin(false);
        self.runs.push(Run { at: self.text.len(), source, opaque: true });
        self.text.extend(words.chars().filter(|c| shows(*c)));
    }

    /// Without the lines that are not quoted.
    pub(super) fn only(self, quoted: &[bool]) -> Self {
        if quoted.iter().all(|quoted| *quoted) {
            return self;
        }
        let mut out = Self::default();
        // Where each old line is now, for what stands at places.
        let mut moved = Vec::with_capacity(self.lines.len());
        let mut runs = self.runs.into_iter().peekable();
        for (n, (start, quoted)) in self.lines.iter().zip(quoted).enumerate() {
            let end = self.lines.get(n + 1).copied().unwrap_or(self.text.len());
            moved.push((*start, out.text.len(), *quoted));
            if *quoted {
                out.lines.push(out.text.len());
                out.marked.push(true);
            }
            while let Some(run) = runs.next_if(|run| run.at < end) {
                if *quoted {
                    out.runs.push(Run { at: run.at - start + out.text.len(), ..run });
                }
            }
            if *quoted {
                out.text.push_str(self.text.get(*start..end).unwrap_or(""));
            }
        }
        let place = |at: usize| {
            let line = moved.partition_point(|(start, ..)| *start <= at).checked_sub(1).and_then(|n| moved.get(n));
            line.map_or((0, false), |(start, now, quoted)| (if *quoted { now + at - start } else { *now }, *quoted))
        };
        out.stretches = self.stretches.iter().map(|at| place(*at).0).collect();
        let kept = self.attributes.into_iter().filter_map(|attribute| {
            let (at, quoted) = place(attribute.at);
            (quoted || attribute.marked).then_some(Attribute { at, ..attribute })
        });
        out.attributes = kept.collect();
        out
    }

    /// The line from `lines[n]` on.
    pub(in crate::message) fn line_at(&self, n: usize) -> Range<usize> {
        let start = self.lines.get(n).copied().unwrap_or(self.text.len());
        start..self.lines.get(n + 1).copied().unwrap_or(self.text.len())
    }

    /// The number of the line that a place is in.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The attributes in a line, with their numbers.
    pub(super) fn attributes_of(&self, line: usize) -> impl Iterator<Item = (usize, &Attribute)> {
        let first = self.attributes.partition_point(|attribute| self.line_of(attribute.at) < line);
        let here = move |(_, attribute): &(usize, &Attribute)| self.line_of(attribute.at) == line;
        self.attributes.iter().enumerate().skip(first).take_while(here)
    }

    /// Whether a line begins or ends there.
    pub(super) fn is_line_end(&self, at: usize) -> bool {
        at >= self.text.len() || self.lines.binary_search(&at).is_ok()
    }

    /// Where a range of the text stands in the source. Half a unit is the whole one at its end,
    /// nothing at its beginning.
    pub(in crate::message) fn source(&self, range: &Range<usize>) -> Range<usize> {
        let run =
            |at: usize| self.runs.partition_point(|run| run.at <= at).checked_sub(1).and_then(|n| self.runs.get(n));
        let start = run(range.start).map_or(0, |run| match (run.opaque, range.start - run.at) {
            (_, 0) => run.source.start,
            (true, _) => run.source.end,
            (false, into) => run.source.start + into,
        });
        let end = run(range.end.saturating_sub(1)).map_or(0, |run| match run.opaque {
            true => run.source.end,
            false => run.source.start + (range.end - run.at),
        });
        start..end.max(start)
    }

    /// `range`, cut where tags stand.
    pub(super) fn cut(&self, range: &Range<usize>) -> Vec<Range<usize>> {
        let first = self.stretches.partition_point(|at| *at <= range.start);
        let inside = self.stretches.get(first..).unwrap_or(&[]).iter().copied().take_while(|at| *at < range.end);
        let mut out = Vec::new();
        let mut start = range.start;
        for at in inside.chain([range.end]) {
            if at > start {
                out.push(start..at);
            }
            start = at;
        }
        out
    }
}

/// A text of a copy as its receiver got it, and in its author's words.
#[derive(Debug)]
pub(super) struct Copy {
    /// Its source is `written`.
    pub(super) stream: Stream,
    /// As its author wrote it.
    pub(super) written: String,
    is_html: bool,
}

impl Copy {
    /// Reads a cleaned text with marks for the `places` that were replaced.
    pub(super) fn read(text: &str, kind: Kind, marks: &Marks, places: &[Place]) -> Self {
        let words = |of: fn(&Place) -> &str| places.iter().map(|place| of(place).to_owned()).collect::<Vec<_>>();
        let (sent, origin) = (words(|place| &place.alias), words(|place| &place.written));
        let is_html = kind == Kind::Html;
        let mut out = Self { stream: Stream::default(), written: String::with_capacity(text.len()), is_html };
        let marked = Stream::read(text, kind);
        // Each line with the white space that it has, its tags taken out.
        for n in 0..marked.lines.len() {
            out.stream.line();
            let line = marked.line_at(n);
            let source = marked.source(&line);
            if is_html {
                out.document(text, &marked, &line, marks, places);
            } else {
                out.words(text.get(source).unwrap_or(""), marks, places);
            }
            out.written.push('\n');
        }
        for attribute in &marked.attributes {
            let [value, written] = [&sent, &origin].map(|words| marks.read(&attribute.written, words));
            let written = html::read_entities(&written).into_owned();
            // Marks are longer than what they stand for: the place is told by lines.
            let line = marked.line_of(attribute.at);
            let at = out.stream.lines.get(line).copied().unwrap_or(out.stream.text.len());
            out.stream.attributes.push(Attribute { at, value, written, ..attribute.clone() });
        }
        out
    }

    fn words(&mut self, words: &str, marks: &Marks, places: &[Place]) {
        for piece in marks.split(words) {
            match piece {
                Piece::Words(words) => {
                    let at = self.written.len();
                    self.written.push_str(words);
                    self.stream.words(words, at, false);
                }
                Piece::Mark(number) => {
                    let Some(place) = places.get(number) else { continue };
                    let at = self.written.len();
                    let written = Cow::Borrowed(place.written.as_str());
                    self.written.push_str(&if self.is_html { html::read_entities(&written) } else { written });
                    self.stream.put_opaque(&place.alias, at..self.written.len());
                }
            }
        }
    }

    /// The same of a line of a document: what its stretches show, one space where white space is.
    fn document(&mut self, text: &str, marked: &Stream, line: &Range<usize>, marks: &Marks, places: &[Place]) {
        let mut shown = String::new();
        let mut before = None;
        for stretch in marked.cut(line) {
            let source = marked.source(&stretch);
            let gap = before.map_or("", |end: usize| text.get(end..source.start).unwrap_or(""));
            if has_space(gap) {
                shown.push(' ');
            }
            let words = html::read_entities(text.get(source.clone()).unwrap_or(""));
            shown.push_str(&words.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            before = Some(source.end);
        }
        self.words(&shown, marks, places);
    }
}

/// Whether white space stands between the tags of `gap`.
fn has_space(gap: &str) -> bool {
    let mut inside = false;
    gap.chars().any(|c| {
        inside = c == '<' || inside && c != '>';
        !inside && c.is_whitespace()
    })
}

/// Whether an address may stand in a text whose entities are read.
pub(super) fn holds_address(text: &str) -> bool {
    text.contains(['@', '\u{ff20}', '\u{fe6b}', SIGN]) || text.contains("%40")
}

/// Whether an address may stand in it as it is written.
fn may_hold_address(text: &str) -> bool {
    text.contains(['@', '\u{ff20}', '\u{fe6b}', '%', '&', SIGN])
}
