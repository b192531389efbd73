//! The chain over the history: a later change of a message or of an event shows.
//!
//! Each record's *leaf* is SHA-256 over a random salt of 16 octets and its own fields that never
//! change: of a message all but how it stands to queue and response clock, with every octet as
//! received; of an event all of it. The chain's hash behind a record is SHA-256 over the hash
//! before it and the leaf. Leaves are kept in blocks of some hundred records, one row a block,
//! beside the ids; their salts in a column of their own.
//!
//! What is erased leaves its leaf behind and loses its salt: the chain still holds, and nobody can
//! try on the leaf what the message may have said. What stays of the message then is proved by its
//! tombstone: see [`super::erasure`].
//!
//! What that is worth, and what not:
//! - The chain is written right behind the history, not in the transaction that accepts a message: a block takes what was received up to some minutes ago. What is
//!   changed within that time is not seen; `history verify` says how many records are not in it yet. Accepting a message costs one look at the last block, no hash.
//! - A message whose id is older than the last block is not taken any more: a record that is no block's is one that was put in later.
//! - Who can write to the database can also make the whole chain anew. Therefore the hash of the last block is logged now and then, and `history verify --holds HASH`
//!   says whether the chain still goes through it.
//! - Retention takes messages away with their events, from the oldest on. Their leaves stay until
//!   all records of a block are gone; then the hash of the last block that went stays as the
//!   anchor. A record that is missing though it is younger than that is a fault.
//! - Blocks of stores from before erasure have no salts: an entry is the chain's hash itself, over
//!   the hash before it and the record. They stay as they are, as a chain made anew would not go
//!   through the hashes that operators wrote down. Of a message erased from such a block that hash
//!   stays until retention takes the block. Nobody can read anything out of it, but who knows every
//!   octet but a few, as of an answer in which a name was replaced, can try guesses of those.

use super::{Change, Result, StoreError, View};
use crate::message::search::words;
use crate::types::{MessageId, Random};
use data_encoding::HEXLOWER;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What makes a leaf one that cannot be guessed.
pub(super) type Salt = [u8; SALT];
/// Octets of a salt.
pub(super) const SALT: usize = 16;

/// Octets of an entry: kind, id, message, leaf.
const ENTRY: usize = 1 + 8 + 8 + 32;
const MESSAGE: u8 = b'm';
const EVENT: u8 = b'e';

/// Messages of one block; octets of them, as received; octets of their words in the index. So many events at most.
const MESSAGES: usize = 64;
const OCTETS: usize = 4 << 20;
const WORDS: usize = 64 << 10;
const EVENTS: usize = 256;

/// Where the chain stands: behind a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub(super) seq: i64,
    /// Every message up to this one is in it.
    pub(super) message: i64,
    /// Every event up to this one is in it.
    pub(super) event: i64,
    pub(super) hash: Hash,
}

impl Position {
    pub(super) const START: Self = Self { seq: 0, message: 0, event: 0, hash: [0; 32] };

    /// The hash that the chain ends with here.
    #[must_use]
    pub fn head(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }
}

/// A record's place in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) event: bool,
    pub(super) id: i64,
    pub(super) message: i64,
    /// The leaf; in a block without salts the chain's hash.
    pub(super) hash: Hash,
    /// Zeros: the message was erased. None: the block is of a time before salts.
    pub(super) salt: Option<Salt>,
}

impl Entry {
    /// The chain's hash behind this record.
    pub(super) fn link(&self, before: &Hash) -> Hash {
        match self.salt {
            Some(_) => link(before, &self.hash),
            None => self.hash,
        }
    }

    /// Whether this is the record that was chained.
    pub(super) fn is_of(&self, record: &Record, before: &Hash) -> bool {
        match &self.salt {
            Some(salt) => record.leaf(salt) == self.hash,
            None => record.leaf(before) == self.hash,
        }
    }
}

