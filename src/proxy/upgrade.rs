//! The opening of WebSockets: what a browser asks for, the handshake with a server, and both ends out of HTTP.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, ORIGIN, TRANSFER_ENCODING, UPGRADE},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::{
    answer::{Answer, text},
    asked::Asked,
    downstream::{Browser, Downstream, Stream},
    forward::prefix,
    headers::{remove_hop_by_hop, set_forwarded},
    joined::Socket,
    text_frames::TextFrames,
};
use crate::{
    domain::tenant::Server,
    metrics::{Call, Outcome},
    net::orderly::Orderly,
};

/// A socket that is refused before anything else is asked: of another site's page, or with a body.
pub(super) fn refused(asked: &Asked) -> Option<Answer> {
    let headers = &asked.head.headers;
    let empty =
        headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0") && !headers.contains_key(TRANSFER_ENCODING);
    let (status, reason) = if !is_own_origin(asked) {
        (StatusCode::FORBIDDEN, "The origin is another site.\n")
    } else if !empty {
        (StatusCode::BAD_REQUEST, "A WebSocket is asked for without a body.\n")
    } else {
        return None;
    };
    Some(Answer::new(Call::Socket, Outcome::Refused, text(status, "text/plain", reason)))
}

/// Whether a socket is asked for by a page of the tenant's own host: a browser says so, and programs say nothing. BBB
/// itself compares with the host it is asked under, which is not the server's
/// (docs/reference/bbb-protocol.md, "GraphQL sockets").
fn is_own_origin(asked: &Asked) -> bool {
    asked.head.headers.get(ORIGIN).is_none_or(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("https://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(&asked.authority))
    })
}

pub(super) fn no_upgrade() -> Answer {
    let refused = text(StatusCode::BAD_REQUEST, "text/plain", "No WebSocket here.\n");
    Answer::new(Call::Socket, Outcome::Refused, refused)
}

/// The headers that go on to whichever server it will be.
pub(super) fn passed_on(asked: &Asked) -> HeaderMap {
    let mut headers = asked.head.headers.clone();
    remove_hop_by_hop(&mut headers);
    set_forwarded(&mut headers, &asked.connection.peer_value, "https", &asked.request_id);
    headers
}

pub(super) fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2).
///
/// # Panics
/// Never: base64 is a legal header.
pub(super) fn accept_of(key: &HeaderValue) -> HeaderValue {
    let mut text = key.as_bytes().to_vec();
    text.extend(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref());
    HeaderValue::from_str(&accept).expect("base64 is a legal header")
}

/// What leads addresses in a server's frames to the tenant's host, unless that is not needed.
pub(super) fn frames(server: &Arc<Server>, authority: &str) -> Option<Box<TextFrames>> {
    let frames = || Box::new(TextFrames::new(Arc::clone(server), authority, &prefix(server)));
    server.rewrites_frames.then(frames)
}

/// One end, taken out of HTTP, with what had been read of it already.
pub(super) struct End<T> {
    pub(super) io: T,
    pub(super) read: Bytes,
}

/// Boxed: a connection is some KB, and each future that it is handed on to would keep a place of that size.
pub(super) fn taken<T>(upgraded: Upgraded) -> Option<End<Box<T>>>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let parts = upgraded.downcast::<TokioIo<T>>().ok()?;
    Some(End { io: Box::new(parts.io.into_inner()), read: parts.read_buf })
}

/// The end of a browser, which is closed by its tunnel from here on.
pub(super) fn browser_of(upgraded: Upgraded, socket: &Socket) -> Option<End<Browser>> {
    match upgraded.downcast::<TokioIo<Orderly<Downstream>>>() {
        Ok(parts) => {
            let io = Browser::Connection(Box::new(parts.io.into_inner().into_inner()));
            Some(End { io, read: parts.read_buf })
        }
        Err(stream) => {
            let io = Browser::Stream(Stream::new(stream, Arc::clone(socket.connection()?)));
            Some(End { io, read: Bytes::new() })
        }
    }
}
