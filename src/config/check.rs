//! What is wrong with a configuration: every problem at once, each with its remedy. The limits of sense, and how settings fit each other.
//!
//! Not here: whether a port is free or DNS answers: that shows when the daemon starts.

use super::{AuthenticationMode, Config, Listener, ListenerKind, ListenerTls};
use crate::types::address::ascii_domain;
use crate::types::network::Network;
use crate::types::{Address, ExternalId, alias, is_language_tag, is_steering};
use serde::Serialize;
use std::collections::HashSet;
use std::path::Path;

/// Something to mend; or, as a warning, to think about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key, `listener[0].tls`.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}. {}", self.place, self.what, self.remedy)
    }
}

/// What is said of a listener whose clients may be hidden: see [`Config::may_hide_clients`].
pub const HIDDEN_CLIENTS: &str = "unless its front sends XFORWARD or XCLIENT (or the PROXY protocol, with proxy_protocol = true), SPF is asked about the front itself, and \
     authors are locked out whose DKIM signatures do not cover To: Microsoft 365, outlook.com, 163.com, and mail by Bcc";

#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn take(self) -> Vec<Problem> {
        self.0
    }

    pub(super) fn add(&mut self, place: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem { place: place.into(), what: what.into(), remedy: remedy.into() });
    }

    pub(super) fn unless(&mut self, ok: bool, place: &str, what: &str, remedy: &str) {
        if !ok {
            self.add(place, what, remedy);
        }
    }
}

/// The server of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteServer {
    /// `HOST:PORT`.
    pub key: String,
    /// Whether it speaks TLS from the first octet.
    pub implicit: bool,
}

/// Whether a route reads, and to which server it leads if it names one; the parser lives higher up.
pub type RouteCheck = fn(&str) -> Result<Option<RouteServer>, String>;

impl Config {
    /// The relay listeners of `mode = "verify"` behind a front that has no way but XCLIENT to say
    /// who the client is: it cannot be known at the start whether it does. Where it does not, SPF
    /// is asked about the front itself, and proves nobody.
    pub fn may_hide_clients(&self) -> impl Iterator<Item = &Listener> {
        let verifies = self.authentication.mode == AuthenticationMode::Verify;
        let hides = |listener: &&Listener| {
            listener.kind == ListenerKind::Relay && !listener.trusted_networks.is_empty() && !listener.proxy_protocol
        };
        self.listener.iter().filter(move |_| verifies).filter(hides)
    }

    /// Every problem; none means that `serve` can try. `route` checks the syntax of a route.
    #[must_use]
    pub fn check(&self, route: RouteCheck) -> Vec<Problem> {
        let mut problems = Problems::default();
        self.check_names(&mut problems);
        self.check_listeners(&mut problems);
        self.check_authors(&mut problems);
        self.check_files(&mut problems);
        self.check_delivery(&mut problems, route);
        self.check_policy(&mut problems);
        self.check_limits(&mut problems);
        problems.take()
    }

    fn check_names(&self, problems: &mut Problems) {
        problems.unless(
            ascii_domain(&self.hostname).is_ok_and(|name| name.contains('.')),
            "hostname",
            "is not a full host name",
            "Set the name that other servers know this one by, for example hostname = \"mx.market.example\"",
        );
        problems.unless(
            self.data_dir.is_absolute(),
            "data_dir",
            "is not an absolute path",
            "Write it from the root, for example /var/lib/marketrelay",
        );
        problems.unless(
            !self.marketplace.is_empty(),
            "marketplace",
            "there is none",
            "Add a [[marketplace]] with id, domain and name",
        );
        let (mut ids, mut domains) = (HashSet::new(), HashSet::new());
        for (n, shop) in self.marketplace.iter().enumerate() {
            let place = |key: &str| format!("marketplace[{n}].{key}");
            if shop.id.parse::<ExternalId>().is_err() {
                problems.add(place("id"), "is not an id", "Use 1 to 128 visible ASCII characters");
            }
            if !ids.insert(&shop.id) {
                problems.add(place("id"), "stands twice", "Give each marketplace an id of its own");
            }
            match ascii_domain(&shop.domain) {
                Err(_) => {
                    problems.add(place("domain"), "is not a domain", "Write a domain that is routed to this relay")
                }
                Ok(domain) => {
                    if alias::local_length(&domain, self.alias_length).is_none() {
                        let what =
                            format!("leaves fewer than {} characters of the {}", alias::MIN_LOCAL, self.alias_length);
                        problems.add(
                            place("domain"),
                            what,
                            "Use a shorter domain, or raise alias_length (at most 64 before the @)",
                        );
                    }
                    if !domains.insert(domain) {
                        problems.add(place("domain"), "stands twice", "Give each marketplace a domain of its own");
                    }
                }
            }
            problems.unless(
                !shop.name.trim().is_empty(),
                &place("name"),
                "is empty",
                "Write the name that people know",
            );
            problems.unless(
                !shop.name.contains(is_steering),
                &place("name"),
                "holds a line break or another control character",
                "Write the name that people know, on one line",
            );
            problems.unless(
                is_language_tag(&shop.language),
                &place("language"),
                "is not a language tag",
                "Write one of BCP 47, for example ja or zh-Hans",
            );
            let contact = shop.contact.as_deref();
            problems.unless(
                contact.is_none_or(|text| is_contact(text, self)),
                &place("contact"),
                "is no address at which people reach the marketplace",
                "Write a mail address outside the alias domains, or a web address that begins with https://",
            );
            problems.unless(
                jiff::tz::TimeZone::get(&shop.time_zone).is_ok(),
                &place("time_zone"),
                "is not a time zone",
                "Write its IANA name, for example Asia/Tokyo",
            );
        }
        match self.operator.as_deref().map(Address::parse) {
            Some(Err(_)) => {
                problems.add("operator", "is not a mail address", "Write the address of the people who run this")
            }
            Some(Ok(address)) if domains.contains(address.domain()) => {
                problems.add(
                    "operator",
                    "lies in an alias domain",
                    "Give an address outside, or its mail goes in circles",
                );
            }
            _ => {}
        }
    }

