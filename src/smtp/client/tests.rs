//! The client against a scripted server: polite, but for one answer.

use super::*;
use tokio::io::{BufReader, DuplexStream, duplex, split};

/// How the server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// These octets.
    Says(&'static str),
    /// Nothing, ever.
    Silence,
    /// The end.
    Close,
    /// These octets, then the end.
    SaysAndCloses(&'static str),
    /// These octets without end.
    Endless(&'static str),
}

use Answer::{Close, Endless, Says, SaysAndCloses, Silence};

const EHLO: &str = "250-sink.test\r\n250-8BITMIME\r\n250-SIZE 100000\r\n250 SMTPUTF8\r\n";
const PIPELINED: &str = "250-sink.test\r\n250-8BITMIME\r\n250-SIZE 100000\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n";

/// Answers commands until the client goes; `odd` in place of one polite answer. Returns all that it read.
async fn sink(stream: DuplexStream, ehlo: &'static str, odd: Option<(&'static str, Answer)>) -> String {
    use tokio::io::AsyncBufReadExt as _;
    let (reader, mut writer) = split(stream);
    let mut reader = BufReader::new(reader);
    let mut log = String::new();
    let mut stage = "banner";
    loop {
        let polite = match stage {
            "banner" => "220 sink.test\r\n",
            "hello" => ehlo,
            "data" => "354 go on\r\n",
            "quit" => "221 bye\r\n",
            _ => "250 2.0.0 ok\r\n",
        };
        match odd.filter(|(at, _)| *at == stage).map_or(Says(polite), |(_, answer)| answer) {
            Says(text) => writer.write_all(text.as_bytes()).await.unwrap_or(()),
            Silence => return std::future::pending().await,
            Close => return log,
            SaysAndCloses(text) => {
                let _ = writer.write_all(text.as_bytes()).await;
                return log;
            }
            Endless(text) => {
                while writer.write_all(text.as_bytes()).await.is_ok() {}
                return log;
            }
        }
        if stage == "data" && !matches!(odd, Some(("data", _))) {
            stage = "message";
            let mut line = String::new();
            while line != ".\r\n" {
                line.clear();
                if reader.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return log;
                }
                log.push_str(&line);
            }
            continue;
        }
        let mut line = String::new();
        if reader.read_line(&mut line).await.unwrap_or(0) == 0 {
            return log;
        }
        log.push_str(&line);
        stage = match line.split([' ', '\r']).next().unwrap() {
            "EHLO" => "hello",
            "HELO" => "helo",
            "STARTTLS" => "tls",
            "MAIL" => "mail",
            "RCPT" => "rcpt",
            "DATA" => "data",
            "RSET" => "rset",
            "QUIT" => "quit",
            other => panic!("unexpected {other}"),
        };
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

async fn connect(ehlo: &'static str, odd: Option<(&'static str, Answer)>) -> Result<Client, Failure> {
    let (near, far) = duplex(1 << 16);
    tokio::spawn(sink(far, ehlo, odd));
    Client::open(near, "mx.test", Security::Plain, ClientTimeouts::default()).await
}

async fn send(client: &mut Client, bytes: &[u8]) -> Result<(), Failure> {
    let recipient = address("b@home.test");
    client.deliver(&Mail { sender: Some("bounce+x@m.test"), recipient: &recipient, bytes }).await
}

/// How much of a message goes ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    Nothing,
    Envelope,
    /// The envelope, whose replies are read.
    Agreed,
    /// And as much of the text as the connection takes at once.
    Text,
}

use Early::{Agreed, Envelope, Nothing, Text};

async fn ahead(client: &mut Client, early: Early, recipient: &str, bytes: &[u8]) {
    let recipient = address(recipient);
    let mail = Mail { sender: Some("bounce+x@m.test"), recipient: &recipient, bytes };
    // What is wrong is found again by `deliver`.
    if early == Nothing || client.begin(&mail).await.is_err() {
        return;
    }
    // Before the server has agreed, nothing can be pushed.
    client.push();
    if early != Envelope {
        client.hear().await;
    }
    if early == Text {
        client.push();
    }
}

const TEXT: &[u8] = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

