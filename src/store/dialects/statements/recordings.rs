//! Whose recordings are whose. They are written as meetings are made and ended.

use super::{Pool, read};
use crate::store::{error::Error, rows::RecordingRow};

pub(in crate::store) async fn recordings(pool: &Pool) -> Result<Vec<RecordingRow>, Error> {
    sqlx::query("SELECT * FROM recordings").fetch_all(pool).await?.iter().map(read::recording).collect()
}

pub(in crate::store) async fn has_recording(pool: &Pool, id: &str) -> Result<bool, Error> {
    let row = sqlx::query("SELECT 1 FROM recordings WHERE record_id = $1").bind(id).fetch_optional(pool).await?;
    Ok(row.is_some())
}
