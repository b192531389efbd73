//! `marketrelay alias …`.

use super::party::find;
use super::{Context, Failure, Outcome};
use crate::store::{Filter, Open, Orders, Pair};
use crate::types::{Alias, ExternalId, Role, SystemRandom, Time};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The two aliases of a buyer and a seller; made if need be, and the same for ever
    Get {
        /// The buyer's id
        #[arg(long)]
        buyer: ExternalId,
        /// The seller's id
        #[arg(long)]
        seller: ExternalId,
    },
    /// Whose an alias is: pair, side, its orders, its threads
    Show {
        /// The alias
        address: String,
    },
}

/// Orders and messages of a pair that are shown.
const SHOWN: usize = 20;

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        match self {
            Self::Get { buyer, seller } => get(context, &buyer, &seller),
            Self::Show { address } => show(context, &address),
        }
    }
}

fn get(context: Context<'_>, buyer: &ExternalId, seller: &ExternalId) -> Outcome {
    let shop = context.marketplace()?.clone();
    let length = context.config.alias_length;
    let store = context.store(Open::Existing)?;
    let (buyer, seller) =
        (find(&store, &shop.id, Role::Buyer, buyer)?.id, find(&store, &shop.id, Role::Seller, seller)?.id);
    let pair = store.write_blocking(move |change| {
        let pair = change.pair_or_new(buyer, seller, (&shop.domain, length), Time::now(), &mut SystemRandom)?;
        change.pair(pair)
    })?;
    let said = format!(
        "buyer alias (the seller writes to it):  {}\nseller alias (the buyer writes to it): {}",
        pair.buyer_alias.as_str(),
        pair.seller_alias.as_str()
    );
    context.out.done(&document(&pair), &said)
}

fn document(pair: &Pair) -> serde_json::Value {
    json!({
        "marketplace": pair.buyer.marketplace, "buyer": pair.buyer.external, "seller": pair.seller.external,
        "buyer_alias": pair.buyer_alias.as_str(), "seller_alias": pair.seller_alias.as_str(),
    })
}

fn show(context: Context<'_>, address: &str) -> Outcome {
    let store = context.store(Open::Existing)?;
    let alias = Alias::from_text(address.trim());
    let found = store.read(|view| {
        let Some(resolved) = view.resolve(&alias)? else { return Ok(None) };
        let pair = view.pair(resolved.pair)?;
        if !context.is_meant(Some(&pair.buyer.marketplace)) {
            return Ok(None);
        }
        let filter =
            Filter { buyer: Some(pair.buyer.id), seller: Some(pair.seller.id), limit: SHOWN, ..Filter::default() };
        let (orders, messages) = (view.orders(Orders::Pair(pair.id), SHOWN)?, view.messages(&filter)?);
        Ok(Some((resolved, pair, orders, messages)))
    })?;
    let Some((resolved, pair, orders, messages)) = found else {
        return Err(Failure::NotFound("no such alias".to_owned()));
    };
    // Threads take turns: each is told once, the newest first.
    let mut threads: Vec<&str> = Vec::new();
    for message in &messages {
        if !threads.contains(&message.thread.as_str()) {
            threads.push(&message.thread);
        }
    }
    let mut document = document(&pair);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("alias".into(), alias.as_str().into());
        fields.insert("side".into(), resolved.side.as_str().into());
        fields.insert("orders".into(), json!(orders));
        fields.insert("threads".into(), json!(threads));
    }
    let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
    let party = pair.party(resolved.side);
    let said = format!(
        "{} stands for {} {} ({}), written to by {} {}, of marketplace {}.\norders:  {}\nthreads: {}",
        alias.as_str(),
        resolved.side,
        party.external,
        if party.removed { "removed" } else { party.name.as_str() },
        resolved.side.other(),
        pair.party(resolved.side.other()).external,
        party.marketplace,
        if ids.is_empty() { "none".to_owned() } else { ids.join(", ") },
        if threads.is_empty() { "none".to_owned() } else { threads.join(", ") },
    );
    context.out.done(&document, &said)
}
