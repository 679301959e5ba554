//! Moments as text: `2026-12-31`, a whole day (UTC), or `2026-12-31T18:00:00Z` (RFC 3339).

use std::time::Duration;

use time::{
    Date, OffsetDateTime,
    format_description::well_known::Rfc3339,
    macros::{format_description, time},
};

use crate::domain::time::Timestamp;

/// A day.
const DAY: Duration = Duration::from_secs(86_400);
/// The unit of a moment.
const MS: Duration = Duration::from_millis(1);

/// A moment as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A day, by its first moment.
    Day(Timestamp),
    /// A moment with its time.
    Exact(Timestamp),
}

impl Moment {
    /// Reads a day or a moment.
    ///
    /// # Errors
    /// What it should look like.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let ms = |at: OffsetDateTime| {
            Timestamp::from_ms(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
        };
        if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
            return Ok(Self::Day(ms(day.with_time(time!(0:00)).assume_utc())));
        }
        let exact = OffsetDateTime::parse(text, &Rfc3339);
        let exact =
            exact.map_err(|_| "must be a day such as \"2026-12-31\", or a moment such as \"2026-12-31T18:00:00Z\"");
        exact.map(|at| Self::Exact(ms(at)))
    }

    /// The moment, or the first one of the day.
    pub(super) fn first(self) -> Timestamp {
        match self {
            Self::Day(at) | Self::Exact(at) => at,
        }
    }

    /// The moment, or the last one of the day.
    pub(super) fn last(self) -> Timestamp {
        match self {
            Self::Day(at) => at.saturating_add(DAY - MS),
            Self::Exact(at) => at,
        }
    }

    /// The moment, or the first one after the day.
    pub(super) fn end(self) -> Timestamp {
        match self {
            Self::Day(at) => at.saturating_add(DAY),
            Self::Exact(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_or_has_its_time() {
        const DAY_MS: i64 = 86_400_000;
        let at = Timestamp::from_ms;
        for (text, expected) in [
            ("1970-01-02", Some(Moment::Day(at(DAY_MS)))),
            ("1970-01-02T00:00:00Z", Some(Moment::Exact(at(DAY_MS)))),
            ("1970-01-02T01:00:00.5+01:00", Some(Moment::Exact(at(DAY_MS + 500)))),
            ("1970-1-2", None),
            ("1970-02-30", None),
            ("1970-01-02T00:00:00", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(Moment::parse(text).ok(), expected, "{text:?}");
        }
        let day = Moment::Day(Timestamp::EPOCH);
        assert_eq!((day.first(), day.last(), day.end()), (at(0), at(DAY_MS - 1), at(DAY_MS)));
    }
}
