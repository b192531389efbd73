//! Numeric character references of HTML and XML (`&#64;`, `&#x40;`), read as browsers read them
//! (HTML 13.2.5.80): the semicolon may be left out, and zeros may stand in front, as many as one
//! likes. A reader of ours looks at a bounded number of digits; what is longer by its zeros is
//! written shorter before a page or a document is looked through ([`shortened`]).
//!
//! Most named ones are each reader's own: what is of use in an address, a style, a quote is not the
//! same.

use super::splice::spliced;
use super::work;
use std::borrow::Cow;

/// Digits that are read, zeros in front among them.
pub(super) const DIGITS: usize = 16;
/// Digits that the greatest character has, in decimal, and one more.
const VALUE: usize = 8;

/// The character of the reference whose `&` stands before `text`, and the length of what is behind
/// that.
pub(super) fn numeric(text: &str) -> Option<(char, usize)> {
    let number = text.strip_prefix('#')?;
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
    let written = digits.bytes().take(DIGITS + 1).take_while(|digit| char::from(*digit).is_digit(radix)).count();
    if written == 0 || written > DIGITS {
        return None;
    }
    let (value, rest) = digits.split_at_checked(written)?;
    let value = value.trim_start_matches('0');
    let value = if value.is_empty() { 0 } else { u32::from_str_radix(value, radix).unwrap_or(u32::MAX) };
    let c = match (value, u8::try_from(value)) {
        (0, _) => '\u{fffd}',
        // As in Windows-1252, which those who write them mean.
        (0x80..=0x9f, Ok(octet)) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[octet]).0.chars().next()?,
        _ => char::from_u32(value).unwrap_or('\u{fffd}'),
    };
    Some((c, text.len() - rest.len() + usize::from(rest.starts_with(';'))))
}

/// The length of the reference at the start of `text`, numeric or named, if it stands for what ends
/// a link: a quote, a bracket of a tag, a space.
pub(super) fn ending(text: &str) -> Option<usize> {
    let body = text.strip_prefix('&')?;
    if let Some((c, length)) = numeric(body) {
        return (matches!(c, '"' | '\'' | '<' | '>') || c.is_whitespace()).then_some(1 + length);
    }
    let stands = |name: &&&str| body.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    ENDING.iter().find(stands).map(|name| 1 + name.len())
}

/// Named ones of that kind.
const ENDING: [&str; 5] = ["quot;", "apos;", "gt;", "lt;", "nbsp;"];

/// `page` with each reference that is too long to be read, for the zeros in front, written without
/// them: it says the same to every program.
pub(super) fn shortened(page: &str) -> Cow<'_, str> {
    let mut zeros = Vec::new();
    work::skip(page.len());
    for at in memchr::memmem::find_iter(page.as_bytes(), "&#") {
        let number = page.get(at + 2..).unwrap_or("");
        let digits = number.strip_prefix(['x', 'X']).unwrap_or(number);
        let length = digits.bytes().take_while(|digit| *digit == b'0').count();
        work::count(1 + length);
        if length > DIGITS - VALUE {
            // One stays: there may be no other digit.
            let first = page.len() - digits.len();
            zeros.push((first..first + length - 1, ""));
        }
    }
    if zeros.is_empty() { Cow::Borrowed(page) } else { Cow::Owned(spliced(page, zeros)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_browsers_read_them() {
        // text, character, length
        let cases = [
            ("&#64;x", Some(('@', 5))),
            ("&#64x", Some(('@', 4))),
            ("&#x40;", Some(('@', 6))),
            ("&#X40g", Some(('@', 5))),
            ("&#064;", Some(('@', 6))),
            ("&#0000000064;", Some(('@', 13))),
            ("&#x0000000000000040;", Some(('@', 20))),
            ("&#0000000000000064", Some(('@', 18))),
            ("&#12354;", Some(('あ', 8))),
            ("&#x1F600;", Some(('\u{1f600}', 9))),
            ("&#150;", Some(('–', 6))),
            ("&#x80;", Some(('€', 6))),
            ("&#129;", Some(('\u{81}', 6))),
            ("&#0;", Some(('\u{fffd}', 4))),
            ("&#xD800;", Some(('\u{fffd}', 8))),
            ("&#1114112;", Some(('\u{fffd}', 10))),
            ("&#9999999999999999;", Some(('\u{fffd}', 19))),
            // Too long: see `shortened`.
            ("&#00000000000000064;", None),
            ("&#;", None),
            ("&#x;", None),
            ("&#xg;", None),
            ("&#a;", None),
            ("&64;", None),
            ("#64;", None),
            ("", None),
        ];
        for (text, want) in cases {
            let found = text.strip_prefix('&').and_then(numeric).map(|(c, length)| (c, 1 + length));
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn ends_of_links() {
        for (text, want) in [
            ("&quot;)", Some(6)),
            ("&QUOT;", Some(6)),
            ("&#34;x", Some(5)),
            ("&#034;", Some(6)),
            ("&#39;", Some(5)),
            ("&#x0027;", Some(8)),
            ("&apos;", Some(6)),
            ("&gt;", Some(4)),
            ("&#60;", Some(5)),
            ("&nbsp;", Some(6)),
            ("&#160;", Some(6)),
            ("&#10;", Some(5)),
            ("&#64;", None),
            ("&amp;", None),
            ("&quo", None),
            ("\"", None),
            ("&é", None),
        ] {
            assert_eq!(ending(text), want, "{text}");
        }
    }

    #[test]
    fn zeros_go() {
        let zeros = "0".repeat(5000);
        // before, after
        let cases = [
            ("a&#64;b&#039;&#0000000064; &#x;".to_owned(), "a&#64;b&#039;&#0000000064; &#x;"),
            (format!("a&#{zeros}64;b"), "a&#064;b"),
            (format!("&#x{zeros}4e&#X{zeros};&#{zeros}"), "&#x04e&#X0;&#0"),
            (format!("{zeros}&{zeros}#{zeros}"), &format!("{zeros}&{zeros}#{zeros}")),
            (format!("&#{zeros}&#{zeros}1"), "&#0&#01"),
            (format!("あ&#{zeros}12354;あ"), "あ&#012354;あ"),
        ];
        for (before, after) in cases {
            assert_eq!(shortened(&before), after);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_same_is_said(page in "([a&#x;01é]|&#|00000000000|&#x0000000000040){0,20}") {
            let short = shortened(&page);
            proptest::prop_assert_eq!(&shortened(&short), &short);
            for at in memchr::memmem::find_iter(short.as_bytes(), "&#") {
                let digits = short[at + 2..].strip_prefix('x').unwrap_or(&short[at + 2..]);
                let zeros = digits.len() - digits.trim_start_matches('0').len();
                proptest::prop_assert!(zeros <= DIGITS - VALUE, "{}", short);
            }
        }
    }
}
