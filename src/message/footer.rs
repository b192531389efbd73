//! The footer of what a party receives, and how footers, thread marks and acting addresses are found again in what the party writes: they are
//! the receiver's own and never go out to the other side, also not quoted.
//!
//! ```text
//! [ref:bbqxerik4m2fdq7opkxa2zzt] Please keep this line when you answer.
//! Seller: Sato Shop
//! Report this message: report+…@market.example
//! [/ref]
//! ```
//! The words are in the receiver's language, the brackets and what is in them never change: between the two everything is footer, whatever a mail program made of it when it
//! quoted. Reading is as tolerant as `scrub`: any case, full-width forms, entities, quote marks and line breaks inside, tags inside.
//!
//! Not here: who made a mark, and for whom (`types::token`).

use super::anchors::Anchors;
use super::html;
use super::scrub::{backward, forward, forward_over_gap};
use super::text::shown_name;
use super::work;
use crate::types::html_escaped;
use crate::types::token::{MARK, Purpose, TOKEN};
use std::fmt::Write as _;
use std::ops::Range;

/// What goes under the text. Labels are one line each, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The thread mark.
    pub mark: String,
    /// Asks to keep the mark.
    pub keep: String,
    /// Who wrote to a buyer: mail programs hide the address that a name in `From` stands for, and forwarded mail loses both.
    pub seller: Option<Seller>,
    /// Addresses that act.
    pub actions: Vec<Action>,
}

/// The company that wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// "Seller", in the reader's words.
    pub label: String,
    /// Its name, as registered.
    pub name: String,
}

impl Seller {
    /// `Seller: Sato Shop`. A name with brackets in it ends no footer.
    fn line(&self) -> String {
        format!("{}: {}", self.label, shown_name(&self.name.replace(['[', ']', '\u{ff3b}', '\u{ff3d}'], " ")))
    }
}

/// An address that acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it is for.
    pub purpose: Purpose,
    /// What it is for, in the reader's words.
    pub label: String,
    /// `report+TOKEN@domain`.
    pub address: String,
}

/// Marks of one message that are looked at: the first ones. Quotes of quotes repeat the same one.
pub const MARKS: usize = 16;
/// Octets from the beginning of a footer to its end at most, with quote marks, and whatever a mail program puts around links.
const LONGEST: usize = 6000;
/// Steps of a place where something of ours might stand.
const ANCHOR: usize = 10;
/// Octets before an acting address on its line at most, if they are a label.
const LONGEST_LABEL: usize = 200;

/// The author's style sheet cannot hide what the receiver needs to complain.
const STYLE: &str =
    "display:block!important;visibility:visible!important;color:#777!important;font-size:small!important";

impl Footer {
    /// The address for `purpose`, if there is one.
    #[must_use]
    pub fn address(&self, purpose: Purpose) -> Option<&str> {
        self.actions.iter().find(|action| action.purpose == purpose).map(|action| action.address.as_str())
    }

    /// What goes under `text`, from the line end that it lacks on: the text may be large, and is not copied for it.
    #[must_use]
    pub fn under_text(&self, text: &str) -> String {
        let gap = if text.ends_with('\n') || text.is_empty() { "\r\n" } else { "\r\n\r\n" };
        let mut out = format!("{gap}[ref:{}] {}\r\n", self.mark, self.keep);
        if let Some(seller) = &self.seller {
            let _ = write!(out, "{}\r\n", seller.line());
        }
        for action in &self.actions {
            let _ = write!(out, "{}: {}\r\n", action.label, action.address);
        }
        out.push_str("[/ref]\r\n");
        out
    }

    /// `html` with the footer at its end.
    #[must_use]
    pub fn under_html(&self, html: &str) -> String {
        let (at, end_tags) = html::bottom(html);
        let (before, after) = html.split_at_checked(at).unwrap_or((html, ""));
        let mut out = String::with_capacity(html.len() + 1024);
        let _ = write!(
            out,
            "{before}{end_tags}<div style=\"{STYLE}\"><br>[ref:{}] {}<br>\r\n",
            self.mark,
            html_escaped(&self.keep)
        );
        if let Some(seller) = &self.seller {
            let _ = write!(out, "{}<br>\r\n", html_escaped(&seller.line()));
        }
        for action in &self.actions {
            let (address, word, label) = (&action.address, action.purpose.word(), html_escaped(&action.label));
            let _ = write!(out, "<a href=\"mailto:{address}?subject={word}\">{label}</a><br>\r\n");
        }
        let _ = write!(out, "[/ref]</div>\r\n{after}");
        out
    }
}

