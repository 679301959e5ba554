//! The store: the durable promises, in SQL. The only module that sees a `sqlx` type.
//!
//! Admission is one transaction each for a meeting and for a seat: the counts are read and the row is written under the
//! same lock, so that two calls cannot both get the last place, be they on one gateway or on two. What only follows from
//! a promise (a session's token, a seat that is taken or left) is written a moment later, in batches, by [`writer`].
//!
//! There are two dialects with the same statements: SQLite for one gateway, PostgreSQL for several.
//!
//! What is asked of the store is divided into families, one for each kind of thing that it keeps: [`Store::meetings`],
//! [`Store::seats`] and so on. Files use those below them only:
//!
//! ```text
//! writer                                         what is written after the fact
//! store.rs                                       the store, which leads to the families
//! meetings, ended, seats, gateways, ...          a family: its methods, on a borrowed `Db`
//! db                                             the database, `ask!`: a statement in its dialect
//! joins   health, notices                        seats on SQLite in batches; a PostgreSQL that may be away
//! dialects/statements/meetings, seats, ...       the SQL of a family, compiled once for each dialect
//! dialects/sqlite, postgres                      what differs between the dialects
//! rows, note, change, columns, error, dropped    values
//! ```
//!
//! A new family is a migration for each dialect, its values in `rows`, its SQL in `dialects/statements/`, a type like
//! [`MeetingStore`] in a file here, a method of [`Store`] that returns it, and a word in `STORE` of
//! `tests/checks/documents/structure.rs`, which holds the layers.

mod callbacks;
mod certificates;
mod change;
mod columns;
mod db;
mod dialects;
mod dropped;
mod ended;
mod error;
mod gateways;
mod health;
mod joins;
mod keys;
mod meetings;
mod note;
mod notes;
mod notices;
mod operations;
mod recordings;
mod rows;
mod seats;
mod usage;
mod webhooks;
pub mod writer;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use db::{Db, Dialect, ask};
use dialects::{postgres, sqlite};

pub use callbacks::CallbackStore;
pub use certificates::CertificateStore;
pub use change::Change;
pub use dropped::dropped;
pub use ended::EndedStore;
pub use error::Error;
pub use gateways::{ALIVE, GatewayStore};
pub use keys::KeyStore;
pub use meetings::MeetingStore;
pub use note::{Note, Traffic};
pub use operations::OperationStore;
pub use recordings::RecordingStore;
pub use rows::{
    AddedEvent, AddedWebhook, Admitted, CallbackAddress, CallbackRow, CertificateRow, ChallengeRow, Claim,
    DomainFilter, DomainRow, DomainState, Due, EventRow, Kept, KnownCertificate, Leftover, MeetingRow, MeetingState,
    NewCallback, NewEvent, NewMeeting, NewOrder, NewSession, NewWebhook, RecordingRow, RegisteredWebhook, Run, Seated,
    Seats, SessionRow, Spent, SpentSince, Tried, UsageRow, WebhookRow,
};
pub use seats::SeatStore;
pub use usage::UsageStore;
pub use webhooks::WebhookStore;

use crate::supervise::Round;

/// A writer that has got nothing done for longer hangs, or its store does not answer: one transaction may take 30 s.
const WRITING_MAX: Duration = Duration::from_secs(60);

/// An open store, as one gateway uses it.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    /// The writer of notes, from when there is something to be written.
    writing: Arc<Round>,
}

/// The store as a whole.
impl Store {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// `url` is `sqlite:PATH`, for one gateway alone, or `postgres://...`, for several.
    ///
    /// # Errors
    /// When the database cannot be opened, is no database of Anteroom, or is one of SQLite that another gateway has open.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let lock = url.strip_prefix("sqlite:").map(sqlite::lock_file).transpose()?;
        Ok(Self::of(Db::open(url, lock).await?))
    }

    /// Opens the database beside a gateway that may run on it, for a command.
    ///
    /// # Errors
    /// When the database cannot be opened or is no database of Anteroom.
    pub async fn open_beside(url: &str) -> Result<Self, Error> {
        Ok(Self::of(Db::open(url, None).await?))
    }

    fn of(db: Db) -> Self {
        Self { db, writing: Arc::new(Round::new("writer", WRITING_MAX)) }
    }

    /// Closes the database in good order.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Whether other gateways may use it too: what is not in memory may be there all the same.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.db.is_shared()
    }

    /// Whether it is known not to answer.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match &self.db.dialect {
            Dialect::Sqlite { .. } => false,
            Dialect::Postgres(health) => health.is_away(),
        }
    }

    /// The gateway's name among those that share the store.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.db.gateway
    }

    /// Whether the writer of notes comes on.
    #[must_use]
    pub fn writing(&self) -> &Round {
        &self.writing
    }

    /// Whether the database answers now.
    pub async fn answers(&self) -> bool {
        let answer: Result<(), Error> = ask!(self.db, gateways::ping());
        answer.is_ok()
    }

    /// Watches over a shared store for as long as this is polled: finds out when it is away and when it is back, and
    /// passes on what other gateways tell. Nothing happens with one of a single gateway.
    pub async fn attend(&self, changes: mpsc::Sender<Change>) {
        let Dialect::Postgres(health) = &self.db.dialect else { return };
        tokio::join!(health.probe(), notices::listen(health.options(), &changes));
    }
}

/// The families of what it keeps.
impl Store {
    /// Meetings that run, and rooms that are promised.
    #[must_use]
    pub fn meetings(&self) -> MeetingStore<'_> {
        MeetingStore { db: &self.db }
    }

    /// What is left of meetings that have ended.
    #[must_use]
    pub fn ended(&self) -> EndedStore<'_> {
        EndedStore { db: &self.db }
    }

    /// Sessions and their seats.
    #[must_use]
    pub fn seats(&self) -> SeatStore<'_> {
        SeatStore { db: &self.db }
    }

    /// Whose recordings are whose.
    #[must_use]
    pub fn recordings(&self) -> RecordingStore<'_> {
        RecordingStore { db: &self.db }
    }

    /// The gateways that share the store.
    #[must_use]
    pub fn gateways(&self) -> GatewayStore<'_> {
        GatewayStore { db: &self.db }
    }

    /// Keys that the gateways share.
    #[must_use]
    pub fn keys(&self) -> KeyStore<'_> {
        KeyStore { db: &self.db }
    }

    /// Callbacks of servers to tenants.
    #[must_use]
    pub fn callbacks(&self) -> CallbackStore<'_> {
        CallbackStore { db: &self.db }
    }

    /// Webhooks of tenants.
    #[must_use]
    pub fn webhooks(&self) -> WebhookStore<'_> {
        WebhookStore { db: &self.db }
    }

    /// Certificates of hosts.
    #[must_use]
    pub fn certificates(&self) -> CertificateStore<'_> {
        CertificateStore { db: &self.db }
    }

    /// What the operator has changed.
    #[must_use]
    pub fn operations(&self) -> OperationStore<'_> {
        OperationStore { db: &self.db }
    }

    /// What tenants have used.
    #[must_use]
    pub fn usage(&self) -> UsageStore<'_> {
        UsageStore { db: &self.db }
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
