//! Whose addresses are replaced in a copy, and where: the author's everywhere, the receiver's where
//! nobody but the receiver can tell.
//!
//! The author must not learn whether an address that he writes is the receiver's. So the two sides
//! are treated apart:
//! - The **author's** addresses are hidden from the receiver: they are replaced wherever they are
//!   found, and the guard refuses what still shows one.
//! - The **receiver's** own addresses are no secret to him. They are replaced in texts, subjects
//!   and names of files, and only where nothing else changes by it: not in a link that leads to a
//!   server (which would see the alias when the link is followed or the picture loaded), not across
//!   tags or lines, not where programs would treat an alias otherwise than what stands there, not
//!   where the text would have to be encoded otherwise. They stay in files. No decision hangs on
//!   them.
//!
//! Whom it hits: a receiver sees his own address where he used to see his alias. What it tells a
//! liar: nothing, as nothing that comes back depends on it; what the receiver quotes is given back
//! as it was written (`quoted`).

use super::hints::Hints;
use super::scrub::{Replacement, find, find_known, find_name, replaced};
use crate::types::{AddressKey, Alias};
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

/// The addresses of both sides of a copy.
#[derive(Debug)]
pub struct Replacements {
    /// The author's first: what both sides have is the author's.
    all: Vec<Replacement>,
    author: usize,
    /// The receiver's alias.
    receiver: String,
    /// What was replaced, if somebody wants to know.
    record: Option<Record>,
}

/// Where a copy's addresses were, so that its words can be given back as they were written.
#[derive(Debug)]
struct Record {
    marks: Marks,
    places: RefCell<Vec<Place>>,
}

/// Something that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) written: String,
    pub(super) alias: String,
}

/// Octets before an address in which the beginning of a link is looked for.
const LINK: usize = 4096;
/// Times that the receiver's own address is looked at in one text: nobody needs it more often, and
/// how long it takes would tell the author that it is there.
const MOST: usize = 256;

impl Replacements {
    /// Each side's addresses, and the alias that stands for them.
    #[must_use]
    pub fn new(author: (&[AddressKey], &Alias), receiver: (&[AddressKey], &Alias)) -> Self {
        let mut all: Vec<Replacement> = author.0.iter().map(|key| Replacement::wide(key, author.1)).collect();
        let count = all.len();
        all.extend(receiver.0.iter().map(|key| Replacement::new(key, Some(receiver.1))));
        Self { all, author: count, receiver: receiver.1.as_str().to_owned(), record: None }
    }

    /// The same without the receiver's: what may be decided by.
    #[must_use]
    pub(super) fn strict(&self) -> Self {
        Self { all: self.of_author().to_vec(), author: self.author, receiver: self.receiver.clone(), record: None }
    }

    /// The same, writing `marks` in place of aliases.
    #[must_use]
    pub(super) fn recording(self, marks: Marks) -> Self {
        Self { record: Some(Record { marks, places: RefCell::default() }), ..self }
    }

    /// What was replaced since, by number.
    #[must_use]
    pub(super) fn recorded(self) -> Vec<Place> {
        self.record.map(|record| record.places.into_inner()).unwrap_or_default()
    }

    /// The author's addresses.
    #[must_use]
    pub fn of_author(&self) -> &[Replacement] {
        self.all.get(..self.author).unwrap_or(&[])
    }

    /// Replaces the addresses in `text`; `html`: entities are read. `None`: there was none.
    #[must_use]
    pub fn scrub(&self, text: &str, html: bool) -> Option<String> {
        self.replace(text, find(text, html, &self.all))
    }

    /// [`Replacements::scrub`] of a text of which it is known what it may hold.
    pub(super) fn scrub_known(&self, text: &str, html: bool, hints: Hints) -> Option<String> {
        self.replace(text, find_known(text, html, hints, &self.all))
    }

    /// [`Replacements::scrub`] for text that is needed either way.
    #[must_use]
    pub(super) fn scrubbed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrub(text, false).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// [`Replacements::scrub`] for the name of a file.
    #[must_use]
    pub fn scrub_name(&self, name: &str) -> Option<String> {
        self.replace(name, find_name(name, &self.all))
    }

