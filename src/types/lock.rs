//! How a lock is taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a mutex holds, also after somebody panicked with it: one bad message ends at most its own session. What it guards has to be whole between any two statements.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
