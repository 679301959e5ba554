//! Calls, joins and sessions.

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::Config;

use crate::helpers::*;

#[test]
fn a_client_signs_as_the_reference_says() {
    let params =
        [("name", "Test Meeting"), ("meetingID", "abc123"), ("attendeePW", "111222"), ("moderatorPW", "333444")];
    let query = sign::encode(&params);
    assert_eq!(query, "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444");
    let sha1 = sign::checksum("create", &query, SECRET, Algorithm::Sha1);
    assert_eq!(sha1, "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17");
    assert_eq!(sign::encode(&[("a b", "ü&=/~*")]), "a+b=%C3%BC%26%3D%2F%7E*");
}

#[tokio::test]
async fn every_algorithm_and_place_of_a_checksum_is_accepted() {
    let sim = start(Config::default()).await;
    let query = "meetingID=room-1";
    for (algorithm, digits) in
        [(Algorithm::Sha1, 40), (Algorithm::Sha256, 64), (Algorithm::Sha384, 96), (Algorithm::Sha512, 128)]
    {
        let checksum = sign::checksum("isMeetingRunning", query, SECRET, algorithm);
        assert_eq!(checksum.len(), digits);
        for query in [format!("{query}&checksum={checksum}"), format!("checksum={checksum}&{query}")] {
            let answer = get(&sim, &format!("/bigbluebutton/api/isMeetingRunning?{query}")).await;
            assert_eq!((answer.tag("returncode"), answer.tag("running")), (Some("SUCCESS"), Some("false")));
        }
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_refusal_has_the_key_and_text_of_bbb() {
    const UNIQUE: &str = "A meeting already exists with that meeting ID.  Please use a different meeting ID.";
    let sim = start(Config::default()).await;
    create(&sim, "taken", &[("attendeePW", "aaa"), ("moderatorPW", "mmm"), ("voiceBridge", "70000")]).await;
    let long = "x".repeat(257);
    let rows: &[(&str, Params<'_>, &str, &str)] = &[
        ("create", &[("name", "Room")], "validationError", "Invalid meeting ID"),
        ("create", &[("meetingID", "r1")], "nullError", "You must provide a meeting name"),
        ("create", &[("meetingID", "r1"), ("name", "")], "emptyError", "You must provide a meeting name"),
        (
            "create",
            &[("meetingID", "r"), ("name", "Room")],
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            "create",
            &[("meetingID", &long), ("name", "Room")],
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            "create",
            &[("meetingID", "r1"), ("name", "R")],
            "sizeError",
            "Meeting name must be between 2 and 256 characters",
        ),
        ("create", &[("meetingID", "r,1"), ("name", "Room")], "validationError", "Meeting ID cannot contain ','"),
        (
            "create",
            &[("meetingID", "r,1"), ("name", "R")],
            "sizeError",
            "Meeting name must be between 2 and 256 characters",
        ),
        (
            "create",
            &[("meetingID", "r1"), ("name", "Room"), ("attendeePW", "a")],
            "invalidPassword",
            "Invalid password",
        ),
        (
            "create",
            &[("meetingID", "r1"), ("name", "Room"), ("record", "yes")],
            "validationError",
            "Record must be a boolean value (true or false)",
        ),
        (
            "create",
            &[("meetingID", "r1"), ("name", "Room"), ("voiceBridge", "7x")],
            "validationError",
            "Voice bridge must be an integral value",
        ),
        (
            "create",
            &[("meetingID", "r1"), ("name", "Room"), ("isBreakout", "true")],
            "parentMeetingIDMissing",
            "No parent meeting ID was provided for the breakout room",
        ),
        ("create", &[("meetingID", "taken"), ("name", "Room"), ("attendeePW", "bbb")], "idNotUnique", UNIQUE),
        ("getMeetingInfo", &[], "notFound", "A meeting with that ID does not exist"),
        ("getMeetingInfo", &[("meetingID", "")], "sizeError", "Meeting ID must be between 2 and 256 characters"),
        ("end", &[("meetingID", "gone")], "notFound", "A meeting with that ID does not exist"),
        ("inventRoom", &[], "validationError", "Request not recognized"),
        ("publishRecordings", &[], "missingParamRecordID", "You must specify a recordID."),
        ("deleteRecordings", &[("recordID", "x")], "notFound", "We could not find recordings"),
        ("sendChatMessage", &[("meetingID", "taken")], "nullError", "You must provide the param message"),
    ];
    for (name, params, key, message) in rows {
        let answer = call(&sim, name, params).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert!(answer.header("content-type").unwrap().starts_with("text/xml"));
        let got = (answer.tag("returncode"), answer.tag("messageKey"), answer.tag("message"));
        assert_eq!(got, (Some("FAILED"), Some(*key), Some(*message)), "{name} {params:?}");
    }
    let clash = create(&sim, "other", &[("voiceBridge", "70000")]).await;
    assert_eq!((clash.tag("key"), clash.tag("messageKey")), (Some("nonUniqueVoiceBridge"), None));
    for (query, message) in [
        ("meetingID=taken", "You must provide the checksum"),
        ("meetingID=taken&Checksum=1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17", "You must provide the checksum"),
        ("meetingID=taken&checksum=1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17", "Checksums do not match"),
        ("meetingID=taken&checksum=1fcbb0c4", "Checksums do not match"),
    ] {
        let answer = get(&sim, &format!("/bigbluebutton/api/getMeetingInfo?{query}")).await;
        assert_eq!((answer.tag("messageKey"), answer.tag("message")), (Some("checksumError"), Some(message)));
    }
    assert_eq!(get(&sim, "/bigbluebutton/connection/checkAuthorization").await.status, 404);
    assert_eq!(call(&sim, "isMeetingRunning", &[]).await.status, 500);
    sim.stop().await;
}

#[tokio::test]
async fn a_refused_join_goes_to_the_url_that_the_caller_chose() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("moderatorPW", "mmm"), ("guestPolicy", "ALWAYS_DENY")]).await;
    let (viewer, name, room) = (("role", "VIEWER"), ("fullName", "Ana"), ("meetingID", "room"));
    let (xml, error, logout) =
        (("redirect", "false"), ("errorRedirectUrl", "https://x.test/e?a=1"), ("logoutURL", "https://x.test/bye"));
    let own = SERVER.to_owned() + "?";
    let rows: &[(Params<'_>, Result<&str, ()>, &str)] = &[
        (&[name, ("meetingID", "gone"), viewer], Ok(&own), "meetingForciblyEnded"),
        (&[name, ("meetingID", "gone"), viewer, logout], Ok("https://x.test/bye?"), "meetingForciblyEnded"),
        (
            &[name, ("meetingID", "gone"), viewer, logout, error, xml],
            Ok("https://x.test/e?a=1&"),
            "meetingForciblyEnded",
        ),
        (&[("fullName", ""), room, viewer], Ok(&own), "missingParamFullName"),
        (&[name, room, ("password", "guess")], Err(()), "Params required"),
        (&[name, room], Err(()), "Params required"),
        (&[name, room, viewer, ("createTime", "12")], Ok(&own), "mismatchCreateTimeParam"),
        (&[name, room, viewer, ("createTime", "12"), xml], Err(()), "mismatchCreateTimeParam"),
        (&[name, room, viewer, ("createTime", "1x"), xml], Ok(&own), "validationError"),
        (&[name, room, viewer], Ok(&own), "guestDeniedAccess"),
    ];
    for (params, target, key) in rows {
        let answer = call(&sim, "join", params).await;
        match target {
            Ok(target) => {
                assert_eq!(answer.status, 302);
                let expected = format!("{target}errors=%5B%7B%22key%22%3A%22{key}%22%2C");
                let location = answer.header("location").unwrap();
                assert!(location.starts_with(&expected), "{params:?}: {location}");
            }
            Err(()) => assert_eq!((answer.status, answer.tag("messageKey")), (200, Some(*key)), "{params:?}"),
        }
    }
    let wrong = http(&sim, &format!("POST {}", sign::path("join", &[name, room, viewer], SECRET)), &[], b"").await;
    assert_eq!(wrong.status, 405);
    sim.stop().await;
}

#[tokio::test]
async fn creating_again_gives_the_meeting_that_is_there() {
    let sim = start(Config::default()).await;
    let first = create(&sim, "room", &[("attendeePW", "aaa"), ("moderatorPW", "mmm"), ("duration", "30")]).await;
    let hash = Algorithm::Sha1.hex(b"room");
    let int_id = first.tag("internalMeetingID").unwrap().to_owned();
    assert_eq!(int_id, format!("{hash}-{}", first.tag("createTime").unwrap()));
    assert_eq!((first.tag("messageKey"), first.tag("parentMeetingID")), (Some(""), Some("bbb-none")));
    assert_eq!(first.tag("voiceBridge").unwrap().len(), 5);
    for (passwords, key) in [
        (&[][..], "duplicateWarning"),
        (&[("attendeePW", "aaa"), ("moderatorPW", "mmm")], "duplicateWarning"),
        (&[("attendeePW", "aaa"), ("moderatorPW", "other")], "idNotUnique"),
        (&[("moderatorPW", "mmm")], "idNotUnique"),
    ] {
        let again = create(&sim, "room", &[passwords, &[("duration", "99"), ("record", "true")]].concat()).await;
        assert_eq!(again.tag("messageKey"), Some(key), "{passwords:?}");
        if key == "duplicateWarning" {
            assert_eq!(again.tag("internalMeetingID"), Some(int_id.as_str()));
            assert_eq!((again.tag("duration"), again.tag("moderatorPW")), (Some("30"), Some("mmm")));
        }
    }
    assert_eq!((only(&sim).duration_min, only(&sim).recording), (30, false));
    call(&sim, "end", &[("meetingID", "room")]).await;
    let next = create(&sim, "room", &[]).await;
    assert_ne!(next.tag("internalMeetingID"), Some(int_id.as_str()));
    assert_eq!(next.tag("attendeePW").unwrap().len(), 8);
    sim.stop().await;
}

#[tokio::test]
async fn parameters_are_read_as_bbb_reads_them() {
    let sim = start(Config::default()).await;
    let params = [
        ("record", "1"),
        ("maxParticipants", "-5"),
        ("duration", "soon"),
        ("meta_Ok-Key", "v"),
        ("meta_bad_key", "v"),
        (" welcome", "a\u{1}b"),
    ];
    create(&sim, "room", &params).await;
    let meeting = only(&sim);
    assert_eq!((meeting.recording, meeting.max_users, meeting.duration_min), (false, 0, 0));
    assert_eq!(meeting.params["welcome"], "ab");
    assert!(!meeting.params.contains_key("checksum"));
    let info = call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.tag("metadata"), Some("<ok-key>v</ok-key>"));
    sim.stop().await;
}

