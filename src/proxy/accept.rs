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
    time::Duration,
};

use http::{HeaderValue, Request, StatusCode, header::HOST};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    Gateway,
    answer::{redirect, text},
    asked::Connection,
    corked::Corked,
};
use crate::{
    domain::host::Host,
    tls::Tls,
    upstream::{Body, tune},
};

/// A browser's connection.
pub(crate) type Downstream = TlsStream<Corked<TcpStream>>;

/// A handshake takes two round trips; who takes longer than this holds a place for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request, and so for a connection that is kept alive without one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// A request's head: cookies of several servers and a `create` in a GET.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// After an error of `accept` (no file left): long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is encrypted and not yet sent on a connection: a file of 64 KiB and the head before it leave in one call.
const UNSENT_BYTES_MAX: usize = 72 * 1024;
/// Requests in flight on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 128;
/// `unrecognized_name`, fatal, as a plain record: what RFC 6066 (3) asks for.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

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
    async fn told(&mut self) {
        // An error means that the sender is gone, which is an end too.
        let _ = self.signal.wait_for(|stop| *stop).await;
    }
}

/// Serves the tenants on one address until told to stop.
pub async fn serve_https(listener: TcpListener, gateway: Arc<Gateway>, tls: Arc<Tls>, stop: Stop) {
    accept(listener, stop, move |stream, peer, stop| {
        let (gateway, tls) = (Arc::clone(&gateway), Arc::clone(&tls));
        async move {
            let _open = gateway.metrics.open_connection();
            if secured(stream, peer, &gateway, &tls, stop).await.is_none() {
                gateway.metrics.handshakes_failed.fetch_add(1, Relaxed);
                tracing::info!(target: "access", peer = %peer.ip(), reason = "handshake", "a handshake was refused or failed");
            }
        }
    })
    .await;
}

/// Leads plain HTTP to HTTPS on one address until told to stop. `port` is where HTTPS is, for addresses that need it.
pub async fn serve_http(listener: TcpListener, gateway: Arc<Gateway>, port: u16, stop: Stop) {
    accept(listener, stop, move |stream, _, mut stop| {
        let gateway = Arc::clone(&gateway);
        async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = to_https(&gateway, &request, port);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut connection = pin!(http1().serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = &mut connection => {}
                () = stop.told() => connection.as_mut().graceful_shutdown(),
            }
        }
    })
    .await;
}

async fn accept<F>(listener: TcpListener, mut stop: Stop, serve: impl Fn(TcpStream, SocketAddr, Stop) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    // What is accepted has the settings of its listener.
    tune(&listener);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.told() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(serve(stream, peer, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes the handshake and serves the connection. `None` where the handshake came to nothing.
async fn secured(stream: TcpStream, peer: SocketAddr, gateway: &Arc<Gateway>, tls: &Tls, stop: Stop) -> Option<()> {
    let used = Arc::<AtomicBool>::default();
    let (stream, sni) = timeout(HANDSHAKE_TIMEOUT, handshake(stream, tls, Arc::clone(&used))).await.ok()??;
    let connection = Arc::new(Connection {
        peer,
        peer_value: HeaderValue::from_str(&peer.ip().to_string()).ok()?,
        sni,
        used,
        alive: stop.alive.clone(),
    });
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, connection, Arc::clone(gateway), http2, stop).await;
    Some(())
}

/// `used` turns true when a request comes.
async fn handshake(stream: TcpStream, tls: &Tls, used: Arc<AtomicBool>) -> Option<(Downstream, Host)> {
    let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), Corked::open(stream)).await.ok()?;
    let sni: Option<Host> = start.client_hello().server_name().and_then(|name| name.parse().ok());
    let Some(sni) = sni.filter(|sni| tls.knows(sni)) else {
        let mut stream = start.io;
        let _ = stream.write_all(&UNRECOGNIZED_NAME).await;
        let _ = stream.shutdown().await;
        return None;
    };
    start.io.cork();
    match start.into_stream(tls.config()).into_fallible().await {
        Ok(mut stream) => {
            let (io, session) = stream.get_mut();
            io.uncork(used);
            session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
            Some((stream, sni))
        }
        Err((_, mut stream)) => {
            // What is held is an alert.
            let _ = stream.shutdown().await;
            None
        }
    }
}

async fn serve(stream: Downstream, connection: Arc<Connection>, gateway: Arc<Gateway>, http2: bool, mut stop: Stop) {
    let silent = silent(Arc::clone(&connection));
    let log = EndLog { gateway: Arc::clone(&gateway), peer: connection.peer };
    let service = service_fn(move |request| {
        // At once, and not when the request is first looked at: what the handshake still has to say goes out with its answer.
        connection.used.store(true, Relaxed);
        let (gateway, connection) = (Arc::clone(&gateway), Arc::clone(&connection));
        async move { Ok::<_, Infallible>(gateway.serve(connection, request).await) }
    });
    // Boxed, so that the task of a connection is as small as its state.
    if http2 {
        let mut served = Box::pin(
            conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(H2_STREAMS_MAX)
                .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
                .keep_alive_interval(Duration::from_secs(60))
                .serve_connection(TokioIo::new(stream), service),
        );
        tokio::select! {
            ended = &mut served => return log.ended(ended),
            () = silent => return,
            () = stop.told() => served.as_mut().graceful_shutdown(),
        }
        log.ended(served.await);
    } else {
        let mut served = Box::pin(http1().serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::select! {
            ended = &mut served => return log.ended(ended),
            () = stop.told() => served.as_mut().graceful_shutdown(),
        }
        log.ended(served.await);
    }
}

/// Notes how connections end.
struct EndLog {
    gateway: Arc<Gateway>,
    peer: SocketAddr,
}

impl EndLog {
    /// What is no HTTP, or has too large a head, has been answered by hyper: here it is counted.
    fn ended(&self, ended: hyper::Result<()>) {
        if ended.is_err_and(|error| error.is_parse()) {
            self.gateway.metrics.malformed.fetch_add(1, Relaxed);
            tracing::info!(target: "access", peer = %self.peer.ip(), reason = "malformed", "what came was no request");
        }
    }
}

/// Ends when a connection has been open for long without any request: HTTP/2 has no time limit of its own for that.
async fn silent(connection: Arc<Connection>) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if connection.used.load(Relaxed) {
        std::future::pending().await
    }
}

fn http1() -> conn::http1::Builder {
    let mut builder = conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    builder
}

/// A tenant's host is led to HTTPS; nobody else's.
fn to_https(gateway: &Gateway, request: &Request<Incoming>, port: u16) -> http::Response<Body> {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.split(':').next()?.parse::<Host>().ok());
    let directory = gateway.directory.load();
    let Some(host) = host.filter(|host| directory.has_host(host.as_str())) else {
        gateway.metrics.unknown_hosts.fetch_add(1, Relaxed);
        tracing::info!(target: "access", reason = "unknownHost", "plain HTTP for a host that nobody has");
        return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", "This host is not served here.\n");
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    redirect(StatusCode::PERMANENT_REDIRECT, &location)
        .unwrap_or_else(|| text(StatusCode::BAD_REQUEST, "text/plain", "The address cannot be read.\n"))
}
