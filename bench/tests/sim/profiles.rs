//! What differs between releases of BigBlueButton.

use anteroom_bench::sign;
use anteroom_bench::sim::{Config, Profile, Sim};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::helpers::*;

async fn start_as(profile: Profile) -> Sim {
    start(Config { profile, reveals_version: true, ..Config::default() }).await
}

#[test]
fn a_profile_has_a_name() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.name), Some(profile));
    }
    assert_eq!(Profile::named("3.1"), None);
}

#[tokio::test]
async fn a_release_has_its_own_addresses() {
    // In the order of the releases.
    let rows: [(&str, [u16; 5]); 13] = [
        ("/api/rest/clientSettings", [404, 200, 200, 200, 404]),
        ("/api/rest/meetingStaticData", [404, 404, 200, 200, 200]),
        ("/api/rest/userMetadata", [404, 200, 200, 200, 200]),
        ("/graphql", [404, 400, 400, 400, 400]),
        ("/bigbluebutton/ping", [200, 404, 404, 404, 404]),
        ("/bigbluebutton/rtt-check", [404, 200, 200, 200, 200]),
        ("/html5client/", [200; 5]),
        ("/html5client/join", [200, 200, 404, 404, 404]),
        ("/html5client/guestWait", [200, 404, 404, 404, 404]),
        ("/html5client/sockjs/info", [200, 404, 404, 404, 404]),
        ("/ws?sessionToken=TOKEN", [400, 400, 400, 404, 404]),
        ("/pad/p/notes?sessionToken=TOKEN", [200, 200, 200, 404, 404]),
        ("/pad/static/js/pad.js", [200, 200, 200, 404, 404]),
    ];
    for (at, profile) in Profile::ALL.into_iter().enumerate() {
        let sim = start_as(profile).await;
        create(&sim, "room", &[]).await;
        let seat = join(&sim, "room", &[]).await;
        let headers = [("X-Session-Token", &*seat.token), ("Cookie", &seat.cookie), ("X-Forwarded-Proto", "https")];
        for (path, statuses) in rows {
            let path = path.replace("TOKEN", &seat.token);
            let answer = http(&sim, &format!("GET {path}"), &headers, b"").await;
            assert_eq!(answer.status, statuses[at], "{} {path}", profile.name);
        }
        let told = get(&sim, "/bigbluebutton/api").await;
        assert_eq!(told.tag("bbbVersion"), Some(profile.number));
        assert_eq!(told.tag("graphqlApiUrl").is_some(), profile != Profile::V2_7);
        let json = http(&sim, "GET /bigbluebutton/api", &[("Content-Type", "application/json")], b"").await.json();
        assert_eq!(json["response"]["html5PluginSdkVersion"].as_str(), profile.plugin_sdk);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_release_knows_its_own_calls() {
    let unknown = Some("Request not recognized");
    for profile in Profile::ALL {
        let sim = start_as(profile).await;
        let is_old = profile == Profile::V2_7;
        for (call, in_old) in [("enter", true), ("getJoinUrl", false), ("sendChatMessage", false)] {
            let answer = get(&sim, &format!("/bigbluebutton/api/{call}?sessionToken=x")).await;
            assert_eq!(answer.tag("message") == unknown, is_old != in_old, "{} {call}", profile.name);
        }
        let wait = get(&sim, "/bigbluebutton/api/guestWait?sessionToken=x").await;
        assert_eq!(wait.status, if is_old { 200 } else { 404 });
        create(&sim, "room", &[]).await;
        let params = [("fullName", "A"), ("meetingID", "room"), ("role", "VIEWER")];
        let posted = http(&sim, &format!("POST {}", sign::path("join", &params, SECRET)), &[], b"").await;
        assert_eq!(posted.status, if is_old { 302 } else { 405 }, "{}", profile.name);
        let is_early = is_old || profile == Profile::V3_0_0;
        let page = if is_early { "/html5client/join?" } else { "/html5client/?" };
        let location = call(&sim, "join", &params).await.header("location").unwrap().to_owned();
        assert!(location.starts_with(&format!("{SERVER}{page}sessionToken=")), "{} {location}", profile.name);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_release_takes_as_many_checksums_as_it_does() {
    for profile in Profile::ALL {
        let sim = start_as(profile).await;
        let takes_two = ![Profile::V3_0_39, Profile::V4_0].contains(&profile);
        create(&sim, "room", &[]).await;
        let seat = join(&sim, "room", &[]).await;
        for path in [
            sign::path("getMeetings", &[], SECRET),
            sign::path("getRecordings", &[], SECRET),
            format!("/bigbluebutton/api/signOut?sessionToken={}&checksum=x", seat.token),
        ] {
            let (_, checksum) = path.split_once("checksum=").unwrap();
            let twice = get(&sim, &format!("{path}&checksum={checksum}")).await;
            let key = twice.tag("messageKey").unwrap_or_default();
            assert_eq!(key == "checksumError", !takes_two, "{} {path}: {}", profile.name, twice.body);
        }
        let params = [("fullName", "A"), ("meetingID", "room"), ("role", "VIEWER")];
        let path = sign::path("join", &params, SECRET);
        let (_, checksum) = path.split_once("checksum=").unwrap();
        let joined = get(&sim, &format!("{path}&checksum={checksum}")).await;
        let location = joined.header("location").unwrap();
        assert_eq!(location.contains("sessionToken="), takes_two, "{} {location}", profile.name);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_release_reads_its_own_parameters() {
    let asked = [
        ("copyright", "C"),
        ("lockSettingsDisableNote", "true"),
        ("learningDashboardEnabled", "false"),
        ("lockSettingsPresenterPolicy", "moderatorOnly"),
    ];
    for profile in Profile::ALL {
        let sim = start_as(profile).await;
        create(&sim, "room", &[&asked[..], &[("meetingLayout", "SMART_LAYOUT")]].concat()).await;
        create(&sim, "wide", &[("meetingLayout", "MEDIA_ONLY")]).await;
        let read: Vec<_> =
            asked.iter().map(|(name, _)| sim.meeting("room").unwrap().params.contains_key(*name)).collect();
        let is_4 = profile == Profile::V4_0;
        assert_eq!(read, [!is_4, !is_4, !is_4, is_4], "{}", profile.name);
        let layouts = [("room", if is_4 { "UNIFIED_LAYOUT" } else { "SMART_LAYOUT" }), ("wide", "MEDIA_ONLY")];
        for (room, layout) in layouts.into_iter().filter(|_| profile.rest_queries.contains(&"meetingStaticData")) {
            let seat = join(&sim, room, &[]).await;
            let headers = [("X-Session-Token", &*seat.token), ("Cookie", &seat.cookie)];
            let data = http(&sim, "GET /api/rest/meetingStaticData", &headers, b"").await.json();
            assert_eq!(data["meeting"][0]["layout"]["currentLayoutType"], layout, "{}", profile.name);
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn only_early_servers_mind_the_charset_of_a_form() {
    for profile in Profile::ALL {
        let sim = start_as(profile).await;
        let head = format!("POST {}", sign::path("create", &[("name", "Room"), ("meetingID", "room")], SECRET));
        for (parameter, is_minded) in [("", false), ("; charset=utf-8", profile == Profile::V3_0_0)] {
            let content_type = format!("application/x-www-form-urlencoded{parameter}");
            let answer = http(&sim, &head, &[("Content-Type", &content_type)], b"welcome=x").await;
            let is_refused = answer.tag("messageKey") == Some("unsupportedContentType");
            assert_eq!(is_refused, is_minded, "{}{parameter}", profile.name);
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_refused_join_is_told_as_the_release_does_it() {
    const ERROR: &str = "https://x.test/error";
    const BYE: &str = "https://x.test/bye";
    let own = [("fullName", "A"), ("role", "VIEWER"), ("errorRedirectUrl", ERROR), ("logoutURL", BYE)];
    let (early, late) = (("meetingID", "gone"), ("createTime", "12"));
    for (profile, early_page, late_page, honours) in [
        (Profile::V2_7, BYE, BYE, (false, false)),
        (Profile::V3_0_0, BYE, ERROR, (true, true)),
        (Profile::V3_0_18, ERROR, ERROR, (false, true)),
        (Profile::V4_0, ERROR, ERROR, (false, true)),
    ] {
        let sim = start_as(profile).await;
        create(&sim, "room", &[]).await;
        let steps = [(vec![early], early_page, honours.0), (vec![("meetingID", "room"), late], late_page, honours.1)];
        for (more, page, honours) in steps {
            let params = [&own[..], &more].concat();
            let answer = call(&sim, "join", &params).await;
            let name = profile.name;
            assert!(answer.header("location").unwrap().starts_with(&format!("{page}?errors=")), "{name} {more:?}");
            let answer = call(&sim, "join", &[&params[..], &[("redirect", "false")]].concat()).await;
            assert_eq!(answer.status, if honours { 200 } else { 302 }, "{name} {more:?}");
        }
        sim.stop().await;
    }
}

#[tokio::test]
async fn guests_of_2_7_wait_in_a_lobby() {
    let sim = start_as(Profile::V2_7).await;
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
    let sim = start_as(Profile::V2_7).await;
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
    let sim = start_as(Profile::V2_7).await;
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
    let sim = start_as(Profile::V2_7).await;
    let page = get(&sim, "/html5client/join?sessionToken=x").await.body;
    assert!(page.contains("__meteor_runtime_config__") && page.contains("PUBLIC_SETTINGS"), "{page}");
    assert!(page.contains("https%3A%2F%2Fbbb-07.internal.test%2Fpad") && !page.contains(SERVER), "{page}");
    sim.stop().await;
}
