//! What a hostile zone, or a hostile message, can make us ask, and for how long.

use super::*;
use std::time::Instant;

/// RFC 7208 4.6.4 allows ten look-ups beside the record itself; an `a` is asked for A and for AAAA.
const SPF: usize = 11;
/// RFC 9989 4.10: eight questions for a name.
const WALK: usize = 8;

struct Hostile {
    why: &'static str,
    raw: String,
    sender: &'static str,
    records: Vec<(String, String)>,
    /// Questions whose names hold this word, and how many there may be.
    word: &'static str,
    at_most: usize,
    /// It shows only if this many were asked.
    at_least: usize,
}

fn records(list: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    list.into_iter().collect()
}

/// A signature that looks right and has to be checked against its key.
fn signature(selector: &str, domain: &str) -> String {
    let field = sign(PLAIN, Key::Rsa, domain, SIGNED);
    let field = &field[..field.len() - PLAIN.len()];
    field.replace("s=rsa;", &format!("s={selector};"))
}

/// The fields of an ARC set, their signatures garbage.
fn arc_set(instance: usize) -> String {
    let seal = if instance == 1 { "none" } else { "pass" };
    let hash = base64(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"hello\r\n").as_ref()[..32]);
    format!(
        "ARC-Seal: i={instance}; a=rsa-sha256; cv={seal}; d=evil.test; s=arc{instance}; t=1; b=AAAA\r\n\
         ARC-Message-Signature: i={instance}; a=rsa-sha256; c=relaxed/relaxed; d=evil.test; s=arc{instance}; h=from; bh={hash}; b=AAAA\r\n\
         ARC-Authentication-Results: i={instance}; relay.test; dmarc=pass header.from=shop.test\r\n"
    )
}

fn hostile() -> Vec<Hostile> {
    let case = || Hostile {
        why: "",
        raw: PLAIN.to_owned(),
        sender: "x@evil.test",
        records: Vec::new(),
        word: "",
        at_most: 0,
        at_least: 0,
    };
    let spf = |text: String| records([("evil.test".to_owned(), text)]);
    let many = |mechanism: &str| (0..60).map(|n| format!("{mechanism}:n{n}.evil.test ")).collect::<String>();
    let own: String = (0..100).map(|n| signature(&format!("k{n}"), "shop.test")).collect();
    let foreign: String = (0..100).map(|n| signature("rsa", &format!("k{n}.{}evil.test", "a.".repeat(20)))).collect();
    let sets = |count: usize| (1..=count).rev().map(arc_set).collect::<String>();
    vec![
        Hostile {
            why: "a hundred signatures of the author's domain",
            raw: format!("{own}{PLAIN}"),
            word: "_domainkey",
            at_most: 5,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "a hundred of others, each deep below",
            raw: format!("{foreign}{PLAIN}"),
            word: "_domainkey",
            at_most: 5,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "organisations of a hundred deep names",
            raw: format!("{foreign}{PLAIN}"),
            word: "_dmarc",
            at_most: 7 * WALK,
            ..case()
        },
        Hostile {
            why: "includes in a row",
            records: (0..60)
                .map(|n| {
                    let name = if n == 0 { "evil.test".to_owned() } else { format!("i{n}.evil.test") };
                    (name, format!("v=spf1 include:i{}.evil.test -all", n + 1))
                })
                .collect(),
            word: "evil.test",
            at_most: SPF,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "redirects in a row",
            records: (0..60)
                .map(|n| {
                    let name = if n == 0 { "evil.test".to_owned() } else { format!("i{n}.evil.test") };
                    (name, format!("v=spf1 redirect=i{}.evil.test", n + 1))
                })
                .collect(),
            word: "evil.test",
            at_most: SPF,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "sixty hosts",
            records: spf(format!("v=spf1 {}-all", many("a"))),
            word: ".evil.test",
            at_most: 2 * SPF,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "sixty mail exchangers",
            records: spf(format!("v=spf1 {}-all", many("mx"))),
            word: ".evil.test",
            at_most: 3 * SPF,
            at_least: 5,
            ..case()
        },
        Hostile {
            why: "sixty macros",
            records: spf(format!("v=spf1 {}-all", many("exists:%{l}.%{i}"))),
            word: ".evil.test",
            at_most: 2 * SPF,
            ..case()
        },
        Hostile {
            why: "sixty reverse names",
            records: spf(format!("v=spf1 {}-all", many("ptr"))),
            word: "arpa",
            at_most: SPF,
            ..case()
        },
        Hostile {
            why: "four forwarders",
            raw: format!("{}{PLAIN}", sets(4)),
            word: "_domainkey",
            at_most: 5,
            at_least: 1,
            ..case()
        },
        Hostile { why: "five", raw: format!("{}{PLAIN}", sets(5)), word: "_domainkey", ..case() },
        Hostile { why: "fifty", raw: format!("{}{PLAIN}", sets(50)), word: "_domainkey", ..case() },
    ]
}

