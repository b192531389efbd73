//! Orders: they belong to a pair, and their number sets the seller's quota.

use super::{Change, Result, View};
use crate::types::{ExternalId, PairId, PartyId, Time};
use rusqlite::{OptionalExtension as _, Row, params};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Order {
    /// The platform's id.
    pub id: String,
    /// Marketplace.
    pub marketplace: String,
    /// Buyer, by the platform's id.
    pub buyer: String,
    /// Seller, by the platform's id.
    pub seller: String,
    /// As the platform words it.
    pub status: String,
    /// As the platform words it.
    pub category: String,
    /// When it was placed, RFC 3339.
    pub placed: String,
}

/// What `order set` says. `None` leaves what is.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The platform's id.
    pub external: ExternalId,
    /// As the platform words it.
    pub status: Option<String>,
    /// As the platform words it.
    pub category: Option<String>,
    /// When it was placed.
    pub placed: Option<Time>,
}

const ORDER: &str = "SELECT o.external, m.name, b.external, s.external, o.status, o.category, o.placed FROM orders o \
                     JOIN marketplace m ON m.id = o.marketplace JOIN pair p ON p.id = o.pair \
                     JOIN party b ON b.id = p.buyer JOIN party s ON s.id = p.seller";

fn order_of(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        id: row.get(0)?,
        marketplace: row.get(1)?,
        buyer: row.get(2)?,
        seller: row.get(3)?,
        status: row.get(4)?,
        category: row.get(5)?,
        placed: Time(row.get(6)?).rfc3339(),
    })
}

impl View<'_> {
    /// An order by the platform's id.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn order(&self, marketplace: &str, external: &str) -> Result<Option<Order>> {
        let sql =
            format!("{ORDER} WHERE o.marketplace = (SELECT id FROM marketplace WHERE name = ?1) AND o.external = ?2");
        Ok(self.0.prepare_cached(&sql)?.query_row([marketplace, external], order_of).optional()?)
    }

    /// Orders, newest first, of a pair or of a seller if given.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn orders(&self, pair: Option<PairId>, seller: Option<PartyId>, limit: usize) -> Result<Vec<Order>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (place, value) = match (pair, seller) {
            (Some(pair), _) => ("WHERE o.pair = ?1", pair.0),
            (None, Some(seller)) => ("WHERE o.seller = ?1", seller.0),
            (None, None) => ("WHERE ?1 = 0", 0),
        };
        let sql = format!("{ORDER} {place} ORDER BY o.placed DESC, o.id DESC LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map([value, limit], order_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many orders a seller got from `from` (inclusive) to `to`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn count_orders(&self, seller: PartyId, from: Time, to: Time) -> Result<u64> {
        let sql = "SELECT count(*) FROM orders WHERE seller = ?1 AND placed >= ?2 AND placed < ?3";
        let count: i64 = self.0.prepare_cached(sql)?.query_row([seller.0, from.0, to.0], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Change<'_> {
    /// Creates or changes an order of `pair`. Says whether it was made.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_order(
        &self,
        marketplace: &str,
        seller: PartyId,
        pair: PairId,
        new: &NewOrder,
        now: Time,
    ) -> Result<bool> {
        let marketplace = self.marketplace(marketplace)?;
        let find = "SELECT 1 FROM orders WHERE marketplace = ?1 AND external = ?2";
        let found = self.0.0.prepare_cached(find)?.exists(params![marketplace, new.external.as_str()])?;
        let sql = "INSERT INTO orders (marketplace, external, pair, seller, status, category, placed) \
                   VALUES (?1, ?2, ?3, ?4, coalesce(?5, ''), coalesce(?6, ''), coalesce(?7, ?8)) \
                   ON CONFLICT (marketplace, external) DO UPDATE SET pair = excluded.pair, seller = excluded.seller, \
                   status = coalesce(?5, status), category = coalesce(?6, category), placed = coalesce(?7, placed)";
        self.0.0.prepare_cached(sql)?.execute(params![
            marketplace,
            new.external.as_str(),
            pair.0,
            seller.0,
            new.status,
            new.category,
            new.placed.map(|t| t.0),
            now.0
        ])?;
        Ok(!found)
    }
}
