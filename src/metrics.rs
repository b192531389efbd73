//! Floor 1: the counters that the operator watches, in Prometheus's terms. Label values are words of the program (verdicts, reasons,
//! outcomes), never anything that came from outside.
//!
//! Not here: serving them over HTTP (see `serve`).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

/// One label, a word of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Word {
    /// The word.
    pub word: &'static str,
}

/// A verdict and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decision {
    /// `relay`, `block`, `reject`, `defer`.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// All metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Connections open now.
    pub connections: Gauge,
    /// Connections accepted, by what became of them: `served`, `too-many`, `too-many-of-client`, `stopping`.
    pub connections_total: Family<Word, Counter>,
    /// Sessions ended by the relay itself, by reason: `errors`, `idle`, `session-time`, `slow`, `bare-newline`, ….
    pub sessions_cut: Family<Word, Counter>,
    /// Recipients refused at RCPT.
    pub recipients_refused: Counter,
    /// Logins by outcome: `granted`, `wrong`, `too-many-of-client`, `too-many-of-login`, `trouble`.
    pub logins: Family<Word, Counter>,
    /// Octets of mail held in memory now.
    pub memory: Gauge,
    /// Decisions about messages.
    pub decisions: Family<Decision, Counter>,
    /// Mail to the operator (postmaster, abuse): `taken`, `deferred`, `too-large`, `loop`.
    pub operator_mail: Family<Word, Counter>,
    /// Log lines of strangers' doing that were left out.
    pub lines_left_out: Counter,
    /// Refused messages of strangers, by what is left of them: `row`, `summed`, `over-limit`
    /// (summed, and the session ended), `folded` (summed without client or pair).
    pub refusals: Family<Word, Counter>,
    /// Messages that the guard stopped: each one is a bug to look at.
    pub guard_stops: Counter,
    /// Steps that looking through a message took, in millions, for all of its recipients: see
    /// `message::work`.
    pub message_work: Histogram,
    /// Delivery attempts, by outcome: `delivered`, `deferred`, `failed`.
    pub deliveries: Family<Word, Counter>,
    /// Sessions with other servers, by what vouched for their TLS: `none` (clear text), `unverified`, `verified`, `sts`, `dane`; `failed`: the
    /// TLS that was demanded was not to be had.
    pub delivery_tls: Family<Word, Counter>,
    /// Notices written, by kind.
    pub notices: Family<Word, Counter>,
    /// Messages waiting in the queue.
    pub queue: Gauge,
    /// Jobs that shared one commit.
    pub commit_jobs: Histogram,
    /// Seconds a commit took, flush included.
    pub commit_seconds: Histogram,
    /// Seconds from the end of DATA to the reply.
    pub accept_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("marketrelay");
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Self {
            registry: Arc::default(),
            connections: Gauge::default(),
            connections_total: Family::default(),
            sessions_cut: Family::default(),
            recipients_refused: Counter::default(),
            logins: Family::default(),
            memory: Gauge::default(),
            decisions: Family::default(),
            operator_mail: Family::default(),
            lines_left_out: Counter::default(),
            refusals: Family::default(),
            guard_stops: Counter::default(),
            message_work: Histogram::new(exponential_buckets(0.062_5, 2.0, 18)),
            deliveries: Family::default(),
            delivery_tls: Family::default(),
            notices: Family::default(),
            queue: Gauge::default(),
            commit_jobs: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit_seconds: seconds(),
            accept_seconds: seconds(),
        };
        let m = &metrics;
        registry.register("connections", "Open connections", m.connections.clone());
        registry.register("accepted_connections", "Accepted connections by fate", m.connections_total.clone());
        registry.register("sessions_cut", "Sessions ended by the relay, by reason", m.sessions_cut.clone());
        registry.register("recipients_refused", "Recipients refused at RCPT", m.recipients_refused.clone());
        registry.register("logins", "Logins on submission listeners by outcome", m.logins.clone());
        registry.register_with_unit("memory", "Mail held in memory", Unit::Bytes, m.memory.clone());
        registry.register("decisions", "Decisions about messages", m.decisions.clone());
        registry.register("operator_mail", "Mail to postmaster and abuse by outcome", m.operator_mail.clone());
        registry.register("log_lines_left_out", "Log lines left out in floods", m.lines_left_out.clone());
        registry.register("refusals", "Refused messages of strangers, by what is left of them", m.refusals.clone());
        registry.register(
            "guard_stops",
            "Messages stopped because a real address was left in them",
            m.guard_stops.clone(),
        );
        registry.register(
            "message_work",
            "Million steps of looking through a message, documents included",
            m.message_work.clone(),
        );
        registry.register("deliveries", "Delivery attempts by outcome", m.deliveries.clone());
        registry.register("delivery_tls", "Sessions with other servers, by their TLS", m.delivery_tls.clone());
        registry.register("notices", "Notices written, by kind", m.notices.clone());
        registry.register("queue", "Messages waiting to go out", m.queue.clone());
        registry.register("commit_jobs", "Jobs that shared one commit", m.commit_jobs.clone());
        registry.register_with_unit(
            "commit",
            "Time of a commit, flush included",
            Unit::Seconds,
            m.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "accept",
            "Time from the end of DATA to the reply",
            Unit::Seconds,
            m.accept_seconds.clone(),
        );
        Self { registry: Arc::new(registry), ..metrics }
    }
}

impl Metrics {
    /// OpenMetrics text, content type `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &self.registry);
        out
    }
}

/// Counts one more under `word`.
pub fn count(family: &Family<Word, Counter>, word: &'static str) {
    family.get_or_create(&Word { word }).inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_once_and_words_as_labels() {
        let metrics = Metrics::default();
        count(&metrics.deliveries, "delivered");
        count(&metrics.connections_total, "served");
        metrics.decisions.get_or_create(&Decision { verdict: "relay", reason: "ok" }).inc();
        let text = metrics.text();
        assert!(text.contains("marketrelay_deliveries_total{word=\"delivered\"} 1"), "{text}");
        assert!(text.contains("marketrelay_decisions_total{verdict=\"relay\",reason=\"ok\"} 1"), "{text}");
        let mut names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup_by_key(|line| line.split(' ').next());
        assert_eq!(names.len(), all, "{text}");
    }
}
