//! HTTP/2 frames written by hand, so that no library keeps to the rules (RFC 9113, RFC 7541): for attackers, and for tests
//! of faulty clients.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The code of an end without a fault.
pub const NO_ERROR: u32 = 0;
/// The code of a stream that is not wanted any more.
pub const CANCEL: u32 = 8;
/// The setting of how much may be sent on a stream before it is asked for.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A request of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method, in upper case.
    pub method: &'a str,
    /// The host, and its port where that is not the usual one.
    pub authority: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// Names in lower case, with their values.
    pub fields: &'a [(&'a str, &'a str)],
    /// Whether a body comes behind it.
    pub has_body: bool,
}

/// One frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("payloads here are short").to_be_bytes();
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend(&length[1..]);
    frame.extend([kind, flags]);
    frame.extend((stream & 0x7fff_ffff).to_be_bytes());
    frame.extend(payload);
    frame
}

/// Settings without any.
#[must_use]
pub fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// Settings that let nothing of a body come.
#[must_use]
pub fn closed_window() -> Vec<u8> {
    let mut payload = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    payload.extend(0_u32.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// A ping that is to be answered.
#[must_use]
pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// Bytes of a body that goes on.
#[must_use]
pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// The last bytes of a body.
#[must_use]
pub fn last_data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, bytes)
}

/// The end of a stream before its time, with the reason: [`CANCEL`], or another code of RFC 9113, 7.
#[must_use]
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The end of a connection: none of the peer's streams was taken.
#[must_use]
pub fn goaway(code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[[0; 4], code.to_be_bytes()].concat())
}

/// The head of a request.
#[must_use]
pub fn headers(stream: u32, asked: &Asked<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo =
        [(":method", asked.method), (":scheme", "https"), (":authority", asked.authority), (":path", asked.path)];
    for (name, value) in pseudo.iter().chain(asked.fields) {
        // Without an index, and not to be kept (RFC 7541, 6.2.2).
        block.push(0);
        string(name, &mut block);
        string(value, &mut block);
    }
    let flags = if asked.has_body { END_HEADERS } else { END_HEADERS | END_STREAM };
    frame(HEADERS, flags, stream, &block)
}

/// A string as it is: its length with a prefix of 7 bits (RFC 7541, 5.1), then its bytes.
fn string(text: &str, into: &mut Vec<u8>) {
    let mut left = text.len();
    if left < 127 {
        into.push(left as u8);
    } else {
        into.push(127);
        left -= 127;
        while 128 <= left {
            into.push((left % 128) as u8 | 0x80);
            left /= 128;
        }
        into.push(left as u8);
    }
    into.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_length_kind_flags_and_stream() {
        for (name, bytes, expected) in [
            ("settings", settings(), &[0, 0, 0, 4, 0, 0, 0, 0, 0][..]),
            ("no window", closed_window(), &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]),
            ("ping", ping(), &[0, 0, 8, 6, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]),
            ("data", data(3, b"x"), &[0, 0, 1, 0, 0, 0, 0, 0, 3, b'x']),
            ("last data", last_data(3, b"x"), &[0, 0, 1, 0, 1, 0, 0, 0, 3, b'x']),
            ("end", goaway(NO_ERROR), &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("reset", reset(5, CANCEL), &[0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]),
        ] {
            assert_eq!(bytes, expected, "{name}");
        }
        let asked = Asked { method: "GET", authority: "a", path: "/", fields: &[], has_body: false };
        let head = headers(1, &asked);
        assert_eq!(head[3..9], [1, 5, 0, 0, 0, 1]);
        assert_eq!(head[9..22], *b"\0\x07:method\x03GET");
        assert_eq!(headers(1, &Asked { has_body: true, ..asked })[4], 4);
    }

    #[test]
    fn a_long_string_has_its_length_in_several_bytes() {
        for (length, head) in [(126, &[126][..]), (127, &[127, 0]), (254, &[127, 127]), (255, &[127, 128, 1])] {
            let mut bytes = Vec::new();
            string(&"x".repeat(length), &mut bytes);
            assert_eq!((&bytes[..head.len()], bytes.len()), (head, head.len() + length));
        }
    }

    /// An HTTP/2 server that keeps to the rules understands them.
    #[tokio::test]
    async fn a_server_reads_what_is_written() {
        use http_body_util::Empty;
        use hyper_util::rt::{TokioExecutor, TokioIo};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (mut client, server) = tokio::io::duplex(1 << 16);
        let service = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
            assert_eq!((request.uri().path(), request.headers()["x-a"].as_bytes()), ("/x", &b"b"[..]));
            Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
        });
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(server), service),
        );
        let asked = Asked { method: "GET", authority: "a.test", path: "/x", fields: &[("x-a", "b")], has_body: false };
        let first = [PREFACE, &settings()[..], &headers(1, &asked)].concat();
        client.write_all(&first).await.expect("written");
        let mut bytes = Vec::new();
        // A head of stream 1, with the indexed status 200.
        while !bytes.windows(10).any(|part| part[3] == HEADERS && part[5..10] == [0, 0, 0, 1, 0x88]) {
            assert!(0 < client.read_buf(&mut bytes).await.expect("read"), "{bytes:?}");
        }
    }
}
