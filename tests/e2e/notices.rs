//! Every notice, in the languages of the two main marketplaces, as its reader sees it in two mail programs: mutt, and Python's `email`.

use super::common::{BUYER, Place, Relay, SELLER, Sink, Wire, run, swaks};
use super::no_leak;
use serde_json::Value;

/// A message as Python's `email` reads it.
struct Read {
    json: Value,
}

impl Read {
    fn new(wire: &Wire) -> Self {
        let raw = unstuffed(wire);
        let done = run("/usr/bin/python3", &["-c", include_str!("read_mail.py")], &raw);
        assert!(done.status.success(), "{}\n{raw}", String::from_utf8_lossy(&done.stderr));
        let json: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(json["defects"], serde_json::json!([]), "{raw}");
        assert!(json["longest"].as_u64().unwrap() <= 998 && json["ascii"] == true, "{raw}");
        Self { json }
    }

    /// The one field of this name.
    fn header(&self, name: &str) -> &str {
        let fields = self.json["headers"].as_array().unwrap();
        let mut found = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
        let value = found.next().map_or("", |field| field[1].as_str().unwrap());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    fn text(&self, kind: &str) -> &str {
        let parts = self.json["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {}", self.json));
        part["text"].as_str().unwrap()
    }

    fn languages(&self) -> Vec<&str> {
        let parts = self.json["parts"].as_array().unwrap();
        parts.iter().map(|part| part["language"].as_str().unwrap()).filter(|language| !language.is_empty()).collect()
    }

    fn structure(&self) -> Vec<&str> {
        self.json["structure"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect()
    }
}

fn unstuffed(wire: &Wire) -> String {
    let stuffed = format!("\r\n{}", wire.message);
    stuffed.replace("\r\n..", "\r\n.")[2..].to_owned()
}

/// The message as mutt shows it.
fn in_mutt(place: &Place, wire: &Wire) -> String {
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let mbox = format!("From relay Sat Nov 21 09:00:00 2026\n{}\n", unstuffed(wire).replace("\r\n", "\n"));
    std::fs::write(path("notices.mbox"), mbox).unwrap();
    let rc = format!(
        "set charset=utf-8\nset print=yes\nset print_command=\"cat > {}\"\nset print_decode=yes\nset wait_key=no\nset quit=yes\nset folder={}\n",
        path("shown"),
        place.dir.path().display()
    );
    std::fs::write(path("notices.rc"), rc).unwrap();
    let _ = std::fs::remove_file(path("shown"));
    let command = format!(
        "TERM=xterm LC_ALL=C.UTF-8 mutt -n -R -F {} -f {} -e 'push \"<print-message><exit>\"'",
        path("notices.rc"),
        path("notices.mbox")
    );
    let mutt = run("script", &["-qec", &command, "/dev/null"], "");
    std::fs::read_to_string(path("shown"))
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&mutt.stdout)))
}

/// White space and line ends as one space: programs fold in their own ways.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What holds for every notice: RFC 3834, both texts, nobody's address but the reader's, the same in both programs.
fn is_a_notice(place: &Place, wire: &Wire, reader: &str, language: &str, id: &str, says: &[&str]) -> Read {
    let read = Read::new(wire);
    assert!(wire.commands.iter().any(|command| command.starts_with("MAIL FROM:<>")), "{:?}", wire.commands);
    no_leak(&wire.all().replace(reader, "").replace(id, ""));
    assert_eq!(read.header("To"), reader);
    assert_eq!(read.header("From"), "Example Market <postmaster@market.test>");
    assert_eq!(read.header("Auto-Submitted"), "auto-replied");
    assert_eq!((read.header("In-Reply-To"), read.header("References")), (id, id));
    for required in ["Date", "Message-ID", "MIME-Version", "X-Auto-Response-Suppress"] {
        assert!(!read.header(required).is_empty(), "{required}: {}", wire.message);
    }
    // Nothing that asks for an answer, and no address to answer to but our own.
    for absent in ["Reply-To", "Return-Path", "Disposition-Notification-To", "Return-Receipt-To", "Cc", "Bcc"] {
        assert_eq!(read.header(absent), "", "{absent}");
    }
    assert_eq!(read.languages(), [language, language], "plain and HTML: {}", read.json);
    let shown = flat(&in_mutt(place, wire));
    let (plain, html) = (flat(read.text("text/plain")), flat(read.text("text/html")));
    assert!(shown.contains(&flat(read.header("Subject"))), "{shown}");
    for word in says {
        let word = flat(word);
        // Words may break where a line does.
        let seen = |text: &str| text.contains(&word) || text.replace(' ', "").contains(&word.replace(' ', ""));
        assert!(seen(&plain) && seen(&html) && seen(&shown), "{word} in\n{plain}\n{html}\n{shown}");
    }
    for text in [&plain, &html, &shown] {
        assert!(!text.contains(['{', '}']) && !text.contains('\u{fffd}'), "{text}");
    }
    read
}

