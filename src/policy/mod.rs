//! Floor 2: the marketplace's rules. Facts in, a verdict with its reason out.
//!
//! Owns: the facts that a decision needs ([`Facts`]), the order of the rules ([`decide`]), the words in which verdicts and
//! reasons are told in history, metrics, log and SMTP reply ([`reason`]). Each rule is a small pure function in its own file.
//! Not here, deliberately: the store, DNS, the clock, and reading messages. `relay` gathers the facts once for each recipient.

pub mod author;
pub mod automatic;
pub mod content;
mod facts;
pub mod failure;
pub mod opt_out;
pub mod quota;
pub mod reason;
pub mod reminder;
pub mod response;
pub mod retry;
#[cfg(test)]
mod tests;
pub mod turns;
mod wrapping;

pub use failure::FailureClass;
pub use reason::{Reason, Verdict};

use crate::config;
use crate::types::{Address, MessageId, Reply, Role};

/// The header field that every message of the relay carries: one that comes back with it is a loop.
pub const LOOP_MARK: &str = "X-Marketrelay-Loop";

/// All that a decision about one message to one recipient needs.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The marketplace's settings.
    pub rules: &'a config::Policy,
    /// The side of the pair that must have written this: the one whose alias this is *not*.
    pub author_role: Role,
    /// Signs of a loop.
    pub hops: Hops,
    /// Who the `From` field says wrote it.
    pub author: author::Author,
    /// Whether that is proved.
    pub proof: author::Proof,
    /// Whether somebody else sent it, and is none of the party's registered addresses either: see
    /// [`author::Senders::somebody_else`].
    pub other_mailbox: bool,
    /// By what that shows; also where it is a colleague of the author, who passes.
    pub another: Option<author::Sign>,
    /// Whom that names, where it is refused. For the operator: [`words`](Self::words) leave it out.
    pub named: Option<Address>,
    /// Why a DKIM signature of the author's domain that passed proves nothing to this recipient, if
    /// one does not.
    pub signature: Option<&'static str>,
    /// A trusted front hands on no client address: SPF was asked about the front itself.
    pub unnamed_client: bool,
    /// The author's party may write although nothing proves it (`seller set --unauthenticated allow`).
    pub unauthenticated_allowed: bool,
    /// The author's party is suspended.
    pub author_suspended: bool,
    /// Either party was removed since the recipient was accepted.
    pub gone: bool,
    /// What the message holds.
    pub content: content::Content<'a>,
    /// What its marks say of who wrote it, if anything: see [`automatic::classify`].
    pub automatic: Option<automatic::Automatic>,
    /// Answers of machines that went from this side of this pair to the other. Counted where the
    /// message is one more.
    pub answers: automatic::Answers,
    /// What the seller has sent today. `None` for buyers.
    pub quota: Option<quota::Use>,
    /// The receiving buyer wants no unsolicited messages. Always false for sellers.
    pub opted_out: bool,
    /// The thread that this message answers, if it does.
    pub thread: Option<opt_out::Thread>,
    /// Whether the subject holds a critical tag: see [`opt_out::CriticalTags`].
    pub critical: bool,
    /// What the seller has sent today by declaring it critical. Only where that would let this
    /// message through.
    pub critical_use: Option<quota::Use>,
    /// Whether an opt-out auto-reply may be sent to the author.
    pub auto_reply: opt_out::MayAnswer,
}

/// Signs of a loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// The relay's own mark is in the message: it has been here before.
    pub own_mark: bool,
    /// `Received` fields.
    pub received: usize,
    /// `[limits] hops`: more than this is a loop.
    pub limit: usize,
}

/// A verdict, its reason, and whether the author is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the message.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The opt-out auto-reply is to be written (verdict block, and nothing speaks against it).
    pub answer: bool,
}

impl Decision {
    fn new(verdict: Verdict, reason: Reason) -> Self {
        Self { verdict, reason, answer: false }
    }

    /// A refusal that the relay comes to by itself, outside the rules: a message that is malformed or could not be made
    /// anonymous.
    #[must_use]
    pub fn reject(reason: Reason) -> Self {
        Self::new(Verdict::Reject, reason)
    }

