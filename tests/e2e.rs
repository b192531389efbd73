//! The real binary, driven by the programs of real users: swaks, msmtp, mutt, Postfix in front and behind, systemd's tools.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

#[path = "e2e/attachments.rs"]
mod attachments;
#[path = "e2e/front.rs"]
mod front;
#[path = "e2e/history.rs"]
mod history;
#[path = "e2e/journal.rs"]
mod journal;
#[path = "e2e/limits.rs"]
mod limits;
#[path = "e2e/marks.rs"]
mod marks;
#[path = "e2e/notices.rs"]
mod notices;
#[path = "e2e/pictures.rs"]
mod pictures;
#[path = "e2e/postfix.rs"]
mod postfix;
#[path = "e2e/submission.rs"]
mod submission;
#[path = "e2e/verify.rs"]
mod verify;
#[path = "e2e/zone.rs"]
mod zone;

use common::{BUYER, PATIENCE, Place, Relay, SELLER, Sink, certificate, get, run, swaks};
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

/// What must never be seen by the other side.
const LEAKS: [&str; 8] = ["s-real", "b-real", "sellerco", "home.example", "Real Name", "192.0.2.9", "swaks", "laptop"];

fn no_leak(text: &str) {
    for leak in LEAKS {
        assert!(!text.contains(leak), "{leak} in\n{text}");
    }
}

#[test]
fn a_conversation_by_swaks() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let body = format!("Hello, I am {SELLER}, and you are {}.\n.\n..dots\n", BUYER.to_uppercase());
    let received = "Received: from laptop ([192.0.2.9]) by out.sellerco.example";
    let from = format!("From: Real Name <{SELLER}>");
    let more = [
        "--header",
        &from,
        "--add-header",
        received,
        "--header",
        "Subject: Order =?utf-8?Q?s-real-7f3=40sellerco.example?=",
        "--body",
        &body,
    ];
    let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &more);
    assert!(ok && text.contains("250 2.6.0 Accepted as "), "{text}");

    let at_buyer = sink.next(BUYER);
    let wire = at_buyer.all().replace(BUYER, "");
    no_leak(&wire);
    assert!(
        wire.contains(&seller_alias)
            && wire.contains("From: \"Sato Shop\"")
            && wire.contains("Seller: Sato Shop")
            && wire.contains("\r\n..dots\r\n") | wire.contains("..dots"),
        "{wire}"
    );
    assert!(at_buyer.commands.iter().any(|c| c.starts_with("MAIL FROM:<bounce+")), "{:?}", at_buyer.commands);
    assert_eq!(at_buyer.header("To").unwrap(), buyer_alias);
    assert_eq!(at_buyer.header("Subject").unwrap(), format!("Order {seller_alias}"));
    let id = at_buyer.header("Message-ID").unwrap();
    assert!(id.ends_with("@market.test>"), "{id}");

    let reply = format!("In-Reply-To: {id}");
    let references = format!("References: <secret@elsewhere.home.example> {id}");
    let (ok, text) = swaks(
        relay.port,
        BUYER,
        &seller_alias,
        &["--header", "Subject: Re: Order", "--add-header", &reply, "--add-header", &references, "--body", "Thanks!"],
    );
    assert!(ok, "{text}");
    let at_seller = sink.next(SELLER);
    no_leak(&at_seller.all().replace(SELLER, "").replace(&at_seller.header("In-Reply-To").unwrap(), ""));
    assert_eq!(
        at_seller.header("In-Reply-To"),
        at_seller.header("References"),
        "the seller's own id, and nothing unknown"
    );
    assert!(at_seller.header("In-Reply-To").unwrap().contains("@"), "{}", at_seller.message);
    assert!(at_seller.message.contains("\"Hana\""), "{}", at_seller.message);

    let bounce =
        at_buyer.commands.iter().find_map(|c| c.strip_prefix("MAIL FROM:<")).unwrap().split('>').next().unwrap();
    let report = place.dir.path().join("report.eml");
    std::fs::write(&report, format!("From: MAILER-DAEMON@home.example\nTo: {bounce}\nContent-Type: multipart/report; boundary=b\n\n--b\n\nno such user {BUYER}\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.home.example\n\nFinal-Recipient: rfc822; {BUYER}\nAction: failed\nStatus: 5.1.1\n\n--b--\n")).unwrap();
    let (ok, text) = swaks(relay.port, "<>", bounce, &["--data", &format!("@{}", report.display())]);
    assert!(ok, "{text}");
    let notice = sink.next(SELLER);
    no_leak(&notice.all().replace(SELLER, ""));
    assert!(notice.text().contains(&buyer_alias) && notice.commands[0].starts_with("MAIL FROM:<>"), "{notice:?}");
    relay.stop();
}

