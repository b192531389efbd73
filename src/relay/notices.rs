//! What authors are told: each notice is written and queued inside the transaction that it tells of.

use super::judged::{Judged, Letter};
use super::{Relay, Shop};
use crate::message::text::shown_name;
use crate::metrics::count;
use crate::notice::{self, Failed, Frame, Name};
use crate::outbound::{House, Loaded};
use crate::policy::failure::{FailureClass, Why};
use crate::policy::quota::Day;
use crate::policy::{Decision, Reason, Verdict};
use crate::store::queue::{Item, Kind, NewItem, Recipient};
use crate::store::{Change, Orders, Pair, Result, StoreError, View};
use crate::types::token::Purpose;
use crate::types::{Address, MessageId, Role, Time};

/// What the history calls a notice of recipients that were refused, at the first that was not.
const PARTIAL: &str = "partial-notice";

/// What the history calls a notice of a machine that sends too much.
const STOPPED: &str = "automatic-notice";

/// A message that a notice is about, and the side that is told.
pub(super) struct About<'a> {
    pub(super) message: MessageId,
    pub(super) shop: &'a Shop,
    pub(super) pair: &'a Pair,
    pub(super) author: Role,
    pub(super) received: Time,
    pub(super) original: Option<&'a str>,
    /// The address that it was written from, where that is known.
    pub(super) writer: Option<&'a Address>,
    /// Its subject, decoded; empty where the notice is not about one message.
    pub(super) subject: &'a str,
}

