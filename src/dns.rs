//! Floor 4: DNS questions and plain answers. A trait, so that tests answer from a map of zones; hickory in the program.
//!
//! Not here: what an MX leads to (`outbound::route`), or SPF, DKIM and DMARC (`authentication`).

#[cfg(test)]
mod tests;

use crate::config;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    NoName,
    /// It exists, but has no such records.
    NoRecords,
    /// No server answered, or none could: try again later.
    Temporary,
}

/// An MX record: preference, and host without its final dot; an empty host is a null MX (RFC 7505).
pub type Mx = (u16, String);
/// A boxed answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + Send + 'a>>;

/// Who answers DNS questions.
pub trait Dns: Send + Sync {
    /// MX records, in no order.
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<Mx>>;
    /// A and AAAA records. An error only if both fail.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>>;
}

/// hickory, with its cache.
pub struct Hickory(TokioResolver);

impl Hickory {
    /// Asks `settings.servers`, or the system's.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn new(settings: &config::Dns) -> Result<Self, NetError> {
        let builder = if settings.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = settings.servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.to_vec())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        Ok(Self(builder.build()?))
    }

    /// The resolver itself, for the checks of `authentication`.
    #[must_use]
    pub fn resolver(&self) -> &TokioResolver {
        &self.0
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, DnsError> {
        // Fully qualified: no search list of the system is tried.
        let mut name = Name::from_utf8(name).map_err(|_| DnsError::NoName)?;
        name.set_fqdn(true);
        match self.0.lookup(name, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_nx_domain() => Err(DnsError::NoName),
            Err(error) if error.is_no_records_found() => Err(DnsError::NoRecords),
            Err(_) => Err(DnsError::Temporary),
        }
    }
}

impl Dns for Hickory {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<Mx>> {
        Box::pin(async move {
            let records = self.records(domain, RecordType::MX).await?;
            let mx: Vec<Mx> = records
                .into_iter()
                .filter_map(|data| match data {
                    RData::MX(mx) => Some((mx.preference, host(&mx.exchange))),
                    _ => None,
                })
                .collect();
            if mx.is_empty() { Err(DnsError::NoRecords) } else { Ok(mx) }
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(async move {
            let (v4, v6) = tokio::join!(self.records(host, RecordType::A), self.records(host, RecordType::AAAA));
            let (failed4, failed6) = (v4.as_ref().err().copied(), v6.as_ref().err().copied());
            let found: Vec<IpAddr> = v4
                .unwrap_or_default()
                .into_iter()
                .chain(v6.unwrap_or_default())
                .filter_map(|data| match data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                })
                .collect();
            match (found.is_empty(), failed4, failed6) {
                (false, ..) => Ok(found),
                (true, Some(DnsError::Temporary), _) | (true, _, Some(DnsError::Temporary)) => Err(DnsError::Temporary),
                (true, Some(DnsError::NoName), _) => Err(DnsError::NoName),
                _ => Err(DnsError::NoRecords),
            }
        })
    }
}

fn host(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}

/// Zones from a map, for tests. A name that is not in it does not exist.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    /// MX records of a domain, or how asking for them fails.
    pub mx: HashMap<String, Result<Vec<Mx>, DnsError>>,
    /// Addresses of a host, or how asking for them fails.
    pub hosts: HashMap<String, Result<Vec<IpAddr>, DnsError>>,
}

impl Dns for Zones {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<Mx>> {
        let missing = if self.hosts.contains_key(domain) { DnsError::NoRecords } else { DnsError::NoName };
        let answer = self.mx.get(domain).cloned().unwrap_or(Err(missing));
        Box::pin(std::future::ready(answer))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(std::future::ready(self.hosts.get(host).cloned().unwrap_or(Err(DnsError::NoName))))
    }
}
