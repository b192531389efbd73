//! What is erased is gone, and the history still proves the rest.

use crate::common::{BUYER, Place, Relay, SELLER, Sink, Wire, run, swaks};
use serde_json::{Value, json};
use std::path::Path;

/// What the buyer is known by and says nowhere else.
const NAME: &str = "Hanako Wellington";
/// Words of the buyer, as they are looked for in the files.
const OWN: &[&str] = &[
    "Hanako",
    "Wellington",
    "b-real-9c1",
    "old-b-real",
    "zylophone",
    "quixotically",
    "marzipanesque",
    "umbrellastand",
    "grumblesworth",
    "snickerdoodle",
    "own-mid-77",
];
/// Words of the seller, which stay.
const OTHERS: &[&str] = &["certainly we replace", "thimblewick"];

fn mail(relay: &Relay, from: &str, to: &str, header: &[&str], body: &str) -> (bool, String) {
    let mut arguments: Vec<&str> = header.iter().flat_map(|line| ["--header", line]).collect();
    arguments.extend(["--body", body]);
    swaks(relay.port, from, to, &arguments)
}

/// Where any of `words` stands in a file below `directory`, in any letter case, octet for octet.
fn found(directory: &Path, words: &[&str]) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hits.extend(found(&path, words));
            continue;
        }
        let octets = std::fs::read(&path).unwrap().to_ascii_lowercase();
        for word in words {
            let word = word.to_ascii_lowercase();
            let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
            if [word.as_bytes(), &wide].iter().any(|form| memchr::memmem::find(&octets, form).is_some()) {
                hits.push(format!("{word} in {}", path.display()));
            }
        }
    }
    hits
}

