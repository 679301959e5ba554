//! A store behind PgBouncer.
//!
//! Report 14: "PgBouncer in front of the store: the start fails with the database's raw words." The other reports are in
//! tests/gateway/reports.

use anteroom_bench::pgbouncer::PgBouncer;
use sqlx::Row as _;

use super::*;

async fn behind(mode: &'static str, more: &'static str) -> (PgBouncer, String) {
    let started = tokio::task::spawn_blocking(move || {
        let url = POSTGRES.database().expect("a database");
        let database = url.rsplit('/').next().expect("a name").to_owned();
        let pooler = PgBouncer::start(POSTGRES.address(), mode, more).expect("PgBouncer");
        let url = pooler.url(&database);
        (pooler, url)
    });
    started.await.expect("done")
}

#[tokio::test]
async fn pgbouncer_that_pools_by_session_needs_no_settings_of_its_own_and_loses_none_of_ours() {
    // The second is what operators have who have followed a recipe of another program.
    for more in ["", "ignore_startup_parameters = options,extra_float_digits\nserver_reset_query_always = 1"] {
        by_session(more).await;
    }
}

async fn by_session(more: &'static str) {
    let (_pooler, url) = behind("session", more).await;
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
    // What sqlx issue 62 and most recipes say to set.
    let ignores = "ignore_startup_parameters = options,extra_float_digits,IntervalStyle";
    let resets = "server_reset_query_always = 1";
    for (mode, more) in [("transaction", ""), ("statement", ""), ("transaction", ignores), ("transaction", resets)] {
        let (_pooler, url) = behind(mode, more).await;
        let error = Store::open(&url).await.expect_err("it would lose notices, settings and prepared statements");
        let told = error.to_string();
        assert!(told.contains("PgBouncer") && told.contains("pool_mode = session"), "{mode}, {more}: {told}");
        assert!(std::error::Error::source(&error).is_none(), "{mode}, {more}: without the database's raw words");
    }
}
