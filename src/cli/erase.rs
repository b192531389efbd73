//! `marketrelay buyer|seller erase` and `message erase`: what a person wrote and is known by goes.
//! Without questions, so that programs can call it; `--dry-run` tells beforehand. What stays, and
//! why, is told each time.

use super::party::{find, kind};
use super::{Context, Failure, Outcome};
use crate::message::text::harmless;
use crate::store::{Belongings, ErasedMessage, Erasure, Open, Remains, Store};
use crate::types::{ExternalId, MessageId, Role, SystemRandom, Time};
use clap::Args;
use serde::Serialize;
use serde_json::json;

/// Characters of an operator's name.
const NAME: usize = 64;

/// How it is erased.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Who asked for it: stands in the history; the user who runs the command if left out
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only tell what would go and what would stay
    #[arg(long)]
    dry_run: bool,
}

impl How {
    fn by(&self) -> Result<String, Failure> {
        let user = nix::unistd::getuid();
        let own =
            || nix::unistd::User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name);
        let name: String = harmless(&self.by.clone().unwrap_or_else(own)).chars().take(NAME).collect();
        if name.is_empty() { Err(Failure::Failed("--by needs a name".to_owned())) } else { Ok(name) }
    }
}

/// What stays, and why.
#[derive(Clone, Debug, Serialize)]
struct Kept {
    what: &'static str,
    number: u64,
    why: &'static str,
}

fn kept(role: Role, found: &Belongings, messages: u64) -> Vec<Kept> {
    let stays = |what, number, why| Kept { what, number, why };
    let mut kept = vec![
        stays(
            "messages of others",
            found.received,
            "they are their authors' words; the erased name, addresses, subjects and quoted lines are replaced in them where they were found",
        ),
        stays(
            "walks of the erased messages",
            messages,
            "verdict, times, size and fate without any content prove what the relay did; they go after keep_days",
        ),
        stays(
            "aliases",
            found.pairs.saturating_mul(2),
            "no alias is ever given twice, so that nobody gets another's mail",
        ),
        stays(
            "orders",
            found.orders,
            "the platform's ids, status words and categories; the other party's quota counts them",
        ),
    ];
    match role {
        Role::Seller => kept.push(stays("days of the quota", found.days, "numbers; they go after keep_days")),
        Role::Buyer if found.opted_out => kept.push(stays(
            "opt-out",
            found.addresses,
            "a keyed hash of each address, so that the opt-out counts when the address is registered again",
        )),
        Role::Buyer => {}
    }
    kept.push(stays("id", 1, "the platform's id cannot be used again"));
    kept.retain(|kept| kept.number > 0);
    kept
}

const BACKUPS: &str = "backups and exports made before still hold it: delete them, or erase again after one was restored \
                       (`history erasures --json` lists what; keep that list with the backups)";
const NOT_SEARCHED: &str = "not searched: mail of other people, pictures, PDF and office files of the other parties, and what the platform itself keeps";

fn remains_text(remains: Remains) -> Option<&'static str> {
    match remains {
        Remains::None => None,
        Remains::UnusedSpace => Some(
            "unused parts of the store's file may still hold pieces: stop the daemon once, run the same command again, and start it",
        ),
        Remains::Log => Some("the store's log could not be emptied, as it was in use: run the same command again"),
    }
}

