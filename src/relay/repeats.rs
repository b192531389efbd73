//! The same message counts once: what came before is looked up when a message is judged, compared
//! where it may be the same, and looked up again in the transaction, as another session may have
//! been quicker.
//!
//! Almost always nothing came before. So the first round leaves the look to the transaction, which
//! has what it needs in memory; where that finds something, the message is judged anew with a look
//! before. The same goes for who took turns (`turns`). Which messages look back at once: see
//! [`Arrived::new`].
//!
//! The comparison reads the earlier message from the store, so that nothing is hashed or kept for
//! ordinary mail, and it does so outside of snapshot and transaction. Strangers get no look: it is
//! taken once the author is proved.

use super::judged::{Judged, Letter};
use super::{Arrived, Relay};
use crate::message::{Inspection, same, work};
use crate::policy::turns::may_go_round;
use crate::policy::{Decision, REPEATED_DAYS, Verdict};
use crate::store::{Before, Change, Earlier, Result, StoreError, View};
use crate::types::{MessageId, PairId, Role, Time};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is known of whether a letter has been here before.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What the store knew when it was judged, nothing in a first round; none where the author is
    /// not proved.
    pub(super) known: Option<Before>,
    /// The same message by its signature.
    signed: Option<Earlier>,
    /// Messages to compare with.
    namesakes: Vec<Earlier>,
    /// The same message, which was relayed, or came to what this one comes to. Nothing new is
    /// written.
    pub(super) first: Option<Earlier>,
}

fn days(now: Time, days: u64) -> Time {
    now.minus(Duration::from_secs(days * 86_400))
}

impl Letter {
    /// Decides about a letter that has been here before. One that was relayed is not relayed again,
    /// whatever the rules say by now. One that was not is judged anew; where that comes to the same
    /// again, nothing more is written, counted or answered: who holds a signed copy could fill the
    /// store, use up the quota or have the author told a thousand times.
    pub(super) fn came_before(&mut self, earlier: Earlier) {
        if earlier.relayed() {
            self.decision = Decision::repeated();
        } else if self.decision.verdict == Verdict::Relay
            || (self.decision.verdict.as_str(), self.decision.reason.as_str()) != (&earlier.verdict, &earlier.reason)
        {
            return;
        }
        self.decision.answer = false;
        self.past.first = Some(earlier);
    }

    fn writer_side(&self) -> (PairId, Role) {
        (self.pair.id, self.author)
    }
}

impl Relay {
    /// What may be the same message, of a letter whose author is proved.
    pub(super) fn look_back(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &Inspection,
        letter: &mut Letter,
    ) -> Result<()> {
        if !arrived.looks_back.load(Ordering::Relaxed) {
            letter.past.known = Some(Before::default());
            return Ok(());
        }
        let side = letter.writer_side();
        let (original, now) = (letter.original.as_deref(), arrived.at);
        let signatures = &arrived.authentication.signatures;
        let before = view.before(side, original, signatures)?;
        if let (Some(named), Some(original), None) = (before.named, original, before.signed) {
            let names = (original, inspection.subject.as_str());
            // Whatever encoded it for transport did not make it four times as large: a small
            // message has no large one read.
            let most = arrived.raw.len().saturating_mul(4).saturating_add(self.config.limits.header_size.octets());
            letter.past.namesakes = view.namesakes(side, named, names, most, days(now, REPEATED_DAYS))?;
        }
        if let Some(signed) = before.signed {
            letter.past.signed = view.earlier(signed)?;
        }
        letter.past.known = Some(before);
        Ok(())
    }

    /// The same message, if it has been here before: by a signature, or by comparing.
    pub(super) fn recognized(&self, arrived: &Arrived, letter: &mut Letter) -> Result<Option<Earlier>> {
        if let Some(signed) = letter.past.signed.take() {
            return Ok(Some(signed));
        }
        for earlier in std::mem::take(&mut letter.past.namesakes) {
            let raw = match self.store.read(|view| view.raw(earlier.id)) {
                // It cannot be compared with, and holds nobody up.
                Err(StoreError::Corrupt(_)) => None,
                raw => raw?,
            };
            let parts = raw.and_then(|raw| same::parts(&raw, &self.config.limits));
            if parts.is_some() && parts == self.parts_of(arrived) {
                return Ok(Some(earlier));
            }
        }
        Ok(None)
    }

    /// What the parts of a message say, read once. What a judgement reads that has come to its end
    /// is half of it, and is not kept for the next one.
    fn parts_of(&self, arrived: &Arrived) -> Option<Vec<[u8; 32]>> {
        if let Some(known) = arrived.parts.get() {
            return known.clone();
        }
        let found = same::parts(&arrived.raw, &self.config.limits);
        if !work::is_over() {
            // Another thread reads the same.
            let _ = arrived.parts.set(found.clone());
        }
        found
    }

    /// Whether a message has to be judged anew: something came before it that was not looked at, or
    /// another session has brought since what may be the same, or the one that it repeats turned
    /// out not to have arrived.
    pub(super) fn is_outdated(&self, change: &Change<'_>, judged: &Judged) -> Result<bool> {
        for letter in &judged.letters {
            let Some(known) = letter.past.known else { continue };
            let original = letter.original.as_deref();
            let now = change.before(letter.writer_side(), original, &judged.signatures)?;
            let first = letter.past.first.as_ref();
            let still = first.map(|first| change.earlier(first.id)).transpose()?.flatten();
            if now != known || still.as_ref() != first {
                return Ok(true);
            }
        }
        if judged.looked_back {
            return Ok(false);
        }
        for letter in judged.letters.iter().filter(|letter| letter.decision.verdict == Verdict::Relay) {
            let turns = change.turns(letter.pair.id, letter.author, judged.at)?;
            if may_go_round(&letter.turn(judged.raw.len()), &turns) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The message that a letter repeats, and what is decided: one from before, or the same in this
    /// transaction, to the same party by another of its addresses here.
    pub(super) fn repeated(
        letter: &Letter,
        before: &[Letter],
        decisions: &[Decision],
    ) -> Option<(MessageId, Decision)> {
        if let Some(first) = &letter.past.first {
            return Some((first.id, letter.decision.clone()));
        }
        letter.past.known?;
        let same = |other: &Letter| other.writer_side() == letter.writer_side();
        let mut pairs = before.iter().zip(decisions);
        let beside = pairs.find(|(other, decision)| decision.verdict == Verdict::Relay && same(other));
        beside.map(|(other, _)| (other.id, Decision::repeated()))
    }
}
