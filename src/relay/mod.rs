//! Floor 6, the heart: one accepted message from bytes to verdict to commit.
//!
//! [`Relay`] answers the SMTP server. The walk: `target` finds who stands behind each recipient; `prove` asks whether the author is who he says (`login`: sellers who log in); `judge` gathers the facts of each once, and asks the policy;
//! `thread` finds what it answers; `compose` builds what goes out, and what cannot be made safe is refused while the sender still listens; `commit` writes all of it in one transaction; then the queue
//! gets the finished bytes in memory. `notices` is what authors are told later, `act` what addresses in footers do. `refusals` counts and sums what is refused of strangers, and `owners` tells whom they named.
//!
//! Not here: how a verdict is reached (`policy`), what a message looks like (`message`), SQL (`store`), when something is sent (`outbound`).

mod act;
mod bounce;
mod commit;
mod compose;
pub mod explain;
mod judge;
mod login;
mod notices;
mod owners;
mod prove;
mod refusals;
mod target;
#[cfg(test)]
mod tests;
mod thread;

use crate::authentication::{Authentication, Verifier};
use crate::config::{Config, Marketplace};
use crate::message::sign::Signer;
use crate::metrics::Metrics;
use crate::notice::Texts;
use crate::outbound::Outbound;
use crate::smtp::Handler;
use crate::smtp::auth::{Answer, Attempt};
use crate::store::{Store, StoreError};
use crate::types::{Address, Client, Envelope, MessageId, Random as _, Reply, SystemRandom, Time};
use bytes::Bytes;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Messages above this are judged off the async threads, so that they hold up nobody else.
const HEAVY: usize = 128 * 1024;

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
    refusals: refusals::Refusals,
}

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
}

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
        let shops = config.marketplace.iter().map(shop).collect();
        let operator = config.operator.as_deref().and_then(|text| Address::parse(text).ok());
        let fronts = config.listener.iter().flat_map(|listener| &listener.trusted_networks);
        let fronts = fronts.filter_map(|text| text.parse().ok()).collect();
        let last = AtomicI64::new(store.read(|view| view.last_message())?.0);
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
            refusals: refusals::Refusals::new(fronts),
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

    fn shop_of_marketplace(&self, id: &str) -> Option<&Arc<Shop>> {
        self.shops.values().find(|shop| shop.settings.id == id)
    }
}

impl Handler for Relay {
    fn recipient(&self, client: &Client, sender: Option<&Address>, recipient: &Address) -> Result<(), Reply> {
        let found = self.may_send(client, sender).and_then(|()| self.target(recipient).map(|_| ()));
        if found.is_err() {
            self.metrics.recipients_refused.inc();
        }
        found
    }

    async fn login(self: Arc<Self>, client: Client, attempt: Attempt) -> Answer {
        self.answer_login(&client, attempt).await
    }

    async fn message(self: Arc<Self>, client: Client, envelope: Envelope, raw: Bytes) -> Reply {
        let authentication = self.authenticate(&client, &envelope, &raw).await;
        let arrived = Arrived { client, envelope, raw, at: Time::now(), authentication, explain: false };
        if arrived.raw.len() <= HEAVY {
            let judged = self.judge(arrived);
            return self.commit(judged).await;
        }
        let relay = Arc::clone(&self);
        match tokio::task::spawn_blocking(move || relay.judge(arrived)).await {
            Ok(judged) => self.commit(judged).await,
            Err(_) => Reply::new(451, 3, 0, "Temporary trouble here, try again later"),
        }
    }
}
