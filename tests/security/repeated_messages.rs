//! The same message counts once, however often it is sent: by whoever holds a copy, by a server
//! that never heard of our 250, by two sessions at a time.

use super::common::{BUYER, PATIENCE, Place, SELLER, Sink, run};
use super::zone::Zone;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// Sends a message with LF as it is, and returns the last reply.
pub fn send(port: u16, sender: &str, to: &str, message: &str) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut write = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut reply = || loop {
        let line = lines.next().unwrap().unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    };
    reply();
    let data = format!("{}\r\n.", message.trim_end().replace("\r\n", "\n").replace('\n', "\r\n"));
    let mut last = String::new();
    for command in ["EHLO x.test", &format!("MAIL FROM:<{sender}>"), &format!("RCPT TO:<{to}>"), "DATA", &data] {
        write.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        last = reply();
        if !last.starts_with(['2', '3']) {
            break;
        }
    }
    last
}

/// The id of a message that was taken.
pub fn accepted(reply: &str) -> String {
    reply.strip_prefix("250 2.6.0 Accepted as ").unwrap_or_else(|| panic!("{reply}")).to_owned()
}

pub fn mail(from: &str, id: &str, subject: &str, text: &str) -> String {
    format!("From: <{from}>\nTo: <somebody@market.test>\nSubject: {subject}\nMessage-ID: <{id}>\n\n{text}\n")
}

fn used(place: &Place) -> u64 {
    place.cli(&["quota", "show", "--seller", "S-1"])["used"].as_u64().unwrap()
}

fn shown(place: &Place, id: &str) -> Value {
    place.cli(&["message", "show", id])["message"].clone()
}

#[test]
fn one_copy_however_often_and_by_how_many() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let message = mail(SELLER, "same-1@mail.example", "same", "same");
    let (port, first) = (relay.port, accepted(&send(relay.port, SELLER, &buyer_alias, &message)));
    for n in 0..5 {
        let again =
            message.replace("From:", &format!("Received: by mx{n}.example; Fri, 27 Nov 2026 10:00:0{n} +0900\nFrom:"));
        assert_eq!(accepted(&send(port, SELLER, &buyer_alias, &again)), first);
    }
    assert_eq!((used(&place), shown(&place, &first)["repeats"].as_i64()), (1, Some(5)));
    let (_, text, _) = place.try_cli(&["message", "show", &first]);
    assert!(text.contains("came again 5 times"), "{text}");

    // Sessions at a time, as large messages take their time.
    let text = "A line of the catalogue.\n".repeat(20_000);
    let large = mail(SELLER, "same-2@mail.example", "large", &text);
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let sent: Vec<_> =
            (0..6).map(|_| scope.spawn(|| accepted(&send(port, SELLER, &buyer_alias, &large)))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert_eq!((ids.len(), used(&place)), (1, 2));
    // The clock of a question is started once.
    let ask = mail(BUYER, "q@home.example", "question", "Is it blue?");
    let asked = accepted(&send(port, BUYER, &seller_alias, &ask));
    assert_eq!(accepted(&send(port, BUYER, &seller_alias, &ask)), asked);
    assert_eq!(place.cli(&["message", "list", "--needs-response"]).as_array().unwrap().len(), 1);
    assert_eq!(place.cli(&["message", "list"]).as_array().unwrap().len(), 3);
    // A message apart from these shows that nothing came before it.
    accepted(&send(port, SELLER, &buyer_alias, &mail(SELLER, "last@mail.example", "last", "last")));
    let subjects: Vec<_> = (0..3).map(|_| sink.next(BUYER).header("Subject").unwrap()).collect();
    assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), 3, "{subjects:?}");
    sink.next(SELLER);
    assert!(sink.others().is_empty());
    // It says the same after a restart, and explains it.
    relay.stop();
    let relay = place.serve();
    assert_eq!(accepted(&send(relay.port, SELLER, &buyer_alias, &message)), first);
    let file = place.dir.path().join("again.eml");
    std::fs::write(&file, &message).unwrap();
    let told = place.cli(&["policy", "explain", "--from", SELLER, "--to", &buyer_alias, file.to_str().unwrap()]);
    assert_eq!((&told["verdict"], &told["reason"]), (&"block".into(), &"repeated".into()), "{told}");
    let verified = place.cli(&["history", "verify"]);
    assert!(verified["fault"].is_null() && verified["messages"] == 4, "{verified}");
    relay.stop();
}