impl Relay {
    /// Writes a notice to the author of a message and queues it. An author that is gone gets none.
    pub(super) fn tell(
        &self,
        change: &Change<'_>,
        about: &About<'_>,
        name: Name,
        now: Time,
        write: impl FnOnce(&Frame<'_>) -> Vec<u8>,
    ) -> Result<()> {
        let author = about.pair.party(about.author);
        // Whoever wrote it is answered (RFC 3834 4), where the party has several addresses.
        let writer = about.writer.filter(|writer| author.main.as_ref().is_none_or(|main| main.key() != writer.key()));
        let Some(to) = writer.or(author.main.as_ref()) else { return Ok(()) };
        let own = self.next_id(now);
        let message_id = self.message_id(own, &about.shop.domain);
        let named = shown_name(&about.pair.party(about.author.other()).name);
        let order = if name.is_of_one() { order(change, about)? } else { String::new() };
        let frame = Frame {
            texts: &self.texts,
            marketplace: &about.shop.settings.name,
            contact: about.shop.settings.contact.as_deref().unwrap_or_default(),
            domain: &about.shop.domain,
            default_language: &about.shop.settings.language,
            zone: &about.shop.zone,
            language: &author.language,
            to,
            now,
            message_id: &message_id,
            about: about.message,
            received: about.received,
            original_id: about.original,
            subject: about.subject,
            name: &named,
            order: &order,
        };
        count(&self.metrics.notices, name.as_str());
        let new = NewItem {
            message: about.message,
            kind: Kind::Notice,
            recipient: writer.map_or(Recipient::Party(author.id), |writer| Recipient::Address(writer.clone())),
            domain: to.domain().to_owned(),
            notice: Some((own, write(&frame))),
        };
        change.enqueue(&new, now, false)?;
        Ok(())
    }

    /// The seller learns why a message was blocked, and how it can pass.
    pub(super) fn opt_out_reply(&self, change: &Change<'_>, letter: &Letter, reason: &Reason, now: Time) -> Result<()> {
        let about = letter.about(now);
        change.record(letter.thread, now, "opt-out-reply", "")?;
        if let Reason::OverCritical { limit, .. } = reason {
            let opens = Day::at(now, &letter.shop.zone).ends;
            return self.tell(change, &about, Name::OptOutLimit, now, |frame| {
                notice::opt_out_limit(frame, letter.pair.alias(letter.author.other()), *limit, opens)
            });
        }
        self.tell(change, &about, Name::OptOut, now, |frame| {
            let receiver = letter.pair.alias(letter.author.other());
            notice::opt_out_reply(frame, receiver, &self.config.policy.opt_out.critical_tags)
        })
    }

    /// Tells authors what did not go. Says whether there was anything to tell.
    pub(super) fn tell_authors(
        &self,
        change: &Change<'_>,
        judged: &Judged,
        decisions: &[Decision],
        ids: &[MessageId],
    ) -> Result<bool> {
        let partial = self.partial_notice(change, judged, decisions, ids)?;
        let accepted = judged.took_more() || decisions.iter().any(Decision::is_taken);
        let refused = |verdict| match verdict {
            // Of a part the notice above tells.
            Verdict::Reject => !accepted,
            Verdict::Block => true,
            // It comes again by itself.
            Verdict::Defer | Verdict::Relay => false,
        };
        let mut groups: Vec<(&Reason, Vec<&Letter>)> = Vec::new();
        for (letter, decision) in judged.letters.iter().zip(decisions).filter(|(_, found)| refused(found.verdict)) {
            let reason = &decision.reason;
            let wanted = match reason {
                // Answered already, or nothing new.
                Reason::OptedOut | Reason::OverCritical { .. } => {
                    decision.verdict == Verdict::Reject && letter.pair.seller.auto_replies && letter.answerable
                }
                Reason::Repeated | Reason::Loop | Reason::AutomaticRepeated | Reason::SameWords => false,
                _ => letter.answerable,
            };
            if wanted {
                match groups.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, letters)) => letters.push(letter),
                    None => groups.push((reason, vec![letter])),
                }
            }
        }
        let mut told = partial;
        for (reason, letters) in groups {
            told |= self.tell_why(change, &letters, reason, judged.at)?;
        }
        Ok(told)
    }

    /// Tells the proved author why his message did not go to these: at most once a day for each
    /// pair and reason. Says whether there was anything to tell.
    ///
    /// Whom it hits: the author himself, at the address that he wrote from; nobody who is not
    /// proved, so that nobody has mail sent to others. What it tells: what the reply told him.
    pub(super) fn tell_why(
        &self,
        change: &Change<'_>,
        letters: &[&Letter],
        reason: &Reason,
        now: Time,
    ) -> Result<bool> {
        let why = Why::of(reason);
        let mut fresh: Vec<&Letter> = Vec::new();
        for letter in letters.iter().filter(|letter| letter.proved) {
            if letter.is_news(change, why.key, now)? {
                fresh.push(letter);
            }
        }
        let Some(first) = fresh.first() else { return Ok(false) };
        if matches!(reason, Reason::OptedOut | Reason::OverCritical { .. }) {
            self.opt_out_reply(change, first, reason, now)?;
            return Ok(true);
        }
        let failed: Vec<Failed<'_>> = fresh
            .iter()
            .map(|letter| Failed { receiver: letter.pair.alias(letter.author.other()), why: why.clone() })
            .collect();
        self.tell(change, &first.about(now), Name::Stopped, now, |frame| notice::stopped(frame, &failed, &first.file))?;
        Ok(true)
    }

    /// The author hears that a file of a message that went shows his own address: once a day, of a
    /// pair; and never a program. Says whether he was told.
    pub(super) fn tell_of_address(&self, change: &Change<'_>, letter: &Letter, now: Time) -> Result<bool> {
        let Some(part) = letter.shows_address.as_ref().filter(|_| !letter.automatic) else { return Ok(false) };
        if !letter.is_news(change, Name::FileAddress.as_str(), now)? {
            return Ok(false);
        }
        change.record(letter.id, now, "file-address-notice", "")?;
        let receiver = letter.pair.alias(letter.author.other());
        self.tell(change, &letter.about(now), Name::FileAddress, now, |frame| {
            notice::file_address(frame, receiver, part)
        })?;
        Ok(true)
    }

    /// The author hears that a machine of his sends too much, and that this message did not go:
    /// once a day, of a pair. Says whether he was told.
    pub(super) fn tell_of_stop(
        &self,
        change: &Change<'_>,
        letter: &Letter,
        reason: &Reason,
        now: Time,
    ) -> Result<bool> {
        if !letter.is_news(change, STOPPED, now)? {
            return Ok(false);
        }
        change.record(letter.id, now, STOPPED, "")?;
        let failed = [Failed { receiver: letter.pair.alias(letter.author.other()), why: Why::of(reason) }];
        self.tell(change, &letter.about(now), Name::Stopped, now, |frame| notice::stopped(frame, &failed, ""))?;
        Ok(true)
    }

    /// Where some recipients were accepted, the proved author learns which were not. Says whether there was anything to tell.
    ///
    /// Only who is proved: by the refused letter, or by another of this message that was taken of
    /// him. The honest author whose mail proves nothing hears nothing, and if the rest of his mail
    /// was for the operator, what was meant for the alias is lost to him; that is told at his
    /// registered address (`owners`). The liar would otherwise have mail sent to whom he guesses,
    /// and see it by the time.
    fn partial_notice(
        &self,
        change: &Change<'_>,
        judged: &Judged,
        decisions: &[Decision],
        ids: &[MessageId],
    ) -> Result<bool> {
        let mut taken = decisions.iter().zip(ids).filter(|(decision, _)| decision.is_taken()).peekable();
        let first = taken.peek().map(|(_, id)| **id);
        let accepted = judged.took_more() || first.is_some();
        let again = first.is_some() && taken.all(|(decision, _)| decision.reason == Reason::Repeated);
        let party = |letter: &Letter| letter.pair.party(letter.author).id;
        let proved_elsewhere = |letter: &Letter| {
            let mut others = judged.letters.iter().zip(decisions);
            others.any(|(other, decision)| decision.is_taken() && party(other) == party(letter))
        };
        let refused = judged.letters.iter().zip(decisions).filter(|(letter, decision)| {
            matches!(decision.verdict, Verdict::Reject | Verdict::Defer)
                && !letter.automatic
                && (letter.known || proved_elsewhere(letter))
        });
        let refused: Vec<_> = refused.collect();
        let Some((letter, _)) = refused.first().filter(|_| accepted) else { return Ok(false) };
        if let Some(first) = first {
            // Who sends a copy of it again and again does not have its author told as often.
            let today = Day::at(judged.at, &letter.shop.zone).starts;
            if again && change.event_since(first, PARTIAL, today)? {
                return Ok(false);
            }
            change.record(first, judged.at, PARTIAL, "")?;
        }
        let failed: Vec<Failed<'_>> = refused
            .iter()
            .map(|(letter, decision)| {
                let receiver = letter.pair.alias(letter.author.other());
                Failed { receiver, why: Why::of(&decision.reason) }
            })
            .collect();
        self.tell(change, &letter.about(judged.at), Name::Partial, judged.at, |frame| notice::partial(frame, &failed))?;
        Ok(true)
    }

    /// Tells the author of a relayed message that it failed. Says whether there was anybody to tell.
    pub(super) fn tell_failure(
        &self,
        change: &Change<'_>,
        id: MessageId,
        class: FailureClass,
        now: Time,
    ) -> Result<bool> {
        self.about_stored(change, id, |about| {
            let receiver = about.pair.alias(about.author.other());
            let failed = Failed { receiver, why: class.into() };
            self.tell(change, about, Name::Failure, now, |frame| notice::failure(frame, &failed))
        })
    }

    /// Tells the author of a message that its server had taken of a report that it was not
    /// delivered after all. Says whether there was anybody to tell.
    pub(super) fn tell_report(
        &self,
        change: &Change<'_>,
        id: MessageId,
        (class, proved): (FailureClass, bool),
        now: Time,
    ) -> Result<bool> {
        self.about_stored(change, id, |about| {
            let receiver = about.pair.alias(about.author.other());
            let failed = Failed { receiver, why: class.into() };
            if proved {
                self.tell(change, about, Name::Reported, now, |frame| notice::reported(frame, &failed))
            } else {
                self.tell(change, about, Name::Doubtful, now, |frame| notice::doubtful(frame, &failed))
            }
        })
    }

    fn about_stored(
        &self,
        change: &Change<'_>,
        id: MessageId,
        tell: impl FnOnce(&About<'_>) -> Result<()>,
    ) -> Result<bool> {
        let Some(entry) = change.thread_entry(id)? else { return Ok(false) };
        let Some(pair) = entry.pair.map(|pair| change.pair(pair)).transpose()? else { return Ok(false) };
        let Some(shop) = self.shop_of_marketplace(&pair.buyer.marketplace) else { return Ok(false) };
        let original = entry.original.as_deref();
        let (author, received) = (entry.author, entry.received);
        let subject = change.message(id)?.map(|row| row.subject).unwrap_or_default();
        tell(&About { message: id, shop, pair: &pair, author, received, original, writer: None, subject: &subject })?;
        Ok(true)
    }
}

