//! What differs between versions of BigBlueButton.

use anteroom_bench::sign;
use anteroom_bench::sim::{Config, Sim, Version};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::helpers::*;

const ALL: [Version; 3] = [Version::V2_7, Version::V3_0_0, Version::V3_0_30];

async fn start_as(version: Version) -> Sim {
    start(Config { version, reveals_version: true, ..Config::default() }).await
}

#[tokio::test]
async fn a_version_has_its_own_addresses() {
    for version in ALL {
        let sim = start_as(version).await;
        let is_old = version == Version::V2_7;
        let of_two = |old: u16, new: u16| if is_old { old } else { new };
        create(&sim, "room", &[]).await;
        let seat = join(&sim, "room", &[]).await;
        let headers = [("X-Session-Token", seat.token.as_str()), ("Cookie", &seat.cookie)];
        for (path, status) in [
            ("/api/rest/clientSettings", of_two(404, 200)),
            ("/api/rest/meetingStaticData", if version == Version::V3_0_30 { 200 } else { 404 }),
            ("/graphql", of_two(404, 400)),
            ("/bigbluebutton/ping", of_two(200, 404)),
            ("/bigbluebutton/rtt-check", of_two(404, 200)),
            ("/html5client/", 200),
            ("/html5client/join", if version == Version::V3_0_30 { 404 } else { 200 }),
            ("/html5client/guestWait", of_two(200, 404)),
            ("/html5client/sockjs/info", of_two(200, 404)),
        ] {
            let answer = http(&sim, &format!("GET {path}"), &headers, b"").await;
            assert_eq!(answer.status, status, "{version:?} {path}");
        }
        let told = get(&sim, "/bigbluebutton/api").await;
        assert_eq!(told.tag("bbbVersion"), Some(version.number()));
        assert_eq!(told.tag("graphqlApiUrl").is_some(), !is_old);
        let json = http(&sim, "GET /bigbluebutton/api", &[("Content-Type", "application/json")], b"").await.json();
        assert_eq!(json["response"].get("html5PluginSdkVersion").is_some(), !is_old);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_version_knows_its_own_calls() {
    let unknown = Some("Request not recognized");
    for version in ALL {
        let sim = start_as(version).await;
        let is_old = version == Version::V2_7;
        for (call, in_old) in [("enter", true), ("getJoinUrl", false), ("sendChatMessage", false)] {
            let answer = get(&sim, &format!("/bigbluebutton/api/{call}?sessionToken=x")).await;
            assert_eq!(answer.tag("message") == unknown, is_old != in_old, "{version:?} {call}");
        }
        let wait = get(&sim, "/bigbluebutton/api/guestWait?sessionToken=x").await;
        assert_eq!(wait.status, if is_old { 200 } else { 404 });
        create(&sim, "room", &[]).await;
        let params = [("fullName", "A"), ("meetingID", "room"), ("role", "VIEWER")];
        let posted = http(&sim, &format!("POST {}", sign::path("join", &params, SECRET)), &[], b"").await;
        assert_eq!(posted.status, if is_old { 302 } else { 405 }, "{version:?}");
        let page = if version == Version::V3_0_30 { "/html5client/?" } else { "/html5client/join?" };
        let location = call(&sim, "join", &params).await.header("location").unwrap().to_owned();
        assert!(location.starts_with(&format!("{SERVER}{page}sessionToken=")), "{version:?} {location}");
        sim.stop().await;
    }
}

#[tokio::test]
async fn only_early_servers_mind_the_charset_of_a_form() {
    for version in ALL {
        let sim = start_as(version).await;
        let head = format!("POST {}", sign::path("create", &[("name", "Room"), ("meetingID", "room")], SECRET));
        for (parameter, is_minded) in [("", false), ("; charset=utf-8", version == Version::V3_0_0)] {
            let content_type = format!("application/x-www-form-urlencoded{parameter}");
            let answer = http(&sim, &head, &[("Content-Type", &content_type)], b"welcome=x").await;
            assert_eq!(answer.tag("messageKey") == Some("unsupportedContentType"), is_minded, "{version:?}{parameter}");
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_refused_join_is_told_as_the_version_does_it() {
    const ERROR: &str = "https://x.test/error";
    const BYE: &str = "https://x.test/bye";
    let own = [("fullName", "A"), ("role", "VIEWER"), ("errorRedirectUrl", ERROR), ("logoutURL", BYE)];
    let (early, late) = (("meetingID", "gone"), ("createTime", "12"));
    for (version, early_page, late_page, honours) in [
        (Version::V2_7, BYE, BYE, (false, false)),
        (Version::V3_0_0, BYE, ERROR, (true, true)),
        (Version::V3_0_30, ERROR, ERROR, (false, true)),
    ] {
        let sim = start_as(version).await;
        create(&sim, "room", &[]).await;
        let steps = [(vec![early], early_page, honours.0), (vec![("meetingID", "room"), late], late_page, honours.1)];
        for (more, page, honours) in steps {
            let params = [&own[..], &more].concat();
            let answer = call(&sim, "join", &params).await;
            assert!(answer.header("location").unwrap().starts_with(&format!("{page}?errors=")), "{version:?} {more:?}");
            let answer = call(&sim, "join", &[&params[..], &[("redirect", "false")]].concat()).await;
            assert_eq!(answer.status, if honours { 200 } else { 302 }, "{version:?} {more:?}");
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn guests_of_2_7_wait_in_a_lobby() {
    let sim = start_as(Version::V2_7).await;
    create(
        &sim,
        "room",
        &[("guestPolicy", "ASK_MODERATOR"), ("maxParticipants", "1"), ("logoutURL", "https://x.test/bye")],
    )
    .await;
    let guest = [("fullName", "Guest"), ("meetingID", "room"), ("role", "VIEWER"), ("guest", "true")];
    let first = call(&sim, "join", &guest).await;
    assert!(first.header("location").unwrap().contains("/html5client/guestWait?sessionToken="));
    let (first, second) = (seat(&first), seat(&call(&sim, "join", &guest).await));
    let poll = async |seat: &Seat| session_call(&sim, seat, "guestWait", &[("redirect", "false")]).await;
    let told = async |seat: &Seat| {
        let response = poll(seat).await.json()["response"].clone();
        ["returncode", "messageKey", "guestStatus"].map(|name| response[name].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(told(&first).await, ["SUCCESS", "guestWait", "WAIT"]);
    for (seat, place) in [(&first, "1"), (&second, "2")] {
        assert_eq!(poll(seat).await.json()["response"]["positionInWaitingQueue"], place);
    }
    let entered = session_call(&sim, &first, "enter", &[]).await.json();
    assert_eq!(entered["response"]["message"], "User denied access for this session");

    assert!(sim.judge_guest(&first.token, true));
    let client = format!("{SERVER}/html5client/join?sessionToken={}", first.token);
    assert_eq!(told(&first).await, ["SUCCESS", "guestAllowed", "ALLOW"]);
    assert_eq!(poll(&first).await.json()["response"]["url"], client);
    let let_in = session_call(&sim, &first, "guestWait", &[]).await;
    assert_eq!((let_in.status, let_in.header("location")), (302, Some(client.as_str())));
    let _socket = meteor(&sim, &first).await.unwrap();
    assert!(sim.judge_guest(&second.token, true));
    assert_eq!(told(&second).await, ["SUCCESS", "seatWait", "ALLOW"], "the room is full");
    let full = session_call(&sim, &second, "enter", &[]).await.json()["response"].clone();
    assert_eq!(full["message"], "The maximum number of participants allowed for this meeting has been reached.");
    assert_eq!((&full["returncode"], &full["logoutURL"]), (&json!("FAILED"), &json!("https://x.test/bye")));

    assert!(sim.judge_guest(&second.token, false));
    assert_eq!(told(&second).await, ["FAILED", "guestDeny", "DENY"]);
    let stranger = Seat { cookie: String::new(), ..first };
    assert_eq!(told(&stranger).await, ["FAILED", "guestInvalid", ""]);
    assert!(!sim.judge_guest("0123456789abcdef", true));
    sim.stop().await;
}

#[tokio::test]
async fn enter_tells_a_2_7_client_all_about_its_session() {
    let sim = start_as(Version::V2_7).await;
    create(&sim, "room", &[("moderatorOnlyMessage", "psst"), ("meta_course", "7"), ("welcome", "Hi")]).await;
    let params =
        [("fullName", "Mo"), ("meetingID", "room"), ("role", "MODERATOR"), ("userID", "u1"), ("userdata-x", "y")];
    let mo = seat(&call(&sim, "join", &params).await);
    let response = session_call(&sim, &mo, "enter", &[]).await.json()["response"].clone();
    for (name, value) in [
        ("returncode", json!("SUCCESS")),
        ("fullname", json!("Mo")),
        ("confname", json!("A room")),
        ("meetingID", json!(only(&sim).int_id)),
        ("externMeetingID", json!("room")),
        ("externUserID", json!("u1")),
        ("role", json!("MODERATOR")),
        ("guestStatus", json!("ALLOW")),
        ("record", json!("false")),
        ("welcome", json!("Hi")),
        ("modOnlyMessage", json!("psst")),
        ("logoutUrl", json!(SERVER)),
        ("customdata", json!([{ "x": "y" }])),
        ("metadata", json!([{ "course": "7" }])),
    ] {
        assert_eq!(response[name], value, "{name}");
    }
    let viewer = join(&sim, "room", &[]).await;
    assert_eq!(session_call(&sim, &viewer, "enter", &[]).await.json()["response"].get("modOnlyMessage"), None);
    let stranger = Seat { cookie: String::new(), ..viewer };
    let refused = session_call(&sim, &stranger, "enter", &[]).await.json()["response"].clone();
    assert_eq!((&refused["message"], &refused["logoutURL"]), (&json!("Invalid session token"), &json!(SERVER)));
    sim.stop().await;
}

/// The messages in the next frame of a sockjs socket.
async fn hear_ddp(socket: &mut Socket) -> Vec<Value> {
    let Some(Ok(Message::Text(text))) = socket.next().await else { return Vec::new() };
    let frame = text.strip_prefix('a').unwrap_or("[]");
    let messages: Vec<String> = serde_json::from_str(frame).unwrap();
    messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
}

async fn say_ddp(socket: &mut Socket, message: Value) {
    socket.send(Message::text(json!([message.to_string()]).to_string())).await.unwrap();
}

/// The socket of somebody who has joined a 2.7 server, or why it was refused.
async fn meteor(sim: &Sim, seat: &Seat) -> Result<Socket, String> {
    let entered = session_call(sim, seat, "enter", &[]).await.json()["response"].clone();
    let mut socket = open(sim, "/html5client/sockjs/123/abcdefgh/websocket", &[]).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("o"));
    say_ddp(&mut socket, json!({ "msg": "connect", "version": "1", "support": ["1"] })).await;
    assert_eq!(hear_ddp(&mut socket).await[0]["msg"], "connected");
    let params = [&entered["meetingID"], &entered["internalUserID"], &entered["authToken"]];
    say_ddp(&mut socket, json!({ "msg": "method", "id": "1", "method": "validateAuthToken", "params": params })).await;
    let result = hear_ddp(&mut socket).await.remove(0)["result"].clone();
    assert_eq!(hear_ddp(&mut socket).await, [json!({ "msg": "updated", "methods": ["1"] })]);
    match result["invalid"] == false {
        true => Ok(socket),
        false => Err(result["reason"].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn a_2_7_client_is_there_by_its_sockjs_socket() {
    let sim = start_as(Version::V2_7).await;
    create(&sim, "room", &[("maxParticipants", "1")]).await;
    let (first, second) = (join(&sim, "room", &[]).await, join(&sim, "room", &[]).await);
    let mut socket = meteor(&sim, &first).await.unwrap();
    assert_eq!(only(&sim).users_online, 1);
    assert_eq!(meteor(&sim, &second).await.err().as_deref(), Some("invalid_auth_token"), "enter gave it none");
    say_ddp(&mut socket, json!({ "msg": "ping", "id": "p" })).await;
    assert_eq!(hear_ddp(&mut socket).await, [json!({ "msg": "pong", "id": "p" })]);
    say_ddp(&mut socket, json!({ "msg": "method", "id": "2", "method": "echo", "params": ["x"] })).await;
    let echo = hear_ddp(&mut socket).await.remove(0)["result"].clone();
    assert_eq!((&echo["seen"]["server"], &echo["received"]), (&json!(SERVER.replace("://", " ")), &json!(["x"])));
    assert_eq!(hear_ddp(&mut socket).await[0]["msg"], "updated");
    call(&sim, "end", &[("meetingID", "room")]).await;
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("c[3000,\"Go away!\"]"));
    for path in ["/html5client/sockjs/12/abc/websocket", "/html5client/sockjs/123/abc/xhr"] {
        assert_eq!(open(&sim, path, &[]).await.err(), Some(404), "{path}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_page_of_2_7_carries_its_settings_encoded() {
    let sim = start_as(Version::V2_7).await;
    let page = get(&sim, "/html5client/join?sessionToken=x").await.body;
    assert!(page.contains("__meteor_runtime_config__") && page.contains("PUBLIC_SETTINGS"), "{page}");
    assert!(page.contains("https%3A%2F%2Fbbb-07.internal.test%2Fpad") && !page.contains(SERVER), "{page}");
    sim.stop().await;
}
