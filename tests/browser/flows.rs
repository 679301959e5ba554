//! What people do around a meeting, each in a real browser: nothing leaves the tenant's host, and nothing tells of a server.
//! What the browser does and sees is in `browser/flows.mjs`.

use std::sync::Arc;

use anteroom_bench::{
    sign,
    sim::{self, Profile},
};
use axum::{Router, response::Html, routing::get};
use serde_json::{Value, json};

use crate::support::{Plan, Stage, browser, eventually, host, secret};

const TENANT: &str = "wagtail";

fn plan() -> Plan {
    Plan::new().server("members").tenant("heron", "multi-account")
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
    let mut of_flow = json!({
        "flow": flow,
        "stage": format!("http://{address}"),
        "host": host(TENANT),
        "links": [link("Ada Lovelace", "MODERATOR"), link("Grace Hopper", "VIEWER")],
        "forbidden": ["internal.test", "bbb-01", "bbb-02", "127.0.0.1"],
    });
    of_flow.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    browser::run("flows.mjs", &browser::plan(stage, home.path(), &of_flow)).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_windows_know_nothing_of_each_other() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    run("privateWindow", &stage, Router::new(), Value::Null).await;
}

/// Two other sites on the same machine, each of which shows a meeting in a frame; the tenant has named one of them, and its
/// server has headers that were written for its own site.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_shows_a_meeting_in_a_frame() {
    let link = link("Ada Lovelace", "MODERATOR").replace('&', "&amp;");
    let frame = format!("<iframe src=\"{link}\" width=1100 height=700 allow=\"camera; microphone\"></iframe>");
    let course = format!("<!doctype html><title>Course</title>{frame}");
    let isolated = ([("cross-origin-embedder-policy", "require-corp")], Html(course.clone()));
    let pages =
        Router::new().route("/course", get(async move || Html(course))).route("/isolated", get(async move || isolated));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = format!("frontend = \"http://{}\"", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let sites = format!("embedded_by = [\"https://{}\"]", host("moodle"));
    let answer_headers = vec![
        ("content-security-policy", "frame-ancestors 'self'; object-src 'none'"),
        ("x-frame-options", "SAMEORIGIN"),
        ("permissions-policy", "camera=(), microphone=(\"https://bbb-01.internal.test\"), geolocation=()"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
    ];
    let config = sim::Config { answer_headers, ..sim::Config::default() };
    let plan = Plan::new().server_with("members", config).tenant_with(TENANT, "multi-account", &sites);
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

/// Chromium puts its sockets on the connection of the page where it may.
#[tokio::test(flavor = "multi_thread")]
async fn page_and_sockets_of_a_person_share_a_connection() {
    for shared in [true, false] {
        let change = async |text: String, _: &[_]| {
            text.replace("[listen]\n", &format!("[listen]\nhttp2_websockets = {shared}\n"))
        };
        let stage = Arc::new(plan().tenant(TENANT, "multi-account").start_changed(change).await);
        create(&stage, &[]).await;
        let of = Arc::clone(&stage);
        let open = get(async move || {
            let [open, places] = ["anteroom_open_connections", "anteroom_connection_places"];
            let counted = [of.metric(open, &[]).await, of.metric(places, &[]).await];
            format!("[{}, {}, {}]", counted[0], counted[1], of.metric("anteroom_open_sockets", &[TENANT]).await)
        });
        run("connections", &stage, Router::new().route("/connections", open), json!({ "shared": shared })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn breakout_rooms_are_gone_to_and_come_back_from() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    run("breakout", &stage, Router::new(), Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_wait_and_are_let_in_or_turned_away() {
    let stage = stage(plan()).await;
    create(&stage, &[("guestPolicy", "ASK_MODERATOR")]).await;
    let guest = |name| {
        let params = [("meetingID", "hall"), ("fullName", name), ("role", "VIEWER"), ("guest", "true")];
        sign::join_url(&format!("https://{}", host(TENANT)), &params, &secret(TENANT))
    };
    let more = json!({ "guests": [guest("Grace Hopper"), guest("Mallory")] });
    run("guest", &stage, Router::new(), more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_up_and_are_shown() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    run("documents", &stage, Router::new(), Value::Null).await;
    let log = stage.sims[0].log();
    let uploads: Vec<_> = log.iter().filter(|seen| seen.path.ends_with("/upload")).collect();
    assert_eq!(uploads.len(), 2);
    assert!(uploads[0].body_bytes > 29_990_000 && uploads[0].body_sha256.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_learning_dashboard_opens_beside_the_meeting_and_in_another_browser() {
    let stage = stage(plan().server("members")).await;
    create(&stage, &[]).await;
    run("dashboard", &stage, Router::new(), Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_notes_are_shared() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    run("notes", &stage, Router::new(), Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_watched_on_the_tenants_host() {
    let fast = sim::Config { speed: 600.0, ..sim::Config::default() };
    let stage = stage(Plan::new().server_with("members", fast).tenant("heron", "multi-account")).await;
    let stays = ("meetingExpireIfNoUserJoinedInMinutes", "60");
    create(&stage, &[("record", "true"), ("autoStartRecording", "true"), stays]).await;
    let joined = stage.joined(TENANT, "hall", "Ada").await;
    drop(stage.graphql(TENANT, &joined).await.unwrap());
    let id = stage.on_server(TENANT, "hall").unwrap().int_id;
    assert_eq!(stage.api(TENANT, "end", &[("meetingID", "hall")]).await.xml("returncode"), "SUCCESS");
    eventually("the recording is published", async || {
        let list = stage.api(TENANT, "getRecordings", &[("recordID", &id)]).await;
        list.xml("state") == "published"
    })
    .await;
    let list = stage.api(TENANT, "getRecordings", &[("recordID", &id)]).await;
    let more = json!({ "recording": list.xml("url"), "otherHost": host("heron") });
    run("recording", &stage, Router::new(), more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meetings_are_held_on_servers_of_other_releases() {
    let old = |profile| sim::Config { profile, reveals_version: true, ..sim::Config::default() };
    for profile in [Profile::V3_0_0, Profile::V3_0_39, Profile::V4_0] {
        let stage = stage(Plan::new().server_with("members", old(profile))).await;
        create(&stage, &[]).await;
        run("older", &stage, Router::new(), json!({ "label": profile.name, "path": profile.client_path })).await;
    }
    let plan = Plan::new().server_with_keys("own", old(Profile::V2_7), "version = \"2.7\"").server("members");
    let stage_of_2_7 = plan.tenant_with(TENANT, "multi-account", "pool = \"own\"").start().await;
    create(&stage_of_2_7, &[]).await;
    run("older", &stage_of_2_7, Router::new(), json!({ "label": "2.7", "path": Profile::V2_7.client_path })).await;
}

/// The client of 3.0 without an address of LiveKit, beside that of 4.0 with an empty one, an older LiveKit, and a host by itself.
#[tokio::test(flavor = "multi_thread")]
async fn livekit_notes_and_images_are_those_of_each_tabs_server() {
    let settings = |settings: Value| json!({ "public": settings });
    let of_3_0 = sim::Config {
        client_settings: settings(json!({
            "media": { "livekit": null },
            "sharedNotes": { "serverHostname": "bbb-01.internal.test" },
        })),
        livekit_knows_v1: false,
        ..sim::Config::default()
    };
    let of_4_0 = sim::Config {
        client_settings: settings(json!({ "media": { "livekit": { "url": "" } } })),
        profile: Profile::V4_0,
        ..sim::Config::default()
    };
    let stage = stage(Plan::new().server_with("members", of_3_0).server_with("members", of_4_0)).await;
    let mut links = Vec::new();
    for room in ["one", "two"] {
        stage.create(TENANT, room).await;
        let params = [("meetingID", room), ("fullName", "Ada Lovelace"), ("role", "MODERATOR")];
        links.push(sign::join_url(&format!("https://{}", host(TENANT)), &params, &secret(TENANT)));
    }
    run("liveKit", &stage, Router::new(), json!({ "links": links })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_browser_gets_nothing_of_a_meeting() {
    let stage = stage(plan()).await;
    create(&stage, &[]).await;
    stage.create("heron", "reading").await;
    let params = [("meetingID", "reading"), ("fullName", "Mallory"), ("role", "MODERATOR")];
    let other = sign::join_url(&format!("https://{}", host("heron")), &params, &secret("heron"));
    run("strangers", &stage, Router::new(), json!({ "otherLink": other })).await;
}
