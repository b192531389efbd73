//! Domains at which strangers have mailboxes side by side, and when two spellings of an address are
//! one person there.
//!
//! SPF, DKIM and DMARC prove a domain. Where one company holds a domain, that is proof of the
//! author: the others there are his colleagues. At these domains it is not: whoever opens an
//! account has everything passing. One table ([`super::houses`]) says so for all rules
//! ([`Providers::gives_mailboxes`]), and the same row says which spellings are the same author
//! ([`Providers::same_author`]).
//!
//! A row that is missing lets a neighbour speak in the author's name. A row too many refuses
//! envelope senders and `Sender` fields of honest people whose `From` is proved, until they are
//! registered. The operator adds domains by `[authentication] providers` and `tags`.

use super::houses::{HOUSES, House};
use super::{Address, address};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

static BY_DOMAIN: LazyLock<HashMap<&'static str, &'static House>> = LazyLock::new(|| {
    HOUSES.iter().flat_map(|house| house.domains.iter().map(move |domain| (*domain, house))).collect()
});

/// The table, with what the operator adds to it.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    added: HashSet<String>,
    tags: HashSet<String>,
}

impl Providers {
    /// The table with more domains: where strangers have mailboxes, and where `ann+tag@` is `ann@`.
    /// Lower-case A-labels.
    #[must_use]
    pub fn new(added: impl IntoIterator<Item = String>, tags: impl IntoIterator<Item = String>) -> Self {
        Self { added: added.into_iter().collect(), tags: tags.into_iter().collect() }
    }

    /// Whether strangers have mailboxes in this domain. What lies below a provider's domain is the
    /// provider's as well.
    #[must_use]
    pub fn gives_mailboxes(&self, domain: &str) -> bool {
        house(domain).is_some() || (!self.added.is_empty() && above(domain).any(|name| self.added.contains(name)))
    }

    /// Whether a mailbox in one of these domains may belong to a customer of the same provider: the
    /// same domain, one below the other, or two domains of one house.
    #[must_use]
    pub fn neighbours(&self, one: &str, other: &str) -> bool {
        is_within(one, other)
            || is_within(other, one)
            || matches!((house(one), house(other)), (Some(a), Some(b)) if std::ptr::eq(a, b))
    }

    /// Whether two addresses are the same author. Letter case does not matter, ASCII only: a Kelvin
    /// sign is no `k`. A `+tag`, a dot and a twin domain are the same only where a row, or the
    /// operator, says so.
    ///
    /// The honest: whoever writes by another spelling than the registered one is known where his
    /// provider says that nobody else can have it, and a stranger elsewhere, until it is
    /// registered. A liar gains nothing: a spelling that is the same author's is none that he can
    /// open.
    ///
    /// Narrower than [`super::spelling`], which is for what is hidden: there each of them is the
    /// same address.
    #[must_use]
    pub fn same_author(&self, one: &Address, other: &Address) -> bool {
        if one == other {
            return true;
        }
        let ((one, a), (other, b)) = (seat(one), seat(other));
        let row = row(a);
        let twins = |row: &House| row.twins.contains(&a) && row.twins.contains(&b);
        if a != b && !row.is_some_and(twins) {
            return false;
        }
        let tags = row.is_some_and(|row| row.tags) || self.tags.contains(a);
        let (one, other) = (mailbox(one, tags), mailbox(other, tags));
        match row {
            Some(row) if !row.ignored.is_empty() || !row.alike.is_empty() => {
                counting(one, row).eq(counting(other, row)) && counting(one, row).next().is_some()
            }
            _ => one.eq_ignore_ascii_case(other),
        }
    }

    /// Whether an address is the same author as one of these, or lies in one of these domains,
    /// which are his alone.
    #[must_use]
    pub fn is_among(&self, addresses: &[Address], domains: &[String], one: &Address) -> bool {
        addresses.iter().any(|known| self.same_author(known, one)) || domains.iter().any(|known| known == one.domain())
    }
}

/// The local part and the domain of the mailbox, where the name may stand before the domain.
fn seat(address: &Address) -> (&str, &str) {
    let below = address.domain().split_once('.').filter(|(_, domain)| row(domain).is_some_and(|row| row.below));
    below.unwrap_or((address.local(), address.domain()))
}

/// What of a local part counts at this provider.
fn counting<'l>(local: &'l str, row: &'static House) -> impl Iterator<Item = char> + 'l {
    let counted = local.chars().filter(|c| !row.ignored.contains(*c));
    counted.map(|c| if row.alike.contains(c) { '.' } else { c.to_ascii_lowercase() })
}

/// A local part without its tag, where tags count for nothing. The quotes around dots are none of
/// the name.
fn mailbox(local: &str, tags: bool) -> &str {
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let local = inner.filter(|inner| address::is_dotted(inner)).unwrap_or(local);
    match local.find('+') {
        Some(cut) if tags && cut > 0 && !local.starts_with('"') => local.get(..cut).unwrap_or(local),
        _ => local,
    }
}

/// Whether a domain is the other, or lies below it.
#[must_use]
pub fn is_within(domain: &str, other: &str) -> bool {
    domain.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A domain and those above it, the longest first.
fn above(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, rest)| rest))
}

/// The row of a domain itself.
pub(super) fn row(domain: &str) -> Option<&'static House> {
    BY_DOMAIN.get(domain).copied()
}

