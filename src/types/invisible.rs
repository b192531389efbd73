//! Characters that show nothing, not even a space. One definition for all rules: what a policy
//! passes over, the rewriter must pass over as well, or an address with one of them in it gets by.

/// Whether a character is in Unicode's `Default_Ignorable_Code_Point` (Unicode 5.21; UAX 44,
/// `DerivedCoreProperties.txt`): joiners, directions, fillers, variation selectors, tags, the soft
/// hyphen, the byte order mark, and what is set aside for more of them.
///
/// White space is none of them: it shows as a gap. Nor are control characters, which each program
/// shows in its own way.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    // Text is ASCII for the most part.
    c > '\u{ac}'
        && matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // The tables of `regex-syntax`, which draws the strings, are Unicode's own.
    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 20_000, ..Default::default() })]
        #[test]
        fn as_unicode_has_it(hidden in "\\p{Default_Ignorable_Code_Point}", shown in "\\P{Default_Ignorable_Code_Point}") {
            proptest::prop_assert!(hidden.chars().all(is_invisible), "{}", hidden.escape_unicode());
            proptest::prop_assert!(!shown.chars().any(is_invisible), "{}", shown.escape_unicode());
        }
    }

    #[test]
    fn what_shows_nothing() {
        for c in "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{180e}\u{200b}\u{200d}\u{2060}\u{2065}\u{206a}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{e0020}\u{e0100}".chars() {
            assert!(is_invisible(c), "{}", c.escape_unicode());
        }
        for c in " \t\u{a0}\u{3000}a@é日\u{2800}\u{301}\u{1f600}\u{ac}\u{ae}\0\u{7f}".chars() {
            assert!(!is_invisible(c), "{}", c.escape_unicode());
        }
    }
}
