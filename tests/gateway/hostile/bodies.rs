//! Bodies, uploads, sockets, files and joins: nobody takes the places, the memory or the turns of others.

use std::time::{Duration, Instant};

use anteroom::bbb::meeting_id::internal_start;
use anteroom_bench::sign;
use futures_util::future::join_all;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::time::timeout;

use crate::support::{
    DEADLINE, Plan, eventually,
    evil::{
        client::{Raw, endless_form, http2, told},
        server::{EvilServer, Seen},
    },
    host, secret, succeeds_within,
};

#[tokio::test(flavor = "multi_thread")]
async fn many_bodies_that_do_not_come_hold_nobody_up() {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    let evil = http2(&stage, &host("wagtail")).await;
    let begun = Instant::now();
    let stalled: Vec<_> = (0..128)
        .map(|_| {
            let mut evil = evil.clone();
            tokio::spawn(async move {
                told(evil.send_request(endless_form(&host("wagtail"), "create")).await.unwrap()).await
            })
        })
        .collect();
    eventually("bodies are held", async || stage.metric("anteroom_held_body_bytes", &[]).await >= 32).await;
    let path = sign::path("create", &[], &secret("heron"));
    let (path, form) =
        path.split_once('?').map(|(path, sum)| (path, format!("meetingID=room&name=Room&{sum}"))).unwrap();
    // An address has its own share, and so has a tenant: at the same address, and for the same tenant elsewhere.
    let (client, heron) = (stage.client(), host("heron"));
    let good = client.post(&heron, path, "application/x-www-form-urlencoded", form);
    let good = timeout(DEADLINE, good).await.unwrap();
    assert_eq!(good.xml("returncode"), "SUCCESS", "{good:?}");
    let path = sign::path("create", &[], &secret("wagtail"));
    let (path, form) =
        path.split_once('?').map(|(path, sum)| (path, format!("meetingID=room&name=Room&{sum}"))).unwrap();
    let mut elsewhere = Raw::open_from(&stage, &host("wagtail"), "127.0.0.2").await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        host("wagtail"),
        form.len()
    );
    let answer = elsewhere.send(request).await.read_for(DEADLINE).await;
    assert!(answer.contains("<returncode>SUCCESS"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(15), "bodies may take 30 s: {:?}", begun.elapsed());
    let answers = timeout(DEADLINE, join_all(stalled)).await.expect("a body that stops is broken off");
    let answers: Vec<String> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    let slow = answers.iter().filter(|answer| answer.contains("came too slowly")).count();
    let refused = answers.iter().filter(|answer| answer.contains("Some(\"2\")") && answer.contains("overloaded"));
    assert_eq!((slow, refused.count()), (32, 96), "{:?}", answers.first());
    eventually("what was held is given back", async || stage.metric("anteroom_held_body_bytes", &[]).await == 0).await;
}

