//! The store: the durable promises, in SQL. The only module that sees a `sqlx` type.
//!
//! Admission is one transaction each for a meeting and for a seat: the counts are read and the row is written under the
//! same lock, so that two calls cannot both get the last place. What only follows from a promise (a session's token, a
//! seat that is taken or left) is written a moment later, in batches, by [`writer`].

mod operations;
pub mod writer;

use std::{fmt, str::FromStr, time::Duration};

use sqlx::{
    Row, SqliteConnection, SqlitePool,
    error::ErrorKind,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::domain::{
    admission::RoomUsage,
    denial::Denial,
    ids::{ServerId, TenantId},
    limits::Limit,
};

/// The seat of somebody who is present: it does not lapse.
pub const PRESENT: i64 = i64::MAX;
/// Longer than any sane transaction; a call that has waited that long is refused with `storeUnavailable`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The SHA-256 of a session token: what is kept of it.
pub type TokenHash = [u8; 32];

/// The store failed: nothing was promised.
#[derive(Debug)]
pub struct Error(sqlx::Error);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store did not answer")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the store failed");
        Self(error)
    }
}

impl Error {
    /// Whether what was to be written is at fault, and not the store: another try would fail too.
    fn is_of_the_data(&self) -> bool {
        self.0.as_database_error().is_some_and(|error| !matches!(error.kind(), ErrorKind::Other))
    }
}

/// A promise was not made.
#[derive(Debug)]
pub enum Refusal {
    /// The rule said no.
    Denied(Denial),
    /// The store failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A meeting that is to be promised.
#[derive(Debug, Clone)]
pub struct NewMeeting<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Which account's.
    pub account: &'a str,
    /// The tenant's `meetingID`.
    pub ext_id: &'a str,
    /// The server that was chosen.
    pub server: &'a ServerId,
    /// `maxParticipants` as asked for.
    pub participants: Option<u32>,
    /// Whether it may leave a recording.
    pub records: bool,
    /// Now, in ms since the epoch.
    pub now: i64,
    /// Rooms that ended after this still count.
    pub retained_since: i64,
    /// Runs of the same room that ended after this count towards its duration.
    pub runs_since: i64,
}

/// A meeting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetingRow {
    /// Its number in the store.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which account's.
    pub account: String,
    /// The tenant's `meetingID`.
    pub ext_id: String,
    /// The server it runs on.
    pub server: ServerId,
    /// `maxParticipants` as asked for.
    pub participants: Option<u32>,
    /// The server's internal id, once it has answered.
    pub internal_id: Option<String>,
    /// The server's `createTime`, likewise.
    pub create_time: Option<i64>,
    /// When it was promised.
    pub created_at: i64,
    /// Whether it may leave a recording.
    pub records: bool,
}

/// A recording, or the meeting that may leave one, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    /// Its `recordID`.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's `meetingID`.
    pub ext_id: String,
    /// The server it was made on.
    pub server: ServerId,
}

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its number in the store.
    pub id: i64,
    /// The number of its meeting.
    pub meeting: i64,
    /// The hash of its token.
    pub token: TokenHash,
    /// How long its seat counts.
    pub seat_until: i64,
}

