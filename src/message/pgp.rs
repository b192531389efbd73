//! OpenPGP in text (RFC 9580 6 and 7): keys and signatures tell their owner's address and go;
//! signed text stays, without its frame. A message in armour is one that nobody here can read;
//! words about one are words.

use super::work;
use crate::policy::content::Closed;

/// A text without armour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    /// `None`: there was none.
    pub text: Option<String>,
    /// There is a message in it that nobody here can read (not a quoted one).
    pub closed: Option<Closed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// In a key or signature.
    Armour,
    /// In the header of a signed text.
    Header,
    /// In a signed text: lines that begin with a dash are escaped.
    Signed,
}

/// How the line begins that stands before a message.
pub(super) const MESSAGE: &str = "-----BEGIN PGP MESSAGE";
/// Octets behind that line that tell whether it is one.
const WINDOW: usize = 2048;
/// Characters of base 64 that are no word.
const DATA: usize = 40;
/// White space before a line that is nobody's quote.
const INDENT: usize = 8;

/// Why nobody here can read a message in armour that stands in `text`, if one does. It is one if
/// base 64 follows, and not merely a line that looks like the beginning: who asks what that is has
/// written plain words.
pub(super) fn sealed(text: &str) -> Option<Closed> {
    work::skip(text.len());
    for at in memchr::memmem::find_iter(text.as_bytes(), MESSAGE.as_bytes()) {
        if work::is_over() {
            break;
        }
        work::count(WINDOW / 16);
        let before = text.get(..at).unwrap_or("").trim_end_matches([' ', '\t']);
        let starts = before.is_empty() || before.ends_with('\n');
        let rest = text.get(at + MESSAGE.len()..).unwrap_or("");
        let end = rest.floor_char_boundary(WINDOW);
        let mut lines = rest.get(..end).unwrap_or("").lines();
        let frames = lines.next().is_some_and(|line| line.trim_end().ends_with("-----"));
        if starts
            && at - before.len() <= INDENT
            && frames
            && let Some(closed) = armoured(lines)
        {
            return Some(closed);
        }
    }
    None
}

