//! Arguments to exit status and words; help; the shapes of JSON documents.

mod marketplaces;
mod mistakes;

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

    /// Puts into the store what an older version let pass.
    fn sql(&self, sql: &str) {
        let file = self.dir.path().join("data").join(crate::store::FILE);
        rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    fn json(&self, line: &str) -> Value {
        let (status, out, err) = self.run(&format!("{line} --json"));
        assert_eq!(status, 0, "{line}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {out}"))
    }
}

#[test]
fn a_store_that_a_command_makes_is_told() {
    let said = |err: &str| err.contains("there was no store; a new one was made in /");
    let world = World::new();
    for new in [true, false] {
        let (status, out, err) = world.run("--json seller set S-1 --name S --email s@s.example --marketplace jp");
        assert!(status == 0 && said(&err) == new && out.starts_with('{'), "{out} {err}");
    }
    let world = World::new();
    let (status, out, err) = world.run("store init");
    assert!(status == 0 && err.is_empty() && out.contains("A new store was made"), "{out} {err}");
}

#[test]
fn what_named_files_hold_is_checked() {
    let world = World::new();
    let file = world.dir.path().join("c.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let pem = world.dir.path().join("wrong.pem");
    std::fs::write(&pem, "-----BEGIN NOTHING-----\n").unwrap();
    // what is added to a good configuration, the place, the remedy
    let table = [
        ("[tls]\ncertificate = 'PEM'\nkey = 'PEM'\n", "tls.certificate: ", "Check [tls]"),
        ("[tls]\nextra_roots = 'PEM'\n", "tls.extra_roots: ", "Check [tls]"),
        ("[[dkim]]\nmarketplace = 'jp'\nselector = 's'\nkey = 'PEM'\n", "dkim[0].key: ", "`marketrelay dkim generate`"),
        ("[log]\nlevel = 'loud'\n", "log.level: ", "Write error, warn"),
        ("[notices]\ndirectory = 'DIR'\n", "notices: ", "Mend the file"),
    ];
    std::fs::create_dir(world.dir.path().join("nl")).unwrap();
    std::fs::write(world.dir.path().join("nl/failure.txt"), "Subject: x\n\n{nothing}\n").unwrap();
    for (more, place, remedy) in table {
        let more =
            more.replace("PEM", &pem.display().to_string()).replace("DIR", &world.dir.path().display().to_string());
        std::fs::write(&file, format!("{good}{more}")).unwrap();
        // What would not start is no good configuration, and the daemon says the same as `check`.
        let (checked, served) = (world.run("check"), world.run("serve"));
        assert!(checked.0 == 3 && checked.2.contains(place) && checked.2.contains(remedy), "{more}: {checked:?}");
        assert_eq!(checked, served, "{more}");
    }
}

/// A warning fails nothing: the daemon would start. Beside a problem it is told, too.
#[test]
fn warnings_are_told_and_fail_nothing() {
    let world = World::new();
    let file = world.dir.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let write = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let quiet =
        format!("operator = 'o@x.test'\n{text}").replace("[[marketplace]]", "[[marketplace]]\ncontact = 'c@x.test'");
    write(&quiet, 0o640);
    assert_eq!(world.run("check"), (0, "The configuration is good.\n".to_owned(), String::new()));
    assert_eq!(world.json("check"), serde_json::json!({ "problems": [], "warnings": [] }));
    assert!(!world.dir.path().join("data").exists(), "check makes no store");
    world.json("seller set s1 --email s@shop.test --name S --marketplace jp");
    assert_eq!(world.run("check").1, "The configuration is good.\n");
    world.sql("UPDATE party_address SET address = 's@mx.m.test'; UPDATE party SET name = 'a' || char(10)");
    write(&quiet, 0o644);
    let (status, out, err) = world.run("check");
    assert!(
        status == 0 && err.is_empty() && out.starts_with("The configuration is good, with 3 warning(s):\n"),
        "{out}"
    );
    for part in [
        "  configuration: ",
        "(mode 644). Run: chmod ",
        "own host name: seller s1 of jp. Give each",
        "1 registered name(s)",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains('@'), "the party is named, its address is not: {out}");
    let places = |document: &Value| {
        let warnings = document["warnings"].as_array().unwrap().iter();
        warnings.map(|one| one["place"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(places(&world.json("check")), "configuration data_dir data_dir");
    // Beside a problem, and by the daemon as by `check`.
    write(&quiet.replace("'mx.m.test'", "'mx'"), 0o644);
    for command in ["check", "serve"] {
        let (status, out, err) = world.run(&format!("{command} --json"));
        let document: Value = serde_json::from_str(&out).unwrap();
        assert!(
            status == 3
                && err.contains("1 problem(s):\n  line 2: hostname")
                && err.contains("and 1 warning(s):\n  conf"),
            "{err}"
        );
        assert!(document["problems"][0]["place"] == "hostname" && places(&document) == "configuration", "{out}");
    }
    // Commands that do something else say nothing of it.
    write(&quiet, 0o644);
    assert_eq!(world.run("seller list --marketplace jp").2, "");
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
        ("man", 0, ".SH \"MARKETRELAY SELLER PASSWORD SET\"\n.SS SYNOPSIS", ""),
        ("man", 0, "Another address the seller may write from", ""),
        ("check", 0, "good", ""),
        ("nonsense", 2, "", "unrecognized"),
        ("seller set", 2, "", "required"),
        ("seller set 'a b' --email a@b.test", 2, "", "visible ASCII"),
        ("message show xyz", 2, "", "13 letters and digits"),
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
        ("seller set s2 --email x@mx.m.test --marketplace jp", 1, "", "own host name"),
        ("buyer set b2 --email x@y.test --address x@MX.m.test --marketplace jp", 1, "", "own host name"),
        ("seller set s2 --email x@y.test --name 'S\n' --marketplace jp", 1, "", "line break"),
        ("order set o1 --buyer b1 --seller s1 --status 'a\tb' --marketplace jp", 4, "", "no buyer b1"),
        ("seller show s1 --marketplace jp", 0, "t@shop.test", ""),
        ("seller set s1 --language no! --marketplace jp", 1, "", "ja or zh-Hans"),
        ("seller set s1 --language zh-Hans --marketplace jp", 0, "is set", ""),
        ("seller show s1 --marketplace de", 4, "", "no seller s1"),
        ("seller suspend s1 --marketplace jp", 0, "suspended", ""),
        ("seller resume s1 --marketplace jp", 0, "active", ""),
        ("seller list --marketplace jp", 0, "Sato Shop", ""),
        ("seller statistics s1 --marketplace jp", 0, "due within 24 hours", ""),
        ("seller statistics nobody --marketplace jp", 4, "", "no seller nobody"),
        ("message reports", 0, "Nothing was reported.", ""),
        ("message reports --seller nobody --marketplace jp", 4, "", "no seller nobody"),
        ("message list --needs-response", 0, "There are no such messages.", ""),
        ("buyer set b1 --email b@home.test --marketplace jp", 0, "was created", ""),
        ("buyer opt-out b1 --marketplace jp", 0, "opted out", ""),
        ("buyer list", 0, "b@home.test", ""),
        ("order set o1 --buyer b1 --seller nobody --marketplace jp", 4, "", "no seller nobody"),
        ("order set o1 --buyer b1 --seller s1 --status shipped --marketplace jp", 0, "shipped", ""),
        ("order set o1 --buyer b1 --seller s1 --status 'a\tb' --marketplace jp", 1, "", "control character"),
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
        ("queue show 01kz3v7q8t4d1", 4, "", "no item 01kz3v7q8t4d1"),
        ("queue retry", 0, "0 item(s)", ""),
        ("queue retry 01kz3v7q8t4d1", 4, "", "no item 01kz"),
        ("queue cancel x", 2, "", "queue list"),
        ("queue cancel", 2, "", "required"),
        ("queue cancel 01kz3v7q8t4d1 --domain a.test", 2, "", "cannot be used with"),
        ("queue cancel --destination a.test", 0, "0 item(s)", ""),
        ("queue cancel --state waiting", 0, "0 item(s)", ""),
        ("queue list --destination a.test --state delivering", 0, "The queue is empty.", ""),
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
            "addresses auto_replies domains email id language marketplace name password refusal_notices removed suspended unauthenticated",
        ),
        (
            "buyer show b1 --marketplace jp",
            "addresses email id language marketplace name opted_out refusal_notices removed",
        ),
        ("buyer list", "addresses email id language marketplace name opted_out removed"),
        ("order show o1 --marketplace jp", "buyer category id marketplace placed seller status"),
        ("alias get --buyer b1 --seller s1 --marketplace jp", "buyer buyer_alias marketplace seller seller_alias"),
        ("seller statistics s1 --marketplace jp", "deadline_hours marketplace seller windows"),
        ("message reports --seller s1 --marketplace jp", "reports sellers"),
        ("quota show --seller s1 --marketplace jp", "average_orders_per_day critical limit resets_at used"),
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
    // The whole of standard output is one document, whatever was asked.
    let (status, out, err) = world.run("seller show --json");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert!(status == 2 && err.contains("required") && document["error"].as_str().unwrap().contains("required"));
    assert!(world.json("completions bash")["script"].as_str().unwrap().contains("_marketrelay"));
    assert!(world.json("man")["page"].as_str().unwrap().contains(".TH"));
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
    std::fs::write(&config, &text).unwrap();
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
    // What a mailing service writes into the envelope, and what helps: --sender, and a word about
    // tags.
    let letter = "From: s@shop.test\nSubject: x\n\nx\n";
    let told = explain("bounces+77@shop.test", buyer, letter);
    assert_eq!(told["reason"], "other-mailbox");
    assert!(told["notes"].to_string().contains("`seller set ID --sender`"), "{told}");
    assert_eq!(told["facts"]["sent-by-another"], "envelope");
    assert_eq!(told["sent_by"], "bounces+77@shop.test");
    let other = explain("s@shop.test", buyer, &format!("Sender: x@shop.test\n{letter}"));
    assert_eq!((&other["reason"], &other["sent_by"]), (&"relayed".into(), &Value::Null), "told where it is the cause");
    world.json("seller set s1 --sender bounces@shop.test --marketplace jp");
    assert_eq!(explain("bounces@shop.test", buyer, letter)["reason"], "relayed");
    assert_eq!(explain("bounces+77@shop.test", buyer, letter)["reason"], "other-mailbox");
    std::fs::write(&config, text + "tags = ['shop.test']\n").unwrap();
    assert_eq!(explain("bounces+77@shop.test", buyer, letter)["reason"], "relayed");
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

/// Two pairs of one seller, and messages on three days of Tokyo; the first two are in the index already.
fn a_history(world: &World) -> Vec<String> {
    use crate::store::{Body, NewMessage};
    use crate::types::{MessageId, PairId, Role, Time};
    world.json("seller set s1 --name S --email s@shop.test --marketplace jp");
    let mut pairs = Vec::new();
    for n in [1, 2] {
        world.json(&format!("buyer set b{n} --email b{n}@home.test --marketplace jp"));
        world.json(&format!("order set o{n} --buyer b{n} --seller s1 --marketplace jp"));
        let aliases = world.json(&format!("alias get --buyer b{n} --seller s1 --marketplace jp"));
        pairs.push(aliases["buyer_alias"].as_str().unwrap().to_owned());
    }
    let data = world.dir.path().join("data");
    let store = crate::store::Store::open(&data, Open::Existing, &mut SystemRandom, Metrics::default()).unwrap();
    // buyer, when, subject, text
    let table = [
        (1, "2026-11-20T14:59:59Z", "Hello", "From the shop\r\n>From me\r\n\u{8fd4}\u{54c1}\u{3057}\u{305f}\u{3044}"),
        (1, "2026-11-20T15:00:00Z", "Broken cup", "the handle is off"),
        (2, "2026-11-21T14:59:59Z", "Invoice 250-1", "where is it?"),
        (2, "2026-11-21T15:00:00Z", "again", "broken: \u{8fd4}\u{54c1}"),
    ];
    for (n, (buyer, at, subject, text)) in (0_i64..).zip(table) {
        let at = Time::from_rfc3339(at).unwrap();
        let raw = format!("Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n");
        let id = MessageId::after(MessageId(0), at, 0);
        let write = move |c: &crate::store::Change<'_>| {
            let body = Some(c.insert_body(&Body::pack(raw.as_bytes()))?);
            c.insert_message(&NewMessage {
                id,
                pair: Some(PairId(buyer)),
                author: Role::Buyer,
                body,
                shared: false,
                received: at,
                size: raw.len(),
                verdict: "relay",
                reason: "relayed",
                thread: id,
                original: None,
                subject: subject.to_owned(),
                automatic: false,
                needs_response: true,
                fate: "delivered",
                facts: "author=party proof=proved rule=opt-out".to_owned(),
                sent_by: None,
            })?;
            c.record(id, at, "delivered", "")
        };
        store.write_blocking(write).unwrap();
        if n == 1 {
            let block = store.read(|v| v.next_block(v.last_message()?, &mut SystemRandom)).unwrap().unwrap();
            assert!(store.write_blocking(move |c| c.append_block(&block)).unwrap());
        }
    }
    pairs
}

#[test]
fn an_alias_tells_each_of_its_threads_once() {
    use crate::store::Store;
    let world = World::new();
    let aliases = a_history(&world);
    let store =
        Store::open(&world.dir.path().join("data"), Open::Existing, &mut SystemRandom, Metrics::default()).unwrap();
    let rows = world.json("message list");
    let id = |n: usize| rows[n]["id"].as_str().unwrap().parse::<crate::types::MessageId>().unwrap();
    let (early, late) = (id(3), id(2));
    // Two threads of the first pair that take turns.
    for thread in [early, late, early] {
        let write = move |c: &crate::store::Change<'_>| {
            let at = crate::types::Time::from_rfc3339("2026-11-22T15:00:00Z").unwrap();
            let id = crate::types::MessageId::after(c.last_message()?, at, 0);
            c.insert_message(&crate::store::NewMessage {
                id,
                pair: Some(crate::types::PairId(1)),
                author: crate::types::Role::Buyer,
                body: None,
                shared: false,
                received: at,
                size: 1,
                verdict: "relay",
                reason: "relayed",
                thread,
                original: None,
                subject: String::new(),
                automatic: false,
                needs_response: false,
                fate: "delivered",
                facts: String::new(),
                sent_by: None,
            })
        };
        store.write_blocking(write).unwrap();
    }
    let told = world.json(&format!("alias show {}", aliases[0]));
    assert_eq!(told["threads"], serde_json::json!([early.to_string(), late.to_string()]));
    // Addresses that a seller no longer writes from.
    let addresses = |line: &str| world.json(&format!("seller set s1 {line} --marketplace jp"))["addresses"].to_string();
    assert_eq!(addresses("--sender t@shop.test"), r#"["s@shop.test","t@shop.test"]"#);
    assert_eq!(addresses("--name S"), r#"["s@shop.test","t@shop.test"]"#);
    assert_eq!(addresses("--sender="), r#"["s@shop.test"]"#);
    // Domains that are the seller's alone stand among them on the command line.
    let domains = |line: &str| world.json(&format!("seller set s1 {line} --marketplace jp"))["domains"].to_string();
    assert_eq!(
        domains("--sender @Shop.test --sender x@esp.test --sender @b.shop.test"),
        r#"["b.shop.test","shop.test"]"#
    );
    assert_eq!(domains("--name S"), r#"["b.shop.test","shop.test"]"#);
    assert_eq!(addresses("--name S"), r#"["s@shop.test","x@esp.test"]"#);
    for (bad, why) in [
        ("@gmail.com", "strangers have mailboxes"),
        ("@m.test", "alias domain"),
        ("@mx.m.test", "the relay's own"),
        ("@shop", "@domain"),
        ("@sh..op.test", "@domain"),
    ] {
        let (status, _, err) = world.run(&format!("seller set s1 --sender {bad} --marketplace jp"));
        assert!(status == 1 && err.contains(why), "{bad}: {err}");
    }
    assert_eq!(domains("--sender="), "[]");
    assert_eq!(world.run("buyer set b1 --address @home.test --marketplace jp").0, 1);
    // Both sides of a pair, whoever is set last.
    for line in [
        "seller set s1 --email b1@home.test",
        "seller set s1 --sender b2@home.test",
        "buyer set b1 --email S@shop.test",
    ] {
        let (status, _, err) = world.run(&format!("{line} --marketplace jp"));
        assert!(status == 1 && err.contains("one mailbox") && !err.contains('@'), "{line}: {err}");
    }
    // As phones write it.
    let carrier = world.json("buyer set b9 --email a..b.@docomo.ne.jp --marketplace jp");
    assert_eq!(carrier["email"], "\"a..b.\"@docomo.ne.jp");
}

#[test]
fn searching_and_exporting() {
    let world = World::new();
    let aliases = a_history(&world);
    // options, subjects that are found, newest first
    let table = [
        ("", "again,Invoice 250-1,Broken cup,Hello"),
        ("--order o1 --marketplace jp", "Broken cup,Hello"),
        (&format!("--alias {}", aliases[1].to_uppercase()), "again,Invoice 250-1"),
        ("--buyer b2 --marketplace jp --until 2026-11-21", "Invoice 250-1"),
        ("--since 2026-11-21 --until 2026-11-21 --marketplace jp", "Invoice 250-1,Broken cup"),
        ("--since 2026-11-20T15:00:00Z --until 2026-11-20T15:00:01Z", "Broken cup"),
        ("--text broken", "again,Broken cup"),
        ("--text \u{8fd4}\u{54c1}", "again,Hello"),
        ("--text '\u{8fd4}\u{54c1} BROKEN'", "again"),
        ("--text 250-1", "Invoice 250-1"),
        ("--text hand*", "Broken cup"),
        ("--text hand", ""),
        ("--text broken --seller s1 --marketplace jp --verdict relay --limit 1", "again"),
        ("--needs-response --limit 1", "again"),
    ];
    for (options, want) in table {
        let found = world.json(format!("message list {options}").trim());
        let subjects: Vec<&str> = found.as_array().unwrap().iter().map(|m| m["subject"].as_str().unwrap()).collect();
        assert_eq!(subjects.join(","), want, "{options}");
    }
    for (options, status, said) in [
        ("--text '\"\"'", 1, "no word"),
        ("--since yesterday", 2, "2026-11-21"),
        ("--order o9 --marketplace jp", 4, "no order o9"),
        ("--alias nobody@m.test", 4, "no such alias"),
    ] {
        let got = world.run(&format!("message list {options}"));
        assert!(got.0 == status && got.2.contains(said), "{options}: {got:?}");
    }
    let (_, out, _) = world.run("message list --needs-response");
    assert!(out.contains("overdue by") || out.contains("in "), "{out}");
    let due = &world.json("message list --needs-response")[3]["response_due"];
    assert_eq!(due, "2026-11-21T14:59:59Z");

    let folder = world.dir.path().join("claim");
    let export = format!("message export --order o1 --marketplace jp --format eml --output {}", folder.display());
    assert_eq!(world.json(&export)["messages"], 2);
    assert_eq!(world.run(&export).0, 1, "nothing is written over");
    let timeline: Value = serde_json::from_slice(&std::fs::read(folder.join("timeline.json")).unwrap()).unwrap();
    assert_eq!(timeline.as_array().unwrap().len(), 2);
    assert_eq!(timeline[0]["message"]["subject"], "Hello", "oldest first");
    assert_eq!(
        (&timeline[0]["facts"]["proof"], &timeline[0]["events"][0]["what"]),
        (&"proved".into(), &"delivered".into())
    );
    let eml = std::fs::read(folder.join(timeline[0]["file"].as_str().unwrap())).unwrap();
    assert!(eml.starts_with(b"Subject: Hello\r\n"), "octet for octet");
    let sum = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&eml));
    assert_eq!(timeline[0]["sha256"], sum.as_str());
    let (_, mbox, _) = world.run("message export --limit 1 --order o1 --marketplace jp");
    assert!(mbox.contains("Broken cup") && !mbox.contains("Hello"), "{mbox}");
    let (_, mbox, _) = world.run("message export");
    assert_eq!(mbox.matches("From marketrelay ").count(), 4);
    // Mail programs know a beginning by its date, and take no other form of it.
    let first = mbox.lines().next().unwrap();
    assert!(jiff::fmt::strtime::parse("From marketrelay %a %b %e %H:%M:%S %Y", first).is_ok(), "{first}");
    assert!(mbox.contains("\n>From the shop\n>>From me\n"), "{mbox}");
    let id = timeline[0]["message"]["id"].as_str().unwrap();
    let walk = world.json(&format!("message show {id}"));
    assert_eq!((&walk["rules"][5]["decides"], &walk["facts"]["author"]), (&true.into(), &"party".into()));
    assert_eq!(world.json("history verify")["messages"], 2);
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let world = World::new();
    world.json("buyer set b1 --email b@home.test --marketplace jp");
    world.sql("UPDATE party SET name = 'evil\u{1b}[2J\u{202e}'");
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
