//! The operator is told of settings that open a door: by `check`, and by `serve` when it starts.
//! Half-sent requests hold up no health check.

use super::common::{PATIENCE, Place, Sink, get};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

fn set(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn warned(document: &serde_json::Value) -> Vec<String> {
    document["warnings"].as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap().to_owned()).collect()
}

/// Each door by itself: `check` names it and fails nothing, the daemon starts and logs the same.
#[test]
fn each_open_door_is_told() {
    let mut sink = Sink::start();
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    type Rights = Option<(&'static str, u32)>;
    // what is added to the configuration, which file gets which rights, the place
    let table: [(&str, Rights, &str); 9] = [
        ("", None, ""),
        ("trusted_networks = [\"8.0.0.0/6\"]\n", None, "listener[0].trusted_networks[0]"),
        ("[metrics]\naddress = \"0.0.0.0:0\"\n", None, "metrics.address"),
        ("", Some(("marketrelay.toml", 0o644)), "configuration"),
        ("", Some(("marketrelay.toml", 0o602)), "configuration"),
        ("DKIM", Some(("ed25519.pem", 0o644)), "dkim[1].key"),
        ("", Some(("data", 0o755)), "data_dir"),
        ("", Some(("data/marketrelay.sqlite3", 0o644)), "data_dir"),
        (
            "[delivery.credentials.\"127.0.0.1:PORT\"]\nuser = \"u\"\npassword_file = \"DIR/pw\"\n\
             [delivery.tls_for]\n\"127.0.0.1:PORT\" = \"required\"\n",
            Some(("pw", 0o604)),
            "delivery.credentials.\"127.0.0.1:PORT\".password_file",
        ),
    ];
    for (more, rights, place) in table {
        let filled = |text: &str, dir: &Path| {
            text.replace("PORT", &sink.port.to_string()).replace("DIR", dir.to_str().unwrap()).replace("DKIM", "")
        };
        let made = Place::new(sink.port, listener);
        let dir = made.dir.path();
        let text = std::fs::read_to_string(&made.config).unwrap() + &filled(more, dir);
        let text = text.replacen("[[marketplace]]", "[[marketplace]]\ncontact = \"https://market.example/help\"", 1);
        std::fs::write(&made.config, text).unwrap();
        std::fs::write(dir.join("pw"), "secret\n").unwrap();
        if more == "DKIM" {
            made.sign();
        }
        for file in ["marketrelay.toml", "pw"] {
            set(dir.join(file), 0o640);
        }
        made.register();
        if let Some((file, mode)) = rights {
            set(dir.join(file), mode);
        }
        let place = filled(place, dir);
        let wanted: Vec<String> = if place.is_empty() { vec![] } else { vec![place] };
        assert_eq!(warned(&made.cli(&["check"])), wanted, "{more} {rights:?}");
        let relay = made.serve();
        let warnings =
            |log: &str| log.lines().filter(|line| line.contains("\"WARN\"")).map(str::to_owned).collect::<Vec<_>>();
        // All that it says in its life.
        relay.signal("-TERM");
        relay.logged("\"stopped\"");
        let said = warnings(&relay.log());
        assert_eq!(said.len(), wanted.len(), "{more} {rights:?}: {said:?}");
        for (line, place) in said.iter().zip(&wanted) {
            assert!(line.replace("\\\"", "\"").contains(&format!("{place}: ")), "{line}");
        }
        relay.stop();
    }
    assert!(sink.others().is_empty());
}

/// Who trusts everybody has no front: no such daemon starts.
#[test]
fn the_whole_internet_is_no_front() {
    for networks in ["\"0.0.0.0/0\"", "\"::/0\"", "\"0.0.0.0/1\", \"128.0.0.0/1\"", "\"::ffff:0:0/96\"", "\"2000::/3\""]
    {
        let place =
            Place::new(1, &format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [{networks}]\n"));
        for command in ["check", "serve"] {
            let (status, _, err) = place.try_cli(&[command]);
            assert!(
                status == 3 && err.contains("listener[0].trusted_networks: is the whole internet"),
                "{networks}: {err}"
            );
        }
    }
}

/// Addresses that are ours and names with line breaks: refused by each way that they come in, and
/// told of where an older version let them in.
#[test]
fn parties_that_would_bend_mail() {
    let sink = Sink::start();
    let place = Place::new(sink.port, "[[listener]]\naddress = \"127.0.0.1:0\"\n");
    set(&place.config, 0o640);
    place.register();
    // the party, what is said
    let table: [(&[&str], &str); 6] = [
        (&["--email", "x@market.test"], "alias domain"),
        (&["--email", "x@mx.market.test"], "own host name"),
        (&["--email", "x@MX.Market.TEST."], "own host name"),
        (&["--email", "x@y.example", "--name", "A\r\nBcc: z@y.example"], "line break"),
        (&["--email", "x@y.example", "--name", "A\n"], "line break"),
        (&["--email", "x@y.example", "--name", "A\u{7f}"], "control character"),
    ];
    for (words, said) in table {
        for role in ["seller", "buyer"] {
            let (status, _, err) = place.try_cli(&[&[role, "set", "N"][..], words].concat());
            assert!(status == 1 && err.contains(said), "{words:?}: {err}");
            assert!(!err.contains('@'), "{err}");
            let value = |key: &str| words.iter().skip_while(|word| **word != key).nth(1);
            let line =
                serde_json::json!({ "type": role, "id": "N", "email": value("--email"), "name": value("--name") });
            let file = place.dir.path().join("lines");
            std::fs::write(&file, format!("{line}\n")).unwrap();
            let (status, out, _) = place.try_cli(&["import", file.to_str().unwrap()]);
            assert!(
                status == 1 && out.contains("line 1: ") && out.contains(said) && !out.contains('@'),
                "{line}: {out}"
            );
            assert_eq!(place.try_cli(&[role, "show", "N"]).0, 4);
        }
    }
    // An older version let them in.
    let store = place.dir.path().join("data/marketrelay.sqlite3");
    let sql = "UPDATE party_address SET address = 's-real@mx.market.test' WHERE address LIKE 's-real%'; \
               UPDATE party SET name = 'b' || char(13, 10) || 'c' WHERE role = 0;";
    rusqlite::Connection::open(store).unwrap().execute_batch(sql).unwrap();
    let (status, out, _) = place.try_cli(&["check"]);
    assert!(status == 0 && out.contains("host name: seller S-1 of jp.") && out.contains("buyer B-7 of jp."), "{out}");
    let relay = place.serve();
    relay.logged("relay's own host name. `marketrelay check` tells which");
    relay.logged("with control characters. `marketrelay check` tells which");
    let log = relay.log();
    assert!(!log.contains("S-1") && !log.contains("B-7"), "{log}");
    relay.stop();
}

/// Twenty half-sent requests, and many more: whoever asks is answered at once.
#[test]
fn half_sent_requests_hold_up_no_health_check() {
    let sink = Sink::start();
    let place = Place::new(sink.port, "[metrics]\naddress = \"127.0.0.1:0\"\n");
    let relay = place.serve();
    relay.logged("\"metrics\"");
    let log = relay.log();
    let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let address = events.filter_map(|event| event["metrics"].as_str().map(str::to_owned)).next().unwrap();
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut held = Vec::new();
    for count in [20, 300] {
        while held.len() < count {
            let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
            half.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap();
            held.push(half);
        }
        let asked = Instant::now();
        assert!(get(port, "/health").starts_with("HTTP/1.1 200"), "beside {count}");
        assert!(get(port, "/metrics").contains("# EOF"), "beside {count}");
        // They are given ten seconds; nobody waits for those.
        assert!(asked.elapsed() < Duration::from_secs(5) && Duration::from_secs(5) < PATIENCE, "beside {count}");
    }
    relay.stop();
}
