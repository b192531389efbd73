//! One transaction for all that a message leads to; then the reply.

use super::Relay;
use super::judged::{Judged, Letter};
use crate::config::AnsweredBy;
use crate::metrics::Decision as Label;
use crate::outbound::{Addresses, Begun};
use crate::policy::opt_out::worrying_share;
use crate::policy::quota::{self, Day, Use};
use crate::policy::{AUTOMATIC, Decision, OPT_OUT, QUOTA, Reason, Verdict, automatic, response};
use crate::store::queue::{Item, Kind, NewItem, Recipient};
use crate::store::{Change, Critical, NewMessage, Result, StoreError};
use crate::types::{MessageId, Reply, Role, Time};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Questions of a pair that wait and whose subjects are looked at.
const QUESTIONS: u32 = 50;

/// A verdict as the transaction leaves it.
struct Verdicted {
    decision: Decision,
    /// The rule that overruled the verdict that the letter came with.
    overruled_by: Option<&'static str>,
}

/// What the transaction came to.
#[derive(Default)]
struct Written {
    /// Nothing was written, and this is why.
    refused: Option<Reply>,
    /// What each letter came to, and its id in the history: of the first one where it came again.
    decisions: Vec<Decision>,
    ids: Vec<MessageId>,
    /// What the operator has to hear.
    warnings: Vec<Warning>,
    leased: Vec<Leased>,
    /// Something waits in the store.
    waits: bool,
}

/// An item that is delivered from memory as soon as it is committed.
struct Leased {
    item: Item,
    bytes: Bytes,
    addresses: Addresses,
    /// Its envelope, if that goes ahead.
    begun: Option<Begun>,
}

/// A seller declares much critical.
struct Warning {
    seller: String,
    day: Critical,
    /// Everything that the seller has sent today.
    messages: u64,
    what: &'static str,
}

impl Relay {
    /// Writes everything, hands what goes out to the queue, and answers. `None`: nothing was done,
    /// and the message has to be judged anew, as another session was quicker.
    pub(super) async fn commit(self: &Arc<Self>, mut judged: Judged) -> Option<Reply> {
        let over = self.note_refusals(&mut judged);
        let reply = self.settle(judged).await?;
        Some(if over { reply.closing() } else { reply })
    }

    async fn settle(self: &Arc<Self>, judged: Judged) -> Option<Reply> {
        if !judged.letters.iter().any(|letter| letter.kept) && !judged.took_more() {
            // Nothing is written: refusals that are summed, or nobody to decide about.
            let (decisions, ids) = judged.letters.iter().map(|letter| (letter.decision.clone(), letter.id)).unzip();
            let written = Written { decisions, ids, ..Written::default() };
            self.tell_decisions(&judged, &written);
            return Some(reply(&judged, &written));
        }
        let judged = Arc::new(judged);
        let (relay, work) = (Arc::clone(self), Arc::clone(&judged));
        let write = move |change: &Change<'_>| relay.write_all(change, &work);
        // What comes for the operator, and what is told of a report, takes of a share: once.
        let written =
            if judged.took_more() { self.store.write(write).await } else { self.store.write_often(write).await };
        let mut written = match written {
            Ok(written) => written?,
            Err(error) => {
                if self.logs(None) {
                    tracing::error!(%error, "cannot keep a message");
                }
                return Some(error.reply());
            }
        };
        if let Some(reply) = written.refused {
            return Some(reply);
        }
        if let Some(outbound) = self.outbound.get() {
            for Leased { item, bytes, addresses, begun } in written.leased.drain(..) {
                let left = match begun {
                    Some(begun) => begun.committed(item),
                    None => Some(item),
                };
                if let Some(item) = left {
                    outbound.submit(item, bytes, Some(addresses));
                }
            }
            if written.waits {
                outbound.kick();
            }
        }
        for Warning { seller, day, messages, what } in &written.warnings {
            let (critical, over) = (day.used, day.over);
            tracing::warn!(seller, critical, over, messages, "{what}");
        }
        self.tell_decisions(&judged, &written);
        Some(reply(&judged, &written))
    }

    /// To metrics and log. What is summed is logged as a sum.
    fn tell_decisions(&self, judged: &Judged, written: &Written) {
        for ((letter, decision), id) in judged.letters.iter().zip(&written.decisions).zip(&written.ids) {
            let (verdict, reason) = (decision.verdict.as_str(), decision.reason.as_str());
            self.metrics.decisions.get_or_create(&Label { verdict, reason }).inc();
            let (author, size) = (letter.author.as_str(), judged.raw.len());
            if letter.kept {
                tracing::info!(%id, %author, verdict, reason, size, place = letter.place, "decided");
            }
        }
    }

