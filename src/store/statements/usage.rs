//! Usage: what tenants have used by day, counted in the transactions in which it happens.

use std::collections::BTreeMap;

use sqlx::Row as _;
use time::{Date, OffsetDateTime, Time};

use super::{Connection, Pool};
use crate::store::{Error, UsageRow};

/// What a transaction adds. Written at its end in the order of tenants, so that two of them do not wait for each other in
/// a ring.
#[derive(Default)]
pub(super) struct Tally {
    days: BTreeMap<(String, Date), Added>,
    people: BTreeMap<String, People>,
}

#[derive(Default)]
struct Added {
    meetings: i64,
    participant_ms: i64,
    up: i64,
    down: i64,
}

/// How many more people of a tenant are present, and at most were at some time of the transaction.
#[derive(Default)]
struct People {
    more: i64,
    most: i64,
}

impl Tally {
    /// A server has made a meeting.
    pub(super) fn made(&mut self, tenant: &str, at: i64) {
        self.on(tenant, day_of(at)).meetings += 1;
    }

    /// Somebody has come.
    pub(super) fn came(&mut self, tenant: &str) {
        let people = self.people.entry(tenant.to_owned()).or_default();
        people.more += 1;
        people.most = people.most.max(people.more);
    }

    /// Somebody has left who was there since `since`. Each day has its own part of that time.
    pub(super) fn left(&mut self, tenant: &str, since: i64, until: i64) {
        for (day, ms) in by_day(since, until) {
            self.on(tenant, day).participant_ms += ms;
        }
        self.people.entry(tenant.to_owned()).or_default().more -= 1;
    }

    /// Bytes were carried.
    pub(super) fn carried(&mut self, tenant: &str, at: i64, up: i64, down: i64) {
        let added = self.on(tenant, day_of(at));
        added.up += up;
        added.down += down;
    }

    fn on(&mut self, tenant: &str, day: Date) -> &mut Added {
        self.days.entry((tenant.to_owned(), day)).or_default()
    }

    /// Writes it down; `now` is the day that a peak is of.
    pub(super) async fn write(self, tx: &mut Connection, now: i64) -> Result<(), Error> {
        for (tenant, People { more, most }) in self.people {
            let row = sqlx::query(
                "INSERT INTO present (tenant, people) VALUES ($1, $2)
                 ON CONFLICT (tenant) DO UPDATE SET people = present.people + excluded.people RETURNING people",
            )
            .bind(&tenant)
            .bind(more)
            .fetch_one(&mut *tx)
            .await?;
            let peak = row.try_get::<i64, _>(0)? - more + most;
            sqlx::query(
                "INSERT INTO usage (tenant, day, peak) VALUES ($1, $2, $3) ON CONFLICT (tenant, day) DO UPDATE
                 SET peak = excluded.peak WHERE usage.peak < excluded.peak",
            )
            .bind(&tenant)
            .bind(day_of(now).to_string())
            .bind(peak)
            .execute(&mut *tx)
            .await?;
        }
        for ((tenant, day), added) in self.days {
            sqlx::query(
                "INSERT INTO usage (tenant, day, meetings, participant_ms, bytes_up, bytes_down)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, day) DO UPDATE
                 SET meetings = usage.meetings + excluded.meetings,
                     participant_ms = usage.participant_ms + excluded.participant_ms,
                     bytes_up = usage.bytes_up + excluded.bytes_up, bytes_down = usage.bytes_down + excluded.bytes_down",
            )
            .bind(tenant)
            .bind(day.to_string())
            .bind(added.meetings)
            .bind(added.participant_ms)
            .bind(added.up)
            .bind(added.down)
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

/// What was used on the days from `from` to before `to` (`YYYY-MM-DD`), by tenant and day. Those who are present are counted
/// until `now`.
pub(in crate::store) async fn usage(pool: &Pool, from: &str, to: &str, now: i64) -> Result<Vec<UsageRow>, Error> {
    let mut all: BTreeMap<(String, String), UsageRow> = BTreeMap::new();
    let rows =
        sqlx::query("SELECT * FROM usage WHERE day >= $1 AND day < $2").bind(from).bind(to).fetch_all(pool).await?;
    for row in rows {
        let row = UsageRow {
            tenant: row.try_get("tenant")?,
            day: row.try_get("day")?,
            meetings: row.try_get("meetings")?,
            participant_ms: row.try_get("participant_ms")?,
            peak: row.try_get("peak")?,
            bytes_up: row.try_get("bytes_up")?,
            bytes_down: row.try_get("bytes_down")?,
        };
        all.insert((row.tenant.clone(), row.day.clone()), row);
    }
    let present = sqlx::query(
        "SELECT m.tenant, s.present_since FROM sessions s JOIN meetings m ON m.id = s.meeting
         WHERE s.present_since IS NOT NULL AND s.breakout IS NULL",
    )
    .fetch_all(pool)
    .await?;
    for row in present {
        let tenant: String = row.try_get("tenant")?;
        for (day, ms) in by_day(row.try_get("present_since")?, now) {
            let day = day.to_string();
            if from <= &*day && &*day < to {
                let row = all.entry((tenant.clone(), day.clone())).or_default();
                (row.tenant, row.day) = (tenant.clone(), day);
                row.participant_ms += ms;
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The day (UTC) of a moment in ms since the epoch.
fn day_of(at: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).map_or(Date::MIN, OffsetDateTime::date)
}

/// A stretch of time, in ms, by day.
fn by_day(since: i64, until: i64) -> Vec<(Date, i64)> {
    let mut parts = Vec::new();
    let mut from = since;
    while from < until {
        let day = day_of(from);
        let midnight = day.next_day().map(|next| next.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp() * 1000);
        let to = midnight.map_or(until, |midnight| midnight.min(until));
        parts.push((day, to - from));
        from = to;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_has_its_own_part_of_a_stretch() {
        const DAY: i64 = 24 * 3600 * 1000;
        let day = |n: i64| day_of(n * DAY);
        assert_eq!(by_day(DAY + 5, DAY + 9), [(day(1), 4)]);
        assert_eq!(by_day(DAY - 5, DAY + 9), [(day(0), 5), (day(1), 9)]);
        assert_eq!(by_day(DAY, 3 * DAY), [(day(1), DAY), (day(2), DAY)]);
        assert_eq!(by_day(9, 9), []);
        assert_eq!(by_day(9, 5), [], "a clock that was set back takes nothing away");
        assert_eq!(day(0).to_string(), "1970-01-01");
    }
}
