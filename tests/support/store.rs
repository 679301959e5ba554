//! The tables of a store, read beside the gateways.

use std::{fs, path::Path};

use sqlx::{Connection, PgConnection, SqliteConnection};

use super::eventually;

/// What is not written yet, and how many sessions are present.
const STATE: &str = "SELECT (SELECT COUNT(*) FROM meetings WHERE ended_at IS NULL AND internal_id IS NULL)
                          + (SELECT COUNT(*) FROM sessions WHERE token IS NULL),
                            (SELECT COUNT(*) FROM presences)";

/// Waits until the background writer has written what follows from promises: the ids that servers have given to meetings
/// and sessions, and that so many sessions are present. `config` is a gateway's directory.
pub async fn written(config: &Path, present: i64) {
    let url = url(config);
    eventually(&format!("{present} are written down as present"), async || state(&url).await == (0, present)).await;
}

async fn state(url: &str) -> (i64, i64) {
    let read = if url.starts_with("sqlite:") {
        sqlx::query_as(STATE).fetch_one(&mut SqliteConnection::connect(url).await.unwrap()).await
    } else {
        sqlx::query_as(STATE).fetch_one(&mut PgConnection::connect(url).await.unwrap()).await
    };
    read.unwrap()
}

/// The store of a configuration.
fn url(config: &Path) -> String {
    let text = fs::read_to_string(config.join("anteroom.toml")).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let url = file["store"]["url"].as_str().unwrap();
    match url.strip_prefix("sqlite:") {
        // An absolute path stays one.
        Some(path) => format!("sqlite:{}", config.join(path).display()),
        None => url.to_owned(),
    }
}
