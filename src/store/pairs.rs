//! Pairs and their two aliases.

use super::mailboxes::{ONE_MAILBOX, is_one_mailbox};
use super::parties::{party_at, role_number, role_of};
use super::{Change, Party, Result, StoreError, View};
use crate::types::{Alias, PairId, PartyId, Random, Role, Time};
use rusqlite::{OptionalExtension as _, Row, params};

/// One buyer and one seller, with their aliases.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Row id.
    pub id: PairId,
    /// The buyer.
    pub buyer: Party,
    /// The seller.
    pub seller: Party,
    /// Stands for the buyer; the seller writes to it.
    pub buyer_alias: Alias,
    /// Stands for the seller; the buyer writes to it.
    pub seller_alias: Alias,
}

impl Pair {
    /// The party on one side.
    #[must_use]
    pub fn party(&self, role: Role) -> &Party {
        match role {
            Role::Buyer => &self.buyer,
            Role::Seller => &self.seller,
        }
    }

    /// The alias that stands for one side.
    #[must_use]
    pub fn alias(&self, role: Role) -> &Alias {
        match role {
            Role::Buyer => &self.buyer_alias,
            Role::Seller => &self.seller_alias,
        }
    }
}

/// What an alias stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The pair.
    pub pair: PairId,
    /// The side it stands for.
    pub side: Role,
}

/// The question for a pair with both parties and what stands for them: further columns, and which pair.
macro_rules! whole_pair {
    ($columns:literal, $which:literal) => {
        concat!(
            "SELECT m.name, b.id, b.role, b.external, b.name, b.language, b.opted_out, b.suspended, b.removed, \
             b.auto_replies, b.unauthenticated, s.id, s.role, s.external, s.name, s.language, s.opted_out, \
             s.suspended, s.removed, s.auto_replies, s.unauthenticated, p.id, p.buyer_alias, p.seller_alias",
            $columns,
            " FROM pair p JOIN party b ON b.id = p.buyer JOIN party s ON s.id = p.seller \
             JOIN marketplace m ON m.id = b.marketplace ",
            $which
        )
    };
}

fn pair_of(row: &Row<'_>) -> rusqlite::Result<Pair> {
    let (buyer_alias, seller_alias): (String, String) = (row.get(22)?, row.get(23)?);
    Ok(Pair {
        id: PairId(row.get(21)?),
        buyer: party_at(row, 1)?,
        seller: party_at(row, 11)?,
        buyer_alias: Alias::from_text(&buyer_alias),
        seller_alias: Alias::from_text(&seller_alias),
    })
}

fn resolved_of(row: &Row<'_>) -> rusqlite::Result<Resolved> {
    Ok(Resolved { pair: PairId(row.get(0)?), side: role_of(row.get(1)?) })
}

/// Tries at drawing an alias that is free. Two in a row being taken is a broken random source.
const DRAWS: usize = 8;

