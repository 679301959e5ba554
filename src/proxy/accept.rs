//! Connections: accepted, their handshake made, their requests served, until they close or the gateway stops.
//!
//! The accept loop is the gateway's own: one TLS configuration serves all hosts, an unknown host is refused before any
//! key is touched, and an open WebSocket is taken out of HTTP with nothing left behind but its two connections.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, StatusCode, header::HOST, request::Parts};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{
    answer::{redirect, text},
    asked::Connection,
    challenge,
    corked::Corked,
    downstream::Downstream,
    gateway::Gateway,
    refusal::too_fast,
    serve,
};
use crate::{
    domain::host::Host,
    net::{
        activity::End,
        complaints::Complaints,
        connections::Served,
        orderly::Orderly,
        peer::Peer,
        proxy_protocol::{self, Header},
        rates::RateOf,
        socket::{bound_unsent, tune},
        tracked::Tracked,
    },
    tls::{Opening, Prepared, Tls},
    upstream::Body,
};

/// A handshake takes two round trips; who takes longer than this holds a place for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle HTTP/2 connection is told that it ends; whoever does not close it then is not waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The answers to what was asked for before a connection was told that it ends.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(120);
/// A peer of HTTP/2 that does not answer a ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A request's head: cookies of several servers and a `create` in a GET.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// After an error of `accept` (no file left): long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is encrypted and not yet sent on a connection: a file of 64 KiB and the head before it leave in one call.
const UNSENT_BYTES_MAX: usize = 72 * 1024;
/// Streams of one HTTP/2 connection that had to be reset for their client's errors.
const H2_ERRORS_MAX: usize = 64;
/// What is held of one answer in HTTP/2 for a reader who is slow: 8 MB for all of a connection.
const H2_UNSENT_BYTES_MAX: usize = 64 * 1024;
/// Where sockets share a connection: what a client may send of one body, or on one socket, before it is read on; 40 Mbit/s at
/// 100 ms.
const H2_STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all of a connection. Streams that are not read on, such as sockets whose server has stopped reading, must leave
/// room for the others.
const H2_CONNECTION_WINDOW: u32 = 8 * H2_STREAM_WINDOW;
/// Requests in flight on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 128;
/// `unrecognized_name`, fatal, as a plain record: what RFC 6066 (3) asks for.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// `internal_error`, likewise.
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Tells listeners and connections to stop, and hears when they have.
///
/// Whoever holds a clone of `alive` is waited for.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Turns true when the gateway stops.
    pub signal: watch::Receiver<bool>,
    /// Dropped by whoever has finished.
    pub alive: mpsc::Sender<Infallible>,
}

impl Stop {
    pub(crate) async fn told(&mut self) {
        // An error means that the sender is gone, which is an end too.
        let _ = self.signal.wait_for(|stop| *stop).await;
    }
}

/// A connection that has its place.
struct Arrived {
    stream: TcpStream,
    peer: SocketAddr,
    served: Served,
    /// Whether the connection itself, not the client it is of, is from a trusted front.
    is_of_front: bool,
}

/// Serves the tenants on one address until told to stop.
pub async fn serve_https(listener: TcpListener, gateway: Arc<Gateway>, tls: Arc<Tls>, stop: Stop) {
    accept(listener, Arc::clone(&gateway), stop, move |arrived, stop| {
        let (gateway, tls) = (Arc::clone(&gateway), Arc::clone(&tls));
        async move {
            let _open = gateway.metrics.open_connection();
            secured(arrived, &gateway, &tls, stop).await;
        }
    })
    .await;
}

