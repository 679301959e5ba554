//! The clock of the system.

use std::time::{Duration, SystemTime};

/// The time since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the clock of the system")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
