//! `marketrelay message refusals`: refused mail of strangers, as far as it is summed.

use super::party::find;
use super::{Context, Failure, Outcome};
use crate::store::Store;
use crate::types::{ExternalId, Role};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only to aliases of this seller's pairs
    #[arg(long)]
    seller: Option<ExternalId>,
    /// Only to aliases of this buyer's pairs
    #[arg(long)]
    buyer: Option<ExternalId>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) fn list(context: Context<'_>, store: &Store, which: &Which) -> Outcome {
    let party = |id: &Option<ExternalId>, role| {
        let id = id.as_ref();
        id.map(|id| Ok::<_, Failure>(find(store, &context.marketplace()?.id, role, id)?.id)).transpose()
    };
    let (buyer, seller) = (party(&which.buyer, Role::Buyer)?, party(&which.seller, Role::Seller)?);
    let shop = context.marketplace.as_deref();
    let rows = store.read(|view| view.refusals(shop, (buyer, seller), which.limit))?;
    let several = |name: &Option<String>| name.clone().unwrap_or_else(|| "several".to_owned());
    let cells = rows.iter().map(|row| {
        vec![
            row.minute.clone(),
            several(&row.client),
            several(&row.marketplace),
            several(&row.buyer),
            several(&row.seller),
            row.author.to_owned(),
            row.reason.clone(),
            row.number.to_string(),
        ]
    });
    let head = ["minute", "client", "marketplace", "buyer", "seller", "says it is the", "reason", "messages"];
    context.out.table(&rows, &head, cells.collect(), "No refused mail was summed.")
}
