//! The life of a meeting through client libraries as integrations use them, unmodified: they must not notice that this is
//! not a BBB server. One script (or program) per library makes one call and prints the library's answer as JSON.
//!
//! | library | language | signs with | besides |
//! |---|---|---|---|
//! | bigbluebutton-js | JavaScript | SHA-1 | recordings, webhooks |
//! | bbb-promise | JavaScript | SHA-1 | recordings |
//! | bigbluebutton-api-python | Python | SHA-1 | recordings |
//! | bbbctl | Python | SHA-1 | recordings, messages |
//! | python-sage-bbb | Python | what its caller chooses: all four | forms, documents |
//! | bigbluebutton | Python | SHA-1 | slides with the `create` |
//! | bigbluebutton | Rust | SHA-256 | |
//!
//! Needs node with the packages of `tests/clients`, the Python of `var/venv` and the program of `var/client-rust`:
//! `make test-deps`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anteroom_bench::sim::{RecordingSeed, RecordingState};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

use crate::support::{Joined, Plan, Stage, eventually, host, secret};

const TENANT: &str = "wagtail";
/// What XML, forms and URLs have their own signs for.
const NAME: &str = "Müller & Söhne: 1 + 1 = 2 <ganz sicher> 100 % 🎓";
const MEETING: &str = "räume/halle 1+2 & mehr 🏫";
const USER: &str = "Änne O'Hara + Bo & Co 😀";
/// The program that calls the crate.
const CRATE: &str = "var/client-rust/debug/anteroom-client-rust";
/// One call takes a tenth of a second.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A script, and the manners of its library.
#[derive(Clone, Copy)]
struct Library {
    script: &'static str,
    /// How it wants the address.
    base: &'static str,
    /// Whether it hands out texts as they stand in XML, with their escapes.
    escaped: bool,
    /// What it signs with, and how many digits that has.
    algorithm: (&'static str, usize),
    /// Whether it makes the meeting by a form.
    post: bool,
}

const SHA1: (&str, usize) = ("sha1", 40);

impl Library {
    const fn new(script: &'static str, base: &'static str) -> Self {
        Self { script, base, escaped: false, algorithm: SHA1, post: false }
    }
}

const BIGBLUEBUTTON_JS: Library = Library { escaped: true, ..Library::new("bigbluebutton-js.cjs", "/bigbluebutton/") };
const BBB_PROMISE: Library = Library::new("bbb-promise.cjs", "/bigbluebutton");
const API_PYTHON: Library = Library::new("python/api_python.py", "/bigbluebutton/");
const BBBCTL: Library = Library::new("python/ctl.py", "/bigbluebutton/api");
const SAGE: Library = Library::new("python/sage.py", "/bigbluebutton/api/");

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_js() {
    live(BIGBLUEBUTTON_JS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bbb_promise() {
    live(BBB_PROMISE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_api_python() {
    live(API_PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bbbctl() {
    live(BBBCTL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_the_crate_bigbluebutton() {
    live(Library { algorithm: ("sha256", 64), ..Library::new(CRATE, "/bigbluebutton/") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_python_sage_bbb_with_each_algorithm() {
    for (algorithm, post) in [(SHA1, false), (("sha256", 64), true), (("sha384", 96), false), (("sha512", 128), true)] {
        live(Library { algorithm, post, ..SAGE }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_come_with_a_meeting_of_the_package_bigbluebutton() {
    let library = Library::new("python/slides.py", "/bigbluebutton/api/");
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);
    plan["slides"] = "https://school.example/folien%20eins.pdf".into();
    plan["password"] = "mp".into();
    assert_eq!(of(&library.call(&stage, "create", &plan).await, "made"), "true");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    assert_eq!(on_server.documents, ["folien%20eins.pdf"]);
    assert_eq!((&*on_server.params["name"], &*on_server.params["duration"]), (NAME, "30"));

    let link = library.call(&stage, "join", &plan).await;
    let joined = follow(&stage, &of(&link, "url")).await;
    let socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    eventually("the meeting runs", async || {
        of(&library.call(&stage, "isMeetingRunning", &plan).await, "running") == "true"
    })
    .await;
    assert_eq!(of(&library.call(&stage, "end", &plan).await, "ended"), "true");
    drop(socket);
    assert_eq!(of(&library.call(&stage, "isMeetingRunning", &plan).await, "running"), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_meeting_is_given_a_document_and_a_message_by_libraries() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = SAGE.plan(&stage);
    plan["message"] = "Grüße + <Küsse> & mehr 😀".into();
    plan["modules"] = "<modules><module name=\"presentation\">\
                       <document url=\"https://school.example/b.pdf\" filename=\"Folien &amp; mehr ä.pdf\"/></module></modules>"
        .into();
    let created = SAGE.call(&stage, "create", &plan).await;
    plan["password"] = of(&created, "moderatorPW").into();
    let joined = follow(&stage, &of(&SAGE.call(&stage, "join", &plan).await, "url")).await;
    let _socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    let inserted = SAGE.call(&stage, "insertDocument", &plan).await;
    assert_eq!(of(&inserted, "message"), "Presentation is being uploaded", "{inserted}");
    assert_eq!(stage.on_server(TENANT, MEETING).unwrap().documents, ["Folien & mehr ä.pdf"]);

    plan["url"] = BBBCTL.plan(&stage)["url"].clone();
    let sent = BBBCTL.call(&stage, "sendChatMessage", &plan).await;
    assert_eq!(of(&sent, "returncode"), "SUCCESS", "{sent}");
    let log = stage.sims[0].log();
    let seen = log.iter().rfind(|seen| seen.call() == Some("sendChatMessage")).unwrap();
    assert_eq!(seen.param("message").as_deref(), plan["message"].as_str());
    assert_eq!(seen.param("userName").as_deref(), Some(USER));
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_taken_back_and_deleted_by_libraries() {
    for library in [BIGBLUEBUTTON_JS, BBB_PROMISE, API_PYTHON, BBBCTL] {
        let of = |answer: &Value, name| library.of(answer, name);
        let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
        let mut plan = library.plan(&stage);
        let made = stage.api(TENANT, "create", &[("name", NAME), ("meetingID", MEETING), ("record", "true")]).await;
        stage.joined(TENANT, MEETING, "Ada").await;
        stage.api(TENANT, "end", &[("meetingID", MEETING)]).await;
        let record = stage.sims[0].add_recording(RecordingSeed {
            ext_id: format!("t.{TENANT}.{MEETING}"),
            name: NAME.into(),
            start_time_ms: made.xml("createTime").parse().ok(),
            ..RecordingSeed::default()
        });
        let state = || stage.sims[0].recordings()[0].state;
        assert_eq!((&*record, state()), (made.xml("internalMeetingID"), RecordingState::Published));
        plan["record"] = record.as_str().into();

        let listed = library.call(&stage, "getRecordings", &plan).await;
        assert_eq!(of(&listed, "recordID"), record, "{listed}");
        assert_eq!((of(&listed, "meetingID"), of(&listed, "name")), (MEETING.to_owned(), NAME.to_owned()), "{listed}");
        let player = format!("https://{}/playback/presentation/2.3/{record}", authority(&stage));
        assert!(listed.to_string().contains(&format!("\"{player}\"")), "{listed}");
        let taken_back = library.call(&stage, "publishRecordings", &plan).await;
        assert_eq!((of(&taken_back, "published"), state()), ("false".into(), RecordingState::Unpublished));
        let deleted = library.call(&stage, "deleteRecordings", &plan).await;
        assert_eq!((of(&deleted, "deleted"), state()), ("true".into(), RecordingState::Deleted), "{deleted}");
        let none = library.call(&stage, "getRecordings", &plan).await;
        assert_eq!(of(&none, "recordID"), "", "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_created_listed_and_removed_by_bigbluebutton_js() {
    let library = BIGBLUEBUTTON_JS;
    let of = |answer: &Value, name| library.of(answer, name);
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);
    let callback = "https://school.example/hook?course=1&group=%C3%A4%20b";
    plan["callback"] = callback.into();

    let created = library.call(&stage, "createHook", &plan).await;
    let id = of(&created, "hookID");
    assert_eq!((of(&created, "returncode"), of(&created, "permanentHook")), ("SUCCESS".into(), "false".into()));
    assert_ne!(id, "", "{created}");
    let again = library.call(&stage, "createHook", &plan).await;
    assert_eq!((of(&again, "messageKey"), of(&again, "hookID")), ("duplicateWarning".into(), id.clone()), "{again}");
    let listed = library.call(&stage, "listHooks", &plan).await;
    assert_eq!((of(&listed, "hookID"), of(&listed, "callbackURL")), (id.clone(), callback.into()), "{listed}");
    assert_eq!((of(&listed, "meetingID"), of(&listed, "eventID")), (MEETING.into(), "meeting-ended,user-left".into()));

    // As a program has it from the answer: a number may have become one.
    plan["hook"] = created["hookID"].clone();
    assert_eq!(of(&library.call(&stage, "destroyHook", &plan).await, "removed"), "true");
    let none = library.call(&stage, "listHooks", &plan).await;
    assert_eq!((of(&none, "returncode"), of(&none, "hookID")), ("SUCCESS".into(), String::new()), "{none}");
    let gone = library.call(&stage, "destroyHook", &plan).await;
    assert_eq!(of(&gone, "messageKey"), "destroyMissingHook", "{gone}");
}

async fn live(library: Library) {
    let of = |answer: &Value, name| library.of(answer, name);
    let stage = Plan::new().server("members").server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);

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
    let link = of(&link, "url");
    let sum = link.rsplit_once("checksum=").map_or("", |(_, sum)| sum);
    assert_eq!(sum.split('&').next().map(str::len), Some(library.algorithm.1), "{link}");
    let joined = follow(&stage, &link).await;
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
    /// What a script has to know.
    fn plan(&self, stage: &Stage) -> Value {
        json!({
            "url": format!("https://{}{}", authority(stage), self.base),
            "secret": secret(TENANT),
            "name": NAME,
            "meeting": MEETING,
            "user": USER,
            "algorithm": self.algorithm.0,
            "post": self.post,
        })
    }

    /// Makes one call.
    async fn call(&self, stage: &Stage, step: &str, plan: &Value) -> Value {
        let ca = stage.path("dev-ca/ca.pem");
        let mut program = self.program();
        program
            .args([step, &plan.to_string()])
            .env("NODE_EXTRA_CA_CERTS", &ca)
            .env("SSL_CERT_FILE", &ca)
            .env("REQUESTS_CA_BUNDLE", &ca)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            program.env_remove(name).env_remove(name.to_uppercase());
        }
        // Names below `localhost` are this machine, as RFC 6761 has it and not every system's resolver: node is told so by
        // a script, the others find the gateway by a proxy.
        if !self.is_node() {
            program.env("https_proxy", proxy(stage).await);
        }
        let done = timeout(CALL_TIMEOUT, program.output()).await.expect("the call takes too long");
        let done =
            done.unwrap_or_else(|error| panic!("{:?}: {error}: run `make test-deps`", program.as_std().get_program()));
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{step} by {}: {out}{err}", self.script))
    }

    /// The text of the first value with this name.
    fn of(&self, answer: &Value, name: &str) -> String {
        let text = of(answer, name);
        if self.escaped { unescape(&text) } else { text }
    }

    fn is_node(&self) -> bool {
        self.script.ends_with(".cjs")
    }

    fn program(&self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("tests/clients");
        let mut program = if self.script == CRATE {
            Command::new(installed(root.join(CRATE)))
        } else if self.is_node() {
            installed(dir.join("node_modules"));
            let mut node = Command::new("node");
            node.args(["--no-deprecation", "--require", "./localhost.cjs", self.script]);
            node
        } else {
            let mut python = Command::new(installed(root.join("var/venv/bin/python")));
            python.arg(self.script);
            python
        };
        program.current_dir(dir);
        program
    }
}

/// Starts a proxy for one call, which leads to the gateway whatever host it is asked for.
async fn proxy(stage: &Stage) -> String {
    let (listener, gateway) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), stage.address);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // A client that goes away has its own test to fail.
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            assert!(head.starts_with(b"CONNECT "), "{}", String::from_utf8_lossy(&head));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(gateway).await?).await?;
        }
        std::io::Result::Ok(())
    });
    format!("http://{address}")
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
