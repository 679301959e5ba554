//! Meetings: how long what belongs to one lasts.

use std::time::Duration;

/// How long the traffic of a meeting is still carried after it has ended: people look at its last page, give feedback, open the
/// dashboard.
pub const AFTERGLOW: Duration = Duration::from_secs(15 * 60);
/// The longest that is kept, for whom a server keeps the dashboard for ever.
pub const AFTERGLOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long what follows the end is carried where the server was told to keep the learning dashboard for so many minutes: 0 is
/// for ever. A minute longer, since our clock of the end may be early.
#[must_use]
pub fn afterglow(dashboard_minutes: Option<i64>) -> Duration {
    match dashboard_minutes {
        Some(0) => AFTERGLOW_MAX,
        Some(minutes) => {
            let minutes = u64::try_from(minutes).unwrap_or(0).saturating_add(1);
            Duration::from_secs(minutes.saturating_mul(60)).clamp(AFTERGLOW, AFTERGLOW_MAX)
        }
        None => AFTERGLOW,
    }
}