struct Scene {
    place: Place,
    relay: Relay,
    sink: Sink,
    language: &'static str,
    buyer_alias: String,
    seller_alias: String,
    sent: usize,
}

impl Scene {
    fn new(language: &'static str, settings: &str) -> Self {
        let sink = Sink::start();
        let place = Place::new(sink.port, settings);
        let relay = place.serve();
        let (buyer_alias, seller_alias) = place.register();
        place.cli(&["seller", "set", "S-1", "--language", language]);
        place.cli(&["buyer", "set", "B-7", "--language", language]);
        Self { place, relay, sink, language, buyer_alias, seller_alias, sent: 0 }
    }

    /// Sends a message; its own Message-ID.
    fn send(&mut self, from: &str, subject: &str, more: &[&str]) -> String {
        self.sent += 1;
        let id = format!("<{}.{}@{}>", self.sent, self.language, from.split_once('@').unwrap().1);
        let (subject, message_id) = (format!("Subject: {subject}"), format!("Message-Id: {id}"));
        let to = if from == SELLER { &self.buyer_alias } else { &self.seller_alias };
        let headers = ["--header", &subject, "--header", &message_id, "--body", "hello"];
        let (ok, text) = swaks(self.relay.port, from, to, &[&headers[..], more].concat());
        assert!(ok, "{text}");
        id
    }

    fn notice(&mut self, to: &str, id: &str, says: &[&str]) -> Read {
        let wire = self.sink.next(to);
        is_a_notice(&self.place, &wire, to, self.language, id, says)
    }
}

const LANGUAGES: [&str; 2] = ["en", "ja"];

/// By language: what opt-out says about why, the quoted answer, the tags, what counts, and how to turn it off.
const OPT_OUT: [(&str, [&str; 5], &str, &str); 2] = [
    (
        "Auto: Spring sale é",
        ["has asked not to receive", "leave the buyer's text quoted", "[Important]", "delivery date", "turned off"],
        "Spring sale =?utf-8?Q?=C3=A9?=",
        "Your message",
    ),
    (
        "自動返信: 春のセール",
        ["受け取らない設定", "引用したまま", "[重要]", "お届け日の調整", "停止できます"],
        "=?utf-8?B?5pil44Gu44K744O844Or?=",
        "配信されませんでした",
    ),
];

#[test]
fn the_opt_out_reply() {
    for (language, (subject, says, written, begins)) in LANGUAGES.into_iter().zip(OPT_OUT) {
        let mut scene = Scene::new(language, "");
        scene.place.cli(&["buyer", "opt-out", "B-7"]);
        let id = scene.send(SELLER, written, &[]);
        let alias = scene.buyer_alias.clone();
        let read = scene.notice(SELLER, &id, &[&says[..], &[begins, &alias, "Example Market"]].concat());
        assert_eq!(read.header("Subject"), subject);
        assert_eq!(read.structure(), ["multipart/alternative", "text/plain", "text/html"]);
        // One for each thread and day: the second message of the thread is blocked in silence.
        let thread = ["--add-header", &format!("In-Reply-To: {id}")].map(str::to_owned);
        scene.send(SELLER, "again", &[&thread[0], &thread[1]]);
        // Nobody answers a machine's answer, or nobody.
        for machine in ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Precedence: auto_reply"] {
            scene.send(SELLER, "away", &["--add-header", machine]);
        }
        let null = ["--header", &format!("From: {SELLER}")].map(str::to_owned);
        let (ok, text) = swaks(scene.relay.port, "<>", &alias, &[&null[0], &null[1]]);
        assert!(ok, "{text}");
        // Sellers can do without.
        scene.place.cli(&["seller", "set", "S-1", "--auto-replies", "off"]);
        scene.send(SELLER, "quiet", &[]);
        scene.place.cli(&["seller", "set", "S-1", "--auto-replies", "on"]);
        let id = scene.send(SELLER, "last", &[]);
        assert_eq!(
            scene.notice(SELLER, &id, &[]).header("Subject"),
            subject.split_once(' ').unwrap().0.to_owned() + " last"
        );
        assert!(scene.sink.others().is_empty(), "the last is the second notice, and nothing reached the buyer");
        // The history has what nobody was told of.
        let blocked = scene.place.cli(&["message", "list", "--verdict", "block"]);
        let subjects: Vec<&str> = blocked.as_array().unwrap().iter().map(|m| m["subject"].as_str().unwrap()).collect();
        assert!(subjects.contains(&"quiet") && subjects.contains(&"again"), "{blocked}");
        scene.relay.stop();
    }
}

#[test]
fn the_opt_out_reply_where_no_tag_helps() {
    for (language, (says, tag)) in
        LANGUAGES.into_iter().zip([("leave the buyer's text quoted", "[Important]"), ("引用したまま", "[重要]")])
    {
        let mut scene = Scene::new(language, "[policy.opt_out]\ncritical_tags = []\n");
        scene.place.cli(&["buyer", "opt-out", "B-7"]);
        let id = scene.send(SELLER, "[important] x", &[]);
        let read = scene.notice(SELLER, &id, &[says]);
        assert!(!read.text("text/plain").contains(tag) && !read.text("text/html").contains(tag));
        scene.relay.stop();
    }
}