    fn write_all(&self, change: &Change<'_>, judged: &Judged) -> Result<Option<Written>> {
        if self.is_outdated(change, judged)? {
            return Ok(None);
        }
        let mut written = Written::default();
        // First: what the operator cannot have is refused whole, or somebody would hear that it was
        // taken.
        if let Some(forward) = &judged.forward {
            written.refused = self.forward(change, forward, judged.at)?;
            written.waits = true;
            if written.refused.is_some() {
                return Ok(Some(written));
            }
        }
        let mut body = None;
        for letter in &judged.letters {
            if let Some((first, decision)) = Self::repeated(letter, &judged.letters, &written.decisions) {
                if letter.past.first.is_some() {
                    change.came_again(first, judged.at)?;
                }
                written.decisions.push(decision);
                written.ids.push(first);
                continue;
            }
            let Verdicted { decision, overruled_by } = self.counted(change, letter, judged.at, &mut written)?;
            // A stranger's mail is not kept, and what is deferred for DNS trouble is a stranger's:
            // anybody could fill the disk with it. What a party wrote is.
            let keep = letter.known
                && (decision.verdict != Verdict::Reject
                    || matches!(decision.reason, Reason::Unclean | Reason::AddressInFile { .. }));
            let kept = match (keep, body) {
                (false, _) => None,
                (true, Some(body)) => Some(body),
                (true, None) => {
                    body = Some(change.insert_body(&judged.body)?);
                    body
                }
            };
            if letter.kept {
                change.insert_message(&row(letter, (&decision, overruled_by), judged, kept))?;
            }
            if letter.past.known.is_some() {
                change.keep_signatures(letter.id, (letter.pair.id, letter.author), &judged.signatures)?;
            }
            if decision.verdict == Verdict::Relay {
                self.queue_letter(change, letter, judged.at, &mut written)?;
                written.waits |= self.tell_of_address(change, letter, judged.at)?;
            }
            if matches!(decision.reason, Reason::AutomaticRepeated | Reason::SameWords) {
                written.waits |= self.tell_of_stop(change, letter, &decision.reason, judged.at)?;
            }
            if decision.answer {
                self.opt_out_reply(change, letter, &decision.reason, judged.at)?;
                written.waits = true;
            }
            written.decisions.push(decision);
            written.ids.push(letter.id);
        }
        written.waits |= self.tell_authors(change, judged, &written.decisions, &written.ids)?;
        for report in &judged.reports {
            written.waits |= self.take_report(change, report, judged.at)?;
        }
        for act in &judged.acts {
            written.waits |= self.take_act(change, act, judged.at)?;
        }
        for party in &judged.quiet {
            change.set_quiet(*party, true)?;
        }
        // What is left is the commit, with what shares it: the servers answer while the disk flushes.
        for leased in &mut written.leased {
            leased.begun = self.outbound.get().and_then(|outbound| outbound.begin(&leased.bytes, &leased.addresses));
        }
        Ok(Some(written))
    }

    /// The verdict as it stands once all is counted, what it uses up being counted.
    fn counted(&self, change: &Change<'_>, letter: &Letter, now: Time, written: &mut Written) -> Result<Verdicted> {
        let day = std::cell::LazyCell::new(|| Day::at(now, &letter.shop.zone).starts);
        let starts = || *day;
        let found = if letter.decision.is_taken() { self.overruled(change, letter, now, starts)? } else { None };
        let mut found = found.unwrap_or_else(|| Verdicted { decision: letter.decision.clone(), overruled_by: None });
        let decision = &mut found.decision;
        decision.answer = decision.answer && !change.event_since(letter.thread, "opt-out-reply", starts())?;
        if letter.author == Role::Seller && decision.counts() {
            change.count_quota(letter.pair.seller.id, starts())?;
            if matches!(decision.reason, Reason::RelayedCritical | Reason::OverCritical { .. }) {
                self.count_critical(change, letter, decision, starts(), written)?;
            }
        }
        Ok(found)
    }

    /// The one place that overrules a verdict inside the transaction, with the rule that does:
    /// what is counted is looked at again, so that parallel sessions cannot overrun it. In the
    /// order of the rules.
    ///
    /// The limits are as they were a moment ago: orders and settings are not looked at again.
    fn overruled(
        &self,
        change: &Change<'_>,
        letter: &Letter,
        now: Time,
        starts: impl Fn() -> Time,
    ) -> Result<Option<Verdicted>> {
        let (seller, decided) = (letter.pair.seller.id, &letter.decision);
        let by = |rule, decision| Ok(Some(Verdicted { decision, overruled_by: Some(rule) }));
        if letter.automatic
            && decided.verdict == Verdict::Relay
            && let Some(decision) = automatic::one_more(change.answers(letter.pair.id, letter.author, now)?)
        {
            return by(AUTOMATIC, decision);
        }
        if letter.author == Role::Seller
            && decided.counts()
            && let Some(quota) = &letter.quota
        {
            let quota = Use { used: change.quota_used(seller, starts())?, ..quota.clone() };
            if let Some(decision) = quota::one_more(&quota, &self.config.policy.quota) {
                return by(QUOTA, decision);
            }
        }
        if decided.reason == Reason::RelayedCritical
            && let Some(uncritical) = &letter.uncritical
            && let Reason::OverCritical { limit, .. } = &uncritical.reason
            && change.critical(seller, starts())?.used >= *limit
        {
            return by(OPT_OUT, uncritical.clone());
        }
        Ok(None)
    }

