//! `marketrelay order …`.

use super::party::find;
use super::{Context, Failure, Outcome};
use crate::store::{NewOrder, Open, Order, Orders};
use crate::types::{ExternalId, Role, SystemRandom, Time};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create or change an order; the pair and its aliases are made if need be
    #[command(
        after_help = "Example:\n  marketrelay order set 250-1 --buyer B-7 --seller S-1 --status shipped --placed 2026-11-21T09:00:00+09:00"
    )]
    Set {
        /// The platform's id
        id: ExternalId,
        /// The buyer's id
        #[arg(long)]
        buyer: ExternalId,
        /// The seller's id
        #[arg(long)]
        seller: ExternalId,
        /// As the platform words it
        #[arg(long)]
        status: Option<String>,
        /// As the platform words it
        #[arg(long)]
        category: Option<String>,
        /// When it was placed; now if left out
        #[arg(long, value_name = "RFC3339", value_parser = moment)]
        placed: Option<Time>,
    },
    /// Show an order
    Show {
        /// The platform's id
        id: ExternalId,
    },
    /// List orders, newest first
    List {
        /// Of this seller
        #[arg(long)]
        seller: Option<ExternalId>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

fn moment(text: &str) -> Result<Time, String> {
    Time::from_rfc3339(text).ok_or_else(|| "write it as 2026-11-21T09:00:00+09:00".to_owned())
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        match self {
            Self::Set { id, buyer, seller, status, category, placed } => {
                let new = NewOrder { external: id, status, category, placed };
                set(context, &buyer, &seller, new)
            }
            Self::Show { id } => {
                let shop = context.marketplace()?.id.clone();
                let found = context.store(Open::Existing)?.read(|view| view.order(&shop, id.as_str()))?;
                let order = found.ok_or_else(|| Failure::NotFound(format!("no order {id} in marketplace {shop}")))?;
                print(context, &order)
            }
            Self::List { seller, limit } => {
                let store = context.store(Open::Existing)?;
                let which = match (&seller, &context.marketplace) {
                    (Some(id), _) => Orders::Seller(find(&store, &context.marketplace()?.id, Role::Seller, id)?.id),
                    (None, Some(shop)) => Orders::Marketplace(shop),
                    (None, None) => Orders::All,
                };
                let orders = store.read(|view| view.orders(which, limit))?;
                let rows = orders.iter().map(row).collect();
                context.out.table(&orders, &HEAD, rows, "There are no orders.")
            }
        }
    }
}

const HEAD: [&str; 7] = ["id", "marketplace", "buyer", "seller", "status", "category", "placed"];

fn row(order: &Order) -> Vec<String> {
    let of = [&order.id, &order.marketplace, &order.buyer, &order.seller];
    of.into_iter().chain([&order.status, &order.category, &order.placed]).cloned().collect()
}

fn print(context: Context<'_>, order: &Order) -> Outcome {
    context.out.table(order, &HEAD, vec![row(order)], "")
}

fn set(context: Context<'_>, buyer: &ExternalId, seller: &ExternalId, new: NewOrder) -> Outcome {
    let (shop, domain) = (context.marketplace()?.id.clone(), context.marketplace()?.domain.clone());
    let length = context.config.alias_length;
    let store = context.store(Open::Existing)?;
    let (buyer, seller) = (find(&store, &shop, Role::Buyer, buyer)?.id, find(&store, &shop, Role::Seller, seller)?.id);
    let order = store.write_blocking(move |change| {
        let now = Time::now();
        let pair = change.pair_or_new(buyer, seller, (&domain, length), now, &mut SystemRandom)?;
        change.set_order(&shop, seller, pair, &new, now)?;
        change.order(&shop, new.external.as_str())
    })?;
    match order {
        Some(order) => print(context, &order),
        None => Err(Failure::Failed("the order was not kept".to_owned())),
    }
}
