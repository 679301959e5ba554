//! The GraphQL socket, which names its session in its first frame. The gateway accepts it by itself and asks the server only
//! when that frame has been read and found to be of this tenant: a caller without a session costs a server nothing.

use std::{io, sync::Arc};

use bytes::BytesMut;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL},
};
use hyper::upgrade::OnUpgrade;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tracing::Instrument as _;

use super::{
    answer::Answer,
    asked::{Asked, address},
    cookies::Owner,
    downstream::Downstream,
    frame::{FIRST_FRAME_TIMEOUT, close, read_first},
    gateway::Gateway,
    headers::to_server,
    joined::Socket,
    lobby::{self, Left},
    session_token,
    text_frames::TextFrames,
    tunnel::Side,
    upgrade::{End, accept_of, browser_of, frames, no_upgrade, passed_on, refused, set_upgrade, taken},
};
use crate::{
    domain::{denial::Denial, directory::Directory, ids::ServerId, tenant::Server},
    live::sessions::{Session, hash},
    meetings::{find, rows::Present, seats},
    metrics::{Call, Outcome, SocketEnd},
    net::{peer::Peer, rates::RateOf, socket::notice_loss},
    upstream::{Body, Stream},
};

/// What BBB's client takes as final (docs/reference/bbb-protocol.md, "Page load of 3.0").
const CLOSE_FORBIDDEN: u16 = 4403;

/// All else makes it try again: "try again later" of the registry of RFC 6455.
const CLOSE_TRY_AGAIN: u16 = 1013;

/// What BBB's GraphQL speaks.
const GRAPHQL_PROTOCOL: &str = "graphql-transport-ws";

/// A client that waits for its turn sends a few heartbeats.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// How a socket ends before it is carried: the answer to its browser.
struct Closed {
    /// Of the Close frame; `None` where one of the ends has closed it.
    code: Option<u16>,
    reason: &'static str,
    end: SocketEnd,
}

impl Closed {
    fn refused(reason: &'static str) -> Self {
        Self { code: Some(CLOSE_FORBIDDEN), reason, end: SocketEnd::Refused }
    }

    fn try_again(reason: &'static str) -> Self {
        Self { code: Some(CLOSE_TRY_AGAIN), reason, end: SocketEnd::TryAgain }
    }

    fn invalid(code: u16, reason: &'static str) -> Self {
        Self { code: Some(code), reason, end: SocketEnd::Invalid }
    }

    fn by(side: Side) -> Self {
        Self { code: None, reason: "gone", end: side.into() }
    }
}

/// "Message too big" and "protocol error" of RFC 6455, 7.4.1.
const CLOSE_TOO_BIG: u16 = 1009;

const CLOSE_PROTOCOL: u16 = 1002;

/// Accepts a GraphQL socket; its server, which is `at` where its path has named one, is asked when its session is known.
pub(crate) fn graphql(gateway: &Arc<Gateway>, mut asked: Asked, at: Option<&Server>, path: &str) -> Answer {
    if let Some(refused) = refused(&asked) {
        return refused;
    }
    let mut headers = passed_on(&asked);
    // Its first frame names the session, and nothing else does.
    session_token::strip(&mut headers);
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let (Some(browser), Some(key)) = (asked.head.extensions.remove::<OnUpgrade>(), key) else {
        return no_upgrade();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    set_upgrade(response.headers_mut());
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept_of(&key));
    let mut protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if protocols.any(|offered| offered.split(',').any(|protocol| protocol.trim() == GRAPHQL_PROTOCOL)) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(GRAPHQL_PROTOCOL));
    }
    let wanted = Wanted {
        headers,
        at: at.map(|server| server.id.clone()),
        path: path.to_owned(),
        authority: asked.authority.clone(),
        peer: asked.peer(),
        directory: Arc::clone(&asked.directory),
    };
    let (context, span) = (asked.context(), asked.socket_span());
    let socket = Socket::new(gateway, asked);
    tokio::spawn(async move {
        let Some(mut browser) = browser.await.ok().and_then(browser_of) else { return };
        // Boxed: the memory of the opening is freed before the socket is carried.
        match context.scope(Box::pin(open(&socket, &mut browser, wanted)).instrument(span)).await {
            Ok(Opened { end, present, frames }) => socket.carry(browser, end, Some(present), frames).await,
            Err(Closed { code, reason, end }) => {
                socket.metrics.count_socket_end(end);
                Denial::ALL
                    .iter()
                    .filter(|denial| denial.key() == reason)
                    .for_each(|denial| socket.metrics.count_denial(*denial));
                let (tenant, request) = (&socket.tenant.id, &socket.request_id);
                tracing::info!(%tenant, %request, end = end.as_str(), reason, "GraphQL socket refused");
                if let Some(code) = code {
                    let _ = browser.io.write_all(&close(code, reason)).await;
                }
                let _ = browser.io.shutdown().await;
            }
        }
    });
    Answer::new(Call::Socket, Outcome::Ok, response)
}

/// What a GraphQL socket is asked for with.
struct Wanted {
    /// Those of its request that go on.
    headers: HeaderMap,
    /// The server that its path has named.
    at: Option<ServerId>,
    path: String,
    /// The tenant's host, as the browser wrote it.
    authority: String,
    directory: Arc<Directory>,
    /// On whose account its session is looked for.
    peer: Peer,
}

/// The other end of a GraphQL socket.
struct Opened {
    end: End<Stream>,
    present: Present,
    frames: Option<Box<TextFrames>>,
}