#[test]
fn what_is_refused() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "[policy.attachments]\nmax_message_size = \"100 KiB\"\nmax_total = \"50 KiB\"\n");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    let big = place.dir.path().join("big.eml");
    std::fs::write(&big, format!("From: {SELLER}\n\n{}", format!("{}\n", "x".repeat(76)).repeat(2000))).unwrap();
    let deep = place.dir.path().join("deep.eml");
    std::fs::write(&deep, "Content-Type: message/rfc822\n\n".repeat(2000)).unwrap();
    let (big, deep) = (format!("@{}", big.display()), format!("@{}", deep.display()));
    let two = format!("From: {SELLER}, x@y.example");
    // sender, recipient, more, reply
    let cases: &[(&str, &str, &[&str], &str)] = &[
        (SELLER, "nobody@market.test", &[], "550 5.1.1"),
        (SELLER, "user@elsewhere.example", &[], "550 5.7.1"),
        (SELLER, "user%elsewhere.example@market.test", &[], "550 5.1.1"),
        (SELLER, "@market.test:user@elsewhere.example", &[], "550 5.7.1"),
        ("x@evil.example", &buyer_alias, &[], "550 5.7.1"),
        (SELLER, &seller_alias, &[], "550 5.7.1"),
        ("mallory@sellerco.example", &buyer_alias, &["--header", "From: s-real-7f3@sellerco.example"], "550 5.7.1"),
        (SELLER, &buyer_alias, &["--header", &two], "550 5.6.0"),
        (SELLER, &buyer_alias, &["--add-header", "X-Marketrelay-Loop: market.test"], "554 5.4.6"),
        (SELLER, &buyer_alias, &["--data", &big], "552 5.3.4"),
        (SELLER, &buyer_alias, &["--data", &deep], "550 5.6.0"),
        (
            SELLER,
            &buyer_alias,
            &["--attach-type", "application/octet-stream", "--attach-name", "setup.exe", "--attach", "MZ"],
            "554 5.6.1",
        ),
    ];
    for (from, to, more, want) in cases {
        let (ok, text) = swaks(relay.port, from, to, more);
        let replies: Vec<&str> = text.lines().filter(|l| l.starts_with("<**") || l.starts_with("<-")).collect();
        let replies = replies.join("\n");
        assert!(!ok && replies.contains(want), "{from} to {to} {more:?}: wanted {want}\n{text}");
        no_leak(&replies);
    }
    assert!(sink.others().is_empty());
    let listed = place.cli(&["message", "list", "--verdict", "reject"]);
    assert!(listed.as_array().unwrap().len() >= 7, "{listed}");
    relay.stop();
}

