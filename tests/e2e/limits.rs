//! What is counted, and by which clock: quota under parallel sessions and kills, days of the
//! marketplace's zone under a clock that jumps, and the turns that two answering programs take.

use super::common::{BUYER, PATIENCE, Place, Relay, SELLER, Sink, run};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A mail client that sends one message after the other.
struct Client {
    to: TcpStream,
    from: BufReader<TcpStream>,
}

impl Client {
    fn new(port: u16) -> Option<Self> {
        let to = TcpStream::connect(("127.0.0.1", port)).ok()?;
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { from: BufReader::new(to.try_clone().unwrap()), to };
        client.reply()?;
        client.say("EHLO client.test")?;
        Some(client)
    }

    fn reply(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line);
            }
        }
    }

    fn say(&mut self, text: &str) -> Option<String> {
        self.to.write_all(format!("{text}\r\n").as_bytes()).ok()?;
        self.reply()
    }

    /// The reply to the message; none if the connection is gone.
    fn send(&mut self, sender: &str, to: &str, message: &str) -> Option<String> {
        self.say(&format!("MAIL FROM:<{sender}>"))?;
        let reply = self.say(&format!("RCPT TO:<{to}>"))?;
        if !reply.starts_with("250") {
            return Some(reply);
        }
        self.say("DATA")?;
        self.say(&format!("{}\r\n.", message.replace('\n', "\r\n")))
    }
}

fn letter(from: &str, more: &str) -> String {
    format!("From: {from}\n{more}\n\nhello")
}

/// The message id in a reply.
fn accepted(reply: &str) -> Option<String> {
    reply.starts_with("250 2.6.0 ").then(|| reply.split_whitespace().last().unwrap().to_owned())
}

/// A program that answers all mail with one text.
#[derive(Clone, Copy)]
struct Responder {
    /// It sends from `<>`, and to the envelope sender (RFC 3834 3.3, 4).
    polite: bool,
    /// `{ID}`: what it answers.
    fields: &'static str,
    /// `{N}`: a number that goes up, `{HEARD}`: what it answers, as a quote.
    text: &'static str,
}

