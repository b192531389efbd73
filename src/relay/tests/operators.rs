//! Mail to postmaster and abuse: what the operator gets, what is refused, and that nothing of it
//! stays.

use super::*;
use crate::authentication::Outcome;
use crate::outbound::{DRAIN, House as _};
use crate::policy::author::Proof;
use crate::store::queue::Which;
use rusqlite::Connection;

impl World {
    /// A message to the operator from this client.
    async fn complain(&self, ip: [u8; 4], mail: &str) -> String {
        let client = Client { ip: ip.into(), helo: "x".into(), tls: false, trusted: false, login: None };
        let to = Address::parse("abuse@m.test").unwrap();
        if let Err(reply) = self.relay.recipient(&client, None, &to) {
            return reply.wire();
        }
        let envelope = Envelope { sender: None, recipients: vec![to], eight_bit: false, utf8: false };
        let raw = Bytes::from(mail.replace('\n', "\r\n"));
        Arc::clone(&self.relay).message(client, envelope, raw).await.wire()
    }

    /// Rows of the tables in which a message could stay.
    fn rows(&self) -> Vec<i64> {
        let database = Connection::open(self.dir.path().join("data").join(crate::store::FILE)).unwrap();
        let count = |table: &str| format!("SELECT count(*) FROM {table}");
        let tables = ["message", "body", "event", "mid", "search", "queue"];
        tables.map(|table| database.query_row(&count(table), [], |row| row.get(0)).unwrap()).to_vec()
    }
}

fn amount(mib: u64) -> crate::config::Size {
    crate::config::Size::mib(mib)
}

