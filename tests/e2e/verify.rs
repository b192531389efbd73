//! `mode = "verify"` by the real binary: real DNS on loopback, mail that dkimpy signed, and the shapes by which others are known to be fooled.

use super::common::{BUYER, PATIENCE, Place, Relay, Sink, run};
use super::zone::{Answer, Zone};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// Signs by dkimpy.
pub const SIGN: &str = include_str!("sign.py");

/// The seller writes from an address in each of these.
const DOMAINS: [&str; 10] = [
    "spf.example",
    "spffail.example",
    "dkim.example",
    "none.example",
    "servfail.example",
    "silent.example",
    "dmarc.example",
    "strict.example",
    "slowkey.example",
    "broken.example",
];

/// Keys of the signers, and the records of all domains.
fn records(zone: &Zone, keys: &str) {
    let made = run("/usr/bin/python3", &["-c", SIGN, keys, "records"], "");
    let text = String::from_utf8(made.stdout).unwrap();
    let [rsa, weak, ed25519] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}{}", String::from_utf8_lossy(&made.stderr))
    };
    for domain in ["dkim.example", "mail.dmarc.example", "mail.strict.example", "spf.example", "evil.example"] {
        zone.text(&format!("r._domainkey.{domain}"), rsa);
        zone.text(&format!("e._domainkey.{domain}"), ed25519);
        zone.text(&format!("w._domainkey.{domain}"), weak);
    }
    // A forger's own domain passes everything.
    let records = [
        ("spf.example", "v=spf1 ip4:127.0.0.1 -all"),
        ("spffail.example", "v=spf1 ip4:192.0.2.0/24 -all"),
        ("broken.example", "v=spf1 include:broken.example -all"),
        ("_dmarc.dmarc.example", "v=DMARC1; p=reject"),
        ("_dmarc.strict.example", "v=DMARC1; p=reject; adkim=s; aspf=s"),
        ("evil.example", "v=spf1 +all"),
        ("_dmarc.evil.example", "v=DMARC1; p=none"),
        ("mail.strict.example", "v=spf1 +all"),
    ];
    records.iter().for_each(|(name, text)| zone.text(name, text));
    zone.trouble("servfail.example", Answer::ServFail);
    zone.trouble("silent.example", Answer::Silence);
    zone.trouble("r._domainkey.slowkey.example", Answer::ServFail);
}

/// One message and what is to become of it.
struct Case {
    why: &'static str,
    /// Envelope sender; empty is `<>`.
    sender: &'static str,
    /// With LF; `ALIAS` is the buyer's.
    message: String,
    /// Algorithm, selector, domain; the last is on top.
    keys: &'static [(&'static str, &'static str, &'static str)],
    /// Who seals it as a forwarder.
    arc: Option<(&'static str, &'static str)>,
    /// What is done to it behind the signer's back.
    spoil: (&'static str, &'static str),
    reply: &'static str,
    reason: &'static str,
}

fn letter(from: &str) -> String {
    format!("From: {from}\nTo: ALIAS\nSubject: offer\n\nhello\n")
}

fn case(why: &'static str, sender: &'static str, from: &str, reply: &'static str, reason: &'static str) -> Case {
    Case { why, sender, message: letter(from), keys: &[], arc: None, spoil: ("", ""), reply, reason }
}

const PASS: &str = "250 2.6.0";
const RSA: &[(&str, &str, &str)] = &[("rsa", "r", "dkim.example")];

