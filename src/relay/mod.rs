//! Floor 6, the heart: one accepted message from bytes to verdict to commit.
//!
//! [`Relay`] answers the SMTP server. The walk: `target` finds who stands behind each recipient;
//! `prove` asks whether the author is who he says (`login`: sellers who log in); `judge` goes
//! through the recipients, `facts` is what the rules are asked, `judged` what came of it; `thread`
//! finds what a message answers, `repeats` whether it has been here before, `turns` whether
//! machines answer one another; `compose` builds what goes out, and what cannot be made safe is
//! refused while the sender still listens; `commit` writes all of it in one transaction; then the
//! queue gets the finished bytes in memory.
//!
//! Beside it: `notices` is what authors are told later, `act` what addresses in footers do,
//! `bounce` what delivery reports change, `operator` what becomes of mail to postmaster and abuse.
//! `refusals` counts and sums what is refused of strangers, and `owners` tells whom they named.
//!
//! Not here: how a verdict is reached (`policy`), what a message looks like (`message`), SQL (`store`), when something is sent (`outbound`).

mod act;
mod bounce;
mod commit;
mod compose;
pub mod explain;
mod facts;
mod judge;
mod judged;
mod login;
mod notices;
mod operator;
mod owners;
mod prove;
mod refusals;
mod repeats;
mod target;
#[cfg(test)]
mod tests;
mod thread;
mod turns;

use crate::authentication::{Authentication, Verifier};
use crate::config::{Config, Marketplace};
use crate::message::sign::Signer;
use crate::message::work::Allowance;
use crate::metrics::Metrics;
use crate::notice::Texts;
use crate::outbound::Outbound;
use crate::policy::opt_out::CriticalTags;
use crate::smtp::Handler;
use crate::smtp::auth::{Answer, Attempt};
use crate::store::{Store, StoreError};
use crate::types::network::{Network, site_key};
use crate::types::quiet::Quiet;
use crate::types::shares::{Amount, Bounds, Shares};
use crate::types::{Address, Client, Envelope, MessageId, Providers, Random as _, Reply, SystemRandom, Time, locked};
use bytes::Bytes;
use jiff::tz::TimeZone;
use judged::Judged;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Messages above this are judged off the async threads, so that they hold up nobody else.
const HEAVY: usize = 128 * 1024;
/// Steps (see [`work`](crate::message::work)) after which a small message turns out to be a heavy
/// one and is judged as such from the start: about 30 milliseconds.
const SOON: u64 = 30_000_000;
/// A message is judged within this: seconds on a machine that has nothing else to do. The session
/// waits a little longer.
const JUDGING: Duration = Duration::from_secs(240);

/// Everything that one message needs.
pub struct Relay {
    config: Arc<Config>,
    store: Store,
    metrics: Metrics,
    texts: Texts,
    /// By alias domain, lower case.
    shops: HashMap<String, Arc<Shop>>,
    operator: Option<Address>,
    outbound: OnceLock<Outbound>,
    verifier: OnceLock<Verifier>,
    /// By alias domain, lower case.
    signers: OnceLock<HashMap<String, Vec<Signer>>>,
    last: AtomicI64,
    logins: login::Logins,
    /// Where strangers have mailboxes, and which spellings are one author.
    providers: Providers,
    critical: CriticalTags,
    /// The trusted networks of all listeners: an address in them is nobody's but the front's.
    fronts: Vec<Network>,
    /// It was logged that a front hands on no client address.
    hidden_told: AtomicBool,
    /// Mail to the operator of the last hour.
    forwards: Mutex<Shares>,
    /// How often a pair's authors were told lately of reports that nothing proves.
    doubts: Mutex<Shares>,
    /// Log lines that strangers cause.
    quiet: Mutex<Quiet>,
    refusals: refusals::Refusals,
}

/// Reports that nothing proves: so many notices a day for one pair, and for all.
const DOUBTS: Bounds =
    Bounds { all: Amount { count: 10_000.0, octets: 0.0 }, each: Amount { count: 3.0, octets: 0.0 }, small: 0 };
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A marketplace, ready for use.
#[derive(Debug)]
struct Shop {
    settings: Marketplace,
    /// Lower case.
    domain: String,
    zone: TimeZone,
}

