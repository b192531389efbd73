//! A document read for what it quotes: texts, tags with their attributes, entities, and the
//! elements that programs put quotes into.

use super::plain::{is_inline, is_void};
use super::tokens::{Token, Tokens};
use crate::message::entities::numeric;
use crate::message::work;
use mail_parser::decoders::html::add_html_token;
use std::borrow::Cow;
use std::ops::Range;

/// A piece of a document.
pub(in crate::message) enum Tag<'a> {
    /// Text with entities.
    Text(Range<usize>),
    /// A start tag: its name, where its attributes are, and whether a line ends at it.
    Open { name: &'a str, attributes: Range<usize>, breaks: bool },
    /// An end tag.
    Close { name: &'a str, breaks: bool },
}

/// Shows each piece of `html` in order.
pub(in crate::message) fn walk<'a>(html: &'a str, mut see: impl FnMut(Tag<'a>)) {
    let mut tokens = Tokens::new(html);
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(range) => see(Tag::Text(range)),
            Token::Open(name) => {
                let start = tokens.tag_at() + 1 + name.len();
                see(Tag::Open { name, attributes: start..tokens.at().max(start), breaks: !is_inline(name) });
            }
            Token::Close(name) => see(Tag::Close { name, breaks: !is_inline(name) }),
            Token::Raw(..) => {}
        }
    }
}

/// Shows name and value of each attribute in `range`, which is behind a tag's name: where the value
/// stands, as it is written.
pub(in crate::message) fn attributes(html: &str, range: Range<usize>, mut see: impl FnMut(&str, Range<usize>)) {
    let bytes = html.as_bytes().get(..range.end).unwrap_or(&[]);
    let while_true = |from: usize, is: &dyn Fn(u8) -> bool| {
        bytes.get(from..).unwrap_or(&[]).iter().position(|byte| !is(*byte)).map_or(bytes.len(), |n| from + n)
    };
    let white = |byte: u8| byte.is_ascii_whitespace();
    let mut at = range.start;
    while at < bytes.len() {
        let start = while_true(at, &|byte| white(byte) || matches!(byte, b'/' | b'>'));
        at = while_true(start, &|byte| !white(byte) && !matches!(byte, b'/' | b'>' | b'='));
        let name = html.get(start..at).unwrap_or("");
        let equals = while_true(at, &white);
        if bytes.get(equals) != Some(&b'=') {
            // A name may begin with what ends others.
            at = at.max(start + 1);
            continue;
        }
        let from = while_true(equals + 1, &white);
        let value = match bytes.get(from) {
            Some(quote @ (b'"' | b'\'')) => from + 1..while_true(from + 1, &|byte| byte != *quote),
            _ => from..while_true(from, &|byte| !white(byte) && byte != b'>'),
        };
        at = value.end.max(equals) + 1;
        see(name, value);
    }
}

/// The entity at the start of `text`: its character, and its length.
pub(in crate::message) fn entity(text: &str) -> Option<(char, usize)> {
    if let Some((c, length)) = text.strip_prefix('&').and_then(numeric) {
        return Some((c, 1 + length));
    }
    let end = text.bytes().take(34).position(|byte| byte == b';')? + 1;
    let token = text.get(..end).filter(|token| token.starts_with('&') && token.is_ascii())?;
    let mut read = String::new();
    add_html_token(&mut read, token.as_bytes(), false);
    let mut chars = read.chars();
    let c = chars.next()?;
    chars.next().is_none().then_some((c, end))
}

/// `text` with its entities read.
pub(in crate::message) fn read_entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let (c, length) = entity(after).unwrap_or(('&', 1));
        out.push(c);
        rest = after.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The words of a document that are nobody's quote, by lines.
pub(in crate::message) fn unquoted_lines(html: &str) -> String {
    let (mut out, mut quotes) = (String::new(), Quotes::default());
    work::count(html.len() * 2);
    walk(html, |tag| {
        let breaks = match tag {
            Tag::Text(range) => {
                if !quotes.is_inside() {
                    out.push_str(&read_entities(html.get(range).unwrap_or("")));
                }
                false
            }
            Tag::Open { name, attributes, breaks } => {
                quotes.open(name, html.get(attributes).unwrap_or(""));
                breaks
            }
            Tag::Close { name, breaks } => {
                quotes.close(name);
                breaks
            }
        };
        if breaks && !out.ends_with('\n') {
            out.push('\n');
        }
    });
    out
}

