//! [`lock`]: the mutexes of the state in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also one whose holder has panicked. None should: what comes from outside is added up with sums that saturate,
/// which a lint of `live` holds, and all other sums are sizes and moments of this process.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
