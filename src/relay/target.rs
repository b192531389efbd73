//! Who or what stands behind a recipient.

use super::{Relay, Shop};
use crate::policy::reason::NO_SUCH_ADDRESS;
use crate::store::{Resolved, StoreError, View};
use crate::types::token::Purpose;
use crate::types::{Address, Alias, MessageId, Reply};
use std::sync::Arc;

/// A recipient, understood.
pub(super) enum Target {
    /// An alias of a pair whose parties are both there.
    Alias(Arc<Shop>, Resolved),
    /// The signed envelope sender of a message that we sent.
    Bounce(MessageId),
    /// An address that acts, and the message that it was made for.
    Act(Purpose, MessageId),
    /// Postmaster or abuse.
    Operator,
}

/// Addresses that every mail domain has, RFC 2142.
const OPERATOR: &[&str] = &["postmaster", "abuse"];

impl Relay {
    /// Looks a recipient up. Aliases that never were, and those of removed parties, get the same words.
    pub(super) fn target(&self, recipient: &Address) -> Result<Target, Reply> {
        self.target_by(recipient, |alias| self.store.glance(|view| view.resolve_open(alias)))
    }

    /// The same in an open snapshot.
    pub(super) fn target_in(&self, view: &View<'_>, recipient: &Address) -> Result<Target, Reply> {
        self.target_by(recipient, |alias| view.resolve_open(alias))
    }

    fn target_by(
        &self,
        recipient: &Address,
        resolve: impl FnOnce(&Alias) -> Result<Option<Resolved>, StoreError>,
    ) -> Result<Target, Reply> {
        let local = recipient.local().to_ascii_lowercase();
        let operator = OPERATOR.contains(&local.as_str());
        let Some(shop) = self.shops.get(recipient.domain()) else {
            let ours = recipient.domain().eq_ignore_ascii_case(&self.config.hostname);
            return match &self.operator {
                Some(_) if ours && operator => Ok(Target::Operator),
                _ => Err(Reply::new(550, 7, 1, "No relaying here")),
            };
        };
        let unknown = || Reply::new(550, 1, 1, NO_SUCH_ADDRESS);
        if operator {
            return if self.operator.is_some() { Ok(Target::Operator) } else { Err(unknown()) };
        }
        if let Some((word, token)) = local.split_once('+') {
            let purpose = Purpose::of_word(word).ok_or_else(unknown)?;
            let message = self.store.secret().read(purpose, token).ok_or_else(unknown)?;
            return Ok(if purpose == Purpose::Bounce {
                Target::Bounce(message)
            } else {
                Target::Act(purpose, message)
            });
        }
        let alias = Alias::from_text(&format!("{local}@{}", recipient.domain()));
        match resolve(&alias) {
            Ok(Some(resolved)) => Ok(Target::Alias(Arc::clone(shop), resolved)),
            Ok(None) => Err(unknown()),
            Err(error) => {
                tracing::error!(%error, "cannot look an alias up");
                Err(error.reply())
            }
        }
    }
}
