//! The names and addresses of an erased person in a text: where they stand, and the text without
//! them.

use super::ERASED;
use crate::message::scrub::{Replacement, backward, forward, forward_over_gap, scrub, scrub_name};
use crate::message::search::is_dense;
use crate::message::splice::spliced;
use crate::types::{AddressKey, Alias};
use std::ops::Range;

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

    /// The same; `html`: entities are read, and the names of tags are left alone.
    pub(super) fn without_in(&self, text: &str, html: bool) -> Option<String> {
        let scrubbed = scrub(text, html, &self.addresses);
        let named = self.find_names(scrubbed.as_deref().unwrap_or(text), html);
        if named.is_empty() {
            return scrubbed;
        }
        Some(cut(scrubbed.as_deref().unwrap_or(text), &named))
    }

    /// The name of a file, where other signs than spaces part words. `None`: there was nothing.
    pub(super) fn without_in_name(&self, name: &str) -> Option<String> {
        let ending = |(_, ending): &(&str, &str)| ending.len() <= 5 && ending.chars().all(char::is_alphanumeric);
        let scrubbed = |text: &str| scrub_name(text, &self.addresses);
        // Before its ending an address may stand that the ending would hide.
        let scrubbed = match name.rsplit_once('.').filter(ending) {
            Some((stem, ending)) => scrubbed(stem).map(|stem| format!("{stem}.{ending}")).or_else(|| scrubbed(name)),
            None => scrubbed(name),
        };
        self.without(scrubbed.as_deref().unwrap_or(name)).or(scrubbed)
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

/// Whether a letter beside the end of a name makes it another word. Where words are not parted by
/// spaces, nothing does.
fn joins(beside: Option<char>, end: char) -> bool {
    !is_dense(end) && beside.is_some_and(|c| c.is_alphanumeric() && !is_dense(c))
}

/// The end of the white space at `at`, a line's end with quote marks included; where it is left
/// out, as in Japanese, `at`.
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
pub(super) fn cut(text: &str, ranges: &[Range<usize>]) -> String {
    spliced(text, ranges.iter().map(|range| (range.clone(), ERASED)))
}
