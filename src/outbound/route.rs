//! Where mail for an address goes: the operator's routes, or DNS (RFC 5321 5.1). Syntax and choice; connecting is `delivery`'s.

use crate::config;
use crate::dns::{Dns, DnsError};
use crate::types::Random;
use crate::types::address::ascii_domain;
use crate::types::network::is_internal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A route as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// By DNS.
    Mx,
    /// A fixed host.
    Host {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS from the first octet, certificate verified (`smtps://`).
        tls: bool,
    },
    /// A directory with one Maildir for each address.
    Maildir(PathBuf),
}

/// Where the mail of one route and domain goes: what shares connections and limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The MXs of a domain.
    Domain(String),
    /// A fixed host.
    Host {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS from the first octet.
        tls: bool,
    },
    /// A directory.
    Maildir(PathBuf),
}

/// A text that is not a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write mx, smtp://HOST:PORT, smtps://HOST:PORT or maildir:DIRECTORY")]
pub struct RouteError;

impl std::str::FromStr for Route {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        if text == "mx" {
            return Ok(Self::Mx);
        }
        if let Some(directory) = text.strip_prefix("maildir:") {
            return if directory.is_empty() { Err(RouteError) } else { Ok(Self::Maildir(directory.into())) };
        }
        let (rest, tls, standard) = match (text.strip_prefix("smtp://"), text.strip_prefix("smtps://")) {
            (Some(rest), _) => (rest, false, 25),
            (None, Some(rest)) => (rest, true, 465),
            (None, None) => return Err(RouteError),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| RouteError)?)
            }
            _ => (rest, standard),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let named = ascii_domain(host).is_ok();
        let ok = port != 0 && (host.parse::<IpAddr>().is_ok() || named);
        if ok { Ok(Self::Host { host: host.to_ascii_lowercase(), port, tls }) } else { Err(RouteError) }
    }
}

/// The name of a route's server in the settings: `HOST:PORT`, an IPv6 address in brackets.
#[must_use]
pub fn server_key(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// All routes.
#[derive(Clone, Debug)]
pub struct Routes {
    by_domain: std::collections::HashMap<String, Route>,
    otherwise: Route,
}

impl Routes {
    /// Reads the configuration, which `check` has found good.
    ///
    /// # Errors
    /// [`RouteError`] if it is not.
    pub fn new(settings: &config::Delivery) -> Result<Self, RouteError> {
        let ascii = |domain: &str| ascii_domain(domain).unwrap_or_else(|_| domain.to_ascii_lowercase());
        let by_domain = settings.routes.iter().map(|(domain, route)| Ok((ascii(domain), route.parse()?)));
        Ok(Self { by_domain: by_domain.collect::<Result<_, _>>()?, otherwise: settings.route.parse()? })
    }

    /// Where mail for a domain goes.
    #[must_use]
    pub fn destination(&self, domain: &str) -> Destination {
        match self.by_domain.get(domain).unwrap_or(&self.otherwise) {
            Route::Mx => Destination::Domain(domain.to_owned()),
            Route::Host { host, port, tls } => Destination::Host { host: host.clone(), port: *port, tls: *tls },
            Route::Maildir(directory) => Destination::Maildir(directory.clone()),
        }
    }
}

/// A server to connect to, and the name its certificate should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    /// Its name.
    pub name: String,
    /// Whether DNSSEC vouches for the way here: the MX records and the address. DANE builds on nothing less (RFC 7672 2.2).
    pub secure: bool,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoServer {
    /// The domain does not exist: permanent.
    NoDomain,
    /// It takes no mail (RFC 7505): permanent.
    NullMx,
    /// Its servers are all loopback, private, or ourselves: permanent.
    Unreachable,
    /// DNS does not answer now.
    Dns,
}

impl NoServer {
    /// The word for the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoDomain => "no such domain",
            Self::NullMx => "the domain takes no mail",
            Self::Unreachable => "the domain's servers have no public address",
            Self::Dns => "DNS does not answer",
        }
    }
}

/// MX hosts that are resolved at most, and addresses that are tried.
const HOSTS: usize = 10;
const ADDRESSES: usize = 5;

