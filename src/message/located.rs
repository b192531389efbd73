//! Pictures that HTML shows by the place where they once were (`Content-Location`, RFC 2557), as
//! programs write that send pages and documents. The place tells a folder or a host of the
//! author's and does not go out: the part gets an id, and the links to its place lead to that.

use super::entities::ending;
use super::headers::Field;
use super::html::{self, Tag};
use super::mime::{Part, percent_decode};
use super::splice::spliced;
use super::work;
use std::collections::HashMap;
use std::ops::Range;

/// Octets of a place, and of a link that is looked at.
const LONGEST: usize = 2000;
/// Where parts are that do not say it (RFC 2557 5).
const NOWHERE: &str = "thismessage:/";
/// Attributes that show what they lead to.
const SHOWING: &[&str] = &["src", "background", "poster", "data"];
/// Steps that a link costs.
const LINK: usize = 50;

/// Where the parts of a multipart are: of `multipart/related`, by the RFC.
pub(super) struct Places {
    base: String,
    /// By place: the id, or what stands for it in one that has none.
    ids: HashMap<String, String>,
}

impl Places {
    /// `None`: no part says where it is.
    pub(super) fn of(part: &Part<'_>, children: &[(usize, Part<'_>)]) -> Option<Self> {
        if !children.iter().any(|(_, child)| child.field("Content-Location").is_some()) {
            return None;
        }
        let root = children.first().and_then(|(_, root)| text(root, "Content-Base"));
        let base = base(part).or(root).map_or(NOWHERE.to_owned(), |base| resolved(NOWHERE, &base));
        let mut ids = HashMap::new();
        for (_, child) in children.iter().filter(|(_, child)| !child.is("text") && !child.is("multipart")) {
            let Some(place) = text(child, "Content-Location") else { continue };
            let id = child.field("Content-ID").map(Field::text);
            let id = id.unwrap_or_else(|| format!("\0{}", resolved(&base, &place)));
            for from in [base.as_str(), NOWHERE] {
                ids.entry(resolved(from, &place)).or_insert_with(|| id.clone());
            }
        }
        (!ids.is_empty()).then_some(Self { base, ids })
    }

    /// What stands for the id of a part that has only a place.
    pub(super) fn id(&self, part: &Part<'_>) -> Option<String> {
        let place = text(part, "Content-Location")?;
        self.ids.get(&resolved(&self.base, &place)).cloned()
    }

    /// A page, which is in `part`, with links to the ids that `id` gives. `None`: it shows none of
    /// the parts by its place.
    pub(super) fn replaced(&self, page: &str, part: &Part<'_>, id: impl Fn(&str) -> String) -> Option<String> {
        let own = base(part).map(|base| resolved(&self.base, &base));
        let bases = [own.as_deref().unwrap_or(&self.base), &self.base, NOWHERE];
        let (mut edits, mut done) = (Vec::new(), 0);
        for link in links(page) {
            if work::is_over() {
                break;
            }
            let Some(written) = page.get(link.clone()).filter(|_| link.start >= done) else { continue };
            if written.len() > LONGEST {
                continue;
            }
            work::count(LINK + 4 * written.len());
            let read = html::decode(written);
            let found = bases.iter().find_map(|base| self.ids.get(&resolved(base, &read)));
            if let Some(found) = found {
                done = link.end;
                edits.push((link, format!("cid:{}", id(found))));
            }
        }
        (!edits.is_empty()).then(|| spliced(page, edits))
    }
}

