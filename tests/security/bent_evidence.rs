//! Nobody bends what the history says: forged reports, leaked footer addresses.

use super::common::{BUYER, Place, SELLER, Sink, run};
use super::full_disks::Stranger;
use super::zone::Zone;

/// Signs by dkimpy.
const SIGN: &str = include_str!("../e2e/sign.py");

/// A report of a failure, from a mail system, about the message with this Message-ID.
fn report(from: &str, about: &str) -> String {
    format!(
        "From: <{from}>\nSubject: failed\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nx\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.c\nAction: failed\n\
         Status: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {about}\n\n--b--"
    )
}

#[test]
fn a_report_does_not_undo_a_delivery() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let (buyer_alias, _) = place.register();
    let relay = place.serve();
    // who reports, from where; what the history says, and what its author reads
    let table = [
        ("a stranger", 66, "x@evil.example", "MAILER-DAEMON@x.example", "not proved", "may not have arrived"),
        ("a stranger as a system", 66, "", "MAILER-DAEMON@home.example", "not proved", "may not have arrived"),
        ("the receiver", 1, "", BUYER, "not proved", "may not have arrived"),
        ("the server that took it", 1, "", "MAILER-DAEMON@x.example", "proved by its server", "could not be delivered"),
    ];
    for (name, last, sender, from, proof, words) in table {
        let mail = format!(
            "From: {SELLER}\nTo: {buyer_alias}\nSubject: s\nMessage-ID: <{}@x.example>\n\nx",
            name.replace(' ', "-")
        );
        let said = Stranger::new(relay.port, 1).send(SELLER, &buyer_alias, &mail);
        assert!(said.starts_with("250"), "{said}");
        let id = said.rsplit(' ').next().unwrap().to_owned();
        let came = sink.next(BUYER);
        place.cli_until(&["message", "show", &id], |shown| shown["message"]["fate"] == "delivered");
        let bounce = came.commands[0].trim_start_matches("MAIL FROM:<").split('>').next().unwrap().to_owned();
        for _ in 0..5 {
            let report = report(from, &came.header("Message-ID").unwrap());
            let said = Stranger::new(relay.port, last).send(sender, &bounce, &report);
            assert!(said.starts_with("250"), "{name}: {said}");
        }
        let shown = place.cli(&["message", "show", &id]);
        assert_eq!(shown["message"]["fate"], "delivered", "{name}");
        let events = shown["events"].as_array().unwrap();
        let later: Vec<_> = events.iter().filter(|event| event["what"] == "bounced-later").collect();
        assert_eq!(later.len(), 1, "{name}: {events:?}");
        assert_eq!(later[0]["detail"], format!("{proof}, 5.1.1"), "{name}");
        let taken = events.iter().find(|event| event["what"] == "delivered").unwrap();
        assert!(!taken["detail"].as_str().unwrap().contains("127.0.0"), "its server is no address: {taken}");
        let told = sink.next(SELLER);
        assert!(told.header("Subject").unwrap().contains(words), "{name}: {}", told.message);
        assert_eq!(sink.others(), Vec::<String>::new(), "{name}: told once");
    }
    assert_eq!(place.try_cli(&["history", "verify"]).0, 0);
    relay.stop();
}

#[test]
fn a_leaked_footer_address_is_of_no_use() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    let settings = format!("[dns]\nservers = [\"{}\"]\ndnssec = false\n", zone.address);
    let place = Place::new(sink.port, &settings);
    let text = std::fs::read_to_string(&place.config).unwrap();
    std::fs::write(&place.config, text.replace("mode = \"none\"", "mode = \"verify\"")).unwrap();
    let keys = place.dir.path().to_str().unwrap();
    let made = run("/usr/bin/python3", &["-c", SIGN, keys, "records"], "");
    let key = String::from_utf8(made.stdout).unwrap().lines().next().unwrap().to_owned();
    for (domain, network) in [("home.example", 2), ("sellerco.example", 1)] {
        zone.text(domain, &format!("v=spf1 ip4:127.0.0.{network} -all"));
    }
    zone.text("r._domainkey.home.example", &key);
    zone.text("evil.example", "v=spf1 +all");
    let (buyer_alias, _) = place.register();
    let relay = place.serve();
    let mail = format!("From: {SELLER}\nTo: {buyer_alias}\nSubject: s\n\nx");
    let said = Stranger::new(relay.port, 1).send(SELLER, &buyer_alias, &mail);
    assert!(said.starts_with("250"), "{said}");
    let came = sink.next(BUYER).text();
    let address = |word: &str| {
        let start = came.find(&format!("{word}+")).unwrap();
        came[start..].split(|c: char| c.is_whitespace() || c == '?' || c == '>').next().unwrap().to_owned()
    };
    let (stop, report) = (address("stop"), address("report"));
    let opted_out = || place.cli(&["buyer", "show", "B-7"])["opted_out"] == true;
    let letter =
        |to: &str| format!("From: {BUYER}\nTo: {to}\nSubject: holiday\nDate: Sat, 28 Nov 2026 09:00:00 +0000\n\nx");
    let signed = |message: &str| {
        let message = data_encoding::BASE64.encode(format!("{}\r\n", message.replace('\n', "\r\n")).as_bytes());
        let order = serde_json::json!([{ "message": message, "keys": [["rsa", "r", "home.example"]], "arc": null }]);
        let made = run("/usr/bin/python3", &["-c", SIGN, keys, "sign"], &order.to_string());
        let signed: Vec<String> = serde_json::from_slice(&made.stdout).unwrap();
        let bytes = data_encoding::BASE64.decode(signed[0].as_bytes()).unwrap();
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n").trim_end().to_owned()
    };
    let stranger =
        Stranger::new(relay.port, 66).send("x@evil.example", &stop, &letter(&stop).replace(BUYER, "x@evil.example"));
    assert!(stranger.starts_with("550 5.7.1"), "{stranger}");
    // who sends it, from where, what, and whether it acts
    let table = [
        ("the buyer's signed mail to a friend", "x@evil.example", 66, signed(&letter("friend@evil.example")), false),
        ("the buyer's signed mail to another token", "x@evil.example", 66, signed(&letter(&report)), false),
        ("the buyer's own mail to a friend", BUYER, 2, letter("friend@evil.example"), false),
        ("the buyer, by the link, through a mailing list's server", "x@evil.example", 66, signed(&letter(&stop)), true),
        ("the buyer, by the link", BUYER, 2, letter(&stop), true),
    ];
    for (name, sender, last, message, acts) in table {
        let said = Stranger::new(relay.port, last).send(sender, &stop, &message);
        let told = if acts { said.starts_with("250") } else { said == stranger };
        assert!(told, "{name}: {said}");
        assert_eq!(opted_out(), acts, "{name}");
        if acts {
            place.cli(&["buyer", "opt-in", "B-7"]);
        }
    }
    relay.stop();
}
