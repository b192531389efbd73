//! One attempt: from an item to what it came to. Connections are kept by the caller, between attempts.

use super::House;
use super::route::{Destination, NoServer, Routes, Server, maildir_name, servers};
use crate::config::Config;
use crate::dns::Dns;
use crate::policy::failure::FailureClass;
use crate::smtp::client::{Client, Failure, Mail, Security, Stage};
use crate::store::queue::Item;
use crate::store::{Store, StoreError};
use crate::tls::ClientTls;
use crate::types::{Address, SystemRandom, Time};
use bytes::Bytes;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What an attempt came to. The text is ours: at most a code of the other server is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver's server has it.
    Delivered,
    /// Try again. `reached`: the destination itself answers.
    Later {
        /// Why.
        why: String,
        /// Whether a server was reached at all.
        reached: bool,
    },
    /// No use.
    Failed {
        /// Why.
        why: String,
        /// What the author is told.
        class: FailureClass,
    },
}

/// What attempts need of the house.
pub(super) struct Means {
    pub(super) config: Arc<Config>,
    pub(super) store: Store,
    pub(super) dns: Arc<dyn Dns>,
    pub(super) routes: Routes,
    pub(super) tls: ClientTls,
    pub(super) house: Arc<dyn House>,
}

fn later(why: impl Into<String>) -> Outcome {
    Outcome::Later { why: why.into(), reached: true }
}

fn failed(why: impl Into<String>, class: FailureClass) -> Outcome {
    Outcome::Failed { why: why.into(), class }
}

impl Means {
    /// Delivers an item over `kept`, or a new connection, which is kept there if it is good for more.
    pub(super) async fn attempt(&self, item: &Item, bytes: Option<Bytes>, kept: &mut Option<Client>) -> Outcome {
        let address = match self.store.read(|view| view.item_address(item)) {
            Ok(Some(address)) => address,
            Ok(None) => return failed("the receiver is gone", FailureClass::Gone),
            Err(error) => return trouble(&error),
        };
        let bytes = match bytes.map_or_else(|| self.house.load(item), |bytes| Ok(Some(bytes))) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return failed("the message is not kept any more", FailureClass::Other),
            Err(error) => return trouble(&error),
        };
        match self.routes.destination(address.domain()) {
            Destination::Maildir(directory) => {
                let written = tokio::task::spawn_blocking(move || maildir(&directory, &address, &bytes)).await;
                match written {
                    Ok(Ok(())) => Outcome::Delivered,
                    Ok(Err(error)) => later(format!("maildir: {}", error.kind())),
                    Err(_) => later("maildir: failed"),
                }
            }
            destination => self.smtp(item, &address, &bytes, &destination, kept).await,
        }
    }

    async fn smtp(
        &self,
        item: &Item,
        address: &Address,
        bytes: &[u8],
        destination: &Destination,
        kept: &mut Option<Client>,
    ) -> Outcome {
        let sender = self.house.return_path(item);
        let mail = Mail { sender: sender.as_deref(), recipient: address, bytes };
        if let Some(client) = kept {
            match client.deliver(&mail).await {
                // A kept connection may have died in the meantime: a new one is tried at once.
                Err(Failure::Network(Stage::Mail) | Failure::Refused(Stage::Mail, _)) => *kept = None,
                result => return self.outcome(result, kept),
            }
        }
        match self.connect(destination).await {
            Ok(mut client) => {
                let result = client.deliver(&mail).await;
                *kept = Some(client);
                self.outcome(result, kept)
            }
            Err(outcome) => outcome,
        }
    }

    fn outcome(&self, result: Result<(), Failure>, kept: &mut Option<Client>) -> Outcome {
        match result {
            Ok(()) => Outcome::Delivered,
            Err(failure) => {
                if !failure.keeps_connection() {
                    *kept = None;
                }
                let why = failure.to_string();
                match failure {
                    Failure::Refused(_, code) if failure.is_permanent() => {
                        failed(why, FailureClass::of_reply(code.code, code.enhanced))
                    }
                    _ if failure.is_permanent() => failed(why, FailureClass::Other),
                    _ => later(why),
                }
            }
        }
    }

    /// Connects to the best server that answers; two sessions are tried at most.
    async fn connect(&self, destination: &Destination) -> Result<Client, Outcome> {
        let found = match destination {
            Destination::Host { host, port, .. } => self.fixed(host, *port).await,
            Destination::Domain(domain) => {
                let private = self.config.delivery.allow_private;
                servers(&*self.dns, domain, &self.config.hostname, private, &mut SystemRandom).await
            }
            Destination::Maildir(_) => Err(NoServer::Unreachable),
        };
        let found = found.map_err(|none| match none {
            NoServer::Dns => Outcome::Later { why: none.as_str().to_owned(), reached: false },
            none => failed(none.as_str(), FailureClass::NoDomain),
        })?;
        let times = &self.config.delivery.timeouts;
        let mut last = Failure::Network(Stage::Connect);
        let mut sessions = 0;
        for server in found {
            let stream = match timeout(times.connect.0, TcpStream::connect(server.address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => continue,
                Err(_) => {
                    last = Failure::Timeout(Stage::Connect);
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let implicit = matches!(destination, Destination::Host { tls: true, .. });
            let security = self.security(&server, implicit);
            match Client::open(stream, &self.config.hostname, security, times.clone()).await {
                Ok(client) => return Ok(client),
                Err(failure) => last = failure,
            }
            sessions += 1;
            if sessions == 2 {
                break;
            }
        }
        Err(Outcome::Later { why: last.to_string(), reached: false })
    }

    fn security(&self, server: &Server, implicit: bool) -> Security {
        let Ok(name) = server.name.clone().try_into() else { return Security::Plain };
        if implicit {
            Security::Implicit(Arc::clone(&self.tls.verified), name)
        } else {
            Security::Opportunistic(Arc::clone(&self.tls.opportunistic), name)
        }
    }

    async fn fixed(&self, host: &str, port: u16) -> Result<Vec<Server>, NoServer> {
        let server = |ip| Server { address: SocketAddr::new(ip, port), name: host.to_owned() };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![server(ip)]);
        }
        // The operator named it: an answer of any kind may come later, and any address is meant.
        let addresses = self.dns.addresses(host).await.map_err(|_| NoServer::Dns)?;
        Ok(addresses.into_iter().map(server).collect())
    }
}

fn trouble(error: &StoreError) -> Outcome {
    tracing::error!(%error, "store trouble while delivering");
    later("trouble with the store")
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Writes into `DIRECTORY/ADDRESS/{tmp,new,cur}`, flushed before it shows.
fn maildir(directory: &Path, address: &Address, bytes: &[u8]) -> std::io::Result<()> {
    let home = directory.join(maildir_name(address));
    for folder in ["tmp", "new", "cur"] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join(folder))?;
    }
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}.P{}Q{serial}.marketrelay", Time::now().0, std::process::id());
    let (tmp, new) = (home.join("tmp").join(&name), home.join("new").join(&name));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&tmp)?;
    // Maildirs hold lines that end in LF.
    let mut start = 0;
    let mut out = Vec::with_capacity(bytes.len());
    for at in memchr::memmem::find_iter(bytes, b"\r\n") {
        out.extend_from_slice(bytes.get(start..at).unwrap_or(&[]));
        start = at + 1;
    }
    out.extend_from_slice(bytes.get(start..).unwrap_or(&[]));
    file.write_all(&out)?;
    file.sync_all()?;
    fs::rename(&tmp, &new)?;
    fs::File::open(home.join("new"))?.sync_all()
}
