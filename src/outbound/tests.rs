//! The queue as a whole, with a fake house, real sockets on loopback and a clock that the test sets.

use super::*;
use crate::config::Span;
use crate::dns::{DnsError, Zones};
use crate::store::queue::{ItemId, Kind, NewItem, Recipient, Which};
use crate::store::tests::{message, open, pair};
use crate::store::{NewParty, Open, Pair, StoreError};
use crate::types::{Address, ExternalId, MessageId, PartyId, Role};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(10);
thread_local! {
    /// Reading the system's roots takes a while.
    static TLS: ClientTls = ClientTls::new().unwrap();
}
/// When the tests' mail is queued.
const THEN: Time = Time(1_800_000_000_000);

pub(super) fn now() -> Time {
    THEN
}

/// What the house was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Load(ItemId),
    GivenUp(ItemId, FailureClass),
    Delayed(ItemId),
}

pub(super) struct FakeHouse {
    pub(super) asked: mpsc::UnboundedSender<Asked>,
}

impl House for FakeHouse {
    fn load(&self, item: &Item) -> Result<Option<Bytes>> {
        let _ = self.asked.send(Asked::Load(item.id));
        match item.domain.as_str() {
            "panic.test" => panic!("hostile"),
            "gone.test" => Ok(None),
            _ => Ok(Some(Bytes::from_static(b"Subject: rebuilt\r\n\r\n"))),
        }
    }
    fn return_path(&self, item: &Item) -> Result<Option<String>> {
        Ok((item.kind == Kind::Relay).then(|| "bounce+x@m.test".to_owned()))
    }
    fn given_up(&self, _: &Change<'_>, item: &Item, class: FailureClass, _: Time) -> Result<()> {
        if item.domain == "unwritable.test" {
            return Err(StoreError::Refused("no such marketplace".into()));
        }
        let _ = self.asked.send(Asked::GivenUp(item.id, class));
        Ok(())
    }
    fn delayed(&self, _: &Change<'_>, item: &Item, _: Time) -> Result<()> {
        let _ = self.asked.send(Asked::Delayed(item.id));
        Ok(())
    }
}

/// An SMTP server that answers RCPT as it is told, and passes on what it gets. An empty answer is silence.
struct Sink {
    address: SocketAddr,
    got: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

async fn sink(rcpt: &'static str) -> Sink {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    sink_on(listener, rcpt)
}

fn sink_on(listener: TcpListener, rcpt: &'static str) -> Sink {
    let (send, got) = mpsc::unbounded_channel();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve_one(stream, rcpt, send.clone()));
        }
    });
    Sink { address, got, connections }
}

/// A port where nobody listens, and that nobody else can take.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(super) async fn serve_one(
    stream: TcpStream,
    rcpt: &'static str,
    send: mpsc::UnboundedSender<String>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink.test\r\n").await.ok()?;
    let mut refused = false;
    loop {
        let mut line = String::new();
        (stream.read_line(&mut line).await.ok()? > 0).then_some(())?;
        let answer = match line.get(..4)? {
            "EHLO" => "250-sink.test\r\n250 PIPELINING\r\n",
            "RCPT" if rcpt.is_empty() => {
                let _ = send.send("silence".into());
                std::future::pending().await
            }
            "RCPT" => {
                refused = !rcpt.starts_with('2');
                rcpt
            }
            "DATA" if refused => "503 5.5.1 no\r\n",
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    (stream.read_line(&mut text).await.ok()? > 0).then_some(())?;
                }
                let _ = send.send(text);
                "250 ok\r\n"
            }
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Away from the runtime's threads, which may not block.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

pub(super) fn write<T: Send + 'static>(
    store: &Store,
    f: impl FnOnce(&Change<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    aside(|| store.write_blocking(f))
}

