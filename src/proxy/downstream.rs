//! A browser's connection, and the end of its WebSocket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::corked::Corked;
use crate::net::{orderly::Layered, socket::notice_loss};

/// A browser's connection.
pub(crate) type Downstream = TlsStream<Corked<TcpStream>>;

impl Layered for Downstream {
    type Carrier = TcpStream;

    fn carrier(&mut self) -> &mut TcpStream {
        self.get_mut().0.inner_mut()
    }
}

/// The browser's end of a WebSocket.
pub(super) enum Browser {
    /// The whole connection, taken out of HTTP/1.1.
    Connection(Box<Downstream>),
    /// A stream of a connection in HTTP/2, which goes on.
    Stream(TokioIo<Upgraded>),
}

impl Browser {
    /// Has the loss of the connection noticed while something is sent. HTTP/2 has pings for that.
    pub(super) fn notice_loss(&self) {
        if let Self::Connection(io) = self {
            notice_loss(io.get_ref().0.inner());
        }
    }
}

impl AsyncRead for Browser {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_read(cx, buf),
            Self::Stream(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Browser {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_write(cx, buf),
            Self::Stream(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_flush(cx),
            Self::Stream(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_shutdown(cx),
            Self::Stream(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
