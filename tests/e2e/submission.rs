//! Sellers who log in to send: swaks and msmtp (with GNU SASL) against the real binary, by each mechanism, over both kinds of TLS.

use super::common::{BUYER, Place, Relay, SELLER, Sink, certificate, run, swaks};
use super::zone::{Answer, Zone};
use std::io::Write as _;
use std::process::Stdio;

const PASSWORD: &str = "kani-Gozen-4711";

/// A place with a relay listener and two for submission: STARTTLS, and TLS from the first octet.
fn place(sink: u16, dns: &Zone) -> Place {
    let place = Place::new(sink, "[[listener]]\naddress = \"127.0.0.1:0\"\n");
    let (cert, key) = certificate(place.dir.path(), "mx.market.test");
    let listener =
        |tls: &str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\nkind = \"submission\"\ntls = \"{tls}\"\n");
    let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", "mode = \"verify\"");
    let dns = format!("[dns]\nservers = [\"{}\"]\n", dns.address);
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display());
    std::fs::write(&place.config, text + &listener("starttls") + &listener("implicit") + &dns + &tls).unwrap();
    place
}

/// The ports of all listeners, in their order.
pub fn ports(relay: &Relay, count: usize) -> Vec<u16> {
    loop {
        let log = relay.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let ports: Vec<u16> =
            events.filter_map(|event| event["listener"].as_str()?.rsplit_once(':')?.1.parse().ok()).collect();
        if ports.len() >= count {
            return ports;
        }
        std::thread::yield_now();
    }
}

