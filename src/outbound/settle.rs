//! What attempts came to is written here, many outcomes in one transaction: an outcome, its notice and what was learnt of the
//! destination stand or fall together.

use super::Means;
use super::delivery::Outcome;
use super::lane::Lanes;
use super::report::{Reach, Report};
use crate::config;
use crate::metrics::count;
use crate::policy::failure::FailureClass;
use crate::policy::retry;
use crate::store::queue::{Item, Kind, Settle};
use crate::store::{Change, Result, StoreError};
use crate::types::{Random as _, SystemRandom, Time};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Outcomes in one transaction.
const BATCH: usize = 500;
/// Outcomes are gathered for so long: each batch wakes the writer and the schedule.
const GATHER: Duration = Duration::from_millis(2);
/// The store had trouble that may pass: it is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes outcomes until the last worker has gone.
pub(super) async fn run(lanes: Arc<Lanes>, mut reports: mpsc::UnboundedReceiver<Report>) {
    let mut batch = Vec::new();
    while reports.recv_many(&mut batch, BATCH).await > 0 {
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(report) = reports.try_recv()
        {
            batch.push(report);
        }
        let outcomes: Arc<[Report]> = std::mem::take(&mut batch).into();
        let number = outcomes.len();
        if let Err(error) = write(&lanes.means, &outcomes).await {
            // The items stay leased, and go out again after a restart: one copy too many, none lost.
            tracing::error!(%error, items = number, "cannot settle deliveries");
        }
        lanes.held.fetch_sub(number, Ordering::Relaxed);
        lanes.means.kick.notify_one();
    }
}

async fn write(means: &Arc<Means>, outcomes: &Arc<[Report]>) -> Result<()> {
    match batch(means, outcomes, 0..outcomes.len()).await {
        Ok(()) => Ok(()),
        Err(error @ (StoreError::Closed | StoreError::Flush(_) | StoreError::Poisoned)) => Err(error),
        Err(_) => {
            // One of them cannot be written as it is: the others must not suffer for it.
            for at in 0..outcomes.len() {
                if let Err(error) = batch(means, outcomes, at..at + 1).await {
                    tracing::error!(%error, "cannot settle a delivery");
                    fallback(means, outcomes, at).await?;
                }
            }
            Ok(())
        }
    }
}

