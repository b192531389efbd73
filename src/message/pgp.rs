//! OpenPGP in text (RFC 9580 6 and 7): keys and signatures tell their owner's address and go; signed text stays, without its frame.

use super::work;

/// A text without armour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// `None`: there was none.
    pub text: Option<String>,
    /// Whether there is an encrypted message in it (not a quoted one).
    pub encrypted: bool,
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

/// Takes keys, signatures and the frames of signed texts out. Quoted ones as well.
#[must_use]
pub fn strip(text: &str) -> Stripped {
    work::skip(text.len());
    if memchr::memmem::find(text.as_bytes(), b"-----BEGIN PGP ").is_none() {
        return Stripped { text: None, encrypted: false };
    }
    let mut out = String::with_capacity(text.len());
    let (mut state, mut encrypted, mut changed) = (State::Text, false, false);
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
                encrypted |= line.starts_with('-');
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
    Stripped { text: changed.then_some(out), encrypted }
}

/// A line of base 64, a checksum, an armour header, or nothing.
fn is_armour(line: &str) -> bool {
    let header =
        ["Version: ", "Comment: ", "Charset: ", "Hash: ", "MessageID: "].iter().any(|name| line.starts_with(name));
    header || line.len() <= 80 && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour() {
        // text, without it, encrypted
        let cases = [
            ("hello -----BEGIN\n", None, false),
            (
                "a\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nVersion: x\r\n\r\nmQENB+/=\r\n=abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\nb\r\n",
                Some("a\r\nb\r\n"),
                false,
            ),
            (
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nHello\n- -- \nme\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n",
                Some("Hello\n-- \nme\n"),
                false,
            ),
            (
                "> -----BEGIN PGP PUBLIC KEY BLOCK-----\n> mQ==\n> -----END PGP PUBLIC KEY BLOCK-----\n> x\n",
                Some("> x\n"),
                false,
            ),
            ("-----BEGIN PGP SIGNATURE-----\niQEz\nHello, this is text.\n", Some("Hello, this is text.\n"), false),
            ("-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n", None, true),
            ("> -----BEGIN PGP MESSAGE-----\n> hQEM\n", None, false),
        ];
        for (text, want, encrypted) in cases {
            assert_eq!(strip(text), Stripped { text: want.map(str::to_owned), encrypted }, "{text}");
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
