//! Operating a gateway that runs: the admin API, its tokens, and the commands on top of it.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anteroom::{
    admin::token::{Bearer, Scope, Tokens},
    domain::time::Clock,
    store::Store,
};
use anteroom_bench::sim::{CannedAnswer, Sim};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Client, DEADLINE, Plan, Reply, Stage, eventually, exchange, host,
    program::{Program, anteroom, api, free_address},
};

/// A caller of the admin API.
struct Operator {
    admin: SocketAddr,
    key: [u8; 32],
    token: String,
}

impl Operator {
    async fn of(stage: &Stage) -> Self {
        let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
        let store = Store::open_beside(&url).await.unwrap();
        let key = store.keys().shared("admin", [0; 32]).await.unwrap();
        store.close().await;
        assert_ne!(key, [0; 32], "the gateway has made one");
        let admin = stage.app.as_ref().unwrap().admin.unwrap();
        Self { admin, key, token: String::new() }.with(Scope::Operate)
    }

    /// The same with a token of a scope.
    fn with(&self, scope: Scope) -> Self {
        let ada = Bearer { name: "ada".into(), scope };
        let token = Tokens::new(&self.key).issue(&ada, Duration::from_secs(60), Clock::system().now());
        Self { admin: self.admin, key: self.key, token }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send_with(&format!("Bearer {}", self.token), method, path, body).await
    }

    async fn send_with(&self, authorization: &str, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", authorization)
            .body(Full::new(body.into()))
            .unwrap();
        exchange(TcpStream::connect(self.admin).await.unwrap(), request).await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.send(Method::GET, path, "").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let reply = self.send(Method::POST, path, body.to_string()).await;
        (reply.status.as_u16(), serde_json::from_str(&reply.body).unwrap())
    }

    async fn set_mode(&self, server: &str, mode: &str) {
        let (status, row) = self.post(&format!("/api/servers/{server}/mode"), &json!({ "mode": mode })).await;
        assert_eq!((status, &row["id"], &row["mode"]), (200, &json!(server), &json!(mode)));
    }

    async fn server(&self, id: &str) -> Value {
        row(&self.get("/api/servers").await["servers"], id)
    }
}

fn row(rows: &Value, id: &str) -> Value {
    rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone()
}

fn key(reply: &Reply) -> &str {
    reply.xml("messageKey")
}

fn error_key(answer: &Value) -> &str {
    answer["error"]["key"].as_str().unwrap()
}

