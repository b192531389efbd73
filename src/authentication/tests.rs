//! Really signed mail against a name server on loopback.

use super::*;
use crate::types::{Address, Time};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;

mod bounds;
mod senders;
mod slow;

/// Name to TXT records. `!` in front: the server fails; `?`: it says nothing.
pub(crate) type Zone = HashMap<String, Vec<String>>;
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// Answers TXT questions from `zone`, everything else with NXDOMAIN, until the test ends.
pub(crate) async fn name_server(zone: Zone) -> TokioResolver {
    counting(zone).await.0
}

/// The same, with the names that were asked for.
pub(crate) async fn counting(zone: Zone) -> (TokioResolver, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = answer(&buffer[..length], &zone, &log) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = Duration::from_millis(300);
    builder.options_mut().attempts = 0;
    (builder.build().unwrap(), asked)
}

/// RFC 1035 4: one question, TXT answers, SERVFAIL, NXDOMAIN, or silence.
fn answer(query: &[u8], zone: &Zone, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let question = &query[12..at + 5];
    let is_txt = query[at + 1..at + 3] == [0, 16];
    asked.lock().unwrap().push(labels.join("."));
    let found = zone.get(&labels.join(".")).filter(|_| is_txt);
    let (code, texts) = match found.map(Vec::as_slice) {
        Some([one]) if one == "!" => (2, &[][..]),
        Some([one]) if one == "?" => return None,
        Some(texts) => (0, texts),
        None => (3, &[][..]),
    };
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, texts.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for text in texts {
        let strings: Vec<u8> = text.as_bytes().chunks(255).flat_map(|c| [&[c.len() as u8][..], c].concat()).collect();
        out.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        out.extend((strings.len() as u16).to_be_bytes());
        out.extend(strings);
    }
    Some(out)
}

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

static RSA: LazyLock<rcgen::KeyPair> =
    LazyLock::new(|| rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap());
static ED25519: LazyLock<rcgen::KeyPair> =
    LazyLock::new(|| rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());

fn zone(records: &[(&str, &str)]) -> Zone {
    let mut zone = Zone::new();
    let keys = [
        ("rsa", format!("v=DKIM1; k=rsa; p={}", base64(&rcgen::PublicKeyData::subject_public_key_info(&*RSA)))),
        ("ed", format!("v=DKIM1; k=ed25519; p={}", base64(ED25519.public_key_raw()))),
    ];
    for (selector, key) in &keys {
        for domain in ["shop.test", "mail.shop.test", "provider.test", "esp.test", "evil.test"] {
            zone.insert(format!("{selector}._domainkey.{domain}"), vec![key.clone()]);
        }
    }
    for (name, text) in records {
        zone.entry((*name).to_owned()).or_default().push((*text).to_owned());
    }
    zone
}

#[derive(Clone, Copy)]
enum Key {
    Rsa,
    Ed25519,
}

fn sign(message: &str, key: Key, domain: &str, headers: &[&str]) -> String {
    let body = Canonicalization::Relaxed;
    let field = match key {
        Key::Rsa => DkimSigner::from_key(
            RsaKey::<Sha256>::from_key_der(rustls::pki_types::PrivatePkcs8KeyDer::from(RSA.serialize_der()).into())
                .unwrap(),
        )
        .domain(domain)
        .selector("rsa")
        .headers(headers.iter().copied())
        .body_canonicalization(body)
        .sign(message.as_bytes())
        .unwrap()
        .to_header(),
        Key::Ed25519 => {
            DkimSigner::from_key(Ed25519Key::from_pkcs8_maybe_unchecked_der(&ED25519.serialize_der()).unwrap())
                .domain(domain)
                .selector("ed")
                .headers(headers.iter().copied())
                .body_canonicalization(body)
                .sign(message.as_bytes())
                .unwrap()
                .to_header()
        }
    };
    format!("{field}{message}")
}

const SIGNED: &[&str] = &["From", "To", "Subject", "Date"];
const PLAIN: &str = "From: Ann <ann@shop.test>\r\nTo: bq7k@m.test\r\nSubject: x\r\nDate: Sat, 21 Nov 2026 00:00:00 +0000\r\n\r\nhello\r\n";

static RECIPIENTS: LazyLock<[Address; 1]> = LazyLock::new(|| [Address::parse("bq7k@m.test").unwrap()]);
static ANN: LazyLock<Address> = LazyLock::new(|| Address::parse("ann@shop.test").unwrap());

