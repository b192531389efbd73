//! Facts and verdicts: each recipient's facts are gathered once, into one plain struct, and the policy decides.

use super::act::Act;
use super::bounce::Report;
use super::compose::Ids;
use super::operator::Forward;
use super::refusals::{Place, Refusal};
use super::repeats::Past;
use super::target::{NoTarget, Target};
use super::{Arrived, Relay, Shop};
use crate::authentication::Weakness;
use crate::config::AuthenticationMode;
use crate::message::author::AuthorFault;
use crate::message::work::{self, Allowance, End};
use crate::message::{Inspection, Malformed, Shared, inspect};
use crate::policy::author::{Author, Senders, Sign, is_known};
use crate::policy::automatic::Automatic;
use crate::policy::content::{Content, Part};
use crate::policy::opt_out::{MayAnswer, Thread, critical_limit, is_critical, without_critical};
use crate::policy::quota::{Day, Use, limit, window_start};
use crate::policy::{Answer, Decision, Facts, Hops, REPEATED, Reason, Verdict, decide_by, every_answer, may_act};
use crate::store::{Body, Pair, Party, StoreError, View};
use crate::types::{Address, MessageId, PartyId, Reply, Role, Time};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A message, judged for each of its recipients.
pub(super) struct Judged {
    pub(super) raw: Bytes,
    pub(super) at: Time,
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
    fn trouble(self, error: &StoreError, logs: bool) -> Self {
        if logs {
            tracing::error!(%error, "cannot gather the facts of a message");
        }
        self.refused(error.reply())
    }

    /// Nothing is done, and the sender hears why.
    fn refused(mut self, reply: Reply) -> Self {
        self.otherwise = reply;
        self.letters.clear();
        self.reports.clear();
        self.acts.clear();
        self.quiet.clear();
        self.forward = None;
        self.refused.clear();
        self
    }

