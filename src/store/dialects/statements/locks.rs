//! Meetings and sessions that nobody else changes while a transaction lives, and what is read of them under the lock.

use sqlx::Row as _;

use super::{Connection, LOCK_MEETING, LOCK_SESSION};
use crate::{
    domain::{
        ids::{MeetingNumber, SessionNumber},
        session::Held,
        time::Timestamp,
    },
    store::error::Error,
};

/// The seats of a running meeting.
pub(super) struct Room {
    /// How many people take seats without a session of ours.
    pub(super) strangers: i64,
    /// How many there are; `None` for no bound.
    seats: Option<i64>,
}

/// A running meeting; `None` for one that has ended. Nobody else counts its seats, or ends it, while this transaction lives.
pub(super) async fn lock_meeting(tx: &mut Connection, meeting: MeetingNumber) -> Result<Option<Room>, Error> {
    let Some(row) = sqlx::query(LOCK_MEETING).bind(meeting).fetch_optional(tx).await? else { return Ok(None) };
    Ok(Some(Room { strangers: row.try_get("strangers")?, seats: row.try_get("participants")? }))
}

/// Whether there is a seat for a session of a running meeting, or of its breakout rooms, its own not counted. Nobody else
/// counts them while this transaction lives.
pub(super) async fn lock_seat(tx: &mut Connection, session: SessionNumber, now: Timestamp) -> Result<bool, Error> {
    let row = sqlx::query("SELECT meeting, breakout FROM sessions WHERE id = $1");
    let Some(row) = row.bind(session).fetch_optional(&mut *tx).await? else { return Ok(false) };
    let meeting: MeetingNumber = row.try_get(0)?;
    let in_breakout = row.try_get::<Option<String>, _>(1)?.is_some();
    // In the order of a join: first the meeting, then a session.
    let Some(room) = lock_meeting(tx, meeting).await? else { return Ok(false) };
    let Some(seats) = room.seats else { return Ok(true) };
    let others = sqlx::query(
        "SELECT COUNT(*) FROM sessions
         WHERE meeting = $1 AND seat_until > $2 AND id <> $3 AND (breakout IS NOT NULL) = $4",
    )
    .bind(meeting)
    .bind(now)
    .bind(session)
    .bind(in_breakout)
    .fetch_one(tx)
    .await?;
    let strangers = if in_breakout { 0 } else { room.strangers };
    Ok(others.try_get::<i64, _>(0)? < seats.saturating_sub(strangers))
}

/// A session that nobody else changes while this transaction lives.
pub(super) struct Locked {
    pub(super) tenant: String,
    pub(super) held: Held,
    pub(super) present_since: Option<Timestamp>,
    /// Whether it is in a breakout room: its meeting, open beside it, is where somebody counts as present.
    pub(super) in_breakout: bool,
}

/// A session of a meeting, `None` once that has ended.
pub(super) async fn lock_session(tx: &mut Connection, session: SessionNumber) -> Result<Option<Locked>, Error> {
    let Some(row) = sqlx::query(LOCK_SESSION).bind(session).fetch_optional(tx).await? else { return Ok(None) };
    Ok(Some(Locked {
        tenant: row.try_get("tenant")?,
        held: row.try_get("seat_until")?,
        present_since: row.try_get("present_since")?,
        in_breakout: row.try_get::<Option<String>, _>("breakout")?.is_some(),
    }))
}
