//! Notes: what follows from promises, many in one transaction.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{
    BEGIN, Connection, Pool,
    locks::{Locked, lock_seat, lock_session},
    tell,
    usage::Tally,
};
use crate::{
    domain::{
        ids::{InternalId, MeetingNumber, SessionNumber},
        time::Timestamp,
    },
    store::{change::Change, columns::PRESENT, error::Error, note::Note},
};

/// Writes notes. Returns the sessions that are open though they have no seat any more, each with the time since when.
pub(in crate::store) async fn write_notes(
    pool: &Pool,
    gateway: &str,
    now: Timestamp,
    notes: &[&Note],
) -> Result<BTreeMap<SessionNumber, Timestamp>, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let (mut tally, mut made, mut without_seat) = (Tally::default(), Vec::new(), BTreeMap::new());
    for note in notes {
        match note {
            Note::Created { meeting, internal_id } => {
                if created(&mut tx, *meeting, internal_id, &mut tally).await? {
                    made.push(*meeting);
                }
            }
            Note::Bound { session, token } => {
                let query = sqlx::query("UPDATE sessions SET token = $2 WHERE id = $1").bind(session);
                query.bind(&token[..]).execute(&mut *tx).await?;
            }
            Note::Opened { session, at } => {
                if !opened(&mut tx, gateway, *session, *at, now, &mut tally).await? {
                    without_seat.insert(*session, *at);
                }
            }
            Note::Closed { session, at, until, absent } => {
                without_seat.remove(session);
                let query = sqlx::query("DELETE FROM presences WHERE session = $1 AND gateway = $2").bind(session);
                query.bind(gateway).execute(&mut *tx).await?;
                closed(&mut tx, *session, at.saturating_sub(*absent), *until, &mut tally).await?;
            }
            Note::Dropped { session } => {
                sqlx::query("DELETE FROM sessions WHERE id = $1").bind(session).execute(&mut *tx).await?;
            }
        }
    }
    tally.write(&mut tx, now).await?;
    if !made.is_empty() {
        tell(&mut tx, &Change::meetings(&made)).await?;
    }
    tx.commit().await?;
    Ok(without_seat)
}

async fn created(
    tx: &mut Connection,
    meeting: MeetingNumber,
    internal_id: &InternalId,
    tally: &mut Tally,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "UPDATE meetings SET internal_id = $2 WHERE id = $1 AND internal_id IS NULL
         RETURNING tenant, created_at",
    )
    .bind(meeting)
    .bind(internal_id.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    tally.made(row.try_get("tenant")?, row.try_get("created_at")?);
    // The server has answered with a run that was given up: it is none to be ended any more.
    sqlx::query("DELETE FROM leftovers WHERE internal_id = $1").bind(internal_id.as_str()).execute(&mut *tx).await?;
    sqlx::query(
        "INSERT INTO recordings (record_id, tenant, ext_id, server)
         SELECT internal_id, tenant, ext_id, server FROM meetings WHERE id = $1 AND records AND ended_at IS NULL
         ON CONFLICT DO NOTHING",
    )
    .bind(meeting)
    .execute(tx)
    .await?;
    Ok(true)
}

/// Has a session that is open seated again whose seat had lapsed, or had been given up to another one, if there still is a
/// seat for it: nobody who is there loses theirs to nobody.
pub(in crate::store) async fn seat_again(
    pool: &Pool,
    gateway: &str,
    now: Timestamp,
    session: SessionNumber,
    at: Timestamp,
) -> Result<bool, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    if !lock_seat(&mut tx, session, now).await? {
        return Ok(false);
    }
    let mut tally = Tally::default();
    if let Some(locked) = lock_session(&mut tx, session).await? {
        present(&mut tx, gateway, session, at, &locked, &mut tally).await?;
    }
    tally.write(&mut tx, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// Returns whether the session has a seat. One that has lapsed may be somebody else's by now, and one whose meeting has ended is
/// gone with it: the room may run anew.
async fn opened(
    tx: &mut Connection,
    gateway: &str,
    session: SessionNumber,
    at: Timestamp,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<bool, Error> {
    let Some(locked) = lock_session(tx, session).await? else { return Ok(false) };
    if !locked.held.counts(now) {
        return Ok(false);
    }
    present(tx, gateway, session, at, &locked, tally).await?;
    Ok(true)
}

/// Somebody is present through a gateway, and perhaps was already through another.
async fn present(
    tx: &mut Connection,
    gateway: &str,
    session: SessionNumber,
    at: Timestamp,
    locked: &Locked,
    tally: &mut Tally,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO presences (session, gateway) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(session)
        .bind(gateway)
        .execute(&mut *tx)
        .await?;
    if locked.present_since.is_none() {
        sqlx::query("UPDATE sessions SET seat_until = $2, present_since = $3 WHERE id = $1")
            .bind(session)
            .bind(PRESENT)
            .bind(at)
            .execute(tx)
            .await?;
        if !locked.in_breakout {
            tally.came(&locked.tenant);
        }
    }
    Ok(())
}

/// A gateway has no socket of a session any more. Where no other has one, the person is gone: the seat is held until `until`.
pub(super) async fn closed(
    tx: &mut Connection,
    session: SessionNumber,
    at: Timestamp,
    until: Timestamp,
    tally: &mut Tally,
) -> Result<(), Error> {
    let Some(Locked { tenant, present_since: Some(since), in_breakout, .. }) = lock_session(tx, session).await? else {
        return Ok(());
    };
    let done = sqlx::query(
        "UPDATE sessions SET seat_until = $2, present_since = NULL
         WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM presences WHERE session = $1)",
    )
    .bind(session)
    .bind(until)
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 && !in_breakout {
        tally.left(&tenant, since, at);
    }
    Ok(())
}