#[test]
fn the_command_line_beside_the_daemon() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let send = |subject: &str| {
        swaks(
            relay.port,
            SELLER,
            &buyer_alias,
            &["--header", &format!("Subject: {subject}"), "--body", "From here\nhello"],
        )
    };
    assert!(send("one").0);
    sink.next(BUYER);
    let shown = place.cli(&["alias", "show", &buyer_alias.to_uppercase()]);
    assert_eq!((shown["side"].as_str(), shown["orders"][0]["id"].as_str()), (Some("buyer"), Some("250-1")), "{shown}");
    let listed = place.cli(&["message", "list", "--seller", "S-1"]);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    relay.logged("\"delivered\"");
    let walk = place.cli(&["message", "show", &id]);
    assert_eq!(walk["message"]["verdict"], "relay", "{walk}");
    let (_, text, _) = place.try_cli(&["message", "show", &id]);
    assert!(text.contains("delivered"), "{text}");
    let (status, mbox, _) = place.try_cli(&["message", "export", "--buyer", "B-7"]);
    assert!(status == 0 && mbox.contains("\n>From here\n") && mbox.contains("Subject: one"), "{mbox}");
    let quota = place.cli(&["quota", "show", "--seller", "S-1"]);
    assert_eq!((quota["used"].as_u64(), quota["limit"].as_u64()), (Some(1), Some(600)), "{quota}");
    // The daemon sees at the next message what changed.
    place.cli(&["seller", "suspend", "S-1"]);
    assert!(send("two").1.contains("550 5.7.1"));
    place.cli(&["seller", "resume", "S-1"]);
    place.cli(&["buyer", "opt-out", "B-7"]);
    assert!(send("three").0);
    let notice = sink.next(SELLER);
    assert!(notice.header("Auto-Submitted").is_some() && notice.text().contains(&buyer_alias), "{}", notice.message);
    assert!(send("[IMPORTANT] four").0);
    assert_eq!(sink.next(BUYER).header("Subject").unwrap(), "[IMPORTANT] four");
    place.cli(&["buyer", "set", "B-7", "--email", "moved@new.example"]);
    assert!(send("[important] five").0);
    sink.next("moved@new.example");
    place.cli(&["buyer", "remove", "B-7"]);
    assert!(send("[important] six").1.contains("550 5.1.1"));
    // Exit statuses, and one JSON document whatever happens.
    for (arguments, status) in [
        (&["seller", "show", "nobody"][..], 4),
        (&["message", "show", "0000000000000"], 4),
        (&["queue", "cancel", "0000000000000"], 4),
        (&["alias", "show", "x@market.test"], 4),
        (&["seller", "frobnicate"], 2),
        (&["seller", "set", "S-2", "--email", "x@market.test"], 1),
        (&["seller", "set", "S-2"], 1),
    ] {
        let (got, out, err) = place.try_cli(&[arguments, &["--json"]].concat());
        assert_eq!(got, status, "{arguments:?}: {out}{err}");
        assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["error"].is_string(), "{out}");
        assert!(!err.is_empty());
    }
    let backup = place.dir.path().join("copy.sqlite3");
    place.cli(&["backup", backup.to_str().unwrap()]);
    assert!(backup.metadata().unwrap().len() > 8192);
    relay.stop();
}

#[test]
fn the_queue_outlives_the_daemon() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let place = Place::new(port, "");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    assert!(swaks(relay.port, SELLER, &buyer_alias, &["--header", "Subject: patience"]).0);
    relay.logged("\"deferred\"");
    let why = |list: &serde_json::Value| list[0]["waits_for"].as_str().is_some_and(|why| why.contains("connect"));
    place.cli_until(&["queue", "list"], why);
    relay.stop();
    let mut sink = Sink::on(TcpListener::bind(("127.0.0.1", port)).unwrap());
    let relay = place.serve();
    place.cli(&["queue", "retry"]);
    assert_eq!(sink.next(BUYER).header("Subject").unwrap(), "patience");
    relay.logged("\"delivered\"");
    place.cli_until(&["queue", "list"], |list| *list == serde_json::json!([]));
    // Given up at once: the receiver's server says why in its own words, the author hears it in ours.
    sink.refuse.lock().unwrap().insert(BUYER.into(), format!("550 5.1.1 <{BUYER}> unknown at mx.home.example"));
    assert!(swaks(relay.port, SELLER, &buyer_alias, &["--header", "Subject: lost"]).0);
    let notice = sink.next(SELLER);
    no_leak(&notice.all().replace(SELLER, "").replace("swaks", ""));
    assert!(notice.text().contains(&buyer_alias) && notice.text().contains("5.1.1"), "{}", notice.message);
    relay.stop();
}

#[test]
fn nothing_accepted_is_lost_at_sigterm_under_load() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "[limits]\nconnections_per_client = 100\n");
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let server = format!("127.0.0.1:{}", relay.port);
    let load = std::thread::spawn(move || {
        run(
            "smtp-source",
            &["-4", "-d", "-v", "-m", "600", "-s", "8", "-f", SELLER, "-t", &buyer_alias, "-M", "c.test", &server],
            "",
        )
    });
    for _ in 0..50 {
        sink.next(BUYER);
    }
    relay.stop();
    let _ = load.join().unwrap();
    let accepted = place.cli(&["message", "list", "--verdict", "relay", "--limit", "1000"]).as_array().unwrap().len();
    let relay = place.serve();
    for _ in 50..accepted {
        sink.next(BUYER);
    }
    relay.stop();
    let fates = place.cli(&["message", "list", "--limit", "1000"]);
    assert!(fates.as_array().unwrap().iter().all(|m| m["fate"] == "delivered"), "{accepted} accepted");
    assert!(accepted >= 50);
}

