//! `marketrelay message …`: the history.

use super::party::find;
use super::statistics::period;
use super::{Context, Failure, Outcome};
use crate::store::queue::ItemId;
use crate::store::{Filter, MessageRow, Open, Store};
use crate::types::{ExternalId, MessageId, Role, Time};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this seller
    #[arg(long)]
    seller: Option<ExternalId>,
    /// Of this buyer
    #[arg(long)]
    buyer: Option<ExternalId>,
    /// With this verdict: relay, block, reject, defer
    #[arg(long, value_parser = ["relay", "block", "reject", "defer"])]
    verdict: Option<String>,
    /// Only buyers' messages that the seller has not answered
    #[arg(long)]
    needs_response: bool,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List messages, newest first
    List(Which),
    /// The walk of one message: facts, verdict, deliveries
    Show {
        /// Its id, as the SMTP reply, the log and `message list` give it
        id: MessageId,
    },
    /// Write messages as received to an mbox (mboxrd)
    Export {
        #[command(flatten)]
        which: Which,
        /// The file; standard output if left out
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let store = context.store(Open::Existing)?;
        match self {
            Self::List(which) => {
                let rows = which.messages(&context, &store)?;
                let hours = u64::from(context.config.policy.response.deadline_hours);
                let deadline = Duration::from_secs(hours * 3600);
                let rows: Vec<Listed> = rows.into_iter().map(|row| Listed::of(row, deadline, Time::now())).collect();
                let mut head = vec!["id", "received", "buyer", "seller", "by", "verdict", "reason", "fate", "subject"];
                if which.needs_response {
                    head.insert(2, "answer due");
                }
                let cells = rows.iter().map(|row| row.cells(which.needs_response)).collect();
                context.out.table(&rows, &head, cells, "There are no such messages.")
            }
            Self::Show { id } => super::walk::show(context, &store, id),
            Self::Export { which, output } => export(context, &store, &which, output),
        }
    }
}

impl Which {
    fn messages(&self, context: &Context<'_>, store: &Store) -> Result<Vec<MessageRow>, Failure> {
        let party = |id: &Option<ExternalId>, role| match id {
            Some(id) => Ok(Some(find(store, &context.marketplace()?.id, role, id)?.id)),
            None => Ok::<_, Failure>(None),
        };
        let filter = Filter {
            buyer: party(&self.buyer, Role::Buyer)?,
            seller: party(&self.seller, Role::Seller)?,
            pair: None,
            since: None,
            until: None,
            text: None,
            verdict: self.verdict.clone(),
            needs_response: self.needs_response,
            limit: self.limit,
        };
        Ok(store.read(|view| view.messages(&filter))?)
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
        let due = row.needs_response.then(|| row.time.plus(deadline));
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

fn cells(row: &MessageRow) -> Vec<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let subject: String = row.subject.chars().take(40).collect();
    let (received, fate) = (row.received.clone(), row.fate.clone());
    let verdict = (row.verdict.clone(), row.reason.clone());
    vec![
        row.id.clone(),
        received,
        name(&row.buyer),
        name(&row.seller),
        row.author.into(),
        verdict.0,
        verdict.1,
        fate,
        subject,
    ]
}

/// mboxrd: every line that begins with `From `, behind any number of `>`, gets one more.
fn export(context: Context<'_>, store: &Store, which: &Which, output: Option<PathBuf>) -> Outcome {
    let mut rows = which.messages(&context, store)?;
    rows.reverse();
    let mut mbox: Vec<u8> = Vec::new();
    let mut file =
        match &output {
            Some(path) => Some(std::fs::File::options().write(true).create_new(true).open(path).map_err(|error| {
                Failure::Failed(format!("cannot make {}: {error}. Name a new file", path.display()))
            })?),
            None => None,
        };
    let (mut written, mut missing) = (0_usize, 0_usize);
    for row in &rows {
        let Some(raw) = store.read(|view| view.raw(MessageId(row.number)))? else {
            missing += 1;
            continue;
        };
        written += 1;
        append(&mut mbox, row, &raw);
        if let Some(file) = &mut file {
            file.write_all(&mbox)?;
            mbox.clear();
        }
    }
    match output {
        None if context.out.is_json() => {
            let text = String::from_utf8_lossy(&mbox);
            context.out.done(&json!({ "messages": written, "not_kept": missing, "mbox": text }), "")
        }
        None => context.out.raw(&mbox),
        Some(path) => {
            let said = format!("{written} message(s) written to {}; {missing} not kept.", path.display());
            context.out.done(&json!({ "messages": written, "not_kept": missing, "file": path }), &said)
        }
    }
}

fn append(mbox: &mut Vec<u8>, row: &MessageRow, raw: &[u8]) {
    mbox.extend_from_slice(format!("From marketrelay {}\nX-Marketrelay-Id: {}\n", row.received, row.id).as_bytes());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let start = bare.iter().position(|byte| *byte != b'>').unwrap_or(bare.len());
        if bare.get(start..).is_some_and(|rest| rest.starts_with(b"From ")) {
            mbox.push(b'>');
        }
        mbox.extend_from_slice(bare);
        mbox.push(b'\n');
    }
    mbox.push(b'\n');
}

/// A queue item's id.
pub(super) fn item_id(text: &str) -> Result<ItemId, String> {
    text.parse().map(ItemId).map_err(|_| "an item's id is the number that `queue list` shows".to_owned())
}
