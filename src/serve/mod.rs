//! Floor 7, the daemon: open, bind, notify, run, drain.
//!
//! Start: configuration (checked by the caller), store, certificate, sockets (from systemd or our own), queue, server. Stop: no new connections, transactions end,
//! deliveries under way end, the store is closed. Nothing is half done: what a client was told 250 is on disk by then.

pub mod http;

use crate::authentication::Verifier;
use crate::config::{Config, ListenerKind};
use crate::dns::Hickory;
use crate::message::sign::Signer;
use crate::metrics::Metrics;
use crate::notice::Texts;
use crate::outbound::route::Routes;
use crate::outbound::{Outbound, Start};
use crate::relay::Relay;
use crate::smtp::server::{Server, Socket};
use crate::smtp::session::Settings;
use crate::store::{Flaw, Flawed, OpenError, Store, StoreError};
use crate::tls::{Certificate, ClientTls, TlsError};
use crate::types::address::ascii_domain;
use crate::types::{SystemRandom, Time};
use sd_notify::NotifyState;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Sessions and deliveries have this long to end when the store is of no use any more.
const BROKEN: Duration = Duration::from_secs(3);

/// Why the daemon does not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket.
    #[error("cannot listen on {address}: {error}. Is another program using it, or does the port need a privilege?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The configuration, which the caller has not checked.
    #[error("{0}")]
    Config(String),
    /// Anything else of the system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// What has started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where each listener listens, in the order of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

/// Runs the daemon until SIGTERM, SIGINT or `stop`. `started` is called when it is ready.
///
/// # Errors
/// [`ServeError`] if it does not start.
pub async fn run(
    config: Config,
    started: impl FnOnce(&Started, &Store),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let config = Arc::new(config);
    let metrics = Metrics::default();
    // From here on a signal waits until it can be heeded: SIGHUP would else end a daemon that has just said READY.
    let signals = Signals::new()?;
    // The store comes first: without it nothing else makes sense.
    let lock = Store::lock(&config.data_dir)?;
    let store = Store::serve(&lock, &mut SystemRandom, metrics.clone())?;
    let certificate = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Some(Certificate::load(certificate, key)?),
        _ => None,
    };
    // All of them before anything is begun: a port in use leaves everything as it was.
    let (sockets, listeners) = sockets(&config)?;
    let metrics_socket = config.metrics.address.map(|address| bind(address).and_then(listen)).transpose()?;
    let (texts, problems) = Texts::load(config.notices.directory.as_deref());
    if let Some(problem) = problems.into_iter().next() {
        return Err(ServeError::Config(problem));
    }
    let relay = Relay::new(Arc::clone(&config), store.clone(), texts, metrics.clone())?;
    let dns = Hickory::new(&config.dns).map_err(|error| ServeError::Config(format!("[dns] {error}")))?;
    relay.verify_with(Verifier::new(dns.resolver().clone(), &config.hostname));
    relay.sign_with(signers(&config)?);
    let (deliveries, threads) = Deliveries::start()?;
    let outbound = Outbound::start(Start {
        threads,
        now: Time::now,
        config: Arc::clone(&config),
        store: store.clone(),
        dns: Arc::new(dns),
        routes: Routes::new(&config.delivery).map_err(|error| ServeError::Config(format!("[delivery] {error}")))?,
        tls: ClientTls::with_roots(config.tls.extra_roots.as_deref())?,
        ports: crate::outbound::Ports::default(),
        house: Arc::clone(&relay) as _,
        metrics: metrics.clone(),
    })
    .await?;
    relay.connect(outbound.clone());
    let http = metrics_socket.as_ref().map(TcpListener::local_addr).transpose()?;
    if let Some(socket) = metrics_socket {
        serve_metrics(socket, &metrics, &store);
    }
    let janitor = tokio::spawn(crate::janitor::run(store.clone(), config.history.keep_days, Time::now));

    let (stopping, watch) = watch::channel(false);
    let settings = Settings {
        hostname: config.hostname.clone(),
        limits: config.limits.clone(),
        max_message: config.policy.attachments.max_message_size.0,
        starttls: false,
        submission: false,
    };
    let tending = tokio::spawn(Arc::clone(&relay).tend(Time::now));
    let server =
        Server::new(Arc::clone(&relay), settings, certificate.clone(), config.data_dir.clone(), metrics.clone());
    let server = tokio::spawn(server.run(sockets, watch));

    let ready = Started { listeners, metrics: http };
    for address in &ready.listeners {
        tracing::info!(listener = %address, "started");
    }
    if let Some(address) = ready.metrics {
        tracing::info!(metrics = %address, "started");
    }
    for listener in config.may_hide_clients() {
        tracing::warn!(listener = %listener.address, "{}", crate::config::check::HIDDEN_CLIENTS);
    }
    started(&ready, &store);
    notify(&[NotifyState::Ready]);
    look_at_parties(&store, &config);
    let watchdog = tokio::spawn(watchdog(store.clone()));

    let ended = until_stopped(signals, stop, certificate.as_ref(), &store).await;
    tracing::info!("stopping");
    notify(&[NotifyState::Stopping]);
    let _ = stopping.send(true);
    let limit = if ended.is_ok() { Duration::MAX } else { BROKEN };
    // A panic in it has been reported by the hook; the stop goes on.
    let _ = tokio::time::timeout(limit, server).await;
    outbound.drain(limit.min(crate::outbound::DRAIN)).await;
    drop(deliveries);
    watchdog.abort();
    janitor.abort();
    tending.abort();
    if let Err(error) = relay.write_refusals().await {
        tracing::error!(%error, "cannot write sums of refused mail");
    }
    crate::janitor::finish(&store).await;
    // Not by the last of its clones: the relay and the queue know each other for ever.
    store.close();
    tracing::info!("stopped");
    ended
}

