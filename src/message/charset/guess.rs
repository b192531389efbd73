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
use encoding_rs::{BIG5, DecoderResult, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, WINDOWS_1252};
use std::sync::LazyLock;

/// Octets that are looked at, from the first that is not ASCII.
const SAMPLE: usize = 16 << 10;
/// Octets of it that tell whether a text is what it is called.
const SHORT: usize = 1 << 10;
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
    let japanese = SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes);
    // In its table 0x80 is a character, in no text.
    let japanese = japanese.is_some_and(|text| !text.contains('\u{80}'));
    let typeset = !japanese && is_typeset(&WINDOWS_1252.decode_without_bom_handling(bytes).0);
    let encoding = match detector.guess(None, Utf8Detection::Deny) {
        _ if typeset => WINDOWS_1252,
        _ if is_kana(bytes) => EUC_JP,
        encoding => more_familiar(bytes, encoding),
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    // One in which every octet is a character, where the guess is none.
    let Some(text) = text else { return Guess { encoding: WINDOWS_1252, sure: false } };
    let sure = if has_pairs(encoding) {
        let (familiar, all) = familiar_in(bytes, encoding).unwrap_or((0, 0));
        all >= SURE_PAIRS && familiar * 2 >= all
    } else {
        let letters = text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).count();
        let enough = match encoding.name() {
            "windows-1252" | "ISO-8859-15" => 1,
            _ if is_latin(encoding) => SURE_PAIRS,
            _ => SURE_LETTERS,
        };
        letters >= enough && is_language(&text) && (enough > 1 || is_western(&text)) || typeset
    };
    Guess { encoding, sure }
}

/// Whether most pairs are kana of EUC-JP, which a detector takes for Thai where there are few.
fn is_kana(bytes: &[u8]) -> bool {
    let high: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii()).collect();
    let kana = high.chunks(2).filter(|pair| matches!(pair, [0xa4, 0xa1..=0xf3])).count();
    kana >= 3 && kana * 4 >= high.len() && is_clean(bytes, EUC_JP)
}

fn is_clean(bytes: &[u8], encoding: &'static Encoding) -> bool {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some()
}

