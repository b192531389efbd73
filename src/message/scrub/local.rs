//! The local part of an address in a text: where it begins before an `@`, with its tag and quotes.

use super::super::work;
use super::super::written::{Reading, plain};
use super::{Replacement, is_space};
use crate::types::spelling::is_filler;

/// Characters of a tag that are read at most.
const TAG: usize = 160;
/// Signs in a local part that are passed over.
const FILLERS: usize = 64;

/// A local part that is looked for.
pub(super) struct Local<'t, 'r> {
    pub(super) text: &'t str,
    pub(super) reading: Reading,
    /// Nothing before it is read.
    pub(super) floor: usize,
    pub(super) replacement: &'r Replacement,
    /// Other signs than spaces part words.
    pub(super) name: bool,
}

impl Local<'_, '_> {
    /// The start of the local part, with its tag and quotes, if it is written before `at`.
    pub(super) fn start(&self, at: usize) -> Option<usize> {
        let mut position = self.reading.back_over_gap(self.text, at, self.floor);
        if !self.replacement.wide {
            return self.tagged(position);
        }
        for _ in 0..2 {
            match self.back(position).filter(|(c, _)| is_space(*c)) {
                Some((_, start)) => position = start,
                None => break,
            }
        }
        let quoted = || {
            let start = self.tagged(self.quote(position)?)?;
            Some(self.quote(start).unwrap_or(start))
        };
        quoted().or_else(|| self.tagged(position))
    }

    /// The end of the local part, if it is written at `at` and does not go on.
    pub(super) fn end(&self, at: usize) -> Option<usize> {
        let (mut position, mut fillers) = (at, 0);
        for want in &self.replacement.local {
            position = loop {
                if let Some(end) = self.reading.one_over_gap(self.text, position, *want) {
                    break end;
                }
                let (_, end) = self.reading.read(self.text, position).filter(|(c, _)| is_passed_over(*c))?;
                fillers += 1;
                position = Some(end).filter(|_| fillers < FILLERS)?;
            };
        }
        let next = self.reading.read(self.text, position);
        (!next.is_some_and(|(c, _)| c.is_alphanumeric())).then_some(position)
    }

    fn back(&self, at: usize) -> Option<(char, usize)> {
        self.reading.read_back(self.text, at, self.floor)
    }

    /// Before the quote that ends at `at`, however it is escaped.
    fn quote(&self, at: usize) -> Option<usize> {
        let (c, start) = self.back(at)?;
        let slashes = self.text.get(self.floor..start)?.bytes().rev().take(4).take_while(|b| *b == b'\\').count();
        matches!(plain(c), '"' | '\'' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}').then_some(start - slashes)
    }

    /// The start of the local part that ends at `at`, or before a tag that does.
    fn tagged(&self, at: usize) -> Option<usize> {
        if let Some(start) = self.local(at) {
            return Some(start);
        }
        let mut position = at;
        for _ in 0..TAG {
            work::count(1);
            let end = self.reading.back_over_gap(self.text, position, self.floor);
            let (c, start) = self.back(end)?;
            let c = plain(c);
            if !is_local(c) {
                return None;
            }
            position = start;
            let separates = c == '+' || self.replacement.wide && matches!(c, '-' | '=');
            if separates && let Some(start) = self.local(position) {
                return Some(start);
            }
        }
        None
    }

    /// The start of the local part that ends at `at`, if nothing before makes it another one.
    fn local(&self, at: usize) -> Option<usize> {
        let (mut position, mut fillers) = (at, 0);
        for want in self.replacement.local.iter().rev() {
            work::count(1);
            position = loop {
                if let Some(start) = self.reading.one_back_over_gap(self.text, position, self.floor, *want) {
                    break start;
                }
                let filler = self.back(self.reading.back_over_gap(self.text, position, self.floor));
                let (_, start) =
                    filler.filter(|(c, _)| self.replacement.wide && fillers < FILLERS && is_passed_over(*c))?;
                fillers += 1;
                position = start;
            };
        }
        (!self.joins(position)).then_some(position)
    }

    /// Whether what is before the local part makes it the end of another one: `bob` is not written
    /// in `jimbob`, unless a gap parts them. A letter of another alphabet does not; nor, in a
    /// file's name, does what parts words there; nor does a row of dots or dashes that leads to it.
    fn joins(&self, start: usize) -> bool {
        if self.reading.back_over_gap(self.text, start, self.floor) < start {
            return false;
        }
        let ascii = self.replacement.local.first().is_some_and(char::is_ascii);
        let is_letter = |c: char| if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() };
        let is_sign = |c: char| matches!(c, '.' | '-' | '_' | '+');
        let Some((c, before)) = self.back(start) else { return false };
        if is_letter(c) {
            return !self.replacement.wide || self.replacement.short;
        }
        if self.replacement.wide || self.name || !is_sign(c) {
            return false;
        }
        self.back(before).is_some_and(|(c, _)| is_letter(c))
    }
}

/// Whether a character of a local part does not count. An ideographic full stop parts sentences.
fn is_passed_over(c: char) -> bool {
    !matches!(c, '\u{3002}' | '\u{ff61}') && is_filler(plain(c))
}

fn is_local(c: char) -> bool {
    c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.\"".contains(c)
}
