//! Who wrote what inside Office documents: names in the XML of their parts. Authors of comments and changes become "Author 1", "Author 2", …, the same person the
//! same number in the whole document, so that it still reads as a talk; everything else that names somebody is emptied. The markup stays as it was, octet for octet.

use super::{Part, work};
use crate::message::files::markup::tag_end;
use std::collections::HashMap;

/// Steps that an element costs by its name.
const ELEMENT: usize = 50;

/// The people of one document, by name: numbers in the order in which they are met.
#[derive(Default)]
pub(super) struct People(HashMap<String, usize>);

/// What becomes of a value.
#[derive(Clone, Copy)]
enum Becomes {
    /// `Author 1`
    Author,
    /// `A`: nobody's initials.
    Initials,
    Nothing,
    /// The template that every Office has.
    Template,
}

/// Attributes: element, attribute, both without their prefix; `*` is any element.
type Attributes = &'static [(&'static str, &'static str, Becomes)];
/// Elements whose text it is.
type Elements = &'static [(&'static str, Becomes)];

/// Elements in property parts whose text goes.
const PROPERTIES: Elements = &[
    ("creator", Becomes::Nothing),
    ("lastModifiedBy", Becomes::Nothing),
    ("Company", Becomes::Nothing),
    ("Manager", Becomes::Nothing),
    ("HyperlinkBase", Becomes::Nothing),
    ("Template", Becomes::Nothing),
    ("initial-creator", Becomes::Nothing),
    ("printed-by", Becomes::Nothing),
    ("generator", Becomes::Nothing),
    ("user-defined", Becomes::Nothing),
    ("Application", Becomes::Nothing),
    ("AppVersion", Becomes::Nothing),
    ("lpwstr", Becomes::Nothing),
    ("lpstr", Becomes::Nothing),
    ("keywords", Becomes::Nothing),
    ("category", Becomes::Nothing),
    ("contentStatus", Becomes::Nothing),
    ("description", Becomes::Nothing),
];

fn rules(part: Part) -> (Attributes, Elements) {
    match part {
        Part::Properties => (&[], PROPERTIES),
        Part::Word => (
            &[
                ("*", "author", Becomes::Author),
                ("*", "initials", Becomes::Initials),
                ("presenceInfo", "userId", Becomes::Nothing),
            ],
            &[],
        ),
        Part::Sheets => (
            &[
                ("person", "displayName", Becomes::Author),
                ("person", "userId", Becomes::Nothing),
                ("fileSharing", "userName", Becomes::Nothing),
                ("header", "userName", Becomes::Author),
                ("userInfo", "name", Becomes::Author),
                ("absPath", "url", Becomes::Nothing),
            ],
            &[("author", Becomes::Author)],
        ),
        Part::Slides => (
            &[
                ("cmAuthor", "name", Becomes::Author),
                ("cmAuthor", "initials", Becomes::Initials),
                ("author", "name", Becomes::Author),
                ("author", "initials", Becomes::Initials),
                ("author", "userId", Becomes::Nothing),
                ("presenceInfo", "userId", Becomes::Nothing),
            ],
            &[],
        ),
        Part::OpenDocument => (
            &[],
            &[
                ("creator", Becomes::Author),
                ("creator-initials", Becomes::Initials),
                ("sender-initials", Becomes::Initials),
                ("PrinterName", Becomes::Nothing),
                ("PrinterSetup", Becomes::Nothing),
            ],
        ),
        Part::Links => (&[("Relationship", "Target", Becomes::Template)], &[]),
    }
}

