//! Postfix, in front and behind: the files of `conf/postfix` as they are shipped, and whom the
//! internet hears from.

use super::common::{BUYER, PATIENCE, Place, Relay, SELLER, Sink, run, swaks};
use super::no_leak;
use super::zone::Zone;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

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
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\naddress_verify_map =\n{more}"
        );
        std::fs::write(dir.path().join("etc/main.cf"), main).unwrap();
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
            rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
            flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
            showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\nvirtual unix - n n - - virtual\n\
            anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
        // No service is in a jail, for which this place has no files.
        let own = own.replace(" - y - - ", " - n - - ").replace("192.0.2.25:25 ", &format!("127.0.0.1:{port} "));
        let usual = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
        let first = if own.contains(" inet ") { "" } else { &usual };
        std::fs::write(dir.path().join("etc/master.cf"), format!("{first}{own}{services}")).unwrap();
        let postfix = Self { dir, port };
        let started = Command::new("/usr/sbin/postfix").args(["-c", &postfix.etc(), "start"]).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Postfix does not start: {}", postfix.log());
            std::thread::yield_now();
        }
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

/// The files of `conf/postfix`, word for word, for this test's domain, ports and place.
struct Shipped {
    etc: tempfile::TempDir,
    relay: u16,
}

impl Shipped {
    fn new(relay: u16) -> Self {
        let shipped = Self { etc: tempfile::tempdir().unwrap(), relay };
        std::fs::set_permissions(shipped.etc.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for file in ["transport", "shared/unproved", "shared/bounces"] {
            let name = file.rsplit('/').next().unwrap();
            std::fs::write(shipped.etc.path().join(name), shipped.file(file)).unwrap();
        }
        shipped
    }

    fn file(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("{}/conf/postfix/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        text.replace("market.example.jp", "market.test")
            .replace("[127.0.0.1]:2525", &format!("[127.0.0.1]:{}", self.relay))
            .replace("=127.0.0.1:2525", &format!("=127.0.0.1:{}", self.relay))
            .replace("/etc/postfix", &self.etc.path().display().to_string())
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
/// 127.0.0.66.
struct Front {
    postfix: Postfix,
    relay: Relay,
    sink: Sink,
    /// Where Postfix sends bounces.
    world: Sink,
    buyer_alias: String,
    _place: Place,
    _shipped: Shipped,
}

impl Front {
    fn start(main: &str, master: &str) -> Self {
        let (sink, world, zone) = (Sink::start(), Sink::start(), Zone::start());
        zone.text("sellerco.example", "v=spf1 ip4:127.0.0.66 -all");
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntrusted_networks = [\"127.0.0.0/8\"]\n";
        let place = Place::new(sink.port, &format!("{listener}[dns]\nservers = [\"{}\"]\n", zone.address));
        let text = std::fs::read_to_string(&place.config).unwrap().replace("mode = \"none\"", "mode = \"verify\"");
        std::fs::write(&place.config, text).unwrap();
        let relay = place.serve();
        let (buyer_alias, _) = place.register();
        let shipped = Shipped::new(relay.port);
        let more = format!("{}relayhost = [127.0.0.1]:{}\n", shipped.file(main), world.port);
        let postfix = Postfix::start(&more, &shipped.file(master));
        Self { postfix, relay, sink, world, buyer_alias, _place: place, _shipped: shipped }
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

/// With an address that other domains share, through Postfix's queue: a sender who may be forged is
/// never written to, a proved author is.
#[test]
fn a_shared_front_bounces_to_proved_authors_only() {
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
    let told = front.world.next(SELLER);
    assert!(told.message.contains(".exe files are not accepted"), "{}", told.message);
    assert!(!front.sink.next(BUYER).message.contains("s-real"));
    let deadline = Instant::now() + PATIENCE;
    // Three bounces, of which two are thrown away.
    let seen = |what: &str, times| front.postfix.log().matches(what).count() == times;
    while !(seen("its author is not proved", 2) && seen("sender non-delivery notification", 3)) {
        assert!(Instant::now() < deadline, "{}", front.postfix.log());
        std::thread::yield_now();
    }
    assert!(front.sink.next(SELLER).message.contains("Auto-Submitted: auto-replied"));
    assert!(front.world.others().is_empty() && front.sink.others().is_empty(), "{:?}", front.world.others());
    front.relay.stop();
}
