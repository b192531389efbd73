//! Sellers who log in on a submission listener. The login is the seller's id; where there are several marketplaces, or a mail program insists on an address, it is
//! `ID@alias-domain`. Not the seller's mail address: that is public, may belong to several parties, and changes.
//!
//! Not here: the dialog (`smtp::auth`), the arithmetic (`authentication::password`), and what a login proves (`prove`).

use super::{Relay, Shop};
use crate::authentication::guessing::{Guesses, LoginKey};
use crate::authentication::password;
use crate::metrics::count;
use crate::smtp::auth::{Answer, Attempt, trouble, wrong};
use crate::store::StoreError;
use crate::types::credential::Credential;
use crate::types::network::client_key;
use crate::types::{Client, PartyId, Random as _, Reply, SystemRandom, Time, locked};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Passwords that are hashed at once: each takes a core and 19 MiB for tens of milliseconds.
const AT_ONCE: usize = 2;
/// A password waits this long for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Octets of the server's part of a nonce.
const NONCE: usize = 18;

/// What logins share.
#[derive(Debug)]
pub(super) struct Logins {
    guesses: Mutex<Guesses>,
    turns: Arc<Semaphore>,
    keys: RandomState,
}

impl Default for Logins {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { guesses: Mutex::default(), turns, keys: RandomState::new() }
    }
}

impl Logins {
    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        locked(&self.guesses)
    }
}

/// What a try came to; the words of the metrics and the log.
#[derive(Clone, Copy)]
enum Outcome {
    Right(PartyId, [u8; 32]),
    Wrong,
    Trouble,
}

impl Relay {
    /// See [`Handler::login`](crate::smtp::Handler::login).
    pub(super) async fn answer_login(&self, client: &Client, attempt: Attempt) -> Answer {
        match attempt {
            Attempt::Salt { login } => match self.credential(&login) {
                Ok((_, Credential { scram, .. })) => {
                    let mut nonce = [0; NONCE];
                    SystemRandom.fill(&mut nonce);
                    let nonce = data_encoding::BASE64.encode(&nonce);
                    Answer::Salt { salt: scram.salt, iterations: scram.iterations, nonce }
                }
                Err(error) => self.login_trouble(&error),
            },
            Attempt::Password { login, password } => {
                let check = async |party: Option<PartyId>, credential: Credential| {
                    let turns = Arc::clone(&self.logins.turns);
                    let Ok(Ok(turn)) = tokio::time::timeout(TURN, turns.acquire_owned()).await else {
                        return Outcome::Trouble;
                    };
                    let hashed = tokio::task::spawn_blocking(move || {
                        let right = password::is_right(&credential, &password);
                        drop(turn);
                        right
                    });
                    match (hashed.await, party) {
                        (Ok(true), Some(party)) => Outcome::Right(party, [0; 32]),
                        (Ok(_), _) => Outcome::Wrong,
                        (Err(_), _) => Outcome::Trouble,
                    }
                };
                self.attempt(client, &login, check).await
            }
            Attempt::Proof { login, message, proof } => {
                let check = async |party: Option<PartyId>, credential: Credential| match (
                    password::scram_signature(&credential.scram, &message, &proof),
                    party,
                ) {
                    (Some(signature), Some(party)) => Outcome::Right(party, signature),
                    _ => Outcome::Wrong,
                };
                self.attempt(client, &login, check).await
            }
        }
    }

    /// One try, counted.
    async fn attempt(
        &self,
        client: &Client,
        login: &str,
        check: impl AsyncFnOnce(Option<PartyId>, Credential) -> Outcome,
    ) -> Answer {
        let (network, key) = (client_key(client.ip), self.login_key(login));
        let begun = self.logins.guesses().begin(network, key, Time::now());
        if let Err(limit) = begun {
            count(&self.metrics.logins, limit.as_str());
            // Told in the log when the limit was reached: see below. A client could else write a
            // line a try.
            tracing::debug!(limit = limit.as_str(), "too many failed logins");
            return Answer::Refused(Reply::new(454, 7, 0, "Too many failed logins, try again later"));
        }
        let outcome = match self.credential(login) {
            Ok((party, credential)) => check(party, credential).await,
            Err(error) => {
                self.logins.guesses().give_back(network, key, false, Time::now());
                return self.login_trouble(&error);
            }
        };
        match outcome {
            Outcome::Right(party, signature) => {
                self.logins.guesses().give_back(network, key, true, Time::now());
                count(&self.metrics.logins, "granted");
                Answer::Granted { party, signature }
            }
            Outcome::Wrong => {
                count(&self.metrics.logins, "wrong");
                if self.logs(self.network_of(client)) {
                    tracing::info!("login refused");
                }
                if let Some(limit) = self.logins.guesses().is_used_up(network, key, Time::now()) {
                    tracing::warn!(limit = limit.as_str(), "too many failed logins");
                }
                Answer::Refused(wrong())
            }
            Outcome::Trouble => {
                self.logins.guesses().give_back(network, key, false, Time::now());
                count(&self.metrics.logins, "trouble");
                Answer::Refused(trouble())
            }
        }
    }

    fn login_trouble(&self, error: &StoreError) -> Answer {
        if self.logs(None) {
            tracing::error!(%error, "cannot look up a login");
        }
        count(&self.metrics.logins, "trouble");
        Answer::Refused(trouble())
    }

    /// Whose login this is and by what it is checked; nobody's, who costs the same, if there is none.
    fn credential(&self, login: &str) -> Result<(Option<PartyId>, Credential), StoreError> {
        let found = match self.login_name(login) {
            Some((shop, id)) => self.store.read(|view| view.login(&shop.settings.id, id))?,
            None => None,
        };
        // Made in any case, so that the time does not tell.
        let nobody = password::nobody(self.store.secret(), login);
        Ok(found.map_or((None, nobody), |(party, credential)| (Some(party), credential)))
    }

    /// Marketplace and seller's id.
    fn login_name<'a>(&self, login: &'a str) -> Option<(&Arc<Shop>, &'a str)> {
        if let Some((id, domain)) = login.rsplit_once('@')
            && let Some(shop) = self.shops.get(&domain.to_ascii_lowercase())
        {
            return Some((shop, id));
        }
        let mut shops = self.shops.values();
        let only = shops.next().filter(|_| shops.next().is_none())?;
        Some((only, login))
    }

    /// One key for both ways to write a login.
    fn login_key(&self, login: &str) -> LoginKey {
        let name = self.login_name(login).map(|(shop, id)| (shop.domain.as_str(), id));
        self.logins.keys.hash_one(name.unwrap_or(("", login)))
    }
}
