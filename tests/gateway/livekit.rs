//! LiveKit's signalling on the tenant's host: where a client's settings lead, what is carried there, and what is not.

use anteroom::live::sessions::OTHER_SOCKETS_MAX;
use anteroom_bench::sim::{self, BreakoutPlan};
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{DEADLINE, Joined, Plan, Reply, Socket, Stage, eventually, host};

const TENANT: &str = "wagtail";

fn with_settings(settings: Value) -> sim::Config {
    sim::Config { client_settings: json!({ "public": settings }), ..sim::Config::default() }
}

async fn settings(stage: &Stage, joined: &Joined, endpoint: &str) -> Value {
    let path = format!("{}/api/rest/{endpoint}", joined.prefix);
    let headers = [("x-session-token", &*joined.token), ("cookie", &*joined.cookies)];
    let reply = stage.client().get_with(&host(TENANT), &path, &headers).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let data: Value = serde_json::from_str(&reply.body).unwrap();
    let paths = ["/meeting/0/clientSettings/clientSettingsJson", "/meeting_clientSettings/0/clientSettingsJson"];
    paths.iter().find_map(|path| data.pointer(path)).expect("settings")["public"].clone()
}

/// The token for LiveKit of somebody who has joined, on whichever server.
fn token_of(stage: &Stage, joined: &Joined) -> String {
    stage.sims.iter().find_map(|sim| sim.livekit_token(&joined.token)).expect("a session")
}

async fn get(stage: &Stage, tenant: &str, path: &str, cookies: &str) -> Reply {
    stage.client().get_with(&host(tenant), path, &[("cookie", cookies)]).await
}

/// Opens a socket of LiveKit; else the status that says why not.
async fn open(stage: &Stage, tenant: &str, path: &str, cookies: &str) -> Result<Socket, u16> {
    match stage.client().socket(&host(tenant), path, &[("cookie", cookies)]).await {
        Ok(socket) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{path}: {other}"),
    }
}

