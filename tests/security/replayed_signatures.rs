//! Nobody speaks by a signed message of somebody else: a signature proves what it signed, once, to
//! whom it was written.

use super::common::{BUYER, PATIENCE, Place, Relay, Sink, run};
use super::zone::Zone;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// Signs by dkimpy.
const SIGN: &str = include_str!("../e2e/sign.py");

/// A message to sign: its text with LF, the signing domain, `sign.py`'s further words.
pub struct Letter {
    pub message: String,
    pub domain: &'static str,
    pub more: serde_json::Value,
}

/// The messages, signed by one process; no domain: not at all.
pub fn signed(letters: &[&Letter], keys: &str) -> Vec<String> {
    let base64 = data_encoding::BASE64;
    let item = |letter: &&Letter| {
        let algorithm = letter.more["algorithm"].as_str().unwrap_or("rsa");
        let keys: Vec<[&str; 3]> =
            Some(letter.domain).filter(|d| !d.is_empty()).map(|d| [algorithm, "r", d]).into_iter().collect();
        let mut item = letter.more.clone();
        item["message"] = base64.encode(letter.message.replace('\n', "\r\n").as_bytes()).into();
        item["keys"] = serde_json::json!(keys);
        item
    };
    let items: Vec<serde_json::Value> = letters.iter().map(item).collect();
    let made = run("/usr/bin/python3", &["-c", SIGN, keys, "sign"], &serde_json::Value::from(items).to_string());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let texts: Vec<String> = serde_json::from_slice(&made.stdout).unwrap();
    texts.iter().map(|text| String::from_utf8(base64.decode(text.as_bytes()).unwrap()).unwrap()).collect()
}

/// A daemon that verifies, with the seller's addresses in these domains, each with a key; the
/// aliases of two buyers.
pub fn verifying(sink: u16, zone: &Zone, settings: &str, sellers: &[&str]) -> (Place, Relay, [String; 2]) {
    let place = Place::new(sink, "[limits]\nconnections_per_client = 1000\n");
    let text = std::fs::read_to_string(&place.config).unwrap();
    let text = text.replace("mode = \"none\"", &format!("mode = \"verify\"\n{settings}"));
    std::fs::write(&place.config, format!("{text}[dns]\nservers = [\"{}\"]\n", zone.address)).unwrap();
    let (first, _) = place.register();
    place.cli(&["buyer", "set", "B-8", "--name", "Jiro", "--email", "jiro@home.example"]);
    place.cli(&["order", "set", "250-2", "--buyer", "B-8", "--seller", "S-1"]);
    let second =
        place.cli(&["alias", "get", "--buyer", "B-8", "--seller", "S-1"])["buyer_alias"].as_str().unwrap().to_owned();
    let mut arguments = vec!["seller", "set", "S-1"];
    sellers.iter().for_each(|address| arguments.extend(["--sender", address]));
    place.cli(&arguments);
    let made = run("/usr/bin/python3", &["-c", SIGN, place.dir.path().to_str().unwrap(), "records"], "");
    let records = String::from_utf8(made.stdout).unwrap();
    let key = records.lines().next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&made.stderr)));
    for address in sellers {
        zone.text(&format!("r._domainkey.{}", address.split_once('@').unwrap().1), key);
    }
    zone.text("evil.example", "v=spf1 +all");
    zone.text("r._domainkey.evil.example", key);
    let relay = place.serve();
    (place, relay, [first, second])
}

