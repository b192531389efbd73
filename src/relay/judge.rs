//! Facts and verdicts: each recipient's facts are gathered once, into one plain struct, and the policy decides.

use super::act::Act;
use super::compose::Ids;
use super::target::{NoTarget, Target};
use super::{Arrived, Relay, Shop};
use crate::message::author::AuthorFault;
use crate::message::{Inspection, Malformed, inspect};
use crate::policy::author::{Author, other_mailbox};
use crate::policy::content::{Content, Part};
use crate::policy::opt_out::{MayAnswer, Thread, is_critical};
use crate::policy::quota::{Day, Use, limit, window_start};
use crate::policy::{Answer, Decision, Facts, Hops, Reason, Verdict, decide_by, every_answer};
use crate::store::{Body, Pair, Party, StoreError, View};
use crate::types::{Address, MessageId, Reply, Role, Time};
use bytes::Bytes;
use std::sync::Arc;

/// A message, judged for each of its recipients.
pub(super) struct Judged {
    pub(super) raw: Bytes,
    pub(super) at: Time,
    pub(super) body: Body,
    pub(super) letters: Vec<Letter>,
    pub(super) reports: Vec<Report>,
    pub(super) acts: Vec<Act>,
    /// For the operator.
    pub(super) forward: bool,
    /// The reply where no recipient is left to decide about.
    pub(super) otherwise: Reply,
}

impl Judged {
    /// Whether it is taken for more than letters: the operator, reports, addresses that act.
    pub(super) fn took_more(&self) -> bool {
        self.forward || !self.reports.is_empty() || !self.acts.is_empty()
    }

    /// Nothing is done, and the sender tries again.
    fn trouble(mut self, error: &StoreError) -> Self {
        tracing::error!(%error, "cannot gather the facts of a message");
        self.otherwise = error.reply();
        self.letters.clear();
        self.reports.clear();
        self.acts.clear();
        self.forward = false;
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
            subject: String::new(),
            automatic: false,
            place: None,
            facts: String::new(),
            rule: None,
            ids: Ids::default(),
            answers: Vec::new(),
            quota: None,
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
    Operator,
    Refused(Reply),
    Nobody,
}

/// What stands for a rule where a message that the rules let pass could not be made anonymous.
pub(super) const ANONYMITY: &str = "anonymity";

/// A delivery report, or another automatic answer, to a message that we sent.
pub(super) struct Report {
    pub(super) message: MessageId,
    pub(super) raw: Bytes,
}

/// Where a message goes: marketplace, pair, and the side that wrote it.
pub(super) type Way = (Arc<Shop>, Pair, Role);

/// Whether this is one of the addresses under which a party may write.
pub(super) fn writes_as(party: &Party, address: &Address) -> bool {
    let key = address.key();
    party.addresses.iter().any(|known| known.key() == key)
}

impl Relay {
    /// Decides about a message for each of its recipients, and writes what goes out. Reads the store, changes nothing.
    pub(super) fn judge(&self, arrived: Arrived) -> Judged {
        let Arrived { client, envelope, raw, at, .. } = &arrived;
        let inspection = inspect(raw, envelope.sender.is_none(), &self.config.limits);
        let mut judged = Judged {
            raw: raw.clone(),
            at: *at,
            body: Body::pack(raw),
            letters: Vec::new(),
            reports: Vec::new(),
            acts: Vec::new(),
            forward: false,
            otherwise: Reply::new(250, 0, 0, "Ok"),
        };
        let (room, mut held) = (self.config.queue.memory.octets(), 0);
        for recipient in &envelope.recipients {
            // One snapshot for all that has to be looked up; it is closed before anything is rewritten, which may take its time.
            let gathered = self.store.glance(|view| self.gather(view, &arrived, &inspection, recipient));
            let letter = gathered.and_then(|gathered| match gathered {
                Gathered::Letter(letter) => self.finish(&arrived, &inspection, *letter).map(Some),
                Gathered::Report(message) => {
                    judged.reports.push(Report { message, raw: raw.clone() });
                    Ok(None)
                }
                Gathered::Act(act) => {
                    judged.acts.push(*act);
                    Ok(None)
                }
                Gathered::Operator => {
                    judged.forward = true;
                    Ok(None)
                }
                // It was there at RCPT. The others are not held up by it.
                Gathered::Refused(reply) => {
                    judged.otherwise = reply;
                    Ok(None)
                }
                Gathered::Nobody => Ok(None),
            });
            match letter {
                Ok(letter) => judged.letters.extend(letter.map(|letter| letter.held_within(room, &mut held))),
                Err(error) => return judged.trouble(&error),
            }
        }
        tracing::debug!(recipients = envelope.recipients.len(), tls = client.tls, "judged");
        judged
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
            Ok(Target::Bounce(message)) => match self.answerer(view, message, inspection)? {
                None => return Ok(Gathered::Report(message)),
                way => (way, Some(message)),
            },
            Ok(Target::Act(purpose, message)) => {
                return self.act(view, arrived, inspection, (purpose, message), recipient);
            }
            Ok(Target::Operator) => return Ok(Gathered::Operator),
            Err(NoTarget::Refused(reply)) => return Ok(Gathered::Refused(reply)),
            Err(NoTarget::Trouble(error)) => return Err(error),
        };
        let Some((shop, pair, author)) = way else { return Ok(Gathered::Nobody) };
        let mut letter = Letter::new(self.next_id(arrived.at), &shop, pair, author);
        self.decide(view, arrived, inspection, &mut letter, (recipient, answers))?;
        Ok(Gathered::Letter(Box::new(letter)))
    }

