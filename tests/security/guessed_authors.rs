//! Nobody learns by guessing who an alias stands for: a forged `From` is answered alike, right or
//! wrong, over the wire of the real binary. What it costs inside is counted in
//! `relay::tests::guesses`; the times are `tests/bench/oracle`'s.

use crate::common::{BUYER, Place, Relay, SELLER, Sink, get};
use crate::zone::{Answer, Zone};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// A session that goes on for as long as the relay lets it.
struct Session(BufReader<TcpStream>);

impl Session {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        let mut session = Self(BufReader::new(stream));
        session.reply();
        session.ask("EHLO client.example\r\n");
        session
    }

    /// The last line of the next reply; nothing where the connection has ended.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).unwrap_or(0);
            if read == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        let _ = self.0.get_mut().write_all(line.as_bytes());
        self.reply()
    }

    /// The reply to the message.
    fn send(&mut self, sender: &str, to: &str, message: &str) -> String {
        self.ask(&format!("MAIL FROM:<{sender}>\r\n"));
        let accepted = self.ask(&format!("RCPT TO:<{to}>\r\n"));
        assert!(accepted.starts_with("250"), "{to}: {accepted}");
        self.ask("DATA\r\n");
        self.ask(&format!("{}.\r\n", message.replace('\n', "\r\n")))
    }
}

/// A daemon that verifies, whose metrics can be read, and the aliases of buyer and seller. Both
/// parties' domains let 127.0.0.1 send.
fn verifying(sink: u16, zone: &Zone, limits: &str) -> (Place, Relay, String, String) {
    let place = Place::new(sink, &format!("[limits]\nerrors_soft = 1000\nerrors_hard = 1000\n{limits}"));
    let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", "mode = \"verify\"");
    let more = format!("[dns]\nservers = [\"{}\"]\n[metrics]\naddress = \"127.0.0.1:0\"\n", zone.address);
    std::fs::write(&place.config, text + &more).unwrap();
    for party in [SELLER, BUYER] {
        zone.text(party.split_once('@').unwrap().1, "v=spf1 ip4:127.0.0.1 -all");
    }
    zone.trouble("trouble.example", Answer::ServFail);
    let (buyer_alias, seller_alias) = place.register();
    place.cli(&["seller", "set", "S-1", "--sender", "s-1@none.example", "--sender", "s-1@trouble.example"]);
    let relay = place.serve();
    (place, relay, buyer_alias, seller_alias)
}

