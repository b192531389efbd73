//! Who or what stands behind a recipient.

use super::{Relay, Shop};
use crate::policy::reason::NO_SUCH_ADDRESS;
use crate::store::{Pair, StoreError, View};
use crate::types::token::Purpose;
use crate::types::{Address, Alias, MessageId, PartyId, Reply, Role};
use std::sync::Arc;

/// A recipient, understood.
pub(super) enum Target<A> {
    /// An alias of a pair whose parties are both there, and what was asked of it.
    Alias(Arc<Shop>, A),
    /// The signed envelope sender of a message that we sent.
    Bounce(MessageId),
    /// An address that acts, and the message that it was made for.
    Act(Purpose, MessageId),
    /// The address by which a party wants no more notices of refused mail.
    Quiet(PartyId),
    /// Postmaster or abuse.
    Operator,
}

/// Why a recipient is none.
pub(super) enum NoTarget {
    Refused(Reply),
    /// The store could not tell.
    Trouble(StoreError),
}

/// Addresses that every mail domain has, RFC 2142.
const OPERATOR: &[&str] = &["postmaster", "abuse"];

/// Whether the name alone says that it is one of those.
pub(super) fn is_operator(recipient: &Address) -> bool {
    OPERATOR.iter().any(|name| recipient.local().eq_ignore_ascii_case(name))
}

impl Relay {
    /// Looks a recipient up. Aliases that never were, and those of removed parties, get the same words.
    pub(super) fn target(&self, recipient: &Address) -> Result<Target<()>, Reply> {
        let open = |alias: &Alias| self.store.glance(|view| view.is_open(alias));
        let found = self.target_by(recipient, |alias| Ok(open(alias)?.then_some(())));
        found.map_err(|none| match none {
            NoTarget::Refused(reply) => reply,
            NoTarget::Trouble(error) => {
                if self.logs(None) {
                    tracing::error!(%error, "cannot look an alias up");
                }
                error.reply()
            }
        })
    }

    /// The same in an open snapshot: with the pair behind an alias, and the side that the alias stands for.
    pub(super) fn target_in(&self, view: &View<'_>, recipient: &Address) -> Result<Target<(Pair, Role)>, NoTarget> {
        self.target_by(recipient, |alias| view.open_pair(alias))
    }

    fn target_by<A>(
        &self,
        recipient: &Address,
        resolve: impl FnOnce(&Alias) -> Result<Option<A>, StoreError>,
    ) -> Result<Target<A>, NoTarget> {
        let local = recipient.local().to_ascii_lowercase();
        let operator = is_operator(recipient);
        let Some(shop) = self.shops.get(recipient.domain()) else {
            let ours = recipient.domain().eq_ignore_ascii_case(&self.config.hostname);
            return match &self.operator {
                Some(_) if ours && operator => Ok(Target::Operator),
                _ => Err(NoTarget::Refused(Reply::new(550, 7, 1, "No relaying here"))),
            };
        };
        let unknown = || NoTarget::Refused(Reply::new(550, 1, 1, NO_SUCH_ADDRESS));
        if operator {
            return if self.operator.is_some() { Ok(Target::Operator) } else { Err(unknown()) };
        }
        if let Some((word, token)) = local.split_once('+') {
            let purpose = Purpose::of_word(word).ok_or_else(unknown)?;
            let message = self.store.secret().read(purpose, token).ok_or_else(unknown)?;
            return Ok(match purpose {
                Purpose::Bounce => Target::Bounce(message),
                Purpose::Quiet => Target::Quiet(PartyId(message.0)),
                _ => Target::Act(purpose, message),
            });
        }
        let alias = Alias::from_text(&format!("{local}@{}", recipient.domain()));
        let found = resolve(&alias).map_err(NoTarget::Trouble)?;
        found.map(|found| Target::Alias(Arc::clone(shop), found)).ok_or_else(unknown)
    }
}
