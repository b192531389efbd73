//! What goes out: ids mapped to those that the receiver knows, addresses to aliases, and the guard's last look. The same again when an item is loaded after a
//! restart.

use super::judged::Letter;
use super::{Arrived, Relay};
use crate::config::AddressesInFiles;
use crate::message::files::{Cannot, Left};
use crate::message::footer::{Action, Footer, Seller};
use crate::message::guard::Secrets;
use crate::message::quoted::{Original, Question, Quoting};
use crate::message::{
    Inspection, Order, Passed, Replacements, Shared, Unclean, author, guard, headers, inspect, rewrite_copy, search,
    work,
};
use crate::notice::texts::NAMING;
use crate::outbound::Loaded;
use crate::policy::content::Closed;
use crate::policy::{Decision, Reason};
use crate::store::queue::{Item, Kind};
use crate::store::{Pair, Party, Result, StoreError, View};
use crate::types::token::Purpose;
use crate::types::{Address, AddressKey, MessageId, Role, Time};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

impl Relay {
    /// Writes the letter's outgoing message, or changes its decision if that cannot be done safely.
    pub(super) fn compose(
        &self,
        arrived: &Arrived,
        inspection: &Inspection,
        letter: &mut Letter,
        shared: &mut Shared,
    ) -> Result<()> {
        match self.written(&arrived.raw, inspection, letter, arrived.at, shared) {
            Ok((bytes, passed, unsigned, left)) => {
                letter.outgoing = Some(bytes);
                tell_left(letter, &left);
                letter.shows_address = shows_address(&left);
                let told = |file: &Passed| format!("{}:{}:{}", file.path, file.kind, file.why.as_str());
                let passed: Vec<String> = passed.iter().take(20).map(told).collect();
                if !passed.is_empty() {
                    // What a file still tells of its author: whoever asks later finds it in the history.
                    letter.facts.push_str(&format!(" uncleaned={}", passed.join(",")));
                }
                if !unsigned.is_empty() {
                    letter.facts.push_str(&format!(" signature-removed={}", unsigned.join(",")));
                }
            }
            Err(Stop::Closed(why)) => letter.decision = Decision::reject(why.reason("1")),
            Err(Stop::Malformed) => letter.decision = Decision::reject(Reason::Malformed),
            Err(Stop::Costly) => letter.decision = Decision::reject(Reason::TooCostly),
            Err(Stop::Leak(place)) => {
                self.metrics.guard_stops.inc();
                letter.decision = Decision::reject(Reason::Unclean);
                letter.place = Some(place);
            }
            Err(Stop::File(part, left)) => {
                tell_left(letter, &left);
                letter.decision = Decision::reject(Reason::AddressInFile { part });
            }
            Err(Stop::Trouble(error)) => return Err(error),
        }
        Ok(())
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
    ) -> std::result::Result<Written, Stop> {
        let pair = &letter.pair;
        let (from, to) = (letter.author, letter.author.other());
        let has_written = || self.store.glance(|view| view.last_relayed(pair.id, to, letter.id, 1));
        // What cannot be asked now is asked again, and then it is told.
        let question = || has_written().map_or(true, |found| !found.is_empty());
        let question = Question::new(&question);
        let known = self.hidden(pair.party(from), raw, inspection);
        let side = (&*known, pair.alias(from));
        let replacements = Replacements::new(side, (&pair.party(to).known, pair.alias(to)));
        let secrets = Secrets::of_author(&known);
        let in_files = self.config.policy.attachments.addresses_in_files;
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
            documents: (in_files != AddressesInFiles::Allow).then_some(secrets),
            footer: self.footer(letter),
            quotes: Quoting::Asked(&question),
            limits: &self.config.limits,
        };
        let mut rewritten = rewrite_copy(raw, &order, shared)?;
        let originals = if question.answer() { self.originals(letter, inspection, &order)? } else { Vec::new() };
        let looked_at = if originals.is_empty() {
            None
        } else {
            let restored =
                |shown| Order { quotes: Quoting::Restored { originals: &originals, shown }, ..order.clone() };
            shared.keep();
            // The guard sees all of it but the words that are given back to whoever wrote them.
            let looked_at = rewrite_copy(raw, &restored(false), shared)?;
            // How long those words are must not decide whether the message costs too much.
            let shown = || rewrite_copy(raw, &restored(true), shared);
            rewritten = work::aside(self.allowance(Arc::default()).packing, shown).0?;
            Some(looked_at)
        };
        let looked_at = looked_at.as_ref().unwrap_or(&rewritten);
        let found = guard::check(&looked_at.bytes, secrets);
        // What was looked at in part tells nothing.
        if work::is_over() {
            return Err(Stop::Costly);
        }
        found.map_err(|place| Stop::Leak(place.as_str()))?;
        // A pass for which no time was left tells of files that another one has read.
        let mut left = looked_at.left.clone();
        left.extend(rewritten.left.iter().filter(|file| !looked_at.left.contains(file)).cloned());
        // The one place that decides of files in which the author's own address is left, whatever
        // they are packed in. The honest: it goes and he is told what helps, or, where the operator
        // wants that, it is refused and the part is named. What was not read may hold anything:
        // nobody is refused for that. The liar: nothing, as only his own addresses are looked for.
        if let Some(part) = shows_address(&left).filter(|_| in_files == AddressesInFiles::Refuse) {
            return Err(Stop::File(part, left));
        }
        let bytes = self.signed(&letter.shop.domain, rewritten.bytes, received);
        Ok((bytes, rewritten.passed, rewritten.unsigned, left))
    }

    /// The author's addresses that his message must not show: each that he has or had, what he
    /// writes this one as, where nobody registered that very spelling, and those of his own domain.
    /// It was his when the message was taken, whatever is registered now.
    fn hidden<'p>(&self, author: &'p Party, raw: &[u8], inspection: &Inspection) -> Cow<'p, [AddressKey]> {
        let written = inspection.author.as_ref().ok().map(|found| found.address.clone());
        let sent = inspection.sender.iter().flatten().filter(|sender| self.writes_as(author, sender));
        let mut own: Vec<Address> = written.into_iter().chain(sent.cloned()).collect();
        if !author.domains.is_empty() {
            own.extend(search::addresses_in(raw, &author.domains, COLLEAGUES));
        }
        let known = |one: &Address| {
            author.addresses.contains(one) || author.known.iter().any(|key| key.is_spelled(one.local(), one.domain()))
        };
        let fresh: Vec<AddressKey> = own.iter().filter(|one| !known(one)).map(Address::key).collect();
        if fresh.is_empty() { Cow::Borrowed(&author.known) } else { Cow::Owned([&*author.known, &*fresh].concat()) }
    }

    /// The reader's own messages that a letter may quote, with the copies that were made of them.
    /// What the store does not keep any more is not given back.
    ///
    /// Reading them has an allowance of its own, the same each time: who was sent much cannot help
    /// it, and a retry gives the same bytes.
    fn originals(&self, letter: &Letter, inspection: &Inspection, answer: &Order<'_>) -> Result<Vec<Original>> {
        let (reader, pair) = (letter.author.other(), &letter.pair);
        let (mut found, mut room) = (Vec::new(), MOST_ORIGINALS);
        let mut allowed = self.config.limits.steps();
        for id in self.store.read(|view| self.quotable(view, letter, inspection))? {
            // One at a time: each may be as large as a message may be.
            let Some(raw) = self.store.read(|view| view.raw(id))? else { continue };
            let Some(left) = room.checked_sub(raw.len()) else { continue };
            room = left;
            let written = author::read(&headers::split(&raw).0).ok();
            let order = Order {
                from: (&pair.party(reader).name, pair.alias(reader)),
                author_name: written.as_ref().and_then(|author| author.name.as_deref()),
                to: pair.alias(letter.author),
                ..answer.clone()
            };
            let read = || Original::read(&raw, &order, replacements(pair, reader));
            found.extend(work::out_of(&mut allowed, read));
        }
        Ok(found)
    }

    /// Which messages of its reader a letter may quote: those that it names, and the last ones
    /// before it.
    fn quotable(&self, view: &View<'_>, letter: &Letter, inspection: &Inspection) -> Result<Vec<MessageId>> {
        let reader = letter.author.other();
        let mut found = Vec::new();
        for id in inspection.in_reply_to.iter().chain(inspection.references.iter().rev()).take(NAMED) {
            let Some(message) = self.known_id(view, letter, id)? else { continue };
            let entry = view.thread_entry(message)?;
            let theirs = entry
                .is_some_and(|entry| entry.pair == Some(letter.pair.id) && entry.author == reader && entry.relayed);
            if theirs && message < letter.id {
                found.push(message);
            }
        }
        found.extend(view.last_relayed(letter.pair.id, reader, letter.id, LAST)?);
        let mut seen = HashSet::new();
        found.retain(|message| seen.insert(*message));
        Ok(found)
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
        let words = self.texts.footer(language, default);
        let words = |word: &str| words(word).to_owned();
        let action = |purpose: Purpose| Action {
            purpose,
            label: words(purpose.word()),
            address: format!("{}+{}@{}", purpose.word(), secret.token(purpose, letter.id), shop.domain),
        };
        let company = &letter.pair.party(Role::Seller).name;
        let seller = (side == Role::Buyer && !company.trim().is_empty())
            .then(|| Seller { label: words("seller"), name: company.clone() });
        let mark = secret.mark(letter.pair.id, side, letter.thread);
        let [links, addresses] = NAMING.map(|word| words(word).replace("{marketplace}", &shop.settings.name));
        let (send, unsigned) = (words("send"), words("unsigned"));
        Some(Footer { mark, links, addresses, send, unsigned, seller, actions: purposes.map(action).to_vec() })
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
            Ok((bytes, ..)) => Loaded::Bytes(bytes),
            Err(Stop::Leak(place)) => {
                self.metrics.guard_stops.inc();
                Loaded::Unclean(place)
            }
            Err(Stop::File(..)) => Loaded::Unclean("file"),
            Err(Stop::Trouble(error)) => return Err(error),
            Err(Stop::Closed(why)) => Loaded::Unclean(why.as_str()),
            Err(Stop::Malformed) => Loaded::Unclean("malformed"),
            // Not here: what was accepted comes out the same again, whatever it costs.
            Err(Stop::Costly) => Loaded::Unclean("costly"),
        })
    }
}

