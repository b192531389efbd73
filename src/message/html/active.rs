//! What acts in HTML goes: scripts, forms, frames, objects, handlers, links that run something, pictures that nobody sees, and the traces of the program
//! that wrote it. The rest stays as it was written.

use super::link::{Target, decode, encode, target};
use super::size::{self, VIEWPORT};
use super::style;
use crate::message::{scrub, work};
use lol_html::errors::RewritingError;
use lol_html::html_content::{Comment, ContentType, Doctype, Element, TextChunk, TextType};
use lol_html::{DocumentContentHandlers, ElementContentHandlers, MemorySettings, Selector, Settings, rewrite_str};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Gone with all that is in them.
const REMOVED: &[&str] = &[
    "script",
    "xmp",
    "plaintext",
    "listing",
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "textarea",
    "template",
    "svg",
    "math",
    "xml",
    "input",
    "embed",
    "param",
    "source",
    "track",
    "base",
    "link",
    "bgsound",
    "isindex",
    "keygen",
    "frame",
    "command",
    "image",
];
/// Gone, but what is in them stays.
const UNWRAPPED: &[&str] = &[
    "form", "button", "select", "option", "optgroup", "datalist", "object", "applet", "video", "audio", "canvas",
    "frameset", "dialog", "portal", "slot", "marquee", "blink",
];
/// Attributes that load, run or tell something.
const ATTRIBUTES: &[&str] = &[
    "srcset",
    "imagesrcset",
    "sizes",
    "lowsrc",
    "dynsrc",
    "poster",
    "action",
    "formaction",
    "data",
    "codebase",
    "classid",
    "profile",
    "manifest",
    "archive",
    "icon",
    "longdesc",
    "ping",
    "attributionsrc",
    "srcdoc",
    "autofocus",
    "autoplay",
    "nonce",
    "integrity",
    "is",
    "slot",
    "originalsrc",
    "shash",
    "http-equiv",
    "contenteditable",
    "inert",
    "popover",
    "popovertarget",
];
/// `<meta name=…>` that mail programs act upon; the others tell who wrote.
const META: &[&str] = &[
    "viewport",
    "color-scheme",
    "supported-color-schemes",
    "format-detection",
    "x-apple-disable-message-reformatting",
];
/// Class names and ids that mail programs give, and what stands for them. Styles are renamed alike.
const PROGRAMS: &[(&str, &str)] = &[
    ("gmail_", "mail_"),
    ("protonmail_", "mail_"),
    ("yahoo_", "mail_"),
    ("zmail_", "mail_"),
    ("tutanota_", "mail_"),
    ("airmail_", "mail_"),
    ("AppleMail", "Mail"),
    ("Apple-", "mail-"),
    ("moz-cite", "mail-cite"),
    ("moz-sig", "mail-sig"),
    ("moz-forward", "mail-forward"),
    ("moz-email", "mail-email"),
    ("moz-quote", "mail-quote"),
    ("Mso", "Text"),
    ("WordSection", "Section"),
    ("ms-outlook-", "mail-"),
    ("OutlookMessage", "Message"),
    ("divRplyFwdMsg", "mailHead"),
    ("appendonsend", "mailAfter"),
    ("x_Signature", "Signature"),
];
/// Steps that an element, and an attribute, cost by their names.
const ELEMENT: usize = 300;
const ATTRIBUTE: usize = 300;
/// What lol_html takes to hand over a piece of text, and to write another in its place: a lone `<`
/// is a piece of its own.
const PIECE: usize = 64;
/// A tag of more attributes is nobody's mail.
const MOST_ATTRIBUTES: usize = 128;
/// Readings of a document at most.
const PASSES: usize = 4;
/// Closes whatever a document leaves open at its end, so that an unfinished tag is read (and cleaned) as a browser would read it with our footer
/// behind it. Taken out again with all comments.
const END: &str = "<!--\"'-->";