/// The XML of `part` without names. `None`: it names nobody.
pub(super) fn clean(xml: &str, part: Part, people: &mut People) -> Option<String> {
    let (attributes, elements) = rules(part);
    work::pack(xml.len() * 4);
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some((before, tag)) = rest.split_once('<').filter(|_| !work::is_over()) {
        work::pack(ELEMENT);
        let greeting = if part == Part::Sheets { people.greeting(before) } else { None };
        out.push_str(greeting.as_deref().unwrap_or(before));
        out.push('<');
        let Some(end) = tag_end(tag) else {
            rest = tag;
            break;
        };
        let (head, body) = tag.split_at(end);
        rest = body;
        if head.starts_with(['/', '?', '!']) {
            out.push_str(head);
            continue;
        }
        let name = head.split(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).next().unwrap_or("");
        let element = local(name);
        let template = part == Part::Links && !head.contains("/attachedTemplate\"");
        let of_element = |(wanted, ..): &&(&str, &str, Becomes)| *wanted == "*" || *wanted == element;
        match attributes.iter().any(|rule| of_element(&rule)) && !template {
            true => people.attributes(
                head,
                |attribute| {
                    let rule = attributes.iter().filter(of_element).find(|(_, wanted, _)| *wanted == attribute);
                    rule.map(|(_, _, becomes)| *becomes)
                },
                &mut out,
            ),
            false => out.push_str(head),
        }
        // A setting is named by an attribute.
        let named = if element == "config-item" { attribute(head, "name").unwrap_or(element) } else { element };
        if let Some((_, becomes)) = elements.iter().find(|(wanted, _)| *wanted == named)
            && !head.ends_with("/>")
        {
            let (text, after) = body.split_at(body.find('<').unwrap_or(body.len()));
            if !text.trim().is_empty() {
                out.push_str(&people.instead(text, *becomes));
            } else {
                out.push_str(text);
            }
            rest = after;
        }
    }
    out.push_str(rest);
    (out != xml).then_some(out)
}

impl People {
    fn instead(&mut self, value: &str, becomes: Becomes) -> String {
        match becomes {
            Becomes::Author => {
                let next = self.0.len() + 1;
                format!("Author {}", self.0.entry(value.trim().to_owned()).or_insert(next))
            }
            Becomes::Initials => "A".to_owned(),
            Becomes::Nothing => String::new(),
            Becomes::Template => "Normal.dotm".to_owned(),
        }
    }

    /// Excel begins a comment with its author's name and a colon.
    fn greeting(&self, text: &str) -> Option<String> {
        let name = text.split(':').next().filter(|name| name.len() < text.len())?.trim();
        let number = self.0.get(name)?;
        Some(text.replacen(name, &format!("Author {number}"), 1))
    }

    /// Writes a tag with other values where `becomes` says so.
    fn attributes(&mut self, head: &str, becomes: impl Fn(&str) -> Option<Becomes>, out: &mut String) {
        let mut rest = head;
        while let Some((name, quote, value, after)) = next_attribute(rest) {
            let before = rest.len() - quote.len();
            out.push_str(rest.get(..before).unwrap_or(""));
            match becomes(local(name)).filter(|_| !value.is_empty()) {
                Some(becomes) => {
                    let mark = quote.get(..1).unwrap_or("\"");
                    out.push_str(&format!("{mark}{}{mark}", self.instead(value, becomes)));
                }
                None => out.push_str(quote.get(..value.len() + 2).unwrap_or(quote)),
            }
            rest = after;
        }
        out.push_str(rest);
    }
}

/// The next attribute: its name, what stands from its opening quote on, its value, and what stands behind its closing quote.
fn next_attribute(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, behind) = text.split_once('=')?;
    let name = before.split_ascii_whitespace().next_back().unwrap_or("");
    let quote = behind.trim_start();
    let mark = quote.chars().next().filter(|mark| matches!(mark, '"' | '\''))?;
    let (value, after) = quote.get(1..)?.split_once(mark)?;
    Some((name, quote, value, after))
}