pub(super) struct World {
    pub(super) store: Store,
    buyer: PartyId,
    pair: Pair,
    pub(super) config: Config,
    pub(super) zones: Zones,
    pub(super) tls: ClientTls,
    pub(super) ports: Ports,
    pub(super) now: fn() -> Time,
    _dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (buyer, _, pair) = aside(|| pair(&store));
        let mut config = Config { hostname: "mx.test".into(), ..Config::default() };
        config.delivery.allow_private = true;
        config.queue.retry_first = Span::seconds(300);
        Self {
            store,
            buyer,
            pair,
            config,
            zones: Zones::default(),
            tls: TLS.with(Clone::clone),
            ports: Ports::default(),
            now,
            _dir: dir,
        }
    }

    pub(super) fn route(&mut self, domain: &str, to: SocketAddr) {
        self.config.delivery.routes.insert(domain.into(), format!("smtp://{to}"));
    }

    pub(super) fn item(&self, domain: &str, leased: bool) -> Item {
        self.items(domain, 1, leased).remove(0)
    }

    pub(super) fn items(&self, domain: &str, number: usize, leased: bool) -> Vec<Item> {
        let first = self.store.read(|v| v.last_message()).unwrap().0 + 1;
        let (pair, recipient, domain) = (self.pair.clone(), self.recipient(domain), domain.to_owned());
        let made = write(&self.store, move |c| {
            let one = |n: usize| {
                let new = message(first + i64::try_from(n).unwrap(), &pair, Role::Seller, "x", None);
                c.insert_message(&new)?;
                let (recipient, domain) = (recipient.clone(), domain.clone());
                c.enqueue(
                    &NewItem { message: new.id, kind: Kind::Relay, recipient, domain, content: None },
                    THEN,
                    leased,
                )
            };
            (0..number).map(one).collect::<Result<Vec<Item>>>()
        });
        made.unwrap()
    }

    /// The party's registered address for its own domain, a fixed address for others.
    fn recipient(&self, domain: &str) -> Recipient {
        if domain == "home.test" || domain == "old.test" {
            return Recipient::Party(self.buyer);
        }
        Recipient::Address(Address::parse(&format!("x@{domain}")).unwrap())
    }

    pub(super) async fn start(&self) -> (Outbound, mpsc::UnboundedReceiver<Asked>) {
        let (asked, heard) = mpsc::unbounded_channel();
        let start = Start {
            config: Arc::new(self.config.clone()),
            store: self.store.clone(),
            dns: Arc::new(self.zones.clone()),
            routes: route::Routes::new(&self.config.delivery).unwrap(),
            tls: self.tls.clone(),
            ports: self.ports,
            house: Arc::new(FakeHouse { asked }),
            metrics: Metrics::default(),
            now: self.now,
        };
        (Outbound::start(start).await.unwrap(), heard)
    }

    /// The parts without the queue that moves them.
    pub(super) fn means(&self, house: Arc<dyn House>) -> Arc<Means> {
        Arc::new(Means {
            config: Arc::new(self.config.clone()),
            store: self.store.clone(),
            dns: Arc::new(self.zones.clone()),
            routes: route::Routes::new(&self.config.delivery).unwrap(),
            tls: self.tls.clone(),
            ports: self.ports,
            sts: sts::Sts::new(),
            house,
            metrics: Metrics::default(),
            now: self.now,
            kick: Notify::new(),
        })
    }

    pub(super) fn left(&self) -> Vec<Item> {
        self.store.read(|v| v.queue(&Which::default(), 10_000)).unwrap()
    }

    pub(super) fn fate(&self, id: MessageId) -> String {
        self.store.read(|v| v.message(id)).unwrap().unwrap().fate
    }

    pub(super) async fn until(&self, mut done: impl FnMut(&[Item]) -> bool) {
        let wait = async {
            while !done(&self.left()) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "{:#?}", self.left());
    }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(LONG, receiver.recv()).await.unwrap().unwrap()
}