/// `buyer erase ID`, `seller erase ID`.
pub(super) fn party(context: Context<'_>, role: Role, id: &ExternalId, how: &How) -> Outcome {
    let store = context.store(Open::Existing)?;
    let party = find(&store, &context.marketplace()?.id, role, id)?;
    let by = how.by()?;
    let whom = json!({ "marketplace": party.marketplace, "role": role.as_str(), "id": party.external });
    if how.dry_run {
        let (found, hold, begun) = store
            .read(|view| Ok((view.belongings(&party)?, view.holds(party.id)?, view.erasure_of_party(party.id)?)))?;
        let kept = kept(role, &found, found.messages);
        let text = format!("{} {id}: nothing was erased.{}{}", kind(role), would_go(&found), stays(&kept));
        let document = json!({
            "party": whom, "dry_run": true, "held_back": hold, "erasure": begun, "found": found, "kept": kept,
            "notes": [NOT_SEARCHED, BACKUPS],
        });
        return context.out.done(&document, &text);
    }
    let done = store.erase_party(party.id, &by, Time::now, SystemRandom)?;
    let remains = store.clear_remains()?;
    let kept = kept(role, &done.before, done.messages);
    let (erasure, gone) = (&done.erasure, &done.before);
    let mut text = if done.before_already {
        format!("{} {id} was erased at {}, by {}; nothing more was there.", kind(role), erasure.at, erasure.by)
    } else {
        format!(
            "{} {id} is erased: {} message(s), {} address(es), {}{}{} report(s) in its words; {} message(s) of others changed, {} item(s) taken out of the queue.{}",
            kind(role),
            done.messages,
            gone.addresses,
            if gone.name { "the name, " } else { "" },
            if gone.password { "the password, " } else { "" },
            gone.reports,
            done.changed,
            done.cancelled,
            stays(&kept),
        )
    };
    if done.unreadable > 0 {
        text.push_str(&format!(
            "\nNote: {} message(s) of others cannot be read and were not searched.",
            done.unreadable
        ));
    }
    remains_text(remains).iter().for_each(|note| text.push_str(&format!("\nNote: {note}.")));
    let notes: Vec<&str> = [NOT_SEARCHED, BACKUPS].into_iter().chain(remains_text(remains)).collect();
    let document = json!({
        "party": whom, "dry_run": false, "erasure": erasure, "already": done.before_already,
        "erased": {
            "messages": done.messages, "addresses": gone.addresses, "name": gone.name, "password": gone.password,
            "reports": gone.reports, "queue": done.cancelled,
        },
        "changed": done.changed, "unreadable": done.unreadable, "kept": kept, "remains": remains, "notes": notes,
    });
    context.out.done(&document, &text)
}

fn would_go(found: &Belongings) -> String {
    format!(
        "\nWould go:\n  {} message(s), {} address(es), name: {}, password: {}, {} report(s) in its words, {} item(s) of the queue",
        found.messages,
        found.addresses,
        super::output::yes(found.name),
        super::output::yes(found.password),
        found.reports,
        found.waiting,
    )
}

fn stays(kept: &[Kept]) -> String {
    let lines = kept.iter().map(|kept| format!("\n  {} {}: {}", kept.number, kept.what, kept.why));
    format!("\nStays:{}\n{NOT_SEARCHED}\n{BACKUPS}", lines.collect::<String>())
}

/// `message erase ID`.
pub(super) fn message(context: Context<'_>, store: &Store, id: MessageId, how: &How) -> Outcome {
    let by = how.by()?;
    let found = store.read(|view| Ok((view.message(id)?, view.tombstone(id)?, view.queue_of(id)?.len())))?;
    let (Some(row), tombstone, waiting) = found else { return Err(Failure::NotFound(format!("no message {id}"))) };
    let before = tombstone.filter(|tombstone| tombstone.whole).map(|tombstone| tombstone.erasure);
    let kept = "the walk stays, without any content: parties, verdict, times, size and fate";
    let quoted = "answers that quote it are the other party's messages and stay: `buyer erase` or `seller erase` takes quotes, too";
    let said = |erasure: &Erasure| {
        format!("Message {id} was erased at {}, by {}; nothing more was there.", erasure.at, erasure.by)
    };
    if how.dry_run {
        let text = before.as_ref().map_or_else(
            || format!("Would go: octets, subject, ids and words of message {id}, {waiting} item(s) of the queue.\nStays: {kept}; {quoted}."),
            said,
        );
        let document = json!({ "message": row.id, "dry_run": true, "erasure": before, "queue": waiting, "kept": [kept, quoted], "notes": [BACKUPS] });
        return context.out.done(&document, &text);
    }
    let now = Time::now();
    let done: ErasedMessage = store.write_blocking(move |change| change.erase_one(id, &by, now, &mut SystemRandom))?;
    let remains = store.clear_remains()?;
    let erasure = store.read(|view| view.tombstone(id))?.map(|tombstone| tombstone.erasure);
    let mut text = match (&before, done.erased) {
        (Some(before), false) => said(before),
        _ => format!(
            "Message {id} is erased; {} item(s) taken out of the queue.\nStays: {kept}; {quoted}.",
            done.cancelled
        ),
    };
    if done.same > 0 {
        let same = format!(
            "\nNote: it went to several receivers; {} other message(s) have the same content and stay until they are erased, too.",
            done.same
        );
        text.push_str(&same);
    }
    remains_text(remains).iter().for_each(|note| text.push_str(&format!("\nNote: {note}.")));
    let notes: Vec<&str> = [BACKUPS].into_iter().chain(remains_text(remains)).collect();
    let document = json!({
        "message": row.id, "dry_run": false, "erasure": erasure, "already": !done.erased, "queue": done.cancelled,
        "same_content": done.same, "kept": [kept, quoted], "remains": remains, "notes": notes,
    });
    context.out.done(&document, &text)
}