#[test]
fn tls_and_its_reload() {
    let mut sink = Sink::start();
    let keys = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(keys.path(), "first.market.test");
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display());
    let listeners = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n";
    let place = Place::new(sink.port, &(tls.clone() + listeners));
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let (ok, text) =
        swaks(relay.port, SELLER, &buyer_alias, &["--tls", "--tls-verify", "--tls-ca-path", cert.to_str().unwrap()]);
    assert!(text.contains("TLS started"), "{text}");
    assert!(ok || text.contains("verif"), "{text}");
    let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &["--tls"]);
    assert!(ok && text.contains("first.market.test"), "{text}");
    sink.next(BUYER);
    certificate(keys.path(), "second.market.test");
    relay.signal("-HUP");
    relay.logged("\"reloaded the certificate");
    let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &["--tls"]);
    assert!(ok && text.contains("second.market.test"), "{text}");
    // What was said before TLS, and what came in the clear behind STARTTLS, is forgotten (RFC 3207 4.2, CVE-2011-0411).
    let heard =
        run("/usr/bin/python3", &["-c", include_str!("e2e/starttls.py"), &relay.port.to_string(), &buyer_alias], "");
    let heard = String::from_utf8_lossy(&heard.stdout).into_owned();
    let codes: Vec<&str> = heard.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "220", "503", "250", "503"], "{heard}");
    std::fs::write(&cert, "not a certificate").unwrap();
    relay.signal("-HUP");
    relay.logged("not reloaded");
    assert!(swaks(relay.port, SELLER, &buyer_alias, &["--tls"]).0);
    relay.stop();
    certificate(keys.path(), "third.market.test");
    let place = Place::new(sink.port, &(tls + &listeners.replace("starttls", "implicit")));
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let (ok, text) = swaks(relay.port, SELLER, &buyer_alias, &["--tls-on-connect"]);
    assert!(ok && text.contains("third.market.test"), "{text}");
    relay.stop();
}

#[test]
fn real_mail_programs_answer() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    assert!(
        swaks(
            relay.port,
            SELLER,
            &buyer_alias,
            &["--header", "Subject: Your order", "--body", "Is this address right?"]
        )
        .0
    );
    let first = sink.next(BUYER);
    let port = relay.port.to_string();
    // msmtp, as cron jobs and shops use it.
    let id = first.header("Message-ID").unwrap();
    let letter =
        format!("From: {BUYER}\nTo: {seller_alias}\nSubject: Re: Your order\nIn-Reply-To: {id}\n\nYes. {BUYER}\n");
    let sent = run(
        "msmtp",
        &[
            "--host=127.0.0.1",
            &format!("--port={port}"),
            &format!("--from={BUYER}"),
            "--auth=off",
            "--tls=off",
            "--file=/dev/null",
            "--read-recipients",
        ],
        &letter,
    );
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let answer = sink.next(SELLER);
    no_leak(&answer.message.replace(&answer.header("In-Reply-To").unwrap(), ""));
    // mutt, replying to the message as it arrived, quoting it.
    let mbox = place.dir.path().join("inbox");
    std::fs::write(&mbox, format!("From relay Sat Nov 21 09:00:00 2026\n{}\n", first.message.replace("\r\n", "\n")))
        .unwrap();
    let rc = place.dir.path().join("muttrc");
    let settings = format!(
        "set sendmail=\"msmtp --host=127.0.0.1 --port={port} --auth=off --tls=off --file=/dev/null\"\nset from={BUYER}\nset use_envelope_from=yes\nset envelope_from_address={BUYER}\n\
         set realname=\"Real Name\"\nset editor=true\nset fast_reply=yes\nset include=yes\nset record=\nset copy=no\nset quit=yes\nset abort_unmodified=no\nset read_inc=0\nset sendmail_wait=30\nset wait_key=no\nset charset=utf-8\nset folder={}\n",
        place.dir.path().display()
    );
    std::fs::write(&rc, settings).unwrap();
    let command = format!(
        "TERM=xterm mutt -n -F {} -f {} -e 'push \"<reply><send-message><quit>\"'",
        rc.display(),
        mbox.display()
    );
    let mutt = run("script", &["-qec", &command, "/dev/null"], "");
    let answer = sink.next(SELLER);
    assert!(
        answer.message.contains("> Is this address right?"),
        "{}\n{}",
        answer.message,
        String::from_utf8_lossy(&mutt.stdout)
    );
    no_leak(
        &answer
            .message
            .replace(&answer.header("In-Reply-To").unwrap(), "")
            .replace(&answer.header("References").unwrap_or_default(), ""),
    );
    assert_eq!(answer.header("Subject").unwrap(), "Re: Your order");
    relay.stop();
}