/// Leads plain HTTP to HTTPS on one address until told to stop. `port` is where HTTPS is, for addresses that need it.
pub async fn serve_http(listener: TcpListener, gateway: Arc<Gateway>, port: u16, stop: Stop) {
    accept(listener, Arc::clone(&gateway), stop, move |Arrived { stream, served, .. }, mut stop| {
        let gateway = Arc::clone(&gateway);
        async move {
            let (activity, peer) = (&served.activity, served.peer());
            let is_cut = Arc::<AtomicBool>::default();
            let service = service_fn(|request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                let _body = serve::incoming(&gateway, &head, body, &served, &is_cut);
                let response = to_https(&gateway, &head, peer, port);
                let open = activity.begin();
                async move { Ok::<_, Infallible>(response.map(|body| Tracked::new(body, open))) }
            });
            let io = TokioIo::new(Orderly::new(stream, Arc::clone(&is_cut)));
            let mut connection = pin!(http1(gateway.idle_timeout).serve_connection(io, service));
            let ended = tokio::select! {
                _ = &mut connection => return,
                end = activity.watch(gateway.idle_timeout, false) => Some(end),
                () = stop.told() => None,
            };
            match ended {
                Some(end) => gateway.metrics.count_end(end),
                None => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    })
    .await;
}

async fn accept<S, F>(listener: TcpListener, gateway: Arc<Gateway>, mut stop: Stop, serve: S)
where
    S: Fn(Arrived, Stop) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    // What is accepted has the settings of its listener.
    tune(&listener);
    bound_unsent(&listener);
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.told() => return,
        };
        match accepted {
            Ok((stream, peer)) if gateway.net.is_proxy(peer.ip()) => {
                let (gateway, stop, serve) = (Arc::clone(&gateway), stop.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Some(arrived) = announced(stream, peer, &gateway, &stop).await {
                        serve(arrived, stop).await;
                    }
                });
            }
            Ok((stream, peer)) => {
                let is_of_front = gateway.net.is_front(peer.ip());
                if let Some(arrived) = admit(stream, peer, is_of_front, &gateway, &stop) {
                    tokio::spawn(serve(arrived, stop.clone()));
                }
            }
            Err(error) => {
                gateway.metrics.accept_errors.fetch_add(1, Relaxed);
                complaints.of(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A place for a new connection. One that gets none, or comes too fast, is closed before any TLS.
fn admit(stream: TcpStream, peer: SocketAddr, is_of_front: bool, gateway: &Gateway, stop: &Stop) -> Option<Arrived> {
    let key = Peer::from(peer.ip());
    if !gateway.net.rates.allow(RateOf::Connections, key) {
        reset(stream);
        return None;
    }
    match gateway.net.connections.admit(key, false, &stop.alive) {
        Ok(served) => Some(Arrived { stream, peer, served, is_of_front }),
        Err(full) => {
            gateway.metrics.count_full(full);
            reset(stream);
            None
        }
    }
}

/// Closes a connection so that nothing of it is left here.
fn reset(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// A connection that a balancer passes on: its client's from here on.
async fn announced(mut stream: TcpStream, proxy: SocketAddr, gateway: &Gateway, stop: &Stop) -> Option<Arrived> {
    let held = gateway.net.connections.admit(proxy.ip().into(), true, &stop.alive);
    let held = held.inspect_err(|full| gateway.metrics.count_full(*full)).ok()?;
    let header = tokio::select! {
        header = timeout(HANDSHAKE_TIMEOUT, proxy_protocol::read(&mut stream)) => header.ok()?.ok(),
        end = held.activity.told() => {
            gateway.metrics.count_end(end);
            return None;
        }
    };
    let is_of_front = gateway.net.is_front(proxy.ip());
    match header {
        // Its own: a check of whether the gateway is there.
        Some(Header::Local) => Some(Arrived { stream, peer: proxy, served: held, is_of_front }),
        Some(Header::From(peer)) => {
            drop(held);
            admit(stream, peer, is_of_front, gateway, stop)
        }
        None => {
            gateway.metrics.unannounced.fetch_add(1, Relaxed);
            tracing::info!(target: "access", peer = %proxy.ip(), reason = "proxyHeader", "PROXY header missing or invalid");
            None
        }
    }
}

/// Makes the handshake and serves the connection.
async fn secured(arrived: Arrived, gateway: &Arc<Gateway>, tls: &Tls, mut stop: Stop) {
    let Arrived { stream, peer, served, is_of_front } = arrived;
    let used = Arc::<AtomicBool>::default();
    let key = served.peer();
    let made = tokio::select! {
        made = handshake(stream, tls, Arc::clone(&used)) => made,
        end = served.activity.told() => return gateway.metrics.count_end(end),
        () = stop.told() => return,
    };
    let (stream, sni) = match made {
        Ok(Made::Connection(stream, sni)) => (stream, sni),
        Ok(Made::Answered) => return,
        Err(why) => {
            gateway.metrics.handshakes_failed.fetch_add(1, Relaxed);
            // Whoever fails too often is told nothing, and is not told of.
            if gateway.net.rates.allow(RateOf::FailedHandshakes, key) {
                tracing::info!(target: "access", peer = %peer.ip(), reason = "handshake", "TLS handshake failed");
                why.tell().await;
            }
            return;
        }
    };
    let Ok(peer_value) = HeaderValue::from_str(&peer.ip().to_canonical().to_string()) else { return };
    let connection = Arc::new(Connection { peer, peer_value, is_of_front, sni, used, is_cut: Arc::default(), served });
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, connection, Arc::clone(gateway), http2, stop).await;
}

/// Why there is no connection in TLS.
enum NoHandshake {
    /// It is for a host that has no certificate.
    Unknown(Corked<TcpStream>),
    /// The certificate of its host cannot be loaded.
    Unloaded(Corked<TcpStream>),
    Failed,
}

impl NoHandshake {
    async fn tell(self) {
        let (mut stream, alert) = match self {
            Self::Unknown(stream) => (stream, UNRECOGNIZED_NAME),
            Self::Unloaded(stream) => (stream, INTERNAL_ERROR),
            Self::Failed => return,
        };
        let told = async {
            stream.write_all(&alert).await?;
            stream.shutdown().await
        };
        let _ = timeout(CLOSE_TIMEOUT, told).await;
    }
}

/// What a handshake leads to.
#[expect(clippy::large_enum_variant, reason = "moved once, and no allocation for each connection")]
enum Made {
    Connection(Downstream, Host),
    /// An ACME server has seen the answer to its challenge (RFC 8737), and there is nothing to serve.
    Answered,
}

/// A hello that is complete.
type Hello = StartHandshake<Corked<TcpStream>>;

/// `used` turns true when a request comes.
///
/// The client has its time for all that it says itself; what the gateway waits for in between has its own bounds.
async fn handshake(stream: TcpStream, tls: &Tls, used: Arc<AtomicBool>) -> Result<Made, NoHandshake> {
    let began = Instant::now();
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), Corked::open(stream));
    let hello = timeout(HANDSHAKE_TIMEOUT, hello).await.map_err(|_| NoHandshake::Failed)?;
    let hello = hello.map_err(|_| NoHandshake::Failed)?;
    let left = HANDSHAKE_TIMEOUT.saturating_sub(began.elapsed());
    let (opening, sni) = {
        let said = hello.client_hello();
        let sni: Option<Host> = said.server_name().and_then(|name| name.parse().ok());
        (tls.open(&said, sni.as_ref()), sni)
    };
    let Some(sni) = sni else { return Err(NoHandshake::Unknown(hello.io)) };
    let config = match opening {
        Opening::Serve(config) => config,
        Opening::Challenge(config) => {
            return timeout(left, answer_challenge(hello, config)).await.unwrap_or(Err(NoHandshake::Failed));
        }
        // Boxed, as few handshakes come here.
        Opening::Prepare => match Box::pin(tls.prepare(&sni)).await {
            Prepared::Serve(config) => config,
            Prepared::Unknown => return Err(NoHandshake::Unknown(hello.io)),
            Prepared::Failed => return Err(NoHandshake::Unloaded(hello.io)),
        },
        Opening::Unknown => return Err(NoHandshake::Unknown(hello.io)),
    };
    let stream = timeout(left, complete(hello, config, used)).await.unwrap_or(Err(NoHandshake::Failed))?;
    Ok(Made::Connection(stream, sni))
}

