//! Who wrote a message: the one address of the one `From` field, read strictly on the raw header. Programs that read it leniently disagree with each other, and
//! that is how authors are forged.

use super::headers::Field;
use super::once;
use super::text::{decode_words, harmless};
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
    let text = std::str::from_utf8(field.value).map_err(|_| AuthorFault::Malformed)?;
    let unfolded: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    mailbox(unfolded.trim())
}

/// Whom the `Sender` field names (RFC 5322 3.6.2): who sent it where that is not the author. `None`
/// where there is none; `Some(None)` where it names no one mailbox.
#[must_use]
pub fn sender(fields: &[Field<'_>]) -> Option<Option<Address>> {
    let field = fields.iter().find(|field| field.is("Sender"))?;
    if field.value.len() > LONGEST {
        return Some(None);
    }
    let text = field.text();
    if text.is_empty() { None } else { Some(mailbox(&text).ok().map(|found| found.address)) }
}

/// One `name <local@domain>` or `local@domain`.
fn mailbox(text: &str) -> Result<Author, AuthorFault> {
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
        return Ok(Author { address: address(word)?, name: None });
    };
    let (name, rest) = tokens.split_at(opening);
    let [Token::Special('<'), inner @ .., Token::Special('>')] = rest else { return Err(AuthorFault::Malformed) };
    let [Token::Word(word)] = inner else { return Err(AuthorFault::Malformed) };
    let mut display = String::new();
    for token in name {
        match token {
            Token::Word(word) | Token::Quoted(word) => {
                if !display.is_empty() {
                    display.push(' ');
                }
                display.push_str(word);
            }
            Token::Special(_) => return Err(AuthorFault::Malformed),
        }
    }
    let display = harmless(&decode_words(&display));
    Ok(Author { address: address(word)?, name: Some(display).filter(|name| !name.is_empty()) })
}

fn address(word: &str) -> Result<Address, AuthorFault> {
    if word.contains("=?") {
        return Err(AuthorFault::Malformed);
    }
    Address::parse(word).map_err(|_| AuthorFault::Malformed)
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

    fn of(header: &str) -> Result<(String, Option<String>), AuthorFault> {
        let raw = format!("{header}\r\n\r\n");
        read(&split(raw.as_bytes()).0).map(|author| (author.address.expose().to_owned(), author.name))
    }

    #[test]
    fn authors() {
        // header, address, name
        let cases = [
            ("From: a@b.test", "a@b.test", None),
            ("from:   <a@b.test>  ", "a@b.test", None),
            ("From: Ann Real <a@b.test>", "a@b.test", Some("Ann Real")),
            ("From: \"Real, Ann\" <a@b.test>", "a@b.test", Some("Real, Ann")),
            ("From: =?utf-8?Q?=C3=84nn?= <a@B.test>", "a@b.test", Some("Änn")),
            ("From: \"x@y.test\" <a@b.test>", "a@b.test", Some("x@y.test")),
            ("From: \"a b\"@b.test", "\"a b\"@b.test", None),
            ("From: Ann\r\n <a@b.test>", "a@b.test", Some("Ann")),
            ("From: J. Ann <a@b.test>", "a@b.test", Some("J. Ann")),
            // PHP's `mail` writes what its caller gave twice.
            ("From: a@b.test\r\nFROM: a@b.test", "a@b.test", None),
            ("From: Ann <a@b.test>\r\nSubject: x\r\nFrom:  Ann\r\n <a@b.test>", "a@b.test", Some("Ann")),
            ("From: =?utf-8?Q?a=0D=0ABcc=3A_x?= <a@b.test>", "a@b.test", Some("a Bcc: x")),
        ];
        for (header, address, name) in cases {
            assert_eq!(of(header), Ok((address.to_owned(), name.map(str::to_owned))), "{header}");
        }
    }

    #[test]
    fn spoofing_shapes() {
        use AuthorFault::{Malformed, Missing, SeveralAddresses, SeveralFields};
        let cases = [
            ("Subject: x", Missing),
            ("Fr om: a@b.test", Missing),
            ("From : a@b.test", Missing),
            ("From: a@b.test\r\nFrom: c@d.test", SeveralFields),
            ("From: a@b.test\r\nFROM: a@b.test.", SeveralFields),
            ("From: a@b.test\r\nFrom: A@b.test", SeveralFields),
            ("From: a@b.test, c@d.test", SeveralAddresses),
            ("From: Group: a@b.test;", SeveralAddresses),
            ("From: <a@x> <c@d>", Malformed),
            ("From: <@r1,@r2:a@x.test>", SeveralAddresses),
            ("From: <@r1:a@x.test>", Malformed),
            ("From: a@b.test (c@d.test)", Malformed),
            ("From: (x)a@b.test", Malformed),
            ("From: <a@b.test> c@d.test", Malformed),
            ("From: a@b.test <c@d.test> x", Malformed),
            ("From: =?utf-8?Q?a=40b.test?=", Malformed),
            ("From: <=?utf-8?Q?a?=@b.test>", Malformed),
            ("From: <a@b.test", Malformed),
            ("From: a @b.test", Malformed),
            ("From: a@b.test\0", Malformed),
            ("From: <>", Malformed),
            ("From: ", Malformed),
            ("From: undisclosed", Malformed),
            ("From: \"a@b.test\"", Malformed),
            ("From: a@[192.0.2.1]", Malformed),
            ("From: x \\<a@b.test>", Malformed),
        ];
        for (header, want) in cases {
            assert_eq!(of(header), Err(want), "{header}");
        }
        let long = format!("From: {} <a@b.test>", "x".repeat(5000));
        assert_eq!(of(&long), Err(Malformed));
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
            let _ = of(&format!("From: {value}"));
        }
    }
}
