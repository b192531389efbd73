//! Required TLS and logins, against a server with real handshakes: nothing secret goes out in the clear, or to the wrong server.

use super::*;
use crate::tls::Certificate;
use crate::tls::testing::Authority;
use aws_lc_rs::{digest, hmac, pbkdf2};
use data_encoding::BASE64;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader, duplex};

/// How the server behaves.
#[derive(Clone, Copy, Default)]
struct Server {
    /// STARTTLS is offered, and answered so.
    starttls: Option<&'static str>,
    /// AUTH's parameters, over TLS only.
    auth: &'static str,
    /// Logins are refused with this.
    refuses: Option<&'static str>,
    /// SCRAM: it does not know the password after all.
    ignorant: bool,
    /// LOGIN: it lets everybody in at once.
    early: bool,
}

/// Serves one session. Returns what it read: in the clear, and over TLS.
async fn serve<S: Stream + 'static>(stream: S, server: Server, certificate: Certificate) -> (String, String) {
    let mut stream = BufReader::new(Box::new(stream) as Box<dyn Stream>);
    let (mut clear, mut hidden, mut encrypted) = (String::new(), String::new(), false);
    let mut scram: Option<(String, String, [u8; 32])> = None;
    let mut say = "220 smart.test\r\n".to_owned();
    loop {
        if say.is_empty() {
            return (clear, hidden);
        }
        if stream.write_all(say.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return (clear, hidden);
        }
        if say.starts_with("220 go") {
            let Ok(inner) = certificate.acceptor().accept(stream.into_inner()).await else { return (clear, hidden) };
            stream = BufReader::new(Box::new(inner) as Box<dyn Stream>);
            encrypted = true;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return (clear, hidden);
        }
        (if encrypted { &mut hidden } else { &mut clear }).push_str(&line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let refused = server.refuses.unwrap_or("235 2.7.0 in\r\n");
        say = match words.as_slice() {
            ["EHLO", _] if encrypted => format!("250-smart.test\r\n250 AUTH {}\r\n", server.auth),
            // An attacker would love a login here.
            ["EHLO", _] => {
                let tls = server.starttls.map_or("", |_| "250-STARTTLS\r\n");
                format!("250-smart.test\r\n{tls}250 AUTH PLAIN LOGIN\r\n")
            }
            ["STARTTLS"] => server.starttls.unwrap_or("502 what\r\n").to_owned(),
            ["AUTH", "PLAIN", _] => refused.to_owned(),
            ["AUTH", "LOGIN"] if server.early => "235 2.7.0 in\r\n".to_owned(),
            ["AUTH", "LOGIN"] => "334 VXNlcm5hbWU6\r\n".to_owned(),
            ["AUTH", "SCRAM-SHA-256", first] => {
                let (reply, state) = scram_first(first);
                scram = Some(state);
                reply
            }
            [proof] if scram.is_some() && !server.ignorant => {
                let (bare, challenge, salted) = scram.take().unwrap();
                scram_last(proof, &bare, &challenge, &salted).unwrap_or("535 5.7.8 no\r\n".to_owned())
            }
            [_] if scram.is_some() => "235 2.7.0 come in\r\n".to_owned(),
            ["dQ=="] => "334 UGFzc3dvcmQ6\r\n".to_owned(),
            ["cA=="] | [] => refused.to_owned(),
            ["MAIL", ..] => "250 ok\r\n".to_owned(),
            other => panic!("unexpected {other:?}"),
        };
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// The server's side of SCRAM, written from RFC 5802 without a look at the client's.
fn scram_first(first: &str) -> (String, (String, String, [u8; 32])) {
    let text = String::from_utf8(BASE64.decode(first.as_bytes()).unwrap()).unwrap();
    let bare = text.strip_prefix("n,,").unwrap().to_owned();
    let nonce = bare.split_once(",r=").unwrap().1;
    let challenge = format!("r={nonce}more,s={},i=4096", BASE64.encode(b"salt"));
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, 4096.try_into().unwrap(), b"salt", b"p", &mut salted);
    (format!("334 {}\r\n", BASE64.encode(challenge.as_bytes())), (bare, challenge, salted))
}

fn scram_last(proof: &str, bare: &str, challenge: &str, salted: &[u8]) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(proof.as_bytes()).unwrap()).unwrap();
    let (without, proof) = text.split_once(",p=").unwrap();
    let all = format!("{bare},{challenge},{without}");
    let key = mac(salted, b"Client Key");
    let signature = mac(digest::digest(&digest::SHA256, &key).as_ref(), all.as_bytes());
    let want: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    (BASE64.decode(proof.as_bytes()).unwrap() == want).then(|| {
        let owed = BASE64.encode(&mac(&mac(salted, b"Server Key"), all.as_bytes()));
        format!("334 {}\r\n", BASE64.encode(format!("v={owed}").as_bytes()))
    })
}

