//! `marketrelay history …`: whether the history is still what it was.

use super::{Context, Failure, Outcome};
use crate::store::{Erased, Erasure, Open, Verified};
use clap::Subcommand;

/// Blocks that are read from one snapshot: a second of work at most, so that a daemon beside it can go on tidying up.
const STEP: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check every message and event against the chain of hashes; exit status 1 and the first that was changed, if one was
    #[command(
        after_help = "The daemon logs the chain's last hash (\"chained head=…\") every hour. Keep the log elsewhere: who can write to the\n\
                            store could also make the chain anew, but not so that it goes through a hash that you know."
    )]
    Verify {
        /// A hash from an earlier `history verify` or from the log, which the chain has to go through
        #[arg(long, value_name = "HASH")]
        holds: Option<String>,
    },
    /// List what was erased, oldest first: what to erase again after a backup from before was
    /// restored
    Erasures {
        /// At most so many
        #[arg(long, default_value_t = 100_000)]
        limit: usize,
    },
}

impl Command {
    pub(super) fn run(self, context: Context<'_>) -> Outcome {
        let holds = match self {
            Self::Verify { holds } => holds,
            Self::Erasures { limit } => return erasures(context, limit),
        };
        let holds = holds.map(|text| text.trim().to_ascii_lowercase());
        if holds.as_ref().is_some_and(|text| text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(Failure::Failed("--holds takes 64 hexadecimal digits".to_owned()));
        }
        let store = context.store(Open::Existing)?;
        let (mut found, mut at) = (Verified::default(), None);
        loop {
            at = store.read(|view| view.verify(at.clone(), STEP, holds.as_deref(), &mut found))?;
            if at.is_none() {
                break;
            }
        }
        let torn = found.fault.is_none() && holds.is_some() && !found.holds;
        let text = said(&found, torn);
        context.out.done(&found, &text)?;
        if found.fault.is_some() || torn { Err(Failure::Told) } else { Ok(()) }
    }
}

fn erasures(context: Context<'_>, limit: usize) -> Outcome {
    let store = context.store(Open::Existing)?;
    let found = store.read(|view| view.erasures_after(0, usize::MAX))?.into_iter().map(|(_, erasure)| erasure);
    let meant = found.filter(|erasure| context.is_meant(erasure.marketplace.as_deref()));
    let list: Vec<Erasure> = meant.take(limit).collect();
    let rows = list.iter().map(|erasure| {
        let done = if erasure.done { "done" } else { "begun: ask for it again" };
        let shop = erasure.marketplace.clone().unwrap_or_default();
        vec![erasure.at.clone(), erasure.by.clone(), shop, what(erasure), done.to_owned()]
    });
    context.out.table(&list, &["at", "by", "marketplace", "what", "state"], rows.collect(), "Nothing was erased.")
}

/// Whom or what an erasure took.
fn what(erasure: &Erasure) -> String {
    match (&erasure.role, &erasure.id, &erasure.message) {
        (Some(role), Some(id), _) => format!("{role} {id}"),
        (_, _, Some(message)) => format!("message {message}"),
        _ => String::new(),
    }
}

fn said(found: &Verified, torn: bool) -> String {
    let counted = format!("{} message(s) and {} event(s)", found.messages, found.events);
    if let Some(fault) = &found.fault {
        let event = fault.event.map(|event| format!(", event {event}")).unwrap_or_default();
        return format!("Not as it was: message {}{event}: {}. Before it: {counted}.", fault.message, fault.what);
    }
    if torn {
        return format!(
            "{counted} fit together, but the chain does not go through that hash: it was made anew, or the hash is older than what retention keeps."
        );
    }
    let mut text = format!(
        "{counted} are as they were; {} record(s) are gone by retention, {} message(s) are not chained yet.",
        found.gone, found.waiting
    );
    if found.erased > 0 {
        text.push_str(&format!(
            "\nOf {} message(s) all or something was erased; what stays of them is as it was then:",
            found.erased
        ));
    }
    for Erased { erasure, messages } in &found.erasures {
        let (at, by) = (&erasure.at, &erasure.by);
        let shop = erasure.marketplace.as_ref().map(|shop| format!(" ({shop})")).unwrap_or_default();
        text.push_str(&format!("\n  {messages} erased at {at}, by {by}: {}{shop}", what(erasure)));
    }
    text + &format!("\nThe chain ends with {}", found.head)
}