/// A request with a body of 1000 bytes, of which the first is there.
fn upload(host: &str, first: &str) -> String {
    format!("POST /import HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000\r\n\r\n{first}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_costs_a_server_nothing_before_it_begins() {
    let evil = EvilServer::start(|_| EvilServer::answer("200 OK", "", "done")).await;
    let frontend = format!("frontend = \"http://{}\"", evil.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &frontend).start().await;
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::open(&stage, &host("wagtail")).await;
        raw.send(upload(&host("wagtail"), "")).await;
        uploads.push(raw);
    }
    // Whoever comes after them is served, and by then they had been seen.
    assert_eq!(stage.client().get(&host("wagtail"), "/page").await.body, "done");
    // Nothing is to happen, for a while.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(evil.seen().iter().map(Seen::target).collect::<Vec<_>>(), ["/page"]);
    assert!(evil.open() <= 1, "{} connections", evil.open());
    let answer = uploads[0].send("x").await.head().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = evil.seen();
    let upload = seen.last().unwrap();
    assert_eq!((seen.len(), upload.header("content-length")), (2, vec!["1000"]), "the length reaches the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_take_so_many_places_and_no_more() {
    let silent = EvilServer::silent().await;
    let frontend = format!("frontend = \"http://{}\"", silent.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &frontend).start().await;
    let uploads = (0..40).map(async |_| {
        let mut raw = Raw::open(&stage, &host("wagtail")).await;
        raw.send(upload(&host("wagtail"), "x")).await;
        raw
    });
    let mut uploads = join_all(uploads).await;
    eventually("an address has its places", async || silent.open() == 32).await;
    let answers = uploads.iter_mut().map(|raw| raw.read_for(Duration::from_secs(5)));
    let answers = join_all(answers).await;
    let refused =
        answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 2"));
    assert_eq!((refused.count(), silent.open()), (8, 32));
    let mut elsewhere = Raw::open_from(&stage, &host("wagtail"), "127.0.0.2").await;
    elsewhere.send(upload(&host("wagtail"), "x")).await;
    eventually("another address has its own", async || silent.open() == 33).await;
    drop(uploads);
    eventually("places are given back", async || silent.open() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_participant_has_a_few_sockets() {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    stage.create("wagtail", "room").await;
    stage.create("heron", "room").await;
    let (ada, bob) = (stage.joined("wagtail", "room", "Ada").await, stage.joined("heron", "room", "Bob").await);
    let many = join_all((0..40).map(|_| stage.graphql("wagtail", &ada))).await;
    let (open, refused): (Vec<_>, Vec<_>) = many.into_iter().partition(Result::is_ok);
    assert!(open.len() <= 8 && !open.is_empty(), "{}", open.len());
    let again = refused.iter().filter(|told| told.as_ref().is_err_and(|told| told.contains("Again")));
    assert!(again.count() >= 32, "they may try again: {:?}", refused.first());
    assert!(stage.metric("anteroom_refusals_total", &["rateLimited"]).await >= 32);
    let _bob = timeout(DEADLINE, stage.graphql("heron", &bob)).await.unwrap().unwrap();
    let sfu = format!("{}/bbb-webrtc-sfu?sessionToken={}", ada.prefix, ada.token);
    let client = stage.client();
    let mut others = Vec::new();
    for _ in 0..24 {
        others.push(client.socket(&host("wagtail"), &sfu, &[("cookie", &ada.cookies)]).await.unwrap());
    }
    let one_more = client.socket(&host("wagtail"), &sfu, &[("cookie", &ada.cookies)]).await.unwrap_err();
    assert!(one_more.to_string().contains("429"), "{one_more}");
    drop(others);
    eventually("a place is free again", async || {
        client.socket(&host("wagtail"), &sfu, &[("cookie", &ada.cookies)]).await.is_ok()
    })
    .await;
}

/// A server that answers as a BBB server does, and that has an endless number of large files.
fn with_large_files(seen: &Seen) -> Vec<u8> {
    let internal = format!("{}1700000000000", internal_start("t.wagtail.room"));
    let xml = |body: &str| {
        let body = format!("<response><returncode>SUCCESS</returncode>{body}</response>");
        EvilServer::answer("200 OK", "content-type: text/xml\r\n", &body)
    };
    let target = seen.target();
    if target.starts_with("/html5client/") {
        return EvilServer::answer("200 OK", "content-type: image/png\r\n", &"x".repeat(8 << 20));
    } else if target.starts_with("/bigbluebutton/api/create") {
        return xml(&format!(
            "<meetingID>t.wagtail.room</meetingID><internalMeetingID>{internal}</internalMeetingID><createTime>1700000000000</createTime>"
        ));
    } else if target.starts_with("/bigbluebutton/api/join") {
        let location = "location: /html5client/?sessionToken=abcdefgh\r\n";
        return EvilServer::answer("302 Found", location, "");
    } else if target.starts_with("/bigbluebutton/api/getMeetings") {
        return xml("<meetings/>");
    }
    let version = r#"{"response":{"returncode":"SUCCESS","version":"2.0","graphqlWebsocketUrl":"wss://x/graphql"}}"#;
    EvilServer::answer("200 OK", "content-type: application/json\r\n", version)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_endless_files_takes_no_more_memory_than_its_share() {
    let evil = EvilServer::start(with_large_files).await;
    let config = format!(
        "base_domains = [\"localhost\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [store]\nurl = \"sqlite:var/anteroom.db\"\n\
         [servers.bbb-01]\nurl = \"http://{}\"\nsecret = \"bbb-01-secret\"\npool = \"members\"\n",
        evil.address
    );
    let stage = Plan::new().tenant("wagtail", "multi-account").file("anteroom.toml", &config).start().await;
    let created = stage.create("wagtail", "room").await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{created:?}");
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let most = std::sync::atomic::AtomicU64::new(0);
    for round in 0..8 {
        let files = (0..8).map(|n| {
            let path = format!("{}/html5client/{round}-{n}.png", ada.prefix);
            let client = stage.client();
            async move { client.get(&host("wagtail"), &path).await.body.len() }
        });
        assert!(join_all(files).await.iter().all(|length| *length == 8 << 20), "all are answered");
        most.fetch_max(stage.metric("anteroom_client_file_bytes", &[]).await, std::sync::atomic::Ordering::Relaxed);
    }
    let most = most.into_inner();
    assert!(most > 64 << 20 && most <= 144 << 20, "{most}");
    assert!(stage.metric("anteroom_client_files_without_room_total", &[]).await > 0, "only so many are read at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_link_makes_no_rows_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("anteroom.db").display());
    let stage = Plan::new().store(&url).server("members").tenant("wagtail", "custom").start().await;
    stage.create("wagtail", "room").await;
    let params = |user: bool| {
        let mut params =
            vec![("meetingID", "room"), ("fullName", "Class 5b"), ("role", "VIEWER"), ("redirect", "false")];
        params.extend(user.then_some(("userID", "ada")));
        params
    };
    let link = sign::path("join", &params(true), &secret("wagtail"));
    let answers = join_all((0..60).map(|_| async { stage.client().get(&host("wagtail"), &link).await })).await;
    let joined = answers.iter().filter(|answer| answer.xml("returncode") == "SUCCESS").count();
    assert!((10..=25).contains(&joined), "{joined}");
    let refused: Vec<_> = answers.iter().filter(|answer| answer.xml("messageKey") == "rateLimited").collect();
    assert_eq!(refused.len() + joined, 60, "{:?}", answers.first());
    assert!(refused.iter().all(|answer| answer.header("retry-after") == "2"));
    let count = async || {
        let mut store = SqliteConnection::connect(&url).await.unwrap();
        let row = sqlx::query("SELECT COUNT(*) FROM sessions").fetch_one(&mut store).await.unwrap();
        row.get::<i64, _>(0)
    };
    // The last one stands, and nobody has come with the others.
    let one = async || match count().await {
        0 | 1 => Ok(()),
        more => Err(format!("{more} rows")),
    };
    succeeds_within(3 * DEADLINE, "one row", one).await;
    let link = sign::path("join", &params(false), &secret("wagtail"));
    let class = join_all((0..100).map(|_| async { stage.client().get(&host("wagtail"), &link).await })).await;
    assert!(class.iter().all(|answer| answer.xml("returncode") == "SUCCESS"), "a class comes in at once");
}
