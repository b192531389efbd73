//! Arguments to exit status and words; help; the shapes of JSON documents.

use super::*;
use serde_json::Value;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname = 'mx.m.test'\ndata_dir = '{}'\n[[marketplace]]\nid = 'jp'\ndomain = 'm.test'\nname = 'M'\ntime_zone = 'Asia/Tokyo'\n\
             [[marketplace]]\nid = 'de'\ndomain = 'm2.test'\nname = 'M2'\n[[listener]]\naddress = '127.0.0.1:0'\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("c.toml"), text).unwrap();
        Self { dir }
    }

    fn run(&self, line: &str) -> (u8, String, String) {
        let config = self.dir.path().join("c.toml").display().to_string();
        let words = ["marketrelay", "--config", &config].into_iter().map(str::to_owned);
        // Quotes keep a word together.
        let mut quoted = false;
        let split = line.split(|c| {
            quoted ^= c == '\'';
            c == ' ' && !quoted
        });
        let words = words.chain(split.map(|word| word.replace('\'', "")));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = run(words.map(OsString::from), &mut out, &mut err);
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn json(&self, line: &str) -> Value {
        let (status, out, err) = self.run(&format!("{line} --json"));
        assert_eq!(status, 0, "{line}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {out}"))
    }
}

#[test]
fn statuses_and_words() {
    let world = World::new();
    // command, status, in standard output, in standard error
    let table = [
        ("--help", 0, "marketrelay demo", ""),
        ("seller set --help", 0, "Example:", ""),
        ("import --help", 0, "\"type\":\"order\"", ""),
        ("--version", 0, "marketrelay", ""),
        ("completions bash", 0, "_marketrelay", ""),
        ("man", 0, ".TH", ""),
        ("check", 0, "good", ""),
        ("nonsense", 2, "", "unrecognized"),
        ("seller set", 2, "", "required"),
        ("seller set 'a b' --email a@b.test", 2, "", "visible ASCII"),
        ("message show xyz", 2, "", "id"),
        ("message list --verdict maybe", 2, "", "possible values"),
        ("order set o --buyer b --seller s --placed yesterday", 2, "", "2026-11-21T09:00:00+09:00"),
        ("completions tcsh", 2, "", "possible values"),
        ("seller list --marketplace jp", 1, "", "there is no store"),
        ("seller set s1 --email a@b.test", 1, "", "--marketplace"),
        ("seller set s1 --email a@b.test --marketplace xx", 4, "", "there are: jp, de"),
        ("seller set s1 --email nobody --marketplace jp", 1, "", "a mail address is wrong"),
        ("seller set s1 --marketplace jp", 1, "", "needs --email"),
        (
            "seller set s1 --name 'Sato Shop' --email s@shop.test --sender t@shop.test --marketplace jp",
            0,
            "was created",
            "",
        ),
        ("seller set s1 --name 'Sato Shop' --marketplace jp", 0, "is set", ""),
        ("seller set s2 --email x@m2.test --marketplace jp", 1, "", "alias domain"),
        ("seller show s1 --marketplace jp", 0, "t@shop.test", ""),
        ("seller show s1 --marketplace de", 4, "", "no seller s1"),
        ("seller suspend s1 --marketplace jp", 0, "suspended", ""),
        ("seller resume s1 --marketplace jp", 0, "active", ""),
        ("seller list --marketplace jp", 0, "Sato Shop", ""),
        ("seller statistics s1 --marketplace jp", 0, "due within 24 hours", ""),
        ("seller statistics nobody --marketplace jp", 4, "", "no seller nobody"),
        ("message list --needs-response", 0, "There are no such messages.", ""),
        ("buyer set b1 --email b@home.test --marketplace jp", 0, "was created", ""),
        ("buyer opt-out b1 --marketplace jp", 0, "opted out", ""),
        ("buyer list", 0, "b@home.test", ""),
        ("order set o1 --buyer b1 --seller nobody --marketplace jp", 4, "", "no seller nobody"),
        ("order set o1 --buyer b1 --seller s1 --status shipped --marketplace jp", 0, "shipped", ""),
        ("order show o1 --marketplace jp", 0, "shipped", ""),
        ("order show o2 --marketplace jp", 4, "", "no order o2"),
        ("order list --seller s1 --marketplace jp", 0, "o1", ""),
        ("alias get --buyer b1 --seller s1 --marketplace jp", 0, "@m.test", ""),
        ("alias show nobody@m.test", 4, "", "no such alias"),
        ("message list", 0, "There are no such messages.", ""),
        ("policy explain --from a@b.test --to c@m.test /nowhere.eml", 1, "", "cannot read"),
        ("policy explain --from nobody --to c@m.test /dev/null", 1, "", "--from"),
        ("policy explain --from a@b.test --to c@m.test /dev/null", 0, "550 5.1.1", ""),
        ("history verify", 0, "0 message(s) and 0 event(s) are as they were", ""),
        ("history verify --holds abc", 1, "", "64 hexadecimal"),
        (
            "history verify --holds 0000000000000000000000000000000000000000000000000000000000000000",
            0,
            "ends with 0000",
            "",
        ),
        ("queue list", 0, "The queue is empty.", ""),
        ("queue show 1", 4, "", "no item 1"),
        ("queue retry", 0, "0 item(s)", ""),
        ("queue retry 7", 4, "", "no item 7"),
        ("queue cancel x", 2, "", "queue list"),
        ("quota show --seller s1 --marketplace jp", 0, "of 600 messages", ""),
        ("seller remove s1 --marketplace jp", 0, "550", ""),
        ("seller set s1 --email s@shop.test --marketplace jp", 1, "", "was removed"),
        ("import /nowhere.jsonl", 1, "", "cannot read"),
        ("demo --listen 0.0.0.0:2525", 1, "", "loopback"),
    ];
    for (line, status, out, err) in table {
        let got = world.run(line);
        assert!(got.0 == status && got.1.contains(out) && got.2.contains(err), "{line}: {got:?}");
        assert_eq!(got.2.is_empty(), status == 0, "{line}: only failures speak on standard error");
    }
}