#[test]
fn failure_and_delay_told_to_either_side() {
    let words = [
        ("could not be delivered", "mailbox does not exist", "is delayed", "We keep trying until"),
        ("配信できませんでした", "存在しないか", "遅れています", "自動的に再送"),
    ];
    for (language, (failed, reason, delayed, until)) in LANGUAGES.into_iter().zip(words) {
        let mut scene = Scene::new(language, "[queue]\ndelay_notice = \"1 ms\"\n");
        for (from, to, alias) in
            [(SELLER, BUYER, scene.buyer_alias.clone()), (BUYER, SELLER, scene.seller_alias.clone())]
        {
            let refuse = |reply: String| scene.sink.refuse.lock().unwrap().insert(to.to_owned(), reply);
            refuse(format!("550 5.1.1 <{to}> unknown at mx.home.example"));
            let id = scene.send(from, "lost", &[]);
            let read = scene.notice(from, &id, &[reason, &alias]);
            assert!(read.header("Subject").contains(failed));
            let parts =
                ["multipart/report", "multipart/alternative", "text/plain", "text/html", "message/delivery-status"];
            assert_eq!(read.structure()[..5], parts, "RFC 3464");
            assert!(read.header("Content-Type").contains("delivery-status"), "{}", read.header("Content-Type"));
            let status = &read.json["status"];
            assert_eq!(
                (
                    &status[0]["Reporting-MTA"],
                    &status[1]["Final-Recipient"],
                    &status[1]["Action"],
                    &status[1]["Status"]
                ),
                (&"dns; market.test".into(), &format!("rfc822; {alias}").into(), &"failed".into(), &"5.1.1".into()),
                "{status}"
            );
            let refuse = |reply: String| scene.sink.refuse.lock().unwrap().insert(to.to_owned(), reply);
            refuse(format!("451 4.2.0 <{to}> later, says mx.home.example"));
            let id = scene.send(from, "slow", &[]);
            let read = scene.notice(from, &id, &[until, &alias]);
            assert!(read.header("Subject").contains(delayed));
            let status = &read.json["status"];
            assert!(status[1]["Action"] == "delayed" && status[1]["Will-Retry-Until"].is_string(), "{status}");
            scene.sink.refuse.lock().unwrap().remove(to);
        }
        scene.relay.stop();
    }
}

#[test]
fn partial_acceptance() {
    let words = [("did not reach everyone", "wants no messages"), ("届きませんでした", "受け取りません")];
    for (language, (subject, reason)) in LANGUAGES.into_iter().zip(words) {
        let mut scene = Scene::new(language, "[policy.opt_out]\nanswer = \"reject\"\n");
        scene.place.cli(&["buyer", "set", "B-8", "--email", "second@home.example"]);
        let alias = scene.place.cli(&["alias", "get", "--buyer", "B-8", "--seller", "S-1"]);
        let alias = alias["buyer_alias"].as_str().unwrap().to_owned();
        scene.place.cli(&["buyer", "opt-out", "B-8"]);
        // The one that swaks is given first, and this one.
        let both = format!("{},{alias}", scene.buyer_alias);
        let id = scene.send(SELLER, "two", &["--to", &both]);
        scene.sink.next(BUYER);
        let read = scene.notice(SELLER, &id, &[reason, &alias]);
        assert!(read.header("Subject").contains(subject));
        assert!(!read.text("text/plain").contains(&scene.buyer_alias), "that one was accepted");
        scene.relay.stop();
    }
}

/// What the addresses under a message do is confirmed in the words of the language, to whoever wrote to them.
#[test]
fn acts_by_mail() {
    let words = [("Thank you for your report", "We have received"), ("ご報告", "受け付けました")];
    for (language, (subject, says)) in LANGUAGES.into_iter().zip(words) {
        let mut scene = Scene::new(language, "");
        scene.send(SELLER, "an offer", &[]);
        let received = Read::new(&scene.sink.next(BUYER));
        let text = received.text("text/plain");
        let address = text.split_whitespace().find_map(|word| word.find("report+").map(|at| &word[at..])).unwrap();
        let address = address.split_once("@market.test").unwrap().0.to_owned() + "@market.test";
        let own = format!("<act.{language}@home.example>");
        let header = format!("Message-Id: {own}");
        let (ok, log) = swaks(scene.relay.port, BUYER, &address, &["--header", &header, "--body", "spam"]);
        assert!(ok, "{log}");
        let read = scene.notice(BUYER, &own, &[says]);
        assert!(read.header("Subject").contains(subject), "{}", read.header("Subject"));
        assert!(scene.sink.others().is_empty());
        scene.relay.stop();
    }
}
