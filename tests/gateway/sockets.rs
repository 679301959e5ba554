//! WebSockets of a meeting: what their frames tell, where they are led, how they are opened and how they close.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future::join_all};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{DEADLINE, Joined, Plan, Socket, Stage, greet, host};

const TENANT: &str = "wagtail";

async fn in_a_meeting(stage: &Stage) -> Joined {
    stage.create(TENANT, "room").await;
    stage.joined(TENANT, "room", "Ada").await
}

async fn next_text(socket: &mut Socket) -> String {
    loop {
        match timeout(DEADLINE, socket.next()).await.expect("nothing comes").unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn subscribe(socket: &mut Socket, query: &str) -> String {
    let query = serde_json::json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    socket.send(Message::text(query.to_string())).await.unwrap();
    next_text(socket).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_in_graphql_frames_are_on_the_tenants_host() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    let told = subscribe(&mut socket, "subscription { pres_page_curr { urlsJson } }").await;
    assert!(!told.contains("internal.test"), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let slide = told["payload"]["data"]["pres_page_curr"][0]["urlsJson"]["svg"].as_str().unwrap().to_owned();
    let start = format!("https://{}{}/bigbluebutton/presentation/", host(TENANT), joined.prefix);
    assert!(slide.starts_with(&start), "{slide}");
    let path = slide.strip_prefix(&format!("https://{}", host(TENANT))).unwrap();
    let reply = stage.client().get_with(&host(TENANT), path, &[("cookie", &joined.cookies)]).await;
    assert!(reply.status == 200 && reply.body.contains("<svg"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_not_read_where_the_operator_says_so() {
    let plan = Plan::new().server_like("members", "rewrite_frames = false");
    let stage = plan.tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    let told = subscribe(&mut socket, "subscription { pres_page_curr { urlsJson } }").await;
    assert!(told.contains("https://bbb-01.internal.test/bigbluebutton/presentation/"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graphql_socket_on_the_root_is_led_by_its_first_frame() {
    let plan = Plan::new().server("members").server("members").tenant(TENANT, "multi-account");
    let stage = plan.tenant("heron", "multi-account").start().await;
    let mut people = Vec::new();
    for room in ["one", "two"] {
        stage.create(TENANT, room).await;
        people.push(stage.joined(TENANT, room, "Ada").await);
    }
    assert_ne!(people[0].prefix, people[1].prefix, "on two servers");
    let cookies = format!("{}; {}", people[0].cookies, people[1].cookies);
    for (joined, room) in people.iter().zip(["one", "two"]) {
        let mut socket = stage.client().socket(&host(TENANT), "/graphql", &[("cookie", &cookies)]).await.unwrap();
        greet(&mut socket, &joined.token).await.unwrap();
        let told = subscribe(&mut socket, "subscription { sim_echo { seen } }").await;
        assert!(told.contains(&format!("\"meetingID\":\"t.wagtail.{room}\"")), "{told}");
    }
    // Another tenant's session, and none at all, are nobody's.
    for token in [&*people[0].token, "nobodys"] {
        let mut socket = stage.client().socket(&host("heron"), "/graphql", &[("cookie", &cookies)]).await.unwrap();
        let refused = greet(&mut socket, token).await.unwrap_err();
        assert!(refused.contains("4403"), "{refused}");
    }
    assert_eq!(stage.metric("anteroom_refusals_total", &["heron", "unknownSession"]).await, 2);
}

/// A server that takes only so many new sockets in a second is asked no oftener, and nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn many_sockets_at_once_wait_for_their_turn() {
    let plan = Plan::new().server_like("members", "sockets_per_second = 20");
    let stage = plan.tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let people = join_all((0..60).map(async |n| stage.joined(TENANT, "room", &format!("Guest {n}")).await)).await;
    let begun = Instant::now();
    let sockets = join_all(people.iter().map(|joined| stage.graphql(TENANT, joined))).await;
    let took = begun.elapsed();
    for socket in &sockets {
        assert!(socket.is_ok(), "{:?}", socket.as_ref().err());
    }
    assert!(took >= Duration::from_millis(59 * 1000 / 20), "60 sockets came within {took:?}");
    assert_eq!(stage.on_server(TENANT, "room").unwrap().users_online, 60);
}

/// Who goes away while waiting takes nobody's turn, and costs the server nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_not_waited_for() {
    let plan = Plan::new().server_like("members", "sockets_per_second = 1");
    let stage = plan.tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let people = join_all((0..4).map(async |n| stage.joined(TENANT, "room", &format!("Guest {n}")).await)).await;
    let _first = stage.graphql(TENANT, &people[0]).await.unwrap();
    for joined in &people[1..3] {
        let path = format!("{}/graphql", joined.prefix);
        let headers = [("cookie", &*joined.cookies)];
        let mut socket = stage.client().socket(&host(TENANT), &path, &headers).await.unwrap();
        let soon = timeout(Duration::from_millis(100), greet(&mut socket, &joined.token)).await;
        assert!(soon.is_err(), "it is nobody's turn yet: {soon:?}");
    }
    let _last = stage.graphql(TENANT, &people[3]).await.unwrap();
    let asked = stage.sims[0].log().iter().filter(|seen| seen.path == "/graphql").count();
    assert_eq!(asked, 2, "for those who have stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_keeps_its_code_both_ways() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    // The server does not take what is no message, and says so.
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    socket.send(Message::text("nonsense")).await.unwrap();
    let closed = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
    let Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!((frame.code, &*frame.reason), (CloseCode::from(4400), "Invalid message received"));
    // A meeting that ends closes its sockets.
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    let mut sfu = {
        let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
        stage.client().socket(&host(TENANT), &path, &[("cookie", &joined.cookies)]).await.unwrap()
    };
    assert!(stage.sims[0].end_meeting("t.wagtail.room"));
    for socket in [&mut socket, &mut sfu] {
        let closed = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(&closed, Message::Close(Some(frame)) if u16::from(frame.code) >= 1000), "{closed:?}");
    }
}

/// BBB's GraphQL reads messages of up to 10 MB (docs/reference/bbb-protocol.md, "Time limits and sizes").
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_ten_megabytes_pass_both_ways() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    let large = "x".repeat((10 << 20) - 1000);
    let told = subscribe(&mut socket, &format!("subscription {{ sim_echo }} {large}")).await;
    assert!(told.contains(&large), "{} bytes came back", told.len());
    // And one that is larger is the server's to refuse.
    let larger = "x".repeat(11 << 20);
    let _ = socket.send(Message::text(larger)).await;
    let closed = timeout(DEADLINE, socket.next()).await.unwrap();
    assert!(!matches!(&closed, Some(Ok(Message::Text(_)))), "{closed:?}");
}

/// The notes of later releases.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_hocuspocus_reaches_its_server() {
    let plan = Plan::new().server("members").tenant(TENANT, "multi-account");
    let stage = plan.tenant("heron", "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let Joined { prefix, token, cookies } = &joined;
    let path = format!("{prefix}/hocuspocus/notes?sessionToken={token}");
    let open = async |tenant: &str| stage.client().socket(&host(tenant), &path, &[("cookie", cookies)]).await;
    let mut socket = open(TENANT).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert!(next_text(&mut socket).await.contains("\"received\":\"hello\""));
    assert!(open("heron").await.is_err());
}

/// Sockets on which nothing is said stay open, and pings pass. `ANTEROOM_IDLE_SECONDS` says how long: 130 is longer than any
/// limit of BBB's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_idle_stays_open() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut socket = stage.graphql(TENANT, &joined).await.unwrap();
    let seconds = std::env::var("ANTEROOM_IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    // The time for which nothing is said.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    socket.send(Message::Ping(Bytes::from_static(b"beat"))).await.unwrap();
    let pong = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"beat")));
    assert!(subscribe(&mut socket, "subscription { sim_echo { seen } }").await.contains("sim_echo"));
}
