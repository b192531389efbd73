//! What a DKIM signature says, apart from whether it is good: what it covers, to whom it was
//! written, and when.
//!
//! A good signature proves that the domain signed these words once. Anybody who has the message can
//! send it again, to whom he likes, with fields on top that the signature does not cover. So a
//! signature alone proves an author only where it covers who wrote it, what it is about and to whom
//! it went; covers the whole body; names the recipient; and is not old. What it does not cover
//! proves nothing, as little as if it were not there: SPF or a login has to do it.
//!
//! Whom it hits: senders whose servers leave `To` out (Microsoft 365, outlook.com, 163.com), and
//! mail by `Bcc`, where SPF does not prove them either, as behind a front that hides the client.
//! What it tells a liar: nothing that he could not read in the message himself.

use super::Outcome;
use crate::message::addressed;
use crate::message::headers::Field;
use crate::types::{Address, Time};
use mail_parser::DateTime;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// How old a signature may be: mail is tried for five days, and a weekend.
const OLDEST: Duration = Duration::from_secs(8 * 86_400);

/// Why a signature proves nothing. The words are for the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// It cannot be read in one way only.
    Malformed,
    /// `l=`: anything may be hung on to the body (RFC 6376 8.2).
    LengthTag,
    /// `From` is not covered.
    NoFrom,
    /// `Subject` is not covered: one could be added, even where the message has none.
    NoSubject,
    /// Neither `To` nor `Cc` is covered.
    NoTo,
    /// It was made more than eight days ago, or will be made tomorrow.
    Old,
    /// It is of a sub-domain of a mailbox provider, which may be anybody's.
    SubDomain,
    /// A front tells of it, and it is not in the message.
    Missing,
    /// It names others, not this recipient.
    NotToYou,
}

impl Weakness {
    /// The word used in the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::LengthTag => "l-tag",
            Self::NoFrom => "no-from",
            Self::NoSubject => "no-subject",
            Self::NoTo => "no-to",
            Self::Old => "old",
            Self::SubDomain => "sub-domain",
            Self::Missing => "missing",
            Self::NotToYou => "not-to-you",
        }
    }
}

/// A signature of the author's domain, or of one that DMARC takes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Whether it is good.
    pub(super) outcome: Outcome,
    /// Why it proves nothing to anybody; none where it does to those whom it names.
    pub(super) weakness: Option<Weakness>,
    /// The message's recipients whom the covered `To` and `Cc` name.
    pub(super) names: Vec<Address>,
    /// SHA-256 of its value; of several where a front does not say which one it means.
    pub(super) values: Vec<[u8; 32]>,
    /// Whom `i=` names, if it names a mailbox; none inside where that cannot be read.
    pub(super) identities: Vec<Option<Address>>,
}

impl Signed {
    /// Why it proves nothing to this recipient.
    pub(super) fn weakness_to(&self, recipient: &Address) -> Option<Weakness> {
        self.weakness.or_else(|| (!self.names.contains(recipient)).then_some(Weakness::NotToYou))
    }
}

/// The tags of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    pub(super) domain: String,
    pub(super) selector: String,
    pub(super) identity: String,
    /// The value in base64, as it is written but for white space.
    pub(super) value: String,
    /// Names of the covered fields, in order.
    pub(super) covered: Vec<String>,
    made: Option<i64>,
    length: bool,
    /// A tag stands twice, or has no form (RFC 6376 3.2): two readers may differ.
    broken: bool,
}

impl Tags {
    /// Reads the value of a `DKIM-Signature` field. What is broken is told, not dropped: it may be
    /// good for another reader.
    pub(super) fn read(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        let mut tags = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for tag in text.split(';') {
            let Some((name, value)) = tag.split_once('=') else {
                tags.broken |= !tag.trim().is_empty();
                continue;
            };
            let name = name.trim();
            if seen.iter().any(|known| known == name) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                tags.broken = true;
            }
            let value: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            match name {
                "d" => tags.domain = value.to_ascii_lowercase(),
                "s" => tags.selector = value.to_ascii_lowercase(),
                "i" => tags.identity = value,
                "b" => tags.value = value,
                "h" => tags.covered = value.split(':').map(str::to_ascii_lowercase).collect(),
                "t" => tags.made = value.parse().ok(),
                "l" => tags.length = true,
                // Readers that take names in any case see another tag than we do.
                "D" | "S" | "I" | "B" | "H" | "T" | "L" => tags.broken = true,
                _ => {}
            }
            seen.push(name.to_owned());
        }
        tags
    }

    /// Whether it covers a part of the body only.
    pub(super) fn is_shortened(&self) -> bool {
        self.length
    }

    fn covers(&self, name: &str) -> bool {
        self.covered.iter().any(|covered| covered.eq_ignore_ascii_case(name))
    }

    /// Whom `i=` names.
    pub(super) fn mailbox(&self) -> Option<Option<Address>> {
        match self.identity.rsplit_once('@') {
            Some((local, _)) if !local.is_empty() => Some(Address::parse(&unquoted(&self.identity)).ok()),
            _ => None,
        }
    }
}

