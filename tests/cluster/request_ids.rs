//! Request ids: in the log, on pages and at servers; and the end of each GraphQL socket.

use std::fs;

use anteroom_bench::sim::{Breakage, Sim};
use futures_util::{SinkExt as _, StreamExt as _};

use crate::support::{
    Client, Joined, Plan, Reply, eventually, host, plain_get,
    program::{Program, api},
    secret,
};

const ROOM: [(&str, &str); 2] = [("name", "room"), ("meetingID", "room")];
const ADA: [(&str, &str); 3] = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")];

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
        self.line_of(&[(key, value)]).await
    }

    /// The first line for which all of these keys have these values.
    async fn line_of(&self, wanted: &[(&str, &str)]) -> serde_json::Value {
        let mut found = None;
        eventually(&format!("a line with {wanted:?}"), async || {
            found = self.lines().into_iter().find(|line| wanted.iter().all(|(key, value)| line[*key] == *value));
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
    let logged = Logged::start("[\"127.0.0.9\"]").await;
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

    // So has a call that the gateway makes in its own words.
    let brief = [("name", "brief"), ("meetingID", "brief")];
    assert_eq!(logged.api("create", &brief).await.xml("returncode"), "SUCCESS");
    assert_eq!(logged.api("end", &brief[1..]).await.xml("returncode"), "SUCCESS");
    let line = logged.line("call", "end").await;
    let at_server = logged.sims[0].log().into_iter().find(|seen| seen.call() == Some("end")).unwrap();
    assert_eq!(at_server.header("x-request-id"), line["request"].as_str(), "{line}");

    // A failure within a call has the id of the call. The server goes on to answer polls: one that is offline is not called.
    let faults = logged.sims[0].faults();
    faults.set_call_breakage("create", Some(Breakage::NoAnswer));
    let failed = [("name", "other"), ("meetingID", "other")];
    assert_ne!(logged.api("create", &failed).await.xml("returncode"), "SUCCESS");
    let of_create = [("message", "call to server failed"), ("call", "create"), ("tenant", "wagtail")];
    assert!(logged.line_of(&of_create).await["request"].is_string());
    // Not before: the gateway ends what a failed create may have made.
    faults.set_call_breakage("end", Some(Breakage::NoAnswer));
    let refused = logged.api("end", &[("meetingID", "room")]).await;
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{}", refused.body);
    let line = logged.line_of(&[("message", "call to server failed"), ("call", "end"), ("tenant", "wagtail")]).await;
    let access = logged.line_of(&[("target", "access"), ("request", line["request"].as_str().unwrap())]).await;
    assert_eq!(access["call"], "end", "{line}");
    assert!(logged.lines().iter().all(|line| !line.to_string().contains("of-a-stranger")));
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
        people.push(Joined::by("wagtail", &logged.api("join", &ADA).await));
    }
    let nobody = Joined { token: "unknown".into(), ..people[0].clone() };
    logged.client.graphql(&host("wagtail"), &nobody).await.expect_err("there is no such session");
    drop(logged.client.graphql(&host("wagtail"), &people[0]).await.unwrap());
    let line = logged.line("end", "client").await;
    assert_eq!((&line["tenant"], &line["server"]), (&"wagtail".into(), &"bbb-01".into()), "{line}");
    let opened = logged.line("request", line["request"].as_str().unwrap()).await;
    assert_eq!((&opened["target"], &opened["call"]), (&"access".into(), &"socket".into()), "{opened}");
    assert_eq!(logged.line("end", "refused").await["reason"], "unknownSession");
    // A tab that is closed before its first frame is no refusal, and a frame that is none is the client's fault.
    let path = format!("{}/graphql", people[0].prefix);
    for first in [None, Some("no first frame")] {
        let mut socket = logged.client.socket(&host("wagtail"), &path, &[]).await.unwrap();
        match first {
            Some(text) => socket.send(text.into()).await.unwrap(),
            None => drop(socket),
        }
    }
    assert_eq!(logged.line("end", "invalid").await["reason"], "malformed");
    let gone = |line: &serde_json::Value| line["end"] == "client" && line["reason"] == "gone";
    eventually("a line of the tab that was closed", async || logged.lines().iter().any(gone)).await;
    let mut open = logged.client.graphql(&host("wagtail"), &people[1]).await.unwrap();
    assert_eq!(logged.api("end", &[("meetingID", "room")]).await.xml("returncode"), "SUCCESS");
    while open.next().await.is_some_and(|message| message.is_ok()) {}
    // A browser closes its end; the gateway waits for that, and then cuts it.
    drop(open);
    logged.line("end", "server").await;
    let metrics = plain_get(logged.program.admin, "localhost", "/metrics").await.body;
    for (reason, count) in [("client", 2), ("refused", 1), ("server", 1), ("invalid", 1)] {
        let row = format!("anteroom_graphql_sockets_ended_total{{tenant=\"wagtail\",reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&row), "{row} in {metrics}");
    }
    assert!(!metrics.contains("reason=\"try_again\""), "{metrics}");
}
