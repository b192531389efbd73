//! What a message says, as words for a full-text index, and what somebody looks for, as a question to it. Both go through the same fold, so that they meet.
//!
//! Languages without spaces are cut into overlapping pairs of characters: most Japanese words that people look for, 返品 or 注文, are two characters long, and
//! an index of three would not find them. Everything else is cut into words by the index itself.

use super::html;
use super::mime::{Encoding, Part};
use super::sealed::{self, Wrapping};
use super::{charset, work};
use crate::types::{Address, is_invisible};
use std::fmt::Write as _;

/// Octets of words that one message may put into the index.
const WORDS: usize = 64 * 1024;
/// Octets of one part that are decoded.
const DECODED: usize = 256 * 1024;
/// Octets of a local part, RFC 5321 4.5.3.1.1.
const LOCAL: usize = 64;
/// Parts and depth that are looked at.
const PARTS: usize = 200;
const DEPTH: usize = 20;

/// What a message as received says: subject, texts, names of files. Bounded whatever it holds.
#[must_use]
pub fn words(raw: &[u8]) -> String {
    let top = Part::read(raw, false);
    let subject = top.subject().unwrap_or_default();
    let mut found = Found { parts: 0, plain: String::new(), html: String::new(), names: String::new() };
    found.part(&top, 0);
    // A text that is there in both forms is the same text.
    let text = if found.plain.trim().is_empty() { &found.html } else { &found.plain };
    let mut words = String::new();
    for piece in [subject.as_str(), &found.names, text] {
        fold(piece, true, &mut words);
        words.push('\n');
    }
    words.truncate(words.floor_char_boundary(WORDS));
    words
}

/// Addresses in these domains (lower-case A-labels) that a message's subject, texts and names of
/// files show, at most `most`. For a seller's own domain: whoever is named there is one of his
/// side. Bounded whatever it holds.
#[must_use]
pub fn addresses_in(raw: &[u8], domains: &[String], most: usize) -> Vec<Address> {
    let top = Part::read(raw, false);
    let subject = top.subject().unwrap_or_default();
    let mut found = Found { parts: 0, plain: String::new(), html: String::new(), names: String::new() };
    found.part(&top, 0);
    let mut addresses: Vec<Address> = Vec::new();
    for text in [&subject, &found.names, &found.plain, &found.html] {
        work::skip(text.len());
        for at in memchr::memchr_iter(b'@', text.as_bytes()) {
            work::count(LOCAL);
            let (before, behind) = text.split_at_checked(at).unwrap_or_default();
            let sign = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&*+-/=?^_{|}~.".contains(c));
            let tail = before.get(before.ceil_char_boundary(before.len().saturating_sub(LOCAL))..).unwrap_or("");
            let local = tail.rsplit(sign).next().unwrap_or("");
            let is_one = |domain: &&String| {
                let (named, rest) =
                    behind.get(1..).and_then(|text| text.split_at_checked(domain.len())).unwrap_or_default();
                named.eq_ignore_ascii_case(domain) && !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
            };
            let address = domains.iter().find(is_one).map(|domain| Address::parse(&format!("{local}@{domain}")));
            if let Some(Ok(address)) = address.filter(|_| addresses.len() < most)
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        }
    }
    addresses
}

/// The question to the index: every word of `text` has to be there. A word is what stands between spaces; one that ends with `*` may go on.
/// `None`: there is nothing to look for.
#[must_use]
pub fn query(text: &str) -> Option<String> {
    let mut query = String::new();
    for term in text.split_whitespace().take(32) {
        let (term, open) = term.strip_suffix('*').map_or((term, false), |term| (term, true));
        let term: String = term.chars().take(200).collect();
        let mut words = String::new();
        fold(&term, false, &mut words);
        let words: String = words.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        let words = words.trim();
        if words.is_empty() {
            continue;
        }
        // One character alone is the beginning of a pair.
        let open = open || words.chars().count() == 1 && words.chars().all(is_dense);
        // Writing to a String does not fail.
        let _ = write!(query, "{}\"{words}\"{}", if query.is_empty() { "" } else { " " }, if open { " *" } else { "" });
    }
    (!query.is_empty()).then_some(query)
}

struct Found {
    parts: usize,
    plain: String,
    html: String,
    names: String,
}