/// `=40` and its like in a tag's value (RFC 6376 2.11).
fn unquoted(text: &str) -> Cow<'_, str> {
    if !text.contains('=') {
        return Cow::Borrowed(text);
    }
    let decoded = crate::message::transfer::decode_q(text.as_bytes(), false);
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// What the signatures of a message are held against: its header, its recipients, and the time.
pub(super) struct Header<'a> {
    fields: &'a [Field<'a>],
    now: Time,
    /// The recipients whom `To` names, and those whom `Cc` names: the last field of each, which is
    /// the covered one.
    to: Vec<&'a Address>,
    cc: Vec<&'a Address>,
}

impl<'a> Header<'a> {
    pub(super) fn new(fields: &'a [Field<'a>], recipients: &'a [Address], now: Time) -> Self {
        let named = |name: &str| {
            let field = last(fields, name);
            let is_named = |recipient: &&Address| field.is_some_and(|field| addressed::names_in(field, recipient));
            recipients.iter().filter(is_named).collect()
        };
        Self { fields, now, to: named("To"), cc: named("Cc") }
    }

    /// Why a signature with these tags proves nothing to anybody.
    pub(super) fn weakness(&self, tags: &Tags) -> Option<Weakness> {
        if tags.broken {
            return Some(Weakness::Malformed);
        }
        if tags.length {
            return Some(Weakness::LengthTag);
        }
        if !tags.covers("From") {
            return Some(Weakness::NoFrom);
        }
        if !tags.covers("Subject") {
            return Some(Weakness::NoSubject);
        }
        if !tags.covers("To") && !tags.covers("Cc") {
            return Some(Weakness::NoTo);
        }
        let made = tags.made.map(|seconds| Time(seconds.saturating_mul(1000))).or_else(|| self.date(tags));
        let old = made.is_some_and(|made| made > self.now.plus(DAY) || made < self.now.minus(OLDEST));
        old.then_some(Weakness::Old)
    }

    /// The recipients whom the covered fields name.
    pub(super) fn names(&self, tags: &Tags) -> Vec<Address> {
        let to = self.to.iter().filter(|_| tags.covers("To"));
        to.chain(self.cc.iter().filter(|_| tags.covers("Cc"))).map(|address| (*address).clone()).collect()
    }

    /// The covered date, if it is one.
    fn date(&self, tags: &Tags) -> Option<Time> {
        let field = last(self.fields, "Date").filter(|_| tags.covers("Date"))?;
        let date = DateTime::parse_rfc822(&field.text()).filter(DateTime::is_valid)?;
        Some(Time(date.to_timestamp().saturating_mul(1000)))
    }
}

/// RFC 6376 5.4.2: a field that stands several times is covered from the bottom.
fn last<'a>(fields: &'a [Field<'a>], name: &str) -> Option<&'a Field<'a>> {
    fields.iter().rev().find(|field| field.is(name))
}

