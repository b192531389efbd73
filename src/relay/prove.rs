//! Who stands behind a message's author, asked before it is judged: the only part of the walk that waits for the network.

use super::{Arrived, Relay};
use crate::authentication::{Authentication, Check, front};
use crate::config::AuthenticationMode;
use crate::message::{author, headers};
use crate::policy::author::Proof;
use crate::store::StoreError;
use crate::types::{Address, Client, Envelope, PartyId, Reply, Time};
use std::sync::atomic::Ordering;

impl Relay {
    /// What is known of the author. It is asked once for a message, whoever the author says he is
    /// and whoever the recipients are: work that is done for the right guess alone would tell the
    /// guess. That a stranger can have DNS asked about the domain of his choice is the price; how
    /// long that may take is bounded, and his network's refusals are counted (see `refusals`).
    pub(super) async fn authenticate(
        &self,
        client: &Client,
        envelope: &Envelope,
        raw: &[u8],
        now: Time,
    ) -> Authentication {
        if let Some(seller) = client.login {
            return self.logged_in(seller, raw);
        }
        let settings = &self.config.authentication;
        if settings.mode == AuthenticationMode::None {
            return Authentication::only(Proof::NotChecked);
        }
        let (fields, _) = headers::split(raw);
        let Ok(author) = author::read(&fields).map(|author| author.address) else {
            return Authentication::only(Proof::Absent);
        };
        let (ip, helo, sender) = (client.ip, client.helo.as_str(), envelope.sender.as_ref());
        let provider = self.providers.gives_mailboxes(author.domain());
        let check = Check { raw, ip, helo, sender, author: &author, recipients: &envelope.recipients, now, provider };
        match (settings.mode, &settings.authserv_id, self.verifier.get()) {
            (AuthenticationMode::Front, Some(id), _) if client.trusted => front::read(&check, id),
            (AuthenticationMode::Verify, _, Some(verifier)) => {
                if self.is_hidden(client) && !self.hidden_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "a trusted front hands on no client address: {}",
                        crate::config::check::HIDDEN_CLIENTS
                    );
                }
                verifier.verify(&check).await
            }
            // Mail that came past the front has no proof; and without a verifier nothing can be checked for now.
            (AuthenticationMode::Verify, ..) => Authentication::only(Proof::Trouble),
            _ => Authentication::only(Proof::Absent),
        }
    }

    /// Whether a front says nothing of the client: what it forwards seems to come from its own
    /// network.
    pub(super) fn is_hidden(&self, client: &Client) -> bool {
        client.trusted && client.login.is_none() && self.fronts.iter().any(|network| network.contains(client.ip))
    }

    /// A login proves the addresses of the seller whose it is, and no others. DNS has nothing to add.
    fn logged_in(&self, seller: PartyId, raw: &[u8]) -> Authentication {
        let (fields, _) = headers::split(raw);
        let author = author::read(&fields).map(|author| author.address);
        match (self.store.read(|view| view.party(seller)), author) {
            (Ok(seller), Ok(author)) if self.writes_as(&seller, &author) => Authentication::login(),
            (Err(error), _) if !matches!(error, StoreError::NotFound(_)) => Authentication::only(Proof::Trouble),
            _ => Authentication::only(Proof::Absent),
        }
    }

    /// Whether this may be the envelope sender: on a submission listener one of the seller's addresses, or none (RFC 3834 4: vacation programs).
    pub(super) fn may_send(&self, client: &Client, sender: Option<&Address>) -> Result<(), Reply> {
        let (Some(seller), Some(sender)) = (client.login, sender) else { return Ok(()) };
        match self.store.read(|view| view.party(seller)) {
            Ok(seller) if self.writes_as(&seller, sender) => Ok(()),
            Ok(_) | Err(StoreError::NotFound(_)) => {
                Err(Reply::new(550, 7, 1, "You may send only as an address that the marketplace knows you by"))
            }
            Err(error) => Err(error.reply()),
        }
    }
}

impl Arrived {
    /// The envelope sender, as a front tells it, or else as it came.
    pub(super) fn sender(&self) -> Option<&Address> {
        self.authentication.mail_from.as_ref().or(self.envelope.sender.as_ref())
    }

    /// For the history; nothing where nothing was found.
    pub(super) fn proof_words(&self) -> Option<String> {
        let found = &self.authentication;
        (*found != Authentication::only(found.proof)).then(|| found.summary())
    }
}
