//! The simulator over real sockets, against what the notes on BigBlueButton say.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::{CannedAnswer, Config, MeetingView, Sim};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
const SERVER: &str = "https://bbb-07.internal.test";

type Params<'a> = &'a [(&'a str, &'a str)];
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The text of the first XML element of that name.
    fn tag(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn start(config: Config) -> Sim {
    Sim::start(Config { secret: SECRET.into(), server_url: SERVER.into(), ..config }).await.unwrap()
}

async fn http(sim: &Sim, head: &str, headers: Params<'_>, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    let mut request = format!("{head} HTTP/1.1\r\nHost: bbb-07.internal.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    // A server may answer before it has read all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

async fn get(sim: &Sim, path: &str) -> Answer {
    http(sim, &format!("GET {path}"), &[], b"").await
}

async fn call(sim: &Sim, name: &str, params: Params<'_>) -> Answer {
    get(sim, &sign::path(name, params, SECRET)).await
}

async fn create(sim: &Sim, id: &str, more: Params<'_>) -> Answer {
    call(sim, "create", &[&[("name", "A room"), ("meetingID", id)], more].concat()).await
}

/// Somebody who has joined: the session token and the cookie.
#[derive(Clone, Debug)]
struct Seat {
    token: String,
    cookie: String,
}

async fn join(sim: &Sim, id: &str, more: Params<'_>) -> Seat {
    let params = [&[("fullName", "Ana"), ("meetingID", id), ("role", "VIEWER")], more].concat();
    let answer = call(sim, "join", &params).await;
    let location = answer.header("location").unwrap();
    let token = location.strip_prefix(&format!("{SERVER}/html5client/?sessionToken=")).expect(location).to_owned();
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    Seat { token, cookie }
}

async fn open(sim: &Sim, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{}{path}", sim.addr()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text as JSON, or the code of the close.
async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    let message = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    });
    message.await.expect("a message in time")
}

fn init(token: &str) -> Value {
    json!({ "type": "connection_init", "payload": { "headers": { "X-Session-Token": token, "X-ClientType": "HTML5" } } })
}

/// A GraphQL socket after the acknowledgement.
async fn enter(sim: &Sim, seat: &Seat) -> Result<Socket, u16> {
    let headers = [("cookie", seat.cookie.as_str()), ("sec-websocket-protocol", "graphql-transport-ws")];
    let mut socket = open(sim, "/graphql", &headers).await?;
    say(&mut socket, init(&seat.token)).await;
    assert_eq!(hear(&mut socket).await?, json!({ "type": "connection_ack" }));
    Ok(socket)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn only(sim: &Sim) -> MeetingView {
    let mut meetings = sim.meetings();
    assert_eq!(meetings.len(), 1);
    meetings.remove(0)
}

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
        (&[name, room, ("password", "guess")], Ok(&own), "invalidPassword"),
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
async fn the_flaws_of_the_real_server_are_kept() {
    let sim = start(Config::default()).await;
    create(&sim, "secret-room", &[("moderatorPW", "mmm")]).await;
    let prefix = &only(&sim).int_id[..2];
    let info = call(&sim, "getMeetingInfo", &[("meetingID", prefix)]).await;
    assert_eq!(info.tag("meetingID"), Some("secret-room"), "found by the first digits of the internal id");
    let all = call(&sim, "getMeetings", &[]).await;
    assert_eq!(all.tag("moderatorPW"), Some("mmm"), "all meetings are told to whoever asks");
    let unsigned = "/bigbluebutton/api/end?meetingID=secret-room&presentationUploadExternalUrl=";
    assert_eq!(get(&sim, &format!("{unsigned}x")).await.tag("messageKey"), Some("validationError"));
    assert_eq!(get(&sim, &format!("{unsigned}https://x.test")).await.tag("returncode"), Some("SUCCESS"));
    assert_eq!(call(&sim, "getMeetings", &[]).await.tag("messageKey"), Some("noMeetings"));
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
    assert_eq!(json["response"]["bbbVersion"], "3.0.30");
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
        let pad = http(&sim, &format!("GET /pad/p/x?sessionToken={token}"), &[("Cookie", cookie)], b"").await;
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
    assert_eq!(again.tag("url"), Some(format!("{SERVER}/html5client/?sessionToken={token}").as_str()));
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
async fn a_join_url_for_a_second_session_works() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[("fullName", "Zoë")]).await;
    let head = format!("GET /bigbluebutton/api/getJoinUrl?sessionToken={}&enforceLayout=X", seat.token);
    let answer = http(&sim, &head, &[("Cookie", &seat.cookie)], b"").await.json();
    let url = answer["response"]["url"].as_str().unwrap();
    let path = url.strip_prefix(SERVER).unwrap();
    assert!(path.starts_with("/bigbluebutton/api/join?&fullName=Ana&meetingID=room&"), "{path}");
    let location = get(&sim, path).await.header("location").unwrap().to_owned();
    assert!(location.contains("/html5client/?sessionToken="), "{location}");
    assert_eq!(only(&sim).joins.len(), 1, "the same user");
    sim.stop().await;
}