/// SHA-256 of a decoded value.
pub(super) fn digest(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::split;

    const NOW: Time = Time(1_795_000_000_000);

    #[test]
    fn what_a_signature_must_cover() {
        use Weakness::{LengthTag, Malformed, NoFrom, NoSubject, NoTo, NotToYou, Old};
        let all = "h=from:to:subject";
        let at = |days: i64| format!("h=from:to:subject; t={}", NOW.0 / 1000 + days * 86_400);
        let named = "To: bq7k@m.test\r\n";
        let dated = |date: &str| format!("To: bq7k@m.test\r\nDate: {date}\r\n");
        // tags beside d, s and b; header; weakness to the recipient
        let cases: Vec<(String, String, Option<Weakness>)> = vec![
            (all.into(), named.into(), None),
            ("h=From : TO:\r\n\tSubject".into(), named.into(), None),
            ("h=from:cc:subject".into(), "Cc: bq7k@m.test\r\n".into(), None),
            ("h=from:from:to:to:cc:subject:subject".into(), named.into(), None),
            (all.into(), "Cc: bq7k@m.test\r\n".into(), Some(NotToYou)),
            (all.into(), "To: other@m.test\r\nCc: bq7k@m.test\r\n".into(), Some(NotToYou)),
            ("h=from:cc:subject".into(), named.into(), Some(NotToYou)),
            (all.into(), "To: \"bq7k@m.test\" <x@evil.test>\r\n".into(), Some(NotToYou)),
            (all.into(), "To: bq7k@m.test\r\nTo: x@evil.test\r\n".into(), Some(NotToYou)),
            (all.into(), "To: x@evil.test\r\nTo: bq7k@m.test\r\n".into(), None),
            (all.into(), String::new(), Some(NotToYou)),
            ("h=to:subject".into(), named.into(), Some(NoFrom)),
            ("h=from:to".into(), named.into(), Some(NoSubject)),
            ("h=from:to:x-subject".into(), named.into(), Some(NoSubject)),
            ("h=from:subject:date".into(), named.into(), Some(NoTo)),
            (format!("{all}; l=100"), named.into(), Some(LengthTag)),
            (format!("{all}; l=0"), named.into(), Some(LengthTag)),
            (format!("{all}; l = "), named.into(), Some(LengthTag)),
            (format!("{all}; h=from"), named.into(), Some(Malformed)),
            (format!("{all}; H=from"), named.into(), Some(Malformed)),
            (format!("{all}; t=1; t=2"), named.into(), Some(Malformed)),
            (format!("{all}; nonsense"), named.into(), Some(Malformed)),
            (format!("{all}; x y=1"), named.into(), Some(Malformed)),
            (format!("{all};"), named.into(), None),
            // how old it is
            (at(0), named.into(), None),
            (at(-7), named.into(), None),
            (at(-8), named.into(), None),
            (at(-9), named.into(), Some(Old)),
            (at(1), named.into(), None),
            (at(2), named.into(), Some(Old)),
            (format!("{all}; t=0"), named.into(), Some(Old)),
            (format!("{all}; t=99999999999999999999"), named.into(), None),
            (format!("{all}; t=9223372036854775807"), named.into(), Some(Old)),
            // by the date, where there is no t=
            ("h=from:to:subject:date".into(), dated("Tue, 17 Nov 2026 10:00:00 +0000"), None),
            ("h=from:to:subject:date".into(), dated("Mon, 2 Nov 2026 10:00:00 +0000"), Some(Old)),
            ("h=from:to:subject:date".into(), dated("Mon, 30 Nov 2026 10:00:00 +0000"), Some(Old)),
            ("h=from:to:subject:date".into(), dated("yesterday"), None),
            (all.into(), dated("Mon, 2 Nov 2026 10:00:00 +0000"), None),
            (
                format!("{}:date", at(0)).replace("subject; ", "subject:date; ").trim_end_matches(":date").into(),
                dated("Mon, 2 Nov 2020 10:00:00 +0000"),
                None,
            ),
        ];
        let recipients = [Address::parse("bq7k@m.test").unwrap()];
        for (tags, header, want) in cases {
            let (fields, _) = split(header.as_bytes());
            let header = Header::new(&fields, &recipients, NOW);
            let tags = Tags::read(format!("v=1; a=rsa-sha256; d=shop.test; s=s; {tags}; b=AAAA").as_bytes());
            let weakness = header.weakness(&tags);
            let names = header.names(&tags);
            let signed = Signed { outcome: Outcome::Pass, weakness, names, values: Vec::new(), identities: Vec::new() };
            assert_eq!(signed.weakness_to(&recipients[0]), want, "{tags:?}");
        }
    }

    #[test]
    fn tags_and_identities() {
        let tags = Tags::read(b" v=1; d=Shop.TEST;\r\n s=S1; i=ann=2Boffice@shop.test;\r\n b=AB\r\n CD=; h=a:b");
        assert_eq!((tags.domain.as_str(), tags.selector.as_str(), tags.value.as_str()), ("shop.test", "s1", "ABCD="));
        assert_eq!(tags.mailbox().flatten().as_ref().map(Address::expose), Some("ann+office@shop.test"));
        // i=, what it names
        let cases = [
            ("", None),
            ("@shop.test", None),
            ("shop.test", None),
            ("ann@shop.test", Some(Some("ann@shop.test"))),
            ("a b@shop.test", Some(Some("ab@shop.test"))),
            ("\"@shop.test", Some(None)),
        ];
        for (identity, want) in cases {
            let found = Tags::read(format!("i={identity}").as_bytes()).mailbox();
            assert_eq!(found.as_ref().map(|f| f.as_ref().map(Address::expose)), want, "{identity}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value(value in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let tags = Tags::read(&value);
            let _ = (tags.mailbox(), Header::new(&[], &[], NOW).weakness(&tags));
        }
    }
}
