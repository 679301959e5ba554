//! Meetings: promised, moved, given back, ended, found while they run.

use std::time::Duration;

use sqlx::Row as _;

use super::{BEGIN, Connection, Pool, lock_tenant, locks::lock_meeting, read, tell, usage::Tally};
use crate::{
    domain::{
        admission::RoomUsage,
        denial::Denial,
        ids::MeetingNumber,
        time::{Timestamp, whole_ms},
    },
    store::{
        change::Change,
        columns::length,
        error::Error,
        rows::{Admitted, MeetingRow, NewMeeting, Run},
    },
};

/// The meeting that runs under an id of a tenant: there is one at most.
const RUNNING_ROOM: &str = "SELECT * FROM meetings WHERE tenant = $1 AND ext_id = $2 AND ended_at IS NULL";

pub(in crate::store) async fn admit_meeting(
    pool: &Pool,
    new: &NewMeeting<'_>,
    decide: Option<impl FnOnce(RoomUsage) -> Result<(), Denial>>,
) -> Result<Admitted, Error> {
    let Some(decide) = decide else {
        let mut connection = pool.acquire().await?;
        return match insert_meeting(&mut connection, new).await? {
            Some(id) => Ok(Admitted::New { id, used: Duration::ZERO }),
            None => existing(&mut connection, new).await,
        };
    };
    let mut tx = pool.begin_with(BEGIN).await?;
    lock_tenant(&mut tx, new.tenant.as_str()).await?;
    // A room that is open is no new one: first the row, which its id forbids or allows, then the count of the others.
    let Some(id) = insert_meeting(&mut tx, new).await? else {
        return existing(&mut tx, new).await;
    };
    let usage = room_usage(&mut tx, new).await?;
    decide(usage)?;
    tx.commit().await?;
    Ok(Admitted::New { id, used: usage.used })
}

pub(in crate::store) async fn rerun_meeting(
    pool: &Pool,
    old: MeetingNumber,
    new: &NewMeeting<'_>,
) -> Result<Option<MeetingNumber>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    // A run that has ended has left its place: another room may have it.
    if lock_meeting(&mut tx, old).await?.is_none() {
        return Ok(None);
    }
    end(&mut tx, old, new.now).await?;
    let id = insert_meeting(&mut tx, new).await?;
    tell(&mut tx, &Change::meetings(&[old])).await?;
    tx.commit().await?;
    Ok(id)
}

pub(in crate::store) async fn restart_meeting(
    pool: &Pool,
    old: &Run<'_>,
    new: &NewMeeting<'_>,
) -> Result<Option<MeetingNumber>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    // Of two gateways that give one run up, one begins the next.
    if lock_meeting(&mut tx, old.id).await?.is_none() {
        return Ok(None);
    }
    let present = sqlx::query("SELECT 1 FROM sessions WHERE meeting = $1 AND present_since IS NOT NULL LIMIT 1")
        .bind(old.id)
        .fetch_optional(&mut *tx)
        .await?;
    if present.is_some() {
        return Err(Denial::ServerUnavailable.into());
    }
    if let Some(internal_id) = old.internal_id {
        sqlx::query(
            "INSERT INTO leftovers (server, internal_id, server_id, since) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(old.server.as_str())
        .bind(internal_id.as_str())
        .bind(old.server_meeting_id.as_str())
        .bind(new.now)
        .execute(&mut *tx)
        .await?;
    }
    end(&mut tx, old.id, new.now).await?;
    let id = insert_meeting(&mut tx, new).await?;
    tell(&mut tx, &Change::meetings(&[old.id])).await?;
    tx.commit().await?;
    Ok(id)
}

pub(in crate::store) async fn used(
    pool: &Pool,
    tenant: &str,
    ext_id: &str,
    since: Timestamp,
) -> Result<Duration, Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(ended_at - created_at), 0) AS BIGINT) FROM meetings
         WHERE tenant = $1 AND ext_id = $2 AND ended_at > $3",
    )
    .bind(tenant)
    .bind(ext_id)
    .bind(since)
    .fetch_one(pool)
    .await?;
    Ok(length(row.try_get(0)?))
}

pub(in crate::store) async fn move_meeting(
    pool: &Pool,
    id: MeetingNumber,
    server: &str,
    by: &str,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE meetings SET server = $2 WHERE id = $1 AND owner = $3 AND internal_id IS NULL AND ended_at IS NULL",
    )
    .bind(id)
    .bind(server)
    .bind(by)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives back a promise, as long as it is `of` a gateway; with `unanswered` only one that has no answer either.
