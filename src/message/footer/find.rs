//! Footers found again, in whatever a mail program made of them: marks, acting addresses, and where
//! a footer begins and ends.

use super::{Anchors, MARKS, Mark, SEPARATOR};
use crate::message::scrub::{backward, forward, forward_over_gap};
use crate::message::splice::spliced;
use crate::message::{html, work};
use crate::types::token::{MARK, Purpose, TOKEN};
use std::cell::Cell;
use std::ops::Range;

/// Octets from the beginning of a footer to its end at most, with quote marks, and whatever a mail
/// program puts around links.
pub(super) const LONGEST: usize = 6000;
/// Steps of a place where something of ours might stand.
const ANCHOR: usize = 10;
/// Octets before an acting address on its line at most, if they are a label.
const LONGEST_LABEL: usize = 200;
/// Octets of what a link asks for at most.
const LONGEST_QUERY: usize = 4000;
/// Characters of a mark between two hyphens.
pub(super) const GROUP: usize = 6;

/// Adds the marks in `text` to `found`, each once, until there are [`MARKS`]: what shows, and then
/// the acting addresses, also where they stand in links alone. They may be anybody's, or nobody's.
/// Says whether anything of a footer's stands there, a mark or not.
pub fn marks(text: &str, is_html: bool, found: &mut Vec<Mark>) -> bool {
    let any = Cell::new(false);
    let mut add = |mark: Mark| {
        if found.len() < MARKS && !found.contains(&mark) {
            found.push(mark);
        }
        found.len() < MARKS
    };
    let visible = is_html.then(|| html::visible(text).0);
    let shown = Brackets::new(visible.as_deref().unwrap_or(text), is_html).inspect(|_| any.set(true));
    let shown = shown.filter_map(|bracket| match bracket {
        Bracket::Open(mark, _) | Bracket::Line(mark, _) => Some(Mark::Thread(mark)),
        Bracket::Close(_) => None,
    });
    let of_message = |found: Found| {
        let acts = matches!(found.purpose, Purpose::Report | Purpose::NoResponse | Purpose::Stop);
        acts.then_some(Mark::Message(found.purpose, found.token))
    };
    let addresses = Addresses::new(text, is_html).inspect(|_| any.set(true));
    for mark in shown.chain(addresses.filter_map(of_message)) {
        if !add(mark) {
            break;
        }
    }
    any.get()
}

/// Passes over a text at most: what is taken out may leave the halves of something else side by
/// side.
const PASSES: usize = 4;

/// Takes footers, marks and acting addresses out of `text`. `None`: there were none.
#[must_use]
pub fn strip(text: &str, is_html: bool) -> Option<String> {
    let mut stripped = pass(text, is_html)?;
    for _ in 1..PASSES {
        match pass(&stripped, is_html) {
            Some(next) => stripped = next,
            None => break,
        }
    }
    Some(stripped)
}

fn pass(text: &str, is_html: bool) -> Option<String> {
    if !is_html {
        let found = footers(text, false, true);
        return (!found.is_empty()).then(|| without(text, found));
    }
    let shown = html::without(text, |visible| footers(visible, true, false));
    // What is left stands in attributes: links.
    let rest = shown.as_deref().unwrap_or(text);
    let mut links: Vec<Range<usize>> = Vec::new();
    for found in Addresses::new(rest, true) {
        let link = anchor(rest, found.range);
        match links.last_mut() {
            // Both stand in one.
            Some(last) if link.start < last.end => last.end = last.end.max(link.end),
            _ => links.push(link),
        }
    }
    if links.is_empty() { shown } else { Some(without(rest, links)) }
}

/// The link that leads to an address, with the words in it: without it they say nothing.
fn anchor(html: &str, address: Range<usize>) -> Range<usize> {
    let floor = address.start.saturating_sub(LONGEST_LABEL * 2);
    let before = html.as_bytes().get(floor..address.start).unwrap_or(&[]);
    let after = html.as_bytes().get(address.end..).unwrap_or(&[]);
    let after = after.get(..LONGEST_LABEL * 8).unwrap_or(after);
    work::skip(before.len() + after.len());
    let tag = memchr::memrchr2(b'<', b'>', before).filter(|at| {
        let tag = before.get(*at..).unwrap_or(&[]);
        tag.get(..3).is_some_and(|tag| tag.eq_ignore_ascii_case(b"<a ") || tag.eq_ignore_ascii_case(b"<a\n"))
    });
    let ends = memchr::memchr_iter(b'<', after)
        .find(|at| after.get(*at..*at + 4).is_some_and(|end| end.eq_ignore_ascii_case(b"</a>")));
    match (tag, ends) {
        (Some(tag), Some(end)) => floor + tag..address.end + end + 4,
        _ => address,
    }
}

fn without(text: &str, ranges: Vec<Range<usize>>) -> String {
    spliced(text, ranges.into_iter().map(|range| (range, "")))
}