/// Reads the first frame of a GraphQL socket, takes the seat of the session that it names, and asks its server.
async fn open(socket: &Socket, browser: &mut End<Downstream>, wanted: Wanted) -> Result<Opened, Closed> {
    let gateway = &socket.gateway;
    let read = std::mem::take(&mut browser.read);
    let first = timeout(FIRST_FRAME_TIMEOUT, read_first(&mut browser.io, read))
        .await
        .map_err(|_| Closed::try_again("timeout"))?
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Closed::invalid(CLOSE_FORBIDDEN, "malformed"),
            _ => Closed::by(Side::Browser),
        })?;
    browser.read = first.bytes;
    let (token, account) = (hash(&first.token), (&socket.tenant.id, wanted.peer));
    let session = find::session(&gateway.meetings, account, &token)
        .await
        .map_err(|denial| Closed::try_again(denial.key()))?
        .filter(|session| session.meeting.tenant == socket.tenant.id)
        .filter(|session| wanted.at.as_ref().is_none_or(|at| session.meeting.server == *at))
        .ok_or_else(|| unknown_session(socket, wanted.peer))?;
    let unavailable = Closed::try_again(Denial::ServerUnavailable.key());
    let Some(server) = wanted.directory.server(session.meeting.server.as_str()) else { return Err(unavailable) };
    let present = if find::is_waiting(&gateway.meetings, account, &session, &token).await {
        session.open_other()
    } else {
        seats::open(&gateway.meetings, &session).await
    };
    let mut present = present.map_err(without_seat)?;
    // After an outage all clients of a server come at once, and it takes only so many in a second.
    let state = gateway.meetings.live.servers.of(&server.id);
    let mut read = BytesMut::from(std::mem::take(&mut browser.read));
    let turn = tokio::select! {
        turn = state.sockets.turn(&session.meeting.tenant, session.meeting.id, server.sockets_per_second) => {
            turn.map_err(|denial| Closed::try_again(denial.key()))
        }
        () = gone(&mut browser.io, &mut read) => Err(Closed::by(Side::Browser)),
    };
    browser.read = read.freeze();
    turn?;
    let mut headers = wanted.headers;
    let owner = Owner::new(&socket.tenant, &server.slug);
    let cookies = gateway.binding.cookies_for(&headers, owner, Some(session.id), gateway.meetings.clock.now());
    to_server(&mut headers, server, cookies);
    let to = address(&server.upstream, &wanted.path, None);
    let opened = gateway.meetings.backends.upgrade(server, to, headers).await;
    let (response, upgraded) = opened.map_err(|error| Closed::try_again(error.denial().key()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        tracing::warn!(server = %server.id, status = %response.status(), "server refused a GraphQL socket");
        return Err(unavailable);
    }
    let Some(mut end) = upgraded.await.ok().and_then(taken) else { return Err(unavailable) };
    let mut frames = frames(server, &wanted.authority);
    if present.seated().is_none() {
        present = let_in(socket, browser, &mut end, &mut frames, &session).await?;
    }
    Ok(Opened { end, present, frames })
}

/// Carries the socket of a guest who waits, until that is over: a seat is taken before the server hears that the guest
/// comes in.
async fn let_in(
    socket: &Socket,
    browser: &mut End<Downstream>,
    server: &mut End<Stream>,
    frames: &mut Option<Box<TextFrames>>,
    session: &Arc<Session>,
) -> Result<Present, Closed> {
    [browser.io.get_ref().0.inner(), server.io.tcp()].into_iter().for_each(notice_loss);
    let read = (std::mem::take(&mut browser.read), std::mem::take(&mut server.read));
    let (left, carried) = lobby::wait(&mut browser.io, &mut server.io, read, frames).await;
    socket.metrics.count_bytes(carried.up, carried.down);
    match left {
        Left::ComesIn(first) => browser.read = first,
        Left::Closed(side) => return Err(Closed::by(side)),
        Left::TooLarge => return Err(Closed::invalid(CLOSE_TOO_BIG, "a message of a guest who waits is too large")),
        Left::Malformed => return Err(Closed::invalid(CLOSE_PROTOCOL, "malformed")),
    }
    seats::open(&socket.gateway.meetings, session).await.map_err(|denial| {
        let server = &session.meeting.server;
        tracing::info!(%server, reason = denial.key(), "no seat for an admitted guest");
        without_seat(denial)
    })
}

/// A client takes the one as final, and tries again after the other.
fn unknown_session(socket: &Socket, peer: Peer) -> Closed {
    if socket.gateway.net.rates.allow(RateOf::UnknownSessions, peer) {
        Closed::refused(Denial::UnknownSession.key())
    } else {
        Closed::try_again(Denial::RateLimited.key())
    }
}

/// There is no seat. For BBB's client that is final, but not if it is only unknown.
fn without_seat(denial: Denial) -> Closed {
    match denial {
        Denial::StoreUnavailable | Denial::RateLimited => Closed::try_again(denial.key()),
        _ => Closed::refused(denial.key()),
    }
}

/// Ends when a browser has gone. What it sends meanwhile is kept, up to a bound.
async fn gone(browser: &mut (impl AsyncRead + Unpin), read: &mut BytesMut) {
    while read.len() < WAITING_BYTES_MAX {
        if browser.read_buf(read).await.is_ok_and(|n| n > 0) {
            continue;
        }
        return;
    }
    std::future::pending().await
}