    /// The very message was relayed before: it is taken again, and goes to nobody.
    ///
    /// Whom it hits: who writes the same words twice, where his program gives both the same
    /// Message-ID, or his server both the same signature. Programs do not, but for servers that
    /// send again what they believe undelivered: those it is for. What it tells a liar: that a
    /// message that he holds a signed copy of went out, and its id in the history, which opens
    /// nothing.
    #[must_use]
    pub fn repeated() -> Self {
        Self::new(Verdict::Block, Reason::Repeated)
    }

    /// Whether the message is taken: it goes on, or stops here behind a 250.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.verdict, Verdict::Relay | Verdict::Block)
    }

    /// Whether it uses up one message of the seller's quota: everything that passed that rule.
    #[must_use]
    pub fn counts(&self) -> bool {
        let opted_out = || matches!(self.reason, Reason::OptedOut | Reason::OverCritical { .. });
        self.verdict == Verdict::Relay || (self.verdict == Verdict::Block && opted_out())
    }

    /// The reply to the sending server, as in the table "SMTP replies" of the specification.
    #[must_use]
    pub fn reply(&self, id: MessageId) -> Reply {
        self.reason.reply(self.verdict, id)
    }
}

/// What one rule says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The rule, by its name in the history.
    pub rule: &'static str,
    /// What it decides; `None`: nothing speaks against the message here.
    pub decision: Option<Decision>,
}

/// A rule: its name, and the question.
type Rule = (&'static str, fn(&Facts<'_>) -> Option<Decision>);

/// The name of the rule about machines.
pub const AUTOMATIC: &str = "automatic";
/// The name of the rule about how much a seller may send.
pub const QUOTA: &str = "quota";
/// The name of the last rule, which also says why it lets through.
pub const OPT_OUT: &str = "opt-out";

/// The rules in the specification's order. Each answers only with what it refuses.
const RULES: [Rule; 5] = [
    ("loop", loops),
    ("author", author::rule),
    ("content", content::rule),
    (AUTOMATIC, automatic::rule),
    (QUOTA, quota::rule),
];

/// The name in the history of what is asked once the author is proved: whether this very message
/// was relayed before. Not among the rules, since the answer takes a look at the earlier message;
/// it has the last word over all rules behind the author's.
pub const REPEATED: &str = "repeated";

/// For so long a Message-ID is known again. A signature is known as long as its message is kept:
/// one that tells no age proves its author for ever.
pub const REPEATED_DAYS: u64 = 8;

/// Names of all rules, in order.
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name).chain([OPT_OUT])
}

/// What every rule says, in order: the first that decides is the verdict; the others are told for whoever asks why.
#[must_use]
pub fn every_answer(facts: &Facts<'_>) -> Vec<Answer> {
    let ask = |(rule, ask): &Rule| Answer { rule, decision: ask(facts) };
    let last = || Answer { rule: OPT_OUT, decision: Some(opt_out::rule(facts)) };
    RULES.iter().map(ask).chain(std::iter::once_with(last)).collect()
}

/// The verdict on one message to one recipient: the first rule that applies.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    decide_by(facts).1
}

/// The verdict, and the name of the rule that gave it.
#[must_use]
pub fn decide_by(facts: &Facts<'_>) -> (&'static str, Decision) {
    let first = RULES.iter().find_map(|(name, rule)| rule(facts).map(|decision| (*name, decision)));
    first.unwrap_or_else(|| (OPT_OUT, opt_out::rule(facts)))
}

/// What speaks against an author who writes to an address that acts: a loop, or that it is not the party it was made for, proved.
#[must_use]
pub fn may_act(facts: &Facts<'_>) -> Option<Decision> {
    loops(facts).or_else(|| author::rule(facts))
}

/// Rule 1: the relay's own mark, or too many `Received`.
fn loops(facts: &Facts<'_>) -> Option<Decision> {
    let hops = facts.hops;
    (hops.own_mark || hops.received > hops.limit).then(|| Decision::reject(Reason::Loop))
}
