//! What octets are that nobody names, or that are not what they are said to be. How often letters
//! and pairs occur in languages is known by `chardetng`; here is how sure that is, and what speaks
//! against a name.
//!
//! Whom it hits: who writes so few letters that they could be anything; his octets stay as they
//! are. What it tells a liar: nothing; what goes out is what was looked at, under the name by
//! which it was read.

use super::names::Charset;
use crate::message::work;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, WINDOWS_1252};

/// Octets that are looked at, from the first that is not ASCII.
const SAMPLE: usize = 16 << 10;
/// Characters that say little to a detector.
const FEW: usize = 12;
/// Characters beyond ASCII that make a guess sure: pairs, letters of Latin; letters of others.
const SURE_PAIRS: usize = 4;
const SURE_LETTERS: usize = 20;
/// Steps of an octet of it.
const STEPS: usize = 60;

/// What octets are most probably.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Guess {
    pub(super) encoding: &'static Encoding,
    /// It can be relied on.
    pub(super) sure: bool,
}

/// The octets that tell. A character that the sample's end cuts in two is left out.
fn sample(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len());
    // The letter before tells what the next one is.
    let rest = bytes.get(start.saturating_sub(8)..).unwrap_or(&[]);
    let Some(sample) = rest.get(..SAMPLE) else { return rest };
    let end = sample.iter().rposition(|byte| matches!(byte, b' ' | b'\n' | b'<')).unwrap_or(sample.len());
    sample.get(..end).filter(|sample| !sample.is_empty()).unwrap_or(sample)
}

/// Guesses what octets above 127 are that are no UTF-8.
pub(super) fn guess(bytes: &[u8]) -> Guess {
    let bytes = sample(bytes);
    work::count(bytes.len() * STEPS);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let encoding = match detector.guess(None, Utf8Detection::Deny) {
        _ if is_kana(bytes) => EUC_JP,
        encoding => more_common(bytes, encoding),
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    // One in which every octet is a character, where the guess is none.
    let Some(text) = text else { return Guess { encoding: WINDOWS_1252, sure: false } };
    let sure = if has_pairs(encoding) {
        let (common, all) = common(bytes, encoding);
        all >= SURE_PAIRS && common * 4 >= all * 3
    } else {
        let letters = text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).count();
        let enough = match encoding.name() {
            "windows-1252" | "ISO-8859-15" => 1,
            _ if is_latin(encoding) => SURE_PAIRS,
            _ => SURE_LETTERS,
        };
        letters >= enough && is_language(&text) && (enough > 1 || is_western(&text))
    };
    Guess { encoding, sure }
}

/// Whether most pairs are kana of EUC-JP, which a detector takes for Thai where there are few.
fn is_kana(bytes: &[u8]) -> bool {
    let (_, all) = common(bytes, EUC_JP);
    let high: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii()).collect();
    let kana = high.chunks(2).filter(|pair| matches!(pair, [0xa4, 0xa1..=0xf3])).count();
    kana >= 3 && kana * 2 >= all && is_clean(bytes, EUC_JP)
}

fn is_clean(bytes: &[u8], encoding: &'static Encoding) -> bool {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some()
}

/// The charset of pairs in which more of a few characters are common ones: names of files are short.
fn more_common(bytes: &[u8], guess: &'static Encoding) -> &'static Encoding {
    let (found, all) = common(bytes, guess);
    // Of ideographs alone nobody tells. Chinese programs write them raw, Japanese ones do not.
    let kana = || bytes.iter().any(|byte| matches!(byte, 0xa4 | 0xa5));
    if guess == EUC_JP && all <= FEW && !kana() && is_clean(bytes, GBK) {
        return GBK;
    }
    if !has_pairs(guess) || all > FEW || found == all {
        return guess;
    }
    let is_better = |other: &&&'static Encoding| {
        let (others, count) = common(bytes, other);
        others * all > found * count && is_clean(bytes, other)
    };
    [GBK, BIG5, EUC_KR, EUC_JP, SHIFT_JIS].iter().find(is_better).map_or(guess, |other| *other)
}