#[test]
fn two_responders_stop_within_three_rounds() {
    let marked = Responder {
        polite: true,
        fields: "Auto-Submitted: auto-replied (vacation)\nPrecedence: bulk\nIn-Reply-To: {ID}",
        text: "I am away.",
    };
    let vendor = Responder { polite: false, fields: "X-Autorespond: Away", text: "I am away." };
    let desk = Responder {
        polite: false,
        fields: "Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\nIn-Reply-To: {ID}",
        text: "Ticket {N}: thank you for your mail, we will see to it.",
    };
    let silent = Responder { polite: false, fields: "X-Nothing: x", text: "Number {N}: your message has reached us." };
    let quoting = Responder {
        polite: false,
        fields: "In-Reply-To: {ID}\nReferences: {ID}",
        text: "We are closed until Monday and answer then.\n{HEARD}",
    };
    // the buyer's, the seller's
    let pairs =
        [(marked, marked), (marked, vendor), (vendor, desk), (desk, quoting), (silent, silent), (quoting, quoting)];
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    place.cli(&["seller", "set", "S-1", "--name", "Sato Shop", "--email", SELLER]);
    for (number, (buyers, sellers)) in pairs.into_iter().enumerate() {
        // A pair of its own for each.
        let (buyer, id) = (format!("buyer{number}@home.example"), format!("B-{number}"));
        place.cli(&["buyer", "set", &id, "--email", &buyer]);
        let aliases = place.cli(&["alias", "get", "--buyer", &id, "--seller", "S-1"]);
        let alias = |name: &str| aliases[name].as_str().unwrap().to_owned();
        let (to_buyer, to_seller) = (alias("buyer_alias"), alias("seller_alias"));
        let mut client = Client::new(relay.port).unwrap();
        let person = letter(SELLER, "Subject: hello\nMessage-ID: <p@sellerco.example>");
        assert!(accepted(&client.send(SELLER, &to_buyer, &person).unwrap()).is_some());
        let (mut heard, mut rounds) = (sink.next(&buyer), 0);
        let stopped = loop {
            let (program, me, to, next) = match rounds % 2 {
                0 => (buyers, buyer.as_str(), &to_seller, SELLER),
                _ => (sellers, SELLER, &to_buyer, buyer.as_str()),
            };
            rounds += 1;
            assert!(rounds < 20, "pair {number} goes on");
            let text = heard.text();
            let quote = format!("> {}", text.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n> "));
            let fields = program.fields.replace("{ID}", &heard.header("Message-ID").unwrap());
            let words = program.text.replace("{N}", &(4711 + rounds).to_string()).replace("{HEARD}", &quote);
            let message = format!("From: {me}\nSubject: We got it\n{fields}\n\n{words}");
            let envelope = heard.commands.iter().find_map(|c| c.strip_prefix("MAIL FROM:<")).unwrap();
            let bounce = envelope.split('>').next().unwrap();
            let (sender, to) = if program.polite { ("", bounce) } else { (me, to.as_str()) };
            let reply = client.send(sender, to, &message).unwrap();
            let id = accepted(&reply).unwrap_or_else(|| panic!("{reply}"));
            let shown = place.cli(&["message", "show", &id]);
            if shown["message"]["verdict"] != "relay" {
                // Whose it was hears of it, from `<>`.
                let told = sink.next(me);
                assert!(told.commands.iter().any(|c| c.starts_with("MAIL FROM:<>")), "{:?}", told.commands);
                assert!(told.text().contains("What you write yourself is passed on"), "{}", told.message);
                break shown;
            }
            heard = sink.next(next);
        };
        assert!((5..=7).contains(&rounds), "pair {number}: {rounds}");
        let reason = stopped["message"]["reason"].as_str().unwrap();
        assert!(["automatic-repeated", "same-words"].contains(&reason), "pair {number}: {stopped}");
        let decides = stopped["rules"].as_array().unwrap().iter().find(|rule| rule["decides"] == true).unwrap();
        assert_eq!(decides["rule"], "automatic", "pair {number}: {stopped}");
        // People are heard all the same.
        for (from, to, at) in [(buyer.as_str(), &to_seller, SELLER), (SELLER, &to_buyer, buyer.as_str())] {
            let message = letter(from, "Subject: a person again");
            assert!(accepted(&client.send(from, to, &message).unwrap()).is_some());
            let arrived = sink.next(at).header("Subject").unwrap();
            assert_eq!(arrived, "a person again", "pair {number}");
        }
        assert!(sink.others().is_empty(), "pair {number}");
    }
    relay.stop();
}

#[test]
fn quota_holds_under_parallel_sessions_and_kill() {
    const LIMIT: usize = 120;
    let mut sink = Sink::start();
    let place =
        Place::new(sink.port, &format!("[policy.quota]\nbase = {LIMIT}\n[limits]\nconnections_per_client = 50\n"));
    let mut relay = place.serve();
    let (buyer_alias, _) = place.register();
    let heard = Arc::new(AtomicUsize::new(0));
    let mut ids = BTreeSet::new();
    // Twice killed while ten sessions send; the last time they go on until all hear that the day is full.
    for kill_at in [Some(30), Some(70), None] {
        let sessions = (0..10).map(|_| {
            let (alias, port, heard) = (buyer_alias.clone(), relay.port, Arc::clone(&heard));
            std::thread::spawn(move || {
                let (mut ids, mut refused) = (Vec::new(), None);
                let Some(mut client) = Client::new(port) else { return (ids, refused) };
                while let Some(reply) = client.send(SELLER, &alias, &letter(SELLER, "Subject: x")) {
                    match accepted(&reply) {
                        Some(id) => ids.push(id),
                        None => {
                            refused = Some(reply);
                            break;
                        }
                    }
                    heard.fetch_add(1, Ordering::SeqCst);
                }
                (ids, refused)
            })
        });
        let sessions: Vec<_> = sessions.collect();
        if let Some(count) = kill_at {
            while heard.load(Ordering::SeqCst) < count {
                std::thread::yield_now();
            }
            relay.signal("-KILL");
        }
        for session in sessions {
            let (heard, refused) = session.join().unwrap();
            ids.extend(heard);
            if kill_at.is_none() {
                let refused = refused.unwrap();
                let told = refused.starts_with("550 5.4.5 ") && refused.contains(&format!("{LIMIT} messages"));
                assert!(told && refused.contains("T00:00:00+00:00"), "{refused}");
            }
        }
        if kill_at.is_some() {
            drop(relay);
            relay = place.serve();
        }
    }
    let quota = place.cli(&["quota", "show", "--seller", "S-1"]);
    assert_eq!((quota["used"].as_u64(), quota["limit"].as_u64()), (Some(LIMIT as u64), Some(LIMIT as u64)), "{quota}");
    let listed = place.cli(&["message", "list", "--verdict", "relay", "--limit", "1000"]);
    let kept: BTreeSet<String> =
        listed.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kept.len(), LIMIT, "each that was counted is kept, and no other");
    assert!(ids.len() >= 70 && ids.is_subset(&kept), "what was heard of was kept");
    let mut arrived = BTreeSet::new();
    while arrived.len() < LIMIT {
        // A copy may come twice after a kill, under the same id.
        arrived.insert(sink.next(BUYER).header("Message-ID").unwrap());
    }
    relay.stop();
}