/// One line sent, one reply line read.
fn talk(stream: &mut std::net::TcpStream, line: &str) -> String {
    use std::io::{Read, Write};
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\n") && stream.read(&mut byte).unwrap() == 1 {
        reply.push(byte[0]);
    }
    String::from_utf8(reply).unwrap()
}

#[test]
fn the_server_on_the_wire() {
    let mut sink = Sink::start();
    let place = Place::new(
        sink.port,
        "[limits]\nconnections_per_client = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"127.0.0.1\"]\nproxy_protocol = true\n",
    );
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
    // A trusted balancer begins with a PROXY header; without one there is no session.
    assert!(talk(&mut connect(), "EHLO x\r\n").starts_with("421"));
    let mut one = connect();
    assert!(talk(&mut one, "PROXY TCP4 198.51.100.7 127.0.0.1 4000 25\r\n").starts_with("220"));
    let mut two = connect();
    let header = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    assert!(talk(&mut two, std::str::from_utf8(header).unwrap()).starts_with("220"));
    let mut three = connect();
    assert!(talk(&mut three, "PROXY TCP4 198.51.100.7 127.0.0.1 4001 25\r\n").starts_with("220"));
    let mut many = connect();
    assert!(
        talk(&mut many, "PROXY TCP4 198.51.100.7 127.0.0.1 4002 25\r\n").starts_with("421 4.4.5"),
        "one too many of one client"
    );
    // A stop: idle sessions end, new ones are told, the open transaction is taken.
    for (line, code) in [
        ("HELO x\r\n".to_owned(), "250"),
        (format!("MAIL FROM:<{SELLER}>\r\n"), "250"),
        (format!("RCPT TO:<{buyer_alias}>\r\n"), "250"),
        ("DATA\r\n".to_owned(), "354"),
    ] {
        assert!(talk(&mut one, &line).starts_with(code), "{line}");
    }
    relay.signal("-TERM");
    assert!(talk(&mut two, "").starts_with("421 4.3.2"));
    let told = talk(&mut connect(), "");
    assert!(told.starts_with("421 4.3.2"), "{told}");
    let message = format!("From: {SELLER}\r\nSubject: last words\r\n\r\nx\r\n.\r\n");
    assert!(talk(&mut one, &message).starts_with("250 2.6.0"));
    assert_eq!(sink.next(BUYER).header("Subject").unwrap(), "last words");
    relay.stop();
}

#[test]
fn outgoing_mail_is_signed() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let records: String = place.sign().into_iter().map(|(name, record)| format!("{name}\n{record}\n")).collect();
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let message = place.dir.path().join("out.eml");
    let dns = place.dir.path().join("records");
    std::fs::write(&dns, records).unwrap();
    for body in ["hello", "trailing white space \n \t\n\n \n", "..dots\n.\n", "\n\n"] {
        assert!(swaks(relay.port, SELLER, &buyer_alias, &["--header", "Subject: signed", "--body", body]).0);
        let wire = sink.next(BUYER);
        std::fs::write(&message, wire.message.replace("\r\n..", "\r\n.")).unwrap();
        let script = "import sys, dkim\nlines = open(sys.argv[2]).read().split('\\n')\nzone = dict(zip(lines[::2], lines[1::2]))\n\
            find = lambda name, timeout=5: zone.get(name.decode().rstrip('.'), '').encode()\n\
            d = dkim.DKIM(open(sys.argv[1], 'rb').read())\nprint(d.verify(0, dnsfunc=find), d.verify(1, dnsfunc=find))\n";
        let output = run("/usr/bin/python3", &["-c", script, message.to_str().unwrap(), dns.to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), "True True", "{body:?}: {said}\n{}", wire.message);
    }
    relay.stop();
}

