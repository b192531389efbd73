//! The same message counts once: by Message-ID and parts, by signature, in parallel, and judged
//! anew where the first one did not arrive.

use super::*;
use crate::authentication::Authentication;
use crate::policy::author::Proof;
use crate::policy::quota::Day;
use crate::store::Switch;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// By signatures with these values.
fn proof(proof: Proof, signatures: &[u8]) -> Authentication {
    let mut found = Authentication::only(proof);
    found.signatures = signatures.iter().map(|n| [*n; 32]).collect();
    found
}

fn mail(from: &str, id: &str, subject: &str, text: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("Message-ID: <{id}@client.example>\n") };
    format!("From: {from}\nSubject: {subject}\n{id}\n{text}\n")
}

impl World {
    /// As if it had come at `at`, its author proved by signatures with these values.
    async fn signed(&self, at: Time, to: &[&str], message: &str, signatures: &[u8]) -> Reply {
        let authentication = proof(Proof::Proved, signatures);
        self.relay.through(Arrived::new(self.session(false, SELLER, to, message), at, authentication)).await
    }

    fn counts(&self) -> (usize, u64, usize) {
        let all = Filter { limit: 1000, ..Filter::default() };
        self.store
            .read(|v| {
                let day = Day::at(Time::now(), &TimeZone::UTC).starts;
                Ok((v.messages(&all)?.len(), v.quota_used(self.pair.seller.id, day)?, v.events(self.id())?.len()))
            })
            .unwrap()
    }

    fn id(&self) -> MessageId {
        MessageId(self.newest().number)
    }
}

