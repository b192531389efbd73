//! The queue as a whole, with a fake house, real sockets on loopback and a clock that the test sets.

mod age;
mod apart;
mod back;
mod handover;
mod outcomes;
mod storm;

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
    fn load(&self, item: &Item) -> Result<Loaded> {
        let _ = self.asked.send(Asked::Load(item.id));
        match item.domain.as_str() {
            "panic.test" => panic!("hostile"),
            "gone.test" => Ok(Loaded::Gone),
            "unclean.test" => Ok(Loaded::Unclean("header")),
            "eight.test" => Ok(Loaded::Bytes("Subject: \u{e4}\r\n\r\n".into())),
            _ => Ok(Loaded::Bytes(Bytes::from_static(b"Subject: rebuilt\r\n\r\n"))),
        }
    }
    fn seven_bit(&self, _: MessageId, to: &Address, raw: &[u8], _: Time) -> Vec<u8> {
        format!("Subject: {} octets\r\nTo: {}\r\n\r\n", raw.len(), to.expose()).into_bytes()
    }
    fn return_path(&self, _: &View<'_>, item: &Item) -> Result<Option<String>> {
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
                    &NewItem { message: new.id, kind: Kind::Relay, recipient, domain, notice: None },
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
            threads: tokio::runtime::Handle::current(),
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
