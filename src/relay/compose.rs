//! What goes out: ids mapped to those that the receiver knows, addresses to aliases, and the guard's last look. The same again when an item is loaded after a
//! restart.

use super::judge::Letter;
use super::{Arrived, Relay};
use crate::message::footer::{Action, Footer, Seller};
use crate::message::{Inspection, Order, Passed, Replacement, Shared, Unclean, guard, inspect, rewrite_copy, work};
use crate::outbound::Loaded;
use crate::policy::{Decision, Reason};
use crate::store::queue::{Item, Kind};
use crate::store::{Pair, Result, StoreError, View};
use crate::types::token::Purpose;
use crate::types::{AddressKey, MessageId, Role, Time};
use bytes::Bytes;

impl Relay {
    /// Writes the letter's outgoing message, or changes its decision if that cannot be done safely.
    pub(super) fn compose(&self, arrived: &Arrived, inspection: &Inspection, letter: &mut Letter, shared: &mut Shared) {
        match self.written(&arrived.raw, inspection, letter, arrived.at, shared) {
            Ok((bytes, passed)) => {
                letter.outgoing = Some(bytes);
                let told = |file: &Passed| format!("{}:{}:{}", file.path, file.kind, file.why.as_str());
                let passed: Vec<String> = passed.iter().take(20).map(told).collect();
                if !passed.is_empty() {
                    // What a file still tells of its author: whoever asks later finds it in the history.
                    letter.facts.push_str(&format!(" uncleaned={}", passed.join(",")));
                }
            }
            Err(Stop::Encrypted) => letter.decision = Decision::reject(Reason::Encrypted { part: "1".to_owned() }),
            Err(Stop::Malformed) => letter.decision = Decision::reject(Reason::Malformed),
            Err(Stop::Costly) => letter.decision = Decision::reject(Reason::TooCostly),
            Err(Stop::Leak(place)) => {
                self.metrics.guard_stops.inc();
                letter.decision = Decision::reject(Reason::Unclean);
                letter.place = Some(place);
            }
        }
    }

    /// What a letter answers, by ids that its receiver knows.
    pub(super) fn ids(&self, view: &View<'_>, letter: &Letter, inspection: &Inspection) -> Result<Ids> {
        let map = |ids: &[String]| -> Result<Vec<String>> {
            let mut mapped = Vec::new();
            for id in ids {
                mapped.extend(self.mapped(view, letter, id)?);
            }
            mapped.dedup();
            Ok(mapped)
        };
        let (in_reply_to, mut references) = (map(&inspection.in_reply_to)?, map(&inspection.references)?);
        if in_reply_to.is_empty() && references.is_empty() && letter.thread != letter.id {
            // Known by its mark alone: the receiver's program knows threads by ids.
            references.extend(self.as_receiver_knows(view, letter, letter.thread)?);
        }
        Ok(Ids { in_reply_to, references })
    }

    fn written(
        &self,
        raw: &[u8],
        inspection: &Inspection,
        letter: &Letter,
        received: Time,
        shared: &mut Shared,
    ) -> std::result::Result<(Bytes, Vec<Passed>), Stop> {
        let pair = &letter.pair;
        let (secrets, replacements) = secrets(pair);
        let (from, to) = (letter.author, letter.author.other());
        let order = Order {
            hostname: &self.config.hostname,
            received,
            id: letter.id.to_string(),
            from: (&pair.party(from).name, pair.alias(from)),
            author_name: inspection.author.as_ref().ok().and_then(|author| author.name.as_deref()),
            to: pair.alias(to),
            message_id: self.message_id(letter.id, &letter.shop.domain),
            in_reply_to: letter.ids.in_reply_to.clone(),
            references: letter.ids.references.clone(),
            replacements: &replacements,
            calendar_key: self.store.secret().key("calendar", pair.id.0),
            metadata: &self.config.policy.metadata,
            footer: self.footer(letter),
            limits: &self.config.limits,
        };
        match rewrite_copy(raw, &order, shared) {
            Ok(rewritten) => match guard::check(&rewritten.bytes, &secrets) {
                Ok(()) => Ok((self.signed(&letter.shop.domain, rewritten.bytes, received), rewritten.passed)),
                // What was looked at in part tells nothing.
                Err(_) if work::is_over() => Err(Stop::Costly),
                Err(place) => Err(Stop::Leak(place.as_str())),
            },
            Err(Unclean::Costly) => Err(Stop::Costly),
            Err(Unclean::Encrypted) => Err(Stop::Encrypted),
            Err(Unclean::Limits | Unclean::Incomplete) => Err(Stop::Malformed),
        }
    }