/// Whether octets are common characters of pairs and almost nothing else.
pub(super) fn is_of_pairs(bytes: &[u8]) -> bool {
    let Guess { encoding, sure } = guess(bytes);
    let (common, all) = common(sample(bytes), encoding);
    sure && has_pairs(encoding) && all >= 4 && common * 10 >= all * 9
}

/// Whether characters beyond ASCII take several octets.
pub(super) fn has_pairs(encoding: &'static Encoding) -> bool {
    [SHIFT_JIS, EUC_JP, GBK, GB18030, BIG5, EUC_KR].contains(&encoding)
}

/// Whether a text of single octets looks as if somebody had written it: letters among letters, and
/// none of the signs that letters of other charsets come out as.
fn is_language(text: &str) -> bool {
    let (mut letters, mut beside, mut odd) = (0, 0, 0);
    let mut last = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c >= '\u{80}' {
            if c.is_alphabetic() || is_mark(c) {
                letters += 1;
                let next = chars.peek().copied().unwrap_or(' ');
                beside += usize::from(last.is_alphabetic() || next.is_alphabetic());
            } else if !is_punctuation(c) {
                odd += 1;
            }
        }
        last = c;
    }
    beside > 0 && odd * 8 <= letters
}

/// Whether letters beyond ASCII stand one or two among others, as in the west of Europe.
fn is_western(text: &str) -> bool {
    let ascii = text.chars().filter(char::is_ascii_alphabetic).count();
    let (mut all, mut run, mut longest) = (0, 0, 0);
    for c in text.chars() {
        let is_letter = !c.is_ascii() && c.is_alphabetic();
        run = if is_letter { run + 1 } else { 0 };
        all += usize::from(is_letter);
        longest = longest.max(run);
    }
    all <= ascii && longest <= 2
}

/// Vowels and tones of Thai and Hebrew stand on letters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0591}'..='\u{05c7}' | '\u{064b}'..='\u{0652}' | '\u{0e31}'..='\u{0e4e}' | '\u{0300}'..='\u{036f}')
}

/// What people write between words.
fn is_punctuation(c: char) -> bool {
    let latin =
        matches!(c, '\u{a0}' | '¡' | '§' | '©' | '«' | '®' | '°' | '²' | '³' | '´' | '·' | 'º' | 'ª' | '»' | '¿');
    latin
        || matches!(
            c,
            '€' | '£' | '№' | '™' | '×' | '±' | '½' | '¼' | '\u{2010}'..='\u{2026}' | '\u{2039}' | '\u{203a}'
        )
}

/// How many of the characters of several octets are such as most texts are made of, and how many
/// there are.
fn common(bytes: &[u8], encoding: &'static Encoding) -> (usize, usize) {
    work::count(bytes.len());
    let is_common = |first: u8, second: u8| match first {
        _ if encoding == SHIFT_JIS => match first {
            0x82 => second >= 0x4f,
            0x83 => second <= 0x96,
            _ => matches!(first, 0x81 | 0x88..=0x97),
        },
        _ if encoding == BIG5 => matches!(first, 0xa1..=0xc6),
        _ if second < 0xa1 => false,
        _ if encoding == EUC_JP => matches!(first, 0xa1 | 0xa3..=0xa5 | 0xb0..=0xcf),
        _ if encoding == EUC_KR => matches!(first, 0xa1 | 0xa3 | 0xb0..=0xc8),
        _ => matches!(first, 0xa1 | 0xa3 | 0xb0..=0xd7),
    };
    let (mut found, mut all, mut at) = (0, 0, 0);
    while let Some(&first) = bytes.get(at) {
        at += 1;
        if first.is_ascii() {
            continue;
        }
        all += 1;
        let single = encoding == SHIFT_JIS && matches!(first, 0xa1..=0xdf);
        if let Some(&second) = bytes.get(at).filter(|_| !single) {
            found += usize::from(is_common(first, second));
            at += 1;
        }
    }
    (found, all)
}

