//! Memory for finished messages, shared by all lanes.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets that one permit stands for.
const UNIT: usize = 1024;
/// One message that is waited for takes one part at most, and a lane leaves one to the others: a server that stops reading keeps its own for minutes.
const PARTS: u32 = 4;

/// So much, for one use.
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
}

/// What one lane may have of it at once.
pub(super) struct Share(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(octets: usize) -> Self {
        let units = u32::try_from(octets / UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        Self { permits: Arc::new(Semaphore::new(units as usize)), units }
    }

    pub(super) fn share(&self) -> Share {
        Share(Arc::new(Semaphore::new((self.units - self.part()).max(1) as usize)))
    }

    fn part(&self) -> u32 {
        (self.units / PARTS).max(1)
    }

    /// Permits for so many octets, `most` at most.
    fn permits(octets: usize, most: u32) -> u32 {
        u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, most)
    }

    /// Room for so many octets, if there is some; a message larger than all of it takes all of it.
    pub(super) fn try_take(&self, octets: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(Self::permits(octets, self.units)).ok()
    }

    /// Waits for room for so many octets.
    pub(super) async fn take(&self, share: &Share, octets: usize) -> Vec<OwnedSemaphorePermit> {
        let (number, mut held) = (Self::permits(octets, self.part()), Vec::new());
        for semaphore in [&share.0, &self.permits] {
            held.extend(Arc::clone(semaphore).acquire_many_owned(number).await);
        }
        held
    }
}
