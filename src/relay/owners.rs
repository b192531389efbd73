//! Who is told that mail in his name was refused, because nothing proved that it was his: never who
//! sent it, but the owner of the address, at the address that the marketplace knows.
//!
//! The session knows nothing of this: it refuses a party that nothing proves as it refuses a
//! stranger, and writes the same rows. A chore goes through them afterwards, in small steps, and
//! tells each party at a fixed hour of the marketplace's day, so that neither the reply nor its
//! time says whom a liar has named. What the notice holds: how many, when, to which of the reader's
//! aliases and by which check, and what helps. Nothing of the messages: who forges one cannot write
//! to the owner by it.
//!
//! Not here: how often ([`crate::policy::reminder`]), and its words (`notice`).

use super::notices::About;
use super::{Relay, Shop};
use crate::notice::{self, CHECKS, Name, Named};
use crate::policy::quota::Day;
use crate::policy::reminder;
use crate::store::{Change, Progress, Refused, Result};
use crate::types::token::Purpose;
use crate::types::{MessageId, PairId, PartyId, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often sums are written, and how often refused mail is gone through.
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;
/// Messages and sums of one step, and parties.
const STEP: usize = 500;
/// A message may be on its way into the store for so long.
const SETTLED: Duration = Duration::from_secs(300);
/// What is older is nobody's news any more.
const NEWS: Duration = Duration::from_secs(8 * 86_400);
/// A rest is so many times as long as the step before it, within bounds.
const REST_FACTOR: u32 = 10;
const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(2));
/// Lines of a notice.
const LINES: usize = 50;

impl Relay {
    /// Writes the sums of refused mail each minute, and tells owners each hour, until the task is
    /// dropped.
    pub async fn tend(self: Arc<Self>, now: fn() -> Time) {
        // The last hour that was seen to.
        let mut hour = now().0.div_euclid(HOUR);
        loop {
            tokio::time::sleep(MINUTE).await;
            if let Err(error) = self.write_refusals().await {
                tracing::error!(%error, "cannot write sums of refused mail");
            }
            let at = now();
            if at.0.div_euclid(HOUR) == hour {
                continue;
            }
            hour = at.0.div_euclid(HOUR);
            if let Err(error) = self.tell_owners(at).await {
                tracing::error!(%error, "cannot tell owners of refused mail");
            }
        }
    }

    /// Goes through what was refused since the last time, and tells the owners of those
    /// marketplaces whose hour has come.
    ///
    /// # Errors
    /// The store's trouble. What was done stays done.
    pub async fn tell_owners(self: &Arc<Self>, now: Time) -> Result<()> {
        loop {
            let started = Instant::now();
            if !self.gather_refused(now).await? {
                break;
            }
            rest(started).await;
        }
        for shop in self.shops.values() {
            let hour = Day::at(now, &shop.zone).starts.plus(reminder::AT);
            let told = self.store.read(|view| view.refusals_told(&shop.settings.id))?;
            // A clock that was years ahead once does not silence it for as long.
            if now < hour || told.is_some_and(|told| told >= hour && told <= now) {
                continue;
            }
            self.tell_owners_of(shop, now).await?;
            let id = shop.settings.id.clone();
            self.store.write_with_others(move |change| change.set_refusals_told(&id, now)).await?;
        }
        Ok(())
    }

    /// One step. Says whether there may be more.
    async fn gather_refused(self: &Arc<Self>, now: Time) -> Result<bool> {
        let store = self.store.clone();
        let read = move || {
            store.read(|view| {
                let first = MessageId::after(MessageId(0), now.minus(NEWS), 0);
                let after = view.refusals_read()?.unwrap_or(Progress { message: MessageId(0), sum: 0 });
                let after = Progress { message: after.message.max(first), ..after };
                let settled = MessageId::after(MessageId(0), now.minus(SETTLED), 0);
                let (found, end) = view.refused_after(after, settled, &CHECKS, STEP)?;
                Ok((found, end, end != after))
            })
        };
        // A panic there has been reported by the hook.
        let step = tokio::task::spawn_blocking(read).await.ok().transpose()?;
        let Some((found, end, moved)) = step else { return Ok(false) };
        if moved {
            let found = together(found, now);
            self.store.write_with_others(move |change| change.add_refused(&found, end)).await?;
        }
        Ok(moved)
    }

