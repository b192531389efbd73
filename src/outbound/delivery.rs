//! One attempt: from an item to what it came to. Connections are kept by the caller, between attempts.

use super::route::Destination;
use super::{Addresses, Loaded, Means, maildir};
use crate::policy::failure::FailureClass;
use crate::smtp::client::{Client, EIGHT_BIT, Failure, Mail};
use crate::store::StoreError;
use crate::store::queue::{Item, Kind};
use crate::types::MessageId;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

/// What an attempt came to. The text is ours: at most a code of the other server is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver's server has it. Its network address, where it has one.
    Delivered(Option<IpAddr>),
    /// Try again.
    Later {
        /// Why.
        why: String,
        /// Whether a server was reached that answers.
        reached: bool,
    },
    /// Not tried: there was no room, or no time left.
    Back,
    /// No use.
    Failed {
        /// Why.
        why: String,
        /// What the author is told.
        class: FailureClass,
    },
}

/// Where an item goes now.
pub(super) struct Target {
    pub(super) addresses: Addresses,
    pub(super) destination: Destination,
    /// The message is somebody else's, for the operator.
    forward: Option<MessageId>,
}

fn later(why: impl Into<String>) -> Outcome {
    Outcome::Later { why: why.into(), reached: true }
}

/// Try again: no server was reached.
pub(super) fn unreached(why: impl Into<String>) -> Outcome {
    Outcome::Later { why: why.into(), reached: false }
}

pub(super) fn failed(why: impl Into<String>, class: FailureClass) -> Outcome {
    Outcome::Failed { why: why.into(), class }
}

impl Means {
    /// Where the item goes: the recipient's address of this moment, and its route.
    pub(super) fn target(&self, item: &Item) -> Result<Target, Outcome> {
        let found = self.store.read(|view| Ok((view.item_address(item)?, self.house.return_path(view, item)?)));
        match found.map(|(address, sender)| address.map(|address| (address, sender))) {
            Ok(Some((recipient, sender))) => Ok(self.to(item, Addresses { recipient, sender })),
            Ok(None) => Err(failed("the receiver is gone", FailureClass::Gone)),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// The route to a recipient.
    pub(super) fn to(&self, item: &Item, addresses: Addresses) -> Target {
        let destination = self.routes.destination(addresses.recipient.domain());
        Target { addresses, destination, forward: (item.kind == Kind::Forward).then_some(item.message) }
    }

    /// Octets of the item, about. One that was cancelled meanwhile is not tried.
    pub(super) fn size(&self, item: &Item) -> Result<usize, Outcome> {
        match self.store.read(|view| view.item_size(item.id)) {
            Ok(size) => size.ok_or(Outcome::Back),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// The finished bytes, made again.
    pub(super) async fn load(self: &Arc<Self>, item: &Item) -> Result<Bytes, Outcome> {
        let (means, item) = (Arc::clone(self), item.clone());
        match tokio::task::spawn_blocking(move || means.house.load(&item)).await {
            Ok(Ok(Loaded::Bytes(bytes))) => Ok(bytes),
            Ok(Ok(Loaded::Gone)) => Err(failed("the message is not kept any more", FailureClass::Other)),
            Ok(Ok(Loaded::Unclean(why))) => {
                Err(failed(format!("stopped when it was made again: {why}"), FailureClass::Unclean))
            }
            Ok(Err(error)) => Err(trouble(&error)),
            Err(_) => Err(later("internal trouble")),
        }
    }

    /// Sees that there is a connection to deliver over.
    pub(super) async fn connected(&self, target: &Target, kept: &mut Option<Client>) -> Result<(), Outcome> {
        if kept.is_none() && !matches!(target.destination, Destination::Maildir(_)) {
            *kept = Some(self.connect(&target.destination).await?);
        }
        Ok(())
    }

    /// Delivers an item over `kept`, or a new connection, which is kept there if it is good for more.
    pub(super) async fn attempt(&self, target: &Target, bytes: &Bytes, kept: &mut Option<Client>) -> Outcome {
        let Destination::Maildir(directory) = &target.destination else {
            return self.smtp(target, bytes, kept).await;
        };
        let (directory, bytes, now) = (directory.clone(), bytes.clone(), (self.now)());
        let address = target.addresses.recipient.clone();
        match tokio::task::spawn_blocking(move || maildir::write(&directory, &address, &bytes, now)).await {
            Ok(Ok(())) => Outcome::Delivered(None),
            Ok(Err(error)) => unreached(format!("maildir: {}", error.kind())),
            Err(_) => later("internal trouble"),
        }
    }

    async fn smtp(&self, target: &Target, bytes: &[u8], kept: &mut Option<Client>) -> Outcome {
        if let Some(client) = kept {
            match self.send(client, target, bytes).await {
                // A kept connection may have died in the meantime: a new one is tried at once.
                Err(failure) if failure.is_stale() => *kept = None,
                result => return Self::outcome(result, kept),
            }
        }
        match self.connect(&target.destination).await {
            Ok(mut client) => {
                let result = self.send(&mut client, target, bytes).await;
                *kept = Some(client);
                Self::outcome(result, kept)
            }
            Err(outcome) => outcome,
        }
    }

    /// What we wrote is 7-bit. What is forwarded is as its author wrote it, and is wrapped where the server does not take that.
    async fn send(&self, client: &mut Client, target: &Target, bytes: &[u8]) -> Result<(), Failure> {
        let Addresses { recipient, sender } = &target.addresses;
        let mail = |bytes| Mail { sender: sender.as_deref(), recipient, bytes };
        match (client.deliver(&mail(bytes)).await, target.forward) {
            (Err(Failure::Lacks(EIGHT_BIT)), Some(message)) => {
                let wrapped = self.house.seven_bit(message, recipient, bytes, (self.now)());
                client.deliver(&mail(&wrapped)).await
            }
            (result, _) => result,
        }
    }

    fn outcome(result: Result<(), Failure>, kept: &mut Option<Client>) -> Outcome {
        let server = kept.as_ref().and_then(|client| client.server);
        if kept.as_ref().is_some_and(|client| !client.is_usable()) {
            *kept = None;
        }
        let Err(failure) = result else { return Outcome::Delivered(server) };
        let why = failure.to_string();
        if matches!(failure, Failure::Timeout(_)) {
            // A server that falls silent would hold up as many connections as it is given.
            return unreached(why);
        }
        if !failure.is_permanent() {
            return later(why);
        }
        let class = match failure {
            Failure::Refused(_, code) => FailureClass::of_reply(code.code, code.enhanced),
            Failure::TooLarge => FailureClass::TooLarge,
            _ => FailureClass::Other,
        };
        failed(why, class)
    }
}

pub(super) fn trouble(error: &StoreError) -> Outcome {
    tracing::error!(%error, "store trouble while delivering");
    later("trouble with the store")
}
