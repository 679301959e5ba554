//! Responses of a server: head, and body with its framing (RFC 9112, 6).

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{
    link::Link,
    watch::{BodyError, Watch},
};

/// Size of a read.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// Maximum number of header fields.
const FIELDS_MAX: usize = 100;
/// Maximum of the size line of a chunk, and of all trailers together.
const LINES_BYTES_MAX: usize = 16 * 1024;

/// Framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Remaining bytes of a body with a length.
    Length(u64),
    /// Chunked.
    Chunked(Chunk),
    /// Until the connection is closed.
    Close,
}

/// Position in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In a size line.
    Size,
    /// In a chunk, with its remaining bytes.
    Data(u64),
    /// In the line end after a chunk.
    End,
    /// In the trailers, with the number of their bytes so far.
    Trailer(usize),
    /// After the last trailer.
    Done,
}

/// Head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection can be reused.
    pub(super) is_kept: bool,
}

impl Head {
    /// Parses a complete head. `is_head`: the request was a `HEAD`.
    pub(super) fn parse(bytes: Bytes, is_head: bool) -> io::Result<Self> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        if parsed.parse(&bytes).map_err(io::Error::other)?.is_partial() {
            return Err(invalid("incomplete response headers"));
        }
        let status =
            parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| invalid("no status"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(invalid("unexpected upgrade"));
        }
        let mut headers = HeaderMap::with_capacity(parsed.headers.len());
        for field in &*parsed.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(io::Error::other)?;
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(io::Error::other)?;
            headers.append(name, value);
        }
        let framing = if is_head || status.is_informational() || matches!(status.as_u16(), 204 | 304) {
            Framing::Length(0)
        } else {
            framing(&mut headers)?
        };
        let closes = headers.get_all(CONNECTION).iter().any(|value| names(value, "close"));
        let is_kept = parsed.version == Some(1) && !closes && framing != Framing::Close;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(Self { response, framing, is_kept })
    }
}

