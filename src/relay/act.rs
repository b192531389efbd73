//! Mail to an address that acts: `report+TOKEN`, `done+TOKEN`, `stop+TOKEN`. Only the receiver of the message that the address was made for can use it, proved like any other
//! author. It reaches nobody, counts against nothing, and is answered by one short notice a day; never if a machine wrote it (RFC 3834 2).

use super::judged::{Gathered, Letter};
use super::notices::About;
use super::refusals::Refusal;
use super::{Arrived, Relay, Shop};
use crate::message::{Inspection, Malformed, addressed, headers, words};
use crate::notice::{self, Name};
use crate::policy::author::is_known;
use crate::policy::quota::Day;
use crate::policy::reason::NO_SUCH_ADDRESS;
use crate::policy::{Decision, Reason, may_act};
use crate::store::{Change, Pair, Response, Result, Switch, View};
use crate::types::token::Purpose;
use crate::types::{Address, MessageId, Reply, Role, Time};
use std::sync::Arc;

/// What somebody wants done, who may have it done.
pub(super) struct Act {
    purpose: Purpose,
    /// The message that the address was made for, when it was received, and who received it.
    message: MessageId,
    received: Time,
    actor: Role,
    shop: Arc<Shop>,
    pair: Pair,
    /// The address that asked, and the Message-ID of what it wrote.
    writer: Option<Address>,
    original: Option<String>,
    /// For a report.
    reason: String,
    /// Nothing speaks against answering.
    answer: bool,
}

impl Relay {
    /// Reads what is asked for, and who asks. Changes nothing.
    pub(super) fn act(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &std::result::Result<Inspection, Malformed>,
        (purpose, message): (Purpose, MessageId),
        recipient: &Address,
    ) -> Result<Gathered> {
        let inspection = match inspection {
            Ok(inspection) => inspection,
            Err(fault) => return Ok(Gathered::Refused(Decision::reject(fault.reason()).reply(message), None)),
        };
        let received = view.thread_entry(message)?.map(|entry| entry.received);
        let (Some((shop, pair, actor)), Some(received)) = (self.way_back(view, message)?, received) else {
            return Ok(Gathered::Refused(Reply::new(550, 1, 1, NO_SUCH_ADDRESS), None));
        };
        let letter = Letter::new(message, &shop, pair, actor);
        let mut facts = self.facts(view, arrived, inspection, &letter, &[], (recipient, None))?;
        // The other side may be gone: its messages can still be reported.
        facts.gone = letter.pair.party(actor).removed;
        // Programs that follow such a link write to its address, so honest people pass; who puts it
        // into Bcc is refused, and has the footer's own link to use. A liar needs a message of the
        // party that was written to this very address: no other one that it signed helps him, and
        // he hears what every stranger hears.
        let (fields, _) = headers::split(&arrived.raw);
        let named = || addressed::names(&fields, recipient);
        let refused = may_act(&facts).or_else(|| (!named()).then(|| Decision::reject(Reason::Stranger)));
        if let Some(refused) = refused {
            // A stranger is counted, not logged line by line: see `refusals`.
            tracing::debug!(id = %letter.id, what = purpose.word(), reason = refused.reason.as_str(), "refused to act");
            let refusal = (!is_known(&facts)).then(|| Refusal::of(&letter, refused.reason.as_str()));
            return Ok(Gathered::Refused(refused.reply(message), refusal));
        }
        let author = inspection.author.as_ref().ok().map(|author| author.address.clone());
        let reason = if purpose == Purpose::Report {
            // Without what the link of the footer says itself, in whichever language it once did.
            let written = words::written(&arrived.raw, &self.config.limits);
            self.texts.footers("send").fold(written, words::without)
        } else {
            String::new()
        };
        let answer = inspection.automatic.is_none() && !inspection.report && arrived.envelope.sender.is_some();
        let writer = author.filter(|author| self.writes_as(letter.pair.party(actor), author));
        let original = inspection.message_id.clone();
        let pair = letter.pair;
        let act = Act { purpose, message, received, actor, shop, pair, writer, original, reason, answer };
        Ok(Gathered::Act(Box::new(act)))
    }

    /// Does it. Says whether a notice was queued.
    pub(super) fn take_act(&self, change: &Change<'_>, act: &Act, now: Time) -> Result<bool> {
        let (word, name) = match (act.purpose, act.actor) {
            (Purpose::Report, reporter) => {
                change.report(act.message, reporter, &act.reason, now)?;
                if reporter == Role::Seller {
                    change.close_response(act.message, Response::Reported, now)?;
                }
                ("reported", Name::ReportDone)
            }
            (Purpose::NoResponse, Role::Seller) => {
                change.close_response(act.message, Response::NotNeeded, now)?;
                ("no-response-needed", Name::NoResponseDone)
            }
            (Purpose::Stop, Role::Buyer) => {
                change.set_switch(act.pair.buyer.id, Switch::OptedOut, true)?;
                ("stop", Name::StopDone)
            }
            // No such address was given out.
            _ => return Ok(false),
        };
        // The walk of the message tells it once a day, as does the notice: nobody fills a mailbox or the store by asking again.
        if change.event_since(act.message, word, Day::at(now, &act.shop.zone).starts)? {
            return Ok(false);
        }
        change.record(act.message, now, word, act.actor.as_str())?;
        tracing::info!(id = %act.message, what = word, by = act.actor.as_str(), "acted");
        if !act.answer {
            return Ok(false);
        }
        let about = About {
            message: act.message,
            shop: &act.shop,
            pair: &act.pair,
            author: act.actor,
            received: act.received,
            original: act.original.as_deref(),
            writer: act.writer.as_ref(),
            subject: "",
        };
        self.tell(change, &about, name, now, |frame| notice::confirmation(frame, name))?;
        Ok(true)
    }
}
