//! Says that connections cannot be accepted, and not too often.

use std::time::{Duration, Instant};

/// Says what is wrong with accepting, at most once in a second.
#[derive(Default)]
pub(crate) struct Complaints(Option<Instant>);

/// Between two lines in the log that say the same.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(1);

impl Complaints {
    pub(crate) fn of(&mut self, error: &std::io::Error) {
        if self.0.is_none_or(|last| COMPLAINT_PAUSE <= last.elapsed()) {
            self.0 = Some(Instant::now());
            tracing::warn!(%error, "failed to accept a connection");
        }
    }
}
