//! Whether a PostgreSQL answers. While it does not, nothing waits for it: who needs it is refused at once, and one probe
//! finds out when it is back.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, time::timeout};

use super::{
    dialects::postgres::{Pool, empty_pool},
    error::{Error, Fault},
};

/// A statement that takes longer than that has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A probe that takes longer than that has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Probes in a row that have to succeed. Meanwhile every gateway writes down who has come and left in the time that is
/// missing, before anybody promises another seat.
const GOOD_PROBES: u32 = 3;
/// Notes that take longer than that are not written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of it, and the connections to it.
#[derive(Debug)]
pub(super) struct Health {
    away: watch::Sender<bool>,
    /// There are notes that are not written.
    behind: AtomicBool,
    options: PgConnectOptions,
    pool: ArcSwap<Pool>,
}

impl Health {
    pub(super) fn new(options: PgConnectOptions, pool: Pool) -> Self {
        Self {
            away: watch::Sender::new(false),
            behind: AtomicBool::new(false),
            options,
            pool: ArcSwap::from_pointee(pool),
        }
    }

    /// How it is reached.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The connections of now.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.pool.load_full()
    }

    /// Whether it is known not to answer.
    pub(super) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// The answer to what is asked, or a refusal: at once when the store is away, at the latest after
    /// [`ANSWER_TIMEOUT`].
    pub(super) async fn guard<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut away = self.away.subscribe();
        let answer = tokio::select! {
            biased;
            answer = timeout(ANSWER_TIMEOUT, asked), if !*away.borrow_and_update() => {
                answer.unwrap_or(Err(Error::SLOW))
            }
            _ = away.wait_for(|away| *away) => return Err(Error::AWAY),
        };
        if answer.as_ref().is_err_and(Error::is_of_the_way) {
            self.set_away(true);
        }
        answer
    }

    /// The outcome of writing notes, which is tried whether it is away or not: they have to be written before it counts as
    /// back.
    pub(super) async fn catch_up<T>(&self, written: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut away = self.away.subscribe();
        let was_away = *away.borrow_and_update();
        let written = tokio::select! {
            written = timeout(WRITE_TIMEOUT, written) => written.unwrap_or(Err(Error::SLOW)),
            // It is being written on one of the connections that are given up.
            _ = away.wait_for(|away| *away), if !was_away => Err(Error::AWAY),
        };
        self.behind.store(written.as_ref().is_err_and(|error| error.fault() != Fault::Data), Relaxed);
        if written.as_ref().is_err_and(Error::is_slow) {
            self.set_away(true);
            self.give_connections_up();
        }
        written
    }

    /// Probes for as long as it is polled.
    pub(super) async fn probe(&self) {
        let (mut connection, mut good) = (None, 0);
        loop {
            tokio::time::sleep(PROBE_INTERVAL).await;
            match timeout(PROBE_TIMEOUT, ping(connection.take(), &self.options)).await {
                Ok(Ok(answered)) => {
                    connection = Some(answered);
                    good += 1;
                    if good >= GOOD_PROBES && !self.behind.load(Relaxed) {
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
            (true, true) => {
                tracing::error!("store unavailable: new meetings and participants are refused");
                self.give_connections_up();
            }
            (true, false) => tracing::info!("store available again"),
            (false, _) => {}
        }
    }

    /// Begins with new connections. One that has fallen silent is tested when it is put back, which may take for ever, and has
    /// its place in the pool meanwhile: with a few of them there is none left.
    fn give_connections_up(&self) {
        self.pool.store(Arc::new(empty_pool(&self.options)));
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
