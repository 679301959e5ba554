//! Meetings: their life, and how long what belongs to one lasts.

use std::{sync::Arc, time::Duration};

use super::ids::InternalId;

/// Where a meeting that has not ended is in its life. It goes from reserved or orphaned to running, and never back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Its room is reserved, and this gateway asks a server for it.
    Reserved,
    /// Its room is reserved by another gateway, which died before the answer came, or is slow.
    Orphaned {
        /// The other gateway.
        of: Arc<str>,
    },
    /// Its server has made it.
    Running {
        /// The server's id of this run.
        internal_id: InternalId,
    },
}

/// How long the traffic of a meeting is still carried after it has ended: people look at its last page, give feedback, open the
/// dashboard.
pub const AFTERGLOW: Duration = Duration::from_secs(15 * 60);
/// The longest that is kept, for whom a server keeps the dashboard for ever.
pub const AFTERGLOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long what follows the end is carried where the server was told to keep the learning dashboard for a while: zero is for
/// ever. A minute longer, since our clock of the end may be early.
#[must_use]
pub fn afterglow(dashboard: Option<Duration>) -> Duration {
    match dashboard {
        Some(Duration::ZERO) => AFTERGLOW_MAX,
        Some(kept) => kept.saturating_add(Duration::from_secs(60)).clamp(AFTERGLOW, AFTERGLOW_MAX),
        None => AFTERGLOW,
    }
}
