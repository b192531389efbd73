//! Which letters answer a question, where only their subject tells: help desks drop ids and marks.

/// What programs write before the subject of a message that they answer, lower case.
const ANSWERS: &[&str] = &[
    "re",
    "aw",
    "antw",
    "antwort",
    "rép",
    "réf",
    "rif",
    "r",
    "res",
    "resp",
    "rv",
    "sv",
    "vs",
    "bls",
    "odp",
    "ynt",
    "cevap",
    "vá",
    "vl",
    "na",
    "отв",
    "ответ",
    "απ",
    "ati",
    "bal",
    "atb",
    "回复",
    "回覆",
    "答复",
    "答覆",
    "返信",
    "回信",
    "답장",
    "회신",
    "ตอบกลับ",
    "رد",
    "תגובה",
];
/// So many of them one behind the other.
const MOST: usize = 8;

/// The subject of the question that a letter with this one answers: what stands behind at least
/// one `Re:`.
#[must_use]
pub fn asked(subject: &str) -> Option<&str> {
    let (asked, prefixes) = bare(subject);
    (prefixes > 0 && !asked.is_empty()).then_some(asked)
}

/// Whether a question has the subject that [`asked`] found.
///
/// Whom it hits: a seller who is asked twice under one subject answers both with one letter. What
/// it tells a liar: that a clock stops, as every letter in the thread does.
#[must_use]
pub fn is_asked(asked: &str, question: &str) -> bool {
    let folded = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    folded(asked) == folded(bare(question).0)
}

/// A subject without what programs write before it, and how much of that there was.
fn bare(subject: &str) -> (&str, usize) {
    let mut rest = subject.trim();
    for taken in 0..MOST {
        let colon = rest.char_indices().find(|(_, c)| matches!(c, ':' | '\u{ff1a}'));
        let Some((at, sign)) = colon.filter(|(at, _)| *at <= 40) else { return (rest, taken) };
        // `Re[2]:`, `Re^2:`, `AW (3):`
        let word = rest.get(..at).unwrap_or("").to_lowercase();
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_whitespace() || "[]()^".contains(c));
        if !ANSWERS.contains(&word) {
            return (rest, taken);
        }
        rest = rest.get(at + sign.len_utf8()..).unwrap_or("").trim();
    }
    (rest, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        // subject, question, whether it answers it
        let table = [
            ("Re: Where is it?", "Where is it?", true),
            ("RE: RE: Where is it?", "Where is it?", true),
            ("AW: where is IT?", "Where is it?", true),
            ("Re[2]: Where is it?", "Re: Where is it?", true),
            ("Antw (3): Where is it?", "Where is it?", true),
            ("返信：返品したい", "返品したい", true),
            ("回复: 你好", "你好", true),
            ("Re : Commande", "Commande", true),
            ("Where is it?", "Where is it?", false),
            ("Fwd: Where is it?", "Where is it?", false),
            ("Re: Offer", "Where is it?", false),
            ("Re:", "", false),
            ("Re: Re:", "Re:", false),
            ("Order: Where is it?", "Where is it?", false),
        ];
        for (subject, question, want) in table {
            let found = asked(subject).is_some_and(|asked| is_asked(asked, question));
            assert_eq!(found, want, "{subject} / {question}");
        }
        assert!(asked(&"Re:".repeat(10_000)).is_some_and(|asked| !is_asked(asked, "x")));
    }
}
