//! The history: messages as received, their verdicts, their threads and their walk.

use super::parties::{role_number, role_of};
use super::responses::{Response, since};
use super::seen::reported_lost;
use super::{Change, Result, StoreError, View};
use crate::types::{Address, MessageId, PairId, PartyId, Role, Time};
use rusqlite::{OptionalExtension as _, Row, params, params_from_iter, types::Value};
use sha2::{Digest as _, Sha256};

/// A message and its verdict, as it is written.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id, drawn before it was rewritten.
    pub id: MessageId,
    /// Its pair; none for mail to the operator.
    pub pair: Option<PairId>,
    /// The side that wrote it.
    pub author: Role,
    /// Row of its body, if that is kept.
    pub body: Option<i64>,
    /// Whether other messages have the same body.
    pub shared: bool,
    /// When it was received.
    pub received: Time,
    /// Octets as received.
    pub size: usize,
    /// `relay`, `block`, `reject`, `defer`.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The message that began its thread; itself if it began one.
    pub thread: MessageId,
    /// The author's own Message-ID, without angle brackets.
    pub original: Option<String>,
    /// Decoded.
    pub subject: String,
    /// Written by a machine.
    pub automatic: bool,
    /// Starts the seller's response clock.
    pub needs_response: bool,
    /// `none`, `queued`, `delivered`, `failed`.
    pub fate: &'static str,
    /// What it was judged by, as `name=value` words.
    pub facts: String,
    /// Who sent it, where nothing proves that its author did: see [`View::sender_of`].
    pub sent_by: Option<Address>,
}

/// A message of the history.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MessageRow {
    /// Its id as people see it.
    pub id: String,
    /// Row id of the pair.
    #[serde(skip)]
    pub pair: Option<PairId>,
    /// The same id as a number.
    #[serde(skip)]
    pub number: i64,
    /// Marketplace.
    pub marketplace: Option<String>,
    /// Buyer, by the platform's id.
    pub buyer: Option<String>,
    /// Seller, by the platform's id.
    pub seller: Option<String>,
    /// `buyer` or `seller`.
    pub author: &'static str,
    /// RFC 3339.
    pub received: String,
    /// Octets as received.
    pub size: i64,
    /// What was decided.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// Id of the message that began the thread.
    pub thread: String,
    /// Decoded.
    pub subject: String,
    /// Written by a machine.
    pub automatic: bool,
    /// The seller has not answered yet.
    pub needs_response: bool,
    /// How it stands to the seller's response clock, if it started one.
    pub response: Option<Response>,
    /// When the clock stopped, RFC 3339.
    pub response_at: Option<String>,
    /// When it was received.
    #[serde(skip)]
    pub time: Time,
    /// Since when its clock runs, or ran last.
    #[serde(skip)]
    pub since: Time,
    /// `none`, `queued`, `delivered`, `failed`.
    pub fate: String,
    /// It failed, or a report that is proved says that it did not arrive after all.
    pub undelivered: bool,
    /// How often the same message came again; those went nowhere.
    pub repeats: i64,
    /// When it came again last, RFC 3339.
    pub repeated_at: Option<String>,
    /// The author's own Message-ID.
    #[serde(skip)]
    pub original: Option<String>,
    /// What it was judged by, as `name=value` words.
    #[serde(skip)]
    pub facts: String,
}

/// Which messages `message list` shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this buyer.
    pub buyer: Option<PartyId>,
    /// Of this seller.
    pub seller: Option<PartyId>,
    /// Of this marketplace.
    pub marketplace: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// Of this pair.
    pub pair: Option<PairId>,
    /// Received at or after.
    pub since: Option<Time>,
    /// Received before.
    pub until: Option<Time>,
    /// That say this: a question of [`crate::message::search::query`].
    pub text: Option<String>,
    /// Not yet answered.
    pub needs_response: bool,
    /// With higher ids than this, the oldest first; the newest first if it is left out.
    pub after: Option<MessageId>,
    /// At most so many.
    pub limit: usize,
}

/// One step of a message's walk.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Event {
    /// RFC 3339.
    pub at: String,
    /// What happened: a fixed word.
    pub what: String,
    /// More of it, in our own words.
    pub detail: String,
}

