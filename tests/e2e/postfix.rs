//! Postfix, in front and behind: the files of `conf/postfix` as they are shipped, and whom the
//! internet hears from.

use super::common::{BUYER, PATIENCE, Place, Relay, SELLER, Sink, run, swaks};
use super::no_leak;
use super::verify::{SIGN, send};
use super::zone::Zone;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens there.
fn listens(port: u16, log: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nobody listens: {}", log());
        std::thread::yield_now();
    }
}

/// A Postfix of our own.
struct Postfix {
    dir: tempfile::TempDir,
    port: u16,
}

impl Postfix {
    /// `more` is added to its configuration, `own` are services of its own: one at 192.0.2.25:25
    /// takes the place of the usual one.
    fn start(more: &str, own: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = dir.path().display();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["etc", "queue", "data"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        run("chown", &["postfix", dir.path().join("data").to_str().unwrap()], "");
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {path}/queue\ndata_directory = {path}/data\ncommand_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\nmaillog_file = {path}/log\nmaillog_file_prefixes = {path}\n\
             myhostname = front.test\nmydestination =\nalias_maps =\nalias_database =\nlocal_transport = error:none\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\nsmtp_dns_support_level = disabled\nsmtp_host_lookup = native\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\naddress_verify_map =\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\n{more}"
        );
        std::fs::write(dir.path().join("etc/main.cf"), main).unwrap();
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
            rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
            flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
            showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\nvirtual unix - n n - - virtual\n\
            anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
        // No service is in a jail, for which this place has no files.
        let own = own.replace(" - y - ", " - n - ").replace("192.0.2.25:25 ", &format!("127.0.0.1:{port} "));
        let usual = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
        let first = if own.contains(" inet ") { "" } else { &usual };
        std::fs::write(dir.path().join("etc/master.cf"), format!("{first}{own}{services}")).unwrap();
        let postfix = Self { dir, port };
        let started = Command::new("/usr/sbin/postfix").args(["-c", &postfix.etc(), "start"]).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        listens(port, || postfix.log());
        postfix
    }

    fn etc(&self) -> String {
        self.dir.path().join("etc").display().to_string()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/postfix").args(["-c", &self.etc(), "stop"]).output();
    }
}

/// The files of `conf/postfix`, word for word, for this test's domain and ports.
struct Shipped {
    relay: u16,
    /// OpenDKIM, OpenDMARC.
    milters: [u16; 2],
}

impl Shipped {
    fn new(relay: u16) -> Self {
        Self { relay, milters: [free_port(), free_port()] }
    }