/// What belongs to footers in `text`, in order: whole ones, and what is left of others. `lines`:
/// with the line around a lone address.
fn footers(text: &str, is_html: bool, lines: bool) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    // The one that was opened last, and is not closed yet.
    let mut open: Option<usize> = None;
    for bracket in Brackets::new(text, is_html) {
        match (bracket, open) {
            (Bracket::Open(_, range), _) => {
                open = Some(ranges.len());
                ranges.push(range);
            }
            (Bracket::Close(range), Some(at)) => {
                open = None;
                match ranges.get_mut(at).filter(|begun| range.end - begun.start <= LONGEST) {
                    Some(begun) => begun.end = range.end,
                    None => ranges.push(range),
                }
            }
            (Bracket::Close(range), None) => ranges.push(range),
            (Bracket::Line(_, range), _) => {
                open = None;
                let floor = ranges.last().map_or(0, |last| last.end).max(range.start.saturating_sub(LONGEST));
                ranges.push(separator(text, floor, range.start).unwrap_or(range.start)..range.end);
            }
        }
    }
    let inside = |at: usize| {
        let next = ranges.partition_point(|range| range.start <= at);
        next.checked_sub(1).and_then(|n| ranges.get(n)).is_some_and(|range| at < range.end)
    };
    let lone = Addresses::new(text, is_html).map(|found| found.range).filter(|range| !inside(range.start));
    let lone: Vec<_> = lone.collect();
    if lone.is_empty() {
        return ranges;
    }
    ranges.extend(lone.into_iter().map(|range| if lines { whole_line(text, range) } else { range }));
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The line that an address stands in, without its quote marks and its end, if it is short and says
/// nothing behind the address: it is a label's.
fn whole_line(text: &str, address: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let floor = address.start.saturating_sub(LONGEST_LABEL);
    let before = bytes.get(floor..address.start).unwrap_or(&[]);
    let Some(start) = memchr::memrchr(b'\n', before).map(|n| floor + n + 1).or((floor == 0).then_some(0)) else {
        return address;
    };
    let after = bytes.get(address.end..).unwrap_or(&[]);
    let rest = after.iter().take_while(|b| b.is_ascii_punctuation() || **b == b' ').count();
    if !matches!(after.get(rest), None | Some(b'\r' | b'\n')) {
        return address;
    }
    let line = text.get(start..address.start).unwrap_or("");
    let quote = line.len() - line.trim_start_matches(['>', '|', ' ', '\t']).len();
    start + quote..address.end + rest
}

/// Where the separator of a footer begins that ends at `end`: the last one before it. Nothing
/// before `floor` is read.
fn separator(text: &str, floor: usize, end: usize) -> Option<usize> {
    let floor = (floor..=end).find(|at| text.is_char_boundary(*at))?;
    let before = text.get(floor..end)?;
    work::skip(before.len());
    let mark = SEPARATOR.trim_end();
    let mut rest = before;
    while let Some(at) = memchr::memmem::rfind(rest.as_bytes(), mark.as_bytes()) {
        work::count(4);
        rest = rest.get(..at)?;
        let after = before.get(at + mark.len()..)?.chars().next();
        // What makes plain text of HTML may put the next word at once behind the rule.
        let begins = match rest.chars().next_back() {
            None | Some('\n' | '\0' | '>' | '|') => after != Some('-'),
            Some(' ' | '\t' | '\u{a0}') => after.is_none_or(char::is_whitespace),
            _ => false,
        };
        if begins {
            return Some(floor + at);
        }
    }
    None
}

/// One end of a footer.
enum Bracket {
    /// `[ref:MARK]`, at the beginning of footers as they were once written. The mark is in lower
    /// case.
    Open(String, Range<usize>),
    /// `[/ref]`, at their end.
    Close(Range<usize>),
    /// `Ref: MARK` in groups, at the end of a footer.
    Line(String, Range<usize>),
}

/// The ends of footers in a text, in order.
struct Brackets<'a> {
    text: &'a str,
    anchors: Anchors<'a>,
    html: bool,
    at: usize,
}

impl<'a> Brackets<'a> {
    fn new(text: &'a str, html: bool) -> Self {
        // As they are, as entities, and full-width in UTF-8.
        Self { text, anchors: Anchors::new(text.as_bytes(), *b"[:&"), html, at: 0 }
    }

    fn read(&self, start: usize) -> Option<Bracket> {
        let (c, at) = forward(self.text, start, self.html)?;
        if c == ':' {
            return self.line(start, at);
        }
        if c != '[' {
            return None;
        }
        let mut reader = Reader { text: self.text, html: self.html, at };
        if reader.one('/') {
            return reader.word("ref]").then_some(Bracket::Close(start..reader.at));
        }
        if !reader.word("ref:") {
            return None;
        }
        reader.spaces();
        let mark = reader.base32(MARK)?;
        reader.spaces();
        reader.one(']').then_some(Bracket::Open(mark, start..reader.at))
    }