const MESSAGE: &str = concat!(
    "SELECT x.id, x.pair, m.name, b.external, s.external, x.author, x.received, x.size, x.verdict, x.reason, \
     x.thread, x.subject, x.automatic, x.needs_response, x.fate, x.original, x.facts, x.response_at, \
     x.repeats, x.repeated_at, ",
    since!(),
    ", x.fate = 'failed' OR ",
    reported_lost!(),
    " FROM message x LEFT JOIN pair p ON p.id = x.pair LEFT JOIN party b ON b.id = p.buyer \
     LEFT JOIN party s ON s.id = p.seller LEFT JOIN marketplace m ON m.id = b.marketplace"
);

fn message_of(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let number: i64 = row.get(0)?;
    let (received, response) = (Time(row.get(6)?), Response::of(row.get(13)?));
    let fate: String = row.get(14)?;
    Ok(MessageRow {
        id: MessageId(number).to_string(),
        number,
        pair: row.get::<_, Option<i64>>(1)?.map(PairId),
        marketplace: row.get(2)?,
        buyer: row.get(3)?,
        seller: row.get(4)?,
        author: role_of(row.get(5)?).as_str(),
        received: received.rfc3339(),
        time: received,
        size: row.get(7)?,
        verdict: row.get(8)?,
        reason: row.get(9)?,
        thread: MessageId(row.get(10)?).to_string(),
        subject: row.get(11)?,
        automatic: row.get(12)?,
        // What never reached the seller waits for nothing.
        needs_response: response == Some(Response::Waiting) && fate != "failed",
        since: Time(row.get(20)?),
        undelivered: row.get(21)?,
        response,
        response_at: row.get::<_, Option<i64>>(17)?.map(|at| Time(at).rfc3339()),
        fate,
        repeats: row.get(18)?,
        repeated_at: row.get::<_, Option<i64>>(19)?.map(|at| Time(at).rfc3339()),
        original: row.get(15)?,
        facts: row.get(16)?,
    })
}

/// Up to which message the chain goes, and whether a party of this pair is erased: asked at once,
/// as every message is written behind it.
const TAKEN: &str = "SELECT ifnull((SELECT last_message FROM chain ORDER BY seq DESC LIMIT 1), 0), \
                     EXISTS (SELECT 1 FROM pair p JOIN erasure e ON e.party = p.buyer WHERE p.id = ?1) \
                     OR EXISTS (SELECT 1 FROM pair p JOIN erasure e ON e.party = p.seller WHERE p.id = ?1)";

