//! From a destination to an open session: which server, how much TLS it is owed, and the login it asks for.
//!
//! Not here: what is sent over it (`delivery`), or how long it is kept (`lane`).

use super::Means;
use super::delivery::{Outcome, failed, unreached};
use super::route::{Destination, NoServer, Server, server_key, servers};
use crate::config::TlsLevel;
use crate::policy::failure::FailureClass;
use crate::smtp::client::{Client, Failure, Login, Security, Stage};
use crate::types::SystemRandom;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Octets of a password file that are read at most.
const PASSWORD: usize = 1024;

/// What every server of a destination is owed.
struct Demand {
    level: TlsLevel,
    /// TLS from the first octet.
    implicit: bool,
    /// Only with `implicit` or [`TlsLevel::Required`]: both verify.
    login: Option<Login>,
}

impl Means {
    /// Connects to the best server that answers; two sessions are tried at most.
    pub(super) async fn connect(&self, destination: &Destination) -> Result<Client, Outcome> {
        let found = match destination {
            Destination::Host { host, port, .. } => self.fixed(host, *port).await,
            Destination::Domain(domain) => {
                let private = self.config.delivery.allow_private;
                servers(&*self.dns, domain, &self.config.hostname, private, &mut SystemRandom).await
            }
            Destination::Maildir(_) => Err(NoServer::Unreachable),
        };
        let found = found.map_err(|none| match none {
            NoServer::Dns => unreached(none.as_str()),
            none => failed(none.as_str(), FailureClass::NoDomain),
        })?;
        let demand = self.demand(destination).await?;
        let mut last = Failure::Network(Stage::Connect);
        let mut sessions = 0;
        for server in found {
            match self.session(&server, &demand).await {
                Ok(client) => return Ok(client),
                Err(failure) => last = failure,
            }
            sessions +=
                usize::from(!matches!(last, Failure::Network(Stage::Connect) | Failure::Timeout(Stage::Connect)));
            if sessions == 2 {
                break;
            }
        }
        if let Destination::Host { host, port, .. } = destination
            && (demand.login.is_some() || last.is_tls())
        {
            // The operator's own server: nobody else would tell them.
            tracing::warn!(server = server_key(host, *port), why = %last, "cannot use the server of a route");
        }
        Err(unreached(last.to_string()))
    }

    /// What the settings say of a destination.
    async fn demand(&self, destination: &Destination) -> Result<Demand, Outcome> {
        let settings = &self.config.delivery;
        let (host, port, implicit) = match destination {
            Destination::Host { host, port, tls } => (host, *port, *tls),
            Destination::Domain(domain) => {
                return Ok(Demand { level: settings.tls_level(domain), implicit: false, login: None });
            }
            Destination::Maildir(_) => return Ok(Demand { level: TlsLevel::None, implicit: false, login: None }),
        };
        let key = server_key(host, port);
        let level = if implicit { TlsLevel::Required } else { settings.tls_level(&key) };
        let login = match settings.credentials.get(&key) {
            None => None,
            // `check` refuses such settings.
            Some(_) if level != TlsLevel::Required => return Err(unreached("auth: TLS is not required here")),
            Some(credentials) => match password(&credentials.password_file).await {
                Some(password) => Some(Login { user: credentials.user.clone(), password }),
                None => {
                    tracing::error!(
                        server = key,
                        "the password file of a route's server is missing, empty or too long"
                    );
                    return Err(unreached("auth: our password file cannot be used"));
                }
            },
        };
        Ok(Demand { level, implicit, login })
    }

    /// A session with one server; in the clear, if it offers TLS but cannot do it and nobody asked for more.
    async fn session(&self, server: &Server, demand: &Demand) -> Result<Client, Failure> {
        let name = server.name.clone().try_into();
        let verified = || Arc::clone(&self.tls.verified);
        let security = match (demand.level, name) {
            (TlsLevel::None, _) | (TlsLevel::Opportunistic, Err(_)) => Security::Plain,
            (TlsLevel::Opportunistic, Ok(name)) => Security::Opportunistic(Arc::clone(&self.tls.opportunistic), name),
            (TlsLevel::Required, Ok(name)) if demand.implicit => {
                Security::Implicit(verified(), name, demand.login.clone())
            }
            (TlsLevel::Required, Ok(name)) => Security::Required(verified(), name, demand.login.clone()),
            (TlsLevel::Required, Err(_)) => return Err(Failure::Certificate),
        };
        let may_fall_back = matches!(security, Security::Opportunistic(..));
        match self.open(server, security).await {
            Err(failure) if may_fall_back && failure.is_tls() => self.open(server, Security::Plain).await,
            result => result,
        }
    }

    async fn open(&self, server: &Server, security: Security) -> Result<Client, Failure> {
        let times = &self.config.delivery.timeouts;
        let stream = match timeout(times.connect.0, TcpStream::connect(server.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(Failure::Network(Stage::Connect)),
            Err(_) => return Err(Failure::Timeout(Stage::Connect)),
        };
        // Small writes are whole commands: nothing is gained by holding them back.
        let _ = stream.set_nodelay(true);
        Client::open(stream, &self.config.hostname, security, times.clone()).await
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

/// The only line of a file.
async fn password(file: &std::path::Path) -> Option<String> {
    let text = tokio::fs::read(file).await.ok().filter(|text| text.len() <= PASSWORD)?;
    let text = String::from_utf8(text).ok()?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    (!line.is_empty() && !line.contains(char::is_control)).then(|| line.to_owned())
}