fn authentication_cases() -> Vec<Case> {
    let dkim =
        |why, reply, reason| Case { keys: RSA, ..case(why, "bounce@esp.example", "ann@dkim.example", reply, reason) };
    vec![
        case("SPF passes", "ann@spf.example", "Ann <ann@spf.example>", PASS, "relayed"),
        case("SPF fails", "ann@spffail.example", "ann@spffail.example", "550 5.7.1", "spf-failed"),
        case("SPF in circles", "ann@broken.example", "ann@broken.example", "550 5.7.1", "spf-failed"),
        case("nothing to check by", "ann@none.example", "ann@none.example", "550 5.7.1", "unauthenticated"),
        case("SERVFAIL", "ann@servfail.example", "ann@servfail.example", "451 4.7.24", "dns-trouble"),
        case("silence", "ann@silent.example", "ann@silent.example", "451 4.7.24", "dns-trouble"),
        dkim("RSA, another envelope sender", PASS, "relayed"),
        Case { keys: &[("ed25519", "e", "dkim.example")], ..dkim("Ed25519", PASS, "relayed") },
        Case {
            keys: &[("rsa", "r", "dkim.example"), ("ed25519", "e", "dkim.example")],
            ..dkim("both", PASS, "relayed")
        },
        Case {
            keys: &[("rsa", "r", "dkim.example"), ("rsa", "r", "evil.example")],
            ..dkim("another signature above the author's", PASS, "relayed")
        },
        // RFC 8301: neither counts.
        Case { keys: &[("weak", "w", "dkim.example")], ..dkim("RSA with 512 bits", "550 5.7.1", "dkim-failed") },
        Case { keys: &[("sha1", "r", "dkim.example")], ..dkim("RSA with SHA-1", "550 5.7.1", "unauthenticated") },
        Case {
            keys: &[("length", "r", "dkim.example")],
            spoil: ("hello", "hello\r\nand buy here"),
            ..dkim("only a part of the body is signed", "550 5.7.1", "unauthenticated")
        },
        Case { spoil: ("hello", "hullo"), ..dkim("body changed", "550 5.7.1", "dkim-failed") },
        Case { spoil: ("Subject: offer", "Subject: Offer!"), ..dkim("subject changed", "550 5.7.1", "dkim-failed") },
        Case { spoil: ("s=r;", "s=gone;"), ..dkim("no such key", "550 5.7.1", "dkim-failed") },
        Case {
            keys: &[("rsa", "r", "slowkey.example")],
            ..case("the key's server fails", "b@esp.example", "ann@slowkey.example", "451 4.7.24", "dns-trouble")
        },
        Case {
            keys: &[("rsa", "r", "evil.example")],
            ..dkim("signed by another domain", "550 5.7.1", "unauthenticated")
        },
        Case {
            keys: &[("rsa", "r", "mail.dmarc.example")],
            ..case("below the domain, DMARC relaxed", "b@esp.example", "ann@dmarc.example", PASS, "relayed")
        },
        Case {
            keys: &[("rsa", "r", "mail.strict.example")],
            ..case(
                "below it, strict",
                "b@mail.strict.example",
                "ann@strict.example",
                "550 5.7.1",
                "authentication-failed",
            )
        },
        case(
            "a DMARC record and nothing that passes",
            "x@evil.example",
            "ann@dmarc.example",
            "550 5.7.1",
            "authentication-failed",
        ),
        case("another domain's SPF", "x@evil.example", "ann@none.example", "550 5.7.1", "unauthenticated"),
        case("the same provider", "mallory@spf.example", "ann@spf.example", "550 5.7.1", "other-mailbox"),
        Case {
            keys: RSA,
            // At a company's domain the signature makes them colleagues; at a provider's:
            // tests/security/other_mailboxes.rs.
            ..case("a colleague's envelope, signed", "mallory@dkim.example", "ann@dkim.example", PASS, "relayed")
        },
        case("another mailbox in From", "mallory@spf.example", "mallory@spf.example", "550 5.7.1", "stranger"),
        case("null sender, nothing signed", "", "ann@spf.example", "550 5.7.1", "spf-failed"),
        Case { keys: RSA, ..case("null sender, signed", "", "ann@dkim.example", PASS, "relayed") },
    ]
}

