//! A text with other words in some places.

use std::ops::Range;

/// `text` with what stands beside each range in its place; the ranges stand in order. Nothing is
/// written twice where one begins in another.
pub(super) fn spliced<W: AsRef<str>>(text: &str, edits: impl IntoIterator<Item = (Range<usize>, W)>) -> String {
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for (range, instead) in edits {
        out.push_str(text.get(done..range.start).unwrap_or(""));
        out.push_str(instead.as_ref());
        done = done.max(range.end);
    }
    out.push_str(text.get(done..).unwrap_or(""));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_by_itself() {
        type Edits = &'static [(Range<usize>, &'static str)];
        let cases: [(Edits, &str); 7] = [
            (&[], "aébc"),
            (&[(0..0, "x")], "xaébc"),
            (&[(1..3, "x")], "axbc"),
            (&[(0..1, ""), (3..4, "yy"), (5..5, "z")], "éyycz"),
            (&[(0..5, "")], ""),
            (&[(0..4, "x"), (1..3, "y")], "xyc"),
            (&[(4..9, "x")], "aébx"),
        ];
        for (edits, want) in cases {
            assert_eq!(spliced("aébc", edits.iter().cloned()), want, "{edits:?}");
        }
    }
}
