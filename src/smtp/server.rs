//! Accepting connections: how many, from whom, and a graceful end.

use super::Handler;
use super::connection::Connection;
use super::incoming::Budget;
use super::session::Settings;
use super::space::Space;
use super::stream::proxy_header;
use crate::config::ListenerTls;
use crate::metrics::{Metrics, count};
use crate::tls::Certificate;
use crate::types::network::{Network, client_key};
use crate::types::quiet::Quiet;
use crate::types::{Client, Reply, locked};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a connection needs of the server.
pub(super) struct Shared<H> {
    pub(super) handler: Arc<H>,
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Metrics,
    pub(super) memory: Budget,
    pub(super) spool: PathBuf,
    pub(super) space: Arc<Space>,
    /// Log lines that clients cause.
    pub(super) quiet: Arc<Mutex<Quiet>>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// A bound socket and how it is used.
pub struct Socket {
    /// The socket.
    pub listener: TcpListener,
    /// TLS on it.
    pub tls: ListenerTls,
    /// Front MTAs and balancers.
    pub trusted: Vec<Network>,
    /// Whether those begin with a PROXY header.
    pub proxy: bool,
    /// It outlives this process: who connects during a stop waits in it for the next one.
    pub kept: bool,
    /// Whether sellers log in here, and nobody else writes.
    pub submission: bool,
}

impl Socket {
    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// Whether this peer begins with a PROXY header.
    fn behind_balancer(&self, peer: IpAddr) -> bool {
        self.proxy && self.trusts(peer)
    }
}

/// What all listeners share.
pub struct Server<H> {
    handler: Arc<H>,
    settings: Settings,
    metrics: Metrics,
    certificate: Option<Certificate>,
    spool: PathBuf,
    places: Arc<Places>,
}

/// Connections open now, in all and by client.
struct Places {
    open: Mutex<(usize, HashMap<u128, usize>)>,
    in_all: usize,
    per_client: usize,
    metrics: Metrics,
}

/// One of them, given back when dropped.
struct Place {
    places: Arc<Places>,
    /// The client that it counts for, once that is known.
    key: Option<u128>,
}

impl Places {
    fn take(self: &Arc<Self>) -> Result<Place, &'static str> {
        let mut guard = locked(&self.open);
        let all = &mut guard.0;
        if *all >= self.in_all {
            return Err("too-many");
        }
        *all += 1;
        self.metrics.connections.set(i64::try_from(*all).unwrap_or(i64::MAX));
        Ok(Place { places: Arc::clone(self), key: None })
    }
}

impl Place {
    /// Counts it for a client.
    fn of(mut self, ip: IpAddr) -> Result<Self, &'static str> {
        let key = client_key(ip);
        let mut guard = locked(&self.places.open);
        let mine = guard.1.entry(key).or_default();
        if *mine >= self.places.per_client {
            return Err("too-many-of-client");
        }
        *mine += 1;
        drop(guard);
        self.key = Some(key);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guard = locked(&self.places.open);
        let (all, clients) = &mut *guard;
        *all = all.saturating_sub(1);
        if let Some(key) = self.key {
            match clients.get_mut(&key) {
                Some(mine) if *mine > 1 => *mine -= 1,
                _ => drop(clients.remove(&key)),
            }
        }
        self.places.metrics.connections.set(i64::try_from(*all).unwrap_or(i64::MAX));
    }
}

impl<H: Handler> Server<H> {
    /// `settings.starttls` and `settings.submission` are set for each listener by its own TLS mode and kind. `spool` holds unlinked files of large messages.
    #[must_use]
    pub fn new(
        handler: Arc<H>,
        settings: Settings,
        certificate: Option<Certificate>,
        spool: PathBuf,
        metrics: Metrics,
    ) -> Self {
        let (in_all, per_client) = (settings.limits.connections, settings.limits.connections_per_client);
        let places = Arc::new(Places { open: Mutex::default(), in_all, per_client, metrics: metrics.clone() });
        Self { handler, settings, metrics, certificate, spool, places }
    }

