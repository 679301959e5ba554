//! Usage: what tenants have used by day, counted in the transactions in which it happens, and what was carried in one of its own.
//! What cannot be counted stops nothing else. All sums stay at the greatest number there is.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, time::Duration};

use sqlx::{Connection as _, Row as _};
use time::{Date, OffsetDateTime, Time};

use super::{BEGIN, Connection, Pool};
use crate::{
    domain::time::{Timestamp, whole_ms},
    store::{
        columns::length,
        dropped,
        error::{Error, Fault},
        note::Traffic,
        rows::UsageRow,
    },
};

/// The longest stretch of presence that is counted: an end to what a clock that was set wrongly makes of it.
const STRETCH_MAX: Duration = Duration::from_secs(400 * 24 * 3600);
/// The last moment that has a day: the end of the year 9998.
const MOMENT_MAX: Timestamp = Timestamp::from_ms(253_370_764_800_000);

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
    participant_time: Duration,
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
    pub(super) fn made(&mut self, tenant: &str, at: Timestamp) {
        let meetings = &mut self.on(tenant, day_of(at)).meetings;
        *meetings = meetings.saturating_add(1);
    }

    /// Somebody has come.
    pub(super) fn came(&mut self, tenant: &str) {
        let people = self.people.entry(tenant.to_owned()).or_default();
        people.more = people.more.saturating_add(1);
        people.most = people.most.max(people.more);
    }

    /// Somebody has left who was there since `since`. Each day has its own part of that time.
    pub(super) fn left(&mut self, tenant: &str, since: Timestamp, until: Timestamp) {
        for (day, time) in by_day(since, until) {
            let all = &mut self.on(tenant, day).participant_time;
            *all = all.saturating_add(time);
        }
        let people = self.people.entry(tenant.to_owned()).or_default();
        people.more = people.more.saturating_sub(1);
    }

    /// Bytes were carried.
    pub(super) fn carried(&mut self, tenant: &str, at: Timestamp, up: i64, down: i64) {
        let added = self.on(tenant, day_of(at));
        added.up = added.up.saturating_add(up.max(0));
        added.down = added.down.saturating_add(down.max(0));
    }

    fn on(&mut self, tenant: &str, day: Date) -> &mut Added {
        self.days.entry((tenant.to_owned(), day)).or_default()
    }

    /// Writes it down; `now` is the day that a peak is of. What the database does not take is left out, and the rest of the
    /// transaction stays as it is.
    ///
    /// # Errors
    /// When the store fails: all of the transaction may be tried again.
    pub(super) async fn write(self, tx: &mut Connection, now: Timestamp) -> Result<(), Error> {
        if self.days.is_empty() && self.people.is_empty() {
            return Ok(());
        }
        let mut apart = tx.begin().await?;
        match self.write_all(&mut apart, now).await {
            Ok(()) => apart.commit().await?,
            Err(error) if error.fault() == Fault::Store => return Err(error),
            Err(error) => {
                apart.rollback().await?;
                dropped::USAGE.fetch_add(1, Relaxed);
                tracing::error!(%error, "usage discarded: the database rejected it");
            }
        }
        Ok(())
    }

    async fn write_all(self, tx: &mut Connection, now: Timestamp) -> Result<(), Error> {
        for (tenant, People { more, most }) in self.people {
            let row = sqlx::query(
                // A number that nothing counts as people begins anew.
                "INSERT INTO present (tenant, people) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET people = CASE
                     WHEN present.people BETWEEN -1000000000 AND 1000000000 THEN present.people + excluded.people
                     ELSE excluded.people END RETURNING people",
            )
            .bind(&tenant)
            .bind(more)
            .fetch_one(&mut *tx)
            .await?;
            let peak = row.try_get::<i64, _>(0)?.saturating_sub(more).saturating_add(most);
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
                // What is added is never less than nothing, so that the difference cannot overflow.
                "INSERT INTO usage (tenant, day, meetings, participant_ms, bytes_up, bytes_down)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, day) DO UPDATE SET
                 meetings = CASE WHEN usage.meetings > 9223372036854775807 - excluded.meetings
                     THEN 9223372036854775807 ELSE usage.meetings + excluded.meetings END,
                 participant_ms = CASE WHEN usage.participant_ms > 9223372036854775807 - excluded.participant_ms
                     THEN 9223372036854775807 ELSE usage.participant_ms + excluded.participant_ms END,
                 bytes_up = CASE WHEN usage.bytes_up > 9223372036854775807 - excluded.bytes_up
                     THEN 9223372036854775807 ELSE usage.bytes_up + excluded.bytes_up END,
                 bytes_down = CASE WHEN usage.bytes_down > 9223372036854775807 - excluded.bytes_down
                     THEN 9223372036854775807 ELSE usage.bytes_down + excluded.bytes_down END",
            )
            .bind(tenant)
            .bind(day.to_string())
            .bind(added.meetings)
            .bind(whole_ms(added.participant_time))
            .bind(added.up)
            .bind(added.down)
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

/// Writes what was carried.
pub(in crate::store) async fn write_traffic(pool: &Pool, traffic: &[Traffic]) -> Result<(), Error> {
    let mut tally = Tally::default();
    for Traffic { tenant, at, up, down } in traffic {
        tally.carried(tenant.as_str(), *at, *up, *down);
    }
    let mut tx = pool.begin_with(BEGIN).await?;
    // Nobody's peak is in it.
    tally.write_all(&mut tx, Timestamp::EPOCH).await?;
    tx.commit().await?;
    Ok(())
}

/// What was used on the days from `from` to before `to` (`YYYY-MM-DD`), by tenant and day. Those who are present are counted
/// until `now`.
pub(in crate::store) async fn usage(pool: &Pool, from: &str, to: &str, now: Timestamp) -> Result<Vec<UsageRow>, Error> {
    let mut all: BTreeMap<(String, String), UsageRow> = BTreeMap::new();
    // A number of another kind, which SQLite may hold, is read as the nearest whole one.
    let query = sqlx::query(
        "SELECT tenant, day, CAST(meetings AS BIGINT) AS meetings, CAST(participant_ms AS BIGINT) AS participant_ms,
                CAST(peak AS BIGINT) AS peak, CAST(bytes_up AS BIGINT) AS bytes_up, CAST(bytes_down AS BIGINT) AS bytes_down
         FROM usage WHERE day >= $1 AND day < $2",
    );
    let rows = query.bind(from).bind(to).fetch_all(pool).await?;
    for row in rows {
        let row = UsageRow {
            tenant: row.try_get("tenant")?,
            day: row.try_get("day")?,
            meetings: row.try_get("meetings")?,
            participant_time: length(row.try_get("participant_ms")?),
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
        for (day, time) in by_day(row.try_get("present_since")?, now) {
            let day = day.to_string();
            if from <= &*day && &*day < to {
                let row = all.entry((tenant.clone(), day.clone())).or_default();
                (row.tenant, row.day) = (tenant.clone(), day);
                row.participant_time = row.participant_time.saturating_add(time);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The day (UTC) of a moment.
fn day_of(at: Timestamp) -> Date {
    OffsetDateTime::from_unix_timestamp(at.as_secs()).map_or(Date::MIN, OffsetDateTime::date)
}

/// A stretch of time by day; of one that is longer than [`STRETCH_MAX`] its end.
fn by_day(since: Timestamp, until: Timestamp) -> Vec<(Date, Duration)> {
    let until = until.clamp(Timestamp::EPOCH, MOMENT_MAX);
    let mut parts = Vec::new();
    let mut from = since.clamp(Timestamp::EPOCH, MOMENT_MAX).max(until.saturating_sub(STRETCH_MAX));
    while from < until {
        let day = day_of(from);
        let midnight = day.next_day().map(|next| next.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp());
        let to = midnight.map_or(until, |midnight| Timestamp::from_secs(midnight).min(until));
        parts.push((day, to.saturating_duration_since(from)));
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
        let day = |n: i64| day_of(Timestamp::from_ms(n * DAY));
        let by_day = |since, until| {
            let parts = by_day(Timestamp::from_ms(since), Timestamp::from_ms(until));
            parts.into_iter().map(|(day, time)| (day, whole_ms(time))).collect::<Vec<_>>()
        };
        assert_eq!(by_day(DAY + 5, DAY + 9), [(day(1), 4)]);
        assert_eq!(by_day(DAY - 5, DAY + 9), [(day(0), 5), (day(1), 9)]);
        assert_eq!(by_day(DAY, 3 * DAY), [(day(1), DAY), (day(2), DAY)]);
        assert_eq!(by_day(9, 9), []);
        assert_eq!(by_day(9, 5), [], "a clock that was set back takes nothing away");
        assert_eq!(day(0).to_string(), "1970-01-01");
        assert_eq!(by_day(i64::MIN, DAY), [(day(0), DAY)], "nothing was before the first moment");
        assert_eq!(by_day(i64::MAX - 1, i64::MAX), [], "nor after the last");
        let longest = by_day(0, 1_000 * DAY);
        assert_eq!((longest.len(), longest[0]), (400, (day(600), DAY)), "an end to what a wrong clock makes");
    }
}
