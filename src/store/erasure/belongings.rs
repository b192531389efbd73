//! What a party has here: what an erasure takes, and what it leaves.

use super::sides;
use crate::store::{Party, Result, StoreError, View};
use crate::types::Role;

/// What a party has here.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Belongings {
    /// It has a name.
    pub name: bool,
    /// Addresses that it has or had.
    pub addresses: u64,
    /// It can log in.
    pub password: bool,
    /// Messages that it wrote and that were not erased.
    pub messages: u64,
    /// Messages that others wrote to it.
    pub received: u64,
    /// Reports that have words of its own.
    pub reports: u64,
    /// Items of the queue from it or to it.
    pub waiting: u64,
    /// Pairs, each with two aliases.
    pub pairs: u64,
    /// Orders.
    pub orders: u64,
    /// Days on which what it sent was counted.
    pub days: u64,
    /// It has opted out.
    pub opted_out: bool,
}

impl View<'_> {
    /// What a party has here: what an erasure would take, and what it would leave.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn belongings(&self, party: &Party) -> Result<Belongings> {
        let (own, place) = sides(party.role);
        let count = |sql: &str| {
            let number: i64 = self.0.prepare_cached(sql)?.query_row([party.id.0], |row| row.get(0))?;
            Ok::<_, StoreError>(u64::try_from(number).unwrap_or(0))
        };
        let of_pairs = |table: &str, condition: &str| {
            format!(
                "SELECT count(*) FROM pair p JOIN message x ON x.pair = p.id {table} WHERE p.{place} = ?1 AND {condition}"
            )
        };
        let erased = "EXISTS (SELECT 1 FROM tombstone t WHERE t.message = x.id AND t.whole = 1)";
        let orders = format!("SELECT count(*) FROM pair p JOIN orders o ON o.pair = p.id WHERE p.{place} = ?1");
        let days = if party.role == Role::Seller { count("SELECT count(*) FROM quota WHERE seller = ?1")? } else { 0 };
        Ok(Belongings {
            name: !party.name.is_empty(),
            addresses: party.known.len() as u64,
            password: self.has_password(party.id)?,
            messages: count(&of_pairs("", &format!("x.author = {own} AND NOT {erased}")))?,
            received: count(&of_pairs("", &format!("x.author <> {own}")))?,
            reports: count(&of_pairs(
                "JOIN report r ON r.message = x.id",
                &format!("r.reporter = {own} AND r.reason <> ''"),
            ))?,
            waiting: self.items_of(party)?.len() as u64,
            pairs: count(&format!("SELECT count(*) FROM pair p WHERE p.{place} = ?1"))?,
            orders: count(&orders)?,
            days,
            opted_out: party.opted_out,
        })
    }
}
