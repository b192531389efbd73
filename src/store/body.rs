//! Bodies: messages as received, packed for the disk, each kept once however many recipients it has.

use super::{Change, Result, StoreError, View};
use crate::types::MessageId;
use rusqlite::{OptionalExtension as _, params};
use std::cell::RefCell;

/// A message as received, ready for the disk. Packed before its transaction begins.
#[derive(Clone, Debug)]
pub struct Body {
    size: i64,
    packed: bool,
    pub(super) bytes: Vec<u8>,
}

/// Below this, compressing costs more than it saves.
const WORTH_PACKING: usize = 512;
/// zstd's fastest level that still finds what repeats.
const LEVEL: i32 = 1;
/// Messages above this are packed with tables that are given back afterwards.
const KEEP_TABLES: usize = 128 * 1024;

thread_local! {
    /// Setting a compressor up takes longer than packing a message of ordinary size.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() > KEEP_TABLES {
        return zstd::bulk::compress(raw, LEVEL).ok();
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        kept.as_mut()?.compress(raw).ok()
    })
}

impl Body {
    /// Compresses `raw` if that makes it smaller.
    #[must_use]
    pub fn pack(raw: &[u8]) -> Self {
        let size = i64::try_from(raw.len()).unwrap_or(i64::MAX);
        let packed = (raw.len() >= WORTH_PACKING).then(|| compress(raw)).flatten();
        match packed {
            Some(bytes) if bytes.len() < raw.len() => Self { size, packed: true, bytes },
            _ => Self { size, packed: false, bytes: raw.to_vec() },
        }
    }

    fn unpack(self) -> Result<Vec<u8>> {
        if !self.packed {
            return Ok(self.bytes);
        }
        let size = usize::try_from(self.size).unwrap_or(0);
        zstd::bulk::decompress(&self.bytes, size)
            .map_err(|_| StoreError::Corrupt("a kept message does not unpack".to_owned()))
    }
}

impl View<'_> {
    /// The message as received; `None` if it is not kept.
    ///
    /// # Errors
    /// The database's trouble; [`StoreError::Corrupt`] if it does not unpack.
    pub fn raw(&self, id: MessageId) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT b.size, b.packed, b.raw FROM message m JOIN body b ON b.id = m.body WHERE m.id = ?1";
        let body = self
            .0
            .prepare_cached(sql)?
            .query_row([id.0], |row| Ok(Body { size: row.get(0)?, packed: row.get(1)?, bytes: row.get(2)? }))
            .optional()?;
        body.map(Body::unpack).transpose()
    }
}

impl Change<'_> {
    /// Keeps a body; several messages may share it.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn insert_body(&self, body: &Body) -> Result<i64> {
        let mut insert = self.0.0.prepare_cached("INSERT INTO body (size, packed, raw) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![body.size, body.packed, body.bytes])?;
        Ok(self.0.0.last_insert_rowid())
    }

    /// Puts another body in the place of one, for all messages that share it.
    pub(super) fn replace_body(&self, id: i64, body: &Body) -> Result<()> {
        let sql = "UPDATE body SET size = ?2, packed = ?3, raw = ?4 WHERE id = ?1";
        self.0.0.prepare_cached(sql)?.execute(params![id, body.size, body.packed, body.bytes])?;
        Ok(())
    }
}