/// Each class of answer at each stage: what it comes to, whether that is final, whether the connection is good for more.
#[tokio::test(start_paused = true)]
async fn a_server_that_misbehaves() {
    let mut rows: Vec<(&str, Answer, String, bool, bool)> = Vec::new();
    for stage in ["banner", "hello", "mail", "rcpt", "data", "message"] {
        let early = matches!(stage, "banner" | "hello");
        let mut row = |answer, text: String, last: bool, usable: bool| rows.push((stage, answer, text, last, usable));
        let refused = |code: &str| format!("{stage}: refused with {code}");
        row(Says("450 4.2.1 <b@home.test> is busy\r\n"), refused("450 4.2.1"), false, !early);
        row(Says("451\r\n"), refused("451"), false, !early);
        row(Says("550-5.1.1 no\r\n550 5.1.1 b@home.test\r\n"), refused("550 5.1.1"), !early, !early);
        row(Says("554 4.7.1 classes do not fit\r\n"), refused("554"), !early, !early);
        row(Says("421 4.3.2 going\r\n"), refused("421 4.3.2"), false, false);
        // After the last reply nothing is asked any more: the next message finds out.
        row(SaysAndCloses("550 5.7.1 and away\r\n"), refused("550 5.7.1"), !early, stage == "message");
        let broken = format!("{stage}: not SMTP");
        for says in [
            "hello there\r\n",
            "\r\n",
            "25\r\n",
            "25x ok\r\n",
            "250ok\r\n",
            "999 x\r\n",
            "150 x\r\n",
            "250-a\r\n251 b\r\n",
        ] {
            row(Says(says), broken.clone(), false, false);
        }
        row(Says("\u{0}\u{ff}\u{1}\n"), broken.clone(), false, false);
        row(Endless("250-more\r\n"), broken.clone(), false, false);
        row(Endless("250 xxxxxxxxxxxxxxxx"), broken.clone(), false, false);
        row(Silence, format!("{stage}: no answer in time"), false, false);
        row(Close, format!("{stage}: connection lost"), false, false);
        row(SaysAndCloses("250-half\r\n"), format!("{stage}: connection lost"), false, false);
        row(SaysAndCloses("25"), format!("{stage}: connection lost"), false, false);
    }
    rows.push(("data", Says("250 ok\r\n"), "data: not SMTP".into(), false, false));
    rows.push(("mail", Says("354 ok\r\n"), "mail: not SMTP".into(), false, false));
    let ways = [Nothing, Envelope, Agreed, Text].map(|early| [(EHLO, early), (PIPELINED, early)]).concat();
    for (ehlo, early) in ways {
        for (stage, answer, text, last, usable) in &rows {
            let what = format!("{stage} {answer:?} {} {early:?}", ehlo.contains("PIPELINING"));
            let (failure, good) = match connect(ehlo, Some((stage, *answer))).await {
                Ok(mut client) => {
                    ahead(&mut client, early, "b@home.test", TEXT).await;
                    (send(&mut client, TEXT).await.unwrap_err(), client.is_usable())
                }
                Err(failure) => (failure, false),
            };
            assert_eq!((&failure.to_string(), failure.is_permanent(), good), (text, *last, *usable), "{what}");
            assert!(!format!("{failure:?}{failure}").contains("home.test"), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_over_the_wire() {
    let transaction = "MAIL FROM:<bounce+x@m.test> SIZE=29\r\nRCPT TO:<b@home.test>\r\nDATA\r\n\
                       Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n";
    for ehlo in [EHLO, PIPELINED] {
        let (near, far) = duplex(1 << 16);
        let server = tokio::spawn(sink(far, ehlo, None));
        let mut client = Client::open(near, "mx.test", Security::Plain, ClientTimeouts::default()).await.unwrap();
        send(&mut client, TEXT).await.unwrap();
        send(&mut client, TEXT).await.unwrap();
        assert!(client.is_usable() && client.sent == 2);
        client.quit().await;
        assert_eq!(server.await.unwrap(), format!("EHLO mx.test\r\n{transaction}{transaction}QUIT\r\n"));
    }
}

/// What went ahead is followed by its own message, or by nothing. However little the connection takes at once, the message is the same.
#[tokio::test(start_paused = true)]
async fn an_envelope_ahead() {
    let envelope = |to: &str| format!("MAIL FROM:<bounce+x@m.test> SIZE=29\r\nRCPT TO:<{to}>\r\nDATA\r\n");
    let message = "Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n";
    let other = Err(Failure::Network(Stage::Mail));
    for (ehlo, early, to, room, wants) in [
        (EHLO, Text, "b@home.test", 1 << 16, Ok(())),
        (EHLO, Text, "c@home.test", 1 << 16, Ok(())),
        (PIPELINED, Envelope, "b@home.test", 1 << 16, Ok(())),
        (PIPELINED, Envelope, "c@home.test", 1 << 16, other),
        (PIPELINED, Agreed, "b@home.test", 1 << 16, Ok(())),
        (PIPELINED, Agreed, "c@home.test", 1 << 16, other),
        (PIPELINED, Text, "b@home.test", 1 << 16, Ok(())),
        (PIPELINED, Text, "b@home.test", 20, Ok(())),
    ] {
        let (near, far) = duplex(room);
        let server = tokio::spawn(sink(far, ehlo, None));
        let mut client = Client::open(near, "mx.test", Security::Plain, ClientTimeouts::default()).await.unwrap();
        ahead(&mut client, early, to, TEXT).await;
        assert_eq!(
            client.ahead.iter().flat_map(|ahead| &ahead.text).any(|text| text.gone > 0),
            early == Text && ehlo == PIPELINED,
            "{early:?} {room}"
        );
        if wants.is_err() {
            // Not even with an envelope of its own behind that one: the replies would be to the first.
            ahead(&mut client, Envelope, "b@home.test", TEXT).await;
        }
        let sent = send(&mut client, TEXT).await;
        assert_eq!((sent, client.is_usable()), (wants, wants.is_ok()), "{early:?} {room}");
        drop(client);
        let (first, rest) = if wants.is_ok() { ("b@home.test", message) } else { (to, "") };
        assert_eq!(server.await.unwrap(), format!("EHLO mx.test\r\n{}{rest}", envelope(first)));
    }
}

/// After a refusal the next message finds a clean session.
#[tokio::test(start_paused = true)]
async fn a_refused_transaction_is_reset() {
    for (ehlo, rest) in [(EHLO, ""), (PIPELINED, "DATA\r\n.\r\n")] {
        let (near, far) = duplex(1 << 16);
        let server = tokio::spawn(sink(far, ehlo, Some(("rcpt", Says("550 5.1.1 no\r\n")))));
        let mut client = Client::open(near, "mx.test", Security::Plain, ClientTimeouts::default()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(send(&mut client, TEXT).await.unwrap_err().to_string(), "rcpt: refused with 550 5.1.1");
            assert!(client.is_usable());
        }
        drop(client);
        let one = format!("MAIL FROM:<bounce+x@m.test> SIZE=29\r\nRCPT TO:<b@home.test>\r\n{rest}RSET\r\n");
        assert_eq!(server.await.unwrap(), format!("EHLO mx.test\r\n{one}{one}"));
    }
}

/// A reply too many must not be taken for the answer to the next message; a connection that was closed meanwhile is noticed.
#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_has_gone_bad() {
    for odd in [Says("250 ok\r\n250 ok\r\n"), Says("250 ok\r\n421 bye\r\n"), SaysAndCloses("250 ok\r\n")] {
        let mut client = connect(PIPELINED, Some(("message", odd))).await.unwrap();
        send(&mut client, TEXT).await.unwrap();
        tokio::task::yield_now().await;
        let failure = send(&mut client, TEXT).await.unwrap_err();
        assert!(failure.is_stale() && !client.is_usable(), "{odd:?}: {failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_lacks() {
    // EHLO's answer, recipient, message, failure
    let rows = [
        ("250 x\r\n", "b@home.test", "Subject: \u{e4}\r\n".to_owned(), Some("the server lacks 8BITMIME")),
        ("250 x\r\n", "\u{e4}@home.test", "a\r\n".to_owned(), Some("the server lacks SMTPUTF8")),
        ("250-x\r\n250 SIZE 10\r\n", "b@home.test", "0123456789\r\n".to_owned(), Some("larger than the server takes")),
        ("250-x\r\n250 SIZE 0\r\n", "b@home.test", "0123456789\r\n".to_owned(), None),
        ("250-x\r\n250 size\r\n", "b@home.test", "0123456789\r\n".to_owned(), None),
        ("250 x\r\n", "b@home.test", "a\n.\r\nMAIL\r\n".to_owned(), Some("a bare newline in the message")),
        ("250 x\r\n", "b@home.test", "a\r.\r\n".to_owned(), Some("a bare newline in the message")),
        ("250 x\r\n", "b@home.test", "a\r\r\n".to_owned(), Some("a bare newline in the message")),
        ("250 x\r\n", "b@home.test", "a\r".to_owned(), Some("a bare newline in the message")),
        ("250 x\r\n", "b@home.test", String::new(), None),
        ("250 x\r\n", "b@home.test", "no end of line".to_owned(), None),
    ];
    for (ehlo, to, text, want) in rows {
        let mut client = connect(ehlo, None).await.unwrap();
        let recipient = address(to);
        let result = client.deliver(&Mail { sender: None, recipient: &recipient, bytes: text.as_bytes() }).await;
        assert_eq!(result.err().map(|f| f.to_string()).as_deref(), want, "{text}");
        assert!(result.is_ok() || result.unwrap_err().is_permanent());
        assert!(client.is_usable(), "nothing was said yet");
    }
}

#[tokio::test(start_paused = true)]
async fn helo_where_ehlo_is_unknown() {
    let mut client = connect("502 what?\r\n", None).await.unwrap();
    send(&mut client, TEXT).await.unwrap();
    let refused = connect("550 go away\r\n", None).await.err().unwrap();
    assert!(!refused.is_permanent(), "it is about us, not about the message");
}

/// Each class of answer to STARTTLS: who would do without TLS goes on where that is safe, who demands it never does.
#[tokio::test(start_paused = true)]
async fn starttls() {
    const GONE: &str = "tls: connection lost";
    const ODD: &str = "tls: not SMTP";
    // answer, what becomes of it where TLS is opportunistic, and where it is required
    let rows: &[(Answer, Option<&str>, &str)] = &[
        (Says("220 go\r\n250 injected\r\n"), Some(ODD), ODD),
        (Says("220 go\r\nx"), Some(ODD), ODD),
        (Says("220-go\r\n220 go\r\n250-x\r\n"), Some(ODD), ODD),
        (Says("454 4.7.0 not now\r\n"), None, "tls: refused with 454 4.7.0"),
        (Says("501 5.5.1 no\r\n"), None, "tls: refused with 501 5.5.1"),
        (Says("250 ok\r\n"), None, "tls: refused with 250"),
        (Says("hello\r\n"), Some(ODD), ODD),
        (Says("\r\n"), Some(ODD), ODD),
        (Endless("220-more\r\n"), Some(ODD), ODD),
        (Endless("220 xxxxxxxxxxxxxxx"), Some(ODD), ODD),
        (Silence, Some("tls: no answer in time"), "tls: no answer in time"),
        (Close, Some(GONE), GONE),
        (SaysAndCloses("220 go\r\n"), Some(GONE), GONE),
        (SaysAndCloses("22"), Some(GONE), GONE),
    ];
    let tls = crate::tls::ClientTls::new().unwrap();
    let name = || "sink.test".try_into().unwrap();
    for (answer, lax, strict) in rows {
        let securities = [
            (Security::Opportunistic(tls.opportunistic.clone(), name()), *lax),
            (Security::Required(tls.verified.clone(), name(), None), Some(*strict)),
        ];
        for (security, want) in securities {
            let (near, far) = duplex(1 << 16);
            tokio::spawn(sink(far, "250-x\r\n250 STARTTLS\r\n", Some(("tls", *answer))));
            let client = Client::open(near, "mx.test", security, ClientTimeouts::default()).await;
            assert_eq!(client.as_ref().err().map(ToString::to_string).as_deref(), want, "{answer:?}");
            match client {
                Ok(mut client) => {
                    assert!(!client.is_encrypted());
                    send(&mut client, TEXT).await.unwrap();
                }
                Err(failure) => assert!(!failure.is_permanent(), "{answer:?}"),
            }
        }
    }
}

/// A real handshake: the opportunistic client takes a self-signed certificate, the verifying one does not.
#[tokio::test]
async fn encrypted() {
    let made = rcgen::generate_simple_self_signed(vec!["sink.test".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = crate::tls::Certificate::load(&certificate, &key).unwrap();
    let tls = crate::tls::ClientTls::new().unwrap();
    let name = || "sink.test".try_into().unwrap();
    // With little room in the connection, TLS has the text before the server has.
    for (config, good, room) in
        [(&tls.opportunistic, true, 1 << 16), (&tls.opportunistic, true, 64), (&tls.verified, false, 1 << 16)]
    {
        let (near, far) = duplex(room);
        let acceptor = server.acceptor();
        let sink = tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(far).await else { return String::new() };
            let (inner, outer) = duplex(1 << 16);
            let (mut a, mut b) = (stream, outer);
            let log = tokio::spawn(sink(inner, PIPELINED, None));
            let _ = tokio::io::copy_bidirectional(&mut a, &mut b).await;
            drop(b);
            log.await.unwrap()
        });
        let client =
            Client::open(near, "mx.test", Security::Implicit(config.clone(), name(), None), ClientTimeouts::default())
                .await;
        match client {
            Ok(mut client) => {
                assert!(good);
                for early in [Nothing, Text, Text] {
                    ahead(&mut client, early, "b@home.test", TEXT).await;
                    send(&mut client, TEXT).await.unwrap();
                }
                client.quit().await;
                assert_eq!(sink.await.unwrap().matches("\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n").count(), 3);
            }
            Err(failure) => {
                assert_eq!((good, failure.to_string().as_str()), (false, "tls: the server's certificate is not good"))
            }
        }
    }
}

/// Dots are stuffed the same way wherever a block ends.
#[test]
fn stuffing_at_every_cut() {
    let text = b".a\r\n.\r\n..b\r\nc.d\r\n\r\n.";
    let stuffed = |cuts: &[&[u8]]| {
        let (mut out, mut line_start) = (Vec::new(), true);
        cuts.iter().for_each(|piece| stuff(piece, &mut line_start, &mut out));
        out
    };
    let whole = stuffed(&[text]);
    assert_eq!(whole, b"..a\r\n..\r\n...b\r\nc.d\r\n\r\n..");
    for cut in 0..=text.len() {
        assert_eq!(stuffed(&[&text[..cut], &text[cut..]]), whole, "{cut}");
    }
}
