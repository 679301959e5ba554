//! A join storm: many people come to one meeting within seconds, each with page, files and three sockets, and stay. Nobody is
//! dropped, nobody refused, and their server sends each file of its client once.
//!
//! Small by default. `make storm` has 500 people come within 10 s and stay for two minutes; `ANTEROOM_STORM` is
//! `<people>/<seconds to come>/<seconds to stay>`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anteroom_bench::{sign, sim};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future::join_all};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    MACHINE,
    support::{Client, DEADLINE, Joined, Plan, Socket, eventually_within, host, secret},
};

const TENANT: &str = "wagtail";
/// BBB's client says something as often.
const BEAT: Duration = Duration::from_secs(10);
/// How long after the last one has come all are to be there.
const LATE: Duration = Duration::from_secs(60);

/// What went on.
#[derive(Default)]
struct Storm {
    /// How long the steps took, by step.
    took: Mutex<BTreeMap<&'static str, Vec<Duration>>>,
    here: AtomicU32,
    dropped: AtomicU32,
    over: AtomicBool,
}

impl Storm {
    async fn note(&self, step: &'static str, since: Instant) {
        self.took.lock().await.entry(step).or_default().push(since.elapsed());
    }
}

/// A browser's connection to the host.
struct Browser {
    sender: SendRequest<Empty<Bytes>>,
    cookies: String,
}

impl Browser {
    async fn open(client: &Client) -> Self {
        let stream = client.connect(&host(TENANT)).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, cookies: String::new() }
    }

    async fn get(&mut self, path: &str, token: &str) -> (http::response::Parts, Bytes) {
        let mut request = Request::get(path)
            .header("host", host(TENANT))
            .header("cookie", &self.cookies)
            .header("accept-encoding", "gzip, br")
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("x-session-token", token);
        }
        // Another step may not have been read to its end.
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    }

    async fn ok(&mut self, path: &str, token: &str) -> Bytes {
        let (head, body) = self.get(path, token).await;
        assert_eq!(head.status, 200, "{path}: {body:?}");
        body
    }
}