/// What it takes of its share it takes once, though others that share its transaction fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_taken_once() {
    let world = world().await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let store = world.store.clone();
    let holder = std::thread::spawn(move || {
        store.write_blocking(move |_| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
    });
    has_begun.recv().unwrap();
    let complains = world.complain([192, 0, 2, 1], "From: x@evil.example\nSubject: x\n\nx\n");
    let mut complains = std::pin::pin!(complains);
    // It waits for the store before the next one comes.
    tokio::select! {
        biased;
        reply = &mut complains => panic!("{reply}"),
        () = std::future::ready(()) => {}
    }
    let fails = world.store.write_often(|_| Err::<(), _>(StoreError::NotFound("anything")));
    let mut fails = std::pin::pin!(fails);
    tokio::select! {
        biased;
        _ = &mut fails => panic!("it does not wait"),
        () = std::future::ready(()) => {}
    }
    go.send(()).unwrap();
    holder.join().unwrap().unwrap();
    assert!(complains.await.starts_with("250 ") && fails.await.is_err());
    let text = world.relay.metrics.text();
    assert!(text.contains("marketrelay_operator_mail_total{word=\"taken\"} 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_of_what_the_operator_has() {
    let world = world().await;
    for n in 0..5 {
        let mail = format!("From: x@evil.example\nSubject: {n}\nMessage-ID: <{n}@evil.example>\n\nx\n");
        assert!(world.complain([192, 0, 2, 1], &mail).await.starts_with("250 "));
    }
    assert_eq!(world.arrived("op@ops.example").await.len(), 5);
    assert_eq!(world.rows(), [0; 6]);
    // Nor of what cannot be delivered: the log and the metrics tell of it.
    let world = world_with(|config| config.delivery.route = "smtp://127.0.0.1:9".into()).await;
    assert!(world.complain([192, 0, 2, 1], "From: x@evil.example\n\nx\n").await.starts_with("250 "));
    let [item] = world.store.read(|v| v.queue(&Which::default(), 9)).unwrap().try_into().unwrap();
    assert_eq!((item.kind, item.id.0), (Kind::Forward, item.message));
    let Loaded::Bytes(bytes) = world.relay.load(&item).unwrap() else { panic!("it is there") };
    assert!(bytes.ends_with(b"From: x@evil.example\r\n\r\nx\r\n"));
    world.outbound.drain(DRAIN).await;
    for how in [
        crate::store::queue::Settle::Again { due: Time::now(), why: "x".into() },
        crate::store::queue::Settle::Failed { why: "expired".into() },
    ] {
        let item = item.clone();
        assert!(world.store.write(move |c| c.settle(&item, &how, Time::now())).await.unwrap());
    }
    assert_eq!(world.rows(), [0; 6]);
    assert!(world.complain([192, 0, 2, 1], "From: x@evil.example\n\nx\n").await.starts_with("250 "));
    let id = world.store.read(|v| v.queue(&Which::default(), 9)).unwrap()[0].id;
    assert!(world.store.write(move |c| c.cancel(id, Time::now())).await.unwrap());
    assert_eq!(world.rows(), [0; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_hears_what_was_found_and_nothing_forged() {
    let world = world().await;
    let forged = "Authentication-Results: mx.m.test; dmarc=pass header.from=bank.example\n\
                  Subject: x\nAuthentication-Results: (mx.m.test; spf=pass\n\
                  Authentication-Results:\n MX.M.TEST 1; spf=pass smtp.mailfrom=bank.example\n\
                  Authentication-Results: mx.other.example; spf=none\n";
    let mail = format!("{forged}From: x@evil.example\n\nHelp\n");
    let found = |proof, spf, dkim| {
        let mut found = Authentication::only(proof);
        (found.spf, found.dkim) = (spf, dkim);
        found
    };
    let cases = [
        (Authentication::only(Proof::NotChecked), None, " none"),
        (Authentication::only(Proof::Trouble), None, " spf=temperror; dmarc=temperror"),
        (
            found(Proof::Proved, Outcome::Pass, vec![Outcome::Fail]),
            Some("y@evil.example"),
            " spf=pass smtp.mailfrom=evil.example; dkim=fail; dmarc=none header.from=evil.example (the author's domain is proved)",
        ),
        (
            found(Proof::Absent, Outcome::Fail, Vec::new()),
            None,
            " spf=fail smtp.helo=x; dmarc=none header.from=evil.example (the author's domain is not proved)",
        ),
    ];
    for (authentication, sender, want) in cases {
        let session = world.session(false, sender.unwrap_or(""), &["postmaster@m.test"], &mail);
        let judged = world.judge(&Arrived::new(session, Time(0), authentication));
        assert_eq!(world.relay.commit(judged).await.unwrap().code(), 250);
        let [got] = world.arrived("op@ops.example").await.try_into().unwrap();
        let lines = got.replace("\n ", " ");
        let mut lines = lines.lines();
        assert_eq!(lines.next().unwrap(), format!("Authentication-Results: mx.m.test;{want}"));
        let received = lines.next().unwrap();
        assert!(
            received.starts_with("Received: by mx.m.test with ESMTP id ") && received.ends_with("1970 00:00:00 +0000")
        );
        let rest: Vec<&str> = lines.collect();
        let other = "Authentication-Results: mx.other.example; spf=none";
        assert_eq!(rest, ["X-Marketrelay-Loop: mx.m.test", "Subject: x", other, "From: x@evil.example", "", "Help"]);
    }
}

/// A header that ends for one reader ends for all: nobody reads on in what comes behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_header_is_text() {
    let world = world().await;
    let mail = "From: x@evil.example\nno field\nAuthentication-Results: mx.m.test; dmarc=pass\n\nx\n";
    assert!(world.complain([192, 0, 2, 1], mail).await.starts_with("250 "));
    let got = world.arrived("op@ops.example").await.remove(0);
    assert!(got.ends_with(&mail.replace("no field", "\nno field")), "{got}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_end_and_large_mail_is_refused() {
    let world = world().await;
    let large = format!("From: x@evil.example\n\n{}\n", "x".repeat(4 << 20));
    let (buyer, _) = world.aliases();
    let cases = [
        ("X-Marketrelay-Loop: other.example\n\nx\n".to_owned(), "554 5.4.6"),
        (format!("{}From: x@evil.example\n\nx\n", "Received: x\n".repeat(51)), "554 5.4.6"),
        ("From: Postmaster@m.test\n\nx\n".to_owned(), "554 5.4.6"),
        ("From: abuse@MX.m.test\n\nx\n".to_owned(), "554 5.4.6"),
        (large.clone(), "552 5.3.4"),
    ];
    for (mail, want) in &cases {
        let reply = world.complain([192, 0, 2, 1], mail).await;
        assert!(reply.starts_with(want), "{reply} {mail:.60}");
    }
    let to = |address: &str| Address::parse(address).unwrap();
    for (address, octets, fits) in [
        ("abuse@m.test", 4 << 20, true),
        ("abuse@m.test", (4 << 20) + 1, false),
        ("Postmaster@mx.m.test", 5 << 20, false),
        (buyer, 5 << 20, true),
    ] {
        assert_eq!(world.relay.announced(&to(address), octets).is_ok(), fits, "{address} {octets}");
    }
    // Nobody is told that it was taken when the operator cannot have it.
    let large = large.replace("x@evil.example", SELLER);
    assert_eq!(world.send(SELLER, &[buyer, "abuse@m.test"], &large).await.code(), 552);
    let round = format!("{}From: {SELLER}\n\nx\n", "Received: x\n".repeat(50));
    assert_eq!(world.send(SELLER, &[buyer, "abuse@m.test"], &round).await.code(), 250);
    let got = world.arrived("op@ops.example").await.remove(0);
    assert!(world.complain([192, 0, 2, 1], &got).await.starts_with("554 5.4.6"), "what comes back ends");
    assert_eq!((world.arrived(BUYER).await.len(), world.arrived(SELLER).await.len()), (1, 0));
    assert!(world.arrived("op@ops.example").await.is_empty());
}

/// Floods end at their share, whatever they send; others get in; what waits is bounded over hours
/// and restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_room_for_the_rest() {
    let world = world_with(|config| config.delivery.route = "smtp://127.0.0.1:9".into()).await;
    let mail = "From: x@evil.example\n\nx\n";
    let mut taken = 0;
    for _ in 0..100 {
        let reply = world.complain([192, 0, 2, 1], mail).await;
        taken += usize::from(reply.starts_with("250 "));
        assert!(reply.starts_with("250 ") || reply.starts_with("450 4.7.28 "), "{reply}");
    }
    assert_eq!(taken, 30);
    assert!(world.complain([192, 0, 2, 2], mail).await.starts_with("250 "));
    // The large ones of one network: an eighth of all.
    let large = format!("From: x@evil.example\n\n{}\n", "x\n".repeat((4 << 20) / 3 - 100));
    let mut taken = 0;
    for _ in 0..9 {
        taken += usize::from(world.complain([192, 0, 2, 3], &large).await.starts_with("250 "));
    }
    assert_eq!(taken, 2);
    // After a restart nothing is known of the hour, but of what waits.
    let metrics = Metrics::default();
    let config = Arc::clone(&world.relay.config);
    let relay = Relay::new(config, world.store.clone(), Texts::built_in(), metrics).unwrap();
    let world = World { relay, ..world };
    assert!(world.complain([192, 0, 2, 3], &large).await.starts_with("450 4.7.28 "));
    assert!(world.complain([192, 0, 2, 1], mail).await.starts_with("250 "), "a share of what may wait is larger");
    assert!(world.complain([192, 0, 2, 4], &large).await.starts_with("250 "));
}

/// Ten thousand networks: all of them together are bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_networks_are_bounded_together() {
    let world = world_with(|config| {
        config.delivery.route = "smtp://127.0.0.1:9".into();
        config.limits.operator_octets = amount(32);
        config.limits.operator_messages = 5;
        config.limits.operator_messages_in_all = 40;
    })
    .await;
    let mut taken = 0;
    for n in 0..300_u32 {
        let [_, b, c, d] = n.to_be_bytes();
        taken += usize::from(world.complain([10, b, c, d], "From: x@evil.example\n\nx\n").await.starts_with("250 "));
    }
    assert_eq!((taken, world.rows()[5]), (40, 40));
}
