//! What is wrong with a configuration: every problem at once, each with its remedy. The limits of sense, and how settings fit each other.
//!
//! Not here: whether a port is free or DNS answers: that shows when the daemon starts.

use super::{AuthenticationMode, Config, Listener, ListenerKind};
use crate::types::address::ascii_domain;
use crate::types::{Address, ExternalId, alias, is_language_tag, is_steering};
use serde::Serialize;
use std::collections::HashSet;
use std::path::Path;

/// Something to mend; or, as a warning, to think about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key, `listener[0].tls`.
    pub place: String,
    /// The line of the file, from 1: of the key, or of the table that it would stand in.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// One whose line is not known.
    pub fn new(place: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), line: None, what: what.into(), remedy: remedy.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}. {}", self.place, self.what, self.remedy)
    }
}

/// What is said of a listener whose clients may be hidden: see [`Config::may_hide_clients`].
pub const HIDDEN_CLIENTS: &str = "unless its front sends XFORWARD or XCLIENT (or the PROXY protocol, with proxy_protocol = true), SPF is asked about the front itself, and \
     authors are locked out whose DKIM signatures do not cover To: Microsoft 365, outlook.com, 163.com, and mail by Bcc";

#[derive(Clone, Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn take(self) -> Vec<Problem> {
        self.0
    }

    pub(super) fn add(&mut self, place: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        self.put(Problem::new(place, what, remedy));
    }

    pub(super) fn put(&mut self, problem: Problem) {
        self.0.push(problem);
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
        self.check_sockets(&mut problems, route);
        self.check_delivery(&mut problems, route);
        self.check_policy(&mut problems);
        self.check_limits(&mut problems);
        problems.take()
    }

    fn check_names(&self, problems: &mut Problems) {
        problems.unless(
            is_full_name(&self.hostname),
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
            !self.data_dir.is_file(),
            "data_dir",
            "is a file",
            "Name the directory that holds it: the store is more than one file",
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
            match ascii_domain(&shop.domain).ok().filter(|name| is_full_name(name)) {
                None => problems.add(place("domain"), "is not a domain", "Write a domain that is routed to this relay"),
                Some(domain) => {
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
                &format!("Write its IANA name, for example {}", nearest_zone(&shop.time_zone)),
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
}

pub(super) fn readable(problems: &mut Problems, place: &str, file: &Path) {
    // A directory opens, and cannot be read.
    let opened = std::fs::File::open(file)
        .and_then(|file| file.metadata())
        .and_then(|found| if found.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) });
    if let Err(error) = opened {
        let what = format!("{} cannot be read ({})", file.display(), error.kind());
        problems.add(place, what, "Check the path, and that the daemon's user may read it");
    }
}

/// A host name with a dot, which is no address.
fn is_full_name(name: &str) -> bool {
    let ascii = ascii_domain(name).unwrap_or_default();
    ascii.contains('.') && !ascii.rsplit('.').next().unwrap_or("").bytes().all(|b| b.is_ascii_digit())
}

/// The zone whose name is most like this, or whose city is.
fn nearest_zone(text: &str) -> String {
    let wanted = text.trim().to_lowercase().replace(' ', "_");
    let far = |name: &str| {
        let name = name.to_lowercase();
        let city = name.rsplit('/').next().unwrap_or("");
        strsim::damerau_levenshtein(&name, &wanted).min(strsim::damerau_levenshtein(city, &wanted))
    };
    let all = jiff::tz::db().available().map(|name| name.as_str().to_owned());
    let near = all.filter(|name| name.contains('/')).map(|name| (far(&name), name)).min();
    let near = near.filter(|(far, _)| *far <= wanted.len() / 4);
    near.map_or_else(|| "Asia/Tokyo".to_owned(), |(_, name)| name)
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
