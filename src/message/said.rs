//! What a message's author says in it himself: his own lines without numbers, and his files. Two
//! messages of one program say the same, whatever number, date or quote stands in each.
//!
//! Not here: how often one may say the same (`policy::turns`).

use super::html;
use super::mime::Part;
use super::quoted::begin::quoted;
use super::quoted::stream::Stream;
use super::{charset, footer, work};
use crate::config::Limits;
use sha2::{Digest as _, Sha256};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Octets of text in one message. No answering program writes as much.
const TEXT: usize = 256 << 10;
/// Steps that an octet of text costs.
const READING: usize = 8;
/// Characters that have to be said: a thank-you is said often.
const FEWEST: usize = 20;

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// A hash of each line, in order, and its characters.
    lines: Vec<(u64, usize)>,
    files: Vec<[u8; 32]>,
}

impl Said {
    /// Reads a message once. `quotes`: the address of whoever wrote what it quotes, as its author
    /// knows it. `None`: it is over a limit, or says too little to be told apart.
    #[must_use]
    pub fn read(raw: &[u8], quotes: &str, limits: &Limits) -> Option<Self> {
        let mut walk = Walk { limits, parts: 0, plain: String::new(), html: String::new(), files: Vec::new() };
        walk.part(&Part::read(raw, false), 1)?;
        // A text that is there in both forms is the same text.
        let text = if walk.plain.trim().is_empty() { walk.html } else { walk.plain };
        let said = Self { lines: own_lines(&text, quotes), files: walk.files };
        (said.characters() >= FEWEST && !work::is_over()).then_some(said)
    }

    fn characters(&self) -> usize {
        self.lines.iter().map(|(_, characters)| characters).sum::<usize>() + self.lines.len().saturating_sub(1)
    }

    /// Whether this says what an earlier message of its author said. `heard`: what the other side
    /// said in between, which programs repeat without any mark that it is a quote; asked only where
    /// it matters.
    pub fn repeats<S: Borrow<Self>>(&self, earlier: &Self, heard: impl FnOnce() -> Option<S>) -> bool {
        if self.files != earlier.files {
            return false;
        }
        if self.lines == earlier.lines {
            return true;
        }
        let lines = |said: &Self| said.lines.iter().map(|(hash, _)| *hash).collect::<HashSet<u64>>();
        let (own, before) = (lines(self), lines(earlier));
        before.is_subset(&own) && heard().is_some_and(|heard| own.is_subset(&(&before | &lines(heard.borrow()))))
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    parts: usize,
    plain: String,
    html: String,
    files: Vec<[u8; 32]>,
}

impl Walk<'_> {
    /// Depth is bounded by the limit, so that recursion is, too.
    fn part(&mut self, part: &Part<'_>, depth: usize) -> Option<()> {
        self.parts += 1;
        if self.parts > self.limits.mime_parts || depth > self.limits.mime_depth || work::is_over() {
            return None;
        }
        if let Some(children) = part.children() {
            let digest = part.kind.value == "multipart/digest";
            return children.into_iter().try_for_each(|child| self.part(&Part::read(child, digest), depth + 1));
        }
        let kind = part.kind.value.as_str();
        // A message in it is what it answers, or what it reports of.
        if part.is("message") || kind == "text/rfc822-headers" {
            return Some(());
        }
        let decoded = part.decoded();
        let is_file = part.disposition.value == "attachment" || part.file_name().is_some();
        if is_file || !matches!(kind, "text/plain" | "text/html") {
            work::count(decoded.len());
            self.files.push(Sha256::digest(&decoded).into());
            return Some(());
        }
        if decoded.len() + self.plain.len() + self.html.len() > TEXT {
            return None;
        }
        work::count(decoded.len() * READING);
        let is_html = kind == "text/html";
        let text = charset::read(&decoded, part.kind.get("charset").unwrap_or(""), is_html).shown();
        let stripped = footer::strip(&text, is_html);
        let text = stripped.as_deref().unwrap_or(&text);
        if is_html {
            // In a document a line's end is a space.
            self.html.push_str(&html::unquoted_lines(&text.replace(['\r', '\n'], " ")));
            self.html.push('\n');
        } else {
            self.plain.push_str(text);
            self.plain.push('\n');
        }
        Some(())
    }
}

/// The lines of a text that are not quoted: a hash of each, and its characters.
fn own_lines(text: &str, quotes: &str) -> Vec<(u64, usize)> {
    work::count(text.len() * READING);
    let stream = Stream::of_text(text);
    let quoted = quoted(&stream, quotes);
    let own = quoted.iter().enumerate().filter(|(_, quoted)| !**quoted);
    let lines = own.map(|(n, _)| bare(text.get(stream.source(&stream.line_at(n))).unwrap_or("")));
    lines.filter(|line| !line.is_empty()).map(|line| (hash(&line), line.chars().count())).collect()
}

