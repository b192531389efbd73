//! The wrapping that servers put around an author's own address when they make an envelope sender
//! of it: tags against forged bounces, and the recipient or the first sender, so that a bounce
//! finds its way.
//!
//! Each form holds the address itself, and an `=` or a long random word that no provider gives out
//! in a mailbox's name. The honest: mail through such a server is their own. A liar has to send
//! from the domain, as the author would, and from a mailbox that nobody can open.

use crate::types::Address;

/// An address that an envelope sender holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) address: Address,
    /// Whoever forwards a message says whose it was. A neighbour at the same provider can have one
    /// forwarded that names anybody: something else has to prove the author then.
    pub(super) forwarded: bool,
}

/// Wrappings in one another that are taken off.
const DEPTH: usize = 3;
/// Least length of the word by which Google Groups marks a bounce.
const GROUP_WORD: usize = 16;
/// What list programs put behind a list's name: Mailman, ezmlm, Sympa, Majordomo.
const ROLES: [&str; 6] = ["-bounces", "-bounce", "-return", "-owner", "-errors", "-admin"];

/// What an envelope sender holds, on the way to this recipient.
pub(super) fn inside(sender: &Address, recipient: &Address) -> Vec<Wrapped> {
    let mut found = Vec::new();
    take_off(sender.local(), sender.domain(), recipient, DEPTH, &mut found);
    found
}

fn take_off(local: &str, domain: &str, recipient: &Address, depth: usize, found: &mut Vec<Wrapped>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    // ASCII letters alone change, so that places in one are places in the other.
    let lower = local.to_ascii_lowercase();
    for (start, end) in names(&lower, recipient) {
        let Some(name) = local.get(start..end) else { continue };
        if let Ok(address) = Address::parse(&format!("{name}@{domain}")) {
            found.push(Wrapped { address, forwarded: false });
        }
        take_off(name, domain, recipient, depth, found);
    }
    if let Some((start, end)) = first_sender(&lower)
        && let Some((domain, name)) = local.get(start..end).and_then(|rest| rest.split_once('='))
        && let Ok(address) = Address::parse(&format!("{name}@{domain}"))
    {
        found.push(Wrapped { address, forwarded: true });
    }
}

/// Where in a local part names of the same domain stand.
fn names(lower: &str, recipient: &Address) -> Vec<(usize, usize)> {
    let whole = lower.len();
    let mut found = Vec::new();
    let is_tag = |tag: &str| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    // BATV, draft-levine-smtp-batv: prvs=tag=ann@, and as some gateways write it; early ones:
    // prvs=ann/tag@.
    for prefix in ["prvs=", "msprvs1=", "prvs=="] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            if let Some((tag, name)) = rest.split_once('=').filter(|(tag, _)| is_tag(tag)) {
                let from = prefix.len() + tag.len() + 1 + (name.len() - name.trim_start_matches('=').len());
                found.push((from, whole));
            }
            if let Some((name, _)) = rest.rsplit_once('/').filter(|(_, tag)| is_tag(tag)) {
                found.push((prefix.len(), prefix.len() + name.len()));
            }
        }
    }
    // The same behind the name: ann+prvs=tag@.
    for sign in ["+prvs=", "-prvs=", "=prvs="] {
        if let Some((name, _)) = lower.rsplit_once(sign).filter(|(_, tag)| is_tag(tag)) {
            found.push((0, name.len()));
        }
    }
    // The same by Barracuda: btv1==tag==ann@.
    if let Some(rest) = lower.strip_prefix("btv1==")
        && let Some((tag, _)) = rest.split_once("==").filter(|(tag, _)| is_tag(tag))
    {
        found.push(("btv1==".len() + tag.len() + 2, whole));
    }
    // Google Groups: ann+bncWORD@.
    if let Some((name, _)) = lower.rsplit_once("+bnc").filter(|(_, word)| word.len() >= GROUP_WORD && is_tag(word)) {
        found.push((0, name.len()));
    }
    // VERP: ann+recipient=domain@ and ann-recipient=domain@, of this very recipient; of lists
    // ann-bounces+…, ann-return-7-….
    let at = format!("{}={}", recipient.local(), recipient.domain()).to_ascii_lowercase();
    if let Some(name) = lower.strip_suffix(&at).and_then(|rest| rest.strip_suffix(['+', '-'])) {
        found.push((0, name.len()));
        let number = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let unnumbered = if number.len() < name.len() { number.trim_end_matches('-') } else { name };
        found.extend(ROLES.iter().find_map(|role| unnumbered.strip_suffix(role)).map(|name| (0, name.len())));
    }
    // Sympa: bounce+recipient==a==domain==ann@.
    let at = format!("bounce+{}==a=={}==", recipient.local(), recipient.domain()).to_ascii_lowercase();
    found.extend(lower.starts_with(&at).then_some((at.len(), whole)));
    found
}

