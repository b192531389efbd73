//! The words of a file as people read them, with the place where each of them is written, so that
//! an address can be found in what is shown and replaced in what is written.
//!
//! Between stretches that markup parts stands a character that does not show: an address may run
//! over it, and begin or end at it (`<w:t>han</w:t></w:r><w:r><w:t>ako@…</w:t>`).

use crate::message::scrub::{Replacement, find};
use crate::message::work;
use std::ops::Range;

/// Stands where markup parts two stretches: WORD JOINER, which does not show.
const GAP: char = '\u{2060}';
/// Steps that a stretch costs.
const STRETCH: usize = 8;

/// What a file shows.
#[derive(Default)]
pub(super) struct Shown {
    text: String,
    stretches: Vec<Stretch>,
}

/// A stretch of what is shown.
struct Stretch {
    /// Where it begins in the text.
    begins: usize,
    /// Where it is written.
    source: Range<usize>,
    /// Written as one escape: it goes as a whole.
    whole: bool,
}

/// What is written in the place of what stood in a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) source: Range<usize>,
    pub(super) instead: String,
}

impl Shown {
    /// Adds words that are written as they are shown, from `at` on.
    pub(super) fn words(&mut self, words: &str, at: usize) {
        if words.is_empty() {
            return;
        }
        work::pack(STRETCH + words.len() / 4);
        let follows = self.stretches.last().is_some_and(|last| !last.whole && last.source.end == at);
        match self.stretches.last_mut().filter(|_| follows) {
            Some(last) => last.source.end += words.len(),
            None => {
                let source = at..at + words.len();
                self.stretches.push(Stretch { begins: self.text.len(), source, whole: false });
            }
        }
        self.text.push_str(words);
    }

    /// Adds a character that is written otherwise than it is shown.
    pub(super) fn character(&mut self, shown: char, source: Range<usize>) {
        work::pack(STRETCH);
        self.stretches.push(Stretch { begins: self.text.len(), source, whole: true });
        self.text.push(shown);
    }

    /// Adds what parts words and does not show.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(GAP) {
            let end = self.stretches.last().map_or(0, |last| last.source.end);
            self.stretches.push(Stretch { begins: self.text.len(), source: end..end, whole: true });
            self.text.push(GAP);
        }
    }

    /// What has to be written so that no address is shown; `entities`: those of HTML are read.
    pub(super) fn edits(&self, entities: bool, replacements: &[Replacement]) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (range, alias) in find(&self.text, entities, replacements) {
            let mut instead = alias;
            let first = self.stretches.partition_point(|stretch| stretch.begins <= range.start).saturating_sub(1);
            for (n, stretch) in self.stretches.iter().enumerate().skip(first) {
                work::pack(STRETCH);
                if stretch.begins >= range.end {
                    break;
                }
                let ends = self.stretches.get(n + 1).map_or(self.text.len(), |next| next.begins);
                let (from, to) = (range.start.max(stretch.begins), range.end.min(ends));
                let source = match stretch.whole {
                    true => stretch.source.clone(),
                    false => {
                        stretch.source.start + (from - stretch.begins)..stretch.source.start + (to - stretch.begins)
                    }
                };
                if !source.is_empty() {
                    edits.push(Edit { source, instead: std::mem::take(&mut instead).to_owned() });
                }
            }
        }
        edits
    }
}

/// `source` with these edits made, which are sorted here. One that stands in another is left out.
pub(super) fn edited(source: &[u8], mut edits: Vec<Edit>) -> Option<Vec<u8>> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|edit| (edit.source.start, edit.source.end));
    let mut out = Vec::with_capacity(source.len());
    let mut done = 0;
    for edit in edits.iter().filter(|edit| !edit.source.is_empty()) {
        if edit.source.start < done {
            continue;
        }
        out.extend_from_slice(source.get(done..edit.source.start).unwrap_or(&[]));
        out.extend_from_slice(edit.instead.as_bytes());
        done = edit.source.end;
    }
    out.extend_from_slice(source.get(done..).unwrap_or(&[]));
    Some(out)
}
