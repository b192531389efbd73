//! HTML parts: what acts or spies goes out, real addresses are replaced, also where tags stand inside them.
//!
//! `active` rewrites elements and attributes, `style` style sheets, `link` judges where links lead. `tokens` is a reader of our own, for what is nested too
//! deep to rewrite (`plain`) and for addresses across tags. All of it is linear in the size of the document.
//!
//! Not here: charsets and transfer encodings, what `cid:` links lead to, the footer.

mod active;
mod link;
mod plain;
mod style;
pub(super) mod tokens;
mod walk;

pub(super) use link::decode;
pub(super) use walk::{Quotes, Tag, attributes, entity, read_entities, unquoted_lines, walk};

use super::encoded;
use super::replacements::Replacements;
use super::scrub::find;
use super::{Shared, work};
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
    let mut changed = shared.page(html, |html| {
        let rewritten = if plain::too_complex(html) { None } else { active::clean(html).ok() };
        rewritten.unwrap_or_else(|| Some(plain::render(html)))
    });
    if let Some(scrubbed) = replacements.scrub(changed.as_deref().unwrap_or(html), true) {
        changed = Some(scrubbed);
    }
    if let Some(scrubbed) = scrub_across_tags(changed.as_deref().unwrap_or(html), replacements) {
        changed = Some(scrubbed);
    }
    encoded::scrub(changed.as_deref().unwrap_or(html), replacements.of_author()).or(changed)
}

/// Only replaces addresses: what acts in a page that somebody saved as a file is left to it.
#[must_use]
pub(super) fn addresses(html: &str, replacements: &Replacements) -> Option<String> {
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

/// `html` without what `find` finds in its visible text, in order. The tags stay. `None`: it found nothing.
#[must_use]
pub(super) fn without(html: &str, find: impl FnOnce(&str) -> Vec<Range<usize>>) -> Option<String> {
    let (text, places) = visible(html);
    let found = find(&text);
    (!found.is_empty()).then(|| replaced(html, &places, found.into_iter().map(|range| (range, ""))))
}

/// Where something may be put under a document, and the end tags to put before it: whatever the document leaves open, it shows.
#[must_use]
pub(super) fn bottom(html: &str) -> (usize, String) {
    let mut end = html.len();
    for tag in ["</html>", "</body>"] {
        let before = html.get(..end).unwrap_or("").trim_end();
        let start = before.len().saturating_sub(tag.len());
        if before.get(start..).is_some_and(|last| last.eq_ignore_ascii_case(tag)) {
            end = start;
        }
    }
    (end, plain::end_tags(html.get(..end).unwrap_or("")))
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

/// `html` with other text in place of ranges of its visible text.
fn replaced<'a>(html: &str, places: &[Place], found: impl IntoIterator<Item = (Range<usize>, &'a str)>) -> String {
    let mut out = String::with_capacity(html.len());
    let mut done = 0;
    for (range, instead) in found {
        let mut at = range.start;
        let mut next = places.partition_point(|(start, _)| *start <= at);
        let mut instead = instead;
        while at < range.end {
            work::count(8);
            let Some((start, place)) = next.checked_sub(1).and_then(|n| places.get(n)) else { break };
            let stop = places.get(next).map_or(range.end, |(start, _)| *start).min(range.end);
            // What marks a block's end between two stretches stands for a tag, which stays.
            let [from, to] = [at, stop].map(|at| (place.start + (at - start)).min(place.end));
            out.push_str(html.get(done..from).unwrap_or(""));
            out.push_str(std::mem::take(&mut instead));
            done = to;
            at = stop;
            next += 1;
        }
    }
    out.push_str(html.get(done..).unwrap_or(""));
    out
}

#[cfg(test)]
pub(super) mod tests;
