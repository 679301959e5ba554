//! The store: the durable promises, in SQL. The only module that sees a `sqlx` type.
//!
//! Admission is one transaction each for a meeting and for a seat: the counts are read and the row is written under the
//! same lock, so that two calls cannot both get the last place, be they on one gateway or on two. What only follows from
//! a promise (a session's token, a seat that is taken or left) is written a moment later, in batches, by [`writer`].
//!
//! There are two dialects with the same statements: SQLite for one gateway, PostgreSQL for several.

mod change;
mod columns;
mod dropped;
mod error;
mod health;
mod joins;
mod note;
mod notices;
mod postgres;
mod rows;
mod sqlite;
pub mod writer;

use std::{fs::File, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use tokio::sync::mpsc;

pub use change::Change;
pub use dropped::dropped;
pub use error::{Error, Refusal};
use health::Health;
use joins::Joins;
pub use note::{Note, Traffic};
pub use rows::{
    Admitted, Leftover, MeetingRow, NewMeeting, NewSession, RecordingRow, Run, Seated, Seats, SessionRow, UsageRow,
};

use crate::{
    domain::{ids::SessionNumber, time::Timestamp},
    supervise::Round,
};

/// A gateway that has not been heard of for longer has died. Several heartbeats may be late.
pub const ALIVE: Duration = Duration::from_secs(15);
/// A writer that has got nothing done for longer hangs, or its store does not answer: one transaction may take 30 s.
const WRITING_MAX: Duration = Duration::from_secs(60);

/// An open store, as one gateway uses it.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    /// The gateway's name among those that share the store: a new one at each start.
    gateway: Arc<str>,
    /// The writer of notes, from when there is something to be written.
    writing: Arc<Round>,
}

#[derive(Debug, Clone)]
enum Db {
    /// With the lock that keeps a second gateway from it.
    Sqlite {
        pool: sqlite::Pool,
        lock: Option<Arc<File>>,
        joins: Joins,
    },
    Postgres(Arc<Health>),
}

/// Runs a statement in the store's dialect; in a shared store not for longer than one may wait.
// Boxed: what waits for the store waits long, and what does not is not to have room for it.
macro_rules! ask {
    ($store:ident . $statement:ident ( $($argument:expr),* )) => {
        match &$store.db {
            Db::Sqlite { pool, .. } => Box::pin(sqlite::statements::$statement(pool, $($argument),*)).await,
            Db::Postgres(health) => {
                let pool = health.pool();
                Box::pin(health.guard(postgres::statements::$statement(&pool, $($argument),*))).await
            }
        }
    };
}

// Behind the macro, which they use.
mod gateways;
mod meetings;
mod operations;
mod seats;

impl Store {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// `url` is `sqlite:PATH`, for one gateway alone, or `postgres://...`, for several.
    ///
    /// # Errors
    /// When the database cannot be opened, is no database of Anteroom, or is one of SQLite that another gateway has open.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let lock = url.strip_prefix("sqlite:").map(sqlite::lock_file).transpose()?;
        Self::open_with(url, lock).await
    }

    /// Opens the database beside a gateway that may run on it, for a command.
    ///
    /// # Errors
    /// When the database cannot be opened or is no database of Anteroom.
    pub async fn open_beside(url: &str) -> Result<Self, Error> {
        Self::open_with(url, None).await
    }

    async fn open_with(url: &str, lock: Option<File>) -> Result<Self, Error> {
        let mut name = [0; 8];
        aws_lc_rs::rand::fill(&mut name)
            .map_err(|_| sqlx::Error::Protocol("the random number generator of the system failed".into()))?;
        let gateway = HEXLOWER.encode(&name).into();
        let db = if url.starts_with("sqlite:") {
            let pool = sqlite::open(url).await?;
            Db::Sqlite { joins: Joins::start(pool.clone()), pool, lock: lock.map(Arc::new) }
        } else {
            let options = postgres::options(url)?;
            let pool = postgres::open(&options).await?;
            Db::Postgres(Arc::new(Health::new(options, pool)))
        };
        Ok(Self { db, gateway, writing: Arc::new(Round::new("writer", WRITING_MAX)) })
    }

    /// Closes the database in good order.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { pool, lock, .. } => {
                pool.close().await;
                // Whoever still has a clone of this store keeps the file open.
                if let Some(lock) = lock {
                    let _ = lock.unlock();
                }
            }
            Db::Postgres(health) => health.pool().close().await,
        }
    }

    /// Whether other gateways may use it too: what is not in memory may be there all the same.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.db, Db::Postgres(..))
    }

    /// Whether it is known not to answer.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match &self.db {
            Db::Sqlite { .. } => false,
            Db::Postgres(health) => health.is_away(),
        }
    }

    /// The gateway's name among those that share the store.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Whether the writer of notes comes on.
    #[must_use]
    pub fn writing(&self) -> &Round {
        &self.writing
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        ask!(self.ping())
    }

    /// What was used on the days from `from` to before `to` (`YYYY-MM-DD`), by tenant and day. Those who are present are
    /// counted until `now`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, from: &str, to: &str, now: Timestamp) -> Result<Vec<UsageRow>, Error> {
        ask!(self.usage(from, to, now))
    }

    /// Writes notes, whether the store is away or not: they are what has to be written first when it is back. Returns the
    /// sessions that are open and for which there is no seat.
    async fn write_notes(&self, now: Timestamp, notes: &[&Note]) -> Result<Vec<SessionNumber>, Error> {
        let opened = match &self.db {
            Db::Sqlite { pool, .. } => sqlite::statements::write_notes(pool, &self.gateway, now, notes).await,
            Db::Postgres(health) => {
                let pool = health.pool();
                health.catch_up(postgres::statements::write_notes(&pool, &self.gateway, now, notes)).await
            }
        }?;
        let mut without_seat = Vec::new();
        for (session, at) in opened {
            let seated = match &self.db {
                Db::Sqlite { pool, .. } => sqlite::statements::seat_again(pool, &self.gateway, now, session, at).await,
                Db::Postgres(health) => {
                    let pool = health.pool();
                    health.catch_up(postgres::statements::seat_again(&pool, &self.gateway, now, session, at)).await
                }
            };
            // The notes are written. Of whom the store cannot say it now, it is asked later.
            if !seated.unwrap_or(false) {
                without_seat.push(session);
            }
        }
        Ok(without_seat)
    }

    /// Writes what was carried, apart from seats and names: what goes wrong with statistics stops none of those.
    async fn write_traffic(&self, traffic: &[Traffic]) -> Result<(), Error> {
        match &self.db {
            Db::Sqlite { pool, .. } => sqlite::statements::write_traffic(pool, traffic).await,
            Db::Postgres(health) => {
                let pool = health.pool();
                health.catch_up(postgres::statements::write_traffic(&pool, traffic)).await
            }
        }
    }

    /// Watches over a shared store for as long as this is polled: finds out when it is away and when it is back, and
    /// passes on what other gateways tell. Nothing happens with one of a single gateway.
    pub async fn attend(&self, changes: mpsc::Sender<Change>) {
        let Db::Postgres(health) = &self.db else { return };
        tokio::join!(health.probe(), notices::listen(health.options(), &changes));
    }
}

/// Whether a text is the address of a PostgreSQL.
#[must_use]
pub fn is_postgres(url: &str) -> bool {
    postgres::options(url).is_ok()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
