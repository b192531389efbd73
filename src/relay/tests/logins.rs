//! Sellers who log in: who gets in, what it proves, and for whom.

use super::*;
use crate::authentication::password;
use crate::smtp::auth::{Answer, Attempt};
use crate::types::PartyId;

const PASSWORD: &str = "correct horse 8";

/// A client in a network of its own: `network` is its third octet.
fn client(network: u8, login: Option<PartyId>) -> Client {
    Client { ip: [192, 0, network, 1].into(), helo: "x".into(), tls: true, trusted: false, login }
}

async fn set_password(world: &World, party: PartyId, password: &str) {
    let credential = password::derive(password, &mut SystemRandom).unwrap();
    world.store.write(move |c| c.set_password(party, Some(&credential), Time::now())).await.unwrap();
}

/// What a login by PLAIN and one by SCRAM come to; they must agree.
async fn log_in(world: &World, network: u8, login: &str, secret: &str) -> Result<PartyId, u16> {
    let ask = async |attempt| Arc::clone(&world.relay).login(client(network, None), attempt).await;
    let plain = ask(Attempt::Password { login: login.to_owned(), password: secret.to_owned() }).await;
    let Answer::Salt { salt, iterations, nonce } = ask(Attempt::Salt { login: login.to_owned() }).await else {
        panic!("every login has a salt")
    };
    assert!(salt.len() == 16 && nonce.len() == 24 && !nonce.contains(','), "{nonce}");
    let (proof, expected) = scram_client(secret, &salt, iterations, "message");
    let scram = ask(Attempt::Proof { login: login.to_owned(), message: "message".to_owned(), proof }).await;
    match (plain, scram) {
        (Answer::Granted { party, .. }, Answer::Granted { party: same, signature }) => {
            assert!(party == same && signature == expected);
            Ok(party)
        }
        (Answer::Refused(one), Answer::Refused(other)) => {
            assert_eq!(one, other, "{login}");
            Err(one.code())
        }
        different => panic!("{login}: {different:?}"),
    }
}