/// The server that a socket has reached.
async fn server_of(socket: &mut Socket) -> String {
    socket.send(Message::text("hello")).await.unwrap();
    let told = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
    let told: Value = serde_json::from_str(told.to_text().unwrap()).unwrap();
    told["seen"]["server"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_name_livekit_on_the_tenants_host_whatever_the_server_has() {
    for given in [
        json!({ "media": { "livekit": { "url": "" } } }),
        json!({ "media": { "livekit": { "url": null } } }),
        json!({ "media": { "livekit": null } }),
        json!({ "media": { "livekit": { "url": "wss://bbb-01.internal.test/livekit" } } }),
        json!({ "media": { "livekit": { "url": "wss://media.elsewhere.example" } } }),
    ] {
        let plan = Plan::new().server_with("members", with_settings(given.clone())).tenant(TENANT, "multi-account");
        let stage = plan.start().await;
        stage.create(TENANT, "room").await;
        let joined = stage.joined(TENANT, "room", "Ada").await;
        for endpoint in ["meetingStaticData", "clientSettings"] {
            let public = settings(&stage, &joined, endpoint).await;
            let expected = format!("wss://{}{}", host(TENANT), joined.livekit());
            assert_eq!(public["media"]["livekit"]["url"], expected, "{endpoint} of {given}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_by_itself_leads_to_the_tenant() {
    let given = json!({
        "app": { "ipv4FallbackDomain": "v4.cluster.example" },
        "media": { "sip_ws_host": "node.cluster.example" },
        "sharedNotes": { "serverHostname": "bbb-01.internal.test" },
    });
    let plan = Plan::new().server_with("members", with_settings(given)).tenant(TENANT, "multi-account");
    let stage = plan.start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let public = settings(&stage, &joined, "meetingStaticData").await;
    for path in ["/app/ipv4FallbackDomain", "/media/sip_ws_host", "/sharedNotes/serverHostname"] {
        assert_eq!(public.pointer(path), Some(&json!(host(TENANT))), "{path}");
    }
    // As the client makes the address of the notes.
    let path = format!("/hocuspocus/collaboration?sessionToken={}", joined.token);
    let mut socket = open(&stage, TENANT, &path, &joined.cookies).await.unwrap();
    assert!(server_of(&mut socket).await.contains("bbb-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_livekit_finds_all_it_asks_for() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let (prefix, livekit, token) = (&joined.prefix, joined.livekit(), token_of(&stage, &joined));
    let cookies = &*joined.cookies;
    let looked_at = get(&stage, TENANT, &livekit, cookies).await;
    let to = format!("https://{}{prefix}/livekit/", host(TENANT));
    assert_eq!((looked_at.status.as_u16(), looked_at.header("location")), (301, &*to));
    assert_eq!(get(&stage, TENANT, &format!("{prefix}/livekit/"), cookies).await.body, "OK");
    for check in ["rtc/validate", "rtc/v1/validate"] {
        let path = format!("{livekit}/{check}");
        assert_eq!(get(&stage, TENANT, &format!("{path}?access_token={token}"), cookies).await.body, "success");
        // What LiveKit says of a token is for its client to hear.
        let refused = get(&stage, TENANT, &format!("{path}?access_token=x.y.z"), cookies).await;
        assert_eq!((refused.status.as_u16(), &*refused.body), (401, "invalid authorization token"));
    }
    // A person has one for each of several rooms, and opens another before the old one closes.
    let mut sockets = Vec::new();
    for n in 0..6 {
        let path = format!("{livekit}/rtc{}?auto_subscribe=1&access_token={token}", ["", "/v1"][n % 2]);
        sockets.push(open(&stage, TENANT, &path, cookies).await.unwrap());
    }
    for socket in &mut sockets {
        assert!(server_of(socket).await.contains("bbb-01"));
    }
    let path = format!("{livekit}/rtc/v1?access_token=x.y.z");
    assert_eq!(open(&stage, TENANT, &path, cookies).await.err(), Some(401));
    // The room is gone, and its token not forgotten: LiveKit's client knows the sentence.
    let other = stage.joined(TENANT, "room", "Bob").await;
    stage.sims[0].faults().restart();
    let path = format!("{}/rtc/v1/validate?access_token={token}", other.livekit());
    let gone = get(&stage, TENANT, &path, cookies).await;
    assert_eq!((gone.status.as_u16(), &*gone.body), (404, "requested room does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_livekit_says_by_itself_that_it_has_no_v1() {
    let old = sim::Config { livekit_knows_v1: false, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", old).tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let at = |path: &str| format!("{}/{path}?access_token={}", joined.livekit(), token_of(&stage, &joined));
    assert_eq!(open(&stage, TENANT, &at("rtc/v1"), &joined.cookies).await.err(), Some(404));
    assert_eq!(get(&stage, TENANT, &at("rtc/v1/validate"), &joined.cookies).await.status, 404);
    assert!(open(&stage, TENANT, &at("rtc"), &joined.cookies).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_administrators_of_livekit_is_refused_in_words_that_are_not_livekits() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let token = token_of(&stage, &joined);
    let of_session = joined.livekit().replace("/livekit", "");
    for prefix in ["", &*joined.prefix, &*of_session] {
        for (method, path) in [
            (Method::POST, "/livekit/twirp/livekit.RoomService/ListRooms"),
            (Method::GET, "/livekit/twirp/livekit.RoomService/ListRooms"),
            (Method::POST, "/livekit//twirp/livekit.Egress/StartEgress"),
            (Method::GET, "/livekit/rtc/..%2ftwirp/livekit.SIP/ListSIPTrunk"),
            (Method::GET, "/livekit/agent"),
            (Method::GET, "/livekit/debug/goroutine"),
            (Method::POST, "/livekit/rtc/validate"),
        ] {
            let path = format!("{prefix}{path}?access_token={token}");
            let request = Request::builder().method(method).uri(&path).header("cookie", &*joined.cookies);
            let reply = stage.client().send(&host(TENANT), request).await;
            assert_eq!(reply.status, 410, "{path}: {}", reply.body);
            assert!(reply.body.starts_with("notFound: "), "{path}: {}", reply.body);
        }
        assert_eq!(open(&stage, TENANT, &format!("{prefix}/livekit/agent"), &joined.cookies).await.err(), Some(410));
    }
    let heard = stage.sims[0].log().into_iter().find(|seen| seen.path.contains("livekit"));
    assert!(heard.is_none(), "the server does not hear of it: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_livekit_is_of_no_use_to_another_tenant() {
    let plan = Plan::new().server("members").tenant(TENANT, "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let token = token_of(&stage, &joined);
    let at = |path: &str| format!("{}/livekit/{path}?access_token={token}", joined.prefix);
    // One who has nothing on that server, and then one who has a meeting there.
    for is_there in [false, true] {
        let mut cookies = joined.cookies.clone();
        if is_there {
            stage.create("heron", "room").await;
            cookies = format!("{cookies}; {}", stage.joined("heron", "room", "Eve").await.cookies);
        }
        let named = format!("{}/rtc?access_token=x.y.z", joined.livekit());
        for path in [at("rtc/v1"), at("rtc"), format!("/livekit/rtc?access_token={token}"), named] {
            assert_eq!(open(&stage, "heron", &path, &cookies).await.err(), Some(410), "{path}");
        }
        assert_eq!(get(&stage, "heron", &at("rtc/v1/validate"), &cookies).await.status, 410);
    }
    // What names many rooms asks the store for none.
    let ids: Vec<_> = (0..5).map(|n| format!("{}-1700000000000", n.to_string().repeat(40))).collect();
    let claims = data_encoding::BASE64URL_NOPAD.encode(ids.join(" ").as_bytes());
    let path = format!("{}/livekit/rtc/validate?access_token=x.{claims}.z", joined.prefix);
    assert_eq!(get(&stage, TENANT, &path, &joined.cookies).await.status, 410);
    // LiveKit would rather have it from a header, which says as much as the query.
    let path = format!("{}/livekit/rtc/validate", joined.prefix);
    let bearer = format!("Bearer {token}");
    let eve = stage.joined("heron", "room", "Eve").await;
    let headers = [("authorization", &*bearer), ("cookie", &eve.cookies)];
    assert_eq!(stage.client().get_with(&host("heron"), &path, &headers).await.status, 410);
    let heard = stage.sims[0].log().into_iter().find(|seen| seen.path.contains("livekit"));
    assert!(heard.is_none(), "the server does not hear of it: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_client_of_livekit_has_its_token_in_a_header() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    let token = token_of(&stage, &joined);
    // Its settings have told it the address; it keeps no cookies.
    let path = format!("{}/rtc/validate", joined.livekit());
    let headers = [("authorization", &*format!("Bearer {token}"))];
    assert_eq!(stage.client().get_with(&host(TENANT), &path, &headers).await.body, "success");
    let seen = stage.sims[0].log().into_iter().filter(|seen| seen.path.contains("livekit")).collect::<Vec<_>>();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].query, Some(format!("access_token={token}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_are_told_apart_in_one_browser() {
    let plan = Plan::new().server("members").server("members").tenant(TENANT, "multi-account");
    let stage = plan.start().await;
    let mut people = Vec::new();
    for room in ["one", "two"] {
        stage.create(TENANT, room).await;
        people.push(stage.joined(TENANT, room, "Ada").await);
    }
    let cookies = format!("{}; {}", people[0].cookies, people[1].cookies);
    let mut servers = Vec::new();
    for joined in &people {
        // The last address is what a client makes by itself: it names no server but by its token.
        for livekit in [joined.livekit(), format!("{}/livekit", joined.prefix), "/livekit".to_owned()] {
            let path = format!("{livekit}/rtc/v1?access_token={}", token_of(&stage, joined));
            servers.push(server_of(&mut open(&stage, TENANT, &path, &cookies).await.unwrap()).await);
        }
    }
    let (one, two) = servers.split_at(3);
    let is_one_server = |servers: &[String]| servers.iter().all(|server| *server == servers[0]);
    assert!(is_one_server(one) && is_one_server(two) && one[0] != two[0], "{servers:?}");
    // Neither the name of a session nor a room leads to another server.
    for (path, token) in [
        (people[0].livekit().replace(&people[0].prefix, &people[1].prefix), token_of(&stage, &people[0])),
        (people[0].livekit(), token_of(&stage, &people[1])),
        (format!("{}/livekit", people[0].prefix), token_of(&stage, &people[1])),
    ] {
        let path = format!("{path}/rtc?access_token={token}");
        assert_eq!(open(&stage, TENANT, &path, &cookies).await.err(), Some(410), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_so_many_sockets_of_livekit_and_no_more() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    stage.create(TENANT, "room").await;
    let (ada, bob) = (stage.joined(TENANT, "room", "Ada").await, stage.joined(TENANT, "room", "Bob").await);
    let at = |joined: &Joined| format!("{}/rtc/v1?access_token={}", joined.livekit(), token_of(&stage, joined));
    let mut sockets = Vec::new();
    for _ in 0..OTHER_SOCKETS_MAX {
        sockets.push(open(&stage, TENANT, &at(&ada), &ada.cookies).await.unwrap());
    }
    assert_eq!(open(&stage, TENANT, &at(&ada), &ada.cookies).await.err(), Some(429));
    // All of its sockets are counted together, and nobody else's are.
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", ada.prefix, ada.token);
    assert_eq!(open(&stage, TENANT, &path, &ada.cookies).await.err(), Some(429));
    assert!(open(&stage, TENANT, &at(&bob), &bob.cookies).await.is_ok());
    drop(sockets);
    eventually("there is room again", async || open(&stage, TENANT, &at(&ada), &ada.cookies).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_livekit_is_for_the_sessions_of_its_meeting() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    for room in ["one", "two"] {
        stage.create(TENANT, room).await;
    }
    let (ada, bob) = (stage.joined(TENANT, "one", "Ada").await, stage.joined(TENANT, "two", "Bob").await);
    let of_room = token_of(&stage, &bob);
    let breakouts = stage.sims[0].open_breakouts(&format!("t.{TENANT}.one"), BreakoutPlan::default());
    let of_breakout = claiming(&breakouts[0].int_id);
    for (livekit, token, cookies, status) in [
        (ada.livekit(), &*of_room, &*ada.cookies, 410),
        (bob.livekit(), &of_room, &bob.cookies, 101),
        // The name tells whose it is, also where no cookie comes along.
        (bob.livekit(), &of_room, "", 101),
        (format!("{}/livekit", bob.prefix), &of_room, "", 410),
        ("/livekit".to_owned(), &of_room, "", 410),
        // A page that was loaded before the address named its session.
        (format!("{}/livekit", bob.prefix), &of_room, &bob.cookies, 101),
        // A moderator listens to a breakout room: LiveKit says what it thinks of this token.
        (ada.livekit(), &of_breakout, &ada.cookies, 401),
    ] {
        let path = format!("{livekit}/rtc?access_token={token}");
        let opened = open(&stage, TENANT, &path, cookies).await;
        assert_eq!(opened.err().unwrap_or(101), status, "{path} with {cookies}");
    }
}

/// A token for a room that LiveKit has not signed.
fn claiming(room: &str) -> String {
    let claims = json!({ "video": { "room": room } }).to_string();
    format!("x.{}.z", data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes()))
}
