//! Which lines of a copy stand in a quote word for word, however they are wrapped there.
//!
//! Both are compared without white space and marks. The quote is read from its beginning: where one
//! of its lines begins like one of the copy's, both are followed as long as they are the same. Each
//! octet is looked at a bounded number of times.

use super::stream::{Copy, Stream, holds_address};
use crate::message::work;
use std::collections::HashMap;
use std::ops::Range;

/// A whole line of the copy in the quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) quote: Range<usize>,
    /// Its number in the copy.
    pub(super) line: usize,
    /// Octets of the copy around it that stand in the quote as well.
    pub(super) weight: usize,
    /// What a program put inside.
    pub(super) notes: Vec<Note>,
}

/// Something in brackets that a program put into a quote: `<mailto:…>` behind a link's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) quote: Range<usize>,
    /// Before this place of the copy.
    pub(super) copy: usize,
}

/// Both in step.
#[derive(Debug, Default)]
struct Run {
    quote: Range<usize>,
    copy: Range<usize>,
    notes: Vec<Note>,
}

/// Places of the copy that are tried for one line of the quote.
const TRIED: usize = 4;
/// Characters by which a line is known that is longer in one of both.
const HEAD: usize = 8;
/// Steps that an octet of both costs.
const COMPARING: usize = 4;
/// Octets of a note at most.
const NOTE: usize = 1024;

/// The lines of `copy` in which an address may stand and that stand in `quote`, each once: where
/// most of what is around it does as well, or else the last time. Headers over quotes come before
/// what they head, and the copy's author may have written what such a header says.
pub(super) fn align(quote: &Stream, copy: &Copy) -> Vec<Match> {
    let copied = &copy.stream;
    work::count((quote.text.len() + copied.text.len()) * COMPARING);
    if work::is_over() {
        return Vec::new();
    }
    let with_attributes: Vec<usize> = copied.attributes.iter().map(|attribute| copied.line_of(attribute.at)).collect();
    let matters: Vec<bool> = (0..copied.lines.len())
        .map(|n| {
            copied.text.get(copied.line_at(n)).is_some_and(holds_address) || with_attributes.binary_search(&n).is_ok()
        })
        .collect();
    if !matters.contains(&true) {
        return Vec::new();
    }
    let mut best: HashMap<usize, Match> = HashMap::new();
    for run in runs(quote, copied) {
        // Octets of the notes before each, and of all.
        let sums: Vec<usize> = std::iter::once(0)
            .chain(run.notes.iter().scan(0, |sum, note| {
                *sum += note.quote.len();
                Some(*sum)
            }))
            .collect();
        let before = |at: usize| run.notes.partition_point(|note| note.copy <= at);
        let first = copied.lines.partition_point(|start| *start < run.copy.start);
        for n in first..copied.lines.len() {
            let line = copied.line_at(n);
            if line.end > run.copy.end {
                break;
            }
            let place = |at: usize| {
                let notes = sums.get(before(at)).copied().unwrap_or(0);
                run.quote.start + (at - run.copy.start) + notes
            };
            let found = place(line.start)..place(line.end);
            // The line ends there, or the next one follows.
            let ends = quote.is_line_end(found.end) || copied.line_at(n + 1).end <= run.copy.end;
            if !matters.get(n).copied().unwrap_or(false) || !ends {
                continue;
            }
            let notes = run.notes.get(before(line.start)..before(line.end)).unwrap_or(&[]).to_vec();
            let found = Match { quote: found, line: n, weight: run.copy.len(), notes };
            if best.get(&n).is_none_or(|known| found.weight >= known.weight) {
                best.insert(n, found);
            }
        }
    }
    let mut found: Vec<Match> = best.into_values().collect();
    found.sort_by_key(|found| found.quote.start);
    found
}

fn head(text: &str, at: usize) -> Option<&str> {
    let rest = text.get(at..)?;
    let (end, _) = rest.char_indices().nth(HEAD)?;
    rest.get(..end)
}

fn runs(quote: &Stream, copy: &Stream) -> Vec<Run> {
    let (mut lines, mut heads) = (HashMap::<&str, Vec<usize>>::new(), HashMap::<&str, Vec<usize>>::new());
    for n in 0..copy.lines.len() {
        let line = copy.line_at(n);
        lines.entry(copy.text.get(line.clone()).unwrap_or("")).or_default().push(line.start);
        if let Some(head) = head(&copy.text, line.start) {
            heads.entry(head).or_default().push(line.start);
        }
    }
    let mut runs: Vec<Run> = Vec::new();
    let (mut next, mut expected) = (0, 0);
    for n in 0..quote.lines.len() {
        let line = quote.line_at(n);
        if line.start < next {
            continue;
        }
        let near = |places: Option<&Vec<usize>>| {
            let places = places.map_or(&[][..], Vec::as_slice);
            let after = places.partition_point(|at| *at < expected);
            let (before, after) = places.split_at_checked(after).unwrap_or((places, &[]));
            after.iter().take(TRIED).chain(before.iter().take(TRIED)).copied().collect::<Vec<_>>()
        };
        let whole = near(lines.get(quote.text.get(line.clone()).unwrap_or("")));
        let begun = near(head(&quote.text, line.start).and_then(|head| heads.get(head)));
        // Where the last one ended, if this is where it would go on.
        let on = (line.start == next && expected > 0).then_some(expected);
        let tried = on.into_iter().chain(whole).chain(begun).map(|at| follow(quote, line.start, copy, at));
        let found = tried.reduce(|best, other| if other.copy.len() > best.copy.len() { other } else { best });
        let Some(run) = found.filter(|run| !run.copy.is_empty()) else { continue };
        // A line of which only the beginning is the same is tried by itself.
        let last = quote.line_of(run.quote.end.saturating_sub(1));
        let cut = quote.line_at(last).start;
        next = if quote.is_line_end(run.quote.end) || cut <= line.start { run.quote.end } else { cut };
        expected = run.copy.end - (run.quote.end - next).min(run.copy.len());
        runs.push(run);
    }
    runs
}

