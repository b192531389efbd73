//! AUTH without any I/O: the exchange of one SASL mechanism in SMTP (RFC 4954). PLAIN (RFC 4616), LOGIN, and SCRAM-SHA-256 (RFC 5802, RFC 7677). Lines come in; a
//! challenge, a question to the [`Handler`](super::Handler), or an end comes out.
//!
//! Not here: passwords and keys. The handler is asked, and only it knows them.

use crate::types::{PartyId, Reply};
use data_encoding::BASE64;

/// What EHLO offers, the best first.
pub const MECHANISMS: &str = "AUTH SCRAM-SHA-256 PLAIN LOGIN";
/// Longest login, password or nonce in octets.
const LONGEST: usize = 256;

/// What the handler is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Attempt {
    /// Is this the password? PLAIN and LOGIN.
    Password {
        /// Who.
        login: String,
        /// The password as it came.
        password: String,
    },
    /// What a SCRAM client needs to prove its password. Answered for every login, whether it exists or not.
    Salt {
        /// Who.
        login: String,
    },
    /// Does this prove the password? SCRAM.
    Proof {
        /// Who.
        login: String,
        /// AuthMessage of RFC 5802 3.
        message: String,
        /// ClientProof.
        proof: [u8; 32],
    },
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attempt(…)")
    }
}

/// What the handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is right.
    Granted {
        /// Who it is.
        party: PartyId,
        /// ServerSignature of RFC 5802 3; all zero for a password.
        signature: [u8; 32],
    },
    /// For [`Attempt::Salt`].
    Salt {
        /// The login's salt.
        salt: Vec<u8>,
        /// Rounds of PBKDF2.
        iterations: u32,
        /// The server's part of the nonce: random, printable ASCII without commas.
        nonce: String,
    },
    /// It is wrong, or cannot be checked now.
    Refused(Reply),
}

/// Where the exchange stands.
#[derive(Clone)]
pub struct Exchange(Stage);

#[derive(Clone)]
enum Stage {
    /// Waits for PLAIN's one message.
    Plain,
    /// Waits for LOGIN's user name.
    LoginName,
    /// Waits for LOGIN's password.
    LoginPassword(String),
    /// Waits for client-first-message.
    ScramFirst,
    /// Has asked for the salt.
    ScramSalt { header: String, first: String, nonce: String, login: String },
    /// Waits for client-final-message.
    ScramFinal { header: String, messages: String, nonce: String, login: String },
    /// Has asked whether the proof is right, or whether the password is.
    Asked { scram: bool },
    /// The server's signature was sent; waits for the client's empty line.
    Signed(PartyId),
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange(…)")
    }
}

/// What comes out.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Send this challenge and wait for the answer.
    Challenge(Exchange, Reply),
    /// Ask the handler.
    Ask(Exchange, Attempt),
    /// The client is this party.
    Granted(PartyId),
    /// It is not, or did not say it right.
    Refused(Reply),
}

/// 535: one text for every reason that has to do with who and by what.
#[must_use]
pub fn wrong() -> Reply {
    Reply::new(535, 7, 8, "Wrong user name or password")
}

/// 454: nobody knows for now.
#[must_use]
pub fn trouble() -> Reply {
    Reply::new(454, 7, 0, "Cannot check this now, try again later")
}

fn malformed(text: &'static str) -> Turn {
    Turn::Refused(Reply::new(501, 5, 2, text))
}

fn challenge(stage: Stage, text: &str) -> Turn {
    Turn::Challenge(Exchange(stage), Reply::plain(334, BASE64.encode(text.as_bytes())))
}

