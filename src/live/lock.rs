//! [`lock`]: the mutexes of the state in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex whose holder cannot have panicked half way: there is nothing in between that could.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
