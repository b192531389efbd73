//! Who may write: strangers, forged authors, a front that vouches, and what DNS says.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write() {
    let refuse = crate::config::AddressesInFiles::Refuse;
    let world = world_with(|config| config.policy.attachments.addresses_in_files = refuse).await;
    let (buyer_alias, seller_alias) = world.aliases();
    let mail = |from: &str, extra: &str| format!("From: {from}\n{extra}Subject: x\n\nx\n");
    // envelope sender, recipient, message, reply, reason in the history
    let cases = [
        ("x@evil.example", buyer_alias, mail("x@evil.example", ""), "550 5.7.1", "stranger"),
        (BUYER, buyer_alias, mail(BUYER, ""), "550 5.7.1", "stranger"),
        (SELLER, seller_alias, mail(SELLER, ""), "550 5.7.1", "stranger"),
        ("mallory@sellerco.example", buyer_alias, mail(SELLER, ""), "550 5.7.1", "other-mailbox"),
        (SELLER, buyer_alias, mail(SELLER, "From: x@y.example\n"), "550 5.6.0", "several-authors"),
        (SELLER, buyer_alias, mail(SELLER, "Subject: y\n"), "550 5.6.0", "repeated-field"),
        (SELLER, buyer_alias, mail(&format!("{SELLER}, x@y.example"), ""), "550 5.6.0", "several-authors"),
        (SELLER, buyer_alias, "Subject: x\n\nx\n".to_owned(), "550 5.6.0", "no-author"),
        (SELLER, buyer_alias, mail(SELLER, "X-Marketrelay-Loop: m.test\n"), "554 5.4.6", "loop"),
        (SELLER, buyer_alias, mail(SELLER, &"Received: x\n".repeat(51)), "554 5.4.6", "loop"),
        (SELLER, buyer_alias, "Content-Type: message/rfc822\n\n".repeat(40_000), "550 5.6.0", "malformed"),
        (
            SELLER,
            buyer_alias,
            mail(SELLER, "Content-Type: multipart/encrypted; boundary=b\n"),
            "554 5.6.1",
            "encrypted",
        ),
        // An address where nothing can be replaced.
        (
            SELLER,
            buyer_alias,
            mail(SELLER, "Content-Type: application/x; name=x\nContent-Transfer-Encoding: base64\n").replace(
                "\nx\n",
                &format!("\n{}\n", data_encoding::BASE64.encode(format!("\0\u{1} {SELLER} \0").as_bytes())),
            ),
            "554 5.6.1",
            "address-in-file",
        ),
    ];
    for (sender, to, message, want, reason) in cases {
        let reply = world.send(sender, &[to], &message).await.wire();
        assert!(reply.starts_with(want) && !reply.contains("real"), "{reason}: {reply}");
        let newest = world.newest();
        assert_eq!((newest.reason.as_str(), newest.verdict.as_str()), (reason, "reject"));
        // The operator sees who it was; the sender's server does not.
        let kept = world.store.read(|view| view.sender_of(MessageId(newest.number))).unwrap();
        let shown = kept.as_ref().map(Address::expose);
        let of_nobody = matches!(reason, "stranger" | "other-mailbox");
        assert_eq!(shown, of_nobody.then_some(sender), "{reason}");
        assert!(!reply.contains("mallory") && !newest.facts.contains('@'), "{reply} {}", newest.facts);
    }
    assert!(world.arrived(BUYER).await.is_empty());
    // The proved author alone hears by mail: encrypted, and his address in a file.
    assert_eq!(world.arrived(SELLER).await.len(), 2);
    let client = Client { ip: [127, 0, 0, 1].into(), helo: "x".into(), tls: false, trusted: false, login: None };
    for (address, want) in [
        ("nobody@m.test", "550 5.1.1"),
        ("user@elsewhere.example", "550 5.7.1"),
        ("bounce+aaaa@m.test", "550 5.1.1"),
        ("report+aaaa@m.test", "550 5.1.1"),
    ] {
        let reply = world.relay.recipient(&client, None, &Address::parse(address).unwrap()).unwrap_err().wire();
        assert!(reply.starts_with(want), "{address}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_is_believed_from_trusted_networks_only() {
    let world = world_with(|config| {
        config.authentication.mode = AuthenticationMode::Front;
        config.authentication.authserv_id = Some("mx.front.test".to_owned());
    });
    let world = world.await;
    let (buyer_alias, _) = world.aliases();
    let mail = |id: &str, result: &str| {
        format!(
            "Authentication-Results: {id}; dmarc={result} header.from=sellerco.example; spf={result} smtp.mailfrom={SELLER}\nFrom: {SELLER}\nSubject: x\n\nx\n"
        )
    };
    // trusted, message, reply, reason
    let cases = [
        (true, mail("mx.front.test", "pass"), "250 2.6.0", "relayed"),
        (false, mail("mx.front.test", "pass"), "550 5.7.1", "unauthenticated"),
        (true, mail("mx.other.test", "pass"), "550 5.7.1", "unauthenticated"),
        (true, mail("mx.front.test", "fail"), "550 5.7.1", "authentication-failed"),
        (true, mail("mx.front.test", "temperror"), "451 4.7.24", "dns-trouble"),
    ];
    for (trusted, message, want, reason) in cases {
        let reply = world.send_as(trusted, SELLER, &[buyer_alias], &message).await.wire();
        let newest = world.newest();
        assert!(reply.starts_with(want) && newest.reason == reason, "{reply} {}: {message}", newest.reason);
    }
    assert_eq!(world.arrived(BUYER).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_are_verified_by_dns() {
    use crate::authentication::{Verifier, tests::name_server};
    let world = world_with(|config| config.authentication.mode = AuthenticationMode::Verify).await;
    let (buyer_alias, seller_alias) = world.aliases();
    let mail = |from: &str| format!("From: {from}\nSubject: x\n\nx\n");
    let send = async |from: &str, to: &str| {
        let reply = world.send(from, &[to], &mail(from)).await.wire();
        let newest = world.newest();
        (reply.split_whitespace().take(2).collect::<Vec<_>>().join(" "), newest.reason)
    };
    let is = |(reply, reason): (String, String), want: (&str, &str)| assert_eq!((&*reply, &*reason), want);
    is(send(SELLER, buyer_alias).await, ("451 4.7.24", "dns-trouble"));
    let zone = [
        ("sellerco.example".to_owned(), vec!["v=spf1 ip4:192.0.2.1 -all".to_owned()]),
        ("home.example".to_owned(), vec!["v=spf1 -all".to_owned()]),
    ];
    world.relay.verify_with(Verifier::new(name_server(zone.into()).await, "mx.m.test"));
    is(send(SELLER, buyer_alias).await, ("250 2.6.0", "relayed"));
    is(send(BUYER, seller_alias).await, ("550 5.7.1", "spf-failed"));
    is(send("x@sellerco.example", buyer_alias).await, ("550 5.7.1", "stranger"));
    assert_eq!(world.arrived(BUYER).await.len(), 1);
}