#[tokio::test]
async fn questions_are_bounded() {
    let author = Address::parse("ann@shop.test").unwrap();
    for case in hostile() {
        let mut zone = zone(&[]);
        for (name, text) in &case.records {
            zone.insert(name.clone(), vec![text.clone()]);
        }
        let (resolver, asked) = counting(zone).await;
        let sender = Address::parse(case.sender).unwrap();
        let ip = "192.0.2.1".parse().unwrap();
        let check =
            Check { raw: case.raw.as_bytes(), ip, helo: "c.test", sender: Some(&sender), author: &author, ..check() };
        let found = Verifier::new(resolver, "relay.test").verify(&check).await;
        assert_ne!(proof(&found), Proof::Proved, "{}", case.why);
        let asked = asked.lock().unwrap();
        let of_word = asked.iter().filter(|name| name.contains(case.word)).count();
        assert!((case.at_least..=case.at_most).contains(&of_word), "{}: {of_word} of {asked:#?}", case.why);
        assert!(asked.len() <= 80, "{}: {} in all", case.why, asked.len());
    }
}

/// Everything at once, and no server answers: the time of all look-ups together is what counts.
#[tokio::test]
async fn silence_is_bounded_together() {
    let silent = |name: String| (name, vec!["?".to_owned()]);
    let mut zone: Zone = (0..10).map(|n| silent(format!("k{n}._domainkey.shop.test"))).collect();
    zone.extend(["shop.test", "evil.test", "_dmarc.shop.test"].map(|name| silent(name.to_owned())));
    zone.extend((1..5).map(|n| silent(format!("arc{n}._domainkey.evil.test"))));
    let signatures: String = (0..10).map(|n| signature(&format!("k{n}"), "shop.test")).collect();
    let raw = format!("{}{signatures}{PLAIN}", (1..5).rev().map(arc_set).collect::<String>());
    let (author, sender) = (Address::parse("ann@shop.test").unwrap(), Address::parse("x@evil.test").unwrap());
    let ip = "192.0.2.1".parse().unwrap();
    let check = Check { raw: raw.as_bytes(), ip, helo: "c.test", sender: Some(&sender), author: &author, ..check() };
    let (resolver, _) = counting(zone).await;
    let verifier = Verifier::new(resolver, "relay.test").with_timeout(Duration::from_millis(100));
    let started = Instant::now();
    let found = verifier.verify(&check).await;
    assert_eq!((proof(&found), found.arc), (Proof::Trouble, Outcome::TempError));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// A seal that is really good, by a domain for which everything passes, of a message that says it saw dmarc=pass: it is in the history, and changes nothing.
#[tokio::test]
async fn a_good_seal_is_told_and_proves_nothing() {
    use mail_auth::arc::ArcSealer;
    use mail_auth::{AuthenticatedMessage, AuthenticationResults};
    let key = || {
        RsaKey::<Sha256>::from_key_der(rustls::pki_types::PrivatePkcs8KeyDer::from(RSA.serialize_der()).into()).unwrap()
    };
    let seal = |raw: &str| {
        let message = AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
        let results = AuthenticationResults::new("relay.test").with_dkim_results(&[], "ann@shop.test");
        let sealer = ArcSealer::from_key(key()).domain("evil.test").selector("rsa").headers(["From", "Subject"]);
        let set = sealer.seal(&message, &results, &mail_auth::ArcOutput::default()).unwrap();
        format!("{}{raw}", set.to_header())
    };
    let records = [("evil.test", "v=spf1 +all"), ("_dmarc.evil.test", "v=DMARC1; p=none")];
    // message, what the history tells of ARC
    let cases = [
        (seal(PLAIN), Outcome::Pass),
        (seal(PLAIN).replace("hello", "hullo"), Outcome::Neutral),
        (seal(PLAIN).replace("Subject: x", "Subject: y"), Outcome::Fail),
        (seal(PLAIN).replace("s=rsa;", "s=gone;"), Outcome::PermError),
        (PLAIN.to_owned(), Outcome::None),
    ];
    for (n, (raw, arc)) in cases.iter().enumerate() {
        let resolver = name_server(zone(&records)).await;
        let (author, sender) = (Address::parse("ann@shop.test").unwrap(), Address::parse("x@evil.test").unwrap());
        let ip = "192.0.2.1".parse().unwrap();
        let check =
            Check { raw: raw.as_bytes(), ip, helo: "c.test", sender: Some(&sender), author: &author, ..check() };
        let found = Verifier::new(resolver, "relay.test").verify(&check).await;
        assert_eq!((proof(&found), found.arc), (Proof::Absent, *arc), "{n}: {}", found.summary());
        assert_eq!(found.summary().contains(" arc="), *arc != Outcome::None);
    }
}