async fn complete(
    mut hello: Hello,
    config: Arc<ServerConfig>,
    used: Arc<AtomicBool>,
) -> Result<Downstream, NoHandshake> {
    hello.io.cork();
    match hello.into_stream(config).into_fallible().await {
        Ok(mut stream) => {
            let (io, session) = stream.get_mut();
            io.uncork(used);
            session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
            Ok(stream)
        }
        Err((_, mut stream)) => {
            // What is held is an alert.
            let _ = stream.shutdown().await;
            Err(NoHandshake::Failed)
        }
    }
}

async fn answer_challenge(hello: Hello, config: Arc<ServerConfig>) -> Result<Made, NoHandshake> {
    let mut stream = complete(hello, config, Arc::default()).await?;
    let _ = stream.shutdown().await;
    Ok(Made::Answered)
}

async fn serve(stream: Downstream, connection: Arc<Connection>, gateway: Arc<Gateway>, http2: bool, mut stop: Stop) {
    let activity = Arc::clone(&connection.served.activity);
    let (idle_timeout, with_websockets) = (gateway.idle_timeout, gateway.http2_websockets);
    let log = EndLog { gateway: Arc::clone(&gateway), peer: connection.peer };
    let io = TokioIo::new(Orderly::new(stream, Arc::clone(&connection.is_cut)));
    let service = service_fn(move |request| {
        // At once, and not when the request is first looked at: what the handshake still has to say goes out with its answer.
        connection.used.store(true, Relaxed);
        let mut open = connection.served.activity.begin();
        let (gateway, connection) = (Arc::clone(&gateway), Arc::clone(&connection));
        async move {
            open.goes_on();
            let response = serve::serve(gateway, connection, request).await;
            Ok::<_, Infallible>(response.map(|body| Tracked::new(body, open)))
        }
    });
    // Boxed, so that the task of a connection is as small as its state.
    if http2 {
        let mut builder = http2_builder(idle_timeout);
        if with_websockets {
            builder
                .enable_connect_protocol()
                .initial_stream_window_size(H2_STREAM_WINDOW)
                .initial_connection_window_size(H2_CONNECTION_WINDOW);
        }
        let mut served = Box::pin(builder.serve_connection(io, service));
        let ended = tokio::select! {
            ended = &mut served => return log.ended(ended),
            end = activity.watch(idle_timeout, true) => Some(end),
            () = stop.told() => None,
        };
        if log.is_cut(ended) {
            return;
        }
        served.as_mut().graceful_shutdown();
        log.closed(ended, served).await;
    } else {
        let mut served = Box::pin(http1(idle_timeout).serve_connection(io, service).with_upgrades());
        let ended = tokio::select! {
            ended = &mut served => return log.ended(ended),
            end = activity.watch(idle_timeout, false) => Some(end),
            () = stop.told() => None,
        };
        if log.is_cut(ended) {
            return;
        }
        served.as_mut().graceful_shutdown();
        log.closed(ended, served).await;
    }
}

