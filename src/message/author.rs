//! Who wrote a message: the one address of the one `From` field.
//!
//! It is read as long as exactly one address can be meant. Programs write names with specials
//! unquoted, in the octets of some charset, in comments, and brackets twice; nobody finds another
//! address by that. Where two readers could find different ones, one of them would see a forged
//! author: the one that is proved is not the one that is shown. So there is a strict reading
//! (RFC 5322 3.4) first, then a generous one ([`loose`]), and in both no other address may stand in
//! a place where some reader looks for one.
//!
//! Whom it hits: who writes another address unquoted before his own (`old@x.test <new@x.test>`),
//! who names two authors, and programs that write no address that all readers find. What it tells a
//! liar: the same for everybody, before anything is asked about whom he names.

mod loose;

use super::headers::Field;
use super::once;
use super::text::{decode_charset, decode_words, harmless};
use crate::types::Address;

/// Why a message has no author that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorFault {
    /// No From field.
    Missing,
    /// More than one From field.
    SeveralFields,
    /// More than one address, or a group.
    SeveralAddresses,
    /// Not one plain address.
    Malformed,
}

/// An author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The address.
    pub address: Address,
    /// The display name, decoded; never shown to the other side.
    pub name: Option<String>,
}

/// Longest value that is read.
const LONGEST: usize = 4096;
/// Stands for octets that are no UTF-8: part of a name, and of no address.
const UNREAD: char = '\u{fffd}';

/// Reads the author.
///
/// # Errors
/// [`AuthorFault`] tells which rule is broken.
pub fn read(fields: &[Field<'_>]) -> Result<Author, AuthorFault> {
    let mut from = fields.iter().filter(|field| field.is("From"));
    let field = from.next().ok_or(AuthorFault::Missing)?;
    // The same twice is what PHP programs write, and every reader finds the same author in it. Two
    // authors are refused: one of them is what a signature covers, the other one what is shown.
    if from.any(|other| !once::same(field, other)) {
        return Err(AuthorFault::SeveralFields);
    }
    // A field that a lenient reader would take for a second From.
    if fields.iter().any(|f| !f.is("From") && f.name.trim_end_matches(':').eq_ignore_ascii_case("from")) {
        return Err(AuthorFault::SeveralFields);
    }
    if field.value.len() > LONGEST || field.value.contains(&0) {
        return Err(AuthorFault::Malformed);
    }
    mailbox(&unfolded(field.value))
}

/// Whom the `Sender` field names (RFC 5322 3.6.2): who sent it where that is not the author. `None`
/// where there is none; `Some(None)` where it names no one mailbox.
#[must_use]
pub fn sender(fields: &[Field<'_>]) -> Option<Option<Address>> {
    let field = fields.iter().find(|field| field.is("Sender"))?;
    if field.value.len() > LONGEST || field.value.contains(&0) {
        return Some(None);
    }
    let text = unfolded(field.value);
    if text.is_empty() { None } else { Some(mailbox(&text).ok().map(|found| found.address)) }
}

/// The value without its folds and the white space around it. Octets outside UTF-8 become
/// [`UNREAD`], each by itself, so that what stands beside them stays what it is.
fn unfolded(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    match std::str::from_utf8(value) {
        Ok(text) => out.push_str(text),
        Err(_) => out.extend(value.iter().map(|b| if b.is_ascii() { char::from(*b) } else { UNREAD })),
    }
    out.retain(|c| !matches!(c, '\r' | '\n'));
    out.trim_matches([' ', '\t']).to_owned()
}

/// One mailbox.
fn mailbox(text: &str) -> Result<Author, AuthorFault> {
    // What the strict reading says is wrong with it is told, whatever the generous one tried.
    strict(text).or_else(|fault| loose::mailbox(text).ok_or(fault))
}

/// One `name <local@domain>` or `local@domain`, RFC 5322 3.4 without comments.
fn strict(text: &str) -> Result<Author, AuthorFault> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(AuthorFault::Malformed);
    }
    let tokens = tokens(text)?;
    // Nothing of value is lost if two addresses, a group or a route are refused; an author is one person.
    if tokens.iter().any(|token| matches!(token, Token::Special(',' | ';'))) {
        return Err(AuthorFault::SeveralAddresses);
    }
    let opening = tokens.iter().position(|token| *token == Token::Special('<'));
    let Some(opening) = opening else {
        // A bare address: one word, no name.
        let [Token::Word(word)] = tokens.as_slice() else { return Err(AuthorFault::Malformed) };
        return Ok(Author { address: address(word).ok_or(AuthorFault::Malformed)?, name: None });
    };
    let (name, rest) = tokens.split_at(opening);
    let [Token::Special('<'), inner @ .., Token::Special('>')] = rest else { return Err(AuthorFault::Malformed) };
    let [Token::Word(word)] = inner else { return Err(AuthorFault::Malformed) };
    let address = address(word).ok_or(AuthorFault::Malformed)?;
    let mut display = String::new();
    for token in name {
        match token {
            Token::Word(word) if loose::names_another(word, &address) => return Err(AuthorFault::SeveralAddresses),
            Token::Word(word) | Token::Quoted(word) => {
                if !display.is_empty() {
                    display.push(' ');
                }
                display.push_str(word);
            }
            Token::Special(_) => return Err(AuthorFault::Malformed),
        }
    }
    Ok(Author { address, name: named(&display) })
}

