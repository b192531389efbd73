//! Where a domain ends: whether what stands behind it makes it another domain. An address stands in
//! a text without a space behind it more often than one thinks (`ann@shop.example.TEL 03-…`), and
//! must be found there; an address at `shop.example.org` is somebody else's.

use super::work;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The top-level domains in ASCII, as the ICANN part of the Public Suffix List has them; and RFC
/// 2606's.
static ENDINGS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("endings.txt").split_ascii_whitespace().chain(["example", "test", "invalid"]).collect()
});
/// Labels below a country under which people have their domains: `com.au`, `co.jp`.
const SECOND: &[&str] =
    &["com", "co", "net", "ne", "org", "or", "ac", "edu", "ed", "gov", "go", "gob", "gouv", "web", "info"];
/// Countries that are words, too: what stands behind an address without a space is one of them
/// rather.
const WORDS: &[&str] = &["am", "as", "at", "be", "do", "in", "is", "it", "me", "no", "so", "to", "us"];
/// Characters behind a domain that are read.
const LONGEST: usize = 64;

/// Whether a domain may end in this label, in lower case.
pub(super) fn is_ending(label: &str) -> bool {
    ENDINGS.contains(label) || !label.is_ascii() && label.chars().all(char::is_alphabetic)
}

/// Whether `domain`, as it is registered, goes on in `rest`, which stands behind it: decoded, as
/// written. `own`: the author's address, which is meant unless no doubt is left.
pub(super) fn goes_on(domain: &str, rest: impl Iterator<Item = char>, own: bool) -> bool {
    let ascii = domain.ends_with(|c: char| c.is_ascii());
    let letter = |c: &char| if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() };
    let run: String = rest.take(LONGEST).take_while(|c| letter(c) || matches!(c, '-' | '.')).collect();
    work::count(1 + run.len());
    let Some(first) = run.chars().next() else { return false };
    let word = run.trim_start_matches(['-', '.']);
    // What begins with a capital is a word: `home.exampleTEL`, `home.example.Please`.
    if word.is_empty() || run.contains("..") || word.starts_with(char::is_uppercase) {
        return !own && letter(&first);
    }
    let last = domain.rsplit('.').next().unwrap_or("");
    let whole = format!("{last}{}", run.trim_end_matches(['-', '.'])).to_lowercase();
    let labels: Vec<&str> = whole.split('.').collect();
    let ends = labels.last().is_some_and(|label| is_ending(label));
    match first {
        '.' if own => SECOND.contains(&last) && matches!(*labels, [_, country] if is_country(country)),
        // A label that is no ending as well as another one behind it: `home.example-shop.de`.
        '.' | '-' => ends && labels.len() > 1,
        _ => !own || ends,
    }
}

fn is_country(label: &str) -> bool {
    label.len() == 2 && is_ending(label) && !WORDS.contains(&label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on() {
        // domain, what stands behind it, whether that is another domain: for others', for the
        // author's own
        let cases = [
            ("home.example", "", false, false),
            ("home.example", " de", false, false),
            ("home.example", ".", false, false),
            ("home.example", "...ok", false, false),
            ("home.example", ".Please", false, false),
            ("home.example", ".TEL 03", false, false),
            ("home.example", ".ok thanks", false, false),
            ("home.example", ".org", true, false),
            ("home.example", ".org.", true, false),
            ("home.example", "s", true, false),
            ("home.example", "TEL 03", true, false),
            ("home.example", "03-0000", true, false),
            ("home.example", "-Hana", false, false),
            ("home.example", "-shop.de", true, true),
            ("home.example", "-shop.please", false, false),
            ("home.example", "--", false, false),
            ("home.example", "まで", false, false),
            ("home.example", "。TEL", false, false),
            ("shop.co", "m", true, true),
            ("shop.co", ".uk", true, true),
            ("shop.com", ".au", true, true),
            ("shop.com", ".com.au", true, false),
            ("shop.com", ".it is", true, false),
            ("shop.com", ".zip", true, false),
            ("shop.jp", ".it", true, false),
            ("shop.com", "pany", true, true),
            ("shop.com", "tel", true, false),
            ("家.example", "まで", false, false),
        ];
        for (domain, rest, others, own) in cases {
            assert_eq!(goes_on(domain, rest.chars(), false), others, "{domain}{rest}");
            assert_eq!(goes_on(domain, rest.chars(), true), own, "{domain}{rest}, the author's own");
        }
    }
}
