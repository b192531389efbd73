//! Strangers cannot fill the disk, nor the operator's mailbox.

use super::common::{BUYER, Place, SELLER, Sink};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;

/// A stranger's session from an address of his choice on loopback.
pub struct Stranger {
    lines: BufReader<TcpStream>,
}

impl Stranger {
    pub fn new(port: u16, last: u8) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()).unwrap();
        let mut session = Self { lines: BufReader::new(socket.into()) };
        session.reply();
        session.command("EHLO x.example");
        session
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    pub fn command(&mut self, command: &str) -> String {
        self.lines.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// The last reply of a whole transaction; the first that refuses it.
    pub fn send(&mut self, from: &str, to: &str, message: &str) -> String {
        for command in [&format!("MAIL FROM:<{from}>"), &format!("RCPT TO:<{to}>"), "DATA"] {
            let reply = self.command(command);
            if !reply.starts_with(['2', '3']) {
                self.command("RSET");
                return reply;
            }
        }
        self.command(&format!("{}\r\n.", message.replace('\n', "\r\n")))
    }
}

/// Octets of all files.
fn octets(folder: &Path) -> u64 {
    let size = |path: &Path| if path.is_dir() { octets(path) } else { path.metadata().map_or(0, |meta| meta.len()) };
    std::fs::read_dir(folder).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

const PATIENT: &str = "[limits]\nerrors_soft = 100000\nerrors_hard = 100000\njunk_commands = 100000\n";
const MAIL: &str = "From: x@evil.example\nSubject: s\n\nx";

#[test]
fn mail_to_the_operator_stays_until_it_is_delivered() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, PATIENT);
    let (buyer_alias, _) = place.register();
    let relay = place.serve();
    let data = place.dir.path().join("data");

    // Large: told as soon as it can be, and nothing of it stays.
    let mut flood = Stranger::new(relay.port, 66);
    let said = flood.command("MAIL FROM:<x@evil.example> SIZE=5000000");
    assert!(said.starts_with("250"), "{said}");
    for address in ["postmaster@market.test", "abuse@market.test", "Postmaster"] {
        let said = flood.command(&format!("RCPT TO:<{address}>"));
        assert!(said.starts_with("552 5.3.4"), "{said}");
    }
    let said = flood.command(&format!("RCPT TO:<{buyer_alias}>"));
    assert!(said.starts_with("250"), "a message to a party may be longer: {said}");
    flood.command("RSET");
    let before = octets(&data);
    let line = "x".repeat(70) + "\n";
    for _ in 0..3 {
        let large = format!("{MAIL}\n{}", line.repeat((5 << 20) / 72));
        let said = flood.send("x@evil.example", "abuse@market.test", &large);
        assert!(said.starts_with("552 5.3.4"), "{said}");
    }
    assert!(octets(&data) < before + (1 << 20), "{before} {}", octets(&data));

    // Many: one network has its share.
    let replies: Vec<String> = (0..200).map(|_| flood.send("x@evil.example", "postmaster@market.test", MAIL)).collect();
    let taken = replies.iter().filter(|reply| reply.starts_with("250")).count();
    assert!((20..=31).contains(&taken), "{taken} of 200");
    assert!(replies.iter().all(|reply| reply.starts_with("250") || reply.starts_with("450 4.7.28")), "{replies:?}");
    let said = Stranger::new(relay.port, 67).send("y@honest.example", "abuse@market.test", MAIL);
    assert!(said.starts_with("250"), "others get in: {said}");

    // It is delivered, and gone.
    let first = sink.next("ops@office.example");
    assert_eq!(first.commands[0], "MAIL FROM:<>");
    for field in ["Authentication-Results", "Received", "X-Marketrelay-Loop"] {
        assert!(first.header(field).is_some_and(|value| value.contains("mx.market.test")), "{}", first.message);
    }
    (0..taken).for_each(|_| drop(sink.next("ops@office.example")));
    place.cli_until(&["queue", "list"], |items| items.as_array().is_some_and(Vec::is_empty));
    assert_eq!(place.cli(&["message", "list"]), serde_json::json!([]));
    let database = rusqlite::Connection::open(data.join("marketrelay.sqlite3")).unwrap();
    for table in ["message", "body", "event", "search"] {
        let rows: i64 = database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(place.try_cli(&["history", "verify"]).0, 0);
    relay.stop();
}

#[test]
fn mail_that_comes_back_from_the_operator_ends() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, PATIENT);
    let relay = place.serve();
    let mut stranger = Stranger::new(relay.port, 66);
    assert!(stranger.send("x@evil.example", "abuse@market.test", MAIL).starts_with("250"));
    let came = sink.next("ops@office.example").message.replace("\r\n", "\n");
    let rounds = format!("{}{MAIL}", "Received: x\n".repeat(80));
    for (name, mail) in [("as it came", came.as_str()), ("80 hops", &rounds)] {
        let said = stranger.send("loop@office.example", "postmaster@market.test", mail);
        assert!(said.starts_with("554 5.4.6"), "{name}: {said}");
    }
    // A program of the operator that answers what it gets, and takes the marks off: it is a network
    // like others.
    let taken = (0..100).filter(|_| stranger.send("", "abuse@market.test", MAIL).starts_with("250")).count();
    assert!(taken <= 30, "{taken}");
    relay.stop();
}

#[test]
fn a_flood_of_refusals_is_a_few_lines() {
    let sink = Sink::start();
    // As few rows as an operator has by default.
    let place = Place::new(sink.port, &format!("{PATIENT}refusal_rows = 10\n"));
    let (buyer_alias, _) = place.register();
    let relay = place.serve();
    let mut stranger = Stranger::new(relay.port, 66);
    for _ in 0..300 {
        let said = stranger.send("x@evil.example", &buyer_alias, MAIL);
        if !said.starts_with('5') {
            stranger = Stranger::new(relay.port, 66);
        }
    }
    // Lines of the ordinary level: the others are for who looks for a fault.
    let log = relay.log();
    let lines = log.lines().filter(|line| !line.contains("\"DEBUG\"")).count();
    assert!(lines < 100, "{lines} lines: {log:.2000}");
    relay.stop();
}

#[test]
fn reports_without_end_are_a_few_rows() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, PATIENT);
    let (buyer_alias, _) = place.register();
    let relay = place.serve();
    let mail = format!("From: {}\nTo: {buyer_alias}\nSubject: s\n\nx", SELLER);
    let said = Stranger::new(relay.port, 1).send(SELLER, &buyer_alias, &mail);
    let id = said.rsplit(' ').next().unwrap().to_owned();
    let came = sink.next(BUYER);
    let bounce = came.commands[0].trim_start_matches("MAIL FROM:<").split('>').next().unwrap().to_owned();
    let mut stranger = Stranger::new(relay.port, 66);
    for subject in ["failure notice", "Delivery Status Notification (Delay)", "Out of office"] {
        let report = format!("From: MAILER-DAEMON@x.example\nSubject: {subject}\n\n{}", "x ".repeat(4000));
        (0..30).for_each(|_| drop(stranger.send("", &bounce, &report)));
    }
    let shown = place.cli(&["message", "show", &id]);
    let events = shown["events"].as_array().unwrap();
    assert!(events.len() <= 6, "{events:?}");
    assert!(octets(&place.dir.path().join("data")) < 20 << 20);
    relay.stop();
}
