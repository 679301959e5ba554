//! Seats: promised, promised anew, found.

use std::collections::HashMap;

use sqlx::Row as _;

use super::{
    BEGIN, Connection, LOCK_NOT_OPEN, ONE_AT_A_TIME, Pool,
    locks::{Room, lock_meeting},
    meetings::meeting_of,
    read,
};
use crate::{
    domain::{
        denial::Denial,
        ids::{MeetingNumber, SessionNumber},
        limits::Limit,
        session::GRACE,
        time::Timestamp,
    },
    store::{
        columns::{PRESENT, REPLACED},
        error::Error,
        rows::{MeetingRow, NewSession, Seated, Seats, SessionRow},
    },
};

pub(in crate::store) async fn admit_session(pool: &Pool, new: &NewSession<'_>) -> Result<Seated, Error> {
    if ONE_AT_A_TIME {
        // Nobody else has a connection: what was read stays true without a transaction, which would cost as much again.
        return seat(&mut *pool.acquire().await?, new).await;
    }
    let mut tx = pool.begin_with(BEGIN).await?;
    lock_meeting(&mut tx, new.meeting).await?;
    let seated = seat(&mut tx, new).await?;
    tx.commit().await?;
    Ok(seated)
}

/// Writes a session, if there is a seat for it: a free one, or that of another session of the same person. The meeting has
/// as many for itself as for all its breakout rooms together; strangers are in the meeting itself. Should it not come to
/// be written that the other has none any more, that one's lapses by itself.
pub(in crate::store) async fn seat(connection: &mut Connection, new: &NewSession<'_>) -> Result<Seated, Error> {
    let instead_of = match new.user {
        Some(user) => lock_not_open(connection, new, user).await?,
        None => None,
    };
    let row = sqlx::query(
        "INSERT INTO sessions (meeting, seat_until, user_key, breakout) SELECT id, $2, $5, $7 FROM meetings
         WHERE id = $1 AND ended_at IS NULL AND ($4 < 0 OR $4 - CASE WHEN $8 THEN 0 ELSE strangers END >
             (SELECT COUNT(*) FROM sessions
              WHERE meeting = $1 AND seat_until > $3 AND id <> $6 AND (breakout IS NOT NULL) = $8))
         RETURNING id",
    )
    .bind(new.meeting)
    .bind(new.held)
    .bind(new.now)
    .bind(bound(new.seats))
    .bind(new.user.map(|user| &user[..]))
    .bind(instead_of.map_or(0, SessionNumber::get))
    .bind(new.breakout)
    .bind(new.breakout.is_some())
    // To its end, where it may fail yet: it may be a transaction of its own.
    .fetch_all(&mut *connection)
    .await?;
    let Some(row) = row.first() else {
        // It is full, or has ended a moment ago, as another gateway knows already.
        let runs = lock_meeting(connection, new.meeting).await?.is_some();
        return Err(if runs { Denial::MaxParticipantsReached } else { Denial::ServerUnavailable }.into());
    };
    if let Some(other) = instead_of {
        // Who has come and gone has less time left than who is still to come.
        sqlx::query("UPDATE sessions SET seat_until = CASE WHEN seat_until > $2 THEN $3 ELSE 0 END WHERE id = $1")
            .bind(other)
            .bind(new.now.saturating_add(GRACE))
            .bind(REPLACED)
            .execute(connection)
            .await?;
    }
    Ok(Seated { id: row.try_get(0)?, instead_of })
}

/// Deletes a session that was replaced before anybody came with it, and that has no seat again.
pub(in crate::store) async fn forget_replaced(pool: &Pool, session: SessionNumber) -> Result<bool, Error> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE id = $1 AND seat_until = $2 AND present_since IS NULL
         AND NOT EXISTS (SELECT 1 FROM presences WHERE session = $1)",
    )
    .bind(session)
    .bind(REPLACED)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The oldest session of the same person in the same room that has a seat and is not open. One join, one seat: somebody with
