//! `marketrelay message refusals`: refused mail of strangers, as far as it is summed.

use super::which::Parties;
use super::{Context, Outcome};
use crate::store::Store;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    parties: Parties,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) fn list(context: Context<'_>, store: &Store, which: &Which) -> Outcome {
    let [buyer, seller] = which.parties.found(&context, store)?;
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