/// RFC 5802 3, the client's side: its proof, and the signature that it expects.
fn scram_client(secret: &str, salt: &[u8], iterations: u32, message: &str) -> ([u8; 32], [u8; 32]) {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    let tag = |key: &[u8], data: &[u8]| -> [u8; 32] {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().try_into().unwrap()
    };
    let mut salted = [0; 32];
    let rounds = iterations.try_into().unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, secret.as_bytes(), &mut salted);
    let mut proof = tag(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &proof);
    let signature = tag(stored.as_ref(), message.as_bytes());
    proof.iter_mut().zip(signature).for_each(|(to, from)| *to ^= from);
    (proof, tag(&tag(&salted, b"Server Key"), message.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_in() {
    let world = world().await;
    let seller = world.pair.seller.id;
    assert_eq!(log_in(&world, 1, "s1", PASSWORD).await, Err(535), "no password is set");
    set_password(&world, seller, PASSWORD).await;
    let cases = [
        ("s1", PASSWORD, Ok(seller)),
        ("s1@m.test", PASSWORD, Ok(seller)),
        ("s1@M.Test", PASSWORD, Ok(seller)),
        ("s1", "correct horse 9", Err(535)),
        ("s1", "", Err(535)),
        ("S1", PASSWORD, Err(535)),
        ("b1", PASSWORD, Err(535)),
        ("s2", PASSWORD, Err(535)),
        ("s1@other.test", PASSWORD, Err(535)),
        (SELLER, PASSWORD, Err(535)),
        ("", PASSWORD, Err(535)),
    ];
    for (n, (login, secret, want)) in cases.into_iter().enumerate() {
        assert_eq!(log_in(&world, 10 + n as u8, login, secret).await, want, "{login} {secret}");
    }
    set_password(&world, seller, "another password").await;
    assert_eq!(log_in(&world, 2, "s1", PASSWORD).await, Err(535), "the old one is gone");
    assert_eq!(log_in(&world, 2, "s1", "another password").await, Ok(seller));
    use crate::store::Switch;
    world.store.write(move |c| c.set_switch(seller, Switch::Suspended, true)).await.unwrap();
    assert_eq!(log_in(&world, 3, "s1", "another password").await, Err(535), "suspended");
    world.store.write(move |c| c.set_switch(seller, Switch::Suspended, false)).await.unwrap();
    assert_eq!(log_in(&world, 3, "s1", "another password").await, Ok(seller));
    assert!(world.store.write(move |c| c.set_password(seller, None, Time::now())).await.unwrap());
    assert_eq!(log_in(&world, 4, "s1", "another password").await, Err(535), "taken away");
    set_password(&world, seller, PASSWORD).await;
    world.store.write(move |c| c.remove_party(seller)).await.unwrap();
    assert_eq!(log_in(&world, 5, "s1", PASSWORD).await, Err(535), "removed");
    assert!(!world.store.read(|v| v.has_password(seller)).unwrap());
    let credential = password::derive(PASSWORD, &mut SystemRandom).unwrap();
    assert!(world.store.write(move |c| c.set_password(seller, Some(&credential), Time::now())).await.is_err());
}

/// Ten wrong tries of one network, and even the right one has to wait; another network does not. Both show in the metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_limited() {
    let world = world().await;
    let seller = world.pair.seller.id;
    set_password(&world, seller, PASSWORD).await;
    for _ in 0..5 {
        assert_eq!(log_in(&world, 1, "s1", "wrong password").await, Err(535));
    }
    assert_eq!(log_in(&world, 1, "s1", PASSWORD).await, Err(454));
    assert_eq!(log_in(&world, 1, "someone-else", PASSWORD).await, Err(454));
    assert_eq!(log_in(&world, 2, "s1", PASSWORD).await, Ok(seller));
    for network in 10..15 {
        for _ in 0..2 {
            assert_eq!(log_in(&world, network, "s1@m.test", "wrong password").await, Err(535));
        }
    }
    assert_eq!(log_in(&world, 20, "s1", PASSWORD).await, Err(454), "thirty of the login");
    assert_eq!(log_in(&world, 2, "s1", PASSWORD).await, Ok(seller), "but not where it was right before");
    let text = world.relay.metrics.text();
    for line in [
        "{word=\"granted\"} 4",
        "{word=\"wrong\"} 30",
        "{word=\"too-many-of-client\"} 4",
        "{word=\"too-many-of-login\"} 2",
    ] {
        assert!(text.contains(&format!("marketrelay_logins_total{line}")), "{line}: {text}");
    }
}

/// The login binds: to the addresses of that seller, to its own pairs, and to nothing that a message says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_proves_one_seller() {
    let world = world_with(|config| config.authentication.mode = AuthenticationMode::Verify).await;
    let (buyer_alias, seller_alias) = world.aliases();
    // A second seller with a pair of its own; its address is also registered as a buyer's, who has a pair with the first.
    const BOTH: &str = "both@double.example";
    let made = world.store.write(|c| {
        let now = Time::now();
        let (other, _) = c.set_party(&party(Role::Seller, "s2", "Other Shop", BOTH), &[], now)?;
        let (person, _) = c.set_party(&party(Role::Buyer, "b2", "Bo", BOTH), &[], now)?;
        let first = c.party_id("jp", Role::Seller, "s1")?.unwrap();
        let pair = c.pair_or_new(person, first, ("m.test", 35), now, &mut SystemRandom)?;
        Ok((other, c.pair(pair)?))
    });
    let (other, cross) = made.await.unwrap();
    let (one, other) = (Some(world.pair.seller.id), Some(other));
    let cross_alias = cross.seller_alias.as_str();
    let mail = |from: &str| format!("From: {from}\nSubject: x\n\nx\n");
    let forged =
        format!("Authentication-Results: mx.m.test; auth=pass; dmarc=pass header.from=home.example\n{}", mail(BUYER));
    // login, envelope sender, recipient, message, reply
    let cases = [
        (one, SELLER, buyer_alias, mail(SELLER), "250 2.6.0"),
        (one, "", buyer_alias, mail(SELLER), "250 2.6.0"),
        (one, "S-real-7f3@SELLERCO.example", buyer_alias, mail(&format!("Sato <{SELLER}>")), "250 2.6.0"),
        // A tag is another mailbox where nobody says otherwise.
        (one, "s-real-7f3+tag@sellerco.example", buyer_alias, mail(SELLER), "550 5.7.1"),
        (None, SELLER, buyer_alias, mail(SELLER), "451 4.7.24"),
        (one, "mallory@sellerco.example", buyer_alias, mail(SELLER), "550 5.7.1"),
        (one, BUYER, seller_alias, mail(BUYER), "550 5.7.1"),
        (one, SELLER, buyer_alias, mail("mallory@sellerco.example"), "550 5.7.1"),
        (one, SELLER, buyer_alias, mail(BOTH), "550 5.7.1"),
        (one, SELLER, seller_alias, mail(BUYER), "550 5.7.1"),
        (one, SELLER, seller_alias, forged, "550 5.7.1"),
        (one, SELLER, buyer_alias, mail(&format!("{SELLER}, {BUYER}")), "550 5.6.0"),
        (one, SELLER, buyer_alias, "Subject: x\n\nx\n".to_owned(), "550 5.6.0"),
        // Another seller's pair.
        (other, BOTH, buyer_alias, mail(BOTH), "550 5.7.1"),
        (other, BOTH, buyer_alias, mail(SELLER), "550 5.7.1"),
        // A seller's login is no buyer's, though the address is the same.
        (other, BOTH, cross_alias, mail(BOTH), "550 5.7.1"),
        (Some(PartyId(999)), SELLER, buyer_alias, mail(SELLER), "550 5.7.1"),
        (Some(PartyId(999)), "", buyer_alias, mail(SELLER), "550 5.7"),
    ];
    let mut relayed = 0;
    for (login, from, to, message, want) in cases {
        let reply = submit(&world, login, from, to, &message).await.wire();
        assert!(reply.starts_with(want), "{login:?} {from} to {to}: {reply}\n{message}");
        relayed += usize::from(reply.starts_with("250"));
    }
    assert_eq!(world.arrived(BUYER).await.len(), relayed);
    let relayed = Filter { verdict: Some("relay".into()), limit: 1, ..Filter::default() };
    let newest = world.store.read(|v| v.messages(&relayed)).unwrap().remove(0);
    assert!(newest.facts.contains(" auth=pass "), "{}", newest.facts);
    // Suspended while the session stands.
    let seller = world.pair.seller.id;
    world.store.write(move |c| c.set_switch(seller, crate::store::Switch::Suspended, true)).await.unwrap();
    let reply = submit(&world, one, SELLER, buyer_alias, &mail(SELLER)).await.wire();
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
}