impl Exchange {
    /// AUTH with its mechanism and, maybe, the initial response (RFC 4954 4: `=` is an empty one).
    #[must_use]
    pub fn begin(mechanism: &str, initial: Option<&str>) -> Turn {
        let stage = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Stage::Plain,
            "LOGIN" => Stage::LoginName,
            "SCRAM-SHA-256" => Stage::ScramFirst,
            _ => return Turn::Refused(Reply::new(504, 5, 4, "Authentication mechanism not offered")),
        };
        match (initial, &stage) {
            (Some("="), _) => Self(stage).message(""),
            (Some(initial), _) => Self(stage).line(initial.as_bytes()),
            (None, Stage::LoginName) => challenge(stage, "Username:"),
            (None, _) => challenge(stage, ""),
        }
    }

    /// The client's next line, its CRLF taken off.
    #[must_use]
    pub fn line(self, line: &[u8]) -> Turn {
        if line == b"*" {
            return Turn::Refused(Reply::new(501, 7, 0, "Authentication cancelled"));
        }
        let Ok(bytes) = BASE64.decode(line) else { return malformed("That is not base64") };
        match String::from_utf8(bytes) {
            Ok(text) => self.message(&text),
            Err(_) => malformed("That is not UTF-8"),
        }
    }

    /// The client's next message, decoded.
    fn message(self, text: &str) -> Turn {
        match self.0 {
            Stage::Plain => plain(text),
            Stage::LoginName if is_name(text) => challenge(Stage::LoginPassword(text.to_owned()), "Password:"),
            Stage::LoginName => malformed("That is not a user name"),
            Stage::LoginPassword(login) => password(&login, text),
            Stage::ScramFirst => scram_first(text).unwrap_or_else(|| malformed("That is not SCRAM-SHA-256")),
            Stage::ScramFinal { header, messages, nonce, login } => {
                scram_final(text, &header, &messages, &nonce, login)
                    .unwrap_or_else(|| malformed("That is not SCRAM-SHA-256"))
            }
            Stage::Signed(party) if text.is_empty() => Turn::Granted(party),
            // Nothing is expected while the handler is asked: the connection reads no line then.
            Stage::Signed(_) | Stage::Asked { .. } | Stage::ScramSalt { .. } => malformed("Nothing was asked"),
        }
    }

    /// The handler's answer.
    #[must_use]
    pub fn answer(self, answer: Answer) -> Turn {
        match (self.0, answer) {
            (_, Answer::Refused(reply)) => Turn::Refused(reply),
            (Stage::Asked { scram: false }, Answer::Granted { party, .. }) => Turn::Granted(party),
            (Stage::Asked { scram: true }, Answer::Granted { party, signature }) => {
                challenge(Stage::Signed(party), &format!("v={}", BASE64.encode(&signature)))
            }
            (Stage::ScramSalt { header, first, nonce, login }, Answer::Salt { salt, iterations, nonce: ours }) => {
                let nonce = format!("{nonce}{ours}");
                let server = format!("r={nonce},s={},i={iterations}", BASE64.encode(&salt));
                let messages = format!("{first},{server}");
                challenge(Stage::ScramFinal { header, messages, nonce, login }, &server)
            }
            // An answer to another question: nothing is believed.
            (_, Answer::Granted { .. } | Answer::Salt { .. }) => Turn::Refused(wrong()),
        }
    }
}

/// A user name: not empty, not long, no control characters.
fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn password(login: &str, password: &str) -> Turn {
    if password.is_empty() || password.len() > LONGEST || password.contains('\0') {
        return Turn::Refused(wrong());
    }
    let (login, password) = (login.to_owned(), password.to_owned());
    Turn::Ask(Exchange(Stage::Asked { scram: false }), Attempt::Password { login, password })
}

/// RFC 4616 2: `authzid NUL authcid NUL passwd`. Nobody may act for another.
fn plain(text: &str) -> Turn {
    let mut parts = text.splitn(3, '\0');
    let (Some(wanted), Some(login), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
        return malformed("That is not PLAIN");
    };
    if !is_name(login) {
        return malformed("That is not a user name");
    }
    if !wanted.is_empty() && wanted != login {
        return Turn::Refused(wrong());
    }
    password(login, secret)
}

/// RFC 5802 7, client-first-message: `n,,n=user,r=nonce`. `None` if it is not one.
fn scram_first(text: &str) -> Option<Turn> {
    // `y`: the client could bind to the channel, and thinks that we cannot, which is so. `p=` would be a mechanism that we do not offer.
    let (flag, rest) = text.split_once(',')?;
    if flag != "n" && flag != "y" {
        return None;
    }
    let (wanted, first) = rest.split_once(',')?;
    let wanted = if wanted.is_empty() { None } else { Some(saslname(wanted.strip_prefix("a=")?)?) };
    let mut attributes = first.splitn(3, ',');
    // A message that begins with `m=` asks for an extension that we would have to know.
    let login = saslname(attributes.next()?.strip_prefix("n=")?)?;
    let nonce = attributes.next()?.strip_prefix("r=")?;
    let printable = |b: u8| b.is_ascii_graphic() && b != b',';
    if !is_name(&login) || !(1..=LONGEST).contains(&nonce.len()) || !nonce.bytes().all(printable) {
        return None;
    }
    if wanted.is_some_and(|wanted| wanted != login) {
        return Some(Turn::Refused(wrong()));
    }
    let header = text.get(..text.len() - first.len())?.to_owned();
    let (first, nonce) = (first.to_owned(), nonce.to_owned());
    let stage = Stage::ScramSalt { header, first, nonce, login: login.clone() };
    Some(Turn::Ask(Exchange(stage), Attempt::Salt { login }))
}

