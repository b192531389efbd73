//! Facts and verdicts: each recipient's facts are gathered once, into one plain struct, and the policy decides.

use super::judged::{Gathered, Judged, Letter};
use super::target::{NoTarget, Target};
use super::{Arrived, Relay, Shop};
use crate::message::bounce;
use crate::message::work::{self, Allowance};
use crate::message::{Inspection, Malformed, Shared, inspect};
use crate::policy::author::{is_known, is_proved};
use crate::policy::automatic::Automatic;
use crate::policy::content::Part;
use crate::policy::opt_out::without_critical;
use crate::policy::{Decision, REPEATED, Reason, Verdict, decide_by, every_answer, may_act};
use crate::store::{Body, Pair, Party, StoreError, View};
use crate::types::{Address, MessageId, Reply, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps, in the unit of the metric.
const MILLION: f64 = 1e6;
/// Documents may take so many times as much besides.
const DOCUMENTS: u64 = 3;
/// What stands for a rule where a message that the rules let pass could not be made anonymous.
pub(super) const ANONYMITY: &str = "anonymity";

/// Where a message goes: marketplace, pair, and the side that wrote it.
pub(super) type Way = (Arc<Shop>, Pair, Role);

impl Relay {
    /// Whether this is one of the addresses under which a party may write.
    pub(super) fn writes_as(&self, party: &Party, address: &Address) -> bool {
        self.providers.is_among(&party.addresses, &party.domains, address)
    }

    /// What one message may cost at most, for all of its recipients. `stop` ends it before.
    pub(super) fn allowance(&self, stop: Arc<AtomicBool>) -> Allowance {
        let reading = self.config.limits.steps();
        Allowance { reading, packing: reading.saturating_mul(DOCUMENTS), stop }
    }

    /// Decides about a message for each of its recipients, and writes what goes out, as far as the
    /// allowance goes. Reads the store, changes nothing.
    pub(super) fn judge(&self, arrived: &Arrived, allowance: &Allowance) -> Judged {
        let (judged, spent) = work::within(allowance, || self.judge_each(arrived));
        self.metrics.message_work.observe((spent.reading.saturating_add(spent.packing)) as f64 / MILLION);
        let judged = if spent.end.is_some() { judged.too_costly() } else { judged };
        Judged { ended: spent.end, ..judged }
    }

    fn judge_each(&self, arrived: &Arrived) -> Judged {
        let Arrived { client, envelope, raw, at, .. } = arrived;
        let inspection = inspect(raw, envelope.sender.is_none(), &self.config.limits);
        let mut judged = Judged {
            raw: raw.clone(),
            at: *at,
            looked_back: arrived.looks_back.load(Ordering::Relaxed),
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
        if let Ok(inspection) = &inspection {
            shared = shared.with_plain(&inspection.plain);
        }
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
            let found = bounce::read(raw);
            match self.store.glance(|view| self.read_reports(view, arrived, &inspection, (&found, &reported))) {
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
        let goes_out = |letter: &Letter| {
            letter.decision.verdict == Verdict::Relay && earlier.as_ref().is_none_or(|earlier| !earlier.relayed())
        };
        if goes_out(&letter) && self.goes_round(arrived, &letter)? {
            rule = letter.stop_going_round();
        }
        if goes_out(&letter) {
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
        letter.name_file(inspection);
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
        letter.automatic = inspection.automatic.is_some_and(Automatic::is_answer);
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
        letter.sent_by = match decision.reason {
            Reason::OtherMailbox => facts.named.clone(),
            // The same for a stranger: a right guess must not cost more than a wrong one.
            Reason::Stranger | Reason::Unauthenticated | Reason::AuthenticationFailed(_) => arrived.sender().cloned(),
            _ => None,
        };
        if arrived.explain {
            letter.answers = every_answer(&facts);
        }
        letter.known = is_known(&facts);
        letter.proved = is_proved(&facts);
        letter.answerable = inspection.automatic.is_none() && arrived.envelope.sender.is_some();
        letter.facts = facts.words();
        letter.quota.clone_from(&facts.quota);
        letter.uncritical = without_critical(&facts);
        if may_act(&facts).is_none() {
            self.look_back(view, arrived, inspection, letter)?;
        }
        (letter.rule, letter.decision) = (Some(rule), decision);
        if letter.decision.verdict == Verdict::Relay {
            letter.ids = self.ids(view, letter, inspection)?;
            if arrived.looks_back.load(Ordering::Relaxed) {
                letter.turns = view.turns(letter.pair.id, letter.author, arrived.at)?;
            }
        }
        Ok(())
    }
}