/// Writes a range of outcomes in one transaction. Waits while another process holds the store, or the disk
/// fails or is full; after a failed flush the store says that it is of no use.
async fn batch(means: &Arc<Means>, outcomes: &Arc<[Report]>, range: std::ops::Range<usize>) -> Result<()> {
    loop {
        let (work, all, of) = (Arc::clone(means), Arc::clone(outcomes), range.clone());
        let written = means.store.write_with_others(move |change| {
            let now = (work.now)();
            let reports = all.get(of.clone()).unwrap_or(&[]);
            reports.iter().map(|report| settle(&work, change, report, now)).collect::<Result<Vec<_>>>()
        });
        match written.await {
            Ok(done) => {
                let reports = outcomes.get(range).unwrap_or(&[]);
                reports.iter().zip(done).for_each(|(report, done)| log_report(means, report, done));
                return Ok(());
            }
            Err(error @ (StoreError::Busy | StoreError::Full | StoreError::Io(_))) => {
                tracing::warn!(%error, "cannot settle deliveries yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The item is tried again later, without a notice: nothing is lost, and `queue list` shows why.
async fn fallback(means: &Arc<Means>, outcomes: &Arc<[Report]>, at: usize) -> Result<()> {
    let (work, all) = (Arc::clone(means), Arc::clone(outcomes));
    let written = means.store.write(move |change| {
        let Some(report) = all.get(at) else { return Ok(()) };
        let now = (work.now)();
        // What was delivered is not sent again for want of an entry in its history.
        if matches!(report.outcome, Outcome::Delivered(_)) {
            return change.drop_item(report.item.id);
        }
        let due = now.plus(work.config.queue.retry_longest.0);
        change.settle(&report.item, &Settle::Again { due, why: "internal trouble".to_owned() }, now).map(drop)
    });
    written.await
}

/// Writes an outcome, and says what it is to be logged as, once it is kept: it may be written
/// twice.
fn settle(means: &Means, change: &Change<'_>, report: &Report, now: Time) -> Result<Option<&'static str>> {
    let item = &report.item;
    let done = match &report.outcome {
        Outcome::Delivered(server) => {
            // Only of what a report can come back to.
            let server = server.filter(|_| item.kind == Kind::Relay);
            let mark = server.map(|ip| means.store.secret().server_mark(item.message, ip)).unwrap_or_default();
            change.settle(item, &Settle::Done { server: mark }, now)?;
            Some("delivered")
        }
        Outcome::Back => {
            change.settle(item, &Settle::Back, now)?;
            None
        }
        Outcome::Later { why, .. } if is_old(&means.config.queue, item, item.attempts, now) => {
            fail(means, change, item, FailureClass::Expired, why, now)?
        }
        Outcome::Later { why, .. } => {
            let settings = &means.config.queue;
            let (first, longest) = (settings.retry_first.0, settings.retry_longest.0);
            let due = now.plus(retry::wait(item.attempts, first, longest, SystemRandom.number()));
            let waits = change.settle(item, &Settle::Again { due, why: why.clone() }, now)?;
            if waits {
                tell_delay(means, change, item, item.attempts, now)?;
            }
            waits.then_some("deferred")
        }
        Outcome::Failed { why, class } => fail(means, change, item, *class, why, now)?,
    };
    match report.reach {
        Reach::Same => {}
        Reach::Again => change.reached(&item.domain)?,
        Reach::Down(failures, wait) => {
            let why = if let Outcome::Later { why, .. } = &report.outcome { Some(why.as_str()) } else { None };
            change.unreachable(&item.domain, failures, now.plus(wait), why)?;
        }
    }
    Ok(done)
}

/// Gives an item up, unless that is done. Says what it is to be logged as.
fn fail(
    means: &Means,
    change: &Change<'_>,
    item: &Item,
    class: FailureClass,
    why: &str,
    now: Time,
) -> Result<Option<&'static str>> {
    // The history tells what class its author was told, and what was behind it.
    let ends = change.settle(item, &Settle::Failed { why: format!("{}: {why}", class.as_str()) }, now)?;
    if ends {
        means.house.given_up(change, item, class, now)?;
    }
    Ok(ends.then_some("failed"))
}

fn log_report(means: &Means, report: &Report, done: Option<&'static str>) {
    let why = match &report.outcome {
        Outcome::Later { why, .. } | Outcome::Failed { why, .. } => why,
        Outcome::Delivered(_) | Outcome::Back => "",
    };
    if let Some(what) = done {
        log(means, &report.item, what, why);
    }
}

fn log(means: &Means, item: &Item, what: &'static str, why: &str) {
    count(&means.metrics.deliveries, what);
    let (id, kind, attempts) = (item.message, item.kind.as_str(), item.attempts);
    match what {
        "delivered" => tracing::info!(%id, kind, attempts, "delivered"),
        "deferred" => tracing::info!(%id, kind, attempts, why, "deferred"),
        _ => tracing::warn!(%id, kind, attempts, why, "failed"),
    }
}

/// Whether an item is given up for its age. The clock alone does not make it old: it may have jumped.
fn is_old(settings: &config::Queue, item: &Item, attempts: u32, now: Time) -> bool {
    let age = settings.expire.0;
    now.since(item.queued) >= age
        && attempts >= retry::least_attempts(age, settings.retry_first.0, settings.retry_longest.0)
}

/// The author is told once that the item waits for long.
fn tell_delay(means: &Means, change: &Change<'_>, item: &Item, attempts: u32, now: Time) -> Result<bool> {
    let settings = &means.config.queue;
    let age = settings.delay_notice.0;
    let least = retry::least_attempts(age, settings.retry_first.0, settings.retry_longest.0);
    if item.delay_told || now.since(item.queued) < age || attempts < least {
        return Ok(false);
    }
    change.delay_told(item.id)?;
    means.house.delayed(change, item, now)?;
    Ok(true)
}

/// Items behind a destination that nobody reaches are not tried one by one; here they grow old. Looks at up to `limit` of each kind and
/// returns whether anything was done, so that there may be more.
pub(super) fn age(means: &Means, change: &Change<'_>, limit: usize, now: Time) -> Result<bool> {
    let settings = &means.config.queue;
    // An attempt of its own comes first, as long as there is one.
    let patience = settings.expire.0.saturating_add(settings.retry_longest.0);
    let mut done = false;
    for (before, already) in
        [(now.minus(patience), true), (now.minus(patience), false), (now.minus(settings.delay_notice.0), false)]
    {
        for item in change.old_items(before, already, limit)? {
            let tries = item.attempts.max(change.failures_of(&item.domain)?);
            if item.queued < now.minus(patience) && is_old(settings, &item, tries, now) {
                let why = "the destination does not answer";
                if let Some(what) = fail(means, change, &item, FailureClass::Expired, why, now)? {
                    log(means, &item, what, why);
                }
                done = true;
            } else {
                done |= tell_delay(means, change, &item, tries, now)?;
            }
        }
    }
    Ok(done)
}
