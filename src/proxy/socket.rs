//! WebSockets: opened in HTTP, then taken out of it and carried by a tunnel.
//!
//! The GraphQL socket names its session in its first frame. The gateway accepts it by itself and asks the server only when
//! that frame has been read and found to be of this tenant: whoever has no session costs a server nothing. All other
//! sockets name their session in the query, and are accepted when the server has accepted them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, UPGRADE,
    },
};
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tracing::Instrument as _;

use super::{
    Gateway,
    accept::Downstream,
    answer::{Answer, text},
    answered::{Home, of_frontend},
    asked::{Asked, address},
    carry::{Target, prefix},
    cookies::Owner,
    frame::{FIRST_FRAME_TIMEOUT, close, read_first},
    headers::{remove_hop_by_hop, set_forwarded, to_server},
    lobby::{self, Left},
    session_token,
    text_frames::TextFrames,
    tunnel::{self, Side},
};
use crate::{
    domain::{
        denial::Denial,
        directory::Directory,
        ids::ServerId,
        tenant::{Server, Tenant, Upstream},
    },
    live::{
        clock::now_ms,
        pace::Full,
        sessions::{LEASE_MS, Present, Session, hash},
    },
    metrics::{Call, OpenSocket, Outcome, SocketEnd, TenantMetrics},
    net::{connections::Place, orderly::Orderly, peer::Peer, rates::RateOf, request_id::RequestId},
    upstream::{Body, OpenError, SendError, Stream, notice_loss},
};

/// A server that takes longer than that for a handshake is in trouble.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// What BBB's client takes as final (docs/reference/bbb-protocol.md, "Page load of 3.0").
const CLOSE_FORBIDDEN: u16 = 4403;
/// All else makes it try again: "try again later" of the registry of RFC 6455.
const CLOSE_TRY_AGAIN: u16 = 1013;
/// What BBB's GraphQL speaks.
const GRAPHQL_PROTOCOL: &str = "graphql-transport-ws";
/// A seat with less time left than this is promised anew: the note that somebody is present takes a moment.
const SEAT_MARGIN_MS: i64 = 5_000;

/// Where the socket of the 2.7 client is.
const SOCKJS: &str = "/html5client/sockjs/";
/// A client that waits for its turn sends a few heartbeats.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Why a server gave no WebSocket.
enum NoSocket {
    /// It cannot be reached.
    Connect,
    /// This machine has nothing left to open a connection with.
    Exhausted,
    /// It did not answer in time, or not in HTTP.
    Broken,
}

impl NoSocket {
    fn denial(&self) -> Denial {
        match self {
            Self::Exhausted => Denial::Overloaded,
            Self::Connect | Self::Broken => Denial::ServerUnavailable,
        }
    }
}

impl From<OpenError> for NoSocket {
    fn from(error: OpenError) -> Self {
        match SendError::from(error) {
            SendError::Exhausted => Self::Exhausted,
            SendError::Connect | SendError::Broken | SendError::Body(_) => Self::Connect,
        }
    }
}

