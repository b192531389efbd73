//! Which charset a text is in: what it says, and what its octets say of that.

use super::iso2022::{self, Decoded, GETA};
use super::names::{self, Charset, Shifted};
use super::{Goes, Name, Reading, declared, guess, octets, utf7};
use crate::message::work;
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};

const US_ASCII: Name = Name::Borrowed("us-ascii");
/// Of so many characters beyond ASCII one may be damaged in a text that is what it is called.
const DAMAGE: usize = 20;

/// Reads a text that says that it is in `said`; `markup`: it may say so within itself.
pub(in crate::message) fn read<'a>(bytes: &'a [u8], said: &str, markup: bool) -> Reading<'a> {
    let special = memchr::memchr3(0, 0x0e, 0x1b, bytes).is_some();
    Reading { special, ..read_known(bytes, said, markup, special) }
}

/// The same where it is known whether the octets are in it that switch between charsets, or zeros.
pub(super) fn read_known<'a>(bytes: &'a [u8], said: &str, markup: bool, special: bool) -> Reading<'a> {
    work::skip(bytes.len());
    let utf8 = std::str::from_utf8(bytes);
    // Almost all mail.
    if let Ok(text) = utf8
        && !special
        && (said.eq_ignore_ascii_case("utf-8") || said.eq_ignore_ascii_case("us-ascii"))
    {
        let ascii = said.len() > 5 && bytes.is_ascii();
        let charset = if ascii { Charset::Ascii } else { Charset::Web(UTF_8) };
        return Reading::whole(text.into(), charset, Goes::As(if ascii { "us-ascii" } else { "utf-8" }.into()));
    }
    let known = names::find(said);
    let marked = matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    let zeros = || special && memchr::memchr(0, bytes).is_some();
    if (marked || known.is_some_and(Charset::is_wide) || zeros())
        && let Some(reading) = wide(bytes, said, known)
    {
        return reading;
    }
    let known = known.filter(|known| !known.is_wide());
    if bytes.is_ascii() {
        return seven_bit((bytes, utf8.unwrap_or_default()), said, known, special);
    }
    if let Ok(text) = utf8
        && !(special && iso2022::is_designated(bytes))
        && is_utf8(text, known)
    {
        return Reading::whole(text.into(), Charset::Web(UTF_8), Goes::As("utf-8".into()));
    }
    let declared = if markup && matches!(known, None | Some(Charset::Ascii)) { declared::name(bytes) } else { None };
    let by_itself = declared.as_deref().and_then(names::find).filter(|charset| charset.is_plain());
    match (by_itself, declared) {
        (Some(charset), Some(name)) => eight_bit(bytes, &name, Some(charset)),
        _ => eight_bit(bytes, said, known),
    }
}

/// Whether valid UTF-8 is that.
fn is_utf8(text: &str, known: Option<Charset>) -> bool {
    let Some(said) = known else { return true };
    guess::is_utf8(text, said)
        || match said {
            Charset::Web(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(text.as_bytes()).is_none()
            }
            _ => false,
        }
}

/// Octets below 128.
fn seven_bit<'a>((bytes, text): (&'a [u8], &'a str), said: &str, known: Option<Charset>, special: bool) -> Reading<'a> {
    let designated = special && iso2022::is_escaped(bytes);
    let japanese = match known {
        Some(Charset::Iso2022(shifted)) => shifted == Shifted::Katakana,
        Some(Charset::Hz | Charset::Utf7 { .. }) => false,
        _ => true,
    };
    // Every program reads plain ISO-2022-JP.
    if designated
        && japanese
        && let Some(text) = ISO_2022_JP.decode_without_bom_handling_and_without_replacement(bytes)
    {
        work::count(bytes.len() * 2);
        return Reading::whole(text, Charset::Iso2022(Shifted::Katakana), Goes::As("iso-2022-jp".into()));
    }
    let decoded = match known {
        Some(hz @ Charset::Hz) if bytes.contains(&b'~') => Some((iso2022::decode_hz(bytes), hz, token(said))),
        Some(utf7 @ Charset::Utf7 { imap }) => Some((utf7::decode(bytes, imap), utf7, token(said))),
        Some(Charset::Iso2022(shifted)) if special => Some(by_escapes(bytes, said, shifted)),
        _ if designated => Some(by_escapes(bytes, "", Shifted::Katakana)),
        _ => None,
    };
    let Some((decoded, charset, name)) = decoded.filter(|(decoded, ..)| decoded.text != text) else {
        // No name is needed for what is ASCII in all of them; those that some programs read
        // otherwise are not told.
        let plain = known.filter(|known| known.is_plain());
        let name = plain.and_then(|_| web_name(said)).unwrap_or(US_ASCII);
        return Reading::whole(text.into(), plain.unwrap_or(Charset::Ascii), Goes::As(name));
    };
    if japanese && decoded.faults > 0 {
        let goes = Goes::As(iso2022::name_of(bytes).into());
        return Reading { faults: decoded.faults, ..Reading::whole(decoded.text.into(), charset, goes) };
    }
    anew(decoded, name, charset)
}

