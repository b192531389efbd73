//! DNS that does not answer: each check waits by itself, all of them together no longer than the
//! limit, and what came decides.

use super::*;
use crate::policy::author::By;
use tokio::time::Instant;

/// Why, message, envelope sender, records, proof, by what.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], Proof, By);

#[tokio::test]
async fn what_came_decides() {
    let signed = sign(PLAIN, Key::Rsa, "shop.test", SIGNED);
    let other = signed.replace("s=rsa;", "s=slow;");
    let both = sign(&other, Key::Ed25519, "shop.test", SIGNED);
    let silent: &[(&str, &str)] = &[
        ("shop.test", "?"),
        ("_dmarc.shop.test", "?"),
        ("_dmarc.test", "?"),
        ("slow._domainkey.shop.test", "?"),
        ("evil.test", "?"),
    ];
    let spf = &[PASS, ("_dmarc.shop.test", "?"), ("slow._domainkey.shop.test", "?")];
    let cases: [Case<'_>; 7] = [
        ("a signature, and SPF is silent", &signed, "ann@shop.test", silent, Proof::Proved, By::Signature),
        ("the same with a foreign envelope", &signed, "x@evil.test", silent, Proof::Proved, By::Signature),
        ("one key is silent, the other is there", &both, "x@evil.test", silent, Proof::Proved, By::Signature),
        ("the key is silent, SPF passes", &other, "ann@shop.test", spf, Proof::Proved, By::Spf),
        ("the key is silent", &other, "x@evil.test", silent, Proof::Trouble, By::Nothing),
        ("nothing signed, SPF is silent", PLAIN, "ann@shop.test", silent, Proof::Trouble, By::Nothing),
        ("nothing signed, and the author's SPF is silent", PLAIN, "x@evil.test", silent, Proof::Trouble, By::Nothing),
    ];
    let limit = Duration::from_millis(500);
    for (why, raw, sender, records, want, by) in cases {
        let verifier = Verifier::new(name_server(zone(records)).await, "relay.test").with_timeout(limit);
        let sender = Address::parse(sender).unwrap();
        let check = Check { raw: raw.as_bytes(), sender: Some(&sender), ..check() };
        let started = Instant::now();
        let found = verifier.verify(&check).await;
        assert_eq!((proof(&found), found.by(&RECIPIENTS[0])), (want, by), "{why}: {}", found.summary());
        assert!(started.elapsed() < limit * 3, "{why}: {:?}", started.elapsed());
    }
}

/// A signature that would prove nothing is no trouble, though its key does not come.
#[tokio::test]
async fn a_weak_signature_is_not_waited_for() {
    let weak = sign(PLAIN, Key::Rsa, "shop.test", &["From", "Subject"]).replace("s=rsa;", "s=slow;");
    let records = [("shop.test", "v=spf1 -all"), ("slow._domainkey.shop.test", "!")];
    let resolver = name_server(zone(&records)).await;
    let check = Check { raw: weak.as_bytes(), sender: Some(&ANN), ..check() };
    let found = Verifier::new(resolver, "relay.test").verify(&check).await;
    assert_eq!(proof(&found), Proof::Failed(Method::Spf), "{}", found.summary());
}
