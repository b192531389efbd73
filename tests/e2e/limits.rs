//! What is counted, and by which clock: quota under parallel sessions and kills, days of the marketplace's zone under a clock that jumps, and the one automatic
//! message a day that ends the talk of two vacation programs.

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

#[test]
fn two_vacation_programs_stop_after_one_round() {
    // envelope sender, fields: what vacation programs write, from the most to the least polite
    let programs = [
        ("", "Auto-Submitted: auto-replied (vacation)\nPrecedence: bulk\nSubject: Re: hello"),
        ("own", "X-Autoreply: yes\nSubject: Re: hello"),
        ("own", "X-Auto-Response-Suppress: All\nSubject: Re: hello"),
        ("own", "Subject: Automatic reply: hello"),
        ("own", "Subject: =?utf-8?B?6Ieq5YuV6L+U5L+hOiBoZWxsbw==?="),
    ];
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    for (number, (sender, fields)) in programs.iter().enumerate() {
        // A pair of its own for each.
        let buyer = format!("buyer{number}@home.example");
        place.cli(&["seller", "set", "S-1", "--name", "Sato Shop", "--email", SELLER]);
        place.cli(&["buyer", "set", &format!("B-{number}"), "--email", &buyer]);
        let aliases = place.cli(&["alias", "get", "--buyer", &format!("B-{number}"), "--seller", "S-1"]);
        let alias = |name: &str| aliases[name].as_str().unwrap().to_owned();
        let mut client = Client::new(relay.port).unwrap();
        let (mut to_seller, mut to_buyer) = (0, 0);
        let mut answers = |by: &str, to: &str, to_bounce: Option<&str>| {
            let sender = if *sender == "own" { by } else { "" };
            let reply = client.send(sender, to_bounce.unwrap_or(to), &letter(by, fields)).unwrap();
            assert!(accepted(&reply).is_some(), "{reply}");
        };
        for round in 0..100 {
            if round < 3 {
                // Somebody who waits impatiently, with the vacation program of a colleague on.
                let mut human = Client::new(relay.port).unwrap();
                let message = letter(&buyer, &format!("Subject: hello\nMessage-ID: <{round}@{buyer}>"));
                assert!(accepted(&human.send(&buyer, &alias("seller_alias"), &message).unwrap()).is_some());
                sink.next(SELLER);
                answers(SELLER, &alias("buyer_alias"), None);
            }
            if round == 0 {
                // What arrives is answered: to the alias by some, to the envelope sender by others (RFC 3834 4).
                let wire = sink.next(&buyer);
                assert_ne!(wire.header("Message-ID"), None);
                to_buyer += 1;
                let bounce = wire.commands.iter().find_map(|c| c.strip_prefix("MAIL FROM:<")).unwrap();
                let bounce = bounce.split('>').next().unwrap();
                answers(&buyer, &alias("seller_alias"), sender.is_empty().then_some(bounce));
                sink.next(SELLER);
                to_seller += 1;
                answers(SELLER, &alias("buyer_alias"), None);
            }
            // From here on each answers what never came.
            answers(SELLER, &alias("buyer_alias"), None);
            answers(&buyer, &alias("seller_alias"), None);
        }
        assert_eq!((to_seller, to_buyer), (1, 1));
        // What follows arrives in order: nothing came in between.
        for (from, to, at) in [(&buyer[..], "seller_alias", SELLER), (SELLER, "buyer_alias", &buyer)] {
            let message = letter(from, "Subject: a person again");
            assert!(accepted(&client.send(from, &alias(to), &message).unwrap()).is_some());
            assert_eq!(sink.next(at).header("Subject").unwrap(), "a person again", "{fields}");
        }
        assert!(sink.others().is_empty(), "{fields}");
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
