//! Style sheets: rules and their selectors, cleaned, and bound to the author's part of a page.
//!
//! A page is the author's part with a footer under it. In his part everything stands in one
//! element, [`PART`]; each of his selectors is made to begin there, so that it reaches nothing
//! outside. What he says of `body` he says of [`BODY`], which stands for it, and of the real one
//! only its colour and edges.

use super::declarations::{declarations, holds_address};
use crate::message::work;
use cssparser::{Delimiter, ParseError, Parser, ParserInput, ToCss, Token};

/// The class of the element that holds what the author wrote.
pub(super) const PART: &str = "rly";
/// The class of the element in it that stands for his `body`.
pub(super) const BODY: &str = "rly-b";
/// Rules in rules, and brackets in brackets.
const DEEPEST: usize = 4;
/// Passes over each octet of a style sheet.
const READINGS: usize = 12;

/// A style sheet as it may go out, and whether all of it is there.
pub(super) fn cleaned(css: &str) -> (String, bool) {
    let mut sheet = Sheet { bound: false, plain: is_plain(css), whole: true, out: String::with_capacity(css.len()) };
    sheet.read(css);
    (sheet.out, sheet.whole)
}

/// The same, bound to the author's part.
pub(super) fn bound(css: &str) -> String {
    let mut sheet =
        Sheet { bound: true, plain: is_plain(css), whole: true, out: String::with_capacity(css.len() + css.len() / 8) };
    sheet.read(css);
    sheet.out
}

/// A style attribute as it may go out, and whether all of it is there.
pub(super) fn attribute(css: &str) -> (String, bool) {
    work::count(css.len() * READINGS);
    let mut input = ParserInput::new(css);
    let (out, whole) = declarations(&mut Parser::new(&mut input), false, is_plain(css));
    (harmless(out), whole)
}

/// Whether nothing in it is written in another way than it is read.
pub(super) fn is_plain(css: &str) -> bool {
    !css.contains(['\\', '<', '\0']) && !css.contains("/*")
}

/// Of a style attribute, or the declarations of a rule, what the real `body` may have.
pub(super) fn of_page(css: &str) -> String {
    const OF_PAGE: &[&str] = &["background", "background-color", "margin", "padding"];
    let of_page = |one: &&str| {
        let (name, value) = one.split_once(':').unwrap_or((one, ""));
        // A picture stays where the words on it are.
        OF_PAGE.contains(&name) && !value.contains("url(") && !value.contains("gradient(")
    };
    css.split(';').filter(of_page).collect::<Vec<_>>().join(";")
}

/// No style sheet ends an element, and none is read as one by who does not know strings.
fn harmless(css: String) -> String {
    if css.contains('<') { css.replace('<', "\\3c ") } else { css }
}

struct Sheet {
    bound: bool,
    plain: bool,
    whole: bool,
    out: String,
}

impl Sheet {
    fn read(&mut self, css: &str) {
        work::count(css.len() * READINGS);
        let mut input = ParserInput::new(css);
        self.rules(&mut Parser::new(&mut input), 0);
        self.out = harmless(std::mem::take(&mut self.out));
    }

    fn rules(&mut self, input: &mut Parser<'_, '_>, depth: usize) {
        while !work::is_over() {
            let before = input.state();
            work::count(100);
            match input.next() {
                Err(_) => return,
                Ok(Token::CDO | Token::CDC) => self.whole = false,
                Ok(Token::AtKeyword(name)) => {
                    let name = name.to_ascii_lowercase();
                    self.at_rule(input, &name, depth);
                }
                Ok(_) => {
                    input.reset(&before);
                    self.rule(input);
                }
            }
        }
    }

