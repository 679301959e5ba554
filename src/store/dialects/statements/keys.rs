//! Keys that all gateways on a store share.

use sqlx::Row as _;

use super::Pool;
use crate::store::error::Error;

pub(in crate::store) async fn shared_key(pool: &Pool, name: &str, fresh: &[u8]) -> Result<[u8; 32], Error> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(fresh)
        .execute(pool)
        .await?;
    let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name).fetch_one(pool).await?;
    let value: Vec<u8> = row.try_get(0)?;
    value.try_into().map_err(|_| Error::impossible("value of settings"))
}

/// Deletes the keys from one name to before another.
pub(in crate::store) async fn forget_keys(pool: &Pool, from: &str, before: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM settings WHERE name >= $1 AND name < $2").bind(from).bind(before).execute(pool).await?;
    Ok(())
}