/// Notes how connections end.
struct EndLog {
    gateway: Arc<Gateway>,
    peer: SocketAddr,
}

impl EndLog {
    /// Counts why a connection is not to go on. Returns whether it is closed without an answer to what is under way.
    fn is_cut(&self, end: Option<End>) -> bool {
        if let Some(end) = end {
            self.gateway.metrics.count_end(end);
        }
        end.is_some_and(|end| !end.is_graceful())
    }

    /// Waits until a connection that takes no new request has closed. Where the gateway stops it says how long that may take;
    /// else it has a moment, and as long as its requests make progress.
    async fn closed(&self, end: Option<End>, served: impl Future<Output = hyper::Result<()>>) {
        let ended = match end {
            Some(End::Idle) => timeout(CLOSE_TIMEOUT, served).await.unwrap_or(Ok(())),
            Some(_) => timeout(ANSWERS_TIMEOUT, served).await.unwrap_or(Ok(())),
            None => served.await,
        };
        self.ended(ended);
    }

    /// What is no HTTP, or has too large a head, has been answered by hyper: here it is counted.
    fn ended(&self, ended: hyper::Result<()>) {
        if ended.is_err_and(|error| error.is_parse()) {
            self.gateway.metrics.malformed.fetch_add(1, Relaxed);
            tracing::info!(target: "access", peer = %self.peer.ip(), reason = "malformed", "malformed HTTP request");
        }
    }
}

fn http1(idle_timeout: Duration) -> conn::http1::Builder {
    let mut builder = conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(idle_timeout).max_buf_size(HEAD_BYTES_MAX);
    builder
}

/// Answers to pings and settings are written before anything more is read, so that floods of those wait for their sender;
/// what h2 bounds by itself (heads in many frames, empty frames, resets that were remembered) is left as it is.
fn http2_builder(idle_timeout: Duration) -> conn::http2::Builder<TokioExecutor> {
    let mut builder = conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        // All that a page has asked for may be given up at once, when somebody goes on to the next one.
        .max_pending_accept_reset_streams(H2_STREAMS_MAX as usize)
        // A stream that breaks the rules is reset; a client that does it again and again is none.
        .max_local_error_reset_streams(H2_ERRORS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(H2_UNSENT_BYTES_MAX)
        .keep_alive_interval(idle_timeout.min(PING_INTERVAL));
    builder
}

/// A tenant's host is led to HTTPS; nobody else's.
fn to_https(gateway: &Gateway, head: &Parts, peer: Peer, port: u16) -> http::Response<Body> {
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.split(':').next()?.parse::<Host>().ok());
    let directory = gateway.meetings.directory.load();
    let Some(host) = host.filter(|host| directory.has_host(host.as_str())) else {
        gateway.metrics.unknown_hosts.fetch_add(1, Relaxed);
        if !gateway.net.rates.allow(RateOf::UnknownHosts, peer) {
            return too_fast();
        }
        tracing::info!(target: "access", reason = "unknownHost", "plain HTTP request for an unknown host");
        return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", "This host is not served here.\n");
    };
    // Before the redirect: certificate authorities follow it, but a certificate for it may be what is missing.
    gateway.answers.came(&host);
    if let Some(answer) = challenge::answer(gateway, &host, head) {
        return answer;
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    redirect(StatusCode::PERMANENT_REDIRECT, &location)
        .unwrap_or_else(|| text(StatusCode::BAD_REQUEST, "text/plain", "The address cannot be read.\n"))
}
