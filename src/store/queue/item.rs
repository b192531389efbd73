//! The nouns of the queue: items, their recipients and states, and the destinations that they wait for. No SQL but the row's shape.

use crate::types::{Address, MessageId, MessageIdError, PartyId, Time};
use rusqlite::Row;
use std::time::Duration;

/// Id of a queue item: its message's, or a notice's own, as a message may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub MessageId);

impl std::fmt::Display for ItemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ItemId {
    type Err = MessageIdError;
    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        text.parse().map(Self)
    }
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A relayed message: its bytes are made again from the message as received.
    Relay,
    /// A notice of ours: it carries its bytes.
    Notice,
    /// Mail to postmaster or abuse, for the operator: it carries its bytes, and is no message of
    /// the history.
    Forward,
}

impl Kind {
    /// The word used in the CLI and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Notice => "notice",
            Self::Forward => "forward",
        }
    }
}

/// To whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A party; its address is looked up when it is delivered.
    Party(PartyId),
    /// An address: the operator's.
    Address(Address),
}

/// An item to be queued.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// The message it belongs to.
    pub message: MessageId,
    /// What it is.
    pub kind: Kind,
    /// To whom.
    pub recipient: Recipient,
    /// Destination: the recipient's domain, for scheduling. The address is looked up again at delivery.
    pub domain: String,
    /// A notice's own id, drawn like a message's, and its finished bytes.
    pub notice: Option<(MessageId, Vec<u8>)>,
}

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// The message it belongs to.
    pub message: MessageId,
    /// What it is.
    pub kind: Kind,
    /// To whom.
    pub recipient: Recipient,
    /// Destination domain.
    pub domain: String,
    /// When it was queued.
    pub queued: Time,
    /// When it is due.
    pub due: Time,
    /// Attempts begun.
    pub attempts: u32,
    /// Being delivered.
    pub leased: bool,
    /// The author has been told of the delay.
    pub delay_told: bool,
    /// Why it waits: our own word and at most a status code.
    pub waits_for: String,
}

/// Now, and the time later than which nothing can have been meant to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    pub(super) now: Time,
    pub(super) far: Time,
}

impl Horizon {
    /// `longest` is the longest wait between two attempts.
    #[must_use]
    pub fn new(now: Time, longest: Duration) -> Self {
        Self { now, far: now.plus(longest.saturating_add(Duration::from_secs(60))) }
    }

    /// Now.
    #[must_use]
    pub fn now(self) -> Time {
        self.now
    }
}

/// A destination that mail waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The domain.
    pub domain: String,
    /// Attempts in a row that reached no server.
    pub failures: u32,
    /// The operator wants it tried, whatever is known of it.
    pub forced: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Settle {
    /// Delivered.
    Done {
        /// The mark of the server that took it
        /// ([`Secret::server_mark`](crate::types::token::Secret::server_mark)); empty: not known.
        server: String,
    },
    /// Try again at this time.
    Again {
        /// When.
        due: Time,
        /// Why: our own word.
        why: String,
    },
    /// Not tried: there was no room for it. Due at once, and the attempt does not count.
    Back,
    /// Given up: the row goes; the caller queues the notice in the same transaction.
    Failed {
        /// Why: our own word.
        why: String,
    },
}

pub(super) const ITEM: &str =
    "SELECT id, message, kind, party, address, domain, queued, due, attempts, leased, delay_told, waits_for FROM queue";

pub(super) fn item_of(row: &Row<'_>) -> rusqlite::Result<Item> {
    let party: Option<i64> = row.get(3)?;
    let address: Option<String> = row.get(4)?;
    let recipient = match (party, address.as_deref().map(Address::parse)) {
        (_, Some(Ok(address))) => Recipient::Address(address),
        (party, _) => Recipient::Party(PartyId(party.unwrap_or(0))),
    };
    Ok(Item {
        id: ItemId(MessageId(row.get(0)?)),
        message: MessageId(row.get(1)?),
        kind: match row.get(2)? {
            0 => Kind::Relay,
            1 => Kind::Notice,
            _ => Kind::Forward,
        },
        recipient,
        domain: row.get(5)?,
        queued: Time(row.get(6)?),
        due: Time(row.get(7)?),
        attempts: row.get(8)?,
        leased: row.get(9)?,
        delay_told: row.get(10)?,
        waits_for: row.get(11)?,
    })
}
