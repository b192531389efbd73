//! Links to parts of the same message (`cid:`, RFC 2392). Programs put their host or their owner's domain into the ids of parts, so each gets another one,
//! and the links follow, however they are written.

use super::entities::ending;
use super::html::words;
use super::mime::percent_decode;
use super::work;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::ops::Range;

/// Steps that a new id takes.
const ID: usize = 500;
/// What ends a link besides white space; in HTML they may be written as entities.
const ENDS: [char; 9] = ['"', '\'', '>', '<', ')', '(', ']', '\\', '|'];

/// An id without its brackets.
pub(super) fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// `text` with the ids that `id` gives in its links. In tags and styles all are links; in words only what has an `@`, as programs write that make text of HTML
/// (`[cid:image001.png@host]`). `None`: there is none.
pub(super) fn replaced(text: &str, is_html: bool, id: impl Fn(&str) -> String) -> Option<String> {
    let links = links(text);
    if links.is_empty() {
        return None;
    }
    let words = if is_html { words(text) } else { Vec::new() };
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for link in links {
        if work::is_over() {
            break;
        }
        // A hash for each.
        work::count(ID + link.len());
        let written = text.get(link.clone()).unwrap_or("");
        let read = if is_html { super::html::decode(written) } else { written.into() };
        let read = String::from_utf8_lossy(&percent_decode(&read)).into_owned();
        let before = words.partition_point(|range| range.start <= link.start);
        let in_words = before.checked_sub(1).and_then(|n| words.get(n)).is_some_and(|range| link.start < range.end);
        if (in_words || !is_html) && !read.contains('@') {
            continue;
        }
        out.push_str(text.get(done..link.start).unwrap_or(""));
        out.push_str(&id(&read));
        done = link.end;
    }
    out.push_str(text.get(done..).unwrap_or(""));
    (done > 0).then_some(out)
}

/// Where ids stand behind `cid:`, in any letter case.
fn links(text: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    work::skip(text.len());
    for colon in memchr::memchr_iter(b':', text.as_bytes()) {
        work::count(1);
        if out.last().is_some_and(|last| colon < last.end) {
            continue;
        }
        let scheme = colon.checked_sub(3).and_then(|start| text.get(start..colon));
        let begins = !text.get(..colon.saturating_sub(3)).is_some_and(|t| t.ends_with(|c: char| c.is_alphanumeric()));
        if !begins || !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid")) {
            continue;
        }
        let rest = text.get(colon + 1..).unwrap_or("");
        let entity = |at: usize| rest.get(at..).is_some_and(|rest| ending(rest).is_some());
        let ends = |at: usize, c: char| c.is_whitespace() || ENDS.contains(&c) || c == '&' && entity(at);
        // No id is longer than a line may be.
        let inside = rest.char_indices().take(998).take_while(|(at, c)| !ends(*at, *c));
        let end = inside.last().map_or(0, |(at, c)| at + c.len_utf8());
        work::count(end);
        if end > 0 {
            out.push(colon + 1..colon + 1 + end);
        }
    }
    out
}

/// 96 bits of SHA-256 in hexadecimal.
pub(super) fn digest_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(12).fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_every_form() {
        // text, HTML, what becomes of it; `None`: no link
        let cases = [
            ("<img src=\"cid:a@h.test\">", true, Some("<img src=\"cid:{a@h.test}\">")),
            ("<img src=CID:a@h.test/>", true, Some("<img src=CID:{a@h.test/}>")),
            ("<img src='cid:1234-5678' alt='cid:'>", true, Some("<img src='cid:{1234-5678}' alt='cid:'>")),
            ("<img src=\"cid:a%24b%40h.test\">", true, Some("<img src=\"cid:{a$b@h.test}\">")),
            ("<img src=\"cid:a&#64;h.test&quot;\">", true, Some("<img src=\"cid:{a@h.test}&quot;\">")),
            ("<b style=\"a:url(&#039;cid:a@h&#039;)\">", true, Some("<b style=\"a:url(&#039;cid:{a@h}&#039;)\">")),
            ("<td style=\"background:url(cid:a@h)\">", true, Some("<td style=\"background:url(cid:{a@h})\">")),
            ("<style>td{background:url('cid:a')}</style>", true, Some("<style>td{background:url('cid:{a}')}</style>")),
            (
                "<p>[cid:a@h.test] cid:x placid:a@h.test</p>",
                true,
                Some("<p>[cid:{a@h.test}] cid:x placid:a@h.test</p>"),
            ),
            ("hello [cid:image001.png@01DA.ABCD] bye", false, Some("hello [cid:{image001.png@01DA.ABCD}] bye")),
            ("<cid:part1.x@h.test>", false, Some("<cid:{part1.x@h.test}>")),
            ("cid: none, acid:a@h.test, cid:x", false, None),
            ("é:cid:é@h", false, Some("é:cid:{é@h}")),
            ("<img src=cid:a:cid:b>", true, Some("<img src=cid:{a:cid:b}>")),
            ("cid", true, None),
        ];
        for (text, is_html, want) in cases {
            let got = replaced(text, is_html, |id| format!("{{{id}}}"));
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "(cid:|[<>\"&@%é :=a(]){0,30}") {
            for is_html in [true, false] {
                let _ = replaced(&text, is_html, str::to_owned);
            }
        }
    }
}