    /// Tells each party of a marketplace that has something to be told, one after the other.
    async fn tell_owners_of(self: &Arc<Self>, shop: &Arc<Shop>, now: Time) -> Result<()> {
        let mut last = PartyId(0);
        loop {
            let parties = self.store.read(|view| view.named_in_refused(&shop.settings.id, last, STEP))?;
            let Some(end) = parties.last() else { return Ok(()) };
            last = *end;
            let mut queued = false;
            for party in parties {
                let started = Instant::now();
                let (relay, shop) = (Arc::clone(self), Arc::clone(shop));
                let told = self.store.write_with_others(move |change| relay.tell_owner(change, &shop, party, now));
                match told.await {
                    Ok(told) => queued |= told,
                    // One that cannot be told does not keep the others from it.
                    Err(error) => tracing::error!(%error, "cannot tell an owner of refused mail"),
                }
                rest(started).await;
            }
            if let Some(outbound) = self.outbound.get().filter(|_| queued) {
                outbound.kick();
            }
        }
    }

    /// One notice over all aliases of a party, if it is time. Says whether one was queued.
    fn tell_owner(&self, change: &Change<'_>, shop: &Shop, party: PartyId, now: Time) -> Result<bool> {
        let told = change.told_of_refusals(party)?;
        let refused = change.refused_in_name_of(party)?;
        let (Some(first), false) = (refused.first(), told.quiet) else {
            change.forget_refused(party)?;
            return Ok(false);
        };
        let Some(run) = reminder::next(told.at, told.run, now) else { return Ok(false) };
        let pairs = refused.iter().take(LINES).map(|row| change.pair(row.pair)).collect::<Result<Vec<_>>>()?;
        let Some(pair) = pairs.first() else { return Ok(false) };
        let named: Vec<Named<'_>> = refused
            .iter()
            .zip(&pairs)
            .map(|(row, pair)| Named {
                receiver: pair.alias(row.author.other()),
                check: &row.reason,
                number: row.number,
                first: row.first,
                last: row.last,
            })
            .collect();
        let number = refused.iter().fold(0, |sum: u64, row| sum.saturating_add(row.number));
        let quiet = self.quiet_address(shop, party);
        // The notice is a step in the walk of the newest of them; 0 where all of them are sums.
        let message = refused.iter().filter_map(|row| row.message).max().unwrap_or(MessageId(0));
        let about = About {
            message,
            shop,
            pair,
            author: first.author,
            received: first.last,
            original: None,
            writer: None,
            subject: "",
        };
        self.tell(change, &about, Name::Refused, now, |frame| notice::refused(frame, number, &named, &quiet))?;
        change.set_told_of_refusals(party, now, run)?;
        Ok(true)
    }

    /// The address by which a party wants no more of these notices. It acts by possession, for
    /// every sender alike: the owner could not prove himself, or there would be no notice. The
    /// honest: only the registered address ever got it. A liar would have to read the owner's mail,
    /// and gains that the owner is not told.
    fn quiet_address(&self, shop: &Shop, party: PartyId) -> String {
        let token = self.store.secret().token(Purpose::Quiet, MessageId(party.0));
        format!("{}+{token}@{}", Purpose::Quiet.word(), shop.domain)
    }
}

/// One row for each pair, side and check, at times that can be: the last of them not after `now`.
fn together(found: Vec<Refused>, now: Time) -> Vec<Refused> {
    let mut sums: HashMap<(PairId, crate::types::Role, String), Refused> = HashMap::new();
    for row in found {
        let row = Refused { first: row.first.min(now), last: row.last.min(now), ..row };
        let sum = sums.entry((row.pair, row.author, row.reason.clone()));
        sum.and_modify(|sum| {
            sum.number = sum.number.saturating_add(row.number);
            (sum.first, sum.last) = (sum.first.min(row.first), sum.last.max(row.last));
            sum.message = sum.message.max(row.message);
        })
        .or_insert(row);
    }
    sums.into_values().collect()
}

/// As long as it takes not to be noticed.
async fn rest(started: Instant) {
    tokio::time::sleep(started.elapsed().saturating_mul(REST_FACTOR).clamp(REST.0, REST.1)).await;
}
