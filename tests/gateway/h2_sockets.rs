//! WebSockets over HTTP/2 (RFC 8441): on the connection of the page, with all the checks that they have over HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::http2::SendRequest,
    ext::Protocol,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::support::{
    DEADLINE, Joined, Plan, Stage, eventually, eventually_within,
    evil::client::{AnyBody, connect, http2},
    greet, host,
};

const TENANT: &str = "wagtail";

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A browser's one connection.
struct Page {
    sender: SendRequest<AnyBody>,
    host: String,
}

impl Page {
    /// Opens it and asks for a page: from then on it knows what the gateway offers.
    async fn open(stage: &Stage, tenant: &str) -> Self {
        let mut page = Self { sender: http2(stage, &host(tenant)).await, host: host(tenant) };
        let page_of_tenant = page.get("/").await;
        assert!(page_of_tenant.is_ok_and(|status| status == 200 || status == 404));
        page
    }

    async fn get(&mut self, path: &str) -> hyper::Result<StatusCode> {
        let request = Request::get(format!("https://{}{path}", self.host));
        let response = self.sender.send_request(request.body(empty()).unwrap()).await?;
        let status = response.status();
        response.into_body().collect().await.map(|_| status)
    }

    async fn connect(
        &mut self,
        protocol: Option<&'static str>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::builder().method(Method::CONNECT).uri(format!("https://{}{path}", self.host));
        for (name, value) in [("sec-websocket-version", "13")].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let mut request = request.body(empty()).unwrap();
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from_static(protocol));
        }
        timeout(DEADLINE, self.sender.send_request(request)).await.unwrap()
    }

    /// Opens a WebSocket; the answer to it, if it is refused.
    async fn socket(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Socket, Response<Incoming>> {
        let response = self.connect(Some("websocket"), path, headers).await.unwrap();
        if response.status() != 200 {
            return Err(response);
        }
        for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
            assert!(!response.headers().contains_key(name), "{response:?}");
        }
        let stream = upgrade::on(response).await.unwrap();
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await)
    }

    async fn graphql(&mut self, joined: &Joined) -> Result<Socket, String> {
        let path = format!("{}/graphql", joined.prefix);
        let mut socket = self.socket(&path, &[("cookie", &*joined.cookies)]).await.unwrap();
        greet(&mut socket, &joined.token).await.map(|()| socket)
    }

    async fn media(&mut self, joined: &Joined) -> Socket {
        let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
        self.socket(&path, &[("cookie", &*joined.cookies)]).await.unwrap()
    }
}

fn empty() -> AnyBody {
    Empty::<Bytes>::new().boxed_unsync()
}

/// Whether the other side gives a message back.
async fn echoes(socket: &mut Socket, text: &str) -> bool {
    if socket.send(Message::text(text)).await.is_err() {
        return false;
    }
    loop {
        match timeout(DEADLINE, socket.next()).await.expect("no echo") {
            Some(Ok(Message::Text(got))) if got.contains(text) => return true,
            Some(Ok(_)) => {}
            _ => return false,
        }
    }
}

/// A stage where sockets may come over HTTP/2, with further tables in its file.
async fn stage_with(tables: &str) -> Stage {
    let plan = Plan::new().server("members").tenant(TENANT, "multi-account").tenant("heron", "multi-account");
    let change = async |text: String, _: &[_]| {
        format!("{}\n{tables}\n", text.replace("[listen]\n", "[listen]\nhttp2_websockets = true\n"))
    };
    plan.start_changed(change).await
}

async fn stage() -> Stage {
    stage_with("").await
}

async fn in_a_meeting(stage: &Stage) -> Joined {
    stage.create(TENANT, "room").await;
    stage.joined(TENANT, "room", "Ada").await
}

