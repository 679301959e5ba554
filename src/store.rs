//! The store: the durable promises, in SQL. The only module that sees a `sqlx` type.
//!
//! Admission is one transaction each for a meeting and for a seat: the counts are read and the row is written under the
//! same lock, so that two calls cannot both get the last place, be they on one gateway or on two. What only follows from
//! a promise (a session's token, a seat that is taken or left) is written a moment later, in batches, by [`writer`].
//!
//! There are two dialects with the same statements: SQLite for one gateway, PostgreSQL for several.

mod change;
mod error;
mod health;
mod postgres;
mod rows;
mod sqlite;
pub mod writer;

use std::{collections::HashMap, fs::File, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::mpsc, time::timeout};

use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{ServerId, TenantId},
    limits::Limit,
};
pub use change::Change;
pub use error::{Error, Refusal};
use health::Health;
pub use rows::{
    Admitted, Leftover, MeetingRow, NewMeeting, NewSession, PRESENT, RecordingRow, Run, Seated, Seats, SessionRow,
    TokenHash, UsageRow, UserKey,
};
use writer::Note;

/// A gateway that has not been heard of for longer has died. Several heartbeats may be late.
pub const ALIVE_MS: i64 = 15_000;
/// Before a connection for what is told is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// A connection on which nothing has been told for that long may be silent for good.
const SILENCE: Duration = Duration::from_secs(5);
/// How long it has to answer, and a new one to be made.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// An open store, as one gateway uses it.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    /// The gateway's name among those that share the store: a new one at each start.
    gateway: Arc<str>,
}

#[derive(Debug, Clone)]
enum Db {
    /// With the lock that keeps a second gateway from it.
    Sqlite(sqlite::Pool, Option<Arc<File>>),
    Postgres(Arc<Health>),
}

/// Runs a statement in the store's dialect; in a shared store not for longer than one may wait.
macro_rules! ask {
    ($store:ident . $statement:ident ( $($argument:expr),* )) => {
        match &$store.db {
            Db::Sqlite(pool, _) => sqlite::statements::$statement(pool, $($argument),*).await,
            Db::Postgres(health) => {
                let pool = health.pool();
                health.guard(postgres::statements::$statement(&pool, $($argument),*)).await
            }
        }
    };
}

// Behind the macro, which it uses.
mod operations;

