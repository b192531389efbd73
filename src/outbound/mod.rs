//! Floor 6, outbound: what waits goes out.
//!
//! `queue` is the handle and the one loop that owns the schedule; `lane` (with `memory`) keeps each destination's jobs and connections apart from
//! the others'; `delivery` is one attempt, `route` where to, `connect` how (with `sts` and `dane` for what the receivers demand), `maildir` the other way out; `report` is what an attempt came to, and `settle` writes it.
//!
//! Not here: what a message looks like, or what its author is told when it cannot be delivered: the [`House`] knows.

mod connect;
mod dane;
pub mod delivery;
mod lane;
mod maildir;
mod memory;
mod queue;
mod report;
pub mod route;
mod settle;
mod sts;
#[cfg(test)]
mod tests;

pub use delivery::Outcome;
pub use lane::Begun;
pub use queue::{DRAIN, Outbound, Start};

use crate::config::Config;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::policy::failure::FailureClass;
use crate::store::queue::Item;
use crate::store::{Change, Result, Store, View};
use crate::tls::ClientTls;
use crate::types::{Address, MessageId, Time};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the house has of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Its finished bytes.
    Bytes(Bytes),
    /// Not kept any more.
    Gone,
    /// It can no longer be made anonymous: the parties' addresses or the settings changed while it waited. Our own word for why.
    Unclean(&'static str),
}

/// What the queue asks of the house.
pub trait House: Send + Sync + 'static {
    /// The finished bytes of an item, made anew from what the store keeps. Called on a thread that may block.
    ///
    /// # Errors
    /// The store's trouble.
    fn load(&self, item: &Item) -> Result<Loaded>;

    /// Mail for the operator, whole, in a message that a server without 8BITMIME takes, too.
    fn seven_bit(&self, message: MessageId, to: &Address, raw: &[u8], now: Time) -> Vec<u8>;

    /// The envelope sender; `None` is `<>`.
    ///
    /// # Errors
    /// The store's trouble: without its own envelope sender a relayed message's bounces would be lost.
    fn return_path(&self, view: &View<'_>, item: &Item) -> Result<Option<String>>;

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

/// The envelope of one recipient's copy.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Whom it goes to.
    pub recipient: Address,
    /// The envelope sender; `None` is `<>`.
    pub sender: Option<String>,
}

/// Where other servers listen. A test has its own; the settings do not, as a policy that comes from elsewhere is none.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// SMTP of an MX.
    pub smtp: u16,
    /// HTTPS of an MTA-STS policy.
    pub https: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { smtp: 25, https: 443 }
    }
}

/// What all parts of the queue share.
struct Means {
    config: Arc<Config>,
    store: Store,
    dns: Arc<dyn Dns>,
    routes: route::Routes,
    tls: ClientTls,
    ports: Ports,
    sts: sts::Sts,
    house: Arc<dyn House>,
    metrics: Metrics,
    /// The clock.
    now: fn() -> Time,
    /// Something changed that the schedule may care for.
    kick: Notify,
}
