//! The first frame of a GraphQL socket: it names the session (docs/reference/bbb-protocol.md, "Page load of 3.0").
//!
//! BBB's middleware reads JSON in another way than the gateway does: what is read here is never passed on. The frame is
//! written anew from the values that were understood, and one that has anything else in it is refused.

use std::{io, time::Duration};

use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::session_token::is_token;

/// `connection_init` has some hundred bytes; a browser that sends more is none.
const FRAME_BYTES_MAX: usize = 4 * 1024;
/// The client sends it as soon as the socket is open.
pub(super) const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest id that a client gives itself: BBB's has 36 characters.
const UUID_BYTES_MAX: usize = 128;
/// The longest name of a kind of client: BBB's is `HTML5`.
const CLIENT_TYPE_BYTES_MAX: usize = 32;
/// A text frame with FIN and without extensions.
const WHOLE_TEXT: u8 = 0x81;
/// The bit that says that a frame is masked, as a client's must be.
const MASKED: u8 = 0x80;

/// What a first frame told, and the bytes that go on.
#[derive(Debug)]
pub(super) struct First {
    /// The session token.
    pub(super) token: String,
    /// The frame, written anew, and what was read behind it, as it came.
    pub(super) bytes: Bytes,
}

/// Reads from a socket, after `read` has been read already, until its first frame is whole.
///
/// # Errors
/// `InvalidData` for what is no text frame with a `connection_init` that names a session; the connection's own.
pub(super) async fn read_first(socket: &mut (impl AsyncRead + Unpin), read: Bytes) -> io::Result<First> {
    let mut bytes = BytesMut::from(read);
    loop {
        match rewritten(&bytes)? {
            Some((token, frame, length)) => {
                let mut out = BytesMut::from(&frame[..]);
                out.extend_from_slice(&bytes[length..]);
                return Ok(First { token, bytes: out.freeze() });
            }
            None if socket.read_buf(&mut bytes).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            None => {}
        }
    }
}

/// The token of a first frame, the frame that goes on in its place, and how many bytes it replaces; `None` while it is not
/// whole.
///
/// # Errors
/// `InvalidData`: see [`read_first`].
pub(super) fn rewritten(bytes: &[u8]) -> io::Result<Option<(String, Vec<u8>, usize)>> {
    let Some((text, length)) = payload(bytes)? else { return Ok(None) };
    let init: Init = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if !init.is_sound() {
        return Err(invalid());
    }
    let text = serde_json::to_vec(&init).map_err(|_| invalid())?;
    let mut mask = [0; 4];
    rand::fill(&mut mask).map_err(io::Error::other)?;
    Ok(Some((init.payload.headers.token, masked(&text, mask)?, length)))
}