#[tokio::test]
async fn settings_hold_the_addresses_of_a_stock_server() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("logoutURL", "https://x.test/bye")]).await;
    let seat = join(&sim, "room", &[("userdata-bbb_x", "y")]).await;
    let headers = [("x-session-token", seat.token.as_str()), ("cookie", &seat.cookie)];
    let data = http(&sim, "GET /api/rest/meetingStaticData", &headers, b"").await.json();
    let meeting = &data["meeting"][0];
    let public = &meeting["clientSettings"]["clientSettingsJson"]["public"];
    assert_eq!((&meeting["name"], &meeting["logoutUrl"]), (&json!("A room"), &json!("https://x.test/bye")));
    assert_eq!(public["kurento"]["wsUrl"], "wss://bbb-07.internal.test/bbb-webrtc-sfu");
    assert_eq!(public["pads"]["url"], format!("{SERVER}/pad"));
    assert_eq!(public["app"]["bbbWebBase"], "/bigbluebutton");
    let old = http(&sim, "GET /api/rest/clientSettings", &headers, b"").await.json();
    assert_eq!(&old["meeting_clientSettings"][0]["clientSettingsJson"]["public"], public);
    let metadata = http(&sim, "GET /api/rest/userMetadata", &headers, b"").await.json();
    assert_eq!(metadata["user_metadata"], json!([{ "parameter": "bbb_x", "value": "y" }]));
    sim.stop().await;
}

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
        ("server", json!(SERVER)),
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
    assert_eq!((&seen["xForwardedFor"], &seen["origin"]), (&json!("192.0.2.7"), &json!("https://a.test")));
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
async fn an_upload_is_streamed_and_judged_by_its_length() {
    let sim = start(Config::default()).await;
    let document = vec![7_u8; 3_000_000];
    let head = "POST /bigbluebutton/presentation/token123/upload";
    let answer = http(&sim, head, &[("Content-Type", "multipart/form-data; boundary=x")], &document).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "upload-success"));
    let received = sim.log().pop().unwrap();
    assert_eq!(received.body_bytes, 3_000_000);
    assert_eq!(received.body_sha256, Some(Algorithm::Sha256.hex(&document)));
    for (name, headers, body) in [
        ("too large", [("Content-Length", "30000001"), ("X-Pad", "")], &b""[..]),
        ("chunked", [("Transfer-Encoding", "chunked"), ("X-Pad", "")], b"3\r\nabc\r\n0\r\n\r\n"),
        ("no length", [("X-Pad", ""), ("X-Pad", "")], b""),
    ] {
        let answer = http(&sim, head, &headers, body).await;
        assert_eq!((answer.status, answer.header("x-file-too-large")), (413, Some("1")), "{name}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_page_addresses_its_files_relative_to_itself() {
    let sim = start(Config::default()).await;
    let page = get(&sim, "/html5client/?sessionToken=x").await;
    assert_eq!(page.status, 200);
    let links: Vec<&str> =
        page.body.split(['"']).filter(|text| [".js", ".css", ".svg"].iter().any(|end| text.ends_with(end))).collect();
    assert!(3 <= links.len(), "{links:?}");
    for link in links {
        assert!(!link.starts_with('/') && !link.contains("://"), "{link}");
        assert_eq!(get(&sim, &format!("/html5client/{link}")).await.status, 200, "{link}");
    }
    assert_eq!(get(&sim, "/html5client/none.js").await.status, 404);
    assert_eq!(get(&sim, "/bigbluebutton/rtt-check").await.status, 200);
    assert!(get(&sim, "/default.pdf").await.body.starts_with("%PDF-"));
    sim.stop().await;
}

#[tokio::test]
async fn faults_can_be_switched_on_and_off() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let html = CannedAnswer { status: 500, content_type: "text/html".into(), body: "<html>oops".into() };
    sim.faults().set_call_answer("create", Some(html.clone()));
    assert_eq!(create(&sim, "other", &[]).await.status, 500);
    assert_eq!(call(&sim, "getMeetings", &[]).await.status, 200);
    sim.faults().set_call_answer("create", None);
    sim.faults().set_api_answer(Some(html));
    assert_eq!(call(&sim, "getMeetings", &[]).await.body, "<html>oops");
    assert_eq!(get(&sim, "/bigbluebutton/api").await.status, 500);
    sim.faults().set_api_answer(None);

    sim.faults().set_api_delay(Duration::from_millis(50));
    let start = Instant::now();
    call(&sim, "getMeetings", &[]).await;
    assert!(Duration::from_millis(50) <= start.elapsed());
    sim.faults().set_api_delay(Duration::ZERO);

    let mut socket = enter(&sim, &seat).await.unwrap();
    sim.faults().cut_sockets();
    assert_eq!(hear(&mut socket).await, Err(1006));
    let mut socket = enter(&sim, &seat).await.unwrap();
    sim.faults().set_down(true);
    assert_eq!(hear(&mut socket).await, Err(1006));
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)), "closed at once");
    sim.faults().set_down(false);
    let mut socket = enter(&sim, &seat).await.expect("meetings outlive the outage");

    sim.faults().restart();
    assert_eq!(hear(&mut socket).await, Err(1006));
    assert_eq!(call(&sim, "getMeetings", &[]).await.tag("messageKey"), Some("noMeetings"));
    assert_eq!(enter(&sim, &seat).await.err(), Some(4403));
    sim.stop().await;
}

#[tokio::test]
async fn stopping_frees_the_port_and_closes_what_is_open() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    let mut idle = TcpStream::connect(sim.addr()).await.unwrap();
    let addr = sim.addr();
    sim.stop().await;
    assert_eq!(hear(&mut socket).await, Err(1006));
    assert!(matches!(idle.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let again = start(Config { listen: addr, ..Config::default() }).await;
    assert!(again.meetings().is_empty());
    again.stop().await;
}
