//! What an attempt leaves behind, for each way that it can end.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes() {
    let (_closed, closed) = closed_port();
    // domain, answer to RCPT, what is given up or why it waits, failures of the destination
    let rows: &[(&str, &'static str, std::result::Result<FailureClass, &str>, u32)] = &[
        ("unknown.test", "550 5.1.1 <x@unknown.test>\r\n", Ok(FailureClass::NoMailbox), 0),
        ("full.test", "552 5.2.2 full\r\n", Ok(FailureClass::MailboxFull), 0),
        ("busy.test", "450 4.2.1 <x@busy.test>\r\n", Err("rcpt: refused with 450 4.2.1"), 0),
        ("going.test", "421 4.3.2 x\r\n", Err("rcpt: refused with 421 4.3.2"), 0),
        ("garbage.test", "hello\r\n", Err("rcpt: not SMTP"), 0),
        ("closed.test", "", Err("connect: connection lost"), 1),
        ("null.test", "", Ok(FailureClass::NoDomain), 0),
        ("missing.test", "", Ok(FailureClass::NoDomain), 0),
        ("servfail.test", "", Err("DNS does not answer"), 1),
        ("panic.test", "250 ok\r\n", Err("internal trouble"), 0),
        ("gone.test", "250 ok\r\n", Ok(FailureClass::Other), 0),
        ("unclean.test", "250 ok\r\n", Ok(FailureClass::Unclean), 0),
        ("eight.test", "250 ok\r\n", Ok(FailureClass::Other), 0),
        ("unwritable.test", "550 5.1.1 no\r\n", Err("internal trouble"), 0),
    ];
    let mut world = World::new();
    world.zones.mx.insert("null.test".into(), Ok(vec![(0, String::new())]));
    world.zones.mx.insert("servfail.test".into(), Err(DnsError::Temporary));
    for (domain, answer, ..) in rows {
        match (*domain, *answer) {
            ("closed.test", _) => world.route(domain, closed),
            (_, "") => {}
            (_, answer) => {
                let sink = sink(answer).await;
                world.route(domain, sink.address);
            }
        }
    }
    let items: Vec<Item> = rows.iter().map(|(domain, ..)| world.item(domain, false)).collect();
    let (outbound, mut heard) = world.start().await;
    let last = rows.iter().filter(|row| row.2.is_err()).count();
    world.until(|left| left.len() == last && left.iter().all(|item| !item.leased && item.attempts > 0)).await;
    outbound.drain(LONG).await;
    let mut given_up = BTreeMap::new();
    while let Ok(asked) = heard.try_recv() {
        if let Asked::GivenUp(id, class) = asked {
            // Told again where the transaction was undone for another's sake.
            given_up.insert(id, class);
        }
    }
    let left = world.left();
    for ((domain, _, want, failures), item) in rows.iter().zip(&items) {
        let row = left.iter().find(|row| row.id == item.id);
        assert_eq!(given_up.get(&item.id).copied(), want.ok(), "{domain}");
        assert_eq!(row.map(|row| row.waits_for.as_str()), want.err(), "{domain}");
        assert_eq!(row.map(|row| row.attempts), want.err().map(|_| 1), "{domain}");
        assert!(row.is_none_or(|row| row.due > THEN.plus(Duration::from_secs(200))), "{domain}");
        assert_eq!(world.fate(item.message), if want.is_ok() { "failed" } else { "queued" }, "{domain}");
        assert_eq!(world.store.read(|v| v.failures_of(domain)).unwrap(), *failures, "{domain}");
    }
    let said = format!("{:?}", world.store.read(|v| v.events(items[0].message)).unwrap());
    assert!(!said.contains("x@"), "{said}");
}

/// The sink does not know 8BITMIME.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_gets_goes_to_any_server() {
    let mut world = World::new();
    let mut sinks = [sink("250 ok\r\n").await, sink("550 5.1.1 no\r\n").await];
    let domains = ["eight.test", "refused.test"];
    for (domain, sink) in domains.iter().zip(&sinks) {
        world.route(domain, sink.address);
    }
    let queued = domains.map(|domain| {
        let item = world.item(domain, true);
        let (message, recipient, domain) = (item.message, item.recipient.clone(), item.domain.clone());
        let new = NewItem { message, kind: Kind::Forward, recipient, domain, notice: None };
        write(&world.store, move |c| c.drop_item(item.id).and_then(|()| c.enqueue(&new, THEN, false))).unwrap()
    });
    let (outbound, _heard) = world.start().await;
    assert_eq!(next(&mut sinks[0].got).await, "Subject: 15 octets\r\nTo: x@eight.test\r\n\r\n.\r\n");
    world.until(<[Item]>::is_empty).await;
    outbound.drain(LONG).await;
    // The history tells what became of it.
    assert_eq!(queued.each_ref().map(|item| world.fate(item.message)), ["delivered", "failed"]);
}