/// The id in `250 2.6.0 Accepted as ID`.
fn accepted(reply: &Reply) -> String {
    let wire = reply.wire();
    wire.strip_prefix("250 2.6.0 Accepted as ").unwrap_or_else(|| panic!("{wire}")).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_counts_once() {
    let world = world().await;
    let (to, seller_alias) = world.aliases();
    let first = mail(SELLER, "1", "one", "Hello there");
    let id = accepted(&world.send(SELLER, &[to], &first).await);
    assert_eq!(world.arrived(BUYER).await.len(), 1);
    let before = world.counts();
    // What a server that sends again changes, and what it does not matter who brings it.
    let same = [
        first.clone(),
        first.replace("From:", "Received: by y\nX-Later: yes\nDate: Fri, 27 Nov 2026 10:00:00 +0900\nFrom:"),
        first.replace("Subject: one", "Subject: =?utf-8?B?b25l?="),
        first.replace("\n\nHello there\n", "\nContent-Transfer-Encoding: base64\n\nSGVsbG8gdGhlcmU=\n"),
        first.replace("\n\nHello there\n", "\nContent-Type: text/plain; charset=utf-8\n\nHello there\n\n"),
    ];
    for (n, again) in same.iter().enumerate() {
        assert_eq!(accepted(&world.send(SELLER, &[to], again).await), id, "{again}");
        assert_eq!(world.counts(), before, "no row, no quota, no event: {again}");
        assert_eq!(world.newest().repeats, n as i64 + 1, "{again}");
    }
    assert!(world.newest().repeated_at.is_some());
    assert!(world.arrived(BUYER).await.is_empty() && world.arrived(SELLER).await.is_empty(), "no copy, no notice");

    // Other words, another subject, another id, no id, the other side: each is a message of its
    // own.
    let other = [
        (SELLER, to, mail(SELLER, "1", "one", "Hello here")),
        (SELLER, to, mail(SELLER, "1", "two", "Hello there")),
        (SELLER, to, mail(SELLER, "2", "one", "Hello there")),
        (SELLER, to, mail(SELLER, "", "one", "Hello there")),
        (SELLER, to, mail(SELLER, "", "one", "Hello there")),
        (BUYER, seller_alias, mail(BUYER, "1", "one", "Hello there")),
    ];
    let mut ids = std::collections::HashSet::from([id.clone()]);
    for (from, to, message) in &other {
        assert!(ids.insert(accepted(&world.send(from, &[to], message).await)), "{message}");
    }
    assert_eq!((world.arrived(BUYER).await.len(), world.arrived(SELLER).await.len()), (5, 1));
    // The id has gone to newer messages; the first one is known all the same.
    assert_eq!(accepted(&world.send(SELLER, &[to], &first).await), id);
    assert!(world.arrived(BUYER).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_not_started_by_it_and_files_are_compared() {
    let world = world().await;
    let (_, to) = world.aliases();
    let file = |content: &str| {
        let pdf = data_encoding::BASE64.encode(content.as_bytes());
        format!(
            "From: {BUYER}\nSubject: x\nMessage-ID: <f@home.example>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee\n--b\n\
             Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64\n\n{pdf}\n--b--\n"
        )
    };
    let big = "0123456789".repeat(30_000);
    let first = accepted(&world.send(BUYER, &[to], &file(&big)).await);
    let waiting = Filter { needs_response: true, limit: 10, ..Filter::default() };
    let asked = || world.store.read(|v| v.messages(&waiting)).unwrap().len();
    assert_eq!((accepted(&world.send(BUYER, &[to], &file(&big)).await), asked()), (first.clone(), 1));
    assert_ne!(
        accepted(&world.send(BUYER, &[to], &file(&big.replacen('9', "8", 1))).await),
        first,
        "one octet differs"
    );
    // A small message has no large one read.
    assert_ne!(accepted(&world.send(BUYER, &[to], &file("x")).await), first);
    assert_eq!((world.arrived(SELLER).await.len(), asked()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_used_once() {
    let world = world().await;
    let (to, _) = world.aliases();
    let now = Time::now();
    let first = accepted(&world.signed(now, &[to], &mail(SELLER, "1", "one", "Hello"), &[1, 2]).await);
    // Whatever stands around it: it is the same message.
    for (message, signatures) in [
        (mail(SELLER, "1", "one", "Hello"), &[1_u8, 2][..]),
        (mail(SELLER, "9", "[Important] pay", "Pay here"), &[1]),
        (mail(SELLER, "", "one", "Hello"), &[2]),
        (mail(SELLER, "8", "one", "Hello"), &[7, 2]),
    ] {
        assert_eq!(accepted(&world.signed(now, &[to], &message, signatures).await), first, "{message}");
    }
    assert_eq!((world.counts().0, world.counts().1, world.newest().repeats), (1, 1, 4));
    // Two words of a person without Message-ID: two signatures, two messages.
    for signature in [3, 4] {
        let ok = mail(SELLER, "", "ok", "ok");
        assert_ne!(accepted(&world.signed(now, &[to], &ok, &[signature]).await), first);
    }
    // It is remembered as long as its message: one that tells no age can be sent again next year.
    let late = now.plus(HOUR * 24 * 365);
    let again = mail(SELLER, "5", "late", "Hello");
    assert_eq!(accepted(&world.signed(late, &[to], &again, &[1]).await), first);
    // For a pair: another buyer's copy is another message.
    let seller = world.pair.seller.id;
    let made = world.store.write(move |change| {
        let (buyer, _) = change.set_party(&party(Role::Buyer, "b2", "Bob", "bob@other.example"), &[], Time::now())?;
        let pair = change.pair_or_new(buyer, seller, ("m.test", 35), Time::now(), &mut SystemRandom)?;
        change.pair(pair)
    });
    let pair = made.await.unwrap();
    let both = mail(SELLER, "6", "both", "Hello");
    let reply = world.signed(now, &[to, pair.buyer_alias.as_str()], &both, &[6]).await;
    assert_eq!(reply.code(), 250);
    assert_eq!(world.arrived("bob@other.example").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_later_it_is_a_new_one() {
    let world = world().await;
    let (to, _) = world.aliases();
    let (now, message) = (Time::now(), mail(SELLER, "1", "one", "Hello"));
    let first = accepted(&world.signed(now, &[to], &message, &[]).await);
    assert_eq!(accepted(&world.signed(now.plus(HOUR * (24 * 8 - 1)), &[to], &message, &[]).await), first);
    assert_ne!(accepted(&world.signed(now.plus(HOUR * (24 * 8 + 1)), &[to], &message, &[]).await), first);
}

/// Deferred, blocked, refused or undelivered: the next one is judged by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_arrive_is_judged_anew() {
    let world = world().await;
    let (to, _) = world.aliases();
    let (buyer, now) = (world.pair.buyer.id, Time::now());
    let switch = |on: bool| world.store.write(move |c| c.set_switch(buyer, Switch::OptedOut, on));
    let message = mail(SELLER, "1", "one", "Hello");
    switch(true).await.unwrap();
    let blocked = accepted(&world.signed(now, &[to], &message, &[1]).await);
    assert_eq!((world.newest().verdict.as_str(), world.arrived(SELLER).await.len()), ("block", 1));
    // Blocked again it is the one that was blocked: who holds a copy uses up no quota, and has its
    // author told once.
    let before = world.counts();
    for n in 1..4 {
        assert_eq!(accepted(&world.signed(now, &[to], &message, &[1]).await), blocked);
        assert_eq!((world.counts(), world.newest().repeats), (before, n));
    }
    assert!(world.arrived(SELLER).await.is_empty());
    switch(false).await.unwrap();
    let first = accepted(&world.signed(now, &[to], &message, &[1]).await);
    assert_ne!(first, blocked);
    // Now it has been relayed: blocking it later changes nothing.
    switch(true).await.unwrap();
    assert_eq!(accepted(&world.signed(now, &[to], &message, &[1]).await), first);
    assert_eq!(world.counts().0, 2);
    switch(false).await.unwrap();

    // Given up.
    let id = world.id();
    world.arrived(BUYER).await;
    world.store.write(move |c| c.set_fate(id, "failed")).await.unwrap();
    let second = accepted(&world.signed(now, &[to], &message, &[1]).await);
    assert_ne!(second, first);
    assert_eq!(accepted(&world.signed(now, &[to], &message, &[1]).await), second);

    // Refused, and deferred.
    let refused =
        message.replace("Subject", "Content-Type: multipart/encrypted; boundary=b\nSubject").replace("<1@", "<2@");
    let replies: Vec<String> =
        [world.signed(now, &[to], &refused, &[2]).await.wire(), world.signed(now, &[to], &refused, &[2]).await.wire()]
            .into();
    assert!(replies[0].starts_with("554 5.6.1") && replies[0] == replies[1], "{replies:?}");
    assert_eq!((world.newest().repeats, world.counts().0), (1, 4), "one row for both");
    // What is decided anew is written anew.
    let better = mail(SELLER, "2", "one", "Hello");
    assert_eq!(accepted(&world.signed(now, &[to], &better, &[2]).await), world.id().to_string());
    let seller = world.pair.seller.id;
    let day = Day::at(now, &TimeZone::UTC).starts;
    world.store.write(move |c| (0..600).try_for_each(|_| c.count_quota(seller, day))).await.unwrap();
    let over = message.replace("<1@", "<3@");
    for _ in 0..2 {
        assert_eq!(world.signed(now, &[to], &over, &[3]).await.code(), 550);
    }
    // The same one is none more, even where no more may be sent: its sender's server never heard of
    // the 250.
    assert_eq!(accepted(&world.signed(now, &[to], &message, &[1]).await), second);
    assert_eq!(accepted(&world.send(SELLER, &[to], &message).await), second);
}

/// Nothing is looked up for who proves nothing: a stranger's copy is refused as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_learn_nothing() {
    let world = world().await;
    let (to, _) = world.aliases();
    let message = mail(SELLER, "1", "one", "Hello");
    assert_eq!(world.send(SELLER, &[to], &message).await.code(), 250);
    let forged = [
        world.send("mallory@sellerco.example", &[to], &message).await,
        world.send("x@evil.example", &[to], &message.replace(SELLER, "x@evil.example")).await,
    ];
    assert!(forged.iter().all(|reply| reply.code() == 550), "{forged:?}");
    let session = world.session(false, SELLER, &[to], &message);
    let arrived = Arrived::new(session, Time::now(), proof(Proof::Absent, &[1])).looking_back();
    let reply = world.relay.commit(world.judge(&arrived)).await.unwrap();
    assert_eq!(reply.code(), 550);
    assert!(arrived.parts.get().is_none(), "nothing was compared");
    let first =
        world.store.read(|v| v.messages(&Filter { limit: 10, verdict: Some("relay".into()), ..Filter::default() }));
    assert_eq!(first.unwrap()[0].repeats, 0);
}

/// Sessions in parallel, and one message to the same party twice: one goes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wins() {
    let world = Arc::new(world().await);
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..24 {
        let world = Arc::clone(&world);
        sends.spawn(async move {
            let message = mail(SELLER, "1", "one", "Hello").replace("From:", &format!("Received: by {n}\nFrom:"));
            accepted(&world.send_unasked(SELLER, &[world.aliases().0], &message).await)
        });
    }
    let ids: std::collections::HashSet<String> = sends.join_all().await.into_iter().collect();
    assert_eq!((ids.len(), world.arrived(BUYER).await.len()), (1, 1));
    assert_eq!((world.counts().0, world.counts().1, world.newest().repeats), (1, 1, 23));

    let to = world.aliases().0;
    let twice = mail(SELLER, "2", "two", "Hello");
    assert_eq!(world.send_unasked(SELLER, &[to, to], &twice).await.code(), 250);
    assert_eq!((world.arrived(BUYER).await.len(), world.newest().repeats), (1, 0), "it did not come again");
}

/// The judgement of one session is outdated by what another one wrote, and then nothing is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_judgement_is_made_anew() {
    let world = world().await;
    let (to, _) = world.aliases();
    let arrived = |message: &str, signatures: &[u8]| {
        let session = world.session(false, SELLER, &[to], message);
        Arrived::new(session, Time::now(), proof(Proof::Proved, signatures)).looking_back()
    };
    let cases = [
        (mail(SELLER, "1", "one", "Hello"), [1_u8], mail(SELLER, "1", "one", "Hello"), [2_u8], true),
        (mail(SELLER, "2", "one", "Hello"), [3], mail(SELLER, "3", "one", "Hello"), [3], true),
        (mail(SELLER, "4", "one", "Hello"), [4], mail(SELLER, "4", "one", "Other"), [5], false),
    ];
    for (slow, of_slow, quick, of_quick, same) in cases {
        let slow = arrived(&slow, &of_slow);
        let judged = world.judge(&slow);
        let first = world.relay.commit(world.judge(&arrived(&quick, &of_quick))).await.unwrap();
        assert_eq!(world.relay.commit(judged).await.map(|reply| reply.wire()), None);
        let reply = world.relay.commit(world.judge(&slow)).await.unwrap();
        assert_eq!(accepted(&reply) == accepted(&first), same);
    }
    // The first one fails in between.
    let again = arrived(&mail(SELLER, "6", "one", "Hello"), &[6]);
    let first = world.relay.commit(world.judge(&again)).await.unwrap();
    let judged = world.judge(&again);
    let id = world.id();
    assert_eq!(accepted(&first), id.to_string());
    world.arrived(BUYER).await;
    world.store.write(move |c| c.set_fate(id, "failed")).await.unwrap();
    assert_eq!(world.relay.commit(judged).await.map(|reply| reply.wire()), None);
}

/// A judgement that ends half way, to be made anew with more time, leaves nothing half read behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_in_part_is_not_compared() {
    let world = world().await;
    let (to, _) = world.aliases();
    let part = |text: &str| format!("--b\nContent-Type: text/plain\n\n{text}\n");
    let parts: String = (0..40).map(|n| part(&format!("{n}"))).collect();
    let message = mail(SELLER, "1", "one", &format!("{parts}--b--"));
    let message = message.replace("Subject:", "Content-Type: multipart/mixed; boundary=b\nSubject:");
    let first = accepted(&world.send(SELLER, &[to], &message).await);
    let mut ended = 0;
    for reading in (1..).map(|n| n * 500) {
        let session = world.session(false, SELLER, &[to], &message);
        let arrived = Arrived::new(session, Time::now(), proof(Proof::Proved, &[])).looking_back();
        let soon = Allowance { reading, ..world.relay.allowance(Arc::default()) };
        let judged = world.relay.judge(&arrived, &soon);
        let again = world.relay.commit(world.judge(&arrived)).await.unwrap();
        assert_eq!(accepted(&again), first, "{reading}");
        if judged.ended.is_none() {
            break;
        }
        ended += 1;
    }
    assert!(ended > 20, "{ended}");
}

/// Whoever has a message that its author signed sends it again, with more recipients that refuse
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_to_others_do_not_fill_the_store() {
    let limits = |config: &mut Config| {
        config.limits.refusal_rows = 3;
        config.limits.refusals_per_client = 10;
    };
    let world = world_with(limits).await;
    let (to, other) = world.aliases();
    let message = mail(SELLER, "1", "one", "Hello");
    let first = accepted(&world.signed(Time::now(), &[to, other], &message, &[1]).await);
    for n in 0..20 {
        let start = Time::now();
        assert_eq!(accepted(&world.signed(start, &[to, other], &message, &[1]).await), first, "{n}");
    }
    assert!(world.counts().0 <= 1 + 2 * 3, "{}", world.counts().0);
    // Each refusal is counted once: as a row, or in a sum.
    let text = world.relay.metrics.text();
    let refusals = text.lines().filter(|line| line.starts_with("marketrelay_refusals_total{"));
    let counted: u32 = refusals.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum();
    assert_eq!(counted, 21, "{text}");
    // Nor is he held up, or anybody who comes after him counted for it.
    let session = world.session(false, "x@evil.example", &[to], &message.replace(SELLER, "x@e.example"));
    let arrived = Arrived::new(session, Time::now(), proof(Proof::Absent, &[]));
    assert!(!world.relay.commit(world.judge(&arrived)).await.unwrap().closes());
}

/// Some recipients are refused, and a copy is sent again and again: its author is told once a day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_its_author_told_once() {
    let world = world_with(|config| config.policy.opt_out.answer = crate::config::OptOutAnswer::Reject).await;
    let seller = world.pair.seller.id;
    let made = world.store.write(move |change| {
        let (buyer, _) = change.set_party(&party(Role::Buyer, "b2", "Bob", "bob@other.example"), &[], Time::now())?;
        change.set_switch(buyer, Switch::OptedOut, true)?;
        let pair = change.pair_or_new(buyer, seller, ("m.test", 35), Time::now(), &mut SystemRandom)?;
        change.pair(pair)
    });
    let pair = made.await.unwrap();
    let to = [world.aliases().0, pair.buyer_alias.as_str()];
    let message = mail(SELLER, "1", "one", "Hello");
    let start = Day::at(Time::now(), &TimeZone::UTC).starts;
    let first = accepted(&world.signed(start, &to, &message, &[1]).await);
    assert_eq!(world.arrived(SELLER).await.len(), 1);
    for _ in 0..3 {
        assert_eq!(accepted(&world.signed(start.plus(HOUR), &to, &message, &[1]).await), first);
    }
    assert!(world.arrived(SELLER).await.is_empty());
    assert_eq!(accepted(&world.signed(start.plus(HOUR * 25), &to, &message, &[1]).await), first);
    assert_eq!((world.arrived(SELLER).await.len(), world.arrived(BUYER).await.len()), (1, 1));
}
