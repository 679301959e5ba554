//! The life of a meeting through client libraries as integrations use them, unmodified: they must not notice that this is
//! not a BBB server. One script per library makes one call and prints the library's answer as JSON.
//!
//! Needs node with the packages of `tests/clients`, and the Python of `var/venv`: `make test-deps`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use support::{Joined, Plan, Stage, eventually, host, secret};
use tokio::{process::Command, time::timeout};

const TENANT: &str = "wagtail";
/// What XML, forms and URLs have their own signs for.
const NAME: &str = "Müller & Söhne: 1 + 1 = 2 <ganz sicher> 100 %";
const MEETING: &str = "räume/halle 1+2 & mehr";
const USER: &str = "Änne O'Hara & Co";
/// One call takes a tenth of a second.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A script, and the manners of its library.
struct Library {
    script: &'static str,
    /// How it wants the address.
    base: &'static str,
    /// Whether it hands out texts as they stand in XML, with their escapes.
    escaped: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_js() {
    live(Library { script: "bigbluebutton-js.cjs", base: "/bigbluebutton/", escaped: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bbb_promise() {
    live(Library { script: "bbb-promise.cjs", base: "/bigbluebutton", escaped: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_api_python() {
    live(Library { script: "api_python.py", base: "/bigbluebutton/", escaped: false }).await;
}

async fn live(library: Library) {
    let of = |answer: &Value, name: &str| {
        let text = of(answer, name);
        if library.escaped { unescape(&text) } else { text }
    };
    let stage = Plan::new().server("members").server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = json!({
        "url": format!("https://{}:{}{}", host(TENANT), stage.address.port(), library.base),
        "secret": secret(TENANT),
        "name": NAME,
        "meeting": MEETING,
        "user": USER,
    });

    let created = library.call(&stage, "create", &plan).await;
    assert_eq!(of(&created, "returncode"), "SUCCESS", "{created}");
    assert_eq!(of(&created, "meetingID"), MEETING, "{created}");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    assert_eq!(on_server.params["name"], NAME);
    plan["password"] = of(&created, "moderatorPW").into();
    assert_ne!(plan["password"], "", "{created}");
    let idle = library.call(&stage, "isMeetingRunning", &plan).await;
    assert_eq!(of(&idle, "running"), "false", "{idle}");

    let link = library.call(&stage, "join", &plan).await;
    let joined = follow(&stage, &of(&link, "url")).await;
    let socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    eventually("somebody is in the meeting", async || {
        stage.on_server(TENANT, MEETING).is_some_and(|meeting| meeting.users_online == 1)
    })
    .await;

    let running = library.call(&stage, "isMeetingRunning", &plan).await;
    assert_eq!(of(&running, "running"), "true", "{running}");
    let info = library.call(&stage, "getMeetingInfo", &plan).await;
    let list = library.call(&stage, "getMeetings", &plan).await;
    for answer in [&info, &list] {
        assert_eq!(of(answer, "returncode"), "SUCCESS", "{answer}");
        assert_eq!(of(answer, "meetingName"), NAME, "{answer}");
        assert_eq!(of(answer, "meetingID"), MEETING, "{answer}");
        assert_eq!(of(answer, "participantCount"), "1", "{answer}");
        assert_eq!(of(answer, "fullName"), USER, "{answer}");
        assert_eq!(of(answer, "role"), "MODERATOR", "{answer}");
    }

    let ended = library.call(&stage, "end", &plan).await;
    assert_eq!(of(&ended, "messageKey"), "sentEndMeetingRequest", "{ended}");
    drop(socket);
    let gone = library.call(&stage, "getMeetingInfo", &plan).await;
    assert_eq!(of(&gone, "returncode"), "FAILED", "{gone}");
    assert_eq!(of(&gone, "messageKey"), "notFound", "{gone}");
}

/// Follows a join link as a browser does, as far as the redirect.
async fn follow(stage: &Stage, link: &str) -> Joined {
    let own = format!("https://{}", authority(stage));
    let path = link.strip_prefix(&own).unwrap_or_else(|| panic!("{link} is not below {own}"));
    let reply = stage.client().get_with(&host(TENANT), path, &[("host", &authority(stage))]).await;
    assert_eq!(reply.status, 302, "{reply:?}");
    let rest = reply.header("location").strip_prefix(&own).unwrap_or_else(|| panic!("{reply:?}"));
    let (prefix, _) = rest.split_once("/html5client/?sessionToken=").unwrap_or_else(|| panic!("{reply:?}"));
    assert!(prefix.starts_with("/s/"), "{reply:?}");
    Joined { prefix: prefix.to_owned(), token: reply.location_param("sessionToken"), cookies: reply.cookies() }
}

fn authority(stage: &Stage) -> String {
    format!("{}:{}", host(TENANT), stage.address.port())
}

impl Library {
    /// Makes one call.
    async fn call(&self, stage: &Stage, step: &str, plan: &Value) -> Value {
        let ca = stage.path("dev-ca/ca.pem");
        let mut program = self.program();
        program
            .args([step, &plan.to_string()])
            .env("NODE_EXTRA_CA_CERTS", &ca)
            .env("SSL_CERT_FILE", &ca)
            .env("NO_PROXY", "*")
            .env_remove("no_proxy")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let done = timeout(CALL_TIMEOUT, program.output()).await.expect("the call takes too long");
        let done =
            done.unwrap_or_else(|error| panic!("{:?}: {error}: run `make test-deps`", program.as_std().get_program()));
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{step} by {}: {out}{err}", self.script))
    }

    fn program(&self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("tests/clients");
        let mut program = if self.script.ends_with(".py") {
            Command::new(installed(root.join("var/venv/bin/python")))
        } else {
            installed(dir.join("node_modules"));
            let mut node = Command::new("node");
            node.args(["--no-deprecation", "--require", "./localhost.cjs"]);
            node
        };
        program.current_dir(dir).arg(self.script);
        program
    }
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `make test-deps`", path.display());
    path
}

/// The text of the first value with this name, at whatever depth: each library has its own shape for what was XML.
fn of(answer: &Value, name: &str) -> String {
    first(answer, name).map_or_else(String::new, text)
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&")
}

fn first<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    match answer {
        Value::Object(fields) => fields.get(name).or_else(|| fields.values().find_map(|field| first(field, name))),
        Value::Array(items) => items.iter().find_map(|item| first(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.first().map_or_else(String::new, text),
        other => other.to_string(),
    }
}
