//! Whether a secret stands in a text for somebody who looks at its letters alone: whatever stands
//! between them, and whatever beside them. Stricter than the rewriter, which has to say where an
//! address begins and ends.
//!
//! Whom it hits: nobody in everyday mail, as the rewriter replaces what people and programs write;
//! who takes an address apart so that no program finds it is refused. What that tells a liar:
//! nothing, the secrets are his own ([`super::Secrets`]).

use crate::message::anchors::Anchors;
use crate::message::endings::goes_on;
use crate::message::hints::DEFENDED;
use crate::message::work;
use crate::message::written::{Reading, may_be_sign, plain};
use crate::types::{AddressKey, Providers, is_invisible};

/// The letters of an address that must not be seen.
pub(super) struct Letters {
    local: Vec<char>,
    /// As it is written, and its letters.
    domains: Vec<(String, Vec<char>)>,
    /// Too short to be told from the end of another name at the same provider.
    short: bool,
}

const READING: Reading = Reading { entities: true, escapes: true, defended: false };
/// Octets before an `@` that are read, and behind it.
const NEAR: usize = 600;
/// Octets of a link.
const LINK: usize = 4096;
/// Octets of a tag.
const TAG: usize = 1000;
/// Letters of a name that is hardly the end of another one.
const DISTINCT: usize = 6;

impl Letters {
    pub(super) fn new(key: &AddressKey) -> Self {
        let letters = |text: &str| text.chars().map(plain).filter(|c| c.is_alphanumeric()).collect::<Vec<_>>();
        let all = key.domains();
        let local = letters(&key.letters());
        let is_provider = |domain: &&str| Providers::default().gives_mailboxes(domain);
        let short = local.len() < DISTINCT && all.first().is_some_and(is_provider);
        let domains = all.into_iter().map(str::to_owned).chain(key.unicode_domain());
        Self { short, local, domains: domains.map(|domain| (domain.clone(), letters(&domain))).collect() }
    }

    pub(super) fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(|(domain, _)| domain.as_str())
    }

    fn stands_at(&self, text: &str, sign: usize, after: usize) -> bool {
        let behind = self.domains.iter().any(|(domain, letters)| {
            behind(text, after, letters).is_some_and(|mut at| {
                let rest = std::iter::from_fn(|| {
                    let (c, end) = READING.read(text, at)?;
                    at = end;
                    Some(c)
                });
                !goes_on(domain, rest, true)
            })
        });
        if self.local.is_empty() {
            return false;
        }
        behind && self.ends(&before(text, sign))
            || text.get(sign..after) == Some("=") && self.is_turned(text, sign, after)
    }

    /// Whether the local part stands behind, and the domain before, as SRS writes them.
    fn is_turned(&self, text: &str, sign: usize, after: usize) -> bool {
        let whole = |at: usize| !READING.read(text, at).is_some_and(|(c, _)| shows(c));
        behind(text, after, &self.local).is_some_and(whole) && {
            let before = before(text, sign);
            let letters = || before.iter().map(|(c, _)| *c);
            let parted = |start: usize| before.get(start).is_some_and(|(_, gap)| start == 0 || *gap != Gap::None);
            self.domains.iter().any(|(_, domain)| {
                let start = before.len().checked_sub(domain.len());
                start.is_some_and(|start| letters().skip(start).eq(domain.iter().copied()) && parted(start))
            })
        }
    }

    /// Whether the local part stands at the end, or before a tag.
    fn ends(&self, letters: &[(char, Gap)]) -> bool {
        let ends = |before: &[(char, Gap)]| {
            let Some(start) = before.len().checked_sub(self.local.len()) else { return false };
            let Some(found) = before.get(start..) else { return false };
            let glued = start > 0 && found.first().is_some_and(|(_, gap)| *gap == Gap::None);
            let whole = found.iter().skip(1).all(|(_, gap)| *gap != Gap::Wall);
            whole && found.iter().map(|(c, _)| *c).eq(self.local.iter().copied()) && !(glued && self.short)
        };
        if ends(letters) {
            return true;
        }
        for (n, (_, gap)) in letters.iter().enumerate().rev() {
            work::count(1);
            match gap {
                Gap::Wall | Gap::Space => return false,
                Gap::Sign if letters.get(..n).is_some_and(ends) => return true,
                Gap::Sign | Gap::None => {}
            }
        }
        false
    }
}

/// What stands before a letter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    /// Signs of a local part.
    Sign,
    /// Something that an address may be taken apart by.
    Space,
    /// Something that ends an address.
    Wall,
}

