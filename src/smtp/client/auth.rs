//! Logging in at a smarthost: AUTH PLAIN, LOGIN and SCRAM-SHA-256 (RFC 4954, 4616, 5802, 7677). Pure: challenges in, responses out.
//!
//! Only [`super::open`] calls this, and only on a connection whose certificate was verified: [`super::Security`] has no other place for a
//! [`Login`]. SASLprep (RFC 4013) is not done: a login that is not ASCII goes out as it is, and not by SCRAM, where the two sides would
//! have to agree on it.

use aws_lc_rs::{digest, hmac, pbkdf2};
use data_encoding::BASE64;
use std::num::NonZeroU32;

/// A name and a password. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The secret.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Iterations that a server may ask for: RFC 7677 wants 4096 at least; the upper limit keeps it from buying our time.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
/// Longest challenge, decoded.
const CHALLENGE: usize = 1024;

/// The ways to log in that we know, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mechanism {
    Login,
    Plain,
    Scram,
}

impl Mechanism {
    pub(super) fn read(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "LOGIN" => Some(Self::Login),
            "PLAIN" => Some(Self::Plain),
            "SCRAM-SHA-256" => Some(Self::Scram),
            _ => None,
        }
    }
}

/// The client's side of one exchange.
pub(super) enum Exchange {
    /// PLAIN: all is said.
    Plain,
    /// LOGIN: what it will be asked for, last first.
    Login(Vec<String>),
    /// SCRAM: the first message is out.
    First(First),
    /// SCRAM: the proof is out, and the server owes this one.
    Last([u8; 32]),
    /// SCRAM: the server has proven itself.
    Done,
}

/// What SCRAM remembers between the first and the second message.
pub(super) struct First {
    password: String,
    nonce: String,
    bare: String,
}

impl Exchange {
    /// Picks the best of what is offered; returns the command too, without CRLF. `nonce`: 18 octets that nobody can guess.
    pub(super) fn start(offered: &[Mechanism], login: &Login, nonce: [u8; 18]) -> Option<(String, Self)> {
        let ascii = login.user.is_ascii() && login.password.is_ascii();
        match offered.iter().filter(|mechanism| ascii || **mechanism != Mechanism::Scram).max()? {
            Mechanism::Plain => {
                let said = BASE64.encode(format!("\0{}\0{}", login.user, login.password).as_bytes());
                Some((format!("AUTH PLAIN {said}"), Self::Plain))
            }
            Mechanism::Login => {
                Some(("AUTH LOGIN".to_owned(), Self::Login(vec![login.password.clone(), login.user.clone()])))
            }
            Mechanism::Scram => {
                let (first, state) = First::new(login, BASE64.encode(&nonce));
                Some((format!("AUTH SCRAM-SHA-256 {}", BASE64.encode(first.as_bytes())), Self::First(state)))
            }
        }
    }

    /// The answer to a challenge (the text of a 334 reply), without CRLF. `None`: the server does not speak the mechanism, or cannot prove
    /// that it knows the password. Slow where the server asks for many iterations.
    pub(super) fn answer(self, challenge: &[u8]) -> Option<(String, Self)> {
        if challenge.len() > CHALLENGE {
            return None;
        }
        match self {
            Self::Plain | Self::Done => None,
            // What LOGIN asks for is written in many ways; the order is always the same.
            Self::Login(mut owed) => owed.pop().map(|text| (BASE64.encode(text.as_bytes()), Self::Login(owed))),
            Self::First(first) => {
                let (text, signature) = first.prove(&decoded(challenge)?)?;
                Some((BASE64.encode(text.as_bytes()), Self::Last(signature)))
            }
            Self::Last(signature) => {
                let text = decoded(challenge)?;
                let said = BASE64.decode(text.split(',').next()?.strip_prefix("v=")?.as_bytes()).ok()?;
                aws_lc_rs::constant_time::verify_slices_are_equal(&said, &signature).ok()?;
                Some((String::new(), Self::Done))
            }
        }
    }

    /// Whether the server may say 235 now. A SCRAM server that has not proven itself may not.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::Plain | Self::Done => true,
            Self::Login(owed) => owed.is_empty(),
            Self::First(_) | Self::Last(_) => false,
        }
    }
}