/// An open store.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// `url` is `sqlite:PATH`.
    ///
    /// # Errors
    /// When the file cannot be opened or is no database of Anteroom.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            // A commit survives the end of the process. After a loss of power the last few may be missing: the
            // meetings run on their servers all the same, and the next poll finds them.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        // SQLite has one writer at a time anyway: one connection keeps the waiting in one fair queue.
        let pool =
            SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY_TIMEOUT).connect_with(options).await?;
        sqlx::migrate!("migrations/sqlite").run(&pool).await.map_err(sqlx::Error::from)?;
        Ok(Self { pool })
    }

    /// Closes the database in good order.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// A key of 32 bytes that all gateways on this store share; `fresh` becomes it where there is none yet.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn shared_key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], Error> {
        sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(&fresh[..])
            .execute(&self.pool)
            .await?;
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name).fetch_one(&self.pool).await?;
        let value: Vec<u8> = row.try_get(0)?;
        value.try_into().map_err(|_| Error(sqlx::Error::Decode(format!("settings.{name} has no 32 bytes").into())))
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
        let Some(decide) = decide else {
            let mut connection = self.pool.acquire().await?;
            return match insert_meeting(&mut connection, new).await? {
                Some(id) => Ok(Admitted::New { id, used: Duration::ZERO }),
                None => existing(&mut connection, new).await,
            };
        };
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        // A room that is open is no new one: first the row, which its id forbids or allows, then the count of the others.
        let Some(id) = insert_meeting(&mut tx, new).await? else {
            return existing(&mut tx, new).await;
        };
        let usage = room_usage(&mut tx, new).await?;
        decide(usage).map_err(Refusal::Denied)?;
        tx.commit().await?;
        Ok(Admitted::New { id, used: usage.used })
    }

    /// Ends the record of a run and begins that of the next one of the same room, which keeps its place: in one
    /// transaction, so that no other room gets in between. Returns the number of the new row.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rerun_meeting(&self, old: i64, new: &NewMeeting<'_>) -> Result<i64, Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        end(&mut tx, old, new.now).await?;
        let id = insert_meeting(&mut tx, new).await?.ok_or(sqlx::Error::RowNotFound)?;
        tx.commit().await?;
        Ok(id)
    }

    /// How long runs of a tenant's room have lasted that ended after `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn used(&self, tenant: &TenantId, ext_id: &str, since: i64) -> Result<Duration, Error> {
        let row = sqlx::query(
            "SELECT COALESCE(SUM(ended_at - created_at), 0) FROM meetings
             WHERE tenant = $1 AND ext_id = $2 AND ended_at > $3",
        )
        .bind(tenant.as_str())
        .bind(ext_id)
        .bind(since)
        .fetch_one(&self.pool)
        .await?;
        Ok(Duration::from_millis(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0)))
    }

    /// Moves a meeting that no server has made yet to another server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn move_meeting(&self, id: i64, server: &ServerId) -> Result<(), Error> {
        sqlx::query("UPDATE meetings SET server = $2 WHERE id = $1")
            .bind(id)
            .bind(server.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Gives back a room that no server has made.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn abandon_meeting(&self, id: i64) -> Result<(), Error> {
        sqlx::query("DELETE FROM meetings WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends a meeting: its room is free, its sessions are forgotten.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_meeting(&self, id: i64, now: i64) -> Result<(), Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        end(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Promises a seat: where fewer than `seats` of the meeting are taken, writes a session whose seat is held until
    /// `until`. One statement, and so one transaction. Returns the session's number.
    ///
    /// # Errors
    /// [`Denial::MaxParticipantsReached`], or the store's failure.
    pub async fn admit_session(&self, meeting: i64, now: i64, until: i64, seats: Limit<u32>) -> Result<i64, Refusal> {
        let row = sqlx::query(
            "INSERT INTO sessions (meeting, seat_until) SELECT $1, $2 WHERE $4 < 0 OR $4 >
                 (SELECT COUNT(*) FROM sessions WHERE meeting = $1 AND seat_until > $3)
             RETURNING id",
        )
        .bind(meeting)
        .bind(until)
        .bind(now)
        .bind(bound(seats))
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) => Ok(row.try_get(0)?),
            None => Err(Refusal::Denied(Denial::MaxParticipantsReached)),
        }
    }

    /// Promises a seat to a session whose seat has lapsed or is about to, in one statement. Its own is not counted.
    ///
    /// # Errors
    /// [`Denial::MaxParticipantsReached`], or the store's failure.
    pub async fn readmit_session(&self, session: i64, now: i64, seats: Limit<u32>) -> Result<(), Refusal> {
        let done = sqlx::query(
            "UPDATE sessions AS own SET seat_until = $2 WHERE id = $1 AND ($4 < 0 OR $4 >
                 (SELECT COUNT(*) FROM sessions WHERE meeting = own.meeting AND seat_until > $3 AND id <> $1))",
        )
        .bind(session)
        .bind(PRESENT)
        .bind(now)
        .bind(bound(seats))
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Refusal::Denied(Denial::MaxParticipantsReached)) }
    }

    /// All that runs: the meetings that have not ended, and their sessions.
    ///
    /// Who was present when the last gateway stopped may be on the way back: those seats are held until `until`.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn load(&self, until: i64) -> Result<(Vec<MeetingRow>, Vec<SessionRow>), Error> {
        sqlx::query("UPDATE sessions SET seat_until = $1 WHERE seat_until = $2")
            .bind(until)
            .bind(PRESENT)
            .execute(&self.pool)
            .await?;
        let meetings = sqlx::query("SELECT * FROM meetings WHERE ended_at IS NULL")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(meeting_row)
            .collect::<Result<_, _>>()?;
        let sessions = sqlx::query(
            "SELECT s.id, s.meeting, s.token, s.seat_until FROM sessions s JOIN meetings m ON m.id = s.meeting
             WHERE m.ended_at IS NULL AND s.token IS NOT NULL",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(session_row)
        .collect::<Result<_, _>>()?;
        Ok((meetings, sessions))
    }

    /// Whose recordings are whose.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn recordings(&self) -> Result<Vec<RecordingRow>, Error> {
        sqlx::query("SELECT * FROM recordings").fetch_all(&self.pool).await?.iter().map(recording_row).collect()
    }

    /// Forgets meetings that ended before `before`. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(&self, before: i64) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM meetings WHERE ended_at < $1").bind(before).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