/// Whether it is a letter or digit that one sees: a Hangul filler is one that nobody does.
fn shows(c: char) -> bool {
    c.is_alphanumeric() && !is_invisible(c)
}

fn gap_of(c: char) -> Gap {
    match plain(c) {
        '.' | '-' | '_' | '+' | '=' => Gap::Sign,
        c if c.is_whitespace() || c.is_control() || is_invisible(c) => Gap::Space,
        '"' | '\'' | '\\' | '>' | '|' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => Gap::Space,
        _ => Gap::Wall,
    }
}

/// Whether one of the secrets stands in `text`.
pub(super) fn found(text: &str, secrets: &[Letters]) -> bool {
    let mut anchors = Anchors::of_signs(text.as_bytes());
    let names = secrets.iter().map(|secret| secret.local.first());
    let domains = secrets.iter().flat_map(|secret| secret.domains.iter().map(|(_, letters)| letters.first()));
    let first: Vec<char> = names.chain(domains).flatten().copied().collect();
    let mut from = 0;
    while let Some(at) = anchors.next(from) {
        from = at + 1;
        work::count(4);
        let Some((sign, after)) = sign(text, at, &first) else { continue };
        if secrets.iter().any(|secret| secret.stands_at(text, sign, after)) {
            return true;
        }
    }
    false
}

/// The same in links that Proofpoint wrote, and in addresses that Exchange wrote into its own,
/// which escape by other signs: `-40`, `*40`, `+40`.
pub(super) fn found_in_defended(text: &str, secrets: &[Letters]) -> bool {
    DEFENDED.into_iter().any(|mark| found_behind(text, mark, secrets))
}

fn found_behind(text: &str, mark: &str, secrets: &[Letters]) -> bool {
    let bytes = text.as_bytes();
    work::skip(bytes.len());
    let mut done = 0;
    memchr::memmem::find_iter(bytes, mark).any(|start| {
        if start < done {
            return false;
        }
        let link = bytes.get(start..bytes.len().min(start + LINK)).unwrap_or(&[]);
        done = start + link.iter().position(|b| b.is_ascii_whitespace() || b"\"'<>".contains(b)).unwrap_or(link.len());
        let link = String::from_utf8_lossy(bytes.get(start..done).unwrap_or(&[]));
        work::count(link.len() * 2);
        found(&percent_encoded(&link), secrets) || found(&link.replace('*', "@"), secrets)
    })
}

/// With `%` for the sign that escapes in such a link.
fn percent_encoded(link: &str) -> String {
    let digit = |c: Option<char>, most: u32| c.and_then(|c| c.to_digit(16)).is_some_and(|digit| digit < most);
    let mut chars = link.chars();
    let mut out = String::with_capacity(link.len());
    while let Some(c) = chars.next() {
        let mut next = chars.clone();
        let escapes = digit(next.next(), 8) && digit(next.next(), 16);
        out.push(if escapes && matches!(c, '-' | '*' | '+') { '%' } else { c });
    }
    out
}

/// The sign at `at`, and its end: an `@`, or a `=` that may stand for one.
fn sign(text: &str, at: usize, first: &[char]) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let (byte, next) = (*bytes.get(at)?, *bytes.get(at + 1)?);
    let begins = !next.is_ascii() || first.contains(&char::from(next.to_ascii_lowercase()));
    if !may_be_sign(byte, next.to_ascii_lowercase(), begins) {
        return None;
    }
    let (c, end) = READING.read(text, at)?;
    match (plain(c), byte) {
        ('@', _) => Some((at, end)),
        (_, b'=') if begins => Some((at, at + 1)),
        _ => None,
    }
}

/// The end of a tag at `at`, if one is there.
fn tag(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes().get(at..)?;
    let opens =
        bytes.first() == Some(&b'<') && bytes.get(1).is_some_and(|b| b.is_ascii_alphabetic() || b"/!".contains(b));
    let near = bytes.get(..bytes.len().min(TAG)).filter(|_| opens)?;
    let length = memchr::memchr(b'>', near)?;
    work::skip(length);
    Some(at + length + 1)
}

