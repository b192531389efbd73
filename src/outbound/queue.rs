//! The handle of the queue, and the one loop that owns the schedule. Items come in two ways: handed over in memory right after their
//! commit, or claimed from the store when their destination is due and its lane has room.

use super::lane::{Begun, Lanes, Room};
use super::route::Routes;
use super::sts::Sts;
use super::{Addresses, House, Means, Ports, settle};
use crate::config::Config;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::store::queue::{Horizon, Item};
use crate::store::{Result, Store};
use crate::tls::ClientTls;
use crate::types::{Time, locked};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Items in memory above which nothing is claimed.
const HELD: usize = 4000;
/// Items in one claim.
const CLAIM: usize = 500;
/// Destinations that are looked at first, and at most.
const LOOK: (usize, usize) = (256, 65_536);
/// How often it looks further than at the first.
const FAR: Duration = Duration::from_secs(1);
/// How often the store is asked for what is due, though nobody said so: the command line may have changed it.
const POLL: Duration = Duration::from_secs(1);
/// How often the queue is counted and looked through for what has grown old.
const ROUND: Duration = Duration::from_secs(30);
/// Old items handled in one transaction.
const OLD: usize = 100;
/// Deliveries under way have this long to end when the relay stops.
pub const DRAIN: Duration = Duration::from_secs(30);

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
    /// [`Ports::default`], but in tests.
    pub ports: Ports,
    /// The house.
    pub house: Arc<dyn House>,
    /// Metrics.
    pub metrics: Metrics,
    /// The clock: [`Time::now`], but in tests.
    pub now: fn() -> Time,
    /// Where deliveries run: apart from the sessions, so that neither waits for the other's turn.
    pub threads: Handle,
}

/// Handle to the running queue.
#[derive(Clone)]
pub struct Outbound {
    lanes: Arc<Lanes>,
    tasks: Arc<Mutex<Option<Tasks>>>,
}

struct Tasks {
    scheduler: JoinHandle<()>,
    settler: JoinHandle<()>,
}

impl Outbound {
    /// Lets go of the leases of a process that died, and begins.
    ///
    /// # Errors
    /// The store's trouble.
    pub async fn start(start: Start) -> Result<Self> {
        let Start { config, store, dns, routes, tls, ports, house, metrics, now, threads } = start;
        store.write(move |change| change.release_leases(now())).await?;
        let kick = Notify::new();
        let means =
            Arc::new(Means { config, store, dns, routes, tls, ports, sts: Sts::new(), house, metrics, now, kick });
        let (sender, reports) = mpsc::unbounded_channel();
        let lanes = Arc::new(Lanes::new(means, sender, threads.clone()));
        let settler = threads.spawn(settle::run(Arc::clone(&lanes), reports));
        let scheduler = threads.spawn(schedule(Arc::clone(&lanes)));
        Ok(Self { lanes, tasks: Arc::new(Mutex::new(Some(Tasks { scheduler, settler }))) })
    }

    /// Takes over an item that was queued as leased, with its finished bytes, and the addresses if they have been looked up just now.
    pub fn submit(&self, item: Item, bytes: Bytes, addresses: Option<Addresses>) {
        self.lanes.submit(item, bytes, addresses);
    }

    /// Sends the envelope of a message that is about to be committed, if a connection has been waiting for one: the server answers it while the disk
    /// flushes. The caller tells of the commit.
    #[must_use]
    pub fn begin(&self, bytes: &Bytes, addresses: &Addresses) -> Option<Begun> {
        self.lanes.begin(bytes, addresses)
    }

    /// Something was queued in the store.
    pub fn kick(&self) {
        self.lanes.means.kick.notify_one();
    }

    /// Ends: no new attempts, those under way finish within `limit` ([`DRAIN`]), the rest stays in the store.
    pub async fn drain(&self, limit: Duration) {
        let tasks = locked(&self.tasks).take();
        let Some(Tasks { scheduler, mut settler }) = tasks else { return };
        scheduler.abort();
        // What it has claimed is in a lane now, or leased until the next start.
        let _ = scheduler.await;
        self.lanes.stop();
        if timeout(limit, &mut settler).await.is_err() {
            tracing::warn!(items = self.lanes.held.load(Ordering::Relaxed), "deliveries cut short");
        }
    }
}

