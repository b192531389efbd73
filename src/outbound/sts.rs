//! MTA-STS (RFC 8461): what a receivers' domain demands of those who deliver to it, found, fetched and kept.
//!
//! A policy in force is kept until it ends, whatever becomes of the record or the web server meanwhile: else whoever can hide those could
//! take it away. It is fetched anew when the record has another id, and when half its time is over.
//!
//! Not here: what is done with it (`connect`), or reports (RFC 8460), which are not sent.

mod fetch;
#[cfg(test)]
mod tests;

use super::Means;
use crate::store::{Result, StsMode, StsPolicy};
use crate::types::address::ascii_domain;
use crate::types::{Time, locked};
use fetch::Fetcher;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Mutex as Turn;

/// After a fetch that failed, the next one waits (RFC 8461 3.3 asks for five minutes).
const PAUSE: Duration = Duration::from_secs(300);
/// Longest life of a policy, RFC 8461 3.2.
const LONGEST: u64 = 31_557_600;
/// Patterns of a policy, all together, in octets.
const PATTERNS: usize = 8 * 1024;
/// Domains whose last failure is remembered.
const REMEMBERED: usize = 1000;

/// Fetches policies, one at a time for each domain.
pub(super) struct Sts {
    domains: Mutex<HashMap<String, Arc<Turn<Option<Time>>>>>,
}

impl Sts {
    pub(super) fn new() -> Self {
        Self { domains: Mutex::default() }
    }

    /// Whoever holds it may fetch the domain's policy. It holds when that last failed.
    fn turn(&self, domain: &str) -> Arc<Turn<Option<Time>>> {
        let mut domains = locked(&self.domains);
        if domains.len() >= REMEMBERED {
            domains.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(domains.entry(domain.to_owned()).or_default())
    }
}

impl Means {
    /// The policy that counts for a domain now, if it is to be enforced.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) async fn sts_policy(&self, domain: &str) -> Result<Option<StsPolicy>> {
        let enforced = |policy: Option<StsPolicy>| policy.filter(|policy| policy.mode == StsMode::Enforce);
        let kept = self.kept(domain)?;
        let record = self.dns.txt(&format!("_mta-sts.{domain}")).await.unwrap_or_default();
        let Some(id) = record_id(&record) else { return Ok(enforced(kept)) };
        if self.is_fresh(kept.as_ref(), &id) {
            return Ok(enforced(kept));
        }
        let turn = self.sts.turn(domain);
        let mut failed = turn.lock().await;
        // Another may have fetched it meanwhile.
        let kept = self.kept(domain)?;
        let now = (self.now)();
        let too_soon = failed.is_some_and(|at| at <= now && now.since(at) < PAUSE);
        if too_soon || self.is_fresh(kept.as_ref(), &id) {
            return Ok(enforced(kept));
        }
        let fetcher = Fetcher {
            tls: Arc::clone(&self.tls.verified),
            port: self.ports.https,
            allow_private: self.config.delivery.allow_private,
        };
        let fetched = fetcher.get(&*self.dns, domain).await.and_then(|text| parse(&text).ok_or("not a policy"));
        match fetched {
            Ok(Parsed { mode, mx, max_age }) => {
                *failed = None;
                let policy = StsPolicy { id, mode, mx, fetched: now, expires: now.plus(max_age) };
                let (domain, keep) = (domain.to_owned(), policy.clone());
                self.store.write(move |change| change.keep_sts_policy(&domain, &keep)).await?;
                Ok(enforced(Some(policy)))
            }
            Err(why) => {
                *failed = Some(now);
                tracing::warn!(why, kept = kept.is_some(), "cannot fetch an MTA-STS policy");
                Ok(enforced(kept))
            }
        }
    }

    fn kept(&self, domain: &str) -> Result<Option<StsPolicy>> {
        let now = (self.now)();
        Ok(self.store.read(|view| view.sts_policy(domain))?.filter(|policy| policy.expires > now))
    }

    fn is_fresh(&self, kept: Option<&StsPolicy>, id: &str) -> bool {
        let now = (self.now)();
        kept.is_some_and(|kept| kept.id == id && now.since(kept.fetched) < kept.expires.since(kept.fetched) / 2)
    }
}

/// The id in the records of `_mta-sts.DOMAIN` (RFC 8461 3.1). Records of other kinds do not count; two of ours are none.
fn record_id(records: &[String]) -> Option<String> {
    let mut ours = records.iter().filter_map(|record| {
        let (version, rest) = record.split_once(';')?;
        (version.trim_end_matches([' ', '\t']) == "v=STSv1").then_some(rest)
    });
    let (only, None) = (ours.next()?, ours.next()) else { return None };
    let id = only.split(';').find_map(|field| field.trim().strip_prefix("id="))?;
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

/// What a policy says.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    mode: StsMode,
    mx: Vec<String>,
    max_age: Duration,
}

/// RFC 8461 3.2. Unknown fields are passed over; of a field that stands twice the first counts, but for `mx`.
fn parse(text: &str) -> Option<Parsed> {
    let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
    for line in text.split('\n').map(|line| line.trim_end_matches(['\r', ' ', '\t'])).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once(':')?;
        let value = value.trim_start_matches([' ', '\t']);
        match key {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => max_age = max_age.or(Some(value)),
            "mx" => mx.push(pattern(value)?),
            _ => {}
        }
    }
    let mode = match mode? {
        "enforce" => StsMode::Enforce,
        "testing" => StsMode::Testing,
        "none" => StsMode::None,
        _ => return None,
    };
    let digits = max_age.filter(|age| (1..=10).contains(&age.len()) && age.bytes().all(|b| b.is_ascii_digit()))?;
    let max_age = Duration::from_secs(digits.parse::<u64>().ok()?.min(LONGEST));
    let octets: usize = mx.iter().map(|pattern: &String| pattern.len() + 1).sum();
    let good = version? == "STSv1" && (!mx.is_empty() || mode == StsMode::None) && octets <= PATTERNS;
    good.then_some(Parsed { mode, mx, max_age })
}

/// A host name, or `*.` and one.
fn pattern(text: &str) -> Option<String> {
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let name = ascii_domain(name.strip_suffix('.').unwrap_or(name)).ok()?;
    Some(format!("{star}{name}"))
}

/// Whether a policy names an MX host (RFC 8461 4.1); `*` is exactly one label.
pub(super) fn names(policy: &StsPolicy, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let parent = host.split_once('.').map(|(_, parent)| parent);
    policy.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
        Some(rest) => parent == Some(rest),
        None => *pattern == host,
    })
}