/// two devices has two. One that opens at this very moment, while this waits for it, is open: a row that was waited for is looked at again.
async fn lock_not_open(
    connection: &mut Connection,
    new: &NewSession<'_>,
    user: &[u8],
) -> Result<Option<SessionNumber>, Error> {
    let row = sqlx::query(LOCK_NOT_OPEN)
        .bind(new.meeting)
        .bind(new.now)
        .bind(PRESENT)
        .bind(user)
        .bind(new.breakout)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

pub(in crate::store) async fn readmit_session(
    pool: &Pool,
    meeting: MeetingNumber,
    session: SessionNumber,
    now: Timestamp,
    until: Timestamp,
    seats: Limit<u32>,
) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let Some(Room { strangers, .. }) = lock_meeting(&mut tx, meeting).await? else {
        return Err(Denial::ServerUnavailable.into());
    };
    let done = sqlx::query(
        "UPDATE sessions SET seat_until = CASE WHEN seat_until > $2 THEN seat_until ELSE $2 END, waits = FALSE
         WHERE id = $1 AND ($4 < 0 OR $4 - CASE WHEN breakout IS NULL THEN $6 ELSE 0 END >
             (SELECT COUNT(*) FROM sessions AS other WHERE other.meeting = $5 AND other.seat_until > $3
              AND other.id <> $1 AND (other.breakout IS NULL) = (sessions.breakout IS NULL)))",
    )
    .bind(session)
    .bind(until)
    .bind(now)
    .bind(bound(seats))
    .bind(meeting)
    .bind(strangers)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() != 1 {
        return Err(Denial::MaxParticipantsReached.into());
    }
    tx.commit().await?;
    Ok(())
}

/// A guest waits to be let in: without a seat.
pub(in crate::store) async fn wait_session(pool: &Pool, session: SessionNumber) -> Result<(), Error> {
    sqlx::query("UPDATE sessions SET seat_until = 0, waits = TRUE WHERE id = $1").bind(session).execute(pool).await?;
    Ok(())
}

pub(in crate::store) async fn recent_sessions(
    pool: &Pool,
    meeting: MeetingNumber,
    since: Timestamp,
) -> Result<u32, Error> {
    let row = sqlx::query("SELECT COUNT(*) FROM sessions WHERE meeting = $1 AND seat_until > $2 AND breakout IS NULL")
        .bind(meeting)
        .bind(since)
        .fetch_one(pool)
        .await?;
    Ok(u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX))
}

pub(in crate::store) async fn seats(pool: &Pool, now: Timestamp) -> Result<HashMap<MeetingNumber, Seats>, Error> {
    let rows = sqlx::query(
        "SELECT meeting, COUNT(*), COUNT(CASE WHEN seat_until = $2 THEN 1 END) FROM sessions
         WHERE seat_until > $1 AND breakout IS NULL GROUP BY meeting",
    )
    .bind(now)
    .bind(PRESENT)
    .fetch_all(pool)
    .await?;
    let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    rows.iter()
        .map(|row| {
            let seats = Seats { taken: number(row.try_get(1)?), present: number(row.try_get(2)?) };
            Ok((row.try_get(0)?, seats))
        })
        .collect()
}

pub(in crate::store) async fn set_strangers(pool: &Pool, meeting: MeetingNumber, strangers: u32) -> Result<(), Error> {
    sqlx::query("UPDATE meetings SET strangers = $2 WHERE id = $1")
        .bind(meeting)
        .bind(i64::from(strangers))
        .execute(pool)
        .await?;
    Ok(())
}

pub(in crate::store) async fn find_session(
    pool: &Pool,
    token: &[u8],
) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
    let row = sqlx::query(
        "SELECT id, meeting, token, seat_until, breakout, waits FROM sessions WHERE token = $1 AND EXISTS
             (SELECT 1 FROM meetings WHERE id = sessions.meeting AND ended_at IS NULL)",
    )
    .bind(token)
    .fetch_optional(pool)
    .await?;
    let Some(session) = row.as_ref().map(read::session).transpose()? else { return Ok(None) };
    Ok(meeting_of(pool, session.meeting).await?.map(|meeting| (session, meeting)))
}

pub(in crate::store) async fn sessions(pool: &Pool) -> Result<Vec<SessionRow>, Error> {
    sqlx::query(
        "SELECT s.id, s.meeting, s.token, s.seat_until, s.breakout, s.waits FROM sessions s JOIN meetings m ON m.id = s.meeting
         WHERE m.ended_at IS NULL AND s.token IS NOT NULL",
    )
    .fetch_all(pool)
    .await?
    .iter()
    .map(read::session)
    .collect()
}

/// A bound as the statements take it: less than 0 for none.
fn bound(limit: Limit<u32>) -> i64 {
    match limit {
        Limit::AtMost(n) => i64::from(n),
        Limit::Unlimited => -1,
    }
}
