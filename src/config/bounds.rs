//! Numbers, sizes and times: the limits of sense, and which have to be above which.

use super::Config;
use super::check::Problems;

impl Config {
    pub(super) fn check_policy(&self, problems: &mut Problems) {
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

    pub(super) fn check_limits(&self, problems: &mut Problems) {
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