    fn at_rule(&mut self, input: &mut Parser<'_, '_>, name: &str, depth: usize) {
        let prelude = input.parse_until_before(
            Delimiter::CurlyBracketBlock | Delimiter::Semicolon,
            |input| -> Result<_, ParseError<'_, ()>> {
                let mut text = String::new();
                let read = tokens(input, &mut text, 0, |token| {
                    matches!(token, Token::Colon | Token::Comma | Token::Delim('/' | '>' | '='))
                });
                while input.next().is_ok() {}
                Ok(read.map(|()| text.trim().to_owned()))
            },
        );
        let prelude = prelude.ok().flatten().filter(|text| !holds_address(text));
        // `;` or a block.
        if !matches!(input.next(), Ok(Token::CurlyBracketBlock)) {
            self.whole = false;
            return;
        }
        let (Some(prelude), true) = (prelude, matches!(name, "media" | "supports") && depth < DEEPEST) else {
            // What was not read of the block is passed over.
            self.whole = false;
            return;
        };
        let begun = self.out.len();
        self.out.push_str(&format!("@{name} {prelude}{{"));
        let inside = self.out.len();
        let _ = input.parse_nested_block(|input| -> Result<(), ParseError<'_, ()>> {
            self.rules(input, depth + 1);
            Ok(())
        });
        if self.out.len() == inside {
            self.out.truncate(begun);
        } else {
            self.out.push('}');
        }
    }

    fn rule(&mut self, input: &mut Parser<'_, '_>) {
        let bound = self.bound;
        let selectors = input
            .parse_until_before(Delimiter::CurlyBracketBlock, |input| -> Result<_, ParseError<'_, ()>> {
                Ok(selectors(input, bound))
            });
        if input.expect_curly_bracket_block().is_err() {
            self.whole = false;
            return;
        }
        let plain = self.plain;
        let block =
            |input: &mut Parser<'_, '_>| -> Result<_, ParseError<'_, ()>> { Ok(declarations(input, true, plain)) };
        let (written, whole) = input.parse_nested_block(block).unwrap_or_default();
        let (selectors, of_page, all) = selectors.unwrap_or_default();
        self.whole &= whole && all;
        if selectors.is_empty() || written.is_empty() {
            return;
        }
        self.out.push_str(&format!("{}{{{written}}}", selectors.join(",")));
        let page = if of_page { self::of_page(&written) } else { String::new() };
        if !page.is_empty() {
            self.out.push_str(&format!("body{{{page}}}"));
        }
    }
}

/// The selectors that may stay, whether one of them is the page itself, and whether all are there.
fn selectors(input: &mut Parser<'_, '_>, bound: bool) -> (Vec<String>, bool, bool) {
    let (mut out, mut of_page, mut whole) = (Vec::new(), false, true);
    loop {
        let one = input.parse_until_before(Delimiter::Comma, |input| -> Result<_, ParseError<'_, ()>> {
            let selector = Selector::read(input);
            while input.next().is_ok() {}
            Ok(selector)
        });
        let one = one.ok().flatten().filter(|selector| !holds_address(&selector.text()));
        match one {
            Some(selector) if bound => {
                of_page |= selector.is_page();
                out.extend(selector.bound());
            }
            Some(selector) => out.push(selector.text()),
            None => whole = false,
        }
        if input.next().is_err() {
            return (out, of_page, whole);
        }
    }
}

/// Compounds (`td.x`), each with the combinator before it: a space, `>`, `+` or `~`.
struct Selector(Vec<(char, String)>);

impl Selector {
    fn read(input: &mut Parser<'_, '_>) -> Option<Self> {
        let mut found: Vec<(char, String)> = Vec::new();
        let mut before = None;
        while let Ok(token) = input.next_including_whitespace_and_comments() {
            let token = token.clone();
            work::count(8);
            match &token {
                Token::WhiteSpace(_) | Token::Comment(_) => {
                    before = before.or(Some(' '));
                    continue;
                }
                Token::Delim(c @ ('>' | '+' | '~')) => {
                    // A second one, or one at the beginning.
                    if before.is_some_and(|before| before != ' ') || found.is_empty() {
                        return None;
                    }
                    before = Some(*c);
                    continue;
                }
                _ => {}
            }
            if before.is_some() || found.is_empty() {
                found.push((before.take().unwrap_or(' '), String::new()));
            }
            let (_, compound) = found.last_mut()?;
            match &token {
                Token::Ident(_) | Token::IDHash(_) | Token::Colon | Token::Delim('.' | '*') => {
                    token.to_css(compound).ok()?;
                }
                Token::Function(_) | Token::SquareBracketBlock => block(input, &token, compound, 0, in_selector)?,
                _ => return None,
            }
        }
        let ends = before.is_none_or(|before| before == ' ');
        (ends && !found.is_empty()).then_some(Self(found))
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (n, (before, compound)) in self.0.iter().enumerate() {
            if n > 0 {
                out.push(*before);
            }
            out.push_str(compound);
        }
        out
    }