/// RFC 5802 7, client-final-message: `c=biws,r=nonce,p=proof`, with extensions before the proof that nobody knows.
fn scram_final(text: &str, header: &str, messages: &str, nonce: &str, login: String) -> Option<Turn> {
    let (unproved, proof) = text.rsplit_once(",p=")?;
    let mut attributes = unproved.split(',');
    let bound = BASE64.decode(attributes.next()?.strip_prefix("c=")?.as_bytes()).ok()?;
    let same = attributes.next()?.strip_prefix("r=")? == nonce && bound == header.as_bytes();
    let proof: [u8; 32] = BASE64.decode(proof.as_bytes()).ok()?.try_into().ok()?;
    if !same {
        return Some(Turn::Refused(wrong()));
    }
    let message = format!("{messages},{unproved}");
    Some(Turn::Ask(Exchange(Stage::Asked { scram: true }), Attempt::Proof { login, message, proof }))
}

/// RFC 5802 7: `=2C` is a comma, `=3D` an equals sign, and no other `=` may stand there.
fn saslname(text: &str) -> Option<String> {
    let mut pieces = text.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        name.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(mechanism: &str, message: &str) -> String {
        let initial = BASE64.encode(message.as_bytes());
        told(Exchange::begin(mechanism, Some(if initial.is_empty() { "=" } else { &initial })))
    }

    fn told(turn: Turn) -> String {
        match turn {
            Turn::Challenge(_, reply) => {
                let wire = reply.wire();
                format!("? {}", String::from_utf8(BASE64.decode(wire[4..].trim_end().as_bytes()).unwrap()).unwrap())
            }
            Turn::Ask(_, Attempt::Password { login, password }) => format!("{login}:{password}"),
            Turn::Ask(_, Attempt::Salt { login }) => format!("salt of {login}"),
            Turn::Ask(_, Attempt::Proof { login, message, .. }) => format!("proof of {login}: {message}"),
            Turn::Granted(party) => format!("granted {}", party.0),
            Turn::Refused(reply) => reply.wire().chars().take(9).collect(),
        }
    }

    #[test]
    fn first_messages() {
        let long = "x".repeat(257);
        // mechanism, message, what comes out
        let cases = [
            ("PLAIN", "\0S-1\0secret", "S-1:secret"),
            ("plain", "S-1\0S-1\0secret", "S-1:secret"),
            ("PLAIN", "S-2\0S-1\0secret", "535 5.7.8"),
            ("PLAIN", "\0S-1\0", "535 5.7.8"),
            ("PLAIN", "\0S-1\0a\0b", "535 5.7.8"),
            ("PLAIN", "\0\0secret", "501 5.5.2"),
            ("PLAIN", "\0S-1", "501 5.5.2"),
            ("PLAIN", "", "501 5.5.2"),
            ("PLAIN", &format!("\0{long}\0x"), "501 5.5.2"),
            ("PLAIN", &format!("\0S-1\0{long}"), "535 5.7.8"),
            ("LOGIN", "S-1", "? Password:"),
            ("LOGIN", "", "501 5.5.2"),
            ("LOGIN", "a\nb", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=S-1,r=abc", "salt of S-1"),
            ("SCRAM-SHA-256", "y,,n=S-1,r=abc", "salt of S-1"),
            ("SCRAM-SHA-256", "n,a=S-1,n=S-1,r=abc", "salt of S-1"),
            ("SCRAM-SHA-256", "n,a=S-2,n=S-1,r=abc", "535 5.7.8"),
            ("SCRAM-SHA-256", "n,,n=a=2Cb=3Dc,r=abc,x=y", "salt of a,b=c"),
            ("SCRAM-SHA-256", "p=tls-unique,,n=S-1,r=abc", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,m=x,n=S-1,r=abc", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=S-1", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=S-1,r=", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=,r=abc", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=a=2c,r=abc", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=a=,r=abc", "501 5.5.2"),
            ("SCRAM-SHA-256", "n,,n=S-1,r=ä", "501 5.5.2"),
            ("SCRAM-SHA-256", &format!("n,,n=S-1,r={long}"), "501 5.5.2"),
            ("SCRAM-SHA-256", "", "501 5.5.2"),
            ("SCRAM-SHA-256-PLUS", "n,,n=S-1,r=abc", "504 5.5.4"),
            ("CRAM-MD5", "", "504 5.5.4"),
            ("ANONYMOUS", "x", "504 5.5.4"),
        ];
        for (mechanism, message, want) in cases {
            assert_eq!(begin(mechanism, message), want, "{mechanism} {message:?}");
        }
        for (mechanism, line, want) in [
            ("PLAIN", "*", "501 5.7.0"),
            ("PLAIN", "!!!!", "501 5.5.2"),
            ("PLAIN", "AGE", "501 5.5.2"),
            ("PLAIN", "/////w==", "501 5.5.2"),
        ] {
            assert_eq!(told(Exchange::begin(mechanism, Some(line))), want, "{line}");
        }
        for (mechanism, want) in [("PLAIN", "? "), ("LOGIN", "? Username:"), ("SCRAM-SHA-256", "? ")] {
            assert_eq!(told(Exchange::begin(mechanism, None)), want);
        }
    }

    /// RFC 7677 3, and what must not pass in its place.
    #[test]
    fn scram_final_messages() {
        let salted = || {
            let first = BASE64.encode(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
            let Turn::Ask(exchange, _) = Exchange::begin("SCRAM-SHA-256", Some(&first)) else { panic!() };
            let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
            let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
            let Turn::Challenge(exchange, reply) = exchange.answer(Answer::Salt { salt, iterations: 4096, nonce })
            else {
                panic!()
            };
            assert_eq!(
                reply.wire(),
                "334 cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=\r\n"
            );
            exchange
        };
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let right = format!(
            "proof of user: n=user,r=rOprNGfwEbeRWgbNEkqO,{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,{nonce}"
        );
        let cases = [
            (format!("c=biws,{nonce},{proof}"), right.as_str()),
            (format!("c=eSws,{nonce},{proof}"), "535 5.7.8"),
            (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,{proof}"), "535 5.7.8"),
            (format!("c=biws,{nonce}x,{proof}"), "535 5.7.8"),
            (format!("c=biws,{nonce},p=AAAA"), "501 5.5.2"),
            (format!("c=biws,{nonce}"), "501 5.5.2"),
            (format!("{nonce},{proof}"), "501 5.5.2"),
            (String::new(), "501 5.5.2"),
        ];
        for (message, want) in cases {
            let turn = salted().line(BASE64.encode(message.as_bytes()).as_bytes());
            assert_eq!(told(turn), want, "{message}");
        }
        // The signature is heard before the end, and answers to other questions are worth nothing.
        let signature = [7; 32];
        let granted = || Answer::Granted { party: PartyId(5), signature };
        assert_eq!(told(salted().answer(granted())), "535 5.7.8");
        let message = format!("c=biws,{nonce},{proof}");
        let Turn::Ask(asked, _) = salted().line(BASE64.encode(message.as_bytes()).as_bytes()) else { panic!() };
        let salt = Answer::Salt { salt: Vec::new(), iterations: 1, nonce: String::new() };
        assert_eq!(told(asked.clone().answer(salt)), "535 5.7.8");
        assert_eq!(told(asked.clone().answer(Answer::Refused(wrong()))), "535 5.7.8");
        let Turn::Challenge(signed, _) = asked.answer(granted()) else { panic!() };
        assert_eq!(told(signed.clone().line(b"AAAA")), "501 5.5.2");
        assert_eq!(told(signed.clone().line(b"*")), "501 5.7.0");
        assert_eq!(told(signed.line(b"")), "granted 5");
    }

    proptest::proptest! {
        #[test]
        fn any_message_gets_a_turn(mechanism in "(PLAIN|LOGIN|SCRAM-SHA-256)", text in "([ny],|n=|r=|a=|,|=|=2C|\\PC|\\x00){0,12}") {
            let _ = begin(&mechanism, &text);
        }

        #[test]
        fn any_line_gets_a_turn(line in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = Exchange(Stage::ScramFirst).line(&line);
        }
    }
}
