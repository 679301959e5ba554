//! Messages with two readers: what the gateway has decided by, its servers read in the same way.

use std::time::Duration;

use anteroom_bench::{sign, sim::Received};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{
    DEADLINE, Joined, Plan, Reply, Stage,
    evil::client::{Raw, text_frame},
    host, secret,
};

/// Two tenants with a meeting each on one server, and two people in the first one's.
struct Two {
    stage: Stage,
    ada: Joined,
    bob: Joined,
    /// Somebody of the other tenant.
    eve: Joined,
}

async fn two() -> Two {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    for tenant in ["wagtail", "heron"] {
        let created = stage.create(tenant, "room").await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    }
    let (ada, bob) = (stage.joined("wagtail", "room", "Ada").await, stage.joined("wagtail", "room", "Bob").await);
    let eve = stage.joined("heron", "room", "Eve").await;
    Two { stage, ada, bob, eve }
}

impl Two {
    async fn get(&self, path: &str, header: Option<&str>) -> Reply {
        let mut headers = vec![("cookie", &*self.ada.cookies)];
        headers.extend(header.map(|token| ("x-session-token", token)));
        self.stage.client().get_with(&host("wagtail"), path, &headers).await
    }

    fn int_id(&self, tenant: &str) -> String {
        self.stage.on_server(tenant, "room").unwrap().int_id
    }

    /// What the server was asked on such paths.
    fn seen(&self, path: &str) -> Vec<Received> {
        self.stage.sims[0].log().into_iter().filter(|seen| seen.path.contains(path)).collect()
    }
}