    /// What goes under the text of the receiver's copy. Follows from what the store keeps of the message, so that it is the same after a restart.
    fn footer(&self, letter: &Letter) -> Option<Footer> {
        if !self.config.policy.footers {
            return None;
        }
        let (secret, side, shop) = (self.store.secret(), letter.author.other(), &letter.shop);
        let (language, default) = (letter.pair.party(side).language.as_str(), shop.settings.language.as_str());
        let purposes = match side {
            Role::Seller => [Purpose::NoResponse, Purpose::Report],
            Role::Buyer => [Purpose::Report, Purpose::Stop],
        };
        let words = |word: &str| self.texts.footer(word, language, default).to_owned();
        let action = |purpose: Purpose| Action {
            purpose,
            label: words(purpose.word()),
            address: format!("{}+{}@{}", purpose.word(), secret.token(purpose, letter.id), shop.domain),
        };
        let (keep, company) = (words("keep"), &letter.pair.party(Role::Seller).name);
        let seller = (side == Role::Buyer && !company.trim().is_empty())
            .then(|| Seller { label: words("seller"), name: company.clone() });
        let mark = secret.mark(letter.pair.id, side, letter.thread);
        Some(Footer { mark, keep, seller, actions: purposes.map(action).to_vec() })
    }

    /// The message with a DKIM signature by each of the domain's keys before it. `at` is the message's own time, so that a retry sends the same bytes.
    fn signed(&self, domain: &str, message: Vec<u8>, at: Time) -> Bytes {
        let signers = self.signers.get().and_then(|signers| signers.get(domain)).map_or(&[][..], Vec::as_slice);
        if signers.is_empty() {
            return message.into();
        }
        let mut out = Vec::with_capacity(message.len() + 1024);
        for signer in signers {
            match signer.sign(&message, at) {
                Ok(field) => out.extend_from_slice(&field),
                // Unsigned mail is better than none: SPF of the domain still holds.
                Err(error) => tracing::error!(%error, "cannot sign"),
            }
        }
        out.extend_from_slice(&message);
        out.into()
    }

    /// The finished bytes of a queued item, made again from what the store keeps.
    pub(super) fn rebuilt(&self, item: &Item) -> Result<Loaded> {
        match item.kind {
            Kind::Notice => self.store.read(|view| {
                let Some(content) = view.item_content(item.id)? else { return Ok(Loaded::Gone) };
                let pair = view.thread_entry(item.message)?.and_then(|entry| entry.pair);
                let marketplace = pair.map(|pair| view.marketplace_of(pair)).transpose()?.unwrap_or_default();
                let domain = self.shop_of_marketplace(&marketplace).map_or("", |shop| shop.domain.as_str());
                Ok(Loaded::Bytes(self.signed(domain, content, item.queued)))
            }),
            Kind::Forward => {
                let raw = self.store.read(|view| match view.item_content(item.id)? {
                    // As an older version kept it.
                    None => view.raw(item.message),
                    content => Ok(content),
                })?;
                Ok(raw.map_or(Loaded::Gone, |raw| Loaded::Bytes(raw.into())))
            }
            Kind::Relay => self.store.read(|view| self.relayed(view, item.message)),
        }
    }

    /// The copy of a relayed message as its receiver got it, without a signature: made anew from
    /// what the store keeps.
    ///
    /// # Errors
    /// The store's trouble.
    pub fn copy(&self, id: MessageId) -> Result<Loaded> {
        self.store.read(|view| self.relayed(view, id))
    }

    fn relayed(&self, view: &View<'_>, id: MessageId) -> Result<Loaded> {
        let (Some(entry), Some(raw)) = (view.thread_entry(id)?, view.raw(id)?) else { return Ok(Loaded::Gone) };
        let Some(pair) = entry.pair.map(|pair| view.pair(pair)).transpose()? else { return Ok(Loaded::Gone) };
        let Some(shop) = self.shop_of_marketplace(&pair.buyer.marketplace) else {
            return Err(StoreError::Refused("the message's marketplace is not in the configuration".to_owned()));
        };
        let Ok(inspection) = inspect(&raw, false, &self.config.limits) else { return Ok(Loaded::Unclean("malformed")) };
        let mut letter = Letter::new(id, shop, pair, entry.author);
        letter.thread = entry.thread;
        letter.ids = self.ids(view, &letter, &inspection)?;
        Ok(match self.written(&raw, &inspection, &letter, entry.received, &mut Shared::default()) {
            Ok((bytes, _)) => Loaded::Bytes(bytes),
            Err(Stop::Leak(place)) => {
                self.metrics.guard_stops.inc();
                Loaded::Unclean(place)
            }
            Err(Stop::Encrypted) => Loaded::Unclean("encrypted"),
            Err(Stop::Malformed) => Loaded::Unclean("malformed"),
            // Not here: what was accepted comes out the same again, whatever it costs.
            Err(Stop::Costly) => Loaded::Unclean("costly"),
        })
    }
}

/// What a message answers, without angle brackets.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    in_reply_to: Vec<String>,
    references: Vec<String>,
}

/// Why a message cannot go out.
enum Stop {
    Encrypted,
    Malformed,
    Costly,
    Leak(&'static str),
}

/// Every address that either party has or had, and what stands in its place.
fn secrets(pair: &Pair) -> (Vec<AddressKey>, Vec<Replacement>) {
    let sides = [Role::Buyer, Role::Seller].into_iter();
    let known = sides.flat_map(|role| pair.party(role).known.iter().map(move |key| (key, pair.alias(role))));
    known.map(|(key, alias)| (key.clone(), Replacement::new(key, Some(alias)))).unzip()
}