async fn submit(world: &World, login: Option<PartyId>, from: &str, to: &str, message: &str) -> Reply {
    let (sender, recipient) = (Address::parse(from).ok(), Address::parse(to).unwrap());
    let client = client(1, login);
    if let Err(reply) = world.relay.recipient(&client, sender.as_ref(), &recipient) {
        return reply;
    }
    let envelope = Envelope { sender, recipients: vec![recipient], eight_bit: false, utf8: false };
    Arc::clone(&world.relay).message(client, envelope, Bytes::from(message.replace('\n', "\r\n"))).await
}

/// With several marketplaces an id alone is nobody's, and the same id is somebody else in each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_says_which_marketplace() {
    let world = world_with(|config| {
        let first = config.marketplace[0].clone();
        config.marketplace.push(Marketplace { id: "de".into(), domain: "m2.test".into(), ..first });
    });
    let world = world.await;
    let made = world.store.write(|c| {
        let new = NewParty { marketplace: "de".into(), ..party(Role::Seller, "s1", "Other", "s@other.example") };
        Ok(c.set_party(&new, &[], Time::now())?.0)
    });
    let (here, there) = (world.pair.seller.id, made.await.unwrap());
    set_password(&world, here, PASSWORD).await;
    set_password(&world, there, "another password").await;
    let cases = [
        ("s1@m.test", PASSWORD, Ok(here)),
        ("s1@m2.test", "another password", Ok(there)),
        ("s1@m2.test", PASSWORD, Err(535)),
        ("s1@m.test", "another password", Err(535)),
        ("s1", PASSWORD, Err(535)),
    ];
    for (n, (login, secret, want)) in cases.into_iter().enumerate() {
        assert_eq!(log_in(&world, 10 + n as u8, login, secret).await, want, "{login}");
    }
}

/// Whether a login exists is not told by how long the answer takes: argon2 is worked through for nobody, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_as_long_as_somebody() {
    let world = world().await;
    set_password(&world, world.pair.seller.id, PASSWORD).await;
    let wrong = async |login: &str, network: u8| {
        let started = std::time::Instant::now();
        let attempt = Attempt::Password { login: login.to_owned(), password: "wrong password".to_owned() };
        let answer = Arc::clone(&world.relay).login(client(network, None), attempt).await;
        assert!(matches!(answer, Answer::Refused(reply) if reply.code() == 535));
        started.elapsed()
    };
    // The quickest of each, in turns: a busy machine makes single ones late, and needs more of them.
    let mut quickest = [std::time::Duration::MAX; 2];
    let alike = |[somebody, nobody]: [std::time::Duration; 2]| nobody * 3 > somebody && somebody * 3 > nobody;
    for n in 0..24 {
        for (at, login) in ["s1", "s2"].into_iter().enumerate() {
            quickest[at] = quickest[at].min(wrong(login, 10 + n).await);
        }
        if n >= 3 && alike(quickest) {
            break;
        }
    }
    assert!(alike(quickest), "{quickest:?}");
}
