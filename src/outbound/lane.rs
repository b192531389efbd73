//! Lanes: each destination's jobs and connections, apart from all others', so that a dead or slow one holds up nobody else.
//!
//! A worker is one connection's worth of deliveries. A lane opens one more while jobs wait and its window allows it; the window
//! grows with each answer, shrinks with each "later", and starts small, smallest after the destination was down, so that nothing
//! is stormed. At a quiet lane the envelope of a message goes ahead of its commit (`early`).

mod early;

pub use early::Begun;

use super::delivery::Outcome;
use super::memory::{Budget, Share};
use super::report::{Reach, Report, Running};
use super::route::Destination;
use super::{Addresses, Means};
use crate::policy::retry;
use crate::smtp::client::Client;
use crate::store::queue::{Item, Waiting};
use crate::types::{Random as _, SystemRandom, locked};
use bytes::Bytes;
use early::Early;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

/// Jobs that wait in one lane; more go back to the store.
const LANE: usize = 1000;
/// Jobs that wait in a lane for each of its connections when they come from the store.
const AHEAD: usize = 8;
/// Connections that a fresh lane may open at once.
const WINDOW: usize = 5;
/// Messages on one connection.
const MESSAGES: usize = 1000;
/// Addresses that were looked up so long ago, or longer, before an attempt are looked up again: a party may have another one.
const FRESH: Duration = Duration::from_secs(1);

/// An item in memory, with its finished bytes if there was room for them.
pub(super) struct Job {
    item: Item,
    bytes: Option<(Bytes, OwnedSemaphorePermit)>,
    /// As they were at that moment.
    addresses: Option<(Addresses, Instant)>,
}

/// What waits in a lane.
enum Work {
    Item(Job),
    Early(Early),
}

/// All lanes.
pub(super) struct Lanes {
    pub(super) means: Arc<Means>,
    /// Where workers run.
    threads: Handle,
    lanes: Mutex<HashMap<Destination, Arc<Lane>>>,
    connections: Arc<Semaphore>,
    /// What waits in lanes may take so much memory …
    waiting: Budget,
    /// … and what is read back so much. Apart, as the ones wait for the others' connections.
    rebuilt: Budget,
    /// Somebody waits for a connection: an idle one may go.
    pressed: Notify,
    /// Gone when the queue stops: the last report then ends `settle`.
    reports: Mutex<Option<mpsc::UnboundedSender<Report>>>,
    stopping: AtomicBool,
    stopped: Notify,
    /// Items in memory: in lanes, being delivered, or waiting to be settled.
    pub(super) held: AtomicUsize,
}

struct Lane {
    destination: Destination,
    state: Mutex<State>,
    more: Notify,
    /// Its share of the memory for what is made again.
    rebuilt: Share,
}

struct State {
    waiting: VecDeque<Work>,
    workers: usize,
    idle: usize,
    /// When somebody here was last given something to do, or had done it.
    busy: Instant,
    window: usize,
    failures: u32,
    failed: Option<Instant>,
    reached: Option<Instant>,
    down_until: Option<Instant>,
}

/// What a lane can take from the store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many items.
    Items(usize),
    /// It is down for so much longer.
    Down(u32, Duration),
}

impl Lanes {
    pub(super) fn new(means: Arc<Means>, reports: mpsc::UnboundedSender<Report>, threads: Handle) -> Self {
        let settings = &means.config.queue;
        let memory = settings.memory.octets();
        let connections = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            means,
            threads,
            lanes: Mutex::default(),
            connections: Arc::new(Semaphore::new(connections)),
            waiting: Budget::new(memory - memory / 4),
            rebuilt: Budget::new(memory / 4),
            pressed: Notify::new(),
            reports: Mutex::new(Some(reports)),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
            held: AtomicUsize::new(0),
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// No new attempts. What waits goes back to the store, what is under way ends.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let Some(reports) = locked(&self.reports).take() else { return };
        for lane in locked(&self.lanes).values() {
            give_back(&mut locked(&lane.state), &reports);
        }
        self.stopped.notify_waiters();
    }

    /// Takes an item that was committed as leased. Without room for its bytes they are made again when its turn comes.
    pub(super) fn submit(self: &Arc<Self>, item: Item, bytes: Bytes, addresses: Option<Addresses>) {
        let bytes = self.waiting.try_take(bytes.len()).map(|permit| (bytes, permit));
        self.held.fetch_add(1, Ordering::Relaxed);
        self.push(Job { item, bytes, addresses: addresses.map(|addresses| (addresses, Instant::now())) });
    }

    /// Takes an item that was claimed from the store.
    pub(super) fn claimed(self: &Arc<Self>, item: Item) {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.push(Job { item, bytes: None, addresses: None });
    }

