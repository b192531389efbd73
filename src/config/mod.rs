//! Floor 1, settings: the configuration file as plain structs with their defaults, and [`Config::check`], which returns every problem
//! with its remedy, and [`Config::warnings`], which returns what works and opens a door. Unknown
//! keys are errors. `conf/marketrelay.toml` documents each key; a test compares the two.
//!
//! Not here: opening anything. Reading the file is the only I/O.

mod authentication;
mod bounds;
pub mod check;
mod delivery;
mod idle;
mod lines;
mod load;
mod policy;
mod quantity;
mod sockets;
#[cfg(test)]
mod tests;
mod warn;
mod words;

pub use authentication::{Authentication, AuthenticationMode};
pub use check::Problem;
pub use delivery::{Credentials, Delivery, TlsLevel};
pub use load::{Loaded, load, parse};
pub use policy::{
    AddressesInFiles, AnsweredBy, Attachments, Metadata, OptOut, OptOutAnswer, OverQuota, Policy, Quota, Response,
};
pub use quantity::{Size, Span};

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Keys of which there may be several tables.
const LISTS: [&str; 3] = ["marketplace", "listener", "dkim"];

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Our name in banner, EHLO and Received.
    pub hostname: String,
    /// Where the store lives; `store init` makes it, mode 0700.
    pub data_dir: PathBuf,
    /// Where mail to postmaster and abuse at the alias domains goes.
    pub operator: Option<String>,
    /// Characters of an alias in all, `@` and domain included.
    pub alias_length: usize,
    /// One or more shop fronts.
    pub marketplace: Vec<Marketplace>,
    /// Where to listen for mail.
    pub listener: Vec<Listener>,
    /// Certificate for STARTTLS and implicit TLS.
    pub tls: Tls,
    /// How authors prove themselves.
    pub authentication: Authentication,
    /// Where mail goes out.
    pub delivery: Delivery,
    /// Name servers.
    pub dns: Dns,
    /// The marketplace's rules.
    pub policy: Policy,
    /// Limits and timeouts of the SMTP server.
    pub limits: Limits,
    /// Retries of outgoing mail.
    pub queue: Queue,
    /// How long messages are kept.
    pub history: History,
    /// Signing keys.
    pub dkim: Vec<Dkim>,
    /// Notice texts that replace the built-in ones.
    pub notices: Notices,
    /// Logs.
    pub log: Log,
    /// Prometheus endpoint.
    pub metrics: Metrics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            data_dir: PathBuf::from("/var/lib/marketrelay"),
            operator: None,
            alias_length: crate::types::alias::DEFAULT_LENGTH,
            marketplace: Vec::new(),
            listener: Vec::new(),
            tls: Tls::default(),
            authentication: Authentication::default(),
            delivery: Delivery::default(),
            dns: Dns::default(),
            policy: Policy::default(),
            limits: Limits::default(),
            queue: Queue::default(),
            history: History::default(),
            dkim: Vec::new(),
            notices: Notices::default(),
            log: Log::default(),
            metrics: Metrics::default(),
        }
    }
}

/// `[[marketplace]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marketplace {
    /// The platform's id.
    pub id: String,
    /// The alias domain.
    pub domain: String,
    /// The name people know.
    pub name: String,
    /// Default language of notices, BCP 47.
    #[serde(default = "english")]
    pub language: String,
    /// IANA time zone of its day.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Where people reach the marketplace: a mail address, or a web address.
    #[serde(default)]
    pub contact: Option<String>,
}

fn english() -> String {
    "en".to_owned()
}
fn utc() -> String {
    "UTC".to_owned()
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port. Port 0 lets the system choose; the log and `serve`'s READY status tell which.
    pub address: SocketAddr,
    /// Who comes here.
    #[serde(default)]
    pub kind: ListenerKind,
    /// TLS on this listener.
    #[serde(default)]
    pub tls: ListenerTls,
    /// Networks (CIDR) from which XFORWARD, XCLIENT, the PROXY protocol and Authentication-Results
    /// are believed.
    #[serde(default)]
    pub trusted_networks: Vec<String>,
    /// Whether each connection from a trusted network begins with a PROXY header (v1 or v2).
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// Who comes to a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// Mail servers, and the marketplace's front.
    #[default]
    Relay,
    /// Sellers who log in (RFC 6409), because nothing authenticates their domain. Nobody else may send here.
    Submission,
}

/// TLS of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerTls {
    /// Plain text only.
    #[default]
    None,
    /// STARTTLS is offered.
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

/// `[tls]`: PEM files, read again on SIGHUP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain.
    pub certificate: Option<PathBuf>,
    /// Private key.
    pub key: Option<PathBuf>,
    /// Roots that the relay believes as a client, beside the system's and Mozilla's.
    pub extra_roots: Option<PathBuf>,
}

/// `[delivery.timeouts]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTimeouts {
    /// TCP connect.
    pub connect: Span,
    /// Banner, EHLO, MAIL, RCPT.
    pub command: Span,
    /// Reply to DATA.
    pub data: Span,
    /// Each block written.
    pub block: Span,
    /// Reply to the final dot.
    pub final_dot: Span,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            connect: Span::seconds(30),
            command: Span::seconds(300),
            data: Span::seconds(120),
            block: Span::seconds(180),
            final_dot: Span::seconds(600),
        }
    }
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name servers; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// Whether signatures are validated where mail goes; DANE needs it.
    pub dnssec: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), dnssec: true }
    }
}