/// What a `From` field must not look like, whoever signs. `x@evil.example` passes everything that DNS can say.
fn shapes() -> Vec<Case> {
    const ANN: &str = "ann@none.example";
    // why, header block, reply, reason
    let fields: Vec<(&'static str, String, &'static str, &'static str)> = vec![
        ("two From fields", format!("From: x@evil.example\nFrom: {ANN}\n"), "550 5.6.0", "several-authors"),
        (
            "two From fields, the other way",
            format!("From: {ANN}\nFrom: x@evil.example\n"),
            "550 5.6.0",
            "several-authors",
        ),
        ("two addresses", format!("From: {ANN}, x@evil.example\n"), "550 5.6.0", "several-authors"),
        ("two addresses in brackets", format!("From: <{ANN}> <x@evil.example>\n"), "550 5.6.0", ""),
        ("an address as the name of another", format!("From: \"{ANN}\" <x@evil.example>\n"), "550 5.7.1", "stranger"),
        ("the same without quotes", format!("From: {ANN} <x@evil.example>\n"), "550 5.", ""),
        ("group", format!("From: shop: {ANN};\n"), "550 5.6.0", ""),
        ("group of two", format!("From: shop: {ANN}, x@evil.example;\n"), "550 5.6.0", ""),
        ("empty group", "From: undisclosed-recipients:;\n".to_owned(), "550 5.6.0", ""),
        ("route address", format!("From: <@evil.example:{ANN}>\n"), "550 5.", ""),
        (
            "encoded address",
            "From: =?utf-8?Q?ann=40none=2Eexample?= <x@evil.example>\n".to_owned(),
            "550 5.7.1",
            "stranger",
        ),
        ("encoded brackets", "From: =?utf-8?Q?=3Cann=40none.example=3E?=\n".to_owned(), "550 5.6.0", ""),
        ("encoded local part", "From: <=?utf-8?Q?ann?=@none.example>\n".to_owned(), "550 5.", ""),
        ("comment with an address", "From: x@evil.example (ann@none.example)\n".to_owned(), "550 5.6.0", ""),
        ("comment inside the address", "From: ann@none.example(x@evil.example)\n".to_owned(), "550 5.", ""),
        ("comment before the at", "From: ann(comment)@none.example\n".to_owned(), "550 5.", ""),
        ("space before the colon", format!("From : {ANN}\n"), "550 5.6.0", ""),
        ("space before the colon, and another", format!("From : x@evil.example\nFrom: {ANN}\n"), "550 5.", ""),
        ("tab before the colon", format!("From\t: {ANN}\nFrom: x@evil.example\n"), "550 5.", ""),
        ("NUL in the address", "From: ann@none.example\0.evil.example\n".to_owned(), "550 5.6.0", ""),
        ("NUL before it", format!("From: \0{ANN}\n"), "550 5.6.0", ""),
        ("no From, a Sender", format!("Sender: {ANN}\n"), "550 5.6.0", "no-author"),
        ("no From, a Resent-From", format!("Resent-From: {ANN}\n"), "550 5.6.0", "no-author"),
        ("empty From", "From: \n".to_owned(), "550 5.6.0", ""),
        ("folded in the middle", "From: ann@none\n .example\n".to_owned(), "550 5.", ""),
        ("behind a line that is no field", format!("no field\nFrom: {ANN}\n"), "550 5.6.0", ""),
        ("quoted at", "From: \"ann@none.example\"@evil.example\n".to_owned(), "550 5.7.1", "stranger"),
        ("a dot too many", "From: ann@none.example..\n".to_owned(), "550 5.", ""),
        ("full-width at", "From: ann\u{ff20}none.example\n".to_owned(), "550 5.6.0", ""),
        ("look-alike letters", "From: ann@n\u{43e}ne.example\n".to_owned(), "550 5.7.1", "stranger"),
        ("direction marks", format!("From: \u{202e}{ANN}\u{202c}\n"), "550 5.", ""),
        (
            "forged results of a front",
            format!(
                "Authentication-Results: mx.market.test; dmarc=pass header.from=none.example; auth=pass\nFrom: {ANN}\n"
            ),
            "550 5.7.1",
            "unauthenticated",
        ),
        (
            "forged Received-SPF",
            format!(
                "Received-SPF: pass (mx.market.test: ok) client-ip=127.0.0.1;\nX-Original-Authentication-Results: mx.market.test; dkim=pass\nFrom: {ANN}\n"
            ),
            "550 5.7.1",
            "unauthenticated",
        ),
        (
            "forged ARC, not even signed",
            format!(
                "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=evil.example; s=r; b=AAAA\nARC-Message-Signature: i=1; a=rsa-sha256; d=evil.example; s=r; h=from; bh=AAAA; b=AAAA\nARC-Authentication-Results: i=1; mx.market.test; dmarc=pass header.from=none.example\nFrom: {ANN}\n"
            ),
            "550 5.7.1",
            "unauthenticated",
        ),
    ];
    let mut cases: Vec<Case> = Vec::new();
    for (why, head, reply, reason) in fields {
        let message = format!("{head}To: ALIAS\nSubject: offer\n\nhello\n");
        cases.push(Case { message, ..case(why, "x@evil.example", ANN, reply, reason) });
    }
    let sealed = |why, keys, message: String| Case {
        keys,
        message,
        arc: Some(("r", "evil.example")),
        ..case(why, "x@evil.example", ANN, "550 5.7.1", "unauthenticated")
    };
    let results =
        "Authentication-Results: evil.example; dmarc=pass header.from=none.example; dkim=pass header.d=none.example\n";
    cases.push(sealed("a valid ARC seal that says dmarc=pass", &[], format!("{results}{}", letter(ANN))));
    cases.push(sealed(
        "the same, signed by the forger too",
        &[("rsa", "r", "evil.example")],
        format!("{results}{}", letter(ANN)),
    ));
    cases
}