/// What the lines behind the first one of an armour hold.
fn armoured<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Closed> {
    let mut first: Option<&str> = None;
    for line in lines.map(str::trim) {
        work::count(line.len());
        let is_field = || first.is_none() && line.split_once(':').is_some_and(|(name, _)| is_name(name));
        if line.is_empty() || is_field() {
            continue;
        }
        if line.starts_with("-----END PGP MESSAGE") {
            return first.map(closed_by);
        }
        if !line.bytes().all(is_base64) {
            return None;
        }
        first = first.or(Some(line));
        if line.len() >= DATA {
            return first.map(closed_by);
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=')
}

/// By the first packet of a message (RFC 9580 5), which base 64 tells in two characters.
fn closed_by(data: &str) -> Closed {
    let value = |at: usize| {
        data.as_bytes().get(at).map_or(0, |b| match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            _ => 63,
        })
    };
    let signs = matches!(tag(value(0) << 2 | value(1) >> 4), Some(2 | 4 | 8 | 11));
    if signs { Closed::Signed } else { Closed::Encrypted }
}

/// The kind of packet that an octet begins.
fn tag(octet: u8) -> Option<u8> {
    match octet {
        0xc0.. => Some(octet & 0x3f),
        0x80.. => Some(octet >> 2 & 0x0f),
        _ => None,
    }
}

/// Whether what begins with this octet may be an encrypted message in binary form.
pub(super) fn is_encrypted_packet(octet: u8) -> bool {
    matches!(tag(octet), Some(1 | 3 | 9 | 18 | 20))
}

/// Takes keys, signatures and the frames of signed texts out. Quoted ones as well.
#[must_use]
pub fn strip(text: &str) -> Stripped {
    work::skip(text.len());
    if memchr::memmem::find(text.as_bytes(), b"-----BEGIN PGP ").is_none() {
        return Stripped { text: None, closed: None };
    }
    let mut out = String::with_capacity(text.len());
    let (mut state, mut changed) = (State::Text, false);
    for line in text.split_inclusive('\n') {
        if work::is_over() {
            break;
        }
        work::count(16 + line.len());
        let bare = line.trim_start_matches(['>', ' ', '|', '\t']).trim_end();
        let begins = bare.strip_prefix("-----BEGIN PGP ").and_then(|rest| rest.strip_suffix("-----"));
        state = match (state, begins) {
            (_, Some("SIGNED MESSAGE")) => {
                changed = true;
                State::Header
            }
            (_, Some(kind)) if kind.ends_with("KEY BLOCK") || kind.starts_with("SIGNATURE") => {
                changed = true;
                State::Armour
            }
            (_, Some(kind)) if kind.starts_with("MESSAGE") => {
                out.push_str(line);
                State::Text
            }
            (State::Armour, _) if bare.starts_with("-----END PGP ") => State::Text,
            (State::Armour, _) if is_armour(bare) => State::Armour,
            (State::Header, _) if bare.is_empty() => State::Signed,
            (State::Header, _) if bare.contains(": ") => State::Header,
            (State::Signed, _) => {
                out.push_str(&line.replacen("- -", "-", usize::from(bare.starts_with("- -"))));
                State::Signed
            }
            // An end that never came: what is no armour is somebody's words.
            _ => {
                out.push_str(line);
                State::Text
            }
        };
    }
    Stripped { text: changed.then_some(out), closed: sealed(text) }
}

/// A line of base 64, a checksum, an armour header, or nothing.
fn is_armour(line: &str) -> bool {
    let header =
        ["Version: ", "Comment: ", "Charset: ", "Hash: ", "MessageID: "].iter().any(|name| line.starts_with(name));
    header || line.len() <= 80 && line.bytes().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour() {
        // text, without it
        let cases = [
            ("hello -----BEGIN\n", None),
            (
                "a\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nVersion: x\r\n\r\nmQENB+/=\r\n=abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\nb\r\n",
                Some("a\r\nb\r\n"),
            ),
            (
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nHello\n- -- \nme\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n",
                Some("Hello\n-- \nme\n"),
            ),
            (
                "> -----BEGIN PGP PUBLIC KEY BLOCK-----\n> mQ==\n> -----END PGP PUBLIC KEY BLOCK-----\n> x\n",
                Some("> x\n"),
            ),
            ("-----BEGIN PGP SIGNATURE-----\niQEz\nHello, this is text.\n", Some("Hello, this is text.\n")),
        ];
        for (text, want) in cases {
            assert_eq!(strip(text), Stripped { text: want.map(str::to_owned), closed: None }, "{text}");
        }
    }

    #[test]
    fn messages_in_armour_and_words_about_them() {
        const BEGIN: &str = "-----BEGIN PGP MESSAGE-----\n";
        const END: &str = "-----END PGP MESSAGE-----\n";
        const LINE: &str = "hQEMA5jmyqYJQJ2sAQf/RMwRJ6bxbXrVqBqvyV0GZ4vSTVxKGQTvZC9WqkFbnIY2\n";
        let (encrypted, signed) = (Some(Closed::Encrypted), Some(Closed::Signed));
        // text, why nobody can read it
        let cases = [
            (format!("{BEGIN}\nhQEM\n{END}"), encrypted),
            (format!("{BEGIN}\n{LINE}{LINE}=abcd\n{END}"), encrypted),
            (format!("{BEGIN}Version: GnuPG v2\nComment: x\n\n{LINE}"), encrypted),
            (format!("{BEGIN}{LINE}{END}"), encrypted),
            (format!("Hello\n\n  {BEGIN}\n{LINE}"), encrypted),
            (format!("{BEGIN}\n{LINE}").replace('\n', "\r\n"), encrypted),
            (format!("{BEGIN}\n{LINE}").replace('\n', "\n\n"), encrypted),
            (format!("-----BEGIN PGP MESSAGE, PART 1/2-----\n\n{LINE}"), encrypted),
            (format!("{BEGIN}\njA0EBwMCqNvzX\n{END}"), encrypted),
            (format!("{BEGIN}\nwcBMA8i3\n{END}"), encrypted),
            (format!("What is this?\n{BEGIN}\n...\n\nMine:\n{BEGIN}\n{LINE}"), encrypted),
            // gpg --sign --armor: packed, or with the signature before it
            (format!("{BEGIN}\nowEBbQGS/pANAwAIAUSFwmNOsyBgAcsQYgBn\n{END}"), signed),
            (format!("{BEGIN}\nkA0DAAgBRIXCY06zIGAByxBiAGcx\n{END}"), signed),
            // somebody's words
            ("Your mail had a line \"-----BEGIN PGP MESSAGE-----\" in it. What is that?\n".to_owned(), None),
            (BEGIN.to_owned(), None),
            (format!("{BEGIN}What is that?\n"), None),
            (format!("{BEGIN}\nWhat is that?\n{END}"), None),
            (format!("{BEGIN}\n{END}"), None),
            (format!("{BEGIN}\n...\n{END}"), None),
            (format!("{BEGIN}\nhello\n"), None),
            (format!("Subject: a\n{BEGIN}Note: what is it?\n\nThanks\n"), None),
            (format!("-----BEGIN PGP MESSAGE\n{LINE}"), None),
            (format!("x {BEGIN}\n{LINE}"), None),
            // quoted
            (format!("> {BEGIN}>\n> {LINE}"), None),
        ];
        for (text, want) in cases {
            assert_eq!((sealed(&text), strip(&text)), (want, Stripped { text: None, closed: want }), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "(-----(BEGIN|END) PGP (MESSAGE|SIGNATURE|SIGNED MESSAGE|PUBLIC KEY BLOCK)-----|[a> \n-]|\n){0,20}") {
            if let Some(once) = strip(&text).text {
                proptest::prop_assert!(once.len() <= text.len());
            }
        }
    }
}