/// A text by its escape sequences, and what it is called: as it says, if that can be.
fn by_escapes(bytes: &[u8], said: &str, shifted: Shifted) -> (Decoded, Charset, Option<Name>) {
    let own = iso2022::name_of(bytes);
    let said = token(said).filter(|_| shifted != Shifted::Katakana || own == "iso-2022-jp");
    (iso2022::decode(bytes, shifted), Charset::Iso2022(shifted), said.or(Some(own.into())))
}

/// Octets above 127 that are no UTF-8, or not for sure.
fn eight_bit<'a>(bytes: &'a [u8], said: &str, known: Option<Charset>) -> Reading<'a> {
    let high = || bytes.iter().filter(|byte| !byte.is_ascii()).count();
    if iso2022::is_designated(bytes) {
        let (decoded, charset, name) = match known {
            Some(Charset::Iso2022(shifted)) => by_escapes(bytes, said, shifted),
            _ => by_escapes(bytes, "", Shifted::Katakana),
        };
        if decoded.faults * 13 <= decoded.text.chars().count() * 3 {
            return anew(decoded, name, charset);
        }
    }
    match known {
        Some(Charset::Web(encoding)) if encoding != UTF_8 => {
            work::count(bytes.len() * 4);
            if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
                return match guess::rather(bytes, encoding, &text) {
                    Some(other) => {
                        recoded(bytes, other).unwrap_or_else(|| kept(bytes, own(said, encoding), encoding).in_doubt())
                    }
                    None => {
                        let goes = match web_name(said) {
                            Some(name) => Goes::As(name),
                            None => Goes::Anew(token(said).unwrap_or_else(|| plain_name(encoding))),
                        };
                        Reading::whole(text, Charset::Web(encoding), goes)
                    }
                };
            }
            let (_, faults) = octets::decode(bytes, encoding);
            if faults * DAMAGE <= high() {
                return kept(bytes, own(said, encoding), encoding);
            }
        }
        Some(Charset::High(upper)) => {
            let decoded = table(bytes, upper);
            // These have boxes where others have characters.
            let rather = || Some(guess::guess(bytes)).filter(|guess| guess.sure && guess::has_pairs(guess.encoding));
            let other = if guess::is_language(&decoded.text) { None } else { rather() };
            match other.and_then(|other| recoded(bytes, other.encoding)) {
                Some(other) => return other,
                None if decoded.faults == 0 => return anew(decoded, token(said), Charset::High(upper)),
                None => {}
            }
        }
        Some(Charset::EucTw) => {
            let decoded = iso2022::decode_euc_tw(bytes);
            if decoded.faults * DAMAGE <= high() {
                return anew(decoded, token(said), Charset::EucTw);
            }
        }
        Some(Charset::Hz) => {
            let decoded = iso2022::decode_hz(bytes);
            if decoded.faults == 0 {
                return anew(decoded, token(said), Charset::Hz);
            }
        }
        _ => {}
    }
    let (all, long, faults) = guess::in_utf8(bytes);
    let said_utf8 = known == Some(Charset::Web(UTF_8));
    if faults <= long || faults * 4 <= all || said_utf8 && faults <= all {
        return kept(bytes, Some("utf-8".into()), UTF_8);
    }
    let guess = guess::guess(bytes);
    if guess.sure
        && let Some(reading) = recoded(bytes, guess.encoding)
    {
        return reading;
    }
    match known {
        Some(Charset::Web(encoding)) => kept(bytes, own(said, encoding), encoding).in_doubt(),
        _ => kept(bytes, web_name(said), guess.encoding).in_doubt(),
    }
}

/// A text that is surely in `encoding`, though it is not said.
fn recoded<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Option<Reading<'a>> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(Reading::whole(text, Charset::Web(encoding), Goes::Anew(plain_name(encoding))))
}

/// A text of which not everything decodes, or that could be anything: read so that its octets come
/// back. Under its name, if it has one.
pub(super) fn kept<'a>(bytes: &'a [u8], name: Option<Name>, encoding: &'static Encoding) -> Reading<'a> {
    let (text, faults) = octets::decode(bytes, encoding);
    let goes = name.map_or(Goes::Untold, Goes::As);
    if octets::restore(&text, encoding).is_some_and(|back| back == bytes) {
        return Reading { faults: faults.max(1), ..Reading::whole(text.into(), Charset::Web(encoding), goes) };
    }
    // In this one every octet is a character.
    let text = WINDOWS_1252.decode_without_bom_handling(bytes).0;
    Reading { faults: faults.max(1), ..Reading::whole(text, Charset::Web(WINDOWS_1252), goes) }
}

