//! One HTTP/1.1 connection to a server, with one request at a time (RFC 9112).
//!
//! It has no task: the caller that waits for the response, or reads its body, drives it. Between two requests nothing does.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, Method, Request, Response,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    request::Parts,
};
use http_body::Body as _;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{
    answer::{Answer, Head, READ_BYTES},
    body::Body,
    connector::Stream,
};
use crate::domain::backend_error::{BackendError, BodyFault};

/// Maximum of a response head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What a connection that waits for its next request keeps of its buffers.
const KEPT_BYTES_MAX: usize = 2 * READ_BYTES;

/// The connections of one server that have no request in flight, the one that was used last at the end.
#[derive(Default)]
pub(super) struct Kept(Mutex<VecDeque<(Instant, Box<Link>)>>);

/// Idle connections kept per server; more than a busy gateway has requests in flight to one server at a time.
const IDLE_MAX: usize = 64;

/// Below nginx's and Tomcat's own keep-alive time-outs (65 s, 60 s), so that the gateway closes first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A connection without a request in flight.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    /// Bytes that have come and were not taken yet.
    pub(super) read: BytesMut,
    /// A request's head, and the framing of a body.
    out: Vec<u8>,
    /// Where it waits between two requests.
    home: Weak<Kept>,
    /// Whether it has had a request before.
    is_used: bool,
}

/// What has become of a request.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// It has been answered.
    Answered(Response<Body>),
    /// The connection was closed before anything was sent: it may be sent on another.
    Unsent(Box<Request<Body>>),
    /// The connection, which had been used before, was closed before anything of an answer came. The request, which has no
    /// body, may or may not have been acted on.
    Unanswered(Box<Request<Body>>),
}

/// Which side an exchange has failed on.
enum Side {
    Caller(BodyFault),
    Server(io::Error),
}

impl From<io::Error> for Side {
    fn from(error: io::Error) -> Self {
        Self::Server(error)
    }
}

impl Link {
    pub(super) fn new(stream: Stream, home: Weak<Kept>) -> Box<Self> {
        Box::new(Self { stream, read: BytesMut::new(), out: Vec::new(), home, is_used: false })
    }