pub(in crate::store) async fn abandon_meeting(
    pool: &Pool,
    id: MeetingNumber,
    now: Timestamp,
    of: &str,
    unanswered: bool,
) -> Result<bool, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let own = sqlx::query(
        "UPDATE meetings SET owner = NULL
         WHERE id = $1 AND owner = $2 AND (NOT $3 OR internal_id IS NULL AND ended_at IS NULL)",
    )
    .bind(id)
    .bind(of)
    .bind(unanswered)
    .execute(&mut *tx)
    .await?;
    if own.rows_affected() == 0 {
        return Ok(false);
    }
    // Its server may have let people in, and be slow to tell.
    end(&mut tx, id, now).await?;
    sqlx::query("DELETE FROM meetings WHERE id = $1").bind(id).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

pub(in crate::store) async fn end_meeting(pool: &Pool, id: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let had_come = end(&mut tx, id, now).await?;
    tell(&mut tx, &Change::meetings(&[id])).await?;
    tx.commit().await?;
    Ok(had_come)
}

pub(in crate::store) async fn unanswered(pool: &Pool, before: Timestamp) -> Result<Vec<MeetingRow>, Error> {
    sqlx::query("SELECT * FROM meetings WHERE ended_at IS NULL AND internal_id IS NULL AND created_at < $1")
        .bind(before)
        .fetch_all(pool)
        .await?
        .iter()
        .map(read::meeting)
        .collect()
}

pub(in crate::store) async fn take_over_meeting(
    pool: &Pool,
    id: MeetingNumber,
    from: &str,
    by: &str,
) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE meetings SET owner = $3 WHERE id = $1 AND owner = $2 AND internal_id IS NULL")
        .bind(id)
        .bind(from)
        .bind(by)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::store) async fn find_meeting(
    pool: &Pool,
    tenant: &str,
    ext_id: &str,
) -> Result<Option<MeetingRow>, Error> {
    sqlx::query(RUNNING_ROOM)
        .bind(tenant)
        .bind(ext_id)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(read::meeting)
        .transpose()
}

pub(in crate::store) async fn find_internal(
    pool: &Pool,
    tenant: &str,
    internal_id: &str,
) -> Result<Option<MeetingRow>, Error> {
    sqlx::query("SELECT * FROM meetings WHERE tenant = $1 AND ended_at IS NULL AND internal_id = $2")
        .bind(tenant)
        .bind(internal_id)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(read::meeting)
        .transpose()
}

/// The meeting that a breakout room is of, once somebody has joined that.
pub(in crate::store) async fn find_breakout(
    pool: &Pool,
    tenant: &str,
    internal_id: &str,
) -> Result<Option<MeetingRow>, Error> {
    sqlx::query(
        "SELECT * FROM meetings
         WHERE id IN (SELECT meeting FROM sessions WHERE breakout = $2) AND tenant = $1 AND ended_at IS NULL",
    )
    .bind(tenant)
    .bind(internal_id)
    .fetch_optional(pool)
    .await?
    .as_ref()
    .map(read::meeting)
    .transpose()
}

pub(in crate::store) async fn find_meetings_on(
    pool: &Pool,
    tenant: &str,
    server: &str,
) -> Result<Vec<MeetingRow>, Error> {
    sqlx::query("SELECT * FROM meetings WHERE tenant = $1 AND ended_at IS NULL AND server = $2")
        .bind(tenant)
        .bind(server)
        .fetch_all(pool)
        .await?
        .iter()
        .map(read::meeting)
        .collect()
}

