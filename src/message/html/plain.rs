//! HTML as text, for documents that no mail program should be given: too deeply nested, or too costly to rewrite. Readable, nothing more.

use super::tokens::{Token, Tokens};
use crate::message::work;
use std::collections::HashMap;

/// Elements that hold nothing and need no end tag.
const VOID: &[&str] = &[
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link",
    "meta", "param", "source", "track", "wbr",
];

/// Elements that stand in a line of text; all others begin a new one.
const INLINE: &[&str] = &[
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "img", "ins",
    "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var",
    "wbr",
];

/// Elements whose end tag may be left out.
const OPTIONAL: &[&str] = &["p", "li", "td", "tr", "th", "dt", "dd", "option", "tbody", "thead"];

/// Steps that a token's name costs.
const TOKEN: usize = 50;
/// Open elements at which a document is too deep. Long threads of quotes have some hundreds.
const DEEPEST: usize = 1000;

pub(super) fn is_void(name: &str) -> bool {
    VOID.iter().any(|void| void.eq_ignore_ascii_case(name))
}

pub(super) fn is_inline(name: &str) -> bool {
    INLINE.iter().any(|inline| inline.eq_ignore_ascii_case(name))
}

/// Whether a rewriter that keeps a stack of open elements would pay too much for this document: the stack grows too high, or too often it is searched
/// in vain for an element to close. Counts in one pass what the rewriter would do.
pub(super) fn too_complex(html: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut searched = 0_usize;
    for token in Tokens::new(html) {
        // Names are looked up in lists.
        work::count(TOKEN);
        match token {
            Token::Open(name) if !is_void(name) => {
                open.push(name);
                *counts.entry(name.to_ascii_lowercase()).or_default() += 1;
                // Paragraphs and cells that are never closed pile up as well; they cost memory, but nobody nests them.
                if open.len() > DEEPEST * 10 || nested(&counts, open.len()) > DEEPEST {
                    return true;
                }
            }
            Token::Close(name) => {
                let known = counts.get(&name.to_ascii_lowercase()).is_some_and(|count| *count > 0);
                if !known {
                    searched += open.len();
                    if searched > html.len().saturating_mul(16) {
                        return true;
                    }
                    continue;
                }
                while let Some(last) = open.pop() {
                    work::count(1);
                    if let Some(count) = counts.get_mut(&last.to_ascii_lowercase()) {
                        *count = count.saturating_sub(1);
                    }
                    if last.eq_ignore_ascii_case(name) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// Open elements without those whose end tag may be left out.
fn nested(counts: &HashMap<String, usize>, open: usize) -> usize {
    let optional: usize = OPTIONAL.iter().filter_map(|name| counts.get(*name)).sum();
    open.saturating_sub(optional)
}

/// The text of `html` as a document of one preformatted block. Entities stay as they are.
#[must_use]
pub fn render(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2 + 100);
    out.push_str("<!DOCTYPE html>\r\n<html><body><pre style=\"white-space:pre-wrap;font-family:inherit\">\r\n");
    work::count(html.len());
    for token in Tokens::new(html) {
        match token {
            Token::Text(range) => {
                // White space is one space in HTML, but not in what this writes.
                let text = html.get(range).unwrap_or("");
                for (n, word) in text.split_ascii_whitespace().enumerate() {
                    let apart = n > 0 || text.starts_with(|c: char| c.is_ascii_whitespace());
                    if apart && !out.ends_with([' ', '\n']) {
                        out.push(' ');
                    }
                    escape(word, &mut out);
                }
                if text.ends_with(|c: char| c.is_ascii_whitespace()) && !out.ends_with([' ', '\n']) {
                    out.push(' ');
                }
            }
            Token::Raw(name, range)
                if ["title", "textarea", "xmp", "plaintext"].iter().any(|n| n.eq_ignore_ascii_case(name)) =>
            {
                escape(html.get(range).unwrap_or(""), &mut out);
            }
            Token::Open(name) | Token::Close(name) if !is_inline(name) && !out.ends_with('\n') => out.push_str("\r\n"),
            _ => {}
        }
    }
    out.push_str("\r\n</pre></body></html>\r\n");
    out
}

fn escape(text: &str, out: &mut String) {
    for piece in text.split_inclusive(['<', '>']) {
        let (plain, mark) = match piece.strip_suffix('<') {
            Some(plain) => (plain, "&lt;"),
            None => piece.strip_suffix('>').map_or((piece, ""), |plain| (plain, "&gt;")),
        };
        out.push_str(plain);
        out.push_str(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_readable() {
        let html = "<html><head><title>t</title><style>x</style></head><body><p>Hello <b>you</b>,<br>a &lt; b < c &amp; d</p><script>no</script><div>end</div>";
        let text = render(html);
        let body = text.split_once("inherit\">\r\n").unwrap().1.split_once("\r\n</pre>").unwrap().0;
        assert_eq!(body, "t\r\nHello you,\r\na &lt; b &lt; c &amp; d\r\nend\r\n");
    }

    #[test]
    fn what_is_too_complex() {
        // html, whether it is
        let cases = [
            ("<div>".repeat(900), false),
            ("<div>".repeat(1100), true),
            ("<p>x".repeat(5000), false),
            ("<p>x".repeat(11_000), true),
            ("<div></div>".repeat(100_000), false),
            ("<br>".repeat(100_000), false),
            // each search in vain costs as much as the stack is high
            (format!("{}{}", "<i>".repeat(999), "</b>".repeat(100_000)), true),
            ("</b>".repeat(100_000), false),
            // end tags that are no tags
            ("<div><!-- </div> --><a title='</div>'></a>".repeat(1100), true),
            ("<div><style></div></style>".repeat(1100), true),
        ];
        for (html, want) in cases {
            assert_eq!(too_complex(&html), want, "{}", html.get(..60).unwrap_or(&html));
        }
    }
}