fn anew<'a>(decoded: Decoded, name: Option<Name>, charset: Charset) -> Reading<'a> {
    let goes = Goes::Anew(name.unwrap_or(US_ASCII));
    Reading { faults: decoded.faults, ..Reading::whole(decoded.text.into(), charset, goes) }
}

fn table(bytes: &[u8], upper: &[char; 128]) -> Decoded {
    work::count(bytes.len() * 2);
    let mut out = Decoded { text: String::with_capacity(bytes.len() * 2), faults: 0 };
    for byte in bytes {
        let high = byte.checked_sub(128).and_then(|place| upper.get(usize::from(place)));
        let c = high.copied().unwrap_or(char::from(*byte));
        out.faults += usize::from(c == char::REPLACEMENT_CHARACTER);
        out.text.push(if c == char::REPLACEMENT_CHARACTER { GETA } else { c });
    }
    out
}

/// Units of two or four octets: said to be, or seen to be by a byte order mark or by zeros.
/// `None`: it is none.
fn wide<'a>(bytes: &'a [u8], said: &str, known: Option<Charset>) -> Option<Reading<'a>> {
    let (is_said, width, big) = match known {
        Some(Charset::Wide(width, big)) => (true, width, big),
        _ => (false, 2, None),
    };
    let (mark, width, marked): (&[u8], usize, Option<bool>) = match bytes {
        [0xff, 0xfe, 0, 0, ..] => (&[0xff, 0xfe, 0, 0], 4, Some(false)),
        [0, 0, 0xfe, 0xff, ..] => (&[0, 0, 0xfe, 0xff], 4, Some(true)),
        [0xff, 0xfe, ..] => (&[0xff, 0xfe], 2, Some(false)),
        [0xfe, 0xff, ..] => (&[0xfe, 0xff], 2, Some(true)),
        _ => (&[], width, None),
    };
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    let order = utf7::order(bytes, width);
    let shows = marked.is_some() || order.is_some() && zeros * 4 >= bytes.len();
    if !is_said && !shows {
        return None;
    }
    let is_text = |text: &str| !text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n' | '\u{c}'));
    if !shows && zeros == 0 && std::str::from_utf8(bytes).is_ok_and(is_text) {
        return None;
    }
    let big = marked.or(order).or(big).unwrap_or_else(|| {
        let written = |big| utf7::decode_wide(bytes, width, big).text.chars().filter(|c| is_east_asian(*c)).count();
        written(true) > written(false)
    });
    let decoded = utf7::decode_wide(bytes, width, big);
    let strange =
        || decoded.faults > 1 || decoded.text.chars().filter(|c| is_strange(*c)).count() * 4 > bytes.len() / width;
    // A mark is believed though a line end stands behind the last unit.
    if !is_said && decoded.faults > usize::from(marked.is_some()) {
        return None;
    }
    if !shows && zeros == 0 && (guess::is_of_pairs(bytes) || strange() && guess::guess(bytes).sure) {
        return None;
    }
    let name = match (width, big) {
        (2, _) if marked.is_some() => "utf-16",
        (2, false) => "utf-16le",
        (2, true) => "utf-16be",
        _ => "utf-32",
    };
    let goes = match web_name(said).filter(|_| is_said && marked.is_some()) {
        Some(name) if width == 2 => Goes::As(name),
        _ if width == 2 => Goes::As(name.into()),
        _ => Goes::Anew(token(said).filter(|_| is_said).unwrap_or(name.into())),
    };
    let charset = Charset::Wide(width, Some(big));
    let mark = bytes.get(..mark.len())?;
    Some(Reading { faults: decoded.faults, mark, ..Reading::whole(decoded.text.into(), charset, goes) })
}

fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff00}'..='\u{ffef}')
}

/// Characters of no living language, as other texts come out that are read as UTF-16.
fn is_strange(c: char) -> bool {
    let known = matches!(c, '\t' | '\r' | '\n' | ' '..='\u{6ff}' | '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{eff}' | '\u{1e00}'..='\u{2bff}');
    !known && !is_east_asian(c) && u32::from(c) < 0x1f000
}

/// A name that all programs know, as it is written.
pub(super) fn web_name(said: &str) -> Option<Name> {
    let said = said.trim();
    let encoding = Encoding::for_label_no_replacement(said.as_bytes())?;
    (encoding != encoding_rs::X_USER_DEFINED).then(|| said.to_ascii_lowercase().into())
}

/// The name that stays on what is not sure to be what it says.
fn own(said: &str, encoding: &'static Encoding) -> Option<Name> {
    web_name(said).or_else(|| Some(plain_name(encoding)))
}

fn plain_name(encoding: &'static Encoding) -> Name {
    encoding.name().to_ascii_lowercase().into()
}

/// A name that may stand in a header as it is.
fn token(said: &str) -> Option<Name> {
    let said = said.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+#".contains(&byte);
    (!said.is_empty() && said.len() < 40 && said.bytes().all(plain)).then(|| said.to_ascii_lowercase().into())
}
