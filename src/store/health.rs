//! Whether a PostgreSQL answers. While it does not, nothing waits for it: who needs it is refused at once, and one probe
//! finds out when it is back.

use std::{future::Future, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, time::timeout};

use super::Error;

/// A statement that takes longer than that has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A probe that takes longer than that has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Probes in a row that have to succeed. Meanwhile every gateway writes down who has come and left in the time that is
/// missing, before anybody promises another seat.
const GOOD_PROBES: u32 = 3;

/// What is known of it.
#[derive(Debug)]
pub(super) struct Health {
    away: watch::Sender<bool>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { away: watch::Sender::new(false) }
    }

    /// Whether it is known not to answer.
    pub(super) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// The answer to what is asked, or a refusal: at once when the store is away, at the latest after
    /// [`ANSWER_TIMEOUT`].
    pub(super) async fn guard<T, E: From<Error> + Blame>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut away = self.away.subscribe();
        let answer = tokio::select! {
            biased;
            answer = timeout(ANSWER_TIMEOUT, asked), if !*away.borrow_and_update() => {
                answer.unwrap_or_else(|_| Err(Error::SLOW.into()))
            }
            _ = away.wait_for(|away| *away) => return Err(Error::AWAY.into()),
        };
        if answer.as_ref().is_err_and(Blame::is_of_the_way) {
            self.set_away(true);
        }
        answer
    }

    /// Probes for as long as it is polled.
    pub(super) async fn probe(&self, options: &PgConnectOptions) {
        let (mut connection, mut good) = (None, 0);
        loop {
            tokio::time::sleep(PROBE_INTERVAL).await;
            match timeout(PROBE_TIMEOUT, ping(connection.take(), options)).await {
                Ok(Ok(answered)) => {
                    connection = Some(answered);
                    good += 1;
                    if good >= GOOD_PROBES {
                        self.set_away(false);
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    good = 0;
                    self.set_away(true);
                }
            }
        }
    }

    fn set_away(&self, away: bool) {
        let news = self.away.send_if_modified(|now| std::mem::replace(now, away) != away);
        match (news, away) {
            (true, true) => tracing::error!("the store is away: nothing new is promised until it is back"),
            (true, false) => tracing::info!("the store is back"),
            (false, _) => {}
        }
    }
}

async fn ping(connection: Option<PgConnection>, options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => PgConnection::connect_with(options).await?,
    };
    connection.ping().await?;
    Ok(connection)
}

/// What an error says of the store.
pub(super) trait Blame {
    /// Whether it says that the store cannot be reached.
    fn is_of_the_way(&self) -> bool;
}
