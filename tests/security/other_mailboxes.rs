//! Nobody speaks as his neighbour at the same provider.

use super::common::{BUYER, Sink};
use super::replayed_signatures::{Letter, newest, send, signed, verifying};
use super::zone::Zone;
use serde_json::json;

/// Mallory has a mailbox at the provider, and a sub-domain: her mail passes everything for the
/// domain. At a company's domain the same are colleagues, once the domain signed what they wrote;
/// SPF alone proves nobody but who stands in the envelope.
#[test]
fn a_neighbour_is_not_the_author() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    for (name, text) in [
        ("provider.example", "v=spf1 ip4:127.0.0.1 -all"),
        ("_dmarc.provider.example", "v=DMARC1; p=none"),
        ("sub.provider.example", "v=spf1 ip4:127.0.0.1 -all"),
        ("company.example", "v=spf1 ip4:127.0.0.1 -all"),
        ("_dmarc.company.example", "v=DMARC1; p=none"),
        ("em.company.example", "v=spf1 ip4:127.0.0.1 -all"),
    ] {
        zone.text(name, text);
    }
    let settings = "providers = [\"provider.example\"]\n";
    let sellers = [
        "ann@provider.example",
        "ann@company.example",
        "mark@company.example",
        "bounces@provider.example",
        "x@sub.provider.example",
        "y@em.company.example",
    ];
    let (place, relay, [alias, _]) = verifying(sink.port, &zone, settings, &sellers);
    let (refused, pass) = ("550 5.7", "250 2.6.0");
    // why, EHLO name, envelope sender, author, further fields, signing domain, i=, reply, fact
    type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, &'static str, &'a str, &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("Ann", "x", "ann@provider.example", "ann@provider.example", "", "", "", pass, ""),
        ("Ann, signed", "x", "b@esp.example", "ann@provider.example", "", "provider.example", "", pass, ""),
        (
            "Ann, signed by name",
            "x",
            "b@esp.example",
            "ann@provider.example",
            "",
            "provider.example",
            "ann@provider.example",
            pass,
            "",
        ),
        ("registered", "x", "bounces@provider.example", "ann@provider.example", "", "", "", pass, ""),
        ("wrapped", "x", "prvs=12345678ab=ann@provider.example", "ann@provider.example", "", "", "", pass, ""),
        (
            "a machine's answer",
            "provider.example",
            "",
            "ann@provider.example",
            "Auto-Submitted: auto-replied\n",
            "",
            "",
            pass,
            "",
        ),
        ("her envelope", "x", "mallory@provider.example", "ann@provider.example", "", "", "", refused, "envelope"),
        (
            "her envelope, signed",
            "x",
            "mallory@provider.example",
            "ann@provider.example",
            "",
            "provider.example",
            "",
            refused,
            "envelope",
        ),
        ("null sender", "provider.example", "", "ann@provider.example", "", "", "", refused, "null-sender"),
        ("null sender, signed", "x", "", "ann@provider.example", "", "provider.example", "", refused, "null-sender"),
        (
            "signed by her name",
            "x",
            "b@esp.example",
            "ann@provider.example",
            "",
            "provider.example",
            "mallory@provider.example",
            refused,
            "identity",
        ),
        (
            "Sender",
            "x",
            "b@esp.example",
            "ann@provider.example",
            "Sender: mallory@provider.example\n",
            "provider.example",
            "",
            refused,
            "sender",
        ),
        (
            "Sender, Ann's envelope",
            "x",
            "ann@provider.example",
            "ann@provider.example",
            "Sender: mallory@provider.example\n",
            "",
            "",
            refused,
            "sender",
        ),
        (
            "her sub-domain",
            "x",
            "mallory@sub.provider.example",
            "ann@provider.example",
            "",
            "",
            "",
            refused,
            "envelope",
        ),
        (
            "her sub-domain signs",
            "x",
            "mallory@sub.provider.example",
            "ann@provider.example",
            "",
            "sub.provider.example",
            "",
            refused,
            "envelope",
        ),
        (
            "the same, and a foreign envelope",
            "x",
            "b@esp.example",
            "ann@provider.example",
            "",
            "sub.provider.example",
            "",
            refused,
            "",
        ),
        (
            "a tag in the envelope",
            "x",
            "ann+x@provider.example",
            "ann@provider.example",
            "",
            "",
            "",
            refused,
            "envelope",
        ),
        ("a tag in From", "x", "ann+x@provider.example", "ann+x@provider.example", "", "", "", refused, ""),
        (
            "wrapped, but not Ann",
            "x",
            "prvs=12345678ab=mallory@provider.example",
            "ann@provider.example",
            "",
            "",
            "",
            refused,
            "envelope",
        ),
        // a company
        (
            "a colleague's envelope, signed",
            "x",
            "bob@company.example",
            "ann@company.example",
            "",
            "company.example",
            "",
            pass,
            "envelope",
        ),
        (
            "a service's envelope below, signed",
            "x",
            "bounces@em.company.example",
            "ann@company.example",
            "",
            "company.example",
            "",
            pass,
            "envelope",
        ),
        (
            "a colleague by name",
            "x",
            "b@esp.example",
            "ann@company.example",
            "",
            "company.example",
            "bob@company.example",
            pass,
            "identity",
        ),
        (
            "a colleague in Sender",
            "x",
            "b@esp.example",
            "ann@company.example",
            "Sender: bob@company.example\n",
            "company.example",
            "",
            pass,
            "sender",
        ),
        ("null sender, signed", "x", "", "ann@company.example", "", "company.example", "", pass, ""),
        (
            "a colleague's envelope, SPF alone",
            "x",
            "bob@company.example",
            "ann@company.example",
            "",
            "",
            "",
            refused,
            "envelope",
        ),
        (
            "a sub-domain's, SPF alone",
            "x",
            "bounces@em.company.example",
            "ann@company.example",
            "",
            "",
            "",
            refused,
            "envelope",
        ),
        (
            "null sender, SPF of the EHLO name alone",
            "company.example",
            "",
            "ann@company.example",
            "",
            "",
            "",
            refused,
            "null-sender",
        ),
    ];
    let letters: Vec<Letter> = cases
        .iter()
        .enumerate()
        // Each a message of its own: one that was signed alike would be the same.
        .map(|(n, (_, _, _, author, fields, domain, identity, ..))| Letter {
            message: format!("From: <{author}>\n{fields}To: {alias}\nSubject: {n}\n\nhello\n"),
            domain,
            more: if identity.is_empty() { json!({}) } else { json!({ "identity": identity }) },
        })
        .collect();
    let messages = signed(&letters.iter().collect::<Vec<_>>(), place.dir.path().to_str().unwrap());
    let mut wrong = Vec::new();
    for ((why, helo, sender, _, _, _, _, want, sign), message) in cases.iter().zip(&messages) {
        let reply = send(relay.port, helo, sender, &alias, message);
        let told = newest(&place);
        let found = told["facts"]["sent-by-another"].as_str().unwrap_or("");
        // The operator sees who it was where nothing proves the author, and nobody else does.
        let named = told["sent_by"].as_str();
        let right = match (told["message"]["reason"].as_str().unwrap(), found) {
            ("other-mailbox", "identity" | "sender") => named.is_some_and(|named| named.starts_with("mallory@")),
            ("other-mailbox" | "stranger" | "unauthenticated" | "authentication-failed", _) => {
                named == Some(*sender).filter(|sender| !sender.is_empty())
            }
            _ => named.is_none(),
        };
        assert!(right && named.is_none_or(|named| !reply.contains(named)), "{why}: {named:?}, {}", reply.trim());
        if !reply.starts_with(want) || found != *sign {
            wrong.push(format!("{why}: {} by {found:?} instead of {want} by {sign:?}", reply.trim()));
        }
        // A machine's answer too many is taken, and goes to nobody.
        if told["message"]["verdict"] == "relay" {
            sink.next(BUYER);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sink.others().is_empty());
    relay.stop();
}
