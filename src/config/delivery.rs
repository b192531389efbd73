//! `[delivery]`: routes, TLS and logins, and how they have to fit each other.

use super::check::{Problems, RouteCheck, RouteServer, readable};
use super::{ClientTimeouts, Config};
use crate::types::address::ascii_domain;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// `[delivery]`: routes are `mx`, `smtp://HOST:PORT`, `smtps://HOST:PORT` or `maildir:DIR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// For domains that `routes` does not name.
    pub route: String,
    /// Domain to route.
    pub routes: BTreeMap<String, String>,
    /// Whether `mx` may lead to loopback and private addresses.
    pub allow_private: bool,
    /// TLS with servers that `tls_for` does not name.
    pub tls: TlsLevel,
    /// TLS with the servers of a receivers' domain (`mx`), or with `HOST:PORT` of a route.
    pub tls_for: BTreeMap<String, TlsLevel>,
    /// `HOST:PORT` of a route to the login it asks for.
    pub credentials: BTreeMap<String, Credentials>,
    /// Timeouts of the SMTP client, RFC 5321 4.5.3.2.
    pub timeouts: ClientTimeouts,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            route: "mx".to_owned(),
            routes: BTreeMap::new(),
            allow_private: false,
            tls: TlsLevel::default(),
            tls_for: BTreeMap::new(),
            credentials: BTreeMap::new(),
            timeouts: ClientTimeouts::default(),
        }
    }
}

impl Delivery {
    /// TLS with a destination: a domain, or `HOST:PORT`.
    #[must_use]
    pub fn tls_level(&self, destination: &str) -> TlsLevel {
        self.tls_for.get(destination).copied().unwrap_or(self.tls)
    }
}

/// How much TLS a server we deliver to is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsLevel {
    /// None at all; policies that the receivers publish are not looked at.
    None,
    /// As much as the server offers and the receivers' published policies demand.
    #[default]
    Opportunistic,
    /// TLS with a verified certificate, or the mail waits.
    Required,
}

/// `[delivery.credentials."HOST:PORT"]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The name to log in with.
    pub user: String,
    /// A file with the password on its only line; read anew for each connection.
    pub password_file: PathBuf,
}

impl Config {
    pub(super) fn check_delivery(&self, problems: &mut Problems, route: RouteCheck) {
        let delivery = &self.delivery;
        let mut servers: BTreeMap<String, RouteServer> = BTreeMap::new();
        let (mut routed, mut domains) = (HashSet::new(), HashSet::new());
        let places = delivery.routes.iter().map(|(domain, text)| (Some(domain), text));
        for (domain, text) in places.chain([(None, &delivery.route)]) {
            let place = domain.map_or("delivery.route".to_owned(), |domain| format!("delivery.routes.\"{domain}\""));
            match route(text) {
                Ok(server) => {
                    if text != "mx" {
                        routed.extend(domain);
                    }
                    servers.extend(server.map(|server| (server.key.clone(), server)));
                }
                Err(error) => problems.add(&place, "is not a route", error.replacen('w', "W", 1)),
            }
            match domain.map(|domain| ascii_domain(domain)) {
                None => {}
                Some(Err(_)) => problems.add(place, "is not a domain", "Write the domain of the receivers, without @"),
                Some(Ok(ascii)) => {
                    let new = domains.insert(ascii);
                    problems.unless(new, &place, "stands twice, in another spelling", "Keep one of the two");
                }
            }
        }
        for (key, level) in &delivery.tls_for {
            let place = format!("delivery.tls_for.\"{key}\"");
            match servers.get(key) {
                Some(server) if server.implicit && *level != TlsLevel::Required => problems.add(
                    place,
                    "asks for less than smtps:// does",
                    "Take it out: smtps:// is always verified, or write smtp:// in the route",
                ),
                Some(_) => {}
                None if routed.contains(key) => problems.add(
                    place,
                    "has a route of its own",
                    "Name the HOST:PORT of that route here, as this is what is connected to",
                ),
                None => problems.unless(
                    ascii_domain(key).is_ok_and(|domain| domain == *key),
                    &place,
                    "is neither a domain nor the server of a route",
                    "Write the receivers' domain in lower case, or HOST:PORT as in a route",
                ),
            }
        }
        for (key, credentials) in &delivery.credentials {
            let place = |name: &str| format!("delivery.credentials.\"{key}\"{name}");
            readable(problems, &place(".password_file"), &credentials.password_file);
            let text = |text: &str| (1..=255).contains(&text.len()) && !text.contains(char::is_control);
            problems.unless(text(&credentials.user), &place(".user"), "is no name", "Write the name to log in with");
            match servers.get(key) {
                None => problems.add(
                    place(""),
                    "is not the server of a route",
                    "Write HOST:PORT as in the route that needs the login, its port too",
                ),
                Some(server) if server.implicit || delivery.tls_level(key) == TlsLevel::Required => {}
                Some(_) => problems.add(
                    place(""),
                    "would go over a connection without verified TLS",
                    format!("Write smtps:// in the route, or \"{key}\" = \"required\" in [delivery.tls_for]"),
                ),
            }
        }
    }
}
