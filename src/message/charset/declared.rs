//! Where a page says within itself what charset it is in: `<meta charset>` and its older form
//! (WHATWG HTML 13.2.3.2), `<?xml encoding?>` (XML 1.0 4.3.3), `@charset` (CSS Syntax 3.2).

use crate::message::work;
use std::ops::Range;

/// Octets of a page that are looked at: browsers look at 1024, programs put much before.
const HEAD: usize = 16 << 10;
/// What style sheets write before it.
const CSS: &str = "@charset";
/// Octets of a tag.
const TAG: usize = 1024;

/// Where the names of charsets stand that a page says of itself.
fn names(page: &str) -> Vec<Range<usize>> {
    let mut end = HEAD.min(page.len());
    while !page.is_char_boundary(end) {
        end -= 1;
    }
    let head = page.get(..end).unwrap_or("");
    work::count(head.len());
    let mut found = Vec::new();
    let start = head.len() - head.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
    let begins = |sign: &str| {
        head.get(start..).and_then(|head| head.get(..sign.len())).is_some_and(|s| s.eq_ignore_ascii_case(sign))
    };
    if begins("<?xml") || begins(CSS) {
        let (word, stop) = if begins("<?xml") { ("encoding", "?>") } else { (CSS, ";") };
        let rest = head.get(start..).unwrap_or("");
        let length = rest.find(stop).unwrap_or(rest.len().min(TAG));
        found.extend(value(head, start..start + length, word));
    }
    for at in memchr::memchr_iter(b'<', head.as_bytes()) {
        let is_meta = head.get(at..at + 5).is_some_and(|tag| tag.eq_ignore_ascii_case("<meta"));
        if !is_meta {
            continue;
        }
        let reach = head.as_bytes().get(at..).unwrap_or(&[]);
        let reach = reach.get(..TAG).unwrap_or(reach);
        if let Some(length) = memchr::memchr(b'>', reach) {
            work::count(length);
            found.extend(value(head, at..at + length, "charset"));
        }
    }
    found
}

/// The value of `word` in a tag: what follows it, an equals sign and a quote, if there are any.
fn value(head: &str, tag: Range<usize>, word: &str) -> Option<Range<usize>> {
    let text = head.get(tag.clone())?.to_ascii_lowercase();
    // `<meta name="charset-note" charset="x">`
    let is_name = |at: &usize| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).unwrap_or("");
        word == CSS || after.trim_start().starts_with('=') && before.is_none_or(|c| !c.is_alphanumeric() && c != '-')
    };
    let mut at = text.match_indices(word).map(|(at, _)| at).find(is_name)? + word.len();
    let rest = text.get(at..)?;
    at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '=', '"', '\'']).len();
    let length = text.get(at..)?.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(b)).count();
    (length > 0).then_some(tag.start + at..tag.start + at + length)
}

/// The charset that a page of unknown octets says of itself.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(bytes.get(..HEAD).unwrap_or(bytes));
    let first = names(&head).into_iter().next()?;
    head.get(first).map(str::to_owned)
}

/// The page as one that says that it is in `charset`. `None`: it says nothing else.
pub(super) fn changed(page: &str, charset: &str) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for name in names(page) {
        let said = page.get(name.clone()).unwrap_or("");
        if said.eq_ignore_ascii_case(charset) || name.start < done {
            continue;
        }
        out.push_str(page.get(done..name.start).unwrap_or(""));
        out.push_str(charset);
        done = name.end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(page.get(done..).unwrap_or(""));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_say_what_they_are() {
        // page, its charset, the page as UTF-8
        let cases = [
            ("<meta charset=\"Shift_JIS\">x", Some("Shift_JIS"), Some("<meta charset=\"utf-8\">x")),
            ("<META CHARSET=euc-jp/>", Some("euc-jp"), Some("<META CHARSET=utf-8/>")),
            (
                "<head>\r\n<meta http-equiv='Content-Type' content='text/html; charset=iso-2022-jp'>",
                Some("iso-2022-jp"),
                Some("<head>\r\n<meta http-equiv='Content-Type' content='text/html; charset=utf-8'>"),
            ),
            (
                "<?xml version=\"1.0\" encoding='EUC-JP'?><meta charset = x-sjis >",
                Some("EUC-JP"),
                Some("<?xml version=\"1.0\" encoding='utf-8'?><meta charset = utf-8 >"),
            ),
            ("@charset \"gbk\"; p{}", Some("gbk"), Some("@charset \"utf-8\"; p{}")),
            ("<meta charset=UTF-8>", Some("UTF-8"), None),
            ("<p>charset=gbk</p><meta name=x>", None, None),
            ("<meta charset=gbk", None, None),
            (
                "<meta name=\"charset-note\" data-charset=\"a\" charset=\"gbk\">",
                Some("gbk"),
                Some("<meta name=\"charset-note\" data-charset=\"a\" charset=\"utf-8\">"),
            ),
            (
                "<meta content='text/html;charset=\"x-sjis\"' http-equiv=content-type>",
                Some("x-sjis"),
                Some("<meta content='text/html;charset=\"utf-8\"' http-equiv=content-type>"),
            ),
        ];
        for (page, want, as_utf8) in cases {
            assert_eq!(name(page.as_bytes()).as_deref(), want, "{page}");
            assert_eq!(changed(page, "utf-8").as_deref(), as_utf8, "{page}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_page(page in "(<meta |charset|=|[\"'> é<?]|<\\?xml |encoding|x){0,30}") {
            if let Some(changed) = changed(&page, "utf-8") {
                proptest::prop_assert!(changed.contains("utf-8"));
            }
        }
    }
}
