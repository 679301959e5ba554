//! [`Connector`]: opens connections to servers and frontends, with or without TLS.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    domain::{backend_error::BackendError, tenant::Upstream},
    net::{files::is_exhausted, socket::tune},
    tls::provider::provider,
};

/// A server that does not take a connection in this time is taken as away: it is near, and a person waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub(super) exhausted: Arc<AtomicU64>,
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
    /// [`BackendError::Connect`], also after [`CONNECT_TIMEOUT`]; [`BackendError::Exhausted`].
    pub async fn connect(&self, to: &Upstream) -> Result<Stream, BackendError> {
        let tls = to.scheme == http::uri::Scheme::HTTPS;
        self.open(to.authority.host(), to.authority.port_u16(), tls).await
    }

    pub(super) async fn open(&self, host: &str, port: Option<u16>, tls: bool) -> Result<Stream, BackendError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let to = (host, port_of(port, tls));
        self.opened(async { self.secured(TcpStream::connect(to).await?, host, tls).await }).await
    }

    /// The same at one of these addresses, whatever the host's name leads to by now.
    pub(super) async fn open_at(
        &self,
        addresses: &[IpAddr],
        (host, port): (&str, Option<u16>),
        tls: bool,
    ) -> Result<Stream, BackendError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let to: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port_of(port, tls))).collect();
        self.opened(async { self.secured(TcpStream::connect(&*to).await?, host, tls).await }).await
    }

    async fn secured(&self, tcp: TcpStream, host: &str, tls: bool) -> io::Result<Stream> {
        tune(&tcp);
        if !tls {
            return Ok(Stream::Plain(tcp));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(self.tls.connect(name, tcp).await?)))
    }

    async fn opened(&self, opened: impl Future<Output = io::Result<Stream>>) -> Result<Stream, BackendError> {
        let opened: io::Result<Stream> =
            timeout(CONNECT_TIMEOUT, opened).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        opened.map_err(|error| {
            if !is_exhausted(&error) {
                tracing::debug!(%error, "failed to connect to upstream");
                return BackendError::Connect;
            }
            self.exhausted.fetch_add(1, Relaxed);
            tracing::debug!(%error, "failed to connect to upstream: no file handle, port or memory left");
            BackendError::Exhausted
        })
    }
}

/// The port of an address, which is the scheme's own where none is named.
fn port_of(port: Option<u16>, tls: bool) -> u16 {
    port.unwrap_or(if tls { 443 } else { 80 })
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
