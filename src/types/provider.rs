//! The big providers of mailboxes, by domain: many people write from one domain, by servers that all of them share.

/// Domains whose mailboxes belong to many people.
const PROVIDERS: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "yahoo.com",
    "yahoo.co.jp",
    "icloud.com",
    "docomo.ne.jp",
    "qq.com",
    "163.com",
];

/// Whether a domain, in lower case, is one of them.
#[must_use]
pub fn is_provider(domain: &str) -> bool {
    PROVIDERS.iter().any(|known| domain.eq_ignore_ascii_case(known))
}