/// A socket that is closed before it is carried: with this code and word, or without a frame where there is no code.
struct Closed(u16, &'static str);

impl Closed {
    fn end(&self) -> SocketEnd {
        match self.0 {
            NO_CODE => SocketEnd::Client,
            CLOSE_FORBIDDEN => SocketEnd::Refused,
            CLOSE_TOO_BIG | CLOSE_PROTOCOL => SocketEnd::Invalid,
            _ => SocketEnd::TryAgain,
        }
    }
}

/// No code: one of the ends has closed it, and the other has been told.
const NO_CODE: u16 = 0;
/// "Message too big" and "protocol error" of RFC 6455, 7.4.1.
const CLOSE_TOO_BIG: u16 = 1009;
const CLOSE_PROTOCOL: u16 = 1002;

/// There is no seat: for BBB's client that is final, but not that nobody can say.
fn without_seat(denial: Denial) -> Closed {
    match denial {
        Denial::StoreUnavailable | Denial::RateLimited => Closed(CLOSE_TRY_AGAIN, denial.key()),
        _ => Closed(CLOSE_FORBIDDEN, denial.key()),
    }
}

impl Gateway {
    /// Opens a WebSocket of a meeting that names its session in the query, or none.
    pub(crate) async fn socket(self: &Arc<Self>, asked: Asked, target: Target, path: &str) -> Answer {
        let Target { server, session } = target;
        if let Some(refused) = refused(&asked) {
            return refused.by(&server.id);
        }
        let open = match &session {
            Some(session) => match session.open_other() {
                Some(open) => Some(open),
                None => return self.refuse(&asked, Call::Socket, Denial::RateLimited).by(&server.id),
            },
            None => None,
        };
        let mut headers = passed_on(&asked);
        let owner = Owner::new(&asked.tenant, &server.slug);
        let session = session.map(|session| session.id);
        let cookies = self.binding.cookies_for(&headers, owner, session, asked.now);
        to_server(&mut headers, &server, cookies);
        let to = address(&server.upstream, path, asked.head.uri.query());
        // The client of 2.7 has its data from here.
        let frames = path.starts_with(SOCKJS).then(|| frames(&server, &asked.authority)).flatten();
        match self.handshake(&server.upstream, to, headers).await {
            Ok((response, upgraded)) => {
                let (authority, tenant, of) = (asked.authority.clone(), Arc::clone(&asked.tenant), Arc::clone(&server));
                let rewrite = move |headers: &mut HeaderMap| {
                    let home = Home { names: &of.names, authority: &authority, prefix: &prefix(&of) };
                    self.to_browser(headers, &of, &tenant, home);
                };
                self.join_ends(asked, response, upgraded, frames, open, rewrite).by(&server.id)
            }
            Err(error) => {
                if matches!(error, NoSocket::Connect) {
                    asked.failure_span().in_scope(|| self.unreachable(&server));
                }
                self.refuse(&asked, Call::Socket, error.denial()).by(&server.id)
            }
        }
    }

    /// Accepts a GraphQL socket; its server, which is `at` where its path has named one, is asked when its session is known.
    pub(crate) fn graphql(self: &Arc<Self>, mut asked: Asked, at: Option<&Server>, path: &str) -> Answer {
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
        let span = asked.socket_span();
        let socket = Socket::new(self, asked);
        tokio::spawn(async move {
            let Some(mut browser) = browser.await.ok().and_then(browser_of) else { return };
            // Boxed: what the opening needs is given back before the socket is carried.
            match Box::pin(socket.open(&mut browser, wanted).instrument(span)).await {
                Ok(Opened { end, present, frames }) => socket.carry(browser, end, Some(present), frames).await,
                Err(closed) => {
                    let (end, Closed(code, reason)) = (closed.end(), closed);
                    socket.metrics.count_socket_end(end);
                    Denial::ALL
                        .iter()
                        .filter(|denial| denial.key() == reason)
                        .for_each(|denial| socket.metrics.count_denial(*denial));
                    let (tenant, request) = (&socket.tenant.id, &socket.request_id);
                    tracing::info!(%tenant, %request, end = end.as_str(), reason, "GraphQL socket refused");
                    if code != NO_CODE {
                        let _ = browser.io.write_all(&close(code, reason)).await;
                    }
                    let _ = browser.io.shutdown().await;
                }
            }
        });
        Answer::new(Call::Socket, Outcome::Ok, response)
    }

    /// Opens a WebSocket of the tenant's frontend.
    pub(crate) async fn frontend_socket(
        self: &Arc<Self>,
        asked: Asked,
        frontend: Upstream,
        to: Uri,
        headers: HeaderMap,
    ) -> Answer {
        match self.handshake(&frontend, to, headers).await {
            Ok((response, upgraded)) => {
                let (authority, directory) = (asked.authority.clone(), Arc::clone(&asked.directory));
                let rewrite = move |headers: &mut HeaderMap| {
                    of_frontend(headers, &frontend, &authority, |slug| directory.server_of_slug(slug).is_some());
                };
                self.join_ends(asked, response, upgraded, None, None, rewrite)
            }
            Err(error) => self.refuse(&asked, Call::Socket, error.denial()),
        }
    }

    /// Asks a server for a WebSocket, on a connection of its own. `headers` are without those of one hop.
    async fn handshake(
        &self,
        server: &Upstream,
        to: Uri,
        mut headers: HeaderMap,
    ) -> Result<(Response<Incoming>, OnUpgrade), NoSocket> {
        // BBB's servers agree on no extension; what passes stays readable
        // (docs/reference/bbb-protocol.md, "GraphQL sockets").
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = to.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
        *request.headers_mut() = headers;
        let stream = self.pool.connector().connect(server).await?;
        let opened = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            // Ends with the upgrade, or with the answer that is none.
            tokio::spawn(connection.with_upgrades());
            let mut response = sender.send_request(request).await.ok()?;
            let upgraded = hyper::upgrade::on(&mut response);
            Some((response, upgraded))
        };
        timeout(HANDSHAKE_TIMEOUT, opened).await.ok().flatten().ok_or(NoSocket::Broken)
    }

    /// Answers as the server did; where that was a 101, both ends are joined once the answer is out.
    fn join_ends(
        self: &Arc<Self>,
        mut asked: Asked,
        response: Response<Incoming>,
        server: OnUpgrade,
        frames: Option<Box<TextFrames>>,
        open: Option<Present>,
        rewrite: impl FnOnce(&mut HeaderMap),
    ) -> Answer {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let mut response = response.map(|_| Body::empty());
        *response.version_mut() = Version::HTTP_11;
        rewrite(response.headers_mut());
        if !switched {
            // Its body is not looked at, and may name the server.
            let status = response.status();
            let outcome = if status.is_server_error() { Outcome::Failed } else { Outcome::Refused };
            let status = if status.is_success() { StatusCode::BAD_REQUEST } else { status };
            return Answer::new(Call::Socket, outcome, text(status, "text/plain", "There is no WebSocket.\n"));
        }
        let Some(browser) = asked.head.extensions.remove::<OnUpgrade>() else { return no_upgrade() };
        set_upgrade(response.headers_mut());
        let socket = Socket::new(self, asked);
        tokio::spawn(async move {
            let (Ok(browser), Ok(server)) = (browser.await, server.await) else { return };
            if let (Some(browser), Some(server)) = (browser_of(browser), taken(server)) {
                socket.carry(browser, server, open, frames).await;
            }
        });
        Answer::new(Call::Socket, Outcome::Ok, response)
    }
}