#[derive(Default)]
struct State {
    changed: Cell<bool>,
    /// Open elements that hide what is in them.
    hidden: Cell<usize>,
    /// Whether [`END`] became part of a text, and whether it was seen at all.
    end: Cell<End>,
    /// There was SVG or MathML, in which lol_html reads styles and CDATA by other rules.
    foreign: Cell<bool>,
}

/// What became of [`END`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    /// Nothing was told of it: it stands in an end tag.
    #[default]
    Unseen,
    /// Text, of an element that only its own end tag closes.
    Text,
    /// A comment, or part of one, or of a tag: gone.
    Gone,
}

impl State {
    fn change(&self) {
        self.changed.set(true);
    }
}

/// Cleans `html`; `None`: there was nothing to clean.
///
/// SVG and MathML go, but lol_html 3.0.3 goes on by their rules behind `<svg/>`, and behind what
/// something else's end tag closes: a style is read as tags there, and `<![CDATA[` as text, which
/// passes. A browser sees neither, so what came out is read once more, until there was none.
///
/// # Errors
/// The document cannot be rewritten for sure, or not in bounded memory.
pub(super) fn clean(html: &str) -> Result<Option<String>, RewritingError> {
    let (mut cleaned, mut foreign) = read(html)?;
    for _ in 1..PASSES {
        if !foreign {
            return Ok(cleaned);
        }
        let again;
        (again, foreign) = read(cleaned.as_deref().unwrap_or(html))?;
        cleaned = again.or(cleaned);
    }
    if foreign { Err(RewritingError::ContentHandlerError("it never ends".into())) } else { Ok(cleaned) }
}

/// Cleans `html` in one pass, and tells whether there was SVG or MathML in it.
fn read(html: &str) -> Result<(Option<String>, bool), RewritingError> {
    let state = Rc::new(State::default());
    let sheet = RefCell::new(String::new());
    let closed = format!("{html}{END}");
    // What lol_html does by itself.
    work::count(html.len() * 4);
    let document = DocumentContentHandlers::default()
        .doctype(|doctype: &mut Doctype<'_>| {
            if doctype.public_id().is_some_and(|id| !id.starts_with("-//W3C//DTD ")) {
                state.change();
                doctype.remove();
            }
            Ok(())
        })
        .comments(|comment: &mut Comment<'_>| {
            if comment.source_location().bytes().start < html.len() {
                state.change();
            }
            if comment.source_location().bytes().end > html.len() {
                state.end.set(End::Gone);
            }
            comment.remove();
            Ok(())
        })
        .text(|chunk: &mut TextChunk<'_>| {
            if work::is_over() {
                return Err("the message has cost enough".into());
            }
            if chunk.source_location().bytes().end > html.len() && !chunk.as_str().is_empty() {
                state.end.set(End::Text);
            }
            text(chunk, &sheet, &state);
            Ok(())
        });
    let elements = ElementContentHandlers::default().element(|element: &mut Element<'_, '_>| {
        if work::is_over() {
            return Err("the message has cost enough".into());
        }
        if element.source_location().bytes().end > html.len() {
            // A tag that does not end is no tag; with something behind it, it would be.
            state.end.set(End::Gone);
            state.change();
            element.remove();
            return Ok(());
        }
        if is_ambiguous(element, html) {
            return Err("a tag that programs read differently".into());
        }
        self::element(element, &state);
        Ok(())
    });
    let all: Selector = "*".parse().map_err(|_| RewritingError::ContentHandlerError("selector".into()))?;
    let settings = Settings::new()
        .with_strict(true)
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(4 << 20))
        .append_document_content_handler(document)
        .append_element_content_handler((Cow::Owned(all), elements));
    let out = rewrite_str(&closed, settings)?;
    let cleaned = match state.end.get() {
        End::Unseen => Some(out),
        _ if !state.changed.get() => None,
        End::Text => Some(out.strip_suffix(END).map(str::to_owned).unwrap_or(out)),
        End::Gone => Some(out),
    };
    Ok((cleaned, state.foreign.get()))
}