/// Every column of every table that holds text or octets, and every message as it is kept,
/// unpacked.
fn kept(place: &Place) -> String {
    let code = "import sqlite3, sys\n\
                c = sqlite3.connect(sys.argv[1])\n\
                c.text_factory = bytes\n\
                for (t,) in c.execute(\"select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' and name not like 'search%'\").fetchall():\n\
                \x20   for row in c.execute('select * from ' + t.decode()):\n\
                \x20       sys.stdout.buffer.write(b'\\n'.join(v if isinstance(v, bytes) else str(v).encode() for v in row) + b'\\n')";
    let store = place.dir.path().join("data/marketrelay.sqlite3");
    let done = run("/usr/bin/python3", &["-c", code, store.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (status, messages, _) = place.try_cli(&["message", "export"]);
    assert_eq!(status, 0);
    String::from_utf8_lossy(&done.stdout).into_owned() + &messages
}

fn holds(text: &str, words: &[&str]) -> Vec<String> {
    let text = text.to_lowercase();
    words.iter().filter(|word| text.contains(&word.to_lowercase())).map(|word| (*word).to_owned()).collect()
}

/// A buyer and a seller who have written to each other in every way that is quoted.
fn talked(place: &Place, relay: &Relay, sink: &mut Sink) -> (String, String) {
    place.cli(&["seller", "set", "S-1", "--name", "Sato Shop", "--email", SELLER]);
    place.cli(&["buyer", "set", "B-7", "--name", NAME, "--email", "old-b-real@home.example"]);
    place.cli(&["buyer", "set", "B-7", "--email", BUYER]);
    place.cli(&["order", "set", "250-1", "--buyer", "B-7", "--seller", "S-1", "--status", "shipped"]);
    let aliases = place.cli(&["alias", "get", "--buyer", "B-7", "--seller", "S-1"]);
    let alias = |name: &str| aliases[name].as_str().unwrap().to_owned();
    let (buyer, seller) = (alias("buyer_alias"), alias("seller_alias"));
    let text = "The zylophone came quixotically late and the marzipanesque box was open, which is a pity for all of us.\nWrite to me soon.";
    let header = ["Subject: My umbrellastand", "Message-Id: <own-mid-77@home.example>"];
    assert!(mail(relay, BUYER, &seller, &header, text).0);
    let asked = sink.next(SELLER);
    let id = asked.header("Message-ID").unwrap();
    // Quoted as mail programs do: wrapped anew, the name that the From field told in the greeting
    // and in To.
    let reply = format!("In-Reply-To: {id}");
    let to = format!("To: \"{NAME}\" <{buyer}>");
    let answer = format!(
        "Dear Hanako,\ncertainly we replace it. Write to {SELLER}.\n\nOn Saturday {NAME} <{buyer}> wrote:\n> The zylophone came quixotically late and the\n> marzipanesque box was open, which is a pity\n> for all of us.\n> Write to me soon.\n"
    );
    assert!(mail(relay, SELLER, &buyer, &["Subject: Re: My umbrellastand", &to, &reply], &answer).0);
    sink.next(BUYER);
    // In HTML, base 64, with an encoded name, and below a header instead of in a quote.
    let html = format!(
        "<p>thimblewick is on its way, Mrs&nbsp;Wellington.</p><blockquote>The zylophone came <b>quixotically</b> late</blockquote>\
         <p>From: {NAME}<br>Subject: My umbrellastand</p>the marzipanesque box was open, which is a pity"
    );
    let html = data_encoding::BASE64.encode(html.as_bytes());
    let to = format!("To: =?utf-8?B?{}?= <{buyer}>", data_encoding::BASE64.encode(NAME.as_bytes()));
    let kind = ["Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64"];
    assert!(mail(relay, SELLER, &buyer, &[&["Subject: On its way", to.as_str()][..], &kind].concat(), &html).0);
    let copy = sink.next(BUYER);
    // A report in words, and an opt-out.
    for (word, body) in [("report", "This grumblesworth is no answer."), ("stop", "x")] {
        let address = footer(&copy, word);
        assert!(mail(relay, BUYER, &address, &["Subject: x"], body).0, "{word}");
        sink.next(BUYER);
    }
    place.cli_until(&["queue", "list"], |queue| *queue == json!([]));
    // What waits both ways.
    for (from, to, party) in [(BUYER, &seller, SELLER), (SELLER, &buyer, BUYER)] {
        sink.refuse.lock().unwrap().insert(party.into(), "451 4.2.0 later".into());
        let about = format!("In-Reply-To: {id}");
        assert!(mail(relay, from, to, &["Subject: Re: snickerdoodle", &about], "Hanako, it waits.").0, "{from}");
    }
    place.cli_until(&["queue", "list"], |queue| queue.as_array().unwrap().iter().all(|i| i["state"] == "waiting"));
    (buyer, seller)
}

/// The address in a copy's footer that acts.
fn footer(copy: &Wire, word: &str) -> String {
    let text = copy.text();
    let decoded = text.split("\r\n\r\n").nth(1).unwrap_or("").replace("\r\n", "");
    let decoded = data_encoding::BASE64.decode(decoded.as_bytes()).map(|b| String::from_utf8_lossy(&b).into_owned());
    let text = decoded.unwrap_or(text);
    let at = text.find(&format!("{word}+")).unwrap_or_else(|| panic!("no {word}+ in {text}"));
    text[at..].split(['"', '?', '>', '<', ' ', '\r', '\n']).next().unwrap().to_owned()
}

#[test]
fn nothing_of_an_erased_buyer_is_left() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = talked(&place, &relay, &mut sink);
    let data = place.dir.path().join("data");
    // Half of it is in the chain and the index, with a head that somebody wrote down.
    relay.stop();
    let head = place.cli(&["history", "verify"])["head"].as_str().unwrap().to_owned();
    let relay = place.serve();
    assert!(mail(&relay, BUYER, &seller_alias, &["Subject: Re: My umbrellastand"], "One more zylophone.").0);
    assert_eq!(holds(&kept(&place), OWN).len(), OWN.len(), "all of it is there before");

    // Disclosed before.
    let told = place.cli(&["buyer", "export", "B-7"]);
    let text = told.to_string();
    assert!(text.contains(NAME) && text.contains("old-b-real") && text.contains("quixotically"), "{text}");
    assert!(text.contains("certainly we replace") && text.contains("grumblesworth"), "{text}");
    assert!(!text.contains("s-real") && !text.contains("sellerco"), "the other side's address: {text}");
    assert!(text.contains(&format!("replace it. Write to {seller_alias}.")), "as the buyer got it: {text}");
    let sent = told["messages"].as_array().unwrap().iter().filter(|m| m["direction"] == "sent").count();
    assert_eq!((sent, told["party"]["opted_out"].clone()), (3, json!(true)), "{text}");

    // Removing is not erasing, and says so; a dry run changes nothing.
    let before = place.cli(&["buyer", "erase", "B-7", "--dry-run"]);
    assert_eq!((&before["found"]["messages"], &before["found"]["received"]), (&json!(3), &json!(3)), "{before}");
    assert_eq!(holds(&kept(&place), OWN).len(), OWN.len());

    let done = place.cli(&["buyer", "erase", "B-7", "--by", "Kim of support"]);
    assert_eq!((&done["erased"]["messages"], &done["remains"]), (&json!(3), &json!("none")), "{done}");
    assert!(done["kept"].as_array().unwrap().iter().all(|kept| kept["why"].is_string()), "{done}");
    assert_eq!(found(&data, OWN), Vec::<String>::new(), "beside the daemon");
    let left = kept(&place);
    assert_eq!(holds(&left, OWN), Vec::<String>::new(), "{left}");
    assert_eq!(holds(&left, OTHERS).len(), OTHERS.len(), "the other's words stay: {left}");
    assert!(left.contains("Dear [erased]") && left.contains("> [erased]"), "{left}");
    assert_eq!(place.cli(&["queue", "list"]), json!([]));
    for word in ["zylophone", "umbrellastand", "Wellington"] {
        assert_eq!(place.cli(&["message", "list", "--text", word]), json!([]), "{word}");
    }
    assert_eq!(place.cli(&["message", "list", "--text", "thimblewick"]).as_array().unwrap().len(), 1);

    // The history says what was erased, by whom, and holds through the old head; a second time
    // nothing is left to do.
    let verified = place.cli(&["history", "verify", "--holds", &head]);
    assert_eq!((&verified["fault"], &verified["holds"]), (&Value::Null, &json!(true)), "{verified}");
    assert_eq!(
        (&verified["erasures"][0]["by"], &verified["erasures"][0]["id"]),
        (&json!("Kim of support"), &json!("B-7"))
    );
    let (_, said, _) = place.try_cli(&["history", "verify"]);
    assert!(said.contains("erased at ") && said.contains("by Kim of support: buyer B-7"), "{said}");
    let events = |place: &Place| place.cli(&["history", "verify"])["events"].clone();
    relay.stop();
    let again = place.cli(&["buyer", "erase", "B-7", "--by", "Somebody else"]);
    assert_eq!((&again["already"], &again["erasure"]["by"]), (&json!(true), &json!("Kim of support")), "{again}");
    let (told, after) = (events(&place), place.cli(&["history", "verify"]));
    assert_eq!((events(&place), &after["fault"], &after["waiting"]), (told, &Value::Null, &json!(0)), "{after}");
    assert_eq!(found(&data, OWN), Vec::<String>::new(), "with the daemon stopped");

    // Mail to either alias is refused like mail to an unknown one.
    let relay = place.serve();
    let refused = |from: &str, to: &str| mail(&relay, from, to, &["Subject: x"], "x").1;
    let line = |text: String| text.lines().find(|line| line.contains("550 ")).unwrap().to_owned();
    let unknown = line(refused(SELLER, "bcdfghjkmnpqrstv@market.test"));
    assert_eq!(line(refused(SELLER, &buyer_alias)), unknown);
    assert_eq!(line(refused(BUYER, &seller_alias)), unknown);
    assert_eq!(place.try_cli(&["buyer", "set", "B-7", "--email", BUYER]).0, 1, "the id is not given again");
    // The opt-out is known under the address, though nobody can read the address.
    let back = place.cli(&["buyer", "set", "B-8", "--email", "B-Real-9c1+new@home.example"]);
    assert_eq!(back["opted_out"], json!(true), "{back}");
    assert_eq!(place.cli(&["buyer", "set", "B-9", "--email", "other@home.example"])["opted_out"], json!(false));
    let log = relay.log();
    assert_eq!(holds(&log, OWN), Vec::<String>::new(), "{log}");
    relay.stop();
}

#[test]
fn an_erased_message_and_an_erased_seller() {
    let mut sink = Sink::start();
    let place = Place::new(sink.port, "");
    let relay = place.serve();
    talked(&place, &relay, &mut sink);
    let id = place.cli(&["message", "list", "--text", "thimblewick"])[0]["id"].as_str().unwrap().to_owned();
    let dry = place.cli(&["message", "erase", &id, "--dry-run"]);
    assert_eq!(dry["erasure"], Value::Null, "{dry}");
    let done = place.cli(&["message", "erase", &id, "--by", "Kim"]);
    assert_eq!((&done["already"], &done["erasure"]["message"]), (&json!(false), &json!(id)), "{done}");
    assert_eq!(place.cli(&["message", "erase", &id])["already"], json!(true));
    assert_eq!(place.try_cli(&["message", "erase", "0000000000000"]).0, 4);
    assert_eq!(place.cli(&["message", "list", "--text", "thimblewick"]), json!([]));
    let data = place.dir.path().join("data");
    assert_eq!(found(&data, &["thimblewick"]), Vec::<String>::new());
    let walk = place.cli(&["message", "show", &id]);
    assert_eq!(
        (&walk["erased"]["erasure"]["by"], &walk["message"]["fate"]),
        (&json!("Kim"), &json!("delivered")),
        "{walk}"
    );
    assert_eq!(place.cli(&["history", "erasures"]).as_array().unwrap().len(), 1);

    // Before it was chained, and a seller whose name is of ordinary words.
    let (status, said, _) = place.try_cli(&["seller", "remove", "S-1"]);
    assert!(status == 0 && said.contains("not erasure") && said.contains("seller erase S-1"), "{said}");
    let done = place.cli(&["seller", "erase", "S-1"]);
    assert_eq!(done["remains"], json!("none"), "{done}");
    assert_eq!(found(&data, &["Sato Shop", "s-real-7f3", "certainly we replace"]), Vec::<String>::new());
    assert_eq!(holds(&kept(&place), &["zylophone", "Hanako"]).len(), 2, "the buyer's words stay");
    relay.stop();
    let verified = place.cli(&["history", "verify"]);
    assert_eq!((&verified["fault"], &verified["waiting"]), (&Value::Null, &json!(0)), "{verified}");
    assert_eq!(verified["erased"], json!(3), "{verified}");
    assert_eq!(verified["erasures"].as_array().unwrap().len(), 2, "{verified}");
}
