//! Signed addresses and ids: the relay hands them out, and knows its own again. A token says which message it belongs to
//! and is worth nothing for another purpose, another message or another store.

use super::network::client_key;
use super::{MessageId, PairId, Role};
use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::IpAddr;
use std::sync::LazyLock;

/// What a token is for; part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Envelope sender of relayed mail: `bounce+TOKEN@domain`.
    Bounce,
    /// Message-ID of relayed mail: `<TOKEN@domain>`.
    MessageId,
    /// Thread mark in the footer of what a party receives: see [`Secret::mark`].
    Thread,
    /// `report+TOKEN@domain`.
    Report,
    /// `done+TOKEN@domain`: no response needed.
    NoResponse,
    /// `stop+TOKEN@domain`: no more messages from sellers.
    Stop,
    /// `quiet+TOKEN@domain`: no more notices of mail that was refused in a party's name. Its token
    /// names the party, not a message.
    Quiet,
}

impl Purpose {
    /// The word before the `+` of an address that acts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::MessageId => "id",
            Self::Thread => "thread",
            Self::Report => "report",
            Self::NoResponse => "done",
            Self::Stop => "stop",
            Self::Quiet => "quiet",
        }
    }

    /// The purpose whose [`word`](Self::word) this is, of those that are addresses.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Bounce, Self::Report, Self::NoResponse, Self::Stop, Self::Quiet].into_iter().find(|p| p.word() == word)
    }
}

/// The store's secret, 32 bytes, made with the store.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes of the signature that a token carries: 80 bits, nothing to guess over SMTP.
const MAC_LENGTH: usize = 10;
/// The same in a thread mark: 56 bits. Marks are read by people and must not be wrapped, so they are short; and who guesses needs
/// 2^56 messages of a proved author, each of which may hold a few.
const MARK_MAC_LENGTH: usize = 7;
/// Characters of a token.
pub const TOKEN: usize = 29;
/// Characters of a thread mark.
pub const MARK: usize = 24;

/// RFC 4648 base 32 in lower case without padding: addresses are not always kept in their case.
#[expect(clippy::unwrap_used, reason = "a constant specification; a test builds it")]
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().unwrap()
});

impl Secret {
    /// Takes the secret out of the store's bytes; `None` unless there are 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key: &[u8; 32] = bytes.try_into().ok()?;
        // A block-sized key is taken as it is; HMAC pads it with zeros, so this is HMAC-SHA256
        // under the 32-byte key.
        let mut block = [0_u8; 64];
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Some(Self(Hmac::new(&block.into())))
    }

    /// The token of `message` for `purpose`: 29 characters of `a-z2-7`.
    #[must_use]
    pub fn token(&self, purpose: Purpose, message: MessageId) -> String {
        let id = message.0.to_be_bytes();
        let mut bytes = id.to_vec();
        bytes.extend(self.mac(purpose, &id).into_bytes().iter().take(MAC_LENGTH));
        BASE32.encode(&bytes)
    }

    /// The message a token belongs to, if this store made it for this purpose. Case does not matter. Constant time.
    #[must_use]
    pub fn read(&self, purpose: Purpose, token: &str) -> Option<MessageId> {
        let bytes = BASE32.decode(token.to_ascii_lowercase().as_bytes()).ok()?;
        let (id, mac) = bytes.split_first_chunk::<8>()?;
        if mac.len() != MAC_LENGTH {
            return None;
        }
        self.mac(purpose, id).verify_truncated_left(mac).ok()?;
        Some(MessageId(i64::from_be_bytes(*id)))
    }

    /// The mark of a thread for the party that receives its messages on `side` of `pair`: 24 characters of `a-z2-7`. Another pair, and the
    /// other side of this one, have other marks.
    #[must_use]
    pub fn mark(&self, pair: PairId, side: Role, thread: MessageId) -> String {
        let id = thread.0.to_be_bytes();
        let mut bytes = id.to_vec();
        bytes.extend(self.mark_mac(pair, side, &id).into_bytes().iter().take(MARK_MAC_LENGTH));
        BASE32.encode(&bytes)
    }

    /// The thread that a mark belongs to, if this store made it for this side of this pair. Case does not matter. Constant time.
    #[must_use]
    pub fn read_mark(&self, pair: PairId, side: Role, mark: &str) -> Option<MessageId> {
        let bytes = BASE32.decode(mark.to_ascii_lowercase().as_bytes()).ok()?;
        let (id, mac) = bytes.split_first_chunk::<8>()?;
        if mac.len() != MARK_MAC_LENGTH {
            return None;
        }
        self.mark_mac(pair, side, id).verify_truncated_left(mac).ok()?;
        Some(MessageId(i64::from_be_bytes(*id)))
    }

    /// A key for the thing of this kind and row id. Nothing else of the secret can be learned from it.
    #[must_use]
    pub fn key(&self, kind: &str, id: i64) -> [u8; 32] {
        let tag = Tag::start(&self.0).with(b"key").with(kind.as_bytes()).with(&id.to_be_bytes());
        tag.into_bytes().try_into().unwrap_or_default()
    }

    /// The mark of a server that took a message: 16 characters of `a-z2-7`. It tells whether
    /// another address is the same client network, and no more: not which one, nor whether another
    /// message went there, too.
    #[must_use]
    pub fn server_mark(&self, message: MessageId, ip: IpAddr) -> String {
        let network = client_key(ip).to_be_bytes();
        let tag = Tag::start(&self.0).with(b"server").with(&message.0.to_be_bytes()).with(&network);
        BASE32.encode(tag.into_bytes().get(..MAC_LENGTH).unwrap_or(&[]))
    }

    /// A client network ([`site_key`](super::network::site_key)) as it stands in the store: tells
    /// whether two are the same, and no more.
    #[must_use]
    pub fn network_mark(&self, client: u128) -> i64 {
        let tag = Tag::start(&self.0).with(b"network").with(&client.to_be_bytes()).into_bytes();
        tag.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
    }

    /// A sum of texts that nobody without the secret can make: to know them again without keeping
    /// them.
    #[must_use]
    pub fn sum(&self, kind: &str, texts: &[&str]) -> [u8; 32] {
        let start = Tag::start(&self.0).with(b"sum").with(kind.as_bytes());
        let tag = texts.iter().fold(start, |tag, text| tag.with(text.as_bytes()));
        tag.into_bytes().try_into().unwrap_or_default()
    }

    fn mark_mac(&self, pair: PairId, side: Role, thread: &[u8; 8]) -> Tag {
        let start = Tag::start(&self.0).with(Purpose::Thread.word().as_bytes());
        start.with(&pair.0.to_be_bytes()).with(side.as_str().as_bytes()).with(thread)
    }

    fn mac(&self, purpose: Purpose, id: &[u8; 8]) -> Tag {
        Tag::start(&self.0).with(purpose.word().as_bytes()).with(id)
    }
}

