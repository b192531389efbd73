//! What a person wrote in a message, without what it quotes: for reports. Readable and short; nobody's program reads it.

use super::mime::Part;
use super::sealed::{self, Wrapping};
use super::text::harmless;
use super::{charset, footer};
use crate::config::Limits;

/// Characters that are kept.
pub const LONGEST: usize = 2000;
/// Octets of a text that are looked at: quotes may come first.
const LOOKED_AT: usize = 256 * 1024;

/// The words of the first plain text that has any, or else of the first HTML: at most [`LONGEST`] characters, lines ended by LF.
#[must_use]
pub fn written(raw: &[u8], limits: &Limits) -> String {
    let mut found = [String::new(), String::new()];
    let mut parts = 0;
    look(&Part::read(raw, false), 0, &mut parts, limits, &mut found);
    let [plain, html] = found;
    if plain.is_empty() { html } else { plain }
}

/// `written` without a sentence that a mail program put there for its writer, however it was
/// wrapped.
#[must_use]
pub fn without(written: String, sentence: &str) -> String {
    let wanted: Vec<char> = sentence.chars().filter(|c| !c.is_whitespace()).collect();
    let shown: Vec<(usize, char)> = written.char_indices().filter(|(_, c)| !c.is_whitespace()).collect();
    let found = shown.windows(wanted.len().max(1)).find(|window| window.iter().map(|(_, c)| c).eq(&wanted));
    let (Some((start, _)), Some((last, c))) = (found.and_then(|w| w.first()), found.and_then(|w| w.last())) else {
        return written;
    };
    let [before, after] = [written.get(..*start), written.get(last + c.len_utf8()..)].map(Option::unwrap_or_default);
    format!("{}\n{}", before.trim_end(), after.trim_start()).trim().to_owned()
}

/// Depth is bounded by the limit, so that recursion is, too.
fn look(part: &Part<'_>, depth: usize, parts: &mut usize, limits: &Limits, found: &mut [String; 2]) {
    *parts += 1;
    if depth > limits.mime_depth || *parts > limits.mime_parts {
        return;
    }
    if let Some(children) = part.children() {
        for child in children {
            look(&Part::read(child, false), depth + 1, parts, limits, found);
        }
        return;
    }
    if let Wrapping::Opened(inner) = sealed::look(part) {
        return look(&Part::read(&inner, false), depth + 1, parts, limits, found);
    }
    let [plain, html] = found;
    let (slot, is_html) = match part.kind.value.as_str() {
        "text/plain" => (plain, false),
        "text/html" => (html, true),
        _ => return,
    };
    if !slot.is_empty() || part.disposition.value == "attachment" {
        return;
    }
    let bytes = part.decoded();
    let bytes = bytes.get(..LOOKED_AT).unwrap_or(&bytes);
    let text = charset::read(bytes, part.kind.get("charset").unwrap_or(""), is_html).shown();
    let stripped = footer::strip(&text, is_html);
    let text = stripped.as_deref().unwrap_or(&text);
    *slot = if is_html { own(&mail_parser::decoders::html::html_to_text(text)) } else { own(text) };
}

/// The lines that are not quoted.
fn own(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for line in text.lines() {
        if line.trim_start().starts_with('>') {
            // `On Saturday Bea wrote:`
            if lines.last().is_some_and(|line| line.ends_with([':', '：'])) {
                lines.pop();
            }
            continue;
        }
        let line = harmless(line).trim().to_owned();
        if line.is_empty() && lines.last().is_none_or(String::is_empty) {
            continue;
        }
        length += line.len() + 1;
        lines.push(line);
        if length > LONGEST * 4 {
            break;
        }
    }
    lines.join("\n").trim().chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_says_is_nobodys_reason() {
        // what came, what the reporter wrote of it
        let cases = [
            ("Just send this e-mail as it is.", ""),
            ("He was rude.\n\nJust send this\ne-mail as it is.", "He was rude."),
            ("Just send this e-mail as it is.\n\n-- \nHana", "-- \nHana"),
            ("Just send this e-mail", "Just send this e-mail"),
            ("", ""),
        ];
        for (written, want) in cases {
            assert_eq!(without(written.to_owned(), "Just send this e-mail as it is."), want, "{written}");
        }
        assert_eq!(without("a".to_owned(), ""), "a");
    }

    #[test]
    fn the_reporters_own_words() {
        let mark = "[ref:bbqxerik4m2fdq7opkxa2zzt] Keep\r\n[/ref]";
        // message, its words
        let cases = [
            ("\r\nThis is spam.\r\n\r\n\r\nReally.\r\n".to_owned(), "This is spam.\n\nReally."),
            (format!("\r\nSpam!\r\n\r\nOn Saturday Bea wrote:\r\n> Buy\r\n> {}\r\n", mark.replace('\n', "\n> ")), "Spam!"),
            (format!("\r\n> {mark}\r\n"), "[/ref]".get(..0).unwrap()),
            ("Content-Type: text/html\r\n\r\n<p>This is <b>spam</b>.</p><style>x</style>".to_owned(), "This is spam."),
            (
                "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<i>Spam</i>\r\n--b--\r\n".to_owned(),
                "Spam",
            ),
            ("Content-Disposition: attachment\r\n\r\nno\r\n".to_owned(), ""),
            ("Content-Type: image/png\r\n\r\nno\r\n".to_owned(), ""),
            ("\r\na\u{1b}[31mb\u{202e}\r\n".to_owned(), "a[31mb"),
        ];
        for (message, want) in cases {
            assert_eq!(written(message.as_bytes(), &Limits::default()), want, "{message}");
        }
        let long = format!("\r\n{}\r\n", "あ\r\n".repeat(1_000_000));
        assert_eq!(written(long.as_bytes(), &Limits::default()).chars().count(), LONGEST);
        let deep = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(10_000);
        assert_eq!(written(deep.as_bytes(), &Limits::default()), "");
    }
}