/// `[limits]`: what one client, or all together, may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all; the next is answered 421.
    pub connections: usize,
    /// Connections of one client address (IPv6: one /64).
    pub connections_per_client: usize,
    /// Recipients of a message.
    pub recipients: usize,
    /// Messages on one connection.
    pub messages_per_connection: usize,
    /// Commands that are no part of a transaction (NOOP, RSET, VRFY, HELP …) before 421.
    pub junk_commands: usize,
    /// Errors after which replies are delayed by a second each.
    pub errors_soft: usize,
    /// Errors at which the connection is closed with 421.
    pub errors_hard: usize,
    /// Longest command line in octets, CRLF included.
    pub command_line: usize,
    /// Silence between commands.
    pub idle: Span,
    /// A whole session.
    pub session: Span,
    /// Octets a second that DATA must bring on average after its first 30 seconds.
    pub min_data_rate: u32,
    /// Mail held in memory at once; more waits its turn on disk.
    pub memory: Size,
    /// A message larger than this waits on disk while it arrives.
    pub spool_above: Size,
    /// New mail is refused (452) while the data directory's file system has less than this left; 0: it is not looked at.
    pub free_space: Size,
    /// Largest message to postmaster or abuse.
    pub operator_message_size: Size,
    /// Such messages of one client network in an hour.
    pub operator_messages: usize,
    /// Such messages of all in an hour, and as many that wait.
    pub operator_messages_in_all: usize,
    /// Octets of them in an hour, and as many that wait; one network has an eighth.
    pub operator_octets: Size,
    /// Header block of a message.
    pub header_size: Size,
    /// Nested multiparts and messages.
    pub mime_depth: usize,
    /// Parts in all.
    pub mime_parts: usize,
    /// Work on one message, for all of its recipients, in millions of steps, one to two
    /// milliseconds of a core each. Unpacking and packing documents may take three times as much
    /// besides. Counted, not measured: a message that is refused here is refused everywhere.
    pub message_work: u64,
    /// `Received` fields at which a message is a loop.
    pub hops: usize,
    /// Messages of strangers, refused in an hour, of one client address (IPv6: one /64): at the
    /// next, the session ends after its reply.
    pub refusals_per_client: u32,
    /// The same of one alias, over all clients.
    pub refusals_per_alias: u32,
    /// Of those, messages of one client address that have a row each in the history, a minute; more
    /// are summed.
    pub refusal_rows: u32,
}

impl Limits {
    /// `message_work` in steps.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.message_work.saturating_mul(1_000_000)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 50,
            recipients: 50,
            messages_per_connection: 10_000,
            junk_commands: 100,
            errors_soft: 10,
            errors_hard: 20,
            command_line: 2048,
            idle: Span::seconds(300),
            session: Span::seconds(3600),
            min_data_rate: 500,
            memory: Size::mib(64),
            spool_above: Size::mib(2),
            free_space: Size::mib(100),
            operator_message_size: Size::mib(4),
            operator_messages: 30,
            operator_messages_in_all: 600,
            operator_octets: Size::mib(64),
            header_size: Size::kib(256),
            mime_depth: 50,
            mime_parts: 1000,
            message_work: 850,
            hops: 50,
            refusals_per_client: 60,
            refusals_per_alias: 200,
            refusal_rows: 10,
        }
    }
}

/// `[queue]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// First wait after a failed attempt; each next one is twice as long, with jitter.
    pub retry_first: Span,
    /// Longest wait.
    pub retry_longest: Span,
    /// Given up after this.
    pub expire: Span,
    /// The author is told of a delay after this.
    pub delay_notice: Span,
    /// Connections to one destination.
    pub concurrency_per_destination: usize,
    /// Connections in all.
    pub concurrency: usize,
    /// A connection is kept open this long for the next message.
    pub keep_connection: Span,
    /// Finished messages kept in memory between commit and delivery; beyond it they are read back from disk.
    pub memory: Size,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            retry_first: Span::seconds(300),
            retry_longest: Span::seconds(4 * 3600),
            expire: Span::seconds(5 * 86_400),
            delay_notice: Span::seconds(4 * 3600),
            concurrency_per_destination: 20,
            concurrency: 200,
            keep_connection: Span::seconds(10),
            memory: Size::mib(64),
        }
    }
}

/// `[history]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Days that messages are kept, with verdicts, walks and threads.
    pub keep_days: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { keep_days: 730 }
    }
}

/// `[[dkim]]`: outgoing mail of a marketplace is signed with each of its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The marketplace's id.
    pub marketplace: String,
    /// Selector: the record is at `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// Private key, PKCS#8 PEM: RSA-2048 or Ed25519.
    pub key: PathBuf,
}

/// `[notices]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// Directory of `LANG/NAME` files that replace the built-in texts.
    pub directory: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// The systemd journal, with fields.
    Journal,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where `/metrics` and `/health` are served; nowhere if unset.
    pub address: Option<SocketAddr>,
}