/// What did not arrive may be sent again; other words under the same id are another message.
#[test]
fn an_undelivered_one_is_judged_anew() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    sink.refuse.lock().unwrap().insert(BUYER.to_owned(), "550 5.1.1 no such user".to_owned());
    let message = mail(SELLER, "again@mail.example", "again", "again");
    let failed = accepted(&send(relay.port, SELLER, &buyer_alias, &message));
    place.cli_until(&["message", "show", &failed], |shown| shown["message"]["fate"] == "failed");
    sink.next(SELLER);
    sink.refuse.lock().unwrap().clear();
    let second = accepted(&send(relay.port, SELLER, &buyer_alias, &message));
    assert_ne!(second, failed);
    sink.next(BUYER);
    assert_eq!(accepted(&send(relay.port, SELLER, &buyer_alias, &message)), second);

    // Blocked, and then wanted.
    place.cli(&["buyer", "opt-out", "B-7"]);
    let message = mail(SELLER, "blocked@mail.example", "blocked", "blocked");
    let blocked = accepted(&send(relay.port, SELLER, &buyer_alias, &message));
    place.cli(&["buyer", "opt-in", "B-7"]);
    let relayed = accepted(&send(relay.port, SELLER, &buyer_alias, &message));
    assert_ne!(relayed, blocked);
    assert_eq!(sink.next(BUYER).header("Subject").as_deref(), Some("blocked"));
    assert_ne!(
        accepted(&send(relay.port, SELLER, &buyer_alias, &message.replace("\nblocked\n", "\nother\n"))),
        relayed
    );
    relay.stop();
}

/// Needs `Authentication::signatures`, which AUTH fills. Signed by dkimpy: a copy with an unsigned
/// field or another Message-ID on top is the same message; two words of a person whose program
/// writes no Message-ID are two.
#[test]
fn a_signature_speaks_once() {
    let sign = include_str!("../e2e/sign.py");
    let mut sink = Sink::start();
    let zone = Zone::start();
    let extra = format!("[dns]\nservers = [\"{}\"]\ndnssec = false\n", zone.address);
    let place = Place::new(sink.port, &extra);
    let config = std::fs::read_to_string(&place.config).unwrap();
    std::fs::write(&place.config, config.replace("mode = \"none\"", "mode = \"verify\"")).unwrap();
    let keys = place.dir.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let keys = keys.to_str().unwrap();
    let made = run("/usr/bin/python3", &["-c", sign, keys, "records"], "");
    let made = String::from_utf8(made.stdout).unwrap();
    zone.text("r._domainkey.sellerco.example", made.lines().next().unwrap());
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let signed = |message: &str| {
        let item = json!([{ "message": BASE64.encode(message.replace('\n', "\r\n").as_bytes()), "keys": [["rsa", "r", "sellerco.example"]], "arc": null }]);
        let made = run("/usr/bin/python3", &["-c", sign, keys, "sign"], &item.to_string());
        let made: Vec<String> = serde_json::from_slice(&made.stdout).unwrap();
        String::from_utf8(BASE64.decode(made[0].as_bytes()).unwrap()).unwrap()
    };
    let replayed = |message: &str| accepted(&send(relay.port, "x@replay.example", &buyer_alias, message));
    let letter = |text: &str| {
        format!(
            "From: <{SELLER}>\nTo: <{buyer_alias}>\nSubject: offer\nDate: Fri, 27 Nov 2026 10:00:00 +0900\n\n{text}\n"
        )
    };
    let message = signed(&letter("Hello"));
    let first = replayed(&message);
    for on_top in ["", "X-Unsigned: yes\r\n", "Message-ID: <new@replay.example>\r\n", "Received: by x\r\n"] {
        assert_eq!(replayed(&format!("{on_top}{message}")), first, "{on_top}");
    }
    assert_eq!((used(&place), shown(&place, &first)["repeats"].as_i64()), (1, Some(4)));
    let (one, two) = (replayed(&signed(&letter("ok").replace("offer", "one"))), replayed(&signed(&letter("ok"))));
    assert_ne!(one, two);
    (0..3).for_each(|_| drop(sink.next(BUYER)));
    assert!(sink.others().is_empty());
    relay.stop();
}