/// The display name that was written so.
fn named(text: &str) -> Option<String> {
    let name = harmless(&decode_words(&decode_charset(text.as_bytes(), "")));
    Some(name).filter(|name| !name.is_empty() && !name.contains(UNREAD))
}

/// An address as it is written between brackets or alone.
fn address(word: &str) -> Option<Address> {
    let unread = word.contains("=?") || word.contains(UNREAD);
    Address::parse(word).ok().filter(|_| !unread)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Atoms, dots, `@`, and quoted strings glued to them: what an address is made of.
    Word(String),
    /// A quoted string that stands alone: only a name can be one.
    Quoted(String),
    Special(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, AuthorFault> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' => drop(chars.next()),
            // Comments hide text from some readers and not from others.
            '(' | ')' => return Err(AuthorFault::Malformed),
            '<' | '>' | ',' | ';' | ':' | '[' | ']' | '\\' => {
                chars.next();
                tokens.push(Token::Special(c));
            }
            _ => tokens.push(word(&mut chars)?),
        }
    }
    Ok(tokens)
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, AuthorFault> {
    let mut raw = String::new();
    let mut inner = String::new();
    let mut quoted_only = true;
    while let Some(&c) = chars.peek() {
        match c {
            '"' => {
                chars.next();
                raw.push('"');
                loop {
                    match chars.next().ok_or(AuthorFault::Malformed)? {
                        '"' => break,
                        '\\' => {
                            let next = chars.next().ok_or(AuthorFault::Malformed)?;
                            raw.extend(['\\', next]);
                            inner.push(next);
                        }
                        c => {
                            raw.push(c);
                            inner.push(c);
                        }
                    }
                }
                raw.push('"');
            }
            ' ' | '\t' | '<' | '>' | ',' | ';' | ':' | '(' | ')' | '[' | ']' | '\\' => break,
            c => {
                quoted_only = false;
                raw.push(c);
                inner.push(c);
                chars.next();
            }
        }
    }
    Ok(if quoted_only { Token::Quoted(inner) } else { Token::Word(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::split;

    fn of(header: &[u8]) -> Result<(String, Option<String>), AuthorFault> {
        let raw = [header, b"\r\n\r\n"].concat();
        read(&split(&raw).0).map(|author| (author.address.expose().to_owned(), author.name))
    }

    /// `\e`, `\r`, `\n`, `\t`, `\\` and `\xNN` for what does not stand in a file of text.
    fn octets(written: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = written.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'\\' {
                out.push(byte);
                continue;
            }
            let (&sign, after) = rest.split_first().unwrap();
            rest = after;
            out.push(match sign {
                b'e' => 0x1b,
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let (digits, after) = rest.split_at(2);
                    rest = after;
                    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
                }
                _ => panic!("{written}"),
            });
        }
        out
    }

    #[test]
    fn shapes() {
        let (mut number, mut wrong) = (0, Vec::new());
        for line in include_str!("author/shapes.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (want, header) = line.split_once(" | ").unwrap();
            let (want, name) = want.trim().split_once(" = ").map_or((want.trim(), None), |(a, n)| (a, Some(n)));
            let header = octets(header);
            let found = match of(&header) {
                Ok((address, found)) => match name {
                    Some(_) => format!("{address} = {}", found.unwrap_or_default()),
                    None => address,
                },
                Err(AuthorFault::Missing) => "missing".to_owned(),
                Err(AuthorFault::SeveralFields) => "fields".to_owned(),
                Err(AuthorFault::SeveralAddresses) => "several".to_owned(),
                Err(AuthorFault::Malformed) => "malformed".to_owned(),
            };
            let want = name.map_or(want.to_owned(), |name| format!("{want} = {name}"));
            if found != want {
                wrong.push(format!("{line}\n    found {found}"));
            }
            number += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(number >= 120, "{number}");
        let long = format!("From: {} <a@b.test>", "x".repeat(5000));
        assert_eq!(of(long.as_bytes()), Err(AuthorFault::Malformed));
    }

    /// The longest value of the worst kinds takes no time.
    #[test]
    fn a_long_value_is_read_at_once() {
        for piece in ["a@b.test ", "(", "<", "=?", "=?a?q?b?= ", "\"", "\u{1b}$B", "\\"] {
            let value = format!("From: {}", piece.repeat(4000 / piece.len()));
            let started = std::time::Instant::now();
            let _ = of(value.as_bytes());
            assert!(started.elapsed() < std::time::Duration::from_secs(1), "{piece}");
        }
    }

    #[test]
    fn senders() {
        let cases = [
            ("Subject: x", None),
            ("Sender:", None),
            ("Sender: a@b.test", Some(Some("a@b.test"))),
            ("sender: Ann <a@b.test>", Some(Some("a@b.test"))),
            ("Sender: a@b.test, c@d.test", Some(None)),
            ("Sender: nobody", Some(None)),
            ("Sender: a@b.test (Ann)", Some(Some("a@b.test"))),
            ("Sender: c@d.test <a@b.test>", Some(None)),
        ];
        for (header, want) in cases {
            let raw = format!("{header}\r\n\r\n");
            let found = sender(&split(raw.as_bytes()).0);
            assert_eq!(found.as_ref().map(|f| f.as_ref().map(Address::expose)), want, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value(value in "\\PC{0,60}") {
            let _ = of(format!("From: {value}").as_bytes());
        }

        #[test]
        fn any_octets(value in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = of(&[b"From: ", value.as_slice()].concat());
        }

        /// Whatever stands around it: what is found is an address that stands there, and the only
        /// one that a simple reader could take for one.
        #[test]
        fn no_second_address(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..8)) {
            let value = pieces.concat();
            if let Ok((address, _)) = of(format!("From: {value}").as_bytes()) {
                let others = ["a@b.test", "c@d.test"].iter().filter(|other| {
                    !address.contains(**other) && value.match_indices(**other).any(|(at, _)| {
                        // In quotes or in an encoded word it is a name, RFC 5322 3.2.4.
                        value[..at].matches('"').count() % 2 == 0
                    })
                });
                proptest::prop_assert_eq!(others.count(), 0, "{}", value);
                proptest::prop_assert!(value.contains(&address) || address.contains('"'), "{}", value);
            }
        }
    }

    const PIECES: &[&str] = &[
        "a@b.test",
        "c@d.test",
        "<a@b.test>",
        "<c@d.test>",
        "<",
        ">",
        "(",
        ")",
        "\"",
        "\\",
        ",",
        ";",
        ":",
        " ",
        "x",
        "@",
        "\u{1b}$B",
        "\u{1b}(B",
        "[",
        "]",
        "\t",
        " \u{9280} ",
        "'",
    ];
}