/// A message of Ann's to the one recipient, now: mail-auth signs by the clock.
fn check() -> Check<'static> {
    Check {
        raw: PLAIN.as_bytes(),
        ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        helo: "client.test",
        sender: None,
        author: &ANN,
        recipients: &*RECIPIENTS,
        now: Time::now(),
        provider: false,
    }
}

/// What is proved to the one recipient.
fn proof(found: &Authentication) -> Proof {
    found.proof_to(&RECIPIENTS[0])
}

struct Case {
    why: &'static str,
    raw: String,
    sender: Option<&'static str>,
    helo: &'static str,
    records: &'static [(&'static str, &'static str)],
    want: Proof,
    summary: &'static str,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            why: "",
            raw: PLAIN.to_owned(),
            sender: Some("ann@shop.test"),
            helo: "client.test",
            records: &[],
            want: Proof::Absent,
            summary: "",
        }
    }
}

const PASS: (&str, &str) = ("shop.test", "v=spf1 ip4:192.0.2.1 -all");
const DMARC: (&str, &str) = ("_dmarc.shop.test", "v=DMARC1; p=reject");

fn spf_cases() -> Vec<Case> {
    let (spf, several) = (Proof::Failed(Method::Spf), Proof::Failed(Method::Several));
    let case = Case::default;
    vec![
        Case { why: "nothing anywhere", summary: "spf=none dkim=none dmarc=none", ..case() },
        Case {
            why: "SPF of the author's domain",
            records: &[PASS],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=none",
            ..case()
        },
        Case { why: "SPF fails", records: &[("shop.test", "v=spf1 -all")], want: spf, ..case() },
        Case { why: "SPF soft", records: &[("shop.test", "v=spf1 ~all")], want: spf, ..case() },
        Case { why: "SPF broken", records: &[("shop.test", "v=spf1 nonsense:x -all")], want: spf, ..case() },
        Case {
            why: "two records, RFC 7208 4.5",
            records: &[PASS, ("shop.test", "v=spf1 mx -all")],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "two records, the other way round",
            records: &[("shop.test", "v=spf1 -all"), PASS],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "two, of which one is broken",
            records: &[("shop.test", "V=SPF1 nonsense:x"), PASS],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "two that say the same",
            records: &[PASS, PASS],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "one, and texts of others",
            records: &[
                ("shop.test", "v=spf10 -all"),
                ("shop.test", "x v=spf1 -all"),
                ("shop.test", "v=spf1-all"),
                PASS,
            ],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "an included domain has two",
            records: &[
                ("shop.test", "v=spf1 include:evil.test -all"),
                ("evil.test", "v=spf1 ip4:192.0.2.1 -all"),
                ("evil.test", "v=spf1 -all"),
            ],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "the domain of a redirect has two",
            records: &[
                ("shop.test", "v=spf1 redirect=evil.test"),
                ("evil.test", "v=spf1 ip4:192.0.2.1 -all"),
                ("evil.test", "v=spf1"),
            ],
            want: spf,
            summary: "spf=permerror dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "an included domain that nobody asked about has two",
            records: &[
                ("shop.test", "v=spf1 ip4:192.0.2.1 include:evil.test -all"),
                ("evil.test", "v=spf1 -all"),
                ("evil.test", "v=spf1"),
            ],
            want: Proof::Proved,
            ..case()
        },
        Case {
            why: "SPF that goes in circles",
            records: &[("shop.test", "v=spf1 include:shop.test -all")],
            want: spf,
            ..case()
        },
        Case { why: "server fails", records: &[("shop.test", "!")], want: Proof::Trouble, ..case() },
        Case { why: "server is silent", records: &[("shop.test", "?")], want: Proof::Trouble, ..case() },
        Case {
            why: "another domain's SPF proves nothing, and the author's has none",
            sender: Some("x@evil.test"),
            records: &[("evil.test", "v=spf1 +all")],
            want: Proof::Absent,
            ..case()
        },
        Case {
            why: "another domain's SPF proves nothing, and the author's says no",
            sender: Some("x@evil.test"),
            records: &[("evil.test", "v=spf1 +all"), ("shop.test", "v=spf1 -all")],
            want: spf,
            ..case()
        },
        Case {
            why: "the author's SPF would pass, but it is not the sender",
            sender: Some("x@evil.test"),
            records: &[PASS],
            want: spf,
            ..case()
        },
        Case {
            why: "below the author's domain: an organisation only by DMARC",
            sender: Some("bounce@mail.shop.test"),
            records: &[("mail.shop.test", "v=spf1 +all"), DMARC],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=pass",
            ..case()
        },
        Case {
            why: "the same, strict",
            sender: Some("bounce@mail.shop.test"),
            records: &[("mail.shop.test", "v=spf1 +all"), ("_dmarc.shop.test", "v=DMARC1; p=reject; aspf=s")],
            want: several,
            ..case()
        },
        Case {
            why: "the same without DMARC",
            sender: Some("bounce@mail.shop.test"),
            records: &[("mail.shop.test", "v=spf1 +all")],
            want: Proof::Absent,
            ..case()
        },
        Case {
            why: "null sender: the EHLO name counts",
            sender: None,
            helo: "shop.test",
            records: &[PASS],
            want: Proof::Proved,
            ..case()
        },
        Case {
            why: "null sender, foreign EHLO",
            sender: None,
            helo: "evil.test",
            records: &[("evil.test", "v=spf1 +all")],
            ..case()
        },
        Case { why: "null sender, address literal", sender: None, helo: "[192.0.2.1]", ..case() },
        Case { why: "DMARC record and nothing to pass it by", records: &[DMARC], want: several, ..case() },
        Case {
            why: "DMARC p=none is no pass",
            records: &[("_dmarc.shop.test", "v=DMARC1; p=none")],
            want: several,
            ..case()
        },
        Case {
            why: "two DMARC records are none: below the author's domain",
            sender: Some("bounce@mail.shop.test"),
            records: &[("mail.shop.test", "v=spf1 +all"), DMARC, ("_dmarc.shop.test", "v=DMARC1; p=none")],
            want: Proof::Absent,
            summary: "spf=pass dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "the same the other way round, and written otherwise",
            sender: Some("bounce@mail.shop.test"),
            records: &[("mail.shop.test", "v=spf1 +all"), ("_dmarc.shop.test", "V = DMARC1 ;p=none; aspf=s"), DMARC],
            want: Proof::Absent,
            summary: "spf=pass dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "two DMARC records, and SPF of the very domain",
            records: &[PASS, DMARC, DMARC],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=none",
            ..case()
        },
        Case {
            why: "one DMARC record, and texts of others",
            sender: Some("bounce@mail.shop.test"),
            records: &[
                ("mail.shop.test", "v=spf1 +all"),
                ("_dmarc.shop.test", "v=DMARC10; p=none"),
                ("_dmarc.shop.test", "x; v=DMARC1; p=none"),
                ("_dmarc.shop.test", "v=dmarc1; p=none"),
                DMARC,
                ("_dmarc.shop.test", "google-site-verification=v=DMARC1"),
            ],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=pass",
            ..case()
        },
        Case {
            why: "two at the sender's name, one at the author's",
            sender: Some("bounce@mail.shop.test"),
            records: &[
                ("mail.shop.test", "v=spf1 +all"),
                ("_dmarc.mail.shop.test", "v=DMARC1; p=none; psd=n"),
                ("_dmarc.mail.shop.test", "v=DMARC1; p=none"),
                DMARC,
            ],
            want: Proof::Proved,
            summary: "spf=pass dkim=none dmarc=pass",
            ..case()
        },
        Case { why: "DMARC server fails", records: &[("_dmarc.shop.test", "!")], want: Proof::Trouble, ..case() },
    ]
}

