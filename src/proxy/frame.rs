//! The first frame of a GraphQL socket: it names the session (bbb.md 8.1, step 5).

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// `connection_init` has some hundred bytes; a browser that sends more is none.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// The client sends it as soon as the socket is open.
pub(super) const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// What a first frame told, and all bytes that were read for it.
#[derive(Debug)]
pub(super) struct First {
    /// The session token.
    pub(super) token: String,
    /// All that was read, to be passed on.
    pub(super) bytes: Bytes,
}

/// Reads from a socket, after `read` has been read already, until its first frame is whole.
///
/// # Errors
/// `InvalidData` for what is no text frame with a `connection_init` that names a session; the connection's own.
pub(super) async fn read_first(socket: &mut (impl AsyncRead + Unpin), read: Bytes) -> io::Result<First> {
    let mut bytes = BytesMut::from(read);
    loop {
        match parse(&bytes)? {
            Some(token) => return Ok(First { token, bytes: bytes.freeze() }),
            None if socket.read_buf(&mut bytes).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            None => {}
        }
    }
}

/// The token of a first frame; `None` while it is not whole (RFC 6455, 5.2).
fn parse(bytes: &[u8]) -> io::Result<Option<String>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let [head, length, ..] = *bytes else { return Ok(None) };
    // One whole text frame (FIN, opcode 1, no extension), masked as a client's is.
    if head != 0x81 || length & 0x80 == 0 {
        return Err(invalid());
    }
    let (payload_bytes, mask_at) = match length & 0x7f {
        126 => match *bytes {
            [_, _, a, b, ..] => (usize::from(u16::from_be_bytes([a, b])), 4),
            _ => return Ok(None),
        },
        127 => return Err(invalid()),
        short => (usize::from(short), 2),
    };
    if payload_bytes > FRAME_BYTES_MAX {
        return Err(invalid());
    }
    let Some(rest) = bytes.get(mask_at..mask_at + 4 + payload_bytes) else { return Ok(None) };
    let (mask, payload) = rest.split_at(4);
    let text: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
    let init: ConnectionInit = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if init.kind == "connection_init" { Ok(Some(init.payload.headers.token)) } else { Err(invalid()) }
}

#[derive(Deserialize)]
struct ConnectionInit {
    #[serde(rename = "type")]
    kind: String,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    headers: Headers,
}

#[derive(Deserialize)]
struct Headers {
    #[serde(rename = "X-Session-Token")]
    token: String,
}

/// A close frame as a server sends it.
#[must_use]
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![0x88, 0];
    frame.extend(code.to_be_bytes());
    // A control frame holds 125 bytes (RFC 6455, 5.5).
    frame.extend(reason.bytes().take(123));
    frame[1] = u8::try_from(frame.len() - 2).unwrap_or(125);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x81];
        if text.len() < 126 {
            frame.push(0x80 | u8::try_from(text.len()).expect("short"));
        } else {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).expect("not too long").to_be_bytes());
        }
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        frame
    }

    fn init(token: &str) -> String {
        format!(r#"{{"type":"connection_init","payload":{{"headers":{{"X-Session-Token":"{token}","X":"y"}}}}}}"#)
    }

    #[tokio::test]
    async fn the_token_is_found_however_the_bytes_come() {
        let mut bytes = frame(&init("abc"));
        let whole = bytes.len();
        bytes.extend(b"more");
        for cut in 0..bytes.len() {
            let mut rest = &bytes[cut..];
            let first = read_first(&mut rest, Bytes::copy_from_slice(&bytes[..cut])).await.expect("a first frame");
            assert_eq!(first.token, "abc");
            assert!(first.bytes.len() >= whole && bytes.starts_with(&first.bytes));
        }
    }

    #[tokio::test]
    async fn what_is_no_first_frame_is_an_error() {
        let unmasked = {
            let mut f = frame(&init("abc"));
            f[1] &= 0x7f;
            f
        };
        let binary = {
            let mut f = frame(&init("abc"));
            f[0] = 0x82;
            f
        };
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            unmasked,
            binary,
            frame("{}"),
            frame(r#"{"type":"ping"}"#),
            frame(r#"{"type":"subscribe","payload":{"headers":{"X-Session-Token":"a"}}}"#),
            vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1],
            vec![0x81, 0xfe, 0xff, 0xff],
            frame(&init("abc"))[..20].to_vec(),
            vec![],
        ] {
            assert!(read_first(&mut &bytes[..], Bytes::new()).await.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_close_frame_has_code_and_reason() {
        assert_eq!(close(4403, "no"), [0x88, 4, 0x11, 0x33, b'n', b'o']);
        assert_eq!(close(1000, &"x".repeat(500)).len(), 127);
    }
}
