//! XML as it stands in documents: addresses in the text, also where tags stand inside them, and in
//! attributes. Everything else stays as it was, octet for octet.

use super::shown::{Edit, Shown, edited};
use crate::message::entities::shortened;
use crate::message::scrub::{Replacement, find, may_hold_one};
use crate::message::work;
use std::ops::Range;

/// Steps that a tag costs besides its octets.
const TAG: usize = 20;

/// Replaces the addresses in `xml`. `None`: there was none.
pub(super) fn clean(xml: &str, replacements: &[Replacement]) -> Option<String> {
    work::pack(xml.len() / 2);
    let xml = &*shortened(xml);
    if !may_hold_one(xml, replacements) {
        return None;
    }
    let mut shown = Shown::default();
    let mut edits = Vec::new();
    let mut at = 0;
    for open in memchr::memchr_iter(b'<', xml.as_bytes()) {
        if work::is_over() {
            return None;
        }
        if open < at {
            continue;
        }
        shown.words(xml.get(at..open).unwrap_or(""), at);
        let Some(length) = xml.get(open + 1..).and_then(tag_end) else {
            at = open;
            break;
        };
        let tag = open..open + 1 + length;
        at = tag.end;
        match character_data(xml, &tag) {
            Some(data) => shown.words(xml.get(data.clone()).unwrap_or(""), data.start),
            None => {
                shown.gap();
                in_tag(xml, tag, replacements, &mut edits);
            }
        }
    }
    shown.words(xml.get(at..).unwrap_or(""), at);
    edits.extend(shown.edits(true, replacements));
    edited(xml.as_bytes(), edits).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Addresses in attributes: each value is a text of its own.
fn in_tag(xml: &str, tag: Range<usize>, replacements: &[Replacement], edits: &mut Vec<Edit>) {
    let text = xml.get(tag.clone()).unwrap_or("");
    work::pack(TAG + text.len() / 2);
    for (range, alias) in find(text, true, replacements) {
        let source = tag.start + range.start..tag.start + range.end;
        edits.push(Edit { source, instead: alias.to_owned() });
    }
}

/// The words of a CDATA section.
fn character_data(xml: &str, tag: &Range<usize>) -> Option<Range<usize>> {
    const OPEN: &str = "<![CDATA[";
    xml.get(tag.clone())?
        .starts_with(OPEN)
        .then(|| tag.start + OPEN.len()..tag.end.saturating_sub(3).max(tag.start + OPEN.len()))
}

/// Behind the `>` that ends a tag, which begins behind its `<`; one in quotes does not, and a
/// comment ends with `-->`.
pub(in crate::message) fn tag_end(tag: &str) -> Option<usize> {
    for (start, end) in [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")] {
        if tag.starts_with(start) {
            let found = memchr::memmem::find(tag.as_bytes(), end.as_bytes());
            work::pack(found.unwrap_or(tag.len()) / 16);
            return found.map(|at| at + end.len());
        }
    }
    let mut quoted = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quoted, byte) {
            (None, b'"' | b'\'') => quoted = Some(byte),
            (Some(mark), byte) if mark == byte => quoted = None,
            (None, b'>') => {
                work::pack(at);
                return Some(at + 1);
            }
            _ => {}
        }
    }
    work::pack(tag.len());
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::files::tests::replacements;

    #[test]
    fn words_and_attributes() {
        // before, after (`None`: nothing to replace)
        let cases = [
            ("<w:t>me: a.real@home.example, yours</w:t>", Some("<w:t>me: alias@m.test, yours</w:t>")),
            // over runs, with what programs put between them
            (
                "<w:r><w:t>a.re</w:t></w:r><w:proofErr w:type=\"x\"/><w:r><w:rPr><w:b/></w:rPr><w:t>al@home</w:t></w:r><w:r><w:t>.example!</w:t></w:r>",
                Some(
                    "<w:r><w:t>alias@m.test</w:t></w:r><w:proofErr w:type=\"x\"/><w:r><w:rPr><w:b/></w:rPr><w:t></w:t></w:r><w:r><w:t>!</w:t></w:r>",
                ),
            ),
            (
                "<si><t>Hana</t></si><si><t>a.real@home.example</t></si>",
                Some("<si><t>Hana</t></si><si><t>alias@m.test</t></si>"),
            ),
            (
                "<text:span>a.real</text:span>&#64;<text:span>home.example</text:span>",
                Some("<text:span>alias@m.test</text:span><text:span></text:span>"),
            ),
            (
                "<Relationship Target=\"mailto:A.Real@home.example?subject=x\"/>",
                Some("<Relationship Target=\"mailto:alias@m.test?subject=x\"/>"),
            ),
            ("<a href='mailto:a.real%40home.example'>write</a>", Some("<a href='mailto:alias@m.test'>write</a>")),
            (
                "<w:instrText> HYPERLINK \"mailto:a.real@home.example\" </w:instrText>",
                Some("<w:instrText> HYPERLINK \"mailto:alias@m.test\" </w:instrText>"),
            ),
            ("<t><![CDATA[a.real@home.example]]></t>", Some("<t><![CDATA[alias@m.test]]></t>")),
            ("<!-- a.real@home.example --><t/>", Some("<!-- alias@m.test --><t/>")),
            ("<t a=\"x>a.real@home.example\">", Some("<t a=\"x>alias@m.test\">")),
            ("<t>a.real@home.example", Some("<t>alias@m.test")),
            ("<t>other@home.example b@x.test</t>", None),
            ("<t>a.real</t>", None),
            ("<", None),
            ("<@", None),
        ];
        for (before, after) in cases {
            assert_eq!(clean(before, &replacements()).as_deref(), after, "{before}");
        }
    }

    /// The author's own, in each way that the scrubber knows.
    #[test]
    fn each_way_to_write_the_sign() {
        let alias = crate::types::Alias::from_text("alias@m.test");
        let own = crate::types::Address::parse("a.real@home.example").unwrap().key();
        let own = [Replacement::wide(&own, &alias)];
        let zeros = "0".repeat(700);
        let long = format!("&#{zeros}64;");
        for sign in [
            "@",
            "\u{ff20}",
            "\u{fe6b}",
            "%40",
            "%2540",
            "&#64;",
            "&#x40;",
            "&#0000000064;",
            "&commat;",
            "&amp;#64;",
            "&amp;commat;",
            "&amp;amp;#64;",
            "=40",
            "=3D40",
            "\\u0040",
            "\\x40",
            &long,
        ] {
            for (before, after) in [("<w:t>", "</w:t>"), ("<a x=\"", "\"/>"), ("<w:t>me</w:t><w:t>", ", you</w:t>")] {
                let xml = format!("<x>{before}a.real{sign}home.example{after}</x>");
                let want = format!("<x>{before}alias@m.test{after}</x>");
                assert_eq!(clean(&xml, &own), Some(want), "{xml}");
            }
        }
        let defended = "<t>https://urldefense.com/v3/__mailto:a.real*home.example__;QA!!x$</t>";
        assert_eq!(
            clean(defended, &own).as_deref(),
            Some("<t>https://urldefense.com/v3/__mailto:alias@m.test__;QA!!x$</t>")
        );
        let path = "<t>bounces+a.real=home.example</t>";
        assert_eq!(clean(path, &own).as_deref(), Some("<t>bounces+alias=m.test</t>"));
        // What has no sign is told at once.
        assert!(!may_hold_one("<w:t xml:space=\"preserve\">R&amp;D &lt;x&gt;</w:t>", &own));
    }

    proptest::proptest! {
        #[test]
        fn any_text(xml in "([<>a-z=\"'/!@-]|a\\.real|@home|\\.example|<w:t>|</w:t>|&#64;|<!\\[CDATA\\[|]]>|é){0,40}") {
            // As the author's are looked for: in `homea.real@…` as well.
            let alias = crate::types::Alias::from_text("alias@m.test");
            let own = [Replacement::wide(&crate::types::Address::parse("a.real@home.example").unwrap().key(), &alias)];
            if let Some(once) = clean(&xml, &own) {
                // A domain that goes on is another one.
                let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-'));
                let left = once.split("a.real@home.example").skip(1).any(ends);
                proptest::prop_assert!(!left, "{}", once);
            }
        }
    }
}
