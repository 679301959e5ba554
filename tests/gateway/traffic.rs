//! A meeting's traffic on the tenant's host: settings, slides, uploads, sockets, cookies; and what is not BBB's.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anteroom_bench::sim;
use axum::{
    Router,
    extract::{Request, WebSocketUpgrade, ws},
    response::IntoResponse,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Joined, Plan, Stage, host};

async fn stage() -> Stage {
    Plan::new().server("members").server("members").tenant("wagtail", "multi-account").start().await
}

async fn in_a_meeting(stage: &Stage) -> Joined {
    stage.create("wagtail", "room").await;
    stage.joined("wagtail", "room", "Ada").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_name_the_tenants_host_only() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    for path in ["meetingStaticData", "clientSettings"] {
        let headers = [
            ("x-session-token", &*joined.token),
            ("cookie", &*joined.cookies),
            ("accept-encoding", "gzip"),
            ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ];
        let path = format!("{}/api/rest/{path}", joined.prefix);
        let reply = stage.client().get_with(&host("wagtail"), &path, &headers).await;
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"), "{}", reply.body);
        assert!(!reply.body.contains("internal.test"), "{}", reply.body);
        let sfu = format!("wss://wagtail.localhost{}/bbb-webrtc-sfu", joined.prefix);
        assert!(reply.body.contains(&sfu), "{}", reply.body);
        assert!(reply.body.contains(&format!("\"{}/bigbluebutton\"", joined.prefix)), "{}", reply.body);
    }
    let path = format!("{}/api/rest/userMetadata", joined.prefix);
    let cookies = format!("name=Zoë; {}", joined.cookies);
    let request = http::Request::get(path)
        .header("x-session-token", &joined.token)
        .header("cookie", http::HeaderValue::from_bytes(cookies.as_bytes()).unwrap());
    let reply = stage.client().send(&host("wagtail"), request).await;
    assert_eq!(reply.status, 200, "a cookie of any bytes does no harm to the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_reaches_its_server_as_its_own_client() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    let headers =
        [("cookie", &*joined.cookies), ("origin", "https://wagtail.localhost"), ("x-forwarded-for", "6.6.6.6")];
    let mut socket = stage.client().socket(&host("wagtail"), &path, &headers).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let echo: serde_json::Value =
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(echo["received"], "hello");
    let seen = &echo["seen"];
    let upstream = stage.sims.iter().find(|sim| !sim.meetings().is_empty()).unwrap().addr().to_string();
    assert_eq!(seen["host"], upstream);
    assert_eq!(seen["origin"], format!("http {upstream}"));
    assert_eq!(seen["cookies"], serde_json::json!(["JSESSIONID"]));
    assert_eq!(seen["xForwardedFor"], "127.0.0.1");
    assert_eq!(seen["sessionToken"], joined.token);

    // Large messages and pings pass as they are.
    let mut graphql = stage.graphql("wagtail", &joined).await.unwrap();
    let large = "x".repeat(2_000_000);
    let query =
        format!(r#"{{"id":"1","type":"subscribe","payload":{{"query":"subscription {{ sim_echo }} {large}"}}}}"#);
    graphql.send(Message::text(query)).await.unwrap();
    let answer = graphql.next().await.unwrap().unwrap();
    assert!(answer.len() > large.len(), "{} bytes came back", answer.len());
    graphql.send(Message::Ping(Bytes::from_static(b"beat"))).await.unwrap();
    let pong = graphql.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"beat")));
    let open = stage.metrics().await;
    assert!(open.contains("anteroom_open_sockets{tenant=\"wagtail\"} 2"), "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_opens_no_socket() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    for origin in ["https://evil.example", "http://wagtail.localhost", "null"] {
        let headers = [("cookie", &*joined.cookies), ("origin", origin)];
        match stage.client().socket(&host("wagtail"), &path, &headers).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_meetings_on_two_servers_work_in_one_browser() {
    let stage = stage().await;
    let (mut prefixes, mut people) = (BTreeSet::new(), Vec::new());
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
        let joined = stage.joined("wagtail", room, "Ada").await;
        prefixes.insert(joined.prefix.clone());
        people.push(joined);
    }
    assert_eq!(prefixes.len(), 2, "each meeting went to the server with the least load");
    // One browser sends all its cookies everywhere.
    let cookies = format!("{}; {}", people[0].cookies, people[1].cookies);
    for joined in people {
        let joined = Joined { cookies: cookies.clone(), ..joined };
        stage.graphql("wagtail", &joined).await.unwrap();
        let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
        stage.client().socket(&host("wagtail"), &path, &[("cookie", &cookies)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_embedded_has_cookies_and_pages_for_that() {
    let sites = "embedded_by = [\"https://moodle.example\", \"https://*.school.example\"]";
    let plan = Plan::new().server("members").tenant_with("wagtail", "multi-account", sites);
    let stage = plan.tenant("heron", "multi-account").start().await;
    for (tenant, is_embedded) in [("wagtail", true), ("heron", false)] {
        stage.create(tenant, "room").await;
        let reply = stage.join(tenant, "room", "Ada").await;
        let cookie = reply.header("set-cookie");
        assert!(cookie.starts_with("__Host-JSESSIONID.") && cookie.contains("Secure"), "{cookie}");
        assert_eq!(cookie.ends_with("; SameSite=None; Partitioned"), is_embedded, "{cookie}");
        let joined = stage.joined(tenant, "room", "Bob").await;
        for path in [format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token), "/nowhere".into()] {
            let headers = [("cookie", &*joined.cookies), ("accept", "text/html")];
            let page = stage.client().get_with(&host(tenant), &path, &headers).await;
            let mut policies = page.headers.get_all("content-security-policy").iter();
            let framing = "frame-ancestors 'self' https://moodle.example https://*.school.example";
            assert_eq!(policies.any(|policy| policy == framing), is_embedded, "{tenant} {path}: {:?}", page.headers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_are_found_by_their_meeting_and_uploads_keep_their_length() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let int_id = stage.on_server("wagtail", "room").unwrap().int_id;
    let client = stage.client();
    // An id of a document has the form of a meeting's.
    let document = format!("{}-{}", sha1_hex(b"default.pdf"), int_id.rsplit('-').next().unwrap());
    let slide = format!("/bigbluebutton/presentation/{int_id}/{int_id}/{document}/svg/1");
    for path in [slide.clone(), format!("{}{slide}", joined.prefix)] {
        let reply = client.get_with(&host("wagtail"), &path, &[("cookie", &joined.cookies)]).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.body.contains("<svg"), "{}", reply.body);
    }

    let token = stage.sims.iter().find_map(|sim| sim.upload_token(&joined.token)).unwrap();
    let upload = format!("{}/bigbluebutton/presentation/{token}/upload", joined.prefix);
    let file: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let request = http::Request::post(&*upload).header("content-type", "multipart/form-data; boundary=b");
    let request = request.header("cookie", &*joined.cookies);
    let reply = client.send_body(&host("wagtail"), request, file.into()).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, "upload-success"));
    let log: Vec<_> = stage.sims.iter().flat_map(anteroom_bench::sim::Sim::log).collect();
    let seen = log.iter().find(|seen| seen.path.ends_with("/upload")).unwrap();
    assert_eq!((seen.header("content-length"), seen.body_bytes), (Some("5000000"), 5_000_000));
}

/// Since 3.0.27 the address of a slide has a token of the page, over bytes that only its server knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_slide_goes_on_byte_for_byte() {
    let config = sim::Config { slides_need_session: true, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", config).tenant("wagtail", "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut socket = stage.graphql("wagtail", &joined).await.unwrap();
    let query = r#"{"id":"1","type":"subscribe","payload":{"query":"subscription { pres_page_curr { urlsJson } }"}}"#;
    socket.send(Message::text(query)).await.unwrap();
    let told = socket.next().await.unwrap().unwrap();
    let told: serde_json::Value = serde_json::from_str(told.to_text().unwrap()).unwrap();
    let slide = told["payload"]["data"]["pres_page_curr"][0]["urlsJson"]["svg"].as_str().unwrap();
    let path = slide.strip_prefix("https://wagtail.localhost").expect("the tenant's host");
    // In both places, and with what no reader would write in that way.
    for query in
        [format!("&sessionToken={}", joined.token), format!("&sessionToken={}&v=%7e+%2B%c3%a4&&empty=&x", joined.token)]
    {
        let path = format!("{path}{query}");
        let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &joined.cookies)]).await;
        assert_eq!(reply.status, 200, "{path}");
        let seen = stage.sims[0].log().into_iter().rfind(|seen| seen.path.contains("/svg/")).unwrap();
        assert_eq!(seen.query.as_deref(), path.split_once('?').map(|(_, query)| query));
    }
    let bare = path.split('?').next().unwrap();
    let reply = stage
        .client()
        .get_with(&host("wagtail"), &format!("{bare}?sessionToken={}", joined.token), &[("cookie", &joined.cookies)])
        .await;
    assert_eq!(reply.status, 403, "the server asks for the token of the page");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    for (path, length) in
        [("/bigbluebutton/presentation/token/upload", 1_000_000_001_u64), ("/bigbluebutton/api/feedback", 30_000_001)]
    {
        let mut stream = stage.client().connect(&host("wagtail")).await.unwrap();
        let head = format!(
            "POST {}{path}?sessionToken={} HTTP/1.1\r\nhost: wagtail.localhost\r\ncontent-length: {length}\r\n\r\n",
            joined.prefix, joined.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
}

fn sha1_hex(text: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A frontend that tells what it was asked, and echoes sockets.
async fn frontend() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let app = Router::new()
        .route(
            "/cable",
            axum::routing::get(async |socket: WebSocketUpgrade| {
                socket.on_upgrade(async |mut socket: ws::WebSocket| {
                    while let Some(Ok(message)) = socket.recv().await {
                        if socket.send(message).await.is_err() {
                            break;
                        }
                    }
                })
            }),
        )
        .fallback(move |request: Request| answer(Arc::clone(&note), request));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

async fn answer(note: Arc<Mutex<Vec<String>>>, request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    note.lock().unwrap().push(format!(
        "{} {} host={} proto={} for={} cookie={}",
        head.method,
        head.uri,
        header("host"),
        header("x-forwarded-proto"),
        header("x-forwarded-for"),
        header("cookie")
    ));
    let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
    ([("x-frontend", "yes")], format!("{} bytes", body.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_bbbs_goes_to_the_frontend() {
    let (address, seen) = frontend().await;
    let more = format!("frontend = \"http://{address}\"");
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &more).start().await;
    let joined = in_a_meeting(&stage).await;
    let cookies = format!("_greenlight=1; {}", joined.cookies);
    let client = stage.client();
    let reply = client.get_with(&host("wagtail"), "/b/room?x=1", &[("cookie", &cookies)]).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-frontend")), (200, "yes"));
    for (path, status) in
        [("//bigbluebutton/api/create", 200), ("/%62igbluebutton/api/create", 404), ("/b/..;/bigbluebutton/api", 404)]
    {
        let reply = client.get(&host("wagtail"), path).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-frontend")), (status, ""), "{path}");
    }
    let stripped = [("connection", "host, x-forwarded-for, x-forwarded-proto"), ("x_forwarded_for", "6.6.6.6")];
    assert_eq!(client.get_with(&host("wagtail"), "/b/room?x=1", &stripped).await.status, 200);
    let upload = client.post(&host("wagtail"), "/upload", "text/plain", "x".repeat(3_000_000)).await;
    assert_eq!(upload.body, "3000000 bytes");
    assert_eq!(
        seen.lock().unwrap()[0],
        "GET /b/room?x=1 host=wagtail.localhost proto=https for=127.0.0.1 cookie=_greenlight=1"
    );
    assert_eq!(seen.lock().unwrap()[1], "GET /b/room?x=1 host=wagtail.localhost proto=https for=127.0.0.1 cookie=");
    let mut socket = client.socket(&host("wagtail"), "/cable", &[]).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_a_frontend_has_a_landing_page() {
    let stage = stage().await;
    let reply = stage.client().get_with(&host("wagtail"), "/", &[("accept", "text/html")]).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("wagtail co-op"), "{}", reply.body);
    let reply = stage.client().get_with(&host("wagtail"), "/nowhere", &[("accept", "text/html")]).await;
    assert_eq!(reply.status, 404);
}
