//! A short siege, as `make siege` lays a long one: all floods at once from one address, and from another people in meetings and
//! calls. Nobody of those is refused or dropped.

use std::time::Duration;

use anteroom_bench::load::{
    siege::{self, flood::Flood, report::Report},
    stop::Stop,
    tally::Watched,
    target::{Target, roots_of},
};
use tokio::task::LocalSet;

use crate::{
    MACHINE,
    support::{Plan, host, secret},
};

const TENANT: &str = "wagtail";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_calls_go_on_while_one_address_floods() {
    let _alone = MACHINE.lock().await;
    let stage = Plan::new().server("members").tenant(TENANT, "custom").start().await;
    let target = Target {
        host: host(TENANT),
        address: stage.address,
        roots: Some(roots_of(&stage.path("dev-ca/ca.pem")).unwrap()),
        secret: secret(TENANT),
    };
    let scope = siege::Scope {
        people: 5,
        quiet: Duration::from_secs(2),
        siege: Duration::from_secs(5),
        strength: 0.1,
        memory_bytes_max: siege::MEMORY_MB_MAX * 1_000_000,
        stop: Stop::never(),
    };
    // The gateway is in this process, with servers, people and attackers: the bound is for all of them.
    let watched = Watched { gateways: vec![std::process::id()], origins: Vec::new() };
    let laid = LocalSet::new().run_until(siege::lay(&target, &watched, &scope)).await;
    let found = laid.unwrap().unwrap();
    let told = Report::new(&found, &scope, "a gateway".into()).text();
    for phase in [&found.quiet, &found.siege] {
        assert_eq!((phase.failed(), phase.course.dropped), (0, 0), "{told}");
    }
    let [_, peak] = found.peak_bytes;
    assert!(peak < scope.memory_bytes_max, "{peak} bytes of memory\n{told}");
    for flood in Flood::ALL {
        let achieved = &found.floods[&flood];
        assert!(0 < achieved.opened + achieved.refused, "{}: nobody came\n{told}", flood.name());
    }
}
