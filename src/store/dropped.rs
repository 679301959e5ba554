//! What was not written down because the database does not take it: counted for this process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Notes of seats and names.
pub(super) static NOTES: AtomicU64 = AtomicU64::new(0);
/// Statistics: those of one transaction.
pub(super) static USAGE: AtomicU64 = AtomicU64::new(0);

/// What was left out, by kind.
#[must_use]
pub fn dropped() -> [(&'static str, u64); 2] {
    [("note", NOTES.load(Relaxed)), ("usage", USAGE.load(Relaxed))]
}
