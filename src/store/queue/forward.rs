//! Mail to postmaster and abuse while it waits. Anybody can send it, so it is nowhere but here: the
//! item carries its bytes, the history has neither message nor event of it, and all of it goes when
//! it is delivered or given up.

use crate::store::{Change, Result, View};
use crate::types::shares::Amount;
use crate::types::{Address, MessageId, Time};
use rusqlite::params;

/// One to be queued.
pub struct NewForward<'a> {
    /// Its id.
    pub id: MessageId,
    /// The operator.
    pub recipient: &'a Address,
    /// Its finished bytes.
    pub content: &'a [u8],
    /// A keyed hash of the network that it came from
    /// ([`Secret::network_mark`](crate::types::token::Secret::network_mark)); none behind a front
    /// that hands on no address.
    pub network: Option<i64>,
}

impl View<'_> {
    /// What waits for the operator: from this network, and from all others.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn forwards(&self, network: Option<i64>) -> Result<(Amount, Amount)> {
        // Bounded by what may wait: see `[limits] operator_messages_in_all`.
        let sql = "SELECT count(*), ifnull(sum(length(content)), 0), \
                   ifnull(sum(CASE WHEN network = ?1 THEN 1 ELSE 0 END), 0), \
                   ifnull(sum(CASE WHEN network = ?1 THEN length(content) ELSE 0 END), 0) FROM queue WHERE kind = 2";
        let amount = |count: i64, octets: i64| {
            let natural = |number: i64| u64::try_from(number).unwrap_or(0);
            Amount::new(natural(count), natural(octets))
        };
        let (all, own) = self
            .0
            .prepare_cached(sql)?
            .query_row([network], |row| Ok((amount(row.get(0)?, row.get(1)?), amount(row.get(2)?, row.get(3)?))))?;
        Ok((own, all.less(own)))
    }
}

impl Change<'_> {
    /// Queues mail to the operator.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn enqueue_forward(&self, new: &NewForward<'_>, now: Time) -> Result<()> {
        let sql = "INSERT INTO queue (id, message, kind, address, domain, queued, due, attempts, leased, content, network) \
                   VALUES (?1, ?1, 2, ?2, ?3, ?4, ?4, 0, 0, ?5, ?6)";
        let domain = new.recipient.domain();
        self.0.0.prepare_cached(sql)?.execute(params![
            new.id.0,
            new.recipient.expose(),
            domain,
            now.0,
            new.content,
            new.network
        ])?;
        self.waits(domain, now)
    }
}
