//! What is left around words that are taken out: a box that held nothing else goes with them.

use super::plain::is_void;
use super::tokens::{Token, Tokens};
use crate::message::work;
use std::ops::Range;

/// Elements that may go when they hold nothing more. A cell or a row would shift its neighbours.
const BOXES: &[&str] = &["div", "table", "p", "span", "font", "center", "section"];
/// Steps that a tag costs.
const TAG: usize = 20;

struct Tag<'a> {
    name: &'a str,
    close: bool,
    range: Range<usize>,
}

/// Each of `ranges`, in order, from the first word that is taken out to the last, with the tags
/// between and around that hold nothing else; as it is where tags in it belong to others.
pub(super) fn emptied(html: &str, ranges: &[Range<usize>]) -> Vec<Option<Range<usize>>> {
    let tags = tags(html);
    ranges.iter().map(|range| one(html, &tags, range)).collect()
}

fn tags(html: &str) -> Vec<Tag<'_>> {
    let (mut out, mut tokens) = (Vec::new(), Tokens::new(html));
    while let Some(token) = tokens.next() {
        work::count(TAG);
        let (name, close) = match token {
            Token::Open(name) => (name, false),
            Token::Close(name) => (name, true),
            _ => continue,
        };
        if !is_void(name) {
            out.push(Tag { name, close, range: tokens.tag_at()..tokens.at() });
        }
    }
    out
}

fn one(html: &str, tags: &[Tag<'_>], range: &Range<usize>) -> Option<Range<usize>> {
    let first = tags.partition_point(|tag| tag.range.start < range.start);
    let last = tags.partition_point(|tag| tag.range.start < range.end);
    let (before, rest) = tags.split_at_checked(first)?;
    let (inside, after) = rest.split_at_checked(last.saturating_sub(first))?;
    work::count(inside.len() * TAG);
    // What ends in it, and what begins: the same elements, or words of others would lose theirs.
    let (mut ends, mut begins): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for tag in inside {
        match begins.last() {
            Some(begun) if tag.close && begun.eq_ignore_ascii_case(tag.name) => {
                begins.pop();
            }
            _ if tag.close => ends.push(tag.name),
            _ => begins.push(tag.name),
        }
    }
    let empty = |from: usize, to: usize| html.get(from..to).is_some_and(|text| text.trim_ascii().is_empty());
    let (mut before, mut after) = (before.iter().rev().peekable(), after.iter().peekable());
    let mut around = range.clone();
    let is = |tag: &Tag<'_>, close: bool, name: &str| tag.close == close && tag.name.eq_ignore_ascii_case(name);
    // What ends in it begins at once before it, and what begins in it ends at once behind it.
    let mut held = true;
    for name in &ends {
        match before.next_if(|tag| is(tag, false, name) && empty(tag.range.end, around.start)) {
            Some(tag) => around.start = tag.range.start,
            None => held = false,
        }
    }
    for name in begins.iter().rev() {
        match after.next_if(|tag| is(tag, true, name) && empty(around.end, tag.range.start)) {
            Some(tag) => around.end = tag.range.end,
            None => held = false,
        }
    }
    if !held {
        let alike = ends.len() == begins.len()
            && ends.iter().rev().zip(&begins).all(|(end, begun)| end.eq_ignore_ascii_case(begun));
        return alike.then(|| range.clone());
    }
    let mut out = around.clone();
    for (begin, end) in before.zip(after) {
        let same = !begin.close && is(end, true, begin.name);
        if !same || !empty(begin.range.end, around.start) || !empty(around.end, end.range.start) {
            break;
        }
        around = begin.range.start..end.range.end;
        if BOXES.iter().any(|name| begin.name.eq_ignore_ascii_case(name)) {
            out = around.clone();
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_go_with_what_they_held() {
        // html with the words to go between `[` and `]`, what stays
        let cases = [
            ("a<div x><p>[b]</p></div>c", "ac"),
            ("<div>a<p>[b]</p></div>c", "<div>a</div>c"),
            ("<div><table><tr><td>[a<br><a href=x>b</a> c]</td></tr></table></div>d", "d"),
            ("<table><tr><td>[a]</td><td>b</td></tr></table>", "<table><tr><td></td><td>b</td></tr></table>"),
            // as Word writes
            ("<p><span>x</span></p><p><span>[a</span></p>\n<p><span>b]</span></p>c", "<p><span>x</span></p>c"),
            ("<p><span>x[a</span></p>\n<p><span>b]y</span></p>c", "<p><span>xy</span></p>c"),
            // the rule, and what is under it
            ("<div><div>[--</div> <table><tr><td>b]</td></tr></table></div>c", "c"),
            ("<div>x<div>[--</div> <table><tr><td>b]</td></tr></table></div>c", "<div>x</div>c"),
            (
                "<div>x[--</div> <table><tr><td>b]</td></tr></table></div>c",
                "<div>x[--</div> <table><tr><td>b]</td></tr></table></div>c",
            ),
            ("<b>[a</b>b]c", "c"),
            ("<b>x[a</b>b]c", "<b>x[a</b>b]c"),
            ("[a]", ""),
        ];
        for (html, want) in cases {
            let (start, end) = (html.find('[').unwrap(), html.find(']').unwrap());
            let plain = html.replace(['[', ']'], "");
            let out = match &emptied(&plain, std::slice::from_ref(&(start..end - 1)))[0] {
                Some(gone) => format!("{}{}", &plain[..gone.start], &plain[gone.end..]),
                None => html.to_owned(),
            };
            assert_eq!(out, want, "{html}");
        }
    }
}