/// The headers that go on to whichever server it will be.
fn passed_on(asked: &Asked) -> HeaderMap {
    let mut headers = asked.head.headers.clone();
    remove_hop_by_hop(&mut headers);
    set_forwarded(&mut headers, &asked.connection.peer_value, "https", &asked.request_id);
    headers
}

/// What leads addresses in a server's frames to the tenant's host, unless that is not needed.
fn frames(server: &Arc<Server>, authority: &str) -> Option<Box<TextFrames>> {
    let frames = || Box::new(TextFrames::new(Arc::clone(server), authority, &prefix(server)));
    server.rewrites_frames.then(frames)
}

/// A socket that is refused before anything else is asked: of another site's page, or with a body.
fn refused(asked: &Asked) -> Option<Answer> {
    let headers = &asked.head.headers;
    let empty =
        headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0") && !headers.contains_key(TRANSFER_ENCODING);
    let (status, reason) = if !is_own_origin(asked) {
        (StatusCode::FORBIDDEN, "The origin is another site.\n")
    } else if !empty {
        (StatusCode::BAD_REQUEST, "A WebSocket is asked for without a body.\n")
    } else {
        return None;
    };
    Some(Answer::new(Call::Socket, Outcome::Refused, text(status, "text/plain", reason)))
}

fn no_upgrade() -> Answer {
    let refused = text(StatusCode::BAD_REQUEST, "text/plain", "No WebSocket here.\n");
    Answer::new(Call::Socket, Outcome::Refused, refused)
}

fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2).
///
/// # Panics
/// Never: base64 is a legal header.
fn accept_of(key: &HeaderValue) -> HeaderValue {
    let mut text = key.as_bytes().to_vec();
    text.extend(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref());
    HeaderValue::from_str(&accept).expect("base64 is a legal header")
}

/// One end, taken out of HTTP, with what had been read of it already. Boxed: a connection is some KB, and each future that
/// it is handed on to would keep a place of that size.
struct End<T> {
    io: Box<T>,
    read: Bytes,
}

fn taken<T>(upgraded: Upgraded) -> Option<End<T>>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let parts = upgraded.downcast::<TokioIo<T>>().ok()?;
    Some(End { io: Box::new(parts.io.into_inner()), read: parts.read_buf })
}