#[tokio::test]
async fn the_body_of_a_post_is_read_but_not_signed() {
    let sim = start(Config::default()).await;
    let empty = format!("POST {}", sign::path("create", &[], SECRET));
    let form = "application/x-www-form-urlencoded";
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nRoom\r\n--b\r\n\
        Content-Disposition: form-data; name=\"meetingID\"\r\n\r\nroom-m\r\n--b--\r\n";
    for (content_type, body, key) in [
        (form, "name=Room&meetingID=room-f", ""),
        ("application/x-www-form-urlencoded;charset=UTF-8", "name=Room&meetingID=room-c", ""),
        ("multipart/form-data; boundary=b", multipart, ""),
        ("text/plain", "name=Room&meetingID=room-t", "unsupportedContentType"),
    ] {
        let answer = http(&sim, &empty, &[("Content-Type", content_type)], body.as_bytes()).await;
        assert_eq!(answer.tag("messageKey"), Some(key), "{content_type}");
    }
    let checksum = sign::checksum("create", "name=Room&meetingID=room-s", SECRET, Algorithm::Sha256);
    let body = format!("name=Room&meetingID=room-s&checksum={checksum}");
    let answer = http(&sim, "POST /bigbluebutton/api/create", &[("Content-Type", form)], body.as_bytes()).await;
    assert_eq!(answer.tag("messageKey"), Some("checksumError"), "a body that was signed");

    let xml = r#"<modules><module name="presentation"><document url="https://x.test/a.pdf" filename="a.pdf"/></module>
        <module name="clientSettingsOverride"><![CDATA[{"public":{}}]]></module></modules>"#;
    let path = format!("POST {}", sign::path("create", &[("name", "Room"), ("meetingID", "room-x")], SECRET));
    http(&sim, &path, &[("Content-Type", "application/xml")], xml.as_bytes()).await;
    let meeting = sim.meeting("room-x").unwrap();
    assert_eq!(meeting.documents, ["a.pdf"]);
    assert_eq!(meeting.settings_override_ignored.as_deref(), Some(r#"{"public":{}}"#));
    let ids: Vec<String> = sim.meetings().into_iter().map(|meeting| meeting.ext_id).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    sim.stop().await;
}

#[tokio::test]
async fn what_the_real_server_tells_everybody_is_told() {
    let sim = start(Config::default()).await;
    create(&sim, "secret-room", &[("moderatorPW", "mmm")]).await;
    let prefix = &only(&sim).int_id[..2];
    let info = call(&sim, "getMeetingInfo", &[("meetingID", prefix)]).await;
    assert_eq!(info.tag("meetingID"), Some("secret-room"), "found by the first digits of the internal id");
    let all = call(&sim, "getMeetings", &[]).await;
    assert_eq!(all.tag("moderatorPW"), Some("mmm"), "all meetings are told to whoever asks");
    sim.stop().await;
}

#[tokio::test]
async fn the_version_call_names_the_server_in_both_formats() {
    let sim = start(Config { reveals_version: true, ..Config::default() }).await;
    for path in ["/bigbluebutton", "/bigbluebutton/", "/bigbluebutton/api", "/bigbluebutton/api/?&checksum=1"] {
        let answer = get(&sim, path).await;
        assert_eq!(answer.tag("version"), Some("2.0"), "{path}");
        assert_eq!(answer.tag("graphqlWebsocketUrl"), Some("wss://bbb-07.internal.test/graphql"));
    }
    let json = http(&sim, "GET /bigbluebutton/api", &[("Content-Type", "application/json")], b"").await.json();
    assert_eq!(json["response"]["graphqlApiUrl"], format!("{SERVER}/api/rest"));
    assert_eq!(json["response"]["bbbVersion"], "3.0.18");
    sim.stop().await;
}

#[tokio::test]
async fn a_session_needs_its_token_and_its_cookie() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("name2", "")]).await;
    create(&sim, "open", &[("allowRequestsWithoutSession", "true")]).await;
    let (ana, ben) = (join(&sim, "room", &[]).await, join(&sim, "room", &[]).await);
    let open_seat = join(&sim, "open", &[]).await;
    assert_ne!(ana.cookie, ben.cookie);
    assert_eq!(ana.token.len(), 16);
    assert_eq!(ana.cookie.len(), "JSESSIONID=".len() + 32);
    let both = format!("a=1; {}; {}", ben.cookie, ana.cookie);
    let renamed = ana.cookie.replace("JSESSIONID", "JSESSIONID.n1");
    for (name, token, cookie, allowed) in [
        ("own", ana.token.as_str(), ana.cookie.as_str(), true),
        ("own among others", &ana.token, &both, true),
        ("of another", &ana.token, &ben.cookie, false),
        ("none", &ana.token, "", false),
        ("renamed", &ana.token, &renamed, false),
        ("unknown token", "0123456789abcdef", &ana.cookie, false),
        ("no token", "", &ana.cookie, false),
        ("none, and none needed", &open_seat.token, "", true),
    ] {
        let status = if allowed { 200 } else { 401 };
        for path in ["meetingStaticData", "clientSettings", "userMetadata"] {
            let head = format!("GET /api/rest/{path}");
            let answer = http(&sim, &head, &[("X-Session-Token", token), ("Cookie", cookie)], b"").await;
            assert_eq!(answer.status, status, "{path}: {name}");
        }
        let pad = http(
            &sim,
            &format!("GET /pad/p/x?sessionToken={token}"),
            &[("Cookie", cookie), ("X-Forwarded-Proto", "https")],
            b"",
        )
        .await;
        assert_eq!(pad.status, status, "pad: {name}");
        let stuns = format!("GET /bigbluebutton/api/stuns?sessionToken={token}");
        let stuns = http(&sim, &stuns, &[("Cookie", cookie)], b"").await.json();
        assert_eq!(stuns.get("stunServers").is_some(), allowed, "stuns: {name}");
        for path in ["/bbb-webrtc-sfu", "/ws", "/pad/socket.io"] {
            let socket = open(&sim, &format!("{path}?sessionToken={token}"), &[("cookie", cookie)]).await;
            assert_eq!(socket.err(), (!allowed).then_some(401), "{path}: {name}");
        }
        let seat = Seat { token: token.to_owned(), cookie: cookie.to_owned() };
        assert_eq!(enter(&sim, &seat).await.err(), (!allowed).then_some(4403), "graphql: {name}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_known_http_session_gets_one_more_token_and_no_new_cookie() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let first = join(&sim, "room", &[]).await;
    let params = [("fullName", "Ana"), ("meetingID", "room"), ("role", "MODERATOR"), ("redirect", "false")];
    let head = format!("GET {}", sign::path("join", &params, SECRET));
    let again = http(&sim, &head, &[("Cookie", &first.cookie)], b"").await;
    assert_eq!((again.tag("messageKey"), again.header("set-cookie")), (Some("successfullyJoined"), None));
    let token = again.tag("session_token").unwrap();
    assert_eq!(
        again.tag("url"),
        Some(format!("{SERVER}/html5client/?sessionToken={token}&amp;shouldWaitForLayout=false").as_str())
    );
    assert_eq!(again.tag("meeting_id"), Some(only(&sim).int_id.as_str()));
    for token in [token, &first.token] {
        let headers = [("X-Session-Token", token), ("Cookie", &first.cookie)];
        assert_eq!(http(&sim, "GET /api/rest/userMetadata", &headers, b"").await.status, 200);
    }
    let foreign = http(&sim, &head, &[("Cookie", "JSESSIONID=00000000000000000000000000000000")], b"").await;
    let cookie = foreign.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly") && !cookie.contains("00000000000"), "{cookie}");
    sim.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_does_not_reach_bbb_web() {
    let sim = start(Config::default()).await;
    // "GET " and " HTTP/1.1" with its line end stand around the target.
    let line = "GET  HTTP/1.1\r\n".len();
    let empty = sign::path("create", &[("name", "Room"), ("meetingID", "room"), ("welcome", "")], SECRET).len();
    for (bytes, field, status) in [(7000, 0, 200), (8192, 0, 400), (8193, 0, 414), (7000, 2000, 400)] {
        let welcome = "x".repeat(bytes - line - empty);
        let path = sign::path("create", &[("name", "Room"), ("meetingID", "room"), ("welcome", &welcome)], SECRET);
        assert_eq!(path.len() + line, bytes);
        let answer = http(&sim, &format!("GET {path}"), &[("X-Field", &"y".repeat(field))], b"").await;
        assert_eq!(answer.status, status, "{bytes} and {field}");
    }
    let path = format!("POST {}", sign::path("create", &[("name", "Room"), ("meetingID", "room-2")], SECRET));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    http(&sim, &path, &form, format!("welcome={}", "x".repeat(100_000)).as_bytes()).await;
    assert_eq!(sim.meeting("room-2").unwrap().params["welcome"].len(), 100_000);
    assert_eq!(http(&sim, &path, &form, &vec![b'x'; (1 << 20) + 1]).await.status, 413);
    sim.stop().await;
}

#[tokio::test]
async fn documents_are_inserted_where_they_may_be() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("preUploadedPresentation", "https://x.test/d/a.pdf")]).await;
    create(&sim, "named", &[("preUploadedPresentation", "https://x.test/d"), ("preUploadedPresentationName", "b.pdf")])
        .await;
    create(&sim, "none", &[("disabledFeatures", "polls,presentation")]).await;
    assert_eq!(sim.meeting("named").unwrap().documents, ["b.pdf"]);
    let body = r#"<modules><module name="presentation"><document url="https://x.test/c.pdf"/></module></modules>"#;
    let insert = async |id: &str, content_type: &str, body: &str| {
        let head = format!("POST {}", sign::path("insertDocument", &[("meetingID", id)], SECRET));
        http(&sim, &head, &[("Content-Type", content_type)], body.as_bytes()).await
    };
    for (id, code, message) in [
        ("room", "SUCCESS", "Presentation is being uploaded"),
        ("none", "FAILED", "Presentation feature is disabled, ignoring."),
        ("gone", "FAILED", "Meeting with id [gone] not found."),
    ] {
        let answer = insert(id, "application/xml", body).await;
        assert_eq!((answer.tag("returncode"), answer.tag("message")), (Some(code), Some(message)));
        assert_eq!(answer.tag("messageKey"), None);
    }
    assert_eq!(sim.meeting("room").unwrap().documents, ["a.pdf", "c.pdf"]);
    let empty = insert("room", "application/xml", "").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    assert_eq!(insert("room", "text/plain", body).await.tag("messageKey"), Some("unsupportedContentType"));
    let path = sign::path("insertDocument", &[("meetingID", "room")], SECRET);
    assert_eq!(get(&sim, &path).await.status, 405);
    sim.stop().await;
}

