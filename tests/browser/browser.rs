//! People in a real browser: they follow a link into a meeting on the tenant's own host, and nothing they see or send
//! tells of anything else. What the browser does and sees is in `browser/meeting.mjs`, and for the demo in `demo.mjs`.

use std::{path::Path, process::Stdio};

use anteroom_bench::sign;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::support::{DEADLINE, Plan, Stage, browser, host, secret};

/// Places on the level of the tenant `sparrow`.
const FREE_PLACES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn people_are_in_their_meetings_on_the_tenants_hosts() {
    let stage = Plan::new()
        .server("members")
        .server("members")
        .tenant("wagtail", "multi-account")
        .tenant("heron", "level-1")
        .tenant("sparrow", "free")
        .start()
        .await;
    create(&stage, "wagtail", "hall").await;
    create(&stage, "heron", "reading").await;
    // The server with the least load gets the next meeting: of three, one is on another server than the hall.
    let attic = room_elsewhere(&stage, "wagtail", "hall").await;
    let mut rooms = vec![
        room(&stage, "wagtail", "hall", "Ada Lovelace"),
        room(&stage, "heron", "reading", "Grace Hopper"),
        room(&stage, "wagtail", &attic, "Ada Lovelace"),
    ];
    for (n, label) in ["wagtail-hall", "heron-reading", "wagtail-attic"].into_iter().enumerate() {
        rooms[n]["label"] = label.into();
    }
    create(&stage, "sparrow", "nest").await;
    for n in 0..FREE_PLACES {
        stage.joined("sparrow", "nest", &format!("Guest {n}")).await;
    }

    let home = tempfile::tempdir().unwrap();
    let more = json!({
        "rooms": rooms,
        "full": { "label": "meeting-full", "host": host("sparrow"), "join": join_link("sparrow", "nest", "Too Late") },
        "landing": { "label": "landing", "host": host("wagtail") },
        "forbidden": ["internal.test", "bbb-01", "bbb-02", "127.0.0.1"],
    });
    browser::run("meeting.mjs", &browser::plan(&stage, home.path(), &more)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_links_of_the_demo_lead_into_meetings() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("demo");
    let gateway = Path::new(env!("CARGO_BIN_EXE_anteroom"));
    let program = gateway.with_file_name("anteroom-demo");
    let mut demo = Command::new(&program)
        .args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo"), "--dir"])
        .arg(&dir)
        .arg("--anteroom")
        .arg(gateway)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo build --workspace`", program.display()));
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut links = Vec::new();
    timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            links.extend(line.split(' ').find(|word| word.contains("/api/join?")).map(str::to_owned));
            if line.starts_with("stop") {
                return;
            }
        }
        panic!("the demo has stopped: {:?}", demo.wait().await);
    })
    .await
    .expect("the demo takes too long to start");
    assert_eq!(links.len(), 12, "two per tenant, one tenant per level: {links:?}");
    let plan = json!({
        "chromium": browser::program(),
        "home": home.path(),
        "ca": dir.join("dev-ca/ca.pem"),
        "screenshots": browser::screenshots(),
        "links": links,
    });
    browser::run("demo.mjs", &plan).await;

    let told = Command::new("kill").args(["-INT", &demo.id().unwrap().to_string()]).status().await.unwrap();
    assert!(told.success());
    let stopped = timeout(DEADLINE, demo.wait()).await.expect("the demo does not stop").unwrap();
    assert!(stopped.success(), "{stopped}");
}

async fn create(stage: &Stage, tenant: &str, meeting: &str) {
    let name = match meeting {
        "hall" => "Members' assembly",
        "reading" => "Reading circle",
        _ => "Board meeting",
    };
    let created = stage.api(tenant, "create", &[("name", name), ("meetingID", meeting)]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
}

/// Creates rooms until one is on another server than the room `than`.
async fn room_elsewhere(stage: &Stage, tenant: &str, than: &str) -> String {
    for n in 1..=3 {
        let meeting = format!("attic-{n}");
        create(stage, tenant, &meeting).await;
        if server_of(stage, tenant, &meeting) != server_of(stage, tenant, than) {
            return meeting;
        }
    }
    panic!("three rooms are on one of two servers");
}

fn server_of(stage: &Stage, tenant: &str, meeting: &str) -> usize {
    let id = format!("t.{tenant}.{meeting}");
    stage.sims.iter().position(|sim| sim.meeting(&id).is_some()).unwrap()
}

/// A room as the browser is to find it.
fn room(stage: &Stage, tenant: &str, meeting: &str, user: &str) -> Value {
    let server = server_of(stage, tenant, meeting);
    json!({
        "host": host(tenant),
        "join": join_link(tenant, meeting, user),
        "meeting": format!("t.{tenant}.{meeting}"),
        "user": user,
        "server": {
            "name": format!("bbb-0{}.internal.test", server + 1),
            "authority": stage.sims[server].addr().to_string(),
        },
    })
}

fn join_link(tenant: &str, meeting: &str, user: &str) -> String {
    let params = [("meetingID", meeting), ("fullName", user), ("role", "MODERATOR")];
    sign::join_url(&format!("https://{}", host(tenant)), &params, &secret(tenant))
}
