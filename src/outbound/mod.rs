//! Floor 6, outbound: what waits goes out. `queue` is the one loop that owns the schedule, `delivery` one attempt, `route` where to.
//!
//! Not here: what a message looks like, or what its author is told when it cannot be delivered: the [`House`] knows.

pub mod delivery;
mod queue;
pub mod route;
#[cfg(test)]
mod tests;

pub use delivery::Outcome;
pub use queue::{Outbound, Start};

use crate::policy::failure::FailureClass;
use crate::store::queue::Item;
use crate::store::{Change, Result};
use crate::types::Time;
use bytes::Bytes;

/// What the queue asks of the house.
pub trait House: Send + Sync + 'static {
    /// The finished bytes of an item, made anew from what the store keeps. `None`: not kept any more.
    ///
    /// # Errors
    /// The store's trouble.
    fn load(&self, item: &Item) -> Result<Option<Bytes>>;

    /// The envelope sender; `None` is `<>`.
    fn return_path(&self, item: &Item) -> Option<String>;

    /// The item was given up; queues what its author is told, in the same transaction.
    ///
    /// # Errors
    /// The store's trouble.
    fn given_up(&self, change: &Change<'_>, item: &Item, class: FailureClass, now: Time) -> Result<()>;

    /// The item has waited for long; queues what its author is told, in the same transaction.
    ///
    /// # Errors
    /// The store's trouble.
    fn delayed(&self, change: &Change<'_>, item: &Item, now: Time) -> Result<()>;
}
