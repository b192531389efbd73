//! Orders: they belong to a pair, and their number sets the seller's quota.

use super::{Change, Party, Result, StoreError, View};
use crate::types::{ExternalId, PairId, PartyId, Role, Time, is_steering};
use rusqlite::{OptionalExtension as _, Row, params, types::Value};

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

/// Which orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders<'a> {
    /// All of them.
    All,
    /// Of a marketplace.
    Marketplace(&'a str),
    /// Of a seller.
    Seller(PartyId),
    /// Of a pair.
    Pair(PairId),
}

const ORDER: &str = "SELECT o.external, m.name, b.external, s.external, o.status, o.category, o.placed FROM orders o \
                     JOIN marketplace m ON m.id = o.marketplace JOIN pair p ON p.id = o.pair \
                     JOIN party b ON b.id = p.buyer JOIN party s ON s.id = p.seller";

/// Milliseconds of a span: the schema's triggers count by them.
const SPAN: i64 = 1 << 22;
const COUNT: &str = "SELECT ifnull((SELECT sum(number) FROM orders_span WHERE seller = ?1 AND span >= ?2 AND span < ?3), 0) \
                     + (SELECT count(*) FROM orders WHERE seller = ?1 AND placed >= ?4 AND placed < ?5) \
                     + (SELECT count(*) FROM orders WHERE seller = ?1 AND placed >= ?6 AND placed < ?7)";

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

    /// Orders, newest first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn orders(&self, which: Orders<'_>, limit: usize) -> Result<Vec<Order>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (place, value): (_, Value) = match which {
            Orders::All => ("?1 = 0", 0.into()),
            Orders::Marketplace(name) => {
                ("o.marketplace = (SELECT id FROM marketplace WHERE name = ?1)", name.to_owned().into())
            }
            Orders::Seller(seller) => ("o.seller = ?1", seller.0.into()),
            Orders::Pair(pair) => ("o.pair = ?1", pair.0.into()),
        };
        let sql = format!("{ORDER} WHERE {place} ORDER BY o.placed DESC, o.id DESC LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![value, limit], order_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Orders of a party, newest first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn orders_of(&self, party: &Party, limit: usize) -> Result<Vec<Order>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let place = match party.role {
            Role::Buyer => "o.pair IN (SELECT id FROM pair WHERE buyer = ?1)",
            Role::Seller => "o.seller = ?1",
        };
        let sql = format!("{ORDER} WHERE {place} ORDER BY o.placed DESC, o.id DESC LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map([party.id.0, limit], order_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many orders a seller got from `from` (inclusive) to `to`. Costs a step for each span, and one for each order in the spans at the two ends.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn count_orders(&self, seller: PartyId, from: Time, to: Time) -> Result<u64> {
        let begins = |span: i64| span.saturating_mul(SPAN);
        // The first whole span, and the first that is none any more.
        let (first, last) = (from.0.div_euclid(SPAN) + i64::from(from.0.rem_euclid(SPAN) > 0), to.0.div_euclid(SPAN));
        let (head, tail) = if first < last { (begins(first), begins(last)) } else { (to.0, to.0) };
        let values = [seller.0, first, last, from.0, head, tail, to.0];
        let count: i64 = self.0.prepare_cached(COUNT)?.query_row(values, |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Change<'_> {
    /// Creates or changes an order of `pair`. Says whether it was made.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a status or category with control characters, and the database's
    /// trouble.
    pub fn set_order(
        &self,
        marketplace: &str,
        seller: PartyId,
        pair: PairId,
        new: &NewOrder,
        now: Time,
    ) -> Result<bool> {
        for (key, text) in [("status", &new.status), ("category", &new.category)] {
            if text.as_deref().is_some_and(|text| text.contains(is_steering)) {
                return Err(StoreError::Refused(format!("the {key} holds a line break or another control character")));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Open;
    use crate::store::tests::{NOW, open, pair};
    use crate::types::Random as _;
    use crate::types::random::Seeded;
    use rusqlite::StatementStatus;

    #[test]
    fn orders_are_counted_without_looking_at_each() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let (_, seller, pair) = pair(&store);
        let pair = pair.id;
        let day = 86_400_000;
        store
            .write_blocking(move |c| {
                // A month of a large seller, and one order far off on either side.
                let sql = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 49999) \
                           INSERT INTO orders (marketplace, external, pair, seller, placed) \
                           SELECT 1, 'o' || n, ?1, ?2, ?3 - n * 51840 FROM n";
                c.0.0.execute(sql, [pair.0, seller.0, NOW.0 - 1])?;
                for (id, placed) in [("before 1970", -5), ("to come", NOW.0 + 40 * day)] {
                    let (external, placed) = (id.replace(' ', "-").parse().unwrap(), Some(Time(placed)));
                    c.set_order("jp", seller, pair, &NewOrder { external, status: None, category: None, placed }, NOW)?;
                }
                // Some are changed, some go.
                let mut random = Seeded::new(1);
                for n in 0..500 {
                    let placed = Some(Time(NOW.0 - i64::try_from(random.number() % 3_000_000_000).unwrap()));
                    let external = format!("o{}", n * 7).parse().unwrap();
                    c.set_order("jp", seller, pair, &NewOrder { external, status: None, category: None, placed }, NOW)?;
                }
                c.0.0.execute("DELETE FROM orders WHERE id % 13 = 0", [])?;
                Ok(())
            })
            .unwrap();
        let mut random = Seeded::new(2);
        let mut moment = || Time(NOW.0 - 35 * day + i64::try_from(random.number() % 4_000_000_000).unwrap());
        let mut windows: Vec<(Time, Time)> = (0..300).map(|_| (moment(), moment())).collect();
        let (start, end) = (Time(i64::MIN), Time(i64::MAX));
        windows.extend([(start, end), (start, NOW), (NOW, end), (start, start), (end, end), (end, start)]);
        windows.extend([(Time(-SPAN), Time(0)), (Time(-5), Time(-4)), (Time(-4), Time(0)), (Time(0), Time(SPAN))]);
        let plain = "SELECT count(*) FROM orders WHERE seller = ?1 AND placed >= ?2 AND placed < ?3";
        store
            .read(|v| {
                for (from, to) in windows {
                    let want: i64 = v.0.prepare_cached(plain)?.query_row([seller.0, from.0, to.0], |row| row.get(0))?;
                    assert_eq!(i64::try_from(v.count_orders(seller, from, to)?).unwrap(), want, "{from:?} {to:?}");
                }
                v.0.prepare_cached(COUNT)?.reset_status(StatementStatus::VmStep);
                assert!(v.count_orders(seller, Time(NOW.0 - 30 * day), NOW)? > 40_000);
                let steps = v.0.prepare_cached(COUNT)?.get_status(StatementStatus::VmStep);
                assert!((1..10_000).contains(&steps), "{steps} steps");
                Ok(())
            })
            .unwrap();
    }
}
