//! Pairs and their two aliases.

use super::parties::{role_number, role_of};
use super::{Change, Party, Result, StoreError, View};
use crate::types::{Alias, PairId, PartyId, Random, Role, Time};
use rusqlite::{OptionalExtension as _, params};

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

/// Tries at drawing an alias that is free. Two in a row being taken is a broken random source.
const DRAWS: usize = 8;

impl View<'_> {
    /// What an address in an alias domain stands for, removed parties included.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn resolve(&self, alias: &Alias) -> Result<Option<Resolved>> {
        let mut statement = self.0.prepare_cached("SELECT pair, side FROM alias WHERE address = ?1")?;
        let found = statement
            .query_row([alias.as_str()], |row| Ok(Resolved { pair: PairId(row.get(0)?), side: role_of(row.get(1)?) }))
            .optional()?;
        Ok(found)
    }

    /// Whether both parties of a pair are still there: the question at RCPT, without loading them.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn pair_is_open(&self, pair: PairId) -> Result<bool> {
        let sql = "SELECT 1 FROM pair JOIN party b ON b.id = pair.buyer JOIN party s ON s.id = pair.seller \
                   WHERE pair.id = ?1 AND b.removed = 0 AND s.removed = 0";
        Ok(self.0.prepare_cached(sql)?.exists([pair.0])?)
    }

    /// A pair with both parties.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the database's trouble.
    pub fn pair(&self, id: PairId) -> Result<Pair> {
        let mut statement =
            self.0.prepare_cached("SELECT buyer, seller, buyer_alias, seller_alias FROM pair WHERE id = ?1")?;
        let row: Option<(i64, i64, String, String)> =
            statement.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).optional()?;
        let (buyer, seller, buyer_alias, seller_alias) = row.ok_or(StoreError::NotFound("pair"))?;
        Ok(Pair {
            id,
            buyer: self.party(PartyId(buyer))?,
            seller: self.party(PartyId(seller))?,
            buyer_alias: Alias::from_text(&buyer_alias),
            seller_alias: Alias::from_text(&seller_alias),
        })
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
    /// [`StoreError::Refused`] for a removed party or a domain that leaves no room; the database's trouble.
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
