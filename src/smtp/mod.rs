//! Floor 5, the wire: SMTP as a server, and (in `client`) as a client.
//!
//! `command` is syntax, `session` the state machine and `data` the reader of messages: no I/O in any of them. `connection` moves octets, time and memory
//! for one session, `server` accepts connections.
//!
//! Not here: anything about marketplaces. What a recipient is, and what becomes of a message, is the [`Handler`]'s.

pub mod auth;
pub mod client;
pub mod command;
mod connection;
pub mod data;
#[cfg(test)]
mod dialogs;
mod front;
mod incoming;
pub mod proxy;
pub mod server;
pub mod session;
#[cfg(test)]
mod sockets;
mod space;
mod stream;

use crate::types::{Address, Client, Envelope, Reply};
use auth::{Answer, Attempt};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;

/// Who answers for recipients and messages.
pub trait Handler: Send + Sync + 'static {
    /// May this recipient be written to? A point lookup, answered at once.
    ///
    /// # Errors
    /// The reply that refuses it.
    fn recipient(&self, client: &Client, sender: Option<&Address>, recipient: &Address) -> Result<(), Reply>;

    /// May a message of so many octets go to this recipient? Asked after [`Handler::recipient`],
    /// where the client has said how long it is (RFC 1870).
    ///
    /// # Errors
    /// The reply that refuses the recipient.
    fn announced(&self, _recipient: &Address, _octets: u64) -> Result<(), Reply> {
        Ok(())
    }

    /// Takes a whole message: CRLF lines, dots unstuffed. A positive reply means that it is safe on disk.
    fn message(self: Arc<Self>, client: Client, envelope: Envelope, raw: Bytes) -> impl Future<Output = Reply> + Send;

    /// Checks a login, or says what a client needs to prove one. Whether a login exists is told by neither the answer nor the time that it takes.
    fn login(self: Arc<Self>, client: Client, attempt: Attempt) -> impl Future<Output = Answer> + Send;
}