fn link(before: &Hash, leaf: &Hash) -> Hash {
    Sha256::new().chain_update(before).chain_update(leaf).finalize().into()
}

/// Records that are ready to be chained.
#[derive(Debug)]
pub struct Block {
    after: Position,
    to: Position,
    entries: Vec<u8>,
    salts: Vec<u8>,
    messages: usize,
    /// Erasures that had been when its messages were read: another one may have taken words that
    /// are in here.
    erasures: i64,
    /// For the full-text index.
    words: Vec<(i64, String)>,
}

impl Block {
    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.entries.len() / ENTRY
    }

    fn push(&mut self, event: bool, id: i64, message: i64, (record, random): (&Record, &mut dyn Random)) {
        let mut salt = [0; SALT];
        random.fill(&mut salt);
        let leaf = record.leaf(&salt);
        self.to.hash = link(&self.to.hash, &leaf);
        self.salts.extend_from_slice(&salt);
        self.entries.push(if event { EVENT } else { MESSAGE });
        self.entries.extend_from_slice(&id.to_be_bytes());
        self.entries.extend_from_slice(&message.to_be_bytes());
        self.entries.extend_from_slice(&leaf);
    }
}

/// The entries of a block as it is kept. None: it cannot be read.
pub(super) fn entries(block: &[u8], salts: Option<&[u8]>) -> Option<Vec<Entry>> {
    let number = |bytes: &[u8]| bytes.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
    let entry = |bytes: &[u8]| {
        let (kind, rest) = bytes.split_first()?;
        let hash = rest.last_chunk::<32>()?;
        let (id, message) = (number(rest)?, number(rest.get(8..)?)?);
        Some(Entry { event: *kind == EVENT, id, message, hash: *hash, salt: None })
    };
    if block.is_empty() || !block.len().is_multiple_of(ENTRY) {
        return None;
    }
    let mut list: Vec<Entry> = block.chunks_exact(ENTRY).map(entry).collect::<Option<_>>()?;
    if let Some(salts) = salts {
        if salts.len() != list.len() * SALT {
            return None;
        }
        for (entry, salt) in list.iter_mut().zip(salts.chunks_exact(SALT)) {
            entry.salt = salt.first_chunk().copied();
        }
    }
    Some(list)
}

/// The fields of a record, each with its length before it, so that no two records look alike.
pub(super) struct Record(Vec<u8>);

impl Record {
    fn new(kind: &str) -> Self {
        let mut record = Self(Vec::with_capacity(512));
        record.field(kind.as_bytes());
        record
    }

    fn field(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    /// A field that may be missing, which is not the same as empty.
    fn maybe(&mut self, bytes: Option<&[u8]>) {
        self.number(i64::from(bytes.is_some()));
        self.field(bytes.unwrap_or(&[]));
    }

    /// SHA-256 over a salt and the record.
    pub(super) fn leaf(&self, salt: &[u8]) -> Hash {
        Sha256::new().chain_update(salt).chain_update(&self.0).finalize().into()
    }
}

/// A message's record, and the message as received.
pub(super) struct Read {
    pub(super) record: Record,
    raw: Option<Vec<u8>>,
}

impl View<'_> {
    /// Where the chain ends now.
    ///
    /// # Errors
    /// The database's trouble; [`StoreError::Corrupt`] if its last block cannot be read.
    pub fn chain_position(&self) -> Result<Position> {
        let sql = "SELECT seq, last_message, last_event, coalesce(head, entries) FROM chain ORDER BY seq DESC LIMIT 1";
        let found = self.0.prepare_cached(sql)?.query_row([], |row| {
            let head: Vec<u8> = row.get(3)?;
            let hash = head.last_chunk::<32>().copied();
            Ok(hash.map(|hash| (row.get(0), row.get(1), row.get(2), hash)))
        });
        match found.optional()? {
            None => Ok(Position::START),
            Some(Some((seq, message, event, hash))) => {
                Ok(Position { seq: seq?, message: message?, event: event?, hash })
            }
            Some(None) => Err(StoreError::Corrupt("the last block of the chain cannot be read".to_owned())),
        }
    }