/// The row of a domain, or of one above it.
fn house(domain: &str) -> Option<&'static House> {
    above(domain).find_map(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_stands_once_and_is_written_as_it_is_looked_up() {
        let mut seen = HashSet::new();
        for domain in HOUSES.iter().flat_map(|house| house.domains) {
            assert_eq!(crate::types::address::ascii_domain(domain).as_deref(), Ok(*domain));
            assert!(seen.insert(domain), "{domain}");
        }
        for house in HOUSES {
            assert!(house.twins.iter().all(|twin| house.domains.contains(twin)), "{:?}", house.twins);
        }
    }

    #[test]
    fn who_gives_mailboxes() {
        let providers = Providers::new(["mail.test".to_owned()], []);
        let cases = [
            ("gmail.com", true),
            ("yahoo.co.jp", true),
            ("docomo.ne.jp", true),
            ("t.vodafone.ne.jp", true),
            ("abc.ocn.ne.jp", true),
            ("mail.test", true),
            ("sub.mail.test", true),
            ("xmail.test", false),
            ("shop.test", false),
            ("co.jp", false),
            ("ne.jp", false),
            ("com", false),
            ("", false),
        ];
        for (domain, want) in cases {
            assert_eq!(providers.gives_mailboxes(domain), want, "{domain}");
        }
        let neighbours = [
            ("gmail.com", "googlemail.com", true),
            ("outlook.com", "hotmail.co.jp", true),
            ("sub.mail.test", "mail.test", true),
            ("mail.test", "sub.mail.test", true),
            ("gmail.com", "yahoo.com", false),
            ("shop.test", "gmail.com", false),
        ];
        for (one, other, want) in neighbours {
            assert_eq!(providers.neighbours(one, other), want, "{one} {other}");
        }
    }

    #[test]
    fn which_spellings_are_one_author() {
        let providers = Providers::new([], ["shop.test".to_owned()]);
        let cases = [
            ("ann@x.test", "ann@x.test", true),
            ("Ann@x.test", "ANN@X.test", true),
            ("mark@x.test", "mar\u{212a}@x.test", false),
            ("straße@x.test", "strasse@x.test", false),
            ("ä@x.test", "Ä@x.test", false),
            ("ann+a@x.test", "ann@x.test", false),
            ("ann+a@x.test", "ann+a@x.test", true),
            ("ann+a@x.test", "ann+b@x.test", false),
            ("ann+a@shop.test", "ann@shop.test", true),
            ("ann+a@sub.shop.test", "ann@sub.shop.test", false),
            ("+a@shop.test", "+b@shop.test", false),
            ("\"a b+c\"@shop.test", "\"a b\"@shop.test", false),
            ("\"ann\"@x.test", "ann@x.test", true),
            ("an.n+x@gmail.com", "Ann@googlemail.com", true),
            ("ann@gmail.com", "bob@gmail.com", false),
            ("a.nn@outlook.com", "ann@outlook.com", false),
            ("ann+x@outlook.com", "ann@outlook.com", true),
            ("ann@outlook.com", "ann@hotmail.com", false),
            ("ann@me.com", "ann@icloud.com", true),
            ("ann+x@yahoo.com", "ann@yahoo.com", false),
            ("ann+x@yahoo.co.jp", "ann@yahoo.co.jp", false),
            ("ann-x@yahoo.co.jp", "ann@yahoo.co.jp", false),
            ("\"a..nn.\"@gmail.com", "ann@gmail.com", true),
            ("a..nn.@gmail.com", "ann@gmail.com", true),
            ("a..nn+x@gmail.com", "ann+y@gmail.com", true),
            ("\"a b\"@gmail.com", "ab@gmail.com", false),
            ("ann@hotmail.com", "ann@live.com", false),
            ("ann@hotmail.com", "ann@hotmail.co.jp", false),
            ("ann@mac.com", "ann+x@icloud.com", true),
            ("a.nn@icloud.com", "ann@icloud.com", false),
            ("a.n-n_@proton.me", "ann+x@pm.me", true),
            ("ann@protonmail.ch", "ann@protonmail.com", true),
            ("an.n@yandex.ru", "an-n@ya.ru", true),
            ("an.n@yandex.ru", "ann@yandex.ru", false),
            ("ann+x@yandex.com", "ann@yandex.com.tr", true),
            ("ann+x@fastmail.com", "ann@fastmail.com", true),
            ("ann@fastmail.com", "ann@fastmail.fm", false),
            ("x@ann.fastmail.com", "ann@fastmail.com", true),
            ("x@ann.fastmail.com", "Ann+y@fastmail.com", true),
            ("x@ann.fastmail.com", "y@ann.fastmail.com", true),
            ("x@bob.fastmail.com", "ann@fastmail.com", false),
            ("ann@x.ann.fastmail.com", "ann@fastmail.com", false),
            ("x@ann.gmail.com", "ann@gmail.com", false),
            ("ann@gmx.de", "ann@gmx.net", false),
            ("ann+x@gmx.de", "ann@gmx.de", false),
            ("ann@web.de", "ann@gmx.de", false),
            ("a..n.n.@docomo.ne.jp", "\"a..n.n.\"@docomo.ne.jp", true),
            ("a..nn@docomo.ne.jp", "a.nn@docomo.ne.jp", false),
            ("ann@ezweb.ne.jp", "ann@au.com", false),
            ("ann@softbank.ne.jp", "ann@i.softbank.jp", false),
            ("ann@qq.com", "ann@foxmail.com", false),
            ("ann@163.com", "ann@126.com", false),
            ("ann@daum.net", "ann@hanmail.net", true),
            ("ann@naver.com", "an.n@naver.com", false),
            ("ann@x.test", "ann@sub.x.test", false),
        ];
        for (one, other, want) in cases {
            let [one, other] = [one, other].map(|text| Address::parse(text).unwrap());
            assert_eq!(providers.same_author(&one, &other), want, "{}", one.expose());
            assert_eq!(providers.same_author(&other, &one), want, "{}", other.expose());
        }
    }
}
