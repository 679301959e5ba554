//! SQLite: embedded, one gateway. There is one writer at a time anyway: one connection keeps the waiting in one fair queue,
//! and what a transaction reads stays true until it has written.

use std::{fs::File, io, path::Path, str::FromStr, time::Duration};

use sqlx::{
    Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
pub(in crate::store) use sqlx::{SqliteConnection as Connection, SqlitePool as Pool, sqlite::SqliteRow as Row};

use crate::{private, store::error::Error};

#[path = "statements/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "the same statements, once for each dialect")]
pub(in crate::store) mod statements;

/// Whoever has a connection has it alone.
pub(in crate::store) const ONE_AT_A_TIME: bool = true;
/// Writes come one after the other.
pub(in crate::store) const BEGIN: &str = "BEGIN IMMEDIATE";
/// Finds a meeting that runs. Nobody else counts its seats, or ends it, while this transaction lives.
pub(in crate::store) const LOCK_MEETING: &str =
    "SELECT strangers, participants FROM meetings WHERE id = $1 AND ended_at IS NULL";
/// Finds the oldest session of a person that has a seat and is not open. Nobody else changes it while this connection is held.
/// By person (a `+` leaves a column out of the choice of an index): a large meeting has many seats, and a person few.
pub(in crate::store) const LOCK_NOT_OPEN: &str = "SELECT id FROM sessions
    WHERE meeting = $1 AND +seat_until > $2 AND +seat_until < $3 AND user_key = $4
        AND breakout IS NOT DISTINCT FROM $5 ORDER BY id LIMIT 1";
/// Finds a session. Nobody else changes it while this transaction lives.
pub(in crate::store) const LOCK_SESSION: &str =
    "SELECT s.seat_until, s.present_since, s.breakout, m.tenant FROM sessions s
    JOIN meetings m ON m.id = s.meeting WHERE s.id = $1";
/// Longer than any sane transaction; a call that has waited that long is refused with `storeUnavailable`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(in crate::store) async fn open(url: &str) -> Result<Pool, Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        // A commit survives the end of the process. After a loss of power the last few may be missing: the meetings run
        // on their servers all the same, and the next `create` of each finds it there.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // SQLite opens a file that it may not write for reading alone, and stays with that. This writes, and changes nothing.
        .pragma("user_version", "0");
    make_private(options.get_filename());
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(BUSY_TIMEOUT)
        // A file does not go away as a server does, and asking costs as much as a statement.
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // Where a disk is full SQLite rolls back by itself, and sqlx, whose own attempt fails then, takes the
                // transaction to be open for ever. The ping comes after that attempt.
                if connection.is_in_transaction() {
                    connection.ping().await?;
                }
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options)
        .await?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await.map_err(sqlx::Error::from)?;
    Ok(pool)
}

/// Keeps a second gateway from a file, which would count for itself.
pub(in crate::store) fn lock_file(path: &str) -> Result<File, Error> {
    let path = path.trim_start_matches("//").split('?').next().unwrap_or_default();
    let path = format!("{path}.lock");
    let file = private::open_file(Path::new(&path)).map_err(sqlx::Error::Io)?;
    file.try_lock().map_err(|_| {
        let text = "in use by another gateway; several gateways need PostgreSQL";
        sqlx::Error::Io(io::Error::new(io::ErrorKind::WouldBlock, text))
    })?;
    Ok(file)
}

/// Makes a file that only its owner reads, before SQLite makes one by the umask; what SQLite makes beside it has the same mode.
fn make_private(file: &Path) {
    // What cannot be made has its reason told by SQLite.
    if !file.exists() {
        let _ = private::open_file(file);
    }
}

/// Nobody else counts a tenant's rooms while this transaction lives: there is none.
pub(in crate::store) async fn lock_tenant(_: &mut Connection, _: &str) -> Result<(), Error> {
    Ok(())
}

/// Nothing to lock: one connection writes at a time.
pub(in crate::store) async fn lock_authority(_: &mut Connection, _: &str) -> Result<(), Error> {
    Ok(())
}

/// There is nobody to tell.
pub(in crate::store) async fn tell(_: &mut Connection, _: &str) -> Result<(), Error> {
    Ok(())
}