/// What became of a `create`.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The room is promised.
    New {
        /// Its number.
        id: i64,
        /// How long earlier runs of it have lasted that still count.
        used: Duration,
    },
    /// The tenant has a meeting with this id.
    Existing(MeetingRow),
}

async fn end(tx: &mut SqliteConnection, meeting: i64, now: i64) -> Result<(), Error> {
    // Where nobody has come nothing was recorded: the table would grow with every room that is made and ended.
    sqlx::query(
        "DELETE FROM recordings WHERE record_id = (SELECT internal_id FROM meetings WHERE id = $1)
         AND NOT EXISTS (SELECT 1 FROM sessions WHERE meeting = $1)",
    )
    .bind(meeting)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM sessions WHERE meeting = $1").bind(meeting).execute(&mut *tx).await?;
    sqlx::query("UPDATE meetings SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(meeting)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes a new row; `None` where the tenant has a running meeting with this id.
async fn insert_meeting(tx: &mut SqliteConnection, new: &NewMeeting<'_>) -> Result<Option<i64>, Error> {
    let row = sqlx::query(
        "INSERT INTO meetings (tenant, account, ext_id, server, participants, created_at, records)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(new.tenant.as_str())
    .bind(new.account)
    .bind(new.ext_id)
    .bind(new.server.as_str())
    .bind(new.participants)
    .bind(new.now)
    .bind(new.records)
    .fetch_optional(tx)
    .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// The running meeting that has the id already.
async fn existing(tx: &mut SqliteConnection, new: &NewMeeting<'_>) -> Result<Admitted, Refusal> {
    let row = sqlx::query("SELECT * FROM meetings WHERE tenant = $1 AND ext_id = $2 AND ended_at IS NULL")
        .bind(new.tenant.as_str())
        .bind(new.ext_id)
        .fetch_one(tx)
        .await?;
    Ok(Admitted::Existing(meeting_row(&row)?))
}

/// What a tenant has beside the asking room.
async fn room_usage(tx: &mut SqliteConnection, new: &NewMeeting<'_>) -> Result<RoomUsage, Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(DISTINCT ext_id) FROM meetings
                 WHERE tenant = $1 AND account = $2 AND ext_id <> $4 AND (ended_at IS NULL OR ended_at > $3)),
                (SELECT COUNT(DISTINCT account) FROM meetings
                 WHERE tenant = $1 AND account <> $2 AND (ended_at IS NULL OR ended_at > $3)),
                (SELECT COALESCE(SUM(ended_at - created_at), 0) FROM meetings
                 WHERE tenant = $1 AND ext_id = $4 AND ended_at > $5)",
    )
    .bind(new.tenant.as_str())
    .bind(new.account)
    .bind(new.retained_since)
    .bind(new.ext_id)
    .bind(new.runs_since)
    .fetch_one(tx)
    .await?;
    let used = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0);
    Ok(RoomUsage { rooms: row.try_get(0)?, other_accounts: row.try_get(1)?, used: Duration::from_millis(used) })
}

/// A bound as the statements take it: less than 0 for none.
fn bound(limit: Limit<u32>) -> i64 {
    match limit {
        Limit::AtMost(n) => i64::from(n),
        Limit::Unlimited => -1,
    }
}

fn meeting_row(row: &sqlx::sqlite::SqliteRow) -> Result<MeetingRow, Error> {
    Ok(MeetingRow {
        id: row.try_get("id")?,
        tenant: parsed(row, "tenant")?,
        account: row.try_get("account")?,
        ext_id: row.try_get("ext_id")?,
        server: parsed(row, "server")?,
        participants: row.try_get("participants")?,
        internal_id: row.try_get("internal_id")?,
        create_time: row.try_get("create_time")?,
        created_at: row.try_get("created_at")?,
        records: row.try_get("records")?,
    })
}

fn recording_row(row: &sqlx::sqlite::SqliteRow) -> Result<RecordingRow, Error> {
    Ok(RecordingRow {
        id: row.try_get("record_id")?,
        tenant: parsed(row, "tenant")?,
        ext_id: row.try_get("ext_id")?,
        server: parsed(row, "server")?,
    })
}

fn session_row(row: &sqlx::sqlite::SqliteRow) -> Result<SessionRow, Error> {
    let token: Vec<u8> = row.try_get("token")?;
    Ok(SessionRow {
        id: row.try_get("id")?,
        meeting: row.try_get("meeting")?,
        token: token.try_into().map_err(|_| impossible("token"))?,
        seat_until: row.try_get("seat_until")?,
    })
}

fn parsed<T: FromStr>(row: &sqlx::sqlite::SqliteRow, column: &str) -> Result<T, Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| impossible(column))
}

fn impossible(column: &str) -> Error {
    Error(sqlx::Error::Decode(format!("a row has an impossible {column}").into()))
}

#[cfg(test)]
mod tests;
