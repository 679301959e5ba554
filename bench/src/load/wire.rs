//! One HTTP/1.1 connection: one request, one answer, again and again.
//!
//! A small client of its own, so that the generator costs little beside what it measures: requests are written as they
//! are, one read buffer is kept, and of an answer only its framing is looked at.

use std::{io, ops::Range};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// More fields than any answer of BBB or the gateway has.
const HEADERS_MAX: usize = 64;
/// A list of thousands of meetings fits; what is longer is a fault.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The bytes below.
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// A stream of an HTTP/2 connection.
    Shared(Box<TokioIo<Upgraded>>),
}

impl Stream {
    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        into.reserve(16 * 1024);
        let read = match self {
            Self::Plain(stream) => stream.read_buf(into).await?,
            Self::Tls(stream) => stream.read_buf(into).await?,
            Self::Shared(stream) => stream.read_buf(into).await?,
        };
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Shared(stream) => stream.write_all(bytes).await,
        }
    }
}

/// A connection.
pub struct Wire {
    stream: Stream,
    /// The answer as it came; the body of a chunked one is decoded in place.
    buffer: Vec<u8>,
}

/// An answer, for as long as nothing else is asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// The status line and the header fields.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// The value of the first field of that name, in lower case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head).ok()?.split("\r\n").skip(1).find_map(|line| {
            let (have, value) = line.split_once(':')?;
            have.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The cookies that were set, as a browser sends them back.
    #[must_use]
    pub fn cookies(&self) -> String {
        let head = String::from_utf8_lossy(self.head);
        let set = head.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next().unwrap_or("").trim().to_owned())
        });
        set.collect::<Vec<_>>().join("; ")
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    framing: Framing,
}

impl Wire {
    /// A connection on a stream that nothing has been read from.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Whether the handshake resumed a session; `None` without TLS.
    #[must_use]
    pub fn is_resumed(&self) -> Option<bool> {
        match &self.stream {
            Stream::Plain(_) | Stream::Shared(_) => None,
            Stream::Tls(stream) => Some(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)),
        }
    }

    /// What the handshake has agreed on: version, cipher, key exchange; `None` without TLS.
    #[must_use]
    pub fn agreed(&self) -> Option<String> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let tls = stream.get_ref().1;
        let version = tls.protocol_version()?.as_str()?;
        let (suite, group) = (tls.negotiated_cipher_suite()?.suite(), tls.negotiated_key_exchange_group()?.name());
        Some(format!("{version}, {}, {}", suite.as_str()?, group.as_str()?))
    }

    /// Sends a request and reads its answer whole.
    ///
    /// # Errors
    /// The connection's, and `InvalidData` for what is no HTTP/1.1 answer with a known end.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.buffer.clear();
        self.stream.write(request).await?;
        let head = loop {
            self.stream.read(&mut self.buffer).await?;
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
        };
        let body = match head.framing {
            Framing::Length(length) => {
                let end = head.bytes.checked_add(length).filter(|end| *end <= ANSWER_BYTES_MAX).ok_or_else(invalid)?;
                while self.buffer.len() < end {
                    self.stream.read(&mut self.buffer).await?;
                }
                head.bytes..end
            }
            Framing::Chunked => self.chunks(head.bytes).await?,
        };
        Ok(Reply { status: head.status, head: &self.buffer[..head.bytes], body: &self.buffer[body] })
    }

    /// Reads a chunked body that begins at `start`, and moves its parts together.
    async fn chunks(&mut self, start: usize) -> io::Result<Range<usize>> {
        let (mut at, mut end) = (start, start);
        loop {
            let Some((size, digits)) = chunk_size(&self.buffer[at..])? else {
                self.stream.read(&mut self.buffer).await?;
                continue;
            };
            at += digits;
            let next = at.checked_add(size + 2).filter(|next| *next <= ANSWER_BYTES_MAX).ok_or_else(invalid)?;
            while self.buffer.len() < next {
                self.stream.read(&mut self.buffer).await?;
            }
            self.buffer.copy_within(at..at + size, end);
            (at, end) = (next, end + size);
            if size == 0 {
                return Ok(start..end);
            }
        }
    }

    /// Ends the connection as a browser does.
    pub async fn close(mut self) {
        // What the other side makes of it is its own business.
        let _ = match &mut self.stream {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Tls(stream) => stream.shutdown().await,
            Stream::Shared(stream) => stream.shutdown().await,
        };
    }

    /// Sends bytes and reads until `until` bytes have come, for what is no HTTP any more.
    ///
    /// # Errors
    /// The connection's.
    pub async fn raw(&mut self, bytes: &[u8], until: usize) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.stream.write(bytes).await?;
        while self.buffer.len() < until {
            self.stream.read(&mut self.buffer).await?;
        }
        Ok(&self.buffer)
    }

    /// Sends bytes and reads until so many messages of a WebSocket have come whole, be they in one frame or in several.
    ///
    /// # Errors
    /// The connection's.
    pub async fn messages(&mut self, bytes: &[u8], messages: usize) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.stream.write(bytes).await?;
        let (mut at, mut whole) = (0, 0);
        while whole < messages {
            match frame(&self.buffer[at..]) {
                Some((end, is_last)) => {
                    at += end;
                    whole += usize::from(is_last);
                }
                None => self.stream.read(&mut self.buffer).await?,
            }
        }
        Ok(&self.buffer)
    }

    /// Asks for a WebSocket and returns the status. What comes behind the head is kept for [`Wire::answered`].
    ///
    /// # Errors
    /// See [`Wire::exchange`].
    pub async fn upgrade(&mut self, request: &[u8]) -> io::Result<u16> {
        let reply = self.exchange(request).await?;
        let (status, head) = (reply.status, reply.head.len());
        self.buffer.drain(..head);
        Ok(status)
    }

    /// Sends bytes and reads frames of a WebSocket until one holds the answer. Other ones are passed over, and what comes behind
    /// it is kept for the next time.
    ///
    /// # Errors
    /// The connection's.
    pub async fn answered(&mut self, bytes: &[u8], answer: &[u8]) -> io::Result<()> {
        self.stream.write(bytes).await?;
        loop {
            while let Some((end, _)) = frame(&self.buffer) {
                let found = self.buffer[..end].windows(answer.len()).any(|part| part == answer);
                self.buffer.drain(..end);
                if found {
                    return Ok(());
                }
            }
            self.stream.read(&mut self.buffer).await?;
        }
    }

    /// Gives the read buffer back, for a connection that is to be idle.
    pub fn rest(&mut self) {
        self.buffer.shrink_to_fit();
    }
}