/// Sends octets as they are; the reply to the message, or to the command that was refused.
pub fn send(port: u16, helo: &str, sender: &str, recipient: &str, message: &str) -> String {
    let mut write = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = BufReader::new(write.try_clone().unwrap());
    let mut reply = || {
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        line
    };
    reply();
    let commands =
        [format!("HELO {helo}"), format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"), "DATA".into()];
    for command in commands {
        write.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let last = reply();
        if !last.starts_with(['2', '3']) {
            return last;
        }
    }
    write.write_all(message.as_bytes()).unwrap();
    write.write_all(b".\r\n").unwrap();
    reply()
}

/// The newest message of the history.
pub fn newest(place: &Place) -> serde_json::Value {
    let listed = place.cli(&["message", "list", "--limit", "1"]);
    place.cli(&["message", "show", listed[0]["id"].as_str().unwrap()])
}

const ANN: &str = "ann@shop.example";

/// The attacker has a message that the seller's server signed, and puts on it, around it or behind
/// it what he likes. He sends it from his own host, by an envelope of his own: SPF says nothing for
/// him.
#[test]
fn a_signature_proves_what_it_signed_to_whom_it_was_written() {
    let mut sink = Sink::start();
    let zone = Zone::start();
    zone.text("shop.example", "v=spf1 ip4:192.0.2.0/24 -all");
    let (place, relay, [alias, other]) = verifying(sink.port, &zone, "", &[ANN]);
    // Each a message of its own: one that was signed alike would be the same.
    let written = std::cell::Cell::new(0);
    let letter = |to: &str, more: serde_json::Value| Letter {
        message: format!(
            "From: Ann <{ANN}>\nTo: {to}\nSubject: offer\nDate: Fri, 27 Nov 2026 10:00:00 +0900\nMessage-ID: <1@shop.example>\nMIME-Version: 1.0\nContent-Type: text/plain\n\nhello {}\n",
            written.replace(written.get() + 1)
        ),
        domain: "shop.example",
        more,
    };
    let none = serde_json::json!({});
    let plain = letter(&alias, none.clone());
    let again = letter(&alias, none.clone());
    let quoting = letter("x@evil.example", none.clone());
    let named = letter(&format!("\"{alias}\" <x@evil.example>"), none.clone());
    let bcc = letter("undisclosed-recipients:;", none.clone());
    let reason = letter(&format!("Hana <{}>", alias.replace('@', "+delivery@")), none.clone());
    let copied = letter(
        &format!("someone@else.example\nCc: Hana <{alias}>"),
        serde_json::json!({"headers": ["from", "to", "cc", "subject"]}),
    );
    let hidden = letter(&format!("someone@else.example\nCc: Hana <{alias}>"), none.clone());
    let length = letter(&alias, serde_json::json!({"algorithm": "length"}));
    let no_to = letter(&alias, serde_json::json!({"headers": ["from", "subject", "date"]}));
    let no_subject = letter(&alias, serde_json::json!({"headers": ["from", "to", "date"]}));
    let days = |days: u64| letter(&alias, serde_json::json!({"age": days * 86_400 + 60}));
    let (week, old) = (days(7), days(9));
    let letters =
        [&plain, &again, &quoting, &named, &bcc, &reason, &copied, &hidden, &length, &no_to, &no_subject, &week, &old];
    let signed = signed(&letters, place.dir.path().to_str().unwrap());
    let [plain, again, quoting, named, bcc, reason, copied, hidden, length, no_to, no_subject, week, old] = &signed[..]
    else {
        panic!()
    };
    let on_top = |fields: &str| format!("{fields}\r\n{plain}");
    let (refused, twice, pass) = ("550 5.7", "550 5.6.0", "250 2.6.0");
    // why, message, recipient, reply, reason or fact
    let cases: Vec<(&str, String, &str, &str, &str)> = vec![
        ("as it was written", plain.clone(), &alias, pass, ""),
        ("with a reason behind the alias", reason.clone(), &alias, pass, ""),
        ("by Cc, which is covered", copied.clone(), &alias, pass, ""),
        ("seven days old", week.clone(), &alias, pass, ""),
        ("the same field once more", format!("Subject: offer\r\n{again}"), &alias, pass, ""),
        ("another Subject on top", on_top("Subject: [Important] pay here"), &alias, twice, "repeated-field"),
        (
            "another Content-Type on top",
            on_top("Content-Type: multipart/mixed; boundary=zz"),
            &alias,
            twice,
            "repeated-field",
        ),
        (
            "another Content-Transfer-Encoding",
            on_top("Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit"),
            &alias,
            twice,
            "repeated-field",
        ),
        ("another Message-ID on top", on_top("Message-ID: <2@evil.example>"), &alias, twice, "repeated-field"),
        ("another Date on top", on_top("Date: Sat, 28 Nov 2026 10:00:00 +0900"), &alias, twice, "repeated-field"),
        ("another MIME-Version on top", on_top("MIME-Version: 2.0"), &alias, twice, "repeated-field"),
        (
            "two Reply-To on top",
            on_top("Reply-To: x@evil.example\r\nReply-To: y@evil.example"),
            &alias,
            twice,
            "repeated-field",
        ),
        ("another From on top", on_top("From: x@evil.example"), &alias, twice, "several-authors"),
        ("another To on top", format!("To: {other}\r\n{plain}"), &other, twice, "repeated-field"),
        ("to the alias of another buyer", plain.clone(), &other, refused, "not-to-you"),
        ("what was written to the attacker", quoting.clone(), &alias, refused, "not-to-you"),
        ("the attacker calls himself by the alias", named.clone(), &alias, refused, "not-to-you"),
        ("by Bcc", bcc.clone(), &alias, refused, "not-to-you"),
        ("a Cc that is not covered", hidden.clone(), &alias, refused, "not-to-you"),
        (
            "an own Cc below",
            plain.replacen("\r\nSubject:", &format!("\r\nCc: {other}\r\nSubject:"), 1),
            &other,
            refused,
            "not-to-you",
        ),
        ("with l=, and more hung on", length.replace("hello", "hello\r\npay here"), &alias, refused, "l-tag"),
        ("with l=", length.clone(), &alias, refused, "l-tag"),
        ("To is not covered", no_to.clone(), &alias, refused, "no-to"),
        ("To is not covered, and changed", no_to.replace(&alias, &other), &other, refused, "no-to"),
        ("Subject is not covered", no_subject.replace("offer", "pay here"), &alias, refused, "no-subject"),
        ("nine days old", old.clone(), &alias, refused, "old"),
    ];
    let mut wrong = Vec::new();
    let mut relayed = 0;
    for (why, message, to, want, word) in &cases {
        let reply = send(relay.port, "evil.example", "x@evil.example", to, message);
        let told = newest(&place);
        let found =
            if told["message"]["reason"] == *word { *word } else { told["facts"]["signature"].as_str().unwrap_or("") };
        if !reply.starts_with(want) || found != *word {
            wrong.push(format!("{why}: {} {found} instead of {want} {word}", reply.trim()));
        }
        relayed += usize::from(reply.starts_with('2'));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    (0..relayed).for_each(|_| drop(sink.next(BUYER)));
    assert!(sink.others().is_empty());
    relay.stop();
}