/// A first frame with these headers in it.
fn init(headers: &str) -> String {
    format!(r#"{{"type":"connection_init","payload":{{"headers":{{{headers}}}}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_frame_that_names_two_sessions() {
    let two = two().await;
    let (ada, bob) = (&two.ada.token, &two.bob.token);
    for text in [
        init(&format!(r#""X-Session-Token":"{ada}","x-session-token":"{bob}""#)),
        init(&format!(r#""X-Session-Token":"{ada}","X-Session-Token":"{bob}""#)),
        init(&format!(r#""X-Session-Token":"{ada}","Session":"{bob}""#)),
    ] {
        let path = format!("{}/graphql", two.ada.prefix);
        let headers = [("cookie", &*two.ada.cookies), ("sec-websocket-protocol", "graphql-transport-ws")];
        let mut socket = two.stage.client().socket(&host("wagtail"), &path, &headers).await.unwrap();
        socket.send(Message::text(text.as_str())).await.unwrap();
        match tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(u16::from(close.code), 4403, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(two.seen("/graphql").is_empty(), "the server does not hear of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_frame_is_written_anew_and_what_is_behind_it_goes_on() {
    let two = two().await;
    let token = &two.ada.token;
    // Other white space, another order and an escape, and a second frame at once behind it.
    let first = format!(
        "{{ \"payload\": {{ \"headers\": {{ \"X-ClientType\": \"HT\\u004dL5\", \"X-Session-Token\": \"{token}\" }} }},\n\"type\": \"connection_init\" }}"
    );
    let second = r#"{"id":"1","type":"subscribe","payload":{"query":"query { sim_echo }"}}"#;
    let mut raw = Raw::open(&two.stage, &host("wagtail")).await;
    let request = format!(
        "GET {}/graphql?sessionToken={} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-session-token: {}\r\n\
         sec-websocket-protocol: graphql-transport-ws\r\n\r\n",
        two.ada.prefix,
        token,
        host("wagtail"),
        two.ada.cookies,
        token,
    );
    assert!(raw.send(request).await.head().await.starts_with("HTTP/1.1 101"));
    raw.send([text_frame(&first), text_frame(second)].concat()).await;
    let answers = raw.read_for(Duration::from_secs(3)).await;
    assert!(answers.contains("connection_ack"), "{answers}");
    assert!(answers.contains(&format!(r#""sessionToken":"{token}""#)), "{answers}");
    assert!(answers.contains(r#""clientType":"HTML5""#), "{answers}");
    let seen = &two.seen("/graphql")[0];
    assert_eq!((seen.query.as_deref(), seen.header("x-session-token")), (None, None), "only the frame names a session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_would_find_and_the_gateway_does_not() {
    let two = two().await;
    let (own, prefix) = (&two.ada.token, &two.ada.prefix);
    // Of the same tenant and of another one: whose it is does not matter.
    for other in [&two.bob.token, &two.eve.token] {
        for query in [
            format!("sessionToken={own}&sessionToken={other}"),
            format!("sessionToken={own}&SESSIONTOKEN={other}"),
            format!("sessionToken={own}&session%54oken={other}"),
            format!("sessionToken={own}&session%2554oken={other}"),
            format!("sessionToken={own}&%20sessionToken={other}"),
            format!("sessionToken={own}&sessionToken[]={other}"),
            format!("sessionToken={own}&x=%26sessionToken%3D{other}"),
            format!("sessionToken={own}&x=%2526sessionToken%253D{other}"),
            format!("sessionToken={own}?sessionToken={other}"),
            format!("session%54oken={other}"),
        ] {
            for path in ["/pad/p/notes", "/hocuspocus/notes", "/bbb-webrtc-sfu", "/ws", "/api/rest/meetingStaticData"] {
                let reply = two.get(&format!("{prefix}{path}?{query}"), None).await;
                assert_eq!(reply.status, 401, "{path}?{query}");
            }
            let path = format!("{prefix}/bigbluebutton/api/stuns?{query}");
            assert!(two.get(&path, None).await.body.contains("FAILED"), "{query}");
            let (path, headers) = (format!("{prefix}/bbb-webrtc-sfu?{query}"), [("cookie", &*two.ada.cookies)]);
            match two.stage.client().socket(&host("wagtail"), &path, &headers).await {
                Err(Error::Http(response)) => assert_eq!(response.status(), 401, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
        // In the path, which bbb-web decodes with the query.
        let path = format!("{prefix}/pad/p/notes%3FsessionToken={other}");
        assert_eq!(two.get(&path, None).await.status, 404);
        // In header and query.
        let path = format!("{prefix}/api/rest/userMetadata?sessionToken={own}");
        assert_eq!(two.get(&path, Some(other)).await.status, 401);
    }
    let tokens = [&two.bob.token, &two.eve.token];
    let heard = two.stage.sims[0].log().iter().any(|seen| {
        let query = seen.query.as_deref().unwrap_or_default();
        tokens.iter().any(|token| query.contains(&***token) || seen.path.contains(&***token))
    });
    assert!(!heard, "the server does not hear of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_named_twice_goes_on_once() {
    let two = two().await;
    let (own, prefix) = (&two.ada.token, &two.ada.prefix);
    for (query, expected) in [
        (format!("a=%41+b&sessionToken={own}&c"), format!("a=%41+b&sessionToken={own}&c")),
        (format!("sessionToken={own}&a=%41+b&sessionToken={own}"), format!("a=%41+b&sessionToken={own}")),
    ] {
        let reply = two.get(&format!("{prefix}/pad/p/notes?{query}"), None).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(two.seen("/pad/").last().unwrap().query.as_deref(), Some(&*expected), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_the_form_of_a_call() {
    let two = two().await;
    let (form, own) = ("application/x-www-form-urlencoded", &two.ada.token);
    for call in ["stuns", "getJoinUrl", "learningDashboard", "signOut"] {
        let path = format!("{}/bigbluebutton/api/{call}?sessionToken={own}", two.ada.prefix);
        let body = format!("sessionToken={}", two.bob.token);
        let reply = two.stage.client().post(&host("wagtail"), &path, form, body).await;
        assert_eq!(reply.status, 400, "{call}: {}", reply.body);
        assert!(two.seen(call).is_empty(), "the server does not hear of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_meeting_behind_ones_own() {
    let two = two().await;
    let (own, other) = (two.int_id("wagtail"), two.int_id("heron"));
    let document = format!("{}-1700000000000", "d".repeat(40));
    let session = format!("sessionToken={}", two.ada.token);
    for (path, query) in [
        (format!("/bigbluebutton/presentation/{own}/{other}/{document}/svg/1"), session.clone()),
        (format!("/bigbluebutton/presentation/{own}/{own}/{other}/svg/1"), session.clone()),
        (format!("/bigbluebutton/presentation/{own}/{own}/{document}/svg/{other}"), session.clone()),
        (format!("/bigbluebutton/presentation/download/{own}/{other}"), session.clone()),
        (format!("/bigbluebutton/presentation/download/{own}/{document}"), format!("presFilename={other}.pdf")),
        (format!("/bigbluebutton/presentation/download/{own}/{document}"), format!("{session}&meetingId={other}")),
        (format!("/bigbluebutton/presentation/download/{own}/{document}"), format!("meetingId=%20{other}")),
        ("/bigbluebutton/presentation/x/upload".to_owned(), format!("conference={}", other.replace('-', "%2d"))),
        (format!("/bigbluebutton/fileUpload/{own}/{other}.png"), session.clone()),
        (format!("/learning-analytics-dashboard/{own}/{other}/learning_dashboard_data.json"), session.clone()),
        (format!("/hocuspocus/{other}-notes"), session.clone()),
        ("/bigbluebutton/api/learningDashboard".to_owned(), format!("{session}&meeting={other}")),
    ] {
        for prefix in ["", &*two.ada.prefix] {
            let reply = two.get(&format!("{prefix}{path}?{query}"), None).await;
            assert!(reply.status == 404 || reply.body.contains("FAILED"), "{path}?{query}: {}", reply.status);
        }
    }
    let heard = |seen: &Received| {
        seen.call().is_none() && format!("{}?{}", seen.path, seen.query.as_deref().unwrap_or_default()).contains(&other)
    };
    assert!(!two.stage.sims[0].log().iter().any(heard), "the server does not hear of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_beside_the_address_of_a_document() {
    let two = two().await;
    let (own, other) = (two.int_id("wagtail"), two.int_id("heron"));
    let path =
        format!("{}/bigbluebutton/presentation/download/{own}/{own}?sessionToken={}", two.ada.prefix, two.ada.token);
    for kind in ["application/x-www-form-urlencoded", "text/plain"] {
        let reply = two.stage.client().post(&host("wagtail"), &path, kind, format!("meetingId={other}")).await;
        assert_eq!(reply.status, 404, "{}", reply.body);
    }
    assert!(two.seen("/download/").is_empty(), "the server does not hear of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_recording_beside_ones_own() {
    let two = two().await;
    let recorded = async |tenant: &str| {
        let params = [("name", "lecture"), ("meetingID", "lecture"), ("record", "true")];
        let created = two.stage.api(tenant, "create", &params).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        two.stage.on_server(tenant, "lecture").unwrap().int_id
    };
    let (own, other) = (recorded("wagtail").await, recorded("heron").await);
    let player = "/playback/presentation/2.0/playback.html";
    for (path, is_own) in [
        (format!("/presentation/{own}/metadata.xml"), true),
        (format!("/presentation/{own}/metadata.xml?meetingId={other}"), false),
        (format!("{player}?meetingId={own}&meetingId={other}"), false),
        (format!("{player}?meetingId={own}&MEETINGID={}", other.replace('-', "%2D")), false),
    ] {
        let before = two.stage.sims[0].log().len();
        let reply = two.get(&path, None).await;
        let heard = two.stage.sims[0].log().len() > before;
        assert!(heard == is_own && (is_own || reply.status == 404), "{path}: {}", reply.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_for_a_foreign_meeting() {
    let two = two().await;
    let sim = &two.stage.sims[0];
    let form = |meeting: &str| {
        let field =
            |head: &str, value: &str| format!("--bound\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
        let file = field("name=\"fileUpload\"; filename=\"a.pdf\"", &"%PDF ".repeat(20_000));
        format!("{file}{}--bound--\r\n", field("name=\"conference\"", meeting))
    };
    let mut statuses = Vec::new();
    for tenant in ["heron", "wagtail"] {
        let token = sim.upload_token(&two.ada.token).unwrap();
        let path = format!("{}/bigbluebutton/presentation/{token}/upload", two.ada.prefix);
        let request = http::Request::post(&path)
            .header("cookie", &*two.ada.cookies)
            .header("content-type", "multipart/form-data; boundary=bound");
        let body = form(&two.int_id(tenant)).into();
        statuses.push(two.stage.client().send_body(&host("wagtail"), request, body).await.status.as_u16());
    }
    assert_eq!(statuses, [404, 200]);
    let whole = two.seen("/upload").iter().filter(|seen| seen.body_sha256.is_some()).count();
    assert_eq!(whole, 1, "the server has got one whole upload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_java_trims_otherwise() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    for given in ["\u{a0}breakoutRooms", "breakoutRooms\u{3000}", "chat,\u{2003}breakoutRooms", "breakoutRooms\u{1680}"]
    {
        let params = [("name", "room"), ("meetingID", "room"), ("disabledFeatures", given)];
        let created = stage.api("small", "create", &params).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        let sent = stage.on_server("small", "room").unwrap().params["disabledFeatures"].clone();
        assert!(sent.split(',').any(|feature| feature == "breakoutRooms"), "{given:?}: {sent:?}");
        stage.api("small", "end", &[("meetingID", "room")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_another_name_to_bbb() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    let of_a_meeting = [("name", "room"), ("meetingID", "room")];
    for more in [&[("nam\u{e9}", "x")][..], &[("du\u{17f}ation", "x")], &[("meta_a", "1"), ("meta_A", "2")]] {
        let created = stage.api("small", "create", &[&of_a_meeting[..], more].concat()).await;
        assert_eq!(created.xml("messageKey"), "validationError", "{more:?}: {}", created.body);
    }
    assert!(stage.sims[0].meetings().is_empty());
    let created = stage.api("small", "create", &[&of_a_meeting[..], &[("meta_Title", "x")]].concat()).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    let params = stage.on_server("small", "room").unwrap().params;
    assert!(params.contains_key("meta_title") && !params.contains_key("meta_Title"), "{params:?}");
    for call in ["join", "getMeetingInfo", "end"] {
        let params = [("meetingID", "room"), ("fullName", "A"), ("r\u{f6}le", "x")];
        let reply = stage.api("small", call, &params).await;
        assert_eq!(reply.xml("messageKey"), "validationError", "{call}: {}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_without_a_rule() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    let more = "name=room&meetingID=room&notARule=x";
    let unsigned = stage.client().get(&host("small"), &format!("/bigbluebutton/api/create?{more}")).await;
    assert_eq!(unsigned.xml("messageKey"), "checksumError", "{}", unsigned.body);
    let wrong = format!("/bigbluebutton/api/create?{more}&checksum={}", "0".repeat(64));
    assert_eq!(stage.client().get(&host("small"), &wrong).await.xml("messageKey"), "checksumError");
    assert!(stage.sims[0].meetings().is_empty());
    let params = [("name", "room"), ("meetingID", "room"), ("notARule", "x")];
    let path = sign::path("create", &params, &secret("small"));
    assert_eq!(stage.client().get(&host("small"), &path).await.xml("returncode"), "SUCCESS");
    assert!(!stage.on_server("small", "room").unwrap().params.contains_key("notARule"), "it does not go on");
}