#[test]
fn systemd_and_metrics() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "[metrics]\naddress = \"127.0.0.1:0\"\n");
    // READY and STOPPING, as systemd hears them.
    let path = place.dir.path().join("notify");
    let notify = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    place.init();
    let mut command = place.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
    let relay = Relay::start(command);
    let hear = |word: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut buffer = [0; 4096];
            let length = notify.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.contains(word) {
                return;
            }
            assert!(Instant::now() < deadline, "{word} is not said");
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    let (buyer_alias, _) = place.register();
    assert!(swaks(relay.port, SELLER, &buyer_alias, &[]).0);
    sink.next(BUYER);
    relay.logged("\"metrics\"");
    let log = relay.log();
    let metrics = log
        .lines()
        .find_map(|l| {
            serde_json::from_str::<serde_json::Value>(l).ok()?["metrics"]
                .as_str()?
                .rsplit_once(':')?
                .1
                .parse::<u16>()
                .ok()
        })
        .unwrap();
    let page = get(metrics, "/metrics");
    assert!(page.contains("marketrelay_decisions_total{verdict=\"relay\",reason=\"relayed\"} 1"), "{page}");
    no_leak(&page);
    assert!(get(metrics, "/health").starts_with("HTTP/1.1 200"));
    relay.signal("-TERM");
    hear("STOPPING=1");
    drop(relay);
    // A socket from systemd: the address stands in the configuration, systemd opens it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Place::new(sink.port, &format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n"));
    let (buyer_alias, _) = place.register();
    let mut command = Command::new("systemd-socket-activate");
    command
        .args(["-l", &format!("127.0.0.1:{port}"), env!("CARGO_BIN_EXE_marketrelay"), "--config"])
        .arg(&place.config)
        .arg("serve");
    let mut activated = command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let (ok, text) = swaks(port, SELLER, &buyer_alias, &["--header", "Subject: by socket"]);
    assert!(ok, "{text}");
    assert_eq!(sink.next(BUYER).header("Subject").unwrap(), "by socket");
    activated.kill().unwrap();
    activated.wait().unwrap();
    // A socket that nobody would serve: clients would hang there.
    let place = Place::new(sink.port, "");
    place.register();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &format!("127.0.0.1:{port}"), env!("CARGO_BIN_EXE_marketrelay"), "--config"]);
    let mut refused = command.arg(&place.config).arg("serve").stderr(std::process::Stdio::piped()).spawn().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let status = refused.wait().unwrap();
    let told = std::io::read_to_string(refused.stderr.take().unwrap()).unwrap();
    assert!(status.code() == Some(1) && told.contains("take it out of marketrelay.socket"), "{status} {told}");
}

#[test]
fn it_refuses_to_start_and_says_what_to_do() {
    let place = Place::new(1, "");
    let data = place.dir.path().join("data");
    let store = data.join("marketrelay.sqlite3");
    let fails = |arguments: &[&str], status: i32, words: &[&str]| {
        let (got, _, err) = place.try_cli(arguments);
        assert!(got == status && words.iter().all(|w| err.contains(w)), "{arguments:?}: {got}\n{err}");
    };
    // A disk that is not mounted leaves no folder, or an empty one: nothing is made there.
    for empty in [false, true] {
        for command in [&["serve"][..], &["seller", "list"]] {
            fails(command, 1, &["no store", "data_dir", "marketrelay store init"]);
        }
        if empty {
            fails(&["buyer", "set", "B-7", "--email", BUYER], 1, &["no store", "marketrelay store init"]);
            assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
        } else {
            assert!(!data.exists());
            std::fs::create_dir(&data).unwrap();
        }
    }
    assert_eq!(place.cli(&["store", "init"])["made"], true);
    assert_eq!(place.cli(&["store", "init"])["made"], false);
    place.register();
    let good = std::fs::read(&store).unwrap();
    for (bytes, word) in [
        (&b""[..], "damaged"),
        (b"SQLite", "damaged"),
        (&[b'x'; 8192], "not a marketrelay store"),
        (&good[..good.len() / 2], "damaged"),
    ] {
        std::fs::write(&store, bytes).unwrap();
        fails(&["serve"], 1, &[word]);
    }
    std::fs::remove_file(&store).unwrap();
    for command in [&["serve"][..], &["store", "init"], &["buyer", "set", "B-7", "--email", BUYER]] {
        fails(command, 1, &["has held a store", "backup"]);
    }
    std::fs::write(&store, &good).unwrap();
    let relay = place.serve();
    fails(&["serve"], 1, &["another marketrelay daemon"]);
    relay.stop();
    let bad = "hostname = 'x'\ncolour = 1\n[log]\nformat = 'odd'\n[[listener]]\naddress = 'nowhere'\n";
    std::fs::write(&place.config, bad).unwrap();
    fails(&["serve"], 3, &["colour", "log.format", "listener[0]", "hostname", "marketplace"]);
    std::fs::remove_file(&place.config).unwrap();
    fails(&["check"], 3, &["--config"]);
}