    /// Serves until `stopping` says so and the last connection has ended. New connections are told 421 then.
    pub async fn run(self, sockets: Vec<Socket>, stopping: watch::Receiver<bool>) {
        let memory = Budget::new(self.settings.limits.memory.0);
        let space = Arc::new(Space::new(self.spool.clone(), self.settings.limits.free_space.0));
        let quiet = Arc::default();
        let mut listeners = JoinSet::new();
        for socket in sockets {
            let starttls = socket.tls == ListenerTls::Starttls && self.certificate.is_some();
            let shared = Arc::new(Shared {
                handler: Arc::clone(&self.handler),
                settings: Arc::new(Settings { starttls, submission: socket.submission, ..self.settings.clone() }),
                metrics: self.metrics.clone(),
                memory: memory.clone(),
                spool: self.spool.clone(),
                space: Arc::clone(&space),
                quiet: Arc::clone(&quiet),
                stopping: stopping.clone(),
            });
            listeners.spawn(listen(socket, shared, self.certificate.clone(), Arc::clone(&self.places)));
        }
        while listeners.join_next().await.is_some() {}
    }
}

/// Whether the stop has come.
pub(super) fn is_stopping(stopping: &watch::Receiver<bool>) -> bool {
    *stopping.borrow() || stopping.has_changed().is_err()
}

/// Waits for the stop. The sender lives as long as the server; its end means the same.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn listen<H: Handler>(
    socket: Socket,
    shared: Arc<Shared<H>>,
    certificate: Option<Certificate>,
    places: Arc<Places>,
) {
    let socket = Arc::new(socket);
    let mut stopping = shared.stopping.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // The stop comes first: who connects after it is told so below.
            biased;
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let behind = socket.behind_balancer(peer.ip());
                    match places.take().and_then(|place| if behind { Ok(place) } else { place.of(peer.ip()) }) {
                        Ok(place) => {
                            let (socket, shared, certificate) = (Arc::clone(&socket), Arc::clone(&shared), certificate.clone());
                            connections.spawn(serve(stream, peer.ip(), place, socket, shared, certificate));
                        }
                        Err(word) => turn_away(&stream, word, &shared),
                    }
                }
                // The client was gone before it was its turn.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors, most likely: serve on, and accept again when some have ended.
                    tracing::warn!(kind = ?error.kind(), "accept failed");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
    // Those that still come hear why, unless somebody else will serve them; those that are served may finish.
    loop {
        tokio::select! {
            biased;
            ended = connections.join_next() => if ended.is_none() { return },
            Ok((stream, _)) = socket.listener.accept(), if !socket.kept => {
                count(&shared.metrics.connections_total, "stopping");
                refuse(&stream, &going_down());
            }
        }
    }
}

/// What a client hears of a stop.
pub(super) fn going_down() -> Reply {
    Reply::new(421, 3, 2, "Going down, try again")
}

/// Says why there is no service. The line fits any socket buffer, so nothing waits for the client. Written past tokio, which does not know yet that a
/// socket just accepted can be written to.
fn refuse(stream: &TcpStream, reply: &Reply) {
    let _ = socket2::SockRef::from(stream).send(reply.wire().as_bytes());
}

fn turn_away<H>(stream: &TcpStream, word: &'static str, shared: &Shared<H>) {
    count(&shared.metrics.connections_total, word);
    refuse(stream, &Reply::new(421, 4, 5, "Too many connections, try again later"));
}

async fn serve<H: Handler>(
    mut stream: TcpStream,
    peer: IpAddr,
    mut place: Place,
    socket: Arc<Socket>,
    shared: Arc<Shared<H>>,
    certificate: Option<Certificate>,
) {
    // Replies are small and awaited.
    let _ = stream.set_nodelay(true);
    let mut ip = peer;
    let mut first = Vec::new();
    if socket.behind_balancer(peer) {
        let mut stopping = shared.stopping.clone();
        let header = tokio::select! {
            biased;
            header = proxy_header(&mut stream) => header,
            // Accepted in the moment of the stop.
            () = stopped(&mut stopping) => return refuse(&stream, &going_down()),
        };
        let Some((client, rest)) = header else {
            count(&shared.metrics.sessions_cut, "proxy-header");
            refuse(&stream, &Reply::new(421, 5, 2, "No PROXY header"));
            let _ = stream.shutdown().await;
            return;
        };
        // Without a client the balancer speaks for itself: it asks whether we live.
        if let Some(client) = client {
            ip = client;
            place = match place.of(ip) {
                Ok(place) => place,
                Err(word) => return turn_away(&stream, word, &shared),
            };
        }
        first = rest;
    }
    count(&shared.metrics.connections_total, "served");
    // A balancer is trusted to say who its client is. That does not make the client a front MTA.
    let trusted = socket.trusts(ip);
    let tls = certificate.map(|certificate| certificate.acceptor());
    let client = Client { ip, helo: String::new(), tls: false, trusted, login: None };
    Box::pin(Connection::new(stream, client, shared, tls).with_input(first).run(socket.tls == ListenerTls::Implicit))
        .await;
    drop(place);
}