impl Found {
    fn part(&mut self, part: &Part<'_>, depth: usize) {
        self.parts += 1;
        if self.parts > PARTS || depth > DEPTH {
            return;
        }
        if let Some(children) = part.children() {
            let digest = part.kind.value == "multipart/digest";
            children.into_iter().for_each(|child| self.part(&Part::read(child, digest), depth + 1));
            return;
        }
        if let Wrapping::Opened(inner) = sealed::look(part) {
            self.part(&Part::read(&inner, false), depth + 1);
            return;
        }
        if part.kind.value == "message/rfc822" && part.encoding == Encoding::Identity {
            self.part(&Part::read(part.body, false), depth + 1);
            return;
        }
        if let Some(name) = part.file_name().filter(|_| self.names.len() < WORDS) {
            self.names.push_str(name);
            self.names.push('\n');
        }
        let into = match part.kind.value.as_str() {
            "text/html" => &mut self.html,
            _ if part.is("text") => &mut self.plain,
            _ => return,
        };
        if into.len() >= WORDS {
            return;
        }
        let body = part.body.get(..part.body.len().min(DECODED)).unwrap_or(&[]);
        let octets = Part { body, ..part.clone() }.decoded().into_owned();
        let is_html = part.kind.value == "text/html";
        let text = charset::read(&octets, part.kind.get("charset").unwrap_or(""), is_html).shown();
        if is_html {
            // Without tags, so that only entities are left to read.
            let visible = html::visible(&text).0.replace(['<', '>', '\0'], " ");
            into.push_str(&mail_parser::decoders::html::html_to_text(&visible));
        } else {
            into.push_str(&text);
        }
        into.push('\n');
    }
}

/// Characters of writing without spaces: kana, ideographs, hangul.
pub(super) fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
        && c != '\u{30fb}'
}

/// Full-width letters and digits as their ASCII twins, ß as ss, no invisible characters, and dense writing as pairs. `whole`: the last character of a run
/// is a word of its own, so that it is found alone; also where something else follows in the same term.
fn fold(text: &str, whole: bool, out: &mut String) {
    let mut last: Option<char> = None;
    let mut alone = true;
    let end = |out: &mut String, last: &mut Option<char>, alone: bool, more: bool| {
        let Some(c) = last.take() else { return };
        if more || alone {
            out.push(' ');
            out.push(c);
        }
        out.push(' ');
    };
    for c in text.chars().filter(|c| !is_invisible(*c)) {
        let c = match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{3000}' => ' ',
            c => c,
        };
        if is_dense(c) {
            if let Some(before) = last {
                out.push(' ');
                out.push(before);
                out.push(c);
            }
            alone = last.is_none();
            last = Some(c);
        } else {
            end(out, &mut last, alone, true);
            if c == 'ß' || c == 'ẞ' { out.push_str("ss") } else { out.push(c) }
        }
        if out.len() > WORDS {
            break;
        }
    }
    end(out, &mut last, alone, whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_questions() {
        let folded = |text: &str| {
            let mut out = String::new();
            fold(text, true, &mut out);
            out.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let table = [
            ("返品", "返品 品"),
            ("返品したい", "返品 品し した たい い"),
            ("注文番号２５０－１", "注文 文番 番号 号 250-1"),
            ("字", "字"),
            ("Straße", "Strasse"),
            ("a\u{200b}b", "ab"),
        ];
        for (text, want) in table {
            assert_eq!(folded(text), want, "{text}");
        }
        let table = [
            ("返品", Some("\"返品\"")),
            ("返品 broken", Some("\"返品\" \"broken\"")),
            ("返品したい", Some("\"返品 品し した たい\"")),
            ("字", Some("\"字\" *")),
            ("250-1", Some("\"250 1\"")),
            ("order*", Some("\"order\" *")),
            ("\" OR NEAR(", Some("\"OR\" \"NEAR\"")),
            ("\"--*", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(query(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn texts_of_messages() {
        let html = "Subject: =?iso-2022-jp?B?GyRCSlZJShsoQg==?=\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Broken&nbsp;cup<script>x()</script></p>";
        let found = words(html.as_bytes());
        assert!(found.contains("返品") && found.contains("Broken") && !found.contains("script"), "{found}");
        let both = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain words\r\n\
                    --b\r\nContent-Type: text/html\r\n\r\n<b>plain words</b>\r\n--b--\r\n--a\r\nContent-Type: application/pdf; name=\"invoice 7.pdf\"\r\n\r\nx\r\n--a--\r\n";
        let found = words(both.as_bytes());
        assert!(found.contains("invoice 7.pdf") && found.matches("plain words").count() == 1, "{found}");
        // Bounded whatever comes.
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
        assert!(words(deep.as_bytes()).len() <= WORDS);
        let long = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{}", "返".repeat(2_000_000));
        assert!(words(long.as_bytes()).len() <= WORDS);
    }
}
