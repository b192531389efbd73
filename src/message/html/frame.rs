//! A page of two parts: what the author wrote, in an element of its own, and a footer under it.
//!
//! His style sheets are bound to his part (`sheet`), his `body` becomes an element in it, and
//! whatever he leaves open is closed before the footer (`open`). So the footer stands in `body`,
//! where none of his elements is around it and none of his rules reaches it; that nothing of his
//! is drawn over it, or far from its place, is up to `declarations`.
//!
//! Whom it hits: who writes `article`, and rules that ask what programs put around mail. What it
//! tells a liar: nothing.

use super::open::Open;
use super::sheet::{self, BODY, PART};
use super::tokens::{Token, Tokens};
use super::{attributes, decode};
use crate::message::splice::spliced;
use crate::message::work;
use cssparser::color::{parse_hash_color, parse_named_color};
use std::ops::Range;

/// What the author's part looks like, for a footer that is to go with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::message) struct Look {
    /// Whether the page is dark; `None`: its reader's program decides.
    pub(in crate::message) dark: Option<bool>,
    /// It is laid out in the middle of the window.
    pub(in crate::message) centred: bool,
}

/// Elements of which the attributes are read for the look: those at the beginning.
const LOOKED_AT: usize = 64;
/// Steps that a tag costs.
const TAG: usize = 60;

/// `html`, which was cleaned, with a footer at its end.
#[must_use]
pub(in crate::message) fn page(html: &str, footer: impl FnOnce(Look) -> String) -> String {
    let mut page = Page { html, ..Page::default() };
    let mut tokens = Tokens::new(html);
    while let Some(token) = tokens.next() {
        page.see(&token, tokens.tag_at(), tokens.at());
    }
    let begun = page.begun;
    let ended = page.ended;
    let look = Look { dark: page.dark, centred: page.centred && page.tables };
    let mut out = spliced(html, page.edits);
    if let Some(raw) = page.raw {
        out.push_str(&format!("</{raw}>"));
    }
    if begun {
        page.open.end(OUTER, &mut out);
    }
    out.push_str("\r\n");
    out.push_str(&footer(look));
    if ended {
        out.push_str("</body></html>");
    }
    out.push_str("\r\n");
    out
}

#[derive(Default)]
struct Page<'a> {
    html: &'a str,
    /// What stands in place of what, in order.
    edits: Vec<(Range<usize>, String)>,
    open: Open<'a>,
    /// The author's part has begun.
    begun: bool,
    html_seen: bool,
    ended: bool,
    /// An element that only its own end tag closes.
    raw: Option<&'a str>,
    dark: Option<bool>,
    centred: bool,
    tables: bool,
    /// Elements whose attributes were read.
    looked: usize,
}

/// The element around the author's part. None of his may have this name: nothing closes it but us.
const OUTER: &str = "article";
/// What may stand before the author's part.
const BEFORE: &[&str] = &["head", "meta", "title", "style"];

impl<'a> Page<'a> {
    /// A token of the page; a tag begins at `start` and ends at `end`.
    fn see(&mut self, token: &Token<'a>, start: usize, end: usize) {
        work::count(TAG);
        match token {
            Token::Text(range) => {
                let text = self.html.get(range.clone()).unwrap_or("");
                if !self.begun && !text.trim_ascii().is_empty() {
                    self.begin(range.start, "");
                }
            }
            Token::Raw(name, range) => {
                self.raw = Some(name);
                if name.eq_ignore_ascii_case("style") {
                    let bound = sheet::bound(self.html.get(range.clone()).unwrap_or(""));
                    self.ground_of_sheet(&bound);
                    self.edits.push((range.clone(), bound));
                }
            }
            Token::Open(name) => {
                self.open_tag(name, start, start + 1 + name.len()..end);
            }
            Token::Close(name) => {
                if self.raw.is_some_and(|raw| raw.eq_ignore_ascii_case(name)) {
                    self.raw = None;
                } else if ["html", "body"].iter().any(|page| page.eq_ignore_ascii_case(name)) {
                    self.ended = true;
                    self.edits.push((start..end, String::new()));
                } else if name.eq_ignore_ascii_case(OUTER) || !self.open.close(name) {
                    // It would close the part.
                    self.edits.push((start..end, String::new()));
                }
            }
        }
    }

    fn begin(&mut self, at: usize, of_body: &str) {
        self.begun = true;
        self.edits.push((at..at, part(of_body)));
    }

    fn open_tag(&mut self, name: &'a str, start: usize, attributes: Range<usize>) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let end = attributes.end;
        if is("html") {
            let tag = if self.html_seen { String::new() } else { format!("<html{}>", self.kept(attributes, OF_HTML)) };
            self.html_seen = true;
            self.edits.push((start..end, tag));
        } else if is("body") {
            let tag = if self.begun { String::new() } else { self.body(attributes) };
            self.edits.push((start..end, tag));
        } else if is(OUTER) {
            self.edits.push((start..end, String::new()));
        } else {
            if !self.begun && !BEFORE.iter().any(|before| is(before)) {
                self.begin(start, "");
            }
            self.look_at(name, attributes);
            self.open.open(name);
        }
    }

    /// The attributes of a page's element that it may have, as they are written.
    fn kept(&self, range: Range<usize>, names: &[&str]) -> String {
        let (mut out, mut seen) = (String::new(), Vec::new());
        attributes(self.html, range, |name, value| {
            let value = self.html.get(value).unwrap_or("");
            let name = name.to_ascii_lowercase();
            if names.contains(&name.as_str()) && !seen.contains(&name) {
                out.push_str(&format!(" {name}=\"{}\"", value.replace('"', "&quot;")));
                seen.push(name);
            }
        });
        out
    }

