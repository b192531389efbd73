//! Zones from a map, for tests. A name that is not in it does not exist.

use super::{Answer, Dns, DnsError, Found, Mx, Tlsa};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Answers, or how asking fails.
pub type Asked<T> = HashMap<String, Result<Vec<T>, DnsError>>;

/// All that there is to know.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    /// MX records of a domain.
    pub mx: Asked<Mx>,
    /// Addresses of a host.
    pub hosts: Asked<IpAddr>,
    /// TXT records.
    pub txt: Asked<String>,
    /// TLSA records.
    pub tlsa: Asked<Tlsa>,
    /// Names whose records are signed.
    pub signed: HashSet<String>,
}

impl Zones {
    fn found<'a, T: Clone + Send + 'a>(
        &self,
        name: &str,
        records: &Asked<T>,
        missing: DnsError,
    ) -> Answer<'a, Found<Vec<T>>> {
        let answer = records.get(name).cloned().unwrap_or(Err(missing));
        let secure = self.signed.contains(name);
        Box::pin(std::future::ready(answer.map(|records| Found { records, secure })))
    }
}

impl Dns for Zones {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Found<Vec<Mx>>> {
        let missing = if self.hosts.contains_key(domain) { DnsError::NoRecords } else { DnsError::NoName };
        self.found(domain, &self.mx, missing)
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Found<Vec<IpAddr>>> {
        self.found(host, &self.hosts, DnsError::NoName)
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        let answer = self.txt.get(name).cloned().unwrap_or(Err(DnsError::NoName));
        Box::pin(std::future::ready(answer))
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Answer<'a, Found<Vec<Tlsa>>> {
        self.found(name, &self.tlsa, DnsError::NoName)
    }
}