    /// Up to which message the chain goes.
    pub(super) fn chained_to(&self) -> Result<MessageId> {
        let sql = "SELECT last_message FROM chain ORDER BY seq DESC LIMIT 1";
        Ok(MessageId(self.0.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0)))
    }

    /// The next block: messages up to `settled` that are not chained yet, and the events of chained messages. `None` if there is nothing. Reads every message whole,
    /// one at a time: this belongs on a blocking thread.
    ///
    /// # Errors
    /// The database's trouble; [`StoreError::Corrupt`] if the chain's last block cannot be read.
    pub fn next_block(&self, settled: MessageId, random: &mut dyn Random) -> Result<Option<Block>> {
        let after = self.chain_position()?;
        let (entries, salts, said_words) = (Vec::new(), Vec::new(), Vec::new());
        let erasures = self.erasures()?;
        let mut block = Block { to: after.clone(), after, entries, salts, messages: 0, erasures, words: said_words };
        let (mut octets, mut said) = (0_usize, 0_usize);
        let ids = {
            let sql = "SELECT id FROM message WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
            let mut statement = self.0.prepare_cached(sql)?;
            let rows =
                statement.query_map(params![block.after.message, settled.0, MESSAGES as i64], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()?
        };
        for id in ids {
            let Some(Read { record, raw }) = self.message_record(id)? else { continue };
            if let Some(raw) = raw {
                octets = octets.saturating_add(raw.len());
                // Whatever a message does to its reader, those behind it are chained, found, and go when they are old.
                let words = std::panic::catch_unwind(|| words(&raw)).unwrap_or_default();
                said = said.saturating_add(words.len());
                block.words.push((id, words));
            }
            block.push(false, id, id, (&record, random));
            block.to.message = id;
            block.messages += 1;
            if octets > OCTETS || said > WORDS {
                break;
            }
        }
        self.next_events(&mut block, random)?;
        block.to.seq = block.after.seq + 1;
        Ok((block.records() > 0).then_some(block))
    }

    /// Events in their order, up to the first of a message that is not chained yet.
    fn next_events(&self, block: &mut Block, random: &mut dyn Random) -> Result<()> {
        let sql = "SELECT id, message, at, what, detail FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![block.after.event, EVENTS as i64])?;
        while let Some(row) = rows.next()? {
            let (id, message): (i64, i64) = (row.get(0)?, row.get(1)?);
            if message > block.to.message {
                break;
            }
            block.push(true, id, message, (&event_record(row)?, random));
            block.to.event = id;
        }
        Ok(())
    }

    /// The record of a message as it is now.
    pub(super) fn message_record(&self, id: i64) -> Result<Option<Read>> {
        let sql = "SELECT pair, author, received, size, verdict, reason, thread, original, subject, automatic, facts, body \
                   FROM message WHERE id = ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut record = Record::new("message");
        record.number(id);
        let body = statement.query_row([id], |row| {
            let text = |at: usize| {
                Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_bytes_or_null().unwrap_or(None).map(<[u8]>::to_vec))
            };
            let pair: Option<i64> = row.get(0)?;
            record.number(pair.unwrap_or(-1));
            for at in [1, 2, 3, 6, 9] {
                record.number(row.get(at)?);
            }
            for at in [4, 5, 7, 8, 10] {
                record.maybe(text(at)?.as_deref());
            }
            row.get::<_, Option<i64>>(11)
        });
        let Some(body) = body.optional()? else { return Ok(None) };
        let raw = match body.map(|_| self.raw(MessageId(id))) {
            // It is chained as one that is not kept, so that it holds up no other. If it was whole when it was chained, it differs now.
            Some(Err(StoreError::Corrupt(what))) => {
                tracing::error!(id = %MessageId(id), what, "a kept message cannot be read any more");
                None
            }
            Some(raw) => raw?,
            None => None,
        };
        record.maybe(raw.as_deref());
        Ok(Some(Read { record, raw }))
    }

    /// The record of an event as it is now.
    pub(super) fn event_record(&self, id: i64) -> Result<Option<Record>> {
        let sql = "SELECT id, message, at, what, detail FROM event WHERE id = ?1";
        Ok(self.0.prepare_cached(sql)?.query_row([id], event_record).optional()?)
    }
}