    /// It costs more than one message may: nothing of it is done. Recipients that it could not have reached anyhow hear what they would have heard.
    fn too_costly(mut self) -> Self {
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

    /// Where DNS trouble keeps the author from being proved, and no letter is taken, the rest waits, too:
    /// the whole message comes again. Taken in part, its letters would be lost without a word, as nobody
    /// unproved is told of anything.
    fn wait_for_dns(mut self) -> Self {
        let taken = |letter: &Letter| matches!(letter.decision.verdict, Verdict::Relay | Verdict::Block);
        let waits = self.letters.iter().any(|letter| letter.decision.reason == Reason::DnsTrouble);
        if waits && !self.letters.iter().any(taken) {
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
    /// The author is the party, as far as can be known: see [`is_known`].
    pub(super) known: bool,
    /// It has a row in the history; a stranger's may be part of a sum instead.
    pub(super) kept: bool,
    pub(super) subject: String,
    pub(super) automatic: bool,
    /// Where the guard found an address.
    pub(super) place: Option<&'static str>,
    /// What it was judged by, in words for the history: see [`Facts::words`].
    pub(super) facts: String,
    /// The rule that decided; none where the message could not be read so far.
    rule: Option<&'static str>,
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
            known: false,
            kept: true,
            subject: String::new(),
            automatic: false,
            place: None,
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

    /// The first copy stays in memory, and of the others what has room beside it: fifty of a large message would take more than all other mail
    /// together. What is let go is made again from the store when its turn comes.
    fn held_within(mut self, room: usize, held: &mut usize) -> Self {
        let size = self.outgoing.as_ref().map_or(0, Bytes::len);
        if *held > 0 && held.saturating_add(size) > room {
            self.outgoing = None;
        } else {
            *held += size;
        }
        self
    }

    /// Whether mail to the envelope sender of a message of ours is no answer to it, but something for the
    /// walk of that message. Vacation programs answer there (RFC 3834 4), and what the receiver writes,
    /// proved, is a letter like any other. Beside that the shape decides, never the name in `From`: what a
    /// machine wrote and nothing proves is taken down as a report, and what a person wrote is refused as
    /// from a stranger. The honest: a receiver whose vacation mail proves nothing is not heard, and his
    /// server gets no error for it. The liar: 250, or the one refusal, whomever he names.
    fn is_a_machines(&self, arrived: &Arrived, inspection: &Result<Inspection, Malformed>) -> bool {
        let automatic = inspection.as_ref().is_ok_and(|found| found.automatic.is_some());
        let waits = self.decision.reason == Reason::DnsTrouble;
        (arrived.envelope.sender.is_none() || automatic) && !self.known && !waits
    }

    /// Completes the facts with what the checks of the author found, and who had the last word.
    fn conclude(&mut self, rule: &str, arrived: &Arrived) {
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

/// The unit of `limits.message_work`.
pub(super) const MILLION: u64 = 1_000_000;
/// Documents may take so many times as much besides.
const DOCUMENTS: u64 = 3;
/// What stands for a rule where a message that the rules let pass could not be made anonymous.
pub(super) const ANONYMITY: &str = "anonymity";

/// Where a message goes: marketplace, pair, and the side that wrote it.
pub(super) type Way = (Arc<Shop>, Pair, Role);

impl Relay {
    /// Whether this is one of the addresses under which a party may write.
    pub(super) fn writes_as(&self, party: &Party, address: &Address) -> bool {
        party.addresses.iter().any(|known| self.providers.same_author(known, address))
    }

    /// What one message may cost at most, for all of its recipients. `stop` ends it before.
    pub(super) fn allowance(&self, stop: Arc<AtomicBool>) -> Allowance {
        let reading = self.config.limits.message_work.saturating_mul(MILLION);
        Allowance { reading, packing: reading.saturating_mul(DOCUMENTS), stop }
    }

    /// Decides about a message for each of its recipients, and writes what goes out, as far as the allowance goes. Reads the store, changes nothing.
    pub(super) fn judge(&self, arrived: &Arrived, allowance: &Allowance) -> Judged {
        let (judged, spent) = work::within(allowance, || self.judge_each(arrived));
        self.metrics.message_work.observe((spent.reading.saturating_add(spent.packing)) as f64 / MILLION as f64);
        let judged = if spent.end.is_some() { judged.too_costly() } else { judged };
        Judged { ended: spent.end, ..judged }
    }

    fn judge_each(&self, arrived: &Arrived) -> Judged {
        let Arrived { client, envelope, raw, at, .. } = arrived;
        let inspection = inspect(raw, envelope.sender.is_none(), &self.config.limits);
        let mut judged = Judged {
            raw: raw.clone(),
            at: *at,
            body: Body::pack(raw),
            letters: Vec::new(),
            reports: Vec::new(),
            acts: Vec::new(),
            quiet: Vec::new(),
            forward: None,
            signatures: arrived.authentication.signatures.clone(),
            otherwise: Reply::new(250, 0, 0, "Ok"),
            ended: None,
            place: self.place(arrived),
            refused: Vec::new(),
        };
        let (mut reported, mut operator) = (Vec::new(), false);
        let (room, mut held) = (self.config.queue.memory.octets(), 0);
        let mut shared = Shared::between(envelope.recipients.len());
        for recipient in &envelope.recipients {
            // One snapshot for all that has to be looked up; it is closed before anything is rewritten, which may take its time.
            let gathered = self.store.glance(|view| self.gather(view, arrived, &inspection, recipient));
            let letter = gathered.and_then(|gathered| match gathered {
                Gathered::Letter(letter) => self.finish(arrived, &inspection, *letter, &mut shared).map(Some),
                Gathered::Report(message) => {
                    reported.push((message, recipient));
                    Ok(None)
                }
                Gathered::Act(act) => {
                    judged.acts.push(*act);
                    Ok(None)
                }
                Gathered::Quiet(party) => {
                    judged.quiet.push(party);
                    Ok(None)
                }
                Gathered::Operator => {
                    operator = true;
                    Ok(None)
                }
                // It was there at RCPT. The others are not held up by it.
                Gathered::Refused(reply, refusal) => {
                    judged.otherwise = reply;
                    judged.refused.extend(refusal);
                    Ok(None)
                }
                Gathered::Nobody => Ok(None),
            });
            match letter {
                Ok(letter) => judged.letters.extend(letter.map(|letter| letter.held_within(room, &mut held))),
                Err(error) => return judged.trouble(&error, self.logs(None)),
            }
        }
        if !reported.is_empty() {
            // Once for all that it is addressed to, and not while the store writes.
            match self.store.glance(|view| self.read_reports(view, arrived, &inspection, &reported)) {
                Ok(reports) => judged.reports = reports,
                Err(error) => return judged.trouble(&error, self.logs(None)),
            }
        }
        if operator {
            match self.for_operator(arrived) {
                Ok(forward) => judged.forward = Some(forward),
                Err(reply) => return judged.refused(reply),
            }
        }
        tracing::debug!(recipients = envelope.recipients.len(), tls = client.tls, "judged");
        judged.wait_for_dns()
    }

    /// What the store knows of one recipient, with the rules' verdict where it is a party.
    fn gather(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &Result<Inspection, Malformed>,
        recipient: &Address,
    ) -> Result<Gathered, StoreError> {
        let (way, answers) = match self.target_in(view, recipient) {
            Ok(Target::Alias(shop, (pair, side))) => (Some((shop, pair, side.other())), None),
            // A delivery report, whoever sends it.
            Ok(Target::Bounce(message)) if inspection.as_ref().map_or(true, |found| found.report) => {
                return Ok(Gathered::Report(message));
            }
            Ok(Target::Bounce(message)) => (self.way_back(view, message)?, Some(message)),
            Ok(Target::Act(purpose, message)) => {
                return self.act(view, arrived, inspection, (purpose, message), recipient);
            }
            Ok(Target::Quiet(party)) => return Ok(Gathered::Quiet(party)),
            Ok(Target::Operator) => return Ok(Gathered::Operator),
            Err(NoTarget::Refused(reply)) => return Ok(Gathered::Refused(reply, None)),
            Err(NoTarget::Trouble(error)) => return Err(error),
        };
        let Some((shop, pair, author)) = way else { return Ok(Gathered::Nobody) };
        let mut letter = Letter::new(self.next_id(arrived.at), &shop, pair, author);
        self.decide(view, arrived, inspection, &mut letter, (recipient, answers))?;
        Ok(match answers {
            Some(message) if letter.is_a_machines(arrived, inspection) => Gathered::Report(message),
            _ => Gathered::Letter(Box::new(letter)),
        })
    }

    /// Writes what goes out of a letter that the rules let pass.
    fn finish(
        &self,
        arrived: &Arrived,
        inspection: &Result<Inspection, Malformed>,
        mut letter: Letter,
        shared: &mut Shared,
    ) -> Result<Letter, StoreError> {
        let (Ok(inspection), Some(mut rule)) = (inspection, letter.rule) else { return Ok(letter) };
        let earlier = self.recognized(arrived, &mut letter)?;
        if letter.decision.verdict == Verdict::Relay && earlier.as_ref().is_none_or(|earlier| !earlier.relayed()) {
            self.compose(arrived, inspection, &mut letter, shared)?;
            if letter.decision.verdict != Verdict::Relay {
                rule = ANONYMITY;
            }
        }
        if let Some(earlier) = earlier {
            letter.came_before(earlier);
            if letter.decision.reason == Reason::Repeated {
                rule = REPEATED;
            }
        }
        letter.conclude(rule, arrived);
        Ok(letter)
    }

    /// Marketplace and pair of a message, and who received it.
    pub(super) fn way_back(&self, view: &View<'_>, message: MessageId) -> Result<Option<Way>, StoreError> {
        let Some(entry) = view.thread_entry(message)? else { return Ok(None) };
        let Some(pair) = entry.pair.map(|pair| view.pair(pair)).transpose()? else { return Ok(None) };
        let shop = self.shop_of_marketplace(&pair.buyer.marketplace).cloned();
        Ok(shop.map(|shop| (shop, pair, entry.author.other())))
    }

    /// Gathers the facts of a letter and asks the rules. `answers`: the message whose envelope sender it was written to.
    fn decide(
        &self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &Result<Inspection, Malformed>,
        letter: &mut Letter,
        (recipient, answers): (&Address, Option<MessageId>),
    ) -> Result<(), StoreError> {
        let inspection = match inspection {
            Ok(inspection) => inspection,
            Err(fault) => {
                letter.decision = Decision::reject(fault.reason());
                return Ok(());
            }
        };
        letter.subject.clone_from(&inspection.subject);
        letter.original.clone_from(&inspection.message_id);
        let writer = inspection.author.as_ref().ok().map(|found| found.address.clone());
        letter.writer = writer.filter(|writer| self.writes_as(letter.pair.party(letter.author), writer));
        letter.automatic = inspection.automatic.is_some();
        if inspection.incomplete {
            return Ok(());
        }
        let parts: Vec<Part<'_>> = inspection
            .leaves
            .iter()
            .map(|leaf| Part {
                path: &leaf.path,
                name: leaf.name.as_deref(),
                content_type: &leaf.kind,
                sniffed: &leaf.sniffed,
                size: leaf.size,
                listed: &leaf.listed,
            })
            .collect();
        let continued = self.continued(view, letter, inspection, answers, arrived.at)?;
        if let Some(continued) = &continued {
            letter.thread = continued.first;
        }
        let known = continued.and_then(|c| c.known);
        let facts = self.facts(view, arrived, inspection, letter, &parts, (recipient, known))?;
        let (rule, decision) = decide_by(&facts);
        if arrived.explain {
            letter.answers = every_answer(&facts);
        }
        letter.known = is_known(&facts);
        letter.facts = facts.words();
        letter.quota.clone_from(&facts.quota);
        letter.uncritical = without_critical(&facts);
        if may_act(&facts).is_none() {
            self.look_back(view, arrived, inspection, letter)?;
        }
        (letter.rule, letter.decision) = (Some(rule), decision);
        if letter.decision.verdict == Verdict::Relay {
            letter.ids = self.ids(view, letter, inspection)?;
        }
        Ok(())
    }

    pub(super) fn facts<'a>(
        &'a self,
        view: &View<'_>,
        arrived: &Arrived,
        inspection: &'a Inspection,
        letter: &Letter,
        parts: &'a [Part<'a>],
        (recipient, thread): (&Address, Option<Thread>),
    ) -> Result<Facts<'a>, StoreError> {
        let (author, receiver) = (letter.pair.party(letter.author), letter.pair.party(letter.author.other()));
        let rules = &self.config.policy;
        let (who, another) = match &inspection.author {
            Ok(found) => {
                // Who logged in writes as himself, though another party may have the same address.
                let own = arrived.client.login.is_none_or(|login| login == author.id);
                let party = own && self.writes_as(author, &found.address);
                let who = if party { Author::Party } else { Author::Stranger };
                (who, self.somebody_else(arrived, inspection, &found.address, author, recipient))
            }
            Err(AuthorFault::Missing) => (Author::Missing, None),
            Err(AuthorFault::SeveralFields | AuthorFault::SeveralAddresses) => (Author::Several, None),
            Err(AuthorFault::Malformed) => (Author::Malformed, None),
        };
        let critical = is_critical(&inspection.subject, &rules.opt_out.critical_tags);
        let counted = critical && letter.author == Role::Seller && receiver.opted_out;
        let (quota, critical_use) = match letter.author {
            Role::Seller => self.quota(view, letter, arrived.at, counted)?,
            Role::Buyer => (None, None),
        };
        let automatic_today = inspection.automatic.is_some() && {
            let day = Day::at(arrived.at, &letter.shop.zone);
            view.automatic_since(letter.pair.id, letter.author, day.starts)?
        };
        Ok(Facts {
            rules,
            author_role: letter.author,
            hops: Hops { own_mark: inspection.own_mark, received: inspection.received, limit: self.config.limits.hops },
            author: who,
            proof: arrived.authentication.proof_to(recipient),
            other_mailbox: another.is_some_and(|(_, refused)| refused),
            another: another.map(|(sign, _)| sign),
            signature: arrived.authentication.weakness_to(recipient).map(Weakness::as_str),
            unnamed_client: self.config.authentication.mode == AuthenticationMode::Verify
                && self.is_hidden(&arrived.client),
            unauthenticated_allowed: author.unauthenticated,
            author_suspended: author.suspended,
            gone: author.removed || receiver.removed,
            content: Content { size: arrived.raw.len() as u64, parts, encrypted: inspection.encrypted.as_deref() },
            automatic: inspection.automatic,
            automatic_today,
            quota,
            opted_out: receiver.opted_out,
            thread,
            critical,
            critical_use,
            auto_reply: MayAnswer {
                wanted: author.auto_replies,
                null_sender: arrived.envelope.sender.is_none(),
                answered_today: letter.thread != letter.id && {
                    let day = Day::at(arrived.at, &letter.shop.zone);
                    view.event_since(letter.thread, "opt-out-reply", day.starts)?
                },
            },
        })
    }

    /// What shows that somebody else than the author sent this.
    fn somebody_else(
        &self,
        arrived: &Arrived,
        inspection: &Inspection,
        author: &Address,
        party: &Party,
        recipient: &Address,
    ) -> Option<(Sign, bool)> {
        let found = &arrived.authentication;
        let senders = Senders {
            author,
            registered: &party.addresses,
            by: found.by(recipient),
            envelope: found.mail_from.as_ref().or(arrived.envelope.sender.as_ref()),
            recipient,
            // By a mark of its own, not by its envelope sender: that is what is asked about.
            answer: inspection.automatic == Some(Automatic::Header),
            identities: &found.identities(),
            field: inspection.sender.as_ref().map(Option::as_ref),
        };
        senders.somebody_else(&self.providers)
    }

    /// What a seller has sent today; and what of it by declaring it critical, if that is `wanted`.
    fn quota(
        &self,
        view: &View<'_>,
        letter: &Letter,
        now: Time,
        wanted: bool,
    ) -> Result<(Option<Use>, Option<Use>), StoreError> {
        let (seller, rules) = (letter.pair.seller.id, &self.config.policy);
        let day = Day::at(now, &letter.shop.zone);
        let orders = view.count_orders(seller, window_start(now, &letter.shop.zone, &rules.quota), now)?;
        let used = view.quota_used(seller, day.starts)?;
        let critical = match wanted {
            true => {
                let used = view.critical(seller, day.starts)?.used;
                Some(Use { used, limit: critical_limit(orders, rules), opens: day.opens.clone() })
            }
            false => None,
        };
        Ok((Some(Use { used, limit: limit(orders, &rules.quota), opens: day.opens }), critical))
    }
}