/// The domains in which no party has its mailbox, as lower-case A-labels: the alias domains, and
/// our own host name.
#[must_use]
pub fn own_domains(config: &Config) -> Vec<String> {
    let names = config.marketplace.iter().map(|shop| &shop.domain).chain([&config.hostname]);
    names.filter_map(|name| ascii_domain(name).ok()).collect()
}

/// Tells of parties that were registered before what is wrong with them was refused, without naming
/// them; `check` does. A start does not wait for it.
fn look_at_parties(store: &Store, config: &Config) {
    let (store, own) = (store.clone(), own_domains(config));
    tokio::task::spawn_blocking(move || {
        for Flawed { flaw, count, .. } in store.read(|view| view.flawed(&own)).unwrap_or_default() {
            let what = match flaw {
                Flaw::Domain => "addresses in an alias domain or at the relay's own host name",
                Flaw::Name => "names with control characters",
            };
            tracing::warn!(
                count,
                "parties are registered with {what}. `marketrelay check` tells which, and what to do"
            );
        }
    });
}

/// A runtime whose threads have room to walk deep messages.
#[must_use]
pub fn threads() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(4 << 20);
    builder
}

/// Threads for the deliveries, half as many as there are processors: on the sessions' own, the delivery of a message and its author's next one
/// would take turns.
struct Deliveries(Option<Runtime>);

impl Deliveries {
    fn start() -> std::io::Result<(Self, Handle)> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = threads().worker_threads((processors / 2).max(1)).thread_name("deliveries").build()?;
        let handle = runtime.handle().clone();
        Ok((Self(Some(runtime)), handle))
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        // Without waiting: the queue has been given its time, and async code may not block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The keys of `[[dkim]]`, by alias domain.
fn signers(config: &Config) -> Result<HashMap<String, Vec<Signer>>, ServeError> {
    let mut signers: HashMap<String, Vec<Signer>> = HashMap::new();
    for dkim in &config.dkim {
        let wrong = |what: String| ServeError::Config(format!("[[dkim]] {}: {what}", dkim.key.display()));
        let shop = config.marketplace.iter().find(|shop| shop.id == dkim.marketplace);
        let domain = shop.and_then(|shop| ascii_domain(&shop.domain).ok());
        let domain = domain.ok_or_else(|| wrong("its marketplace is not in the configuration".to_owned()))?;
        let pem = std::fs::read(&dkim.key).map_err(|error| wrong(error.to_string()))?;
        let signer = Signer::from_pem(&domain, &dkim.selector, &pem).map_err(|error| wrong(error.to_string()))?;
        signers.entry(domain).or_default().push(signer);
    }
    Ok(signers)
}

/// The signals that we heed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }
}