/// Class names and ids of elements that hold a quote, by what they contain.
const HOLD: &[&str] =
    &["gmail_quote", "mail_quote", "yahoo_quoted", "protonmail_quote", "tutanota_quote", "zmail_extra"];
/// The same of elements before a quote, which goes to the end of the document.
const BEFORE: &[&str] =
    &["divrplyfwdmsg", "appendonsend", "outlookmessageheader", "moz-cite-prefix", "reply-intro", "mailhead"];
/// Open elements that are kept in mind.
const DEEPEST: usize = 1000;

/// Whether what is read is quoted: in an element that quotes, or below a header that a program put
/// over a quote.
#[derive(Default)]
pub(in crate::message) struct Quotes<'a> {
    /// Each with whether it quotes.
    open: Vec<(&'a str, bool)>,
    quoting: usize,
    below: bool,
}

impl<'a> Quotes<'a> {
    pub(in crate::message) fn is_inside(&self) -> bool {
        self.below || self.quoting > 0
    }

    pub(in crate::message) fn open(&mut self, name: &'a str, attributes: &str) {
        let mut quotes = name.eq_ignore_ascii_case("blockquote");
        if !attributes.is_empty() {
            let attributes = attributes.to_ascii_lowercase();
            let any = |names: &[&str]| names.iter().any(|name| attributes.contains(name));
            quotes |= any(HOLD);
            self.below |= any(BEFORE);
        }
        if !is_void(name) && self.open.len() < DEEPEST {
            self.open.push((name, quotes));
            self.quoting += usize::from(quotes);
        }
    }

    pub(in crate::message) fn close(&mut self, name: &str) {
        // A paragraph that nobody closes is closed by what is around it. Far outside is nobody's.
        let near = self.open.len().saturating_sub(64);
        let open = self.open.get(near..).unwrap_or(&[]);
        if let Some(at) = open.iter().rposition(|(other, _)| other.eq_ignore_ascii_case(name)) {
            self.quoting -= self.open.drain(near + at..).filter(|(_, quotes)| *quotes).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found() {
        let html = "<a href = \"mailto:x@y.test\" title='a &amp; b' =c d e=f/g checked>x";
        let mut found = Vec::new();
        walk(html, |tag| {
            if let Tag::Open { attributes: range, .. } = tag {
                attributes(html, range, |name, value| found.push((name.to_owned(), html[value].to_owned())));
            }
        });
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("href", "mailto:x@y.test"), ("title", "a &amp; b"), ("", "c"), ("e", "f/g")]);
    }

    #[test]
    fn entities_are_read() {
        for (text, want) in
            [("a&#64;b&commat;c &amp;amp; &eacute;&none; &", "a@b@c &amp; é&none; &"), ("x", "x"), ("&#x40;", "@")]
        {
            assert_eq!(read_entities(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_quoted() {
        // document, its texts that are quoted
        let cases = [
            ("a<blockquote>b<p>c</blockquote>d", vec!["b", "c"]),
            ("a<div class=\"gmail_quote\">b<div>c</div>d</div>e", vec!["b", "c", "d"]),
            ("a<div id=x_divRplyFwdMsg>b</div>c", vec!["b", "c"]),
            ("a</blockquote>b<br class=gmail_quote>c", vec![]),
        ];
        for (html, want) in cases {
            let (mut quotes, mut found) = (Quotes::default(), Vec::new());
            walk(html, |tag| match tag {
                Tag::Text(range) if quotes.is_inside() => found.push(&html[range]),
                Tag::Text(_) => {}
                Tag::Open { name, attributes, .. } => quotes.open(name, &html[attributes]),
                Tag::Close { name, .. } => quotes.close(name),
            });
            assert_eq!(found, want, "{html}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document(html in "([<>/=\"' a&;#]|blockquote|class|<a |<!--){0,60}") {
            let mut quotes = Quotes::default();
            walk(&html, |tag| match tag {
                Tag::Text(range) => { let _ = read_entities(html.get(range).unwrap()); }
                Tag::Open { name, attributes: range, .. } => {
                    quotes.open(name, html.get(range.clone()).unwrap());
                    attributes(&html, range, |_, value| assert!(html.get(value).is_some()));
                }
                Tag::Close { name, .. } => quotes.close(name),
            });
        }
    }
}
