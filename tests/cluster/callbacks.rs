//! Callbacks: a gateway that is killed, two gateways, and a store that is away lose none of them, and deliver none twice.

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

const URL: &str = "https://wagtail.localhost/meeting_ended";

fn plan(receiver: SocketAddr) -> Plan {
    let frontend = format!("frontend = \"http://{receiver}\"");
    Plan::new().server("members").tenant_with("wagtail", "multi-account", &frontend)
}

fn route(sim: &Sim, gateway: SocketAddr, dir: &Path) {
    sim.route_callbacks(CallbackRoute { address: gateway, ca: dir.join("dev-ca/ca.pem") });
}

/// The callbacks that wait.
fn waiting(config: &Path) -> Vec<Value> {
    let output = anteroom(&["callback", "list", "--tenant", "wagtail", "--format", "json"], config);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    listed["callbacks"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_before_it_has_delivered_a_callback_delivers_it_later() {
    // Nothing listens there yet.
    let address = free_address();
    let mut served = Served::start(plan(address)).await;
    route(&served.sims[0], served.program.https, served.dir.path());
    let params = [("name", "room"), ("meetingID", "room"), ("meetingEndedURL", URL)];
    assert_eq!(served.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
    served.api("wagtail", "end", &[("meetingID", "room")]).await;
    eventually("its server was heard", async || !served.sims[0].callbacks().is_empty()).await;
    assert_eq!(served.sims[0].callbacks()[0].answers, [Some(200)]);
    eventually("a try has failed", async || waiting(served.dir.path()).iter().any(|row| row["tries"] == 1)).await;
    served.kill().await;

    let receiver = Receiver::start_at(address).await;
    served.start_again().await;
    let row = waiting(served.dir.path()).remove(0);
    assert_eq!((&row["receiver"], &row["result"]), (&"wagtail.localhost".into(), &"no connection".into()));
    assert_eq!((&row["meeting_id"], &row["parameter"]), (&"room".into(), &"meetingEndedURL".into()));
    let id = row["id"].to_string();
    let retried = anteroom(&["callback", "retry", &id], served.dir.path());
    assert!(retried.status.success(), "{retried:?}");
    eventually("it is delivered", async || waiting(served.dir.path()).is_empty()).await;
    assert_eq!(receiver.calls().len(), 1);
    assert_eq!(receiver.calls()[0].target, "/meeting_ended?recordingmarks=false&meetingID=room");
    let again = anteroom(&["callback", "retry", &id], served.dir.path());
    assert!(!again.status.success(), "it is delivered");
    let listed = anteroom(&["callback", "list", "--state", "delivered"], served.dir.path());
    assert!(String::from_utf8_lossy(&listed.stdout).contains("HTTP 200"), "{listed:?}");
    let secret = String::from_utf8_lossy(&listed.stdout).contains("/meeting_ended");
    assert!(!secret, "a path may have a secret in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_tell_each_end_once() {
    let receiver = Receiver::start().await;
    let (_postgres, url) = postgres::start().await;
    let stage = plan(receiver.address).store(&url).start().await;
    let other = App::start(stage.dir.path()).await.unwrap_or_else(|error| panic!("{error}"));
    route(&stage.sims[0], other.https[0], stage.dir.path());
    let rooms: Vec<_> = (0..20).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        let params = [("name", "room"), ("meetingID", room), ("meetingEndedURL", URL), ("meta_endCallbackUrl", URL)];
        assert_eq!(stage.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
    }
    let end = async |room: &String| stage.api("wagtail", "end", &[("meetingID", room.as_str())]).await;
    join_all(rooms.iter().map(end)).await;
    eventually("all are delivered", async || {
        let delivered = stage.metric("anteroom_callbacks_total", &["event=\"delivered\""]).await;
        let others = plain_get(other.admin.unwrap(), "localhost", "/metrics").await.body;
        delivered + metric(&others, "anteroom_callbacks_total", &["event=\"delivered\""]) == 40
    })
    .await;
    let mut targets: Vec<_> = receiver.calls().iter().map(|seen| seen.target.clone()).collect();
    targets.sort();
    targets.dedup();
    assert_eq!((receiver.calls().len(), targets.len()), (40, 20), "one for each of the two addresses");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_comes_while_the_store_is_away_is_kept_when_it_is_back() {
    let receiver = Receiver::start().await;
    let (postgres, url) = postgres::start().await;
    let stage = plan(receiver.address).store(&url).start().await;
    route(&stage.sims[0], stage.address, stage.dir.path());
    let params = [("name", "room"), ("meetingID", "room"), ("meetingEndedURL", URL)];
    assert_eq!(stage.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
    let postgres = postgres::stop(postgres).await;
    eventually("the store is away", async || stage.metric("anteroom_store_up", &[]).await == 0).await;
    stage.sims[0].end_meeting("t.wagtail.room");
    let postgres = postgres::resume(postgres).await;
    eventually("it is delivered", async || receiver.calls().len() == 1).await;
    assert_eq!(stage.sims[0].callbacks()[0].answers, [Some(200)], "its server was answered only then");
    eventually("it is written down", async || {
        stage.metric("anteroom_callbacks_total", &["event=\"delivered\""]).await == 1
    })
    .await;
    drop(postgres);
}