    /// Counts what a tag declares critical. The operator is warned once a day of a seller's share,
    /// and once of the limit.
    fn count_critical(
        &self,
        change: &Change<'_>,
        letter: &Letter,
        decision: &Decision,
        starts: Time,
        written: &mut Written,
    ) -> Result<()> {
        let seller = &letter.pair.seller;
        let over = decision.reason != Reason::RelayedCritical;
        let day = change.count_critical(seller.id, starts, over)?;
        let messages = change.quota_used(seller.id, starts)?;
        let mut warn = |what| {
            let seller = seller.external.as_str().to_owned();
            written.warnings.push(Warning { seller, day, messages, what });
        };
        if !day.told && worrying_share(day.used, messages, &self.config.policy.opt_out).is_some() {
            warn("a seller declares many messages critical");
            change.told_of_critical(seller.id, starts)?;
        }
        if over && day.over == 1 {
            warn("a seller has declared as many messages critical as a day allows");
        }
        Ok(())
    }

    fn queue_letter(&self, change: &Change<'_>, letter: &Letter, now: Time, written: &mut Written) -> Result<()> {
        let receiver = letter.pair.party(letter.author.other());
        // Nothing is accepted that has nowhere to go.
        let recipient = receiver.main.clone().ok_or(StoreError::NotFound("address of the receiver"))?;
        let new = NewItem {
            message: letter.id,
            kind: Kind::Relay,
            recipient: Recipient::Party(receiver.id),
            domain: recipient.domain().to_owned(),
            notice: None,
        };
        // With the queue at hand the item is delivered from memory, right after the commit.
        let bytes = letter.outgoing.as_ref().filter(|_| self.outbound.get().is_some());
        let item = change.enqueue(&new, now, bytes.is_some())?;
        match bytes {
            Some(bytes) => {
                let sender = Some(self.bounce_address(&letter.shop, letter.id));
                let (bytes, addresses) = (bytes.clone(), Addresses { recipient, sender });
                written.leased.push(Leased { item, bytes, addresses, begun: None });
            }
            None => written.waits = true,
        }
        if letter.author == Role::Seller && !letter.automatic {
            self.stop_clocks(change, letter, now)?;
        }
        Ok(())
    }

    /// The seller has answered: which of the buyer's questions, the thread says. A letter in none
    /// answers the questions whose subject stands in it behind `Re:`, within the deadline.
    fn stop_clocks(&self, change: &Change<'_>, letter: &Letter, now: Time) -> Result<()> {
        let (pair, rules) = (letter.pair.id, &self.config.policy.response);
        if rules.answered_by == AnsweredBy::Pair {
            return change.answered(pair, None, now);
        }
        if letter.thread != letter.id {
            return change.answered(pair, Some(letter.thread), now);
        }
        let Some(asked) = response::asked(&letter.subject) else { return Ok(()) };
        let deadline = Duration::from_secs(u64::from(rules.deadline_hours) * 3600);
        for (thread, subject) in change.waiting(pair, now.minus(deadline), QUESTIONS)? {
            if response::is_asked(asked, &subject) {
                change.answered(pair, Some(thread), now)?;
            }
        }
        Ok(())
    }
}

fn row(
    letter: &Letter,
    (decision, overruled_by): (&Decision, Option<&'static str>),
    judged: &Judged,
    body: Option<i64>,
) -> NewMessage {
    let relayed = decision.verdict == Verdict::Relay;
    let mut facts = letter.facts.clone();
    if let Some(rule) = overruled_by {
        // The last name of a rule is the one that decided.
        facts.push_str(&format!(" rule={rule}"));
    }
    NewMessage {
        id: letter.id,
        pair: Some(letter.pair.id),
        author: letter.author,
        body,
        shared: judged.letters.len() > 1,
        received: judged.at,
        size: judged.raw.len(),
        verdict: decision.verdict.as_str(),
        reason: decision.reason.as_str(),
        thread: letter.thread,
        // What was refused is no part of a thread. What was blocked is: its author may go on in it.
        original: letter.original.clone().filter(|_| decision.is_taken()),
        subject: if body.is_some() { letter.subject.clone() } else { String::new() },
        automatic: letter.automatic,
        needs_response: relayed && letter.author == Role::Buyer && !letter.automatic,
        fate: if relayed { "queued" } else { "none" },
        facts,
        sent_by: letter.sent_by.clone(),
    }
}

/// One reply for all recipients: positive if one of them is accepted; the others are told by a notice.
fn reply(judged: &Judged, written: &Written) -> Reply {
    let taken = || judged.took_more().then(|| Reply::new(250, 0, 0, "Ok"));
    let replies: Vec<Reply> = written.decisions.iter().zip(&written.ids).map(|(d, id)| d.reply(*id)).collect();
    let accepted = replies.iter().find(|reply| reply.is_positive());
    // If all are refused, one that may pass later wins: the sender's server tries again, and hears the rest then.
    let later = || replies.iter().find(|reply| reply.code() < 500);
    accepted
        .cloned()
        .or_else(taken)
        .or_else(|| later().or(replies.first()).cloned())
        .unwrap_or_else(|| judged.otherwise.clone())
}
