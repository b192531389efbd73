//! `marketrelay quota …`.

use super::party::find;
use super::{Context, Outcome};
use crate::policy::quota::{Day, average, limit, window_start};
use crate::store::Open;
use crate::types::{ExternalId, Role, Time};
use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How much a seller may send today, and how much it has sent
    Show {
        /// The seller's id
        #[arg(long)]
        seller: ExternalId,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let Self::Show { seller } = self;
        let shop = context.marketplace()?.clone();
        let store = context.store(Open::Existing)?;
        let party = find(&store, &shop.id, Role::Seller, &seller)?;
        let zone = TimeZone::get(&shop.time_zone).unwrap_or(TimeZone::UTC);
        let (now, rules) = (Time::now(), &context.config.policy.quota);
        let day = Day::at(now, &zone);
        let (orders, used) = store.read(|view| {
            let orders = view.count_orders(party.id, window_start(now, &zone, rules), now)?;
            Ok((orders, view.quota_used(party.id, day.starts)?))
        })?;
        let (limit, average) = (limit(orders, rules), average(orders, rules));
        let document =
            json!({ "limit": limit, "used": used, "average_orders_per_day": average, "resets_at": day.opens.clone() });
        let said = format!(
            "Seller {seller} has sent {used} of {limit} messages today ({average:.1} orders a day on average); the next day begins at {}.",
            day.opens
        );
        context.out.done(&document, &said)
    }
}