/// `<style x=>`: lol_html 3.0.3 reads tags behind it, browsers a style sheet.
fn is_ambiguous(element: &Element<'_, '_>, html: &str) -> bool {
    if !matches!(element.tag_name().as_str(), "style" | "title") {
        return false;
    }
    let tag = html.get(element.source_location().bytes()).unwrap_or("=>");
    tag.trim_end_matches('>').trim_end().ends_with('=')
}

fn text(chunk: &mut TextChunk<'_>, sheet: &RefCell<String>, state: &State) {
    work::count(PIECE);
    match chunk.text_type() {
        // A lone `<` is text. It must not become a tag when what comes behind it goes.
        TextType::Data if chunk.as_str().contains('<') => {
            let escaped = chunk.as_str().replace('<', "&lt;");
            chunk.replace(&escaped, ContentType::Html);
        }
        // Styles and titles, as a whole. Other elements of these kinds are gone with their text.
        kind @ (TextType::RawText | TextType::RCData) => {
            sheet.borrow_mut().push_str(chunk.as_str());
            if !chunk.last_in_text_node() {
                chunk.remove();
                return;
            }
            let mut text = sheet.take();
            if state.end.get() == End::Text && text.ends_with(END) {
                text.truncate(text.len() - END.len());
            }
            let cleaned = if kind == TextType::RawText { styles(&text) } else { title(&text) };
            if cleaned.is_some() {
                state.change();
            }
            chunk.replace(&cleaned.unwrap_or(text), ContentType::Html);
        }
        _ => {}
    }
}

fn styles(css: &str) -> Option<String> {
    let renamed = rename(css);
    style::clean_sheet(renamed.as_deref().unwrap_or(css)).or(renamed)
}

/// A title that may hold an address goes, as a piece of a style sheet does.
fn title(text: &str) -> Option<String> {
    scrub::signs(text).next().is_some().then(String::new)
}

fn element(element: &mut Element<'_, '_>, state: &Rc<State>) {
    let name = element.tag_name();
    // Names are compared with lists of them.
    work::count(ELEMENT);
    if matches!(name.as_str(), "svg" | "math") {
        state.foreign.set(true);
    }
    if REMOVED.contains(&name.as_str()) {
        state.change();
        element.remove();
        return;
    }
    // `<name@home.example>` in text that nobody escaped is a tag, too.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // lol_html cannot take out an attribute of such a name.
    let broken = element.attributes().iter().any(|attribute| attribute.name().contains('='));
    if !plain || broken || UNWRAPPED.contains(&name.as_str()) || element.attributes().len() > MOST_ATTRIBUTES {
        state.change();
        element.remove_and_keep_content();
        return;
    }
    match name.as_str() {
        "meta" => return meta(element, state),
        "img" if is_beacon(element, state) => {
            state.change();
            return element.remove();
        }
        _ => {}
    }
    attributes(element, &name, state);
}

fn meta(element: &mut Element<'_, '_>, state: &State) {
    let named = element.get_attribute("name").map(|name| name.to_ascii_lowercase());
    let equivalent = element.get_attribute("http-equiv").map(|name| name.to_ascii_lowercase());
    // What is written goes out as UTF-8. Not a change by itself: what is not changed keeps its charset.
    if element.has_attribute("charset") || equivalent.as_deref() == Some("content-type") {
        element.replace("<meta charset=\"utf-8\">", ContentType::Html);
    } else if named.as_deref() == Some("viewport") {
        // How large a page is shown is its reader's.
        if element.get_attribute("content").is_none_or(|content| !size::is_usual(&decode(&content))) {
            state.change();
            element.replace(&format!("<meta name=\"viewport\" content=\"{VIEWPORT}\">"), ContentType::Html);
        }
    } else if equivalent.is_some() || !named.is_some_and(|name| META.contains(&name.as_str())) {
        state.change();
        element.remove();
    }
}