/// Sends octets as they are, so that no mail program mends them: `first` before the transaction, each answered with 2xx. The reply to the message.
pub fn send(port: u16, first: &[&str], sender: &str, recipient: &str, message: &[u8]) -> String {
    let mut write = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = BufReader::new(write.try_clone().unwrap());
    let mut reply = || {
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        line
    };
    reply();
    let (mail, rcpt) = (format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"));
    for command in [first, &["HELO out.esp.example", &mail, &rcpt, "DATA"]].concat() {
        write.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let last = reply();
        assert!(last.starts_with(['2', '3']), "{command}: {last}");
    }
    write.write_all(message).unwrap();
    write.write_all(b".\r\n").unwrap();
    reply()
}

/// Every message signed, by one process.
fn signed(cases: &[Case], keys: &str, alias: &str) -> Vec<Vec<u8>> {
    let base64 = data_encoding::BASE64;
    // A number each: what is signed alike in one second is the same message.
    let wire = |number: usize, message: &str| {
        let message = message.replace("ALIAS", alias).replace("\n\nhello", &format!("\n\n{number} hello"));
        message.replace('\n', "\r\n")
    };
    let items: Vec<serde_json::Value> = cases
        .iter()
        .enumerate()
        .map(|(n, c)| serde_json::json!({ "message": base64.encode(wire(n, &c.message).as_bytes()), "keys": c.keys, "arc": c.arc }))
        .collect();
    let made = run("/usr/bin/python3", &["-c", SIGN, keys, "sign"], &serde_json::Value::from(items).to_string());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let texts: Vec<String> = serde_json::from_slice(&made.stdout).unwrap();
    let spoil = |(text, case): (&String, &Case)| {
        let message = base64.decode(text.as_bytes()).unwrap();
        if case.spoil.0.is_empty() {
            return message;
        }
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains(case.spoil.0), "{}: {text}", case.why);
        text.replacen(case.spoil.0, case.spoil.1, 1).into_bytes()
    };
    texts.iter().zip(cases).map(spoil).collect()
}