/// Adds the thread marks that show in `text` to `found`, each once, until there are [`MARKS`]. They may be anybody's, or nobody's.
pub fn marks(text: &str, is_html: bool, found: &mut Vec<String>) {
    let visible = is_html.then(|| html::visible(text).0);
    let text = visible.as_deref().unwrap_or(text);
    for bracket in Brackets::new(text, is_html) {
        if found.len() >= MARKS {
            return;
        }
        if let Bracket::Open(mark, _) = bracket
            && !found.contains(&mark)
        {
            found.push(mark);
        }
    }
}

/// Passes over a text at most: what is taken out may leave the halves of something else side by side.
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
        return (!found.is_empty()).then(|| without(text, &found));
    }
    let shown = html::without(text, |visible| footers(visible, true, false));
    // What is left stands in attributes: links.
    let rest = shown.as_deref().unwrap_or(text);
    let links: Vec<_> = Addresses::new(rest, true).collect();
    if links.is_empty() { shown } else { Some(without(rest, &links)) }
}

fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        out.push_str(text.get(done..range.start).unwrap_or(""));
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    out
}

/// What belongs to footers in `text`, in order: whole ones, and what is left of others. `lines`: with the line around a lone address.
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
        }
    }
    let inside = |at: usize| {
        let next = ranges.partition_point(|range| range.start <= at);
        next.checked_sub(1).and_then(|n| ranges.get(n)).is_some_and(|range| at < range.end)
    };
    let lone: Vec<_> = Addresses::new(text, is_html).filter(|range| !inside(range.start)).collect();
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

/// The line that an address stands in, without its quote marks and its end, if it is short and says nothing behind the address: it is a label's.
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

/// One end of a footer.
enum Bracket {
    /// The mark, in lower case.
    Open(String, Range<usize>),
    Close(Range<usize>),
}

/// The ends of footers in a text, in order.
struct Brackets<'a> {
    text: &'a str,
    html: bool,
    at: usize,
}

impl<'a> Brackets<'a> {
    fn new(text: &'a str, html: bool) -> Self {
        Self { text, html, at: 0 }
    }

    fn read(&self, start: usize) -> Option<Bracket> {
        let (c, at) = forward(self.text, start, self.html)?;
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
}

impl Iterator for Brackets<'_> {
    type Item = Bracket;
    fn next(&mut self) -> Option<Bracket> {
        loop {
            if work::is_over() {
                return None;
            }
            let rest = self.text.as_bytes().get(self.at..)?;
            // As it is, as an entity, and full-width in UTF-8.
            let found = memchr::memchr3(b'[', b'&', 0xef, rest);
            work::count(ANCHOR + found.unwrap_or(rest.len()) / 16);
            let start = self.at + found?;
            self.at = start + 1;
            if let Some(found) = self.read(start) {
                let (Bracket::Open(_, range) | Bracket::Close(range)) = &found;
                self.at = range.end;
                return Some(found);
            }
        }
    }
}

/// The acting addresses in a text, in order, each with the subject that its link asks for.
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

    fn read(&self, plus: usize) -> Option<Range<usize>> {
        let (c, at) = forward(self.text, plus, self.html)?;
        if c != '+' {
            return None;
        }
        let mut reader = Reader { text: self.text, html: self.html, at };
        reader.base32(TOKEN)?;
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
        Purpose::of_word(&word)?;
        reader.domain();
        let end = reader.at;
        if reader.word("?subject=") {
            while let Some((_, next)) =
                forward(self.text, reader.at, self.html).filter(|(c, _)| c.is_ascii_alphanumeric())
            {
                work::count(1);
                reader.at = next;
            }
            return Some(start..reader.at);
        }
        Some(start..end)
    }
}

impl Iterator for Addresses<'_> {
    type Item = Range<usize>;
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let plus = self.anchors.next(self.at)?;
            work::count(ANCHOR);
            self.at = plus + 1;
            if let Some(found) = self.read(plus) {
                self.at = found.end;
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

#[cfg(test)]
mod tests;
