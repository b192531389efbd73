//! Line ends of mail: CRLF and nothing else. Looked at many octets at once, as a large message has tens of thousands of lines.

/// Octets that are compared before an early end is thought of.
const BLOCK: usize = 4096;

/// Whether each CR is followed by an LF, and each LF follows a CR.
#[must_use]
pub fn are_whole(text: &[u8]) -> bool {
    if text.first() == Some(&b'\n') || text.last() == Some(&b'\r') {
        return false;
    }
    let next = text.get(1..).unwrap_or(&[]);
    // Without early ends in a block the compiler compares many octets in one step.
    let pairs = |a: &[u8], b: &[u8]| a.iter().zip(b).fold(true, |all, (a, b)| all & ((*a == b'\r') == (*b == b'\n')));
    text.chunks(BLOCK).zip(next.chunks(BLOCK)).all(|(a, b)| pairs(a, b))
}

/// Whether each line is shorter than `length`, its CR counted, its LF not.
#[must_use]
pub fn are_shorter(text: &[u8], length: usize) -> bool {
    let mut rest = text;
    while rest.len() >= length {
        // The last line end within reach: what stands before it is short.
        let Some(end) = rest.get(..length).and_then(|reach| memchr::memrchr(b'\n', reach)) else { return false };
        rest = rest.get(end + 1..).unwrap_or(&[]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends() {
        let long = "x".repeat(BLOCK - 1);
        // text, whole
        let cases: &[(&str, bool)] = &[
            ("", true),
            ("a", true),
            ("\r\n", true),
            ("a\r\nb\r\n\r\n", true),
            ("\r", false),
            ("\n", false),
            ("a\nb", false),
            ("a\rb", false),
            ("\r\r\n", false),
            ("\r\n\n", false),
            ("\n\r", false),
        ];
        for (text, want) in cases {
            // Also where two blocks meet.
            for before in ["", &long, &long[1..], &long[2..]] {
                assert_eq!(are_whole(format!("{before}{text}").as_bytes()), *want, "{} {text:?}", before.len());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn short_lines(text in "[a\n]{0,60}", length in 1_usize..20) {
            let longest = text.split('\n').map(str::len).max().unwrap_or(0);
            proptest::prop_assert_eq!(are_shorter(text.as_bytes(), length), longest < length);
        }
    }
}