/// A daemon that verifies, and the buyer's alias; the seller writes from an address in each of [`DOMAINS`].
fn verifying(sink: u16, zone: &Zone) -> (Place, Relay, String) {
    let place = Place::new(sink, "[limits]\nconnections_per_client = 100\n");
    let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", "mode = \"verify\"");
    std::fs::write(&place.config, format!("{text}[dns]\nservers = [\"{}\"]\n", zone.address)).unwrap();
    let (buyer_alias, _) = place.register();
    let addresses: Vec<String> = DOMAINS.iter().map(|domain| format!("ann@{domain}")).collect();
    let mut arguments = vec!["seller", "set", "S-1"];
    for address in &addresses {
        arguments.extend(["--sender", address]);
    }
    place.cli(&arguments);
    let relay = place.serve();
    (place, relay, buyer_alias)
}

#[test]
fn authors_are_proved_by_dns() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    let (place, relay, buyer_alias) = verifying(sink.port, &zone);
    let keys = place.dir.path().to_str().unwrap();
    records(&zone, keys);
    let cases: Vec<Case> = authentication_cases().into_iter().chain(shapes()).collect();
    let messages = signed(&cases, keys, &buyer_alias);
    let mut wrong = Vec::new();
    for (case, message) in cases.iter().zip(&messages) {
        let reply = send(relay.port, &[], case.sender, &buyer_alias, message);
        if !reply.starts_with(case.reply) {
            wrong.push(format!("{}: {} instead of {} {}", case.why, reply.trim(), case.reply, case.reason));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let history = place.cli(&["message", "list", "--limit", "1000"]);
    let reasons = history.as_array().unwrap().iter().rev().map(|m| m["reason"].as_str().unwrap());
    for (case, reason) in cases.iter().zip(reasons) {
        assert!(case.reason.is_empty() || case.reason == reason, "{}: {reason}", case.why);
    }
    // One by one a seller may be believed without proof; what fails is still refused.
    place.cli(&["seller", "set", "S-1", "--unauthenticated", "allow"]);
    for (domain, want) in [("none.example", PASS), ("spffail.example", "550 5.7.1"), ("dmarc.example", "550 5.7.1")] {
        let (from, wire) = (format!("ann@{domain}"), letter(&format!("ann@{domain}")).replace('\n', "\r\n"));
        let reply = send(relay.port, &[], &from, &buyer_alias, wire.as_bytes());
        assert!(reply.starts_with(want), "{domain}: {reply}");
    }
    sink.next(BUYER);
    // A forwarder's seal is told, and that is all.
    for (case, row) in cases.iter().zip(history.as_array().unwrap().iter().rev()).filter(|(case, _)| case.arc.is_some())
    {
        let walk = place.cli(&["message", "show", row["id"].as_str().unwrap()]);
        assert_eq!(walk["facts"]["arc"], "pass", "{}: {walk}", case.why);
    }
    assert_eq!(history.as_array().unwrap().len(), cases.len());
    for case in cases.iter().filter(|case| case.reply == PASS) {
        let wire = sink.next(BUYER);
        assert!(!wire.message.contains("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=dkim"), "{}", case.why);
    }
    assert!(sink.others().is_empty());
    // DNS is asked for a stranger as for a party: who is asked for tells nothing.
    let asked = zone.asked();
    assert!(!asked.is_empty());
    send(relay.port, &[], "x@evil.example", &buyer_alias, letter("x@chosen.example").replace('\n', "\r\n").as_bytes());
    assert!(zone.asked().iter().any(|name| name.ends_with("chosen.example")));
    for leak in ["ann@", "spf.example", "evil.example"] {
        assert!(!relay.log().contains(leak), "{leak}: {}", relay.log());
    }
    relay.stop();
}