    /// `Ref: MARK` around a colon.
    fn line(&self, colon: usize, after: usize) -> Option<Bracket> {
        let mut start = colon;
        for want in ['f', 'e', 'r'] {
            let (c, before) = backward(self.text, start, 0, self.html)?;
            if c != want {
                return None;
            }
            start = before;
        }
        let mut reader = Reader { text: self.text, html: self.html, at: after };
        reader.spaces();
        let mut mark = String::with_capacity(MARK);
        while mark.len() < MARK {
            if !mark.is_empty() && !reader.one('-') {
                return None;
            }
            mark.push_str(&reader.base32(GROUP)?);
        }
        // Other people's references go on.
        let next = forward(self.text, reader.at, self.html).map(|(c, _)| c);
        let ends = next.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
        ends.then_some(Bracket::Line(mark, start..reader.at))
    }
}

impl Iterator for Brackets<'_> {
    type Item = Bracket;
    fn next(&mut self) -> Option<Bracket> {
        loop {
            if work::is_over() {
                return None;
            }
            let start = self.anchors.next(self.at)?;
            work::count(ANCHOR);
            self.at = start + 1;
            if let Some(found) = self.read(start) {
                let (Bracket::Open(_, range) | Bracket::Line(_, range) | Bracket::Close(range)) = &found;
                self.at = range.end;
                return Some(found);
            }
        }
    }
}

/// An acting address, with what its link asks for.
struct Found {
    purpose: Purpose,
    token: String,
    range: Range<usize>,
}

/// The acting addresses in a text, in order.
struct Addresses<'a> {
    text: &'a str,
    anchors: Anchors<'a>,
    html: bool,
    at: usize,
}

impl<'a> Addresses<'a> {
    fn new(text: &'a str, html: bool) -> Self {
        Self { text, anchors: Anchors::new(text.as_bytes(), *b"+%&"), html, at: 0 }
    }

    fn read(&self, plus: usize) -> Option<Found> {
        let (c, at) = forward(self.text, plus, self.html)?;
        if c != '+' {
            return None;
        }
        let mut reader = Reader { text: self.text, html: self.html, at };
        let token = reader.base32(TOKEN)?;
        if !reader.one('@') {
            return None;
        }
        let (mut start, mut word) = (plus, String::new());
        while let Some((c, before)) = backward(self.text, start, 0, self.html).filter(|(c, _)| c.is_ascii_lowercase()) {
            word.insert(0, c);
            start = before;
            if word.len() > 8 {
                return None;
            }
        }
        let purpose = Purpose::of_word(&word)?;
        reader.domain();
        let mut end = reader.at;
        if reader.word("?subject=") {
            end = reader.at;
            let rest = self.text.get(end..).unwrap_or("");
            let is_query = |c: &char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '<' | '>' | ')' | ']' | '\0');
            let length: usize = rest.chars().take(LONGEST_QUERY).take_while(is_query).map(char::len_utf8).sum();
            work::count(length);
            end += length;
        }
        Some(Found { purpose, token, range: start..end })
    }
}

impl Iterator for Addresses<'_> {
    type Item = Found;
    fn next(&mut self) -> Option<Found> {
        loop {
            let plus = self.anchors.next(self.at)?;
            work::count(ANCHOR);
            self.at = plus + 1;
            if let Some(found) = self.read(plus) {
                self.at = found.range.end;
                return Some(found);
            }
        }
    }
}

/// Reads written characters, over whatever does not show.
struct Reader<'a> {
    text: &'a str,
    html: bool,
    at: usize,
}

impl Reader<'_> {
    fn one(&mut self, want: char) -> bool {
        match forward_over_gap(self.text, self.at, self.html) {
            Some((c, end)) if c == want => {
                self.at = end;
                true
            }
            _ => false,
        }
    }

    fn word(&mut self, want: &str) -> bool {
        want.chars().all(|c| self.one(c))
    }

    fn spaces(&mut self) {
        for _ in 0..3 {
            if !(self.one(' ') || self.one('\u{a0}') || self.one('\u{3000}')) {
                break;
            }
        }
    }

    /// So many characters of base 32, and no more.
    fn base32(&mut self, count: usize) -> Option<String> {
        let mut out = String::with_capacity(count);
        for _ in 0..count {
            let (c, end) = forward_over_gap(self.text, self.at, self.html)?;
            if !matches!(c, 'a'..='z' | '2'..='7') {
                return None;
            }
            out.push(c);
            self.at = end;
        }
        Some(out)
    }

    /// The rest of an address. A full stop at the end is the sentence's.
    fn domain(&mut self) {
        let mut dots = 0;
        while let Some((c, end)) = forward(self.text, self.at, self.html).filter(|_| dots < 64) {
            work::count(1);
            match c {
                '.' => {
                    let goes_on = forward(self.text, end, self.html).is_some_and(|(c, _)| c.is_alphanumeric());
                    if !goes_on {
                        return;
                    }
                    dots += 1;
                }
                c if c.is_alphanumeric() || c == '-' => {}
                _ => return,
            }
            self.at = end;
        }
    }
}