    fn file(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("{}/conf/postfix/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let [dkim, dmarc] = self.milters;
        text.replace("market.example.jp", "market.test")
            .replace(r"market\.example\.jp", r"market\.test")
            .replace("127.0.0.1]:2525", &format!("127.0.0.1]:{}", self.relay))
            .replace("=127.0.0.1:2525", &format!("=127.0.0.1:{}", self.relay))
            .replace("127.0.0.1:8895", &format!("127.0.0.1:{dkim}"))
            .replace("127.0.0.1:8896", &format!("127.0.0.1:{dmarc}"))
            .replace("inet:8895@", &format!("inet:{dkim}@"))
            .replace("inet:8896@", &format!("inet:{dmarc}@"))
    }
}

/// Debian's milters with the files that are shipped, in a place where names are asked of `zone`.
struct Milters {
    running: Vec<Child>,
    dir: tempfile::TempDir,
}

impl Milters {
    /// The zone has to listen on port 53: the resolver of C knows no other.
    fn start(shipped: &Shipped, zone: &Zone) -> Self {
        let mut milters = Self { running: Vec::new(), dir: tempfile::tempdir().unwrap() };
        std::fs::set_permissions(milters.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let at = |name: &str| milters.dir.path().join(name).display().to_string();
        std::fs::write(at("resolv.conf"), format!("nameserver {}\n", zone.address.ip())).unwrap();
        // OpenDKIM asks the roots itself, which are not here.
        let here = format!("{}Nameservers {}\n", shipped.file("front/opendkim.conf"), zone.address.ip());
        std::fs::write(at("opendkim.conf"), here).unwrap();
        std::fs::write(at("opendmarc.conf"), shipped.file("front/opendmarc.conf")).unwrap();
        let started = [("opendkim", "-x"), ("opendmarc", "-c")].map(|(program, flag)| {
            let own_names = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", own_names, "sh", &at("resolv.conf"), &format!("/usr/sbin/{program}")]);
            command.args(["-f", flag, &at(&format!("{program}.conf"))]).stdin(Stdio::null());
            command.stderr(std::fs::File::create(at(program)).unwrap()).spawn().unwrap()
        });
        milters.running.extend(started);
        for (port, program) in shipped.milters.iter().zip(["opendkim", "opendmarc"]) {
            listens(*port, || std::fs::read_to_string(milters.dir.path().join(program)).unwrap());
        }
        milters
    }
}

impl Drop for Milters {
    fn drop(&mut self) {
        for milter in &mut self.running {
            let _ = milter.kill();
            let _ = milter.wait();
        }
    }
}

#[test]
fn postfix_in_front_and_behind() {
    // Behind: the receivers' server, which delivers into Maildirs.
    let mail = tempfile::tempdir().unwrap();
    std::fs::set_permissions(mail.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let behind = Postfix::start(
        &format!(
            "virtual_mailbox_domains = home.example, sellerco.example\nvirtual_mailbox_base = {}\nvirtual_mailbox_maps = static:box/\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 100\n",
            mail.path().display()
        ),
        "",
    );
    let place =
        Place::new(behind.port, "[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"127.0.0.0/8\"]\n");
    let relay = place.serve();
    let (buyer_alias, seller_alias) = place.register();
    // In front: the marketplace's MTA, configured as conf/postfix says.
    let shipped = Shipped::new(relay.port);
    let front = Postfix::start(&shipped.file("main.cf"), &shipped.file("master.cf"));
    let (ok, text) =
        swaks(front.port, SELLER, &buyer_alias, &["--header", "Subject: through two Postfixes", "--body", "hello"]);
    assert!(ok, "{text}\n{}", front.log());
    let deadline = Instant::now() + PATIENCE;
    let arrived = loop {
        let files = std::fs::read_dir(mail.path().join("box/new"))
            .map(|files| files.flatten().collect::<Vec<_>>())
            .unwrap_or_default();
        if let Some(file) = files.first() {
            break std::fs::read_to_string(file.path()).unwrap();
        }
        assert!(Instant::now() < deadline, "nothing arrives:\n{}\n{}\n{}", front.log(), relay.log(), behind.log());
        std::thread::yield_now();
    };
    assert!(arrived.contains("through two Postfixes") && arrived.contains(&seller_alias), "{arrived}");
    no_leak(
        &arrived
            .replace(&format!("X-Original-To: {BUYER}"), "")
            .replace(&format!("Delivered-To: {BUYER}"), "")
            .replace(&format!("for <{BUYER}>"), "")
            .replace(BUYER, ""),
    );
    assert!(!arrived.contains("s-real"), "{arrived}");
    // An alias that does not exist is refused in front already.
    let (ok, text) = swaks(front.port, SELLER, "nobody@market.test", &[]);
    assert!(!ok && text.contains("550"), "{text}");
    relay.stop();
}

/// What the internet hears of a front, and whom it bothers. The sellers' domain proves mail from
/// 127.0.0.66 and 198.51.100.7.
struct Front {
    postfix: Postfix,
    relay: Relay,
    sink: Sink,
    /// Where Postfix sends bounces.
    world: Sink,
    buyer_alias: String,
    place: Place,
    zone: Zone,
    milters: Option<Milters>,
}

impl Front {
    fn start(main: &str, master: &str) -> Self {
        let with_milters = master.starts_with("front/");
        let (sink, world) = (Sink::start(), Sink::start());
        let zone = if with_milters { Zone::at(port_53()) } else { Zone::start() };
        zone.text("sellerco.example", "v=spf1 ip4:127.0.0.66 ip4:198.51.100.7 -all");
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"127.0.0.0/8\"]\n";
        let place = Place::new(sink.port, &format!("{listener}[dns]\nservers = [\"{}\"]\n", zone.address));
        let mode =
            if with_milters { "mode = \"front\"\nauthserv_id = \"mx.market.test\"" } else { "mode = \"verify\"" };
        let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", mode);
        std::fs::write(&place.config, text).unwrap();
        let relay = place.serve();
        let (buyer_alias, _) = place.register();
        let shipped = Shipped::new(relay.port);
        let milters = with_milters.then(|| Milters::start(&shipped, &zone));
        let more = format!("{}relayhost = [127.0.0.1]:{}\n", shipped.file(main), world.port);
        let postfix = Postfix::start(&more, &shipped.file(master));
        Self { postfix, relay, sink, world, buyer_alias, place, zone, milters }
    }

    fn logged(&self, what: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.postfix.log().matches(what).count() < times {
            assert!(Instant::now() < deadline, "{what}: {}", self.postfix.log());
            std::thread::yield_now();
        }
    }

    /// Sends from the sellers' server; what was said, and whether it was accepted.
    fn send(&self, sender: &str, author: &str, recipient: &str, fields: &str) -> (bool, String) {
        let data = format!("From: {author}\\nSubject: x\\n{fields}\\nhello\\n");
        swaks(self.postfix.port, sender, recipient, &["--local-interface", "127.0.0.66", "--data", &data])
    }
}

const VICTIM: &str = "victim@innocent.example";
const FORBIDDEN: &str = "Content-Type: application/octet-stream; name=x.exe\\n";

/// With an address of its own: each refusal is heard by who sent it, and Postfix writes to nobody.
#[test]
fn refusals_are_heard_in_the_session() {
    let mut front = Front::start("main.cf", "master.cf");
    let alias = front.buyer_alias.clone();
    // envelope sender, author, recipient, more fields, the reply
    let table = [
        (VICTIM, "guess@sellerco.example", &*alias, "", "550 5.7."),
        (VICTIM, SELLER, &alias, "", "550 5.7."),
        (SELLER, SELLER, "nobody@market.test", "", "550 5.1.1"),
        (SELLER, SELLER, "ann@elsewhere.example", "", "554 5.7.1"),
        (SELLER, SELLER, &alias, FORBIDDEN, "554 5.6.1"),
        (SELLER, SELLER, &alias, "", "250 2.6.0"),
    ];
    for (sender, author, recipient, fields, reply) in table {
        let (ok, text) = front.send(sender, author, recipient, fields);
        let log = front.postfix.log();
        assert!(ok == reply.starts_with('2') && text.contains(reply), "{sender} {author} {recipient}: {text}\n{log}");
        assert!(ok || text.contains("<** ") && !text.contains("queued as"), "{text}");
    }
    assert!(!front.sink.next(BUYER).message.contains("s-real"));
    let log = front.postfix.log();
    assert!(!log.contains("status=bounced") && !log.contains("qmgr"), "Postfix kept nothing: {log}");
    // The proved author of the forbidden file hears of it by mail, too.
    assert!(front.sink.next(SELLER).message.contains("Auto-Submitted: auto-replied"));
    assert!(front.world.others().is_empty() && front.sink.others().is_empty());
    front.relay.stop();
}

/// With an address that other domains share, through Postfix's queue: Postfix writes to nobody, a
/// proved author hears from the relay. Other domains' mail goes as it always did.
#[test]
fn a_shared_front_writes_to_nobody() {
    let mut front = Front::start("shared/main.cf", "shared/master.cf");
    let alias = front.buyer_alias.clone();
    let (ok, text) = front.send(SELLER, SELLER, "nobody@market.test", "");
    assert!(!ok && text.contains("550 5.1.1") && text.contains("No such address here"), "{text}");
    assert!(!text.contains("127.0.0.1[127.0.0.1]"), "what is inside stays there: {text}");
    for author in ["guess@sellerco.example", SELLER] {
        assert!(front.send(VICTIM, author, &alias, "").0);
    }
    assert!(front.send(SELLER, SELLER, &alias, FORBIDDEN).0);
    assert!(front.send(SELLER, SELLER, &alias, "").0);
    assert!(!front.sink.next(BUYER).message.contains("s-real"));
    let told = front.sink.next(SELLER).message;
    assert!(told.contains("Auto-Submitted: auto-replied") && told.contains(".exe"), "{told}");
    front.logged("status=bounced", 3);
    // To another domain: not asked about, and its own bounces are written.
    front.world.refuse.lock().unwrap().insert("gone@elsewhere.example".to_owned(), "550 5.1.1 no".to_owned());
    assert!(front.send(SELLER, SELLER, "gone@elsewhere.example", "").0);
    assert!(front.world.next(SELLER).message.contains("Undelivered Mail Returned to Sender"));
    assert!(front.world.others().is_empty() && front.sink.others().is_empty(), "{:?}", front.world.others());
    front.relay.stop();
}

/// An address of loopback that nobody else uses, for a name server.
fn port_53() -> SocketAddr {
    let [.., b, c] = std::process::id().to_be_bytes();
    let mut addresses = (1..=254).map(|d| SocketAddr::from(([127, b.max(1), c, d], 53)));
    addresses.find(|address| std::net::UdpSocket::bind(address).is_ok()).unwrap()
}

/// Debian's milters say who is proved: by SPF alone, and by DKIM; Postfix writes to nobody.
#[test]
fn milters_prove_authors() {
    let mut front = Front::start("main.cf", "front/master.cf");
    let alias = front.buyer_alias.clone();
    let keys = front.place.dir.path().display().to_string();
    let made = run("/usr/bin/python3", &["-c", SIGN, &keys, "records"], "");
    let records = String::from_utf8(made.stdout).unwrap();
    front.zone.text("r._domainkey.sellerco.example", records.lines().next().unwrap());
    let message = |fields: &str, subject: &str| {
        format!("{fields}From: {SELLER}\r\nTo: {alias}\r\nSubject: {subject}\r\n\r\nhello\r\n").into_bytes()
    };
    let signed = |message: &[u8]| {
        let base64 = data_encoding::BASE64;
        let keys_of = [["rsa", "r", "sellerco.example"]];
        let item = serde_json::json!([{ "message": base64.encode(message), "keys": keys_of, "arc": null }]);
        let made = run("/usr/bin/python3", &["-c", SIGN, &keys, "sign"], &item.to_string());
        let texts: Vec<String> = serde_json::from_slice(&made.stdout).unwrap();
        base64.decode(texts[0].as_bytes()).unwrap()
    };
    let forged = format!(
        "Authentication-Results: mx.market.test; spf=pass smtp.mailfrom={SELLER}; dmarc=pass header.from=sellerco.example\r\n"
    );
    let large =
        "A line of the catalogue, of some hundred octets, as they stand in a file of a shop that sends all of it.\r\n";
    let large = [message("", "large"), large.repeat(150_000).into_bytes()].concat();
    assert!(large.len() > 15_000_000, "more than Postfix takes by itself");
    let (own, stranger) = ("XCLIENT ADDR=198.51.100.7 HELO=out.sellerco.example", "XCLIENT ADDR=198.51.100.8");
    // client, envelope sender, message, whether it is relayed
    let by_spf = message("", "by SPF");
    let table: [(&str, &str, &[u8], bool); 8] = [
        (own, SELLER, &by_spf, true),
        (own, SELLER, &large, true),
        (stranger, "bounce@esp.example", &signed(&message("", "by DKIM")), true),
        (stranger, SELLER, &message("", "SPF fails"), false),
        (own, VICTIM, &message("", "nothing"), false),
        (own, "neighbour@sellerco.example", &message("", "a neighbour"), false),
        (stranger, SELLER, &message(&forged, "forged above"), false),
        (stranger, SELLER, &message(&format!("Received: from x by y\r\n{forged}"), "forged below"), false),
    ];
    let mut refused = 0;
    for (client, sender, message, relayed) in table {
        let reply = send(front.postfix.port, &[client], sender, &alias, message);
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
        if relayed {
            let arrived = front.sink.next(BUYER).message;
            assert!(!arrived.contains("Authentication-Results") && !arrived.contains("s-real"), "{arrived}");
        } else {
            refused += 1;
            front.logged("status=bounced", refused);
        }
    }
    // Only aliases that are there, and no other domain.
    for (recipient, code) in [("nobody@market.test", "550 5.1.1"), ("ann@elsewhere.example", "554 5.7.1")] {
        let (ok, text) = front.send(SELLER, SELLER, recipient, "");
        assert!(!ok && text.contains(code), "{text}");
    }
    // A client that writes its commands in its own way gets no bounce sent to others, either.
    for command in [format!(" rcpt  to: <{alias}> NOTIFY=FAILURE"), format!("RCPT TO:{alias}")] {
        let mut talk = std::net::TcpStream::connect(("127.0.0.1", front.postfix.port)).unwrap();
        let message = format!("From: {SELLER}\r\nSubject: {command}\r\n\r\nx\r\n.\r\nQUIT\r\n");
        for line in
            ["EHLO x\r\n", &format!("MAIL FROM:<{VICTIM}>\r\n"), &format!("{command}\r\n"), "DATA\r\n", &message]
        {
            std::io::Write::write_all(&mut talk, line.as_bytes()).unwrap();
        }
        let said = std::io::read_to_string(&mut talk).unwrap();
        assert!(said.contains("354 ") && said.contains("250 2.0.0 Ok: queued"), "{command}: {said}");
        refused += 1;
        front.logged("status=bounced", refused);
    }
    let file = [FORBIDDEN.replace("\\n", "\r\n").into_bytes(), by_spf.clone()].concat();
    assert!(send(front.postfix.port, &[own], SELLER, &alias, &file).starts_with("250 2.0.0"));
    assert!(front.sink.next(SELLER).message.contains(".exe"), "the relay tells the proved author");
    front.logged("status=bounced", refused + 1);
    assert!(!front.postfix.log().contains("non-delivery notification"), "{}", front.postfix.log());
    assert!(front.world.others().is_empty(), "{:?}", front.world.others());
    drop(front.milters.take());
    // Nothing comes in that nobody looked at.
    let (ok, text) = front.send(SELLER, SELLER, &alias, "");
    assert!(!ok && text.contains("451 4.7.1"), "{text}");
    front.relay.stop();
}

/// What is added to a site's `main.cf` changes nothing that stands in it, but for the names that
/// the files say belong together with its own.
#[test]
fn nothing_of_a_sites_own_is_changed() {
    let names = |file: &str| -> Vec<String> {
        let text = Shipped::new(1).file(file);
        let lines = text.lines().filter(|line| !line.starts_with(['#', ' ']));
        lines.filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned())).collect()
    };
    assert_eq!(names("main.cf"), ["transport_maps", "marketrelay_destination_recipient_limit"]);
    // Services of our own alone: an address, a cleanup and a client.
    for (file, services) in [
        ("master.cf", "192.0.2.25:25 marketrelay"),
        ("front/master.cf", "192.0.2.25:25 marketrelay-cleanup marketrelay"),
        ("shared/master.cf", "marketrelay"),
    ] {
        let text = Shipped::new(1).file(file);
        let lines = text.lines().filter(|line| !line.starts_with(['#', ' ']));
        assert_eq!(lines.filter_map(|line| line.split(' ').next()).collect::<Vec<_>>().join(" "), services);
    }
}
