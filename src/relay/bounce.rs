//! Mail to the signed envelope sender of a message that we sent: read, recorded, and never passed on. What its author has to know is told anew.

use super::Relay;
use super::judge::Report;
use crate::message::bounce::{self, Action};
use crate::policy::failure::FailureClass;
use crate::store::{Change, Result};
use crate::types::Time;
use std::time::Duration;

/// A report of a kind that came so lately is not written down again.
const REPEATED: Duration = Duration::from_secs(3600);

impl Relay {
    /// Takes a report in. Says whether a notice was queued.
    pub(super) fn take_report(&self, change: &Change<'_>, report: &Report, now: Time) -> Result<bool> {
        let Some(row) = change.message(report.message)? else { return Ok(false) };
        let found = bounce::read(&report.raw);
        let detail = found.status.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
        // Whoever has received the message can write here: one line an hour of each kind fills no disk.
        if !change.event_since(report.message, found.action.as_str(), now.minus(REPEATED))? {
            change.record(report.message, now, found.action.as_str(), detail.as_deref().unwrap_or(""))?;
        }
        tracing::info!(id = row.id, what = found.action.as_str(), "report");
        // One notice, however many reports a server sends.
        if found.action != Action::Failed || row.fate == "failed" {
            return Ok(false);
        }
        change.set_fate(report.message, "failed")?;
        let class = found.status.map_or(FailureClass::Other, |(_, s, d)| FailureClass::of_reply(550, Some((s, d))));
        self.tell_failure(change, report.message, class, now)
    }
}
