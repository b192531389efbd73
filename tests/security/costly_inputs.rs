//! No input costs more than its size deserves, and no message more than one may.
//!
//! Counted in steps (the metric `marketrelay_message_work`), never timed: what holds here holds on
//! every machine. Each scanner by itself: `tests/leaks/steps.rs`.

use super::common::{BUYER, PATIENCE, Place, Relay, SELLER, Sink, get};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

const SETTINGS: &str = "[limits]\nmessage_work = 100\n[metrics]\naddress = \"127.0.0.1:0\"\n";

/// Sends one message; the reply to it.
fn send(port: u16, to: &[&str], message: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE * 5)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut reply =
        || lines.find_map(|line| Some(line.unwrap()).filter(|line| line.as_bytes().get(3) != Some(&b'-'))).unwrap();
    reply();
    let recipients = to.iter().map(|to| format!("RCPT TO:<{to}>"));
    let commands = ["EHLO client.test".to_owned(), format!("MAIL FROM:<{SELLER}>")].into_iter().chain(recipients);
    for command in commands.chain(["DATA".to_owned()]) {
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let reply = reply();
        assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
    }
    stream.write_all(format!("{message}\r\n.\r\n").as_bytes()).unwrap();
    reply()
}

fn letter(kind: &str, body: &str) -> String {
    format!("From: {SELLER}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n{body}")
}

/// Lines of a piece repeated, about so many octets in all.
fn lines(piece: &str, size: usize) -> String {
    let line = piece.repeat((60 / piece.len()).max(1)) + "\r\n";
    line.repeat(size / line.len())
}

/// Million steps of all messages so far.
fn work(relay: &Relay) -> f64 {
    // Told right behind the listeners.
    relay.logged("\"metrics\":\"127.0.0.1:");
    let port =
        relay.log().split("\"metrics\":\"127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let text = get(port, "/metrics");
    let sum = text.lines().find_map(|line| line.strip_prefix("marketrelay_message_work_sum ")).unwrap();
    sum.parse().unwrap()
}

/// Aliases of the seller's buyers: the usual one, and more.
fn buyers(place: &Place, more: usize) -> Vec<String> {
    let mut aliases = vec![place.register().0];
    for n in 0..more {
        let (id, mail) = (format!("B-{n}x"), format!("b-real-{n}@home.example"));
        place.cli(&["buyer", "set", &id, "--name", "Bo", "--email", &mail]);
        place.cli(&["order", "set", &format!("251-{n}"), "--buyer", &id, "--seller", "S-1"]);
        let alias = place.cli(&["alias", "get", "--buyer", &id, "--seller", "S-1"]);
        aliases.push(alias["buyer_alias"].as_str().unwrap().to_owned());
    }
    aliases
}

#[test]
fn work_grows_with_size_alone() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, SETTINGS);
    let relay = place.serve();
    let alias = place.register().0;
    // content type, piece: full-width digits, an escape of ISO-2022-JP around one, and what has an
    // anchor in every octet or two
    let shapes = [
        ("text/plain; charset=utf-8", "\u{ff11}"),
        ("text/plain; charset=utf-8", "\u{ff11} "),
        ("text/plain; charset=iso-2022-jp", "\u{1b}$B#1\u{1b}(B"),
        ("text/plain; charset=utf-8", "begin 644 "),
        ("text/html; charset=utf-8", "\u{ff11}<b>"),
        ("text/plain; charset=utf-8", "+@"),
    ];
    for (kind, piece) in shapes {
        let cost = |size: usize| {
            let before = work(&relay);
            let reply = send(relay.port, &[&alias], &letter(kind, &lines(piece, size)));
            assert!(reply.starts_with("250 "), "{kind} {piece:?}: {reply}");
            work(&relay) - before
        };
        let costs = [32 << 10, 64 << 10, 128 << 10].map(cost);
        for pair in costs.windows(2) {
            assert!(pair[0] > 0.0 && pair[1] < pair[0] * 2.3, "{kind} {piece:?}: {costs:?}");
        }
        for _ in costs {
            sink.next(BUYER);
        }
    }
    relay.stop();
}

#[test]
fn a_message_that_costs_too_much_is_refused_while_others_pass() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, SETTINGS);
    let relay = place.serve();
    let alias = place.register().0;
    // A seal for each line. More of them at once than the machine has cores.
    let costly = letter("text/calendar", &format!("BEGIN:VCALENDAR\r\n{}", "UID:x\r\n".repeat(100_000)));
    std::thread::scope(|scope| {
        let costly: Vec<_> = (0..6).map(|_| scope.spawn(|| send(relay.port, &[&alias], &costly))).collect();
        for _ in 0..3 {
            let reply = send(relay.port, &[&alias], &letter("text/plain", "hello"));
            assert!(reply.starts_with("250 "), "{reply}");
            assert!(sink.next(BUYER).text().contains("hello"));
        }
        for costly in costly {
            let reply = costly.join().unwrap();
            assert!(reply.starts_with("554 5.3.4 ") && reply.contains("fewer or smaller"), "{reply}");
        }
    });
    // Each was given up when it had cost what it may, and a little: not what it would have.
    let each = work(&relay) / 6.0;
    assert!((100.0..140.0).contains(&each), "{each}");
    // Their author hears of it once.
    assert!(sink.next(SELLER).message.contains("Auto-Submitted: auto-replied"));
    assert!(sink.others().is_empty());
    relay.stop();
}

#[test]
fn the_allowance_is_for_all_recipients_together() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, SETTINGS);
    let relay = place.serve();
    let aliases = buyers(&place, 5);
    let all: Vec<&str> = aliases.iter().map(String::as_str).collect();
    let heavy = letter("text/calendar", &format!("BEGIN:VCALENDAR\r\n{}", "UID:x\r\n".repeat(13_000)));
    let reply = send(relay.port, &all[..1], &heavy);
    assert!(reply.starts_with("250 "), "{reply}");
    sink.next(BUYER);
    let reply = send(relay.port, &all, &heavy);
    assert!(reply.starts_with("554 5.3.4 "), "{reply}");
    // Their author hears of it once.
    assert!(sink.next(SELLER).message.contains("Auto-Submitted: auto-replied"));
    assert!(sink.others().is_empty());
    let before = work(&relay);
    let reply = send(relay.port, &all, &letter("text/plain", &lines("hello ", 64 << 10)));
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(work(&relay) - before < 10.0);
    sink.next(BUYER);
    (0..5).for_each(|n| drop(sink.next(&format!("b-real-{n}@home.example"))));
    relay.stop();
}