    fn check_listeners(&self, problems: &mut Problems) {
        problems.unless(!self.listener.is_empty(), "listener", "there is none", "Add a [[listener]] with an address");
        let mut addresses = HashSet::new();
        let mut trusts = false;
        for (n, listener) in self.listener.iter().enumerate() {
            let place = |key: &str| format!("listener[{n}].{key}");
            if listener.address.port() != 0 && !addresses.insert(listener.address) {
                problems.add(place("address"), "stands twice", "Give each listener an address or port of its own");
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

    fn check_authors(&self, problems: &mut Problems) {
        let lists = [("providers", &self.authentication.providers), ("tags", &self.authentication.tags)];
        for (key, domains) in lists {
            for (n, domain) in domains.iter().enumerate() {
                let ok = ascii_domain(domain).is_ok_and(|name| name.contains('.'));
                let place = format!("authentication.{key}[{n}]");
                problems.unless(
                    ok,
                    &place,
                    "is not a domain",
                    "Write what stands behind the @, for example mail.example",
                );
            }
        }
    }

    fn check_files(&self, problems: &mut Problems) {
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            problems.add("tls", "has only one of certificate and key", "Set both, or none");
        }
        let files = [
            ("tls.certificate", &self.tls.certificate),
            ("tls.key", &self.tls.key),
            ("tls.extra_roots", &self.tls.extra_roots),
        ];
        for (place, file) in files.into_iter().filter_map(|(place, file)| file.as_ref().map(|file| (place, file))) {
            readable(problems, place, file);
        }
        let mut selectors = HashSet::new();
        for (n, dkim) in self.dkim.iter().enumerate() {
            let place = |key: &str| format!("dkim[{n}].{key}");
            readable(problems, &place("key"), &dkim.key);
            if !self.marketplace.iter().any(|shop| shop.id == dkim.marketplace) {
                problems.add(place("marketplace"), "is not one of this file", "Write the id of a [[marketplace]]");
            }
            if ascii_domain(&dkim.selector).is_err() {
                problems.add(place("selector"), "is not a DNS label", "Use letters, digits and hyphens");
            }
            if !selectors.insert((&dkim.marketplace, &dkim.selector)) {
                problems.add(place("selector"), "stands twice", "Give each key of a marketplace a selector of its own");
            }
        }
        if let Some(directory) = &self.notices.directory
            && !directory.is_dir()
        {
            problems.add("notices.directory", "is not a directory", "Make it, or leave it out for the built-in texts");
        }
    }

    fn check_policy(&self, problems: &mut Problems) {
        let (quota, attachments) = (&self.policy.quota, &self.policy.attachments);
        problems.unless(
            self.policy.opt_out.critical_share <= 100,
            "policy.opt_out.critical_share",
            "is over 100",
            "Write a percentage, or 0 for no warning",
        );
        problems.unless(
            (1..=366).contains(&quota.window_days),
            "policy.quota.window_days",
            "is not between 1 and 366",
            "30 is usual",
        );
        problems.unless(
            (1..=8784).contains(&self.policy.response.deadline_hours),
            "policy.response.deadline_hours",
            "is not between 1 and 8784",
            "24 is usual",
        );
        for (n, tag) in self.policy.opt_out.critical_tags.iter().enumerate() {
            let place = format!("policy.opt_out.critical_tags[{n}]");
            problems.unless(!tag.trim().is_empty(), &place, "is empty: every subject would hold it", "Take it out");
        }
        problems.unless(
            attachments.max_total <= attachments.max_message_size,
            "policy.attachments.max_total",
            "is more than max_message_size",
            "Lower it, or raise max_message_size",
        );
        problems.unless(
            attachments.max_message_size.0 >= 64 * 1024,
            "policy.attachments.max_message_size",
            "is below 64 KiB",
            "RFC 5321 asks for that much at least; 25 MiB is usual",
        );
        problems.unless(
            self.history.keep_days >= 1,
            "history.keep_days",
            "is zero",
            "Keep messages for a day at least",
        );
    }

    fn check_limits(&self, problems: &mut Problems) {
        let (limits, queue) = (&self.limits, &self.queue);
        let largest = self.policy.attachments.max_message_size;
        let counts = [
            ("limits.connections", limits.connections),
            ("limits.connections_per_client", limits.connections_per_client),
            ("limits.recipients", limits.recipients),
            ("limits.messages_per_connection", limits.messages_per_connection),
            ("limits.junk_commands", limits.junk_commands),
            ("limits.errors_hard", limits.errors_hard),
            ("limits.operator_messages", limits.operator_messages),
            ("limits.mime_parts", limits.mime_parts),
            ("limits.hops", limits.hops),
            ("queue.concurrency", queue.concurrency),
            ("queue.concurrency_per_destination", queue.concurrency_per_destination),
        ];
        for (place, value) in counts {
            problems.unless(value >= 1, place, "is zero", "Set 1 at least, or leave it out");
        }
        let times = [
            ("limits.idle", limits.idle),
            ("limits.session", limits.session),
            ("queue.retry_first", queue.retry_first),
            ("queue.retry_longest", queue.retry_longest),
            ("queue.expire", queue.expire),
            ("delivery.timeouts.connect", self.delivery.timeouts.connect),
            ("delivery.timeouts.command", self.delivery.timeouts.command),
            ("delivery.timeouts.data", self.delivery.timeouts.data),
            ("delivery.timeouts.block", self.delivery.timeouts.block),
            ("delivery.timeouts.final_dot", self.delivery.timeouts.final_dot),
        ];
        for (place, value) in times {
            problems.unless(!value.0.is_zero(), place, "is zero", "Set a time, for example \"5 min\"");
        }
        problems.unless(
            (512..=65_536).contains(&limits.command_line),
            "limits.command_line",
            "is not between 512 and 65536",
            "RFC 5321 asks for 512 at least",
        );
        problems.unless(
            (100..=1_000_000).contains(&limits.message_work),
            "limits.message_work",
            "is not between 100 and 1000000",
            "1000 is one to two seconds of a core, and ten times what the largest message with pictures takes",
        );
        problems.unless(
            (2..=100).contains(&limits.mime_depth),
            "limits.mime_depth",
            "is not between 2 and 100",
            "50 is far more than real mail has",
        );
        problems.unless(
            limits.memory.0 >= largest.0.saturating_mul(2),
            "limits.memory",
            "has no room for one message of the largest size and what goes out for it",
            "Set twice policy.attachments.max_message_size at least",
        );
        problems.unless(
            limits.operator_message_size.0 >= 64 * 1024,
            "limits.operator_message_size",
            "is below 64 KiB",
            "RFC 5321 asks for that much at least; 4 MiB is usual",
        );
        // With less, one client network has no eighth of it that is of any use.
        problems.unless(
            limits.operator_octets.0 / 8 >= limits.operator_message_size.0,
            "limits.operator_octets",
            "is less than eight messages of limits.operator_message_size",
            "Set eight times that size at least",
        );
        problems.unless(
            limits.operator_messages_in_all / 8 >= limits.operator_messages,
            "limits.operator_messages_in_all",
            "is less than eight times limits.operator_messages",
            "Set eight times that number at least",
        );
        problems.unless(
            limits.spool_above <= limits.memory,
            "limits.spool_above",
            "is more than limits.memory",
            "Lower it; 1 MiB is usual",
        );
        problems.unless(
            queue.retry_first <= queue.retry_longest && queue.retry_longest <= queue.expire,
            "queue",
            "retry_first, retry_longest and expire are out of order",
            "Make them grow: minutes, hours, days",
        );
    }
}

pub(super) fn readable(problems: &mut Problems, place: &str, file: &Path) {
    if let Err(error) = std::fs::File::open(file) {
        let what = format!("{} cannot be read ({})", file.display(), error.kind());
        problems.add(place, what, "Check the path, and that the daemon's user may read it");
    }
}

/// A mail address that is not in an alias domain, where only postmaster and abuse are read, or a
/// web address.
fn is_contact(text: &str, config: &Config) -> bool {
    if let Some(rest) = text.strip_prefix("https://") {
        return rest.len() < 200
            && rest.starts_with(|c: char| c.is_alphanumeric())
            && rest.chars().all(|c| c.is_ascii_graphic() && !"<>\"".contains(c));
    }
    let within = |address: &Address| {
        config.marketplace.iter().any(|shop| ascii_domain(&shop.domain).is_ok_and(|domain| domain == address.domain()))
    };
    Address::parse(text).is_ok_and(|address| !within(&address))
}