/// A field that names a place: white space is where it was folded.
fn text(part: &Part<'_>, name: &str) -> Option<String> {
    let text = part.field(name)?.text();
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

/// What the links of a part start from.
fn base(part: &Part<'_>) -> Option<String> {
    text(part, "Content-Base").or_else(|| text(part, "Content-Location"))
}

/// The links of a page that show what they lead to, in order.
fn links(page: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    work::count(page.len());
    html::walk(page, |tag| {
        if let Tag::Open { attributes, .. } = tag {
            html::attributes(page, attributes, |name, value| {
                if SHOWING.iter().any(|showing| showing.eq_ignore_ascii_case(name)) {
                    out.push(value);
                }
            });
        }
    });
    // `url(…)` in styles, wherever they stand.
    for open in memchr::memchr_iter(b'(', page.as_bytes()) {
        let name = open.checked_sub(3).and_then(|start| page.get(start..open));
        if !name.is_some_and(|name| name.eq_ignore_ascii_case("url")) {
            continue;
        }
        let rest = page.get(open + 1..).unwrap_or("");
        let quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let mut start = rest.len() - rest.trim_start_matches(quotes).len();
        start += rest.get(start..).and_then(ending).unwrap_or(0);
        let rest = rest.get(start..).unwrap_or("");
        let ends = |c: char| quotes(c) || matches!(c, '(' | ')' | '<' | '>');
        let mut end = rest.char_indices().take(LONGEST).find(|(_, c)| ends(*c)).map_or(0, |(end, _)| end);
        work::count(start + end);
        // A quote that is written as an entity is no part of the link.
        let last = rest.get(..end).and_then(|link| link.rfind('&'));
        end = last.filter(|at| rest.get(*at..end).is_some_and(|last| ending(last) == Some(last.len()))).unwrap_or(end);
        out.push(open + 1 + start..open + 1 + start + end);
    }
    out.sort_by_key(|link| link.start);
    out
}

/// Where a link leads that stands at `base` (RFC 3986 5.2), in one form for all ways to write it.
fn resolved(base: &str, link: &str) -> String {
    let link = String::from_utf8_lossy(&percent_decode(link.trim())).replace('\\', "/");
    let link = link.split('#').next().unwrap_or("");
    let (origin, path) = parted(link);
    if !origin.is_empty() {
        return format!("{origin}{}", without_dots(path));
    }
    let (origin, from) = parted(base);
    let folder = from.rfind('/').and_then(|end| from.get(..=end)).unwrap_or("/");
    let path = if link.starts_with('/') { link.to_owned() } else { format!("{folder}{link}") };
    format!("{origin}{}", without_dots(&path))
}

/// Scheme and host, and the path. Without a scheme all of it is path.
fn parted(url: &str) -> (&str, &str) {
    let scheme = url.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
    let Some(colon) = scheme.filter(|at| *at > 0 && url.as_bytes().get(*at) == Some(&b':')) else {
        return ("", url);
    };
    let rest = url.get(colon + 1..).unwrap_or("");
    let host = rest.strip_prefix("//").map_or(0, |host| 2 + host.find('/').unwrap_or(host.len()));
    url.split_at_checked(colon + 1 + host).unwrap_or((url, ""))
}

fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(out.pop().filter(|segment| !segment.is_empty())),
            segment => out.push(segment),
        }
    }
    out.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_lead() {
        // base, link, where it leads
        let cases = [
            (NOWHERE, "p.png", "thismessage:/p.png"),
            (NOWHERE, "./p.png", "thismessage:/p.png"),
            (NOWHERE, "a/../p.png", "thismessage:/p.png"),
            (NOWHERE, "a\\b.png", "thismessage:/a/b.png"),
            (NOWHERE, "a%20b.png", "thismessage:/a b.png"),
            (NOWHERE, "http://h.test/a/p.png#x", "http://h.test/a/p.png"),
            ("http://h.test/a/b.html", "p.png", "http://h.test/a/p.png"),
            ("http://h.test/a/b.html", "../p.png", "http://h.test/p.png"),
            ("http://h.test/a/b.html", "/p.png", "http://h.test/p.png"),
            ("http://h.test", "p.png", "http://h.test/p.png"),
            ("file:///C:/1/a.htm", "a-files/p.png", "file:///C:/1/a-files/p.png"),
            ("file:///C:/1/a.htm", "file:///C:/1/a-files/p.png", "file:///C:/1/a-files/p.png"),
            (NOWHERE, "C:\\x\\p.png", "C:/x/p.png"),
        ];
        for (base, link, want) in cases {
            assert_eq!(resolved(base, link), want, "{base} {link}");
        }
    }

    #[test]
    fn pictures_get_ids() {
        let picture = |fields: &str| format!("{fields}\r\nContent-Type: image/png\r\n\r\nx");
        // fields of the page, page, fields of the picture, the page with the id
        let cases = [
            ("", "<img src=\"p.png\">", "Content-Location: p.png", Some("<img src=\"cid:{p.png}\">")),
            ("", "<img alt=x SRC=./p.png>", "Content-Location: p.png", Some("<img alt=x SRC=cid:{p.png}>")),
            ("", "<td background='p.png'>", "Content-Location: p.png", Some("<td background='cid:{p.png}'>")),
            (
                "",
                "<p style=\"background:url('p.png')\">",
                "Content-Location: p.png",
                Some("<p style=\"background:url('cid:{p.png}')\">"),
            ),
            (
                "",
                "<p style=\"a:url(&quot;p.png&quot;)\">",
                "Content-Location: p.png",
                Some("<p style=\"a:url(&quot;cid:{p.png}&quot;)\">"),
            ),
            (
                "",
                "<p style=\"a:url(&#039;p.png&#039;)\">",
                "Content-Location: p.png",
                Some("<p style=\"a:url(&#039;cid:{p.png}&#039;)\">"),
            ),
            (
                "",
                "<style>p{a:URL( p.png )}</style>",
                "Content-Location: p.png",
                Some("<style>p{a:URL( cid:{p.png} )}</style>"),
            ),
            ("", "<img src=\"a&amp;b.png\">", "Content-Location: a&b.png", Some("<img src=\"cid:{a&b.png}\">")),
            (
                "Content-Location: http://h.test/a/b.html\r\n",
                "<img src=p.png>",
                "Content-Location: http://h.test/a/p.png",
                Some("<img src=cid:{http://h.test/a/p.png}>"),
            ),
            (
                "Content-Location: file:///C:/1/a.htm\r\n",
                "<img src=\"a-files/p.png\">",
                "Content-Location: file:///C:/1/a-\r\n files/p.png",
                Some("<img src=\"cid:{file:///C:/1/a-files/p.png}\">"),
            ),
            (
                "Content-Base: http://h.test/a/\r\n",
                "<img src=p.png>",
                "Content-Location: p.png",
                Some("<img src=cid:{http://h.test/a/p.png}>"),
            ),
            ("", "<img src=p.png>", "Content-Location: p.png\r\nContent-ID: <1@h>", Some("<img src=cid:{<1@h>}>")),
            ("", "<img src=q.png><a href=p.png>p.png</a>", "Content-Location: p.png", None),
            ("", "<img src=p.png>", "X: y", None),
        ];
        for (fields, page, located, want) in cases {
            let (root, picture) = (format!("{fields}Content-Type: text/html\r\n\r\n{page}"), picture(located));
            let children = [(1, Part::read(root.as_bytes(), false)), (2, Part::read(picture.as_bytes(), false))];
            let whole = Part::read(b"Content-Type: multipart/related; boundary=b\r\n\r\n", false);
            let places = Places::of(&whole, &children);
            let shown = |id: &str| format!("{{{}}}", id.trim_start_matches('\0').trim_start_matches(NOWHERE));
            let got = places.as_ref().and_then(|places| places.replaced(page, &children[0].1, shown));
            assert_eq!(got.as_deref(), want, "{page}");
            if want.is_some() {
                assert!(places.unwrap().id(&children[1].1).is_some(), "{page}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_page(page in "(<img src=|url\\(|[\"'&)>< p.:/\\\\#é]|&quot;|p\\.png){0,30}") {
            let children = [(1, Part::read(b"Content-Location: p.png\r\nContent-Type: image/png\r\n\r\n", false))];
            let places = Places::of(&Part::read(b"\r\n", false), &children).unwrap();
            let _ = places.replaced(&page, &children[0].1, str::to_owned);
        }
    }
}