impl Store {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// `url` is `sqlite:PATH`, for one gateway alone, or `postgres://...`, for several.
    ///
    /// # Errors
    /// When the database cannot be opened, is no database of Anteroom, or is one of SQLite that another gateway has open.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let lock = url.strip_prefix("sqlite:").map(lock).transpose()?;
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
        aws_lc_rs::rand::fill(&mut name).map_err(|_| sqlx::Error::Protocol("there is no randomness".into()))?;
        let gateway = HEXLOWER.encode(&name).into();
        let db = if url.starts_with("sqlite:") {
            Db::Sqlite(sqlite::open(url).await?, lock.map(Arc::new))
        } else {
            let options = postgres::options(url)?;
            let pool = postgres::open(&options).await?;
            Db::Postgres(Arc::new(Health::new(options, pool)))
        };
        Ok(Self { db, gateway })
    }

    /// Closes the database in good order.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite(pool, lock) => {
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
            Db::Sqlite(..) => false,
            Db::Postgres(health) => health.is_away(),
        }
    }

    /// The gateway's name among those that share the store.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        ask!(self.ping())
    }

    /// A key of 32 bytes that all gateways on this store share; `fresh` becomes it where there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shared_key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        ask!(self.shared_key(name, &fresh))
    }

    /// The key of TLS tickets of a stretch of time; made where there is none yet.
    ///
    /// # Errors
    /// When the store fails, or there is no randomness.
    pub async fn ticket_key(&self, stretch: u64) -> Result<[u8; 32], Error> {
        let mut fresh = [0; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| sqlx::Error::Protocol("there is no randomness".into()))?;
        self.shared_key(&ticket_key_name(stretch), fresh).await
    }

    /// Deletes the keys of the stretches before this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_ticket_keys(&self, before: u64) -> Result<(), Error> {
        ask!(self.forget_keys(&ticket_key_name(0), &ticket_key_name(before)))
    }

    /// Promises a room: counts what the tenant has and, where `decide` agrees, writes the new row, in one transaction.
    /// Where there is nothing to decide, nothing is counted, and the transaction is one statement.
    ///
    /// Returns the number of the new row, or the meeting that has this id already.
    ///
    /// # Errors
    /// What `decide` said, or the store's failure.
    pub async fn admit_meeting(
        &self,
        new: &NewMeeting<'_>,
        decide: Option<impl FnOnce(RoomUsage) -> Result<(), Denial>>,
    ) -> Result<Admitted, Refusal> {
        ask!(self.admit_meeting(new, decide))
    }

    /// Ends the record of a run and begins that of the next one of the same room, which keeps its place: in one
    /// transaction, so that no other room gets in between. Returns the number of the new row; `None` where the old run has
    /// been ended already, and has no place to leave.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rerun_meeting(&self, old: i64, new: &NewMeeting<'_>) -> Result<Option<i64>, Error> {
        ask!(self.rerun_meeting(old, new))
    }

    /// Gives a run up whose server is away, and begins the record of the next one elsewhere. Should the server come back with
    /// the old one, it is to be ended: it is a *leftover*. `None` where another gateway has been faster.
    ///
    /// # Errors
    /// [`Denial::ServerUnavailable`] while people are present in it: it lives, whatever its server says to us. Or the store's
    /// failure.
    pub async fn restart_meeting(&self, old: &Run<'_>, new: &NewMeeting<'_>) -> Result<Option<i64>, Refusal> {
        ask!(self.restart_meeting(old, new))
    }

    /// How long runs of a tenant's room have lasted that ended after `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn used(&self, tenant: &TenantId, ext_id: &str, since: i64) -> Result<Duration, Error> {
        ask!(self.used(tenant.as_str(), ext_id, since))
    }

    /// Moves a meeting that no server has made yet to another server. Returns whether it was still this gateway's to move:
    /// what another has taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn move_meeting(&self, id: i64, server: &ServerId) -> Result<bool, Error> {
        ask!(self.move_meeting(id, server.as_str(), &self.gateway))
    }

    /// Gives back a room that no server has made. Returns whether it was still this gateway's to give: what another has
    /// taken over is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon_meeting(&self, id: i64, now: i64) -> Result<bool, Error> {
        ask!(self.abandon_meeting(id, now, &self.gateway))
    }

    /// Ends a meeting: its room is free, its sessions are forgotten. Returns whether somebody may have come: where nobody has,
    /// nothing was recorded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_meeting(&self, id: i64, now: i64) -> Result<bool, Error> {
        ask!(self.end_meeting(id, now))
    }

    /// Takes over a promise that a gateway has left without an answer. Returns whether it was still there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_over_meeting(&self, id: i64, from: &str) -> Result<bool, Error> {
        ask!(self.take_over_meeting(id, from, &self.gateway))
    }

    /// The running meeting of a tenant with this id, whichever gateway made it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_meeting(&self, tenant: &TenantId, ext_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_meeting(tenant.as_str(), ext_id))
    }

    /// The running meeting of a tenant with this internal id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_internal(&self, tenant: &TenantId, internal_id: &str) -> Result<Option<MeetingRow>, Error> {
        ask!(self.find_internal(tenant.as_str(), internal_id))
    }

    /// The running meetings of a tenant on a server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_meetings_on(&self, tenant: &TenantId, server: &ServerId) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.find_meetings_on(tenant.as_str(), server.as_str()))
    }

    /// A meeting by its number, running or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn meeting_of(&self, id: i64) -> Result<Option<MeetingRow>, Error> {
        ask!(self.meeting_of(id))
    }

    /// All meetings that run.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn running(&self) -> Result<Vec<MeetingRow>, Error> {
        ask!(self.running())
    }

    /// Promises a seat: where fewer than the meeting's are taken, writes a session whose seat is held for a while.
    ///
    /// A session of the same person that is no longer open, or not yet, gives its seat up for this one.
    ///
    /// # Errors
    /// [`Denial::MaxParticipantsReached`], [`Denial::ServerUnavailable`] for a meeting that has ended, or the store's failure.
    pub async fn admit_session(&self, new: &NewSession<'_>) -> Result<Seated, Refusal> {
        ask!(self.admit_session(new))
    }

    /// Promises a seat, until `until`, to a session whose seat has lapsed or is about to. Its own is not counted.
    ///
    /// # Errors
    /// See [`Store::admit_session`].
    pub async fn readmit_session(
        &self,
        meeting: i64,
        session: i64,
        now: i64,
        until: i64,
        seats: Limit<u32>,
    ) -> Result<(), Refusal> {
        ask!(self.readmit_session(meeting, session, now, until, seats))
    }

    /// How many sessions of a meeting have, or had after `since`, a seat.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recent_sessions(&self, meeting: i64, since: i64) -> Result<u32, Error> {
        ask!(self.recent_sessions(meeting, since))
    }

    /// Notes how many people take seats of a meeting without a session of ours.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_strangers(&self, meeting: i64, strangers: u32) -> Result<(), Error> {
        ask!(self.set_strangers(meeting, strangers))
    }

    /// The seats of all meetings that have any in use, by the meetings' numbers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn seats(&self, now: i64) -> Result<HashMap<i64, Seats>, Error> {
        ask!(self.seats(now))
    }

    /// A session by the hash of its token, with its meeting, whichever gateway made it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_session(&self, token: &TokenHash) -> Result<Option<(SessionRow, MeetingRow)>, Error> {
        ask!(self.find_session(token))
    }

    /// All sessions of meetings that run.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, Error> {
        ask!(self.sessions())
    }

    /// Whose recordings are whose.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn recordings(&self) -> Result<Vec<RecordingRow>, Error> {
        ask!(self.recordings())
    }

    /// Whether somebody has a recording of this id, or may come to have.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_recording(&self, id: &str) -> Result<bool, Error> {
        ask!(self.has_recording(id))
    }

    /// The runs that were given up while this server was away.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leftovers(&self, server: &ServerId) -> Result<Vec<Leftover>, Error> {
        ask!(self.leftovers(server.as_str()))
    }

    /// Forgets one that is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_leftover(&self, server: &ServerId, internal_id: &str) -> Result<(), Error> {
        ask!(self.forget_leftover(server.as_str(), internal_id))
    }

    /// Forgets meetings that ended before `before`. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(&self, before: i64) -> Result<u64, Error> {
        ask!(self.purge(before))
    }

    /// Says that this gateway lives, for [`ALIVE_MS`] from now. Returns whether the store had it among the living: if not,
    /// those who are present through it have been taken to be gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heartbeat(&self, now: i64) -> Result<bool, Error> {
        ask!(self.heartbeat(&self.gateway, now + ALIVE_MS))
    }

    /// Whether another gateway lives.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_alive(&self, gateway: &str, now: i64) -> Result<bool, Error> {
        match &self.db {
            // There is one, and it is this one.
            Db::Sqlite(..) => Ok(gateway == &*self.gateway),
            Db::Postgres(..) => ask!(self.is_alive(gateway, now)),
        }
    }

    /// Takes or keeps what one gateway does for all, for [`ALIVE_MS`] from now. Returns whether it is this one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lead(&self, name: &str, now: i64) -> Result<bool, Error> {
        match &self.db {
            // There is nobody else, and a former self must not be waited for.
            Db::Sqlite(..) => Ok(true),
            Db::Postgres(..) => ask!(self.lead(name, &self.gateway, now, now + ALIVE_MS)),
        }
    }

    /// Gives up what this gateway does for all. Those who are still present through it have a seat for `lease` ms, to come
    /// back by another, or by the next one that is started on a store of its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retire(&self, now: i64, lease: i64) -> Result<(), Error> {
        if !self.is_shared() {
            // The next start settles it, and reads here until when they were present.
            self.heartbeat(now).await?;
            return Ok(());
        }
        ask!(self.resign(&self.gateway))?;
        ask!(self.bury(&self.gateway, now, now + lease))
    }

    /// Settles what gateways that have died leave: those who were present through them have a seat until `until`, to come back
    /// by another. A gateway that has written after it was settled, and is not heard of, is settled again. Returns how many
    /// have died.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bury_dead(&self, now: i64, until: i64) -> Result<usize, Error> {
        // With SQLite every other is a former self.
        let before = if self.is_shared() { now } else { i64::MAX };
        let dead = ask!(self.dead(&self.gateway, before))?;
        for (gateway, alive_until) in &dead {
            let last_seen = (alive_until - ALIVE_MS).min(now);
            ask!(self.bury(gateway, last_seen, until))?;
        }
        if !self.is_shared() {
            ask!(self.hold_unattended(until))?;
        }
        Ok(dead.len())
    }

    /// Writes down what polls have found of a server, for the other gateways.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn report(&self, server: &ServerId, report: &str, at: i64) -> Result<(), Error> {
        ask!(self.report(server, report, at))
    }

    /// What was last found of each server, with the time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reports(&self) -> Result<Vec<(String, String, i64)>, Error> {
        ask!(self.reports())
    }

    /// What was used on the days from `from` to before `to` (`YYYY-MM-DD`), by tenant and day. Those who are present are
    /// counted until `now`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self, from: &str, to: &str, now: i64) -> Result<Vec<UsageRow>, Error> {
        ask!(self.usage(from, to, now))
    }

    /// Writes notes, whether the store is away or not: they are what has to be written first when it is back. Returns the
    /// sessions that are open and for which there is no seat.
    async fn write_notes(&self, now: i64, notes: &[&Note]) -> Result<Vec<i64>, Error> {
        let opened = match &self.db {
            Db::Sqlite(pool, _) => sqlite::statements::write_notes(pool, &self.gateway, now, notes).await,
            Db::Postgres(health) => {
                let pool = health.pool();
                health.catch_up(postgres::statements::write_notes(&pool, &self.gateway, now, notes)).await
            }
        }?;
        let mut without_seat = Vec::new();
        for (session, at) in opened {
            let seated = match &self.db {
                Db::Sqlite(pool, _) => sqlite::statements::seat_again(pool, &self.gateway, now, session, at).await,
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

    /// Watches over a shared store for as long as this is polled: finds out when it is away and when it is back, and
    /// passes on what other gateways tell. Nothing happens with one of a single gateway.
    pub async fn attend(&self, changes: mpsc::Sender<Change>) {
        let Db::Postgres(health) = &self.db else { return };
        tokio::join!(health.probe(), listen(health.options(), &changes));
    }
}

/// In the order of time.
fn ticket_key_name(stretch: u64) -> String {
    format!("tickets-{stretch:010}")
}

/// Whether a text is the address of a PostgreSQL.
#[must_use]
pub fn is_postgres(url: &str) -> bool {
    postgres::options(url).is_ok()
}

/// Keeps a second gateway from a file, which would count for itself.
fn lock(path: &str) -> Result<File, Error> {
    let path = path.trim_start_matches("//").split('?').next().unwrap_or_default();
    let path = format!("{path}.lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(sqlx::Error::Io)?;
    file.try_lock().map_err(|_| {
        let text = "another gateway has it open; several gateways need PostgreSQL";
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::WouldBlock, text))
    })?;
    Ok(file)
}

async fn listen(options: &PgConnectOptions, changes: &mpsc::Sender<Change>) {
    loop {
        if let Err(error) = pass_on(options, changes).await {
            tracing::debug!(%error, "what other gateways tell is not heard");
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

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