fn hash(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// A line without its numbers (dates, tickets, references with a digit in them), and with one space
/// where white space is.
fn bare(line: &str) -> String {
    let (mut out, mut word, mut number) = (String::with_capacity(line.len()), String::new(), false);
    let end = |out: &mut String, word: &mut String, number: &mut bool| {
        if !std::mem::take(number) {
            out.push_str(word);
        }
        word.clear();
    };
    for c in line.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
            word.push(c);
            number |= c.is_ascii_digit();
            continue;
        }
        end(&mut out, &mut word, &mut number);
        if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !c.is_numeric() {
            out.push(c);
        }
    }
    end(&mut out, &mut word, &mut number);
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIAS: &str = "bq7k@m.test";

    fn said(text: &str) -> Option<Said> {
        let raw = if text.starts_with("Content-") { text.to_owned() } else { format!("Subject: x\n\n{text}") };
        Said::read(raw.replace('\n', "\r\n").as_bytes(), ALIAS, &Limits::default())
    }

    #[test]
    fn what_counts_as_the_same_words() {
        let one = "Thank you for your mail. We will answer soon.";
        let html = |text: &str| format!("Content-Type: text/html; charset=utf-8\n\n{text}");
        let mixed = |file: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n{one}\n--b\n\
                 Content-Type: application/pdf; name=a.pdf\n\n{file}\n--b--\n"
            )
        };
        // one message, another of the same author, whether they say the same
        let cases = [
            (one.to_owned(), one.to_owned(), true),
            (one.to_owned(), format!("{one}\n\n"), true),
            (one.to_owned(), one.replace("soon", "later"), false),
            // Numbers, dates, tickets.
            (format!("{one} Ticket #4711, 10:03"), format!("{one} Ticket #4712, 10:05"), true),
            (format!("{one} Ticket A4F3-9K"), format!("{one} Ticket 77BC-1Z"), true),
            (
                "お問い合わせ番号４７１１を受け付けました。担当者より連絡します。".into(),
                "お問い合わせ番号４７１２を受け付けました。担当者より連絡します。".into(),
                true,
            ),
            // Quotes.
            (format!("{one}\n> Where is it?"), format!("{one}\n> Answer me!\n>> Where is it?"), true),
            (
                format!("{one}\n\nOn Sat, 21 Nov 2026 at 10:00, Bea wrote:\nHello"),
                format!("{one}\n\nOn Sat, 21 Nov 2026 at 10:05, Bea wrote:\nHi"),
                true,
            ),
            (format!("{one}\n-----Original Message-----\na"), format!("{one}\n-----Original Message-----\nb"), true),
            (
                html(&format!("<p>{one}</p><blockquote>a</blockquote>")),
                html(&format!("<p>{one}</p><blockquote>b</blockquote>")),
                true,
            ),
            (html(&format!("<p>{one}</p>")), html(&format!("<div>{one}</div>")), true),
            (html(&format!("<p>{one}</p>")), html("<p>Something else altogether, by a person.</p>"), false),
            // Footers.
            (format!("{one}\n[ref:bbqxerik4m2fdq7opkxa2zzt] Keep this\nReport: x\n[/ref]"), one.to_owned(), true),
            // Files.
            (mixed("a"), mixed("a"), true),
            (mixed("a"), mixed("b"), false),
            (mixed("a"), one.to_owned(), false),
        ];
        for (first, second, same) in cases {
            let (first, second) = (said(&first).unwrap(), said(&second).unwrap());
            assert_eq!(second.repeats(&first, || None::<Said>), same, "{first:?}\n{second:?}");
        }
    }

    /// Programs that repeat what they answer without any mark: the text grows with each turn.
    #[test]
    fn what_was_heard_is_no_words_of_ones_own() {
        let text = |own: &str, heard: &str| format!("{own}\nYour message:\n{heard}\n");
        let (buyer, seller) = ("We have received your message.", "Your inquiry reached our shop today.");
        let first = text(buyer, "Hello, is anybody there?");
        let heard = text(seller, &first);
        let second = text(buyer, &heard);
        let [first, heard, second] = [first, heard, second].map(|text| said(&text).unwrap());
        assert!(!second.repeats(&first, || None::<Said>) && second.repeats(&first, || Some(&heard)));
        // Who adds a word of his own says something else.
        let more = said(&text(buyer, &text(seller, "One more thing: it is the blue one."))).unwrap();
        assert!(!more.repeats(&first, || Some(&heard)));
    }

    #[test]
    fn a_few_words_are_nobodys() {
        // text, whether it is enough
        let cases = [
            ("", false),
            ("OK, thank you", false),
            ("はい、お願いします。", false),
            ("We got your message", false),
            ("We got your message.", true),
            ("0123456789 0123456789 0123456789", false),
            ("Yes.\n> We got your message and will answer.", false),
        ];
        for (text, enough) in cases {
            assert_eq!(said(text).is_some(), enough, "{text}");
        }
        assert!(said(&"word ".repeat(TEXT / 4)).is_none(), "too long");
    }

    #[test]
    fn one_pass() {
        for piece in ["a1 ", "> x\n", "word\n", "１", "[ref:", "<p>x", "&amp;", "--\n"] {
            let steps = |size: usize| {
                let html = piece.starts_with(['<', '&']);
                let kind = if html { "text/html" } else { "text/plain" };
                let raw = format!("Content-Type: {kind}; charset=utf-8\r\n\r\n{}", piece.repeat(size / piece.len()));
                let read = || Said::read(raw.as_bytes(), ALIAS, &Limits::default());
                work::within(&work::Allowance::endless(), read).1.reading
            };
            assert!(steps(TEXT / 2) < steps(TEXT / 4) * 21 / 10, "{piece:?}");
        }
    }
}