/// How often a server was asked for a call.
fn asked(sim: &Sim, call: &str) -> usize {
    let path = format!("/bigbluebutton/api/{call}");
    sim.log().iter().filter(|received| received.path == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_that_is_good_nothing_is_told_and_nothing_is_done() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let operator = Operator::of(&stage).await;
    let exp = Clock::system().now().as_secs() + 3600;
    let claims = |exp: i64, aud: &str, iss: &str| json!({ "sub": "ada", "scope": "operate", "exp": exp, "iat": exp - 7200, "iss": iss, "aud": aud });
    let signed = |claims: &Value, key: &[u8]| {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let good = claims(exp, "admin", "anteroom");
    let (none, body) = (r#"{"alg":"none","typ":"JWT"}"#, good.to_string());
    let unsigned = format!("{}.{}.", BASE64URL_NOPAD.encode(none.as_bytes()), BASE64URL_NOPAD.encode(body.as_bytes()));
    let tokens = [
        ("nothing", String::new()),
        ("no token", "Bearer operate".into()),
        ("another scheme", format!("Basic {}", operator.token)),
        ("expired", format!("Bearer {}", signed(&claims(exp - 3601, "admin", "anteroom"), &operator.key))),
        ("another key", format!("Bearer {}", signed(&good, &[0; 32]))),
        ("no algorithm", format!("Bearer {unsigned}")),
        ("another audience", format!("Bearer {}", signed(&claims(exp, "tenant", "anteroom"), &operator.key))),
        ("another issuer", format!("Bearer {}", signed(&claims(exp, "admin", "other"), &operator.key))),
    ];
    for (name, authorization) in &tokens {
        for (method, path, body) in [
            (Method::GET, "/api/servers", ""),
            (Method::GET, "/api/meetings", ""),
            (Method::GET, "/api/tenants", ""),
            (Method::POST, "/api/servers/bbb-01/mode", r#"{"mode":"disabled"}"#),
            (Method::POST, "/api/tenants/wagtail/suspend", ""),
            (Method::POST, "/api/meetings/end", "{"),
            (Method::GET, "/api/elsewhere", ""),
            (Method::DELETE, "/api/servers", ""),
        ] {
            let reply = operator.send_with(authorization, method, path, body).await;
            let answer: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!((reply.status.as_u16(), error_key(&answer)), (401, "unauthorized"), "{name}, {path}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    assert_eq!(operator.server("bbb-01").await["mode"], "enabled");
    assert_eq!(operator.get("/api/tenants").await["tenants"][0]["suspended_by"], json!([]));
    let signed_here = Operator { token: signed(&good, &operator.key), ..operator };
    signed_here.set_mode("bbb-01", "cordoned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_to_look_changes_nothing() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let operator = Operator::of(&stage).await;
    let reader = operator.with(Scope::Read);
    for path in ["/api/servers", "/api/meetings", "/api/tenants"] {
        reader.get(path).await;
    }
    for (path, body) in [
        ("/api/servers/bbb-01/mode", json!({ "mode": "disabled" })),
        ("/api/tenants/wagtail/suspend", json!({})),
        ("/api/meetings/end", json!({ "tenant": "wagtail", "meeting_id": "room" })),
    ] {
        let (status, answer) = reader.post(path, &body).await;
        assert_eq!((status, error_key(&answer)), (403, "forbidden"), "{path}");
    }
    assert_eq!(reader.server("bbb-01").await["mode"], "enabled");
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_in_its_own_status_and_key() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let operator = Operator::of(&stage).await;
    let (get, post) = (Method::GET, Method::POST);
    let long = format!(r#"{{"mode":"{}"}}"#, "x".repeat(8000));
    for (method, path, body, status, key) in [
        (&get, "/api/elsewhere", "", 404, "notFound"),
        (&get, "/api/servers/%ff/mode", "", 405, "methodNotAllowed"),
        (&post, "/api/servers/%ff/mode", "{}", 404, "notFound"),
        (&post, "/api/servers", "{}", 405, "methodNotAllowed"),
        (&get, "/api/tenants/wagtail/suspend", "", 405, "methodNotAllowed"),
        (&post, "/api/servers/bbb-09/mode", r#"{"mode":"cordoned"}"#, 404, "unknownServer"),
        (&post, "/api/servers/bbb-01/mode", "", 422, "invalidRequest"),
        (&post, "/api/servers/bbb-01/mode", "{", 422, "invalidRequest"),
        (&post, "/api/servers/bbb-01/mode", "{}", 422, "invalidRequest"),
        (&post, "/api/servers/bbb-01/mode", r#"{"mode":"off"}"#, 422, "invalidRequest"),
        (&post, "/api/servers/bbb-01/mode", r#"{"mode":"cordoned","force":true}"#, 422, "invalidRequest"),
        (&post, "/api/servers/bbb-01/mode", &long, 413, "requestTooLarge"),
        (&post, "/api/tenants/heron/suspend", "", 404, "unknownTenant"),
        (&post, "/api/tenants/heron/resume", "", 404, "unknownTenant"),
        (&post, "/api/meetings/end", r#"{"tenant":"heron","meeting_id":"room"}"#, 404, "unknownTenant"),
        (&post, "/api/meetings/end", r#"{"tenant":"W","meeting_id":"room"}"#, 404, "unknownTenant"),
        (&post, "/api/meetings/end", r#"{"tenant":"wagtail","meeting_id":"room"}"#, 404, "unknownMeeting"),
        (&post, "/api/meetings/end", r#"{"tenant":"wagtail"}"#, 422, "invalidRequest"),
        (&get, "/api/meetings?tenant=heron", "", 404, "unknownTenant"),
        (&get, "/api/meetings?server=bbb-09", "", 404, "unknownServer"),
        (&get, "/api/meetings?tennant=wagtail", "", 422, "invalidRequest"),
    ] {
        let reply = operator.send(method.clone(), path, body.to_owned()).await;
        let answer: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), error_key(&answer)), (status, key), "{method} {path} {body:.40}: {answer}");
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
        if status == 405 {
            assert!(!reply.header("allow").is_empty(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_changes_nothing() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let operator = Operator::of(&stage).await;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut store).await.unwrap();
    let (status, answer) = operator.post("/api/servers/bbb-01/mode", &json!({ "mode": "cordoned" })).await;
    assert_eq!((status, error_key(&answer)), (503, "storeUnavailable"));
    assert_eq!(operator.server("bbb-01").await["mode"], "enabled");
    sqlx::query("ROLLBACK").execute(&mut store).await.unwrap();
    operator.set_mode("bbb-01", "cordoned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_takes_what_it_says() {
    let stage = Plan::new().server("members").server("members").tenant("wagtail", "custom").start().await;
    let operator = Operator::of(&stage).await;
    operator.set_mode("bbb-02", "cordoned").await;
    stage.create("wagtail", "room").await;
    operator.set_mode("bbb-02", "enabled").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let mut socket = stage.graphql("wagtail", &ada).await.unwrap();

    for (mode, joins) in [("cordoned", true), ("draining", true), ("disabled", false)] {
        operator.set_mode("bbb-01", mode).await;
        for n in 0..4 {
            let created = stage.create("wagtail", &format!("{mode} {n}")).await;
            assert_eq!(created.xml("returncode"), "SUCCESS", "{mode}: {}", created.body);
        }
        assert_eq!(stage.sims[0].meetings().len(), 1, "{mode}: a new meeting is placed elsewhere");
        let again = stage.create("wagtail", "room").await;
        assert_eq!(key(&again), "duplicateWarning", "{mode}: a meeting that runs goes on");
        let joined = stage.join("wagtail", "room", "Bo").await;
        assert_eq!(joined.status == 302, joins, "{mode}: {}", joined.body);
        if !joins {
            assert_eq!(key(&joined), "serverUnavailable", "{mode}");
        }
        let metrics = stage.metrics().await;
        assert!(metrics.contains(&format!("anteroom_server_mode{{server=\"bbb-01\",mode=\"{mode}\"}} 1")), "{metrics}");
    }
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap();
    assert!(matches!(answer, Some(Ok(Message::Text(_)))), "open sockets go on: {answer:?}");

    operator.set_mode("bbb-02", "cordoned").await;
    assert_eq!(key(&stage.create("wagtail", "one more").await), "noServerAvailable");
    operator.set_mode("bbb-01", "enabled").await;
    assert_eq!(stage.create("wagtail", "one more").await.xml("returncode"), "SUCCESS");
    assert_eq!(stage.join("wagtail", "room", "Bo").await.status, 302);
}

/// The first of two servers has a room and is draining.
async fn with_a_room_on_a_draining_server() -> (Stage, Operator) {
    let stage = Plan::new().server("members").server("members").tenant("wagtail", "custom").start().await;
    let operator = Operator::of(&stage).await;
    operator.set_mode("bbb-02", "cordoned").await;
    stage.create("wagtail", "room").await;
    operator.set_mode("bbb-02", "enabled").await;
    operator.set_mode("bbb-01", "draining").await;
    (stage, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_is_disabled_when_its_last_meeting_has_ended_and_is_polled_no_more() {
    let (stage, operator) = with_a_room_on_a_draining_server().await;
    stage.sims[0].clear_log();
    eventually("a round of the poller", async || asked(&stage.sims[0], "getMeetings") > 1).await;
    assert_eq!(operator.server("bbb-01").await["mode"], "draining", "its meeting runs");

    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    eventually("it is drained", async || operator.server("bbb-01").await["mode"] == "disabled").await;
    let drained = operator.server("bbb-01").await;
    assert_eq!((&drained["up"], &drained["meetings"]), (&json!(false), &json!(0)), "nobody asks whether it is up");
    for sim in &stage.sims {
        sim.clear_log();
    }
    eventually("two rounds of the poller", async || asked(&stage.sims[1], "getMeetings") > 1).await;
    assert_eq!(asked(&stage.sims[0], "getMeetings"), 0);
    operator.set_mode("bbb-01", "enabled").await;
    eventually("it is polled again", async || asked(&stage.sims[0], "getMeetings") > 0).await;
    let version = async || stage.sims[0].log().iter().any(|received| received.path == "/bigbluebutton/api");
    eventually("its version is asked for: it may be another", version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_has_ended_on_a_draining_server_begins_anew_elsewhere() {
    let (stage, _operator) = with_a_room_on_a_draining_server().await;
    // Its moderators end it in the client, and its integration makes it again before the gateway has noticed.
    assert!(stage.sims[0].end_meeting("t.wagtail.room"));
    let created = stage.create("wagtail", "room").await;
    assert_eq!((created.xml("returncode"), key(&created)), ("SUCCESS", ""));
    assert!(stage.sims[0].meeting("t.wagtail.room").is_none() && stage.sims[1].meeting("t.wagtail.room").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_suspended_and_resumed_while_others_go_on() {
    let plan = Plan::new().server("members").tenant("wagtail", "custom").tenant("heron", "custom");
    let stage = plan.tenant_with("late", "custom", "suspended = true").start().await;
    let operator = Operator::of(&stage).await;
    stage.create("wagtail", "room").await;
    let (status, row) = operator.post("/api/tenants/wagtail/suspend", &json!({})).await;
    assert_eq!((status, &row["suspended_by"]), (200, &json!(["operator"])));
    assert_eq!(key(&stage.create("wagtail", "other").await), "tenantSuspended");
    assert_eq!(key(&stage.create("wagtail", "room").await), "tenantSuspended");
    assert_eq!(key(&stage.join("wagtail", "room", "Ada").await), "tenantSuspended");
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "what runs goes on");
    assert_eq!(stage.create("heron", "room").await.xml("returncode"), "SUCCESS");

    operator.post("/api/tenants/wagtail/resume", &json!({})).await;
    assert_eq!(stage.create("wagtail", "other").await.xml("returncode"), "SUCCESS");
    assert_eq!(stage.join("wagtail", "room", "Ada").await.status, 302);

    operator.post("/api/tenants/late/suspend", &json!({})).await;
    assert_eq!(row_of_tenant(&operator, "late").await["suspended_by"], json!(["file", "operator"]), "both may say so");
    let (status, row) = operator.post("/api/tenants/late/resume", &json!({})).await;
    assert_eq!((status, &row["suspended_by"]), (200, &json!(["file"])), "its file is not the operator's to overrule");
    assert_eq!(key(&stage.create("late", "room").await), "tenantSuspended");
}

async fn row_of_tenant(operator: &Operator, id: &str) -> Value {
    row(&operator.get("/api/tenants").await["tenants"], id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_the_operator_ends_is_over_on_its_server_and_here() {
    let stage = Plan::new().server("members").tenant("tiny", "free").start().await;
    let operator = Operator::of(&stage).await;
    let ending = json!({ "tenant": "tiny", "meeting_id": "room" });
    let end = async || operator.post("/api/meetings/end", &ending).await;
    stage.create("tiny", "room").await;

    let no = "<response><returncode>FAILED</returncode><messageKey>notNow</messageKey><message>m</message></response>";
    let refusal = CannedAnswer { status: 200, content_type: "text/xml".into(), body: no.into() };
    stage.sims[0].faults().set_call_answer("end", Some(refusal));
    let (status, answer) = end().await;
    assert_eq!((status, error_key(&answer)), (409, "notNow"), "the server has its own reasons");
    stage.sims[0].faults().set_call_answer("end", Some(CannedAnswer::page(500)));
    let (status, answer) = end().await;
    assert_eq!((status, error_key(&answer)), (502, "serverUnavailable"));
    assert_eq!(key(&stage.create("tiny", "other").await), "roomLimitReached", "its room is taken as before");

    stage.sims[0].faults().set_call_answer("end", None);
    assert_eq!(end().await, (200, ending.clone()));
    assert!(stage.on_server("tiny", "room").is_none());
    assert_eq!(stage.create("tiny", "other").await.xml("returncode"), "SUCCESS", "its room is free");
    assert_eq!(error_key(&end().await.1), "unknownMeeting");

    stage.sims[0].end_meeting("t.tiny.other");
    let gone = json!({ "tenant": "tiny", "meeting_id": "other" });
    assert_eq!(operator.post("/api/meetings/end", &gone).await.0, 200, "over already, which is what was wanted");
    assert_eq!(operator.get("/api/meetings").await["meetings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_tell_what_runs_to_the_operator_alone() {
    let plan = Plan::new().server("members").server("elsewhere");
    let plan = plan.tenant("wagtail", "level-1").tenant_with("heron", "custom", "pool = \"elsewhere\"");
    let stage = plan.start().await;
    let operator = Operator::of(&stage).await;
    let few = [("name", "few"), ("meetingID", "few"), ("maxParticipants", "3")];
    assert_eq!(stage.api("wagtail", "create", &few).await.xml("returncode"), "SUCCESS");
    stage.create("wagtail", "room").await;
    stage.create("heron", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada Secretname").await;
    let _socket = stage.graphql("wagtail", &ada).await.unwrap();
    stage.joined("wagtail", "room", "Bo Secretname").await;

    let meetings = operator.get("/api/meetings").await["meetings"].as_array().unwrap().clone();
    let told: Vec<_> = meetings
        .iter()
        .map(|m| {
            let text = |name: &str| m[name].as_str().unwrap();
            (text("tenant"), text("meeting_id"), text("account"), text("server"), &m["participants"])
        })
        .collect();
    assert_eq!(
        told,
        [
            ("heron", "room", "main", "bbb-02", &Value::Null),
            ("wagtail", "few", "main", "bbb-01", &json!(3)),
            ("wagtail", "room", "main", "bbb-01", &json!(10)),
        ]
    );
    let room = &meetings[2];
    assert_eq!((&room["seats"], &room["present"]), (&json!(2), &json!(1)), "one is here, and one on the way");
    assert_eq!(room["internal_id"], json!(stage.on_server("wagtail", "room").unwrap().int_id));
    let created = time::OffsetDateTime::parse(
        room["created_at"].as_str().unwrap(),
        &time::format_description::well_known::Rfc3339,
    )
    .unwrap();
    assert!((Clock::system().now().as_secs() - created.unix_timestamp()) < 60);
    for (filter, found) in [("tenant=wagtail", 2), ("server=bbb-02", 1), ("tenant=heron&server=bbb-01", 0)] {
        let listed = operator.get(&format!("/api/meetings?{filter}")).await;
        assert_eq!(listed["meetings"].as_array().unwrap().len(), found, "{filter}");
    }
    let server = operator.server("bbb-01").await;
    assert_eq!(
        (&server["pool"], &server["mode"], &server["up"], &server["meetings"], &server["seats"]),
        (&json!("members"), &json!("enabled"), &json!(true), &json!(2), &json!(1))
    );
    assert!(server["load"].as_u64().unwrap() > 0 && server["plugin_sdk"].is_string(), "{server}");
    let tenant = row_of_tenant(&operator, "wagtail").await;
    let whole = json!({
        "id": "wagtail", "name": "wagtail co-op", "policy": "level-1", "hosts": ["wagtail.localhost"],
        "suspended_by": [], "meetings": 2
    });
    assert_eq!(tenant, whole);

    for path in ["/api/servers", "/api/meetings", "/api/tenants"] {
        let reply = operator.send(Method::GET, path, "").await;
        assert_eq!(reply.header("cache-control"), "no-store");
        for secret in ["wagtail-secret", "bbb-01-secret", "Secretname", &ada.token] {
            assert!(!reply.body.contains(secret), "{secret} in {}", reply.body);
        }
        let bearer = format!("Bearer {}", operator.token);
        let outside = stage.client().get_with(&host("heron"), path, &[("authorization", &bearer)]).await;
        assert_eq!(outside.status, 404, "a tenant's host has no admin API");
        assert!(!outside.body.contains("wagtail"), "{}", outside.body);
    }
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim_end().to_owned()
}

/// What a command that fails says: one line.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.stdout.is_empty() && told.lines().count() == 1, "{told}");
    told.trim_end().to_owned()
}

fn by_url(arguments: &[&str], url: &str, token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anteroom"));
    command.args(arguments).args(["--url", url]).env_remove("ANTEROOM_TOKEN");
    if let Some(token) = token {
        command.env("ANTEROOM_TOKEN", token);
    }
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_commands_change_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new().server("members").server("members").server("members").server("members");
    let _sims = plan.tenant("wagtail", "custom").tenant("heron", "custom").prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    let run = |arguments: &[&str]| anteroom(arguments, dir.path());
    assert!(refused(&run(&["server", "list"])).contains("does not exist"), "it is the gateway's to make");
    let mut program = Program::start(dir.path(), ports).await;
    let client = Client::new(program.https, &dir.path().join("dev-ca/ca.pem"));

    assert_eq!(stdout(&run(&["server", "cordon", "bbb-01"])), "bbb-01 is cordoned; meetings on it: 0");
    stdout(&run(&["server", "disable", "bbb-02"]));
    stdout(&run(&["server", "drain", "bbb-03"]));
    stdout(&run(&["server", "disable", "bbb-04"]));
    stdout(&run(&["server", "enable", "bbb-04"]));
    let created = api(&client, "heron", "create", &[("name", "a room"), ("meetingID", "a room")]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "the one server that is enabled has it");
    let person = [("meetingID", "a room"), ("fullName", "Somebody"), ("role", "VIEWER"), ("userID", "somebody")];
    assert_eq!(api(&client, "heron", "join", &person).await.status, 302);
    assert_eq!(stdout(&run(&["tenant", "suspend", "wagtail"])), "wagtail is suspended by the operator");

    // A line is written a moment after the change.
    let log = || fs::read_to_string(dir.path().join("log.jsonl")).unwrap_or_default();
    eventually("the line of the last change", async || log().contains("tenant suspended")).await;
    program.signal("KILL");
    program.exited().await;
    let told = refused(&run(&["server", "list"]));
    assert!(told.contains("no gateway answers") && told.contains(&ports.1.to_string()), "{told}");
    let mut program = Program::start(dir.path(), ports).await;

    let list = stdout(&run(&["server", "list"]));
    let modes: Vec<_> = list.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>()).collect();
    assert_eq!(modes[0], ["ID", "POOL", "MODE"]);
    assert_eq!(modes[1], ["bbb-01", "members", "cordoned"]);
    assert_eq!(modes[2], ["bbb-02", "members", "disabled"]);
    assert_eq!(modes[4], ["bbb-04", "members", "enabled"]);
    assert!(["draining", "disabled"].contains(&modes[3][2]), "{list}");
    let room = [("name", "room"), ("meetingID", "room")];
    assert_eq!(api(&client, "wagtail", "create", &room).await.xml("messageKey"), "tenantSuspended");
    assert_eq!(stdout(&run(&["tenant", "resume", "wagtail"])), "wagtail is not suspended");
    assert_eq!(api(&client, "wagtail", "create", &room).await.xml("returncode"), "SUCCESS");

    let meetings = stdout(&run(&["meeting", "list", "--tenant", "wagtail"]));
    let (headings, line) = meetings.split_once('\n').unwrap();
    assert_eq!(headings.split_whitespace().next(), Some("TENANT"));
    assert!(line.starts_with("wagtail  room        main     bbb-04"), "{meetings}");
    let json: Value = serde_json::from_str(&stdout(&run(&["meeting", "list", "--format", "json"]))).unwrap();
    assert_eq!(json["meetings"].as_array().unwrap().len(), 2);
    assert_eq!(stdout(&run(&["meeting", "end", "heron", "a room"])), "the meeting has ended");
    assert!(refused(&run(&["meeting", "end", "heron", "a room"])).contains("unknownMeeting"));
    let tenants = stdout(&run(&["tenant", "list"]));
    assert_eq!(tenants.lines().count(), 3, "{tenants}");
    assert!(tenants.lines().nth(2).unwrap().contains("wagtail.localhost"), "{tenants}");

    // It is written a moment later, by a thread of its own, which ends with the program.
    program.signal("TERM");
    program.exited().await;
    let log = log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes: Vec<_> = lines.iter().filter(|line| line["operator"] == "cli").collect();
    assert_eq!(changes.len(), 8, "each change once: {changes:?}");
    assert!(!log.contains("a room"), "ids of meetings are not in the log");
    assert_eq!(lines.iter().find(|line| line["level"] == "ERROR"), None, "nothing has failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_operated_from_elsewhere_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let _sims = Plan::new().server("members").tenant("wagtail", "custom").prepare(dir.path()).await;
    let ports = Program::fix_ports(dir.path());
    assert!(refused(&anteroom(&["token", "--scope", "read"], dir.path())).contains("does not exist"));
    let program = Program::start(dir.path(), ports).await;
    let url = format!("http://{}/", program.admin);
    let token = |arguments: &[&str]| stdout(&anteroom(&[&["token"], arguments].concat(), dir.path()));
    let reader = token(&["--scope", "read"]);
    let ada = token(&["--scope", "operate", "--name", "ada", "--valid", "1h"]);

    assert!(stdout(&by_url(&["server", "list"], &url, Some(&reader))).contains("bbb-01"));
    let told = refused(&by_url(&["server", "cordon", "bbb-01"], &url, Some(&reader)));
    assert!(told.contains("forbidden"), "{told}");
    stdout(&by_url(&["server", "cordon", "bbb-01"], &url, Some(&ada)));
    stdout(&by_url(&["server", "cordon", "bbb-01"], &url, Some(&ada)));
    let told = refused(&by_url(&["server", "cordon", "bbb/../09"], &url, Some(&ada)));
    assert!(told.contains(r#"unknownServer: there is no server "bbb/../09""#), "{told}");
    assert!(refused(&by_url(&["server", "list"], &url, Some("nonsense"))).contains("unauthorized"));
    assert!(refused(&by_url(&["server", "list"], &url, None)).contains("ANTEROOM_TOKEN"));
    assert!(refused(&by_url(&["server", "list"], "localhost:9000", Some(&ada))).contains("--url"));
    let nobody = format!("http://{}", free_address());
    assert!(refused(&by_url(&["server", "list"], &nobody, Some(&ada))).contains("no gateway answers"));

    let log = fs::read_to_string(dir.path().join("log.jsonl")).unwrap();
    let by_ada: Vec<_> = log.lines().filter(|line| line.contains("\"operator\":\"ada\"")).collect();
    assert_eq!(by_ada.len(), 1, "what is so already is no change: {by_ada:?}");
    assert!(!log.contains(&ada) && !log.contains(&reader));
}

#[tokio::test]
async fn the_commands_need_no_more_of_a_configuration_than_where_the_gateway_is() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| crate::support::write(dir.path(), "anteroom.toml", text);
    let list = |dir: &Path| refused(&anteroom(&["server", "list"], dir));
    write("[listen]\nhttps = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:0\"\n");
    assert!(list(dir.path()).contains("port 0"));
    write("[listen]\nhttps = [\"127.0.0.1:1\"]\n");
    assert!(list(dir.path()).contains("no listen.admin"));

    let admin = free_address();
    let sound = format!("[listen]\nhttps = [\"127.0.0.1:1\"]\nadmin = \"{admin}\"\n");
    fs::create_dir(dir.path().join("var")).unwrap();
    let url = format!("sqlite:{}", dir.path().join("var/anteroom.db").display());
    let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap().create_if_missing(true);
    sqlx::SqliteConnection::connect_with(&options).await.unwrap().close().await.unwrap();
    write(&format!(
        "{sound}[servers.bbb-01]\nurl = \"https://bbb\"\nsecret = \"env:ONLY_OF_THE_GATEWAY\"\npool = \"members\"\n"
    ));
    assert!(list(dir.path()).contains("no gateway answers"), "its secrets are in another environment");
}
