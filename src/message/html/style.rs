//! Style sheets and style attributes: what loads something unseen, runs something, or tells the author's mail program, goes.
//!
//! A background or a font from a server is loaded without being a picture that one sees, so every remote `url()` goes.

use super::link::{Target, target};
use crate::message::{scrub, work};

/// Whole pieces (declarations, at-rules) with one of these go.
const FORBIDDEN: &[&str] = &[
    "expression(",
    "behavior:",
    "-moz-binding",
    "javascript:",
    "vbscript:",
    "image-set(",
    "cross-fade(",
    "@import",
    "@namespace",
    "@charset",
    "-ms-filter",
    "progid:",
];

/// At-rules that style sheets of mail have; those of [`FORBIDDEN`] go.
const AT_RULES: &[&str] = &[
    "container",
    "counter-style",
    "document",
    "font-face",
    "font-feature-values",
    "keyframes",
    "layer",
    "media",
    "page",
    "property",
    "scope",
    "starting-style",
    "supports",
    "viewport",
];

/// Cleans the declarations of a style attribute. `None`: nothing to clean.
#[must_use]
pub(super) fn clean(css: &str) -> Option<String> {
    without(css, is_forbidden)
}

/// Cleans a style sheet. What may hold an address goes, whoever's it is: if the receiver's became
/// his alias and the others stayed, an answer that quotes the sheet would tell its author which one
/// is the receiver's; nobody sees the sheet, so the quote cannot be told by its lines.
#[must_use]
pub(super) fn clean_sheet(css: &str) -> Option<String> {
    without(css, |shadow| is_forbidden(shadow) || holds_address(shadow) || shows_domain(shadow))
}

/// Whether a piece shows a word with a dot in it, as domains and local parts are, or what stands in
/// an attribute: with the rest of an address in the text, that would be one. Whoever's it is: see
/// [`clean_sheet`]. Whom it hits: links lose their addresses on paper.
fn shows_domain(shadow: &str) -> bool {
    let Some((name, value)) = shadow.split_once(':').filter(|_| shadow.contains("content")) else { return false };
    let words = value.as_bytes().windows(3).any(|three| match three {
        [before, b'.', after] => before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric(),
        _ => false,
    });
    name.trim_end().ends_with("content") && (words && !value.contains("url(") || value.contains("attr("))
}

/// Whether an `@` stands in a piece that does not begin a rule.
fn holds_address(shadow: &str) -> bool {
    let start = shadow.len() - shadow.trim_start().len();
    let is_rule = |at: usize| at == start && is_at_rule(shadow.get(at + 1..).unwrap_or(""));
    scrub::signs(shadow).any(|at| !is_rule(at) && !is_in_content_id(shadow.get(..at).unwrap_or("")))
}

/// Whether what ends here begins a link to another part (`url(cid:a@b)`). Such an id has been
/// replaced by one of ours before, whatever it was.
fn is_in_content_id(before: &str) -> bool {
    let in_id = |c: char| c.is_ascii_alphanumeric() || ".-_=+$%".contains(c);
    before.trim_end_matches(in_id).ends_with("cid:")
}

fn is_at_rule(text: &str) -> bool {
    let vendors = ["-webkit-", "-moz-", "-ms-", "-o-"];
    let text = vendors.iter().find_map(|vendor| text.strip_prefix(vendor)).unwrap_or(text);
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
    let (name, rest) = text.split_at(length);
    AT_RULES.contains(&name) && !rest.starts_with('.')
}

fn without(css: &str, forbidden: impl Fn(&str) -> bool) -> Option<String> {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    let mut changed = false;
    while !rest.is_empty() && !work::is_over() {
        let (piece, after) = rest.split_at(piece_length(rest));
        rest = after;
        work::count(piece.len() * READINGS);
        let shadow = shadow(piece);
        if forbidden(&shadow) || hides_picture(&shadow, piece) {
            changed = true;
            match piece.as_bytes().last() {
                // A rule without a selector would take the next one's.
                Some(b'{') => out.push_str("none{"),
                Some(b'}') => out.push('}'),
                _ => {}
            }
        } else if piece.contains("/*") {
            changed = true;
            without_comments(piece, &mut out);
        } else {
            out.push_str(piece);
        }
    }
    // What was taken out must not have glued an end tag together.
    changed.then(|| out.replace("</", "< /"))
}

/// Whether a piece holds a picture that is not written as it was cleaned (`data_uri`): with escapes
/// or comments in it, or not in base 64.
fn hides_picture(shadow: &str, piece: &str) -> bool {
    let plainly = || piece.to_ascii_lowercase().contains(";base64,") && !piece.contains('\\') && !piece.contains("/*");
    shadow.contains("data:image") && !plainly()
}

/// Passes over each piece of a style sheet.
const READINGS: usize = 12;

/// Up to the next `;`, `{` or `}` that is in no string, bracket or comment.
fn piece_length(css: &str) -> usize {
    let bytes = css.as_bytes();
    let (mut quote, mut depth, mut at) = (None, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (_, b'\\') => at += 1,
            (Some(open), _) if byte == open || byte == b'\n' => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'/') if bytes.get(at + 1) == Some(&b'*') => {
                let end = css.get(at + 2..).and_then(|body| body.find("*/"));
                at = end.map_or(bytes.len(), |end| at + 2 + end + 1);
            }
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b'{' | b'}') => return at + 1,
            (None, b';') if depth == 0 => return at + 1,
            (None, _) => {}
        }
        at += 1;
    }
    css.len()
}

