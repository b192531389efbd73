//! What the end-to-end tests stand on: the real binary, a sink that keeps the raw wire, and the programs of real users.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const SELLER: &str = "s-real-7f3@sellerco.example";
pub const BUYER: &str = "b-real-9c1@home.example";
/// Nothing waits longer than this; a healthy run waits for milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What one message looked like on the wire.
#[derive(Debug)]
pub struct Wire {
    pub commands: Vec<String>,
    pub message: String,
}

impl Wire {
    pub fn header(&self, name: &str) -> Option<String> {
        let header = self.message.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        header.split("\r\n").find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    /// The message with its soft line breaks and stuffed dots taken out.
    pub fn text(&self) -> String {
        self.message.replace("\r\n..", "\r\n.").replace("=\r\n", "")
    }

    pub fn all(&self) -> String {
        format!("{}\r\n{}", self.commands.join("\r\n"), self.message)
    }
}

/// An SMTP server that keeps what it gets, by recipient.
pub struct Sink {
    pub port: u16,
    arrivals: Receiver<(String, Wire)>,
    early: HashMap<String, Vec<Wire>>,
    /// Recipient to the reply that RCPT gets.
    pub refuse: Arc<Mutex<HashMap<String, String>>>,
}

impl Sink {
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (sender, arrivals) = channel();
        let refuse: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let shared = Arc::clone(&refuse);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, refuse) = (sender.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &sender, &refuse));
            }
        });
        Self { port, arrivals, early: HashMap::new(), refuse }
    }

    /// The next message to an address.
    pub fn next(&mut self, address: &str) -> Wire {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(wires) = self.early.get_mut(address).filter(|w| !w.is_empty()) {
                return wires.remove(0);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (to, wire) =
                self.arrivals.recv_timeout(left).unwrap_or_else(|_| panic!("nothing arrives at {address}"));
            self.early.entry(to).or_default().push(wire);
        }
    }

    /// Everything that has arrived so far and was not asked for.
    pub fn others(&mut self) -> Vec<String> {
        for (to, wire) in self.arrivals.try_iter() {
            self.early.entry(to).or_default().push(wire);
        }
        self.early.iter().filter(|(_, wires)| !wires.is_empty()).map(|(to, _)| to.clone()).collect()
    }
}

fn serve(stream: TcpStream, sender: &Sender<(String, Wire)>, refuse: &Mutex<HashMap<String, String>>) {
    let mut write = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let mut say = |text: &str| write.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    let (mut commands, mut to) = (Vec::new(), String::new());
    say("220 sink.test ESMTP");
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
        let command = line.trim_end().to_owned();
        line.clear();
        let upper = command.to_ascii_uppercase();
        if upper.starts_with("MAIL") {
            commands.clear();
        }
        commands.push(command.clone());
        if upper.starts_with("EHLO") {
            say("250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME");
        } else if upper.starts_with("RCPT TO:") {
            to = command["RCPT TO:<".len()..].split('>').next().unwrap().to_owned();
            let refused = refuse.lock().unwrap().get(&to).cloned();
            say(refused.as_deref().unwrap_or("250 2.1.5 ok"));
            if refused.is_some() {
                to.clear();
            }
        } else if upper == "DATA" && to.is_empty() {
            say("554 5.5.1 no valid recipients");
        } else if upper == "DATA" {
            say("354 go");
            let mut message = Vec::new();
            loop {
                let start = message.len();
                if lines.read_until(b'\n', &mut message).unwrap_or(0) == 0 {
                    return;
                }
                if &message[start..] == b".\r\n" {
                    message.truncate(start);
                    break;
                }
            }
            let message = String::from_utf8_lossy(&message).into_owned();
            let _ = sender.send((to.clone(), Wire { commands: std::mem::take(&mut commands), message }));
            say("250 2.0.0 ok");
        } else if upper == "QUIT" {
            say("221 bye");
            return;
        } else {
            say("250 2.0.0 ok");
        }
    }
}

/// A place of its own for a test: configuration, store, and the binary.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

impl Place {
    /// `extra` is put behind the configuration's head; `sink` is where everything is delivered.
    pub fn new(sink: u16, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("marketrelay.toml");
        let text = format!(
            "hostname = \"mx.market.test\"\ndata_dir = \"{}\"\noperator = \"ops@office.example\"\n\
             [[marketplace]]\nid = \"jp\"\ndomain = \"market.test\"\nname = \"Example Market\"\nlanguage = \"en\"\n\
             [authentication]\nmode = \"none\"\n[delivery]\nroute = \"smtp://127.0.0.1:{sink}\"\n\
             [log]\nformat = \"json\"\nlevel = \"debug\"\n{extra}",
            dir.path().join("data").display()
        );
        // Most tests look at each of many refusals, all from one address.
        let many = "refusal_rows = 10000\nrefusals_per_client = 10000\nrefusals_per_alias = 10000\n";
        let text = match text.split_once("[limits]\n") {
            _ if text.contains("refusal") => text,
            Some((before, after)) => format!("{before}[limits]\n{many}{after}"),
            // Not at the end: a test may go on in the last table.
            None => text.replacen("[log]\n", &format!("[limits]\n{many}[log]\n"), 1),
        };
        let text =
            if text.contains("[[listener]]") { text } else { text + "[[listener]]\naddress = \"127.0.0.1:0\"\n" };
        std::fs::write(&config, text).unwrap();
        Self { dir, config }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketrelay"));
        command.arg("--config").arg(&self.config).args(arguments).env_remove("MARKETRELAY_CONFIG").stdin(Stdio::null());
        command
    }