    /// What the lane of a destination can take from the store, which knows this of it.
    pub(super) fn room(&self, destination: &Destination, waiting: &Waiting) -> Room {
        let lane = locked(&self.lanes).get(destination).cloned();
        // One item tells whether it is up again.
        let probe = waiting.failures > 0 || waiting.forced;
        let Some(lane) = lane else { return Room::Items(if probe { 1 } else { WINDOW * AHEAD }) };
        let mut state = locked(&lane.state);
        let now = Instant::now();
        if waiting.forced {
            state.down_until = None;
        }
        if let Some(until) = state.down_until.filter(|until| *until > now) {
            return Room::Down(state.failures, until - now);
        }
        if state.failures > 0 {
            state.window = 1;
            return Room::Items(usize::from(state.workers <= state.idle && state.waiting.is_empty()));
        }
        let most = state.window * AHEAD;
        let room = most.saturating_sub(state.waiting.len());
        // Not item by item: a claim is a transaction.
        Room::Items(if room * 4 >= most { room } else { 0 })
    }

    fn fresh(&self, destination: &Destination, failures: u32) -> Arc<Lane> {
        let most = self.means.config.queue.concurrency_per_destination.max(1);
        let state = State {
            waiting: VecDeque::new(),
            workers: 0,
            idle: 0,
            busy: Instant::now(),
            window: if failures > 0 { 1 } else { WINDOW.min(most) },
            failures,
            failed: None,
            reached: None,
            down_until: None,
        };
        let rebuilt = self.rebuilt.share();
        Arc::new(Lane { destination: destination.clone(), state: Mutex::new(state), more: Notify::new(), rebuilt })
    }

    /// Tells a lane that is not there yet what the store knows of its destination.
    pub(super) fn expect(&self, destination: &Destination, failures: u32) {
        let fresh = || self.fresh(destination, failures);
        locked(&self.lanes).entry(destination.clone()).or_insert_with(fresh);
    }

    /// Forgets lanes that nobody uses. What the store knows of their destinations stays there.
    pub(super) fn tidy(&self) {
        locked(&self.lanes).retain(|_, lane| !locked(&lane.state).gone());
    }

    /// Puts a job into its lane, and sees that somebody works there.
    fn push(self: &Arc<Self>, job: Job) {
        let destination = self.means.routes.destination(&job.item.domain);
        let Some(reports) = locked(&self.reports).clone() else { return };
        // Both locks, in this order everywhere, so that no lane is forgotten while it is given work.
        let mut lanes = locked(&self.lanes);
        let lane = lanes.entry(destination).or_insert_with_key(|destination| self.fresh(destination, 0));
        let lane = Arc::clone(lane);
        let mut state = locked(&lane.state);
        let down = state.down_until.is_some_and(|until| Instant::now() < until);
        if down || state.waiting.len() >= LANE || self.stopping() {
            let report = Report { item: job.item, outcome: Outcome::Back, reach: Reach::Same };
            // `settle` ends last.
            let _ = reports.send(report);
            return;
        }
        state.waiting.push_back(Work::Item(job));
        let spawn = state.idle == 0 && state.workers < state.window;
        state.workers += usize::from(spawn);
        drop(state);
        drop(lanes);
        if spawn {
            self.hire(lane, reports);
        } else {
            lane.more.notify_one();
        }
    }

    /// One more worker for a lane, which has counted it.
    fn hire(self: &Arc<Self>, lane: Arc<Lane>, reports: mpsc::UnboundedSender<Report>) {
        let worker = Worker { lanes: Arc::clone(self), lane, reports, begun: false };
        drop(self.threads.spawn(worker.run()));
    }

    async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        let connections = Arc::clone(&self.connections);
        if let Ok(place) = Arc::clone(&connections).try_acquire_owned() {
            return Some(place);
        }
        self.pressed.notify_one();
        connections.acquire_owned().await.ok()
    }

    /// What is next in the lane; `None` when none came for as long as a connection is kept, if there is one.
    async fn next(&self, lane: &Lane, connected: bool) -> Option<(Work, Instant)> {
        let wait = if connected { self.means.config.queue.keep_connection.0 } else { Duration::ZERO };
        let until = Instant::now() + wait;
        loop {
            let more = lane.more.notified();
            let pressed = self.pressed.notified();
            let stopped = self.stopped.notified();
            {
                let mut state = locked(&lane.state);
                // Read with the lock held: whatever the lane learns later is newer than this attempt.
                let now = Instant::now();
                if let Some(work) = state.waiting.pop_front() {
                    state.busy = now;
                    return Some((work, now));
                }
                if now >= until || self.stopping() {
                    return None;
                }
                state.idle += 1;
                state.busy = now;
            }
            let stay = tokio::select! {
                biased;
                () = more => true,
                () = pressed => false,
                () = stopped => false,
                _ = timeout_at(until, std::future::pending::<()>()) => false,
            };
            let mut state = locked(&lane.state);
            state.idle = state.idle.saturating_sub(1);
            // A job may have come in the same moment; nobody else was woken for it.
            if !stay && state.waiting.is_empty() {
                return None;
            }
        }
    }
}

/// Everything that waits in a lane goes back to the store.
fn give_back(state: &mut State, reports: &mpsc::UnboundedSender<Report>) {
    for work in state.waiting.drain(..) {
        let Work::Item(job) = work else { continue };
        let _ = reports.send(Report { item: job.item, outcome: Outcome::Back, reach: Reach::Same });
    }
}