fn event_record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    let mut record = Record::new("event");
    for at in 0..3 {
        record.number(row.get(at)?);
    }
    for at in 3..5 {
        record.field(row.get_ref(at)?.as_str()?.as_bytes());
    }
    Ok(record)
}

impl Change<'_> {
    /// Puts a block behind the chain and its words into the index. `false`: it does not fit any
    /// more, because another one came before it, a message that belongs into it, or an erasure;
    /// then it is made anew.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn append_block(&self, block: &Block) -> Result<bool> {
        let sql = "SELECT count(*) FROM message WHERE id > ?1 AND id <= ?2";
        let range = [block.after.message, block.to.message];
        let messages: i64 = self.0.0.prepare_cached(sql)?.query_row(range, |row| row.get(0))?;
        let fits = usize::try_from(messages) == Ok(block.messages) && self.erasures()? == block.erasures;
        if !fits || self.chain_position()? != block.after {
            return Ok(false);
        }
        let sql =
            "INSERT INTO chain (seq, last_message, last_event, entries, salts, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let to = &block.to;
        let values = params![to.seq, to.message, to.event, block.entries, block.salts, to.hash];
        self.0.0.prepare_cached(sql)?.execute(values)?;
        let mut insert = self.0.0.prepare_cached("INSERT INTO search (rowid, words) VALUES (?1, ?2)")?;
        for (id, words) in &block.words {
            insert.execute(params![id, words])?;
        }
        Ok(true)
    }

    /// Takes away what a message's leaf was made with, where it is chained and has any.
    pub(super) fn forget_salt(&self, message: MessageId) -> Result<()> {
        let Some(seq) = self.block_of(message)? else { return Ok(()) };
        let sql = "SELECT entries, salts FROM chain WHERE seq = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?));
        let (block, salts) = self.0.0.prepare_cached(sql)?.query_row([seq], read)?;
        let (Some(mut salts), Some(list)) = (salts, entries(&block, None)) else { return Ok(()) };
        for (entry, salt) in list.iter().zip(salts.chunks_exact_mut(SALT)) {
            if !entry.event && entry.id == message.0 {
                salt.fill(0);
            }
        }
        self.0.0.prepare_cached("UPDATE chain SET salts = ?2 WHERE seq = ?1")?.execute(params![seq, salts])?;
        Ok(())
    }

    /// The block that holds a message, if it is in the chain. Blocks are numbered without gaps, and
    /// their messages grow.
    fn block_of(&self, message: MessageId) -> Result<Option<i64>> {
        let ends = "SELECT min(seq), max(seq) FROM chain";
        let (low, high) = self.0.0.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(mut low), Some(mut high)): (Option<i64>, Option<i64>) = (low, high) else { return Ok(None) };
        let mut last = self.0.0.prepare_cached("SELECT last_message FROM chain WHERE seq = ?1")?;
        let mut last = |seq: i64| last.query_row([seq], |row| row.get::<_, i64>(0)).optional();
        while low < high {
            let middle = low + (high - low) / 2;
            // Where somebody has taken a block away there is nothing to be found any more: `history
            // verify` says so.
            let Some(end) = last(middle)? else { return Ok(None) };
            if end < message.0 { low = middle + 1 } else { high = middle }
        }
        Ok(last(low)?.filter(|end| *end >= message.0).map(|_| low))
    }
}
