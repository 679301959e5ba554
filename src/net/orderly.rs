//! [`Orderly`]: lingering close of a connection (RFC 9112, 9.6).
//!
//! Closing a socket with unread bytes resets the connection, and the reset can destroy the answer before the client has read it.
//! So after the shutdown of the write side, bytes of the client are read and discarded for a while, below TLS.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// Budget for a peer in the middle of a body: bytes, time, and the longest pause.
const OF_BODY: Bounds =
    Bounds { bytes: 128 * 1024 * 1024, time: Duration::from_secs(30), stop: Duration::from_secs(5) };
/// Budget for a peer that sends something else, such as a malformed request.
const OF_OTHERS: Bounds = Bounds { bytes: 1024 * 1024, time: Duration::from_secs(1), stop: Duration::from_secs(1) };
/// What is taken at once.
const PIECE_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes: usize,
    time: Duration,
    stop: Duration,
}

/// A connection with a transport below it.
pub trait Layered {
    /// What carries its bytes, encrypted or not.
    type Carrier: AsyncRead + Unpin;

    /// The lowest layer.
    fn carrier(&mut self) -> &mut Self::Carrier;
}

impl Layered for TcpStream {
    type Carrier = Self;

    fn carrier(&mut self) -> &mut Self {
        self
    }
}

/// A connection with a lingering close.
#[derive(Debug)]
pub struct Orderly<IO> {
    io: IO,
    /// Whether a body has been cut: its sender is waited for, even where nothing of it is there at the moment.
    is_cut: Arc<AtomicBool>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    Open,
    /// The write side has been shut down.
    Told,
    Taking(Box<Taking>),
    Closed,
}

/// The budget of discarded bytes and time.
#[derive(Debug)]
struct Taking {
    bounds: Bounds,
    end: Pin<Box<Sleep>>,
    /// Since the last piece.
    stop: Pin<Box<Sleep>>,
}

impl<IO> Orderly<IO> {
    /// A connection; `is_cut` turns true when it is to be closed in the middle of a body.
    pub fn new(io: IO, is_cut: Arc<AtomicBool>) -> Self {
        Self { io, is_cut, closing: Closing::Open }
    }

    /// The connection itself.
    pub fn into_inner(self) -> IO {
        self.io
    }
}

impl Taking {
    fn new(bounds: Bounds) -> Box<Self> {
        Box::new(Self { bounds, end: Box::pin(sleep(bounds.time)), stop: Box::pin(sleep(bounds.stop)) })
    }

    /// Discards bytes until the peer closes or the budget is used up.
    fn poll(&mut self, carrier: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match poll_piece(carrier, cx) {
                Poll::Ready(0) => return Poll::Ready(()),
                Poll::Ready(n) if n < self.bounds.bytes => {
                    self.bounds.bytes = self.bounds.bytes.saturating_sub(n);
                    self.stop.set(sleep(self.bounds.stop));
                    // The time of a peer that always has bytes ready must end, too.
                    if self.end.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let is_over = self.end.as_mut().poll(cx).is_ready() || self.stop.as_mut().poll(cx).is_ready();
                    return if is_over { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
    }
}

/// Takes a piece; 0 at the end, be it that of an error.
fn poll_piece(carrier: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<usize> {
    let mut bytes = [0; PIECE_BYTES];
    let mut piece = ReadBuf::new(&mut bytes);
    let read = ready!(Pin::new(carrier).poll_read(cx, &mut piece));
    Poll::Ready(if read.is_ok() { piece.filled().len() } else { 0 })
}

impl<IO: AsyncRead + Unpin> AsyncRead for Orderly<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Layered + Unpin> AsyncWrite for Orderly<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.closing = match &mut this.closing {
                Closing::Open => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    Closing::Told
                }
                Closing::Told => {
                    let is_cut = this.is_cut.load(Relaxed);
                    let bounds = if is_cut { OF_BODY } else { OF_OTHERS };
                    match poll_piece(this.io.carrier(), cx) {
                        Poll::Ready(0) => Closing::Closed,
                        Poll::Pending if !is_cut => Closing::Closed,
                        _ => Closing::Taking(Taking::new(bounds)),
                    }
                }
                Closing::Taking(taking) => {
                    ready!(taking.poll(this.io.carrier(), cx));
                    Closing::Closed
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    impl Layered for DuplexStream {
        type Carrier = Self;

        fn carrier(&mut self) -> &mut Self {
            self
        }
    }

    /// How long it takes to close, in whole seconds, while the peer does something.
    async fn closed(is_cut: bool, peer: impl AsyncFnOnce(DuplexStream)) -> u64 {
        let (io, at_peer) = duplex(1024);
        let mut orderly = Orderly::new(io, Arc::new(AtomicBool::new(is_cut)));
        let begun = Instant::now();
        let close = async {
            orderly.shutdown().await.expect("closed");
            drop(orderly);
            begun.elapsed().as_secs()
        };
        tokio::join!(close, peer(at_peer)).0
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_is_not_waited_for() {
        assert_eq!(closed(false, async |_open| sleep(Duration::from_secs(90)).await).await, 0);
        assert_eq!(closed(true, async |at_peer| drop(at_peer)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_middle_of_a_body_sends_it_to_its_end_and_reads_then() {
        let took = closed(true, async |mut at_peer| {
            for _ in 0..10 {
                sleep(Duration::from_secs(1)).await;
                at_peer.write_all(&[0; 5000]).await.expect("taken");
            }
            assert_eq!(at_peer.read(&mut [0; 1]).await.expect("the last word"), 0);
        });
        assert_eq!(took.await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_or_never_ends_is_left() {
        assert_eq!(closed(true, async |_open| sleep(Duration::from_secs(90)).await).await, 5);
        let took = closed(true, async |mut at_peer| {
            while at_peer.write_all(&[0; 5000]).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(took.await, 30);
        let took = closed(true, async |mut at_peer| {
            let mut sent = 0;
            while let Ok(n) = at_peer.write(&[0; 1024]).await {
                sent += n;
            }
            assert!((OF_BODY.bytes..OF_BODY.bytes + 64 * 1024).contains(&sent), "{sent}");
        });
        assert_eq!(took.await, 0);
        let took = closed(false, async |mut at_peer| while at_peer.write_all(&[0; 5000]).await.is_ok() {});
        assert_eq!(took.await, 0);
    }
}