/// Waits for a signal to stop, or for a store that takes no more writes; SIGHUP reads the certificate again meanwhile.
async fn until_stopped(
    signals: Signals,
    stop: impl Future<Output = ()>,
    certificate: Option<&Certificate>,
    store: &Store,
) -> Result<(), ServeError> {
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = store.broken() => {
                tracing::error!("nothing more can be written after a failed flush: the daemon ends, and has to be started again");
                return Err(StoreError::Poisoned.into());
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => match certificate.map(Certificate::reload) {
                None => tracing::info!("nothing to reload: no certificate is configured, and the rest of the configuration is read at a restart"),
                Some(Ok(())) => tracing::info!("reloaded the certificate; the rest of the configuration is read at a restart"),
                Some(Err(error)) => tracing::error!(%error, "not reloaded: the old certificate stays in use"),
            },
        }
    }
}

/// The sockets of the configuration: those that systemd hands over, by their address, else our own.
fn sockets(config: &Config) -> Result<(Vec<Socket>, Vec<SocketAddr>), ServeError> {
    let mut given = listenfd::ListenFd::from_env();
    let mut handed = Vec::new();
    for index in 0..given.len() {
        // Sockets of another kind are left alone.
        if let Ok(Some(listener)) = given.take_tcp_listener(index) {
            handed.push(listener);
        }
    }
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for settings in &config.listener {
        let same = |socket: &std::net::TcpListener| socket.local_addr().is_ok_and(|a| a == settings.address);
        let (listener, kept) = match handed.iter().position(same) {
            Some(index) => (handed.swap_remove(index), true),
            None => (bind(settings.address)?, false),
        };
        addresses.push(listener.local_addr()?);
        let trusted = settings.trusted_networks.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        sockets.push(Socket {
            listener: listen(listener)?,
            tls: settings.tls,
            trusted: trusted.map_err(|error| ServeError::Config(format!("trusted_networks: {error}")))?,
            proxy: settings.proxy_protocol,
            kept,
            submission: settings.kind == ListenerKind::Submission,
        });
    }
    if let Some(left) = handed.first() {
        let address = left.local_addr()?;
        return Err(ServeError::Config(format!(
            "systemd hands over {address}, but no [[listener]] has that address. Add one, or take it out of marketrelay.socket"
        )));
    }
    Ok((sockets, addresses))
}

fn listen(socket: std::net::TcpListener) -> Result<TcpListener, ServeError> {
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // Each family has its own listener, so that trusted networks mean what they say.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    };
    open().map_err(|error| ServeError::Bind { address, error })
}

fn serve_metrics(socket: TcpListener, metrics: &Metrics, store: &Store) {
    let store = store.clone();
    let health: http::Health =
        Arc::new(
            move || {
                if store.healthy() { Ok(()) } else { Err("the store takes no more writes; restart the daemon") }
            },
        );
    tokio::spawn(http::run(socket, metrics.clone(), health));
}

fn notify(states: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET there is nobody to tell, and that is fine.
    let _ = sd_notify::notify(states);
}

/// Tells systemd that we live, as long as the store answers.
async fn watchdog(store: Store) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut pulse = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        pulse.tick().await;
        // A write, so that a writer that hangs is noticed.
        if store.write(|_| Ok(())).await.is_ok() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Open;
    use crate::store::queue::{Kind, NewItem, Recipient, Which};
    use crate::types::{Address, MessageId};

    /// What a daemon that died was just delivering is still as it left it.
    #[tokio::test]
    async fn a_port_in_use_leaves_everything_as_it_was() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        for what in ["[metrics]", "[[listener]]"] {
            let dir = tempfile::tempdir().unwrap();
            let text =
                format!("hostname = 'mx.m.test'\ndata_dir = '{}'\n{what}\naddress = '{address}'", dir.path().display());
            let store = Store::open(dir.path(), Open::Create, &mut SystemRandom, Metrics::default()).unwrap();
            let leased = store.write(|change| {
                let recipient = Recipient::Address(Address::parse("a@b.example").unwrap());
                let (message, domain) = (MessageId(1), "b.example".to_owned());
                let new = NewItem { message, kind: Kind::Notice, recipient, domain, notice: None };
                change.enqueue(&new, Time::now(), true)
            });
            let leased = leased.await.unwrap();
            let ended = run(toml::from_str(&text).unwrap(), |_, _| panic!("{what}"), std::future::pending()).await;
            assert!(
                matches!(ended, Err(ServeError::Bind { address: found, .. }) if found == address),
                "{what}: {ended:?}"
            );
            let left = store.read(|view| view.queue(&Which::default(), 9)).unwrap();
            assert_eq!(left, [leased], "{what}");
        }
    }
}
