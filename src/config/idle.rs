//! Settings that are good by themselves and never do what they say.
//!
//! Each is a warning and no problem: mail goes on as it went before somebody wrote it, and a daemon
//! that a new version would not start any more is worse than a list with an idle word in it.

use super::check::Problems;
use super::{AuthenticationMode, Config, ListenerTls};

impl Config {
    pub(super) fn warn_of_idle_settings(&self, warnings: &mut Problems) {
        let (policy, attachments) = (&self.policy, &self.policy.attachments);
        for (n, entry) in attachments.forbidden_types.iter().enumerate() {
            if !is_type(entry) {
                let place = format!("policy.attachments.forbidden_types[{n}]");
                let what = "is no content type, so that it forbids nothing";
                let remedy = "Write one as application/zip, without wildcards and parameters; file names are in forbidden_extensions";
                warnings.add(place, what, remedy);
            }
        }
        for (n, entry) in attachments.forbidden_extensions.iter().enumerate() {
            let bare = entry.trim().trim_start_matches('.');
            if bare.is_empty() || bare.contains(['*', '?', '.', '/', '\\', ' ', ',', ';', ':', '"']) {
                let place = format!("policy.attachments.forbidden_extensions[{n}]");
                let what = "is no file name extension, so that it forbids nothing";
                warnings.add(place, what, "Write what stands behind the last dot, without wildcards: \"bat\"");
            }
        }
        let routes = self.delivery.routes.iter().map(|(domain, text)| (format!("delivery.routes.\"{domain}\""), text));
        for (place, text) in routes.chain([("delivery.route".to_owned(), &self.delivery.route)]) {
            if text.strip_prefix("maildir:").is_some_and(|folder| !folder.is_empty() && !folder.starts_with('/')) {
                let what = "is a folder below wherever the daemon is started, / under systemd";
                warnings.add(place, what, "Write it from the root: maildir:/var/spool/market");
            }
        }
        let keep = u64::from(self.history.keep_days);
        let mut warn = |idle: bool, place: &str, what: &str, remedy: &str| warnings.unless(!idle, place, what, remedy);
        warn(
            u64::from(policy.opt_out.thread_days) > keep,
            "policy.opt_out.thread_days",
            "is more than history.keep_days, after which a thread is forgotten",
            "Lower it, or raise keep_days",
        );
        warn(
            u64::from(policy.response.deadline_hours) > keep.saturating_mul(24),
            "policy.response.deadline_hours",
            "is more than history.keep_days, after which the question is forgotten",
            "Lower it, or raise keep_days",
        );
        warn(
            policy.quota.base == 0 && policy.quota.orders_factor == 0,
            "policy.quota.base",
            "is zero, as orders_factor is: no seller may send anything",
            "Set one of the two; 600 and 5 are usual",
        );
        warn(
            attachments.max_total.0 == 0 && attachments.max_count > 0,
            "policy.attachments.max_total",
            "is zero: every attachment is refused, whatever max_count says",
            "Set it to a size, 10 MiB is usual, or max_count = 0, too",
        );
        warn(
            self.limits.errors_soft > self.limits.errors_hard,
            "limits.errors_soft",
            "is more than errors_hard, at which the connection ends: no reply is ever delayed",
            "Set it below errors_hard; 10 and 20 are usual",
        );
        warn(
            self.limits.idle > self.limits.session,
            "limits.idle",
            "is more than session, at which the connection ends",
            "Set it below; 5 min and 1 h are usual",
        );
        warn(
            self.queue.delay_notice >= self.queue.expire,
            "queue.delay_notice",
            "is not less than expire, at which the message is given up: nobody is told of a delay",
            "Set it below expire; 4 h and 5 d are usual",
        );
        warn(
            self.queue.concurrency_per_destination > self.queue.concurrency,
            "queue.concurrency_per_destination",
            "is more than concurrency, which counts all of them",
            "Lower it, or raise concurrency",
        );
        warn(
            self.limits.connections_per_client > self.limits.connections,
            "limits.connections_per_client",
            "is more than connections, which counts all of them",
            "Lower it, or raise connections",
        );
        warn(
            self.authentication.authserv_id.is_some() && self.authentication.mode != AuthenticationMode::Front,
            "authentication.authserv_id",
            "is not used: only mode = \"front\" reads Authentication-Results",
            "Set mode = \"front\", or take it out",
        );
        warn(
            self.tls.certificate.is_some() && self.listener.iter().all(|listener| listener.tls == ListenerTls::None),
            "tls.certificate",
            "is not used: no listener speaks TLS",
            "Set tls = \"starttls\" or \"implicit\" at a [[listener]]",
        );
    }
}

/// `type/subtype`, RFC 2045 5.1.
fn is_type(entry: &str) -> bool {
    let token =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c));
    entry.trim().split_once('/').is_some_and(|(main, sub)| token(main) && token(sub))
}