fn commits(relay: &Relay) -> u64 {
    relay.logged("\"metrics\":");
    let log = relay.log();
    let port =
        log.lines().find_map(|line| line.split_once("\"metrics\":\"127.0.0.1:")?.1.split('"').next()?.parse().ok());
    let text = get(port.unwrap(), "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix("marketrelay_commit_jobs_count ")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn the_right_guess_is_answered_like_a_wrong_one() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    let (place, relay, buyer_alias, seller_alias) = verifying(sink.port, &zone, "");
    // What each party receives holds addresses that act, and comes from one.
    let mut tokens = Vec::new();
    let mut session = Session::open(relay.port);
    for (from, to, receiver) in [(SELLER, &buyer_alias, BUYER), (BUYER, &seller_alias, SELLER)] {
        let reply = session.send(from, to, &format!("From: {from}\nTo: {to}\nSubject: x\n\nHello\n"));
        assert!(reply.starts_with("250 2.6.0"), "{reply}");
        let wire = sink.next(receiver);
        let text = format!("{}\n{}", wire.commands.join("\n"), wire.message.replace("=\r\n", ""));
        for word in ["report+", "stop+", "done+", "bounce+"] {
            let found =
                text.match_indices(word).map(|(at, _)| text[at..].split(['>', '\r', '?', ' ', '\n']).next().unwrap());
            tokens.extend(found.take(1).map(|token| (token.to_owned(), receiver)));
        }
    }
    assert!(tokens.len() >= 6, "{tokens:?}");
    let targets = tokens.into_iter().chain([(buyer_alias.clone(), SELLER), (seller_alias.clone(), BUYER)]);
    let fields = ["", "Auto-Submitted: auto-replied\n", "Content-Type: multipart/report; boundary=b\n"];
    let mut compared = 0;
    for (to, hidden) in targets {
        let more: &[&str] = if hidden == SELLER { &["s-1@none.example", "s-1@trouble.example"] } else { &[] };
        for right in [&[hidden][..], more].concat() {
            // Of the same domain and length.
            let wrong = format!("z{}", &right[1..]);
            let domain = right.split_once('@').unwrap().1;
            for sender in ["x@attack.example".to_owned(), String::new(), format!("mallory@{domain}")] {
                for field in fields {
                    let guess = |author: &str| {
                        let mut session = Session::open(relay.port);
                        zone.asked();
                        let before = commits(&relay);
                        let mail = format!("From: {author}\n{field}Subject: x\n\nx\n");
                        let reply = session.send(&sender, &to, &mail);
                        let still = session.ask("NOOP\r\n");
                        (reply, still, zone.asked().len(), commits(&relay) - before)
                    };
                    guess(&wrong);
                    let (first, second) = (guess(&wrong), guess(right));
                    assert_eq!((&first.0, &first.1), (&second.0, &second.1), "{to} {sender} {field}");
                    // The daemon's own work may fall into one of them.
                    let equal =
                        |one: &(String, String, usize, u64), two: &(_, _, usize, u64)| (one.2, one.3) == (two.2, two.3);
                    let equal = equal(&first, &second) || (0..3).any(|_| equal(&guess(&wrong), &guess(right)));
                    assert!(equal, "{to} {sender} {field}: {first:?} {second:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 80, "{compared}");
    assert!(sink.others().is_empty(), "nobody is told anything");
    // The operator sees the difference, and what helps.
    let history = place.cli(&["message", "list", "--limit", "1000"]);
    let history = history.as_array().unwrap();
    let reasons: BTreeSet<&str> = history.iter().filter_map(|row| row["reason"].as_str()).collect();
    for reason in ["stranger", "spf-failed", "unauthenticated", "dns-trouble", "other-mailbox"] {
        assert!(reasons.contains(reason), "{reason}: {reasons:?}");
        let row = history.iter().find(|row| row["reason"] == reason).unwrap();
        let (status, text, _) = place.try_cli(&["message", "show", row["id"].as_str().unwrap()]);
        assert!(status == 0 && text.contains("\nremedy\n"), "{reason}: {text}");
    }
    relay.stop();
}

/// Guessing costs a connection a guess, leaves no row and no line for each, and holds nobody up who
/// is proved.
#[test]
fn guesses_are_limited_and_summed() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    let limits = "refusals_per_client = 6\nrefusals_per_alias = 1000\nrefusal_rows = 2\n";
    let (place, relay, buyer_alias, _) = verifying(sink.port, &zone, limits);
    let mut session = Session::open(relay.port);
    let (mut replies, mut ended) = (BTreeSet::new(), Vec::new());
    for n in 0..12 {
        let author = if n == 9 { SELLER.to_owned() } else { format!("s-{n}@sellerco.example") };
        replies.insert(session.send("x@attack.example", &buyer_alias, &format!("From: {author}\nSubject: x\n\nx\n")));
        if session.ask("NOOP\r\n").is_empty() {
            ended.push(n);
            session = Session::open(relay.port);
        }
    }
    assert_eq!((replies.len(), ended), (1, vec![6, 7, 8, 9, 10, 11]), "{replies:?}");
    // From the same address, proved.
    for _ in 0..2 {
        let reply =
            session.send(SELLER, &buyer_alias, &format!("From: {SELLER}\nTo: {buyer_alias}\nSubject: x\n\nx\n"));
        assert!(reply.starts_with("250 2.6.0"), "{reply}");
        sink.next(BUYER);
        assert!(session.ask("NOOP\r\n").starts_with("250"));
    }
    let rows = place.cli(&["message", "list", "--verdict", "reject"]);
    assert_eq!(rows.as_array().unwrap().len(), 2);
    relay.signal("-TERM");
    relay.logged("stopped");
    let log = relay.log();
    assert_eq!(log.matches("\"decided\"").count(), 2 + 2, "{log}");
    assert_eq!(log.matches("summed").count(), 1, "{log}");
    assert!(!log.contains("attack.example"), "{log}");
    let sums = place.cli(&["message", "refusals", "--seller", "S-1"]);
    let number = |reason: &str| {
        let rows = sums.as_array().unwrap().iter().filter(|sum| sum["reason"] == reason);
        rows.map(|sum| sum["number"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!((number("stranger"), number("spf-failed")), (9, 1), "{sums}");
    relay.stop();
}