/// A message as it arrived.
struct Arrived {
    client: Client,
    envelope: Envelope,
    raw: Bytes,
    at: Time,
    authentication: Authentication,
    /// Nothing will come of it: somebody asks what would.
    explain: bool,
    /// What came before is looked up while it is judged: see [`repeats`].
    looks_back: AtomicBool,
    /// What its parts say, once it has to be compared with another message.
    parts: OnceLock<Option<Vec<[u8; 32]>>>,
}

impl Arrived {
    /// Of two kinds of messages the first round of judging looks back, too: those to several, among
    /// whose recipients may be strangers, who are counted in each round, and large ones, which take
    /// long to write.
    fn new((client, envelope, raw): (Client, Envelope, Bytes), at: Time, authentication: Authentication) -> Self {
        let looks_back = AtomicBool::new(envelope.recipients.len() > 1 || raw.len() > HEAVY);
        Self { client, envelope, raw, at, authentication, explain: false, looks_back, parts: OnceLock::new() }
    }
}

/// So often a message is judged anew because something came before it, or another session brings
/// one with the same id. Each time the other one is through, so that a second round is enough, but
/// for whoever sends without end.
const ROUNDS: usize = 4;

impl Relay {
    /// `config` has been checked.
    ///
    /// # Errors
    /// The store's trouble.
    pub fn new(config: Arc<Config>, store: Store, texts: Texts, metrics: Metrics) -> Result<Arc<Self>, StoreError> {
        let shop = |settings: &Marketplace| {
            let domain = crate::types::address::ascii_domain(&settings.domain).unwrap_or_default();
            let zone = TimeZone::get(&settings.time_zone).unwrap_or(TimeZone::UTC);
            (domain.clone(), Arc::new(Shop { settings: settings.clone(), domain, zone }))
        };
        let critical = CriticalTags::new(&config.policy.opt_out.critical_tags);
        let shops = config.marketplace.iter().map(shop).collect();
        let operator = config.operator.as_deref().and_then(|text| Address::parse(text).ok());
        let trusted = config.listener.iter().flat_map(|listener| &listener.trusted_networks);
        let fronts = trusted.filter_map(|text| text.parse().ok()).collect();
        let forwards = Mutex::new(Shares::new(operator::bounds(&config.limits), HOUR));
        let last = AtomicI64::new(store.read(|view| view.last_message())?.0);
        let providers = config.authentication.table();
        Ok(Arc::new(Self {
            config,
            store,
            metrics,
            texts,
            shops,
            operator,
            outbound: OnceLock::new(),
            verifier: OnceLock::new(),
            signers: OnceLock::new(),
            last,
            logins: login::Logins::default(),
            providers,
            critical,
            fronts,
            hidden_told: AtomicBool::new(false),
            forwards,
            doubts: Mutex::new(Shares::new(DOUBTS, DAY)),
            quiet: Mutex::default(),
            refusals: refusals::Refusals::default(),
        }))
    }

    /// The queue, once it has started. Until then what is accepted waits in the store.
    pub fn connect(&self, outbound: Outbound) {
        // Set once, at start.
        let _ = self.outbound.set(outbound);
    }

    /// Who checks SPF, DKIM and DMARC, for `mode = "verify"`. Without it nothing can be checked, and mail is deferred.
    pub fn verify_with(&self, verifier: Verifier) {
        // Set once, at start.
        let _ = self.verifier.set(verifier);
    }

    /// The keys that sign outgoing mail, by alias domain in lower case.
    pub fn sign_with(&self, signers: HashMap<String, Vec<Signer>>) {
        // Set once, at start.
        let _ = self.signers.set(signers);
    }

    /// An id above all before it.
    fn next_id(&self, now: Time) -> MessageId {
        let random = SystemRandom.number();
        let next = |last| Some(MessageId::after(MessageId(last), now, random).0);
        let (Ok(last) | Err(last)) = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        MessageId::after(MessageId(last), now, random)
    }

