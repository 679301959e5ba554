//! A few people, as `make bench-person` lets hundreds come: each kind of browser gets in, with as many connections as it has.

use std::{io, time::Duration};

use anteroom_bench::load::{
    person::{Scope, Shape, measure},
    stop::Stop,
    target::{Target, roots_of},
};
use tokio::task::LocalSet;

use crate::{
    MACHINE,
    support::{Plan, Stage, host, secret},
};

const TENANT: &str = "wagtail";
const PEOPLE: u32 = 4;
const MESSAGES: u32 = 2;

async fn stage(shares_connections: bool) -> Stage {
    let plan = Plan::new().server("members").tenant(TENANT, "custom");
    let keys = format!("[listen]\nhttp2_websockets = {shares_connections}\n");
    plan.start_changed(async |text, _| text.replace("[listen]\n", &keys)).await
}

async fn cost(stage: &Stage, shape: Shape) -> io::Result<anteroom_bench::load::person::Cost> {
    let target = Target {
        host: host(TENANT),
        address: stage.address,
        roots: Some(roots_of(&stage.path("dev-ca/ca.pem")).unwrap()),
        secret: secret(TENANT),
    };
    let scope = Scope {
        shapes: Vec::new(),
        carriers: Vec::new(),
        people: PEOPLE,
        quiet: Duration::from_millis(100),
        messages: MESSAGES,
        stop: Stop::never(),
    };
    LocalSet::new().run_until(measure(shape, std::process::id(), &target, &scope)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_browser_gets_in_and_is_heard() {
    let _alone = MACHINE.lock().await;
    let stage = stage(true).await;
    for (shape, handshakes) in [(Shape::Rfc8441, 1.0), (Shape::H2, 4.0), (Shape::H1, 9.0)] {
        let cost = cost(&stage, shape).await.unwrap();
        assert_eq!((cost.people, cost.failed, &cost.why), (PEOPLE, 0, &None), "{shape}");
        assert_eq!(cost.handshakes, handshakes, "{shape}");
        assert_eq!(cost.messages, u64::from(PEOPLE * MESSAGES), "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_on_a_shared_connection_are_asked_for_only_where_they_are_offered() {
    let _alone = MACHINE.lock().await;
    let stage = stage(false).await;
    assert_eq!(cost(&stage, Shape::Rfc8441).await.unwrap_err().kind(), io::ErrorKind::Unsupported);
}