/// The end of a browser, which is closed by its tunnel from here on.
fn browser_of(upgraded: Upgraded) -> Option<End<Downstream>> {
    let End { io, read } = taken::<Orderly<Downstream>>(upgraded)?;
    Some(End { io: Box::new(io.into_inner()), read })
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

/// A socket that is open.
struct Socket {
    gateway: Arc<Gateway>,
    request_id: RequestId,
    tenant: Arc<Tenant>,
    metrics: Arc<TenantMetrics>,
    open: OpenSocket,
    place: Place,
}

impl Socket {
    fn new(gateway: &Arc<Gateway>, asked: Asked) -> Self {
        let metrics = gateway.metrics.tenant(&asked.tenant.id);
        Self {
            open: metrics.open_socket(),
            metrics,
            gateway: Arc::clone(gateway),
            request_id: asked.request_id,
            place: asked.connection.served.place().clone(),
            tenant: asked.tenant,
        }
    }

    /// Joins both ends for as long as they stay. `frames` rewrites what the server sends, where that is needed.
    async fn carry(
        self,
        browser: End<Downstream>,
        server: End<Stream>,
        present: Option<Present>,
        frames: Option<Box<TextFrames>>,
    ) {
        let Self { gateway, request_id, tenant, metrics, open, place } = self;
        drop((gateway, tenant));
        let opened = Instant::now();
        [browser.io.get_ref().0.inner(), server.io.tcp()].into_iter().for_each(notice_loss);
        let tunnel = tunnel::run(browser.io, server.io, browser.read, server.read, frames);
        let seated = present.as_ref().and_then(Present::seated);
        let (carried, end) = match seated {
            Some(session) => tokio::select! {
                (carried, side) = tunnel => (carried, side.into()),
                // The client tries again, and is told what has become of its seat.
                () = session.is_cut() => (tunnel::Carried::default(), SocketEnd::SeatLost),
            },
            None => {
                let (carried, side) = tunnel.await;
                (carried, side.into())
            }
        };
        metrics.count_bytes(carried.up, carried.down);
        if let Some(session) = seated {
            metrics.count_socket_end(end);
            log_end(session, &request_id, end, carried, opened);
        }
        drop((present, open, place));
    }

    /// A client takes the one as final, and tries again after the other.
    fn unknown_session(&self, peer: Peer) -> Closed {
        if self.gateway.net.rates.allow(RateOf::UnknownSessions, peer) {
            Closed(CLOSE_FORBIDDEN, Denial::UnknownSession.key())
        } else {
            Closed(CLOSE_TRY_AGAIN, Denial::RateLimited.key())
        }
    }

    /// Reads the first frame of a GraphQL socket, takes the seat of the session that it names, and asks its server.
    async fn open(&self, browser: &mut End<Downstream>, wanted: Wanted) -> Result<Opened, Closed> {
        let gateway = &self.gateway;
        let read = std::mem::take(&mut browser.read);
        let first = timeout(FIRST_FRAME_TIMEOUT, read_first(&mut browser.io, read))
            .await
            .map_err(|_| Closed(CLOSE_TRY_AGAIN, "timeout"))?
            .map_err(|_| Closed(CLOSE_FORBIDDEN, "malformed"))?;
        browser.read = first.bytes;
        let (token, account) = (hash(&first.token), (&self.tenant.id, wanted.peer));
        let session = gateway
            .session(account, &token)
            .await
            .map_err(|denial| Closed(CLOSE_TRY_AGAIN, denial.key()))?
            .filter(|session| session.meeting.tenant == self.tenant.id)
            .filter(|session| wanted.at.as_ref().is_none_or(|at| session.meeting.server == *at))
            .ok_or_else(|| self.unknown_session(wanted.peer))?;
        let unavailable = Closed(CLOSE_TRY_AGAIN, Denial::ServerUnavailable.key());
        let Some(server) = wanted.directory.server(session.meeting.server.as_str()) else { return Err(unavailable) };
        tracing::Span::current().record("server", tracing::field::display(&server.id));
        let present = if gateway.is_waiting(account, &session, &token).await {
            session.open_other().ok_or(Denial::RateLimited)
        } else {
            gateway.seat(&session).await
        };
        let mut present = present.map_err(without_seat)?;
        // After an outage all clients of a server come at once, and it takes only so many in a second.
        let state = gateway.live.servers.of(&server.id);
        let mut read = BytesMut::from(std::mem::take(&mut browser.read));
        let turn = tokio::select! {
            turn = state.sockets.turn(&session.meeting, server.sockets_per_second) => {
                turn.map_err(|Full| Closed(CLOSE_TRY_AGAIN, Denial::Overloaded.key()))
            }
            () = gone(&mut browser.io, &mut read) => Err(Closed(CLOSE_TRY_AGAIN, "gone")),
        };
        browser.read = read.freeze();
        turn?;
        let mut headers = wanted.headers;
        let owner = Owner::new(&self.tenant, &server.slug);
        let cookies = gateway.binding.cookies_for(&headers, owner, Some(session.id), now_ms());
        to_server(&mut headers, server, cookies);
        let to = address(&server.upstream, &wanted.path, None);
        let (response, upgraded) = match gateway.handshake(&server.upstream, to, headers).await {
            Ok(opened) => opened,
            Err(error) => {
                if matches!(error, NoSocket::Connect) {
                    gateway.unreachable(server);
                }
                return Err(Closed(CLOSE_TRY_AGAIN, error.denial().key()));
            }
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            tracing::warn!(server = %server.id, status = %response.status(), "server refused a GraphQL socket");
            return Err(unavailable);
        }
        let Some(mut end) = upgraded.await.ok().and_then(taken) else { return Err(unavailable) };
        let mut frames = frames(server, &wanted.authority);
        if present.seated().is_none() {
            present = self.let_in(browser, &mut end, &mut frames, &session).await?;
        }
        Ok(Opened { end, present, frames })
    }

    /// Carries the socket of a guest who waits, until that is over: a seat is taken before the server hears that the guest
    /// comes in.
    async fn let_in(
        &self,
        browser: &mut End<Downstream>,
        server: &mut End<Stream>,
        frames: &mut Option<Box<TextFrames>>,
        session: &Arc<Session>,
    ) -> Result<Present, Closed> {
        [browser.io.get_ref().0.inner(), server.io.tcp()].into_iter().for_each(notice_loss);
        let read = (std::mem::take(&mut browser.read), std::mem::take(&mut server.read));
        let (left, carried) = lobby::wait(&mut browser.io, &mut server.io, read, frames).await;
        self.metrics.count_bytes(carried.up, carried.down);
        match left {
            Left::ComesIn(first) => browser.read = first,
            Left::Closed => return Err(Closed(NO_CODE, "closed while a guest waited")),
            Left::TooLarge => return Err(Closed(CLOSE_TOO_BIG, "a message of a guest who waits is too large")),
            Left::Malformed => return Err(Closed(CLOSE_PROTOCOL, "malformed")),
        }
        self.gateway.seat(session).await.map_err(|denial| {
            tracing::info!(reason = denial.key(), "no seat for an admitted guest");
            without_seat(denial)
        })
    }
}

impl From<Side> for SocketEnd {
    fn from(side: Side) -> Self {
        match side {
            Side::Browser => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

/// Logs the end of a GraphQL socket: who closed it, after how long.
fn log_end(session: &Session, request: &RequestId, end: SocketEnd, carried: tunnel::Carried, opened: Instant) {
    let (meeting, seconds) = (&session.meeting, opened.elapsed().as_secs());
    let (tenant, server, tunnel::Carried { up, down }) = (&meeting.tenant, &meeting.server, carried);
    tracing::info!(%tenant, %request, %server, end = end.as_str(), seconds, up, down, "GraphQL socket closed");
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

impl Gateway {
    /// The seat of a session whose socket opens: its own, or, when that has lapsed, a new one if there is one. A session with too
    /// many sockets opens no more.
    async fn seat(&self, session: &Arc<Session>) -> Result<Present, Denial> {
        let now = now_ms();
        if !session.has_seat(now + SEAT_MARGIN_MS) {
            let (meeting, until) = (&session.meeting, now + LEASE_MS);
            self.store
                .readmit_session(meeting.id, session.id, now, until, meeting.seats())
                .await
                .map_err(|refusal| refusal.denial())?;
            session.hold(until);
        }
        session.open(&self.notes).ok_or(Denial::RateLimited)
    }
}

/// Whether a socket is asked for by a page of the tenant's own host: a browser says so, and programs say nothing. BBB
/// itself compares with the host it is asked under, which is not the server's
/// (docs/reference/bbb-protocol.md, "GraphQL sockets").
fn is_own_origin(asked: &Asked) -> bool {
    asked.head.headers.get(ORIGIN).is_none_or(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("https://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(&asked.authority))
    })
}
