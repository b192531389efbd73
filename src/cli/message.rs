//! `marketrelay message …`: the history.

use super::export::Export;
use super::statistics::period;
use super::which::Which;
use super::{Context, Failure, Outcome};
use crate::store::{Filter, MessageRow, Open, Store};
use crate::types::{MessageId, Time};
use clap::Subcommand;
use serde::Serialize;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List messages, newest first
    #[command(
        after_help = "Examples:\n  marketrelay message list --order 250-1 --text '返品 broken'\n  marketrelay message list --seller S-1 --needs-response"
    )]
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many, the newest
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// The walk of one message: facts, verdict, deliveries
    Show {
        /// Its id, as the SMTP reply, the log and `message list` give it
        id: MessageId,
    },
    /// Erase one message: its octets, subject, ids and words go, its walk stays
    Erase {
        /// Its id
        id: MessageId,
        #[command(flatten)]
        how: super::erase::How,
    },
    /// Write messages as received, oldest first: to an mbox (mboxrd), or one file each with a timeline
    Export(Export),
    /// List what parties reported, newest first, and count by seller
    Reports(super::reports::Which),
    /// Sums of refused messages of strangers that have no rows of their own, newest first
    Refusals(super::refusals::Which),
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let store = context.store(Open::Existing)?;
        if let Self::Show { id } | Self::Erase { id, .. } = self {
            is_meant(&context, &store, id)?;
        }
        match self {
            Self::List { which, limit } => {
                let filter = Filter { limit, ..which.filter(&context, &store)? };
                let rows = store.read(|view| view.messages(&filter))?;
                let hours = u64::from(context.config.policy.response.deadline_hours);
                let deadline = Duration::from_secs(hours * 3600);
                let rows: Vec<Listed> = rows.into_iter().map(|row| Listed::of(row, deadline, Time::now())).collect();
                let mut head = vec![
                    "id",
                    "received",
                    "marketplace",
                    "buyer",
                    "seller",
                    "by",
                    "verdict",
                    "reason",
                    "fate",
                    "subject",
                ];
                if which.needs_response {
                    head.insert(2, "answer due");
                }
                let cells = rows.iter().map(|row| row.cells(which.needs_response)).collect();
                context.out.table(&rows, &head, cells, "There are no such messages.")
            }
            Self::Reports(which) => super::reports::list(context, &store, &which),
            Self::Refusals(which) => super::refusals::list(context, &store, &which),
            Self::Show { id } => super::walk::show(context, &store, id),
            Self::Erase { id, how } => super::erase::message(context, &store, id, &how),
            Self::Export(export) => export.run(context, &store),
        }
    }
}

/// A message of another marketplace than the one that is named is none.
fn is_meant(context: &Context<'_>, store: &Store, id: MessageId) -> Outcome {
    let found = store.read(|view| view.message(id))?;
    match found.filter(|row| context.is_meant(row.marketplace.as_deref())) {
        Some(_) => Ok(()),
        None => Err(Failure::NotFound(format!("no message {id}"))),
    }
}

/// A message with what is left of the time to answer it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    row: MessageRow,
    /// Until when the seller has to answer, while the clock runs.
    response_due: Option<String>,
    /// Below zero: overdue.
    response_seconds_left: Option<i64>,
}

impl Listed {
    fn of(row: MessageRow, deadline: Duration, now: Time) -> Self {
        let due = row.needs_response.then(|| row.since.plus(deadline));
        let left = due.map(|due| (due.0 - now.0).div_euclid(1000));
        Self { response_due: due.map(Time::rfc3339), response_seconds_left: left, row }
    }

    fn cells(&self, due: bool) -> Vec<String> {
        let mut cells = cells(&self.row);
        if due {
            let left = self.response_seconds_left.unwrap_or(0);
            let period = period(Duration::from_secs(left.unsigned_abs()));
            cells.insert(2, if left < 0 { format!("overdue by {period}") } else { format!("in {period}") });
        }
        cells
    }
}

/// In a word or two what became of a message.
pub(super) fn fate(row: &MessageRow) -> &str {
    if row.undelivered && row.fate == "delivered" { "bounced later" } else { &row.fate }
}

fn cells(row: &MessageRow) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let subject: String = row.subject.chars().take(40).collect();
    let (received, fate) = (row.received.clone(), fate(row).to_owned());
    let verdict = (row.verdict.clone(), row.reason.clone());
    vec![
        row.id.clone(),
        received,
        name(&row.marketplace),
        name(&row.buyer),
        name(&row.seller),
        row.author.into(),
        verdict.0,
        verdict.1,
        fate,
        subject,
    ]
}
