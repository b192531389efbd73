//! The wide key: which written addresses may reach one mailbox. For what is hidden; who writes is
//! narrower, see [`Providers::same_author`](super::Providers::same_author).
//!
//! An address that somebody writes is a spelling of a mailbox where its domain is one of
//! [`AddressKey::domains`], and its local part is, without a tag and without what does not count
//! ([`is_filler`]), [`AddressKey::letters`]. So `A.n_n+x@googlemail.com` is a spelling of
//! `ann@gmail.com`, and `"a..nn."@shop.test` one of `ann@shop.test`, wherever that is: the rule
//! asks no provider.
//!
//! The honest: another person's address that differs by a dot or a hyphen alone is replaced like
//! the author's own. A liar: he learns nothing, as it is his own address that is compared.

use super::AddressKey;
use super::houses::KIN;
use super::provider;

/// Whether a character of a local part tells no mailboxes apart, as some server sees it: dots,
/// hyphens and underscores, and the quotes around or before something.
#[must_use]
pub fn is_filler(c: char) -> bool {
    matches!(c, '.' | '-' | '_' | '"' | '\\')
}

/// What parts a name from its tag.
pub const TAG: char = '+';

impl AddressKey {
    /// The characters of the local part that count, in lower case. Empty where it begins with a
    /// tag, or is made of fillers: see [`AddressKey::is_spelled`].
    #[must_use]
    pub fn letters(&self) -> String {
        let (local, _) = self.expose().rsplit_once('@').unwrap_or((self.expose(), ""));
        letters(local)
    }

    /// The domains, as lower-case A-labels, at which the same local part may be the same mailbox;
    /// its own first.
    #[must_use]
    pub fn domains(&self) -> Vec<&str> {
        let (_, own) = self.expose().rsplit_once('@').unwrap_or(("", self.expose()));
        let twins = provider::row(own).map_or(&[][..], |row| row.twins);
        let twins = Some(twins).filter(|twins| twins.contains(&own)).unwrap_or_default();
        let kin = KIN.iter().filter(|kin| kin.contains(&own)).copied().flatten();
        std::iter::once(own).chain(twins.iter().chain(kin).copied().filter(|domain| *domain != own)).collect()
    }

    /// Whether an address, written as this local part and domain, may reach the mailbox. `domain`:
    /// lower-case A-labels.
    #[must_use]
    pub fn is_spelled(&self, local: &str, domain: &str) -> bool {
        if !self.domains().contains(&domain) {
            return false;
        }
        let (whole, _) = self.expose().rsplit_once('@').unwrap_or_default();
        let own = letters(whole);
        if own.is_empty() { bare(whole) == bare(local) } else { own == letters(local) }
    }
}

/// What counts of a local part, in lower case and without its tag.
fn letters(local: &str) -> String {
    let inner = local.trim_start_matches(is_filler);
    bare(inner.split_once(TAG).map_or(inner, |(name, _)| name))
}

/// The same with its tag.
fn bare(local: &str) -> String {
    local.chars().filter(|c| !is_filler(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use crate::types::Address;

    #[test]
    fn spellings() {
        // registered, written, whether it may be the same mailbox
        let cases = [
            ("ann@shop.test", "ann@shop.test", true),
            ("ann@shop.test", "ANN@shop.test", true),
            ("ann@shop.test", "a.n.n@shop.test", true),
            ("ann@shop.test", "a-n_n@shop.test", true),
            ("ann@shop.test", "ann+x@shop.test", true),
            ("ann@shop.test", "ann+x+y@shop.test", true),
            ("ann@shop.test", "\"ann\"@shop.test", true),
            ("ann@shop.test", "\"an\\n\"@shop.test", true),
            ("ann@shop.test", "a..nn.@shop.test", true),
            ("ann@shop.test", "anne@shop.test", false),
            ("ann@shop.test", "an@shop.test", false),
            ("ann@shop.test", "+ann@shop.test", false),
            ("ann@shop.test", "ann@shop2.test", false),
            ("ann@shop.test", "ann@sub.shop.test", false),
            ("a.n.n+x@shop.test", "ann@shop.test", true),
            ("a.n.n+x@shop.test", "ann+y@shop.test", true),
            ("hanako.q9z@gmail.com", "hanakoq9z@gmail.com", true),
            ("hanako.q9z@gmail.com", "Hanako_Q9z+x@googlemail.com", true),
            ("ann@me.com", "ann@mac.com", true),
            ("ann@proton.me", "a.nn@protonmail.ch", true),
            ("ann@ya.ru", "an-n@yandex.com.tr", true),
            ("ann@ezweb.ne.jp", "ann@au.com", true),
            ("ann@ezweb.ne.jp", "ann@docomo.ne.jp", false),
            ("ann@outlook.com", "ann@hotmail.com", false),
            ("try..this..05.@docomo.ne.jp", "try..this..05.@docomo.ne.jp", true),
            ("try..this..05.@docomo.ne.jp", "\"try..this..05.\"@docomo.ne.jp", true),
            ("try..this..05.@docomo.ne.jp", "trythis05@docomo.ne.jp", true),
            ("-_-@shop.test", "-_-@shop.test", true),
            ("-_-@shop.test", "--@shop.test", true),
            ("-_-@shop.test", "ann@shop.test", false),
            ("a@bücher.test", "a.@xn--bcher-kva.test", true),
            ("Müller@x.test", "m.üller@x.test", true),
        ];
        for (registered, written, want) in cases {
            let key = Address::parse(registered).unwrap().key();
            let (local, domain) = written.rsplit_once('@').unwrap();
            assert_eq!(key.is_spelled(local, domain), want, "{registered} {written}");
        }
    }

    proptest::proptest! {
        /// Wide is wider than narrow: no author is known by a spelling that is not hidden.
        #[test]
        fn what_one_author_writes_is_hidden(
            one in "[ab.+_-]{1,6}", other in "[ab.+_-]{1,6}",
            domain in proptest::sample::select(&["gmail.com", "proton.me", "ya.ru", "me.com", "x.test"][..]),
            twin in proptest::sample::select(&["googlemail.com", "pm.me", "yandex.ru", "mac.com", "x.test"][..]),
        ) {
            let address = |local: &str, domain: &str| Address::parse(&format!("{local}@{domain}"));
            if let (Ok(one), Ok(other)) = (address(&one, domain), address(&other, twin)) {
                // A name of nothing but signs is no name.
                let is_name = !one.key().letters().is_empty();
                let same = is_name && crate::types::Providers::default().same_author(&one, &other);
                proptest::prop_assert!(!same || one.key().is_spelled(other.local(), other.domain()));
            }
        }
    }
}
