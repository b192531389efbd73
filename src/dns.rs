//! Floor 4: DNS questions and plain answers. A trait, so that tests answer from a map of zones; hickory in the program.
//!
//! Not here: what an MX leads to (`outbound::route`), or SPF, DKIM and DMARC (`authentication`).

#[cfg(test)]
mod signed;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod zones;

#[cfg(test)]
pub use zones::Zones;

use crate::config;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

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

/// Records, and whether DNSSEC vouches for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The records.
    pub records: T,
    /// Validated from the root down (RFC 4035 4.3), by the relay itself: what a name server says of it (the AD bit) is not looked at.
    pub secure: bool,
}

/// A TLSA record (RFC 6698 2.1), as it came: whether it can be used is for `outbound` to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

/// Who answers DNS questions. Answers that should be signed and are not, or not well, are [`DnsError::Temporary`].
pub trait Dns: Send + Sync {
    /// MX records, in no order.
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Found<Vec<Mx>>>;
    /// A and AAAA records. An error only if both fail.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Found<Vec<IpAddr>>>;
    /// TXT records, the strings of each joined; what is not UTF-8 is left out.
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>>;
    /// TLSA records of `_25._tcp.HOST`.
    fn tlsa<'a>(&'a self, name: &'a str) -> Answer<'a, Found<Vec<Tlsa>>>;
}

/// hickory, with its cache.
pub struct Hickory {
    plain: TokioResolver,
    /// Validates signatures.
    validating: Option<Validating>,
}

/// A resolver that validates, and whether the name servers let it: some leave the signatures out.
struct Validating {
    resolver: TokioResolver,
    /// What the root said, and when.
    works: Mutex<Option<(bool, Instant)>>,
}

/// Name servers that leave signatures out are asked again after this.
const AGAIN: Duration = Duration::from_secs(3600);

impl Hickory {
    /// Asks `settings.servers`, or the system's.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn new(settings: &config::Dns) -> Result<Self, NetError> {
        Self::trusting(settings, Arc::new(TrustAnchors::default()))
    }

    /// With other keys for the root, in tests.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    fn trusting(settings: &config::Dns, root: Arc<TrustAnchors>) -> Result<Self, NetError> {
        let builder = || {
            if settings.servers.is_empty() {
                return TokioResolver::builder_tokio();
            }
            let servers = settings.servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.to_vec())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let validating = match settings.dnssec {
            false => None,
            true => {
                let resolver = builder()?.with_trust_anchor(root).build()?;
                Some(Validating { resolver, works: Mutex::new(None) })
            }
        };
        Ok(Self { plain: builder()?.build()?, validating })
    }

    /// The resolver itself, for the checks of `authentication`.
    #[must_use]
    pub fn resolver(&self) -> &TokioResolver {
        &self.plain
    }

    /// The resolver to ask, and whether it validates.
    async fn best(&self) -> (&TokioResolver, bool) {
        match &self.validating {
            Some(validating) if validating.works().await => (&validating.resolver, true),
            _ => (&self.plain, false),
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Found<Vec<RData>>, DnsError> {
        let (resolver, validates) = self.best().await;
        let found = lookup(resolver, name, kind).await?;
        // A signature is not what was asked for.
        let records = || found.iter().filter(|(data, _)| !matches!(data, RData::DNSSEC(_)));
        if validates && records().any(|(_, proof)| matches!(proof, Proof::Bogus | Proof::Indeterminate)) {
            return Err(DnsError::Temporary);
        }
        let secure = validates && records().all(|(_, proof)| proof.is_secure());
        Ok(Found { records: records().map(|(data, _)| data.clone()).collect(), secure })
    }
}

async fn lookup(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Vec<(RData, Proof)>, DnsError> {
    // Fully qualified: no search list of the system is tried.
    let mut name = Name::from_utf8(name).map_err(|_| DnsError::NoName)?;
    name.set_fqdn(true);
    match resolver.lookup(name, kind).await {
        Ok(lookup) => Ok(lookup.answers().iter().map(|record| (record.data.clone(), record.proof)).collect()),
        Err(error) if error.is_nx_domain() => Err(DnsError::NoName),
        Err(error) if error.is_no_records_found() => Err(DnsError::NoRecords),
        Err(_) => Err(DnsError::Temporary),
    }
}

impl Validating {
    /// Whether the name servers pass on what the root signs. Without that everything would look forged, and no mail would go out.
    async fn works(&self) -> bool {
        let mut works = self.works.lock().await;
        match *works {
            Some((true, _)) => return true,
            Some((false, at)) if at.elapsed() < AGAIN => return false,
            _ => {}
        }
        let root = lookup(&self.resolver, ".", RecordType::SOA).await;
        let signed = root.is_ok_and(|found| {
            let soa = |(data, proof): &(RData, Proof)| matches!(data, RData::SOA(_)) && proof.is_secure();
            found.iter().any(soa)
        });
        if !signed && works.is_none() {
            tracing::warn!("the name servers do not pass on DNSSEC signatures: DANE is not used");
        }
        *works = Some((signed, Instant::now()));
        signed
    }
}

impl Dns for Hickory {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Found<Vec<Mx>>> {
        Box::pin(async move {
            let found = self.records(domain, RecordType::MX).await?;
            let secure = found.secure;
            let mx: Vec<Mx> = found
                .records
                .into_iter()
                .filter_map(|data| match data {
                    RData::MX(mx) => Some((mx.preference, host(&mx.exchange))),
                    _ => None,
                })
                .collect();
            if mx.is_empty() { Err(DnsError::NoRecords) } else { Ok(Found { records: mx, secure }) }
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Found<Vec<IpAddr>>> {
        Box::pin(async move {
            let (v4, v6) = tokio::join!(self.records(host, RecordType::A), self.records(host, RecordType::AAAA));
            let (failed4, failed6) = (v4.as_ref().err().copied(), v6.as_ref().err().copied());
            let secure = [&v4, &v6].into_iter().flatten().all(|found| found.secure);
            let found: Vec<IpAddr> = [v4, v6]
                .into_iter()
                .flatten()
                .flat_map(|found| found.records)
                .filter_map(|data| match data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                })
                .collect();
            match (found.is_empty(), failed4, failed6) {
                (false, ..) => Ok(Found { records: found, secure }),
                (true, Some(DnsError::Temporary), _) | (true, _, Some(DnsError::Temporary)) => Err(DnsError::Temporary),
                (true, Some(DnsError::NoName), _) => Err(DnsError::NoName),
                _ => Err(DnsError::NoRecords),
            }
        })
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let found = self.records(name, RecordType::TXT).await?;
            let text = |data| match data {
                RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).ok(),
                _ => None,
            };
            Ok(found.records.into_iter().filter_map(text).collect())
        })
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Answer<'a, Found<Vec<Tlsa>>> {
        Box::pin(async move {
            let found = self.records(name, RecordType::TLSA).await?;
            let tlsa = |data| match data {
                RData::TLSA(tlsa) => Some(Tlsa {
                    usage: tlsa.cert_usage.into(),
                    selector: tlsa.selector.into(),
                    matching: tlsa.matching.into(),
                    data: tlsa.cert_data,
                }),
                _ => None,
            };
            Ok(Found { records: found.records.into_iter().filter_map(tlsa).collect(), secure: found.secure })
        })
    }
}

fn host(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}