    /// Writes what goes out of a letter that the rules let pass.
    fn finish(
        &self,
        arrived: &Arrived,
        inspection: &Result<Inspection, Malformed>,
        mut letter: Letter,
    ) -> Result<Letter, StoreError> {
        let (Ok(inspection), Some(mut rule)) = (inspection, letter.rule) else { return Ok(letter) };
        if letter.decision.verdict == Verdict::Relay {
            self.compose(arrived, inspection, &mut letter)?;
            if letter.decision.verdict != Verdict::Relay {
                rule = ANONYMITY;
            }
        }
        letter.conclude(rule, arrived);
        Ok(letter)
    }

    /// Vacation programs answer to the envelope sender (RFC 3834 4), which is ours. What the receiver of `message` writes there is a message to
    /// its author like any other, and judged like it. `None` for delivery reports, and for everybody else's mail.
    fn answerer(
        &self,
        view: &View<'_>,
        message: MessageId,
        inspection: &Result<Inspection, Malformed>,
    ) -> Result<Option<Way>, StoreError> {
        let Some(author) = inspection.as_ref().ok().filter(|i| !i.report).and_then(|i| i.author.as_ref().ok()) else {
            return Ok(None);
        };
        let way = self.way_back(view, message)?;
        Ok(way.filter(|(_, pair, role)| writes_as(pair.party(*role), &author.address)))
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
        let Ok(inspection) = inspection else { return Ok(()) };
        letter.subject.clone_from(&inspection.subject);
        letter.original.clone_from(&inspection.message_id);
        let writer = inspection.author.as_ref().ok().map(|found| found.address.clone());
        letter.writer = writer.filter(|writer| writes_as(letter.pair.party(letter.author), writer));
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
        letter.facts = facts.words();
        letter.quota.clone_from(&facts.quota);
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
        let (who, other) = match &inspection.author {
            Ok(found) => {
                let sender = arrived.envelope.sender.as_ref();
                // Who logged in writes as himself, though another party may have the same address.
                let own = arrived.client.login.is_none_or(|login| login == author.id);
                let party = own && writes_as(author, &found.address);
                let who = if party { Author::Party } else { Author::Stranger };
                (who, other_mailbox(sender, &found.address, &author.addresses))
            }
            Err(AuthorFault::Missing) => (Author::Missing, false),
            Err(AuthorFault::SeveralFields | AuthorFault::SeveralAddresses) => (Author::Several, false),
            Err(AuthorFault::Malformed) => (Author::Malformed, false),
        };
        let quota = match letter.author {
            Role::Seller => Some(self.quota(view, letter, arrived.at)?),
            Role::Buyer => None,
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
            other_mailbox: other,
            unauthenticated_allowed: author.unauthenticated,
            author_suspended: author.suspended,
            gone: author.removed || receiver.removed,
            content: Content { size: arrived.raw.len() as u64, parts, encrypted: inspection.encrypted.as_deref() },
            automatic: inspection.automatic,
            automatic_today,
            quota,
            opted_out: receiver.opted_out,
            thread,
            critical: is_critical(&inspection.subject, &rules.opt_out.critical_tags),
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

    fn quota(&self, view: &View<'_>, letter: &Letter, now: Time) -> Result<Use, StoreError> {
        let (seller, rules) = (letter.pair.seller.id, &self.config.policy.quota);
        let day = Day::at(now, &letter.shop.zone);
        let orders = view.count_orders(seller, window_start(now, &letter.shop.zone, rules), now)?;
        Ok(Use { used: view.quota_used(seller, day.starts)?, limit: limit(orders, rules), opens: day.opens })
    }
}