/// `seller password set` with this on standard input; exit status and what it says.
fn set_password(place: &Place, more: &[&str], input: &str) -> (i32, String) {
    let mut command = place.command(&[&["seller", "password", "set", "S-1"][..], more].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It reads no more than it needs.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn sellers_log_in_by_each_mechanism() {
    let mut sink = Sink::start();
    // DNS is in trouble: what comes without a login is put off, what comes with one needs none.
    let dns = Zone::start();
    dns.trouble("sellerco.example", Answer::ServFail);
    let place = place(sink.port, &dns);
    let relay = place.serve();
    let (buyer_alias, _) = place.register();
    let has = || place.cli(&["seller", "show", "S-1"])["password"].as_bool().unwrap();
    assert!(!has());
    for (input, status, word) in [
        ("too short\n", 1, "12 to 128"),
        ("", 1, "12 to 128"),
        ("pässword-pässword\n", 1, "ASCII"),
        (&format!("{PASSWORD}\nsecond line\n"), 0, "can log in"),
    ] {
        let (got, text) = set_password(&place, &[], input);
        assert!(got == status && text.contains(word) && !text.contains(PASSWORD), "{input:?}: {got} {text}");
    }
    assert!(has());
    // On a terminal it would be shown: `script` gives the command one.
    let arguments = [env!("CARGO_BIN_EXE_marketrelay"), "--config", place.config.to_str().unwrap()].join(" ");
    let shown = run("script", &["-qec", &format!("{arguments} seller password set S-1"), "/dev/null"], "");
    assert!(!shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("systemd-ask-password"));

    let ports = ports(&relay, 3);
    let (starttls, implicit) = (("--tls", ports[1]), ("--tls-on-connect", ports[2]));
    // mechanism, TLS, login, password, From, what swaks hears; none: it arrives
    let cases = [
        ("PLAIN", starttls, "S-1", PASSWORD, SELLER, None),
        ("PLAIN", implicit, "S-1", PASSWORD, SELLER, None),
        ("LOGIN", starttls, "S-1@market.test", PASSWORD, SELLER, None),
        ("LOGIN", implicit, "S-1", PASSWORD, SELLER, None),
        ("PLAIN", starttls, "S-1", "kani-Gozen-4712", SELLER, Some("535 5.7.8")),
        ("LOGIN", starttls, "S-2", PASSWORD, SELLER, Some("535 5.7.8")),
        ("LOGIN", starttls, SELLER, PASSWORD, SELLER, Some("535 5.7.8")),
        ("PLAIN", implicit, "S-1", PASSWORD, BUYER, Some("550 5.7.1")),
        ("PLAIN", implicit, "S-1", PASSWORD, "other@sellerco.example", Some("550 5.7.1")),
        ("CRAM-MD5", starttls, "S-1", PASSWORD, SELLER, Some("Auth not attempted")),
    ];
    for (mechanism, (tls, port), login, password, from, want) in cases {
        let header = format!("From: {from}");
        let more = [tls, "--auth", mechanism, "--auth-user", login, "--auth-password", password, "--header", &header];
        // The envelope sender is right, so that what is refused is the From field.
        let (ok, text) = swaks(port, SELLER, &buyer_alias, &more);
        match want {
            None => assert!(ok && text.contains("250 2.6.0"), "{mechanism} {login}: {text}"),
            Some(want) => assert!(!ok && text.contains(want), "{mechanism} {login} {from}: wanted {want}\n{text}"),
        }
        if want.is_none() {
            assert_eq!(sink.next(BUYER).header("To").unwrap(), buyer_alias);
        }
    }
    // msmtp speaks SCRAM by GNU SASL, and checks the server's signature.
    let letter = format!("From: {SELLER}\nTo: {buyer_alias}\nSubject: by msmtp\n\nhello\n");
    for (mechanism, port, starttls, password, works) in [
        ("scram-sha-256", ports[1], "on", PASSWORD, true),
        ("scram-sha-256", ports[2], "off", PASSWORD, true),
        ("scram-sha-256", ports[2], "off", "kani-Gozen-4712", false),
        ("plain", ports[2], "off", PASSWORD, true),
        ("login", ports[1], "on", PASSWORD, true),
        // The best that both know: SCRAM.
        ("on", ports[1], "on", PASSWORD, true),
    ] {
        let arguments = [
            "--host=127.0.0.1".to_owned(),
            format!("--port={port}"),
            format!("--from={SELLER}"),
            format!("--auth={mechanism}"),
            "--user=S-1".to_owned(),
            format!("--passwordeval=echo {password}"),
            "--tls=on".to_owned(),
            format!("--tls-starttls={starttls}"),
            "--tls-certcheck=off".to_owned(),
            "--file=/dev/null".to_owned(),
            "--read-recipients".to_owned(),
        ];
        let sent = run("msmtp", &arguments.each_ref().map(String::as_str), &letter);
        assert_eq!(sent.status.success(), works, "{mechanism}: {}", String::from_utf8_lossy(&sent.stderr));
        if works {
            assert_eq!(sink.next(BUYER).header("Subject").unwrap(), "by msmtp");
        }
    }
    // Nothing is offered in the clear, nobody sends without a login, and the relay's own listener has no logins.
    for (port, more, want) in [
        (ports[1], &["--auth", "PLAIN", "--auth-user", "S-1", "--auth-password", PASSWORD][..], "did not advertise"),
        (ports[1], &[], "530 5.7.0 STARTTLS first"),
        (ports[1], &["--tls"], "530 5.7.0 Authentication required"),
        (ports[0], &[], "451 4.7.24"),
    ] {
        let (ok, text) = swaks(port, SELLER, &buyer_alias, more);
        assert!(!ok && text.contains(want), "{more:?}: {text}");
        assert!(!text.contains("<-  250-AUTH"), "{text}");
    }
    // Taken away while the daemon runs.
    assert!(set_password(&place, &["--remove"], "").1.contains("no password any more"));
    assert!(!has());
    let more = ["--tls", "--auth", "PLAIN", "--auth-user", "S-1", "--auth-password", PASSWORD];
    let (ok, text) = swaks(ports[1], SELLER, &buyer_alias, &more);
    assert!(!ok && text.contains("535 5.7.8"), "{text}");
    assert!(sink.others().is_empty());
    assert!(!relay.log().contains(PASSWORD) && !relay.log().contains("S-1"), "{}", relay.log());
    relay.stop();
}
