//! A browser's connection, and the end of its WebSocket.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use super::corked::Corked;
use crate::net::{
    activity::{Activity, End},
    orderly::Layered,
    socket::{UNANSWERED_MAX, notice_loss},
};

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
    Stream(Stream),
}

/// A stream of a connection in HTTP/2.
pub(super) struct Stream {
    io: TokioIo<Upgraded>,
    /// Runs while the browser takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    connection: Arc<Activity>,
}

impl Stream {
    pub(super) fn new(io: Upgraded, connection: Arc<Activity>) -> Self {
        Self { io: TokioIo::new(io), stuck: None, connection }
    }

    /// Ends the connection when its browser takes nothing of this stream for too long, as the loss of a connection of its own
    /// is noticed (see [`notice_loss`]). hyper resets no stream that waits.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TokioIo<Upgraded>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = poll(Pin::new(&mut self.io), cx);
        if polled.is_ready() {
            self.stuck = None;
            return polled;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(UNANSWERED_MAX)));
        ready!(stuck.as_mut().poll(cx));
        self.connection.end(End::Stalled);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Browser {
    /// Has the loss of the connection noticed while something is sent. A stream sees to that by itself.
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
            Self::Stream(stream) => Pin::new(&mut stream.io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Browser {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_write(cx, buf),
            Self::Stream(stream) => stream.bounded(cx, |io, cx| io.poll_write(cx, buf)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_flush(cx),
            Self::Stream(stream) => stream.bounded(cx, AsyncWrite::poll_flush),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(io) => Pin::new(io).poll_shutdown(cx),
            Self::Stream(stream) => stream.bounded(cx, AsyncWrite::poll_shutdown),
        }
    }
}
