//! The program itself: started, killed, started again; stopped in good order; and what it writes down.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::{fs, net::TcpListener, time::Duration};

use anteroom_bench::sim::{BreakoutPlan, Sim};
use futures_util::StreamExt as _;
use support::{
    Client, DEADLINE, Joined, Plan, Reply, eventually, host, plain_get,
    program::{Program, anteroom, api, free_address},
    secret,
};

const ROOM: [(&str, &str); 2] = [("name", "room"), ("meetingID", "room")];
const ADA: [(&str, &str); 3] = [("meetingID", "room"), ("fullName", "Ada Secretname"), ("role", "VIEWER")];

/// Where somebody who has joined finds their server.
fn prefix_of(joined: &Reply) -> String {
    format!("/s/{}", joined.header("location").split('/').nth(4).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_meetings_rooms_seats_and_sessions_are_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 2");
    let _sims = plan.prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    let mut program = Program::start(dir.path(), ports).await;
    let client = Client::new(program.https, &dir.path().join("dev-ca/ca.pem"));

    assert_eq!(api(&client, "tiny", "create", &ROOM).await.xml("returncode"), "SUCCESS");
    let reply = api(&client, "tiny", "join", &ADA).await;
    let (prefix, token) = (prefix_of(&reply), reply.location_param("sessionToken"));
    let ada = Joined { prefix, token, cookies: reply.cookies() };
    let socket = client.graphql(&host("tiny"), &ada).await.unwrap();
    assert_eq!(api(&client, "tiny", "join", &ADA).await.status, 302, "seat 2 of 2");
    // What follows from a promise is written a moment later.
    tokio::time::sleep(Duration::from_millis(300)).await;

    program.signal("KILL");
    program.exited().await;
    drop(socket);
    let _program = Program::start(dir.path(), ports).await;

    let info = api(&client, "tiny", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
    let other = [("name", "other"), ("meetingID", "other")];
    assert_eq!(api(&client, "tiny", "create", &other).await.xml("messageKey"), "roomLimitReached");
    assert_eq!(api(&client, "tiny", "join", &ADA).await.xml("messageKey"), "maxParticipantsReached");
    client.graphql(&host("tiny"), &ada).await.expect("the session and its address are as they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_people_in_breakout_rooms_are_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new().server("members").tenant_with("tiny", "level-1", "---[limits]\nparticipants = 2");
    let sims = plan.prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    let mut program = Program::start(dir.path(), ports).await;
    let client = Client::new(program.https, &dir.path().join("dev-ca/ca.pem"));
    assert_eq!(api(&client, "tiny", "create", &ROOM).await.xml("returncode"), "SUCCESS");
    let reply = api(&client, "tiny", "join", &ADA).await;
    let (prefix, token) = (prefix_of(&reply), reply.location_param("sessionToken"));
    let rooms = BreakoutPlan { rooms: 3, free_join: true, ..BreakoutPlan::default() };
    let rooms = sims[0].open_breakouts("t.tiny.room", rooms);
    let address = |room| {
        let url = sims[0].breakout_join_url(&token, room).unwrap();
        format!("{prefix}{}", url.strip_prefix("https://bbb-01.internal.test").unwrap())
    };
    let reply = client.get(&host("tiny"), &address(1)).await;
    let cookies = reply.cookies();
    let in_room = Joined { prefix: prefix.clone(), token: reply.location_param("sessionToken"), cookies };
    let socket = client.graphql(&host("tiny"), &in_room).await.unwrap();
    assert_eq!(client.get(&host("tiny"), &address(2)).await.status, 302, "seat 2 of 2");
    // What follows from a promise is written a moment later.
    tokio::time::sleep(Duration::from_millis(300)).await;

    program.signal("KILL");
    program.exited().await;
    drop(socket);
    let _program = Program::start(dir.path(), ports).await;

    sims[0].clear_log();
    let slides = format!("/bigbluebutton/presentation/{0}/{0}/p/svg/1", rooms[0].int_id);
    client.get(&host("tiny"), &slides).await;
    assert!(sims[0].log().iter().any(|request| request.path == slides), "whose the room is");
    assert_eq!(client.get(&host("tiny"), &address(3)).await.xml("messageKey"), "maxParticipantsReached");
    client.graphql(&host("tiny"), &in_room).await.expect("the session is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_answers_closes_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let _sims = Plan::new().server("members").tenant("wagtail", "level-1").prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(dir.path(), ports).await;
        let client = Client::new(program.https, &dir.path().join("dev-ca/ca.pem"));
        assert_eq!(api(&client, "wagtail", "create", &ROOM).await.xml("returncode"), "SUCCESS");
        program.signal(signal);
        assert_eq!(program.exited().await, Some(0), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_per_request_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let _sims = Plan::new().server("members").tenant("wagtail", "level-1").prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    let mut program = Program::start(dir.path(), ports).await;
    let client = Client::new(program.https, &dir.path().join("dev-ca/ca.pem"));
    api(&client, "wagtail", "create", &ROOM).await;
    let joined = api(&client, "wagtail", "join", &ADA).await;
    api(&client, "wagtail", "getMeetingInfo", &[("meetingID", "unknown")]).await;
    client
        .get(&host("wagtail"), "/bigbluebutton/api/getMeetings?checksum=0123456789012345678901234567890123456789")
        .await;
    client.get(&host("wagtail"), "/somewhere?token=querysecret").await;
    let metrics = plain_get(program.admin, "localhost", "/metrics").await.body;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    program.signal("TERM");
    program.exited().await;

    let log = fs::read_to_string(dir.path().join("log.jsonl")).unwrap();
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
    let store = fs::read(dir.path().join("var/anteroom.db")).unwrap();
    assert!(!store.windows(token.len()).any(|window| window == token.as_bytes()), "the store has a token");
}

/// A program in front of one server, which takes request ids from these networks, and its log.
struct Logged {
    program: Program,
    client: Client,
    sims: Vec<Sim>,
    dir: tempfile::TempDir,
}

impl Logged {
    async fn start(request_id_from: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sims = Plan::new().server("members").tenant("wagtail", "level-1").prepare(dir.path()).await;
        let ports = Program::fix_ports(dir.path());
        let file = dir.path().join("anteroom.toml");
        let keys = format!("[listen]\nrequest_id_from = {request_id_from}\n");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("[listen]\n", &keys)).unwrap();
        let program = Program::start(dir.path(), ports).await;
        let client = program.client(dir.path());
        Self { program, client, sims, dir }
    }

    async fn api(&self, call: &str, params: &[(&str, &str)]) -> Reply {
        api(&self.client, "wagtail", call, params).await
    }

    /// The page of an address that there is not, asked for with this request id.
    async fn page(&self, id: &str) -> String {
        let headers = [("accept", "text/html"), ("x-request-id", id)];
        self.client.get_with(&host("wagtail"), "/nothing", &headers).await.body
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(self.dir.path().join("log.jsonl")).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first line for which a key has a value.
    async fn line(&self, key: &str, value: &str) -> serde_json::Value {
        let mut found = None;
        eventually(&format!("a line with {key} {value}"), async || {
            found = self.lines().into_iter().find(|line| line[key] == value);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// The id of the request, as a page shows it.
fn shown_id(page: &str) -> &str {
    page.rsplit("<code>").next().unwrap().split("</code>").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_id_in_the_log_on_its_page_and_at_its_server() {
    let mut logged = Logged::start("[\"127.0.0.9\"]").await;
    let page = logged.page("of-a-stranger").await;
    let id = shown_id(&page);
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{page}");
    let line = logged.line("request", id).await;
    assert_eq!((&line["target"], &line["reason"]), (&"access".into(), &"notFound".into()), "{line}");

    assert_eq!(logged.api("create", &ROOM).await.xml("returncode"), "SUCCESS");
    let line = logged.line("call", "create").await;
    let id = line["request"].as_str().unwrap();
    let at_server = logged.sims[0].log().into_iter().find(|seen| seen.call() == Some("create")).unwrap();
    assert_eq!(at_server.header("x-request-id"), Some(id));

    // A failure within a call has the id of the call.
    logged.sims.pop().unwrap().stop().await;
    let refused = logged.api("end", &[("meetingID", "room")]).await;
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{}", refused.body);
    let line = logged.line("call", "end").await;
    assert_eq!((&line["message"], &line["tenant"]), (&"call to server failed".into(), &"wagtail".into()), "{line}");
    let is_access = |other: &&serde_json::Value| other["target"] == "access" && other["request"] == line["request"];
    let lines = logged.lines();
    assert_eq!(lines.iter().find(is_access).map(|access| &access["call"]), Some(&"end".into()), "{line}");
    assert!(lines.iter().all(|line| !line.to_string().contains("of-a-stranger")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_front_gives_requests_their_ids() {
    let logged = Logged::start("[\"127.0.0.0/8\"]").await;
    assert_eq!(shown_id(&logged.page("front-7.a_B").await), "front-7.a_B");
    assert_eq!(logged.line("request", "front-7.a_B").await["target"], "access");
    let page = logged.page("no id").await;
    assert_eq!(shown_id(&page).len(), 16, "{page}");
    let path = anteroom_bench::sign::path("create", &ROOM, &secret("wagtail"));
    let created = logged.client.get_with(&host("wagtail"), &path, &[("x-request-id", "create-1")]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS");
    let at_server = logged.sims[0].log().into_iter().find(|seen| seen.call() == Some("create")).unwrap();
    assert_eq!(at_server.header("x-request-id"), Some("create-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_graphql_socket_is_logged_and_counted_with_its_reason() {
    let logged = Logged::start("[]").await;
    assert_eq!(logged.api("create", &ROOM).await.xml("returncode"), "SUCCESS");
    let mut people = Vec::new();
    for _ in 0..2 {
        let reply = logged.api("join", &ADA).await;
        let (prefix, token) = (prefix_of(&reply), reply.location_param("sessionToken"));
        people.push(Joined { prefix, token, cookies: reply.cookies() });
    }
    let nobody = Joined { token: "unknown".into(), ..people[0].clone() };
    logged.client.graphql(&host("wagtail"), &nobody).await.expect_err("there is no such session");
    drop(logged.client.graphql(&host("wagtail"), &people[0]).await.unwrap());
    let line = logged.line("end", "client").await;
    assert_eq!((&line["tenant"], &line["server"]), (&"wagtail".into(), &"bbb-01".into()), "{line}");
    let opened = logged.line("request", line["request"].as_str().unwrap()).await;
    assert_eq!((&opened["target"], &opened["call"]), (&"access".into(), &"socket".into()), "{opened}");
    assert_eq!(logged.line("end", "refused").await["reason"], "unknownSession");
    let mut open = logged.client.graphql(&host("wagtail"), &people[1]).await.unwrap();
    assert_eq!(logged.api("end", &[("meetingID", "room")]).await.xml("returncode"), "SUCCESS");
    while open.next().await.is_some_and(|message| message.is_ok()) {}
    logged.line("end", "server").await;
    let metrics = plain_get(logged.program.admin, "localhost", "/metrics").await.body;
    for reason in ["client", "refused", "server"] {
        let row = format!("anteroom_graphql_sockets_ended_total{{tenant=\"wagtail\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&row), "{row} in {metrics}");
    }
}

#[test]
fn a_faulty_configuration_is_refused_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    support::write(
        dir.path(),
        "anteroom.toml",
        &format!("[listen]\nhttps = [\"{address}\"]\n[servers.bbb-01]\nurl = \"https://bbb\"\n"),
    );
    support::write(
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
