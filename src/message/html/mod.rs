//! HTML parts: what acts or spies goes out, real addresses are replaced, also where tags stand inside them.
//!
//! `active` rewrites elements and attributes, `style` style sheets (`sheet`, `declarations`),
//! `link` judges where links lead. `tokens` is a reader of our own, for what is nested too deep to
//! rewrite (`plain`), for addresses across tags, and for a footer under the author's part (`frame`,
//! `open`). All of it is linear in the size of the document.
//!
//! Not here: charsets and transfer encodings, what `cid:` links lead to, what a footer says.

mod active;
mod declarations;
mod frame;
mod hollow;
mod link;
mod open;
mod plain;
mod sheet;
mod size;
mod style;
pub(super) mod tokens;
mod walk;

pub(super) use frame::{Look, page};
pub(super) use link::decode;
pub(super) use walk::{Quotes, Tag, attributes, entity, read_entities, unquoted_lines, walk};

use super::hints::Hints;
use super::replacements::Replacements;
use super::scrub::find;
use super::splice::spliced;
use super::{Shared, work};
use super::{encoded, entities};
use std::borrow::Cow;
use std::ops::Range;
use tokens::{Token, Tokens};

/// Cleans an HTML document or fragment. `None`: nothing had to change, the original may be sent as it is. What is changed says that it is UTF-8, if it says
/// anything about charsets. A document that is nested too deep becomes its own text.
#[must_use]
pub fn clean(html: &str, replacements: &Replacements) -> Option<String> {
    clean_copy(html, replacements, &mut Shared::default())
}

/// [`clean`] for one of several receivers.
pub(super) fn clean_copy(html: &str, replacements: &Replacements, shared: &mut Shared) -> Option<String> {
    let short = entities::shortened(html);
    let html = &*short;
    let mut changed = shared.page(html, |html| {
        let rewritten = if plain::too_complex(html) { None } else { active::clean(html).ok() };
        rewritten.unwrap_or_else(|| Some(plain::render(html)))
    });
    let hints = Hints::of(changed.as_deref().unwrap_or(html).as_bytes());
    if let Some(scrubbed) = replacements.scrub_known(changed.as_deref().unwrap_or(html), true, hints) {
        changed = Some(scrubbed);
    }
    if let Some(scrubbed) = scrub_across_tags(changed.as_deref().unwrap_or(html), replacements) {
        changed = Some(scrubbed);
    }
    let changed = encoded::scrub(changed.as_deref().unwrap_or(html), hints, replacements.of_author()).or(changed);
    changed.or(match short {
        Cow::Owned(short) => Some(short),
        Cow::Borrowed(_) => None,
    })
}

/// Only replaces addresses: what acts in a page that somebody saved as a file is left to it.
#[must_use]
pub(super) fn addresses(html: &str, replacements: &Replacements) -> Option<String> {
    let html = &*entities::shortened(html);
    let scrubbed = replacements.scrub(html, true);
    scrub_across_tags(scrubbed.as_deref().unwrap_or(html), replacements).or(scrubbed)
}

/// Replaces the author's addresses that have tags inside: `<b>name</b>@<wbr>home.example`. The tags
/// stay, which would tell of the receiver's.
fn scrub_across_tags(html: &str, replacements: &Replacements) -> Option<String> {
    let (text, places) = visible(html);
    let found = find(&text, true, replacements.of_author());
    let mut words = Vec::with_capacity(found.len());
    for (range, alias) in found {
        let word = replacements.instead(text.get(range.clone()).unwrap_or(""), alias);
        words.push((range, word));
    }
    (!words.is_empty()).then(|| replaced(html, &places, words.iter().map(|(range, word)| (range.clone(), &**word))))
}

/// `html` without what `find` finds in its visible text, in order, and without the boxes that held
/// nothing else; other tags stay. `None`: it found nothing.
#[must_use]
pub(super) fn without(html: &str, find: impl FnOnce(&str) -> Vec<Range<usize>>) -> Option<String> {
    let (text, places) = visible(html);
    let found = find(&text);
    if found.is_empty() {
        return None;
    }
    let words: Vec<Vec<Range<usize>>> = found.into_iter().map(|range| stretches(&places, range).collect()).collect();
    let around = |words: &Vec<Range<usize>>| words.first().map_or(0, |w| w.start)..words.last().map_or(0, |w| w.end);
    let ranges: Vec<Range<usize>> = words.iter().map(around).collect();
    let whole = hollow::emptied(html, &ranges);
    let gone = words.into_iter().zip(whole).flat_map(|(words, whole)| whole.map_or(words, |whole| vec![whole]));
    Some(spliced(html, gone.map(|gone| (gone, ""))))
}

/// A stretch of visible text: where it begins in it, and where it stands in the document.
pub(super) type Place = (usize, Range<usize>);

/// The text between the tags, entities as they are, NUL where a block begins or ends; and where each stretch of it is.
#[must_use]
pub(super) fn visible(html: &str) -> (String, Vec<Place>) {
    let mut text = String::new();
    let mut places = Vec::new();
    for token in Tokens::new(html) {
        match token {
            Token::Text(range) => {
                work::skip(range.len());
                places.push((text.len(), range.clone()));
                text.push_str(html.get(range).unwrap_or(""));
            }
            Token::Open(name) | Token::Close(name) if !plain::is_inline(name) => text.push('\0'),
            _ => {}
        }
    }
    (text, places)
}

/// Where the text between the tags stands.
#[must_use]
pub(super) fn words(html: &str) -> Vec<Range<usize>> {
    let text = |token| if let Token::Text(range) = token { Some(range) } else { None };
    Tokens::new(html).filter_map(text).collect()
}

/// Where the characters of a range of the visible text stand.
fn stretches(places: &[Place], range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    let mut next = places.partition_point(|(start, _)| *start <= at);
    std::iter::from_fn(move || {
        work::count(8);
        let (start, place) = next.checked_sub(1).and_then(|n| places.get(n)).filter(|_| at < range.end)?;
        let stop = places.get(next).map_or(range.end, |(start, _)| *start).min(range.end);
        // What marks a block's end between two stretches stands for a tag, which stays.
        let [from, to] = [at, stop].map(|at| (place.start + (at - start)).min(place.end));
        (at, next) = (stop, next + 1);
        Some(from..to)
    })
}

/// `html` with other text in place of ranges of its visible text.
fn replaced<'a>(html: &str, places: &[Place], found: impl IntoIterator<Item = (Range<usize>, &'a str)>) -> String {
    let edits = found.into_iter().flat_map(|(range, mut instead)| {
        stretches(places, range).map(move |stretch| (stretch, std::mem::take(&mut instead)))
    });
    spliced(html, edits)
}

#[cfg(test)]
pub(super) mod tests;