/// The end of these letters, if they stand at `at`.
fn behind(text: &str, mut at: usize, letters: &[char]) -> Option<usize> {
    let least = at;
    let mut wanted = letters.iter();
    let mut want = wanted.next()?;
    while at - least < NEAR + TAG {
        work::count(1);
        if let Some(end) = tag(text, at) {
            at = end;
            continue;
        }
        let (c, end) = READING.read(text, at)?;
        at = end;
        if shows(c) {
            if plain(c) != *want {
                return None;
            }
            want = match wanted.next() {
                Some(next) => next,
                None => return Some(at),
            };
        } else if gap_of(c) == Gap::Wall && !matches!(plain(c), '>' | '|') {
            return None;
        }
    }
    None
}

/// The letters before `at`, each with what stands before it.
fn before(text: &str, at: usize) -> Vec<(char, Gap)> {
    let start = text.ceil_char_boundary(at.saturating_sub(NEAR));
    let near = text.get(..at).unwrap_or("");
    let (mut out, mut gap, mut position) = (Vec::new(), Gap::None, start);
    let worse = |one: Gap, other: Gap| match (one, other) {
        (Gap::Wall, _) | (_, Gap::Wall) => Gap::Wall,
        (Gap::Space, _) | (_, Gap::Space) => Gap::Space,
        (Gap::Sign, _) | (_, Gap::Sign) => Gap::Sign,
        _ => Gap::None,
    };
    while position < at {
        work::count(1);
        if let Some(end) = tag(near, position) {
            (position, gap) = (end, worse(gap, Gap::Space));
            continue;
        }
        let Some((c, end)) = READING.read(near, position) else { break };
        position = end;
        if shows(c) {
            out.push((plain(c), std::mem::replace(&mut gap, Gap::None)));
        } else {
            gap = worse(gap, gap_of(c));
        }
    }
    // What stands between the last letter and the sign.
    if gap == Gap::Wall { Vec::new() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    #[test]
    fn letters_are_found() {
        let secrets = ["b-real-9c1@home.example", "ann@gmail.com", "s@bücher.example", "\"a..b.\"@docomo.ne.jp"]
            .map(|address| Letters::new(&Address::parse(address).unwrap().key()));
        // text, whether one of them stands in it
        let cases = [
            ("b-real-9c1@home.example", true),
            ("B.REAL_9c1@HOME.example", true),
            ("b-real-9c1+tag-x@home.example", true),
            ("....b-real-9c1@home.example...", true),
            ("Mailb-real-9c1@home.exampleTEL", true),
            ("1.b-real-9c1@home.example.TEL", true),
            ("です。b-real-9c1@home.exampleまで", true),
            ("b-real-9c1 @ home.example", true),
            ("b-real-\r\n> 9c1@home.\r\n> example", true),
            ("<td>b-real-9c1</td>\r\n <td>@home.example</td>", true),
            ("b-real-9c1@<br>home.example", true),
            ("b-real-9c1%252540home%2eexample", true),
            ("b-real-9c1=40home.example", true),
            ("b-real-9c1\\u0040home.example", true),
            ("x+b-real-9c1=home.example@list.test", true),
            ("SRS0=x1Yz=AB=home.example=b-real-9c1@list.test", true),
            ("SRS0=x1Yz=AB=nothome.example=b-real-9c1@list.test", false),
            ("SRS0=x1Yz=AB=home.example=b-real-9c12@list.test", false),
            ("IMCEASMTP-b-real-9c1+40home+2Eexample@x.test", true),
            ("\"b-real-9c1\"@home.example", true),
            ("\\\"b-real-9c1\\\"@home.example", true),
            ("b\u{3164}-real-9c1@ho\u{fe0f}me.example", true),
            ("s@bücher.example s@xn--bcher-kva.example", true),
            ("a..b.@docomo.ne.jp", true),
            ("ab@docomo.ne.jp", true),
            ("a-n-n+x@googlemail.com", true),
            // other people, and other words
            ("jimann@gmail.com", false),
            ("ann@gmail.company", false),
            ("ann@gmail.com.au", false),
            ("b-real-9c1, @home.example", false),
            ("b-real-9c2@home.example", false),
            ("b-real-9c1@work.example", false),
            ("b-real-9c1: (@home.example)", false),
            ("home.example b-real-9c1", false),
            ("a = b; home = example", false),
        ];
        for (text, want) in cases {
            let found = found(text, &secrets) || found_in_defended(text, &secrets);
            assert_eq!(found, want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "([@%=&;\\\\<>a-z40 .]|b-real-9c1|home\\.example|ü|\u{ff20}){0,40}") {
            let secrets = [Letters::new(&Address::parse("b-real-9c1@home.example").unwrap().key())];
            let _ = found(&text, &secrets);
        }
    }
}
