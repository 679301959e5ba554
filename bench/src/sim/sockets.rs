//! The WebSockets: who may open one, and what they have in common. Each echo tells what the request looked like when it
//! arrived, so that the way it took can be asserted.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Shared, answer, session, stopped, wall_ms};

mod echo;
mod graphql;
pub(super) mod livekit;
mod member;
mod notes;
mod sockjs;

const PAD_PAGE: &str = include_str!("pad/index.html");
const PAD_SCRIPT: &str = include_str!("pad/pad.js");

/// Read limit of graphql-middleware.
const GRAPHQL_MESSAGE_BYTES_MAX: usize = 10 << 20;

/// bbb-webrtc-sfu's `wsServerOptions.maxPayload`.
const SFU_MESSAGE_BYTES_MAX: usize = 51_200;

/// How often bbb-webrtc-sfu pings.
const SFU_PING_INTERVAL: Duration = Duration::from_secs(20);

/// After a close that the server began, so long until the connection is dropped: the other side is to read the code first.
const CLOSE_LINGER: Duration = Duration::from_millis(200);

/// `/graphql`: the token comes in the first frame, so only the origin is checked here.
pub(crate) async fn graphql(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    if !is_same_origin(&parts.headers) {
        return answer::page(StatusCode::FORBIDDEN);
    }
    let upgrade = match upgrade(parts).await {
        Ok(upgrade) => upgrade.protocols(["graphql-transport-ws"]),
        Err(refusal) => return refusal,
    };
    let upgrade = upgrade.max_message_size(GRAPHQL_MESSAGE_BYTES_MAX).max_frame_size(GRAPHQL_MESSAGE_BYTES_MAX);
    let seen = seen(parts, &shared);
    let http_sessions = session::http_sessions(&parts.headers);
    let mut lifeline = Lifeline::new(&shared);
    upgrade.on_upgrade(async move |socket| {
        tokio::select! {
            biased;
            () = lifeline.cut() => {}
            () = graphql::run(socket, shared, seen, http_sessions) => {}
        }
    })
}

/// `/html5client/sockjs/*` of 2.7: what comes in says nothing of the session, so nothing is checked here.
pub(crate) async fn sockjs(path: &str, parts: &mut Parts, shared: Arc<Shared>) -> Response {
    let segments: Vec<&str> = path.split('/').collect();
    match segments[..] {
        ["info"] => {
            let info = json!({ "websocket": true, "origins": ["*:*"], "cookie_needed": false, "entropy": wall_ms() });
            return answer::json(&info);
        }
        [server, _, "websocket"] if server.len() == 3 && server.bytes().all(|byte| byte.is_ascii_digit()) => {}
        _ => return answer::page(StatusCode::NOT_FOUND),
    }
    let upgrade = match upgrade(parts).await {
        Ok(upgrade) => upgrade,
        Err(refusal) => return refusal,
    };
    let seen = seen(parts, &shared);
    let mut lifeline = Lifeline::new(&shared);
    upgrade.on_upgrade(async move |socket| {
        tokio::select! {
            biased;
            () = lifeline.cut() => {}
            () = sockjs::run(socket, shared, seen) => {}
        }
    })
}

/// `/bbb-webrtc-sfu`: small messages, pings from the server.
pub(crate) async fn sfu(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    let ping = shared.pace.scale(SFU_PING_INTERVAL);
    echoing(parts, shared, Kind { message_bytes_max: SFU_MESSAGE_BYTES_MAX, ping: Some(ping), protocol: None }).await
}

/// `/ws`: SIP over WebSocket.
pub(crate) async fn sip(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    echoing(parts, shared, Kind { message_bytes_max: 1 << 20, ping: None, protocol: Some("sip") }).await
}

/// `/pad/*`: a pad of etherpad, its files, and its socket. Without https in front its cookies would not be secure.
pub(crate) async fn pad(path: &str, parts: &mut Parts, shared: Arc<Shared>) -> Response {
    if parts.headers.contains_key("sec-websocket-key") {
        return notes(parts, shared).await;
    }
    match path.split_once('/') {
        Some(("static", "js/pad.js")) => return answer::text(StatusCode::OK, "application/javascript", PAD_SCRIPT),
        Some(("static", _)) => return answer::page(StatusCode::NOT_FOUND),
        _ => {}
    }
    match authorize(parts, &shared) {
        Some(_) if parts.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https") => {
            answer::text(StatusCode::OK, "text/html;charset=utf-8", PAD_PAGE)
        }
        Some(_) => answer::page(StatusCode::BAD_REQUEST),
        None => answer::page(StatusCode::UNAUTHORIZED),
    }
}

