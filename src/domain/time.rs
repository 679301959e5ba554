//! Points in time, and the clock that reads the current one.
//!
//! A time is a [`Timestamp`], a length of time a [`Duration`]. Code that needs the current time takes it as an argument
//! or holds a [`Clock`] that it was built with.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(test)]
use std::sync::Arc;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time (UTC), to the millisecond. Arithmetic stays at [`Timestamp::MIN`] and [`Timestamp::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of 1970.
    pub const EPOCH: Self = Self(0);
    /// Before all others.
    pub const MIN: Self = Self(i64::MIN);
    /// After all others.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// From seconds since the epoch.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time this much later.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(by)))
    }

    /// The time this much earlier.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(whole_ms(by)))
    }

    /// The time since an earlier one; zero if that is later.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// To the second, as in `2026-12-31T18:00:00Z` (RFC 3339); `None` beyond the year 9999.
    #[must_use]
    pub fn rfc3339(self) -> Option<String> {
        OffsetDateTime::from_unix_timestamp(self.as_secs()).ok()?.format(&Rfc3339).ok()
    }
}

/// A length of time in whole milliseconds, `i64::MAX` if it is longer than that.
#[must_use]
pub fn whole_ms(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(whole_ms(since)),
            Err(before) => Self(0_i64.saturating_sub(whole_ms(before.duration()))),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// A time at which something ends, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// At this time.
    At(Timestamp),
    /// It has no end.
    Never,
}

impl Deadline {
    /// The time; `None` for [`Deadline::Never`].
    #[must_use]
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }
}

/// A [`Timestamp`] that several threads read and write.
#[derive(Debug)]
pub struct AtomicTimestamp(AtomicI64);

impl Default for AtomicTimestamp {
    /// [`Timestamp::MIN`]: what has never happened happened before all else.
    fn default() -> Self {
        Self::new(Timestamp::MIN)
    }
}

impl AtomicTimestamp {
    /// With this value.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.0))
    }

    /// The value.
    pub fn load(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }

    /// Sets the value.
    pub fn store(&self, at: Timestamp) {
        self.0.store(at.0, Relaxed);
    }

    /// Sets the value to `now`, unless it is less than `least` ago. Returns whether it did: of several threads at the
    /// same time one does.
    pub fn advance(&self, now: Timestamp, least: Duration) -> bool {
        let next = |last: i64| (Timestamp(last).saturating_add(least) <= now).then_some(now.0);
        self.0.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

/// Where the current time comes from. Clones read the same clock; in the shipped program it takes no memory.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    #[cfg(test)]
    Manual(Arc<AtomicTimestamp>),
}

impl Clock {
    /// The clock of the system.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at a time until it is set.
    #[cfg(test)]
    pub(crate) fn manual(at: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicTimestamp::new(at))))
    }

    /// Sets a manual clock forward.
    ///
    /// # Panics
    /// For the clock of the system.
    #[cfg(test)]
    pub(crate) fn advance(&self, by: Duration) {
        let Source::Manual(at) = &self.0 else { panic!("the clock of the system cannot be set") };
        at.store(at.load().saturating_add(by));
    }

    /// The current time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock of the system")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => SystemTime::now().into(),
            #[cfg(test)]
            Source::Manual(at) => at.load(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stays_within_the_range() {
        let (second, long) = (Duration::from_secs(1), Duration::MAX);
        let at = Timestamp::from_ms(5_000);
        assert_eq!(at.saturating_add(second), Timestamp::from_ms(6_000));
        assert_eq!(at.saturating_sub(second), Timestamp::from_secs(4));
        assert_eq!(at.saturating_add(long), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(second), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.saturating_add(second), Timestamp::MAX);
        assert_eq!(at.saturating_duration_since(Timestamp::EPOCH), Duration::from_secs(5));
        assert_eq!(Timestamp::EPOCH.saturating_duration_since(at), Duration::ZERO, "a clock was set back");
        assert_eq!(Timestamp::MAX.saturating_duration_since(Timestamp::MIN), Duration::from_millis(i64::MAX as u64));
        assert_eq!(Timestamp::from_ms(-1).as_secs(), -1);
        assert_eq!(whole_ms(long), i64::MAX);
    }

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(Timestamp::from_ms(1_798_740_000_999).to_string(), "2026-12-31T18:00:00Z");
        assert_eq!(Timestamp::MAX.rfc3339(), None, "beyond all calendars");
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(2)), Timestamp::from_secs(-2));
    }

    #[test]
    fn an_advance_happens_once_in_a_while() {
        let (last, second) = (AtomicTimestamp::new(Timestamp::MIN), Duration::from_secs(1));
        let advanced = [0, 999, 1_000, 1_001, 5_000].map(|ms| last.advance(Timestamp::from_ms(ms), second));
        assert_eq!(advanced, [true, false, true, false, true]);
        assert_eq!(last.load(), Timestamp::from_ms(5_000));
    }

    #[test]
    fn a_manual_clock_stands_until_it_is_set() {
        let clock = Clock::manual(Timestamp::EPOCH);
        let same = clock.clone();
        clock.advance(Duration::from_millis(7));
        assert_eq!((clock.now(), same.now()), (Timestamp::from_ms(7), Timestamp::from_ms(7)));
        assert!(Clock::system().now() > Timestamp::from_secs(1_700_000_000));
    }
}
