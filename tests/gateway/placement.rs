//! Where meetings go: weights, pools in the order of preference, events.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{Plan, Stage, eventually, write};

/// The number of meetings on each server.
fn meetings(stage: &Stage) -> Vec<usize> {
    stage.sims.iter().map(|sim| sim.meetings().len()).collect()
}

async fn create(stage: &Stage, tenant: &str, meeting: &str) {
    let reply = stage.create(tenant, meeting).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{meeting}: {}", reply.body);
}

async fn end(stage: &Stage, tenant: &str, meeting: &str) {
    let reply = stage.api(tenant, "end", &[("meetingID", meeting)]).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{meeting}: {}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_twice_the_weight_gets_twice_the_meetings() {
    let plan = Plan::new().server("members").server_like("members", "weight = 2");
    let stage = plan.tenant("wagtail", "custom").start().await;
    for n in 0..30 {
        create(&stage, "wagtail", &format!("room-{n}")).await;
    }
    assert_eq!(meetings(&stage), [10, 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_counts_as_large_as_its_creator_says() {
    let stage = Plan::new().server("members").server("members").tenant("wagtail", "custom").start().await;
    let hint = [("name", "hall"), ("meetingID", "hall"), ("meta_BBB-meeting-size-hint", "45")];
    assert_eq!(stage.api("wagtail", "create", &hint).await.xml("returncode"), "SUCCESS");
    for n in 0..5 {
        create(&stage, "wagtail", &format!("room-{n}")).await;
    }
    let mut meetings = meetings(&stage);
    meetings.sort_unstable();
    assert_eq!(meetings, [1, 5], "45 people are as many as five meetings without a hint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_its_own_server_first_and_then_the_shared_ones() {
    let mut stage = Plan::new()
        .server_like("wagtail", "meetings_max = 2")
        .server("members")
        .tenant_with("wagtail", "custom", "pool = [\"wagtail\", \"members\"]")
        .tenant_with("heron", "custom", "pool = \"wagtail\"")
        .tenant("lapwing", "custom")
        .start()
        .await;
    for meeting in ["one", "two"] {
        create(&stage, "wagtail", meeting).await;
    }
    assert_eq!(meetings(&stage), [2, 0], "its own, though the shared one is empty");
    create(&stage, "wagtail", "three").await;
    assert_eq!(meetings(&stage), [2, 1], "its own is full");
    assert_eq!(stage.create("heron", "room").await.xml("messageKey"), "noServerAvailable", "it has no other pool");
    create(&stage, "wagtail", "two").await;
    create(&stage, "lapwing", "room").await;
    assert_eq!(meetings(&stage), [2, 2], "a meeting that runs is where it was, and others have shared ones only");

    end(&stage, "wagtail", "one").await;
    create(&stage, "wagtail", "four").await;
    assert!(stage.sims[0].meeting("t.wagtail.four").is_some(), "there is a place on its own again");
    end(&stage, "wagtail", "four").await;
    stage.sims.remove(0).stop().await;
    create(&stage, "wagtail", "five").await;
    assert!(stage.sims[0].meeting("t.wagtail.five").is_some(), "its own does not answer");
}

/// A moment from now, as it is written in a file.
#[expect(clippy::disallowed_methods, reason = "the gateway under test has the clock of the system")]
fn from_now(seconds: u64) -> String {
    (OffsetDateTime::now_utc() + Duration::from_secs(seconds)).format(&Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_begins_and_ends_while_the_gateway_runs() {
    let stage = Plan::new()
        .server("members")
        .server("rented")
        .tenant_with("wagtail", "custom", "---[limits]\nparticipants = 1")
        .start()
        .await;
    create(&stage, "wagtail", "before").await;
    let file = std::fs::read_to_string(stage.path("tenants/wagtail.toml")).unwrap();
    let (from, until) = (from_now(2), from_now(8));
    let event = format!(
        "[[events]]\nfrom = \"{from}\"\nuntil = \"{until}\"\npool = \"rented\"\nlimits = {{ participants = 3 }}\n"
    );
    write(stage.dir.path(), "tenants/wagtail.toml", &format!("{file}{event}"));

    // One room at a time, so that each of them shows what holds now.
    let runs_on = async |server: usize, meeting: &str| {
        create(&stage, "wagtail", meeting).await;
        let there = stage.sims[server].meeting(&format!("t.wagtail.{meeting}")).is_some();
        if !there {
            end(&stage, "wagtail", meeting).await;
        }
        there
    };
    let full = async |meeting: &str| stage.join("wagtail", meeting, "Zoe").await.header("location").is_empty();
    eventually("the event is on", async || runs_on(1, "during").await).await;
    stage.joined("wagtail", "during", "Ada").await;
    stage.joined("wagtail", "before", "Bo").await;
    assert!(full("before").await, "it keeps the seats that it was promised");

    eventually("the event is over", async || runs_on(0, "after").await).await;
    stage.joined("wagtail", "during", "Bo").await;
    create(&stage, "wagtail", "during").await;
    assert!(stage.sims[1].meeting("t.wagtail.during").is_some(), "it goes on where it is");
    stage.joined("wagtail", "during", "Cy").await;
    assert!(full("during").await, "with the seats that it was promised");
    stage.joined("wagtail", "after", "Dee").await;
    assert!(full("after").await, "and a new one has the usual number");
}