fn attribute<'a>(mut head: &'a str, wanted: &str) -> Option<&'a str> {
    while let Some((name, _, value, after)) = next_attribute(head) {
        if local(name) == wanted {
            return Some(value);
        }
        head = after;
    }
    None
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_part() {
        // part, before, after; `None`: it names nobody
        let cases = [
            (
                Part::Word,
                "<w:ins w:id=\"1\" w:author=\"Bo &amp; Co\" w:date=\"x\"><w:t>Bo &amp; Co</w:t></w:ins>",
                Some("<w:ins w:id=\"1\" w:author=\"Author 1\" w:date=\"x\"><w:t>Bo &amp; Co</w:t></w:ins>"),
            ),
            (
                Part::Word,
                "<w:comment w:author='A' w:initials='AB'/><w:del w:author = \"B>\"/><w:del w:author=\"A\"/>",
                Some(
                    "<w:comment w:author='Author 1' w:initials='A'/><w:del w:author = \"Author 2\"/><w:del w:author=\"Author 1\"/>",
                ),
            ),
            (
                Part::Word,
                "<w15:person w15:author=\"A\"><w15:presenceInfo w15:providerId=\"AD\" w15:userId=\"S::a@b\"/></w15:person>",
                Some(
                    "<w15:person w15:author=\"Author 1\"><w15:presenceInfo w15:providerId=\"AD\" w15:userId=\"\"/></w15:person>",
                ),
            ),
            (Part::Word, "<w:p><!-- <w:ins w:author=\"A\"> --><w:t>a &lt; author=\"B\"</w:t></w:p>", None),
            (Part::Word, "<w:ins w:author=\"\"/>", None),
            (Part::Word, "<w:ins w:author=\"A", None),
            (
                Part::Sheets,
                "<authors><author>Ann</author></authors><t xml:space=\"preserve\">Ann:</t><t>\nsays Ann</t>",
                Some(
                    "<authors><author>Author 1</author></authors><t xml:space=\"preserve\">Author 1:</t><t>\nsays Ann</t>",
                ),
            ),
            (
                Part::Sheets,
                "<author>Ann</author><t>Ann:\nlook: here</t><t>Bob: x</t>",
                Some("<author>Author 1</author><t>Author 1:\nlook: here</t><t>Bob: x</t>"),
            ),
            (
                Part::Sheets,
                "<person displayName=\"Ann\" id=\"{1}\" userId=\"ann@x\" providerId=\"AD\"/>",
                Some("<person displayName=\"Author 1\" id=\"{1}\" userId=\"\" providerId=\"AD\"/>"),
            ),
            (
                Part::Sheets,
                "<x15ac:absPath url=\"C:\\Users\\ann\\\"/><sheet name=\"Ann\"/>",
                Some("<x15ac:absPath url=\"\"/><sheet name=\"Ann\"/>"),
            ),
            (
                Part::Slides,
                "<p:cmAuthor id=\"1\" name=\"Ann\" initials=\"AB\"/>",
                Some("<p:cmAuthor id=\"1\" name=\"Author 1\" initials=\"A\"/>"),
            ),
            (
                Part::OpenDocument,
                "<office:annotation><dc:creator>Ann</dc:creator><meta:creator-initials>AB</meta:creator-initials><text:p>Ann</text:p></office:annotation>",
                Some(
                    "<office:annotation><dc:creator>Author 1</dc:creator><meta:creator-initials>A</meta:creator-initials><text:p>Ann</text:p></office:annotation>",
                ),
            ),
            (
                Part::OpenDocument,
                "<config:config-item config:name=\"PrinterName\" config:type=\"string\">Ann's</config:config-item><config:config-item config:name=\"x\">y</config:config-item>",
                Some(
                    "<config:config-item config:name=\"PrinterName\" config:type=\"string\"></config:config-item><config:config-item config:name=\"x\">y</config:config-item>",
                ),
            ),
            (
                Part::Links,
                "<Relationship Type=\"http://x/attachedTemplate\" Target=\"file:///C:\\Users\\ann\\x.dotx\"/><Relationship Type=\"http://x/hyperlink\" Target=\"y\"/>",
                Some(
                    "<Relationship Type=\"http://x/attachedTemplate\" Target=\"Normal.dotm\"/><Relationship Type=\"http://x/hyperlink\" Target=\"y\"/>",
                ),
            ),
        ];
        for (part, before, after) in cases {
            let got = clean(before, part, &mut People::default());
            assert_eq!(got.as_deref(), after, "{before}");
            assert_eq!(clean(after.unwrap_or(before), part, &mut People::default()), None, "twice is once: {before}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(xml in "[<>a-z:=\"'/! \\-é]{0,80}") {
            for part in [Part::Properties, Part::Word, Part::Sheets, Part::Slides, Part::OpenDocument, Part::Links] {
                let _ = clean(&xml, part, &mut People::default());
            }
        }
    }
}
