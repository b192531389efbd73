//! A machine's mail opens no door past an opt-out, and urgency is counted.

use super::common::{BUYER, Place, SELLER, Sink};
use super::repeated_messages::{accepted, mail, send};

#[test]
fn a_vacation_mail_is_no_invitation() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    place.cli(&["buyer", "opt-out", "B-7"]);
    let outcome = |message: &str| {
        let id = accepted(&send(relay.port, SELLER, &buyer_alias, message));
        let shown = place.cli(&["message", "show", &id]);
        (
            shown["message"]["verdict"].as_str().unwrap().to_owned(),
            shown["message"]["reason"].as_str().unwrap().to_owned(),
        )
    };
    let away = mail(BUYER, "away@home.example", "Out of office", "I am away.");
    accepted(&send(relay.port, "", &seller_alias, &away.replace("Subject", "Auto-Submitted: auto-replied\nSubject")));
    let copy = sink.next(SELLER);
    let id = copy.header("Message-ID").unwrap();
    let text = copy.text();
    let mark = text.split_once("Ref: ").unwrap().1.split_once('\n').unwrap().0.trim().to_owned();
    let by_id = |n: &str| mail(SELLER, n, "SALE", "Buy!").replace("Subject", &format!("In-Reply-To: {id}\nSubject"));
    let by_mark = |n: &str| mail(SELLER, n, "SALE", &format!("Buy!\n> Ref: {mark}"));
    let blocked = ("block".to_owned(), "opted-out".to_owned());
    assert_eq!((outcome(&by_id("1@s.example")), outcome(&by_mark("2@s.example"))), (blocked.clone(), blocked));
    // The buyer writes in it himself: now it is his.
    let back = mail(BUYER, "back@home.example", "Back", "I am back.")
        .replace("Subject", "References: <away@home.example>\nSubject");
    accepted(&send(relay.port, BUYER, &seller_alias, &back));
    assert_eq!(
        (outcome(&by_id("3@s.example")).1, outcome(&by_mark("4@s.example")).1),
        ("relayed-thread".into(), "relayed-mark".into())
    );
    assert_eq!(
        (sink.next(BUYER).header("Subject"), sink.next(BUYER).header("Subject")),
        (Some("SALE".into()), Some("SALE".into()))
    );
    relay.stop();
}

#[test]
fn urgency_has_a_limit_and_is_told() {
    const LIMIT: usize = 12;
    let mut sink = Sink::start();
    let place = Place::new(sink.port, &format!("[policy.opt_out]\ncritical_per_day = {LIMIT}\n"));
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    place.cli(&["buyer", "opt-out", "B-7"]);
    let urgent = |n: usize| mail(SELLER, &format!("u{n}@s.example"), &format!("[Important] offer {n}"), "Buy!");
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (urgent, to, port) = (&urgent, &buyer_alias, relay.port);
            scope.spawn(move || (0..10).for_each(|n| drop(accepted(&send(port, SELLER, to, &urgent(half * 10 + n))))));
        }
    });
    let rows = place.cli(&["message", "list"]);
    let reasons: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "relayed-critical").count(), LIMIT, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| **reason == "over-critical").count(), 20 - LIMIT, "{reasons:?}");
    (0..LIMIT).for_each(|_| drop(sink.next(BUYER)));
    let told = sink.next(SELLER).text();
    assert!(told.contains(&format!("marked {LIMIT} messages")), "{told}");

    let critical = &place.cli(&["quota", "show", "--seller", "S-1"])["critical"];
    assert_eq!((critical["used"].as_u64(), critical["limit"].as_u64()), (Some(12), Some(12)), "{critical}");
    let listed = place.cli(&["quota", "critical"]);
    let row = &listed[0];
    assert_eq!(
        (row["seller"].as_str(), row["critical"].as_u64(), row["over_limit"].as_u64()),
        (Some("S-1"), Some(12), Some(8))
    );
    assert_eq!((row["share"].as_u64(), row["worrying"].as_bool()), (Some(60), Some(true)), "{listed}");
    // A line each, once a day.
    for line in
        ["a seller declares many messages critical", "a seller has declared as many messages critical as a day allows"]
    {
        relay.logged(line);
        assert_eq!(relay.log().matches(line).count(), 1, "{}", relay.log());
    }
    relay.stop();
}