impl Letter {
    /// Whether its author, of this pair, has yet to hear of this today; from here on he has.
    fn is_news(&self, change: &Change<'_>, reason: &str, now: Time) -> Result<bool> {
        let today = Day::at(now, &self.shop.zone).starts;
        change.tells(self.pair.id, self.author, reason, today, now)
    }

    fn about(&self, received: Time) -> About<'_> {
        About {
            message: self.id,
            shop: &self.shop,
            pair: &self.pair,
            author: self.author,
            received,
            original: self.original.as_deref(),
            writer: self.writer.as_ref(),
            subject: &self.subject,
        }
    }
}

/// Orders of a pair that a notice names.
const ORDERS: usize = 3;

/// The order that a message is about, as far as one can tell: what its subject names, or else the
/// newest of its pair.
fn order(view: &View<'_>, about: &About<'_>) -> Result<String> {
    let orders = view.orders(Orders::Pair(about.pair.id), 100)?;
    let named = || orders.iter().filter(|order| about.subject.contains(&order.id));
    let mut ids: Vec<&str> = if named().next().is_some() {
        named().take(ORDERS).map(|order| order.id.as_str()).collect()
    } else {
        orders.iter().take(ORDERS + 1).map(|order| order.id.as_str()).collect()
    };
    if let Some(more) = ids.get_mut(ORDERS) {
        *more = "…";
    }
    Ok(ids.join(", "))
}

