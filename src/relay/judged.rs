//! A message, judged for each of its recipients: what the walk knows of it between verdict and
//! commit.

use super::act::Act;
use super::bounce::Report;
use super::compose::Ids;
use super::operator::Forward;
use super::refusals::{Place, Refusal};
use super::repeats::Past;
use super::{Arrived, Shop};
use crate::message::work::End;
use crate::message::{Inspection, Malformed};
use crate::policy::failure::Why;
use crate::policy::quota::Use;
use crate::policy::turns::{self, Turn};
use crate::policy::{AUTOMATIC, Answer, Decision, Reason, Verdict};
use crate::store::{Body, Pair, StoreError};
use crate::types::{Address, MessageId, PartyId, Reply, Role, Time};
use bytes::Bytes;
use std::sync::Arc;

/// A message, judged for each of its recipients.
pub(super) struct Judged {
    pub(super) raw: Bytes,
    pub(super) at: Time,
    /// What came before was looked up.
    pub(super) looked_back: bool,
    pub(super) body: Body,
    pub(super) letters: Vec<Letter>,
    pub(super) reports: Vec<Report>,
    pub(super) acts: Vec<Act>,
    /// Parties that want to hear nothing of refused mail.
    pub(super) quiet: Vec<PartyId>,
    /// For the operator.
    pub(super) forward: Option<Forward>,
    /// Of what proved its author: see
    /// [`Authentication::signatures`](crate::authentication::Authentication).
    pub(super) signatures: Vec<[u8; 32]>,
    /// The reply where no recipient is left to decide about.
    pub(super) otherwise: Reply,
    /// Why it was not looked through to its end.
    pub(super) ended: Option<End>,
    /// Where it comes from, as refusals are counted.
    pub(super) place: Place,
    /// What strangers wanted of addresses that act.
    pub(super) refused: Vec<Refusal>,
}

impl Judged {
    /// Whether it is taken for more than letters: the operator, reports, addresses that act.
    pub(super) fn took_more(&self) -> bool {
        self.forward.is_some() || !self.reports.is_empty() || !self.acts.is_empty() || !self.quiet.is_empty()
    }

    /// Nothing is done, and the sender tries again.
    pub(super) fn trouble(self, error: &StoreError, logs: bool) -> Self {
        if logs {
            tracing::error!(%error, "cannot gather the facts of a message");
        }
        self.refused(error.reply())
    }

    /// Nothing is done, and the sender hears why.
    pub(super) fn refused(mut self, reply: Reply) -> Self {
        self.otherwise = reply;
        self.letters.clear();
        self.reports.clear();
        self.acts.clear();
        self.quiet.clear();
        self.forward = None;
        self.refused.clear();
        self
    }

    /// It costs more than one message may: nothing of it is done. Recipients that it could not have
    /// reached anyhow hear what they would have heard.
    pub(super) fn too_costly(mut self) -> Self {
        let decision = Decision::reject(Reason::TooCostly);
        for letter in &mut self.letters {
            if letter.rule.is_none() || letter.decision.verdict == Verdict::Relay {
                letter.decision = decision.clone();
            }
            letter.outgoing = None;
        }
        self.reports.clear();
        self.acts.clear();
        self.quiet.clear();
        self.forward = None;
        self.otherwise = decision.reply(MessageId(0));
        self
    }

    /// Where DNS trouble keeps the author from being proved, and no letter is taken, the rest
    /// waits, too: the whole message comes again. Taken in part, its letters would be lost without
    /// a word, as nobody unproved is told of anything.
    pub(super) fn wait_for_dns(mut self) -> Self {
        let waits = self.letters.iter().any(|letter| letter.decision.reason == Reason::DnsTrouble);
        if waits && !self.letters.iter().any(|letter| letter.decision.is_taken()) {
            self.reports.clear();
            self.acts.clear();
            self.quiet.clear();
            self.forward = None;
        }
        self
    }
}

/// What one recipient's message came to.
pub(super) struct Letter {
    pub(super) id: MessageId,
    pub(super) shop: Arc<Shop>,
    pub(super) pair: Pair,
    pub(super) author: Role,
    pub(super) decision: Decision,
    pub(super) thread: MessageId,
    pub(super) original: Option<String>,
    /// The address that it was written from, if it is one of the author's.
    pub(super) writer: Option<Address>,
    /// Who sent it, where it names its author and nothing proves that he did. For the operator's
    /// eyes: never for the log, a reply, or a party.
    pub(super) sent_by: Option<Address>,
    /// The author is the party, as far as can be known: see [`is_known`].
    pub(super) known: bool,
    /// He is proved, and not only let in without proof: he may be written to.
    pub(super) proved: bool,
    /// Nothing in it asks not to be answered by machine, and its envelope sender is somebody.
    pub(super) answerable: bool,
    /// The name of the attachment that it was refused for.
    pub(super) file: String,
    /// It has a row in the history; a stranger's may be part of a sum instead.
    pub(super) kept: bool,
    pub(super) subject: String,
    /// A machine's answer.
    pub(super) automatic: bool,
    /// What went between the two sides within the hour: see
    /// [`View::turns`](crate::store::View::turns).
    pub(super) turns: Vec<Turn>,
    /// Where the guard found an address.
    pub(super) place: Option<&'static str>,
    /// The first part of it that is a file and shows the author's own address.
    pub(super) shows_address: Option<String>,
    /// What it was judged by, in words for the history: see [`Facts::words`].
    pub(super) facts: String,
    /// The rule that decided; none where the message could not be read so far.
    pub(super) rule: Option<&'static str>,
    /// What it answers, as the receiver knows it, if it is relayed.
    pub(super) ids: Ids,
    /// What every rule says, for `policy explain`; empty for a message that is really sent.
    pub(super) answers: Vec<Answer>,
    /// How much a seller may send, and has sent when the facts were gathered.
    pub(super) quota: Option<Use>,
    /// What is decided if the seller's critical messages turn out to be used up.
    pub(super) uncritical: Option<Decision>,
    /// Whether it has been here before.
    pub(super) past: Past,
    /// What goes out, if it is relayed and there is room for it in memory.
    pub(super) outgoing: Option<Bytes>,
}

