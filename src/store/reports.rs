//! Reports: what one party told the marketplace about a message of the other.

use super::parties::{role_number, role_of};
use super::{Change, Result, View};
use crate::types::{MessageId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, params};

/// A report, with whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The reported message.
    pub message: String,
    /// When it was reported first, RFC 3339.
    pub at: String,
    /// `buyer` or `seller`.
    pub reporter: &'static str,
    /// Marketplace.
    pub marketplace: String,
    /// Buyer, by the platform's id.
    pub buyer: String,
    /// Seller, by the platform's id.
    pub seller: String,
    /// What the reporter wrote; empty where that is past `keep_days`, or was nothing.
    pub reason: String,
}

/// Reports that a seller has to do with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reported {
    /// Marketplace.
    pub marketplace: String,
    /// Seller, by the platform's id.
    pub seller: String,
    /// Messages of the seller that buyers reported.
    pub reported: i64,
    /// Messages of buyers that the seller reported.
    pub reports: i64,
}

const JOINS: &str = "report r JOIN message x ON x.id = r.message JOIN pair p ON p.id = x.pair JOIN party b ON b.id = p.buyer \
                     JOIN party s ON s.id = p.seller JOIN marketplace m ON m.id = s.marketplace";

/// The seller that is asked for, and the marketplace.
const OF: &str = "(?1 IS NULL OR p.seller = ?1) AND (?2 IS NULL OR m.name = ?2)";

impl View<'_> {
    /// Reports, newest first; of one marketplace or seller, if they are given.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn reports(&self, marketplace: Option<&str>, seller: Option<PartyId>, limit: usize) -> Result<Vec<Report>> {
        let sql = format!(
            "SELECT r.message, r.at, r.reporter, m.name, b.external, s.external, r.reason FROM {JOINS} \
             WHERE {OF} ORDER BY r.at DESC, r.message DESC LIMIT ?3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![seller.map(|seller| seller.0), marketplace, limit], |row| {
            Ok(Report {
                message: MessageId(row.get(0)?).to_string(),
                at: Time(row.get(1)?).rfc3339(),
                reporter: role_of(row.get(2)?).as_str(),
                marketplace: row.get(3)?,
                buyer: row.get(4)?,
                seller: row.get(5)?,
                reason: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What a side wrote when it reported a message; empty if it wrote nothing, `None` if it did
    /// not report it.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn reason_of(&self, message: MessageId, reporter: Role) -> Result<Option<String>> {
        let sql = "SELECT reason FROM report WHERE message = ?1 AND reporter = ?2";
        let values = params![message.0, role_number(reporter)];
        Ok(self.0.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
    }

    /// How many reports each seller has to do with, the most reported first; of one marketplace or
    /// seller, if they are given.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn reports_by_seller(&self, marketplace: Option<&str>, seller: Option<PartyId>) -> Result<Vec<Reported>> {
        let sql = format!(
            "SELECT m.name, s.external, sum(r.reporter = 0) AS reported, sum(r.reporter = 1) FROM {JOINS} \
             WHERE {OF} GROUP BY p.seller ORDER BY reported DESC, m.name, s.external"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![seller.map(|seller| seller.0), marketplace], |row| {
            Ok(Reported { marketplace: row.get(0)?, seller: row.get(1)?, reported: row.get(2)?, reports: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Change<'_> {
    /// Keeps a report. One message is reported once by the same side: who has more to say changes the reason.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn report(&self, message: MessageId, reporter: Role, reason: &str, now: Time) -> Result<()> {
        // Asked for before its erasure began: that it reported counts, its words are gone.
        let erased = "SELECT 1 FROM message x JOIN pair p ON p.id = x.pair \
                      JOIN erasure e ON e.party = CASE ?2 WHEN 0 THEN p.buyer ELSE p.seller END WHERE x.id = ?1";
        let erased = self.0.0.prepare_cached(erased)?.exists(params![message.0, role_number(reporter)])?;
        let reason = if erased { "" } else { reason };
        let sql = "INSERT INTO report (message, reporter, at, reason) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (message, reporter) DO UPDATE SET reason = excluded.reason WHERE excluded.reason <> ''";
        self.0.0.prepare_cached(sql)?.execute(params![message.0, role_number(reporter), now.0, reason])?;
        Ok(())
    }
}
