//! Finding the parties' real addresses in text and putting the alias, or nothing, in their place.
//!
//! The search stands on each `@` in whatever form it is written (full-width, `%40`, `&#64;`,
//! `=40`, `\u0040`), goes outwards one written character at a time (`written`) and compares with
//! each address. An address may be in any letter case, have its domain in A-labels or Unicode,
//! hold characters that show nothing, and be wrapped over lines with quote marks, or over cells.
//! Each `@` costs a bounded number of steps, so the whole is linear.
//!
//! The author's own address is looked for more widely ([`Replacement::wide`]) than anybody else's:
//! it must not get by, in whatever spelling and whatever stands beside it. Whom that hits: who
//! writes of somebody whose address ends in his own (`jo.ann@` where he is `ann@`) sends a spoilt
//! one. What it tells a liar: nothing, as nothing of the other side is asked.
//!
//! Only whole addresses go. A domain alone stays: it may be the name of a big provider, or a shop
//! that the text is about.

mod local;

use super::anchors::Anchors;
use super::endings::goes_on;
use super::hints::{DEFENDED, Hint, Hints};
use super::splice::spliced;
use super::work;
use super::written::{Reading, may_be_sign, plain};
pub(super) use super::written::{backward, forward, forward_over_gap};
use crate::types::{AddressKey, Alias, Providers};
use local::Local;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// An address that must not be seen, and what stands in its place.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Without fillers, where it is looked for widely: see [`crate::types::spelling`].
    local: Vec<char>,
    /// A-labels, and Unicode if that differs; twins, where it is looked for widely.
    domains: Vec<Domain>,
    alias: String,
    /// As it stands in the name of a return path (`alias=m.test`), and with the domain first:
    /// seldom asked for.
    inside: OnceLock<[String; 2]>,
    wide: bool,
    /// Letters that are glued before the local part make it somebody else's: short names at a
    /// provider, where strangers are neighbours (`jimbob@`).
    short: bool,
}

#[derive(Clone, Debug)]
struct Domain {
    text: String,
    chars: Vec<char>,
}

impl Replacement {
    /// `alias: None` leaves nothing in the address's place.
    #[must_use]
    pub fn new(secret: &AddressKey, alias: Option<&Alias>) -> Self {
        Self::of(secret, alias, false)
    }

    /// The author's own: found in every spelling that reaches the mailbox, and without an end of
    /// words around it.
    #[must_use]
    pub fn wide(secret: &AddressKey, alias: &Alias) -> Self {
        Self::of(secret, Some(alias), true)
    }

    fn of(secret: &AddressKey, alias: Option<&Alias>, wide: bool) -> Self {
        let (local, domain) = secret.expose().rsplit_once('@').unwrap_or((secret.expose(), ""));
        let chars = |domain: &str| domain.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
        let all = if wide { secret.domains() } else { vec![domain] };
        let mut domains: Vec<String> = all.into_iter().map(str::to_owned).collect();
        domains.extend(secret.unicode_domain());
        let alias = alias.map_or_else(String::new, |alias| alias.as_str().to_owned());
        // A name that has nothing but fillers has one spelling.
        let letters = Some(secret.letters()).filter(|letters| wide && !letters.is_empty());
        let local: Vec<char> = letters.as_deref().unwrap_or(local).chars().collect();
        let letters = local.iter().filter(|c| c.is_alphanumeric()).count();
        Self {
            short: letters < DISTINCT && Providers::default().gives_mailboxes(domain),
            local,
            domains: domains.into_iter().map(|text| Domain { chars: chars(&text), text }).collect(),
            inside: OnceLock::new(),
            alias,
            wide,
        }
    }

    /// The domains, as they are written.
    pub(super) fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(|domain| domain.text.as_str())
    }

    /// The alias in the name of a return path, and the same with the domain first.
    fn inside(&self) -> [&str; 2] {
        let [inside, turned] = self.inside.get_or_init(|| {
            let turned = self.alias.split('@').rev().collect::<Vec<_>>().join("=");
            [self.alias.replace('@', "="), turned]
        });
        [inside, turned]
    }

    fn reading(&self, kind: Kind) -> Reading {
        let html = kind == Kind::Html;
        Reading { entities: html || self.wide, escapes: self.wide, defended: kind == Kind::Defended }
    }
}

