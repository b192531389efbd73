//! Declarations of style sheets and style attributes: which properties mail needs, and how much of
//! each.
//!
//! A list of what is allowed. What a browser may be told otherwise is endless, and grows; mail
//! programs pass about as much as this.
//!
//! Whom it hits: layouts by `position` or `transform` come apart, as they do in most mail programs;
//! what is taller or further away than any screen gets its natural size. What it tells a liar:
//! nothing of anybody; what he wrote stays where he wrote it.

use super::link::{Target, target};
use crate::message::{scrub, work};
use cssparser::{Delimiter, ParseError, Parser, ToCss, Token};

/// Lengths in pixels.
#[derive(Clone, Copy)]
enum Rule {
    /// Keywords, colours, names and numbers.
    Words,
    /// The same with pictures of the message itself.
    Picture,
    /// Lengths between the first two, or as many per cent as the third.
    Lengths(f32, f32, f32),
    /// The same across the page, where calculations and the window's width do no harm.
    Across(f32, f32),
    /// Lengths of which those at the left and right may be less than nothing.
    Margin,
    /// A size with a line's height behind a slash.
    Font,
    /// A number of lines, or a length.
    LineHeight,
    /// `none`, `auto` or all of it.
    Whole,
}

/// Taller than most screens. A mail can be longer than this in words, but not by one number.
pub(super) const TALLEST: f32 = 2000.0;
/// Wider than mail is laid out: a telephone shows the whole page as much smaller.
pub(super) const WIDEST: f32 = 1280.0;
/// Of what is around a box.
pub(super) const FARTHEST: f32 = 300.0;

fn rule(property: &str) -> Option<Rule> {
    Some(match property {
        "color"
        | "background-color"
        | "background-position"
        | "background-repeat"
        | "background-size"
        | "background-clip"
        | "background-origin"
        | "border-color"
        | "border-style"
        | "border-top-color"
        | "border-right-color"
        | "border-bottom-color"
        | "border-left-color"
        | "border-top-style"
        | "border-right-style"
        | "border-bottom-style"
        | "border-left-style"
        | "border-collapse"
        | "clear"
        | "direction"
        | "display"
        | "empty-cells"
        | "caption-side"
        | "float"
        | "font-family"
        | "font-style"
        | "font-variant"
        | "font-weight"
        | "font-stretch"
        | "list-style-type"
        | "list-style-position"
        | "object-fit"
        | "opacity"
        | "overflow"
        | "overflow-x"
        | "overflow-y"
        | "overflow-wrap"
        | "table-layout"
        | "text-align"
        | "text-align-last"
        | "text-decoration"
        | "text-decoration-color"
        | "text-decoration-line"
        | "text-decoration-style"
        | "text-orientation"
        | "text-overflow"
        | "text-transform"
        | "unicode-bidi"
        | "visibility"
        | "white-space"
        | "word-break"
        | "line-break"
        | "word-wrap"
        | "writing-mode"
        | "flex-direction"
        | "flex-wrap"
        | "flex-flow"
        | "flex-grow"
        | "flex-shrink"
        | "justify-content"
        | "align-items"
        | "align-self"
        | "align-content"
        | "order"
        | "box-sizing"
        | "hyphens" => Rule::Words,
        "background" | "background-image" | "list-style" | "list-style-image" | "content" => Rule::Picture,
        "border"
        | "border-top"
        | "border-right"
        | "border-bottom"
        | "border-left"
        | "border-width"
        | "border-top-width"
        | "border-right-width"
        | "border-bottom-width"
        | "border-left-width"
        | "border-spacing"
        | "gap"
        | "row-gap"
        | "column-gap"
        | "tab-size" => Rule::Lengths(0.0, 100.0, 100.0),
        "border-radius"
        | "border-top-left-radius"
        | "border-top-right-radius"
        | "border-bottom-left-radius"
        | "border-bottom-right-radius" => Rule::Lengths(0.0, WIDEST, 100.0),
        "height" | "min-height" | "flex" | "flex-basis" => Rule::Lengths(0.0, TALLEST, 100.0),
        "max-height" => Rule::Lengths(0.0, f32::MAX, 100.0),
        "width" | "min-width" | "max-width" => Rule::Across(0.0, WIDEST),
        "padding" | "padding-top" | "padding-right" | "padding-bottom" | "padding-left" | "margin-top"
        | "margin-bottom" => Rule::Lengths(0.0, FARTHEST, 100.0),
        "margin-left" | "margin-right" => Rule::Across(-FARTHEST, FARTHEST),
        "margin" => Rule::Margin,
        "font-size" => Rule::Lengths(0.0, LARGEST, 100.0 * LINES),
        "font" => Rule::Font,
        "line-height" => Rule::LineHeight,
        "letter-spacing" | "word-spacing" => Rule::Lengths(-20.0, 100.0, 100.0),
        "text-indent" => Rule::Lengths(-FARTHEST, FARTHEST, 100.0),
        "vertical-align" => Rule::Lengths(-50.0, 50.0, 100.0),
        "text-size-adjust" | "-webkit-text-size-adjust" | "-ms-text-size-adjust" => Rule::Whole,
        _ => return None,
    })
}