fn decoded(challenge: &[u8]) -> Option<String> {
    String::from_utf8(BASE64.decode(challenge).ok()?).ok()
}

impl First {
    fn new(login: &Login, nonce: String) -> (String, Self) {
        let user = login.user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        (format!("n,,{bare}"), Self { password: login.password.clone(), nonce, bare })
    }

    /// RFC 5802 3: the client's last message, and the signature that the server owes.
    fn prove(self, challenge: &str) -> Option<(String, [u8; 32])> {
        let mut fields = challenge.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = BASE64.decode(fields.next()?.strip_prefix("s=")?.as_bytes()).ok()?;
        let iterations: u32 = fields.next()?.strip_prefix("i=")?.parse().ok()?;
        let fresh = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !fresh || !ITERATIONS.contains(&iterations) {
            return None;
        }
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let count = NonZeroU32::new(iterations)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, self.password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key")?;
        let stored = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let all = format!("{},{challenge},{without_proof}", self.bare);
        let signature = sign(stored.as_ref(), all.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
        let owed = sign(&sign(&salted, b"Server Key")?, all.as_bytes())?;
        Some((format!("{without_proof},p={}", BASE64.encode(&proof)), owed))
    }
}

fn sign(key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: password.into() }
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let (first, state) = First::new(&login("user", "pencil"), "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned();
        let (text, signature) = Exchange::First(state).answer(BASE64.encode(server.as_bytes()).as_bytes()).unwrap();
        let want = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(BASE64.decode(text.as_bytes()).unwrap(), want.as_bytes());
        assert!(!signature.may_end(), "the server has to prove itself");
        let owed = BASE64.encode(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let (text, done) = signature.answer(owed.as_bytes()).unwrap();
        assert!(text.is_empty() && done.may_end());
    }

    #[test]
    fn servers_that_are_not_believed() {
        for challenge in [
            "",
            "r=other,s=AAAA,i=4096",
            "r=nonce,s=AAAA,i=4096",
            "r=nonceX,s=AAAA,i=1",
            "r=nonceX,s=AAAA,i=4000000000",
            "r=nonceX,s=!,i=4096",
            "r=nonceX,i=4096",
            "m=x,r=nonceX,s=AAAA,i=4096",
        ] {
            let (_, state) = First::new(&login("u", "p"), "nonce".into());
            assert!(
                Exchange::First(state).answer(BASE64.encode(challenge.as_bytes()).as_bytes()).is_none(),
                "{challenge}"
            );
        }
        let wrong = BASE64.encode(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(Exchange::Last([7; 32]).answer(wrong.as_bytes()).is_none());
        assert!(Exchange::Plain.answer(b"").is_none() && Exchange::Login(Vec::new()).answer(b"").is_none());
        assert!(Exchange::Login(vec![String::new()]).answer(&[b'A'; CHALLENGE + 1]).is_none());
    }

    #[test]
    fn the_best_of_what_is_offered() {
        use Mechanism::{Login as L, Plain as P, Scram as S};
        // offered, user, the command's start
        let rows: &[(&[Mechanism], &str, Option<&str>)] = &[
            (&[L, P, S], "u", Some("AUTH SCRAM-SHA-256 ")),
            (&[L, P, S], "\u{e4}", Some("AUTH PLAIN ")),
            (&[S, L, P], "u", Some("AUTH SCRAM-SHA-256 ")),
            (&[L, P], "u", Some("AUTH PLAIN AHUAcA==")),
            (&[L], "u", Some("AUTH LOGIN")),
            (&[S], "\u{e4}", None),
            (&[], "u", None),
        ];
        for (offered, user, want) in rows {
            let got = Exchange::start(offered, &login(user, "p"), [1; 18]).map(|(command, _)| command);
            assert_eq!(got.is_some(), want.is_some(), "{offered:?}");
            assert!(got.is_none_or(|got| got.starts_with(want.unwrap())), "{offered:?}");
        }
        assert!(!format!("{:?}", login("name", "secret")).contains("e"), "nothing of a login is printed");
    }
}
