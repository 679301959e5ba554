//! What is left of meetings that have ended: their rows and sessions while something of them is still carried, and runs that
//! were given up while their server was away.

use sqlx::Row as _;

use super::{Pool, meetings::meeting_of, read};
use crate::{
    domain::{
        meeting::{AFTERGLOW, AFTERGLOW_MAX},
        time::{Timestamp, whole_ms},
    },
    store::{
        error::Error,
        rows::{Leftover, MeetingRow, MeetingState, SessionRow},
    },
};

/// The meetings that have ended and of which something is still carried.
pub(in crate::store) async fn ended(pool: &Pool, now: Timestamp) -> Result<Vec<MeetingRow>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM meetings WHERE ended_at > $2 AND ended_at + COALESCE(afterglow, $3) > $1 AND internal_id IS NOT NULL
         ORDER BY ended_at",
    );
    let rows = rows.bind(now).bind(now.saturating_sub(AFTERGLOW_MAX)).bind(whole_ms(AFTERGLOW)).fetch_all(pool).await?;
    rows.iter().map(read::meeting).collect()
}

/// Their sessions.
pub(in crate::store) async fn ended_sessions(pool: &Pool, now: Timestamp) -> Result<Vec<SessionRow>, Error> {
    let rows = sqlx::query(
        "SELECT s.id, s.meeting, s.token FROM ended_sessions s JOIN meetings m ON m.id = s.meeting
         WHERE m.ended_at > $2 AND m.ended_at + COALESCE(m.afterglow, $3) > $1",
    );
    let rows = rows.bind(now).bind(now.saturating_sub(AFTERGLOW_MAX)).bind(whole_ms(AFTERGLOW)).fetch_all(pool).await?;
    rows.iter().map(read::ended_session).collect()
}

/// The last of them that a tenant had under this internal id, or, without one, on this server.
pub(in crate::store) async fn find_ended(
    pool: &Pool,
    tenant: &str,
    internal_id: Option<&str>,
    server: Option<&str>,
    now: Timestamp,
) -> Result<Option<MeetingRow>, Error> {
    sqlx::query(
        "SELECT * FROM meetings WHERE tenant = $1 AND internal_id = COALESCE($2, internal_id)
             AND server = COALESCE($3, server) AND ended_at > $5 AND ended_at + COALESCE(afterglow, $6) > $4
         ORDER BY ended_at + COALESCE(afterglow, $6) DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(internal_id)
    .bind(server)
    .bind(now)
    .bind(now.saturating_sub(AFTERGLOW_MAX))
    .bind(whole_ms(AFTERGLOW))
    .fetch_optional(pool)
    .await?
    .as_ref()
    .map(read::meeting)
    .transpose()
}

pub(in crate::store) async fn find_ended_session(
    pool: &Pool,
    token: &[u8],
    now: Timestamp,
) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
    let row = sqlx::query("SELECT id, meeting, token FROM ended_sessions WHERE token = $1").bind(token);
    let Some(row) = row.fetch_optional(pool).await? else { return Ok(None) };
    let session = read::ended_session(&row)?;
    let meeting = meeting_of(pool, session.meeting).await?;
    let is_carried = |meeting: &MeetingRow| {
        let MeetingState::Ended { at, .. } = meeting.state else { return false };
        now < at.saturating_add(meeting.afterglow.unwrap_or(AFTERGLOW))
    };
    Ok(meeting.filter(is_carried).map(|meeting| (session, meeting)))
}

pub(in crate::store) async fn forget_ended_sessions(pool: &Pool, before: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM ended_sessions WHERE meeting IN (SELECT id FROM meetings WHERE ended_at < $1)")
        .bind(before)
        .execute(pool)
        .await?;
    Ok(())
}

pub(in crate::store) async fn leftovers(pool: &Pool, server: &str) -> Result<Vec<Leftover>, Error> {
    let rows = sqlx::query("SELECT internal_id, server_id FROM leftovers WHERE server = $1")
        .bind(server)
        .fetch_all(pool)
        .await?;
    let leftover = |row: &super::Row| -> Result<Leftover, Error> {
        let text = |at: usize| row.try_get::<String, _>(at);
        Ok(Leftover { internal_id: text(0)?.into(), server_meeting_id: text(1)?.into() })
    };
    rows.iter().map(leftover).collect()
}

pub(in crate::store) async fn forget_leftover(pool: &Pool, server: &str, internal_id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM leftovers WHERE server = $1 AND internal_id = $2")
        .bind(server)
        .bind(internal_id)
        .execute(pool)
        .await?;
    Ok(())
}

pub(in crate::store) async fn purge(pool: &Pool, before: Timestamp) -> Result<u64, Error> {
    sqlx::query("DELETE FROM leftovers WHERE since < $1").bind(before).execute(pool).await?;
    let done = sqlx::query("DELETE FROM meetings WHERE ended_at < $1").bind(before).execute(pool).await?;
    Ok(done.rows_affected())
}
