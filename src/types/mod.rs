//! Floor 0, words: the nouns every other floor speaks in.
//!
//! Owns: addresses, aliases, ids, line ends, tokens, SMTP replies, times, envelopes and the random
//! source; how a lock is taken, what strangers may use up together, and which characters show
//! nothing. Values only.
//! Not here: anything that reads a file, a socket, a database or (but for [`time`]) the clock.

pub mod address;
pub mod alias;
pub mod counts;
pub mod credential;
pub mod envelope;
mod houses;
pub mod ids;
pub mod invisible;
pub mod lines;
pub mod lock;
pub mod network;
pub mod provider;
pub mod quiet;
pub mod random;
pub mod reply;
pub mod shares;
pub mod spelling;
pub mod time;
pub mod token;

pub use address::{Address, AddressError, AddressKey};
pub use alias::Alias;
pub use envelope::{Client, Envelope};
pub use ids::{ExternalId, MessageId, MessageIdError, PairId, PartyId};
pub use invisible::is_invisible;
pub use lock::locked;
pub use provider::Providers;
pub use random::{Random, SystemRandom};
pub use reply::Reply;
pub use time::Time;
pub use token::Secret;

/// Whether this may be a language tag of BCP 47, as far as its letters tell.
#[must_use]
pub fn is_language_tag(text: &str) -> bool {
    (2..=35).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether a character is none that a name has: a control character (CR and LF among them), a line
/// or paragraph separator, or one that turns the direction of what stands behind it.
#[must_use]
pub fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text as HTML shows it, in an attribute's value, too.
#[must_use]
pub fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Which side of a pair a party is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The one who ordered.
    Buyer,
    /// The one who sells.
    Seller,
}

impl Role {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Buyer => Self::Seller,
            Self::Seller => Self::Buyer,
        }
    }

    /// The word used in the CLI, JSON, logs and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Seller => "seller",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
