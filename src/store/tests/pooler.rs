//! A store behind PgBouncer.

use anteroom_bench::pgbouncer::PgBouncer;
use sqlx::Row as _;

use super::*;

async fn behind(mode: &'static str) -> (PgBouncer, String) {
    let started = tokio::task::spawn_blocking(move || {
        let url = POSTGRES.database().expect("a database");
        let database = url.rsplit('/').next().expect("a name").to_owned();
        let pooler = PgBouncer::start(POSTGRES.address(), mode).expect("PgBouncer");
        let url = pooler.url(&database);
        (pooler, url)
    });
    started.await.expect("done")
}

#[tokio::test]
async fn pgbouncer_that_pools_by_session_needs_no_settings_of_its_own_and_loses_none_of_ours() {
    let (_pooler, url) = behind("session").await;
    let store = Store::open(&url).await.expect("a store");
    let meeting = create(&store, "a", "one", 1).await.expect("a room");
    join(&store, meeting, 0, 60, 1).await.expect("a seat");
    let Dialect::Postgres(health) = &store.db.dialect else { panic!("PostgreSQL") };
    for (name, value) in
        [("idle_in_transaction_session_timeout", "5s"), ("default_transaction_isolation", "read committed")]
    {
        let row = sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(&*health.pool()).await.expect("a row");
        assert_eq!(row.get::<String, _>(0), value, "{name}");
    }
    // What another gateway does is told.
    let other = Store::open(&url).await.expect("a store");
    let (told, mut changes) = tokio::sync::mpsc::channel(8);
    let attending = tokio::spawn(async move { other.attend(told).await });
    assert_eq!(changes.recv().await, Some(Change::Everything), "it listens");
    store.meetings().end(meeting, ms(100)).await.expect("ended");
    assert_eq!(changes.recv().await, Some(Change::Meetings(vec![meeting])));
    attending.abort();
}

#[tokio::test]
async fn pgbouncer_that_pools_by_transaction_is_refused_in_one_sentence() {
    for mode in ["transaction", "statement"] {
        let (_pooler, url) = behind(mode).await;
        let error = Store::open(&url).await.expect_err("it would lose notices, settings and prepared statements");
        let told = error.to_string();
        assert!(told.contains("PgBouncer") && told.contains("pool_mode = session"), "{mode}: {told}");
        assert!(std::error::Error::source(&error).is_none(), "{mode}: without the database's raw words");
    }
}
