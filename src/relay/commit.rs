//! One transaction for all that a message leads to; then the reply.

use super::Relay;
use super::judge::{Judged, Letter};
use crate::metrics::Decision as Label;
use crate::outbound::{Addresses, Begun};
use crate::policy::quota::Day;
use crate::policy::{Decision, Reason, Verdict};
use crate::store::queue::{Item, Kind, NewItem, Recipient};
use crate::store::{Change, NewMessage, Result, StoreError};
use crate::types::{Reply, Role, Time};
use bytes::Bytes;
use std::sync::Arc;

/// What the transaction came to.
struct Written {
    decisions: Vec<Decision>,
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

impl Relay {
    /// Writes everything, hands what goes out to the queue, and answers.
    pub(super) async fn commit(self: &Arc<Self>, mut judged: Judged) -> Reply {
        let over = self.note_refusals(&mut judged);
        let reply = self.settle(judged).await;
        if over { reply.closing() } else { reply }
    }

    async fn settle(self: &Arc<Self>, judged: Judged) -> Reply {
        if !judged.letters.iter().any(|letter| letter.kept) && !judged.took_more() {
            // Nothing is written: refusals that are summed, or nobody to decide about.
            let decisions: Vec<Decision> = judged.letters.iter().map(|letter| letter.decision.clone()).collect();
            self.tell_decisions(&judged, &decisions);
            return reply(&judged, &decisions);
        }
        let judged = Arc::new(judged);
        let (relay, work) = (Arc::clone(self), Arc::clone(&judged));
        let written = match self.store.write(move |change| relay.write_all(change, &work)).await {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, "cannot keep a message");
                return error.reply();
            }
        };
        if let Some(outbound) = self.outbound.get() {
            for Leased { item, bytes, addresses, begun } in written.leased {
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
        self.tell_decisions(&judged, &written.decisions);
        reply(&judged, &written.decisions)
    }

    /// To metrics and log. What is summed is logged as a sum.
    fn tell_decisions(&self, judged: &Judged, decisions: &[Decision]) {
        for (letter, decision) in judged.letters.iter().zip(decisions) {
            let (verdict, reason) = (decision.verdict.as_str(), decision.reason.as_str());
            self.metrics.decisions.get_or_create(&Label { verdict, reason }).inc();
            let (id, author, size) = (letter.id, letter.author.as_str(), judged.raw.len());
            if letter.kept {
                tracing::info!(%id, %author, verdict, reason, size, place = letter.place, "decided");
            }
        }
    }

    fn write_all(&self, change: &Change<'_>, judged: &Judged) -> Result<Written> {
        let mut written = Written { decisions: Vec::new(), leased: Vec::new(), waits: false };
        let mut body = None;
        for letter in &judged.letters {
            let decision = self.counted(change, letter, judged.at)?;
            // A stranger's mail is not kept, and what is deferred for DNS trouble is a stranger's: anybody could fill the disk with it. What a party wrote is.
            let keep =
                letter.known && (decision.verdict != Verdict::Reject || matches!(decision.reason, Reason::Unclean));
            let kept = match (keep, body) {
                (false, _) => None,
                (true, Some(body)) => Some(body),
                (true, None) => {
                    body = Some(change.insert_body(&judged.body)?);
                    body
                }
            };
            if letter.kept {
                change.insert_message(&row(letter, &decision, judged, kept))?;
            }
            if decision.verdict == Verdict::Relay {
                self.queue_letter(change, letter, judged.at, &mut written)?;
            }
            if decision.answer {
                self.opt_out_reply(change, letter, judged.at)?;
                written.waits = true;
            }
            written.decisions.push(decision);
        }
        written.waits |= self.partial_notice(change, judged, &written.decisions)?;
        for report in &judged.reports {
            written.waits |= self.take_report(change, report, judged.at)?;
        }
        for act in &judged.acts {
            written.waits |= self.take_act(change, act, judged.at)?;
        }
        for party in &judged.quiet {
            change.set_quiet(*party, true)?;
        }
        if judged.forward {
            self.forward(change, judged)?;
            written.waits = true;
        }
        // What is left is the commit, with what shares it: the servers answer while the disk flushes.
        for leased in &mut written.leased {
            leased.begun = self.outbound.get().and_then(|outbound| outbound.begin(&leased.bytes, &leased.addresses));
        }
        Ok(written)
    }

    /// The decision, with what is counted looked at again in this transaction, so that parallel sessions cannot overrun it.
    fn counted(&self, change: &Change<'_>, letter: &Letter, now: Time) -> Result<Decision> {
        let mut decision = letter.decision.clone();
        let starts = || Day::at(now, &letter.shop.zone).starts;
        if letter.automatic
            && decision.verdict == Verdict::Relay
            && change.automatic_since(letter.pair.id, letter.author, starts())?
        {
            decision = Decision { verdict: Verdict::Block, reason: Reason::AutomaticRepeated, answer: false };
        }
        decision.answer = decision.answer && !change.event_since(letter.thread, "opt-out-reply", starts())?;
        if letter.author != Role::Seller || !decision.counts() {
            return Ok(decision);
        }
        // The limit is as it was a moment ago: what is counted here is what parallel sessions could overrun.
        let Some(quota) = &letter.quota else { return Ok(decision) };
        if change.quota_used(letter.pair.seller.id, starts())? >= quota.limit {
            let verdict = match self.config.policy.quota.over {
                crate::config::OverQuota::Reject => Verdict::Reject,
                crate::config::OverQuota::Defer => Verdict::Defer,
            };
            let reason = Reason::OverQuota { limit: quota.limit, opens: quota.opens.clone() };
            return Ok(Decision { verdict, reason, answer: false });
        }
        change.count_quota(letter.pair.seller.id, starts())?;
        Ok(decision)
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
            change.answered(letter.pair.id, now)?;
        }
        Ok(())
    }

