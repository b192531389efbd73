//! `marketrelay buyer|seller export ID`: what is kept of a person, for the person (GDPR article
//! 15). One JSON document, one message after another, so that a long history takes no memory.
//!
//! What the person wrote is there as it was received. What was written to the person is there as
//! the person got it: the copy is made anew from the message as received, so that it tells no more
//! of its author than the first one did. Nothing else of the other party is in here: no address, no
//! id of the platform, no fact that its messages were judged by.

use super::export::new_file;
use super::party::{document, find};
use super::walk::facts;
use super::{Context, Failure, Outcome};
use crate::metrics::Metrics;
use crate::notice::Texts;
use crate::outbound::Loaded;
use crate::relay::Relay;
use crate::store::{Filter, MessageRow, Open, Pair, Party, Store};
use crate::types::{ExternalId, MessageId, PairId, Role, Time};
use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Rows that are read at once.
const STEP: usize = 200;
/// Orders that are told.
const ORDERS: usize = 100_000;

/// Where it goes.
#[derive(Debug, Args)]
pub(super) struct To {
    /// The new file; standard output if left out
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `buyer export ID`, `seller export ID`.
pub(super) fn export(context: Context<'_>, role: Role, id: &ExternalId, to: &To) -> Outcome {
    let store = context.store(Open::Existing)?;
    let party = find(&store, &context.marketplace()?.id, role, id)?;
    let config = Arc::new(context.config.clone());
    let relay = Relay::new(config, store.clone(), Texts::built_in(), Metrics::default())?;
    let disclosure = Disclosure { store, relay, party, pairs: HashMap::new() };
    match &to.output {
        None => context.out.stream(|out| disclosure.write(out).map(drop)),
        Some(path) => {
            let mut file = new_file(path)?;
            let messages = disclosure.write(&mut file)?;
            file.flush()?;
            let said = format!("What is kept of {role} {id} was written to {}: {messages} message(s).", path.display());
            context.out.done(&json!({ "messages": messages, "file": path }), &said)
        }
    }
}

struct Disclosure {
    store: Store,
    relay: Arc<Relay>,
    party: Party,
    pairs: HashMap<PairId, Pair>,
}

impl Disclosure {
    fn write(mut self, out: &mut dyn Write) -> Result<usize, Failure> {
        let party = &self.party;
        let (password, erasure, orders) = self.store.read(|view| {
            let orders = view.orders_of(party, ORDERS)?;
            Ok((view.has_password(party.id)?, view.erasure_of_party(party.id)?, orders))
        })?;
        let mut person = document(party);
        if let Some(fields) = person.as_object_mut() {
            fields.insert("role".into(), party.role.as_str().into());
            fields.insert("password".into(), password.into());
            let now: Vec<String> = party.addresses.iter().map(|address| address.key().expose().to_owned()).collect();
            let former: Vec<&str> = party
                .known
                .iter()
                .map(|key| key.expose())
                .filter(|key| !now.iter().any(|known| known == key))
                .collect();
            fields.insert("former_addresses".into(), json!(former));
            let erased = erasure.map(|erasure| json!({ "at": erasure.at, "done": erasure.done }));
            fields.insert("erased".into(), json!(erased));
        }
        let orders: Vec<Value> = orders
            .into_iter()
            .map(|order| json!({ "id": order.id, "status": order.status, "category": order.category, "placed": order.placed }))
            .collect();
        write!(
            out,
            "{{\n\"format\": \"marketrelay disclosure 1\",\n\"made\": {},\n\"party\": {person:#},\n\"orders\": {:#},\n\"messages\": [",
            json!(Time::now().rfc3339()),
            json!(orders)
        )?;
        let mut count = 0;
        let mut after = MessageId(0);
        loop {
            let (buyer, seller) = match self.party.role {
                Role::Buyer => (Some(self.party.id), None),
                Role::Seller => (None, Some(self.party.id)),
            };
            let filter = Filter { buyer, seller, limit: STEP, after: Some(after), ..Filter::default() };
            let rows = self.store.read(|view| view.messages(&filter))?;
            let Some(last) = rows.last() else { break };
            after = MessageId(last.number);
            for row in rows {
                if let Some(entry) = self.entry(&row)? {
                    write!(out, "{}{entry:#}", if count == 0 { "\n" } else { ",\n" })?;
                    count += 1;
                }
            }
        }
        write!(out, "{}],\n\"aliases\": {:#}\n}}\n", if count == 0 { "" } else { "\n" }, json!(self.aliases()?))?;
        Ok(count)
    }

