//! What other gateways tell through PostgreSQL, for as long as this one lives.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::mpsc, time::timeout};

use super::{change::Change, dialects::postgres};

/// Before a connection for what is told is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// A connection on which nothing has been told for that long may be silent for good.
const SILENCE: Duration = Duration::from_secs(5);
/// How long it has to answer, and a new one to be made.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Passes on what is told for as long as it is polled.
pub(super) async fn listen(options: &PgConnectOptions, changes: &mpsc::Sender<Change>) {
    loop {
        if let Err(error) = pass_on(options, changes).await {
            tracing::debug!(%error, "failed to listen for notices of other gateways: retrying");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// Passes on what is told, until the connection breaks or does not answer any more.
async fn pass_on(options: &PgConnectOptions, changes: &mpsc::Sender<Change>) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(LISTEN_TIMEOUT);
    let pool = pool.connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    within(listener.listen(postgres::CHANNEL)).await?;
    // What was told before is not heard any more.
    let _ = changes.send(Change::Everything).await;
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(told) => {
                let Some(told) = told? else { return Ok(()) };
                let _ = changes.send(Change::read(told.payload())).await;
            }
            Err(_) => {
                within(sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(LISTEN_TIMEOUT, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
