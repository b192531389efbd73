//! From a destination to an open session: which server, how much TLS it is owed, and the login it asks for.
//!
//! Not here: what is sent over it (`delivery`), or how long it is kept (`lane`).

#[cfg(test)]
mod tests;

use super::dane::Dane;
use super::delivery::{Outcome, failed, trouble, unreached};
use super::route::{Destination, NoServer, Server, server_key, servers};
use super::{Means, sts};
use crate::config::TlsLevel;
use crate::metrics::count;
use crate::policy::failure::FailureClass;
use crate::smtp::client::{Client, Failure, Login, Security, Stage};
use crate::store::StsPolicy;
use crate::types::SystemRandom;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Octets of a password file that are read at most.
const PASSWORD: usize = 1024;

/// What every server of a destination is owed.
struct Demand<'a> {
    level: TlsLevel,
    /// The receivers' domain, if DNS names the servers: then its own policies count, too.
    domain: Option<&'a str>,
    /// Its MTA-STS policy, if one is to be enforced.
    sts: Option<StsPolicy>,
    /// TLS from the first octet.
    implicit: bool,
    /// Only with `implicit` or [`TlsLevel::Required`]: both verify.
    login: Option<Login>,
}

impl Means {
    /// Connects to the best server that answers; two sessions are tried at most.
    pub(super) async fn connect(&self, destination: &Destination) -> Result<Client, Outcome> {
        let (found, demand) = tokio::join!(self.find(destination), self.demand(destination));
        let found = found.map_err(|none| match none {
            NoServer::Dns => unreached(none.as_str()),
            none => failed(none.as_str(), FailureClass::NoDomain),
        })?;
        let demand = demand?;
        let mut last = Failure::Network(Stage::Connect);
        let mut sessions = 0;
        for server in found {
            match self.session(&server, &demand).await {
                Ok(client) => return Ok(client),
                Err(failure) => last = failure,
            }
            let unopened = Failure::Network(Stage::Connect);
            let idle = matches!(last, Failure::Timeout(Stage::Connect) | Failure::Policy(_)) || last == unopened;
            sessions += usize::from(!idle);
            if sessions == 2 {
                break;
            }
        }
        if last.is_tls() || matches!(last, Failure::NoTls | Failure::Policy(_)) {
            count(&self.metrics.delivery_tls, "failed");
        }
        if let Destination::Host { host, port, .. } = destination
            && (demand.login.is_some() || last.is_tls() || last == Failure::NoTls)
        {
            // The operator's own server: nobody else would tell them.
            tracing::warn!(server = server_key(host, *port), why = %last, "cannot use the server of a route");
        }
        Err(unreached(last.to_string()))
    }

    async fn find(&self, destination: &Destination) -> Result<Vec<Server>, NoServer> {
        match destination {
            Destination::Host { host, port, .. } => self.fixed(host, *port).await,
            Destination::Domain(domain) => {
                let (private, port) = (self.config.delivery.allow_private, self.ports.smtp);
                servers(&*self.dns, domain, &self.config.hostname, port, private, &mut SystemRandom).await
            }
            Destination::Maildir(_) => Err(NoServer::Unreachable),
        }
    }

    /// What the settings and the receivers say of a destination.
    async fn demand<'a>(&self, destination: &'a Destination) -> Result<Demand<'a>, Outcome> {
        let settings = &self.config.delivery;
        let mut demand = Demand { level: TlsLevel::None, domain: None, sts: None, implicit: false, login: None };
        let (host, port) = match destination {
            Destination::Host { host, port, tls } => {
                demand.implicit = *tls;
                (host, *port)
            }
            Destination::Domain(domain) => {
                (demand.level, demand.domain) = (settings.tls_level(domain), Some(domain.as_str()));
                if demand.level != TlsLevel::None {
                    demand.sts = self.sts_policy(domain).await.map_err(|error| trouble(&error))?;
                }
                return Ok(demand);
            }
            Destination::Maildir(_) => return Ok(demand),
        };
        let key = server_key(host, port);
        demand.level = if demand.implicit { TlsLevel::Required } else { settings.tls_level(&key) };
        demand.login = match settings.credentials.get(&key) {
            None => None,
            // `check` refuses such settings.
            Some(_) if demand.level != TlsLevel::Required => return Err(unreached("auth: TLS is not required here")),
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
        Ok(demand)
    }

    /// A session with one server; in the clear, if it offers TLS but cannot do it and nobody asked for more.
    async fn session(&self, server: &Server, demand: &Demand<'_>) -> Result<Client, Failure> {
        let (word, security) = self.security(server, demand).await?;
        let may_fall_back = matches!(security, Security::Opportunistic(..));
        let client = match self.open(server, security).await {
            Err(failure) if may_fall_back && failure.is_tls() => self.open(server, Security::Plain).await?,
            result => result?,
        };
        let word = if client.is_encrypted() { word } else { "none" };
        count(&self.metrics.delivery_tls, word);
        tracing::debug!(tls = word, "connected");
        Ok(client)
    }

    /// How much TLS, and the word for what vouches for it. The operator's "none" comes first, then DANE, MTA-STS (RFC 8461 2), and the
    /// operator's "required".
    async fn security(&self, server: &Server, demand: &Demand<'_>) -> Result<(&'static str, Security), Failure> {
        if demand.level == TlsLevel::None {
            return Ok(("none", Security::Plain));
        }
        let dane = match demand.domain {
            Some(domain) => self.dane(server, domain).await?,
            None => Dane::Silent,
        };
        let named = demand.sts.as_ref().is_none_or(|policy| sts::names(policy, &server.name));
        if !named && !matches!(dane, Dane::Certificate(_)) {
            return Err(Failure::Policy("sts: the policy does not name the domain's server"));
        }
        let required = demand.level == TlsLevel::Required;
        let strict = required || demand.sts.is_some() || !matches!(dane, Dane::Silent);
        let Ok(name) = server.name.clone().try_into() else {
            return if strict { Err(Failure::Certificate) } else { Ok(("none", Security::Plain)) };
        };
        let (verified, any) = (Arc::clone(&self.tls.verified), Arc::clone(&self.tls.opportunistic));
        Ok(match dane {
            Dane::Certificate(config) => ("dane", Security::Required(config, name, None)),
            Dane::AnyCertificate if !required && demand.sts.is_none() => {
                ("unverified", Security::Required(any, name, None))
            }
            _ if demand.sts.is_some() => ("sts", Security::Required(verified, name, None)),
            _ if demand.implicit => ("verified", Security::Implicit(verified, name, demand.login.clone())),
            _ if required => ("verified", Security::Required(verified, name, demand.login.clone())),
            _ => ("unverified", Security::Opportunistic(any, name)),
        })
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
        let mut client = Client::open(stream, &self.config.hostname, security, times.clone()).await?;
        client.server = Some(server.address.ip());
        Ok(client)
    }

    async fn fixed(&self, host: &str, port: u16) -> Result<Vec<Server>, NoServer> {
        let server = |ip| Server { address: SocketAddr::new(ip, port), name: host.to_owned(), secure: false };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![server(ip)]);
        }
        // The operator named it: an answer of any kind may come later, and any address is meant.
        let addresses = self.dns.addresses(host).await.map_err(|_| NoServer::Dns)?;
        Ok(addresses.records.into_iter().map(server).collect())
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