/// The socket of a pad: each text that is no note is echoed.
async fn notes(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    let Some((ended, seen)) = authorize(parts, &shared) else {
        return answer::page(StatusCode::UNAUTHORIZED);
    };
    let token = session::query_token(parts.uri.query()).unwrap_or_default();
    let meeting = shared.world().session(&token).map(|(meeting, _)| meeting.int_id.clone()).unwrap_or_default();
    let upgrade = match upgrade(parts).await {
        Ok(upgrade) => upgrade,
        Err(refusal) => return refusal,
    };
    let mut lifeline = Lifeline::new(&shared);
    upgrade.on_upgrade(async move |socket| {
        tokio::select! {
            biased;
            () = lifeline.cut() => {}
            () = notes::run(socket, shared, meeting, seen, ended) => {}
        }
    })
}

/// `/hocuspocus/*`, which a session admits to: an echo.
pub(crate) async fn hocuspocus(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    echoing(parts, shared, Kind { message_bytes_max: 1 << 20, ping: None, protocol: None }).await
}

/// How echoing sockets differ.
struct Kind {
    message_bytes_max: usize,
    ping: Option<Duration>,
    protocol: Option<&'static str>,
}

async fn echoing(parts: &mut Parts, shared: Arc<Shared>, kind: Kind) -> Response {
    let Some((ended, seen)) = authorize(parts, &shared) else {
        return answer::page(StatusCode::UNAUTHORIZED);
    };
    let upgrade = match upgrade(parts).await {
        Ok(upgrade) => upgrade.protocols(kind.protocol),
        Err(refusal) => return refusal,
    };
    let upgrade = upgrade.max_message_size(kind.message_bytes_max).max_frame_size(kind.message_bytes_max);
    let mut lifeline = Lifeline::new(&shared);
    upgrade.on_upgrade(async move |socket| {
        tokio::select! {
            biased;
            () = lifeline.cut() => {}
            () = echo::run(socket, seen, kind.ping, ended) => {}
        }
    })
}

/// bbb-web's `checkAuthorization` by the token of the query: the meeting's end to wait for, and what was seen.
fn authorize(parts: &Parts, shared: &Shared) -> Option<(watch::Receiver<()>, Value)> {
    let token = session::query_token(parts.uri.query())?;
    let mut seen = seen(parts, shared);
    let world = shared.world();
    let (meeting, user) = world.authorize(&token, &session::http_sessions(&parts.headers))?;
    seen["sessionToken"] = token.into();
    seen["meetingID"] = meeting.ext_id.clone().into();
    seen["user"] = user.full_name.clone().into();
    Some((user.watch(), seen))
}

/// What the request looked like, without the values of cookies. Addresses stand there in two words, so that whoever leads
/// addresses elsewhere on the way back leaves them alone.
fn seen(parts: &Parts, shared: &Shared) -> Value {
    let in_words = |address: &str| address.replace("://", " ");
    let header = |name: &str| parts.headers.get(name).map(|value| in_words(&String::from_utf8_lossy(value.as_bytes())));
    json!({
        "server": in_words(&shared.config.server_url),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "host": header("host"),
        "origin": header("origin"),
        "cookies": session::cookie_names(&parts.headers),
        "xForwardedFor": header("x-forwarded-for"),
        "xForwardedProto": header("x-forwarded-proto"),
    })
}

async fn upgrade(parts: &mut Parts) -> Result<WebSocketUpgrade, Response> {
    WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)
}

/// Whether the host of `Origin` is that of `Host`; ports are not compared, as nginx takes them off. Callers that are no
/// browsers send no `Origin`.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (origin, host) {
        (Some((_, origin)), Some(host)) => without_port(origin).eq_ignore_ascii_case(without_port(host)),
        _ => false,
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Tells an open socket when it is to be cut, and the server that it is open.
struct Lifeline {
    cuts: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    _open: watch::Receiver<()>,
}

impl Lifeline {
    fn new(shared: &Shared) -> Self {
        Self {
            cuts: shared.faults.socket_cuts(),
            stop: shared.stop.subscribe(),
            _open: shared.open_sockets.subscribe(),
        }
    }

    async fn cut(&mut self) {
        tokio::select! {
            _ = self.cuts.changed() => {}
            () = stopped(&mut self.stop) => {}
        }
    }
}

/// Closes from this side. The other side may be gone already, which makes no difference.
async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        tokio::time::sleep(CLOSE_LINGER).await;
    }
}
