//! The one loop that owns the schedule. Items come in two ways: handed over in memory right after their commit, or claimed from the store when they are due.
//! Each destination has a lane with its own connections, so that a dead or slow one holds up nobody else; what a lane has no room for goes back to the
//! store. Outcomes are settled in batches.

use super::House;
use super::delivery::{Means, Outcome};
use super::route::{Destination, Routes};
use crate::config::Config;
use crate::dns::Dns;
use crate::metrics::{Metrics, count};
use crate::policy::failure::FailureClass;
use crate::policy::retry;
use crate::store::Store;
use crate::store::queue::{Item, Settle};
use crate::tls::ClientTls;
use crate::types::{Random as _, SystemRandom, Time};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Items that a lane holds in memory.
const LANE: usize = 1000;
/// Items that are claimed at once, and the number in memory below which more are.
const CLAIM: usize = 500;
/// How often the store is asked for what is due, though nobody said so: the command line may have changed it.
const POLL: Duration = Duration::from_secs(5);
/// How often the length of the queue is counted.
const COUNT: Duration = Duration::from_secs(30);
/// A destination that did not answer is left alone this long.
const DEAD: Duration = Duration::from_secs(30);
/// An item that a full lane sends back waits this long, and a little more.
const BACK: Duration = Duration::from_secs(60);
/// Messages on one connection.
const MESSAGES: usize = 1000;
/// Deliveries under way have this long to end when the relay stops.
const DRAIN: Duration = Duration::from_secs(30);
/// Attempts before an item can be given up for its age: a clock that jumps must not bounce everything at once.
const LEAST_ATTEMPTS: u32 = 3;

/// What the queue is made of.
pub struct Start {
    /// Settings.
    pub config: Arc<Config>,
    /// The store.
    pub store: Store,
    /// DNS.
    pub dns: Arc<dyn Dns>,
    /// Routes.
    pub routes: Routes,
    /// TLS.
    pub tls: ClientTls,
    /// The house.
    pub house: Arc<dyn House>,
    /// Metrics.
    pub metrics: Metrics,
}

/// Handle to the running queue.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    scheduler: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct Shared {
    means: Means,
    metrics: Metrics,
    lanes: Mutex<HashMap<Destination, Arc<Lane>>>,
    connections: Arc<Semaphore>,
    outcomes: mpsc::UnboundedSender<(Item, Outcome)>,
    kick: Notify,
    stopping: AtomicBool,
    /// Items in lanes or being delivered.
    held: AtomicUsize,
    /// Octets of finished messages in lanes.
    octets: AtomicUsize,
}

/// An item in memory, with its finished bytes if there was room for them.
struct Job {
    item: Item,
    bytes: Option<Bytes>,
}

struct Lane {
    state: Mutex<LaneState>,
    more: Notify,
}

#[derive(Default)]
struct LaneState {
    waiting: VecDeque<Job>,
    workers: usize,
    idle: usize,
    dead_until: Option<Instant>,
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound {
    /// Lets go of the leases of a process that died, and begins.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn start(start: Start) -> crate::store::Result<Self> {
        let Start { config, store, dns, routes, tls, house, metrics } = start;
        store.write(|change| change.release_leases()).await?;
        let (outcomes, results) = mpsc::unbounded_channel();
        let connections = Arc::new(Semaphore::new(config.queue.concurrency));
        let shared = Arc::new(Shared {
            means: Means { config, store, dns, routes, tls, house },
            metrics,
            lanes: Mutex::default(),
            connections,
            outcomes,
            kick: Notify::new(),
            stopping: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            octets: AtomicUsize::new(0),
        });
        tokio::spawn(settle(Arc::clone(&shared), results));
        let scheduler = tokio::spawn(schedule(Arc::clone(&shared)));
        Ok(Self { shared, scheduler: Arc::new(Mutex::new(Some(scheduler))) })
    }

    /// Takes over an item that was queued as leased, with its finished bytes.
    pub fn submit(&self, item: Item, bytes: Bytes) {
        let room = self.shared.means.config.queue.memory.octets();
        let held = self.shared.octets.load(Ordering::Relaxed);
        let bytes = (held + bytes.len() <= room).then_some(bytes);
        push(&self.shared, Job { item, bytes });
    }