    /// Whether nothing has arrived since the last response, not even EOF: unexpected bytes must not be read as the next response.
    pub(super) fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.read.is_empty() && self.poll_read(&mut nobody, 1).is_pending()
    }

    /// Puts the connection where the next request finds it.
    pub(super) fn rest(mut self: Box<Self>) {
        if KEPT_BYTES_MAX < self.read.capacity() {
            self.read = BytesMut::new();
        }
        self.is_used = true;
        if let Some(home) = self.home.upgrade() {
            home.put(self);
        }
    }

    /// Reads what has come, at most about `most` bytes. Ready with 0 at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        self.read.reserve(most);
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }

    /// Sends a request and waits for the head of its answer. What is left of the request's body when the answer comes early is
    /// not sent any more, but thrown away as any body is that is dropped.
    ///
    /// # Errors
    /// [`BackendError::Body`] where the body of the request is incomplete, [`BackendError::Broken`] where the connection broke or
    /// the response was invalid.
    pub(super) fn exchange(
        mut self: Box<Self>,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Exchanged, BackendError>> {
        let is_head = request.method() == Method::HEAD;
        let (head, body) = request.into_parts();
        self.out.clear();
        let is_chunked = write_head(&mut self.out, &head, &body);
        let mut sending =
            Sending { body: Some(body), is_chunked, piece: Bytes::new(), at: 0, ending: false, is_refused: false };
        let has_body = sending.body.as_ref().is_some_and(|body| !body.is_end_stream());
        // No async fn: that would have room for the request twice.
        async move {
            let (mut began, mut heard) = (false, Heard::default());
            let outcome = std::future::poll_fn(|cx| {
                let sent = self.poll_send(cx, &mut sending, &mut began)?;
                match self.poll_head(cx, is_head, &mut heard) {
                    Poll::Ready(answer) => Poll::Ready(Ok::<_, Side>((answer?, sent.is_ready()))),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            match outcome {
                Ok((Head { response, framing, is_kept }, is_sent)) => {
                    let answer = Answer::new(self, framing, is_kept && is_sent);
                    Ok(Exchanged::Answered(response.map(|()| Body::Answered(answer))))
                }
                Err(Side::Caller(fault)) => Err(fault.into()),
                Err(Side::Server(_)) if !began && self.is_used => match sending.body.take() {
                    Some(body) => Ok(Exchanged::Unsent(Box::new(Request::from_parts(head, body)))),
                    None => Err(broken(&io::ErrorKind::BrokenPipe.into())),
                },
                Err(Side::Server(_)) if self.is_used && !has_body && !heard.anything => {
                    Ok(Exchanged::Unanswered(Box::new(Request::from_parts(head, Body::empty()))))
                }
                Err(Side::Server(error)) => Err(broken(&error)),
            }
        }
    }

    /// Sends what can be sent. Ready when all has been; never where the server takes no more: it may have answered before.
    fn poll_send(&mut self, cx: &mut Context<'_>, sending: &mut Sending, began: &mut bool) -> Poll<Result<(), Side>> {
        if sending.is_refused {
            return Poll::Pending;
        }
        loop {
            let next = if sending.at < self.out.len() { &self.out[sending.at..] } else { &sending.piece[..] };
            if !next.is_empty() {
                let n = match ready!(Pin::new(&mut self.stream).poll_write(cx, next)) {
                    Ok(n) if 0 < n => n,
                    failed if !*began => {
                        return Poll::Ready(Err(failed.err().unwrap_or(io::ErrorKind::WriteZero.into()).into()));
                    }
                    _ => {
                        sending.is_refused = true;
                        return Poll::Pending;
                    }
                };
                *began = true;
                if sending.at < self.out.len() {
                    sending.at += n
                } else {
                    sending.piece.advance(n)
                }
                continue;
            }
            if sending.is_done() {
                return self.poll_flush(cx, sending).map(Ok);
            }
            self.out.clear();
            sending.at = 0;
            if sending.poll_next(cx, &mut self.out).map_err(Side::Caller)?.is_pending() {
                // What is still in the TLS layer need not wait for what comes next.
                ready!(self.poll_flush(cx, sending));
                return Poll::Pending;
            }
        }
    }

    /// Sends what is in the TLS layer. Never ready where the server takes no more, as in `poll_send`.
    fn poll_flush(&mut self, cx: &mut Context<'_>, sending: &mut Sending) -> Poll<()> {
        if ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_ok() {
            return Poll::Ready(());
        }
        sending.is_refused = true;
        Poll::Pending
    }

    /// Reads the head of the answer.
    fn poll_head(&mut self, cx: &mut Context<'_>, is_head: bool, heard: &mut Heard) -> Poll<io::Result<Head>> {
        loop {
            while let Some(end) = head_end(&self.read, heard.searched) {
                let head = Head::parse(self.read.split_to(end).freeze(), is_head)?;
                // Interim responses are for a client that waits for `100 Continue`.
                if !head.response.status().is_informational() {
                    return Poll::Ready(Ok(head));
                }
                heard.searched = 0;
            }
            if HEAD_BYTES_MAX < self.read.len() {
                return Poll::Ready(Err(io::Error::other("response headers too long")));
            }
            heard.searched = self.read.len().saturating_sub(2);
            if ready!(self.poll_read(cx, READ_BYTES))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            heard.anything = true;
        }
    }
}

fn broken(error: &io::Error) -> BackendError {
    tracing::debug!(%error, "no valid response from upstream");
    BackendError::Broken
}

/// What has come of an answer.
#[derive(Debug, Default)]
struct Heard {
    /// Whether any of it has.
    anything: bool,
    /// So many bytes of it have been looked at.
    searched: usize,
}

/// A request's body on its way.
struct Sending {
    /// `None` once it has been sent, or is not wanted any more.
    body: Option<Body>,
    is_chunked: bool,
    piece: Bytes,
    /// How much of the connection's own bytes has been written.
    at: usize,
    /// Whether the line behind a piece is still to be written.
    ending: bool,
    /// Whether the server has stopped reading.
    is_refused: bool,
}

impl Sending {
    fn is_done(&self) -> bool {
        self.body.is_none() && !self.ending
    }

    /// Takes the next piece of the body; what goes before it is appended to `out`.
    fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), BodyFault>> {
        if std::mem::take(&mut self.ending) {
            out.extend_from_slice(b"\r\n");
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        // Asked only for what there is: a body that has ended need not be polled to tell.
        let frame = if body.is_end_stream() { None } else { ready!(Pin::new(body).poll_frame(cx)) };
        match frame {
            None => {
                self.body = None;
                if self.is_chunked {
                    out.extend_from_slice(b"0\r\n\r\n");
                }
            }
            Some(Err(error)) => {
                return Poll::Ready(Err(error.downcast().map_or(BodyFault::Broken, |fault| *fault)));
            }
            Some(Ok(frame)) => {
                self.piece = frame.into_data().unwrap_or_default();
                if self.is_chunked && !self.piece.is_empty() {
                    out.extend_from_slice(format!("{:x}\r\n", self.piece.len()).as_bytes());
                    self.ending = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes a request's head. Returns whether its body is to be sent in chunks.
fn write_head(out: &mut Vec<u8>, head: &Parts, body: &Body) -> bool {
    let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    put(&[head.method.as_str().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    if !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority()
    {
        put(&[b"host: ", authority.as_str().as_bytes(), b"\r\n"]);
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH && **name != TRANSFER_ENCODING)
    {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    let length = body.size_hint().exact();
    match length {
        // Without a body a length says no more, unless the method means one (RFC 9110, 8.6).
        Some(0) if !expects_body(&head.method, &head.headers) => put(&[b"\r\n"]),
        Some(length) => put(&[b"content-length: ", length.to_string().as_bytes(), b"\r\n\r\n"]),
        None => put(&[b"transfer-encoding: chunked\r\n\r\n"]),
    }
    length.is_none()
}

fn expects_body(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH) || headers.contains_key(CONTENT_LENGTH)
}

/// Where the head of an answer ends, if it has come whole. `searched` bytes have been looked at before.
pub(super) fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes.get(searched..)?).map(|at| searched + at).find_map(|at| match bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

impl Kept {
    /// A connection that is still open.
    pub(super) fn take(&self) -> Option<Box<Link>> {
        loop {
            let (since, mut link) = self.links().pop_back()?;
            if since.elapsed() < IDLE_TIMEOUT && link.is_open() {
                return Some(link);
            }
        }
    }

    pub(super) fn put(&self, link: Box<Link>) {
        let mut links = self.links();
        links.push_back((Instant::now(), link));
        let oldest = if IDLE_MAX < links.len() { links.pop_front() } else { None };
        drop(links);
        drop(oldest);
    }

    fn links(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Box<Link>)>> {
        // A connection is in it or not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("idle", &self.links().len()).finish()
    }
}

/// Closes connections that nobody needs any more, for as long as their pool lives.
pub(super) async fn sweep(kept: Weak<Kept>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut links = kept.links();
        let old = links.iter().take_while(|(since, _)| IDLE_TIMEOUT <= since.elapsed()).count();
        let old: Vec<_> = links.drain(..old).collect();
        drop(links);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_wherever_it_is_cut() {
        for (text, end) in [("HTTP/1.1 200 OK\r\na: b\r\n\r\nrest", 25), ("HTTP/1.1 200 OK\na: b\n\nrest", 22)] {
            for cut in 0..text.len() {
                let bytes = text.as_bytes();
                let first = head_end(&bytes[..cut], 0);
                assert_eq!(first, (end <= cut).then_some(end), "{cut}");
                assert_eq!(
                    head_end(bytes, if first.is_some() { 0 } else { cut.saturating_sub(2) }),
                    Some(end),
                    "{cut}"
                );
            }
        }
    }

    #[test]
    fn a_request_tells_how_long_its_body_is() {
        for (method, length, body, expected) in [
            (Method::GET, None, Body::empty(), "GET /x?y HTTP/1.1\r\nhost: a.test\r\n\r\n"),
            (Method::POST, None, Body::empty(), "POST /x?y HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n"),
            (
                Method::DELETE,
                Some("0"),
                Body::empty(),
                "DELETE /x?y HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n",
            ),
            // What it is counts, not what somebody said.
            (
                Method::POST,
                Some("9"),
                Body::from("abc"),
                "POST /x?y HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\n",
            ),
        ] {
            let mut request = Request::builder().method(method).uri("http://a.test/x?y");
            if let Some(length) = length {
                request = request.header(CONTENT_LENGTH, length);
            }
            let (head, ()) = request.body(()).expect("legal").into_parts();
            let mut out = Vec::new();
            assert!(!write_head(&mut out, &head, &body));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
