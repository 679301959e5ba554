//! [`Corked`]: what the end of a handshake says goes out with the first answer, in one piece.
//!
//! A TLS 1.3 server sends a session ticket as soon as the client has proved itself, and the client's first request often
//! comes together with that proof. Sent apart, the ticket costs a system call and wakes a client who waits for the answer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::turns::spend;

/// What is copied to be sent in one piece: a ticket and a short answer. A longer answer goes out behind what was held.
const GATHERED_BYTES_MAX: usize = 4 * 1024;

/// A connection that may hold back what is written to it.
///
/// Nothing is held back while its owner waits for the peer, and for nothing else: corked, a read that has nothing to give sends
/// what is held; uncorked, a flush does, unless the peer has asked for something and is to be answered.
#[derive(Debug)]
pub(crate) struct Corked<IO> {
    io: IO,
    held: Vec<u8>,
    is_corked: bool,
    /// Whether the peer has asked and is to be answered; `None` where nothing is held for that.
    asked: Option<Arc<AtomicBool>>,
}

impl<IO> Corked<IO> {
    /// A connection on which everything goes out at once.
    pub(crate) fn open(io: IO) -> Self {
        Self { io, held: Vec::new(), is_corked: false, asked: None }
    }

    /// From now on writes are held until a read waits, and flushing sends nothing. For a handshake, whose messages are few: what
    /// is held is not bounded here.
    pub(crate) fn cork(&mut self) {
        self.is_corked = true;
    }

    /// From now on writes go out, behind what has been held or together with it. `asked` turns true when an answer is to come.
    pub(crate) fn uncork(&mut self, asked: Arc<AtomicBool>) {
        self.is_corked = false;
        self.asked = Some(asked).filter(|_| !self.held.is_empty());
    }

    fn will_answer(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.load(Relaxed))
    }

    /// The connection itself.
    pub(crate) fn inner(&self) -> &IO {
        &self.io
    }

    /// The same, to be read from or written to.
    pub(crate) fn inner_mut(&mut self) -> &mut IO {
        &mut self.io
    }
}

