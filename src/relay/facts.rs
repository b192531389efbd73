//! What the rules are asked about one recipient of a message: everything that is known of author,
//! pair, thread and counts, in one plain struct.

use super::judged::Letter;
use super::{Arrived, Relay};
use crate::authentication::Weakness;
use crate::config::AuthenticationMode;
use crate::message::Inspection;
use crate::message::author::AuthorFault;
use crate::policy::author::{Author, Senders, Sign};
use crate::policy::automatic::{Answers, Automatic};
use crate::policy::content::{Content, Part};
use crate::policy::opt_out::{MayAnswer, Thread, critical_limit};
use crate::policy::quota::{Day, Use, limit, window_start};
use crate::policy::{Facts, Hops};
use crate::store::{Party, StoreError, View};
use crate::types::{Address, Role, Time};

impl Relay {
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
        let (another, named) = another.unzip();
        let critical = self.critical.stand_in(&inspection.subject);
        let counted = critical && letter.author == Role::Seller && receiver.opted_out;
        let (quota, critical_use) = match letter.author {
            Role::Seller => self.quota(view, letter, arrived.at, counted)?,
            Role::Buyer => (None, None),
        };
        let answers = match letter.automatic {
            true => view.answers(letter.pair.id, letter.author, arrived.at)?,
            false => Answers::default(),
        };
        Ok(Facts {
            rules,
            author_role: letter.author,
            hops: Hops { own_mark: inspection.own_mark, received: inspection.received, limit: self.config.limits.hops },
            author: who,
            proof: arrived.authentication.proof_to(recipient),
            other_mailbox: another.is_some_and(|(_, refused)| refused),
            another: another.map(|(sign, _)| sign),
            named: named.flatten(),
            signature: arrived.authentication.weakness_to(recipient).map(Weakness::as_str),
            unnamed_client: self.config.authentication.mode == AuthenticationMode::Verify
                && self.is_hidden(&arrived.client),
            unauthenticated_allowed: author.unauthenticated,
            author_suspended: author.suspended,
            gone: author.removed || receiver.removed,
            content: Content {
                size: arrived.raw.len() as u64,
                parts,
                closed: inspection.closed.as_ref().map(|(why, part)| (*why, part.as_str())),
            },
            automatic: inspection.automatic,
            answers,
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

    /// What shows that somebody else than the author sent this; and where it is refused for that,
    /// who that is, which the operator is told alone.
    fn somebody_else(
        &self,
        arrived: &Arrived,
        inspection: &Inspection,
        author: &Address,
        party: &Party,
        recipient: &Address,
    ) -> Option<((Sign, bool), Option<Address>)> {
        let found = &arrived.authentication;
        let senders = Senders {
            author,
            registered: &party.addresses,
            domains: &party.domains,
            by: found.by(recipient),
            envelope: arrived.sender(),
            recipient,
            // As a machine's answer it is counted, starts no clock and opens no thread.
            answer: inspection.automatic.is_some_and(Automatic::is_answer),
            identities: &found.identities(),
            field: inspection.sender.as_ref().map(Option::as_ref),
        };
        let (sign, refused) = senders.somebody_else(&self.providers)?;
        let named = if refused { senders.named_by(sign, &self.providers).cloned() } else { None };
        Some(((sign, refused), named))
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