/// Steps of a place where an address might stand.
const ANCHOR: usize = 5;
/// Letters of a local part that is hardly the end of another one.
const DISTINCT: usize = 6;
/// Octets of such a word.
const LINK: usize = 4096;

/// Replaces every address in `text`; `html`: entities are read. `None`: there was none.
#[must_use]
pub fn scrub(text: &str, html: bool, replacements: &[Replacement]) -> Option<String> {
    replaced(text, &find(text, html, replacements), |_, alias| alias.into())
}

/// [`scrub`] for the name of a file.
#[must_use]
pub fn scrub_name(name: &str, replacements: &[Replacement]) -> Option<String> {
    replaced(name, &find_name(name, replacements), |_, alias| alias.into())
}

/// [`find`] in the name of a file.
#[must_use]
pub fn find_name<'r>(name: &str, replacements: &'r [Replacement]) -> Vec<(Range<usize>, &'r str)> {
    find_in(name, Kind::Name, replacements, || Hints::of(name.as_bytes()))
}

/// `instead`: what stands in the place of an address that was written so, from that and its alias.
pub(super) fn replaced<'r>(
    text: &str,
    found: &[(Range<usize>, &'r str)],
    instead: impl Fn(&str, &'r str) -> Cow<'r, str>,
) -> Option<String> {
    let edits = found.iter().map(|(range, alias)| {
        let written = text.get(range.clone()).unwrap_or("");
        (range.clone(), instead(written, alias))
    });
    (!found.is_empty()).then(|| spliced(text, edits))
}

/// Where in `text` the addresses stand, in order, and what belongs in their place.
#[must_use]
pub fn find<'r>(text: &str, html: bool, replacements: &'r [Replacement]) -> Vec<(Range<usize>, &'r str)> {
    find_in(text, if html { Kind::Html } else { Kind::Text }, replacements, || Hints::of(text.as_bytes()))
}

/// [`find`] in a text of which it is known what it may hold.
pub(super) fn find_known<'r>(
    text: &str,
    html: bool,
    hints: Hints,
    replacements: &'r [Replacement],
) -> Vec<(Range<usize>, &'r str)> {
    find_in(text, if html { Kind::Html } else { Kind::Text }, replacements, || hints)
}

/// What an address stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Html,
    /// A file's name, where other signs than spaces part words: `invoice_for_bob@home.example`.
    Name,
    /// A word that escapes by other signs: see [`DEFENDED`].
    Defended,
}

fn find_in<'r>(
    text: &str,
    kind: Kind,
    replacements: &'r [Replacement],
    hints: impl FnOnce() -> Hints,
) -> Vec<(Range<usize>, &'r str)> {
    let mut out = Vec::new();
    let mut search = Search { text, kind, replacements, first: first(replacements), done: 0 };
    let mut anchors = search.anchors();
    let mut at = 0;
    while let Some(found) = anchors.next(at) {
        at = found + 1;
        work::count(ANCHOR);
        if let Some((range, alias)) = search.at(found) {
            at = range.end;
            out.push((range, alias));
        }
    }
    if search.first != 0 && hints().may_hold(Hint::Defended) {
        let words = DEFENDED.iter().flat_map(|mark| in_defended_words(text, mark, replacements));
        out.extend(words);
        out.sort_by_key(|(range, _)| range.start);
        let mut done = 0;
        out.retain(|(range, _)| {
            let first = range.start >= done;
            done = done.max(range.end);
            first
        });
    }
    out
}

/// Whether an address may stand in a page or document at all: most have no sign that parts name and
/// domain.
#[must_use]
pub(super) fn may_hold_one(html: &str, replacements: &[Replacement]) -> bool {
    let search = Search { text: html, kind: Kind::Html, replacements, first: first(replacements), done: 0 };
    let mut anchors = search.anchors();
    let mut at = 0;
    while let Some(found) = anchors.next(at) {
        at = found + 1;
        work::count(ANCHOR);
        if search.sign(found).is_some() {
            return true;
        }
    }
    search.first != 0 && Hints::of(html.as_bytes()).may_hold(Hint::Defended)
}