/// Comes, and stays until the storm is over.
async fn person(storm: &Storm, client: &Client, n: usize) {
    let begun = Instant::now();
    let mut browser = Browser::open(client).await;
    let name = format!("Guest {n}");
    let params = [("meetingID", "hall"), ("fullName", &*name), ("role", "VIEWER")];
    let (head, _) = browser.get(&sign::path("join", &params, &secret(TENANT)), "").await;
    assert_eq!(head.status, 302, "{head:?}");
    storm.note("join", begun).await;
    let text = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    browser.cookies = text("set-cookie").split(';').next().unwrap().to_owned();
    let location = text("location");
    let page = location.strip_prefix(&format!("https://{}", host(TENANT))).unwrap();
    let (prefix, rest) = page.split_once("/html5client/").unwrap();
    let token = rest.split("sessionToken=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let joined = Joined { prefix: prefix.to_owned(), token: token.clone(), cookies: browser.cookies.clone() };

    let step = Instant::now();
    let (_, plain) = {
        let request = Request::get(page).header("host", host(TENANT)).header("cookie", &browser.cookies);
        let answer = browser.sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    };
    let html = String::from_utf8(plain.to_vec()).unwrap();
    for file in html.split('"').filter(|text| [".js", ".css", ".svg"].iter().any(|end| text.ends_with(end))) {
        browser.ok(&format!("{prefix}/html5client/{file}"), "").await;
    }
    storm.note("page and files", step).await;
    let step = Instant::now();
    browser.ok(&format!("{prefix}/bigbluebutton/api"), "").await;
    for name in ["meetingStaticData", "userMetadata"] {
        browser.ok(&format!("{prefix}/api/rest/{name}"), &token).await;
    }
    storm.note("settings", step).await;

    let step = Instant::now();
    let mut graphql = client.graphql(&host(TENANT), &joined).await.unwrap();
    storm.note("graphql", step).await;
    say(&mut graphql, "subscription { pres_page_curr { urlsJson } }").await;
    let told = loop {
        match graphql.next().await.unwrap().unwrap() {
            Message::Text(text) if text.contains("pres_page_curr") => break text,
            _ => {}
        }
    };
    let slide = told.split(&format!("https://{}", host(TENANT))).nth(1).unwrap().split('"').next().unwrap();
    browser.ok(slide, &token).await;
    browser.ok(&format!("{prefix}/bigbluebutton/api/stuns?sessionToken={token}"), "").await;
    let mut sockets = vec![graphql];
    for path in ["bbb-webrtc-sfu", "ws"] {
        let path = format!("{prefix}/{path}?sessionToken={token}");
        sockets.push(client.socket(&host(TENANT), &path, &[("cookie", &*joined.cookies)]).await.unwrap());
    }
    storm.note("all of it", begun).await;
    storm.here.fetch_add(1, Relaxed);
    stay(storm, &mut browser, prefix, &mut sockets).await;
}

async fn say(socket: &mut Socket, query: &str) {
    let query = serde_json::json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    socket.send(Message::text(query.to_string())).await.unwrap();
}

/// Says something now and then on all sockets; one that closes is dropped.
async fn stay(storm: &Storm, browser: &mut Browser, prefix: &str, sockets: &mut [Socket]) {
    let mut beats = tokio::time::interval(BEAT);
    while !storm.over.load(Relaxed) {
        let wait = tokio::time::timeout(Duration::from_millis(500), beats.tick()).await;
        if wait.is_err() {
            continue;
        }
        browser.ok(&format!("{prefix}/bigbluebutton/rtt-check"), "").await;
        for socket in &mut *sockets {
            let alive = async {
                socket.send(Message::Ping(Bytes::from_static(b"beat"))).await.ok()?;
                loop {
                    match socket.next().await?.ok()? {
                        Message::Pong(_) => return Some(()),
                        Message::Close(_) => return None,
                        _ => {}
                    }
                }
            };
            if !matches!(tokio::time::timeout(DEADLINE, alive).await, Ok(Some(()))) {
                storm.dropped.fetch_add(1, Relaxed);
            }
        }
    }
    for socket in sockets {
        let _ = socket.close(None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_in_and_stays() {
    let _alone = MACHINE.lock().await;
    let sizes = std::env::var("ANTEROOM_STORM").unwrap_or_else(|_| "40/2/3".into());
    let sizes: Vec<usize> = sizes.split('/').map(|size| size.parse().unwrap()).collect();
    let [people, come, stay] = sizes[..] else { panic!("ANTEROOM_STORM is <people>/<seconds>/<seconds>") };
    let config = sim::Config { log_entries_max: 1_000_000, ..sim::Config::default() };
    let plan = Plan::new().server_with_keys("members", config, "sockets_per_second = 100");
    let stage = plan.tenant(TENANT, "custom").start().await;
    stage.create(TENANT, "hall").await;

    let storm = Arc::new(Storm::default());
    let client = stage.client();
    let tasks: Vec<_> = (0..people)
        .map(|n| {
            let (storm, client) = (Arc::clone(&storm), client.clone());
            let at = Duration::from_secs_f64(come as f64 * n as f64 / people as f64);
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                person(&storm, &client, n).await;
            })
        })
        .collect();
    let everybody = u32::try_from(people).unwrap();
    let begun = Instant::now();
    // Those who do not get in end early; they are counted below.
    let all = || storm.here.load(Relaxed) == everybody || tasks.iter().any(tokio::task::JoinHandle::is_finished);
    eventually_within(Duration::from_secs(come as u64) + LATE, "all have come", async || all()).await;
    println!("{people} people were there after {:.1?}", begun.elapsed());
    // For how long they stay.
    tokio::time::sleep(Duration::from_secs(stay as u64)).await;
    assert_eq!(stage.on_server(TENANT, "hall").unwrap().users_online, people);
    let metrics = stage.metrics().await;
    let open = format!("anteroom_open_sockets{{tenant=\"{TENANT}\"}} {}", 3 * people);
    assert!(metrics.contains(&open), "{metrics}");
    storm.over.store(true, Relaxed);
    for task in join_all(tasks).await {
        task.expect("somebody did not get in");
    }
    assert_eq!(storm.dropped.load(Relaxed), 0, "sockets were dropped");
    for (step, took) in &mut *storm.took.lock().await {
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        println!("{step:>16}: median {:.0?}, p95 {:.0?}, longest {:.0?}", at(0.5), at(0.95), at(1.0));
    }

    let log = stage.sims[0].log();
    let mut reads: BTreeMap<&str, usize> = BTreeMap::new();
    for seen in log.iter().filter(|seen| seen.path.starts_with("/html5client/")) {
        // Whether a file is still what it was is asked for now and then.
        *reads.entry(&seen.path).or_default() += usize::from(seen.header("if-none-match").is_none());
    }
    assert!(reads.len() >= 5 && reads.values().all(|reads| *reads == 1), "{reads:?}");
}