impl Letter {
    /// A letter of which only this is known: refused, until something better is decided.
    pub(super) fn new(id: MessageId, shop: &Arc<Shop>, pair: Pair, author: Role) -> Self {
        Self {
            id,
            shop: Arc::clone(shop),
            pair,
            author,
            decision: Decision::reject(Reason::Malformed),
            thread: id,
            original: None,
            writer: None,
            sent_by: None,
            known: false,
            proved: false,
            answerable: false,
            file: String::new(),
            kept: true,
            subject: String::new(),
            automatic: false,
            turns: Vec::new(),
            place: None,
            shows_address: None,
            facts: String::new(),
            rule: None,
            ids: Ids::default(),
            answers: Vec::new(),
            quota: None,
            uncritical: None,
            past: Past::default(),
            outgoing: None,
        }
    }

    /// The first copy stays in memory, and of the others what has room beside it: fifty of a large
    /// message would take more than all other mail together. What is let go is made again from the
    /// store when its turn comes.
    pub(super) fn held_within(mut self, room: usize, held: &mut usize) -> Self {
        let size = self.outgoing.as_ref().map_or(0, Bytes::len);
        if *held > 0 && held.saturating_add(size) > room {
            self.outgoing = None;
        } else {
            *held += size;
        }
        self
    }

    /// Whether mail to the envelope sender of a message of ours is no answer to it, but something
    /// for the walk of that message. Vacation programs answer there (RFC 3834 4), and what the
    /// receiver writes, proved, is a letter like any other. Beside that the shape decides, never
    /// the name in `From`: what a machine wrote and nothing proves is taken down as a report, and
    /// what a person wrote is refused as from a stranger. The honest: a receiver whose vacation
    /// mail proves nothing is not heard, and his server gets no error for it. The liar: 250, or the
    /// one refusal, whomever he names.
    pub(super) fn is_a_machines(&self, arrived: &Arrived, inspection: &Result<Inspection, Malformed>) -> bool {
        let automatic = inspection.as_ref().is_ok_and(|found| found.automatic.is_some());
        let waits = self.decision.reason == Reason::DnsTrouble;
        (arrived.envelope.sender.is_none() || automatic) && !self.known && !waits
    }

    /// Its place among those that went to and fro.
    pub(super) fn turn(&self, size: usize) -> Turn {
        Turn { id: self.id, author: self.author, thread: self.thread, size }
    }

    /// It goes to nobody: machines answer one another. Says which rule that is.
    pub(super) fn stop_going_round(&mut self) -> &'static str {
        self.decision = turns::one_too_many();
        for answer in self.answers.iter_mut().filter(|answer| answer.rule == AUTOMATIC) {
            answer.decision = Some(self.decision.clone());
        }
        AUTOMATIC
    }

    /// Finds the attachment that the last word is about, by its part: the file itself, or the one
    /// that it is packed in.
    pub(super) fn name_file(&mut self, inspection: &Inspection) {
        let part = Why::of(&self.decision.reason).part;
        let holds = |path: &str| part.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let around = inspection.leaves.iter().filter(|leaf| leaf.name.is_some() && holds(&leaf.path));
        let nearest = around.max_by_key(|leaf| leaf.path.len());
        self.file = nearest.and_then(|leaf| leaf.name.clone()).unwrap_or_default();
    }

    /// Completes the facts with what the checks of the author found, and who had the last word.
    pub(super) fn conclude(&mut self, rule: &str, arrived: &Arrived) {
        if let Some(proof) = arrived.proof_words() {
            self.facts.push_str(&format!(" {proof}"));
        }
        if let Some(place) = self.place {
            self.facts.push_str(&format!(" guard={place}"));
        }
        self.facts.push_str(&format!(" rule={rule}"));
    }
}

/// What a recipient came to.
pub(super) enum Gathered {
    Letter(Box<Letter>),
    Report(MessageId),
    Act(Box<Act>),
    Quiet(PartyId),
    Operator,
    /// With what a stranger wanted, if it was one.
    Refused(Reply, Option<Refusal>),
    Nobody,
}