    fn replace(&self, text: &str, mut found: Vec<(Range<usize>, &str)>) -> Option<String> {
        let mut easy = 0;
        found.retain(|(range, alias)| {
            *alias != self.receiver
                || easy < MOST && is_easy(text, range) && {
                    easy += 1;
                    true
                }
        });
        replaced(text, &found, |written, alias| self.instead(written, alias))
    }

    /// What stands in the place of an address that was written so.
    #[must_use]
    pub(super) fn instead<'a>(&self, written: &str, alias: &'a str) -> Cow<'a, str> {
        let Some(record) = &self.record else { return Cow::Borrowed(alias) };
        let mut places = record.places.borrow_mut();
        let mut mark = String::new();
        record.marks.write(places.len(), &mut mark);
        places.push(Place { written: written.to_owned(), alias: alias.to_owned() });
        Cow::Owned(mark)
    }
}

/// Whether the receiver's own address, in `range`, can be replaced and nobody else sees by it that
/// it was: it is written plainly and in one piece, and in no link to a server.
fn is_easy(text: &str, range: &Range<usize>) -> bool {
    let written = text.get(range.clone()).unwrap_or("");
    let before = text.as_bytes().get(range.start.saturating_sub(LINK)..range.start).unwrap_or(&[]);
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>');
    let word = before.iter().rposition(ends).map_or(before, |at| before.get(at + 1..).unwrap_or(&[]));
    let word = word.to_ascii_lowercase();
    // Programs make links of addresses that are written as such, and of aliases; of other ways to
    // write them in a `mailto:` alone.
    let escaped = word.ends_with(b"mailto:");
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'>') && (escaped || byte != b'%');
    if !written.bytes().all(is_plain) {
        return false;
    }
    // Programs make links of `x.test/?q=` as well, browsers of `https:x.test`; entities and escapes
    // are read there.
    let links = [&b"/"[..], b"\\", b"?", b"http", b"ftp:", b"%2f", b"%3f", b"&#", b"&sol;", b"&bsol;", b"&quest;"];
    word.len() < LINK && !links.iter().any(|sign| memchr::memmem::find(&word, sign).is_some())
}

/// Words that stand for other words while a text is cleaned: they hold nothing that any cleaner
/// looks for, and nobody who wrote the text can have written them.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    /// Private-use characters (Unicode 23.5), made from something that no author knows.
    secret: String,
}

/// Every mark begins so.
pub(super) const SIGN: char = '\u{f8f0}';
/// Digits and the end of a mark, in private-use characters.
const DIGITS: u32 = 0xe000;
const END: char = '\u{e00a}';

impl Marks {
    /// `digest`: of an id that was drawn after the text was written.
    #[must_use]
    pub(super) fn new(digest: &[u8]) -> Self {
        let secret = digest.iter().take(12).filter_map(|byte| char::from_u32(0xe100 + u32::from(*byte)));
        Self { secret: std::iter::once(SIGN).chain(secret).collect() }
    }

    /// Writes the mark of this number.
    pub(super) fn write(&self, number: usize, out: &mut String) {
        out.push_str(&self.secret);
        let digits = number.to_string();
        out.extend(digits.chars().filter_map(|digit| char::from_u32(DIGITS + digit.to_digit(10)?)));
        out.push(END);
    }

    /// The pieces of `text`: words, and the numbers of marks.
    #[must_use]
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut out = Vec::new();
        let mut done = 0;
        for at in memchr::memmem::find_iter(text.as_bytes(), self.secret.as_bytes()) {
            let Some((number, length)) = text.get(at + self.secret.len()..).and_then(number) else { continue };
            if at < done {
                continue;
            }
            out.push(Piece::Words(text.get(done..at).unwrap_or("")));
            out.push(Piece::Mark(number));
            done = at + self.secret.len() + length;
        }
        out.push(Piece::Words(text.get(done..).unwrap_or("")));
        out
    }

    /// `text` with the words of its marks in their places.
    #[must_use]
    pub(super) fn read(&self, text: &str, words: &[String]) -> String {
        let pieces = self.split(text);
        pieces.into_iter().fold(String::with_capacity(text.len()), |mut out, piece| {
            out.push_str(match piece {
                Piece::Words(words) => words,
                Piece::Mark(number) => words.get(number).map_or("", String::as_str),
            });
            out
        })
    }
}

/// A piece of a text with marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Words(&'a str),
    Mark(usize),
}