fn dkim_cases() -> Vec<Case> {
    let dkim = Proof::Failed(Method::Dkim);
    let case = Case::default;
    let signed = |key, domain: &str| sign(PLAIN, key, domain, SIGNED);
    let proved = |why, raw| Case { why, raw, want: Proof::Proved, ..Case::default() };
    let many: String = (0..100)
        .map(|n| format!("DKIM-Signature: v=1; a=rsa-sha256; d=evil{n}.test; s=rsa; h=from; bh=AAAA; b=AAAA\r\n"))
        .collect();
    let spaces = PLAIN.replace("hello\r\n", "hello\r\n \t\r\n\r\n  \r\n");
    let spaces_signed = sign(PLAIN, Key::Ed25519, "shop.test", SIGNED).replace(PLAIN, &spaces);
    let hidden = signed(Key::Rsa, "provider.test").replace("shop.test>", "provider.test>").replace("ann@", "mallory@");
    vec![
        Case { summary: "spf=none dkim=pass dmarc=none", ..proved("RSA", signed(Key::Rsa, "shop.test")) },
        proved("Ed25519", signed(Key::Ed25519, "shop.test")),
        proved("both", sign(&signed(Key::Rsa, "shop.test"), Key::Ed25519, "shop.test", SIGNED)),
        proved(
            "ESP's first, then the author's",
            sign(&signed(Key::Rsa, "shop.test"), Key::Ed25519, "esp.test", SIGNED),
        ),
        proved("a hundred others before it", format!("{many}{}", signed(Key::Rsa, "shop.test"))),
        proved("body that ends in spaces (mail-auth issue 62)", spaces_signed),
        proved("case of the domain", signed(Key::Rsa, "Shop.TEST")),
        Case { records: &[DMARC], ..proved("below the domain, with DMARC", signed(Key::Rsa, "mail.shop.test")) },
        Case { why: "below the domain, without", raw: signed(Key::Rsa, "mail.shop.test"), ..case() },
        Case { why: "another domain", raw: signed(Key::Rsa, "evil.test"), ..case() },
        Case {
            why: "another domain, and DMARC",
            raw: signed(Key::Rsa, "evil.test"),
            records: &[DMARC],
            want: Proof::Failed(Method::Several),
            ..case()
        },
        Case {
            why: "body changed",
            raw: signed(Key::Rsa, "shop.test").replace("hello", "hullo"),
            want: dkim,
            ..case()
        },
        Case {
            why: "subject changed",
            raw: signed(Key::Rsa, "shop.test").replace("Subject: x", "Subject: y"),
            want: dkim,
            ..case()
        },
        Case {
            why: "From is not signed",
            raw: sign(PLAIN, Key::Rsa, "shop.test", &["To", "Subject", "Date"]),
            want: Proof::Absent,
            ..case()
        },
        Case { why: "no key", raw: signed(Key::Rsa, "shop.test").replace("s=rsa", "s=old"), want: dkim, ..case() },
        Case {
            why: "key server fails",
            raw: signed(Key::Rsa, "shop.test").replace("s=rsa", "s=slow"),
            records: &[("slow._domainkey.shop.test", "!")],
            want: Proof::Trouble,
            ..case()
        },
        Case {
            why: "revoked key",
            raw: signed(Key::Rsa, "shop.test").replace("s=rsa", "s=gone"),
            records: &[("gone._domainkey.shop.test", "v=DKIM1; p=")],
            want: dkim,
            ..case()
        },
        Case {
            why: "a signed message behind a forged From",
            raw: format!("From: ann@shop.test\r\nno field at all\r\n{}", signed(Key::Rsa, "shop.test")),
            want: Proof::Absent,
            ..case()
        },
        Case {
            why: "the same with a space before the colon",
            raw: format!("From: ann@shop.test\r\nX : y\r\n{}", signed(Key::Rsa, "shop.test")),
            want: Proof::Absent,
            ..case()
        },
        Case {
            why: "a second From before a signed one",
            raw: format!("From: ann@shop.test\r\n{hidden}"),
            want: Proof::Absent,
            ..case()
        },
        Case {
            why: "garbage as signature",
            raw: format!("DKIM-Signature: {}\r\n{PLAIN}", ";=".repeat(3000)),
            ..case()
        },
        Case {
            why: "forged results of the relay itself",
            raw: format!(
                "Authentication-Results: relay.test; dmarc=pass header.from=shop.test\r\nARC-Authentication-Results: i=1; relay.test; dmarc=pass\r\n{PLAIN}"
            ),
            ..case()
        },
    ]
}