/// The servers of a domain, the best first: by preference, equals in random order (RFC 5321 5.1).
///
/// # Errors
/// [`NoServer`].
pub async fn servers(
    dns: &dyn Dns,
    domain: &str,
    hostname: &str,
    port: u16,
    allow_private: bool,
    random: &mut (dyn Random + Send),
) -> Result<Vec<Server>, NoServer> {
    let (mut mx, secure) = match dns.mx(domain).await {
        Ok(mx) => (mx.records, mx.secure),
        // Whether that is so, the domain's own address records will say.
        Err(DnsError::NoRecords) => (vec![(0, domain.to_owned())], true),
        Err(DnsError::NoName) => return Err(NoServer::NoDomain),
        Err(DnsError::Temporary) => return Err(NoServer::Dns),
    };
    if mx.iter().all(|(_, host)| host.is_empty()) {
        return Err(NoServer::NullMx);
    }
    let mut ordered: Vec<(u16, u64, String)> = mx.drain(..).map(|(p, host)| (p, random.number(), host)).collect();
    ordered.sort();
    // We are one of them: only better ones may have it, else it would go round in circles.
    if let Some(own) = ordered.iter().find(|(_, _, host)| host.eq_ignore_ascii_case(hostname)).map(|(p, ..)| *p) {
        ordered.retain(|(preference, ..)| *preference < own);
    }
    let mut found: Vec<Server> = Vec::new();
    let mut trouble = false;
    let mut hosts = ordered.into_iter().filter(|(_, _, host)| !host.is_empty());
    for (_, _, host) in hosts.by_ref().take(HOSTS) {
        match dns.addresses(&host).await {
            Ok(addresses) => {
                let secure = secure && addresses.secure;
                let allowed = addresses.records.into_iter().filter(|ip| allow_private || !is_internal(*ip));
                let server = |ip| Server { address: SocketAddr::new(ip, port), name: host.clone(), secure };
                found.extend(allowed.map(server));
            }
            Err(DnsError::Temporary) => trouble = true,
            Err(DnsError::NoName | DnsError::NoRecords) => {}
        }
        if found.len() >= ADDRESSES {
            break;
        }
    }
    found.truncate(ADDRESSES);
    // Those that were not asked may be good.
    trouble |= hosts.next().is_some();
    match (found.is_empty(), trouble) {
        (false, _) => Ok(found),
        (true, true) => Err(NoServer::Dns),
        (true, false) => Err(NoServer::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Answer, Found, Mx, Tlsa, Zones};
    use crate::types::random::Seeded;

    #[test]
    fn routes() {
        let host = |host: &str, port, tls| Ok(Route::Host { host: host.into(), port, tls });
        let cases = [
            ("mx", Ok(Route::Mx)),
            ("smtp://127.0.0.1:2526", host("127.0.0.1", 2526, false)),
            ("smtp://[::1]:2526", host("::1", 2526, false)),
            ("smtp://[::1]", host("::1", 25, false)),
            ("smtps://Mail.Test", host("mail.test", 465, true)),
            ("maildir:/tmp/x", Ok(Route::Maildir("/tmp/x".into()))),
            ("maildir:", Err(RouteError)),
            ("smtp://", Err(RouteError)),
            ("smtp://a b:25", Err(RouteError)),
            ("smtp://host:0", Err(RouteError)),
            ("smtp://host:99999", Err(RouteError)),
            ("http://host", Err(RouteError)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Route>(), want, "{text}");
        }
    }

    #[tokio::test]
    async fn mail_exchangers() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut zones = Zones::default();
        let mut zone = |domain: &str, mx: &[(u16, &str)]| {
            let records = mx.iter().map(|(p, h)| (*p, (*h).to_owned())).collect();
            zones.mx.insert(domain.into(), Ok(records));
        };
        zone("two.test", &[(20, "b.test"), (10, "a.test")]);
        zone("null.test", &[(0, "")]);
        zone("private.test", &[(10, "inside.test"), (20, "loop.test")]);
        zone("mixed.test", &[(10, "inside.test"), (20, "a.test")]);
        zone("ours.test", &[(10, "a.test"), (20, "MX.test"), (30, "b.test")]);
        zone("only-ours.test", &[(10, "mx.test")]);
        zone("broken.test", &[(10, "nowhere.test"), (20, "slow.test")]);
        zone("dangling.test", &[(10, "nowhere.test")]);
        let many: Vec<(u16, String)> = (0..1000).map(|n| (n, format!("m{n}.test"))).collect();
        zones.mx.insert("many.test".into(), Ok(many));
        zones.mx.insert("servfail.test".into(), Err(DnsError::Temporary));
        let lame: Vec<(u16, String)> = (0..1000).map(|n| (n, format!("lame{n}.test"))).collect();
        zones.mx.insert("lame.test".into(), Ok(lame));
        for (host, addresses) in [
            ("a.test", vec!["8.8.8.1"]),
            ("b.test", vec!["8.8.8.2", "2606:4700::2"]),
            ("inside.test", vec!["10.0.0.1", "::ffff:192.168.1.1"]),
            ("loop.test", vec!["127.0.0.1", "::1"]),
            ("plain.test", vec!["8.8.8.9"]),
        ] {
            zones.hosts.insert(host.into(), Ok(addresses.into_iter().map(ip).collect()));
        }
        zones.hosts.insert("slow.test".into(), Err(DnsError::Temporary));
        for n in 0..1000 {
            zones.hosts.insert(format!("m{n}.test"), Ok(vec![ip(&format!("8.8.{}.{}", n / 250, n % 250 + 1))]));
        }
        // domain, private allowed, addresses or why not
        type Want = Result<&'static [&'static str], NoServer>;
        let cases: &[(&str, bool, Want)] = &[
            ("two.test", false, Ok(&["8.8.8.1", "8.8.8.2", "2606:4700::2"])),
            ("plain.test", false, Ok(&["8.8.8.9"])),
            ("null.test", false, Err(NoServer::NullMx)),
            ("missing.test", false, Err(NoServer::NoDomain)),
            ("servfail.test", false, Err(NoServer::Dns)),
            ("private.test", false, Err(NoServer::Unreachable)),
            ("private.test", true, Ok(&["10.0.0.1", "::ffff:192.168.1.1", "127.0.0.1", "::1"])),
            ("mixed.test", false, Ok(&["8.8.8.1"])),
            ("ours.test", false, Ok(&["8.8.8.1"])),
            ("only-ours.test", false, Err(NoServer::Unreachable)),
            ("broken.test", false, Err(NoServer::Dns)),
            ("dangling.test", false, Err(NoServer::Unreachable)),
            ("lame.test", false, Err(NoServer::Dns)),
            ("many.test", false, Ok(&["8.8.0.1", "8.8.0.2", "8.8.0.3", "8.8.0.4", "8.8.0.5"])),
        ];
        for (domain, private, want) in cases {
            let got = servers(&zones, domain, "mx.test", 25, *private, &mut Seeded::new(1)).await;
            let got = got.map(|s| s.into_iter().map(|s| s.address.ip()).collect::<Vec<_>>());
            assert_eq!(got, want.map(|w| w.iter().map(|t| ip(t)).collect()), "{domain}");
        }
    }

    /// Counts what is asked.
    struct Counting(Zones, std::sync::atomic::AtomicUsize);

    impl Dns for Counting {
        fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Found<Vec<Mx>>> {
            self.0.mx(domain)
        }
        fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Found<Vec<IpAddr>>> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            self.0.addresses(host)
        }
        fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
            self.0.txt(name)
        }
        fn tlsa<'a>(&'a self, name: &'a str) -> Answer<'a, Found<Vec<Tlsa>>> {
            self.0.tlsa(name)
        }
    }

    /// A domain with a thousand MX does not make us ask a thousand questions.
    #[tokio::test]
    async fn lookups_are_bounded() {
        for (address, most) in [(Some("8.8.8.8"), ADDRESSES), (Some("10.0.0.1"), HOSTS), (None, HOSTS)] {
            let mut zones = Zones::default();
            zones.mx.insert("many.test".into(), Ok((0..1000).map(|n| (n, format!("m{n}.test"))).collect()));
            for n in 0..1000 {
                let addresses = address.map(|ip| vec![ip.parse().unwrap()]).ok_or(DnsError::Temporary);
                zones.hosts.insert(format!("m{n}.test"), addresses);
            }
            let dns = Counting(zones, Default::default());
            let found = servers(&dns, "many.test", "mx.test", 25, false, &mut Seeded::new(1)).await;
            assert_eq!(found.map_or(0, |found| found.len()), if most == ADDRESSES { ADDRESSES } else { 0 });
            assert_eq!(dns.1.into_inner(), most, "{address:?}");
        }
    }

    #[tokio::test]
    async fn equals_share_the_load() {
        let mut zones = Zones::default();
        zones.mx.insert("d.test".into(), Ok(vec![(10, "a.test".into()), (10, "b.test".into()), (20, "c.test".into())]));
        for (host, ip) in [("a.test", "8.8.8.1"), ("b.test", "8.8.8.2"), ("c.test", "8.8.8.3")] {
            zones.hosts.insert(host.into(), Ok(vec![ip.parse().unwrap()]));
        }
        let mut first = std::collections::HashMap::new();
        for seed in 0..200 {
            let found = servers(&zones, "d.test", "mx.test", 25, false, &mut Seeded::new(seed)).await.unwrap();
            assert_eq!(found[2].name, "c.test");
            *first.entry(found[0].name.clone()).or_insert(0) += 1;
        }
        assert!(first.len() == 2 && first.values().all(|n| *n > 60), "{first:?}");
    }
}