/// The charset in which more of a few characters are familiar: names of files are short, and a
/// detector needs many.
fn more_familiar(bytes: &[u8], guess: &'static Encoding) -> &'static Encoding {
    let (found, all) = familiar_in(bytes, guess).unwrap_or((0, 0));
    if has_pairs(guess) {
        return if all > FEW || found == all { guess } else { best_of_pairs(bytes, guess) };
    }
    // Kanji of Shift_JIS are quotes and letters of Windows' charsets.
    match familiar_in(bytes, SHIFT_JIS) {
        Some((found, all)) if all >= 2 && found == all && all <= FEW && !is_written_by_letters(bytes) => SHIFT_JIS,
        _ => guess,
    }
}

/// Whether each octet above 127 stands alone among others.
fn is_written_by_letters(bytes: &[u8]) -> bool {
    !bytes.windows(2).any(|pair| pair.iter().all(|byte| !byte.is_ascii()))
}

/// The charset of pairs in which most characters are familiar, `first` where others are no better.
fn best_of_pairs(bytes: &[u8], first: &'static Encoding) -> &'static Encoding {
    let mut best = (first, familiar_in(bytes, first).unwrap_or((0, 1)));
    for other in [SHIFT_JIS, EUC_JP, GBK, BIG5, EUC_KR] {
        let (found, all) = best.1;
        if let Some((others, count)) = familiar_in(bytes, other)
            && others * all > found * count
        {
            best = (other, (others, count));
        }
    }
    best.0
}

/// Whether octets are familiar characters of pairs and little else.
pub(super) fn is_of_pairs(bytes: &[u8]) -> bool {
    let Guess { encoding, sure } = guess(bytes);
    sure && has_pairs(encoding)
}

/// Whether characters beyond ASCII take several octets.
pub(super) fn has_pairs(encoding: &'static Encoding) -> bool {
    [SHIFT_JIS, EUC_JP, GBK, GB18030, BIG5, EUC_KR].contains(&encoding)
}

/// Whether a text of single octets looks as if somebody had written it: letters among letters, and
/// none of the signs that letters of other charsets come out as.
pub(super) fn is_language(text: &str) -> bool {
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

/// Whether nothing is beyond ASCII but what programs of Windows put for quotes and dashes, alone.
fn is_typeset(text: &str) -> bool {
    let sign = |c: char| matches!(c, '€' | '‘' | '’' | '“' | '”' | '–' | '—' | '…' | '™' | '•' | '\u{a0}');
    let mut beyond = text.chars().filter(|c| !c.is_ascii()).peekable();
    let mut pairs = text.chars().zip(text.chars().skip(1));
    beyond.peek().is_some() && beyond.all(sign) && pairs.all(|(one, next)| one.is_ascii() || next.is_ascii())
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

/// Characters that every second one is in most texts of China, Japan and Korea: the first some
/// hundreds by how often they occur, and words of commerce. In the wrong charset it is one of ten.
static FAMILIAR: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut known = vec![0; 0x1_0000 / 64];
    let kana =
        ('ぁ'..='ん').chain('ァ'..='ヴ').chain('０'..='９').chain("、。，．・：；？！「」（）【】『』～ー　".chars());
    for c in include_str!("familiar.txt").chars().chain(kana).map(|c| c as usize).filter(|c| *c >= 128) {
        if let Some(block) = known.get_mut(c / 64) {
            *block |= 1 << (c % 64);
        }
    }
    known
});

fn is_familiar(c: char) -> bool {
    let c = c as usize;
    FAMILIAR.get(c / 64).is_some_and(|block| block >> (c % 64) & 1 == 1)
}

/// How many of the characters beyond ASCII are familiar, and how many there are. `None`: the octets
/// are not in this charset; but the last of many may be cut.
fn familiar_in(bytes: &[u8], encoding: &'static Encoding) -> Option<(usize, usize)> {
    work::count(bytes.len() * 4);
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length_without_replacement(bytes.len())?);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, bytes.len() < SHORT);
    let beyond = || text.chars().filter(|c| !c.is_ascii());
    (result == DecoderResult::InputEmpty).then(|| (beyond().filter(|c| is_familiar(*c)).count(), beyond().count()))
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
/// every language that is written in them. Cyrillic letters of the wrong charset change their case
/// within a word.
pub(super) fn rather(bytes: &[u8], said: &'static Encoding, text: &str) -> Option<&'static Encoding> {
    let bytes = sample(bytes);
    if has_pairs(said) {
        return rather_pairs(bytes.get(..SHORT.min(bytes.len()))?, said, text);
    }
    let doubtful = if is_latin(said) {
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

/// [`rather`] for charsets of pairs: how many characters are familiar, and how many were in another
/// one. GBK has the kana of EUC-JP, but other kanji. Alphabets, lines and arrows, which all of them
/// have, speak for none.
fn rather_pairs(bytes: &[u8], said: &'static Encoding, text: &str) -> Option<&'static Encoding> {
    let (found, all) = familiar_in(bytes, said)?;
    let beyond = || text.chars().filter(|c| !c.is_ascii()).take(all);
    let strange = beyond().filter(|c| *c >= '\u{2e80}' && !is_familiar(*c)).count();
    let is_chinese = [GBK, GB18030].contains(&said);
    let kana = || beyond().filter(|c| matches!(c, 'ぁ'..='ん')).count() >= 2;
    if all < SURE_PAIRS || strange * 2 <= all && !(is_chinese && kana()) {
        return None;
    }
    let other = best_of_pairs(bytes, said);
    let (others, count) = familiar_in(bytes, other)?;
    (others >= found + (all / 8).max(2) && others * 2 >= count).then_some(other)
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
    for c in text.chars().skip_while(char::is_ascii).take(SAMPLE) {
        if !last.is_ascii() && last.is_lowercase() && !c.is_ascii() {
            odd += usize::from(c.is_uppercase());
            even += usize::from(c.is_lowercase());
        }
        last = c;
    }
    work::count(text.len().min(SAMPLE) * 2);
    odd > even
}