    /// The client's network as shares count it; none where a front hands on no address, so that
    /// everybody comes from there. Then all of them have what all may take together: the front's
    /// own limits have to keep one of them from the rest.
    fn network_of(&self, client: &Client) -> Option<u128> {
        let front = self.fronts.iter().any(|network| network.contains(client.ip));
        (!front).then(|| site_key(client.ip))
    }

    /// Whether a line that somebody in this network caused is written into the log: see [`Quiet`].
    /// The counter tells how many are left out; the history, and the other counters, what they were
    /// about.
    fn logs(&self, network: Option<u128>) -> bool {
        match locked(&self.quiet).admits(network, Time::now()) {
            None => {
                self.metrics.lines_left_out.inc();
                return false;
            }
            Some(0) => {}
            Some(lines) => tracing::warn!(lines, "similar lines were left out"),
        }
        true
    }

    fn shop_of_marketplace(&self, id: &str) -> Option<&Arc<Shop>> {
        self.shops.values().find(|shop| shop.settings.id == id)
    }
}

impl Handler for Relay {
    fn recipient(&self, client: &Client, sender: Option<&Address>, recipient: &Address) -> Result<(), Reply> {
        let found = self.may_send(client, sender).and_then(|()| match self.target(recipient)? {
            target::Target::Operator => self.operator_has_room(client),
            _ => Ok(()),
        });
        if found.is_err() {
            self.metrics.recipients_refused.inc();
        }
        found
    }

    fn announced(&self, recipient: &Address, octets: u64) -> Result<(), Reply> {
        if target::is_operator(recipient) { self.operator_fits(octets) } else { Ok(()) }
    }

    async fn login(self: Arc<Self>, client: Client, attempt: Attempt) -> Answer {
        self.answer_login(&client, attempt).await
    }

    async fn message(self: Arc<Self>, client: Client, envelope: Envelope, raw: Bytes) -> Reply {
        // Nothing is looked at that cannot be taken.
        let operator = envelope.recipients.iter().any(target::is_operator);
        if operator && let Err(reply) = self.operator_fits(raw.len() as u64) {
            return reply;
        }
        let authentication = self.authenticate(&client, &envelope, &raw, Time::now()).await;
        self.through(Arrived::new((client, envelope, raw), Time::now(), authentication)).await
    }
}

impl Relay {
    /// Judges a message and writes what comes of it, until nothing comes in between.
    async fn through(self: &Arc<Self>, arrived: Arrived) -> Reply {
        let arrived = Arc::new(arrived);
        for _ in 0..ROUNDS {
            match self.judged(&arrived).await {
                Ok(judged) => {
                    if let Some(reply) = self.commit(judged).await {
                        return reply;
                    }
                    arrived.looks_back.store(true, Ordering::Relaxed);
                }
                Err(reply) => return reply,
            }
        }
        Reply::new(451, 3, 0, "Temporary trouble here, try again later")
    }

    /// Judges a message: here, or on a thread of its own what takes long.
    async fn judged(self: &Arc<Self>, arrived: &Arc<Arrived>) -> Result<Judged, Reply> {
        // Set when nobody waits any more: the session has ended, or its client was told to come
        // again.
        let stop = StopOnDrop(Arc::default());
        let whole = self.allowance(Arc::clone(&stop.0));
        if arrived.raw.len() <= HEAVY {
            let soon = Allowance { reading: whole.reading.min(SOON), packing: SOON, ..whole.clone() };
            let judged = self.judge(arrived, &soon);
            if judged.ended.is_none() {
                return Ok(judged);
            }
        }
        let (relay, arrived) = (Arc::clone(self), Arc::clone(arrived));
        let judging = tokio::task::spawn_blocking(move || relay.judge(&arrived, &whole));
        match tokio::time::timeout(JUDGING, judging).await {
            Ok(Ok(judged)) => Ok(judged),
            Ok(Err(_)) => Err(Reply::new(451, 3, 0, "Temporary trouble here, try again later")),
            // It may cost what it costs, but not while the machine has so much else to do.
            Err(_) => Err(Reply::new(451, 3, 2, "Too busy to look through this message now, try again later")),
        }
    }
}

/// Tells a thread that its work is of no more use.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
