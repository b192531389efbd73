//! Footers on the wire: an answer without threading fields is known by what it quotes, and the addresses in the footer do what they say.

use super::common::{BUYER, Place, SELLER, Sink, Wire, swaks};
use super::no_leak;

/// The address behind a label in a footer.
fn address(copy: &Wire, label: &str) -> String {
    let text = copy.text();
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in\n{text}")).trim().to_owned()
}

/// The body as a mail program quotes it.
fn quoted(copy: &Wire) -> String {
    let text = copy.text();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    body.trim_end().trim_end_matches('.').lines().map(|line| format!("> {}\n", line.trim_end())).collect()
}

#[test]
fn marks_and_acting_addresses_by_swaks() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    place.cli(&["buyer", "opt-out", "B-7"]);
    let send = |from: &str, to: &str, subject: &str, body: &str| {
        let file = place.dir.path().join("body.txt");
        std::fs::write(&file, body).unwrap();
        let (subject, body) = (format!("Subject: {subject}"), format!("@{}", file.display()));
        swaks(relay.port, from, to, &["--header", &subject, "--body", &body])
    };
    let (ok, text) = send(BUYER, &seller_alias, "Question", "Is it blue?\n");
    assert!(ok, "{text}");
    let asked = sink.next(SELLER);
    let (done, seller_report) = (address(&asked, "No response needed: "), address(&asked, "Report this message: "));

    // The answer quotes and has no fields that thread it. What it quotes of the footer stays here.
    let (ok, text) = send(SELLER, &buyer_alias, "Re: Question", &format!("It is.\n\n{}", quoted(&asked)));
    assert!(ok, "{text}");
    let answer = sink.next(BUYER);
    no_leak(&answer.all().replace(BUYER, ""));
    let seen = answer.text();
    assert!(seen.contains("It is.") && seen.contains("> Is it blue?"), "{seen}");
    for word in [done.as_str(), "No response needed", "done+", &seller_report, asked_mark(&asked)] {
        assert!(!seen.contains(word), "{word} in\n{seen}");
    }
    assert_eq!((seen.matches("Ref: ").count(), seen.matches("\n-- \r").count()), (1, 1), "{seen}");
    assert!(answer.header("References").is_some_and(|ids| ids.contains('@')), "{seen}");
    let rows = place.cli(&["message", "list"]);
    assert_eq!((&rows[0]["reason"], &rows[0]["thread"]), (&"relayed-mark".into(), &rows[1]["id"]), "{rows}");

    // Another question waits; the seller says that it needs no response.
    let (ok, text) = send(BUYER, &seller_alias, "Thanks", "Thank you.\n");
    assert!(ok, "{text}");
    let thanks = sink.next(SELLER);
    assert_eq!(place.cli(&["message", "list", "--needs-response"]).as_array().unwrap().len(), 1);
    let (ok, text) = send(BUYER, &address(&thanks, "No response needed: "), "x", "not mine\n");
    assert!(!ok && text.contains("550 5.7.1"), "{text}");
    for _ in 0..2 {
        let (ok, text) = send(SELLER, &address(&thanks, "No response needed: "), "done", "x\n");
        assert!(ok, "{text}");
    }
    assert!(place.cli(&["message", "list", "--needs-response"]).as_array().unwrap().is_empty());
    assert!(sink.next(SELLER).text().contains("needing no response"));

    // The buyer reports the answer, and a program unsubscribes for the buyer.
    place.cli(&["buyer", "opt-in", "B-7"]);
    let report = address(&answer, "Report this message: ");
    let (ok, text) = send(BUYER, &report, "report", &format!("He was rude.\n\nHana wrote:\n{}", quoted(&answer)));
    assert!(ok, "{text}");
    assert!(sink.next(BUYER).text().contains("received your report"));
    let unsubscribe = answer.header("List-Unsubscribe").unwrap();
    let stop = unsubscribe.strip_prefix("<mailto:").unwrap().split('?').next().unwrap();
    let automatic = ["--header", "Subject: stop", "--add-header", "Auto-Submitted: auto-generated", "--body", "x"];
    let (ok, text) = swaks(relay.port, BUYER, stop, &automatic);
    assert!(ok, "{text}");
    assert_eq!(place.cli(&["buyer", "show", "B-7"])["opted_out"], true);

    let found = place.cli(&["message", "reports", "--seller", "S-1"]);
    let (report, seller) = (&found["reports"][0], &found["sellers"][0]);
    assert_eq!((&report["message"], &report["reporter"]), (&rows[0]["id"], &"buyer".into()), "{found}");
    assert_eq!(report["reason"], "He was rude.", "{found}");
    assert_eq!((&seller["reported"], &seller["reports"]), (&1.into(), &0.into()), "{found}");
    let (_, table, _) = place.try_cli(&["message", "reports"]);
    assert!(table.contains("He was rude.") && table.contains("reported by buyers"), "{table}");
    let walk = place.try_cli(&["message", "show", rows[0]["id"].as_str().unwrap()]).1;
    assert!(walk.contains("reported buyer"), "{walk}");

    // The words are the reader's.
    place.cli(&["buyer", "set", "B-7", "--email", BUYER, "--language", "ja"]);
    let (ok, text) = send(SELLER, &buyer_alias, "[Important] address", "Where to?\n");
    assert!(ok, "{text}");
    let japanese = sink.next(BUYER);
    let parsed = mail_parser::MessageParser::new().parse(japanese.text().as_bytes()).unwrap().into_owned();
    let body = parsed.body_text(0).unwrap();
    assert!(body.contains("このメッセージを報告する: report+") && body.contains("Where to?"), "{body}");
    assert!(sink.others().is_empty(), "{:?}", sink.others());
    relay.stop();
}

fn asked_mark(copy: &Wire) -> &str {
    copy.message.split_once("Ref: ").unwrap().1.split_once('\r').unwrap().0
}