fn text(n: usize) -> Bytes {
    Bytes::from(format!("Subject: {n}\r\n\r\n.dot\r\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handed_over_in_memory() {
    let mut world = World::new();
    let mut sink = sink("250 ok\r\n").await;
    world.route("home.test", sink.address);
    let (outbound, mut heard) = world.start().await;
    let items = world.items("home.test", 200, true);
    for (n, item) in items.iter().enumerate() {
        outbound.submit(item.clone(), text(n));
    }
    let mut got = Vec::new();
    for _ in 0..200 {
        got.push(next(&mut sink.got).await);
    }
    outbound.drain(LONG).await;
    got.sort();
    let mut want: Vec<String> = (0..200).map(|n| format!("Subject: {n}\r\n\r\n..dot\r\n.\r\n")).collect();
    want.sort();
    assert!(got == want);
    assert!(world.left().is_empty());
    assert!(items.iter().all(|item| world.fate(item.message) == "delivered"));
    assert!(sink.connections.load(Ordering::SeqCst) <= 20, "connections are kept and limited");
    assert_eq!(heard.try_recv().ok(), None, "nothing was read back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_back_where_memory_is_short_and_after_a_restart() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.route("home.test", listener.local_addr().unwrap());
    world.config.queue.memory = crate::config::Size(1024);
    // one waits in the store, one is leased by a process that died
    let (waiting, dead) = (world.item("home.test", false), world.item("home.test", true));
    let (outbound, mut heard) = world.start().await;
    let fresh = world.items("home.test", 50, true);
    fresh.iter().for_each(|item| outbound.submit(item.clone(), Bytes::from(vec![b'x'; 900])));
    let late = world.item("home.test", false);
    outbound.kick();
    // Only now does the server answer: nothing was delivered, and no room made, before.
    let mut sink = sink_on(listener, "250 ok\r\n");
    for _ in 0..53 {
        next(&mut sink.got).await;
    }
    outbound.drain(LONG).await;
    assert!(world.left().is_empty());
    let mut loaded = Vec::new();
    while let Ok(Asked::Load(id)) = heard.try_recv() {
        loaded.push(id);
    }
    assert!([waiting, dead, late].iter().all(|item| loaded.contains(&item.id)), "{loaded:?}");
    assert_eq!(loaded.len(), 52, "one of the fresh ones had room");
}

/// What an attempt leaves behind, for each way that it can end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes() {
    let (_closed, closed) = closed_port();
    // domain, answer to RCPT, what is given up or why it waits, failures of the destination
    let rows: &[(&str, &'static str, std::result::Result<FailureClass, &str>, u32)] = &[
        ("unknown.test", "550 5.1.1 <x@unknown.test>\r\n", Ok(FailureClass::NoMailbox), 0),
        ("full.test", "552 5.2.2 full\r\n", Ok(FailureClass::MailboxFull), 0),
        ("busy.test", "450 4.2.1 <x@busy.test>\r\n", Err("rcpt: refused with 450 4.2.1"), 0),
        ("going.test", "421 4.3.2 x\r\n", Err("rcpt: refused with 421 4.3.2"), 0),
        ("garbage.test", "hello\r\n", Err("rcpt: not SMTP"), 0),
        ("closed.test", "", Err("connect: connection lost"), 1),
        ("null.test", "", Ok(FailureClass::NoDomain), 0),
        ("missing.test", "", Ok(FailureClass::NoDomain), 0),
        ("servfail.test", "", Err("DNS does not answer"), 1),
        ("panic.test", "250 ok\r\n", Err("internal trouble"), 0),
        ("gone.test", "250 ok\r\n", Ok(FailureClass::Other), 0),
        ("unwritable.test", "550 5.1.1 no\r\n", Err("internal trouble"), 0),
    ];
    let mut world = World::new();
    world.zones.mx.insert("null.test".into(), Ok(vec![(0, String::new())]));
    world.zones.mx.insert("servfail.test".into(), Err(DnsError::Temporary));
    for (domain, answer, ..) in rows {
        match (*domain, *answer) {
            ("closed.test", _) => world.route(domain, closed),
            (_, "") => {}
            (_, answer) => {
                let sink = sink(answer).await;
                world.route(domain, sink.address);
            }
        }
    }
    let items: Vec<Item> = rows.iter().map(|(domain, ..)| world.item(domain, false)).collect();
    let (outbound, mut heard) = world.start().await;
    let last = rows.iter().filter(|row| row.2.is_err()).count();
    world.until(|left| left.len() == last && left.iter().all(|item| !item.leased && item.attempts > 0)).await;
    outbound.drain(LONG).await;
    let mut given_up = BTreeMap::new();
    while let Ok(asked) = heard.try_recv() {
        if let Asked::GivenUp(id, class) = asked {
            // Told again where the transaction was undone for another's sake.
            given_up.insert(id, class);
        }
    }
    let left = world.left();
    for ((domain, _, want, failures), item) in rows.iter().zip(&items) {
        let row = left.iter().find(|row| row.id == item.id);
        assert_eq!(given_up.get(&item.id).copied(), want.ok(), "{domain}");
        assert_eq!(row.map(|row| row.waits_for.as_str()), want.err(), "{domain}");
        assert_eq!(row.map(|row| row.attempts), want.err().map(|_| 1), "{domain}");
        assert!(row.is_none_or(|row| row.due > THEN.plus(Duration::from_secs(200))), "{domain}");
        assert_eq!(world.fate(item.message), if want.is_ok() { "failed" } else { "queued" }, "{domain}");
        assert_eq!(world.store.read(|v| v.failures_of(domain)).unwrap(), *failures, "{domain}");
    }
    let said = format!("{:?}", world.store.read(|v| v.events(items[0].message)).unwrap());
    assert!(!said.contains("x@"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_or_dead_destination_holds_up_nobody() {
    let mut world = World::new();
    let (mut silent, mut good) = (sink("").await, sink("250 ok\r\n").await);
    let (_closed, closed) = closed_port();
    world.route("silent.test", silent.address);
    world.route("dead.test", closed);
    world.route("good.test", good.address);
    world.config.queue.concurrency_per_destination = 2;
    // much waits for the others, and first
    world.items("silent.test", 1500, false);
    world.items("dead.test", 1500, false);
    let handed = world.items("silent.test", 1500, true);
    world.items("good.test", 20, false);
    let (outbound, _heard) = world.start().await;
    handed.iter().for_each(|item| outbound.submit(item.clone(), text(0)));
    next(&mut silent.got).await;
    next(&mut silent.got).await;
    for _ in 0..20 {
        next(&mut good.got).await;
    }
    let fresh = world.items("good.test", 20, true);
    fresh.iter().for_each(|item| outbound.submit(item.clone(), text(0)));
    for _ in 0..20 {
        next(&mut good.got).await;
    }
    world.until(|left| left.iter().all(|item| item.domain != "good.test")).await;
    let dead = |item: &&Item| item.domain == "dead.test";
    let tried = world.left().iter().filter(dead).filter(|item| item.attempts > 0).count();
    assert!((1..=80).contains(&tried), "{tried}: most of what waits for a dead destination is left alone");
    assert!(silent.connections.load(Ordering::SeqCst) <= 2);
    // a stop leaves everything legal: nothing lost, what was not tried is not counted
    outbound.drain(Duration::ZERO).await;
    world.until(|left| left.iter().filter(|item| item.leased).count() <= 2).await;
    assert_eq!(world.left().len(), 4500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_comes_back() {
    let mut world = World::new();
    let (socket, address) = closed_port();
    world.route("back.test", address);
    let items = world.items("back.test", 300, false);
    let (outbound, _heard) = world.start().await;
    world
        .until(|left| {
            left.iter().any(|item| item.attempts > 0)
                && left.iter().all(|item| !item.leased)
                && world.store.read(|v| v.failures_of("back.test")).unwrap() == 1
        })
        .await;
    // what comes meanwhile does not ring there
    let more = world.item("back.test", true);
    outbound.submit(more.clone(), text(0));
    world.until(|left| left.iter().all(|item| !item.leased)).await;
    let row = world.left().into_iter().find(|item| item.id == more.id).unwrap();
    assert_eq!(
        (row.attempts, row.waits_for.as_str()),
        (0, "the destination could not be used 1 time(s), last: connect: connection lost")
    );
    let mut sink = sink_on(socket.listen(128).unwrap(), "250 ok\r\n");
    world.store.write(|c| c.retry_all("", THEN, 1000)).await.unwrap();
    outbound.kick();
    for _ in 0..301 {
        next(&mut sink.got).await;
    }
    outbound.drain(LONG).await;
    assert!(world.left().is_empty() && items.iter().all(|item| world.fate(item.message) == "delivered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_change_and_parties_go() {
    let mut world = World::new();
    let (mut old, mut new) = (sink("250 ok\r\n").await, sink("250 ok\r\n").await);
    world.route("old.test", old.address);
    world.route("new.test", new.address);
    let change = |email: Option<&str>| {
        let (buyer, email) = (world.buyer, email.map(|e| Address::parse(e).unwrap()));
        write(&world.store, move |c| match email {
            None => c.remove_party(buyer).map(drop),
            main => {
                let (role, external) = (Role::Buyer, "b1".parse::<ExternalId>().unwrap());
                let (marketplace, rest) = ("jp".into(), (None, None, None));
                let new = NewParty {
                    marketplace,
                    role,
                    external,
                    name: None,
                    main,
                    further: None,
                    language: rest.0,
                    auto_replies: rest.1,
                    unauthenticated: rest.2,
                };
                c.set_party(&new, &[], THEN).map(drop)
            }
        })
    };
    change(Some("b@old.test")).unwrap();
    let (outbound, mut heard) = world.start().await;
    let submit = || outbound.submit(world.item("old.test", true), text(0));
    submit();
    next(&mut old.got).await;
    change(Some("b@new.test")).unwrap();
    submit();
    next(&mut new.got).await;
    assert!(old.got.try_recv().is_err(), "the old server gets nothing of it");
    change(None).unwrap();
    submit();
    let Asked::GivenUp(_, class) = next(&mut heard).await else { panic!() };
    assert_eq!(class, FailureClass::Gone);
    outbound.drain(LONG).await;
    assert!(world.left().is_empty());
}

/// Items grow old by their attempts and the clock, not by the clock alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_items() {
    static CLOCK: AtomicI64 = AtomicI64::new(THEN.0);
    fn clock() -> Time {
        Time(CLOCK.load(Ordering::SeqCst))
    }
    let hour = Duration::from_secs(3600);
    let mut world = World::new();
    world.now = clock;
    let busy = sink("450 4.2.1 x\r\n").await;
    world.route("busy.test", busy.address);
    world.config.queue.retry_first = Span::seconds(1);
    world.config.queue.retry_longest = Span::seconds(3600);
    world.config.queue.delay_notice = Span::seconds(4 * 3600);
    world.config.queue.expire = Span::seconds(48 * 3600);
    let item = world.item("busy.test", false);
    let (outbound, mut heard) = world.start().await;
    let mut attempts = 0;
    let mut told = Vec::new();
    let mut at = THEN;
    // The clock is in 2106 from the second attempt on; then an hour passes before each.
    while world.left().iter().any(|row| row.id == item.id) {
        attempts += 1;
        world.until(|left| left.iter().all(|row| !row.leased && row.attempts >= attempts)).await;
        while let Ok(asked) = heard.try_recv() {
            if !matches!(asked, Asked::Load(_)) {
                told.push((attempts, asked));
            }
        }
        at = if attempts == 1 { Time(4_300_000_000_000) } else { at.plus(hour) };
        CLOCK.store(at.0, Ordering::SeqCst);
        outbound.kick();
        assert!(attempts < 200);
    }
    outbound.drain(LONG).await;
    while let Ok(asked) = heard.try_recv() {
        if !matches!(asked, Asked::Load(_)) {
            told.push((attempts + 1, asked));
        }
    }
    let least = |hours: u32| crate::policy::retry::least_attempts(hour * hours, Duration::from_secs(1), hour);
    let (_, delayed) = told.first().unwrap();
    assert_eq!(delayed, &Asked::Delayed(item.id));
    let (_, expired) = told.last().unwrap();
    assert_eq!(expired, &Asked::GivenUp(item.id, FailureClass::Expired));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 >= least(4) && attempts >= least(48) - 1 && attempts < 2 * least(48), "{told:?} {attempts}");
}

/// Many domains behind one smarthost that is busy do not hide another destination.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_smarthost_hides_nobody() {
    let mut world = World::new();
    let (smarthost, mut good) = (sink("").await, sink("250 ok\r\n").await);
    world.config.delivery.route = format!("smtp://{}", smarthost.address);
    world.config.queue.concurrency_per_destination = 1;
    world.route("zzz.test", good.address);
    for n in 0..600 {
        world.item(&format!("d{n}.test"), false);
    }
    world.item("zzz.test", false);
    let (outbound, _heard) = world.start().await;
    next(&mut good.got).await;
    outbound.drain(Duration::ZERO).await;
    assert_eq!(smarthost.connections.load(Ordering::SeqCst), 1, "one limit for all of them");
}

/// A server that falls silent in the middle is left alone, and does not get all connections first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent() {
    let mut world = World::new();
    let sink = sink("").await;
    world.route("silent.test", sink.address);
    world.config.delivery.timeouts.command = Span(Duration::from_millis(50));
    world.items("silent.test", 300, false);
    let (outbound, _heard) = world.start().await;
    let down = || world.store.read(|v| v.failures_of("silent.test")).unwrap() == 1;
    world.until(|left| down() && left.iter().all(|item| !item.leased)).await;
    assert!(sink.connections.load(Ordering::SeqCst) <= 5);
    let cancelled = world.left()[7].id;
    write(&world.store, move |c| c.cancel(cancelled, THEN)).unwrap();
    outbound.drain(LONG).await;
    let left = world.left();
    assert_eq!(left.len(), 299, "cancelled is cancelled");
    assert!(left.iter().filter(|item| item.attempts > 0).all(|item| item.waits_for == "rcpt: no answer in time"));
}

/// What waits behind a dead destination is never tried by itself, and still its author hears of it.
#[test]
fn old_items_behind_a_dead_destination() {
    let mut world = World::new();
    world.config.queue.delay_notice = Span::seconds(4 * 3600);
    let items = world.items("dead.test", 3, false);
    let (asked, mut heard) = mpsc::unbounded_channel();
    let means = world.means(Arc::new(FakeHouse { asked }));
    // hours later, failures of the destination, and what the three authors hear
    let rows = [
        (1, 100, ""),
        (1_000_000, 0, ""),
        (5, 100, "delayed"),
        (6, 100, ""),
        (5 * 24 + 1, 100, ""),
        (5 * 24 + 5, 2, ""),
        (5 * 24 + 5, 30, "given up"),
        (5 * 24 + 6, 30, ""),
    ];
    for (hours, failures, want) in rows {
        let at = THEN.plus(Duration::from_secs(hours * 3600));
        if !world.left().is_empty() {
            write(&world.store, move |c| c.unreachable("dead.test", failures, at, None)).unwrap();
        }
        loop {
            let means = Arc::clone(&means);
            // Two at a time.
            if !write(&world.store, move |c| settle::age(&means, c, 2, at)).unwrap() {
                break;
            }
        }
        let mut told = Vec::new();
        while let Ok(asked) = heard.try_recv() {
            told.push(asked);
        }
        let want: Vec<Asked> = match want {
            "" => Vec::new(),
            "delayed" => items.iter().map(|item| Asked::Delayed(item.id)).collect(),
            _ => items.iter().map(|item| Asked::GivenUp(item.id, FailureClass::Expired)).collect(),
        };
        assert_eq!(told, want, "after {hours} hours and {failures} failures");
    }
    assert!(world.left().is_empty());
}