    /// The person's aliases, and those that it wrote to.
    fn aliases(&self) -> Result<Vec<Value>, Failure> {
        let (mut found, mut after) = (Vec::new(), PairId(0));
        loop {
            let pairs = self.store.read(|view| {
                let ids = view.pairs_of_party(&self.party, after)?;
                ids.into_iter().map(|id| view.pair(id)).collect::<Result<Vec<Pair>, _>>()
            })?;
            let Some(last) = pairs.last() else { return Ok(found) };
            after = last.id;
            let role = self.party.role;
            found.extend(pairs.iter().map(|pair| {
                json!({ "stands_for_you": pair.alias(role).as_str(), "you_write_to": pair.alias(role.other()).as_str() })
            }));
        }
    }

    /// One message. None: it was written to the person and never sent on, so it is its author's
    /// alone.
    fn entry(&mut self, row: &MessageRow) -> Result<Option<Value>, Failure> {
        let id = MessageId(row.number);
        let (role, sent) = (self.party.role, row.author == self.party.role.as_str());
        let Some(pair) = row.pair.map(|pair| self.pair(pair)).transpose()?.filter(|_| sent || row.verdict == "relay")
        else {
            return Ok(None);
        };
        let other = pair.party(role.other());
        let with = json!({ "alias": pair.alias(role.other()).as_str(), "name": other.name });
        let (events, tombstone, reason) =
            self.store.read(|view| Ok((view.events(id)?, view.tombstone(id)?, view.reason_of(id, role)?)))?;
        let erased = tombstone.map(|tombstone| json!({ "at": tombstone.erasure.at, "whole": tombstone.whole }));
        // A copy that never left, or that waits, was not received.
        let content = if sent {
            self.store.read(|view| view.raw(id))?
        } else if matches!(row.fate.as_str(), "delivered") {
            match self.relay.copy(id)? {
                Loaded::Bytes(bytes) => Some(bytes.to_vec()),
                Loaded::Gone | Loaded::Unclean(_) => None,
            }
        } else {
            None
        };
        let text = content.as_deref().and_then(|octets| std::str::from_utf8(octets).ok());
        let octets = content.as_deref().filter(|_| text.is_none()).map(|octets| BASE64.encode(octets));
        let mut entry = json!({
            "id": row.id, "direction": if sent { "sent" } else { "received" }, "at": row.received, "with": with,
            "thread": row.thread, "automatic": row.automatic, "verdict": row.verdict, "fate": row.fate, "erased": erased,
            "raw": text, "raw_base64": octets, "reported": reason,
        });
        if let Some(fields) = entry.as_object_mut().filter(|_| sent) {
            let facts: serde_json::Map<_, _> =
                facts(&row.facts).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            fields.insert("subject".into(), row.subject.clone().into());
            fields.insert("reason".into(), row.reason.clone().into());
            fields.insert("facts".into(), facts.into());
            fields.insert("events".into(), json!(events));
        }
        Ok(Some(entry))
    }

    fn pair(&mut self, id: PairId) -> Result<Pair, Failure> {
        if let Some(pair) = self.pairs.get(&id) {
            return Ok(pair.clone());
        }
        let pair = self.store.read(|view| view.pair(id))?;
        if self.pairs.len() > STEP {
            self.pairs.clear();
        }
        self.pairs.insert(id, pair.clone());
        Ok(pair)
    }
}
