//! Mail to the signed envelope sender of a message that we sent: read, recorded, and never passed on. What its author has to know is told anew.
//!
//! Whoever has received a message knows this address, and can write here what he likes. So a report
//! never decides what became of a message: that is what its server answered, and stands in its
//! fate. A report is one more step of its walk, with what is known of who wrote it. One that is
//! proved also counts in the conversation: see [`Change::undelivered`].

use super::{Arrived, Relay};
use crate::message::bounce::{self, Action};
use crate::message::{Inspection, Malformed};
use crate::policy::author::Proof;
use crate::policy::failure::FailureClass;
use crate::store::{Change, Result, View};
use crate::types::{Address, MessageId, Time, locked};

/// A delivery report, or another automatic answer, to a message that we sent.
pub(super) struct Report {
    message: MessageId,
    action: Action,
    status: Option<(u16, u16, u16)>,
    code: u16,
    proof: Evidence,
}

/// What speaks for a report.
///
/// Both ways ask for the null sender and a mailbox of a mail system: people write through the same
/// servers and domains, and a receiver may not prove by his own mail that he got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// It came from the network of the server that took the message.
    Server,
    /// Its author's domain, proved, is the receiver's, and it gives back the message with our own
    /// Message-ID.
    Aligned,
    /// Nothing. Large providers report from other servers and domains than they receive at, so this
    /// is no sign of a lie.
    None,
}

impl Evidence {
    /// The words for the history.
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "proved by its server",
            Self::Aligned => "proved by its domain",
            Self::None => "not proved",
        }
    }
}

/// What the history calls a report of a failure: before the receiver's server took the message, and
/// after.
const BOUNCED: &str = "bounced";
const LATER: &str = "bounced-later";

impl Relay {
    /// What a report says of each of the messages that it is addressed to. Changes nothing.
    pub(super) fn read_reports(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &std::result::Result<Inspection, Malformed>,
        (found, messages): (&bounce::Report, &[(MessageId, &Address)]),
    ) -> Result<Vec<Report>> {
        let author =
            inspection.as_ref().ok().and_then(|found| found.author.as_ref().ok()).map(|author| &author.address);
        let daemon = author.filter(|author| arrived.envelope.sender.is_none() && bounce::is_daemon(author.local()));
        let one = |(message, recipient): &(MessageId, &Address)| {
            let proof = match daemon {
                Some(daemon) => self.evidence(view, arrived, (*message, recipient), daemon, found.about.as_deref())?,
                None => Evidence::None,
            };
            Ok(Report { message: *message, action: found.action, status: found.status, code: found.code, proof })
        };
        messages.iter().map(one).collect()
    }

    fn evidence(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        (message, recipient): (MessageId, &Address),
        daemon: &Address,
        about: Option<&str>,
    ) -> Result<Evidence> {
        // A front that hands on no address speaks for nobody: everybody's mail comes from there,
        // its own reports among it.
        if self.network_of(&arrived.client).is_some()
            && let Some(server) = view.taken_by(message)?
            && server == self.store.secret().server_mark(message, arrived.client.ip)
        {
            return Ok(Evidence::Server);
        }
        if arrived.authentication.proof_to(recipient) != Proof::Proved {
            return Ok(Evidence::None);
        }
        let Some((shop, pair, receiver)) = self.way_back(view, message)? else { return Ok(Evidence::None) };
        let own = self.message_id(message, &shop.domain);
        let of = |address: &Address| bounce::reports_for(daemon.domain(), address.domain());
        let aligned = pair.party(receiver).addresses.iter().any(of) && about == Some(own.as_str());
        Ok(if aligned { Evidence::Aligned } else { Evidence::None })
    }

    /// Takes a report in. Says whether a notice was queued.
    ///
    /// Each kind stands in the history once, and once more when it is proved: so many reports as
    /// anybody sends, they fill no disk. The author hears of a failure once, and once more when it
    /// is proved: an honest server's late bounce reaches him in either case, and a liar gets no
    /// more out of it than the words that nothing proves it, three times a day of the two parties.
    pub(super) fn take_report(&self, change: &Change<'_>, report: &Report, now: Time) -> Result<bool> {
        let Some(row) = change.message(report.message)? else { return Ok(false) };
        let failed = report.action == Action::Failed;
        let what = match report.action {
            Action::Failed if row.fate == "delivered" => LATER,
            Action::Failed => BOUNCED,
            other => other.as_str(),
        };
        let (proof, proved) = (report.proof.as_str(), report.proof != Evidence::None);
        let same = |known: &str| known == what || failed && [LATER, BOUNCED].contains(&known);
        let is_proved = |detail: &str| detail.starts_with("proved");
        let known = change.events(report.message)?;
        if known.iter().any(|event| same(&event.what) && (!proved || is_proved(&event.detail))) {
            return Ok(false);
        }
        let status = report.status.map(|(class, subject, detail)| format!(", {class}.{subject}.{detail}"));
        change.record(report.message, now, what, &format!("{proof}{}", status.unwrap_or_default()))?;
        tracing::info!(id = row.id, what, proof, "report");
        if failed && proved {
            change.undelivered(report.message, now)?;
        }
        // What was given up has been told, and what nobody got was refused to its author's face.
        if !failed || !matches!(row.fate.as_str(), "delivered" | "queued") {
            return Ok(false);
        }
        let class = FailureClass::of_reply(report.code, report.status.map(|(_, subject, detail)| (subject, detail)));
        if proved {
            return if row.fate == "delivered" {
                self.tell_report(change, report.message, (class, true), now)
            } else {
                self.tell_failure(change, report.message, class, now)
            };
        }
        let pair = row.pair.and_then(|pair| u128::try_from(pair.0).ok());
        // Lost with the process, and counted though the transaction may fail: it only has to be
        // about right.
        if !locked(&self.doubts).take(pair, 0, now) {
            return Ok(false);
        }
        self.tell_report(change, report.message, (class, false), now)
    }
}
