//! What people do around a meeting, each in a real browser: nothing leaves the tenant's host, and nothing tells of a server.
//! What the browser does and sees is in `browser/flows.mjs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::sync::Arc;

use anteroom_bench::sign;
use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};
use support::{Plan, Stage, browser, host, secret};

const TENANT: &str = "wagtail";

fn plan() -> Plan {
    Plan::new().server("members")
}

async fn stage(plan: Plan) -> Arc<Stage> {
    Arc::new(plan.tenant(TENANT, "multi-account").start().await)
}

async fn create(stage: &Stage, params: &[(&str, &str)]) {
    let params = [&[("name", "Members' assembly"), ("meetingID", "hall")], params].concat();
    let created = stage.api(TENANT, "create", &params).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
}

fn link(user: &str, role: &str) -> String {
    let params = [("meetingID", "hall"), ("fullName", user), ("role", role)];
    sign::join_url(&format!("https://{}", host(TENANT)), &params, &secret(TENANT))
}

/// Has a browser go through a flow; `control` is what it can have the stage do meanwhile.
async fn run(flow: &str, stage: &Stage, control: Router, more: Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, control).await });
    let home = tempfile::tempdir().unwrap();
    let mut plan = json!({
        "flow": flow,
        "chromium": browser::program(),
        "home": home.path(),
        "ca": stage.path("dev-ca/ca.pem"),
        "port": stage.address.port(),
        "screenshots": browser::screenshots(),
        "stage": format!("http://{address}"),
        "host": host(TENANT),
        "links": [link("Ada Lovelace", "MODERATOR"), link("Grace Hopper", "VIEWER")],
        "forbidden": ["internal.test", "bbb-01", "bbb-02", "127.0.0.1"],
    });
    plan.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    browser::run("flows.mjs", &plan).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_windows_know_nothing_of_each_other() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    run("privateWindow", &stage, Router::new(), Value::Null).await;
}

/// Two other sites on the same machine, each of which shows a meeting in a frame; the tenant has named one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_shows_a_meeting_in_a_frame() {
    let link = link("Ada Lovelace", "MODERATOR").replace('&', "&amp;");
    let course = format!("<!doctype html><title>Course</title><iframe src=\"{link}\" width=1100 height=700></iframe>");
    let course = get(async move || Html(course));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = format!("frontend = \"http://{}\"", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/course", course)).await });
    let sites = format!("embedded_by = [\"https://{}\"]", host("moodle"));
    let plan = plan().tenant_with(TENANT, "multi-account", &sites);
    let plan = plan.tenant_with("moodle", "free", &site).tenant_with("elsewhere", "free", &site);
    let stage = plan.start().await;
    create(&stage, &[]).await;
    let more = json!({ "site": host("moodle"), "otherSite": host("elsewhere") });
    run("embedded", &stage, Router::new(), more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_cut_come_back() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    let of = Arc::clone(&stage);
    let cut = get(async move || of.sims[0].faults().cut_sockets());
    run("reconnects", &stage, Router::new().route("/cut", cut), Value::Null).await;
}
