//! What SMTP says about a message beside the message itself.

use super::{Address, PartyId};
use std::net::IpAddr;

/// Who is connected, as far as the session knows. After XFORWARD, XCLIENT or PROXY from a trusted
/// network: the client behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's network address. Never in a log, a reply, or a header that goes out.
    pub ip: IpAddr,
    /// What it said in EHLO or HELO; empty before.
    pub helo: String,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether the *connection* comes from one of the listener's `trusted_networks`, whomever it
    /// speaks for; behind a balancer's PROXY header, whether the client that it names does.
    pub trusted: bool,
    /// Who logged in, on a submission listener: the seller.
    pub login: Option<PartyId>,
}

/// One SMTP transaction, RFC 5321 3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `None` is the null sender `<>`.
    pub sender: Option<Address>,
    /// Accepted recipients, in order, none twice.
    pub recipients: Vec<Address>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub utf8: bool,
}