#[test]
fn a_million_lines_begin_with_a_few() {
    let place = Place::new(1, "");
    let file = place.dir.path().join("import.jsonl");
    let mut text = String::new();
    text.push_str("{\"type\":\"seller\",\"id\":\"S-1\",\"name\":\"Shop\",\"email\":\"s@shop.example\"}\n");
    for n in 0..3000 {
        text.push_str(&format!("{{\"type\":\"buyer\",\"id\":\"B-{n}\",\"email\":\"b{n}@home.example\"}}\n{{\"type\":\"order\",\"id\":\"O-{n}\",\"buyer\":\"B-{n}\",\"seller\":\"S-1\",\"placed\":\"2026-11-01T00:00:00Z\"}}\n"));
    }
    let bad = [
        ("not json", "not a JSON object"),
        ("{\"type\":\"seller\",\"id\":\"S-2\",\"email\":\"secret-address\"}", "an address is wrong"),
        ("{\"type\":\"seller\",\"id\":\"S-2\",\"email\":\"x@market.test\"}", "alias domain"),
        ("{\"type\":\"seller\",\"id\":\"a b\",\"email\":\"x@y.example\"}", "id:"),
        ("{\"type\":\"planet\",\"id\":\"1\"}", "unknown variant"),
        ("{\"type\":\"buyer\",\"id\":\"1\",\"emial\":\"x\"}", "unknown field"),
        ("{\"type\":\"order\",\"id\":\"1\",\"buyer\":\"nobody\",\"seller\":\"S-1\"}", "no such buyer"),
        ("{\"type\":\"order\",\"id\":\"1\",\"buyer\":\"B-1\",\"seller\":\"S-1\",\"placed\":\"yesterday\"}", "placed:"),
        ("{\"type\":\"buyer\",\"id\":7,\"email\":\"x@y.example\"}", "wrong kind"),
    ];
    for (line, _) in bad {
        text.push_str(line);
        text.push('\n');
    }
    std::fs::write(&file, &text).unwrap();
    let (status, out, err) = place.try_cli(&["import", file.to_str().unwrap()]);
    assert_eq!(status, 1, "{out}{err}");
    for (n, (line, why)) in bad.iter().enumerate() {
        let told = out
            .lines()
            .find(|l| l.starts_with(&format!("line {}: ", 6002 + n)))
            .unwrap_or_else(|| panic!("{line} is not told: {out}"));
        assert!(told.contains(why) && !told.contains("secret-address"), "{told}");
    }
    assert!(err.contains("6001 kept, 9 bad"), "{err}");
    // Progress is for people at a terminal.
    let line =
        format!("{} --config {} import {}", env!("CARGO_BIN_EXE_marketrelay"), place.config.display(), file.display());
    let seen = run("script", &["-qec", &line, "/dev/null"], "");
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("iB/") && seen.contains("6001 kept, 9 bad"), "{seen}");
    assert!(!out.contains("iB/") && !err.contains("iB/"), "{out}{err}");
    let (status, out, _) = place.try_cli(&["import", file.to_str().unwrap(), "--json"]);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, document["kept"].as_u64(), document["bad"].as_u64()), (1, Some(6001), Some(9)));
    assert_eq!(place.cli(&["quota", "show", "--seller", "S-1"])["limit"], 600 + 5 * 3000 / 30);
}
