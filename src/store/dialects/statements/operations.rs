//! What the operator changes.

use sqlx::{Database, Row as _, query::Query};

use super::{BEGIN, Pool, Row, read::parsed, tell};
use crate::{
    domain::{
        ids::{ServerId, TenantId},
        server_mode::ServerMode,
        time::Timestamp,
    },
    store::{change::Change, error::Error},
};

type Db = <Row as sqlx::Row>::Database;

pub(in crate::store) async fn server_modes(pool: &Pool) -> Result<Vec<(ServerId, ServerMode)>, Error> {
    let rows = sqlx::query("SELECT server, mode FROM servers").fetch_all(pool).await?;
    rows.iter().map(|row| Ok((parsed(row, "server")?, parsed(row, "mode")?))).collect()
}

pub(in crate::store) async fn set_server_mode(
    pool: &Pool,
    server: &str,
    mode: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let change = sqlx::query(
        "INSERT INTO servers (server, mode, changed_at) VALUES ($1, $2, $3)
         ON CONFLICT (server) DO UPDATE SET mode = excluded.mode, changed_at = excluded.changed_at",
    )
    .bind(server)
    .bind(mode)
    .bind(now);
    written(pool, change).await.map(drop)
}

pub(in crate::store) async fn disable_drained(pool: &Pool, server: &str, now: Timestamp) -> Result<bool, Error> {
    let change = sqlx::query(
        "UPDATE servers SET mode = $2, changed_at = $3 WHERE server = $1 AND mode = $4
         AND NOT EXISTS (SELECT 1 FROM meetings WHERE ended_at IS NULL AND server = $1)",
    )
    .bind(server)
    .bind(ServerMode::Disabled.as_str())
    .bind(now)
    .bind(ServerMode::Draining.as_str());
    Ok(written(pool, change).await? == 1)
}

pub(in crate::store) async fn suspended_tenants(pool: &Pool) -> Result<Vec<TenantId>, Error> {
    let rows = sqlx::query("SELECT tenant, suspended FROM tenants").fetch_all(pool).await?;
    let mut suspended = Vec::new();
    for row in &rows {
        if row.try_get("suspended")? {
            suspended.push(parsed(row, "tenant")?);
        }
    }
    Ok(suspended)
}

pub(in crate::store) async fn set_suspended(
    pool: &Pool,
    tenant: &str,
    suspended: bool,
    now: Timestamp,
) -> Result<(), Error> {
    let change = sqlx::query(
        "INSERT INTO tenants (tenant, suspended, changed_at) VALUES ($1, $2, $3)
         ON CONFLICT (tenant) DO UPDATE SET suspended = excluded.suspended, changed_at = excluded.changed_at",
    )
    .bind(tenant)
    .bind(suspended)
    .bind(now);
    written(pool, change).await.map(drop)
}

/// Writes a change, and tells the other gateways in the same transaction. Returns how many rows it was.
async fn written(pool: &Pool, change: Query<'_, Db, <Db as Database>::Arguments>) -> Result<u64, Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let done = change.execute(&mut *tx).await?;
    tell(&mut tx, Change::OPERATIONS).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