/// Whether a list of tokens has one.
fn names(list: &HeaderValue, token: &str) -> bool {
    list.as_bytes().split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// How a body ends. Chunks outweigh a length, which is not passed on then (RFC 9112, 6.3).
fn framing(headers: &mut HeaderMap) -> io::Result<Framing> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(invalid("unexpected transfer coding"));
        }
        headers.remove(CONTENT_LENGTH);
        return Ok(Framing::Chunked(Chunk::Size));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(Framing::Close) };
    if lengths.any(|other| other != first) || !first.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(invalid("invalid content length"));
    }
    let length = first.to_str().ok().and_then(|length| length.parse().ok());
    length.map(Framing::Length).ok_or_else(|| invalid("content length out of range"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The body of an answer, taken from its connection as it comes. Once it is whole the connection is there for the next request;
/// one that is not taken to its end goes with its connection.
pub struct Answer {
    /// `None` once the body is whole.
    link: Option<Box<Link>>,
    framing: Framing,
    is_kept: bool,
    watch: Option<Watch>,
}

impl Answer {
    pub(super) fn new(link: Box<Link>, framing: Framing, is_kept: bool) -> Self {
        let mut answer = Self { link: Some(link), framing, is_kept, watch: None };
        if answer.framing == Framing::Length(0) {
            answer.end();
        }
        answer
    }

    /// The same, looked at as it passes.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    fn end(&mut self) {
        if let Some(link) = self.link.take().filter(|_| self.is_kept) {
            link.rest();
        }
    }

    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Some(link) = &mut self.link else { return Poll::Ready(Ok(None)) };
            if let Some(piece) = self.framing.take(&mut link.read)? {
                if self.framing.is_over() {
                    self.end();
                }
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.framing.is_over() {
                self.end();
                return Poll::Ready(Ok(None));
            }
            let most = match self.framing {
                Framing::Length(left) => usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES)),
                _ => READ_BYTES,
            };
            if ready!(link.poll_read(cx, most))? == 0 {
                self.link = None;
                return Poll::Ready(match self.framing {
                    Framing::Close => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }
}

impl Framing {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Takes a piece of the body from what has come; `None` where there is none yet, or none any more.
    pub(super) fn take(&mut self, read: &mut bytes::BytesMut) -> io::Result<Option<Bytes>> {
        let upto = |left: &mut u64, read: &mut bytes::BytesMut| {
            let n = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
            *left = left.saturating_sub(n as u64);
            read.split_to(n).freeze()
        };
        match self {
            _ if read.is_empty() => Ok(None),
            Self::Close => Ok(Some(read.split().freeze())),
            Self::Length(left) if 0 < *left => Ok(Some(upto(left, read))),
            Self::Length(_) => Ok(None),
            Self::Chunked(chunk) => loop {
                match chunk {
                    Chunk::Data(left) if read.is_empty() && 0 < *left => return Ok(None),
                    Chunk::Data(left) => {
                        let piece = upto(left, read);
                        if *left == 0 {
                            *chunk = Chunk::End;
                        }
                        return Ok(Some(piece));
                    }
                    Chunk::Done => return Ok(None),
                    Chunk::Size => {
                        let Some((line, size)) = chunk_size(read)? else { return Ok(None) };
                        drop(read.split_to(line));
                        *chunk = if size == 0 { Chunk::Trailer(0) } else { Chunk::Data(size) };
                    }
                    Chunk::End => match read[..] {
                        [b'\r', b'\n', ..] => {
                            drop(read.split_to(2));
                            *chunk = Chunk::Size;
                        }
                        [] | [b'\r'] => return Ok(None),
                        _ => return Err(invalid("chunk longer than its size")),
                    },
                    Chunk::Trailer(lines) => {
                        let Some(end) = memchr::memchr(b'\n', read) else {
                            let is_short = lines.saturating_add(read.len()) <= LINES_BYTES_MAX;
                            return if is_short { Ok(None) } else { Err(invalid("trailers too long")) };
                        };
                        let line = read.split_to(end.saturating_add(1));
                        *lines = lines.saturating_add(line.len());
                        if line.trim_ascii().is_empty() {
                            *chunk = Chunk::Done;
                        } else if LINES_BYTES_MAX < *lines {
                            return Err(invalid("trailers too long"));
                        }
                    }
                }
            },
        }
    }
}

/// The length of the line that tells a chunk's size, and the size; `None` while it has not come whole.
fn chunk_size(bytes: &[u8]) -> io::Result<Option<(usize, u64)>> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete(found)) => Ok(Some(found)),
        Ok(httparse::Status::Partial) if bytes.len() <= LINES_BYTES_MAX => Ok(None),
        _ => Err(invalid("invalid chunk size")),
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let answer = self.get_mut();
        let piece = match ready!(answer.poll_piece(cx)) {
            Ok(Some(piece)) => piece,
            Ok(None) => return Poll::Ready(None),
            Err(error) => {
                answer.link = None;
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        if let Some(watch) = &mut answer.watch
            && let Err(error) = watch.0(&piece)
        {
            answer.link = None;
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.link, self.framing) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Framing::Length(left)) => SizeHint::with_exact(left),
            (Some(_), Framing::Chunked(_) | Framing::Close) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("framing", &self.framing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn head(text: &str) -> io::Result<Head> {
        Head::parse(Bytes::copy_from_slice(text.as_bytes()), false)
    }

    #[test]
    fn a_head_tells_where_its_body_ends() {
        let chunked = Framing::Chunked(Chunk::Size);
        for (text, framing, is_kept) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: Close\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", chunked, true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n", chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close, false),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Framing::Length(0), true),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Framing::Length(0), true),
        ] {
            let head = head(text).expect("legal");
            assert_eq!((head.framing, head.is_kept), (framing, is_kept), "{text}");
            let told = head.response.headers().contains_key(CONTENT_LENGTH);
            assert_eq!(told, text.contains("content-length") && framing != chunked, "{text}");
        }
        let of_head = Head::parse(Bytes::from("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), true).expect("legal");
        assert_eq!(of_head.framing, Framing::Length(0));
        assert_eq!(of_head.response.headers()[CONTENT_LENGTH], "5");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_answer() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(head(text).is_err(), "{text}");
        }
    }

    /// What a body came to that arrives in pieces, and whether it ended.
    fn decoded(input: &[u8], cuts: &[usize]) -> io::Result<(Vec<u8>, bool)> {
        let (mut framing, mut read, mut all) = (Framing::Chunked(Chunk::Size), BytesMut::new(), Vec::new());
        let mut from = 0;
        for to in cuts.iter().copied().chain([input.len()]) {
            read.extend_from_slice(&input[from..to]);
            from = to;
            while let Some(piece) = framing.take(&mut read)? {
                all.extend_from_slice(&piece);
            }
        }
        Ok((all, framing.is_over()))
    }

    #[test]
    fn chunks_that_are_none_are_noticed() {
        for (text, expected) in [
            ("5\r\nhello\r\n0\r\n\r\n", Some(("hello", true))),
            ("5;x=y\r\nhello\r\n0\r\na: b\r\nc: d\r\n\r\n", Some(("hello", true))),
            ("5\r\nhello\r\n0\r\n", Some(("hello", false))),
            ("5\r\nhel", Some(("hel", false))),
            ("5\r\nhello!\r\n0\r\n\r\n", None),
            ("x\r\nhello\r\n", None),
            ("fffffffffffffffff\r\n", None),
        ] {
            let found = decoded(text.as_bytes(), &[]).ok();
            let found = found.as_ref().map(|(bytes, ended)| (std::str::from_utf8(bytes).expect("text"), *ended));
            assert_eq!(found, expected, "{text}");
        }
        let endless = format!("0\r\n{}", "a: b\r\n".repeat(4000));
        assert!(decoded(endless.as_bytes(), &[]).is_err());
    }

    proptest! {
        #[test]
        fn chunks_come_out_as_they_went_in(
            chunks in vec(vec(any::<u8>(), 1..60), 0..6),
            cuts in vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend(format!("{:X}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            input.extend(b"0\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).collect();
            cuts.sort_unstable();
            let (bytes, ended) = decoded(&input, &cuts).expect("legal");
            prop_assert!(ended);
            prop_assert_eq!(bytes, chunks.concat());
        }

        #[test]
        fn nothing_that_comes_panics(input in vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
            let cut = if input.is_empty() { 0 } else { cut.index(input.len()) };
            let _ = decoded(&input, &[cut]);
            let _ = Head::parse(input.into(), false);
        }
    }
}