/// Words that escape by other signs than others, from what they are known by to their end.
fn in_defended_words<'r>(text: &str, mark: &str, replacements: &'r [Replacement]) -> Vec<(Range<usize>, &'r str)> {
    let (mut out, mut done) = (Vec::new(), 0);
    for start in memchr::memmem::find_iter(text.as_bytes(), mark) {
        if start < done || work::is_over() {
            continue;
        }
        let link = text.as_bytes().get(start..text.len().min(start + LINK)).unwrap_or(&[]);
        let ends = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control() || matches!(b, b'"' | b'\'' | b'<' | b'>');
        done = start + link.iter().position(ends).unwrap_or(link.len());
        let Some(link) = text.get(start..done) else { continue };
        work::count(link.len());
        let mut search = Search { text: link, kind: Kind::Defended, replacements, first: 0, done: 0 };
        for at in memchr::memchr3_iter(b'-', b'*', b'+', link.as_bytes()) {
            work::count(ANCHOR);
            out.extend(search.at(at).map(|(range, alias)| (range.start + start..range.end + start, alias)));
        }
    }
    out
}

/// The first letters of what is looked for behind a `=`, a bit each.
fn first(replacements: &[Replacement]) -> u128 {
    let of = |wide: &Replacement| {
        let domains = wide.domains.iter().map(|domain| domain.chars.first());
        let first = domains.chain([wide.local.first()]).flatten().filter(|c| c.is_ascii());
        first.fold(0, |bits, c| bits | 1 << u32::from(*c))
    };
    replacements.iter().filter(|replacement| replacement.wide).map(of).fold(0, |all, bits| all | bits)
}

/// A search for addresses in a text, from front to back.
struct Search<'t, 'r> {
    text: &'t str,
    kind: Kind,
    replacements: &'r [Replacement],
    /// See [`first`].
    first: u128,
    /// The end of what was found last.
    done: usize,
}

impl<'t, 'r> Search<'t, 'r> {
    /// Where a sign may stand.
    fn anchors(&self) -> Anchors<'t> {
        let text = self.text.as_bytes();
        if self.first == 0 { Anchors::of_at(text) } else { Anchors::of_signs(text) }
    }

    /// The address that stands around the sign at `at`, and what belongs in its place.
    fn at(&mut self, at: usize) -> Option<(Range<usize>, &'r str)> {
        if at < self.done {
            return None;
        }
        let (after, inside) = self.sign(at)?;
        let others = !inside && self.kind != Kind::Defended;
        let mut wanted = self.replacements.iter().filter(|replacement| replacement.wide || others);
        let found = wanted.find_map(|replacement| {
            let found = self.matches(at, after, replacement);
            if !inside {
                return found.map(|range| (range, replacement.alias.as_str()));
            }
            let [straight, turned] = replacement.inside();
            let found = found.map(|range| (range, straight));
            found.or_else(|| Some((self.turned(at, after, replacement)?, turned)))
        })?;
        self.done = found.0.end;
        Some(found)
    }

    /// The end of the sign at `at`, if it is an `@`, or a `=` that stands for one in the name of a
    /// return path (`bounces+ann=home.example@list.test`).
    fn sign(&self, at: usize) -> Option<(usize, bool)> {
        let text = self.text.as_bytes();
        let (byte, next) = (*text.get(at)?, text.get(at + 1)?.to_ascii_lowercase());
        let begins = next.is_ascii() && self.first >> next & 1 == 1;
        if !may_be_sign(byte, next, begins) {
            return None;
        }
        let entities = self.kind == Kind::Html || self.first != 0;
        let reading = Reading { entities, escapes: self.first != 0, defended: self.kind == Kind::Defended };
        if let Some((c, end)) = reading.read(self.text, at)
            && plain(c) == '@'
        {
            return Some((end, false));
        }
        match byte {
            b'=' if begins => Some((at + 1, true)),
            b'*' if self.kind == Kind::Defended => Some((at + 1, false)),
            _ => None,
        }
    }

    fn matches(&self, at: usize, after: usize, replacement: &Replacement) -> Option<Range<usize>> {
        let (text, reading) = (self.text, replacement.reading(self.kind));
        let after = if replacement.wide { self.over_spaces(after) } else { after };
        let stop = replacement
            .domains
            .iter()
            .find_map(|domain| domain_after(text, after, reading, domain, replacement.wide))?;
        // `_name@home.example_` is emphasis.
        let emphasis = self.kind == Kind::Text && text.get(stop..)?.starts_with('_');
        let name = emphasis || self.kind == Kind::Name;
        Some(Local { text, reading, floor: self.done, replacement, name }.start(at)?..stop)
    }

    /// The same with the domain first, as in a return path that was rewritten for forwarding (SRS:
    /// `SRS0=x=y=home.example=ann@list.test`).
    fn turned(&self, at: usize, after: usize, replacement: &Replacement) -> Option<Range<usize>> {
        let (text, reading) = (self.text, replacement.reading(self.kind));
        let stop = Local { text, reading, floor: self.done, replacement, name: false }.end(after)?;
        let ends = |domain: &Domain| {
            let mut chars = domain.chars.iter().rev();
            chars.try_fold(at, |at, want| reading.one_back_over_gap(text, at, self.done, *want))
        };
        let start = replacement.domains.iter().find_map(ends)?;
        let goes_on = |(c, _): (char, usize)| c.is_alphanumeric() || matches!(c, '.' | '-');
        (!reading.read_back(text, start, self.done).is_some_and(goes_on)).then_some(start..stop)
    }

    /// Behind the one or two spaces that people put beside an `@`.
    fn over_spaces(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or("").chars().take(2).take_while(|c| is_space(*c));
        at + rest.map(char::len_utf8).sum::<usize>()
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{3000}')
}

