//! Usage: what tenants have used in a month, by day, as it is told to the operator. No names of people are in it.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{fmt, str::FromStr};

use serde_json::{Value, json};
use time::{Date, Month as MonthName};

use crate::{domain::time::whole_ms, store::UsageRow};

/// A month (UTC), as in `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: Date,
    /// The first day of the next one.
    next: Date,
}

/// A text that is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMonth;

impl fmt::Display for NoMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a month such as 2026-11")
    }
}

impl std::error::Error for NoMonth {}

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let (year, month) = text.split_once('-').ok_or(NoMonth)?;
        let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(NoMonth);
        }
        let year: i32 = year.parse().map_err(|_| NoMonth)?;
        let month: u8 = month.parse().map_err(|_| NoMonth)?;
        let month = MonthName::try_from(month).map_err(|_| NoMonth)?;
        let next_year = if month == MonthName::December { year.saturating_add(1) } else { year };
        let day = |year, month| Date::from_calendar_date(year, month, 1).map_err(|_| NoMonth);
        Ok(Self { first: day(year, month)?, next: day(next_year, month.next())? })
    }
}

impl Month {
    /// Its first day, and the first day after it (`YYYY-MM-DD`).
    #[must_use]
    pub fn days(self) -> (String, String) {
        (self.first.to_string(), self.next.to_string())
    }
}

/// The columns, in the order of [`cells`].
pub const COLUMNS: [&str; 7] = ["tenant", "day", "meetings", "participant_minutes", "peak", "bytes_up", "bytes_down"];

/// One tenant and day. Minutes have three places, so that their sum is exact to the second.
#[must_use]
pub fn cells(row: &UsageRow) -> Value {
    let ms = whole_ms(row.participant_time);
    let minutes = format!("{}.{:03}", ms / 60_000, ms % 60_000 / 60);
    json!({
        "tenant": row.tenant,
        "day": row.day,
        "meetings": row.meetings,
        "participant_minutes": minutes.parse::<f64>().unwrap_or_default(),
        "peak": row.peak,
        "bytes_up": row.bytes_up,
        "bytes_down": row.bytes_down,
    })
}

/// Rows as CSV (RFC 4180) with a line of headings. No cell needs quotes: ids, days and numbers have neither commas nor
/// quotes.
#[must_use]
pub fn csv(rows: &[Value]) -> String {
    let mut lines = vec![COLUMNS.join(",")];
    lines.extend(rows.iter().map(|row| {
        let cells = COLUMNS.map(|key| match &row[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        cells.join(",")
    }));
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_month_has_a_first_day_and_one_after_it() {
        for (text, days) in [
            ("2026-11", Some(("2026-11-01", "2026-12-01"))),
            ("2026-12", Some(("2026-12-01", "2027-01-01"))),
            ("2024-02", Some(("2024-02-01", "2024-03-01"))),
            ("2026-13", None),
            ("2026-00", None),
            ("2026-1", None),
            ("26-11", None),
            ("2026-11-01", None),
            ("+026-11", None),
            ("", None),
        ] {
            let found = text.parse::<Month>().ok().map(Month::days);
            assert_eq!(found, days.map(|(from, to)| (from.to_owned(), to.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn what_is_told_has_a_line_per_tenant_and_day() {
        let row = UsageRow {
            tenant: "wagtail".into(),
            day: "2026-11-25".into(),
            meetings: 2,
            participant_time: Duration::from_millis(90_500),
            peak: 3,
            bytes_up: 10,
            bytes_down: 2_000_000_000_000,
        };
        assert_eq!(
            csv(&[cells(&row)]),
            "tenant,day,meetings,participant_minutes,peak,bytes_up,bytes_down\r\n\
             wagtail,2026-11-25,2,1.508,3,10,2000000000000"
        );
    }
}
