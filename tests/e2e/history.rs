//! The history beside a running daemon: explained, searched, exported, verified; the response clock; parties that change or go.

use super::common::{BUYER, Place, SELLER, Sink, run, swaks};
use std::net::TcpListener;

fn subject(text: &str) -> [String; 2] {
    ["--header".to_owned(), format!("Subject: {text}")]
}

fn send(port: u16, from: &str, to: &str, about: &str, more: &[&str]) -> (bool, String) {
    let header = subject(about);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    swaks(port, from, to, &[&header[..], &["--body", "the cup is broken, 返品したい"], more].concat())
}

/// Changes a row with a program of its own, as somebody would who wants to.
fn tamper(place: &Place, sql: &str) {
    let store = place.dir.path().join("data/marketrelay.sqlite3");
    let code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=20); n = c.execute(sys.argv[2]).rowcount; c.commit(); assert n == 1, n";
    let done = run("/usr/bin/python3", &["-c", code, store.to_str().unwrap(), sql], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_walk_the_clock_and_the_chain() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();

    // What would happen, and what happens.
    let file = place.dir.path().join("letter.eml");
    std::fs::write(&file, format!("From: {BUYER}\nSubject: Broken\n\nx\n")).unwrap();
    let file = file.to_str().unwrap();
    let told = place.cli(&["policy", "explain", "--from", BUYER, "--to", &seller_alias, file]);
    assert_eq!((&told["verdict"], &told["facts"]["author"]), (&"relay".into(), &"party".into()), "{told}");
    let told = place.cli(&["policy", "explain", "--from", BUYER, "--to", &buyer_alias, file]);
    assert_eq!(told["reply"].as_str().map(|reply| &reply[..9]), Some("550 5.7.1"), "{told}");
    assert_eq!(place.cli(&["message", "list"]), serde_json::json!([]), "nothing was written");
    assert!(send(relay.port, BUYER, &buyer_alias, "Broken", &[]).1.contains("550 5.7.1"));
    assert!(send(relay.port, BUYER, &seller_alias, "Broken", &[]).0);
    let asked = sink.next(SELLER).header("Message-ID").unwrap();

    // The clock runs; a machine's answer does not stop it, the seller's does.
    let waiting = place.cli(&["message", "list", "--needs-response", "--seller", "S-1"]);
    let left = waiting[0]["response_seconds_left"].as_i64().unwrap();
    assert!((86_000..=86_400).contains(&left), "{waiting}");
    let (_, table, _) = place.try_cli(&["message", "list", "--needs-response"]);
    assert!(table.contains("in 23 h"), "{table}");
    let reply = format!("In-Reply-To: {asked}");
    let reply = ["--header", reply.as_str()];
    let automatic = [&reply[..], &["--header", "Auto-Submitted: auto-replied"]].concat();
    assert!(send(relay.port, SELLER, &buyer_alias, "away", &automatic).0);
    sink.next(BUYER);
    let statistics = |name: &str| place.cli(&["seller", "statistics", "S-1"])["windows"][0][name].clone();
    assert_eq!((statistics("waiting"), statistics("in_time")), (1.into(), 0.into()));
    assert!(send(relay.port, SELLER, &buyer_alias, "Re: Broken", &reply).0);
    sink.next(BUYER);
    assert_eq!((statistics("waiting"), statistics("in_time")), (0.into(), 1.into()));
    assert_eq!(place.cli(&["message", "list", "--needs-response"]), serde_json::json!([]));

    // Found before the index has it, and walked.
    let found = place.cli(&["message", "list", "--order", "250-1", "--text", "返品 broken"]);
    let [answer, _, question] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    let id = question["id"].as_str().unwrap();
    let walk = place.cli(&["message", "show", id]);
    assert_eq!((&walk["facts"]["author"], &walk["rules"][5]["decides"]), (&"party".into(), &true.into()), "{walk}");
    let walk = place.cli(&["message", "show", answer["id"].as_str().unwrap()]);
    let thread = walk["facts"]["thread"].as_str().unwrap();
    assert!(thread.starts_with("buyer/headers") && walk["facts"]["quota"].is_string(), "{walk}");

    // The daemon chains what it leaves behind; the next one goes on. Verified beside it.
    relay.stop();
    let relay = place.serve();
    let verified = place.cli(&["history", "verify"]);
    assert_eq!((&verified["messages"], &verified["waiting"]), (&4.into(), &0.into()), "{verified}");
    let head = verified["head"].as_str().unwrap();
    assert_eq!(place.cli(&["message", "list", "--text", "返品 broken"]).as_array().unwrap().len(), 3, "by the index");
    assert!(send(relay.port, BUYER, &seller_alias, "More", &[]).0);
    assert_eq!(place.cli(&["history", "verify", "--holds", head])["fault"], serde_json::Value::Null);
    let (status, out, _) = place.try_cli(&["history", "verify", "--holds", &"0f".repeat(32)]);
    assert!(status == 1 && out.contains("made anew"), "{out}");
    tamper(&place, "UPDATE message SET subject = 'Whole' WHERE subject = 'Broken'");
    let (status, out, _) = place.try_cli(&["history", "verify", "--json"]);
    let verified: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &verified["fault"]["message"], &verified["fault"]["what"]), (1, &id.into(), &"changed".into()));
    relay.stop();
}

