//! How large an author may say that something is, where no style sheet says it: in attributes, and
//! of the whole page.

use super::declarations::{FARTHEST, TALLEST, WIDEST};
use super::link::decode;

/// What `<meta name=viewport>` says.
pub(super) const VIEWPORT: &str = "width=device-width, initial-scale=1";

/// Whether `<meta name=viewport>` leaves the page as large as it is.
pub(super) fn is_usual(content: &str) -> bool {
    let usual = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match (name.trim(), value.trim()) {
            ("width", "device-width") | ("height", "device-height") | ("viewport-fit" | "user-scalable", _) => true,
            ("shrink-to-fit", "no") | ("", "") => true,
            ("initial-scale" | "minimum-scale" | "maximum-scale", scale) => scale.parse() == Ok(1.0_f32),
            _ => false,
        }
    };
    content.to_ascii_lowercase().split([',', ';']).all(usual)
}

/// Whether an attribute pushes what is around it away, as a style may not (`declarations`).
pub(super) fn is_far(tag: &str, name: &str, value: &str) -> bool {
    let most = match name {
        // A long picture of many products.
        "height" if tag == "img" => 3.0 * TALLEST,
        "height" => TALLEST,
        "width" => WIDEST,
        "cellpadding" | "cellspacing" | "border" | "vspace" | "hspace" => FARTHEST,
        "size" if tag == "hr" => FARTHEST,
        _ => return false,
    };
    let value = decode(value);
    let value = value.trim().trim_start_matches('+');
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let most = if unit.trim_start_matches('.').trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('%') {
        100.0
    } else {
        most
    };
    number.len() > 9 || number.parse::<f32>().is_ok_and(|number| number > most)
}