impl Relay {
    /// The envelope sender of a relayed message: what comes back names the message, and nobody else can make one.
    pub(super) fn bounce_address(&self, shop: &Shop, message: MessageId) -> String {
        let token = self.store.secret().token(Purpose::Bounce, message);
        format!("{}+{token}@{}", Purpose::Bounce.word(), shop.domain)
    }
}

impl House for Relay {
    fn load(&self, item: &Item) -> Result<Loaded> {
        self.rebuilt(item)
    }

    fn seven_bit(&self, message: MessageId, to: &Address, raw: &[u8], now: Time) -> Vec<u8> {
        let domain = &self.config.hostname;
        notice::wrapped(domain, to, now, (message, &self.message_id(message, domain)), raw)
    }

    /// Relayed mail carries a signed address of ours, so that bounces come back here; notices carry none (RFC 3834 3.3). What the operator gets keeps nobody's
    /// address either: its bounces would be lost all the same.
    fn return_path(&self, view: &View<'_>, item: &Item) -> Result<Option<String>> {
        if item.kind != Kind::Relay {
            return Ok(None);
        }
        let pair = view.thread_entry(item.message)?.and_then(|entry| entry.pair);
        let shop = pair.map(|pair| view.marketplace_of(pair)).transpose()?;
        let Some(shop) = shop.and_then(|shop| self.shop_of_marketplace(&shop)) else {
            return Err(StoreError::Refused("the message's marketplace is not in the configuration".to_owned()));
        };
        Ok(Some(self.bounce_address(shop, item.message)))
    }

    fn given_up(&self, change: &Change<'_>, item: &Item, class: FailureClass, now: Time) -> Result<()> {
        // A notice that cannot be delivered is not followed by another one.
        if item.kind == Kind::Relay {
            self.tell_failure(change, item.message, class, now)?;
        }
        Ok(())
    }

    fn delayed(&self, change: &Change<'_>, item: &Item, now: Time) -> Result<()> {
        if item.kind != Kind::Relay {
            return Ok(());
        }
        let until = item.queued.plus(self.config.queue.expire.0);
        self.about_stored(change, item.message, |about| {
            let receiver = about.pair.alias(about.author.other());
            self.tell(change, about, Name::Delayed, now, |frame| notice::delayed(frame, receiver, until))
        })?;
        Ok(())
    }
}