#[test]
fn parties_that_move_are_suspended_and_go() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let place = Place::new(port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let queued = |what: &str| {
        assert!(
            send(relay.port, SELLER, &buyer_alias, what, &["--body", &format!("I am {SELLER}, you are {BUYER}")]).0
        );
        relay.logged("\"deferred\"");
    };
    // Mail that waits goes to where the buyer has moved to; the old address stays a secret, and may not write any more.
    queued("moves along");
    place.cli(&["buyer", "set", "B-7", "--email", "moved-b-real@home.example"]);
    let mut sink = Sink::on(TcpListener::bind(("127.0.0.1", port)).unwrap());
    place.cli(&["queue", "retry"]);
    let arrived = sink.next("moved-b-real@home.example");
    assert!(!arrived.message.contains("b-real-9c1") && !arrived.message.contains("s-real"), "{}", arrived.message);
    assert!(send(relay.port, BUYER, &seller_alias, "from before", &[]).1.contains("550 5.7.1"));
    assert!(send(relay.port, "moved-b-real@home.example", &seller_alias, "from now", &[]).0);
    sink.next(SELLER);

    // A suspended seller hears at once what a stranger hears; mail to him goes on.
    place.cli(&["seller", "suspend", "S-1"]);
    assert!(send(relay.port, SELLER, &buyer_alias, "no", &[]).1.contains("550 5.7.1"));
    assert!(send(relay.port, "moved-b-real@home.example", &seller_alias, "still", &[]).0);
    sink.next(SELLER);
    place.cli(&["seller", "resume", "S-1"]);
    assert!(send(relay.port, SELLER, &buyer_alias, "yes", &[]).0);
    sink.next("moved-b-real@home.example");

    // What waits for a party that goes is given up, and its author told; its aliases are nobody's for ever.
    sink.refuse.lock().unwrap().insert(SELLER.into(), "451 4.2.0 later".into());
    assert!(send(relay.port, "moved-b-real@home.example", &seller_alias, "too late", &[]).0);
    relay.logged("4.2.0");
    place.cli(&["seller", "remove", "S-1"]);
    place.cli(&["queue", "retry"]);
    let notice = sink.next("moved-b-real@home.example");
    assert!(notice.header("Auto-Submitted").is_some() && notice.message.contains(&seller_alias), "{}", notice.message);
    let listed = || {
        let mut rows = place.cli(&["message", "list"]);
        let seconds = |row: &mut serde_json::Value| row.as_object_mut().unwrap().remove("response_seconds_left");
        rows.as_array_mut().unwrap().iter_mut().for_each(|row| drop(seconds(row)));
        rows
    };
    let before = listed();
    let refused = |relay: &super::Relay| {
        for (from, to) in [("moved-b-real@home.example", &seller_alias), (SELLER, &buyer_alias)] {
            let (ok, text) = send(relay.port, from, to, "gone", &[]);
            assert!(!ok && text.contains("550 5.1.1"), "{text}");
        }
    };
    refused(&relay);
    relay.stop();
    let relay = place.serve();
    refused(&relay);
    // The same id is not given again, nor the pair another alias; the history stays, and can be found.
    assert_eq!(place.try_cli(&["seller", "set", "S-1", "--email", "new@sellerco.example"]).0, 1);
    assert_eq!(place.cli(&["alias", "show", &seller_alias])["seller"], "S-1");
    assert_eq!(listed(), before, "nothing of what was refused at RCPT, and nothing is lost");
    let failed = before.as_array().unwrap().iter().find(|m| m["subject"] == "too late").unwrap();
    assert_eq!(failed["needs_response"], false, "what never reached the seller waits for no answer");
    let of_both = place.cli(&["message", "list", "--alias", &seller_alias, "--seller", "S-1"]);
    assert_eq!(of_both.as_array().unwrap().len(), before.as_array().unwrap().len());
    let fates: Vec<&str> = before.as_array().unwrap().iter().map(|m| m["fate"].as_str().unwrap()).collect();
    assert_eq!(fates.iter().filter(|fate| **fate == "failed").count(), 1, "{fates:?}");
    assert_eq!(place.cli(&["history", "verify"])["fault"], serde_json::Value::Null);
    relay.stop();
}