/// The first part that shows the author's own address, `2.1`.
fn shows_address(left: &[(String, Left)]) -> Option<String> {
    left.iter().find(|(_, file)| file.why != Cannot::Unread).map(|(part, _)| part.clone())
}

/// Which files show the author's own address, and which were not read, for the history.
fn tell_left(letter: &mut Letter, left: &[(String, Left)]) {
    for (name, unread) in [("addresses", false), ("unread", true)] {
        let files = left.iter().filter(|(_, file)| (file.why == Cannot::Unread) == unread);
        let word = |(path, file): &(String, Left)| format!("{path}:{}:{}", file.kind, file.why.as_str());
        let files: Vec<String> = files.take(20).map(word).collect();
        if !files.is_empty() {
            letter.facts.push_str(&format!(" {name}={}", files.join(",")));
        }
    }
}

/// What goes out, with the files that may tell of their maker, the parts that lost a signature, and
/// the files that show an address.
type Written = (Bytes, Vec<Passed>, Vec<String>, Vec<(String, Left)>);

/// What a message answers, without angle brackets.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    in_reply_to: Vec<String>,
    references: Vec<String>,
}

/// Why a message cannot go out.
enum Stop {
    Closed(Closed),
    Malformed,
    Costly,
    Leak(&'static str),
    /// A file shows the author's address, and the operator wants none: the part, and all of them.
    File(String, Vec<(String, Left)>),
    /// The store's.
    Trouble(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error)
    }
}

impl From<Unclean> for Stop {
    fn from(why: Unclean) -> Self {
        match why {
            Unclean::Closed(why) => Self::Closed(why),
            Unclean::Costly => Self::Costly,
            Unclean::Limits => Self::Malformed,
        }
    }
}

/// Ids in an answer that may name what it quotes.
const NAMED: usize = 4;
/// Addresses of a seller's own domain in one message that are hidden.
const COLLEAGUES: usize = 32;
/// The reader's last messages that an answer may quote without naming them.
const LAST: usize = 3;
/// Octets of the messages that an answer may quote, together: the first ones that have room are
/// looked at.
const MOST_ORIGINALS: usize = 32 << 20;

/// Every address that either party has or had, and what stands in its place in a copy of what
/// `author` wrote.
fn replacements(pair: &Pair, author: Role) -> Replacements {
    let side = |role: Role| (pair.party(role).known.as_slice(), pair.alias(role));
    Replacements::new(side(author), side(author.other()))
}