#[tokio::test(flavor = "multi_thread")]
async fn page_and_sockets_share_a_connection() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    eventually("no connection is left", async || stage.metric("anteroom_connection_places", &[]).await == 0).await;
    let mut page = Page::open(&stage, TENANT).await;
    let mut graphql = page.graphql(&joined).await.unwrap();
    let mut media = page.media(&joined).await;
    assert!(echoes(&mut media, "hello").await);
    // As one that came by HTTP/1.1, for the server.
    let log = stage.sims[0].log();
    for path in ["/graphql", "/bbb-webrtc-sfu"] {
        let seen = log.iter().find(|seen| seen.path.ends_with(path)).expect(path);
        assert_eq!((&*seen.method, seen.header("upgrade")), ("GET", Some("websocket")), "{seen:?}");
        assert_eq!(seen.header("sec-websocket-key").map(str::len), Some(24), "{seen:?}");
    }
    let path = format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token);
    assert_eq!(page.get(&path).await.unwrap(), 200);
    assert_eq!(stage.on_server(TENANT, "room").unwrap().users_online, 1);
    assert_eq!(stage.metric("anteroom_open_connections", &[]).await, 1);
    // The first socket has that of its connection: each has a connection to the server.
    assert_eq!(stage.metric("anteroom_connection_places", &[]).await, 2);
    assert_eq!(stage.metric("anteroom_open_sockets", &[TENANT]).await, 2);

    graphql.close(None).await.unwrap();
    eventually("the seat's socket is closed", async || stage.on_server(TENANT, "room").unwrap().users_online == 0)
        .await;
    assert!(echoes(&mut media, "still here").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_over_http1_is_refused_over_http2() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let graphql = format!("{}/graphql", joined.prefix);
    let foreign = page.socket(&graphql, &[("origin", "https://elsewhere.example")]).await.unwrap_err();
    assert_eq!(foreign.status(), 403);
    let own = format!("https://{}", host(TENANT));
    assert!(page.socket(&graphql, &[("origin", &own)]).await.is_ok());
    let media = format!("{}/bbb-webrtc-sfu?sessionToken=none", joined.prefix);
    assert!(page.socket(&media, &[]).await.unwrap_err().status().is_client_error());
    let no_socket = format!("{}/html5client/", joined.prefix);
    assert_eq!(page.socket(&no_socket, &[("cookie", &joined.cookies)]).await.unwrap_err().status(), 400);

    let mut other = Page::open(&stage, "heron").await;
    let mut socket = other.socket("/graphql", &[("cookie", &joined.cookies)]).await.unwrap();
    let refused = greet(&mut socket, &joined.token).await.unwrap_err();
    assert!(refused.contains("4403"), "{refused}");
    let media = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    assert!(other.socket(&media, &[("cookie", &joined.cookies)]).await.unwrap_err().status().is_client_error());
    assert_eq!(stage.on_server(TENANT, "room").unwrap().users_online, 0);

    for protocol in [None, Some("connect-udp")] {
        assert_eq!(page.connect(protocol, &graphql, &[]).await.unwrap().status(), 405, "{protocol:?}");
    }
    // What is answered as a call is no socket either.
    let call = page.socket("/bigbluebutton/api/getMeetings", &[]).await.unwrap_err();
    assert_eq!(call.status(), 400);
    let failed = stage.metric("anteroom_refusals_total", &[TENANT, "checksumError"]).await;
    assert_eq!(failed, 1, "it is counted as the call that it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_or_stalls_is_nothing_to_the_others() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let graphql = page.graphql(&joined).await.unwrap();
    let (mut media, mut stalled) = (page.media(&joined).await, page.media(&joined).await);
    // Reset, not closed.
    drop(graphql);
    eventually("its socket is gone", async || stage.on_server(TENANT, "room").unwrap().users_online == 0).await;
    assert!(echoes(&mut media, "one").await);

    // What comes back is not read: the gateway stops reading from the server.
    let much = "x".repeat(10_000);
    while let Ok(sent) = timeout(Duration::from_millis(500), stalled.send(Message::text(&*much))).await {
        sent.unwrap();
    }
    for n in 0..50 {
        assert!(echoes(&mut media, &format!("message {n}")).await);
    }
    assert_eq!(page.get("/robots.txt").await.unwrap(), 200);
    assert!(page.graphql(&joined).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_socket_is_not_idle_and_one_without_is() {
    let stage = stage_with("[connections]\nidle_timeout = \"1s\"\n").await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let mut media = page.media(&joined).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(echoes(&mut media, "after four idle times").await);
    drop(media);
    eventually("the connection ends", async || page.sender.is_closed()).await;
    assert!(stage.metric("anteroom_connections_closed_total", &["reason=\"idle\""]).await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_and_resets_sockets_without_end_is_cut() {
    let stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let graphql = format!("{}/graphql", joined.prefix);
    for _ in 0..2000 {
        match page.connect(Some("websocket"), &graphql, &[]).await {
            Ok(response) => drop(upgrade::on(response).await),
            Err(_) => break,
        }
    }
    eventually("it is cut", async || {
        stage.metric("anteroom_connections_closed_total", &["reason=\"resets\""]).await == 1
    })
    .await;
    assert!(Page::open(&stage, TENANT).await.graphql(&joined).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_socket_but_the_first_needs_a_place_of_its_own() {
    let stage = stage_with("[connections]\nper_address = 2\n").await;
    let joined = in_a_meeting(&stage).await;
    eventually("no connection is left", async || stage.metric("anteroom_connection_places", &[]).await == 0).await;
    let mut page = Page::open(&stage, TENANT).await;
    let (_graphql, media) = (page.graphql(&joined).await.unwrap(), page.media(&joined).await);
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    let refused = page.socket(&path, &[("cookie", &joined.cookies)]).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(page.get("/robots.txt").await.unwrap(), 200, "the connection goes on");
    drop(media);
    eventually("there is a place again", async || page.socket(&path, &[("cookie", &joined.cookies)]).await.is_ok())
        .await;
}

/// Its windows are closed, so that not even the end of the socket can be sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_keeps_no_place() {
    let stage = stage_with("[connections]\nidle_timeout = \"1s\"\n").await;
    let joined = in_a_meeting(&stage).await;
    let stream = connect(&stage, &host(TENANT), "127.0.0.1", &["h2"]).await;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut page = Page { sender, host: host(TENANT) };
    page.sender.ready().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut socket = page.socket(&format!("{}/graphql", joined.prefix), &[]).await.unwrap();
    socket.send(Message::text("no first message of GraphQL")).await.unwrap();
    eventually_within(3 * DEADLINE, "its place is free", async || {
        stage.metric("anteroom_connection_places", &[]).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_over_http2_are_off_where_nothing_is_said() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let graphql = format!("{}/graphql", joined.prefix);
    assert!(page.connect(Some("websocket"), &graphql, &[]).await.is_err(), "it is not offered");
    assert!(stage.graphql(TENANT, &joined).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_leaves_the_sockets_for_the_grace() {
    let mut stage = stage().await;
    let joined = in_a_meeting(&stage).await;
    let mut page = Page::open(&stage, TENANT).await;
    let mut media = page.media(&joined).await;
    let stopping = tokio::spawn(stage.app.take().unwrap().stop(DEADLINE));
    eventually("the connection takes no new request", async || page.get("/robots.txt").await.is_err()).await;
    assert!(echoes(&mut media, "still here").await);
    assert!(!stopping.is_finished());
    drop(media);
    assert!(stopping.await.unwrap(), "nothing was left open");
}