/// The length of the first frame of a server, and whether it ends a message; `None` while it has not come whole.
fn frame(bytes: &[u8]) -> Option<(usize, bool)> {
    let [first, length, ..] = *bytes else { return None };
    let (payload, head) = match length & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = head + usize::try_from(payload).ok()?;
    (end <= bytes.len()).then_some((end, first & 0x80 != 0 && first & 0x0f < 8))
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The head at the start of `bytes`; `None` while it is not whole.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let status = response.code.ok_or_else(invalid)?;
    let value = |name: &str| {
        response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    let framing = if matches!(status, 101 | 204 | 304) {
        Framing::Length(0)
    } else if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        Framing::Chunked
    } else {
        let length = value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        Framing::Length(length.ok_or_else(invalid)?)
    };
    Ok(Some(Head { status, bytes: length, framing }))
}

/// The size of a chunk and the length of the line that says it; `None` while that is not whole.
fn chunk_size(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((line, size))) => {
            let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_BYTES_MAX).ok_or_else(invalid)?;
            Ok(Some((size, line)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection whose other side sends these pieces, one after the other, for one request.
    async fn answered(pieces: &'static [&'static str]) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await;
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.expect("written");
                tokio::task::yield_now().await;
            }
        });
        Wire::new(Stream::Plain(TcpStream::connect(address).await.expect("connected")))
    }

    #[tokio::test]
    async fn an_answer_ends_where_its_framing_says() {
        for (name, pieces, expected) in [
            ("length", &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"] as &[_], Ok((200, "hello"))),
            ("in pieces", &["HTTP/1.1 302 Fo", "und\r\ncontent-length: 2\r\n\r", "\no", "k"], Ok((302, "ok"))),
            (
                "chunked",
                &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe", "llo\r\n1", "\r\n!\r\n0\r\n\r\n"],
                Ok((200, "hello!")),
            ),
            ("no body", &["HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"], Ok((101, ""))),
            ("cut off", &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"], Err(io::ErrorKind::UnexpectedEof)),
            ("no end known", &["HTTP/1.1 200 OK\r\n\r\nhello"], Err(io::ErrorKind::InvalidData)),
        ] {
            let mut wire = answered(pieces).await;
            let reply = wire.exchange(b"GET / HTTP/1.1\r\n\r\n").await;
            let reply = reply.as_ref().map(|reply| (reply.status, std::str::from_utf8(reply.body).expect("text")));
            assert_eq!(reply.map_err(io::Error::kind), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_found_among_other_frames_and_the_rest_is_kept() {
        let frames =
            &["HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02pi\x02", "\x04pi", "ng\x01\x04pong\x01\x04po", "ng"]
                as &[_];
        let mut wire = answered(frames).await;
        assert_eq!(wire.upgrade(b"GET / HTTP/1.1\r\n\r\n").await.expect("answered"), 101);
        wire.answered(b"", b"pong").await.expect("answered");
        wire.answered(b"", b"pong").await.expect("answered");
        assert!(wire.answered(b"", b"pong").await.is_err(), "the other side has gone");
    }

    #[test]
    fn fields_and_cookies_are_found() {
        let head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\n";
        let reply = Reply { status: 302, head, body: b"" };
        assert_eq!(reply.header("location"), Some("/x"));
        assert_eq!(reply.header("content-type"), None);
        assert_eq!(reply.cookies(), "a=1; b=2");
    }
}