/// The daemon under a clock that stands still until it is set: libfaketime reads it from a file. Timers go on.
fn under_clock(place: &Place, clock: &Path) -> Relay {
    let preload = run("faketime", &["-f", "+0", "printenv", "LD_PRELOAD"], "");
    let preload = String::from_utf8_lossy(&preload.stdout).trim().to_owned();
    assert!(preload.contains("libfaketime"), "{preload}");
    let mut command = place.command(&["serve"]);
    command.env("LD_PRELOAD", preload).env("FAKETIME_TIMESTAMP_FILE", clock).env("FAKETIME_NO_CACHE", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
    Relay::start(command)
}

#[test]
fn days_of_the_zone_and_a_clock_that_jumps() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "[policy.quota]\nbase = 2\n");
    let config = std::fs::read_to_string(&place.config).unwrap();
    let zone = "language = \"en\"\ntime_zone = \"Europe/Berlin\"";
    std::fs::write(&place.config, config.replace("language = \"en\"", zone)).unwrap();
    let (buyer_alias, _) = place.register();
    let clock = place.dir.path().join("clock");
    let set = |time: &str| {
        // At once, for a reader never sees half of it.
        let next = place.dir.path().join("clock.next");
        std::fs::write(&next, time).unwrap();
        std::fs::rename(&next, &clock).unwrap();
    };
    // time in UTC, messages that pass, when the reply to the next says that the day ends
    let steps = [
        ("2026-10-24 21:59:59", 2, "2026-10-25T00:00:00+02:00"),
        ("2026-10-24 22:00:00", 2, "2026-10-26T00:00:00+01:00"),
        // The day of 25 hours.
        ("2026-10-25 22:59:59", 0, "2026-10-26T00:00:00+01:00"),
        ("2026-10-25 23:00:00", 1, ""),
        // Set back: that day is as full as it was.
        ("2026-10-25 12:00:00", 0, "2026-10-26T00:00:00+01:00"),
        ("2026-10-26 12:00:00", 1, "2026-10-27T00:00:00+01:00"),
        // The day of 23 hours.
        ("2027-03-27 23:00:00", 2, "2027-03-29T00:00:00+02:00"),
        ("2027-03-28 21:59:59", 0, "2027-03-29T00:00:00+02:00"),
        ("2027-03-28 22:00:00", 2, "2027-03-30T00:00:00+02:00"),
        // Far ahead, and back again.
        ("2037-01-01 12:00:00", 2, "2037-01-02T00:00:00+01:00"),
        ("2027-03-29 12:00:00", 0, "2027-03-30T00:00:00+02:00"),
        ("2027-03-30 12:00:00", 2, "2027-03-31T00:00:00+02:00"),
    ];
    set(steps[0].0);
    let relay = under_clock(&place, &clock);
    let mut ids = BTreeSet::new();
    for (time, passes, opens) in steps {
        set(time);
        let mut client = Client::new(relay.port).unwrap();
        let mut send = || client.send(SELLER, &buyer_alias, &letter(SELLER, &format!("Subject: {time}"))).unwrap();
        for _ in 0..passes {
            let reply = send();
            assert!(ids.insert(accepted(&reply).unwrap_or_else(|| panic!("{time}: {reply}"))), "{time}: an id twice");
            assert_eq!(sink.next(BUYER).header("Subject").unwrap(), time);
        }
        if !opens.is_empty() {
            let reply = send();
            assert!(reply.starts_with("550 5.4.5 ") && reply.contains(opens), "{time}: {reply}");
        }
    }
    relay.stop();
}