    /// Something was queued in the store.
    pub fn kick(&self) {
        self.shared.kick.notify_one();
    }

    /// Ends: no new attempts, those under way finish within a time limit, the rest stays in the store.
    pub async fn drain(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(scheduler) = scheduler {
            scheduler.abort();
        }
        for lane in lanes(&self.shared).values() {
            lane.more.notify_waiters();
        }
        let all = u32::try_from(self.shared.means.config.queue.concurrency).unwrap_or(u32::MAX);
        let _ = timeout(DRAIN, self.shared.connections.acquire_many(all)).await;
        // What was delivered is settled; the writer's end waits for the last batch.
        while self.shared.held.load(Ordering::Acquire) > waiting(&self.shared) {
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn lanes(shared: &Shared) -> MutexGuard<'_, HashMap<Destination, Arc<Lane>>> {
    shared.lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn waiting(shared: &Shared) -> usize {
    lanes(shared).values().map(|lane| lane.state().waiting.len()).sum()
}

/// Puts a job into its lane, and sees that somebody works there.
fn push(shared: &Arc<Shared>, job: Job) {
    let destination = shared.means.routes.destination(&job.item.domain);
    shared.held.fetch_add(1, Ordering::Relaxed);
    let lane = Arc::clone(
        lanes(shared)
            .entry(destination.clone())
            .or_insert_with(|| Arc::new(Lane { state: Mutex::default(), more: Notify::new() })),
    );
    let most = shared.means.config.queue.concurrency_per_destination;
    let spawn = {
        let mut state = lane.state();
        let dead = state.dead_until.is_some_and(|until| Instant::now() < until);
        if dead || state.waiting.len() >= LANE {
            let why = if dead { "the destination does not answer" } else { "the destination is busy" };
            let outcome = Outcome::Later { why: why.to_owned(), reached: !dead };
            // Closed only when the program ends.
            let _ = shared.outcomes.send((job.item, outcome));
            return;
        }
        shared.octets.fetch_add(job.bytes.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
        state.waiting.push_back(job);
        // One more connection only when those there are do not keep up.
        let spawn = state.idle == 0 && state.workers < most && state.waiting.len() > state.workers;
        state.workers += usize::from(spawn);
        spawn
    };
    if spawn {
        tokio::spawn(work(Arc::clone(shared), lane));
    } else {
        lane.more.notify_one();
    }
}

/// One connection's worth of deliveries.
async fn work(shared: Arc<Shared>, lane: Arc<Lane>) {
    // Closed never.
    let Ok(place) = Arc::clone(&shared.connections).acquire_owned().await else { return };
    let mut kept = None;
    while let Some(job) = next_job(&shared, &lane, &place).await {
        let Job { item, bytes } = job;
        let outcome = shared.means.attempt(&item, bytes, &mut kept).await;
        lane.state().dead_until = match &outcome {
            Outcome::Later { reached: false, .. } => Some(Instant::now() + DEAD),
            _ => None,
        };
        let _ = shared.outcomes.send((item, outcome));
        if kept.as_ref().is_some_and(|client| client.sent >= MESSAGES)
            && let Some(client) = kept.take()
        {
            client.quit().await;
        }
    }
    if let Some(client) = kept {
        client.quit().await;
    }
}

/// The next job of the lane; `None` when none came for as long as a connection is kept. The worker has signed off then.
async fn next_job(shared: &Shared, lane: &Lane, _place: &OwnedSemaphorePermit) -> Option<Job> {
    let until = Instant::now() + shared.means.config.queue.keep_connection.0;
    loop {
        let more = lane.more.notified();
        {
            let mut state = lane.state();
            if !shared.stopping.load(Ordering::Relaxed)
                && let Some(job) = state.waiting.pop_front()
            {
                shared.octets.fetch_sub(job.bytes.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
                return Some(job);
            }
            // Others wait for a connection: an idle one is given up at once.
            let needed = shared.connections.available_permits() == 0;
            if needed || Instant::now() >= until || shared.stopping.load(Ordering::Relaxed) {
                state.workers -= 1;
                return None;
            }
            state.idle += 1;
        }
        let _ = tokio::time::timeout_at(until, more).await;
        lane.state().idle -= 1;
    }
}

/// Asks the store for what is due.
async fn schedule(shared: Arc<Shared>) {
    let mut counted = None::<Instant>;
    loop {
        if counted.is_none_or(|at| at.elapsed() >= COUNT) {
            counted = Some(Instant::now());
            if let Ok(length) = shared.means.store.read(|view| view.queue_length()) {
                shared.metrics.queue.set(length);
            }
        }
        let mut pause = POLL;
        if shared.held.load(Ordering::Relaxed) < CLAIM {
            let now = Time::now();
            match shared.means.store.read(|view| view.next_due()) {
                Ok(Some(due)) if due <= now => {
                    match shared.means.store.write(move |change| change.claim(now, CLAIM, &[])).await {
                        Ok(items) => {
                            pause = Duration::ZERO;
                            items.into_iter().for_each(|item| push(&shared, Job { item, bytes: None }));
                        }
                        Err(error) => tracing::error!(%error, "cannot claim from the queue"),
                    }
                }
                Ok(due) => pause = due.map_or(POLL, |due| due.since(now).min(POLL)),
                Err(error) => tracing::error!(%error, "cannot read the queue"),
            }
        }
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            let _ = timeout(pause, shared.kick.notified()).await;
        }
    }
}

/// Writes outcomes, all that are there in one transaction.
async fn settle(shared: Arc<Shared>, mut results: mpsc::UnboundedReceiver<(Item, Outcome)>) {
    let mut batch = Vec::new();
    while results.recv_many(&mut batch, CLAIM).await > 0 {
        let outcomes = std::mem::take(&mut batch);
        let number = outcomes.len();
        let work = Arc::clone(&shared);
        let settled = shared.means.store.write(move |change| {
            let now = Time::now();
            for (item, outcome) in &outcomes {
                settle_one(&work, change, item, outcome, now)?;
            }
            Ok(())
        });
        if let Err(error) = settled.await {
            // The items stay leased, and go out again after a restart: one copy too many, none lost.
            tracing::error!(%error, items = number, "cannot settle deliveries");
        }
        shared.held.fetch_sub(number, Ordering::Release);
        if shared.held.load(Ordering::Relaxed) < CLAIM {
            shared.kick.notify_one();
        }
    }
}

fn settle_one(
    shared: &Shared,
    change: &crate::store::Change<'_>,
    item: &Item,
    outcome: &Outcome,
    now: Time,
) -> crate::store::Result<()> {
    let settings = &shared.means.config.queue;
    let id = item.message;
    let old = now.since(item.queued) > settings.expire.0 && item.attempts >= LEAST_ATTEMPTS;
    match outcome {
        Outcome::Delivered => {
            count(&shared.metrics.deliveries, "delivered");
            tracing::info!(%id, kind = item.kind.as_str(), attempts = item.attempts, "delivered");
            change.settle(item, &Settle::Done, now)?;
        }
        Outcome::Later { why, .. } if !old => {
            count(&shared.metrics.deliveries, "deferred");
            let wait =
                retry::wait(item.attempts, settings.retry_first.0, settings.retry_longest.0, SystemRandom.number());
            let wait = if why == "the destination is busy" { BACK + wait / 16 } else { wait };
            tracing::info!(%id, kind = item.kind.as_str(), attempts = item.attempts, %why, "deferred");
            let there = change.settle(item, &Settle::Again { due: now.plus(wait), why: why.clone() }, now)?;
            if there && !item.delay_told && now.since(item.queued) > settings.delay_notice.0 {
                change.delay_told(item.id)?;
                shared.means.house.delayed(change, item, now)?;
            }
        }
        Outcome::Later { .. } | Outcome::Failed { .. } => {
            let (why, class) = match outcome {
                Outcome::Failed { why, class } => (why.as_str(), *class),
                Outcome::Later { why, .. } => (why.as_str(), FailureClass::Expired),
                Outcome::Delivered => return Ok(()),
            };
            count(&shared.metrics.deliveries, "failed");
            tracing::warn!(%id, kind = item.kind.as_str(), attempts = item.attempts, %why, "failed");
            if change.settle(item, &Settle::Failed { why: why.to_owned() }, now)? {
                shared.means.house.given_up(change, item, class, now)?;
            }
        }
    }
    Ok(())
}