/// The end of `domain` if it is written at `at` and nothing goes on there.
fn domain_after(text: &str, mut at: usize, reading: Reading, domain: &Domain, own: bool) -> Option<usize> {
    for want in &domain.chars {
        at = reading.one_over_gap(text, at, *want)?;
    }
    let mut next = at;
    let rest = std::iter::from_fn(|| {
        let (c, end) = reading.read(text, next)?;
        next = end;
        Some(c)
    });
    (!goes_on(&domain.text, rest, own)).then_some(at)
}

/// Where an `@` stands in HTML, however it is written.
pub(super) fn signs(html: &str) -> impl Iterator<Item = usize> {
    let (mut anchors, mut at) = (Anchors::of_at(html.as_bytes()), 0);
    let next = move || {
        let found = anchors.next(at)?;
        at = found + 1;
        work::count(ANCHOR);
        Some(found)
    };
    std::iter::from_fn(next).filter(|at| forward(html, *at, true).is_some_and(|(c, _)| c == '@'))
}

/// [`scrub`] for text that is needed either way.
#[must_use]
pub fn scrubbed<'a>(text: &'a str, replacements: &[Replacement]) -> Cow<'a, str> {
    scrub(text, false, replacements).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    fn replacements() -> Vec<Replacement> {
        let key = |text: &str| Address::parse(text).unwrap().key();
        let alias = Alias::from_text("alias@m.test");
        vec![
            Replacement::new(&key("b-real-9c1@home.example"), Some(&alias)),
            Replacement::new(&key("s-real@bücher.example"), None),
        ]
    }

    #[test]
    fn every_spelling() {
        // text, as HTML, what becomes of it (None: untouched)
        let cases = [
            ("b-real-9c1@home.example", false, Some("alias@m.test")),
            ("To: B-Real-9C1@Home.Example,", false, Some("To: alias@m.test,")),
            ("<mailto:b-real-9c1%40home.example>", false, Some("<mailto:alias@m.test>")),
            ("b-real-9c1+orders@home.example.", false, Some("alias@m.test.")),
            ("b-real-9c1%2Borders%40home%2Eexample", false, Some("alias@m.test")),
            ("b-real-9c1&#64;home&#x2e;example", true, Some("alias@m.test")),
            ("b-real-9c1&commat;home&period;example", true, Some("alias@m.test")),
            ("&#98;-real-9c1@home.example", true, Some("alias@m.test")),
            ("b-real-9c1&#64;home.example", false, None),
            ("b-real\u{200b}-9c1@ho\u{ad}me.example", false, Some("alias@m.test")),
            ("b-real&shy;-9c1@ho&zwnj;me.example", true, Some("alias@m.test")),
            ("> b-real-9c1@\r\n> home.example wrote", false, Some("> alias@m.test wrote")),
            ("> > b-real-\r\n> > 9c1@home.example", false, Some("> > alias@m.test")),
            ("Hello \r\n> b-real-9c1@home.example", false, Some("Hello \r\n> alias@m.test")),
            ("b-real-9c1\u{ff20}home.example", false, Some("alias@m.test")),
            ("b-real-9c1@home\u{3002}example", false, Some("alias@m.test")),
            ("s-real@bücher.example!", false, Some("!")),
            ("S-REAL@XN--BCHER-KVA.example", false, Some("")),
            ("'b-real-9c1@home.example'", false, Some("'alias@m.test'")),
            ("=b-real-9c1@home.example", false, Some("=alias@m.test")),
            ("b-real-9c1@home.example b-real-9c1@home.example", false, Some("alias@m.test alias@m.test")),
            // no space between the address and what is around it
            ("メールはb-real-9c1@home.exampleまで", false, Some("メールはalias@m.testまで")),
            ("b-real-9c1@home.example。よろしく", false, Some("alias@m.test。よろしく")),
            ("b-real-9c1@home.example.Please", false, Some("alias@m.test.Please")),
            ("b-real-9c1@home.example-Hana", false, Some("alias@m.test-Hana")),
            ("b-real-9c1@home.example.My name", false, Some("alias@m.test.My name")),
            ("b-real-9c1@home.example.My.", false, Some("alias@m.test.My.")),
            ("*_b-real-9c1@home.example_*", false, Some("*_alias@m.test_*")),
            ("*b-real-9c1@home.example*_", false, Some("*alias@m.test*_")),
            ("です。b-real-9c1@home.exampleまで", false, Some("です。alias@m.testまで")),
            ("MAIL....b-real-9c1@home.example", false, Some("MAIL....alias@m.test")),
            ("--b-real-9c1@home.example...ok", false, Some("--alias@m.test...ok")),
            ("b-real-9c1@home.example.TEL 03", false, Some("alias@m.test.TEL 03")),
            // other people
            ("b-real-9c1@home.example-shop.de", false, None),
            ("jimb-real-9c1@home.example", false, None),
            ("x.b-real-9c1@home.example", false, None),
            ("b-real-9c1@home.example.org", false, None),
            ("b-real-9c1@home.examples", false, None),
            ("b-real-9c1@nothome.example", false, None),
            ("@home.example", false, None),
            ("home.example", false, None),
            ("100% @ & \u{ef} \u{ff20}", true, None),
        ];
        for (text, html, want) in cases {
            assert_eq!(scrub(text, html, &replacements()).as_deref(), want, "{text}");
        }
    }

    fn own() -> Vec<Replacement> {
        let addresses = ["b-real-9c1@home.example", "ann@gmail.com", "s@bücher.example", "\"a..b.\"@docomo.ne.jp"];
        let alias = Alias::from_text("alias@m.test");
        addresses.map(|address| Replacement::wide(&Address::parse(address).unwrap().key(), &alias)).to_vec()
    }

    #[test]
    fn the_authors_own_in_every_spelling() {
        // text, what becomes of it as text and as HTML; `None`: untouched
        let cases = [
            // what stands before
            ("返品希望です。b-real-9c1@home.exampleまで", Some("返品希望です。alias@m.testまで")),
            ("返品希望です．b-real-9c1@home.example", Some("返品希望です．alias@m.test")),
            ("「b-real-9c1@home.example」", Some("「alias@m.test」")),
            ("MAIL....b-real-9c1@home.example", Some("MAIL....alias@m.test")),
            ("…b-real-9c1@home.example", Some("…alias@m.test")),
            ("-b-real-9c1@home.example", Some("-alias@m.test")),
            ("__b-real-9c1@home.example__", Some("__alias@m.test__")),
            ("+b-real-9c1@home.example", Some("+alias@m.test")),
            ("1.b-real-9c1@home.example", Some("1.alias@m.test")),
            ("TEL03-0000-0000-b-real-9c1@home.example", Some("TEL03-0000-0000-alias@m.test")),
            ("Mailb-real-9c1@home.example", Some("Mailalias@m.test")),
            ("mail=b-real-9c1@home.example", Some("mail=alias@m.test")),
            ("x.ann@gmail.com", Some("x.alias@m.test")),
            // what stands behind
            ("b-real-9c1@home.example.TEL 03-0000-0000", Some("alias@m.test.TEL 03-0000-0000")),
            ("b-real-9c1@home.example.ok thanks", Some("alias@m.test.ok thanks")),
            ("b-real-9c1@home.example...ok", Some("alias@m.test...ok")),
            ("b-real-9c1@home.exampleTEL", Some("alias@m.testTEL")),
            ("b-real-9c1@home.example03-0000", Some("alias@m.test03-0000")),
            ("ann@gmail.comまで", Some("alias@m.testまで")),
            ("ann@gmail.comTEL", Some("alias@m.testTEL")),
            ("ann@gmail.com.Please", Some("alias@m.test.Please")),
            // spellings of one mailbox
            ("B.real_9c1@home.example", Some("alias@m.test")),
            ("breal9c1@home.example", Some("alias@m.test")),
            ("b.r.e.a.l-9c1.@home.example", Some("alias@m.test")),
            ("b-real-9c1+a.b+c@home.example", Some("alias@m.test")),
            ("a.nn+x@googlemail.com ann@GoogleMail.com", Some("alias@m.test alias@m.test")),
            ("b-real-9c1-shop@home.example", Some("alias@m.test")),
            ("b-real-9c1=shop@home.example", Some("alias@m.test")),
            ("\"b-real-9c1\"@home.example", Some("alias@m.test")),
            ("'b-real-9c1'@home.example", Some("alias@m.test")),
            ("\\\"b-real-9c1\\\"@home.example", Some("alias@m.test")),
            ("&quot;b-real-9c1&quot;@home.example", Some("alias@m.test")),
            ("%22b-real-9c1%22@home.example", Some("alias@m.test")),
            (
                "a..b.@docomo.ne.jp \"a..b.\"@docomo.ne.jp ab@docomo.ne.jp",
                Some("alias@m.test alias@m.test alias@m.test"),
            ),
            ("b-real-9c1 @ home.example", Some("alias@m.test")),
            ("ｂ－ｒｅａｌ－９ｃ１＠ｈｏｍｅ．ｅｘａｍｐｌｅ", Some("alias@m.test")),
            ("b\u{2011}real\u{2010}9c1@home.example", Some("alias@m.test")),
            ("b-r\u{3164}ea\u{fe0f}l\u{206a}-9c1@ho\u{e0020}me.example", Some("alias@m.test")),
            ("b-real-\r\n> > 9c1@\r\n> >home.example", Some("alias@m.test")),
            ("s@B%C3%BCcher.example s@xn--bcher-kva.example", Some("alias@m.test alias@m.test")),
            // escapes, and escapes of escapes
            ("b-real-9c1&#64;home.example", Some("alias@m.test")),
            ("b-real-9c1&#0000000064;home.example", Some("alias@m.test")),
            ("b&#x0000000000000002d;real-9c1&#x000000000040;home&#000046;example", Some("alias@m.test")),
            ("b-real-9c1&amp;#000000000064;home.example", Some("alias@m.test")),
            ("b-real-9c1&amp;#x40;home&amp;period;example", Some("alias@m.test")),
            ("https://x.test/?q=b-real-9c1%40home.example&x", Some("https://x.test/?q=alias@m.test&x")),
            (
                "https://e.safelinks.protection.outlook.com/?url=https%3A%2F%2Fs.test%2F%3Fm%3Db-real-9c1%2540home.example&data=05%7C02%7Cb-real-9c1%40home.example%7Cx",
                Some(
                    "https://e.safelinks.protection.outlook.com/?url=https%3A%2F%2Fs.test%2F%3Fm%3Dalias@m.test&data=05%7C02%7Calias@m.test%7Cx",
                ),
            ),
            (
                "https://www.google.com/url?q=https://s.test/%3Fm%3D%62%2Dreal%2D%39c1%40home%2Eexample&sa=D",
                Some("https://www.google.com/url?q=https://s.test/%3Fm%3Dalias@m.test&sa=D"),
            ),
            (
                "https://urldefense.proofpoint.com/v1/url?u=https://s.test/%3Fm%3Db-real-9c1%2540home.example&k=x",
                Some("https://urldefense.proofpoint.com/v1/url?u=https://s.test/%3Fm%3Dalias@m.test&k=x"),
            ),
            (
                "https://urldefense.proofpoint.com/v2/url?u=https-3A__s.test_-3Fm-3Db-2Dreal-2D9c1-2540home.example&d=x",
                Some("https://urldefense.proofpoint.com/v2/url?u=https-3A__s.test_-3Fm-3Dalias@m.test&d=x"),
            ),
            (
                "https://urldefense.proofpoint.com/v2/url?u=mailto-3Ab-2Dreal-2D9c1-40home.example&d=x",
                Some("https://urldefense.proofpoint.com/v2/url?u=mailto-3Aalias@m.test&d=x"),
            ),
            (
                "https://urldefense.com/v3/__https://s.test/?m=b-real-9c1*40home.example__;JQ!!x$",
                Some("https://urldefense.com/v3/__https://s.test/?m=alias@m.test__;JQ!!x$"),
            ),
            (
                "https://urldefense.com/v3/__mailto:b-real-9c1*home.example__;QA!!x$",
                Some("https://urldefense.com/v3/__mailto:alias@m.test__;QA!!x$"),
            ),
            ("b-real-9c1=40home.example b-real-9c1=3D40home.example", Some("alias@m.test alias@m.test")),
            ("{\"e\":\"b-real-9c1\\u0040home.example\"}", Some("{\"e\":\"alias@m.test\"}")),
            ("b-real-9c1\\x40home.example", Some("alias@m.test")),
            // in return paths
            ("bounces+b-real-9c1=home.example@list.test", Some("bounces+alias=m.test@list.test")),
            ("SRS0=x1Yz=AB=home.example=b-real-9c1@list.test", Some("SRS0=x1Yz=AB=m.test=alias@list.test")),
            ("SRS1=x=f.test==x1Yz=AB=gmail.com=an.n@list.test", Some("SRS1=x=f.test==x1Yz=AB=m.test=alias@list.test")),
            ("SRS0=x1Yz=AB=home.example=b-real-9c12@list.test", None),
            ("SRS0=x1Yz=AB=work.home.example=b-real-9c1@list.test", None),
            ("<IMCEASMTP-b-real-9c1+40home+2Eexample@x.test>", Some("<IMCEASMTP-alias@m.test@x.test>")),
            ("prvs=0123abcd=b-real-9c1@home.example", Some("prvs=0123abcd=alias@m.test")),
            // other people, and other words
            ("jimann@gmail.com", None),
            ("ann@gmail.company", None),
            ("ann@gmail.com.au", None),
            ("bob@home.example", None),
            ("b-real-9c2@home.example", None),
            ("b-real-9c1@work.example", None),
            ("b-real-9c1, @home.example", None),
            ("a = home.example", None),
            ("https://urldefense.com/v3/__https://s.test/?a=b__;JQ!!x$ -40 *40", None),
        ];
        for (text, want) in cases {
            for html in [false, true] {
                assert_eq!(scrub(text, html, &own()).as_deref(), want, "{text}");
            }
            assert_eq!(scrub_name(text, &own()).as_deref(), want, "the name of a file: {text}");
        }
        // What ends a cell is no more than a line's end.
        assert_eq!(scrub("b-real-9c1\0\r\n \0@home.example", true, &own()).as_deref(), Some("alias@m.test"));
    }

    #[test]
    fn storms_cost_little() {
        for storm in
            ["@", "%40", "&#64;", "a@", "b-real-9c1@", "\u{ff20}", "@home.example", "+@", "> \r\n", "=h", "\\", "-40"]
        {
            let text = storm.repeat(1_000_000 / storm.len());
            let _ = scrub(&text, true, &replacements());
            let _ = scrub(&text, true, &own());
        }
    }

    proptest::proptest! {
        #[test]
        fn twice_is_once(text in "([@a%4 0&;#>\r\n.+-]|b-real-9c1@home\\.example|\u{ff20}|home){0,20}", html: bool) {
            for replacements in [replacements(), own()] {
                if let Some(once) = scrub(&text, html, &replacements) {
                    proptest::prop_assert_eq!(scrub(&once, html, &replacements), None, "{}", once);
                }
            }
        }
    }
}
