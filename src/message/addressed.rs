//! Whether a message is addressed to somebody: whose addresses stand in its `To` and `Cc` (RFC 5322
//! 3.4).
//!
//! Read strictly: a display name is no address. Whoever is answered chooses his own name, and a
//! mail program copies it into the `To` of the answer, where its server signs it: `To:
//! "ALIAS@market" <mallory@evil>` must not be mail to that alias. What breaks the grammar names
//! nobody from there on.

use super::headers::Field;
use crate::types::Address;

/// Whether a `To` or `Cc` field names this address: as it is, or with a reason behind the local
/// part (`ALIAS+delivery@`). Case does not matter.
#[must_use]
pub fn names(fields: &[Field<'_>], address: &Address) -> bool {
    fields.iter().filter(|field| field.is("To") || field.is("Cc")).any(|field| names_in(field, address))
}

/// Whether this field names the address: see [`names`].
#[must_use]
pub fn names_in(field: &Field<'_>, address: &Address) -> bool {
    let text = field.text();
    addresses(&text).any(|word| is_it(word.trim(), address))
}

/// `address`, or with a reason behind it.
fn is_it(word: &str, address: &Address) -> bool {
    let Some((name, domain)) = word.rsplit_once('@') else { return false };
    let local = address.local();
    let bare = name.get(..local.len()).is_some_and(|start| start.eq_ignore_ascii_case(local));
    let rest = name.get(local.len()..).unwrap_or("-");
    bare && (rest.is_empty() || rest.starts_with('+')) && domain.eq_ignore_ascii_case(address.domain())
}

/// The addresses of a list, as they are written: what stands in angle brackets, or alone between
/// two commas.
fn addresses(text: &str) -> impl Iterator<Item = String> {
    let mut chars = text.chars();
    std::iter::from_fn(move || next(&mut chars)).flatten()
}

/// Reads to the next comma: `Some(None)` for an element that is no address, `None` at the end, and
/// where the grammar breaks.
fn next(chars: &mut std::str::Chars<'_>) -> Option<Option<String>> {
    chars.clone().next()?;
    // What stands outside brackets; whether it held a quoted string, which only a name is made of.
    let (mut outside, mut inside) = (String::new(), None);
    loop {
        match chars.next() {
            None | Some(',' | ';') => break,
            // A group's name.
            Some(':') => outside.clear(),
            Some('(') => comment(chars)?,
            Some('"') => outside.push_str(&quoted(chars)?),
            Some('<') if inside.is_none() => inside = Some(bracketed(chars)?),
            Some('<' | '>' | ')' | '\\') => return None,
            Some(c) => outside.push(c),
        }
    }
    let outside = outside.trim();
    Some(match inside {
        Some(inside) => Some(inside),
        None if outside.contains(|c: char| c.is_whitespace() || c == '"') => None,
        None => Some(outside.to_owned()),
    })
}

/// A comment may hold comments.
fn comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1_usize;
    while depth > 0 {
        match chars.next()? {
            '\\' => drop(chars.next()?),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

/// A quoted string with its quotes, so that it is not taken for an address: no alias needs quotes.
fn quoted(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::from("\"");
    loop {
        match chars.next()? {
            '\\' => text.extend(['\\', chars.next()?]),
            '"' => {
                text.push('"');
                return Some(text);
            }
            c => text.push(c),
        }
    }
}

/// To the closing bracket; nothing that is quoted, and no second bracket in it.
fn bracketed(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '>' => return Some(text),
            '<' | '(' | ')' => return None,
            '"' => text.push_str(&quoted(chars)?),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::headers::split;

    #[test]
    fn who_is_addressed() {
        let alias = Address::parse("bq7k@m.test").unwrap();
        // header, whether it names the alias
        let cases = [
            ("To: bq7k@m.test", true),
            ("to: BQ7K@M.TEST", true),
            ("Cc: bq7k@m.test", true),
            ("Bcc: bq7k@m.test", false),
            ("X-To: bq7k@m.test", false),
            ("To: <bq7k@m.test>", true),
            ("To: Ann <bq7k@m.test>", true),
            ("To: \"Ann, Bob\" <bq7k@m.test>, c@d.test", true),
            ("To: c@d.test,\r\n\tAnn\r\n <bq7k@m.test>", true),
            ("To: c@d.test; bq7k@m.test", true),
            ("To: Shop: c@d.test, bq7k@m.test;", true),
            ("To: bq7k@m.test (Ann)", true),
            ("To: (a, b) bq7k@m.test", true),
            ("To: bq7k+delivery@m.test", true),
            ("To: Ann <bq7k+a+b@m.test>", true),
            ("To: =?utf-8?B?w6Q=?= <bq7k@m.test>", true),
            ("To: Zo\u{eb} <bq7k@m.test>", true),
            ("To: 'bq7k@m.test' <bq7k@m.test>", true),
            ("To: bq7k@m.test <bq7k@m.test>", true),
            // names, comments and tricks are no addresses
            ("To: \"bq7k@m.test\" <x@evil.test>", false),
            ("To: \"bq7k@m.test\"", false),
            ("To: bq7k@m.test <x@evil.test>", false),
            ("To: <x@evil.test> bq7k@m.test", false),
            ("To: x@evil.test (bq7k@m.test)", false),
            ("To: x@evil.test (, bq7k@m.test ,)", false),
            ("To: \"a, bq7k@m.test, b\" <x@evil.test>", false),
            ("To: \"a\\\", bq7k@m.test, b\" <x@evil.test>", false),
            ("To: bq7k@m.test: x@evil.test;", false),
            ("To: =?utf-8?Q?bq7k=40m.test?= <x@evil.test>", false),
            ("To: <\"bq7k@m.test\"@evil.test>", false),
            ("To: bq7k@m.test.evil.test", false),
            ("To: xbq7k@m.test", false),
            ("To: bq7kx@m.test", false),
            ("To: bq7k-x@m.test", false),
            ("To: bq7k@sub.m.test", false),
            ("To: Ann bq7k@m.test", false),
            // the grammar is broken: who knows what was meant
            ("To: \"open <x@evil.test>, bq7k@m.test", false),
            ("To: (open, bq7k@m.test", false),
            ("To: <x@evil.test, bq7k@m.test", false),
            ("To: <<bq7k@m.test>>", false),
            ("To: <x@evil.test> <bq7k@m.test>", false),
            ("To: >, bq7k@m.test", false),
            ("To: bq7k@m.test, \"open", true),
            ("To:", false),
            ("To: undisclosed-recipients:;", false),
            ("Subject: x", false),
        ];
        for (header, want) in cases {
            let raw = format!("{header}\r\n\r\n");
            assert_eq!(names(&split(raw.as_bytes()).0, &alias), want, "{header}");
        }
        let token = Address::parse("stop+abcdef@m.test").unwrap();
        for (header, want) in
            [("To: stop+abcdef@m.test", true), ("To: stop@m.test", false), ("To: stop+abcdeg@m.test", false)]
        {
            let raw = format!("{header}\r\n\r\n");
            assert_eq!(names(&split(raw.as_bytes()).0, &token), want, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_value(value in "\\PC{0,60}") {
            let raw = format!("To: {value}\r\n\r\n");
            let alias = Address::parse("bq7k@m.test").unwrap();
            proptest::prop_assert!(!names(&split(raw.as_bytes()).0, &alias) || value.to_lowercase().contains("bq7k"));
        }
    }
}