    /// Whether it is `html` or `body`, and nothing more.
    fn is_page(&self) -> bool {
        matches!(self.0.as_slice(), [(_, only)] if is(only, "html") == Some("") || is(only, "body") == Some(""))
    }

    /// The same in the author's part alone. `None`: there is no such thing in it.
    fn bound(mut self) -> Option<String> {
        let inner = |rest: &[(char, String)]| rest.first().is_none_or(|(before, _)| matches!(before, ' ' | '>'));
        let (_, first) = self.0.first()?;
        // What programs put around mail: Outlook's dark one is asked for in this way.
        let around = first.starts_with("[data-ogs") && self.0.len() > 1;
        if around && inner(self.0.get(1..)?) {
            let around = self.0.remove(0).1;
            return Some(format!("{around} {}", self.bound()?));
        }
        if is(first, "html").is_some() || is(first, ":root").is_some() {
            if self.0.len() == 1 {
                return Some(format!(".{PART}"));
            }
            if !inner(self.0.get(1..)?) {
                return None;
            }
            self.0.remove(0);
            return self.bound();
        }
        if let Some(rest) = is(first, "body") {
            let first = format!(".{PART} .{BODY}{rest}");
            self.0.first_mut()?.1 = first;
            return Some(self.text());
        }
        // It went through here before.
        let done = first.as_str() == format!(".{PART}") && self.0.get(1).is_some_and(|(before, _)| *before == ' ');
        Some(if done { self.text() } else { format!(".{PART} {}", self.text()) })
    }
}

/// What stands in a compound behind an element's name.
fn is<'a>(compound: &'a str, name: &str) -> Option<&'a str> {
    let start = compound.get(..name.len())?;
    let rest = compound.get(name.len()..)?;
    (start.eq_ignore_ascii_case(name) && !rest.starts_with(|c: char| c.is_alphanumeric() || "-_\\".contains(c)))
        .then_some(rest)
}

fn in_selector(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Colon
            | Token::Comma
            | Token::IDHash(_)
            | Token::QuotedString(_)
            | Token::IncludeMatch
            | Token::DashMatch
            | Token::PrefixMatch
            | Token::SuffixMatch
            | Token::SubstringMatch
            | Token::Delim('.' | '*' | '=' | '>' | '+' | '~' | '-')
            | Token::SquareBracketBlock
            | Token::Function(_)
    )
}

/// Writes tokens: words, numbers, brackets, and what else is `allowed`. `None`: there is another.
fn tokens(input: &mut Parser<'_, '_>, out: &mut String, depth: usize, allowed: fn(&Token<'_>) -> bool) -> Option<()> {
    while let Ok(token) = input.next_including_whitespace_and_comments() {
        let token = token.clone();
        work::count(8);
        match &token {
            Token::WhiteSpace(_) | Token::Comment(_) => {
                if !out.ends_with([' ', '(', '[']) {
                    out.push(' ');
                }
            }
            Token::Ident(_) | Token::Number { .. } | Token::Percentage { .. } | Token::Dimension { .. } => {
                token.to_css(out).ok()?;
            }
            Token::ParenthesisBlock => block(input, &token, out, depth, allowed)?,
            token @ (Token::SquareBracketBlock | Token::Function(_)) if allowed(token) => {
                block(input, token, out, depth, allowed)?;
            }
            token if allowed(token) => token.to_css(out).ok()?,
            _ => return None,
        }
    }
    Some(())
}

/// Writes what begins with `token`, a bracket or a function, and its end.
fn block(
    input: &mut Parser<'_, '_>,
    token: &Token<'_>,
    out: &mut String,
    depth: usize,
    allowed: fn(&Token<'_>) -> bool,
) -> Option<()> {
    if depth >= DEEPEST {
        return None;
    }
    token.to_css(out).ok()?;
    let inner =
        |input: &mut Parser<'_, '_>| -> Result<_, ParseError<'_, ()>> { Ok(tokens(input, out, depth + 1, allowed)) };
    input.parse_nested_block(inner).ok().flatten()?;
    out.push(if matches!(token, Token::SquareBracketBlock) { ']' } else { ')' });
    Some(())
}
