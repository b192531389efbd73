//! Style sheets and style attributes: what may go out of them, and whether one hides something.

use super::sheet;
use crate::message::work;

/// Cleans the declarations of a style attribute. `None`: nothing to clean.
#[must_use]
pub(super) fn clean(css: &str) -> Option<String> {
    changed(css, sheet::attribute(css))
}

/// Cleans a style sheet. What may hold an address goes, whoever's it is: if the receiver's became
/// his alias and the others stayed, an answer that quotes the sheet would tell its author which one
/// is the receiver's; nobody sees the sheet, so the quote cannot be told by its lines.
#[must_use]
pub(super) fn clean_sheet(css: &str) -> Option<String> {
    changed(css, sheet::cleaned(css))
}

/// What is whole stays as it was written, unless programs that know less of style sheets could read
/// something else in it.
fn changed(css: &str, (cleaned, whole): (String, bool)) -> Option<String> {
    (!(whole && sheet::is_plain(css)) && cleaned != css).then_some(cleaned)
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
            (" Color : RED ;; margin: 0 auto -0 5% ! important; ", None),
            ("background:url(https://t.test/x.gif);color:red", Some("color:red")),
            ("color:red;background:u\\72l( 'http://x' )", Some("color:red")),
            ("background:u/**/rl(http://x)", Some("")),
            ("background:url(cid:a@b)", None),
            ("background:url('data:image/png;base64,aa') no-repeat", None),
            ("background:url(/x.gif)", Some("")),
            ("width:exp/*x*/ression(alert(1));color:b", Some("color:b")),
            ("mso-fareast-language:JA; color:red", Some("color:red")),
            ("color:'x\n;background:url(//x);color:blue", Some("color:blue")),
            ("font-family:\"</style>\"", Some("font-family:\"\\3c /style>\"")),
            ("font-family:\"\\3c /style>\"", None),
            // what leaves its place, covers, or pushes others away
            ("position:absolute;color:red", Some("color:red")),
            ("pos\\69tion:fixed;top:0;z-index:9", Some("")),
            ("transform:scale(0);filter:blur(9px);animation:x 1s;transition:all 1s;zoom:0", Some("")),
            ("all:unset;content:'x';clip-path:inset(0);mask:none;contain:size", Some("")),
            ("margin:0 0 -100px", Some("")),
            ("margin:0 -10px", None),
            ("margin-top:-1px;margin-left:-5.4pt", Some("margin-left:-5.4pt")),
            ("height:600px;min-height:90vh;height:100in", Some("height:600px")),
            (
                "height:calc(1px * 9999);width:calc(100% - 20px);width:100vw",
                Some("width:calc(100% - 20px);width:100vw"),
            ),
            ("padding:0 10% 301px", Some("")),
            ("line-height:150%;line-height:1.5;line-height:999", Some("line-height:150%;line-height:1.5")),
            ("font:bold 12px/1.5 'MS PGothic',x", None),
            ("font:12px/500 x", Some("")),
            ("font-size:200%;font-size:99em", Some("font-size:200%")),
            ("-webkit-text-size-adjust:none;-webkit-text-size-adjust:1%", Some("-webkit-text-size-adjust:none")),
            ("--x:1;color:var(--x);color:rgba(0, 0, 0, .5)", Some("color:rgba(0, 0, 0, 0.5)")),
            ("color:red}body{display:none", Some("")),
            ("color:red!important x;color:blue !important", Some("color:blue!important")),
        ];
        for (css, want) in cases {
            assert_eq!(clean(css).as_deref(), want, "{css}");
            if let Some(want) = want {
                assert_eq!(clean(want), None, "{want}");
            }
        }
    }

    #[test]
    fn sheets() {
        // css, cleaned (None: as it was), bound to the author's part
        let cases = [
            ("p{color:red}\nTD.x > a , b{margin:0}", None, ".rly p{color:red}.rly TD.x>a,.rly b{margin:0}"),
            ("@import 'http://x/a.css';p{color:red}", Some("p{color:red}"), ".rly p{color:red}"),
            ("@charset 'x';@import url(x){a:b}q{color:c}", Some("q{color:c}"), ".rly q{color:c}"),
            ("/* Font Definitions */p{color:b}", Some("p{color:b}"), ".rly p{color:b}"),
            ("<!-- p{color:b} -->", Some("p{color:b}"), ".rly p{color:b}"),
            ("@font-face{font-family:x;src:local(y)}@keyframes a{from{color:b}}", Some(""), ""),
            (
                "@media only screen and (max-width:600px){.x{width:100%!important}}",
                None,
                "@media only screen and (max-width:600px){.rly .x{width:100%!important}}",
            ),
            ("@media print{@layer x{p{color:b}}}", Some(""), ""),
            ("@media print{p{color:b}", None, "@media print{.rly p{color:b}}"),
            ("p{color:b;q{color:c}}s{color:d}", Some("p{color:b}s{color:d}"), ".rly p{color:b}.rly s{color:d}"),
            ("p::before{content:'x.y';color:b}", Some("p::before{color:b}"), ".rly p::before{color:b}"),
            // the page
            (
                "body,html{margin:0;background:#111;display:none}",
                None,
                ".rly .rly-b,.rly{margin:0;background:#111;display:none}body{margin:0;background:#111}",
            ),
            (
                "html>body.x p,:root,* , body+p, html~p{color:b}",
                None,
                ".rly .rly-b.x p,.rly,.rly *,.rly .rly-b+p{color:b}",
            ),
            ("[data-ogsc] .x,[class~=\"a\"]{color:b}", None, "[data-ogsc] .rly .x,.rly [class~=\"a\"]{color:b}"),
            ("a[href^=\"mailto:report\"]{display:none}", None, ".rly a[href^=\"mailto:report\"]{display:none}"),
            (".rly p,.rly+p,.rly~*{color:b}", None, ".rly p,.rly .rly+p,.rly .rly~*{color:b}"),
            ("p:not(.x):nth-child(2n + 1){color:b}", None, ".rly p:not(.x):nth-child(2n + 1){color:b}"),
            ("> p, + q, &, a|b, p >, p > > q, s{color:b}", Some("s{color:b}"), ".rly s{color:b}"),
            ("p\\{color:b}q{color:c}", Some("p\\{color{color:c}"), ""),
        ];
        for (css, want, bound) in cases {
            if css.contains('\\') {
                // Escapes are written anew; what they are read as stands in one selector.
                assert!(sheet::bound(css).is_empty() || sheet::bound(css).starts_with(".rly "), "{css}");
                continue;
            }
            assert_eq!(clean_sheet(css).as_deref(), want, "{css}");
            assert_eq!(sheet::bound(want.unwrap_or(css)), bound, "{css}");
            assert_eq!(sheet::bound(css), bound, "{css}");
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
        for storm in
            ["/*", "url(", "\\", "(", "'", ";", "color:b;", "{", "</", "url(x", "p{", "@media x{", ",", "p:not("]
        {
            let css = storm.repeat(400_000 / storm.len());
            let _ = (clean(&css), clean_sheet(&css), sheet::bound(&css));
        }
    }
}
