//! The log as operators read it: fields in systemd's journal, lines on a terminal. The other tests read JSON.

use crate::common::{BUYER, PATIENCE, Place, SELLER, Sink, run, swaks};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

/// A place that logs so.
fn place(sink: u16, format: &str) -> Place {
    let place = Place::new(sink, "");
    let config = std::fs::read_to_string(&place.config).unwrap();
    let config = config.replace("format = \"json\"\nlevel = \"debug\"", &format!("format = \"{format}\""));
    std::fs::write(&place.config, config).unwrap();
    place
}

/// Reads an entry as systemd's native protocol has it: `NAME=value`, or a name, a length and as many octets.
fn entry(mut data: &[u8]) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8(data[..end].to_vec()).unwrap();
        data = &data[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => {
                let length = usize::try_from(u64::from_le_bytes(data[..8].try_into().unwrap())).unwrap();
                let value = String::from_utf8(data[8..8 + length].to_vec()).unwrap();
                data = &data[8 + length + 1..];
                (line, value)
            }
        };
        assert!(fields.insert(name.clone(), value).is_none(), "{name} stands twice");
    }
    fields
}

fn stop(mut child: Child) {
    run("kill", &["-TERM", &child.id().to_string()], "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_journal_has_fields() {
    let mut sink = Sink::start();
    let place = place(sink.port, "journal");
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/journal.c");
    let built = run("gcc", &["-shared", "-fPIC", "-O1", "-o", &path("journal.so"), source, "-ldl"], "");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let journal = UnixDatagram::bind(path("journal")).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    // Entries until one has this text, all kept.
    let mut kept: Vec<HashMap<String, String>> = Vec::new();
    let mut hear = |message: &str| {
        loop {
            let mut buffer = vec![0; 1 << 16];
            let length = journal.recv(&mut buffer).unwrap_or_else(|_| panic!("{message} is not heard: {kept:?}"));
            let found = entry(&buffer[..length]);
            kept.push(found.clone());
            if found.get("MESSAGE").is_some_and(|text| text == message) {
                return found;
            }
        }
    };
    place.init();
    let mut command = place.command(&["serve"]);
    command.env("LD_PRELOAD", path("journal.so")).env("TEST_JOURNAL", path("journal"));
    let child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let started = hear("started");
    let port = started["F_LISTENER"].rsplit_once(':').unwrap().1.parse().unwrap();
    let (buyer_alias, _) = place.register();
    let (ok, text) = swaks(port, SELLER, &buyer_alias, &["--header", "Subject: Zuckerwatte"]);
    assert!(ok, "{text}");
    sink.next(BUYER);
    let id = text.split("Accepted as ").nth(1).unwrap().split_whitespace().next().unwrap();
    let decided = hear("decided");
    let want = [
        ("PRIORITY", "5"),
        ("SYSLOG_IDENTIFIER", "marketrelay"),
        ("TARGET", "marketrelay::relay::commit"),
        ("F_ID", id),
        ("F_AUTHOR", "seller"),
        ("F_VERDICT", "relay"),
        ("F_REASON", "relayed"),
    ];
    for (name, value) in want {
        assert_eq!(decided.get(name).map(String::as_str), Some(value), "{name} in {decided:?}");
    }
    assert_eq!(hear("delivered")["F_ID"], id);
    let (ok, _) = swaks(port, "mallory@home.example", &buyer_alias, &[]);
    assert!(!ok);
    assert_eq!(hear("decided")["F_REASON"], "stranger");
    stop(child);
    hear("stopped");
    let all = format!("{kept:?}");
    for leak in ["s-real", "b-real", "sellerco", "home.example", "Zuckerwatte", "mallory"] {
        assert!(!all.contains(leak), "{leak} in {all}");
    }
    // Without a journal it does not start, and says what helps.
    std::fs::remove_file(path("journal")).unwrap();
    let mut command = place.command(&["serve"]);
    let output = command.env("LD_PRELOAD", path("journal.so")).env("TEST_JOURNAL", path("journal")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("use text or json"), "{told}");
}

#[test]
fn lines_for_people() {
    let place = place(1, "text");
    let config = std::fs::read_to_string(&place.config).unwrap().replace("operator = \"ops@office.example\"\n", "");
    std::fs::write(&place.config, config).unwrap();
    place.init();
    let mut child = place.command(&["serve"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("started")).unwrap();
    let warned = lines.find(|line| line.contains("WARN")).unwrap();
    stop(child);
    assert!(warned.contains("postmaster") && warned.contains("set operator"), "{warned}");
    let words: Vec<&str> = started.split_whitespace().collect();
    assert!(
        matches!(words[1..], ["INFO", "started", listener] if listener.starts_with("listener=127.0.0.1:")),
        "{started}"
    );
    assert!(!started.contains('\u{1b}'), "a pipe gets no colours: {started}");
}