/// Where `domain=name` of who sent a message first stands in what a forwarder made of it. SRS:
/// SRS0=hash=day=domain=ann@, once more forwarded SRS1=hash=host==hash=day=domain=ann@;
/// Microsoft's: bounces+SRS=hash=day=domain=ann@.
fn first_sender(lower: &str) -> Option<(usize, usize)> {
    let whole = lower.len();
    let behind = |rest: &str, fields: usize| {
        // Behind hash and day.
        let skipped: usize = rest.split('=').take(fields).map(|field| field.len() + 1).sum();
        (skipped < rest.len()).then(|| (whole - rest.len() + skipped, whole))
    };
    if let Some((_, rest)) = lower.split_once("+srs=") {
        return behind(rest, 2);
    }
    let rest = lower.strip_prefix("srs0").or_else(|| lower.strip_prefix("srs1"))?;
    let rest = rest.strip_prefix(['=', '+', '-'])?;
    if lower.starts_with("srs0") {
        return behind(rest, 2);
    }
    let signs = ["==", "=+", "=-"];
    let (_, inner) = signs.iter().filter_map(|sign| rest.split_once(sign)).max_by_key(|(host, _)| host.len())?;
    behind(inner, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside() {
        // local part of the envelope sender, what it holds; `>` behind what a forwarder says
        let cases = [
            ("ann", ""),
            ("prvs=0123abcdef=ann", "ann@mail.test"),
            ("PRVS=0123abcdef=Ann", "Ann@mail.test"),
            ("msprvs1=18abcDEFgh=ann", "ann@mail.test"),
            ("prvs=ann/1234abcdef", "ann@mail.test"),
            ("ann+prvs=2987A7B7C7", "ann@mail.test"),
            ("ann-prvs=2987A7B7C7", "ann@mail.test"),
            ("ann=prvs=2987A7B7C7", "ann@mail.test"),
            ("btv1==489040e8aa2==ann", "ann@mail.test"),
            ("ann+bncBCAAABBBCCCDDDEEE", "ann@mail.test"),
            ("ann+bnc1", ""),
            ("ann+bq7k=m.test", "ann@mail.test"),
            ("ann-bq7k=m.test", "ann@mail.test"),
            ("ann+BQ7K=M.test", "ann@mail.test"),
            ("ann-bounces+bq7k=m.test", "ann-bounces@mail.test ann@mail.test"),
            ("ann-return-17-bq7k=m.test", "ann-return-17@mail.test ann@mail.test"),
            ("ann-owner-bq7k=m.test", "ann-owner@mail.test ann@mail.test"),
            ("bounce+bq7k==a==m.test==ann", "ann@mail.test"),
            ("ann+other=m.test", ""),
            ("prvs=ab=ann+bq7k=m.test", "ann+bq7k=m.test@mail.test ann@mail.test prvs=ab=ann@mail.test ann@mail.test"),
            ("btv1==12==prvs=34=ann", "prvs=34=ann@mail.test ann@mail.test"),
            ("srs0=ab=cd=home.test=ann", "ann@home.test>"),
            ("SRS0+ab=cd=home.test=Ann", "Ann@home.test>"),
            ("srs0-ab=cd=home.test=a=b", "a=b@home.test>"),
            ("srs1=xy=fwd.test==ab=cd=home.test=ann", "ann@home.test>"),
            ("srs1=xy=fwd.test=+ab=cd=home.test=ann", "ann@home.test>"),
            ("bounces+SRS=44ldt=IX=home.test=ann", "ann@home.test>"),
            ("prvs=12=srs0=ab=cd=home.test=ann", "srs0=ab=cd=home.test=ann@mail.test ann@home.test>"),
            ("srs0", ""),
            ("srs0=ab", ""),
            ("srs1=xy=fwd.test", ""),
            ("prvs=", ""),
            ("prvs==", ""),
            ("prvs=ann", ""),
            ("btv1==ann", ""),
            ("+bncBCAAABBBCCCDDDEEE", ""),
        ];
        for (local, want) in cases {
            let address = |text: &str| Address::parse(text).unwrap();
            let found = inside(&address(&format!("{local}@mail.test")), &address("bq7k@m.test"));
            let told: Vec<String> = found
                .iter()
                .map(|one| format!("{}{}", one.address.expose(), if one.forwarded { ">" } else { "" }))
                .collect();
            assert_eq!(told.join(" "), want, "{local}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_local_part(local in "(prvs=|btv1==|srs[01][=+-]|ann|[=+/-]|[a-z]{1,3}|bq7k=m.test|\\PC){0,8}") {
            if let Ok(address) = Address::parse(&format!("{local}@mail.test")) {
                let found = inside(&address, &Address::parse("bq7k@m.test").unwrap());
                proptest::prop_assert!(found.len() < 200);
            }
        }
    }
}
