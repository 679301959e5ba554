//! The tunnel of an open WebSocket: bytes both ways, as they come.
//!
//! A tunnel that is idle owns no buffer. It reads into one buffer of its thread, writes on at once, and keeps only what
//! the other side did not take. It has no maximum age and no idle time-out: the ends of a WebSocket have heartbeats, and
//! TCP's keep-alive finds the ones that have vanished.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::text_frames::TextFrames;

/// More than a TLS record (16 KB), so that one read takes all that has come.
const BUFFER_BYTES: usize = 32 * 1024;
/// When one side has closed, the other has this long to follow.
const LINGER: Duration = Duration::from_secs(20);
/// Reads per turn, so that a busy tunnel lets others of its thread run.
const READS_PER_TURN: usize = 16;

/// What a thread keeps for the next time of a buffer that has grown.
const CHANGED_BYTES_MAX: usize = 4 * BUFFER_BYTES;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
    /// What goes on instead of what has been read.
    static CHANGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Browser,
    Server,
}

/// Bytes that went through a tunnel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// From the browser to the server.
    pub(super) up: u64,
    /// From the server to the browser.
    pub(super) down: u64,
}

/// Both ends of a WebSocket, which it closes when it is dropped.
pub(super) struct Tunnel<B, S> {
    browser: B,
    server: S,
    up: Half,
    down: Half,
    /// The side that ended it.
    first: Option<Side>,
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    OneClosed,
    BothClosed,
}

impl<B, S> Tunnel<B, S>
where
    B: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A tunnel. `to_server` and `to_browser` are what has been read already; `frames` rewrites what the server sends, where
    /// that is needed.
    pub(super) fn new(
        (browser, to_server): (B, Bytes),
        (server, to_browser): (S, Bytes),
        frames: Option<Box<TextFrames>>,
    ) -> Self {
        Self { browser, server, up: Half::new(to_server, None), down: Half::new(to_browser, frames), first: None }
    }

    /// Carries bytes both ways until both sides have closed, or one has and the other does not follow. Returns which side sent
    /// a Close frame, closed its connection or lost it first. A connection that breaks is an end like another.
    pub(super) async fn run(&mut self) -> Side {
        let _ = poll_fn(|cx| self.poll(cx, Until::OneClosed)).await;
        let _ = tokio::time::timeout(LINGER, poll_fn(|cx| self.poll(cx, Until::BothClosed))).await;
        self.first.unwrap_or(Side::Browser)
    }

    /// The bytes carried so far.
    pub(super) fn carried(&self) -> Carried {
        Carried { up: self.up.carried, down: self.down.carried }
    }

    fn poll(&mut self, cx: &mut Context<'_>, until: Until) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, &mut self.browser, &mut self.server);
        self.note_end(&up, self.up.has_ended, Side::Browser, Side::Server);
        let up = up?;
        let down = self.down.poll(cx, &mut self.server, &mut self.browser);
        self.note_end(&down, self.down.has_ended, Side::Server, Side::Browser);
        match (up, down?) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ if until == Until::OneClosed => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Notes which side ended the tunnel, if none has before: the source that has ended, or the sink that cannot be written to.
    fn note_end(&mut self, half: &Poll<io::Result<()>>, has_ended: bool, source: Side, sink: Side) {
        if self.first.is_none() {
            self.first = match half {
                _ if has_ended => Some(source),
                Poll::Ready(Err(_)) => Some(sink),
                _ => None,
            };
        }
    }
}

/// One direction.
struct Half {
    /// What was read and not taken yet.
    kept: Bytes,
    state: State,
    /// Whether its source has sent a Close frame, has closed, or is broken.
    has_ended: bool,
    carried: u64,
    frames: Option<Box<TextFrames>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    /// Written, and maybe still in the TLS layer.
    Unflushed,
    /// The source has ended; the sink is to be closed.
    Ending,
    Closed,
}

impl Half {
    fn new(mut kept: Bytes, mut frames: Option<Box<TextFrames>>) -> Self {
        let carried = kept.len() as u64;
        let mut changed = Vec::new();
        if let Some(frames) = &mut frames
            && !frames.take(&kept, &mut changed)
        {
            kept = changed.into();
        }
        Self { kept, state: State::Open, has_ended: false, carried, frames }
    }

