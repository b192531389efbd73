//! A small HTML tokenizer (WHATWG HTML 13.2.5, without script data escapes): where tags and texts are. One step a byte.

use crate::message::work;
use std::ops::Range;

/// A piece of a document. What is between the pieces (comments, declarations) shows nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Text with entities.
    Text(Range<usize>),
    /// The content of script, style, title and the like, in which tags are no tags.
    Raw(&'a str, Range<usize>),
    /// A start tag's name as written.
    Open(&'a str),
    /// An end tag's name as written.
    Close(&'a str),
}

/// Elements in which only their own end tag is a tag.
const RAW: &[&str] =
    &["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"];

/// Reads a document from front to back.
pub struct Tokens<'a> {
    html: &'a str,
    at: usize,
    /// Where the last tag begins.
    tag: usize,
    raw: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    /// All tokens of `html`.
    #[must_use]
    pub fn new(html: &'a str) -> Self {
        Self { html, at: 0, tag: 0, raw: None }
    }

    /// Behind the last token.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Where the last tag begins, with its `<`.
    #[must_use]
    pub fn tag_at(&self) -> usize {
        self.tag
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.html.as_bytes().get(at).copied()
    }

    fn seek(&self, byte: u8, from: usize) -> Option<usize> {
        let rest = self.html.as_bytes().get(from..)?;
        let found = memchr::memchr(byte, rest);
        work::skip(found.unwrap_or(rest.len()));
        found.map(|n| from + n)
    }

    /// Up to the end tag of `name`.
    fn raw_text(&mut self, name: &'a str) -> Token<'a> {
        let start = self.at;
        let mut at = start;
        self.at = self.html.len();
        while let Some(open) = self.seek(b'<', at) {
            at = open + 1;
            let rest = self.html.as_bytes().get(open + 2..).unwrap_or(&[]);
            let ends = self.byte(open + 1) == Some(b'/')
                && rest.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
                && rest.get(name.len()).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
            if ends && !name.eq_ignore_ascii_case("plaintext") {
                self.at = open;
                break;
            }
        }
        Token::Raw(name, start..self.at)
    }

    /// Behind a comment or declaration that begins at `at`.
    fn declaration(&self, at: usize) -> usize {
        let rest = self.html.get(at..).unwrap_or("");
        let Some(comment) = rest.strip_prefix("<!--") else {
            return self.seek(b'>', at).map_or(self.html.len(), |end| end + 1);
        };
        let body = at + 4;
        if comment.starts_with('>') {
            return body + 1;
        }
        if comment.starts_with("->") {
            return body + 2;
        }
        let mut from = body;
        while let Some(end) = self.seek(b'>', from) {
            let before = self.html.get(body..end).unwrap_or("");
            if before.ends_with("--") || before.ends_with("--!") {
                return end + 1;
            }
            from = end + 1;
        }
        self.html.len()
    }

    /// Behind the attributes that begin at `at`.
    fn attributes(&self, mut at: usize) -> usize {
        let white = |b: u8| b.is_ascii_whitespace();
        loop {
            while self.byte(at).is_some_and(|b| white(b) || b == b'/') {
                at += 1;
            }
            match self.byte(at) {
                None => return at,
                Some(b'>') => return at + 1,
                _ => at += 1,
            }
            while self.byte(at).is_some_and(|b| !white(b) && !matches!(b, b'/' | b'>' | b'=')) {
                at += 1;
            }
            while self.byte(at).is_some_and(white) {
                at += 1;
            }
            if self.byte(at) != Some(b'=') {
                continue;
            }
            at += 1;
            while self.byte(at).is_some_and(white) {
                at += 1;
            }
            match self.byte(at) {
                Some(quote @ (b'"' | b'\'')) => at = self.seek(quote, at + 1).map_or(self.html.len(), |end| end + 1),
                _ => {
                    while self.byte(at).is_some_and(|b| !white(b) && b != b'>') {
                        at += 1;
                    }
                }
            }
        }
    }

    /// The tag at `at`, if one is there.
    fn tag(&mut self, at: usize) -> Option<Token<'a>> {
        let close = self.byte(at + 1) == Some(b'/');
        let start = at + 1 + usize::from(close);
        if !self.byte(start)?.is_ascii_alphabetic() {
            return None;
        }
        let bytes = self.html.as_bytes().get(start..)?;
        let length =
            bytes.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>')).unwrap_or(bytes.len());
        let name = self.html.get(start..start + length)?;
        self.tag = at;
        self.at = self.attributes(start + length);
        work::count(self.at - start);
        if close {
            return Some(Token::Close(name));
        }
        if RAW.iter().any(|raw| raw.eq_ignore_ascii_case(name)) {
            self.raw = Some(name);
        }
        Some(Token::Open(name))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if work::is_over() {
            return None;
        }
        if let Some(name) = self.raw.take() {
            return Some(self.raw_text(name));
        }
        let start = self.at;
        let mut from = start;
        while let Some(open) = self.seek(b'<', from) {
            let next = self.byte(open + 1);
            let tag = match next {
                Some(b'!' | b'?') => true,
                Some(b'/') => self.byte(open + 2).is_some(),
                Some(b) => b.is_ascii_alphabetic(),
                None => false,
            };
            if !tag {
                from = open + 1;
                continue;
            }
            if open > start {
                self.at = open;
                return Some(Token::Text(start..open));
            }
            if let Some(token) = self.tag(open) {
                return Some(token);
            }
            self.at = self.declaration(open);
            return self.next_after_declaration();
        }
        self.at = self.html.len();
        (start < self.at).then_some(Token::Text(start..self.at))
    }
}

impl<'a> Tokens<'a> {
    /// The token behind a declaration; many in a row must not nest calls.
    fn next_after_declaration(&mut self) -> Option<Token<'a>> {
        while matches!(self.byte(self.at), Some(b'<')) {
            let next = self.byte(self.at + 1);
            let after = self.byte(self.at + 2);
            let declaration = match next {
                Some(b'!' | b'?') => true,
                Some(b'/') => after.is_some_and(|b| !b.is_ascii_alphabetic()),
                _ => false,
            };
            if !declaration {
                break;
            }
            self.at = self.declaration(self.at);
        }
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        // html, its tokens: name for a start tag, /name for an end tag, text in quotes, raw content in brackets
        let cases = [
            ("a<b>c</b >d", "'a' b 'c' /b 'd'"),
            ("<a title=\"</b>\" x='>' y=1>z", "a 'z'"),
            ("<a =x>y", "a 'y'"),
            ("1 < 2 <3> <", "'1 < 2 <3> <'"),
            ("<!--x--><!-- <b> --!>a<!><?x?></ x>b", "'a' 'b'"),
            ("<!-->a<!--->b<!-- open", "'a' 'b'"),
            ("<STYLE>a<b></styles></style>c", "STYLE [a<b></styles>] /style 'c'"),
            ("<title>a", "title [a]"),
            ("<plaintext><b></plaintext>", "plaintext [<b></plaintext>]"),
            ("<x@y.z>", "x@y.z"),
            ("<a href='unclosed>x", "a"),
        ];
        for (html, want) in cases {
            let found: Vec<String> = Tokens::new(html)
                .map(|token| match token {
                    Token::Text(range) => format!("'{}'", &html[range]),
                    Token::Raw(_, range) => format!("[{}]", &html[range]),
                    Token::Open(name) => name.to_owned(),
                    Token::Close(name) => format!("/{name}"),
                })
                .collect();
            assert_eq!(found.join(" "), want, "{html}");
        }
    }

    #[test]
    fn storms_are_linear_and_flat() {
        for storm in ["<!>", "<", "</", "<a ", "<a b='", "<!--", "</ >", "<title>", "<a/", "\"", "<script><"] {
            let html = storm.repeat(1_000_000 / storm.len());
            let _ = Tokens::new(&html).count();
        }
    }
}
