//! Promises per second: rooms and seats, on SQLite and on PostgreSQL, by how many ask at once and by how many meetings are
//! stored. What is committed survives what it survives in service: PostgreSQL syncs, SQLite leaves that to its checkpoints.
//!
//! `cargo bench --bench admission`

#![allow(clippy::unwrap_used, missing_docs, reason = "not part of an interface")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anteroom::{
    domain::{
        admission::RoomUsage,
        denial::Denial,
        ids::{MeetingNumber, ServerId, SessionNumber, TenantId},
        limits::Limit,
        meeting::AFTERGLOW,
        session::Held,
        time::Timestamp,
    },
    store::{Admitted, NewMeeting, NewSession, Store},
};
use anteroom_bench::postgres::{Durable, Postgres};
use sqlx::{Connection, PgConnection, SqliteConnection};

const STORED: [u32; 3] = [10, 1_000, 100_000];
const CALLERS: [u64; 3] = [1, 8, 64];
/// Tenants that the stored meetings are spread over; those who ask are some of them.
const TENANTS: u32 = 1_000;
const LASTS: Duration = Duration::from_secs(2);
/// When the rooms are promised.
const NOW: Timestamp = Timestamp::from_secs(2_000);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let postgres = Postgres::start(Durable::Yes).unwrap();
    println!("{:<11} {:>8} {:>8} {:>12} {:>12}", "store", "stored", "callers", "rooms/s", "seats/s");
    for stored in STORED {
        let dir = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", dir.path().join("store.db").display());
        runtime.block_on(async {
            measure("SQLite", &sqlite, stored).await;
            measure("PostgreSQL", &postgres.database().unwrap(), stored).await;
        });
    }
}

async fn measure(name: &str, url: &str, stored: u32) {
    let store = Store::open(url).await.unwrap();
    fill(url, stored).await;
    for callers in CALLERS {
        let rooms = rate(callers, |caller, n| {
            let store = store.clone();
            async move { create(&store, caller, n).await }
        })
        .await;
        let mut meetings = Vec::new();
        for caller in 0..callers {
            meetings.push(create(&store, caller, u64::MAX).await);
        }
        let meetings = Arc::new(meetings);
        let seats = rate(callers, |caller, n| {
            let (store, meetings) = (store.clone(), Arc::clone(&meetings));
            async move { join(&store, meetings[usize::try_from(caller).unwrap()], n).await }
        })
        .await;
        for meeting in meetings.iter() {
            store.meetings().abandon(*meeting, NOW).await.unwrap();
        }
        println!("{name:<11} {stored:>8} {callers:>8} {rooms:>12.0} {seats:>12.0}");
    }
    store.close().await;
}

/// How often a second something is done by so many callers, each of whom begins again when it is done.
async fn rate<F: Future<Output = N> + Send + 'static, N: Send + 'static>(
    callers: u64,
    ask: impl Fn(u64, u64) -> F,
) -> f64 {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let (done, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut futures = futures_util::stream::FuturesUnordered::new();
    let next = |caller: u64| {
        let work = ask(caller, TURN.fetch_add(1, Relaxed));
        let done = Arc::clone(&done);
        let handle = tokio::spawn(async move {
            work.await;
            done.fetch_add(1, Relaxed);
        });
        async move {
            handle.await.unwrap();
            caller
        }
    };
    for caller in 0..callers {
        futures.push(next(caller));
    }
    use futures_util::StreamExt;
    while let Some(caller) = futures.next().await {
        if started.elapsed() < LASTS {
            futures.push(next(caller));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let done = done.load(Relaxed) as f64;
    done / started.elapsed().as_secs_f64()
}

fn tenant(caller: u64) -> TenantId {
    format!("tenant-{caller}").parse().unwrap()
}

/// Promises a room of a tenant that has some, within limits that are counted, and gives it back: the store stays as large as
/// it was.
async fn create(store: &Store, caller: u64, n: u64) -> MeetingNumber {
    let (tenant, server): (_, ServerId) = (tenant(caller), "bbb-01".parse().unwrap());
    let ext_id = format!("new-{n}");
    let new = NewMeeting {
        tenant: &tenant,
        account: "main",
        ext_id: &ext_id,
        server: &server,
        owner: store.gateway(),
        participants: Some(50),
        expected: 10,
        records: true,
        ends_at: None,
        afterglow: AFTERGLOW,
        now: NOW,
        retained_since: None,
        runs_since: None,
    };
    let decide = |usage: RoomUsage| if usage.rooms > 1_000_000 { Err(Denial::RoomLimitReached) } else { Ok(()) };
    match store.meetings().admit(&new, Some(decide)).await.unwrap() {
        Admitted::New { id, .. } => {
            if n != u64::MAX {
                store.meetings().abandon(id, NOW).await.unwrap();
            }
            id
        }
        Admitted::Existing(_) => unreachable!("each room has a name of its own"),
    }
}

async fn join(store: &Store, meeting: MeetingNumber, n: u64) -> SessionNumber {
    let mut user = [0; 32];
    user[..8].copy_from_slice(&n.to_be_bytes());
    // Each lease has lapsed when the next one is asked for: the meeting is never full.
    let now = Timestamp::from_ms(i64::try_from(n).unwrap());
    let held = Held::Until(now.saturating_add(Duration::from_millis(1)));
    let new = NewSession { meeting, user: Some(&user), now, held, seats: Limit::AtMost(200), breakout: None };
    store.seats().admit(&new).await.unwrap().id
}

/// Stores meetings: one in ten runs, the others have ended.
async fn fill(url: &str, meetings: u32) {
    let select = format!(
        "INSERT INTO meetings (tenant, account, ext_id, server, participants, internal_id, created_at, ended_at)
         SELECT 'tenant-' || (n % {TENANTS}), 'main', 'room-' || n, 'bbb-01', 50, 'int-' || n, 1000000,
                CASE WHEN n % 10 = 0 THEN NULL ELSE 1000000 + n END FROM"
    );
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let numbers = format!(
            "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {meetings}) {select} series"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(numbers)).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let numbers = format!("{select} generate_series(1, {meetings}) AS n; ANALYZE meetings");
        sqlx::raw_sql(sqlx::AssertSqlSafe(numbers)).execute(&mut connection).await.unwrap();
    }
}