/// How far both are the same from here on.
fn follow(quote: &Stream, from: usize, copy: &Stream, at: usize) -> Run {
    let mut run = Run { quote: from..from, copy: at..at, notes: Vec::new() };
    loop {
        let same = same(quote.text.get(run.quote.end..).unwrap_or(""), copy.text.get(run.copy.end..).unwrap_or(""));
        run.quote.end += same;
        run.copy.end += same;
        let Some(note) = note(quote, run.quote.end, copy, run.copy.end) else { return run };
        run.notes.push(Note { quote: run.quote.end..note, copy: run.copy.end });
        run.quote.end = note;
    }
}

/// Octets of the characters that both begin with.
fn same(a: &str, b: &str) -> usize {
    let mut length = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !a.is_char_boundary(length) {
        length -= 1;
    }
    length
}

/// The end of a note at this place of the quote, if both go on behind it.
fn note(quote: &Stream, at: usize, copy: &Stream, place: usize) -> Option<usize> {
    let text = quote.text.get(at..)?;
    let close = match text.as_bytes().first()? {
        b'<' => b'>',
        b'[' => b']',
        _ => return None,
    };
    let inside = text.as_bytes().get(..text.len().min(NOTE))?;
    let end = at + memchr::memchr(close, inside)? + 1;
    let after = quote.text.get(end..)?.chars().next();
    let next = copy.text.get(place..)?.chars().next();
    let goes_on = after.is_some() && after == next || quote.is_line_end(end) && copy.is_line_end(place);
    goes_on.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::replacements::Marks;

    /// The lines of a copy that stand in a quote, as they are written in it.
    fn found(copy: &str, quote: &str) -> Vec<(usize, String)> {
        let copy = Copy::read(copy, super::super::Kind::Text, &Marks::new(&[1; 12]), &[]);
        let stream = Stream::of_text(quote);
        let words = |found: Match| (found.line, quote[stream.source(&found.quote)].to_owned());
        align(&stream, &copy).into_iter().map(words).collect()
    }

    fn lines(found: &[(usize, String)]) -> Vec<usize> {
        found.iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn lines_are_found_as_they_are_and_wrapped() {
        let copy = "Hello,\nplease tell me whether a@b.test is yours, or rather c@d.test.\na@b.test\nBye\n";
        // quote, lines of the copy in it
        let cases = [
            (
                "> Hello,\n> please tell me whether a@b.test is yours, or rather c@d.test.\n> a@b.test\n> Bye",
                vec![1, 2],
            ),
            (
                "> Hello,\n> please tell me whether a@b.test\n> is yours, or rather c@d.test.\n> a@b.test\n> Bye",
                vec![1, 2],
            ),
            (
                ">> Hello, please tell me whether\n>> a@b.test is yours, or rather\n>> c@d.test. a@b.test Bye",
                vec![1, 2],
            ),
            ("> please tell me whether a@b.test is yours, or rather c@d.test.", vec![1]),
            ("> a@b.test", vec![2]),
            ("  Hello,\n\n  please tell me whether\u{a0}a@b.test is yours,  or rather c@d.test.", vec![1]),
            (
                "> please tell me whether a@b.test<mailto:a@b.test> is yours, or rather c@d.test [mailto:c@d.test].",
                vec![1],
            ),
            ("> something else\n> a@b.test", vec![2]),
            // Not word for word.
            ("> please tell me whether a@b.test is yours, or rather c@d.test. No.", vec![]),
            ("> please tell me whether A@b.test is yours, or rather c@d.test.", vec![]),
            ("> a@b.test.", vec![]),
            ("> my a@b.test", vec![]),
            ("> a@b.test is mine", vec![]),
        ];
        for (quote, want) in cases {
            assert_eq!(lines(&found(copy, quote)), want, "{quote}");
        }
    }

    #[test]
    fn lines_that_look_alike_are_told_apart_by_what_is_around_them() {
        let copy = "x@y.test\none\nx@y.test\ntwo\nx@y.test\n";
        assert_eq!(lines(&found(copy, "> x@y.test\n> one\n> x@y.test\n> two\n> x@y.test")), [0, 2, 4]);
        assert_eq!(lines(&found(copy, "> one\n> x@y.test\n> two")), [2]);
        assert_eq!(lines(&found(copy, "> two\n> x@y.test")), [4]);
        // A header says what the copy says below it.
        let header = "From: A\nTo: x@y.test\nSubject: s\n\nTo: x@y.test\n";
        let got = align(
            &Stream::of_text(header),
            &Copy::read("To: x@y.test\n", super::super::Kind::Text, &Marks::new(&[1; 12]), &[]),
        );
        let [only] = got.as_slice() else { panic!("{got:?}") };
        assert_eq!(only.quote.end, Stream::of_text(header).text.len());
    }

    #[test]
    fn storms_cost_little() {
        let copy = "x@y.test\n".repeat(50_000);
        for quote in ["> x@y.test\n", "> x@y.tes\n", "> x@y.test x\n", "> x@y.test<\n", "> x@y.test<x> \n"] {
            let _ = found(&copy, &quote.repeat(50_000));
        }
    }
}
