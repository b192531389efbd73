//! Free space where mail is kept: new mail is refused while there is little of it, so that what was accepted can still be delivered and written down.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a look at the file system is good for.
const FRESH: Duration = Duration::from_secs(1);
/// Files that it has to have room for.
const FILES: u64 = 16;

/// What one directory's file system has left.
pub(super) struct Space {
    directory: PathBuf,
    /// Octets; 0: nobody looks.
    floor: u64,
    begun: Instant,
    /// Milliseconds since `begun` of the last look, less one second so that the first is due at once.
    looked: AtomicU64,
    enough: AtomicBool,
}

impl Space {
    pub(super) fn new(directory: PathBuf, floor: u64) -> Self {
        let begun = Instant::now();
        Self { directory, floor, begun, looked: AtomicU64::new(0), enough: AtomicBool::new(true) }
    }

    /// Whether new mail may come. Looks at the file system once a second at most.
    pub(super) fn is_enough(&self) -> bool {
        if self.floor == 0 {
            return true;
        }
        let fresh = u64::try_from(FRESH.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(fresh);
        let looked = self.looked.load(Ordering::Relaxed);
        let due = now.saturating_sub(looked) >= fresh;
        // One of those who come at the same time looks; the others take the last answer.
        if due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let enough = self.look();
            if self.enough.swap(enough, Ordering::Relaxed) != enough {
                if enough {
                    tracing::info!("there is space again: new mail is accepted");
                } else {
                    tracing::error!(
                        floor = self.floor,
                        "little space is left: new mail is refused until there is more"
                    );
                }
            }
        }
        self.enough.load(Ordering::Relaxed)
    }

    fn look(&self) -> bool {
        // Where the system does not say, a write will.
        let Ok(found) = nix::sys::statvfs::statvfs(&self.directory) else { return true };
        let free = found.blocks_available().saturating_mul(found.fragment_size());
        // Some file systems count no files.
        let files = found.files() == 0 || found.files_available() >= FILES;
        free >= self.floor && files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_seen() {
        for (floor, enough) in [(0, true), (1, true), (u64::MAX, false)] {
            let space = Space::new(std::env::temp_dir(), floor);
            assert_eq!((space.is_enough(), space.is_enough()), (enough, enough), "{floor}");
        }
        assert!(Space::new("/nowhere".into(), 1).is_enough());
    }
}
