//! The sockets, and who is in a meeting by them.

use std::time::Duration;

use anteroom_bench::sim::Config;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::helpers::*;

#[tokio::test]
async fn graphql_tells_what_it_saw_and_where_the_slides_are() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    say(&mut socket, json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(hear(&mut socket).await.unwrap(), json!({ "type": "pong", "payload": { "n": 1 } }));

    let echo = json!({ "query": "subscription { sim_echo }", "variables": { "v": "ü" } });
    say(&mut socket, json!({ "type": "subscribe", "id": "7", "payload": echo })).await;
    let answer = hear(&mut socket).await.unwrap();
    let told = &answer["payload"]["data"]["sim_echo"];
    assert_eq!((&answer["id"], &told["received"]), (&json!("7"), &echo));
    for (name, value) in [
        ("server", json!(SERVER.replace("://", " "))),
        ("path", json!("/graphql")),
        ("host", json!(sim.addr().to_string())),
        ("cookies", json!(["JSESSIONID"])),
        ("sessionToken", json!(seat.token)),
        ("clientType", json!("HTML5")),
        ("meetingID", json!("room")),
        ("user", json!("Ana")),
    ] {
        assert_eq!(told["seen"][name], value, "{name}");
    }

    let query = json!({ "query": "subscription { pres_page_curr { urlsJson } }" });
    say(&mut socket, json!({ "type": "subscribe", "id": "8", "payload": query })).await;
    let answer = hear(&mut socket).await.unwrap();
    let url = answer["payload"]["data"]["pres_page_curr"][0]["urlsJson"]["svg"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(SERVER).unwrap();
    let slide = get(&sim, path).await;
    assert_eq!((slide.status, slide.header("content-type")), (200, Some("image/svg+xml")));
    let int_id = only(&sim).int_id;
    let elsewhere = path.replace(&int_id, &int_id.replace(|char: char| char.is_ascii_digit(), "0"));
    assert_eq!(get(&sim, &elsewhere).await.status, 404);
    sim.stop().await;
}

#[tokio::test]
async fn graphql_closes_with_the_codes_of_its_protocol() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let cookie = [("cookie", seat.cookie.as_str())];
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": "subscription { x }" } });
    for (name, messages, code) in [
        ("unknown token", vec![init("0123456789abcdef")], 4403),
        ("subscribes first", vec![subscribe], 4401),
        ("no JSON type", vec![json!({})], 4400),
        ("twice", vec![init(&seat.token), init(&seat.token)], 4429),
    ] {
        let mut socket = open(&sim, "/graphql", &cookie).await.unwrap();
        let mut heard = Ok(Value::Null);
        for message in messages {
            say(&mut socket, message).await;
            heard = hear(&mut socket).await;
        }
        assert_eq!(heard, Err(code), "{name}");
    }
    let host = sim.addr().to_string();
    for (origin, host, status) in [
        ("https://meet.test", "meet.test", None),
        ("https://meet.test:8443", "MEET.test", None),
        ("https://evil.test", "meet.test", Some(403)),
        ("null", "meet.test", Some(403)),
        ("https://meet.test", &host, Some(403)),
    ] {
        let headers = [("origin", origin), ("host", host)];
        assert_eq!(open(&sim, "/graphql", &headers).await.err(), status, "{origin} at {host}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn messages_up_to_the_limit_come_back_whole() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let sfu = format!("/bbb-webrtc-sfu?sessionToken={}", seat.token);
    let cookie = [("cookie", seat.cookie.as_str())];
    for (bytes, expected) in [(51_200, Ok(51_200)), (51_201, Err(1009))] {
        let mut socket = open(&sim, &sfu, &cookie).await.unwrap();
        socket.send(Message::text("x".repeat(bytes))).await.unwrap();
        let got = hear(&mut socket).await.map(|echo| echo["received"].as_str().unwrap().len());
        assert_eq!(got, expected, "{bytes} to the SFU");
    }
    let mut socket = enter(&sim, &seat).await.unwrap();
    let filler = "x".repeat(10 * 1024 * 1024 - 1024);
    let payload = json!({ "query": "subscription { sim_echo }", "variables": filler });
    say(&mut socket, json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
    let echo = hear(&mut socket).await.unwrap();
    assert_eq!(echo["payload"]["data"]["sim_echo"]["received"]["variables"].as_str().unwrap().len(), filler.len());
    // The server may cut a sender that goes on too long, so only the outcome counts.
    let _ = socket.send(Message::text("x".repeat(10 * 1024 * 1024 + 1))).await;
    assert!(hear(&mut socket).await.is_err(), "more than 10 MB");
    sim.stop().await;
}

#[tokio::test]
async fn the_sfu_echoes_its_request_and_pings() {
    let sim = start(Config { speed: 200.0, ..Config::default() }).await;
    create(&sim, "room", &[("meetingExpireIfNoUserJoinedInMinutes", "60")]).await;
    let seat = join(&sim, "room", &[]).await;
    let path = format!("/bbb-webrtc-sfu?sessionToken={}", seat.token);
    let headers = [("cookie", seat.cookie.as_str()), ("x-forwarded-for", "192.0.2.7"), ("origin", "https://a.test")];
    let mut socket = open(&sim, &path, &headers).await.unwrap();
    say(&mut socket, json!({ "id": "ping" })).await;
    assert_eq!(hear(&mut socket).await.unwrap(), json!({ "id": "pong" }));
    say(&mut socket, json!({ "id": "start" })).await;
    let seen = hear(&mut socket).await.unwrap()["seen"].clone();
    assert_eq!(seen["query"], format!("sessionToken={}", seat.token));
    assert_eq!((&seen["xForwardedFor"], &seen["origin"]), (&json!("192.0.2.7"), &json!("https a.test")));
    let ping = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap().unwrap().unwrap();
    assert!(ping.is_ping(), "{ping:?}");
    assert!(sim.log().iter().any(|received| received.websocket && received.path == "/bbb-webrtc-sfu"));
    sim.stop().await;
}

#[tokio::test]
async fn presence_follows_the_graphql_socket() {
    // A minute takes a fifth of a second.
    let sim = start(Config { speed: 300.0, ..Config::default() }).await;
    create(
        &sim,
        "room",
        &[("meetingExpireWhenLastUserLeftInMinutes", "5"), ("meetingExpireIfNoUserJoinedInMinutes", "0")],
    )
    .await;
    let seat = join(&sim, "room", &[("userID", "u1")]).await;
    let running = async || {
        let answer = call(&sim, "isMeetingRunning", &[("meetingID", "room")]).await;
        answer.tag("running").unwrap().to_owned()
    };
    assert_eq!((only(&sim).users_joined, running().await.as_str()), (0, "false"), "only registered");
    let socket = enter(&sim, &seat).await.unwrap();
    assert_eq!((only(&sim).users_joined, running().await.as_str()), (1, "true"));
    let info = call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(
        (info.tag("participantCount"), info.tag("userID"), info.tag("role")),
        (Some("1"), Some("u1"), Some("VIEWER"))
    );
    drop(socket);
    until("gone from those online", || only(&sim).users_online == 0).await;
    assert_eq!(only(&sim).users_joined, 1, "still counted");
    until("not counted any more", || only(&sim).users_joined == 0).await;
    until("ended", || sim.meetings().is_empty()).await;
    sim.stop().await;
}

#[tokio::test]
async fn a_guest_who_has_waited_is_in_the_meeting_when_let_in_and_asking_for_it() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("guestPolicy", "ASK_MODERATOR")]).await;
    let guest = join(&sim, "room", &[("guest", "true")]).await;
    let come_in = json!({ "type": "subscribe", "id": "in", "payload": { "query": "mutation { userJoinMeeting }" } });
    let status = json!({ "type": "subscribe", "id": "me", "payload": {
        "query": "query { user_current { guestStatus joinErrorCode } }"
    } });
    let mut socket = enter(&sim, &guest).await.unwrap();
    for (allowed, expected, online) in
        [(false, ["WAIT", "not_enough_permission_eject_reason"], 0), (true, ["ALLOW"; 2], 1)]
    {
        if allowed {
            assert!(sim.judge_guest(&guest.token, true));
            // Who comes back is outside until the client asks.
            socket = enter(&sim, &guest).await.unwrap();
            assert_eq!(only(&sim).users_online, 0);
        }
        say(&mut socket, come_in.clone()).await;
        let answer = hear(&mut socket).await.unwrap();
        assert_eq!(answer["payload"]["data"]["userJoinMeeting"], true, "whatever becomes of it");
        hear(&mut socket).await.unwrap();
        say(&mut socket, status.clone()).await;
        let me = hear(&mut socket).await.unwrap()["payload"]["data"]["user_current"][0].clone();
        hear(&mut socket).await.unwrap();
        assert_eq!(me["guestStatus"], expected[0]);
        assert!(allowed || me["joinErrorCode"] == expected[1], "{me}");
        assert_eq!(only(&sim).users_online, online);
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_meeting_ends_when_its_time_is_over_and_closes_its_sockets() {
    let sim = start(Config { speed: 300.0, ..Config::default() }).await;
    create(&sim, "room", &[("duration", "2")]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    let query = json!({ "query": "subscription { meeting { ended } }" });
    say(&mut socket, json!({ "type": "subscribe", "id": "m", "payload": query })).await;
    assert_eq!(hear(&mut socket).await.unwrap()["payload"]["data"]["meeting"][0]["ended"], false);
    assert_eq!(hear(&mut socket).await.unwrap()["payload"]["data"]["meeting"][0]["ended"], true);
    assert_eq!(hear(&mut socket).await, Err(1000));
    assert_eq!(enter(&sim, &seat).await.err(), Some(4403), "the session is gone");
    assert_eq!(call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await.tag("messageKey"), Some("notFound"));

    create(&sim, "unjoined", &[]).await;
    until("nobody joined", || sim.meetings().is_empty()).await;
    sim.stop().await;
}

#[tokio::test]
async fn simultaneous_joins_pass_a_limit_that_later_ones_do_not() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("maxParticipants", "1")]).await;
    let early = [join(&sim, "room", &[]).await, join(&sim, "room", &[]).await];
    let _first = enter(&sim, &early[0]).await.unwrap();
    assert_eq!(enter(&sim, &early[1]).await.err(), Some(4403), "the second check, at the socket");
    let params = [("fullName", "Late"), ("meetingID", "room"), ("role", "MODERATOR"), ("redirect", "false")];
    let late = call(&sim, "join", &params).await;
    assert_eq!(late.tag("messageKey"), Some("maxParticipantsReached"));
    let bot = call(&sim, "join", &[&params[..], &[("bot", "true")]].concat()).await;
    assert_eq!(bot.tag("messageKey"), Some("successfullyJoined"));
    sim.stop().await;
}