    /// Ready when this direction has ended and said so to its sink.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, source: &mut R, sink: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut reads = 0_usize;
        loop {
            while self.kept.has_remaining() {
                let n = ready!(Pin::new(&mut *sink).poll_write(cx, &self.kept))?;
                self.wrote(n)?;
                self.kept.advance(n);
            }
            // An empty `Bytes` may still hold the memory it was cut from.
            self.kept = Bytes::new();
            match self.state {
                State::Open | State::Unflushed if reads == READS_PER_TURN => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Open | State::Unflushed => {
                    reads = reads.saturating_add(1);
                    if self.poll_pass(cx, source, sink)?.is_pending() {
                        if self.state == State::Unflushed {
                            ready!(Pin::new(&mut *sink).poll_flush(cx))?;
                            self.state = State::Open;
                        }
                        return Poll::Pending;
                    }
                }
                State::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Passes one read on. Pending when there is nothing to read.
    fn poll_pass<R, W>(&mut self, cx: &mut Context<'_>, source: &mut R, sink: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            // A source that breaks has ended: what came before that still goes out.
            let broken = ready!(Pin::new(source).poll_read(cx, &mut read)).is_err();
            let bytes = read.filled();
            if broken || bytes.is_empty() {
                self.state = State::Ending;
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            self.has_ended |= is_close(bytes);
            self.carried = self.carried.saturating_add(bytes.len() as u64);
            let written = CHANGED.with_borrow_mut(|changed| {
                let same = self.frames.as_mut().is_none_or(|frames| frames.take(bytes, changed));
                let written = self.write(cx, sink, if same { bytes } else { changed });
                changed.shrink_to(CHANGED_BYTES_MAX);
                written
            });
            Poll::Ready(written)
        })
    }

    /// Writes what the sink takes, and keeps the rest.
    fn write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut W, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, bytes)? {
                Poll::Ready(n) => {
                    self.wrote(n)?;
                    bytes = &bytes[n..];
                }
                Poll::Pending => {
                    self.kept = Bytes::copy_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.state = State::Unflushed;
        Ok(())
    }
}

/// Whether this is a Close frame (RFC 6455, 5.5.1), as it nearly always comes: by itself.
fn is_close(bytes: &[u8]) -> bool {
    let [0x88, length, ..] = *bytes else { return false };
    let head: usize = if length & 0x80 == 0 { 2 } else { 6 };
    bytes.len() == head.saturating_add(usize::from(length & 0x7f))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn run(browser: DuplexStream, server: DuplexStream, read: (&'static str, &'static str)) -> (Carried, Side) {
        let mut tunnel = Tunnel::new((browser, read.0.into()), (server, read.1.into()), None);
        let side = tunnel.run().await;
        (tunnel.carried(), side)
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_in_order_through_a_slow_sink() {
        // 64 bytes fit between the tunnel and each end: most writes are cut in two.
        let (browser, at_browser) = duplex(64);
        let (server, mut at_server) = duplex(64);
        let tunnel = tokio::spawn(run(browser, server, ("early ", "hello ")));
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let (mut read_browser, mut write_browser) = tokio::io::split(at_browser);
        let browser = tokio::spawn(async move {
            write_browser.write_all(&copy).await.expect("written");
            write_browser.shutdown().await.expect("closed");
        });
        let answer = tokio::spawn(async move {
            let mut got = Vec::new();
            read_browser.read_to_end(&mut got).await.expect("read");
            got
        });
        let mut got = vec![0; 6 + sent.len()];
        at_server.read_exact(&mut got).await.expect("read");
        assert_eq!(&got[..6], b"early ");
        assert!(got[6..] == sent[..]);
        at_server.write_all(b"bye").await.expect("written");
        at_server.shutdown().await.expect("closed");
        browser.await.expect("done");
        assert_eq!(answer.await.expect("done"), b"hello bye");
        let ended = tunnel.await.expect("done");
        assert_eq!(ended, (Carried { up: 100_006, down: 9 }, Side::Browser));
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_does_not_follow_a_close_is_cut() {
        let (browser, at_browser) = duplex(64);
        let (server, _at_server) = duplex(64);
        drop(at_browser);
        let ended = run(browser, server, ("", "")).await;
        assert_eq!(ended, (Carried::default(), Side::Browser));
    }

    #[tokio::test(start_paused = true)]
    async fn the_side_that_ends_a_tunnel_is_known() {
        let masked = [0x88, 0x82, 1, 2, 3, 4, 0x02, 0xeb];
        let cases: [(&str, &[u8], &[u8], Side); 5] = [
            ("the server is gone", b"", b"", Side::Server),
            ("the server says so", b"", &[0x88, 2, 0x03, 0xe8], Side::Server),
            ("the server says so without a code", b"", &[0x88, 0], Side::Server),
            ("the browser says so", &masked, b"", Side::Browser),
            ("a message begins like it", &[0x88, 0x82, 1, 2, 3, 4, 5], b"", Side::Server),
        ];
        for (case, from_browser, from_server, expected) in cases {
            let ((browser, mut at_browser), (server, mut at_server)) = (duplex(64), duplex(64));
            at_browser.write_all(from_browser).await.expect("written");
            at_server.write_all(from_server).await.expect("written");
            // The server closes the connection, whichever side sent the first Close frame (RFC 6455, 7.1.1).
            drop(at_server);
            let (_, first) = run(browser, server, ("", "")).await;
            assert_eq!(first, expected, "{case}");
        }
    }
}