    /// Mail to postmaster and abuse goes to the operator as it came.
    fn forward(&self, change: &Change<'_>, judged: &Judged) -> Result<()> {
        let Some(operator) = &self.operator else { return Ok(()) };
        let id = self.next_id(judged.at);
        let body = change.insert_body(&judged.body)?;
        change.insert_message(&NewMessage {
            id,
            pair: None,
            author: Role::Buyer,
            body: Some(body),
            shared: false,
            received: judged.at,
            size: judged.raw.len(),
            verdict: "relay",
            reason: "operator",
            thread: id,
            original: None,
            subject: String::new(),
            automatic: false,
            needs_response: false,
            fate: "queued",
            facts: String::new(),
        })?;
        let recipient = Recipient::Address(operator.clone());
        let domain = operator.domain().to_owned();
        let new = NewItem { message: id, kind: Kind::Forward, recipient, domain, notice: None };
        change.enqueue(&new, judged.at, false)?;
        Ok(())
    }
}

fn row(letter: &Letter, decision: &Decision, judged: &Judged, body: Option<i64>) -> NewMessage {
    let relayed = decision.verdict == Verdict::Relay;
    let mut facts = letter.facts.clone();
    if *decision != letter.decision {
        // Another session was quicker: the transaction had the last word.
        facts.push_str(" rule=quota");
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
        original: letter.original.clone().filter(|_| matches!(decision.verdict, Verdict::Relay | Verdict::Block)),
        subject: if body.is_some() { letter.subject.clone() } else { String::new() },
        automatic: letter.automatic,
        needs_response: relayed && letter.author == Role::Buyer && !letter.automatic,
        fate: if relayed { "queued" } else { "none" },
        facts,
    }
}

/// One reply for all recipients: positive if one of them is accepted; the others are told by a notice.
fn reply(judged: &Judged, decisions: &[Decision]) -> Reply {
    let taken = || judged.took_more().then(|| Reply::new(250, 0, 0, "Ok"));
    let replies: Vec<Reply> = judged.letters.iter().zip(decisions).map(|(l, d)| d.reply(l.id)).collect();
    let accepted = replies.iter().find(|reply| reply.is_positive());
    // If all are refused, one that may pass later wins: the sender's server tries again, and hears the rest then.
    let later = || replies.iter().find(|reply| reply.code() < 500);
    accepted
        .cloned()
        .or_else(taken)
        .or_else(|| later().or(replies.first()).cloned())
        .unwrap_or_else(|| judged.otherwise.clone())
}
