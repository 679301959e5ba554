//! The program itself: started, killed, started again; stopped in good order; and what it writes down.

use std::{fs, net::TcpListener};

use anteroom_bench::sim::{BreakoutPlan, Sim};

use crate::support::{
    DEADLINE, Joined, Plan, eventually, host, plain_get,
    program::{Served, anteroom, free_address},
    store::written,
    write,
};

const ROOM: [(&str, &str); 2] = [("name", "room"), ("meetingID", "room")];
const ADA: [(&str, &str); 3] = [("meetingID", "room"), ("fullName", "Ada Secretname"), ("role", "VIEWER")];

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_meetings_rooms_seats_and_sessions_are_known_again() {
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 2");
    let mut gateway = Served::start(plan).await;

    assert_eq!(gateway.api("tiny", "create", &ROOM).await.xml("returncode"), "SUCCESS");
    let ada = Joined::by("tiny", &gateway.api("tiny", "join", &ADA).await);
    let socket = gateway.client.graphql(&host("tiny"), &ada).await.unwrap();
    assert_eq!(gateway.api("tiny", "join", &ADA).await.status, 302, "seat 2 of 2");
    // What follows from a promise is written a moment later.
    written(gateway.dir.path(), 1).await;

    gateway.kill().await;
    drop(socket);
    gateway.start_again().await;

    let info = gateway.api("tiny", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
    let other = [("name", "other"), ("meetingID", "other")];
    assert_eq!(gateway.api("tiny", "create", &other).await.xml("messageKey"), "roomLimitReached");
    assert_eq!(gateway.api("tiny", "join", &ADA).await.xml("messageKey"), "maxParticipantsReached");
    gateway.client.graphql(&host("tiny"), &ada).await.expect("the session and its address are as they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_people_in_breakout_rooms_are_known_again() {
    let plan = Plan::new().server("members").tenant_with("tiny", "level-1", "---[limits]\nparticipants = 2");
    let mut gateway = Served::start(plan).await;
    assert_eq!(gateway.api("tiny", "create", &ROOM).await.xml("returncode"), "SUCCESS");
    let ada = Joined::by("tiny", &gateway.api("tiny", "join", &ADA).await);
    let rooms = BreakoutPlan { rooms: 3, free_join: true, ..BreakoutPlan::default() };
    let rooms = gateway.sims[0].open_breakouts("t.tiny.room", rooms);
    let address = |sims: &[Sim], room| {
        let url = sims[0].breakout_join_url(&ada.token, room).unwrap();
        format!("{}{}", ada.prefix, url.strip_prefix("https://bbb-01.internal.test").unwrap())
    };
    let in_room = Joined::by("tiny", &gateway.client.get(&host("tiny"), &address(&gateway.sims, 1)).await);
    let socket = gateway.client.graphql(&host("tiny"), &in_room).await.unwrap();
    assert_eq!(gateway.client.get(&host("tiny"), &address(&gateway.sims, 2)).await.status, 302, "seat 2 of 2");
    // What follows from a promise is written a moment later.
    written(gateway.dir.path(), 1).await;

    gateway.kill().await;
    drop(socket);
    gateway.start_again().await;

    gateway.sims[0].clear_log();
    let slides = format!("/bigbluebutton/presentation/{0}/{0}/p/svg/1", rooms[0].int_id);
    gateway.client.get(&host("tiny"), &slides).await;
    assert!(gateway.sims[0].log().iter().any(|request| request.path == slides), "whose the room is");
    assert_eq!(
        gateway.client.get(&host("tiny"), &address(&gateway.sims, 3)).await.xml("messageKey"),
        "maxParticipantsReached"
    );
    gateway.client.graphql(&host("tiny"), &in_room).await.expect("the session is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_answers_closes_and_exits_with_0() {
    let mut gateway = Served::start(Plan::new().server("members").tenant("wagtail", "level-1")).await;
    for signal in ["TERM", "INT"] {
        assert_eq!(gateway.api("wagtail", "create", &ROOM).await.xml("returncode"), "SUCCESS");
        gateway.program.signal(signal);
        assert_eq!(gateway.program.exited().await, Some(0), "{signal}");
        gateway.start_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_per_request_and_no_secret() {
    let mut gateway = Served::start(Plan::new().server("members").tenant("wagtail", "level-1")).await;
    gateway.api("wagtail", "create", &ROOM).await;
    let joined = gateway.api("wagtail", "join", &ADA).await;
    gateway.api("wagtail", "getMeetingInfo", &[("meetingID", "unknown")]).await;
    gateway
        .client
        .get(&host("wagtail"), "/bigbluebutton/api/getMeetings?checksum=0123456789012345678901234567890123456789")
        .await;
    gateway.client.get(&host("wagtail"), "/somewhere?token=querysecret").await;
    let metrics = plain_get(gateway.program.admin, "localhost", "/metrics").await.body;
    assert!(metrics.contains("anteroom_requests_total{tenant=\"wagtail\""), "{metrics}");
    gateway.program.signal("TERM");
    gateway.program.exited().await;

    let log = fs::read_to_string(gateway.dir.path().join("log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let access: Vec<_> = lines.iter().filter(|line| line["target"] == "access").collect();
    let told: Vec<_> = access
        .iter()
        .map(|line| {
            (line["call"].as_str().unwrap(), line["outcome"].as_str().unwrap(), line["reason"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("create", "ok", ""),
            ("join", "ok", ""),
            ("getMeetingInfo", "refused", "notFound"),
            ("getMeetings", "refused", "checksumError"),
            ("page", "refused", "notFound"),
        ]
    );
    assert!(access.iter().all(|line| line["tenant"] == "wagtail" && line["duration_us"].is_u64()));
    let (token, cookie) = (joined.location_param("sessionToken"), joined.cookies());
    let cookie = cookie.split('=').nth(1).and_then(|value| value.split('.').next()).unwrap();
    for secret in ["wagtail-secret", "bbb-01-secret", &token, cookie, "Secretname", "querysecret", "0123456789"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!metrics.contains(secret), "{secret} in {metrics}");
    }
    let store = fs::read(gateway.dir.path().join("var/anteroom.db")).unwrap();
    assert!(!store.windows(token.len()).any(|window| window == token.as_bytes()), "the store has a token");
}

#[test]
fn a_faulty_configuration_is_refused_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    write(
        dir.path(),
        "anteroom.toml",
        &format!("[listen]\nhttps = [\"{address}\"]\n[servers.bbb-01]\nurl = \"https://bbb\"\n"),
    );
    write(
        dir.path(),
        "tenants/wagtail.toml",
        "name = \"W\"\npolicy = \"none\"\nhosts = [\"a b\"]\n[secrets]\nx = \"env:NOT_THERE\"\n",
    );
    for command in ["check", "serve"] {
        let output = anteroom(&[command], dir.path());
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        for fault in [
            "anteroom.toml:3: servers.bbb-01",
            "tenants/wagtail.toml:2: policy",
            "tenants/wagtail.toml:3: hosts[0]",
            "tenants/wagtail.toml:5: secrets.x",
        ] {
            assert!(told.contains(fault), "{command}: {fault} in {told}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let _sims = Plan::new().server("members").tenant("wagtail", "level-1").prepare(dir.path()).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = dir.path().join("anteroom.toml");
    let address = taken.local_addr().unwrap().to_string();
    let text = fs::read_to_string(&file).unwrap().replacen("127.0.0.1:0", &address, 1);
    fs::write(&file, text).unwrap();
    let output = anteroom(&["serve"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("listen.https") && told.contains(&address), "{told}");
}

#[tokio::test]
async fn health_is_told_apart_from_readiness() {
    let mut stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let admin = stage.app.as_ref().unwrap().admin.unwrap();
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(plain_get(admin, "localhost", path).await.status, 200, "{path}");
    }
    assert_eq!(plain_get(admin, "localhost", "/elsewhere").await.status, 404);
    eventually("certificates are in the metrics", async || {
        let metrics = stage.metrics().await;
        metrics.contains("anteroom_certificate_expiry_timestamp_seconds{host=\"wagtail.localhost\"}")
            && metrics.contains("anteroom_server_up{server=\"bbb-01\"} 1")
    })
    .await;
    assert!(stage.app.take().unwrap().stop(DEADLINE).await, "nothing was open");
}