/// Characters of UTF-8 beyond ASCII, those of three octets or more among them, and what is none.
pub(super) fn in_utf8(bytes: &[u8]) -> (usize, usize, usize) {
    work::count(bytes.len());
    let (mut all, mut long, mut faults) = (0, 0, 0);
    for chunk in bytes.utf8_chunks() {
        faults += usize::from(!chunk.invalid().is_empty());
        for byte in chunk.valid().bytes() {
            all += usize::from(byte >= 0xc2);
            long += usize::from(byte >= 0xe0);
        }
    }
    (all, long, faults)
}

/// Whether octets that are valid UTF-8 are it, though they are said to be something else in which
/// they are valid as well.
///
/// In charsets of single octets no letters of a language follow each other so, or by chance two or
/// three that are one character of UTF-8. Those of pairs are in doubt where all characters of UTF-8
/// would have two octets: it needs one alphabet then, and Latin letters among others.
pub(super) fn is_utf8(text: &str, said: Charset) -> bool {
    let pairs = match said {
        Charset::Web(encoding) => has_pairs(encoding),
        _ => said == Charset::EucTw,
    };
    if !pairs {
        let latin = matches!(said, Charset::Web(encoding) if is_latin(encoding))
            || !matches!(said, Charset::Web(_) | Charset::High(_));
        return latin || text.chars().filter(|c| !c.is_ascii()).nth(1).is_some();
    }
    let block = |c: char| match c {
        '\u{80}'..='\u{24f}' => 1,
        '\u{370}'..='\u{3ff}' => 2,
        '\u{400}'..='\u{52f}' => 3,
        '\u{590}'..='\u{5ff}' => 4,
        '\u{600}'..='\u{6ff}' => 5,
        _ => 6,
    };
    work::count(text.len());
    let beyond = || text.chars().filter(|c| !c.is_ascii());
    if beyond().any(|c| c >= '\u{800}') {
        return true;
    }
    let Some(first) = beyond().next().map(block) else { return true };
    let one = first < 6 && beyond().all(|c| block(c) == first);
    one && if first == 1 { is_language(text) } else { beyond().count() >= 4 }
}

/// What octets are that can be read as they are said to be, but hardly are that. `None`: nothing
/// speaks against it.
///
/// In Latin charsets everything can be read. There are fewer letters beyond ASCII than others in
/// every language that is written in them. In charsets of pairs the rare characters are as many as
/// the common ones; in a text they are few. Cyrillic letters of the wrong charset change their case
/// within a word.
pub(super) fn rather(bytes: &[u8], said: &'static Encoding, text: &str) -> Option<&'static Encoding> {
    let bytes = sample(bytes);
    let doubtful = if has_pairs(said) {
        let (common, all) = common(bytes, said);
        all >= 4 && common * 2 < all
    } else if is_latin(said) {
        let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        high >= 6 && high > letters
    } else {
        is_odd_cased(text)
    };
    if !doubtful {
        return None;
    }
    let guess = guess(bytes);
    let other = guess.encoding != said && !(is_latin(said) && is_latin(guess.encoding));
    (guess.sure && other).then_some(guess.encoding)
}

fn is_latin(encoding: &'static Encoding) -> bool {
    let name = encoding.name();
    let latin = ["ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-10", "ISO-8859-13", "ISO-8859-14", "ISO-8859-15"];
    let windows = ["windows-1250", "windows-1252", "windows-1254", "windows-1257", "windows-1258"];
    latin.contains(&name) || windows.contains(&name) || matches!(name, "macintosh" | "ISO-8859-16")
}

/// Whether capitals stand behind small letters more often than small ones do.
fn is_odd_cased(text: &str) -> bool {
    let (mut odd, mut even) = (0, 0);
    let mut last = ' ';
    for c in text.chars().take(SAMPLE).filter(|c| !c.is_ascii() || *c == ' ') {
        if last.is_lowercase() {
            odd += usize::from(c.is_uppercase());
            even += usize::from(c.is_lowercase());
        }
        last = c;
    }
    work::count(text.len().min(SAMPLE) * 2);
    odd > even
}