#[tokio::test]
async fn a_server_may_write_numbers_with_separators() {
    for (groups_digits, told) in [(false, ["1440", "2000000"]), (true, ["1,440", "2,000,000"])] {
        let sim = start(Config { groups_digits, ..Config::default() }).await;
        create(&sim, "room", &[("duration", "1440"), ("maxParticipants", "2000000")]).await;
        let list = call(&sim, "getMeetings", &[]).await;
        assert_eq!([list.tag("duration").unwrap(), list.tag("maxUsers").unwrap()], told);
        assert_eq!(list.tag("participantCount"), Some("0"));
        let info = call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await;
        assert_eq!(info.tag("duration"), Some("1440"));
        sim.stop().await;
    }
}

#[tokio::test]
async fn meetings_are_told_with_all_elements_in_order() {
    let sim = start(Config::default()).await;
    let names = |xml: &str| -> Vec<String> {
        let starts = xml.split('<').skip(1).filter(|part| !part.starts_with('/'));
        starts.filter_map(|part| part.split('>').next()).map(str::to_owned).collect()
    };
    let empty = call(&sim, "getMeetings", &[]).await;
    assert_eq!(names(&empty.body), ["response", "returncode", "meetings", "messageKey", "message"]);
    let created = create(&sim, "room", &[("meta_a", "1")]).await;
    let expected = "response returncode meetingID internalMeetingID parentMeetingID attendeePW moderatorPW createTime \
        voiceBridge dialNumber createDate hasUserJoined duration hasBeenForciblyEnded messageKey message";
    assert_eq!(names(&created.body), expected.split(' ').collect::<Vec<_>>());
    create(&sim, "child", &[("isBreakout", "true"), ("parentMeetingID", "room"), ("sequence", "3")]).await;
    let seat = join(&sim, "room", &[("userdata-x", "y")]).await;
    let _socket = enter(&sim, &seat).await.unwrap();
    const COMMON: &str = "meetingName meetingID internalMeetingID createTime createDate voiceBridge dialNumber attendeePW \
        moderatorPW running duration hasUserJoined recording hasBeenForciblyEnded startTime endTime participantCount \
        listenerCount voiceParticipantCount videoCount maxUsers moderatorCount attendees";
    const ATTENDEE: &str = "attendee userID fullName role isPresenter isListeningOnly hasJoinedVoice hasVideo clientType \
        customdata x";
    let room = format!("{COMMON} {ATTENDEE} metadata a isBreakout breakoutRooms breakout");
    let child = format!("{COMMON} metadata isBreakout parentMeetingID sequence freeJoin");
    for (name, params, expected) in [
        ("getMeetingInfo", &[("meetingID", "room")][..], format!("response returncode {room}")),
        ("getMeetingInfo", &[("meetingID", "child")], format!("response returncode {child}")),
        ("getMeetings", &[], format!("response returncode meetings meeting {room} meeting {child}")),
        ("getSessions", &[], "response returncode sessions meeting meetingID meetingName userName".to_owned()),
    ] {
        let answer = call(&sim, name, params).await;
        assert_eq!(names(&answer.body).join(" "), expected, "{name}");
    }
    sim.stop().await;
}