fn login(password: &str) -> Option<Login> {
    Some(Login { user: "u".into(), password: password.into() })
}

#[tokio::test]
async fn logins() {
    let authority = Authority::new();
    let believed = authority.client().verified;
    let stranger = crate::tls::ClientTls::new().unwrap().verified;
    let good = Server { starttls: Some("220 go\r\n"), auth: "PLAIN LOGIN SCRAM-SHA-256 X", ..Server::default() };
    // what, server, name it should have, password, failure
    let rows: &[(&str, Server, &str, &str, Option<&str>)] = &[
        ("scram", good, "smart.test", "p", None),
        ("scram, wrong", good, "smart.test", "q", Some("auth: the server refuses our login with 535 5.7.8")),
        ("scram, no proof", Server { ignorant: true, ..good }, "smart.test", "p", Some("auth: not SMTP")),
        ("plain", Server { auth: "LOGIN PLAIN", ..good }, "smart.test", "p", None),
        ("login", Server { auth: "CRAM-MD5 LOGIN", ..good }, "smart.test", "p", None),
        (
            "wrong",
            Server { auth: "PLAIN", refuses: Some("535 5.7.8 u@home.test\r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: the server refuses our login with 535 5.7.8"),
        ),
        (
            "busy",
            Server { auth: "PLAIN", refuses: Some("454 4.7.0 later\r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: the server refuses our login with 454 4.7.0"),
        ),
        (
            "challenges",
            Server { auth: "PLAIN", refuses: Some("334 \r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: not SMTP"),
        ),
        (
            "garbage",
            Server { auth: "PLAIN", refuses: Some("hello\r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: not SMTP"),
        ),
        (
            "no 235",
            Server { auth: "PLAIN", refuses: Some("250 ok\r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: not SMTP"),
        ),
        (
            "two codes",
            Server { auth: "PLAIN", refuses: Some("235-a\r\n535 b\r\n"), ..good },
            "smart.test",
            "p",
            Some("auth: not SMTP"),
        ),
        (
            "close",
            Server { auth: "PLAIN", refuses: Some(""), ..good },
            "smart.test",
            "p",
            Some("auth: connection lost"),
        ),
        ("early", Server { auth: "LOGIN", early: true, ..good }, "smart.test", "p", Some("auth: not SMTP")),
        (
            "no way",
            Server { auth: "GSSAPI", ..good },
            "smart.test",
            "p",
            Some("auth: the server offers no way to log in that we know"),
        ),
        (
            "no TLS",
            Server { starttls: None, ..good },
            "smart.test",
            "p",
            Some("tls: required, but the server does not offer it"),
        ),
        (
            "TLS refused",
            Server { starttls: Some("454 4.7.0 no\r\n"), ..good },
            "smart.test",
            "p",
            Some("tls: refused with 454 4.7.0"),
        ),
        ("other name", good, "other.test", "p", Some("tls: the server's certificate is not good")),
        ("stranger", good, "smart.test", "p", Some("tls: the server's certificate is not good")),
        (
            "injected",
            Server { starttls: Some("220 go\r\n250 AUTH PLAIN\r\n"), ..good },
            "smart.test",
            "p",
            Some("tls: not SMTP"),
        ),
    ];
    for (what, server, name, password, want) in rows {
        let (near, far) = duplex(1 << 16);
        let serving = tokio::spawn(serve(far, *server, authority.server("smart.test").0));
        let config = if *what == "stranger" { &stranger } else { &believed };
        let security = Security::Required(Arc::clone(config), (*name).try_into().unwrap(), login(password));
        let client = Client::open(near, "mx.test", security, ClientTimeouts::default()).await;
        let failure = client.as_ref().err().map(ToString::to_string);
        assert_eq!(failure.as_deref(), *want, "{what}");
        assert!(client.as_ref().err().is_none_or(|failure| !failure.is_permanent()), "{what}: mail waits");
        assert!(client.as_ref().ok().is_none_or(Client::is_encrypted), "{what}");
        drop(client);
        let (clear, _hidden) = serving.await.unwrap();
        assert!(!clear.contains("AUTH") && !clear.contains("MAIL"), "{what}: {clear}");
    }
}