#[tokio::test]
async fn every_case() {
    for case in spf_cases().into_iter().chain(dkim_cases()) {
        let resolver = name_server(zone(case.records)).await;
        let sender = case.sender.map(|text| Address::parse(text).unwrap());
        let author = Address::parse("ann@shop.test").unwrap();
        let check = Check {
            raw: case.raw.as_bytes(),
            ip: "192.0.2.1".parse().unwrap(),
            helo: case.helo,
            sender: sender.as_ref(),
            author: &author,
            ..check()
        };
        let found = Verifier::new(resolver, "relay.test").verify(&check).await;
        assert_eq!(proof(&found), case.want, "{}: {}", case.why, found.summary());
        if !case.summary.is_empty() {
            assert_eq!(found.summary(), case.summary, "{}", case.why);
        }
    }
}

/// RFC 6376 6.1.2: any of several keys may be the one, in whatever order they come; and one that is
/// none, or revoked, keeps no other from it.
#[tokio::test]
async fn several_keys_at_one_name() {
    const NAME: &str = "rsa._domainkey.shop.test";
    let good = zone(&[]).remove(NAME).unwrap().remove(0);
    let other = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let other = format!("v=DKIM1; p={}", base64(&rcgen::PublicKeyData::subject_public_key_info(&other)));
    let ed = format!("v=DKIM1; k=ed25519; p={}", base64(ED25519.public_key_raw()));
    let (good, other, ed) = (good.as_str(), other.as_str(), ed.as_str());
    // As many as are tried; one more is not.
    let many = [ed, other, ed, good];
    let more = [ed, ed, other, ed, good];
    let sets: [(&[&str], bool); 11] = [
        (&[good], true),
        (&[good, other], true),
        (&[other, good], true),
        (&[ed, good], true),
        (&["v=DKIM1; p=", good], true),
        (&["v=spf1 -all", "no record; at all", other, good], true),
        (&many, true),
        (&more, false),
        (&[other, ed], false),
        (&[other], false),
        (&["v=DKIM1; p="], false),
    ];
    for domain in ["shop.test", "Shop.TEST"] {
        let raw = sign(PLAIN, Key::Rsa, domain, SIGNED);
        let changed = raw.replace("Subject: x", "Subject: y");
        for (keys, want) in &sets {
            let mut records = zone(&[]);
            records.insert(NAME.to_owned(), keys.iter().map(|key| (*key).to_owned()).collect());
            let verifier = Verifier::new(name_server(records).await, "relay.test");
            for (raw, want) in [(&raw, *want), (&changed, false)] {
                let check = Check { raw: raw.as_bytes(), sender: Some(&ANN), ..check() };
                let found = verifier.verify(&check).await;
                assert_eq!(proof(&found) == Proof::Proved, want, "{keys:?}: {}", found.summary());
            }
        }
    }
}