#[test]
fn documents() {
    let world = World::new();
    world.json("seller set s1 --name S --email s@shop.test --auto-replies off --marketplace jp");
    world.json("buyer set b1 --name B --email b@home.test --language ja --marketplace jp");
    world.json("order set o1 --buyer b1 --seller s1 --placed 2026-11-21T09:00:00+09:00 --marketplace jp");
    // command, keys of the document (of its first element, if it is a list)
    let table = [
        (
            "seller show s1 --marketplace jp",
            "addresses auto_replies email id language marketplace name password removed suspended unauthenticated",
        ),
        ("buyer show b1 --marketplace jp", "addresses email id language marketplace name opted_out removed"),
        ("buyer list", "addresses email id language marketplace name opted_out removed"),
        ("order show o1 --marketplace jp", "buyer category id marketplace placed seller status"),
        ("alias get --buyer b1 --seller s1 --marketplace jp", "buyer buyer_alias marketplace seller seller_alias"),
        ("seller statistics s1 --marketplace jp", "deadline_hours marketplace seller windows"),
        ("quota show --seller s1 --marketplace jp", "average_orders_per_day limit resets_at used"),
    ];
    for (line, keys) in table {
        let document = world.json(line);
        let object = document.as_array().and_then(|list| list.first()).unwrap_or(&document);
        let got: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(got.join(" "), keys, "{line}");
    }
    assert_eq!(world.json("order show o1 --marketplace jp")["placed"], "2026-11-21T00:00:00Z");
    assert!(
        world.json("quota show --seller s1 --marketplace jp")["resets_at"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00+09:00")
    );
    let (status, out, _) = world.run("seller show nobody --marketplace jp --json");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert!(status == 4 && document["error"].as_str().unwrap().contains("nobody"));
    std::fs::write(world.dir.path().join("c.toml"), "colour = 1").unwrap();
    let (status, out, _) = world.run("check --json");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, document["problems"][0]["place"].as_str()), (3, Some("colour")));
}

#[test]
fn what_the_rules_say_of_a_message() {
    let world = World::new();
    let config = world.dir.path().join("c.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "[authentication]\nmode = 'none'\n";
    std::fs::write(&config, text).unwrap();
    world.json("seller set s1 --name S --email s@shop.test --marketplace jp");
    world.json("buyer set b1 --name B --email b@home.test --marketplace jp");
    let aliases = world.json("alias get --buyer b1 --seller s1 --marketplace jp");
    let (buyer, seller) = (aliases["buyer_alias"].as_str().unwrap(), aliases["seller_alias"].as_str().unwrap());
    let file = world.dir.path().join("m.eml");
    let explain = |from: &str, to: &str, text: &str| {
        std::fs::write(&file, text).unwrap();
        world.json(&format!("policy explain --from {from} --to {to} {}", file.display()))
    };
    let told = explain("s@shop.test", buyer, "From: s@shop.test\nSubject: x\n\nx\n");
    assert_eq!((&told["verdict"], &told["reason"]), (&"relay".into(), &"relayed".into()), "{told}");
    assert_eq!(told["facts"]["quota"], "0/600");
    assert_eq!(told["rules"].as_array().unwrap().len(), 6);
    assert_eq!(told["rules"][5]["decides"], true);
    world.json("buyer opt-out b1 --marketplace jp");
    let told = explain("s@shop.test", buyer, "From: s@shop.test\nSubject: x\n\nx\n");
    assert_eq!((&told["verdict"], &told["auto_reply"]), (&"block".into(), &true.into()), "{told}");
    world.json("seller suspend s1 --marketplace jp");
    let told = explain("s@shop.test", buyer, "From: s@shop.test\nX-Marketrelay-Loop: m.test\n\nx\n");
    // The first that decides is the verdict; the others are told too.
    let answers: Vec<&str> = told["rules"].as_array().unwrap().iter().map(|r| r["answer"].as_str().unwrap()).collect();
    assert_eq!(told["reason"], "loop");
    assert!(answers[0].contains("loop") && answers[1].contains("suspended") && answers[2] == "pass", "{answers:?}");
    let told = explain("'<>'", seller, "From: mallory@evil.test\n\nx\n");
    assert!(told["reply"].as_str().unwrap().starts_with("550 5.7.1") && told["reason"] == "stranger", "{told}");
    assert_eq!(world.json("message list"), Value::Array(Vec::new()), "nothing was written");
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let world = World::new();
    world.json("buyer set b1 --name 'evil\u{1b}[2J\u{202e}' --email b@home.test --marketplace jp");
    let (_, out, _) = world.run("buyer list");
    assert!(out.contains("evil") && !out.contains(['\u{1b}', '\u{202e}']), "{out:?}");
}

/// A pipe that nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let status = run(["marketrelay", "man"].map(OsString::from), &mut Closed, &mut Vec::new());
    assert_eq!(status, 0);
}
