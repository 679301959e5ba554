//! Webhooks: a gateway that is killed, two gateways, and a store that is away lose no event, and deliver none twice.

use std::{net::SocketAddr, path::Path};

use anteroom::app::App;
use anteroom_bench::sim::{CallbackRoute, Sim};
use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    postgres,
    support::{
        Plan, eventually, metric, plain_get,
        program::{Served, anteroom, free_address},
        receiver::Receiver,
    },
};

const URL: &str = "https://wagtail.localhost/hook";
const EVENTS: &str = "meeting-created,meeting-ended";

fn plan(receiver: SocketAddr) -> Plan {
    let frontend = format!("frontend = \"http://{receiver}\"");
    Plan::new().server("members").tenant_with("wagtail", "multi-account", &frontend)
}

fn route(sim: &Sim, gateway: SocketAddr, dir: &Path) {
    sim.route_callbacks(CallbackRoute { address: gateway, ca: dir.join("dev-ca/ca.pem") });
}

/// Whether the server has been given the gateway's hook.
fn is_registered(sim: &Sim) -> bool {
    sim.log().iter().any(|seen| seen.path.ends_with("hooks/create"))
}

/// The webhooks, as the operator sees them.
fn listed(config: &Path) -> Vec<Value> {
    let output = anteroom(&["webhook", "list", "--tenant", "wagtail", "--format", "json"], config);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    listed["webhooks"].as_array().unwrap().clone()
}

/// The events that a gateway has delivered.
fn delivered(metrics: &str) -> u64 {
    metric(metrics, "anteroom_webhook_events_total", &["event=\"delivered\""])
}

/// The events that a receiver has got: type and meeting.
fn events(receiver: &Receiver) -> Vec<(String, String)> {
    let event = |body: &[u8]| {
        let field = form_urlencoded::parse(body).find(|(name, _)| name == "event").unwrap().1.into_owned();
        let event: Value = serde_json::from_str(&field).unwrap();
        let data = &event[0]["data"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&data["id"]), text(&data["attributes"]["meeting"]["external-meeting-id"]))
    };
    receiver.calls().iter().map(|seen| event(&seen.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_before_it_has_delivered_an_event_delivers_it_later() {
    // Nothing listens there yet.
    let address = free_address();
    let mut served = Served::start(plan(address)).await;
    route(&served.sims[0], served.program.https, served.dir.path());
    let params = [("callbackURL", URL), ("eventID", EVENTS)];
    assert_eq!(served.api("wagtail", "hooks/create", &params).await.xml("returncode"), "SUCCESS");
    eventually("the server has the hook", async || is_registered(&served.sims[0])).await;
    let room = [("name", "room"), ("meetingID", "room")];
    assert_eq!(served.api("wagtail", "create", &room).await.xml("returncode"), "SUCCESS");
    let heard = |sim: &Sim| sim.hook_calls().iter().filter(|call| call.answers == [Some(200)]).count();
    // The order is that in which the gateway has them.
    eventually("the first event was heard", async || heard(&served.sims[0]) >= 1).await;
    served.api("wagtail", "end", &[("meetingID", "room")]).await;
    eventually("both were heard", async || heard(&served.sims[0]) >= 2).await;
    eventually("a try has failed", async || listed(served.dir.path()).iter().any(|row| row["tries"] == 1)).await;
    served.kill().await;

    let receiver = Receiver::start_at(address).await;
    served.start_again().await;
    let row = listed(served.dir.path()).remove(0);
    assert_eq!((&row["receiver"], &row["result"]), (&"wagtail.localhost".into(), &"no connection".into()));
    assert_eq!((&row["events"], &row["waiting"]), (&EVENTS.into(), &2.into()));
    let id = row["id"].as_str().unwrap();
    let retried = anteroom(&["webhook", "retry", id], served.dir.path());
    assert!(retried.status.success(), "{retried:?}");
    eventually("all is delivered", async || listed(served.dir.path())[0]["waiting"] == 0).await;
    let expected = ["meeting-created", "meeting-ended"].map(|name| (name.to_owned(), "room".to_owned()));
    assert_eq!(events(&receiver), expected);
    assert!(!anteroom(&["webhook", "retry", "none"], served.dir.path()).status.success());
    let table = anteroom(&["webhook", "list"], served.dir.path());
    assert!(!String::from_utf8_lossy(&table.stdout).contains("/hook"), "a path may have a secret in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_deliver_each_event_once() {
    let receiver = Receiver::start().await;
    let (_postgres, url) = postgres::start().await;
    let stage = plan(receiver.address).store(&url).start().await;
    let other = App::start(stage.dir.path()).await.unwrap_or_else(|error| panic!("{error}"));
    // The one that is not asked by the tenant hears of the webhook.
    route(&stage.sims[0], other.https[0], stage.dir.path());
    let params = [("callbackURL", URL), ("eventID", EVENTS)];
    assert_eq!(stage.api("wagtail", "hooks/create", &params).await.xml("returncode"), "SUCCESS");
    eventually("the server has the hook", async || is_registered(&stage.sims[0])).await;
    let rooms: Vec<_> = (0..20).map(|n| format!("room-{n}")).collect();
    let meet = async |room: &String| {
        stage.create("wagtail", room).await;
        stage.api("wagtail", "end", &[("meetingID", room.as_str())]).await
    };
    join_all(rooms.iter().map(meet)).await;
    eventually("all are delivered", async || receiver.calls().len() >= 40).await;
    let mut all = events(&receiver);
    all.sort();
    all.dedup();
    assert_eq!((receiver.calls().len(), all.len()), (40, 40));
    eventually("all are written down", async || {
        let others = plain_get(other.admin.unwrap(), "localhost", "/metrics").await.body;
        delivered(&stage.metrics().await) + delivered(&others) == 40
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_while_the_store_is_away_are_delivered_once_when_it_is_back() {
    let receiver = Receiver::start().await;
    let (postgres, url) = postgres::start().await;
    let stage = plan(receiver.address).store(&url).start().await;
    route(&stage.sims[0], stage.address, stage.dir.path());
    let params = [("callbackURL", URL), ("eventID", EVENTS)];
    assert_eq!(stage.api("wagtail", "hooks/create", &params).await.xml("returncode"), "SUCCESS");
    eventually("the server has the hook", async || is_registered(&stage.sims[0])).await;
    stage.create("wagtail", "room").await;
    eventually("its beginning is delivered", async || receiver.calls().len() == 1).await;
    let postgres = postgres::stop(postgres).await;
    eventually("the store is away", async || stage.metric("anteroom_store_up", &[]).await == 0).await;
    stage.sims[0].end_meeting("t.wagtail.room");
    let refused = async || stage.sims[0].hook_calls().iter().any(|call| call.answers.contains(&Some(503)));
    eventually("its server is told to call again", refused).await;
    let _postgres = postgres::resume(postgres).await;
    eventually("it is delivered", async || receiver.calls().len() == 2).await;
    let expected = ["meeting-created", "meeting-ended"].map(|name| (name.to_owned(), "room".to_owned()));
    assert_eq!(events(&receiver), expected);
    eventually("both are written down", async || delivered(&stage.metrics().await) == 2).await;
    assert_eq!(receiver.calls().len(), 2);
}