/// The unmasked payload of the frame that bytes begin with, and the frame's length; `None` while it is not whole
/// (RFC 6455, 5.2).
fn payload(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let [head, length, ..] = *bytes else { return Ok(None) };
    if head != WHOLE_TEXT || length & MASKED == 0 {
        return Err(invalid());
    }
    let (payload_bytes, mask_at) = match length & !MASKED {
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
    let end = payload_bytes.saturating_add(mask_at).saturating_add(4);
    let Some(rest) = bytes.get(mask_at..end) else { return Ok(None) };
    let (mask, payload) = rest.split_at(4);
    Ok(Some((payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect(), end)))
}

/// A text frame as a client sends it.
///
/// # Errors
/// `InvalidData` for a text that is longer than 65,535 bytes.
pub(super) fn masked(text: &[u8], mask: [u8; 4]) -> io::Result<Vec<u8>> {
    let mut frame = vec![WHOLE_TEXT];
    match u8::try_from(text.len()) {
        Ok(short @ ..126) => frame.push(MASKED | short),
        _ => {
            frame.push(MASKED | 126);
            frame.extend(u16::try_from(text.len()).map_err(|_| invalid())?.to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    Ok(frame)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What the clients of BBB 3.0 and 4.0 send, in the order in which it goes on. A name that is not here, or is here twice, is
/// an error.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Init {
    #[serde(rename = "type")]
    kind: String,
    payload: Payload,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    headers: Headers,
}

/// The middleware of 3.0 asks for all four, and says so to a client that lacks one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    #[serde(rename = "X-Session-Token")]
    token: String,
    #[serde(rename = "X-ClientSessionUUID", default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(rename = "X-ClientType", default, skip_serializing_if = "Option::is_none")]
    client_type: Option<String>,
    #[serde(rename = "X-ClientIsMobile", default, skip_serializing_if = "Option::is_none")]
    is_mobile: Option<String>,
}

impl Init {
    /// Whether each value is one that a client has for it.
    fn is_sound(&self) -> bool {
        let Headers { token, uuid, client_type, is_mobile } = &self.payload.headers;
        let is_word = |text: &Option<String>, most: usize| {
            text.as_ref().is_none_or(|text| text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic()))
        };
        self.kind == "connection_init"
            && is_token(token)
            && is_word(uuid, UUID_BYTES_MAX)
            && is_word(client_type, CLIENT_TYPE_BYTES_MAX)
            && is_mobile.as_ref().is_none_or(|flag| flag == "true" || flag == "false")
    }
}

/// A text frame as a server sends it; `None` for a text that is longer than 65,535 bytes.
#[must_use]
pub(super) fn text(text: &str) -> Option<Vec<u8>> {
    let mut frame = vec![WHOLE_TEXT];
    match u8::try_from(text.len()) {
        Ok(short @ ..126) => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    Some(frame)
}

/// A close frame as a server sends it.
#[must_use]
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![0x88, 0];
    frame.extend(code.to_be_bytes());
    // A control frame holds 125 bytes (RFC 6455, 5.5).
    frame.extend(reason.bytes().take(123));
    frame[1] = u8::try_from(frame.len().saturating_sub(2)).unwrap_or(125);
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
        with_headers(&format!(r#""X-Session-Token":"{token}""#))
    }

    fn with_headers(headers: &str) -> String {
        format!(r#"{{"type":"connection_init","payload":{{"headers":{{{headers}}}}}}}"#)
    }

    /// The text of the frame that goes on, and what comes behind it.
    fn sent(bytes: &[u8]) -> (String, &[u8]) {
        let (text, length) = payload(bytes).expect("a frame").expect("a whole one");
        (String::from_utf8(text).expect("a text"), &bytes[length..])
    }

    async fn first(bytes: &[u8]) -> io::Result<First> {
        read_first(&mut &bytes[..], Bytes::new()).await
    }

    #[tokio::test]
    async fn the_token_is_found_however_the_bytes_come() {
        let mut bytes = frame(&init("abc"));
        bytes.extend(b"more");
        for cut in 0..bytes.len() {
            let mut rest = &bytes[cut..];
            let first = read_first(&mut rest, Bytes::copy_from_slice(&bytes[..cut])).await.expect("a first frame");
            assert_eq!(first.token, "abc");
            let (text, behind) = sent(&first.bytes);
            assert_eq!(text, init("abc"));
            assert!(b"more".starts_with(behind), "what comes behind it goes on as it is");
        }
    }

    #[tokio::test]
    async fn what_goes_on_is_written_anew_from_what_was_understood() {
        let all = r#""X-Session-Token":"abc","X-ClientSessionUUID":"6f1c-2","X-ClientType":"HTML5","X-ClientIsMobile":"false""#;
        let other_order = r#" "X-ClientIsMobile" : "false", "X-ClientType":"HTML5",
            "X-ClientSessionUUID":"6f1c-2", "X-Session-Token":"\u0061bc" "#;
        for (headers, expected) in
            [(all, all), (other_order, all), (r#""X-Session-Token":"abc""#, r#""X-Session-Token":"abc""#)]
        {
            let first = first(&frame(&with_headers(headers))).await.expect("a first frame");
            assert_eq!(first.token, "abc");
            assert_eq!(sent(&first.bytes), (with_headers(expected), &b""[..]));
        }
        let long = format!(r#""X-Session-Token":"abc","X-ClientSessionUUID":"{}""#, "u".repeat(UUID_BYTES_MAX));
        let first = first(&frame(&with_headers(&long))).await.expect("a first frame");
        assert_eq!(sent(&first.bytes).0, with_headers(&long), "longer than a frame of one length byte");
        let masks: Vec<_> = (0..8).map(|_| rewritten(&frame(&init("abc"))).expect("legal").expect("whole").1).collect();
        assert!(masks.iter().any(|other| *other != masks[0]), "each has a mask of its own");
    }

    #[tokio::test]
    async fn a_first_frame_has_nothing_else_in_it() {
        let token = r#""X-Session-Token":"a""#;
        for text in [
            with_headers(&format!(r#"{token},"X":"y""#)),
            with_headers(&format!("{token},{token}")),
            with_headers(r#""x-session-token":"a""#),
            with_headers(r#""X-Session-Token":["a"]"#),
            with_headers(r#""X-Session-Token":null"#),
            with_headers(r#""X-Session-Token":"""#),
            with_headers(r#""X-Session-Token":"a b""#),
            with_headers(&format!(r#""X-Session-Token":"{}""#, "a".repeat(129))),
            with_headers(&format!(r#"{token},"X-ClientSessionUUID":7"#)),
            with_headers(&format!(r#"{token},"X-ClientSessionUUID":"\n""#)),
            with_headers(&format!(r#"{token},"X-ClientSessionUUID":"{}""#, "u".repeat(129))),
            with_headers(&format!(r#"{token},"X-ClientType":"{}""#, "H".repeat(33))),
            with_headers(&format!(r#"{token},"X-ClientIsMobile":"maybe""#)),
            with_headers(&format!(r#"{token},"X-ClientIsMobile":true"#)),
            init("a").replace(r#""type""#, r#""id":"1","type""#),
            init("a").replace(r#""type""#, r#""type":"connection_init","type""#),
            init("a").replace(r#""type""#, r#""Type""#),
            init("a").replace(r#""headers""#, r#""x":1,"headers""#),
            init("a") + " {}",
        ] {
            assert!(first(&frame(&text)).await.is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_first_frame_is_an_error() {
        let unmasked = {
            let mut f = frame(&init("abc"));
            f[1] &= 0x7f;
            f
        };
        let with_head = |head: u8| {
            let mut f = frame(&init("abc"));
            f[0] = head;
            f
        };
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            unmasked,
            with_head(0x82),
            with_head(0x01),
            with_head(0xc1),
            frame("{}"),
            frame(r#"{"type":"ping"}"#),
            frame(r#"{"type":"subscribe","payload":{"headers":{"X-Session-Token":"a"}}}"#),
            vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1],
            vec![0x81, 0xfe, 0xff, 0xff],
            frame(&init("abc"))[..20].to_vec(),
            vec![],
        ] {
            assert!(first(&bytes).await.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_close_frame_has_code_and_reason() {
        assert_eq!(close(4403, "no"), [0x88, 4, 0x11, 0x33, b'n', b'o']);
        assert_eq!(close(1000, &"x".repeat(500)).len(), 127);
    }
}
