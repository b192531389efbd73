//! Where a link in HTML leads, read the way a browser reads it.

use crate::message::entities::numeric;
use crate::message::work;
use std::borrow::Cow;

/// What an attribute refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A place in this document, or relative to one that mail does not have.
    Here,
    /// A server somewhere, that learns of it when the reader's program loads it.
    Remote,
    /// A part of this message (`cid:`).
    Part,
    /// A picture in the attribute itself (`data:image/…;base64,`), written as it was cleaned
    /// (`data_uri`).
    Picture,
    /// Something that a reader follows by a click: `mailto:`, `tel:` …
    Followed,
    /// Scripts, local files, and schemes that nobody knows.
    Forbidden,
}

const FOLLOWED: &[&str] =
    &["mailto", "tel", "sms", "callto", "geo", "webcal", "whatsapp", "line", "skype", "viber", "facetime", "maps"];

/// What `raw`, an attribute's value as written, refers to.
pub(super) fn target(raw: &str) -> Target {
    let text = start(raw);
    if text.starts_with("//") || text.starts_with("\\\\") || text.starts_with("/\\") || text.starts_with("\\/") {
        return Target::Remote;
    }
    let Some(end) = text.find([':', '/', '?', '#']) else {
        // An entity that is not known here might be a colon.
        return if text.contains('&') { Target::Forbidden } else { Target::Here };
    };
    let (scheme, rest) = text.split_at(end);
    if !rest.starts_with(':') {
        return if scheme.contains('&') { Target::Forbidden } else { Target::Here };
    }
    match scheme {
        "http" | "https" | "ftp" => Target::Remote,
        "cid" => Target::Part,
        "data" if rest.starts_with(":image/") && !rest.starts_with(":image/svg") && is_plain_data(raw) => {
            Target::Picture
        }
        _ if FOLLOWED.contains(&scheme) => Target::Followed,
        _ => Target::Forbidden,
    }
}

/// Whether a `data:` link is in base 64, and nothing of its head is escaped.
fn is_plain_data(raw: &str) -> bool {
    let head = raw.trim_start().bytes().take(200).collect::<Vec<u8>>().to_ascii_lowercase();
    work::count(head.len());
    head.starts_with(b"data:") && memchr::memmem::find(&head, b";base64,").is_some()
}

/// As much of a value as tells where it leads, in lower case, decoded, and without what browsers
/// pass over: a scheme, and a little of what follows. A style sheet may hold a link every few
/// octets: no more of it is read for each of them.
fn start(raw: &str) -> String {
    /// Schemes are short; a long picture need not be read. What browsers pass over does not count:
    /// it would hide what stands behind it.
    const LONGEST: usize = 400;
    /// `:image/svg`, and what tells a server.
    const BEHIND: usize = 16;
    let (mut out, mut rest, mut left) = (String::new(), raw, LONGEST);
    while left > 0
        && let Some(c) = rest.chars().next()
    {
        work::count(1);
        let (c, length) = Some(rest).filter(|_| c == '&').and_then(one).unwrap_or((c, c.len_utf8()));
        rest = rest.get(length..).unwrap_or("");
        if c.is_control() || c.is_whitespace() || c == '\u{feff}' {
            continue;
        }
        left -= 1;
        if matches!(c, ':' | '/' | '?' | '#') {
            left = left.min(BEHIND);
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Numeric entities and the ones that matter in links and styles, decoded. Others stay as they are.
pub(in crate::message) fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains('&') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    work::skip(raw.len());
    while let Some(at) = rest.find('&') {
        // As many names are compared.
        work::count(16);
        let (before, entity) = rest.split_at(at);
        out.push_str(before);
        match one(entity) {
            Some((c, length)) => {
                out.push(c);
                rest = entity.get(length..).unwrap_or("");
            }
            None => {
                out.push('&');
                rest = entity.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The entity at the start of `text`, and its length.
fn one(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix('&')?;
    if body.starts_with('#') {
        return numeric(body).map(|(c, length)| (c, 1 + length));
    }
    const NAMES: &[(&str, char)] = &[
        ("amp;", '&'),
        ("lt;", '<'),
        ("gt;", '>'),
        ("quot;", '"'),
        ("apos;", '\''),
        ("colon;", ':'),
        ("Tab;", '\t'),
        ("NewLine;", '\n'),
        ("lpar;", '('),
        ("rpar;", ')'),
        ("sol;", '/'),
        ("period;", '.'),
        ("comma;", ','),
        ("semi;", ';'),
        ("bsol;", '\\'),
        ("commat;", '@'),
        ("equals;", '='),
        ("num;", '#'),
        ("quest;", '?'),
        ("excl;", '!'),
        ("lowbar;", '_'),
        ("hyphen;", '-'),
        ("lbrace;", '{'),
        ("lcub;", '{'),
        ("rbrace;", '}'),
        ("rcub;", '}'),
        ("ast;", '*'),
        ("nbsp;", '\u{a0}'),
        ("shy;", '\u{ad}'),
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("nbsp", '\u{a0}'),
    ];
    NAMES.iter().find(|(name, _)| body.starts_with(name)).map(|(name, c)| (*c, 1 + name.len()))
}

/// The other way, for a value that goes back into an attribute; quotes are the rewriter's business.
pub(super) fn encode(text: &str) -> String {
    text.replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        // as written, what it is
        let cases = [
            ("https://shop.test/a", Target::Remote),
            (" HTTP://x", Target::Remote),
            ("//x.test/a.gif", Target::Remote),
            ("\\\\x.test\\a.gif", Target::Remote),
            ("#top", Target::Here),
            ("a/b:c", Target::Here),
            ("?a&b:c", Target::Here),
            ("a&b", Target::Forbidden),
            ("mailto:a@b.test?subject=x", Target::Followed),
            ("cid:x@y", Target::Part),
            ("data:image/png;base64,xx", Target::Picture),
            (" DATA:image/png;x=y;Base64,xx", Target::Picture),
            ("data:image/png,%89PNG", Target::Forbidden),
            ("data&colon;image/png;base64,xx", Target::Forbidden),
            ("data:image/svg+xml,<svg>", Target::Forbidden),
            ("data:text/html,x", Target::Forbidden),
            ("javascript:x", Target::Forbidden),
            (" java\nscript:x", Target::Forbidden),
            ("java&Tab;script&colon;x", Target::Forbidden),
            ("&#106;avascript&#x0000000003a;x", Target::Forbidden),
            ("&#0000000000000000000106;avascript:x", Target::Forbidden),
            ("javascript&unknown;x", Target::Forbidden),
            ("\u{1}javascript:x", Target::Forbidden),
            ("file:///C:/Users/Sato", Target::Forbidden),
            ("vbscript:x", Target::Forbidden),
        ];
        for (raw, want) in cases {
            assert_eq!(target(raw), want, "{raw}");
        }
    }
}
