//! Strangers who make the gateway ask the store: they do not keep it from others.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::{
    postgres,
    support::{Plan, Stage, eventually, evil::client::Raw, host},
};

/// The status of a page of a session that there is not, asked for from another address than everybody's.
async fn stranger(stage: &Stage, number: usize) -> String {
    let mut raw = Raw::open_from(stage, &host("wagtail"), "127.0.0.2").await;
    let path = format!("/bigbluebutton/api/stuns?sessionToken=unknown{number}");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host("wagtail"));
    raw.send(request).await.read_for(Duration::from_secs(8)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_there_are_not_leave_the_shared_store_to_others() {
    let (_postgres, url) = postgres::start().await;
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.store(&url).start().await;
    // A store that takes its time for sessions, and only for those.
    let mut slow = PgConnection::connect(&url).await.unwrap();
    let mut slow = slow.begin().await.unwrap();
    slow.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let strangers = join_all((0..40).map(|number| stranger(&stage, number)));
    let others = async {
        let mut locks = PgConnection::connect(&url).await.unwrap();
        eventually("two of the address look, and the others wait for them", async || {
            let row = locks.fetch_one("SELECT COUNT(*) FROM pg_locks WHERE NOT granted").await.unwrap();
            row.get::<i64, _>(0) == 2
        })
        .await;
        let made = stage.create("heron", "room").await;
        assert_eq!(made.xml("returncode"), "SUCCESS", "{made:?}");
    };
    let (answers, ()) = tokio::join!(strangers, others);
    let refused = answers.iter().filter(|answer| answer.contains("overloaded") && answer.contains("retry-after: 2"));
    assert_eq!(refused.count(), 38, "{:?}", answers.iter().max_by_key(|answer| answer.len()));
    slow.rollback().await.unwrap();
    eventually("the store is asked again", async || {
        let answer = stranger(&stage, 99).await;
        answer.contains("Could not find conference.")
    })
    .await;
}
