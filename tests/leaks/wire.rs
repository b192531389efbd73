//! The collections once more, through the real binary: over SMTP to one daemon, and what arrives at the server behind it.

use super::common::{Place, Relay, Sink, run};
use super::corpus::{Tally, kinds, samples};
use super::house::{BUYER, SELLER, form, keep, path, python};
use super::plant::{Canary, from_party, planted};
use marketrelay::config::Limits;
use marketrelay::message::{Inspection, inspect, same};
use marketrelay::policy::automatic::Automatic;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;

/// Sends one message; the last reply.
fn send(relay: &Relay, from: &str, to: &str, message: &[u8]) -> String {
    let stream = TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
    let mut write = stream.try_clone().unwrap();
    let mut read = BufReader::new(stream);
    let mut reply = || {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(read.read_line(&mut line).unwrap() > 0, "the relay hangs up");
        }
        line
    };
    reply();
    let mut stuffed = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    let commands = [
        format!("EHLO laptop.{from}\r\n"),
        format!("MAIL FROM:<{from}>\r\n"),
        format!("RCPT TO:<{to}>\r\n"),
        "DATA\r\n".to_owned(),
    ];
    for command in &commands {
        write.write_all(command.as_bytes()).unwrap();
        let answer = reply();
        assert!(answer.starts_with(['2', '3']), "{command}: {answer}");
    }
    write.write_all(&stuffed).unwrap();
    reply()
}

#[test]
fn the_collections_through_the_daemon() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "[policy.quota]\nbase = 100000\n");
    let records = place.sign();
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let folder = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    // By the relay's id: what was sent, and whence.
    let mut sent: HashMap<String, (String, Vec<u8>)> = HashMap::new();
    let mut waiting = [(BUYER, 0), (SELLER, 0)];
    for (n, sample) in samples().into_iter().enumerate() {
        let (me, you, to) = if n % 2 == 0 { (BUYER, SELLER, &seller_alias) } else { (SELLER, BUYER, &buyer_alias) };
        for input in [from_party(&sample.raw, me), planted(&sample.raw, Canary { me, you }, n)] {
            let is_answer = |found: Inspection| found.automatic.is_some_and(Automatic::is_answer);
            if inspect(&input, false, &Limits::default()).is_ok_and(is_answer) {
                // A few go through in an hour; the rewriter saw it without the daemon.
                tally.count("a machine's answer");
                continue;
            }
            let reply = send(&relay, me, to, &input);
            let Some((_, id)) = reply.trim_end().split_once("250 2.6.0 Accepted as ") else {
                assert!(!reply.contains("real"), "{reply}");
                tally.count(reply.trim_end());
                continue;
            };
            if let Some((first, before)) = sent.get(id) {
                // Some stand in several collections, and a planted one with nowhere to plant is the
                // first again.
                let parts = |raw: &[u8]| same::parts(raw, &Limits::default());
                assert_eq!(parts(before), parts(&input), "{first} and {}", sample.name);
                tally.count("the same message again");
                continue;
            }
            tally.count("relayed");
            sent.insert(id.to_owned(), (sample.name.clone(), input));
            waiting.iter_mut().filter(|(address, _)| *address == you).for_each(|(_, count)| *count += 1);
        }
    }
    // Collections hold one text many times, and here both sides send it in turn.
    let blocked = place.cli(&["message", "list", "--verdict", "block", "--limit", "100000"]);
    for row in blocked.as_array().unwrap() {
        assert_eq!(row["reason"], "same-words", "{row}");
        sent.remove(row["id"].as_str().unwrap()).unwrap();
        let you = if row["author"] == "buyer" { SELLER } else { BUYER };
        waiting.iter_mut().filter(|(address, _)| *address == you).for_each(|(_, count)| *count -= 1);
        tally.count("the same words in turn");
    }
    let arrivals = waiting.into_iter().flat_map(|(address, count)| std::iter::repeat_n(address, count));
    let mut names = Vec::new();
    let signed = tempfile::tempdir().unwrap();
    for (n, address) in arrivals.enumerate() {
        // What was refused is told to its author, by notices that came by no session.
        let wire = std::iter::repeat_with(|| sink.next(address)).find(|wire| wire.message.contains(" with ESMTP id "));
        let wire = wire.unwrap();
        let message = wire.message.strip_prefix('.').unwrap_or(&wire.message).replace("\r\n.", "\r\n");
        let header = message.split("\r\n\r\n").next().unwrap();
        let id = header.split_once(" with ESMTP id ").and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
        let (sample, input) = sent.remove(id).unwrap();
        let name = format!("{n:04}");
        tally.wrong.extend(form(message.as_bytes()).into_iter().map(|fault| format!("{sample}: {fault}")));
        for trace in ["127.0.0.1", "laptop", "192.0.2.9"] {
            if header.contains(trace) {
                tally.wrong.push(format!("{name} {sample}: {trace}"));
            }
        }
        keep(&format!("wire-{name}"), &input, message.as_bytes());
        std::fs::write(folder.path().join(format!("{name}.in")), &input).unwrap();
        std::fs::write(folder.path().join(format!("{name}.out")), &message).unwrap();
        std::fs::write(signed.path().join(format!("{name}.signed")), &message).unwrap();
        names.push(sample);
    }
    assert!(sent.is_empty());
    let answers = python(folder.path());
    for (pair, place) in answers.chunks(2).zip(&names) {
        let [before, after] = pair else { panic!("{pair:?}") };
        for key in ["found", "faults"] {
            let what = after[key].as_array().unwrap();
            if !what.is_empty() {
                tally.wrong.push(format!("{} {place}: {key} {what:?}", after["name"]));
            }
        }
        let (before, kept) = (kinds(place, before), kinds(place, after));
        // A text that was empty, and did not count, has the footer in it.
        let footed = (0..kept.len())
            .filter(|n| kept[*n] == "text/plain")
            .any(|n| [&kept[..n], &kept[n + 1..]].concat() == before);
        if before != kept && !footed {
            tally.wrong.push(format!("{} {place}: parts {before:?} became {kept:?}", after["name"]));
        }
    }
    tally.wrong.extend(unverified(signed.path(), place.dir.path(), &records));
    assert!(sink.others().is_empty(), "nothing else arrives");
    relay.stop();
    tally.end();
}

/// Signatures that do not verify: all by dkimpy, those of every eighth message by opendkim.
fn unverified(folder: &Path, place: &Path, records: &[(String, String)]) -> Vec<String> {
    let (zone, keys, config) = (place.join("zone"), place.join("keys"), place.join("opendkim.conf"));
    let lines =
        |between: &str| records.iter().map(|(name, record)| format!("{name}{between}{record}\n")).collect::<String>();
    std::fs::write(&zone, lines("\t")).unwrap();
    std::fs::write(&keys, lines(" ")).unwrap();
    std::fs::write(&config, format!("Mode v\nTestPublicKeys {}\nSyslog no\n", keys.display())).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let output = run("/usr/bin/python3", &[&text(&path("verify.py")), &text(folder), &text(&zone)], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut wrong: Vec<String> = said.lines().map(|line| format!("dkimpy: {line}")).collect();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 300);
    for file in files.iter().step_by(8) {
        let output = run("opendkim", &["-x", &text(&config), "-t", &text(file)], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let good = said.matches("verification (s=rsa, d=market.test, 2048-bit key) succeeded").count();
        if !output.status.success() || good != 1 {
            wrong.push(format!("opendkim: {}: {said}", file.display()));
        }
    }
    wrong
}
