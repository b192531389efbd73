//! Whose a mailbox is: the two sides of a pair have different ones, and a domain may be one
//! seller's alone.

use super::parties::{DOMAIN, FORMER};
use super::{Change, Party, Result, StoreError};
use crate::types::address::ascii_domain;
use crate::types::provider::is_within;
use crate::types::{Address, PartyId, Providers, Role};
use rusqlite::params;

/// A domain in which each address is one seller's, as lower-case A-labels. Those below it are
/// others: a mailing service's, perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDomain(String);

impl OwnDomain {
    /// Reads `@domain`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for what is no domain, one of `own_domains` or below one, and one in
    /// which strangers have mailboxes: everybody there would be the seller.
    pub fn read(text: &str, own_domains: &[String], providers: &Providers) -> Result<Self> {
        let refuse = |text: &str| Err(StoreError::Refused(text.to_owned()));
        let domain = text.strip_prefix('@').and_then(|domain| ascii_domain(domain).ok());
        let Some(domain) = domain.filter(|domain| domain.contains('.')) else {
            return refuse("not of the form @domain");
        };
        if providers.gives_mailboxes(&domain) {
            return refuse("strangers have mailboxes in that domain; give each address of the seller's own");
        }
        if own_domains.iter().any(|own| is_within(&domain, own)) {
            return refuse("that is an alias domain or the relay's own host; give the seller's own domain");
        }
        Ok(Self(domain))
    }
}

/// Two parties may have one mailbox, as sellers buy, too. The two sides of a pair may not: nobody
/// could tell who wrote, and one would read the other's mail.
pub(super) const ONE_MAILBOX: &str =
    "buyer and seller of a pair would have one mailbox; one of the two needs another address";

/// Whether two addresses are one mailbox, by what their provider documents.
pub(super) fn is_one_mailbox(one: &Address, other: &Address) -> bool {
    Providers::default().same_author(one, other)
}

impl Change<'_> {
    /// Makes `domains` those that are a seller's own alone; those before are forgotten.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_domains(&self, party: PartyId, domains: &[OwnDomain]) -> Result<()> {
        let sql = "DELETE FROM party_address WHERE party = ?1 AND kind = ?2";
        self.0.0.prepare_cached(sql)?.execute(params![party.0, DOMAIN])?;
        let sql = "INSERT OR IGNORE INTO party_address (party, key, address, kind) VALUES (?1, ?2, ?2, ?3)";
        let mut statement = self.0.0.prepare_cached(sql)?;
        for OwnDomain(domain) in domains {
            statement.execute(params![party.0, format!("@{domain}"), DOMAIN])?;
        }
        Ok(())
    }

    /// Refuses addresses under which a party would be one person with the other side of a pair.
    pub(super) fn refuse_one_mailbox(&self, party: &Party, fresh: &[&Address]) -> Result<()> {
        if fresh.is_empty() {
            return Ok(());
        }
        let (own, other) = match party.role {
            Role::Buyer => ("buyer", "seller"),
            Role::Seller => ("seller", "buyer"),
        };
        let sql = format!(
            "SELECT a.address FROM pair p JOIN party_address a ON a.party = p.{other} WHERE p.{own} = ?1 AND a.kind < {FORMER}"
        );
        let mut statement = self.0.0.prepare_cached(&sql)?;
        let mut rows = statement.query([party.id.0])?;
        while let Some(row) = rows.next()? {
            let theirs = Address::parse(row.get_ref(0)?.as_str().unwrap_or(""));
            if theirs.is_ok_and(|theirs| fresh.iter().any(|address| is_one_mailbox(&theirs, address))) {
                return Err(StoreError::Refused(ONE_MAILBOX.to_owned()));
            }
        }
        Ok(())
    }
}