impl View<'_> {
    /// What an address in an alias domain stands for, removed parties included.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn resolve(&self, alias: &Alias) -> Result<Option<Resolved>> {
        let mut statement = self.0.prepare_cached("SELECT pair, side FROM alias WHERE address = ?1")?;
        Ok(statement.query_row([alias.as_str()], resolved_of).optional()?)
    }

    /// Whether an address in an alias domain stands for somebody, and both parties are still there: the question at RCPT.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn is_open(&self, alias: &Alias) -> Result<bool> {
        let sql = "SELECT 1 FROM alias a JOIN pair p ON p.id = a.pair JOIN party b ON b.id = p.buyer \
                   JOIN party s ON s.id = p.seller WHERE a.address = ?1 AND b.removed = 0 AND s.removed = 0";
        Ok(self.0.prepare_cached(sql)?.exists([alias.as_str()])?)
    }

    /// A pair with both parties.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the database's trouble.
    pub fn pair(&self, id: PairId) -> Result<Pair> {
        let sql = whole_pair!("", "WHERE p.id = ?1");
        let found = self.0.prepare_cached(sql)?.query_row([id.0], pair_of).optional()?;
        self.with_both_addresses(found.ok_or(StoreError::NotFound("pair"))?)
    }

    /// The pair behind an alias, and the side it stands for, where both parties are still there.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn open_pair(&self, alias: &Alias) -> Result<Option<(Pair, Role)>> {
        let sql = whole_pair!(
            ", a.side",
            "JOIN alias a ON a.pair = p.id WHERE a.address = ?1 AND b.removed = 0 AND s.removed = 0"
        );
        let read = |row: &Row<'_>| Ok((pair_of(row)?, role_of(row.get(24)?)));
        let found = self.0.prepare_cached(sql)?.query_row([alias.as_str()], read).optional()?;
        found.map(|(pair, side)| Ok((self.with_both_addresses(pair)?, side))).transpose()
    }

    fn with_both_addresses(&self, pair: Pair) -> Result<Pair> {
        Ok(Pair { buyer: self.with_addresses(pair.buyer)?, seller: self.with_addresses(pair.seller)?, ..pair })
    }

    /// The marketplace of a pair, by its id in the configuration.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn marketplace_of(&self, pair: PairId) -> Result<String> {
        let sql = "SELECT m.name FROM pair p JOIN party b ON b.id = p.buyer JOIN marketplace m ON m.id = b.marketplace \
                   WHERE p.id = ?1";
        Ok(self.0.prepare_cached(sql)?.query_row([pair.0], |row| row.get(0))?)
    }

    /// The pair of two parties, if it exists.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn pair_of(&self, buyer: PartyId, seller: PartyId) -> Result<Option<PairId>> {
        let mut statement = self.0.prepare_cached("SELECT id FROM pair WHERE buyer = ?1 AND seller = ?2")?;
        Ok(statement.query_row([buyer.0, seller.0], |row| row.get(0)).optional()?.map(PairId))
    }
}

impl Change<'_> {
    /// The pair of two parties; it is made, with two fresh aliases of `length` characters in `domain`, if need be.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a removed party, two parties with one mailbox, or a domain that
    /// leaves no room; the database's trouble.
    pub fn pair_or_new(
        &self,
        buyer: PartyId,
        seller: PartyId,
        (domain, length): (&str, usize),
        now: Time,
        random: &mut dyn Random,
    ) -> Result<PairId> {
        if let Some(pair) = self.pair_of(buyer, seller)? {
            return Ok(pair);
        }
        let removed = "SELECT 1 FROM party WHERE id IN (?1, ?2) AND removed = 1";
        if self.0.0.prepare_cached(removed)?.exists([buyer.0, seller.0])? {
            return Err(StoreError::Refused("a party of this pair was removed".to_owned()));
        }
        let (one, other) = (self.party(buyer)?, self.party(seller)?);
        if one.addresses.iter().any(|address| other.addresses.iter().any(|theirs| is_one_mailbox(address, theirs))) {
            return Err(StoreError::Refused(ONE_MAILBOX.to_owned()));
        }
        let sql = "INSERT INTO pair (buyer, seller, buyer_alias, seller_alias, created) VALUES (?1, ?2, '', '', ?3)";
        self.0.0.prepare_cached(sql)?.execute(params![buyer.0, seller.0, now.0])?;
        let pair = PairId(self.0.0.last_insert_rowid());
        let buyer_alias = self.draw(pair, Role::Buyer, (domain, length), random)?;
        let seller_alias = self.draw(pair, Role::Seller, (domain, length), random)?;
        let sql = "UPDATE pair SET buyer_alias = ?2, seller_alias = ?3 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute(params![pair.0, buyer_alias.as_str(), seller_alias.as_str()])?;
        Ok(pair)
    }

    fn draw(
        &self,
        pair: PairId,
        side: Role,
        (domain, length): (&str, usize),
        random: &mut dyn Random,
    ) -> Result<Alias> {
        let sql = "INSERT OR IGNORE INTO alias (address, pair, side) VALUES (?1, ?2, ?3)";
        let mut insert = self.0.0.prepare_cached(sql)?;
        for _ in 0..DRAWS {
            let Some(alias) = Alias::draw(domain, length, random) else {
                return Err(StoreError::Refused("the alias domain leaves fewer than 10 characters".to_owned()));
            };
            if insert.execute(params![alias.as_str(), pair.0, role_number(side)])? == 1 {
                return Ok(alias);
            }
        }
        Err(StoreError::Refused("no free alias was drawn; the random source repeats itself".to_owned()))
    }
}