/// 64 bits of a Message-ID's SHA-256: short enough for an index, and nobody can aim at another's.
pub(super) fn hash(id: &str) -> i64 {
    let digest = Sha256::digest(id.as_bytes());
    digest.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

impl View<'_> {
    /// The newest id of a message, of a chained one that may be gone, or of a notice that waits; or zero. A fresh one has to be above it.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn last_message(&self) -> Result<MessageId> {
        let sql = "SELECT max(ifnull((SELECT max(id) FROM message), 0), ifnull((SELECT max(id) FROM queue), 0))";
        let id: i64 = self.0.query_row(sql, [], |row| row.get(0))?;
        // Where retention has taken all of them, the chain remembers.
        Ok(MessageId(id).max(self.chained_to()?))
    }

    /// One message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn message(&self, id: MessageId) -> Result<Option<MessageRow>> {
        let mut statement = self.0.prepare_cached(&format!("{MESSAGE} WHERE x.id = ?1"))?;
        Ok(statement.query_row([id.0], message_of).optional()?)
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn messages(&self, filter: &Filter) -> Result<Vec<MessageRow>> {
        let mut sql = format!("{MESSAGE} WHERE 1");
        let mut values: Vec<Value> = Vec::new();
        for (party, column) in [(filter.buyer, "buyer"), (filter.seller, "seller")] {
            if let Some(party) = party {
                sql.push_str(&format!(" AND x.pair IN (SELECT id FROM pair WHERE {column} = ?)"));
                values.push(party.0.into());
            }
        }
        if let Some(name) = &filter.marketplace {
            // The sign keeps the walk along the messages: a marketplace's parties are many.
            sql.push_str(" AND +b.marketplace = (SELECT id FROM marketplace WHERE name = ?)");
            values.push(name.clone().into());
        }
        if let Some(pair) = filter.pair {
            sql.push_str(" AND x.pair = ?");
            values.push(pair.0.into());
        }
        if let Some(since) = filter.since {
            sql.push_str(" AND x.id >= ? AND x.received >= ?");
            values.extend([MessageId::after(MessageId(0), since, 0).0.into(), since.0.into()]);
        }
        if let Some(until) = filter.until {
            sql.push_str(" AND x.received < ?");
            values.push(until.0.into());
        }
        if let Some(text) = &filter.text {
            let newest: Vec<String> = self.said_lately(text)?.iter().map(i64::to_string).collect();
            sql.push_str(
                " AND x.id IN (SELECT rowid FROM search WHERE search MATCH ? UNION ALL SELECT value FROM json_each(?))",
            );
            values.extend([text.clone().into(), format!("[{}]", newest.join(",")).into()]);
        }
        if let Some(verdict) = &filter.verdict {
            sql.push_str(" AND x.verdict = ?");
            values.push(verdict.clone().into());
        }
        if filter.needs_response {
            sql.push_str(" AND x.needs_response = 1 AND x.fate <> 'failed'");
        }
        if let Some(after) = filter.after {
            sql.push_str(" AND x.id > ?");
            values.push(after.0.into());
        }
        sql.push_str(if filter.after.is_some() { " ORDER BY x.id LIMIT ?" } else { " ORDER BY x.id DESC LIMIT ?" });
        values.push(i64::try_from(filter.limit).unwrap_or(i64::MAX).into());
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), message_of)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The message of `author` in `pair` that had this Message-ID when it was received.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn message_by_original(&self, pair: PairId, author: Role, id: &str) -> Result<Option<MessageId>> {
        let sql = "SELECT message FROM mid WHERE pair = ?1 AND author = ?2 AND hash = ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row([pair.0, role_number(author), hash(id)], |row| row.get(0)).optional()?;
        Ok(found.map(MessageId))
    }

    /// Pair, author, thread and the author's own Message-ID of a message: what the thread map needs.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn thread_entry(&self, id: MessageId) -> Result<Option<ThreadEntry>> {
        let sql =
            "SELECT pair, author, thread, original, received, verdict = 'relay', automatic FROM message WHERE id = ?1";
        let entry = self.0.prepare_cached(sql)?.query_row([id.0], |row| {
            Ok(ThreadEntry {
                pair: row.get::<_, Option<i64>>(0)?.map(PairId),
                author: role_of(row.get(1)?),
                thread: MessageId(row.get(2)?),
                original: row.get(3)?,
                received: Time(row.get(4)?),
                relayed: row.get(5)?,
                automatic: row.get(6)?,
            })
        });
        Ok(entry.optional()?)
    }

    /// When the newest relayed message that a person of `author`'s wrote in a thread of `pair` was
    /// received. What machines wrote is passed over.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn last_in_thread(&self, pair: PairId, thread: MessageId, author: Role) -> Result<Option<Time>> {
        let sql = "SELECT received FROM message WHERE pair = ?1 AND id >= ?2 AND thread = ?2 AND author = ?3 AND verdict = 'relay' \
                   AND automatic = 0 ORDER BY id DESC LIMIT 1";
        let mut statement = self.0.prepare_cached(sql)?;
        let received = statement.query_row([pair.0, thread.0, role_number(author)], |row| row.get(0)).optional()?;
        Ok(received.map(Time))
    }

    /// The newest relayed messages of `author` in `pair` before another one, newest first, if they
    /// are among its last fifty.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn last_relayed(&self, pair: PairId, author: Role, before: MessageId, limit: usize) -> Result<Vec<MessageId>> {
        let sql = "SELECT id FROM (SELECT id, author, verdict FROM message WHERE pair = ?1 AND id < ?2 ORDER BY id DESC LIMIT 50) \
                   WHERE author = ?3 AND verdict = 'relay' ORDER BY id DESC LIMIT ?4";
        let mut statement = self.0.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([pair.0, before.0, role_number(author), limit], |row| row.get(0))?;
        Ok(rows.map(|row| row.map(MessageId)).collect::<rusqlite::Result<_>>()?)
    }

    /// Whether `what` happened to a message since `since`.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn event_since(&self, id: MessageId, what: &str, since: Time) -> Result<bool> {
        let sql = "SELECT 1 FROM event WHERE message = ?1 AND what = ?2 AND at >= ?3";
        Ok(self.0.prepare_cached(sql)?.exists(params![id.0, what, since.0])?)
    }

    /// A message's walk after its verdict, oldest first.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn events(&self, id: MessageId) -> Result<Vec<Event>> {
        let sql = "SELECT at, what, detail FROM event WHERE message = ?1 ORDER BY id";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([id.0], |row| {
            Ok(Event { at: Time(row.get(0)?).rfc3339(), what: row.get(1)?, detail: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// See [`View::thread_entry`].
#[derive(Clone, Debug)]
pub struct ThreadEntry {
    /// Its pair.
    pub pair: Option<PairId>,
    /// The side that wrote it.
    pub author: Role,
    /// The message that began its thread.
    pub thread: MessageId,
    /// The author's own Message-ID.
    pub original: Option<String>,
    /// When it was received.
    pub received: Time,
    /// It went to the other party.
    pub relayed: bool,
    /// A machine wrote it.
    pub automatic: bool,
}

impl Change<'_> {
    /// Writes a message, and its own Message-ID into the thread map. An id used before by the same party goes to the newer message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn insert_message(&self, new: &NewMessage) -> Result<()> {
        let sql = "INSERT INTO message (id, pair, author, body, received, size, verdict, reason, thread, original, subject, \
                   automatic, needs_response, fate, facts, shared, sent_by) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        let (chained, erased) = self
            .0
            .0
            .prepare_cached(TAKEN)?
            .query_row([new.pair.map(|pair| pair.0)], |row| Ok((MessageId(row.get(0)?), row.get::<_, bool>(1)?)))?;
        // It would look like one that somebody put in later: see `chain`. Its sender tries again.
        if new.id <= chained {
            return Err(StoreError::Refused("a message took too long to be written".to_owned()));
        }
        // Judged before the erasure began. Its sender tries again, and hears that there is no such
        // address, as from every alias of a party that is gone.
        if erased {
            return Err(StoreError::Refused("a party of the message is being erased".to_owned()));
        }
        let author = role_number(new.author);
        self.0.0.prepare_cached(sql)?.execute(params![
            new.id.0,
            new.pair.map(|p| p.0),
            author,
            new.body,
            new.received.0,
            i64::try_from(new.size).unwrap_or(i64::MAX),
            new.verdict,
            new.reason,
            new.thread.0,
            new.original,
            new.subject,
            new.automatic,
            new.needs_response,
            new.fate,
            new.facts,
            new.shared,
            new.sent_by.as_ref().map(Address::expose)
        ])?;
        if let (Some(pair), Some(original)) = (new.pair, &new.original) {
            let sql = "INSERT OR REPLACE INTO mid (pair, author, hash, message) VALUES (?1, ?2, ?3, ?4)";
            self.0.0.prepare_cached(sql)?.execute([pair.0, author, hash(original), new.id.0])?;
        }
        Ok(())
    }

    /// Writes a step of a message's walk: a fixed word, and our own words.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn record(&self, id: MessageId, at: Time, what: &str, detail: &str) -> Result<()> {
        let sql = "INSERT INTO event (message, at, what, detail) VALUES (?1, ?2, ?3, ?4)";
        self.0.0.prepare_cached(sql)?.execute(params![id.0, at.0, what, detail])?;
        Ok(())
    }

    /// Sets what became of a message.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn set_fate(&self, id: MessageId, fate: &str) -> Result<()> {
        self.0.0.prepare_cached("UPDATE message SET fate = ?2 WHERE id = ?1")?.execute(params![id.0, fate])?;
        Ok(())
    }
}
