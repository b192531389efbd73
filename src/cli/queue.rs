//! `marketrelay queue …`: what waits to go out.

use super::{Context, Failure, Outcome};
use crate::store::queue::{Item, ItemId, Kind, Which};
use crate::store::{Change, Open, Store, StoreError};
use crate::types::{MessageId, Time};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what waits, oldest first; of one destination, what is due first
    List {
        /// Of this destination domain
        #[arg(long, visible_alias = "destination")]
        domain: Option<String>,
        /// Only those that wait, or are being delivered
        #[arg(long)]
        state: Option<State>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Why one item waits
    Show {
        /// The item's id
        id: ItemId,
    },
    /// Try again now: one item, or all (of a destination)
    Retry {
        /// The item's id; all if left out
        #[arg(conflicts_with = "domain")]
        id: Option<ItemId>,
        /// Of this destination domain
        #[arg(long, visible_alias = "destination")]
        domain: Option<String>,
    },
    /// Take an item, or all of a destination or state, out of the queue; the history says so, and nobody is told
    Cancel {
        /// The item's id
        #[arg(required_unless_present_any = ["domain", "state"], conflicts_with_all = ["domain", "state"])]
        id: Option<ItemId>,
        /// All of this destination domain
        #[arg(long, visible_alias = "destination")]
        domain: Option<String>,
        /// All that wait, or are being delivered
        #[arg(long)]
        state: Option<State>,
    },
}

/// States of an item that are shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    Waiting,
    Delivering,
}

/// Items that are made due in one transaction.
const BATCH: usize = 10_000;

/// Items that are cancelled in one transaction: each has an entry in its history.
const CANCELLED: usize = 1000;

fn is_leased(state: State) -> bool {
    matches!(state, State::Delivering)
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let store = context.store(Open::Existing)?;
        let now = Time::now();
        let shop = context.marketplace.clone();
        let which =
            |domain, wanted: Option<State>| Which { domain, leased: wanted.map(is_leased), marketplace: shop.clone() };
        let meant = |id| {
            let found = store.read(|view| {
                let found = view.queue_item(id)?;
                found.map(|item| Ok((view.marketplace_of_item(&item)?, item))).transpose()
            })?;
            found.filter(|(shop, _)| context.is_meant(shop.as_deref())).ok_or_else(|| missing(id))
        };
        match self {
            Self::List { domain, state: wanted, limit } => {
                let which = which(domain, wanted);
                let items = store.read(|view| {
                    let items = view.queue(&which, limit)?;
                    items
                        .into_iter()
                        .map(|item| Ok((view.marketplace_of_item(&item)?, item)))
                        .collect::<Result<Vec<_>, _>>()
                })?;
                let documents: Vec<Value> = items.iter().map(|(shop, item)| document(shop.as_deref(), item)).collect();
                let rows = items.iter().map(|(shop, item)| {
                    let (id, kind, tries) =
                        (item.id.to_string(), item.kind.as_str().to_owned(), item.attempts.to_string());
                    vec![
                        id,
                        item.message.to_string(),
                        shop.clone().unwrap_or_default(),
                        kind,
                        item.domain.clone(),
                        item.queued.rfc3339(),
                        tries,
                        state(item),
                    ]
                });
                let head = ["id", "message", "marketplace", "kind", "destination", "queued", "attempts", "state"];
                context.out.table(&documents, &head, rows.collect(), "The queue is empty.")
            }
            Self::Show { id } => {
                let (shop, item) = meant(id)?;
                let what = match item.kind {
                    // The history has no message of it.
                    Kind::Forward => "mail to postmaster or abuse".to_owned(),
                    kind => {
                        format!("{} of message {}, of {}", kind.as_str(), item.message, shop.as_deref().unwrap_or("-"))
                    }
                };
                let text = format!(
                    "item {id}: {what} to {}\n  queued {}, {} attempt(s)\n  {}",
                    item.domain,
                    item.queued.rfc3339(),
                    item.attempts,
                    state(&item)
                );
                context.out.done(&document(shop.as_deref(), &item), &text)
            }
            Self::Retry { id: Some(id), .. } => {
                meant(id)?;
                let due = store.write_blocking(move |change| change.retry(id, now))?;
                let said = if due { "is due now" } else { "is being delivered already" };
                context.out.done(&json!({ "retried": usize::from(due) }), &format!("Item {id} {said}."))
            }
            Self::Retry { id: None, domain } if context.marketplace.is_some() => {
                let which = which(domain, Some(State::Waiting));
                let retried = each(&store, &which, BATCH, move |change, ids| change.retry_each(ids, now))?;
                context.out.done(&json!({ "retried": retried }), &format!("{retried} item(s) are due now."))
            }
            Self::Retry { id: None, domain } => {
                let (mut count, mut next) = (0, Some(String::new()));
                while let Some(after) = next {
                    let domain = domain.clone();
                    let (more, then) = store.write_blocking(move |change| match domain {
                        Some(domain) => {
                            let more = change.retry_destination(&domain, now, BATCH)?;
                            Ok((more, (more == BATCH).then_some(after)))
                        }
                        None => change.retry_all(&after, now, BATCH),
                    })?;
                    (count, next) = (count + more, then);
                }
                context.out.done(&json!({ "retried": count }), &format!("{count} item(s) are due now."))
            }
            Self::Cancel { id: None, domain, state: wanted } => {
                let which = which(domain, wanted);
                let count = each(&store, &which, CANCELLED, move |change, ids| change.cancel_each(ids, now))?;
                context.out.done(&json!({ "cancelled": count }), &format!("{count} item(s) are out of the queue."))
            }
            Self::Cancel { id: Some(id), .. } => {
                meant(id)?;
                if store.write_blocking(move |change| change.cancel(id, now))? {
                    context.out.done(&json!({ "cancelled": 1 }), &format!("Item {id} is out of the queue."))
                } else {
                    Err(missing(id))
                }
            }
        }
    }
}

/// Does something with the items that are meant, some in each transaction; how many it counted.
fn each(
    store: &Store,
    which: &Which,
    limit: usize,
    act: impl Fn(&Change<'_>, &[ItemId]) -> Result<usize, StoreError> + Clone + Send + 'static,
) -> Result<usize, Failure> {
    let (mut count, mut last) = (0, Some(ItemId(MessageId(0))));
    while let Some(after) = last {
        let ids = store.read(|view| view.queue_ids(which, after, limit))?;
        last = ids.last().copied();
        let act = act.clone();
        count += store.write_blocking(move |change| act(change, &ids))?;
    }
    Ok(count)
}

fn missing(id: ItemId) -> Failure {
    Failure::NotFound(format!("no item {id} in the queue"))
}

/// What an item does, and why.
pub(super) fn state(item: &Item) -> String {
    let why = if item.waits_for.is_empty() { String::new() } else { format!(" ({})", item.waits_for) };
    if item.leased { "being delivered".to_owned() } else { format!("next try {}{why}", item.due.rfc3339()) }
}

pub(super) fn document(marketplace: Option<&str>, item: &Item) -> Value {
    json!({
        "id": item.id.to_string(), "message": item.message.to_string(), "marketplace": marketplace, "kind": item.kind.as_str(), "destination": item.domain,
        "queued": item.queued.rfc3339(), "next_try": item.due.rfc3339(), "attempts": item.attempts,
        "state": if item.leased { "leased" } else { "waiting" }, "waits_for": item.waits_for,
    })
}
