//! Where attackers come from, and how they connect.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rustls::{ClientConnection, pki_types::ServerName};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::{
    script::Joined,
    target::Target,
    wire::{Stream, Wire},
};

/// All attackers have one address, which nobody else has: what is limited by address is theirs alone.
pub(super) const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Who is not let in by then is not let in.
const PATIENCE: Duration = Duration::from_secs(15);
/// The receive buffer of those who do not read: the system doubles it, and takes no less.
const SMALL_BUFFER: u32 = 2304;

/// What attackers know.
pub(super) struct Attacker {
    pub(super) target: Target,
    /// A link into a meeting, as anybody may have one.
    pub(super) link: String,
    /// A session that came of it, and a big file of its client.
    pub(super) joined: Joined,
    pub(super) big: String,
    /// A host that no tenant has.
    pub(super) stranger: String,
    /// The first message of a handshake.
    pub(super) hello: Vec<u8>,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Attacker {
    /// Attackers of a target with TLS.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn new(target: &Target, link: String, joined: Joined, big: String) -> io::Result<Self> {
        let none = || io::Error::other("a target without TLS");
        let http1 = target.connector(false, b"http/1.1").ok_or_else(none)?;
        let http2 = target.connector(false, b"h2").ok_or_else(none)?;
        let mut hello = Vec::new();
        ClientConnection::new(http1.config().clone(), name(&target.host)?)
            .map_err(io::Error::other)?
            .write_tls(&mut hello)?;
        let stranger = format!("stranger.{}", target.host);
        Ok(Self { target: target.clone(), link, joined, big, stranger, hello, http1, http2 })
    }

    /// A TCP connection.
    pub(super) async fn tcp(&self) -> io::Result<TcpStream> {
        self.connect(None).await
    }

    async fn connect(&self, buffer: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Ports that have just been given up are good enough.
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(SocketAddr::from((SOURCE, 0)))?;
        timeout(PATIENCE, socket.connect(self.target.address)).await?
    }

    /// A TLS connection that speaks HTTP/1.1.
    pub(super) async fn http1(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http1, &self.target.host, None).await
    }

    /// The same of somebody whose system takes little before it is read.
    pub(super) async fn http1_narrow(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http1, &self.target.host, Some(SMALL_BUFFER)).await
    }

    /// The same to a host that no tenant has.
    pub(super) async fn to_stranger(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http1, &self.stranger, None).await
    }

    /// A TLS connection that speaks HTTP/2.
    pub(super) async fn http2(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http2, &self.target.host, None).await
    }

    /// A connection for one request after the other.
    pub(super) async fn wire(&self) -> io::Result<Wire> {
        Ok(Wire::new(Stream::Tls(Box::new(self.http1().await?))))
    }

    async fn tls(&self, tls: &TlsConnector, host: &str, buffer: Option<u32>) -> io::Result<TlsStream<TcpStream>> {
        let tcp = self.connect(buffer).await?;
        tcp.set_nodelay(true)?;
        timeout(PATIENCE, tls.connect(name(host)?, tcp)).await?
    }
}

fn name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}