pub(in crate::store) async fn meeting_of(pool: &Pool, id: MeetingNumber) -> Result<Option<MeetingRow>, Error> {
    sqlx::query("SELECT * FROM meetings WHERE id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(read::meeting)
        .transpose()
}

pub(in crate::store) async fn running(pool: &Pool) -> Result<Vec<MeetingRow>, Error> {
    sqlx::query("SELECT * FROM meetings WHERE ended_at IS NULL")
        .fetch_all(pool)
        .await?
        .iter()
        .map(read::meeting)
        .collect()
}

/// Ends a meeting with its sessions, unless it has ended already. Returns whether somebody may have come.
async fn end(tx: &mut Connection, meeting: MeetingNumber, now: Timestamp) -> Result<bool, Error> {
    let ended = sqlx::query(
        "UPDATE meetings SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING tenant, internal_id",
    )
    .bind(meeting)
    .bind(now)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(ended) = ended else { return Ok(true) };
    let tenant: String = ended.try_get("tenant")?;
    sqlx::query(
        "INSERT INTO ended_sessions (token, id, meeting) SELECT token, id, meeting FROM sessions
         WHERE meeting = $1 AND token IS NOT NULL ON CONFLICT DO NOTHING",
    )
    .bind(meeting)
    .execute(&mut *tx)
    .await?;
    let sessions = sqlx::query("DELETE FROM sessions WHERE meeting = $1 RETURNING present_since, breakout")
        .bind(meeting)
        .fetch_all(&mut *tx)
        .await?;
    if sessions.is_empty() {
        // Where nobody has come nothing was recorded: the table would grow with every room that is made and ended.
        sqlx::query("DELETE FROM recordings WHERE record_id = $1")
            .bind(ended.try_get::<Option<String>, _>("internal_id")?)
            .execute(&mut *tx)
            .await?;
    }
    let mut tally = Tally::default();
    for session in &sessions {
        if let Some(since) = session.try_get("present_since")?
            && session.try_get::<Option<String>, _>("breakout")?.is_none()
        {
            tally.left(&tenant, since, now);
        }
    }
    tally.write(tx, now).await?;
    Ok(!sessions.is_empty())
}

/// Writes a new row; `None` where the tenant has a running meeting with this id.
async fn insert_meeting(tx: &mut Connection, new: &NewMeeting<'_>) -> Result<Option<MeetingNumber>, Error> {
    let rows = sqlx::query(
        "INSERT INTO meetings (tenant, account, ext_id, server, participants, created_at, records, owner, ends_at,
                               expected, afterglow)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(new.tenant.as_str())
    .bind(new.account)
    .bind(new.ext_id)
    .bind(new.server.as_str())
    .bind(new.participants.map(i64::from))
    .bind(new.now)
    .bind(new.records)
    .bind(new.owner)
    .bind(new.ends_at)
    .bind(i64::from(new.expected))
    .bind(whole_ms(new.afterglow))
    // To its end, not to its first row: where the statement is the transaction, only then it is committed.
    .fetch_all(tx)
    .await?;
    rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
}

/// The running meeting that has the id already.
async fn existing(tx: &mut Connection, new: &NewMeeting<'_>) -> Result<Admitted, Error> {
    let row = sqlx::query(RUNNING_ROOM).bind(new.tenant.as_str()).bind(new.ext_id).fetch_one(tx).await?;
    Ok(Admitted::Existing(read::meeting(&row)?))
}

/// What a tenant has beside the asking room: what runs, and what has ended and is retained. Each part has its own index, so
/// that the rooms of other tenants and of long ago cost nothing.
async fn room_usage(tx: &mut Connection, new: &NewMeeting<'_>) -> Result<RoomUsage, Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(DISTINCT ext_id) FROM
                     (SELECT ext_id, account FROM meetings WHERE tenant = $1 AND ended_at IS NULL
                      UNION ALL SELECT ext_id, account FROM meetings WHERE tenant = $1 AND ended_at > $3) AS kept
                 WHERE account = $2 AND ext_id <> $4),
                (SELECT COUNT(DISTINCT account) FROM
                     (SELECT account FROM meetings WHERE tenant = $1 AND ended_at IS NULL
                      UNION ALL SELECT account FROM meetings WHERE tenant = $1 AND ended_at > $3) AS kept
                 WHERE account <> $2),
                (SELECT CAST(COALESCE(SUM(ended_at - created_at), 0) AS BIGINT) FROM meetings
                 WHERE tenant = $1 AND ext_id = $4 AND ended_at > $5)",
    )
    .bind(new.tenant.as_str())
    .bind(new.account)
    .bind(ended_after(new.retained_since))
    .bind(new.ext_id)
    .bind(ended_after(new.runs_since))
    .fetch_one(tx)
    .await?;
    let number =
        |at: usize| -> Result<u32, Error> { Ok(u32::try_from(row.try_get::<i64, _>(at)?).unwrap_or(u32::MAX)) };
    Ok(RoomUsage { rooms: number(0)?, other_accounts: number(1)?, used: length(row.try_get(2)?) })
}

/// Since when what has ended counts: nothing has ended after the last moment.
fn ended_after(since: Option<Timestamp>) -> Timestamp {
    since.unwrap_or(Timestamp::MAX)
}
