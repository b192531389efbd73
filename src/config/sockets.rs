//! Where the daemon listens: what a listener needs, two that want the same port, and a route that
//! leads back to one of them.

use super::check::{Problems, RouteCheck};
use super::{AuthenticationMode, Config, ListenerKind, ListenerTls};
use crate::types::network::Network;
use std::net::{IpAddr, SocketAddr};

impl Config {
    pub(super) fn check_listeners(&self, problems: &mut Problems) {
        problems.unless(!self.listener.is_empty(), "listener", "there is none", "Add a [[listener]] with an address");
        let mut trusts = false;
        for (n, listener) in self.listener.iter().enumerate() {
            let place = |key: &str| format!("listener[{n}].{key}");
            let before = self.listener.iter().take(n).position(|other| collide(other.address, listener.address));
            if let Some(before) = before {
                let what = format!("is the address of listener[{before}], too");
                problems.add(place("address"), what, "Give each listener an address or port of its own");
            }
            let submission = listener.kind == ListenerKind::Submission;
            if submission && listener.tls == ListenerTls::None {
                let remedy = "Set tls = \"starttls\" or \"implicit\" here: passwords are taken under TLS only";
                problems.add(place("tls"), "is \"none\", so that nobody could log in", remedy);
            }
            if listener.tls != ListenerTls::None && (self.tls.certificate.is_none() || self.tls.key.is_none()) {
                let remedy = "Set certificate and key in [tls], or tls = \"none\" here";
                problems.add(place("tls"), "needs a certificate, and there is none", remedy);
            }
            for (at, network) in listener.trusted_networks.iter().enumerate() {
                trusts = true;
                if let Err(error) = network.parse::<Network>() {
                    let remedy = format!("{}", error).replacen('w', "W", 1);
                    problems.add(place(&format!("trusted_networks[{at}]")), "is not a network", remedy);
                }
            }
            // Refused even where the address is loopback and nobody else comes: it is then that
            // 127.0.0.0/8 says the same. Half the world is as much a mistake as all of it.
            let networks: Vec<Network> =
                listener.trusted_networks.iter().filter_map(|text| text.parse().ok()).collect();
            if Network::are_the_internet(&networks) {
                problems.add(
                    place("trusted_networks"),
                    "is the whole internet: anybody could say who he is (XFORWARD, XCLIENT, PROXY, Authentication-Results)",
                    "Name the addresses of the front MTAs alone, for example [\"127.0.0.0/8\", \"192.0.2.25\"]",
                );
            }
            if listener.proxy_protocol && listener.trusted_networks.is_empty() {
                let remedy = "Name the balancer's network in trusted_networks, or turn proxy_protocol off";
                problems.add(place("proxy_protocol"), "is believed from nobody", remedy);
            }
            if self.authentication.mode == AuthenticationMode::None
                && !submission
                && !listener.address.ip().is_loopback()
            {
                let remedy = "Listen on 127.0.0.1 or ::1, or set mode = \"verify\" or \"front\"";
                problems.add(place("address"), "is open to others while authentication.mode is \"none\"", remedy);
            }
        }
        if self.authentication.mode == AuthenticationMode::Front {
            problems.unless(
                self.authentication.authserv_id.as_deref().is_some_and(|id| !id.trim().is_empty()),
                "authentication.authserv_id",
                "is missing, but mode = \"front\" needs it",
                "Write the authserv-id that your front MTA puts into Authentication-Results",
            );
            problems.unless(
                trusts,
                "listener.trusted_networks",
                "is empty, but mode = \"front\" needs it",
                "Name the front MTA's network on its listener",
            );
        }
    }

    /// Ports that two want, and routes to a port of our own: mail would come in again, and be
    /// refused, as no real address is an alias. Honest people have a server in front on the same
    /// machine: its port is another.
    pub(super) fn check_sockets(&self, problems: &mut Problems, route: RouteCheck) {
        if let Some(metrics) = self.metrics.address
            && let Some(n) = self.listener.iter().position(|listener| collide(listener.address, metrics))
        {
            let what = format!("is the address of listener[{n}], too");
            problems.add("metrics.address", what, "Give it a port of its own, for example 127.0.0.1:9125");
        }
        let delivery = &self.delivery;
        let routes = delivery.routes.iter().map(|(domain, text)| (format!("delivery.routes.\"{domain}\""), text));
        for (place, text) in routes.chain([("delivery.route".to_owned(), &delivery.route)]) {
            let Ok(Some(server)) = route(text) else { continue };
            if let Some(n) = self.listener.iter().position(|listener| self.leads_to(&server.key, listener.address)) {
                let what = format!("leads to listener[{n}]: what goes out would come in again");
                problems.add(place, what, "Name the server that delivers mail, or \"mx\"");
            }
        }
    }

    /// Whether `HOST:PORT` is an address that is listened on.
    fn leads_to(&self, server: &str, listener: SocketAddr) -> bool {
        let Some((host, port)) = server.rsplit_once(':') else { return false };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let here = match host.parse::<IpAddr>() {
            Ok(ip) => ip == listener.ip() || ip.is_unspecified() || ip.is_loopback() && listener.ip().is_unspecified(),
            Err(_) if host == "localhost" => listener.ip().is_loopback() || listener.ip().is_unspecified(),
            Err(_) => host.eq_ignore_ascii_case(&self.hostname),
        };
        here && port.parse() == Ok(listener.port())
    }
}

/// Whether the system would refuse the second of two: `0.0.0.0` is each address of IPv4, `::` of
/// IPv6 alone. Port 0 is a port of its own each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && one.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a == b || a.is_unspecified() || b.is_unspecified())
}