/// Asks the store for what is due.
async fn schedule(lanes: Arc<Lanes>) {
    let (mut looked, mut far) = (None::<Instant>, None::<Instant>);
    loop {
        if looked.is_none_or(|at| at.elapsed() >= ROUND) {
            looked = Some(Instant::now());
            lanes.tidy();
            if let Err(error) = round(&lanes).await {
                tracing::error!(%error, "cannot look through the queue");
            }
        }
        let pause = match pass(&lanes, &mut far).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "cannot claim from the queue");
                POLL * 5
            }
        };
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            let _ = timeout(pause, lanes.means.kick.notified()).await;
        }
    }
}

/// Claims what is due and has room. Returns how long there is nothing more to do, unless something happens.
async fn pass(lanes: &Arc<Lanes>, far: &mut Option<Instant>) -> Result<Duration> {
    let means = &lanes.means;
    let free = HELD.saturating_sub(lanes.held.load(Ordering::Relaxed)).min(CLAIM);
    if free == 0 {
        return Ok(POLL);
    }
    let now = (means.now)();
    let when = Horizon::new(now, means.config.queue.retry_longest.0);
    let mut found = plan(lanes, when, free, LOOK.0)?;
    let mut look = LOOK.0;
    // Full lanes must not hide what is due behind them.
    if found.is_idle() && found.more && far.is_none_or(|at| at.elapsed() >= FAR) {
        *far = Some(Instant::now());
        while found.is_idle() && found.more && look < LOOK.1 {
            look *= 4;
            found = plan(lanes, when, free, look)?;
        }
    }
    let Plan { claims, postpone, full, more } = found;
    if claims.is_empty() && postpone.is_empty() {
        if full {
            return Ok(if more { FAR } else { POLL });
        }
        let next = means.store.read(|view| view.next_due(when))?;
        return Ok(next.map_or(POLL, |due| due.since(now).clamp(Duration::from_millis(1), POLL)));
    }
    let claimed = means.store.write(move |change| {
        for (domain, failures, until) in &postpone {
            change.unreachable(domain, *failures, *until, None)?;
        }
        let mut items = Vec::new();
        for (domain, number) in &claims {
            items.extend(change.claim(domain, when, *number)?);
        }
        Ok(items)
    });
    claimed.await?.into_iter().for_each(|item| lanes.claimed(item));
    Ok(Duration::ZERO)
}

/// What one pass will do.
#[derive(Default)]
struct Plan {
    /// Domain, and how many items.
    claims: Vec<(String, usize)>,
    /// Domains whose destination is known to be down: failures, and until when.
    postpone: Vec<(String, u32, Time)>,
    /// Something is due that there is no room for.
    full: bool,
    /// More is due than was looked at.
    more: bool,
}

impl Plan {
    fn is_idle(&self) -> bool {
        self.claims.is_empty() && self.postpone.is_empty()
    }
}

/// What can be done for the `look` destinations that have been due the longest.
fn plan(lanes: &Lanes, when: Horizon, mut free: usize, look: usize) -> Result<Plan> {
    let means = &lanes.means;
    let due = means.store.read(|view| view.destinations_due(when, look))?;
    let mut plan = Plan { more: due.len() == look, ..Plan::default() };
    let mut rooms = std::collections::HashMap::new();
    for waiting in due {
        let destination = means.routes.destination(&waiting.domain);
        let room = rooms.entry(destination.clone()).or_insert_with(|| lanes.room(&destination, &waiting));
        match room {
            Room::Down(failures, wait) => {
                plan.postpone.push((waiting.domain, *failures, when.now().plus(*wait)));
            }
            Room::Items(0) => plan.full = true,
            Room::Items(room) => {
                let number = free.min(*room);
                if number == 0 {
                    break;
                }
                lanes.expect(&destination, waiting.failures);
                (free, *room) = (free - number, *room - number);
                plan.claims.push((waiting.domain, number));
            }
        }
    }
    Ok(plan)
}

/// Counts the queue, and sees to what has grown old.
async fn round(lanes: &Arc<Lanes>) -> Result<()> {
    let means = &lanes.means;
    let store = means.store.clone();
    let counted = tokio::task::spawn_blocking(move || store.read(|view| view.queue_length())).await;
    if let Ok(length) = counted {
        means.metrics.queue.set(length?);
    }
    loop {
        let work = Arc::clone(means);
        if !means.store.write(move |change| settle::age(&work, change, OLD, (work.now)())).await? {
            return Ok(());
        }
    }
}