/// A number in private-use digits at the start of `text`, and its length with its end.
fn number(text: &str) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, c) in text.char_indices().take(10) {
        if c == END {
            return (at > 0).then_some((value, at + c.len_utf8()));
        }
        let digit = u32::from(c).checked_sub(DIGITS).filter(|digit| *digit < 10)?;
        value = value * 10 + usize::try_from(digit).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    fn replacements() -> Replacements {
        let key = |text: &str| [Address::parse(text).unwrap().key()];
        let (author, receiver) = (Alias::from_text("author@m.test"), Alias::from_text("receiver@m.test"));
        Replacements::new((&key("a-real@shop.example"), &author), (&key("r-real@home.example"), &receiver))
    }

    #[test]
    fn each_side_by_its_own_rule() {
        // text, as HTML, what becomes of it
        let cases = [
            ("a-real@shop.example, r-real@home.example", false, Some("author@m.test, receiver@m.test")),
            ("R-real+shop@home.EXAMPLE", false, Some("receiver@m.test")),
            // No program makes a link of it.
            ("r-real%40home.example", false, None),
            ("[mailto:r-real%40home.example]", false, Some("[mailto:receiver@m.test]")),
            ("mailto:x@y.test?body=r-real@home.example", false, None),
            ("r-real\u{ff20}home.example", false, None),
            ("r-real&#64;home.example", true, None),
            ("<a href=\"mailto:r-real@home.example\">x</a>", true, Some("<a href=\"mailto:receiver@m.test\">x</a>")),
            // A server would see it.
            ("https://x.test/?q=r-real@home.example", false, None),
            ("https://x.test/?q=a-real%40shop.example", false, Some("https://x.test/?q=author@m.test")),
            ("<img src=//x.test/r-real%40home.example>", true, None),
            ("<img src='&#47;&#47;x.test/r-real%40home.example'>", true, None),
            ("http%3A%2F%2Fx.test/r-real@home.example", false, None),
            ("x.test/r-real@home.example", false, None),
            ("<a href=HTTPS:x.test&quest;r-real@home.example>", true, None),
            ("//x.test r-real@home.example", false, Some("//x.test receiver@m.test")),
            ("&lt;r-real@home.example&gt;", true, Some("&lt;receiver@m.test&gt;")),
            // What it was written across would be missed.
            ("> r-real@\r\n> home.example", false, None),
            ("> a-real@\r\n> shop.example", false, Some("> author@m.test")),
        ];
        for (text, html, want) in cases {
            assert_eq!(replacements().scrub(text, html).as_deref(), want, "{text}");
        }
        assert_eq!(
            replacements().strict().scrub("r-real@home.example a-real@shop.example", false).unwrap(),
            "r-real@home.example author@m.test"
        );
        // Not without end.
        let many = replacements().scrub(&"r-real@home.example ".repeat(MOST + 9), false).unwrap();
        assert_eq!((many.matches("receiver@").count(), many.matches("r-real@").count()), (MOST, 9));
        assert_eq!(replacements().scrub_name("for_r-real@home.example").unwrap(), "for_receiver@m.test");
        // Who is both is the author.
        let key = [Address::parse("x@home.example").unwrap().key()];
        let (author, receiver) = (Alias::from_text("author@m.test"), Alias::from_text("receiver@m.test"));
        let both = Replacements::new((&key, &author), (&key, &receiver));
        assert_eq!(both.scrub("x@home.example", false).unwrap(), "author@m.test");
    }

    #[test]
    fn what_is_recorded_comes_back() {
        let marks = Marks::new(&[7; 20]);
        let recording = replacements().recording(marks.clone());
        let text = "x R-Real@home.example y a-real@shop.example";
        let marked = recording.scrub(text, false).unwrap();
        assert!(!marked.contains('@'), "{marked}");
        let places = recording.recorded();
        let words = |of: fn(&Place) -> &String| places.iter().map(|place| of(place).clone()).collect::<Vec<_>>();
        assert_eq!(marks.read(&marked, &words(|place| &place.written)), text);
        assert_eq!(marks.read(&marked, &words(|place| &place.alias)), "x receiver@m.test y author@m.test");
        // Other marks are words.
        let other = Marks::new(&[8; 20]);
        assert_eq!(other.split(&marked), [Piece::Words(&marked)]);
        let broken = format!("{}{}", marks.secret, marks.secret);
        assert_eq!(marks.read(&broken, &[]), broken);
    }
}
