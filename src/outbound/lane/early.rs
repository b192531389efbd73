//! An envelope that goes ahead of its message's commit: the server answers it while the disk flushes. Nothing more of the message leaves before it is
//! on disk. Then whoever has committed it sends it himself, if the server has answered by then and it is no longer than a block: to wake the lane for
//! that takes longer than to send it.

use super::{FRESH, Job, Lanes, Work, Worker};
use crate::outbound::Addresses;
use crate::outbound::delivery::Outcome;
use crate::outbound::report::{Reach, Report};
use crate::smtp::client::{Client, Mail};
use crate::store::queue::Item;
use crate::types::locked;
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

/// A lane that has been idle for so long is asleep, and so is its server: waking them takes as long as a flush, and goes on beside it. One that is
/// busy would only be woken twice for each message.
const QUIET: Duration = Duration::from_millis(5);

/// A message whose commit is under way, at a lane with an idle connection.
pub(super) struct Early {
    bytes: (Bytes, OwnedSemaphorePermit),
    addresses: Addresses,
    committed: Committed,
    ready: Ready,
}

/// The connection, while its server waits for the text.
type Ready = Arc<Mutex<Option<Client>>>;

/// What the sender says of an item: it is on disk.
struct Told {
    item: Item,
    /// The commit came so soon that the envelope still holds.
    fresh: bool,
}

/// Hears of the commit of an item. However it is dropped, the item is not forgotten.
struct Committed {
    receiver: oneshot::Receiver<Told>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Committed {
    /// `None`: it was not committed.
    async fn told(&mut self) -> Option<Told> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Told { item, .. }) = self.receiver.try_recv() {
            let _ = self.reports.send(Report { item, outcome: Outcome::Back, reach: Reach::Same });
        }
    }
}

/// The sender's side of an envelope that has gone ahead. Dropped: there was no commit, and the server hears no more of it.
pub struct Begun {
    lanes: Arc<Lanes>,
    sender: oneshot::Sender<Told>,
    ready: Ready,
    /// When it began, with addresses that had just been looked up.
    at: Instant,
}

impl Begun {
    /// The server has answered.
    #[cfg(test)]
    pub fn is_ready(&self) -> bool {
        locked(&self.ready).is_some()
    }

    /// The item is on disk, as leased: the message may follow. Gives it back, to be submitted, if the lane gave it up meanwhile.
    #[must_use]
    pub fn committed(self, item: Item) -> Option<Item> {
        self.lanes.held.fetch_add(1, Ordering::Relaxed);
        let fresh = self.at.elapsed() < FRESH;
        // A lane that has gone, with the process, gives the item back: it goes out after the next start.
        if fresh
            && !self.sender.is_closed()
            && let Some(client) = locked(&self.ready).as_mut()
        {
            client.push();
        }
        let Told { item, .. } = self.sender.send(Told { item, fresh }).err()?;
        self.lanes.held.fetch_sub(1, Ordering::Relaxed);
        Some(item)
    }
}

impl Lanes {
    /// Begins to deliver a message that is about to be committed, if its lane has been idle with a connection to a server that answers.
    pub(in crate::outbound) fn begin(self: &Arc<Self>, bytes: &Bytes, addresses: &Addresses) -> Option<Begun> {
        let destination = self.means.routes.destination(addresses.recipient.domain());
        let reports = locked(&self.reports).clone()?;
        let lane = locked(&self.lanes).get(&destination).cloned()?;
        let mut state = locked(&lane.state);
        let quiet = state.idle > 0 && state.waiting.is_empty() && state.busy.elapsed() >= QUIET;
        if !quiet || state.failures > 0 || self.stopping() {
            return None;
        }
        let permit = self.waiting.try_take(bytes.len())?;
        let (sender, receiver) = oneshot::channel();
        let ready = Ready::default();
        state.waiting.push_back(Work::Early(Early {
            bytes: (bytes.clone(), permit),
            addresses: addresses.clone(),
            committed: Committed { receiver, reports },
            ready: Arc::clone(&ready),
        }));
        drop(state);
        lane.more.notify_one();
        Some(Begun { lanes: Arc::clone(self), sender, ready, at: Instant::now() })
    }
}

impl Worker {
    /// One attempt whose envelope goes ahead of the commit.
    pub(super) async fn early(&self, early: Early, started: Instant, kept: &mut Option<Client>) {
        let Early { bytes, addresses, mut committed, ready } = early;
        let mut told = None;
        if let Some(client) = kept {
            let Addresses { recipient, sender } = &addresses;
            let mail = Mail { sender: sender.as_deref(), recipient, bytes: &bytes.0 };
            match client.begin(&mail).await {
                Ok(()) => told = heard(client, &mut committed).await,
                Err(_) if !client.is_usable() => *kept = None,
                // That the message does not suit the server is found again, and told, when it is delivered.
                Err(_) => {}
            }
        }
        let told = match told {
            Some(told) => told,
            None => {
                *locked(&ready) = kept.take();
                let told = committed.told().await;
                *kept = locked(&ready).take();
                told
            }
        };
        let Some(Told { item, fresh }) = told else {
            // Nothing follows the envelope.
            *kept = None;
            return;
        };
        if !fresh {
            // The commit took so long that neither the addresses nor the connection can be relied on.
            *kept = None;
        }
        // A server may take its time to answer: the attempt goes on as it began.
        let addresses = fresh.then(|| (addresses, Instant::now()));
        self.one(Job { item, bytes: Some(bytes), addresses }, started, kept).await;
    }
}

/// Reads what the server answers to the envelope. What is heard of the commit meanwhile, if anything: unless the envelope is followed by its message,
/// a server that says nothing is not waited for.
async fn heard(client: &mut Client, committed: &mut Committed) -> Option<Option<Told>> {
    let mut answer = std::pin::pin!(client.hear());
    let told = tokio::select! {
        biased;
        () = &mut answer => return None,
        told = committed.told() => told,
    };
    if told.as_ref().is_some_and(|told| told.fresh) {
        answer.await;
    }
    Some(told)
}