#[tokio::test]
async fn dns_that_hangs_is_trouble_in_time() {
    let resolver = name_server(zone(&[("shop.test", "?")])).await;
    let author = Address::parse("ann@shop.test").unwrap();
    let ip = "192.0.2.1".parse().unwrap();
    let check = Check { raw: PLAIN.as_bytes(), ip, helo: "c.test", sender: Some(&author), author: &author, ..check() };
    let verifier = Verifier::new(resolver, "relay.test").with_timeout(Duration::from_millis(20));
    assert_eq!(proof(&verifier.verify(&check).await), Proof::Trouble);
}

/// What is relayed for its SPF while the key does not come is known again when it does.
#[tokio::test]
async fn a_signature_whose_key_does_not_come_is_remembered() {
    let raw = sign(PLAIN, Key::Rsa, "shop.test", SIGNED);
    let check = Check { raw: raw.as_bytes(), helo: "c.test", sender: Some(&ANN), ..check() };
    let mut seen = Vec::new();
    for key in ["?", ""] {
        let mut records = zone(&[("shop.test", "v=spf1 ip4:192.0.2.1 -all")]);
        if !key.is_empty() {
            records.insert("rsa._domainkey.shop.test".to_owned(), vec![key.to_owned()]);
        }
        let verifier = Verifier::new(name_server(records).await, "relay.test");
        let found = verifier.with_timeout(Duration::from_secs(1)).verify(&check).await;
        assert_eq!(proof(&found), Proof::Proved);
        seen.push(found.signatures);
    }
    assert!(seen[0].len() == 1 && seen[0] == seen[1], "{seen:?}");
}

/// The costs that a stranger may cause are bounded: many fields, many signatures, long `h=`.
#[tokio::test]
async fn hostile_headers_cost_little() {
    let resolver = name_server(zone(&[])).await;
    let author = Address::parse("ann@shop.test").unwrap();
    let long = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; d=shop.test; s=rsa; h=from{}; bh=AAAA; b=AAAA\r\n",
        ":a".repeat(3900)
    );
    let shapes = [
        format!("{}{PLAIN}", "a: b\r\n".repeat(40_000)),
        format!("{}{}{PLAIN}", long.repeat(30), "c: d\r\n".repeat(1900)),
        format!("{}{PLAIN}", "DKIM-Signature: ;;;\r\n".repeat(10_000)),
        format!("From: {}\r\n\r\n", "(".repeat(200_000)),
        format!("{PLAIN}{}", " \r\n".repeat(300_000)),
        "\r\n".to_owned(),
        String::new(),
    ];
    let started = std::time::Instant::now();
    for raw in &shapes {
        let ip = "192.0.2.1".parse().unwrap();
        let check = Check { raw: raw.as_bytes(), ip, helo: "c.test", sender: None, author: &author, ..check() };
        let found = Verifier::new(resolver.clone(), "relay.test").verify(&check).await;
        assert_ne!(proof(&found), Proof::Proved);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