fn without_comments(piece: &str, out: &mut String) {
    let mut rest = piece;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
}

/// What a browser makes of a piece: comments gone, escapes read, lower case.
fn shadow(piece: &str) -> String {
    let mut plain = String::with_capacity(piece.len());
    without_comments(piece, &mut plain);
    if plain.contains('\\') {
        plain = unescape(&plain);
    }
    plain.make_ascii_lowercase();
    plain
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.push_str(before);
        let digits = escaped.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        let (hex, after) = escaped.split_at(digits);
        match u32::from_str_radix(hex, 16) {
            Ok(code) => {
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                rest = after.strip_prefix([' ', '\t', '\n', '\r']).unwrap_or(after);
            }
            // Any other character stands for itself.
            Err(_) => {
                let c = escaped.chars().next();
                out.extend(c);
                rest = escaped.get(c.map_or(0, char::len_utf8)..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    out
}

fn is_forbidden(shadow: &str) -> bool {
    shadow.trim_start().starts_with("mso-") || FORBIDDEN.iter().any(|word| shadow.contains(word)) || has_remote(shadow)
}

fn has_remote(shadow: &str) -> bool {
    shadow.match_indices("url(").any(|(at, _)| {
        let behind = shadow.get(at + 4..).unwrap_or("");
        let link = behind.trim_start_matches([' ', '\t', '\r', '\n', '"', '\'']);
        work::count(behind.len() - link.len());
        !matches!(target(link), Target::Part | Target::Picture) && !link.starts_with(')')
    })
}

/// Whether an element of this style shows nothing to speak of; `picture`: it is a picture, not a box around others.
#[must_use]
pub(super) fn hides(style: &str, picture: bool) -> bool {
    let style = shadow(style);
    work::count(style.len() * 2);
    let clipped = style.contains("overflow:hidden") || style.contains("overflow: hidden");
    style.split(';').filter_map(|declaration| declaration.split_once(':')).any(|(name, value)| {
        let value = value.trim().trim_end_matches("!important").trim();
        match name.trim() {
            "display" => value == "none",
            "visibility" => value == "hidden" || value == "collapse",
            "opacity" => number(value).is_some_and(|n| n < 0.1),
            "width" | "height" | "max-width" | "max-height" if picture => is_tiny(value),
            "height" | "max-height" | "width" | "max-width" => clipped && number(value).is_some_and(|n| n < 1.0),
            "left" | "top" | "right" | "bottom" | "margin-left" | "margin-top" | "text-indent" => {
                number(value).is_some_and(|n| n <= -500.0)
            }
            "mso-hide" => value == "all",
            "clip" => value.replace(' ', "").contains("rect(0"),
            "transform" => value.replace(' ', "").contains("scale(0"),
            _ => false,
        }
    })
}

/// A length of at most two pixels, in HTML or CSS.
#[must_use]
pub(super) fn is_tiny(length: &str) -> bool {
    let unit = length.trim().trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'));
    let Some(number) = number(length) else { return false };
    match unit.trim() {
        "" | "px" | "pt" => number <= 2.0,
        _ => number < 0.05,
    }
}

fn number(text: &str) -> Option<f32> {
    let text = text.trim().trim_start_matches('+');
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-'))).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations() {
        // css, cleaned (None: as it was)
        let cases = [
            ("color:red;font-family:\"A;B\"", None),
            ("background:url(https://t.test/x.gif);color:red", Some("color:red")),
            ("color:red;background:u\\72l( 'http://x' )", Some("color:red;")),
            ("background:u/**/rl(http://x)", Some("")),
            ("background:url(cid:a@b)", None),
            ("background:url('data:image/png;base64,aa')", None),
            ("background:url(/x.gif)", Some("")),
            ("width:exp/*x*/ression(alert(1));a:b", Some("a:b")),
            ("mso-fareast-language:JA; color:red", Some(" color:red")),
            ("@import 'http://x/a.css';p{color:red}", Some("p{color:red}")),
            ("/* Font Definitions */p{a:b}", Some("p{a:b}")),
            ("p{a:b;background-image:url(//x)}q{c:d}", Some("p{a:b;}q{c:d}")),
            ("@import url(x){a:b}", Some("none{a:b}")),
            ("@font-face{font-family:\"\\FF2D\\FF33 x\"}", None),
            ("a:'x\n;background:url(//x);b:c", Some("a:'x\n;b:c")),
            ("</* *//style>", Some("< /style>")),
        ];
        for (css, want) in cases {
            assert_eq!(clean(css).as_deref(), want, "{css}");
        }
    }

    #[test]
    fn hidden_and_tiny() {
        // style, of a picture, hidden
        let cases = [
            ("display : NONE !important", true, true),
            ("display:block;width:600px", true, false),
            ("width:1px;height:1px", true, true),
            ("height:0", true, true),
            ("width:100%;max-width:600px", true, false),
            ("line-height:1px", true, false),
            ("opacity:0.01", true, true),
            ("opacity:.9", true, false),
            ("position:absolute;left:-9999px", true, true),
            ("height:1px", false, false),
            ("max-height:0;overflow:hidden", false, true),
            ("visib/**/ility:hidden", false, true),
        ];
        for (style, picture, want) in cases {
            assert_eq!(hides(style, picture), want, "{style}");
        }
    }

    #[test]
    fn storms_are_linear() {
        for storm in ["/*", "url(", "\\", "(", "'", ";", "a:b;", "{", "</", "url(x"] {
            let _ = clean(&storm.repeat(400_000 / storm.len()));
        }
    }
}