    /// Runs a command; its exit status and output.
    pub fn try_cli(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs a command that has to succeed, and reads its JSON.
    pub fn cli(&self, arguments: &[&str]) -> serde_json::Value {
        let arguments = [arguments, &["--json"]].concat();
        let (status, out, err) = self.try_cli(&arguments);
        assert_eq!(status, 0, "{arguments:?}: {out} {err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: not one JSON document: {out}"))
    }

    /// Asks until the answer is the wanted one: what the log tells of a delivery is in the store when its batch is.
    pub fn cli_until(&self, arguments: &[&str], wanted: impl Fn(&serde_json::Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.cli(arguments);
            if wanted(&answer) {
                return;
            }
            assert!(Instant::now() < deadline, "{arguments:?}: {answer}");
        }
    }

    /// Registers the sample seller, buyer and order; the aliases of buyer and seller.
    pub fn register(&self) -> (String, String) {
        self.cli(&["seller", "set", "S-1", "--name", "Sato Shop", "--email", SELLER]);
        self.cli(&["buyer", "set", "B-7", "--name", "Hana", "--email", BUYER]);
        self.cli(&["order", "set", "250-1", "--buyer", "B-7", "--seller", "S-1"]);
        let aliases = self.cli(&["alias", "get", "--buyer", "B-7", "--seller", "S-1"]);
        let alias = |name: &str| aliases[name].as_str().unwrap().to_owned();
        (alias("buyer_alias"), alias("seller_alias"))
    }

    /// Makes an RSA and an Ed25519 key, and has everything signed by both; name and text of their DNS records.
    #[allow(dead_code, reason = "not every test signs")]
    pub fn sign(&self) -> Vec<(String, String)> {
        let mut records = Vec::new();
        let mut config = std::fs::read_to_string(&self.config).unwrap();
        for kind in ["rsa", "ed25519"] {
            let key = self.dir.path().join(format!("{kind}.pem"));
            let key = key.to_str().unwrap();
            let made = self.cli(&["dkim", "generate", "--selector", kind, "--algorithm", kind, "--output", key]);
            records.push((made["name"].as_str().unwrap().to_owned(), made["record"].as_str().unwrap().to_owned()));
            let _ = write!(config, "[[dkim]]\nmarketplace = \"jp\"\nselector = \"{kind}\"\nkey = \"{key}\"\n");
        }
        std::fs::write(&self.config, config).unwrap();
        records
    }

    /// As an installation does once; what is there stays.
    pub fn init(&self) {
        self.cli(&["store", "init"]);
    }

    pub fn serve(&self) -> Relay {
        self.init();
        Relay::start(self.command(&["serve"]))
    }
}

/// A running daemon.
pub struct Relay {
    child: Child,
    pub port: u16,
    pub metrics: Option<u16>,
    log: Arc<Mutex<String>>,
}

impl Relay {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (sender, started) = channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line.clone());
                let _ = writeln!(kept.lock().unwrap(), "{line}");
            }
        });
        let mut relay = Self { child, port: 0, metrics: None, log };
        let port = |value: &serde_json::Value| {
            value.as_str().and_then(|a| a.rsplit_once(':')).map(|(_, p)| p.parse().unwrap())
        };
        while relay.port == 0 {
            let line = started.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("does not start: {}", relay.log()));
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            relay.metrics = relay.metrics.or(port(&event["metrics"]));
            relay.port = port(&event["listener"]).unwrap_or(0);
        }
        // Metrics are told right behind the listeners.
        relay
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a text in the log.
    pub fn logged(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{text} is not logged:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    pub fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.child.id().to_string()], "");
    }

    /// Ends it gracefully, and looks for addresses in the log.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        let log = self.log();
        for line in log.lines() {
            assert!(line.matches("\"message\":").count() <= 1, "a key stands twice: {line}");
        }
        for leak in ["s-real", "b-real", "sellerco", "home.example"] {
            assert!(!log.contains(leak), "{leak} in the log:\n{log}");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program; a missing one is a failure.
pub fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let path = format!("{}:/usr/sbin:/sbin:/usr/lib/postfix/sbin", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Sends with swaks; what it printed, and whether it succeeded.
pub fn swaks(port: u16, from: &str, to: &str, more: &[&str]) -> (bool, String) {
    let server = format!("127.0.0.1:{port}");
    let arguments =
        [&["--server", &server, "--from", from, "--to", to, "--hide-all", "--show-raw-text"][..], more].concat();
    let arguments: Vec<&str> =
        arguments.into_iter().filter(|a| *a != "--hide-all" && *a != "--show-raw-text").collect();
    let output = run("swaks", &arguments, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// Asks for a page.
pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A certificate of our own, made by openssl.
pub fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let subject = format!("/CN={name}");
    let paths = [key.to_str().unwrap(), certificate.to_str().unwrap()];
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            paths[0],
            "-out",
            paths[1],
        ],
        "",
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}