/// Larger than any letters that are read.
const LARGEST: f32 = 150.0;
/// Lines that one may be high.
const LINES: f32 = 5.0;
/// Functions in values that only compute colours.
const COLOURS: &[&str] = &["rgb", "rgba", "hsl", "hsla"];
const GRADIENTS: &[&str] = &["linear-gradient", "radial-gradient"];
const CALCULATIONS: &[&str] = &["calc", "min", "max", "clamp"];
/// Functions in functions.
const DEEPEST: usize = 4;

/// The declarations that `input` holds, as they may go out: `color:red;margin:0`. And whether all
/// of it is there. `quiet`: they stand where nobody sees them, so none may hold an address.
/// `plain`: it has no escapes and comments.
pub(super) fn declarations(input: &mut Parser<'_, '_>, quiet: bool, plain: bool) -> (String, bool) {
    let (mut out, mut whole) = (String::new(), true);
    while !work::is_over() {
        let name = match input.next() {
            Err(_) => break,
            Ok(Token::Semicolon) => continue,
            Ok(Token::Ident(name)) => Some(name.to_ascii_lowercase()),
            Ok(_) => None,
        };
        work::count(200);
        let written = input.parse_until_after(Delimiter::Semicolon, |input| -> Result<_, ParseError<'_, ()>> {
            let value = match name.as_deref().and_then(rule) {
                Some(rule) if input.expect_colon().is_ok() => value(input, rule, plain),
                _ => None,
            };
            while input.next().is_ok() {}
            Ok(value)
        });
        let may_stay = |value: &String| match name.as_deref() {
            // Of what stands before and behind elements, which have no attribute.
            Some("content") => quiet && !shows_domain(value) && !holds_address(value),
            _ => !quiet || !holds_address(value),
        };
        let written = written.ok().flatten().filter(may_stay);
        match (name, written) {
            (Some(name), Some(value)) => {
                if !out.is_empty() {
                    out.push(';');
                }
                out.push_str(&name);
                out.push(':');
                out.push_str(&value);
            }
            _ => whole = false,
        }
    }
    (out, whole)
}

/// Whether a value shows a word with a dot in it, as domains and local parts are: with the rest of
/// an address in the text, that would be one. Whoever's it is: see `style::clean_sheet`.
fn shows_domain(value: &str) -> bool {
    let dot = |three: &[u8]| match three {
        [before, b'.', after] => before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric(),
        _ => false,
    };
    !value.contains("url(") && value.as_bytes().windows(3).any(dot)
}

/// Whether an `@` stands in it, but in a link to another part (`url(cid:a@b)`): such an id has been
/// replaced by one of ours before, whatever it was.
pub(super) fn holds_address(css: &str) -> bool {
    let in_id = |c: char| c.is_ascii_alphanumeric() || ".-_=+$%\\".contains(c);
    let in_link = |at: usize| css.get(..at).unwrap_or("").trim_end_matches(in_id).ends_with("cid:");
    scrub::signs(css).any(|at| !in_link(at))
}

fn value(input: &mut Parser<'_, '_>, rule: Rule, plain: bool) -> Option<String> {
    let mut value = Value { rule, plain, text: String::new(), numbers: Vec::new(), slash: false, important: false };
    value.read(input, 0)?;
    let text = value.text.trim();
    let fits = match (rule, value.numbers.as_slice()) {
        // Top and bottom.
        (Rule::Margin, [all]) => *all >= 0.0,
        (Rule::Margin, [top, _]) => *top >= 0.0,
        (Rule::Margin, [top, _, bottom] | [top, _, bottom, _]) => *top >= 0.0 && *bottom >= 0.0,
        (Rule::Margin, _) => false,
        _ => true,
    };
    (fits && !text.is_empty()).then(|| text.to_owned())
}

struct Value {
    rule: Rule,
    plain: bool,
    text: String,
    /// Of a margin; 0 for a word.
    numbers: Vec<f32>,
    /// Behind a slash.
    slash: bool,
    important: bool,
}

