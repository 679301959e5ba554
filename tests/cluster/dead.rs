//! Gateways that are taken to be dead. One that is not says again who is present; of one that is the open promises are
//! settled by those that live.

use std::time::Duration;

use anteroom::{
    domain::{
        admission::RoomUsage,
        denial::Denial,
        meeting::AFTERGLOW,
        session::LEASE,
        time::{Clock, Timestamp},
    },
    store::{NewMeeting, Store},
};
use anteroom_bench::{postgres::Postgres, sign};
use sqlx::Connection;

use crate::{
    postgres,
    support::{Plan, Stage, eventually, host, plain_get},
};

/// Only who is present has a seat for longer.
const LAST: Timestamp = Timestamp::from_ms(i64::MAX - 1);

fn now() -> Timestamp {
    Clock::system().now()
}

/// A gateway on a PostgreSQL of its own, and another one beside it that is told what to do.
async fn stage() -> (Stage, Postgres, String) {
    let (postgres, url) = postgres::start().await;
    let plan = Plan::new().server("members").tenant("wagtail", "level-1").tenant("heron", "level-1");
    (plan.store(&url).start().await, postgres, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_cut_off_says_again_who_is_present() {
    let (stage, mut postgres, url) = stage().await;
    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let _socket = stage.graphql("wagtail", &ada).await.unwrap();
    let other = Store::open(&url).await.unwrap();
    let room = other.meetings().running().await.unwrap()[0].id;
    let is_present = async || other.seats().recent(room, LAST).await.unwrap() == 1;
    eventually("Ada is present", is_present).await;

    postgres.stop().unwrap();
    // For longer than there is between two heartbeats. Nothing shows that one has failed.
    tokio::time::sleep(Duration::from_secs(6)).await;
    postgres.resume().unwrap();
    let other = Store::open(&url).await.unwrap();
    let later = now().saturating_add(LEASE);
    assert_eq!(other.gateways().bury_dead(later, later).await.unwrap(), 1, "it was cut off for longer than the others");
    let is_present = async || other.seats().recent(room, LAST).await.unwrap() == 1;
    assert!(!is_present().await);
    eventually("Ada is present again", is_present).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_of_a_dead_gateway_is_settled_by_those_that_live() {
    let (stage, _postgres, url) = stage().await;
    let dead = Store::open(&url).await.unwrap();
    let (tenant, server) = ("wagtail".parse().unwrap(), "bbb-01".parse().unwrap());
    let new = NewMeeting {
        tenant: &tenant,
        account: "main",
        ext_id: "room",
        server: &server,
        owner: dead.gateway(),
        participants: None,
        expected: 10,
        records: false,
        ends_at: None,
        afterglow: AFTERGLOW,
        now: now(),
        retained_since: None,
        runs_since: None,
    };
    dead.meetings().admit(&new, None::<fn(RoomUsage) -> Result<(), Denial>>).await.unwrap();
    // Its server has made the meeting, and there is nobody to be told.
    let path = sign::path("create", &[("name", "room"), ("meetingID", "t.wagtail.room")], "bbb-01-secret");
    assert_eq!(plain_get(stage.sims[0].addr(), "localhost", &path).await.xml("returncode"), "SUCCESS");
    // What is found after a while anyway is looked for now.
    let mut told = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_notify('anteroom', 'everything')").execute(&mut told).await.unwrap();

    eventually("the promise has its answer", async || {
        dead.meetings().running().await.unwrap()[0].reserved_by().is_none()
    })
    .await;
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_that_is_away_may_know_is_not_said_to_be_missing() {
    let (stage, mut postgres, _url) = stage().await;
    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let (api, internal) = ("/bigbluebutton/api", format!("{}-1700000000000", "0".repeat(40)));
    let paths = [
        // Path, what is in the answer when the store is there.
        (format!("{}/html5client/", ada.prefix), "404"),
        (format!("/bigbluebutton/presentation/{internal}/{internal}/x/svg/1"), "404"),
        ("/html5client/?sessionToken=unknown".to_owned(), "401"),
        (format!("{api}/stuns?sessionToken=unknown"), "Could not find conference."),
        (format!("{api}/signOut?sessionToken=unknown"), "SUCCESS"),
        (format!("{api}/join?fullName=Ada&meetingID=elsewhere&grant=00"), "checksumError"),
    ];
    let answer = async |path: &str| {
        let reply = stage.client().get(&host("heron"), path).await;
        format!("{} {}", reply.status, reply.body)
    };
    for (path, there) in &paths {
        let told = answer(path).await;
        assert!(told.contains(there), "{path}: {told}");
    }
    postgres.stop().unwrap();
    for (path, _) in &paths {
        let told = answer(path).await;
        assert!(told.contains("storeUnavailable"), "{path}: {told}");
    }
    postgres.resume().unwrap();
    for (path, there) in &paths {
        eventually(path, async || answer(path).await.contains(there)).await;
    }
}
