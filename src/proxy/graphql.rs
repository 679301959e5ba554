//! The GraphQL socket, which names its session in its first frame. The gateway accepts it by itself and asks the server only
//! when that frame has been read and found to be of this tenant: a caller without a session costs a server nothing.

use std::{io, sync::Arc, time::Duration};

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
    downstream::Browser,
    frame::{FIRST_FRAME_TIMEOUT, close, read_first},
    gateway::Gateway,
    headers::to_server,
    joined::{Socket, room_for},
    lobby::{self, Left},
    refusal, session_token,
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

/// For the Close frame of a socket that is not carried.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that waits for its turn sends a few heartbeats.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The answer to a browser whose socket ends before it is carried.
struct Close {
    /// Of the Close frame; `None` where one of the ends has closed it.
    code: Option<u16>,
    reason: &'static str,
    end: SocketEnd,
    /// The denial that it is counted as.
    denial: Option<Denial>,
}

impl Close {
    fn refused(denial: Denial) -> Self {
        Self { code: Some(CLOSE_FORBIDDEN), reason: denial.key(), end: SocketEnd::Refused, denial: Some(denial) }
    }

    fn try_again(denial: Denial) -> Self {
        Self { code: Some(CLOSE_TRY_AGAIN), reason: denial.key(), end: SocketEnd::TryAgain, denial: Some(denial) }
    }

    fn timeout() -> Self {
        Self { code: Some(CLOSE_TRY_AGAIN), reason: "timeout", end: SocketEnd::TryAgain, denial: None }
    }

    fn invalid(code: u16, reason: &'static str) -> Self {
        Self { code: Some(code), reason, end: SocketEnd::Invalid, denial: None }
    }

    fn by(side: Side) -> Self {
        Self { code: None, reason: "gone", end: side.into(), denial: None }
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
    let room = match room_for(gateway, &asked) {
        Ok(room) => room,
        Err(denial) => return refusal::refuse(gateway, &asked, Call::Socket, denial),
    };
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
    let socket = Socket::new(gateway, asked, room);
    tokio::spawn(context.scope(Box::pin(opened(socket, browser, wanted)).instrument(span)));
    Answer::new(Call::Socket, Outcome::Ok, response)
}

/// Opens a GraphQL socket and has it carried, or closes it.
async fn opened(socket: Socket, browser: OnUpgrade, wanted: Wanted) {
    let Some(mut browser) = browser.await.ok().and_then(|browser| browser_of(browser, &socket)) else {
        return socket.given_up();
    };
    let Close { code, reason, end, denial } = match open(&socket, &mut browser, wanted).await {
        Ok(Opened { end, present, frames }) => {
            // A task of its own: the memory of this one is freed.
            tokio::spawn(socket.carry(browser, end, Some(present), frames));
            return;
        }
        Err(close) => close,
    };
    socket.metrics.socket_ends.count(end);
    if end == SocketEnd::Client {
        socket.given_up();
    }
    denial.into_iter().for_each(|denial| socket.metrics.count_denial(denial));
    tracing::info!(end = end.as_str(), reason, "GraphQL socket refused");
    let closed = async {
        if let Some(code) = code {
            browser.io.write_all(&close(code, reason)).await?;
        }
        browser.io.shutdown().await
    };
    // Of one who takes nothing, nothing is kept.
    let _ = timeout(CLOSE_TIMEOUT, closed).await;
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
    end: End<Box<Stream>>,
    present: Present,
    frames: Option<Box<TextFrames>>,
}

/// Reads the first frame of a GraphQL socket, takes the seat of the session that it names, and asks its server.
async fn open(socket: &Socket, browser: &mut End<Browser>, wanted: Wanted) -> Result<Opened, Close> {
    let gateway = &socket.gateway;
    let read = std::mem::take(&mut browser.read);
    let first = timeout(FIRST_FRAME_TIMEOUT, read_first(&mut browser.io, read))
        .await
        .map_err(|_| Close::timeout())?
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Close::invalid(CLOSE_FORBIDDEN, "malformed"),
            _ => Close::by(Side::Browser),
        })?;
    browser.read = first.bytes;
    let (token, account) = (hash(&first.token), (&socket.tenant.id, wanted.peer));
    let session = find::session(&gateway.meetings, account, &token)
        .await
        .map_err(Close::try_again)?
        .filter(|session| session.meeting.tenant == socket.tenant.id)
        .filter(|session| wanted.at.as_ref().is_none_or(|at| session.meeting.server == *at))
        .ok_or_else(|| unknown_session(socket, wanted.peer))?;
    let unavailable = Close::try_again(Denial::ServerUnavailable);
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
            turn.map_err(Close::try_again)
        }
        () = gone(&mut browser.io, &mut read) => Err(Close::by(Side::Browser)),
    };
    browser.read = read.freeze();
    turn?;
    let mut headers = wanted.headers;
    let owner = Owner::new(&socket.tenant, &server.slug);
    let cookies = gateway.binding.cookies_for(&headers, owner, Some(session.id), gateway.meetings.clock.now());
    to_server(&mut headers, server, cookies);
    let to = address(&server.upstream, &wanted.path, None);
    let opened = gateway.meetings.backends.upgrade(server, to, headers).await;
    let (response, upgraded) = opened.map_err(|error| Close::try_again(error.denial()))?;
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

/// Carries the socket of a guest who waits, until that is over: a seat is taken when the server has said that the guest is let
/// in, and before it hears that the guest comes in.
async fn let_in(
    socket: &Socket,
    browser: &mut End<Browser>,
    server: &mut End<Box<Stream>>,
    frames: &mut Option<Box<TextFrames>>,
    session: &Arc<Session>,
) -> Result<Present, Close> {
    browser.io.notice_loss();
    notice_loss(server.io.tcp());
    let read = (std::mem::take(&mut browser.read), std::mem::take(&mut server.read));
    let (left, carried) = lobby::wait(&mut browser.io, &mut server.io, read, frames).await;
    socket.metrics.count_bytes(carried.up, carried.down);
    match left {
        Left::ComesIn(first) => browser.read = first,
        Left::Unanswered => {
            tracing::warn!(server = %session.meeting.server, "server has not said whether a guest is let in");
            return Err(Close::try_again(Denial::ServerUnavailable));
        }
        Left::Closed(side) => return Err(Close::by(side)),
        Left::TooLarge => return Err(Close::invalid(CLOSE_TOO_BIG, "a message of a guest who waits is too large")),
        Left::Malformed => return Err(Close::invalid(CLOSE_PROTOCOL, "malformed")),
    }
    seats::open(&socket.gateway.meetings, session).await.map_err(|denial| {
        let server = &session.meeting.server;
        tracing::info!(%server, reason = denial.key(), "no seat for an admitted guest");
        without_seat(denial)
    })
}

/// A client takes the one as final, and tries again after the other.
fn unknown_session(socket: &Socket, peer: Peer) -> Close {
    if socket.gateway.net.rates.allow(RateOf::UnknownSessions, peer) {
        Close::refused(Denial::UnknownSession)
    } else {
        Close::try_again(Denial::RateLimited)
    }
}

/// There is no seat. For BBB's client that is final, but not if it is only unknown.
fn without_seat(denial: Denial) -> Close {
    match denial {
        Denial::StoreUnavailable | Denial::RateLimited => Close::try_again(denial),
        _ => Close::refused(denial),
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