impl Value {
    /// Writes the tokens that may stay. `None`: there is one that may not.
    fn read(&mut self, input: &mut Parser<'_, '_>, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        while let Ok(token) = input.next_including_whitespace_and_comments() {
            let token = token.clone();
            work::count(8);
            match &token {
                Token::WhiteSpace(_) | Token::Comment(_) => {
                    if !self.text.is_empty() && !self.text.ends_with(' ') {
                        self.text.push(' ');
                    }
                    continue;
                }
                // Nothing stands behind it.
                _ if self.important => return None,
                Token::Ident(_) | Token::Hash(_) | Token::IDHash(_) | Token::QuotedString(_) => {
                    if depth == 0 {
                        self.numbers.push(0.0);
                    }
                    if let (Rule::Whole, Token::Ident(word)) = (self.rule, &token)
                        && !["none", "auto"].iter().any(|whole| word.eq_ignore_ascii_case(whole))
                    {
                        return None;
                    }
                }
                Token::Comma => {}
                Token::Delim('/') => self.slash = true,
                Token::Delim('+' | '*' | '-') if depth > 0 => {}
                Token::Delim('!') if depth == 0 => {
                    input.expect_ident_matching("important").ok()?;
                    self.important = true;
                    self.text.truncate(self.text.trim_end().len());
                    self.text.push_str("!important");
                    continue;
                }
                Token::Number { value, .. } => self.number(*value, "", depth)?,
                Token::Percentage { unit_value, .. } => self.number(unit_value * 100.0, "%", depth)?,
                Token::Dimension { value, unit, .. } => self.number(*value, &unit.to_ascii_lowercase(), depth)?,
                Token::UnquotedUrl(link) if self.takes(link) => {}
                Token::Function(name) => {
                    let name = name.to_ascii_lowercase();
                    self.function(input, &name, depth)?;
                    continue;
                }
                _ => return None,
            }
            token.to_css(&mut self.text).ok()?;
        }
        Some(())
    }

    fn function(&mut self, input: &mut Parser<'_, '_>, name: &str, depth: usize) -> Option<()> {
        if name == "url" {
            let link = input.parse_nested_block(|input| -> Result<_, ParseError<'_, ()>> {
                Ok(input.expect_string()?.as_ref().to_owned())
            });
            let link = link.ok().filter(|link: &String| self.takes(link))?;
            self.text.push_str("url(");
            cssparser::serialize_string(&link, &mut self.text).ok()?;
            self.text.push(')');
            return Some(());
        }
        let known = COLOURS.contains(&name)
            || matches!(self.rule, Rule::Picture) && GRADIENTS.contains(&name)
            || matches!(self.rule, Rule::Across(..)) && CALCULATIONS.contains(&name);
        if !known {
            return None;
        }
        self.text.push_str(name);
        self.text.push('(');
        let inner = |input: &mut Parser<'_, '_>| -> Result<_, ParseError<'_, ()>> { Ok(self.read(input, depth + 1)) };
        input.parse_nested_block(inner).ok().flatten()?;
        self.text.push(')');
        Some(())
    }

    /// A picture that comes with the message. One from a server is loaded without being seen, and
    /// one in the link itself has to be written as it was cleaned (`data_uri`).
    fn takes(&self, link: &str) -> bool {
        let comes = match target(link) {
            Target::Part => true,
            Target::Picture => self.plain,
            _ => false,
        };
        matches!(self.rule, Rule::Picture) && comes
    }

    fn number(&mut self, number: f32, unit: &str, depth: usize) -> Option<()> {
        // Parts of colours and gradients, and sums.
        if depth > 0 {
            return Some(());
        }
        let within = |low: f32, high: f32| (low..=high).contains(&number);
        let length = |low: f32, high: f32| pixels(number, unit).is_some_and(|px| (low..=high).contains(&px));
        let fits = match self.rule {
            Rule::Words | Rule::Picture => true,
            Rule::Whole => unit == "%" && number == 100.0,
            Rule::Lengths(_, _, most) if unit == "%" => within(0.0, most),
            Rule::Lengths(least, most, _) => length(least, most),
            Rule::Across(..) if unit == "%" => within(0.0, 100.0),
            Rule::Across(_, _) if unit == "vw" => within(0.0, 100.0),
            Rule::Across(least, most) => length(least, most),
            Rule::Margin => {
                self.numbers.push(number);
                length(-FARTHEST, FARTHEST) || unit == "%" && within(0.0, 100.0)
            }
            Rule::Font | Rule::LineHeight if unit == "%" => within(0.0, 100.0 * LINES),
            Rule::Font if unit.is_empty() && !self.slash => within(100.0, 900.0) || number == 0.0,
            Rule::Font | Rule::LineHeight if unit.is_empty() => within(0.0, LINES),
            Rule::Font | Rule::LineHeight => length(0.0, LARGEST),
        };
        fits.then_some(())
    }
}

/// A length in pixels, where one `em` is a usual one. `None`: its size is the window's, or unknown.
pub(super) fn pixels(number: f32, unit: &str) -> Option<f32> {
    let one = match unit {
        "" | "px" => 1.0,
        "pt" => 4.0 / 3.0,
        "pc" | "em" | "rem" | "ic" => 16.0,
        "ex" | "ch" => 8.0,
        "in" => 96.0,
        "cm" => 37.8,
        "mm" => 3.78,
        "q" => 0.945,
        _ => return None,
    };
    Some(number * one)
}