/// A picture from a server that is too small to be seen, or hidden: it tells when and where the mail was read.
fn is_beacon(element: &Element<'_, '_>, state: &State) -> bool {
    let remote = element.get_attribute("src").is_some_and(|src| target(&src) == Target::Remote);
    if !remote {
        return false;
    }
    let tiny = ["width", "height"]
        .iter()
        .any(|name| element.get_attribute(name).is_some_and(|length| style::is_tiny(&decode(&length))));
    let style = element.get_attribute("style").is_some_and(|css| style::hides(&decode(&css), true));
    tiny || style || element.has_attribute("hidden") || state.hidden.get() > 0
}

fn attributes(element: &mut Element<'_, '_>, tag: &str, state: &Rc<State>) {
    let mut removed = Vec::new();
    let mut changed = Vec::new();
    let mut twice = Vec::new();
    let mut hides = false;
    let all = element.attributes();
    let mut names: Vec<String> = Vec::with_capacity(all.len());
    for attribute in all {
        let name = attribute.name();
        let value = attribute.value();
        work::count(ATTRIBUTE + names.len() + value.len());
        // Of several, the first counts; the others go, so that none of them becomes the first.
        if names.contains(&name) {
            twice.push(name);
            continue;
        }
        match verdict(tag, &name, &value) {
            Verdict::Keep => {}
            Verdict::Remove => removed.push(name.clone()),
            Verdict::Change(value) => changed.push((name.clone(), value)),
        }
        hides |= name == "hidden" || name == "style" && style::hides(&decode(&value), false);
        names.push(name);
    }
    // Void elements hide nothing, and have no end tag to count by.
    if hides && !super::plain::is_void(tag) && element.can_have_content() {
        let counted = Rc::clone(state);
        let counts = element.on_end_tag(Box::new(move |_| {
            counted.hidden.set(counted.hidden.get().saturating_sub(1));
            Ok(())
        }));
        if counts.is_ok() {
            state.hidden.set(state.hidden.get() + 1);
        }
    }
    if !removed.is_empty() || !changed.is_empty() || !twice.is_empty() {
        state.change();
    }
    for name in twice {
        if let Some(first) = element.get_attribute(&name) {
            element.remove_attribute(&name);
            if element.set_attribute(&name, &first).is_err() {
                element.remove_attribute(&name);
            }
        }
    }
    for name in removed {
        element.remove_attribute(&name);
    }
    for (name, value) in changed {
        // The name was read from this element, so it is one.
        if element.set_attribute(&name, &value).is_err() {
            element.remove_attribute(&name);
        }
    }
}

enum Verdict {
    Keep,
    Remove,
    Change(String),
}

fn verdict(tag: &str, name: &str, value: &str) -> Verdict {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !plain || name.starts_with("on") || name.starts_with("data-") || ATTRIBUTES.contains(&name) {
        return Verdict::Remove;
    }
    if matches!(tag, "style" | "title") && (!matches!(name, "type" | "media") || value.ends_with('=')) {
        return Verdict::Remove;
    }
    if size::is_far(tag, name, value) {
        return Verdict::Remove;
    }
    let renamed = |text: Option<String>| text.map_or(Verdict::Keep, Verdict::Change);
    match name {
        "class" | "id" => renamed(rename(value)),
        "style" => renamed(style::clean(&decode(value)).map(|css| encode(&css))),
        "href" | "cite" if target(value) == Target::Forbidden => Verdict::Remove,
        // Only pictures that one sees may come from a server.
        "src" if tag == "img" && target(value) != Target::Forbidden => Verdict::Keep,
        "src" => Verdict::Remove,
        "background" if !matches!(target(value), Target::Part | Target::Picture | Target::Here) => Verdict::Remove,
        _ => Verdict::Keep,
    }
}

/// Names that mail programs give, made neutral.
fn rename(text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    for (from, to) in PROGRAMS {
        work::skip(text.len());
        if out.as_deref().unwrap_or(text).contains(from) {
            out = Some(out.as_deref().unwrap_or(text).replace(from, to));
        }
    }
    out
}
