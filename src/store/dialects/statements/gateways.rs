//! The gateways that share the store: who lives, who does what for all, and what is left of those that died.

use sqlx::Row as _;

use super::{BEGIN, Pool, notes::closed, usage::Tally};
use crate::{
    domain::{ids::ServerId, time::Timestamp},
    store::{columns::PRESENT, error::Error},
};

pub(in crate::store) async fn ping(pool: &Pool) -> Result<(), Error> {
    sqlx::query("SELECT 1").execute(pool).await?;
    Ok(())
}

/// Says that a gateway lives. Returns whether the store had it among the living.
pub(in crate::store) async fn heartbeat(pool: &Pool, gateway: &str, until: Timestamp) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE gateways SET alive_until = $2 WHERE id = $1")
        .bind(gateway)
        .bind(until)
        .execute(pool)
        .await?;
    if done.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query("INSERT INTO gateways (id, alive_until) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(gateway)
        .bind(until)
        .execute(pool)
        .await?;
    Ok(false)
}

pub(in crate::store) async fn is_alive(pool: &Pool, gateway: &str, now: Timestamp) -> Result<bool, Error> {
    let row = sqlx::query("SELECT 1 FROM gateways WHERE id = $1 AND alive_until > $2")
        .bind(gateway)
        .bind(now)
        .fetch_optional(pool)
        .await?;
    Ok(row.is_some())
}

/// Takes or keeps a lease. Returns whether the gateway has it until `until`.
pub(in crate::store) async fn lead(
    pool: &Pool,
    name: &str,
    gateway: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Error> {
    let rows = sqlx::query(
        "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $4) ON CONFLICT (name) DO UPDATE
         SET holder = excluded.holder, until = excluded.until WHERE leases.holder = $2 OR leases.until <= $3
         RETURNING holder",
    )
    .bind(name)
    .bind(gateway)
    .bind(now)
    .bind(until)
    // To its end: with its first row it is not committed yet.
    .fetch_all(pool)
    .await?;
    Ok(!rows.is_empty())
}

/// Gives up what a gateway does for all.
pub(in crate::store) async fn resign(pool: &Pool, gateway: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM leases WHERE holder = $1").bind(gateway).execute(pool).await?;
    Ok(())
}

/// The gateways other than `but` that are taken to live no longer than until `before`, each with that time, in its order:
/// who was present through two of them was there until the last one was heard of. Those that nothing is known of but that
/// somebody is present through them are among the last.
pub(in crate::store) async fn dead(
    pool: &Pool,
    but: &str,
    before: Timestamp,
) -> Result<Vec<(String, Timestamp)>, Error> {
    let rows = sqlx::query(
        "SELECT id, alive_until FROM gateways WHERE id <> $1 AND alive_until <= $2
         UNION SELECT gateway, $2 FROM presences WHERE gateway <> $1 AND gateway NOT IN (SELECT id FROM gateways)
         ORDER BY 2",
    )
    .bind(but)
    .bind(before)
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What a gateway that has died leaves: those who were present through it left at `at`, and have a seat until `until`, to
/// come back by another way.
pub(in crate::store) async fn bury(pool: &Pool, gateway: &str, at: Timestamp, until: Timestamp) -> Result<(), Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let sessions = sqlx::query("DELETE FROM presences WHERE gateway = $1 RETURNING session")
        .bind(gateway)
        .fetch_all(&mut *tx)
        .await?;
    let mut tally = Tally::default();
    for session in sessions {
        closed(&mut tx, session.try_get(0)?, at, until, &mut tally).await?;
    }
    tally.write(&mut tx, at).await?;
    sqlx::query("DELETE FROM gateways WHERE id = $1").bind(gateway).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Seats that are present, and no gateway says so: of a release that did not write that down.
pub(in crate::store) async fn hold_unattended(pool: &Pool, until: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "UPDATE sessions SET seat_until = $1
         WHERE seat_until = $2 AND NOT EXISTS (SELECT 1 FROM presences WHERE session = sessions.id)",
    )
    .bind(until)
    .bind(PRESENT)
    .execute(pool)
    .await?;
    Ok(())
}

pub(in crate::store) async fn report(pool: &Pool, server: &ServerId, report: &str, at: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO server_reports (server, report, at) VALUES ($1, $2, $3)
         ON CONFLICT (server) DO UPDATE SET report = excluded.report, at = excluded.at",
    )
    .bind(server.as_str())
    .bind(report)
    .bind(at)
    .execute(pool)
    .await?;
    Ok(())
}

/// What was last found of each server, with the time.
pub(in crate::store) async fn reports(pool: &Pool) -> Result<Vec<(String, String, Timestamp)>, Error> {
    let rows = sqlx::query("SELECT server, report, at FROM server_reports").fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