    /// The tag of `body`, and of what stands for it.
    fn body(&mut self, range: Range<usize>) -> String {
        let (mut class, mut id, mut style) = (None, None, None);
        let mut ground = None;
        attributes(self.html, range.clone(), |name, value| {
            let value = self.html.get(value).unwrap_or("");
            let slot = match name {
                name if name.eq_ignore_ascii_case("class") => &mut class,
                name if name.eq_ignore_ascii_case("id") => &mut id,
                name if name.eq_ignore_ascii_case("style") => &mut style,
                name if name.eq_ignore_ascii_case("bgcolor") => &mut ground,
                _ => return,
            };
            slot.get_or_insert(value);
        });
        let quoted = |text: &str| text.replace('"', "&quot;");
        let mut of_part = String::new();
        if let Some(id) = id {
            of_part.push_str(&format!("\" id=\"{}", quoted(id)));
        }
        let css = style.map(|style| sheet::attribute(&decode(style)).0).unwrap_or_default();
        let mut page = String::new();
        if !css.is_empty() {
            of_part.push_str(&format!("\" style=\"{}", quoted(&css.replace('&', "&amp;"))));
            page = sheet::of_page(&css);
        }
        self.dark = ground.and_then(is_dark).or(self.dark);
        self.ground_of(&css);
        let page = if page.is_empty() { page } else { format!(" style=\"{}\"", quoted(&page.replace('&', "&amp;"))) };
        let tag = format!("<body{}{page}>", self.kept(range, OF_BODY));
        self.begun = true;
        let class = class.map(|class| format!(" {}", quoted(class))).unwrap_or_default();
        tag + &part(&(class + &of_part))
    }

    fn ground_of_sheet(&mut self, bound: &str) {
        for (at, _) in bound.match_indices("}body{") {
            let rule = bound.get(at + 6..).unwrap_or("");
            let rule = rule.split_once('}').map_or(rule, |(rule, _)| rule);
            work::count(rule.len());
            self.ground_of(rule);
        }
    }

    /// Takes the ground from declarations as they were written here.
    fn ground_of(&mut self, css: &str) {
        let colour = |one: &str| {
            one.split_once(':').filter(|(name, _)| name.starts_with("background"))?.1.split(' ').find_map(is_dark)
        };
        if let Some(dark) = css.split(';').rev().find_map(colour) {
            self.dark = Some(dark);
        }
    }

    /// What the first elements tell of the look.
    fn look_at(&mut self, name: &str, range: Range<usize>) {
        if self.looked >= LOOKED_AT {
            return;
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        self.tables |= is("table");
        self.centred |= is("center");
        if !["table", "td", "div", "center"].iter().any(|box_| is(box_)) {
            return;
        }
        self.looked += 1;
        let (mut ground, mut centred, first) = (None, false, self.looked == 1);
        attributes(self.html, range, |name, value| {
            let value = self.html.get(value).unwrap_or("");
            work::count(value.len());
            if name.eq_ignore_ascii_case("align") {
                centred |= value.eq_ignore_ascii_case("center");
            } else if name.eq_ignore_ascii_case("bgcolor") {
                ground = ground.or(is_dark(value));
            } else if name.eq_ignore_ascii_case("style") {
                let css = sheet::attribute(&decode(value)).0;
                let has =
                    |start: &str, word: &str| css.split(';').any(|one| one.starts_with(start) && one.contains(word));
                centred |= has("margin", "auto") || has("text-align:", "center") && is("td");
                let colour =
                    |one: &str| one.strip_prefix("background")?.split_once(':')?.1.split(' ').find_map(is_dark);
                ground = css.split(';').find_map(colour).or(ground);
            }
        });
        self.centred |= centred;
        // What is around everything is the page, where nothing else is said of it.
        if first && self.dark.is_none() {
            self.dark = ground;
        }
    }
}

/// Attributes that the page's own elements keep.
const OF_HTML: &[&str] = &["lang", "dir"];
const OF_BODY: &[&str] = &["lang", "dir", "bgcolor", "text", "link", "vlink", "alink"];

/// Floats and margins of the author's part end in it, and nothing of it is drawn before others.
const AROUND: &str = "display:flow-root;position:relative;z-index:0";

/// The tags that begin the author's part; `of_body`: what stands behind the class in the inner one.
fn part(of_body: &str) -> String {
    format!("<{OUTER} style=\"{AROUND}\"><div class=\"{PART}\"><div class=\"{BODY}{of_body}\">")
}

/// Whether a colour, as HTML or CSS writes it, is dark. `None`: it is none, or shows what is
/// behind.
fn is_dark(colour: &str) -> Option<bool> {
    let colour = colour.trim().trim_end_matches("!important");
    let rgb = match colour.strip_prefix('#') {
        Some(hex) => parse_hash_color(hex.as_bytes()).ok().filter(|rgb| rgb.3 > 0.5).map(|(r, g, b, _)| (r, g, b)),
        None => parse_named_color(colour).ok().or_else(|| {
            let inner = colour.strip_prefix("rgb(")?.strip_suffix(')')?;
            let mut parts = inner.split(',').map(|part| part.trim().parse::<u8>().ok());
            Some((parts.next()??, parts.next()??, parts.next()??))
        }),
    }?;
    let [r, g, b] = [rgb.0, rgb.1, rgb.2].map(u32::from);
    Some(r * 299 + g * 587 + b * 114 < 128_000)
}
