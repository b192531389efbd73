//! A message on its way in: in memory while the budget of all connections allows it, else in an unlinked file.

use super::data::{DataReader, Fed};
use super::server::Shared;
use crate::types::{Time, locked};
use bytes::Bytes;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A message that has arrived waits this long for memory.
const MEMORY_WAIT: Duration = Duration::from_secs(60);

/// Memory for mail, of all connections together, in KiB. Slow clients can take up the part for what arrives, and then more goes to disk; they cannot take up the
/// part for whole messages, which is held no longer than a message is judged.
#[derive(Clone)]
pub(super) struct Budget {
    pub(super) arriving: Arc<Semaphore>,
    pub(super) whole: Arc<Semaphore>,
    arriving_kib: u32,
    whole_kib: u32,
}

impl Budget {
    /// Of so many octets three eighths are for what arrives.
    pub(super) fn new(octets: u64) -> Self {
        let all = kib(octets).min(u32::MAX >> 4);
        let arriving = all / 8 * 3;
        let whole_kib = (all - arriving).max(1);
        let semaphore = |kib: u32| Arc::new(Semaphore::new(kib as usize));
        Self { arriving: semaphore(arriving), whole: semaphore(whole_kib), arriving_kib: arriving, whole_kib }
    }

    /// Octets in use now.
    pub(super) fn used(&self) -> i64 {
        let all = self.arriving_kib as usize + self.whole_kib as usize;
        let free = self.arriving.available_permits() + self.whole.available_permits();
        i64::try_from(all.saturating_sub(free)).unwrap_or(i64::MAX).saturating_mul(1024)
    }
}

/// A message on its way in.
pub(super) struct Incoming {
    reader: DataReader,
    place: Place,
    pub(super) size: u64,
    permits: Option<OwnedSemaphorePermit>,
    /// Octets that the client announced.
    announced: u64,
}

enum Place {
    Memory(Vec<u8>),
    Disk(File),
    /// The disk failed; the rest is read for the reply's sake.
    Lost,
}

/// A client gets room for so many times what has come, if it announced so much: a large message is not moved each time it doubles, and words alone take no memory.
const TRUST: usize = 16;

/// Room for `more` octets.
fn make_room(bytes: &mut Vec<u8>, more: usize, announced: u64) {
    let whole = bytes.len() + more;
    if whole > bytes.capacity() {
        // Messages are some octets longer than announced where their lines are counted otherwise.
        let announced = usize::try_from(announced).unwrap_or(usize::MAX).saturating_add(1024);
        let expected = announced.min(whole.saturating_mul(TRUST));
        if expected > whole { bytes.reserve_exact(expected - bytes.len()) } else { bytes.reserve(more) }
    }
}

/// The budget counts in KiB.
fn kib(octets: u64) -> u32 {
    u32::try_from(octets.div_ceil(1024)).unwrap_or(u32::MAX)
}

impl Incoming {
    pub(super) fn new(announced: u64) -> Self {
        Self { reader: DataReader::default(), place: Place::Memory(Vec::new()), size: 0, permits: None, announced }
    }

    pub(super) fn feed<H>(&mut self, input: &[u8], shared: &Shared<H>) -> Fed {
        let Self { reader, place, size, permits, announced } = self;
        if let Place::Memory(bytes) = place {
            make_room(bytes, input.len(), (*announced).min(shared.settings.limits.spool_above.0));
        }
        let largest = shared.settings.max_message;
        let mut piece = Vec::new();
        let fed = reader.feed(input, |bytes| {
            *size += bytes.len() as u64;
            match place {
                _ if *size > largest => {}
                Place::Memory(all) => all.extend_from_slice(bytes),
                Place::Disk(_) => piece.extend_from_slice(bytes),
                Place::Lost => {}
            }
        });
        if let Place::Disk(file) = place
            && file.write_all(&piece).is_err()
        {
            *place = Place::Lost;
        }
        if *size > largest {
            *place = Place::Lost;
            *permits = None;
        }
        self.grow(shared);
        fed
    }

    /// Takes memory from the budget for what has arrived, or moves to disk.
    fn grow<H>(&mut self, shared: &Shared<H>) {
        let Place::Memory(bytes) = &self.place else { return };
        let held = self.permits.as_ref().map_or(0, |permits| permits.num_permits() as u64 * 1024);
        // What the buffer has taken, not only what it holds.
        let taken = bytes.capacity() as u64;
        if taken <= held {
            return;
        }
        let spool = bytes.len() as u64 > shared.settings.limits.spool_above.0;
        match Arc::clone(&shared.memory.arriving).try_acquire_many_owned(kib(taken - held)) {
            Ok(more) if !spool => {
                match &mut self.permits {
                    Some(permits) => permits.merge(more),
                    none => *none = Some(more),
                }
                shared.metrics.memory.set(shared.memory.used());
            }
            _ => {
                let file =
                    tempfile::tempfile_in(&shared.spool).and_then(|mut file| file.write_all(bytes).map(|()| file));
                self.place = match file {
                    Ok(file) => Place::Disk(file),
                    Err(error) => {
                        // A client can send as many large messages as the disk has no room for.
                        match locked(&shared.quiet).admits(None, Time::now()) {
                            None => drop(shared.metrics.lines_left_out.inc()),
                            Some(lines) => tracing::warn!(kind = ?error.kind(), lines, "spool file failed"),
                        }
                        Place::Lost
                    }
                };
                self.permits = None;
            }
        }
    }

    /// The whole message in memory, with its share of the budget; `None` if there is no room.
    pub(super) async fn into_memory<H>(self, shared: &Shared<H>) -> Option<(Bytes, Option<OwnedSemaphorePermit>)> {
        match self.place {
            Place::Memory(bytes) => Some((bytes.into(), self.permits)),
            Place::Lost => None,
            Place::Disk(mut file) => {
                // Judging needs room for what goes out, too.
                let wanted = kib(self.size.saturating_mul(2)).min(shared.memory.whole_kib);
                let permits = timeout(MEMORY_WAIT, Arc::clone(&shared.memory.whole).acquire_many_owned(wanted))
                    .await
                    .ok()?
                    .ok()?;
                shared.metrics.memory.set(shared.memory.used());
                let size = usize::try_from(self.size).ok()?;
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = Vec::with_capacity(size);
                    file.rewind()?;
                    file.read_to_end(&mut bytes).map(|_| bytes)
                });
                let bytes = read.await.ok()?.ok()?;
                Some((bytes.into(), Some(permits)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_what_was_announced() {
        // octets there, more, announced, room at least and at most
        let cases = [
            (0, 1000, 0, 1000, 2048),
            (0, 1000, 5000, 6024, 6024),
            (0, 1000, 1 << 40, 16_000, 16_000),
            (15_000, 2000, 1 << 20, 16_000 * 17, 17_000 * 16),
            (5000, 4000, 5000, 9000, 20_000),
        ];
        for (there, more, announced, least, most) in cases {
            let mut bytes = vec![0; there];
            make_room(&mut bytes, more, announced);
            let room = bytes.capacity();
            assert!((least..=most).contains(&room), "{there} {more} {announced}: {room}");
        }
    }
}
