//! `marketrelay quota …`.

use super::party::find;
use super::{Context, Outcome};
use crate::policy::opt_out::{critical_limit, worrying_share};
use crate::policy::quota::{Day, average, limit, window_start};
use crate::store::{CriticalOf, Open};
use crate::types::{ExternalId, Role, Time};
use clap::Subcommand;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How much a seller may send today, and how much it has sent
    Show {
        /// The seller's id
        #[arg(long)]
        seller: ExternalId,
    },
    /// List what sellers declared critical to reach buyers who have opted out, those with the
    /// greatest share of each marketplace first
    #[command(after_help = "Examples:\n  marketrelay quota critical\n  marketrelay quota critical --days 7 --json")]
    Critical {
        /// Of the last days, today included
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3660))]
        days: u16,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        match self {
            Self::Show { seller } => show(context, &seller),
            Self::Critical { days } => critical(context, days),
        }
    }
}

fn show(context: Context<'_>, seller: &ExternalId) -> Outcome {
    let shop = context.marketplace()?.clone();
    let store = context.store(Open::Existing)?;
    let party = find(&store, &shop.id, Role::Seller, seller)?;
    let zone = TimeZone::get(&shop.time_zone).unwrap_or(TimeZone::UTC);
    let (now, policy) = (Time::now(), &context.config.policy);
    let rules = &policy.quota;
    let day = Day::at(now, &zone);
    let (orders, used, critical) = store.read(|view| {
        let orders = view.count_orders(party.id, window_start(now, &zone, rules), now)?;
        Ok((orders, view.quota_used(party.id, day.starts)?, view.critical(party.id, day.starts)?))
    })?;
    let (limit, average) = (limit(orders, rules), average(orders, rules));
    let critical_limit = critical_limit(orders, policy);
    let document = json!({
        "limit": limit, "used": used, "average_orders_per_day": average, "resets_at": day.opens.to_string(),
        "critical": { "limit": critical_limit, "used": critical.used, "over_limit": critical.over },
    });
    let said = format!(
        "Seller {seller} has sent {used} of {limit} messages today ({average:.1} orders a day on average), {} of {critical_limit} as critical to buyers who have opted out; the next day begins at {}.",
        critical.used, day.opens
    );
    context.out.done(&document, &said)
}

/// A seller's critical messages, with their share of all that it sent.
#[derive(Serialize)]
struct Listed {
    marketplace: String,
    #[serde(flatten)]
    of: CriticalOf,
    /// In percent.
    share: u64,
    /// The share is one that the operator wants to hear of.
    worrying: bool,
}

fn critical(context: Context<'_>, days: u16) -> Outcome {
    let store = context.store(Open::Existing)?;
    let rules = &context.config.policy.opt_out;
    // The moment so many days ago lies in the first of them.
    let ago = Duration::from_secs(u64::from(days.saturating_sub(1)) * 86_400);
    let mut listed: Vec<Listed> = Vec::new();
    for shop in context.marketplaces()? {
        let zone = TimeZone::get(&shop.time_zone).unwrap_or(TimeZone::UTC);
        let since = Day::at(Time::now().minus(ago), &zone).starts;
        let found = store.read(|view| view.critical_senders(&shop.id, since))?;
        listed.extend(found.into_iter().map(|of| Listed {
            marketplace: shop.id.clone(),
            share: (of.critical.saturating_mul(100) / of.messages.max(1)).min(100),
            worrying: worrying_share(of.critical, of.messages, rules).is_some(),
            of,
        }));
    }
    let cells = listed.iter().map(|row| {
        let Listed { marketplace, of, share, worrying } = row;
        let share = format!("{share} %{}", if *worrying { " !" } else { "" });
        vec![
            marketplace.clone(),
            of.seller.clone(),
            of.critical.to_string(),
            of.messages.to_string(),
            share,
            of.over_limit.to_string(),
        ]
    });
    let head = ["marketplace", "seller", "critical", "of messages", "share", "over the limit"];
    let none = format!("Nobody has sent critical messages to buyers who have opted out in {days} days.");
    context.out.table(&listed, &head, cells.collect(), &none)
}
