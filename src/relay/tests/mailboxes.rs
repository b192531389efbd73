//! Spellings that reach one mailbox: who writes, where mail goes, and what a seller's own domain
//! means.

use super::*;
use crate::store::OwnDomain;

/// Whether a message from `from` reaches the other side.
async fn arrives(world: &World, side: Role, from: &str) -> bool {
    let alias = world.pair.alias(side.other()).as_str().to_owned();
    let envelope = from.rsplit('<').next().unwrap().trim_end_matches('>');
    let reply =
        world.send(envelope, &[&alias], &format!("From: {from}\nTo: {alias}\nSubject: s\n\nHello {from}\n")).await;
    assert!(reply.is_positive() || reply.wire().starts_with("550 5.7.1"), "{from}: {}", reply.wire());
    reply.is_positive()
}

async fn set(world: &World, side: Role, main: &str) {
    let (id, name) = if side == Role::Buyer { ("b1", "Bea") } else { ("s1", "Sato Shop") };
    let new = party(side, id, name, main);
    world.store.write(move |c| c.set_party(&new, &[], Time::now()).map(|_| ())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_a_stranger_by_a_spelling_of_his_mailbox() {
    let world = world().await;
    // registered, From, whether it is the same author
    let cases = [
        ("hana.ko.zz9@gmail.com", "hanakozz9@gmail.com", true),
        ("hana.ko.zz9@gmail.com", "Hanako <hana.ko.zz9@googlemail.com>", true),
        ("hana.ko.zz9@gmail.com", "HanakoZZ9+tag@gmail.com", true),
        ("hana.ko.zz9@gmail.com", "hanakozz@gmail.com", false),
        ("try..this..05.@docomo.ne.jp", "try..this..05.@docomo.ne.jp", true),
        ("try..this..05.@docomo.ne.jp", "\"try..this..05.\"@docomo.ne.jp", true),
        ("\"try..this..05.\"@docomo.ne.jp", "Hanako <try..this..05.@docomo.ne.jp>", true),
        ("try..this..05.@docomo.ne.jp", "trythis05@docomo.ne.jp", false),
        ("hanako@outlook.com", "hanako@hotmail.com", false),
        ("hanako@outlook.com", "hana.ko@outlook.com", false),
        ("hanako@home.example", "hana.ko@home.example", false),
        ("hanako@fastmail.com", "x@hanako.fastmail.com", true),
    ];
    for (registered, from, want) in cases {
        set(&world, Role::Buyer, registered).await;
        assert_eq!(arrives(&world, Role::Buyer, from).await, want, "{registered} {from}");
    }
}

/// RFC 5321 4.1.2: such a local part stands in quotes in the envelope, as carriers' servers take
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn mail_to_a_carrier_goes_out_in_quotes() {
    let world = world().await;
    set(&world, Role::Buyer, "a..b.@docomo.ne.jp").await;
    let party = world.store.read(|v| v.party(world.pair.buyer.id)).unwrap();
    assert_eq!(party.main.unwrap().expose(), "\"a..b.\"@docomo.ne.jp");
    assert!(arrives(&world, Role::Seller, SELLER).await);
    assert_eq!(world.arrived("%22a..b.%22@docomo.ne.jp").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_a_sellers_alone() {
    let world = world().await;
    assert!(!arrives(&world, Role::Seller, "tanaka@sellerco.example").await);
    let domain = OwnDomain::read("@sellerco.example", &[], &crate::types::Providers::default()).unwrap();
    let seller = world.pair.seller.id;
    world.store.write(move |c| c.set_domains(seller, &[domain])).await.unwrap();
    assert!(arrives(&world, Role::Seller, "Tanaka <tanaka@sellerco.example>").await);
    // Who writes is hidden, though nobody registered that very address.
    let copy = world.arrived(BUYER).await.pop().unwrap();
    assert!(!copy.contains("tanaka@"), "{copy}");
    // Nor are his colleagues.
    let alias = world.pair.buyer_alias.as_str();
    let letter = format!(
        "From: tanaka@sellerco.example\nTo: {alias}\nSubject: ask suzuki@sellerco.example\n\nOr Sato@SellerCo.example.\n"
    );
    assert!(world.send("tanaka@sellerco.example", &[alias], &letter).await.is_positive());
    let copy = world.arrived(BUYER).await.pop().unwrap().to_lowercase();
    assert!(!copy.contains("sellerco") && copy.contains("ask "), "{copy}");
    assert!(!arrives(&world, Role::Seller, "tanaka@sub.sellerco.example").await);
    assert!(!arrives(&world, Role::Buyer, "tanaka@sellerco.example").await, "the other side is another party");
}

/// Wide: each spelling that may reach the author's mailbox, at its twins, too.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_real_address_goes_through() {
    let world = world().await;
    let cases = [
        ("hana.ko.zz9@gmail.com", "hanakozz9@gmail.com"),
        ("hana.ko.zz9@gmail.com", "Hana-Ko.ZZ9+tag@googlemail.com"),
        ("hanako9z@me.com", "hanako9z@icloud.com"),
        ("hanako9z@ezweb.ne.jp", "hanako9z@au.com"),
        ("hanako9z@home.example", "hana.ko_9z+shop@home.example"),
        ("try..this..05.@docomo.ne.jp", "try..this..05.@docomo.ne.jp"),
        ("try..this..05.@docomo.ne.jp", "\"try..this..05.\"@docomo.ne.jp"),
    ];
    let alias = world.pair.seller_alias.as_str();
    for (n, (registered, written)) in cases.into_iter().enumerate() {
        set(&world, Role::Buyer, registered).await;
        let letter = format!("From: {registered}\nTo: {alias}\nSubject: {n}\n\nI am {written} as well.\n");
        assert!(world.send(registered, &[alias], &letter).await.is_positive(), "{written}");
        let copy = world.arrived(SELLER).await.pop().unwrap();
        assert!(!copy.contains(written.rsplit('@').next().unwrap()), "{written}: {copy}");
        assert!(copy.contains("as well."), "{copy}");
    }
}
