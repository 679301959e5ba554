//! HTTP/1.1 client for the upstreams: BBB servers and tenants' frontends.
//!
//! `pool` keeps idle connections, a `link` is one connection, an `answer` a response. Requests use the pool; each WebSocket has
//! its own connection. Both open connections in the same way.

mod answer;
mod carried;
mod discard;
#[doc(hidden)]
pub mod fuzzing;
mod incoming;
mod link;
mod pool;
mod rate;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{domain::tenant::Upstream, net::files::is_exhausted, tls::provider::provider};
pub use answer::Answer;
pub use carried::Carried;
pub use discard::{Discards, Source};
pub use incoming::{BodyFault, Incoming};
pub use pool::{Once, Pool, SendError};
pub use rate::LeastRate;

/// A server that does not take a connection in this time is taken as away: it is near, and a person waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a held body, at a time: a file of 64 KiB leaves at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A body that passes through, or one that is held in memory.
#[derive(Debug)]
pub enum Body {
    /// Held in memory; taken as it is sent.
    Held(Bytes),
    /// Held in memory in several pieces, none of them empty; each is taken as it is sent.
    Pieces(VecDeque<Bytes>),
    /// Streamed from a caller, with its length where that was told.
    Streamed(Incoming),
    /// The same, once it has begun: on its way to a server.
    Carried(Box<Carried>),
    /// Streamed from a server.
    Answered(Answer),
}

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Looks at each piece of a body; an error ends it there.
pub struct Watch(pub Box<Look>);

type Look = dyn FnMut(&[u8]) -> Result<(), BodyError> + Send + Sync;

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Held(Bytes::new())
    }
}

/// A whole body; `None` where it breaks off or is longer than `most` bytes.
pub async fn whole<B>(body: B, most: usize) -> Option<Bytes>
where
    B: HttpBody,
    B::Error: Into<BodyError>,
{
    Some(Limited::new(body, most).collect().await.ok()?.to_bytes())
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(held: T) -> Self {
        Self::Held(held.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Self::Carried(body) => Pin::new(&mut **body).poll_frame(cx).map_err(Into::into),
            Self::Held(bytes) if bytes.is_empty() => Poll::Ready(None),
            // A long one in pieces, so that it is seen whether its reader takes them.
            Self::Held(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes.split_to(bytes.len().min(PIECE_BYTES_MAX)))))),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Answered(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(bytes) => bytes.is_empty(),
            Self::Pieces(pieces) => pieces.is_empty(),
            Self::Streamed(body) => body.is_end_stream(),
            Self::Carried(body) => body.is_end_stream(),
            Self::Answered(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Self::Streamed(body) => body.size_hint(),
            Self::Carried(body) => body.size_hint(),
            Self::Answered(body) => body.size_hint(),
        }
    }
}

/// How long a peer of a WebSocket may leave unanswered what was sent to it. Longer than a line is away now and then; as long
/// as keep-alive takes to notice the same where nothing is sent.
#[cfg(target_os = "linux")]
const UNANSWERED_MAX: Duration = Duration::from_secs(120);

/// Small frames go out at once, and a peer that has vanished is noticed within two minutes, on either side of the gateway, as
/// long as nothing is sent to it.
pub fn tune<'a>(socket: impl Into<SockRef<'a>>) {
    let socket = socket.into();
    let _ = socket.set_tcp_nodelay(true);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

/// The same where something is sent: by itself the system goes on trying for a quarter of an hour. Only for WebSockets: of other
/// connections there are time limits, and a paused download takes nothing for longer.
pub fn notice_loss(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNANSWERED_MAX));
}

/// A connection to a server, with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// As it is: a server on the same machine or in a private network.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The connection itself.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(s) => s.is_write_vectored(),
            Self::Tls(s) => s.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}

/// Opens connections; the same for requests and for WebSockets.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    exhausted: Arc<AtomicU64>,
}

/// Why no connection was opened.
#[derive(Debug)]
pub enum OpenError {
    /// The server, or the way to it: the system's error, TLS's, or `TimedOut` after [`CONNECT_TIMEOUT`].
    Unreachable(io::Error),
    /// This machine has no file handle, port or memory left: of the server nothing has been learned.
    Exhausted(io::Error),
}

impl Connector {
    /// A connector that trusts `roots` for `https` servers.
    ///
    /// # Panics
    /// Never: the provider's defaults are consistent.
    #[must_use]
    pub fn new(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for its own versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: TlsConnector::from(Arc::new(config)), exhausted: Arc::default() }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn connect(&self, to: &Upstream) -> Result<Stream, OpenError> {
        let tls = to.scheme == http::uri::Scheme::HTTPS;
        self.open(to.authority.host(), to.authority.port_u16(), tls).await
    }

    async fn open(&self, host: &str, port: Option<u16>, tls: bool) -> Result<Stream, OpenError> {
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let opened = async {
            let tcp = TcpStream::connect((host, port)).await?;
            tune(&tcp);
            if !tls {
                return Ok(Stream::Plain(tcp));
            }
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Ok(Stream::Tls(Box::new(self.tls.connect(name, tcp).await?)))
        };
        let opened: io::Result<Stream> =
            timeout(CONNECT_TIMEOUT, opened).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        opened.map_err(|error| {
            if !is_exhausted(&error) {
                return OpenError::Unreachable(error);
            }
            self.exhausted.fetch_add(1, Relaxed);
            OpenError::Exhausted(error)
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