#[tokio::test]
async fn a_fourth_user_of_one_id_ejects_the_first() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("maxParticipants", "1")]).await;
    let mut sockets = Vec::new();
    let mut seats = Vec::new();
    for _ in 0..4 {
        let seat = join(&sim, "room", &[("userID", "everybody")]).await;
        sockets.push(enter(&sim, &seat).await.expect("one id counts as one participant"));
        seats.push(seat);
    }
    assert_eq!(hear(&mut sockets[0]).await, Err(4403));
    assert_eq!(enter(&sim, &seats[0]).await.err(), Some(4403), "the session is gone too");
    assert_eq!(only(&sim).users_online, 3);
    for _ in 0..4 {
        create(&sim, "other", &[]).await;
        join(&sim, "other", &[]).await;
    }
    assert_eq!(sim.meeting("other").unwrap().joins.len(), 4, "without an id everybody is another");
    sim.stop().await;
}

#[tokio::test]
async fn slides_may_ask_for_a_session_and_a_token_of_the_page() {
    let sim = start(Config { slides_need_session: true, ..Config::default() }).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    let query = json!({ "query": "subscription { pres_page_curr { urlsJson } }" });
    say(&mut socket, json!({ "type": "subscribe", "id": "1", "payload": query })).await;
    let page = hear(&mut socket).await.unwrap()["payload"]["data"]["pres_page_curr"][0].clone();
    let url = page["urlsJson"]["svg"].as_str().unwrap();
    let path = url.strip_prefix(SERVER).unwrap();
    let (bare, _) = path.split_once("?pageToken=").unwrap();
    let token = &seat.token;
    for (name, path, cookie, status) in [
        ("as it was told", format!("{path}&sessionToken={token}"), seat.cookie.as_str(), 200),
        ("without a cookie", format!("{path}&sessionToken={token}"), "", 401),
        ("without a session", path.to_owned(), &seat.cookie, 401),
        ("without the page's token", format!("{bare}?sessionToken={token}"), &seat.cookie, 403),
        ("another page", format!("{}&sessionToken={token}", path.replace("/svg/1", "/svg/2")), &seat.cookie, 403),
    ] {
        assert_eq!(http(&sim, &format!("GET {path}"), &[("Cookie", cookie)], b"").await.status, status, "{name}");
    }
    let id = page["presentationId"].as_str().unwrap();
    let download = format!("/bigbluebutton/presentation/download/{}/{id}", only(&sim).int_id);
    let found = get(&sim, &format!("{download}?presFilename={id}.pdf&filename=a+b.pdf")).await;
    assert_eq!((found.status, found.header("content-disposition")), (200, Some("attachment; filename=\"a+b.pdf\"")));
    assert!(found.body.starts_with("%PDF-"));
    assert_eq!(get(&sim, &format!("{download}?presFilename=other.pdf")).await.status, 404);
    sim.stop().await;
}
