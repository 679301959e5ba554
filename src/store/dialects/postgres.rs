//! PostgreSQL: several gateways. A transaction sees what others have committed before each of its statements: whoever
//! counts takes a lock first, in a statement of its own, and so counts what is true until it has written.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection as _, Executor as _, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
pub(in crate::store) use sqlx::{PgConnection as Connection, PgPool as Pool, postgres::PgRow as Row};

use tokio::time::timeout;

use crate::store::error::Error;

#[path = "statements/mod.rs"]
#[expect(clippy::duplicate_mod, reason = "the same statements, once for each dialect")]
pub(in crate::store) mod statements;

/// Others have connections too.
pub(in crate::store) const ONE_AT_A_TIME: bool = false;
pub(in crate::store) const BEGIN: &str = "BEGIN";
/// Finds a meeting that runs. Nobody else counts its seats, or ends it, while this transaction lives.
pub(in crate::store) const LOCK_MEETING: &str =
    "SELECT strangers, participants FROM meetings WHERE id = $1 AND ended_at IS NULL FOR NO KEY UPDATE";
/// Finds the oldest session of a person that has a seat and is not open. Nobody else changes it while this transaction lives.
/// By person (a `+` leaves a column out of the choice of an index): a large meeting has many seats, and a person few.
pub(in crate::store) const LOCK_NOT_OPEN: &str = "SELECT id FROM sessions
    WHERE meeting = $1 AND +seat_until > $2 AND +seat_until < $3 AND user_key = $4
        AND breakout IS NOT DISTINCT FROM $5 ORDER BY id LIMIT 1 FOR NO KEY UPDATE";
/// Finds a session. Nobody else changes it while this transaction lives.
pub(in crate::store) const LOCK_SESSION: &str =
    "SELECT s.seat_until, s.present_since, s.breakout, m.tenant FROM sessions s
    JOIN meetings m ON m.id = s.meeting WHERE s.id = $1 FOR NO KEY UPDATE OF s";
/// Where changes are told.
pub(in crate::store) const CHANNEL: &str = "anteroom";
/// Promises of different meetings do not wait for each other: enough for one machine's worth of them.
const CONNECTIONS_MAX: u32 = 16;
/// A call that has waited that long is refused with `storeUnavailable`: others have all connections, which says nothing of the
/// store. Less than a statement may take, so that this is told first.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);
/// A connection that was used more recently than that is taken to be good.
const RESTED: Duration = Duration::from_secs(1);

/// What each connection is told when it is open. What is exact here rests on this isolation, whatever the database's own default
/// is. A gateway that is cut off in the middle of a transaction keeps its locks from all others: for two hours by default.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '5s';
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// How long it may take to find out whether connections keep what they are told.
const KEEPS_TIMEOUT: Duration = Duration::from_secs(10);

pub(in crate::store) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    // PgBouncer takes neither this nor `options` when a connection begins, unless it is told to.
    let options = PgConnectOptions::from_str(url)?.extra_float_digits(None);
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("anteroom"),
    })
}

pub(in crate::store) async fn open(options: &PgConnectOptions) -> Result<Pool, Error> {
    match timeout(KEEPS_TIMEOUT, keeps_sessions(options)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return Err(Error::POOLED),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Error::SLOW),
    }
    let pool = pool_options().connect_with(options.clone()).await?;
    sqlx::migrate!("migrations/postgres").run(&pool).await.map_err(sqlx::Error::from)?;
    Ok(pool)
}

/// Whether a connection keeps what it is told. Behind PgBouncer with `pool_mode = transaction` two of them have one connection to
/// the database in turn, and with it what the other has set; notices and prepared statements are lost the same way.
async fn keeps_sessions(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut one = Connection::connect_with(options).await?;
    let mut two = Connection::connect_with(options).await?;
    one.execute(sqlx::raw_sql("SET anteroom.connection = 'one'")).await?;
    two.execute(sqlx::raw_sql("SET anteroom.connection = 'two'")).await?;
    let kept = one.fetch_one(sqlx::raw_sql("SELECT current_setting('anteroom.connection', true)")).await?;
    let kept: Option<String> = kept.try_get(0)?;
    let _ = tokio::join!(one.close(), two.close());
    Ok(kept.as_deref() == Some("one"))
}

/// A pool without connections: the first use opens one.
pub(in crate::store) fn empty_pool(options: &PgConnectOptions) -> Pool {
    pool_options().connect_lazy_with(options.clone())
}

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(SETTINGS)).await.map(drop) })
        })
        // A round trip before each use would cost as much as a statement: only what has rested may have been cut.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Nobody else counts a tenant's rooms while this transaction lives.
pub(in crate::store) async fn lock_tenant(tx: &mut Connection, tenant: &str) -> Result<(), Error> {
    // Two tenants with one number would wait for each other, and nothing else.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(tenant).execute(tx).await?;
    Ok(())
}

/// Locks the orders of a certificate authority until this transaction ends.
pub(in crate::store) async fn lock_authority(tx: &mut Connection, authority: &str) -> Result<(), Error> {
    // Another seed than that of tenants: none of them waits for an authority.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))").bind(authority).execute(tx).await?;
    Ok(())
}

/// Tells all gateways of a change, once this transaction is committed.
pub(in crate::store) async fn tell(tx: &mut Connection, change: &str) -> Result<(), Error> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(change).execute(tx).await?;
    Ok(())
}