struct Tag(Hmac<Sha256>);

impl Tag {
    fn start(key: &Hmac<Sha256>) -> Self {
        Self(key.clone())
    }

    fn with(mut self, data: &[u8]) -> Self {
        self.0.update(data);
        self.0.update(b"\0");
        self
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0.finalize().into_bytes().to_vec()
    }

    fn verify_truncated_left(self, mac: &[u8]) -> Result<(), hmac::digest::MacError> {
        self.0.verify_truncated_left(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_message_purpose_and_store() {
        let ours = Secret::from_bytes(&[7; 32]).unwrap();
        let other = Secret::from_bytes(&[8; 32]).unwrap();
        let token = ours.token(Purpose::Bounce, MessageId(42));
        assert_eq!(token.len(), TOKEN);
        assert_eq!(ours.read(Purpose::Bounce, &token.to_uppercase()), Some(MessageId(42)));
        assert_eq!(ours.read(Purpose::Report, &token), None);
        assert_eq!(other.read(Purpose::Bounce, &token), None);
        for i in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[i] = if bad[i] == b'a' { b'b' } else { b'a' };
            assert_ne!(ours.read(Purpose::Bounce, std::str::from_utf8(&bad).unwrap()), Some(MessageId(42)));
        }
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mark = ours.server_mark(MessageId(1), ip("2001:db8::1"));
        assert_eq!((mark.len(), &mark), (16, &ours.server_mark(MessageId(1), ip("2001:db8::2"))));
        for other in [
            ours.server_mark(MessageId(2), ip("2001:db8::1")),
            ours.server_mark(MessageId(1), ip("192.0.2.1")),
            other.server_mark(MessageId(1), ip("2001:db8::1")),
        ] {
            assert_ne!(mark, other);
        }
        assert!(ours.network_mark(1) != ours.network_mark(2) && ours.network_mark(1) != other.network_mark(1));
        assert_ne!(ours.key("a", 1), ours.key("a", 2));
        assert_ne!(ours.key("a", 1), other.key("a", 1));
        assert_eq!(ours.sum("a", &["b", "c"]), ours.sum("a", &["b", "c"]));
        assert_ne!(ours.sum("a", &["b", "c"]), ours.sum("a", &["bc", ""]));
        assert_ne!(ours.sum("a", &["b"]), other.sum("a", &["b"]));
        for bad in ["", "a", &token[1..], &format!("{token}aa"), "ä"] {
            assert_eq!(ours.read(Purpose::Bounce, bad), None);
        }
    }

    proptest::proptest! {
        /// No mark works for another pair, side, thread or store; none that was changed or cut works at all.
        #[test]
        fn a_mark_is_good_for_one_side_of_one_pair(
            (pair, other) in (1_i64..1_000_000, 1_i64..1_000_000),
            thread in 0_i64..i64::MAX,
            (at, letter) in (0..MARK, 0_usize..32),
            cut in 0..MARK,
            seller: bool,
        ) {
            let store = Secret::from_bytes(&[7; 32]).unwrap();
            let (side, pair, other) = (if seller { Role::Seller } else { Role::Buyer }, PairId(pair), PairId(other));
            let thread = MessageId(thread);
            let mark = store.mark(pair, side, thread);
            proptest::prop_assert_eq!(mark.len(), MARK);
            proptest::prop_assert_eq!(store.read_mark(pair, side, &mark.to_uppercase()), Some(thread));
            proptest::prop_assert_eq!(store.read_mark(pair, side.other(), &mark), None);
            if other != pair {
                proptest::prop_assert_eq!(store.read_mark(other, side, &mark), None);
            }
            let foreign = Secret::from_bytes(&[8; 32]).unwrap();
            proptest::prop_assert_eq!(foreign.read_mark(pair, side, &mark), None);
            let mut forged = mark.clone().into_bytes();
            forged[at] = b"abcdefghijklmnopqrstuvwxyz234567"[letter];
            let forged = String::from_utf8(forged).unwrap();
            if forged != mark {
                proptest::prop_assert_eq!(store.read_mark(pair, side, &forged), None);
            }
            proptest::prop_assert_eq!(store.read_mark(pair, side, &mark[..cut]), None);
            // A token is no mark, and a mark no token.
            proptest::prop_assert_eq!(store.read_mark(pair, side, &store.token(Purpose::Thread, thread)), None);
            proptest::prop_assert_eq!(store.read(Purpose::Thread, &mark), None);
        }
    }
}