impl<IO: AsyncWrite + Unpin> Corked<IO> {
    fn poll_send_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => drop(self.held.drain(..n)),
            }
        }
        // Held once in the life of a connection.
        self.held = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Takes what is written if it is to be held, or is to go out with what is.
    fn hold(&mut self, bufs: &[io::IoSlice<'_>]) -> Option<usize> {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if !self.is_corked && (self.held.is_empty() || GATHERED_BYTES_MAX < self.held.len().saturating_add(length)) {
            return None;
        }
        self.held.reserve(length);
        bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
        Some(length)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        spend(cx, buf.filled().len().saturating_sub(before));
        if this.is_corked
            && read.is_pending()
            && let Poll::Ready(sent) = this.poll_send_held(cx)
        {
            sent?;
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Corked<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = None;
        if let Some(length) = this.hold(bufs) {
            if !this.is_corked
                && let Poll::Ready(sent) = this.poll_send_held(cx)
            {
                sent?;
            }
            return Poll::Ready(Ok(length));
        }
        ready!(this.poll_send_held(cx))?;
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        spend(cx, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_corked || this.will_answer() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_send_held(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_held(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::yield_now,
    };

    use super::*;

    /// What has come so far.
    fn came(at_peer: &mut DuplexStream) -> Vec<u8> {
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        let mut bytes = [0; 64 * 1024];
        let mut buf = ReadBuf::new(&mut bytes);
        let _ = Pin::new(at_peer).poll_read(&mut nobody, &mut buf);
        buf.filled().to_vec()
    }

    async fn held(text: &[u8]) -> (Corked<DuplexStream>, DuplexStream) {
        let (io, mut at_peer) = duplex(64 * 1024);
        let mut corked = Corked::open(io);
        corked.cork();
        corked.write_all(text).await.expect("held");
        corked.flush().await.expect("held");
        assert_eq!(came(&mut at_peer), b"");
        (corked, at_peer)
    }

    #[tokio::test]
    async fn what_is_held_goes_out_with_what_is_written_next() {
        let (mut corked, mut at_peer) = held(b"ticket ").await;
        corked.uncork(Arc::default());
        assert_eq!(corked.write(b"answer").await.expect("sent"), 6);
        assert_eq!(came(&mut at_peer), b"ticket answer");
        corked.write_all(b" more").await.expect("sent");
        assert_eq!(came(&mut at_peer), b" more");
        assert_eq!(corked.held.capacity(), 0);
    }

    #[tokio::test]
    async fn it_goes_out_before_something_long_by_flushing_and_with_the_end() {
        let long = vec![b'x'; GATHERED_BYTES_MAX];
        let (mut corked, mut at_peer) = held(b"ticket").await;
        corked.uncork(Arc::default());
        corked.write_all(&long).await.expect("sent");
        assert_eq!(came(&mut at_peer), [b"ticket", &*long].concat());

        let (mut corked, mut at_peer) = held(b"ticket").await;
        corked.uncork(Arc::default());
        corked.flush().await.expect("sent");
        assert_eq!(came(&mut at_peer), b"ticket");

        let (mut corked, mut at_peer) = held(b"ticket").await;
        corked.shutdown().await.expect("sent");
        assert_eq!(came(&mut at_peer), b"ticket");
    }

    #[tokio::test]
    async fn whoever_waits_for_the_peer_holds_nothing_back() {
        let (mut corked, mut at_peer) = held(b"hello").await;
        let (mut first, mut second) = ([0; 2], [0; 3]);
        let peer = async {
            let mut came = [0; 5];
            at_peer.read_exact(&mut came).await.expect("sent while the other waits");
            at_peer.write_all(b"proof").await.expect("sent");
        };
        let (read, ()) = tokio::join!(corked.read_exact(&mut first), peer);
        read.expect("answered");
        // What is there is read without sending.
        corked.write_all(b"ticket").await.expect("held");
        corked.read_exact(&mut second).await.expect("there already");
        assert_eq!((&first, &second), (b"pr", b"oof"));
        assert_eq!(came(&mut at_peer), b"");
    }

    /// What a task moves before another one on its thread, which is ready, gets its turn. It counts the bytes that it moves.
    async fn bytes_of_a_turn<F: Future<Output = ()> + Send + 'static>(
        task: impl FnOnce(Arc<AtomicUsize>) -> F,
    ) -> usize {
        let moved = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(task(Arc::clone(&moved)));
        yield_now().await;
        let in_one_turn = moved.load(Relaxed);
        task.abort();
        in_one_turn
    }

    #[tokio::test]
    async fn much_that_is_read_or_written_ends_the_turn_of_its_task() {
        const PIECE: usize = 64 * 1024;
        let (io, _at_peer) = duplex(64 * PIECE);
        let mut corked = Corked::open(io);
        let written = bytes_of_a_turn(|moved| async move {
            while corked.write_all(&[0; PIECE]).await.is_ok() {
                moved.fetch_add(PIECE, Relaxed);
            }
        });
        assert_eq!(written.await, 2 * PIECE);

        let (io, mut at_peer) = duplex(64 * PIECE);
        let mut corked = Corked::open(io);
        at_peer.write_all(&vec![0; 64 * PIECE]).await.expect("room");
        let read = bytes_of_a_turn(|moved| async move {
            let mut bytes = vec![0; PIECE];
            while let Ok(n) = corked.read(&mut bytes).await {
                moved.fetch_add(n, Relaxed);
            }
        });
        assert_eq!(read.await, 2 * PIECE);
    }

    #[tokio::test]
    async fn whoever_has_asked_waits_for_the_answer_only() {
        let (mut corked, mut at_peer) = held(b"ticket ").await;
        let asked = Arc::new(AtomicBool::new(true));
        corked.uncork(asked);
        assert!(corked.read_u8().now_or_never().is_none());
        corked.flush().await.expect("held");
        assert_eq!(came(&mut at_peer), b"");
        corked.write_all(b"answer").await.expect("sent");
        assert_eq!(came(&mut at_peer), b"ticket answer");
    }

    #[tokio::test]
    async fn nothing_is_lost_where_the_peer_takes_little() {
        let (io, mut at_peer) = duplex(3);
        let mut corked = Corked::open(io);
        corked.cork();
        corked.write_all(b"ticket ").await.expect("held");
        corked.uncork(Arc::default());
        let write = async {
            corked.write_all(b"answer").await.expect("taken");
            corked.write_all(b" and more").await.expect("taken");
            corked.flush().await.expect("sent");
            drop(corked);
        };
        let mut all = String::new();
        let (read, ()) = tokio::join!(at_peer.read_to_string(&mut all), write);
        read.expect("text");
        assert_eq!(all, "ticket answer and more");
    }
}