impl State {
    /// Nobody works here, and nothing is known that has to be kept.
    fn gone(&self) -> bool {
        self.workers == 0 && self.waiting.is_empty() && self.down_until.is_none_or(|until| until <= Instant::now())
    }
}

/// One connection's worth of deliveries.
struct Worker {
    lanes: Arc<Lanes>,
    lane: Arc<Lane>,
    /// `settle` ends when the last worker has gone.
    reports: mpsc::UnboundedSender<Report>,
    /// It was given time to run.
    begun: bool,
}

impl Worker {
    async fn run(mut self) {
        self.begun = true;
        let Some(_place) = self.lanes.connection().await else { return };
        let mut kept: Option<Client> = None;
        while let Some((work, started)) = self.lanes.next(&self.lane, kept.is_some()).await {
            match work {
                Work::Item(job) => self.one(job, started, &mut kept).await,
                Work::Early(early) => self.early(early, started, &mut kept).await,
            }
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

    /// One attempt, and what it taught.
    async fn one(&self, job: Job, started: Instant, kept: &mut Option<Client>) {
        let Job { mut item, bytes, addresses } = job;
        let means = &self.lanes.means;
        let target = match addresses.filter(|(_, at)| at.elapsed() < FRESH) {
            Some((addresses, _)) => Ok(means.to(&item, addresses)),
            None => means.target(&item),
        };
        let target = match target {
            Ok(target) => target,
            Err(outcome) => return Running { reports: &self.reports, item: Some(item) }.ends(outcome, Reach::Same),
        };
        if target.destination != self.lane.destination {
            // The recipient has another address than when it was queued.
            target.addresses.recipient.domain().clone_into(&mut item.domain);
            return self.lanes.push(Job { item, bytes, addresses: None });
        }
        let running = Running { reports: &self.reports, item: Some(item.clone()) };
        // A server that is not there, or says nothing, keeps no memory from the others meanwhile.
        let open = if bytes.is_none() { means.connected(&target, kept).await } else { Ok(()) };
        let ready = match open {
            Ok(()) => self.with_bytes(&item, bytes).await,
            Err(outcome) => Err(outcome),
        };
        let outcome = match ready {
            Ok((bytes, _permits)) => means.attempt(&target, &bytes, kept).await,
            Err(outcome) => outcome,
        };
        let reach = self.learn(&outcome, started);
        running.ends(outcome, reach);
    }

    /// The finished bytes, made again if they are not at hand, within the memory that mail may take.
    async fn with_bytes(
        &self,
        item: &Item,
        bytes: Option<(Bytes, OwnedSemaphorePermit)>,
    ) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Outcome> {
        if let Some((bytes, permit)) = bytes {
            return Ok((bytes, vec![permit]));
        }
        let means = &self.lanes.means;
        // Twice: while it is written anew, what was received is there, too.
        let held = self.lanes.rebuilt.take(&self.lane.rebuilt, means.size(item)?.saturating_mul(2)).await;
        Ok((means.load(item).await?, held))
    }

    /// What an attempt that began at `started` says of the destination.
    fn learn(&self, outcome: &Outcome, started: Instant) -> Reach {
        let settings = &self.lanes.means.config.queue;
        let mut state = locked(&self.lane.state);
        match outcome {
            Outcome::Later { reached: false, .. } => {
                let newer = |at: Option<Instant>| at.is_some_and(|at| at >= started);
                if newer(state.failed) || newer(state.reached) {
                    return Reach::Same;
                }
                state.failures = state.failures.saturating_add(1);
                let (first, longest) = (settings.retry_first.0, settings.retry_longest.0);
                let wait = retry::wait(state.failures, first, longest, SystemRandom.number());
                let now = Instant::now();
                (state.failed, state.down_until, state.window) = (Some(now), Some(now + wait), 1);
                give_back(&mut state, &self.reports);
                Reach::Down(state.failures, wait)
            }
            Outcome::Back => Reach::Same,
            Outcome::Later { .. } | Outcome::Delivered(_) | Outcome::Failed { .. } => {
                state.reached = Some(Instant::now());
                let most = settings.concurrency_per_destination.max(1);
                let busy = matches!(outcome, Outcome::Later { .. });
                state.window = if busy { state.window.saturating_sub(1).max(1) } else { (state.window + 1).min(most) };
                state.down_until = None;
                if std::mem::take(&mut state.failures) > 0 { Reach::Again } else { Reach::Same }
            }
        }
    }
}

/// A worker signs off, however it ends.
impl Drop for Worker {
    fn drop(&mut self) {
        let mut lanes = locked(&self.lanes.lanes);
        let mut state = locked(&self.lane.state);
        state.workers = state.workers.saturating_sub(1);
        if state.gone() {
            lanes.remove(&self.lane.destination);
            return;
        }
        // A job that came while the last worker left needs another one.
        // One that never began is dropped by a runtime that ends: the next would be, too.
        let spawn = self.begun && !state.waiting.is_empty() && state.workers == 0 && !self.lanes.stopping();
        state.workers += usize::from(spawn);
        drop(state);
        drop(lanes);
        if spawn {
            self.lanes.hire(Arc::clone(&self.lane), self.reports.clone());
        }
    }
}
